"""`StrictUfunc`: a ufunc with the loops of CuPy's, chosen as CuPy chooses, computed by NumPy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from .strict_array import NAMES, VALUES, StrictArray, UndefinedOnDeviceError

# What `cupy.add.at` and its like take, by the atomics of CUDA (cupy/_core/_routines_indexing.pyx).
WORDS = ("int32", "uint32", "int64", "uint64")
ATOMICS = {
    "add": (*WORDS, "float16", "float32", "float64"),
    "subtract": ("int32", "uint32"),
    "maximum": (*WORDS, "float32", "float64"),
    "minimum": (*WORDS, "float32", "float64"),
    "bitwise_and": WORDS,
    "bitwise_or": WORDS,
    "bitwise_xor": WORDS,
}
KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 2, "V": 3}  # V is bfloat16's, a kind CuPy does not know

# Here a Python int keeps its value beside integers, so that an int8 array is less than 300.
EXACT_INTEGERS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or"}


def dtype_of_char(char: str) -> np.dtype:
    """The dtype behind a character of a loop; `E` is bfloat16, for which NumPy has none."""
    return np.dtype(ml_dtypes.bfloat16) if char == "E" else np.dtype(char)


class StrictUfunc:
    """A ufunc of the stand-in.

    Args:
        name: CuPy's and NumPy's name.
        xp: the stand-in module.
    """

    def __init__(self, name: str, xp: Any) -> None:
        self.name = self.__name__ = name
        self._xp = xp
        self._compute = getattr(np, name)
        self.nin, self.nout, loops = NAMES[f"cupy.{name}"].loops
        self.nargs = self.nin + self.nout
        self.types = ["->".join(loop) for loop in loops]
        # Struct comparison is a loop too, which nothing here needs.
        self._loops = [
            ([dtype_of_char(c) for c in inputs], [dtype_of_char(c) for c in outputs])
            for inputs, outputs in loops
            if "V" not in inputs
        ]

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind", **kwargs: Any
    ) -> Any:
        if kwargs:
            raise TypeError(f"Wrong arguments {kwargs}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        if out is not None and len(args) > self.nin:
            raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
        outputs = args[self.nin :] if out is None else out if isinstance(out, tuple) else (out,)
        if outputs and len(outputs) != self.nout:
            raise ValueError("'out' must be a tuple of one array per output")
        operands = [self._enter(operand) for operand in args[: self.nin]]
        in_dtypes, out_dtypes = self._loop(operands, None if dtype is None else np.dtype(dtype))
        inputs = [
            operand.astype(to, copy=False) if isinstance(operand, np.ndarray) else np.asarray(operand, to)
            for operand, to in zip(operands, in_dtypes, strict=True)
        ]
        with np.errstate(all="ignore"):  # a device does not warn
            results = self._compute(*inputs)
        results = results if self.nout > 1 else (results,)
        given = outputs or (None,) * self.nout
        finished = [
            self._finish(np.asarray(result).astype(to, copy=False), target, casting)
            for result, to, target in zip(results, out_dtypes, given, strict=True)
        ]
        return finished[0] if self.nout == 1 else tuple(finished)

    def _enter(self, operand: Any) -> Any:
        value = self._xp._enter(operand)
        if not isinstance(value, VALUES):
            raise TypeError(f"Unsupported type {type(operand)}")
        return value

    def _finish(self, result: np.ndarray, target: StrictArray | None, casting: str) -> StrictArray:
        if target is None:
            return StrictArray(result, self._xp)
        into = self._enter(target)
        if not isinstance(into, np.ndarray):
            raise TypeError("return arrays must be of ArrayType")
        if np.broadcast_shapes(result.shape, into.shape) != into.shape:
            raise ValueError(f"Out shape is mismatched: {into.shape} for a result of shape {result.shape}")
        if not np.can_cast(result.dtype, into.dtype, casting):
            raise TypeError(f"Cannot cast output from {result.dtype} to {into.dtype} according to the rule {casting!r}")
        into[...] = result
        return target

    def _loop(self, operands: list[Any], dtype: np.dtype | None) -> tuple[list[np.dtype], list[np.dtype]]:
        """The first loop that takes the operands: a Python number adapts to the arrays unless its kind is higher."""
        if dtype is not None:
            for inputs, outputs in self._loops:
                if all(to == dtype for to in outputs):
                    return inputs, outputs
            raise TypeError(f"Wrong type ({dtype}) of arguments for cupy_{self.name}")
        weak = [type(operand) if type(operand) in (bool, int, float, complex) else None for operand in operands]
        weak = [None if kind is bool else kind for kind in weak]
        dtypes = [_dtype_of(operand) for operand in operands]
        arrays = [KINDS[to.kind] for to, kind in zip(dtypes, weak, strict=True) if kind is None]
        numbers = [KINDS[np.dtype(kind).kind] for kind in weak if kind is not None]
        if not (arrays and numbers and max(arrays) >= max(numbers)):
            weak = [None] * len(operands)
        if (
            self.name in EXACT_INTEGERS
            and int in weak
            and any(to.kind in "iu" for to, k in zip(dtypes, weak, strict=True) if k is None)
        ):
            weak = [None] * len(operands)
        for inputs, outputs in self._loops:
            if all(map(_fits, dtypes, inputs, weak)):
                return inputs, outputs
        raise TypeError(f"Wrong type ({', '.join(map(str, dtypes))}) of arguments for cupy_{self.name}")

    # The methods of a ufunc: add and multiply reduce, those with an atomic scatter, nothing else.

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        a, b = self._xp.array(a), self._xp.array(b)
        return self(a.reshape(a.shape + (1,) * b.ndim), b.reshape((1,) * a.ndim + b.shape), **kwargs)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return self._routine("reduce", {"add": "sum", "multiply": "prod"})(array, axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        return self._routine("accumulate", {"add": "cumsum", "multiply": "cumprod"})(array, axis, dtype, out)

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.name != "add":
            raise NotImplementedError(f"`cupy_{self.name}.reduceat` is not supported yet")
        entered = np.add.reduceat(self._xp._enter(array), self._xp._enter(indices), axis, dtype)
        return self._finish(entered, out, "same_kind")

    def _routine(self, method: str, routines: dict[str, str]) -> Any:
        if self.name not in routines:
            raise NotImplementedError(f"`cupy_{self.name}.{method}` is not supported yet")
        return getattr(self._xp, routines[self.name])

    def at(self, a: StrictArray, indices: Any, b: Any = None) -> None:
        """Scatter; refuses a sum of floats whose order the device leaves open."""
        if self.name not in ATOMICS:
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        if a.dtype.name not in ATOMICS[self.name]:
            raise TypeError(f"cupy.{self.name}.at only supports {', '.join(ATOMICS[self.name])} as data type")
        key, advanced = a._key(indices)
        if advanced and self.name == "add" and a.dtype.kind == "f":
            places = np.arange(a.size).reshape(a.shape)[key]
            if len(np.unique(places)) < places.size:
                raise UndefinedOnDeviceError("floats are added in one place in no fixed order: sort and sum segments")
        self._compute.at(self._xp._enter(a), key, np.asarray(self._enter(b), a.dtype))


def _dtype_of(operand: Any) -> np.dtype:
    if type(operand) is int:
        return np.dtype(np.uint64 if operand >= 2**63 else np.int64)
    return operand.dtype if isinstance(operand, np.ndarray | np.generic) else np.dtype(type(operand))


def _fits(given: np.dtype, wanted: np.dtype, weak: type | None) -> bool:
    if np.can_cast(given, wanted):
        return True
    if weak is None:
        return False
    try:
        return np.result_type(weak(0), wanted) == wanted
    except TypeError:
        return False
