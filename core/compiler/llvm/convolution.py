"""Convolutions as launches of tile kernels: forward and the gradient of the input, of any size, stride and dilation.

Images are channels last with a border of zeros that is as wide as the padding needs (`input_border`), so no kernel
tests for edges. The gradient of the input of a convolution with stride s falls apart into s * s interleaved images, one
per residue of the position; each is a convolution with stride 1 over the gradient of the output with every s-th tap,
so no product with a zero is computed. Their weights are transposed and turned by 180 degrees (`packing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd

from .launch import Images, Launch
from .target import Target
from .tile import BLOCK, emit_tile
from .tiling import PLAIN, Epilogue, moments_row, strides_of

IMAGE_BYTES = 128 * 1024  # input that is kept in the cache while the blocks of weights take turns
MATRIX_BYTES = 256 * 1024  # the same where weights may be more than fit, and are read once for it
PREFETCH_TILES = 2  # so far ahead, where there is one row of taps
PIXELS = (16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)

Pair = tuple[int, int]
Border = tuple[int, int, int, int]  # above, below, left, right


def blocks_of(channels: int) -> int:
    """Blocks of 16 channels, the last one perhaps not full."""
    return -(-channels // BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """The sizes of a convolution; pairs are (rows, columns).

    Attributes:
        inputs, outputs: channels.
        kernel: taps.
        stride, dilation: in pixels.
        padding: zeros above and to the left; below and to the right, as many as the output's size needs.
        groups: of channels, which do not see each other; divides inputs and outputs.
    """

    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether every output pixel sees one input pixel, the one at its place."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def group_inputs(self) -> int:
        """Input channels of a group."""
        return self.inputs // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels of a group."""
        return self.outputs // self.groups


def input_border(conv: Convolution, height: int, width: int, out_height: int, out_width: int) -> Border:
    """The zeros that forward and the gradient of the weights read around the input, in pixels."""
    sides: list[int] = []
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        reach = (out - 1) * conv.stride[axis] + (conv.kernel[axis] - 1) * conv.dilation[axis] - conv.padding[axis]
        sides += [conv.padding[axis], max(0, reach - (size - 1))]
    return tuple(sides)  # pyright: ignore[reportReturnType] - four of them


def gradient_border(conv: Convolution, height: int, width: int, out_height: int, out_width: int) -> Border:
    """The zeros that the gradient of the input reads around the gradient of the output, in pixels."""
    sides: list[int] = []
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        before, behind = 0, 0
        for residue in _residues(conv, axis, size):
            if residue.taps:
                before = max(before, -residue.start)
                last = residue.start + residue.count - 1 + (residue.taps - 1) * residue.step
                behind = max(behind, last - (out - 1))
        sides += [before, behind]
    return tuple(sides)  # pyright: ignore[reportReturnType] - four of them


@dataclass(frozen=True, slots=True)
class _Residue:
    """Along one axis, the input positions `first`, `first + stride`, ...: what their gradient sums over.

    Attributes:
        first: of the positions.
        count: of positions.
        taps: how many taps of the kernel reach them.
        tap, tap_step: the first of these taps in the turned kernel, and the distance to the next.
        start: the output position that the first tap joins to the first input position.
        step: from a tap to the next, how far the output position moves.
    """

    first: int
    count: int
    taps: int = 0
    tap: int = 0
    tap_step: int = 1
    start: int = 0
    step: int = 0


