"""Integers as limbs: the sum of the limbs is the limbs of the sum, for as many summands as there may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import PrivacyError
from nasturtium.privacy.limbs import decode_limbs, encode_limbs, limbs_for

LEVELS = st.sampled_from([2, 3, 15, 255, 256, 65_535, 65_536])


@given(
    levels=LEVELS, largest=st.integers(0, 2**53), shape=st.tuples(st.integers(1, 20), st.integers(0, 9)), data=st.data()
)
def test_sums_of_limbs_are_the_sums_of_the_integers(levels, largest, shape, data):
    elements = st.integers(0, largest) | st.just(largest)
    rows = [data.draw(st.lists(elements, min_size=shape[1], max_size=shape[1])) for _ in range(shape[0])]
    limbs = limbs_for(largest, levels)
    total = np.zeros(shape[1] * limbs, np.uint32)
    for row in rows:
        symbols = encode_limbs(np.array(row, np.int64), levels, limbs)
        assert symbols.dtype == np.min_scalar_type(levels - 1)
        assert (symbols < levels).all()
        total += symbols
    assert decode_limbs(total, levels, limbs).tolist() == [sum(column) for column in zip(*rows, strict=True)]


def test_limbs_stand_side_by_side_the_least_significant_first():
    assert encode_limbs(np.array([0x030201, 0x060504]), 256, 3).tolist() == [1, 2, 3, 4, 5, 6]
    assert decode_limbs(np.array([1, 2, 3, 4, 5, 6], np.uint32), 256, 3).tolist() == [0x030201, 0x060504]


@given(levels=LEVELS, largest=st.integers(0, 2**63))
def test_there_are_no_more_limbs_than_needed(levels, largest):
    limbs = limbs_for(largest, levels)
    assert levels**limbs > largest
    assert limbs == 1 or levels ** (limbs - 1) <= largest


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_any_integers_are_taken_and_left_as_they_are(dtype):
    integers = np.array([0, 100, 7], dtype)
    assert decode_limbs(encode_limbs(integers, 3, 5), 3, 5).tolist() == [0, 100, 7]
    assert integers.tolist() == [0, 100, 7]


@pytest.mark.parametrize(
    ("integers", "message"),
    [
        pytest.param(np.array([0, -1]), "negative", id="negative"),
        pytest.param(np.array([2**63], np.uint64), "beyond 63 bits", id="beyond-63-bits"),
        pytest.param(np.array([9, 27]), "not below 3\\*\\*3", id="too-large"),
        pytest.param(np.array([2.7]), "expected integers to be summed, got float64", id="floating"),
        pytest.param(np.array([True]), "expected integers", id="boolean"),
    ],
)
def test_what_no_limbs_hold_is_refused(integers, message):
    with pytest.raises(PrivacyError, match=message):
        encode_limbs(integers, 3, 3)


@pytest.mark.parametrize("levels", [2, 255, 65_536])
def test_a_sum_is_right_up_to_63_bits_and_refused_beyond(levels):
    limbs = limbs_for(2**63 - 1, levels)
    most = 2**63 - 1
    digits = [most // levels**place % levels for place in range(limbs)]
    assert decode_limbs(np.array(digits, np.uint32), levels, limbs).tolist() == [most]
    digits[0] += levels
    with pytest.raises(PrivacyError, match="beyond 64 bits"):
        decode_limbs(np.array(digits, np.uint32), levels, limbs)


@pytest.mark.parametrize(("largest", "levels"), [(-1, 255), (0, 1), (5, 0)])
def test_what_limbs_cannot_be_for_is_refused(largest, levels):
    with pytest.raises(ConfigError, match="largest >= 0 and levels >= 2"):
        limbs_for(largest, levels)
