"""Groups of elementwise nodes and sums as one kernel each."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from ..graph import Input, Node, Value
from ..llvm import attention, normalisation
from ..llvm.expression import Operand, term_of
from ..llvm.formula import CHANNELS, SHARDS, Formula, Term
from ..llvm.fusion import Rows, Where, fuse
from ..llvm.launch import Images
from .group import Group, Unsupported, reduction_of
from .lowered import DTYPES, Partial
from .place import Buffer, Place
from .rows import bounds_of_label
from .walk import Walk

if TYPE_CHECKING:
    from .lower import Lowering


class GroupLowering:
    """Lowers one group to one kernel."""

    def __init__(self, outer: Lowering, group: Group) -> None:
        self._outer = outer
        self._group = group
        self._formula = Formula()
        self._terms: dict[Value, Term] = {}
        self._labels: dict[Value, Term] = {}  # of a value that has one element per row
        self._memory: dict[str, Buffer] = {}
        self._where: dict[str, Where] = {}
        self._writes: list[str] = []
        self._cleared: list[tuple[Buffer, Images]] = []  # whose borders are still to be made zero
        own = {output for node in group.nodes for output in node.outputs}
        outside = dict.fromkeys(v for node in group.nodes for v in node.values if v not in own)
        partials = outer.partials
        self._read_in_parts = {v: partials[v] for v in outside if self._takes_parts(v, partials)}
        self._operands = {v: outer.place(v) for v in outside if v not in self._read_in_parts}
        labels = {node.inputs[0]: node for node in group.nodes if node.op.name == "one_hot"}
        for label, node in labels.items():
            if label in self._operands:
                bounds_of_label(outer, label, node.outputs[0].shape[-1])
        by_itself = bool(labels) or group.rowwise or group.channels
        by_itself |= any(p.layout != "total" for p in self._read_in_parts.values())
        self._moments: dict[Buffer, tuple[Term, Term]] = {}
        self._images = {v: outer.new_images_last(v) for v in group.stores if self._has_border(v)}
        images = [place for _, _, place in self._images.values()]

        def walk() -> Walk:
            wide = [
                expanded(p) if v in labels else p.broadcast(group.shape)
                for v, p in self._operands.items()
                if v in labels or len(v.shape) <= len(group.shape)
            ]
            return Walk(group.shape, [*wide, *images], last=by_itself, first=group.items)

        def expanded(place: Place) -> Place:
            return Place(place.buffer, (*place.shape, 1), (*place.strides, 0), place.origin).broadcast(group.shape)

        try:
            self._walk = walk()
        except Unsupported:  # they lie in too many orders, or repeat along too many axes
            for value, place in self._operands.items():
                if value not in labels and prod(value.shape) > 1:  # what repeats along a row still does
                    wide = (*group.shape[:-1], value.shape[-1])
                    self._operands[value] = outer.dense_copy(place.broadcast(wide))
            self._walk = walk()

    def run(self) -> None:
        """Make the kernel."""
        group, outer = self._group, self._outer
        if not prod(group.shape):
            raise Unsupported("tensors without elements")
        for node in group.nodes:
            output = node.outputs[0]
            kind = reduction_of(node)
            if kind in ("channel", "total"):
                self._reduce(node, kind)
                continue
            if kind == "item":
                self._sum_items(node)
                continue
            term = self._compute(node, kind)
            self._terms[output] = term
            if output in group.stores:
                self._store(output, term)
        fused = fuse(outer.target, self._formula.pattern(), self._walk.grid, self._where | self._walk.extra)
        label = " ".join(dict.fromkeys(node.op.name for node in group.nodes))
        outer.add(fused.launch, self._memory, self._writes, label)
        for buffer, images in self._cleared:
            outer.clear_border(buffer, images)

    def _takes_parts(self, value: Value, partials: Mapping[Value, Partial]) -> bool:
        """Whether the sums of an earlier group can be finished by each thread here."""
        partial = partials.get(value)
        if partial is None or value in self._outer.places:
            return False
        if partial.layout == "total":
            return True
        return partial.shape[-1:] == self._group.shape[-1:] and all(n == 1 for n in partial.shape[:-1])

    def _compute(self, node: Node, kind: str | None) -> Term:
        name = node.op.name
        if kind == "row":
            x = self._term(node.inputs[0])
            count = next(node.values).shape[-1]
            reduced = {"sum": x.row_sum, "mean": x.row_sum, "max": x.row_max, "min": x.row_min}[name]()
            return reduced * (1.0 / count) if name == "mean" else reduced
        if name == "log_softmax":
            return attention.log_softmax(self._term(node.inputs[0]))
        if name == "standardize":
            return normalisation.standardise_row(self._term(node.inputs[0]), node.params["epsilon"]).value
        if name == "rms_standardize":
            return normalisation.root_mean_square_row(self._term(node.inputs[0]), node.params["epsilon"]).value
        if name == "one_hot":
            label = self._term(node.inputs[0], expand=True)
            return self._formula.channel_index().equals(label.cast("i32")).cast(DTYPES[node.outputs[0].dtype.name])
        if name == "astype":
            return self._term(node.inputs[0]).cast(DTYPES[node.outputs[0].dtype.name])
        names = dict(zip(node.op.inputs, (self._operand(item) for item in node.inputs), strict=True))
        names |= {key: value for key, value in node.params.items() if isinstance(value, int | float)}
        assert node.op.kernel is not None
        try:
            found = term_of(self._formula, name, node.op.kernel, names)
        except (KeyError, AssertionError, TypeError) as exc:
            raise Unsupported(f"the op {name}: {exc}") from exc
        return found.cast(DTYPES[node.outputs[0].dtype.name])

    def _operand(self, item: Input) -> Operand:
        if isinstance(item, Value):
            return self._term(item)
        if isinstance(item, complex):
            raise Unsupported("complex numbers")
        return item

    def _term(self, value: Input, *, expand: bool = False) -> Term:
        """A value as a term: computed here, or read."""
        if not isinstance(value, Value):
            assert isinstance(value, int | float)
            return self._formula.constant(value)
        terms = self._labels if expand else self._terms
        known = terms.get(value)
        if known is not None:
            return known
        name = f"x{len(self._memory)}"
        partial = self._read_in_parts.get(value)
        if partial is not None:
            term = self._part(name, partial)
        else:
            place = self._operands[value]
            if expand:
                place = Place(place.buffer, (*place.shape, 1), (*place.strides, 0), place.origin)
            place = place.broadcast(self._group.shape)
            self._memory[name] = place.buffer
            term = self._walk.operand(self._formula, name, place, DTYPES[value.dtype.name])
            self._where[name] = self._walk.where(place)
        terms[value] = term
        return term

    def _part(self, name: str, partial: Partial) -> Term:
        if partial.layout == "moments":
            known = self._moments.get(partial.buffer)
            if known is None:
                self._memory[name], self._where[name] = partial.buffer, partial.rows
                known = self._moments[partial.buffer] = self._formula.moments(name)
            return known[partial.variance]
        self._memory[name], self._where[name] = partial.buffer, partial.rows
        return self._formula.operand(name, partial.layout) * partial.factor

    def _store(self, value: Value, term: Term) -> None:
        shape, dtype = self._group.shape, DTYPES[value.dtype.name]
        if value in self._images:
            self._store_images(value, term)
            return
        rows = value.shape != shape and prod(value.shape) != prod(shape)
        buffer = self._outer.new(value.spec.size, value.dtype.itemsize)
        name = f"y{len(self._memory)}"
        self._memory[name] = buffer
        self._writes.append(name)
        wide = (*shape[:-1], 1) if rows else shape
        place = Place.dense(buffer, wide, [axis for axis in self._walk.order if axis < len(wide)])
        at = place.broadcast(shape)
        if rows and self._walk.layout(at) == "scalar":  # of the only row
            self._formula.store(name, term, dtype=dtype, layout="pixel")
            self._where[name] = self._walk.images(at)
        else:
            self._formula.store(name, term, dtype=dtype, layout=self._walk.known(name, at))
            self._where[name] = self._walk.where(at)
        found = place if len(value.shape) == len(wide) else place.reshaped(value.shape)
        if found is None:
            raise Unsupported("a reduction in another layout")
        self._outer.places[value] = found

    def _has_border(self, value: Value) -> bool:
        shape = self._group.shape
        images = value.shape == shape and 3 <= len(shape) <= 4 and value.dtype.name == "float32"
        return images and value in self._outer.last_borders

    def _store_images(self, value: Value, term: Term) -> None:
        buffer, images, place = self._images[value]
        name = f"y{len(self._memory)}"
        self._memory[name] = buffer
        self._writes.append(name)
        self._formula.store(name, term, layout=self._walk.known(name, place))
        self._where[name] = self._walk.where(place)
        self._cleared.append((buffer, images))
        self._outer.places[value] = place

    def _sum_items(self, node: Node) -> None:
        """Sums over the pixels of each item, per channel: whole when the kernel ends."""
        output, name = node.outputs[0], f"p{len(self._memory)}"
        value = next(node.values)
        term = self._term(value)
        if node.op.name == "mean":
            term = term * (output.spec.size / value.spec.size)
        buffer = self._outer.new(output.spec.size)
        self._memory[name] = buffer
        self._writes.append(name)
        self._where[name] = Rows(value.shape[-1])
        self._formula.item_sum(name, term)
        self._outer.places[output] = Place.dense(buffer, output.shape)

    def _reduce(self, node: Node, kind: str) -> None:
        output, name = node.outputs[0], f"p{len(self._memory)}"
        value = next(node.values)
        if node.op.name == "mean_nll":
            term = self._term(node.inputs[0]) * self._term(node.inputs[1])
            factor = -1.0 / node.params["count"]
        else:
            term = self._term(value)
            factor = output.spec.size / value.spec.size if node.op.name == "mean" else 1.0
        channels = self._group.shape[-1] if kind == "channel" else 1
        buffer = self._outer.new(SHARDS * channels)
        self._memory[name] = buffer
        self._writes.append(name)
        self._where[name] = Rows(channels)
        if kind == "channel":
            self._formula.channel_sum(name, term)
        elif term.step.varies:
            if not term.step.varies & CHANNELS:  # a kernel adds it once for each pixel
                factor *= self._walk.grid[3]
            self._formula.total_sum(name, term)
        else:  # one element repeated
            self._formula.store(name, term * (factor * prod(self._group.shape)), layout="scalar")
            self._where[name] = 0
            self._outer.places[output] = Place.dense(buffer, output.shape)
            return
        layout = "partials" if kind == "channel" else "total"
        self._outer.partials[output] = Partial(
            buffer=buffer, layout=layout, channels=channels, shape=output.shape, factor=factor, rows=Rows(channels)
        )
