"""Compiled training steps against PyTorch and JAX: time, first calls, memory.

Run alone: `python tests/benchmarks/bench_compile.py --runner FOLDER [--workloads abcdefg]`, where the folder holds the
runner (`run.py`, `common.py`, one `w_PEER.py` for each peer); it alternates between peers, each in its own process,
and compares the losses of the first steps. Needs `torch` and `jax` beside `nasturtium[compiler]`; a peer that is not
there, or fails, is left out and named. Prints the table, and one line per bar, `BAR name value unit limit ok|short`;
exits with 1 if any is short.

Virtual cores are what the host makes of them, from one second to the next: two cores, or two halves of one. Before and
after each workload it is printed how long two threads take to meet, and how many multiply-adds one thread does, and
each of two. Where two do half as many each, what does nothing else cannot be faster than with one thread, whoever
compiled it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
OURS = "nasturtium:compile:2"
PEERS = ("torch:eager:2", "torch:eager_cl:2", "torch:compile:2", "jax:jit:2")
TIMES = {"a": 3.0, "b": 2.5, "c": 1.6, "d": 2.2, "e": 1.2, "f": 5.0, "g": 1.0}  # faster than the best peer, at least
COLD_S = {"a": 0.5, "c": 3.0}  # first call where nothing was ever compiled
WARM_S = 0.3  # with the kernels on disk
NEW_S = 0.1  # a network that was not met before, made of kernels that were
MEMORY_MB = {"a": 130.0, "b": 150.0, "c": 250.0}  # of the process, at most
ARENA_MB = 90.0  # of c

FIRST_CALL = """
import sys, time
import w_nasturtium
start = time.perf_counter()
w_nasturtium.make_step(sys.argv[1], "compile")()
print(time.perf_counter() - start)
"""

# Kernels are known when a network was compiled whose tiles are those of the new ones.
NEW_NETWORKS = """
import time
import numpy as np
from nasturtium.core import Tensor, compile, grad, nn, ops
from nasturtium.core.optim import SGD

def network(first, second, hidden):
    rng = np.random.default_rng(0)
    layers = [nn.Conv2d(1, first, 5, padding=2, rng=rng), nn.Activation("relu"), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(first, second, 5, padding=2, rng=rng), nn.Activation("relu"), nn.MaxPool2d(2), nn.Flatten()]
    layers += [nn.Linear(49 * second, hidden, rng=rng), nn.Activation("relu"), nn.Linear(hidden, 10, rng=rng)]
    return nn.Sequential(*layers)

def first_call(*sizes):
    model = network(*sizes)
    parameters, optimizer = model.parameters(), SGD(momentum=0.9)
    state = optimizer.init(parameters)

    @compile
    def step(x, y):
        loss = ops.cross_entropy(model(x), y)
        optimizer.step(state, grad(loss, parameters))
        return loss

    x = Tensor(np.zeros((64, 1, 28, 28), np.float32))
    y = Tensor(np.zeros(64, np.int32))
    start = time.perf_counter()
    step(x, y)
    return time.perf_counter() - start

