"""Multi-layer perceptrons for rows of numbers; images are flattened."""

from __future__ import annotations

from math import prod

from ...core import ModelSpec
from ...core.data import Task
from ...core.nn import LayerSpec, layer_spec
from ..space import Choice, Choices, Group, Repeat, Space, space
from .common import ACTIVATION, TRAINING, activation, normalisation


@space("mlp")
def mlp(task: Task) -> Space:
    """1 to 4 hidden layers of 16 to 256 units, each with or without a skip connection."""
    hidden = Group({"width": Choice((16, 32, 64, 128, 256)), "skip": Choice((False, True))})
    tree = Group(
        {
            "hidden": Repeat(1, 4, hidden),
            "activation": ACTIVATION,
            "normalisation": Choice(("none", "batch_norm", "layer_norm")),
            "dropout": Choice((0.0, 0.1, 0.3)),
        }
    )
    return Space("mlp", task, tree, TRAINING, lambda choices: _network(choices, task))


def _network(choices: Choices, task: Task) -> ModelSpec:
    layers: list[LayerSpec] = [layer_spec("flatten")] if len(task.input_shape) > 1 else []
    width = prod(task.input_shape)
    for hidden in choices["hidden"]:
        body = (layer_spec("linear", out_features=hidden["width"]), *normalisation(choices))
        if hidden["skip"]:
            same = hidden["width"] == width
            shortcut = () if same else (layer_spec("linear", out_features=hidden["width"], bias=False),)
            layers.append(layer_spec("residual", body=body, shortcut=shortcut))
        else:
            layers.extend(body)
        layers.append(activation(choices))
        if choices["dropout"]:
            layers.append(layer_spec("dropout", rate=choices["dropout"]))
        width = hidden["width"]
    layers.append(layer_spec("linear", out_features=len(task.classes)))
    return ModelSpec(task.input_shape, tuple(layers))
