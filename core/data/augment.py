"""Augmentation: random changes to batches of images that keep what is to be learned of them.

Functions over NumPy batches, and the same as frozen values that can be composed, compared and written as JSON. Images
are batches of inputs as a network gets them, shape (N, C, H, W); where a change leaves a hole it is 0, which after
standardising is the mean. Nothing is changed in place, and equal generators give equal bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from ..errors import ConfigError, FormatError, ShapeError


def flip_horizontal(images: np.ndarray, rng: np.random.Generator, probability: float = 0.5) -> np.ndarray:
    """Mirror each image left to right with some probability."""
    _check_images(images)
    chosen = rng.random(len(images)) < probability
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def random_crop(images: np.ndarray, rng: np.random.Generator, padding: int = 4) -> np.ndarray:
    """Surround each image with `padding` zeros and cut one of its own size out at a random place.

    Source: He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2 (ours is drawn for each image).
    """
    _check_images(images)
    count, _, height, width = images.shape
    rows, columns = rng.integers(0, 2 * padding + 1, (2, count))
    border = (padding, padding)
    padded = np.pad(images, ((0, 0), (0, 0), border, border))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return windows[np.arange(count), :, rows, columns]


def cutout(images: np.ndarray, rng: np.random.Generator, size: int = 8) -> np.ndarray:
    """Set a square of `size` x `size` pixels of each image to zero; its centre is any pixel, so part may lie outside.

    Source: DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552.
    """
    _check_images(images)
    count, _, height, width = images.shape

    def inside(length: int) -> np.ndarray:
        offset = np.arange(length) - rng.integers(0, length, (count, 1)) + size // 2
        return (offset >= 0) & (offset < size)

    hole = inside(height)[:, None, :, None] & inside(width)[:, None, None, :]
    return np.where(hole, np.zeros((), images.dtype), images)


def mixup(
    inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator, alpha: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each row with another of the batch, and their targets alike: `lam * own + (1 - lam) * other`.

    Args:
        inputs: floating, shape (N, ...).
        targets: floating, shape (N, k): class probabilities, see `one_hot`, or measurements.
        rng: draws one lam from Beta(alpha, alpha) for the batch, and the partners.
        alpha: > 0; small values leave rows almost as they are.

    Raises:
        ShapeError: the targets are class indices.

    Source: Zhang et al. 2018, https://arxiv.org/abs/1710.09412, figure 1.
    """
    if targets.ndim != 2 or targets.dtype.kind != "f" or len(targets) != len(inputs):
        raise ShapeError(
            f"mixup: expected floating targets of shape ({len(inputs)}, k), got {targets.dtype} {targets.shape}",
            hint="turn class indices into probabilities with one_hot(labels, classes)",
        )
    lam = rng.beta(alpha, alpha)
    others = rng.permutation(len(inputs))

    def blend(values: np.ndarray) -> np.ndarray:
        own, other = values.dtype.type(lam), values.dtype.type(1 - lam)
        return own * values + other * values[others]

    return blend(inputs), blend(targets)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Class indices, shape (N,), as probabilities, shape (N, classes), float32.

    Raises:
        ShapeError: not indices below `classes`.
    """
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iu"
        or (len(labels) and not 0 <= labels.min() <= labels.max() < classes)
    ):
        raise ShapeError(f"expected integers from 0 to {classes - 1} of shape (N,), got {labels.dtype} {labels.shape}")
    return (labels[:, None] == np.arange(classes)).astype(np.float32)


class Augmentation(Protocol):
    """A random change of a batch, as a value."""

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The changed batch; the one that was given stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class FlipHorizontal:
    """See `flip_horizontal`; probability in [0, 1]."""

    NAME: ClassVar[str] = "flip_horizontal"

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"expected a probability from 0 to 1, got {self.probability}")

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flip the inputs."""
        return flip_horizontal(inputs, rng, self.probability), targets


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """See `random_crop`; padding in pixels, >= 1."""

    NAME: ClassVar[str] = "random_crop"

    padding: int = 4

    def __post_init__(self) -> None:
        if self.padding < 1:
            raise ConfigError(f"expected a padding >= 1, got {self.padding}")

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Crop the inputs."""
        return random_crop(inputs, rng, self.padding), targets


@dataclass(frozen=True, slots=True)
class Cutout:
    """See `cutout`; size in pixels, >= 1."""

    NAME: ClassVar[str] = "cutout"

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"expected a size >= 1, got {self.size}")

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cut holes into the inputs."""
        return cutout(inputs, rng, self.size), targets


@dataclass(frozen=True, slots=True)
class Mixup:
    """See `mixup`; alpha > 0. Class indices become probabilities where `classes` says how many there are."""

    NAME: ClassVar[str] = "mixup"

    alpha: float = 0.2
    classes: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"expected alpha > 0, got {self.alpha}")

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Blend inputs and targets."""
        if self.classes is not None and targets.ndim == 1:
            targets = one_hot(targets, self.classes)
        return mixup(inputs, targets, rng, self.alpha)


_KINDS = (FlipHorizontal, RandomCrop, Cutout, Mixup)
_Step = FlipHorizontal | RandomCrop | Cutout | Mixup


@dataclass(frozen=True, slots=True)
class Compose:
    """Changes one after the other, each with a stream of randomness of its own.

    >>> Compose(FlipHorizontal(), RandomCrop(padding=2)).to_dict()["steps"][1]
    {'name': 'random_crop', 'padding': 2}
    """

    steps: tuple[_Step, ...]

    def __init__(self, *steps: _Step) -> None:
        object.__setattr__(self, "steps", steps)

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Apply every step."""
        for step, stream in zip(self.steps, rng.spawn(len(self.steps)), strict=True):
            inputs, targets = step(inputs, targets, stream)
        return inputs, targets

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"steps": [{"name": step.NAME, **asdict(step)} for step in self.steps]}

    @classmethod
    def from_dict(cls, value: object) -> Compose:
        """Parse and check.

        Raises:
            FormatError: not a list of known steps, or a value out of range.
        """
        found = cast(dict[str, object], value).get("steps") if isinstance(value, dict) else None
        if not isinstance(found, list):
            raise FormatError(f"expected an augmentation with a list of 'steps', got {value!r}")
        return cls(*(_parse(step) for step in cast(list[object], found)))


def _parse(value: object) -> _Step:
    step = dict(cast(Mapping[str, object], value)) if isinstance(value, dict) else {}
    name = step.pop("name", None)
    kinds = {kind.NAME: kind for kind in _KINDS}
    if not isinstance(name, str) or name not in kinds:
        raise FormatError(f"unknown augmentation: expected one of {', '.join(kinds)}, got {name!r}")
    kind = kinds[name]
    # A parameter is of the type of its default; Mixup's classes, without one, are an integer.
    types = {field.name: (int, float) if isinstance(field.default, float) else (int,) for field in fields(kind)}
    for parameter, given in step.items():
        optional = given is None and kind is Mixup and parameter == "classes"
        if parameter not in types or not (optional or type(given) in types[parameter]):
            raise FormatError(f"augmentation {name!r}: unexpected {parameter!r}: {given!r}")
    try:
        return kind(**cast(dict[str, Any], step))
    except ConfigError as exc:
        raise FormatError(f"augmentation {name!r}: {exc.message}") from exc


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4:
        raise ShapeError(f"expected images of shape (N, C, H, W), got {images.shape}")
