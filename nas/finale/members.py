"""Candidates trained again: with other seeds and measured on validation rows, then on all rows but the test rows.

Each training is a run of its own in the history, below the search. One that is completed there is not done again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core import Candidate, ModelSpec, derive_seed, load_model, save_model
from ...core import device as find_device
from ...core.data import Preprocessing
from ...core.nn import Module
from ...storage import Database, History, RunRecord, SearchRecord, Tracker, TrialRecord, unpack_model
from ..training import FoldedRun, NetworkTraining, Recipe, make_folds
from .options import FinaleData, FinaleOptions
from .references import in_units, score_figures

_PREDICTIONS = "predictions"  # the role and the name of what a validated member says of validation rows
_FILE = "predictions.npy"


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
        self._origin = {"run": search.uid, "data": data.name, "dataset": data.fingerprint}

    def validate(self, member: Member) -> Validated:
        """Train a member as the search did and measure it on the same rows."""
        config = self._config("validate", member)
        known = self._find(config)
        if known is not None and (predicted := self._read(known)) is not None:
            return Validated(member, _of_validation(known.metrics), predicted)
        uid = self._start(member, config)
        with self._tracker.ending(uid):
            run = self._train(member, uid)
            if run.diverged:
                self._tracker.finish(
                    uid, state="failed", metrics={}, error="the loss was not finite", curves=run.curves
                )
                return Validated(member, {}, np.zeros((0, self.whole.task.outputs), np.float32))
            figures = {f"val_{name}": value for name, value in run.figures().items()}
            figures["best_epoch"] = float(run.best_epoch)
            predicted = run.predicted.astype(np.float32)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, _FILE)
                np.save(path, predicted, allow_pickle=False)
                self._tracker.record_artifact(uid, path, role=_PREDICTIONS, media_type="application/octet-stream")
            self._tracker.finish(uid, state="completed", metrics=figures, curves=run.curves)
        return Validated(member, figures, predicted)

    def fit(self, member: Member, epochs: int) -> Fitted | None:
        """Train a member on all rows but the test rows to the end of an epoch, and save it; None where it diverges."""
        config = {**self._config("fit", member), "epochs": epochs}
        known = self._find(config)
        if known is not None and (self._database.models_dir / known.uid).is_dir():
            saved = load_model(self._database.models_dir / known.uid)
            return Fitted(member, known.uid, saved.spec, saved.model)
        uid = self._start(member, config)
        with self._tracker.ending(uid):
            recipe, spec = _recipe(member)
            training = NetworkTraining(
                spec,
                recipe,
                self.inputs,
                self.targets,
                self.whole.task,
                epochs=self._options.epochs,
                seed=self.seed_of(member),
                device=self._device,
            )
            training.advance(epochs)
            curves = training.trainer.curves
            with training.trainer.averaged():
                finite = not training.diverged and all(
                    np.isfinite(array).all() for array in training.model.state().values()
                )
                if not finite:
                    self._tracker.finish(
                        uid, state="failed", metrics={}, error="the loss was not finite", curves=curves
                    )
                    return None
                folder = self._database.models_dir / uid
                save_model(folder, spec, training.model, self.preprocessing, self.origin(member))
            self._tracker.record_model(uid, folder)
            plan = spec.plan()
            figures = {"parameters": float(plan.parameters), "macs": float(plan.macs)}
            self._tracker.finish(uid, state="completed", metrics=figures, curves=curves)
        saved = load_model(folder)
        return Fitted(member, uid, saved.spec, saved.model)

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

    def _train(self, member: Member, uid: str) -> FoldedRun:
        recipe, spec = _recipe(member)
        hyperparameters = dict(member.trial.hyperparameters)
        run = FoldedRun(
            Candidate(id=uid, spec=spec, hyperparameters=hyperparameters, seed=self.seed_of(member)),
            spec,
            recipe,
            self.folds,
            epochs=self._options.epochs,
            patience=self._options.patience,
            device=self._device,
        )
        run.advance(self._options.epochs)
        return run

    def seed_of(self, member: Member) -> int:
        """Decides a member's initial weights and the order of its rows."""
        return derive_seed(self._options.seed, "finale", member.trial.number, member.index)

    def _config(self, phase: str, member: Member) -> dict[str, Any]:
        return {"phase": phase, "trial": member.trial.uid, "member": member.index}

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
    return {name: value for name, value in figures.items() if name.startswith("val_") or name == "best_epoch"}


def _recipe(member: Member) -> tuple[Recipe, ModelSpec]:
    recipe = Recipe.of(member.trial.hyperparameters)
    return recipe, recipe.network(ModelSpec.from_dict(member.trial.architecture.spec))
