"""Ops that take each element from somewhere else: slices put back, joined and padded tensors, picking by integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from ..graph import Node, Value
from . import pooling, segments
from .numbers import c_type, largest, number, smallest
from .reader import Reader, Rule, Written, all_of, bounded, flattened

INDEX: Final = np.dtype(np.int64)


def _within(key: Any, shape: Sequence[int], at: Sequence[str]) -> tuple[list[str], list[str]]:
    """Whether an element is in the part of a tensor that a basic key selects, and where in that part.

    Args:
        key: integers, slices, None and Ellipsis.
        shape: of the tensor.
        at: where the element is in it.
    """
    parts: list[Any] = list(cast("tuple[Any, ...]", key)) if isinstance(key, tuple) else [key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [slice(None)] * (len(shape) - used)
    where = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    parts = [*parts, *rest] if where is None else [*parts[:where], *rest, *parts[where + 1 :]]
    conditions, inside = list[str](), list[str]()
    axis = 0
    for part in parts:
        if part is None:
            inside.append("0")
            continue
        length, here = shape[axis], at[axis]
        axis += 1
        if not isinstance(part, slice):
            conditions.append(f"{here} == {int(part) % length}")
            continue
        start, stop, step = part.indices(length)
        count = len(range(start, stop, step))
        if (start, step, count) == (0, 1, length):
            inside.append(here)
            continue
        moved = f"({here} - {start})" if step > 0 else f"({start} - {here})"
        conditions.append(f"{moved} >= 0 && {moved} % {abs(step)} == 0 && {moved} / {abs(step)} < {count}")
        inside.append(f"{moved} / {abs(step)}")
    return conditions, inside


def _place(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made = node.outputs[0]
    conditions, inside = _within(node.params["key"], made.shape, at)
    return [], f"({all_of(conditions)} ? {w.read(node.inputs[0], inside, made.dtype)} : {number(0, made.dtype)})"


def _replace(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made, value = node.outputs[0], node.inputs[1]
    conditions, inside = _within(node.params["key"], made.shape, at)
    if isinstance(value, Value):
        own = inside[len(inside) - len(value.shape) :]
        inside = ["0" if length == 1 else each for each, length in zip(own, value.shape, strict=True)]
    new, old = w.read(value, inside, made.dtype), w.read(node.inputs[0], at, made.dtype)
    return [], f"({all_of(conditions)} ? {new} : {old})"


def _concatenate(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made = node.outputs[0]
    axis: int = node.params["axis"] % len(made.shape)
    start = 0
    text, closing = "", ""
    parts = [value for value in node.values if value.shape[axis]] or list(node.values)[:1]
    for position, value in enumerate(parts):
        inside = [f"({here} - {start})" if i == axis and start else here for i, here in enumerate(at)]
        start += value.shape[axis]
        read = w.read(value, inside, made.dtype)
        if position < len(parts) - 1:
            text, closing = f"{text}({at[axis]} < {start} ? {read} : ", f"{closing})"
        else:
            text += read
    return [], text + closing


def _pad(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made, x = node.outputs[0], next(node.values)
    conditions, inside = list[str](), list[str]()
    for here, length, (before, after) in zip(at, x.shape, node.params["widths"], strict=True):
        inside.append(f"({here} - {before})" if before else here)
        if before or after:
            conditions.append(bounded(inside[-1], length))
    read = w.read(x, inside, made.dtype)
    return [], f"({all_of(conditions)} ? {read} : {number(node.params['value'], made.dtype)})"


def _roll(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made = node.outputs[0]
    inside = list(at)
    moves: list[tuple[int, int]] = list(zip(node.params["shift"], node.params["axis"], strict=True))
    for shift, given in moves:
        axis = given % len(made.shape)
        length = max(int(made.shape[axis]), 1)
        inside[axis] = f"(({inside[axis]} + {-shift % length}) % {length})"
    return [], w.read(node.inputs[0], inside, made.dtype)


def _triangle(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made = node.outputs[0]
    sign = "<=" if node.op.name == "tril" else ">="
    inside = f"{at[-1]} {sign} {at[-2]} + ({node.params['k']})"
    return [], f"({inside} ? {w.read(node.inputs[0], at, made.dtype)} : {number(0, made.dtype)})"


def _take(w: Reader, node: Node, at: Sequence[str]) -> Written:
    x, indices = node.values
    batch, axis = node.params["batch_dims"], node.params["axis"] % len(x.shape)
    behind = axis + len(indices.shape) - batch
    read = w.read(indices, [*at[:batch], *at[axis:behind]], INDEX)
    place = w.fresh("place")
    lines = [f"const long long {place} = nst_wrap({read}, {x.shape[axis]});"]
    return lines, w.read(x, [*at[:axis], place, *at[behind:]], node.outputs[0].dtype)


def _one_hot(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made = node.outputs[0]
    axis: int = node.params["axis"] % len(made.shape)
    read = w.read(node.inputs[0], [*at[:axis], *at[axis + 1 :]], INDEX)
    return [], f"({read} == {at[axis]} ? {number(1, made.dtype)} : {number(0, made.dtype)})"


def _last_occurrences(w: Reader, node: Node, at: Sequence[str]) -> Written:
    """Whether an index is not repeated further on."""
    (indices,) = node.values
    batch, length = node.params["batch_dims"], node.params["length"]
    shape = indices.shape[batch:]
    last, own, names = w.fresh("last"), w.fresh("own"), [w.fresh("j") for _ in shape]
    lines = [
        f"bool {last} = true;",
        f"const long long {own} = nst_wrap({w.read(indices, at, INDEX)}, {length});",
        *(f"for (int {name} = 0; {name} < {size}; ++{name})" for name, size in zip(names, shape, strict=True)),
        f"if ({flattened(names, shape)} > {flattened(at[batch:], shape)} && "
        f"nst_wrap({w.read(indices, [*at[:batch], *names], INDEX)}, {length}) == {own}) {last} = false;",
    ]
    return lines, last


def _index_copy(w: Reader, node: Node, at: Sequence[str]) -> Written:
    """The last of the values that are written to a place, or what stood there."""
    x, indices = node.inputs[0], node.inputs[1]
    assert isinstance(indices, Value)
    made, batch, values = node.outputs[0], node.params["batch_dims"], node.inputs[2]
    axis: int = node.params["axis"] % len(made.shape)
    value = w.fresh("value")
    lines, names = [f"{_c(made)} {value} = {w.read(x, at, made.dtype)};"], list[str]()
    for length in indices.shape[batch:]:
        names.append(w.fresh("j"))
        lines.append(f"for (int {names[-1]} = 0; {names[-1]} < {length}; ++{names[-1]})")
    number_of = w.read(indices, [*at[:batch], *names], INDEX)
    inside = [*at[:axis], *names, *at[axis + 1 :]] if isinstance(values, Value) and values.shape else []
    new = w.read(values, inside, made.dtype)
    lines.append(f"if (nst_wrap({number_of}, {made.shape[axis]}) == {at[axis]}) {value} = {new};")
    return lines, value


def _cumulative(w: Reader, node: Node, at: Sequence[str]) -> Written:
    made, x = node.outputs[0], next(node.values)
    axis = 0 if node.params["axis"] is None else node.params["axis"] % len(x.shape)
    adds = node.op.name == "cumulative_sum"
    total, j = w.fresh("total"), w.fresh("j")
    end = f"{at[axis]}" if node.params["include_initial"] else f"{at[axis]} + 1"
    read = w.read(x, [*at[:axis], j, *at[axis + 1 :]], made.dtype)
    return [
        f"{_c(made)} {total} = {0 if adds else 1};",
        f"for (int {j} = 0; {j} < {end}; ++{j}) {total} {'+' if adds else '*'}= {read};",
    ], total


def _best(w: Reader, node: Node, at: Sequence[str]) -> Written:
    """Where the first of the largest or smallest elements is; that of the first NaN where there is one."""
    x, made = next(node.values), node.outputs[0]
    greatest = node.op.name == "argmax"
    place, best, value = w.fresh("place"), w.fresh("best"), w.fresh("value")
    axis: int | None = node.params["axis"]
    if axis is None:
        names = [w.fresh("j") for _ in x.shape]
        inside, here = names, flattened(names, x.shape)
        lengths = list(x.shape)
    else:
        axis %= len(x.shape)
        names = [w.fresh("j")]
        behind = axis + 1 if node.params["keepdims"] else axis
        inside, here = [*at[:axis], names[0], *at[behind:]], names[0]
        lengths = [x.shape[axis]]
    found = _c(x)
    start = smallest(x.dtype) if greatest else largest(x.dtype)
    lines = [f"{found} {best} = {start};", f"long long {place} = 0;", f"bool {place}_any = false;"]
    lines += [f"for (int {n} = 0; {n} < {length}; ++{n})" for n, length in zip(names, lengths, strict=True)]
    better = f"{value} {'>' if greatest else '<'} {best} || ({value} != {value} && {best} == {best})"
    lines += [
        "{",
        f"    const {found} {value} = {w.read(x, inside, x.dtype)};",
        f"    if (!{place}_any || {better}) {{ {best} = {value}; {place} = {here}; }}",
        f"    {place}_any = true;",
        "}",
    ]
    return lines, f"({_c(made)}){place}"


def _c(value: Value) -> str:
    return c_type(value.dtype)


READERS: Final[Mapping[str, Rule]] = {
    "place": _place,
    "replace": _replace,
    "concatenate": _concatenate,
    "pad": _pad,
    "roll": _roll,
    "tril": _triangle,
    "triu": _triangle,
    "take": _take,
    "one_hot": _one_hot,
    "index_copy": _index_copy,
    "last_occurrences": _last_occurrences,
    "cumulative_sum": _cumulative,
    "cumulative_prod": _cumulative,
    "argmax": _best,
    "argmin": _best,
    **pooling.READERS,
    **segments.READERS,
}
