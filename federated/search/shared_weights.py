"""`SharedWeights`: one network for all candidates of a search, trained over the sites path by path.

Each path is a run of one random network of the space: it begins with what the sites' pool has of its weights, trains
for a round, and the pool moves towards what came of them. Several paths travel in a message, and of each only its own
tensors: what it does not touch is never sent. Then a candidate is not trained from nothing: it begins with its part of
the pool, trains for one round, which its normalisation needs, and is measured. It leaves the pool as it is, so
candidates do not depend on each other.

Source: single paths of Guo et al. 2020, https://arxiv.org/abs/1904.00420; here a path is a round, not a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ...core import Candidate, ConfigError
from ..protocol.inheritance import Inheritance, Place

ROUNDS_OF_A_CANDIDATE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWeights:
    """What is shared, and how it is trained.

    Attributes:
        pool: a ULID, which the sites call it by.
        messages: in which paths are trained, >= 1; each has as many as travel together.
        path: the network that is trained as the n-th, from 0; a run of its own.
        places: where the tensors of a candidate lie.
        rate: how far the pool moves towards what a path led to, in (0, 1]. The paths of a message begin alike.
    """

    pool: str
    messages: int
    path: Callable[[int], Candidate]
    places: Callable[[Candidate], Sequence[Place]]
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.messages < 1 or not 0 < self.rate <= 1:
            raise ConfigError(f"expected messages >= 1 and 0 < rate <= 1, got {self.messages} and {self.rate}")

    def of_path(self, candidate: Candidate) -> str:
        """What the plan of a path says."""
        return self._inheritance(candidate, self.rate)

    def of_candidate(self, candidate: Candidate) -> str:
        """What the plan of a candidate says."""
        return self._inheritance(candidate, 0.0)

    def _inheritance(self, candidate: Candidate, rate: float) -> str:
        return Inheritance(pool=self.pool, rate=rate, places=tuple(self.places(candidate))).to_json()
