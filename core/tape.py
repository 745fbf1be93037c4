"""The recorded graph and the reverse pass over it.

Every tensor made by an op from inputs that need a gradient holds the `Node` that made it: the op, its inputs and its
parameters. `pullback` walks the nodes in reverse and applies each op's vjp, itself written in ops; so with
`create_graph` the backward pass is recorded in turn and can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from .op import OpDef

_recording: ContextVar[bool] = ContextVar("recording", default=True)


class Node:
    """How a tensor came to be: the op, its input tensors and its parameters."""

    __slots__ = ("inputs", "op", "params")

    def __init__(self, op: OpDef, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        self.op = op
        self.inputs = inputs
        self.params = params


class Recorded(Protocol):
    """What the reverse pass asks of a tensor."""

    node: Node | None
    requires_grad: bool

    @property
    def dtype(self) -> Any:
        """The element type."""
        ...


T = TypeVar("T", bound=Recorded)


def is_recording() -> bool:
    """True while ops record the nodes a gradient needs."""
    return _recording.get()


@contextmanager
def recording(enabled: bool) -> Generator[None]:
    """Switch recording on or off in this thread for the length of the block."""
    token = _recording.set(enabled)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> AbstractContextManager[None]:
    """A block in which nothing is recorded: evaluation, parameter updates."""
    return recording(False)


def pullback(output: T, seed: T, *, create_graph: bool, keep: Callable[[T], bool]) -> dict[int, tuple[T, T]]:
    """Vector-Jacobian product of everything `output` was made from.

    Args:
        output: the tensor to differentiate.
        seed: gradient of the final value with respect to `output`, of its shape.
        create_graph: record the pass itself, for higher-order gradients.
        keep: which tensors' gradients the caller wants; those of the others are dropped as soon as they are used.

    Returns:
        `id(tensor) -> (tensor, gradient)` for the kept tensors that were reached.
    """
    kept: dict[int, tuple[T, T]] = {}
    pending: dict[int, Any] = {id(output): seed}
    with recording(create_graph):
        for tensor in _reverse_order(output):
            gradient = pending.pop(id(tensor), None)
            if gradient is None:
                continue
            if keep(tensor):
                kept[id(tensor)] = (tensor, gradient)
            node = tensor.node
            if node is None:
                continue
            for position, source in enumerate(node.inputs):
                if not source.requires_grad:
                    continue
                rule = node.op.input_vjp(position)
                if rule is None:
                    continue
                part = rule(gradient, tensor, *node.inputs, **node.params)
                if part.dtype != source.dtype:
                    part = part.astype(source.dtype)
                known = pending.get(id(source))
                pending[id(source)] = part if known is None else known + part
    return kept


def _reverse_order(output: T) -> Sequence[T]:
    """Every tensor that `output` depends on and that needs a gradient, each before the tensors it was made from."""
    order: list[T] = []
    seen: set[int] = set()
    stack: list[tuple[T, bool]] = [(output, False)]
    while stack:
        tensor, expanded = stack.pop()
        if expanded:
            order.append(tensor)
            continue
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        stack.append((tensor, True))
        if tensor.node is not None:
            stack.extend((source, False) for source in tensor.node.inputs if source.requires_grad)
    order.reverse()
    return order
