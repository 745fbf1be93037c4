"""Convolutions among other ops, natively, as eager mode computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import pytest

from nasturtium.core import Tensor, compile, grad, ops

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")


def tensor(*shape: int) -> Tensor:
    rng = np.random.default_rng(sum(shape))
    return Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)


def check(compute: Callable[..., Sequence[Tensor]], *given: Tensor) -> None:
    """Values and gradients of all inputs, of the sum of squares of what is computed."""

    def step(*inputs: Tensor) -> list[Tensor]:
        outputs = compute(*inputs)
        loss = sum((ops.mean(y * y) for y in outputs[1:]), ops.mean(outputs[0] * outputs[0]))
        return [*outputs, *grad(loss, inputs)]

    compiled, eager = ([y.detach().numpy() for y in f(*given)] for f in (compile(step, backend="llvm"), step))
    for actual, wanted in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("axes", list(permutations(range(4))))
def test_a_bias_behind_a_transpose(axes):
    """Only channels that come last let a convolution add it."""
    x, w = tensor(4, 16, 6, 10), tensor(12, 16, 3, 3)
    bias, v = tensor((4, 12, 6, 10)[axes[-1]]), tensor((4, 12, 6, 10)[axes[-1]], 5)
    check(lambda x, w, b, v: [(ops.transpose(ops.conv2d(x, w, padding=1), axes=axes) + b) @ v], x, w, bias, v)


@pytest.mark.parametrize("size", [5, 8], ids=["tiles", "minimal"])
def test_weights_that_are_used_with_other_groups(size):
    def both(x, z, w):
        return [ops.conv2d(x, w, padding=1), ops.conv2d(z, w, padding=1, groups=2)]

    check(both, tensor(5, 12, size, size), tensor(5, 24, size, size), tensor(24, 12, 3, 3))


@pytest.mark.parametrize("padding", [((0, 2), (0, 0)), ((0, 0), (0, 2)), ((0, 1), (0, 3))])
def test_a_pointwise_convolution_with_zeros_behind_alone(padding):
    check(lambda x, w: [ops.conv2d(x, w, padding=padding)], tensor(3, 8, 4, 4), tensor(16, 8, 1, 1))


def test_an_output_with_several_readers():
    def readers(x, w, b):
        y = ops.conv2d(x, w, padding=1)
        biased = y + b
        return [y, biased, ops.relu(biased), ops.tanh(biased)]

    check(readers, tensor(4, 16, 8, 8), tensor(16, 16, 3, 3), tensor(16, 1, 1))
