"""Federated averaging."""

from __future__ import annotations

from dataclasses import dataclass

from .base import FederatedStrategy, strategy


@strategy("fedavg")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedAvg(FederatedStrategy):
    """The mean of all changes, each counted by its site's rows.

    Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629, algorithm 1.
    """
