"""Long vectors of integers most of which are the same, in few bytes: where the others are, and what they are.

    fill, 4 bytes little-endian | map of the root | maps below, from the top | the other numbers, packed

A map has a bit for each of the 8 bits (or numbers) below it, set where something other than the fill is there; only
bytes under a set bit are written. So a block of 8, 64, 512, ... numbers that are all the fill costs one bit at most.
Where 1 % are something else, here and there, the maps cost 0.16 bits a number (measured), half of a list of places.
"""

from __future__ import annotations

import numpy as np

from .errors import MalformedUpdateError
from .packing import pack_words, unpack_words, words_bytes

_FILL_BYTES = 4


def longest_sparse(count: int, bits: int) -> int:
    """The most bytes that `count` numbers of `bits` bits take."""
    return _FILL_BYTES + sum(_map_bytes(count)) + words_bytes(_whole(count) * 8, bits)


def pack_sparse(numbers: np.ndarray, fill: int, bits: int) -> bytes:
    """Integers as bytes, few where most are `fill`.

    Args:
        numbers: shape (n,), n >= 1, an unsigned dtype, each below 2**bits.
        fill: 0 to 2**32 - 1.
        bits: of a number, 1 to 32.
    """
    sizes = _map_bytes(len(numbers))
    other = numbers != fill
    maps: list[np.ndarray] = []
    below = other
    for size in reversed(sizes):
        bytes_of = np.zeros(size, np.uint8)
        packed = np.packbits(below)
        bytes_of[: len(packed)] = packed
        maps.append(bytes_of)
        below = bytes_of != 0
    written = [maps[-1], *(each[each != 0] for each in reversed(maps[:-1]))]
    found = numbers[other]
    words = np.zeros((1, _whole(len(found)) * 8), np.uint64)
    words[0, : len(found)] = found
    head = fill.to_bytes(_FILL_BYTES, "little")
    return b"".join([head, *(each.tobytes() for each in written), pack_words(words, bits).tobytes()])


def unpack_sparse(body: bytes | memoryview, count: int, bits: int) -> np.ndarray:
    """The inverse of `pack_sparse`, of bytes from outside: shape (count,) uint32.

    Raises:
        MalformedUpdateError: they are not `count` numbers, or written in another way than `pack_sparse` does.
    """
    sizes = _map_bytes(count)
    data = np.frombuffer(body, np.uint8)
    position = _FILL_BYTES + sizes[0]
    if len(data) < position:
        raise MalformedUpdateError(f"too short for {count} numbers: {len(data)} bytes")
    fill = int.from_bytes(body[:_FILL_BYTES], "little")
    level = data[_FILL_BYTES:position]
    for size in sizes[1:]:
        places = np.flatnonzero(np.unpackbits(level))
        given = data[position : position + len(places)]
        if len(given) != len(places) or (len(places) and places[-1] >= size) or not given.all():
            raise MalformedUpdateError("the maps of sparse numbers do not fit each other")
        level = np.zeros(size, np.uint8)
        level[places] = given
        position += len(places)
    places = np.flatnonzero(np.unpackbits(level))
    packed = data[position:]
    padded = _whole(len(places)) * 8
    if (len(places) and places[-1] >= count) or len(packed) != words_bytes(padded, bits):
        raise MalformedUpdateError(f"expected {len(places)} of {count} numbers, got {len(packed)} bytes of them")
    words = unpack_words(packed.reshape(1, -1), padded, bits)[0]
    numbers = np.full(count, fill, np.uint32)
    numbers[places] = words[: len(places)]
    if (numbers[places] == fill).any() or words[len(places) :].any():
        raise MalformedUpdateError("sparse numbers that are not written as they should be")
    return numbers


def _map_bytes(count: int) -> list[int]:
    """The bytes of whole maps, that of the root first."""
    sizes = [_whole(count)]
    while sizes[0] > 1:
        sizes.insert(0, _whole(sizes[0]))
    return sizes


def _whole(bits: int) -> int:
    """How many bytes hold so many bits."""
    return -(-bits // 8)
