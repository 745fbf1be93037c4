"""Real federations with a site that lies, and under one fault after the other: no wrong sum, none lost, none stuck."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from nasturtium.storage import History, open_database

from .conftest import NAMES, Federation, until
from .replay import replay
from .test_federation_faults import check_whole

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="faults as Linux has them")]
SECONDS = float(os.environ.get("NASTURTIUM_FAULT_SECONDS", "1800"))
EVERY_S = 10.0
SHORT_S = 5.0
JOB_ROUNDS = 25
LIES = ("garbage", "unsigned", "random update", "other run", "other round", "nan", "enormous", "strange error")
# A site as installed, but for what its app answers to plans: the protocol, the keys and the connection are real.
LIAR = """
import math, os, signal, sys, threading
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from nasturtium.federated import SiteConfig
from nasturtium.federated.deployment import Participant
from nasturtium.federated.protocol.answers import join_contents, sign_answer, split_content
from nasturtium.federated.protocol.queries import ANSWER_DOMAIN
from nasturtium.federated.protocol.records import check_content, content_digest, pack_bytes, plan_from_content

LIES = sys.argv[2].split(",")
kept = {}

class Liar(Participant):
    def make_app(self):
        honest = super().make_app()

        def lie(message, context):
            reply = honest(message, context)
            if message.metadata.message_type != "train" or reply.has_error():
                return reply
            asked = check_content(message.content, self.admission.coordinator)
            plan = plan_from_content(split_content(asked)[0])
            if not plan.take_part:
                return reply
            said = RecordDict({name: each for name, each in reply.content.items() if name != "signature"})
            update = said["0/update"]
            kept.setdefault(plan.run, []).append(update)
            which = LIES[plan.round % len(LIES)]
            print("lie", plan.run, plan.round, which, file=sys.stderr, flush=True)
            if which == "strange error":
                return Message(Error(7, "row 17 says: yes"), reply_to=message)
            if which == "garbage":
                return Message(RecordDict({"x": pack_bytes(os.urandom(10_000))}), reply_to=message)
            if which == "unsigned":
                return Message(said, reply_to=message)
            if which == "random update":
                said["0/update"] = pack_bytes(os.urandom(5000))
            if which == "other run" and len(kept) > 1:
                said["0/update"] = next(iter(kept.values()))[0]
            elif which in ("other round", "other run"):
                said["0/update"] = kept[plan.run][0] if len(kept[plan.run]) > 1 else pack_bytes(b"old")
            if which == "nan":
                status = dict(said["0/status"]) | {"seconds": math.nan}
                said["0/status"] = ConfigRecord(status)
            if which == "enormous":
                said["0/update"] = pack_bytes(bytes(40_000_000))
            question = content_digest(asked)
            sign = lambda data: self._identity.sign(ANSWER_DOMAIN, data)
            return Message(sign_answer(said, sign, question), reply_to=message)

        return lie

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
Liar(SiteConfig.load(sys.argv[1])).run(stop)
"""


def check_sums(federation: Federation, job: str, folder) -> None:
    """The model, and what was measured of those before, are what the recorded participants' rows give."""
    run = federation.run_of(job)
    again = replay(federation.config, [federation.site_config(name) for name in federation.names], run, folder)
    assert set(federation.wait_models(job).values()) == {again.weights}
    assert again.recorded
    assert again.recorded == {number: again.correct[number] for number in again.recorded}


def test_a_site_that_lies_is_left_out_of_every_sum_and_holds_nobody_up(make_federation, tmp_path):
    federation = make_federation()
    federation.sites["d"].command = [sys.executable, "-c", LIAR, str(federation.folder / "d" / "site.toml")]
    federation.sites["d"].arguments = [",".join(LIES)]
    # In the second one there is another run to take an update from.
    jobs = {federation.train(rounds, seed=rounds): rounds for rounds in (len(LIES), LIES.index("other run") + 1)}
    federation.start()
    for job, rounds in jobs.items():
        check_whole(federation, job, rounds, names=("a", "b", "c"))
        assert all(sites == {"a", "b", "c"} for sites in federation.participants(job).values())
        run = federation.run_of(job)
        with open_database(federation.config.database, create=False) as database:
            given = History(database).all_contributions(run)
        reasons = [each.reason for found in given.values() for each in found if each.client == "d"]
        assert len(reasons) == rounds
        assert all(reasons)
        assert not any("row 17" in reason for reason in reasons)
        again = replay(federation.config, [federation.site_config(name) for name in NAMES], run, tmp_path / job)
        assert set(federation.wait_models(job, ("a", "b", "c")).values()) == {again.weights}
        assert again.recorded == {number: again.correct[number] for number in again.recorded}
        print("\n".join(f"{LIES[number % len(LIES)]}: {reason}" for number, reason in enumerate(reasons, 1)))


