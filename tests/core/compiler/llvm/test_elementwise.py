"""Fused elementwise kernels: over runs of elements and over images, with sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core.compiler.llvm.elementwise import Tile, emit_flat, emit_image, scratch_rows, tile_for
from nasturtium.core.compiler.llvm.formula import SHARDS, Formula, Pattern, Term

from .fused import bound, expected, finished, outputs, run, target

CHANNELS = [1, 3, 7, 10, 16, 17, 24, 33, 64, 96]


def batch_norm_pattern() -> Pattern:
    """Normalise by partial sums, rectify, add up: everything that an image kernel knows."""
    f = Formula()
    x, other, count = f.full("x"), f.full("other"), f.number("inverse_count")
    mean = f.partials("sums") * count
    variance = f.partials("squares") * count
    scale = f.channel("weight") * (variance + 1e-5).rsqrt()
    y = (x - mean) * scale + other * f.pixel("gate")
    f.store("y", y.relu())
    f.store("mean", mean, layout="channel")
    f.store("positive", y > 0.0, dtype="bool")
    f.channel_sum("sum_y", y)
    f.channel_sum("sum_square", y * y)
    f.total_sum("all", y.absolute())
    return f.pattern()


@pytest.mark.parametrize(
    ("channels", "width"), [*((channels, None) for channels in CHANNELS), (3, 4), (17, 4), (24, 8), (33, 8)]
)
def test_images_and_sums(channels: int, width: int | None):
    pattern, shape = batch_norm_pattern(), (3, 5, 4, channels)
    rng = np.random.default_rng(channels)
    given_ = {
        "x": rng.normal(size=shape).astype(np.float32),
        "other": rng.normal(size=(*shape[:3], channels + 3)).astype(np.float32)[..., :channels],  # a wider pixel
        "inverse_count": 0.5,
        "sums": rng.normal(size=(SHARDS, channels)).astype(np.float32),
        "squares": rng.random(size=(SHARDS, channels)).astype(np.float32),
        "weight": rng.normal(size=channels).astype(np.float32),
        "gate": rng.normal(size=shape[:3]).astype(np.float32),
    }
    kernel = emit_image(target(width), pattern, tile_for(target(width), channels))
    kept: list[list[bytes]] = []
    for threads in (1, 2, 3, 40):
        arrays = {**given_, **outputs(pattern, shape)}
        run(kernel, bound(pattern, arrays, shape, scratch=scratch_rows(pattern), threads=threads), threads=threads)
        for got, wanted in zip(finished(pattern, arrays), expected(pattern, arrays), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)
        kept.append([np.asarray(arrays[store]).tobytes() for store in ("y", "mean", "sum_y", "sum_square", "all")])
    assert all(each == kept[0] for each in kept), "a result depends on the number of threads"


@pytest.mark.parametrize("channels", [1, 7, 16, 40])
@pytest.mark.parametrize("items", [1, 3, 40])
def test_moments_do_not_cancel(channels: int, items: int):
    f = Formula()
    f.channel_moments("moments", f.full("x"))
    write, shape = f.pattern(), (items, 3, 5, channels)
    f = Formula()
    mean, variance = f.moments("moments")
    f.store("y", (f.full("x") - mean) * (variance + 1e-5).rsqrt())
    f.store("mean", mean, layout="channel")
    f.store("variance", variance, layout="channel")
    read = f.pattern()
    x = (np.random.default_rng(0).normal(size=shape) + 1e4).astype(np.float32)
    kept: list[bytes] = []
    for threads in (1, 3, 40):
        arrays = {"x": x, **outputs(write, shape), **outputs(read, shape)}
        arrays |= {"moments.groups": items * 3, "moments.count": items * 15}
        run(emit_image(target(), write, tile_for(target(), channels)), bound(write, arrays, shape), threads=threads)
        np.testing.assert_allclose(finished(write, arrays)[0], expected(write, arrays)[0], rtol=1e-3)
        kernel = emit_image(target(), read, tile_for(target(), channels))
        run(kernel, bound(read, arrays, shape, scratch=scratch_rows(read), threads=threads), threads=threads)
        np.testing.assert_allclose(arrays["mean"], x.astype(np.float64).mean((0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(arrays["variance"], x.astype(np.float64).var((0, 1, 2)), rtol=1e-3)
        kept.append(arrays["y"].tobytes() + arrays["moments"].tobytes())
    assert kept[0] == kept[1] == kept[2]


@pytest.mark.parametrize("channels", [1, 10, 40])
def test_sums_of_items(channels: int):
    f = Formula()
    f.item_sum("pooled", f.full("x").relu() * f.number("inverse"))
    f.channel_sum("sums", f.full("x"))
    pattern, shape = f.pattern(), (5, 3, 4, channels)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for threads in (1, 2, 7):
        arrays = {"x": x, "inverse": 1 / 12, **outputs(pattern, shape)}
        run(emit_image(target(), pattern, tile_for(target(), channels)), bound(pattern, arrays, shape), threads=threads)
        for got, wanted in zip(finished(pattern, arrays), expected(pattern, arrays), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tile", [Tile(0, True), Tile(1, True), Tile(2, True), Tile(4, True), Tile(1, False)])
def test_every_tile_gives_the_same_bits(tile: Tile):
    f = Formula()
    f.store("y", (f.full("x") * f.channel("scale")).tanh())
    f.channel_sum("sum", f.full("x"))
    pattern, shape = f.pattern(), (2, 3, 5, 16 * 3)
    rng = np.random.default_rng(0)
    x, scale = rng.normal(size=shape).astype(np.float32), rng.normal(size=48).astype(np.float32)
    results: list[bytes] = []
    for each in (tile, tile_for(target(), 48)):
        arrays = {"x": x, "scale": scale, **outputs(pattern, shape)}
        run(emit_image(target(), pattern, each), bound(pattern, arrays, shape))
        results.append(arrays["y"].tobytes() + arrays["sum"].tobytes())
    assert results[0] == results[1]


def test_borders_are_left_alone_and_every_second_pixel_is_written():
    f = Formula()
    f.store("y", f.full("x") * 2.0)
    pattern, shape = f.pattern(), (2, 3, 4, 5)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    padded = np.full((2, 8, 10, 5), 7.0, np.float32)
    y = padded[:, 1:7:2, 1:9:2]
    run(emit_image(target(), pattern, tile_for(target(), 5)), bound(pattern, {"x": x, "y": y}, shape), threads=2)
    np.testing.assert_array_equal(y, 2 * x)
    y[...] = 7.0
    assert (padded == 7.0).all()


def test_windows_read_and_write_neighbours():
    f = Formula()
    parts = [f.window("x", down, right) for down in (0, 1) for right in (0, 1)]
    largest = parts[0].maximum(parts[1]).maximum(parts[2].maximum(parts[3]))
    f.store("y", largest)
    for number, part in enumerate(parts):
        f.store_window("marks", number // 2, number % 2, part.equals(largest).cast("f32"))
    pattern = f.pattern()
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    marks = np.zeros_like(x)
    arrays = {"x": x[:, ::2, ::2], "marks": marks[:, ::2, ::2], "y": np.zeros((2, 3, 4, 3), np.float32)}
    slots = bound(pattern, arrays, (2, 3, 4, 3))
    slots |= {f"{name}.{step}": n for name in ("x", "marks") for step, n in (("down", 24), ("right", 3))}
    run(emit_image(target(), pattern, tile_for(target(), 3)), slots, threads=2)
    blocks = x.reshape(2, 3, 2, 4, 2, 3)
    np.testing.assert_array_equal(arrays["y"], blocks.max((2, 4)))
    np.testing.assert_array_equal(
        marks.reshape(blocks.shape), blocks == blocks.max((2, 4), keepdims=True).astype(np.float32)
    )


@pytest.mark.parametrize("channels", [1, 3, 17, 64])
@pytest.mark.parametrize("width", [4, 8, 16])
def test_other_layouts_are_read_and_written(channels: int, width: int):
    f = Formula()
    f.store("y", f.strided("x") + f.strided("labels", "i64").cast("f32"), layout="strided")
    f.store("flags", f.strided("x") > 0.0, dtype="bool", layout="strided")
    pattern, shape = f.pattern(), (2, 3, 4, channels)
    x = np.random.default_rng(0).normal(size=(2, channels, 3, 4)).astype(np.float32)
    labels = np.arange(x.size).reshape(x.shape)
    y, flags = np.zeros_like(x), np.zeros(x.shape, bool)
    arrays = {"x": x, "labels": labels, "y": y, "flags": flags}
    turned = {name: array.transpose(0, 2, 3, 1) for name, array in arrays.items()}
    run(emit_image(target(width), pattern, tile_for(target(width), channels)), bound(pattern, turned, shape), threads=2)
    np.testing.assert_array_equal(y, x + labels.astype(np.float32))
    np.testing.assert_array_equal(flags, x > 0)


@pytest.mark.parametrize("channels", [3, 64])
def test_rows_of_tables(channels: int):
    f = Formula()
    f.store("y", f.table("table", f.pixel("tokens", "i64").cast("i32")) * 2.0)
    pattern, shape = f.pattern(), (2, 1, 6, channels)
    table = np.random.default_rng(0).normal(size=(5, channels)).astype(np.float32)
    tokens = np.array([0, 4, 2, 2, 1, 3, 0, 0, 9, -3, 4, 1]).reshape(2, 1, 6)  # two are beyond the table
    arrays = {"table": table, "tokens": tokens, **outputs(pattern, shape)}
    run(emit_image(target(), pattern, tile_for(target(), channels)), bound(pattern, arrays, shape), threads=2)
    np.testing.assert_array_equal(arrays["y"], 2 * table[tokens.clip(0, 4)])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 63, 64, 65, 1000, 4099])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_runs_of_elements(count: int, threads: int):
    f = Formula()
    x = f.full("x")
    f.store("y", x * f.number("by") + f.scalar("offset"))
    f.store("total_before", f.total("before"), layout="scalar")
    f.total_sum("squares", x * x)
    pattern = f.pattern()
    rng = np.random.default_rng(count)
    x_, before = rng.normal(size=count).astype(np.float32), rng.normal(size=SHARDS).astype(np.float32)
    y, squares, total = (np.full(n, np.nan, np.float32) for n in (count, SHARDS, 1))
    values = {"count": count, "x": x_, "y": y, "by": 0.5, "offset": np.float32([2]), "before": before}
    values |= {"squares": squares, "total_before": total}
    run(emit_flat(target(), pattern), values, threads=threads)
    np.testing.assert_allclose(y, x_ * 0.5 + 2, rtol=1e-6)
    np.testing.assert_allclose(squares.astype(np.float64).sum(), (x_.astype(np.float64) ** 2).sum(), rtol=1e-5)
    np.testing.assert_allclose(total[0], before.astype(np.float64).sum(), rtol=1e-5, atol=1e-6)
    values |= {"squares": np.zeros(SHARDS, np.float32)}
    run(emit_flat(target(), pattern), values)
    assert np.asarray(values["squares"]).tobytes() == squares.tobytes()


def test_integers_and_truths():
    f = Formula()
    labels, flags, x = f.full("labels", "i64"), f.full("flags", "bool"), f.full("x")
    index = f.channel_index()
    f.store("hot", labels.cast("i32").equals(index).cast("f32"))
    f.store("doubled", labels * 2 + 1, dtype="i64")
    f.store("either", flags | (x > 0.5), dtype="bool")
    f.store("whole", x.cast("i32"), dtype="i32")
    f.store("chosen", flags.select(x, -1.0))
    f.store("masked", flags.cast("i32").maximum(index.minimum(3)).absolute() - (-index), dtype="i32")
    pattern, count = f.pattern(), 37
    rng = np.random.default_rng(0)
    arrays = {"labels": rng.integers(0, 37, count), "flags": rng.random(count) < 0.5}
    arrays |= {"x": rng.normal(size=count).astype(np.float32) * 3}
    shaped = {name: array.reshape(1, 1, 1, count) for name, array in arrays.items()}
    arrays |= {name: array.reshape(-1) for name, array in outputs(pattern, (1, 1, 1, count)).items()}
    for width in (4, 8, 16):
        run(emit_flat(target(width), pattern), {"count": count, **arrays})
        for got, wanted in zip(finished(pattern, arrays), expected(pattern, shaped), strict=True):
            np.testing.assert_array_equal(got, np.broadcast_to(wanted, (1, 1, 1, count)).reshape(-1))


def test_numpys_rules_for_nan():
    f = Formula()
    a, b = f.full("a"), f.full("b")
    f.store("max", a.maximum(b))
    f.store("min", a.minimum(b))
    f.store("relu", a.relu())
    f.store("capped", a.minimum(6.0))
    f.store("differs", a.differs(b).cast("f32"))
    pattern = f.pattern()
    values = np.array([np.nan, 1.0, -1.0, np.inf, -np.inf, 0.0, 7.0], np.float32)
    a_, b_ = (each.reshape(-1).copy() for each in np.meshgrid(values, values))
    arrays = {"a": a_, "b": b_, **{name: np.zeros_like(a_) for name in ("max", "min", "relu", "capped", "differs")}}
    run(emit_flat(target(), pattern), {"count": a_.size, **arrays})
    np.testing.assert_array_equal(arrays["max"], np.maximum(a_, b_))
    np.testing.assert_array_equal(arrays["min"], np.minimum(a_, b_))
    np.testing.assert_array_equal(arrays["relu"], np.maximum(a_, 0))
    np.testing.assert_array_equal(arrays["capped"], np.minimum(a_, 6))
    np.testing.assert_array_equal(arrays["differs"], a_ != b_)


def test_equal_formulas_are_one_kernel():
    def pattern() -> Pattern:
        f = Formula()
        unused = f.full("z").exp()
        x = f.full("x")
        f.store("y", x * x + x * x)
        assert unused.dtype == "f32"
        return f.pattern()

    first, second = pattern(), pattern()
    assert first == second
    assert [step.op for step in first.steps] == ["load", "mul", "add"]
    assert emit_flat(target(), first) is emit_flat(target(), second)
    assert first.key.startswith("mul_add_")


BINARY_OPS = st.sampled_from(["add", "sub", "mul", "max", "min"])
UNARY_OPS = st.sampled_from(["neg", "abs", "tanh", "sigmoid", "erf"])


@st.composite
def formulas(draw: st.DrawFn) -> Pattern:
    """Terms of terms, all of modest size, over operands of every layout."""
    f = Formula()
    terms: list[Term] = [f.full("x"), f.full("z"), f.channel("c"), f.pixel("p"), f.scalar("s"), f.constant(0.5)]
    for _ in range(draw(st.integers(1, 8))):
        a, b, c = (terms[draw(st.integers(0, len(terms) - 1))] for _ in range(3))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            terms.append(f.function(draw(UNARY_OPS), a))
        elif kind == 1:
            terms.append((a > b).select(c.tanh(), a.sigmoid()))
        else:
            terms.append(f.binary(draw(BINARY_OPS), a, b).tanh())
    f.store("y", terms[-1] + f.full("x") * 0.0)
    f.channel_sum("sums", terms[-1])
    f.total_sum("all", terms[-2] * f.full("z"))
    return f.pattern()


def check(pattern: Pattern, channels: int, width: int, threads: int) -> None:
    """The kernel against NumPy."""
    shape = (2, 2, 3, channels)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name in ("x", "z")}
    arrays |= {"c": rng.normal(size=channels).astype(np.float32), "p": rng.normal(size=shape[:3]).astype(np.float32)}
    arrays |= {"s": np.float32([0.3]), **outputs(pattern, shape)}
    kernel = emit_image(target(width), pattern, tile_for(target(width), channels))
    run(kernel, bound(pattern, arrays, shape, scratch=scratch_rows(pattern), threads=threads), threads=threads)
    for got, wanted in zip(finished(pattern, arrays), expected(pattern, arrays), strict=True):
        np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-4, atol=1e-4)


CASES = given(
    pattern=formulas(), channels=st.integers(1, 40), width=st.sampled_from([4, 8, 16]), threads=st.integers(1, 3)
)


@settings(max_examples=12, deadline=None)
@CASES
def test_any_formula(pattern: Pattern, channels: int, width: int, threads: int):
    check(pattern, channels, width, threads)


@pytest.mark.soak
@settings(max_examples=500, deadline=None)
@CASES
def test_many_formulas(pattern: Pattern, channels: int, width: int, threads: int):
    check(pattern, channels, width, threads)
