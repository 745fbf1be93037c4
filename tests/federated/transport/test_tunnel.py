"""A site's tunnel to a real front: bytes both ways, it comes back by itself, and each cause of a failure has a name."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from nasturtium.federated.transport import (
    FOR_THE_OPERATOR,
    Address,
    AdmissionError,
    Authority,
    Front,
    TransportError,
    Tunnel,
    TunnelCode,
)
from nasturtium.federated.transport.tunnel_state import wrong_clock

from .conftest import StandIn, headers_of, make_identity, make_site, quick, wait_until

PULL = "/v1/fleet/pull-messages"


@contextmanager
def through(tunnel, party=None):
    """What a SuperNode does: TLS to the tunnel, checked against its file."""
    tls = ssl.create_default_context(cafile=tunnel.root_certificate)
    headers = {} if party is None else headers_of(party)
    with httpx.Client(base_url=f"https://{tunnel.address}", verify=tls, headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site").mkdir(mode=0o700)
    return tmp_path / "site"


@pytest.fixture
def tunnel(front, site, folder):
    with Tunnel(site.admission, site.key, folder, connect=front.address) as tunnel:
        yield tunnel


@pytest.fixture
def port():
    """Where nobody listens; a socket holds it, so that nobody begins to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_node_reaches_the_superlink_through_tunnel_and_front(tunnel, site, upstream, folder):
    assert tunnel.wait(30).connected
    with through(tunnel, site) as http:
        assert http.post(PULL, content=b"hello").content == b"hello"
        sent = bytes(range(256)) * 20_000
        assert http.post("/v1/fleet/push-object", content=sent).content == sent[:1000]
        assert http.post(PULL, content=b"many 10000000").content == bytes(10_000_000)
    assert upstream.requests[1][2] == sent
    # No key stays in a file but the site's own.
    assert [path.name for path in folder.iterdir()] == ["tunnel-ca.pem"]


def test_the_tunnel_adds_nothing_that_the_node_has_to_prove(tunnel, upstream):
    assert tunnel.wait(30).connected
    with through(tunnel) as http:
        assert http.post(PULL, content=b"x").json() == {"code": "key-of-another-site"}
    assert upstream.requests == []


def test_it_begins_without_a_front_and_finds_it(authority, site, folder, upstream, port):
    with Tunnel(site.admission, site.key, folder, connect=("127.0.0.1", port)) as tunnel:
        assert tunnel.wait(30).code is TunnelCode.UNREACHABLE
        with through(tunnel, site) as http:
            answer = http.post(PULL, content=b"x" * 100_000)
            assert (answer.status_code, answer.json()) == (503, {"code": "unreachable"})


def test_it_comes_back_when_the_front_does(authority, site, folder, upstream, clock):
    arguments = {"upstream": upstream.address, "authority": authority, "limits": quick(), "clock": clock}
    with Front(listen=("127.0.0.1", 0), **arguments) as front:
        address = front.address
        with Tunnel(site.admission, site.key, folder, connect=address) as tunnel, through(tunnel, site) as http:
            assert tunnel.wait(30).connected
            assert http.post(PULL, content=b"x").status_code == 200
            front.__exit__(None, None, None)
            assert tunnel.wait(30, TunnelCode.UNREACHABLE).code is TunnelCode.UNREACHABLE
            assert http.post(PULL, content=b"x").status_code == 503
            with Front(listen=address, **arguments):
                assert tunnel.wait(30, TunnelCode.CONNECTED).connected
                assert http.post(PULL, content=b"x").content == b"x"


def test_a_broken_way_never_looks_like_broken_tls(tunnel, site, upstream, authority):
    """At an error with "ssl", "tls" or "certificate" in its text a SuperNode gives up for good."""
    with through(tunnel, site) as http:
        with pytest.raises(httpx.TransportError) as caught:
            http.post(PULL, content=b"break")
        assert not any(word in str(caught.value).lower() for word in ("ssl", "tls", "certificate"))
        assert http.post(PULL, content=b"x").status_code == 200


