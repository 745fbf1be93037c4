"""Constraints of a space: comparisons that a point must fulfil, as texts.

    stage_1 <= stage_2                between two decisions
    activation != 'relu'              with a text; numbers, true and false stand without quotes
    parameters <= 50000               of what the network costs, before it is built
    macs <= 2e6

A comparison that speaks of a decision that is switched off holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ...core import ConfigError
from .nodes import Choice, Leaf, shown

COSTS = {
    "parameters": "parameters",
    "params": "parameters",
    "buffers": "buffers",
    "macs": "macs",
    "peak_activation_bytes": "peak_activation_bytes",
    "model_bytes": "model_bytes",
    "upload_bytes": "upload_bytes",
}
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(r"\s*(\S+?)\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*")
MAX_LENGTH = 300  # characters
MAX_HINTS = 60  # names that a message lists


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left op right`; a side is the name of a decision or a cost, or a value."""

    left: Side
    op: str
    right: Side

    @classmethod
    def parse(cls, text: str, decisions: Mapping[str, Leaf]) -> Comparison:
        """Parse a constraint.

        Args:
            text: see the module.
            decisions: those there are, by path without "architecture/".

        Raises:
            ConfigError: not a comparison, a name nobody knows, or an order of what has none.
        """
        match = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise ConfigError(f"expected a constraint such as 'parameters <= 50000', got {shown(text)}")
        left, op, right = match.groups()
        sides = _side(left, text, decisions), _side(right, text, decisions)
        if all(side.name is None for side in sides):
            raise ConfigError(f"constraint {text!r}: expected the name of a decision or of a cost on one side")
        if op not in {"==", "!="} and not all(side.ordered for side in sides):
            raise ConfigError(f"constraint {text!r}: {op} is for numbers", hint="compare texts by == and !=")
        return cls(sides[0], op, sides[1])

    @property
    def of_costs(self) -> bool:
        """Whether the network has to be looked at, not only the decisions."""
        return self.left.cost or self.right.cost

    def holds(self, decisions: Mapping[str, object], costs: Mapping[str, object]) -> bool:
        """Whether it does.

        Args:
            decisions: the values of those that count, by name.
            costs: by name; may be empty unless it is `of_costs`.
        """
        left, right = (side.of(decisions, costs) for side in (self.left, self.right))
        return left is None or right is None or _OPERATORS[self.op](left, right)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a name, of a decision or a cost, or a value."""

    name: str | None = None
    value: object = None
    cost: bool = False
    ordered: bool = True

    def of(self, decisions: Mapping[str, object], costs: Mapping[str, object]) -> Any:
        """What it stands for; None where the decision does not count."""
        if self.name is None:
            return self.value
        return (costs if self.cost else decisions).get(self.name)


def _side(text: str, whole: str, decisions: Mapping[str, Leaf]) -> Side:
    if text in decisions:
        leaf = decisions[text]
        ordered = not isinstance(leaf, Choice) or all(type(value) in {int, float} for value in leaf.values)
        return Side(text, ordered=ordered)
    if text in COSTS:
        return Side(COSTS[text], cost=True)
    if text in {"true", "false"}:
        return Side(value=text == "true", ordered=False)
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return Side(value=text[1:-1], ordered=False)
    try:
        number = float(text)
    except ValueError:
        known = ", ".join([*COSTS, *decisions][:MAX_HINTS])
        raise ConfigError(f"constraint {whole!r}: unknown name {text!r}", hint=f"known names: {known}") from None
    if not isfinite(number):
        raise ConfigError(f"constraint {whole!r}: expected a finite number, got {text}")
    return Side(value=number)
