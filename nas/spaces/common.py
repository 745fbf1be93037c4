"""What the spaces share: activations, normalisation, the hyperparameters searched along with a network, and checks."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ...core import ConfigError
from ...core.data import Task
from ..space import Chain, Choice, Float, Leaf, layers

ACTIVATION = layers.activation(function=Choice(("relu", "gelu", "silu"), name="activation"))
_LARGEST_SIDE = 128  # of an image
_LONGEST = 1024  # steps of a sequence
_MOST_VALUES = 2**18  # of a row
_MOST_OUTPUTS = 1000
# Of tables more: in SGD a decay is the penalty of ridge regression divided by half the rows, so that on 300 rows this
# reaches a penalty of 150.
_MOST_DECAY = {"table": 1.0, "image": 1e-1, "sequence": 1e-1}


def training(task: Task) -> Mapping[str, Leaf]:
    """The hyperparameters of a task, by the names and values that training understands.

    Images of few pixels are not covered in part, and only those of three channels, which are likely photographs, are
    mirrored.
    """
    found: dict[str, Leaf] = {
        "optimizer": Choice(("adamw", "sgd")),
        "learning_rate": Float(5e-4, 5e-2, log=True),
        "weight_decay": Float(1e-5, _MOST_DECAY[task.modality], log=True),
        "batch_size": Choice((32, 64, 128)),
    }
    if task.kind == "classification":
        found["label_smoothing"] = Choice((0.0, 0.1))
    if task.is_image and min(task.input_shape[1:]) >= 4:
        flips = ("flip", "shift+flip") if task.input_shape[0] == 3 else ()
        found["augmentation"] = Choice(("none", "shift", "cutout", "mixup", *flips))
    return found


def normalisation(*kinds: str) -> Choice:
    """One kind of normalisation layer for the whole network, or none."""
    return Choice({"none": Chain(), **{kind: getattr(layers, kind)() for kind in kinds}}, name="normalisation")


def dropout(*rates: float, name: str | None = "dropout") -> Choice:
    """Dropout at one of some rates, or none; one decision for the whole network where it has a name."""
    return Choice({"0": Chain(), **{f"{rate:g}": layers.dropout(rate=rate) for rate in rates}}, name=name)


def flat_input(task: Task) -> Chain:
    """Layers that make one row of numbers of an input."""
    return Chain(layers.flatten()) if len(task.input_shape) > 1 else Chain()


def require(name: str, task: Task, *modalities: str) -> None:
    """Refuse a task that a space cannot serve.

    Raises:
        ConfigError: the task's rows are of none of the modalities, or there is nothing to tell.
    """
    known = {"table": "tables of shape (features,)", "sequence": "sequences of shape (T, features)"}
    known["image"] = "images of shape (C, H, W)"
    if task.modality not in modalities:
        hint = f"use space {_USUAL[task.modality]!r}"
        if task.is_image and "sequence" in modalities:
            hint += ", or call the array of an NPZ file 'sequences'"
        raise ConfigError(
            f"space {name!r} needs {' or '.join(known[m] for m in modalities)}, got rows of shape {task.input_shape}",
            hint=hint,
        )
    if task.outputs < 1:
        raise ConfigError(f"space {name!r} needs a task with classes or targets, got one without")


def modest(task: Task) -> bool:
    """Whether every network of a space is sure to stay below the limits of a `ModelSpec`; else each is looked at."""
    sides = task.input_shape[1:] if task.is_image else ()
    steps = task.input_shape[0] if task.modality == "sequence" else 1
    return (
        max(sides, default=1) <= _LARGEST_SIDE
        and steps <= _LONGEST
        and prod(task.input_shape) <= _MOST_VALUES
        and task.outputs <= _MOST_OUTPUTS
    )


_USUAL = {"table": "tabular", "sequence": "tcn", "image": "cnn"}


def usual_name(task: Task) -> str:
    """The name of the space that suits most tasks of a kind."""
    return _USUAL[task.modality]
