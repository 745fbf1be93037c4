"""Networks for tables: the linear model, multi-layer perceptrons and residual networks in one space."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Outputs, Repeat, Space, layers, space
from .common import ACTIVATION, dropout, modest, normalisation, require, training
from .resmlp import residual_mlp


@space("tabular")
def tabular(task: Task) -> Space:
    """A linear model, 1 to 4 hidden layers of 8 to 256 units, or 1 to 4 residual blocks.

    The linear model is there because it is often the best: on small tables few networks beat it.

    Source: Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959.

    Raises:
        ConfigError: the rows are no tables.
    """
    require("tabular", task, "table")
    width = Choice((8, 16, 32, 64, 128, 256))
    hidden = Chain(
        layers.linear(out_features=width),
        normalisation("batch_norm", "layer_norm"),
        ACTIVATION,
        dropout(0.1, 0.3, 0.5),
    )
    last = layers.linear(out_features=Outputs())
    kinds = {"linear": last, "mlp": Chain(Repeat(1, 4, hidden, name="hidden"), last), "resnet": residual_mlp(1, 4)}
    return Space("tabular", task, Choice(kinds, name="kind"), training(task), total=modest(task))
