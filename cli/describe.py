"""Runs as plain documents: what `history show --json` prints and the tables are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..storage import FederatedRecord, History, RunRecord, SearchRecord, TrialRecord, spent_by_run
from .fronts import figure_names, first_goal, front_of_search, shown_goals, test_figure
from .output import count

UNMEASURED = (
    "loss and accuracy of the rounds are not known: with noise, sites give out no counts, which would cost privacy too"
)
SUMMARY = (
    "id",
    "uid",
    "kind",
    "data",
    "experiment",
    "goal",
    "value",
    "test_value",
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
    document: dict[str, Any] = {
        **summarise(past, [run])[0],
        "seed": run.seed,
        "experiment": run.experiment,
        "deleted": run.deleted,
        "parent": run.parent,
        "config": run.config,
        "params": run.params,
        "tags": run.tags,
        "notes": [{"text": note.text, "created": note.created} for note in past.notes(run.uid)],
        "metrics": run.metrics,
        "summaries": {name: asdict(summary) for name, summary in past.summaries(run.uid).items()},
        "dataset": dataset and {"name": dataset.name, "rows": dataset.rows, "fingerprint": dataset.fingerprint},
        "sites": {
            role.removeprefix("site/"): {"fingerprint": entry.fingerprint, "rows": entry.rows}
            for role, entry in past.datasets(run.uid).items()
            if role.startswith("site/")
        },
        "artifacts": [asdict(artifact) for artifact in past.artifacts(run.uid)],
        "model": model_folder(past, run),
        "environment": past.environment(run.uid),
        "trials": [],
        "rounds": [],
        "curves": {name: _points(curve) for name, curve in past.curves(run.uid).items()},
    }
    if run.kind == "search":
        document |= _describe_search(past, past.search(run.uid))
    elif run.kind == "trial":
        document |= _describe_trial(past.trial(run.uid))
    elif run.kind == "federated":
        document |= _describe_federated(past, past.federated(run.uid))
    return document


def _describe_search(past: History, search: SearchRecord) -> dict[str, Any]:
    from ..nas.finale import read_report

    trials = past.trials(search.uid)
    front = front_of_search(search, trials)
    report = read_report(past.database, search.uid)
    best = best_of(past, search, trials)
    curves: dict[str, Any] = {}
    if best is not None:
        curves |= {f"trial/{name}": _points(curve) for name, curve in past.curves(best.uid).items()}
    if (saved := saved_network(past, search.uid)) is not None:
        curves |= {f"retrain/{name}": _points(curve) for name, curve in past.curves(saved).items()}
    return {
        "search": {
            "space": search.space,
            "space_sha256": search.space_sha256,
            "strategy": search.sampler,
            "pruner": search.pruner,
            "study": search.study_name,
            "objectives": [{"name": name, "direction": direction} for name, direction in search.objectives],
            "constraints": list(search.run.config.get("constraints") or ()),
            "front_by": [goal.name for goal in shown_goals(search)],
            "figures": figure_names(shown_goals(search)),
        },
        "trials": [trial_document(trial) for trial in trials],
        "front": [trial_document(trial) for trial in front],
        "best": None if best is None else {**trial_document(best), "spec": best.architecture.spec},
        "verdicts": [] if report is None else [*report.verdicts, *report.notes],
        "curves": curves,
    }


def best_of(past: History, search: SearchRecord, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The trial that won a search, or that leads so far; None where none is completed."""
    from ..nas.finale import read_report

    report = read_report(past.database, search.uid)
    won = [trial for trial in trials if report is not None and trial.number + 1 == report.winner]
    return next(iter([*won[-1:], *front_of_search(search, trials)]), None)


def saved_network(past: History, search: str) -> str | None:
    """The run in which the saved model of a search was trained, the first of several; None where none is saved.

    Args:
        past: where the search is in.
        search: its uid.
    """
    retrains = [run for run in past.children(search, "retrain") if run.state == "completed"]
    of_model = [run.config["networks"] for run in retrains if run.config.get("phase") == "model"]
    if of_model and of_model[-1]:
        return str(of_model[-1][0]["run"])
    return retrains[-1].uid if retrains else None


def _describe_trial(trial: TrialRecord) -> dict[str, Any]:
    return {"trial": {**trial_document(trial), "spec": trial.architecture.spec}}


