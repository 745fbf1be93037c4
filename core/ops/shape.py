"""Ops that move elements without computing: reshape, transpose, broadcast, slicing, concatenation."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Sample, normal
from ..tensor import Tensor
from .declare import op, unbroadcast


@op(
    onnx="Reshape",
    reference=lambda x, shape: np.reshape(x, shape),
    vjp=(lambda g, y, x, shape: g.reshape(*x.shape),),
    samples=(
        Sample(normal(3, 4), shape=(2, 6)),
        Sample(normal(3, 4), shape=(-1,)),
        Sample(normal(), shape=(1, 1)),
        Sample(normal(0, 2), shape=(2, 0)),
    ),
    invalid=(Invalid(normal(3, 4), shape=(5,), error=ShapeError, match="reshape"),),
)
def reshape(xp: ArrayModule, x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape; one length may be -1."""
    return xp.reshape(x, shape)


@op(
    onnx="Transpose",
    reference=lambda x, axes: np.transpose(x, axes),
    vjp=(lambda g, y, x, axes: g.transpose(*(int(axis) for axis in np.argsort(axes))),),
    samples=(Sample(normal(3, 4), axes=(1, 0)), Sample(normal(2, 3, 4), axes=(2, 0, 1)), Sample(normal(), axes=())),
    invalid=(Invalid(normal(3, 4), axes=(0, 0), error=ShapeError, match="transpose"),),
)
def transpose(xp: ArrayModule, x: Array, *, axes: tuple[int, ...]) -> Array:
    """Axes in another order."""
    return xp.transpose(x, axes)


@op(
    onnx="Expand",
    reference=lambda x, shape: np.broadcast_to(x, shape),
    vjp=(lambda g, y, x, shape: unbroadcast(g, x),),
    samples=(
        Sample(normal(4), shape=(3, 4)),
        Sample(normal(3, 1), shape=(2, 3, 4)),
        Sample(normal(), shape=(2,)),
        Sample(normal(1, 2), shape=(0, 2)),
    ),
    invalid=(Invalid(normal(3), shape=(4,), error=ShapeError, match="broadcast"),),
)
def broadcast_to(xp: ArrayModule, x: Array, *, shape: tuple[int, ...]) -> Array:
    """Repeat along new axes and axes of length 1, without copying."""
    return xp.broadcast_to(x, shape)


def _getitem_vjp(g: Tensor, y: Tensor, x: Tensor, *, key: Any) -> Tensor:
    return place(g, shape=x.shape, key=key)


def _check_basic(key: Any) -> None:
    parts = key if isinstance(key, tuple) else (key,)
    if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        raise ShapeError(f"getitem: expected integers, slices, ... or None, got {key!r}")


@op(
    onnx="Slice",
    reference=lambda x, key: x[key],
    vjp=(_getitem_vjp,),
    samples=(
        Sample(normal(3, 4), key=1),
        Sample(normal(3, 4), key=(slice(None), slice(1, None, 2))),
        Sample(normal(2, 3, 4), key=(Ellipsis, None, -1)),
        Sample(normal(3), key=slice(0, 0)),
    ),
    invalid=(
        Invalid(normal(3), key=3, error=ShapeError, match="out of bounds"),
        Invalid(normal(3), key=[0, 1], error=ShapeError, match="expected integers"),
    ),
)
def getitem(xp: ArrayModule, x: Array, *, key: Any) -> Array:
    """A part of a tensor by integers and slices (basic indexing)."""
    _check_basic(key)
    return x[key]


def _place_reference(x: np.ndarray, shape: tuple[int, ...], key: Any) -> np.ndarray:
    flat = np.zeros(int(np.prod(shape)))
    flat[np.arange(flat.size).reshape(shape)[key].ravel()] = x.ravel()
    return flat.reshape(shape)


@op(
    reference=_place_reference,
    vjp=(lambda g, y, x, shape, key: g[key],),
    samples=(
        Sample(normal(4), shape=(3, 4), key=1),
        Sample(normal(3, 2), shape=(3, 4), key=(slice(None), slice(1, None, 2))),
        Sample(normal(), shape=(2,), key=0),
    ),
    invalid=(Invalid(normal(3), shape=(4,), key=slice(0, 2), error=ShapeError, match="place"),),
)
def place(xp: ArrayModule, x: Array, *, shape: tuple[int, ...], key: Any) -> Array:
    """Zeros of `shape` with `x` at `key`: the adjoint of `getitem`."""
    _check_basic(key)
    result = xp.zeros(shape, x.dtype)
    result[key] = x
    return result


def _concatenate_vjp(position: int, g: Tensor, y: Tensor, *inputs: Tensor, axis: int) -> Tensor:
    start = int(np.sum([tensor.shape[axis] for tensor in inputs[:position]], dtype=int))
    key: list[Any] = [slice(None)] * g.ndim
    key[axis] = slice(start, start + inputs[position].shape[axis])
    return g[tuple(key)]


@op(
    onnx="Concat",
    reference=lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    vjp=_concatenate_vjp,
    samples=(
        Sample(normal(2, 3), normal(4, 3), axis=0),
        Sample(normal(2, 3), normal(2, 1), normal(2, 2), axis=-1),
        Sample(normal(0, 2), normal(3, 2), axis=0),
    ),
    invalid=(Invalid(normal(2, 3), normal(2, 4), axis=0, error=ShapeError, match="concatenate"),),
)
def concatenate(xp: ArrayModule, *arrays: Array, axis: int = 0) -> Array:
    """Tensors joined along an existing axis."""
    return xp.concatenate(arrays, axis=axis)
