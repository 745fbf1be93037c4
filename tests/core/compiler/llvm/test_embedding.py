"""The gradient of rows of a table."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm.elementwise import tile_for
from nasturtium.core.compiler.llvm.embedding import emit_row_gradient

from .fused import run, target


@pytest.mark.parametrize("channels", [1, 10, 64])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_rows_are_added_up(channels: int, count: int):
    rng = np.random.default_rng(0)
    numbers, g = rng.integers(0, 7, count), rng.normal(size=(count, channels)).astype(np.float32)
    expected = np.zeros((7, channels))
    np.add.at(expected, numbers, g)
    kept: list[bytes] = []
    for threads in (1, 2, 9):
        table = np.full((7, channels), np.nan, np.float32)
        slots = {"count": count, "rows": 7, "channels": channels, "numbers": numbers, "g": g, "g.row": channels}
        kernel = emit_row_gradient(target(), tile_for(target(), channels))
        run(kernel, {**slots, "table": table, "table.row": channels}, threads=threads)
        np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-5)
        kept.append(table.tobytes())
    assert kept[0] == kept[1] == kept[2]
