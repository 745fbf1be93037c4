"""Integer noise: the numbers have the stated distribution exactly, and never pass the truncation."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from nasturtium.core import ConfigError
from nasturtium.privacy.dp import integer_noise
from nasturtium.privacy.dp.integer_noise import (
    DiscreteGaussian,
    IntegerNoise,
    NoiseSampler,
    Skellam,
    tail_bound,
    tail_mass,
)

NOISES = [
    pytest.param(DiscreteGaussian(0.25), 2, id="gaussian-narrow"),
    pytest.param(DiscreteGaussian(1.0), 4, id="gaussian-1"),
    pytest.param(DiscreteGaussian(12.3), 40, id="gaussian-12.3"),
    pytest.param(DiscreteGaussian(300.0), 1500, id="gaussian-300"),
    pytest.param(Skellam(0.01), 3, id="skellam-narrow"),
    pytest.param(Skellam(1.5), 6, id="skellam-1.5"),
    pytest.param(Skellam(151.3), 40, id="skellam-151.3"),
    pytest.param(Skellam(90_000.0), 1500, id="skellam-90000"),
]


def seeded(seed: int) -> Callable[[int], bytes]:
    return np.random.default_rng(seed).bytes


def given_words(*words: int) -> Callable[[int], bytes]:
    """Random bytes that begin with 16 bits, then 64-bit words."""
    rest = [words[0].to_bytes(2, "little"), *(word.to_bytes(8, "little") for word in words[1:])]
    return lambda count: rest.pop(0) if rest and len(rest[0]) == count else pytest.fail(f"{count} more bytes")


def pmf(noise: IntegerNoise, bound: int) -> np.ndarray:
    """By SciPy, truncated: shape (2 bound + 1,)."""
    k = np.abs(np.arange(-bound, bound + 1))
    if isinstance(noise, DiscreteGaussian):
        weights = np.exp(-(k.astype(float) ** 2) / (2 * noise.sigma**2))
    else:
        weights = special.ive(k, noise.variance)
    return weights / weights.sum()


@pytest.mark.parametrize(("noise", "bound"), NOISES)
def test_the_numbers_follow_the_mass_function(noise: IntegerNoise, bound: int) -> None:
    count = 400_000
    numbers = NoiseSampler(noise, bound, random_bytes=seeded(1)).sample(count)
    assert numbers.dtype == np.int32
    assert abs(numbers).max() <= bound
    expected = pmf(noise, bound) * count
    seen = np.bincount(numbers + bound, minlength=2 * bound + 1)
    common = expected >= 20
    rare = expected[~common].sum(), seen[~common].sum()
    cells = [(expected[common], seen[common]), *([(np.array([rare[0]]), np.array([rare[1]]))] if rare[0] > 1 else [])]
    wanted, got = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    assert stats.chi2.sf(((got - wanted) ** 2 / wanted).sum(), max(1, len(wanted) - 1)) > 1e-4


@pytest.mark.parametrize(("noise", "bound"), NOISES)
def test_every_step_of_the_distribution_is_where_scipy_puts_it(noise: IntegerNoise, bound: int) -> None:
    edges = NoiseSampler(noise, bound)._edges / 2.0**64
    np.testing.assert_allclose(edges, pmf(noise, bound).cumsum()[:-1], rtol=1e-9, atol=1e-13)


def test_steps_are_exact_to_the_last_of_64_bits() -> None:
    # By a different route: all weights as Decimals of 200 digits.
    sigma, bound = 1.75, 20
    with localcontext(prec=200):
        weights = [(-(Decimal(k) ** 2) / (2 * Decimal(sigma) ** 2)).exp() for k in range(-bound, bound + 1)]
        expected = [int(2**64 * sum(weights[: k + 1]) / sum(weights)) for k in range(2 * bound)]
    edges = NoiseSampler(DiscreteGaussian(sigma), bound)._edges
    assert edges.tolist() == expected
    assert expected[0] == 0  # the tail is below 2^-64, and still drawn with its own chance


def test_skellam_steps_are_exact_to_the_last_of_64_bits() -> None:
    variance, bound = 2.5, 12
    bessel = [  # (v/2)^(2m + k) / (m! (m + k)!)
        sum(Fraction(variance / 2) ** (2 * m + k) / (math.factorial(m) * math.factorial(m + k)) for m in range(60))
        for k in range(bound + 1)
    ]
    weights = [bessel[abs(k)] for k in range(-bound, bound + 1)]
    expected = [int(2**64 * sum(weights[: k + 1]) / sum(weights)) for k in range(2 * bound)]
    assert NoiseSampler(Skellam(variance), bound)._edges.tolist() == expected


@pytest.mark.parametrize("noise", [DiscreteGaussian(2.0), Skellam(4.0)], ids=["gaussian", "skellam"])
def test_more_bits_are_drawn_where_64_fall_on_a_step(noise: IntegerNoise) -> None:
    bound = 12
    edges = [int(edge) for edge in NoiseSampler(noise, bound)._edges]
    for place, edge in enumerate(edges):
        if edges.count(edge) > 1:
            continue
        first, rest = edge >> 48, (edge & (2**48 - 1)) << 16
        below = NoiseSampler(noise, bound, random_bytes=given_words(first, rest, 0)).sample(1)
        above = NoiseSampler(noise, bound, random_bytes=given_words(first, rest, 2**64 - 1)).sample(1)
        assert [int(below[0]), int(above[0])] == [place - bound, place - bound + 1]


def test_bits_are_drawn_until_they_are_off_every_step() -> None:
    # P(X = -14) is about 2^-143: after 128 zeros the number is still open, after 64 more bits it is not.
    noise, bound = DiscreteGaussian(1.0), 14
    words = [0, 0, 0, 0, 2**64 - 1]
    drawn: list[int] = []

    def record(count: int) -> bytes:
        drawn.append(count)
        return words[len(drawn) - 1].to_bytes(count, "little")

    assert NoiseSampler(noise, bound, random_bytes=record).sample(1).tolist() == [-14]
    assert drawn == [2, 8, 8, 8]


@pytest.mark.parametrize(
    ("noise", "bound"),
    [pytest.param(DiscreteGaussian(50.0), 400, id="gaussian"), pytest.param(Skellam(2500.0), 400, id="skellam")],
)
def test_mean_variance_and_kurtosis_are_those_known(noise: IntegerNoise, bound: int) -> None:
    count = 10**6
    numbers = NoiseSampler(noise, bound, random_bytes=seeded(2)).sample(count).astype(np.float64)
    assert abs(numbers.mean()) < 5 * 50 / math.sqrt(count)
    assert numbers.var() == pytest.approx(2500, rel=5 * math.sqrt(2 / count))
    excess = 0 if isinstance(noise, DiscreteGaussian) else 1 / 2500
    assert stats.kurtosis(numbers) == pytest.approx(excess, abs=5 * math.sqrt(24 / count))
    positive, negative = (numbers > 0).sum(), (numbers < 0).sum()
    assert abs(positive - negative) < 5 * math.sqrt(count)


def test_the_variance_of_a_narrow_gaussian_is_less_than_its_scale_squared() -> None:
    assert DiscreteGaussian(5.0).variance == pytest.approx(25, rel=1e-12)
    weights = [math.exp(-2 * k * k) for k in range(-9, 10)]  # sigma = 1/2
    expected = sum(k * k * w for k, w in zip(range(-9, 10), weights, strict=True)) / sum(weights)
    assert DiscreteGaussian(0.5).variance == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    noise=st.one_of(st.builds(DiscreteGaussian, st.floats(0.25, 50)), st.builds(Skellam, st.floats(0.01, 2500))),
    samples=st.integers(1, 10**8),
    exponent=st.floats(-40, -1),
)
def test_the_tail_bound_is_the_smallest_that_holds(noise: IntegerNoise, samples: int, exponent: float) -> None:
    mass = 10**exponent
    bound = tail_bound(noise, samples=samples, mass=mass)
    assert tail_mass(noise, bound, samples=samples) <= mass
    if bound > 1:
        assert tail_mass(noise, bound - 1, samples=samples) > mass * (1 - 1e-12)


@pytest.mark.parametrize(
    ("noise", "bound"),
    [
        pytest.param(DiscreteGaussian(1.0), 5, id="gaussian-1"),
        pytest.param(DiscreteGaussian(20.0), 60, id="gaussian-20"),
        pytest.param(Skellam(1.0), 5, id="skellam-1"),
        pytest.param(Skellam(400.0), 60, id="skellam-400"),
    ],
)
def test_the_tail_mass_is_an_upper_bound_and_near(noise: IntegerNoise, bound: int) -> None:
    wide = pmf(noise, 8 * bound)
    exact = 2 * wide[: 7 * bound].sum()
    assert exact * (1 - 1e-9) <= tail_mass(noise, bound) <= 1.25 * exact
    assert tail_mass(noise, bound, samples=3) == pytest.approx(3 * tail_mass(noise, bound))


def test_a_longer_vector_needs_no_less_room() -> None:
    bounds = [tail_bound(DiscreteGaussian(10.0), samples=10**k, mass=1e-12) for k in range(9)]
    assert all(a <= b for a, b in pairwise(bounds))
    assert bounds[0] < bounds[-1]


def test_two_samplers_do_not_repeat_each_other() -> None:
    one, two = (NoiseSampler(DiscreteGaussian(100.0), 900).sample(100).tolist() for _ in range(2))
    assert one != two


def test_a_vector_longer_than_a_chunk_is_noise_to_its_end() -> None:
    numbers = NoiseSampler(Skellam(100.0), 90, random_bytes=seeded(3)).sample(2**20 + 1000)
    assert numbers[-1000:].std() == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: DiscreteGaussian(0.2), id="scale-too-small"),
        pytest.param(lambda: DiscreteGaussian(math.nan), id="scale-nan"),
        pytest.param(lambda: Skellam(0.0), id="no-variance"),
        pytest.param(lambda: Skellam(math.inf), id="variance-infinite"),
        pytest.param(lambda: NoiseSampler(DiscreteGaussian(1.0), 0), id="no-room"),
        pytest.param(lambda: NoiseSampler(DiscreteGaussian(1.0), 2**21), id="too-much-room"),
        pytest.param(lambda: NoiseSampler(DiscreteGaussian(1.0), 5000), id="room-out-of-proportion"),
        pytest.param(lambda: tail_bound(DiscreteGaussian(1.0), samples=1, mass=0.0), id="no-mass"),
        pytest.param(lambda: tail_mass(Skellam(1.0), 0), id="tail-of-nothing"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()


def test_noise_that_needs_more_room_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_noise, "MAX_BOUND", 100)
    assert tail_bound(DiscreteGaussian(10.0), samples=1, mass=1e-9) == 61
    with pytest.raises(ConfigError, match="passes 100 steps"):
        tail_bound(DiscreteGaussian(20.0), samples=1, mass=1e-9)
