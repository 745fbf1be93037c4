"""DLPack: arrays handed over between libraries without a copy.

NumPy and CuPy exchange their own arrays. What they refuse is bfloat16 on the CPU: NumPy knows no such dtype. Its bits
travel as unsigned integers instead, and the capsule in which they travel is relabelled here, on the way out and on the
way in, so that memory, versions, flags and deleters stay NumPy's business.

A capsule points to a `DLManagedTensor` (its name is "dltensor") or, since DLPack 1.0, to a `DLManagedTensorVersioned`
("dltensor_versioned"), whose flags say whether the memory may be written. Whoever takes the tensor renames the capsule.

Source: https://dmlc.github.io/dlpack/latest/c_api.html and https://dmlc.github.io/dlpack/latest/python_spec.html.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .device import CPU, Array, device, device_of
from .errors import DTypeError, NasturtiumError
from .shapes import bfloat16

VERSION = (1, 0)  # the newest that NumPy and CuPy read
ON_CPU, ON_CUDA, ON_CUDA_HOST, ON_CUDA_MANAGED = 1, 2, 3, 13
UNSIGNED, BFLOAT = 1, 4  # type codes


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_FORMS = ((b"dltensor_versioned", _ManagedVersioned), (b"dltensor", _Managed))
_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _dtype_in(capsule: Any) -> _DataType:
    """The dtype field of a capsule that nobody has taken yet; writing to it relabels the elements."""
    for name, form in _FORMS:
        if not _is_capsule(capsule, name):
            continue
        managed = form.from_address(_pointer_of(capsule, name))
        if isinstance(managed, _ManagedVersioned) and managed.major > VERSION[0]:
            raise BufferError(f"DLPack: expected version {VERSION[0]}, got {managed.major}.{managed.minor}")
        return managed.tensor.dtype
    raise BufferError(f"DLPack: expected a capsule with a tensor that nobody has taken yet, got {capsule!r}")


def export(
    array: Array,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[Any, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A capsule of an array, as `__dlpack__` of the Array API standard returns it.

    Args:
        array: a NumPy or CuPy array.
        stream: the consumer's stream on a CUDA device; None on the CPU.
        max_version: the newest version the consumer knows; None means one before 1.0.
        dl_device: device type and number where the consumer wants it; None where it is.
        copy: True copies always, None only to change the device, False never.

    Raises:
        BufferError: it cannot be: onto another CUDA device, with a copy that `copy` forbids, read-only memory for a
            consumer before 1.0, which knows no flags.
    """
    place = device_of(array)
    here = (ON_CPU, 0) if place.kind == "cpu" else (ON_CUDA, place.index)
    wanted = here if dl_device is None else (int(dl_device[0]), int(dl_device[1]))
    if wanted not in (here, (ON_CPU, 0)):
        raise BufferError(f"DLPack: an array on {place} is not exported to device {wanted}: move it there first")
    if place.kind == "cuda":
        if wanted == here:
            return array.__dlpack__(stream=stream, max_version=max_version, copy=copy)
        if copy is False:
            raise BufferError(f"DLPack: copy=False, but the array is on {place} and is wanted on the CPU")
        array, copy = CPU.put(array), None
    elif stream is not None:
        raise BufferError(f"DLPack: expected stream=None, there are none on the CPU, got {stream!r}")
    relabel = array.dtype.name == "bfloat16"
    bits = array.view(np.uint16) if relabel else array
    try:
        capsule = bits.__dlpack__(max_version=max_version, dl_device=(ON_CPU, 0), copy=copy)
    except ValueError as exc:
        raise BufferError(f"DLPack: {exc}") from exc
    if relabel:
        _dtype_in(capsule).code = BFLOAT
    return capsule


class _Handed:
    """What has a capsule ready, for NumPy to take."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return ON_CPU, 0


def from_dlpack(x: Any, *, copy: bool | None = None) -> Array:
    """A NumPy or CuPy array that shares the memory of another library's tensor; read-only where that is.

    Args:
        x: has `__dlpack__` and `__dlpack_device__`.
        copy: True copies always, False and None leave that to the other library, which must not with False.

    Raises:
        BufferError: `x` cannot be exported, lives on a device we do not have, or has elements that we do not have.
        DTypeError: `x` knows no DLPack.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise DTypeError(f"DLPack: expected an object with __dlpack__, got {type(x).__qualname__}")
    kind, index = (int(part) for part in x.__dlpack_device__())
    if kind in (ON_CUDA, ON_CUDA_MANAGED):
        try:
            place = device(f"cuda:{index}")
        except NasturtiumError as exc:
            raise BufferError(f"DLPack: the tensor is on device ({kind}, {index}), which is not here: {exc}") from exc
        with place.active():
            return place.xp.from_dlpack(x, copy=copy)
    if kind not in (ON_CPU, ON_CUDA_HOST):
        raise BufferError(f"DLPack: expected a tensor on the CPU or a CUDA device, got device ({kind}, {index})")
    capsule, copied = _capsule_of(x, copy)
    dtype = _dtype_in(capsule)
    relabel = dtype.code == BFLOAT and dtype.bits == 16
    if relabel:
        dtype.code = UNSIGNED
    try:
        array = np.from_dlpack(_Handed(capsule))
    except (RuntimeError, ValueError) as exc:
        raise BufferError(f"DLPack: {exc}") from exc
    if relabel:
        array = array.view(bfloat16())
    return array.copy() if copy and not copied else array


def _capsule_of(x: Any, copy: bool | None) -> tuple[Any, bool]:
    """A capsule of `x`, and whether the exporter was asked to copy; exporters before DLPack 1.0 take no arguments."""
    try:
        return x.__dlpack__(max_version=VERSION, copy=copy), True
    except TypeError:
        return x.__dlpack__(), False
