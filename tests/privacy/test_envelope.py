"""The wire format: its bytes are known, what is written is read, and nothing that was damaged is."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy import (
    EncryptedSum,
    EncryptedUpdate,
    Header,
    Identity,
    MalformedUpdateError,
    SignatureError,
)
from nasturtium.privacy.envelope import ENVELOPE_BYTES, MAX_BODY_BYTES, MAX_VALUES

SITE = Identity("site-1", bytes(range(64)))
OTHER = Identity("site-2", bytes(range(64, 128)))
HEADER = Header(
    preset="0123456789abcdef",
    key_id="00112233445566778899aabbccddeeff",
    run="01JRUN",
    round=3,
    attempt=2,
    sender=SITE.public.id,
    layout="ab" * 32,
    values=7,
    summands=1,
    ciphertexts=1,
    tagged=False,
)
BODY = b"the body"
# As the docstring of `envelope` lays it out. Ed25519 is deterministic (RFC 8032), so the signature is known, too.
KNOWN_FIELDS = (
    "4e535455 0001 {kind} 00 0123456789abcdef 00112233445566778899aabbccddeeff"
    "30314a52554e0000000000000000000000000000000000000000 00000003 00000002 {sender}"
    "abababababababababababababababababababababababababababababababab"
    "0000000000000007 00000001 00000001 0000000000000008 74686520626f6479"
)
KNOWN_SENDER = "14ee58f73bcf9630f08a9707e16b2d4f"
KNOWN = {
    EncryptedUpdate: (
        "01",
        "e998fd331553bee28df6a262678e3a496dcbfe0b363fceeb6fa46c5a62d26b71"
        "bf37c184219b3c528e4ccb46ccfb336aa2d8e4ed13251663ef1ea77519b12102",
    ),
    EncryptedSum: (
        "02",
        "0fc949d5dd14b4dd5c02f64562f0edd939a72974a9460ce8e29647867c55ef5a"
        "89ade81dc09903502df9d20641cdfb112a4710119ff25ad1bb2745bc0bd0cd02",
    ),
}
ROLES = st.sampled_from([EncryptedUpdate, EncryptedSum])
HEADERS = st.builds(
    Header,
    preset=st.binary(min_size=8, max_size=8).map(bytes.hex),
    key_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    run=st.from_regex(r"[A-Za-z0-9]{1,26}", fullmatch=True),
    round=st.integers(1, 2**32 - 1),
    attempt=st.integers(1, 2**32 - 1),
    sender=st.just(SITE.public.id),
    layout=st.binary(min_size=32, max_size=32).map(bytes.hex),
    values=st.integers(1, MAX_VALUES),
    summands=st.integers(1, 2**32 - 1),
    ciphertexts=st.integers(0, MAX_VALUES),
    masked=st.booleans(),
    tagged=st.booleans(),
)


def good() -> bytes:
    return EncryptedUpdate.sign(HEADER, BODY, SITE).to_bytes()


def put(offset: int, piece: bytes) -> bytes:
    data = good()
    return data[:offset] + piece + data[offset + len(piece) :]


@pytest.mark.parametrize("role", [EncryptedUpdate, EncryptedSum])
def test_the_bytes_are_known(role):
    kind, signature = KNOWN[role]
    known = bytes.fromhex(KNOWN_FIELDS.format(kind=kind, sender=KNOWN_SENDER) + signature)
    envelope = role.sign(HEADER, BODY, SITE)
    assert envelope.to_bytes().hex() == known.hex()
    assert role.from_bytes(known) == envelope


@pytest.mark.parametrize(
    ("masked", "tagged", "flags"), [(False, False, 0), (True, False, 1), (False, True, 2), (True, True, 3)]
)
def test_flags_stand_in_the_eighth_byte(masked, tagged, flags):
    envelope = EncryptedUpdate.sign(replace(HEADER, masked=masked, tagged=tagged), BODY, SITE)
    data = envelope.to_bytes()
    assert data[7] == flags
    assert data[:7] + b"\0" + data[8:-64] == good()[:-64]
    assert EncryptedUpdate.from_bytes(data) == envelope


@pytest.mark.parametrize("role", [EncryptedUpdate, EncryptedSum])
def test_the_signature_is_over_all_that_stands_before_it(role):
    data = role.sign(HEADER, BODY, SITE).to_bytes()
    message = b"nasturtium " + role.domain.encode() + b"\0" + hashlib.sha256(data[:-64]).digest()
    Ed25519PublicKey.from_public_bytes(SITE.public.signing_key).verify(data[-64:], message)


@given(header=HEADERS, body=st.binary(max_size=200), role=ROLES)
def test_parsing_is_the_inverse_of_writing(header, body, role):
    envelope = role.sign(header, body, SITE)
    data = envelope.to_bytes()
    parsed = role.from_bytes(data)
    assert parsed == envelope
    parsed.verify(SITE.public)
    assert parsed.to_bytes() == data
    assert len(data) == ENVELOPE_BYTES + len(body)


@given(st.data())
def test_bytes_from_outside_are_refused_or_mean_one_thing(data):
    """An envelope has one form in bytes: what two could be read from, one signature would be good for."""
    mutant = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(mutant)))
        end = data.draw(st.integers(start, min(len(mutant), start + 6)))
        mutant[start:end] = data.draw(st.binary(max_size=6))
    try:
        parsed = EncryptedUpdate.from_bytes(bytes(mutant))
    except MalformedUpdateError:
        return
    assert parsed.to_bytes() == mutant


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "too short for a protected vector: 0 bytes", id="empty"),
        pytest.param(good()[: ENVELOPE_BYTES - 1], "too short", id="shorter-than-any"),
        pytest.param(good()[:-1], "its body has 8 bytes, but has 209 in all", id="a-byte-missing"),
        pytest.param(good() + b"\0", "its body has 8 bytes, but has 211 in all", id="a-byte-more"),
        pytest.param(put(0, b"NSTV"), "not a protected vector of version 1", id="magic"),
        pytest.param(put(4, b"\0\0"), "not a protected vector of version 1", id="older"),
        pytest.param(put(4, b"\0\2"), "not a protected vector of version 1", id="newer"),
        pytest.param(put(6, b"\0"), "expected an update v1, got an envelope of kind 0", id="no-kind"),
        pytest.param(put(6, b"\2"), "expected an update v1, got an envelope of kind 2", id="a-sum"),
        pytest.param(put(7, b"\4"), "not a protected vector of version 1", id="unknown-flag"),
        pytest.param(put(7, b"\x82"), "not a protected vector of version 1", id="highest-flag"),
        pytest.param(put(32, bytes(26)), "run: expected", id="no-run"),
        pytest.param(put(32, b"\0" * 25 + b"R"), "run: expected", id="run-after-zeros"),
        pytest.param(put(35, b"\0"), "run: expected", id="zero-in-the-run"),
        pytest.param(put(32, b"../../etc/passwd"), "run: expected", id="run-is-a-path"),
        pytest.param(put(32, b"\xb2"), "run: expected", id="run-with-a-digit-that-is-not-ascii"),
        pytest.param(put(58, bytes(4)), "round: expected 1 to", id="round-zero"),
        pytest.param(put(62, bytes(4)), "attempt: expected 1 to", id="attempt-zero"),
        pytest.param(put(114, bytes(8)), "values: expected 1 to", id="no-values"),
        pytest.param(put(114, struct.pack(">Q", MAX_VALUES + 1)), "values: expected 1 to", id="too-many-values"),
        pytest.param(put(114, b"\xff" * 8), "values: expected 1 to", id="most-values"),
        pytest.param(put(122, bytes(4)), "summands: expected 1 to", id="no-summands"),
        pytest.param(put(126, b"\xff" * 4), "ciphertexts: expected 0 to", id="most-ciphertexts"),
        pytest.param(put(130, b"\xff" * 8), "its body has 18446744073709551615 bytes", id="largest-body"),
        pytest.param(put(130, struct.pack(">Q", MAX_BODY_BYTES)), "its body has 68719476736 bytes", id="large-body"),
        pytest.param(put(130, bytes(8)), "its body has 0 bytes", id="no-body"),
    ],
)
def test_what_is_damaged_is_refused_with_a_reason(data, reason):
    with pytest.raises(MalformedUpdateError, match=reason):
        EncryptedUpdate.from_bytes(data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"preset": "01" * 7}, "preset: expected 8 bytes as hex", id="short"),
        pytest.param({"key_id": "01" * 17}, "key_id: expected 16 bytes as hex", id="long"),
        pytest.param({"sender": "AB" * 16}, "sender: expected 16 bytes as hex, got 'ABAB", id="capitals"),
        pytest.param({"layout": " " * 64}, "layout: expected 32 bytes as hex", id="no-digits"),
        pytest.param({"run": ""}, "run: expected at most 26", id="no-run"),
        pytest.param({"run": "0" * 27}, "run: expected at most 26", id="long-run"),
        pytest.param({"run": "01J-RUN"}, "run: expected at most 26 letters and digits", id="run-with-a-dash"),
        pytest.param({"run": "\u0661"}, "run: expected at most 26 letters and digits", id="arabic-digit"),
        pytest.param({"round": 0}, "round: expected 1 to", id="round-zero"),
        pytest.param({"round": 2**32}, "round: expected 1 to", id="round-too-large"),
        pytest.param({"attempt": -1}, "attempt: expected 1 to", id="negative-attempt"),
        pytest.param({"values": 10**400}, "values: expected 1 to", id="huge-values"),
        pytest.param({"ciphertexts": -1}, "ciphertexts: expected 0 to", id="negative-ciphertexts"),
    ],
)
def test_a_header_that_does_not_fit_is_not_made(changes, reason):
    with pytest.raises(MalformedUpdateError, match=reason) as caught:
        replace(HEADER, **changes)
    assert len(str(caught.value)) < 600


def test_a_body_is_neither_copied_nor_allocated():
    data = EncryptedUpdate.sign(HEADER, bytes(10**6), SITE).to_bytes()
    lying = data[:130] + struct.pack(">Q", MAX_BODY_BYTES) + data[138:]
    tracemalloc.start()
    try:
        parsed = EncryptedUpdate.from_bytes(data)
        parsed.verify(SITE.public)
        with pytest.raises(MalformedUpdateError):
            EncryptedUpdate.from_bytes(lying)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parsed.body.obj is data
    assert peak < 100_000


def test_nobody_signs_in_the_name_of_another():
    with pytest.raises(MalformedUpdateError, match="site-2 cannot sign in the name of"):
        EncryptedUpdate.sign(HEADER, BODY, OTHER)


def test_every_field_the_body_and_the_kind_are_signed():
    update = EncryptedUpdate.sign(HEADER, BODY, SITE)
    changes = {
        "preset": "ff" * 8,
        "key_id": "ff" * 16,
        "run": "01JRUM",
        "round": 4,
        "attempt": 3,
        "sender": OTHER.public.id,
        "layout": "ff" * 32,
        "values": 8,
        "summands": 2,
        "ciphertexts": 2,
        "masked": True,
        "tagged": True,
    }
    assert set(changes) == set(Header.__slots__)
    forged = [replace(update, header=replace(HEADER, **{name: value})) for name, value in changes.items()]
    forged += [replace(update, body=b"The body"), replace(update, body=BODY + b"\0")]
    forged += [EncryptedSum(update.header, update.body, update.signature)]
    digest = hashlib.sha256(update.to_bytes()[:-64]).digest()
    forged += [replace(update, signature=signer.sign("sum v1", digest)) for signer in (SITE, OTHER)]
    forged += [replace(update, signature=OTHER.sign("update v1", digest)), replace(update, signature=b"")]
    for envelope in forged:
        with pytest.raises(SignatureError, match="is not that of site-1"):
            envelope.verify(SITE.public)
    with pytest.raises(SignatureError, match="is not that of site-2"):
        update.verify(OTHER.public)
    update.verify(SITE.public)


def test_a_text_about_an_envelope_does_not_show_its_body():
    """Under the scheme `plain` it would be the update in the clear."""
    update = EncryptedUpdate.sign(HEADER, BODY, SITE)
    assert "body" not in repr(update)
    assert "01JRUN" in repr(update)
