"""The extension of Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .. import ops
from ..creation import DeviceLike, DTypeLike
from ..device import device as resolve
from ..errors import ConfigError, DTypeError
from ..shapes import as_dtype, is_floating, normalize_axes
from ..tensor import Tensor, wrap
from .dtypes import float32

Norm = Literal["backward", "ortho", "forward"]


def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The discrete Fourier transform along one axis."""
    return ops.fft(x, n=n, axis=axis, norm=norm)


def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of `fft`."""
    return ops.ifft(x, n=n, axis=axis, norm=norm)


def fftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Tensor:
    """The discrete Fourier transform along several axes."""
    return ops.fftn(x, s=s, axes=axes, norm=norm)


def ifftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Tensor:
    """The inverse of `fftn`."""
    return ops.ifftn(x, s=s, axes=axes, norm=norm)


def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The discrete Fourier transform of real numbers, its first half: the other is its mirror image."""
    return ops.rfft(x, n=n, axis=axis, norm=norm)


def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of `rfft`."""
    return ops.irfft(x, n=n, axis=axis, norm=norm)


def rfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Tensor:
    """`rfft` along the last of several axes, `fft` along the others."""
    return ops.rfftn(x, s=s, axes=axes, norm=norm)


def irfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Norm = "backward"
) -> Tensor:
    """The inverse of `rfftn`."""
    return ops.irfftn(x, s=s, axes=axes, norm=norm)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The transform of a signal that is its own mirror image, given by its first half: real."""
    return ops.hfft(x, n=n, axis=axis, norm=norm)


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of `hfft`."""
    return ops.ihfft(x, n=n, axis=axis, norm=norm)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """The frequencies of `fft` of `n` samples that lie `d` apart, in cycles per unit of `d`: the negative ones last."""
    return _frequencies(np.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """The frequencies of `rfft` of `n` samples that lie `d` apart, in cycles per unit of `d`: none negative."""
    return _frequencies(np.fft.rfftfreq, n, d, dtype, device)


def _frequencies(
    function: Callable[[int, float], Any], n: int, d: float, dtype: DTypeLike, device: DeviceLike
) -> Tensor:
    kind = float32 if dtype is None else as_dtype(dtype)
    if not is_floating(kind):
        raise DTypeError(f"frequencies are real numbers: expected a floating dtype, got {kind}")
    if n < 1 or not d:
        raise ConfigError(f"expected n >= 1 samples that lie d != 0 apart, got n={n} and d={d}")
    return wrap(resolve(device).put(function(n, d).astype(kind)))


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Frequency 0 moved to the middle of each of `axes`; None means all."""
    return _shifted(x, axes, 1)


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted(x, axes, -1)


def _shifted(x: Tensor, axes: int | Sequence[int] | None, sign: int) -> Tensor:
    along = normalize_axes(axes, x.ndim, op="fftshift")
    return ops.roll(x, tuple(sign * (x.shape[axis] // 2) for axis in along), axis=along)
