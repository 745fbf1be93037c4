"""Small convolutional networks for images: stages of convolutions in a chain, with pooling in between."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Node, Outputs, Repeat, Residual, Space, layers, space
from .common import ACTIVATION, dropout, modest, normalisation, require, training

MAX_STAGES = 3


@space("cnn")
def cnn(task: Task) -> Space:
    """1 to 3 stages of 1 or 2 convolutions with 8 to 48 channels, 3 x 3 or 5 x 5, with or without skip connections.

    Sources: Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556; He et al. 2016 for the skip connections,
    https://arxiv.org/abs/1512.03385; Lin et al. 2014 for the mean at the end, https://arxiv.org/abs/1312.4400.

    Raises:
        ConfigError: the rows are no images.
    """
    require("cnn", task, "image")
    convolution = layers.conv2d(out_channels=Choice((8, 16, 24, 32, 48)), kernel=Choice((3, 5)))
    block = Chain(Residual(Chain(convolution, normalisation("batch_norm")), optional=True), ACTIVATION)
    parts: list[Node] = []
    depths: dict[str, Node] = {}
    for stage in range(1, MAX_STAGES + 1):
        if 1 < stage <= _poolings(task) + 1:
            pools = {"max": layers.max_pool2d(size=2), "avg": layers.avg_pool2d(size=2), "none": Chain()}
            parts.append(Choice(pools, name=f"pool_{stage - 1}"))
        parts.append(Repeat(1, 2, block, name=f"stage_{stage}"))
        depths[str(stage)] = Chain(*parts)
    heads = {"flatten": layers.flatten(), "global_avg_pool": layers.global_avg_pool()}
    if task.input_shape[1:] == (1, 1):
        del heads["global_avg_pool"]  # the mean of one pixel is the pixel
    template = Chain(
        Choice(depths, name="stages"),
        Choice(heads, name="head"),
        dropout(0.2, 0.4),
        layers.linear(out_features=Outputs()),
    )
    return Space("cnn", task, template, training(task), total=modest(task))


def _poolings(task: Task) -> int:
    """How often an image can be halved so that two pixels remain, which a mean and a flattening tell apart."""
    short, long = sorted(task.input_shape[1:])
    return max(0, min(short.bit_length() - 1, (long // 2).bit_length() - 1, MAX_STAGES - 1))
