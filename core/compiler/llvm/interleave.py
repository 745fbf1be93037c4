"""Images with their channels outside, such as those of data sets, copied to images with channels last."""

from __future__ import annotations

from functools import cache
from typing import Final

from .ir import Value, Writer, vector
from .kernel import Kernel
from .launch import Images, Launch
from .target import Target
from .tiling import slots_of

MOST_CHANNELS: Final = 4  # with more, a pixel is worth a vector of its own


def interleave(target: Target, to: Images, *, image: int, channel: int, row: int, start: int = 0) -> Launch:
    """The launch that copies images. Operands: `from`, whose pixels of a row are adjacent, and `to`.

    Args:
        target: the CPU.
        to: images without gaps between the pixels of a row; at most `MOST_CHANNELS` channels.
        image: from an image to the next, in floats; of `from`.
        channel: from a channel to the next.
        row: from a row to the next.
        start: of the first pixel.
    """
    assert to.pixel == to.channels <= MOST_CHANNELS
    numbers = {"images": to.count, "height": to.height, "width": to.width}
    numbers |= {"from_image": image, "from_channel": channel, "from_row": row, "to_image": to.image, "to_row": to.row}
    kernel = emit_interleave(target, channels=to.channels)
    return Launch(kernel=kernel, numbers=numbers, offsets={"from": start, "to": to.origin})


@cache
def emit_interleave(target: Target, *, channels: int) -> Kernel:
    """The kernel for so many channels; its slots are the numbers of `interleave`. Threads share the rows."""
    numbers = ["images", "height", "width", "from_image", "from_channel", "from_row", "to_image", "to_row"]
    k = Writer(f"interleave_{channels}_v{target.width}", target, slots_of(["from", "to"], numbers))
    lanes, wide = target.width, vector(target.width)
    first, last = k.share(k.mul(k["images"], k["height"]))
    with k.loop(first, last) as line:
        image, row = k.div(line.index, k["height"]), k.rem(line.index, k["height"])
        source = k.at(k["from"], k.mul(image, k["from_image"]), k.mul(row, k["from_row"]))
        result = k.at(k["to"], k.mul(image, k["to_image"]), k.mul(row, k["to_row"]))
        with k.loop(0, k["width"], step=lanes) as pixel:
            left = k.sub(k["width"], pixel.index)
            there = k.lanes_below(left, lanes)
            planes = [k.at(source, k.mul(k["from_channel"], channel), pixel.index) for channel in range(channels)]
            values = [k.masked_load(plane, wide, there) for plane in planes]
            to = k.at(result, k.mul(pixel.index, channels))
            for number in range(channels):
                mask = k.lanes_below(k.sub(k.mul(left, channels), number * lanes), lanes)
                k.masked_store(_mixed(k, values, number), k.at(to, number * lanes), mask)
    return k.kernel()


def _mixed(k: Writer, values: list[Value], number: int) -> Value:
    """Of the values of so many pixels, channel by channel, a vector of them pixel by pixel."""
    lanes = k.target.width
    wanted = [divmod(number * lanes + lane, len(values)) for lane in range(lanes)]  # (pixel, channel)
    mixed = values[0]
    for channel, value in enumerate(values):
        picks = [lanes + pixel if at == channel else lane for lane, (pixel, at) in enumerate(wanted)]
        mixed = k.shuffle(mixed, value, picks if channel else [pixel for pixel, _ in wanted])
    return mixed
