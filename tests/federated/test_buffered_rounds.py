"""Asynchronous rounds: with everybody waited for they are the usual ones; a slow site holds nobody up, and counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, Metrics, ModelSpec, build, derive_rng
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    LocalGrid,
    MemoryJournal,
    Peers,
    RelayStrategy,
    Resume,
    RoundPlan,
    RoundResult,
    Site,
    make_client_app,
)
from nasturtium.federated.adapters.catalogue import ModelCatalogue
from nasturtium.federated.adapters.training import SiteTrainer
from nasturtium.federated.errors import PausedError
from nasturtium.federated.protocol.rounds import Phase, Quantisation
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.site.local_training import LocalRows, NetworkTrainer
from nasturtium.federated.site.session import Session
from nasturtium.federated.strategies import FedAvg, FedBuff
from nasturtium.federated.updates.buffered_sum import BufferedUpdate, add_stale
from nasturtium.federated.updates.symbols import Contribution, UpdateSymbols
from nasturtium.privacy import PackedAdder, PlainAdder, SecretKey, smallest_preset

from .conftest import make_identity

ROWS = (8, 13, 40, 20)
PRESET = smallest_preset(6, 12)
MODEL = build(
    ModelSpec((3,), (layer_spec("linear", out_features=4), layer_spec("batch_norm"))), derive_rng(0, "weights")
)
SYMBOLS = UpdateSymbols(MODEL, PRESET.levels)
RANGES = SYMBOLS.first_ranges(0.25)


class Gated(NetworkTrainer):
    """Trains when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()
        self.done = threading.Event()

    def train(self, session: Session, plan: RoundPlan, rows: LocalRows) -> Contribution:
        self.begun.set()
        assert self.open.wait(60)
        said = super().train(session, plan, rows)
        self.done.set()
        return said


@pytest.fixture
def run_federation(make_site, make_federation_plan, coordinator, preset):
    """Run to the end with these trainers: the sites, and the result of every attempt."""

    def run(
        strategy: str,
        *,
        trainers: dict[int, Any] | None = None,
        on_round: Callable[[RoundResult], object] | None = None,
        **changes: Any,
    ) -> tuple[list[Site], list[RoundResult]]:
        sites: list[Site] = [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]
        for index, trainer in (trainers or {}).items():
            sites[index]._trainer = SiteTrainer(ModelCatalogue(), trainer)
        results: list[RoundResult] = []

        def note(result: RoundResult) -> None:
            results.append(result)
            if on_round is not None:
                on_round(result)

        plan = make_federation_plan(
            strategy=strategy,
            quantisation=Quantisation(preset=preset.name, bound=0.05, rule="fixed"),
            **{"rounds": 5} | changes,
        )
        relay = RelayStrategy(
            plan,
            PlainAdder(preset),
            {FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites)},
            coordinator,
        )
        with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), len(sites), workers=4) as grid:
            relay.run(grid, MemoryJournal(note))
        return sites, results

    return run


def vector_of(site: Site) -> np.ndarray:
    model = site.release().model
    return np.concatenate([array.ravel() for array in model.state().values()])


def test_where_everybody_is_waited_for_it_is_federated_averaging_bit_for_bit(run_federation):
    buffered, results = run_federation(FedBuff(buffer=4).to_json())
    plain, expected = run_federation(FedAvg().to_json())
    for one, other in zip(buffered, plain, strict=True):
        np.testing.assert_array_equal(vector_of(one), vector_of(other))
    assert [result.phase for result in results] == [result.phase for result in expected]
    assert [result.report for result in results] == [result.report for result in expected]


