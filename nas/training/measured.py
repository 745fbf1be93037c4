"""What is measured with a clock or a meter: only where a search asks for it, as no run gives the same figure twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core import Registry, derive_rng
from ..objectives import measure_latency, measure_peak_memory

if TYPE_CHECKING:
    from .folded_run import FoldedRun

# name -> figure of a training that is done
MEASURED: Registry[Callable[[FoldedRun], float]] = Registry("measured figure")


def _latency_ms(run: FoldedRun) -> float:
    return measure_latency(run.spec, device=run.device, rng=derive_rng(0, "latency")).median_ms


def _peak_memory_bytes(run: FoldedRun) -> float:
    return float(measure_peak_memory(run.spec, device=run.device, rng=derive_rng(0, "memory")))


MEASURED.add("train_seconds", lambda run: run.seconds)
MEASURED.add("latency_ms", _latency_ms)
MEASURED.add("peak_memory_bytes", _peak_memory_bytes)
