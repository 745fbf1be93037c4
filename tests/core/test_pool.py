"""Pooling against PyTorch over random windows, and what it promises beyond."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, ShapeError, Tensor, grad, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
F = torch.nn.functional
MAX = {
    1: (ops.max_pool1d, F.max_pool1d),
    2: (ops.max_pool2d, F.max_pool2d),
    3: (ops.max_pool3d, F.max_pool3d),
}
AVG = {
    1: (ops.avg_pool1d, F.avg_pool1d),
    2: (ops.avg_pool2d, F.avg_pool2d),
    3: (ops.avg_pool3d, F.avg_pool3d),
}
ADAPTIVE = {
    ("avg", 1): (ops.adaptive_avg_pool1d, F.adaptive_avg_pool1d),
    ("avg", 2): (ops.adaptive_avg_pool2d, F.adaptive_avg_pool2d),
    ("avg", 3): (ops.adaptive_avg_pool3d, F.adaptive_avg_pool3d),
    ("max", 1): (ops.adaptive_max_pool1d, F.adaptive_max_pool1d),
    ("max", 2): (ops.adaptive_max_pool2d, F.adaptive_max_pool2d),
    ("max", 3): (ops.adaptive_max_pool3d, F.adaptive_max_pool3d),
}
TOLERANCE = {np.float64: {"rtol": 1e-10, "atol": 1e-12}, np.float32: {"rtol": 1e-5, "atol": 1e-5}}


def draw(shape, dtype=np.float64, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(ours, theirs, x: np.ndarray, *, last: bool = False) -> None:
    """Values, gradients, and gradients of gradients."""
    tolerance = TOLERANCE[x.dtype.type]
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    tensor = Tensor(x, requires_grad=True)
    reference = torch.tensor(np.ascontiguousarray(x), requires_grad=True)
    y, expected = ours(tensor), theirs(reference)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), **tolerance)
    assert y.dtype == x.dtype
    upper = draw(y.shape, x.dtype, seed=1)
    ups, refs = Tensor(upper, requires_grad=True), torch.tensor(upper, requires_grad=True)
    (first,) = grad((y * ups).sum(), [tensor], create_graph=True)
    (wanted,) = torch.autograd.grad((expected * refs).sum(), reference, create_graph=True)
    np.testing.assert_allclose(first.data, wanted.detach().numpy(), **tolerance)
    along = draw(x.shape, x.dtype, seed=2)
    (second,) = grad((first * Tensor(along)).sum(), [ups])
    (wanted,) = torch.autograd.grad((wanted * torch.tensor(along)).sum(), refs)
    np.testing.assert_allclose(second.data, wanted.numpy(), **tolerance)


@st.composite
def windows(draw, dilated: bool):
    """The shape of an input and a window that PyTorch takes."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    size, stride = each(1, 5 if rank < 3 else 3), each(1, 3)
    dilation = each(1, 2) if dilated else (1,) * rank
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    lengths = tuple(
        draw(st.integers(least := max(1, d * (k - 1) + 1 - 2 * p * (d == 1 and rank < 3)), least + 5))
        for k, d, p in zip(size, dilation, padding, strict=True)
    )  # PyTorch refuses a volume smaller than the window, and writes out of bounds where a window holds padding only
    return rank, (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *lengths), size, stride, padding, dilation


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(case=windows(dilated=True), ceil_mode=st.booleans(), ties=st.booleans(), last=st.booleans())
def test_max_pool_is_pytorch_s(dtype, case, ceil_mode, ties, last):
    """Large windows and equal maxima too: the first of them gets the gradient."""
    rank, shape, size, stride, padding, dilation = case
    ours, theirs = MAX[rank]
    x = draw(shape, dtype)
    check(
        lambda x: ours(x, size=size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode),
        lambda x: theirs(x, size, stride, padding, dilation, ceil_mode=ceil_mode),
        np.round(x) if ties else x,
        last=last,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(case=windows(dilated=False), ceil_mode=st.booleans(), counted=st.booleans(), last=st.booleans())
def test_avg_pool_is_pytorch_s(dtype, case, ceil_mode, counted, last):
    """With every way to count the elements of a window."""
    rank, shape, size, stride, padding, _ = case
    ours, theirs = AVG[rank]
    params = {"ceil_mode": ceil_mode, "count_include_pad": counted}
    check(
        lambda x: ours(x, size=size, stride=stride, padding=padding, **params),
        lambda x: theirs(x, size, stride, padding, **params),
        draw(shape, dtype),
        last=last,
    )


@pytest.mark.parametrize("kind", ["avg", "max"])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), rank=st.integers(1, 3), ties=st.booleans())
def test_adaptive_pools_are_pytorch_s(kind, data, rank, ties):
    """For sizes that divide the input, that do not, and that are larger."""
    ours, theirs = ADAPTIVE[kind, rank]
    lengths = tuple(data.draw(st.integers(1, 7 if rank < 3 else 4)) for _ in range(rank))
    size = tuple(data.draw(st.integers(1, 8 if rank < 3 else 5)) for _ in range(rank))
    x = draw((2, 3, *lengths))
    check(lambda x: ours(x, size=size), lambda x: theirs(x, size), np.round(x) if ties and kind == "max" else x)


