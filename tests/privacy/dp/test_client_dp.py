"""Client-level privacy: whatever an update is, its integers are bounded, and the sum costs what the event says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError
from nasturtium.privacy.dp.accountant import Accountant
from nasturtium.privacy.dp.client_calibration import calibrate_client_dp
from nasturtium.privacy.dp.client_dp import ClientDp, ClientDpCoordinator, ClientDpSite, rounded_l2_squared
from nasturtium.privacy.dp.events import DiscreteGaussianSum, SkellamSum
from nasturtium.privacy.dp.integer_noise import tail_bound
from nasturtium.privacy.errors import PrivacyError, TooFewSitesError
from nasturtium.privacy.plain import PlainAdder, PlainCipher
from nasturtium.privacy.presets import Preset, smallest_preset
from nasturtium.privacy.quantizer import StochasticQuantizer

AGREED = ClientDp(
    preset=smallest_preset(5, 4, noise_bound=60),
    clip=1.0,
    value_range=0.5,
    dimension=40,
    sigma=12.0,
    fewest_sites=4,
)


def no_noise(count: int) -> bytes:
    """Random bytes from the middle of the distribution: every number drawn is zero."""
    return b"\x00\x80" * (count // 2)


def seeded(seed: int) -> Callable[[int], bytes]:
    return np.random.default_rng(seed).bytes


def integers(site: ClientDpSite, agreed: ClientDp, update: np.ndarray, **options: Any) -> np.ndarray:
    """What the site adds noise to, where the noise is zero."""
    symbols = site.symbols(update, np.random.default_rng(0), **options)
    return symbols.astype(np.int64) - (agreed.preset.levels - 1) // 2 - agreed.preset.noise_bound


@settings(max_examples=150, deadline=None)
@given(
    update=hnp.arrays(
        st.sampled_from([np.float32, np.float64]), 40, elements=st.floats(-(2.0**100), 2.0**100, width=32)
    ),
    weight=st.floats(0, 1),
    clip=st.floats(1e-3, 1e3),
    share=st.floats(0.01, 1),
    bits=st.integers(2, 8),
)
def test_the_norm_before_noise_is_never_above_the_declared_one(
    update: np.ndarray, weight: float, clip: float, share: float, bits: int
) -> None:
    agreed = replace(AGREED, preset=smallest_preset(5, bits, noise_bound=60), clip=clip, value_range=clip * share)
    kept = update.copy()
    before = integers(ClientDpSite(agreed, random_bytes=no_noise), agreed, update, weight=weight)
    assert (before**2).sum() <= agreed.l2_squared
    assert abs(before).sum() <= math.sqrt(agreed.l2_squared) * min(math.sqrt(40), math.sqrt(agreed.l2_squared))
    assert abs(before).max() <= (agreed.preset.levels - 1) // 2
    np.testing.assert_array_equal(update, kept)


@settings(max_examples=50, deadline=None)
@given(update=hnp.arrays(np.float32, 40, elements=st.floats(-1, 1, width=32)), seed=st.integers(0, 2**32))
def test_symbols_are_in_the_presets_range(update: np.ndarray, seed: int) -> None:
    agreed = replace(AGREED, preset=smallest_preset(5, 4, noise_bound=3), sigma=12.0)  # truncates most of the noise
    symbols = ClientDpSite(agreed, random_bytes=seeded(seed)).symbols(update, np.random.default_rng(seed))
    assert symbols.dtype == np.uint32
    assert symbols.shape == (40,)
    assert symbols.max() < agreed.preset.symbols


class Unlucky:
    """A generator that always rounds away from zero, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def random(self, count: int, dtype: Any) -> np.ndarray:
        self.calls += 1
        return np.zeros(count, dtype)


def test_rounding_that_lengthens_too_much_is_repeated_and_then_done_towards_zero() -> None:
    agreed = replace(AGREED, value_range=7.0)  # one step is 1, the norm of the update
    update = np.full(40, 1 / math.sqrt(40))
    rng = Unlucky()
    symbols = ClientDpSite(agreed, random_bytes=no_noise).symbols(update, rng)  # type: ignore[arg-type]
    assert rng.calls == 16  # each would be 40 ones, of which the bound allows 15
    assert agreed.l2_squared == 15
    assert (symbols == 7 + agreed.preset.noise_bound).all()


