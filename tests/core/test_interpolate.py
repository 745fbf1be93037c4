"""Interpolation against PyTorch over random sizes, modes and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, ShapeError, Tensor, grad, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
interpolate = torch.nn.functional.interpolate
TORCH_MODES = {
    "nearest": {1: "nearest", 2: "nearest", 3: "nearest"},
    "nearest-exact": {1: "nearest-exact", 2: "nearest-exact", 3: "nearest-exact"},
    "linear": {1: "linear", 2: "bilinear", 3: "trilinear"},
    "cubic": {2: "bicubic"},
    "area": {1: "area", 2: "area", 3: "area"},
}
CASES = [pytest.param(mode, rank, id=f"{mode}-{rank}d") for mode, ranks in TORCH_MODES.items() for rank in ranks]
TOLERANCE = {np.float64: {"rtol": 1e-9, "atol": 1e-11}, np.float32: {"rtol": 1e-4, "atol": 1e-4}}


def draw(shape, dtype=np.float64, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(ours, theirs, x: np.ndarray, *, last: bool) -> None:
    """Values, gradients, and gradients of gradients."""
    tolerance = TOLERANCE[x.dtype.type]
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    tensor, reference = Tensor(x, requires_grad=True), torch.tensor(np.ascontiguousarray(x), requires_grad=True)
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


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("mode", "rank"), CASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), corners=st.booleans(), last=st.booleans())
def test_sizes_are_pytorch_s(mode, rank, dtype, data, corners, last):
    """Larger and smaller, from either memory order."""
    lengths = tuple(data.draw(st.integers(1, 6)) for _ in range(rank))
    size = tuple(data.draw(st.integers(1, 9)) for _ in range(rank))
    align = corners if mode in ("linear", "cubic") else None
    check(
        lambda x: ops.interpolate(x, size=size, mode=mode, align_corners=bool(align)),
        lambda x: interpolate(x, size=size, mode=TORCH_MODES[mode][rank], align_corners=align),
        draw((2, 2, *lengths), dtype),
        last=last,
    )


@pytest.mark.parametrize("factor", [0.5, 1, 1.3, 2, 2.5])
@pytest.mark.parametrize(("mode", "rank"), CASES)
def test_scale_factors_are_pytorch_s(mode, rank, factor):
    """A factor that does not divide the length is not rounded to the lengths' ratio."""
    for length in range(2, 9):
        if int(length * factor) == length and factor != 1:
            continue  # PyTorch copies then, but not in all modes
        x = draw((1, 2, *(length,) * rank))
        y = ops.interpolate(x, scale_factor=factor, mode=mode)
        expected = interpolate(torch.tensor(x), scale_factor=factor, mode=TORCH_MODES[mode][rank])
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("source", "target"), [(7, 13), (13, 7), (3, 97), (100, 41), (49, 49), (1000, 333)])
def test_nearest_takes_the_element_at_the_exact_quotient(source, target):
    """Not at one that was rounded: floor(i source / target) in integers."""
    x = np.arange(source)[None, None]
    y = ops.interpolate(x, size=target)
    assert y.dtype == x.dtype
    assert y[0, 0].tolist() == [i * source // target for i in range(target)]


def test_names_of_pytorch_mean_the_same():
    x = draw((1, 1, 4, 4))
    for ours, theirs in (("linear", "bilinear"), ("cubic", "bicubic")):
        np.testing.assert_array_equal(ops.interpolate(x, size=6, mode=ours), ops.interpolate(x, size=6, mode=theirs))


def test_a_constant_image_stays_constant():
    """The weights of every element sum to 1."""
    x = np.full((1, 1, 5, 7), 3.0)
    for mode in TORCH_MODES:
        for size in (3, 5, 8):
            np.testing.assert_allclose(ops.interpolate(x, size=size, mode=mode), 3.0, rtol=1e-12)


def test_a_nan_stays_among_the_elements_that_see_it():
    x = draw((1, 1, 6))
    x[0, 0, 0] = np.nan
    assert np.isnan(ops.interpolate(x, size=12, mode="nearest")).sum() == 2
    assert np.isnan(ops.interpolate(x, size=12, mode="linear")).sum() == 3


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        pytest.param({"size": 2, "mode": "lanczos"}, ConfigError, "unknown mode 'lanczos'", id="mode"),
        pytest.param({}, ConfigError, "size or scale_factor", id="neither"),
        pytest.param({"size": 2, "scale_factor": 2}, ConfigError, "size or scale_factor", id="both"),
        pytest.param({"size": (2, 2, 2)}, ConfigError, "one size or 2", id="entries"),
        pytest.param({"scale_factor": -1.0}, ConfigError, "scale_factor > 0", id="negative"),
        pytest.param({"scale_factor": 0.1}, ShapeError, "nothing is left", id="nothing"),
        pytest.param({"size": 2, "align_corners": True}, ConfigError, "no meaning", id="corners-of-nearest"),
    ],
)
def test_what_makes_no_sense_is_refused(params, error, match):
    with pytest.raises(error, match=match):
        ops.interpolate(draw((1, 1, 4, 4)), **params)
