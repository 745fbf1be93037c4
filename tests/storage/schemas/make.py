"""Fill an empty database with this nasturtium and write it down as text: see the README beside this file."""

import math
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import nasturtium
from nasturtium.storage import DatasetEntry, Tracker, migrate, open_database

NOISE = re.compile(r"--.*|SET .*|\\.*|SELECT pg_catalog\.set_config.*|\s*")  # whole lines of pg_dump's
INFINITY = re.compile(r"(?<=[,(-])Inf(?=[,)])")  # SQLite before 3.41 writes it so, and does not read it


def fill(target: str) -> None:
    """A search and its retraining, a federated training of what it found, a search that failed with odd figures."""
    found = nasturtium.search("digits", trials=3, epochs=3, space="mlp", seed=0, db=target)
    model = str(found.search.run.number)
    nasturtium.federate("digits", model=model, rounds=2, clients=3, db=target, scheme="plain")
    with open_database(target) as database, Tracker(database) as tracker:
        uid = tracker.start_search(
            name="left",
            seed=1,
            config={"epochs": 1, "trials": 1},
            dataset=DatasetEntry(fingerprint="sha256:22", name="left", rows=5, body={}),
            space="mlp",
            space_sha256="cd" * 32,
            sampler="tpe",
            pruner="median",
            trials=1,
        ).uid
        tracker.log_points(uid, {"loss": {1: math.nan, 2: math.inf, 3: -1.5, 5: -math.inf}})
        tracker.finish(uid, state="failed", metrics={"val_loss": math.nan, "worst": math.inf}, error="boom")


def dump_sqlite(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return INFINITY.sub("9e999", "\n".join(connection.iterdump()))


def dump_postgresql(url: str) -> str:
    command = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", url]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in dumped.splitlines() if not NOISE.fullmatch(line)]
    return "\n".join(lines).replace("public.", "")  # loads into whichever schema comes first


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.db"
        target = sys.argv[1] if len(sys.argv) > 1 else str(file)
        fill(target)
        engine, text = ("sqlite", dump_sqlite(file)) if target == str(file) else ("postgresql", dump_postgresql(target))
    Path(__file__).with_name(f"{migrate.REVISIONS[-1]}.{engine}.sql").write_text(text + "\n")


if __name__ == "__main__":
    main()
