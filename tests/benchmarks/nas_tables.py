"""Strategies on lookup tables: what is found after 10, 25, 50, 100 and 150 evaluations, and the front's hypervolume.

    python tests/benchmarks/nas_tables.py [--seeds 50] [--strategies predictor random tpe evolution local]

The tables: `digits`, trained (tests/nas/data); `smooth`, `rugged` and `noisy`, made up so that what random, local and
evolutionary search find on them is about what they find on NAS-Bench-201; `pair`, accuracy of `rugged` against a cost
that is nearly a sum over the operations.

The strategy `gp-hamming`, which is only here, is a plain Gaussian process: what a predictor has to beat.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import norm

from nasturtium.nas.cells import NB201_EDGES, NB201_OPS, nb201_cell
from nasturtium.nas.objectives import hypervolume, pareto_front
from nasturtium.nas.space import Cell, Chain, Incoming, Outputs, Space, layers, load_space
from nasturtium.nas.tables import TASK, search_table

DATA = Path(__file__).parents[1] / "nas" / "data" / "digits_nb201.npz"
CHECKPOINTS = (10, 25, 50, 100, 150)
HAMMING = "gp-hamming"
STRATEGIES = ("predictor", "random", "tpe", "evolution", "local", HAMMING)
EVERY = list(product(range(5), repeat=6))
# Validation accuracy after 12 epochs on CIFAR-10 of the benchmark's cells, for the shape of the tables made up here:
# the best is 84.89, the mean best of 10, 25, ... random ones as below, and cells without a way through are at chance.
BEST_OF = {10: 80.65, 25: 82.45, 50: 83.21, 100: 83.70, 150: 83.90, 200: 84.02, 300: 84.16, 500: 84.30}
BEST, CHANCE = 84.89, 10.0


@dataclass(frozen=True)
class Figure:
    """One strategy on one table: means over the seeds at the checkpoints."""

    table: str
    strategy: str
    means: tuple[float, ...]
    errors: tuple[float, ...]
    best: float
    seconds: float


def cell_space() -> Space:
    """Networks of one cell of the operations without pooling: those of the trained table."""
    operations = {
        NB201_OPS[0]: Chain(),
        NB201_OPS[1]: Chain(),
        NB201_OPS[2]: layers.conv2d(out_channels=Incoming(), kernel=1),
        NB201_OPS[3]: layers.conv2d(out_channels=Incoming(), kernel=3),
    }
    head = (layers.global_avg_pool(), layers.linear(out_features=Outputs()))
    return Space("cell", TASK, Chain(Cell(4, operations, name="cell"), *head), total=True)


@cache
def benchmark_space() -> Space:
    """All cells of NAS-Bench-201; the same object for all tables, so that it is prepared once."""
    return load_space("nb201", TASK)


def digits_table() -> dict[tuple[int, ...], float]:
    """Validation accuracy in per cent of each distinct cell without pooling on noisy digits."""
    with np.load(DATA) as file:
        return {tuple(ops.tolist()): float(y) for ops, y in zip(file["ops"], file["val_accuracy"], strict=True)}


def synthetic_table(seed: int, *, noise: float, rugged: float) -> dict[tuple[int, ...], float]:
    """A landscape over all 15,625 cells.

    Args:
        seed: of the landscape.
        noise: standard deviation of what each cell has for itself, in those of the scores.
        rugged: the same of random interactions of pairs and triples of operations.
    """
    rng = np.random.default_rng(seed)
    ops = np.array(EVERY)
    zero = np.array([nb201_cell([NB201_OPS[op] for op in cell]).expression == "0" for cell in EVERY])
    gains = np.array([0.0, 0.0, rng.uniform(0.45, 0.7), 1.0, -rng.uniform(0.05, 0.35)])
    capacity, depth = np.full((len(ops), 4), -np.inf), np.full((len(ops), 4), -np.inf)
    capacity[:, 0] = depth[:, 0] = 0.0
    for place, (i, j) in enumerate(NB201_EDGES):
        op = ops[:, place]
        along = np.where(op > 0, capacity[:, i] + gains[op] * 0.85 ** np.maximum(depth[:, i], 0.0), -np.inf)
        capacity[:, j] = np.logaddexp(capacity[:, j] / 0.35, along / 0.35) * 0.35
        depth[:, j] = np.maximum(depth[:, j], np.where(op > 0, depth[:, i] + ((op == 2) | (op == 3)), -np.inf))
    residual = (ops[:, 3] == 1) & (depth[:, 3] >= 2)
    score = np.where(zero, 0.0, capacity[:, 3]) + rng.uniform(0.1, 0.35) * residual
    score += (rng.normal(size=(6, 5)) * 0.12)[np.arange(6), ops].sum(axis=1) - 0.06 * (ops == 4).sum(axis=1)
    score = (score - score[~zero].mean()) / score[~zero].std()
    interactions = np.zeros(len(ops))
    for a, b, c in product(range(6), repeat=3):
        if a < b < c:
            interactions += rng.normal(size=(5, 5, 5))[ops[:, a], ops[:, b], ops[:, c]]
    score += rugged * interactions / interactions.std() + noise * rng.normal(size=len(ops))
    score[zero] = -np.inf
    part = (np.argsort(np.argsort(score)) + 0.5) / len(score)
    known = [zero.mean(), zero.mean() + 0.03, 0.3, 0.6, *(1 - 0.56 / n for n in BEST_OF), 1 - 0.5 / len(score)]
    lift = np.array([0.01, 0.35, 0.78, 0.91]) * (BEST_OF[10] - CHANCE)
    values = np.interp(-np.log(1 - part), -np.log(1 - np.array(known)), [*(CHANCE + lift), *BEST_OF.values(), BEST])
    return dict(zip(EVERY, np.where(zero, CHANCE, values).tolist(), strict=True))


def pair_table(accuracy: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], dict[str, float]]:
    """An accuracy and a cost in milliseconds of each network: equal cells, however they are written, have the same of
    both, and operations that lead nowhere cost nothing.
    """
    rng = np.random.default_rng(5)
    each = np.array([0.0, 0.05, 0.6, 1.6, 0.9])
    shortest: dict[str, tuple[int, ...]] = {}  # by identity the way to write it that costs least
    for cell in accuracy:
        key = nb201_cell([NB201_OPS[op] for op in cell]).key
        if key not in shortest or each[list(cell)].sum() < each[list(shortest[key])].sum():
            shortest[key] = cell
    rows = {
        key: {"accuracy": accuracy[cell], "cost": 4 + float(each[list(cell)].sum()) + 0.15 * float(rng.normal())}
        for key, cell in shortest.items()
    }
    return {cell: rows[nb201_cell([NB201_OPS[op] for op in cell]).key] for cell in accuracy}


class HammingProcess:
    """Expected improvement under a Gaussian process over how many operations differ; ten random cells first.

    Covariance exp(-differing / length) of the standardised accuracies; length and noise are the likeliest of a grid.
    """

    def __init__(self, table: dict[tuple[int, ...], float], space: Space) -> None:
        leaves = space.leaves()
        found: dict[str, list[tuple[int, ...]]] = {}
        ops: list[list[int]] = []
        for key in table:
            point = {path: leaf.values[op] for (path, leaf), op in zip(leaves.items(), key, strict=True)}
            members = found.setdefault(space.identity(point), [])
            if not members:
                canonical = space.canonical(point)
                ops.append([leaf.values.index(canonical[path]) for path, leaf in leaves.items()])
            members.append(key)
        self._table, self._members, self._ops = table, list(found.values()), np.array(ops)

    def best_so_far(self, budget: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        tried: list[int] = rng.permutation(len(self._ops))[:10].tolist()
        values = [self._value(place, rng) for place in tried]
        differing = np.stack([self._differing(place) for place in tried], axis=1)
        while len(tried) < budget:
            targets = (np.array(values) - np.mean(values)) / (np.std(values) or 1.0)
            grid = product((1.0, 2.0, 4.0, 8.0), (1e-3, 1e-2, 1e-1))
            length, noise = max(grid, key=lambda each: _evidence(differing[tried], targets, *each))
            near = np.exp(-differing / length)
            inverse = np.linalg.inv(near[tried] + noise * np.eye(len(tried)))
            mean = near @ (inverse @ targets)
            deviation = np.sqrt(np.maximum(1 - ((near @ inverse) * near).sum(axis=1), 1e-9))
            distance = (mean - targets.max()) / deviation
            improvement = deviation * (distance * norm.cdf(distance) + norm.pdf(distance))
            improvement[tried] = -1.0
            tried.append(int(improvement.argmax()))
            values.append(self._value(tried[-1], rng))
            differing = np.column_stack([differing, self._differing(tried[-1])])
        return np.maximum.accumulate(values)

    def _value(self, place: int, rng: np.random.Generator) -> float:
        members = self._members[place]
        return self._table[members[rng.integers(len(members))]]

    def _differing(self, place: int) -> np.ndarray:
        return (self._ops != self._ops[place]).sum(axis=1)


def _evidence(differing: np.ndarray, targets: np.ndarray, length: float, noise: float) -> float:
    covariance = np.exp(-differing / length) + noise * np.eye(len(targets))
    return -targets @ np.linalg.solve(covariance, targets) - np.linalg.slogdet(covariance)[1]


def compare(table_name: str, strategies: Sequence[str], seeds: int) -> Iterator[Figure]:
    """One objective: the best accuracy so far."""
    table = TABLES[table_name]()
    space = cell_space() if table_name == "digits" else benchmark_space()
    for strategy in strategies:
        start = time.process_time()
        if strategy == HAMMING:
            process = HammingProcess(table, space)
            curves = [process.best_so_far(CHECKPOINTS[-1], seed) for seed in range(seeds)]
        else:
            curves = [search_table(table, strategy, CHECKPOINTS[-1], s, space=space).best_so_far for s in range(seeds)]
        yield _figure(table_name, strategy, curves, max(table.values()), time.process_time() - start)


def compare_fronts(strategies: Sequence[str], seeds: int) -> Iterator[Figure]:
    """Two objectives: the part of the true front's hypervolume."""
    table = pair_table(TABLES["rugged"]())
    goals = {"accuracy": "maximize", "cost": "minimize"}
    points = np.array([[row["accuracy"], row["cost"]] for row in table.values()])
    reference = (points[:, 0].min(), points[:, 1].max())
    directions = ("maximize", "minimize")
    whole = hypervolume(points[pareto_front(points, directions)], reference, directions)
    for strategy in strategies:
        start = time.process_time()
        curves: list[Sequence[float]] = []
        for seed in range(seeds):
            found = search_table(table, strategy, CHECKPOINTS[-1], seed, space=benchmark_space(), objectives=goals)
            curves.append([volume / whole for volume in found.hypervolumes(reference)])
        yield _figure("pair", strategy, curves, 1.0, time.process_time() - start)


