"""Convolution against PyTorch over random shapes, strides, paddings, dilations and groups; blocks, norms and errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import OPS, ConfigError, ShapeError, Tensor, grad, ops
from nasturtium.core.dispatch import apply
from nasturtium.core.ops import depthwise, patches

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
F = torch.nn.functional
CONV = {1: (ops.conv1d, F.conv1d), 2: (ops.conv2d, F.conv2d), 3: (ops.conv3d, F.conv3d)}
TRANSPOSED = {
    1: (ops.conv_transpose1d, F.conv_transpose1d),
    2: (ops.conv_transpose2d, F.conv_transpose2d),
    3: (ops.conv_transpose3d, F.conv_transpose3d),
}
TOLERANCE = {np.float64: {"rtol": 1e-9, "atol": 1e-10}, np.float32: {"rtol": 2e-4, "atol": 2e-4}}


def draw(shape, dtype=np.float64, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def channels_last(x: np.ndarray) -> np.ndarray:
    """The same values in the memory order that a convolution leaves behind."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def check(ours, theirs, arrays, tolerance) -> None:
    """Values, gradients, and gradients of gradients of two functions of two inputs."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    references = [torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]
    y, expected = ours(*tensors), theirs(*references)
    assert y.dtype == arrays[0].dtype
    np.testing.assert_allclose(y.data, expected.detach().numpy(), **tolerance)
    upper = draw(y.shape, arrays[0].dtype, seed=1)
    ups, refs = Tensor(upper, requires_grad=True), torch.tensor(upper, requires_grad=True)
    first = grad((y * ups).sum(), tensors, create_graph=True)
    wanted = torch.autograd.grad((expected * refs).sum(), references, create_graph=True)
    for mine, reference in zip(first, wanted, strict=True):
        np.testing.assert_allclose(mine.data, reference.detach().numpy(), **tolerance)
    along = [draw(array.shape, array.dtype, seed=2) for array in arrays]
    total = sum((g * Tensor(a)).sum() for g, a in zip(first, along, strict=True))
    reference = sum((g * torch.tensor(a)).sum() for g, a in zip(wanted, along, strict=True))
    second = grad(total, [*tensors, ups])
    wanted = torch.autograd.grad(reference, [*references, refs])
    for mine, expected in zip(second, wanted, strict=True):
        np.testing.assert_allclose(mine.data, expected.numpy(), **tolerance)


@st.composite
def convolutions(draw, transposed: bool = False):
    """Shapes of an input and a weight that fit, and parameters."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    groups = draw(st.integers(1, 3))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 5 if groups > 1 else 3))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    size, stride, dilation, padding = each(1, 3), each(1, 3), each(1, 2), each(0, 3)
    most = 4 if rank == 3 else 7
    if transposed:
        lengths = tuple(
            draw(st.integers(least := max(1, -(-(2 * p - d * (k - 1)) // s) + 1), max(least, most)))
            for k, s, d, p in zip(size, stride, dilation, padding, strict=True)
        )
        params = {"output_padding": tuple(draw(st.integers(0, s - 1)) for s in stride)}
        w = (groups * inputs, outputs, *size)
    else:
        lengths = tuple(
            draw(st.integers(least := max(1, d * (k - 1) + 1 - 2 * p), max(least, most)))
            for k, d, p in zip(size, dilation, padding, strict=True)
        )
        params, w = {}, (groups * outputs, inputs, *size)
    params |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return rank, (draw(st.integers(1, 3)), groups * inputs, *lengths), w, params


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@settings(max_examples=60, deadline=None)
@given(case=convolutions(), last=st.booleans())
def test_conv_is_pytorch_s(dtype, case, last):
    """Values, gradients, and gradients of gradients, from either memory order."""
    rank, shape, kernel, params = case
    ours, theirs = CONV[rank]
    x = draw(shape, dtype)
    check(
        lambda x, w: ours(x, w, **params),
        lambda x, w: theirs(x, w, **params),
        [channels_last(x) if last else x, draw(kernel, dtype, seed=3)],
        TOLERANCE[dtype],
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(case=convolutions(transposed=True))
def test_conv_transpose_is_pytorch_s(dtype, case):
    """Values, gradients, and gradients of gradients."""
    rank, shape, kernel, params = case
    ours, theirs = TRANSPOSED[rank]
    check(
        lambda x, w: ours(x, w, **params),
        lambda x, w: theirs(x, w, **params),
        [draw(shape, dtype), draw(kernel, dtype, seed=3)],
        TOLERANCE[dtype],
    )


@settings(max_examples=30, deadline=None)
@given(sides=st.tuples(*[st.integers(0, 3)] * 4), stride=st.integers(1, 2))
def test_asymmetric_padding_is_padding_first(sides, stride):
    """Pairs (before, behind) per axis."""
    top, bottom, left, right = sides
    check(
        lambda x, w: ops.conv2d(x, w, stride=stride, padding=((top, bottom), (left, right))),
        lambda x, w: F.conv2d(F.pad(x, (left, right, top, bottom)), w, stride=stride),
        [draw((2, 3, 5, 6)), draw((2, 3, 3, 2))],
        TOLERANCE[np.float64],
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # PyTorch on its own speed
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 4)], ids=str)
def test_same_and_valid_padding(size, dilation):
    """As PyTorch has them, where the stride is 1."""
    x, w = draw((2, 3, 9, 8)), draw((4, 3, *size))
    for padding in ("same", "valid"):
        y = ops.conv2d(x, w, padding=padding, dilation=dilation)
        expected = F.conv2d(torch.tensor(x), torch.tensor(w), padding=padding, dilation=dilation)
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 3)], ids=str)
@pytest.mark.parametrize("length", [7, 8, 9])
def test_same_padding_with_a_stride_rounds_the_length_up_and_the_transpose_brings_it_back(length, stride):
    """ceil(length / stride) out of a convolution, stride * length out of its transpose."""
    x, w = draw((1, 2, length, length)), draw((3, 2, 3, 4))
    strides = np.broadcast_to(stride, 2)
    assert ops.conv2d(x, w, stride=stride, padding="same").shape[2:] == tuple(-(-length // s) for s in strides)
    back = ops.conv_transpose2d(x, draw((2, 3, 3, 4)), stride=stride, padding="same")
    assert back.shape[2:] == tuple(length * s for s in strides)


def test_lists_and_numbers_say_the_same_as_tuples():
    """Strides, paddings and dilations in every form that users write."""
    x, w = draw((2, 3, 7, 7)), draw((4, 3, 3, 3))
    expected = ops.conv2d(x, w, stride=(2, 2), padding=((1, 1), (1, 1)), dilation=(1, 1))
    for padding in (1, [1, 1], (1, (1, 1)), [[1, 1], [1, 1]]):
        np.testing.assert_array_equal(ops.conv2d(x, w, stride=[2, 2], padding=padding, dilation=1), expected)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few patches: convolutions of every size go through all ways to split them."""

    def shrink(block: int, whole: int) -> None:
        monkeypatch.setattr(patches, "_BLOCK", block)
        monkeypatch.setattr(patches, "_WHOLE", whole)
        monkeypatch.setattr(patches, "_MULTIPLICATIONS", 1)

    return shrink


SHAPES = [
    pytest.param((5, 4, 7, 6), (6, 4, 3, 3), {"padding": 1}, id="dense"),
    pytest.param((5, 4, 7, 6), (6, 4, 3, 2), {"stride": (2, 1), "padding": 1}, id="strided"),
    pytest.param((5, 4, 7, 6), (6, 2, 3, 3), {"padding": 1, "groups": 2, "dilation": 2}, id="groups"),
    pytest.param((5, 4, 7, 6), (8, 1, 3, 3), {"padding": 1, "groups": 4}, id="depthwise"),
    pytest.param((5, 4, 7, 6), (4, 1, 3, 3), {"stride": 2, "groups": 4}, id="depthwise-strided"),
    pytest.param((5, 4, 7, 6), (6, 4, 1, 1), {}, id="pointwise"),
    pytest.param((3, 2, 5, 4, 3), (3, 2, 2, 2, 2), {"padding": 1}, id="volume"),
    pytest.param((3, 2, 9), (3, 2, 4), {"stride": 2}, id="line"),
]


@pytest.mark.parametrize(("block", "whole"), [(1, 1), (600, 600), (600, 10**9), (4000, 4000)])
@pytest.mark.parametrize(("shape", "kernel", "params"), SHAPES)
def test_blocks_do_not_change_the_result(small_blocks, shape, kernel, params, block, whole):
    """Convolution and gradients computed a few samples, or lines of one sample, at a time."""
    conv = CONV[len(shape) - 2][0]

    def run() -> list[np.ndarray]:
        x, w = Tensor(draw(shape), requires_grad=True), Tensor(draw(kernel, seed=1), requires_grad=True)
        y = conv(x, w, **params)
        y.backward(Tensor(draw(y.shape, seed=2)))
        return [y.data, x.grad.data, w.grad.data]

    expected = run()
    small_blocks(block, whole)
    for mine, reference in zip(run(), expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("params", [{"padding": 2}, {"padding": 2, "stride": 2}], ids=["dense", "strided"])
def test_memory_is_bounded_whatever_the_patches_need(params):
    """The patches of this convolution are 25 times its input, 52 MB with stride 1; 12 MB are enough for all of it."""
    x, w = draw((8, 16, 64, 64), np.float32), draw((16, 16, 5, 5), np.float32)
    y = ops.conv2d(x, w, **params)
    tracemalloc.start()
    try:
        ops.conv2d(x, w, **params)
        forward = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        lengths, sides = (64, 64), ((2, 2), (2, 2))
        stride = (params.get("stride", 1),) * 2
        moves = {"stride": stride, "padding": sides, "dilation": (1, 1), "groups": 1}
        apply(OPS["conv_input_grad"], [y, w], {"lengths": lengths, **moves})
        backward = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert forward - y.nbytes < 10 << 20
    assert backward - x.nbytes < 14 << 20


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("params", [{"padding": 1}, {"stride": 2, "padding": 1}, {"dilation": 2}], ids=str)
def test_depthwise_is_grouped_convolution(monkeypatch, params, multiplier):
    """The way without matrix products against the way with one per channel."""

    def run() -> list[np.ndarray]:
        x = Tensor(draw((2, 3, 8, 7)), requires_grad=True)
        w = Tensor(draw((3 * multiplier, 1, 3, 3), seed=1), requires_grad=True)
        y = ops.conv2d(x, w, groups=3, **params)
        y.backward(Tensor(draw(y.shape, seed=2)))
        return [y.data, x.grad.data, w.grad.data]

    direct = run()
    monkeypatch.setattr(depthwise, "MOST_KERNELS", 0)
    monkeypatch.setattr(depthwise, "convolve", None)
    for mine, reference in zip(direct, run(), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "kernel", "params"), SHAPES)
@pytest.mark.parametrize("held", [1, 1 << 26], ids=["one-sample-at-a-time", "all"])
def test_ghost_norms_are_the_norms_of_the_gradients_per_sample(monkeypatch, shape, kernel, params, held):
    """For all of the shapes; small images take Gram matrices, large ones the gradients."""
    monkeypatch.setattr("nasturtium.core.ops.conv._NORM_BYTES", held)
    conv = CONV[len(shape) - 2][0]
    x, w = draw(shape), draw(kernel, seed=1)
    y = conv(Tensor(x), Tensor(w, requires_grad=True), **params)
    g = draw(y.shape, seed=2)
    norms = OPS["conv"].ghost[1](g, None, x, w, **y.node.params)
    for i, norm in enumerate(norms):
        weight = Tensor(w, requires_grad=True)
        conv(Tensor(x[i : i + 1]), weight, **params).backward(Tensor(g[i : i + 1]))
        np.testing.assert_allclose(norm, np.sum(weight.grad.data**2), rtol=1e-10)


@pytest.mark.parametrize("spatial", [(2, 2), (9, 9)], ids=["gram-matrices", "gradients"])
def test_ghost_norms_by_both_ways(spatial):
    """4 positions against 27 * 8 weights, and 81 * 81 against them."""
    x, g = draw((3, 3, *spatial)), draw((3, 8, *spatial), seed=1)
    moves = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    norms = OPS["conv"].ghost[1](g, None, x, draw((8, 3, 3, 3)), **moves)
    for i in range(3):
        weight = apply(OPS["conv_weight_grad"], [x[i : i + 1], g[i : i + 1]], {"size": (3, 3), **moves})
        np.testing.assert_allclose(norms[i], np.sum(weight**2), rtol=1e-10)


def test_no_gradient_is_computed_for_an_input_that_needs_none(monkeypatch):
    """The first layer of a network: the rule for its input is not run."""
    w = Tensor(draw((4, 3, 3, 3)), requires_grad=True)
    y = ops.conv2d(Tensor(draw((2, 3, 5, 5))), w, padding=1)
    monkeypatch.setattr(patches, "input_gradient", None)
    y.backward(Tensor(draw(y.shape)))
    assert w.grad is not None


@pytest.mark.parametrize(("shape", "kernel", "params"), SHAPES)
def test_results_lie_in_channels_last_memory(shape, kernel, params):
    """So that the next convolution copies long runs."""
    y = CONV[len(shape) - 2][0](draw(shape), draw(kernel), **params)
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


def test_dtypes_promote():
    """float32 with float64 is float64; half precision is computed in float32 and rounded once."""
    x, w = draw((1, 2, 4, 4)), draw((2, 2, 3, 3))
    assert ops.conv2d(x.astype(np.float32), w).dtype == np.float64
    half = ops.conv2d(Tensor(x, dtype="float16"), Tensor(w, dtype="float16"))
    exact = ops.conv2d(x.astype(np.float16).astype(np.float32), w.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(half.data, exact.astype(np.float16))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda x, w: ops.conv2d(x[0], w), ShapeError, "expected 4 axes", id="no-batch"),
        pytest.param(lambda x, w: ops.conv2d(x, w[:, :2]), ShapeError, "channels differ", id="channels"),
        pytest.param(lambda x, w: ops.conv2d(x, w, groups=2), ShapeError, "groups that divide 3", id="groups"),
        pytest.param(lambda x, w: ops.conv2d(x, w, groups=0), ShapeError, "groups that divide", id="no-groups"),
        pytest.param(lambda x, w: ops.conv2d(x, w, dilation=3), ShapeError, "larger than the padded", id="too-wide"),
        pytest.param(lambda x, w: ops.conv2d(x, w, stride=0), ShapeError, "stride and dilation >= 1", id="stride"),
        pytest.param(lambda x, w: ops.conv2d(x, w, padding=-1), ShapeError, "padding >= 0", id="negative-padding"),
        pytest.param(lambda x, w: ops.conv2d(x, w, padding="full"), ConfigError, "'same', 'valid'", id="padding-name"),
        pytest.param(lambda x, w: ops.conv2d(x, w, stride=(1, 1, 1)), ConfigError, "one stride or 2", id="entries"),
        pytest.param(lambda x, w: ops.conv1d(x[0], w[0], padding=(1, 2)), ConfigError, "write .*before", id="one-pair"),
        pytest.param(lambda x, w: ops.conv_transpose2d(x, w), ShapeError, "channels differ", id="transposed-channels"),
        pytest.param(
            lambda x, w: ops.conv_transpose2d(x, w[:3], output_padding=1), ShapeError, "output_padding <", id="output"
        ),
        pytest.param(lambda x, w: ops.conv_transpose2d(x, w[:3], padding=9), ShapeError, "nothing is left", id="cut"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    """With what was expected and what was given."""
    with pytest.raises(error, match=match):
        call(draw((2, 3, 5, 5)), draw((4, 3, 3, 3)))


def test_numbers_of_numpy_are_numbers():
    """A stride that was computed from shapes or read from an array."""
    x, w = draw((1, 2, 7, 7)), draw((2, 2, 3, 3))
    y = ops.conv2d(x, w, stride=np.int64(2), padding=[np.int32(1), 1])
    np.testing.assert_array_equal(y, ops.conv2d(x, w, stride=2, padding=1))
    with pytest.raises(ConfigError, match="whole numbers as stride"):
        ops.conv2d(x, w, stride=1.5)
