"""A site's SuperNode: a child that fetches messages for the site and hands them to our executor on loopback."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..errors import FederationError
from .processes import LOOPBACK, FlowerServer
from .superlink import make_secret, secret_path

CONNECTED = re.compile(r"SuperNode ID: (\d+)")  # what it says once the SuperLink has let it in


class SuperNode(FlowerServer):
    """Flower's SuperNode as a child. It keeps nothing on disk and runs no app.

    Args:
        folder: its own: its log, its key in the form that Flower reads, its secret.
        superlink: host and port of what it talks to; on a site, our tunnel.
        key: on a NIST curve; the SuperLink knows the public one. None only for a SuperLink in plain HTTP.
        authority: PEM file to check the other end's certificate with; None for plain HTTP.
        log_bytes: as of `FlowerServer`.
    """

    def __init__(
        self,
        folder: Path,
        superlink: str,
        *,
        key: ec.EllipticCurvePrivateKey | None,
        authority: Path | None,
        log_bytes: int = 1 << 20,
    ) -> None:
        super().__init__("flower-supernode", folder, self._line, log_bytes=log_bytes)
        if (key is None) != (authority is None):
            raise FederationError(
                "a SuperNode has a key and an authority, or speaks plain HTTP with neither",
                hint="Flower's authentication of nodes needs TLS",
            )
        self._superlink, self._authority = superlink, authority
        self.secret = make_secret(folder)
        self._key_path = folder / "transport.key" if key is not None else None
        if key is not None and self._key_path is not None:
            text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            self._key_path.unlink(missing_ok=True)
            with os.fdopen(os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)

    @property
    def node(self) -> int | None:
        """The number that the SuperLink knows it by; None until it has let it in."""
        for line in reversed(self.lines()):
            if found := CONNECTED.search(line):
                return int(found[1])
        return None

    def _line(self, port: int) -> Sequence[str]:
        line = ["--superlink", self._superlink, "--host", LOOPBACK, "--port", str(port), "--isolation", "process"]
        line += ["--superexec-auth-secret-file", str(secret_path(self.folder))]
        if self._key_path is None:
            return [*line, "--insecure"]
        line += ["--auth-supernode-private-key", str(self._key_path)]
        return [*line, "--root-certificates", str(self._authority)]
