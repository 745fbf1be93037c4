"""Accounting: known answers, exact privacy losses that must stay below ours, and budgets that hold."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from nasturtium.core import ConfigError, FormatError
from nasturtium.privacy.dp.accountant import Accountant, Budget
from nasturtium.privacy.dp.events import DiscreteGaussianSum, Event, ExactRelease, GaussianRelease, SkellamSum
from nasturtium.privacy.dp.renyi import ORDERS, epsilon_from_renyi, renyi_divergences
from nasturtium.privacy.errors import BudgetExhaustedError
from nasturtium.storage import Spend

GAUSSIAN = DiscreteGaussianSum(sigma=12.0, sites=9, l2=10.0, dimension=100, tail_delta=0.0)
SKELLAM = SkellamSum(variance=1296.0, l1=100.0, l2=10.0, dimension=100, tail_delta=0.0)
RECORD = GaussianRelease(noise_multiplier=2.0, sampling_probability=0.05)


def cost(event: Event, count: int = 1, delta: float = 1e-5) -> float:
    accountant = Accountant()
    accountant.add(event, count)
    return accountant.epsilon(delta)


def discrete_gaussian(sigma: float, reach: float) -> np.ndarray:
    k = np.arange(-math.ceil(reach * sigma), math.ceil(reach * sigma) + 1)
    weights = np.exp(-(k.astype(float) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def sum_of_discrete_gaussians(sigma: float, sites: int, reach: float = 37) -> np.ndarray:
    total = np.ones(1)
    for _ in range(sites):
        total = np.convolve(total, discrete_gaussian(sigma, reach))
    return total


def skellam(variance: float) -> np.ndarray:
    return special.ive(np.abs(np.arange(-math.ceil(60 + 20 * variance**0.5), 61 + 20 * variance**0.5)), variance)


def losses(mass: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Masses and losses of one number that moves by `shift`; what has no mass in floating point is left out."""
    here, there = mass[shift:], mass[: len(mass) - shift]
    seen = (here > 1e-280) & (there > 1e-280)
    return here[seen], np.log(here[seen] / there[seen])


def exact_delta(mass: np.ndarray, shift: int, numbers: int, epsilon: float) -> float:
    """Of a vector of `numbers` independent numbers that all move by `shift`."""
    one, one_loss = losses(mass, shift)
    one, one_loss = one[one > 1e-40], one_loss[one > 1e-40]
    all_mass, all_losses = np.ones(1), np.zeros(1)
    for _ in range(numbers):
        joint = np.add.outer(all_losses, one_loss).round(9)
        all_losses, places = np.unique(joint, return_inverse=True)
        all_mass = np.bincount(places.ravel(), np.outer(all_mass, one).ravel())
    return float((all_mass * np.maximum(0, -np.expm1(epsilon - all_losses))).sum())


def renyi(mass: np.ndarray, shift: int, order: float) -> float:
    here, loss = losses(mass, shift)
    return float(special.logsumexp(np.log(here) + (order - 1) * loss)) / (order - 1)


NOISES = [
    pytest.param(sigma, sites, id=f"sigma-{sigma}-sites-{sites}")
    for sigma, sites in [(0.5, 2), (0.5, 10), (0.6, 3), (0.7, 30), (0.9, 2), (1.0, 5), (2.0, 3), (4.0, 1)]
]


@pytest.mark.parametrize(("sigma", "sites"), NOISES)
@pytest.mark.parametrize("shift", [1, 3])
def test_the_gaussian_bound_is_above_the_exact_divergence(sigma: float, sites: int, shift: int) -> None:
    mass = sum_of_discrete_gaussians(sigma, sites)
    bounds = renyi_divergences(DiscreteGaussianSum(sigma=sigma, sites=sites, l2=shift, dimension=1, tail_delta=0))
    orders = [place for place, order in enumerate(ORDERS) if order <= 7]
    assert len(orders) > 50
    for place in orders:
        assert renyi(mass, shift, ORDERS[place]) <= bounds[place] * (1 + 1e-6)


