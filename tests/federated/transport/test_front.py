"""The front, with real sockets: who comes in, what passes, and what neither a stranger nor a site can make it do."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from flwr.common import constant as flwr_common
from flwr.supercore import constant as flwr_constant
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

from nasturtium.core import ConfigError
from nasturtium.federated.transport import Address, Authority, Front, FrontLimits, TransportError
from nasturtium.federated.transport.certificates import issue_client, issue_server, to_pem
from nasturtium.federated.transport.rules import FLEET_PATHS, REQUEST_HEADERS, RESPONSE_HEADERS
from nasturtium.federated.transport.transport_key import TransportKey, public_key

from .conftest import StandIn, client_tls, headers_of, make_identity, make_site, quick, read_all, wait_until

PULL = "/v1/fleet/pull-messages"
PUSH = "/v1/fleet/push-object"


def request(party, *, path=PULL, body=b"hello", method="POST", **more):
    """A whole request as bytes; `more` are headers, which may be none or others."""
    more = {name.replace("_", "-"): value for name, value in more.items()}
    headers = {"host": "localhost", **headers_of(party), "content-length": str(len(body)), **more}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


# Who comes in.


def test_a_site_reaches_what_it_needs(caller, site, upstream):
    with caller.http(site) as http:
        for path in FLEET_PATHS:
            answer = http.post(path, content=b"ask " + path.encode())
            assert (answer.status_code, answer.content) == (200, b"ask " + path.encode())
            assert answer.headers["content-type"] == "application/x-protobuf"
            assert "set-cookie" not in answer.headers
    assert [path for path, _, _ in upstream.requests] == list(FLEET_PATHS)
    wait_until(lambda: caller.front.traffic()["hospital-a"].connections == 0)
    traffic = caller.front.traffic()["hospital-a"]
    assert (traffic.requests, traffic.refused) == (10, 0)
    assert traffic.bytes_up == sum(len(body) for _, _, body in upstream.requests)
    assert traffic.bytes_down > traffic.bytes_up
    assert traffic.last_seen is not None


def test_only_headers_of_the_list_are_passed(caller, site, upstream):
    more = {"flwr-task-token": "t", "flwr-superexec-signature": "s", "x-forwarded-for": "1.2.3.4", "cookie": "a=b"}
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x", headers=more).status_code == 200
    _, headers, _ = upstream.requests[0]
    passed = {name.lower() for name in headers}
    assert passed <= {each.decode() for each in REQUEST_HEADERS} | {"host", "content-length"}
    assert {name: value for name, value in headers.items() if name in headers_of(site)} == headers_of(site)


def stranger(caller, tls, name="localhost"):
    """What somebody gets who shows what `tls` shows: nothing, neither from the front nor from what is behind it."""
    with socket.create_connection(caller.front.address, 30) as plain:
        try:
            with tls.wrap_socket(plain, server_hostname=name) as wrapped:
                # In TLS 1.3 a client learns only afterwards that its certificate was not taken.
                wrapped.sendall(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
                assert wrapped.recv(1) == b""
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError):
            pass


def turned_away(caller, upstream):
    assert upstream.requests == []
    wait_until(lambda: sum(caller.front.strangers().values()) == 1)
    return next(iter(caller.front.strangers()))


def test_a_stranger_with_the_authoritys_certificate_alone_is_turned_away(caller, tmp_path, authority, upstream):
    stranger(caller, client_tls(authority, tmp_path, None))
    assert turned_away(caller, upstream) == "peer did not return a certificate"


def test_a_certificate_of_another_authority_opens_nothing(caller, tmp_path, authority, upstream):
    other = Authority.create(tmp_path / "other", "coordinator", ["localhost"])
    party = make_site("hospital-a")
    party.admission = other.admit(party.application, make_identity("c"), Address("localhost", 1))
    stranger(caller, client_tls(authority, tmp_path, party))
    assert turned_away(caller, upstream) == "certificate verify failed"


def forged(authority, tmp_path, certificate, key):
    """Shows a certificate that is really the authority's, made with its key outside of `admit`."""
    tls = client_tls(authority, tmp_path, None)
    (tmp_path / "forged.pem").write_text(key.pem() + to_pem(certificate))
    tls.load_cert_chain(tmp_path / "forged.pem")
    return tls


