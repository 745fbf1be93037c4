"""Options that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import typer

from .output import Format

# Typer's own annotations are incomplete under the click it is used with here.
option = cast(Callable[..., Any], typer.Option)  # pyright: ignore[reportUnknownMemberType]
argument = cast(Callable[..., Any], typer.Argument)  # pyright: ignore[reportUnknownMemberType]

Db = Annotated[
    str | None,
    option("--db", help="Database: a file or a URL.", show_default="NASTURTIUM_DB, or nasturtium.db here"),
]
Json = Annotated[bool, option("--json", help="Print JSON, the same as --format json.")]
FormatOption = Annotated[Format, option("--format", help="How to print.")]
Data = Annotated[str | None, option("--data", help="A bundled data set (digits), or a .csv, .parquet or .npz file.")]
Target = Annotated[str | None, option("--target", help="The column (or NPZ array) with the classes, for a file.")]

Experiment = Annotated[str | None, option("--experiment", help="The name to gather it under.", show_default="default")]
Monitor = Annotated[bool, option("--monitor", help="Sample CPU, memory and GPUs every second, into the history.")]
MONITOR_SECONDS = 1.0


def with_db(command: str, db: str | None) -> str:
    """A command for the user to type next, on the same database. A URL may hold a password, and a hint end in a log."""
    where = "" if db is None else " --db URL" if "://" in db else f" --db {shlex.quote(db)}"
    return f"nasturtium {command}{where}"


def numbers(option_name: str, words: Sequence[str]) -> dict[str, float]:
    """What was said as NAME=VALUE, of values that are numbers; whole ones stay whole.

    Raises:
        ConfigError: something else was said, or of one name twice.
    """
    from ..core import ConfigError

    said: dict[str, float] = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            number = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            equals, number = "", 0
        if not equals or not name or name in said:
            told = "one value for each name" if name in said else "NAME=NUMBER"
            raise ConfigError(f"{option_name}: expected {told}, got {word!r:.80}")
        said[name] = number
    return said


def settings(option_name: str, words: Sequence[str]) -> dict[str, Any]:
    """What was said as NAME=VALUE: true, false, numbers and texts, or lists of these with commas between.

    Raises:
        ConfigError: something else was said, or of one name twice.
    """
    from ..core import ConfigError

    said: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name in said:
            told = "one value for each name" if name in said else "NAME=VALUE"
            raise ConfigError(f"{option_name}: expected {told}, got {word!r:.80}")
        values = [_setting(each.strip()) for each in value.split(",")]
        said[name] = values if len(values) > 1 else values[0]
    return said


def _setting(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def chosen(fmt: Format, *, as_json: bool) -> Format:
    """The format two options agree on."""
    return Format.JSON if as_json else fmt
