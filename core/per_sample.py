"""Gradients of each sample of a batch, their norms, and the clipped sum that DP-SGD adds noise to, in one forward pass.

The function runs once on the whole batch, with the tensors that carry samples marked, so that every op can say whether
it keeps its samples apart (`OpDef.per_sample`). In the backward pass, where samples meet something they share (a
weight), the op's own rule runs as if vmapped over the samples. A norm can often be had without the gradient
(`OpDef.ghost`); then nothing larger than the activations is ever held.

Sources: Goodfellow 2015, https://arxiv.org/abs/1510.01799; Li et al. 2022, https://arxiv.org/abs/2110.05679 (ghost
clipping); Abadi et al. 2016, https://arxiv.org/abs/1607.00133.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import ops
from .autograd import TENSORS, deeper, ones_like, stop_gradient, zeros_like
from .dispatch import Traced, apply
from .errors import GradientError, ShapeError
from .forward import next_level
from .op import OpDef
from .shapes import Spec, spec_of
from .tape import Leaf, Node, Output, PlainNode, reachable, recording
from .tensor import Scalar, Tensor
from .vmap import Batched

_INSTEAD = {
    "standardize": "batch norm in training mixes samples: use nn.GroupNorm or nn.LayerNorm instead, or model.eval()",
}
# Ops that only move elements: the norm of what goes in is that of what comes out.
_MOVES = frozenset({"transpose", "reshape", "alias"})
# How much longer than its bound a clipped gradient may be, relative; its norm is known no better.
_TOLERATED, _TOLERATED_HALF = 2.0**-11, 2.0**-5


class Sampled(Traced):
    """A tensor whose leading axis is the samples of a batch."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis, the samples' first."""
        return self.data.shape

    @classmethod
    def make(cls, level: int, data: Tensor) -> Sampled:
        """Mark a tensor."""
        marked = cls.__new__(cls)
        marked.data, marked.level, marked.node = data, level, None
        return marked

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """The op on the whole batch, if it keeps the samples apart."""
        carries = tuple(isinstance(value, Sampled) and value.level == level for value in inputs)
        specs = [Spec((), np.dtype(type(v))) if isinstance(v, Scalar) else spec_of(v) for v in inputs]
        if op.per_sample is None or not op.per_sample(carries, *specs, **params):
            shown = ", ".join(f"{s.shape}{' of samples' if c else ''}" for s, c in zip(specs, carries, strict=True))
            raise GradientError(
                f"{op.name} mixes the samples of a batch, so there are no per-sample gradients; got {shown}",
                hint=_INSTEAD.get(op.name, "keep the samples along the leading axis, and return one loss per sample"),
            )
        with recording(False):
            out = apply(op, [v.data if c else v for v, c in zip(inputs, carries, strict=True)], params)
        return tuple(cls.make(level, item) for item in out) if isinstance(out, tuple) else cls.make(level, out)

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """No gradient through this level or any below; still one element per sample."""
        return Sampled.make(x.level, stop_gradient(x.data))

    @classmethod
    def recorded(cls, node: Node, level: int, inputs: Sequence[Any]) -> None:
        """Remember which inputs of the op carried samples."""
        node.carries = tuple(isinstance(value, Sampled) and value.level == level for value in inputs)


def per_sample_gradients(
    function: Callable[..., Tensor], parameters: Sequence[Tensor], *samples: Any
) -> tuple[Tensor, list[Tensor]]:
    """The loss of each sample and its gradient.

    Args:
        function: takes `samples`, returns one loss per sample, shape (N,); uses `parameters` by closure.
        parameters: leaves that require a gradient.
        samples: tensors or arrays with N samples along their leading axis.

    Returns:
        The losses, shape (N,), and for each parameter a tensor of shape (N, *parameter.shape).

    Raises:
        GradientError: an op mixes samples, as batch norm does in training; names what to use instead.
    """
    batch = _Batch(function, parameters, samples)
    return batch.losses, batch.gradients()