@pytest.mark.parametrize("variance", [0.1, 0.5, 1.0, 5.0, 40.0, 400.0])
@pytest.mark.parametrize("shift", [1, 2, 5])
def test_the_skellam_bound_is_above_the_exact_divergence(variance: float, shift: int) -> None:
    mass = skellam(variance)
    event = SkellamSum(variance=variance, l1=shift, l2=shift, dimension=1, tail_delta=0)
    bounds = renyi_divergences(event)
    for order, bound in zip(ORDERS[ORDERS <= 7], bounds, strict=False):
        assert renyi(mass, shift, order) <= bound * (1 + 1e-6)


@pytest.mark.parametrize(("sigma", "sites"), NOISES)
@pytest.mark.parametrize("numbers", [1, 3])
def test_our_epsilon_for_gaussian_sums_is_no_less_than_the_exact_one(sigma: float, sites: int, numbers: int) -> None:
    mass = sum_of_discrete_gaussians(sigma, sites, reach=14)
    delta = 1e-6
    epsilon = cost(
        DiscreteGaussianSum(sigma=sigma, sites=sites, l2=math.sqrt(numbers), dimension=numbers, tail_delta=0.0),
        delta=delta,
    )
    assert exact_delta(mass, 1, numbers, epsilon) <= delta


@pytest.mark.parametrize("variance", [0.5, 2.0, 10.0, 40.0])
@pytest.mark.parametrize("numbers", [1, 3])
def test_our_epsilon_for_skellam_sums_is_no_less_than_the_exact_one(variance: float, numbers: int) -> None:
    delta = 1e-6
    event = SkellamSum(variance=variance, l1=numbers, l2=math.sqrt(numbers), dimension=numbers, tail_delta=0.0)
    assert exact_delta(skellam(variance), 1, numbers, cost(event, delta=delta)) <= delta


def test_one_number_is_no_upper_bound_for_a_vector_of_the_same_norm() -> None:
    mass = discrete_gaussian(1.0, 14)
    one, four = exact_delta(mass, 2, 1, 6.0), exact_delta(mass, 1, 4, 6.0)
    assert one == pytest.approx(0.0040, abs=1e-4)
    assert four == pytest.approx(0.0079, abs=1e-4)  # so who accounts for one number promises half of it


def truncated(sigma: float, bound: int, shift: int) -> tuple[np.ndarray, float]:
    """The masses of noise that is never beyond `bound`, with room on both sides, and the mass it lacks."""
    wide = discrete_gaussian(sigma, 14)
    middle = len(wide) // 2
    inside = wide[middle - bound : middle + bound + 1]
    return np.pad(inside / inside.sum(), shift), float(1 - inside.sum())


@pytest.mark.parametrize("delta", [0.001, 0.01, 0.1])
def test_truncated_noise_costs_no_more_than_we_say(delta: float) -> None:
    mass, tail = truncated(sigma=4.0, bound=16, shift=2)
    event = DiscreteGaussianSum(sigma=4.0, sites=1, l2=2.0, dimension=1, tail_delta=tail)
    epsilon = cost(event, delta=delta)
    assert 0 < epsilon < 10
    assert np.maximum(0, mass[2:] - math.exp(epsilon) * mass[:-2]).sum() <= delta


def test_a_tail_counts_more_than_once() -> None:
    # At the edge only one of two neighbours can be seen, and their tails differ by as much as e^epsilon.
    mass, tail = truncated(sigma=2.0, bound=6, shift=2)
    without = exact_delta(discrete_gaussian(2.0, 14), 2, 1, 6.0)
    with_tail = np.maximum(0, mass[2:] - math.exp(6.0) * mass[:-2]).sum()
    assert without + tail < with_tail <= without + (1 + math.exp(6.0)) * tail


