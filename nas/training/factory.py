"""Makers of evaluators, as plain data: what a worker process or another machine gets in place of arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...core import ConfigError, canonical_json, device
from ...core.data import Dataset, LoadOptions, Preprocessing, load_dataset, train_validation_test
from .evaluator import EvaluatorOptions, TrainingEvaluator
from .folds import Fold, make_folds

_ARRAYS = ("inputs", "targets", "held_inputs", "held_labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFactory:
    """Makes evaluators over rows that lie in files, which all processes of a machine share in memory.

    Attributes:
        folder: holds the arrays of each fold as .npy and its preprocessing as .json; see `write`.
        folds: how many there are.
        options: of the evaluators.
    """

    folder: str
    folds: int
    options: EvaluatorOptions

    @classmethod
    def write(
        cls, folder: Path, train: Dataset, validation: Dataset, options: EvaluatorOptions | None = None
    ) -> TrainingFactory:
        """Preprocess the rows and write them into `folder`, which stays the caller's to remove."""
        options = options or EvaluatorOptions()
        return cls.write_folds(folder, make_folds(train, validation, options.folds, options.seed), options)

    @classmethod
    def write_folds(
        cls, folder: Path, folds: Sequence[Fold], options: EvaluatorOptions | None = None
    ) -> TrainingFactory:
        """As `write`, of folds that are there already."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, fold in enumerate(folds):
            for name in _ARRAYS:
                np.save(folder / f"{i}.{name}.npy", getattr(fold, name), allow_pickle=False)
            (folder / f"{i}.json").write_text(canonical_json(fold.preprocessing.to_dict()))
        return cls(folder=str(folder.resolve()), folds=len(folds), options=options or EvaluatorOptions())

    def __call__(self) -> TrainingEvaluator:
        """An evaluator over the files, mapped into memory.

        Raises:
            ConfigError: they are not there.
        """
        return TrainingEvaluator.over(self.read(), self.options, device(self.options.device))

    def read(self) -> list[Fold]:
        """The folds, mapped into memory.

        Raises:
            ConfigError: they are not there.
        """
        try:
            return [self._read(i) for i in range(self.folds)]
        except OSError as exc:
            raise ConfigError(f"{self.folder}: the rows to train on are gone: {exc.strerror or exc}") from exc

    def _read(self, number: int) -> Fold:
        folder = Path(self.folder)
        arrays = [np.asarray(np.load(folder / f"{number}.{name}.npy", mmap_mode="r")) for name in _ARRAYS]
        text = (folder / f"{number}.json").read_text()
        return Fold(*arrays, preprocessing=Preprocessing.from_dict(json.loads(text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFactory:
    """Makes evaluators on a machine that has the data set itself: loads it, checks that it is the same, and splits it.

    Attributes:
        data: a bundled data set or a path there; see `load_dataset`.
        target: see `load_dataset`.
        seed: of the search, which decides the split.
        fingerprint: of the search's data.
        load: see `LoadOptions`; None for its defaults.
        options: of the evaluators.
    """

    data: str
    target: str | None = None
    seed: int
    fingerprint: str
    load: LoadOptions | None = None
    options: EvaluatorOptions = field(default_factory=EvaluatorOptions)

    def __call__(self) -> TrainingEvaluator:
        """Load the data and make an evaluator.

        Raises:
            ConfigError: it is not there, or is not what the search was started with.
            DataError: it cannot be learned from.
        """
        data = load_dataset(self.data, self.target, self.load)
        if data.fingerprint != self.fingerprint:
            raise ConfigError(
                f"{self.data} is not the data of the search: its fingerprint is {data.fingerprint[:12]}, "
                f"expected {self.fingerprint[:12]}",
                hint="copy the file of the search to this machine, or name it with --data",
            )
        train, validation, _ = train_validation_test(data, self.seed)
        options, place = self.options, device(self.options.device)
        return TrainingEvaluator.over(make_folds(train, validation, options.folds, options.seed), options, place)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        load = None if self.load is None else {**asdict(self.load), "task": None}
        return {**asdict(self), "load": load}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DatasetFactory:
        """Parse what `to_dict` wrote, such as the document of a lease.

        Raises:
            ConfigError: fields of another version of nasturtium, or values out of range.
        """
        try:
            load, options = document.get("load"), dict(document.get("options", {}))
            options["measured"] = tuple(options.get("measured", ()))
            given: dict[str, Any] = {**document, "options": EvaluatorOptions(**options)}
            given["load"] = None if load is None else LoadOptions(**_tuples(load))
            return cls(**given)
        except TypeError as exc:
            raise ConfigError(f"the evaluator was described by another version of nasturtium: {exc}") from exc

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], fingerprint: str, options: EvaluatorOptions | None = None
    ) -> DatasetFactory:
        """For a search's configuration as the history keeps it: its data, target, task, seed, folds and device."""
        kind = config.get("task")
        options = options or EvaluatorOptions(**{name: config[name] for name in _SHARED if name in config})
        return cls(
            data=config["data"],
            target=config.get("target"),
            seed=config["seed"],
            fingerprint=fingerprint,
            load=None if kind is None else LoadOptions(kind=kind, missing=config.get("missing", "refuse")),
            options=options,
        )


_SHARED = tuple(option.name for option in fields(EvaluatorOptions) if option.name != "measured")


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where options have tuples."""
    return {name: tuple(cast(list[Any], value)) if isinstance(value, list) else value for name, value in fields.items()}
