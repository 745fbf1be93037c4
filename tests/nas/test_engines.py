"""Engines: whatever a trial does to its process, it costs one trial and says why."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.nas.runner import InlineEngine, Job, Limits, Outcome, ProcessEngine, Progress, WorkerStartError

SPEC = ModelSpec((1,), (layer_spec("flatten"),))
MIB = 1 << 20


class Misbehaving:
    """An evaluator that does what the candidate's point says."""

    def __init__(self, words: str = "") -> None:
        self.words = words

    def evaluate(self, candidate, budget):
        act = candidate.flat.get("act", "")
        match act:
            case "raise":
                raise ValueError("no such layer")
            case "allocate":
                hold = [np.ones(MIB, np.float64) for _ in range(20)]  # 160 MiB
                raise AssertionError(f"{len(hold)} blocks were given")
            case "diverge":
                return Evaluation(objectives={}, epochs=budget.epochs, diverged=True)
            case "nan":
                return Evaluation(objectives={"score": float("nan")}, epochs=budget.epochs)
            case "segfault":
                ctypes.string_at(0)
            case "abort":
                os.abort()
            case "exit":
                os._exit(7)
            case "hang":
                time.sleep(600)
            case "stubborn":
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                time.sleep(600)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "print":
                print("spam on stdout", flush=True)
                os.write(2, b"spam on stderr\n")
            case "other":
                return Evaluation(objectives={"loss": 1.0}, epochs=budget.epochs)
            case _:
                pass
        figures = {"score": float(candidate.flat.get("x", 0)), "pid": float(os.getpid())}
        curves = {"loss": {epoch: 1 / epoch for epoch in range(1, budget.epochs + 1)}}
        return Evaluation(objectives=figures, curves=curves, epochs=budget.epochs)


def broken() -> Misbehaving:
    raise OSError("the data is gone")


def make_job(number=0, *, limits=None, budgets=None, **flat) -> Job:
    return Job(
        number=number,
        attempt=1,
        candidate=Candidate(id=f"trial-{number}", spec=SPEC, hyperparameters={}, seed=number, flat=flat),
        budgets=tuple(budgets or [Budget(epochs=1, total=1)]),
        objectives=("score",),
        limits=limits or Limits(),
    )


def outcomes(engine, *jobs) -> list[Outcome]:
    for job in jobs:
        engine.submit(job)
    found: list[Outcome] = []
    while len(found) < len(jobs):
        found += [event for event in engine.wait(60) if isinstance(event, Outcome)]
    return sorted(found, key=lambda outcome: outcome.number)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition) -> bool:
    """Whether it comes true within some seconds."""
    until = time.monotonic() + 20
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="module")
def engine():
    made = ProcessEngine(Misbehaving, 1, persistent=True)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("act", "limits", "state", "cause", "said"),
    [
        pytest.param("", Limits(), "completed", None, None, id="good"),
        pytest.param("raise", Limits(), "failed", "error", "ValueError: no such layer, at test_engines.py", id="error"),
        pytest.param("other", Limits(), "failed", "error", "gave no score, but loss", id="another-objective"),
        pytest.param("diverge", Limits(), "failed", "not finite", "not finite", id="diverged"),
        pytest.param("nan", Limits(), "failed", "not finite", "not finite", id="nan"),
        pytest.param("allocate", Limits(memory_bytes=64 * MIB), "failed", "out of memory", "MemoryError", id="memory"),
        pytest.param("allocate", Limits(memory_bytes=2048 * MIB), "failed", "error", "20 blocks", id="memory-enough"),
        pytest.param("segfault", Limits(), "failed", "signal 11 (SIGSEGV)", "Segmentation fault", id="segfault"),
        pytest.param("abort", Limits(), "failed", "signal 6 (SIGABRT)", "Aborted", id="abort"),
        pytest.param("exit", Limits(), "failed", "error", "ended with exit code 7", id="exit"),
        pytest.param("kill", Limits(), "lost", "killed (signal 9)", "ended by SIGKILL", id="kill"),
        pytest.param("hang", Limits(seconds=0.3), "failed", "time limit", "longer than 0.3 s", id="time"),
        pytest.param("stubborn", Limits(seconds=0.3), "failed", "time limit", "longer than 0.3 s", id="no-sigterm"),
    ],
)
def test_what_a_trial_does_costs_one_trial(engine, act, limits, state, cause, said):
    outcome, after = outcomes(engine, make_job(0, act=act, limits=limits)) + outcomes(engine, make_job(1, x=3))
    assert (outcome.state, outcome.cause) == (state, cause)
    assert said is None or said in outcome.error
    assert outcome.wall_seconds >= (limits.seconds or 0)
    assert outcome.cpu_seconds > 0
    assert (after.state, after.evaluation.objectives["score"]) == ("completed", 3.0)