@settings(max_examples=50, deadline=None)
@given(values=hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(-3, 3)), seed=st.integers(0, 2**32))
def test_rounding_at_random_mostly_stays_within_the_bound(values: np.ndarray, seed: int) -> None:
    # Proposition 22 promises 39 %; a fifth of 300 tries would be six deviations below that.
    rng = np.random.default_rng(seed)
    allowed = rounded_l2_squared(float(np.linalg.norm(values)), len(values))
    rounded = np.floor(values + rng.random((300, len(values))))
    assert ((rounded**2).sum(axis=1) <= allowed + 1e-9).mean() > 0.2


def test_long_updates_are_clipped_and_short_ones_are_not() -> None:
    agreed = replace(AGREED, preset=Preset(clients=5, levels=8001, packing=1, noise_bound=60), value_range=1.0)
    site = ClientDpSite(agreed, random_bytes=no_noise)
    update = np.zeros(40, np.float32)
    update[:2] = 3.0, 4.0
    step = agreed.quantizer.step
    np.testing.assert_allclose(integers(site, agreed, update)[:3] * step, [0.6, 0.8, 0.0], atol=step)
    np.testing.assert_allclose(integers(site, agreed, update / 10)[:3] * step, [0.3, 0.4, 0.0], atol=step)
    np.testing.assert_allclose(integers(site, agreed, update, weight=0.1)[:3] * step, [0.3, 0.4, 0], atol=step)
    assert not integers(site, agreed, update, weight=0.0).any()


@pytest.mark.parametrize("distribution", ["discrete-gaussian", "skellam"])
def test_each_site_adds_its_share_of_the_variance(distribution: Any) -> None:
    agreed = replace(AGREED, dimension=200_000, distribution=distribution, colluders=2, fewest_sites=5)
    assert agreed.noise_sources == 3
    symbols = ClientDpSite(agreed, random_bytes=seeded(1)).symbols(np.zeros(200_000), np.random.default_rng(0))
    assert symbols.astype(float).var() == pytest.approx(12.0**2 / 3, rel=0.02)
    assert symbols.astype(float).mean() == pytest.approx(7 + 60, abs=0.1)


@pytest.mark.parametrize("distribution", ["discrete-gaussian", "skellam"])
@pytest.mark.parametrize("noise_by", ["sites", "coordinator"])
def test_a_decoded_sum_is_that_of_the_updates_and_has_the_noise_that_is_accounted_for(
    distribution: Any, noise_by: Any
) -> None:
    agreed = calibrate_client_dp(
        8.0,
        1e-5,
        rounds=3,
        clients=6,
        clip=1.0,
        bits=6,
        dimension=20_000,
        distribution=distribution,
        noise_by=noise_by,
        fewest_sites=5,
    )
    rng = np.random.default_rng(3)
    updates = rng.standard_normal((5, 20_000)) / math.sqrt(20_000) / 1.1
    site = ClientDpSite(agreed, random_bytes=seeded(4))
    cipher, adder = PlainCipher(agreed.preset), PlainAdder(agreed.preset).start(20_000)
    for update in updates:
        adder.add(memoryview(cipher.encrypt(site.symbols(update, rng))))
    sums = cipher.decrypt(adder.body(), 20_000).astype(np.int64)
    if noise_by == "coordinator":
        sums += ClientDpCoordinator(agreed, random_bytes=seeded(5)).noise()
        assert 0 <= sums.min() <= sums.max() < agreed.preset.base
    error = (agreed.decode(sums, 5) - updates.sum(axis=0)) / agreed.quantizer.step
    noises = 5 / 4 if noise_by == "sites" else 1  # one more than the reader does not know
    assert error.std() == pytest.approx(math.sqrt(noises * agreed.sigma**2 + 5 / 6), rel=0.03)
    assert abs(error.mean()) < 5 * error.std() / math.sqrt(20_000)


