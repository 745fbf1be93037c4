"""Launches of the tile kernel: which tiles, and the numbers of their slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .geometry import Pair
from .launch import Images, Launch, Share
from .target import Target
from .tile import BLOCK, emit_tile
from .tiling import PLAIN, Epilogue, moments_row, strides_of

IMAGE_BYTES = 128 * 1024  # input that is kept in the cache while the blocks of weights take turns
MATRIX_BYTES = 256 * 1024  # the same where weights may be more than fit, and are read once for it
GROUP_BYTES = 256 * 1024  # of images and their gradients, gone through for all tiles of weights before the next
STRIDED = 0.02  # cycles that the address of one more block takes, at least
NOT_WHOLE = 1.02  # what a tile costs that does not divide the rows
PREFETCH_TILES = 2  # so far ahead, where there is one row of taps
PIXELS = (16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)


def blocks_of(channels: int) -> int:
    """Blocks of 16 channels, the last one perhaps not full."""
    return -(-channels // BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """What a tile sums over: counts, strides of the input and of the weights along them, in floats."""

    rows: int
    columns: int
    depth: int
    x_row: int
    x_column: int
    w_block: int
    w_row: int
    w_column: int
    w_image: int = 0

    @property
    def numbers(self) -> dict[str, int | float]:
        """The slots that all kernels have which go through taps."""
        return {
            "tap_rows": self.rows,
            "tap_columns": self.columns,
            "depth": self.depth,
            "x_tap_row": self.x_row,
            "x_tap_column": self.x_column,
            "w_block": self.w_block,
        }

    def joined(self) -> Taps:
        """The same with one longer depth, where neighbouring taps are neighbouring floats."""
        if self.columns == 1 or (self.x_column, self.w_column) != (self.depth, self.depth * BLOCK):
            return self
        return replace(self, columns=1, depth=self.columns * self.depth, x_column=0, w_column=0)


def tile_launches(
    target: Target,
    taps: Taps,
    *,
    x_strides: tuple[int, int, int],
    x_start: int,
    w_start: int,
    y: Images,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
    first_channel: int = 0,
    all_channels: int | None = None,
    join: bool = False,
    join_images: bool = False,
    steps: Pair | None = None,
) -> list[Launch]:
    """The launches that compute all tiles of an output.

    Args:
        target: the CPU.
        taps: what is summed over.
        x_strides: of the input, per image, row and pixel of the output.
        x_start: where its first element is.
        w_start: where the first weight is.
        y: the output.
        epilogue: what is done to the sums.
        others: of `mask` and `add`, how they lie; default: like `y`.
        first_channel: the place of the first channel in `bias` and `moments`.
        all_channels: how many channels `moments` has, where `y` is only some of them.
        join: rows of `x` may be read as one.
        join_images: the same of images.
        steps: along the depth, in `x` and `w`; None: 1 and 16.
    """
    outputs = {name: (others or {}).get(name, y) for name in ("mask", "add") if getattr(epilogue, name)}
    outputs["y"] = y
    if join and all(image.rows_join for image in outputs.values()):
        all_images = (
            join_images
            and not epilogue.moments
            and taps.w_image == 0
            and all(image.images_join for image in outputs.values())
        )
        outputs = {name: image.joined(images=all_images) for name, image in outputs.items()}
    y = outputs["y"]
    blocks = blocks_of(y.channels)
    in_rows = y.count == y.height == 1 and not epilogue.moments
    whole, strided = in_rows and (steps or (1, 1))[0] == 1, steps is not None
    pixels, group = choose_tile(target, y.width, blocks, whole=whole, strided=strided)
    tiles = -(-y.width // pixels)
    per_image = y.height * tiles
    chunk = max(1, MATRIX_BYTES // (4 * pixels * max(1, taps.depth)))
    if y.height > 1 or epilogue.moments:  # taps overlap, so at least a row, better an image
        row_bytes = 4 * abs(x_strides[1]) or 1
        chunk = tiles * min(y.height, max(1, IMAGE_BYTES // row_bytes))
    if epilogue.moments:
        chunk = per_image
    # The row below those that this tile reads, or, where there is one, some tiles to the right.
    ahead = taps.rows * taps.x_row if taps.rows > 1 else PREFETCH_TILES * pixels * x_strides[2]
    launches: list[Launch] = []
    done = 0
    while done < blocks:
        if group > blocks - done:
            pixels, group = choose_tile(target, y.width, blocks - done, whole=whole, strided=strided)
            chunk, tiles = max(1, chunk // tiles) * -(-y.width // pixels), -(-y.width // pixels)
        here = (blocks - done) // group * group
        channel = done * BLOCK
        kernel = emit_tile(
            target,
            pixels=pixels,
            blocks=group,
            epilogue=epilogue,
            strided=steps is not None,
            matrices=y.height == taps.rows == taps.columns == 1,
            exact=min(y.channels - channel, here * BLOCK) % BLOCK == 0,
        )
        numbers = taps.numbers | {
            "images": y.count,
            "height": y.height,
            "width": y.width,
            "tiles": tiles,
            "chunk": chunk,
            "channels": min(y.channels - channel, here * BLOCK),
            "x_image": x_strides[0],
            "x_row": x_strides[1],
            "x_pixel": x_strides[2],
            "x_ahead": ahead,
            "w_image": taps.w_image,
            "w_tap_row": taps.w_row,
            "w_tap_column": taps.w_column,
        }
        offsets = {"x": x_start, "w": w_start + done * taps.w_block}
        offsets |= output_offsets(outputs, epilogue, channel, first_channel)
        numbers |= output_numbers(outputs, epilogue, all_channels or y.channels)
        if steps is not None:
            numbers |= {"x_depth": steps[0], "w_depth": steps[1]}
        share = None
        if in_rows and y.width % pixels == 0:
            strides = {name: image.pixel for name, image in outputs.items()}
            if (steps or (1, 1))[0] == 1 and taps.rows == taps.columns == 1:
                strides["x"] = x_strides[2]
            share = Share(tiles, pixels, 0, strides, columns=dict.fromkeys(outputs, channel))
        launches.append(Launch(kernel=kernel, numbers=numbers, offsets=offsets, share=share))
        done += here
    return launches


def output_offsets(
    outputs: Mapping[str, Images], epilogue: Epilogue, channel: int, first_channel: int
) -> dict[str, int]:
    """Where the outputs and what belongs to them begin, for the channels from one on.

    Args:
        outputs: how the output lies, and what has its shape.
        epilogue: what is done to the sums.
        channel: of the outputs, the first.
        first_channel: the place of the outputs' first channel in `bias` and `moments`.
    """
    offsets = {name: image.origin + channel for name, image in outputs.items()}
    return offsets | {name: first_channel + channel for name in ("bias", "moments") if getattr(epilogue, name)}


def output_numbers(outputs: Mapping[str, Images], epilogue: Epilogue, all_channels: int) -> dict[str, int]:
    """The strides of the same; `moments` have so many channels."""
    strides = {
        slot: stride
        for name, image in outputs.items()
        for slot, stride in zip(strides_of(name), (image.image, image.row, image.pixel), strict=True)
    }
    return strides | ({"moments_shard": moments_row(all_channels)} if epilogue.moments else {})


def choose_tile(
    target: Target,
    width: int,
    blocks: int,
    *,
    fits: Callable[[int, int], bool] | None = None,
    whole: bool = False,
    strided: bool = False,
) -> Pair:
    """Pixels and blocks of the tile that should be fastest for rows of `width` pixels and so many blocks.

    Args:
        target: the CPU.
        width: of the rows.
        blocks: of the output.
        fits: which tiles may be; default: all.
        whole: prefer one that divides the width, if it is about as fast: threads then have rows of their own.
        strided: weights are not packed: each further block takes another address.

    Per step of the depth, a tile of P x Q blocks loads P floats and Q weights for its P * Q products: two loads and two
    products a cycle, and no fewer cycles than a product takes, about four.
    """
    parts = BLOCK // target.width
    best: tuple[float, Pair] | None = None
    for group in (4, 3, 2, 1):
        if group > blocks:
            continue
        for pixels in PIXELS:
            vectors = group * parts
            if fits is not None and not fits(pixels, group):
                continue
            if pixels > width or pixels * vectors + vectors + 1 > target.registers:
                continue
            cycles = max(pixels * vectors, pixels + vectors, 8) / 2 + 0.5 + (group - 1) * STRIDED * strided
            useful = width / -(-width // pixels) * group
            first = (blocks - blocks % group) / blocks  # what is left over takes a smaller tile, which is slower
            cost = cycles / useful * (2 - first)
            if whole and width % pixels:
                cost *= NOT_WHOLE
            if best is None or cost < best[0] * 0.999:
                best = cost, (pixels, group)
    assert best is not None
    return best[1]
