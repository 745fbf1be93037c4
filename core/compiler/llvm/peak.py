"""A kernel that does nothing but multiply-adds: the roof over all others."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .ir import FLOAT_BYTES, Writer, number, vector
from .kernel import Kernel, Slot
from .target import Target

CHAINS: Final = 12  # that do not wait for each other: a multiply-add takes 4 cycles, and two begin in each


@lru_cache(8)
def emit_peak(target: Target) -> Kernel:
    """`turns` times `CHAINS` multiply-adds of whole vectors, whose sum goes to `result`.

    Returns:
        Slots: `turns`; `factor`, a float32 of about 1; `result`, a vector.
    """
    slots = (Slot("turns", "i64"), Slot("factor", "f32"), Slot("result", "ptr"))
    k = Writer(f"peak_w{target.width}", target, slots)
    factor = k.splat(k["factor"], target.width)
    start = tuple(number(1.0 + chain / CHAINS, vector(target.width)) for chain in range(CHAINS))
    with k.loop(0, k["turns"], carried=start) as loop:
        loop.carry(*(k.fma(value, factor, factor) for value in loop.values))
    total, *others = loop.results
    for value in others:
        total = k.fadd(total, value)
    k.store(total, k["result"], align=FLOAT_BYTES)
    return k.kernel()