def test_an_expired_certificate_opens_nothing(caller, tmp_path, authority, clock, upstream):
    key, ca = TransportKey.generate(), TransportKey.load(authority.folder / "ca.key")
    long_ago = clock.now - timedelta(days=800)
    certificate = issue_client(authority.certificate, ca.private, public_key(key.point), "hospital-a", long_ago)
    stranger(caller, forged(authority, tmp_path, certificate, key))
    assert turned_away(caller, upstream) == "certificate verify failed"


def test_a_servers_certificate_is_none_of_a_site(caller, tmp_path, authority, clock, upstream):
    key, ca = TransportKey.generate(), TransportKey.load(authority.folder / "ca.key")
    certificate = issue_server(authority.certificate, ca.private, public_key(key.point), ["hospital-a"], clock.now)
    stranger(caller, forged(authority, tmp_path, certificate, key))
    assert turned_away(caller, upstream) == "certificate verify failed"


def test_a_certificate_that_is_not_on_the_list_opens_nothing(caller, tmp_path, authority, clock, upstream, site):
    """Even one that the authority's own key made: whoever has a copy of it is not yet in."""
    ca = TransportKey.load(authority.folder / "ca.key")
    certificate = issue_client(authority.certificate, ca.private, public_key(site.key.point), site.name, clock.now)
    tls = forged(authority, tmp_path, certificate, site.key)
    with httpx.Client(base_url=f"https://localhost:{caller.front.address.port}", verify=tls) as http:
        answer = http.post(PULL, content=b"x", headers=headers_of(site))
        assert (answer.status_code, answer.json()) == (401, {"code": "not-a-member"})
    assert turned_away(caller, upstream) == "not-a-member"


def test_old_tls_is_refused(caller, tmp_path, authority, site, upstream):
    tls = client_tls(authority, tmp_path, site)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    stranger(caller, tls)
    assert turned_away(caller, upstream) == "unsupported protocol"


