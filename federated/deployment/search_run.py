"""One `SearchJob` at the coordinator, from the sites' key to the model that they keep; called again, it goes on.

    key of the sites -> what their rows are -> what they agree on -> candidates -> the model

What proposes candidates is not known here: whoever serves passes it in, and is given the sites as what evaluates them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.serverapp import Grid

from ...core import ConfigError
from ...core.data import Task
from ...privacy import KeyGrant
from ...storage import Database, History, JobClaim
from ..agreement.question import Facts
from ..default_model import default_spec
from ..search.shared_weights import SharedWeights
from .preparation import Coordinating, Preparation
from .release_job import check_releasable, release_problem
from .search_job import SearchJob
from .site_search import SiteSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedRows:
    """What the sites' rows are; kept in the configuration of the search.

    Attributes:
        facts: what is told of them here.
        preprocessing: that the sites have agreed on, for the plans.
        key_id: of the sites' key at that time: under another one the name that plans have for it is none.
    """

    facts: Facts
    preprocessing: str
    key_id: str

    @property
    def task(self) -> Task:
        """A task of that shape, with names made up."""
        return self.facts.task

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what plans say of the preprocessing, as hex: the same rows lead to it, and hardly any others."""
        return hashlib.sha256(self.preprocessing.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"facts": self.facts.to_dict(), "preprocessing": self.preprocessing, "key_id": self.key_id}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> AgreedRows:
        """The inverse of `to_dict`."""
        return cls(facts=Facts.from_dict(value["facts"]), preprocessing=value["preprocessing"], key_id=value["key_id"])


class SearchWork:
    """A search job at work, as whoever proposes its candidates sees it.

    Args:
        job: what is asked for.
        hub: what the coordinator has.
        before: of the job.
        grid: reaches the sites.
        grant: of the sites' key.
        rows: of the sites.
    """

    def __init__(
        self, job: SearchJob, hub: Coordinating, before: Preparation, grid: Grid, grant: KeyGrant, rows: AgreedRows
    ) -> None:
        self.job = job
        self.rows = rows
        self._hub = hub
        self._before = before
        self._grid = grid
        self._grant = grant

    @property
    def run(self) -> str | None:
        """ULID of the search in the history that is to be gone on with; None: it is to begin."""
        return self._before.claim.run

    @property
    def database(self) -> Database:
        """The history; stays the coordinator's."""
        return self._hub.database

    @property
    def kept(self) -> dict[str, Any]:
        """What the search is to keep in its configuration, as `nas.SearchConfig.federation`."""
        return {"job": self.job.to_dict(), "rows": self.rows.to_dict()}

    def open_sites(self, *, shared: SharedWeights | None = None, timed: bool = False) -> SiteSearch:
        """The sites as what evaluates candidates; see there."""
        return SiteSearch(
            self.job,
            self._hub,
            self._before,
            self._grid,
            self._grant,
            self.rows.preprocessing,
            shared=shared,
            timed=timed,
        )

    def began(self, run: str) -> None:
        """The search is in the history: whoever claims the job next goes on with it.

        Raises:
            LeaseLostError: the job is another coordinator's by now.
        """
        if self.run is None:
            self._before.attach(run)

    def say(self, what: str) -> None:
        """Tell whoever watches, in words."""
        self._before.tell(what)

    def check(self) -> None:
        """Say that this coordinator lives.

        Raises:
            StoppedError: somebody asked for the job, or for the coordinator, to stop.
        """
        self._before.check()


Searching = Callable[[SearchWork], float | None]  # runs a search to its end; the accuracy of its model


class SearchRun:
    """One job. Where sites came or went while it was left, they agree again, and go on under the key they have now.

    Args:
        hub: what the coordinator has.
        claim: of the job.
        stop: set when the coordinator is to end: the job is left as it is.
        search: runs a search over the sites; None: nothing here does.
    """

    def __init__(
        self, hub: Coordinating, claim: JobClaim, stop: threading.Event, search: Searching | None = None
    ) -> None:
        self._hub = hub
        self._job = job = SearchJob.from_dict(claim.config)
        self._before = Preparation(hub, claim, stop, job.protection, sparse=job.make_compression().sparse)
        self._search = search
        self.accuracy: float | None = None
        self.note: str | None = None  # why the model is not where it was to be

    @property
    def claim(self) -> JobClaim:
        """Of the job, with the run it became."""
        return self._before.claim

    def main(self, grid: Grid) -> None:
        """All that is left of the job.

        Raises:
            PausedError: sites are missing, or the search can find nothing: the job can be resumed.
            StoppedError: somebody asked for that.
            ConfigError: the job does not fit what the sites have, or nothing here searches.
            LinkLostError: the SuperLink is gone; call this again with the grid of another one.
        """
        if self._search is None:
            raise ConfigError(
                f"{self._job.name} is an architecture search, and this server only trains",
                hint="run: nasturtium federate server",
            )
        grant = self._before.make_key(grid)
        known = self._read_rows()
        rows = known if known is not None and known.key_id == grant.key_id else self._ask_rows(grid, grant)
        if known is not None and rows.facts != known.facts:
            raise ConfigError(
                f"sites came or went, and the rows are others now: {rows.facts}, expected {known.facts}",
                hint="start the job again",
            )
        self.accuracy = self._search(SearchWork(self._job, self._hub, self._before, grid, grant, rows))
        if (run := self.claim.run) is not None:
            history = History(self._hub.database)
            self.note = release_problem(history, [model.uid for model in history.children(run, "retrain")])

    def _ask_rows(self, grid: Grid, grant: KeyGrant) -> AgreedRows:
        """What the sites say of their rows, and agree on."""
        job = self._job
        terms = job.make_terms(job.make_schema() or self._before.ask_schema(grid, grant))
        facts, preprocessing = self._before.settle_rows(grid, grant, terms)
        if facts.kind != "classification":
            raise ConfigError(
                f"sites compare candidates by rows that are classified correctly, got a {facts.kind}",
                hint="search where the rows are, or name a target of classes",
            )
        check_releasable(job, default_spec(facts.task))
        return AgreedRows(facts=facts, preprocessing=preprocessing, key_id=grant.key_id)

    def _read_rows(self) -> AgreedRows | None:
        """What an earlier coordinator was told."""
        run = self._before.claim.run
        if run is None:
            return None
        return AgreedRows.from_dict(History(self._hub.database).search(run).run.config["federation"]["rows"])
