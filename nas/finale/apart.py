"""Trainings of the end in processes of their own, several at a time: the same bits as in this process.

They run as trials do, see `ProcessEngine`; the rows travel in files, and so does what comes of a training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...core import Budget, Candidate, Evaluation, Scalar, canonical_json
from ...core import device as find_device
from ...core.data import Preprocessing
from ..runner import Job, Outcome, ProcessEngine, Workplace
from ..training import Fold, TrainingFactory
from .retraining import Whole, fitted_figures, train_folds, train_whole, validation_figures

WAIT_S: Final = 1.0
_WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """One training to be done apart.

    Attributes:
        candidate: what to train; its id names what comes of it.
        until: the epoch to train to on all rows; None trains on the folds.
        folder: to save the model in, where it is trained on all rows.
        origin: that the saved model tells.
    """

    candidate: Candidate
    until: int | None = None
    folder: Path | None = None
    origin: Mapping[str, Any] | None = None


class ApartEvaluator:
    """Does trainings of the end in a worker process.

    Args:
        factory: of where the rows are.
        folds: to validate on.
        whole: to train what is saved on.
    """

    def __init__(self, factory: ApartFactory, folds: Sequence[Fold], whole: Whole) -> None:
        self._factory = factory
        self._folds = folds
        self._whole = whole
        self._device = find_device(factory.device)

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train a candidate, whose point says how; arrays go into files."""
        how, asked = candidate.flat, self._factory
        if "folder" not in how:
            run = train_folds(candidate, self._folds, epochs=asked.epochs, patience=asked.patience, device=self._device)
            if run.diverged:
                return Evaluation(objectives={}, curves=run.curves, epochs=run.epoch, diverged=True)
            np.save(predictions_file(Path(asked.folder), candidate.id), run.predicted, allow_pickle=False)
            return Evaluation(objectives=validation_figures(run), curves=run.curves, epochs=run.epoch)
        folder, origin = Path(str(how["folder"])), json.loads(str(how["origin"]))
        training, spec = train_whole(
            candidate, self._whole, folder, origin, epochs=asked.epochs, until=int(how["until"]), device=self._device
        )
        curves = training.trainer.curves
        if spec is None:
            return Evaluation(objectives={}, curves=curves, epochs=budget.epochs, diverged=True)
        return Evaluation(objectives=fitted_figures(spec), curves=curves, epochs=budget.epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApartFactory:
    """Makes an `ApartEvaluator` over rows in files.

    Attributes:
        folder: that holds them.
        rows: the folds in it.
        epochs, patience, device: see `FinaleOptions`.
    """

    folder: str
    rows: TrainingFactory
    epochs: int
    patience: int | None
    device: str

    @classmethod
    def write(
        cls, folder: Path, folds: Sequence[Fold], whole: Whole, *, epochs: int, patience: int | None, device: str
    ) -> ApartFactory:
        """Write the rows into a folder, which stays the caller's."""
        rows = TrainingFactory.write_folds(folder, folds)
        np.save(folder / f"{_WHOLE}.inputs.npy", whole.inputs, allow_pickle=False)
        np.save(folder / f"{_WHOLE}.targets.npy", whole.targets, allow_pickle=False)
        (folder / f"{_WHOLE}.json").write_text(canonical_json(whole.preprocessing.to_dict()))
        return cls(folder=str(folder), rows=rows, epochs=epochs, patience=patience, device=device)

    def __call__(self) -> ApartEvaluator:
        """An evaluator over the files, mapped into memory."""
        folder = Path(self.folder)
        inputs, targets = (
            np.asarray(np.load(folder / f"{_WHOLE}.{name}.npy", mmap_mode="r")) for name in ("inputs", "targets")
        )
        preprocessing = Preprocessing.from_dict(json.loads((folder / f"{_WHOLE}.json").read_text()))
        return ApartEvaluator(
            self, self.rows.read(), Whole(inputs=inputs, targets=targets, preprocessing=preprocessing)
        )


def predictions_file(folder: Path, candidate: str) -> Path:
    """Where a candidate's predictions of validation rows are put."""
    return folder / f"predictions-{candidate}.npy"


def train_apart(
    tasks: Sequence[Callable[[], Apart]],
    write: Callable[[Path], ApartFactory],
    workers: int,
    *,
    total: int,
) -> Iterator[tuple[int, Outcome, Path]]:
    """Train several at a time.

    Args:
        tasks: called when their turn has come, in order.
        write: writes the rows into a folder.
        workers: trainings at a time, >= 1.
        total: epochs of the whole schedule.

    Yields:
        As they end: the place of a task, its outcome, and the folder with what it gave.
    """
    with Workplace() as place:
        folder = place.path / "rows"
        folder.mkdir()
        engine = ProcessEngine(write(folder), min(workers, len(tasks)), persistent=True)
        try:
            begun = ended = 0
            while ended < len(tasks):
                while begun < len(tasks) and begun - ended < engine.slots:
                    engine.submit(_job(begun, tasks[begun](), total))
                    begun += 1
                for event in engine.wait(WAIT_S):
                    if isinstance(event, Outcome):
                        ended += 1
                        yield event.number, event, folder
        finally:
            engine.close()


def _job(number: int, task: Apart, total: int) -> Job:
    flat: dict[str, Scalar] = {}
    if task.until is not None:
        flat = {"until": task.until, "folder": str(task.folder), "origin": json.dumps(task.origin)}
    return Job(
        number=number,
        attempt=1,
        candidate=replace(task.candidate, flat=flat),
        budgets=(Budget(epochs=total, total=total),),
        objectives=("val_loss",) if task.until is None else ("parameters",),
    )
