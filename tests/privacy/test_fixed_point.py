"""Fixed-point numbers: what the encoding promises of one value, it promises of every sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError
from nasturtium.privacy import FixedPoint, PrivacyError
from nasturtium.privacy.fixed_point import MAX_BITS

BITS = st.integers(0, MAX_BITS)


@given(bits=BITS, data=st.data())
def test_a_sum_of_encodings_decodes_to_the_sum(bits, data):
    point = FixedPoint(bits)
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(0, 9)))
    values = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-point.bound, point.bound)))
    decoded = point.decode(sum(point.encode(row) for row in values))
    exact = values.sum(axis=0)
    rounding = 1e-12 * np.abs(values).sum(axis=0)  # of the float64 sum we compare with
    assert (np.abs(decoded - exact) <= len(values) * 2.0 ** -(bits + 1) + rounding).all()


@given(bits=BITS, factor=st.floats(1.0000001, 1e200))
def test_what_is_too_large_is_refused(bits, factor):
    point = FixedPoint(bits)
    with pytest.raises(PrivacyError, match="beyond"):
        point.encode(np.array([0.0, point.bound * factor]))


@given(bits=BITS, integers=hnp.arrays(np.int64, 9, elements=st.integers(-(2**MAX_BITS), 2**MAX_BITS)))
def test_every_integer_in_range_survives(bits, integers):
    point = FixedPoint(bits)
    encoded = point.encode(point.decode(integers))
    assert encoded.dtype == np.int64
    np.testing.assert_array_equal(encoded, integers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_input_stays_unchanged(dtype):
    values = np.array([-200, 0, 200], dtype)
    copy = values.copy()
    FixedPoint(24).encode(values)
    np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_is_refused(value, dtype):
    with pytest.raises(PrivacyError, match="not finite"):
        FixedPoint().encode(np.array([0, value, 1], dtype))


@pytest.mark.parametrize("bits", [-1, 33, 64])
def test_binary_places_out_of_range_are_refused(bits):
    with pytest.raises(ConfigError, match=f"fraction_bits <= 32, got {bits}"):
        FixedPoint(bits)


@pytest.mark.parametrize(("bits", "bound"), [(0, 2.0**32), (10, 2.0**22), (24, 256.0), (32, 1.0)])
def test_the_bound_is_what_32_bits_leave(bits, bound):
    assert FixedPoint(bits).bound == bound
