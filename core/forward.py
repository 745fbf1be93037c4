"""Forward-mode differentiation: `jvp` carries a tangent beside every value; `hvp` puts it over the reverse mode."""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from . import ops, tree
from .autograd import TENSORS, deeper, grad, ones_like, variable, zeros_like
from .dispatch import Traced, apply
from .errors import GradientError, ShapeError
from .op import Jvp, OpDef
from .shapes import is_inexact
from .tape import pullback
from .tensor import Scalar, Tensor

next_level = count(1).__next__  # later transformations are inside earlier ones


class Dual(Traced):
    """A value and its tangent, the derivative along the direction that `jvp` was given."""

    __slots__ = ("tangent",)

    tangent: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @classmethod
    def make(cls, level: int, primal: Tensor, tangent: Tensor) -> Dual:
        """Pair a value with its tangent."""
        dual = cls.__new__(cls)
        dual.data, dual.tangent, dual.level, dual.node = primal, tangent, level, None
        return dual

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """The op on the values, its forward rule on the tangents."""
        mine = [isinstance(value, Dual) and value.level == level for value in inputs]
        primals = [value.data if own else value for value, own in zip(inputs, mine, strict=True)]
        tangents = [value.tangent if own else None for value, own in zip(inputs, mine, strict=True)]
        output = apply(op, primals, params)
        if not op.differentiable:
            return output
        tangent = tangent_of(op, primals, tangents, output, params)
        if isinstance(output, tuple):
            return tuple(cls.make(level, o, t) for o, t in zip(output, tangent, strict=True))
        return cls.make(level, output, tangent)

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """The value without its tangent, at this level and below."""
        from .autograd import stop_gradient

        return stop_gradient(x.data)


def tangent_of(
    op: OpDef, primals: Sequence[Any], tangents: Sequence[Tensor | None], output: Any, params: Mapping[str, Any]
) -> Any:
    """The tangent of an op's output, from those of its inputs (None is zero).

    Args:
        op: which op.
        primals: its inputs.
        tangents: one per input, of its shape and dtype.
        output: the op's result at `primals`.
        params: the op's parameters.
    """
    rule = op.jvp
    if rule is Jvp.LINEAR:
        return apply(op, [_zeros(p) if t is None else t for p, t in zip(primals, tangents, strict=True)], params)
    if rule is Jvp.TRANSPOSED:
        return _transposed(op, primals, tangents, output, params)
    if rule is Jvp.NONE:
        raise GradientError(f"{op.name} has no forward rule")
    if callable(rule):
        return rule(tuple(tangents), output, *primals, **params)
    parts: list[Any] = []
    for position, tangent in enumerate(tangents):
        if tangent is None:
            continue
        if rule is Jvp.MULTILINEAR:
            parts.append(apply(op, [*primals[:position], tangent, *primals[position + 1 :]], params))
            continue
        written = op.input_vjp(position) if rule is Jvp.DIAGONAL else rule[position]  # pyright: ignore[reportIndexIssue]
        if written is None:
            continue
        if rule is Jvp.DIAGONAL and tangent.shape != output.shape:
            tangent = ops.broadcast_to(tangent, shape=output.shape)
        part = written(tangent, output, *primals, **params)
        if not isinstance(part, tuple) and part.shape != output.shape:
            part = ops.broadcast_to(part, shape=output.shape)
        parts.append(part)
    if not parts:
        return _mapped(_zeros, output)
    total = parts[0]
    for part in parts[1:]:
        total = _mapped(operator.add, total, part)
    return _mapped(_typed, total, output)


def _typed(tangent: Tensor, output: Tensor) -> Tensor:
    return tangent if tangent.dtype == output.dtype else tangent.astype(output.dtype)


def _fresh(output: Tensor) -> Tensor:
    return variable(zeros_like(output))


def _mapped(function: Callable[..., Any], *values: Any) -> Any:
    """`function` on tensors, or on each of tuples of them."""
    if isinstance(values[0], tuple):
        return tuple(function(*row) for row in zip(*values, strict=True))
    return function(*values)


