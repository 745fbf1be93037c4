"""A member that was away when a run ended gets its model as it comes back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nasturtium.federated.deployment import ModelKept, TrainJob, start_job
from nasturtium.federated.deployment.hand_overs import HandOvers
from nasturtium.federated.deployment.train_run import TrainRun
from nasturtium.federated.simulation.virtual_nodes import VirtualGrid
from nasturtium.storage import Federations, History, Ledger, open_database

from .household import Household, make_household, meet

JOB = TrainJob(name="tiny", rounds=2, seed=3)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parts[-5]: path.read_bytes() for path in folder.glob("?/state/models/*/*.safetensors")}


class Engine:
    """The sites of a household, as a server's engine reaches them."""

    def __init__(self, home: Household) -> None:
        self.home = home
        self.served = 0

    def serve(self, main):
        self.served += 1
        with VirtualGrid([self.home], self.home.there) as grid:
            return main(grid)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four sites, and a training that the fourth has missed."""
    folder = tmp_path_factory.mktemp("away")
    hub = make_household(folder, sites="abcd")
    start_job(hub, JOB)
    meet(folder)
    with open_database(folder / "hub" / "history.db") as database:
        home, jobs = Household(folder, database, there=3), Federations(database)
        home.hub = replace(home.hub, rules=replace(home.hub.rules, grace=0.2, patience=1.5))
        claim = jobs.claim("here", 60)
        assert claim is not None
        run = TrainRun(home.hub, claim, threading.Event())
        with VirtualGrid([home], home.there) as grid:
            run.main(grid)
        jobs.end(run.claim, "completed")
        home.close()
    assert sorted(weights(folder)) == ["a", "b", "c"]
    return folder


def test_who_comes_back_gets_the_model_and_nothing_is_spent_for_it(folder):
    with open_database(folder / "hub" / "history.db") as database:
        said: list[object] = []
        spent = len(Ledger(database).entries())
        home = Household(folder, database, said.append)
        hand_overs, engine = HandOvers(home.hub, threading.Event()), Engine(home)
        [job] = Federations(database).jobs()
        hand_overs.note(job.uid, frozenset("abc"))
        hand_overs.look(engine, frozenset("abc"))
        assert engine.served == 0  # nobody has come
        hand_overs.look(engine, frozenset("abcd"))
        home.close()
        found = weights(folder)
        assert sorted(found) == ["a", "b", "c", "d"]
        assert len(set(found.values())) == 1
        assert [event.run for event in home.heard if isinstance(event, ModelKept)] == [job.run]
        events = [event for event in History(database).events(job.run) if event.kind == "site caught up"]
        assert [event.body["site"] for event in events] == ["d"]
        assert History(database).federated(job.run).run.state == "completed"
        assert len(Ledger(database).entries()) == spent
        hand_overs.look(engine, frozenset("abcd"))
        assert engine.served == 1  # and nobody has come since


def test_a_job_that_waits_goes_first(folder):
    with open_database(folder / "hub" / "history.db") as database:
        home, jobs = Household(folder, database), Federations(database)
        hand_overs, engine = HandOvers(home.hub, threading.Event()), Engine(home)
        start_job(home.config, replace(JOB, name="another"))
        hand_overs.look(engine, frozenset("abcd"))
        assert engine.served == 0
        claim = jobs.claim("here", 60)
        assert claim is not None
        jobs.end(claim, "stopped")
        hand_overs.look(engine, frozenset("abcd"))
        assert engine.served == 1  # it was put off, not forgotten


def test_what_goes_wrong_ends_nothing_and_is_tried_again(folder):
    with open_database(folder / "hub" / "history.db") as database:
        home, stop = Household(folder, database), threading.Event()
        hand_overs, engine = HandOvers(home.hub, stop), Engine(home)
        hand_overs.look(engine, frozenset("a"))
        assert engine.served == 0  # alone, it is helped by nobody
        stop.set()
        hand_overs.look(engine, frozenset("abcd"))
        stop.clear()
        hand_overs.look(engine, frozenset("abcd"))
        assert engine.served == 2
        hand_overs.look(engine, frozenset("abcd"))
        assert engine.served == 2