def test_a_site_sees_through_a_front_that_is_not_the_coordinators(caller, tmp_path, site):
    other = Authority.create(tmp_path / "other", "coordinator", ["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger(caller, client_tls(other, tmp_path, site))
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger(caller, client_tls(caller.authority, tmp_path, site), name="elsewhere.org")


# Who is out again.


def test_a_removed_site_is_out_at_once(caller, authority, site, upstream):
    with caller.http(site) as http, caller.raw(site) as idle:
        assert http.post(PULL, content=b"x").status_code == 200
        authority.members.remove("hospital-a")
        try:
            answer = http.post(PULL, content=b"x")
            assert (answer.status_code, answer.json()) == (401, {"code": "not-a-member"})
        except httpx.TransportError:
            pass  # dropped while it asked
        assert read_all(idle) == b""
        assert len(upstream.requests) == 1
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x").status_code == 401
        assert http.get("/health").status_code == 401
    wait_until(lambda: caller.front.traffic()["hospital-a"].connections == 0)


def test_an_open_request_of_a_removed_site_is_dropped(caller, authority, site, upstream):
    with caller.raw(site) as connection:
        connection.sendall(request(site, body=b"hang"))
        wait_until(lambda: upstream.requests)
        authority.members.remove("hospital-a")
        assert read_all(connection) == b""


def test_a_site_that_is_admitted_again_needs_its_new_certificate(caller, authority, site, coordinator):
    old, site.admission = site.admission, authority.readmit(site.name, coordinator, site.admission.address)
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x").status_code == 200
    site.admission = old
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x").json() == {"code": "not-a-member"}


def test_a_site_that_is_admitted_later_comes_in(caller, authority, coordinator):
    late = make_site("late")
    late.admission = authority.admit(late.application, coordinator, Address("localhost", 1))
    with caller.http(late) as http:
        assert http.get("/health").text == "ok\n"


def test_a_certificate_expires_while_a_connection_is_open(caller, site, clock):
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x").status_code == 200
        clock.advance(days=731)
        assert http.post(PULL, content=b"x").json() == {"code": "certificate-expired"}


def test_nobody_is_let_in_while_the_list_cannot_be_read(caller, authority, site, caplog):
    text = authority.members.path.read_text()
    with caller.http(site) as http:
        assert http.get("/health").status_code == 200
        caplog.set_level(logging.ERROR)
        authority.members.path.write_text(text[:-9])
        with caller.http(site) as other:
            assert other.get("/health").json() == {"code": "members-unknown"}
        wait_until(lambda: "cannot be read" in caplog.text)
        authority.members.path.write_text(text)
    with caller.http(site) as http:
        assert http.get("/health").status_code == 200


# What passes.

OTHER_PATHS = sorted({path for _, path in PROTOBUF_REQUEST_TYPES} - set(FLEET_PATHS))


def test_the_list_is_flowers_but_for_registration():
    fleet = {path for _, path in PROTOBUF_REQUEST_TYPES if path.startswith("/v1/fleet/")}
    assert fleet - set(FLEET_PATHS) == {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}
    assert set(FLEET_PATHS) < fleet
    assert len(OTHER_PATHS) > 60
    names = {
        flwr_constant.FLEET_HTTP_PUBLIC_KEY_HEADER,
        flwr_constant.FLEET_HTTP_SIGNATURE_HEADER,
        flwr_common.TIMESTAMP_HEADER,
        flwr_constant.FLWR_PACKAGE_NAME_METADATA_KEY,
        flwr_constant.FLWR_PACKAGE_VERSION_METADATA_KEY,
        flwr_constant.FLWR_COMPONENT_NAME_METADATA_KEY,
    }
    assert {name.decode() for name in REQUEST_HEADERS} == names | {"accept", "content-type"}
    assert flwr_constant.VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY.encode() in RESPONSE_HEADERS


def test_no_site_reaches_the_control_api_or_the_runtime_api(caller, site, upstream):
    for path in OTHER_PATHS:
        with caller.http(site) as http:
            answer = http.post(path, content=b"x")
            assert (answer.status_code, answer.json()) == (403, {"code": "path-not-allowed"}), path
    assert upstream.requests == []
    wait_until(lambda: caller.front.traffic()["hospital-a"].refused == len(OTHER_PATHS))


@pytest.mark.parametrize(
    "target",
    [
        "//v1/fleet/pull-messages",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages?x=1",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/pull-messages%20",
        "/V1/fleet/pull-messages",
        "/v1/fleet/pull-messages#x",
        "http://127.0.0.1/v1/fleet/pull-messages",
        "*",
        "/",
    ],
)
def test_a_path_is_the_one_on_the_list_or_none(caller, site, upstream, target):
    with caller.raw(site) as connection:
        connection.sendall(request(site, path=target))
        assert read_all(connection).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
    assert upstream.requests == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI"])
def test_only_post_passes(caller, site, upstream, method):
    with caller.raw(site) as connection:
        connection.sendall(request(site, method=method))
        assert read_all(connection).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
    assert upstream.requests == []


@pytest.mark.parametrize("key", ["other", "none", "shorter", "twice"])
def test_no_site_speaks_as_another(caller, authority, coordinator, site, upstream, key):
    other = make_site("hospital-b")
    other.admission = authority.admit(other.application, coordinator, Address("localhost", 1))
    text = request(site)
    own = f"flwr-public-key: {headers_of(site)['flwr-public-key']}\r\n".encode()
    assert own in text
    foreign = f"flwr-public-key: {headers_of(other)['flwr-public-key']}\r\n".encode()
    line = {"other": foreign, "none": b"", "shorter": own[:-4] + b"\r\n", "twice": own + foreign}[key]
    with caller.raw(site) as connection:
        connection.sendall(text.replace(own, line))
        answer = read_all(connection)
    assert (b"key-of-another-site" if key != "twice" else b"bad-header") in answer
    assert upstream.requests == []
    with caller.http(other) as http:
        assert http.post(PULL, content=b"x").status_code == 200


def test_health_is_answered_here(caller, site, upstream):
    with caller.http(site) as http:
        assert http.get("/health").text == "ok\n"
        assert http.head("/health").status_code == 200
        assert http.post("/health").status_code == 403
    assert upstream.requests == []


# What is malformed.

SMUGGLED = b"POST /v1/control/start-run HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"transfer_encoding": "chunked"}, id="both-lengths"),
        pytest.param({"transfer_encoding": "chunked", "content_length": None}, id="chunked"),
        pytest.param({"transfer_encoding": "xchunked", "content_length": None}, id="other-encoding"),
        pytest.param({"content_length": None}, id="no-length"),
        pytest.param({"content_length": "+5"}, id="signed"),
        pytest.param({"content_length": "0x5"}, id="hexadecimal"),
        pytest.param({"content_length": "5, 5"}, id="list"),
        pytest.param({"content_length": "5\r\ncontent-length: 6"}, id="two-lengths"),
        pytest.param({"content_length": "5\r\nContent-Length: 5"}, id="the-same-twice"),
        pytest.param({"content_length": "99999999999999999999999"}, id="overflow"),
        pytest.param({"content_length": "5\n"}, id="bare-line-feed"),
        pytest.param({"content_length ": "5"}, id="space-before-colon"),
        pytest.param({"host": None}, id="no-host"),
        pytest.param({"host": "a\r\nhost: b"}, id="two-hosts"),
        pytest.param({"accept": "a\r\n b"}, id="folded"),
        pytest.param({"accept": "a\x00b"}, id="zero"),
        pytest.param({"accept": "a\x7fb"}, id="delete"),
        pytest.param({"accept": "caf\xe9"}, id="not-ascii"),
        pytest.param({"upgrade": "h2c", "connection": "upgrade"}, id="upgrade"),
        pytest.param({"upgrade": "websocket", "connection": "upgrade"}, id="websocket"),
        pytest.param({"expect": "100-continue"}, id="expectation"),
        pytest.param({"x": "y" * 20_000}, id="long-head"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(caller, site, upstream, change):
    with caller.raw(site) as connection:
        connection.sendall(request(site, **change) + SMUGGLED)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer
    assert upstream.requests == []
    assert caller.front.failure is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01", id="tls-in-tls"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(b"POST /v1/fleet/pull-messages HTTP/1.0\r\nhost: x\r\ncontent-length: 0\r\n\r\n", id="http-1.0"),
        pytest.param(b"POST /v1/fleet/pull-messages HTTP/9.9\r\nhost: x\r\ncontent-length: 0\r\n\r\n", id="http-9.9"),
        pytest.param(b"POST /v1/fleet/pull-messages\r\n\r\n", id="http-0.9"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(b"A" * 100_000, id="no-line-end"),
        pytest.param(b"POST /" + b"a" * 100_000, id="endless-path"),
        pytest.param(b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000, id="endless-headers"),
    ],
)
def test_what_is_not_http_is_refused(caller, site, upstream, text):
    with caller.raw(site) as connection:
        connection.sendall(text)
        answer = read_all(connection)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert upstream.requests == []
    assert caller.front.failure is None


def test_a_second_request_before_the_first_was_answered_is_refused(caller, site, upstream):
    with caller.raw(site) as connection:
        connection.sendall(request(site) + request(site))
        assert b"pipelined" in read_all(connection)


# Sizes and speed.


@pytest.mark.parametrize("path", [PULL, PUSH, "/v1/fleet/push-messages"])
@pytest.mark.parametrize("limits", [quick(max_object_bytes=100_000)])
def test_bodies_are_bounded(caller, site, upstream, path, limits):
    most = FLEET_PATHS[path] or limits.max_object_bytes
    with caller.http(site) as http:
        assert http.post(path, content=bytes(most)).status_code == 200
        assert len(upstream.requests[-1][2]) == most
    with caller.raw(site) as connection:
        # Told before the body is sent, let alone read.
        connection.sendall(request(site, path=path, body=b"", content_length=str(most + 1)))
        assert b"413" in connection.recv(64)
    with caller.http(site) as http:
        # And a client that sends it all the same reads why.
        assert http.post(path, content=bytes(most + 1)).json() == {"code": "body-too-large"}
    assert len(upstream.requests) == 1


def test_long_bodies_pass_both_ways(caller, site, upstream):
    with caller.http(site) as http:
        sent = bytes(range(256)) * 40_000
        assert http.post(PUSH, content=sent).content == sent[:1000]
        assert upstream.requests[0][2] == sent
        assert http.post("/v1/fleet/pull-object", content=b"many 20000000").content == bytes(20_000_000)
        assert http.post(PULL, content=b"chunks").content == b"abcde"
    assert caller.front.traffic()["hospital-a"].bytes_up == len(sent) + len(b"many 20000000") + len(b"chunks")


@pytest.mark.parametrize(
    ("limits", "sent", "code"),
    [
        pytest.param(quick(head_s=0.1), b"POST /v1/fleet/pull", b"too-slow", id="head"),
        pytest.param(quick(head_s=0.1, idle_s=0.1), b"", b"", id="nothing"),
        pytest.param(quick(body_s=0.1), "body", b"too-slow", id="body"),
    ],
)
def test_a_slow_site_is_not_waited_for(caller, site, upstream, sent, code):
    with caller.raw(site) as connection:
        connection.sendall(request(site, body=b"", content_length="9") + b"four" if sent == "body" else sent)
        assert code in read_all(connection)
    assert upstream.requests == []


@pytest.mark.parametrize("limits", [quick(body_s=0.2, min_rate=10**9)])
def test_a_site_that_does_not_take_its_answer_is_dropped(caller, site):
    with caller.raw(site) as connection:
        connection.sendall(request(site, body=b"many 50000000"))
        assert connection.recv(10) == b"HTTP/1.1 2"
        wait_until(lambda: caller.front.traffic()["hospital-a"].connections == 0)


def test_a_site_that_takes_no_answers_keeps_nobody_waiting_and_is_asked_no_more(caller, site, upstream):
    def is_passed(count):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            traffic = caller.front.traffic().get("hospital-a")
            if traffic is not None and traffic.requests >= count:
                return True
            time.sleep(0.001)
        return False

    def ask(http):
        assert http.post(PULL, content=b"hello", timeout=10).content == b"hello"

    with caller.raw(site) as connection, caller.http(site) as http:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)  # the system takes little for it
        many = request(site, body=b"many 60000")
        connection.sendall(many)
        sent = 1
        while is_passed(2 * sent - 1):
            assert sent < 5000, "the front takes requests without an end"
            ask(http)  # by the connection that brought an answer to the other, maybe more than it takes
            connection.sendall(many)
            sent += 1
        assert len(upstream.requests) == 2 * (sent - 1)
        ask(http)
        left = sent * 60000
        while left > 0:
            part = connection.recv(65536)
            assert part, "the front ended the connection"
            left -= part.count(0)
        ask(http)
    assert len(upstream.requests) == 2 * sent + 1


@pytest.mark.parametrize("limits", [quick(connections=4)])
def test_a_site_has_so_many_connections_and_no_more(caller, authority, coordinator, site):
    other = make_site("hospital-b")
    other.admission = authority.admit(other.application, coordinator, Address("localhost", 1))
    opened = [caller.raw(site) for _ in range(4)]
    for each in opened:
        connection = each.__enter__()
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    with caller.raw(site) as fifth:
        assert b"too-many-connections" in read_all(fifth)
    with caller.http(other) as http:
        assert http.get("/health").status_code == 200
    for each in opened:
        each.__exit__(None, None, None)
    wait_until(lambda: caller.front.traffic()["hospital-a"].connections == 0)
    with caller.http(site) as http:
        assert http.get("/health").status_code == 200


@pytest.mark.parametrize("limits", [quick(handshakes=3, handshake_s=60)])
def test_connections_without_a_handshake_are_bounded(caller, site):
    silent = [socket.create_connection(caller.front.address, 30) for _ in range(3)]
    wait_until(lambda: len(silent) == 3)
    with socket.create_connection(caller.front.address, 30) as fourth:
        assert fourth.recv(1) == b""
    for each in silent:
        each.close()
    wait_until(lambda: caller.front.strangers().get("handshake not finished") == 3)
    with caller.http(site) as http:
        assert http.get("/health").status_code == 200


@pytest.mark.parametrize("limits", [quick(handshake_s=0.1)])
def test_a_handshake_is_not_waited_for(caller):
    with socket.create_connection(caller.front.address, 30) as silent:
        silent.sendall(b"\x16\x03\x01")  # how one begins
        assert silent.recv(1) == b""
    wait_until(lambda: caller.front.strangers() == {"handshake not finished": 1})


def test_many_requests_of_many_sites_do_not_mix(caller, authority, coordinator, upstream):
    failures = []

    def ask(name):
        party = make_site(name)
        party.admission = authority.admit(party.application, coordinator, Address("localhost", 1))
        with caller.http(party) as http:
            for number in range(20):
                body = f"{name} {number}".encode()
                if http.post(PULL, content=body).content != body:
                    failures.append(body)

    threads = [threading.Thread(target=ask, args=(f"site-{number}",)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(upstream.requests) == 160
    assert len(upstream.open) < 30  # connections to it are used again
    assert all(caller.front.traffic()[f"site-{number}"].requests == 20 for number in range(8))


# What is behind it.


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"garbage", 502), (b"endless", 502), (b"status 403", 403), (b"status 503", 503), (b"status 101", 502)],
)
def test_answers_of_the_superlink_are_passed_or_said_to_be_none(caller, site, body, status):
    with caller.http(site) as http:
        assert http.post(PULL, content=body).status_code == status
        assert http.post(PULL, content=b"x").status_code == 200


