"""Fused native kernels against PyTorch's eager ops, both on one thread in one process.

Run alone: `python tests/benchmarks/bench_fused.py`; PyTorch and llvmlite must be installed (extras: parity, compiler).
Every figure is the median of many runs of process CPU time, ours and theirs in turn. Prints one line per bar,
`BAR name value unit limit ok|short`, and exits with 1 if any is short. Takes about a minute on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # before NumPy and PyTorch are loaded

import numpy as np
import torch
import torch.nn.functional as F

from nasturtium.core.compiler.llvm import activations, attention, loss, normalisation
from nasturtium.core.compiler.llvm.cache import KernelCache
from nasturtium.core.compiler.llvm.engine import Engine
from nasturtium.core.compiler.llvm.formula import SHARDS, Formula
from nasturtium.core.compiler.llvm.fusion import Rows, Where, fuse
from nasturtium.core.compiler.llvm.launch import Images
from nasturtium.core.compiler.llvm.optimizers import step_pattern
from nasturtium.core.compiler.llvm.pool import Pool
from nasturtium.core.compiler.llvm.program import Pointer, Program, call
from nasturtium.core.compiler.llvm.step import Step

torch.set_num_threads(1)
Work = Callable[[], object]
ROUNDS = 30
RNG = np.random.default_rng(0)
ENGINE = Engine()
CACHE = KernelCache(ENGINE)
POOL = Pool(CACHE, 1)


def aligned(*shape: int) -> np.ndarray:
    """Normal numbers that begin at a cache line."""
    size = int(np.prod(shape))
    memory = np.empty(size + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    array = memory[start : start + size].reshape(shape)
    array[...] = RNG.normal(size=shape)
    return array


def native(
    f: Formula, shape: tuple[int, ...], given: dict[str, np.ndarray | float]
) -> tuple[Work, dict[str, np.ndarray]]:
    """A formula over (..., channels) as a program of one kernel, and the memory of all operands."""
    pattern, channels = f.pattern(), shape[-1]
    grid = (1, 1, int(np.prod(shape[:-1])), channels)
    where: dict[str, Where] = {}
    memory: dict[str, np.ndarray] = {}
    for operand in pattern.operands:
        if operand.layout == "number":
            where[operand.name] = float(given[operand.name])
            continue
        full = operand.layout in ("full", "pixel")
        width = channels if operand.layout == "full" else 1
        where[operand.name] = Images.dense(1, 1, grid[2], width) if full else Rows(channels)
        made = {"full": shape, "partials": (SHARDS, channels), "total": (SHARDS,)}.get(operand.layout, (channels,))
        memory[operand.name] = np.asarray(given[operand.name]) if operand.name in given else aligned(*made)
    fused = fuse(ENGINE.target, pattern, grid, where)
    memory["scratch"] = aligned(max(fused.launch.scratch, 1))
    pointers = {name: Pointer(name, 4 * offset) for name, offset in fused.launch.offsets.items()}
    program = Program([call(fused.launch.kernel, **fused.launch.numbers, **pointers)], CACHE, POOL)
    for name, array in memory.items():
        program.bind(name, array.ctypes.data, array)
    return program.run, memory


def compared(name: str, ours: Work, theirs: Work, limit: float | None = None) -> bool:
    """A line, and whether its bar is met: theirs takes `limit` times as long."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, own in zip((ours, theirs), times, strict=True):
            work()
            started = time.process_time()
            work()
            own.append((time.process_time() - started) * 1e6)
    mine, other = median(times[0]), median(times[1])
    print(f"{name:<58} {mine:>10.1f} {other:>10.1f} us  {other / mine:.2f}x")
    if limit is not None:
        print(f"BAR {name} {other / mine:.2f} x_torch >={limit:g} {'ok' if other / mine >= limit else 'short'}")
    return limit is None or other / mine >= limit


