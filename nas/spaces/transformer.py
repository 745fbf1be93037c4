"""Transformer encoders: of sequences as they are, and of images cut into patches."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Node, Outputs, Repeat, Space, layers, space
from .common import dropout, modest, require, training

WIDTH = Choice((32, 64, 96, 128), name="width")
PATCHES = (1, 2, 4, 7, 8, 14, 16, 32, 64)  # sides in pixels
MOST_TOKENS = 256


@space("transformer")
def transformer(task: Task) -> Space:
    """1 to 6 encoder layers of one width, with 1 to 4 heads each; the mean of all steps is what is classified.

    Images become patches, whose side is a decision among those that leave at most 256 of them.

    Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Dosovitskiy et al. 2021 for images,
    https://arxiv.org/abs/2010.11929; Chen et al. 2021 for what is searched, https://arxiv.org/abs/2107.00651.

    Raises:
        ConfigError: the rows are tables.
    """
    require("transformer", task, "sequence", "image")
    function = Choice(("gelu", "relu", "silu"), name="activation")
    rates = Choice((0.0, 0.1, 0.2), name="attention_dropout")
    encoder = layers.transformer_encoder(
        heads=Choice((1, 2, 4)),
        hidden=Choice((64, 128, 256)),
        activation=function,
        norm=Choice(("layer", "rms"), name="norm"),
        dropout=rates,
    )
    places = {
        "waves": layers.positional_encoding(learned=False),
        "learned": layers.positional_encoding(learned=True),
        "none": Chain(),
    }
    template = Chain(
        _patches(task) if task.is_image else layers.linear(out_features=WIDTH),
        Choice(places, name="places"),
        Repeat(1, 6, encoder, name="layers"),
        layers.layer_norm(over="last"),
        layers.sequence_mean(),
        dropout(0.1, 0.3),
        layers.linear(out_features=Outputs()),
    )
    return Space("transformer", task, template, training(task), total=modest(task))


def _patches(task: Task) -> Node:
    """Squares of pixels as the steps of a sequence."""
    height, width = task.input_shape[1:]
    counts = {side: (height // side) * (width // side) for side in PATCHES if side <= min(height, width)}
    fitting = [side for side, count in counts.items() if 4 <= count <= MOST_TOKENS]
    if not fitting:  # tiny images, and narrow ones: as many patches as are allowed, or else as few as there can be
        allowed = [side for side, count in counts.items() if count <= MOST_TOKENS]
        fitting = allowed[:1] or [max(counts)]
    embed = {str(side): layers.conv2d(out_channels=WIDTH, kernel=side, stride=side, padding=0) for side in fitting[-3:]}
    return Chain(Choice(embed, name="patch"), layers.image_to_sequence())
