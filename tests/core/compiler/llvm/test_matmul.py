"""Linear layers and batches of matrix products, against NumPy's float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import KernelCache
from nasturtium.core.compiler.llvm.convolution import forward, input_gradient
from nasturtium.core.compiler.llvm.launch import Images
from nasturtium.core.compiler.llvm.matmul import Form, linear, matrices, multiply, pack_right, packed_right_size
from nasturtium.core.compiler.llvm.packing import (
    pack_weights,
    packed_size,
    turn_weights,
    turned_size,
    unpack_weights,
)
from nasturtium.core.compiler.llvm.tiling import Epilogue
from nasturtium.core.compiler.llvm.weight_gradient import weight_gradient

from .launching import BEHIND, assert_near, memory, pixels_of, placed, run, run_weight_gradient, target_of, untouched

SIZES = [(1, 1, 1), (3, 7, 10), (5, 64, 128), (17, 33, 24), (64, 20, 10), (1100, 3, 40)]  # rows, inputs, outputs


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SIZES)
def test_linear(kernel_cache: KernelCache, rows: int, inputs: int, outputs: int):
    """Forward with bias and ReLU; the input's gradient behind a ReLU; the weights' gradient; any number of threads."""
    target, rng = target_of(kernel_cache), np.random.default_rng(rows)
    layer = linear(inputs, outputs)
    x, dy = (rng.standard_normal((rows, n)).astype(np.float32) for n in (inputs, outputs))
    w, bias = rng.standard_normal((outputs, inputs)).astype(np.float32), rng.standard_normal(outputs).astype("f4")
    like_x, like_y = Images.matrix(rows, inputs, stride=inputs + 5), Images.matrix(rows, outputs)
    packed, turned = memory(pack_weights(w, layer)), memory(turned_size(layer))
    given, gradient = placed(x, like_x), placed(dy, like_y)
    run(kernel_cache, [turn_weights(target, layer)], source=packed, result=turned)
    kept: list[bytes] = []
    for threads in (1, 2, 3, 40):
        y, dx, dw = memory(like_y.size), memory(like_x.size), memory(packed_size(layer))
        run(
            kernel_cache,
            forward(target, layer, like_x, like_y, epilogue=Epilogue(bias=True, relu=True)),
            threads=threads,
            x=given,
            w=packed,
            y=y,
            bias=memory(bias),
        )
        back = input_gradient(target, layer, like_y, like_x, epilogue=Epilogue(mask=True))
        run(kernel_cache, back, threads=threads, x=gradient, w=turned, y=dx, mask=given)
        plan = weight_gradient(target, layer, like_x, like_y)
        run_weight_gradient(kernel_cache, plan, threads=threads, x=given, y=gradient, result=dw)
        kept.append(y.tobytes() + dx.tobytes() + dw.tobytes())
    assert len(set(kept)) == 1
    x, w, dy = (array.astype(np.float64) for array in (x, w, dy))
    assert_near(pixels_of(y, like_y)[0, 0], np.maximum(x @ w.T + bias, 0), terms=inputs)
    assert_near(pixels_of(dx, like_x)[0, 0], np.where(x > 0, dy @ w, 0), terms=outputs)
    assert_near(unpack_weights(dw[:-BEHIND], layer)[:, :, 0, 0], dy.T @ x, terms=rows)
    assert untouched(y, like_y)
    assert untouched(dx, like_x)


@pytest.mark.parametrize("form", ["nn", "tn", "nt"])
@pytest.mark.parametrize(
    ("count", "rows", "depth", "columns"),
    [(1, 1, 1, 1), (1, 37, 600, 50), (1, 80, 291, 176), (3, 5, 7, 10), (2, 16, 33, 48), (5, 40, 20, 65)],
)
@pytest.mark.parametrize("width", [None, 4])
def test_products_of_matrices(
    kernel_cache: KernelCache, form: Form, count: int, rows: int, depth: int, columns: int, width: int | None
):
    """Every matrix a slice of a wider one, as heads of attention are."""
    target, rng = target_of(kernel_cache, width), np.random.default_rng(depth)
    shapes = {
        "a": (depth, rows) if form == "tn" else (rows, depth),
        "b": (columns, depth) if form == "nt" else (depth, columns),
        "c": (rows, columns),
    }
    values = {name: rng.standard_normal((count, *shape)).astype(np.float32) for name, shape in shapes.items()}
    like = {
        name: replace(matrices(count, *shape, step=(shape[0] + 1) * (shape[1] + 3), stride=shape[1] + 3), origin=3)
        for name, shape in shapes.items()
    }
    a, b = (placed(values[name][:, None], like[name], border=9.0) for name in "ab")
    if form == "nt":
        packed = memory(packed_right_size(like["b"]))
        run(kernel_cache, [pack_right(target, like["b"])], threads=2, source=b, result=packed)
        b = packed
    left, right = (values[name].astype(np.float64) for name in "ab")
    sums = (left.swapaxes(1, 2) if form == "tn" else left) @ (right.swapaxes(1, 2) if form == "nt" else right)
    kept: list[bytes] = []
    for threads in (1, 3):
        c = memory(like["c"].size)
        run(kernel_cache, multiply(target, form, like["a"], like["b"], like["c"]), threads=threads, x=a, w=b, y=c)
        assert_near(pixels_of(c, like["c"])[:, 0], sums, terms=depth)
        assert untouched(c, like["c"])
        kept.append(c.tobytes())
    assert len(set(kept)) == 1
    plus = multiply(target, form, like["a"], like["b"], like["c"], epilogue=Epilogue(add=True))
    run(kernel_cache, plus, threads=2, x=a, w=b, y=c, add=c)
    assert_near(pixels_of(c, like["c"])[:, 0], 2 * sums, terms=depth)