def test_a_front_that_is_killed_while_it_is_asked(authority, site, folder, upstream):
    with (
        Front(listen=("127.0.0.1", 0), upstream=upstream.address, authority=authority) as front,
        Tunnel(site.admission, site.key, folder, connect=front.address) as tunnel,
        through(tunnel, site) as http,
    ):

        def kill():
            wait_until(lambda: upstream.requests)
            front.__exit__(None, None, None)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(httpx.TransportError) as caught:
            http.post(PULL, content=b"hang")
        killer.join()
        assert not any(word in str(caught.value).lower() for word in ("ssl", "tls", "certificate"))


# Why not.


def test_removed(tunnel, authority, site):
    assert tunnel.wait(30).connected
    authority.members.remove("hospital-a")
    state = tunnel.wait(30, TunnelCode.REMOVED)
    assert (state.code, state.detail, state.connected) == (TunnelCode.REMOVED, "not-a-member", False)
    with through(tunnel, site) as http:
        assert http.post(PULL, content=b"x").status_code == 401


def test_admitted_anew(tunnel, authority, coordinator, site):
    assert tunnel.wait(30).connected
    authority.readmit("hospital-a", coordinator, site.admission.address)
    assert tunnel.wait(30, TunnelCode.REMOVED).code is TunnelCode.REMOVED


def test_expired(front, site, folder, clock):
    clock.advance(days=731)
    with Tunnel(site.admission, site.key, folder, connect=front.address, clock=clock) as tunnel:
        assert tunnel.wait(30).code is TunnelCode.CERTIFICATE_EXPIRED
        with through(tunnel, site) as http:
            assert http.post(PULL, content=b"x").json() == {"code": "certificate-expired"}
    # And where this machine's clock is late, the coordinator says so.
    with Tunnel(site.admission, site.key, folder, connect=front.address) as tunnel:
        assert tunnel.wait(30).code is TunnelCode.CERTIFICATE_EXPIRED


def test_wrong_authority(authority, site, folder, tmp_path, upstream):
    other = Authority.create(tmp_path / "other", "coordinator", ["localhost"])
    with (
        Front(listen=("127.0.0.1", 0), upstream=upstream.address, authority=other) as front,
        Tunnel(site.admission, site.key, folder, connect=front.address) as tunnel,
    ):
        state = tunnel.wait(30)
        assert state.code is TunnelCode.WRONG_AUTHORITY
        assert "self-signed" in state.detail or "issuer" in state.detail


def test_name_mismatch(authority, coordinator, front, folder):
    party = make_site("hospital-b")
    authority.renew_server(["localhost", "old.example.org"])
    party.admission = authority.admit(party.application, coordinator, Address("old.example.org", 1))
    authority.renew_server(["new.example.org"])
    wait_until(lambda: front.failure is None)
    with Tunnel(party.admission, party.key, folder, connect=front.address) as tunnel:
        state = tunnel.wait(30, TunnelCode.NAME_MISMATCH)
        assert state.code is TunnelCode.NAME_MISMATCH
        assert "old.example.org" in state.detail


