"""What travels to workers and back, and how the end of a process is read."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, FormatError, ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.nas.fidelity import StopRule
from nasturtium.nas.runner import Job, Limits, Outcome, Progress, Workplace
from nasturtium.nas.runner.climb import climb, describe, is_out_of_memory
from nasturtium.nas.runner.limits import Exit, MemoryLimit, Meter

SPEC = ModelSpec((1,), (layer_spec("flatten"),))
MIB = 1 << 20

names = st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable() and name.strip())  # of a figure
figures = st.dictionaries(names, st.floats(), max_size=3)
curves = st.dictionaries(names, st.dictionaries(st.integers(0, 99), st.floats(), max_size=3), max_size=3)
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names
points = st.dictionaries(names, scalars, max_size=4)
evaluations = st.builds(
    Evaluation, objectives=figures, curves=curves, epochs=st.integers(0, 99), diverged=st.booleans()
)
numbers = st.integers(0, 10**6)
outcomes = st.builds(
    Outcome,
    number=numbers,
    attempt=st.integers(1, 9),
    state=st.just("failed"),
    evaluation=st.none() | evaluations,
    scores=st.lists(st.lists(st.floats(), max_size=2).map(tuple), max_size=3).map(tuple),
    cause=st.just("error"),
    error=st.none() | st.text(),
    cpu_seconds=st.floats(0, 1e9),
    peak_memory_bytes=st.none() | numbers,
    wall_seconds=st.floats(0, 1e9),
)
jobs = st.builds(
    Job,
    number=numbers,
    attempt=st.integers(1, 9),
    candidate=st.builds(
        Candidate, id=names, spec=st.just(SPEC), hyperparameters=points, seed=st.integers(0, 2**63 - 1), flat=points
    ),
    budgets=st.just((Budget(epochs=1, total=9, rows=0.1), Budget(epochs=9, total=9, resolution=0.5))),
    objectives=st.lists(names, max_size=3).map(tuple),
    rule=st.none() | st.just(StopRule(eta=3.0, directions=("maximize",), rungs=(((0.1,), (0.25,)), ((1 / 3,),)))),
    limits=st.builds(Limits, memory_bytes=st.none() | st.integers(1, 2**40), seconds=st.none() | st.floats(0.001, 1e6)),
)
progress = st.builds(
    Progress,
    number=numbers,
    attempt=st.integers(1, 9),
    epochs=numbers,
    total=numbers,
    figures=figures,
    curves=curves,
)


@given(jobs | outcomes | progress)
def test_what_travels_arrives_as_it_was(value):
    text = json.dumps(value.to_dict(), allow_nan=False)
    arrived = type(value).from_dict(json.loads(text))
    assert repr(arrived) == repr(value)  # NaN is not equal to itself, and 1 is equal to True


@pytest.mark.parametrize("kind", [Job, Outcome, Progress])
@pytest.mark.parametrize(
    "document", [None, [], "text", {}, {"number": 1}, {"number": "one", "attempt": 1, "curves": 3, "budgets": [{}]}]
)
def test_what_is_not_ours_is_refused(kind, document):
    with pytest.raises(FormatError, match=kind.__name__.lower()):
        kind.from_dict(document)


def nested(levels: int, wrap) -> object:
    found: object = wrap(0)
    for _ in range(levels):
        found = wrap(found)
    return found


CANDIDATE = Candidate(id="one", spec=SPEC, hyperparameters={"rate": 0.1}, seed=0, flat={"x": 1})
RULE = StopRule(eta=3.0, directions=("maximize",), rungs=(((0.1,),),))
OURS = [
    Job(number=1, attempt=1, candidate=CANDIDATE, budgets=(Budget(epochs=1, total=1),), objectives=("a",), rule=RULE),
    Outcome(
        number=1,
        attempt=1,
        state="completed",
        evaluation=Evaluation(objectives={"a": 1.0}, curves={"a": {1: 1.0}}, epochs=1),
        scores=((1.0,),),
    ),
    Progress(number=1, attempt=1, epochs=1, total=1, figures={"a": 1.0}, curves={"a": {1: 1.0}}),
]
HOSTILE = {
    "none": None,
    "true": True,
    "negative": -1,
    "fraction": 1.5,
    "huge": 10**400,
    "large": 10**30,
    "infinite": math.inf,
    "nan": math.nan,
    "text": "x",
    "digits": "1" * 5000,
    "surrogate": "\ud800",
    "list": [],
    "nested-list": nested(900, lambda inner: [inner]),
    "object": {},
    "nested-object": nested(900, lambda inner: {"a": inner}),
}


def places(document, path=()):
    """The paths to all values in a document."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("value", OURS, ids=lambda value: type(value).__name__)