def test_the_event_says_what_the_sites_do() -> None:
    gaussian = replace(AGREED, distribution="discrete-gaussian").event()
    assert isinstance(gaussian, DiscreteGaussianSum)
    assert gaussian.sites == 3
    assert gaussian.sigma == pytest.approx(12 / math.sqrt(3))
    skellam = AGREED.event()
    assert isinstance(skellam, SkellamSum)
    assert skellam.variance == pytest.approx(144)
    for event in (gaussian, skellam):
        assert event.l2**2 == pytest.approx(AGREED.l2_squared)
        assert event.dimension == 40
        assert 0 < event.tail_delta < 1e-12
    central = replace(AGREED, noise_by="coordinator", distribution="discrete-gaussian").event()
    assert isinstance(central, DiscreteGaussianSum)
    assert (central.sites, central.sigma) == (1, 12.0)


@pytest.mark.parametrize("summands", [0, 1, 3])
def test_a_sum_with_too_little_noise_is_not_opened(summands: int) -> None:
    with pytest.raises(TooFewSitesError, match="too little noise"):
        AGREED.decode(np.zeros(40, np.uint32), summands)
    with pytest.raises(PrivacyError, match="at most 5"):
        AGREED.decode(np.zeros(40, np.uint32), 6)


@pytest.mark.parametrize(
    ("update", "options", "error"),
    [
        pytest.param(np.zeros(39), {}, ConfigError, id="short"),
        pytest.param(np.zeros((40, 1)), {}, ConfigError, id="not-a-vector"),
        pytest.param(np.zeros(40, np.int64), {}, ConfigError, id="integers"),
        pytest.param(np.full(40, np.nan), {}, PrivacyError, id="nan"),
        pytest.param(np.full(40, np.inf), {}, PrivacyError, id="infinite"),
        pytest.param(np.zeros(40), {"weight": 1.5}, ConfigError, id="weight-above-one"),
        pytest.param(np.zeros(40), {"weight": -0.1}, ConfigError, id="negative-weight"),
        pytest.param(np.zeros(40), {"weight": math.nan}, ConfigError, id="weight-nan"),
    ],
)
def test_what_is_no_update_is_refused(update: np.ndarray, options: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"expected|finite"):
        ClientDpSite(AGREED).symbols(update, np.random.default_rng(0), **options)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"preset": smallest_preset(5, 1, noise_bound=60)}, id="no-level-for-zero"),
        pytest.param({"preset": smallest_preset(5, 4)}, id="no-room-for-noise"),
        pytest.param({"clip": 0.0}, id="no-norm"),
        pytest.param({"sigma": math.inf}, id="infinite-noise"),
        pytest.param({"value_range": math.nan}, id="range-nan"),
        pytest.param({"dimension": 0}, id="no-values"),
        pytest.param({"fewest_sites": 6}, id="more-than-clients"),
        pytest.param({"colluders": 4}, id="all-collude"),
        pytest.param({"colluders": 0}, id="no-reader"),
        pytest.param({"distribution": "laplace"}, id="unknown-noise"),
        pytest.param({"noise_by": "nobody"}, id="unknown-party"),
    ],
)
def test_an_agreement_that_protects_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        replace(AGREED, **changes)


def test_a_coordinator_adds_no_noise_to_that_of_the_sites() -> None:
    with pytest.raises(ConfigError, match="adds none"):
        ClientDpCoordinator(AGREED)


PLANS = [
    pytest.param({}, id="skellam"),
    pytest.param({"distribution": "discrete-gaussian"}, id="gaussian"),
    pytest.param({"noise_by": "coordinator"}, id="coordinator"),
    pytest.param({"clients": 100, "fewest_sites": 60, "colluders": 20}, id="many-sites"),
    pytest.param({"epsilon": 0.5, "delta": 1e-8}, id="tight"),
    pytest.param({"epsilon": 200.0, "clients": 100, "distribution": "discrete-gaussian"}, id="least-gaussian"),
    pytest.param({"dimension": 1, "clients": 2, "bits": 2}, id="one-number"),
]


