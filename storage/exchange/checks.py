"""Values from outside, looked at one by one before anything is written. An error says where the value stands, what was
expected there and what was found.
"""

from __future__ import annotations

import math
import re
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from ...core import ConfigError
from ..names import MAX_NAME_LETTERS, check_name
from .figures import read_figure

if TYPE_CHECKING:
    from collections.abc import Generator

Check = Callable[[object], Any]  # a value as JSON has it -> the value as a column has it; raises `MisfitError`
MAX_DEPTH: Final = 200  # of JSON that is kept as it is
MAX_LETTERS: Final = 1_000  # of what names something
_LARGEST: Final = sys.float_info.max
_PLAIN: Final = re.compile(r"\w+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class MisfitError(Exception):
    """A value that does not belong where it stands."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__()
        self.expected = expected
        self.got = got
        self.path: list[str | int] = []  # outermost first

    def __str__(self) -> str:
        where = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" if _PLAIN.fullmatch(step) else f"[{step!r:.100}]"
            for step in self.path
        )
        said = f"expected {self.expected}, got {reprlib.repr(self.got)}"
        return f"{where.removeprefix('.')}: {said}" if where else said


@contextmanager
def inside(*steps: str | int) -> Generator[None]:
    """Say of a `MisfitError` where it is."""
    try:
        yield
    except MisfitError as exc:
        exc.path[:0] = steps
        raise


def whole(low: int = -(2**63), high: int = 2**63 - 1) -> Check:
    """A whole number in a range."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise MisfitError(f"a whole number from {low} to {high}", value)
        return value

    return check


def text(max_letters: int | None = MAX_LETTERS, *, empty: bool = True) -> Check:
    """A text that both databases can hold."""

    def check(value: object) -> str:
        if type(value) is not str:
            raise MisfitError("a text", value)
        if "\0" in value or _SURROGATE.search(value):
            raise MisfitError("a text without NUL and without halves of surrogate pairs", value)
        if not value and not empty:
            raise MisfitError("a text of some letters", value)
        if max_letters is not None and len(value) > max_letters:
            raise MisfitError(f"a text of at most {max_letters:,} letters", value)
        return value

    return check


_NAME = text()


def matching(pattern: str, what: str) -> Check:
    """A text of a certain form."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if type(value) is not str or not compiled.fullmatch(value):
            raise MisfitError(what, value)
        return value

    return check


def one_of(words: Any) -> Check:
    """One of the words of a `Literal`."""
    allowed: tuple[str, ...] = get_args(words)

    def check(value: object) -> str:
        if type(value) is not str or value not in allowed:
            raise MisfitError(f"one of {', '.join(allowed)}", value)
        return value

    return check


def maybe(check: Check) -> Check:
    """What `check` wants, or null."""
    return lambda value: None if value is None else check(value)


def record(fields: Mapping[str, Check], *, later: Collection[str] = ()) -> Check:
    """An object with these fields, no less and no more.

    Args:
        fields: by name.
        later: those that documents of an older version lack, where they are null.
    """
    names = fields.keys()
    items = tuple(fields.items())
    absent = dict.fromkeys(later)

    def check(value: object) -> dict[str, Any]:
        given = _object(value)
        if given.keys() != names and not given.keys() & absent.keys():
            given = {**absent, **given}
        if given.keys() != names:
            missing = sorted(names - given.keys())
            said = f"without {', '.join(missing)}" if missing else f"with {_some(sorted(given.keys() - names))}"
            raise MisfitError(f"an object with the fields {', '.join(names)}", Verbatim(f"one {said}"))
        name, found = "", dict[str, Any]()
        try:
            for name, check_field in items:
                found[name] = check_field(given[name])
        except MisfitError as exc:
            exc.path.insert(0, name)
            raise
        return found

    return check


def table(key: Check, entry: Check) -> Check:
    """An object whose names are `key`s, each with an `entry`."""

    def check(value: object) -> dict[str, Any]:
        name, found = "", dict[str, Any]()
        given = _object(value)
        try:
            for name, inner in given.items():
                found[key(name)] = entry(inner)
        except MisfitError as exc:
            exc.path.insert(0, name)
            raise
        return found

    return check


def array(entry: Check) -> Check:
    """An array of `entry`s."""

    def check(value: object) -> list[Any]:
        found: list[Any] = []
        try:
            found.extend(map(entry, listed(value)))  # as far as it gets
        except MisfitError as exc:
            exc.path.insert(0, len(found))
            raise
        return found

    return check


def listed(value: object) -> list[Any]:
    """Any array."""
    if type(value) is not list:
        raise MisfitError("an array", value)
    return cast("list[Any]", value)


def boolean(value: object) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise MisfitError("true or false", value)
    return value


def figure(value: object) -> float | None:
    """A figure as its column has it, None for NaN."""
    try:
        return read_figure(value)
    except ValueError:
        raise MisfitError('a number, "NaN", "Infinity" or "-Infinity"', value) from None


def figures(value: object) -> list[float | None]:
    """An array of figures; the plain ones of a long curve are looked at all at once."""
    found = listed(value)
    if {type(each) for each in found} == {float} and all(map(math.isfinite, found)):
        return found
    return array(figure)(found)


def measure(value: object) -> float:
    """A figure that is no NaN."""
    found = figure(value)
    if found is None:
        raise MisfitError('a number, "Infinity" or "-Infinity"', value)
    return found


def scalar(value: object) -> str | int | float | bool:
    """A text, a finite number or a truth value."""
    if isinstance(value, str):
        return text(None)(value)
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise MisfitError("a text, a finite number, true or false", value)
    return value


def body(value: object) -> dict[str, Any]:
    """An object that is kept as it is."""
    found = _object(value)
    _check_json(found)
    return found


def name(value: object) -> str:
    """A name of a metric, a parameter, a tag or an experiment."""
    return _name(_NAME(value))


@lru_cache(maxsize=10_000)  # the same ones come again and again
def _name(found: str) -> str:
    try:
        check_name(found)
    except ConfigError as exc:
        raise MisfitError(f"a name of at most {MAX_NAME_LETTERS} printable letters", found) from exc
    return found


class Verbatim:
    """What was found, in words."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def _object(value: object) -> dict[str, Any]:
    if type(value) is not dict:
        raise MisfitError("an object", value)
    return cast("dict[str, Any]", value)


def _some(names: list[str]) -> str:
    return ", ".join(reprlib.repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _check_json(value: object, depth: int = 0) -> None:
    """JSON can say 1e999, which is infinite here, and nest deeper than a database is asked about."""
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise MisfitError("a number that is a float64", value)
    else:
        return
    if depth == MAX_DEPTH:
        raise MisfitError(f"at most {MAX_DEPTH} levels of JSON", Verbatim("more"))
    for each in inner:
        _check_json(each, depth + 1)