def gelu_and_layer_norm() -> bool:
    """Forward and backward of layer_norm(gelu(x * a + b)) over 32 x 1024 x 256, as two kernels."""
    shape = (32, 1024, 256)
    given = {"x": aligned(*shape), "g": aligned(*shape), **{name: aligned(256) for name in "abwc"}}
    f = Formula()
    u = f.full("x") * f.channel("a") + f.channel("b")
    of = normalisation.standardise_row(activations.gelu(u), 1e-5)
    f.store("y", of.affine(f.channel("w"), f.channel("c")))
    forward, _ = native(f, shape, given)
    f = Formula()
    x, g = f.full("x"), f.full("g")
    u = x * f.channel("a") + f.channel("b")
    of = normalisation.standardise_row(activations.gelu(u), 1e-5)
    du = normalisation.standardise_row_gradient(g * f.channel("w"), of) * activations.gelu_slope(u)
    f.store("dx", du * f.channel("a"))
    for name, term in (("da", du * x), ("db", du), ("dw", g * of.value), ("dc", g)):
        f.channel_sum(name, term)
    backward, _ = native(f, shape, given)
    leaves = {name: torch.tensor(given[name], requires_grad=name != "g") for name in given}

    def theirs() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        y = F.layer_norm(F.gelu(leaves["x"] * leaves["a"] + leaves["b"]), (256,), leaves["w"], leaves["c"])
        y.backward(leaves["g"])

    return compared("layer_norm(gelu(x a + b)) 32x1024x256, with gradients", lambda: (forward(), backward()), theirs, 5)


def rows() -> list[bool]:
    """Softmax, layer norm and cross-entropy by themselves."""
    shape = (128, 64, 64)
    f = Formula()
    f.store("y", attention.softmax(f.full("x")))
    softmax, memory = native(f, shape, {})
    x = torch.tensor(memory["x"])
    results = [compared("softmax 8192 x 64", softmax, lambda: torch.softmax(x, -1), 1)]
    f = Formula()
    f.store("y", normalisation.standardise_row(f.full("x"), 1e-5).affine(f.channel("w"), f.channel("b")))
    norm, memory = native(f, (2048, 128), {})
    z, w, b = (torch.tensor(memory[name]) for name in ("x", "w", "b"))
    results.append(compared("layer_norm 2048 x 128", norm, lambda: F.layer_norm(z, (128,), w, b), 1))
    f = Formula()
    of = loss.cross_entropy(f, f.full("x"), f.pixel("labels", "i64"), scale=1 / 64)
    f.total_sum("loss", of.row)
    f.store("dx", of.gradient)
    labels = RNG.integers(0, 10, 64)
    entropy, memory = native(f, (64, 10), {"labels": labels})
    logits, classes = torch.tensor(memory["x"], requires_grad=True), torch.tensor(labels)
    both = lambda: F.cross_entropy(logits, classes).backward()  # noqa: E731
    return [*results, compared("cross_entropy 64 x 10, with gradient", entropy, both, 5)]


def images() -> bool:
    """Batch norm's second half: standardise by known statistics, scale, shift, rectify."""
    shape, channels = (64, 32, 32, 16), 16
    f = Formula()
    of = normalisation.standardise_by(f.full("x"), f.channel("mean"), f.channel("variance"), 1e-5)
    f.store("y", of.affine(f.channel("w"), f.channel("b")).relu())
    given = {"variance": np.abs(aligned(channels)) + 0.1}
    apply, memory = native(f, shape, given)
    x = torch.tensor(memory["x"]).permute(0, 3, 1, 2)
    mean, variance, w, b = (torch.tensor(memory[name]) for name in ("mean", "variance", "w", "b"))
    theirs = lambda: F.relu(F.batch_norm(x, mean, variance, w, b))  # noqa: E731
    return compared("relu(batch_norm) 64x32x32x16, known statistics", apply, theirs, 1)


def adam() -> bool:
    """A step over 398,090 parameters in one vector, against PyTorch's fused one."""
    count = 398_090
    f_pattern = step_pattern(Step(method="adam"))
    numbers = {"rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "correction": 1.0}
    arrays = {name: np.abs(aligned(count)) for name in ("parameters", "gradient", "first", "second")}
    where: dict[str, Where] = {name: Images.dense(1, 1, count, 1) for name in arrays}
    fused = fuse(ENGINE.target, f_pattern, (1, 1, count, 1), {**where, **numbers})
    pointers = {name: Pointer(name) for name in fused.launch.offsets}
    program = Program([call(fused.launch.kernel, **fused.launch.numbers, **pointers)], CACHE, POOL)
    for name, array in arrays.items():
        program.bind(name, array.ctypes.data, array)
    parameter = torch.nn.Parameter(torch.tensor(arrays["parameters"]))
    parameter.grad = torch.tensor(arrays["gradient"])
    optimiser = torch.optim.Adam([parameter], fused=True)
    return compared("Adam, 398,090 parameters in one vector (fused)", program.run, optimiser.step, 1)


def main() -> int:
    met = [gelu_and_layer_norm(), *rows(), images(), adam()]
    POOL.close()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
