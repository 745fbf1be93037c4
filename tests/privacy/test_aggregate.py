"""The coordinator's sum: what belongs into it is added exactly, what does not leaves it as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.privacy import (
    Aggregator,
    CkksAdder,
    CkksCipher,
    EncryptedSum,
    EncryptedUpdate,
    Header,
    PlainAdder,
    PlainCipher,
    UpdateRejectedError,
)

SIZE = 7
RUN, ROUND, LAYOUT = "01JRUN", 3, "ab" * 32


def make_aggregator(adder, size=SIZE):
    return Aggregator(adder, run=RUN, round=ROUND, layout=LAYOUT, values=size)


def make_update(cipher, vector, sender, /, **changes):
    header = Header(
        scheme=cipher.scheme,
        key_id=cipher.key_id,
        run=RUN,
        round=ROUND,
        sender=sender,
        layout=LAYOUT,
        values=len(vector),
        summands=1,
    )
    return EncryptedUpdate(replace(header, **changes), cipher.encrypt(vector))


def open_sum(cipher, aggregator, size=SIZE, *, min_summands=1):
    total = EncryptedSum.from_bytes(aggregator.finish(min_summands=min_summands).to_bytes())
    return total.header, cipher.decrypt(total.body, size)


@pytest.mark.parametrize("size", [1, SIZE, 4097])
@pytest.mark.parametrize("clients", [1, 2, 5])
def test_the_sum_is_exact_and_says_what_it_is(scheme, draw_vectors, size, clients):
    cipher, adder = scheme
    aggregator = make_aggregator(adder, size)
    vectors = draw_vectors(clients, size)
    for i, vector in enumerate(vectors):
        aggregator.add(make_update(cipher, vector, f"site-{i}").to_bytes(), sender=f"site-{i}")
        assert aggregator.summands == i + 1
    header, total = open_sum(cipher, aggregator, size, min_summands=clients)
    np.testing.assert_array_equal(total, sum(vectors))
    assert header == Header(
        scheme=cipher.scheme,
        key_id=cipher.key_id,
        run=RUN,
        round=ROUND,
        sender="coordinator",
        layout=LAYOUT,
        values=size,
        summands=clients,
    )


def test_the_order_of_the_updates_does_not_matter(scheme, draw_vectors):
    cipher, adder = scheme
    updates = [(f"site-{i}", make_update(cipher, v, f"site-{i}")) for i, v in enumerate(draw_vectors(4, SIZE))]
    totals: list[np.ndarray] = []
    for order in (updates, updates[::-1]):
        aggregator = make_aggregator(adder)
        for sender, update in order:
            aggregator.add(update.to_bytes(), sender=sender)
        totals.append(open_sum(cipher, aggregator)[1])
    np.testing.assert_array_equal(*totals)


def test_a_sum_can_be_asked_for_twice_and_grow_between(scheme):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for i in (1, 2):
        aggregator.add(make_update(cipher, np.ones(SIZE), f"site-{i}").to_bytes(), sender=f"site-{i}")
        for _ in range(2):
            np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], i)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"run": "01JOTHER"}, "run is '01JOTHER', expected '01JRUN'", id="run"),
        pytest.param({"round": 2}, "round is 2, expected 3", id="replay-of-the-round-before"),
        pytest.param({"round": 4}, "round is 4, expected 3", id="round-to-come"),
        pytest.param({"layout": "cd" * 32}, "layout is 'cdcd", id="layout"),
        pytest.param({"key_id": "ef" * 16}, "key_id is 'efef", id="key"),
        pytest.param({"scheme": "bfv"}, "scheme is 'bfv', expected", id="scheme"),
        pytest.param({"sender": "site-1"}, "sender is 'site-1', expected 'site-2'", id="another's-update"),
        pytest.param({"sender": "coordinator"}, "sender is 'coordinator'", id="a-sum"),
        pytest.param({"values": SIZE - 1}, "values is 6, expected 7", id="fewer-values"),
        pytest.param({"values": 2**31}, "values is 2147483648, expected 7", id="more-values"),
        pytest.param({"summands": 2}, "summands is 2, expected 1", id="summands"),
        pytest.param({"run": "x" * 3000}, "run is 'x{99}, expected", id="reason-stays-short"),
        pytest.param({"run": "\0\ud800"}, r"run is '\\x00\\ud800', expected", id="reason-stays-printable"),
    ],
)
def test_an_update_that_belongs_elsewhere_is_refused_and_the_sum_unchanged(scheme, changes, reason):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    aggregator.add(make_update(cipher, np.full(SIZE, 5), "site-1").to_bytes(), sender="site-1")
    with pytest.raises(UpdateRejectedError, match=reason):
        aggregator.add(make_update(cipher, np.ones(SIZE), "site-2", **changes).to_bytes(), sender="site-2")
    assert aggregator.summands == 1
    np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], 5)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="nothing"),
        pytest.param(lambda data: b"garbage", id="garbage"),
        pytest.param(lambda data: data[:-1], id="a-byte-less"),
        pytest.param(lambda data: data + b"\0", id="a-byte-more"),
        pytest.param(lambda data: data[: data.index(b"}") + 1], id="no-body"),
        pytest.param(lambda data: data[: data.index(b"}") + 1] + b"garbage", id="garbage-body"),
        pytest.param(lambda data: data[: data.index(b"}") + 1] + bytes(10**6), id="huge-body"),
    ],
)
def test_a_damaged_update_is_refused_and_its_sender_may_try_again(scheme, damage):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    aggregator.add(make_update(cipher, np.full(SIZE, 5), "site-1").to_bytes(), sender="site-1")
    good = make_update(cipher, np.ones(SIZE), "site-2").to_bytes()
    with pytest.raises(UpdateRejectedError):
        aggregator.add(damage(good), sender="site-2")
    np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], 5)
    aggregator.add(good, sender="site-2")
    np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], 6)


def test_a_second_update_of_a_site_is_refused(scheme):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for vector, expected in ((np.full(SIZE, 5), None), (np.ones(SIZE), "a second update from site-1 in round 3")):
        data = make_update(cipher, vector, "site-1").to_bytes()
        if expected is None:
            aggregator.add(data, sender="site-1")
            continue
        with pytest.raises(UpdateRejectedError, match=expected):
            aggregator.add(data, sender="site-1")
    np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], 5)


def test_a_body_is_not_parsed_before_its_header_is_checked():
    class Untouchable(PlainAdder):
        def parse(self, body, count):
            pytest.fail("the body was parsed")

    update = make_update(PlainCipher(), np.ones(SIZE), "site-1", round=2)
    with pytest.raises(UpdateRejectedError, match="round"):
        make_aggregator(Untouchable()).add(update.to_bytes(), sender="site-1")


def test_an_update_that_cannot_be_added_is_refused_and_the_sum_unchanged(key):
    cipher, adder = CkksCipher(key), CkksAdder(key.public())
    aggregator = make_aggregator(adder)
    first = make_update(cipher, np.full(SIZE, 5), "site-1")
    aggregator.add(first.to_bytes(), sender="site-1")
    [vector] = adder.parse(first.body, SIZE)
    cancelling = replace(first, header=replace(first.header, sender="site-2"), body=adder.serialise([-vector]))
    with pytest.raises(UpdateRejectedError, match="cannot be added"):
        aggregator.add(cancelling.to_bytes(), sender="site-2")
    assert aggregator.summands == 1
    np.testing.assert_array_equal(open_sum(cipher, aggregator)[1], 5)


@pytest.mark.parametrize(("updates", "needed"), [(0, 1), (1, 2), (2, 3)])
def test_too_small_a_sum_is_not_given_out(scheme, updates, needed):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for i in range(updates):
        aggregator.add(make_update(cipher, np.ones(SIZE), f"site-{i}").to_bytes(), sender=f"site-{i}")
    with pytest.raises(UpdateRejectedError, match=f"has {updates} accepted updates, expected at least {needed}"):
        aggregator.finish(min_summands=needed)


@pytest.mark.parametrize("needed", [0, -1])
def test_a_sum_of_no_updates_cannot_be_asked_for(scheme, needed):
    with pytest.raises(ConfigError, match=f"min_summands >= 1, got {needed}"):
        make_aggregator(scheme[1]).finish(min_summands=needed)


def test_a_full_sum_takes_no_more():
    cipher = PlainCipher()
    aggregator = make_aggregator(PlainAdder(), 1)
    for i in range(1024):
        aggregator.add(make_update(cipher, np.ones(1), str(i)).to_bytes(), sender=str(i))
    with pytest.raises(UpdateRejectedError, match="the sum is full: 1024 updates"):
        aggregator.add(make_update(cipher, np.ones(1), "more").to_bytes(), sender="more")
    np.testing.assert_array_equal(open_sum(cipher, aggregator, 1)[1], 1024)
