"""How many trials a second the broker gets through, with an evaluator that costs nothing: what `bench_nas.py` prints,
and alone `python nas_runner.py [TRIALS] [--profile]`.

Each trial is a real one: proposed by the evolution strategy, built, written with its parameters, sent to one of eight
persistent processes, and recorded in a SQLite file.
"""

from __future__ import annotations

import cProfile
import hashlib
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nasturtium.core import Budget, Candidate, Evaluation
from nasturtium.core.data import load_dataset
from nasturtium.nas.fidelity import SCHEDULERS, Rungs, Scoreboard
from nasturtium.nas.runner import Broker, Heartbeat, HistoryStore, Outcome, Plan, ProcessEngine, SearchBudget
from nasturtium.nas.spaces import mlp
from nasturtium.nas.strategies import Proposer
from nasturtium.storage import DatasetEntry, Tracker, open_database

WORKERS = 8


class Free:
    """Scores a point by its hash."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        digest = hashlib.sha256(repr(sorted(candidate.flat.items())).encode()).digest()
        return Evaluation(objectives={"val_accuracy": digest[0] / 256}, epochs=budget.epochs)


@dataclass(frozen=True)
class Throughput:
    """Trials a second, from the first result to the last: starting eight processes is no matter of rate.

    Attributes:
        trials: of the search.
        per_second: by the clock.
        per_cpu_second: by the CPU time of the broker.
        first_tenth, last_tenth: the latter, of a part of the trials.
    """

    trials: int
    per_second: float
    per_cpu_second: float
    first_tenth: float
    last_tenth: float


def measure_throughput(trials: int, *, workers: int = WORKERS, folder: Path | None = None) -> Throughput:
    """Run a search of so many trials in a new database."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        open_database(Path(place) / "history.db") as database,
        Tracker(database) as tracker,
    ):
        data = load_dataset("digits", None)
        space = mlp(data.task)
        search = tracker.start_search(
            name="bench",
            seed=0,
            config={},
            dataset=DatasetEntry(fingerprint="none", name="none", rows=1, body={}),
            space=space.name,
            space_sha256=space.sha256,
            sampler="evolution",
            pruner="none",
            trials=trials,
        )
        marks: list[tuple[float, float]] = []
        engine = ProcessEngine(Free, workers, persistent=True)
        try:
            with Heartbeat(database, search.run.uid) as heartbeat:
                broker = Broker(
                    Plan(
                        seed=0,
                        objectives=("val_accuracy",),
                        judge=lambda evaluation: ((evaluation.objectives["val_accuracy"],), 0.0),
                        budget=SearchBudget(trials=trials),
                        window=workers,
                    ),
                    proposer=Proposer(space, "evolution", 0, ("maximize",)),
                    scheduler=Scoreboard(SCHEDULERS["none"](Rungs(total=1), ("maximize",))),
                    engine=engine,
                    store=HistoryStore(
                        database, tracker, search.run.uid, space, objectives=("val_accuracy",), heartbeat=heartbeat
                    ),
                    observe=lambda event: (
                        marks.append((time.perf_counter(), time.process_time())) if isinstance(event, Outcome) else None
                    ),
                )
                broker.run()
        finally:
            engine.close()
    tenth = max(2, trials // 10)
    wall, cpu = zip(*marks, strict=True)
    return Throughput(
        trials=trials,
        per_second=_rate(wall),
        per_cpu_second=_rate(cpu),
        first_tenth=_rate(cpu[:tenth]),
        last_tenth=_rate(cpu[-tenth:]),
    )


def _rate(moments: Sequence[float]) -> float:
    return (len(moments) - 1) / (moments[-1] - moments[0])


def main() -> None:
    trials = next((int(word) for word in sys.argv[1:] if word.isdigit()), 2000)
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    if profile is not None:
        profile.enable()
    print(measure_throughput(trials))
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
