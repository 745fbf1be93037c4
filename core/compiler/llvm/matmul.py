"""Matrix products as launches of tile kernels: of weights that are packed, and of batches of matrices as they lie.

A linear layer is a pointwise convolution over one image of one row, a pixel per example: `convolution.forward`,
`convolution.input_gradient` and `weight_gradient.weight_gradient` with `linear(inputs, outputs)` and `Images.matrix`.
Products of matrices that change in every step (attention) read both sides where they are; only the right side of
a @ b.T is packed first.
"""

from __future__ import annotations

from typing import Literal

from .geometry import Convolution
from .launch import Images, Launch
from .packing import pack_transposed
from .target import Target
from .tile import BLOCK
from .tile_launch import Taps, blocks_of, tile_launches
from .tiling import PLAIN, Epilogue
from .weight_gradient import transposed_product

DEEP = 256  # rows of a and b: more are gone through in pieces

Form = Literal["nn", "tn", "nt"]


def linear(inputs: int, outputs: int) -> Convolution:
    """A linear layer as a convolution."""
    return Convolution(inputs=inputs, outputs=outputs)


def matrices(count: int, rows: int, columns: int, *, step: int | None = None, stride: int | None = None) -> Images:
    """Matrices of one shape: images of one row.

    Args:
        count: of matrices.
        rows: of each.
        columns: of each; adjacent.
        step: from a matrix to the next, in floats; default: without a gap.
        stride: from a row to the next; default: without a gap.
    """
    stride = columns if stride is None else stride
    step = rows * stride if step is None else step
    return Images(
        count=count,
        height=1,
        width=rows,
        channels=columns,
        image=step,
        row=rows * stride,
        pixel=stride,
        size=count * step,
    )


def multiply(
    target: Target,
    form: Form,
    a: Images,
    b: Images,
    c: Images,
    *,
    threads: int = 1,
    epilogue: Epilogue = PLAIN,
    others: dict[str, Images] | None = None,
) -> list[Launch]:
    """The launches of c = a @ b ("nn"), a.T @ b ("tn") or a @ b.T ("nt"), for each matrix of the batch.

    Operands: `x` (a), `w` (b, or for "nt" what `pack_right` makes of it), `y` (c), and those of the epilogue.

    Args:
        target: the CPU.
        form: which side is transposed.
        a: (rows, depth), or (depth, rows) for "tn".
        b: (depth, columns), or (columns, depth) for "nt".
        c: (rows, columns).
        threads: that will run them, for the size of the pieces that they share. The results do not depend on it.
        epilogue: what is done to the sums; `bias` is per column, the same for all matrices.
        others: of `mask` and `add`, how they lie; default: like `c`.
    """
    if form == "tn" and c.count == 1 and epilogue == PLAIN and a.width > DEEP:
        return transposed_product(target, a, b, c, threads=threads)
    depth = a.width if form == "tn" else a.channels
    if form == "nt":
        block, image = depth * BLOCK, blocks_of(b.width) * depth * BLOCK
    else:
        block, image = BLOCK, b.image
    steps = {"nn": (1, b.pixel), "tn": (a.pixel, b.pixel), "nt": None}[form]
    taps = Taps(rows=1, columns=1, depth=depth, x_row=0, x_column=0, w_block=block, w_row=0, w_column=0, w_image=image)
    return tile_launches(
        target,
        taps,
        x_strides=(a.image, a.row, 1 if form == "tn" else a.pixel),
        x_start=a.origin,
        w_start=0 if form == "nt" else b.origin,
        y=c,
        epilogue=epilogue,
        others=others,
        steps=steps,
    )


def pack_right(target: Target, b: Images) -> Launch:
    """The launch that packs the right side of a @ b.T. Operands: `source` (b), `result`, `packed_right_size` floats."""
    return pack_transposed(
        target, rows=b.width, columns=b.channels, stride=b.pixel, matrices=b.count, step=b.image, start=b.origin
    )


def packed_right_size(b: Images) -> int:
    """Floats of a packed right side."""
    return b.count * blocks_of(b.width) * b.channels * BLOCK
