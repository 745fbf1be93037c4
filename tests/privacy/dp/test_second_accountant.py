"""Epsilons of DP-SGD against figures that others published, and against a second tight accountant: Microsoft's PRV.

The two tight accountants have nothing in common but the mechanism: Google's discretises the privacy loss distribution
so that it bounds from above (Doroshenko et al. 2022, https://arxiv.org/abs/2207.04380), Microsoft's truncates and
discretises the privacy random variable and bounds from both sides (Gopi et al. 2021, https://arxiv.org/abs/2106.02848).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from prv_accountant import PoissonSubsampledGaussianMechanism, PRVAccountant

from nasturtium.privacy.dp.accountant import Accountant
from nasturtium.privacy.dp.events import GaussianRelease
from nasturtium.privacy.dp.record_calibration import NOISE_STEP, noise_multiplier_for


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training by DP-SGD."""

    noise: float
    chance: float
    steps: int
    delta: float

    def of_google(self, accountant: PLDAccountant | RdpAccountant) -> float:
        accountant.compose(PoissonSampledDpEvent(self.chance, GaussianDpEvent(self.noise)), self.steps)
        return accountant.get_epsilon(self.delta)

    def of_microsoft(self) -> tuple[float, float, float]:
        """A lower bound, an estimate, an upper bound."""
        mechanism = PoissonSubsampledGaussianMechanism(noise_multiplier=self.noise, sampling_probability=self.chance)
        accountant = PRVAccountant(
            prvs=[mechanism], max_self_compositions=[self.steps], eps_error=0.02, delta_error=self.delta / 1000
        )
        return accountant.compute_epsilon(delta=self.delta, num_self_compositions=[self.steps])


@cache
def ours(run: Run) -> float:
    accountant = Accountant()
    accountant.add(GaussianRelease(noise_multiplier=run.noise, sampling_probability=run.chance), run.steps)
    return accountant.epsilon(run.delta)


def mnist(noise: float, epochs: int, batch_size: int = 256) -> Run:
    return Run(noise=noise, chance=batch_size / 60_000, steps=epochs * 60_000 // batch_size, delta=1e-5)


RUNS = {
    "tutorial-1.1": mnist(1.1, 60),
    "tutorial-0.6": mnist(0.6, 30),
    "tutorial-1.2": mnist(1.2, 10),
    "readme-of-prv": Run(noise=0.8, chance=5e-3, steps=1000, delta=1e-6),
    "much-noise": Run(noise=4.0, chance=0.01, steps=10_000, delta=1e-5),
    "large-batches": Run(noise=1.0, chance=0.2, steps=5, delta=1e-5),
    "few-records": Run(noise=2.0, chance=64 / 455, steps=88, delta=1e-4),
    "all-records": Run(noise=2.0, chance=1.0, steps=20, delta=1e-6),
}
by_run = pytest.mark.parametrize("run", [pytest.param(run, id=name) for name, run in RUNS.items()])


@by_run
def test_two_tight_accountants_agree_within_one_percent(run: Run):
    lower, estimate, upper = run.of_microsoft()
    assert ours(run) == pytest.approx(estimate, rel=0.01)
    assert lower <= ours(run) <= upper


@by_run
def test_our_epsilon_is_that_of_dp_accounting(run: Run):
    assert ours(run) == pytest.approx(run.of_google(PLDAccountant()), rel=1e-6)


@pytest.mark.parametrize(
    ("run", "published"),
    [
        # tensorflow/privacy, analysis/compute_dp_sgd_privacy_test.py: computed by PLD, to the digits printed there.
        # The second and third are of noise 2 "with microbatching", which is said to halve it.
        pytest.param(Run(noise=0.7, chance=1e-2, steps=120, delta=1e-5), 2.4612381, id="1.2-epochs"),
        pytest.param(Run(noise=1.0, chance=64 / 10_000, steps=782, delta=1e-6), 1.199, id="5-epochs"),
        pytest.param(Run(noise=1.0, chance=1.0, steps=5, delta=1e-6), 12.595, id="without-sampling"),
    ],
)
def test_our_epsilon_is_the_published_one(run: Run, published: float):
    digits = len(str(published).split(".")[1])
    assert ours(run) == pytest.approx(published, abs=0.6 * 10**-digits)


@pytest.mark.parametrize(
    ("run", "published"),
    [
        # The same file: computed by RDP.
        pytest.param(mnist(1.3, 15, batch_size=150), 0.7242234026109595, id="mnist"),
        pytest.param(Run(noise=1.0, chance=1e-3, steps=30_000, delta=1e-7), 1.4154988495444842, id="100000-records"),
        pytest.param(Run(noise=0.7, chance=1e-2, steps=120, delta=1e-5), 3.2392676, id="1.2-epochs"),
        # tensorflow/privacy, tutorials/README.md: by the moments accountant of 2016.
        pytest.param(mnist(1.12, 60), 2.92, id="tutorial-1.12"),
        pytest.param(mnist(0.6, 30), 9.74, id="tutorial-0.6"),
        pytest.param(mnist(1.2, 10), 1.20, id="tutorial-1.2"),
    ],
)
def test_what_was_published_by_looser_accountants_is_no_less_than_ours(run: Run, published: float):
    assert 0.6 * published < ours(run) < run.of_google(RdpAccountant()) <= published * 1.01


def test_without_sampling_epsilon_is_that_of_the_closed_form():
    """T releases of noise z are one of z / sqrt(T), whose delta Balle and Wang 2018 give exactly (theorem 8)."""
    run = RUNS["all-records"]
    z, epsilon = run.noise / math.sqrt(run.steps), ours(run)
    tail = math.erfc((epsilon * z - 0.5 / z) / math.sqrt(2)) - math.exp(epsilon) * math.erfc(
        (epsilon * z + 0.5 / z) / math.sqrt(2)
    )
    assert tail / 2 == pytest.approx(run.delta, rel=0.01)


@pytest.mark.parametrize("name", ["tutorial-1.1", "much-noise"])
def test_the_noise_for_an_epsilon_is_the_least_that_is_enough(name: str):
    run = RUNS[name]
    epsilon = ours(run)
    noise = noise_multiplier_for(epsilon, run.delta, steps=run.steps, sampling_probability=run.chance)
    assert noise == pytest.approx(run.noise, rel=NOISE_STEP)
    assert ours(replace(run, noise=noise)) <= epsilon
