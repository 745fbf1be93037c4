"""What privacy costs: budgets, releases, and how their figures add up.

An infinite epsilon is a release without noise, or a budget without end. Sums are those of the figures as they are
written, in decimal, and never less: three releases of 0.1 fit a budget of 0.3.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, Final

from ..core import ConfigError

MAX_LETTERS: Final = 500  # of a subject or a mechanism
_NO_END = 1e12  # rounds
_UP = Context(prec=30, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyBudget:
    """How much privacy a subject may lose, or has left to lose: (epsilon, delta), the first may be infinite."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpent:
    """How much privacy a subject has lost in how many releases."""

    epsilon: float
    delta: float
    releases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyAccount:
    """Where a subject stands."""

    subject: str
    budget: PrivacyBudget | None  # None: nobody set one
    spent: PrivacySpent
    remaining: PrivacyBudget | None  # of the budget
    rounds_left: int | None  # of a new run like the last one; None: no end is known
    next_cost: PrivacyBudget | None  # of the first round of such a run; None: no budget, or nothing was spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One release of something computed from a subject's data.

    The totals are what all releases of the subject until now cost together, this one included, by the caller's
    accountant; both or neither are given. Without them the costs are added up, which always holds.

    Raises:
        ConfigError: a figure out of range, a text that is empty or cannot be shown.
    """

    subject: str  # whose privacy: the fingerprint of a data set, ...
    run: str | None = None  # ULID
    round: int | None = None
    mechanism: str
    epsilon: float  # >= 0; infinite: no noise
    delta: float  # in [0, 1)
    total_epsilon: float | None = None  # >= epsilon
    total_delta: float | None = None  # in [delta, 1]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])  # JSON: noise multiplier, sampling rate, ...

    def __post_init__(self) -> None:
        check_text("subject", self.subject)
        check_text("mechanism", self.mechanism)
        _check_cost(self.epsilon, self.delta)
        if self.round is not None and (type(self.round) is not int or self.round < 0):
            raise ConfigError(f"expected a round's number, an int >= 0, got {self.round!r}")
        if (self.total_epsilon is None) != (self.total_delta is None):
            raise ConfigError(
                f"expected both totals or none, got total_epsilon={self.total_epsilon}, total_delta={self.total_delta}"
            )
        if self.total_epsilon is not None and not self.total_epsilon >= self.epsilon:
            raise ConfigError(f"expected total_epsilon >= epsilon, got {self.total_epsilon} and {self.epsilon}")
        if self.total_delta is not None and not self.delta <= self.total_delta <= 1:
            raise ConfigError(f"expected delta <= total_delta <= 1, got {self.delta} and {self.total_delta}")


def check_text(name: str, value: str) -> None:
    """Refuse a name that is empty, very long, or has letters that a terminal would act on.

    Raises:
        ConfigError: it is one of those.
    """
    if not value or len(value) > MAX_LETTERS or not value.isprintable():
        raise ConfigError(f"expected a {name} of 1 to {MAX_LETTERS} printable letters, got {value!r:.100}")


def check_budget(epsilon: float, delta: float) -> PrivacyBudget:
    """A budget that can be set.

    Raises:
        ConfigError: epsilon is not positive, or delta not in [0, 1).
    """
    _check_cost(epsilon, delta)
    if epsilon == 0:
        raise ConfigError(f"expected a budget of epsilon > 0, got {epsilon}")
    return PrivacyBudget(epsilon=float(epsilon), delta=float(delta))


def exceeds(epsilon: float, delta: float, budget: PrivacyBudget) -> bool:
    """Whether that is more than the budget."""
    return epsilon > budget.epsilon or delta > budget.delta


def remainder(budget: PrivacyBudget, spent: PrivacySpent) -> PrivacyBudget:
    """What is left of the budget."""
    return PrivacyBudget(epsilon=subtract(budget.epsilon, spent.epsilon), delta=subtract(budget.delta, spent.delta))


def rounds_within(left: PrivacyBudget, costs: Sequence[PrivacyBudget]) -> int | None:
    """How many rounds of a run fit into what is left; None where that is without end, or too often to matter.

    Args:
        left: of a budget.
        costs: of the first round of the run, the first two together, and so on, at least one; each round after them
            adds what the last one did.
    """
    for rounds, cost in enumerate(costs):
        if exceeds(cost.epsilon, cost.delta, left):
            return rounds
    before, whole = (PrivacyBudget(epsilon=0.0, delta=0.0), *costs)[-2:]
    further = [
        times(subtract(left.epsilon, whole.epsilon), subtract(whole.epsilon, before.epsilon)),
        times(subtract(left.delta, whole.delta), subtract(whole.delta, before.delta)),
    ]
    lasting = [rounds for rounds in further if rounds is not None]
    return len(costs) + min(lasting) if lasting else None


def add(a: float, b: float) -> float:
    """The sum of two figures as they are written, rounded up where it has more digits than a float."""
    least = _UP.add(Decimal(repr(float(a))), Decimal(repr(float(b))))
    total = float(least)
    return total if Decimal(repr(total)) >= least else math.nextafter(total, math.inf)


def subtract(a: float, b: float) -> float:
    """What is left of `a`: all of an infinite one, and never less than nothing."""
    return a if math.isinf(a) else 0.0 if b >= a else float(Decimal(repr(a)) - Decimal(repr(b)))


def times(left: float, step: float) -> int | None:
    """How often `step` fits into what is left; None where that is without end, or too often to matter."""
    if step <= 0 or math.isinf(left) or left / step > _NO_END:
        return None
    return int(Decimal(repr(left)) // Decimal(repr(step)))


def _check_cost(epsilon: float, delta: float) -> None:
    if not epsilon >= 0:  # NaN, too
        raise ConfigError(f"expected epsilon >= 0, got {epsilon}")
    if not 0 <= delta < 1:
        raise ConfigError(f"expected delta in [0, 1), got {delta}")
