"""The newest key a folder ever received, kept apart from its grant: one that is lost must not put an old key in force.

    {"format": "nasturtium.received", "version": 1, "epoch": ..., "key_id": ...}

It finds a file that was lost or restored too old. It is no protection against somebody who can write to the folder.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core import FormatError, canonical_json, check_header, parse_json
from ..errors import KeyFileError
from .files import read_file, write_file

RECEIVED_FORMAT: Final = "nasturtium.received"
RECEIVED_VERSION: Final = 1
_MAX_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Which key was put in force last.

    Attributes:
        epoch: of its roster, from 1.
        key_id: 32 hexadecimal digits.
    """

    epoch: int
    key_id: str


def read_received(path: Path) -> Received | None:
    """What `write_received` kept; None if there is no such file.

    Raises:
        KeyFileError: it is damaged.
    """
    if not os.path.lexists(path):
        return None
    try:
        document = check_header(
            parse_json(read_file(path, _MAX_BYTES, secret=False)), RECEIVED_FORMAT, RECEIVED_VERSION
        )
        epoch, key_id = document.get("epoch"), document.get("key_id")
    except FormatError:
        epoch = key_id = None
    if type(epoch) is int and epoch >= 1 and isinstance(key_id, str) and re.fullmatch(r"[0-9a-f]{32}", key_id):
        return Received(epoch=epoch, key_id=key_id)
    raise KeyFileError(f"{path} is damaged", hint="move it away and receive the newest grant again")


def write_received(path: Path, received: Received) -> None:
    """Keep what was received, in the place of what was before.

    Raises:
        KeyFileError: it cannot be written.
    """
    document = {"format": RECEIVED_FORMAT, "version": RECEIVED_VERSION, "epoch": received.epoch}
    write_file(path, canonical_json({**document, "key_id": received.key_id}) + "\n", replace=True)
