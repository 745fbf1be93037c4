"""Searching: what strategies find on tables, the broker's rate, and real tasks against simple models.

    python tests/benchmarks/bench_nas.py [--seeds 50] [--splits 10] [--seconds 60] [--trials 10000] [--only tables ...]

All of it takes about two hours on two cores; `--only tables`, `fronts`, `runner` or `tasks` does a part. Ends with one
line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
sys.path.insert(0, str(Path(__file__).parent))

import nas_runner
import nas_tables
import nas_tasks

PEERS = ("random", "tpe", "evolution")
JUDGED = (25, 50, 100)  # evaluations
PARTS = ("tables", "fronts", "runner", "tasks")


def bar(name: str, value: float, unit: str, limit: float) -> bool:
    """Print a bar that is met from `limit` on upwards."""
    met = value >= limit
    print(f"BAR {name} {value:.4f} {unit} >={limit:.4f} {'ok' if met else 'short'}", flush=True)
    return met


def tables(seeds: int) -> bool:
    """The default strategy against random search, Optuna's TPE and regularised evolution."""
    met: list[bool] = []
    for name in nas_tables.TABLES:
        found: dict[str, nas_tables.Figure] = {}
        for figure in nas_tables.compare(name, ("predictor", *PEERS), seeds):
            found[figure.strategy] = figure
            print(nas_tables.shown(figure), flush=True)
        for evaluations in JUDGED:
            place = nas_tables.CHECKPOINTS.index(evaluations)
            peer = max(found[peer].means[place] for peer in PEERS)
            met.append(bar(f"nas_{name}_{evaluations}", found["predictor"].means[place], "accuracy", peer))
    return all(met)


def fronts(seeds: int) -> bool:
    """Hypervolume of two objectives, as a part of the true front's."""
    found = list(nas_tables.compare_fronts(("predictor", "mo-evolution", "nsga2", "tpe", "random"), seeds))
    for figure in found:
        print(nas_tables.shown(figure), flush=True)
    return bar("nas_hypervolume_150", found[0].means[nas_tables.CHECKPOINTS.index(150)], "of_the_front", 0.97)


def runner(trials: int) -> bool:
    """The broker with eight processes and an evaluator that costs nothing."""
    rate = nas_runner.measure_throughput(trials)
    print(f"  {rate}")
    flat = rate.last_tenth / rate.first_tenth
    return bar("nas_trials_a_second", rate.per_second, "1/s", 200) & bar("nas_flat", flat, "last/first", 0.8)


def tasks(splits: int, seconds: float) -> bool:
    """Real tasks; see `nas_tasks`."""
    met: list[bool] = []
    for name, task in nas_tasks.TASKS.items():
        results = []
        for split in range(splits):
            results.append(nas_tasks.run_split(task, split, seconds))
            print(f"  {name}, split {split}: {results[-1]}", flush=True)
        met.append(nas_tasks.bars(task, results, seconds))
    return all(met)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=nas_tasks.SECONDS)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    parts = {
        "tables": lambda: tables(given.seeds),
        "fronts": lambda: fronts(given.seeds),
        "runner": lambda: runner(given.trials),
        "tasks": lambda: tasks(given.splits, given.seconds),
    }
    met = [parts[name]() for name in given.only]  # all of them, also after one that is short
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
