"""Models that a site's owner brings: PyTorch modules, estimators of scikit-learn, trees of XGBoost, or one's own.

A plan names a model and gives it options; each site runs the code that its owner has installed under that name. The
libraries are imported when a plan asks for their models, one in each module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import BuildModel, LocalExamples, ModelAdapter, Tensors
from .catalogue import GROUP, ModelCatalogue
from .spec import AdapterSpec, FederatedModel, read_model

if TYPE_CHECKING:
    from .saved import AdaptedModel, load_adapted
    from .torch_modules import torch_model

_HOMES = {"AdaptedModel": "saved", "load_adapted": "saved", "torch_model": "torch_modules"}

__all__ = [
    "GROUP",
    "AdaptedModel",
    "AdapterSpec",
    "BuildModel",
    "FederatedModel",
    "LocalExamples",
    "ModelAdapter",
    "ModelCatalogue",
    "Tensors",
    "load_adapted",
    "read_model",
    "torch_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
