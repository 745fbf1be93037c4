"""`StrictCupy`: a stand-in for the module `cupy`, for machines without a GPU.

It computes with NumPy and refuses what CuPy would refuse: names CuPy 14.2 does not have, keyword arguments its
functions do not take, NumPy arrays beside its own, arrays of another device. See `strict_array.py` for the arrays,
and `cupy_names.py` for where the names come from. `install` puts it where `device("cuda:0")` looks for CuPy:

    def test_something(strict_cupy):            # the fixture of conftest.py
        x = Tensor([1.0], device="cuda:0")
        strict_cupy.launches                    # the kernels that were launched

A kernel runs the NumPy reference it was declared with. `cupy.random` is left out on purpose: numbers come from
`nasturtium.core.random`.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from .strict_array import NAMES, VALUES, StrictArray, UndefinedOnDeviceError, check_call
from .strict_ufunc import StrictUfunc

# These answer about arrays and dtypes on the host; the others return arrays.
ON_HOST = {
    *(
        "can_cast",
        "result_type",
        "promote_types",
        "min_scalar_type",
        "issubdtype",
        "isdtype",
        "iscomplexobj",
        "isrealobj",
    ),
    *("isscalar", "isfortran", "ndim", "shape", "size", "broadcast_shapes", "may_share_memory", "shares_memory"),
    *("typename", "common_type", "array_repr", "array_str", "array2string", "base_repr", "binary_repr"),
}
# Explicit copies of what lies on the host; all others refuse NumPy arrays.
FROM_HOST = {"array", "asarray", "asanyarray"}
# Sums that CuPy accumulates in float32 for half precision.
ACCUMULATED = {
    "sum",
    "mean",
    "prod",
    "var",
    "std",
    "cumsum",
    "cumprod",
    "nansum",
    "nanmean",
    "nanprod",
    "matmul",
    "dot",
}
HALVES = ("float16", "bfloat16")
CALLBACKS = {"apply_along_axis", "apply_over_axes", "piecewise", "fromfunction"}
CONSTANTS = (int, float, type(None), type(np.s_))
NO_BFLOAT16 = {"argmax", "argmin", "sort", "argsort"}
PAD_MODES = {"constant", "empty", "edge", "linear_ramp", "maximum", "mean", "minimum", "reflect", "symmetric", "wrap"}
DEAF = r"Mean of empty slice|Degrees of freedom|invalid value|divide by zero|overflow|All-NaN"


@dataclass(frozen=True)
class Launch:
    """One kernel that was launched."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared_mem: int
    device: int


class Namespace:
    """A part of the stand-in, such as `linalg`: the names CuPy has there, made when they are asked for.

    Args:
        path: CuPy's dotted path, "cupy.linalg".
        xp: the stand-in module.
    """

    def __init__(self, path: str, xp: StrictCupy) -> None:
        self.__name__ = path
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        full_name = f"{self.__name__}.{name}"
        entry = NAMES.get(full_name)
        if entry is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self._make(full_name, name, entry.kind)
        self.__dict__[name] = value
        return value

    def _make(self, full_name: str, name: str, kind: str) -> Any:
        if full_name in self._xp._own:
            return self._xp._own[full_name]
        if kind == "module":
            if name == "random":
                raise AttributeError("the stand-in leaves out cupy.random: numbers come from nasturtium.core.random")
            return Namespace(full_name, self._xp)
        numpy_name = ".".join(["numpy", *full_name.split(".")[1:]])
        owner, _, leaf = numpy_name.rpartition(".")
        try:
            numpy_value = getattr(importlib.import_module(owner), leaf)
        except (ImportError, AttributeError):
            raise NotImplementedError(f"the stand-in does not do {full_name}: NumPy has nothing of that name") from None
        if kind == "ufunc":
            return StrictUfunc(name, self._xp)
        if kind == "function":
            return StrictFunction(full_name, numpy_value, self._xp)
        if kind == "class" or isinstance(numpy_value, CONSTANTS):
            return numpy_value
        raise NotImplementedError(f"the stand-in does not do {full_name}: it would make arrays on the host")


