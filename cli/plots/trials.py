"""What figures of a search need to know of its trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast

from ...storage import SearchRecord, TrialRecord
from ..fronts import figure_of, front_of_search

Scalar = str | int | float | bool
MAX_CHOICES = 8  # distinct numbers up to which a parameter can be a choice instead of a range
_LARGEST = 1e300
_RATES = frozenset({"learning_rate", "lr", "weight_decay"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A trial as a figure shows it."""

    trial: TrialRecord
    value: float  # of the search's first goal, finite
    sign: int = 1  # what makes more of it better: -1 where it is minimised

    @property
    def merit(self) -> float:
        """The value, of which more is better."""
        return self.sign * self.value

    @property
    def name(self) -> str:
        """The number people know it by: from 1."""
        return str(self.trial.number + 1)

    @property
    def parameters(self) -> int:
        """Of its network."""
        return self.trial.architecture.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its network for one example."""
        return self.trial.architecture.macs


def last_attempts(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Each trial once, in order: an attempt that was tried again does not count."""
    last = {trial.number: trial for trial in sorted(trials, key=lambda trial: (trial.number, trial.attempt))}
    return [last[number] for number in sorted(last)]


def with_value(search: SearchRecord, trials: Sequence[TrialRecord], state: str) -> list[Shown]:
    """The trials in a state that have a figure of the search's first goal to show."""
    name, direction = search.objectives[0]
    sign = 1 if direction == "maximize" else -1
    return [
        Shown(trial, float(value), sign)
        for trial in trials
        if trial.state == state and (value := figure_of(trial, name)) is not None and math.isfinite(value)
    ]


def front(search: SearchRecord, shown: Sequence[Shown]) -> list[Shown]:
    """Those that no other beats in the goals, and in size where there is a single goal; the first is the best of all.
    Never empty: where no trial keeps to the constraints, it is the best of those that do not.
    """
    by_uid = {each.trial.uid: each for each in shown}
    members = front_of_search(search, [each.trial for each in shown])
    return [by_uid[trial.uid] for trial in members] or sorted(shown, key=lambda each: -each.merit)[:1]


def count_states(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """How many trials ended how, the usual ends first."""
    counts = Counter(trial.state for trial in trials)
    order = ("completed", "pruned", "failed", "interrupted", "running")
    return {state: counts[state] for state in order if counts[state]}


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter over the trials of a figure.

    Attributes:
        name: with dots, as "hidden.0.width"; "hidden.count" is how many there are of a list.
        values: one per trial; None where a trial has no such parameter.
        choices: in their order, where it has few values or some that are no numbers; empty for a range.
        logarithmic: a range of positive numbers that spans a decade, or of rates.
    """

    name: str
    values: tuple[Scalar | None, ...]
    choices: tuple[Scalar, ...]
    logarithmic: bool


def varying_settings(shown: Sequence[Shown]) -> list[Setting]:
    """The parameters that are not the same for all of the trials; one that only some have is not."""
    points = [_settings(each.trial) for each in shown]
    names = dict.fromkeys(name for point in points for name in point)
    columns = {name: tuple(point.get(name) for point in points) for name in names}
    return [_setting(name, column) for name, column in columns.items() if len(set(column)) > 1]


def _setting(name: str, column: tuple[Scalar | None, ...]) -> Setting:
    present = [value for value in column if value is not None]
    values = list(dict.fromkeys(present))
    numbers = sorted(value for value in values if _is_number(value))
    whole = all(isinstance(value, int) for value in numbers)
    few = len(values) <= MAX_CHOICES and (whole or 2 * len(values) <= len(present))  # a choice is met again
    if len(numbers) == len(values) and not few:
        low, high = float(numbers[0]), float(numbers[-1])
        rate = name.rpartition(".")[2] in _RATES
        return Setting(name, column, (), logarithmic=low > 0 and (high / low >= 10 or rate))
    others = sorted((value for value in values if not _is_number(value)), key=str)
    return Setting(name, column, (*numbers, *others), logarithmic=False)


def _is_number(value: Scalar) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _settings(trial: TrialRecord) -> dict[str, Scalar]:
    """What was chosen for a trial, flat."""
    flat: dict[str, Scalar] = {}

    def add(name: str, value: object) -> None:
        match value:
            case Mapping():
                for key, item in cast("Mapping[object, object]", value).items():
                    add(f"{name}.{key}" if name else str(key), item)
            case list() | tuple():
                items = cast("Sequence[object]", value)
                add(f"{name}.count", len(items))
                for index, item in enumerate(items):
                    add(f"{name}.{index}", item)
            case float() if not math.isfinite(value):
                flat[name] = str(value)
            case str() | int() | float():
                flat[name] = value
            case _:
                flat[name] = str(value).lower()

    add("", trial.architecture.choices)
    add("", trial.hyperparameters)
    return flat
