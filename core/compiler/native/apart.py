"""Ops that are made of others, taken apart: what is left are views, copies, products, sums of known forms and such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, Final
from warnings import catch_warnings, simplefilter

import numpy as np

from ... import random
from ...device import Array
from ...dispatch import apply
from ...op import OPS
from ...ops.attention import TILE
from ...shapes import Spec
from ...tensor import as_array
from ..compositions import composition_of, spliced
from ..graph import Draw, Graph, Input, Node, Value, inferred
from ..passes import Rewriting
from .attention import is_fused
from .axes import axes_of, back, is_plain, last_order, runs_of, trailing

Shape = tuple[int, ...]
Rule = Callable[["Apart", Node, Sequence[Any]], Sequence[Value] | None]

MOST_SCORES: Final = 1 << 24  # of an attention: more are computed tile by tile
ATTENTIONS: Final = frozenset({"flash_attention", "masked_flash_attention"})


class Apart(Rewriting):
    """Writes a graph anew with the ops of `RULES` as what they are made of."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._draws: list[Draw] = []

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        """The node itself, or what it is made of."""
        if not all(output.spec.size for output in node.outputs) or _over_nothing(node):
            return self._empty(node, inputs)
        rule = RULES.get(node.op.name)
        found = rule(self, node, inputs) if rule is not None else None
        if found is not None:
            return found
        function = composition_of(node, inputs) if node.op.name not in ATTENTIONS else None
        return super().visit(node, inputs) if function is None else spliced(self, function, node, inputs)

    def run(self) -> Graph:
        """The new graph."""
        made = super().run()
        made.draws += self._draws
        return made

    def make(self, name: str, *inputs: Input, like: Node, **params: Any) -> Value:
        """One more node of one output, with the defaults of its op, taken apart where it is made of others."""
        op = OPS[name]
        node = Node(op, inputs, {**op.defaults, **params}, where=like.where)
        specs, _ = inferred(op, inputs, node.params)
        node.outputs = tuple(Value(spec, node, index) for index, spec in enumerate(specs))
        return self.visit(node, inputs)[0]

    def constant(self, array: Array) -> Value:
        """Elements that never change."""
        value = Value(Spec(array.shape, array.dtype))
        self.constants[value] = array
        return value

    def drawn(self, make: Callable[[], Array], spec: Spec) -> Value:
        """What Python makes before each run, behind what it made so far."""
        value = Value(spec)
        self._draws.append(Draw(value, make))
        return value

    def shaped(self, value: Value, shape: Shape) -> Value:
        """A reshape, of what was not reshaped before."""
        while value.node is not None and value.node.op.name == "reshape":
            (value,) = value.node.values
        return value if value.shape == shape else self.add(OPS["reshape"], [value], {"shape": shape})[0]

    def turned(self, value: Value, axes: Sequence[int], like: Node) -> Value:
        """Axes in another order."""
        return self.make("transpose", value, like=like, axes=tuple(axes))

    def _empty(self, node: Node, inputs: Sequence[Input]) -> Sequence[Value]:
        """What a node makes that has no elements, or is made of nothing: known now."""
        if all(not output.spec.size for output in node.outputs):
            return [self.constant(np.zeros(output.shape, output.dtype)) for output in node.outputs]
        arrays = [np.zeros(item.shape, item.dtype) if isinstance(item, Value) else item for item in inputs]
        with catch_warnings():
            simplefilter("ignore")  # the mean of nothing
            made: Any = apply(node.op, arrays, node.params)
        return [self.constant(as_array(item)) for item in (made if made.__class__ is tuple else (made,))]


# --- products and attention ---


