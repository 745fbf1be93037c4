"""The predictor: its parts against references, and its proposals."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

from nasturtium.core import derive_rng
from nasturtium.nas.cells import NB201_OPS
from nasturtium.nas.objectives import hypervolume
from nasturtium.nas.predictor.acquisition import (
    cumulative,
    expected_hypervolume_improvement,
    expected_improvement,
    outcomes,
)
from nasturtium.nas.predictor.features import Columns, Features, paths, squared_distances
from nasturtium.nas.predictor.gaussian_process import JITTER, Between, GaussianProcess, default_prior, log_density
from nasturtium.nas.predictor.pool import pool_of
from nasturtium.nas.predictor.warping import Warp
from nasturtium.nas.space import Cell, Chain, Float, Incoming, Int, LabelledGraph, Space, layers, load_space
from nasturtium.nas.strategies import Observation, Proposer
from nasturtium.nas.tables import TASK, search_table

COLUMNS = Columns((slice(0, 2), slice(2, 5)), slice(0, 4))
TABLE = Space.categorical("table", {f"d{i}": (0, 1, 2) for i in range(5)})
MIXED = Space("mixed", None, None, {"rate": Float(1e-4, 1.0, log=True), "width": Int(4, 64), "depth": Int(1, 4)})


def rows_of(count: int, seed: int = 0) -> np.ndarray:
    return derive_rng(seed, "rows").normal(size=(count, 5)).astype(np.float32)


def height(flat) -> float:
    """The best mixed point is a rate of 0.01, a width of 40 and a depth of 3."""
    return -((np.log10(flat["rate"]) + 2) ** 2) - ((flat["width"] - 40) / 20) ** 2 - (flat["depth"] - 3) ** 2


def test_predictions_are_those_of_scikit_learn():
    rows, new = rows_of(20), rows_of(7, seed=1)
    targets = np.sin(rows.sum(axis=1)).astype(np.float64)
    rows[:, 4] = new[:, 4] = 0.0  # in no product of ours
    rows, new = rows - rows.mean(axis=0), new - rows.mean(axis=0)
    process = GaussianProcess.fit(rows, targets, COLUMNS)
    scales = 1 / np.sqrt(np.repeat(np.exp(process.parameters[4:]), [2, 3]))
    rough = ConstantKernel(np.exp(process.parameters[0]), "fixed") * Matern(scales, "fixed", nu=0.5)
    slope = np.exp(process.parameters[3]) / (rows**2).sum(axis=1).mean()
    kernel = rough + ConstantKernel(slope, "fixed") * DotProduct(0.0, "fixed")
    reference = GaussianProcessRegressor(kernel, alpha=process.noise + JITTER, optimizer=None).fit(rows, targets)
    mean, deviation = reference.predict(new, return_std=True)
    ours = process.predict(new)
    np.testing.assert_allclose(ours[0], mean, atol=1e-3)  # distances are float32
    np.testing.assert_allclose(np.sqrt(ours[1]), deviation, atol=1e-3)


def test_the_slope_of_the_density_is_that_of_finite_differences():
    rows = rows_of(12)
    between = Between(squared_distances(rows, rows, COLUMNS.groups).astype(np.float64), (rows @ rows.T).astype(float))
    targets = derive_rng(0, "targets").normal(size=12)
    discounted = np.arange(12) < 4
    prior = default_prior(2)
    here = prior.mean + derive_rng(0, "here").normal(size=6) * 0.5
    numeric = approx_fprime(here, lambda x: log_density(between, targets, discounted, x, prior)[0], 1e-6)
    np.testing.assert_allclose(log_density(between, targets, discounted, here, prior)[1], numeric, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(np.zeros(6), id="constant"),
        pytest.param(np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), id="ties"),
        pytest.param(np.array([0.0, 0.0, 0.0, 0.0, 0.0, -1e6]), id="an-outlier"),
    ],
)
def test_odd_targets_give_finite_predictions(targets: np.ndarray):
    rows = np.concatenate([rows_of(3), rows_of(3)])  # each twice
    mean, variance = GaussianProcess.fit(rows, Warp.fit(targets).targets(targets), COLUMNS).predict(rows_of(4, seed=1))
    assert np.isfinite(mean).all()
    assert (variance > 0).all()


def test_one_observation_is_enough_to_fit():
    mean, variance = GaussianProcess.fit(rows_of(1), np.zeros(1), COLUMNS).predict(rows_of(3))
    assert np.isfinite(mean).all()
    assert variance[0] < variance[1]


def test_believing_keeps_the_mean_and_takes_from_the_variance():
    rows, new = rows_of(15), rows_of(5, seed=1)
    process = GaussianProcess.fit(rows, rows[:, 0].astype(np.float64), COLUMNS)
    believing = process.believing(new[:2])
    np.testing.assert_allclose(believing.predict(new)[0], process.predict(new)[0], atol=1e-5)
    assert (believing.predict(new)[1] < process.predict(new)[1] + 1e-9).all()
    assert (believing.predict(new[:2])[1] < 0.6 * process.predict(new[:2])[1]).all()


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=30), st.sampled_from([0.0, 1.0]))
def test_warping_keeps_the_order_and_can_be_undone(values: list[int], bend: float):
    warp = Warp.fit(values, bend=bend)
    bent = warp.targets(values)
    assert (np.sign(np.subtract.outer(bent, bent)) == np.sign(np.subtract.outer(values, values))).all()
    np.testing.assert_allclose(warp.gains(bent), values, atol=1e-6)


def test_warping_spreads_the_good_ones_though_some_are_at_chance():
    values = np.array([10.0, 10.0, 60.0, 70.0, 75.0, 80.0, 82.0, 84.0])
    bent = Warp.fit(values).targets(values)
    assert bent[-1] - bent[-3] > 2 * (84.0 - 80.0) / values.std()


def test_cumulative_is_that_of_scipy():
    x = np.linspace(-20, 20, 4001)
    np.testing.assert_allclose(cumulative(x), norm.cdf(x), rtol=1e-6)


def test_expected_improvement_is_the_integral():
    mean, variance = np.array([-1.0, 0.0, 0.5, 2.0, -12.0]), np.array([1.0, 0.25, 4.0, 0.01, 1.0])
    deviation = np.sqrt(variance)
    distance = (mean - 0.3) / deviation
    exact = deviation * (distance * norm.cdf(distance) + norm.pdf(distance))
    np.testing.assert_allclose(expected_improvement(mean, variance, 0.3)[:4], exact[:4], rtol=1e-5)
    assert expected_improvement(mean, variance, 0.3)[4] > 0


def test_expected_hypervolume_improvement_is_the_mean_of_draws():
    front = np.array([[0.0, 1.0], [1.0, 0.2], [0.5, 0.7]])
    reference = np.array([-1.0, -1.0])
    means, variances = np.array([[0.8, 0.8], [-0.5, 0.0], [2.0, -2.0]]), np.array([[0.3, 0.2], [0.5, 0.5], [0.1, 1.0]])
    first, second = (outcomes(mean, variance) for mean, variance in zip(means.T, variances.T, strict=True))
    exact = expected_hypervolume_improvement(first, second, front, reference)
    draws = derive_rng(0, "draws").normal(size=(4000, 3, 2)) * np.sqrt(variances) + means
    directions = ("maximize", "maximize")
    before = hypervolume(front, reference, directions)
    for place in range(3):
        gained = [hypervolume(np.vstack([front, draw]), reference, directions) - before for draw in draws[:, place]]
        assert exact[place] == pytest.approx(np.mean(gained), abs=5 * np.std(gained) / np.sqrt(len(gained)) + 0.01)


def test_equal_candidates_have_equal_vectors():
    space = load_space("nb201", TASK)
    features = Features(space)
    rng = derive_rng(0, "points")
    for _ in range(30):
        point = space.sample(rng)
        assert (features.rows([point]) == features.rows([space.canonical(point)])).all()


def test_candidates_are_proposed_without_what_leads_nowhere():
    space = load_space("nb201", TASK)
    ops = dict.fromkeys(space.leaves(), "none")
    dead = [{**ops, next(iter(ops)): op} for op in NB201_OPS]
    assert pool_of(dead, space, Features(space)).points == ((ops,),)


def test_paths_are_the_ways_through():
    graph = LabelledGraph(("input", "a", "b", "output"), ((0, 1), (1, 3), (0, 2), (2, 3), (1, 2)))
    assert sorted(paths(graph)) == ["/a/b/output", "/a/output", "/b/output"]


def test_results_in_any_state_are_taken():
    proposer = Proposer(TABLE, "predictor", 0, ["maximize"])
    for number in range(30):
        flat = proposer.ask().flat
        value = float(sum(int(x) for x in flat.values()))
        match number % 4:
            case 0:
                proposer.tell(number, None, "failed")
            case 1:
                proposer.tell(number, [value / 2], "pruned")
            case 2:
                proposer.tell(number, [float("nan")], "completed")
            case _:
                proposer.tell(number, [value], "completed")


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_search_that_was_killed_goes_on_with_the_same_proposals(objectives: int):
    directions = ("maximize", "minimize", "maximize")[:objectives]

    def told(flat) -> list[float]:
        return [float(flat["d0"]), float(flat["d1"] * flat["d2"]), float(flat["d3"] - flat["d4"])][:objectives]

    whole = Proposer(TABLE, "predictor", 5, directions)
    flats = []
    for number in range(24):
        flats.append(whole.ask().flat)
        whole.tell(number, told(flats[-1]), "completed")
    rest = Proposer(TABLE, "predictor", 5, directions)
    outcomes = [Observation(n, flat, tuple(told(flat)), "completed") for n, flat in enumerate(flats[:17])]
    rest.restore(flats[:17], outcomes)
    for number in range(17, 24):
        assert rest.ask().flat == flats[number]
        rest.tell(number, told(flats[number]), "completed")


def test_later_every_other_proposal_is_next_to_one_of_the_best():
    proposer = Proposer(TABLE, "predictor", 3, ["maximize"])
    values: dict[str, float] = {}
    flats = {}
    for number in range(36):
        flat = proposer.ask().flat
        if number >= 20 and number % 2 == 0:
            best = sorted(values, key=lambda identity: -values[identity])[:3]
            near = {TABLE.identity(other) for identity in best for other in TABLE.neighbours(flats[identity])}
            assert TABLE.identity(flat) in near
        identity = TABLE.identity(flat)
        flats[identity] = flat
        values[identity] = float(derive_rng(0, "value", identity).normal()) + float(flat["d0"])
        proposer.tell(number, [values[identity]], "completed")


def test_fronts_are_found_better_than_at_random():
    """A gain with interactions, and a cost that is a sum."""
    table = {
        key: {"gain": 3.0 * max(key) - abs(key[0] - key[1]) + 0.3 * key[2] * key[3], "cost": float(sum(key))}
        for key in product(range(3), repeat=5)
    }
    goals = {"gain": "maximize", "cost": "minimize"}
    found = {
        strategy: np.mean(
            [search_table(table, strategy, 25, s, objectives=goals).hypervolumes((-2, 10))[-1] for s in range(4)]
        )
        for strategy in ("predictor", "random")
    }
    assert found["predictor"] > found["random"]


def test_workers_get_different_candidates():
    proposer = Proposer(TABLE, "predictor", 0, ["maximize"])
    asked = [proposer.ask() for _ in range(6)]
    for number in range(40):
        proposer.tell(number, [float(sum(int(x) for x in asked[number].flat.values()))], "completed")
        asked.append(proposer.ask())
    assert len({TABLE.identity(proposal.flat) for proposal in asked}) == 46


def test_constraints_are_kept_by_the_best():
    """The best that keeps the constraint is 8, at 3 of 243 points; all that is better breaks it."""
    proposer = Proposer(TABLE, "predictor", 0, ["maximize"], constrained=True)
    kept: list[float] = []
    for number in range(30):
        flat = proposer.ask().flat
        value = float(sum(int(x) for x in flat.values()))
        violation = max(0.0, float(flat["d0"]) + float(flat["d1"]) - 2)
        kept += [] if violation else [value]
        proposer.tell(number, [value], "completed", violation)
    assert max(kept) == 8.0


def test_numbers_are_searched_between_their_ends():
    proposer = Proposer(MIXED, "predictor", 0, ["maximize"])
    best = -np.inf
    for number in range(35):
        flat = proposer.ask().flat
        best = max(best, height(flat))
        proposer.tell(number, [height(flat)], "completed")
    random = [max(height(MIXED.sample(derive_rng(seed, "random", n))) for n in range(35)) for seed in range(20)]
    assert best > np.median(random)


def test_earlier_searches_help():
    prior = [
        Observation(number, flat, (height(flat),), "completed")
        for number, flat in enumerate(MIXED.sample(derive_rng(0, "prior", n)) for n in range(40))
    ]
    proposer = Proposer(MIXED, "predictor", 0, ["maximize"], prior)
    first = [height(proposer.ask().flat) for _ in range(3)]
    assert max(first) > np.quantile([trial.values[0] for trial in prior if trial.values], 0.8)


def test_a_trained_table_is_searched_better_than_at_random():
    with np.load(Path(__file__).parent / "data" / "digits_nb201.npz") as file:
        table = {tuple(ops.tolist()): float(y) for ops, y in zip(file["ops"], file["val_accuracy"], strict=True)}
    assert len(table) == 1_236
    convolution = {
        op: layers.conv2d(out_channels=Incoming(), kernel=kernel)
        for op, kernel in ((NB201_OPS[2], 1), (NB201_OPS[3], 3))
    }
    cell = Cell(4, {NB201_OPS[0]: Chain(), NB201_OPS[1]: Chain(), **convolution})
    space = Space("cell", TASK, Chain(cell, layers.global_avg_pool(), layers.linear(out_features=10)), total=True)
    found = {
        strategy: np.mean([search_table(table, strategy, 30, seed, space=space).best for seed in range(4)])
        for strategy in ("predictor", "random")
    }
    assert found["predictor"] > found["random"]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_no_candidate_is_proposed_twice(seed: int):
    table = {key: float(np.sin(sum(key) + seed)) for key in product(range(3), repeat=3)}
    assert search_table(table, "predictor", 30, seed).distinct == 27
