"""The axes that a kernel walks: those of its rows and those within a row, joined where all operands allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

Strides = tuple[int, ...]

INT_ELEMENTS: Final = (1 << 31) - 1024  # beyond, indices are 64 bits wide


@dataclass(frozen=True, slots=True)
class Axes:
    """How one number is taken apart into coordinates.

    Attributes:
        shape: what is walked.
        runs: axes that are walked as one, from the outermost to the innermost; each is named after its last.
    """

    shape: tuple[int, ...]
    runs: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """How many elements are walked."""
        return prod(self.shape[axis] for run in self.runs for axis in run)

    def lines(self, flat: str, kind: str) -> list[str]:
        """Declares the coordinates of element `flat`."""
        found: list[str] = []
        step = 1
        for position, run in reversed(list(enumerate(self.runs))):
            length = prod(self.shape[axis] for axis in run)
            text = flat if step == 1 else f"{flat} / {step}"
            found.append(f"const {kind} i{run[-1]} = {text if position == 0 else f'({text}) % {length}'};")
            step *= length
        return found[::-1]

    def offset(self, strides: Strides) -> list[str]:
        """The terms of an offset by the coordinates."""
        terms = [(run[-1], strides[run[-1]]) for run in self.runs]
        return [f"i{axis}" if step == 1 else f"i{axis} * {step}" for axis, step in terms if step]


def joined(shape: tuple[int, ...], axes: Sequence[int], operands: Sequence[Strides], *, apart: bool) -> Axes:
    """Axes in as few runs as the strides of all operands allow.

    Args:
        shape: what is walked.
        axes: which of its axes, from the outermost to the innermost.
        operands: strides, an element per axis of `shape`.
        apart: every axis by itself.
    """
    runs: list[list[int]] = []
    for axis in axes:
        if shape[axis] == 1:
            continue
        last = runs[-1][-1] if runs else None
        if last is not None and not apart and all(each[last] == each[axis] * shape[axis] for each in operands):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return Axes(shape, tuple(map(tuple, runs)))
