"""`AgreementStore`: what a site keeps of its agreements on its own disk: each a JSON file that only its owner can read.

The file holds what all sites have agreed on, means and names among it; never rows, nor a key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from ...core import FormatError, canonical_json, parse_json
from ..errors import SiteStateError
from ..site.state import write_private

_RUN: Final = re.compile(r"[0-9A-Za-z]{1,26}")
_MOST_BYTES: Final = 2**28


class AgreementStore:
    """Documents by the ULID of their agreement.

    Args:
        folder: the site's own; made where there is none. None keeps them in memory, for simulation.

    Raises:
        SiteStateError: the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, str] = {}
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as exc:
                raise SiteStateError(f"{folder}: {exc.strerror or exc}", hint="check its permissions") from exc

    def load(self, run: str) -> Mapping[str, Any] | None:
        """What was saved of an agreement last; None where nothing was.

        Raises:
            SiteStateError: it cannot be read, or is damaged.
        """
        if self._folder is None:
            text = self._memory.get(run)
            return None if text is None else json.loads(text)
        path = self._path(run)
        try:
            if not path.exists():
                return None
            if path.stat().st_size > _MOST_BYTES:
                raise SiteStateError(f"{path}: too large for what it should be")
            checksum, _, text = path.read_text().partition("\n")
            if hashlib.sha256(text.encode()).hexdigest() != checksum:
                raise FormatError("its checksum differs")
            value = parse_json(text)
            if not isinstance(value, dict):
                raise FormatError("expected an object")
        except (OSError, ValueError) as exc:
            raise SiteStateError(f"{path}: {exc}", hint="remove the file, and have the sites agree again") from exc
        return cast(dict[str, Any], value)

    def save(self, run: str, document: Mapping[str, Any]) -> None:
        """Keep a document in place of the last one; when this returns, it is on the disk.

        Raises:
            SiteStateError: it cannot be written.
        """
        text = canonical_json(document)
        if self._folder is None:
            self._memory[run] = text
            return
        write_private(self._path(run), f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())

    def _path(self, run: str) -> Path:
        assert self._folder is not None
        if not _RUN.fullmatch(run):
            raise SiteStateError(f"no name of an agreement: {run!r:.60}")
        return self._folder / f"{run}.agreement"
