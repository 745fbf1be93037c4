"""Gaussian noise on a grid: its distribution, and what its digits do not tell."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasturtium.core import ConfigError
from nasturtium.privacy.dp.gaussian_noise import GRID_BITS, add_gaussian, standard_gaussian


def seeded(seed: int) -> Callable[[int], bytes]:
    return np.random.default_rng(seed).bytes


def no_noise(count: int) -> bytes:
    return b"\xff" * count


def test_values_follow_the_formula_of_box_and_muller():
    words = [(2**63, 0), (1, 2**61), (2**64 - 1, 5), (0, 3 * 2**62)]
    source = struct.pack("<8Q", *(u for u, _ in words), *(v for _, v in words))
    found = standard_gaussian(8, lambda count: source[:count])
    for position, (u, v) in enumerate(words):
        radius = math.sqrt(-2 * math.log((u + 0.5) / 2**64))
        angle = 2 * math.pi * v / 2**64
        assert found[position] == pytest.approx(radius * math.cos(angle), abs=1e-12)
        assert found[4 + position] == pytest.approx(radius * math.sin(angle), abs=1e-12)
    assert found[3] == pytest.approx(0.0, abs=1e-12)
    assert found[7] == pytest.approx(-math.sqrt(-2 * math.log(0.5 / 2**64)))  # the longest there is


def test_the_noise_is_gaussian_to_the_tails():
    noise = standard_gaussian(1_000_000, seeded(0))
    assert stats.kstest(noise, "norm").pvalue > 0.01
    for bound in (3.0, 4.0, 4.5):
        expected = 1e6 * math.erfc(bound / math.sqrt(2))
        assert np.count_nonzero(np.abs(noise) > bound) == pytest.approx(expected, abs=4 * math.sqrt(expected))
    for lag in (1, 500_000):  # the two values of a pair are half the length apart
        assert abs(np.corrcoef(noise[:-lag], noise[lag:])[0, 1]) < 0.006


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_there_are_as_many_values_as_asked_for(count):
    assert standard_gaussian(count).shape == (count,)


def test_the_operating_system_gives_other_noise_each_time():
    total = np.zeros(16)
    assert not np.any(add_gaussian(total, 1.0) == add_gaussian(total, 1.0))


@given(st.floats(-1e4, 1e4, width=32), st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
def test_a_noisy_sum_lies_on_a_grid_that_the_deviation_decides(value, deviation, seed):
    noisy = add_gaussian(np.full(9, value), deviation, seeded(seed))
    step = 2.0 ** (math.floor(math.log2(deviation)) - GRID_BITS)
    np.testing.assert_array_equal(noisy, np.rint(noisy / step) * step)
    assert deviation / 2 ** (GRID_BITS + 1) < step <= deviation / 2**GRID_BITS


def test_sums_nearer_than_the_grid_are_mostly_released_as_the_same():
    """In plain float64 every one of these would differ, and its last digits would tell which sum it was."""
    total = np.random.default_rng(0).standard_normal(10_000)
    one, other = (add_gaussian(total + shift, 1.0, seeded(1)) for shift in (0.0, 2.0 ** -(GRID_BITS + 4)))
    assert 0.9 < np.mean(one == other) < 0.97


def test_the_sum_is_added_and_left_as_it_is():
    total = np.array([0.5, -3.25, 1e3])
    np.testing.assert_array_equal(add_gaussian(total, 1.0, no_noise), total)
    np.testing.assert_array_equal(total, [0.5, -3.25, 1e3])


@pytest.mark.parametrize("deviation", [0.0, -1.0, 1e-40, 1e40, math.inf, math.nan])
def test_a_deviation_out_of_range_is_refused(deviation):
    with pytest.raises(ConfigError, match="deviation in"):
        add_gaussian(np.zeros(3), deviation)
