"""Runs as plain documents: what `history show --json` prints and the tables are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..storage import FederatedRecord, History, RunRecord, SearchRecord, TrialRecord

SUMMARY = (
    "id",
    "uid",
    "kind",
    "data",
    "val_accuracy",
    "test_accuracy",
    "parameters",
    "macs",
    "trials",
    "rounds",
    "state",
    "started",
    "ended",
    "seconds",
    "error",
)


def describe(past: History, run: RunRecord) -> dict[str, Any]:
    """Everything known of a run, as one document: what `history show --json` prints."""
    dataset = past.dataset(run.uid)
    artifacts = past.artifacts(run.uid)
    document: dict[str, Any] = {
        **summarise(past, run),
        "seed": run.seed,
        "config": run.config,
        "metrics": run.metrics,
        "dataset": dataset and {"name": dataset.name, "rows": dataset.rows, "fingerprint": dataset.fingerprint},
        "artifacts": {
            role: {"path": item.path, "sha256": item.sha256, "size_bytes": item.size_bytes}
            for role, item in artifacts.items()
        },
        "environment": past.environment(run.uid),
        "trials": [],
        "rounds": [],
        "curves": {name: _points(curve) for name, curve in past.curves(run.uid).items()},
    }
    if run.kind == "search":
        document |= _describe_search(past, past.search(run.uid))
    elif run.kind == "federated":
        document |= _describe_federated(past, past.federated(run.uid))
    return document


def _describe_search(past: History, search: SearchRecord) -> dict[str, Any]:
    from ..nas import choose_best, front_of

    trials = past.trials(search.uid)
    completed = [trial for trial in trials if trial.state == "completed"]
    best = choose_best(completed) if completed else None
    retrains = past.children(search.uid, "retrain")
    curves: dict[str, Any] = {}
    if best is not None:
        curves |= {f"trial/{name}": _points(curve) for name, curve in past.curves(best.uid).items()}
    if retrains:
        curves |= {f"retrain/{name}": _points(curve) for name, curve in past.curves(retrains[-1].uid).items()}
    return {
        "search": {
            "space": search.space,
            "space_sha256": search.space_sha256,
            "strategy": search.sampler,
            "pruner": search.pruner,
            "study": search.study_name,
        },
        "trials": [_trial(trial) for trial in trials],
        "front": [_trial(trial) for trial in front_of(trials)],
        "best": None if best is None else {**_trial(best), "spec": best.architecture.spec},
        "curves": curves,
    }


def _describe_federated(past: History, run: FederatedRecord) -> dict[str, Any]:
    rounds = past.rounds(run.uid)
    return {
        "federation": {
            "clients": run.clients,
            "strategy": run.strategy,
            "scheme": run.scheme,
            "alpha": run.alpha,
            "model_run": run.model_run,
            "spec": run.spec,
        },
        "rounds": [
            {
                "round": each.number,
                "participants": each.participants,
                "rejected": each.rejected,
                "loss": each.loss,
                "accuracy": each.accuracy,
                "bytes_up": each.bytes_up,
                "bytes_down": each.bytes_down,
                "seconds": each.seconds,
                "contributions": {
                    given.client: {"state": given.state, "reason": given.reason, "seconds": given.seconds}
                    for given in past.contributions(run.uid, each.number)
                },
            }
            for each in rounds
        ],
        "curves": {
            name: _points({each.number: value for each in rounds if (value := getattr(each, name)) is not None})
            for name in ("loss", "accuracy")
        },
    }


def summarise(past: History, run: RunRecord) -> dict[str, Any]:
    """One run as one row of `history list`."""
    figures = dict(run.metrics)
    if run.kind == "search" and "val_accuracy" not in figures:  # not finished: the best so far
        done = [trial.metrics["val_accuracy"] for trial in past.trials(run.uid) if trial.state == "completed"]
        if done:
            figures["val_accuracy"] = max(done)
    return {
        "id": run.number,
        "uid": run.uid,
        "kind": run.kind,
        "data": run.name,
        "val_accuracy": figures.get("val_accuracy"),
        "test_accuracy": figures.get("test_accuracy"),
        "parameters": int(figures["parameters"]) if "parameters" in figures else None,
        "macs": int(figures["macs"]) if "macs" in figures else None,
        "trials": run.config.get("trials"),
        "rounds": run.config.get("rounds"),
        "state": run.state,
        "started": run.started,
        "ended": run.ended,
        "seconds": run.seconds,
        "error": run.error,
    }


def _trial(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number + 1,
        "uid": trial.uid,
        "state": trial.state,
        "val_accuracy": trial.metrics.get("val_accuracy"),
        "val_loss": trial.metrics.get("val_loss"),
        "parameters": trial.architecture.parameters,
        "macs": trial.architecture.macs,
        "seconds": trial.seconds,
        "attempt": trial.attempt,
        "architecture_sha256": trial.architecture.sha256,
        "architecture": trial.architecture.choices,
        "hyperparameters": trial.hyperparameters,
    }


def _points(curve: Mapping[int, float]) -> list[list[float]]:
    return [[step, value] for step, value in sorted(curve.items())]
