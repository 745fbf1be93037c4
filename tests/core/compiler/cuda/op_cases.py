"""The op table as graphs: each sample as a step that computes the op and the gradients of a sum of squares of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasturtium.core import OPS, NasturtiumError, Tensor, grad, ops
from nasturtium.core.compiler.graph import Graph
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.trace import trace
from nasturtium.core.dispatch import apply
from nasturtium.core.op import Flags, OpDef, Sample
from nasturtium.core.shapes import is_inexact


@dataclass(frozen=True)
class Case:
    """One sample of one op.

    Attributes:
        name: for messages.
        op: which.
        graph: values and gradients.
        arrays: its arguments.
    """

    name: str
    op: str
    graph: Graph
    arrays: list[np.ndarray]


def step_of(op: OpDef, sample: Sample, smooth: list[int]) -> Any:
    def step(*inputs: Tensor) -> Any:
        outputs = apply(op, inputs, {**op.defaults, **sample.params})
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        parts = [ops.sum(y * y) for y in outputs if y.node is not None and y.dtype.kind == "f"]
        return outputs, grad(sum(parts[1:], parts[0]), [inputs[i] for i in smooth]) if parts and smooth else []

    return step


def anywhere(graph: Graph) -> Graph:
    """A graph that was traced on the host for another device: what it captured there are constants."""
    graph.constants |= {each.value: each.read() for each in graph.captures}
    graph.captures.clear()
    return graph


def cases(dtype: Any = np.float32, *, most: int = 1000) -> Iterator[Case]:
    """Every real sample whose result has a shape that can be told beforehand.

    Args:
        dtype: of the inputs that leave it open.
        most: samples of one op.
    """
    for op in OPS.values():
        if op.flags & Flags.DATA_DEPENDENT:
            continue
        for number, sample in enumerate(op.samples[:most]):
            arrays = [spec.make(np.random.default_rng(0), dtype) for spec in sample.inputs]
            if any(array.dtype.kind == "c" for array in arrays):
                continue
            smooth = [
                i
                for i, array in enumerate(arrays)
                if op.differentiable and is_inexact(array.dtype) and op.input_vjp(i) is not None
            ]
            inputs = [Tensor(array, requires_grad=i in smooth) for i, array in enumerate(arrays)]
            try:
                graph = optimize(trace(step_of(op, sample, smooth), *inputs).graph)
            except NasturtiumError:
                if np.dtype(dtype).kind == "f":
                    raise
                continue  # no op for such numbers
            yield Case(f"{op.name} {number}: {sample}", op.name, anywhere(graph), arrays)
