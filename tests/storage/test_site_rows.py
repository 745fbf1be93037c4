"""Thousands of sites are written as one is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from nasturtium.storage import ContributionRecord, DatasetEntry, History, RoundRecord
from nasturtium.storage.models import Node

CROWD = 1234  # more than a query takes values


@pytest.fixture
def run(tracker, dataset) -> str:
    return tracker.start_federated(
        name="digits",
        seed=1,
        config={},
        dataset=dataset,
        clients=CROWD,
        rounds=1,
        strategy="fedavg",
        scheme="packed",
        alpha=None,
        model_run=None,
        spec={},
    ).uid


def make_entry(name: str) -> DatasetEntry:
    return DatasetEntry(fingerprint=f"hmac-sha256:{name}", name=name, rows=None, body={}, keyed=True)


def test_a_crowd_of_sites_is_recorded_with_its_data(database, tracker, run):
    names = [f"site-{i + 1}" for i in range(CROWD)]
    tracker.record_sites(run, {name: make_entry(name) for name in names})
    tracker.record_sites(run, {name: make_entry(name) for name in names[:3]} | {"silent": None})  # again
    told = {role: entry for role, entry in History(database).datasets(run).items() if role != "data"}
    assert told == {f"site/{name}": make_entry(name) for name in names}


def test_a_crowd_of_contributions_is_recorded_by_name(database, tracker, run):
    given = [
        ContributionRecord(
            client=f"site-{i + 1}",
            state="rejected" if i % 7 == 0 else "accepted",
            reason="late" if i % 7 == 0 else None,
            bytes_up=i,
            bytes_down=2 * i,
            seconds=0.5,
        )
        for i in range(CROWD)
    ]
    record = RoundRecord(
        number=1,
        participants=CROWD,
        rejected=0,
        loss=None,
        accuracy=None,
        bytes_up=1,
        bytes_down=2,
        seconds=1.0,
        started=datetime(2026, 11, 1, tzinfo=UTC),
    )
    for _ in range(2):  # a round that is recorded again is replaced
        tracker.record_round(run, record, given)
    told = {each.client: each for each in History(database).contributions(run, 1)}
    assert told == {each.client: each for each in given}


def test_a_key_that_is_known_stays_when_the_site_is_seen_again(database, tracker, run):
    tracker.record_site(run, "site-1", public_key_sha256="ab" * 32)
    tracker.record_sites(run, {"site-1": make_entry("site-1")})
    with database.read() as session:
        [node] = session.scalars(select(Node)).all()
        assert (node.name, node.public_key_sha256) == ("site-1", "ab" * 32)
