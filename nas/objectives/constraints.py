"""What a network must keep to, written by users as "params <= 50k" or "latency_ms <= 2"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Final, Literal, cast

from ...core import ConfigError
from .registry import Objective, find_objective

Op = Literal["<=", ">="]

_CONSTRAINT: Final = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*(?P<op>[<>=!]+)\s*(?P<bound>.*?)\s*", re.DOTALL)
_QUANTITY: Final = re.compile(r"(?P<number>[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)\s*(?P<suffix>\D*)")
_THOUSANDS: Final[Mapping[str, float]] = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
# What a suffix stands for, in the objective's unit.
_SUFFIXES: Final[Mapping[str, Mapping[str, float]]] = {
    "": _THOUSANDS,
    "nats": {"": 1, "nats": 1},
    "fraction": {"": 1, "%": 0.01},
    "bytes": {
        **_THOUSANDS,
        "B": 1,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
    },
    "ms": {"": 1, "us": 1e-3, "ms": 1, "s": 1e3},
    "s": {"": 1, "ms": 1e-3, "s": 1, "min": 60, "h": 3600},
}
_EXPECTED: Final = 'write "params <= 50k", "latency_ms <= 2" or "val_accuracy >= 0.9"'


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a figure. Its text, `str(constraint)`, is read by `parse_constraint`.

    Attributes:
        objective: the figure.
        op: "<=" or ">="; the bound itself is allowed.
        bound: finite, in the objective's unit.
    """

    objective: Objective
    op: Op
    bound: float

    @property
    def static(self) -> bool:
        """Whether the specification of a network decides it, before any training."""
        return self.objective.source == "costs"

    @property
    def exempt(self) -> bool:
        """Whether it depends on time or on the machine: a search under it does not give the same trials again."""
        return self.objective.source == "measured"

    def violation(self, figures: Mapping[str, float]) -> float:
        """How far a network is from keeping to it.

        Returns:
            0 where it does; else the excess as a part of the bound (of 1, if the bound is 0), > 0. Infinite for a
            figure that is missing or not a number.
        """
        value = figures.get(self.objective.name)
        if value is None or isnan(value):
            return inf
        if value <= self.bound if self.op == "<=" else value >= self.bound:
            return 0.0
        # The smallest number where an excess is too small for a quotient: what violates is never 0.
        return max(abs(value - self.bound) / (abs(self.bound) or 1.0), 5e-324)

    def __str__(self) -> str:
        bound = int(self.bound) if self.bound.is_integer() and abs(self.bound) < 1e15 else self.bound
        return f"{self.objective.name} {self.op} {bound}"


def parse_constraint(text: str) -> Constraint:
    """Read a constraint: an objective's name, `<=` or `>=`, and a number.

    Numbers may have underscores and `k`, `M` or `G` behind them; bytes `kB`, `MiB` and so on; times `us`, `ms`, `s`;
    fractions `%`. A metric of the evaluator's own may be bounded, too.

    Raises:
        ConfigError: not a constraint, an unknown objective, or a unit that is not the objective's.
    """
    found = _CONSTRAINT.fullmatch(text)
    if found is None or not found["bound"]:
        raise ConfigError(f"not a constraint: {text!r:.80}", hint=_EXPECTED)
    if found["op"] not in ("<=", ">="):
        raise ConfigError(f"a constraint with {found['op']}: {text!r:.80}", hint=f"expected <= or >=; {_EXPECTED}")
    op = cast(Op, found["op"])
    # Which way a bounded metric of the evaluator's own is better follows from the side it is bounded on.
    objective = find_objective(found["name"], direction="minimize" if op == "<=" else "maximize")
    return Constraint(objective, op, _quantity(found["bound"], objective))


def total_violation(constraints: Iterable[Constraint], figures: Mapping[str, float]) -> float:
    """The sum of all violations: 0 exactly where a network is feasible."""
    return sum((constraint.violation(figures) for constraint in constraints), 0.0)


def _quantity(text: str, objective: Objective) -> float:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ConfigError(f"not a number to bound {objective.name} by: {text!r:.80}", hint=_EXPECTED)
    suffixes = _SUFFIXES[objective.unit]
    if found["suffix"] not in suffixes:
        known = ", ".join(suffix for suffix in suffixes if suffix)
        raise ConfigError(
            f"a bound of {objective.name} in {found['suffix']!r:.40}: expected a number, "
            f"with or without one of {known or 'none'} behind it"
        )
    value, factor = float(found["number"].replace("_", "")), suffixes[found["suffix"]]
    bound = value * factor if factor >= 1 else value / (1 / factor)  # 57 % is 0.57, 57 * 0.01 is not
    if not isfinite(bound):
        raise ConfigError(f"a bound of {objective.name} must be finite, got {text!r:.80}")
    return bound
