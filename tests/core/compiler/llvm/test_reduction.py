"""Kernels over rows: sums and maxima over channels, what is kept between passes, results per row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core.compiler.llvm.formula import Formula, Pattern, Term
from nasturtium.core.compiler.llvm.reduction import RowTile, emit_rows, row_scratch, row_tile_for

from .fused import bound, expected, finished, outputs, run, target

TILES = [RowTile(1, True, False), RowTile(2, True, False), RowTile(4, True, False)]


def everything() -> Pattern:
    """Two rounds of reductions with dear terms between them, and results of every layout."""
    f = Formula()
    x, w = f.full("x"), f.channel("w")
    h = (x * w).exp()
    mean = h.row_sum() / f.channels()
    centred = h - mean
    variance = (centred * centred).row_sum() / f.channels()
    y = centred * (variance + 1e-3).rsqrt()
    f.store("y", y)
    f.store("mean", mean, layout="pixel")
    f.store("largest", x.row_max(), layout="pixel")
    f.store("smallest", x.row_min(), layout="pixel")
    f.channel_sum("sum_y", y * x)
    f.item_sum("of_item", x)
    f.total_sum("means", mean)
    f.total_sum("squares", y * h)
    return f.pattern()


@pytest.mark.parametrize(
    ("channels", "width"),
    [*((channels, 16) for channels in (1, 3, 10, 16, 17, 33, 64, 100)), (3, 4), (17, 4), (24, 8), (33, 8)],
)
def test_rows(channels: int, width: int):
    pattern, shape, cpu = everything(), (3, 2, 3, channels), target(width)
    rng = np.random.default_rng(channels)
    x = rng.normal(size=shape).astype(np.float32)
    w = rng.normal(size=channels).astype(np.float32)
    vectors = -(-channels // width)
    tiles = {row_tile_for(cpu, pattern, channels), TILES[1]}
    tiles |= {RowTile(vectors, channels % width != 0, True)} if vectors <= 4 else set()
    for tile in tiles:
        kernel = emit_rows(cpu, pattern, tile)
        kept: list[bytes] = []
        for threads in (1, 2, 3, 20):
            arrays = {"x": x, "w": w, **outputs(pattern, shape)}
            slots = bound(pattern, arrays, shape, scratch=row_scratch(pattern, tile), threads=threads)
            run(kernel, slots, threads=threads)
            for got, wanted in zip(finished(pattern, arrays), expected(pattern, arrays), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-4)
            kept.append(b"".join(np.asarray(array).tobytes() for array in arrays.values()))
        assert all(each == kept[0] for each in kept), "a result depends on the number of threads"


def test_what_is_dear_is_kept_and_what_is_cheap_is_computed_again():
    def kept(function: str) -> int:
        f = Formula()
        h = f.function(function, f.full("x"))
        f.store("y", h - h.row_max())
        return row_scratch(f.pattern(), TILES[0])

    assert kept("exp") == kept("erf") == 1
    assert kept("neg") == kept("abs") == 0


def test_a_maximum_with_nan_is_nan():
    f = Formula()
    f.store("y", f.full("x").row_max(), layout="pixel")
    pattern, shape = f.pattern(), (1, 4, 5, 37)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x[0, np.arange(4), [0, 1, 2, 3], [0, 16, 31, 36]] = np.nan
    arrays = {"x": x, **outputs(pattern, shape)}
    run(emit_rows(target(), pattern, TILES[1]), bound(pattern, arrays, shape))
    np.testing.assert_array_equal(arrays["y"], x.max(-1))


def test_indices_know_where_they_are():
    f = Formula()
    column, row = f.channel_index(), f.row_index() * 5 + f.pixel_index()
    seen = (column <= row).select(f.full("x"), 0.0)
    f.store("y", seen - seen.row_sum())
    pattern, shape = f.pattern(), (2, 4, 5, 20)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    arrays = {"x": x, **outputs(pattern, shape)}
    run(emit_rows(target(), pattern, RowTile(2, True, False)), bound(pattern, arrays, shape), threads=3)
    lower = x * np.tri(20, dtype=np.float32).reshape(4, 5, 20)
    np.testing.assert_allclose(arrays["y"], lower - lower.sum(-1, keepdims=True), atol=1e-5)


@st.composite
def formulas(draw: st.DrawFn) -> Pattern:
    """Terms and reductions of terms, scaled to stay of modest size."""
    f = Formula()
    terms: list[Term] = [f.full("x"), f.channel("c"), f.pixel("p"), f.constant(0.5)]
    for _ in range(draw(st.integers(2, 9))):
        a, b = (terms[draw(st.integers(0, len(terms) - 1))] for _ in range(2))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            terms.append((a.row_sum() / f.channels()).tanh())
        elif kind == 1:
            terms.append(a.row_max() if draw(st.booleans()) else a.row_min())
        elif kind == 2:
            terms.append(a.sigmoid())
        else:
            terms.append(f.binary(draw(st.sampled_from(["add", "sub", "mul"])), a, b).tanh())
    f.store("y", terms[-1] + f.full("x") * 0.0)
    f.channel_sum("sums", terms[-1] * terms[-2])
    f.total_sum("all", terms[-2])
    return f.pattern()


def check(pattern: Pattern, channels: int, width: int, threads: int, tile: RowTile | None) -> None:
    """The kernel against NumPy."""
    shape = (2, 2, 3, channels)
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=shape).astype(np.float32), "c": rng.normal(size=channels).astype(np.float32)}
    arrays |= {"p": rng.normal(size=shape[:3]).astype(np.float32), **outputs(pattern, shape)}
    tile = tile or row_tile_for(target(width), pattern, channels)
    scratch = row_scratch(pattern, tile)
    run(emit_rows(target(width), pattern, tile), bound(pattern, arrays, shape, scratch=scratch, threads=threads),
        threads=threads)  # fmt: skip
    for got, wanted in zip(finished(pattern, arrays), expected(pattern, arrays), strict=True):
        np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-4, atol=1e-4)


CASES = given(
    pattern=formulas(),
    channels=st.integers(1, 70),
    width=st.sampled_from([4, 8, 16]),
    threads=st.integers(1, 3),
    tile=st.sampled_from([None, *TILES]),
)


@settings(max_examples=12, deadline=None)
@CASES
def test_any_formula(pattern: Pattern, channels: int, width: int, threads: int, tile: RowTile | None):
    check(pattern, channels, width, threads, tile)


@pytest.mark.soak
@settings(max_examples=500, deadline=None)
@CASES
def test_many_formulas(pattern: Pattern, channels: int, width: int, threads: int, tile: RowTile | None):
    check(pattern, channels, width, threads, tile)
