"""Certificates for servers of this machine that talk to this machine only: the SuperLink's, and the tunnel's.

Flower's authentication of nodes needs TLS even on loopback. Each start makes an authority for one certificate and
forgets the authority's key, so that nobody can make a second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...privacy import write_file
from .certificates import AUTHORITY_LIFE, issue_server, make_authority, to_pem
from .fields import now_utc
from .transport_key import TransportKey, public_key

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackPem:
    """A certificate, its private key, and the authority to check it with, as PEM."""

    certificate: str
    key: str
    authority: str

    @classmethod
    def make(cls, name: str) -> LoopbackPem:
        """For localhost, 127.0.0.1 and ::1, for ten years: as long as any process runs."""
        authority_key, key, now = TransportKey.generate(), TransportKey.generate(), now_utc()
        authority = make_authority(authority_key.private, name, now)
        certificate = issue_server(
            authority, authority_key.private, public_key(key.point), LOOPBACK_HOSTS, now, AUTHORITY_LIFE
        )
        return cls(certificate=to_pem(certificate), key=key.pem(), authority=to_pem(authority))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackFiles:
    """The same in files, for a server that is another program."""

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> LoopbackFiles:
        """Write `NAME.pem`, `NAME.key` and `NAME-ca.pem`, in the place of those of an earlier start.

        Args:
            folder: its owner's alone.
            name: of the server.

        Raises:
            KeyFileError: they cannot be written.
        """
        made = LoopbackPem.make(name)
        files = cls(certificate=folder / f"{name}.pem", key=folder / f"{name}.key", authority=folder / f"{name}-ca.pem")
        write_file(files.key, made.key, replace=True)
        write_file(files.certificate, made.certificate, replace=True)
        write_file(files.authority, made.authority, replace=True)
        return files
