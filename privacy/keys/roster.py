"""Who takes part: the members of a federation, named by their keys and signed by every one of them.

A roster lists the members' public identities, the coordinator's, and the issuer, the member that makes the aggregation
key. Every member signs its hash. It counts only once all have, so nobody is a member, or is left out, behind the back
of another. The coordinator carries rosters and signs none: a key that it puts in the place of a member's gives another
hash. People find that out by comparing one thing over another channel, the roster's fingerprint: members that read out
the same one, each on the list under its own key, have the right keys of all. Without that comparison a coordinator can
show each site a consortium of its own invention, signatures and all.

Membership changes by a new roster. It has the next epoch and names the hash of the one before, so an old roster that
is sent again, or a second one for the same epoch, is found by whoever knows a newer one. What is not protected: that a
member is who people take it for, and that two members are not the same people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self, cast

from ...core import FormatError, canonical_json, check_header, parse_json
from ..errors import RosterError, SignatureError, UnknownSenderError
from ..presets import MAX_CLIENTS, MIN_SUMMANDS
from .identity import SIGNATURE_BYTES, PublicIdentity, parse_hex

if TYPE_CHECKING:
    from .identity_secret import Identity

ROSTER_FORMAT: Final = "nasturtium.roster"
ROSTER_VERSION: Final = 1
ROSTER_DOMAIN: Final = "roster v1"
MIN_MEMBERS: Final = MIN_SUMMANDS  # a key for fewer is of no use: sums of fewer than three sites are not formed
MAX_MEMBERS: Final = MAX_CLIENTS
MAX_ROSTER_BYTES: Final = 2**20  # as JSON; a thousand members with the longest names need 0.7 MB
_MAX_EPOCH: Final = 2**31 - 1
_FIELDS: Final = ("epoch", "members", "coordinator", "issuer", "previous", "signatures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The members at one epoch, and their signatures so far.

    Attributes:
        epoch: from 1; a change of members or of the key makes the next one.
        members: 3 to 1000, ascending by id; no two parties share a name (in either case) or a key.
        coordinator: who sums, and signs the sums; not a member. None: it is agreed elsewhere.
        issuer: id of the member that makes the aggregation key.
        previous: SHA-256 of the roster before, hexadecimal; None exactly for epoch 1.
        signatures: each member's, in their order; None where it has not signed. Those there are are valid.
        sha256: what the members sign: the hash of the canonical JSON without the signatures, hexadecimal.

    Raises:
        RosterError: it contradicts itself, or a signature is not its member's.
    """

    epoch: int
    members: tuple[PublicIdentity, ...]
    coordinator: PublicIdentity | None
    issuer: str
    previous: str | None
    signatures: tuple[bytes | None, ...]
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        if type(self.epoch) is not int or not 1 <= self.epoch <= _MAX_EPOCH:
            raise RosterError(f"a roster's epoch: expected an integer from 1, got {self.epoch!r:.40}")
        if not MIN_MEMBERS <= len(self.members) <= MAX_MEMBERS:
            raise RosterError(
                f"expected {MIN_MEMBERS} to {MAX_MEMBERS} members, got {len(self.members)}",
                hint="sums of fewer than three sites are never formed, so a key for them is of no use: propose with the"
                " identity.pub.json of more members, rotate with --add of one"
                if len(self.members) < MIN_MEMBERS
                else None,
            )
        if (self.previous is None) != (self.epoch == 1):
            raise RosterError(f"the roster of epoch {self.epoch} {'names' if self.previous else 'lacks'} one before it")
        if self.coordinator is not None and self.coordinator in self.members:
            raise RosterError(
                f"{self.coordinator.name} is the coordinator, and cannot be a member as well: who sums gets no key",
                hint="a site of the same people needs an identity of its own: nasturtium keys init",
            )
        _check_distinct([*self.members, *([self.coordinator] if self.coordinator else [])])
        ids = [member.id for member in self.members]
        if ids != sorted(ids):
            raise RosterError("the members of a roster are not in the order of their ids")
        if self.issuer not in ids:
            raise RosterError(f"the issuer {self.issuer!r:.40} is not a member", hint="a member makes the key")
        if len(self.signatures) != len(self.members):
            raise RosterError(f"{len(self.members)} members, but places for {len(self.signatures)} signatures")
        unsigned = {name: value for name, value in self.to_dict().items() if name != "signatures"}
        object.__setattr__(self, "sha256", hashlib.sha256(canonical_json(unsigned).encode()).hexdigest())
        message = bytes.fromhex(self.sha256)
        for member, signature in zip(self.members, self.signatures, strict=True):
            if signature is not None:
                try:
                    member.verify(ROSTER_DOMAIN, message, signature)
                except SignatureError as exc:
                    raise RosterError(
                        f"the signature of {member.name} is not for this roster: something in it was changed",
                        hint="do not sign it; ask its members for the fingerprint of what they signed",
                    ) from exc

    @classmethod
    def draft(
        cls,
        members: Iterable[PublicIdentity],
        *,
        issuer: str,
        coordinator: PublicIdentity | None = None,
        previous: Roster | None = None,
    ) -> Self:
        """A roster that nobody has signed yet: the first, or the one after `previous`.

        Args:
            members: in any order.
            issuer: name of the member that makes the key.
            coordinator: who sums.
            previous: the complete roster before.

        Raises:
            RosterError: it would contradict itself, or `previous` is not signed by all its members.
        """
        if previous is not None:
            previous.verify()
        ordered = tuple(sorted(members, key=lambda member: member.id))
        return cls(
            epoch=previous.epoch + 1 if previous else 1,
            members=ordered,
            coordinator=coordinator,
            issuer=_named(ordered, issuer).id,
            previous=previous.sha256 if previous else None,
            signatures=(None,) * len(ordered),
        )

    def successor(
        self,
        *,
        add: Iterable[PublicIdentity] = (),
        without: Iterable[str] = (),
        issuer: str | None = None,
        coordinator: PublicIdentity | None = None,
    ) -> Roster:
        """A draft of the next roster: members come, go, or stay as they are and get a new key.

        Args:
            add: identities of new members.
            without: names of members that go.
            issuer: name of the member that makes the new key; None: who made the last one.
            coordinator: a new one; None: as before.

        Raises:
            RosterError: this roster is not complete, a name is no member's, or the draft would contradict itself.
        """
        gone = {_named(self.members, name).id for name in without}
        if issuer is None and self.issuer in gone:
            raise RosterError(
                "the issuer of the last key goes", hint="say which member makes the new one: --issuer NAME"
            )
        return Roster.draft(
            [*(member for member in self.members if member.id not in gone), *add],
            issuer=issuer or self.member(self.issuer).name,
            coordinator=coordinator or self.coordinator,
            previous=self,
        )

    @property
    def fingerprint(self) -> str:
        """The hash for people to compare: hexadecimal digits in groups of four."""
        digest = self.sha256
        return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))

    @property
    def unsigned(self) -> tuple[PublicIdentity, ...]:
        """The members whose signatures are missing."""
        pairs = zip(self.members, self.signatures, strict=True)
        return tuple(member for member, signature in pairs if signature is None)

    def member(self, identifier: str) -> PublicIdentity:
        """The member with this id.

        Raises:
            UnknownSenderError: there is none.
        """
        for member in self.members:
            if member.id == identifier:
                return member
        raise UnknownSenderError(f"{identifier!r:.80} is no member at epoch {self.epoch}")

    def check_names(self, party: PublicIdentity) -> None:
        """Check that `party` is a member, under this very key.

        Raises:
            RosterError: it is not, or somebody else has its name.
        """
        if any(member.id == party.id for member in self.members):
            return
        if any(member.name == party.name for member in self.members):
            raise RosterError(
                f"the roster has another key under the name {party.name}: it was exchanged, or is an old one",
                hint="do not sign; give the others your identity.pub.json again and compare its fingerprint",
            )
        raise RosterError(
            f"{party.name} is not a member in this roster", hint="it is for others, or a draft without you"
        )

    def signed(self, identity: Identity) -> Self:
        """A copy of this roster with the member's signature.

        Raises:
            RosterError: it is not a member.
        """
        self.check_names(identity.public)
        return self._with({identity.public.id: identity.sign(ROSTER_DOMAIN, bytes.fromhex(self.sha256))})

    def merged(self, other: Roster) -> Self:
        """One copy with the signatures of both.

        Raises:
            RosterError: the other one is not a copy.
        """
        if other.sha256 != self.sha256:
            raise RosterError(
                f"not copies of one roster: {self.sha256[:16]}... of epoch {self.epoch} and {other.sha256[:16]}... of"
                f" epoch {other.epoch}"
            )
        pairs = zip(other.members, other.signatures, strict=True)
        return self._with({member.id: signature for member, signature in pairs if signature is not None})

    def _with(self, more: dict[str, bytes]) -> Self:
        pairs = zip(self.members, self.signatures, strict=True)
        return replace(self, signatures=tuple(more.get(member.id, signature) for member, signature in pairs))

    def verify(self) -> None:
        """Check that every member has signed.

        Raises:
            RosterError: somebody has not.
        """
        if missing := self.unsigned:
            names = ", ".join(member.name for member in missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise RosterError(
                f"the roster of epoch {self.epoch} is not signed by {len(missing)} of its {len(self.members)} members:"
                f" {names}",
                hint="it counts once all have signed it",
            )

    def check_follows(self, known: Roster) -> None:
        """Check that this roster can come after one that is known: of a later epoch, and of the same history.

        Where epochs in between were missed, the history cannot be seen from here.

        Raises:
            RosterError: it is an old one, another one for the same epoch, or continues another history.
        """
        if self.epoch < known.epoch:
            raise RosterError(f"an old roster: epoch {self.epoch}, and that of epoch {known.epoch} is known here")
        if self.epoch == known.epoch and self.sha256 != known.sha256:
            raise RosterError(f"another roster for epoch {self.epoch} than the one known here")
        if self.epoch == known.epoch + 1 and self.previous != known.sha256:
            raise RosterError(f"the roster of epoch {self.epoch} does not continue the one of epoch {known.epoch} here")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; bytes as hexadecimal digits."""
        return {
            "format": ROSTER_FORMAT,
            "version": ROSTER_VERSION,
            "epoch": self.epoch,
            "members": [member.to_dict() for member in self.members],
            "coordinator": self.coordinator and self.coordinator.to_dict(),
            "issuer": self.issuer,
            "previous": self.previous,
            "signatures": [signature and signature.hex() for signature in self.signatures],
        }

    def to_json(self) -> str:
        """The roster as one line of canonical JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """Parse and check what `to_dict` made.

        Raises:
            FormatError: no roster, of a newer version, or with a field too many, too few or of the wrong form.
            SignatureError: an identity in it was changed.
            RosterError: it contradicts itself, or a signature is not its member's.
        """
        document = check_header(value, ROSTER_FORMAT, ROSTER_VERSION)
        if set(document) != {"format", "version", *_FIELDS}:
            raise FormatError(f"{ROSTER_FORMAT}: expected the fields {', '.join(_FIELDS)}, got {', '.join(document)}")
        coordinator, previous = document["coordinator"], document["previous"]
        return cls(
            epoch=document["epoch"],
            members=tuple(PublicIdentity.from_dict(member) for member in _list(document, "members")),
            coordinator=None if coordinator is None else PublicIdentity.from_dict(coordinator),
            issuer=parse_hex(document["issuer"], 16, "a roster's issuer").hex(),
            previous=None if previous is None else parse_hex(previous, 32, "a roster's previous").hex(),
            signatures=tuple(
                None if each is None else parse_hex(each, SIGNATURE_BYTES, "a roster's signature")
                for each in _list(document, "signatures")
            ),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse JSON from outside; see `from_dict`."""
        if len(text) > MAX_ROSTER_BYTES:
            raise FormatError(f"{ROSTER_FORMAT}: expected at most {MAX_ROSTER_BYTES} letters, got {len(text)}")
        return cls.from_dict(parse_json(text))


def _named(members: Sequence[PublicIdentity], name: str) -> PublicIdentity:
    for member in members:
        if member.name == name:
            return member
    raise RosterError(f"no member is called {name!r:.80}", hint=f"members: {', '.join(m.name for m in members[:20])}")


def _check_distinct(parties: Sequence[PublicIdentity]) -> None:
    """No two are the same, or could be taken for each other, or can open the other's boxes."""
    for what, values in {
        "name": [party.name.lower() for party in parties],
        "signing key": [party.signing_key for party in parties],
        "sealing key": [party.sealing_key for party in parties],
    }.items():
        if len(set(values)) != len(parties):
            first = next(i for i, value in enumerate(values) if value in values[:i])
            raise RosterError(f"two parties of a roster have the same {what}: {parties[first].name} is the second")


def _list(document: Any, name: str) -> list[object]:
    value = document[name]
    if not isinstance(value, list) or len(cast(list[object], value)) > MAX_MEMBERS:
        raise FormatError(f"{ROSTER_FORMAT}: expected {name!r} as a list of at most {MAX_MEMBERS}")
    return cast(list[object], value)
