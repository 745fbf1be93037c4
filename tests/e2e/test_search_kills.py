"""A search whose broker and workers are killed again and again ends as one that nobody touched.

This file is also the program that is killed: `python test_search_kills.py DATABASE CONFIG go-on` starts the search
of a database or goes on with it, `new` starts another one, `remote` has workers train, and `worker` is one of them.
"""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from nasturtium.nas import EngineChoice, SearchConfig, SearchSetup, open_engine, resume_search, run_search, setup_of
from nasturtium.nas.runner import run_worker
from nasturtium.storage import Database, History, Leases, open_database

SHORT = SearchConfig(
    data="digits", space="mlp", strategy="tpe", trials=6, epochs=3, workers=2, seed=4, folds=None, top=1, repeats=1
)
SOAK_SECONDS = float(os.environ.get("NASTURTIUM_SOAK_SECONDS", "1800"))
SOAK_KILLS = int(os.environ.get("NASTURTIUM_SOAK_KILLS", "20"))
FINISHED = {"completed", "pruned", "failed"}


def main(path: str, config: str, how: str) -> None:
    with open_database(path) as database:
        known = History(database).runs(kind="search")
        choice = EngineChoice(kind="workers" if how == "remote" else "processes")
        if how == "worker":
            work(database, known[-1].uid)
        elif how == "new" or not known:
            run_search(SearchSetup.load(SearchConfig.from_dict(json.loads(config))), database, engine=choice)
        elif known[-1].state != "completed":
            resume_search(known[-1].uid, database, engine=choice)


def work(database: Database, uid: str) -> None:
    """Be a worker whose death is soon noticed."""
    search = History(database).search(uid)
    setup = setup_of(search, database)
    one = replace(setup, config=replace(setup.config, workers=1))
    with open_engine(one, database, search, EngineChoice()) as engine:
        run_worker(database, uid, engine, ttl_seconds=3)


def start(path: Path | str, config: SearchConfig, how: str = "go-on") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, path, json.dumps(asdict(config)), how], stderr=subprocess.PIPE, text=True
    )


def finish(path: Path | str, config: SearchConfig) -> None:
    process = start(path, config)
    _, err = process.communicate()
    assert process.returncode == 0, err


def outline(path: Path | str) -> dict:
    """What a search found: all its trials, and what was made of them."""
    with open_database(path) as database:
        history = History(database)
        [search] = history.runs(kind="search")
        last = {trial.number: trial for trial in history.trials(search.uid)}
        trials = [
            (number, trial.state, trial.cause, trial.flat, trial.architecture.sha256, dict(trial.metrics))
            for number, trial in sorted(last.items())
        ]
        curves = {number: history.curves(trial.uid) for number, trial in last.items()}
        retrained = [dict(history.metrics(run.uid)) for run in history.children(search.uid, "retrain")]
        return {"trials": trials, "curves": curves, "retrained": retrained[-1], "result": history.metrics(search.uid)}


def attempts(path: Path | str) -> list[tuple[int, int, str]]:
    with open_database(path) as database:
        history = History(database)
        [search] = history.runs(kind="search")
        return [(trial.number, trial.attempt, trial.state) for trial in history.trials(search.uid)]


