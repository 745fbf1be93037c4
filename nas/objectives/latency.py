"""Latency as it is: the median time of warm inferences on the chosen device and batch.

Every run is timed by itself with a monotonic clock, from an idle device to an idle device. While the runs are timed,
this thread stays on one processor where the system lets it, and the garbage collector waits. Measuring stops as soon
as the median is known well enough: when the half-width of its 95 % interval, 1.57 IQR / sqrt(n), is a small part of
it (McGill, Tukey & Larsen 1978, https://doi.org/10.2307/2683468).

A median of a few runs hardly moves when something else takes the processor for a moment; it does move when other
processes run all the time. A search that compares latencies should leave a processor free for the measurement.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...core import ConfigError, Device, ModelSpec
from ...core.nn import Module
from .inference import ready

_FEWEST_RUNS: Final = 10  # before the spread is looked at
_LOOK_EVERY: Final = 5
_NOTCH: Final = 1.57


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of one inference of a batch.

    Attributes:
        median_ms: milliseconds.
        iqr_ms: between the quartiles.
        runs: how many were timed.
    """

    median_ms: float
    iqr_ms: float
    runs: int


def measure_latency(
    network: Module | ModelSpec,
    *,
    device: Device,
    rng: np.random.Generator,
    batch: int = 1,
    warmup: int = 5,
    runs: int = 100,
    spread: float = 0.01,
    inputs: Sequence[np.ndarray[Any, Any]] | None = None,
) -> Latency:
    """Time inferences of a network.

    Args:
        network: a specification, which is built; or a module, which is switched to evaluation and moved to `device`.
        device: where to run.
        rng: of weights and inputs.
        batch: samples at once, >= 1.
        warmup: runs before the first that is timed, >= 1: caches fill, and kernels are compiled.
        runs: to time at most, >= 1.
        spread: stop after ten runs or more when the median is known this well, as a part of it; 0 never stops early.
        inputs: arrays (batch, ...) to run on; a module needs them.

    Raises:
        ConfigError: a number is out of range, or a module came without inputs.
    """
    if min(warmup, runs) < 1 or not 0 <= spread < 1:
        raise ConfigError(f"expected warmup and runs >= 1 and 0 <= spread < 1, got {warmup}, {runs} and {spread}")
    infer, _ = ready(network, device=device, batch=batch, rng=rng, inputs=inputs)
    for _ in range(warmup):
        infer()
    device.synchronize()
    times: list[int] = []
    with _undisturbed():
        while len(times) < runs:
            started = time.perf_counter_ns()
            infer()
            device.synchronize()
            times.append(time.perf_counter_ns() - started)
            if len(times) >= _FEWEST_RUNS and len(times) % _LOOK_EVERY == 0 and is_known(times, spread):
                break
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    return Latency(median / 1e6, (high - low) / 1e6, len(times))


def is_known(times: Sequence[float], spread: float) -> bool:
    """Whether the half-width of the median's 95 % interval is at most the part `spread` of it, and not by `spread` 0.

    Source: McGill, Tukey & Larsen 1978, variations of box plots.
    """
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    return spread > 0 and _NOTCH * (high - low) / len(times) ** 0.5 <= spread * median


@contextmanager
def _undisturbed() -> Generator[None]:
    """Keep this thread on the processor it is on, and the garbage collector away; as before afterwards."""
    collecting = gc.isenabled()
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    gc.disable()
    try:
        if before is not None:
            # A C library without the call, one that does not know, a container that does not let us.
            with suppress(AttributeError, ValueError, OSError):
                os.sched_setaffinity(0, {ctypes.CDLL(None).sched_getcpu()})
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.sched_setaffinity(0, before)
        if collecting:
            gc.enable()
