"""The history against its bars, and MLflow (on SQLite, without a server) beside it in the same run.

Run alone: `python tests/benchmarks/bench_storage.py`. MLflow is used where this Python, or the one that MLFLOW_PYTHON
names, has it: its dependencies do not fit beside ours in every environment. PostgreSQL is used where
NASTURTIUM_TEST_POSTGRES names a server. Times are CPU seconds, medians, ours and theirs in turn, unless they say wall.
Prints one line per bar, `BAR name value unit limit ok|short`, and exits with 1 if any is short. Takes half a minute,
and three more with MLflow, whose runs are made by its client (MLFLOW_RUNS=1000 makes fewer of them).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import create_engine, insert, make_url, text

from nasturtium.storage import (
    ArchitectureEntry,
    DatasetEntry,
    History,
    Ledger,
    ModelRegistry,
    Spend,
    StorageError,
    Tracker,
    open_database,
)
from nasturtium.storage.models import Experiment, Metric, Param, Run
from nasturtium.storage.names import NameBook

RUNS, POINTS, WRITERS = 10_000, 100_000, 32
QUESTION = 'width == 64 and op == "sep3" order by val_accuracy desc limit 10'
DATASET = DatasetEntry(fingerprint="sha256:bench", name="bench", rows=1, body={})


class Peer:
    """MLflow in a process of its own."""

    def __init__(self, python: str, folder: Path) -> None:
        script = Path(__file__).with_name("storage_mlflow.py")
        self._process = subprocess.Popen(
            [python, str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def ask(self, command: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return next(iter(self._answer().values()))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(json.JSONDecodeError):
                return json.loads(line)
        raise RuntimeError("MLflow ended")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def find_mlflow() -> str | None:
    for python in (os.environ.get("MLFLOW_PYTHON"), sys.executable):
        if python and subprocess.run([python, "-c", "import mlflow"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def bar(name: str, value: float, unit: str, limit: float, *, least: bool = False) -> bool:
    met = value >= limit if least else value <= limit
    print(f"BAR {name} {value:.4g} {unit} {'>=' if least else '<='}{limit:g} {'ok' if met else 'short'}", flush=True)
    return met


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def log_latency(folder: Path) -> tuple[float, float]:
    """Microseconds of the calling thread's CPU for one call of `log`, the two reads of its clock included."""
    with open_database(folder / "latency.db") as database, Tracker(database) as tracker:
        run = tracker.start_run("latency")
        figures = {"loss": 0.5}
        for step in range(2000):
            tracker.log(run, figures, step=step)
        clock, times = time.thread_time_ns, []
        for step in range(2000, 202_000):
            started = clock()
            tracker.log(run, figures, step=step)
            times.append(clock() - started)
    times.sort()
    return times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3


def log_rate(folder: Path, turn: int, points: int = 200_000) -> tuple[float, float]:
    """Points a second of CPU and of wall until all are durable, one point a call."""
    with open_database(folder / "rate.db") as database, Tracker(database) as tracker:
        run = tracker.start_run(f"rate {turn}")
        started, wall = time.process_time(), time.perf_counter()
        for step in range(points):
            tracker.log(run, {"loss": 0.5}, step=step)
        tracker.flush()
        return points / (time.process_time() - started), points / (time.perf_counter() - wall)


def fill(folder: Path) -> Path:
    """A history of `RUNS` runs with five parameters and a metric each, as MLflow gets; the rows in bulk."""
    path = folder / "runs.db"
    with open_database(path) as database:
        with Tracker(database) as tracker:
            tracker.start_run("first", dataset=DATASET)
        names = NameBook(database).ids(["width", "op", "p0", "p1", "p2", "val_accuracy"])
        with database.write() as session:
            first = session.get_one(Run, 1)
            experiment = session.query(Experiment).one().id
            columns = {
                c.key: getattr(first, c.key) for c in Run.__table__.columns if c.key not in {"id", "uid", "number"}
            }
            runs = [
                {**columns, "id": i + 2, "number": i + 2, "uid": f"01{i:024d}", "experiment_id": experiment}
                for i in range(RUNS)
            ]
            params, metrics = [], []
            for i in range(RUNS):
                values: dict[str, Any] = {"width": 2 ** (4 + i % 4), "op": f"sep{3 + 2 * (i % 3)}"}
                values |= {f"p{j}": i * j for j in range(3)}
                for name, value in values.items():
                    is_text = isinstance(value, str)
                    number = None if is_text else float(value)
                    row = {"text": str(value), "number": number, "is_text": is_text}
                    params.append({"run_id": i + 2, "name_id": names[name], **row})
                accuracy = (i * 7919 % 10007) / 10007
                metrics.append(
                    {
                        "run_id": i + 2,
                        "name_id": names["val_accuracy"],
                        "value": accuracy,
                        "reported": True,
                        "points": 0,
                    }
                )
            for table, rows in ((Run, runs), (Param, params), (Metric, metrics)):
                session.execute(insert(table), rows)
    return path


