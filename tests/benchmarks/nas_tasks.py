"""Real tasks end to end: from a file or folder to a tested model, against the strongest simple model on the same rows.

Run alone: `python tests/benchmarks/nas_tasks.py [--splits 10] [--seconds 60] [--strategy NAME] [task ...]`. A task is
searched on several splits, a quarter of the rows for the test, in one process that may use `--seconds` of CPU time for
everything: search, training the best again, references, test. Prints one line per bar, `BAR name value unit limit
ok|short`, and exits with 1 if any is short. All tasks on ten splits take about an hour on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from nasturtium.core import derive_rng
from nasturtium.core.data import Dataset, random_split, stratified_split
from nasturtium.nas import DEFAULT_STRATEGY, EngineChoice, SearchConfig, SearchRows, SearchSetup, run_search
from nasturtium.storage import open_database

SECONDS = 60.0
SMALL = ("macs <= 50000",)  # of a table of some hundred rows
TRIALS = 80  # of a table or sequence; the time of an image task is over before


@dataclass(frozen=True)
class RealTask:
    """One task.

    Attributes:
        name: of the bars.
        write: puts the data into a folder: the path to load, and the target.
        reference: what it is compared with, fitted on rows (N, features); None where only a fixed bar counts.
        margin: by how much the mean may be worse than the reference's: a part of accuracy, or R2.
        bar: the least mean, where it is not the reference's.
        regression: measurements, not classes.
        constraints: networks that fit the time.
        epochs: of a training; None: the search's default.
        top, repeats: how many of the best are trained again with how many seeds; few where networks take long.
    """

    name: str
    write: Callable[[Path], tuple[Path, str | None]]
    reference: Callable[[], object]
    margin: float = 0.0
    bar: float | None = None
    regression: bool = False
    constraints: tuple[str, ...] = ()
    epochs: int | None = None
    top: int = 6
    repeats: int = 2


@dataclass(frozen=True)
class Result:
    """One split."""

    model: float
    reference: float  # scikit-learn's, on the same rows
    control: float
    own_reference: float  # the best of the search's own references, by validation
    own_name: str
    trials: int
    networks: int
    searching: float  # CPU seconds of the trials
    ending: float  # of the conclusion
    seconds: float  # of everything


def write_table(folder: Path, rows: np.ndarray, names: list[str], target: np.ndarray) -> tuple[Path, str]:
    path = folder / "data.csv"
    lines = [",".join([*names, "target"])]
    lines += [",".join([*map(repr, row), str(label)]) for row, label in zip(rows.tolist(), target, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path, "target"


def write_breast_cancer(folder: Path) -> tuple[Path, str]:
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    return write_table(folder, data.data, names, data.target_names[data.target])


def write_wine(folder: Path) -> tuple[Path, str]:
    data = load_wine()
    return write_table(folder, data.data, [f"x{i}" for i in range(13)], data.target_names[data.target])


def write_diabetes(folder: Path) -> tuple[Path, str]:
    data = load_diabetes()
    return write_table(folder, data.data, list(data.feature_names), data.target)


def write_digits(folder: Path) -> tuple[Path, None]:
    rows, labels = load_digits(return_X_y=True)
    np.savez(folder / "digits.npz", images=rows.reshape(-1, 8, 8).astype(np.float32), labels=labels)
    return folder / "digits.npz", None


def write_shapes(folder: Path) -> tuple[Path, None]:
    """A folder of noisy pictures, 16 x 16: a cross, a square or a ring, anywhere, of any size and brightness."""
    from PIL import Image

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for number in range(600):
        kind = ("cross", "square", "ring")[number % 3]
        row, column, size = rng.integers(5, 11), rng.integers(5, 11), rng.uniform(2, 4.5)
        down, across = np.abs(y - row), np.abs(x - column)
        far = np.maximum(down, across)
        drawn = {
            "cross": (np.minimum(down, across) < 1) & (far <= size),
            "square": (np.abs(far - size) < 0.7),
            "ring": np.abs(np.hypot(y - row, x - column) - size) < 0.7,
        }[kind]
        picture = drawn * rng.uniform(60, 200) + rng.normal(60, 25, (16, 16))
        (folder / "shapes" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / "shapes" / kind / f"{number:03}.png")
    return folder / "shapes", None


def write_order(folder: Path) -> tuple[Path, None]:
    """Noisy sequences of two features and 24 steps: which feature's pulse comes first, or whether there is only one."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    sequences = rng.normal(0, 0.35, (600, 24, 2))
    for sequence, label in zip(sequences, labels, strict=True):
        first, second = np.sort(rng.choice(np.arange(1, 21), 2, replace=False))
        leading = int(label) if label < 2 else int(rng.integers(2))
        sequence[first : first + 2, leading] += 1.5
        sequence[second : second + 2, leading if label == 2 else 1 - leading] += 1.5
    np.savez(folder / "order.npz", sequences=sequences.astype(np.float32), labels=labels)
    return folder / "order.npz", None


