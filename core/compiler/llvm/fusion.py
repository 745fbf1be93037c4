"""`fuse`: a pattern and where its operands lie become a kernel and its numbers.

Axes that all operands walk evenly are joined, so that dense tensors are one run of elements however many axes they
have, and lines have a good length: short enough for the first cache, long enough that their ends do not count, and
enough of them to share. What kernel runs depends on the pattern, on which axes join, and on how the channels fill
vectors; lengths and strides are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .elementwise import emit_flat, emit_image, scratch_rows, tile_for
from .formula import CHANNELS, REDUCTIONS, SHARDS, Operand, Pattern
from .ir import FLOAT_BYTES
from .kernel import Kernel
from .launch import Images, Launch, Share
from .memory import BYTES
from .reduction import emit_rows, row_scratch, row_tile_for
from .target import Target

LINE_FLOATS = 4096  # of all operands of a line: half of a first cache
ENOUGH_LINES = 4 * SHARDS


@dataclass(frozen=True, slots=True)
class Rows:
    """Where operands lie that are rows of `[channels]`: partial sums, moments, tables, sums of items.

    Attributes:
        stride: from a row to the next, in floats.
        origin: of the first, in floats behind the start of the memory.
        rows: how many; of tables only.
        groups, count: of moments only: into how many lines or images their maker divided the pixels, and how many
            pixels there were.
    """

    stride: int
    origin: int = 0
    rows: int = 0
    groups: int = 1
    count: int = 1


Where = Images | Rows | int | float  # a number is the value of a "number", or the origin of anything else


@dataclass(frozen=True, slots=True)
class Fused:
    """A kernel with its numbers.

    Attributes:
        launch: it; the offset of `scratch`, if there is one, is 0.
        groups: into how many lines the pixels are divided: `Rows.groups` of moments that it makes.
        pixels: how many there are: `Rows.count` of moments that it makes.
        sort: what kind of kernel it is.
    """

    launch: Launch
    groups: int
    pixels: int
    sort: Literal["flat", "image", "rows"]


@dataclass(frozen=True, slots=True)
class _Grid:
    """What a kernel walks.

    Attributes:
        items, rows, pixels, channels: lengths.
        steps: of every operand with elements per pixel, the strides of items, rows and pixels.
    """

    items: int
    rows: int
    pixels: int
    channels: int
    steps: Mapping[str, tuple[int, int, int]]

    @property
    def rows_join(self) -> bool:
        """Whether all operands step evenly from the end of a row to the next."""
        return self.rows == 1 or all(row == self.pixels * pixel for _, row, pixel in self.steps.values())

    @property
    def items_join(self) -> bool:
        """Whether they do from item to item."""
        return self.items == 1 or all(item == self.rows * row for item, row, _ in self.steps.values())

    @property
    def side_by_side(self) -> bool:
        """Whether pixels follow each other without gaps."""
        return self.pixels == 1 or all(pixel == self.channels for *_, pixel in self.steps.values())

    def joined_rows(self) -> _Grid:
        """Rows and pixels as one axis."""
        pixels = self.rows * self.pixels
        steps = {name: (item, pixels * pixel, pixel) for name, (item, _, pixel) in self.steps.items()}
        return replace(self, rows=1, pixels=pixels, steps=steps)

    def joined_items(self) -> _Grid:
        """Items and rows as one axis."""
        rows = self.items * self.rows
        return replace(self, items=1, rows=rows, steps={name: (0, *rest) for name, (_, *rest) in self.steps.items()})

    def joined(self, *, items: bool) -> _Grid:
        """With as few axes as the operands allow; items stay by themselves unless they may join."""
        if self.rows_join:
            grid = self.joined_rows()
            return grid.joined_items().joined_rows() if items and grid.items_join else grid
        return self.joined_items() if items and self.items_join else self

    def in_lines(self) -> _Grid:
        """Pixels without rows cut into lines of equal lengths."""
        floats = max(self.channels * len(self.steps), 1)
        longest = max(min(LINE_FLOATS // floats, self.items * self.pixels // ENOUGH_LINES), 1)
        length = next(length for length in range(longest, 0, -1) if self.pixels % length == 0)
        steps = {name: (item, length * pixel, pixel) for name, (item, _, pixel) in self.steps.items()}
        return replace(self, rows=self.pixels // length, pixels=length, steps=steps)


def fuse(
    target: Target,
    pattern: Pattern,
    shape: tuple[int, int, int, int],
    where: Mapping[str, Where],
    *,
    stream: frozenset[str] = frozenset(),
) -> Fused:
    """The kernel for a pattern.

    Args:
        target: the CPU.
        pattern: what is computed.
        shape: items, rows, pixels and channels.
        where: of every operand, where it lies. `Images` for those with elements per pixel: only their strides and
            origins count, 0 where an operand is the same along an axis; of shifted ones they are the strides from one
            window to the next, and `name.down` and `name.right` are further entries, numbers. `strided` ones also
            have `name.channel`. `Rows` for partials, moments, tables and items.
        stream: operands to write past the caches, which pays for what is larger than they are and not read soon.
            Their memory starts at a cache line; those whose rows or pixels do not are written as usual.
    """
    grid = _Grid(*shape, {name: (at.image, at.row, at.pixel) for name, at in where.items() if isinstance(at, Images)})
    pixels = grid.items * grid.rows * grid.pixels
    stream = frozenset(name for name in stream if _is_aligned(target, where[name]))
    rowwise = _is_rowwise(pattern)
    uniform = _is_uniform(pattern)
    if not any(step.op in ("row_index", "pixel_index") for step in pattern.steps):
        grid = grid.joined(items=not any(store.kind == "item_sum" for store in pattern.stores))
        shifted = any(operand.shifted for operand in pattern.operands)
        if uniform and not rowwise and not shifted and grid.items == grid.rows == 1 and grid.side_by_side:
            kernel = emit_flat(target, pattern, stream)
            launch = _launch(kernel, pattern, where, grid, {"count": grid.pixels * grid.channels})
            return Fused(launch, 1, pixels, "flat")
        grid = grid.in_lines() if grid.rows == 1 else grid
    share = _share(pattern, grid, where)
    if rowwise:
        tile = row_tile_for(target, pattern, grid.channels)
        kernel, scratch = emit_rows(target, pattern, tile, stream), row_scratch(pattern, tile)
    else:
        if uniform and grid.side_by_side:  # no pixel is different from another: a line is one, with many channels
            grid = replace(grid, pixels=1, channels=grid.pixels * grid.channels)
        kernel = emit_image(target, pattern, tile_for(target, grid.channels), stream)
        scratch = scratch_rows(pattern)
    numbers: dict[str, int | float] = {"items": grid.items, "rows": grid.rows}
    numbers |= {"pixels": grid.pixels, "channels": grid.channels, "scratch.thread": scratch * grid.channels}
    launch = replace(_launch(kernel, pattern, where, grid, numbers), share=share, scratch=scratch * grid.channels)
    return Fused(launch, grid.items * grid.rows, pixels, "rows" if rowwise else "image")


def _is_rowwise(pattern: Pattern) -> bool:
    """Whether something is computed once per pixel: a sum over its channels, or a result that has none."""
    if any(step.op in REDUCTIONS for step in pattern.steps):
        return True
    return any(
        pattern.operands[store.operand].layout == "pixel"
        or (store.kind == "total" and not pattern.steps[store.value].varies & CHANNELS)
        for store in pattern.stores
    )


def _share(pattern: Pattern, grid: _Grid, where: Mapping[str, Where]) -> Share | None:
    """How threads divide the pixels, if each has a run of them."""
    kinds = {store.kind for store in pattern.stores}
    if grid.items != 1 or not grid.rows_join or "item_sum" in kinds or any(each.shifted for each in pattern.operands):
        return None
    wide = {operand.name: grid.channels if operand.layout == "full" else 1 for operand in pattern.operands}
    strides = {
        name: pixel
        for name, (_, _, pixel) in grid.steps.items()
        if pixel >= wide.get(name, pixel + 1) and f"{name}.channel" not in where
    }
    return Share(grid.rows, grid.pixels, SHARDS if kinds - {"store"} else 0, strides)


def _is_aligned(target: Target, at: Where) -> bool:
    """Whether every pixel begins at a multiple of a vector."""
    return isinstance(at, Images) and all(n % target.width == 0 for n in (at.origin, at.image, at.row, at.pixel))


def _is_uniform(pattern: Pattern) -> bool:
    """Whether nothing is particular to channels or pixels."""
    special = ("channel_index", "row_index", "pixel_index", "channels")
    return all(operand.layout in ("full", "scalar", "number", "total") for operand in pattern.operands) and not any(
        step.op in special for step in pattern.steps
    )


def _launch(
    kernel: Kernel, pattern: Pattern, where: Mapping[str, Where], grid: _Grid, numbers: dict[str, int | float]
) -> Launch:
    """The values of all slots."""
    offsets = {"scratch": 0} if "scratch" in kernel.index else {}
    for operand in pattern.operands:
        at = where[operand.name]
        numbers |= _strides(operand, at, grid, where)
        if operand.layout == "number":
            assert isinstance(at, int | float), f"{operand.name} is a number, got {at}"
            numbers[operand.name] = at
        else:
            offsets[operand.name] = at.origin if isinstance(at, Images | Rows) else int(at)
    wanted = {slot.name for slot in kernel.slots}
    return Launch(
        kernel=kernel,
        numbers={name: n for name, n in numbers.items() if name in wanted},
        offsets=offsets,
        sizes={
            operand.name: BYTES[operand.dtype] for operand in pattern.operands if BYTES[operand.dtype] != FLOAT_BYTES
        },
    )


def _strides(operand: Operand, at: Where, grid: _Grid, where: Mapping[str, Where]) -> dict[str, int | float]:
    """The numbers that belong to an operand."""
    name = operand.name
    if isinstance(at, Images):
        numbers = dict[str, int | float](
            zip((f"{name}.item", f"{name}.row", f"{name}.pixel"), grid.steps[name], strict=True)
        )
        for step in ("down", "right", "channel"):
            if isinstance(value := where.get(f"{name}.{step}"), int):
                numbers[f"{name}.{step}"] = value
        return numbers
    numbers = dict[str, int | float]()
    if isinstance(at, Rows):
        numbers |= {f"{name}.{key}": at.stride for key in ("shard", "item", "row")}
        numbers |= {f"{name}.rows": at.rows, f"{name}.groups": at.groups, f"{name}.count": at.count}
    return numbers
