"""A product of matrices in shared memory, for whatever can say where its elements are: products and convolutions.

The result (batch, M, N) is the sum over k of a(batch, m, k) b(batch, k, n). A block computes a tile of it, step by step
in k, every thread a few rows times a few columns in registers. Convolution is such a product whose a and b are read
through the window (implicit GEMM): no patches are ever in memory.

Where M and N are few and K is long, K is shared out over blocks; their parts are added in the order of k. All of it
depends on shapes alone.

Source: Chetlur et al. 2014, https://arxiv.org/abs/1410.0759.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .kernel import NAME, Kernel, Parameter, Tail, kernel
from .numbers import DType, c_type

DEPTH: Final = 16  # elements of k in a tile
ENOUGH: Final = 256  # blocks that keep a GPU busy
LEAST: Final = 256  # elements of k that a part has, at least
MOST_PARTS: Final = 64


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a product is shared out.

    Attributes:
        rows, columns: of a block's tile.
        per_thread: how many rows and columns of it a thread has.
        parts: of K.
    """

    rows: int
    columns: int
    per_thread: int
    parts: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows * self.columns // self.per_thread**2


def tiles_for(batch: int, m: int, n: int, k: int) -> Tiles:
    """Tiles that suit the lengths of a product."""
    rows, columns, each = (64, 64, 4) if m > 32 and n > 32 else (16, 64, 2) if n > m else (64, 16, 2)
    if max(m, n) <= 16:
        rows, columns, each = 16, 16, 1
    blocks = batch * _ceil(m, rows) * _ceil(n, columns)
    parts = max(1, min(ENOUGH // max(blocks, 1), k // LEAST, MOST_PARTS))
    return Tiles(rows, columns, each, parts)


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of a product: statements that return its element.

    Attributes:
        parameter: where it is read, as `x` in the statements.
        statements: over `batch`, and `m` and `k` or `k` and `n`, all in range; they end with a return.
        along_k: neighbouring threads read neighbouring k.
    """

    parameter: Parameter
    statements: Sequence[str]
    along_k: bool


def product(
    label: str,
    lengths: tuple[int, int, int, int],
    a: Side,
    b: Side,
    made: Parameter,
    tiles: Tiles,
    *,
    dtype: DType,
    offset: str,
    kind: str = "int",
    tail: Tail | None = None,
) -> Kernel:
    """The kernel of a product.

    Args:
        label: for people.
        lengths: batch, M, N and K.
        a, b: the operands.
        made: where the result goes; with parts, (parts, elements) of it.
        tiles: how it is shared out.
        dtype: of everything.
        offset: of an element of the result, over `batch`, `m` and `n`.
        kind: the type of indices.
        tail: what becomes of each element, in place of the result in memory; with one part.
    """
    batch, m, n, k = lengths
    element = c_type(dtype)
    functions = ""
    for name, side, first, second in (("a", a, "m", "k"), ("b", b, "k", "n")):
        body = "".join(f"    {line}\n" for line in side.statements)
        functions += (
            f"__device__ inline {element} {NAME}_{name}(const {c_type(side.parameter.dtype)}* __restrict__ x, "
            f"{kind} batch, {kind} {first}, {kind} {second}) {{\n    (void)batch;\n{body}}}\n"
        )
    rows, columns, each, threads = tiles.rows, tiles.columns, tiles.per_thread, tiles.threads
    part = _ceil(_ceil(k, tiles.parts), DEPTH) * DEPTH
    across = columns // each
    first, second = f"{NAME}_a({a.parameter.name}, batch", f"{NAME}_b({b.parameter.name}, batch"
    store = f"{made.name}[{offset}] = total[i][j];"
    if tiles.parts > 1:
        store = f"{made.name}[({kind})part * {batch * m * n} + ({offset})] = total[i][j];"
    elif tail is not None:
        store = tail.applied(offset, "total[i][j]", dtype)
    # Elements of a tile by threads, those side by side that lie side by side in memory.
    a_at = ("e / {d}", "e % {d}") if a.along_k else ("e % {r}", "e / {r}")
    b_at = ("e % {d}", "e / {d}") if b.along_k else ("e / {c}", "e % {c}")
    a_row, a_deep = (text.format(d=DEPTH, r=rows) for text in a_at)
    b_deep, b_column = (text.format(d=DEPTH, c=columns) for text in b_at)
    body = f"""
    __shared__ {element} left[{DEPTH}][{rows + 1}], right[{DEPTH}][{columns + 1}];
    const int t = threadIdx.x;
    const int part = blockIdx.z % {tiles.parts};
    const {kind} batch = blockIdx.z / {tiles.parts};
    const {kind} top = blockIdx.y * ({kind}){rows}, side = blockIdx.x * ({kind}){columns};
    const int own_row = t / {across}, own_column = t % {across};
    const {kind} start = ({kind})part * {part}, stop = min(start + {part}, ({kind}){k});
    {element} total[{each}][{each}];
    for (int i = 0; i < {each}; ++i)
        for (int j = 0; j < {each}; ++j) total[i][j] = 0;
    for ({kind} deep = start; deep < stop; deep += {DEPTH}) {{
        for (int e = t; e < {rows * DEPTH}; e += {threads}) {{
            const int i = {a_row}, j = {a_deep};
            left[j][i] = top + i < {m} && deep + j < stop ? {first}, top + i, deep + j) : 0;
        }}
        for (int e = t; e < {columns * DEPTH}; e += {threads}) {{
            const int i = {b_deep}, j = {b_column};
            right[i][j] = side + j < {n} && deep + i < stop ? {second}, deep + i, side + j) : 0;
        }}
        __syncthreads();
        for (int step = 0; step < {DEPTH}; ++step) {{
            {element} x[{each}], w[{each}];
            for (int i = 0; i < {each}; ++i) x[i] = left[step][own_row + i * {rows // each}];
            for (int j = 0; j < {each}; ++j) w[j] = right[step][own_column + j * {across}];
            for (int i = 0; i < {each}; ++i)
                for (int j = 0; j < {each}; ++j) total[i][j] += x[i] * w[j];
        }}
        __syncthreads();
    }}
    for (int i = 0; i < {each}; ++i)
        for (int j = 0; j < {each}; ++j) {{
            const {kind} m = top + own_row + i * {rows // each}, n = side + own_column + j * {across};
            if (m < {m} && n < {n}) {store}
        }}
"""
    grid = (_ceil(n, columns), _ceil(m, rows), batch * tiles.parts)
    parameters = [a.parameter, b.parameter, *([made] if tail is None else tail.parameters)]
    return kernel(label, parameters, body, grid=grid, block=(threads, 1, 1), functions=functions)


def finish(
    label: str,
    parts: int,
    elements: int,
    partial: Parameter,
    made: Parameter,
    *,
    dtype: DType,
    tail: Tail | None = None,
) -> Kernel:
    """Adds up the parts of a product.

    Args:
        label: for people.
        parts: how many.
        elements: of the result.
        partial: (parts, elements).
        made: (elements,).
        dtype: of both.
        tail: what becomes of each element, in place of the result in memory.
    """
    store = f"{made.name}[e] = total;" if tail is None else tail.applied("e", "total", dtype)
    parameters = [partial, *([made] if tail is None else tail.parameters)]
    body = f"""
    const long long e = blockIdx.x * 256ll + threadIdx.x;
    if (e >= {elements}) return;
    {c_type(dtype)} total = 0;
    for (int part = 0; part < {parts}; ++part) total += {partial.name}[part * {elements}ll + e];
    {store}
"""
    return kernel(label, parameters, body, grid=(_ceil(elements, 256), 1, 1), block=(256, 1, 1))


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
