"""Convolutions and statistics of images as launches. Images lie channels last, with zeros around them.

A value keeps its form, (N, C, *spatial), as a place whose channels are adjacent; images along a line have one row.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from ..graph import Graph, Node, Value
from ..llvm.convolution import forward, input_gradient
from ..llvm.formula import SHARDS, Formula
from ..llvm.fusion import Rows, fuse
from ..llvm.geometry import Border, Convolution
from ..llvm.interleave import MOST_CHANNELS, interleave
from ..llvm.ir import FLOAT_BYTES
from ..llvm.launch import Images
from ..llvm.packing import pack_transposed, packed_size, turn_weights, turned_size
from ..llvm.tile import BLOCK
from ..llvm.tile_launch import blocks_of
from ..llvm.tiling import PLAIN, Epilogue, moments_row
from ..llvm.weight_gradient import weight_gradient
from ..llvm.winograd import is_minimal
from ..llvm.winograd_gradient import minimal_weight_gradient
from ..llvm.winograd_weights import from_planes, to_planes, weight_planes_size
from .borders import convolution_of, size_of
from .group import Unsupported
from .lowered import Partial
from .place import Buffer, Place
from .pools import PoolLowering

if TYPE_CHECKING:
    from .lower import Lowering

READ_BEYOND: Final = 2 * BLOCK * BLOCK  # floats behind packed weights that kernels may read
NO_BORDER: Final[Border] = (0, 0, 0, 0)


class ImageLowering:
    """Lowers what images need.

    Args:
        outer: of the whole graph.
        graph: it.
    """

    def __init__(self, outer: Lowering, graph: Graph) -> None:
        self.outer = outer
        self._copies: dict[Value, tuple[Buffer, Images]] = {}
        # Of weights, and of the groups that they are used with.
        self._packed: dict[tuple[Value, int], Buffer] = {}
        self._turned: dict[tuple[Value, int], Buffer] = {}
        self._known_planes: dict[tuple[Value, int], Buffer] = {}
        self._turned_planes: dict[tuple[Value, int], Buffer] = {}
        self._pools = PoolLowering(self)
        self._last: dict[Value, Value] = {}  # what is read with the channels last
        self._measured: set[Value] = set()  # of whom mean and variance are wanted
        for node in graph.nodes:
            if node.op.name == "transpose":
                self._last[node.outputs[0]] = next(node.values)
            elif node.op.name == "channel_moments":
                of = next(node.values)
                self._measured.add(self._last.get(of, of))

    def lower(self, node: Node) -> None:
        """The launches of one node.

        Raises:
            Unsupported: there are no kernels for it.
        """
        if any(value.dtype.name != "float32" for value in node.values) or not node.outputs[0].spec.size:
            raise Unsupported(f"{node.op.name} of {', '.join(str(value.spec) for value in node.values)}")
        if len(next(node.values).shape) not in (3, 4):
            raise Unsupported(f"{node.op.name} of shape {next(node.values).shape}")
        match node.op.name:
            case "conv":
                self._convolve(node)
            case "conv_input_grad":
                self._convolve_back(node)
            case "conv_weight_grad":
                self._weigh(node)
            case _:
                self._pools.lower(node)

    # --- images ---

    def images(self, value: Value, *, border: bool = True) -> tuple[Buffer, Images]:
        """A value as images with the border it needs, copied if it does not lie like that.

        Args:
            value: (N, C, *spatial).
            border: whether the zeros around it are read.
        """
        if value in self._copies:
            return self._copies[value]
        outer = self.outer
        place = outer.place(value)
        wanted = outer.borders.get(value, NO_BORDER)
        there = outer.bordered.get(place.buffer, NO_BORDER)
        found = as_images(place)
        if found is not None and (not border or all(a <= b for a, b in zip(wanted, there, strict=True))):
            return place.buffer, found
        height, width = size_of(value.shape)
        buffer, images = outer.new_images(value.shape[0], height, width, value.shape[1], wanted)
        if not self._interleaved(place, buffer, images):
            outer.copied(place, as_place(buffer, images, value.shape))
        outer.clear_border(buffer, images)
        self._copies[value] = buffer, images
        return buffer, images

    def _interleaved(self, place: Place, buffer: Buffer, images: Images) -> bool:
        """Copy images of few channels that lie channel by channel; False if they do not."""
        _, channels, *spatial = place.shape
        image, channel, *steps = place.strides
        row = steps[0] if len(spatial) == 2 else 0
        if not 1 < channels <= MOST_CHANNELS or steps[-1] != 1 or min(place.strides) < 0:
            return False
        launch = interleave(self.outer.target, images, image=image, channel=channel, row=row, start=place.origin)
        self.outer.add(launch, {"from": place.buffer, "to": buffer}, ["to"], "copy")
        self.outer.result.works[-1].moved = prod(place.shape) * FLOAT_BYTES
        return True

    def made(self, value: Value) -> tuple[Buffer, Images]:
        """Memory for a value that is about to be made, which gets its place."""
        height, width = size_of(value.shape)
        border = self.outer.borders.get(value, NO_BORDER)
        buffer, images = self.outer.new_images(value.shape[0], height, width, value.shape[1], border)
        self.outer.places[value] = as_place(buffer, images, value.shape)
        return buffer, images

    def _made_last(self, value: Value) -> tuple[Buffer, Images]:
        """The same for (N, *spatial, C)."""
        buffer, images, self.outer.places[value] = self.outer.new_images_last(value)
        return buffer, images

    # --- convolutions ---

    def _convolve(self, node: Node) -> None:
        outer, conv, output = self.outer, convolution_of(node), node.outputs[0]
        value, weights = node.values
        x, x_images = self.images(value)
        tail = self.outer.tails.get(node)
        y, y_images = self.made(output) if tail is None else self._made_last(tail.output)
        minimal = is_minimal(conv, y_images)
        memory = {"x": x, "w": self._planes(weights, conv) if minimal else self._pack(weights, conv), "y": y}
        epilogue, shift = PLAIN, 0
        if tail is not None and tail.bias is not None:
            epilogue = Epilogue(bias=True, relu=tail.relu)
            memory["bias"], shift = outer.channels(tail.bias)
        elif output in self._measured:
            epilogue = Epilogue(moments=True)
            memory["moments"] = outer.new(SHARDS * 2 * moments_row(conv.outputs))
            row = moments_row(conv.outputs)
            self._remember(output, memory["moments"], conv.outputs, row, groups=y_images.count)
        writes = ["y", "moments"] if epilogue.moments else ["y"]
        for launch in forward(outer.target, conv, x_images, y_images, epilogue=epilogue):
            outer.add(launch.shifted("bias", shift), memory, writes, node.where or "conv")
        outer.clear_border(y, y_images)

    def _convolve_back(self, node: Node) -> None:
        outer, conv = self.outer, convolution_of(node)
        value, weights = node.values
        dy, dy_images = self.images(value)
        dx, dx_images = self.made(node.outputs[0])
        if is_minimal(conv, dx_images):
            turned = self._planes(weights, conv, turned=True)
        else:
            turned = self._pack(weights, conv) if conv.depthwise else self._turn(weights, conv)
        for launch in input_gradient(outer.target, conv, dy_images, dx_images):
            outer.add(launch, {"x": dy, "w": turned, "y": dx}, ["y"], f"{node.where or 'conv'} input gradient")
        outer.clear_border(dx, dx_images)

    def _weigh(self, node: Node) -> None:
        outer, conv, output = self.outer, convolution_of(node), node.outputs[0]
        value, gradient = node.values
        x, x_images = self.images(value)
        dy, dy_images = self.images(gradient, border=False)
        result = outer.new(packed_size(conv) + READ_BEYOND)
        label = f"{node.where or 'conv'} weight gradient"
        minimal = is_minimal(conv, dy_images)
        made = outer.new(weight_planes_size(conv)) if minimal else result
        found = (minimal_weight_gradient if minimal else weight_gradient)(outer.target, conv, x_images, dy_images)
        first = outer.new(found.partials + READ_BEYOND) if found.partials else made
        for launch in found.launches:
            outer.add(launch, {"x": x, "y": dy, "result": first}, ["result"], label)
        for launch in found.sums:
            outer.add(launch, {"partials": first, "result": made}, ["result"], label)
        if minimal:
            for launch in from_planes(outer.target, conv):
                outer.add(launch, {"source": made, "result": result}, ["result"], "finish")
        whole = outer.places[output] = outer.new_place(output)
        self._unpack(result, conv, whole)

    def _unpack(self, packed: Buffer, conv: Convolution, whole: Place) -> None:
        """Copy packed weights to where they lie in the order of a convolution's."""
        outer, taps, inputs, outputs = self.outer, prod(conv.kernel), conv.group_inputs, conv.group_outputs
        if conv.depthwise:
            lying = Place(packed, (conv.inputs, taps), (1, conv.inputs))
            outer.copied(lying, Place(whole.buffer, lying.shape, (taps, 1), whole.origin))
            return
        block = taps * inputs * BLOCK
        for group in range(conv.groups):
            for first, lanes in ((0, BLOCK), (outputs // BLOCK * BLOCK, outputs % BLOCK)):
                blocks = outputs // BLOCK if lanes == BLOCK else 1
                if not lanes or not blocks:
                    continue
                start = group * blocks_of(outputs) * block + first // BLOCK * block
                lying = Place(packed, (blocks, lanes, inputs, taps), (block, 1, BLOCK, inputs * BLOCK), start)
                row = inputs * taps
                at = whole.origin + (group * outputs + first) * row
                outer.copied(lying, Place(whole.buffer, lying.shape, (BLOCK * row, row, taps, 1), at))

    def _pack(self, weights: Value, conv: Convolution) -> Buffer:
        """Weights as kernels read them; see `packing`."""
        key = weights, conv.groups
        if key not in self._packed:
            outer, place = self.outer, self.outer.place(weights)
            taps, inputs, outputs = prod(conv.kernel), conv.group_inputs, conv.group_outputs
            packed = self._packed[key] = outer.new(packed_size(conv) + READ_BEYOND)
            flat = place if place.is_dense else outer.dense_copy(place)
            if conv.depthwise:
                source = Place(flat.buffer, (taps, conv.inputs), (1, taps), flat.origin)
                outer.copied(source, Place(packed, source.shape, (conv.inputs, 1)))
                return packed
            columns, blocks = inputs * taps, blocks_of(outputs)
            turned = packed if taps == 1 else outer.new(packed_size(conv) + READ_BEYOND)
            launch = pack_transposed(
                outer.target, rows=outputs, columns=columns, stride=columns, matrices=conv.groups,
                step=outputs * columns, start=flat.origin,
            )  # fmt: skip
            outer.add(launch, {"source": flat.buffer, "result": turned}, ["result"], "pack weights")
            if taps > 1:  # taps outside, inputs inside
                count = conv.groups * blocks
                source = Place(turned, (count, taps, inputs, BLOCK), (columns * BLOCK, BLOCK, taps * BLOCK, 1))
                outer.copied(source, Place(packed, source.shape, (columns * BLOCK, inputs * BLOCK, BLOCK, 1)))
        return self._packed[key]

    def _planes(self, weights: Value, conv: Convolution, *, turned: bool = False) -> Buffer:
        """Weights for minimal filtering; turned, for the gradient of the input."""
        known, key = self._turned_planes if turned else self._known_planes, (weights, conv.groups)
        if key not in known:
            source = self._turn(weights, conv) if turned else self._pack(weights, conv)
            planes = known[key] = self.outer.new(weight_planes_size(conv, turned=turned) + READ_BEYOND)
            for launch in to_planes(self.outer.target, conv, turned=turned):
                self.outer.add(launch, {"source": source, "result": planes}, ["result"], "pack weights")
        return known[key]

    def _turn(self, weights: Value, conv: Convolution) -> Buffer:
        key = weights, conv.groups
        if key not in self._turned:
            packed = self._pack(weights, conv)
            turned = self._turned[key] = self.outer.new(turned_size(conv) + READ_BEYOND)
            launch = turn_weights(self.outer.target, conv)
            self.outer.add(launch, {"source": packed, "result": turned}, ["result"], "turn weights")
        return self._turned[key]

    # --- statistics ---

    def moments(self, node: Node) -> None:
        """Mean and variance per channel, as parts; a convolution has left them already where it could."""
        outer = self.outer
        last = next(node.values)
        whole = self._last.get(last, last)
        known = outer.partials.get(whole)
        if known is None:
            channels = last.shape[-1]
            place = outer.place(last)
            if place.strides[-1] != 1 and channels > 1:
                place = outer.dense_copy(place)
            if len(last.shape) not in (3, 4):  # pixels of one image
                place = place.reshaped((1, last.spec.size // channels, channels)) or outer.dense_copy(place)
                place = place.reshaped((1, last.spec.size // channels, channels))
                assert place is not None
            rank = len(place.shape)
            turned = (0, rank - 1, *range(1, rank - 1))
            images = as_images(place.transposed(turned))
            if images is None:
                place = outer.dense_copy(place)
                images = as_images(place.transposed(turned))
            f = Formula()
            f.channel_moments("moments", f.full("x"))
            if images is None:
                raise Unsupported(f"statistics of shape {last.shape}")
            buffer = outer.new(SHARDS * 2 * channels)
            grid = (images.count, images.height, images.width, channels)
            fused = fuse(outer.target, f.pattern(), grid, {"x": images, "moments": Rows(channels)})
            outer.add(fused.launch, {"x": place.buffer, "moments": buffer}, ["moments"], "moments")
            self._remember(whole, buffer, channels, channels, groups=fused.groups)
            known = outer.partials[whole]
        for output, variance in zip(node.outputs, (False, True), strict=True):
            outer.partials[output] = Partial(
                buffer=known.buffer, layout="moments", channels=known.channels, shape=output.shape, rows=known.rows,
                variance=variance,
            )  # fmt: skip

    def _remember(self, value: Value, buffer: Buffer, channels: int, row: int, *, groups: int) -> None:
        count = value.spec.size // channels
        self.outer.partials[value] = Partial(
            buffer=buffer, layout="moments", channels=channels, shape=value.shape,
            rows=Rows(row, groups=groups, count=count),
        )  # fmt: skip


def as_images(place: Place) -> Images | None:
    """A place (N, C, *spatial) as images; None if its channels are not adjacent, or over more than two axes."""
    if len(place.shape) not in (3, 4):
        return None
    count, channels, *spatial = place.shape
    image, channel, *steps = place.strides
    height, width = (1, *spatial) if len(spatial) == 1 else spatial
    row, pixel = (steps[0] * width, steps[0]) if len(steps) == 1 else steps
    if (channels > 1 and channel != 1) or pixel < channels or row < width * pixel or (count > 1 and image < row):
        return None
    return Images(
        count=count, height=height, width=width, channels=channels, image=image, row=row, pixel=pixel,
        origin=place.origin, size=place.buffer.elements,
    )  # fmt: skip


def as_place(buffer: Buffer, images: Images, shape: tuple[int, ...]) -> Place:
    """Images as a place (N, C, *spatial)."""
    steps = (images.pixel,) if len(shape) == 3 else (images.row, images.pixel)
    return Place(buffer, shape, (images.image, 1, *steps), images.origin)
