"""What a site's operator does before anything runs: make its folder, and approve whom it shares a key with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core import ConfigError, FormatError
from ...privacy import PublicIdentity, Roster, SiteFolder, check_name, write_file
from ..site.ceremony import approve, proposed_roster
from ..site.config import SiteConfig
from ..transport import Application, TransportKey

CONFIG: Final = "site.toml"
TRANSPORT_KEY: Final = "transport.key"  # in the folder of the keys


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSite:
    """What was made.

    Attributes:
        config: the file to edit, and to run the client with.
        identity: who it is.
        application: the file to send to the coordinator.
    """

    config: Path
    identity: PublicIdentity
    application: Path


def init_site(
    folder: Path, name: str, *, data: str = "data.csv", target: str = "label", passphrase: str | None = None
) -> NewSite:
    """Make the identity, the transport key and the configuration of a site, and what it sends to the coordinator.

    Args:
        folder: made where there is none; it has no `site.toml` yet.
        name: of the site, as the others see it.
        data: path of its data, relative to the folder or absolute; read when the client starts.
        target: the column to learn.
        passphrase: of the identity; None: only the files' modes protect the keys.

    Raises:
        ConfigError: no name of a party, or a file is there already.
        KeyFileError: a folder cannot be used, or has keys already.
    """
    try:
        check_name(name)
    except FormatError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from None
    path, application = folder / CONFIG, folder / f"{name}.pub"
    text = SiteConfig.template(name, data=data, target=target)
    for each in (path, application):
        if os.path.lexists(each):
            raise ConfigError(f"{each} is there already", hint="name another folder, or move it away if it may be")
    keys = SiteFolder.create(folder / "keys", name, passphrase)
    key = TransportKey.generate()
    key.save(keys.path / TRANSPORT_KEY)
    Application.make(keys.identity(passphrase), key).write(application)
    write_file(path, text, replace=False)
    return NewSite(config=path, identity=keys.public(), application=application)


def waiting_roster(config: SiteConfig) -> Roster | None:
    """The roster that waits for the site's approval; None if there is none."""
    return proposed_roster(SiteFolder(config.keys))


def approve_roster(config: SiteConfig, fingerprint: str, *, passphrase: str | None = None) -> Roster:
    """Sign the roster that waits, whose fingerprint was compared with the other sites'; see `site_ceremony.approve`."""
    return approve(SiteFolder(config.keys), fingerprint, passphrase)