def test_whatever_stands_in_a_row_is_refused_or_is_of_our_types(value, hostile):
    refused = 0
    for path in places(json.loads(json.dumps(value.to_dict()))):
        document = json.loads(json.dumps(value.to_dict()))
        if not path:
            document = hostile
        else:
            holder = document
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = hostile
        try:
            arrived = type(value).from_dict(document)
        except FormatError:
            refused += 1
        else:
            again = json.dumps(arrived.to_dict(), allow_nan=False)
            assert repr(type(value).from_dict(json.loads(again))) == repr(arrived)
            assert 0 <= arrived.number < 2**63
    assert refused > 4


@pytest.mark.parametrize(
    "changes",
    [{"state": "done"}, {"cause": "error"}, {"state": "lost"}, {"unknown": 1}],
    ids=["state", "cause-of-a-success", "no-cause", "unknown-field"],
)
def test_outcomes_that_contradict_themselves_are_refused(changes):
    good = Outcome(number=0, attempt=1, state="completed").to_dict()
    with pytest.raises((ConfigError, FormatError)):
        Outcome.from_dict({**good, **changes})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limits(memory_bytes=0),
        lambda: Limits(seconds=0.0),
        lambda: Limits(seconds=math.nan),
        lambda: Job(number=-1, attempt=1, candidate=None, budgets=(Budget(epochs=1, total=1),), objectives=()),
        lambda: Job(number=0, attempt=1, candidate=None, budgets=(), objectives=()),
    ],
)
def test_limits_and_jobs_are_checked(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


@pytest.mark.parametrize(
    ("code", "words", "verdict"),
    [
        pytest.param(-signal.SIGSEGV, "", ("failed", "signal 11 (SIGSEGV)"), id="segfault"),
        pytest.param(-signal.SIGFPE, "", ("failed", "signal 8 (SIGFPE)"), id="sigfpe"),
        pytest.param(-signal.SIGABRT, "", ("failed", "signal 6 (SIGABRT)"), id="abort"),
        pytest.param(-signal.SIGABRT, "terminate called: std::bad_alloc", ("failed", "out of memory"), id="bad_alloc"),
        pytest.param(1, "OpenBLAS error: Memory allocation still failed", ("failed", "out of memory"), id="openblas"),
        pytest.param(1, "Traceback", ("failed", "error"), id="exit-1"),
        pytest.param(0, "", ("failed", "error"), id="exit-0-without-an-answer"),
        pytest.param(-signal.SIGKILL, "", ("lost", "killed (signal 9)"), id="kill"),
        pytest.param(-signal.SIGTERM, "", ("lost", "killed (signal 15)"), id="term"),
        pytest.param(-(signal.SIGRTMIN + 1), "", ("failed", f"signal {signal.SIGRTMIN + 1}"), id="real-time"),
    ],
)
def test_how_the_end_of_a_process_is_read(code, words, verdict):
    state, cause = Exit(code, words).verdict()
    assert (state, cause.split(" (SIG3")[0]) == verdict


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(MemoryError(), True, id="python"),
        pytest.param(type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), True, id="of-another-library"),
        pytest.param(ValueError(), False, id="another"),
    ],
)
def test_errors_of_memory_are_known_wherever_they_come_from(error, expected):
    assert is_out_of_memory(error) is expected
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("the layer failed") from error
    assert is_out_of_memory(caught.value) is expected


