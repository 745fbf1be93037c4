"""Times and sizes as people type them: "30m", "1h30m", "2GiB"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..core import ConfigError

_SECONDS: Final[Mapping[str, float]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_NUMBER: Final = r"(\d+(?:\.\d*)?|\.\d+)"
_TIME: Final = re.compile(rf"{_NUMBER}([smhd]?)")
_SIZE: Final = re.compile(rf"{_NUMBER}\s*([a-z]*)")


def read_seconds(text: str, option: str) -> float:
    """Seconds from "90", "90s", "30m", "1.5h" or "1h30m".

    Args:
        text: as it was typed.
        option: where, for the message.

    Raises:
        ConfigError: no such time.
    """
    line = text.strip().lower()
    parts = _TIME.findall(line)
    several = len(parts) > 1 and not all(unit for _, unit in parts)
    if not parts or several or "".join(number + unit for number, unit in parts) != line:
        raise ConfigError(f"{option}: expected a time such as 90s, 30m or 2h, got {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def read_bytes(text: str, option: str) -> int:
    """Bytes from "500MB", "2GiB" or "1000000".

    Args:
        text: as it was typed.
        option: where, for the message.

    Raises:
        ConfigError: no such size.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or found[2] not in _BYTES:
        raise ConfigError(f"{option}: expected a size such as 500MB or 2GiB, got {text!r}")
    return round(float(found[1]) * _BYTES[found[2]])
