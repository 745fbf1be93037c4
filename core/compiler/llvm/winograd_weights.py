"""Weights as minimal filtering reads them, and their gradient back from there."""

from __future__ import annotations

from functools import cache

from .geometry import Convolution, Pair
from .ir import Writer, vector
from .kernel import Kernel
from .launch import Launch
from .target import Target
from .tile import BLOCK
from .tile_launch import blocks_of
from .tiling import slots_of
from .winograd import Planes, rounded


def planes_size(kernel: Pair, inputs: int, outputs: int) -> int:
    """Floats of the weights of one group as planes: [blocks of outputs][planes][inputs, rounded up][16]."""
    return blocks_of(outputs) * Planes(kernel).count * rounded(inputs) * BLOCK


def weight_planes_size(conv: Convolution, *, turned: bool = False) -> int:
    """The same of all groups of a convolution; turned: for the gradient of the input."""
    sizes = (conv.group_outputs, conv.group_inputs) if turned else (conv.group_inputs, conv.group_outputs)
    return conv.groups * planes_size(conv.kernel, *sizes)


def to_planes(target: Target, conv: Convolution, *, turned: bool = False) -> list[Launch]:
    """The launches that make planes of packed weights, or of turned ones, group by group.

    Operands: `source`, packed or turned; `result`: [groups] of what `planes_size` says.
    """
    inputs, outputs, row = conv.group_inputs, conv.group_outputs, conv.group_inputs
    if turned:
        inputs, outputs, row = outputs, inputs, rounded(outputs)
    kernel = emit_to_planes(target, kernel=conv.kernel)
    return _launches(kernel, conv, inputs, outputs, row, ("source", "result"))


def from_planes(target: Target, conv: Convolution) -> list[Launch]:
    """The launches that make the gradient of packed weights of that of their planes. Operands: `source`, `result`."""
    inputs, outputs = conv.group_inputs, conv.group_outputs
    kernel = emit_from_planes(target, kernel=conv.kernel)
    return _launches(kernel, conv, inputs, outputs, inputs, ("result", "source"))


def _launches(
    kernel: Kernel, conv: Convolution, inputs: int, outputs: int, row: int, operands: tuple[str, str]
) -> list[Launch]:
    """A launch for each group.

    Args:
        kernel: between weights and planes.
        conv: the sizes.
        inputs: of a group.
        outputs: of a group.
        row: places of the depth from a tap to the next in the weights.
        operands: what the weights are called, and what the planes.
    """
    block = conv.kernel[0] * conv.kernel[1] * row * BLOCK
    numbers: dict[str, int | float] = {
        "blocks": blocks_of(outputs),
        "inputs": inputs,
        "depth": rounded(inputs),
        "tap": row * BLOCK,
        "block": block,
    }
    sizes = blocks_of(outputs) * block, planes_size(conv.kernel, inputs, outputs)
    return [
        Launch(
            kernel=kernel,
            numbers=numbers,
            offsets={name: group * size for name, size in zip(operands, sizes, strict=True)},
        )
        for group in range(conv.groups)
    ]


NUMBERS = ("blocks", "inputs", "depth", "tap", "block")


@cache
def emit_to_planes(target: Target, *, kernel: Pair) -> Kernel:
    """The kernel that makes planes of weights.

    The slots: source, of which taps are `tap` and blocks `block` floats apart, the places of the depth 16; result;
    blocks; inputs; depth: in the result, where there are zeros from `inputs` on.
    """
    planes = Planes(kernel)
    k = Writer(f"weights_to_planes_{planes.name}_v{target.width}", target, slots_of(["source", "result"], NUMBERS))
    lanes, wide = target.width, vector(target.width)
    first, last = k.share(k.mul(k["blocks"], k["depth"]))
    with k.loop(first, last) as row:
        block, place = k.div(row.index, k["depth"]), k.rem(row.index, k["depth"])
        there = k.compare("slt", place, k["inputs"])
        known = k.mul(k.least(place, k.sub(k["inputs"], 1)), BLOCK)
        source = k.at(k["source"], k.mul(block, k["block"]), known)
        result = k.at(k["result"], k.mul(block, k["depth"], planes.count * BLOCK), k.mul(place, BLOCK))
        taps = [k.at(source, k.mul(k["tap"], tap)) for tap in range(kernel[0] * kernel[1])]
        for part in range(0, BLOCK, lanes):
            values = [k.select(there, k.load(k.at(tap, part), wide), 0.0) for tap in taps]
            rows = [values[r * kernel[1] : (r + 1) * kernel[1]] for r in range(kernel[0])]
            for plane, value in enumerate(planes.filter(k, rows)):
                k.store(value, k.at(result, k.mul(k["depth"], plane * BLOCK), part))
    return k.kernel()


@cache
def emit_from_planes(target: Target, *, kernel: Pair) -> Kernel:
    """The kernel that makes the gradient of weights of that of their planes; the slots are those of `emit_to_planes`,
    with source and result exchanged.
    """
    planes = Planes(kernel)
    k = Writer(f"planes_to_weights_{planes.name}_v{target.width}", target, slots_of(["source", "result"], NUMBERS))
    lanes, wide = target.width, vector(target.width)
    first, last = k.share(k.mul(k["blocks"], k["inputs"]))
    with k.loop(first, last) as row:
        block, place = k.div(row.index, k["inputs"]), k.mul(k.rem(row.index, k["inputs"]), BLOCK)
        source = k.at(k["source"], k.mul(block, k["depth"], planes.count * BLOCK), place)
        result = k.at(k["result"], k.mul(block, k["block"]), place)
        for part in range(0, BLOCK, lanes):
            places = [k.at(source, k.mul(k["depth"], plane * BLOCK), part) for plane in range(planes.count)]
            values = [k.load(place, wide) for place in places]
            taps = [value for line in planes.filter_gradient(k, values) for value in line]
            for tap, value in enumerate(taps):
                k.store(value, k.at(result, k.mul(k["tap"], tap), part))
    return k.kernel()
