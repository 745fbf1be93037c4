"""A site's two steps: what it protects opens again, and what is not the sum it waits for is not opened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.privacy import (
    Aggregator,
    EncryptedSum,
    EncryptedUpdate,
    Identity,
    MalformedUpdateError,
    PackedAdder,
    PackedCipher,
    PlainCipher,
    PrivacyError,
    SignatureError,
    Sitting,
    TooFewSitesError,
    TooManyClientsError,
    UnknownSenderError,
    UpdateRejectedError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
    open_sum,
    protect,
    smallest_preset,
)

VALUES = 7
SITTING = Sitting(run="01JRUN", round=3, attempt=2, layout="ab" * 32, values=VALUES)


@pytest.fixture
def total(scheme, sites, coordinator) -> EncryptedSum:
    """Of three updates of one."""
    cipher, adder = scheme
    members = {site.public.id: site.public for site in sites}
    aggregator = Aggregator(adder, SITTING, members=members, signer=coordinator)
    for site in sites[:3]:
        aggregator.add(
            protect(cipher, SITTING, np.ones(VALUES, np.uint8), signer=site).to_bytes(), sender=site.public.id
        )
    return aggregator.finish()


class Untouched:
    """A cipher that must not be asked to open anything."""

    def __init__(self, cipher) -> None:
        self._cipher = cipher

    def __getattr__(self, name: str):
        return getattr(self._cipher, name)

    def decrypt(self, body, count):
        pytest.fail("a sum was opened")


@given(data=st.data(), clients=st.integers(3, 4), values=st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_what_sites_protect_opens_as_its_exact_sum(key, preset, sites, coordinator, data, clients, values):
    sitting = replace(SITTING, values=values)
    vectors = st.lists(st.integers(0, preset.symbols - 1), min_size=values, max_size=values)
    updates = [np.array(data.draw(vectors), np.uint16) for _ in range(clients)]
    members = {site.public.id: site.public for site in sites}
    cipher = PackedCipher(key, preset)
    aggregator = Aggregator(PackedAdder(preset, key.key_id), sitting, members=members, signer=coordinator)
    for site, update in zip(sites, updates, strict=False):
        aggregator.add(protect(cipher, sitting, update, signer=site).to_bytes(), sender=site.public.id)
    opened = open_sum(cipher, sitting, aggregator.finish().to_bytes(), coordinator=coordinator.public)
    assert opened.senders == tuple(sorted(aggregator.senders))
    assert len(opened.senders) == clients
    assert opened.sums.dtype == np.uint32
    np.testing.assert_array_equal(opened.sums, sum(update.astype(np.int64) for update in updates))


@pytest.mark.parametrize(
    "symbols",
    [
        pytest.param(np.ones(VALUES - 1, np.uint8), id="too-few"),
        pytest.param(np.ones(VALUES + 1, np.uint8), id="too-many"),
        pytest.param(np.ones((1, VALUES), np.uint8), id="a-row"),
        pytest.param(np.ones(VALUES, np.int64), id="signed"),
        pytest.param(np.full(VALUES, -2), id="negative"),
        pytest.param(np.ones(VALUES), id="floating"),
        pytest.param(np.full(VALUES, 255, np.uint8), id="beyond-the-preset"),
    ],
)
def test_what_are_no_symbols_of_an_update_is_not_protected(scheme, sites, symbols):
    with pytest.raises(PrivacyError, match=r"expected .* of shape|a symbol is beyond the 255"):
        protect(scheme[0], SITTING, symbols, signer=sites[0])


def test_an_update_says_what_it_belongs_to_and_is_signed(scheme, sites):
    cipher, adder = scheme
    update = protect(cipher, SITTING, np.ones(VALUES, np.uint8), signer=sites[0])
    assert update.header == SITTING.header(adder, sites[0].public.id)
    assert len(update.body) == adder.update_bytes(SITTING.symbols(adder))
    EncryptedUpdate.from_bytes(update.to_bytes()).verify(sites[0].public)


def test_a_sum_is_opened_as_often_as_it_is_sent(scheme, total, coordinator):
    for _ in range(2):
        opened = open_sum(scheme[0], SITTING, total.to_bytes(), coordinator=coordinator.public)
        assert (opened.sums.tolist(), len(opened.senders)) == ([3] * VALUES, 3)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"run": "01JOTHER"}, WrongRunError, id="run"),
        pytest.param({"round": 2}, WrongRoundError, id="round-before"),
        pytest.param({"round": 4}, WrongRoundError, id="round-to-come"),
        pytest.param({"attempt": 1}, WrongRoundError, id="attempt-before"),
        pytest.param({"attempt": 3}, WrongRoundError, id="attempt-to-come"),
        pytest.param({"preset": "cd" * 8}, WrongPresetError, id="preset"),
        pytest.param({"masked": True}, WrongPresetError, id="masked"),
        pytest.param({"tagged": False}, WrongPresetError, id="without-tags"),
        pytest.param({"key_id": "ef" * 16}, WrongKeyError, id="key"),
        pytest.param({"layout": "cd" * 32}, WrongLayoutError, id="layout"),
        pytest.param({"values": VALUES - 1}, WrongLayoutError, id="fewer-values"),
        pytest.param({"values": 2**31}, WrongLayoutError, id="more-values"),
        pytest.param({"ciphertexts": 9}, MalformedUpdateError, id="ciphertexts"),
        pytest.param({"summands": 1}, TooFewSitesError, id="one-update"),
        pytest.param({"summands": 2}, TooFewSitesError, id="two-updates"),
        pytest.param({"summands": 5}, TooManyClientsError, id="more-updates-than-are-exact"),
        pytest.param({"summands": 2**32 - 1}, TooManyClientsError, id="most-updates"),
    ],
)
def test_a_sum_that_belongs_elsewhere_is_not_opened(scheme, total, coordinator, fields, error):
    """Though the coordinator itself has signed it."""
    forged = EncryptedSum.sign(replace(total.header, **fields), total.body, coordinator).to_bytes()
    with pytest.raises(UpdateRejectedError) as refused:
        open_sum(Untouched(scheme[0]), SITTING, forged, coordinator=coordinator.public)
    assert type(refused.value) is error


def test_what_the_coordinator_did_not_sign_is_not_opened(scheme, total, sites, coordinator):
    impostor = Identity("coordinator", bytes([10]) * 64)
    header, body = total.header, bytes(total.body)
    renamed = EncryptedSum.sign(replace(header, sender=impostor.public.id), body, impostor)
    of_a_site = EncryptedSum.sign(replace(header, sender=sites[0].public.id), body, sites[0])
    update = EncryptedUpdate.sign(header, body, coordinator)
    forgeries = [
        (renamed, UnknownSenderError),
        (of_a_site, UnknownSenderError),
        (EncryptedSum(header, body, renamed.signature), SignatureError),
        (EncryptedSum(header, body, update.signature), SignatureError),
        (EncryptedSum(header, bytes(len(body)), total.signature), SignatureError),
        (EncryptedSum(replace(header, summands=4), bytes(16) + body, total.signature), SignatureError),
        (update, MalformedUpdateError),
    ]
    for forged, error in forgeries:
        with pytest.raises(UpdateRejectedError) as refused:
            open_sum(Untouched(scheme[0]), SITTING, forged.to_bytes(), coordinator=coordinator.public)
        assert type(refused.value) is error


def test_a_site_with_another_key_scheme_or_preset_does_not_open_the_sum(
    key, other_key, preset, total, scheme, coordinator
):
    ours, other_preset = scheme[0], smallest_preset(5, 8)
    others = [PlainCipher(other_preset), PackedCipher(key, other_preset), PackedCipher(other_key, preset)]
    others.append(PackedCipher(key, preset) if ours.scheme == "plain" else PlainCipher(preset))
    errors = []
    for cipher in others:
        with pytest.raises(UpdateRejectedError) as refused:
            open_sum(Untouched(cipher), SITTING, total.to_bytes(), coordinator=coordinator.public)
        errors.append(type(refused.value))
    same_preset = WrongPresetError if ours.scheme == "plain" else WrongKeyError
    assert errors == [WrongPresetError, WrongPresetError, same_preset, WrongPresetError]


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"\0", lambda body: body[:48]])
def test_a_signed_sum_of_another_length_is_not_opened_and_nothing_is_told(scheme, total, coordinator, change):
    forged = EncryptedSum.sign(total.header, change(bytes(total.body)), coordinator)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        open_sum(scheme[0], SITTING, forged.to_bytes(), coordinator=coordinator.public)


def ids(body: bytes | memoryview) -> list[bytes]:
    """Of the three senders a sum begins with."""
    return [bytes(body[start : start + 16]) for start in (0, 16, 32)]


@pytest.mark.parametrize(
    ("senders", "reason"),
    [
        pytest.param(lambda a, b, c: [c, b, a], "not in the order of their ids", id="backwards"),
        pytest.param(lambda a, b, c: [a, b, b], "or one stands twice", id="one-twice"),
        pytest.param(lambda a, b, c: [a, a, a], "or one stands twice", id="one-for-all"),
    ],
)
def test_a_sum_names_every_sender_once_and_in_order(scheme, total, coordinator, senders, reason):
    body = b"".join(senders(*ids(total.body))) + bytes(total.body[48:])
    forged = EncryptedSum.sign(total.header, body, coordinator).to_bytes()
    with pytest.raises(MalformedUpdateError, match=reason):
        open_sum(Untouched(scheme[0]), SITTING, forged, coordinator=coordinator.public)


@pytest.mark.parametrize("length", [0, 47])
def test_a_sum_that_does_not_name_its_senders_is_not_opened(scheme, total, coordinator, length):
    forged = EncryptedSum.sign(total.header, bytes(total.body[:length]), coordinator).to_bytes()
    with pytest.raises(MalformedUpdateError, match="a sum of 3 updates does not name their senders"):
        open_sum(Untouched(scheme[0]), SITTING, forged, coordinator=coordinator.public)


@pytest.mark.parametrize("masked", [True, False])
def test_a_mask_is_there_exactly_where_the_round_has_them(key, preset, sites, masked):
    """An update without a mask that says it has one would be opened by whoever holds the key."""
    mask = None if masked else object()
    with pytest.raises(PrivacyError, match=f"expected {'a' if masked else 'no'} mask for an update of this round"):
        protect(
            PackedCipher(key, preset),
            replace(SITTING, masked=masked),
            np.ones(VALUES, np.uint8),
            signer=sites[0],
            mask=mask,
        )
