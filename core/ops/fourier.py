"""Fast Fourier transforms. Results have the precision of what goes in: float32 gives complex64; integers count as
float32, 16-bit floats are computed in float32.

Four ops do the work, on axes as they are; the public functions crop or pad first and put them together. A transform is
a symmetric matrix, so inside the graph (where cotangents are not conjugated) the gradient of `fft` is `fft` again.
`norm` is "backward" (the inverse divides by n), "ortho" (both divide by the root of n) or "forward".
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, DTypeError, ShapeError
from ..op import Invalid, Jvp, Sample, complex_normal, normal
from ..shapes import Axis, Spec, normalize_axes, normalize_axis, to_floating
from .declare import floating, op
from .elementwise import astype, conjugate, real
from .move import pad
from .scatter import home_of
from .shape import getitem
from .solve import real_dtype

_NORMS = ("backward", "ortho", "forward")
_OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _checked(x: Spec, axes: Sequence[int], norm: str) -> None:
    if norm not in _NORMS:
        raise ConfigError(f"expected the norm 'backward', 'ortho' or 'forward', got {norm!r}")
    for axis in normalize_axes(tuple(axes), x.ndim, op="fft"):
        if not x.shape[axis]:
            raise ShapeError(f"axis {axis} has no elements to transform")


def _complex(x: Spec) -> np.dtype[Any]:
    return np.result_type(to_floating(x.dtype) if x.dtype.itemsize > 2 else np.float32, np.complex64)


def _fftn_spec(x: Spec, *, axes: tuple[int, ...], norm: str, inverse: bool) -> Spec:
    _checked(x, axes, norm)
    return Spec(x.shape, _complex(x))


def _behind(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """The same axes behind a batch axis; `rank` is that without it."""
    return tuple(axis % rank + 1 for axis in axes)


def _fftn_vjp(g: Any, y: Any, x: Any, **params: Any) -> Any:
    back = _fftn(g, **params)
    return back if x.dtype.kind == "c" else real(back)


def _fftn_batch(size: int, batched: Sequence[bool], x: Any, *, axes: tuple[int, ...], **params: Any) -> Any:
    return _fftn(x, axes=_behind(axes, len(x.shape) - 1), **params)


def _fftn_reference(x: np.ndarray, axes: tuple[int, ...], norm: str, inverse: bool) -> np.ndarray:
    for axis in axes:
        n = x.shape[axis]
        matrix = np.exp((2j if inverse else -2j) * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
        divided = {"backward": n if inverse else 1, "forward": 1 if inverse else n, "ortho": np.sqrt(n)}[norm]
        x = np.moveaxis(np.tensordot(x, matrix / divided, (axis, 0)), -1, axis)
    return x


@op(
    name="fftn",
    onnx="DFT",
    infer=_fftn_spec,
    reference=_fftn_reference,
    vjp=(_fftn_vjp,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_fftn_batch,
    per_sample=lambda carries, x, axes, norm, inverse: 0 not in [axis % x.ndim for axis in axes],
    samples=(
        Sample(complex_normal(5), axes=(0,), norm="backward", inverse=False),
        Sample(normal(3, 4), axes=(-1,), norm="ortho", inverse=True),
        Sample(complex_normal(2, 3, 4), axes=(0, -1), norm="forward", inverse=False),
        Sample(complex_normal(3, 4), axes=(1,), norm="backward", inverse=True),
        Sample(normal(0, 3), axes=(1,), norm="backward", inverse=False),
    ),
    invalid=(
        Invalid(normal(3), axes=(1,), norm="backward", inverse=False, error=ShapeError, match="axis 1"),
        Invalid(normal(3, 0), axes=(1,), norm="backward", inverse=False, error=ShapeError, match="no elements"),
        Invalid(normal(3), axes=(0,), norm="none", inverse=False, error=ConfigError, match="'ortho' or 'forward', got"),
    ),
)
def _fftn(xp: ArrayModule, x: Array, *, axes: tuple[int, ...], norm: str = "backward", inverse: bool = False) -> Array:
    """Discrete Fourier transform along some axes, or its inverse."""
    spec = _fftn_spec(Spec(x.shape, x.dtype), axes=axes, norm=norm, inverse=inverse)
    x = floating(xp, x)
    if not x.size:
        return xp.zeros(spec.shape, spec.dtype)
    function = xp.fft.ifftn if inverse else xp.fft.fftn
    return function(x, axes=axes, norm=norm).astype(spec.dtype, copy=False)


def _rfft_spec(x: Spec, *, axis: int, norm: str) -> Spec:
    if x.dtype.kind == "c":
        raise DTypeError("rfft: expected real numbers", hint="use fft for complex ones")
    _checked(x, (axis,), norm)
    axis = axis % x.ndim
    return Spec((*x.shape[:axis], x.shape[axis] // 2 + 1, *x.shape[axis + 1 :]), _complex(x))


def _rfft_vjp(g: Any, y: Any, x: Any, *, axis: int, norm: str) -> Any:
    # The real part of the transform of the half, with zeros for the half that was not returned.
    return real(_fftn(_resized(g, axis, x.shape[axis]), axes=(axis,), norm=norm))


def _rfft_batch(size: int, batched: Sequence[bool], x: Any, *, axis: int, norm: str) -> Any:
    return _rfft(x, axis=axis % (len(x.shape) - 1) + 1, norm=norm)


@op(
    name="rfft",
    infer=_rfft_spec,
    reference=lambda x, axis, norm: np.take(
        _fftn_reference(x, (axis,), norm, inverse=False), range(x.shape[axis] // 2 + 1), axis
    ),
    vjp=(_rfft_vjp,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_rfft_batch,
    per_sample=lambda carries, x, axis, norm: axis % x.ndim != 0,
    samples=(
        Sample(normal(5), axis=0, norm="backward"),
        Sample(normal(3, 6), axis=-1, norm="ortho"),
        Sample(normal(4, 3), axis=0, norm="forward"),
        Sample(normal(2, 1), axis=1, norm="backward"),
        Sample(normal(0, 3), axis=1, norm="backward"),
    ),
    invalid=(
        Invalid(complex_normal(3), axis=0, norm="backward", error=DTypeError, match="expected real numbers"),
        Invalid(normal(3), axis=1, norm="backward", error=ShapeError, match="axis 1"),
    ),
)
def _rfft(xp: ArrayModule, x: Array, *, axis: int = -1, norm: str = "backward") -> Array:
    """The first half of the Fourier transform of real numbers."""
    spec = _rfft_spec(Spec(x.shape, x.dtype), axis=axis, norm=norm)
    if not x.size:
        return xp.zeros(spec.shape, spec.dtype)
    return xp.fft.rfft(floating(xp, x), axis=axis, norm=norm).astype(spec.dtype, copy=False)


def _irfft_spec(x: Spec, *, n: int, axis: int, norm: str) -> Spec:
    _checked(x, (axis,), norm)
    axis = axis % x.ndim
    if n < 1 or x.shape[axis] != n // 2 + 1:
        raise ShapeError(f"irfft: expected n >= 1 and n // 2 + 1 elements along axis {axis}")
    return Spec((*x.shape[:axis], n, *x.shape[axis + 1 :]), real_dtype(to_floating(x.dtype)))


def _irfft_vjp(g: Any, y: Any, x: Any, *, n: int, axis: int, norm: str) -> Any:
    # Element k stands for itself and for its mirror image n - k; 0 and n / 2 are their own, and only their real part
    # counts, which the transform of a real gradient is there.
    half = conjugate(_rfft(g, axis=axis, norm=_OPPOSITE[norm]))
    count = n // 2 + 1
    twice = np.full(count, 2.0)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    shape = tuple(count if i == axis % len(g.shape) else 1 for i in range(len(g.shape)))
    back = half * home_of(g).put(twice.reshape(shape).astype(g.dtype))
    return back if x.dtype.kind == "c" else real(back)


def _irfft_batch(size: int, batched: Sequence[bool], x: Any, *, axis: int, **params: Any) -> Any:
    return _irfft(x, axis=axis % (len(x.shape) - 1) + 1, **params)


def _irfft_reference(x: np.ndarray, n: int, axis: int, norm: str) -> np.ndarray:
    x = np.moveaxis(x, axis, -1).astype(np.complex128)
    x[..., 0] = np.real(x[..., 0])
    if n % 2 == 0:
        x[..., -1] = np.real(x[..., -1])
    full = np.concatenate([x, np.conj(x[..., 1 : (n + 1) // 2])[..., ::-1]], -1)
    return np.moveaxis(np.real(_fftn_reference(full, (-1,), norm, inverse=True)), -1, axis)


@op(
    name="irfft",
    infer=_irfft_spec,
    reference=_irfft_reference,
    vjp=(_irfft_vjp,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_irfft_batch,
    per_sample=lambda carries, x, n, axis, norm: axis % x.ndim != 0,
    samples=(
        Sample(complex_normal(4), n=6, axis=0, norm="backward"),
        Sample(complex_normal(2, 4), n=7, axis=-1, norm="ortho"),
        Sample(complex_normal(3, 2), n=4, axis=0, norm="forward"),
        Sample(complex_normal(2, 1), n=1, axis=1, norm="backward"),
        Sample(normal(2, 3), n=4, axis=1, norm="backward"),
        Sample(complex_normal(0, 3), n=4, axis=1, norm="backward"),
    ),
    invalid=(
        Invalid(complex_normal(3), n=6, axis=0, norm="backward", error=ShapeError, match="n // 2 . 1 elements"),
        Invalid(complex_normal(3), n=4, axis=1, norm="backward", error=ShapeError, match="axis 1"),
    ),
)
def _irfft(xp: ArrayModule, x: Array, *, n: int, axis: int = -1, norm: str = "backward") -> Array:
    """The real numbers whose transform has this first half."""
    spec = _irfft_spec(Spec(x.shape, x.dtype), n=n, axis=axis, norm=norm)
    if not x.size:
        return xp.zeros(spec.shape, spec.dtype)
    return xp.fft.irfft(floating(xp, x), n=n, axis=axis, norm=norm).astype(spec.dtype, copy=False)


def _resized(x: Any, axis: int, length: int) -> Any:
    """`x` cut, or followed by zeros, to `length` along one axis."""
    rank = len(x.shape)
    axis = normalize_axis(axis, rank, op="fft")
    missing = length - x.shape[axis]
    if length < 1:
        raise ShapeError(f"fft: expected a length of at least 1, got {length} for axis {axis}")
    if missing > 0:
        return pad(x, tuple((0, missing if i == axis else 0) for i in range(rank)))
    return getitem(x, key=(*(slice(None),) * axis, slice(0, length))) if missing else x


def _sizes(x: Any, s: Sequence[int] | None, axes: Axis) -> tuple[list[int], list[int]]:
    """The axes of an n-dimensional transform and the lengths asked for along them (-1: as it is)."""
    rank = len(x.shape)
    if axes is None:
        axes = range(rank) if s is None else range(rank - len(s), rank)
    chosen = [normalize_axis(axis, rank, op="fft") for axis in ((axes,) if isinstance(axes, int) else axes)]
    if len(set(chosen)) != len(chosen):
        raise ShapeError(f"fft: an axis is named twice in {tuple(chosen)}")
    lengths = [-1] * len(chosen) if s is None else [int(length) for length in s]
    if len(lengths) != len(chosen):
        raise ShapeError(f"fft: expected one length per axis, got s={tuple(lengths)} for axes {tuple(chosen)}")
    return chosen, lengths


def fft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The discrete Fourier transform along one axis, X[k] = sum x[j] exp(-2 pi i j k / n).

    Args:
        x: real or complex.
        n: length along the axis: more is cut off, missing elements are zeros; that of `x` by default.
        axis: along which axis.
        norm: see above.

    Returns:
        Complex, with length n along the axis.
    """
    return fftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def ifft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of `fft`, with the same arguments."""
    return ifftn(x, s=None if n is None else (n,), axes=(axis,), norm=norm)


def fftn(x: Any, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward") -> Any:
    """The discrete Fourier transform along several axes.

    Args:
        x: real or complex.
        s: the length along each axis, as `n` of `fft`; -1 for that of `x`.
        axes: along which axes; by default all, or the last `len(s)`.
        norm: see above.
    """
    return _transformed(x, s, axes, norm, inverse=False)


def ifftn(x: Any, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward") -> Any:
    """The inverse of `fftn`, with the same arguments."""
    return _transformed(x, s, axes, norm, inverse=True)


def _transformed(x: Any, s: Sequence[int] | None, axes: Axis, norm: str, *, inverse: bool) -> Any:
    chosen, lengths = _sizes(x, s, axes)
    for axis, length in zip(chosen, lengths, strict=True):
        x = x if length == -1 else _resized(x, axis, length)
    if not chosen:
        return astype(x, dtype=_complex(Spec(tuple(x.shape), x.dtype)).name)
    return _fftn(x, axes=tuple(chosen), norm=norm, inverse=inverse)


def rfft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The first n // 2 + 1 elements of the transform of real numbers; the others are their mirror image, conjugated.
    Arguments as for `fft`.
    """
    return _rfft(x if n is None else _resized(x, axis, n), axis=axis, norm=norm)


