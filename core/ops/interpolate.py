"""Resizing images and signals: nearest neighbour, linear, cubic and area interpolation.

All are linear maps along one axis after the other, each row of whose matrix has a few elements that are not zero.
`resample` applies such a matrix, or its transpose, as that many gathers: no sums in an order that a GPU leaves open.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import floor
from typing import Any, NamedTuple

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Invalid, Jvp, Sample, normal
from ..shapes import Spec, normalize_axis, to_floating
from .declare import floating, op
from .window import SHAPES, PerAxis, per_axis

MODES = ("nearest", "nearest-exact", "linear", "cubic", "area")
_SYNONYMS = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


class Taps(NamedTuple):
    """The rows of a matrix by their elements that are not zero.

    Attributes:
        places: (rows, most elements of a row), the columns; a row with fewer repeats one.
        weights: likewise, the elements, with 0 for those repeated; None where all are 1.
    """

    places: np.ndarray
    weights: np.ndarray | None


@lru_cache(SHAPES)
def _taps(source: int, target: int, mode: str, align_corners: bool, scale: float | None, transposed: bool) -> Taps:
    """The matrix (target, source) that resamples `source` elements to `target`, or its transpose.

    Args:
        source: length of the axis.
        target: length wanted.
        mode: one of `MODES`.
        align_corners: the first and the last elements of both lie on each other; else their outer edges do.
        scale: elements of the target per element of the source; None for target / source.
        transposed: whether the transpose is wanted.
    """
    taps = _forward_taps(source, target, mode, align_corners, scale)
    return _transposed(taps, source) if transposed else taps


def _forward_taps(source: int, target: int, mode: str, align_corners: bool, scale: float | None) -> Taps:
    numbers = np.arange(target)
    if mode == "area":
        starts, ends = numbers * source // target, -(-(numbers + 1) * source // target)
        offsets = np.arange((ends - starts).max())
        inside = offsets < (ends - starts)[:, None]
        places = np.where(inside, starts[:, None] + offsets, starts[:, None])
        return Taps(places, inside / (ends - starts)[:, None])
    if mode == "nearest":
        exact = numbers * source // target
        near = exact if scale is None else np.floor(numbers / scale).astype(np.intp)
        return Taps(np.minimum(near, source - 1)[:, None], None)
    if mode == "nearest-exact":
        exact = (2 * numbers + 1) * source // (2 * target)
        near = exact if scale is None else np.floor((numbers + 0.5) / scale).astype(np.intp)
        return Taps(np.minimum(near, source - 1)[:, None], None)
    if align_corners:
        positions = numbers * ((source - 1) / (target - 1) if target > 1 else 0.0)
    else:
        positions = (numbers + 0.5) * (source / target if scale is None else 1 / scale) - 0.5
    if mode == "linear":
        positions = np.maximum(positions, 0)
        first = np.minimum(np.floor(positions).astype(np.intp), source - 1)
        part = np.clip(positions - first, 0, 1)
        return Taps(np.stack([first, np.minimum(first + 1, source - 1)], 1), np.stack([1 - part, part], 1))
    first = np.floor(positions).astype(np.intp)
    places = np.clip(first[:, None] + np.arange(-1, 3), 0, source - 1)
    return Taps(places, _cubic((positions - first)[:, None] - np.arange(-1, 3)))


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Weights of cubic convolution with a = -0.75, as PyTorch and OpenCV have it.

    Source: Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711.
    """
    a, d = -0.75, np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, far)


def _transposed(taps: Taps, source: int) -> Taps:
    """The transpose of a matrix with `source` columns."""
    rows = np.repeat(np.arange(len(taps.places)), taps.places.shape[1])
    columns = taps.places.ravel()
    weights = np.ones(columns.size) if taps.weights is None else taps.weights.ravel()
    kept = weights != 0
    rows, columns, weights = rows[kept], columns[kept], weights[kept]
    order = np.argsort(columns, kind="stable")
    rows, columns, weights = rows[order], columns[order], weights[order]
    counts = np.bincount(columns, minlength=source)
    starts = np.cumsum(counts) - counts
    within = np.arange(columns.size) - starts[columns]
    first = np.append(rows, 0)[np.minimum(starts, rows.size)]
    most = max(int(counts.max()), 1)
    places = np.repeat(first[:, None], most, 1)
    filled = np.zeros((source, most))
    places[columns, within], filled[columns, within] = rows, weights
    return Taps(places, filled)


