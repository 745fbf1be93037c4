"""A site's SuperNode: a child that fetches messages for the site and hands them to our executor on loopback."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from ..errors import FederationError
from .bounded_log import LOG_BYTES
from .environment import LOOPBACK
from .processes import FlowerServer
from .runtime import open_client
from .superlink import make_secret, secret_path

logger = logging.getLogger(__name__)

CONNECTED = re.compile(r"SuperNode ID: (\d+)")  # what it says once the SuperLink has let it in
NUMBER_FILE = "node"


class SuperNode(FlowerServer):
    """Flower's SuperNode as a child. It keeps nothing on disk and runs no app.

    Args:
        folder: its own: its log, its key in the form that Flower reads, its secret, its number.
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
        log_bytes: int = LOG_BYTES,
    ) -> None:
        super().__init__("flower-supernode", folder, self._line, log_bytes=log_bytes)
        if (key is None) != (authority is None):
            raise FederationError(
                "a SuperNode has a key and an authority, or speaks plain HTTP with neither",
                hint="Flower's authentication of nodes needs TLS",
            )
        self._superlink, self._key, self._authority = superlink, key, authority
        self._node: int | None = None
        self.secret = make_secret(folder)
        self._key_path = folder / "transport.key"
        if key is not None:
            text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            self._key_path.unlink(missing_ok=True)
            with os.fdopen(os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)

    @property
    def node(self) -> int | None:
        """The number that the SuperLink knows it by; None until it has let it in."""
        return self._node

    def start(self, timeout: float = 300.0, *, stop: threading.Event | None = None) -> None:
        """As of `FlowerServer`; it listens for the executor before it has reached the SuperLink.

        One that was killed is online for the SuperLink until a minute after its last heartbeat, and nobody else is let
        in with its key. So it is signed off first.
        """
        self._sign_off()
        self._node = None
        super().start(timeout, stop=stop)

    def heard(self, line: str) -> None:
        """Learn the number from what it says."""
        if found := CONNECTED.search(line):
            self._node = int(found[1])
            (self.folder / NUMBER_FILE).write_text(found[1])

    def _sign_off(self) -> None:
        """Tell the SuperLink that the SuperNode before this one is gone, as that would have done itself."""
        try:
            number = int((self.folder / NUMBER_FILE).read_text())
        except (OSError, ValueError):
            return
        if self._key is None or self._authority is None:
            return
        interceptors = [
            RuntimeVersionHttpInterceptor("SuperNode"),
            NodeAuthHttpInterceptor(self._key, self._key.public_key()),
        ]
        # It may be signed off already, or the SuperLink away, or another one: then there is nothing to do.
        with suppress(httpx.HTTPError, OSError):
            client = open_client(FleetHttpClient, self._superlink, self._authority.read_bytes(), interceptors, None)
            try:
                client.DeactivateNode(DeactivateNodeRequest(node_id=number))
            finally:
                client.close()

    def _line(self, port: int) -> Sequence[str]:
        line = ["--superlink", self._superlink, "--host", LOOPBACK, "--port", str(port), "--isolation", "process"]
        line += ["--superexec-auth-secret-file", str(secret_path(self.folder))]
        if self._key is None:
            return [*line, "--insecure"]
        line += ["--auth-supernode-private-key", str(self._key_path)]
        return [*line, "--root-certificates", str(self._authority)]