def irfft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of `rfft`: real.

    Args:
        x: the first half of a transform. Of its first element, and of the last if `n` is even, only the real part
            counts.
        n: length of the result along the axis; 2 (m - 1) for m elements by default.
        axis: along which axis.
        norm: see above.
    """
    axis = normalize_axis(axis, len(x.shape), op="irfft")
    length: int = 2 * (x.shape[axis] - 1) if n is None else n
    if length < 1:
        raise ShapeError(f"irfft: expected a length of at least 1, got {length} for axis {axis} of {tuple(x.shape)}")
    return _irfft(_resized(x, axis, length // 2 + 1), n=length, axis=axis, norm=norm)


def rfftn(x: Any, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward") -> Any:
    """`rfft` along the last of several axes, `fft` along the others; arguments as for `fftn`."""
    chosen, lengths = _sizes(x, s, axes)
    if not chosen:
        raise ShapeError("rfftn: expected at least one axis")
    half = rfft(x, n=None if lengths[-1] == -1 else lengths[-1], axis=chosen[-1], norm=norm)
    return fftn(half, s=lengths[:-1], axes=chosen[:-1], norm=norm)


def irfftn(x: Any, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward") -> Any:
    """The inverse of `rfftn`: real; `s` is the shape of the result along the axes."""
    chosen, lengths = _sizes(x, s, axes)
    if not chosen:
        raise ShapeError("irfftn: expected at least one axis")
    rest = ifftn(x, s=lengths[:-1], axes=chosen[:-1], norm=norm)
    return irfft(rest, n=None if lengths[-1] == -1 else lengths[-1], axis=chosen[-1], norm=norm)


def hfft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The transform of a signal that is its own mirror image, conjugated, from its first half: real. Arguments as for
    `irfft`.
    """
    return irfft(conjugate(x) if x.dtype.kind == "c" else x, n=n, axis=axis, norm=_opposite(norm))


def ihfft(x: Any, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of `hfft`: the first half of a signal from its real transform."""
    return conjugate(rfft(x, n=n, axis=axis, norm=_opposite(norm)))


def _opposite(norm: str) -> str:
    if norm not in _OPPOSITE:
        raise ConfigError(f"expected the norm 'backward', 'ortho' or 'forward', got {norm!r}")
    return _OPPOSITE[norm]