def _linear(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    x, weight, bias = inputs
    rank = len(weight.shape)
    turned = graph.turned(weight, (*range(rank - 2), rank - 1, rank - 2), node)
    if len(x.shape) == 1:
        product = graph.make("matmul", graph.shaped(x, (1, *x.shape)), turned, like=node)
        product = graph.shaped(product, (*product.shape[:-2], product.shape[-1]))
        return [graph.make("add", product, bias, like=node)]
    return [graph.make("add", graph.make("matmul", x, turned, like=node), bias, like=node)]


def _attention(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    """With all scores in memory, which their gradient wants as well; zeros for a query that sees nothing. None where
    there is a kernel for it.
    """
    if is_fused(node):
        return None
    q, k, v, *masks = inputs
    size = (*node.outputs[1].shape, k.shape[-2])
    dropout: float = node.params["dropout"]
    if prod(size) > MOST_SCORES or len(q.shape) < 2 or (dropout and max(size[-2:]) > TILE):
        return None
    make = partial(graph.make, like=node)
    rank = len(k.shape)
    scaled = make("multiply", q, node.params["scale"])
    scores = make("matmul", scaled, graph.turned(k, (*range(rank - 2), rank - 1, rank - 2), node))
    for mask in masks:
        scores = make("where", mask, scores, -np.inf) if mask.dtype == np.bool_ else make("add", scores, mask)
    if node.params["causal"]:
        scores = make("where", graph.constant(np.tri(*size[-2:], dtype=np.bool_)), scores, -np.inf)
    rows: dict[str, Any] = {"axis": (len(scores.shape) - 1,), "keepdims": True}
    highest = make("max", scores, **rows)
    shift = make("where", make("equal", highest, -np.inf), 0.0, highest) if masks else highest
    powers = make("exp", make("subtract", scores, shift))
    total = make("sum", powers, **rows)
    if masks:
        empty = make("equal", total, 0.0)
        some = make("where", empty, 1.0, total)
        log_sum = make("where", empty, -np.inf, make("add", highest, make("log", some)))
    else:
        some, log_sum = total, make("add", highest, make("log", total))
    weights = make("multiply", powers, make("reciprocal", some))
    if dropout:
        kept, scale = _kept(graph, node, size)
        weights = make("masked_scale", weights, kept, scale=scale)
    return [make("matmul", weights, v), graph.shaped(log_sum, node.outputs[1].shape)]


def _kept(graph: Apart, node: Node, size: Shape) -> tuple[Value, float]:
    """What dropout keeps of an attention's weights."""
    params = node.params
    shape = ((1,) * params["shared"] + size[params["shared"] : -2]) + size[-2:]

    def draw() -> tuple[Array, float]:
        key = random.Key(params["key"][0], params["key"][1])
        return random.dropout_mask(key.fold_in(0).fold_in(0), shape, rate=params["dropout"])

    _, scale = random.dropout_mask(random.Key(0, 0), (1,), rate=params["dropout"])
    return graph.drawn(lambda: draw()[0], Spec(shape, np.dtype(np.bool_))), scale


# --- along axes ---


def _reduce(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    """Sums run by run; the largest and smallest over a last axis."""
    x, name, made = inputs[0], node.op.name, node.outputs[0]
    if x.dtype.name != "float32":
        return None
    axes = axes_of(node)
    if not axes:
        return [graph.shaped(x, made.shape)]
    if name in ("sum", "mean") and over_leading(node):
        if node.params["keepdims"]:
            return None
        (kept,) = graph.add(node.op, inputs, {**node.params, "keepdims": True}, node.where)
        return [graph.shaped(kept, made.shape)]
    if is_plain(node):
        return None
    if name in ("max", "min"):
        order = last_order(len(x.shape), axes)
        if order != tuple(range(len(x.shape))):
            x = graph.turned(x, order, node)
        length = prod(next(node.values).shape[a] for a in axes)
        rows = (x.spec.size // length, length) if x.spec.size != length else (length,)
        (found,) = graph.add(node.op, [graph.shaped(x, rows)], {"axis": (len(rows) - 1,), "keepdims": False})
        return [graph.shaped(found, made.shape)]
    for run in runs_of(x.shape, axes):
        keepdims = run.before == 1 and run.behind != 1  # the form of sums per channel
        params = {"axis": (run.axis,), "keepdims": keepdims}
        (x,) = graph.add(node.op, [graph.shaped(x, run.shape)], params, node.where)
    return [graph.shaped(x, made.shape)]


def _standardize(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    x = inputs[0]
    if is_plain(node) or x.dtype.name != "float32":
        return None
    shape, axes = x.shape, axes_of(node)
    if axes and trailing(shape, axes):
        length = prod(shape[a] for a in axes)
        rows = graph.shaped(x, (x.spec.size // length, length))
        params = {**node.params, "axis": (1,)}
        return [graph.shaped(graph.add(node.op, [rows], params, node.where)[0], shape)]
    kept = [a for a in range(len(shape)) if a not in axes and shape[a] != 1]
    if node.op.name == "standardize" and len(kept) == 1 and kept[0] != len(shape) - 1:  # over a batch
        order = last_order(len(shape), kept)
        turned = graph.turned(x, order, node)
        whole = graph.make(
            "standardize", turned, like=node, axis=tuple(range(len(shape) - 1)), epsilon=node.params["epsilon"]
        )
        return [graph.turned(whole, back(order), node)]
    along: dict[str, Any] = {"axis": node.params["axis"], "keepdims": True}
    make = partial(graph.make, like=node)
    centred = x if node.op.name == "rms_standardize" else make("subtract", x, make("mean", x, **along))
    variance = make("mean", make("square", centred), **along)
    return [make("multiply", centred, make("power", make("add", variance, node.params["epsilon"]), -0.5))]


def _log_softmax(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    if is_plain(node):
        return None
    axis: int | tuple[int, ...] = node.params["axis"]
    rank = len(inputs[0].shape)
    if not rank:
        return [graph.make("multiply", inputs[0], 0.0, like=node)]
    order = last_order(rank, [(axis[0] if isinstance(axis, tuple) else axis) % rank])
    last = (rank - 1,) if isinstance(axis, tuple) else rank - 1
    params = {**node.params, "axis": last}
    (found,) = graph.add(node.op, [graph.turned(inputs[0], order, node)], params, node.where)
    return [graph.turned(found, back(order), node)]


def _one_hot(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    rank = len(node.outputs[0].shape)
    axis = node.params["axis"] % rank
    if axis == rank - 1:
        return None
    (found,) = graph.add(node.op, inputs, {**node.params, "axis": rank - 1}, node.where)
    return [graph.turned(found, back(last_order(rank, [axis])), node)]


def _best(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    """Where the first of the largest or smallest elements is; that of the first NaN where there is one."""
    x, axis = inputs[0], node.params["axis"]
    if x.dtype.name != "float32" or x.spec.size >= 1 << 24:  # places are counted in floats
        return None
    make = partial(graph.make, like=node)
    if axis is None:
        x, axis = graph.shaped(x, (x.spec.size,)), 0
    axis %= len(x.shape)
    along: dict[str, Any] = {"axis": (axis,), "keepdims": True}
    best = make("max" if node.op.name == "argmax" else "min", x, **along)
    is_best = make("logical_or", make("equal", x, best), make("not_equal", x, x))
    length = x.shape[axis]
    shape = (length, *(1,) * (len(x.shape) - axis - 1))
    places = graph.constant(np.arange(length, dtype=np.float32).reshape(shape))
    first = make("min", make("where", is_best, places, float(length)), **along)
    return [graph.shaped(make("astype", first, dtype="int64"), node.outputs[0].shape)]


def _truths(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    x = inputs[0]
    if x.dtype.name not in ("bool", "float32"):
        return None
    make = partial(graph.make, like=node)
    numbers = make("where", x if x.dtype.name == "bool" else make("not_equal", x, 0.0), 1.0, 0.0)
    found = make("max" if node.op.name == "any" else "min", numbers, **node.params)
    return [make("not_equal", found, 0.0)]


# --- movement ---


def _reshape(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    return [graph.shaped(inputs[0], node.outputs[0].shape)] if isinstance(inputs[0], Value) else None


def _transpose(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    shape = inputs[0].shape
    moved = [a for a in node.params["axes"] if shape[a] != 1]
    in_order = all(a < b for a, b in pairwise(moved))
    return [graph.shaped(inputs[0], node.outputs[0].shape)] if in_order else None


def _stack(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    made = node.outputs[0]
    axis = node.params["axis"] % len(made.shape)
    shape = (*made.shape[:axis], 1, *made.shape[axis + 1 :])
    return [graph.make("concatenate", *(graph.shaped(item, shape) for item in inputs), like=node, axis=axis)]


def _steps(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    before = (slice(None),) * (node.params["axis"] % len(inputs[0].shape))
    return [graph.make("getitem", inputs[0], like=node, key=(*before, step)) for step in range(len(node.outputs))]


def _concatenate(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    """Of what has elements."""
    some = [item for item in inputs if not isinstance(item, Value) or item.spec.size]
    if len(some) == len(inputs):
        return None
    return some if len(some) == 1 else graph.add(node.op, some, node.params, node.where)


def _roll(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    x: Value = inputs[0]
    shifts: tuple[int, ...] = node.params["shift"]
    axes: tuple[int, ...] = node.params["axis"]
    for shift, axis in zip(shifts, axes, strict=True):
        axis %= len(x.shape)
        cut = -shift % x.shape[axis]
        if not cut:
            continue
        before = (slice(None),) * axis
        parts = [
            graph.make("getitem", x, like=node, key=(*before, each)) for each in (slice(cut, None), slice(None, cut))
        ]
        x = graph.make("concatenate", *parts, like=node, axis=axis)
    return [x]


def _triangle(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    x = inputs[0]
    if x.dtype.name != "float32":
        return None
    k = node.params["k"]
    inside = np.tri(*x.shape[-2:], k=k if node.op.name == "tril" else k - 1, dtype=np.bool_)
    kept = graph.constant(inside if node.op.name == "tril" else ~inside)
    return [graph.make("where", kept, x, 0.0, like=node)]


def _pad(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    """What is padded, at its place among copies of a number."""
    made, widths = node.outputs[0], node.params["widths"]
    filled = np.broadcast_to(np.asarray(node.params["value"], made.dtype), made.shape)
    key = tuple(
        slice(before, before + length) for length, (before, _) in zip(inputs[0].shape, widths, strict=True)
    )  # fmt: skip
    if not key:
        return [inputs[0]]
    base = graph.make("broadcast_to", graph.constant(filled[(0,) * filled.ndim].copy()), like=node, shape=made.shape)
    return graph.add(OPS["replace"], [base, inputs[0]], {"key": key}, node.where)


def _place(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    """The adjoint of a slice, the same way."""
    made = node.outputs[0]
    zero = graph.constant(np.zeros((), made.dtype))
    base = graph.make("broadcast_to", zero, like=node, shape=made.shape)
    return graph.add(OPS["replace"], [base, inputs[0]], {"key": node.params["key"]}, node.where)


# --- elementwise ---


def _isnan(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    return graph.add(OPS["not_equal"], [inputs[0], inputs[0]], {}, node.where)


def _invert(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    if inputs[0].dtype == np.bool_:
        return graph.add(OPS["logical_not"], inputs, {}, node.where)
    return graph.add(OPS["bitwise_xor"], [inputs[0], -1], {}, node.where)


def _finite(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value]:
    size = graph.make("absolute", inputs[0], like=node)
    return graph.add(OPS["less" if node.op.name == "isfinite" else "equal"], [size, np.inf], {}, node.where)


def _multiply(graph: Apart, node: Node, inputs: Sequence[Any]) -> Sequence[Value] | None:
    same = inputs[0] is inputs[1] and isinstance(inputs[0], Value) and inputs[0].dtype.name == "float32"
    return graph.add(OPS["square"], inputs[:1], {}, node.where) if same else None


RULES: Final[Mapping[str, Rule]] = {
    "linear": _linear,
    "flash_attention": _attention,
    "masked_flash_attention": _attention,
    "sum": _reduce,
    "mean": _reduce,
    "max": _reduce,
    "min": _reduce,
    "standardize": _standardize,
    "rms_standardize": _standardize,
    "log_softmax": _log_softmax,
    "one_hot": _one_hot,
    "argmax": _best,
    "argmin": _best,
    "any": _truths,
    "all": _truths,
    "reshape": _reshape,
    "transpose": _transpose,
    "stack": _stack,
    "steps": _steps,
    "concatenate": _concatenate,
    "roll": _roll,
    "tril": _triangle,
    "triu": _triangle,
    "pad": _pad,
    "place": _place,
    "bitwise_invert": _invert,
    "isnan": _isnan,
    "isfinite": _finite,
    "isinf": _finite,
    "multiply": _multiply,
}

NEUTRAL: Final = frozenset({"sum", "mean", "matmul", "mean_nll", "any", "all", "place", "pad", "prod"})


def _over_nothing(node: Node) -> bool:
    """Whether it makes something of what has no elements."""
    return node.op.name in NEUTRAL and not any(value.spec.size for value in node.values)


def over_leading(node: Node) -> bool:
    """Whether it goes over all axes but the last, of several."""
    rank = len(next(node.values).shape)
    axis: int | tuple[int, ...] | None = node.params["axis"]
    axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return rank > 1 and bool(axes) and sorted(a % rank for a in axes) == list(range(rank - 1))
