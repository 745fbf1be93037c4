"""Attention, a head at a time, in memory that stays in the cache.

    out = softmax(scale q k^T) v,   level = log(sum(exp(scale q k^T)))

A thread takes whole heads. Of each it turns the keys once, so that products read them in order; then, for some queries
at a time, it makes their scores, and of these their weights and what they mix, before it goes on. The gradient makes
weights again from `level`, as in https://arxiv.org/abs/2205.14135, and keeps those of one head: of a head's size, all
fits. What lies between products never leaves a core, and operands are read and written where they are, also where heads
take turns in memory.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final

from . import mathematics
from .ir import FLOAT, INT, Operand, Value, Writer, number, vector
from .kernel import Kernel, Slot
from .launch import Launch
from .packing import transpose
from .target import Target
from .tile import BLOCK, add_products
from .tile_launch import choose_tile
from .tiling import slots_of

APART: Final = 1024  # floats between what two threads write: the CPU fetches ahead
# How many rows and columns operands have.
ROWS: Final = {"q": "queries", "k": "keys", "v": "keys", "out": "queries", "g": "queries"}
COLUMNS: Final = {"q": "features", "k": "features", "v": "values", "out": "values", "g": "values"}
WRITTEN: Final = {"out": "out", "gq": "q", "gk": "k", "gv": "v"}  # and what has their shape
MINUS_INFINITY: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Heads:
    """How matrices, one for each head, lie; in floats.

    Attributes:
        origin: of the first.
        outer, inner: from a head to the next, along two axes of heads.
        row: from a row to the next; columns are adjacent.
    """

    origin: int
    outer: int
    inner: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSizes:
    """Of an attention. Keys, features and values are multiples of 16.

    Attributes:
        outer, inner: heads, along two axes.
        queries, keys: of a head.
        features: of a query and of a key.
        values: that are mixed.
        causal: query i sees keys 0 to i only; then there are as many keys as queries.
    """

    outer: int
    inner: int
    queries: int
    keys: int
    features: int
    values: int
    causal: bool = False

    @property
    def numbers(self) -> dict[str, int | float]:
        """The slots that both kernels have."""
        return {
            "heads": self.outer * self.inner,
            "inner": self.inner,
            "queries": self.queries,
            "keys": self.keys,
            "features": self.features,
            "values": self.values,
        }

    @property
    def row(self) -> int:
        """Floats from a row of scores to the next: rows do not meet in the cache."""
        return self.keys + BLOCK


def attend(target: Target, sizes: HeadSizes, lying: Mapping[str, Heads], *, scale: float) -> Launch:
    """The launch of an attention.

    Operands: `q`, `k`, `v`, `out`, and `level`, [outer][inner][queries].

    Args:
        target: the CPU.
        sizes: of it.
        lying: how the first four lie.
        scale: of the scores.
    """
    rows, _ = choose_tile(target, sizes.queries, 1)
    scratch = sizes.keys * sizes.features + rows * sizes.row
    return _launch(emit_attention(target, rows=rows, causal=sizes.causal), sizes, lying, ("level",), scale, scratch)


def attend_gradient(target: Target, sizes: HeadSizes, lying: Mapping[str, Heads], *, scale: float) -> Launch:
    """The launch of the gradients of an attention's inputs.

    Operands: `q`, `k`, `v`, `g`, the gradient of what was mixed, and `gq`, `gk`, `gv`, which are written; `level`, as
    it was, and `slope`, of every query the sum of g * out less the gradient of its level: [outer][inner][queries].

    Args:
        target: the CPU.
        sizes: of it.
        lying: how the first seven lie.
        scale: of the scores.
    """
    rows, _ = choose_tile(target, sizes.queries, 1)
    keys, _ = choose_tile(target, sizes.keys, 1)
    scratch = sizes.keys * (sizes.features + sizes.values) + 2 * sizes.queries * sizes.row
    kernel = emit_attention_gradient(target, rows=rows, keys=keys, causal=sizes.causal)
    return _launch(kernel, sizes, lying, ("level", "slope"), scale, scratch)


def _launch(
    kernel: Kernel, sizes: HeadSizes, lying: Mapping[str, Heads], dense: Sequence[str], scale: float, scratch: int
) -> Launch:
    numbers = sizes.numbers | {"scale": scale, "row": sizes.row, "scratch.thread": scratch + APART}
    for name, heads in lying.items():
        numbers |= {f"{name}.outer": heads.outer, f"{name}.inner": heads.inner, f"{name}.row": heads.row}
    offsets = {name: heads.origin for name, heads in lying.items()} | dict.fromkeys((*dense, "scratch"), 0)
    return Launch(kernel=kernel, numbers=numbers, offsets=offsets, scratch=scratch + APART)


@cache
def emit_attention(target: Target, *, rows: int, causal: bool = False) -> Kernel:
    """The kernel that mixes values, some queries at a time.

    Args:
        target: the CPU.
        rows: queries at a time, at most as many as a head has.
        causal: query i sees keys 0 to i only, of as many as there are queries.

    The slots:
        q, k, v, out: the first head's; name.outer, name.inner, name.row: strides in floats, columns are adjacent.
        level: [heads][queries].
        scratch, scratch.thread: memory of each thread, in floats: keys turned, and `rows` rows of scores.
        heads: all; inner: how many follow one another at `inner` strides.
        queries, keys, features, values: of a head; all but the first are multiples of 16.
        row: from a row of scores to the next; scale: of the scores.
    """
    name = f"attention_{'causal_' if causal else ''}{rows}x{BLOCK}_v{target.width}"
    k = _writer(name, target, ("q", "k", "v", "out"), ("level",))
    with _each_head(k) as head:
        turned, scores = head.scratch, k.at(head.scratch, k.mul(k["keys"], k["features"]))
        inverses = k.stack(rows)
        _turn(head, "k", turned, scale=k["scale"])
        with _tiles(k, k["queries"], rows) as first:
            head.fetch(("q", "k", "v", "out"), first, rows)
            seen = _seen(k, first, rows) if causal else k["keys"]
            _scores(head, rows, "q", first, turned, seen, scores)
            if causal:
                _hide(k, rows, first, seen, scores)
            level = k.at(k["level"], k.mul(head.number, k["queries"]), first)
            _weights(k, rows, seen, scores, level, inverses)
            starts = [k.at(scores, k.mul(k["row"], i)) for i in range(rows)]
            factors = [k.load(k.at(inverses, i)) for i in range(rows)]
            _mixed(head, starts, 1, "v", seen, "out", first, factors)
    return k.kernel()


@cache
def emit_attention_gradient(target: Target, *, rows: int, keys: int, causal: bool = False) -> Kernel:
    """The kernel of the gradients of queries, keys and values.

    Args:
        target: the CPU.
        rows: queries at a time, at most as many as a head has.
        keys: at a time, at most as many as a head has.
        causal: see `emit_attention`.

    The slots are those of `emit_attention` without `out`, and:
        g: gradient of `out`; gq, gk, gv: the results.
        slope: [heads][queries], what is taken from g @ v.T.
        scratch: keys and values turned, and the weights and their gradients of one head.
    """
    name = f"attention_gradient_{'causal_' if causal else ''}{rows}x{keys}x{BLOCK}_v{target.width}"
    k = _writer(name, target, ("q", "k", "v", "g", "gq", "gk", "gv"), ("level", "slope"))
    with _each_head(k) as head:
        turned = head.scratch
        turned_values = k.at(turned, k.mul(k["keys"], k["features"]))
        weights = k.at(turned_values, k.mul(k["keys"], k["values"]))
        slopes = k.at(weights, k.mul(k["queries"], k["row"]))
        _turn(head, "k", turned, scale=k["scale"])
        _turn(head, "v", turned_values)
        with _tiles(k, k["queries"], rows) as first:
            head.fetch(("q", "k", "v", "g", "gq", "gk", "gv"), first, rows)
            before = k.mul(first, k["row"])
            here, behind = k.at(weights, before), k.at(slopes, before)
            seen = _seen(k, first, rows) if causal else k["keys"]
            _scores(head, rows, "q", first, turned, seen, here)
            _scores(head, rows, "g", first, turned_values, seen, behind)
            if causal:
                _hide(k, rows, first, seen, here)
            _slopes(k, rows, seen, k.add(k.mul(head.number, k["queries"]), first), here, behind)
            starts = [k.at(behind, k.mul(k["row"], i)) for i in range(rows)]
            _mixed(head, starts, 1, "k", seen, "gq", first)
        with _tiles(k, k["keys"], keys) as first:
            before = first if causal else number(0, INT)  # queries that do not see these keys
            for of, x, name in (("q", slopes, "gk"), ("g", weights, "gv")):
                starts = [k.at(x, k.mul(before, k["row"]), first, i) for i in range(keys)]
                _mixed(head, starts, k["row"], of, k.sub(k["queries"], before), name, first, skipped=before)
    return k.kernel()


@dataclass(slots=True)
class _Head:
    """The head that is being written for.

    Attributes:
        k: what is written to.
        number: of it.
        following: number of the next one, if there is one.
        scratch: memory of this thread.
    """

    k: Writer
    number: Value
    following: Value
    scratch: Value

    def __getitem__(self, name: str) -> Value:
        """Where its matrix of an operand begins."""
        return self._start(name, self.number)

    def fetch(self, names: Sequence[str], first: Value, count: int) -> None:
        """Bring some rows of the next head's matrices nearer: those of a head may lie far apart, and the CPU does not
        guess where.
        """
        k = self.k
        for name in names:
            like, start = WRITTEN.get(name, name), self._start(name, self.following)
            last = k.least(k.add(first, count), k[ROWS[like]])
            with k.loop(k.least(first, k.sub(last, 1)), last, runs=True) as row:
                at = k.at(start, k.mul(row.index, k[f"{name}.row"]))
                with k.loop(0, k[COLUMNS[like]], step=BLOCK, runs=True) as block:
                    k.prefetch(k.at(at, block.index), write=name in WRITTEN)

    def _start(self, name: str, head: Value) -> Value:
        k = self.k
        outer, inner = k.div(head, k["inner"]), k.rem(head, k["inner"])
        return k.at(k[name], k.mul(outer, k[f"{name}.outer"]), k.mul(inner, k[f"{name}.inner"]))


def _writer(name: str, target: Target, matrices: Sequence[str], dense: Sequence[str]) -> Writer:
    numbers = ["heads", "inner", "queries", "keys", "features", "values", "row", "scratch.thread"]
    numbers += [f"{matrix}.{stride}" for matrix in matrices for stride in ("outer", "inner", "row")]
    return Writer(name, target, (*slots_of([*matrices, *dense, "scratch"], numbers), Slot("scale", "f32")))


@contextmanager
def _each_head(k: Writer) -> Generator[_Head]:
    first, end = k.share(k["heads"])
    scratch = k.at(k["scratch"], k.mul(k.tid, k["scratch.thread"]))
    with k.loop(first, end) as at:
        following = k.least(k.add(at.index, 1), k.sub(end, 1))
        yield _Head(k, at.index, following, scratch)


@contextmanager
def _tiles(k: Writer, count: Value, size: int) -> Generator[Value]:
    """The first row of each tile; the last one begins within the one before it, and writes the same there."""
    with k.loop(0, count, step=size, runs=True) as at:
        yield k.least(at.index, k.sub(count, size))


def _turn(head: _Head, name: str, to: Value, *, scale: Value | None = None) -> None:
    """A matrix with a row for each key as [blocks of 16 keys][columns][16], perhaps times a number."""
    k, source = head.k, head[name]
    lanes, columns = k.target.width, k[COLUMNS[name]]
    with k.loop(0, k["keys"], step=BLOCK, runs=True) as block, k.loop(0, columns, step=lanes, runs=True) as column:
        into = k.at(to, k.mul(block.index, columns), k.mul(column.index, BLOCK))
        with k.loop(0, BLOCK, step=lanes, runs=True) as part:
            first = k.add(block.index, part.index)
            rows = [k.mul(k.add(first, i), k[f"{name}.row"]) for i in range(lanes)]
            square = [k.load(k.at(source, row, column.index), vector(lanes)) for row in rows]
            for i, value in enumerate(transpose(k, square)):
                scaled = value if scale is None else k.fmul(value, k.splat(scale, lanes))
                k.store(scaled, k.at(into, part.index, i * BLOCK))


def _seen(k: Writer, first: Value, rows: int) -> Value:
    """Of how many keys scores are made for some queries, from the first on, that see no later ones: whole blocks, and
    those that follow their tile, which the products of keys may read.
    """
    blocks = k.div(k.add(first, 2 * rows + BLOCK - 1), BLOCK)
    return k.least(k.mul(blocks, BLOCK), k["keys"])


def _hide(k: Writer, rows: int, first: Value, seen: Value, scores: Value) -> None:
    """Scores of later keys are minus infinity."""
    lanes, wide = k.target.width, vector(k.target.width)
    start = k.mul(k.div(first, BLOCK), BLOCK)  # all see the blocks before it
    with k.loop(start, seen, step=BLOCK, runs=True) as block, k.loop(0, rows, runs=True) as row:
        there = k.sub(k.add(first, row.index, 1), block.index)
        for part in range(0, BLOCK, lanes):
            place = k.at(scores, k.mul(row.index, k["row"]), block.index, part)
            kept = k.lanes_below(k.sub(there, part), lanes)
            k.store(k.select(kept, k.load(place, wide), MINUS_INFINITY), place)


def _scores(head: _Head, rows: int, name: str, first: Value, turned: Value, seen: Value, to: Value) -> None:
    """Products of rows of a matrix, from the first on, with those of so many keys, which are turned."""
    k = head.k
    lanes, depth = k.target.width, k[COLUMNS[name]]
    starts = [k.at(head[name], k.mul(k.add(first, i), k[f"{name}.row"])) for i in range(rows)]
    with k.loop(0, seen, step=BLOCK, runs=True) as block:
        sums = add_products(k, _zeros(k, rows), starts, k.at(turned, k.mul(block.index, depth)), depth=depth)
        for at, value in enumerate(sums):
            row, part = divmod(at * lanes, BLOCK)
            k.store(value, k.at(to, k.mul(k["row"], row), block.index, part))


def _mixed(
    head: _Head,
    starts: Sequence[Value],
    step: Value | int,
    name: str,
    depth: Value,
    to: str,
    first: Value,
    factors: Sequence[Value] = (),
    *,
    skipped: Operand = 0,
) -> None:
    """Rows of a result, each a sum of the rows of a matrix.

    Args:
        head: whose.
        starts: of what the rows are multiplied with, one for each row of the result.
        step: to what the next row is multiplied with.
        name: of the matrix.
        depth: its rows.
        to: the name of the result.
        first: its first row.
        factors: of the sums.
        skipped: rows of the matrix before the first of them.
    """
    k = head.k
    lanes, parts = k.target.width, BLOCK // k.target.width
    matrix, result = k.at(head[name], k.mul(skipped, k[f"{name}.row"])), head[to]
    with k.loop(0, k[COLUMNS[name]], step=BLOCK, runs=True) as block:
        steps = step, k[f"{name}.row"]
        sums = add_products(k, _zeros(k, len(starts)), starts, k.at(matrix, block.index), depth=depth, steps=steps)
        for row in range(len(starts)):
            into = k.at(result, k.mul(k.add(first, row), k[f"{to}.row"]), block.index)
            for part in range(parts):
                value = sums[row * parts + part]
                value = k.fmul(value, k.splat(factors[row], lanes)) if factors else value
                k.store(value, k.at(into, part * lanes))


def _zeros(k: Writer, rows: int) -> list[Value]:
    return [Value("zeroinitializer", vector(k.target.width))] * (rows * BLOCK // k.target.width)


def _weights(k: Writer, rows: int, seen: Value, scores: Value, level: Value, inverses: Value) -> None:
    """Rows of scores as exponentials of what they are below the highest of their row; the logarithms of the sums of
    exponentials, and one over the sums of those that are there. All rows go side by side: one waits for itself.
    """
    lanes, wide = k.target.width, vector(k.target.width)
    parts = range(0, BLOCK, lanes)
    starts = [k.at(scores, k.mul(k["row"], i)) for i in range(rows)]
    highest, totals = k.stack(rows), k.stack(rows)
    with k.loop(0, seen, step=BLOCK, carried=[number(MINUS_INFINITY, wide)] * rows, runs=True) as block:
        best = list(block.values)
        for part in parts:
            found = [k.load(k.at(start, block.index, part), wide) for start in starts]
            best = [_larger(k, *each) for each in zip(found, best, strict=True)]
        block.carry(*best)
    for i, value in enumerate(block.results):
        k.store(_highest(k, value), k.at(highest, i))
    zeros = [Value("zeroinitializer", wide)] * rows
    with k.loop(0, seen, step=BLOCK, carried=zeros, runs=True) as block:
        sums: list[Value] = []
        for i, start in enumerate(starts):
            shift, total = k.splat(_finite(k, k.load(k.at(highest, i))), lanes), block.values[i]
            for part in parts:
                place = k.at(start, block.index, part)
                power = mathematics.exp(k, k.fsub(k.load(place, wide), shift))
                k.store(power, place)
                total = k.fadd(total, power)
            sums.append(total)
        block.carry(*sums)
    for i, value in enumerate(block.results):
        k.store(k.total(value), k.at(totals, i))
    with k.loop(0, rows, runs=True) as row:
        total = k.load(k.at(totals, row.index))
        empty = k.compare("oeq", total, 0.0)  # of a query that sees nothing
        some = k.select(empty, 1.0, total)
        found = k.fadd(_finite(k, k.load(k.at(highest, row.index))), mathematics.log(k, some))
        k.store(k.select(empty, MINUS_INFINITY, found), k.at(level, row.index))
        k.store(k.fdiv(number(1.0, FLOAT), some), k.at(inverses, row.index))


def _slopes(k: Writer, rows: int, seen: Value, query: Value, scores: Value, changes: Value) -> None:
    """Rows of scores as weights, and of the changes g @ v.T as what a change of the unscaled scores would change.

    Args:
        k: what is written to.
        rows: how many.
        seen: keys of each.
        query: the number of the first, of all heads.
        scores: become weights.
        changes: become slopes.
    """
    lanes, wide = k.target.width, vector(k.target.width)
    scale = k.splat(k["scale"], lanes)
    with k.loop(0, rows, runs=True) as row:
        level, slope = (k.splat(k.load(k.at(k[name], query, row.index)), lanes) for name in ("level", "slope"))
        level = _finite(k, level)
        along = k.mul(row.index, k["row"])
        with k.loop(0, seen, step=BLOCK, runs=True) as block:
            for part in range(0, BLOCK, lanes):
                score, change = (k.at(each, along, block.index, part) for each in (scores, changes))
                weight = mathematics.exp(k, k.fsub(k.load(score, wide), level))
                k.store(weight, score)
                k.store(k.fmul(weight, k.fmul(k.fsub(k.load(change, wide), slope), scale)), change)


def _finite(k: Writer, level: Value) -> Value:
    """A level, or 0 where a query sees nothing: then all its weights are 0."""
    return k.select(k.compare("oeq", level, MINUS_INFINITY), 0.0, level)


def _larger(k: Writer, a: Value, b: Value) -> Value:
    """The larger, b where a is NaN: then the sum of exponentials is NaN all the same. One instruction on x86."""
    return k.select(k.compare("ogt", a, b), a, b)


def _highest(k: Writer, value: Value) -> Value:
    """The largest of all lanes."""
    lanes = k.target.width
    while lanes > 2:
        lanes //= 2
        value = _larger(k, *(k.shuffle(value, value, range(first, first + lanes)) for first in (0, lanes)))
    return _larger(k, k.lane(value, 0), k.lane(value, 1))
