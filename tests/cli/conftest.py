"""Commands run in this process, in an empty folder, or in a copy of one with a small search in it."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass

import numpy as np
import pytest

import nasturtium
from nasturtium.cli.app import run
from nasturtium.nas import EngineChoice

# A search that takes a second or two: no processes, and one training of the best.
QUICK = {"top": 1, "repeats": 1, "engine": EngineChoice(kind="here")}
QUICK_WORDS = ("--here", "--top", 1, "--repeats", 1)


@pytest.fixture(autouse=True)
def compared_at_once(fitted_once):
    """See `fitted_once`."""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command line as a user would type it, without the program's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASTURTIUM_DB", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> Answer:
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def quick():
    """What makes a search in Python small."""
    return QUICK


@pytest.fixture
def quick_words():
    """What makes a search in the shell small."""
    return QUICK_WORDS


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory):
    """The folder of a history that is only copied: a search on digits."""
    folder = tmp_path_factory.mktemp("digits")
    nasturtium.search(
        "digits", trials=3, epochs=6, space="mlp", seed=1, db=folder / "nasturtium.db", monitor=0.1, **QUICK
    )
    return folder


@pytest.fixture
def digits(digits_folder, command, tmp_path):
    """`command`, in a copy of that folder."""
    shutil.copytree(digits_folder, tmp_path, dirs_exist_ok=True)
    return command


@pytest.fixture(scope="session")
def measured_folder(tmp_path_factory):
    """The folder of a history that is only copied: a search for a regression with two goals and a constraint."""
    folder = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(160, 3))
    weights = 300 * rows[:, 0] - 100 * rows[:, 1] + 5 * rng.normal(size=160) + 1000
    lines = ["a,b,c,grams", *(f"{a:.4f},{b:.4f},{c:.4f},{y:.4f}" for (a, b, c), y in zip(rows, weights, strict=True))]
    (folder / "measured.csv").write_text("\n".join(lines))
    nasturtium.search(
        str(folder / "measured.csv"),
        target="grams",
        trials=5,
        epochs=8,
        seed=0,
        strategy="random",
        objectives=("val_r2", "minimize parameters"),
        constraints=("parameters <= 100000",),
        folds=None,
        db=folder / "nasturtium.db",
        **QUICK,
    )
    return folder


@pytest.fixture
def measured(measured_folder, command, tmp_path):
    """`command`, in a copy of that folder."""
    shutil.copytree(measured_folder, tmp_path, dirs_exist_ok=True)
    return command
