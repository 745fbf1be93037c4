"""Residual multi-layer perceptrons: blocks that widen, narrow and add to what came in."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Multiple, Node, Outputs, Repeat, Residual, Space, layers, space
from .common import ACTIVATION, dropout, flat_input, modest, require, training

WIDTH = Choice((32, 64, 128, 256), name="width")


def residual_mlp(low: int, high: int) -> Node:
    """`low` to `high` blocks between two affine maps, the sizes shared by all of them.

    Source: Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959, section 3.2 (the ResNet for tables).
    """
    wide = Choice({f"{times}": layers.linear(out_features=Multiple(WIDTH, times)) for times in (1, 2, 4)}, "expansion")
    norm = Choice({kind: getattr(layers, kind)() for kind in ("batch_norm", "layer_norm")}, name="block_norm")
    inner = Chain(norm, wide, ACTIVATION, dropout(0.1, 0.3, name="block_dropout"), layers.linear(out_features=WIDTH))
    return Chain(
        layers.linear(out_features=WIDTH),
        Repeat(low, high, Residual(inner), name="blocks"),
        norm,
        ACTIVATION,
        layers.linear(out_features=Outputs()),
    )


@space("resmlp")
def resmlp(task: Task) -> Space:
    """1 to 6 residual blocks of one width, 32 to 256; images and sequences are flattened.

    Sources: He et al. 2016, https://arxiv.org/abs/1603.05027, for the order in a block; Touvron et al. 2021,
    https://arxiv.org/abs/2105.03404, for its shape (ours does not mix patches apart from channels).

    Raises:
        ConfigError: the task has neither classes nor targets.
    """
    require("resmlp", task, "table", "sequence", "image")
    template = Chain(flat_input(task), residual_mlp(1, 6))
    return Space("resmlp", task, template, training(task), total=modest(task))
