"""The main job on digits: accuracy and time of a search, of a federated run, and what encryption changes.

Run alone: `python tests/benchmarks/bench_main_job.py`. Prints one line per bar, `BAR name value unit limit ok|short`,
and exits with 1 if any is short. Takes about three minutes on two cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

import numpy as np

from nasturtium import federate, search
from nasturtium.core import ParameterLayout, load_model


def bar(name: str, value: float, unit: str, limit: float, *, at_least: bool) -> bool:
    met = value >= limit if at_least else value <= limit
    print(f"BAR {name} {value:.6g} {unit} {'>=' if at_least else '<='}{limit:g} {'ok' if met else 'short'}")
    return met


def weights(folder: Path) -> np.ndarray:
    model = load_model(folder).model
    return ParameterLayout.of(model).flatten(model.state())


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.db"
        started, cpu = time.perf_counter(), time.process_time()
        found = search("digits", trials=20, seed=0, db=database)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"search: {wall:.1f} s wall, {cpu:.1f} s CPU, trial {found.best.number + 1} won")
        runs = {}
        for scheme in ("packed", "plain"):
            started = time.perf_counter()
            runs[scheme] = federate("digits", clients=4, rounds=20, seed=0, scheme=scheme, db=database)
            print(f"federate under {scheme}: {time.perf_counter() - started:.1f} s wall")
        difference = float(np.abs(weights(runs["packed"].model) - weights(runs["plain"].model)).max())
        met = [
            bar("search_digits_test_accuracy", found.test["accuracy"], "fraction", 0.97, at_least=True),
            bar("search_digits_wall", wall, "s", 180, at_least=False),
            bar("federated_digits_test_accuracy", runs["packed"].test.accuracy, "fraction", 0.90, at_least=True),
            bar("encrypted_minus_plain_weights", difference, "max_abs", 0, at_least=False),
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
