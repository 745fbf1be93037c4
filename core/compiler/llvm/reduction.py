"""Kernels over rows: what needs sums or maxima over the channels of each pixel, such as softmax and layer norm.

A row is passed over once per stage: a term behind a reduction can be computed one pass later than what was reduced.
Between passes, what is dear is kept in scratch memory, which stays in the first cache, and what is cheap is computed
again; short rows stay in registers altogether.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from .costs import cost_of, prepared_steps
from .elementwise import KERNELS
from .formula import CHANNELS, PIXELS, REDUCTIONS, Pattern, Store
from .grid import Sums, write_lines, write_prologue, zeros
from .ir import BOOL, Value, Writer, lanes_of, number, vector
from .kernel import Kernel
from .lowering import Known, Lowering
from .mathematics import maximum, minimum
from .memory import Place, slots_of
from .target import Target

KEEP_FROM = 6  # the cost, in additions, from which on a term is kept and not computed again
RESIDENT = 4  # vectors of a row that stay in registers
RESIDENT_COST = 160  # more than this, times vectors, is too much code


@dataclass(frozen=True, slots=True)
class RowTile:
    """How a kernel takes a row.

    Attributes:
        vectors: how many of a row are taken at once.
        tail: whether channels may be left over, which are taken with a mask.
        resident: they are the whole row, and stay in registers from one pass to the next.
    """

    vectors: int
    tail: bool
    resident: bool


def row_tile_for(target: Target, pattern: Pattern, channels: int) -> RowTile:
    """The tile for so many channels."""
    cost = sum(cost_of(pattern, store.value) for store in pattern.stores)
    vectors = max(ceil(channels / target.width), 1)
    if vectors <= RESIDENT * target.registers // 32 and vectors * cost <= RESIDENT_COST:
        return RowTile(vectors, channels % target.width != 0, True)
    at_once = 4 if cost <= 12 else 2 if cost <= 40 else 1
    while channels < at_once * target.width and at_once > 1:
        at_once //= 2
    return RowTile(at_once, channels % (at_once * target.width) != 0, False)


@lru_cache(KERNELS)
def emit_rows(target: Target, pattern: Pattern, tile: RowTile, stream: frozenset[str] = frozenset()) -> Kernel:
    """A kernel over rows.

    Args:
        target: the CPU.
        pattern: any; what is stored per pixel may be any term that does not vary by channel.
        tile: from `row_tile_for` this pattern and the number of channels.
        stream: operands to be written past the cache: large, not read soon, aligned to vectors.

    Returns:
        Slots: `items`, `rows`, `pixels`, `channels`; `scratch` and `scratch.thread` where `row_scratch` is not 0; then
        the operands in order, with their strides: see `Operand`.
    """
    mode = "r" if tile.resident else "x"
    name = f"rows_{pattern.key}_w{target.width}{mode}{tile.vectors}{'t' if tile.tail else ''}" + (
        "_s" if stream else ""
    )
    k = Writer(name, target, slots_of(pattern, dense=False, scratch=row_scratch(pattern, tile) > 0))
    low = Lowering(k, pattern, stream=stream)
    known = write_prologue(low)
    rows = _Rows(low, known, tile)
    write_lines(low, rows.line)
    return k.kernel()


def row_scratch(pattern: Pattern, tile: RowTile) -> int:
    """Rows of `[channels]` floats that each thread of a kernel over rows wants as scratch memory."""
    return len(prepared_steps(pattern)) + (0 if tile.resident else len(_kept(pattern)))


class _Rows:
    """Writes the passes over one row."""

    def __init__(self, low: Lowering, known: Known, tile: RowTile) -> None:
        self.k, self.low, self.known, self.tile = low.k, low, known, tile
        pattern = low.pattern
        self.pattern, self.stages = pattern, pattern.stages
        self.last = max(self.stages, default=0)
        self.prepared = dict(low.prepared)
        self.kept = {} if tile.resident else _kept(pattern)
        self.keep_rows = {each: len(self.prepared) + at for at, each in enumerate(self.kept)}
        layouts = [(store, pattern.operands[store.operand].layout) for store in pattern.stores if store.kind == "store"]
        self.full_stores = [store for store, layout in layouts if layout in ("full", "strided")]
        self.pixel_stores = [store for store, layout in layouts if layout == "pixel"]

    def line(self, item: Value, row: Value, into: Sums) -> None:
        """All pixels of a line."""
        k, low = self.k, self.low
        bases = low.first_pixel(item, row)
        with k.loop(0, k["pixels"], carried=list(bases.values())) as loop:
            here = dict(zip(bases, loop.values, strict=True))
            self.pixel(here, row, loop.index, into)
            loop.carry(*low.next_pixel(here).values())

    def pixel(self, bases: dict[int, Value], row: Value, pixel: Value, into: Sums) -> None:
        """One row of channels."""
        low, scope = self.low, Known()
        resident: list[Known] = [{} for _ in range(self.tile.vectors)]

        def place_at(channel: Value, mask: Value | None) -> Place:
            return Place(channel, bases, mask=mask, row=row, pixel=pixel)

        origin = place_at(number(0, "i64"), None)
        for stage in range(self.last + 1):
            low.prepared = self.prepared | {
                each: self.keep_rows[each] for each, first in self.kept.items() if first < stage
            }
            for each, step in enumerate(self.pattern.steps):
                if step.varies == PIXELS and self.stages[each] <= stage and step.op not in REDUCTIONS:
                    low.value(each, origin, scope, self.known)
            if stage < self.last:
                self._reduce(stage, place_at, scope, resident)
            else:
                self._finish(place_at, scope, resident, into)
        for store in self.pixel_stores:
            low.store_one(store, self._known(store, scope), bases[store.operand])

    def _reduce(self, stage: int, place_at: _PlaceAt, scope: Known, resident: list[Known]) -> None:
        """The reductions whose inputs are known in this stage; they join the scope of the pixel."""
        wanted = [
            each
            for each, step in enumerate(self.pattern.steps)
            if step.op in REDUCTIONS and self.stages[each] == stage + 1
        ]
        steps = [self.pattern.steps[each] for each in wanted]
        starts = [number(_NEUTRAL[step.op], self.low.floats) for step in steps]

        def visit(place: Place, inner: Known) -> list[Value]:
            values = [self.low.value(step.inputs[0], place, inner, scope, self.known) for step in steps]
            self._keep(stage, place, inner, scope)
            return [self._only(step.op, value, place) for step, value in zip(steps, values, strict=True)]

        def join(at: int, a: Value, b: Value) -> Value:
            return _COMBINE[steps[at].op](self.k, a, b)

        ends = self._over_channels(starts, place_at, resident, visit, join)
        for each, step, end in zip(wanted, steps, ends, strict=True):
            scope[each] = _folded(self.k, end, _COMBINE[step.op])

    def _finish(self, place_at: _PlaceAt, scope: Known, resident: list[Known], into: Sums) -> None:
        """The results."""
        low, k, steps = self.low, self.k, self.pattern.steps
        spread = [store for store in into.totals if steps[store.value].varies & CHANNELS]

        def visit(place: Place, inner: Known) -> list[Value]:
            def value(store: Store) -> Value:
                return low.value(store.value, place, inner, scope, self.known)

            results = [value(store) for store in self.full_stores]
            sums = [value(store) for store in into.rows]
            totals = [low.counted(value(store), place) for store in spread]
            for store, result in zip(self.full_stores, results, strict=True):
                low.store(store, result, place)
            into.add(sums, place)
            return totals

        ends: dict[int, Value] = {}
        if self.full_stores or into.rows or spread:
            collected = self._over_channels(
                zeros(low, len(spread)), place_at, resident, visit, lambda _, a, b: k.fadd(a, b)
            )
            ends = {store.operand: end for store, end in zip(spread, collected, strict=True)}
        first = Value(f"<{', '.join(['i1 true', *['i1 false'] * (low.width - 1)])}>", vector(low.width, BOOL))
        into.add_totals(
            [
                ends[store.operand] if store.operand in ends else k.select(first, self._known(store, scope), 0.0)
                for store in into.totals
            ]
        )

    def _known(self, store: Store, scope: Known) -> Value:
        """What a store receives that does not vary by channel."""
        return scope[store.value] if store.value in scope else self.known[store.value]

    def _keep(self, stage: int, place: Place, inner: Known, scope: Known) -> None:
        """Save what later passes want of this one."""
        for each, first in self.kept.items():
            if first == stage:
                value = self.low.value(each, place, inner, scope, self.known)
                self.low.save_scratch(self.keep_rows[each], value, place)

    def _over_channels(
        self, starts: list[Value], place_at: _PlaceAt, resident: list[Known], visit: _Visit, join: _Join
    ) -> list[Value]:
        """Visit every vector of the row, and join what each visit yields into vectors, one for each of `starts`."""
        k, low, tile = self.k, self.low, self.tile
        channels, count = k["channels"], len(starts)
        if tile.resident:
            ends = starts
            for at, inner in enumerate(resident):
                channel = low.at_lane(at)
                mask = low.mask_at(channel, channels) if tile.tail and at == len(resident) - 1 else None
                values = visit(place_at(channel, mask), inner)
                ends = [join(which, a, b) for which, (a, b) in enumerate(zip(ends, values, strict=True))]
            return ends
        step = tile.vectors * low.width
        full = k.sub(channels, k.rem(channels, step)) if tile.tail else channels
        with k.loop(0, full, step=step, carried=starts * tile.vectors) as loop:
            joined: list[Value] = []
            for at in range(tile.vectors):
                values = visit(place_at(k.add(loop.index, at * low.width), None), {})
                before = loop.values[at * count : (at + 1) * count]
                joined += [join(which, a, b) for which, (a, b) in enumerate(zip(before, values, strict=True))]
            loop.carry(*joined)
        ends = list(loop.results[:count])
        for at in range(1, tile.vectors):
            others = loop.results[at * count : (at + 1) * count]
            ends = [join(which, a, b) for which, (a, b) in enumerate(zip(ends, others, strict=True))]
        if tile.tail:
            with k.loop(full, channels, step=low.width, carried=ends) as loop:
                values = visit(place_at(loop.index, low.mask_at(loop.index, channels)), {})
                loop.carry(*(join(which, a, b) for which, (a, b) in enumerate(zip(loop.values, values, strict=True))))
            ends = list(loop.results)
        return ends

    def _only(self, op: str, value: Value, place: Place) -> Value:
        """What may be reduced: where there are no channels, what changes nothing."""
        return value if place.mask is None else self.k.select(place.mask, value, _NEUTRAL[op])


_PlaceAt = Callable[[Value, "Value | None"], Place]
_Visit = Callable[[Place, Known], list[Value]]
_Join = Callable[[int, Value, Value], Value]

_NEUTRAL = {"row_sum": 0.0, "row_max": float("-inf"), "row_bound": float("-inf"), "row_min": float("inf")}
_COMBINE: dict[str, Callable[[Writer, Value, Value], Value]] = {
    "row_sum": lambda k, a, b: k.fadd(a, b),
    "row_max": maximum,
    "row_min": minimum,
    "row_bound": lambda k, a, b: k.select(k.compare("ogt", a, b), a, b),  # one instruction on x86
}


def _folded(k: Writer, value: Value, combine: Callable[[Writer, Value, Value], Value]) -> Value:
    """All lanes combined, by halves, in every lane."""
    width = lanes = lanes_of(value.type)
    while lanes > 2:
        lanes //= 2
        low, high = k.shuffle(value, value, range(lanes)), k.shuffle(value, value, range(lanes, 2 * lanes))
        value = combine(k, low, high)
    return k.splat(combine(k, k.lane(value, 0), k.lane(value, 1)), width)


@lru_cache(KERNELS)
def _kept(pattern: Pattern) -> dict[int, int]:
    """The steps that are kept from one pass to later ones, each with the pass that computes it.

    Follows each pass from its results inwards, and stops at what an earlier pass has computed and is worth keeping.
    """
    stages = pattern.stages
    first: dict[int, int] = {}
    kept: dict[int, int] = {}
    for stage in range(max(stages, default=0) + 1):
        waiting = [
            step.inputs[0]
            for each, step in enumerate(pattern.steps)
            if step.op in REDUCTIONS and stages[each] == stage + 1
        ]
        if stage == max(stages, default=0):
            waiting += [store.value for store in pattern.stores]
        seen: set[int] = set()
        while waiting:
            each = waiting.pop()
            step = pattern.steps[each]
            if each in seen or step.varies != CHANNELS | PIXELS:
                continue
            seen.add(each)
            if first.setdefault(each, stage) < stage:
                if each in kept:
                    continue
                if step.dtype == "f32" and cost_of(pattern, each, kept) >= KEEP_FROM:
                    kept[each] = first[each]
                    continue
            waiting += step.inputs
    return kept
