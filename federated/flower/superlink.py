"""The coordinator's SuperLink: a child on loopback that runs no app itself and admits known SuperNodes only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FederationError
from .bounded_log import LOG_BYTES
from .environment import LOOPBACK
from .processes import FlowerServer

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files of a TLS server on loopback."""

    certificate: Path  # names 127.0.0.1
    key: Path
    authority: Path  # the certificate authority that clients check it with


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """All it takes to run a server app on a SuperLink."""

    address: str  # host:port
    secret: bytes = field(repr=False)  # proves that we may run its tasks
    authority: bytes | None  # PEM; None: plain HTTP


class SuperLink(FlowerServer):
    """Flower's SuperLink as a child.

    Everything that faces the network is somebody else's: its port takes orders from whoever reaches it.

    Args:
        folder: its own: its log, its secret, and its state if that is kept.
        tls: its certificate; without one it serves plain HTTP and admits any SuperNode, which is for tests.
        keep_state: keep runs and messages in SQLite, so that a restarted SuperLink goes on with them, at the price
            of slower messages; nodes and runs of one in memory end with it.
        log_bytes: as of `FlowerServer`.
    """

    def __init__(
        self, folder: Path, tls: ServerTls | None, *, keep_state: bool = False, log_bytes: int = LOG_BYTES
    ) -> None:
        super().__init__("flower-superlink", folder, self._line, log_bytes=log_bytes)
        self._tls, self._keep_state = tls, keep_state
        self._secret = make_secret(folder)

    @property
    def link(self) -> Link:
        """What the coordinator reaches it by; the same after a restart."""
        authority = None if self._tls is None else self._tls.authority.read_bytes()
        return Link(address=self.address, secret=self._secret, authority=authority)

    def _line(self, port: int) -> Sequence[str]:
        line = ["--host", LOOPBACK, "--port", str(port), "--isolation", "process"]
        line += ["--superexec-auth-secret-file", str(secret_path(self.folder))]
        line += ["--disable-runtime-dependency-installation"]
        if self._keep_state:
            line += ["--database", str(self.folder / "state.db")]
        if self._tls is None:
            return [*line, "--insecure"]
        line += ["--ssl-certfile", str(self._tls.certificate), "--ssl-keyfile", str(self._tls.key)]
        return [*line, "--ssl-ca-certfile", str(self._tls.authority), "--enable-supernode-auth"]


def secret_path(folder: Path) -> Path:
    """Where a server's folder keeps the secret that its executor shows."""
    return folder / "executor.secret"


def make_secret(folder: Path) -> bytes:
    """A new secret, which only this user can read; whoever holds an old one loses it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret, path = secrets.token_bytes(SECRET_BYTES), secret_path(folder)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        partial.replace(path)
    except OSError as exc:
        raise FederationError(f"cannot write {path}: {exc}", hint="look at the folder's owner and the disk") from exc
    return secret
