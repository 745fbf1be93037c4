"""Reductions: what they begin with, what adds two parts, and the kernel that finishes rows that were shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ..graph import Node
from ..native.place import Buffer
from .kernel import Kernel, Parameter, kernel
from .numbers import DType, c_type, largest, number, smallest

THREADS: Final = 256

# Structures of the prelude that add two parts.
REDUCERS: Final[Mapping[str, str]] = {
    "sum": "NstSum",
    "mean": "NstSum",
    "prod": "NstProd",
    "max": "NstMax",
    "min": "NstMin",
    "all": "NstAll",
    "any": "NstAny",
}


def accumulated(node: Node) -> DType:
    """The dtype that a reduction is accumulated in."""
    return np.dtype(bool) if node.op.name in ("all", "any") else node.outputs[0].dtype


def start_of(node: Node) -> str:
    """What a reduction of nothing is."""
    dtype = accumulated(node)
    match node.op.name:
        case "max":
            return smallest(dtype)
        case "min":
            return largest(dtype)
        case "prod" | "all":
            return number(1, dtype)
        case _:
            return number(0, dtype)


def finished(node: Node, total: str) -> str:
    """The result of a reduction from what it adds up to."""
    if node.op.name != "mean":
        return total
    size, made = next(node.values).spec.size, node.outputs[0].spec
    return f"{total} / {number(size // made.size if made.size else 0, made.dtype)}"


def finish(reductions: Sequence[tuple[Node, Buffer, Buffer]], parts: int, rows: int) -> Kernel:
    """Adds up the parts of rows that were shared out, in their order.

    Args:
        reductions: nodes, where their parts are, (parts, rows), and where their results go.
        parts: how many.
        rows: how many.
    """
    lines = [f"const int r = blockIdx.x * {THREADS} + threadIdx.x;", f"if (r >= {rows}) return;"]
    parameters: list[Parameter] = []
    for position, (node, partial, made) in enumerate(reductions):
        dtype, total = accumulated(node), f"a{position}"
        parameters.append(Parameter(f"p{position}", partial, dtype))
        parameters.append(Parameter(f"y{position}", made, node.outputs[0].dtype, written=True))
        lines += [
            f"{c_type(dtype)} {total} = {start_of(node)};",
            f"for (int part = 0; part < {parts}; ++part)",
            f"    {total} = {REDUCERS[node.op.name]}()({total}, p{position}[part * {rows} + r]);",
            f"y{position}[r] = {finished(node, total)};",
        ]
    body = "".join(f"    {line}\n" for line in lines)
    return kernel("finish", parameters, body, grid=(-(-rows // THREADS), 1, 1), block=(THREADS, 1, 1))
