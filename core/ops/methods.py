"""Binds the operators and methods of `Tensor` to ops."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..device import Device, device
from ..errors import ConfigError
from ..shapes import as_dtype
from ..tensor import Tensor
from . import compare, elementwise, integer, linalg, reduce, rounding, shape
from .index import assign, index


def _reflected(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: function(other, self)


def _reshape(self: Tensor, *lengths: int | Sequence[int]) -> Tensor:
    new = lengths[0] if len(lengths) == 1 and not isinstance(lengths[0], int) else lengths
    return shape.reshape(self, shape=tuple(new))  # pyright: ignore[reportArgumentType]


def _transpose(self: Tensor, *axes: int) -> Tensor:
    return shape.transpose(self, axes=axes or tuple(reversed(range(self.ndim))))


def _sum(self: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return reduce.sum(self, axis=axis, keepdims=keepdims)


def _mean(self: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return reduce.mean(self, axis=axis, keepdims=keepdims)


def _max(self: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return reduce.max(self, axis=axis, keepdims=keepdims)


def _min(self: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return reduce.min(self, axis=axis, keepdims=keepdims)


def _astype(self: Tensor, dtype: Any) -> Tensor:
    return elementwise.astype(self, dtype=as_dtype(dtype).name)


def _to(self: Tensor, target: str | Device) -> Tensor:
    return shape.to_device(self, device=str(device(target)), source=str(self.device))


def _to_device(self: Tensor, target: str | Device, /, *, stream: Any = None) -> Tensor:
    if stream is not None:
        raise ConfigError(f"to_device: expected stream=None, the current one, got {stream!r}")
    return _to(self, target)


_METHODS: dict[str, Any] = {
    "__add__": elementwise.add,
    "__radd__": _reflected(elementwise.add),
    "__sub__": elementwise.subtract,
    "__rsub__": _reflected(elementwise.subtract),
    "__mul__": elementwise.multiply,
    "__rmul__": _reflected(elementwise.multiply),
    "__truediv__": elementwise.divide,
    "__rtruediv__": _reflected(elementwise.divide),
    "__floordiv__": rounding.floor_divide,
    "__rfloordiv__": _reflected(rounding.floor_divide),
    "__mod__": rounding.remainder,
    "__rmod__": _reflected(rounding.remainder),
    "__pow__": elementwise.power,
    "__rpow__": _reflected(elementwise.power),
    "__and__": integer.bitwise_and,
    "__rand__": _reflected(integer.bitwise_and),
    "__or__": integer.bitwise_or,
    "__ror__": _reflected(integer.bitwise_or),
    "__xor__": integer.bitwise_xor,
    "__rxor__": _reflected(integer.bitwise_xor),
    "__lshift__": integer.bitwise_left_shift,
    "__rlshift__": _reflected(integer.bitwise_left_shift),
    "__rshift__": integer.bitwise_right_shift,
    "__rrshift__": _reflected(integer.bitwise_right_shift),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _reflected(linalg.matmul),
    "__neg__": elementwise.negative,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.absolute,
    "__invert__": integer.bitwise_invert,
    "__lt__": compare.less,
    "__le__": compare.less_equal,
    "__gt__": compare.greater,
    "__ge__": compare.greater_equal,
    "__eq__": compare.equal,
    "__ne__": compare.not_equal,
    "__getitem__": index,
    "__setitem__": assign,
    "astype": _astype,
    "to": _to,
    "to_device": _to_device,
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "min": _min,
    "reshape": _reshape,
    "transpose": _transpose,
    "T": property(shape.swap_last),
    "mT": property(shape.swap_last),
}


for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