def _describe_federated(past: History, run: FederatedRecord) -> dict[str, Any]:
    rounds, contributions = past.rounds(run.uid), past.all_contributions(run.uid)
    return {
        "federation": {
            "clients": run.clients,
            "strategy": run.strategy,
            "scheme": run.scheme,
            "alpha": run.alpha,
            "model_run": run.model_run,
            "spec": run.spec,
            "privacy": run.privacy,
        },
        "privacy": privacy_of(past, run.uid),
        "rounds": [
            {
                "round": each.number,
                "participants": each.participants,
                "rejected": each.rejected,
                "loss": each.loss,
                "accuracy": each.accuracy,
                "bytes_up": each.bytes_up,
                "bytes_down": each.bytes_down,
                "bytes_plain": each.bytes_plain,
                "aggregate_seconds": each.aggregate_seconds,
                "seconds": each.seconds,
                "state": each.state,
                "contributions": {
                    given.client: {name: value for name, value in asdict(given).items() if name != "client"}
                    for given in contributions.get(each.number, [])
                },
            }
            for each in rounds
        ],
    }


def protection(scheme: str, config: Mapping[str, Any]) -> str:
    """How the updates of a federated run were protected, by what it was asked for, in words."""
    told = [scheme]
    if config.get("bits") is not None:
        told.append(count(config["bits"], "bit"))
    if config.get("masked"):
        told.append("masked")
    if config.get("epsilon") is not None:
        epsilon, delta = (
            f"{x:g}" if isinstance(x, int | float) else x for x in (config["epsilon"], config.get("delta"))
        )
        told.append(f"epsilon {epsilon} at delta {delta}")
    return ", ".join(told)


def privacy_of(past: History, uid: str) -> list[dict[str, Any]]:
    """What a run released, by the ledger: whose privacy it cost, in how many releases, and how much."""
    return spent_by_run(past.database, uid)


def model_folder(past: History, run: RunRecord) -> str | None:
    """The folder of the model that a run saved; None without one."""
    folder = past.database.models_dir / run.uid
    return str(folder) if folder.is_dir() else None


def summarise(past: History, runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Runs as rows of `history list`; a search that is not finished has the best figure so far."""
    goals = {run.uid: first_goal(past, run) for run in runs}
    so_far: dict[str, dict[str, float]] = {}
    unfinished: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        goal = goals[run.uid]
        if run.kind == "search" and goal is not None and goal[0] not in run.metrics:
            unfinished.setdefault(goal, []).append(run.uid)
    for (name, direction), uids in unfinished.items():
        found = past.best_below(uids, name, lowest=direction == "minimize")
        so_far |= {uid: {name: best} for uid, best in found.items()}
    return [_summary(run, goals[run.uid], {**so_far.get(run.uid, {}), **run.metrics}) for run in runs]


def _summary(run: RunRecord, goal: tuple[str, str] | None, figures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "id": run.number,
        "uid": run.uid,
        "kind": run.kind,
        "data": run.name,
        "experiment": run.experiment,
        "goal": None if goal is None else goal[0],
        "value": None if goal is None else figures.get(goal[0]),
        "test_value": None if goal is None else test_figure(figures, goal[0]),
        "val_accuracy": figures.get("val_accuracy"),
        "test_accuracy": figures.get("test_accuracy"),
        "parameters": _whole(figures.get("parameters")),
        "macs": _whole(figures.get("macs")),
        "trials": _planned(run, "trials"),
        "rounds": _planned(run, "rounds"),
        "state": run.state,
        "started": run.started,
        "ended": run.ended,
        "seconds": run.seconds,
        "error": run.error,
    }


def trial_document(trial: TrialRecord) -> dict[str, Any]:
    """A trial as a plain document."""
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
        "cause": trial.cause,
        "error": trial.error,
        "epochs": trial.rung,
        "cpu_seconds": trial.cpu_seconds,
        "peak_memory_bytes": trial.peak_memory_bytes,
        "architecture_sha256": trial.architecture.sha256,
        "architecture": trial.architecture.choices,
        "hyperparameters": trial.hyperparameters,
        "figures": dict(trial.metrics),
    }


def _planned(run: RunRecord, name: str) -> int | None:
    """How many of something a run was to have; None where its configuration, which may hold anything, does not say."""
    planned = run.config.get(name)
    return planned if type(planned) is int else None


def _whole(figure: float | None) -> int | None:
    """A number of things; None where a run of one's own has a figure of that name that is no such number."""
    return None if figure is None or not math.isfinite(figure) else int(figure)


def _points(curve: Mapping[int, float]) -> list[list[float]]:
    return [[step, value] for step, value in sorted(curve.items())]
