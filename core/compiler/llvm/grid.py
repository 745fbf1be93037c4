"""The outer loops of a fused kernel: what is prepared per channel, shards of lines, and the partial sums of shards.

A line is a row of pixels of one item. Threads share the lines or, where something is added up, SHARDS contiguous groups
of them: each group has partial sums of its own, in memory, so that no sum depends on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .costs import prepared_steps
from .formula import CHANNELS, SHARDS, Store
from .ir import FLOAT, INT, Value, number, vector
from .lowering import Known, Lowering
from .memory import Place

ZERO = number(0, INT)

# (item, row, sums): writes what happens to one line.
Body = Callable[[Value, Value, "Sums"], None]


@dataclass(slots=True)
class Sums:
    """What is added up while lines are walked.

    Attributes:
        low: writes.
        rows: sums per channel, of a shard or an item: "channel_sum" and "item_sum".
        moments, totals: of a shard.
        shard, item: their numbers.
        before: lines that the shard has seen.
        stacks: of each total, a vector on the stack that collects it.
    """

    low: Lowering
    rows: tuple[Store, ...]
    moments: tuple[Store, ...]
    totals: tuple[Store, ...]
    stacks: tuple[Value, ...]
    shard: Value = ZERO
    item: Value = ZERO
    before: Value = ZERO

    @property
    def sharded(self) -> bool:
        """Whether anything is added up beyond items."""
        return bool(self.moments or self.totals or any(store.kind == "channel_sum" for store in self.rows))

    @property
    def by_item(self) -> bool:
        """Whether anything is added up per item: then a thread takes whole items."""
        return any(store.kind == "item_sum" for store in self.rows)

    def row_of(self, store: Store, *, which: int = 0) -> Value:
        """Where the sums of all channels begin; of moments the means (0) or the squared deviations (1)."""
        k, name = self.low.k, self.low.pattern.operands[store.operand].name
        if store.kind == "item_sum":
            return k.at(k[name], k.mul(self.item, k[f"{name}.item"]))
        row = k.add(k.mul(self.shard, 2), which) if store.kind == "channel_moments" else self.shard
        return k.at(k[name], k.mul(row, k[f"{name}.shard"]))

    def add(self, values: Sequence[Value], place: Place) -> None:
        """Add a vector to each of the sums per channel."""
        for store, value in zip(self.rows, values, strict=True):
            pointer = self.low.k.at(self.row_of(store), place.channel)
            before = self.low.read(pointer, place.mask)
            self.low.write(self.low.k.fadd(before, value), pointer, place.mask)

    def merge(self, store: Store, guess: Value, total: Value, squares: Value, place: Place) -> None:
        """Merge a line into the moments: the sums of deviations from a guess of its mean, and of their squares."""
        k, low = self.low.k, self.low
        new = k.cast("sitofp", k["pixels"], FLOAT)
        old = k.fmul(new, k.cast("sitofp", self.before, FLOAT))
        share = k.fdiv(new, k.fadd(old, new))
        inverse, part, weight = (k.splat(x, low.width) for x in (k.fdiv(1.0, new), share, k.fmul(old, share)))
        pointers = [k.at(self.row_of(store, which=which), place.channel) for which in (0, 1)]
        mean, deviations = (low.read(pointer, place.mask) for pointer in pointers)
        shift = k.fmul(total, inverse)
        delta = k.fsub(k.fadd(guess, shift), mean)
        inner = k.fsub(squares, k.fmul(total, shift))
        low.write(k.fma(delta, part, mean), pointers[0], place.mask)
        low.write(k.fma(k.fmul(delta, delta), weight, k.fadd(deviations, inner)), pointers[1], place.mask)

    def add_totals(self, values: Sequence[Value]) -> None:
        """Add a vector to each of the totals, whose lanes are added up at the end."""
        k = self.low.k
        for stack, value in zip(self.stacks, values, strict=True):
            k.store(k.fadd(k.load(stack, value.type), value), stack)

    def clear_shard(self) -> None:
        """Set what a shard collects to zero."""
        for stack in self.stacks:
            self.low.k.store(number(0.0, self.low.floats), stack)
        rows = [self.row_of(store) for store in self.rows if store.kind == "channel_sum"]
        self._clear([*rows, *(self.row_of(store, which=which) for store in self.moments for which in (0, 1))])

    def clear_item(self) -> None:
        """Set what an item collects to zero."""
        self._clear([self.row_of(store) for store in self.rows if store.kind == "item_sum"])

    def finish_shard(self) -> None:
        """Write the totals."""
        k = self.low.k
        for store, stack in zip(self.totals, self.stacks, strict=True):
            name = self.low.pattern.operands[store.operand].name
            k.store(k.total(k.load(stack, self.low.floats)), k.at(k[name], self.shard))

    def _clear(self, rows: Sequence[Value]) -> None:
        k, low = self.low.k, self.low
        if rows:
            with k.loop(0, k["channels"], step=low.width) as loop:
                mask = low.mask_at(loop.index, k["channels"])
                for row in rows:
                    low.write(number(0.0, low.floats), k.at(row, loop.index), mask)


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
    k, stores = low.k, low.pattern.stores
    totals = tuple(store for store in stores if store.kind == "total")
    sums = Sums(
        low,
        tuple(store for store in stores if store.kind in ("channel_sum", "item_sum")),
        tuple(store for store in stores if store.kind == "channel_moments"),
        totals,
        tuple(k.stack(low.width) for _ in totals),
    )
    units = k["items"] if sums.by_item else k.mul(k["items"], k["rows"])

    def between(lo: Value, hi: Value) -> None:
        with k.loop(lo, hi) as loop:
            sums.before = k.sub(loop.index, lo)
            if not sums.by_item:
                body(k.div(loop.index, k["rows"]), k.rem(loop.index, k["rows"]), sums)
                return
            sums.item = loop.index
            sums.clear_item()
            with k.loop(0, k["rows"]) as rows:
                sums.before = k.add(k.mul(sums.before, k["rows"]), rows.index)
                body(loop.index, rows.index, sums)

    if not sums.sharded:
        between(*k.share(units))
        return
    with k.loop(*k.share(SHARDS)) as shards:
        sums.shard = shards.index
        sums.clear_shard()
        lo, hi = (k.div(k.mul(units, each), SHARDS) for each in (shards.index, k.add(shards.index, 1)))
        between(lo, hi)
        sums.finish_shard()


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
