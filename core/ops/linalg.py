"""Matrix products."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Sample, normal
from .declare import op, unbroadcast


@op(
    onnx="MatMul",
    reference=lambda a, b: np.einsum("...ij,...jk->...ik", a, b),
    vjp=(lambda g, y, a, b: unbroadcast(g @ b.T, a), lambda g, y, a, b: unbroadcast(a.T @ g, b)),
    samples=(
        Sample(normal(3, 4), normal(4, 2)),
        Sample(normal(5, 3, 4), normal(4, 2)),
        Sample(normal(2, 1, 3, 4), normal(5, 4, 2)),
        Sample(normal(0, 4), normal(4, 2)),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(3, 4), error=ShapeError, match="inner sizes differ"),
        Invalid(normal(4), normal(4, 2), error=ShapeError, match="at least two axes"),
    ),
)
def matmul(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Matrix product over the last two axes, (..., m, k) @ (..., k, n); leading axes broadcast."""
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(
            f"matmul: expected at least two axes, got {a.shape} @ {b.shape}", hint="reshape a vector to a matrix"
        )
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: inner sizes differ: expected a.shape[-1] == b.shape[-2], got {a.shape} @ {b.shape}",
            hint="transpose the second operand, or check the layer's `in_features`",
        )
    return xp.matmul(a, b)
