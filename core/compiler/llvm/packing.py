"""Weights as the kernels read them: packed in blocks of 16 output channels, and turned for gradients of inputs.

Packed: [groups][blocks of outputs][taps][inputs of a group][16], the last block of a group filled up with zeros;
of a depthwise convolution just [taps][channels]. The
gradients of weights come packed, too, so that an optimiser never unpacks. NumPy packs and unpacks where a model's state
comes and goes; a kernel turns them, once in a step, since weights change in every step.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .geometry import Convolution, Pair
from .ir import Value, Writer, vector
from .kernel import Kernel, Slot
from .launch import Launch
from .target import Target
from .tile import BLOCK
from .tile_launch import blocks_of

Floats = np.ndarray[Any, np.dtype[np.float32]]


def packed_size(conv: Convolution) -> int:
    """Floats of packed weights, zeros included."""
    taps = conv.kernel[0] * conv.kernel[1]
    if conv.depthwise:
        return taps * conv.inputs
    return conv.groups * blocks_of(conv.group_outputs) * taps * conv.group_inputs * BLOCK


def turned_size(conv: Convolution) -> int:
    """Floats of turned weights, zeros included."""
    taps = conv.kernel[0] * conv.kernel[1]
    return conv.groups * blocks_of(conv.group_inputs) * taps * blocks_of(conv.group_outputs) * BLOCK * BLOCK


def pack_weights(weights: Floats, conv: Convolution) -> Floats:
    """Packed weights, flat, from (outputs, inputs of a group, kernel rows, kernel columns)."""
    if conv.depthwise:
        return np.ascontiguousarray(weights.reshape(conv.inputs, *conv.kernel).transpose(1, 2, 0), np.float32).ravel()
    outputs, blocks = conv.group_outputs, blocks_of(conv.group_outputs)
    filled = np.zeros((conv.groups, blocks * BLOCK, conv.group_inputs, *conv.kernel), np.float32)
    filled[:, :outputs] = weights.reshape(conv.groups, outputs, conv.group_inputs, *conv.kernel)
    parts = filled.reshape(conv.groups, blocks, BLOCK, conv.group_inputs, *conv.kernel)
    return np.ascontiguousarray(parts.transpose(0, 1, 4, 5, 3, 2)).ravel()


def unpack_weights(packed: Floats, conv: Convolution) -> Floats:
    """The inverse of `pack_weights`."""
    if conv.depthwise:
        return np.ascontiguousarray(packed.reshape(*conv.kernel, 1, conv.inputs).transpose(3, 2, 0, 1))
    blocks = blocks_of(conv.group_outputs)
    parts = packed.reshape(conv.groups, blocks, *conv.kernel, conv.group_inputs, BLOCK).transpose(0, 1, 5, 4, 2, 3)
    filled = parts.reshape(conv.groups, blocks * BLOCK, conv.group_inputs, *conv.kernel)
    return np.ascontiguousarray(filled[:, : conv.group_outputs]).reshape(-1, conv.group_inputs, *conv.kernel)


def turn_weights(target: Target, conv: Convolution) -> Launch:
    """The launch that turns weights, for the gradient of the input.

    Operands: `source`, packed weights, with 16 * 16 floats behind them that are read and not used; `result`,
    [groups][blocks of inputs][taps, the last one first][blocks of outputs * 16][16]. Lanes of inputs that there are not
    hold anything.
    """
    taps = conv.kernel[0] * conv.kernel[1]
    inputs, in_blocks, out_blocks = conv.group_inputs, blocks_of(conv.group_inputs), blocks_of(conv.group_outputs)
    square = BLOCK * BLOCK
    return transpose_launch(
        target,
        counts=(conv.groups, in_blocks, taps, out_blocks),
        rows=inputs,
        columns=out_blocks * BLOCK,
        source=(out_blocks * taps * inputs * BLOCK, square, inputs * BLOCK, taps * inputs * BLOCK),
        result=(in_blocks * taps * out_blocks * square, taps * out_blocks * square, -out_blocks * square, square),
        source_row=BLOCK,
        starts=(0, (taps - 1) * out_blocks * square),
    )


def pack_transposed(
    target: Target, *, rows: int, columns: int, stride: int, matrices: int = 1, step: int = 0, start: int = 0
) -> Launch:
    """The launch that packs the transpose of matrices: what makes the right side of a @ b.T of b.

    Operands: `source`, (rows, columns); `result`, per matrix [blocks of rows][columns][16]: row r of the source is lane
    r % 16 of block r // 16. Lanes of rows that there are not hold anything.

    Args:
        target: the CPU.
        rows: of a matrix.
        columns: of a matrix; up to 15 floats behind the last one are read.
        stride: from a row to the next, in floats.
        matrices: how many.
        step: from a matrix to the next, in floats.
        start: of the first matrix behind the start of the source.
    """
    blocks = blocks_of(rows)
    return transpose_launch(
        target,
        counts=(matrices, blocks, 1, blocks_of(columns)),
        rows=rows,
        columns=columns,
        source=(step, BLOCK * stride, 0, BLOCK),
        result=(blocks * columns * BLOCK, columns * BLOCK, 0, BLOCK * BLOCK),
        source_row=stride,
        starts=(start, 0),
    )


def transpose_launch(
    target: Target,
    *,
    counts: tuple[int, int, int, int],
    rows: int,
    columns: int,
    source: tuple[int, int, int, int],
    result: tuple[int, int, int, int],
    source_row: int,
    result_row: int = BLOCK,
    starts: Pair,
) -> Launch:
    """The launch of `emit_transpose`. Operands: `source`, `result`.

    Args:
        target: the CPU.
        counts: of squares, along the axes matrix, block, tap and part.
        rows: of the source, in all blocks; up to 15 floats behind the last column of each are read.
        columns: of it, in all parts.
        source: strides along the axes, in floats.
        result: the same.
        source_row: from a row to the next.
        result_row: from what becomes of a column to the next.
        starts: of the source and the result, in floats.
    """
    axes = ("matrix", "block", "tap", "part")
    numbers: dict[str, int | float] = dict(zip(axes, counts, strict=True))
    numbers |= {f"source_{axis}": stride for axis, stride in zip(axes, source, strict=True)}
    numbers |= {f"result_{axis}": stride for axis, stride in zip(axes, result, strict=True)}
    numbers |= {"source_row": source_row, "result_row": result_row, "rows": rows, "columns": columns}
    return Launch(
        kernel=emit_transpose(target), numbers=numbers, offsets=dict(zip(("source", "result"), starts, strict=True))
    )


@cache
def emit_transpose(target: Target) -> Kernel:
    """The kernel that transposes squares of 16 x 16 floats: those of four nested axes, `matrix` ... `part`.

    Square (matrix, block, tap, part) holds rows 16 * block ... of `rows` and columns 16 * part ... of `columns`. Its
    rows are `source_row` apart and its columns adjacent; in the result, columns are rows of 16 adjacent floats,
    `result_row` apart. Rows that there are not repeat the last one; columns that there are not are not written.
    """
    axes = ("matrix", "block", "tap", "part")
    numbers = [*axes, *(f"{side}_{axis}" for side in ("source", "result") for axis in axes)]
    numbers += ["source_row", "result_row", "rows", "columns"]
    slots = (*(Slot(name, "ptr") for name in ("source", "result")), *(Slot(name, "i64") for name in numbers))
    k = Writer(f"transpose_v{target.width}", target, slots)
    lanes = target.width
    lo, hi = k.share(k.mul(*(k[axis] for axis in axes)))
    with k.loop(lo, hi) as square:
        at: dict[str, Value] = {}
        rest = square.index
        for axis in reversed(axes):
            rest, at[axis] = k.div(rest, k[axis]), k.rem(rest, k[axis])
        source, result = (
            k.at(k[side], *(k.mul(at[axis], k[f"{side}_{axis}"]) for axis in axes)) for side in ("source", "result")
        )
        last = k.sub(k.sub(k["rows"], k.mul(at["block"], BLOCK)), 1)
        left = k.sub(k["columns"], k.mul(at["part"], BLOCK))
        # Squares of lanes x lanes: small enough for the registers.
        starts = [k.at(source, k.mul(k.least(row, last), k["source_row"])) for row in range(BLOCK)]
        for part in range(0, BLOCK, lanes):
            for row in range(0, BLOCK, lanes):
                square_rows = [k.load(k.at(starts[row + i], part), vector(lanes)) for i in range(lanes)]
                turned = transpose(k, square_rows)
                for i, value in enumerate(turned):
                    place = k.at(result, k.mul(k["result_row"], part + i), row)
                    if part + i == 0:
                        k.store(value, place)
                    else:
                        with k.when(k.compare("sgt", left, part + i)):
                            k.store(value, place)
    return k.kernel()


def transpose(k: Writer, rows: list[Value]) -> list[Value]:
    """A square of vectors with rows and columns exchanged; as many vectors as lanes, a power of two.

    Level by level, lanes whose number differs in one bit change places between vectors whose number differs in it.
    """
    lanes = len(rows)
    half = 1
    while half < lanes:
        new = list(rows)
        for low in range(lanes):
            if low & half:
                continue
            a, b = rows[low], rows[low | half]
            pick = [lane if not lane & half else lane - half + lanes for lane in range(lanes)]
            new[low] = k.shuffle(a, b, pick)
            new[low | half] = k.shuffle(a, b, [lane + half for lane in pick])
        rows = new
        half *= 2
    return rows