class StrictFunction:
    """A function of CuPy's, done by NumPy's of the same name after its arguments were checked.

    Args:
        full_name: as in "cupy.linalg.norm".
        numpy_function: what computes.
        xp: the stand-in module.
    """

    def __init__(self, full_name: str, numpy_function: Callable[..., Any], xp: StrictCupy) -> None:
        self.full_name = full_name
        self.__name__ = full_name.rpartition(".")[2]
        self._compute = COMPUTE.get(full_name, numpy_function)
        self._xp = xp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_call(self.full_name, args, kwargs)
        if self.__name__ in CALLBACKS:
            raise NotImplementedError(f"the stand-in does not do {self.full_name}: it calls back")
        given: dict[int, StrictArray] = {}
        entered = [self._xp._enter(value, given) for value in args]
        named = {key: self._xp._enter(value, given) for key, value in kwargs.items()}
        halves = {value.dtype for value in entered if isinstance(value, np.ndarray)} if self._accumulates(named) else ()
        if self.__name__ in NO_BFLOAT16 and any(
            value.dtype.name == "bfloat16" for value in entered if isinstance(value, np.ndarray)
        ):
            raise TypeError(f"{self.full_name} has no loop for bfloat16")
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", DEAF, RuntimeWarning)
            if len(halves) == 1 and (half := halves.pop()).name in HALVES:
                result = self._in_float32(entered, named, half)
            else:
                result = self._compute(*entered, **named)
        return result if self.__name__ in ON_HOST else self._xp._leave(result, given)

    def _accumulates(self, named: dict[str, Any]) -> bool:
        return self.__name__ in ACCUMULATED and named.get("dtype") is None

    def _in_float32(self, entered: list[Any], named: dict[str, Any], half: np.dtype) -> Any:
        out = named.pop("out", None)
        wide = [value.astype(np.float32) if isinstance(value, np.ndarray) else value for value in entered]
        result = np.asarray(self._compute(*wide, **named)).astype(half)
        if out is None:
            return result
        out[...] = result
        return out


