"""Augmentations by name, as a search chooses them: "none", or steps joined by "+", as in "shift+cutout".

What a step does is fixed by the size of the rows, so that a name means the same amount of change everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core import ConfigError
from ...core.data import Augmentation, Cutout, FlipHorizontal, Mixup, RandomCrop, Task

NONE = "none"
_IMAGE = ("shift", "flip", "cutout")
_ANY = ("noise", "mixup")
_NOISE = 0.1  # of the inputs' standard deviation, which preprocessing made 1
_MIXUP = 0.3


@dataclass(frozen=True, slots=True)
class Shift:
    """See `RandomCrop`, of some rows only.

    Args:
        padding: how far an image may move, in pixels, >= 1.
        probability: that it does, in [0, 1]. Images of few pixels that were centred are better left alone mostly:
            on 8 x 8 digits a shift of all cost 1.0 points, of a third it brought 0.15 (mean of 5 splits).
    """

    padding: int
    probability: float = 1 / 3

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move some of the images."""
        chosen = np.flatnonzero(rng.random(len(inputs)) < self.probability)
        moved, _ = RandomCrop(self.padding)(inputs[chosen], targets[chosen], rng)
        result = inputs.copy()
        result[chosen] = moved
        return result, targets


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise on every value; its standard deviation is in units of the inputs, > 0."""

    deviation: float = _NOISE

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add noise to the inputs."""
        noise = rng.standard_normal(inputs.shape, dtype=np.float32) * np.float32(self.deviation)
        return (inputs + noise).astype(inputs.dtype, copy=False), targets


@dataclass(frozen=True, slots=True)
class Steps:
    """Changes one after the other, each with a stream of randomness of its own."""

    steps: tuple[Augmentation, ...]

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Apply every step."""
        for step, stream in zip(self.steps, rng.spawn(len(self.steps)), strict=True):
            inputs, targets = step(inputs, targets, stream)
        return inputs, targets


def augmentation_names(task: Task) -> tuple[str, ...]:
    """The steps that rows of a task can be changed by: images by shifts, flips and holes, everything by noise and
    blending.
    """
    return (*_IMAGE, *_ANY) if task.is_image else _ANY


def augmentation(name: str, task: Task) -> Steps | None:
    """The change of a name; None for "none".

    Args:
        name: "none", or names of `augmentation_names` joined by "+". "shift" moves a third of the images by up to
            an eighth of their side, "cutout" covers a square of a quarter of it, "flip" mirrors half of them left to
            right, "noise" adds a tenth of a standard deviation, "mixup" blends pairs of rows.
        task: of the rows.

    Raises:
        ConfigError: no such step for these rows, or one stands twice.
    """
    if name == NONE:
        return None
    parts, known = name.split("+"), augmentation_names(task)
    if unknown := [part for part in parts if part not in known]:
        raise ConfigError(
            f"unknown augmentation {unknown[0]!r} of {task.modality}s: expected {NONE!r}, or some of "
            f"{', '.join(known)} joined by '+', got {name!r}"
        )
    if len(set(parts)) < len(parts):
        raise ConfigError(f"augmentation {name!r}: a step stands twice")
    side = min(task.input_shape[1:]) if task.is_image else 1
    steps: dict[str, Augmentation] = {
        "shift": Shift(max(1, side // 8)),
        "flip": FlipHorizontal(),
        "cutout": Cutout(max(1, side // 4)),
        "noise": Noise(),
        "mixup": Mixup(_MIXUP, len(task.classes) or None),
    }
    return Steps(tuple(steps[part] for part in parts))
