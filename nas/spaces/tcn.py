"""Temporal convolutional networks: dilated causal convolutions over sequences."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Node, Outputs, Residual, Space, layers, space
from .common import ACTIVATION, dropout, modest, normalisation, require, training

MAX_BLOCKS = 7


@space("tcn")
def tcn(task: Task) -> Space:
    """Residual blocks of two causal convolutions; each block looks twice as far back as the one before.

    There are as many blocks at most as it takes to look at the whole sequence.

    Source: Bai et al. 2018, https://arxiv.org/abs/1803.01271, figure 1; batch norm in the place of weight norm.

    Raises:
        ConfigError: the rows are no sequences.
    """
    require("tcn", task, "sequence")
    steps, features = task.input_shape
    parts: list[Node] = []
    depths: dict[str, Node] = {}
    for level in range(max(1, min(MAX_BLOCKS, (steps - 1).bit_length()))):
        channels = Choice((16, 32, 64, 96), name=f"channels_{level + 1}")
        parts += [Residual(_block(channels, 2**level, steps)), ACTIVATION]
        depths[str(level + 1)] = Chain(*parts)
    heads: dict[str, Node] = {"last": Chain(layers.select(start=steps - 1, axis=1), layers.flatten())}
    if steps > 1:
        heads["mean"] = layers.global_avg_pool()
    template = Chain(
        # (T, features) as an image of T rows and one column, whose channels are the features.
        layers.reshape(shape=(steps, features, 1)),
        layers.image_to_sequence(),
        layers.reshape(shape=(features, steps, 1)),
        Choice(depths, name="blocks"),
        Choice(heads, name="head"),
        dropout(0.2, 0.4, name="last_dropout"),
        layers.linear(out_features=Outputs()),
    )
    return Space("tcn", task, template, training(task), total=modest(task))


def _block(channels: Choice, dilation: int, steps: int) -> Node:
    """Two causal convolutions: padded on both sides, and what lies behind the last step cut off."""
    kernels: dict[str, Node] = {}
    for kernel in (2, 3, 5):
        convolution = layers.conv2d(
            out_channels=channels,
            kernel=(kernel, 1),
            dilation=(dilation, 1),
            padding=((kernel - 1) * dilation, 0),
            bias=False,
        )
        kernels[str(kernel)] = Chain(convolution, layers.select(stop=steps, axis=1))
    causal = Chain(Choice(kernels, name="kernel"), normalisation("batch_norm"))
    return Chain(causal, ACTIVATION, dropout(0.1, 0.3), causal)
