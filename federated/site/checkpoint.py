"""How a site that has missed rounds gets to where the others are: the state of another one, sealed to it.

    the donor's signature, 64 bytes | a sealed box of the session, without what is the donor's alone

Both are bound to run, round, donor, recipient, roster and key: a box for one site opens at no other, one of an earlier
round is not taken for a later, and none of another federation.

Threat model: the coordinator carries it and learns its length. It cannot read it, nor have it sealed to a site that is
no member of the donor's own roster. The recipient takes the state on the donor's word; what then differs from the
majority's shows in the next round, by the tag of the model, and another donor is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...core import canonical_json
from ...privacy import Identity, PrivacyError, PublicIdentity, seal
from ..errors import PlanError, Refusal
from ..protocol.queries import CheckpointRequest
from .session import Prepare, Session
from .state import session_from_bytes, session_to_bytes

CHECKPOINT_DOMAIN: Final = "checkpoint v1"
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Peers:
    """The other sites, as this one knows them by itself.

    Attributes:
        members: all members of its roster, by id.
        roster_sha256: of that roster.
    """

    members: Mapping[str, PublicIdentity]
    roster_sha256: str

    def find(self, site: str) -> PublicIdentity:
        """A member by its id.

        Raises:
            PlanError: there is none.
        """
        if site not in self.members:
            raise PlanError(f"no member of the roster has the id {site!r:.40}", refusal=Refusal.KEY)
        return self.members[site]


def seal_checkpoint(
    session: Session, request: CheckpointRequest, *, donor: Identity, peers: Peers, key_id: str
) -> bytes:
    """The state of a run for another site.

    Args:
        session: of the donor.
        request: what for.
        donor: this site.
        peers: its roster.
        key_id: of the key that all members have.

    Raises:
        PlanError: the recipient is no member, or the donor is at another round.
    """
    if request.donor != donor.public.id or session.round != request.round:
        raise PlanError(
            f"asked for the state of {request.donor[:16]} after round {request.round} of run {request.run}: "
            f"this is {donor.public.id[:16]}, after round {session.round}",
            refusal=Refusal.ORDER,
        )
    recipient = peers.find(request.recipient)
    context = _context(request, peers, key_id)
    box = seal(recipient.sealing_key, session_to_bytes(session, shared_only=True), context)
    return donor.sign(CHECKPOINT_DOMAIN, _signed(box, context)) + box


def open_checkpoint(
    request: CheckpointRequest, *, recipient: Identity, peers: Peers, key_id: str, prepare: Prepare
) -> Session:
    """The state in a checkpoint.

    Args:
        request: as it was passed on.
        recipient: this site.
        peers: its roster.
        key_id: of the key that all members have.
        prepare: see `Prepare`.

    Raises:
        PlanError: it is not for this site, not signed by the member it says it is of, or of another run or round.
        PrivacyError: it cannot be opened.
        FormatError: what is in it is no state.
    """
    donor = peers.find(request.donor)
    if request.recipient != recipient.public.id:
        raise PlanError(f"a checkpoint for {request.recipient[:16]!r}", refusal=Refusal.ORDER)
    context = _context(request, peers, key_id)
    signature, box = request.box[:_SIGNATURE_BYTES], request.box[_SIGNATURE_BYTES:]
    try:
        donor.verify(CHECKPOINT_DOMAIN, _signed(box, context), signature)
    except PrivacyError as exc:
        raise PlanError(f"a checkpoint that {donor.name} has not signed", refusal=Refusal.SIGNATURE) from exc
    session = session_from_bytes(recipient.unseal(box, context), prepare)
    if (session.agreed.run, session.round) != (request.run, request.round):
        raise PlanError(
            f"{donor.name} has sealed round {session.round} of run {session.agreed.run} for round {request.round} "
            f"of run {request.run}",
            refusal=Refusal.ORDER,
        )
    return session


def _context(request: CheckpointRequest, peers: Peers, key_id: str) -> bytes:
    """What a box is bound to."""
    parts = [request.run, request.round, request.donor, request.recipient, peers.roster_sha256, key_id]
    return CHECKPOINT_DOMAIN.encode() + b"\0" + canonical_json(parts).encode()


def _signed(box: bytes, context: bytes) -> bytes:
    return hashlib.sha256(context).digest() + hashlib.sha256(box).digest()
