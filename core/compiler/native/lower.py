"""From a schedule to launches of kernels: where every value lies, and what each kernel reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from ...device import Array
from ..graph import Effect, Graph, Input, Node, Value, uses
from ..llvm.formula import DType, Formula
from ..llvm.fusion import Where, fuse
from ..llvm.geometry import Border
from ..llvm.launch import Images, Launch
from ..llvm.target import Target
from .attention import lower_attention
from .borders import border_fills, borders_of
from .fused import GroupLowering
from .group import ATTENTIONS, IMAGES, MOVES, PRODUCTS, VIEWS, Group, Grouping, Item, Unsupported
from .images import ImageLowering
from .lowered import DTYPES, Lowered, Partial, Work
from .optimizers import lower_step, target_places
from .place import Buffer, Place, view_of
from .products import lower_column_sums, lower_product
from .recompute import recomputed
from .rows import lower_segment_sum, lower_take
from .steps import native_steps
from .tails import nodes_of, tails
from .turning import turned_copy
from .walk import Walk

NO_BORDER: Border = (0, 0, 0, 0)


class Lowering:
    """Lowers one graph.

    Args:
        graph: optimised and taken apart.
        target: the CPU.
        threads: that will share the launches.

    Attributes:
        result: what came of it.
        target: the CPU.
        threads: that will share the launches.
        places: where values lie that are whole.
        partials: sums that are still in parts.
        borders: of images (N, C, *spatial), the zeros that their readers want around them.
        last_borders: the same of images (N, *spatial, C).
        bordered: of buffers of images, the zeros that they have.
        targets: of gradients, where an optimiser's step will read them.
        vectors: of such steps, the memory of all their gradients.
        tails: of products and convolutions, what they do to their sums.
        nodes: what is being lowered.

    Raises:
        Unsupported: it has something that there are no kernels for.
    """

    def __init__(self, graph: Graph, target: Target, threads: int) -> None:
        self.result = Lowered()
        self.target = target
        self.threads = threads
        self.places = self.result.lying
        self.nodes: tuple[Node, ...] = ()
        self.partials: dict[Value, Partial] = {}
        self.borders, self.last_borders = borders_of(graph)
        self.bordered: dict[Buffer, Border] = {}
        for number, value in enumerate(graph.sources()):
            if value.dtype.name not in DTYPES or not value.dtype.isnative:
                order = "" if value.dtype.isnative else " in foreign byte order"
                raise Unsupported(f"a source of {value.dtype.name}{order}")
            buffer = Buffer(f"source{number}", value.spec.size, value.dtype.itemsize)
            self.result.sources[value] = buffer
            self.places[value] = Place.dense(buffer, value.shape)
        steps = native_steps(graph)
        kept = [*graph.results, *(update.value for update in graph.updates)]
        kept += [value for effect in graph.effects[len(steps) :] for value in effect.inputs]
        self.targets: dict[Value, Place] = {}
        self.vectors: dict[Effect, Buffer] = {}
        for effect in steps:
            target_places(self, effect)
        self._move_targets(graph)
        for value in kept:
            self.targets.pop(value, None)
        images = ImageLowering(self, graph)
        items = _views_first(recomputed(Grouping(graph).items, graph), graph)
        self.tails, absorbed = tails(items, graph)
        for item in items:
            if item in absorbed:
                continue
            self.nodes = tuple(item.nodes) if isinstance(item, Group) else (item, *nodes_of(self.tails.get(item)))
            if isinstance(item, Group):
                if not lower_column_sums(self, item):
                    GroupLowering(self, item).run()
            elif item.op.name in PRODUCTS:
                lower_product(self, item)
            elif item.op.name in IMAGES:
                images.lower(item)
            elif item.op.name == "channel_moments":
                images.moments(item)
            elif item.op.name in ATTENTIONS:
                lower_attention(self, item)
            elif item.op.name in MOVES:
                self._move(item)
            else:
                self._view(item)
        self.nodes = ()
        for value in kept:
            self.result.places[value] = self._dense(value)
        for number, effect in enumerate(steps):
            lower_step(self, effect, number)

    def _move_targets(self, graph: Graph) -> None:
        """Let what is only reshaped on its way to a target be made there."""
        counts = uses(graph.nodes)
        for node in reversed(graph.nodes):
            if node.op.name == "reshape" and (target := self.targets.get(node.outputs[0])) is not None:
                (value,) = node.values
                place = target.reshaped(value.shape)
                if counts[value] == 1 and place is not None:
                    self.targets.setdefault(value, place)

    # --- memory ---

    def new(self, elements: int, itemsize: int = 4) -> Buffer:
        """Memory for the planner to place."""
        buffer = Buffer("arena", elements, itemsize)
        self.result.buffers.append(buffer)
        return buffer

    def new_place(self, value: Value) -> Place:
        """Memory for a value, where it is wanted in the end, in order and without gaps."""
        return self.targets.get(value) or Place.dense(self.new(value.spec.size, value.dtype.itemsize), value.shape)

    def barrier(self) -> None:
        """What was written so far is there for what follows, and the other way round."""
        self.result.barriers.add(len(self.result.works))

    def table(self, numbers: Array) -> Buffer:
        """Memory with numbers that stay."""
        dense = np.ascontiguousarray(numbers, np.float32)
        buffer = Buffer(f"table{len(self.result.tables)}", dense.size)
        self.result.tables[buffer] = dense
        return buffer

    def new_images(self, count: int, height: int, width: int, channels: int, border: Border) -> tuple[Buffer, Images]:
        """Memory for images, channels last; their border becomes zero."""
        images = Images.dense(count, height, width, channels, border=border)
        buffer = self.new(images.size)
        if any(border):
            self.bordered[buffer] = border
        return buffer, images

    def new_images_last(self, value: Value) -> tuple[Buffer, Images, Place]:
        """Memory for a value (N, *spatial, C), with the zeros around its images that its readers want."""
        count, *spatial, channels = value.shape
        height, width = (1, *spatial) if len(spatial) == 1 else spatial
        buffer, images = self.new_images(count, height, width, channels, self.last_borders.get(value, NO_BORDER))
        steps = (images.pixel,) if len(spatial) == 1 else (images.row, images.pixel)
        return buffer, images, Place(buffer, value.shape, (images.image, *steps, 1), images.origin)

    def clear_border(self, buffer: Buffer, images: Images) -> None:
        """Launches that make a border zero; to stand behind whatever makes the images."""
        for launch in border_fills(self.target, images, self.bordered.get(buffer, NO_BORDER)):
            self.result.works.append(Work(launch, {"to": buffer}, frozenset(), "border", beside=True, nodes=self.nodes))

    def add(self, launch: Launch, memory: Mapping[str, Buffer], writes: Sequence[str], label: str) -> None:
        """One more launch; see `Work`."""
        used = {name: memory[name] for name in launch.offsets if name != "scratch"}
        self.result.works.append(Work(launch, used, frozenset(writes), label, nodes=self.nodes))

    def place(self, value: Value) -> Place:
        """Where a value lies; a sum in parts is finished first."""
        known = self.places.get(value)
        if known is None:
            partial = self.partials[value]
            f = Formula()
            if partial.layout == "moments":
                term = f.moments("parts")[partial.variance]
            else:
                term = f.operand("parts", partial.layout) * partial.factor
            f.store("whole", term, layout="scalar" if partial.layout == "total" else "channel")
            known = self.new_place(value)
            where: dict[str, Where] = {"parts": partial.rows, "whole": known.origin}
            fused = fuse(self.target, f.pattern(), (1, 1, 1, partial.channels), where)
            memory = {"parts": partial.buffer, "whole": known.buffer}
            self.add(fused.launch, memory, ["whole"], "finish")
            if value.node is not None:
                self.result.works[-1].nodes = (value.node,)
            self.places[value] = known
        return known

    def channels(self, value: Value) -> tuple[Buffer, int]:
        """Where numbers lie side by side, such as one per channel: the memory, and the first of them in it."""
        place = self.place(value)
        place = place if place.is_dense else self.dense_copy(place)
        return place.buffer, place.origin

    def copied(self, place: Place, to: Place) -> None:
        """Copy float32 elements, or those of `to`'s size, to another place of the same shape."""
        moved = prod(place.shape) * to.buffer.itemsize
        if (launch := turned_copy(self.target, place, to)) is not None:
            self.add(launch, {"source": place.buffer, "result": to.buffer}, ["result"], "copy")
            self.result.works[-1].moved = moved
            return
        try:
            walk = Walk(place.shape, [to, place], last=False)
        except Unsupported:  # too many axes in too many orders: part by part
            axis = min((a for a, n in enumerate(place.shape) if n > 1), key=lambda a: place.shape[a])
            for number in range(place.shape[axis]):
                self.copied(*(each.part(axis, number) for each in (place, to)))
            return
        f = Formula()
        dtype = {1: "bool", 4: "f32", 8: "i64"}[to.buffer.itemsize]
        assert dtype in ("bool", "f32", "i64")
        f.store("to", walk.operand(f, "from", place, dtype), dtype=dtype, layout=walk.known("to", to))
        where = {"from": walk.where(place), "to": walk.where(to)} | walk.extra
        fused = fuse(self.target, f.pattern(), walk.grid, where)
        self.add(fused.launch, {"from": place.buffer, "to": to.buffer}, ["to"], "copy")
        self.result.works[-1].moved = moved

    def dense_copy(self, place: Place) -> Place:
        """A copy in order and without gaps."""
        target = Place.dense(self.new(prod(place.shape), place.buffer.itemsize), place.shape)
        self.copied(place, target)
        return target

    def _dense(self, value: Value) -> Place:
        """Where a value lies in order and without gaps; copied if it does not."""
        place = self.place(value)
        if place.is_dense and prod(place.shape) == place.buffer.elements and place.origin == 0:
            return place
        return self.dense_copy(place)

    # --- views ---

    def _view(self, node: Node) -> None:
        (value,) = node.values
        output = node.outputs[0]
        partial = self.partials.get(value)
        if partial is not None and value not in self.places and node.op.name == "reshape":
            self.partials[output] = replace(partial, shape=output.shape)
            return
        source = self.place(value)
        found = view_of(node, source) or view_of(node, self.dense_copy(source))
        if found is None:
            raise Unsupported(f"{node.op.name} with {dict(node.params)}")
        if any(step < 0 for step in found.strides) and prod(found.shape):
            found = self.dense_copy(found)
        self.places[output] = found

    def _move(self, node: Node) -> None:
        match node.op.name:
            case "take":
                lower_take(self, node)
            case "segment_sum":
                lower_segment_sum(self, node)
            case "replace":
                self._replace(node)
            case _:
                self._join(node)

    def _replace(self, node: Node) -> None:
        """A copy, and a copy of what takes the place of some of it."""
        output, (base, value) = node.outputs[0], node.inputs
        given = [item for item in (base, value) if isinstance(item, Value)]
        if output.dtype.name not in DTYPES or any(item.dtype != output.dtype for item in given):
            raise Unsupported(f"replace in {output.dtype.name}")
        assert isinstance(base, Value)
        whole = self.places[output] = self.new_place(output)
        self.copied(self.place(base), whole)
        room = whole.indexed(node.params["key"])
        assert room is not None
        if not prod(room.shape):
            return
        if isinstance(value, Value):
            self.copied(self.place(value).broadcast(room.shape), room)
        else:
            self._fill(room, value, DTYPES[output.dtype.name])

    def _fill(self, to: Place, number: Input, dtype: DType) -> None:
        """Write a number everywhere."""
        assert isinstance(number, int | float)
        walk = Walk(to.shape, [to], last=False)
        f = Formula()
        f.store("to", f.constant(number, dtype), dtype=dtype, layout=walk.known("to", to))
        fused = fuse(self.target, f.pattern(), walk.grid, {"to": walk.where(to)} | walk.extra)
        self.add(fused.launch, {"to": to.buffer}, ["to"], "fill")

    def _join(self, node: Node) -> None:
        output = node.outputs[0]
        if not output.spec.size or output.dtype.name not in DTYPES:
            raise Unsupported(f"concatenate of {output.spec}")
        axis: int = node.params["axis"] % len(output.shape)
        whole = self.places[output] = self.new_place(output)
        start = 0
        for value in node.values:
            if value.dtype != output.dtype:
                raise Unsupported(f"concatenate of {value.dtype.name} and {output.dtype.name}")
            if value.spec.size:
                at = whole.origin + start * whole.strides[axis]
                self.copied(self.place(value), replace(whole, shape=value.shape, origin=at))
            start += value.shape[axis]


def _views_first(items: Sequence[Item], graph: Graph) -> list[Item]:
    """The schedule with the views of sources before all else: what computes may need them, and they cost nothing."""
    known = set(graph.sources())
    early: dict[Item, None] = {}
    for item in items:
        if isinstance(item, Node) and item.op.name in VIEWS and known.issuperset(item.values):
            known.update(item.outputs)
            early[item] = None
    return [*early, *(item for item in items if item not in early)]


def lower(graph: Graph, target: Target, threads: int) -> Lowered:
    """The launches of a graph; see `Lowering`."""
    return Lowering(graph, target, threads).result
