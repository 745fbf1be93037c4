"""What a target column says: classes to tell apart, or measurements to predict."""

from __future__ import annotations

from typing import cast

import numpy as np

from ..errors import DataError
from .cells import listed, shorten
from .columns import RawColumn, category, parse_number, read_column
from .task import Column, Kind

MAX_CLASSES_OF_FLOATS = 20  # whole numbers stored as floats may still be classes; a measurement has more values
MIN_ROWS_OF_A_CLASS = 10  # on the average; whole numbers with more values and fewer rows each are counts


def infer_kind(raw: RawColumn) -> Kind:
    """What to learn of a target: text, booleans and few whole numbers are classes, other numbers measurements.

    Whole numbers are classes where there are at most 20 different ones, or ten rows of each on the average: years of
    age or prices are not.
    """
    if raw.foreign or raw.values.dtype.kind not in "iufO":
        return "classification"
    if raw.is_text:
        parsed = {text: parse_number(text) for text in set(raw.texts()) if text is not None}
        if None in parsed.values():
            return "classification"
        values = np.asarray([parsed[text] for text in raw.texts() if text is not None], np.float64)
        values = values[~np.isnan(values)]
    else:
        values = raw.values[~raw.missing]
    if not _is_whole(values):
        return "regression"
    different = len(np.unique(values))
    few = different <= MAX_CLASSES_OF_FLOATS or different * MIN_ROWS_OF_A_CLASS <= len(values)
    return "classification" if few else "regression"


def read_classes(raw: RawColumn, known: tuple[str, ...] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels, shape (N,), int64, and the class names: `known` ones, or those that occur, sorted.

    Raises:
        CellError: a value is missing, or not among the known classes.
        DataError: the target is a measurement and not a class.
    """
    _check_present(raw)
    values = raw.values
    if values.dtype.kind == "f":
        if not _is_whole(values) or len(np.unique(values)) > MAX_CLASSES_OF_FLOATS:
            raise DataError(
                f"{raw.source}: the target {raw.name!r} looks like a measurement ({raw.example()}); "
                "expected classes: text, whole numbers or booleans",
                hint="choose another target, bin it into classes, or learn it as it is: kind='regression', "
                "in a shell --task regression",
            )
        values = values.astype(np.int64)
    if values.dtype.kind not in "iubO":
        raise DataError(f"{raw.source}: the target {raw.name!r} holds no classes: got {raw.example()}")
    names = [category(value) for value in cast(list[object], values.tolist())]
    if not known:
        different = sorted(set(names)) if raw.is_text else [category(value) for value in np.unique(values).tolist()]
        known = tuple(different)
    index = {name: label for label, name in enumerate(known)}
    labels = np.fromiter((index.get(name, -1) for name in names), np.int64, len(names))
    if labels.min(initial=0) < 0:
        place = int((labels < 0).argmax())
        raise raw.error(place, f"expected a class of {listed(known)}, got {shorten(names[place])}")
    return labels, known


def read_measurements(raw: RawColumn) -> np.ndarray:
    """Measurements of one target, shape (N,), float32.

    Raises:
        CellError: a value is missing, no number, or beyond the range of float32.
        DataError: the target holds neither numbers nor text.
    """
    if raw.foreign or raw.values.dtype.kind not in "iufO":
        raise DataError(f"{raw.source}: the target {raw.name!r} is no measurement: got {raw.example()}")
    _check_present(raw)
    values = read_column(raw, Column(name=raw.name, missing="fill"))
    absent = np.isnan(values)
    if absent.any():
        place = int(absent.argmax())
        raise raw.error(place, f"expected a number, got {shorten(str(raw.values[place]))}")
    return values.astype(np.float32)


def _check_present(raw: RawColumn) -> None:
    absent = raw.missing
    if absent.any():
        raise raw.error(int(absent.argmax()), "the target is missing", hint="drop such rows first")


def _is_whole(values: np.ndarray) -> bool:
    """Whole numbers that float64 holds exactly."""
    if values.dtype.kind != "f":
        return True
    return bool(np.isfinite(values).all() and (np.abs(values) < 2**53).all() and not (values % 1).any())
