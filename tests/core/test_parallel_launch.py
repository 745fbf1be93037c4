"""Ranks in processes of their own: what they are given and answer, and that nothing outlives a failure.

A rank that is to be killed opens a FIFO for writing and keeps it open: its reader sees the end of the file when the
last of them is dead, without asking again and again.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.core.errors import PeerError
from nasturtium.core.parallel import Rank, launch, run_ranks

from . import rank_functions
from .rank_functions import (
    Nested,
    many_bytes,
    rank_one_ends,
    rank_one_raises,
    rank_one_waits,
    report,
    sends_and_waits,
    sends_notes,
)

AT_ONCE_S = 15.0  # on a busy machine; far less than any timeout


class Fifo:
    """Where ranks show that they live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, count: int, timeout_s: float = 20.0) -> str:
        """The next `count` bytes, fewer when all writers are dead."""
        text = b""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while len(text) < count:
            assert poll.poll(max(0.0, deadline - time.monotonic()) * 1000), f"only {text!r} within {timeout_s} s"
            block = os.read(self._fd, count - len(text))
            if not block:
                break
            text += block
        return text.decode()

    def assert_all_dead(self) -> None:
        assert self.read(1, AT_ONCE_S) == ""

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path / "alive")
    yield fifo
    fifo.close()


# --- the job and the answer ---


def test_every_rank_gets_the_settings_and_the_arrays():
    arrays = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
        "strided": np.arange(10)[::3],
        "half": np.array([0.5, 1.5], ml_dtypes.bfloat16),
        "flag": np.array(True),
        "empty": np.zeros((0, 4), np.complex64),
    }
    settings = {"name": "ä", "list": [1, None, 2.5], "nested": {"deep": True}}
    answers = [json.loads(answer) for answer in run_ranks(report, 2, settings=settings, arrays=arrays)]
    assert [answer["rank"] for answer in answers] == [0, 1]
    for answer in answers:
        assert answer["size"] == 2
        assert answer["settings"] == settings
        assert not answer["writable"]
        assert answer["arrays"] == {name: [array.dtype.name, array.tolist()] for name, array in arrays.items()}


def test_answers_may_be_long_and_settings_too():
    count = 3_000_000
    answers = run_ranks(many_bytes, 2, settings={"count": count, "padding": "x" * count})
    assert answers == [bytes([rank]) * count for rank in range(2)]


def test_a_rank_may_be_a_method_of_a_class():
    assert run_ranks(Nested.run, 1) == [b"nested"]


@pytest.mark.parametrize(("user", "threads"), [("5", "5"), (None, "4")], ids=["said", "unsaid"])
def test_ranks_share_the_cores_unless_the_user_says_otherwise(monkeypatch, user, threads):
    monkeypatch.setattr(launch, "_usable_cores", lambda: 8)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    if user is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", user)
    assert [json.loads(answer)["threads"] for answer in run_ranks(report, 2)] == [threads] * 2


def test_notes_arrive_whole_and_in_order_before_the_answer():
    notes: dict[int, list[bytes]] = {0: [], 1: []}
    assert run_ranks(sends_notes, 2, on_note=lambda rank, note: notes[rank].append(note)) == [b"answer"] * 2
    for received in notes.values():
        assert received == [bytes([number]) * (number * 1_000_000) for number in range(3)]
    assert run_ranks(sends_notes, 1) == [b"answer"]


# --- failures ---


def test_an_error_of_the_caller_ends_all_ranks(fifo):
    def refuse(rank: int, note: bytes) -> None:
        raise LookupError(note)

    with pytest.raises(LookupError, match="ready"):
        run_ranks(sends_and_waits, 2, settings={"fifo": str(fifo.path)}, on_note=refuse)
    fifo.read(2)
    fifo.assert_all_dead()


def test_the_rank_that_failed_is_named_with_its_error_hint_and_traceback():
    with pytest.raises(PeerError) as caught:
        run_ranks(rank_one_raises, 3)
    assert caught.value.message == "rank 1 of 3 failed: ShapeError: expected a circle, got a square"
    assert (caught.value.rank, caught.value.hint) == (1, "sand its corners")
    [note] = caught.value.__notes__
    assert note.startswith("On rank 1 of 3:\nTraceback")
    assert "rank_one_raises" in note


