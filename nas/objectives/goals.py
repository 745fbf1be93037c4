"""What is to be optimised: an objective and the way it should go, written by users as "minimize latency_ms"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ...core import ConfigError
from .registry import Direction, Objective, find_objective

_WORDS: Final[Mapping[str, Direction]] = {
    "max": "maximize",
    "maximize": "maximize",
    "maximise": "maximize",
    "min": "minimize",
    "minimize": "minimize",
    "minimise": "minimize",
}
_GOAL: Final = re.compile(r"\s*(?:(?P<before>[A-Za-z]+)\s+)?(?P<name>\w+)\s*(?::\s*(?P<behind>[A-Za-z]+))?\s*")
_EXPECTED: Final = 'write "val_accuracy", "minimize latency_ms" or "parameters:min"'


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective of a search. Its text, `str(goal)`, is read by `parse_goal`."""

    objective: Objective
    direction: Direction

    @property
    def name(self) -> str:
        """Under which evaluations tell the figure."""
        return self.objective.name

    @property
    def exempt(self) -> bool:
        """Whether it depends on time or on the machine: a search for it does not give the same trials again."""
        return self.objective.source == "measured"

    @property
    def sign(self) -> int:
        """What makes more better: 1, or -1 for what is minimised."""
        return 1 if self.direction == "maximize" else -1

    def value(self, figures: Mapping[str, float]) -> float:
        """The figure, as it is told.

        Raises:
            ConfigError: nobody told it.
        """
        if self.name not in figures:
            raise ConfigError(
                f"the goal {self} needs {self.name}, which the evaluation does not tell: "
                f"it tells {', '.join(figures) or 'nothing'}",
                hint="choose another goal, or an evaluator that measures it",
            )
        return figures[self.name]

    def __str__(self) -> str:
        return f"{self.direction} {self.name}"


def parse_goal(text: str) -> Goal:
    """Read a goal: an objective's name, with `minimize` or `maximize` before it, or `:min` or `:max` behind it.

    Without one, the objective's own direction counts.

    Raises:
        ConfigError: not a goal, an unknown objective, or a metric of the evaluator's own without a direction.
    """
    found = _GOAL.fullmatch(text)
    words = [] if found is None else [word for word in (found["before"], found["behind"]) if word is not None]
    if found is None or len(words) > 1 or any(word.lower() not in _WORDS for word in words):
        raise ConfigError(f"not a goal: {text!r:.80}", hint=_EXPECTED)
    direction = _WORDS[words[0].lower()] if words else None
    objective = find_objective(found["name"], direction=direction)
    return Goal(objective, direction or objective.direction)


def parse_goals(texts: Iterable[str]) -> tuple[Goal, ...]:
    """Read the goals of a search; the first is what the best trial is chosen by.

    Raises:
        ConfigError: there is none, one is not a goal, or an objective stands twice.
    """
    goals = tuple(parse_goal(text) for text in texts)
    if not goals:
        raise ConfigError("a search needs a goal", hint=_EXPECTED)
    names = [goal.name for goal in goals]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)} stands twice among the goals: expected every objective once")
    return goals
