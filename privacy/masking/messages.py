"""What the parties of a masked round say to each other: fixed layouts, signed, and bound to one attempt at one round.

    kind 8 | plan 32 | sender 16 | body | signature 64

`plan` is the digest of the `MaskingPlan`, so that a message of another run, round, attempt, roster, modulus or
threshold is refused. The signature (Ed25519, in a domain of the kind) is the sender's over all that stands before it.
Bodies, in bytes:

    advert        mask key 32 | share key 32 | commitment to the self-mask seed 32
    shares        transcript 32 | recipient 16 | commitments to its two shares 32 + 32 | sealed box of the two 114
    confirmation  transcript 32 | digest of the sites that shared 32 | of those that survived 32
    reveal        the same 96 | a share of each site that shared, 33 each, in the order of ids

Several messages travel one after the other, in the order of their senders (of their recipients, where one site deals
shares). Whoever carries them can lose them, and nothing else. Lengths are checked before anything is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Self

from ..errors import MaskingError, UnknownSenderError, WrongRoundError
from ..keys.identity import SIGNATURE_BYTES, PublicIdentity
from ..keys.sealed import OVERHEAD
from .derivation import check_public_key
from .plan import MaskingPlan
from .shamir import PRIME, SHARE_BYTES

SEED: Final = b"s"  # the two kinds of shares
KEY: Final = b"k"
NO_SHARE: Final = b"\xff" * SHARE_BYTES  # above the field: where a site has no true share to reveal
_HASH_BYTES: Final = 32
_ID_BYTES: Final = 16
_HEAD_BYTES: Final = 8 + _HASH_BYTES + _ID_BYTES
_AGREEMENT_BYTES: Final = 3 * _HASH_BYTES

assert int.from_bytes(NO_SHARE, "big") >= PRIME

Members = Mapping[str, PublicIdentity]
"""The members of a roster by id."""


class Kind(NamedTuple):
    """A kind of message: the eight bytes it begins with, what its signature is for, and the bytes of its body."""

    magic: bytes
    domain: str
    body_bytes: int

    @property
    def size(self) -> int:
        """Bytes of a whole message."""
        return _HEAD_BYTES + self.body_bytes + SIGNATURE_BYTES


ADVERT: Final = Kind(b"nstmadv1", "mask advert v1", 3 * _HASH_BYTES)
SHARES: Final = Kind(b"nstmshr1", "mask shares v1", 3 * _HASH_BYTES + _ID_BYTES + OVERHEAD + 2 * SHARE_BYTES)
CONFIRMATION: Final = Kind(b"nstmcnf1", "mask confirmation v1", _AGREEMENT_BYTES)


def reveal_kind(sites: int) -> Kind:
    """The reveals of a round in which `sites` sites shared."""
    return Kind(b"nstmrev1", "mask reveal v1", _AGREEMENT_BYTES + sites * SHARE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """The ephemeral keys of a site."""

    sender: str
    mask_key: bytes
    share_key: bytes
    commitment: bytes

    @property
    def keys(self) -> tuple[bytes, bytes]:
        """Both keys; no two in an attempt are equal."""
        return self.mask_key, self.share_key

    @classmethod
    def parse(cls, plan: MaskingPlan, members: Members, data: bytes, sender: str | None = None) -> Self:
        """Check an advert from the wire.

        Raises:
            PrivacyError: it is none, of another attempt, not signed by a member, or a key in it is none.
        """
        sender, body = open_message(ADVERT, plan, members, data, sender)
        mask_key, share_key, commitment = body[:32], body[32:64], body[64:]
        check_public_key(mask_key, f"the mask key of {sender}")
        check_public_key(share_key, f"the share key of {sender}")
        return cls(sender=sender, mask_key=mask_key, share_key=share_key, commitment=commitment)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedShares:
    """What a site deals to another: a share of its self-mask seed and one of its mask key, sealed and committed to."""

    sender: str
    recipient: str
    commitments: Mapping[bytes, bytes]  # by kind of share
    box: bytes

    @classmethod
    def parse(
        cls, plan: MaskingPlan, members: Members, data: bytes, transcript: bytes, sender: str | None = None
    ) -> Self:
        """Check a message from the wire.

        Raises:
            PrivacyError: it is none, of another attempt or other adverts, or not signed by a member.
        """
        sender, body = open_message(SHARES, plan, members, data, sender)
        if body[:32] != transcript:
            raise MaskingError(f"shares of {sender} were dealt over other adverts")
        commitments = {SEED: body[48:80], KEY: body[80:112]}
        return cls(sender=sender, recipient=body[32:48].hex(), commitments=commitments, box=body[112:])

    def body(self, transcript: bytes) -> bytes:
        """What is signed, without its head."""
        commitments = self.commitments[SEED] + self.commitments[KEY]
        return transcript + bytes.fromhex(self.recipient) + commitments + self.box


def write_head(kind: Kind, plan: MaskingPlan, sender: str) -> bytes:
    """What a message of `sender` begins with."""
    return kind.magic + plan.digest + bytes.fromhex(sender)


def open_message(
    kind: Kind, plan: MaskingPlan, members: Members, data: bytes, sender: str | None = None
) -> tuple[str, bytes]:
    """Check a message from the wire.

    Args:
        kind: which it must be.
        plan: of the attempt.
        members: who may speak.
        data: the message.
        sender: whose it must be; None for any member's.

    Returns:
        The id of its sender, and its body.

    Raises:
        MaskingError: no message of that kind.
        WrongRoundError: of another attempt, or under another plan.
        UnknownSenderError: from no member, or from another one.
        SignatureError: changed or forged.
    """
    if len(data) != kind.size or data[:8] != kind.magic:
        raise MaskingError(f"no {kind.domain}: expected {kind.size} bytes, got {len(data)}")
    if data[8:40] != plan.digest:
        raise WrongRoundError(f"a {kind.domain} of another attempt, round or run, or made under another plan")
    name = data[40:_HEAD_BYTES].hex()
    if name not in members or sender not in (None, name):
        raise UnknownSenderError(f"a {kind.domain} in the name of {name}, who is not {sender or 'a member'}")
    members[name].verify(kind.domain, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])
    return name, data[_HEAD_BYTES:-SIGNATURE_BYTES]


def split(kind: Kind, data: bytes, limit: int) -> list[bytes]:
    """Messages of a kind that travel one after the other.

    Raises:
        MaskingError: not a whole number of them, or more than `limit`.
    """
    count, rest = divmod(len(data), kind.size)
    if rest or count > limit:
        raise MaskingError(f"expected up to {limit} times {kind.size} bytes of {kind.domain}, got {len(data)} bytes")
    return [data[i * kind.size : (i + 1) * kind.size] for i in range(count)]


def check_ascending(ids: Sequence[str], what: str) -> None:
    """Check that ids stand in order, so none twice.

    Raises:
        MaskingError: they do not.
    """
    if any(a >= b for a, b in pairwise(ids)):
        raise MaskingError(f"{what} are not in the order of ids, or one stands twice")


def parse_adverts(plan: MaskingPlan, members: Members, adverts: bytes) -> list[Advert]:
    """Check the adverts of all sites that take part in an attempt.

    Raises:
        PrivacyError: one is not what it must be, two share a key, or the sites are too few or too many.
    """
    found = [Advert.parse(plan, members, data) for data in split(ADVERT, adverts, len(members))]
    check_ascending([advert.sender for advert in found], "adverts")
    if len({key for advert in found for key in advert.keys}) != 2 * len(found):
        raise MaskingError("two adverts have a key in common")
    plan.check_dealing(len(found))
    return found


def transcript_of(adverts: bytes) -> bytes:
    """The digest of all adverts in order, which everything after them is bound to."""
    return hashlib.sha256(b"nasturtium mask transcript v1\0" + adverts).digest()


def box_context(transcript: bytes, dealer: str, recipient: str) -> bytes:
    """What the shares one site deals to another are sealed for."""
    return b"mask shares v1\0" + transcript + bytes.fromhex(dealer) + bytes.fromhex(recipient)


def agreement(transcript: bytes, shared: Iterable[str], survivors: Iterable[str]) -> bytes:
    """Over which adverts, among whom, and with whom left a mask is removed."""
    return transcript + digest_of_sites(shared) + digest_of_sites(survivors)


def digest_of_sites(sites: Iterable[str]) -> bytes:
    """The digest of a set of sites."""
    return hashlib.sha256(b"nasturtium mask sites v1\0" + b"".join(map(bytes.fromhex, sorted(sites)))).digest()