def test_progress_comes_before_the_outcome_with_what_the_curves_grew_by(engine):
    budgets = [Budget(epochs=epochs, total=4) for epochs in (1, 2, 4)]
    engine.submit(make_job(0, x=2, budgets=budgets))
    events = []
    while not (events and isinstance(events[-1], Outcome)):
        events += engine.wait(60)
    first, second, outcome = events
    assert isinstance(first, Progress)
    assert (first.epochs, first.total, first.figures["score"]) == (1, 4, 2.0)
    assert [dict(event.curves["loss"]) for event in (first, second)] == [{1: 1.0}, {2: 0.5}]
    assert outcome.evaluation.curves["loss"] == {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25}
    assert outcome.scores == ((2.0,),) * 3


def test_a_persistent_process_goes_on_until_it_is_killed(engine):
    first, second = outcomes(engine, make_job(0)) + outcomes(engine, make_job(1))
    [pid] = engine.pids
    assert {first.evaluation.objectives["pid"], second.evaluation.objectives["pid"]} == {float(pid)}
    os.kill(pid, signal.SIGKILL)  # while it waits
    [third] = outcomes(engine, make_job(2, x=1))
    assert third.state in {"completed", "lost"}  # lost: the job was faster than the news
    [fourth] = outcomes(engine, make_job(3, x=1))
    assert fourth.state == "completed"
    assert fourth.evaluation.objectives["pid"] != pid


def test_the_peak_of_memory_is_that_of_the_trial(engine):
    calm, greedy, after = (outcomes(engine, make_job(i, act=act))[0] for i, act in enumerate(["", "allocate", ""]))
    assert greedy.peak_memory_bytes - calm.peak_memory_bytes > 150 * MIB
    assert after.peak_memory_bytes - calm.peak_memory_bytes < 50 * MIB


def test_a_cancelled_job_ends_at_once_and_says_nothing(engine):
    engine.submit(make_job(0, act="hang"))
    engine.wait(0.2)
    [pid] = engine.pids
    engine.cancel(0, 1)
    assert engine.wait(0.2) == []
    assert wait_for(lambda: not is_alive(pid))
    assert outcomes(engine, make_job(1))[0].state == "completed"


def test_what_workers_print_does_not_reach_the_terminal(engine, capfd):
    assert outcomes(engine, make_job(0, act="print"))[0].state == "completed"
    assert capfd.readouterr() == ("", "")


def test_each_trial_has_a_process_of_its_own_and_the_next_ones_are_started_ahead():
    engine = ProcessEngine(partial(Misbehaving, words="of a partial"), 2)
    try:
        found = outcomes(engine, make_job(0), make_job(1)) + outcomes(engine, make_job(2))
        assert len({outcome.evaluation.objectives["pid"] for outcome in found}) == 3
        [spare] = engine.pids
        assert spare not in {outcome.evaluation.objectives["pid"] for outcome in found}
        engine.submit(make_job(3, act="hang"))
        engine.submit(make_job(4, act="hang"))
        with pytest.raises(ConfigError, match="at most 2 jobs"):
            engine.submit(make_job(5))
        pids = engine.pids
        assert len(pids) == 3
    finally:
        engine.close()
    assert wait_for(lambda: not any(map(is_alive, pids)))


def test_an_evaluator_that_cannot_be_made_ends_the_search():
    engine = ProcessEngine(broken, 1)
    try:
        engine.submit(make_job(0))
        with pytest.raises(WorkerStartError, match=r"3 worker processes in a row.*OSError: the data is gone"):
            engine.wait(60)
    finally:
        engine.close()


def test_what_ends_several_processes_before_they_are_ready_is_one_failure():
    engine = ProcessEngine(Misbehaving, 2)
    try:
        engine.submit(make_job(0))
        engine.submit(make_job(1))
        assert len(engine.pids) == 3
        for pid in engine.pids:
            os.kill(pid, signal.SIGKILL)
        found: list[Outcome] = []
        while len(found) < 2:
            found += [event for event in engine.wait(60) if isinstance(event, Outcome)]
        assert [outcome.state for outcome in found] == ["completed", "completed"]
    finally:
        engine.close()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Misbehaving(), id="lambda"),
        pytest.param(partial(Misbehaving, words=lambda: 0), id="partial"),
    ],
)
def test_what_other_processes_would_not_find_is_refused(make):
    with pytest.raises(ConfigError, match="worker processes cannot be given"):
        ProcessEngine(make, 1)


