"""Where elements are, as integers: places that are not zero, places in a flattened tensor, one-hot rows."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Flags, Invalid, Sample, booleans, integers, normal
from ..shapes import Spec, as_dtype, broadcast_shapes, normalize_axis
from .declare import discrete
from .grouping import wrapped


def _no_spec(x: Spec) -> Any:
    raise ShapeError("the shape of the result depends on the values")


def _nonzero_reference(x: np.ndarray) -> tuple[np.ndarray, ...]:
    found = [place for place in np.ndindex(x.shape) if x[place]]
    return tuple(np.array(found, np.int64).reshape(len(found), x.ndim).T)


@discrete(
    onnx="NonZero",
    infer=_no_spec,
    reference=_nonzero_reference,
    batch=lambda size, batched, x: None,  # data dependent ops are refused before
    per_sample=None,
    samples=(Sample(booleans(3, 4)), Sample(integers(3, 2, 3, 4)), Sample(booleans(5)), Sample(normal(0, 2))),
    invalid=(Invalid(booleans(), error=ShapeError, match="at least one axis"),),
    flags=Flags.DATA_DEPENDENT,
)
def nonzero(xp: ArrayModule, x: Array) -> tuple[Array, ...]:
    """The places of the elements that are not zero (or are true): one int64 tensor per axis of `x`, each of shape
    (count,), in C order. The result's shape depends on the values, so it is refused inside `vmap`.
    """
    if not x.ndim:
        raise ShapeError("nonzero: expected at least one axis")
    return tuple(part.astype(np.int64, copy=False) for part in xp.nonzero(x))


@discrete(
    infer=_no_spec,
    reference=lambda x: np.array([i for i, element in enumerate(x.ravel()) if element], np.int64),
    batch=lambda size, batched, x: None,  # data dependent ops are refused before
    per_sample=None,
    samples=(Sample(booleans(3, 4)), Sample(booleans()), Sample(normal(0, 2))),
    flags=Flags.DATA_DEPENDENT,
)
def flat_nonzero(xp: ArrayModule, x: Array) -> Array:
    """The places in the flattened `x` of the elements that are not zero (or are true): int64, shape (count,)."""
    return xp.nonzero(x.reshape(-1))[0].astype(np.int64, copy=False)


def _ravel_spec(*indices: Spec, shape: tuple[int, ...]) -> Spec:
    if len(indices) != len(shape):
        raise ShapeError(f"ravel_index: expected one tensor of indices for each axis of {shape}")
    if any(spec.dtype.kind not in "iu" for spec in indices):
        raise DTypeError("ravel_index: expected integers")
    return Spec(broadcast_shapes(*(spec.shape for spec in indices), op="ravel_index"), as_dtype("int64"))


@discrete(
    infer=_ravel_spec,
    reference=lambda *indices, shape: np.ravel_multi_index(np.broadcast_arrays(*indices), shape),
    samples=(
        Sample(integers(3, 5), integers(4, 5), shape=(3, 4)),
        Sample(integers(3, 2, 1), integers(4, 5), shape=(3, 4)),
        Sample(integers(3), integers(4), shape=(3, 4)),
        Sample(integers(3, 0), integers(4), shape=(3, 4)),
    ),
    invalid=(
        Invalid(integers(9, 20), integers(2, 20), shape=(2, 2), error=ShapeError, match="index 8 is out of bounds"),
        Invalid(integers(2, 3), integers(2, 2), shape=(2, 2), error=ShapeError, match="ravel_index"),
        Invalid(integers(2, 3), normal(3), shape=(2, 2), error=DTypeError, match="expected integers"),
        Invalid(integers(2, 3), integers(2, 3), shape=(2,), error=ShapeError, match="for each axis"),
    ),
)
def ravel_index(xp: ArrayModule, *indices: Array, shape: tuple[int, ...]) -> Array:
    """Places in a tensor of `shape`, given by one integer per axis, as places in the flattened tensor.

    Args:
        indices: integers in [-length, length), one tensor per axis; they broadcast.
        shape: the tensor's, a length per axis.

    Raises:
        ShapeError: out of bounds. On a GPU, where looking would mean waiting, integers are taken modulo the length.
    """
    total = 0
    try:
        for item, length in zip(indices, shape, strict=True):
            total = total * length + wrapped(xp, item, length, op="ravel_index")
    except ValueError:
        _ravel_spec(*(Spec(item.shape, item.dtype) for item in indices), shape=shape)
        raise
    return total


def _one_hot_spec(indices: Spec, *, num_classes: int, axis: int, dtype: str) -> Spec:
    if indices.dtype.kind not in "iu":
        raise DTypeError("one_hot: expected integers", hint="labels as integers: labels.astype('int64')")
    shape = list(indices.shape)
    shape.insert(normalize_axis(axis, len(shape) + 1, op="one_hot"), num_classes)
    return Spec(tuple(shape), as_dtype(dtype))


def _one_hot_batch(size: int, batched: Sequence[bool], indices: Any, *, num_classes: int, axis: int, dtype: str) -> Any:
    return one_hot(indices, num_classes=num_classes, axis=axis % len(indices.shape) + 1, dtype=dtype)


@discrete(
    onnx="OneHot",
    infer=_one_hot_spec,
    reference=lambda indices, num_classes, axis, dtype: np.moveaxis(np.eye(num_classes)[indices], -1, axis),
    batch=_one_hot_batch,
    per_sample=lambda carries, indices, num_classes, axis, dtype: axis % (indices.ndim + 1) != 0,
    samples=(
        Sample(integers(4, 5), num_classes=4, axis=-1, dtype="float32"),
        Sample(integers(4, 2, 3), num_classes=5, axis=1, dtype="float64"),
        Sample(integers(4), num_classes=4, axis=0, dtype="bool"),
        Sample(integers(4, 0), num_classes=4, axis=-1, dtype="int64"),
    ),
    invalid=(
        Invalid(integers(9, 20), num_classes=3, axis=-1, dtype="float32", error=ShapeError, match="class 8 of 3"),
        Invalid(normal(3), num_classes=3, axis=-1, dtype="float32", error=DTypeError, match="expected integers"),
        Invalid(integers(3, 3), num_classes=3, axis=2, dtype="float32", error=ShapeError, match="axis 2"),
    ),
)
def one_hot(xp: ArrayModule, indices: Array, *, num_classes: int, axis: int = -1, dtype: str = "float32") -> Array:
    """1 at the class that each index names, 0 at the others, along a new axis.

    Args:
        indices: integers in [0, num_classes).
        num_classes: length of the new axis.
        axis: where it comes to lie.
        dtype: of the result, by name.

    Raises:
        ShapeError: an index is out of bounds. On a GPU, where looking would mean waiting, its row is all zeros.
    """
    target = _one_hot_spec(Spec(indices.shape, indices.dtype), num_classes=num_classes, axis=axis, dtype=dtype)
    if xp is np and indices.size and not (indices.min() >= 0 and indices.max() < num_classes):
        wrong = indices.max() if indices.max() >= num_classes else indices.min()
        raise ShapeError(f"one_hot: an index names class {wrong} of {num_classes}: expected [0, {num_classes})")
    axis = axis % len(target.shape)
    classes = xp.arange(num_classes).reshape(num_classes, *(1,) * (len(target.shape) - axis - 1))
    return (xp.expand_dims(indices, axis) == classes).astype(target.dtype)
