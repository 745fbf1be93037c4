"""Moving and repeating elements: pad, roll, tile, repeat, triangles and diagonals of matrices."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, DTypeError, ShapeError
from ..op import Flags, Invalid, Jvp, Sample, integers, normal
from ..shapes import Axis, Spec, normalize_axis
from ..tensor import Tensor, as_array
from .declare import discrete, op
from .gather import take
from .scatter import home_of
from .shape import broadcast_to, getitem, reshape

Widths = tuple[tuple[int, int], ...]


def _pad_spec(x: Spec, *, widths: Widths, value: float) -> Spec:
    if len(widths) != x.ndim or any(before < 0 or after < 0 for before, after in widths):
        raise ShapeError(f"pad: expected a pair (before, after), both >= 0, for each of {x.ndim} axes, got {widths}")
    return Spec(tuple(b + length + a for length, (b, a) in zip(x.shape, widths, strict=True)), x.dtype)


def _inside(x: Any, widths: Widths) -> tuple[slice, ...]:
    return tuple(slice(before, before + length) for length, (before, _) in zip(x.shape, widths, strict=True))


@op(
    name="pad",
    onnx="Pad",
    infer=_pad_spec,
    reference=lambda x, widths, value: np.pad(x, widths, constant_values=value) if widths else x,
    vjp=(lambda g, y, x, widths, value: getitem(g, key=_inside(x, widths)),),
    saves=(),
    jvp=(lambda t, y, x, widths, value: _pad(t, widths=widths, value=0.0),),
    batch=lambda size, batched, x, widths, value: _pad(x, widths=((0, 0), *widths), value=value),
    per_sample=lambda carries, x, widths, value: x.ndim > 0 and tuple(widths[0]) == (0, 0),
    samples=(
        Sample(normal(3, 4), widths=((1, 2), (0, 3)), value=0.0),
        Sample(normal(2, 3), widths=((0, 0), (2, 0)), value=1.5),
        Sample(normal(), widths=(), value=0.0),
        Sample(normal(0, 2), widths=((1, 0), (0, 0)), value=-1.0),
    ),
    invalid=(
        Invalid(normal(3, 4), widths=((1, 2),), value=0.0, error=ShapeError, match="for each of 2 axes"),
        Invalid(normal(3), widths=((-1, 2),), value=0.0, error=ShapeError, match="both >= 0"),
    ),
    flags=Flags.HALF,
)
def _pad(xp: ArrayModule, x: Array, *, widths: Widths, value: float = 0.0) -> Array:
    """Elements of one value around a tensor."""
    spec = _pad_spec(Spec(x.shape, x.dtype), widths=widths, value=value)
    result = xp.full(spec.shape, value, x.dtype) if value else xp.zeros(spec.shape, x.dtype)
    result[_inside(x, widths)] = x
    return result


_MODES = {
    "constant": "constant",
    "edge": "edge",
    "replicate": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "wrap": "wrap",
    "circular": "wrap",
}


def pad(x: Any, widths: int | Sequence[Any], *, mode: str = "constant", value: float = 0.0) -> Any:
    """`x` with more elements around it.

    Args:
        x: any shape.
        widths: how many elements go before and behind along each axis: one number, one pair for all axes, or a pair
            per axis, as in NumPy.
        mode: "constant": `value`; "edge" (or "replicate"): the last element again; "reflect": mirrored without
            the last element, "symmetric": with it; "wrap" (or "circular"): from the other end.
        value: the constant.

    Raises:
        ShapeError: widths that do not fit, or an axis without elements to repeat.
        ConfigError: an unknown mode.
    """
    if mode not in _MODES:
        raise ConfigError(f"pad: expected a mode among {', '.join(_MODES)}, got {mode!r}")
    try:
        pairs = np.broadcast_to(np.asarray(widths, np.int64), (len(x.shape), 2)).tolist()
    except ValueError as exc:
        raise ShapeError(f"pad: expected one pair of widths or {len(x.shape)}, got {widths}") from exc
    full: Widths = tuple((before, after) for before, after in pairs)
    if _MODES[mode] == "constant":
        return _pad(x, widths=full, value=value)
    _pad_spec(Spec(tuple(x.shape), x.dtype), widths=full, value=value)
    for axis, (before, after) in enumerate(full):
        if before or after:
            length = x.shape[axis]
            if length < (2 if mode == "reflect" else 1):
                raise ShapeError(f"pad: axis {axis} of shape {tuple(x.shape)} is too short to repeat in mode {mode!r}")
            places = np.pad(np.arange(length), (before, after), mode=_MODES[mode])  # pyright: ignore
            x = take(x, home_of(x).put(places), axis=axis)
    return x


def _roll_spec(x: Spec, *, shift: tuple[int, ...], axis: tuple[int, ...]) -> Spec:
    if len(shift) != len(axis):
        raise ShapeError(f"roll: expected one shift per axis, got {shift} for {axis}")
    for item in axis:
        normalize_axis(item, x.ndim, op="roll")
    return x


def _roll_back(g: Any, y: Any, x: Any, *, shift: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    return _roll(g, shift=tuple(-step for step in shift), axis=axis)


def _roll_batch(size: int, batched: Sequence[bool], x: Any, *, shift: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    return _roll(x, shift=shift, axis=tuple(item % (len(x.shape) - 1) + 1 for item in axis))


@op(
    name="roll",
    infer=_roll_spec,
    reference=lambda x, shift, axis: np.roll(x, shift, axis),
    vjp=(_roll_back,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_roll_batch,
    per_sample=lambda carries, x, shift, axis: x.ndim > 0 and 0 not in [item % x.ndim for item in axis],
    samples=(
        Sample(normal(3, 4), shift=(1,), axis=(0,)),
        Sample(normal(3, 4), shift=(-7, 2), axis=(-1, 0)),
        Sample(normal(5), shift=(1, 2), axis=(0, 0)),
        Sample(normal(0, 2), shift=(1,), axis=(0,)),
    ),
    invalid=(
        Invalid(normal(3), shift=(1, 2), axis=(0,), error=ShapeError, match="one shift per axis"),
        Invalid(normal(3), shift=(1,), axis=(1,), error=ShapeError, match="roll: axis 1"),
    ),
    flags=Flags.HALF,
)
def _roll(xp: ArrayModule, x: Array, *, shift: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    """Elements moved along axes; what leaves at one end enters at the other."""
    _roll_spec(Spec(x.shape, x.dtype), shift=shift, axis=axis)
    return xp.roll(x, shift, axis)


def roll(x: Any, shift: int | Sequence[int], *, axis: Axis = None) -> Any:
    """Elements moved `shift` places towards higher indices; what leaves at one end enters at the other.

    Args:
        x: any shape.
        shift: places, negative towards lower indices; one for all axes, or one per axis.
        axis: along which axes; by default the tensor is rolled as if it were flat.
    """
    if axis is None:
        return reshape(roll(reshape(x, shape=(-1,)), shift, axis=0), shape=tuple(x.shape))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return _roll(x, shift=(shift,) * len(axes) if isinstance(shift, int) else tuple(shift), axis=axes)


def tile(x: Any, repetitions: Sequence[int]) -> Any:
    """`x` side by side with itself: `repetitions` times along each axis, counted from the last."""
    rank = max(len(x.shape), len(repetitions))
    counts = (1,) * (rank - len(repetitions)) + tuple(repetitions)
    shape = (1,) * (rank - len(x.shape)) + tuple(x.shape)
    if all(count == 1 for count in counts):
        return reshape(x, shape=shape)
    apart = reshape(x, shape=tuple(item for length in shape for item in (1, length)))
    wide = broadcast_to(apart, shape=tuple(item for pair in zip(counts, shape, strict=True) for item in pair))
    return reshape(wide, shape=tuple(count * length for count, length in zip(counts, shape, strict=True)))


def _repeated_spec(repeats: Spec) -> Any:
    raise ShapeError("the shape of the result depends on the values")


@discrete(
    infer=_repeated_spec,
    reference=lambda repeats: np.array([i for i, count in enumerate(repeats) for _ in range(count)], np.int64),
    batch=lambda size, batched, repeats: None,  # data dependent ops are refused before
    per_sample=None,
    samples=(Sample(integers(4, 6)), Sample(integers(1, 3)), Sample(integers(4, 0))),
    flags=Flags.DATA_DEPENDENT,
)
def repeated_places(xp: ArrayModule, repeats: Array) -> Array:
    """0 `repeats[0]` times, 1 `repeats[1]` times, and so on: int64, shape (sum of repeats,)."""
    ends = xp.cumsum(repeats)
    return xp.searchsorted(ends, xp.arange(int(ends[-1]) if repeats.size else 0), side="right")


def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Any:
    """Each element several times in a row.

    Args:
        x: any shape.
        repeats: how often, >= 0: one number, or integers (a sequence, tensor or array) for the parts along the axis.
        axis: along which axis; by default `x` is flattened first.

    Raises:
        ShapeError: as many repeats as parts are needed, none negative.
        DTypeError: repeats are integers.
    """
    if axis is None:
        return repeat(reshape(x, shape=(-1,)), repeats, axis=0)
    axis = normalize_axis(axis, len(x.shape), op="repeat")
    shape = tuple(x.shape)
    if isinstance(repeats, int):
        if repeats < 0:
            raise ShapeError(f"repeat: expected repeats >= 0, got {repeats}")
        apart = reshape(x, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
        wide = broadcast_to(apart, shape=(*shape[: axis + 1], repeats, *shape[axis + 1 :]))
        return reshape(wide, shape=(*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))
    if not isinstance(repeats, Tensor):
        repeats = home_of(x).put(as_array(repeats)) if not hasattr(repeats, "dtype") else repeats
    if repeats.dtype.kind not in "iu" and repeats.size:
        raise DTypeError(f"repeat: expected integers as repeats, got dtype {repeats.dtype}")
    if tuple(repeats.shape) in ((), (1,)):
        return repeat(x, int(repeats[()] if not repeats.shape else repeats[0]), axis=axis)
    if tuple(repeats.shape) != (shape[axis],):
        raise ShapeError(f"repeat: expected {shape[axis]} repeats for axis {axis}, got shape {tuple(repeats.shape)}")
    return take(x, repeated_places(repeats), axis=axis)
