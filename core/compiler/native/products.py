"""Products of matrices as launches."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node, Value
from ..llvm.launch import Images
from ..llvm.matmul import matrices, multiply, pack_right, packed_right_size
from ..llvm.tile import BLOCK
from ..llvm.tiling import PLAIN, Epilogue
from .group import Group, Unsupported, reduction_of
from .place import Place
from .tails import Tail

if TYPE_CHECKING:
    from .lower import Lowering

WORTH_PACKING = 512  # rows of a, that each read all of b: then it is worth to lay b in their order first
FEW_ROWS, MANY_COLUMNS = 256, 4096  # at most: one thread adds them up in 1 us for 128 columns, two wait that long
SHARED_COLUMNS = 2 * BLOCK  # that a thread adds up at once


def lower_product(outer: Lowering, node: Node) -> None:
    """Launches of a `matmul`.

    Raises:
        Unsupported: of other than float32 matrices, or over nothing.
    """
    left, right = node.inputs
    assert isinstance(left, Value)
    assert isinstance(right, Value)
    if {left.dtype.name, right.dtype.name} != {"float32"} or min(len(left.shape), len(right.shape)) < 2:
        raise Unsupported(f"matmul of {left.spec} and {right.spec}")
    tail = outer.tails.get(node)
    output = node.outputs[0] if tail is None else tail.output
    a, b = outer.place(left), outer.place(right)
    if len(b.shape) == 2 and len(a.shape) > 2:  # one product of more rows
        rows = (prod(a.shape[:-1]), a.shape[-1])
        flat = a.reshaped(rows) or outer.dense_copy(a).reshaped(rows)
        assert flat is not None
        a = flat
    elif a.shape[:-2] != b.shape[:-2] or len(a.shape) > 3:
        batch = output.shape[:-2]
        a, b = (_batched(outer, each, batch) for each in (a, b))
    whole = outer.places[output] = outer.new_place(output)
    made = Place.dense(whole.buffer, (*a.shape[:-1], b.shape[-1]), origin=whole.origin)
    if not output.spec.size:
        return
    if not left.shape[-1]:
        raise Unsupported("a product over nothing")
    _multiply(outer, a, b, made, node.where or "matmul", tail)


def lower_column_sums(outer: Lowering, group: Group) -> bool:
    """A group that is nothing but the sums of the columns of a small matrix, such as the gradient of a bias, as a
    product with a row of ones: it is whole when the launch ends. False for any other, of which nothing is lowered.
    """
    (node, *others) = group.nodes
    if others or node.op.name != "sum" or reduction_of(node) != "channel":
        return False
    (value,) = node.values
    rows, columns = prod(value.shape[:-1]), value.shape[-1]
    if value in outer.partials or not 0 < rows <= FEW_ROWS or not 0 < columns <= MANY_COLUMNS:
        return False
    matrix = outer.place(value).reshaped((rows, columns))
    if matrix is None or matrix.strides[-1] != 1:
        return False
    output = outer.places[node.outputs[0]] = outer.new_place(node.outputs[0])
    # Threads share matrices: as many products as there are groups of columns.
    wide = SHARED_COLUMNS if columns % SHARED_COLUMNS == 0 else columns
    groups = columns // wide
    ones = Place(outer.table(np.ones(rows)), (groups, rows, 1), (0, 1, 1))
    matrix = Place(matrix.buffer, (groups, rows, wide), (wide, *matrix.strides), matrix.origin)
    made = Place.dense(output.buffer, (groups, 1, wide), origin=output.origin)
    memory = {"x": ones.buffer, "w": matrix.buffer, "y": made.buffer}
    for launch in multiply(outer.target, "tn", _matrices(ones), _matrices(matrix), _matrices(made)):
        outer.add(launch, memory, ["y"], node.where or "sum")
    return True


def _batched(outer: Lowering, place: Place, batch: tuple[int, ...]) -> Place:
    wide = place.broadcast((*batch, *place.shape[-2:]))
    shape = (prod(batch), *place.shape[-2:])
    flat = wide.reshaped(shape) or outer.dense_copy(wide).reshaped(shape)
    assert flat is not None
    return flat


def _multiply(outer: Lowering, a: Place, b: Place, c: Place, label: str, tail: Tail | None) -> None:
    a = a if 1 in (_step(a, -1), _step(a, -2)) else outer.dense_copy(a)
    b = b if 1 in (_step(b, -1), _step(b, -2)) else outer.dense_copy(b)
    turned_a, turned_b = _step(a, -1) != 1, _step(b, -1) != 1
    if turned_a and turned_b:
        b, turned_b = outer.dense_copy(b), False
    left, right = (_matrices(p.transposed(_turn(p))) if t else _matrices(p) for p, t in ((a, turned_a), (b, turned_b)))
    memory = {"x": a.buffer, "w": b.buffer, "y": c.buffer}
    if turned_b:
        packed = outer.new(packed_right_size(right))
        outer.add(pack_right(outer.target, right), {"source": b.buffer, "result": packed}, ["result"], "pack")
        memory["w"] = packed
    elif not turned_a and right.count == 1 and left.width >= WORTH_PACKING and right.channels % BLOCK == 0:
        blocks, depth = right.channels // BLOCK, right.width
        source = Place(b.buffer, (blocks, depth, BLOCK), (BLOCK, right.pixel, 1), right.origin)
        memory["w"] = outer.new(blocks * depth * BLOCK)
        outer.copied(source, Place.dense(memory["w"], source.shape))
        right, turned_b = matrices(1, right.channels, depth), True
    form = "tn" if turned_a else "nt" if turned_b else "nn"
    epilogue, shift, others = PLAIN, 0, dict[str, Images]()
    if tail is not None and tail.bias is not None:
        epilogue = Epilogue(bias=True, relu=tail.relu)
        memory["bias"], shift = outer.channels(tail.bias)
    elif tail is not None and tail.mask is not None:
        epilogue = Epilogue(mask=True)
        place = outer.place(tail.mask)
        mask = (place if place.is_dense else outer.dense_copy(place)).reshaped(c.shape)
        assert mask is not None
        memory["mask"], others["mask"] = mask.buffer, _matrices(mask)
    for launch in multiply(
        outer.target, form, left, right, _matrices(c), threads=outer.threads, epilogue=epilogue, others=others
    ):
        outer.add(launch.shifted("bias", shift), memory, ["y"], label)


def _step(place: Place, axis: int) -> int:
    """The stride along an axis; 1 where there is nothing to step over."""
    return 1 if place.shape[axis] == 1 else place.strides[axis]


def _turn(place: Place) -> tuple[int, ...]:
    rank = len(place.shape)
    return (*range(rank - 2), rank - 1, rank - 2)


def _matrices(place: Place) -> Images:
    """A place of one or more matrices as images of one row."""
    rows, columns = place.shape[-2:]
    count = prod(place.shape[:-2])
    stride = place.strides[-2] if rows > 1 else columns
    step = place.strides[0] if len(place.shape) == 3 and count > 1 else rows * stride
    found = matrices(count, rows, columns, step=step, stride=stride)
    return Images(
        count=count, height=1, width=rows, channels=columns, image=found.image, row=found.row, pixel=found.pixel,
        origin=place.origin, size=found.size,
    )  # fmt: skip
