"""Sums of products over common axes, `matmul` and `contract`, as products of matrices: by tiles, or by cuBLAS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Final

from ..graph import Node, Value
from ..native.group import Unsupported
from ..native.place import Buffer, Place
from .axes import INT_ELEMENTS
from .kernel import Parameter, Product, Tail, Work
from .numbers import cast
from .tiles import Side, Tiles, finish, product, tiles_for

LARGE: Final = 1 << 25  # multiplications that are worth a launch by themselves: cuBLAS cannot be part of a CUDA graph
MOST: Final = 65535  # blocks along the second and third axis of a grid

New = Callable[[int, int], Buffer]


@dataclass(frozen=True, slots=True)
class Labels:
    """The axes of a sum of products, by name.

    Attributes:
        a, b, made: of each tensor.
        lengths: of all.
    """

    a: str
    b: str
    made: str
    lengths: dict[str, int]

    @property
    def groups(self) -> tuple[str, str, str, str]:
        """Batch, rows, columns, and what is summed over."""
        a, b, made = set(self.a), set(self.b), set(self.made)
        return (
            "".join(x for x in self.made if x in a and x in b),
            "".join(x for x in self.made if x in a and x not in b),
            "".join(x for x in self.made if x in b and x not in a),
            "".join(x for x in self.a if x in b and x not in made),
        )

    def size(self, labels: str) -> int:
        """How many elements some axes have together."""
        return prod(self.lengths[label] for label in labels)


def is_large(node: Node) -> bool:
    """Whether cuBLAS does a product."""
    left, right = node.values
    made = node.outputs[0]
    if node.op.name != "matmul" or made.dtype.kind != "f" or not left.dtype == right.dtype == made.dtype:
        return False
    return made.spec.size * left.shape[-1] >= LARGE


def multiply(
    node: Node, place_of: Callable[[Value], Place], new: New, tail: Tail | None = None
) -> tuple[list[Work], Place]:
    """The launches of a product, and where its result lies.

    Args:
        node: `matmul` of at least matrices, or `contract`.
        place_of: where values lie.
        new: makes memory.
        tail: what becomes of each element, in place of the result in memory; for a product that is not large.

    Raises:
        Unsupported: it has more matrices than a grid has blocks.
    """
    left, right = node.values
    made = node.outputs[0]
    target = Place.dense(new(made.spec.size, made.dtype.itemsize), made.shape)
    if not made.spec.size:
        return [], target
    a, b = place_of(left), place_of(right)
    if node.op.name == "matmul":
        a, b, result = _matrices(a, b, target)
        names = "abcdefghij"[: len(result.shape) - 2]
        labels = Labels(f"{names}xz", f"{names}zy", f"{names}xy", _lengths(f"{names}xz", a) | _lengths(f"{names}zy", b))
    else:
        result = target
        terms, names = node.params["equation"].split("->")
        first, second = terms.split(",")
        labels = Labels(first, second, names, _lengths(first, a) | _lengths(second, b))
    batch, rows, columns, deep = map(labels.size, labels.groups)
    parameters = (
        Parameter("a", a.buffer, left.dtype),
        Parameter("b", b.buffer, right.dtype),
        Parameter("y", target.buffer, made.dtype, written=True),
    )
    if is_large(node):
        assert tail is None
        places = (a, b, result)
        found = Product(
            "cublas",
            parameters,
            tuple(place.shape for place in places),
            tuple(place.strides for place in places),
            tuple(place.origin for place in places),
        )
        return [found], target
    tiles = tiles_for(batch, rows, columns, deep)
    _, m, n, k = labels.groups
    first = cast(f"x[{_offset(labels, labels.a, a, m=m, k=k)}]", left.dtype, made.dtype)
    second = cast(f"x[{_offset(labels, labels.b, b, k=k, n=n)}]", right.dtype, made.dtype)
    x = Side(parameters[0], [f"return {first};"], along_k=_inner(labels.a, a, k, m))
    w = Side(parameters[1], [f"return {second};"], along_k=_inner(labels.b, b, k, n))
    offset = _offset(labels, labels.made, result, m=m, n=n)
    sizes = (batch, rows, columns, deep)
    biggest = max(place.buffer.elements for place in (a, b, target)) * max(1, tiles.parts)
    kind = "int" if biggest < INT_ELEMENTS else "long long"
    return tiled(node.op.name, sizes, x, w, made, target.buffer, tiles, offset, kind, new, tail), target


def _matrices(a: Place, b: Place, made: Place) -> tuple[Place, Place, Place]:
    """Operands and result of a matrix product with all leading axes; a stack times one matrix as one product, of more
    rows.
    """
    lead = made.shape[:-2]
    a = a.broadcast((*lead, *a.shape[-2:]))
    if lead and prod(b.shape[:-2]) == 1:
        rows = prod(made.shape[:-1])
        flat, single = a.reshaped((rows, a.shape[-1])), b.reshaped(b.shape[-2:])
        if flat is not None and single is not None:
            return flat, single, Place.dense(made.buffer, (rows, made.shape[-1]))
    return a, b.broadcast((*lead, *b.shape[-2:])), made


def tiled(
    label: str,
    lengths: tuple[int, int, int, int],
    a: Side,
    b: Side,
    made: Value,
    target: Buffer,
    tiles: Tiles,
    offset: str,
    kind: str,
    new: New,
    tail: Tail | None,
) -> list[Work]:
    """The kernel of a product, and one more where K is shared out.

    Raises:
        Unsupported: it has more matrices than a grid has blocks.
    """
    if lengths[0] * tiles.parts > MOST or -(-lengths[1] // tiles.rows) > MOST:
        raise Unsupported(f"{label} of {lengths[0]} matrices of {lengths[1]} rows")
    written = Parameter("y", target, made.dtype, written=True)
    if tiles.parts == 1:
        return [product(label, lengths, a, b, written, tiles, dtype=made.dtype, offset=offset, kind=kind, tail=tail)]
    size = made.spec.size
    partial = new(size * tiles.parts, made.dtype.itemsize)
    parts = Parameter("y", partial, made.dtype, written=True)
    return [
        product(label, lengths, a, b, parts, tiles, dtype=made.dtype, offset=offset, kind=kind),
        finish("finish", tiles.parts, size, Parameter("p", partial, made.dtype), written, dtype=made.dtype, tail=tail),
    ]


def spread(flat: str, lengths: Sequence[int], strides: Sequence[int]) -> list[str]:
    """The terms of the offset of element `flat` of some axes."""
    axes = [(n, step) for n, step in zip(lengths, strides, strict=True) if n != 1]
    runs = axes[:1]
    for (_, before), (length, step) in pairwise(axes):
        if before == step * length:
            runs[-1] = (runs[-1][0] * length, step)
        else:
            runs.append((length, step))
    terms: list[str] = []
    below = 1
    for position, (length, step) in reversed(list(enumerate(runs))):
        text = flat if below == 1 else f"{flat} / {below}"
        text = text if position == 0 else f"{text} % {length}"
        if step:
            terms.append(f"({text}) * {step}" if step != 1 else f"({text})")
        below *= length
    return terms[::-1]


def _offset(labels: Labels, names: str, place: Place, **flat: str) -> str:
    """The offset of an element by `batch` and what is given: names of numbers, and the axes that they count."""
    strides = dict(zip(names, place.strides, strict=True))
    terms = [str(place.origin)] if place.origin else []
    for number, group in {"batch": labels.groups[0], **flat}.items():
        terms += spread(number, [labels.lengths[x] for x in group], [strides[x] for x in group])
    return " + ".join(terms) or "0"


def _lengths(names: str, place: Place) -> dict[str, int]:
    return dict(zip(names, place.shape, strict=True))


def _inner(names: str, place: Place, deep: str, other: str) -> bool:
    """Whether what is summed over lies closer together than the other axis."""
    steps = {x: step for x, step, n in zip(names, place.strides, place.shape, strict=True) if step and n > 1}
    nearest = min((abs(steps[x]) for x in deep if x in steps), default=1 << 60)
    return nearest < min((abs(steps[x]) for x in other if x in steps), default=1 << 60)
