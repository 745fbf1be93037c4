"""Federated searches on digits over four simulated sites, in a process of their own: how long, and how good.

python tests/benchmarks/federated_search.py many 100          # candidates of 3 rounds each
python tests/benchmarks/federated_search.py pair 20 0         # trials and a seed: the same search here and at sites
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SITES = {"clients": 4, "alpha": 1e6}  # a Dirichlet distribution with that concentration is an even split
CORES = 2
MANY_ROUNDS, TOGETHER = 3, 16
PAIR_ROUNDS, FINAL_ROUNDS = 10, 30


def measure(kind: str, *arguments: int) -> dict[str, Any]:
    """What a fresh process finds out."""
    command = [sys.executable, __file__, kind, *map(str, arguments)]
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}  # as the command line does
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def cpu_seconds() -> float:
    """Of this process and those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def many(candidates: int) -> Mapping[str, Any]:
    """Candidates that are all trained to the end, under encryption; model and test included."""
    from nasturtium.cli import library

    clock, cpu = time.perf_counter(), cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        found = library.federated_search(
            "digits",
            db=Path(folder, "history.db"),
            federation={**SITES, "rounds": FINAL_ROUNDS, "processes": CORES},
            trials=candidates,
            epochs=MANY_ROUNDS,
            workers=TOGETHER,
            scheduler="none",
        )
    return {
        "seconds": time.perf_counter() - clock,
        "cpu_s": cpu_seconds() - cpu,
        "trials_cpu_s": found.report.spent["trials_cpu_seconds"],
        "candidates": found.report.trials["searched"],
        "test_accuracy": found.test["accuracy"],
    }


def pair(trials: int, seed: int) -> Mapping[str, Any]:
    """The same space, strategy and number of trials, trained here and at the sites; both on the same test rows."""
    from nasturtium.cli import library
    from nasturtium.nas import EngineChoice

    with tempfile.TemporaryDirectory() as folder:
        same = {"db": Path(folder, "history.db"), "trials": trials, "seed": seed}
        started = time.process_time()
        central = library.search("digits", engine=EngineChoice(kind="here"), workers=8, **same)
        central_cpu_s = time.process_time() - started
        federated = library.federated_search(
            "digits", federation={**SITES, "rounds": FINAL_ROUNDS}, epochs=PAIR_ROUNDS, workers=8, **same
        )
        return {
            "central": central.test["accuracy"],
            "federated": federated.test["accuracy"],
            "central_cpu_s": central_cpu_s,
            "federated_cpu_s": time.process_time() - started - central_cpu_s,
            "test_rows": federated.report.rows["test"],
        }


if __name__ == "__main__":
    KINDS = {"many": many, "pair": pair}
    print(json.dumps(KINDS[sys.argv[1]](*map(int, sys.argv[2:]))))