class StrictCupy(Namespace):
    """The stand-in for the module `cupy`.

    Args:
        devices: how many devices there are.

    Attributes:
        launches: the kernels launched so far.
        references: what runs for a kernel: (source or cubin, name, compiler options) -> function on NumPy arrays.
        functions: what runs for a function pointer: called with the address of the array of parameter addresses.
    """

    def __init__(self, devices: int = 2) -> None:
        self._own: dict[str, Any] = {}
        super().__init__("cupy", self)
        self._thread = threading.local()
        self.device_count = devices
        self.launches: list[Launch] = []
        self.references: dict[tuple[Any, str, tuple[str, ...]], Callable[..., None]] = {}
        self.functions: dict[int, Callable[[int], None]] = {}
        self._own.update(
            {
                "cupy.ndarray": StrictArray,
                "cupy.ufunc": StrictUfunc,
                "cupy.RawKernel": lambda *args, **kwargs: StrictRawKernel(self, *args, **kwargs),
                "cupy.asnumpy": self._asnumpy,
                "cupy.get_array_module": self._get_array_module,
                "cupy.is_available": lambda: True,
                "cupy.size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
                "cupy.take_along_axis": self._take_along_axis,
                "cupy.put_along_axis": self._put_along_axis,
                "cupy.matmul": StrictFunction("cupy.matmul", np.matmul, self),
                "cupy.cuda.Device": lambda device=None: StrictDevice(self, device),
                "cupy.cuda.Module": lambda: StrictModule(self),
                "cupy.cuda.is_available": lambda: True,
                "cupy.cuda.get_device_id": lambda: self.current_device_id,
                "cupy.cuda.get_current_stream": lambda device_id=-1: StrictStream(),
                "cupy.cuda.runtime.getDeviceCount": lambda: devices,
                "cupy.cuda.runtime.getDevice": lambda: self.current_device_id,
                "cupy.cuda.runtime.setDevice": self._set_device,
                "cupy.cuda.runtime.deviceSynchronize": lambda: None,
                "cupy.cuda.driver.launchKernel": self._launch_pointer,
                "cupy.cuda.driver.CUDADriverError": StrictDriverError,
            }
        )
        self._own.update({name: StrictCreation(name, self) for name in (f"cupy.{leaf}" for leaf in FROM_HOST)})

    @property
    def current_device_id(self) -> int:
        return getattr(self._thread, "device", 0)

    def _set_device(self, index: int) -> None:
        if not 0 <= index < self.device_count:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._thread.device = index

    def register(self, kernel: Any) -> None:
        """Let a kernel of the library run its NumPy reference here."""
        self.references[kernel.source, kernel.function, kernel.options] = kernel.reference

    def _enter(self, value: Any, given: dict[int, StrictArray] | None = None) -> Any:
        """What NumPy shall compute with: the elements of an array of the current device, other values as they are."""
        if isinstance(value, StrictArray):
            if value._device_id != self.current_device_id:
                raise ValueError(
                    f"The device where the array resides ({value._device_id}) is different from the current device "
                    f"({self.current_device_id}). Peer access is unavailable between these devices."
                )
            if given is not None:
                given[id(value._value)] = value
            return value._value
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {np.ndarray}")
        if type(value) in (list, tuple):
            return type(value)(self._enter(part, given) for part in value)
        return value

    def _leave(self, result: Any, given: dict[int, StrictArray]) -> Any:
        """NumPy's result as CuPy would return it: scalars are 0-d arrays; `out=` is the array that was given."""
        if id(result) in given:
            return given[id(result)]
        if isinstance(result, VALUES):
            return StrictArray(np.asarray(result), self)
        if isinstance(result, tuple) and hasattr(result, "_fields"):
            return type(result)(*(self._leave(part, given) for part in result))
        if isinstance(result, list | tuple):
            return type(result)(self._leave(part, given) for part in result)
        return result

    def _asnumpy(self, a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
        if isinstance(a, StrictArray):
            return a.get(stream, order, out, blocking)
        return np.asarray(a, order=order)

    def _get_array_module(self, *args: Any) -> Any:
        return self if any(isinstance(value, StrictArray) for value in args) else np

    def _along_axis(self, array: StrictArray, indices: StrictArray, axis: int) -> tuple[StrictArray, ...]:
        axis = range(array.ndim)[axis]
        if array.ndim != indices.ndim:
            raise ValueError("`indices` and `a` must have the same number of dimensions")
        places = [np.arange(n).reshape((-1,) + (1,) * (array.ndim - i - 1)) for i, n in enumerate(array.shape)]
        return tuple(indices if i == axis else StrictArray(place, self) for i, place in enumerate(places))

    def _take_along_axis(self, a: StrictArray, indices: StrictArray, axis: int | None) -> StrictArray:
        a, axis = (a.ravel(), 0) if axis is None else (a, axis)
        return a[self._along_axis(a, indices, axis)]

    def _put_along_axis(self, arr: StrictArray, indices: StrictArray, values: Any, axis: int) -> None:
        arr[self._along_axis(arr, indices, axis)] = values

    def _launch_pointer(self, f: int, *rest: int) -> None:
        grid, block, (shared, _stream, params, extra) = rest[:3], rest[3:6], rest[6:]
        check_geometry(grid, block)
        if f not in self.functions:
            raise StrictDriverError("CUDA_ERROR_INVALID_HANDLE: invalid resource handle")
        assert not extra
        self.launches.append(Launch("pointer", grid, block, shared, self.current_device_id))
        self.functions[f](params)


class StrictCreation:
    """`array` and its kin: the one door by which host data comes in, always as a copy."""

    def __init__(self, full_name: str, xp: StrictCupy) -> None:
        self.full_name = full_name
        self._xp = xp
        self._always_copies = full_name == "cupy.array"

    def __call__(self, *args: Any, **kwargs: Any) -> StrictArray:
        check_call(self.full_name, args, kwargs)
        bound = {"dtype": None, "copy": True if self._always_copies else None, "order": "K", "subok": False, "ndmin": 0}
        names = {"cupy.array": ("dtype", "copy", "order", "subok", "ndmin")}.get(self.full_name, ("dtype", "order"))
        source, *positional = args
        bound |= dict(zip(names, positional, strict=False)) | kwargs
        bound.pop("blocking", None)
        if bound.pop("subok"):
            raise NotImplementedError
        bound["order"] = bound["order"] or "K"
        if isinstance(source, StrictArray):
            elsewhere = source._device_id != self._xp.current_device_id
            value = np.array(source._value, **{**bound, "copy": True if elsewhere else bound["copy"]})
            return source if value is source._value else StrictArray(value, self._xp)
        if bound["copy"] is False:
            raise ValueError("Unable to avoid copy while creating an array as requested.")
        host = source if isinstance(source, np.ndarray) else _from_sequence(self._xp, source)
        return StrictArray(np.array(host, **{**bound, "copy": True}), self._xp)


def _from_sequence(xp: StrictCupy, source: Any) -> Any:
    """Nested sequences of numbers, or of arrays of the device, as CuPy stacks them."""
    if isinstance(source, StrictArray):
        return xp._enter(source)
    if isinstance(source, list | tuple):
        return [_from_sequence(xp, part) for part in source]
    return source


class StrictDevice:
    """`cupy.cuda.Device`: a device by its index, and a block in which it is the current one."""

    def __init__(self, xp: StrictCupy, device: Any = None) -> None:
        self._xp = xp
        self._before: list[int] = []
        self.id = xp.current_device_id if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StrictDevice) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> StrictDevice:
        self._before.append(self._xp.current_device_id)
        self._xp._set_device(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        self._xp._set_device(self._before.pop())

    def use(self) -> StrictDevice:
        self._xp._set_device(self.id)
        return self

    def synchronize(self) -> None:
        pass

    @property
    def compute_capability(self) -> str:
        return "90"


class StrictStream:
    """The default stream: everything is done when it returns."""

    ptr = 0

    def synchronize(self) -> None:
        pass


class StrictDriverError(RuntimeError):
    """`cupy.cuda.driver.CUDADriverError`."""


def check_geometry(grid: Sequence[int], block: Sequence[int]) -> None:
    """The limits of every device since compute capability 3.0; CuPy itself would raise a 0 to 1 in silence."""
    threads = int(np.prod(block))
    limits = (2**31 - 1, 65535, 65535)
    fits = all(1 <= size <= limit for size, limit in zip(grid, limits, strict=False)) and all(
        size >= 1 for size in block
    )
    if not fits or threads > 1024 or (len(block) > 2 and block[2] > 64):
        raise StrictDriverError(f"CUDA_ERROR_INVALID_VALUE: grid {tuple(grid)}, block {tuple(block)}")


class StrictKernelFunction:
    """A compiled kernel: checks what CuPy would pass on unchecked, then runs the NumPy reference."""

    def __init__(self, xp: StrictCupy, key: tuple[Any, str, tuple[str, ...]]) -> None:
        self._xp = xp
        self._key = key

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Iterable[Any], shared_mem: int = 0) -> None:
        assert isinstance(grid, tuple), grid
        assert isinstance(block, tuple), block
        check_geometry(grid, block)
        if self._key not in self._xp.references:
            raise LookupError(f"the kernel {self._key[1]!r} has no reference here: register it with the stand-in")
        passed = [self._argument(value) for value in args]
        self._xp.launches.append(Launch(self._key[1], grid, block, shared_mem, self._xp.current_device_id))
        with np.errstate(all="ignore"):
            self._xp.references[self._key](*passed)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, StrictArray):
            if value._device_id != self._xp.current_device_id:
                raise UndefinedOnDeviceError("a kernel was given an array of another device")
            return value._value
        if value is None or isinstance(value, np.generic):
            return value
        raise UndefinedOnDeviceError(f"a kernel was given {type(value)}: a NumPy scalar says how wide it is")