def per_sample_norms(
    function: Callable[..., Tensor], parameters: Sequence[Tensor], *samples: Any
) -> tuple[Tensor, Tensor]:
    """The loss of each sample and the L2 norm of its gradient over all parameters together, both of shape (N,).

    As `per_sample_gradients`, but for weights of products, convolutions and embeddings used once the gradients
    themselves are never made.
    """
    batch = _Batch(function, parameters, samples)
    return batch.losses, batch.norms()


def clipped_gradients(
    function: Callable[..., Tensor], parameters: Sequence[Tensor], *samples: Any, max_norm: float
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The sum over samples of gradients clipped to an L2 norm of at most `max_norm` each, by ghost norms.

    Three backward passes over one forward pass; nothing of size N times the parameters is held. The first gives the
    norms, the last the sum. The one between measures the weighted gradients, because the gradient of a weighted loss is
    rounded otherwise than the weighted gradient: where little is left over of large numbers, as of a sample that is
    made for it, it may be half as long again. One that is too long is halved until it is not, which is exact.

    Args:
        max_norm: > 0, in parameter units. Rounding may exceed it by 1/2048, in 16 bits by 1/32.

    Returns:
        The losses and the norms before clipping, shape (N,), and one summed gradient per parameter, of its shape.
    """
    if not max_norm > 0:
        raise GradientError(f"clipped_gradients: expected max_norm > 0, got {max_norm}")
    batch = _Batch(function, parameters, samples)
    norms = batch.norms()
    xp = norms.device.xp
    weights = xp.minimum(1.0, max_norm / xp.maximum(norms.data, 1e-30)).astype(norms.dtype)
    excess = batch.norms(Tensor(weights)).data.astype(np.float64) / max_norm
    tolerated = _TOLERATED if norms.dtype.itemsize > 2 else _TOLERATED_HALF
    weights = xp.where(excess > 1 + tolerated, xp.ldexp(weights, -xp.frexp(excess)[1]), weights)
    return batch.losses, norms, batch.weighted(Tensor(weights.astype(norms.dtype)))


class _Batch:
    """One forward pass with its samples marked, and the backward passes over it."""

    def __init__(self, function: Callable[..., Tensor], parameters: Sequence[Tensor], samples: Sequence[Any]) -> None:
        if not samples:
            raise ShapeError("expected at least one tensor of samples")
        tensors = [value if isinstance(value, Tensor) else Tensor(value) for value in samples]
        counts = {tensor.shape[0] if tensor.shape else None for tensor in tensors}
        if len(counts) != 1 or None in counts:
            raise ShapeError(f"expected samples along one leading axis, got shapes {[t.shape for t in tensors]}")
        for position, parameter in enumerate(parameters):
            if not isinstance(parameter.node, Leaf):
                raise GradientError(f"parameter {position} of shape {parameter.shape} is not a leaf with a gradient")
        self.count = next(iter(counts))
        self.parameters = list(parameters)
        self.level = next_level()
        with deeper():
            losses = function(*(Sampled.make(self.level, tensor.detach()) for tensor in tensors))
        if not isinstance(losses, Sampled) or losses.shape != (self.count,):
            shown = getattr(losses, "shape", type(losses).__name__)
            raise ShapeError(
                f"expected one loss per sample, shape ({self.count},), got {shown}", hint='use reduction="none"'
            )
        self.root = losses.node
        self.losses: Tensor = losses.data
        self.order = reachable(self.root, 0) if self.root is not None else []

    def gradients(self) -> list[Tensor]:
        """Per-sample gradients, one tensor per parameter."""
        found = self._backward(ones_like(self.losses), frozenset())[0]
        return [self._materialized(parameter, found.get(_leaf_of(parameter))) for parameter in self.parameters]

    def norms(self, weights: Tensor | None = None) -> Tensor:
        """L2 norms of the per-sample gradients of the (weighted) losses."""
        wanted = frozenset(parameter.node for parameter in self.parameters)
        found, squares = self._backward(ones_like(self.losses) if weights is None else weights, self._ghosts() & wanted)
        total = squares
        for parameter in self.parameters:
            if parameter.node in found:
                gradient = self._materialized(parameter, found[_leaf_of(parameter)])
                part = (gradient * gradient).sum(tuple(range(1, gradient.ndim)))
                total = part if total is None else total + part
        return zeros_like(self.losses) if total is None else total**0.5

    def weighted(self, weights: Tensor) -> list[Tensor]:
        """Gradients of the sum of weighted losses: one ordinary pass."""
        with recording(False):
            gradients: dict[Node, Any] = {}
            if self.root is not None:
                gradients[self.root] = weights
            for node in self.order:
                if node.op is None:
                    self._collect(gradients, node)
                    continue
                g = self._taken(gradients, node)
                if g is None:
                    continue
                output, inputs = self._plain(node)
                for edge, part in self._parts(node, g, output, inputs, frozenset(range(len(node.edges)))):
                    _add(gradients, edge, part)
        return [
            gradients[parameter.node] if parameter.node in gradients else zeros_like(parameter)
            for parameter in self.parameters
        ]

    def _backward(self, seed: Tensor, ghosts: frozenset[Node]) -> tuple[dict[Node, Any], Tensor | None]:
        """Per-sample gradients of the leaves (batched tensors), but for those in `ghosts`, whose squared norms are
        added up.
        """
        level = next_level()
        squares: Tensor | None = None
        gradients: dict[Node, Any] = {} if self.root is None else {self.root: seed}
        with recording(False):
            for node in self.order:
                if node.op is None:
                    self._collect(gradients, node)
                    continue
                g = self._taken(gradients, node)
                if g is None:
                    continue
                output, inputs = self._plain(node)
                carries = getattr(node, "carries", None)
                if carries is None:  # made of parameters alone: what arrives is batched over the samples already
                    for edge, part in self._parts(node, g, output, inputs, frozenset(range(len(node.edges)))):
                        _add(gradients, edge, part)
                    continue
                apart = frozenset(i for i, carried in enumerate(carries) if carried)
                for edge, part in self._parts(node, g, output, inputs, apart):
                    _add(gradients, edge, part)
                shared: set[int] = set()
                for position, edge in enumerate(node.edges):
                    if edge is None or position in apart:
                        continue
                    if _leaf_behind(edge) in ghosts:
                        square = node.op.ghost[position](g, output, *inputs, **node.params)
                        squares = square if squares is None else squares + square
                    else:
                        shared.add(position)
                if shared:
                    lifted = [self._lift(level, value, carried) for value, carried in zip(inputs, carries, strict=True)]
                    g, output = self._lift(level, g, True), self._lift(level, output, True)
                    for edge, part in self._parts(node, g, output, lifted, frozenset(shared)):
                        _add(gradients, edge, part)
        return gradients, squares

    def _lift(self, level: int, value: Any, carried: bool) -> Any:
        """Samples as a vmapped batch of batches of one."""
        if value.__class__ is tuple:
            return tuple(self._lift(level, item, carried) for item in value)
        if isinstance(value, Spec):
            return Spec((1, *value.shape[1:]), value.dtype) if carried else value
        if not carried or not isinstance(value, Tensor):
            return value
        return Batched.make(level, ops.reshape(value, shape=(value.shape[0], 1, *value.shape[1:])))

    def _plain(self, node: Node) -> tuple[Any, tuple[Any, ...]]:
        """Output and inputs of an op without their marks."""
        assert node.op is not None
        if node.saved is None:
            raise GradientError(f"the graph behind {node.op.name} was freed by an earlier backward pass")
        output, inputs = TENSORS.load(node, node.op, node.saved)
        output = self._unmarked(output)
        if output is None and not node.op.elementwise and node.__class__ is not PlainNode:
            output = Spec(node.shape, node.dtype)
        return output, tuple(self._unmarked(value) for value in inputs)

    def _unmarked(self, value: Any) -> Any:
        if value.__class__ is tuple:
            return tuple(self._unmarked(item) for item in value)
        if isinstance(value, Sampled) and value.level == self.level:
            return value.data
        return value.detach() if isinstance(value, Tensor) else value

    def _parts(
        self, node: Node, g: Any, output: Any, inputs: Sequence[Any], positions: frozenset[int]
    ) -> list[tuple[Node, Any]]:
        """Gradients of some inputs of a node, of the inputs' shapes and dtypes."""
        op = node.op
        assert op is not None
        edges = [edge if i in positions else None for i, edge in enumerate(node.edges)]
        if op.rules is None:
            parts = op.vjp(g, output, *inputs, **node.params)  # pyright: ignore[reportCallIssue]
        else:
            parts = [
                None if edge is None or rule is None else rule(g, output, *inputs, **node.params)
                for edge, rule in zip(edges, op.rules, strict=True)
            ]
        result: list[tuple[Node, Any]] = []
        for position, (edge, part) in enumerate(zip(edges, parts, strict=True)):
            if edge is None or part is None:
                continue
            if node.shapes is not None:  # positions are all with samples or all without, and only the latter are lifted
                part = TENSORS.sum_to(part, node.shapes[position])
            result.append((edge, TENSORS.cast(part, edge.dtype)))
        return result

    def _taken(self, gradients: dict[Node, Any], node: Node) -> Any:
        g = gradients.pop(node, None)
        if g.__class__ is list:
            like = next(part for part in g if part is not None)
            return tuple(
                TENSORS.zeros(like, shape, dtype) if part is None else part
                for part, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
            )
        return g

    def _collect(self, gradients: dict[Node, Any], node: Node) -> None:
        if not isinstance(node, Output) or node not in gradients:
            return
        parent = node.edges[0]
        assert parent is not None
        parts = gradients.setdefault(parent, [None] * len(parent.shape))
        g = gradients.pop(node)
        parts[node.index] = g if parts[node.index] is None else parts[node.index] + g

    def _materialized(self, parameter: Tensor, gradient: Any) -> Tensor:
        """A per-sample gradient as a tensor (N, *shape)."""
        shape = (self.count, *parameter.shape)
        if isinstance(gradient, Batched):
            return gradient.data
        if gradient is None:
            xp = parameter.device.xp
            return Tensor(xp.zeros(shape, parameter.dtype))
        return ops.broadcast_to(gradient, shape=shape)

    def _ghosts(self) -> frozenset[Node]:
        """Leaves that samples meet in one place only, by an op that knows the norm without the gradient."""
        meetings: dict[Node, int] = {}
        ghosts: set[Node] = set()
        for node in self.order:
            carries = getattr(node, "carries", None)
            if carries is None or node.op is None:
                continue
            for position, edge in enumerate(node.edges):
                if edge is None or carries[position]:
                    continue
                for leaf in (other for other in reachable(edge, 0) if isinstance(other, Leaf)):
                    meetings[leaf] = meetings.get(leaf, 0) + 1
                leaf = _leaf_behind(edge)
                if leaf is not None and position in node.op.ghost:
                    ghosts.add(leaf)
        return frozenset(leaf for leaf in ghosts if meetings[leaf] == 1)


def _leaf_of(parameter: Tensor) -> Leaf:
    assert isinstance(parameter.node, Leaf)
    return parameter.node


def _leaf_behind(node: Node) -> Leaf | None:
    """The leaf a node holds the elements of, moved about at most."""
    while not isinstance(node, Leaf):
        if node.op is None or node.op.name not in _MOVES or node.edges[0] is None:
            return None
        node = node.edges[0]
    return node


def _add(gradients: dict[Node, Any], edge: Node, part: Any) -> None:
    before = gradients.get(edge)
    gradients[edge] = part if before is None else before + part
