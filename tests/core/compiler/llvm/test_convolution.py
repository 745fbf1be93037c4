"""Convolutions and their gradients, against NumPy's float64: sizes, strides, tails, epilogues, threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import KernelCache, Target
from nasturtium.core.compiler.llvm.convolution import forward, input_gradient
from nasturtium.core.compiler.llvm.formula import SHARDS
from nasturtium.core.compiler.llvm.geometry import Convolution, gradient_border, input_border
from nasturtium.core.compiler.llvm.launch import Images
from nasturtium.core.compiler.llvm.packing import (
    pack_weights,
    packed_size,
    turn_weights,
    turned_size,
    unpack_weights,
)
from nasturtium.core.compiler.llvm.panels import places_for
from nasturtium.core.compiler.llvm.tile import BLOCK
from nasturtium.core.compiler.llvm.tile_launch import choose_tile
from nasturtium.core.compiler.llvm.tiling import Epilogue, moments_row
from nasturtium.core.compiler.llvm.weight_gradient import weight_gradient
from nasturtium.core.compiler.llvm.winograd import is_minimal
from nasturtium.core.compiler.llvm.winograd_gradient import minimal_weight_gradient
from nasturtium.core.compiler.llvm.winograd_weights import from_planes, to_planes, weight_planes_size

from .launching import (
    BEHIND,
    GUARD,
    assert_near,
    memory,
    output_size,
    pixels_of,
    placed,
    plain_forward,
    plain_input_gradient,
    plain_weight_gradient,
    run,
    run_weight_gradient,
    target_of,
    untouched,
)

WIDTHS = [None, 4]


def case(size: tuple[int, int, int], inputs: int, outputs: int, kernel: int | tuple[int, int], id: str, **rest: object):
    pair = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    return pytest.param(size, Convolution(inputs=inputs, outputs=outputs, kernel=pair, **rest), id=id)  # pyright: ignore


CASES = [
    case((3, 9, 11), 5, 7, 3, "odd-channels", padding=(1, 1)),
    case((2, 8, 8), 16, 16, 3, "one-block", padding=(1, 1)),
    case((2, 8, 8), 3, 24, 3, "stride-2-of-rgb", stride=(2, 2), padding=(1, 1)),
    case((4, 8, 10), 40, 48, 3, "minimal", padding=(1, 1)),
    case((29, 4, 4), 32, 12, (3, 5), "minimal-of-few-pixels", padding=(1, 2)),
    case((32, 4, 4), 16, 28, 3, "minimal-of-runs-of-images", padding=(1, 1)),
    case((5, 12, 14), 12, 80, 5, "minimal-of-5", padding=(2, 2)),
    case((9, 11, 12), 13, 16, (4, 7), "minimal-of-4-by-7", padding=(1, 3)),
    case((5, 8, 8), 24, 32, 3, "minimal-groups", padding=(1, 1), groups=2),
    case((2, 10, 7), 17, 33, 1, "pointwise"),
    case((2, 9, 9), 10, 80, 1, "pointwise-stride-2", stride=(2, 2)),
    case((9, 7, 5), 80, 40, 1, "panels-pointwise"),
    case((17, 5, 6), 32, 112, 3, "panels-stride-2", stride=(2, 2), padding=(1, 1)),
    case((3, 9, 8), 96, 64, (2, 3), "panels-groups-and-dilation", padding=(1, 2), dilation=(1, 2), groups=2),
    case((1, 12, 17), 16, 48, 5, "overlapping-tiles", padding=(2, 2)),
    case((1, 12, 12), 8, 20, 3, "groups-and-dilation", padding=(2, 2), dilation=(2, 2), groups=2),
    case((2, 11, 13), 6, 10, 3, "strides-and-dilations-differ", stride=(3, 2), padding=(1, 0), dilation=(2, 3)),
    case((1, 9, 9), 1, 16, 7, "one-channel", stride=(2, 2), padding=(3, 3)),
    case((3, 7, 9), 17, 17, 3, "depthwise", padding=(1, 1), groups=17),
    case((2, 9, 13), 7, 7, 3, "depthwise-stride-2", stride=(2, 2), padding=(1, 1), groups=7),
    case((2, 9, 8), 40, 40, (1, 5), "depthwise-dilated", padding=(0, 4), dilation=(1, 2), groups=40),
    case((1, 5, 5), 64, 64, 3, "depthwise-wide", stride=(1, 2), groups=64),
    case((17, 6, 6), 4, 8, (3, 1), "more-images-than-shards", stride=(2, 2), padding=(1, 0), dilation=(2, 2)),
]


def weights_of(
    cache: KernelCache, conv: Convolution, w: np.ndarray, output: Images, *, turned: bool = False
) -> np.ndarray:
    """Weights as the kernels read them for an output; turned, for the gradient of the input."""
    packed = memory(pack_weights(w, conv))
    target = target_of(cache)
    if turned and not conv.depthwise:
        source, packed = packed, memory(turned_size(conv))
        run(cache, [turn_weights(target, conv)], threads=2, source=source, result=packed)
    if not is_minimal(conv, output):
        return packed
    planes = memory(weight_planes_size(conv, turned=turned))
    run(cache, to_planes(target, conv, turned=turned), threads=3, source=packed, result=planes)
    assert (planes[-BEHIND:] == np.float32(GUARD)).all()
    return planes


def draw(conv: Convolution, size: tuple[int, int, int]):
    rng = np.random.default_rng(conv.inputs)
    count, height, width = size
    out = output_size(conv, height, width)
    x = rng.standard_normal((count, height, width, conv.inputs)).astype(np.float32)
    w = rng.standard_normal((conv.outputs, conv.group_inputs, *conv.kernel)).astype(np.float32)
    dy = rng.standard_normal((count, *out, conv.outputs)).astype(np.float32)
    return x, w, dy


def layouts(conv: Convolution, size: tuple[int, int, int], *, pixel: int = 0) -> tuple[Images, Images]:
    """Of input and output, each with the border that is asked for; pixels wider than their channels."""
    count, height, width = size
    out = output_size(conv, height, width)
    borders = input_border(conv, height, width, *out), gradient_border(conv, height, width, *out)
    return (
        Images.dense(count, height, width, conv.inputs, border=borders[0], pixel=conv.inputs + pixel),
        Images.dense(count, *out, conv.outputs, border=borders[1], pixel=conv.outputs + pixel),
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "conv"), CASES)
def test_forward(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution, width: int | None):
    target = target_of(kernel_cache, width)
    x, w, dy = draw(conv, size)
    images, like_y = layouts(conv, size)
    wanted = plain_forward(conv, x, w, dy.shape[1:3])
    packed = weights_of(kernel_cache, conv, w, like_y)
    results: list[bytes] = []
    for threads in (1, 3, 50):
        y = memory(like_y.size)
        run(kernel_cache, forward(target, conv, images, like_y), threads=threads, x=placed(x, images), w=packed, y=y)
        assert_near(pixels_of(y, like_y), wanted, terms=w[0].size)
        assert untouched(y, like_y)
        results.append(y.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "conv"), CASES)
def test_epilogues(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution, width: int | None):
    """All at once: bias, the mask of a ReLU, another branch added (lying elsewhere), ReLU."""
    target = target_of(kernel_cache, width)
    x, w, add = draw(conv, size)
    images, like_y = layouts(conv, size, pixel=3)
    rng = np.random.default_rng(0)
    bias = rng.standard_normal(conv.outputs).astype(np.float32)
    mask = rng.standard_normal(add.shape).astype(np.float32)
    dense = Images.dense(*add.shape)
    epilogue = Epilogue(bias=True, mask=True, add=True, relu=True)
    y = memory(like_y.size)
    launches = forward(target, conv, images, like_y, epilogue=epilogue, others={"mask": dense})
    operands = {"bias": memory(bias), "mask": placed(mask, dense), "add": placed(add, like_y)}
    run(
        kernel_cache,
        launches,
        threads=2,
        x=placed(x, images),
        w=weights_of(kernel_cache, conv, w, like_y),
        y=y,
        **operands,
    )
    sums = plain_forward(conv, x, w, add.shape[1:3])
    assert_near(pixels_of(y, like_y), np.maximum(np.where(mask > 0, sums + bias, 0) + add, 0), terms=w[0].size)
    assert untouched(y, like_y)


@pytest.mark.parametrize(("size", "conv"), CASES)
def test_the_output_itself_can_be_added(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution):
    target = target_of(kernel_cache)
    x, w, before = draw(conv, size)
    images, like_y = layouts(conv, size)
    y = placed(before, like_y)
    launches = forward(target, conv, images, like_y, epilogue=Epilogue(add=True))
    run(kernel_cache, launches, threads=2, x=placed(x, images), w=weights_of(kernel_cache, conv, w, like_y), y=y, add=y)
    assert_near(pixels_of(y, like_y), plain_forward(conv, x, w, before.shape[1:3]) + before, terms=w[0].size)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "conv"), CASES)
def test_moments(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution, width: int | None):
    """Means far from zero cost no digits of the deviations, and threads make no difference."""
    target = target_of(kernel_cache, width)
    x, w, _ = draw(conv, size)
    images, like_y = layouts(conv, size)
    bias = np.full(conv.outputs, 1000.0, np.float32)
    row = moments_row(conv.outputs)
    launches = forward(target, conv, images, like_y, epilogue=Epilogue(bias=True, moments=True))
    packed = weights_of(kernel_cache, conv, w, like_y)
    kept: list[bytes] = []
    for threads in (1, 3, 50):
        moments, y = memory(SHARDS * 2 * row), memory(like_y.size)
        operands = {"bias": memory(bias), "moments": moments, "y": y}
        run(kernel_cache, launches, threads=threads, x=placed(x, images), w=packed, **operands)
        means, squares = np.moveaxis(moments[:-BEHIND].reshape(SHARDS, 2, row)[..., : conv.outputs], 1, 0)
        stored = pixels_of(y, like_y).astype(np.float64)
        for shard in range(SHARDS):
            lo, hi = (size[0] * at // SHARDS for at in (shard, shard + 1))
            if lo == hi:
                assert (means[shard] == np.float32(GUARD)).all()
                continue
            mean = stored[lo:hi].mean((0, 1, 2))
            np.testing.assert_allclose(means[shard], mean, rtol=2e-7)
            np.testing.assert_allclose(squares[shard], np.square(stored[lo:hi] - mean).sum((0, 1, 2)), rtol=2e-5)
        kept.append(means.tobytes() + squares.tobytes())
    assert len(set(kept)) == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "conv"), CASES)
def test_input_gradient(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution, width: int | None):
    """Every pixel is written once, of any residue of the stride."""
    target = target_of(kernel_cache, width)
    _, w, dy = draw(conv, size)
    like_x, like_dy = layouts(conv, size)
    turned = weights_of(kernel_cache, conv, w, like_x, turned=True)
    results: list[bytes] = []
    for threads in (1, 3):
        dx = memory(like_x.size)
        launches = input_gradient(target, conv, like_dy, like_x)
        run(kernel_cache, launches, threads=threads, x=placed(dy, like_dy), w=turned, y=dx)
        wanted = plain_input_gradient(conv, dy, w, size[1:])
        assert_near(pixels_of(dx, like_x), wanted, terms=w[:, 0].size)
        assert untouched(dx, like_x)
        results.append(dx.tobytes())
    assert len(set(results)) == 1


def find_weight_gradient(
    cache: KernelCache,
    target: Target,
    conv: Convolution,
    layouts: tuple[Images, Images],
    *,
    threads: int,
    result: np.ndarray,
    **operands: np.ndarray,
) -> None:
    """The gradient of packed weights, directly or by way of planes."""
    if not is_minimal(conv, layouts[1]):
        run_weight_gradient(cache, weight_gradient(target, conv, *layouts), threads=threads, **operands, result=result)
        return
    planes = memory(weight_planes_size(conv))
    plan = minimal_weight_gradient(target, conv, *layouts)
    run_weight_gradient(cache, plan, threads=threads, **operands, result=planes)
    run(cache, from_planes(target, conv), threads=threads, source=planes, result=result)
    assert (planes[-BEHIND:] == np.float32(GUARD)).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "conv"), CASES)
def test_weight_gradient(kernel_cache: KernelCache, size: tuple[int, int, int], conv: Convolution, width: int | None):
    """Packed like the weights, with zeros where those are filled up; again into the same memory it is doubled."""
    target = target_of(kernel_cache, width)
    x, _, dy = draw(conv, size)
    like_x, like_dy = layouts(conv, size)
    operands = {"x": placed(x, like_x), "y": placed(dy, like_dy)}
    wanted = plain_weight_gradient(conv, x, dy)
    result = memory(packed_size(conv))
    kept: list[bytes] = []
    for threads in (1, 2, 3, 50):
        result[...] = GUARD
        find_weight_gradient(kernel_cache, target, conv, (like_x, like_dy), threads=threads, **operands, result=result)
        packed = result[:-BEHIND]
        assert_near(unpack_weights(packed, conv), wanted, terms=dy[..., 0].size)
        np.testing.assert_array_equal(pack_weights(unpack_weights(packed, conv), conv), packed)
        assert (result[-BEHIND:] == np.float32(GUARD)).all()
        kept.append(result.tobytes())
    assert len(set(kept)) == 1
    if is_minimal(conv, like_dy):
        return
    plan = weight_gradient(target, conv, like_x, like_dy, accumulate=True)
    run_weight_gradient(kernel_cache, plan, threads=2, **operands, result=result)
    assert_near(unpack_weights(result[:-BEHIND], conv), 2 * wanted, terms=dy[..., 0].size)


@pytest.mark.parametrize("most", [0, 1 << 19], ids=["tiles", "shards"])
def test_many_small_images_are_gone_through_in_groups(
    kernel_cache: KernelCache, monkeypatch: pytest.MonkeyPatch, most: int
):
    monkeypatch.setattr("nasturtium.core.compiler.llvm.weight_gradient.GROUP_BYTES", 6000)
    monkeypatch.setattr("nasturtium.core.compiler.llvm.sharding.MOST_PARTIALS", most)
    conv = Convolution(inputs=8, outputs=16, kernel=(3, 3), padding=(1, 1))
    target, size = target_of(kernel_cache), (50, 5, 5)
    x, _, dy = draw(conv, size)
    like_x, like_dy = layouts(conv, size)
    plan = weight_gradient(target, conv, like_x, like_dy)
    assert bool(plan.partials) == (most > 0)
    assert plan.launches[0].numbers["group"] == 2
    result = memory(packed_size(conv))
    run_weight_gradient(kernel_cache, plan, threads=2, x=placed(x, like_x), y=placed(dy, like_dy), result=result)
    assert_near(unpack_weights(result[:-BEHIND], conv), plain_weight_gradient(conv, x, dy), terms=dy[..., 0].size)


@pytest.mark.parametrize(("size", "conv"), CASES)
def test_what_is_minimal(request: pytest.FixtureRequest, size: tuple[int, int, int], conv: Convolution):
    assert is_minimal(conv, layouts(conv, size)[1]) == ("minimal" in request.node.callspec.id)


def test_few_registers_take_fewer_places(kernel_cache: KernelCache):
    assert places_for(replace(target_of(kernel_cache, 4), registers=16), 2) == [1] * BLOCK
    assert places_for(replace(target_of(kernel_cache, 16), registers=32), 2) == [8, 8]
    assert places_for(replace(target_of(kernel_cache, 8), registers=16), 1) == [6, 5, 5]


def test_a_relu_lets_nan_through(kernel_cache: KernelCache):
    conv = Convolution(inputs=2, outputs=3)
    x = np.array([[[[np.nan, 1.0]], [[-1.0, -1.0]]]], np.float32).reshape(1, 1, 2, 2)
    like_x, like_y = layouts(conv, (1, 1, 2))
    y = memory(like_y.size)
    launches = forward(target_of(kernel_cache), conv, like_x, like_y, epilogue=Epilogue(relu=True))
    run(kernel_cache, launches, x=placed(x, like_x), w=memory(pack_weights(np.ones((3, 2, 1, 1)), conv)), y=y)
    assert np.isnan(pixels_of(y, like_y)[0, 0, 0]).all()
    assert (pixels_of(y, like_y)[0, 0, 1] == 0).all()


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("registers", [16, 32])
def test_tiles_fit_into_the_registers(kernel_cache: KernelCache, width: int, registers: int):
    target = replace(target_of(kernel_cache, width), registers=registers)
    for row in (1, 2, 7, 8, 13, 14, 28, 31, 32, 1000):
        for blocks in range(1, 9):
            pixels, group = choose_tile(target, row, blocks)
            vectors = group * 16 // width
            assert pixels <= row
            assert group <= blocks
            assert pixels * vectors + vectors < registers


@pytest.mark.soak
def test_any_convolution(kernel_cache: KernelCache):
    """Random sizes, strides, dilations, groups and epilogues for some minutes."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        groups, plain = int(rng.choice([1, 1, 1, 2, 3, 0])), rng.random() < 0.5  # 0: depthwise
        channels = (int(rng.integers(1, 40)), int(rng.integers(1, 90))) if groups else (1, 1)
        groups = groups or int(rng.integers(2, 80))
        conv = Convolution(
            inputs=groups * channels[0],
            outputs=groups * channels[1],
            kernel=(int(rng.integers(1, 8)), int(rng.integers(1, 8))),
            stride=(1, 1) if plain else (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            padding=(int(rng.integers(0, 4)), int(rng.integers(0, 4))),
            dilation=(1, 1) if plain else (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            groups=groups,
        )
        size = int(rng.integers(1, 20)), int(rng.integers(19, 30)), int(rng.integers(19, 30))
        width = int(rng.choice([4, 8, 16]))
        test_forward(kernel_cache, size, conv, width)
        test_epilogues(kernel_cache, size, conv, width)
        test_moments(kernel_cache, size, conv, width)
        test_input_gradient(kernel_cache, size, conv, width)
        test_weight_gradient(kernel_cache, size, conv, width)
