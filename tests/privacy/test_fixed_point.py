"""Fixed-point numbers: what the encoding promises of one value, it promises of every sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError
from nasturtium.privacy import FixedPoint, PrivacyError

BITS = st.integers(0, 28)


@given(bits=BITS, data=st.data())
def test_a_sum_of_encodings_decodes_to_the_sum(bits, data):
    point = FixedPoint(bits)
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(0, 9)))
    values = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-point.bound, point.bound)))
    decoded = point.decode(sum(point.encode(row) for row in values))
    exact = values.sum(axis=0)
    rounding = 1e-12 * np.abs(values).sum(axis=0)  # of the float64 sum we compare with
    assert (np.abs(decoded - exact) <= len(values) * 2.0 ** -(bits + 1) + rounding).all()


@given(bits=BITS, values=hnp.arrays(np.float64, 9, elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_too_large_is_clipped_to_the_bound(bits, values):
    point = FixedPoint(bits)
    encoded = point.encode(values)
    assert np.abs(encoded).max() <= 2**28
    np.testing.assert_array_equal(encoded, point.encode(np.clip(values, -point.bound, point.bound)))


@given(bits=BITS, integers=hnp.arrays(np.int64, 9, elements=st.integers(-(2**28), 2**28)))
def test_every_integer_in_range_survives(bits, integers):
    point = FixedPoint(bits)
    encoded = point.encode(point.decode(integers))
    assert encoded.dtype == np.int64
    np.testing.assert_array_equal(encoded, integers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_input_stays_unchanged(dtype):
    values = np.array([-300, 0, 300], dtype)
    copy = values.copy()
    FixedPoint(24).encode(values)
    np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_is_refused(value, dtype):
    with pytest.raises(PrivacyError, match="not finite"):
        FixedPoint().encode(np.array([0, value, 1], dtype))


@pytest.mark.parametrize("bits", [-1, 29, 64])
def test_binary_places_out_of_range_are_refused(bits):
    with pytest.raises(ConfigError, match=f"fraction_bits <= 28, got {bits}"):
        FixedPoint(bits)


@pytest.mark.parametrize(("bits", "bound"), [(0, 2.0**28), (10, 2.0**18), (24, 16.0), (28, 1.0)])
def test_the_bound_is_what_28_bits_leave(bits, bound):
    assert FixedPoint(bits).bound == bound