known = [first_call(*sizes) for sizes in ((16, 32, 128), (32, 48, 64))]
new = [first_call(*sizes) for sizes in ((16, 48, 128), (32, 32, 128), (16, 32, 64), (32, 48, 128), (16, 48, 64))]
print(sorted(new)[len(new) // 2])
"""

ARENA = """
import w_nasturtium
from nasturtium.core import compile
made = []
w_nasturtium.compile = lambda step: made.append(compile(step)) or made[-1]
w_nasturtium.make_step("c", "compile")()
(entry,) = next(iter(made[0]._entries.values()))
print(entry._program.arena_bytes / 1e6)
"""


CORES = """
import time
import numpy as np
from nasturtium.core.compiler.llvm import BARRIER, Program, default_cache, default_pool
from nasturtium.core.compiler.llvm.peak import CHAINS, emit_peak
from nasturtium.core.compiler.llvm.program import call

cache, pool, turns, result = default_cache(), default_pool(), 100_000, np.zeros(16, np.float32)
meetings = Program([BARRIER] * 5000, cache, pool)
peak = emit_peak(cache.engine.target)
work = Program([call(peak, turns=turns, factor=1.0, result=result.ctypes.data)], cache, pool)

def usual(program, threads):
    times = []
    for _ in range(21):
        start = time.perf_counter_ns()
        program.run(threads=threads)
        times.append(time.perf_counter_ns() - start)
    return sorted(times)[10]

flops = 2 * CHAINS * cache.engine.target.width * turns
alone, both = (flops / usual(work, threads) for threads in (1, 2))
print(f"meet in {usual(meetings, 2) / 5000:.0f} ns, {alone:.0f} GFLOP/s alone, {both:.0f} each of two")
"""


class Report:
    """The bars, and whether all were met."""

    def __init__(self) -> None:
        self.met = True

    def bar(self, name: str, value: float, unit: str, limit: float, *, least: bool) -> None:
        """Print a bar.

        Args:
            name, value, unit: what was measured.
            limit: what it is held against.
            least: whether the limit is the least value, or the most.
        """
        ok = value >= limit if least else value <= limit
        self.met &= ok
        print(f"BAR compile_{name} {value:.3g} {unit} {'>=' if least else '<='}{limit:g} {'ok' if ok else 'short'}")


def run(code: str, *words: str, runner: Path, cache: str) -> float:
    """The number that a Python program prints."""
    return float(printed(code, *words, runner=runner, cache=cache))


def printed(code: str, *words: str, runner: Path, cache: str) -> str:
    """The last line that a Python program prints."""
    path = os.pathsep.join([str(runner), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NASTURTIUM_CACHE": cache, "NASTURTIUM_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def compare(report: Report, runner: Path, workload: str, seconds: float) -> None:
    """Interleaved runs of all peers."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        environment = {**os.environ, "BENCH_PEERS": str(HERE), "BUDGET": str(seconds)}
        command = [sys.executable, str(runner / "run.py"), str(out), workload, OURS, *PEERS]
        subprocess.run(command, env=environment, cwd=runner, check=True)
        found = json.loads(out.read_text())
    rows = found[workload]
    if "error" in rows[OURS]:
        raise SystemExit(f"{workload}: {rows[OURS]['error']}")
    peers = {name: row for name, row in rows.items() if name != OURS and "error" not in row}
    for name in set(PEERS) - set(peers):
        print(f"  {workload}: without {name}: {rows.get(name, {}).get('error', 'not run')}")
    ours = rows[OURS]
    for name, row in peers.items():
        different = [
            (a, b) for a, b in zip(ours["losses"], row["losses"], strict=True) if abs(a - b) > 1e-3 * (1 + abs(b))
        ]
        if different:
            raise SystemExit(f"{workload}: not the same work as {name}: losses {different}")
    best = min(peers, key=lambda name: peers[name]["median_ms"])
    ratio = peers[best]["median_ms"] / ours["median_ms"]
    least = ours["median_ms"], ours["min_ms"], peers[best]["median_ms"], peers[best]["min_ms"]
    print(f"  {workload}: ours {least[0]:.3f} ms (min {least[1]:.3f}), {best} {least[2]:.3f} ms (min {least[3]:.3f})")
    report.bar(f"{workload}_times", ratio, "x", TIMES[workload], least=True)
    if workload in MEMORY_MB:
        report.bar(f"{workload}_memory", ours["peak_rss"], "MB", MEMORY_MB[workload], least=False)


def first_calls(report: Report, runner: Path) -> None:
    """With nothing compiled, and with everything on disk; medians of three."""
    # Python's own bytecode is there, as pip leaves it where it installs.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(HERE), str(HERE.parents[1] / "core")], check=True)
    for workload, limit in COLD_S.items():
        cold, warm = list[float](), list[float]()
        for _ in range(3):
            with tempfile.TemporaryDirectory() as cache:
                for times in (cold, warm):
                    times.append(run(FIRST_CALL, workload, runner=runner, cache=cache))
        report.bar(f"{workload}_first_call", median(cold), "s", limit, least=False)
        report.bar(f"{workload}_first_call_warm", median(warm), "s", WARM_S, least=False)
    with tempfile.TemporaryDirectory() as cache:
        run(NEW_NETWORKS, runner=runner, cache=cache)
        report.bar("new_network", run(NEW_NETWORKS, runner=runner, cache=cache), "s", NEW_S, least=False)
        report.bar("c_arena", run(ARENA, runner=runner, cache=cache), "MB", ARENA_MB, least=False)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", type=Path, required=True)
    parser.add_argument("--workloads", default="".join(TIMES))
    parser.add_argument("--seconds", type=float, default=12, help="of each workload's rounds")
    given = parser.parse_args()
    report = Report()
    runner = given.runner.resolve()
    with tempfile.TemporaryDirectory() as cache:
        before = printed(CORES, runner=runner, cache=cache)
        for workload in given.workloads:
            compare(report, runner, workload, given.seconds)
            after = printed(CORES, runner=runner, cache=cache)
            print(f"  {workload}: threads before: {before}; after: {after}", flush=True)
            before = after
    first_calls(report, runner)
    return 0 if report.met else 1


if __name__ == "__main__":
    sys.exit(main())