def test_a_slow_site_holds_nobody_up_and_counts_once_it_is_done(run_federation):
    gate = Gated()

    def on_round(result: RoundResult) -> None:
        if result.round == 3:
            gate.open.set()
            assert gate.done.wait(60)  # so that it is there before the run is over, however fast the others are

    sites, results = run_federation(FedBuff(buffer=3).to_json(), trainers={3: gate}, on_round=on_round, rounds=12)
    trained = [result for result in results if result.phase == "train"]
    assert len(trained) == 12
    assert all(result.failure is None for result in trained)
    part = [
        [outcome.took_part and outcome.reason is None for outcome in result.outcomes if outcome.site == "site-4"]
        for result in trained
    ]
    assert part[:3] == [[False]] * 3
    assert [True] in part
    assert len({vector_of(site).tobytes() for site in sites}) == 1
    for result in trained:
        assert sum(outcome.took_part and outcome.reason is None for outcome in result.outcomes) >= 3


def test_another_coordinator_goes_on_where_one_was_lost(make_site, make_federation_plan, coordinator, preset):
    class Closed(MemoryJournal):
        """Keeps what is closed, and loses the coordinator once."""

        def __init__(self) -> None:
            super().__init__()
            self.closed: list[tuple[Phase, bool]] = []
            self.total = b""

        def close(self, result: RoundResult, total: bytes) -> None:
            assert result.round == len(self.closed) + 1
            self.closed.append((result.phase, bool(total)))
            self.total = total
            if self.closed == [("train", True)] * 3:
                raise KeyboardInterrupt

    sites: list[Site] = [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]
    identities = {FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites)}
    plan = make_federation_plan(
        strategy=FedBuff(buffer=3).to_json(),
        quantisation=Quantisation(preset=preset.name, bound=0.05, rule="fixed"),
        rounds=7,
    )
    journal = Closed()
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), len(sites), workers=4) as grid:
        with pytest.raises(KeyboardInterrupt):
            RelayStrategy(plan, PlainAdder(preset), identities, coordinator).run(grid, journal)
        resume = Resume(closed=tuple(journal.closed), total=journal.total)
        RelayStrategy(plan, PlainAdder(preset), identities, coordinator).run(grid, journal, resume)
    assert journal.closed == [("train", True)] * 7 + [("evaluate", True), ("report", False)]
    assert len({vector_of(site).tobytes() for site in sites}) == 1


def test_a_site_that_comes_late_is_helped_and_takes_part(make_site, make_federation_plan, coordinator, preset):
    identities = [make_identity(f"site-{i}").public for i in range(1, 5)]
    peers = Peers({each.id: each for each in identities}, "5a" * 32)
    sites: list[Site] = [make_site(i, rows=rows, peers=peers) for i, rows in enumerate(ROWS, 1)]
    there = {FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites[:3])}
    told: list[tuple[str, int]] = []
    parts: list[set[str]] = []

    class Late(MemoryJournal):
        def tell(self, kind: str, number: int, **facts: Any) -> None:
            told.append((kind, number))

        def close(self, result: RoundResult, total: bytes) -> None:
            if result.phase == "train":
                parts.append({each.site for each in result.outcomes if each.took_part and each.reason is None})
            if result.round == 2:
                there[FIRST_NODE_ID + 3] = sites[3].identity
            super().close(result, total)

    plan = make_federation_plan(
        strategy=FedBuff(buffer=3).to_json(),
        quantisation=Quantisation(preset=preset.name, bound=0.05, rule="fixed"),
        rounds=12,
    )
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), 4, workers=1) as grid:
        RelayStrategy(plan, PlainAdder(preset), there, coordinator).run(grid, Late())
    [(kind, number)] = told
    assert (kind, number >= 4) == ("site caught up", True)  # it was asked in round 3, and could not follow
    assert not any("site-4" in each for each in parts[:3])
    assert any("site-4" in each for each in parts[3:])
    assert len({vector_of(site).tobytes() for site in sites}) == 1


