"""MLflow's side of `bench_storage.py`: run by a Python that has it, prints one JSON object per answer.

`python storage_mlflow.py FOLDER`: reads commands, one a line, and answers each: `log`, `log_one`, `runs N`, `top`,
`history`, `size`. MLflow's client works on SQLite directly, without a server, as ours does.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

warnings.simplefilter("ignore")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

from mlflow import MlflowClient  # noqa: E402 - which reads the settings above
from mlflow.entities import Metric, Param, RunStatus  # noqa: E402

logging.disable(logging.CRITICAL)


def main(folder: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("bench", artifact_location=str(folder / "artifacts"))
    logged = client.create_run(experiment).info.run_id
    steps = 0

    def log(points: int, batch: int) -> float:
        """Points a CPU second through log_batch."""
        nonlocal steps
        started = time.process_time()
        for _ in range(points // batch):
            now = int(time.time() * 1000)
            client.log_batch(logged, metrics=[Metric("loss", 0.5, now, steps + i) for i in range(batch)])
            steps += batch
        return points / (time.process_time() - started)

    def make_runs(count: int) -> float:
        started = time.process_time()
        for index in range(count):
            run = client.create_run(experiment).info.run_id
            params = [Param("width", str(2 ** (4 + index % 4))), Param("op", f"sep{3 + 2 * (index % 3)}")]
            params += [Param(f"p{i}", str(index * i)) for i in range(3)]
            now = int(time.time() * 1000)
            client.log_batch(
                run, metrics=[Metric("val_accuracy", (index * 7919 % 10007) / 10007, now, 1)], params=params
            )
            client.set_terminated(run, RunStatus.to_string(RunStatus.FINISHED))
        return (time.process_time() - started) / count

    def top() -> float:
        """Seconds of CPU for the top ten of all runs by a metric, with two filters."""
        times: list[float] = []
        for _ in range(4):
            started = time.process_time()
            found = client.search_runs(
                [experiment],
                filter_string="params.width = '64' and params.op = 'sep3'",
                order_by=["metrics.val_accuracy DESC"],
                max_results=10,
            )
            times.append(time.process_time() - started)
            assert len(found) == 10
        return median(times[1:])

    def history() -> float:
        """Seconds of CPU for a thousand points of a curve."""
        started = time.process_time()
        points = client.get_metric_history(logged, "loss")
        return (time.process_time() - started) / len(points)

    def size() -> float:
        """Bytes a point."""
        return (folder / "mlflow.db").stat().st_size / max(steps, 1)

    commands: dict[str, Callable[..., float]] = {
        "log": lambda points: log(int(points), 1000),
        "log_one": lambda points: log(int(points), 1),
        "runs": lambda count: make_runs(int(count)),
        "top": top,
        "history": history,
        "size": size,
    }
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        print(json.dumps({name: commands[name](*arguments)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
