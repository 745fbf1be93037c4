"""`StopRule`: what a trial is compared with on its way, as data that travels with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self, cast, get_args

import numpy as np

from ...core import ConfigError, FormatError
from ..objectives import Direction, crowding_distance, non_dominated_ranks

Scores = tuple[float, ...]  # the objectives of one trial at one rung


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """Keeps a trial at a rung if it belongs to the best 1/eta of the trials that were there before, and of itself.

    With one objective the best have the best values. With several they are on the earlier fronts and, on one front, the
    lonelier; that is the same where there is one objective. Trials that are no better and no worse share a place, so
    that nobody is stopped by an equal. Of exchangeable trials at least 1/eta are kept, and all of them as long as there
    are fewer than eta, itself included, to choose from.

    Source: the stopping variant of ASHA, Li et al. 2020, https://arxiv.org/abs/1810.05934, as in Syne Tune; for several
    objectives Schmucker et al. 2021, https://arxiv.org/abs/2106.12639, with the ordering of their NSGA-II variant. Ours
    compares with trials that are fixed before the trial begins, so that it does not matter who is faster.

    Attributes:
        eta: > 1.
        directions: of the objectives.
        rungs: for each budget but the last, what trials had reached there; a trial is judged at these.
    """

    eta: float
    directions: tuple[Direction, ...]
    rungs: tuple[tuple[Scores, ...], ...] = ()

    def __post_init__(self) -> None:
        if not (isfinite(self.eta) and self.eta > 1):
            raise ConfigError(f"expected eta > 1, got {self.eta}")
        if not self.directions or any(direction not in get_args(Direction) for direction in self.directions):
            raise ConfigError(f'expected "maximize" or "minimize" for every objective, got {self.directions}')
        if any(len(scores) != len(self.directions) for rung in self.rungs for scores in rung):
            raise ConfigError(f"expected {len(self.directions)} scores of every trial, one per objective")

    def keeps(self, rung: int, values: Sequence[float]) -> bool:
        """Whether a trial goes on.

        Args:
            rung: how many budgets it went through before the one it has just reached, from 0 on.
            values: its objectives there. One that is not a number ends it.

        Raises:
            ConfigError: not as many values as there are objectives.
        """
        if len(values) != len(self.directions):
            raise ConfigError(f"expected {len(self.directions)} values, one per objective, got {len(values)}")
        if any(value != value for value in values):
            return False
        if rung >= len(self.rungs):
            return True
        others = self.rungs[rung]
        if len(others) + 1 < self.eta:
            return True
        return _count_better(others, tuple(values), self.directions) < (len(others) + 1) / self.eta

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "eta": self.eta,
            "directions": list(self.directions),
            "rungs": [[list(scores) for scores in rung] for rung in self.rungs],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Parse what `to_dict` gave.

        Raises:
            FormatError: not a stop rule.
        """
        try:
            return cls(
                eta=float(document["eta"]),
                directions=tuple(cast(Direction, direction) for direction in document["directions"]),
                rungs=tuple(
                    tuple(tuple(float(value) for value in scores) for scores in rung) for rung in document["rungs"]
                ),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError(f"not a stop rule: {type(exc).__name__}: {exc}") from exc


def _count_better(others: Sequence[Scores], own: Scores, directions: Sequence[Direction]) -> int:
    """How many of the others come before a trial."""
    if len(directions) == 1:
        sign = 1.0 if directions[0] == "maximize" else -1.0
        return sum(sign * scores[0] > sign * own[0] for scores in others)
    # Equal trials are one point: the ends of a front are lonely, and of equals only one would be such an end.
    points, places, counts = np.unique(np.array([*others, own]) + 0.0, axis=0, return_inverse=True, return_counts=True)
    place = int(places.reshape(-1)[-1])
    ranks = non_dominated_ranks(points, directions)
    front = np.flatnonzero(ranks == ranks[place])
    crowding = crowding_distance(points[front])
    lonelier = front[crowding > crowding[front == place]]
    return int(counts[ranks < ranks[place]].sum() + counts[lonelier].sum())