def test_a_change_that_is_too_old_is_refused(run_federation):
    gate = Gated()

    def on_round(result: RoundResult) -> None:
        if result.phase == "train" and result.round == 4:
            gate.open.set()
            assert gate.done.wait(60)

    _, results = run_federation(FedBuff(buffer=3, oldest=0).to_json(), trainers={3: gate}, on_round=on_round, rounds=30)
    reasons = {outcome.reason for result in results for outcome in result.outcomes if outcome.site == "site-4"}
    assert any(reason is not None and "rounds old, at most 0 are taken" in reason for reason in reasons)


def test_a_site_that_fails_is_told_why_and_the_run_is_paused_without_enough(run_federation):
    class Broken(NetworkTrainer):
        def train(self, session: Session, plan: RoundPlan, rows: LocalRows) -> Contribution:
            raise RuntimeError("of rows, which nobody else may read")

    with pytest.raises(PausedError, match=r"round 1 has 2 usable changes, expected 3: site-[12]: ") as failed:
        run_federation(FedBuff(buffer=3).to_json(), trainers={0: Broken(), 1: Broken()})
    assert "nobody else may read" not in str(failed.value)


def test_under_encryption_it_is_refused(make_federation_plan, coordinator):
    preset = smallest_preset(5, 8)
    with pytest.raises(ConfigError, match="fedbuff adds up updates of several rounds, whose masks do not cancel"):
        RelayStrategy(
            make_federation_plan(strategy=FedBuff().to_json()),
            PackedAdder(preset, SecretKey.generate().key_id),
            {},
            coordinator,
        )


def contributions(seed: int, sites: int) -> list[Contribution]:
    rng = np.random.default_rng(seed)
    return [
        Contribution(0.05 * rng.standard_normal(SYMBOLS.layout.size), float(rng.uniform(0.1, 1)), Metrics(2.0, 3, 5))
        for _ in range(sites)
    ]


def encoded(said: Contribution, seed: int) -> np.ndarray:
    return SYMBOLS.encode(said, RANGES, np.random.default_rng(seed))


@given(seed=st.integers(0, 2**32), sites=st.integers(1, 6))
@settings(max_examples=30)
def test_new_changes_add_up_as_they_always_do(seed, sites):
    updates = [encoded(said, seed + i) for i, said in enumerate(contributions(seed, sites))]
    sums = add_stale([BufferedUpdate(each, 1.0) for each in updates], SYMBOLS, PRESET.levels)
    plain = np.sum(updates, axis=0, dtype=np.uint32)
    np.testing.assert_array_equal(sums[: SYMBOLS.quantised], plain[: SYMBOLS.quantised])
    np.testing.assert_array_equal(SYMBOLS.integers(sums, sites), SYMBOLS.integers(plain, sites))


@given(seed=st.integers(0, 2**32), ages=st.lists(st.integers(0, 9), min_size=3, max_size=6))
@settings(max_examples=30)
def test_old_changes_count_less_and_weights_as_they_are(seed, ages):
    made, said = FedBuff(), contributions(seed, len(ages))
    factors = [made.weight(age) for age in ages]
    updates = [
        BufferedUpdate(encoded(each, seed + i), factor)
        for i, (each, factor) in enumerate(zip(said, factors, strict=True))
    ]
    total = SYMBOLS.decode(add_stale(updates, SYMBOLS, PRESET.levels), len(ages), RANGES)
    heard = [SYMBOLS.decode(update.symbols, 1, RANGES) for update in updates]
    expected = np.sum([factor * each.change for factor, each in zip(factors, heard, strict=True)], axis=0)
    step = 2 * 0.25 / (PRESET.levels - 1)
    np.testing.assert_allclose(total.change, expected, rtol=0, atol=0.51 * step + 1e-6)
    assert total.weight == pytest.approx(sum(each.weight for each in said), abs=1e-6)
    assert (total.measured.rows, total.measured.correct) == (5 * len(ages), 3 * len(ages))


def test_the_weight_of_a_change_is_the_papers():
    assert [FedBuff().weight(age) for age in (0, 3, 8)] == pytest.approx([1.0, 0.5, 1 / 3])
    assert FedBuff(staleness=0.0).weight(9) == 1.0
