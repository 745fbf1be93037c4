"""Simulations of federations: what thousands of clients cost, and the same apps on Flower's own simulation.

Everything is measured in fresh processes, which this module is when it is started:

    python tests/benchmarks/federated_simulation.py idle CLIENTS ROUNDS | sites CLIENTS PARTICIPANTS | local CLIENTS | \
ray CLIENTS                                                                     # prints a line of JSON
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
CPUS = 2
HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nasturtium-benchmarks"


def measure(*words: object, python: str = sys.executable) -> dict[str, Any]:
    """What a fresh process says of a measurement; see `main`."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | QUIET | {"FLWR_HOME": home}
        done = subprocess.run(
            [python, __file__, *map(str, words)], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def flowers_simulation(clients: int) -> dict[str, Any]:
    """One round of training on Flower's own simulation, with the Ray that is installed or else with the one it wants.

    Its extra pins a version of Ray. If that is another one than ours and Flower fails on ours, a virtual environment
    with what it wants is made in the user's cache, which takes the network and half a gigabyte.
    """
    try:
        return measure("ray", clients) | {"environment": "as installed"}
    except SystemExit as exc:
        print(f"  Flower's simulation does not run on the Ray that is installed:\n{str(exc)[-400:]}", flush=True)
    python = CACHE / "flower" / "bin" / "python"
    if not python.exists():
        print(f"  making {python.parents[1]} with flwr[simulation]", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        packages = ["flwr[simulation]==1.41.*", "-e", str(HERE.parents[1])]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return measure("ray", clients, python=str(python)) | {"environment": str(python.parents[1])}


def idle(clients: int, rounds: int) -> dict[str, Any]:
    """Clients that do nothing: seconds of the first round, then the rate by the processor's time and by the clock."""
    import psutil
    from federated_apps import make_idle_app
    from flwr.app import Message, MessageType, RecordDict

    from nasturtium.federated import LocalGrid

    def run_round(grid: LocalGrid) -> None:
        messages = [Message(RecordDict(), node, MessageType.TRAIN, group_id="1") for node in grid.get_node_ids()]
        answers = list(grid.send_and_receive(messages))
        assert len(answers) == clients
        assert not any(answer.has_error() for answer in answers)

    app = make_idle_app()
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    with LocalGrid(app, clients, workers=CPUS) as grid:
        run_round(grid)
        first = time.perf_counter() - started
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(rounds):
            run_round(grid)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = psutil.Process().memory_info().rss
    return {
        "first_round_s": first,
        "clients_per_cpu_s": clients * rounds / cpu,
        "clients_per_s": clients * rounds / wall,
        "rss": memory,
        "rss_of_clients": memory - before,
    }


def sites(clients: int, participants: int) -> dict[str, Any]:
    """Two rounds of real sites, encrypted: all take the step, some train. The memory of it all."""
    import numpy as np
    import psutil

    from nasturtium.core.data import load_dataset
    from nasturtium.federated import RoundFinished, SimulationConfig, SimulationSetup, simulate
    from nasturtium.storage import open_database

    digits, rng = load_dataset("digits"), np.random.default_rng(0)
    copies = -(-clients * 4 // len(digits))
    inputs = np.repeat(digits.inputs, copies, axis=0)
    noisy = (inputs + rng.normal(0, 0.01, inputs.shape)).astype(np.float32)
    process, peak, seconds = psutil.Process(), 0, []

    def observe(event: object) -> None:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        if isinstance(event, RoundFinished):
            seconds.append(event.seconds)

    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "digits.npz"), x=noisy, y=np.repeat(digits.labels, copies))
        config = SimulationConfig(
            data=str(Path(folder, "digits.npz")), clients=clients, participants=participants, rounds=2, epochs=1
        )
        with open_database(Path(folder, "history.db")) as database:
            started = time.process_time()
            result = simulate(SimulationSetup.load(config), database, observe=observe)
            cpu = time.process_time() - started
    return {
        "rss": peak,
        "round_s": seconds,
        "cpu_s": cpu,
        "participants": [each.participants for each in result.rounds],
        "accuracy": result.test.accuracy,
    }


def local(clients: int) -> dict[str, Any]:
    """One round of training on our grid: seconds from nothing to the result."""
    from federated_apps import judge, load, make_client_app, train_once

    from nasturtium.federated import LocalGrid

    load(clients)
    started, cpu = time.perf_counter(), time.process_time()
    with LocalGrid(make_client_app(), clients, workers=CPUS) as grid:
        result = train_once(grid, clients)
    return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu} | judge(result, clients)


def ray(clients: int) -> dict[str, Any]:
    """The same on Flower's own simulation."""
    import ray  # which is not measured
    from federated_apps import judge, load, make_client_app, train_once
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import Result
    from flwr.simulation import run_simulation

    load(clients)
    results: list[Result] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(train_once(grid, clients))

    started = time.perf_counter()
    run_simulation(
        server,
        make_client_app(),
        clients,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": CPUS, "include_dashboard": False, "log_to_driver": False},
        },
    )
    return {"seconds": time.perf_counter() - started, "ray": ray.__version__} | judge(results[0], clients)


def main() -> None:
    """A measurement in this process."""
    logging.disable(logging.WARNING)
    kinds: dict[str, Callable[..., dict[str, Any]]] = {"idle": idle, "sites": sites, "local": local, "ray": ray}
    kind, *counts = sys.argv[1:]
    print(json.dumps(kinds[kind](*map(int, counts))))


if __name__ == "__main__":
    main()
