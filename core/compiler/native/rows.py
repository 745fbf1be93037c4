"""Rows of tables by numbers, and their gradient, as launches: what embeddings are made of.

Numbers are read as NumPy reads them, from the end where they are negative. That they are within the table is looked at
before a run, so they must be there then: an argument, a draw, something captured.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ..graph import Node, Value
from ..llvm.elementwise import tile_for
from ..llvm.embedding import emit_row_gradient
from ..llvm.formula import Formula
from ..llvm.fusion import Rows, Where, fuse
from ..llvm.launch import Images, Launch
from .axes import back
from .bounds import Bounds
from .group import INTEGERS, Unsupported
from .lowered import DTYPES
from .place import Place

if TYPE_CHECKING:
    from .lower import Lowering


def source_of(value: Value) -> Value | None:
    """What a value is a view of all of, if no node makes that; else None."""
    while value.node is not None and value.node.op.name in ("reshape", "transpose", "broadcast_to"):
        (value,) = value.node.values
    return value if value.node is None else None


def lower_take(outer: Lowering, node: Node) -> None:
    """The launch of a `take`.

    Raises:
        Unsupported: of other than float32 rows, with batches, or by numbers that are computed.
    """
    x, numbers = node.values
    output = node.outputs[0]
    axis: int = node.params["axis"] % len(x.shape)
    _check(outer, node, x, numbers, x.shape[axis])
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    table = _rows(outer, outer.place(x).transposed((axis, *(a for a in range(len(x.shape)) if a != axis))), 1)
    index = outer.place(numbers)
    index = index if index.is_dense else outer.dense_copy(index)
    count, channels = numbers.spec.size, prod(rest)
    f = Formula()
    row = f.pixel("numbers", DTYPES[numbers.dtype.name])
    f.store("y", f.table("x", (row < 0).select(row + x.shape[axis], row).cast("i32")))
    made = Place.dense(outer.new(output.spec.size), (*numbers.shape, *rest))
    where: dict[str, Where] = {
        "numbers": _pixels(count, channels, 1, index.origin),
        "x": Rows(table.strides[0], origin=table.origin, rows=x.shape[axis]),
        "y": _pixels(count, channels, channels, 0),
    }
    fused = fuse(outer.target, f.pattern(), (1, 1, count, channels), where)
    memory = {"numbers": index.buffer, "x": table.buffer, "y": made.buffer}
    outer.add(fused.launch, memory, ["y"], "take")
    rank, spread = len(output.shape), len(numbers.shape)
    order = (*range(axis, axis + spread), *range(axis), *range(axis + spread, rank))
    outer.places[output] = made.transposed(back(order))


def lower_segment_sum(outer: Lowering, node: Node) -> None:
    """The launch of a `segment_sum`.

    Raises:
        Unsupported: as for `lower_take`.
    """
    x, numbers = node.values
    output, count = node.outputs[0], node.params["num_segments"]
    axis, spread = node.params["axis"] % len(output.shape), len(numbers.shape)
    _check(outer, node, x, numbers, count)
    order = (*range(axis, axis + spread), *range(axis), *range(axis + spread, len(x.shape)))
    given = _rows(outer, outer.place(x).transposed(order), spread)
    index = _wide(outer, numbers)
    channels = given.shape[1]
    rest = (*output.shape[:axis], *output.shape[axis + 1 :])
    if axis == 0:
        whole = outer.places[output] = outer.new_place(output)
    else:
        whole = Place.dense(outer.new(output.spec.size), (count, *rest))
        outer.places[output] = whole.transposed(back((axis, *(a for a in range(len(output.shape)) if a != axis))))
    launch = Launch(
        kernel=emit_row_gradient(outer.target, tile_for(outer.target, channels)),
        numbers={
            "count": numbers.spec.size, "rows": count, "channels": channels, "g.row": given.strides[0],
            "table.row": channels,
        },
        offsets={"numbers": index.origin, "g": given.origin, "table": whole.origin},
        sizes={"numbers": 8},
    )  # fmt: skip
    memory = {"numbers": index.buffer, "g": given.buffer, "table": whole.buffer}
    outer.add(launch, memory, ["table"], "segment_sum")


def _check(outer: Lowering, node: Node, x: Value, numbers: Value, length: int) -> None:
    name = node.op.name
    if node.params["batch_dims"] or x.dtype.name != "float32" or numbers.dtype.name not in INTEGERS:
        raise Unsupported(f"{name} of {x.spec} by {numbers.spec}")
    source = source_of(numbers)
    if source is None:
        raise Unsupported(f"{name} by numbers that are computed")
    outer.result.bounds.append(Bounds(outer.result.sources[source].name, length, name))


def _rows(outer: Lowering, place: Place, lead: int) -> Place:
    """A place as rows of channels that lie side by side; its first axes count rows."""
    shape = (prod(place.shape[:lead]), prod(place.shape[lead:]))
    flat = place.reshaped(shape)
    if flat is not None and (shape[1] == 1 or flat.strides[1] == 1):
        return flat
    dense = outer.dense_copy(place).reshaped(shape)
    assert dense is not None
    return dense


def _wide(outer: Lowering, numbers: Value) -> Place:
    """Numbers as int64, side by side."""
    place = outer.place(numbers)
    if numbers.dtype.name == "int64":
        return place if place.is_dense else outer.dense_copy(place)
    place = place if place.is_dense else outer.dense_copy(place)
    count = numbers.spec.size
    buffer = outer.new(count, 8)
    f = Formula()
    f.store("to", f.full("from", "i32"), dtype="i64")
    where: dict[str, Where] = {"from": _pixels(1, count, count, place.origin), "to": _pixels(1, count, count, 0)}
    fused = fuse(outer.target, f.pattern(), (1, 1, 1, count), where)
    outer.add(fused.launch, {"from": place.buffer, "to": buffer}, ["to"], "copy")
    return Place.dense(buffer, (count,))


def _pixels(count: int, channels: int, step: int, origin: int) -> Images:
    """So many pixels one behind the other."""
    return Images(
        count=1, height=1, width=count, channels=channels, image=count * step, row=count * step, pixel=step,
        origin=origin,
    )  # fmt: skip


def bounds_of_label(outer: Lowering, label: Value, classes: int) -> None:
    """Remember that the labels of a `one_hot` are to be looked at, where they are there before a run."""
    source = source_of(label)
    if source is not None:
        outer.result.bounds.append(Bounds(outer.result.sources[source].name, classes, "one_hot"))
