"""Hypervolume, against Optuna's, against counting cells, and by its laws."""

from __future__ import annotations

from itertools import product
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from nasturtium.core import ConfigError
from nasturtium.nas.objectives import (
    hypervolume,
    hypervolume_contributions,
    normalised_hypervolume,
    pareto_front,
)

SIDE = 6  # of the grid small whole points lie on


def minimise(count: int) -> tuple[str, ...]:
    return ("minimize",) * count


@st.composite
def grids(draw, most: int = 8) -> tuple[list[list[int]], int]:
    """Points on a small grid, with ties, duplicates and points on and beyond the reference at (6, 6, ...)."""
    width = draw(st.integers(1, 4))
    row = st.lists(st.integers(0, SIDE + 1), min_size=width, max_size=width)
    return draw(st.lists(row, max_size=most)), width


def cells(points: list[list[int]], width: int) -> int:
    """How many unit cells before the reference are dominated, by looking at each."""
    return sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in product(range(SIDE), repeat=width)
    )


@given(grids())
@settings(deadline=None)
def test_it_counts_the_dominated_cells(case):
    points, width = case
    assert hypervolume(points, [SIDE] * width, minimise(width)) == cells(points, width)


@given(grids())
@settings(deadline=None)
def test_a_contribution_is_what_is_missing_without_the_point(case):
    points, width = case
    whole = cells(points, width)
    expected = [whole - cells(points[:i] + points[i + 1 :], width) for i in range(len(points))]
    assert hypervolume_contributions(points, [SIDE] * width, minimise(width)).tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_optuna_computes(width, seed):
    rng = np.random.default_rng([width, seed])
    points = rng.random((40, width))
    if seed % 2:  # a front: most points on a sphere
        points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    reference = np.full(width, 1.1)
    expected = compute_hypervolume(points, reference)
    assert hypervolume(points, reference, minimise(width)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_it_is_the_share_of_random_points_that_are_dominated(width):
    rng = np.random.default_rng(width)
    points = rng.random((12, width)) ** 2
    thrown = rng.random((20_000, width))
    share = float((points[:, None] <= thrown).all(axis=2).any(axis=0).mean())
    assert hypervolume(points, np.ones(width), minimise(width)) == pytest.approx(share, abs=0.02)


@given(grids(), st.randoms(use_true_random=False))
def test_order_duplicates_dominated_points_and_directions_do_not_matter(case, shuffle):
    points, width = case
    reference = [SIDE] * width
    whole = hypervolume(points, reference, minimise(width))
    more = [*points, *points[:3], *([p + 1 for p in point] for point in points)]
    shuffle.shuffle(more)
    assert hypervolume(more, reference, minimise(width)) == whole
    turned = [[-p for p in point] for point in points]
    assert hypervolume(turned, [-SIDE] * width, ("maximize",) * width) == whole
    front = [points[i] for i in pareto_front(points, minimise(width))]
    assert hypervolume(front, reference, minimise(width)) == whole


@given(grids())
def test_another_point_never_takes_anything_away(case):
    points, width = case
    volumes = [hypervolume(points[:i], [SIDE] * width, minimise(width)) for i in range(len(points) + 1)]
    assert volumes == sorted(volumes)
    assert volumes[0] == 0


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param([], 0.0, id="none"),
        pytest.param([[0.5, 2.0]], 0.0, id="beyond-in-one"),
        pytest.param([[1.0, 0.0]], 0.0, id="on-the-edge"),
        pytest.param([[nan, 0.0], [0.5, 0.5]], 0.25, id="nan-is-nothing"),
        pytest.param([[inf, 0.0], [0.5, 0.5]], 0.25, id="infinitely-bad-is-nothing"),
        pytest.param([[-inf, 0.0], [0.5, 0.5]], inf, id="infinitely-good"),
        pytest.param([[-inf, 1.0], [0.5, 0.5]], 0.25, id="infinitely-good-but-on-the-edge"),
        pytest.param([[0.0, 0.0]], 1.0, id="all"),
    ],
)
def test_special_points(points, expected):
    assert hypervolume(points, [1.0, 1.0], minimise(2)) == expected


def test_contributions_of_infinitely_good_points():
    points = [[-inf, 0.5], [-inf, 0.5], [0.5, 0.25], [nan, 0.0]]
    assert hypervolume_contributions(points, [1, 1], minimise(2)).tolist() == [0.0, 0.0, 0.125, 0.0]
    assert hypervolume_contributions(points[1:], [1, 1], minimise(2)).tolist() == [inf, 0.125, 0.0]


def test_contributions_add_up_to_no_more_than_the_whole():
    points = np.random.default_rng(0).random((30, 3))
    contributions = hypervolume_contributions(points, [1, 1, 1], minimise(3))
    assert 0 < contributions.sum() <= hypervolume(points, [1, 1, 1], minimise(3))
    front = set(pareto_front(points, minimise(3)))
    assert {i for i, c in enumerate(contributions) if c > 0} == front


def test_a_part_of_the_true_front_is_a_part_of_its_volume():
    front = [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
    directions = ("minimize", "minimize")
    assert normalised_hypervolume(front, front, [4, 4], directions) == 1
    assert normalised_hypervolume([[2.0, 2.0]], front, [4, 4], directions) == pytest.approx(4 / 6)
    assert normalised_hypervolume([], front, [4, 4], directions) == 0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda: hypervolume([[1, 2, 3]], [4, 4], minimise(2)), "shape", id="width-of-points"),
        pytest.param(lambda: hypervolume([[1, 2]], [4, 4, 4], minimise(2)), "shape", id="width-of-reference"),
        pytest.param(lambda: hypervolume([[1, 2]], [4, inf], minimise(2)), "finite", id="infinite-reference"),
        pytest.param(lambda: hypervolume([[1, 2]], [4, nan], minimise(2)), "finite", id="unknown-reference"),
        pytest.param(lambda: hypervolume([[1, 2]], [4, 4], ("minimize", "up")), "minimize", id="direction"),
        pytest.param(lambda: hypervolume([], [], ()), "for every objective", id="no-objective"),
        pytest.param(
            lambda: normalised_hypervolume([[1, 2]], [[5, 5]], [4, 4], minimise(2)), "choose a reference", id="nothing"
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, match):
    with pytest.raises(ConfigError) as caught:
        call()
    assert match in f"{caught.value} {caught.value.hint}"
