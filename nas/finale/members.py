"""Candidates trained again: with other seeds and measured on validation rows, then on all rows but the test rows.

Each training is a run of its own in the history, below the search. One that is completed there is not done again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...core import Candidate, ModelSpec, canonical_json, derive_seed, load_model
from ...core import device as find_device
from ...core.data import Preprocessing
from ...core.nn import Module
from ...core.train import Curves
from ...storage import Database, History, RunRecord, SearchRecord, Tracker, TrialRecord, unpack_model
from ..runner import Outcome
from ..runner.jobs import NOT_FINITE
from ..training import make_folds
from .apart import Apart, ApartFactory, predictions_file, train_apart
from .options import FinaleData, FinaleOptions
from .references import in_units, score_figures
from .retraining import Whole, fitted_figures, train_folds, train_whole, validation_figures

_PREDICTIONS = "predictions"  # the role and the name of what a validated member says of validation rows
_FILE = "predictions.npy"
_ORDER = ("val_loss", "val_accuracy", "val_rmse", "val_mae", "val_r2", "val_f1", "val_auroc")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A candidate with one of its seeds.

    Attributes:
        trial: it was found in.
        index: of the seed, from 0.
    """

    trial: TrialRecord
    index: int

    @property
    def name(self) -> str:
        """How a report calls it."""
        return f"trial {self.trial.number + 1}, seed {self.index}"


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """A member trained on the training rows, or on each fold.

    Attributes:
        member: which.
        figures: of the best epoch on rows it did not see, with best_epoch; empty where it diverged.
        predicted: what it says of these rows, shape (N, outputs); empty where it diverged.
    """

    member: Member
    figures: Mapping[str, float]
    predicted: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A member trained on all rows but the test rows, and saved.

    Attributes:
        member: which.
        uid: of its run.
        spec: its network.
        model: with the trained weights.
    """

    member: Member
    uid: str
    spec: ModelSpec
    model: Module


class Members:
    """Trains members, or finds them in the history.

    Args:
        data: all rows; those of the test are not looked at.
        options: how to train.
        database: of the history.
        tracker: writes it.
        search: that the members belong to.

    Attributes:
        cpu_seconds: that trainings in other processes took.
    """

    def __init__(
        self, data: FinaleData, options: FinaleOptions, database: Database, tracker: Tracker, search: SearchRecord
    ) -> None:
        self._options = options
        self._database = database
        self._tracker = tracker
        self._search = search
        self._device = find_device(options.device)
        self.folds = make_folds(data.train, data.validation, options.folds, options.seed)
        self.labels = np.concatenate([fold.held_labels for fold in self.folds])
        self.whole = data.train.join(data.validation)
        self.preprocessing = Preprocessing.fit(self.whole.inputs, self.whole.task, self.whole.labels)
        self.inputs = self.preprocessing.apply(self.whole.inputs)
        self.targets = self.preprocessing.apply_targets(self.whole.labels)
        self.cpu_seconds = 0.0  # of other processes
        self._diverged: set[str] = set()  # trainings in other processes
        self._origin = {"run": search.uid, "data": data.name, "dataset": data.fingerprint}

    def train_ahead(self, wanted: Sequence[tuple[Member, int | None]], say: Callable[[str], None]) -> None:
        """Do trainings several at a time, where the options say so; `validate` and `fit` find what came of them.

        Args:
            wanted: members, with the epoch to train them to on all rows, or None to validate them.
            say: hears what is begun.
        """
        missing = {canonical_json(self._asked(member, epochs)): (member, epochs) for member, epochs in wanted}
        missing = {key: asked for key, asked in missing.items() if self._find(self._asked(*asked)) is None}
        if self._options.workers < 2 or len(missing) < 2:
            return
        uids: dict[int, str] = {}

        def begin(place: int, member: Member, epochs: int | None) -> Apart:
            say(f"training {'again' if epochs is None else 'on all rows'}: {member.name}")
            uid = uids[place] = self._start(member, self._asked(member, epochs))
            folder = None if epochs is None else self._database.models_dir / uid
            return Apart(
                candidate=self._candidate(member, uid), until=epochs, folder=folder, origin=self.origin(member)
            )

        tasks = [partial(begin, place, *asked) for place, asked in enumerate(missing.values())]
        for place, outcome, folder in train_apart(
            tasks, self._write, self._options.workers, total=self._options.epochs
        ):
            self.cpu_seconds += outcome.cpu_seconds
            self._record(uids[place], list(missing)[place], outcome, folder)

    def validate(self, member: Member) -> Validated:
        """Train a member as the search did and measure it on the same rows."""
        config = self._asked(member, None)
        known = self._find(config)
        if known is not None and (predicted := self._read(known)) is not None:
            return Validated(member, _of_validation(known.metrics), predicted)
        nothing = Validated(member, {}, np.zeros((0, self.whole.task.outputs), np.float32))
        if canonical_json(config) in self._diverged:
            return nothing
        uid = self._start(member, config)
        with self._tracker.ending(uid):
            options = self._options
            run = train_folds(
                self._candidate(member, uid),
                self.folds,
                epochs=options.epochs,
                patience=options.patience,
                device=self._device,
            )
            if run.diverged:
                self._finish_diverged(uid, run.curves)
                return nothing
            figures = validation_figures(run)
            predicted = run.predicted.astype(np.float32)
            self._finish_validated(uid, predicted, figures, run.curves)
        return Validated(member, figures, predicted)

    def fit(self, member: Member, epochs: int) -> Fitted | None:
        """Train a member on all rows but the test rows to the end of an epoch, and save it; None where it diverges."""
        config = self._asked(member, epochs)
        known = self._find(config)
        if known is not None and (self._database.models_dir / known.uid).is_dir():
            saved = load_model(self._database.models_dir / known.uid)
            return Fitted(member, known.uid, saved.spec, saved.model)
        if canonical_json(config) in self._diverged:
            return None
        uid = self._start(member, config)
        folder = self._database.models_dir / uid
        with self._tracker.ending(uid):
            training, spec = train_whole(
                self._candidate(member, uid),
                Whole(inputs=self.inputs, targets=self.targets, preprocessing=self.preprocessing),
                folder,
                self.origin(member),
                epochs=self._options.epochs,
                until=epochs,
                device=self._device,
            )
            if spec is None:
                self._finish_diverged(uid, training.trainer.curves)
                return None
            self._finish_fitted(uid, fitted_figures(spec), training.trainer.curves)
        saved = load_model(folder)
        return Fitted(member, uid, saved.spec, saved.model)

    def _record(self, uid: str, key: str, outcome: Outcome, folder: Path) -> None:
        """Write what came of a training in another process. One that broke down there is done again here, later."""
        found = outcome.evaluation
        if outcome.state != "completed" or found is None:
            if outcome.cause == NOT_FINITE:
                self._diverged.add(key)
                self._finish_diverged(uid, {} if found is None else found.curves)
            else:
                self._tracker.finish(uid, state="failed", metrics={}, error=outcome.error or outcome.cause)
        elif "best_epoch" in found.objectives:
            predicted = np.load(predictions_file(folder, uid), allow_pickle=False).astype(np.float32)
            self._finish_validated(uid, predicted, found.objectives, found.curves)
        else:
            self._finish_fitted(uid, found.objectives, found.curves)

    def _finish_diverged(self, uid: str, curves: Curves) -> None:
        self._tracker.finish(uid, state="failed", metrics={}, error="the loss was not finite", curves=curves)

    def _finish_validated(self, uid: str, predicted: np.ndarray, figures: Mapping[str, float], curves: Curves) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, _FILE)
            np.save(path, predicted, allow_pickle=False)
            self._tracker.record_artifact(uid, path, role=_PREDICTIONS, media_type="application/octet-stream")
        self._tracker.finish(uid, state="completed", metrics=figures, curves=curves)

    def _finish_fitted(self, uid: str, figures: Mapping[str, float], curves: Curves) -> None:
        self._tracker.record_model(uid, self._database.models_dir / uid)
        self._tracker.finish(uid, state="completed", metrics=figures, curves=curves)

    def _write(self, folder: Path) -> ApartFactory:
        """Put the rows where other processes find them."""
        whole = Whole(inputs=self.inputs, targets=self.targets, preprocessing=self.preprocessing)
        options = self._options
        return ApartFactory.write(
            folder, self.folds, whole, epochs=options.epochs, patience=options.patience, device=options.device
        )

    def origin(self, member: Member) -> dict[str, Any]:
        """What a saved model says of where it came from."""
        trial = member.trial
        return {**self._origin, "trial": trial.uid, "architecture": trial.architecture.sha256, "seed": member.index}

    def score(self, outputs: np.ndarray) -> dict[str, float]:
        """Figures of a reference on validation rows, fold by fold, by name with val_.

        Args:
            outputs: what it gives for these rows, shape (N, outputs): scores of classes, or standardised measurements.
        """
        bounds = np.cumsum([len(fold.held_labels) for fold in self.folds])[:-1]
        parts = zip(np.split(outputs, bounds), self.folds, strict=True)
        scores = np.concatenate([in_units(part, fold.preprocessing) for part, fold in parts])
        return {f"val_{name}": value for name, value in score_figures(scores, self.labels, self.whole.task).items()}

    def seed_of(self, member: Member) -> int:
        """Decides a member's initial weights and the order of its rows."""
        return derive_seed(self._options.seed, "finale", member.trial.number, member.index)

    def _asked(self, member: Member, epochs: int | None) -> dict[str, Any]:
        """By what a training is found again."""
        named = {"trial": member.trial.uid, "member": member.index}
        return {"phase": "validate", **named} if epochs is None else {"phase": "fit", **named, "epochs": epochs}

    def _candidate(self, member: Member, uid: str) -> Candidate:
        spec = ModelSpec.from_dict(member.trial.architecture.spec)
        hyperparameters = dict(member.trial.hyperparameters)
        return Candidate(id=uid, spec=spec, hyperparameters=hyperparameters, seed=self.seed_of(member))

    def _start(self, member: Member, config: Mapping[str, Any]) -> str:
        seed, origin = self.seed_of(member), member.trial.uid
        return self._tracker.start_child(self._search.uid, kind="retrain", seed=seed, config=config, origin=origin)

    def _find(self, config: Mapping[str, Any]) -> RunRecord | None:
        children = History(self._database).children(self._search.uid, "retrain")
        done = [child for child in children if child.state == "completed" and dict(child.config) == dict(config)]
        return done[-1] if done else None

    def _read(self, run: RunRecord) -> np.ndarray | None:
        files = [file for file in History(self._database).artifacts(run.uid) if file.role == _PREDICTIONS]
        if not files:
            return None
        with tempfile.TemporaryDirectory() as folder:
            unpack_model(self._database, files, Path(folder, "run"))
            return np.load(Path(folder, "run", _FILE), allow_pickle=False)


def _of_validation(figures: Mapping[str, float]) -> dict[str, float]:
    """What `validation_figures` gave, from the history, in the order in which reports tell them."""
    names = [name for name in figures if name.startswith("val_") or name == "best_epoch"]
    return {
        name: figures[name] for name in sorted(names, key=lambda name: (*(name != known for known in _ORDER), name))
    }
