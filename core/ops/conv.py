"""Two-dimensional convolution, (N, C, H, W) with weights (O, C, kh, kw), and its two gradients.

The three ops are bilinear and closed under differentiation: the vjp of each is written with the other two. All run
as one matrix product over patches in channels-last memory order. Results are (N, C, H, W) views of channels-last
memory, so that between convolutions a patch is copied in runs of kw * C contiguous elements.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Batch, Invalid, Jvp, Sample, normal
from ..shapes import Spec
from .declare import op


def _output_length(length: int, kernel: int, stride: int, padding: int) -> int:
    return (length + 2 * padding - kernel) // stride + 1


def _channels_last(xp: ArrayModule, x: Array, padding: int) -> Array:
    """(N, C, H, W) -> (N, H + 2p, W + 2p, C), zero-padded; contiguous."""
    moved = x.transpose(0, 2, 3, 1)
    if not padding:
        return xp.ascontiguousarray(moved)
    n, h, w, c = moved.shape
    padded = xp.zeros((n, h + 2 * padding, w + 2 * padding, c), x.dtype)
    padded[:, padding : padding + h, padding : padding + w] = moved
    return padded


def _patch_matrix(xp: ArrayModule, x: Array, kernel: tuple[int, int], stride: int, padding: int) -> Array:
    """Every receptive field as a row: (N * OH * OW, kh * kw * C)."""
    source = _channels_last(xp, x, padding)
    n, h, w, c = source.shape
    kh, kw = kernel
    oh, ow = (h - kh) // stride + 1, (w - kw) // stride + 1
    if kernel == (1, 1) and stride == 1:
        return source.reshape(-1, c)
    sn, sh, sw, sc = source.strides
    windows = xp.lib.stride_tricks.as_strided(
        source, (n, oh, ow, kh, kw, c), (sn, sh * stride, sw * stride, sh, sw, sc)
    )
    return windows.reshape(n * oh * ow, kh * kw * c)


def _weight_matrix(w: Array) -> Array:
    """(O, C, kh, kw) -> (kh * kw * C, O)."""
    return w.transpose(2, 3, 1, 0).reshape(-1, w.shape[0])


def _check(name: str, x: Any, w: Any, stride: int, padding: int) -> None:
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"{name}: expected (N, C, H, W) and (O, C, kh, kw), got {x.shape} and {w.shape}")
    if x.shape[1] != w.shape[1]:
        raise ShapeError(
            f"{name}: channels differ: the input has {x.shape[1]}, the weight expects {w.shape[1]}",
            hint="check the layer's `in_channels`",
        )
    if stride < 1 or padding < 0:
        raise ShapeError(f"{name}: expected stride >= 1 and padding >= 0, got {stride=} and {padding=}")
    for axis, length, kernel in ((2, x.shape[2], w.shape[2]), (3, x.shape[3], w.shape[3])):
        if kernel > length + 2 * padding:
            raise ShapeError(
                f"{name}: the kernel is larger than the padded input along axis {axis}: "
                f"{kernel} > {length} + 2 * {padding}",
                hint="use padding or a smaller kernel",
            )


def _conv2d_reference(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = w.shape[2:]
    oh, ow = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    y = np.zeros((x.shape[0], w.shape[0], oh, ow))
    for i in range(oh):
        for j in range(ow):
            field = x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            y[:, :, i, j] = np.einsum("nckl,ockl->no", field, w)
    return y


def _input_grad_reference(g: np.ndarray, w: np.ndarray, size: tuple[int, int], stride: int, padding: int) -> np.ndarray:
    x = np.zeros((g.shape[0], w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
    kh, kw = w.shape[2:]
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            field = x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            field += np.einsum("no,ockl->nckl", g[:, :, i, j], w)
    return x[:, :, padding : padding + size[0], padding : padding + size[1]]


def _weight_grad_reference(
    x: np.ndarray, g: np.ndarray, kernel: tuple[int, int], stride: int, padding: int
) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    w = np.zeros((g.shape[1], x.shape[1], *kernel))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            field = x[:, :, i * stride : i * stride + kernel[0], j * stride : j * stride + kernel[1]]
            w += np.einsum("nckl,no->ockl", field, g[:, :, i, j])
    return w


def _conv_spec(x: Spec, w: Spec, *, stride: int, padding: int) -> Spec:
    _check("conv2d", x, w, stride, padding)
    oh = _output_length(x.shape[2], w.shape[2], stride, padding)
    ow = _output_length(x.shape[3], w.shape[3], stride, padding)
    return Spec((x.shape[0], w.shape[0], oh, ow), x.dtype)


@op(
    infer=_conv_spec,
    saves=("x", "w"),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LOOP,
    per_sample=lambda carries, *specs, **params: carries == (True, False),
    onnx="Conv",
    reference=_conv2d_reference,
    vjp=(
        lambda g, y, x, w, stride, padding: conv2d_input_grad(g, w, size=x.shape[2:], stride=stride, padding=padding),
        lambda g, y, x, w, stride, padding: conv2d_weight_grad(
            x, g, kernel=w.shape[2:], stride=stride, padding=padding
        ),
    ),
    samples=(
        Sample(normal(2, 3, 5, 4), normal(4, 3, 3, 3), stride=1, padding=1),
        Sample(normal(2, 2, 6, 5), normal(3, 2, 3, 2), stride=2, padding=0),
        Sample(normal(1, 2, 4, 4), normal(3, 2, 1, 1), stride=1, padding=0),
        Sample(normal(0, 2, 4, 4), normal(3, 2, 3, 3), stride=1, padding=1),
    ),
    invalid=(
        Invalid(normal(2, 3, 5, 5), normal(4, 2, 3, 3), stride=1, padding=0, error=ShapeError, match="channels differ"),
        Invalid(normal(2, 3, 2, 5), normal(4, 3, 3, 3), stride=1, padding=0, error=ShapeError, match="larger than"),
        Invalid(normal(3, 5, 5), normal(4, 3, 3, 3), stride=1, padding=0, error=ShapeError, match="N, C, H, W"),
    ),
)
def conv2d(xp: ArrayModule, x: Array, w: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """Cross-correlation of x (N, C, H, W) with w (O, C, kh, kw), zero-padded: (N, O, OH, OW)."""
    _check("conv2d", x, w, stride, padding)
    return _convolve(xp, x, w, stride, padding)


def _convolve(xp: ArrayModule, x: Array, w: Array, stride: int, padding: int) -> Array:
    rows = _patch_matrix(xp, x, w.shape[2:], stride, padding) @ _weight_matrix(w)
    oh = _output_length(x.shape[2], w.shape[2], stride, padding)
    ow = _output_length(x.shape[3], w.shape[3], stride, padding)
    return rows.reshape(x.shape[0], oh, ow, w.shape[0]).transpose(0, 3, 1, 2)


@op(
    infer=lambda g, w, size, stride, padding: Spec((g.shape[0], w.shape[1], *size), g.dtype),
    saves=("g", "w"),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LOOP,
    per_sample=lambda carries, *specs, **params: carries == (True, False),
    onnx="ConvTranspose",
    reference=_input_grad_reference,
    vjp=(
        lambda h, y, g, w, size, stride, padding: conv2d(h, w, stride=stride, padding=padding),
        lambda h, y, g, w, size, stride, padding: conv2d_weight_grad(
            h, g, kernel=w.shape[2:], stride=stride, padding=padding
        ),
    ),
    samples=(
        Sample(normal(2, 4, 5, 4), normal(4, 3, 3, 3), size=(5, 4), stride=1, padding=1),
        Sample(normal(2, 4, 3, 5), normal(4, 2, 3, 2), size=(5, 6), stride=1, padding=0),
        Sample(normal(2, 3, 2, 2), normal(3, 2, 3, 2), size=(6, 5), stride=2, padding=0),
    ),
)
def conv2d_input_grad(
    xp: ArrayModule, g: Array, w: Array, *, size: tuple[int, int], stride: int, padding: int
) -> Array:
    """Gradient of `conv2d` for its input of height and width `size`: a transposed convolution of g (N, O, OH, OW)."""
    n, o, oh, ow = g.shape
    c, kh, kw = w.shape[1:]
    if stride == 1 and kh == kw and padding < kh:
        # The same sum as a convolution of g with the kernel turned round: one product instead of kh * kw additions.
        turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        return _convolve(xp, g, turned, 1, kh - 1 - padding)
    # (N * OH * OW, O) times (O, kh * kw * C): what each output pixel sends back to its receptive field.
    fields = (_channels_last(xp, g, 0).reshape(-1, o) @ _weight_matrix(w).T).reshape(n, oh, ow, kh, kw, c)
    padded = xp.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, c), g.dtype)
    for i in range(kh):
        for j in range(kw):
            padded[:, i : i + stride * oh : stride, j : j + stride * ow : stride] += fields[:, :, :, i, j]
    return padded[:, padding : padding + size[0], padding : padding + size[1]].transpose(0, 3, 1, 2)


@op(
    infer=lambda x, g, kernel, stride, padding: Spec((g.shape[1], x.shape[1], *kernel), g.dtype),
    saves=("x", "g"),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LOOP,
    per_sample=None,
    reference=_weight_grad_reference,
    vjp=(
        lambda v, y, x, g, kernel, stride, padding: conv2d_input_grad(
            g, v, size=x.shape[2:], stride=stride, padding=padding
        ),
        lambda v, y, x, g, kernel, stride, padding: conv2d(x, v, stride=stride, padding=padding),
    ),
    samples=(
        Sample(normal(2, 3, 5, 4), normal(2, 4, 5, 4), kernel=(3, 3), stride=1, padding=1),
        Sample(normal(2, 2, 7, 6), normal(2, 3, 3, 3), kernel=(3, 2), stride=2, padding=0),
    ),
)
def conv2d_weight_grad(
    xp: ArrayModule, x: Array, g: Array, *, kernel: tuple[int, int], stride: int, padding: int
) -> Array:
    """Gradient of `conv2d` for its weight of height and width `kernel`: (O, C, kh, kw)."""
    rows = _patch_matrix(xp, x, kernel, stride, padding)
    weight = rows.T @ _channels_last(xp, g, 0).reshape(-1, g.shape[1])
    return weight.reshape(*kernel, x.shape[1], g.shape[1]).transpose(3, 2, 0, 1)