SCRIPT = """
    import os, sys, time
    from nasturtium.core import Budget, Candidate, Evaluation, ModelSpec
    from nasturtium.core.nn import layer_spec
    from nasturtium.nas.runner import Job, ProcessEngine

    class Slow:
        def evaluate(self, candidate, budget):
            time.sleep(0.1 if candidate.flat["quick"] else 600)
            return Evaluation(objectives={"score": 1.0}, epochs=1)

    def make(number, quick):
        spec = ModelSpec((1,), (layer_spec("flatten"),))
        candidate = Candidate(id="one", spec=spec, hyperparameters={}, seed=0, flat={"quick": quick})
        return Job(number=number, attempt=1, candidate=candidate, budgets=(Budget(epochs=1, total=1),),
                   objectives=("score",))

    def main():
        engine = ProcessEngine(Slow, 2)
        engine.submit(make(0, True))
        print(*[event.state for event in engine.wait(60)], flush=True)
        engine.submit(make(1, False))
        engine.submit(make(2, False))
        engine.wait(0.5)
        try:
            print(*engine.pids, flush=True)  # from here on an interrupt is answered
            print(engine.wait(60), flush=True)
        except KeyboardInterrupt:
            print("interrupted", [event.state for event in engine.wait(0.5)], flush=True)
            engine.close()

    if __name__ == "__main__" or "UNGUARDED" in os.environ:
        main()
"""


def start_script(folder, **environment):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        cwd=folder,
    )


@pytest.fixture
def broker_process(tmp_path):
    """A script that has an engine with three processes, two of which train; and their ids."""
    process = start_script(tmp_path)
    try:
        assert process.stdout.readline() == "completed\n"
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        yield process, pids
    finally:
        process.kill()
        process.communicate()


def test_a_script_without_a_guard_is_told_so(tmp_path):
    _, err = start_script(tmp_path, UNGUARDED="1").communicate(timeout=120)
    assert "3 worker processes in a row" in err
    assert 'put that call under `if __name__ == "__main__":`' in err


def test_no_process_outlives_a_broker_that_is_killed(broker_process, tmp_path):
    process, pids = broker_process
    process.kill()
    process.wait()
    assert wait_for(lambda: not any(map(is_alive, pids)))
    left = {path.name for path in tmp_path.glob("nasturtium-work-*")}
    assert len(left) == 1
    made = subprocess.run(  # the next one tidies up
        [sys.executable, "-c", "from nasturtium.nas.runner import Workplace; print(Workplace().path.name)"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {path.name for path in tmp_path.glob("nasturtium-work-*")} == {made.stdout.strip()}


def test_ctrl_c_reaches_the_broker_alone(broker_process):
    process, pids = broker_process
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.stdout.readline() == "interrupted []\n"  # the workers train on
    process.wait(timeout=60)
    assert process.returncode == 0, process.stderr.read()
    assert wait_for(lambda: not any(map(is_alive, pids)))


class TestInline:
    def test_it_trains_in_this_process_budget_by_budget(self):
        engine = InlineEngine(Misbehaving(), slots=2)
        engine.submit(make_job(0, x=1, budgets=[Budget(epochs=1, total=2), Budget(epochs=2, total=2)]))
        engine.submit(make_job(1, act="raise"))
        events = [event for _ in range(3) for event in engine.wait(None)]
        assert [type(event).__name__ for event in events] == ["Progress", "Outcome", "Outcome"]
        assert events[1].evaluation.objectives["pid"] == os.getpid()
        assert (events[2].state, events[2].cause) == ("failed", "error")
        assert events[2].peak_memory_bytes > MIB
        assert engine.wait(None) == []

    def test_it_cannot_keep_limits(self):
        with pytest.raises(ConfigError, match="limits cannot be kept in this process"):
            InlineEngine(Misbehaving()).submit(make_job(0, limits=Limits(seconds=1)))

    def test_a_cancelled_job_is_forgotten(self):
        engine = InlineEngine(Misbehaving(), slots=3)
        for number in range(3):
            engine.submit(make_job(number, budgets=[Budget(epochs=1, total=2), Budget(epochs=2, total=2)]))
        engine.wait(None)  # the first has begun
        engine.cancel(0, 1)
        engine.cancel(1, 1)
        assert [event.number for _ in range(2) for event in engine.wait(None)] == [2, 2]
