"""A coordinator and a few sites with folders of their own, all in this process: everything of a deployment but TLS.

Run as a script it does the jobs that wait in a folder, and is a coordinator, and sites, that can be killed:
`python household.py FOLDER`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Context, Message

from nasturtium.cli.site_search import search_at_sites
from nasturtium.federated.deployment import (
    FederationConfig,
    Participant,
    RoundRules,
    admit_site,
    approve_roster,
    init_coordinator,
    init_site,
    waiting_roster,
)
from nasturtium.federated.deployment.preparation import Coordinating, Preparation
from nasturtium.federated.deployment.search_run import SearchRun
from nasturtium.federated.deployment.train_job import Protection
from nasturtium.federated.errors import PausedError, StoppedError
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.simulation.virtual_nodes import VirtualGrid, run_app
from nasturtium.federated.site.config import SiteConfig
from nasturtium.federated.transport import Authority
from nasturtium.privacy import KeyFolder
from nasturtium.storage import Database, Federations, open_database

RULES = RoundRules(deadline=120.0, grace=120.0, patience=0.0)


def write_rows(path: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 3))
    labels = np.where(inputs.sum(axis=1) > 0, "yes", "no")
    lines = [",".join([*(f"{value:.4f}" for value in row), label]) for row, label in zip(inputs, labels, strict=True)]
    path.write_text("x,y,z,label\n" + "\n".join(lines) + "\n")


def make_household(
    folder: Path, *, sites: str = "abc", policy: Callable[[str, str], str] = lambda site, text: text
) -> FederationConfig:
    """The folders of a coordinator and of sites, admitted.

    Args:
        folder: for them.
        sites: their names, of one letter each.
        policy: changes the site.toml of a site.
    """
    hub = FederationConfig.load(init_coordinator(folder / "hub", "localhost").config)
    for seed, name in enumerate(sites):
        write_rows(folder / f"{name}.csv", 60 + 10 * seed, seed)
        made = init_site(folder / name, name, data=str(folder / f"{name}.csv"), target="label")
        admit_site(hub, made.application)
        made.config.write_text(policy(name, made.config.read_text()))
    return hub


class Household:
    """The coordinator's part, and the sites, in this process.

    Args:
        folder: of `make_household`.
        database: of the coordinator.
        observe: hears the coordinator's events.
        there: how many of the sites are, in the order of their names.
    """

    def __init__(
        self, folder: Path, database: Database, observe: Callable[[object], None] = lambda event: None, there: int = 4
    ) -> None:
        self.config = FederationConfig.load(folder / "hub" / "federation.toml")
        self.config.state.mkdir(parents=True, exist_ok=True)
        self.database = database
        self.heard: list[object] = []  # of the sites
        members = [member.identity for member in Authority(self.config.authority).members.read().members]
        by_name = {member.name: member for member in members}
        self.sites = [SiteConfig.load(folder / name / "site.toml") for name in sorted(by_name)]
        self._participants = [Participant(site, observe=self.heard.append) for site in self.sites[:there]]
        self._apps = [each.make_app() for each in self._participants]
        keys = KeyFolder(self.config.keys)
        self.hub = Coordinating(
            identity=keys.identity(None),
            keys=keys,
            rules=RULES,
            members=lambda: members,
            sites={FIRST_NODE_ID + place: by_name[name] for place, name in enumerate(sorted(by_name))},
            folder=self.config.state,
            database=database,
            observe=observe,
        )
        self.there = len(self._participants)

    @property
    def slots(self) -> int:
        """Sites that answer at a time."""
        return 1

    def answer(self, message: Message, context: Context) -> Message:
        """What a site answers."""
        return run_app(self._apps[partition_id(context)], message, context)

    def close(self) -> None:
        """The models that are being kept are kept first."""
        for participant in self._participants:
            for thread in participant._finishing:
                thread.join()

    def approve(self) -> None:
        """Every operator approves the roster that waits, if one does."""
        for site in self.sites:
            waiting = waiting_roster(site)
            if waiting is not None:
                approve_roster(site, waiting.fingerprint)

    def work(self, stop: threading.Event | None = None) -> SearchRun:
        """Do the oldest job that waits, to its end or as far as it goes; what ends it is raised, and written down."""
        jobs = Federations(self.database)
        claim = jobs.claim("here", 60)
        assert claim is not None
        run = SearchRun(self.hub, claim, stop or threading.Event(), search_at_sites)
        with VirtualGrid([self], self.there) as grid:
            try:
                run.main(grid)
            except StoppedError:
                jobs.end(run.claim, "stopped")
                raise
            except PausedError:
                jobs.end(run.claim, "paused")
                raise
        jobs.end(run.claim, "completed")
        return run


def meet(folder: Path) -> None:
    """Have the key made, for which the operators have to approve the roster; a job has to wait."""
    with open_database(folder / "hub" / "history.db") as database:
        home, jobs = Household(folder, database), Federations(database)
        for _ in range(4):
            claim = jobs.claim("here", 60)
            assert claim is not None
            try:
                with VirtualGrid([home], home.there) as grid:
                    Preparation(home.hub, claim, threading.Event(), Protection()).make_key(grid)
                return
            except PausedError:
                home.approve()
            finally:
                jobs.release(claim)
    raise AssertionError("no key was made")


if __name__ == "__main__":
    at = Path(sys.argv[1])
    with open_database(at / "hub" / "history.db") as opened:
        print("begun", flush=True)
        Household(at, opened, lambda event: print(type(event).__name__, flush=True)).work()
