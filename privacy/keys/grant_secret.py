"""Making an aggregation key for the members of a roster, and opening it. For members; never for a coordinator.

Whoever opens the grant has the key of all members: a member in league with the coordinator can read what is under the
key alone, which is why updates are masked as well (`masking`).
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..errors import PrivacyError, RosterError
from ..rlwe_secret import SecretKey
from .grant import GRANT_DOMAIN, WRAPPING_KEY_BYTES, KeyGrant, box_context, grant_message, wrap_context
from .identity_secret import Identity
from .roster import Roster
from .sealed import seal

_NONCE: Final = bytes(12)  # of a key used once


def issue_key(identity: Identity, roster: Roster) -> tuple[KeyGrant, SecretKey]:
    """Make a new key, and the grant that brings it to every member.

    Args:
        identity: of the issuer.
        roster: signed by all its members.

    Raises:
        RosterError: the roster is not complete, or names another issuer.
    """
    roster.verify()
    if identity.public.id != roster.issuer:
        issuer = roster.member(roster.issuer).name
        raise RosterError(
            f"{identity.public.name} does not make the key at epoch {roster.epoch}: {issuer} does",
            hint="the issuer is part of what the members signed",
        )
    key = SecretKey.generate()
    wrapping = secrets.token_bytes(WRAPPING_KEY_BYTES)
    wrapped = ChaCha20Poly1305(wrapping).encrypt(_NONCE, key.to_bytes(), wrap_context(roster, key.key_id))
    boxes = tuple(seal(each.sealing_key, wrapping, box_context(roster, key.key_id, each.id)) for each in roster.members)
    signature = identity.sign(GRANT_DOMAIN, grant_message(roster, key.key_id, wrapped, boxes))
    return KeyGrant(roster=roster, key_id=key.key_id, wrapped=wrapped, boxes=boxes, signature=signature), key


def open_grant(identity: Identity, grant: KeyGrant, signed: Roster) -> SecretKey:
    """The key in a grant.

    Args:
        identity: of a member.
        grant: from anybody.
        signed: the roster that this member signed, from its own folder and not from who brought the grant.

    Raises:
        RosterError: the grant is old, for others or for another roster, or its key is not the one it names.
        PrivacyError: the member's box cannot be opened.
    """
    _check_is_for(identity, grant.roster, signed)
    if grant.roster.sha256 != signed.sha256:
        raise RosterError(
            f"the grant is for another roster (epoch {grant.roster.epoch}) than the one signed here (epoch"
            f" {signed.epoch})",
            hint="compare the fingerprints with the other members; somebody may have exchanged a key",
        )
    place = [member.id for member in grant.roster.members].index(identity.public.id)
    wrapping = identity.unseal(grant.boxes[place], box_context(grant.roster, grant.key_id, identity.public.id))
    try:
        context = wrap_context(grant.roster, grant.key_id)
        key = SecretKey.from_bytes(ChaCha20Poly1305(wrapping).decrypt(_NONCE, grant.wrapped, context))
    except (InvalidTag, PrivacyError, ValueError):  # ValueError: the wrapping key is of another size
        key = None
    if key is None or key.key_id != grant.key_id:
        raise RosterError("the sealed key is not the one the grant names: its issuer made it wrong")
    return key


def _check_is_for(identity: Identity, roster: Roster, signed: Roster) -> None:
    """Tell what is only late, or for others, from a roster that somebody may have made up."""
    own, members = identity.public, {member.id for member in roster.members}
    if roster.epoch < signed.epoch:
        raise RosterError(
            f"an old grant: it is of epoch {roster.epoch}, and the roster of epoch {signed.epoch} was signed here",
            hint="ask the issuer for the newest grant",
        )
    renamed = own.id not in members and any(member.name == own.name for member in roster.members)
    of_ours = any(member.id in members for member in signed.members)
    if own.id not in members and not renamed and of_ours and roster.epoch > signed.epoch:
        raise RosterError(
            f"you are not in the roster of epoch {roster.epoch}: you were taken out",
            hint=f"ask its members if {own.name} should be in it; the key you have still opens the sums made under it",
        )
    roster.check_names(own)