def test_an_error_is_told_in_a_line_with_its_place():
    with pytest.raises(ConfigError) as caught:
        raise ConfigError("expected one", hint="give one")
    assert describe(caught.value).startswith("ConfigError: expected one, at test_limits.py:")
    assert describe(KeyError()) == "KeyError"
    assert len(describe(ValueError("x" * 10_000))) < 2100


class Rising:
    """An evaluator whose score is the epoch, until its patience runs out."""

    def __init__(self, patience=100) -> None:
        self.patience = patience

    def evaluate(self, candidate, budget):
        epochs = min(budget.epochs, self.patience)
        return Evaluation(objectives={"score": float(epochs)}, epochs=epochs)


@pytest.mark.parametrize(
    ("others", "patience", "state", "scores", "reported"),
    [
        pytest.param((), 100, "completed", [1, 3, 9], [1, 3], id="nobody-to-compare-with"),
        pytest.param(((0.0,), (0.5,), (0.7,)), 100, "completed", [1, 3, 9], [1, 3], id="better-than-all"),
        pytest.param(((8.0,), (8.0,), (9.0,)), 100, "pruned", [1], [1], id="worse-than-all"),
        pytest.param((), 2, "completed", [1, 2, 2], [1], id="out-of-patience"),  # it would stay where it is
    ],
)
def test_a_rule_stops_a_trial_that_lags_behind(others, patience, state, scores, reported):
    job = Job(
        number=0,
        attempt=1,
        candidate=Candidate(id="one", spec=SPEC, hyperparameters={}, seed=0),
        budgets=tuple(Budget(epochs=epochs, total=9) for epochs in (1, 3, 9)),
        objectives=("score",),
        rule=StopRule(eta=3.0, directions=("maximize",), rungs=(others, ())),
    )
    *progress, outcome = climb(Rising(patience), job)
    assert outcome.state == state
    assert outcome.scores == tuple((float(score),) for score in scores)
    assert [event.epochs for event in progress] == reported


def test_patience_ends_the_training_it_belongs_to_alone():
    """On more rows a trial begins anew, so that running out of patience on fewer says nothing of it."""
    job = Job(
        number=0,
        attempt=1,
        candidate=Candidate(id="one", spec=SPEC, hyperparameters={}, seed=0),
        budgets=(Budget(epochs=9, total=9, rows=0.5), Budget(epochs=9, total=9)),
        objectives=("score",),
    )
    *progress, outcome = climb(Rising(patience=2), job)
    assert (len(progress), outcome.state, outcome.scores) == (1, "completed", ((2.0,), (2.0,)))


def test_a_meter_charges_each_trial_for_itself():
    meter = Meter()
    nothing = Outcome(number=0, attempt=1, state="completed")
    costs = []
    for size in (3_000_000, 0):
        meter.start()
        block = sum(range(size))
        costs.append(meter.charge(nothing).cpu_seconds)
        del block
    assert costs[0] > costs[1] >= 0


LIMITED = """
import numpy as np
from nasturtium.nas.runner.limits import MemoryLimit, prepare_process
prepare_process()
limit = MemoryLimit()
limit.set(64 << 20)
square = np.ones((1000, 1000), np.float32)
square @ square  # 12 MiB
mapped = np.memmap("rows", np.uint8, "w+", shape=200 << 20)  # rows in files are not what a trial takes
mapped[:] = 1
try:
    np.ones(100 << 20, np.uint8)
except MemoryError:
    print("refused")
limit.set(None)
print(np.ones(100 << 20, np.uint8).nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_memory_is_limited_to_what_a_trial_takes_itself(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", str(100 << 20)]


def test_a_limit_above_that_of_the_system_is_that_of_the_system():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MemoryLimit()
    limit.set(None)
    assert resource.getrlimit(resource.RLIMIT_DATA) == (before[1], before[1])
    resource.setrlimit(resource.RLIMIT_DATA, before)


def test_a_workplace_is_private_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workplace() as first, Workplace() as second:
        assert first.path != second.path
        assert first.path.stat().st_mode & 0o777 == 0o700
        (first.path / "rows.npy").write_bytes(b"rows")
        Workplace().close()  # which tidies up, but not what is in use
        assert (first.path / "rows.npy").exists()
    assert list(tmp_path.iterdir()) == []
    first.close()
