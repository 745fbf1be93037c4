"""What the spaces share: activations, normalisation, and the hyperparameters searched along with a network."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.nn import LayerSpec, layer_spec
from ..space import Choice, Choices, Float, Leaf

ACTIVATION = Choice(("relu", "gelu", "silu"))
TRAINING: Mapping[str, Leaf] = {
    "learning_rate": Float(5e-4, 1e-2, log=True),
    "weight_decay": Float(1e-5, 1e-1, log=True),
}


def activation(choices: Choices) -> LayerSpec:
    """The chosen activation."""
    return layer_spec("activation", function=choices["activation"])


def normalisation(choices: Choices) -> tuple[LayerSpec, ...]:
    """The chosen normalisation layer, if any."""
    kind = choices["normalisation"]
    return () if kind == "none" else (layer_spec(kind),)
