"""The elementwise functions: ops under the standard's names, which take tensors and, beside one, Python numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..tensor import Tensor

Operand = Tensor | bool | int | float | complex


def _unary(function: Callable[..., Any], name: str) -> Callable[[Tensor], Tensor]:
    def elementwise(x: Tensor, /) -> Tensor:
        return function(x)

    return _named(elementwise, function, name)


def _binary(function: Callable[..., Any], name: str) -> Callable[[Operand, Operand], Tensor]:
    def elementwise(x1: Operand, x2: Operand, /) -> Tensor:
        return function(x1, x2)

    return _named(elementwise, function, name)


def _named(wrapper: Any, function: Callable[..., Any], name: str) -> Any:
    wrapper.__name__ = wrapper.__qualname__ = name
    wrapper.__doc__ = function.__doc__
    return wrapper


def clip(x: Tensor, /, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """`x`, but nowhere below `min` or above `max`, in the dtype of `x`; None is no bound."""
    return ops.clip(x, min=min, max=max)


abs = _unary(ops.absolute, "abs")
acos = _unary(ops.acos, "acos")
acosh = _unary(ops.acosh, "acosh")
add = _binary(ops.add, "add")
asin = _unary(ops.asin, "asin")
asinh = _unary(ops.asinh, "asinh")
atan = _unary(ops.atan, "atan")
atan2 = _binary(ops.atan2, "atan2")
atanh = _unary(ops.atanh, "atanh")
bitwise_and = _binary(ops.bitwise_and, "bitwise_and")
bitwise_invert = _unary(ops.bitwise_invert, "bitwise_invert")
bitwise_left_shift = _binary(ops.bitwise_left_shift, "bitwise_left_shift")
bitwise_or = _binary(ops.bitwise_or, "bitwise_or")
bitwise_right_shift = _binary(ops.bitwise_right_shift, "bitwise_right_shift")
bitwise_xor = _binary(ops.bitwise_xor, "bitwise_xor")
ceil = _unary(ops.ceil, "ceil")
conj = _unary(ops.conjugate, "conj")
copysign = _binary(ops.copysign, "copysign")
cos = _unary(ops.cos, "cos")
cosh = _unary(ops.cosh, "cosh")
divide = _binary(ops.divide, "divide")
equal = _binary(ops.equal, "equal")
exp = _unary(ops.exp, "exp")
expm1 = _unary(ops.expm1, "expm1")
floor = _unary(ops.floor, "floor")
floor_divide = _binary(ops.floor_divide, "floor_divide")
greater = _binary(ops.greater, "greater")
greater_equal = _binary(ops.greater_equal, "greater_equal")
hypot = _binary(ops.hypot, "hypot")
imag = _unary(ops.imag, "imag")
isfinite = _unary(ops.isfinite, "isfinite")
isinf = _unary(ops.isinf, "isinf")
isnan = _unary(ops.isnan, "isnan")
less = _binary(ops.less, "less")
less_equal = _binary(ops.less_equal, "less_equal")
log = _unary(ops.log, "log")
log1p = _unary(ops.log1p, "log1p")
log2 = _unary(ops.log2, "log2")
log10 = _unary(ops.log10, "log10")
logaddexp = _binary(ops.logaddexp, "logaddexp")
logical_and = _binary(ops.logical_and, "logical_and")
logical_not = _unary(ops.logical_not, "logical_not")
logical_or = _binary(ops.logical_or, "logical_or")
logical_xor = _binary(ops.logical_xor, "logical_xor")
maximum = _binary(ops.maximum, "maximum")
minimum = _binary(ops.minimum, "minimum")
multiply = _binary(ops.multiply, "multiply")
negative = _unary(ops.negative, "negative")
nextafter = _binary(ops.nextafter, "nextafter")
not_equal = _binary(ops.not_equal, "not_equal")
positive = _unary(ops.positive, "positive")
pow = _binary(ops.power, "pow")
real = _unary(ops.real, "real")
reciprocal = _unary(ops.reciprocal, "reciprocal")
remainder = _binary(ops.remainder, "remainder")
round = _unary(ops.round, "round")
sign = _unary(ops.sign, "sign")
signbit = _unary(ops.signbit, "signbit")
sin = _unary(ops.sin, "sin")
sinh = _unary(ops.sinh, "sinh")
sqrt = _unary(ops.sqrt, "sqrt")
square = _unary(ops.square, "square")
subtract = _binary(ops.subtract, "subtract")
tan = _unary(ops.tan, "tan")
tanh = _unary(ops.tanh, "tanh")
trunc = _unary(ops.trunc, "trunc")
