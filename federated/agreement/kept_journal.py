"""`KeptAgreementJournal`: an agreement on the coordinator's disk, to go on after a crash and to tell later sites of.

One JSON file, written whole: sums are small, some hundred thousand bytes in all, and ciphertexts the coordinator cannot
read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from ...core import FormatError, canonical_json, check_header, parse_json
from ..errors import SiteStateError
from ..site.state import write_private
from .journal import AgreementSum, MemoryAgreementJournal
from .question import Question

FORMAT: Final = "nasturtium.agreement-journal"
VERSION: Final = 1
_MOST_BYTES: Final = 2**31


class KeptAgreementJournal(MemoryAgreementJournal):
    """Keeps one agreement in a file.

    Args:
        path: of the file, in a folder that is there; what it holds is gone on with.
        authorise: see `AgreementJournal.authorise`.

    Raises:
        SiteStateError: the file cannot be read, or is damaged.
    """

    def __init__(self, path: Path, authorise: Callable[[int], str] = lambda number: "") -> None:
        super().__init__(authorise)
        self._path = path
        try:
            if path.exists():
                if path.stat().st_size > _MOST_BYTES:
                    raise FormatError("it is too large for what it should be")
                self._read(parse_json(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SiteStateError(
                f"{path}: {exc}", hint="move the file away, and have the sites agree again under another name"
            ) from exc

    def open_attempt(self, number: int) -> int:
        """See `AgreementJournal`."""
        attempt = super().open_attempt(number)
        self._write()
        return attempt

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """See `AgreementJournal`."""
        super().note_survivors(number, attempt, survivors)
        self._write()

    def close(self, number: int, found: AgreementSum) -> None:
        """See `AgreementJournal`."""
        super().close(number, found)
        self._write()

    def _write(self) -> None:
        sums = [
            {"question": each.question, "attempt": each.attempt, "total": base64.b64encode(each.total).decode()}
            for each in self.sums
        ]
        document = {
            "format": FORMAT,
            "version": VERSION,
            "attempts": {str(number): attempts for number, attempts in self._attempts.items()},
            "survivors": {str(number): sorted(sites) for number, sites in self._survivors.items()},
            "sums": sums,
        }
        write_private(self._path, canonical_json(document).encode())

    def _read(self, value: object) -> None:
        fields = cast(dict[str, Any], check_header(value, FORMAT, VERSION))
        self._attempts = {int(number): int(attempts) for number, attempts in fields["attempts"].items()}
        self._survivors = {int(number): frozenset(map(str, sites)) for number, sites in fields["survivors"].items()}
        for place, each in enumerate(fields["sums"], 1):
            if Question.from_json(each["question"]).number != place:
                raise FormatError(f"its sum {place} answers another question")
            try:
                total = base64.b64decode(each["total"], validate=True)
            except binascii.Error as exc:
                raise FormatError(f"its sum {place} is damaged") from exc
            self.sums.append(AgreementSum(each["question"], int(each["attempt"]), total))
