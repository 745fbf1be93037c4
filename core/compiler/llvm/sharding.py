"""Gradients of weights by shards of the images: what keeps all threads busy where the weights are few.

Each shard has its own sum, in memory of its own, and these are added up in order afterwards. How many shards there are
follows from the sizes alone, so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from .formula import SHARDS
from .ir import FLOAT_BYTES, Value, Writer, vector
from .kernel import Kernel
from .launch import Launch
from .target import Target
from .tiling import LINE_FLOATS, slots_of

MOST_PARTIALS = 1 << 19  # floats of all shards together: more would cost more than they save
SHARD_NUMBERS = ("images", "group", "accumulate", "shards", "result_shard")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightGradient:
    """How the gradient of weights is computed.

    Attributes:
        launches: what runs first. Operands: `x`, `y` (the gradient of the output), `result`: if there are `partials`,
            these, else the gradient.
        partials: floats of memory for the sums of shards; 0: there are none.
        sums: what runs behind a barrier where there are. Operands: `partials`, `result`.
    """

    launches: tuple[Launch, ...]
    partials: int = 0
    sums: tuple[Launch, ...] = ()


def shards_for(items: int, images: int, size: int) -> int:
    """Into how many shards to cut.

    Args:
        items: pieces of the weights that threads could share.
        images: of the batch.
        size: of the weights in floats.
    """
    shards = min(SHARDS, images)
    return 1 if items >= SHARDS or shards * shard_size(size) > MOST_PARTIALS else shards


def shard_size(size: int) -> int:
    """Floats from one shard's sum to the next."""
    return -(-size // LINE_FLOATS) * LINE_FLOATS


def shard_numbers(*, images: int, group: int, shards: int, size: int, accumulate: bool) -> dict[str, int | float]:
    """The slots that `each_item` reads; where there are shards, their sums begin at zero."""
    return {
        "images": images,
        "group": group,
        "accumulate": int(accumulate and shards == 1),
        "shards": shards,
        "result_shard": shard_size(size),
    }


def each_item(
    k: Writer, items: Value, do: Callable[[Value, Value, Value, Value, Value], None], *, result: str = "result"
) -> None:
    """Write the loops over a thread's share of shards and items.

    Args:
        k: a writer with the slots SHARD_NUMBERS.
        items: of each shard.
        do: writes what is done with an item for a group of images; gets the item, the first image, the image behind
            the last, whether the sum begins at zero, and where the shard's result is.
        result: the slot that points to the results.
    """
    first, last = k.share(k.mul(k["shards"], items))
    with k.loop(k.div(first, items), k.div(k.add(last, k.sub(items, 1)), items)) as shard:
        before = k.mul(shard.index, items)
        lo, hi = k.most(k.sub(first, before), 0), k.least(k.sub(last, before), items)
        start, stop = (k.div(k.mul(k["images"], n), k["shards"]) for n in (shard.index, k.add(shard.index, 1)))
        place = k.at(k[result], k.mul(shard.index, k["result_shard"]))
        with k.loop(start, stop, step=k["group"]) as group:
            end = k.least(k.add(group.index, k["group"]), stop)
            begins = k.compare("eq", group.index, start)
            fresh = k.binary("and", begins, k.compare("eq", k["accumulate"], 0))
            with k.loop(lo, hi) as item:
                do(item.index, group.index, end, fresh, place)


def gradient_offsets(offsets: tuple[int, int, int], block: int, w_block: int, *, packed: bool) -> dict[str, int]:
    """Where the operands of a launch begin that computes the blocks of channels from one on.

    Args:
        offsets: of the input, the gradient of the output and the result.
        block: the first.
        w_block: from a block to the next in the result, in floats.
        packed: else the operands are named as those of the product x.T @ w = y.
    """
    x, y, result = offsets
    names = ("x", "y", "result") if packed else ("x", "w", "y")
    return dict(zip(names, (x, y + block * LINE_FLOATS, result + block * w_block), strict=True))


def planned(target: Target, launches: list[Launch], *, shards: int, size: int, accumulate: bool) -> WeightGradient:
    """The launches, and the sum of their shards if there are several."""
    if shards == 1:
        return WeightGradient(launches=tuple(launches))
    numbers: dict[str, int | float] = {
        "size": size,
        "shards": shards,
        "shard": shard_size(size),
        "accumulate": int(accumulate),
    }
    total = Launch(kernel=emit_sum_of_shards(target), numbers=numbers, offsets={"partials": 0, "result": 0})
    return WeightGradient(launches=tuple(launches), partials=shards * shard_size(size), sums=(total,))


@cache
def emit_sum_of_shards(target: Target) -> Kernel:
    """The kernel result[i] (+)= sum of partials[shard][i] over the shards in order.

    The slots: partials, result; size: of the result; shards; shard: from one to the next, in floats; accumulate: 1
    adds to what is in the result.
    """
    slots = slots_of(["partials", "result"], ["size", "shards", "shard", "accumulate"])
    k = Writer(f"sum_of_shards_v{target.width}", target, slots)
    lanes, wide = target.width, vector(target.width)
    lo, hi = k.share(k.div(k.add(k["size"], lanes - 1), lanes))
    keep = k.compare("ne", k["accumulate"], 0)
    with k.loop(lo, hi) as part:
        at = k.mul(part.index, lanes)
        mask = k.lanes_below(k.sub(k["size"], at), lanes)
        partials, result = k.at(k["partials"], at), k.at(k["result"], at)
        begin = k.select(keep, k.masked_load(result, wide, mask), 0.0)
        with k.loop(0, k["shards"], carried=[begin], runs=True) as shard:
            more = k.load(k.at(partials, k.mul(shard.index, k["shard"])), wide, align=FLOAT_BYTES)
            shard.carry(k.fadd(shard.values[0], more))
        k.masked_store(shard.results[0], result, mask)
    return k.kernel()
