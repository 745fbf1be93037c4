"""Requests for messages that the front keeps until there may be some."""

from __future__ import annotations

import threading

import pytest

from nasturtium.federated.transport import Front

from .conftest import Caller, Handler, headers_of, quick, wait_until

PULL = "/v1/fleet/pull-messages"


class Scripted(Handler):
    """Has no message, until the bodies of its answers are not empty."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self._answer(200, self.server.bodies[len(self.server.requests) - 1])


@pytest.fixture
def answers() -> list[int]:
    return []


@pytest.fixture
def hold_s() -> float:
    return 600.0


@pytest.fixture
def front(authority, upstream, clock, answers, hold_s):
    with Front(
        listen=("127.0.0.1", 0),
        upstream=upstream.address,
        authority=authority,
        limits=quick(),
        clock=clock,
        hold_s=hold_s,
        answered=lambda: answers.append(1),
    ) as front:
        yield front


def waiting(caller: Caller) -> int:
    return len(caller.front._state.room._waiting)


def test_a_request_in_vain_is_made_again_when_messages_were_left(caller, site, upstream):
    upstream.RequestHandlerClass, upstream.bodies = Scripted, [b"", b"", b"a message"]
    found: list[bytes] = []

    def ask() -> None:
        with caller.http(site) as http:
            found.append(http.post(PULL, content=b"any?").content)

    thread = threading.Thread(target=ask)
    thread.start()
    for number in (1, 2):
        wait_until(lambda number=number: len(upstream.requests) == number and waiting(caller))
        assert found == []
        caller.front.messages_left()
    thread.join()
    assert found == [b"a message"]
    assert {body for _, _, body in upstream.requests} == {b"any?"}
    assert len({tuple(sorted(sent.items())) for _, sent, _ in upstream.requests}) == 1
    assert caller.front.traffic()["hospital-a"].requests == 1


@pytest.mark.parametrize("hold_s", [0.3])
def test_a_request_is_answered_in_the_end_and_the_next_one_waits_anew(caller, site, upstream):
    with caller.http(site) as http:
        for _ in range(2):
            answer = http.post(PULL, content=b"many 0")
            assert (answer.status_code, answer.content) == (200, b"")
    assert len(upstream.requests) == 2


def test_a_message_that_is_there_does_not_wait(caller, site, upstream):
    with caller.http(site) as http:
        assert http.post(PULL, content=b"a message").content == b"a message"
        assert http.post(PULL, content=b"another").content == b"another"
    assert len(upstream.requests) == 2


def test_only_requests_for_messages_wait(caller, site):
    with caller.http(site) as http:
        assert http.post("/v1/fleet/pull-object", content=b"many 0").content == b""
        assert http.post(PULL, content=b"status 503").status_code == 503


def test_who_is_gone_waits_no_more_and_nothing_is_fetched_for_it(caller, site, upstream):
    with caller.raw(site) as raw:
        head = "\r\n".join(
            [f"POST {PULL} HTTP/1.1", "host: h", "content-length: 6"]
            + [f"{name}: {value}" for name, value in headers_of(site).items()]
        )
        raw.sendall(f"{head}\r\n\r\nmany 0".encode())
        wait_until(lambda: waiting(caller))
    wait_until(lambda: not waiting(caller))
    caller.front.messages_left()
    with caller.http(site) as http:
        http.post(PULL, content=b"a message")
    assert [body for _, _, body in upstream.requests] == [b"many 0", b"a message"]


def test_the_coordinator_is_told_of_answers_that_came(caller, site, answers):
    with caller.http(site) as http:
        http.post("/v1/fleet/push-messages", content=b"x")
        http.post("/v1/fleet/push-object", content=b"x")
        http.post("/v1/fleet/push-object", content=b"status 403")
        http.post("/v1/fleet/pull-object", content=b"x")
    wait_until(lambda: len(answers) == 2)


def test_a_front_that_nobody_rings_keeps_nothing(authority, upstream, clock, tmp_path, site):
    with (
        Front(listen=("127.0.0.1", 0), upstream=upstream.address, authority=authority, clock=clock) as front,
        Caller(authority, tmp_path, front).http(site) as http,
    ):
        assert http.post(PULL, content=b"many 0").content == b""