def test_wrong_certificate(authority, site, folder, tmp_path, upstream):
    """A front that shows our authority's server, and asks sites for certificates of another authority."""
    other = Authority.create(tmp_path / "other", "coordinator", ["localhost"])
    (other.folder / "server.pem").write_bytes(authority.server_file.read_bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.server_file)
    tls.load_verify_locations(other.folder / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    stand_in = StandIn()
    stand_in.socket = tls.wrap_socket(stand_in.socket, server_side=True)
    try:
        with Tunnel(site.admission, site.key, folder, connect=stand_in.address) as tunnel:
            assert tunnel.wait(30).code is TunnelCode.CERTIFICATE_REFUSED
    finally:
        stand_in.close()


def test_not_a_front(authority, site, folder, upstream):
    with Tunnel(site.admission, site.key, folder, connect=upstream.address) as tunnel:
        assert tunnel.wait(30).code is TunnelCode.UNREACHABLE  # it speaks no TLS


def test_too_many_connections(authority, site, folder, upstream, coordinator):
    with (
        Front(
            listen=("127.0.0.1", 0), upstream=upstream.address, authority=authority, limits=quick(connections=1)
        ) as front,
        Tunnel(site.admission, site.key, folder, connect=front.address) as first,
    ):
        assert first.wait(30).connected
        (folder / "two").mkdir()
        with Tunnel(site.admission, site.key, folder / "two", connect=front.address) as second:
            state = second.wait(30)
            assert (state.code, state.detail) == (TunnelCode.REFUSED, "503 too-many-connections")


def test_an_unknown_host(site, folder):
    with Tunnel(site.admission, site.key, folder, connect=("no.such.host.invalid", 1)) as tunnel:
        assert tunnel.wait(30).code is TunnelCode.UNREACHABLE


def test_states_have_a_hint_and_a_line_in_the_log(site, folder, caplog, port):
    caplog.set_level(logging.INFO, logger="nasturtium.federated.transport")
    with Tunnel(site.admission, site.key, folder, connect=("127.0.0.1", port)) as tunnel:
        assert "network" in tunnel.wait(30).code.hint
    assert "unreachable" in caplog.text
    assert len({code.code for code in TunnelCode}) == len(TunnelCode)


def test_what_it_is_given_is_checked(site, folder, tunnel):
    with (
        pytest.raises(AdmissionError, match="another transport key"),
        Tunnel(site.admission, make_site("b").key, folder),
    ):
        pass
    with (
        pytest.raises(TransportError, match="Address already in use"),
        Tunnel(site.admission, site.key, folder, listen=tunnel.address),
    ):
        pass


def test_the_signature_of_an_admission_is_the_coordinators(site):
    with pytest.raises(Exception, match="not that of"):
        replace(site.admission, coordinator=make_identity("another").public)


@pytest.mark.parametrize(
    ("asked", "answered", "said"),
    [
        pytest.param(0, 0, "", id="right"),
        pytest.param(6, 6, "", id="as-far-ahead-as-a-superlink-takes"),
        pytest.param(0, 60, "", id="an-answer-that-took-a-minute"),
        pytest.param(-300, -300, "", id="as-far-behind-as-it-takes"),
        pytest.param(7, 7, "some seconds ahead", id="ahead"),
        pytest.param(601, 601, "about 10 minutes ahead", id="far-ahead"),
        pytest.param(-310, -310, "about 5 minutes behind", id="behind"),
        pytest.param(-86400, -86399, "about 24 hours behind", id="far-behind"),
    ],
)
def test_a_clock_is_wrong_once_a_superlink_takes_nothing_that_it_dates(asked, answered, said):
    date = datetime(2026, 1, 1, tzinfo=UTC)
    wrong = wrong_clock(date + timedelta(seconds=asked), date, date + timedelta(seconds=answered))
    assert wrong == (said and f"this machine's clock is {said} {'of ' if asked > 0 else ''}the coordinator's")
    assert wrong_clock(date, None, date) == ""


@pytest.mark.parametrize(("minutes", "word"), [(10, "ahead"), (-10, "behind")])
def test_an_operator_is_told_of_a_clock_that_is_wrong(front, site, folder, clock, minutes, word):
    skew = [timedelta(minutes=minutes)]
    with Tunnel(site.admission, site.key, folder, connect=front.address, clock=lambda: clock() + skew[0]) as tunnel:
        state = tunnel.wait(30)
        assert state.code is TunnelCode.CLOCK
        assert state.code in FOR_THE_OPERATOR
        assert f"about 10 minutes {word}" in state.detail
        skew[0] = timedelta(0)
        assert tunnel.wait(30, TunnelCode.CONNECTED).connected
