"""`Walk`: the order in which a kernel goes through the elements of a shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..llvm.formula import DType, Formula, Layout, Term
from ..llvm.fusion import Where
from ..llvm.launch import Images
from .group import Unsupported
from .place import Place


class Walk:
    """The order in which a kernel walks a shape: axes as they lie in memory, joined as far as all operands allow.

    Args:
        shape: what is walked.
        operands: places of that shape.
        last: whether the last axis is to be the innermost, by itself.
        first: whether the first axis is to be the outermost, by itself.

    Raises:
        Unsupported: more than four axes are left, or the last one is not the innermost.
    """

    def __init__(self, shape: tuple[int, ...], operands: Sequence[Place], *, last: bool, first: bool = False) -> None:
        self.extra: dict[str, Where] = {}
        widest = max(operands, key=lambda place: sum(step != 0 for step in place.strides), default=None)
        self.order = tuple(range(len(shape))) if widest is None else widest.order()
        if first or (last and self.order and self.order[-1] != len(shape) - 1):
            self.order = tuple(range(len(shape)))
        merged: list[list[int]] = []
        for axis in self.order:
            alone = (last and axis == len(shape) - 1) or (first and axis == 0)
            if shape[axis] == 1 and len(shape) > 1 and not alone:
                continue
            inner = bool(merged) and not alone and not (first and merged[-1] == [0])
            if inner and all(p.strides[merged[-1][-1]] == p.strides[axis] * shape[axis] for p in operands):
                merged[-1].append(axis)
            else:
                merged.append([axis])
        if len(merged) > 4:
            raise Unsupported(f"operands that lie in {len(merged)} different orders")
        empty: list[list[int]] = [[] for _ in range(4 - len(merged))]
        self._axes = [*merged[:1], *empty, *merged[1:]] if first else empty + merged
        lengths = [prod(shape[axis] for axis in axes) for axes in self._axes]
        self.grid = (lengths[0], lengths[1], lengths[2], lengths[3])

    def steps(self, place: Place) -> tuple[int, int, int, int]:
        """The strides of a place along items, rows, pixels and channels."""
        found = [place.strides[axes[-1]] if axes else 0 for axes in self._axes]
        return found[0], found[1], found[2], found[3]

    def layout(self, place: Place) -> Layout:
        """How the elements of a place belong to those that are walked."""
        *outer, channel = self.steps(place)
        single = self.grid[3] == 1
        if any(outer) or self.grid[:3] == (1, 1, 1):
            if channel == 1 or (single and any(outer)):
                return "full"
            if channel == 0:
                return "pixel" if any(outer) else "scalar"
            return "strided"
        if channel == 0 or single:
            return "scalar"
        return "channel" if channel == 1 else "strided"

    def where(self, place: Place) -> Where:
        """The same for `fuse`."""
        return place.origin if self.layout(place) in ("channel", "scalar") else self.images(place)

    def images(self, place: Place) -> Images:
        """A place as images of the kernel's grid."""
        image, row, pixel, _ = self.steps(place)
        items, rows, pixels, channels = self.grid
        return Images(
            count=items, height=rows, width=pixels, channels=channels, image=image, row=row, pixel=pixel,
            origin=place.origin,
        )  # fmt: skip

    def operand(self, f: Formula, name: str, place: Place, dtype: DType) -> Term:
        """Declare an operand that is read at a place."""
        return f.operand(name, self.known(name, place), dtype)

    def known(self, name: str, place: Place) -> Layout:
        """The layout of an operand; `extra` gets the numbers that it needs besides."""
        layout = self.layout(place)
        if layout == "strided":
            self.extra[f"{name}.channel"] = self.steps(place)[3]
        return layout
