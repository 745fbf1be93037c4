"""A site's part in giving the model of a run to somebody: it consents to what it has, and seals it if most do.

Threat model: the coordinator asks for this. It cannot have the model sealed to another key than the one that most sites
have signed for: a site counts their consents itself, by its own roster. Who the party is says its id, which the policy
names; the coordinator a site knows from its admission. What the party does with the model is in nobody's power here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from ...privacy import Identity, PublicIdentity, UpdateRejectedError, seal
from ..errors import PlanError, Refusal
from ..protocol.release import (
    RELEASE_DOMAIN,
    ReleaseConsent,
    ReleaseRequest,
    check_consents,
    commit,
    consent_message,
    fewest_consents,
    party_name,
)
from .checkpoint import Peers


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as a site would give it.

    Attributes:
        model: its bytes, the same at all sites.
        nonce: of the commitment; the same at all sites of a key, and known to nobody else.
    """

    model: bytes
    nonce: bytes

    @classmethod
    def make(cls, run: str, model: bytes, key: bytes | None) -> Offer:
        """The offer of a run's model.

        Args:
            run: its ULID.
            model: its bytes.
            key: of all sites, for this purpose; None where updates are in the clear, and the model no secret.
        """
        return cls(model, hmac.new(key or bytes(32), b"release\0" + run.encode(), hashlib.sha256).digest())

    @property
    def commitment(self) -> str:
        """Names the model."""
        return commit(self.nonce, self.model)


def check_party(request: ReleaseRequest, coordinator: PublicIdentity) -> PublicIdentity:
    """Who gets the model.

    Raises:
        PlanError: the request calls it by another's name.
    """
    party = request.identity
    if request.party != party_name(party, coordinator):
        raise PlanError(
            f"the model is asked for by {party_name(party, coordinator)!r:.120}, as {request.party!r:.120}",
            refusal=Refusal.SIGNATURE,
        )
    return party


def consent_to(offer: Offer, request: ReleaseRequest, *, site: Identity, coordinator: PublicIdentity) -> ReleaseConsent:
    """The consent of this site; its policy has been asked.

    Raises:
        PlanError: as of `check_party`.
    """
    party, size = check_party(request, coordinator), len(offer.model)
    message = consent_message(request.run, party.id, offer.commitment, size)
    return ReleaseConsent(commitment=offer.commitment, size=size, signature=site.sign(RELEASE_DOMAIN, message))


def seal_offer(offer: Offer, request: ReleaseRequest, *, peers: Peers, coordinator: PublicIdentity) -> bytes:
    """The model for the party alone, once most members have consented to give it this one.

    Raises:
        PlanError: they have not, this site has another model, or as of `check_party`.
    """
    party, size = check_party(request, coordinator), len(offer.model)
    if (request.commitment, request.size) != (offer.commitment, size):
        raise PlanError("most sites have another model than this one", refusal=Refusal.ORDER)
    message = consent_message(request.run, party.id, offer.commitment, size)
    try:
        check_consents(
            request.consents, list(peers.members.values()), message, fewest=fewest_consents(len(peers.members))
        )
    except UpdateRejectedError as exc:
        raise PlanError(f"the model is not given out: {exc.message}", refusal=Refusal.SIGNATURE) from exc
    return seal(party.sealing_key, offer.nonce + offer.model, RELEASE_DOMAIN.encode() + b"\0" + message)
