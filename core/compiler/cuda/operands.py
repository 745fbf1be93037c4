"""How a kernel of a group reads: pointers, coordinates of rows and within a row, and elements as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from ..graph import Input, Node, Value
from ..native.place import Buffer, Place
from .axes import INT_ELEMENTS, Strides
from .expression import operand_dtype
from .group import REDUCTIONS, Group
from .kernel import Parameter
from .numbers import DType, cast, number


class Operands:
    """The operands of one group, while its kernel is written.

    The text is written twice: the first pass finds out in what strides operands are read, and so which axes the second
    may walk as one.

    Args:
        group: what is written.
        place_of: where values from outside lie.
    """

    def __init__(self, group: Group, place_of: Callable[[Value], Place]) -> None:
        self._group = group
        self._place_of = place_of
        self._own = {output for node in group.nodes for output in node.outputs}
        outside = [value for node in group.nodes for value in node.values if value not in self._own]
        largest_size = max([prod(group.shape), *(place_of(value).buffer.elements for value in outside)])
        self._int = "int" if largest_size < INT_ELEMENTS else "long long"
        self._strides: list[Strides] = []  # in which operands were read
        self._named: set[int] = set()  # the axes that have a coordinate
        self._parameters: dict[tuple[Buffer, bool], Parameter] = {}
        self._texts: dict[Value, str] = {}  # what is in registers
        self._count = 0

    def _begin(self) -> None:
        self._strides, self._parameters, self._texts, self._count = [], {}, {}, 0

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"{stem}{self._count}"

    def read(self, item: Input, at: Sequence[str], dtype: DType) -> str:
        """The element of an input at coordinates."""
        if not isinstance(item, Value):
            return number(item, dtype)
        place = self._place_of(item)
        terms = [f"({i}) * {step}" for i, step in zip(at, place.strides, strict=True) if step and i != "0"]
        return cast(self._element(item, place, terms), item.dtype, dtype)

    def _text(self, item: Input, node: Node) -> str:
        """An input at the place of the node's output."""
        if not isinstance(item, Value):
            return number(item, operand_dtype(item, node))
        known = self._texts.get(item)
        if known is not None:
            return known
        place = self._place_of(item)
        strides = self._spread(place, node)
        self._strides.append(strides)
        return self._element(item, place, self._offset(strides))

    def _spread(self, place: Place, node: Node) -> Strides:
        """The strides of an operand along the axes that the group walks."""
        group, output = self._group, node.outputs[0]
        if output not in group.rows or node.op.name in REDUCTIONS:
            return place.broadcast(group.shape).strides
        wide = place.broadcast(output.shape)
        if len(output.shape) == len(group.shape):
            return tuple(0 if axis in group.axes else step for axis, step in enumerate(wide.strides))
        steps = iter(wide.strides)
        return tuple(0 if axis in group.axes else next(steps) for axis in range(len(group.shape)))

    def _offset(self, strides: Strides) -> list[str]:
        """The terms of an offset by the coordinates of rows and within a row."""
        terms = [(axis, step) for axis, step in enumerate(strides) if step and axis in self._named]
        return [f"i{axis}" if step == 1 else f"i{axis} * {step}" for axis, step in terms]

    def _element(self, value: Value, place: Place, terms: Sequence[str]) -> str:
        name = self._pointer(place.buffer, value.dtype, written=False).name
        origin = [str(place.origin)] if place.origin or not terms else []
        return f"{name}[{' + '.join([*origin, *terms])}]"

    def _pointer(self, buffer: Buffer, dtype: DType, *, written: bool) -> Parameter:
        key = (buffer, written)
        if key not in self._parameters:
            name = f"{'y' if written else 'x'}{len(self._parameters)}"
            self._parameters[key] = Parameter(name, buffer, dtype, written)
        return self._parameters[key]
