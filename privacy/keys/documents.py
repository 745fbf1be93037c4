"""The files that parties exchange: identities, rosters and grants. Nothing in them is secret, all of it is checked.

A file may come from anybody, so it is bounded before it is parsed, and what is returned is signed by whom it says. That
does not make it the right one: who signed has to be compared, see `roster`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from ...core import ConfigError, FormatError, NasturtiumError, parse_json
from .files import write_file
from .grant import GRANT_FORMAT, MAX_GRANT_BYTES, KeyGrant
from .identity import IDENTITY_FORMAT, PublicIdentity
from .roster import ROSTER_FORMAT, Roster

Document = PublicIdentity | Roster | KeyGrant
_KINDS: Final[Mapping[str, type[PublicIdentity] | type[Roster] | type[KeyGrant]]] = {
    IDENTITY_FORMAT: PublicIdentity,
    ROSTER_FORMAT: Roster,
    GRANT_FORMAT: KeyGrant,
}


def read_document(path: Path) -> Document:
    """What is in a file.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is none of these.
        SignatureError: an identity in it was changed.
        RosterError: a roster in it contradicts itself, or a signature is missing or not that of who should have signed.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_GRANT_BYTES + 1)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(f"cannot read {path}: {reason}", hint="check the path") from exc
    try:
        if len(text) > MAX_GRANT_BYTES:
            raise FormatError("too long to be an identity, a roster or a grant")
        document = parse_json(text)
        form = cast(dict[str, object], document).get("format") if isinstance(document, dict) else None
        if not isinstance(form, str) or form not in _KINDS:
            raise FormatError("neither an identity, a roster nor a grant")
        return _KINDS[form].from_json(text)
    except NasturtiumError as exc:
        raise type(exc)(f"{path}: {exc.message}", hint=exc.hint) from exc


def write_document(path: Path, document: Document, *, replace: bool = False) -> None:
    """Write a document for others to read.

    Args:
        path: the file.
        document: what to write.
        replace: write it although there is a file of that name.

    Raises:
        KeyFileError: there is one, or it cannot be written.
    """
    write_file(path, document.to_json() + "\n", replace=replace)