def logistic_regression() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def ridge() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 30)))


def support_vectors() -> object:
    return make_pipeline(StandardScaler(), SVC(C=10))


TASKS = {
    task.name: task
    for task in (
        RealTask(
            "digits",
            write_digits,
            lambda: SVC(C=10, gamma=0.001),
            margin=0.002,
            constraints=("macs <= 300000",),
            top=2,
        ),
        RealTask("breast_cancer", write_breast_cancer, logistic_regression, margin=0.005, constraints=SMALL),
        RealTask("wine", write_wine, logistic_regression, margin=0.01, constraints=SMALL),
        RealTask("diabetes", write_diabetes, ridge, margin=0.02, regression=True, constraints=SMALL),
        RealTask("shapes", write_shapes, support_vectors, constraints=("macs <= 200000",), top=2, repeats=1, epochs=15),
        RealTask("order", write_order, support_vectors, constraints=("macs <= 50000",), top=2, repeats=1, epochs=15),
    )
}


def split_rows(data: Dataset, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to search with and rows to test on, as scikit-learn splits them."""
    stratify = None if data.task.kind == "regression" else data.labels
    rows, test = train_test_split(np.arange(len(data)), test_size=0.25, random_state=split, stratify=stratify)
    return np.sort(rows), test


def setup_split(
    task: RealTask, folder: Path, split: int, seconds: float = SECONDS, strategy: str = DEFAULT_STRATEGY
) -> SearchSetup:
    """The search of a split: a quarter of the rows for the test, a quarter of the others for validation."""
    path, target = task.write(folder)
    config = SearchConfig(
        data=str(path),
        target=target,
        task="regression" if task.regression else "classification",
        trials=TRIALS,
        cpu_seconds=seconds,
        seed=split,
        constraints=task.constraints,
        strategy=strategy,
        **({} if task.epochs is None else {"epochs": task.epochs}),
        top=task.top,
        repeats=task.repeats,
        ensemble=True,
    )
    setup = SearchSetup.load(config)
    rows, test = split_rows(setup.data, split)
    divide = random_split if task.regression else stratified_split
    train, validation = divide(setup.data.take(rows), (0.75, 0.25), derive_rng(split, "validation"))
    parts = SearchRows(data=setup.data, train=train, validation=validation, test=setup.data.take(test))
    return replace(setup, rows=parts)


def run_split(task: RealTask, split: int, seconds: float = SECONDS, strategy: str = DEFAULT_STRATEGY) -> Result:
    """Search, conclude, and fit scikit-learn's model on the same rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.process_time()
        setup = setup_split(task, folder, split, seconds, strategy)
        with open_database(folder / "history.db") as database:
            found = run_search(setup, database, engine=EngineChoice(kind="here"))
        spent = time.process_time() - started
        rows, test = split_rows(setup.data, split)
        flat = setup.data.inputs.reshape(len(setup.data), -1).astype(np.float64)
        labels = setup.data.labels.ravel()
        model = task.reference()
        score = model.fit(flat[rows], labels[rows]).score(flat[test], labels[test])
    report = found.report
    metric, simple = report.metric, report.best_reference
    control = next(model for model in report.models if model.name == "random search")
    return Result(
        report.model.test[metric],
        score,
        control.test[metric],
        simple.test[metric],
        simple.name,
        report.trials["searched"],
        len(report.members),
        report.spent["trials_cpu_seconds"],
        report.spent["finale_cpu_seconds"],
        spent,
    )


def bars(task: RealTask, results: list[Result], seconds: float = SECONDS) -> bool:
    """Print what came of a task; whether its bars are met."""
    value, reference = fmean(r.model for r in results), fmean(r.reference for r in results)
    gains = [r.model - r.reference for r in results]
    limit = reference - task.margin if task.bar is None else task.bar
    unit = "r2" if task.regression else "accuracy"
    met = value >= limit
    print(f"BAR nas_{task.name} {value:.4f} {unit} >={limit:.4f} {'ok' if met else 'short'}")
    most = max(r.seconds for r in results)
    print(f"BAR nas_{task.name}_cpu {most:.1f} s <={seconds:g} {'ok' if most <= seconds else 'short'}")
    error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    print(
        f"  {task.name}: reference {reference:.4f}, paired gain {fmean(gains):+.4f} ± {error:.4f} (standard error), "
        f"random search {fmean(r.control for r in results):.4f}, "
        f"own simple model {fmean(r.own_reference for r in results):.4f}, "
        f"{fmean(r.trials for r in results):.0f} trials, {fmean(r.networks for r in results):.1f} networks"
    )
    return met and most <= seconds


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--strategy", default=DEFAULT_STRATEGY)
    given = parser.parse_args()
    met = True
    for name in given.tasks:
        results: list[Result] = []
        for split in range(given.splits):
            results.append(run_split(TASKS[name], split, given.seconds, given.strategy))
            print(f"  {name}, split {split}: {results[-1]}", flush=True)
        met &= bars(TASKS[name], results, given.seconds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