def top_ten(history: History) -> None:
    found = history.ask(QUESTION)
    assert len(found) == 10
    assert found[0].params["width"] == 64


def write_for_a_while(target: str, index: int, answers: Any) -> None:
    """One of several writer processes: logs, flushes and starts runs; the errors it met, and its worst flush."""
    errors, worst = [], 0.0
    try:
        with open_database(target) as database, Tracker(database) as tracker:
            rng = random.Random(index)
            for turn in range(3):
                run = tracker.start_run(f"writer {index}.{turn}", config={"lr": rng.random()})
                for flush in range(5):
                    for step in range(200):
                        tracker.log(run, {"loss": rng.random(), "accuracy": rng.random()}, step=200 * flush + step)
                    started = time.perf_counter()
                    tracker.flush()
                    worst = max(worst, time.perf_counter() - started)
                tracker.finish(run, state="completed", metrics={"val_accuracy": rng.random()})
    except StorageError as exc:
        errors.append(str(exc))
    answers.put((errors, worst))


def many_writers(target: str, count: int) -> tuple[list[str], float, float]:
    """What `count` processes met that write at once, their worst flush, and points a second of wall."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    writers = [context.Process(target=write_for_a_while, args=(target, i, answers)) for i in range(count)]
    started = time.perf_counter()
    for writer in writers:
        writer.start()
    met = [answers.get(timeout=600) for _ in writers]
    for writer in writers:
        writer.join()
    seconds = time.perf_counter() - started
    return [error for errors, _ in met for error in errors], max(worst for _, worst in met), count * 6000 / seconds


@contextmanager
def postgresql() -> Iterator[str | None]:
    """A new schema on the server that NASTURTIUM_TEST_POSTGRES names, if it does."""
    server = os.environ.get("NASTURTIUM_TEST_POSTGRES")
    if not server:
        yield None
        return
    url = make_url(server).set(drivername="postgresql+psycopg")
    schema = f"bench_{uuid.uuid4().hex}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def bytes_per_point(folder: Path, points: int = 500_000) -> float:
    path = folder / "size.db"
    with open_database(path) as database, Tracker(database) as tracker:
        runs = [tracker.start_run(f"size {i}") for i in range(50)]
        tracker.flush()
        before = path.stat().st_size
        rng = random.Random(0)
        for step in range(points // 200):
            for run in runs:
                tracker.log(run, {name: rng.random() for name in ("a", "b", "c", "d")}, step=step)
    with open_database(path) as database, database.write() as session:
        session.connection().exec_driver_sql("SELECT 1")
    return (path.stat().st_size - before) / points


def lineage_seconds(folder: Path) -> float:
    """From a published model back to its search, in a history with a thousand trials."""
    with open_database(folder / "lineage.db") as database, Tracker(database) as tracker:
        plan = {"space": "mlp", "space_sha256": "cd" * 32, "sampler": "tpe", "pruner": "none", "trials": 1000}
        search = tracker.start_search(name="bench", seed=0, config={}, dataset=DATASET, **plan)
        trial = ""
        for number in range(1000):
            network = ArchitectureEntry(
                sha256=f"{number:064x}", space="mlp", choices={"n": number}, spec={}, parameters=1, macs=1
            )
            trial = tracker.start_trial(
                search.uid, number=number, architecture=network, hyperparameters={}, seed=0, optuna_number=None
            )
        retrain = tracker.start_child(search.uid, seed=0, config={}, origin=trial)
        weights = folder / "weights.safetensors"
        weights.write_bytes(b"weights")
        tracker.record_artifact(retrain, weights, role="model", media_type="application/vnd.safetensors")
        sha256 = ModelRegistry(database).register("bench", retrain).sha256
        history = History(database)
        history.lineage(sha256)
        return median(cpu(lambda: history.lineage(sha256)) for _ in range(5))


def ledger_seconds(folder: Path, entries: int = 2000) -> tuple[float, float]:
    """CPU seconds to append one entry, and to verify one."""
    with open_database(folder / "ledger.db") as database:
        ledger = Ledger(database)

        def append() -> None:
            for number in range(entries):
                spend = Spend(subject=f"s{number % 20}", round=number, mechanism="gaussian", epsilon=0.1, delta=1e-9)
                ledger.spend(spend)

        return cpu(append) / entries, median(cpu(ledger.verify) for _ in range(3)) / entries


def command_seconds(folder: Path, *words: str) -> float:
    """CPU seconds of a command in a new process, imports compiled before."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")
    times: list[float] = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "nasturtium.cli", *words]
        subprocess.run(command, env=environment, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(times[1:])


def main() -> int:
    met: list[bool] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = find_mlflow()
        peer = Peer(python, folder) if python else None
        print("MLflow: " + ("beside" if peer else "not installed; set MLFLOW_PYTHON to a Python that has it"))

        p50, p99 = log_latency(folder)
        met += [bar("log_p50", p50, "us", 2), bar("log_p99", p99, "us", 10)]

        rates: list[tuple[float, float]] = []
        theirs: list[float] = []
        for turn in range(3):
            rates.append(log_rate(folder, turn))
            if peer:
                theirs.append(peer.ask("log 3000"))
        rate, wall = (median(each[i] for each in rates) for i in range(2))
        print(f"until durable: {rate:,.0f} points a CPU second, {wall:,.0f} a second of wall")
        if peer:
            one = peer.ask("log_one 100")
            batched = median(theirs)
            print(f"MLflow: {batched:,.0f} in batches of 1000 ({rate / batched:.0f}x), {one:,.0f} one a call")
        met.append(bar("log_rate", rate, "points/s", 200_000, least=True))

        path = fill(folder)
        with open_database(path) as database:
            history = History(database)
            for _ in range(5):
                top_ten(history)
            ours = [cpu(lambda: top_ten(history)) for _ in range(50)]
        print(f"top 10 of {RUNS:,} runs, two filters: {median(ours) * 1e3:.2f} ms")
        if peer:
            count = int(os.environ.get("MLFLOW_RUNS", RUNS))
            made, top = peer.ask(f"runs {count}"), peer.ask("top")
            print(f"MLflow: top 10 of {count:,} runs {top * 1e3:.0f} ms ({top / median(ours):.0f}x)")
            print(f"MLflow: making one of these runs {made * 1e3:.0f} ms")
        met.append(bar("top_10_of_10000", median(ours) * 1e3, "ms", 2))

        with open_database(folder / "curve.db") as database, Tracker(database) as tracker:
            run = tracker.start_run("curve")
            for step in range(POINTS):
                tracker.log(run, {"loss": step * 0.5}, step=step)
            tracker.flush()
            history = History(database)
            reads = [cpu(lambda: history.curve(run, "loss")) for _ in range(7)]
        if peer:
            print(f"MLflow: history of {POINTS:,} points at its rate {peer.ask('history') * POINTS:.2f} s")
        met.append(bar("history_of_100000", median(reads), "s", 0.1))

        if peer:
            print(f"MLflow: {peer.ask('size'):.0f} bytes a point")
            peer.close()
        met.append(bar("bytes_per_point", bytes_per_point(folder), "B", 35))

        shared = folder / "shared.db"
        open_database(shared).close()
        errors, worst, points = many_writers(str(shared), WRITERS)
        print(f"{WRITERS} writer processes on one SQLite file: {points:,.0f} points/s wall, worst flush {worst:.2f} s")
        met.append(bar("sqlite_writers_locked", len(errors), "errors", 0))

        with postgresql() as url:
            if url is None:
                print("no PostgreSQL: NASTURTIUM_TEST_POSTGRES names none")
            else:
                open_database(url).close()
                errors, worst, points = many_writers(url, 8)
                print(f"8 writer processes on PostgreSQL: {points:,.0f} points/s wall, worst flush {worst:.2f} s")
                met.append(bar("postgresql_deadlocks", len(errors), "errors", 0))

        met.append(bar("lineage_of_a_model", lineage_seconds(folder) * 1e3, "ms", 50))
        append, verify = ledger_seconds(folder)
        print(f"ledger: an entry {append * 1e3:.2f} ms")
        met.append(bar("ledger_verify_100000", verify * 1e5, "s", 0.5))
        met.append(bar("cli_version", command_seconds(folder, "--version"), "s", 0.2))
        met.append(
            bar(
                "cli_history_list",
                command_seconds(folder, "history", "list", "--limit", "10", "--db", str(path)),
                "s",
                0.9,
            )
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
