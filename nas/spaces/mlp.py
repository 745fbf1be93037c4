"""Multi-layer perceptrons for rows of numbers; images and sequences are flattened."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Outputs, Repeat, Residual, Space, layers, space
from .common import ACTIVATION, dropout, flat_input, modest, normalisation, require, training


@space("mlp")
def mlp(task: Task) -> Space:
    """1 to 4 hidden layers of 16 to 256 units, each with or without a skip connection.

    Source: Rumelhart et al. 1986, https://doi.org/10.1038/323533a0; normalisation by Ioffe & Szegedy 2015.

    Raises:
        ConfigError: the task has neither classes nor targets.
    """
    require("mlp", task, "table", "sequence", "image")
    width = Choice((16, 32, 64, 128, 256))
    hidden = Chain(
        Residual(Chain(layers.linear(out_features=width), normalisation("batch_norm", "layer_norm")), optional=True),
        ACTIVATION,
        dropout(0.1, 0.3),
    )
    template = Chain(flat_input(task), Repeat(1, 4, hidden, name="hidden"), layers.linear(out_features=Outputs()))
    return Space("mlp", task, template, training(task), total=modest(task))
