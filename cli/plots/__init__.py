"""Figures of runs: values from the history in, matplotlib figures out, without a window or global state.

A chart says what it shows and how to draw it; `page` puts charts on paper, `save_figure` writes the file. Names are
loaded on first use: matplotlib is an extra, and the curves of the terminal do without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...core import MissingExtraError

if TYPE_CHECKING:
    from .curves import CurveSet, curves_chart
    from .files import SUFFIXES, check_target, save_figure
    from .importance import importance_chart, importances
    from .paper import Chart, page
    from .parallel import parallel_chart
    from .pareto import pareto_chart
    from .privacy import Account, Release, privacy_chart
    from .rounds import rounds_chart
    from .terminal import line_chart

_HOMES = {
    "SUFFIXES": "files",
    "Account": "privacy",
    "Chart": "paper",
    "CurveSet": "curves",
    "Release": "privacy",
    "check_target": "files",
    "curves_chart": "curves",
    "importance_chart": "importance",
    "importances": "importance",
    "line_chart": "terminal",
    "page": "paper",
    "parallel_chart": "parallel",
    "pareto_chart": "pareto",
    "privacy_chart": "privacy",
    "rounds_chart": "rounds",
    "save_figure": "files",
}

__all__ = [
    "SUFFIXES",
    "Account",
    "Chart",
    "CurveSet",
    "Release",
    "check_target",
    "curves_chart",
    "importance_chart",
    "importances",
    "line_chart",
    "page",
    "parallel_chart",
    "pareto_chart",
    "privacy_chart",
    "rounds_chart",
    "save_figure",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("a plot", "plot") from exc