def test_half_an_answer_does_not_look_whole(caller, site):
    with caller.http(site) as http:
        with pytest.raises(httpx.TransportError):
            http.post(PULL, content=b"break")
        assert http.post(PULL, content=b"x").status_code == 200


@pytest.mark.parametrize("limits", [quick(upstream_s=0.2)])
def test_a_superlink_that_does_not_answer_is_said_to_be_slow(caller, site):
    with caller.http(site) as http:
        assert http.post(PULL, content=b"hang").json() == {"code": "upstream-slow"}


def test_a_superlink_that_is_down_is_found_again(caller, site, upstream):
    with caller.http(site) as http:
        assert http.post(PULL, content=b"x").status_code == 200
        upstream.close()
        for path, size in ((PULL, 10), (PUSH, 10**6)):
            answer = http.post(path, content=bytes(size))
            assert (answer.status_code, answer.json()) == (502, {"code": "upstream-down"})
        again = StandIn(upstream.server_port)
        assert http.post(PULL, content=b"x").content == b"x"
        again.close()


def test_a_site_that_goes_away_leaves_nothing_behind(caller, site, upstream):
    with caller.raw(site) as connection:
        connection.sendall(request(site, body=b"hang"))
        wait_until(lambda: upstream.requests)
    wait_until(lambda: caller.front.traffic()["hospital-a"].connections == 0)
    assert caller.front.failure is None


