"""Recurrent networks over sequences."""

from __future__ import annotations

from ...core.data import Task
from ..space import Chain, Choice, Node, Outputs, Repeat, Space, layers, space
from .common import dropout, modest, require, training

KINDS = ("gru", "lstm", "rnn")


@space("rnn")
def rnn(task: Task) -> Space:
    """1 to 3 recurrent layers of one kind, 16 to 128 units in one direction or both; the last state or the mean.

    Sources: Elman 1990; Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; Cho et al. 2014,
    https://arxiv.org/abs/1406.1078; Schuster & Paliwal 1997 for both directions, https://doi.org/10.1109/78.650093.

    Raises:
        ConfigError: the rows are no sequences.
    """
    require("rnn", task, "sequence")
    options = {"hidden": Choice((16, 32, 64, 128), name="units"), "bidirectional": Choice((False, True), name="both")}
    lower: dict[str, Node] = {kind: getattr(layers, kind)(**options) for kind in KINDS}
    last: dict[str, Node] = {kind: getattr(layers, kind)(**options, sequences=False) for kind in KINDS}
    heads: dict[str, Node] = {"last": Choice(last, name="unit")}
    if task.input_shape[0] > 1:
        heads["mean"] = Chain(Choice(lower, name="unit"), layers.sequence_mean())
    template = Chain(
        Repeat(0, 2, Chain(Choice(lower, name="unit"), dropout(0.2)), name="below"),
        Choice(heads, name="head"),
        dropout(0.2, 0.4, name="last_dropout"),
        layers.linear(out_features=Outputs()),
    )
    return Space("rnn", task, template, training(task), total=modest(task))
