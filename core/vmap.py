"""`vmap`: a function of single examples, run on a whole batch at once by the batching rules of the ops."""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import ops, tree
from .dispatch import Traced, apply
from .errors import ConfigError, GradientError, ShapeError
from .forward import next_level
from .op import Batch, Flags, OpDef
from .tensor import Scalar, Tensor


class BatchFallbackWarning(UserWarning):
    """An op without a batching rule was run once per example under `vmap`: right, but slow."""


class Batched(Traced):
    """A tensor with a batch axis in front that the transformed function does not see."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis of one example."""
        return self.data.shape[1:]

    @classmethod
    def make(cls, level: int, data: Tensor) -> Batched:
        """Hide the leading axis of `data`."""
        batched = cls.__new__(cls)
        batched.data, batched.level, batched.node = data, level, None
        return batched

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """The op's batching rule on the tensors below."""
        flags = tuple(isinstance(value, Batched) and value.level == level for value in inputs)
        values = [value.data if own else value for value, own in zip(inputs, flags, strict=True)]
        size = next(value.shape[0] for value, own in zip(values, flags, strict=True) if own)
        if op.flags & Flags.DATA_DEPENDENT:
            raise GradientError(
                f"{op.name}: the shape of its result depends on values, which differ between the examples of a batch",
                hint="compute it outside vmap",
            )
        output = batch(op, size, flags, values, params)
        if isinstance(output, tuple):
            return tuple(cls.make(level, item) for item in output)
        return cls.make(level, output)

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """No gradient through this level or any below."""
        from .autograd import stop_gradient

        return Batched.make(x.level, stop_gradient(x.data))


def batch(op: OpDef, size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """An op on inputs of which some have a batch axis in front: the result, or tuple of results, batch axis first."""
    rule = op.batch
    if rule is Batch.ELEMENTWISE:
        return apply(op, _aligned(batched, inputs, trailing=0), params)
    if rule is Batch.LEADING:
        return apply(op, _aligned(batched, inputs, trailing=2), params)
    if rule is Batch.LOOP:
        return _loop(op, size, batched, inputs, params)
    return rule(size, batched, *inputs, **params)  # pyright: ignore[reportCallIssue]


def _aligned(batched: Sequence[bool], inputs: Sequence[Any], *, trailing: int) -> list[Any]:
    """Inputs with axes of length 1 behind the batch axis, so that all examples have the same rank."""
    ranks = [
        0 if isinstance(value, Scalar) else len(value.shape) - own for value, own in zip(inputs, batched, strict=True)
    ]
    rank = max(*ranks, trailing)
    return [
        ops.reshape(value, shape=(value.shape[0], *(1,) * (rank - mine), *value.shape[1:]))
        if own and mine < rank
        else value
        for value, own, mine in zip(inputs, batched, ranks, strict=True)
    ]


def _loop(op: OpDef, size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    warnings.warn(f"{op.name} has no batching rule: vmap runs it {size} times", BatchFallbackWarning, stacklevel=2)
    rows = [
        apply(op, [value[i] if own else value for value, own in zip(inputs, batched, strict=True)], params)
        for i in range(size)
    ]
    if rows and isinstance(rows[0], tuple):
        return tuple(stack([row[k] for row in rows]) for k in range(len(rows[0])))
    return stack(rows)


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape joined along a new leading axis."""
    return ops.concatenate(*(ops.reshape(tensor, shape=(1, *tensor.shape)) for tensor in tensors), axis=0)


def vmap(
    function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, *, axis_size: int | None = None
) -> Callable[..., Any]:
    """A function of batches from a function of single examples.

    Args:
        function: takes tensors or trees of them, returns a tensor or a tree of them.
        in_axes: which axis of each argument is the batch; None for one that all examples share. One number for all
            arguments, or a sequence with one entry per positional argument, each a number or a tree of them.
        out_axes: where the batch axis goes in the results, likewise.
        axis_size: the size of the batch, needed only if every argument is shared.

    Returns:
        A function of the same arguments. Keyword arguments are shared by all examples.

    Raises:
        ShapeError: the batch axes have different lengths.
        ConfigError: nothing is batched.
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = tree.spread(in_axes if isinstance(in_axes, list | tuple) else [in_axes] * len(args), list(args))
        values = tree.leaves(list(args))
        level = next_level()
        sizes = {
            value.shape[axis]
            for value, axis in zip(values, axes, strict=True)
            if axis is not None and _has_axis(value, axis)
        }
        if len(sizes) > 1:
            shown = ", ".join(
                str(getattr(v, "shape", "()")) for v, a in zip(values, axes, strict=True) if a is not None
            )
            raise ShapeError(f"vmap: the batch axes have different lengths {sorted(sizes)}: arguments of {shown}")
        if not sizes and axis_size is None:
            raise ConfigError("vmap: no argument has a batch axis", hint="give in_axes, or axis_size")
        size = next(iter(sizes), axis_size)
        hidden = iter(
            [
                value if axis is None else Batched.make(level, ops.move_axis(_tensor(value), axis, 0))
                for value, axis in zip(values, axes, strict=True)
            ]
        )
        result = function(*tree.build(list(args), hidden), **kwargs)
        flat = tree.leaves(result)
        places = tree.spread(out_axes, result)

        def placed(item: Any, place: int | None) -> Any:
            if isinstance(item, Batched) and item.level == level:
                if place is None:
                    raise ConfigError("vmap: out_axes is None for a result that differs between examples")
                return ops.move_axis(item.data, 0, place)
            if place is None:
                return item
            item = _tensor(item)
            return ops.move_axis(ops.broadcast_to(item, shape=(size, *item.shape)), 0, place)

        return tree.build(result, iter([placed(item, place) for item, place in zip(flat, places, strict=True)]))

    return mapped


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _has_axis(value: Any, axis: int) -> bool:
    rank = len(_tensor(value).shape)
    if not -rank <= axis < rank:
        raise ShapeError(f"vmap: in_axes names axis {axis} of an argument with {rank} axes")
    return True
