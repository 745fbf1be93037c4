"""What happens to real federations: processes that are killed, networks that are cut, sites that lie, disks that fill."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from nasturtium.storage import Ledger, open_database

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.name != "posix", reason="faults are signals of POSIX"),
]
ROUNDS = 8


def check_whole(federation, job: str, rounds: int = ROUNDS, names=None) -> None:
    """The job is done, each round once and in order, charged at least as often as it was attempted; one model."""
    status = federation.wait_ended(job)
    assert (status.state, status.rounds) == ("completed", f"{rounds}/{rounds}"), federation.told()
    closed = federation.closed(job)
    assert [each.number for each in closed] == list(range(1, len(closed) + 1))
    assert [each.phase for each in closed][-2:] == ["evaluate", "report"]
    attempts = Counter(each.round for each in federation.attempts(job) if each.phase != "report" and each.ended)
    with open_database(federation.config.database, create=False) as database:
        ledger = Ledger(database)
        ledger.verify(signatures=True)
        run = federation.run_of(job)
        spends = Counter(entry.body["round"] for entry in ledger.entries(kind="spend", run=run))
    assert all(spends[number] >= 1 for number in attempts)
    models = federation.wait_models(job, names)
    assert len(set(models.values())) == 1


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
    site.start()
    check_whole(federation, job)
