"""Convolutions as launches of tile kernels: forward and the gradient of the input, of any size, stride and dilation.

Images are channels last with a border of zeros that is as wide as the padding needs (`input_border`), so no kernel
tests for edges. The gradient of the input of a convolution with stride s falls apart into s * s interleaved images, one
per residue of the position; each is a convolution with stride 1 over the gradient of the output with every s-th tap,
so no product with a zero is computed. Their weights are transposed and turned by 180 degrees (`packing`).
"""

from __future__ import annotations

from collections.abc import Mapping

from .depthwise import depthwise_forward, depthwise_input_gradient
from .geometry import Convolution, interleaved, residues
from .launch import Images, Launch
from .target import Target
from .tile import BLOCK
from .tile_launch import Taps, blocks_of, tile_launches
from .tiling import PLAIN, Epilogue
from .winograd import is_minimal
from .winograd_tile import minimal_launches
from .winograd_weights import planes_size


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

    `w` is packed as `packing` says, or what `winograd_weights.to_planes` makes of it, if `is_minimal(conv, y)`; `bias`
    is [outputs]. Up to 16 floats behind both are read and not used.
    """
    if conv.depthwise:
        return depthwise_forward(target, conv, x, y, epilogue=epilogue, others=others)
    inputs, outputs = conv.group_inputs, conv.group_outputs
    taps = forward_taps(conv, x)
    start = -conv.padding[0] * x.row - conv.padding[1] * x.pixel
    x_strides = (x.image, x.row * conv.stride[0], x.pixel * conv.stride[1])
    launches: list[Launch] = []
    for group in range(conv.groups):
        if is_minimal(conv, y):
            launches += minimal_launches(
                target,
                conv.kernel,
                x=x,
                x_start=x.origin + start + group * inputs,
                inputs=inputs,
                w_start=group * planes_size(conv.kernel, inputs, outputs),
                y=y.channels_from(group * outputs, outputs),
                epilogue=epilogue,
                others={name: image.channels_from(group * outputs, outputs) for name, image in (others or {}).items()},
                first_channel=group * outputs,
                all_channels=conv.outputs,
            )
            continue
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

    `w` is turned, as `packing.turn_weights` makes it, or planes of that, if `is_minimal(conv, dx)`; that of a depthwise
    convolution is read as it is.
    """
    if conv.depthwise:
        return depthwise_input_gradient(target, conv, dy, dx, epilogue=epilogue, others=others)
    inputs, outputs = conv.group_inputs, conv.group_outputs
    joins = conv.pointwise and (dy.height, dy.width) == (dx.height, dx.width)  # else there are zeros behind
    column = blocks_of(outputs) * BLOCK * BLOCK
    tap_count = conv.kernel[0] * conv.kernel[1]
    launches: list[Launch] = []
    for group in range(conv.groups):
        for down in residues(conv, 0, dx.height):
            for right in residues(conv, 1, dx.width):
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
                start = dy.origin + down.start * dy.row + right.start * dy.pixel + group * outputs
                part = {
                    name: interleaved(image, conv, down, right, group * inputs)
                    for name, image in {"y": dx, **(others or {})}.items()
                }
                if is_minimal(conv, dx):
                    launches += minimal_launches(
                        target,
                        conv.kernel,
                        x=dy,
                        x_start=start,
                        inputs=outputs,
                        w_start=group * planes_size(conv.kernel, outputs, inputs),
                        y=part.pop("y"),
                        epilogue=epilogue,
                        others=part,
                        first_channel=group * inputs,
                        all_channels=conv.inputs,
                    )
                    continue
                launches += tile_launches(
                    target,
                    taps,
                    x_strides=(dy.image, dy.row, dy.pixel),
                    x_start=start,
                    w_start=group * blocks_of(inputs) * taps.w_block + (down.tap * conv.kernel[1] + right.tap) * column,
                    y=part.pop("y"),
                    epilogue=epilogue,
                    others=part,
                    first_channel=group * inputs,
                    all_channels=conv.inputs,
                    join=joins and dy.rows_join,
                    join_images=joins and dy.images_join,
                )
    return launches
