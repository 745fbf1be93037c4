"""Peak memory as it is: the most bytes that one inference holds at a time, its inputs included, its weights not.

On the CPU `tracemalloc` is asked, which NumPy tells of every array; small Python objects are in the figure, too, and
memory that a BLAS library keeps for itself is not. On a GPU it is how far CuPy's memory pool grows from empty.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core import Device, ModelSpec
from ...core.nn import Module
from .inference import ready


def measure_peak_memory(
    network: Module | ModelSpec,
    *,
    device: Device,
    rng: np.random.Generator,
    batch: int = 1,
    inputs: Sequence[np.ndarray[Any, Any]] | None = None,
) -> int:
    """The most bytes alive while a batch is computed.

    Args:
        network: a specification, which is built; or a module, which is switched to evaluation and moved to `device`.
        device: where to run.
        rng: of weights and inputs.
        batch: samples at once, >= 1.
        inputs: arrays (batch, ...) to run on; a module needs them.

    Raises:
        ConfigError: `batch` is below 1, or a module came without inputs.
    """
    infer, input_bytes = ready(network, device=device, batch=batch, rng=rng, inputs=inputs)
    infer()  # what is cached from the first run on is not part of an inference
    device.synchronize()
    return input_bytes + (_traced(infer) if device.kind == "cpu" else _pooled(infer, device))


def _traced(infer: Callable[[], None]) -> int:
    was_tracing = tracemalloc.is_tracing()
    gc.collect()
    if not was_tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        infer()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


def _pooled(infer: Callable[[], None], device: Device) -> int:
    pool = device.xp.get_default_memory_pool()
    with device.active():
        pool.free_all_blocks()
        before = int(pool.total_bytes())
        infer()
        device.synchronize()
        return int(pool.total_bytes()) - before
