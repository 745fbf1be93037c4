"""The registry of zero-cost scores: what can be told of a network before it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...core import Registry
from .probe import Probe

ScoreFunction = Callable[[Probe], float]


@dataclass(frozen=True, slots=True)
class ZeroCost:
    """One score; the higher, the more is expected of the network.

    Attributes:
        name: as users write it.
        source: the paper it comes from.
        function: computes it; it leaves the probe as it was.
    """

    name: str
    source: str
    function: ScoreFunction


ZERO_COST: Registry[ZeroCost] = Registry("zero-cost score")


def zero_cost(name: str, *, source: str) -> Callable[[ScoreFunction], ScoreFunction]:
    """Register a function of a `Probe` as a score."""

    def register(function: ScoreFunction) -> ScoreFunction:
        ZERO_COST.add(name, ZeroCost(name, source, function))
        return function

    return register
