"""What happens to real federations: processes are killed, networks cut, clocks wrong, certificates old, disks full."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nasturtium.federated.deployment import admit_site, init_coordinator, init_site
from nasturtium.federated.transport import Authority
from nasturtium.federated.transport.certificates import CLIENT_LIFE
from nasturtium.privacy import KeyFolder
from nasturtium.storage import Ledger, open_database

from .conftest import NAMES, Federation, until

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="faults as Linux has them")]
needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None, reason="only root has networks and disks"
)
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
ROUNDS = 6
NOT_ASKED = ("is not begun", "has no sum any more")  # attempts that released nothing


def check_whole(federation: Federation, job: str, rounds: int = ROUNDS, names=None) -> None:
    """The job is done, each round once and in order, no attempt was free of charge, and there is one model."""
    status = federation.wait_ended(job)
    assert (status.state, status.rounds) == ("completed", f"{rounds}/{rounds}"), federation.told()
    closed = federation.closed(job)
    assert [each.number for each in closed] == list(range(1, len(closed) + 1))
    assert closed[-1].phase == "report"
    attempts = Counter(
        each.round
        for each in federation.attempts(job)
        if each.phase != "report" and not any(told in (each.failure or "") for told in NOT_ASKED)
    )
    with open_database(federation.config.database, create=False) as database:
        ledger = Ledger(database)
        ledger.verify(signatures=True)
        spends = Counter(entry.body["round"] for entry in ledger.entries(kind="spend", run=federation.run_of(job)))
    assert all(spends[number] >= count for number, count in attempts.items()), (spends, attempts)
    assert len(set(federation.wait_models(job, names).values())) == 1


def test_a_site_that_is_killed_in_a_round_is_left_out_and_comes_back_with_what_it_had(make_federation):
    federation = make_federation()
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 2)
    site = federation.sites["d"]
    site.signal(signal.SIGSTOP)  # the round it is in waits for it
    number = len(federation.closed(job))
    site.kill()
    federation.wait_rounds(job, number + 2)
    kept = sorted((federation.folder / "d" / "state").rglob("*"))
    site.start()
    check_whole(federation, job)
    assert set(kept) <= set((federation.folder / "d" / "state").rglob("*"))
    given = federation.participants(job)
    assert "d" not in given[number + 2]
    assert all({"a", "b", "c"} <= sites for sites in given.values())


def test_a_site_that_is_away_at_the_end_gets_the_model_when_it_comes_back(make_federation):
    federation = make_federation()
    job = federation.train(3)
    federation.start()
    federation.wait_rounds(job, 1)
    federation.sites["d"].kill()
    federation.wait_ended(job)
    others = federation.wait_models(job, ["a", "b", "c"])
    federation.server.kill()  # nor does it matter which process the coordinator was
    federation.server.start()
    federation.sites["d"].start()
    models = federation.wait_models(job)
    assert models.keys() == others.keys() | {"d"}
    assert len(set(models.values())) == 1


def test_a_server_that_is_killed_at_moments_nobody_chose_goes_on_at_the_last_closed_round(make_federation):
    federation = make_federation()
    rng = random.Random(7)
    job = federation.train(ROUNDS)
    federation.start()
    before: list[tuple[int, int]] = []
    for count in (1, 2, 3):
        federation.wait_rounds(job, count)
        time.sleep(rng.uniform(0.0, 1.5))
        federation.server.kill()
        closed = [(each.number, each.attempt) for each in federation.closed(job)]
        assert closed[: len(before)] == before
        before = closed
        if count == 2:  # nor does it wait for a site that is away when it comes back
            federation.sites["d"].kill()
        federation.server.start()
    federation.wait_rounds(job, ROUNDS - 1)
    federation.sites["d"].start()
    check_whole(federation, job)
    assert [(each.number, each.attempt) for each in federation.closed(job)][: len(before)] == before


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_history_in_postgresql_is_gone_on_from_as_well(database_url, make_federation):
    federation = make_federation(database=database_url)
    job = federation.train(ROUNDS)
    federation.start()
    for count in (1, 3):
        federation.wait_rounds(job, count)
        federation.server.kill()
        before = [(each.number, each.attempt) for each in federation.closed(job)]
        federation.server.start()
    check_whole(federation, job)
    assert [(each.number, each.attempt) for each in federation.closed(job)][: len(before)] == before


def test_flowers_servers_are_started_again_and_the_run_goes_on(make_federation):
    federation = make_federation()
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 2)
    link = federation.server.child("flower-superlink")
    link.kill()
    number = len(federation.closed(job))
    federation.wait_rounds(job, number + 1)
    assert federation.server.child("flower-superlink").pid != link.pid
    node = federation.sites["b"].child("flower-supernode")
    node.kill()
    until(lambda: (each := federation.sites["b"].child("flower-supernode")) and each.pid != node.pid)
    check_whole(federation, job)
    assert federation.server.alive
    assert all(site.alive for site in federation.sites.values())


@needs_root
def test_a_network_that_is_cut_for_a_minute(make_federation):
    federation = make_federation(network=True)
    rounds = 40  # more than the others close within that minute
    job = federation.train(rounds)
    federation.start()
    federation.wait_rounds(job, 1)
    federation.cut("d")
    number = len(federation.closed(job))
    federation.wait_rounds(job, number + 2)
    federation.sites["d"].wait_for("unreachable")
    time.sleep(60)
    federation.mend("d")
    federation.sites["d"].mark()
    federation.sites["d"].wait_for("connected")
    federation.cut(*NAMES)
    number = len(federation.closed(job))
    time.sleep(60)
    assert len(federation.closed(job)) <= number + 1  # what was on its way
    federation.mend(*NAMES)
    check_whole(federation, job, rounds)


def test_a_site_that_is_slow_is_not_waited_for_and_catches_up(make_federation):
    federation = make_federation()
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 1)
    site = federation.sites["d"]
    for _ in range(2):
        site.signal(signal.SIGSTOP)
        federation.wait_rounds(job, len(federation.closed(job)) + 2)
        site.signal(signal.SIGCONT)
        time.sleep(2)
    check_whole(federation, job)


@needs_root
def test_a_site_behind_a_thin_line_takes_part(make_federation):
    federation = make_federation(network=True, rules={"grace": 60.0})
    job = federation.train(3)
    federation.start()
    federation.wait_rounds(job, 1)
    federation.throttle("d", "400kbit")
    check_whole(federation, job, 3)


@pytest.mark.skipif(not FAKETIME.exists(), reason="needs libfaketime")
def test_clocks_that_differ(make_federation, tmp_path):
    federation = make_federation()
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 1)
    # Python sleeps until a time of the monotonic clock, and libfaketime 0.9.10 refuses that if it is not to fake it.
    patch = "import select, time\ntime.sleep = lambda seconds: select.select((), (), (), seconds)\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    wrong = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": path}
    late, early = federation.sites["c"], federation.sites["d"]
    for site, skew in ((late, "-200s"), (early, "+900s")):
        assert site.stop() == 0
        site.environment = wrong | {"FAKETIME": skew}
        site.mark()
        site.start()
    early.wait_for(r"clock: this machine's clock is about 15 minutes ahead of the coordinator's; set")
    late.wait_for("connected")
    federation.wait_rounds(job, len(federation.closed(job)) + 2)
    assert early.child("flower-supernode") is None or "clock" in early.news()
    assert early.stop() == 0
    early.environment = {}
    early.start()
    check_whole(federation, job)


def answered(caller: socket.socket, trust: ssl.SSLContext) -> bytes:
    """What somebody without a certificate is told."""
    try:
        with trust.wrap_socket(caller, server_hostname="127.0.0.1") as tls:
            tls.sendall(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
            return tls.recv(100)
    except OSError:
        return b""


def test_a_stranger_gets_nowhere_and_holds_nobody_up(make_federation, tmp_path):
    federation = make_federation()
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 1)
    address = ("127.0.0.1", federation.config.port)
    trust = ssl.create_default_context(cafile=federation.folder / "hub" / "authority" / "ca.pem")
    held: list[socket.socket] = []
    for number in range(60):  # some say nothing, some nonsense, some have no certificate
        caller = socket.create_connection(address, 10)
        held.append(caller)
        if number % 3 == 1:
            caller.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        elif number % 3 == 2:
            assert not answered(caller, trust)
    # Another coordinator has admitted it, for this address.
    config = init_coordinator(tmp_path / "other", "127.0.0.1", port=federation.config.port).config
    made = init_site(tmp_path / "e", "e", data=str(federation.folder / "a" / "rows.csv"))
    admit_site(type(federation.config).load(config), made.application)
    command = [sys.executable, "-m", "nasturtium.cli", "federate", "client", "--config", str(made.config)]
    with (tmp_path / "e.log").open("wb") as log:
        stranger = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: "wrong-authority" in (tmp_path / "e.log").read_text(), (tmp_path / "e.log").read_text)
        assert federation.config.authority.joinpath("members.json").read_text().count('"e"') == 0
        check_whole(federation, job)
    finally:
        stranger.terminate()
        stranger.wait(60)
        for caller in held:
            caller.close()
    assert all(sites == set(NAMES) for sites in federation.participants(job).values())


def test_a_certificate_that_expires_keeps_its_site_out_until_it_is_admitted_anew(make_federation):
    federation = make_federation()
    job = federation.train(14)
    federation.start()
    federation.wait_rounds(job, 1)
    site, home = federation.sites["d"], federation.folder / "d"
    assert site.stop() == 0
    hub = federation.config

    def admit(until_s: float) -> None:
        """With a certificate that is good for so many seconds from now."""
        made = datetime.now(UTC) - CLIENT_LIFE + timedelta(seconds=until_s)
        authority = Authority(hub.authority, clock=lambda: made)
        authority.readmit("d", KeyFolder(hub.keys).identity(None), hub.address).write(
            home / "d.admission.json", replace=True
        )

    admit(-3600)
    site.mark()
    site.start()
    assert site.process.wait(120) == 1
    assert "expired" in site.news()
    admit(40)
    site.mark()
    site.start()
    site.wait_for("connected")
    site.wait_for("certificate-expired: .*; ask the coordinator for a new admission")
    federation.wait_rounds(job, len(federation.closed(job)) + 2)
    assert site.stop() == 0
    admit_site(hub, home / "d.pub")
    site.start()
    check_whole(federation, job, 14)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    path = folder / "somebody-else"
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


@needs_root
def test_a_coordinator_whose_disk_is_full_waits_and_goes_on(small_disk, make_federation):
    federation = make_federation(state=small_disk)
    job = federation.train(ROUNDS)
    federation.start()
    federation.wait_rounds(job, 2)
    for count, ends in ((2, "waits"), (4, "killed")):
        federation.wait_rounds(job, count)
        federation.server.mark()
        path = fill(small_disk)
        federation.server.wait_for(r"(?i)waits: .*(disk is full|No space left).*free some disk space")
        fill(small_disk).stat()
        assert federation.server.alive
        if ends == "killed":
            federation.server.kill()
        path.unlink()
        if ends == "killed":
            federation.server.start()
    check_whole(federation, job)


def test_asynchronous_rounds_wait_for_nobody(make_federation):
    federation = make_federation(policy={"allow_plain": "true", "require_masks": "false"})
    plain = {"scheme": "plain", "masked": False}
    job = federation.train(ROUNDS, protection=plain, strategy={"name": "fedbuff", "buffer": 3})
    federation.start()
    federation.wait_rounds(job, 2)
    federation.sites["d"].signal(signal.SIGSTOP)
    federation.wait_rounds(job, 4)
    federation.server.kill()
    federation.sites["d"].kill()
    federation.sites["d"].start()
    federation.server.start()
    check_whole(federation, job)
