"""Identities, rosters, grants and folders of keys as plain documents, and as lines for people."""

from __future__ import annotations

from typing import Any

from ..privacy import KeyFolder, KeyGrant, PublicIdentity, Roster
from .output import count

Document = PublicIdentity | Roster | KeyGrant


def describe(document: Document) -> dict[str, Any]:
    """A document as plain JSON values."""
    if isinstance(document, PublicIdentity):
        return {"is": "identity", "name": document.name, "id": document.id, "fingerprint": document.fingerprint}
    if isinstance(document, KeyGrant):
        return {"is": "grant", "key_id": document.key_id, "roster": describe(document.roster)}
    members = zip(document.members, document.signatures, strict=True)
    return {
        "is": "roster",
        "epoch": document.epoch,
        "sha256": document.sha256,
        "fingerprint": document.fingerprint,
        "previous": document.previous,
        "issuer": document.member(document.issuer).name,
        "coordinator": document.coordinator and describe(document.coordinator),
        "members": [{**describe(member), "signed": signature is not None} for member, signature in members],
        "complete": not document.unsigned,
    }


def describe_folder(folder: KeyFolder) -> dict[str, Any]:
    """What is in a folder as plain JSON values."""
    roster, grant = folder.signed_roster(), folder.grant()
    return {
        "is": "folder",
        "path": str(folder.path),
        "protected": folder.protected,
        "identity": describe(folder.public()),
        "signed": roster and describe(roster),
        "in_force": grant and describe(grant),
        "key_ids": list(folder.key_ids()),
    }


def document_lines(document: Document, known: Roster | None = None) -> list[str]:
    """A document for people; of a roster also what is new since a `known` one."""
    if isinstance(document, PublicIdentity):
        return [f"identity     {document.name}", f"fingerprint  {document.fingerprint}"]
    if isinstance(document, KeyGrant):
        return [f"key          {document.key_id}", *document_lines(document.roster)]
    signed = len(document.members) - len(document.unsigned)
    lines = [
        f"roster       epoch {document.epoch}, signed by {signed} of {count(len(document.members), 'member')}",
        f"fingerprint  {document.fingerprint}",
        f"key made by  {document.member(document.issuer).name}",
    ]
    before = {party.id: party for party in _parties(known)} if known else {}
    names = {party.name.lower() for party in before.values()}
    for party in _parties(document):
        role = "coordinator" if party is document.coordinator else "member     "
        change = "" if not before or party.id in before else "  NEW KEY" if party.name.lower() in names else "  new"
        lines.append(f"{role}  {party.name}{change}\n             {party.fingerprint}")
    if document.coordinator is None:
        lines.append("coordinator  none")
    here = {party.name.lower() for party in _parties(document)}
    gone = [party.name for party in before.values() if party.name.lower() not in here]
    return lines + [f"gone         {name}" for name in gone]


def folder_lines(folder: KeyFolder) -> list[str]:
    """What is in a folder for people."""
    roster, grant = folder.signed_roster(), folder.grant()
    lines = [
        *document_lines(folder.public()),
        f"passphrase   {'yes' if folder.protected else 'none: the mode of the files is all that protects them'}",
    ]
    if grant is not None:
        lines += ["", "in force", *document_lines(grant)]
    if roster is not None and (grant is None or roster.sha256 != grant.roster.sha256):
        lines += ["", "signed, not in force", *document_lines(roster)]
    retired = folder.retired_key_ids()
    for key_id in folder.key_ids():
        if key_id in retired:
            lines.append(f"retired key  {key_id}")
        elif grant is None or key_id != grant.key_id:
            lines.append(f"unused key   {key_id}, which no grant here names")
    return lines


def _parties(roster: Roster) -> list[PublicIdentity]:
    members = sorted(roster.members, key=lambda member: member.name)
    return [*members, *([roster.coordinator] if roster.coordinator else [])]