class StrictRawKernel(StrictKernelFunction):
    """`cupy.RawKernel`."""

    def __init__(
        self, xp: StrictCupy, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc"
    ) -> None:
        assert backend == "nvrtc"
        assert isinstance(options, tuple)
        super().__init__(xp, (code, name, options))

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Iterable[Any], *, shared_mem: int = 0
    ) -> None:
        super().__call__(grid, block, args, shared_mem)


class StrictModule:
    """`cupy.cuda.Module`: a cubin that was loaded."""

    def __init__(self, xp: StrictCupy) -> None:
        self._xp = xp
        self._cubin: bytes | None = None

    def load(self, cubin: bytes) -> None:
        if cubin[:4] != b"\x7fELF":
            raise StrictDriverError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")
        self._cubin = cubin

    def get_function(self, name: str) -> StrictKernelFunction:
        key = (self._cubin, name, ())
        if key not in self._xp.references:
            raise StrictDriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return StrictKernelFunction(self._xp, key)


# Where CuPy computes something else than NumPy's function of the same name.


def _take(a: np.ndarray, indices: Any, axis: int | None = None, out: Any = None) -> Any:
    return np.take(a, indices, axis, out, mode="wrap")


def _sort(a: np.ndarray, axis: int | None = -1, kind: str | None = None) -> np.ndarray:
    _check_kind(kind)
    return np.sort(a, axis, kind="stable")


