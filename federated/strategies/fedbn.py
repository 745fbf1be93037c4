"""Normalisation that each site keeps to itself."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import ConfigError
from ..updates.model_tensors import ModelTensors
from .base import FederatedStrategy, strategy


@strategy("fedbn")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedBN(FederatedStrategy):
    """Federated averaging of all but the normalisation layers, whose weights and running means stay local.

    Sites whose features are spread otherwise then see them alike further on. The paper has batch norm in mind; here
    every kind of normalisation with weights stays local. Without any in the network it is federated averaging. Since no
    running mean travels, networks with batch norm can be combined with differential privacy.

    Source: Li et al. 2021, https://arxiv.org/abs/2102.07623, algorithm 1.
    """

    def shared(self, model: ModelTensors) -> tuple[str, ...]:
        """See `FederatedStrategy.shared`."""
        local = {each.name for each in model.tensors if each.normalises}
        names = tuple(name for name in model.travelling if name not in local)
        if not names:
            raise ConfigError("all of the network is normalisation: nothing would travel")
        return names
