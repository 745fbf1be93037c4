"""Shared weights: what one network leaves in the pool, another takes, as far as both go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.federated import Inheritance, Place, PlanError
from nasturtium.federated.site.weight_pool import WeightPool, WeightPools, pool_from_bytes, pool_to_bytes

POOL = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def inheritance(rate: float = 1.0, **options: object) -> Inheritance:
    return Inheritance(pool=POOL, rate=rate, places=(Place(tensor="w", key="k", **options),))


def array(*shape: int, start: int = 1) -> np.ndarray:
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


def zeros(*shape: int) -> dict[str, np.ndarray]:
    return {"w": np.zeros(shape, np.float32)}


def given_to(*runs: tuple[np.ndarray, float], **options: object) -> WeightPool:
    pool = WeightPool()
    for number, (weights, rate) in enumerate(runs):
        pool.give(f"run {number}", inheritance(rate, **options), {"w": weights})
    return pool


def test_the_first_units_are_shared():
    taken = given_to((array(4, 3), 1.0)).take(inheritance(), zeros(2, 2))["w"]
    np.testing.assert_array_equal(taken, array(4, 3)[:2, :2])


def test_what_nobody_trained_is_said_to_be_unknown():
    own = {"w": np.full((3, 3), 7.0, np.float32)}
    taken = given_to((array(2, 2), 1.0)).take(inheritance(), own)["w"]
    np.testing.assert_array_equal(taken[:2, :2], array(2, 2))
    assert np.isnan(taken[2]).all()
    assert np.isnan(taken[:, 2]).all()
    assert (own["w"] == 7).all()


def test_a_larger_one_goes_around_a_smaller():
    pool = given_to((array(2, 2), 1.0), (array(3, 1, start=50), 1.0))
    taken = pool.take(inheritance(), zeros(3, 2))["w"]
    np.testing.assert_array_equal(taken, [[50, 2], [51, 4], [52, np.nan]])
    assert pool.elements == 6


def test_the_middle_of_a_kernel_is_shared():
    pool = given_to((array(1, 1, 5, 5), 1.0), centred=True)
    taken = pool.take(inheritance(centred=True), zeros(1, 1, 3, 3))["w"]
    np.testing.assert_array_equal(taken[0, 0], array(5, 5)[1:4, 1:4])
    grown = given_to((array(1, 1, 3, 3), 1.0), (array(1, 1, 1, 1, start=99), 1.0), centred=True)
    np.testing.assert_array_equal(
        grown.take(inheritance(centred=True), zeros(1, 1, 5, 5))["w"][0, 0, 1:4, 1:4],
        [[1, 2, 3], [4, 99, 6], [7, 8, 9]],
    )


def test_every_gate_has_its_own_first_units():
    pool = given_to((array(6, 2), 1.0), gates=2)  # two gates of three units
    taken = pool.take(inheritance(gates=2), zeros(4, 2))["w"]
    np.testing.assert_array_equal(taken, array(6, 2)[[0, 1, 3, 4]])


def test_the_pool_moves_a_part_of_the_way():
    pool = given_to((np.zeros((2,), np.float32), 0.5), (np.full((2,), 8.0, np.float32), 0.25))
    np.testing.assert_array_equal(pool.take(inheritance(), zeros(2))["w"], [2, 2])


def test_a_run_counts_once():
    pool = WeightPool()
    for _ in range(3):
        pool.give("run", inheritance(0.5), {"w": array(2)})
        pool.give("other", inheritance(0.5), {"w": array(2, start=9)})
    np.testing.assert_array_equal(pool.take(inheritance(), zeros(2))["w"], [5, 6])
    assert pool.applied == ["run", "other"]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99), st.sampled_from([0.25, 0.5, 1.0]))))
def test_pools_that_saw_the_same_are_the_same_and_come_back_as_they_were(runs):
    given_runs = [(array(units, inputs, start=start), rate) for units, inputs, start, rate in runs]
    first, second = given_to(*given_runs), given_to(*given_runs)
    again = pool_from_bytes(pool_to_bytes(first))
    for pool in (second, again):
        assert pool.applied == first.applied
        for group in ("weights", "known"):
            for key, each in getattr(first, group).items():
                np.testing.assert_array_equal(getattr(pool, group)[key], each)
                assert getattr(pool, group)[key].dtype == each.dtype


def test_a_pool_is_on_the_disk_and_damage_is_seen(tmp_path):
    WeightPools(tmp_path).give("run", inheritance().to_json(), {"w": array(2)})
    taken = WeightPools(tmp_path).inherit(inheritance().to_json(), zeros(2))
    np.testing.assert_array_equal(taken["w"], array(2))
    [path] = tmp_path.glob("*.pool")
    assert path.stat().st_mode & 0o777 == 0o600
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    with pytest.raises(FormatError, match="damaged"):
        pool_from_bytes(bytes(damaged))


def test_who_leaves_nothing_changes_nothing(tmp_path):
    pools = WeightPools(tmp_path)
    pools.give("run", inheritance(0.0).to_json(), {"w": array(2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{}", "expected pool", id="empty"),
        pytest.param('{"places":[],"pool":"../../etc","rate":1}', "a pool's ULID", id="path"),
        pytest.param(f'{{"places":[],"pool":"{POOL}","rate":2}}', "rate from 0 to 1", id="rate"),
        pytest.param(f'{{"places":[["a","b"]],"pool":"{POOL}","rate":1}}', "expected tensor", id="place"),
        pytest.param(f'{{"places":[["a","b",0,false]],"pool":"{POOL}","rate":1}}', "gates", id="gates"),
        pytest.param(f'{{"places":[["a","b",true,false]],"pool":"{POOL}","rate":1}}', "expected tensor", id="bool"),
        pytest.param(f'{{"places":{{}},"pool":"{POOL}","rate":1}}', "other types", id="types"),
    ],
)
def test_what_is_no_inheritance_is_refused(text, said):
    with pytest.raises(FormatError, match=said):
        Inheritance.from_json(text)


def test_it_is_the_same_as_text():
    asked = inheritance(0.25, gates=2, centred=True)
    assert Inheritance.from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    ("options", "state", "said"),
    [
        pytest.param({}, {"v": array(2)}, "no tensor 'w'", id="missing"),
        pytest.param({"gates": 2}, {"w": array(3)}, "in 2 parts", id="gates"),
        pytest.param({}, {"w": array(3)}, "have 2 axes, the tensor 1", id="axes"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(options, state, said):
    pool = given_to((array(2, 2), 1.0))
    for act in (pool.take, lambda asked, given: pool.give("other", asked, given)):
        with pytest.raises(PlanError, match=said):
            act(inheritance(**options), state)
    assert pool.applied == ["run 0"]
    np.testing.assert_array_equal(pool.weights["k"], array(2, 2))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
)
def test_pools_that_adopt_go_on_alike_where_the_run_reaches(some, others, shape):
    runs, other_runs = (
        [(array(units, inputs, start=start), 0.5) for units, inputs, start in each] for each in (some, others)
    )
    first, second, own = given_to(*runs), given_to(*other_runs), zeros(*shape)
    second.adopt(inheritance(), first.take(inheritance(), own))
    for pool in (first, second):
        pool.give("the run", inheritance(0.25), {"w": array(*shape, start=7)})
    np.testing.assert_array_equal(first.take(inheritance(), own)["w"], second.take(inheritance(), own)["w"])
