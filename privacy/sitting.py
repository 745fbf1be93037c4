"""What an update or a sum must belong to, and what is said of one that belongs elsewhere; the same on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..core import ConfigError, canonical_json
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
from .presets import Preset
from .scheme import NO_KEY, Scheme
from .sum_tag import SumTag, tag_symbols

ID_BYTES: Final = 16
# In this order: what is of another run is said to be that, and not of another round.
_ERRORS: Final[Mapping[str, type[UpdateRejectedError]]] = {
    "run": WrongRunError,
    "round": WrongRoundError,
    "attempt": WrongRoundError,
    "preset": WrongPresetError,
    "masked": WrongPresetError,
    "tagged": WrongPresetError,
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
        masked: whether updates are masked under the encryption.
        tagged: whether updates carry a `SumTag`, where there is a key for it. Without, the coordinator is trusted not
            to tamper with what it sums: it may add noise, and nothing tells that from anything else.
    """

    run: str
    round: int
    layout: str
    values: int
    attempt: int = 1
    masked: bool = False
    tagged: bool = True

    def __post_init__(self) -> None:
        if self.masked and not self.tagged:
            raise ConfigError("masked updates are tagged", hint="masks and noise of the coordinator exclude each other")

    def symbols(self, scheme: Scheme) -> int:
        """How many symbols are protected: the values, and a tag where there is a key to make it with."""
        with_tag = self.tagged and scheme.key_id != NO_KEY
        return self.values + (tag_symbols(scheme.preset) if with_tag else 0)

    def tag(self, key: bytes, preset: Preset) -> SumTag:
        """Makes and checks the tags of this attempt.

        Args:
            key: 32 bytes that only the sites have.
            preset: of the sums.
        """
        context = [self.run, self.round, self.attempt, self.layout, self.values, preset.name]
        return SumTag(key, canonical_json(context).encode(), preset)

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
            ciphertexts=scheme.ciphertexts(self.symbols(scheme)),
            masked=self.masked,
            tagged=self.tagged,
        )


def check_header(header: Header, expected: Header) -> None:
    """Compare what came with what belongs here.

    Raises:
        UpdateRejectedError: it does not belong here; the class says why.
    """
    for name, error in _ERRORS.items():
        if getattr(header, name) != getattr(expected, name):
            raise error(f"{name} is {getattr(header, name)!r:.100}, expected {getattr(expected, name)!r}")


def write_senders(senders: Iterable[str]) -> bytes:
    """The ids of the sites in a sum, 16 bytes each and in order: what its body begins with."""
    return b"".join(map(bytes.fromhex, sorted(senders)))


def read_senders(data: bytes) -> tuple[str, ...]:
    """The inverse of `write_senders`.

    Raises:
        MalformedUpdateError: not in order, or one stands twice.
    """
    senders = tuple(data[start : start + ID_BYTES].hex() for start in range(0, len(data), ID_BYTES))
    if any(first >= second for first, second in pairwise(senders)):
        raise MalformedUpdateError("the senders of a sum are not in the order of their ids, or one stands twice")
    return senders
