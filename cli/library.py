"""What the commands do, one call each: the face of the package for scripts.

This is where architecture search, federation and history meet; none of them knows the other two.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import FormatError, SavedModel, load_model
from ..storage import (
    DEFAULT_EXPERIMENT,
    MODEL_ROLE,
    WEIGHTS_NAME,
    Database,
    History,
    RunRecord,
    UnknownRunError,
    open_database,
    unpack_model,
)
from .searches import Target, federated_search, search, search_report, search_status, stop_search, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..federated import FederationEvent, SimulationResult

__all__ = [
    "federate",
    "federated_search",
    "find_model",
    "load_run_model",
    "open_history",
    "search",
    "search_report",
    "search_status",
    "stop_search",
    "work",
]


def federate(
    data: str,
    *,
    model: str | int | None = None,
    db: Target = None,
    observe: Callable[[FederationEvent], None] = lambda event: None,
    experiment: str | None = None,
    monitor: float | None = None,
    **options: Any,
) -> SimulationResult:
    """Train one model over simulated sites, under encryption.

    Args:
        data: as in `search`.
        model: the run whose network is trained, as `History.find` takes it; a small default network by default.
        db: the database.
        observe: called with every `FederationEvent`.
        experiment, monitor: as in `search`.
        options: fields of `federated.SimulationConfig`: target, clients, participants, rounds, seed, alpha, scheme,
            bits, epochs, masked, epsilon, delta, clip, processes, ray, strategy, strategy_options, compression,
            compression_options, model_adapter, model_options.
    """
    from ..federated import SimulationConfig, SimulationSetup, simulate

    config = SimulationConfig(data=data, **{name: value for name, value in options.items() if value is not None})
    kept: dict[str, Any] = {"experiment": experiment or DEFAULT_EXPERIMENT, "monitor": monitor}
    if model is None:
        setup = SimulationSetup.load(config)  # before a database is made for it
        with open_database(db) as database:
            return simulate(setup, database, observe=observe, **kept)
    with open_database(db, create=False) as database:
        run, saved = find_model(database, model)
        # The rows its test was run on stay unseen, also where it was a federated run of a model searched before.
        known = run.config.get("split_seed")
        config = replace(config, split_seed=run.seed if known is None else known)
        setup = SimulationSetup.load(config, spec=saved.spec)
        return simulate(setup, database, model_run=run.uid, observe=observe, **kept)


def open_history(db: Target = None) -> History:
    """The history, to be closed by the caller, best by `with`.

    Raises:
        DatabaseNotFoundError: there is no such database yet.
    """
    return History(open_database(db, create=False), owned=True)


def load_run_model(ref: str | int = "@best", *, db: Target = None) -> SavedModel:
    """The saved model of a run ("@best", "@last", a number or a ULID), or of a model folder, by a path with a slash.

    Raises:
        UnknownRunError: there is no such run, or it saved no model.
        FormatError: the saved model is damaged or gone.
    """
    if len(Path(str(ref)).parts) > 1:  # a path, for no run is named with a slash
        return _load(Path(str(ref)))
    with open_database(db, create=False) as database:
        return find_model(database, ref)[1]


def find_model(database: Database, ref: str | int) -> tuple[RunRecord, SavedModel]:
    """A run and the model it saved; see `load_run_model`."""
    history = History(database)
    run = history.find(ref)
    files = {artifact.name: artifact for artifact in history.artifacts(run.uid) if artifact.role == MODEL_ROLE}
    weights = files.get(WEIGHTS_NAME)
    if weights is None:
        name = run.number if run.number is not None else run.uid
        raise UnknownRunError(f"run {name} has no saved model: it is {run.state}", hint=_without_model(run))
    folder = database.models_dir / run.uid
    if not folder.exists():  # the artifacts are what counts, the folder is for people
        unpack_model(database, files.values(), folder)
    return run, _load(folder, weights_sha256=weights.sha256)


def _load(folder: Path, **expected: str) -> SavedModel:
    """A network; a model of somebody's own code is said to be one."""
    try:
        return load_model(folder, **expected)
    except FormatError as exc:
        if "nasturtium.adapted-model" not in exc.message:
            raise
        raise FormatError(
            f"{folder} holds a model of its owner's, which is no network",
            hint="use it in Python: nasturtium.federated.adapters.load_adapted(folder)",
        ) from exc


def _without_model(run: RunRecord) -> str | None:
    """How there would be a model of a run that was interrupted, or of a search that failed."""
    if run.kind == "search" and run.state == "failed":
        return f"see why, and how to go on: nasturtium search status {run.number}"
    if run.kind == "search" and run.state == "completed":
        return "it stays with those who trained it: the sites of a federation keep it in their folders"
    if run.state != "interrupted":
        return None
    if run.kind == "search" and "job" in (run.config.get("federation") or {}):
        return "its server goes on with it: nasturtium federate resume"
    if run.kind == "search":
        return f"finish it with: nasturtium search --resume {run.number}"
    if run.kind == "federated":
        return "a federated run saves its model at its end: begin another with nasturtium federate simulate"
    return None
