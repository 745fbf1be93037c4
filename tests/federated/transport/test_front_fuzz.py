"""Thousands of damaged requests: the front lives, and the SuperLink sees well-formed requests of the list, or none."""

from __future__ import annotations

import ssl
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.federated.transport import Address, Authority, Front
from nasturtium.federated.transport.rules import FLEET_PATHS, REQUEST_HEADERS

from .conftest import Caller, StandIn, headers_of, make_identity, make_site, quick, wait_until

TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b"\x00", b"\xff", b"0", b"5", b",", b"/", b"?", b"%2f"),
    *(b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:\tchunked\r\n", b"Content-Length: 5\r\n"),
    *(b"content-length: 0\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"Connection: keep-alive\r\n"),
    *(b"Upgrade: h2c\r\n", b"HTTP/1.0", b"HTTP/1.1"),
    b"POST /v1/control/start-run HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["insert", "replace", "delete", "repeat"]), st.sampled_from(TOKENS)),
    min_size=1,
    max_size=5,
)


class Target:
    """A front, what is behind it, and a site before it."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.create(folder / "keys", "coordinator", ["localhost", "127.0.0.1"])
        self.site = make_site("hospital-a")
        self.site.admission = authority.admit(self.site.application, make_identity("c"), Address("localhost", 1))
        self.upstream = StandIn()
        self.front = Front(
            listen=("127.0.0.1", 0),
            upstream=self.upstream.address,
            authority=authority,
            limits=quick(connections=10_000),
        )
        self.front.__enter__()
        self.caller = Caller(authority, folder, self.front)
        lines = {"host": "localhost", **headers_of(self.site), "content-length": "5"}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.request = f"POST /v1/fleet/pull-messages HTTP/1.1\r\n{head}\r\nhello".encode()

    def close(self) -> None:
        self.front.__exit__(None, None, None)
        self.upstream.close()

    def send(self, data: bytes) -> None:
        with self.caller.raw(self.site) as connection:
            connection.settimeout(0.01)
            try:
                connection.sendall(data)
                connection.recv(1)
            except (TimeoutError, ConnectionError, ssl.SSLError):
                pass

    def check(self) -> None:
        """All that came through is what a SuperNode could have sent, and nothing is left open."""
        state = self.front._state
        wait_until(lambda: not state._connections and len(state.upstream._open) == len(state.upstream._idle))
        assert self.front.failure is None
        key = headers_of(self.site)["flwr-public-key"]
        for path, headers, body in self.upstream.requests:
            names = {name.lower() for name in headers}
            assert path in FLEET_PATHS
            assert names <= {each.decode() for each in REQUEST_HEADERS} | {"host", "content-length"}
            assert len(names) == len(headers)
            assert headers["flwr-public-key"] == key
            assert int(headers["content-length"]) == len(body)
        with self.caller.http(self.site) as http:
            assert http.post("/v1/fleet/get-run", content=b"still there").content == b"still there"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    target = Target(tmp_path_factory.mktemp("fuzz"))
    yield target
    target.close()


def edit(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for where, what, token in edits:
        at = int(where * len(data))
        end = at + (0 if what == "insert" else len(token))
        if what == "repeat":
            data = data[:at] + data[at:end] * 2 + data[end:]
        else:
            data = data[:at] + (b"" if what == "delete" else token) + data[end:]
    return data


@given(edits=EDITS)
@settings(max_examples=150, deadline=None)
def test_damaged_requests_are_refused_or_well_formed(target, edits):
    target.send(edit(target.request, edits))


@given(data=st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_bytes_are_no_request(target, data):
    target.send(data)


@given(cuts=st.lists(st.floats(0, 1), max_size=8))
@settings(max_examples=20, deadline=None)
def test_a_request_in_pieces_is_the_same_request(target, cuts):
    before = len(target.upstream.requests)
    ends = sorted({0, len(target.request), *(int(cut * len(target.request)) for cut in cuts)})
    with target.caller.raw(target.site) as connection:
        for start, end in pairwise(ends):
            connection.sendall(target.request[start:end])
        assert connection.recv(15) == b"HTTP/1.1 200 An"
    assert target.upstream.requests[before:][-1][2] == b"hello"


def test_nothing_of_that_came_through_in_another_way(target):
    target.check()


@pytest.mark.soak
def test_thousands_of_damaged_requests(target):
    @given(edits=EDITS)
    @settings(max_examples=5_000, deadline=None)
    def send(edits):
        target.send(edit(target.request, edits))

    send()
    target.check()
