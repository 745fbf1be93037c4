"""Paired tests between two models on the same rows: is the difference more than chance?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import comb, erfc, sqrt
from typing import Any

import numpy as np

from ...core import ConfigError, DataError, ShapeError

_DRAWS = 10_000  # of resamplings; a p-value of 0.05 is then off by 0.002 (one standard error)
_CHUNK = 1 << 22  # elements of random numbers at a time
_EXACT_PAIRS = 50  # below, Wilcoxon's distribution is counted out
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """What came of a comparison.

    Attributes:
        method: the test.
        effect: by how much the first is better: a difference of accuracies, or of mean absolute errors in the targets'
            units; > 0 where the first is better.
        low, high: its 95 % confidence interval.
        p_value: chance of an effect of at least this size, either way, if both were equally good.
        rows: compared.
        better, worse: on how many rows the first was better, and worse.
    """

    method: str
    effect: float
    low: float
    high: float
    p_value: float
    rows: int
    better: int
    worse: int

    @property
    def significant(self) -> bool:
        """Whether chance alone would do this less than one time in twenty."""
        return self.p_value < 0.05

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Compare two classifiers by the rows that only one of them has right, with McNemar's exact test.

    Args:
        first: whether the first is right, bool, shape (N,), N >= 1.
        second: the same of the second.

    Source: McNemar 1947, exact form: the rows that differ are tosses of a fair coin. The interval is that of Bonett &
        Price 2012, https://doi.org/10.3102/1076998611411915: Wald's, with one row more in each cell that differs.
    """
    _check(first, second)
    better, worse = int((first & ~second).sum()), int((~first & second).sum())
    rows, differing = len(first), better + worse
    # Whole numbers: exact for any number of rows.
    tail = sum(comb(differing, k) for k in range(min(better, worse) + 1))
    p_value = min(1.0, 2 * tail / 2**differing)
    gain, loss = (better + 1) / (rows + 2), (worse + 1) / (rows + 2)
    reach = _NORMAL_95 * sqrt((gain + loss - (gain - loss) ** 2) / (rows + 2))
    return PairedTest(
        method="McNemar, exact",
        effect=(better - worse) / rows,
        low=max(-1.0, gain - loss - reach),
        high=min(1.0, gain - loss + reach),
        p_value=p_value,
        rows=rows,
        better=better,
        worse=worse,
    )


def wilcoxon(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> PairedTest:
    """Compare two regressions by their absolute errors, with Wilcoxon's signed-rank test.

    Rows of equal errors are left out, of equal differences share their mean rank. Up to 50 rows without equal
    differences the distribution is counted out, beyond it is taken as normal with the correction for ties.

    Args:
        first: absolute errors of the first, shape (N,), N >= 1, finite.
        second: those of the second.
        rng: draws the bootstrap that the interval of the mean difference comes from.

    Source: Wilcoxon 1945, https://doi.org/10.2307/3001968.
    """
    _check(first, second)
    gains = second.astype(np.float64) - first
    low, high = _bootstrap(gains, rng)
    return PairedTest(
        method="Wilcoxon signed-rank",
        effect=float(gains.mean()),
        low=low,
        high=high,
        p_value=_signed_rank(gains[gains != 0]),
        rows=len(gains),
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
    )


def sign_flip(gains: np.ndarray, rng: np.random.Generator) -> PairedTest:
    """Test whether a mean gain over rows is zero, by flipping the signs of rows at random.

    For models trained with several seeds: the gain of a row is then its mean over seeds.

    Args:
        gains: by how much the first is better on each row, shape (N,), N >= 1, finite.
        rng: draws the signs, and the bootstrap of the interval.

    Source: Fisher 1935, chapter 21; the drawn form and its + 1 by Phipson & Smyth 2010,
        https://doi.org/10.2202/1544-6115.1585.
    """
    _check(gains, gains)
    gains = gains.astype(np.float64)
    size = np.abs(gains.sum()) * (1 - 1e-12)  # equal sums in another order differ in their last bits
    most = 0
    for count in _chunks(len(gains)):
        signs = rng.integers(0, 2, (count, len(gains)), dtype=np.int8) * 2 - 1
        most += int((np.abs(signs @ gains) >= size).sum())
    low, high = _bootstrap(gains, rng)
    return PairedTest(
        method=f"sign flips, {_DRAWS} draws",
        effect=float(gains.mean()),
        low=low,
        high=high,
        p_value=(most + 1) / (_DRAWS + 1),
        rows=len(gains),
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
    )


def _signed_rank(gains: np.ndarray) -> float:
    """The two-sided p-value of gains without zeros."""
    count = len(gains)
    if not count:
        return 1.0
    _, place, ties = np.unique(np.abs(gains), return_inverse=True, return_counts=True)
    ranks = (ties.cumsum() - (ties - 1) / 2)[place]
    smaller = float(min(ranks[gains > 0].sum(), ranks[gains < 0].sum()))
    if count <= _EXACT_PAIRS and len(ties) == count:
        # ways[s]: how many sets of ranks 1..count have the sum s.
        ways = [1] + [0] * (count * (count + 1) // 2)
        for rank in range(1, count + 1):
            for total in range(len(ways) - 1, rank - 1, -1):
                ways[total] += ways[total - rank]
        return min(1.0, 2 * sum(ways[: int(smaller) + 1]) / 2**count)
    mean = count * (count + 1) / 4
    variance = count * (count + 1) * (2 * count + 1) / 24 - float((ties**3 - ties).sum()) / 48
    return erfc(abs(smaller - mean) / sqrt(2 * variance)) if variance > 0 else 1.0


def _bootstrap(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval of a mean. Source: Efron & Tibshirani 1993, chapter 13."""
    means = [values[rng.integers(0, len(values), (count, len(values)))].mean(1) for count in _chunks(len(values))]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def _chunks(rows: int) -> list[int]:
    """How many of the draws to make at a time."""
    size = max(1, min(_DRAWS, _CHUNK // rows))
    whole, rest = divmod(_DRAWS, size)
    return [size] * whole + ([rest] if rest else [])


def _check(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 1:
        raise ShapeError(f"expected one value for each row of both, got shapes {first.shape} and {second.shape}")
    if not len(first):
        raise ConfigError("expected at least one row to compare on, got none")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("expected finite values to compare", hint="a model diverged")
