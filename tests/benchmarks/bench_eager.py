"""Eager execution against PyTorch's, both on one thread in one process: dispatch, an MLP's step, Adam.

Run alone: `python tests/benchmarks/bench_eager.py`; PyTorch must be installed (extra: parity). Every figure is the
median of many runs of process CPU time, ours and theirs in turn. Prints one line per bar,
`BAR name value unit limit ok|short`, and exits with 1 if any is short. Takes about a minute on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from math import prod
from statistics import geometric_mean, median
from typing import Any

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # before NumPy and PyTorch are loaded

import numpy as np
import torch
import torch.nn.functional as F

from nasturtium.core import Tensor, grad, ops, optim

torch.set_num_threads(1)
Work = Callable[[], object]
CHAIN = 1000  # ops one after the other


def cpu_us(work: Work) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6


def interleaved(ours: Work, theirs: Work, *, rounds: int = 60) -> tuple[float, float]:
    """Median CPU time of each in microseconds, A B A B. Each runs once more before it is timed: both with warm caches,
    as in a training loop.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, own in zip((ours, theirs), times, strict=True):
            work()
            own.append(cpu_us(work))
    return median(times[0]), median(times[1])


def line(name: str, ours: float, theirs: float, *, per: int = 1) -> float:
    print(f"{name:<66} {ours / per:>8.2f} {theirs / per:>8.2f} us  {ours / theirs:.3f}x")
    return ours / theirs


def bar(name: str, value: float, limit: float) -> bool:
    met = value <= limit
    print(f"BAR {name} {value:.3f} x_torch <={limit:g} {'ok' if met else 'short'}")
    return met


# --- dispatch: what an op on 10 x 10 elements costs, forward and backward ---


SIDE = 10
Links = dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any], np.ndarray]]


def links() -> Links:
    """One link of a chain over h with a weight w: ours, theirs, and a weight under which a thousand links neither grow
    nor vanish (denormal numbers are slow in any library).
    """
    rng = np.random.default_rng(0)
    small = 0.001 * rng.standard_normal((SIDE, SIDE))
    turn, _ = np.linalg.qr(rng.standard_normal((SIDE, SIDE)))
    return {
        "h + w": (lambda h, w: h + w, lambda h, w: h + w, small),
        "h * w": (lambda h, w: h * w, lambda h, w: h * w, 1 + small),
        "h @ w": (lambda h, w: h @ w, lambda h, w: h @ w, turn),
        "tanh(h)": (lambda h, w: ops.tanh(h), lambda h, w: torch.tanh(h), small),
        "relu(h)": (lambda h, w: ops.relu(h), lambda h, w: torch.relu(h), small),
        "h.T": (lambda h, w: h.T, lambda h, w: h.T, small),
        "h.reshape(-1).reshape(10, 10)": (
            lambda h, w: h.reshape(-1).reshape(SIDE, SIDE),
            lambda h, w: h.reshape(-1).reshape(SIDE, SIDE),
            small,
        ),
    }


def dispatch(name: str) -> tuple[float, float]:
    """CPU time of a chain, forward and backward: a first product with w, then the links, then a sum."""
    own_link, torch_link, weight = links()[name]
    w, x = weight.astype(np.float32), np.ones((SIDE, SIDE), np.float32)
    own_w, torch_w = Tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    own_x, torch_x = Tensor(x), torch.tensor(x)

    def ours() -> None:
        h = own_x * own_w
        for _ in range(CHAIN):
            h = own_link(h, own_w)
        grad(h.sum(), [own_w])

    def theirs() -> None:
        torch_w.grad = None
        h = torch_x * torch_w
        for _ in range(CHAIN):
            h = torch_link(h, torch_w)
        h.sum().backward()

    return interleaved(ours, theirs, rounds=30)


# --- an MLP's training step: 64-128-128-10, 64 rows ---

SIZES = (64, 128, 128, 10)
ROWS = 64


