"""Threads of small programs keep to their rows, and wait where they must."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from nasturtium.core import Tensor, grad, nn, ops
from nasturtium.core.compiler.native import program
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.optim import SGD

from .training import in_turn

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")
from nasturtium.core.compiler.llvm import BARRIER, Barrier, Pool, default_cache
from nasturtium.core.compiler.llvm.launch import Share


def dense(*widths, norm=False, function="relu"):
    rng = np.random.default_rng(0)
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs, rng=rng), *([nn.LayerNorm(outputs)] if norm else [])]
        layers.append(nn.Activation(function))
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10, rng=rng))


def training(model, rows, inputs):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((rows, inputs)).astype(np.float32), rng.integers(0, 10, rows)
    optimizer = SGD(momentum=0.9)
    parameters = model.parameters()
    state = optimizer.init(parameters)

    def step(x, y):
        loss = ops.cross_entropy(model(x), y)
        optimizer.step(state, grad(loss, parameters))
        return loss

    return trace(step, Tensor(x), Tensor(y)).graph, [x, y], state


class Residual(nn.Module):
    """Its ReLU is computed again on the way back, and kept nowhere."""

    def __init__(self, width):
        super().__init__()
        rng = np.random.default_rng(0)
        self.inner, self.outer = nn.Linear(width, width, rng=rng), nn.Linear(width, 10, rng=rng)

    def forward(self, x):
        return self.outer(x + ops.relu(self.inner(x)))


class Sliced(nn.Module):
    """Uses a part of its weights: their gradient is written twice, zeros first."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(np.random.default_rng(0).standard_normal((40, width)).astype(np.float32))

    def forward(self, x):
        return ops.tanh(x) @ self.weight[7:17, :].T


@pytest.fixture
def with_threads(monkeypatch):
    """Programs for so many threads."""
    pools = []

    def use(threads):
        pool = Pool(default_cache(), threads)
        pools.append(pool)
        monkeypatch.setattr(program, "default_pool", lambda: pool)

    yield use
    for pool in pools:
        pool.close()


NETWORKS = [
    pytest.param(lambda: dense(20, 32, 48), 20, id="relu"),
    pytest.param(lambda: dense(20, 33, 7), 20, id="odd"),
    pytest.param(lambda: dense(20, 64, norm=True), 20, id="layer-norm"),
    pytest.param(lambda: dense(20, 16, 16, 16, function="gelu"), 20, id="gelu"),
    pytest.param(lambda: Residual(20), 20, id="residual"),
    pytest.param(lambda: Sliced(48), 48, id="sliced"),
]


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("rows", [1, 5, 48, 64, 65])
@pytest.mark.parametrize(("make", "inputs"), NETWORKS)
def test_any_order_of_threads_gives_the_same(make, inputs, rows, threads, with_threads):
    with_threads(threads)
    kept = set()
    for order in [None, *permutations(range(threads))][:7]:
        graph, arrays, state = training(make(), rows, inputs)
        native = NativeProgram(graph, CPU)
        if order is not None:
            in_turn(native, order)
        losses = [native(arrays, threads=1 if order is None else threads)[0].tobytes() for _ in range(2)]
        kept.add((*losses, state.parameters.tobytes()))
    assert len(kept) == 1


def test_a_batch_goes_through_a_network_without_waiting(with_threads):
    with_threads(2)
    graph, *_ = training(dense(64, 128, 128), 64, 64)
    barriers = [record for record in NativeProgram(graph, CPU)._plan.records if isinstance(record, Barrier)]
    assert barriers.count(BARRIER) == 3  # packed weights; all examples; all gradients
    assert barriers.count(Barrier(unless=2)) >= 5


@pytest.mark.parametrize(
    ("share", "threads", "bounds"),
    [
        (Share(16, 4, 0, {}), 2, (0, 32, 64)),
        (Share(16, 4, 0, {}), 3, (0, 20, 40, 64)),
        (Share(4, 16, 0, {}), 3, (0, 16, 32, 64)),
        (Share(5, 1, 4, {}), 2, (0, 2, 5)),
        (Share(1, 7, 0, {}), 4, (0, 0, 0, 0, 7)),
    ],
)
def test_who_has_which_rows(share, threads, bounds):
    assert share.bounds(threads) == bounds
