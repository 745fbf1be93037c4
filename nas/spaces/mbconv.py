"""Mobile networks for images: stages of inverted bottlenecks with depthwise convolutions."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Multiple, Node, Outputs, Repeat, Space, layers, space
from .common import dropout, modest, require, training

WIDTHS = ((16, 24, 32), (24, 40, 56), (48, 72, 96))  # channels of each stage


@space("mbconv")
def mbconv(task: Task) -> Space:
    """1 to 3 stages of 1 to 3 blocks: kernel, expansion, squeeze and excitation of each block, channels of each stage.

    Every stage but the first halves the sides. Small images, of at most 8 pixels a side, have two stages.

    Sources: Tan et al. 2019, https://arxiv.org/abs/1807.11626 (the space); Sandler et al. 2018,
    https://arxiv.org/abs/1801.04381 (the block); Howard et al. 2019, https://arxiv.org/abs/1905.02244.

    Raises:
        ConfigError: the rows are no images.
    """
    require("mbconv", task, "image")
    function = Choice(("relu", "silu", "hardswish"), name="activation")
    parts: list[Node] = []
    depths: dict[str, Node] = {}
    for stage, widths in enumerate(WIDTHS[: 2 if max(task.input_shape[1:]) <= 8 else 3], start=1):
        channels = Choice(widths, name=f"channels_{stage}")
        options = {"out_channels": channels, "kernel": Choice((3, 5)), "expand": Choice((1, 3, 6))}
        options |= {"ratio": Choice((0.0, 0.25)), "activation": function}
        first = layers.mbconv(**options, stride=1 if stage == 1 else 2)
        parts += [first, Repeat(0, 2, layers.mbconv(**options), name=f"stage_{stage}")]
        head = layers.conv2d(out_channels=Multiple(channels, 4), kernel=1, bias=False)
        depths[str(stage)] = Chain(*parts, head)
    stem = layers.conv2d(out_channels=Choice((8, 16, 24), name="stem"), kernel=3, bias=False)
    norm, activation = layers.batch_norm(), layers.activation(function=function)
    template = Chain(
        Chain(stem, norm, activation),
        Choice(depths, name="stages"),
        Chain(norm, activation, layers.global_avg_pool()),
        dropout(0.2),
        layers.linear(out_features=Outputs()),
    )
    return Space("mbconv", task, template, training(task), total=modest(task))
