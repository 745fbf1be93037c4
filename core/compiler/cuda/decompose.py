"""Ops that are made of others, taken apart before they are grouped: then sums and what follows them are one kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...op import OPS
from ..compositions import composition_of, spliced
from ..graph import Graph, Input, Node, Value
from ..passes import Rewriting

Rule = Callable[["Apart", Node, Sequence[Any]], Sequence[Value]]


class Apart(Rewriting):
    """Writes a graph anew with the ops of `RULES` as what they are made of."""

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        """The node itself, or what it is made of."""
        rule = RULES.get(node.op.name)
        if rule is not None:
            return rule(self, node, inputs)
        function = composition_of(node, inputs)
        return super().visit(node, inputs) if function is None else spliced(self, function, node, inputs)

    def make(self, name: str, *inputs: Input, like: Node, **params: Any) -> Value:
        """One more node of one output, with the defaults of its op."""
        op = OPS[name]
        return self.add(op, inputs, {**op.defaults, **params}, like.where)[0]


def _linear(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    """X w^T + b: the sum becomes part of what follows."""
    x, weight, bias = inputs
    axes = (*range(len(weight.shape) - 2), len(weight.shape) - 1, len(weight.shape) - 2)
    turned = graph.make("transpose", weight, like=node, axes=axes)
    if len(x.shape) == 1:
        row = graph.make("reshape", x, like=node, shape=(1, *x.shape))
        product = graph.make("matmul", row, turned, like=node)
        product = graph.make("reshape", product, like=node, shape=product.shape[:-2] + product.shape[-1:])
    else:
        product = graph.make("matmul", x, turned, like=node)
    return [graph.make("add", product, bias, like=node)]


def _floating(graph: Apart, node: Node, x: Value) -> Value:
    made = node.outputs[0].dtype
    return x if x.dtype == made else graph.make("astype", x, like=node, dtype=made.name)


def _log_softmax(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    along = {"axis": node.params["axis"], "keepdims": True}
    x = _floating(graph, node, inputs[0])
    shifted = graph.make("subtract", x, graph.make("max", x, like=node, **along), like=node)
    total = graph.make("sum", graph.make("exp", shifted, like=node), like=node, **along)
    return [graph.make("subtract", shifted, graph.make("log", total, like=node), like=node)]


def _standardize(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    x = _floating(graph, node, inputs[0])
    centred = x
    if node.op.name == "standardize":
        mean = graph.make("mean", x, like=node, axis=node.params["axis"], keepdims=True)
        centred = graph.make("subtract", x, mean, like=node)
    squares = graph.make("multiply", centred, centred, like=node)
    variance = graph.make("mean", squares, like=node, axis=node.params["axis"], keepdims=True)
    inverse = graph.make("power", graph.make("add", variance, node.params["epsilon"], like=node), -0.5, like=node)
    return [graph.make("multiply", centred, inverse, like=node)]


def _mean_nll(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    weighted = graph.make("multiply", *inputs, like=node)
    total = graph.make("sum", weighted, like=node, axis=None, keepdims=False)
    return [graph.make("multiply", total, -1.0 / node.params["count"], like=node)]


def _stack(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    made = node.outputs[0]
    axis = node.params["axis"] % len(made.shape)
    shape = (*made.shape[:axis], 1, *made.shape[axis + 1 :])
    parts = [graph.make("reshape", item, like=node, shape=shape) for item in inputs]
    return [graph.make("concatenate", *parts, like=node, axis=axis)]


def _steps(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    axis = node.params["axis"] % len(inputs[0].shape)
    before = (slice(None),) * axis
    return [graph.make("getitem", inputs[0], like=node, key=(*before, step)) for step in range(len(node.outputs))]


def _matmul(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    """Vectors as matrices of one row or column."""
    a, b = inputs
    if len(a.shape) >= 2 and len(b.shape) >= 2:
        return graph.add(node.op, inputs, node.params, node.where)
    rows = a if len(a.shape) >= 2 else graph.make("reshape", a, like=node, shape=(1, *a.shape))
    columns = b if len(b.shape) >= 2 else graph.make("reshape", b, like=node, shape=(*b.shape, 1))
    product = graph.make("matmul", rows, columns, like=node)
    return [graph.make("reshape", product, like=node, shape=node.outputs[0].shape)]


RULES: Final[Mapping[str, Rule]] = {
    "linear": _linear,
    "log_softmax": _log_softmax,
    "standardize": _standardize,
    "rms_standardize": _standardize,
    "mean_nll": _mean_nll,
    "stack": _stack,
    "steps": _steps,
    "matmul": _matmul,
}


def decompose(graph: Graph) -> Graph:
    """With compound ops taken apart."""
    return Apart(graph).run()