def _transposed(
    op: OpDef, primals: Sequence[Any], tangents: Sequence[Tensor | None], output: Any, params: Mapping[str, Any]
) -> Any:
    """J t from the vjp alone: u -> <J^T u, t> is linear, and its gradient is J t."""
    with deeper():
        cotangents = _mapped(_fresh, output)
        pairing: Tensor | None = None
        joint = op.vjp(cotangents, output, *primals, **params) if callable(op.vjp) else None
        for position, tangent in enumerate(tangents):
            if tangent is None:
                continue
            if joint is not None:
                part = joint[position]
            else:
                written = op.input_vjp(position)
                part = written(cotangents, output, *primals, **params) if written is not None else None
            if part is None:
                continue
            if op.elementwise and part.shape != tangent.shape:
                from .ops.declare import sum_to

                part = sum_to(part, tangent.shape)
            product = ops.sum(part * tangent)
            pairing = product if pairing is None else pairing + product
        if pairing is None or pairing.node is None:
            return _mapped(_zeros, output)
        variables = list(cotangents) if isinstance(cotangents, tuple) else [cotangents]
        found = pullback(
            pairing.node, ones_like(pairing), TENSORS, wanted=frozenset(item.node for item in variables), free=False
        )  # the plain pullback: nothing is conjugated
        parts = [found.get(item.node, _zeros(item)) for item in variables]
    return tuple(parts) if isinstance(output, tuple) else parts[0]


def _zeros(like: Any) -> Any:
    if isinstance(like, Scalar):
        return type(like)(0)
    return zeros_like(like)


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of a function and its derivative along a direction, in one forward pass.

    Args:
        function: takes tensors or trees of them, returns a tensor or a tree of them.
        primals: its arguments.
        tangents: the direction, shaped like `primals`.

    Returns:
        The value and its tangent, shaped alike.

    Raises:
        ShapeError: a tangent is not of its argument's shape.
        GradientError: an argument is not floating.
    """
    if len(primals) != len(tangents):
        raise ShapeError(f"jvp: expected one tangent per argument, got {len(tangents)} for {len(primals)}")
    level = next_level()

    def pair(primal: Any, tangent: Any) -> Dual:
        primal = primal if isinstance(primal, Tensor) else Tensor(primal)
        tangent = tangent if isinstance(tangent, Tensor) else Tensor(tangent)
        if not is_inexact(primal.dtype):
            raise GradientError(f"jvp: only floating tensors have tangents, got dtype {primal.dtype}")
        if tangent.shape != primal.shape:
            raise ShapeError(f"jvp: the tangent's shape is {tangent.shape}, the argument's {primal.shape}")
        return Dual.make(level, primal, tangent if tangent.dtype == primal.dtype else tangent.astype(primal.dtype))

    args = [tree.mapped(pair, primal, tangent) for primal, tangent in zip(primals, tangents, strict=True)]
    result = function(*args)

    def value(item: Any) -> Any:
        return item.data if isinstance(item, Dual) and item.level == level else item

    def tangent(item: Any) -> Any:
        return item.tangent if isinstance(item, Dual) and item.level == level else _zeros(item)

    return tree.mapped(value, result), tree.mapped(tangent, result)


def hvp(
    function: Callable[..., Tensor], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, tuple[Any, ...]]:
    """Gradient of a scalar function and its Hessian-vector product, without the Hessian (forward over reverse).

    Args:
        function: returns a tensor with one element.
        primals: its arguments, tensors or trees of them.
        tangents: the vector, shaped like `primals`.

    Returns:
        The gradients and the products, each a tuple with one entry per argument.

    Source: Pearlmutter 1994, Fast exact multiplication by the Hessian.
    """
    return jvp(grad(function, argnums=tuple(range(len(primals)))), primals, tangents)


def primal(x: Tensor) -> Tensor:
    """The tensor of values under any number of tangents: for state that follows the values, as running statistics do.
    While a function is compiled that is a tensor without elements.

    Raises:
        GradientError: under `vmap` or per-sample gradients there is no one value.
    """
    while isinstance(x, Dual):
        x = x.data
    if isinstance(x, Traced) and not x.stateful:
        raise GradientError(
            "state that is updated by a forward pass, such as the running statistics of batch norm, has no meaning "
            f"inside {type(x).__name__.lower()} transformations",
            hint="call model.eval(), or use nn.GroupNorm or nn.LayerNorm",
        )
    return x
