"""A whole federation of real processes over TLS: a server, sites, Flower's servers, and what can happen to them."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import pytest

from nasturtium.core.data import load_dataset
from nasturtium.federated import LocalTraining, SiteConfig
from nasturtium.federated.deployment import (
    FederationConfig,
    JobStatus,
    TrainJob,
    admit_site,
    approve_roster,
    init_coordinator,
    init_site,
    read_jobs,
    resume_job,
    start_job,
    waiting_roster,
)
from nasturtium.federated.flower.processes import free_port
from nasturtium.storage import AttemptRecord, ClosedRound, History, open_database

T = TypeVar("T")
PATIENCE = 900.0  # seconds, of a machine with other work
NAMES = ("a", "b", "c", "d")
RULES: Mapping[str, float] = {"deadline": 120.0, "min_replies": 3, "grace": 3.0, "attempts": 20, "patience": 240.0}
LEARN = LocalTraining(epochs=1, batch_size=16, max_rows=100)


def until(look: Callable[[], T], told: Callable[[], object] = lambda: "", seconds: float = PATIENCE) -> T:
    """What `look` finds once that is true; the time is only there so that a failure ends, with what is `told`."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends, told()
        time.sleep(0.5)  # a look opens a database
    return found


@dataclass
class Party:
    """A process of the product's command line, which may be ended and started again, and what it printed in all."""

    folder: Path
    log: Path
    arguments: Sequence[str]
    before: Sequence[str] = ()  # of the command: a namespace, a clock
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = (sys.executable, "-m", "nasturtium.cli", "federate")
    process: subprocess.Popen[bytes] | None = None
    marked: int = 0

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [*self.before, *self.command, *self.arguments],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As the kernel does it to a process that takes too much: its children are left to find out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """As its operator does."""
        assert self.process is not None
        if self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def child(self, name: str) -> psutil.Process | None:
        """Flower's server that it runs, if it does now."""
        assert self.process is not None
        try:
            for each in psutil.Process(self.process.pid).children():
                if name in " ".join(each.cmdline()):
                    return each
        except psutil.Error:
            pass
        return None

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def mark(self) -> None:
        """From here on `news` counts."""
        self.marked = len(self.text())

    def news(self) -> str:
        return self.text()[self.marked :]

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> str:
        """What it says, since it was marked."""

        def look() -> re.Match[str] | None:
            assert self.alive, self.text()[-3000:]
            return re.search(pattern, self.news())

        found = until(look, lambda: (pattern, self.news()[-3000:]), seconds)
        return found[1] if found.groups() else found[0]


