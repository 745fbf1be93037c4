"""`StrictArray`: an array that behaves as CuPy's does where that differs from NumPy's, over a NumPy array.

It holds the NumPy array and is none: nothing of NumPy works on it that CuPy does not offer. It never becomes a NumPy
array by itself, takes no NumPy array beside it, stays an array when it is 0-d, has no `__index__`, and wraps indices
that are out of bounds. What the hardware leaves open, such as which of two values written to one place stays, is an
error of its own: `UndefinedOnDeviceError`.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from .cupy_names import Name, read_names

NAMES = read_names()
NUMBERS = (bool, int, float, complex, np.generic)
VALUES = (np.ndarray, *NUMBERS)
NO_HOST_ARRAY = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)


class UndefinedOnDeviceError(AssertionError):
    """The result would depend on which thread comes first, or on memory nobody wrote. Not an error that the library
    may catch and translate: the code that led here is wrong.
    """


@cache
def signature_of(full_name: str) -> inspect.Signature | None:
    """The parameters that CuPy's function or method of this name takes."""
    return NAMES[full_name].signature


def check_call(full_name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what CuPy's function would refuse: `cupy.sum(x, where=mask)`."""
    signature = signature_of(full_name)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{full_name}() {exc}; CuPy takes {NAMES[full_name].detail}") from None


class StrictArray:
    """An array on a device of the stand-in.

    Args:
        value: the elements; shared, not copied.
        xp: the stand-in module that made it.
        device_id: the device it lives on; the current one by default.
    """

    __slots__ = ("_device_id", "_value", "_xp")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, value: np.ndarray, xp: Any, device_id: int | None = None) -> None:
        assert type(value) is np.ndarray, type(value)
        if value.dtype.kind not in "?biufc" and value.dtype.name != "bfloat16":
            raise ValueError(f"Unsupported dtype {value.dtype}")
        self._value = value
        self._xp = xp
        self._device_id = xp.current_device_id if device_id is None else device_id

    def _view(self, value: np.ndarray) -> StrictArray:
        return StrictArray(np.asarray(value), self._xp, self._device_id)

    @property
    def device(self) -> Any:
        return self._xp.cuda.Device(self._device_id)

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._value.ctypes.data, self.device)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        self._value = self._value.reshape(shape, copy=False)

    @property
    def dtype(self) -> np.dtype:
        return self._value.dtype

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def size(self) -> int:
        return self._value.size

    @property
    def itemsize(self) -> int:
        return self._value.itemsize

    @property
    def nbytes(self) -> int:
        return self._value.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        return self._value.strides

    @property
    def flags(self) -> Flags:
        return Flags(self._value.flags)

    @property
    def base(self) -> StrictArray | None:
        base = self._value.base
        return None if base is None else self._view(base)

    @property
    def T(self) -> StrictArray:
        return self._view(self._value.T)

    @property
    def mT(self) -> StrictArray:
        return self._view(self._value.mT)

    @property
    def real(self) -> StrictArray:
        return self._view(self._value.real)

    @real.setter
    def real(self, value: Any) -> None:
        self._value.real = self._xp._enter(value)

    @property
    def imag(self) -> StrictArray:
        return self._view(self._value.imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        self._value.imag = self._xp._enter(value)

    # To the host, always by name.

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        if out is None:
            return self._value.copy(order)
        out[...] = self._value
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError(f"{arr.dtype} {arr.shape} array cannot be set to {self.dtype} {self.shape} array")
        self._value[...] = arr

    def item(self) -> Any:
        return self._value.item()

    def tolist(self) -> Any:
        return self._value.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._value.tobytes(order)

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more or less than one element is ambiguous.")
        return bool(self._value)

    def __repr__(self) -> str:
        return repr(self._value)

    def __str__(self) -> str:
        return str(self._value)

    def __format__(self, spec: str) -> str:
        return format(self._value, spec)

    def __reduce__(self) -> Any:
        raise TypeError("an array of the stand-in cannot be pickled")

    def __copy__(self) -> StrictArray:
        return self._view(self._value.copy())

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return self._view(self._value.copy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(NO_HOST_ARRAY)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self._value.flags.c_contiguous else self.strides
        pointer = (self.data.ptr, False)
        return {"shape": self.shape, "typestr": self.dtype.str, "data": pointer, "strides": strides, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self._device_id)  # kDLCUDA

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("the stand-in has no device memory to export")

    # NumPy's functions on this array are CuPy's functions.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = getattr(self._xp, ufunc.__name__, None)
        function = function if method == "__call__" else getattr(function, method, None)
        if function is None:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return function(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        owner = self._xp
        for part in func.__module__.split(".")[1:]:
            owner = getattr(owner, part, None)
        function = getattr(owner, func.__name__, None)
        return NotImplemented if function is None else function(*args, **kwargs)

    # Indexing.

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[StrictArray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[position] for position in range(self.shape[0]))

    def __getitem__(self, index: Any) -> StrictArray:
        key, advanced = self._key(index)
        # An ellipsis keeps a 0-d result an array, and a view of this one.
        return self._view(self._value[key] if advanced else self._value[(*key, ...) if ... not in key else key])

    def __setitem__(self, index: Any, value: Any) -> None:
        key, advanced = self._key(index)
        new = self._xp._enter(value)
        if not isinstance(new, VALUES):
            raise TypeError(f"Unsupported type {type(value)}")
        if advanced and np.size(new) > 1:
            places = np.arange(self.size).reshape(self.shape)[key]
            if len(np.unique(places)) < places.size:
                raise UndefinedOnDeviceError("several values are written to one place: which one stays is undefined")
        self._value[key] = new

    def _key(self, index: Any) -> tuple[tuple[Any, ...], bool]:
        """The index for the NumPy array, and whether it holds index arrays."""
        parts = index if isinstance(index, tuple) else (index,)
        used = sum(_axes_used(part) for part in parts)
        if used > self.ndim:
            raise IndexError(f"too many indices for array: array is {self.ndim}-dimensional, but {used} were indexed")
        key: list[Any] = []
        axis = 0
        for part in parts:
            if part is Ellipsis:
                axis += self.ndim - used
            elif isinstance(part, StrictArray):
                key.append(self._wrapped(self._xp._enter(part), axis))
                axis += _axes_used(part)
                continue
            else:
                axis += _axes_used(part)
            key.append(part)
        return tuple(key), any(isinstance(part, np.ndarray) for part in key)

    def _wrapped(self, index: np.ndarray, axis: int) -> np.ndarray:
        if index.dtype.kind == "b":
            return index
        if index.dtype.kind not in "iu":
            raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {index.dtype})")
        length = self.shape[axis]
        return np.mod(index, length).astype(np.intp) if length else index

    def __getattr__(self, name: str) -> Any:
        if f"cupy.ndarray.{name}" not in NAMES:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        raise NotImplementedError(f"the stand-in does not do cupy.ndarray.{name}")


def _axes_used(part: Any) -> int:
    """How many axes one part of an index consumes; refuses what is no index."""
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, slice):
        for bound in (part.start, part.stop, part.step):
            if bound is not None:
                operator.index(bound)  # CuPy's arrays have no __index__
        return 1
    if isinstance(part, StrictArray):
        return part.ndim if part.dtype.kind == "b" else 1
    if isinstance(part, bool | np.bool_):
        return 0
    if isinstance(part, int | np.integer):
        return 1
    raise TypeError(f"an index that is copied to the device each time: {type(part)}; use an array, a slice or a number")


class MemoryPointer:
    """Where an array of the stand-in begins: an address on the host."""

    def __init__(self, ptr: int, device: Any) -> None:
        self.ptr = ptr
        self.device = device
        self.device_id = device.id


class Flags:
    """The memory layout of an array, by CuPy's names."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata
        self.fnc: bool = flags.fnc
        self.forc: bool = flags.forc

    def __getitem__(self, name: str) -> bool:
        return {"C_CONTIGUOUS": self.c_contiguous, "F_CONTIGUOUS": self.f_contiguous, "OWNDATA": self.owndata}[name]


# Methods that change the array, or whose parameters are not those of the function of the same name.


def _astype(
    self: StrictArray, dtype: Any, order: str = "K", *rest: Any, copy: bool = True, **kwargs: Any
) -> StrictArray:
    if rest or kwargs:
        raise TypeError("casting and subok are not supported yet")
    dtype = np.dtype(dtype)
    if dtype == self.dtype and not copy and order == "K":
        return self
    with np.errstate(all="ignore"):
        return self._view(self._value.astype(dtype, order=order))


def _reshape(self: StrictArray, *shape: Any, order: str = "C", copy: bool | None = None) -> StrictArray:
    return self._view(self._value.reshape(*shape, order=order, copy=copy))


def _transpose(self: StrictArray, *axes: Any) -> StrictArray:
    return self._view(self._value.transpose(*axes))


def _copy(self: StrictArray, order: str = "C") -> StrictArray:
    return StrictArray(self._value.copy(order), self._xp)  # on the current device, as CuPy does


def _flatten(self: StrictArray, order: str = "C") -> StrictArray:
    return self._view(self._value.flatten(order))


def _fill(self: StrictArray, value: Any) -> None:
    self._value.fill(self._xp._enter(value))


def _reinterpret(self: StrictArray, dtype: Any = None, type: Any = None) -> StrictArray:
    return self._view(self._value.view() if dtype is None else self._value.view(dtype))


def _sort(self: StrictArray, axis: int = -1, kind: str | None = None) -> None:
    if not self._value.flags.c_contiguous:
        raise NotImplementedError("Sorting non-contiguous array is not supported.")
    self._value[...] = self._xp.sort(self, axis, kind)._value


def _clip(self: StrictArray, min: Any = None, max: Any = None, out: Any = None) -> StrictArray:
    return self._xp.clip(self, min, max, out=out)


def _put(self: StrictArray, indices: Any, values: Any, mode: str = "wrap") -> None:
    self._xp.put(self, indices, values, mode)


def _compress(self: StrictArray, condition: Any, axis: int | None = None, out: Any = None) -> StrictArray:
    return self._xp.compress(condition, self, axis, out)


def _partition(self: StrictArray, kth: int, axis: int = -1) -> None:
    self._value[...] = self._xp.partition(self, kth, axis)._value


def _conj(self: StrictArray) -> StrictArray:
    return self._xp.conj(self)


def _byteswap(self: StrictArray, inplace: bool = False) -> StrictArray:
    return self._view(self._value.byteswap(inplace))


SPECIAL_METHODS: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "reshape": _reshape,
    "transpose": _transpose,
    "copy": _copy,
    "flatten": _flatten,
    "fill": _fill,
    "view": _reinterpret,
    "sort": _sort,
    "partition": _partition,
    "clip": _clip,
    "put": _put,
    "compress": _compress,
    "conj": _conj,
    "conjugate": _conj,
    "byteswap": _byteswap,
}


def _method(name: str) -> Callable[..., Any]:
    """A method with CuPy's parameters: ours where it is special, else the function of the same name."""
    full_name = f"cupy.ndarray.{name}"

    def call(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        check_call(full_name, args, kwargs)
        self._xp._enter(self)
        if name in SPECIAL_METHODS:
            return SPECIAL_METHODS[name](self, *args, **kwargs)
        bound = signature_of(full_name).bind(*args, **kwargs).arguments
        return getattr(self._xp, name)(self, **bound)

    call.__name__ = name
    return call


def _add_methods() -> None:
    # Those that CuPy deprecates, or that make no sense on the host.
    left_out = {"cstruct", "dump", "dumps", "mdspan", "reduced_view", "scatter_add", "scatter_max", "scatter_min"}
    left_out |= {"toDlpack", "tofile", "flat"}
    for full_name, entry in NAMES.items():
        if full_name.startswith("cupy.ndarray.") and entry.kind == "method":
            name = full_name.rpartition(".")[2]
            if name not in left_out and name not in StrictArray.__dict__:
                setattr(StrictArray, name, _method(name))


def _add_operators() -> None:
    binary = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"}
    binary |= {"mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift"}
    binary |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    other = {"matmul": "matmul", "divmod": "divmod"}
    compare = {
        "lt": "less",
        "le": "less_equal",
        "eq": "equal",
        "ne": "not_equal",
        "gt": "greater",
        "ge": "greater_equal",
    }
    unary = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}

    def forward(ufunc: str, swapped: bool) -> Callable[..., Any]:
        def call(self: StrictArray, operand: Any) -> Any:
            if getattr(operand, "__array_ufunc__", True) is None:  # a Tensor: its turn
                return NotImplemented
            args = (operand, self) if swapped else (self, operand)
            return getattr(self._xp, ufunc)(*args)

        return call

    def inplace(ufunc: str) -> Callable[..., Any]:
        return lambda self, operand: getattr(self._xp, ufunc)(self, operand, out=self)

    def one(ufunc: str) -> Callable[..., Any]:
        return lambda self: getattr(self._xp, ufunc)(self)

    for name, ufunc in (binary | other).items():
        setattr(StrictArray, f"__{name}__", forward(ufunc, False))
        setattr(StrictArray, f"__r{name}__", forward(ufunc, True))
    for name, ufunc in binary.items():
        setattr(StrictArray, f"__i{name}__", inplace(ufunc))
    for name, ufunc in compare.items():
        setattr(StrictArray, f"__{name}__", forward(ufunc, False))
    for name, ufunc in unary.items():
        setattr(StrictArray, f"__{name}__", one(ufunc))


_add_methods()
_add_operators()

__all__ = ["NAMES", "NUMBERS", "VALUES", "Name", "StrictArray", "UndefinedOnDeviceError", "check_call", "signature_of"]
