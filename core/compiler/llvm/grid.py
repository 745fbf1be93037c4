"""The outer loops of a fused kernel: what is prepared per channel, shards of lines, and the partial sums of shards.

A line is a row of pixels of one item. Threads share the lines or, where something is added up, SHARDS contiguous groups
of them: each group has partial sums of its own, in memory, so that no sum depends on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .formula import CHANNELS, SHARDS, Store
from .ir import INT, Value, number, vector
from .lowering import Known, Lowering, Place, prepared_steps

# (item, row, shard): writes what happens to one line.
Body = Callable[[Value, Value, "Partials"], None]


@dataclass(slots=True)
class Partials:
    """The sums that a shard collects.

    Attributes:
        low: writes.
        channel_sums, totals: which.
        shard: its number.
        stacks: of each total, a vector on the stack that collects it.
    """

    low: Lowering
    channel_sums: tuple[Store, ...]
    totals: tuple[Store, ...]
    shard: Value
    stacks: tuple[Value, ...]

    def row_of(self, store: Store) -> Value:
        """Where the shard's partial sums of all channels begin."""
        k, name = self.low.k, self.low.pattern.operands[store.operand].name
        return k.at(k[name], k.mul(self.shard, k[f"{name}.shard"]))

    def add(self, sums: Sequence[Value], place: Place) -> None:
        """Add a vector to each of the sums per channel."""
        k = self.low.k
        for store, value in zip(self.channel_sums, sums, strict=True):
            pointer = k.at(self.row_of(store), place.channel)
            if place.mask is None:
                k.store(k.fadd(k.load(pointer, value.type), value), pointer)
            else:
                k.masked_store(k.fadd(k.masked_load(pointer, value.type, place.mask), value), pointer, place.mask)

    def add_totals(self, values: Sequence[Value]) -> None:
        """Add a vector to each of the totals, whose lanes are added up at the end."""
        k = self.low.k
        for stack, value in zip(self.stacks, values, strict=True):
            k.store(k.fadd(k.load(stack, value.type), value), stack)

    def clear(self) -> None:
        """Set everything to zero."""
        k, low = self.low.k, self.low
        zero = number(0.0, low.floats)
        for stack in self.stacks:
            k.store(zero, stack)
        if not self.channel_sums:
            return
        with k.loop(0, k["channels"], step=low.width) as loop:
            mask = low.mask_at(loop.index, k["channels"])
            for store in self.channel_sums:
                low.write(zero, k.at(self.row_of(store), loop.index), mask)

    def finish(self) -> None:
        """Write the totals."""
        k = self.low.k
        for store, stack in zip(self.totals, self.stacks, strict=True):
            name = self.low.pattern.operands[store.operand].name
            k.store(k.total(k.load(stack, self.low.floats)), k.at(k[name], self.shard))


def write_prologue(low: Lowering) -> Known:
    """What is the same for all pixels: numbers, and what varies by channel only and is dear or is a result.

    Returns:
        The steps that are the same everywhere. Dear steps are prepared: `low` takes them from scratch memory.
    """
    k, pattern = low.k, low.pattern
    known = low.everywhere()
    prepared = prepared_steps(pattern)
    ones = [store for store in pattern.stores if pattern.operands[store.operand].layout == "scalar"]
    rows = [store for store in pattern.stores if pattern.operands[store.operand].layout == "channel"]
    read = {step.operand for step in pattern.steps}
    assert not any(store.operand in read for store in (*ones, *rows)), "one thread would write what others still read"
    first = k.compare("eq", k.tid, 0)
    if ones:
        with k.when(first):
            for store in ones:
                low.store_one(store, known[store.value], k[pattern.operands[store.operand].name])
    if prepared or rows:
        with k.loop(0, k["channels"], step=low.width) as loop:
            place = Place(loop.index, mask=low.mask_at(loop.index, k["channels"]))
            scope: Known = {}
            for step_number, row in prepared.items():
                low.save_scratch(row, low.value(step_number, place, scope, known), place)
            if rows:
                with k.when(first):
                    inside: Known = {}
                    for store in rows:
                        low.store(store, low.value(store.value, place, inside, scope, known), place)
    low.prepared = prepared
    return known


def write_lines(low: Lowering, body: Body) -> None:
    """The loop over the lines of this thread.

    Args:
        low: writes.
        body: called once, inside the loop.
    """
    k = low.k
    lines = k.mul(k["items"], k["rows"])
    channel_sums = tuple(store for store in low.pattern.stores if store.kind == "channel_sum")
    totals = tuple(store for store in low.pattern.stores if store.kind == "total")

    def between(lo: Value, hi: Value, partials: Partials) -> None:
        with k.loop(lo, hi) as loop:
            body(k.div(loop.index, k["rows"]), k.rem(loop.index, k["rows"]), partials)

    if not channel_sums and not totals:
        between(*k.share(lines), Partials(low, (), (), number(0, INT), ()))
        return
    stacks = tuple(k.stack(low.width) for _ in totals)
    with k.loop(*k.share(SHARDS)) as shards:
        partials = Partials(low, channel_sums, totals, shards.index, stacks)
        partials.clear()
        hi = k.div(k.mul(lines, k.add(shards.index, 1)), SHARDS)
        between(k.div(k.mul(lines, shards.index), SHARDS), hi, partials)
        partials.finish()


def per_channel(low: Lowering) -> list[int]:
    """The steps that vary by channel only, are not prepared, and are read by others than prepared ones."""
    pattern = low.pattern
    needed: set[int] = {store.value for store in pattern.stores if pattern.operands[store.operand].layout != "channel"}
    for step_number in reversed(range(len(pattern.steps))):
        if step_number in needed and step_number not in low.prepared:
            needed.update(pattern.steps[step_number].inputs)
    return [each for each in sorted(needed) if pattern.steps[each].varies == CHANNELS]


def zeros(low: Lowering, count: int) -> list[Value]:
    """Vectors of zeros to begin sums with."""
    return [number(0.0, vector(low.width)) for _ in range(count)]
