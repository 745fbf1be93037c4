"""`RawColumn`: a column as it was read, and what its values turn out to be: numbers, categories, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import cast

import numpy as np

from ..errors import DataError
from .cells import CellError, listed, shorten
from .dataset import FILL_HINT
from .task import Column, Missing, Unknown

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none"})  # in a column of numbers, beside nothing at all
MAX_CATEGORIES = 256
SINGLE = float(np.finfo(np.float32).max)
_NUMBERS: tuple[type, ...] = (Real, np.bool_)


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column as it was read.

    Attributes:
        source: the file or the data set, for messages.
        name: of the column.
        values: shape (N,): numbers or booleans, NaN where one is missing; or an object array of `str`, and None where
            one is missing.
        rows: shape (N,), int64: the number of each row in its source, counted from 1.
        foreign: what the column holds, where that is neither numbers nor text; its values are text then.
    """

    source: str
    name: str
    values: np.ndarray
    rows: np.ndarray
    foreign: str = ""

    @property
    def is_text(self) -> bool:
        """True for an object array of text."""
        return self.values.dtype.kind == "O"

    @property
    def missing(self) -> np.ndarray:
        """Where nothing was written, shape (N,), bool: no value, or a text without a character to see."""
        if self.is_text:
            return np.fromiter((not (text or "").strip() for text in self.texts()), bool, len(self.values))
        return np.isnan(self.values) if self.values.dtype.kind == "f" else np.zeros(len(self.values), bool)

    def texts(self) -> list[str | None]:
        """The values of a column of text."""
        return cast(list[str | None], self.values.tolist())

    def kept(self) -> np.ndarray:
        """The values of a column that is no input, shape (N,): numbers, or text, "" where none is there.

        Raises:
            DataError: it holds something else.
        """
        if self.values.dtype.kind == "V":
            raise DataError(f"{self.source}: column {self.name!r} cannot be kept: got {self.foreign}")
        return np.asarray([text or "" for text in self.texts()], np.str_) if self.is_text else self.values

    def error(self, place: int, problem: str, *, hint: str | None = None) -> CellError:
        """What is wrong with the value at one place."""
        return CellError(self.source, int(self.rows[place]), self.name, problem, hint=hint)

    def example(self) -> str:
        """The type and the first values, for messages."""
        if self.foreign:
            return self.foreign
        present = self.values[~self.missing][:2].tolist()
        kind = "text" if self.is_text else str(self.values.dtype)
        return f"{kind} such as {', '.join(map(repr, present))}" if present else f"{kind}, all missing"


def raw_column(source: str, name: str, cells: Sequence[object], rows: np.ndarray) -> RawColumn:
    """A column of Python values: numbers, booleans, text, and None, NaN or pandas' NA where one is missing.

    Raises:
        CellError: a value is something else.
    """
    known = [None if _is_missing(cell) else cell for cell in cells]
    if all(cell is None or isinstance(cell, _NUMBERS) for cell in known):
        numbers = [np.nan if cell is None else float(cast(float, cell)) for cell in known]
        return RawColumn(source, name, np.asarray(numbers, np.float64), rows)
    texts = np.empty(len(cells), object)
    for place, cell in enumerate(known):
        if cell is not None and not isinstance(cell, (str, *_NUMBERS)):
            problem = f"expected a number or text, got {type(cell).__name__}"
            raise CellError(source, int(rows[place]), name, problem)
        texts[place] = None if cell is None else category(cell)
    return RawColumn(source, name, texts, rows)


def infer_column(raw: RawColumn, *, categorical: bool, missing: Missing, unknown: Unknown) -> Column:
    """What a column is.

    Numbers are numeric. Text is numeric where every value reads as a number or as a word for a missing one, and
    categorical where more than half of the values do not.

    Args:
        raw: the column.
        categorical: take it as categories whatever it looks like.
        missing: the policy, if values are missing.
        unknown: the policy, if it is categorical.

    Raises:
        DataError: it holds neither numbers nor categories, or only names and identifiers.
    """
    if raw.foreign:
        raise DataError(
            f"{raw.source}: column {raw.name!r} is not numeric: expected numbers or text, got {raw.foreign}",
            hint="encode the column as numbers, or leave it out",
        )
    absent = raw.missing
    if absent.all():
        raise DataError(f"{raw.source}: column {raw.name!r} has no values", hint="leave the column out")
    if not (categorical or _is_categorical(raw)):
        absent = np.isnan(_numbers(raw))
        if absent.all():
            raise DataError(f"{raw.source}: column {raw.name!r} has no values", hint="leave the column out")
        return Column(name=raw.name, missing=missing if absent.any() else "refuse")
    categories = categories_of(raw)
    count = len(categories)
    repeated = count <= max(20, (len(absent) - int(absent.sum())) / 2)
    if count > MAX_CATEGORIES or not (repeated or categorical):
        raise DataError(
            f"{raw.source}: column {raw.name!r} holds {count} different texts in {len(raw.values)} rows, "
            f"such as {listed([shorten(text) for text in categories], 3)}; expected at most {MAX_CATEGORIES} "
            "categories that repeat",
            hint="leave out columns of names, identifiers and free text",
        )
    return Column(
        name=raw.name,
        kind="categorical",
        categories=categories,
        missing=missing if absent.any() else "refuse",
        unknown=unknown,
    )


