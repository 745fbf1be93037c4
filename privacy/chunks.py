"""A list of byte strings in one, for bodies of several ciphertexts: u32 count, u32 lengths, contents."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .errors import UpdateRejectedError


def join_chunks(chunks: Sequence[bytes]) -> bytes:
    """One byte string of several."""
    return struct.pack(f">{len(chunks) + 1}I", len(chunks), *map(len, chunks)) + b"".join(chunks)


def split_chunks(body: bytes, *, count: int, max_bytes: int) -> list[bytes]:
    """The inverse, for a known number of chunks.

    Raises:
        UpdateRejectedError: another number of chunks, one longer than `max_bytes`, or lengths that do not add up.
    """
    table = 4 * (count + 1)
    if len(body) < table:
        raise UpdateRejectedError(f"the body is too short for {count} ciphertexts: {len(body)} bytes")
    said, *lengths = struct.unpack_from(f">{count + 1}I", body)
    if said != count:
        raise UpdateRejectedError(f"expected {count} ciphertexts, got {said}")
    if any(length > max_bytes for length in lengths) or table + sum(lengths) != len(body):
        raise UpdateRejectedError("the lengths of the ciphertexts do not add up")
    chunks: list[bytes] = []
    start = table
    for length in lengths:
        chunks.append(body[start : start + length])
        start += length
    return chunks
