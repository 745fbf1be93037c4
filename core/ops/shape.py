"""The shape of a tensor and its parts: reshape, transpose, broadcast, slice, join; nothing is computed."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..device import device as resolve
from ..errors import BoundsError, ConfigError, ShapeError
from ..op import Flags, Invalid, Jvp, Sample, everywhere, normal
from ..shapes import Spec, broadcast_shapes, normalize_axes, normalize_axis, result_dtype
from .declare import op, sum_to


def _reshape_spec(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    known = int(np.prod([length for length in shape if length != -1], dtype=np.int64))
    missing = sum(length == -1 for length in shape)
    if missing == 1 and known and x.size % known == 0:
        return Spec(tuple(x.size // known if length == -1 else int(length) for length in shape), x.dtype)
    if missing or known != x.size or any(length < 0 for length in shape):
        raise ShapeError(f"reshape: expected {x.size} elements in all, as in {x.shape}, got the shape {tuple(shape)}")
    return Spec(tuple(int(length) for length in shape), x.dtype)


@op(
    onnx="Reshape",
    infer=_reshape_spec,
    reference=lambda x, shape: np.reshape(x, shape),
    vjp=(lambda g, y, x, shape: reshape(g, shape=x.shape),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, shape: reshape(x, shape=(size, *_reshape_spec(_inner(x), shape=shape).shape)),
    per_sample=lambda carries, x, shape: (
        x.ndim > 0 and bool(shape) and _reshape_spec(x, shape=shape).shape[0] == x.shape[0]
    ),
    samples=(
        Sample(normal(3, 4), shape=(2, 6)),
        Sample(normal(3, 4), shape=(3, 2, 2)),
        Sample(normal(3, 4), shape=(-1,)),
        Sample(normal(), shape=(1, 1)),
        Sample(normal(0, 2), shape=(2, 0)),
    ),
    invalid=(Invalid(normal(3, 4), shape=(5,), error=ShapeError, match="reshape: expected 12 elements"),),
    flags=Flags.VIEW,
)
def reshape(xp: ArrayModule, x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape, in C order; one length may be -1."""
    return x.reshape(shape)


def _inner(x: Any) -> Spec:
    """The spec of one element of a batch."""
    return Spec(tuple(x.shape[1:]), x.dtype)


def _transpose_spec(x: Spec, *, axes: tuple[int, ...]) -> Spec:
    if sorted(axis % x.ndim if -x.ndim <= axis < x.ndim else -1 for axis in axes) != list(range(x.ndim)):
        raise ShapeError(f"transpose: expected each of the {x.ndim} axes of {x.shape} once, got {tuple(axes)}")
    return Spec(tuple(x.shape[axis] for axis in axes), x.dtype)


@op(
    onnx="Transpose",
    infer=_transpose_spec,
    reference=lambda x, axes: np.transpose(x, axes),
    vjp=(lambda g, y, x, axes: transpose(g, axes=_inverse(axes)),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, axes: transpose(x, axes=(0, *(axis % len(axes) + 1 for axis in axes))),
    per_sample=lambda carries, x, axes: bool(axes) and axes[0] % x.ndim == 0,
    samples=(
        Sample(normal(3, 4), axes=(1, 0)),
        Sample(normal(2, 3, 4), axes=(2, 0, 1)),
        Sample(normal(2, 3, 4), axes=(0, -1, 1)),
        Sample(normal(), axes=()),
    ),
    invalid=(Invalid(normal(3, 4), axes=(0, 0), error=ShapeError, match="transpose"),),
    flags=Flags.VIEW,
)
def transpose(xp: ArrayModule, x: Array, *, axes: tuple[int, ...]) -> Array:
    """Axes in another order."""
    return x.transpose(axes)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(axes)
    return tuple(sorted(range(rank), key=[axis % rank for axis in axes].__getitem__))


@op(
    onnx="Identity",
    infer=lambda x: x,
    reference=lambda x: x,
    vjp=(lambda g, y, x: g,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x: x,
    per_sample=everywhere,
    samples=(Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 2))),
    flags=Flags.VIEW,
)
def alias(xp: ArrayModule, x: Array) -> Array:
    """The same elements under a node of their own: a variable to differentiate by."""
    return x