# The front itself.


def test_a_new_certificate_of_the_server_is_shown_without_a_restart(caller, authority, site, tmp_path):
    def shown():
        with caller.raw(site) as connection:
            return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))

    first = authority.server_certificate()
    assert shown() == first
    assert authority.renew_server(["localhost", "127.0.0.1", "fl.example.org"])
    wait_until(lambda: shown() == authority.server_certificate())
    assert shown() != first


def test_a_certificate_near_its_end_is_renewed_at_the_start(authority, upstream, clock):
    first = authority.server_certificate()
    clock.advance(days=80)
    with Front(listen=("127.0.0.1", 0), upstream=upstream.address, authority=authority, clock=clock):
        assert authority.server_certificate().serial_number != first.serial_number


def test_an_address_in_use_is_told(front, authority, upstream):
    with (
        pytest.raises(TransportError, match="Address already in use"),
        Front(listen=front.address, upstream=upstream.address, authority=authority),
    ):
        pass
    with (
        pytest.raises(TransportError, match="cannot listen on"),
        Front(listen=("no.such.host.invalid", 1), upstream=upstream.address, authority=authority),
    ):
        pass


def test_it_listens_on_all_addresses_if_asked(authority, upstream):
    with Front(listen=("", 0), upstream=upstream.address, authority=authority) as front:
        socket.create_connection(("127.0.0.1", front.address.port)).close()


