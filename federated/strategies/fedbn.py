"""Normalisation that each site keeps to itself."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import ConfigError
from ...core.nn import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Module, RMSNorm
from .base import FederatedStrategy, strategy

_LAYERS = (BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm)


@strategy("fedbn")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedBN(FederatedStrategy):
    """Federated averaging of all but the normalisation layers, whose weights and running means stay local.

    Sites whose features are spread otherwise then see them alike further on. The paper has batch norm in mind; here
    every kind of normalisation with weights stays local. Without any in the network it is federated averaging. Since no
    running mean travels, networks with batch norm can be combined with differential privacy.

    Source: Li et al. 2021, https://arxiv.org/abs/2102.07623, algorithm 1.
    """

    def shared(self, model: Module) -> tuple[str, ...]:
        """See `FederatedStrategy.shared`."""
        local = {
            f"{prefix}.{name}" if prefix else name
            for prefix, module in model.named_modules()
            if isinstance(module, _LAYERS)
            for name, _ in module.named_tensors()
        }
        names = tuple(name for name, _ in model.named_tensors() if name not in local)
        if not names:
            raise ConfigError("all of the network is normalisation: nothing would travel")
        return names
