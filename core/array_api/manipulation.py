"""Shapes changed, tensors joined and taken apart, elements picked by their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .. import ops
from ..errors import ConfigError
from ..shapes import broadcast_shapes as common_shape
from ..tensor import Tensor

Axes = int | tuple[int, ...]


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """Tensors repeated to the shape that all have in common."""
    return tuple(ops.broadcast_arrays(*arrays))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to; of none, that of a number."""
    return common_shape(*shapes, op="broadcast_shapes")


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """A tensor repeated to `shape`."""
    return ops.broadcast_to(x, shape=tuple(shape))


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Tensors joined along an existing axis; None flattens them first."""
    return ops.concat(arrays, axis=axis)


def expand_dims(x: Tensor, /, axis: Axes) -> Tensor:
    """New axes of length 1, which come to lie at `axis`."""
    return ops.expand_dims(x, axis=axis)


def flip(x: Tensor, /, *, axis: Axes | None = None) -> Tensor:
    """The elements in reverse order along `axis`, or along all axes."""
    return ops.flip(x, axis=axis)


def meshgrid(*arrays: Tensor, indexing: Literal["xy", "ij"] = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid; see `ops.meshgrid`."""
    return tuple(ops.meshgrid(*arrays, indexing=indexing))


def moveaxis(x: Tensor, source: Axes, destination: Axes, /) -> Tensor:
    """Some axes moved to other places, the others keeping their order."""
    return ops.moveaxis(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Axes in another order."""
    return ops.permute_dims(x, axes)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element several times in a row; None flattens first."""
    return ops.repeat(x, repeats, axis=axis)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """The same elements in another shape, in C order; one length may be -1.

    Args:
        x: any dtype.
        shape: of as many elements as `x`.
        copy: True copies always, None where it must, False never.

    Raises:
        ConfigError: `copy` is False and the elements do not lie in memory as the new shape wants them.
    """
    result = ops.reshape(x, shape=tuple(shape))
    if copy:
        return ops.positive(result)
    if copy is False and x.size and not x.device.xp.may_share_memory(_array_of(x), _array_of(result)):
        raise ConfigError(f"reshape: copy=False, but {x.shape} as it lies in memory cannot be seen as {tuple(shape)}")
    return result


def _array_of(x: Any) -> Any:
    """The array of a tensor; inside a transformation, of the tensor below."""
    while isinstance(x, Tensor):
        x = x.data
    return x


def roll(x: Tensor, /, shift: Axes, *, axis: Axes | None = None) -> Tensor:
    """The elements moved along `axis`, those that fall off the end coming in at the start; None flattens first."""
    return ops.roll(x, shift, axis=axis)


def squeeze(x: Tensor, /, axis: Axes) -> Tensor:
    """Without the axes `axis`, each of length 1."""
    return ops.squeeze(x, axis=axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    return ops.stack(arrays, axis=axis)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The parts of `x` at `indices` along `axis`, which may be left out where there is one axis only."""
    return ops.take(x, indices, axis=_only_axis(x, axis))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """One element of `x` for each index, found along `axis`."""
    return ops.take_along_axis(x, indices, axis=axis)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """The whole several times along each axis."""
    return ops.tile(x, repetitions)


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The lower triangles of matrices, zeros above diagonal `k`."""
    return ops.tril(x, k=k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The upper triangles of matrices, zeros below diagonal `k`."""
    return ops.triu(x, k=k)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along `axis`, which they no longer have."""
    return tuple(ops.unstack(x, axis=axis))


def _only_axis(x: Tensor, axis: int | None) -> int:
    if axis is not None:
        return axis
    if x.ndim != 1:
        raise ConfigError(f"take: expected `axis`, as the tensor has several axes: shape {x.shape}")
    return 0
