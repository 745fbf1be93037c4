"""The cell of NAS-Bench-201: four nodes, an operation of five on each of its six edges, 15,625 cells."""

from __future__ import annotations

from ...core import ConfigError
from ...core.data import Task
from ..cells import NB201_OPS
from ..space import Cell, Chain, Incoming, Layer, Node, Outputs, Repeat, Residual, Space, layers, space
from .common import modest, require

STAGES = 3
MAX_CHANNELS = 64
MAX_CELLS = 20


@space("nb201")
def nb201(task: Task, channels: int | None = None, cells: int | None = None) -> Space:
    """Three stages of one and the same cell between a convolution and the mean; what is searched is the cell alone.

    The benchmark's networks have 16 channels and 5 cells a stage, which is the default for images of 32 and more
    pixels a side. Smaller ones have less: 3 cells from 16 pixels on, else 1.

    Args:
        task: classification or regression of images.
        channels: of the first stage, >= 1; doubled behind every reduction. 16 by default.
        cells: in each stage, >= 1.

    Raises:
        ConfigError: the rows are no images, or the numbers out of range.

    Source: Dong & Yang 2020, https://arxiv.org/abs/2001.00326, figure 1 and table 1.
    """
    require("nb201", task, "image")
    sides = task.input_shape[1:]
    channels = 16 if channels is None else channels
    cells = (5 if min(sides) >= 32 else 3 if min(sides) >= 16 else 1) if cells is None else cells
    if not (1 <= channels <= MAX_CHANNELS and 1 <= cells <= MAX_CELLS):
        raise ConfigError(
            f"expected 1 to {MAX_CHANNELS} channels and 1 to {MAX_CELLS} cells, got {channels} and {cells}"
        )
    none, skip, small, large, pool = NB201_OPS
    operations: dict[str, Node] = {
        none: Chain(),
        skip: Chain(),
        small: _relu_conv_norm(Incoming(), 1),
        large: _relu_conv_norm(Incoming(), 3),
        pool: layers.avg_pool2d(size=3, stride=1, padding=1, count_include_pad=False),
    }
    cell = Cell(4, operations, name="cell")
    parts: list[Node] = [layers.conv2d(out_channels=channels, kernel=3, bias=False), layers.batch_norm()]
    for stage in range(STAGES):
        if stage:
            parts.append(_reduction(channels << stage, sides))
            sides = tuple(-(-side // 2) for side in sides)
        parts.append(Repeat(cells, cells, cell))
    parts += [layers.batch_norm(), layers.activation(function="relu"), layers.global_avg_pool()]
    template = Chain(*parts, layers.linear(out_features=Outputs()))
    return Space("nb201", task, template, total=modest(task))


def _relu_conv_norm(channels: int | Incoming, kernel: int, stride: int = 1) -> Chain:
    convolution: Layer = layers.conv2d(out_channels=channels, kernel=kernel, stride=stride, bias=False)
    return Chain(layers.activation(function="relu"), convolution, layers.batch_norm())


def _reduction(channels: int, sides: tuple[int, ...]) -> Node:
    """The residual block that halves the sides. The mean of 2 x 2 pixels keeps the odd ones at the edge, as the
    convolution does; images of one pixel have no such mean.
    """
    body = Chain(_relu_conv_norm(channels, 3, stride=2), _relu_conv_norm(channels, 3))
    narrow = layers.conv2d(out_channels=channels, kernel=1, bias=False, padding=0)
    if min(sides) == 1:
        return Residual(body)
    return Residual(body, shortcut=Chain(layers.avg_pool2d(size=2, stride=2, ceil_mode=True), narrow))
