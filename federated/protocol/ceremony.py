"""How a federation gets its key: the coordinator proposes who takes part and carries what the sites sign and seal.

Admission to the network gives no key. The coordinator drafts a roster of the sites it has admitted; at each site its
operator compares the fingerprint with the others over another channel and signs it; the issuer, one of the sites, makes
the key and seals it to each member. A member that comes or goes makes the next roster, and so a new key.

Threat model: as `privacy.keys.roster` and `privacy.keys.grant`. The coordinator may delay, or propose whom it likes;
it gets no key, and no site signs what its operator has not compared. This module runs at the coordinator and opens
nothing; the sites' side is `site_ceremony`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from ...core import NasturtiumError
from ...privacy import KeyFolder, KeyGrant, PublicIdentity, Roster, RosterError
from ..errors import CeremonyPendingError

CeremonyStep = Literal["sign", "issue", "receive"]
Ask = Callable[[CeremonyStep, Mapping[str, str]], Mapping[str, str]]  # documents by site id; the answers that came

logger = logging.getLogger(__name__)


def draft_roster(folder: KeyFolder, members: Iterable[PublicIdentity]) -> Roster | None:
    """The roster of these members that follows the one in force; the same whenever it is asked for.

    Args:
        folder: of the coordinator.
        members: those that were admitted, in any order.

    Returns:
        The draft; None where the key in force is already these members'.

    Raises:
        RosterError: it would contradict itself: too few members, or two of the same name.
    """
    coordinator, grant = folder.public(), folder.grant()
    wanted = sorted(members, key=lambda member: member.id)
    if grant is not None and list(grant.roster.members) == wanted and grant.roster.coordinator == coordinator:
        return None
    previous = None if grant is None else grant.roster
    if not wanted:
        raise RosterError("no site is admitted", hint="nasturtium federate admit SITE.pub")
    stays = previous is not None and any(member.id == previous.issuer for member in wanted)
    issuer = previous.member(previous.issuer) if previous is not None and stays else wanted[0]
    return Roster.draft(wanted, issuer=issuer.name, coordinator=coordinator, previous=previous)


def hold_ceremony(folder: KeyFolder, members: Iterable[PublicIdentity], ask: Ask) -> KeyGrant:
    """Bring the key of these members into being, or as far as the sites that answer let it come.

    Asking again goes on where the last time stopped: sites keep what they signed and received.

    Args:
        folder: of the coordinator; keeps the grant.
        members: those that were admitted.
        ask: sends a document to each site and collects what they answer, by site id; whoever does not answer is left
            out.

    Returns:
        The grant in force, which the sites that answered have received.

    Raises:
        CeremonyPendingError: a site has not signed, made or received yet.
        RosterError: a roster of these members would contradict itself.
    """
    wanted = list(members)
    draft = draft_roster(folder, wanted)
    if draft is None:
        grant = folder.grant()
        assert grant is not None
    else:
        roster = _collect_signatures(draft, ask)
        grant = _collect_grant(roster, ask)
        folder.follow(grant)
    received = ask("receive", {member.id: grant.to_json() for member in grant.roster.members})
    waiting = sorted(member.name for member in grant.roster.members if received.get(member.id) != grant.key_id)
    if waiting:
        raise CeremonyPendingError(
            f"{_names(waiting)} {'has' if len(waiting) == 1 else 'have'} not received the key of epoch "
            f"{grant.roster.epoch} yet{_of_all(waiting, grant.roster)}",
            waiting=tuple(waiting),
            grant=grant,
        )
    return grant


def _collect_signatures(draft: Roster, ask: Ask) -> Roster:
    roster = draft
    for site, answer in ask("sign", {member.id: draft.to_json() for member in draft.members}).items():
        try:
            roster = roster.merged(Roster.from_json(answer))
        except NasturtiumError as exc:
            logger.warning("no signature from %s: %s", draft.member(site).name, exc.message)
    missing = sorted(member.name for member in roster.unsigned)
    if missing:
        raise CeremonyPendingError(
            f"{_names(missing)} {'has' if len(missing) == 1 else 'have'} not signed the roster of epoch "
            f"{roster.epoch} yet{_of_all(missing, roster)}; its fingerprint is {roster.fingerprint}",
            hint="at each of these sites, once the fingerprint was compared: nasturtium federate approve",
            waiting=tuple(missing),
        )
    return roster


def _collect_grant(roster: Roster, ask: Ask) -> KeyGrant:
    issuer = roster.member(roster.issuer)
    answer = ask("issue", {issuer.id: roster.to_json()}).get(issuer.id)
    if answer is None:
        raise CeremonyPendingError(f"{issuer.name}, which makes the key, has not answered yet", waiting=(issuer.name,))
    try:
        grant = KeyGrant.from_json(answer)
    except NasturtiumError as exc:
        raise CeremonyPendingError(
            f"{issuer.name} has not made the key: {exc.message}", waiting=(issuer.name,)
        ) from exc
    if grant.roster.sha256 != roster.sha256:
        raise CeremonyPendingError(f"{issuer.name} made a key for another roster", waiting=(issuer.name,))
    return grant


def _of_all(missing: list[str], roster: Roster) -> str:
    """How many members have done what some have not."""
    return f" ({len(roster.members) - len(missing)} of {len(roster.members)} sites did)"


def _names(names: list[str]) -> str:
    shown = names[:5] + ([f"{len(names) - 5} more"] if len(names) > 5 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
