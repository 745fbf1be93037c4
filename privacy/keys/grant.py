"""How the aggregation key gets to the members: sealed to each of them, signed by the issuer, carried by anybody.

The issuer, a member that the roster names, makes the key, encrypts it under a wrapping key used once (ChaCha20-Poly1305
with a zero nonce), seals the wrapping key to every member, and signs all of that. The grant holds the complete roster,
so one file tells a member who takes part, under which key. A box opens only for its recipient, in the grant of this
roster, epoch and key. The coordinator passes the file on and takes from it whom to
expect and which key id; there is a box for each member and not one more.

The issuer is trusted with the key as every member is. The key id is a hash of the key, so all who open a grant have the
same one. This module reads grants; `keys.grant_secret` makes and opens them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from ...core import FormatError, canonical_json, check_header, parse_json
from ..errors import RosterError, SignatureError
from ..presets import DEGREE
from .identity import SIGNATURE_BYTES, parse_hex
from .roster import MAX_MEMBERS, MAX_ROSTER_BYTES, Roster
from .sealed import OVERHEAD

GRANT_FORMAT: Final = "nasturtium.key-grant"
GRANT_VERSION: Final = 1
GRANT_DOMAIN: Final = "key grant v1"
WRAPPING_KEY_BYTES: Final = 32
WRAPPED_BYTES: Final = 8 * DEGREE + 16
BOX_BYTES: Final = WRAPPING_KEY_BYTES + OVERHEAD
MAX_GRANT_BYTES: Final = MAX_ROSTER_BYTES + 2 * WRAPPED_BYTES + MAX_MEMBERS * (2 * BOX_BYTES + 4)  # as JSON
_FIELDS: Final = ("roster", "key_id", "wrapped", "boxes", "signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGrant:
    """An aggregation key for the members of a roster.

    Attributes:
        roster: signed by all its members.
        key_id: names the key, 32 hexadecimal digits.
        wrapped: the key under the wrapping key, 16,400 bytes.
        boxes: the wrapping key sealed to each member, in their order, 80 bytes each.
        signature: of all that by the issuer, 64 bytes.

    Raises:
        FormatError: a field that is none of its kind.
        RosterError: not all members signed the roster, or somebody else than its issuer the grant.
    """

    roster: Roster
    key_id: str
    wrapped: bytes
    boxes: tuple[bytes, ...]
    signature: bytes

    def __post_init__(self) -> None:
        self.roster.verify()
        parse_hex(self.key_id, 16, "a grant's key_id")
        if len(self.wrapped) != WRAPPED_BYTES:
            raise FormatError(f"a grant's wrapped key: expected {WRAPPED_BYTES} bytes, got {len(self.wrapped)}")
        if len(self.boxes) != len(self.roster.members) or any(len(box) != BOX_BYTES for box in self.boxes):
            raise FormatError(f"a grant's boxes: expected {len(self.roster.members)} of {BOX_BYTES} bytes")
        issuer = self.roster.member(self.roster.issuer)
        try:
            issuer.verify(
                GRANT_DOMAIN, grant_message(self.roster, self.key_id, self.wrapped, self.boxes), self.signature
            )
        except SignatureError as exc:
            raise RosterError(
                f"the grant is not signed by {issuer.name}, who makes the key at epoch {self.roster.epoch}",
                hint="it was changed, or somebody else made it: ask the issuer for it again",
            ) from exc

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; bytes as hexadecimal digits."""
        return {
            "format": GRANT_FORMAT,
            "version": GRANT_VERSION,
            "roster": self.roster.to_dict(),
            "key_id": self.key_id,
            "wrapped": self.wrapped.hex(),
            "boxes": [box.hex() for box in self.boxes],
            "signature": self.signature.hex(),
        }

    def to_json(self) -> str:
        """The grant as one line of canonical JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check JSON from outside.

        Raises:
            FormatError: no grant, of a newer version, or with a field too many, too few or of the wrong form.
            SignatureError: an identity in it was changed.
            RosterError: a signature is missing or not that of who should have signed.
        """
        if len(text) > MAX_GRANT_BYTES:
            raise FormatError(f"{GRANT_FORMAT}: expected at most {MAX_GRANT_BYTES} letters, got {len(text)}")
        document = check_header(parse_json(text), GRANT_FORMAT, GRANT_VERSION)
        if set(document) != {"format", "version", *_FIELDS}:
            raise FormatError(f"{GRANT_FORMAT}: expected the fields {', '.join(_FIELDS)}, got {', '.join(document)}")
        boxes = document["boxes"]
        if not isinstance(boxes, list):
            raise FormatError(f"{GRANT_FORMAT}: expected 'boxes' as a list")
        return cls(
            roster=Roster.from_dict(document["roster"]),
            key_id=document["key_id"],
            wrapped=parse_hex(document["wrapped"], WRAPPED_BYTES, "a grant's wrapped key"),
            boxes=tuple(parse_hex(box, BOX_BYTES, "a grant's box") for box in cast(list[object], boxes)),
            signature=parse_hex(document["signature"], SIGNATURE_BYTES, "a grant's signature"),
        )


def grant_message(roster: Roster, key_id: str, wrapped: bytes, boxes: tuple[bytes, ...]) -> bytes:
    """What the issuer signs: hash of the roster, key id, and the hash of the wrapped key and the boxes."""
    sealed = hashlib.sha256(b"".join((wrapped, *boxes))).digest()
    return bytes.fromhex(roster.sha256) + bytes.fromhex(key_id) + sealed


def wrap_context(roster: Roster, key_id: str) -> bytes:
    """What the wrapped key is bound to: roster, epoch, key id."""
    parts = bytes.fromhex(roster.sha256) + roster.epoch.to_bytes(8, "big") + bytes.fromhex(key_id)
    return GRANT_DOMAIN.encode() + b"\0" + parts


def box_context(roster: Roster, key_id: str, recipient: str) -> bytes:
    """What the box of the member with the id `recipient` is bound to: all that, and the member."""
    return wrap_context(roster, key_id) + bytes.fromhex(recipient)
