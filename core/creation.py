"""Tensors from nothing: filled, counted, spaced, copied. The functions and arguments of the Python Array API standard.

Where `dtype` is None it is float32 (int64 for whole numbers, bool for booleans); where `device` is None it is the
default device, that of the innermost `with device(...)` block. The `*_like` functions take both from their argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import ops
from .device import Device, device_of
from .device import device as resolve
from .errors import ConfigError, DTypeError, ShapeError
from .shapes import as_dtype
from .tensor import Scalar, Tensor, as_array, wrap

Shape = int | Sequence[int]
DTypeLike = Any  # a dtype, its name or its NumPy type
DeviceLike = str | Device | None
Number = bool | int | float | complex

FLOAT, COMPLEX, INTEGER, BOOLEAN = (np.dtype(name) for name in ("float32", "complex64", "int64", "bool"))


def asarray(obj: Any, /, *, dtype: DTypeLike = None, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """A tensor of what `obj` holds.

    Args:
        obj: a tensor, a NumPy or CuPy array, a number, nested sequences of numbers, or anything with `__dlpack__` or
            the buffer protocol.
        dtype: None keeps that of `obj`; Python floats become float32, complex numbers complex64, ints int64.
        device: None leaves an array where it is.
        copy: True copies always, None only to change dtype or device, False never. What is not copied is shared; a
            tensor is then returned itself. Gradients flow back through a copied tensor.

    Raises:
        ConfigError: `copy` is False and a copy cannot be avoided.
        ShapeError: nested sequences of unequal lengths.
        DTypeError: not numbers, or complex numbers as a real dtype.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    place = None if device is None else resolve(device)
    if isinstance(obj, Tensor):
        return converted(obj, wanted, place, copy)
    numbers: Any = obj
    if not isinstance(obj, Scalar | list | tuple):
        return converted(wrap(as_array(numbers, exact=True)), wanted, place, copy)
    if copy is False:
        raise ConfigError("asarray: numbers and sequences of them are copied always, got copy=False")
    return wrap((place or resolve()).put(_array_of_numbers(numbers, wanted)))


def _array_of_numbers(numbers: Any, dtype: np.dtype[Any] | None) -> np.ndarray:
    array = as_array(numbers, exact=dtype is not None)
    if dtype is None:
        return array
    check_real(array.dtype, dtype)
    if dtype.kind not in "iu":
        return array.astype(dtype)
    try:  # from the numbers themselves: large ones have become floats, and those out of range would wrap around
        return np.asarray(numbers, dtype)
    except (OverflowError, ValueError) as exc:
        raise DTypeError(f"asarray: not integers of dtype {dtype}: {exc}") from exc


def converted(x: Tensor, dtype: np.dtype[Any] | None, place: Device | None, copy: bool | None) -> Tensor:
    """A tensor as another dtype or on another device; itself where that changes nothing and `copy` is not True."""
    dtype = x.dtype if dtype is None else dtype
    place = x.device if place is None else place
    cast, move = dtype != x.dtype, place != x.device
    if copy is False and (cast or move):
        raise ConfigError(
            f"copy=False, but a tensor of {x.dtype} on {x.device} cannot become one of {dtype} on {place}"
        )
    if cast:
        check_real(x.dtype, dtype)
        x = ops.astype(x, dtype=dtype.name)
    if move:
        return x.to(place)
    return ops.positive(x) if copy and not cast else x


def check_real(source: np.dtype[Any], target: np.dtype[Any]) -> None:
    """Check that no imaginary part is lost in silence.

    Raises:
        DTypeError: from complex to real.
    """
    if source.kind == "c" and target.kind not in "cb":
        raise DTypeError(f"complex numbers have no {target} of the same value", hint="take ops.real or ops.imag first")


