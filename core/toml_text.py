"""TOML: what people write by hand, such as a configuration or a space to search; the one reader and the one writer."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from .errors import ConfigError, FormatError

TOML_WIDTH: Final = 70  # characters of a list on one line
MAX_SETTINGS_BYTES: Final = 2**20


def read_settings(path: str | Path, *, example: str = "trials = 50") -> dict[str, Any]:
    """What a configuration file says, not looked at yet.

    Args:
        path: a TOML file of at most 1 MiB.
        example: a line of such a file, for the message.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_SETTINGS_BYTES + 1)
        if len(text) > MAX_SETTINGS_BYTES:
            raise ValueError(f"expected at most {MAX_SETTINGS_BYTES} bytes")
        return tomllib.loads(text.decode("utf-8-sig"))
    # ValueError: also a path with a NUL, bytes that are no UTF-8, and numbers of too many digits.
    except (OSError, ValueError, RecursionError) as exc:
        hint = f"expected TOML such as: {example}"
        match exc:
            case OSError():
                reason, hint = exc.strerror or str(exc), "check the path"
            case UnicodeDecodeError():
                reason = "it is not text"
            case _:
                reason = str(exc)
        raise ConfigError(f"the configuration {_shown(str(path))} cannot be read: {reason}", hint=hint) from exc


def to_toml(document: Mapping[str, Any]) -> str:
    """A document as TOML, to be read and edited: one key a line, long lists with one item a line."""
    return "".join(f"{_toml_key(key)} = {_toml(value, 0)}\n" for key, value in document.items())


def parse_toml(text: str) -> object:
    """Parse TOML from outside.

    Raises:
        FormatError: not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # the former also for numbers of too many digits
        raise FormatError(f"not valid TOML: {exc}") from exc


def _toml(value: object, depth: int) -> str:
    """A value; `depth` is how far the line it stands on is indented."""
    match value:
        case Mapping():
            items = cast(Mapping[str, object], value).items()
            return "{" + ", ".join(f"{_toml_key(key)} = {_toml(item, depth)}" for key, item in items) + "}"
        case list() | tuple():
            items = cast("list[object]", value)
            line = "[" + ", ".join(_toml(item, depth) for item in items) + "]"
            if len(line) <= TOML_WIDTH or all(not isinstance(item, Mapping | list) for item in items):
                return line
            inner = "  " * (depth + 1)
            return "[\n" + "".join(f"{inner}{_toml(item, depth + 1)},\n" for item in items) + "  " * depth + "]"
        case _:
            return _toml_text(value) if isinstance(value, str) else json.dumps(value)


def _toml_text(text: str) -> str:
    """A basic string. JSON's escapes for characters beyond 16 bits are two, which TOML does not take; it wants DEL
    escaped, which JSON does not.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if plain else _toml_text(key)


def _shown(path: str) -> str:
    return path if path.isprintable() else repr(path)