@pytest.mark.parametrize(
    ("event", "steps", "delta", "expected"),
    [
        # The tutorials' MNIST setting: 60,000 records, batches of 256, 60 epochs.
        pytest.param(
            GaussianRelease(noise_multiplier=1.1, sampling_probability=256 / 60_000), 14_062, 1e-5, 2.38, id="mnist"
        ),
        pytest.param(
            GaussianRelease(noise_multiplier=1.0, sampling_probability=0.1), 100, 1e-5, 7.05, id="a-tenth-100"
        ),
        pytest.param(GaussianRelease(noise_multiplier=4.0), 50, 1e-5, 8.60, id="every-record"),
    ],
)
def test_record_level_epsilon_is_that_of_dp_accounting(
    event: GaussianRelease, steps: int, delta: float, expected: float
) -> None:
    theirs = dp_accounting.pld.PLDAccountant()
    inner = dp_accounting.GaussianDpEvent(event.noise_multiplier)
    theirs.compose(dp_accounting.PoissonSampledDpEvent(event.sampling_probability, inner), steps)
    assert cost(event, steps, delta) == pytest.approx(theirs.get_epsilon(delta), rel=1e-7)
    assert cost(event, steps, delta) == pytest.approx(expected, abs=0.01)


def test_the_epsilon_of_full_gaussian_releases_is_the_analytic_one() -> None:
    # 25 releases with multiplier 5 are one with multiplier 1 (Balle and Wang 2018).
    assert cost(GaussianRelease(noise_multiplier=5.0), 25) == pytest.approx(
        dp_accounting.get_epsilon_gaussian(1.0, 1e-5), rel=1e-3
    )


@settings(max_examples=200, deadline=None)
@given(
    scale=st.floats(1e-320, 1e6),
    delta=st.floats(1e-300, 1, exclude_max=True),
    shape=st.sampled_from([ORDERS, np.sqrt(ORDERS), ORDERS**3, np.zeros_like(ORDERS), np.full_like(ORDERS, np.inf)]),
)
def test_epsilon_from_divergences_is_that_of_dp_accounting(scale: float, delta: float, shape: np.ndarray) -> None:
    """To the bit, so that who counts with the library and who counts without it agree."""
    divergences = scale * shape
    assert epsilon_from_renyi(divergences, delta) == dp_accounting.rdp.compute_epsilon(ORDERS, divergences, delta)[0]


def test_a_single_discrete_gaussian_costs_what_dp_accounting_says_of_its_concentrated_bound() -> None:
    theirs = dp_accounting.rdp.RdpAccountant(orders=ORDERS)
    theirs.compose(dp_accounting.ZCDpEvent(rho=10.0**2 / (2 * 36.0**2)), 7)
    event = DiscreteGaussianSum(sigma=36.0, sites=1, l2=10.0, dimension=1000, tail_delta=0.0)
    assert cost(event, 7) == pytest.approx(theirs.get_epsilon(1e-5), rel=1e-12)


def test_wide_noise_of_many_sites_costs_what_continuous_noise_does() -> None:
    continuous = dp_accounting.rdp.RdpAccountant(orders=ORDERS)
    continuous.compose(dp_accounting.GaussianDpEvent(3.6))
    assert cost(GAUSSIAN) == pytest.approx(continuous.get_epsilon(1e-5), rel=1e-6)
    assert continuous.get_epsilon(1e-5) < cost(SKELLAM) < 1.02 * continuous.get_epsilon(1e-5)


EVENTS = st.one_of(
    st.builds(
        DiscreteGaussianSum,
        sigma=st.floats(0.5, 100),
        sites=st.integers(1, 100),
        l2=st.floats(1, 100),
        dimension=st.integers(1, 10**6),
        tail_delta=st.sampled_from([0.0, 1e-30, 1e-15]),
    ),
    st.builds(
        SkellamSum,
        variance=st.floats(1, 10_000),
        l1=st.floats(1, 10_000),
        l2=st.floats(1, 100),
        dimension=st.integers(1, 10**6),
        tail_delta=st.sampled_from([0.0, 1e-30, 1e-15]),
    ),
)


@settings(max_examples=60, deadline=None)
@given(event=EVENTS, count=st.integers(1, 1000), delta=st.sampled_from([1e-3, 1e-6, 1e-9]))
def test_more_releases_more_length_and_less_delta_never_cost_less(
    event: DiscreteGaussianSum | SkellamSum, count: int, delta: float
) -> None:
    base = cost(event, count, delta)
    assert base >= 0
    assert cost(event, count + 1, delta) >= base
    assert cost(replace(event, l2=2 * event.l2), count, delta) >= base
    assert cost(event, count, delta / 10) >= base
    assert cost(replace(event, tail_delta=event.tail_delta + 1e-12), count, delta) >= base


