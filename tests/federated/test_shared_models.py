"""What sites of one process compute once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from nasturtium.federated.site.shared_models import SharedModels
from nasturtium.privacy import Aggregator, PlainAdder, PlainCipher, Sitting


def test_a_value_is_made_once_however_many_ask_at_once():
    shared, together, made = SharedModels(), Barrier(8), []

    def make():
        made.append(1)
        return object()

    def ask(_):
        together.wait()
        return shared.recall("step", "run", "key", make)

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(ask, range(8)))
    assert len(made) == 1
    assert len(set(map(id, values))) == 1


def test_only_the_newest_of_each_kind_and_run_is_kept():
    shared, made = SharedModels(), []

    def ask(kind, run, key):
        return shared.recall(kind, run, key, lambda: made.append((kind, run, key)) or len(made))

    for call in [("step", "a", 1), ("step", "b", 1), ("tag", "a", 1), ("step", "a", 1), ("step", "a", 2)]:
        ask(*call)
    assert made == [("step", "a", 1), ("step", "b", 1), ("tag", "a", 1), ("step", "a", 2)]
    ask("step", "a", 1)  # of a site that is late: it is made again
    assert made[-1] == ("step", "a", 1)
    for run in range(200):
        ask("step", str(run), 1)
    assert len(shared._newest) == 64


def test_who_fails_leaves_it_to_the_next():
    shared = SharedModels()
    with pytest.raises(ZeroDivisionError):
        shared.recall("step", "run", 1, lambda: 1 // 0)
    assert shared.recall("step", "run", 1, lambda: 7) == 7


class Counting(PlainCipher):
    """Counts the sums it opens."""

    def __init__(self, preset) -> None:
        super().__init__(preset)
        self.opened = 0

    def decrypt(self, *args, **options):
        self.opened += 1
        return super().decrypt(*args, **options)


def test_sites_that_share_open_a_sum_once_and_hold_one_model(make_site, make_plan, preset, coordinator):
    cipher, shared = Counting(preset), SharedModels()
    alone = [make_site(i, cipher=PlainCipher(preset)) for i in (1, 2, 3)]
    sharing = [make_site(i, cipher=cipher, shared=shared) for i in (1, 2, 3)]
    totals = []
    for sites in (alone, sharing):
        plan = make_plan()
        updates = [site.follow(plan).update for site in sites]
        symbols = sites[0]._find(plan.run).symbols
        sitting = Sitting(
            run=plan.run, round=1, layout=plan.layout_sha256(symbols.sha256), values=symbols.values, masked=False
        )
        members = {site.identity.id: site.identity for site in sites}
        aggregator = Aggregator(PlainAdder(preset), sitting, members=members, signer=coordinator)
        for site, update in zip(sites, updates, strict=True):
            aggregator.add(update, sender=site.identity.id)
        totals.append(aggregator.finish(min_summands=3).to_bytes())
        sites[0].told = [site.follow(make_plan(2, total=totals[-1])) for site in sites]
    assert totals[0] == totals[1]
    assert cipher.opened == 1
    assert [each.update for each in alone[0].told] == [each.update for each in sharing[0].told]
    assert {each.model_tag for each in alone[0].told + sharing[0].told} == {alone[0].told[0].model_tag}
    one, *others = (site._find(plan.run) for site in sharing)
    assert all(other.vector is one.vector and other.ranges is one.ranges for other in others)
    np.testing.assert_array_equal(one.vector, alone[0]._find(plan.run).vector)
    assert len({id(session) for session in (one, *others)}) == 3
