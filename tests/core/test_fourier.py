"""Fourier transforms against PyTorch: values and gradients, lengths, axes and norms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DTypeError, ShapeError, Tensor, grad, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")

NAMES = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
NORMS = ["backward", "ortho", "forward"]
REAL = {"rfft", "ihfft", "rfftn"}  # take real numbers only


def draw(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape)).astype(dtype) if dtype.startswith("c") else values.astype(dtype)


def check_equal(ours, theirs, array: np.ndarray) -> None:
    """Value, and the gradient of the real inner product with random weights, in double precision."""
    leaf, reference = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    result, expected = ours(leaf), theirs(reference)
    np.testing.assert_allclose(result.data, expected.detach().resolve_conj().numpy(), rtol=1e-10, atol=1e-11)
    weights = draw(*result.shape, seed=3, dtype=result.dtype.name)
    product = result * Tensor(np.conj(weights))
    (gradient,) = grad((ops.real(product) if product.dtype.kind == "c" else product).sum(), [leaf])
    theirs_product = expected * torch.tensor(np.conj(weights))
    (theirs_product.real if theirs_product.is_complex() else theirs_product).sum().backward()
    np.testing.assert_allclose(gradient.data, reference.grad.resolve_conj().numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_one_axis(name, data):
    """Any length, longer or shorter than the axis, any axis and norm, real and complex."""
    shape = data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = data.draw(st.one_of(st.none(), st.integers(1, 9)))
    norm = data.draw(st.sampled_from(NORMS))
    dtype = "float64" if name in REAL else data.draw(st.sampled_from(["float64", "complex128"]))
    check_equal(
        lambda x: getattr(ops, name)(x, n=n, axis=axis, norm=norm),
        lambda x: getattr(torch.fft, name)(x, n=n, dim=axis, norm=norm),
        draw(*shape, dtype=dtype),
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("s", "axes"),
    [(None, None), (None, (0,)), (None, (-1, 0)), ((4, 3), None), ((2, 6), (1, 0)), ((5,), (1,)), ((-1, 4), (0, 2))],
    ids=str,
)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_several_axes(name, s, axes, norm):
    check_equal(
        lambda x: getattr(ops, name)(x, s=s, axes=axes, norm=norm),
        lambda x: getattr(torch.fft, name)(x, s=s, dim=axes, norm=norm),
        draw(3, 4, 5, dtype="float64" if name in REAL else "complex128"),
    )


@settings(deadline=None)
@given(n=st.integers(1, 12), norm=st.sampled_from(NORMS), seed=st.integers(0, 99))
def test_inverses_undo(n, norm, seed):
    z, x = Tensor(draw(2, n, seed=seed, dtype="complex128")), Tensor(draw(2, n, seed=seed))
    for forth, back, value in (
        (ops.fft, ops.ifft, z),
        (ops.fftn, ops.ifftn, z),
        (ops.rfft, lambda y, norm: ops.irfft(y, n=n, norm=norm), x),
        (ops.ihfft, lambda y, norm: ops.hfft(y, n=n, norm=norm), x),
        (ops.rfftn, lambda y, norm: ops.irfftn(y, s=(2, n), norm=norm), x),
    ):
        np.testing.assert_allclose(back(forth(value, norm=norm), norm=norm).data, value.data, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "precision"), [("float32", 4), ("float64", 8), ("int64", 4), ("float16", 4), ("bfloat16", 4)]
)
def test_results_have_the_precision_of_the_input(name, dtype, precision):
    x = Tensor(np.ones(6)).astype(dtype)
    result = getattr(ops, name)(x)
    real = name in ("irfft", "hfft")
    if real and dtype in ("float16", "bfloat16"):
        assert result.dtype == x.dtype
    else:
        assert result.dtype == np.dtype(f"{'f' if real else 'c'}{precision * (1 if real else 2)}")


def test_no_axes_are_no_transform():
    x = Tensor(draw(2, 3))
    np.testing.assert_array_equal(ops.fftn(x, axes=()).data, x.data.astype(np.complex128))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda x: ops.fft(x, norm="unit"), ConfigError, "'forward', got 'unit'", id="norm"),
        pytest.param(lambda x: ops.hfft(x, norm="unit"), ConfigError, "'forward', got 'unit'", id="hfft-norm"),
        pytest.param(lambda x: ops.fft(x, n=0), ShapeError, "length of at least 1, got 0", id="length"),
        pytest.param(lambda x: ops.irfft(x[:, :1]), ShapeError, "at least 1, got 0 for axis 1", id="irfft-length"),
        pytest.param(lambda x: ops.fftn(x, s=(2,), axes=(0, 1)), ShapeError, "one length per axis", id="lengths"),
        pytest.param(lambda x: ops.fftn(x, axes=(0, -2)), ShapeError, "named twice", id="twice"),
        pytest.param(lambda x: ops.fft(x, axis=2), ShapeError, "axis 2", id="axis"),
        pytest.param(lambda x: ops.rfft(ops.fft(x)), DTypeError, "expected real numbers", id="complex"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(Tensor(np.zeros((2, 3))))
