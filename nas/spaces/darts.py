"""The cells of DARTS: a normal one that keeps the sides of an image and one that halves them, stacked."""

from __future__ import annotations

from ...core import ConfigError
from ...core.data import Task
from ..space import Cell, CellStack, Chain, Incoming, Node, Outputs, Space, StackPart, Stride, layers, space
from .common import modest, require, training

NODES = 4  # of a cell, each with two inputs


@space("darts")
def darts(task: Task, channels: int | None = None, cells: int | None = None) -> Space:
    """Two cells of four nodes, each node the sum of two operations on two different nodes before it.

    Of the paper's eight operations seven can be chosen; the eighth, zero, is what stands on the edges that were not
    picked. A cell has 180 * 7**8 = 1.04e9 forms, the space 1.1e18 points. The paper searches with 16 channels and 8
    cells, which is the default for images of 32 and more pixels a side; smaller ones have 5 or 3 cells. A third and
    two thirds of the way through the stack stand reduction cells, with twice as many channels as what is before them.

    Args:
        task: classification or regression of images.
        channels: of the nodes of the first cells, 1 to 64.
        cells: in all, 3 to 20.

    Raises:
        ConfigError: the rows are no images, or the numbers out of range.

    Source: Liu et al. 2019, https://arxiv.org/abs/1806.09055, section 3.1 and appendix A.1. Ours halves the sides by a
    strided 1 x 1 convolution where the paper joins two of them, one of which looks at the pixels in between.
    """
    require("darts", task, "image")
    side = min(task.input_shape[1:])
    channels = 16 if channels is None else channels
    cells = (8 if side >= 32 else 5 if side >= 16 else 3) if cells is None else cells
    if not (1 <= channels <= 64 and 3 <= cells <= 20):
        raise ConfigError(f"expected 1 to 64 channels and 3 to 20 cells, got {channels} and {cells}")
    operations: dict[str, Node] = {
        "max_pool_3x3": layers.max_pool2d(size=3, stride=Stride(), padding=1),
        "avg_pool_3x3": layers.avg_pool2d(size=3, stride=Stride(), padding=1, count_include_pad=False),
        "skip_connect": Chain(),
        "sep_conv_3x3": Chain(_depthwise(3, Stride()), _depthwise(3, 1)),
        "sep_conv_5x5": Chain(_depthwise(5, Stride()), _depthwise(5, 1)),
        "dil_conv_3x3": _depthwise(3, Stride(), dilation=2),
        "dil_conv_5x5": _depthwise(5, Stride(), dilation=2),
    }
    normal, reduction = (Cell(NODES, operations, picks=2, name=name) for name in ("normal", "reduce"))
    halvings = {cells // 3, 2 * cells // 3}
    stack = [
        StackPart(
            reduction if place in halvings else normal, channels << sum(h <= place for h in halvings), place in halvings
        )
        for place in range(cells)
    ]
    template = Chain(
        layers.conv2d(out_channels=3 * channels, kernel=3, bias=False),
        layers.batch_norm(),
        CellStack(tuple(stack)),
        layers.global_avg_pool(),
        layers.linear(out_features=Outputs()),
    )
    return Space("darts", task, template, training(task), total=modest(task))


def _depthwise(kernel: int, stride: int | Stride, dilation: int = 1) -> Chain:
    """A convolution of each channel by itself and one across the channels, between a ReLU and a norm."""
    each = layers.conv2d(
        out_channels=Incoming(), kernel=kernel, stride=stride, dilation=dilation, groups=Incoming(), bias=False
    )
    across = layers.conv2d(out_channels=Incoming(), kernel=1, bias=False)
    return Chain(layers.activation(function="relu"), each, across, layers.batch_norm())
