"""How many threads a launch has: blocks in the grid, threads in a block."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError

# The same on every GPU since compute capability 3.0 (CUDA C++ Programming Guide, technical specifications).
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
MAX_THREADS = 1024  # in one block
BLOCK = 256  # threads per block where nothing speaks for another number

Extent = int | Sequence[int]


def blocks_for(threads: int, block: int = BLOCK) -> int:
    """The number of blocks of `block` threads that hold at least `threads` > 0, within what a grid can have."""
    return min(-(-threads // block), MAX_GRID[0])


def check_launch(owner: str, grid: Extent, block: Extent, shared_bytes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check the geometry of a launch; gives grid and block with all three axes.

    Raises:
        ConfigError: an extent is below 1 or above what a GPU can do.
    """
    full_grid, full_block = _three(grid), _three(block)
    threads = full_block[0] * full_block[1] * full_block[2]
    for what, extents, limits in (("grid", full_grid, MAX_GRID), ("block", full_block, MAX_BLOCK)):
        if len(extents) != 3 or not all(1 <= extent <= limit for extent, limit in zip(extents, limits, strict=True)):
            raise ConfigError(f"{owner}: expected a {what} from 1 to {limits} along up to three axes, got {extents}")
    if threads > MAX_THREADS:
        raise ConfigError(f"{owner}: a block has at most {MAX_THREADS} threads, got {full_block}, {threads} threads")
    if shared_bytes < 0:
        raise ConfigError(f"{owner}: expected shared_bytes >= 0, got {shared_bytes}")
    return full_grid, full_block


def _three(extent: Extent) -> tuple[int, ...]:
    extents = (extent,) if isinstance(extent, int) else tuple(extent)
    return extents + (1,) * (3 - len(extents))
