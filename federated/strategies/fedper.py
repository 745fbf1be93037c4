"""A head of its own for each site."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import ConfigError
from ..updates.model_tensors import ModelTensors
from .base import FederatedStrategy, strategy


@strategy("fedper")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedPer(FederatedStrategy):
    """Federated averaging of all but the last layers, which each site trains for itself.

    Args:
        layers: how many of the last layers with weights are local, >= 1.

    Source: Arivazhagan et al. 2019, https://arxiv.org/abs/1912.00818, algorithms 1 and 2.
    """

    layers: int = 1

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ConfigError(f"expected layers >= 1, got {self.layers}")

    def shared(self, model: ModelTensors) -> tuple[str, ...]:
        """See `FederatedStrategy.shared`; the order of the layers is that of the network's description."""
        names = model.travelling
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
        if len(owners) <= self.layers:
            raise ConfigError(
                f"of {len(owners)} layers with weights, {self.layers} cannot stay local: nothing would travel",
                hint="leave fewer layers to the sites",
            )
        local = set(owners[-self.layers :])
        return tuple(name for name in names if name.rpartition(".")[0] not in local)
