"""`nasturtium keys`: who a site is, who takes part, and the key they share."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import click
import typer

from ..core import ConfigError, FormatError
from ..privacy import KeyFolder, KeyGrant, PublicIdentity, Roster, RosterError, read_document, write_document
from .key_lines import describe, describe_folder, document_lines, folder_lines
from .options import Json, argument, option
from .output import print_json, stderr, stdout

_TRIES = 3  # at a passphrase that is typed
PASSPHRASE = "NASTURTIUM_PASSPHRASE"  # noqa: S105 - the name of a variable

app = typer.Typer(no_args_is_help=True, suggest_commands=False, add_completion=False)
Keys = Annotated[Path, option("--keys", help="The folder with this party's keys.")]
Identities = Annotated[list[Path], argument(metavar="IDENTITY...", help="identity.pub.json files of members.")]
Coordinator = Annotated[Path | None, option("--coordinator", help="identity.pub.json of who sums.")]
_OUTPUT = "The file to write; none is replaced."
RosterFile = Annotated[Path | None, option("--output", "-o", help=_OUTPUT, show_default="roster-EPOCH.json")]
GrantFile = Annotated[Path | None, option("--output", "-o", help=_OUTPUT, show_default="grant-EPOCH.json")]
Rosters = Annotated[
    list[Path], argument(metavar="ROSTER [COPY]...", help="The roster, and copies whose signatures are gathered.")
]
_FOLDER = Path("nasturtium.keys")


@app.callback()
def keys() -> None:
    """Make and exchange the keys of a federation. The coordinator carries files and never gets the key itself.

    init: each party, the coordinator too, makes an identity and gives away identity.pub.json.

    propose, sign: one member lists all; members compare the roster's fingerprint in a call, and sign it.

    issue, receive: the issuer makes the key; members open it, the coordinator takes note.

    rotate: drafts the next roster, without a member or with a new one, for a new key.

    A passphrase is taken from NASTURTIUM_PASSPHRASE, or asked for on the terminal.
    """


@app.command()
def init(
    name: Annotated[str, argument(help="Of this party, as the others will see it.")],
    passphrase: Annotated[bool, option("--passphrase", help="Ask for a passphrase to protect the keys with.")] = False,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Make a new identity in a folder of keys; with a passphrase if NASTURTIUM_PASSPHRASE has one."""
    words = os.environ.get(PASSPHRASE)
    if words is None and passphrase:
        words = _ask_twice()
    folder = KeyFolder.create(keys, name, words)
    _print(describe_folder(folder), folder_lines(folder), as_json=as_json)
    _note(
        f"send {keys / 'identity.pub.json'} to the member that proposes the roster, and nothing else from this folder\n"
        "that member, once it has the files of all: nasturtium keys propose IDENTITY... --coordinator IDENTITY"
    )


