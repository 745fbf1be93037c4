"""Windows over (N, C, *spatial) that are walked by each thread: pooling, unfolding, convolutions of few channels.

The element of an output sums over its window; the adjoint sums, for an element of the input, over the windows that hold
it. Both in the order of the window's elements, so the same bits come of it each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from ..graph import Node, Value
from .numbers import c_type, number, smallest
from .reader import Reader, Rule, Written, all_of, apart, bounded, flattened


@dataclass(frozen=True, slots=True)
class Moves:
    """A window: its size, and how it moves, a number per spatial axis.

    Attributes:
        before: elements of padding before the input.
        after: and behind.
        lengths: of the input.
        outputs: how many windows there are.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    lengths: tuple[int, ...]
    outputs: tuple[int, ...]

    @classmethod
    def of(
        cls, params: Mapping[str, Any], size: Sequence[int], lengths: Sequence[int], outputs: Sequence[int]
    ) -> Moves:
        """From the parameters of an op."""
        padding = params["padding"]
        return cls(
            size=tuple(size),
            stride=tuple(params["stride"]),
            before=tuple(low for low, _ in padding),
            after=tuple(high for _, high in padding),
            dilation=tuple(params.get("dilation", (1,) * len(padding))),
            lengths=tuple(lengths),
            outputs=tuple(outputs),
        )

    def input_at(self, window: Sequence[str], element: Sequence[str]) -> list[str]:
        """Coordinates of an element of a window in the input, which may be in the padding."""
        return [
            f"{o} * {s} + {k} * {d} - {low}"
            for o, k, s, d, low in zip(window, element, self.stride, self.dilation, self.before, strict=True)
        ]

    def inside(self, at: Sequence[str]) -> str:
        """Whether coordinates are in the input."""
        return all_of([bounded(each, length) for each, length in zip(at, self.lengths, strict=True)])

    def window_at(self, place: Sequence[str], element: Sequence[str]) -> tuple[str, list[str]]:
        """Whether there is a window that has an element of the input as this element of its own, and which."""
        conditions, found = list[str](), list[str]()
        for i, k, s, d, low, count in zip(
            place, element, self.stride, self.dilation, self.before, self.outputs, strict=True
        ):
            moved = f"({i} + {low} - {k} * {d})"
            conditions.append(f"{moved} >= 0 && {moved} % {s} == 0 && {moved} / {s} < {count}")
            found.append(f"{moved} / {s}")
        return all_of(conditions), found

    def count(self, window: Sequence[str], include_padding: bool) -> str:
        """How many elements a window is the mean of."""
        if include_padding and all(
            (o - 1) * s + k <= length + low + high
            for o, s, k, length, low, high in zip(
                self.outputs, self.stride, self.size, self.lengths, self.before, self.after, strict=True
            )
        ):
            return str(prod(self.size))
        parts: list[str] = []
        for o, s, k, low, high, length in zip(
            window, self.stride, self.size, self.before, self.after, self.lengths, strict=True
        ):
            first, last = (-low, length + high) if include_padding else (0, length)
            start = f"({o} * {s} - {low})"
            parts.append(f"(min({start} + {k}, {last}) - max({start}, {first}))")
        return " * ".join(parts)


def loops(w: Reader, lengths: Sequence[int]) -> tuple[list[str], list[str]]:
    """Nested loops, without a body, and their variables."""
    names = [w.fresh("k") for _ in lengths]
    return [f"for (int {n} = 0; {n} < {length}; ++{n})" for n, length in zip(names, lengths, strict=True)], names


def _pool(w: Reader, node: Node, at: Sequence[str]) -> Written:
    x, made = next(node.values), node.outputs[0]
    moves = Moves.of(node.params, node.params["size"], x.shape[2:], made.shape[2:])
    heads, names = loops(w, moves.size)
    inside = moves.input_at(at[2:], names)
    total, value, kind = w.fresh("total"), w.fresh("value"), c_type(made.dtype)
    read = w.read(x, [*at[:2], *inside], made.dtype)
    if node.op.name == "avg_pool":
        count = moves.count(at[2:], node.params["count_include_pad"])
        lines = [f"{kind} {total} = 0;", *heads, f"if ({moves.inside(inside)}) {total} += {read};"]
        return lines, f"({total} / ({kind})({count}))"
    return [
        f"{kind} {total} = {smallest(made.dtype)};",
        *heads,
        f"if ({moves.inside(inside)}) {{",
        f"    const {kind} {value} = {read};",
        f"    if ({value} > {total} || {value} != {value}) {total} = {value};",
        "}",
    ], total


def _largest_in(w: Reader, x: Value, moves: Moves, at: Sequence[str], window: Sequence[str]) -> Written:
    """Which element of a window of x is the first of the largest, in the order of the window; -1 beside NaN."""
    heads, names = loops(w, moves.size)
    inside = moves.input_at(window, names)
    best, place, value, kind = w.fresh("best"), w.fresh("place"), w.fresh("value"), c_type(x.dtype)
    return [
        f"{kind} {best} = {smallest(x.dtype)};",
        f"int {place} = -1;",
        *heads,
        f"if ({moves.inside(inside)}) {{",
        f"    const {kind} {value} = {w.read(x, [*at, *inside], x.dtype)};",
        f"    if ({place} < 0 || {value} > {best}) {{ {best} = {value}; {place} = {flattened(names, moves.size)}; }}",
        "}",
    ], place


