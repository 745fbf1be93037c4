"""The CUDA kernels behind `core/random.py`, from the sources beside this file; the references are NumPy's path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..philox import host_bits, host_normal, host_uniform
from .kernel import KERNELS, CudaKernel

# Two roundings where the source has two operations, as NumPy has: the numbers agree in every bit.
EXACT = ("--fmad=false",)


def _declare(
    function: str, *files: str, reference: Callable[..., None], types: Mapping[str, str] | None = None
) -> None:
    here = Path(__file__).parent
    source = "\n".join((here / file).read_text(encoding="utf-8") for file in files)
    kernel = CudaKernel(source, function, reference=reference, types=types, options=EXACT)
    KERNELS.add(kernel.name, kernel)


def _bits(key0: int, key1: int, out: np.ndarray, n: int) -> None:
    out[:] = host_bits((int(key0), int(key1)), int(n), np.dtype(np.uint64))


def _uniform(key0: int, key1: int, out: np.ndarray, n: int) -> None:
    out[:] = host_uniform((int(key0), int(key1)), int(n), out.dtype)


def _normal(key0: int, key1: int, out: np.ndarray, n: int) -> None:
    out[:] = host_normal((int(key0), int(key1)), int(n), out.dtype)


def _below(lane: type[np.unsignedinteger[Any]]) -> Callable[..., None]:
    def reference(key0: int, key1: int, threshold: int, out: np.ndarray, n: int) -> None:
        out[:] = host_bits((int(key0), int(key1)), int(n), np.dtype(lane)) < int(threshold)

    return reference


_declare("philox_bits", "philox.cu", reference=_bits)
for _dtype in ("float32", "float64"):
    _declare("philox_uniform", "philox.cu", "philox_real.cu", reference=_uniform, types={"T": _dtype})
    _declare("philox_normal", "philox.cu", "philox_real.cu", reference=_normal, types={"T": _dtype})
for _lane in (np.uint16, np.uint32):
    _declare("philox_below", "philox.cu", "philox_below.cu", reference=_below(_lane), types={"T": np.dtype(_lane).name})
