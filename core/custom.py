"""Functions with gradients of your own: `custom_vjp`, `custom_jvp`, and kernels as ops, `kernel_op`.

A decorated function takes tensors by position and parameters by keyword, returns a tensor or a tuple of tensors, and
behaves like an op: it is recorded, batched and differentiated by the rule given. The other mode is derived: a vjp is
linear in the output gradient and a jvp in the tangents, so either can be transposed into the other.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from . import ops, tree
from .autograd import ARRAYS, TENSORS, deeper, ones_like, variable, zeros_like
from .device import Array, ArrayModule
from .dispatch import apply
from .errors import ConfigError, GradientError
from .op import Batch, Flags, Jvp, OpDef, Rule, Tolerance, everywhere
from .shapes import Spec, is_inexact, spec_of
from .tape import current_mode, pullback, recording
from .tensor import Scalar, Tensor, wrap
from .vmap import vmap

Function = Callable[..., Any]


def custom_vjp(rule: Rule, *, saves: Iterable[str] = ("inputs", "out")) -> Callable[[Function], Function]:
    """Give a function a reverse-mode rule of its own; the forward-mode rule is derived from it.

    Args:
        rule: `(output gradient, output, *inputs, **params) -> gradients`, one per input, None where there is none;
            a single gradient for a function of one input. Written with ops and operators, so that it can be
            differentiated again; it may be handed plain arrays, which ops take too.
        saves: "inputs" and "out", or less: what the rule reads. What is left out arrives as a `Spec`.

    Example: a function that is the identity, with its gradient clipped.

        >>> import numpy as np
        >>> from nasturtium.core import Tensor, custom_vjp, grad, ops
        >>> @custom_vjp(lambda g, y, x, *, bound: ops.clip(g, min=-bound, max=bound), saves=())
        ... def clip_gradient(x, *, bound):
        ...     return x
        >>> grad(lambda x: (clip_gradient(x, bound=1.0) * 5.0).sum())(Tensor([1.0, 2.0]))
        Tensor([1., 1.], dtype=float32)
    """

    def decorate(function: Function) -> Function:
        definition = _definition(function, vjp=_joint(rule), jvp=Jvp.TRANSPOSED, saves=frozenset(saves))
        return _callable(function, definition)

    return decorate


def custom_jvp(rule: Rule) -> Callable[[Function], Function]:
    """Give a function a forward-mode rule of its own; the reverse-mode rule is derived by transposing it.

    Args:
        rule: `(tangents, output, *inputs, **params) -> output tangent`, linear in `tangents`, which holds one tensor
            per input. Written with ops and operators.
    """

    def decorate(function: Function) -> Function:
        definition = _definition(
            function, vjp=_transposed(rule), jvp=_with_zeros(rule), saves=frozenset({"inputs", "out"})
        )
        return _callable(function, definition)

    return decorate


def kernel_op(
    name: str,
    *,
    reference: Callable[..., Array],
    cuda: Callable[..., Array],
    infer: Callable[..., Any] | None = None,
    vjp: Rule | None = None,
    saves: Iterable[str] = ("inputs", "out"),
    tolerance: Tolerance | None = None,
    deterministic: bool = True,
) -> Function:
    """An op from a kernel of your own: CUDA on the GPU, NumPy elsewhere, differentiable by the rule given.

    Args:
        name: for messages.
        reference: `(*arrays, **params) -> array` in NumPy: runs on the CPU, and is what the kernel is tested against.
        cuda: `(*arrays, **params) -> array` on CuPy arrays: launches a `cuda.CudaKernel` (from source) or a
            `cuda.DriverKernel` (a compiled cubin), or composes CuPy calls.
        infer: `(*specs, **params) -> Spec`; by default shape and dtype of the first input.
        vjp: as for `custom_vjp`; without one, asking for a gradient is an error.
        saves: as for `custom_vjp`.
        deterministic: False for a kernel that gives other bits from run to run, as sums by atomics do; it runs only
            inside `allow_nondeterminism`.

    Returns:
        A function on tensors. Check its gradient with `gradcheck`.
    """

    def forward(xp: ArrayModule, *arrays: Array, **params: Any) -> Array:
        return reference(*arrays, **params) if xp.__name__ == "numpy" else cuda(*arrays, **params)

    def missing(g: Any, y: Any, *inputs: Any, **params: Any) -> Any:
        raise GradientError(f"{name} has no gradient rule", hint="give kernel_op a vjp")

    definition = OpDef(
        name=name,
        forward=forward,
        infer=infer or (lambda *specs, **params: specs[0]),
        vjp=_joint(vjp or missing),
        saves=frozenset(saves),
        jvp=Jvp.TRANSPOSED,
        batch=Batch.LOOP,
        per_sample=None,
        reference=reference,
        samples=(),
        tolerance=tolerance or Tolerance(),
        flags=Flags.NONE if deterministic else Flags.NONDETERMINISTIC,
        doc=reference.__doc__ or "",
    )
    return _callable(reference, definition)


def _callable(function: Function, definition: OpDef) -> Function:
    @wraps(function)
    def call(*inputs: Any, **params: Any) -> Any:
        return apply(definition, [x if isinstance(x, Tensor | Scalar) else Tensor(x) for x in inputs], params)

    return call


def _definition(function: Function, *, vjp: Rule, jvp: Any, saves: frozenset[str]) -> OpDef:
    def forward(xp: ArrayModule, *arrays: Array, **params: Any) -> Any:
        with recording(False):
            result = function(*(a if isinstance(a, Scalar) else wrap(a) for a in arrays), **params)
        return tuple(item.data for item in result) if isinstance(result, tuple) else result.data

    def batch(size: int, batched: Sequence[bool], *inputs: Any, **params: Any) -> Any:
        axes = [0 if own else None for own in batched]

        def batched_vjp(g: Any, y: Any, *saved: Any, **params: Any) -> tuple[Any, ...]:
            if any(isinstance(item, Spec) for item in (y, *saved)):
                shaped = [spec_of(item) for item in saved]
                saved = tuple(
                    Spec(s.shape[1:], s.dtype) if own and isinstance(item, Spec) else item
                    for s, own, item in zip(shaped, batched, saved, strict=True)
                )
            known = [not isinstance(item, Spec | Scalar) for item in saved]
            chosen = [axis if given else None for axis, given in zip(axes, known, strict=True)]

            def one(g: Any, y: Any, *tensors: Any) -> tuple[Any, ...]:
                parts = vjp(g, y, *tensors, **params)
                return tuple(zeros_like(g) if part is None else part for part in parts)

            outs = 0 if not isinstance(y, Spec) else None
            parts = _lifted(vmap(one, [0, outs, *chosen]), g, y, *saved)
            return tuple(part if own else ops.sum(part, axis=0) for part, own in zip(parts, batched, strict=True))

        inner = _definition(vmap(function, axes), vjp=batched_vjp, jvp=jvp, saves=saves)
        return apply(inner, inputs, params)

    return OpDef(
        name=getattr(function, "__name__", "function"),
        forward=forward,
        infer=lambda *specs, **params: specs[0],
        vjp=vjp,
        saves=saves,
        jvp=jvp,
        batch=batch,
        per_sample=everywhere,
        reference=forward,
        samples=(),
        flags=Flags.HALF,
        doc=function.__doc__ or "",
    )


def _joint(rule: Rule) -> Rule:
    """A rule that may return one bare gradient, as one that returns a tuple."""

    def joint(g: Any, y: Any, *inputs: Any, **params: Any) -> tuple[Any, ...]:
        parts = rule(g, y, *inputs, **params)
        parts = tuple(parts) if isinstance(parts, tuple | list) else (parts,)
        if len(parts) != len(inputs):
            raise ConfigError(
                f"a vjp rule must return one gradient per input: expected {len(inputs)}, got {len(parts)}"
            )
        return parts

    return joint


def _lifted(function: Function, *values: Any) -> Any:
    """Call a function of tensors with arrays, and get arrays; tensors and everything else pass through."""
    if any(isinstance(leaf, Tensor) for leaf in tree.leaves(list(values))):
        return function(*values)
    with recording(False):
        result = function(*(tree.mapped(_lift, value) for value in values))
    return tuple(item.data for item in result) if isinstance(result, tuple) else result.data


def _with_zeros(rule: Rule) -> Rule:
    """A joint forward rule, for tangents of which some are None."""

    def joint(tangents: Sequence[Tensor | None], y: Any, *inputs: Any, **params: Any) -> Any:
        filled = tuple(
            zeros_like(x) if t is None and not isinstance(x, Scalar) else t
            for t, x in zip(tangents, inputs, strict=True)
        )
        return rule(filled, y, *inputs, **params)

    return joint


def _transposed(rule: Rule) -> Rule:
    """The reverse rule of a forward rule: t -> <rule(t), g> is linear, and its gradient is what is wanted."""

    def vjp(g: Any, y: Any, *inputs: Any, **params: Any) -> tuple[Any, ...]:
        on_tensors = isinstance(g[0] if isinstance(g, tuple) else g, Tensor)
        lift: Callable[[Any], Any] = (lambda x: x) if on_tensors else _lift
        seeds = [lift(item) for item in (g if isinstance(g, tuple) else (g,))]
        inputs = tuple(lift(x) for x in inputs)
        y = tuple(lift(item) for item in y) if isinstance(y, tuple) else lift(y)
        again = on_tensors and current_mode().recording
        with deeper():
            tangents = [
                variable(zeros_like(x)) if isinstance(x, Tensor) and is_inexact(x.dtype) else None for x in inputs
            ]
            result = rule(tuple(tangents), y, *inputs, **params)
            results = result if isinstance(result, tuple) else (result,)
            pairing = None
            for part, seed in zip(results, seeds, strict=True):
                product = ops.sum(part * seed)
                pairing = product if pairing is None else pairing + product
            if pairing is None or pairing.node is None:
                return (None,) * len(inputs)
            wanted = frozenset(t.node for t in tangents if t is not None and t.node is not None)
            one = ones_like(pairing)
            plain = not on_tensors
            with recording(again):
                found = pullback(
                    pairing.node, one.data if plain else one, ARRAYS if plain else TENSORS, wanted=wanted, free=plain
                )
        return tuple(None if t is None or t.node is None else found.get(t.node) for t in tangents)

    return vjp


def _lift(value: Any) -> Any:
    """An array as a tensor, everything else as it is."""
    return value if isinstance(value, Scalar | Spec) or value is None else wrap(value)