def categories_of(raw: RawColumn) -> tuple[str, ...]:
    """The different values as text: numbers by size, text by code points."""
    if raw.is_text:
        return tuple(sorted({text for text in _categories(raw) if text is not None}))
    return tuple(category(value) for value in np.unique(raw.values[~raw.missing]).tolist())


def read_column(raw: RawColumn, column: Column) -> np.ndarray:
    """The values as a `Dataset` holds them, shape (N,), float64: see `Column`.

    Raises:
        CellError: a value is missing, no number, beyond the range of float32, or not one of the categories.
    """
    values = _numbers(raw) if column.kind == "numeric" else _codes(raw, column)
    if column.missing == "refuse":
        absent = np.isnan(values)
        if absent.any():
            raise raw.error(int(absent.argmax()), "the value is missing", hint=FILL_HINT)
    return values


def parse_number(text: str) -> float | None:
    """The number a text is, NaN for a word that stands for a missing one, None for any other text."""
    text = text.strip()
    if not text or text.lower() in MISSING_WORDS:
        return np.nan
    if "_" in text:  # Python's own way to write thousands
        return None
    try:
        return float(text)
    except ValueError:
        return None


def category(value: object) -> str:
    """A number or a boolean as the name of a category: 3 and 3.0 are one."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _is_categorical(raw: RawColumn) -> bool:
    """Whether most values of a text column are no numbers."""
    if not raw.is_text:
        return False
    parsed = {text: parse_number(text) for text in set(raw.texts()) if text is not None}
    readings = [parsed[text] for text in raw.texts() if text is not None]
    words = sum(reading is None for reading in readings)
    numbers = sum(reading is not None and not np.isnan(reading) for reading in readings)
    return words > numbers


def _numbers(raw: RawColumn) -> np.ndarray:
    """As float64, NaN where a value is missing: 32 bits would blur large numbers such as times."""
    if raw.is_text:
        parsed = {text: np.nan if text is None else parse_number(text) for text in set(raw.texts())}
        values = np.empty(len(raw.values))
        for place, text in enumerate(raw.texts()):
            number = parsed[text]
            if number is None:
                raise raw.error(
                    place,
                    f"expected a number, got {shorten(text or '')}",
                    hint="correct or drop the row, or encode the column as numbers",
                )
            values[place] = number
    else:
        values = raw.values.astype(np.float64)
    beyond = np.abs(values) > SINGLE  # infinities too
    if beyond.any():
        place = int(beyond.argmax())
        raise raw.error(place, f"expected a finite number within the range of float32, got {values[place]}")
    return values


def _categories(raw: RawColumn) -> list[str | None]:
    if raw.is_text:
        names = {text: (text or "").strip() or None for text in set(raw.texts())}
        return [names[text] for text in raw.texts()]
    return [
        None if absent else category(value)
        for value, absent in zip(cast(list[object], raw.values.tolist()), raw.missing, strict=True)
    ]


def _codes(raw: RawColumn, column: Column) -> np.ndarray:
    index: dict[str | None, float] = {name: float(code) for code, name in enumerate(column.categories)}
    index[None] = np.nan
    names = _categories(raw)
    codes = np.fromiter((index.get(name, -1.0) for name in names), np.float64, len(names))
    strange = codes < 0
    if column.unknown == "refuse" and strange.any():
        place = int(strange.argmax())
        raise raw.error(
            place, f"unknown category {shorten(names[place] or '')}, expected one of {listed(column.categories)}"
        )
    return codes


def _is_missing(cell: object) -> bool:
    if cell is None or type(cell).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(cell, _NUMBERS) and bool(cell != cell)  # NaN