def _residues(conv: Convolution, axis: int, size: int) -> list[_Residue]:
    """The interleaved parts of an input axis."""
    kernel, stride, dilation = conv.kernel[axis], conv.stride[axis], conv.dilation[axis]
    common = gcd(stride, dilation)
    tap_step = stride // common
    found: list[_Residue] = []
    for first in range(min(stride, size)):
        count = -(-(size - first) // stride)
        place = first + conv.padding[axis]
        last = next((tap for tap in reversed(range(kernel)) if (place - tap * dilation) % stride == 0), None)
        if last is None:
            found.append(_Residue(first, count))
        else:
            start = (place - last * dilation) // stride
            found.append(
                _Residue(first, count, last // tap_step + 1, kernel - 1 - last, tap_step, start, dilation // common)
            )
    return found


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

    def joined(self) -> Taps:
        """The same with one longer depth, where neighbouring taps are neighbouring floats."""
        if self.columns == 1 or (self.x_column, self.w_column) != (self.depth, self.depth * BLOCK):
            return self
        return replace(self, columns=1, depth=self.columns * self.depth, x_column=0, w_column=0)


def forward(
    target: Target,
    conv: Convolution,
    x: Images,
    y: Images,
    *,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
) -> list[Launch]:
    """The launches of a convolution. Operands: `x`, `w`, `y`, and those of the epilogue.

    Args:
        target: the CPU.
        conv: the sizes.
        x: the input, with at least `input_border` zeros around each image.
        y: the output.
        epilogue: what is done to the sums.
        others: of `mask` and `add`, how they lie; default: like `y`.

    `w` is packed: [groups][blocks][taps][inputs of a group][16]; `bias` is [outputs], with 16 floats behind it.
    """
    inputs, outputs = conv.group_inputs, conv.group_outputs
    taps = forward_taps(conv, x)
    start = -conv.padding[0] * x.row - conv.padding[1] * x.pixel
    x_strides = (x.image, x.row * conv.stride[0], x.pixel * conv.stride[1])
    launches: list[Launch] = []
    for group in range(conv.groups):
        launches += tile_launches(
            target,
            taps,
            x_strides=x_strides,
            x_start=x.origin + start + group * inputs,
            w_start=group * blocks_of(outputs) * taps.w_block,
            y=y.channels_from(group * outputs, outputs),
            epilogue=epilogue,
            others={name: image.channels_from(group * outputs, outputs) for name, image in (others or {}).items()},
            first_channel=group * outputs,
            all_channels=conv.outputs,
            join=conv.pointwise and x.rows_join,
            join_images=conv.pointwise and x.images_join,
        )
    return launches


def forward_taps(conv: Convolution, x: Images) -> Taps:
    """What the outputs of a convolution sum over."""
    inputs, (rows, columns) = conv.group_inputs, conv.kernel
    return Taps(
        rows=rows,
        columns=columns,
        depth=inputs,
        x_row=conv.dilation[0] * x.row,
        x_column=conv.dilation[1] * x.pixel,
        w_block=rows * columns * inputs * BLOCK,
        w_row=columns * inputs * BLOCK,
        w_column=inputs * BLOCK,
    ).joined()


def input_gradient(
    target: Target,
    conv: Convolution,
    dy: Images,
    dx: Images,
    *,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
) -> list[Launch]:
    """The launches of the gradient of a convolution's input. Operands: `x` is dy, `w` turned weights, `y` is dx.

    Args:
        target: the CPU.
        conv: the sizes, of the forward convolution.
        dy: the gradient of the output, with at least `gradient_border` zeros around each image.
        dx: the gradient of the input: all pixels without a border are written.
        epilogue: what is done to the sums.
        others: of `mask` and `add`, how they lie; default: like `dx`.

    `w` is turned, as `packing.turn_weights` makes it.
    """
    inputs, outputs = conv.group_inputs, conv.group_outputs
    column = blocks_of(outputs) * BLOCK * BLOCK
    tap_count = conv.kernel[0] * conv.kernel[1]
    launches: list[Launch] = []
    for group in range(conv.groups):
        for down in _residues(conv, 0, dx.height):
            for right in _residues(conv, 1, dx.width):
                taps = Taps(
                    rows=down.taps,
                    columns=right.taps,
                    depth=outputs,
                    x_row=down.step * dy.row,
                    x_column=right.step * dy.pixel,
                    w_block=tap_count * column,
                    w_row=down.tap_step * conv.kernel[1] * column,
                    w_column=right.tap_step * column,
                ).joined()
                part = {
                    name: _interleaved(image, conv, down, right, group * inputs)
                    for name, image in {"y": dx, **(others or {})}.items()
                }
                launches += tile_launches(
                    target,
                    taps,
                    x_strides=(dy.image, dy.row, dy.pixel),
                    x_start=dy.origin + down.start * dy.row + right.start * dy.pixel + group * outputs,
                    w_start=group * blocks_of(inputs) * taps.w_block + (down.tap * conv.kernel[1] + right.tap) * column,
                    y=part.pop("y"),
                    epilogue=epilogue,
                    others=part,
                    first_channel=group * inputs,
                    all_channels=conv.inputs,
                    join=conv.pointwise and dy.rows_join,
                    join_images=conv.pointwise and dy.images_join,
                )
    return launches


def _interleaved(image: Images, conv: Convolution, down: _Residue, right: _Residue, channel: int) -> Images:
    """Every s-th pixel of an image, and the channels of a group."""
    return Images(
        count=image.count,
        height=down.count,
        width=right.count,
        channels=conv.group_inputs,
        image=image.image,
        row=image.row * conv.stride[0],
        pixel=image.pixel * conv.stride[1],
        origin=image.origin + down.first * image.row + right.first * image.pixel + channel,
    )


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
    pixels, group = choose_tile(target, y.width, blocks)
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
            pixels, group = choose_tile(target, y.width, blocks - done)
            chunk, tiles = max(1, chunk // tiles) * -(-y.width // pixels), -(-y.width // pixels)
        here = (blocks - done) // group * group
        kernel = emit_tile(target, pixels=pixels, blocks=group, epilogue=epilogue, strided=steps is not None)
        channel = done * BLOCK
        numbers: dict[str, int | float] = {
            "images": y.count,
            "height": y.height,
            "width": y.width,
            "tiles": tiles,
            "chunk": chunk,
            "channels": min(y.channels - channel, here * BLOCK),
            "tap_rows": taps.rows,
            "tap_columns": taps.columns,
            "depth": taps.depth,
            "x_image": x_strides[0],
            "x_row": x_strides[1],
            "x_pixel": x_strides[2],
            "x_tap_row": taps.x_row,
            "x_tap_column": taps.x_column,
            "x_ahead": ahead,
            "w_image": taps.w_image,
            "w_block": taps.w_block,
            "w_tap_row": taps.w_row,
            "w_tap_column": taps.w_column,
        }
        offsets = {"x": x_start, "w": w_start + done * taps.w_block}
        for name, image in outputs.items():
            numbers |= dict(zip(strides_of(name), (image.image, image.row, image.pixel), strict=True))
            offsets[name] = image.origin + channel
        if epilogue.bias:
            offsets["bias"] = first_channel + channel
        if epilogue.moments:
            offsets["moments"] = first_channel + channel
            numbers["moments_shard"] = moments_row(all_channels or y.channels)
        if steps is not None:
            numbers |= {"x_depth": steps[0], "w_depth": steps[1]}
        launches.append(Launch(kernel=kernel, numbers=numbers, offsets=offsets))
        done += here
    return launches


def choose_tile(target: Target, width: int, blocks: int) -> Pair:
    """Pixels and blocks of the tile that should be fastest for rows of `width` pixels and so many blocks.

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
            if pixels > width or pixels * vectors + vectors + 1 > target.registers:
                continue
            cycles = max(pixels * vectors, pixels + vectors, 8) / 2 + 0.5
            useful = width / -(-width // pixels) * group
            whole = (blocks - blocks % group) / blocks  # what is left over takes a smaller tile, which is slower
            cost = cycles / useful * (2 - whole)
            if best is None or cost < best[0] * 0.999:
                best = cost, (pixels, group)
    assert best is not None
    return best[1]