def _argsort(a: np.ndarray, axis: int | None = -1, kind: str | None = None) -> np.ndarray:
    _check_kind(kind)
    return np.argsort(np.atleast_1d(a), axis, kind="stable")


def _check_kind(kind: str | None) -> None:
    if kind not in (None, "stable"):
        raise ValueError(f"kind can only be None or 'stable', got {kind!r}")


def _bincount(x: np.ndarray, weights: np.ndarray | None = None, minlength: int | None = None) -> np.ndarray:
    counts = np.bincount(x, weights, minlength or 0)
    if weights is not None and weights.dtype.kind == "f" and np.bincount(x).max(initial=0) > 1:
        raise UndefinedOnDeviceError("bincount adds floats in no fixed order: sort and sum segments")
    return counts


def _pad(array: np.ndarray, pad_width: Any, mode: str = "constant", **kwargs: Any) -> np.ndarray:
    if mode not in PAD_MODES:
        raise ValueError(f"mode '{mode}' is not supported")
    return np.pad(array, pad_width, mode, **kwargs)


def _einsum(*operands: Any, dtype: Any = None, optimize: Any = False) -> Any:
    return np.einsum(*operands, dtype=dtype, optimize=optimize)


def _nonzero(a: np.ndarray) -> tuple[np.ndarray, ...]:
    if not a.ndim:
        raise ValueError("Calling nonzero on 0d arrays is not allowed.")
    return np.nonzero(a)


def _as_strided(x: np.ndarray, shape: Any = None, strides: Any = None) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _argmax(a: np.ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _pick(np.argmax, a, axis, dtype, out, keepdims)


def _argmin(a: np.ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _pick(np.argmin, a, axis, dtype, out, keepdims)


def _pick(function: Any, a: np.ndarray, axis: Any, dtype: Any, out: Any, keepdims: bool) -> Any:
    found = function(a, axis, out=out, keepdims=keepdims)
    return found if dtype is None else np.asarray(found).astype(dtype)


def _without_failure(function: Callable[..., Any]) -> Callable[..., Any]:
    """cuSOLVER reports a singular matrix in a status that CuPy does not look at: the result is not a number."""

    def call(a: np.ndarray, *rest: Any) -> Any:
        try:
            return function(a, *rest)
        except np.linalg.LinAlgError as exc:
            if "Singular" not in str(exc) and "positive definite" not in str(exc):
                raise
            return np.full_like(function(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape), *rest), np.nan)

    return call


COMPUTE: dict[str, Callable[..., Any]] = {
    "cupy.take": _take,
    "cupy.sort": _sort,
    "cupy.argsort": _argsort,
    "cupy.bincount": _bincount,
    "cupy.pad": _pad,
    "cupy.einsum": _einsum,
    "cupy.nonzero": _nonzero,
    "cupy.argmax": _argmax,
    "cupy.argmin": _argmin,
    "cupy.lib.stride_tricks.as_strided": _as_strided,
    "cupy.linalg.inv": _without_failure(np.linalg.inv),
    "cupy.linalg.cholesky": _without_failure(np.linalg.cholesky),
    "cupy.linalg.solve": _without_failure(np.linalg.solve),
}


def install(monkeypatch: pytest.MonkeyPatch, devices: int = 2) -> StrictCupy:
    """Make `device("cuda:0")` and `device("cuda:1")` devices of a new stand-in, with the kernels of the library."""
    cuda = importlib.import_module("nasturtium.core.cuda")
    xp = StrictCupy(devices)
    for kernel in cuda.KERNELS.values():
        xp.register(kernel)
    # The package has a function of the name of this module.
    monkeypatch.setattr(importlib.import_module("nasturtium.core.device"), "_cupy", lambda: xp)
    return xp
