"""Patterns run twice: as kernels, and in NumPy in double precision."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import Kernel, Target
from nasturtium.core.compiler.llvm.formula import SHARDS, Pattern

Array = np.ndarray
DTYPES = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "bool": np.bool_}
BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "pow": np.power,
    "atan2": np.arctan2,
    "copysign": np.copysign,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "trunc": np.trunc,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
}
REDUCE: dict[str, Callable[..., Any]] = {"row_sum": np.sum, "row_max": np.max, "row_bound": np.max, "row_min": np.min}


@cache
def engine() -> Any:
    """The compiler of this process; skips where there is none."""
    from nasturtium.core.compiler.llvm.engine import CompilerUnavailable, Engine

    try:
        return Engine()
    except CompilerUnavailable as exc:
        pytest.skip(str(exc))


def target(width: int | None = None) -> Target:
    """This CPU, perhaps with other vectors than its widest."""
    found: Target = engine().target
    return found if width is None else replace(found, width=width)


@cache
def compiled(kernel: Kernel) -> Callable[..., None]:
    """The function itself."""
    from nasturtium.core.compiler.llvm.engine import symbol_of

    code = engine().compile(kernel.source, [kernel.name])
    (address,) = engine().load([code], [symbol_of(kernel.digest, kernel.name)])
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)


def run(kernel: Kernel, values: Mapping[str, Array | float], *, threads: int = 1) -> None:
    """Run a kernel, one thread after the other; every slot must be given: an array, or a number."""
    slots = np.zeros(len(kernel.slots) + 1, np.int64)
    for at, slot in enumerate(kernel.slots):
        value = values[slot.name]
        if isinstance(value, np.ndarray):
            slots[at] = value.ctypes.data
        elif slot.kind == "f32":
            slots[at : at + 1].view(np.float32)[0] = value
        else:
            slots[at] = int(value)
    for tid in range(threads):
        compiled(kernel)(slots.ctypes.data, tid, threads)


def expected(pattern: Pattern, arrays: Mapping[str, Array | float]) -> list[Array]:
    """What each store receives: results as they are, sums over pixels (and, for totals, channels) already added up.

    Args:
        pattern: without shifts.
        arrays: by operand: full (items, rows, pixels, channels), channel (channels,), pixel (items, rows, pixels),
            scalar (), partials (SHARDS, channels), total (SHARDS,).
    """
    values: list[Array] = []
    full = next(
        np.shape(arrays[each.name]) for each in pattern.operands if each.layout == "full" and each.name in arrays
    )
    for step in pattern.steps:
        inputs = [values[number] for number in step.inputs]
        with np.errstate(all="ignore"):
            if step.op == "load":
                values.append(_loaded(pattern, step.operand, arrays))
            elif step.op in ("mean", "variance"):
                values.append(_moment(pattern, step.operand, arrays)[step.op == "variance"])
            elif step.op == "channels":
                values.append(np.float64(full[-1]))
            elif step.op == "constant":
                values.append(_constant(step.literal, step.dtype))
            elif step.op == "channel_index":
                values.append(np.arange(full[-1], dtype=np.int32))
            elif step.op == "row_index":
                values.append(np.arange(full[1], dtype=np.int32)[:, None, None])
            elif step.op == "pixel_index":
                values.append(np.arange(full[2], dtype=np.int32)[:, None])
            elif step.op == "select":
                values.append(np.where(*inputs))
            elif step.op == "cast":
                values.append(inputs[0].astype(np.float64 if step.dtype == "f32" else DTYPES[step.dtype]))
            elif step.op in REDUCE:
                spread = np.broadcast_to(inputs[0], full)
                values.append(REDUCE[step.op](spread, axis=-1, keepdims=True))
            else:
                values.append(({**BINARY, **UNARY})[step.op](*inputs))
    results: list[Array] = []
    for store in pattern.stores:
        value = values[store.value]
        if store.kind == "channel_sum":
            value = np.broadcast_to(value, full).sum((0, 1, 2))
        elif store.kind == "channel_moments":
            value = np.broadcast_to(value, full).reshape(-1, full[-1])
            value = np.stack((value.mean(0), value.var(0)))
        elif store.kind == "item_sum":
            value = np.broadcast_to(value, full).sum((1, 2))
        elif store.kind == "total":
            value = np.broadcast_to(value, (*full[:-1], value.shape[-1] if value.ndim else 1)).sum()
        results.append(np.asarray(value))
    return results


def _loaded(pattern: Pattern, number: int, arrays: Mapping[str, Array | float]) -> Array:
    operand = pattern.operands[number]
    array = np.asarray(arrays[operand.name])
    array = array.astype(np.float64) if operand.dtype == "f32" else array
    if operand.layout == "pixel":
        return array[..., None]
    return array.sum(0) if operand.layout in ("partials", "total") else array


def _moment(pattern: Pattern, number: int, arrays: Mapping[str, Array | float]) -> tuple[Array, Array]:
    """Mean and variance per channel of moments over `name.groups` groups of equal size."""
    name = pattern.operands[number].name
    moments, groups = np.asarray(arrays[name], np.float64), int(arrays[f"{name}.groups"])
    counts = np.diff([groups * shard // SHARDS for shard in range(SHARDS + 1)])[:, None] / groups
    used = counts[:, 0] > 0
    mean = (moments[used, 0] * counts[used]).sum(0)
    spread = moments[used, 1].sum(0) / arrays[f"{name}.count"] + ((moments[used, 0] - mean) ** 2 * counts[used]).sum(0)
    return mean, spread


def _constant(literal: str, dtype: str) -> Array:
    if dtype == "f32":
        return np.array([int(literal, 16)], np.uint64).view(np.float64)[0]
    return np.asarray(int(literal), DTYPES[dtype])


def strides(name: str, array: Array) -> dict[str, int]:
    """The slots of the strides of an array with axes (items, rows, pixels, ...), in elements."""
    steps = [step // array.itemsize for step in array.strides[:3]]
    return dict(zip((f"{name}.item", f"{name}.row", f"{name}.pixel"), steps, strict=True))


def bound(
    pattern: Pattern, arrays: Mapping[str, Array | float], shape: tuple[int, ...], *, scratch: int = 0, threads: int = 1
) -> dict[str, Array | float]:
    """All slots of a kernel for images or rows, outputs among the arrays."""
    items, rows, pixels, channels = shape
    slots: dict[str, Array | float] = {"items": items, "rows": rows, "pixels": pixels, "channels": channels}
    slots["scratch"] = np.zeros((threads, max(scratch, 1) * channels), np.float32)
    slots["scratch.thread"] = max(scratch, 1) * channels
    for operand in pattern.operands:
        array = arrays[operand.name]
        slots[operand.name] = array
        if isinstance(array, np.ndarray) and operand.layout in ("full", "strided", "pixel"):
            slots |= strides(operand.name, array)
        if isinstance(array, np.ndarray) and operand.layout == "strided":
            slots[f"{operand.name}.channel"] = array.strides[3] // array.itemsize
        if isinstance(array, np.ndarray) and operand.layout == "table":
            slots |= {f"{operand.name}.rows": len(array), f"{operand.name}.row": array.shape[1]}
        if isinstance(array, np.ndarray) and operand.layout == "partials":
            slots[f"{operand.name}.shard"] = array.shape[1]
        if isinstance(array, np.ndarray) and operand.layout == "item":
            slots[f"{operand.name}.item"] = array.shape[1]
        if isinstance(array, np.ndarray) and operand.layout == "moments":
            slots[f"{operand.name}.shard"] = array.shape[2]
            slots |= {f"{operand.name}.{name}": arrays.get(f"{operand.name}.{name}", 0) for name in ("groups", "count")}
    return slots


def outputs(pattern: Pattern, shape: tuple[int, ...]) -> dict[str, Array]:
    """Memory for what a pattern only writes, filled with NaN."""
    read = {pattern.operands[step.operand].name for step in pattern.steps if step.op == "load"}
    shapes = {"full": shape, "pixel": shape[:3], "channel": shape[3:], "scalar": (), "total": (SHARDS,)}
    shapes |= {"partials": (SHARDS, shape[3]), "moments": (SHARDS, 2, shape[3]), "item": (shape[0], shape[3])}
    return {
        each.name: np.full(shapes[each.layout], np.nan if each.dtype == "f32" else 0, DTYPES[each.dtype])
        for each in (pattern.operands[store.operand] for store in pattern.stores)
        if each.name not in read
    }


def finished(pattern: Pattern, arrays: Mapping[str, Array | float]) -> list[Array]:
    """What a kernel left for each store, partial sums added up, comparable with `expected`."""
    results: list[Array] = []
    for store in pattern.stores:
        operand, array = pattern.operands[store.operand], np.asarray(arrays[pattern.operands[store.operand].name])
        if store.kind == "channel_moments":
            array = np.stack(_moment(pattern, store.operand, arrays))
        elif store.kind in ("channel_sum", "total"):
            array = array.astype(np.float64).sum(0)
        results.append(array[..., None] if operand.layout == "pixel" else array)
    return results
