"""`release_to` in a job: who is given its model in the end, if the sites do so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ...core import ConfigError, FormatError, NasturtiumError
from ...privacy import PublicIdentity, SignatureError, read_document
from ..settings import check_text

COORDINATOR: Final = "coordinator"  # this one, whatever its name is


def check_release_to(said: str | None) -> None:
    """Check what a job says.

    Args:
        said: `COORDINATOR`, the public identity of somebody else as JSON, or None for nobody.

    Raises:
        ConfigError: it is none of these.
    """
    if said in (None, COORDINATOR):
        return
    check_text("release_to", said)
    try:
        PublicIdentity.from_json(said)
    except (FormatError, SignatureError) as exc:
        raise ConfigError(
            f"release_to: {exc.message}", hint=f'write "{COORDINATOR}", or name an identity.pub.json'
        ) from exc


def read_release_to(said: Any, folder: Path) -> Any:
    """What a job keeps of what its file says: the identity itself where a file is named, all else as it is.

    Args:
        said: any value.
        folder: that files are relative to.

    Raises:
        ConfigError: the file is none of an identity.
    """
    if not isinstance(said, str) or said == COORDINATOR:
        return said
    path = folder / said
    try:
        party = read_document(path)
    except NasturtiumError as exc:
        raise ConfigError(f"release_to: {exc.message}", hint=exc.hint) from exc
    if not isinstance(party, PublicIdentity):
        raise ConfigError(f"release_to: {path} is no identity", hint="name the identity.pub.json of who gets the model")
    return party.to_json()


def find_recipient(said: str | None, coordinator: PublicIdentity) -> PublicIdentity | None:
    """Who is given the model; None: nobody.

    Args:
        said: as of `check_release_to`.
        coordinator: of the federation.
    """
    if said is None:
        return None
    return coordinator if said == COORDINATOR else PublicIdentity.from_json(said)
