"""Several byte strings in one: joined and split again, and never split by a table that lies."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy import UpdateRejectedError
from nasturtium.privacy.chunks import join_chunks, split_chunks


@given(st.lists(st.binary(max_size=20), max_size=9))
def test_splitting_is_the_inverse_of_joining(chunks):
    assert split_chunks(join_chunks(chunks), count=len(chunks), max_bytes=20) == chunks


def table(*numbers: int, contents: bytes = b"abcde") -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers) + contents


def test_the_table_below_damages_something_valid():
    assert split_chunks(table(2, 2, 3), count=2, max_bytes=3) == [b"ab", b"cde"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "too short", id="empty"),
        pytest.param(table(2, 2, contents=b""), "too short", id="table-cut-off"),
        pytest.param(table(1, 5, 0), "expected 2 ciphertexts, got 1", id="fewer"),
        pytest.param(table(3, 2, 3), "expected 2 ciphertexts, got 3", id="more"),
        pytest.param(table(2**32 - 1, 2, 3), "expected 2 ciphertexts", id="huge-count"),
        pytest.param(table(2, 2, 2), "do not add up", id="less-than-there-is"),
        pytest.param(table(2, 3, 3), "do not add up", id="more-than-there-is"),
        pytest.param(table(2, 1, 4), "do not add up", id="one-too-long"),
        pytest.param(table(2, 2**32 - 1, 6), "do not add up", id="right-only-modulo-2-to-the-32"),
        pytest.param(table(2, 2, 3, contents=b""), "do not add up", id="no-contents"),
    ],
)
def test_a_table_that_lies_is_refused(body, reason):
    with pytest.raises(UpdateRejectedError, match=reason):
        split_chunks(body, count=2, max_bytes=3)


@given(st.binary(max_size=60), st.integers(0, 9))
def test_random_bytes_are_split_as_agreed_or_refused(body, count):
    try:
        chunks = split_chunks(body, count=count, max_bytes=10)
    except UpdateRejectedError:
        return
    assert join_chunks(chunks) == body
    assert len(chunks) == count
