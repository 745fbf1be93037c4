"""Packing against its definition in Python's integers: inverse, the same in any blocks, and no carry in a sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy.errors import PrivacyError
from nasturtium.privacy.packing import (
    check_symbols,
    pack_digits,
    pack_words,
    unpack_digits,
    unpack_words,
    words_bytes,
)
from nasturtium.privacy.presets import DEGREE, Preset, smallest_preset

BITS = st.integers(1, 64)
COUNTS = st.integers(0, 9).map(lambda eights: 8 * eights)
SEEDS = st.integers(0, 2**32 - 1)
PRESETS = [
    pytest.param(smallest_preset(2, 1), id="1-bit"),
    pytest.param(smallest_preset(10, 4), id="4-bit"),
    pytest.param(smallest_preset(10, 8), id="8-bit"),
    pytest.param(smallest_preset(1000, 16), id="16-bit"),
    pytest.param(smallest_preset(30, 8, noise_bound=500), id="noise"),
    pytest.param(Preset(clients=1000, levels=2, packing=1, noise_bound=1_000_000), id="nearly-31-bits"),
]


def draw_words(seed: int, rows: int, count: int, bits: int) -> np.ndarray:
    """Words of which some are the smallest and some the largest."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**bits - 1, (rows, count), np.uint64, endpoint=True)
    ends = rng.random((rows, count))
    words[ends < 0.1] = 0
    words[ends > 0.9] = 2**bits - 1
    return words


def pack_slowly(words: list[int], bits: int) -> bytes:
    """The definition of the bytes of one row."""
    whole, rest = divmod(bits, 8)
    low = b"".join((word % 2 ** (8 * whole)).to_bytes(whole, "little") for word in words)
    high = [word >> (8 * whole) for word in words]
    eights = [sum(high[start + place] << (rest * place) for place in range(8)) for start in range(0, len(high), 8)]
    return low + b"".join(eight.to_bytes(rest, "little") for eight in eights)


@given(seed=SEEDS, rows=st.integers(0, 4), count=COUNTS, bits=BITS)
def test_words_become_the_bytes_of_the_definition_and_come_back(seed, rows, count, bits):
    words = draw_words(seed, rows, count, bits)
    packed = pack_words(words, bits)
    assert packed.shape == (rows, words_bytes(count, bits))
    assert [row.tobytes() for row in packed] == [pack_slowly(row, bits) for row in words.tolist()]
    unpacked = unpack_words(packed, count, bits)
    assert unpacked.dtype == np.uint64
    np.testing.assert_array_equal(unpacked, words)


@given(seed=SEEDS, rows=st.integers(1, 4), count=COUNTS, bits=BITS)
def test_any_bytes_are_words_and_only_of_these_bytes(seed, rows, count, bits):
    packed = np.random.default_rng(seed).integers(0, 256, (rows, words_bytes(count, bits)), np.uint8)
    words = unpack_words(packed, count, bits)
    assert all(word < 2**bits for word in words.flat)
    np.testing.assert_array_equal(pack_words(words, bits), packed)


@given(seed=SEEDS, rows=st.integers(1, 6), split=st.integers(0, 6), bits=BITS)
def test_the_bytes_do_not_depend_on_the_blocks(seed, rows, split, bits):
    words = draw_words(seed, rows, 16, bits)
    parts = [pack_words(words[:split], bits), pack_words(words[split:], bits)]
    np.testing.assert_array_equal(np.concatenate(parts), pack_words(words, bits))


def test_words_of_twelve_bits_by_hand():
    words = np.array([[0xA01, 0xB02, 0xC03, 0xD04, 0xE05, 0xF06, 0x107, 0x208]], np.uint64)
    assert pack_words(words, 12).tobytes().hex() == "0102030405060708" + "badcfe21"


def test_rows_that_are_not_contiguous_are_packed_as_they_read():
    words = draw_words(1, 6, 64, 54)
    np.testing.assert_array_equal(pack_words(words[::2, ::2], 54), pack_words(words[::2, ::2].copy(), 54))
    packed = np.zeros((3, 2, words_bytes(64, 54)), np.uint8)
    packed[:, 1] = pack_words(words[:3], 54)
    np.testing.assert_array_equal(unpack_words(packed[:, 1], 64, 54), words[:3])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("spare", [0, 1, DEGREE, DEGREE + 1])
def test_digits_stand_where_the_definition_puts_them(preset, spare):
    rng = np.random.default_rng(2)
    symbols = rng.integers(0, preset.symbols, 2 * preset.block - min(spare, preset.block - 1)).astype(np.uint32)
    coefficients = pack_digits(symbols, preset)
    assert coefficients.shape == (2, DEGREE)
    assert coefficients.dtype == np.uint64
    assert coefficients.max() < preset.plain_modulus
    padded = symbols.tolist() + [0] * (2 * preset.block - len(symbols))
    for row, column in [(0, 0), (0, DEGREE - 1), (1, 0), (1, 777), (1, DEGREE - 1)]:
        digits = padded[preset.block * row + column : preset.block * (row + 1) : DEGREE]
        assert coefficients[row, column] == sum(digit * preset.base**place for place, digit in enumerate(digits))
    unpacked = unpack_digits(coefficients, preset)
    assert unpacked.dtype == np.uint32
    assert unpacked.tolist() == padded


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("fill", ["largest", "zero", "mixed"])
def test_digits_of_a_full_sum_do_not_carry(preset, fill):
    rng = np.random.default_rng(3)
    total = np.zeros((1, DEGREE), np.uint64)
    expected = np.zeros(preset.block, np.int64)
    for _ in range(preset.clients):
        symbols = rng.choice(np.array([0, preset.symbols - 1], np.uint32), preset.block)
        if fill != "mixed":
            symbols[:] = preset.symbols - 1 if fill == "largest" else 0
        total += pack_digits(symbols, preset)
        expected += symbols
    assert total.max() < preset.plain_modulus
    np.testing.assert_array_equal(unpack_digits(total, preset), expected)


@given(seed=SEEDS, dtype=st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]), split=st.integers(0, 3))
def test_digits_do_not_depend_on_their_dtype_nor_on_the_blocks(seed, dtype, split):
    preset = smallest_preset(10, 8)
    symbols = np.random.default_rng(seed).integers(0, preset.symbols, 2 * preset.block + 5).astype(dtype)
    whole = pack_digits(symbols, preset)
    parts = [pack_digits(symbols[: preset.block * split], preset), pack_digits(symbols[preset.block * split :], preset)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(pack_digits(symbols.astype(np.uint8), preset), whole)


@pytest.mark.parametrize(
    "symbols",
    [
        pytest.param(np.array([], np.uint8), id="none"),
        pytest.param(np.array(1, np.uint8), id="no-axis"),
        pytest.param(np.zeros((2, 2), np.uint8), id="two-axes"),
        pytest.param(np.zeros(2, np.int64), id="signed"),
        pytest.param(np.zeros(2, np.float32), id="floating"),
        pytest.param(np.zeros(2, np.bool_), id="boolean"),
        pytest.param(np.array([0, 255], np.uint8), id="one-too-large"),
        pytest.param(np.array([0, 2**63], np.uint64), id="far-too-large"),
    ],
)
def test_what_are_no_symbols_is_refused(symbols):
    preset = smallest_preset(10, 8)
    check_symbols(np.array([0, 254], np.uint8), preset)
    with pytest.raises(PrivacyError, match=r"expected unsigned integers|beyond the 255 of rlwe2048-k10"):
        check_symbols(symbols, preset)
