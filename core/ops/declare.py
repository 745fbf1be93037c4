"""`@op`: turns one array function and its rules into an entry of the op table and a function on tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from .. import shapes
from ..device import Array, ArrayModule
from ..dispatch import callable_for
from ..op import OPS, Batch, Flags, Invalid, Jvp, OpDef, Rule, Sample, Tolerance, everywhere
from ..shapes import Axis, Spec
from ..tensor import Tensor

Forward = Callable[..., Array]
OpFunction = Callable[..., Any]


def op(
    *,
    infer: Callable[..., Any],
    vjp: Sequence[Rule | None] | Rule,
    saves: Iterable[str],
    jvp: Jvp | Sequence[Rule | None],
    batch: Batch | Rule,
    per_sample: Callable[..., bool] | None,
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    ghost: Mapping[int, Rule] | None = None,
    invalid: Sequence[Invalid] = (),
    onnx: str | None = None,
    kernel: str | None = None,
    tolerance: Tolerance | None = None,
    flags: Flags = Flags.NONE,
    macs: Callable[..., int] | None = None,
    ufunc: str | None = None,
    name: str | None = None,
) -> Callable[[Forward], OpFunction]:
    """Declare an op; see `OpDef` for the fields. The function's name is the op's name unless `name` says otherwise."""

    def declare(forward: Forward) -> OpFunction:
        definition = OpDef(
            name=name or forward.__name__,
            forward=forward,
            infer=infer,
            vjp=vjp if callable(vjp) else tuple(vjp),
            saves=frozenset(saves),
            jvp=jvp,
            batch=batch,
            per_sample=per_sample,
            ghost=dict(ghost or {}),
            reference=reference,
            samples=tuple(samples),
            invalid=tuple(invalid),
            onnx=onnx,
            kernel=kernel,
            tolerance=tolerance or Tolerance(),
            flags=flags,
            macs=macs,
            ufunc=ufunc,
            doc=forward.__doc__ or "",
        )
        OPS.add(definition.name, definition)
        function: Any = wraps(forward)(callable_for(definition))
        signature = inspect.signature(forward)
        shown = signature.replace(parameters=list(signature.parameters.values())[1:])
        function.__signature__ = shown  # what users pass: no `xp`
        return function

    return declare


def elementwise(
    *,
    vjp: Sequence[Rule | None],
    saves: Iterable[str],
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    infer: Callable[..., Any] | None = None,
    jvp: Jvp | Sequence[Rule | None] | None = None,
    invalid: Sequence[Invalid] = (),
    onnx: str | None = None,
    kernel: str | None = None,
    tolerance: Tolerance | None = None,
    flags: Flags = Flags.NONE,
    ufunc: str | None = None,
    name: str | None = None,
) -> Callable[[Forward], OpFunction]:
    """Declare an op whose inputs broadcast and whose elements are computed one by one. Its rules may ignore
    broadcasting; inference, forward rule and batching follow from that.
    """
    return op(
        infer=infer or promoted,
        vjp=vjp,
        saves=saves,
        jvp=jvp if jvp is not None else Jvp.DIAGONAL,
        batch=Batch.ELEMENTWISE,
        per_sample=aligned_samples,
        reference=reference,
        samples=samples,
        invalid=invalid,
        onnx=onnx,
        kernel=kernel,
        tolerance=tolerance,
        flags=flags | Flags.ELEMENTWISE,
        ufunc=ufunc,
        name=name,
    )


def discrete(
    *,
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    infer: Callable[..., Any],
    batch: Batch | Rule = Batch.ELEMENTWISE,
    per_sample: Callable[..., bool] | None = everywhere,
    invalid: Sequence[Invalid] = (),
    onnx: str | None = None,
    kernel: str | None = None,
    flags: Flags = Flags.NONE,
    name: str | None = None,
) -> Callable[[Forward], OpFunction]:
    """Declare an op without a gradient: comparisons, integer arithmetic, rounding, searching."""

    def declare(forward: Forward) -> OpFunction:
        return op(
            infer=infer,
            vjp=_no_gradients,
            saves=(),
            jvp=Jvp.NONE,
            batch=batch,
            per_sample=aligned_samples if batch is Batch.ELEMENTWISE else per_sample,
            reference=reference,
            samples=samples,
            invalid=invalid,
            onnx=onnx,
            kernel=kernel,
            flags=flags | Flags.NONDIFFERENTIABLE | (Flags.ELEMENTWISE if batch is Batch.ELEMENTWISE else Flags.NONE),
            name=name,
        )(forward)

    return declare


def _no_gradients(g: Any, y: Any, *inputs: Any, **params: Any) -> tuple[None, ...]:
    return (None,) * len(inputs)


def promoted(*specs: Spec, **params: Any) -> Spec:
    """Inference of arithmetic: broadcast shape, promoted dtype."""
    return Spec(
        shapes.broadcast_shapes(*(spec.shape for spec in specs), op="elementwise"),
        shapes.result_dtype(*(spec.dtype for spec in specs)),
    )


def promoted_floating(*specs: Spec, **params: Any) -> Spec:
    """Inference of mathematical functions: broadcast shape, promoted dtype, integers as float32."""
    shape, dtype = promoted(*specs)
    return Spec(shape, shapes.to_floating(dtype))


def boolean(*specs: Spec, **params: Any) -> Spec:
    """Inference of comparisons: broadcast shape, bool."""
    return Spec(promoted(*specs).shape, shapes.as_dtype("bool"))


def aligned_samples(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
    """Sample rule of elementwise ops: every input with samples has them along the leading axis of the result, and no
    other input is longer than 1 there.
    """
    rank = max(spec.ndim for spec in specs)
    return all(
        spec.ndim == rank if carried else spec.ndim < rank or spec.shape[0] == 1
        for carried, spec in zip(carries, specs, strict=True)
    )


def floating(xp: ArrayModule, x: Array) -> Array:
    """`x` itself if it is inexact, as float32 if it holds integers or booleans."""
    return x.astype(xp.float32) if getattr(x, "dtype", None) is not None and x.dtype.kind in "iub" else x


def sum_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient (tensor or array) over the axes that were broadcast, back to `shape`."""
    if gradient.shape == shape:
        return gradient
    from .reduce import sum as sum_op  # these modules import this one
    from .shape import reshape

    lead = len(gradient.shape) - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + axis for axis, length in enumerate(shape) if length == 1 and gradient.shape[lead + axis] != 1
    )
    return reshape(sum_op(gradient, axis=axes, keepdims=True), shape=shape) if axes else reshape(gradient, shape=shape)


def constant(value: Any) -> Any:
    """The elements of a tensor or array as something no gradient flows into."""
    return value.detach() if isinstance(value, Tensor) else value


def reduced_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes a reduction runs over, non-negative."""
    return shapes.normalize_axes(axis, ndim, op="reduction")
