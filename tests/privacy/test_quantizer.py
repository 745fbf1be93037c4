"""The quantiser's promises: no bias, a bounded error, zeros that stay zero, and nothing but numbers in range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import PrivacyError
from nasturtium.privacy.quantizer import StochasticQuantizer

LEVELS = [2, 3, 15, 16, 255, 256, 65_535, 65_536]
BOUNDS = st.sampled_from([1e-30, 1e-6, 0.1, 1.0, 127.0, 1e30])
SEEDS = st.integers(0, 2**32 - 1)


class EvenDraws(np.random.Generator):
    """Draws spread evenly over [0, 1): their mean shows a bias without any chance."""

    def random(self, size, dtype):
        return ((np.arange(size) + 0.5) / size).astype(dtype)


class ZeroDraws(np.random.Generator):
    """The smallest draw there is, which comes once in 2^24 times."""

    def random(self, size, dtype):
        return np.zeros(size, dtype)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(levels=st.sampled_from(LEVELS), bound=BOUNDS, share=st.floats(-1, 1))
def test_the_mean_of_what_a_value_becomes_is_the_value(levels, bound, share):
    quantizer = StochasticQuantizer(levels, bound)
    draws = 2**15
    value = np.float32(share * bound)
    symbols = quantizer.encode(np.full(draws, value), EvenDraws(np.random.PCG64(0)))
    mean = symbols.mean(dtype=np.float64) - (levels - 1) / 2
    arithmetic = 2.0**-22 * (abs(value) / quantizer.step + 1)
    assert abs(mean - np.clip(np.float64(value), -bound, bound) / quantizer.step) <= 0.5 / draws + arithmetic


@given(
    levels=st.sampled_from(LEVELS),
    bound=BOUNDS,
    dtype=st.sampled_from([np.float32, np.float64]),
    shares=hnp.arrays(np.float64, st.integers(0, 50), elements=st.floats(-2, 2)),
    seed=SEEDS,
)
def test_a_value_becomes_one_of_the_two_levels_beside_it(levels, bound, dtype, shares, seed):
    quantizer = StochasticQuantizer(levels, bound)
    values = (shares * bound).astype(dtype)
    symbols = quantizer.encode(values, generator(seed))
    assert symbols.dtype == np.min_scalar_type(levels - 1)
    assert symbols.shape == values.shape
    assert (symbols < levels).all()
    exact = np.clip(values.astype(np.float64), -bound, bound) / quantizer.step + (levels - 1) / 2
    assert (np.abs(symbols - exact) < 1 + 2.0**-22 * levels).all()
    decoded = quantizer.decode(symbols, 1)
    assert decoded.dtype == np.float32
    assert (np.abs(decoded - np.clip(values, -bound, bound)) <= quantizer.step + 2.0**-21 * bound).all()


@given(levels=st.sampled_from(LEVELS), seed=SEEDS)
def test_values_on_levels_stay_there(levels, seed):
    quantizer = StochasticQuantizer(levels, (levels - 1) / 2)
    symbols = generator(seed).integers(0, levels, 1000)
    np.testing.assert_array_equal(quantizer.encode(symbols - (levels - 1) / 2, generator(seed)), symbols)
    np.testing.assert_array_equal(quantizer.decode(symbols, 1), symbols - (levels - 1) / 2)


@pytest.mark.parametrize("levels", [level for level in LEVELS if level % 2])
@pytest.mark.parametrize("bound", [1e-30, 0.3, 1e30])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_stays_zero_where_it_is_a_level(levels, bound, zero):
    quantizer = StochasticQuantizer(levels, bound)
    symbols = quantizer.encode(np.full(10_000, zero, np.float32), generator())
    assert (symbols == (levels - 1) // 2).all()
    assert (quantizer.decode(np.full(5, 1000 * ((levels - 1) // 2), np.uint32), 1000) == 0).all()


def test_zero_stays_zero_even_where_the_draw_is_zero():
    quantizer = StochasticQuantizer(255, 1.0)
    assert quantizer.encode(np.zeros(1, np.float32), ZeroDraws(np.random.PCG64(0))).tolist() == [127]


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_zero_is_either_neighbour_where_it_is_no_level(levels):
    symbols = StochasticQuantizer(levels, 1.0).encode(np.zeros(10_000, np.float32), generator())
    assert set(symbols) == {levels // 2 - 1, levels // 2}
    assert abs(symbols.mean() - (levels - 1) / 2) < 0.03


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_beyond_the_range_goes_to_its_ends(levels, dtype):
    largest = np.finfo(dtype).max
    values = np.array([-largest, -1.0, -0.001, 0.001, 1.0, largest], dtype)
    symbols = StochasticQuantizer(levels, 0.001).encode(values, generator())
    assert symbols[[0, 1, 4, 5]].tolist() == [0, 0, levels - 1, levels - 1]
    tiny = StochasticQuantizer(levels, 1e-30).encode(values, generator())
    assert tiny.tolist() == [0, 0, 0, levels - 1, levels - 1, levels - 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_what_is_not_finite_is_refused(value, dtype, place):
    values = np.zeros(140_000, dtype)
    values[place] = value
    with pytest.raises(PrivacyError, match="not finite"):
        StochasticQuantizer(255, 1.0).encode(values, generator())


@pytest.mark.parametrize("summands", [1, 10, 1000])
def test_the_error_of_a_mean_falls_with_the_number_of_updates(summands):
    """At most one step always; its standard deviation at most c / ((L - 1) sqrt n)."""
    quantizer = StochasticQuantizer(255, 0.5)
    rng = generator(1)
    values = rng.uniform(-0.5, 0.5, 4000).astype(np.float32)
    total = sum(quantizer.encode(values, rng).astype(np.int64) for _ in range(summands))
    errors = quantizer.decode(total, summands) / summands - values
    assert np.abs(errors).max() <= quantizer.step
    assert errors.std() <= 0.5 / (254 * summands**0.5)


def test_sixteen_bits_keep_a_value_to_a_part_in_65_000():
    quantizer = StochasticQuantizer(65_535, 1.0)
    values = generator(2).uniform(-1, 1, 100_000).astype(np.float32)
    decoded = quantizer.decode(quantizer.encode(values, generator(3)), 1)
    assert np.abs(decoded.astype(np.float64) - values).max() <= 2 / 65_534 * (1 + 2.0**-8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_the_input_stays_unchanged(dtype):
    values = np.array([-2, 0, 1], dtype)
    StochasticQuantizer(255, 1.5).encode(values, generator())
    assert values.tolist() == [-2, 0, 1]


def test_the_same_seed_gives_the_same_symbols_and_another_one_others():
    values = generator(4).normal(size=200_000).astype(np.float32)
    quantizer = StochasticQuantizer(255, 3.0)
    symbols = quantizer.encode(values, generator(5))
    np.testing.assert_array_equal(quantizer.encode(values, generator(5)), symbols)
    assert (quantizer.encode(values, generator(6)) != symbols).any()


def test_no_values_are_no_symbols():
    quantizer = StochasticQuantizer(65_535, 1.0)
    symbols = quantizer.encode(np.empty(0, np.float32), generator())
    assert (symbols.shape, symbols.dtype) == ((0,), np.uint16)
    assert quantizer.decode(symbols, 3).shape == (0,)


@pytest.mark.parametrize(
    ("levels", "bound"),
    [(1, 1.0), (65_537, 1.0), (255, 0.0), (255, -1.0), (255, np.nan), (255, np.inf), (255, 1e-31), (255, 1e31)],
)
def test_what_is_no_range_is_refused(levels, bound):
    with pytest.raises(ConfigError, match="expected 2 to 65536 levels"):
        StochasticQuantizer(levels, bound)
