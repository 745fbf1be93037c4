"""Small convolutional networks for images: stages of convolutions, each ending in a pooling layer or none."""

from __future__ import annotations

from ...core import ConfigError, ModelSpec
from ...core.data import Task
from ...core.nn import LayerSpec, layer_spec
from ..space import Choice, Choices, Group, Int, Repeat, Space, space
from .common import ACTIVATION, TRAINING, activation, normalisation

MAX_STAGES = 3


@space("cnn")
def cnn(task: Task) -> Space:
    """1 to 3 stages of 1 or 2 convolutions with 8 to 48 channels, 3 x 3 or 5 x 5, with or without skip connections."""
    if not task.is_image:
        raise ConfigError(
            f"space 'cnn' needs images of shape (C, H, W), got rows of shape {task.input_shape}",
            hint="use space 'mlp'",
        )
    side = min(task.input_shape[1:])
    halvings = side.bit_length() - 1  # how often the smaller side can be pooled
    stage = Group(
        {
            "width": Choice((8, 16, 24, 32, 48)),
            "blocks": Int(1, 2),
            "kernel": Choice((3, 5)),
            "skip": Choice((False, True)),
            "pool": Choice(("max_pool2d", "avg_pool2d", "none") if halvings else ("none",)),
        }
    )
    tree = Group(
        {
            "stages": Repeat(1, min(MAX_STAGES, max(halvings, 1)), stage),
            "activation": ACTIVATION,
            "normalisation": Choice(("none", "batch_norm")),
            "head": Choice(("flatten", "global_avg_pool")),
        }
    )
    return Space(
        "cnn",
        task,
        tree,
        TRAINING,
        to_spec=lambda choices: _network(choices, task),
        canonical=lambda choices: _canonical(choices, task),
    )


def _canonical(choices: Choices, task: Task) -> Choices:
    """Averaging an image of one pixel is flattening it."""
    pools = sum(stage["pool"] != "none" for stage in choices["stages"])
    single_pixel = max(task.input_shape[1:]) >> pools == 1
    return {**choices, "head": "flatten"} if single_pixel else choices


def _network(choices: Choices, task: Task) -> ModelSpec:
    layers: list[LayerSpec] = []
    width = task.input_shape[0]
    for stage in choices["stages"]:
        for _ in range(stage["blocks"]):
            body = (
                layer_spec("conv2d", out_channels=stage["width"], kernel=stage["kernel"]),
                *normalisation(choices),
            )
            if stage["skip"]:
                same = stage["width"] == width
                shortcut = () if same else (layer_spec("conv2d", out_channels=stage["width"], kernel=1, bias=False),)
                layers.append(layer_spec("residual", body=body, shortcut=shortcut))
            else:
                layers.extend(body)
            layers.append(activation(choices))
            width = stage["width"]
        if stage["pool"] != "none":
            layers.append(layer_spec(stage["pool"], size=2))
    layers.append(layer_spec(choices["head"]))
    layers.append(layer_spec("linear", out_features=len(task.classes)))
    return ModelSpec(task.input_shape, tuple(layers))
