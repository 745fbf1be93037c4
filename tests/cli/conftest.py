"""Commands run in this process, in an empty folder."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from nasturtium.cli.app import run


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
