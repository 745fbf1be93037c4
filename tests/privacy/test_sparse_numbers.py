"""Sparse numbers: the same after a round trip, small where most are alike, and nothing else than what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy import MalformedUpdateError, PlainAdder, PlainCipher, PrivacyError, smallest_preset
from nasturtium.privacy.sparse_numbers import longest_sparse, pack_sparse, unpack_sparse

PRESET = smallest_preset(5, 8)


def make_numbers(seed: int, count: int, density: float, bits: int, fill: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    numbers = np.full(count, fill, np.uint32)
    other = rng.random(count) < density
    numbers[other] = rng.integers(0, 2**bits, int(other.sum()))
    return numbers


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3000),
    density=st.sampled_from([0.0, 0.003, 0.1, 1.0]),
    bits=st.integers(1, 31),
    fill=st.integers(0, 2**32 - 1),
)
def test_numbers_survive_and_take_no_more_than_the_longest(seed, count, density, bits, fill):
    numbers = make_numbers(seed, count, density, bits, fill)
    body = pack_sparse(numbers, fill, bits)
    np.testing.assert_array_equal(unpack_sparse(body, count, bits), numbers)
    assert len(body) <= longest_sparse(count, bits)


@pytest.mark.parametrize(("density", "bits_each"), [(0.0, 0.001), (0.001, 0.04), (0.01, 0.25), (0.05, 0.95)])
def test_few_numbers_take_few_bytes(density, bits_each):
    numbers = make_numbers(0, 100_000, density, 8, 127)
    assert 8 * len(pack_sparse(numbers, 127, 8)) <= bits_each * len(numbers)


def test_a_block_that_changed_alone_travels_alone():
    numbers = np.full(1 << 18, 127, np.uint32)
    numbers[4096:8192] = 5
    assert len(pack_sparse(numbers, 127, 8)) <= 4096 * 9 / 8 + 100


@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_written_that_way_by_us(seed, count, place, flip):
    """There is one way to write a vector: what can be read is what would be written of it."""
    numbers = make_numbers(seed, count, 0.05, 8, 127)
    body = bytearray(pack_sparse(numbers, 127, 8))
    body[place % len(body)] ^= flip
    try:
        read = unpack_sparse(bytes(body), count, 8)
    except MalformedUpdateError:
        return
    assert pack_sparse(read, int.from_bytes(body[:4], "little"), 8) == body


@given(data=st.binary(max_size=200), count=st.integers(1, 2000))
def test_what_is_no_vector_is_refused(data, count):
    try:
        read = unpack_sparse(data, count, 8)
    except MalformedUpdateError:
        return
    assert pack_sparse(read, int.from_bytes(data[:4], "little"), 8) == data


@pytest.mark.parametrize("sites", [3, 5])
def test_sums_of_sparse_updates_are_those_of_dense_ones(sites):
    updates = [make_numbers(i, 5000, 0.02, 8, 127).clip(0, PRESET.levels - 1).astype(np.uint8) for i in range(sites)]
    read: list[np.ndarray] = []
    lengths: list[int] = []
    for sparse in (False, True):
        cipher, adder = PlainCipher(PRESET, sparse=sparse), PlainAdder(PRESET, sparse=sparse)
        growing = adder.start(5000)
        for update in updates:
            body = cipher.encrypt(update)
            assert len(body) <= adder.update_bytes(5000)
            growing.add(memoryview(body))
        body = growing.body()
        assert len(body) <= adder.sum_bytes(5000)
        lengths.append(len(body))
        read.append(cipher.decrypt(body, 5000))
    np.testing.assert_array_equal(read[0], read[1])
    np.testing.assert_array_equal(read[0], np.sum(updates, axis=0, dtype=np.uint32))
    assert lengths[1] < lengths[0] / 3


def test_symbols_beyond_the_preset_and_damaged_sums_are_refused():
    adder = PlainAdder(PRESET, sparse=True)
    beyond = np.full(100, PRESET.levels, np.uint32)
    with pytest.raises(MalformedUpdateError, match="a symbol is beyond"):
        adder.start(100).add(memoryview(pack_sparse(beyond, PRESET.levels, 8)))
    with pytest.raises(PrivacyError, match="the sum cannot be opened"):
        PlainCipher(PRESET, sparse=True).decrypt(b"123", 100)
