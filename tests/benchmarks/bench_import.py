"""What importing costs: CPU time beyond NumPy's own import, and resident memory.

Run alone: `python tests/benchmarks/bench_import.py`. Every figure is the median over fresh processes, taken in turn.
Prints one line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short. Takes half a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

ROUNDS = 15
HEAVY = ("cupy", "flwr", "optuna", "tenseal", "sqlalchemy", "llvmlite", "sklearn", "polars", "torch", "PIL")
PROBE = """
import sys, time, resource
{statement}
print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(*[m for m in {heavy} if m in sys.modules])
"""
STATEMENTS = {
    "numpy": "import numpy",
    "nasturtium": "import nasturtium",
    "numpy and nasturtium": "import numpy, nasturtium",
    "a tensor": "from nasturtium import Tensor; Tensor([1.0]) + 1.0",
    "the core": "from nasturtium.core import Tensor, Trainer, nn, optim",
    "torch": "import torch",
}


def probe(statement: str, environment: dict[str, str]) -> tuple[float, float, list[str]]:
    """CPU seconds, resident MB, and what heavy libraries were loaded."""
    code = PROBE.format(statement=statement, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return float("nan"), float("nan"), []
    seconds, megabytes, *loaded = done.stdout.split()
    return float(seconds), float(megabytes), loaded


def bar(name: str, value: float, unit: str, limit: float) -> bool:
    met = value <= limit
    print(f"BAR {name} {value:.4g} {unit} <={limit:g} {'ok' if met else 'short'}")
    return met


def main() -> int:
    samples: dict[str, list[tuple[float, float, list[str]]]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        # Compiled once, as an installed package is, and not into this checkout.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for statement in STATEMENTS.values():
            probe(statement, environment)
        for _ in range(ROUNDS):
            for name, statement in STATEMENTS.items():
                samples[name].append(probe(statement, environment))
    seconds = {name: median(s[0] for s in rows) for name, rows in samples.items()}
    megabytes = {name: median(s[1] for s in rows) for name, rows in samples.items()}
    for name in STATEMENTS:
        print(f"{name:<22} {seconds[name]:.3f} s CPU {megabytes[name]:6.1f} MB")
    loaded = sorted({module for name in STATEMENTS if name != "torch" for row in samples[name] for module in row[2]})
    print(f"heavy libraries loaded: {', '.join(loaded) or 'none'}")
    met = [
        bar("import_beyond_numpy", seconds["numpy and nasturtium"] - seconds["numpy"], "s", 0.12),
        bar("import_first_tensor_beyond_numpy", seconds["a tensor"] - seconds["numpy"], "s", 0.12),
        bar("import_memory", megabytes["numpy and nasturtium"], "MB", 60),
        bar("import_core_memory", megabytes["the core"], "MB", 60),
        bar("import_heavy_libraries", len(loaded), "libraries", 0),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
