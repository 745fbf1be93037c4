"""Federations: simulated clients against Flower's own simulation.

    python tests/benchmarks/bench_federated.py [--only simulation ...]

Ends with one line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short. Measurements are
made in processes of their own, one after the other; `federated_simulation` says how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import federated_simulation

GB = 10**9
CROWD = 10_000  # clients
TRAINING = 100  # clients that train at a time


def at_least(name: str, value: float, unit: str, limit: float) -> bool:
    """Print a bar that is met from `limit` on upwards."""
    met = value >= limit
    print(f"BAR {name} {value:.4f} {unit} >={limit:.4f} {'ok' if met else 'short'}", flush=True)
    return met


def at_most(name: str, value: float, unit: str, limit: float) -> bool:
    """Print a bar that is met up to `limit`."""
    met = value <= limit
    print(f"BAR {name} {value:.4f} {unit} <={limit:.4f} {'ok' if met else 'short'}", flush=True)
    return met


def simulation() -> bool:
    """Clients that do nothing, ten thousand sites, and one epoch of a hundred clients here and on Flower's own grid."""
    idle = federated_simulation.measure("idle", CROWD, 5)
    print(f"  {CROWD} clients that do nothing: {idle}", flush=True)
    sites = federated_simulation.measure("sites", CROWD, TRAINING)
    print(f"  {CROWD} encrypted sites, {TRAINING} of them train in a round: {sites}", flush=True)
    ours = federated_simulation.measure("local", TRAINING)
    print(f"  {TRAINING} clients train one epoch, our grid: {ours}", flush=True)
    flowers = federated_simulation.flowers_simulation(TRAINING)
    print(f"  {TRAINING} clients train one epoch, Flower's simulation: {flowers}", flush=True)
    met = [
        at_least("federated_idle_clients_a_second", idle["clients_per_cpu_s"], "1/cpu_s", 5000),
        at_most("federated_first_round", idle["first_round_s"], "s", 1.0),
        at_most("federated_crowd_memory", max(idle["rss"], sites["rss"]) / GB, "GB", 1.0),
        at_least("federated_against_flowers_simulation", flowers["seconds"] / ours["seconds"], "times", 5.0),
        at_most("federated_same_accuracy", abs(flowers["accuracy"] - ours["accuracy"]), "of_1", 0.01),
        at_most("federated_same_weights", abs(flowers["norm"] - ours["norm"]) / ours["norm"], "relative", 1e-6),
    ]
    return all(met)


PARTS: dict[str, Callable[[], bool]] = {"simulation": simulation}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args(arguments)
    met = [PARTS[name]() for name in given.only]  # all of them, also after one that is short
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
