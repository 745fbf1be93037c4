"""Reverse-mode differentiation: of recorded tensors (`backward`, `grad(loss, parameters)`) and of functions (`grad(f)`,
`value_and_grad`, `vjp`), with checkpoints that trade memory for time.

Gradients of complex tensors are the direction of steepest ascent of a real value, dL/dRe + i dL/dIm, as in PyTorch;
JAX's are their conjugates.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, overload

from . import ops, tree
from .device import Array
from .dispatch import Traced, apply
from .errors import ConfigError, GradientError, ShapeError
from .op import Batch, Jvp, OpDef, everywhere
from .ops.declare import sum_to
from .shapes import Spec, is_inexact
from .tape import Node, current_mode, is_leaf, leaf_node, output_node, pullback, recording
from .tensor import PLAIN, Scalar, Tensor, wrap

# How many functional transformations are under way in this thread: inside one, passes are recorded themselves.
_depth: ContextVar[int] = ContextVar("differentiation depth", default=0)


class _Arrays:
    """Gradients as plain arrays: nobody will differentiate the pass."""

    load = None

    def cast(self, gradient: Array, dtype: Any) -> Array:
        if gradient.dtype.kind == "c" and dtype.kind != "c":
            gradient = gradient.real
        return gradient.astype(dtype, copy=False)

    def sum_to(self, gradient: Array, shape: tuple[int, ...]) -> Array:
        if gradient.shape == shape:
            return gradient
        lead = gradient.ndim - len(shape)
        if gradient.shape[lead:] == shape and gradient.dtype.itemsize > 2:  # a bias
            return gradient.sum(axis=0 if lead == 1 else tuple(range(lead)))
        return sum_to(gradient, shape)

    def zeros(self, like: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        return wrap(like).device.xp.zeros(shape, dtype)


class _Tensors:
    """Gradients as tensors, recorded or traced."""

    def cast(self, gradient: Tensor, dtype: Any) -> Tensor:
        if gradient.dtype.kind == "c" and dtype.kind != "c":
            gradient = ops.real(gradient)
        return gradient if gradient.dtype == dtype else gradient.astype(dtype)

    def sum_to(self, gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
        return gradient if gradient.shape == shape else sum_to(gradient, shape)

    def zeros(self, like: Tensor, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return filled(like, 0, shape, dtype)

    def load(self, node: Node, op: OpDef, saved: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        watch = current_mode().watch
        if watch is not None:
            watch.enter(node)
        inputs = tuple(_tensor(item, edge) for item, edge in zip(saved, node.edges, strict=True))
        if not op.keeps_output:
            return None, inputs
        if isinstance(node.output, tuple):
            outputs: tuple[Any, ...] = node.output
            return tuple(_tensor(item, output_node(node, i)) for i, item in enumerate(outputs)), inputs
        return _tensor(node.output, node), inputs


def _tensor(saved: Any, node: Node | None) -> Any:
    """A saved value as a tensor that gradients reach; specs and numbers as they are."""
    if saved is None or isinstance(saved, Spec | Scalar):
        return saved
    if isinstance(saved, Tensor):  # kept by an op inside a transformation
        if saved.node is node:
            return saved
        if isinstance(saved, Traced):
            saved = saved.detach()
            saved.node = node
            return saved
        return wrap(saved.data, node)
    return wrap(saved, node)


ARRAYS, TENSORS = _Arrays(), _Tensors()


def _pull(
    output: Tensor, seed: Tensor, *, wanted: frozenset[Node] | None, create_graph: bool, retain: bool
) -> dict[Node, Tensor]:
    """One reverse pass, on arrays where that is enough."""
    root = output.node
    assert root is not None
    if seed.dtype.kind == "c":
        seed = ops.conjugate(seed)
    watch = current_mode().watch
    if create_graph or watch is not None or output.__class__ not in PLAIN or seed.__class__ not in PLAIN:
        with recording(create_graph):
            found = pullback(root, seed, TENSORS, wanted=wanted, free=not retain)
            if watch is not None:
                watch.leave()
            return {node: _conjugated(gradient) for node, gradient in found.items()}
    with output.device.active():
        found = pullback(root, seed.data, ARRAYS, wanted=wanted, free=not retain)
    return {node: _conjugated(wrap(gradient)) for node, gradient in found.items()}


def _conjugated(gradient: Tensor) -> Tensor:
    return ops.conjugate(gradient) if gradient.dtype.kind == "c" else gradient


def accumulate(output: Tensor, gradient: Tensor | None, *, retain_graph: bool) -> None:
    """`Tensor.backward`."""
    found = _pull(output, _seed(output, gradient), wanted=None, create_graph=False, retain=retain_graph)
    for node, value in found.items():
        assert is_leaf(node)
        node.grad = value if node.grad is None else wrap(node.grad.data + value.data)


@overload
def grad(
    target: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False, retain_graph: bool | None = None
) -> list[Tensor]: ...
@overload
def grad(
    target: Callable[..., Any], *, argnums: int | Sequence[int] = 0, has_aux: bool = False, create_graph: bool = False
) -> Callable[..., Any]: ...
def grad(
    target: Tensor | Callable[..., Any],
    inputs: Sequence[Tensor] | None = None,
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Gradients of a scalar: `grad(loss, tensors)` of what was computed, `grad(f)` of a function.

    Args:
        target: a tensor with one element, or a function that returns one.
        inputs: with a tensor: leaves or intermediate tensors; one that was not used gets zeros.
        argnums: with a function: which positional arguments to differentiate; each a tensor or a tree of tensors.
        has_aux: with a function: it returns `(value, anything)`, and the result is `(gradient, anything)`.
        create_graph: record the pass, so that the result can be differentiated again. Inside another transformation
            this happens by itself.
        retain_graph: keep the saved arrays for another pass; by default only with `create_graph`.

    Returns:
        A list like `inputs`; or a function of the same arguments that returns the gradient, shaped like the argument
        (a tuple of them if `argnums` is a sequence).

    Raises:
        GradientError: the value has several elements, or an input does not require a gradient.
    """
    if isinstance(target, Tensor):
        if inputs is None:
            raise ConfigError("grad: expected the tensors to differentiate by", hint="grad(loss, [w, b])")
        retain = create_graph if retain_graph is None else retain_graph
        return _gradients(target, inputs, create_graph=create_graph, retain=retain)
    function = value_and_grad(target, argnums=argnums, has_aux=has_aux, create_graph=create_graph)

    @wraps(target)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = function(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def _gradients(output: Tensor, inputs: Sequence[Tensor], *, create_graph: bool, retain: bool) -> list[Tensor]:
    wanted = frozenset([tensor.node for tensor in inputs if tensor.node is not None])
    if len(wanted) != len(inputs):
        for position, tensor in enumerate(inputs):
            if tensor.node is None:
                raise GradientError(
                    f"grad: input {position} of shape {tensor.shape} does not require a gradient",
                    hint="make it with requires_grad=True",
                )
    found = _pull(output, _seed(output, None), wanted=wanted, create_graph=create_graph, retain=retain)
    return [found[tensor.node] if tensor.node in found else zeros_like(tensor) for tensor in inputs]


def value_and_grad(
    function: Callable[..., Any],
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    create_graph: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns the value of `function` and its gradient; see `grad`."""

    @wraps(function)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        args, variables = _variables(args, positions)
        again = create_graph or _depth.get() > 0
        with deeper():
            result = function(*args, **kwargs)
        value = result[0] if has_aux else result
        if not isinstance(value, Tensor) or value.size != 1:
            shown = f"shape {value.shape}" if isinstance(value, Tensor) else repr(type(value).__name__)
            raise GradientError(f"grad: expected a function that returns one number, got {shown}", hint="sum it first")
        flat = [leaf for variable in variables for leaf in tree.leaves(variable)]
        if value.node is None:
            gradients = [zeros_like(leaf) for leaf in flat]
        else:
            wanted = frozenset(leaf.node for leaf in flat)
            found = _pull(value, ones_like(value), wanted=wanted, create_graph=again, retain=again)
            gradients = [found[leaf.node] if leaf.node in found else zeros_like(leaf) for leaf in flat]
        items = iter(gradients)
        built = tuple(tree.build(variable, items) for variable in variables)
        outer = result if again else tree.mapped(_detached, result)
        return outer, built[0] if isinstance(argnums, int) else built

    return both


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of a function, and its vector-Jacobian product: the adjoint of its derivative at `primals`.

    Args:
        function: takes tensors or trees of them, returns a tensor or a tree of them.
        primals: where to differentiate.

    Returns:
        The value, and a function that takes a cotangent shaped like it and returns one per primal. It may be called
        any number of times.
    """
    args, variables = _variables(primals, range(len(primals)))
    again = _depth.get() > 0
    with deeper():
        value = function(*args)
    outputs = tree.leaves(value)
    flat = [leaf for variable in variables for leaf in tree.leaves(variable)]
    wanted = frozenset(leaf.node for leaf in flat)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        totals: dict[Node, Tensor] = {}
        for output, seed in zip(outputs, tree.leaves(cotangent), strict=True):
            if output.node is None:
                continue
            seed = seed if isinstance(seed, Tensor) else Tensor(seed)
            if seed.shape != output.shape:
                raise ShapeError(f"vjp: the cotangent's shape is {seed.shape}, the output's {output.shape}")
            for node, part in _pull(output, seed, wanted=wanted, create_graph=again, retain=True).items():
                totals[node] = totals[node] + part if node in totals else part
        gradients = iter([totals[leaf.node] if leaf.node in totals else zeros_like(leaf) for leaf in flat])
        return tuple(tree.build(variable, gradients) for variable in variables)

    return value if again else tree.mapped(_detached, value), pull


def stop_gradient(x: Tensor) -> Tensor:
    """The same elements as a constant: no gradient flows through, in any transformation."""
    if isinstance(x, Traced):
        return type(x).stopped(x)
    return x.detach()


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run `function` without keeping what its backward pass needs; it runs again when the gradient is asked for.

    Memory falls to the arguments and the result, time rises by one forward pass. The function must compute the same
    both times: draw random numbers from keys, not from a generator that moves on.

    Args:
        function: takes tensors (and anything else), returns a tensor or a tuple of tensors. Tensors it closes over
            get gradients too, when they are leaves.
        args, kwargs: handed to it.

    Source: Chen et al. 2016, https://arxiv.org/abs/1604.06174.
    """
    if not current_mode().recording:
        return function(*args, **kwargs)
    given = [item for item in args if isinstance(item, Tensor)]
    closed = _closed_over(function, args, kwargs)
    inputs = [*given, *closed]
    if not any(item.requires_grad or isinstance(item, Traced) for item in inputs):
        return function(*args, **kwargs)

    def run(tensors: Sequence[Tensor]) -> Any:
        replaced = iter(tensors)
        return function(*(next(replaced) if isinstance(item, Tensor) else item for item in args), **kwargs)

    def forward(xp: Any, *arrays: Array) -> Any:
        with recording(False):
            result = run([wrap(array) for array in arrays[: len(given)]])
        return tuple(item.data for item in result) if isinstance(result, tuple) else result.data

    def rule(g: Any, y: Any, *saved: Any) -> tuple[Any, ...]:
        on_tensors = isinstance(saved[0], Tensor)
        seeds = [item if on_tensors else wrap(item) for item in (g if isinstance(g, tuple) else (g,))]
        again = on_tensors and current_mode().recording
        with recording(True):
            variables = [
                variable(item if on_tensors else wrap(item)) if is_inexact(item.dtype) else wrap(item)
                for item in saved[: len(given)]
            ]
            result = run(variables)
        sources = [*variables, *closed]
        wanted = frozenset(item.node for item in sources if item.node is not None)
        totals: dict[Node, Any] = {}
        for output, seed in zip(result if isinstance(result, tuple) else (result,), seeds, strict=True):
            if output.node is not None:
                with recording(again):
                    found = pullback(
                        output.node,
                        seed if again else seed.data,
                        TENSORS if again else ARRAYS,
                        wanted=wanted,
                        free=False,
                    )
                for node, part in found.items():
                    totals[node] = totals[node] + part if node in totals else part
        parts = [totals.get(item.node) if item.node is not None else None for item in sources]
        return tuple(wrap(part) if on_tensors and not again and part is not None else part for part in parts)

    definition = OpDef(
        name=f"checkpoint({getattr(function, '__name__', 'function')})",
        forward=forward,
        infer=lambda *specs: specs[0],
        vjp=rule,
        saves=frozenset({"inputs"}),
        jvp=Jvp.TRANSPOSED,
        batch=Batch.LOOP,
        per_sample=everywhere,
        reference=forward,
        samples=(),
    )
    if any(isinstance(item, Traced) for item in inputs):
        return run(given)  # a transformation of the function sees through it; its memory is that transformation's
    return apply(definition, inputs, {})


def _closed_over(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The leaves a function reaches beside its arguments: those of the module it is, belongs to or closes over."""
    from .nn.module import Module

    found: dict[int, Tensor] = {}
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    for item in (function, getattr(function, "__self__", None), *cells, *args, *kwargs.values()):
        if isinstance(item, Module):
            found |= {id(tensor): tensor for tensor in item.parameters() if tensor.requires_grad}
        elif isinstance(item, Tensor) and item.requires_grad and not any(item is arg for arg in args):
            found[id(item)] = item
    return list(found.values())


class deeper:  # noqa: N801 - reads as a verb at its use
    """Counts a transformation in, and records inside it even within `no_grad`."""

    def __enter__(self) -> None:
        self._token = _depth.set(_depth.get() + 1)
        self._mode = recording(True)
        self._mode.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self._mode.__exit__(*exc)
        _depth.reset(self._token)


def _variables(args: tuple[Any, ...], positions: Sequence[int]) -> tuple[tuple[Any, ...], list[Any]]:
    """The arguments with those at `positions` replaced by variables that stay connected to what they came from."""
    changed = list(args)
    variables: list[Any] = []
    for position in positions:
        if not -len(args) <= position < len(args):
            raise ConfigError(f"argnums names argument {position}, but {len(args)} were given")
        changed[position] = tree.mapped(variable, args[position])
        variables.append(changed[position])
    return tuple(changed), variables


def variable(value: Any) -> Tensor:
    """A variable of its own to differentiate by, connected to what `value` was computed from."""
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    if not is_inexact(tensor.dtype):
        raise GradientError(f"only floating tensors have gradients, got dtype {tensor.dtype}")
    with recording(True):
        alias: Tensor = ops.alias(tensor)
    if alias is tensor or alias.node is None:
        alias = tensor.detach()
        alias.node = leaf_node(alias.shape, alias.dtype)
    return alias


def _detached(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.node is None or is_leaf(value.node):
        return value
    return value.detach()


def _seed(output: Tensor, gradient: Tensor | None) -> Tensor:
    if not output.requires_grad:
        raise GradientError(
            "there is no gradient: no tensor it was computed from requires one",
            hint="set requires_grad=True on a leaf, and compute outside no_grad()",
        )
    if gradient is None:
        if output.size != 1:
            raise GradientError(f"expected a tensor with one element, got shape {output.shape}", hint="sum it first")
        if output.dtype.kind == "c":
            raise GradientError("a complex value has no gradient without a direction", hint="take .real or abs() first")
        return ones_like(output)
    if gradient.shape != output.shape:
        raise ShapeError(f"the gradient's shape is {gradient.shape}, the tensor's {output.shape}")
    return gradient


def ones_like(tensor: Tensor) -> Tensor:
    """Ones of the shape, dtype and device of a tensor."""
    return filled(tensor, 1, tensor.shape, tensor.dtype)


def zeros_like(tensor: Tensor) -> Tensor:
    """Zeros of the shape, dtype and device of a tensor."""
    return filled(tensor, 0, tensor.shape, tensor.dtype)


def filled(like: Tensor, number: int, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """The same number everywhere, on the device of a tensor."""
    place = like.device
    with place.active():
        array = place.xp.full(shape, number, dtype)
    return like.constant(array) if isinstance(like, Traced) else wrap(array)