def _figure(table: str, strategy: str, curves: Sequence[Sequence[float]], best: float, seconds: float) -> Figure:
    at = np.array([[curve[min(n, len(curve)) - 1] for n in CHECKPOINTS] for curve in curves])
    errors = at.std(axis=0) / np.sqrt(len(at))
    return Figure(table, strategy, tuple(at.mean(axis=0).tolist()), tuple(errors.tolist()), best, seconds / len(at))


TABLES = {
    "digits": digits_table,
    "smooth": lambda: synthetic_table(1, noise=0.2, rugged=0.0),
    "rugged": lambda: synthetic_table(2, noise=0.35, rugged=0.3),
    "noisy": lambda: synthetic_table(3, noise=0.5, rugged=0.0),
}


def shown(figure: Figure) -> str:
    """A line of the report."""
    cells = "  ".join(f"{mean:8.3f}" for mean in figure.means)
    return f"{figure.table:8} {figure.strategy:14} {cells}   +-{figure.errors[3]:.3f}  {figure.seconds:6.1f} s"


def main() -> None:
    """Print the means at the checkpoints, the standard error at 100, and the CPU time of a search of 150."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--tables", nargs="+", default=(*TABLES, "pair"))
    options = parser.parse_args()
    print(f"{'':23} {'  '.join(f'{n:8}' for n in CHECKPOINTS)}")
    for name in options.tables:
        if name == "pair":
            able = [s if s not in ("evolution", "local", HAMMING) else "mo-evolution" for s in options.strategies]
            figures = compare_fronts(list(dict.fromkeys(able)), options.seeds)
        else:
            figures = compare(name, options.strategies, options.seeds)
        for figure in figures:
            print(shown(figure), flush=True)


if __name__ == "__main__":
    main()