def mlp_step(own_optimizer: optim.Optimizer, make_theirs: Callable[..., torch.optim.Optimizer]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal((o, i)) / np.sqrt(i)).astype(np.float32) for i, o in pairwise(SIZES)]
    start = [value for weight in weights for value in (weight, np.zeros(len(weight), np.float32))]
    x, y = rng.standard_normal((ROWS, SIZES[0])).astype(np.float32), rng.integers(0, SIZES[-1], ROWS)
    own = [Tensor(value, requires_grad=True) for value in start]
    state = own_optimizer.init(own)
    reference = [torch.tensor(value, requires_grad=True) for value in start]
    theirs_optimizer = make_theirs(reference)
    torch_x, torch_y = torch.tensor(x), torch.tensor(y)

    def ours() -> None:
        nonlocal state
        h = Tensor(x)
        for position in (0, 2, 4):
            h = ops.linear(h, own[position], own[position + 1])
            h = ops.relu(h) if position < 4 else h
        state = own_optimizer.step(state, grad(ops.cross_entropy(h, y), own))

    def theirs() -> None:
        theirs_optimizer.zero_grad()
        h = torch_x
        for position in (0, 2, 4):
            h = F.linear(h, reference[position], reference[position + 1])
            h = torch.relu(h) if position < 4 else h
        F.cross_entropy(h, torch_y).backward()
        theirs_optimizer.step()

    return interleaved(ours, theirs, rounds=200)


# --- Adam alone ---


def cell_network() -> list[tuple[int, ...]]:
    """A network of NAS-Bench-201's cells, 16 to 64 channels: many small tensors."""
    shapes: list[tuple[int, ...]] = []

    def block(inputs: int, outputs: int, kernel: int) -> None:
        shapes.extend([(outputs, inputs, kernel, kernel), (outputs,), (outputs,)])

    block(3, 16, 3)
    for stage, channels in enumerate((16, 32, 64)):
        if stage:
            block(channels // 2, channels, 3)
            block(channels, channels, 3)
            shapes.append((channels, channels // 2, 1, 1))
        for kernel in (3, 1, 3, 1):
            block(channels, channels, kernel)
    return [*shapes, (64,), (64,), (10, 64), (10,)]


def transformer() -> list[tuple[int, ...]]:
    """Two encoder layers of width 128: few tensors, most of them large."""
    layer = [
        (128,),
        (128,),
        (384, 128),
        (384,),
        (128, 128),
        (128,),
        (128,),
        (128,),
        (512, 128),
        (512,),
        (128, 512),
        (128,),
    ]
    return [*layer, *layer, (128,), (128,), (10, 128), (10,)]


def mlp() -> list[tuple[int, ...]]:
    return [(128, 64), (128,), (128, 128), (128,), (10, 128), (10,)]


def adam(shapes: list[tuple[int, ...]], **torch_options: bool) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    start, slope = ([rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(2))
    optimizer, gradients = optim.Adam(), [Tensor(value) for value in slope]
    state = optimizer.init([Tensor(value, requires_grad=True) for value in start])
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    for parameter, value in zip(parameters, slope, strict=True):
        parameter.grad = torch.tensor(value)
    theirs = torch.optim.Adam(parameters, lr=1e-3, **torch_options)

    def ours() -> None:
        nonlocal state
        state = optimizer.step(state, gradients)

    return interleaved(ours, theirs.step, rounds=100)


def main() -> int:
    print(f"{'':<66} {'ours':>8} {'torch':>8}")
    ratios = {name: line(f"{name}, 10 x 10, forward and backward", *dispatch(name), per=CHAIN) for name in links()}
    met = [bar("eager_dispatch_with_gradient", ratios["h + w"], 0.35)]
    mlp_with_sgd = mlp_step(optim.SGD(learning_rate=0.05), lambda p: torch.optim.SGD(p, lr=0.05))
    mlp_with_adam = mlp_step(optim.Adam(), lambda p: torch.optim.Adam(p, lr=1e-3))
    step = line("MLP 64-128-128-10, 64 rows: step with SGD", *mlp_with_sgd)
    line("MLP 64-128-128-10, 64 rows: step with Adam", *mlp_with_adam)
    met.append(bar("eager_mlp_step", step, 0.7))
    adams: list[float] = []
    for name, shapes in (("MLP", mlp()), ("cell network", cell_network()), ("transformer", transformer())):
        what = f"{name}, {len(shapes)} tensors, {sum(map(prod, shapes))} elements"
        adams.append(line(f"Adam: {what}", *adam(shapes)))
        line(f"Adam, theirs fused: {what}", *adam(shapes, fused=True))
    met.append(bar("eager_flat_adam_geometric_mean", geometric_mean(adams), 0.35))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
