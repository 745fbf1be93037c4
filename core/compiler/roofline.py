"""`Roofline`: the most that one core of this machine does, measured once in a process in some ten milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from ..errors import CompileError

COPIED: Final = 24 << 20  # bytes: more than caches hold that one core fills
TURNS: Final = 100_000  # of the loop of multiply-adds: about a millisecond
REPEATS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """What bounds the kernels of one core.

    Attributes:
        flops: floating point operations a second, float32, two for a multiply-accumulate.
        bytes: to and from memory a second, by a copy: what is read and what is written both count.
        by: how it was measured.
    """

    flops: float
    bytes: float
    by: str

    @property
    def balance(self) -> float:
        """Operations a byte, from which on the arithmetic and not the memory is the bound."""
        return self.flops / self.bytes

    def seconds(self, flops: float, size: float) -> float:
        """The least time that so many operations on so many bytes take."""
        return max(flops / self.flops, size / self.bytes)

    def attainable(self, intensity: float) -> float:
        """The most operations a second at so many operations a byte."""
        return min(self.flops, self.bytes * intensity)


@cache
def machine_roofline() -> Roofline:
    """That of this machine, for one core; measured at the first call."""
    try:
        return _by_kernels()
    except CompileError:  # no native code here
        return _by_numpy()


def _by_kernels() -> Roofline:
    from .llvm import Pointer, Program, default_cache, default_pool
    from .llvm.formula import Formula
    from .llvm.fusion import fuse
    from .llvm.launch import Images
    from .llvm.peak import CHAINS, emit_peak
    from .llvm.program import call

    kernels, pool = default_cache(), default_pool()
    target = kernels.engine.target
    record = call(emit_peak(target), turns=TURNS, factor=0.999, result=Pointer("to"))
    arithmetic = Program([record], kernels, pool)
    formula = Formula()
    formula.store("to", formula.full("from"))
    rows, columns = COPIED // 4 // 1024, 1024
    whole = Images.matrix(rows, columns)
    copy = fuse(target, formula.pattern(), (1, 1, rows, columns), {"from": whole, "to": whole}).launch
    memory = Program([copy.call(**{"from": Pointer("from"), "to": Pointer("to")})], kernels, pool)
    source, result = np.ones(COPIED // 4 + 64, np.float32), np.ones(COPIED // 4 + 64, np.float32)
    for program in (arithmetic, memory):
        program.bind("from", source.ctypes.data, source)
        program.bind("to", result.ctypes.data, result)
    return Roofline(
        flops=2 * target.width * CHAINS * TURNS / _least(lambda: arithmetic.run(threads=1)),
        bytes=2 * COPIED / _least(lambda: memory.run(threads=1)),
        by=f"vectors of {target.width} float32",
    )


def _by_numpy() -> Roofline:
    size = 256
    a, b = np.ones((size, size), np.float32), np.ones((size, size), np.float32)
    out, source = np.empty_like(a), np.ones(COPIED // 4, np.float32)
    result = np.ones_like(source)
    return Roofline(
        flops=2 * size**3 / _least(lambda: np.matmul(a, b, out=out)),
        bytes=2 * COPIED / _least(lambda: np.copyto(result, source)),
        by="NumPy's product and copy",
    )


def _least(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: what the machine can do when nobody else is at it."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
