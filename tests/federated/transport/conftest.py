"""A coordinator's folder, and sites with their keys."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from nasturtium.federated.transport import (
    Address,
    Admission,
    Application,
    Authority,
    Front,
    FrontLimits,
    Member,
    TransportKey,
)
from nasturtium.privacy import Identity


def make_identity(name: str) -> Identity:
    """The same one for the same name, which real ones are not."""
    return Identity(name, hashlib.sha512(name.encode()).digest())


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **spans: float) -> None:
        self.now += timedelta(**spans)


@dataclass
class Party:
    """A site with its keys, and its admission once it has one."""

    identity: Identity
    key: TransportKey
    admission: Admission | None = None

    @property
    def name(self) -> str:
        return self.identity.public.name

    @property
    def application(self) -> Application:
        return Application.make(self.identity, self.key)


def make_site(name: str) -> Party:
    return Party(make_identity(name), TransportKey.generate())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def coordinator() -> Identity:
    return make_identity("coordinator")


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority.create(tmp_path / "coordinator", "coordinator", ["localhost", "127.0.0.1"], clock=clock)


@pytest.fixture
def site(authority: Authority, coordinator: Identity) -> Party:
    """Admitted; the port of its admission is not that of a front."""
    site = make_site("hospital-a")
    site.admission = authority.admit(site.application, coordinator, Address("localhost", 8443))
    return site


def wait_until(condition: Callable[[], object]) -> None:
    """Give another thread the time it needs."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def quick(**limits: float) -> FrontLimits:
    """Limits under which a refused connection ends soon."""
    return FrontLimits(**{"linger_s": 0.02, **limits})


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; the first letters of a body may ask for more."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        if body.startswith(b"hang"):
            self.server.released.wait(30)
        if body.startswith(b"break"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
            self.close_connection = True
        elif body.startswith(b"garbage"):
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            self.close_connection = True
        elif body.startswith(b"endless"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            self.close_connection = True
        elif body.startswith(b"chunks"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        elif body.startswith(b"many "):
            self._answer(200, bytes(int(body[5:])))
        elif body.startswith(b"status "):
            self._answer(int(body[7:]), b"no")
        else:
            self._answer(200, body[:1000])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.send_header("set-cookie", "not=passed")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class StandIn(ThreadingHTTPServer):
    """A server in the place of the SuperLink."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server_port)

    def get_request(self) -> tuple[socket.socket, object]:
        accepted, peer = super().get_request()
        self.open.append(accepted)
        return accepted, peer

    def handle_error(self, *_: object) -> None:
        pass  # who asked is gone, as some tests want

    def close(self) -> None:
        """Also of connections that are kept alive, as when it is killed."""
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        for each in self.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def upstream() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def front(authority: Authority, upstream: StandIn, clock: Clock, limits: FrontLimits) -> Iterator[Front]:
    with Front(
        listen=("127.0.0.1", 0), upstream=upstream.address, authority=authority, limits=limits, clock=clock
    ) as front:
        yield front


@pytest.fixture
def limits() -> FrontLimits:
    return quick()


def client_tls(authority: Authority, folder: Path, party: Party | None) -> ssl.SSLContext:
    """How a site checks the front and shows itself."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cadata=authority.certificate.public_bytes(Encoding.PEM).decode())
    if party is not None:
        assert party.admission is not None
        path = folder / f"{party.name}-{party.admission.certificate.serial_number}.pem"
        path.write_text(party.key.pem() + party.admission.certificate.public_bytes(Encoding.PEM).decode())
        tls.load_cert_chain(path)
    return tls


def headers_of(party: Party) -> dict[str, str]:
    """What a SuperNode of a site sends; the stand-in checks no signature."""
    member = Member(
        identity=party.identity.public,
        transport_key=party.key.point,
        serial=1,
        expires=datetime.now(UTC),
        admitted=datetime.now(UTC),
    )
    return {
        "flwr-public-key": b64encode(member.node_key).decode(),
        "flwr-signature": "c2lnbmF0dXJl",
        "flwr-timestamp": "2026-11-29T00:00:00+00:00",
        "content-type": "application/x-protobuf",
        "accept": "application/x-protobuf",
    }


@dataclass
class Caller:
    """Connects to a front as a site, or as a stranger."""

    authority: Authority
    folder: Path
    front: Front

    @contextmanager
    def http(self, party: Party | None) -> Iterator[httpx.Client]:
        tls = client_tls(self.authority, self.folder, party)
        headers = {} if party is None else headers_of(party)
        with httpx.Client(
            base_url=f"https://127.0.0.1:{self.front.address.port}", verify=tls, headers=headers, timeout=60
        ) as client:
            yield client

    @contextmanager
    def raw(self, party: Party | None) -> Iterator[ssl.SSLSocket]:
        tls = client_tls(self.authority, self.folder, party)
        with (
            socket.create_connection(self.front.address, 30) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            yield wrapped


@pytest.fixture
def caller(authority: Authority, tmp_path: Path, front: Front) -> Caller:
    return Caller(authority, tmp_path, front)


def read_all(connection: ssl.SSLSocket) -> bytes:
    """Until the other side ends."""
    found = bytearray()
    try:
        while part := connection.recv(65536):
            found += part
    except (ConnectionError, ssl.SSLError):
        pass
    return bytes(found)
