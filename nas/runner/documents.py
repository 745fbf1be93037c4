"""Reading JSON that comes from elsewhere, as from rows that anyone with the database may write: what is not what it
should be is a `FormatError`, and never anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from ...core import FormatError, Scalar
from ...core.train import Curves

LARGEST: Final = 2**63 - 1  # that a column of the history holds
LARGEST_STEP: Final = 2**31 - 1
LONGEST_NAME: Final = 250  # of a figure in the history
_WORDS: Final = {"nan", "inf", "-inf"}  # numbers that JSON does not have

T = TypeVar("T")


class Reading:
    """Reads an object with exactly the named fields; what goes wrong in its block is a `FormatError`.

    Args:
        what: of which kind it should be, in a word.
        document: what the JSON parser gave.
        names: of its fields.
    """

    def __init__(self, what: str, document: object, names: Iterable[str]) -> None:
        self._what = what
        self._document = document
        self._names = frozenset(names)

    def __enter__(self) -> dict[str, Any]:
        fields = read_object(self._document, self._what)
        if fields.keys() != self._names:
            wrong = sorted(map(repr, fields.keys() ^ self._names))
            raise FormatError(f"{self._what}: missing or unknown fields: {', '.join(wrong):.200}")
        return fields

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        wrong = KeyError | TypeError | ValueError | AttributeError | ArithmeticError | RecursionError
        if isinstance(error, wrong) and not isinstance(error, FormatError):
            raise FormatError(f"{self._what}: {type(error).__name__}: {error}"[:500]) from error


def read_object(value: object, what: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise FormatError(f"{what}: expected an object, got a {type(value).__name__}")
    return cast(dict[str, Any], value)


def read_list(value: object, read: Callable[[object], T]) -> tuple[T, ...]:
    """A JSON list, each item of which is read."""
    if not isinstance(value, list):
        raise FormatError(f"expected a list, got {type(value).__name__}")
    return tuple(read(item) for item in cast(list[object], value))


def read_optional(value: object, read: Callable[[object], T]) -> T | None:
    """What is read, or null."""
    return None if value is None else read(value)


def read_int(value: object) -> int:
    """A whole number >= 0 that a column holds."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise FormatError(f"expected a whole number of 0 to 2**63 - 1, got a {type(value).__name__}")
    return value


def read_float(value: object) -> float:
    """A number, or the word of one that JSON does not have."""
    if type(value) in {int, float} or (isinstance(value, str) and value in _WORDS):
        return float(cast(float, value))  # of an int that no float can hold OverflowError
    raise FormatError(f"expected a number, got a {type(value).__name__}")


def read_amount(value: object) -> float:
    """A finite number >= 0 that a column holds."""
    amount = read_float(value)
    if not 0 <= amount <= LARGEST:
        raise FormatError(f"expected a finite number >= 0, got {amount}")
    return amount


def read_bool(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise FormatError(f"expected true or false, got a {type(value).__name__}")
    return value


def read_text(value: object) -> str:
    """A text."""
    if not isinstance(value, str):
        raise FormatError(f"expected a text, got a {type(value).__name__}")
    return value


def read_name(value: object) -> str:
    """The name of a figure, as the history takes it."""
    name = read_text(value)
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise FormatError(f"expected a name of 1 to {LONGEST_NAME} printable letters, got {name!r:.100}")
    return name


def read_scalars(value: object) -> dict[str, Scalar]:
    """A point or hyperparameters: finite numbers, texts and truths by name."""
    return {read_text(name): _read_scalar(item) for name, item in read_object(value, "point").items()}


def _read_scalar(value: object) -> Scalar:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise FormatError(f"expected a finite number, a text or a truth, got {value!r:.100}")
    return value


def pack_float(value: float) -> float | str:
    """A number as `read_float` takes it."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def pack_figures(figures: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers by name."""
    return {name: pack_float(value) for name, value in figures.items()}


def read_figures(value: object) -> dict[str, float]:
    """What `pack_figures` gave."""
    return {read_name(name): read_float(number) for name, number in read_object(value, "figure").items()}


def pack_curves(curves: Curves) -> dict[str, list[tuple[int, float | str]]]:
    """Points of curves by name."""
    return {name: [(int(step), pack_float(value)) for step, value in points.items()] for name, points in curves.items()}


def read_curves(value: object) -> dict[str, dict[int, float]]:
    """What `pack_curves` gave."""
    return {
        read_name(name): dict(read_list(points, _read_point)) for name, points in read_object(value, "curve").items()
    }


def _read_point(value: object) -> tuple[int, float]:
    if not isinstance(value, list) or len(cast(list[object], value)) != 2:
        raise FormatError(f"expected a step and a value, got {value!r:.100}")
    step, number = cast(list[object], value)
    if read_int(step) > LARGEST_STEP:
        raise FormatError(f"expected a step of 0 to {LARGEST_STEP}, got {step}")
    return read_int(step), read_float(number)