@settings(max_examples=30, deadline=None)
@given(first=EVENTS, second=EVENTS, delta=st.sampled_from([1e-3, 1e-6]))
def test_the_order_of_releases_does_not_matter_and_together_they_cost_no_less(
    first: Event, second: Event, delta: float
) -> None:
    there, back = Accountant(), Accountant()
    for event in (first, second):
        there.add(event)
    for event in (second, first):
        back.add(event)
    assert there.epsilon(delta) == pytest.approx(back.epsilon(delta), rel=1e-12)
    assert there.epsilon(delta) >= max(cost(first, delta=delta), cost(second, delta=delta)) * (1 - 1e-12)


def test_more_noise_costs_less() -> None:
    gaussian = [cost(replace(GAUSSIAN, sigma=sigma)) for sigma in (0.5, 0.7, 1.0, 3.0, 12.0, 100.0)]
    skellam_ = [cost(replace(SKELLAM, variance=variance)) for variance in (1.0, 10.0, 100.0, 1e4)]
    record = [cost(replace(RECORD, noise_multiplier=z), 10) for z in (1.0, 2.0, 8.0)]
    for costs in (gaussian, skellam_, record):
        assert all(more >= less for more, less in pairwise(costs))
        assert costs[0] > costs[-1]


def test_noise_that_hides_nothing_is_accounted_for_without_filling_the_memory() -> None:
    assert cost(GaussianRelease(noise_multiplier=0.01), 100) > 1e5


def test_an_exact_release_costs_everything_and_nothing_costs_nothing() -> None:
    assert cost(ExactRelease(what="counts")) == math.inf
    assert Accountant().epsilon(1e-5) == 0
    accountant = Accountant()
    accountant.add(RECORD)
    accountant.add(ExactRelease(what="counts"))
    assert accountant.epsilon(1e-5) == math.inf


def test_a_tail_that_is_not_below_delta_costs_everything() -> None:
    assert cost(replace(GAUSSIAN, tail_delta=1e-6), 4, delta=1e-6) == math.inf


def test_a_tail_is_charged_by_its_mass_times_one_and_e_to_the_epsilon() -> None:
    epsilon = cost(replace(GAUSSIAN, tail_delta=1e-6))
    assert epsilon == pytest.approx(cost(GAUSSIAN, delta=1e-5 - (1 + math.exp(epsilon)) * 1e-6), rel=1e-6)
    assert epsilon > 1.01 * cost(GAUSSIAN, delta=1e-5 - 1e-6)
    assert cost(GAUSSIAN, 50) < 11
    assert cost(replace(GAUSSIAN, tail_delta=1e-9), 50) == math.inf  # though 50 tails together are below delta


def test_records_and_sites_have_no_common_epsilon() -> None:
    accountant = Accountant()
    accountant.add(RECORD)
    with pytest.raises(ConfigError, match="no common epsilon"):
        accountant.add(SKELLAM)
    assert accountant.unit == "record"


@pytest.mark.parametrize(
    ("event", "count", "message"),
    [
        pytest.param("GaussianRelease", 1, "no accountant", id="unknown-event"),
        pytest.param(GAUSSIAN, 0, "at least 1", id="no-times"),
        pytest.param(GAUSSIAN, 1.5, "at least 1", id="half-a-time"),
    ],
)
def test_what_cannot_be_counted_is_refused(event: Any, count: Any, message: str) -> None:
    accountant = Accountant()
    with pytest.raises(ConfigError, match=message):
        accountant.add(event, count)
    assert accountant.epsilon(1e-5) == 0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_a_delta_out_of_range_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        Accountant().epsilon(delta)