def wait_until(condition, process: subprocess.Popen, pause: float = 0.02) -> bool:
    """Whether it comes true before the process ends."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(pause)
    return True


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []


def count_finished(path: Path | str) -> int:
    try:
        return sum(state in FINISHED for _, _, state in attempts(path))
    except Exception:
        return 0  # there is no database yet, or no search in it


@pytest.fixture(scope="module")
def short(few_digits):
    return replace(SHORT, data=str(few_digits), target="label")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, short):
    path = tmp_path_factory.mktemp("whole") / "history.db"
    with open_database(path) as database:
        run_search(SearchSetup.load(short), database, engine=EngineChoice(kind="here"))
    return outline(path)


def test_killed_brokers_and_workers_change_nothing(tmp_path, short, untouched):
    """The broker dies, then its workers; everything that was finished stays, and the end is the same."""
    path = tmp_path / "history.db"
    process = start(path, short)
    assert wait_until(lambda: count_finished(path) >= 2, process)
    finished = {each for each in attempts(path) if each[2] in FINISHED}
    workers = workers_of(process)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert gone
    assert not alive
    assert finished <= set(attempts(path))
    process = start(path, short)
    assert wait_until(lambda: count_finished(path) >= 4, process)
    for worker in workers_of(process):
        worker.kill()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert outline(path) == untouched
    tried = attempts(path)
    assert max(attempt for _, attempt, _ in tried) > 1
    assert {state for _, _, state in tried} <= {*FINISHED, "interrupted"}


def offered(path: str) -> bool:
    """Whether there is a trial to train."""
    with open_database(path) as database:
        runs = History(database).runs(kind="search")
        return bool(runs) and bool(Leases(database, runs[0].uid).counts())


def at_work(path: str, worker: subprocess.Popen) -> bool:
    """Whether a worker has a trial."""
    with open_database(path) as database:
        runs = History(database).runs(kind="search")
        flights = Leases(database, runs[0].uid).in_flight() if runs else []
    return (f"{platform.node()}/{worker.pid}", "leased") in {(flight.worker, flight.state) for flight in flights}


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_killed_workers_elsewhere_and_their_broker_change_nothing(database_url, short, untouched):
    """One worker is killed, one asked to end, and then the broker is killed: other ones finish the same search."""
    with open_database(database_url):
        pass
    broker = start(database_url, short, "remote")
    assert wait_until(lambda: offered(database_url), broker)
    killed, asked = (start(database_url, short, "worker") for _ in range(2))
    assert wait_until(lambda: at_work(database_url, killed), killed)
    killed.kill()
    assert wait_until(lambda: at_work(database_url, asked), asked)
    asked.send_signal(signal.SIGTERM)
    for worker, code in ((killed, -signal.SIGKILL), (asked, 0)):
        _, err = worker.communicate(timeout=60)
        assert worker.returncode == code, err
    last = start(database_url, short, "worker")
    assert wait_until(lambda: count_finished(database_url) >= 3, last)
    broker.kill()
    broker.communicate()
    finished = {each for each in attempts(database_url) if each[2] in FINISHED}
    broker = start(database_url, short, "remote")
    for process in (broker, last):
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert outline(database_url) == untouched
    tried = attempts(database_url)
    assert finished <= set(tried)
    assert max(attempt for _, attempt, _ in tried) > 1


def test_two_searches_in_one_database_do_not_disturb_each_other(tmp_path, short, untouched):
    path = tmp_path / "history.db"
    with open_database(path):
        pass
    other = SearchConfig.from_dict({**asdict(short), "seed": 5, "strategy": "evolution", "trials": 3})
    started = [start(path, each, "new") for each in (short, other)]
    for process in started:
        _, err = process.communicate()
        assert process.returncode == 0, err
    with open_database(path) as database:
        history = History(database)
        runs = history.runs(kind="search")
        assert [run.state for run in runs] == ["completed"] * 2
        [first] = [run for run in runs if run.seed == short.seed]
        found = [(trial.flat, dict(trial.metrics)) for trial in history.trials(first.uid)]
    assert found == [(flat, metrics) for _, _, _, flat, _, metrics in untouched["trials"]]


@pytest.mark.soak
def test_a_long_search_survives_random_kills(tmp_path):
    """Of NASTURTIUM_SOAK_SECONDS, 1800, and NASTURTIUM_SOAK_KILLS, 20, half of them of the broker."""
    short = SearchConfig.from_dict({**asdict(SHORT), "strategy": "predictor", "epochs": 9})
    finish(tmp_path / "pace.db", short)
    with open_database(tmp_path / "pace.db") as database:
        trials = History(database).trials(History(database).runs(kind="search")[0].uid)
    pace = (max(trial.ended for trial in trials) - min(trial.started for trial in trials)).total_seconds() / len(trials)
    config = SearchConfig.from_dict({**asdict(short), "trials": max(10, round(SOAK_SECONDS / pace))})
    began = time.monotonic()
    finish(tmp_path / "whole.db", config)
    whole = time.monotonic() - began
    path, chance, kills = tmp_path / "killed.db", random.Random(0), {"broker": 0, "worker": 0}
    # By how far the search has come and not by the clock: a machine may be faster the second time.
    moments = sorted(config.trials * chance.uniform(0.01, 0.95) for _ in range(SOAK_KILLS))
    process = start(path, config)
    for moment in moments:
        kills[_kill_one(process, lambda moment=moment: count_finished(path) >= moment, chance)] += 1
        if process.poll() is not None:
            process.communicate()
            process = start(path, config)
    _, err = process.communicate()
    if process.returncode != 0:
        finish(path, config)
    print(f"{config.trials} trials, {whole:.0f} s untouched, kills {kills}, {len(attempts(path))} attempts", err)
    assert outline(path) == outline(tmp_path / "whole.db")


def _kill_one(process: subprocess.Popen, due: Callable[[], bool], chance: random.Random) -> str:
    """Kill the broker or one of its workers once it is time and there are workers."""
    assert wait_until(due, process, 0.5), f"the search has ended: {process.communicate()[1]}"
    workers: list[psutil.Process] = []

    def there() -> bool:
        workers[:] = workers_of(process)
        return bool(workers)

    assert wait_until(there, process), f"the search has ended: {process.communicate()[1]}"
    victim, name = (process, "broker") if chance.random() < 0.5 else (chance.choice(workers), "worker")
    with suppress(psutil.NoSuchProcess):  # it has just ended by itself
        victim.kill()
    if victim is process:
        process.wait()
    return name


if __name__ == "__main__":
    main(*sys.argv[1:])
