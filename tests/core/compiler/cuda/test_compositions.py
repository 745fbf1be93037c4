"""Random compositions on the cuda back end: what is grouped, kept in registers, viewed and shared out, in any order."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import device, grad, ops
from nasturtium.core.compiler.cuda import fused, group, segments, tiles
from nasturtium.core.compiler.cuda.decompose import decompose
from nasturtium.core.compiler.cuda.kernel import module_source
from nasturtium.core.compiler.cuda.lower import Lowering
from nasturtium.core.compiler.cuda.program import CudaProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU

from .host_module import HostCuda, HostLibrary, same
from .op_cases import anywhere

SHAPE = (4, 3, 5)
# Each takes a tensor of the shape and gives another one; b is one more, k a number.
PARTS = [
    lambda a, b, k: ops.tanh(a),
    lambda a, b, k: ops.gelu(a) + b,
    lambda a, b, k: ops.maximum(a, b * 0.5),
    lambda a, b, k: ops.where(a > b, a, -b),
    lambda a, b, k: a - a.mean(axis=k % 3, keepdims=True),
    lambda a, b, k: a + ops.tanh(b.sum(axis=(k % 3, (k + 1) % 3), keepdims=True)),
    lambda a, b, k: ops.softmax(a, axis=k % 3) * b,
    lambda a, b, k: ops.standardize(a, axis=(k % 3,)),
    lambda a, b, k: ops.standardize(a, axis=(k % 3, (k + 1) % 3)) + b.max(axis=-1, keepdims=True),
    lambda a, b, k: a * ops.exp(-ops.sum(b * b)) + ops.mean(a),
    lambda a, b, k: ops.broadcast_to(a.sum(axis=0) * 0.3, shape=SHAPE) + b,
    lambda a, b, k: a + ops.reshape(b.sum(axis=1), shape=(4, 1, 5)) * 0.2,
    lambda a, b, k: ops.transpose(a, axes=(2, 1, 0)).reshape(SHAPE) + b,
    lambda a, b, k: a[:, :, ::-1] + b[::-1],
    lambda a, b, k: ops.concatenate(a[:, 1:], b[:, :1], axis=1),
    lambda a, b, k: ops.matmul(a, ops.swap_last(b)) @ a * 0.1,
    lambda a, b, k: ops.matmul(a, b[k % 4].T @ b[0]) * 0.1,
    lambda a, b, k: ops.pad(a, ((0, 0), (1, 0), (0, 0)))[:, :3] + b,
    lambda a, b, k: a / (1.0 + ops.absolute(ops.max(b, axis=(0, 2), keepdims=True))),
    lambda a, b, k: ops.take(a, np.array([2, 0, 2]), axis=1) * b,
]


def composition(seed):
    """A function of two tensors, and their arrays."""
    rng = np.random.default_rng(seed)
    choices = rng.integers(0, (len(PARTS), 100, 100, 12), size=(rng.integers(2, 9), 4)).tolist()
    arrays = [rng.standard_normal(SHAPE) for _ in range(2)]

    def step(x, w):
        def value(x, w):
            values = [x, w]
            for which, first, second, k in choices:
                values.append(PARTS[which](ops.tanh(values[-1 - first % 2]), values[second % len(values)], k))
            return ops.mean(values[-1] * values[-1]) + 0.1 * ops.sum(x * w), values[-1]

        return value(x, w)[1], grad(lambda x, w: value(x, w)[0], argnums=(0, 1))(x, w)

    return anywhere(optimize(trace(step, *arrays).graph)), arrays


def run(folder, strict_cupy, seeds):
    made = [composition(seed) for seed in seeds]
    library = HostLibrary(folder)
    library.add(module_source(Lowering(optimize(decompose(graph))).result.works) for graph, _ in made)
    HostCuda(strict_cupy, library)
    place = device("cuda:0")
    for graph, arrays in made:
        program, expected = CudaProgram(graph, place), ReferenceProgram(graph, CPU)(arrays)
        for _ in range(2):
            for actual, wanted in zip(program([place.put(a) for a in arrays]), expected, strict=True):
                same(actual, wanted, rtol=1e-9, atol=1e-10)


def test_some(tmp_path, strict_cupy):
    run(tmp_path, strict_cupy, range(8))


@pytest.mark.soak
@pytest.mark.parametrize("small", [False, True])
def test_many(tmp_path, strict_cupy, monkeypatch, small):
    if small:
        for module, name in ((group, "LONG"), (group, "APART"), (tiles, "LEAST"), (segments, "MANY")):
            monkeypatch.setattr(module, name, 3)
        monkeypatch.setattr(fused, "PART", 2)
        monkeypatch.setattr(fused, "PART_APART", 2)
    run(tmp_path, strict_cupy, range(100, 160))
