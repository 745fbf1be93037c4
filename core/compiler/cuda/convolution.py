"""Convolution and its two gradients as products whose operands are read through the window.

Per group of channels, with O outputs and C inputs: the result (O, images x places) is the weight (O, C x size) times
the patches; the input's gradient (C, images x elements) the turned weight times the gradient; the weight's (O, C x
size) the gradient (O, images x places) times the patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Final

from ..graph import Node, Value
from ..native.place import Place
from .axes import INT_ELEMENTS
from .kernel import Parameter, Tail, Work
from .numbers import cast
from .pooling import Moves
from .products import New, tiled
from .reader import apart
from .tiles import Side, tiles_for

NAMES: Final = frozenset({"conv", "conv_input_grad", "conv_weight_grad"})
NARROW: Final = 8  # rows of the product below which a thread walks the window by itself: depthwise, few outputs


def has_tiles(node: Node) -> bool:
    """Whether a convolution is a product of matrices with enough rows."""
    name, groups = node.op.name, node.params.get("groups", 1)
    if name == "conv_weight_grad":
        return True
    return name in NAMES and node.outputs[0].shape[1] // groups >= NARROW


def convolve(
    node: Node, place_of: Callable[[Value], Place], new: New, tail: Tail | None = None
) -> tuple[list[Work], Place]:
    """The launches of a convolution or a gradient of it, and where the result lies, if no tail takes it."""
    made = node.outputs[0]
    target = Place.dense(new(made.spec.size, made.dtype.itemsize), made.shape)
    if not made.spec.size:
        return [], target
    first, second = node.values
    writers = {"conv": _forward, "conv_input_grad": _input_gradient, "conv_weight_grad": _weight_gradient}
    lengths, a, b, offset = writers[node.op.name](node, first, second, place_of)
    tiles = tiles_for(*lengths)
    biggest = max([made.spec.size * tiles.parts, *(place_of(value).buffer.elements for value in node.values)])
    kind = "int" if biggest < INT_ELEMENTS else "long long"
    return tiled(node.op.name, lengths, a, b, made, target.buffer, tiles, offset, kind, new, tail), target


Sides = tuple[tuple[int, int, int, int], Side, Side, str]


def _forward(node: Node, x: Value, w: Value, place_of: Callable[[Value], Place]) -> Sides:
    made, groups = node.outputs[0], node.params["groups"]
    outputs, channels, size = w.shape[0] // groups, w.shape[1], w.shape[2:]
    moves = Moves.of(node.params, size, x.shape[2:], made.shape[2:])
    places = prod(made.shape[2:])
    lengths = (groups, outputs, made.shape[0] * places, channels * prod(size))
    channel, *element = apart("k", (channels, *size))
    image, *window = apart("n", (made.shape[0], *made.shape[2:]))
    a = _side(w, place_of(w), made, "w", [f"batch * {outputs} + m", channel, *element], along_k=True)
    at = moves.input_at(window, element)
    b = _side(
        x,
        place_of(x),
        made,
        "x",
        [image, f"batch * {channels} + {channel}", *at],
        within=moves.inside(at),
        along_k=False,
    )
    return lengths, a, b, f"(n / {places} * {made.shape[1]} + batch * {outputs} + m) * {places} + n % {places}"


def _input_gradient(node: Node, g: Value, w: Value, place_of: Callable[[Value], Place]) -> Sides:
    made, groups = node.outputs[0], node.params["groups"]
    outputs, channels, size = w.shape[0] // groups, w.shape[1], w.shape[2:]
    moves = Moves.of(node.params, size, made.shape[2:], g.shape[2:])
    places = prod(made.shape[2:])
    lengths = (groups, channels, made.shape[0] * places, outputs * prod(size))
    output, *element = apart("k", (outputs, *size))
    image, *place = apart("n", (made.shape[0], *made.shape[2:]))
    exists, window = moves.window_at(place, element)
    a = _side(w, place_of(w), made, "w", [f"batch * {outputs} + {output}", "m", *element], along_k=False)
    b = _side(
        g, place_of(g), made, "g", [image, f"batch * {outputs} + {output}", *window], within=exists, along_k=False
    )
    return lengths, a, b, f"(n / {places} * {made.shape[1]} + batch * {channels} + m) * {places} + n % {places}"


def _weight_gradient(node: Node, x: Value, g: Value, place_of: Callable[[Value], Place]) -> Sides:
    made, groups = node.outputs[0], node.params["groups"]
    outputs, channels, size = made.shape[0] // groups, made.shape[1], made.shape[2:]
    moves = Moves.of(node.params, size, x.shape[2:], g.shape[2:])
    images, *windows = g.shape[0], *g.shape[2:]
    columns = channels * prod(size)
    lengths = (groups, outputs, columns, images * prod(windows))
    channel, *element = apart("n", (channels, *size))
    image, *window = apart("k", (images, *windows))
    at = moves.input_at(window, element)
    a = _side(g, place_of(g), made, "g", [image, f"batch * {outputs} + m", *window], along_k=True)
    b = _side(
        x,
        place_of(x),
        made,
        "x",
        [image, f"batch * {channels} + {channel}", *at],
        within=moves.inside(at),
        along_k=True,
    )
    return lengths, a, b, f"(batch * {outputs} + m) * {columns} + n"


def _side(
    value: Value, place: Place, made: Value, name: str, at: Sequence[str], *, within: str = "true", along_k: bool
) -> Side:
    """An operand by the coordinates of its elements; zero where these are not within it."""
    terms = [str(place.origin)] if place.origin else []
    terms += [f"({i}) * {step}" for i, step in zip(at, place.strides, strict=True) if step]
    element = cast(f"x[{' + '.join(terms) or '0'}]", value.dtype, made.dtype)
    return Side(Parameter(name, place.buffer, value.dtype), [f"return {within} ? {element} : 0;"], along_k=along_k)
