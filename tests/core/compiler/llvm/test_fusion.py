"""Patterns and places become kernels and numbers: which kernel, and that it computes the same wherever operands lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import normalisation
from nasturtium.core.compiler.llvm.formula import SHARDS, Formula, Pattern
from nasturtium.core.compiler.llvm.fusion import Fused, Rows, fuse
from nasturtium.core.compiler.llvm.launch import Images

from .fused import expected, run, target

Array = np.ndarray
SHAPE = (4, 5, 6, 10)


def images(array: Array, memory: Array | None = None) -> Images:
    """How a view with axes (items, rows, pixels, channels) lies in its memory."""
    base = array if memory is None else memory
    image, row, pixel = (step // 4 for step in array.strides[:3])
    origin = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // 4
    return Images(
        count=array.shape[0],
        height=array.shape[1],
        width=array.shape[2],
        channels=array.shape[3] if array.ndim == 4 else 1,
        image=image,
        row=row,
        pixel=pixel,
        origin=origin,
    )


def launched(fused: Fused, memory: dict[str, Array], threads: int = 2) -> None:
    """Run it on arrays that are the memory of the operands."""
    slots: dict[str, Any] = dict(fused.launch.numbers)
    for name, offset in fused.launch.offsets.items():
        array = np.zeros(fused.launch.scratch * threads, np.float32) if name == "scratch" else memory[name]
        slots[name] = array.reshape(-1)[offset:]
    run(fused.launch.kernel, slots, threads=threads)


def relu_of_sum() -> Pattern:
    f = Formula()
    y = (f.full("x") * f.number("by") + f.full("z")).relu()
    f.store("y", y)
    f.total_sum("total", y)
    return f.pattern()


@pytest.mark.parametrize("border", [(0, 0), (1, 0), (0, 2), (1, 1)])
def test_the_same_result_wherever_operands_lie(border: tuple[int, int]):
    rng, (items, rows, pixels, channels) = np.random.default_rng(0), SHAPE
    x, z = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    memory = np.full((items, rows + 2 * border[0], pixels + 2 * border[1], channels), 7.0, np.float32)
    y = memory[:, border[0] : border[0] + rows, border[1] : border[1] + pixels]
    total = np.zeros(SHARDS, np.float32)
    pattern = relu_of_sum()
    where = {"x": images(x), "z": images(z), "y": images(y, memory), "total": 0, "by": 0.5}
    fused = fuse(target(), pattern, SHAPE, where)
    launched(fused, {"x": x, "z": z, "y": memory, "total": total})
    wanted = np.maximum(x * np.float32(0.5) + z, 0)
    np.testing.assert_allclose(y, wanted, rtol=1e-6)
    np.testing.assert_allclose(total.sum(), wanted.sum(), rtol=1e-5)
    y[...] = 7.0
    assert (memory == 7.0).all()
    assert fused.sort == ("flat" if border == (0, 0) else "image")
    assert fused.pixels == items * rows * pixels


def test_axes_join_as_far_as_they_go():
    pattern, dense = relu_of_sum(), Images.dense(*SHAPE)
    padded = Images.dense(*SHAPE, border=(1, 1, 1, 1))
    wide = Images.dense(*SHAPE, pixel=16)
    rest = {"z": dense, "total": 0, "by": 1.0}
    numbers = fuse(target(), pattern, SHAPE, {"x": dense, "y": dense, **rest}).launch.numbers
    assert numbers == {"count": 1200, "by": 1.0}
    one = replace(Images.dense(1, 1, 1, 1200), image=0, row=0, pixel=0)  # nothing to step to: one run all the same
    numbers = fuse(target(), pattern, (1, 1, 1, 1200), {"x": one, "y": one, **rest, "z": one}).launch.numbers
    assert numbers == {"count": 1200, "by": 1.0}
    numbers = fuse(target(), pattern, SHAPE, {"x": dense, "y": padded, **rest}).launch.numbers
    assert (numbers["items"], numbers["rows"], numbers["pixels"], numbers["channels"]) == (4, 5, 1, 60)
    fused = fuse(target(), pattern, SHAPE, {"x": wide, "y": dense, **rest})
    assert fused.launch.numbers["items"] == 1
    assert fused.groups == fused.launch.numbers["rows"] >= 64
    assert fused.launch.numbers["channels"] == 10


@pytest.mark.parametrize(("channels", "streams"), [(16, True), (48, True), (18, False)])
def test_only_what_is_aligned_is_written_past_the_caches(channels: int, streams: bool):
    f = Formula()
    f.store("y", f.full("x") * f.channel("scale"))
    shape = (2, 3, 4, channels)
    memory = np.zeros(2 * 12 * channels + 32, np.float32)
    y = memory[-int(memory.ctypes.data) % 64 // 4 :][: 24 * channels].reshape(shape)
    x, scale = np.ones(shape, np.float32), np.arange(channels, dtype=np.float32)
    where = {"x": images(x), "y": images(y), "scale": 0}
    fused = fuse(target(), f.pattern(), shape, where, stream=frozenset({"y"}))
    assert ("!nontemporal" in fused.launch.kernel.ir) == streams
    launched(fused, {"x": x, "y": y, "scale": scale})
    np.testing.assert_array_equal(y, x * scale)


@pytest.mark.parametrize("padded", [False, True])
def test_batch_norm_in_two_kernels(padded: bool):
    rng, (items, rows, pixels, channels) = np.random.default_rng(0), SHAPE
    memory = np.zeros((items, rows + 2, pixels + 2, channels) if padded else SHAPE, np.float32)
    x = memory[:, 1:-1, 1:-1] if padded else memory
    x[...] = rng.normal(size=SHAPE) + 50
    weight, moments, y = rng.normal(size=channels).astype(np.float32), np.zeros((SHARDS, 2, 16), np.float32), x * 0
    f = Formula()
    f.channel_moments("moments", f.full("x"))
    first = fuse(target(), f.pattern(), SHAPE, {"x": images(x, memory), "moments": Rows(16)})
    launched(first, {"x": memory, "moments": moments})
    f = Formula()
    of = normalisation.standardise_batch(f, f.full("x"), "moments", 1e-5)
    f.store("y", of.affine(f.channel("weight"), None))
    where = {"x": images(x, memory), "y": images(y), "weight": 0}
    where["moments"] = Rows(16, groups=first.groups, count=first.pixels)
    second = fuse(target(), f.pattern(), SHAPE, where)
    assert second.launch.scratch
    launched(second, {"x": memory, "y": y, "weight": weight, "moments": moments})
    flat = x.astype(np.float64).reshape(-1, channels)
    wanted = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * weight
    np.testing.assert_allclose(y.reshape(-1, channels), wanted, rtol=1e-4, atol=1e-4)


def test_rows_items_and_operands_that_repeat():
    rng, (items, *_, channels) = np.random.default_rng(0), SHAPE
    f = Formula()
    x = f.full("x")
    y = (x - x.row_max()) * f.full("per_item") + f.pixel("gate")
    f.store("y", y)
    f.store("sum", y.row_sum(), layout="pixel")
    f.item_sum("pooled", y)
    pattern = f.pattern()
    arrays = {"x": rng.normal(size=SHAPE).astype(np.float32), "y": np.zeros(SHAPE, np.float32)}
    arrays |= {"per_item": rng.normal(size=(items, channels)).astype(np.float32)}
    arrays |= {"gate": rng.normal(size=SHAPE[:3]).astype(np.float32), "sum": np.zeros(SHAPE[:3], np.float32)}
    arrays |= {"pooled": np.zeros((items, channels), np.float32)}
    repeated = np.broadcast_to(arrays["per_item"][:, None, None], SHAPE)
    where: dict[str, Any] = {name: images(arrays[name]) for name in ("x", "y", "gate", "sum")}
    where |= {"per_item": images(repeated), "pooled": Rows(channels)}
    fused = fuse(target(), pattern, SHAPE, where)
    assert fused.sort == "rows"
    launched(fused, arrays, threads=3)
    for name, wanted in zip(("y", "sum", "pooled"), expected(pattern, {**arrays, "per_item": repeated}), strict=True):
        np.testing.assert_allclose(arrays[name], wanted.reshape(arrays[name].shape), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [SHAPE, (4, 6, 8, 10), (0, 5, 6, 10)])
def test_windows(shape: tuple[int, int, int, int]):
    items, rows, pixels, channels = shape
    f = Formula()
    f.store("y", f.window("x", 0, 0) + f.window("x", 1, 1))
    pattern = f.pattern()
    x = np.random.default_rng(0).normal(size=(items, rows + 1, pixels + 1, channels)).astype(np.float32)
    y = np.zeros(shape, np.float32)
    where: dict[str, Any] = {"x": images(x), "y": images(y)}
    where |= {"x.down": x.strides[1] // 4, "x.right": channels}
    launched(fuse(target(), pattern, shape, where), {"x": x, "y": y})
    np.testing.assert_array_equal(y, x[:, :-1, :-1] + x[:, 1:, 1:])


def test_a_total_of_what_pixels_have_counts_each_once():
    f = Formula()
    f.store("y", f.full("x") + f.pixel("gate"))
    f.total_sum("total", f.pixel("gate") * 2.0)
    x, y = np.zeros((2, *SHAPE), np.float32)
    gate, total = np.arange(120, dtype=np.float32).reshape(SHAPE[:3]), np.zeros(SHARDS, np.float32)
    where = {"x": images(x), "y": images(y), "gate": images(gate), "total": 0}
    launched(fuse(target(), f.pattern(), SHAPE, where), {"x": x, "y": y, "gate": gate, "total": total})
    assert total.sum() == 2 * gate.sum()
    np.testing.assert_array_equal(y, np.broadcast_to(gate[..., None], SHAPE))


def test_where_a_pixel_is_matters_to_some():
    f = Formula()
    f.store("y", (f.pixel_index() + f.row_index() * 100).cast("f32") + f.full("x") * 0.0)
    x, y = np.zeros((2, *SHAPE), np.float32)
    launched(fuse(target(), f.pattern(), SHAPE, {"x": images(x), "y": images(y)}), {"x": x, "y": y})
    np.testing.assert_array_equal(y[0, :, :, 0], np.arange(6) + 100 * np.arange(5)[:, None])
