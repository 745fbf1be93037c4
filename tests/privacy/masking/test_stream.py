"""Mask streams: known answers, no dependence on how they are cut, uniform, and exact sums."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.masking.stream import MaskSum, UniformStream

MODULI = [2, 3, 255**4, 2**54, 2**54 - 33, (64 * 254 + 1) ** 3]
KEY = bytes(range(32))
moduli = st.one_of(st.sampled_from(MODULI), st.integers(2, 2**54))
keys = st.binary(min_size=32, max_size=32)


def words_of(key: bytes, count: int) -> list[int]:
    """The first words of the key stream, one block of AES after the other, without the counter mode under test."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    stream = b"".join(encryptor.update(block.to_bytes(16, "big")) for block in range(count // 2 + 1))
    return [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(count)]


def numbers_of(key: bytes, modulus: int, count: int) -> list[int]:
    """The definition, word by word."""
    limit = 2**64 // modulus * modulus
    return [word % modulus for word in words_of(key, 2 * count + 64) if word < limit][:count]


def test_the_zero_keys_stream_is_the_standards():
    """AES-256 of the zero block under the zero key, from NIST's AESAVS known answers."""
    block = bytes.fromhex("dc95c078a2408989ad48a21492842087")
    expected = [int.from_bytes(block[:8], "little") % 2**54, int.from_bytes(block[8:], "little") % 2**54]
    assert UniformStream(bytes(32), 2**54).take(2).tolist() == expected


@pytest.mark.parametrize("modulus", MODULI)
def test_a_stream_is_its_definition(modulus):
    taken = UniformStream(KEY, modulus).take(3000)
    assert taken.dtype == np.uint64
    assert taken.tolist() == numbers_of(KEY, modulus, 3000)


def test_rejected_words_are_skipped_wherever_a_block_ends(monkeypatch):
    """No real t rejects often: the largest word that counts is set so that a third of all do not."""
    stream = UniformStream(KEY, 1000)
    last = 2**63 + 2**61
    stream._last = np.uint64(last)
    expected = [word % 1000 for word in words_of(KEY, 60_000) if word <= last]
    taken = np.concatenate([stream.take(count) for count in (1, 8191, 8192, 0, 8193, 5)])
    assert taken.tolist() == expected[: len(taken)]


@settings(max_examples=60, deadline=None)
@given(keys, moduli, st.lists(st.integers(0, 9000), min_size=1, max_size=5))
def test_a_stream_does_not_depend_on_how_it_is_cut(key, modulus, counts):
    whole = UniformStream(key, modulus).take(sum(counts))
    stream = UniformStream(key, modulus)
    np.testing.assert_array_equal(np.concatenate([stream.take(count) for count in counts]), whole)
    assert (whole < modulus).all()


@pytest.mark.parametrize("modulus", [3, 255**4, 3 * 2**52 + 1])
def test_a_stream_is_uniform(modulus):
    """Chi-square over 256 equal parts of the range, 255 degrees of freedom: beyond 380 once in 10^6."""
    count = 2**17
    bins = min(256, modulus)
    places = (UniformStream(KEY, modulus).take(count).astype(object) * bins // modulus).astype(int)
    found = np.bincount(places, minlength=bins)
    chances = np.diff([-(-edge * modulus // bins) for edge in range(bins + 1)]) / modulus
    assert ((found - count * chances) ** 2 / (count * chances)).sum() < 380


@settings(max_examples=60, deadline=None)
@given(moduli, st.lists(st.tuples(keys, st.sampled_from([1, -1])), max_size=9, unique_by=lambda term: term[0]))
def test_a_sum_is_that_of_its_terms(modulus, terms):
    count = 700
    expected = [0] * count
    for key, sign in terms:
        expected = [(a + sign * b) % modulus for a, b in zip(expected, numbers_of(key, modulus, count), strict=True)]
    mask = MaskSum(terms, modulus)
    taken = np.concatenate([mask.take(300), mask.take(0), mask.take(400)])
    assert taken.dtype == np.uint64
    assert taken.tolist() == expected


@pytest.mark.parametrize("modulus", [2**54, 2**54 - 33, 7])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_words_of_many_terms_add_up_exactly(monkeypatch, modulus, sign):
    """All words at the top: what sums them must neither overflow nor lose a sign."""
    last = 2**64 // modulus * modulus - 1

    def fill(self, buffer, count):
        buffer[:count] = last

    monkeypatch.setattr(UniformStream, "fill_words", fill)
    terms = [(i.to_bytes(32, "big"), sign) for i in range(1500)]
    assert MaskSum(terms, modulus).take(3).tolist() == [sign * 1500 * last % modulus] * 3


def test_opposite_masks_cancel_over_many_blocks():
    first, second = (MaskSum([(KEY, sign)], 255**4) for sign in (1, -1))
    total = (first.take(20_000) + second.take(20_000)) % 255**4
    assert not total.any()


def test_no_terms_are_zero():
    assert not MaskSum([], 17).take(5).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: UniformStream(bytes(31), 5), "32 bytes, got 31", id="short-key"),
        pytest.param(lambda: UniformStream(KEY, 1), "from 2 to 2\\^54, got 1", id="modulus-1"),
        pytest.param(lambda: UniformStream(KEY, 2**54 + 1), "from 2 to", id="modulus-above-54-bits"),
        pytest.param(lambda: UniformStream(KEY, 5.0), "from 2 to", id="modulus-no-integer"),
        pytest.param(lambda: MaskSum([(KEY, 0)], 5), "sign", id="no-sign"),
        pytest.param(lambda: MaskSum([(KEY, 1), (KEY, -1)], 5), "twice", id="key-twice"),
        pytest.param(lambda: MaskSum([(bytes(16), 1)], 5), "32 bytes", id="short-key-in-a-sum"),
    ],
)
def test_what_is_no_stream_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("held", [UniformStream(KEY, 5), MaskSum([(KEY, 1)], 5)], ids=["stream", "sum"])
def test_keys_are_neither_shown_nor_copied(held):
    assert KEY.hex() not in repr(held)
    assert repr(KEY) not in repr(held)
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            copying(held)
