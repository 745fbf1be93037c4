"""`@op`: turns one array function and its rules into an entry of the op table and a function on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from ..device import Array, ArrayModule
from ..op import OPS, InputVJP, Invalid, OpDef, Sample
from ..tensor import Tensor, apply

P = ParamSpec("P")


def op(
    *,
    vjp: Sequence[InputVJP | None] | InputVJP,
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    invalid: Sequence[Invalid] = (),
    onnx: str | None = None,
) -> Callable[[Callable[Concatenate[ArrayModule, P], Array]], Callable[P, Tensor]]:
    """Declare an op; see `OpDef` for the fields. The function's name is the op's name."""

    def declare(forward: Callable[Concatenate[ArrayModule, P], Array]) -> Callable[P, Tensor]:
        definition = OpDef(
            name=forward.__name__,
            forward=forward,
            vjp=vjp,
            reference=reference,
            samples=tuple(samples),
            invalid=tuple(invalid),
            onnx=onnx,
            doc=forward.__doc__ or "",
        )
        OPS.add(definition.name, definition)

        @wraps(forward)
        def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            return apply(definition, *args, **kwargs)

        return call

    return declare


def unbroadcast(gradient: Tensor, like: Tensor) -> Tensor:
    """Sum a gradient over the axes along which `like` was broadcast, back to the shape of `like`."""
    if gradient.shape == like.shape:
        return gradient
    lead = gradient.ndim - like.ndim
    axes = tuple(range(lead)) + tuple(
        lead + axis for axis, length in enumerate(like.shape) if length == 1 and gradient.shape[lead + axis] != 1
    )
    return gradient.sum(axes, keepdims=True).reshape(*like.shape)
