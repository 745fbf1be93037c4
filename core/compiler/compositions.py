"""Ops that are written in other ops here: attention, recurrent networks step by step, resampling.

They are functions of tensors. Tracing one for the shapes at hand gives the nodes that take the op's place.
"""

# Functions of tensors that are staged: what the ops return depends on what they are given.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np

from .. import ops
from ..op import OPS
from ..tape import recording
from ..tensor import wrap
from .graph import Input, Node, Value
from .native.group import Unsupported
from .passes import Rewriting
from .trace import trace

STEPS: Final = 512  # of a recurrent network, each of which is some kernels
SCORES: Final = 1 << 28  # elements of the scores of an attention, which are in memory


def _attend(q: Any, k: Any, v: Any, mask: Any = None, *, scale: float, causal: bool, **_: Any) -> tuple[Any, Any]:
    """softmax(scale q k^T) v, and the logarithm of the softmax's denominator; zeros for a query that sees nothing."""
    scores = ops.matmul(q * scale, ops.swap_last(k))
    if mask is not None:
        scores = ops.where(mask, scores, -math.inf) if mask.dtype.kind == "b" else scores + mask
    if causal:
        scores = ops.where(_constant(np.tri(q.shape[-2], k.shape[-2], dtype=bool)), scores, -math.inf)
    peak = ops.max(scores, axis=-1, keepdims=True)
    weights = ops.exp(scores - ops.where(peak == -math.inf, 0.0, peak))
    total = ops.sum(weights, axis=-1, keepdims=True)
    some = ops.where(total == 0.0, 1.0, total)
    level = ops.where(total == 0.0, -math.inf, peak + ops.log(some))
    return ops.matmul(weights, v) / some, ops.reshape(level, shape=level.shape[:-1])


def _started(x: Any, state: Any) -> Any:
    return ops.broadcast_to(state, shape=(*x.shape[:-2], state.shape[-1]))


def _pieces(x: Any, count: int) -> list[Any]:
    size = x.shape[-1] // count
    return [x[..., i * size : (i + 1) * size] for i in range(count)]


def _rnn(x: Any, h: Any, weight: Any, *, nonlinearity: str) -> Any:
    """h_t = f(x_t + weight h_{t-1})."""
    turned, h, states = ops.swap_last(weight), _started(x, h), list[Any]()
    for t in range(x.shape[-2]):
        h = ops.matmul(h, turned) + x[..., t, :]
        h = ops.tanh(h) if nonlinearity == "tanh" else ops.relu(h)
        states.append(h)
    return ops.stack(states, axis=-2)


def _lstm(x: Any, h: Any, c: Any, weight: Any) -> tuple[Any, Any]:
    """Input, forget, candidate and output gates."""
    turned, h, c = ops.swap_last(weight), _started(x, h), _started(x, c)
    states, cells = list[Any](), list[Any]()
    for t in range(x.shape[-2]):
        i, f, candidate, o = _pieces(ops.matmul(h, turned) + x[..., t, :], 4)
        c = c * ops.sigmoid(f) + ops.sigmoid(i) * ops.tanh(candidate)
        h = ops.sigmoid(o) * ops.tanh(c)
        states.append(h)
        cells.append(c)
    return ops.stack(states, axis=-2), ops.stack(cells, axis=-2)


def _gru(x: Any, h: Any, weight: Any, bias: Any) -> Any:
    """Reset, update and new gates."""
    turned, h, states = ops.swap_last(weight), _started(x, h), list[Any]()
    bias = ops.reshape(bias, shape=(*bias.shape[:-1], 1, bias.shape[-1]))
    for t in range(x.shape[-2]):
        h_reset, h_update, h_new = _pieces(ops.matmul(h, turned), 3)
        x_reset, x_update, x_new = _pieces(x[..., t, :], 3)
        new = ops.tanh(x_new + ops.sigmoid(x_reset + h_reset) * (h_new + bias))
        h = (h - new) * ops.sigmoid(x_update + h_update) + new
        states.append(h)
    return ops.stack(states, axis=-2)


def _resample(x: Any, *, axis: int, source: int, target: int, transposed: bool, **how: Any) -> Any:
    """Each element from a few others, by the matrix of the op along its axis."""
    given = target if transposed else source
    how |= {"source": source, "target": target, "transposed": transposed}
    matrix = OPS["resample"].forward(np, np.eye(given), axis=0, **how)
    most = max(int((matrix != 0).sum(1).max(initial=1)), 1)
    places = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(matrix, places, 1)
    parts = [ops.take(x, _constant(places[:, k]), axis=axis) for k in range(most)]
    if (weights == 1).all():
        return parts[0]
    behind = (1,) * (len(x.shape) - axis % len(x.shape) - 1)
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    factors = [_constant(weights[:, k].astype(dtype).reshape(-1, *behind)) for k in range(most)]
    total = parts[0] * factors[0]
    for part, factor in zip(parts[1:], factors[1:], strict=True):
        total = total + part * factor
    return total


def _constant(array: np.ndarray[Any, Any]) -> Any:
    """A tensor whose elements never change."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return wrap(array)


def composition_of(node: Node, inputs: Sequence[Any]) -> Callable[..., Any] | None:
    """The function that a node is, without its parameters; None for others.

    Raises:
        Unsupported: it would be too long, or draws random numbers.
    """
    function = COMPOSITIONS.get(node.op.name)
    if function is None:
        return None
    for name, item in zip(node.op.inputs, inputs, strict=True):
        if isinstance(item, Value) and item.dtype.name not in ("float32", "float64") and name != "mask":
            raise Unsupported(f"{node.op.name} of {item.dtype.name}")
    if node.op.name.endswith("flash_attention"):
        q, k = inputs[0], inputs[1]
        if node.params["dropout"]:
            raise Unsupported("attention that drops weights")
        if prod(node.outputs[1].shape) * k.shape[-2] > SCORES or not k.shape[-2]:
            raise Unsupported(f"attention of {q.shape[-2]} to {k.shape[-2]} places")
    if node.op.name.endswith("_scan") and not 0 < inputs[0].shape[-2] <= STEPS:
        raise Unsupported(f"{node.op.name} over {inputs[0].shape[-2]} steps")
    return function


COMPOSITIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "flash_attention": _attend,
    "masked_flash_attention": _attend,
    "rnn_scan": _rnn,
    "lstm_scan": _lstm,
    "gru_scan": _gru,
    "resample": _resample,
}


def spliced(rewriting: Rewriting, function: Callable[..., Any], node: Node, inputs: Sequence[Input]) -> Sequence[Value]:
    """The nodes of a function in place of one node, each visited by who rewrites; its values.

    Args:
        rewriting: the pass.
        function: takes the node's inputs, and its parameters by name.
        node: what it stands for.
        inputs: of the node, as they are by now.
    """
    with recording(False):
        graph = trace(partial(function, **node.params), *inputs).graph
    into: dict[Value, Value] = dict(zip(graph.arguments, (v for v in inputs if isinstance(v, Value)), strict=True))
    rewriting.constants |= graph.constants
    into |= {value: value for value in graph.constants}
    for each in graph.nodes:
        given = tuple(into[item] if isinstance(item, Value) else item for item in each.inputs)
        copy = Node(each.op, given, each.params, where=node.where)
        copy.outputs = tuple(Value(output.spec, copy, output.index) for output in each.outputs)
        into |= zip(each.outputs, rewriting.visit(copy, given), strict=True)
    return [into[value] for value in graph.results]