def test_a_size_of_none_keeps_an_axis():
    x = draw((2, 3, 4, 6))
    np.testing.assert_array_equal(ops.adaptive_max_pool2d(x, size=(None, 1))[..., 0], x.max(3))
    np.testing.assert_allclose(ops.adaptive_avg_pool2d(x, size=(1, None))[:, :, 0], x.mean(2), rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)], ids=str)
def test_global_pools(shape):
    x, axes = draw(shape), tuple(range(2, len(shape)))
    np.testing.assert_allclose(ops.global_avg_pool(x), x.mean(axes), rtol=1e-12)
    np.testing.assert_array_equal(ops.global_max_pool(x), x.max(axes))
    assert ops.global_max_pool(x, keepdims=True).shape == ops.global_avg_pool(x, keepdims=True).shape
    assert ops.global_avg_pool(x, keepdims=True).shape == (2, 3, *(1,) * len(axes))


def test_a_global_maximum_that_is_there_twice_sends_its_gradient_to_the_first():
    x = Tensor(np.ones((1, 1, 20, 30)), requires_grad=True)
    ops.global_max_pool(x).sum().backward()
    assert x.grad.data[0, 0, 0, 0] == 1
    assert x.grad.data.sum() == 1


@pytest.mark.parametrize("length", [5, 6, 7])
def test_same_padding_rounds_the_length_up(length):
    x = draw((1, 2, length))
    assert ops.max_pool1d(x, size=3, stride=2, padding="same").shape == (1, 2, -(-length // 2))
    assert ops.avg_pool1d(x, size=3, stride=2, padding=[(1, 0)]).shape == (1, 2, (length - 2) // 2 + 1)


def test_padding_is_never_the_maximum():
    x = Tensor(np.full((1, 1, 4, 4), -5.0), requires_grad=True)
    y = ops.max_pool2d(x, size=3, stride=1, padding=1)
    y.sum().backward()
    assert (y.data == -5).all()
    assert x.grad.data.sum() == 16


def test_integers_keep_their_maxima_and_average_as_floats():
    x = np.arange(16).reshape(1, 1, 4, 4)
    assert ops.max_pool2d(x, size=2).tolist() == [[[[5, 7], [13, 15]]]]
    assert ops.max_pool2d(-x, size=3, padding=1).tolist() == [[[[0, -2], [-8, -10]]]]
    y = ops.avg_pool2d(x, size=2)
    assert (y.dtype, y.tolist()) == (np.float32, [[[[2.5, 4.5], [10.5, 12.5]]]])


def test_nan_wins_and_stays_in_its_window():
    """A gradient that is not finite touches the elements of its own window only."""
    x = draw((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    y = ops.max_pool2d(x, size=2)
    assert np.isnan(y).ravel().tolist() == [True, False, False, False]
    leaf = Tensor(draw((1, 1, 4, 4)), requires_grad=True)
    ops.max_pool2d(leaf, size=2).backward(Tensor(np.array([[[[np.inf, 1.0], [np.nan, 1.0]]]])))
    finite = np.isfinite(leaf.grad.data)
    assert finite.sum() == 14
    assert finite[..., 2:].all()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda x: ops.max_pool2d(x[0], size=2), ShapeError, "expected 4 axes", id="no-batch"),
        pytest.param(lambda x: ops.max_pool2d(x, size=5), ShapeError, "larger than the padded", id="too-large"),
        pytest.param(lambda x: ops.max_pool2d(x, size=0), ShapeError, "size, stride and dilation >= 1", id="no-size"),
        pytest.param(lambda x: ops.avg_pool2d(x, size=2, stride=0), ShapeError, ">= 1", id="no-stride"),
        pytest.param(lambda x: ops.avg_pool2d(x, size=2, padding=2), ShapeError, "padding only", id="pad"),
        pytest.param(
            lambda x: ops.max_pool2d(x[:, :, :1], size=2, padding=1, dilation=2), ShapeError, "padding only", id="gap"
        ),
        pytest.param(lambda x: ops.max_pool2d(x, size=2, padding=-1), ShapeError, "padding >= 0", id="negative"),
        pytest.param(lambda x: ops.max_pool2d(x, size=(2, 2, 2)), ConfigError, "one size or 2", id="entries"),
        pytest.param(lambda x: ops.adaptive_avg_pool2d(x, size=(1,)), ConfigError, "one size or 2", id="adaptive"),
        pytest.param(lambda x: ops.adaptive_max_pool2d(x, size=0), ShapeError, "lengths >= 1", id="nothing"),
        pytest.param(lambda x: ops.global_avg_pool(x[0, 0]), ShapeError, "N, C", id="global"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    """With what was expected and what was given."""
    with pytest.raises(error, match=match):
        call(draw((2, 3, 4, 4)))