def from_dlpack(x: Any, /, *, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of another library's, through DLPack.

    Args:
        x: has `__dlpack__` and `__dlpack_device__`.
        device: where the tensor shall be; None leaves it where it is.
        copy: True copies always, None only to change the device, False never.

    Raises:
        BufferError: the other library cannot export it, it has a dtype or lives on a device that we do not have, or
            `copy` is False and a copy cannot be avoided.
    """
    from . import dlpack

    array = dlpack.from_dlpack(x, copy=copy)
    place = None if device is None else resolve(device)
    if place is None or place == device_of(array):
        return wrap(array)
    if copy is False:
        raise BufferError(f"from_dlpack: copy=False, but the tensor is on {device_of(array)} and not on {place}")
    return wrap(place.put(array))


def empty(shape: Shape, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """A tensor whose elements are whatever was in memory."""
    lengths, kind, place = _plan("empty", shape, dtype, device)
    with place.active():
        return wrap(place.xp.empty(lengths, kind))


def zeros(shape: Shape, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """A tensor of zeros."""
    lengths, kind, place = _plan("zeros", shape, dtype, device)
    with place.active():
        return wrap(place.xp.zeros(lengths, kind))


def ones(shape: Shape, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """A tensor of ones."""
    lengths, kind, place = _plan("ones", shape, dtype, device)
    with place.active():
        return wrap(place.xp.ones(lengths, kind))


def full(shape: Shape, fill_value: Number, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """A tensor whose elements are all `fill_value`; without `dtype`, of the default dtype of the number's kind."""
    kind = _dtype_of(fill_value) if dtype is None else as_dtype(dtype)
    check_real(_dtype_of(fill_value), kind)
    lengths, kind, place = _plan("full", shape, kind, device)
    with place.active():
        return wrap(place.xp.full(lengths, fill_value, dtype=kind))


def empty_like(x: Tensor, /, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """`empty` of the shape of `x`."""
    return empty(x.shape, **_like(x, dtype, device))


def zeros_like(x: Tensor, /, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """`zeros` of the shape of `x`."""
    return zeros(x.shape, **_like(x, dtype, device))


def ones_like(x: Tensor, /, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """`ones` of the shape of `x`."""
    return ones(x.shape, **_like(x, dtype, device))


def full_like(x: Tensor, /, fill_value: Number, *, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """`full` of the shape of `x`."""
    return full(x.shape, fill_value, **_like(x, dtype, device))


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: DTypeLike = None, device: DeviceLike = None
) -> Tensor:
    """Numbers from `start` to before `stop` in steps of `step`; one argument is `stop`, from 0.

    Args:
        start: the first number.
        stop: the first number that does not belong.
        step: not 0; negative to count down.
        dtype: None is int64 when all three are ints, else float32. The numbers are computed in 64 bits.
        device: see the module.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ConfigError("arange: expected a step that is not 0")
    whole = all(isinstance(value, int) for value in (start, stop, step))
    kind = as_dtype(dtype) if dtype is not None else INTEGER if whole else FLOAT
    place = resolve(device)
    with place.active():
        if whole and kind.kind in "iu":
            return wrap(place.xp.arange(start, stop, step, dtype=kind))
        return wrap(place.xp.arange(start, stop, step, dtype=np.float64).astype(kind))


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: DTypeLike = None,
    device: DeviceLike = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` numbers evenly spaced from `start` to `stop`.

    Args:
        start: the first number.
        stop: the last number; with `endpoint` false the one after the last.
        num: how many, >= 0.
        dtype: None is complex64 when one of the two is complex, else float32. The numbers are computed in 64 bits.
        device: see the module.
        endpoint: whether `stop` belongs.
    """
    if num < 0:
        raise ConfigError(f"linspace: expected num >= 0, got {num}")
    mixed = isinstance(start, complex) or isinstance(stop, complex)
    kind = as_dtype(dtype) if dtype is not None else COMPLEX if mixed else FLOAT
    check_real(COMPLEX if mixed else FLOAT, kind)
    place = resolve(device)
    with place.active():
        return wrap(place.xp.linspace(start, stop, num, endpoint=endpoint).astype(kind))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DTypeLike = None, device: DeviceLike = None
) -> Tensor:
    """Ones on a diagonal, zeros elsewhere: `k` columns to the right of the main one (to the left when negative)."""
    columns = n_rows if n_cols is None else n_cols
    lengths, kind, place = _plan("eye", (n_rows, columns), dtype, device)
    with place.active():
        # NumPy wants `k` to be a C long; beyond the corners one diagonal is as good as another.
        return wrap(place.xp.eye(*lengths, k=max(-n_rows, min(k, columns)), dtype=kind))


def _plan(
    name: str, shape: Shape, dtype: DTypeLike, device: DeviceLike
) -> tuple[tuple[int, ...], np.dtype[Any], Device]:
    """Shape, dtype and device of a new tensor, checked."""
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(length < 0 for length in lengths):
        raise ShapeError(f"{name}: expected lengths >= 0, got the shape {lengths}")
    return lengths, FLOAT if dtype is None else as_dtype(dtype), resolve(device)


def _like(x: Tensor, dtype: DTypeLike, device: DeviceLike) -> dict[str, Any]:
    return {"dtype": x.dtype if dtype is None else dtype, "device": x.device if device is None else device}


def _dtype_of(value: Number) -> np.dtype[Any]:
    """The default dtype of a Python number."""
    if isinstance(value, np.generic):
        return value.dtype
    if isinstance(value, bool):
        return BOOLEAN
    return INTEGER if isinstance(value, int) else FLOAT if isinstance(value, float) else COMPLEX
