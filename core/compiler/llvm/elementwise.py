"""Fused elementwise kernels: over one run of elements, or over the pixels and channels of (padded) images.

`emit_flat` computes `[count]` elements that lie side by side. `emit_image` walks `[items][rows][pixels][channels]` with
strides of its own for each operand, so that it reads and writes buffers with borders, every second pixel, or windows;
what belongs to the channels stays in registers along a row. Both add up: see `Formula.channel_sum` and `total_sum`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .costs import cost_of, prepared_steps
from .formula import CHANNELS, PIXELS, REDUCTIONS, SHARDS, Pattern
from .grid import Sums, per_channel, write_lines, write_prologue, zeros
from .ir import Value, Writer
from .kernel import Kernel
from .lowering import Known, Lowering
from .memory import Place, slots_of
from .target import Target

KERNELS = 4096  # emitted kernels that are kept
WIDEST = 4  # vectors of channels that a kernel for images holds at once


@dataclass(frozen=True, slots=True)
class Tile:
    """How many channels a kernel takes at once.

    Attributes:
        vectors: full ones, at once; 0 if there are fewer channels than lanes.
        tail: whether channels may be left over, which are taken vector by vector with a mask.
    """

    vectors: int
    tail: bool


def tile_for(target: Target, channels: int) -> Tile:
    """The tile for so many channels: no mask where they fill vectors."""
    full, rest = divmod(channels, target.width)
    if rest:
        return Tile(min(full, WIDEST), True)
    return Tile(next(vectors for vectors in range(WIDEST, 0, -1) if full % vectors == 0), False)


@lru_cache(KERNELS)
def emit_flat(target: Target, pattern: Pattern, stream: frozenset[str] = frozenset()) -> Kernel:
    """A kernel over elements that lie side by side.

    Args:
        target: the CPU.
        pattern: full and channel operands are `[count]`, partials `[SHARDS][count]`.
        stream: operands to be written past the cache: large, not read soon, aligned to vectors.

    Returns:
        Slots: `count`, then the operands in order, each of partials with `name.shard`.
    """
    dear = max((cost_of(pattern, store.value) for store in pattern.stores), default=0)
    turns = 4 if dear <= 12 else 2 if dear <= 40 else 1
    name = f"flat_{pattern.key}_w{target.width}" + ("_s" if stream else "")
    k = Writer(name, target, slots_of(pattern, dense=True, scratch=False))
    low = Lowering(k, pattern, stream=stream)
    known = low.everywhere()
    stores = [store for store in pattern.stores if store.kind == "store"]
    totals = [store for store in pattern.stores if store.kind == "total"]
    ones = [store for store in stores if pattern.operands[store.operand].layout == "scalar"]
    spread = [store for store in stores if store not in ones]
    _check(pattern, image=False)
    if ones:
        with k.when(k.compare("eq", k.tid, 0)):
            for store in ones:
                low.store_one(store, known[store.value], k[pattern.operands[store.operand].name])

    def vector_at(channel: Value, mask: Value | None) -> list[Value]:
        place, scope = Place(channel, mask=mask), Known()
        values = [low.value(store.value, place, scope, known) for store in spread]
        sums = [low.counted(low.value(store.value, place, scope, known), place) for store in totals]
        for store, value in zip(spread, values, strict=True):
            low.store(store, value, place)
        return sums

    def between(start: Value, stop: Value) -> list[Value]:
        step = turns * low.width
        full = k.add(start, k.mul(k.div(k.sub(stop, start), step), step))
        with k.loop(start, full, step=step, carried=zeros(low, turns * len(totals))) as loop:
            added: list[Value] = []
            for turn in range(turns):
                sums = vector_at(k.add(loop.index, turn * low.width), None)
                added += [k.fadd(loop.values[turn * len(totals) + at], value) for at, value in enumerate(sums)]
            loop.carry(*added)
        collected = list(loop.results[: len(totals)])
        for turn in range(1, turns):
            collected = [k.fadd(a, loop.results[turn * len(totals) + at]) for at, a in enumerate(collected)]
        with k.loop(full, stop, step=low.width, carried=collected) as loop:
            sums = vector_at(loop.index, low.mask_at(loop.index, stop))
            loop.carry(*(k.fadd(a, b) for a, b in zip(loop.values, sums, strict=True)))
        return list(loop.results)

    def elements(group: Value, groups: Value | int) -> tuple[Value, Value]:
        """Those of one of so many groups; blocks of vectors are never divided."""
        block = turns * low.width
        blocks = k.div(k.add(k["count"], block - 1), block)
        lo, hi = (k.div(k.mul(blocks, each), groups) for each in (group, k.add(group, 1)))
        return k.mul(lo, block), k.least(k.mul(hi, block), k["count"])

    if not totals:
        between(*elements(k.tid, k.nt))
        return k.kernel()
    with k.loop(*k.share(SHARDS)) as shards:
        for store, value in zip(totals, between(*elements(shards.index, SHARDS)), strict=True):
            k.store(k.total(value), k.at(k[pattern.operands[store.operand].name], shards.index))
    return k.kernel()


@lru_cache(KERNELS)
def emit_image(target: Target, pattern: Pattern, tile: Tile, stream: frozenset[str] = frozenset()) -> Kernel:
    """A kernel over images.

    Args:
        target: the CPU.
        pattern: without reductions over rows; sums per channel and totals of what varies by channel are welcome.
        tile: from `tile_for` the number of channels.
        stream: as in `emit_flat`.

    Returns:
        Slots: `items`, `rows`, `pixels`, `channels`; `scratch` and `scratch.thread` where `scratch_rows` is not 0; then
        the operands in order, with their strides: see `Operand`.
    """
    _check(pattern, image=True)
    name = f"image_{pattern.key}_w{target.width}x{tile.vectors}{'t' if tile.tail else ''}" + ("_s" if stream else "")
    k = Writer(name, target, slots_of(pattern, dense=False, scratch=bool(prepared_steps(pattern))))
    low = Lowering(k, pattern, stream=stream)
    known = write_prologue(low)
    along_channels = per_channel(low)
    along_pixels = [number for number, step in enumerate(pattern.steps) if step.varies == PIXELS]
    stores = [
        store
        for store in pattern.stores
        if store.kind == "store" and pattern.operands[store.operand].layout not in ("channel", "scalar")
    ]

    def block(row: Value, first: Value, vectors: int, mask: Value | None, bases: dict[int, Value], into: Sums) -> None:
        """Some channels of a whole line."""
        places = [Place(k.add(first, at * low.width), mask=mask) for at in range(vectors)]
        scopes: list[Known] = []
        for place in places:
            scope: Known = {}
            for step_number in along_channels:
                low.value(step_number, place, scope, known)
            scopes.append(scope)
        starts = {each: low.at_channel(each, base, first) for each, base in bases.items()}
        sums, moments = len(into.rows), len(into.moments)
        of_totals = vectors * (sums + 3 * moments)  # before that: per vector its sums, then guess, sum, squares of each
        carried = [*starts.values(), *zeros(low, of_totals + len(into.totals))]
        with k.loop(0, k["pixels"], carried=carried) as loop:
            pointers = dict(zip(starts, loop.values, strict=False))
            collected = list(loop.values[len(starts) :])
            shared: Known = {}
            here = Place(places[0].channel, pointers, row=row, pixel=loop.index)
            for step_number in along_pixels:
                low.value(step_number, here, shared, known)
            results: list[tuple[Place, list[Value]]] = []
            for at, (outside, scope) in enumerate(zip(places, scopes, strict=True)):
                place = Place(outside.channel, pointers, low.at_lane(at), mask, row, loop.index)
                inner: Known = {}
                scopes_here = (inner, shared, scope, known)
                results.append((place, [low.value(store.value, place, *scopes_here) for store in stores]))
                at_sum = at * (sums + 3 * moments)
                for which, store in enumerate(into.rows, start=at_sum):
                    collected[which] = k.fadd(collected[which], low.value(store.value, place, *scopes_here))
                for which, store in enumerate(into.moments):
                    value = low.value(store.value, place, *scopes_here)
                    part = slice(at_sum + sums + 3 * which, at_sum + sums + 3 * which + 3)
                    collected[part] = _deviation(k, value, collected[part], k.compare("eq", loop.index, 0))
                for which, store in enumerate(into.totals, start=of_totals):
                    value = low.counted(low.value(store.value, place, *scopes_here), place)
                    collected[which] = k.fadd(collected[which], value)
            for place, values in results:
                for store, value in zip(stores, values, strict=True):
                    low.store(store, value, place)
            loop.carry(*low.next_pixel(pointers).values(), *collected)
        ends = loop.results[len(starts) :]
        for at, place in enumerate(places):
            at_sum = at * (sums + 3 * moments)
            into.add(ends[at_sum : at_sum + sums], place)
            for which, store in enumerate(into.moments):
                part = at_sum + sums + 3 * which
                guess, total, squares = ends[part : part + 3]
                into.merge(store, guess, total, squares, place)
        into.add_totals(ends[of_totals:])

    def line(item: Value, row: Value, into: Sums) -> None:
        bases = low.first_pixel(item, row)
        step = tile.vectors * low.width
        full = k.sub(k["channels"], k.rem(k["channels"], step)) if step and tile.tail else k["channels"]
        if step:
            with k.loop(0, full, step=step) as loop:
                block(row, loop.index, tile.vectors, None, bases, into)
        if tile.tail:
            with k.loop(full if step else 0, k["channels"], step=low.width) as loop:
                block(row, loop.index, 1, low.mask_at(loop.index, k["channels"]), bases, into)

    write_lines(low, line)
    return k.kernel()


def _deviation(k: Writer, value: Value, before: list[Value], first: Value) -> list[Value]:
    """A value joins a guess of the mean (the first value), the sum of deviations from it, and that of their squares."""
    guess, total, squares = before
    guess = k.select(first, value, guess)
    delta = k.fsub(value, guess)
    return [guess, k.fadd(total, delta), k.fma(delta, delta, squares)]


def scratch_rows(pattern: Pattern) -> int:
    """Rows of `[channels]` floats that each thread of an image kernel wants as scratch memory."""
    return len(prepared_steps(pattern))


def _check(pattern: Pattern, *, image: bool) -> None:
    assert not any(step.op in REDUCTIONS for step in pattern.steps), "reductions over rows take a kernel over rows"
    for store in pattern.stores:
        operand, varies = pattern.operands[store.operand], pattern.steps[store.value].varies
        assert operand.layout != "pixel", f"{operand.name}: an element per pixel is written by kernels over rows"
        assert store.kind != "total" or varies & CHANNELS, f"{operand.name}: the total of what is no element"
        assert image or store.kind in ("store", "total"), f"{operand.name}: sums per channel of a run of elements"
