"""Figures in JSON, which has no NaN and no infinities: they are the texts "NaN", "Infinity" and "-Infinity"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, cast

_INFINITE: Final = {"Infinity": math.inf, "-Infinity": -math.inf}


def write_figure(value: float | None) -> float | str:
    """A column's figure, None being NaN, as JSON says it. -0.0 is 0.0, as on SQLite."""
    if value is None or math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value + 0.0


def write_figures(values: Sequence[float | None]) -> list[float | str]:
    """Many at once."""
    if None not in values and all(map(math.isfinite, plain := cast("Sequence[float]", values))):
        return [value + 0.0 for value in plain]
    return [write_figure(value) for value in values]


def write_optional(value: float | None) -> float | str | None:
    """A column that may be empty: NaN, which SQLite keeps as empty, is so on PostgreSQL, too."""
    return None if value is None or math.isnan(value) else write_figure(value)


def read_figure(value: Any) -> float | None:
    """The column of what JSON says.

    Raises:
        ValueError: it is no figure.
    """
    if type(value) is float and math.isfinite(value):
        return value + 0.0
    if value == "NaN":
        return None
    if type(value) is str and value in _INFINITE:
        return _INFINITE[value]
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise ValueError(value)
