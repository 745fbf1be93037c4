"""The native back end is the reference: every op it has kernels for, and whole steps, for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import OPS, Tensor, grad, ops, tree
from nasturtium.core.compiler.compile import compile
from nasturtium.core.compiler.native.group import Unsupported
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.dispatch import apply
from nasturtium.core.errors import CompileError
from nasturtium.core.nn import LayerNorm, Linear, Sequential
from nasturtium.core.op import Flags
from nasturtium.core.optim import SGD, Adam
from nasturtium.core.shapes import is_inexact

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")

# What it must have: a regression to the reference would go unnoticed otherwise.
NAMES = """
add subtract multiply divide maximum minimum where negative square reciprocal power exp log sqrt absolute tanh less
less_equal greater greater_equal equal not_equal logical_and logical_or logical_not reshape transpose broadcast_to sum
mean max min log_softmax standardize matmul ceil floor trunc sign one_hot erf sigmoid relu silu gelu gelu_erf leaky_relu
elu selu softplus mish hardswish linear masked_scale mean_nll huber rms_standardize sin cos expm1 log1p
"""
HAS = frozenset(NAMES.split())
SINGLE = [pytest.param(op, id=op.name) for op in OPS.values() if not op.flags & Flags.DATA_DEPENDENT]


def step_of(op, sample, smooth):
    def step(*inputs):
        outputs = apply(op, inputs, {**op.defaults, **sample.params})
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        parts = [ops.sum(y * y) for y in outputs if y.node is not None and y.dtype.kind == "f"]
        return outputs, grad(sum(parts[1:], parts[0]), [inputs[i] for i in smooth]) if parts and smooth else []

    return step


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("op", SINGLE)
def test_every_op_it_has(op):
    run = 0
    for sample in op.samples:
        arrays = [spec.make(np.random.default_rng(0), np.float32) for spec in sample.inputs]
        if any(array.dtype.kind == "c" for array in arrays):
            continue
        smooth = [
            i for i, a in enumerate(arrays) if op.differentiable and is_inexact(a.dtype) and op.input_vjp(i) is not None
        ]
        inputs = [Tensor(array, requires_grad=i in smooth) for i, array in enumerate(arrays)]
        graph = optimize(trace(step_of(op, sample, smooth), *inputs).graph)
        try:
            program = NativeProgram(graph, CPU)
        except Unsupported:
            continue
        expected = ReferenceProgram(graph, CPU)(arrays)
        for _ in range(2):
            for actual, wanted in zip(program(arrays), expected, strict=True):
                assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
                np.testing.assert_allclose(actual, wanted, rtol=3e-5, atol=1e-5)
        run += 1
    assert run or op.name not in HAS


def network(seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(Linear(7, 33, rng=rng), LayerNorm(33, over="last"), Linear(33, 5, rng=rng))


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam(learning_rate=0.01)], ids=lambda o: type(o).__name__)
def test_training(optimizer):
    found = []
    for backend in ("llvm", "numpy"):
        model = network()
        parameters = model.parameters()
        state = optimizer.init(parameters)

        def step(x, y, model=model, parameters=parameters, state=state):
            h = ops.gelu(model.layers[1](model.layers[0](x)))
            loss = ops.cross_entropy(model.layers[2](h), y)
            optimizer.step(state, grad(loss, parameters))
            return loss

        run, rng = compile(step, backend=backend), np.random.default_rng(1)
        losses = [float(run(rng.standard_normal((9, 7)).astype(np.float32), rng.integers(0, 5, 9))) for _ in range(5)]
        found.append((losses, state.parameters.copy()))
    (ours, mine), (theirs, reference) = found
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(mine, reference, rtol=1e-3, atol=1e-4)


def test_the_number_of_threads_changes_no_bit():
    model = network()
    parameters = model.parameters()

    def step(x):
        return grad(ops.mean(model(x) ** 2), parameters)

    x = np.random.default_rng(0).standard_normal((65, 7)).astype(np.float32)
    program = NativeProgram(optimize(trace(step, x).graph), CPU)
    one, *others = ([array.tobytes() for array in program([x], threads=threads)] for threads in (1, 2, 3))
    assert all(other == one for other in others)


def test_memory_is_planned():
    def step(x):
        for _ in range(20):
            x = ops.sum(ops.exp(x * 0.01), axis=-1, keepdims=True) * 0.001 + x.T
        return x

    x = np.ones((64, 64), np.float32)
    program = NativeProgram(optimize(trace(step, x).graph), CPU)
    assert program.arena_bytes < 5 * x.nbytes
    np.testing.assert_allclose(program([x])[0], step(Tensor(x)).numpy(), rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_images_that_are_made_before_a_convolution(channels, turned):
    rng = np.random.default_rng(0)
    weight = Tensor(rng.standard_normal((3, channels, 3, 3)).astype(np.float32))

    def step(x):
        image = ops.tanh(x)  # not by way of a convolution: channels are not last
        return ops.conv2d(ops.transpose(image, axes=(0, 1, 3, 2)) if turned else image, weight, stride=2, padding=1)

    x = rng.standard_normal((2, channels, 4, 7)).astype(np.float32)
    found = NativeProgram(optimize(trace(step, x).graph), CPU)([x])[0]
    np.testing.assert_allclose(found, step(Tensor(x)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [4, 5])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_labels_that_are_left_out(rows, reduction):
    x, labels = np.random.default_rng(0).standard_normal((rows, 5)).astype(np.float32), np.array([0, 3, 2, 3, 1][:rows])

    def step(x):
        loss = ops.cross_entropy(x, labels, ignore_index=3, reduction=reduction)
        return [loss, *grad(ops.sum(loss), [x])]

    x = Tensor(x, requires_grad=True)
    for actual, wanted in zip(compile(step, backend="llvm")(x), step(x), strict=True):
        np.testing.assert_allclose(actual.detach().numpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_sum_of_what_repeats_along_rows():
    def step(x):
        rows = ops.tanh(ops.broadcast_to(x, shape=(3, 4)))
        return ops.mean(ops.square(rows + ops.standardize(rows, axis=(1,), epsilon=0.1)))

    x = np.random.default_rng(0).standard_normal((3, 1)).astype(np.float32)
    np.testing.assert_allclose(compile(step, backend="llvm")(x).numpy(), step(Tensor(x)).numpy(), rtol=1e-5)


def test_images_of_two_ranks():
    lines, planes = (np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in ((1, 1, 5), (2, 1, 4, 6)))
    weight = Tensor(np.ones((3, 1, 1), np.float32))

    def step(x, y):
        return ops.max_pool2d(y, size=(2, 2), stride=1) + ops.conv1d(ops.tanh(x), weight) * 0.5

    found = compile(step, backend="llvm")(lines, planes)
    np.testing.assert_allclose(found.numpy(), step(Tensor(lines), Tensor(planes)).numpy(), rtol=1e-5)


def test_inputs_that_are_not_in_order():
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    compiled = compile(lambda a: a * 2.0 + 1.0, backend="llvm")
    for view in (x, x.T, x[::2], x[:, ::-1]):
        np.testing.assert_array_equal(compiled(view).numpy(), view * 2 + 1)


def test_what_it_has_no_kernels_for():
    x = np.ones((3, 3), np.float64)
    with pytest.raises(CompileError, match="a source of float64"):
        compile(ops.exp, backend="llvm")(x)
    np.testing.assert_array_equal(compile(ops.exp)(x).numpy(), np.exp(x))
    for leaf in tree.leaves(compile(lambda a: (ops.inv(a), a))(np.eye(3, dtype=np.float32))):
        np.testing.assert_array_equal(leaf.numpy(), np.eye(3))


def test_rows_with_nan_are_nan():
    x = np.random.default_rng(0).standard_normal((6, 37)).astype(np.float32)
    x[1, 5] = x[2, 0] = x[3, 36] = np.nan
    x[4, 1] = np.inf
    x[5] = -np.inf
    found = NativeProgram(optimize(trace(lambda a: ops.log_softmax(a, axis=1), x).graph), CPU)([x])[0]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, ops.log_softmax(Tensor(x), axis=1).numpy(), rtol=1e-5)


def test_operands_that_repeat_along_many_axes():
    def step(x, y):
        z = ops.tanh(x - y)
        rows = ops.sum(z, axis=(4,), keepdims=True)
        return z, rows * y * 0.5, ops.mean(z * z)

    x, y = (np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in ((5, 1, 2, 1, 3), (1, 4, 1, 3, 1)))
    found = NativeProgram(optimize(trace(step, x, y).graph), CPU)([x, y])
    for actual, wanted in zip(found, step(Tensor(x), Tensor(y)), strict=True):
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=1e-5, atol=1e-6)
