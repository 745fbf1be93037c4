"""A fresh database per test, on each engine there is, and the smallest things to put into it."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nasturtium.storage import ArchitectureEntry, Database, DatasetEntry, History, SearchRecord, Tracker, open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def sqlite_database(tmp_path: Path, templates: Any) -> Iterator[Database]:
    """For what does not depend on the engine, or only on SQLite."""
    shutil.copyfile(templates.sqlite(), tmp_path / "history.db")
    with open_database(tmp_path / "history.db") as database:
        yield database


@pytest.fixture
def tracker(database: Database) -> Tracker:
    return Tracker(database)


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


@pytest.fixture
def dataset() -> DatasetEntry:
    return DatasetEntry(fingerprint="sha256:11", name="digits", rows=1797, body={"classes": 10})


@pytest.fixture
def start_search(dataset: DatasetEntry) -> Callable[..., SearchRecord]:
    def start(tracker: Tracker, **changes: object) -> SearchRecord:
        planned = {"name": "digits", "seed": 7, "config": {"epochs": 2}, "dataset": dataset, "space": "mlp"}
        how = {"space_sha256": "cd" * 32, "sampler": "tpe", "pruner": "none", "trials": 3}
        return tracker.start_search(**planned | how | changes)

    return start


@pytest.fixture
def start_trial() -> Callable[..., str]:
    def start(tracker: Tracker, search: SearchRecord, number: int = 0, *, hidden: int = 32) -> str:
        network = ArchitectureEntry(
            sha256=hashlib.sha256(str(hidden).encode()).hexdigest(),
            space="mlp",
            choices={"hidden": hidden, "activation": "relu"},
            spec={"layers": [64, hidden, 10]},
            parameters=75 * hidden + 10,
            macs=74 * hidden,
        )
        return tracker.start_trial(
            search.uid, number=number, architecture=network, hyperparameters={"lr": 0.01}, seed=3, optuna_number=number
        )

    return start


class Clock:
    """Stands at microsecond `us` until a test moves it."""

    def __init__(self) -> None:
        self.us = 1_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()
