"""Compiled equals eager: every op of the table and compositions of them, values and gradients, on the reference back
end.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import OPS, Tensor, grad, hvp, jvp, ops, tree, vmap
from nasturtium.core.compiler.compile import compile
from nasturtium.core.compiler.trace import trace
from nasturtium.core.dispatch import apply
from nasturtium.core.errors import TraceError
from nasturtium.core.op import Flags
from nasturtium.core.shapes import is_inexact

CASES = [
    pytest.param(op, sample, id=f"{op.name}-{sample}")
    for op in OPS.values()
    for sample in op.samples
    if not op.flags & Flags.DATA_DEPENDENT
]


def magnitude(outputs):
    """A number that depends on all of the outputs which have gradients, or None."""
    parts = [ops.sum(ops.real(y * y)) for y in outputs if y.node is not None and is_inexact(y.dtype)]
    return sum(parts[1:], parts[0]) if parts else None


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_every_op_and_its_gradients(op, sample):
    rng = np.random.default_rng(0)
    arrays = [spec.make(rng, np.float64) for spec in sample.inputs]
    smooth = [
        i for i, a in enumerate(arrays) if op.differentiable and is_inexact(a.dtype) and op.input_vjp(i) is not None
    ]

    def step(*inputs):
        outputs = apply(op, inputs, {**op.defaults, **sample.params})
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        value = magnitude(outputs)
        return outputs, [] if value is None else grad(value, [inputs[i] for i in smooth])

    inputs = [Tensor(array, requires_grad=i in smooth) for i, array in enumerate(arrays)]
    compiled = compile(step)
    expected = [each.detach().numpy() for each in tree.leaves(step(*inputs))]
    for _ in range(2):  # compiled, and again
        found = [each.numpy() for each in tree.leaves(compiled(*inputs))]
        for actual, wanted in zip(found, expected, strict=True):
            assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(actual, wanted, rtol=1e-14, atol=1e-15)
    assert compiled.compilations == 1


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.flags & Flags.DATA_DEPENDENT], ids=lambda op: op.name)
def test_a_shape_that_depends_on_values_is_an_error(op):
    arrays = [spec.make(np.random.default_rng(0), np.float64) for spec in op.samples[0].inputs]
    with pytest.raises(TraceError, match=f"the shape of what {op.name} makes is not known.*test_parity"):
        trace(lambda *inputs: apply(op, inputs, {**op.defaults, **op.samples[0].params}), *arrays)


UNARY = [ops.tanh, ops.relu, ops.sigmoid, ops.exp, ops.gelu, lambda x: x * x, lambda x: -x, lambda x: x / 3.0]
BINARY = [ops.add, ops.multiply, ops.maximum, lambda a, b: ops.where(a > b, a, b * 0.5), lambda a, b: a - b]
SHAPED = [
    lambda x: x.sum(axis=0, keepdims=True) + x,
    lambda x: ops.softmax(x, axis=-1),
    lambda x: x.T.reshape(x.shape),
    lambda x: ops.standardize(x, axis=(0,)),
]
STEP = st.tuples(st.integers(0, len(UNARY + BINARY + SHAPED) - 1), st.integers(0, 9), st.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(program=st.lists(STEP, min_size=1, max_size=12), seed=st.integers(0, 99))
def test_random_compositions(program, seed):
    rng = np.random.default_rng(seed)
    x, w = (Tensor(rng.standard_normal((4, 3)), requires_grad=True) for _ in range(2))

    def step(x):
        values = [x, w]
        for which, first, second in program:
            a, b = values[first % len(values)], values[second % len(values)]
            if which < len(UNARY):
                a = UNARY[which](ops.tanh(a))
            elif which < len(UNARY + BINARY):
                a = BINARY[which - len(UNARY)](a, b)
            else:
                a = SHAPED[which - len(UNARY + BINARY)](a)
            values.append(a)
        value = ops.mean(values[-1] * values[-1]) + 0.0 * ops.sum(x * w)
        return value.detach(), grad(value, [x, w])

    expected = [each.detach().numpy() for each in tree.leaves(step(x))]
    found = [each.numpy() for each in tree.leaves(compile(step)(x))]
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-12)


def cube(x):
    return ops.sum(x * x * x)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(grad(cube), id="grad"),
        pytest.param(lambda x: grad(lambda y: ops.sum(grad(cube)(y) * y))(x), id="second"),
        pytest.param(lambda x: jvp(cube, (x,), (x + 1.0,)), id="jvp"),
        pytest.param(lambda x: hvp(cube, (x,), (x,)), id="hvp"),
        pytest.param(vmap(grad(cube)), id="vmap"),
        pytest.param(lambda x: vmap(lambda row: ops.softmax(row, axis=0) @ row)(x), id="vmap-inside"),
    ],
)
def test_transformations_inside(function):
    x = np.random.default_rng(0).standard_normal((4, 3))
    expected = [each.detach().numpy() for each in tree.leaves(function(Tensor(x)))]
    found = [each.numpy() for each in tree.leaves(compile(function)(Tensor(x)))]
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-13)


def test_transformations_outside_see_through():
    x = Tensor(np.arange(3.0))
    np.testing.assert_array_equal(grad(compile(cube))(x).numpy(), 3 * np.arange(3.0) ** 2)
    np.testing.assert_array_equal(vmap(compile(lambda row: row * 2.0))(x).numpy(), 2 * np.arange(3.0))
