"""The wire format: what is written is read, and nothing that was damaged is."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy import EncryptedSum, EncryptedUpdate, Header, UpdateRejectedError

NUMBERS = st.integers(1, 2**31)
HEADERS = st.builds(
    Header,
    scheme=st.sampled_from(["plain", "ckks"]),
    key_id=st.text(max_size=40),
    run=st.text(max_size=40),
    round=NUMBERS,
    sender=st.text(max_size=60),
    layout=st.text("0123456789abcdef", min_size=64, max_size=64),
    values=NUMBERS,
    summands=NUMBERS,
)
FIELDS = {
    "scheme": "plain",
    "key_id": "",
    "run": "01JRUN",
    "round": 3,
    "sender": "site-1",
    "layout": "ab" * 32,
    "values": 7,
    "summands": 1,
}


def pack(header: bytes, *, magic: bytes = b"NSTU", version: int = 1, length: int | None = None) -> bytes:
    return struct.pack(">4sHI", magic, version, len(header) if length is None else length) + header


def document(**changes: object) -> bytes:
    return pack(json.dumps(FIELDS | changes).encode())


def without(name: str) -> bytes:
    return pack(json.dumps({key: value for key, value in FIELDS.items() if key != name}).encode())


@given(header=HEADERS, body=st.binary(max_size=200), role=st.sampled_from([EncryptedUpdate, EncryptedSum]))
def test_parsing_is_the_inverse_of_writing(header, body, role):
    parsed = role.from_bytes(role(header, body).to_bytes())
    assert (parsed.header, parsed.body) == (header, body)


def test_the_table_below_damages_something_valid(header):
    assert EncryptedUpdate.from_bytes(document()) == EncryptedUpdate(header, b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "too short", id="empty"),
        pytest.param(b"NSTU\0\1\0\0\0", "too short", id="a-byte-missing"),
        pytest.param(pack(b"{}", magic=b"NSTV"), "not a protected vector of version 1", id="magic"),
        pytest.param(pack(b"{}", version=0), "not a protected vector of version 1", id="older"),
        pytest.param(pack(b"{}", version=2), "not a protected vector of version 1", id="newer"),
        pytest.param(pack(b"{}", length=2**32 - 1), "length is wrong: 4294967295", id="huge-length"),
        pytest.param(pack(b"{}", length=3), "length is wrong: 3", id="length-beyond-the-data"),
        pytest.param(pack(b" " * 4097), "length is wrong: 4097", id="longer-than-any-header"),
        pytest.param(pack(b"{}", length=1), "not JSON", id="length-too-small"),
        pytest.param(pack(b""), "not JSON", id="no-header"),
        pytest.param(pack(b"\xff\xfe"), "not JSON", id="not-text"),
        pytest.param(pack(b"{'scheme': 1}"), "not JSON", id="not-json"),
        pytest.param(pack(b"[" * 4096), "not JSON", id="deep"),
        pytest.param(pack(b"9" * 4096), "must have the fields", id="a-number"),
        pytest.param(pack(b"null"), "must have the fields", id="null"),
        pytest.param(pack(b"[]"), "must have the fields", id="a-list"),
        pytest.param(pack(b"{}"), "must have the fields", id="no-fields"),
        pytest.param(document(signature=""), "must have the fields", id="extra-field"),
        pytest.param(document(round="3"), "'round' must be int", id="text-for-a-number"),
        pytest.param(document(round=True), "'round' must be int", id="truth-for-a-number"),
        pytest.param(document(values=7.0), "'values' must be int", id="float-for-an-integer"),
        pytest.param(document(summands=None), "'summands' must be int", id="null-for-a-number"),
        pytest.param(document(run=1), "'run' must be str", id="number-for-a-text"),
        pytest.param(document(sender=["site-1"]), "'sender' must be str", id="list-for-a-text"),
        pytest.param(document(values=0), "out of range", id="no-values"),
        pytest.param(document(values=-7), "out of range", id="negative-values"),
        pytest.param(document(values=2**31 + 1), "out of range", id="too-many-values"),
        pytest.param(document(summands=0), "out of range", id="no-summands"),
        pytest.param(document(summands=10**400), "out of range", id="huge-summands"),
        pytest.param(document(round=-1), "out of range", id="negative-round"),
        *(pytest.param(without(name), "must have the fields", id=f"without-{name}") for name in FIELDS),
    ],
)
def test_what_is_damaged_is_refused_with_a_reason(data, reason):
    with pytest.raises(UpdateRejectedError, match=reason):
        EncryptedUpdate.from_bytes(data)


def check_refused_or_understood(data: bytes) -> None:
    """Bytes from outside are refused, or they are an envelope that survives being sent on; nothing else is raised."""
    try:
        parsed = EncryptedUpdate.from_bytes(data)
    except UpdateRejectedError:
        return
    assert EncryptedUpdate.from_bytes(parsed.to_bytes()) == parsed


@given(st.binary(max_size=300))
def test_random_bytes_are_at_most_refused(data):
    check_refused_or_understood(data)


@given(st.binary(max_size=300))
def test_a_random_header_is_at_most_refused(data):
    check_refused_or_understood(pack(data))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES))
def test_random_fields_are_at_most_refused(changes):
    check_refused_or_understood(document(**changes))


@given(st.data())
def test_a_random_mutation_is_at_most_refused(data):
    mutant = bytearray(document() + b"body of the update")
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(mutant)))
        end = data.draw(st.integers(start, min(len(mutant), start + 6)))
        mutant[start:end] = data.draw(st.binary(max_size=6))
    check_refused_or_understood(bytes(mutant))
