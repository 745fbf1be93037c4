"""Searches, one call each: begin or resume one, look at it, stop it, read its report, and train for it as a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import ConfigError, read_settings
from ..storage import (
    DEFAULT_EXPERIMENT,
    History,
    RunRecord,
    SearchControl,
    SearchRecord,
    SearchStatus,
    UnknownRunError,
    open_database,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..federated.search import SharedWeights
    from ..nas import EngineChoice, SearchConfig, SearchObserver, SearchResult, SearchSetup
    from ..nas.finale import SearchReport
    from ..nas.runner import WorkerEvent
    from ..storage import Database

Target = str | Path | None  # a database: file, URL, or None for NASTURTIUM_DB or ./nasturtium.db

# Settings whose option is not called like them.
FLAGS: Mapping[str, str] = {
    "objectives": "--objective",
    "constraints": "--constraint",
    "seconds": "--time",
    "trial_seconds": "--trial-time",
    "cpu_seconds": "--cpu-time",
}


def search(
    data: str | None = None,
    *,
    db: Target = None,
    resume: str | int | None = None,
    config: str | Path | None = None,
    engine: EngineChoice | None = None,
    observe: SearchObserver = lambda event: None,
    experiment: str | None = None,
    monitor: float | None = None,
    **options: Any,
) -> SearchResult:
    """Search a network for some data, train it and save it.

    Args:
        data: a bundled data set ("digits") or a path to a file or folder, see `core.data.load_dataset`; may be left out
            with `resume`, or where `config` names it.
        db: the database.
        resume: the number or ULID of a search to go on with, that was interrupted or failed; options that are given
            must be those it was started with, but `data` may lie elsewhere by now, and `trials` may be more.
        config: a TOML file with fields of `nas.SearchConfig`; options go before what it says.
        engine: where trials are trained, which decides nothing but the time it takes; by default in processes of this
            machine.
        observe: called with every `SearchEvent`.
        experiment: the name to gather it under in the history; "default" unless given.
        monitor: seconds between samples of CPU, memory and GPUs; None takes none.
        options: fields of `nas.SearchConfig`: target, trials, seed, space, strategy, objectives, epochs, workers, ...

    Raises:
        ConfigError, DataError: the request or the data cannot be used; nothing was written.
        UnknownRunError: there is no such search to resume, or to learn from.
        RunBusyError: another process runs it.
    """
    from ..nas import SearchSetup, resume_search, run_search

    given = {**_read(config), **options}
    if data is not None:
        given["data"] = data
    if resume is None:
        asked = _configure(given)
        setup = SearchSetup.load(asked)  # before a database is made for it
        with open_database(db, create=not asked.warm_start) as database:
            return run_search(
                setup,
                database,
                engine=engine,
                observe=observe,
                experiment=experiment or DEFAULT_EXPERIMENT,
                monitor=monitor,
            )
    with open_database(db, create=False) as database:
        past = History(database)
        found = past.search(find_search(past, resume).uid)
        _check_same(past, found, given, experiment)
        return resume_search(
            found.uid,
            database,
            data=given.get("data"),
            trials=_more_trials(found, given),
            engine=engine,
            observe=observe,
            monitor=monitor,
        )


def federated_search(
    data: str | None = None,
    *,
    federation: Mapping[str, Any] | None = None,
    db: Target = None,
    resume: str | int | None = None,
    config: str | Path | None = None,
    observe: SearchObserver = lambda event: None,
    experiment: str | None = None,
    monitor: float | None = None,
    **options: Any,
) -> SearchResult:
    """Search a network for data that is shared out over simulated sites, which train every candidate, and the model.

    An epoch of `nas.SearchConfig` is a round over all sites here, and `workers` is how many candidates travel together.

    Args:
        data, db, resume, config, observe, experiment, monitor, options: as in `search`; the file may have a table
            `federation`.
        federation: other fields of `federated.SimulationConfig`: clients, alpha, epochs (passes of a site over its rows
            in a round), rounds (of the final model), scheme, bits, masked, strategy, ...

    Raises:
        ConfigError, DataError: the request or the data cannot be used; nothing was written.
        BudgetSpentError: the data has a privacy budget.
        UnknownRunError: there is no such search to resume, or to learn from.
        RunBusyError: another process runs it.
    """
    from ..federated.search import open_simulated_search, read_federation
    from ..nas import SearchSetup, resume_search, run_search, setup_of

    given = {**_read(config), **options}
    if data is not None:
        given["data"] = data
    sites = {**given.pop("federation", {}), **(federation or {})}

    def open_sites(setup: SearchSetup, database: Database) -> Any:
        config = setup.config
        return open_simulated_search(
            config.federation or {},
            database,
            data=config.data,
            target=config.target,
            seed=config.seed,
            at_once=config.workers,
            timed=any(goal.name == "train_seconds" for goal in setup.goals),
            shared=shared_weights(setup) if config.evaluate == "supernet" else None,
        )

    if resume is None:
        asked = _configure({**given, "federation": sites})
        read_federation(sites, data=asked.data, target=asked.target, seed=asked.seed)
        setup = SearchSetup.load(asked)  # before a database is made for it
        with open_database(db, create=not asked.warm_start) as database, open_sites(setup, database) as batch:
            return run_search(
                setup,
                database,
                batch=batch,
                observe=observe,
                experiment=experiment or DEFAULT_EXPERIMENT,
                monitor=monitor,
            )
    with open_database(db, create=False) as database:
        past = History(database)
        found = past.search(find_search(past, resume).uid)
        if found.run.config.get("federation") is None:
            raise ConfigError(
                f"search {found.run.number} has its candidates trained here, not at sites",
                hint=f"go on with it by: nasturtium search --resume {found.run.number}",
            )
        begun = found.run.config["federation"]
        if "job" in begun:
            raise ConfigError(
                f"search {found.run.number} is a job of a federation, whose server has its sites",
                hint="go on with it by: nasturtium federate resume",
            )
        _check_same(past, found, {**given, "federation": {**begun, **sites}}, experiment)
        with open_sites(setup_of(found, database, data=given.get("data")), database) as batch:
            return resume_search(
                found.uid,
                database,
                data=given.get("data"),
                trials=_more_trials(found, given),
                batch=batch,
                observe=observe,
                monitor=monitor,
            )


def shared_weights(setup: SearchSetup) -> SharedWeights:
    """What the candidates of a search share: random networks of its space, and where their tensors lie."""
    from ulid import ULID

    from ..core import Candidate, derive_rng, derive_seed
    from ..federated import Place
    from ..federated.search import SharedWeights
    from ..nas.supernet import shared_places

    space, seed = setup.space, setup.config.seed

    def path(number: int) -> Candidate:
        flat = space.sample(derive_rng(seed, "shared path", number))
        own = derive_seed(seed, "shared path", number)
        return Candidate(id=str(ULID()), spec=space.spec(flat), hyperparameters={}, seed=own, flat=flat)

    def places(candidate: Candidate) -> list[Place]:
        return [
            Place(tensor=each.tensor, key=each.key, gates=each.gates, centred=each.centred)
            for each in shared_places(space, candidate.flat)
        ]

    return SharedWeights(pool=str(ULID()), messages=setup.config.epochs, path=path, places=places)


def search_status(search: str | int | None = None, *, db: Target = None) -> SearchStatus:
    """How far a search is, and who is at it.

    Args:
        search: its number or ULID; None is the newest.
        db: the database.

    Raises:
        UnknownRunError: there is no such search.
        ConfigError: it is a run of another kind.
    """
    with open_database(db, create=False) as database:
        past = History(database)
        return past.search_status(find_search(past, search).uid)


def stop_search(search: str | int | None = None, *, db: Target = None) -> SearchRecord:
    """Ask whoever runs a search to end its trials and to conclude with what it has.

    Raises:
        UnknownRunError: there is no such search.
        ConfigError: nobody runs it, or it is a run of another kind.
    """
    with open_database(db, create=False) as database:
        past = History(database)
        found = find_search(past, search)
        SearchControl(database, found.uid).request_stop()
        return past.search(found.uid)


def search_report(search: str | int | None = None, *, db: Target = None) -> SearchReport:
    """What came of a search.

    Raises:
        UnknownRunError: there is no such search, or it has no report yet.
        ConfigError: it is a run of another kind.
    """
    from ..nas.finale import read_report

    with open_database(db, create=False) as database:
        found = find_search(History(database), search)
        report = read_report(database, found.uid)
    if report is None:
        hints = {
            "running": f"see how far it is: nasturtium search status {found.number}",
            "failed": f"see why, and how to go on: nasturtium search status {found.number}",
        }
        raise UnknownRunError(
            f"search {found.number or found.uid} has no report yet: it is {found.state}",
            hint=hints.get(found.state, f"finish it with: nasturtium search --resume {found.number}"),
        )
    return report


def work(
    study: str | int,
    *,
    db: Target = None,
    workers: int = 1,
    data: str | None = None,
    device: str | None = None,
    observe: Callable[[WorkerEvent], None] = lambda event: None,
    begin: Callable[[SearchRecord], None] = lambda search: None,
) -> int:
    """Train trials of a search that was started with `--remote`, until it ends or this process is told to (SIGTERM).

    Args:
        study: the number or ULID of the search.
        db: its database, which this machine reaches, too.
        workers: trials at a time, >= 1, each in a process of its own.
        data: where the data of the search lies on this machine, if not where it lies on the other.
        device: where to train; by default as the search was told.
        observe: called with each trial taken, on its way and reported.
        begin: called once, with the search, when everything is loaded.

    Returns:
        How many trials were reported.

    Raises:
        UnknownRunError: there is no such search.
        ConfigError: it is finished, its data is not here, or it is a run of another kind.
    """
    from ..nas import EngineChoice, open_engine, setup_of
    from ..nas.runner import run_worker

    if workers < 1:
        raise ConfigError(f"expected workers >= 1, got {workers}")
    with open_database(db, create=False) as database:
        past = History(database)
        found = past.search(find_search(past, study).uid)
        name = f"search {found.run.number or found.uid}"
        if found.run.state in {"completed", "failed"}:
            raise ConfigError(f"{name} is {found.run.state}: there is nothing to train", hint=_how_to_list())
        setup = setup_of(found, database, data=data)
        if setup.config.evaluate == "supernet":
            raise ConfigError(f"{name} evaluates with shared weights, which only the process that runs it has")
        config = replace(setup.config, workers=workers, device=device or setup.config.device)
        here = replace(setup, config=config)
        with open_engine(here, database, found, EngineChoice()) as engine:
            begin(found)
            return run_worker(database, found.uid, engine, observe=observe)


def find_search(past: History, ref: str | int | None) -> RunRecord:
    """The search that somebody names; the newest where nobody does.

    Raises:
        UnknownRunError: there is no such run, or no search yet.
        ConfigError: it is a run of another kind.
    """
    if ref is None:
        own = (run for run in past.runs(kind="search") if not run.config.get("control_of"))
        newest = next(own, None)
        if newest is None:
            raise UnknownRunError("there is no search yet", hint="begin one: nasturtium search --data digits")
        return newest
    run = past.find(ref)
    if run.kind != "search":
        raise ConfigError(f"run {ref} is of kind {run.kind}, expected a search", hint=_how_to_list())
    return run


def _how_to_list() -> str:
    return "list the searches: nasturtium history list --kind search"


def _configure(given: Mapping[str, Any]) -> SearchConfig:
    from ..nas import SearchConfig

    if "data" not in given:
        raise ConfigError("no data was named", hint="give a bundled data set such as digits, or a file")
    return SearchConfig.from_dict(given)


def _read(config: str | Path | None) -> dict[str, Any]:
    """What a file says."""
    return {} if config is None else read_settings(config)


def _check_same(past: History, search: SearchRecord, given: Mapping[str, Any], experiment: str | None) -> None:
    """Refuse to go on with a search under other settings than it was started with; its data may have moved."""
    number = search.run.number
    started = {**search.run.config, "space": search.run.config.get("space") or search.space}
    for name, value in given.items():
        if name in {"data", "trials"} or _same(past, search, name, value, started.get(name)):
            continue
        flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
        raise ConfigError(
            f"search {number} was started with {name}={started.get(name)!r}, got {value!r}",
            hint=f"leave {flag} out to resume it, or start a new search",
        )
    if experiment not in {None, search.run.experiment}:
        raise ConfigError(f"search {number} is of experiment {search.run.experiment!r}", hint="leave --experiment out")


def _more_trials(search: SearchRecord, given: Mapping[str, Any]) -> int | None:
    """How many trials a search is to have that was started with fewer; None where it goes on with those it has."""
    asked = given.get("trials")
    return None if asked == search.run.config.get("trials") else asked


def _same(past: History, search: SearchRecord, name: str, value: Any, started: Any) -> bool:
    """Whether a setting is the one a search was started with, however it is written."""
    from ..nas.objectives import parse_constraint, parse_goal

    if name == "objectives":
        return [(goal.name, goal.direction) for goal in map(parse_goal, value)] == [*search.objectives]
    if name == "constraints":
        return [*map(parse_constraint, value)] == [*map(parse_constraint, started or ())]
    if name == "warm_start":
        return [past.find(ref).uid for ref in value] == [*(started or ())]
    return value == started
