"""Sums of the parts of a tensor that have one number, such as the gradient of an embedding, in the order of the parts.

A few parts are walked by every thread. Of many, those of each number are linked first, every part to the next one of
its number, so that a thread walks its own only. No two threads write to one place: the same bits come of it each
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Final

import numpy as np

from ..graph import Node, Value
from ..native.place import Buffer, Place
from .kernel import Kernel, Parameter, kernel
from .numbers import c_type, cast, number
from .reader import Reader, Rule, Written, apart

INDEX: Final = np.dtype(np.int64)
LINK: Final = np.dtype(np.int32)
MANY: Final = 1 << 22  # steps of all threads together from which on linking is worth it
THREADS: Final = 256


def _segments(w: Reader, node: Node, at: Sequence[str]) -> Written:
    """Sums and maxima of the parts of x that have one number, in the order of the parts."""
    x, segments = node.values
    made, batch = node.outputs[0], node.params["batch_dims"]
    axis: int = node.params["axis"] % len(made.shape)
    total, lines, names = w.fresh("total"), list[str](), list[str]()
    largest_of = node.op.name == "segment_max"
    start = number(node.params["empty"] if largest_of else 0, made.dtype)
    first = w.fresh("first")
    lines += [f"{c_type(made.dtype)} {total} = {start};", f"bool {first} = true;"]
    for length in segments.shape[batch:]:
        names.append(w.fresh("j"))
        lines.append(f"for (int {names[-1]} = 0; {names[-1]} < {length}; ++{names[-1]})")
    number_of = w.read(segments, [*at[:batch], *names], INDEX)
    part = w.read(x, [*at[:axis], *names, *at[axis + 1 :]], made.dtype)
    value = w.fresh("part")
    change = (
        f"if ({first} || {value} > {total} || {value} != {value}) {total} = {value};"
        if largest_of
        else f"{total} += {value};"
    )
    lines += [
        f"if (nst_wrap({number_of}, {made.shape[axis]}) == {at[axis]}) {{",
        f"    const {c_type(made.dtype)} {value} = {part};",
        f"    {change}",
        f"    {first} = false;",
        "}",
        f"(void){first};",
    ]
    return lines, total


def _segment_count(w: Reader, node: Node, at: Sequence[str]) -> Written:
    (segments,) = node.values
    made, batch = node.outputs[0], node.params["batch_dims"]
    total, names = w.fresh("total"), list[str]()
    lines = [f"{c_type(made.dtype)} {total} = 0;"]
    for length in segments.shape[batch:]:
        names.append(w.fresh("j"))
        lines.append(f"for (int {names[-1]} = 0; {names[-1]} < {length}; ++{names[-1]})")
    read = w.read(segments, [*at[:batch], *names], INDEX)
    lines.append(f"{total} += nst_wrap({read}, {made.shape[-1]}) == {at[-1]};")
    return lines, total


READERS: Final[Mapping[str, Rule]] = {
    "segment_sum": _segments,
    "segment_max": _segments,
    "segment_count": _segment_count,
}


def is_linked(node: Node) -> bool:
    """Whether a node sums so many parts that they are linked."""
    if node.op.name != "segment_sum":
        return False
    _, segments = node.values
    return node.outputs[0].spec.size * prod(segments.shape[node.params["batch_dims"] :]) > MANY


def link(
    node: Node, place_of: Callable[[Value], Place], new: Callable[[int, int], Buffer]
) -> tuple[list[Kernel], Place]:
    """The launches of a sum of linked parts, and where it lies.

    Args:
        node: of `segment_sum`.
        place_of: where values lie.
        new: makes memory.
    """
    x, segments = node.values
    made, batch = node.outputs[0], node.params["batch_dims"]
    axis: int = node.params["axis"] % len(made.shape)
    lead, within, count = segments.shape[:batch], segments.shape[batch:], made.shape[axis]
    rows, parts = prod(lead), prod(within)
    target = Place.dense(new(made.spec.size, made.dtype.itemsize), made.shape)
    head, following = new(rows * count, LINK.itemsize), new(rows * parts, LINK.itemsize)
    heads = Parameter("head", head, LINK, written=True)
    numbers = Parameter("s", place_of(segments).buffer, segments.dtype)

    def number_of(part: str) -> str:
        at = [*apart("row", lead), *apart(part, within)]
        return f"nst_wrap({cast(_element('s', place_of(segments), at), segments.dtype, INDEX)}, {count})"

    linking = [
        f"const long long row = e / {parts};",
        f"const int part = e % {parts};",
        f"const long long own = {number_of('part')};",
        "int after = part + 1, before = part - 1;",
        f"while (after < {parts} && {number_of('after')} != own) ++after;",
        f"while (before >= 0 && {number_of('before')} != own) --before;",
        f"following[e] = after < {parts} ? after : -1;",
        f"if (before < 0) head[row * {count} + own] = part;",
    ]
    at = apart("e", made.shape)
    row = " + ".join([f"({i}) * {prod(lead[d + 1 :])}" for d, i in enumerate(at[:batch])]) or "0"
    part = _element("x", place_of(x), [*at[:axis], *apart("part", within), *at[axis + 1 :]])
    kind = c_type(made.dtype)
    adding = [
        f"const long long row = {row};",
        f"{kind} total = {number(0, made.dtype)};",
        f"for (int part = head[row * {count} + {at[axis]}]; part >= 0; part = following[row * {parts} + part])",
        f"    total += {cast(part, x.dtype, made.dtype)};",
        "y[e] = total;",
    ]
    return [
        _over("fill", rows * count, [heads], ["head[e] = -1;"]),
        _over("link", rows * parts, [numbers, heads, Parameter("following", following, LINK, written=True)], linking),
        _over(
            "segment_sum",
            made.spec.size,
            [
                Parameter("x", place_of(x).buffer, x.dtype),
                Parameter("head", head, LINK),
                Parameter("following", following, LINK),
                Parameter("y", target.buffer, made.dtype, written=True),
            ],
            adding,
        ),
    ], target


def _element(name: str, place: Place, at: Sequence[str]) -> str:
    terms = [str(place.origin)] if place.origin else []
    terms += [f"({i}) * {step}ll" for i, step in zip(at, place.strides, strict=True) if step]
    return f"{name}[{' + '.join(terms) or '0'}]"


def _over(label: str, count: int, parameters: Sequence[Parameter], lines: Sequence[str]) -> Kernel:
    """A kernel with a thread for each of `count` elements `e`."""
    start = [f"const long long e = blockIdx.x * {THREADS}ll + threadIdx.x;", f"if (e >= {count}) return;"]
    body = "".join(f"    {line}\n" for line in [*start, *lines])
    return kernel(label, parameters, body, grid=(-(-count // THREADS), 1, 1), block=(THREADS, 1, 1))
