"""What a search is asked for, and everything it needs before it touches a database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core import ConfigError, Device, canonical_json, device
from ..core.data import Dataset, load_dataset, resolve_source, train_validation_test
from . import spaces as _spaces  # noqa: F401 - fills SPACES  # pyright: ignore[reportUnusedImport]
from .space import SPACES, Space
from .strategies import STRATEGIES


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """What to search and how. The history keeps it; a resumed search reads it back.

    Attributes:
        data: a bundled data set or a path, see `load_dataset`.
        target: the column or array with the classes, for a file.
        trials: architectures to train, >= 1.
        seed: decides the split, the proposals and the weights.
        space: a name of `SPACES`; None takes "cnn" for images and "mlp" for tables.
        strategy: a name of `STRATEGIES`.
        epochs: the longest a trial is trained, >= 1.
        device: where to train.
    """

    data: str
    target: str | None = None
    trials: int = 20
    seed: int = 0
    space: str | None = None
    strategy: str = "tpe"
    epochs: int = 30
    device: str = "cpu"

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SearchConfig:
        """What the history kept of a configuration.

        Raises:
            ConfigError: fields of another version of nasturtium.
        """
        try:
            return cls(**fields)
        except TypeError as exc:
            raise ConfigError(f"the search was configured by another version of nasturtium: {exc}") from exc

    def __post_init__(self) -> None:
        if self.trials < 1 or self.epochs < 1:
            raise ConfigError(f"expected trials >= 1 and epochs >= 1, got {self.trials} and {self.epochs}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {self.seed}")
        if self.space is not None:
            SPACES.find(self.space)
        STRATEGIES.find(self.strategy)


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """All a search needs before it touches a database: checked, loaded, split.

    Attributes:
        config: with an absolute path to the data, because resuming may start elsewhere.
        data: all rows.
        train, validation, test: its parts.
        space: made for the data's task.
        device: where to train.
    """

    config: SearchConfig
    data: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset
    space: Space
    device: Device

    @classmethod
    def load(cls, config: SearchConfig) -> SearchSetup:
        """Load and check everything.

        Raises:
            ConfigError: the request cannot be served.
            DataError: the data cannot be learned from.
        """
        place = device(config.device)
        data = load_dataset(config.data, config.target)
        space = SPACES[config.space or ("cnn" if data.task.is_image else "mlp")](data.task)
        config = replace(config, data=resolve_source(config.data))
        train, validation, test = train_validation_test(data, config.seed)
        return cls(config, data, train, validation, test, space, place)

    @property
    def space_sha256(self) -> str:
        """Hash of what can be chosen: a search is only resumed in the space it was started in."""
        return hashlib.sha256(canonical_json(self.space.to_dict()).encode()).hexdigest()
