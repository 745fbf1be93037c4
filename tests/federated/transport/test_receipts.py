"""Receipts that the tunnel keeps until the site has answered."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx
import pytest

from nasturtium.federated.transport import Tunnel
from nasturtium.federated.transport.receipts import is_message, path_of

from .conftest import wait_until
from .test_tunnel import through

PULL, RECEIPT = "/v1/fleet/pull-messages", "/v1/fleet/confirm-message-received"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site").mkdir(mode=0o700)
    return tmp_path / "site"


@contextmanager
def tunnel_with(front, site, folder, hold_s):
    arrivals: list[int] = []
    with Tunnel(
        site.admission, site.key, folder, connect=front.address, hold_s=hold_s, arrived=lambda: arrivals.append(1)
    ) as tunnel:
        tunnel.arrivals = arrivals
        assert tunnel.wait(30).connected
        yield tunnel


def test_a_receipt_is_kept_until_the_message_was_answered(front, site, folder):
    with tunnel_with(front, site, folder, 600.0) as tunnel, through(tunnel, site) as http:
        assert http.post(PULL, content=b"a message").content == b"a message"
        assert tunnel.arrivals == [1]
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(http.post(RECEIPT, content=b"got it").content))
        thread.start()
        wait_until(lambda: tunnel.receipts._kept)
        # Other requests pass meanwhile, as heartbeats do.
        with through(tunnel, site) as other:
            assert other.post("/v1/fleet/send-node-heartbeat", content=b"alive").content == b"alive"
        assert found == []
        tunnel.answered()
        thread.join()
        assert found == [b"got it"]
        # Answered already: the next receipt is not kept.
        assert http.post(RECEIPT, content=b"again").content == b"again"


def test_who_takes_long_is_not_waited_for(front, site, folder):
    with tunnel_with(front, site, folder, 0.05) as tunnel, through(tunnel, site) as http:
        http.post(PULL, content=b"a message")
        assert http.post(RECEIPT, content=b"got it").content == b"got it"


def test_nothing_is_kept_where_there_was_no_message(front, site, folder):
    with tunnel_with(front, site, folder, 600.0) as tunnel, through(tunnel, site) as http:
        assert http.post(PULL, content=b"many 0").content == b""
        assert http.post(PULL, content=b"status 503").status_code == 503
        assert http.post(RECEIPT, content=b"got it").content == b"got it"
        assert tunnel.arrivals == []


def test_a_tunnel_that_nobody_tells_keeps_nothing(front, site, folder):
    with tunnel_with(front, site, folder, 0.0) as tunnel, through(tunnel, site) as http:
        http.post(PULL, content=b"a message")
        assert http.post(RECEIPT, content=b"got it").content == b"got it"


def test_a_node_that_is_gone_does_not_end_the_tunnel(front, site, folder):
    with tunnel_with(front, site, folder, 600.0) as tunnel:
        with through(tunnel, site) as http:
            http.post(PULL, content=b"a message")
            with pytest.raises(httpx.ReadTimeout):
                http.post(RECEIPT, content=b"got it", timeout=0.3)
        tunnel.answered()
        with through(tunnel, site) as http:
            assert http.post(PULL, content=b"another").content == b"another"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"POST /v1/fleet/pull-messages HTTP/1.1\r\nhost", b"/v1/fleet/pull-messages"),
        (b"GET /health HTTP/1.1", b""),
        (b"POST " + b"/" * 500, b""),
        (b"POST", b""),
        (b"", b""),
    ],
)
def test_the_path_of_a_request_is_read_from_its_first_bytes(data, path):
    assert path_of(data) == path


@pytest.mark.parametrize(
    ("path", "answer", "holds"),
    [
        (PULL, b"HTTP/1.1 200 Answer\r\ncontent-length: 10\r\n\r\n", True),
        (PULL, b"HTTP/1.1 200 Answer\r\ncontent-length: 0\r\n\r\n", False),
        (PULL, b"HTTP/1.1 503 Refused\r\ncontent-length: 10\r\n\r\n", False),
        (RECEIPT, b"HTTP/1.1 200 Answer\r\ncontent-length: 10\r\n\r\n", False),
    ],
)
def test_a_message_is_told_from_its_absence(path, answer, holds):
    assert is_message(path.encode(), answer) is holds