class Storm:
    """One fault after the other; whatever was ended is started again.

    Attributes:
        done: how often each was done.
    """

    def __init__(self, federation: Federation, rng: random.Random) -> None:
        self._federation, self._rng = federation, rng
        self.done: Counter[str] = Counter()

    def fault(self) -> None:
        kinds = [self.kill_site, self.kill_server, self.kill_superlink, self.kill_supernode, self.stand_still]
        if self._federation.network:
            kinds.append(self.cut)
        kind = self._rng.choice(kinds)
        kind()
        self.done[kind.__name__] += 1

    def kill_site(self) -> None:
        site = self._federation.sites[self._rng.choice(NAMES)]
        site.kill()
        time.sleep(self._rng.uniform(0, SHORT_S))
        site.start()

    def kill_server(self) -> None:
        self._federation.server.kill()
        time.sleep(self._rng.uniform(0, SHORT_S))
        self._federation.server.start()

    def kill_superlink(self) -> None:
        if child := self._federation.server.child("flower-superlink"):
            with suppress(psutil.Error):
                child.kill()

    def kill_supernode(self) -> None:
        if child := self._federation.sites[self._rng.choice(NAMES)].child("flower-supernode"):
            with suppress(psutil.Error):
                child.kill()

    def stand_still(self) -> None:
        party = self._rng.choice([self._federation.server, *self._federation.sites.values()])
        party.signal(signal.SIGSTOP)
        time.sleep(SHORT_S)
        party.signal(signal.SIGCONT)

    def cut(self) -> None:
        names = self._rng.sample(NAMES, self._rng.randint(1, len(NAMES)))
        self._federation.cut(*names)
        time.sleep(SHORT_S)
        self._federation.mend(*names)


def test_a_storm_of_faults_leaves_no_wrong_sum_and_nothing_stuck(make_federation, tmp_path):
    rng = random.Random(20)
    network = os.geteuid() == 0 and shutil.which("ip") is not None
    federation = make_federation(network=network, rules={"attempts": 1000, "patience": 3600.0})
    jobs = [federation.train(JOB_ROUNDS)]
    federation.start()
    federation.wait_rounds(jobs[0], 1)
    storm = Storm(federation, rng)
    ends = time.monotonic() + SECONDS
    before: dict[str, list[tuple[int, int]]] = {}
    while time.monotonic() < ends:
        storm.fault()
        for party in (federation.server, *federation.sites.values()):
            assert party.alive, (party.log.name, party.text()[-3000:])
        for job in jobs[-2:]:
            if federation.job(job).run is not None:
                closed = [(each.number, each.attempt) for each in federation.closed(job)]
                assert closed[: len(before.get(job, ()))] == before.get(job, [])
                before[job] = closed
        state = federation.job(jobs[-1])
        assert state.state in {"queued", "running", "completed"}, federation.told()
        if state.state == "completed":
            jobs.append(federation.train(JOB_ROUNDS, seed=len(jobs) + 1))
        time.sleep(max(0.0, min(EVERY_S, ends - time.monotonic())))
    for number, job in enumerate(jobs):
        check_whole(federation, job, JOB_ROUNDS)
        check_sums(federation, job, tmp_path / f"again{number}")
    attempts = [each for job in jobs for each in federation.attempts(job)]
    told = Counter(each.failure.partition(":")[0].partition(" has ")[2] for each in attempts if each.failure)
    participants = Counter(len(each) for job in jobs for each in federation.participants(job).values())
    print(
        f"\n{len(jobs)} jobs, {sum(len(federation.closed(job)) for job in jobs)} closed rounds, {len(attempts)} "
        f"attempts, faults {dict(storm.done)}, participants {dict(participants)}, failures {dict(told)}"
    )
    until(lambda: all(site.child("flower-supernode") for site in federation.sites.values()), federation.told)
