"""Runs launches as a program would, thread by thread, and describes convolutions in NumPy's float64."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import product

import numpy as np

from nasturtium.core.compiler.llvm import KernelCache, Target, describe_target
from nasturtium.core.compiler.llvm.geometry import Convolution
from nasturtium.core.compiler.llvm.launch import Images, Launch
from nasturtium.core.compiler.llvm.sharding import WeightGradient

CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
GUARD = 7.25  # stands wherever nothing may be written
BEHIND = 512  # floats behind each operand: kernels may read there


def target_of(cache: KernelCache, width: int | None = None) -> Target:
    """This CPU, with vectors of some width."""
    here = cache.engine.target
    return describe_target(here.name, here.triple, here.features, width=width)


def run(cache: KernelCache, launches: Sequence[Launch], *, threads: int = 1, **operands: np.ndarray) -> None:
    """Run launches one after the other; operands by name, each float32 and aligned as `memory` makes them."""
    addresses = cache.addresses([launch.kernel for launch in launches])
    for launch, address in zip(launches, addresses, strict=True):
        operands["scratch"] = memory(launch.scratch * threads)
        slots = np.zeros(len(launch.kernel.slots), np.int64)
        for place, slot in enumerate(launch.kernel.slots):
            if slot.kind == "ptr":
                slots[place] = operands[slot.name].ctypes.data + 4 * launch.offsets[slot.name]
            elif slot.kind == "f32":
                slots[place : place + 1].view(np.float32)[0] = launch.numbers[slot.name]
            else:
                slots[place] = launch.numbers[slot.name]
        for tid in range(threads):
            CALL(address)(slots.ctypes.data, tid, threads)
        assert (operands["scratch"][-BEHIND:] == np.float32(GUARD)).all()


def run_weight_gradient(
    cache: KernelCache, plan: WeightGradient, *, threads: int = 1, x: np.ndarray, y: np.ndarray, result: np.ndarray
) -> None:
    """Run both parts of the gradient of weights."""
    partials = memory(plan.partials)
    run(cache, plan.launches, threads=threads, x=x, y=y, result=partials if plan.partials else result)
    run(cache, plan.sums, threads=threads, partials=partials, result=result)
    assert (partials[-BEHIND:] == np.float32(GUARD)).all()


def memory(content: int | np.ndarray) -> np.ndarray:
    """So many floats at a cache line, all GUARD, or a flat copy; BEHIND more floats lie behind them."""
    size = content if isinstance(content, int) else content.size
    raw = np.full(size + BEHIND + 16, GUARD, np.float32)
    start = -raw.ctypes.data % 64 // 4
    floats = raw[start : start + size + BEHIND]
    if isinstance(content, np.ndarray):
        floats[:size] = content.ravel()
    return floats


def pixels_of(floats: np.ndarray, images: Images) -> np.ndarray:
    """The pixels of images in memory, (count, height, width, channels), without borders."""
    return np.lib.stride_tricks.as_strided(
        floats[images.origin :],
        (images.count, images.height, images.width, images.channels),
        (4 * images.image, 4 * images.row, 4 * images.pixel, 4),
    )


def placed(values: np.ndarray, images: Images, *, border: float = 0.0) -> np.ndarray:
    """Memory with pixels as `images` says."""
    floats = memory(images.size)
    floats[: images.size] = border
    pixels_of(floats, images)[...] = values
    return floats


def untouched(floats: np.ndarray, images: Images) -> bool:
    """Whether only pixels were written, where memory held GUARD."""
    rest = floats.copy()
    pixels_of(rest, images)[...] = GUARD
    return bool((rest == np.float32(GUARD)).all())


def output_size(conv: Convolution, height: int, width: int) -> tuple[int, int]:
    """The usual size of the output, with as much padding behind as before."""
    rows, columns = (
        (size + 2 * conv.padding[axis] - conv.dilation[axis] * (conv.kernel[axis] - 1) - 1) // conv.stride[axis] + 1
        for axis, size in enumerate((height, width))
    )
    return rows, columns


def _windows(conv: Convolution, padded: np.ndarray, out: tuple[int, int]):
    """Of every tap, the tap and a view of the padded input that it sees."""
    for row, column in product(*map(range, conv.kernel)):
        down, right = row * conv.dilation[0], column * conv.dilation[1]
        rows = slice(down, down + (out[0] - 1) * conv.stride[0] + 1, conv.stride[0])
        columns = slice(right, right + (out[1] - 1) * conv.stride[1] + 1, conv.stride[1])
        yield row, column, padded[:, rows, columns]


def _padded(conv: Convolution, images: np.ndarray, out: tuple[int, int]) -> np.ndarray:
    count, height, width, channels = images.shape
    reach = [(out[axis] - 1) * conv.stride[axis] + (conv.kernel[axis] - 1) * conv.dilation[axis] + 1 for axis in (0, 1)]
    top, left = conv.padding
    size = max(reach[0], top + height), max(reach[1], left + width)
    padded = np.zeros((count, *size, channels))
    padded[:, top : top + height, left : left + width] = images
    return padded


def plain_forward(conv: Convolution, x: np.ndarray, w: np.ndarray, out: tuple[int, int]) -> np.ndarray:
    y = np.zeros((x.shape[0], *out, conv.groups, conv.group_outputs))
    parts = w.reshape(conv.groups, conv.group_outputs, conv.group_inputs, *conv.kernel).astype(np.float64)
    for row, column, seen in _windows(conv, _padded(conv, x, out), out):
        split = seen.reshape(*seen.shape[:3], conv.groups, conv.group_inputs)
        y += np.einsum("nhwgi,goi->nhwgo", split, parts[..., row, column], optimize=True)
    return y.reshape(*y.shape[:3], conv.outputs)


def plain_input_gradient(conv: Convolution, dy: np.ndarray, w: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = dy.shape[1:3]
    padded = _padded(conv, np.zeros((dy.shape[0], *size, conv.inputs)), out)
    parts = w.reshape(conv.groups, conv.group_outputs, conv.group_inputs, *conv.kernel).astype(np.float64)
    split = dy.reshape(*dy.shape[:3], conv.groups, conv.group_outputs).astype(np.float64)
    for row, column, seen in _windows(conv, padded, out):
        seen += np.einsum("nhwgo,goi->nhwgi", split, parts[..., row, column], optimize=True).reshape(seen.shape)
    top, left = conv.padding
    return padded[:, top : top + size[0], left : left + size[1]]


def plain_weight_gradient(conv: Convolution, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    out = dy.shape[1:3]
    dw = np.zeros((conv.groups, conv.group_outputs, conv.group_inputs, *conv.kernel))
    split = dy.reshape(*dy.shape[:3], conv.groups, conv.group_outputs).astype(np.float64)
    for row, column, seen in _windows(conv, _padded(conv, x, out), out):
        inputs = seen.reshape(*seen.shape[:3], conv.groups, conv.group_inputs)
        dw[..., row, column] = np.einsum("nhwgo,nhwgi->goi", split, inputs, optimize=True)
    return dw.reshape(conv.outputs, conv.group_inputs, *conv.kernel)


def assert_near(got: np.ndarray, wanted: np.ndarray, *, terms: int = 1) -> None:
    """Within float32's rounding of a sum of so many terms, relative to the largest."""
    error = np.abs(got - wanted).max(initial=0.0)
    scale = np.abs(wanted).max(initial=1e-30)
    assert error <= 4e-7 * (1 + terms**0.5) * scale, f"error {error / scale:.1e} of the largest"
