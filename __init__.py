"""nasturtium: find the best small network for data that may not leave home, train it there, see nothing but the sum.

The names below are loaded on first use, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.library import federate, load_run_model, open_history, search
    from .core import Tensor, nn, optim

    __version__: str

_HOMES = {
    "Tensor": ".core",
    "nn": ".core",
    "optim": ".core",
    "search": ".cli.library",
    "federate": ".cli.library",
    "load_run_model": ".cli.library",
    "open_history": ".cli.library",
}

__all__ = ["Tensor", "__version__", "federate", "load_run_model", "nn", "open_history", "optim", "search"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nasturtium")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
