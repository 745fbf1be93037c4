"""Passes: what they leave out, and what they must not."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import Tensor, grad, ops
from nasturtium.core.compiler.passes import eliminate_dead_code, optimize, simplify
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.nn import BatchNorm, Dropout

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def names(graph):
    return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize(
    ("function", "left"),
    [
        pytest.param(lambda x: (ops.exp(x), x + 1.0)[1], ["add"], id="dead"),
        pytest.param(lambda x: ops.exp(x) * ops.exp(x), ["exp", "multiply"], id="common"),
        pytest.param(lambda x: ops.exp(ops.tanh(x)) - ops.exp(ops.tanh(x)), ["tanh", "exp", "subtract"], id="chains"),
        pytest.param(lambda x: x.reshape(4, 3).transpose(0, 1) * 1.0, [], id="nothing"),
        pytest.param(lambda x: x.T.T, ["transpose", "transpose"], id="transposed-twice"),
        pytest.param(lambda x: (x + 0.0, x - 0.0), ["add", "subtract"], id="signs-of-zero"),
        pytest.param(lambda x: (x * 1.0, x * 1), ["multiply"], id="equal-numbers-of-other-types"),
        pytest.param(lambda x: (ops.sum(x, axis=0), ops.sum(x, axis=1)), ["sum", "sum"], id="parameters"),
        pytest.param(lambda x: ops.mean(x), ["mean"], id="one"),
    ],
)
def test_what_is_left(function, left):
    graph = trace(function, ROWS).graph
    assert names(optimize(graph)) == left


def test_the_seed_of_a_gradient_becomes_a_number():
    weight = Tensor(ROWS.copy(), requires_grad=True)
    graph = trace(lambda x: grad(ops.mean(x * weight), [weight])[0], ROWS).graph
    small = optimize(graph)
    assert names(small) == ["multiply"]
    assert not small.constants
    assert len(small.captures) == 0  # nothing depends on the weight


def test_a_constant_that_matters_is_kept_once():
    table = np.arange(3, dtype=np.float32)
    table.flags.writeable = False
    twin = table.copy()
    twin.flags.writeable = False
    graph = optimize(trace(lambda x: (x + Tensor(table)) * Tensor(twin) + ops.exp(Tensor(table)), ROWS).graph)
    assert names(graph) == ["add", "multiply", "add"]
    assert len(graph.constants) == 2


def test_large_constants_are_not_unfolded():
    graph = optimize(
        trace(lambda x: ops.broadcast_to(ops.exp(Tensor(_frozen())), shape=(300, 300, 3)) * x[0], ROWS).graph
    )
    assert "broadcast_to" in names(graph)


def _frozen():
    array = np.arange(3, dtype=np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("each", [eliminate_dead_code, simplify])
def test_state_and_draws_stay(each):
    norm, drop = BatchNorm(3), Dropout(0.5, rng=np.random.default_rng(0))
    graph = trace(lambda x: (norm(x), drop(x))[1] * 0.0 + x, ROWS).graph
    small = each(graph)
    small.verify()
    assert len(small.updates) == 2
    assert len(small.draws) == 1
    ReferenceProgram(small, CPU)([ROWS])
    assert norm.running_mean.numpy().any()
    assert len(graph.updates) == 2  # the graph that was given stays


def test_random_numbers_are_not_merged():
    drop = Dropout(0.5, rng=np.random.default_rng(0))
    graph = optimize(trace(lambda x: drop(x) + drop(x), ROWS).graph)
    assert len(graph.draws) == 2
    assert names(graph).count("masked_scale") == 2
