"""Attention and its gradient as launches, where `llvm.heads` has a kernel for them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final

from ...device import Array
from ...shapes import Spec
from ..graph import Node, Value
from ..llvm.heads import Heads, HeadSizes, attend, attend_gradient
from ..llvm.tile import BLOCK
from ..unlisted import unlisted_op
from .place import Place

if TYPE_CHECKING:
    from .lower import Lowering

FEWEST_HEADS: Final = 8  # threads take whole ones
MOST_KEYS: Final = 4096  # of which the scores of some queries stay in the cache
MOST_SCORES: Final = 1 << 17  # of a head, whose gradient keeps them


def _gradient(
    xp: Any, q: Array, k: Array, v: Array, g: Array, level: Array, slope: Array, *, scale: float, causal: bool
) -> Any:
    weights = xp.exp(scale * xp.matmul(q, k.swapaxes(-1, -2)) - level)
    weights = xp.tril(weights) if causal else weights
    slopes = scale * weights * (xp.matmul(g, v.swapaxes(-1, -2)) - slope)
    return xp.matmul(slopes, k), xp.matmul(slopes.swapaxes(-1, -2), q), xp.matmul(weights.swapaxes(-1, -2), g)


def _gradient_spec(q: Spec, k: Spec, v: Spec, g: Spec, level: Spec, slope: Spec, **params: Any) -> Sequence[Spec]:
    lead = g.shape[:-2]
    return tuple(Spec((*lead, *each.shape[-2:]), each.dtype) for each in (q, k, v))


def _gradient_macs(specs: Sequence[Spec], made: Sequence[Spec], **params: Any) -> int:
    """Two products of as many multiplications as there are in scores, and three of those of their results."""
    q, k, v = specs[:3]
    return prod(made[0].shape[:-1]) * k.shape[-2] * (3 * q.shape[-1] + 2 * v.shape[-1])


ATTENTION_GRADIENT: Final = unlisted_op(
    "attention_gradient", _gradient, _gradient_spec, vjp=(None,) * 6, macs=_gradient_macs
)


def is_fused(node: Node) -> bool:
    """Whether there is a kernel for an attention, or for the gradient of one."""
    if node.op is not ATTENTION_GRADIENT and (node.op.name != "flash_attention" or node.params["dropout"]):
        return False
    q, k, v, *others = (value.spec for value in node.values)
    queries, keys = q.shape[-2], k.shape[-2]
    if node.op is ATTENTION_GRADIENT and queries * keys > MOST_SCORES:
        return False
    whole = all(n and n % BLOCK == 0 for n in (keys, q.shape[-1], v.shape[-1]))
    fits = queries > 0 and keys <= MOST_KEYS and (queries == keys or not node.params["causal"])
    floats = all(spec.dtype.name == "float32" for spec in (q, k, v, *others))
    return whole and fits and floats and prod(node.outputs[0].shape[:-2]) >= FEWEST_HEADS


def lower_attention(outer: Lowering, node: Node) -> None:
    """The launch of an attention or of its gradient."""
    q, k, v, *others = node.values
    lead = node.outputs[0].shape[:-2]
    heads = lead[-1] if lead else 1
    sizes = HeadSizes(
        outer=prod(lead) // heads, inner=heads, queries=q.shape[-2], keys=k.shape[-2], features=q.shape[-1],
        values=v.shape[-1], causal=node.params["causal"],
    )  # fmt: skip
    read = dict(zip(("q", "k", "v", "g"), (q, k, v, *others[:1]), strict=False))
    where = {name: _by_heads(outer, value, lead) for name, value in read.items()}
    if node.op is ATTENTION_GRADIENT:
        made = dict(zip(("gq", "gk", "gv"), node.outputs, strict=True))
        level, slope = map(outer.channels, others[1:])
        numbers = {"level": level, "slope": slope}
        writes = list(made)
    else:
        made = {"out": node.outputs[0]}
        place = outer.places[node.outputs[1]] = outer.new_place(node.outputs[1])
        numbers = {"level": (place.buffer, place.origin)}
        writes = ["out", "level"]
    for name, value in made.items():
        place = outer.places[value] = _taking_turns(outer, value)
        found = _in_two(place)
        assert found is not None
        where[name] = found
    lying = {name: Heads(place.origin, *place.strides[:3]) for name, place in where.items()}
    launch = (attend_gradient if node.op is ATTENTION_GRADIENT else attend)(
        outer.target, sizes, lying, scale=node.params["scale"]
    )
    memory = {name: place.buffer for name, place in where.items()}
    for name, (buffer, origin) in numbers.items():
        memory[name], launch = buffer, launch.shifted(name, origin)
    outer.add(launch, memory, writes, node.where or "attention")


def _taking_turns(outer: Lowering, value: Value) -> Place:
    """Memory for matrices of heads: as their readers put them side by side, the last axis of heads within a row."""
    rank = len(value.shape)
    order = (*range(rank - 3), rank - 2, rank - 3, rank - 1) if rank > 2 else range(rank)
    return Place.dense(outer.new(value.spec.size), value.shape, order)


def _by_heads(outer: Lowering, value: Value, lead: tuple[int, ...]) -> Place:
    """Where matrices of all heads lie, with two axes of heads."""
    place = outer.place(value).broadcast((*lead, *value.shape[-2:]))
    found = _in_two(place) if place.strides[-1] == 1 else None
    found = found or _in_two(outer.dense_copy(place))
    assert found is not None
    return found


def _in_two(place: Place) -> Place | None:
    """The same with the axes before the last three as one; None where that cannot be."""
    *lead, rows, columns = place.shape
    heads = lead[-1] if lead else 1
    return place.reshaped((prod(lead) // heads, heads, rows, columns))
