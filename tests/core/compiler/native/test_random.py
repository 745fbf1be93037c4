"""Random compositions, natively: values and gradients of whatever follows from a few tensors."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.core import Tensor, grad, ops
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU

from .training import agree, in_turn

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")

UNARY = [
    ops.tanh, ops.sigmoid, ops.relu, ops.gelu, lambda x: x * x, lambda x: -x * 0.5 + 1.0, ops.exp, ops.silu,
    lambda x: ops.where(x > 0.1, x, 0.2 * x), lambda x: 1.0 / (1.0 + x * x),
]  # fmt: skip
BINARY = [
    ops.add, ops.subtract, ops.multiply, ops.maximum, lambda a, b: a / (1.0 + b * b),
    lambda a, b: ops.where(a > b, a, b * 0.5),
]  # fmt: skip
ALONG = [
    lambda x, axes, kept: ops.sum(x, axis=axes, keepdims=kept) * 0.3,
    lambda x, axes, kept: ops.mean(x, axis=axes, keepdims=kept),
    lambda x, axes, kept: ops.max(x, axis=axes, keepdims=kept),
    lambda x, axes, kept: ops.min(x, axis=axes, keepdims=kept),
]
NORMS = [
    lambda x, axes: ops.standardize(x, axis=axes, epsilon=0.1),
    lambda x, axes: ops.rms_standardize(x, axis=axes, epsilon=0.1),
    lambda x, axes: ops.log_softmax(x, axis=axes[0]),
    lambda x, axes: ops.softmax(x, axis=axes[0]),
]
KINDS = ["unary", "unary", "binary", "binary", "along", "norm", "reshape", "transpose", "slice", "broadcast", "matmul",
         "join", "pad", "take", "conv", "pool"]  # fmt: skip
START = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
MOST = 3000  # elements of a value


def limited(x):
    """Within (-3, 3), lest numbers grow from step to step."""
    return ops.tanh(x * 0.3) * 3.0


class Composition:
    """A function of tensors that is drawn step by step; it may be called again.

    Args:
        draw: decides.
        count: of its steps.
    """

    def __init__(self, draw, count):
        self.shapes = [draw(START) for _ in range(draw(st.integers(1, 3)))]
        shapes = list(self.shapes)
        self.steps = []
        for _ in range(count):
            made = self._step(draw, draw(st.sampled_from(KINDS)), shapes)
            if made is not None:
                function, inputs = made
                shape = tuple(function(*(Tensor(np.zeros(shapes[i], np.float32)) for i in inputs)).shape)
                if prod(shape) <= MOST and len(shape) <= 5:
                    self.steps.append((function, inputs))
                    shapes.append(shape)
        self.wanted = draw(st.lists(st.integers(0, len(shapes) - 1), min_size=1, max_size=3, unique=True))

    def __call__(self, *inputs):
        values = list(inputs)
        for function, places in self.steps:
            values.append(limited(function(*(values[i] for i in places))))
        kept = [values[i] for i in self.wanted]
        loss = sum(ops.mean(each * each) for each in [values[-1], *kept]) + sum(ops.sum(x) * 0.0 for x in inputs)
        return kept, loss, grad(loss, list(inputs))

    def _step(self, draw, kind, shapes):
        place = draw(st.integers(max(0, len(shapes) - 4), len(shapes) - 1))
        shape = shapes[place]
        rank = len(shape)
        match kind:
            case "unary":
                return draw(st.sampled_from(UNARY)), (place,)
            case "binary":
                fits = [i for i, other in enumerate(shapes) if broadcastable(shape, other)]
                return draw(st.sampled_from(BINARY)), (place, draw(st.sampled_from(fits)))
            case "along" | "norm" if rank:
                axes = tuple(draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True)))
                if kind == "norm":
                    norm = draw(st.sampled_from(NORMS))
                    return lambda x: norm(x, axes), (place,)
                along, kept = draw(st.sampled_from(ALONG)), draw(st.booleans())
                return lambda x: along(x, axes, kept), (place,)
            case "reshape":
                size = prod(shape)
                first = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
                target = draw(st.sampled_from([(first, size // first), (size,), (1, *shape), shape[::-1]]))
                return lambda x: ops.reshape(x, shape=target), (place,)
            case "transpose" if rank > 1:
                order = tuple(draw(st.permutations(range(rank))))
                return lambda x: ops.transpose(x, axes=order), (place,)
            case "slice" if rank:
                key = tuple(draw(slices(length)) for length in shape[: draw(st.integers(1, rank))])
                return lambda x: x[key], (place,)
            case "broadcast":
                target = (draw(st.integers(1, 3)), *(draw(st.integers(2, 4)) if n == 1 else n for n in shape))
                return lambda x: ops.broadcast_to(x, shape=target), (place,)
            case "matmul" if rank > 1:
                fits = [i for i, s in enumerate(shapes) if len(s) > 1 and s[-1] == shape[-1] and s[:-2] == shape[:-2]]
                return lambda a, b: ops.matmul(a, ops.swap_last(b)) * 0.5, (place, draw(st.sampled_from(fits)))
            case "join" if rank:
                axis = draw(st.integers(0, rank - 1))
                if draw(st.booleans()):
                    return lambda x: ops.stack([x, x * 0.5], axis=axis), (place,)
                fits = [i for i, s in enumerate(shapes) if apart(s, axis) == apart(shape, axis) and len(s) == rank]
                return lambda a, b: ops.concatenate(a, b, axis=axis), (place, draw(st.sampled_from(fits)))
            case "pad" if rank:
                widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape)
                return lambda x: ops.pad(x, widths, value=0.5), (place,)
            case "take" if rank:
                axis = draw(st.integers(0, rank - 1))
                numbers = st.integers(-shape[axis], shape[axis] - 1)
                chosen = np.array(draw(st.lists(numbers, min_size=1, max_size=4)))
                return lambda x: ops.take(x, Tensor(chosen), axis=axis), (place,)
            case "conv" | "pool" if rank in (3, 4):
                return self._window(draw, kind, shapes, place)
            case _:
                return None

    def _window(self, draw, kind, shapes, place):
        shape = shapes[place]
        size, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        low = draw(st.integers(0, size // 2))
        if any(length + 2 * low < size for length in shape[2:]):
            return None
        line = len(shape) == 3
        if kind == "conv":
            groups = draw(st.sampled_from([1, shape[1]]))
            outputs = groups * draw(st.integers(1, 3))
            rng = np.random.default_rng(draw(st.integers(0, 9)))
            weight = rng.standard_normal((outputs, shape[1] // groups, *(size for _ in shape[2:]))).astype(np.float32)
            conv = ops.conv1d if line else ops.conv2d
            return lambda x: conv(x, Tensor(weight), stride=stride, padding=low, groups=groups), (place,)
        names = [ops.max_pool1d, ops.avg_pool1d] if line else [ops.max_pool2d, ops.avg_pool2d]
        pool, ceil = draw(st.sampled_from(names)), draw(st.booleans())
        return lambda x: pool(x, size=size, stride=stride, padding=low, ceil_mode=ceil), (place,)


def broadcastable(a, b):
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def apart(shape, axis):
    return [*shape[:axis], *shape[axis + 1 :]]


@st.composite
def slices(draw, length):
    if draw(st.booleans()):
        return slice(None, None, draw(st.sampled_from([1, 2, -1, -2])))
    start = draw(st.integers(0, length - 1))
    return draw(st.sampled_from([slice(start, None), slice(None, start + 1), start, slice(start, start + 1)]))


@st.composite
def compositions(draw, most):
    return Composition(draw, draw(st.integers(1, most)))


def check(composition, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in composition.shapes]
    graph = optimize(trace(composition, *(Tensor(array, requires_grad=True) for array in arrays)).graph)
    graph.verify()
    try:
        program = NativeProgram(graph, CPU)
        found = program(arrays, threads=1)
        agree(found, ReferenceProgram(graph, CPU)(arrays), rounding=2e-4)
        for order in (None, (0, 1), (1, 0)):
            if order is not None:
                in_turn(program, order)
            for actual, wanted in zip(program(arrays, threads=2), found, strict=True):
                assert actual.tobytes() == wanted.tobytes()
    except Exception as exc:
        exc.add_note(graph.text(lines=False))
        raise


@settings(max_examples=50, deadline=None)
@given(composition=compositions(8), seed=st.integers(0, 99))
def test_compositions(composition, seed):
    check(composition, seed)


@pytest.mark.soak
@settings(max_examples=1500, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck))
@given(composition=compositions(25), seed=st.integers(0, 99))
def test_many_compositions(composition, seed):
    check(composition, seed)
