"""A table of a configuration file becomes a frozen dataclass; what does not fit says where, what was expected, and got.

The checks are for `__post_init__`: a value is as carefully looked at when a script makes it. They name the key; the
reader adds the file and the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, cast

from ..core import ConfigError, NasturtiumError

T = TypeVar("T")
_LENGTH = 4096  # of a text


def read_table(kind: type[T], table: object, where: str, **given: Any) -> T:
    """A table as a value of a dataclass; lists become tuples.

    Args:
        kind: its fields are the keys; one without a default must be there.
        table: of a TOML document.
        where: what messages begin with, such as "site.toml:" or "site.toml: [policy]".
        given: fields that are no keys of the table.

    Raises:
        ConfigError: unknown, missing or unfit keys.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where} expected a table, got {shown(table)}", hint="write it as [name] and keys below")
    values = cast(dict[str, Any], table)
    known = [each.name for each in fields(cast(Any, kind)) if each.name not in given]
    check_known(values, known, where)
    needed = [
        each.name
        for each in fields(cast(Any, kind))
        if each.default is MISSING and each.default_factory is MISSING and each.name not in given
    ]
    if missing := [name for name in needed if name not in values]:
        raise ConfigError(f"{where} {missing[0]} is missing", hint=f"it needs {', '.join(needed)}")
    try:
        return kind(**{name: _frozen(value) for name, value in values.items()}, **given)
    except NasturtiumError as exc:
        raise ConfigError(f"{where} {exc.message}", hint=exc.hint) from exc


def check_known(values: Mapping[str, object], known: list[str], where: str) -> None:
    """Refuse keys nobody knows.

    Raises:
        ConfigError: names the first, and the known one that is most like it. Not its value: it may be a password.
    """
    strange = next((name for name in values if name not in known), None)
    if strange is not None:
        close = get_close_matches(strange, known, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"{where} unknown key {shown(strange)}", hint=f"{meant}known are {', '.join(known)}")


def check_text(name: str, value: object, *, empty: bool = False) -> None:
    """Refuse what is no line of text.

    Raises:
        ConfigError: names the key.
    """
    fits = isinstance(value, str) and (empty or value.strip()) and len(value) <= _LENGTH
    if not fits or not cast(str, value).isprintable():
        raise ConfigError(f"{name}: expected a text without control characters, got {shown(value)}")


def check_path(name: str, value: object) -> None:
    """Refuse what cannot be a path.

    Raises:
        ConfigError: names the key.
    """
    if not isinstance(value, Path) or len(str(value)) > _LENGTH or not str(value).isprintable():
        raise ConfigError(f"{name}: expected the path of a file or folder, got {shown(value)}")


def check_whole(name: str, value: object, least: int, most: int = 2**53) -> None:
    """Refuse what is no whole number in a range.

    Raises:
        ConfigError: names the key.
    """
    if type(value) is not int or not least <= value <= most:
        limit = f"of at least {least}" if most == 2**53 else f"from {least} to {most}"
        raise ConfigError(f"{name}: expected a whole number {limit}, got {shown(value)}")


def check_number(name: str, value: object, least: float, below: float, *, least_fits: bool = False) -> None:
    """Refuse what is no finite number in a range.

    Args:
        name: of the key.
        value: to check.
        least: the lower end.
        below: the upper end, which does not fit itself.
        least_fits: whether the lower end fits.

    Raises:
        ConfigError: names the key.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # Integers first: some are too large to become a float.
    if number is None or not (abs(number) < 2**1000 and isfinite(number)):
        fits = False
    else:
        fits = (least <= number if least_fits else least < number) and number < below
    if not fits:
        sign, end = (">=" if least_fits else ">"), ("" if below == float("inf") else f" and < {below:g}")
        raise ConfigError(f"{name}: expected a finite number {sign} {least:g}{end}, got {shown(value)}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is not true or false.

    Raises:
        ConfigError: names the key.
    """
    if type(value) is not bool:
        raise ConfigError(f"{name}: expected true or false, got {shown(value)}")


def check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    """Refuse what is none of some words.

    Raises:
        ConfigError: names the key, and the word that is most like it.
    """
    if not isinstance(value, str) or value not in words:
        close = get_close_matches(value, words, n=1, cutoff=0.5) if isinstance(value, str) else []
        hint = f"did you mean {close[0]}?" if close else None
        raise ConfigError(f"{name}: expected one of {', '.join(words)}, got {shown(value)}", hint=hint)


def check_texts(name: str, value: object, words: tuple[str, ...] | None = None) -> None:
    """Refuse what is no list of different texts, or of different words.

    Raises:
        ConfigError: names the key.
    """
    if not isinstance(value, tuple):
        raise ConfigError(f"{name}: expected a list of texts, got {shown(value)}")
    items = cast(tuple[object, ...], value)
    for item in items:
        check_text(name, item) if words is None else check_word(name, item, words)
    if len(set(items)) != len(items):
        raise ConfigError(f"{name}: expected different texts, got one twice: {shown(items)}")


def shown(value: object) -> str:
    """What was received, short."""
    try:
        text = repr([*cast(tuple[object, ...], value)] if type(value) is tuple else value)
    except ValueError:  # an integer of more digits than Python writes
        text = f"an integer of {cast(int, value).bit_length()} bits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _frozen(value: object) -> object:
    return tuple(cast(list[object], value)) if isinstance(value, list) else value
