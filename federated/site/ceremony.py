"""A site's part in making the federation's key; the coordinator's is `ceremony`.

Threat model: the coordinator may propose anything. A roster is signed here only under the fingerprint that the site's
operator has compared with the other members' over another channel: `approve`, or a fingerprint in the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ...core import FormatError
from ...privacy import KeyGrant, PublicIdentity, Roster, RosterError, SiteFolder, read_document, write_document
from ..errors import ApprovalNeededError, PlanError
from ..protocol.ceremony import CeremonyStep
from ..protocol.queries import ANSWER_DOMAIN

PROPOSED: Final = "roster-proposed.json"  # in the folder of the keys


class SiteCeremony:
    """Answers the coordinator's documents.

    Args:
        folder: the site's keys.
        coordinator: whom the site was admitted by; no other one may be in a roster.
        passphrase: of the folder.
        fingerprint: of a roster that is signed without being asked; None leaves every one to `approve`.
        received: told when another key is in force.
        proposed: told of a roster that waits to be compared, once.
    """

    def __init__(
        self,
        folder: SiteFolder,
        coordinator: PublicIdentity,
        *,
        passphrase: str | None = None,
        fingerprint: str | None = None,
        received: Callable[[], object] = lambda: None,
        proposed: Callable[[Roster], object] = lambda roster: None,
    ) -> None:
        self._folder = folder
        self.coordinator = coordinator
        self._passphrase = passphrase
        self._received = received
        self._proposed = proposed
        self._told = ""
        self._fingerprint = None if fingerprint is None else _digits(fingerprint)

    def sign_answer(self, message: bytes) -> bytes:
        """The site's signature of an answer, 64 bytes."""
        return self._folder.identity(self._passphrase).sign(ANSWER_DOMAIN, message)

    def answer(self, step: CeremonyStep, document: str) -> str:
        """Take a step.

        Args:
            step: "sign" answers with the signed roster, "issue" with the grant, "receive" with the key's id.
            document: JSON: the roster, all signatures in it, or the grant.

        Raises:
            ApprovalNeededError: the site's operator has not compared this roster yet; it is kept to be looked at.
            RosterError: not a roster for this site, or one that does not follow what is known.
            FormatError: no such document.
        """
        if step == "sign":
            return self._sign(Roster.from_json(document))
        if step == "issue":
            return self._folder.issue(Roster.from_json(document), self._passphrase).to_json()
        key_id = self._folder.receive(KeyGrant.from_json(document), self._passphrase).key_id
        self._received()
        return key_id

    def _sign(self, roster: Roster) -> str:
        if roster.coordinator is None or roster.coordinator != self.coordinator:
            raise PlanError(f"a roster of another coordinator than {self.coordinator.name}, who admitted this site")
        roster.check_names(self._folder.public())
        signed = self._folder.signed_roster()
        if signed is not None and signed.sha256 == roster.sha256:
            return signed.to_json()
        if self._fingerprint == roster.sha256:
            return self._folder.sign(roster, self._passphrase, replace=True).to_json()
        write_document(self._folder.path / PROPOSED, roster, replace=True)
        if self._told != roster.sha256:
            self._told = roster.sha256
            self._proposed(roster)
        raise ApprovalNeededError(
            f"the roster of epoch {roster.epoch} waits to be compared: its fingerprint is {roster.fingerprint}",
            hint="compare it with the other sites in a call, then: nasturtium federate approve",
        )


def proposed_roster(folder: SiteFolder) -> Roster | None:
    """The roster that waits to be compared; None if there is none, or it was signed.

    Raises:
        FormatError: its file is damaged.
    """
    path = folder.path / PROPOSED
    if not path.exists():
        return None
    roster = read_document(path)
    if not isinstance(roster, Roster):
        raise FormatError(f"{path} is no roster", hint="delete it; the coordinator proposes it again")
    signed = folder.signed_roster()
    return None if signed is not None and signed.sha256 == roster.sha256 else roster


def approve(folder: SiteFolder, fingerprint: str, passphrase: str | None = None) -> Roster:
    """Sign the roster that waits, whose fingerprint was compared with the other sites'.

    Args:
        folder: the site's keys.
        fingerprint: as the others told it, not as it stands in a file from the coordinator.
        passphrase: of the folder.

    Raises:
        RosterError: none waits, or it has another fingerprint.
        KeyFileError: a key file cannot be used or written.
    """
    roster = proposed_roster(folder)
    if roster is None:
        raise RosterError(
            f"no roster waits in {folder.path}", hint="it comes from the coordinator, while the site's client runs"
        )
    if _digits(fingerprint) != roster.sha256:
        raise RosterError(
            "the fingerprint of the proposed roster is not the one you were told",
            hint="do not sign; the coordinator may have shown the others another list of members",
        )
    signed = folder.sign(roster, passphrase, replace=True)
    Path(folder.path / PROPOSED).unlink(missing_ok=True)
    return signed


def _digits(fingerprint: str) -> str:
    return re.sub(r"[\s:]", "", fingerprint).lower()