@pytest.mark.parametrize("changes", PLANS)
def test_what_is_calibrated_costs_the_budget_and_hardly_less(changes: dict[str, Any]) -> None:
    plan: dict[str, Any] = {
        "epsilon": 4.0, "delta": 1e-5, "rounds": 10, "clients": 10, "clip": 2.0, "bits": 4, "dimension": 5000,
    } | changes  # fmt: skip
    agreed = calibrate_client_dp(**plan)
    accountant = Accountant()
    accountant.add(agreed.event(), plan["rounds"])
    spent = accountant.epsilon(plan["delta"])
    assert spent <= plan["epsilon"]
    if plan["epsilon"] < 100:
        assert spent > 0.999 * plan["epsilon"]
    sources = agreed.noise_sources * plan["dimension"]
    needed = tail_bound(agreed.noise, samples=sources, mass=agreed.event().tail_delta * (1 + 1e-9))
    assert needed <= agreed.truncation < needed + agreed.fewest_sites
    assert agreed.preset.clients == plan["clients"]


def test_more_bits_make_noise_take_more_room() -> None:
    few, many = (
        calibrate_client_dp(8.0, 1e-5, rounds=20, clients=10, clip=1.0, bits=bits, dimension=10**6) for bits in (4, 8)
    )
    assert few.preset.update_bytes(10**6) < many.preset.update_bytes(10**6)
    few_noise, many_noise = (agreed.sigma * agreed.quantizer.step for agreed in (few, many))
    assert few_noise == pytest.approx(many_noise, rel=0.05)


def test_a_finer_range_is_used_where_it_is_given() -> None:
    agreed = calibrate_client_dp(8.0, 1e-5, rounds=1, clients=4, clip=1.0, bits=4, dimension=100, value_range=0.25)
    assert agreed.quantizer == StochasticQuantizer(15, 0.25)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"epsilon": 0.0}, id="no-epsilon"),
        pytest.param({"epsilon": math.inf}, id="no-limit"),
        pytest.param({"delta": 1.0}, id="delta"),
        pytest.param({"rounds": 0}, id="no-rounds"),
        pytest.param({"bits": 1}, id="one-bit"),
        pytest.param({"clip": -1.0}, id="negative-clip"),
        pytest.param({"fewest_sites": 11}, id="more-than-clients"),
        pytest.param({"colluders": 10}, id="all-collude"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    plan: dict[str, Any] = {
        "epsilon": 4.0, "delta": 1e-5, "rounds": 10, "clients": 10, "clip": 2.0, "bits": 4, "dimension": 50,
    } | changes  # fmt: skip
    with pytest.raises(ConfigError, match="expected"):
        calibrate_client_dp(**plan)


@pytest.mark.parametrize("noise_by", ["sites", "coordinator"])
def test_noise_is_as_long_in_clips_as_it_is_said_to_be(noise_by: Any) -> None:
    agreed = calibrate_client_dp(
        8.0, 1e-5, rounds=2, clients=6, clip=0.5, bits=4, dimension=20_000, fewest_sites=5, noise_by=noise_by
    )
    rng = np.random.default_rng(0)
    site = ClientDpSite(agreed)
    sums = sum(site.symbols(np.zeros(agreed.dimension), rng).astype(np.int64) for _ in range(6))
    if noise_by == "coordinator":
        sums = sums + ClientDpCoordinator(agreed).noise()
    mean = agreed.decode(sums, 6).astype(np.float64) / 6
    assert np.linalg.norm(mean) / 0.5 == pytest.approx(agreed.noise_to_clip(6), rel=0.03)


@pytest.mark.parametrize(
    ("epsilon", "delta", "rounds", "bits"),
    [(8.0, 1e-5, 20, 16), (0.1, 1e-12, 20, 16), (1e-9, 1e-5, 20, 8), (8.0, 1e-5, 2**31 - 1, 4), (8.0, 1e-300, 20, 8)],
    ids=["bits", "budget-and-bits", "epsilon", "rounds", "delta"],
)
def test_more_noise_than_fits_is_refused_with_what_would_help(
    epsilon: float, delta: float, rounds: int, bits: int
) -> None:
    with pytest.raises(
        ConfigError, match=f"over {rounds} rounds with {bits} bits needs more noise than fits"
    ) as refused:
        calibrate_client_dp(epsilon, delta, rounds=rounds, clients=4, clip=1.0, bits=bits, dimension=2410)
    assert refused.value.hint == "fewer bits (3 or 4 are enough), fewer rounds or a larger epsilon"
