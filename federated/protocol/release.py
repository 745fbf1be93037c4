"""The values with which a run's model is given to somebody in the end: the sites decide, and one of them seals it.

    who, which run -> each site: a signed consent to what it has, or no -> a majority signs the same
    the consents -> one of these sites: the model, sealed to who gets it

A consent names the model by a commitment: the hash of its bytes and of a nonce that only the sites know, and whoever
opens the box learns. So the coordinator of a model that is for somebody else is told nothing to try its guesses with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from ...core import FormatError, canonical_json
from ...privacy import MIN_SUMMANDS, PublicIdentity, SignatureError, UpdateRejectedError
from ..errors import PlanError, Refusal

RELEASE_DOMAIN: Final = "release v1"
RELEASE_KEY: Final = b"release"  # the purpose of the key that nonces are made with
NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """A question whether a model is given out; with `consents` it asks for the model, sealed.

    Attributes:
        run: ULID of the federated run, which is over.
        party: who gets it, as policies name them; see `party_name`.
        recipient: the public identity of that party, as JSON.
        commitment, size: what was consented to; empty and 0 in the first question.
        consents: signatures of sites, by their ids; empty in the first question.
    """

    run: str
    party: str
    recipient: str
    commitment: str = ""
    size: int = 0
    consents: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def round(self) -> int:
        """None: the rounds are over."""
        return 0

    @property
    def attempt(self) -> int:
        """None, as of a round."""
        return 0

    @property
    def identity(self) -> PublicIdentity:
        """Who gets the model.

        Raises:
            PlanError: it is no identity.
        """
        try:
            return PublicIdentity.from_json(self.recipient)
        except (FormatError, SignatureError) as exc:
            raise PlanError(f"the model is asked for by nobody: {exc.message}", refusal=Refusal.MESSAGE) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseConsent:
    """That a site gives a model to somebody.

    Attributes:
        commitment: names the model; see `commit`.
        size: of the model, bytes.
        signature: of `consent_message`, by the site, 64 bytes.
    """

    commitment: str
    size: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedModel:
    """A model under way: all that is needed to check and open it, but the recipient's key.

    Attributes:
        run: ULID of the run.
        party: who gets it.
        recipient: the same as an identity.
        commitment, size: of the model.
        consents: signatures of sites, by their ids.
        donor: name of the site that sealed it.
        box: for the recipient alone.
    """

    run: str
    party: str
    recipient: PublicIdentity
    commitment: str
    size: int
    consents: Mapping[str, bytes]
    donor: str
    box: bytes


def party_name(party: PublicIdentity, coordinator: PublicIdentity) -> str:
    """How policies name a party: the coordinator, whom a site knows, by its name; others by name and id, for anybody
    can make an identity of any name.
    """
    return coordinator.name if party == coordinator else f"{party.name}:{party.id}"


def commit(nonce: bytes, model: bytes) -> str:
    """Names a model to whoever has it and the nonce, and tells others nothing, as hex."""
    return hashlib.sha256(RELEASE_DOMAIN.encode() + b"\0" + nonce + hashlib.sha256(model).digest()).hexdigest()


def consent_message(run: str, recipient: str, commitment: str, size: int) -> bytes:
    """What a site signs, and what a box is for.

    Args:
        run: ULID of the run.
        recipient: id of who gets the model.
        commitment: of the model.
        size: of the model, bytes.
    """
    return canonical_json([run, recipient, commitment, size]).encode()


def fewest_consents(members: int, min_sites: int = MIN_SUMMANDS) -> int:
    """How many sites of a roster have to consent: more than half, and no fewer than a sum needs.

    Args:
        members: of the roster.
        min_sites: of the job; at least three count.
    """
    return max(MIN_SUMMANDS, min_sites, members // 2 + 1)


def check_consents(
    consents: Mapping[str, bytes],
    members: Collection[PublicIdentity],
    message: bytes,
    *,
    fewest: int,
) -> tuple[str, ...]:
    """The names of the sites that have consented, in order.

    Args:
        consents: signatures by id.
        members: of the roster.
        message: see `consent_message`.
        fewest: how many have to.

    Raises:
        UpdateRejectedError: too few have, or one has not signed this.
    """
    known = {member.id: member for member in members}
    names: list[str] = []
    for site, signature in consents.items():
        if site not in known:
            raise UpdateRejectedError(f"a consent of {site!r:.40}, which is no member")
        known[site].verify(RELEASE_DOMAIN, message, signature)
        names.append(known[site].name)
    if len(names) < fewest:
        raise UpdateRejectedError(f"{len(names)} sites of {len(known)} have consented, expected at least {fewest}")
    return tuple(sorted(names))