def _resampled(x: Spec, *, axis: int, source: int, target: int, mode: str, transposed: bool, **_: Any) -> Spec:
    axis = normalize_axis(axis, x.ndim, op="resample")
    before, after = (target, source) if transposed else (source, target)
    if x.shape[axis] != before:
        raise ShapeError(f"resample: expected {before} elements along axis {axis}, got shape {x.shape}")
    if mode not in MODES:
        raise ConfigError(f"resample: unknown mode {mode!r}: expected one of {', '.join(MODES)}")
    if source < 1 or target < 1:
        raise ShapeError(f"resample: expected lengths >= 1, got {source} and {target}")
    kept = mode.startswith("nearest") and not transposed
    return Spec((*x.shape[:axis], after, *x.shape[axis + 1 :]), x.dtype if kept else to_floating(x.dtype))


def _resample_vjp(g: Any, y: Any, x: Any, /, *, transposed: bool, **params: Any) -> Any:
    return resample(g, transposed=not transposed, **params)


def _resample_batch(size: int, batched: Sequence[bool], x: Any, /, *, axis: int, **params: Any) -> Any:
    return resample(x, axis=axis % (len(x.shape) - 1) + 1, **params)


def _resample_reference(
    x: np.ndarray,
    axis: int,
    source: int,
    target: int,
    mode: str,
    align_corners: bool,
    scale: float | None,
    transposed: bool,
) -> np.ndarray:
    """By the dense matrix, element by element."""
    matrix = np.zeros((target, source))
    step = 1 / scale if scale else source / target
    for i in range(target):
        if mode == "area":
            covered = range(i * source // target, -(-(i + 1) * source // target))
            matrix[i, covered] = 1 / len(covered)
            continue
        if mode.startswith("nearest"):
            matrix[i, min(floor((i + (0.5 if mode == "nearest-exact" else 0)) * step + 1e-9), source - 1)] = 1
            continue
        at = i * (source - 1) / max(target - 1, 1) if align_corners else (i + 0.5) * step - 0.5
        if mode == "linear":
            at = min(max(at, 0), source - 1)
        for j in range(floor(at) - 1, floor(at) + 3):
            d = abs(at - j)
            near, far = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
            weight = max(1 - d, 0) if mode == "linear" else near if d <= 1 else far
            matrix[i, min(max(j, 0), source - 1)] += weight
    return np.moveaxis(np.tensordot(matrix.T if transposed else matrix, x, axes=(1, axis)), 0, axis)


def _resizing(
    source: int,
    target: int,
    mode: str,
    *,
    axis: int = -1,
    align_corners: bool = False,
    scale: float | None = None,
    transposed: bool = False,
) -> dict[str, Any]:
    return {
        "axis": axis,
        "source": source,
        "target": target,
        "mode": mode,
        "align_corners": align_corners,
        "scale": scale,
        "transposed": transposed,
    }


@op(
    infer=_resampled,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_resample_batch,
    per_sample=lambda carries, x, axis, **params: axis % x.ndim != 0,
    reference=_resample_reference,
    vjp=(_resample_vjp,),
    samples=(
        Sample(normal(2, 3, 4), **_resizing(3, 7, "nearest", axis=1)),
        Sample(normal(2, 7), **_resizing(7, 3, "nearest")),
        Sample(normal(2, 4), **_resizing(4, 7, "nearest-exact", scale=1.8)),
        Sample(normal(2, 4, 3), **_resizing(4, 7, "linear", axis=1)),
        Sample(normal(2, 7), **_resizing(7, 4, "linear", align_corners=True)),
        Sample(normal(2, 5), **_resizing(5, 1, "linear", align_corners=True)),
        Sample(normal(2, 4), **_resizing(4, 6, "cubic")),
        Sample(normal(2, 7), **_resizing(7, 4, "cubic", align_corners=True)),
        Sample(normal(2, 7, 2), **_resizing(7, 3, "area", axis=1)),
        Sample(normal(2, 3), **_resizing(7, 3, "nearest", transposed=True)),
        Sample(normal(6, 2), **_resizing(4, 6, "cubic", axis=0, transposed=True)),
        Sample(normal(0, 4), **_resizing(4, 6, "linear")),
    ),
    invalid=(
        Invalid(normal(2, 4), **_resizing(5, 2, "linear"), error=ShapeError, match="expected 5 elements"),
        Invalid(normal(2, 4), **_resizing(4, 2, "lanczos"), error=ConfigError, match="unknown mode 'lanczos'"),
        Invalid(normal(2, 4), **_resizing(4, 0, "linear"), error=ShapeError, match="lengths >= 1"),
        Invalid(normal(2, 4), **_resizing(4, 2, "linear", axis=2), error=ShapeError, match="axis 2"),
    ),
)
def resample(
    xp: ArrayModule,
    x: Array,
    *,
    axis: int,
    source: int,
    target: int,
    mode: str,
    align_corners: bool,
    scale: float | None,
    transposed: bool,
) -> Array:
    """`x` resampled along an axis from `source` elements to `target`; or the adjoint of that, the other way.

    "nearest" keeps the dtype; the others make a float32 of integers.
    """
    spec = _resampled(Spec(x.shape, x.dtype), axis=axis, source=source, target=target, mode=mode, transposed=transposed)
    places, weights = _taps(source, target, mode, align_corners, scale, transposed)
    # Along the memory: an axis of a channels-last image is gathered without reordering the image.
    order = sorted(range(x.ndim), key=lambda i: -x.strides[i])
    moved = x.transpose(order)
    along = order.index(axis % x.ndim)
    places = xp.asarray(places)
    if weights is None:
        result = xp.take(moved, places[:, 0], axis=along)
    else:
        moved = floating(xp, moved)
        weights = xp.asarray(weights.astype(spec.dtype)).reshape(len(places), -1, *(1,) * (x.ndim - along - 1))
        result = xp.take(moved, places[:, 0], axis=along)
        result *= weights[:, 0]
        for k in range(1, places.shape[1]):
            part = xp.take(moved, places[:, k], axis=along)
            part *= weights[:, k]
            result += part
    return result.transpose([order.index(i) for i in range(x.ndim)])


def interpolate(
    x: Any,
    *,
    size: PerAxis | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Any:
    """Resize x (N, C, *spatial) along its spatial axes.

    Args:
        x: signals, images or volumes.
        size: the lengths wanted, one number or one per axis; this or `scale_factor`.
        scale_factor: how many times as long, > 0, one number or one per axis; lengths are rounded down.
        mode: "nearest" (the element at floor(i / scale)), "nearest-exact" (the one whose middle is nearest), "linear"
            ("bilinear" and "trilinear" mean the same), "cubic" ("bicubic"; a = -0.75, the border repeated) or "area"
            (the mean of what an element covers).
        align_corners: for "linear" and "cubic": the middles of the corners stay where they are, not their outer edges.

    Returns:
        (N, C, *size), of the dtype of `x` (of integers a float32, but for the two nearest modes). No filter against
        aliasing is applied where it shrinks; "area" is one.

    Raises:
        ConfigError: an unknown mode, or both or none of `size` and `scale_factor`.
        ShapeError: a length is less than 1.
    """
    rank = len(x.shape) - 2
    chosen = _SYNONYMS.get(mode, mode)
    if rank < 1:
        raise ShapeError(f"interpolate: expected (N, C, *spatial), got {x.shape}")
    if chosen not in MODES:
        raise ConfigError(f"interpolate: unknown mode {mode!r}: expected one of {', '.join((*MODES, *_SYNONYMS))}")
    if align_corners and chosen not in ("linear", "cubic"):
        raise ConfigError(f"interpolate: align_corners has no meaning for mode {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ConfigError(f"interpolate: expected size or scale_factor, got {size=} and {scale_factor=}")
    scales: tuple[float | None, ...] = (None,) * rank
    if scale_factor is not None:
        factors = (scale_factor,) * rank if isinstance(scale_factor, int | float) else tuple(scale_factor)
        if len(factors) != rank or min(factors) <= 0:
            raise ConfigError(f"interpolate: expected one scale_factor > 0 or {rank}, got {scale_factor}")
        targets = tuple(floor(length * factor) for length, factor in zip(x.shape[2:], factors, strict=True))
        scales = factors
    else:
        assert size is not None
        targets = per_axis(size, rank, name="size")
    if min(targets) < 1:
        raise ShapeError(f"interpolate: nothing is left of {x.shape} at size {targets}")
    # What shrinks most first, so that the others have less to do.
    for axis in sorted(range(rank), key=lambda i: targets[i] / x.shape[2 + i]):
        source = x.shape[2 + axis]
        if targets[axis] != source or scales[axis] not in (None, 1):
            x = resample(
                x,
                axis=2 + axis,
                source=source,
                target=targets[axis],
                mode=chosen,
                align_corners=align_corners,
                scale=scales[axis],
                transposed=False,
            )
    return x