class Federation:
    """One coordinator and four sites, each with ninety rows of its own.

    Args:
        folder: of everything.
        rules: of `[rounds]`, beside or instead of `RULES`.
        policy: lines of the sites' policies that are replaced, by their key.
        names: of the sites.
        network: whether each party has a network namespace of its own; the hub's address is 10.77.0.1 for all.
        state: another folder of the coordinator's, absolute: all it keeps that changes.
        database: of the coordinator; see `FederationConfig`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rules: Mapping[str, float] | None = None,
        policy: Mapping[str, str] | None = None,
        names: Sequence[str] = NAMES,
        network: bool = False,
        state: Path | None = None,
        database: str | None = None,
    ) -> None:
        self.folder, self.names, self.network = folder, names, network
        self._prefix = f"nst{os.getpid()}"
        host, port = ("10.77.0.1", 8443) if network else ("127.0.0.1", free_port())
        init_coordinator(folder / "hub", host, port=port)
        path = folder / "hub" / "federation.toml"
        text = path.read_text()
        for name, value in {**RULES, **(rules or {})}.items():
            text = re.sub(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        if state is not None:
            text = text.replace('state = "state"', f'state = "{state}/state"')
            text = text.replace('database = "history.db"', f'database = "{state}/history.db"')
        if database is not None:
            text = text.replace('database = "history.db"', f'database = "{database}"')
        path.write_text(text)
        self.config = FederationConfig.load(path)
        self.sites = {name: self._make_site(name, place, policy or {}) for place, name in enumerate(names)}
        self.server = Party(folder, folder / "server.log", ["server", "--config", str(path)], self._in("hub"))
        if network:
            try:
                self._connect()
            except BaseException:
                self.close()
                raise

    def _make_site(self, name: str, place: int, policy: Mapping[str, str]) -> Party:
        home = self.folder / name
        home.mkdir()
        write_rows(home / "rows.csv", place)
        made = init_site(home, name, data="rows.csv")
        text = made.config.read_text()
        for key, value in policy.items():
            text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            assert count == 1, key
        made.config.write_text(text)
        admit_site(self.config, made.application)
        arguments = ["client", "--config", str(made.config)]
        return Party(self.folder, self.folder / f"{name}.log", arguments, self._in(name))

    # --- the network ---

    def _in(self, party: str) -> list[str]:
        return ["ip", "netns", "exec", f"{self._prefix}{party}"] if self.network else []

    def _connect(self) -> None:
        hub = f"{self._prefix}hub"
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "set", "dev", "lo", "up")
        _ip("-n", hub, "address", "add", "10.77.0.1/32", "dev", "lo")
        for place, name in enumerate(self.names, 1):
            site = f"{self._prefix}{name}"
            _ip("netns", "add", site)
            _ip("-n", site, "link", "set", "dev", "lo", "up")
            _ip("-n", hub, "link", "add", "name", f"to-{name}", "type", "veth", "peer", "name", "to-hub", "netns", site)
            for where, device, address in (
                (hub, f"to-{name}", f"10.77.{place}.1/24"),
                (site, "to-hub", f"10.77.{place}.2/24"),
            ):
                _ip("-n", where, "address", "add", address, "dev", device)
                _ip("-n", where, "link", "set", "dev", device, "up")
            _ip("-n", site, "route", "add", "default", "via", f"10.77.{place}.1")

    def cut(self, *names: str) -> None:
        """What these sites and the coordinator send to each other is lost, and nobody is told."""
        for name in names:
            _ip("-n", f"{self._prefix}hub", "link", "set", "dev", f"to-{name}", "down")

    def mend(self, *names: str) -> None:
        for name in names:
            _ip("-n", f"{self._prefix}hub", "link", "set", "dev", f"to-{name}", "up")

    def throttle(self, name: str, rate: str) -> None:
        """No more than so many bits a second come to a site, or from it."""
        for where, device in ((f"{self._prefix}hub", f"to-{name}"), (f"{self._prefix}{name}", "to-hub")):
            line = ["tc", "-n", where, "qdisc", "add", "dev", device, "root", "tbf", "rate", rate]
            subprocess.run([*line, "burst", "8kb", "latency", "2s"], check=True)

    # --- what its people do ---

    def site_config(self, name: str) -> SiteConfig:
        return SiteConfig.load(self.folder / name / "site.toml")

    def start(self, names: Sequence[str] | None = None) -> None:
        """Everything runs, and the sites have compared and signed their roster."""
        self.server.start()
        for name in self.names if names is None else names:
            self.sites[name].start()
        self.approve()

    def approve(self) -> None:
        for name in self.names:
            config = self.site_config(name)
            roster = until(lambda config=config: waiting_roster(config), self.told)
            approve_roster(config, roster.fingerprint)

    def train(self, rounds: int, *, seed: int = 1, name: str = "rows", **more: Any) -> str:
        """Ask for a job; its id."""
        job = TrainJob.from_dict({"name": name, "rounds": rounds, "seed": seed, **more})
        return start_job(self.config, replace(job, training=LEARN)).uid

    def resume(self, job: str) -> None:
        resume_job(self.config, job)

    def job(self, uid: str) -> JobStatus:
        return next(job for job in read_jobs(self.config) if job.uid == uid)

    def run_of(self, uid: str) -> str:
        """The ULID of its run."""
        from nasturtium.storage import Federations

        with open_database(self.config.database, create=False) as database:
            run = Federations(database).find(uid).run
        assert run is not None
        return run

    def closed(self, uid: str) -> list[ClosedRound]:
        with open_database(self.config.database, create=False) as database:
            return History(database).closed_rounds(self.run_of(uid))

    def attempts(self, uid: str) -> list[AttemptRecord]:
        with open_database(self.config.database, create=False) as database:
            return History(database).attempts(self.run_of(uid))

    def participants(self, uid: str) -> dict[int, set[str]]:
        """Whose updates are in the sum of each training round."""
        with open_database(self.config.database, create=False) as database:
            given = History(database).all_contributions(self.run_of(uid))
        return {number: {each.client for each in found if each.state == "accepted"} for number, found in given.items()}

    def wait_rounds(self, uid: str, count: int, seconds: float = PATIENCE) -> None:
        """So many training rounds are closed."""

        def look() -> bool:
            assert self.server.alive, self.told()
            return int(self.job(uid).rounds.partition("/")[0]) >= count

        until(look, self.told, seconds)

    def wait_ended(self, uid: str, seconds: float = PATIENCE) -> JobStatus:
        def look() -> JobStatus | None:
            assert self.server.alive, self.told()
            job = self.job(uid)
            return job if job.state not in {"queued", "running"} else None

        return until(look, self.told, seconds)

    def wait_models(self, uid: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """The weights that each site has kept at the end of a job."""
        run = self.run_of(uid)

        def look() -> dict[str, bytes] | None:
            found: dict[str, bytes] = {}
            for name in self.names if names is None else names:
                for path in (self.folder / name / "state" / "models" / run).glob("*.safetensors"):
                    found[name] = path.read_bytes()
            return found if len(found) == len(self.names if names is None else names) else None

        return until(look, self.told)

    def told(self) -> str:
        """All that is to be known when something did not happen."""
        logs = [self.server, *self.sites.values()]
        jobs = [(job.name, job.state, job.rounds, job.why) for job in read_jobs(self.config)]
        return "\n".join([str(jobs), *(f"--- {each.log.name}\n{each.text()[-2500:]}" for each in logs)])

    def close(self) -> None:
        parties = [each for each in (self.server, *self.sites.values()) if each.alive]
        for each in parties:
            each.signal(signal.SIGCONT)
            each.signal(signal.SIGTERM)
        for each in parties:
            try:
                assert each.process is not None
                each.process.wait(90)
            except subprocess.TimeoutExpired:
                each.kill()
        if self.network:
            for name in ("hub", *self.names):
                subprocess.run(["ip", "netns", "del", f"{self._prefix}{name}"], check=False, capture_output=True)


def write_rows(path: Path, seed: int, count: int = 90) -> None:
    """Rows of three numbers and a class that depends on them."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 3)).round(4)
    labels = np.where(inputs @ [1.0, -2.0, 0.5] + 0.3 * rng.standard_normal(count) > 0, "yes", "no")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "z", "label"])
        writer.writerows([*row, label] for row, label in zip(inputs.tolist(), labels.tolist(), strict=True))


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of some of the bundled digits: a search in it ends sooner than in all of them."""
    path, digits = tmp_path_factory.mktemp("data") / "digits.csv", load_dataset("digits")
    pixels = digits.inputs.reshape(len(digits), -1).astype(int)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"p{place}" for place in range(64)), "label"])
        writer.writerows([*pixels[place], digits.labels[place]] for place in range(400))
    return path


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


@pytest.fixture
def make_federation(tmp_path: Path) -> Iterator[Callable[..., Federation]]:
    """Makes federations, whose processes end with the test."""
    made: list[Federation] = []

    def make(**options: Any) -> Federation:
        folder = tmp_path / f"federation{len(made)}"
        folder.mkdir()
        made.append(Federation(folder, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
