"""What a coordinator's operator does before anything runs: make its folder, admit sites and remove them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core import ConfigError, NasturtiumError
from ...privacy import KeyFolder, PublicIdentity, write_file
from ..transport import Admission, Application, Authority, Member
from .federation_config import DEFAULT_PORT, FederationConfig

CONFIG: Final = "federation.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCoordinator:
    """What was made.

    Attributes:
        config: the file to run the server with.
        identity: who it is; sites compare its fingerprint.
        authority_fingerprint: SHA-256 of the authority's certificate, for people.
    """

    config: Path
    identity: PublicIdentity
    authority_fingerprint: str


def init_coordinator(
    folder: Path, host: str, *, name: str = "coordinator", port: int = DEFAULT_PORT, passphrase: str | None = None
) -> NewCoordinator:
    """Make the identity, the authority, the server's certificate and the configuration of a coordinator.

    Args:
        folder: made where there is none; it has no `federation.toml` yet.
        host: name or IP address by which sites reach it.
        name: as the sites see it.
        port: on which.
        passphrase: of the identity; None: only the file's mode protects it.

    Raises:
        ConfigError: no such host, port or name, or the file is there already.
        KeyFileError: a folder cannot be used, or has keys already.
    """
    path = folder / CONFIG
    text = FederationConfig.template(name, host, port)
    if os.path.lexists(path):
        raise ConfigError(f"{path} is there already", hint="name another folder, or move it away if it may be")
    config = FederationConfig.from_dict(
        {"version": 1, "name": name, "host": host, "port": port}, folder.absolute(), where=str(path)
    )
    keys = KeyFolder.create(config.keys, name, passphrase)
    hosts = list(dict.fromkeys([config.address.host, "localhost", "127.0.0.1"]))
    authority = Authority.create(config.authority, name, hosts)
    write_file(path, text, replace=False)
    return NewCoordinator(config=path, identity=keys.public(), authority_fingerprint=authority.fingerprint)


def admit_site(config: FederationConfig, application: Path, *, passphrase: str | None = None) -> tuple[Admission, Path]:
    """Admit a site, or give a member a new certificate for the keys it has.

    Args:
        config: of the coordinator.
        application: the file that the site sent, whose fingerprint was compared.
        passphrase: of the coordinator's identity.

    Returns:
        The admission, and the file it is in, to be sent back: beside the application, none is replaced but an admission
        of the same site.

    Raises:
        ConfigError: the file cannot be read, or another member has the name, identity or key.
        FormatError, SignatureError: it is no application, or was changed.
        KeyFileError: a file cannot be read or written.
    """
    asked = Application.read(application)
    identity = KeyFolder(config.keys).identity(passphrase)
    authority = Authority(config.authority)
    path = application.with_name(f"{asked.name}.admission.json")
    known = authority.members.read().named(asked.name)
    same = known is not None and (known.identity, known.transport_key) == (asked.identity, asked.transport_key)
    if os.path.lexists(path) and not _is_admission_of(path, asked.name):
        raise ConfigError(f"{path} is there already, and no admission of {asked.name}", hint="move it away")
    if same:
        admission = authority.readmit(asked.name, identity, config.address)
    else:
        admission = authority.admit(asked, identity, config.address)
    admission.write(path, replace=True)
    return admission, path


def remove_site(config: FederationConfig, name: str) -> Member:
    """Remove a site: its connections end at once, and the key of the others changes before their next run.

    Raises:
        ConfigError: there is no such member.
        KeyFileError: the list cannot be read or written.
    """
    return Authority(config.authority).members.remove(name)


def _is_admission_of(path: Path, name: str) -> bool:
    try:
        return Admission.read(path).site == name
    except NasturtiumError:
        return False
