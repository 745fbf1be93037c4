"""The trainings of the end: a candidate on the folds of the search, and on all rows but the test rows, to be saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core import Candidate, Device, ModelSpec, save_model
from ...core.data import Preprocessing
from ..training import Fold, FoldedRun, NetworkTraining, Recipe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whole:
    """All rows but the test rows, preprocessed by what they say themselves.

    Attributes:
        inputs: float32, shape (N, *task.input_shape).
        targets: as `Preprocessing.apply_targets` gives them.
        preprocessing: fitted on them.
    """

    inputs: np.ndarray
    targets: np.ndarray
    preprocessing: Preprocessing


def train_folds(
    candidate: Candidate, folds: Sequence[Fold], *, epochs: int, patience: int | None, device: Device
) -> FoldedRun:
    """Train a candidate as the search did."""
    recipe = Recipe.of(candidate.hyperparameters)
    spec = recipe.network(candidate.spec)
    run = FoldedRun(candidate, spec, recipe, folds, epochs=epochs, patience=patience, device=device)
    run.advance(epochs)
    return run


def train_whole(
    candidate: Candidate,
    whole: Whole,
    folder: Path,
    origin: Mapping[str, Any],
    *,
    epochs: int,
    until: int,
    device: Device,
) -> tuple[NetworkTraining, ModelSpec | None]:
    """Train a candidate on all rows to the end of an epoch, and save it; its network, None where it diverged."""
    recipe = Recipe.of(candidate.hyperparameters)
    spec = recipe.network(candidate.spec)
    training = NetworkTraining(
        spec,
        recipe,
        whole.inputs,
        whole.targets,
        whole.preprocessing.task,
        epochs=epochs,
        seed=candidate.seed,
        device=device,
    )
    training.advance(until)
    with training.trainer.averaged():
        state = training.model.state().values()
        if training.diverged or not all(np.isfinite(array).all() for array in state):
            return training, None
        save_model(folder, spec, training.model, whole.preprocessing, origin)
    return training, spec


def validation_figures(run: FoldedRun) -> dict[str, float]:
    """What is kept of a training on the folds: figures of its best epoch with val_, and best_epoch."""
    return {f"val_{name}": value for name, value in run.figures().items()} | {"best_epoch": float(run.best_epoch)}


def fitted_figures(spec: ModelSpec) -> dict[str, float]:
    """What is kept of a training on all rows."""
    plan = spec.plan()
    return {"parameters": float(plan.parameters), "macs": float(plan.macs)}
