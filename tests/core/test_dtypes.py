"""Dtypes: what promotes to what, and that 16-bit floats are computed in 32 bits and rounded once."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from nasturtium.core import DTypeError, Tensor, grad, ops, result_dtype
from nasturtium.core.shapes import as_dtype

BF16 = np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("float32", "float64", "float64"),
        ("float16", "float32", "float32"),
        ("bfloat16", "float32", "float32"),
        ("bfloat16", "float16", "float32"),
        ("bfloat16", "int64", "bfloat16"),
        ("int32", "int64", "int64"),
        ("bool", "int8", "int8"),
        ("float32", "complex64", "complex64"),
        ("float64", "complex64", "complex128"),
        ("int64", "float32", "float64"),
    ],
)
def test_promotion_is_one_function_and_ops_follow_it(first, second, expected):
    assert result_dtype(as_dtype(first), as_dtype(second)) == as_dtype(expected)
    a, b = Tensor(np.ones(2), dtype=first), Tensor(np.ones(2), dtype=second)
    assert (a + b).dtype == as_dtype(expected)
    assert (b + a).dtype == as_dtype(expected)


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("float32", 2.5, "float32"),
        ("float16", 2, "float16"),
        ("bfloat16", 2.5, "bfloat16"),
        ("int64", 2, "int64"),
        ("int64", 0.5, "float32"),
        ("int8", 3, "int8"),
        ("bool", 0.5, "float32"),
        ("float32", 1j, "complex64"),
        ("float64", 1j, "complex128"),
        ("int64", 1j, "complex64"),
    ],
)
def test_python_numbers_take_the_dtype_beside_them(dtype, number, expected):
    x = Tensor(np.ones(2), dtype=dtype)
    assert (x * number).dtype == as_dtype(expected)
    assert (number * x).dtype == as_dtype(expected)


@pytest.mark.parametrize("function", [ops.exp, ops.tanh, ops.sigmoid, ops.mean, lambda x: x / 2])
def test_functions_of_integers_are_float32(function):
    assert function(Tensor([1, 2, 3])).dtype == np.float32


@pytest.mark.parametrize("name", ["float7", "object", "datetime64[s]", "U3"])
def test_what_is_no_dtype_of_ours_is_refused(name):
    with pytest.raises(DTypeError):
        Tensor([1.0], dtype=name)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
class TestSixteenBits:
    def test_sums_are_accumulated_in_float32(self, dtype):
        """In 16 bits the sum would stop at 2048 (float16) or 256 (bfloat16)."""
        ones = Tensor(np.ones(5000), dtype=dtype)
        assert float(ops.sum(ones)) == pytest.approx(5000, rel=4e-3)
        assert float(ops.mean(ones)) == 1.0
        gradient = grad(lambda w: ops.broadcast_to(w, shape=(5000,)).sum())(Tensor(1.0, dtype=dtype))
        assert float(gradient) == pytest.approx(5000, rel=4e-3)

    def test_products_are_accumulated_in_float32(self, dtype):
        a, b = Tensor(np.ones((2, 5000)), dtype=dtype), Tensor(np.ones((5000, 2)), dtype=dtype)
        product = a @ b
        assert product.dtype == as_dtype(dtype)
        np.testing.assert_allclose(product.data.astype(np.float32), 5000, rtol=4e-3)
        gradient = grad(lambda a: (a @ b).sum())(a)
        assert gradient.dtype == as_dtype(dtype)

    def test_functions_are_computed_in_float32_and_rounded_once(self, dtype):
        x = Tensor(np.linspace(-4, 4, 1001), dtype=dtype)
        for function in (ops.exp, ops.tanh, ops.sigmoid, ops.silu, ops.gelu):
            wide = function(x.astype("float32")).data.astype(as_dtype(dtype))
            np.testing.assert_array_equal(function(x).data, wide)

    def test_a_network_trains(self, dtype):
        rng = np.random.default_rng(0)
        w = Tensor(rng.standard_normal((3, 2)), dtype=dtype, requires_grad=True)
        x = Tensor(rng.standard_normal((8, 3)), dtype=dtype)
        loss = (ops.tanh(x @ w) ** 2).mean()
        loss.backward()
        exact = Tensor(w.data.astype(np.float64), requires_grad=True)
        (ops.tanh(x.astype("float64") @ exact) ** 2).mean().backward()
        assert w.grad.dtype == as_dtype(dtype)
        np.testing.assert_allclose(w.grad.data.astype(np.float64), exact.grad.data, atol=0.02)


def test_numpy_refuses_to_mix_arrays_and_tensors_silently():
    mixed = np.ones(2, np.float32) + Tensor([1.0, 2.0])
    assert isinstance(mixed, Tensor)
    assert np.asarray(Tensor([1.0])).dtype == np.float32