def _select(w: Reader, node: Node, at: Sequence[str]) -> Written:
    h, x = node.values
    made = node.outputs[0]
    moves = Moves.of(node.params, node.params["size"], x.shape[2:], made.shape[2:])
    lines, place = _largest_in(w, x, moves, at[:2], at[2:])
    inside = moves.input_at(at[2:], apart(place, moves.size))
    return lines, w.read(h, [*at[:2], *inside], made.dtype)


def _scatter(w: Reader, node: Node, at: Sequence[str]) -> Written:
    g, x = node.values
    made = node.outputs[0]
    moves = Moves.of(node.params, node.params["size"], x.shape[2:], g.shape[2:])
    heads, names = loops(w, moves.size)
    exists, window = moves.window_at(at[2:], names)
    windows = [w.fresh("o") for _ in window]
    search, place = _largest_in(w, x, moves, at[:2], windows)
    total, kind = w.fresh("total"), c_type(made.dtype)
    return [
        f"{kind} {total} = 0;",
        *heads,
        f"if ({exists}) {{",
        *(f"    const int {name} = {text};" for name, text in zip(windows, window, strict=True)),
        *(f"    {line}" for line in search),
        f"    if ({place} == {flattened(names, moves.size)}) {total} += {w.read(g, [*at[:2], *windows], made.dtype)};",
        "}",
    ], total


def _spread(w: Reader, node: Node, at: Sequence[str]) -> Written:
    g, made = next(node.values), node.outputs[0]
    moves = Moves.of(node.params, node.params["size"], made.shape[2:], g.shape[2:])
    heads, names = loops(w, moves.size)
    exists, window = moves.window_at(at[2:], names)
    total, kind = w.fresh("total"), c_type(made.dtype)
    count = moves.count(window, node.params["count_include_pad"])
    read = w.read(g, [*at[:2], *window], made.dtype)
    return [f"{kind} {total} = 0;", *heads, f"if ({exists}) {total} += {read} / ({kind})({count});"], total


def _unfold(w: Reader, node: Node, at: Sequence[str]) -> Written:
    x, made = next(node.values), node.outputs[0]
    size = node.params["size"]
    outputs = outputs_of(node.params, size, x.shape[2:])
    moves = Moves.of(node.params, size, x.shape[2:], outputs)
    element = apart(f"{at[1]} % {prod(size)}", size)
    inside = moves.input_at(apart(at[2], outputs), element)
    read = w.read(x, [at[0], f"({at[1]} / {prod(size)})", *inside], made.dtype)
    return [], f"({moves.inside(inside)} ? {read} : {number(0, made.dtype)})"


def _fold(w: Reader, node: Node, at: Sequence[str]) -> Written:
    x, made = next(node.values), node.outputs[0]
    size = node.params["size"]
    outputs = outputs_of(node.params, size, made.shape[2:])
    moves = Moves.of(node.params, size, made.shape[2:], outputs)
    heads, names = loops(w, size)
    exists, window = moves.window_at(at[2:], names)
    total = w.fresh("total")
    channel = f"({at[1]} * {prod(size)} + {flattened(names, size)})"
    read = w.read(x, [at[0], channel, flattened(window, outputs)], made.dtype)
    return [f"{c_type(made.dtype)} {total} = 0;", *heads, f"if ({exists}) {total} += {read};"], total


def outputs_of(params: Mapping[str, Any], size: Sequence[int], lengths: Sequence[int]) -> tuple[int, ...]:
    """How many windows there are along each axis."""
    return tuple(
        (length + low + high - (k - 1) * d - 1) // s + 1
        for length, (low, high), k, d, s in zip(
            lengths, params["padding"], size, params["dilation"], params["stride"], strict=True
        )
    )


def _convolve(w: Reader, node: Node, at: Sequence[str]) -> Written:
    x, weight = node.values
    made, groups = node.outputs[0], node.params["groups"]
    moves = Moves.of(node.params, weight.shape[2:], x.shape[2:], made.shape[2:])
    channels, outputs = weight.shape[1], weight.shape[0] // groups
    heads, (channel, *names) = loops(w, (channels, *moves.size))
    inside = moves.input_at(at[2:], names)
    own = f"({at[1]} / {outputs} * {channels} + {channel})"
    total = w.fresh("total")
    read = w.read(x, [at[0], own, *inside], made.dtype)
    factor = w.read(weight, [at[1], channel, *names], made.dtype)
    lines = [f"{c_type(made.dtype)} {total} = 0;", *heads, f"if ({moves.inside(inside)}) {total} += {read} * {factor};"]
    return lines, total


def _convolve_back(w: Reader, node: Node, at: Sequence[str]) -> Written:
    g, weight = node.values
    made, groups = node.outputs[0], node.params["groups"]
    moves = Moves.of(node.params, weight.shape[2:], made.shape[2:], g.shape[2:])
    channels, outputs = weight.shape[1], weight.shape[0] // groups
    heads, (output, *names) = loops(w, (outputs, *moves.size))
    exists, window = moves.window_at(at[2:], names)
    own = f"({at[1]} / {channels} * {outputs} + {output})"
    total = w.fresh("total")
    read = w.read(g, [at[0], own, *window], made.dtype)
    factor = w.read(weight, [own, f"({at[1]} % {channels})", *names], made.dtype)
    return [f"{c_type(made.dtype)} {total} = 0;", *heads, f"if ({exists}) {total} += {read} * {factor};"], total


READERS: Final[Mapping[str, Rule]] = {
    "max_pool": _pool,
    "avg_pool": _pool,
    "pool_select": _select,
    "pool_scatter": _scatter,
    "pool_spread": _spread,
    "unfold": _unfold,
    "fold": _fold,
    "conv": _convolve,
    "conv_input_grad": _convolve_back,
}
