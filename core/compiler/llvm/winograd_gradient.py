"""Gradients of weights by minimal filtering: the transpose of `winograd_tile`, as launches.

    gradient of a plane [depth, channel] = sum over images and squares of
        B' d [plane, depth] * A dy [frequency of the plane, channel]

What comes out are planes of the gradient of the weights, from which `winograd_weights.from_planes` makes the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .geometry import Convolution, Pair
from .ir import FLOAT_BYTES, Value, Writer
from .kernel import Kernel
from .launch import Images, Launch
from .panels import NAMES, Panels, choose_item, panel_slots
from .sharding import WeightGradient, planned, shard_numbers
from .squares import load_window, prefetch_below
from .target import Target
from .tile import BLOCK
from .tile_launch import GROUP_BYTES, blocks_of
from .winograd import ALL_FREQUENCIES, FREQUENCIES, OUTPUTS, Planes, output_gradient, rounded
from .winograd_weights import planes_size


@cache
def emit_minimal_gradient(target: Target, *, kernel: Pair, blocks: int, partial: bool = False) -> Kernel:
    """The kernel for some blocks of channels.

    Args:
        target: the CPU.
        kernel: taps.
        blocks: of 16 channels; a whole multiple of it is computed.
        partial: whether `inputs` or `channels` may be no multiples of 16.

    The slots are those of `panel_slots`, and `inputs`: channels of x, of which `depth` is rounded up to a multiple of
    16.
    """
    planes = Planes(kernel)
    name = f"minimal_gradient_{planes.name}_{blocks * BLOCK}{'_partial' if partial else ''}_v{target.width}"
    return _MinimalGradient(Writer(name, target, panel_slots("inputs")), blocks, partial, NAMES, planes).write()


@dataclass(slots=True)
class _MinimalGradient(Panels):
    """Factors are what windows of inputs, and squares of gradients, are to the planes and frequencies."""

    planes: Planes

    @property
    def plane_count(self) -> int:
        return self.planes.count

    @property
    def frequency_count(self) -> int:
        return ALL_FREQUENCIES

    def planes_of(self, frequency: Value) -> Value:
        return self.planes.counts(self.k, frequency)

    @property
    def square_size(self) -> int:
        return OUTPUTS

    def make_data(self, start: Value, to: Value, place: Value) -> None:
        """B' d."""
        k = self.k
        prefetch_below(k, start, self.planes.window[0])
        for part in range(0, BLOCK, self.lanes):
            window = load_window(k, k.at(start, part), self.planes.window, self.mask("inputs", k.add(place, part)))
            for plane, value in enumerate(self.planes.data(k, window)):
                k.store(value, k.at(to, k.mul(k["batch"], plane * BLOCK), part))

    def make_gradients(self, start: Value, to: Value, channel: Value) -> None:
        """A dy."""
        k = self.k
        for part in range(0, self.wide, BLOCK):
            prefetch_below(k, k.at(start, part), OUTPUTS, operand="y")
        for part in range(0, self.wide, self.lanes):
            mask = self.mask("channels", k.add(channel, part))
            for frequency, value in enumerate(self._frequencies(k.at(start, part), mask)):
                k.store(value, k.at(to, k.mul(k["batch"], frequency * self.wide), part))

    def _frequencies(self, start: Value, mask: Value | None) -> list[Value]:
        k = self.k
        square = load_window(k, start, (OUTPUTS, OUTPUTS), mask, operand="y")
        columns = [output_gradient(k, column) for column in zip(*square, strict=True)]
        return [
            value for down in range(FREQUENCIES) for value in output_gradient(k, [column[down] for column in columns])
        ]


def minimal_weight_gradient(target: Target, conv: Convolution, x: Images, dy: Images) -> WeightGradient:
    """The launches of the gradient of the planes of a convolution's weights.

    Args:
        target: the CPU.
        conv: the sizes.
        x: the input, with its border of zeros.
        dy: the gradient of the output, of an even height and width.

    `result`: [groups] of what `planes_size` says.
    """
    planes, inputs, outputs = Planes(conv.kernel), conv.group_inputs, conv.group_outputs
    depth, blocks = rounded(inputs), blocks_of(outputs)
    item = choose_item(target, planes.count, depth, outputs)
    size = conv.groups * planes_size(conv.kernel, inputs, outputs)
    shards = item.shards(depth, outputs, images=dy.count, size=size)
    image_bytes = FLOAT_BYTES * (x.pixel + dy.pixel) * dy.height * dy.width
    common = shard_numbers(
        images=dy.count, group=max(1, GROUP_BYTES // image_bytes), shards=shards, size=size, accumulate=False
    )
    w_block = planes.count * depth * BLOCK
    common |= {"rows": dy.height // OUTPUTS, "columns": dy.width // OUTPUTS, "inputs": inputs, "depth": depth}
    common |= {"x_image": x.image, "x_row": x.row, "x_pixel": x.pixel}
    common |= {"y_image": dy.image, "y_row": dy.row, "y_pixel": dy.pixel, "w_block": w_block, "w_place": BLOCK}
    start = x.origin - conv.padding[0] * x.row - conv.padding[1] * x.pixel
    launches: list[Launch] = []
    for group in range(conv.groups):
        for done, together, here in item.runs(blocks):
            channels = min(outputs - done * BLOCK, here * BLOCK)
            partial = inputs % BLOCK > 0 or channels % BLOCK > 0
            numbers = common | item.numbers(planes.count, ALL_FREQUENCIES, together) | {"channels": channels}
            launches.append(
                Launch(
                    kernel=emit_minimal_gradient(target, kernel=conv.kernel, blocks=together, partial=partial),
                    numbers=numbers,
                    offsets={
                        "x": start + group * inputs,
                        "y": dy.origin + group * outputs + done * BLOCK,
                        "result": group * planes_size(conv.kernel, inputs, outputs) + done * w_block,
                        "scratch": 0,
                    },
                    scratch=int(numbers["scratch.thread"]),
                    products=planes.products,
                )
            )
    return planned(target, launches, shards=shards, size=size, accumulate=False)
