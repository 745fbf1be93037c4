"""Embedding: rows of a table by index."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..tensor import PLAIN, Tensor
from .compare import equal
from .elementwise import where
from .gather import take
from .shape import reshape


def embedding(weight: Tensor, indices: Any, *, padding: int | None = None) -> Tensor:
    """Rows of a table by index.

    Args:
        weight: shape (rows, features), floating.
        indices: integers in [0, rows), a tensor, array or nested list of any shape.
        padding: an index whose row gets no gradient: what fills up short sequences.

    Returns:
        Shape (*indices.shape, features). The gradient of `weight` is dense, and adds up in a fixed order.

    Raises:
        ShapeError: `weight` is no table, or an index is out of range (on a GPU, where looking would mean waiting, it is
            taken modulo the number of rows).
        DTypeError: the indices are not integers.
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected a table (rows, features), got shape {weight.shape}")
    indices = as_indices(indices, weight, op="embedding")
    if indices.__class__ in PLAIN and indices.device.kind == "cpu" and (indices.data < 0).any():
        raise ShapeError(f"embedding: expected indices in [0, {weight.shape[0]}), got {int(indices.data.min())}")
    rows: Tensor = take(weight, indices, axis=0)
    if padding is None:
        return rows
    from ..autograd import stop_gradient  # imports the ops

    return where(reshape(equal(indices, padding), shape=(*indices.shape, 1)), stop_gradient(rows), rows)


def as_indices(indices: Any, like: Tensor, *, op: str) -> Tensor:
    """Integers as a tensor on the device of `like`.

    Raises:
        DTypeError: they are not integers.
    """
    if not isinstance(indices, Tensor):
        indices = Tensor(like.device.put(indices if hasattr(indices, "dtype") else np.asarray(indices)))
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{op}: expected integers, got {indices.dtype}", hint="convert them with .astype('int64')")
    return indices