@pytest.mark.parametrize("event", [GAUSSIAN, SKELLAM, RECORD, ExactRelease(what="x")], ids=lambda e: type(e).__name__)
def test_a_statement_is_an_entry_of_the_ledger_and_can_be_gone_on_from(event: Event) -> None:
    accountant = Accountant()
    accountant.add(event, 3)
    statement = accountant.statement(1e-5)
    assert Spend(subject="site", **asdict(statement)).epsilon == statement.epsilon
    details = json.loads(json.dumps(statement.details, allow_nan=False))
    assert Accountant.from_details(details).statement(1e-5) == statement


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({}, id="empty"),
        pytest.param({"events": 3}, id="no-list"),
        pytest.param({"events": [{"event": "ExactRelease", "what": "x"}]}, id="no-count"),
        pytest.param({"events": [{"event": "ExactRelease", "what": "x", "count": -1}]}, id="negative-count"),
        pytest.param({"events": [{"event": "Other", "count": 1}]}, id="unknown-event"),
    ],
)
def test_details_of_nothing_are_refused(details: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="no "):
        Accountant.from_details(details)


def test_a_budget_refuses_the_release_that_would_exceed_it_and_charges_nothing_for_it() -> None:
    budget = Budget(cost(GAUSSIAN, 3), 1e-5)
    for number in (1, 2, 3):
        alone, total = budget.authorise([(GAUSSIAN, 1)])
        assert alone.epsilon == pytest.approx(cost(GAUSSIAN))
        assert total.epsilon == pytest.approx(cost(GAUSSIAN, number))
    with pytest.raises(BudgetExhaustedError, match="not made"):
        budget.authorise([(GAUSSIAN, 1)])
    assert budget.spent().epsilon == pytest.approx(cost(GAUSSIAN, 3))
    budget.authorise([])


def test_a_budget_goes_on_from_what_was_spent_before() -> None:
    before = Accountant()
    before.add(SKELLAM, 5)
    budget = Budget(cost(SKELLAM, 6), 1e-5, spent=before)
    budget.authorise([(SKELLAM, 1)])
    with pytest.raises(BudgetExhaustedError):
        budget.authorise([(SKELLAM, 1)])
    assert before.statement(1e-5).epsilon == pytest.approx(cost(SKELLAM, 5))


def test_no_finite_budget_pays_for_an_exact_release() -> None:
    with pytest.raises(BudgetExhaustedError):
        Budget(1e9, 0.5).authorise([(ExactRelease(what="a sum without noise"), 1)])
    Budget(math.inf, 0.5).authorise([(ExactRelease(what="a sum without noise"), 1)])


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_a_budget_out_of_range_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(ConfigError, match="budget"):
        Budget(epsilon, delta)


def test_the_library_is_loaded_when_it_is_needed_and_keeps_quiet() -> None:
    code = (
        "import sys; from nasturtium.privacy.dp.accountant import Accountant; "
        "from nasturtium.privacy.dp.events import GaussianRelease as G; a = Accountant(); "
        "assert 'dp_accounting' not in sys.modules; "
        "a.add(G(noise_multiplier=1.0, sampling_probability=0.1), 100); print(a.epsilon(1e-5))"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) == pytest.approx(7.05, abs=0.01)
    assert ran.stderr == ""


def test_sites_count_without_the_library_and_records_say_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['dp_accounting'] = None; sys.modules['scipy'] = None\n"
        "from nasturtium.core import MissingExtraError\n"
        "from nasturtium.privacy import Accountant, GaussianRelease, SkellamSum, calibrate_client_dp\n"
        "account = Accountant()\n"
        "account.add(SkellamSum(variance=1296.0, l1=100.0, l2=10.0, dimension=100, tail_delta=0.0))\n"
        "print(account.epsilon(1e-5))\n"
        "calibrate_client_dp(8.0, 1e-5, rounds=20, clients=10, clip=1.0, bits=4, dimension=1000)\n"
        "records = Accountant()\n"
        "records.add(GaussianRelease(noise_multiplier=1.0, sampling_probability=0.1), 100)\n"
        "try:\n    records.epsilon(1e-5)\n"
        "except MissingExtraError as exc:\n    print(exc)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    figure, said = ran.stdout.splitlines()
    assert float(figure) == cost(SKELLAM)
    assert 'pip install "nasturtium[dp-sgd]"' in said
