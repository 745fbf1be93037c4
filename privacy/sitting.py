"""What an update or a sum must belong to, and what is said of one that belongs elsewhere; the same on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .envelope import Header
from .errors import (
    MalformedUpdateError,
    UnknownSenderError,
    UpdateRejectedError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
)
from .scheme import Scheme

MIN_SUMMANDS: Final = 3  # each of two sites could subtract its own update from the sum and read the other's
# In this order: what is of another run is said to be that, and not of another round.
_ERRORS: Final[Mapping[str, type[UpdateRejectedError]]] = {
    "run": WrongRunError,
    "round": WrongRoundError,
    "attempt": WrongRoundError,
    "preset": WrongPresetError,
    "key_id": WrongKeyError,
    "layout": WrongLayoutError,
    "values": WrongLayoutError,
    "sender": UnknownSenderError,
    "summands": MalformedUpdateError,
    "ciphertexts": MalformedUpdateError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One attempt at one round of a run.

    Attributes:
        run: ULID of the federated run.
        round: from 1.
        attempt: from 1; a round that is run again has the next one.
        layout: SHA-256 of the layout all updates follow, as hex.
        values: how many numbers an update has.
    """

    run: str
    round: int
    layout: str
    values: int
    attempt: int = 1

    def header(self, scheme: Scheme, sender: str, *, summands: int = 1) -> Header:
        """The header of an update of `sender`, or of a sum."""
        return Header(
            preset=scheme.preset.identifier(scheme.scheme),
            key_id=scheme.key_id,
            run=self.run,
            round=self.round,
            attempt=self.attempt,
            sender=sender,
            layout=self.layout,
            values=self.values,
            summands=summands,
            ciphertexts=scheme.ciphertexts(self.values),
        )


def check_header(header: Header, expected: Header) -> None:
    """Compare what came with what belongs here.

    Raises:
        UpdateRejectedError: it does not belong here; the class says why.
    """
    for name, error in _ERRORS.items():
        if getattr(header, name) != getattr(expected, name):
            raise error(f"{name} is {getattr(header, name)!r:.100}, expected {getattr(expected, name)!r}")