@pytest.mark.parametrize(
    ("how", "match"),
    [
        pytest.param("SIGKILL", r"rank 1 of 3 was killed by SIGKILL .*memory runs out", id="killed"),
        pytest.param("SIGABRT", r"rank 1 of 3 was killed by SIGABRT", id="aborted"),
        pytest.param("exit", r"rank 1 of 3 ended without an answer, exit code 3", id="exit"),
    ],
)
def test_the_end_of_one_rank_ends_all_at_once(fifo, how, match):
    """The others are told which one it was by the communicator, and the caller by the exit code."""
    started = time.monotonic()
    with pytest.raises(PeerError, match=match) as caught:
        run_ranks(rank_one_ends, 3, settings={"how": how, "fifo": str(fifo.path)})
    assert time.monotonic() - started < AT_ONCE_S
    assert caught.value.rank == 1
    assert fifo.read(2) == "11"
    fifo.assert_all_dead()


def test_a_rank_that_hangs_is_named_and_ended(fifo, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    with pytest.raises(PeerError, match=r"rank 0 waited 0\.3 s at barrier, .* did not come: 1") as caught:
        run_ranks(rank_one_waits, 2, settings={"fifo": str(fifo.path)}, timeout_s=0.3)
    assert caught.value.rank == 1
    assert fifo.read(2) == "xx"
    fifo.assert_all_dead()


CALLER = """
import sys, importlib.util
from nasturtium.core.parallel import run_ranks
spec = importlib.util.spec_from_file_location("ranks_of_the_test", {file!r})
ranks = importlib.util.module_from_spec(spec)
sys.modules["ranks_of_the_test"] = ranks
spec.loader.exec_module(ranks)
run_ranks(ranks.rank_one_waits, 2, settings={{"fifo": {fifo!r}}})
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
def test_no_rank_outlives_its_caller(fifo, sent):
    """Ctrl-C is sent as a terminal sends it: to the caller and to every rank; only the caller says anything."""
    script = CALLER.format(file=rank_functions.__file__, fifo=str(fifo.path))
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    try:
        assert fifo.read(2) == "xx"
        if sent == signal.SIGINT:
            os.killpg(caller.pid, sent)
        else:
            caller.send_signal(sent)
        fifo.assert_all_dead()
        _, errors = caller.communicate(timeout=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(caller.pid, signal.SIGKILL)
        caller.wait()
    assert caller.returncode == -sent
    assert errors.count("Traceback") == (sent == signal.SIGINT)
    assert errors.rstrip().endswith("KeyboardInterrupt") == (sent == signal.SIGINT)


# --- functions that cannot be found ---


def test_a_function_inside_another_is_refused():
    def inner(rank: Rank) -> bytes:
        return b""

    for function in (inner, lambda rank: b""):
        with pytest.raises(ConfigError, match=r"cannot find .*define it at the top level of a file"):
            run_ranks(function, 1)


def run_python(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], input=stdin, capture_output=True, text=True, timeout=60)


SCRIPT = """
from nasturtium.core.parallel import run_ranks

def number(rank):
    return str(rank.communicator.rank).encode()

{guard}print(run_ranks(number, 2))
"""


def test_a_function_of_a_script_is_found(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(guard='if __name__ == "__main__": '))
    done = run_python(str(path))
    assert (done.stdout, done.stderr) == ("[b'0', b'1']\n", "")


def test_a_script_without_a_guard_is_told_so(tmp_path):
    """Its ranks would start ranks in turn, without end."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(guard=""))
    done = run_python(str(path))
    assert done.returncode == 1
    assert 'put that call under `if __name__ == "__main__":`' in done.stderr


@pytest.mark.parametrize("arguments", [("-i",), ("-c", SCRIPT.format(guard=""))], ids=["prompt", "-c"])
def test_a_function_that_is_in_no_file_is_refused(arguments):
    done = run_python(*arguments, stdin=SCRIPT.format(guard="") if len(arguments) == 1 else None)
    assert "ConfigError: other processes cannot find 'number' of '__main__'" in done.stderr
