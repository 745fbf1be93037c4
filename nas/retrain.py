"""The end of a search: the best architecture trained again on all rows but the test rows, tested once and saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core import (
    Budget,
    Candidate,
    Metrics,
    ModelSpec,
    Trainer,
    build,
    derive_rng,
    derive_seed,
    evaluate,
    save_model,
)
from ..core.data import Preprocessing
from ..storage import Database, History, ModelRegistry, SearchRecord, Tracker, TrialRecord, model_name
from .evaluate import training_config
from .setup import SearchSetup


@dataclass(frozen=True, slots=True)
class Retrained:
    """The outcome: the test, and the folder of the saved model."""

    test: Metrics
    model: Path


def retrain(
    setup: SearchSetup, database: Database, tracker: Tracker, search: SearchRecord, best: TrialRecord
) -> Retrained:
    """Retrain, test, save and publish; the search is completed with it. What a killed process had finished is kept."""
    folder = database.models_dir / search.uid
    done = [child for child in History(database).children(search.uid, "retrain") if child.state == "completed"]
    figures = dict(done[-1].metrics) if done else _train_and_save(setup, search, best, tracker, folder)
    ModelRegistry(database).register(model_name(setup.data.name), search.uid, signature=setup.data.task.to_dict())
    tracker.finish(search.uid, state="completed", metrics=figures)
    rows = len(setup.test)
    correct = round(figures["test_accuracy"] * rows)
    return Retrained(Metrics(figures["test_loss"] * rows, correct, rows), folder)


def _train_and_save(
    setup: SearchSetup, search: SearchRecord, best: TrialRecord, tracker: Tracker, folder: Path
) -> dict[str, float]:
    seed = derive_seed(setup.config.seed, "retrain")
    uid = tracker.start_child(search.uid, kind="retrain", seed=seed, config={"trial": best.uid}, origin=best.uid)
    with tracker.ending(uid):
        spec = ModelSpec.from_dict(best.architecture.spec)
        candidate = Candidate(id=uid, spec=spec, hyperparameters=best.hyperparameters, seed=seed)
        whole = Budget(epochs=setup.config.epochs, total=setup.config.epochs)
        rows = setup.train.join(setup.validation)
        preprocessing = Preprocessing.fit(rows.inputs, rows.task)
        trainer = Trainer(
            build(spec, derive_rng(seed, "weights")),
            # No rows are left to stop early by: the schedule's end is the end.
            training_config(candidate, whole, patience=None),
            derive_rng(seed, "shuffle"),
            device=setup.device,
        )
        trainer.fit(preprocessing.apply(rows.inputs), rows.labels)
        inputs = preprocessing.apply(setup.test.inputs)
        test = evaluate(trainer.model, inputs, setup.test.labels, device=setup.device)
        figures = {
            "val_accuracy": best.metrics["val_accuracy"],
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "parameters": best.metrics["parameters"],
            "macs": best.metrics["macs"],
        }
        origin = {
            "run": search.uid,
            "trial": best.uid,
            "data": setup.data.name,
            "dataset": setup.data.fingerprint,
            "architecture": best.architecture.sha256,
        }
        save_model(folder, spec, trainer.model, preprocessing, origin | figures)
        for run in (uid, search.uid):
            tracker.record_model(run, folder)
        tracker.finish(uid, state="completed", metrics=figures, curves=trainer.curves)
    return figures
