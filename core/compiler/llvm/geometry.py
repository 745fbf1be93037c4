"""The sizes of a convolution, and what follows from them: borders, and the parts of the gradient of its input."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from .launch import Images

Pair = tuple[int, int]
Border = tuple[int, int, int, int]  # above, below, left, right


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """The sizes of a convolution; pairs are (rows, columns).

    Attributes:
        inputs, outputs: channels.
        kernel: taps.
        stride, dilation: in pixels.
        padding: zeros above and to the left; below and to the right, as many as the output's size needs.
        groups: of channels, which do not see each other; divides inputs and outputs.
    """

    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether every output pixel sees one input pixel, the one at its place."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return self.groups == self.inputs == self.outputs > 1

    @property
    def group_inputs(self) -> int:
        """Input channels of a group."""
        return self.inputs // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels of a group."""
        return self.outputs // self.groups


def input_border(conv: Convolution, height: int, width: int, out_height: int, out_width: int) -> Border:
    """The zeros that forward and the gradient of the weights read around the input, in pixels."""
    sides: list[int] = []
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        reach = (out - 1) * conv.stride[axis] + (conv.kernel[axis] - 1) * conv.dilation[axis] - conv.padding[axis]
        sides += [conv.padding[axis], max(0, reach - (size - 1))]
    return tuple(sides)  # pyright: ignore[reportReturnType] - four of them


def gradient_border(conv: Convolution, height: int, width: int, out_height: int, out_width: int) -> Border:
    """The zeros that the gradient of the input reads around the gradient of the output, in pixels."""
    sides: list[int] = []
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        before, behind = 0, 0
        for residue in residues(conv, axis, size):
            if residue.taps:
                before = max(before, -residue.start)
                last = residue.start + residue.count - 1 + (residue.taps - 1) * residue.step
                behind = max(behind, last - (out - 1))
        sides += [before, behind]
    return tuple(sides)  # pyright: ignore[reportReturnType] - four of them


@dataclass(frozen=True, slots=True)
class Residue:
    """Along one axis, the input positions `first`, `first + stride`, ...: what their gradient sums over.

    Attributes:
        first: of the positions.
        count: of positions.
        taps: how many taps of the kernel reach them.
        tap, tap_step: the first of these taps in the turned kernel, and the distance to the next.
        start: the output position that the first tap joins to the first input position.
        step: from a tap to the next, how far the output position moves.
    """

    first: int
    count: int
    taps: int = 0
    tap: int = 0
    tap_step: int = 1
    start: int = 0
    step: int = 0


def residues(conv: Convolution, axis: int, size: int) -> list[Residue]:
    """The interleaved parts of an input axis."""
    kernel, stride, dilation = conv.kernel[axis], conv.stride[axis], conv.dilation[axis]
    common = gcd(stride, dilation)
    tap_step = stride // common
    found: list[Residue] = []
    for first in range(min(stride, size)):
        count = -(-(size - first) // stride)
        place = first + conv.padding[axis]
        last = next((tap for tap in reversed(range(kernel)) if (place - tap * dilation) % stride == 0), None)
        if last is None:
            found.append(Residue(first, count))
        else:
            start = (place - last * dilation) // stride
            found.append(
                Residue(first, count, last // tap_step + 1, kernel - 1 - last, tap_step, start, dilation // common)
            )
    return found


def interleaved(image: Images, conv: Convolution, down: Residue, right: Residue, channel: int) -> Images:
    """Every s-th pixel of an image, and the channels of a group."""
    return Images(
        count=image.count,
        height=down.count,
        width=right.count,
        channels=conv.inputs if conv.depthwise else conv.group_inputs,
        image=image.image,
        row=image.row * conv.stride[0],
        pixel=image.pixel * conv.stride[1],
        origin=image.origin + down.first * image.row + right.first * image.pixel + channel,
    )