def test_requests_and_refusals_are_logged(caller, site, caplog):
    caplog.set_level(logging.DEBUG, logger="nasturtium.federated.transport")
    with caller.http(site) as http:
        http.post(PULL, content=b"hello")
        http.post("/v1/control/start-run", content=b"hello")
    wait_until(lambda: len([each for each in caplog.records if "site=" in each.getMessage()]) == 2)
    passed, refused = (each for each in caplog.records if "site=" in each.getMessage())
    assert passed.levelno == logging.DEBUG
    assert f"site=hospital-a path={PULL} status=200 outcome=passed up=5 down=" in passed.getMessage()
    assert refused.levelno == logging.WARNING
    assert "path=/v1/control/start-run status=403 outcome=path-not-allowed" in refused.getMessage()


def test_nobody_fills_the_disk_with_refusals(authority, caplog):
    state = Front(listen=("127.0.0.1", 0), upstream=("127.0.0.1", 1), authority=authority)._state
    state._tell_rest(100.0)
    assert [state.may_tell("hospital-a") for _ in range(60)] == [True] * 50 + [False] * 10
    assert state.may_tell("hospital-b")
    assert not state.may_tell("")
    state._tell_rest(109.0)
    assert not state.may_tell("hospital-a")
    state._tell_rest(110.0)
    assert "site=hospital-a: 11 more refusals are not shown" in caplog.text
    assert state.may_tell("hospital-a")


@pytest.mark.parametrize("limit", ["connections", "head_s", "min_rate"])
def test_limits_are_positive(limit):
    with pytest.raises(ConfigError, match=f"{limit} > 0"):
        FrontLimits(**{limit: 0})
