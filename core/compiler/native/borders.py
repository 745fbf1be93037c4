"""Zeros around images: which of them convolutions read, and how they come to be there."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Node, Value
from ..llvm.formula import Formula
from ..llvm.fusion import fuse
from ..llvm.geometry import Border, Convolution, gradient_border, input_border
from ..llvm.launch import Images, Launch
from ..llvm.target import Target
from .group import POOLS, Unsupported
from .pools import pool_border


def convolution_of(node: Node) -> Convolution:
    """The sizes of a convolution or of one of its gradients; those along a line as of images of one row.

    Raises:
        Unsupported: over more than two axes.
    """
    weights, params = _weight_shape(node), node.params
    if len(weights) not in (3, 4):
        raise Unsupported(f"{node.op.name} over {len(weights) - 2} axes")
    lows = tuple(low for low, _ in params["padding"])
    groups: int = params["groups"]
    return Convolution(
        inputs=weights[1] * groups,
        outputs=weights[0],
        kernel=_pair(weights[2:], 1),
        stride=_pair(params["stride"], 1),
        padding=_pair(lows, 0),
        dilation=_pair(params["dilation"], 1),
        groups=groups,
    )


def _weight_shape(node: Node) -> Sequence[int]:
    """(outputs, inputs of a group, *kernel)."""
    first, second = node.values
    if node.op.name == "conv_weight_grad":
        return (second.shape[1], first.shape[1] // node.params["groups"], *node.params["size"])
    return second.shape


def _pair(numbers: Sequence[int], rows: int) -> tuple[int, int]:
    return (rows, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def size_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of images (N, C, *spatial)."""
    return (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])


def borders_of(graph: Graph) -> tuple[dict[Value, Border], dict[Value, Border]]:
    """The pixels of zeros that are read around images: of values (N, C, *spatial), and of those with channels last."""
    found: dict[Value, Border] = {}
    for node in graph.nodes:
        name = node.op.name
        if name in POOLS and len(node.outputs[0].shape) in (3, 4):
            _widen(found, next(node.values), pool_border(node))
        if name not in ("conv", "conv_input_grad", "conv_weight_grad"):
            continue
        conv = convolution_of(node)
        first, second = node.values
        match name:
            case "conv":
                _widen(found, first, input_border(conv, *size_of(first.shape), *size_of(node.outputs[0].shape)))
            case "conv_weight_grad":
                _widen(found, first, input_border(conv, *size_of(first.shape), *size_of(second.shape)))
            case _:
                inputs = size_of(node.outputs[0].shape)
                _widen(found, first, gradient_border(conv, *inputs, *size_of(first.shape)))
    last: dict[Value, Border] = {}
    for value, border in found.items():  # whoever makes what a view is of makes it with its border
        rank = len(value.shape)
        node = value.node
        turned = (0, rank - 1, *range(1, rank - 1))
        if node is not None and node.op.name == "transpose" and node.params["axes"] == turned:
            _widen(last, next(node.values), border)
    return found, last


def _widen(found: dict[Value, Border], value: Value, border: Border) -> None:
    if not any(border):
        return
    above, below, left, right = (max(a, b) for a, b in zip(border, found.get(value, (0, 0, 0, 0)), strict=True))
    found[value] = (above, below, left, right)


def border_fills(target: Target, images: Images, border: Border) -> list[Launch]:
    """The launches that write zeros all around images that lie without gaps. Operand: `to`."""
    above, below, left, right = border
    row, image = images.row, images.image
    launches: list[Launch] = []
    if left + right:  # behind each row and before the next
        start = images.origin - left * images.pixel
        gaps = [(start, left * images.pixel), (images.origin + images.width * images.pixel, right * images.pixel)]
        launches += [_fill(target, images.count, images.height, at, n, image, row) for at, n in gaps if n]
    top = images.origin - above * row - left * images.pixel
    bands = [(top, above * row), (top + (above + images.height) * row, below * row)]
    launches += [_fill(target, images.count, 1, at, n, image, row) for at, n in bands if n]
    return launches


def _fill(target: Target, images: int, rows: int, origin: int, floats: int, image: int, row: int) -> Launch:
    f = Formula()
    f.store("to", f.constant(0.0))
    where = Images(
        count=images, height=rows, width=1, channels=floats, image=image, row=row, pixel=floats, origin=origin
    )
    return fuse(target, f.pattern(), (images, rows, 1, floats), {"to": where}).launch
