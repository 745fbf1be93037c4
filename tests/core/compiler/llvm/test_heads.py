"""Attention head by head, against NumPy's float64."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import KernelCache
from nasturtium.core.compiler.llvm.heads import Heads, HeadSizes, attend, attend_gradient
from nasturtium.core.compiler.llvm.target import WIDTHS

from .launching import BEHIND, assert_near, memory, run, target_of

SIZES = [  # batch, heads, queries, keys, features, values
    (2, 3, 64, 64, 32, 32),
    (1, 5, 1, 16, 16, 16),
    (3, 1, 7, 48, 16, 64),
    (2, 2, 100, 32, 48, 16),
    (1, 1, 5, 272, 16, 32),
]
NAMES = {"q": 0, "k": 1, "v": 2, "out": 0, "g": 0, "gq": 0, "gk": 1, "gv": 2}
SCALE = 0.375


CAUSAL = [(2, 3, 64, 64, 32, 32), (1, 2, 16, 16, 16, 48), (1, 1, 112, 112, 32, 16)]  # as many keys as queries


class Given:
    """Operands of one attention, heads taking turns in memory, and what NumPy makes of them."""

    def __init__(
        self, batch: int, heads: int, queries: int, keys: int, features: int, values: int, *, causal: bool = False
    ) -> None:
        self.sizes = HeadSizes(
            outer=batch, inner=heads, queries=queries, keys=keys, features=features, values=values, causal=causal
        )
        rng = np.random.default_rng(queries)
        rows = {"q": queries, "out": queries, "g": queries, "gq": queries}
        wide = {"v": values, "out": values, "g": values, "gv": values}
        self.shapes = {name: (batch, rows.get(name, keys), heads, wide.get(name, features)) for name in NAMES}
        self.floats = {name: memory(rng.standard_normal(shape).astype("f4")) for name, shape in self.shapes.items()}
        self.floats |= {name: memory(batch * heads * queries) for name in ("level", "slope")}
        self.lying = {
            name: Heads(0, rows * heads * columns, columns, heads * columns)
            for name, (_, rows, _, columns) in self.shapes.items()
        }

    def exact(self, name: str) -> np.ndarray:
        """An operand as float64, (batch, heads, rows, columns)."""
        shape = self.shapes[name]
        return self.floats[name][: np.prod(shape)].reshape(shape).transpose(0, 2, 1, 3).astype(np.float64)

    def of_queries(self, name: str) -> np.ndarray:
        """Numbers of queries, (batch, heads, queries)."""
        sizes = self.sizes
        count = sizes.outer * sizes.inner * sizes.queries
        return self.floats[name][:count].reshape(sizes.outer, sizes.inner, sizes.queries)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("sizes", "causal"), [*((each, False) for each in SIZES), *((each, True) for each in CAUSAL)])
def test_attention_and_its_gradients(kernel_cache: KernelCache, width: int, sizes: tuple[int, ...], causal: bool):
    """The same bits for any number of threads."""
    target, given = target_of(kernel_cache, width), Given(*sizes, causal=causal)
    kept: list[bytes] = []
    q, k, v, g = map(given.exact, ("q", "k", "v", "g"))
    scores = SCALE * q @ k.swapaxes(-1, -2)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    weights = powers / powers.sum(-1, keepdims=True)
    level = scores.max(-1) + np.log(powers.sum(-1))
    out = weights @ v
    inner = (g * out).sum(-1)
    slopes = SCALE * weights * (g @ v.swapaxes(-1, -2) - inner[..., None])
    expected = {"gq": slopes @ k, "gk": slopes.swapaxes(-1, -2) @ q, "gv": weights.swapaxes(-1, -2) @ g}
    forward = attend(target, given.sizes, {name: given.lying[name] for name in ("q", "k", "v", "out")}, scale=SCALE)
    names = ("q", "k", "v", "g", "gq", "gk", "gv")
    backward = attend_gradient(target, given.sizes, {name: given.lying[name] for name in names}, scale=SCALE)
    written = ("out", "level", "gq", "gk", "gv")
    for threads in (1, 2, 7):
        for name in written:
            given.floats[name][:-BEHIND] = np.nan
        run(kernel_cache, [forward], threads=threads, **given.floats)
        given.of_queries("slope")[...] = inner
        run(kernel_cache, [backward], threads=threads, **given.floats)
        kept.append(b"".join(given.floats[name].tobytes() for name in written))
    assert len(set(kept)) == 1
    terms = max(sizes[2:])
    assert_near(given.exact("out"), out, terms=terms)
    assert_near(given.of_queries("level"), level, terms=terms)
    for name, array in expected.items():
        assert_near(given.exact(name), array, terms=terms)


def test_a_query_that_sees_nothing_mixes_nothing(kernel_cache: KernelCache):
    """Scores that are all minus infinity; NaN stays with the queries that have it."""
    given = Given(1, 1, 3, 16, 16, 16)
    q, k = (given.floats[name][: np.prod(given.shapes[name])].reshape(-1, 16) for name in "qk")
    k[...] = np.inf
    q[0], q[1], q[2] = -1, 1, np.nan
    target = target_of(kernel_cache)
    launch = attend(target, given.sizes, {name: given.lying[name] for name in ("q", "k", "v", "out")}, scale=SCALE)
    run(kernel_cache, [launch], **given.floats)
    out, level = given.exact("out")[0, 0], given.of_queries("level")[0, 0]
    assert (out[0] == 0).all()
    assert level[0] == -np.inf
    assert np.isnan(out[1:]).all()
    assert np.isnan(level[1:]).all()
