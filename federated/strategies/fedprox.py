"""Local training that stays near the shared model."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from ...core import ConfigError
from .base import Correction, FederatedStrategy, LocalStart, strategy


@strategy("fedprox")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedProx(FederatedStrategy):
    """Sites minimise their loss plus mu/2 |w - w_shared|^2: its gradient, mu (w - w_shared), joins every step's.

    With mu = 0 it is federated averaging, bit for bit. All sites train the same number of epochs: the paper's partial
    work of slow sites is not part of it.

    Args:
        mu: how much sites are held back, >= 0.

    Source: Li et al. 2020, https://arxiv.org/abs/1812.06127, algorithm 2.
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        if not (isfinite(self.mu) and self.mu >= 0):
            raise ConfigError(f"expected mu >= 0 and finite, got {self.mu}")

    def correction(self, start: LocalStart) -> Correction | None:
        """See `FederatedStrategy.correction`."""
        if not self.mu:
            return None
        shared = start.parameters

        def pull_back(parameters: Any, gradient: Any) -> None:
            gradient += self.mu * (parameters - shared)

        return pull_back