@op(
    infer=lambda x, device, source: x,
    reference=lambda x, device, source: x,
    vjp=(lambda g, y, x, device, source: to_device(g, device=source, source=device),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, device, source: to_device(x, device=device, source=source),
    per_sample=everywhere,
    samples=(
        Sample(normal(3, 4), device="cpu", source="cpu"),
        Sample(normal(), device="cpu", source="cpu"),
        Sample(normal(0, 2), device="cpu", source="cpu"),
    ),
    flags=Flags.VIEW,
)
def to_device(xp: ArrayModule, x: Array, *, device: str, source: str) -> Array:
    """The same elements on another device, from the device `source`; gradients move back."""
    return resolve(device).put(x)


def swap_last(x: Any) -> Any:
    """The last two axes exchanged: the transposes of the matrices in a stack."""
    rank = len(x.shape)
    if rank >= 2 and x.__class__ is np.ndarray:
        return x.swapaxes(-2, -1)
    if rank < 2:
        raise ShapeError(f"T: expected at least two axes, got shape {x.shape}")
    return transpose(x, axes=(*range(rank - 2), rank - 1, rank - 2))


def move_axis(x: Any, source: int, destination: int) -> Any:
    """One axis moved to another place, the others keeping their order."""
    rank = len(x.shape)
    source = normalize_axis(source, rank, op="move_axis")
    order = [axis for axis in range(rank) if axis != source]
    order.insert(normalize_axis(destination, rank, op="move_axis"), source)
    return x if order == list(range(rank)) else transpose(x, axes=tuple(order))


def _broadcast_spec(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    lead = len(shape) - x.ndim
    if lead < 0 or any(a not in (1, b) for a, b in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(f"broadcast_to: a tensor of shape {x.shape} does not broadcast to {tuple(shape)}")
    return Spec(tuple(shape), x.dtype)


def _broadcast_batch(size: int, batched: Sequence[bool], x: Any, *, shape: tuple[int, ...]) -> Any:
    lead = len(shape) - (len(x.shape) - 1)
    return broadcast_to(reshape(x, shape=(size, *(1,) * lead, *x.shape[1:])), shape=(size, *shape))


@op(
    onnx="Expand",
    infer=_broadcast_spec,
    reference=lambda x, shape: np.broadcast_to(x, shape),
    vjp=(lambda g, y, x, shape: sum_to(g, x.shape),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_broadcast_batch,
    per_sample=lambda carries, x, shape: x.ndim == len(shape) and x.ndim > 0 and x.shape[0] == shape[0],
    samples=(
        Sample(normal(4), shape=(3, 4)),
        Sample(normal(3, 1), shape=(2, 3, 4)),
        Sample(normal(3, 1), shape=(3, 4)),
        Sample(normal(), shape=(2,)),
        Sample(normal(1, 2), shape=(0, 2)),
    ),
    invalid=(Invalid(normal(3), shape=(4,), error=ShapeError, match="broadcast"),),
    flags=Flags.VIEW,
)
def broadcast_to(xp: ArrayModule, x: Array, *, shape: tuple[int, ...]) -> Array:
    """Repeat along new axes and axes of length 1; without copying, but for small results."""
    if prod(shape) > _SMALL or x.ndim > len(shape):
        return xp.broadcast_to(x, shape)
    copy = xp.empty(shape, x.dtype)
    copy[...] = x
    return copy


_SMALL = 4096  # elements; arithmetic with repeated memory costs NumPy more (0.8 us against 0.3) than one copy


def is_basic(key: Any) -> bool:
    """Whether a key is made of integers, slices, ... and None alone, so that it selects a view."""
    if key.__class__ is not tuple:
        return key.__class__ in _BASIC
    for part in key:  # noqa: SIM110 - a third of the time that all() takes
        if part.__class__ not in _BASIC:
            return False
    return True


_BASIC = frozenset({int, slice, type(None), type(Ellipsis)})


def _check_basic(key: Any, *, op: str) -> None:
    if not is_basic(key):
        raise ShapeError(
            f"{op}: expected integers, slices, ... or None, got {key!r}",
            hint="use ops.index(x, key), or x[key], for other indices",
        )


def _getitem_spec(x: Spec, *, key: Any) -> Spec:
    _check_basic(key, op="getitem")
    try:
        return Spec(np.broadcast_to(np.empty((), np.bool_), x.shape)[key].shape, x.dtype)
    except IndexError as exc:
        raise BoundsError(f"getitem: {exc}; the tensor has shape {x.shape}, the key is {key!r}") from exc


def _getitem_keeps_samples(carries: Sequence[bool], x: Spec, *, key: Any) -> bool:
    first = key[0] if isinstance(key, tuple) and key else key
    if first is Ellipsis:
        rest = key[1:] if isinstance(key, tuple) else ()
        return sum(part is not None for part in rest) < x.ndim
    return isinstance(first, slice) and first == slice(None)


@op(
    onnx="Slice",
    infer=_getitem_spec,
    reference=lambda x, key: x[key],
    vjp=(lambda g, y, x, key: place(g, shape=x.shape, key=key),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, key: getitem(x, key=_behind(key)),
    per_sample=_getitem_keeps_samples,
    samples=(
        Sample(normal(3, 4), key=1),
        Sample(normal(3, 4), key=(slice(None), slice(1, None, 2))),
        Sample(normal(3, 4), key=(slice(None, None, -1), slice(None))),
        Sample(normal(2, 3, 4), key=(Ellipsis, None, -1)),
        Sample(normal(3), key=slice(0, 0)),
    ),
    invalid=(
        Invalid(normal(3), key=3, error=ShapeError, match="out of bounds"),
        Invalid(normal(3), key=[0, 1], error=ShapeError, match="expected integers"),
    ),
    flags=Flags.VIEW,
)
def getitem(xp: ArrayModule, x: Array, *, key: Any) -> Array:
    """A part of a tensor by integers and slices (basic indexing)."""
    _check_basic(key, op="getitem")
    return x[key]


def _behind(key: Any) -> tuple[Any, ...]:
    """The same key for every element of a batch."""
    return (slice(None), *(key if isinstance(key, tuple) else (key,)))


def _place_reference(x: np.ndarray, shape: tuple[int, ...], key: Any) -> np.ndarray:
    flat = np.zeros(int(np.prod(shape)))
    flat[np.arange(flat.size).reshape(shape)[key].ravel()] = x.ravel()
    return flat.reshape(shape)


def _place_spec(x: Spec, *, shape: tuple[int, ...], key: Any) -> Spec:
    room = _getitem_spec(Spec(shape, x.dtype), key=key).shape
    if x.shape != room:
        raise ShapeError(f"place: the key leaves room for {room} in {shape}, got a tensor of shape {x.shape}")
    return Spec(shape, x.dtype)


@op(
    infer=_place_spec,
    reference=_place_reference,
    vjp=(lambda g, y, x, shape, key: getitem(g, key=key),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, shape, key: place(x, shape=(size, *shape), key=_behind(key)),
    per_sample=lambda carries, x, shape, key: _getitem_keeps_samples(carries, Spec(shape, x.dtype), key=key),
    samples=(
        Sample(normal(4), shape=(3, 4), key=1),
        Sample(normal(3, 2), shape=(3, 4), key=(slice(None), slice(1, None, 2))),
        Sample(normal(), shape=(2,), key=0),
    ),
    invalid=(Invalid(normal(3), shape=(4,), key=slice(0, 2), error=ShapeError, match="place"),),
    flags=Flags.HALF,
)
def place(xp: ArrayModule, x: Array, *, shape: tuple[int, ...], key: Any) -> Array:
    """Zeros of `shape` with `x` at `key`: the adjoint of `getitem`."""
    _check_basic(key, op="place")
    result = xp.zeros(shape, x.dtype)
    result[key] = x
    return result


def _replace_spec(x: Spec, value: Spec, *, key: Any) -> Spec:
    room = _getitem_spec(x, key=key).shape
    if value.shape and broadcast_shapes(value.shape, room, op="replace") != room:
        raise ShapeError(f"replace: the key leaves room for {room}")
    return x


def _replace_vjp(g: Any, y: Any, x: Any, value: Any, *, key: Any) -> Any:
    return replace(g, 0.0, key=key)


def _replace_batch(size: int, batched: Sequence[bool], x: Any, value: Any, *, key: Any) -> Any:
    if not batched[0]:
        x = broadcast_to(x, shape=(size, *x.shape))
    if batched[1]:
        missing = len(_getitem_spec(_inner(x), key=key).shape) - len(value.shape) + 1
        value = reshape(value, shape=(size, *(1,) * missing, *value.shape[1:]))
    return replace(x, value, key=_behind(key))


def _replace_keeps_samples(carries: Sequence[bool], x: Spec, value: Spec, *, key: Any) -> bool:
    room = _getitem_spec(x, key=key).shape
    aligned = value.ndim == len(room) if carries[1] else value.ndim < len(room) or value.shape[0] == 1
    return carries[0] and _getitem_keeps_samples((True,), x, key=key) and aligned


def _replace_reference(x: np.ndarray, value: np.ndarray, key: Any) -> np.ndarray:
    flat, places = x.flatten(), np.arange(x.size).reshape(x.shape)[key]
    for place, element in zip(places.ravel(), np.broadcast_to(value, places.shape).ravel(), strict=True):
        flat[place] = element
    return flat.reshape(x.shape)


@op(
    infer=_replace_spec,
    reference=_replace_reference,
    vjp=(
        _replace_vjp,
        lambda g, y, x, value, key: sum_to(getitem(g, key=key), value.shape),
    ),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_replace_batch,
    per_sample=_replace_keeps_samples,
    samples=(
        Sample(normal(3, 4), normal(4), key=1),
        Sample(normal(3, 4), normal(3, 2), key=(slice(None), slice(1, None, 2))),
        Sample(normal(3, 4), normal(), key=(slice(None, None, -1), slice(0, 2))),
        Sample(normal(2, 3, 4), normal(3, 1), key=(Ellipsis, slice(1, 3))),
        Sample(normal(3), normal(0), key=slice(0, 0)),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(3), key=1, error=ShapeError, match="replace"),
        Invalid(normal(4), normal(1, 2), key=slice(0, 2), error=ShapeError, match=r"room for \(2,\)"),
    ),
    flags=Flags.HALF,
)
def replace(xp: ArrayModule, x: Array, value: Array, *, key: Any) -> Array:
    """A copy of `x` with `value` at `key`, converted to the dtype of `x` and broadcast."""
    _check_basic(key, op="replace")
    result = xp.array(x)
    if getattr(value, "ndim", 0) > result[key].ndim:  # NumPy would drop leading axes of length 1
        _replace_spec(Spec(x.shape, x.dtype), Spec(value.shape, value.dtype), key=key)
    result[key] = value
    return result


def _concatenate_vjp(g: Any, y: Any, *inputs: Any, axis: int) -> tuple[Any, ...]:
    rank = len(g.shape)
    lengths = [tensor.shape[axis] for tensor in inputs]
    ends = np.cumsum(lengths)
    before = (slice(None),) * (axis % rank)
    return tuple(
        getitem(g, key=(*before, slice(int(end) - length, int(end)))) for end, length in zip(ends, lengths, strict=True)
    )


def _concatenate_spec(*inputs: Spec, axis: int) -> Spec:
    if not inputs:
        raise ShapeError("concatenate: expected at least one tensor, got none")
    rank = inputs[0].ndim
    axis = normalize_axis(axis, rank, op="concatenate")
    rests = {(*spec.shape[:axis], *spec.shape[axis + 1 :]) for spec in inputs}
    if len(rests) != 1 or any(spec.ndim != rank for spec in inputs):
        shown = ", ".join(str(spec.shape) for spec in inputs)
        raise ShapeError(f"concatenate: expected equal shapes but for axis {axis}, got {shown}")
    shape = list(inputs[0].shape)
    shape[axis] = sum(spec.shape[axis] for spec in inputs)
    return Spec(tuple(shape), result_dtype(*(spec.dtype for spec in inputs)))


def _concatenate_batch(size: int, batched: Sequence[bool], *inputs: Any, axis: int) -> Any:
    spread = [
        item if flag else broadcast_to(item, shape=(size, *item.shape))
        for item, flag in zip(inputs, batched, strict=True)
    ]
    return concatenate(*spread, axis=axis % (len(spread[0].shape) - 1) + 1)


@op(
    onnx="Concat",
    infer=_concatenate_spec,
    reference=lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    vjp=_concatenate_vjp,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_concatenate_batch,
    per_sample=lambda carries, *inputs, axis: all(carries) and axis % inputs[0].ndim != 0,
    samples=(
        Sample(normal(2, 3), normal(4, 3), axis=0),
        Sample(normal(2, 3), normal(2, 1), normal(2, 2), axis=-1),
        Sample(normal(0, 2), normal(3, 2), axis=0),
    ),
    invalid=(Invalid(normal(2, 3), normal(2, 4), axis=0, error=ShapeError, match="concatenate"),),
    flags=Flags.HALF,
)
def concatenate(xp: ArrayModule, *arrays: Array, axis: int = 0) -> Array:
    """Tensors joined along an existing axis."""
    dtype = result_dtype(*arrays)
    return xp.concatenate([array.astype(dtype, copy=False) for array in arrays], axis=axis)


def concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
    """Tensors joined along an existing axis; with `axis=None` all are flattened first."""
    if axis is None:
        return concatenate(*(reshape(array, shape=(-1,)) for array in arrays), axis=0)
    return concatenate(*arrays, axis=axis)


def _stack_spec(*inputs: Spec, axis: int) -> Spec:
    if not inputs:
        raise ShapeError("stack: expected at least one tensor, got none")
    if len({spec.shape for spec in inputs}) != 1:
        raise ShapeError(f"stack: expected equal shapes, got {', '.join(str(spec.shape) for spec in inputs)}")
    shape = list(inputs[0].shape)
    shape.insert(normalize_axis(axis, len(shape) + 1, op="stack"), len(inputs))
    return Spec(tuple(shape), result_dtype(*(spec.dtype for spec in inputs)))


def _stack_vjp(g: Any, y: Any, *inputs: Any, axis: int) -> tuple[Any, ...]:
    before = (slice(None),) * (axis % len(g.shape))
    return tuple(getitem(g, key=(*before, position)) for position in range(len(inputs)))


def _stack_batch(size: int, batched: Sequence[bool], *inputs: Any, axis: int) -> Any:
    spread = [
        item if flag else broadcast_to(item, shape=(size, *item.shape))
        for item, flag in zip(inputs, batched, strict=True)
    ]
    return _stack(*spread, axis=axis % len(spread[0].shape) + 1)


@op(
    name="stack",
    infer=_stack_spec,
    reference=lambda *arrays, axis: np.stack(arrays, axis=axis),
    vjp=_stack_vjp,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_stack_batch,
    per_sample=lambda carries, *inputs, axis: all(carries) and axis % (inputs[0].ndim + 1) != 0,
    samples=(
        Sample(normal(2, 3), normal(2, 3), axis=0),
        Sample(normal(2, 3), normal(2, 3), normal(2, 3), axis=-1),
        Sample(normal(), normal(), axis=0),
        Sample(normal(0, 2), normal(0, 2), axis=1),
    ),
    invalid=(
        Invalid(normal(2, 3), normal(3), axis=0, error=ShapeError, match="stack: expected equal shapes"),
        Invalid(normal(2, 3), normal(2, 3), axis=3, error=ShapeError, match="stack: axis 3"),
    ),
    flags=Flags.HALF,
)
def _stack(xp: ArrayModule, *arrays: Array, axis: int = 0) -> Array:
    """Tensors of one shape joined along a new axis."""
    dtype = result_dtype(*arrays)
    return xp.stack([array.astype(dtype, copy=False) for array in arrays], axis=axis)


def stack(arrays: Sequence[Any], *, axis: int = 0) -> Any:
    """Tensors of one shape joined along a new axis, which comes to lie at `axis`."""
    return _stack(*arrays, axis=axis)


def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of `x` along one axis, which they no longer have: the opposite of `stack`."""
    before = (slice(None),) * normalize_axis(axis, len(x.shape), op="unstack")
    return tuple(getitem(x, key=(*before, position)) for position in range(x.shape[len(before)]))


def squeeze(x: Any, *, axis: int | Sequence[int]) -> Any:
    """`x` without the axes `axis`, each of length 1."""
    gone = normalize_axes(axis, len(x.shape), op="squeeze")
    if any(x.shape[item] != 1 for item in gone):
        raise ShapeError(f"squeeze: expected axes of length 1, got axis={axis} of shape {x.shape}")
    return reshape(x, shape=tuple(length for item, length in enumerate(x.shape) if item not in gone))


def expand_dims(x: Any, *, axis: int | Sequence[int] = 0) -> Any:
    """`x` with new axes of length 1, which come to lie at `axis`."""
    count = 1 if isinstance(axis, int) else len(axis)
    new = normalize_axes(axis, len(x.shape) + count, op="expand_dims")
    lengths = iter(x.shape)
    return reshape(x, shape=tuple(1 if item in new else next(lengths) for item in range(len(x.shape) + count)))


def permute_dims(x: Any, axes: Sequence[int]) -> Any:
    """Axes in another order: axis i of the result is axis `axes[i]` of `x`."""
    return transpose(x, axes=tuple(axes))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Some axes moved to other places, the others keeping their order."""
    rank = len(x.shape)
    start, end = (
        [normalize_axis(item, rank, op="moveaxis") for item in ((axis,) if isinstance(axis, int) else axis)]
        for axis in (source, destination)
    )
    if len(start) != len(end) or len(set(start)) != len(start) or len(set(end)) != len(end):
        raise ShapeError(f"moveaxis: expected as many destinations as sources, each once, got {source}, {destination}")
    order = [axis for axis in range(rank) if axis not in start]
    for to, axis in sorted(zip(end, start, strict=True)):
        order.insert(to, axis)
    return transpose(x, axes=tuple(order))


def flip(x: Any, *, axis: int | Sequence[int] | None = None) -> Any:
    """The elements in reverse order along `axis`; along all axes by default."""
    turned = normalize_axes(axis, len(x.shape), op="flip")
    return getitem(x, key=tuple(slice(None, None, -1 if i in turned else None) for i in range(len(x.shape))))


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """Each tensor repeated to the shape that all have in common."""
    shape = broadcast_shapes(*(tuple(array.shape) for array in arrays), op="broadcast_arrays")
    return [array if array.shape == shape else broadcast_to(array, shape=shape) for array in arrays]


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Coordinates of a grid from the coordinates along each axis.

    Args:
        arrays: tensors with one axis, of lengths n1, n2, ...
        indexing: "ij" gives results of shape (n1, n2, ...); "xy" exchanges the first two axes, as in images.

    Returns:
        One tensor per argument, which varies along its own axis only.
    """
    if indexing not in ("xy", "ij"):
        raise ConfigError(f"meshgrid: expected indexing 'xy' or 'ij', got {indexing!r}")
    if any(len(array.shape) != 1 for array in arrays):
        raise ShapeError(f"meshgrid: expected tensors with one axis, got {[tuple(array.shape) for array in arrays]}")
    rank = len(arrays)
    places = list(range(rank))
    if indexing == "xy" and rank > 1:
        places[:2] = 1, 0
    shape = [0] * rank
    for place, array in zip(places, arrays, strict=True):
        shape[place] = array.shape[0]
    return [
        broadcast_to(reshape(array, shape=tuple(-1 if i == place else 1 for i in range(rank))), shape=tuple(shape))
        for place, array in zip(places, arrays, strict=True)
    ]