@app.command("show")
def show_keys(
    file: Annotated[Path | None, argument(help="An identity, a roster or a grant instead of the folder.")] = None,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Show the identity, members and keys of a folder, or what a file is; no passphrase is needed."""
    if file is not None:
        document = read_document(file)
        _print(describe(document), document_lines(document), as_json=as_json)
        return
    folder = KeyFolder(keys)
    _print(describe_folder(folder), folder_lines(folder), as_json=as_json)


@app.command()
def propose(
    identities: Identities,
    coordinator: Coordinator = None,
    issuer: Annotated[
        str | None, option("--issuer", help="Member that makes the key.", show_default="this one")
    ] = None,
    output: RosterFile = None,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Draft the first roster: this party and the IDENTITY files of the other members."""
    own = KeyFolder(keys).public()
    members = [own, *(each for path in identities if (each := _identity(path)).id != own.id)]
    roster = Roster.draft(members, issuer=issuer or own.name, coordinator=coordinator and _identity(coordinator))
    _write_draft(roster, _output(output, "roster", roster, keys), as_json=as_json)


@app.command()
def rotate(
    without: Annotated[list[str] | None, option("--without", help="Name of a member that goes.")] = None,
    add: Annotated[list[Path] | None, option("--add", help="identity.pub.json of a new member.")] = None,
    issuer: Annotated[
        str | None, option("--issuer", help="Member that makes the new key.", show_default="who made the last")
    ] = None,
    coordinator: Coordinator = None,
    output: RosterFile = None,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Draft the next roster: members go, come, or only get a new key. The old one is used until then."""
    grant = KeyFolder(keys).grant()
    if grant is None:
        raise RosterError(f"no grant is in force in {keys}", hint="the first roster is made by nasturtium keys propose")
    roster = grant.roster.successor(
        add=[_identity(path) for path in add or ()],
        without=without or (),
        issuer=issuer,
        coordinator=coordinator and _identity(coordinator),
    )
    _write_draft(roster, _output(output, "roster", roster, keys), as_json=as_json)


@app.command()
def sign(
    rosters: Rosters,
    fingerprint: Annotated[
        str | None,
        option("--fingerprint", help="The roster's, as the others told it: then you are not asked."),
    ] = None,
    replace: Annotated[
        bool, option("--replace", help="Although another roster for its epoch was signed here.")
    ] = False,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Sign ROSTER, once its fingerprint was compared with the other members' over another channel.

    The file gets the signature, and those of the copies. A fingerprint from the same mail as the file proves nothing.
    """
    folder = KeyFolder(keys)
    roster = _gather(rosters)
    roster.check_names(folder.public())
    _confirm(roster, folder, fingerprint)
    signed = folder.sign(roster, _passphrase(folder), replace=replace)
    write_document(rosters[0], signed, replace=True)
    _print(describe(signed), document_lines(signed), as_json=as_json)
    _note_signatures(signed, rosters[0])


@app.command()
def issue(
    rosters: Rosters,
    output: GrantFile = None,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Make the key for the members of ROSTER, which all have signed, and write the grant for them."""
    from ..privacy import SiteFolder

    folder = SiteFolder(keys)
    roster = _gather(rosters)
    path = _output(output, "grant", roster, keys)
    grant = folder.issue(roster, _passphrase(folder))
    write_document(path, grant)
    _print(describe(grant), [*document_lines(grant), "", _in_force_now(grant)], as_json=as_json)
    _note(f"send {path} to everybody else, the coordinator too, who then: nasturtium keys receive {path}")


@app.command()
def receive(
    grant: Annotated[Path, argument(help="From the issuer, however it came here.")],
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Put GRANT in force: a member opens its key, the coordinator takes note of the members and the key's id."""
    document = read_document(grant)
    if not isinstance(document, KeyGrant):
        raise FormatError(f"{grant} is no grant", hint="nasturtium keys issue makes one")
    folder = KeyFolder(keys)
    own, roster = folder.public(), document.roster
    # Whoever signed is or was a member; a name alone may be that of a member whose key was exchanged.
    if own != roster.coordinator and (folder.signed_roster() or own.name in (each.name for each in roster.members)):
        # Imported by members alone: no process of a coordinator loads what can decrypt.
        from ..privacy import SiteFolder

        SiteFolder(keys).receive(document, _passphrase(folder))
    else:
        folder.follow(document)
    _print(describe(document), [*document_lines(document), "", _in_force_now(document)], as_json=as_json)


@app.command()
def verify(
    files: Annotated[
        list[Path] | None, argument(metavar="[FILE]...", help="Rosters and grants to check instead of the folder.")
    ] = None,
    keys: Keys = _FOLDER,
    as_json: Json = False,
) -> None:
    """Open and check all that is in the folder, or check that files are signed by all who must."""
    if files:
        documents = [read_document(path) for path in files]
        for document in documents:
            if isinstance(document, Roster):
                document.verify()
        rows = [describe(document) for document in documents]
        lines = [line for document in documents for line in document_lines(document)]
        _print(rows, [*lines, "", "all is whole, and signed by all who must"], as_json=as_json)
        return
    folder = KeyFolder(keys)
    if folder.key_ids():
        from ..privacy import SiteFolder

        folder = SiteFolder(keys)
    folder.verify(_passphrase(folder))
    grant = folder.grant()
    in_force = f"epoch {grant.roster.epoch} is in force, key {grant.key_id}" if grant else "no key is in force yet"
    _print([describe_folder(folder)], [*folder_lines(folder), "", f"all is whole: {in_force}"], as_json=as_json)


def _passphrase(folder: KeyFolder) -> str | None:
    """That of a folder's private keys; one that is typed wrong is asked for again.

    Raises:
        ConfigError: one is needed, and nobody is there to ask.
    """
    given = os.environ.get(PASSPHRASE)
    if given is not None or not folder.protected:
        return given
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the keys in {folder.path} are under a passphrase, and there is no terminal to ask at",
            hint=f"put it into the variable {PASSPHRASE}",
        )
    prompt = f"Passphrase of {folder.path}: "
    for _ in range(_TRIES - 1):
        if folder.opens(words := getpass.getpass(prompt)):
            return words
        _note("that is not the passphrase: try again")
    return getpass.getpass(prompt)


def passphrase_of(keys: Path | None) -> str | None:
    """That of a folder of keys, asked for where it is needed; for new ones what NASTURTIUM_PASSPHRASE has."""
    return os.environ.get(PASSPHRASE) if keys is None else _passphrase(KeyFolder(keys))


def _ask_twice() -> str:
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a passphrase", hint=f"put it into the variable {PASSPHRASE}")
    words = getpass.getpass(f"New passphrase, at least {KeyFolder.min_passphrase} letters: ")
    if getpass.getpass("The same again: ") != words:
        raise ConfigError("the two passphrases differ", hint="nothing was made: try again")
    return words


def _confirm(roster: Roster, folder: KeyFolder, fingerprint: str | None) -> None:
    """Go on only if the roster is the one the other members have, as far as a human knows."""
    if fingerprint is not None:
        told = re.sub(r"[\s:]", "", fingerprint).lower()
        if told != roster.sha256:
            raise RosterError(
                "the fingerprint of this roster is not the one you were told",  # nor shown, ready to be pasted
                hint="do not sign: ask the others which one they have; a key in it may have been exchanged",
            )
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "signing needs the roster's fingerprint, as the other members told it, and there is no terminal to ask at",
            hint="add --fingerprint",
        )
    grant = folder.grant()
    stderr().print("\n".join(document_lines(roster, grant and grant.roster)), soft_wrap=True)
    changes = ", and is every change meant" if grant else ""
    question = f"Did the other members tell you this fingerprint over another channel{changes}?"
    if not click.confirm(question, err=True):
        _note("nothing was signed")
        raise typer.Exit(1)


def _gather(paths: list[Path]) -> Roster:
    """The roster in the first file with the signatures of all."""
    documents = [read_document(path) for path in paths]
    for path, document in zip(paths, documents, strict=True):
        if not isinstance(document, Roster):
            raise FormatError(f"{path} is no roster", hint="nasturtium keys propose makes one")
    first, *copies = cast(list[Roster], documents)
    for copy in copies:
        first = first.merged(copy)
    return first


def _identity(path: Path) -> PublicIdentity:
    document = read_document(path)
    if not isinstance(document, PublicIdentity):
        raise FormatError(f"{path} is no identity", hint="each party has one in its folder: identity.pub.json")
    return document


def _output(given: Path | None, what: str, roster: Roster, keys: Path) -> Path:
    """The file to write, by default with the epoch in its name: that of the last one is not in the way."""
    path = given or Path(f"{what}-{roster.epoch}.json")
    if path.parent.resolve() == keys.resolve():
        raise ConfigError(
            f"{path} would be in the folder of the keys, which keeps files of its own under such names",
            hint="name a file elsewhere: --output",
        )
    return path


def _in_force_now(grant: KeyGrant) -> str:
    return f"in force from now on: epoch {grant.roster.epoch}, key {grant.key_id}"


def _write_draft(roster: Roster, output: Path, *, as_json: bool) -> None:
    write_document(output, roster)
    _print(describe(roster), document_lines(roster), as_json=as_json)
    _note(f"send {output} to the members: each compares the fingerprint with the others in a call, then:")
    _note(f"  nasturtium keys sign {output}")


def _note_signatures(roster: Roster, path: Path) -> None:
    issuer = roster.member(roster.issuer).name
    if missing := [member.name for member in roster.unsigned]:
        _note(f"not signed yet by {', '.join(missing)}: pass {path} on to {missing[0]}, who signs next")
        _note(f"or each signs a copy, and {issuer} gathers them: nasturtium keys issue {path} COPY...")
    else:
        _note(f"signed by all: pass {path} on to {issuer}, who can make the key: nasturtium keys issue {path}")


def _print(document: Mapping[str, Any] | list[dict[str, Any]], lines: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        stdout().print("\n".join(lines), soft_wrap=True)


def _note(text: str) -> None:
    stderr().print(text, soft_wrap=True)
