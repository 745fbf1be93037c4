"""Federations: simulated clients against Flower's own simulation, rounds over the network against stock Flower, and
searches at sites against searches in one place.

    python tests/benchmarks/bench_federated.py [--only simulation|network|search ...]

Ends with one line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short. Measurements are
made in processes of their own, one after the other; `federated_simulation`,
`federated_flower` and `federated_search` say how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import federated_flower
import federated_search
import federated_simulation

GB = 10**9
CROWD = 10_000  # clients
TRAINING = 100  # clients that train at a time


def at_least(name: str, value: float, unit: str, limit: float) -> bool:
    """Print a bar that is met from `limit` on upwards."""
    met = value >= limit
    print(f"BAR {name} {value:.5g} {unit} >={limit:.5g} {'ok' if met else 'short'}", flush=True)
    return met


def at_most(name: str, value: float, unit: str, limit: float) -> bool:
    """Print a bar that is met up to `limit`."""
    met = value <= limit
    print(f"BAR {name} {value:.5g} {unit} <={limit:.5g} {'ok' if met else 'short'}", flush=True)
    return met


def simulation() -> bool:
    """Clients that do nothing, ten thousand sites, and one epoch of a hundred clients here and on Flower's own grid."""
    idle, *again = (federated_simulation.measure("idle", CROWD, 5) for _ in range(3))
    first = min(each["first_round_s"] for each in (idle, *again))  # what else the machine does is no part of it
    print(f"  {CROWD} clients that do nothing: {idle}", flush=True)
    sites = federated_simulation.measure("sites", CROWD, TRAINING)
    print(f"  {CROWD} encrypted sites, {TRAINING} of them train in a round: {sites}", flush=True)
    ours = federated_simulation.measure("local", TRAINING)
    print(f"  {TRAINING} clients train one epoch, our grid: {ours}", flush=True)
    flowers = federated_simulation.flowers_simulation(TRAINING)
    print(f"  {TRAINING} clients train one epoch, Flower's simulation: {flowers}", flush=True)
    met = [
        at_least("federated_idle_clients_a_second", idle["clients_per_cpu_s"], "1/cpu_s", 5000),
        at_most("federated_first_round", first, "s", 1.0),
        at_most("federated_crowd_memory", max(idle["rss"], sites["rss"]) / GB, "GB", 1.0),
        at_least("federated_against_flowers_simulation", flowers["seconds"] / ours["seconds"], "times", 5.0),
        at_most("federated_same_accuracy", abs(flowers["accuracy"] - ours["accuracy"]), "of_1", 0.01),
        at_most("federated_same_weights", abs(flowers["norm"] - ours["norm"]) / ours["norm"], "relative", 1e-6),
    ]
    return all(met)


def network() -> bool:
    """Rounds of four sites that echo, over TLS: ours through front and tunnels, and stock Flower's."""
    small, payload = 1000, 10 * federated_flower.MB
    sizes = [small] * 8 + [payload] * 2
    ours = federated_flower.measure("ours", 4, sizes)
    print(f"  our engine: {ours}", flush=True)
    stock = federated_flower.measure("stock", 4, sizes)
    print(f"  stock Flower: {stock}", flush=True)
    spent = ours["cpu_s_a_round"]["front_and_tunnels_part"]
    rounds, payloads = (
        stock["trivial_round_s"] / ours["trivial_round_s"],
        stock["payload_round_s"]["10 MB"] / ours["payload_round_s"]["10 MB"],
    )
    met = [
        at_least("federated_trivial_rounds_against_stock", rounds, "times", 5.0),
        at_least("federated_payloads_against_stock", payloads, "times", 2.0),
        at_most("federated_cpu_of_front_and_tunnels", spent, "of_1", 0.05),
        at_most("federated_memory_of_a_site_against_stock", ours["site_mb"] / stock["site_mb"], "of_1", 1.0),
    ]
    return all(met)


def search() -> bool:
    """A hundred candidates over four sites, and the same search here and there."""
    many = federated_search.measure("many", 100)
    print(f"  100 candidates of 3 rounds, 4 sites, encrypted: {many}", flush=True)
    pairs = [federated_search.measure("pair", 20, seed) for seed in range(3)]
    for seed, each in enumerate(pairs):
        print(f"  20 trials on digits, seed {seed}: {each}", flush=True)
    lost = sum(each["central"] - each["federated"] for each in pairs) / len(pairs)
    met = [
        at_most("federated_search_of_100_candidates", many["seconds"], "s", 600),
        at_most("federated_search_against_central", 100 * lost, "points", 1.0),
    ]
    return all(met)


PARTS: dict[str, Callable[[], bool]] = {"simulation": simulation, "network": network, "search": search}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args(arguments)
    met = [PARTS[name]() for name in given.only]  # all of them, also after one that is short
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
