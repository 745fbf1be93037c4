"""Names and numbers as figures say them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ...core import ConfigError
from ...storage import RunRecord

MINUS: Final = "\N{MINUS SIGN}"
_PREFIXES: Final[Mapping[str, str]] = {"train": "training", "val": "validation", "test": "test"}
_NAMES: Final[Mapping[str, str]] = {
    "parameters": "parameters",
    "macs": "multiply-accumulates per example",
    "seconds": "seconds",
}
_SMALLER_IS_BETTER: Final = frozenset(
    {"loss", "error", "mae", "mse", "rmse", "perplexity", "nll", "ece", "brier", "seconds", "parameters", "macs"}
)
_LARGER_IS_BETTER: Final = frozenset(
    {"accuracy", "acc", "f1", "auc", "auroc", "precision", "recall", "r2", "iou", "map"}
)


def split_metric(name: str) -> tuple[str, str]:
    """The rows a metric was measured on, "" where its name does not say, and the quantity: "val", "loss"."""
    for separator in ("_", "/"):
        rows, found, quantity = name.partition(separator)
        if found and rows in _PREFIXES and quantity:
            return rows, quantity
    return "", name


def say_rows(rows: str) -> str:
    """What a prefix stands for: "validation"."""
    return _PREFIXES.get(rows, rows)


def say_metric(name: str) -> str:
    """A metric for an axis: "validation accuracy"."""
    rows, quantity = split_metric(name)
    said = _NAMES.get(quantity, quantity.replace("_", " "))
    return shorten(f"{say_rows(rows)} {said}".strip(), 40)


def direction(name: str) -> int:
    """+1 where more of a metric is better, -1 where less is, 0 where its name does not say."""
    words = set(split_metric(name)[1].lower().replace("/", "_").split("_"))
    return -1 if words & _SMALLER_IS_BETTER else 1 if words & _LARGER_IS_BETTER else 0


def shorten(text: str, letters: int) -> str:
    """A text in one line of at most so many letters; what is too much is cut out of its middle."""
    line = " ".join(text.split())
    if len(line) <= letters:
        return line
    head = (letters - 1) // 2 + (letters - 1) % 2
    return f"{line[:head]}…{line[len(line) - (letters - 1 - head) :]}"


def say_number(value: float) -> str:
    """A number for a tick: "12.5k", "0.003", "1e-05"."""
    if not math.isfinite(value):
        return "∞" if value > 0 else f"{MINUS}∞" if value < 0 else "NaN"
    size = abs(value)
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit * 0.9995:
            return f"{value / limit:.3g}{unit}" if size < limit * 999.5 else f"{value:.3g}"
    return f"{value:.3g}".replace("-", MINUS, 1) if value < 0 else f"{value:.3g}"


def say_bytes(value: float) -> str:
    """Bytes for a tick: "12.5 MB"."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= limit * 0.9995:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g} B"


def say_figure(name: str, value: float) -> str:
    """A value of a metric beside its point: four digits."""
    if not math.isfinite(value):
        return say_number(value)
    return f"{value:.4f}" if direction(name) and 1e-3 <= abs(value) < 100 else say_number(value)


def say_run(run: RunRecord) -> str:
    """A run as people name it: "search 3", or by the start of its ULID where it has no number."""
    return f"{run.kind} {run.uid[:10] if run.number is None else run.number}"


def say_counts(counts: Mapping[str, int]) -> str:
    """Counts by word, as in "12 completed, 8 pruned": what there is none of is left out."""
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)


def count(number: int, noun: str) -> str:
    """A number of things, as in "1 trial" or "2 trials"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def command_for(run: RunRecord) -> str:
    """The command that tells all of a run."""
    return f"nasturtium history show {run.uid if run.number is None else run.number}"


def nothing(run: RunRecord, missing: str, hint: str) -> ConfigError:
    """The error of a figure with nothing in it."""
    return ConfigError(f"{say_run(run)} has {missing} to draw", hint=hint)
