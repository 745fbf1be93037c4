"""Copies that exchange which axis lies innermost, such as channels first to channels last, as squares in registers."""

from __future__ import annotations

from typing import Final

from ..llvm.launch import Launch
from ..llvm.packing import transpose_launch
from ..llvm.target import Target
from ..llvm.tile import BLOCK
from .place import Place

FEWEST_COLUMNS: Final = 8  # that are worth a square of 16


def turned_copy(target: Target, place: Place, to: Place) -> Launch | None:
    """The launch that copies elements of 4 bytes to another place of the same shape; None where there are no squares.

    Operands: `source`, `result`. There are squares where one axis is innermost here and another one there, which is a
    multiple of 16 long, and all others are two at most, or lie as two would.
    """
    if place.buffer.itemsize != 4 or to.buffer.itemsize != 4:
        return None
    axes = _merged([each for each in zip(place.shape, place.strides, to.strides, strict=True) if each[0] != 1])
    row = next((axis for axis in axes if axis[2] == 1 and axis[1] != 1 and axis[0] % BLOCK == 0), None)
    column = next((axis for axis in axes if axis[1] == 1 and axis[2] != 1 and axis[0] >= FEWEST_COLUMNS), None)
    if row is None or column is None or len(axes) > 4:
        return None
    once = (1, 0, 0)
    matrix, tap = ([axis for axis in axes if axis not in (row, column)] + [once, once])[:2]
    return transpose_launch(
        target,
        counts=(matrix[0], row[0] // BLOCK, tap[0], -(-column[0] // BLOCK)),
        rows=row[0],
        columns=column[0],
        source=(matrix[1], BLOCK * row[1], tap[1], BLOCK),
        result=(matrix[2], BLOCK, tap[2], BLOCK * column[2]),
        source_row=row[1],
        result_row=column[2],
        starts=(place.origin, to.origin),
    )


def _merged(axes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Axes as (length, stride here, stride there), with neighbours that lie as one axis would made one."""
    found: list[tuple[int, int, int]] = []
    for length, here, there in axes:
        if found and found[-1][1:] == (length * here, length * there):
            found[-1] = found[-1][0] * length, here, there
        else:
            found.append((length, here, there))
    return found
