"""The broker: which trials there are does not depend on who is quick, nor on when the broker dies."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Candidate, ConfigError, Evaluation, ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.nas.fidelity import SCHEDULERS, Rungs, Scoreboard
from nasturtium.nas.objectives import hypervolume
from nasturtium.nas.runner import (
    Begun,
    Broker,
    Ending,
    InlineEngine,
    NoImprovement,
    Outcome,
    Past,
    PastTrial,
    Plan,
    Progress,
    SearchBudget,
    Stagnation,
    TargetReached,
    TrialsFailedError,
)
from nasturtium.nas.strategies import Observation, SpaceUsedUpError

SPEC = ModelSpec((1,), (layer_spec("flatten"),))


def number_of(*parts) -> float:
    """A number in [0, 1) that anything decides."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 16**8


@dataclass(frozen=True)
class Point:
    number: int
    flat: dict


class Remembering:
    """A proposer whose points depend on all it was told; it checks who may be told when."""

    def __init__(self, window: int, size: int | None = None) -> None:
        self.window = window
        self.size = size
        self.asked: list[dict] = []
        self.told: list[tuple] = []

    def ask(self):
        number = len(self.asked)
        assert len(self.told) == max(0, number - self.window + 1)  # exactly trials 0 to n - W
        if number == self.size:
            raise SpaceUsedUpError("nothing left")
        flat = {"x": number_of(self.told, number)}
        self.asked.append(flat)
        return Point(number, flat)

    def tell(self, number, values, state, violation=0.0, steps=1):
        assert number == len(self.told)
        self.told.append((values, state, violation, steps))

    def restore(self, flats, outcomes, *, workers=1):
        for number, flat in enumerate(flats):
            for each in outcomes[len(self.told) : max(0, number - workers + 1)]:
                self.tell(each.number, each.values, each.state, each.violation, each.steps)
            assert self.ask().flat == flat
        for each in outcomes[len(self.told) :]:
            self.tell(each.number, each.values, each.state, each.violation, each.steps)


class Died(BaseException):
    """The broker was killed."""


class Memory:
    """A store that keeps what was written, and may kill the broker before or after it writes."""

    def __init__(self) -> None:
        self.trials: dict[int, PastTrial] = {}
        self.lost: list[Outcome] = []
        self.writes = 0
        self.dies_at: float = float("inf")  # half a write more: after it
        self.stop = False
        self.wall_seconds = 0.0

    def restore(self):
        return Past(
            trials=[self.trials[number] for number in range(len(self.trials))],
            cpu_seconds=sum(trial.outcome.cpu_seconds for trial in self.trials.values() if trial.outcome),
            wall_seconds=self.wall_seconds,
        )

    def record(self, outcomes, attempts):
        self.writes += 1
        if self.writes == self.dies_at:
            raise Died
        for outcome in outcomes:
            known = self.trials[outcome.number]
            assert known.outcome is None
            assert known.attempt == outcome.attempt
            if outcome.state == "lost":
                self.lost.append(outcome)
            else:
                self.trials[outcome.number] = replace(known, outcome=outcome)
        candidates = {}
        for attempt in attempts:
            before = self.trials.get(attempt.number)
            assert before is None or (before.outcome is None and before.flat == attempt.flat)
            again = 1 if before is None else before.attempt + 1
            self.trials[attempt.number] = PastTrial(flat=attempt.flat, attempt=again, outcome=None)
            name = f"{attempt.number}.{again}"
            candidates[attempt.number] = Candidate(
                id=name, spec=SPEC, hyperparameters={}, seed=attempt.seed, flat=attempt.flat
            )
        if self.writes + 0.5 == self.dies_at:
            raise Died
        return candidates

    def log(self, progress):
        pass

    def stop_requested(self):
        return self.stop

    @property
    def outline(self):
        return [
            (number, trial.flat, trial.outcome and trial.outcome.state, trial.outcome and trial.outcome.evaluation)
            for number, trial in sorted(self.trials.items())
        ]


class Curve:
    """An evaluator whose score grows with the epochs; some trials fail or are not finite."""

    def evaluate(self, candidate, budget):
        x = candidate.flat["x"]
        if int(candidate.id.split(".")[0]) % 7 == 2:
            raise ValueError("unlucky")
        if number_of(x, "diverges") < 0.1:
            return Evaluation(objectives={}, epochs=budget.epochs, diverged=True)
        score = x * (1 - 0.5 / budget.epochs) + candidate.seed / 2**64
        return Evaluation(objectives={"score": score, "upload_bytes": 100.0}, epochs=budget.epochs)


def lost(job, cause="killed (signal 9)", error=None) -> Outcome:
    return Outcome(number=job.number, attempt=job.attempt, state="lost", cause=cause, error=error)


class Shuffling:
    """An engine that finishes jobs in a random order, and loses some attempts."""

    def __init__(self, evaluator, slots, rng, *, loses=0.0) -> None:
        self.inner = InlineEngine(evaluator)
        self.slots = slots
        self.rng = rng
        self.loses = loses
        self.jobs: list = []
        self.cancelled: list = []

    def adopt(self):
        return {}

    def submit(self, job):
        assert len(self.jobs) < self.slots
        self.jobs.append(job)

    def wait(self, timeout):
        finished = []
        for _ in range(self.rng.integers(1, len(self.jobs) + 1)):
            job = self.jobs.pop(self.rng.integers(len(self.jobs)))
            if self.rng.random() < self.loses and job.attempt < 3:
                finished.append(
                    Outcome(number=job.number, attempt=job.attempt, state="lost", cause="killed (signal 9)")
                )
                continue
            self.inner.submit(job)
            while not (finished and isinstance(finished[-1], Outcome) and finished[-1].number == job.number):
                finished += self.inner.wait(None)
        return finished

    def recall(self):
        return []

    def cancel(self, number, attempt):
        self.cancelled.append((number, attempt))

    def close(self):
        pass


def judge(evaluation):
    return (evaluation.objectives["score"],), 0.0


def make_plan(trials=20, window=3, **changes) -> Plan:
    fields = {"seed": 5, "objectives": ("score",), "judge": judge, "budget": SearchBudget(trials=trials)}
    return Plan(**{**fields, "window": window, **changes})


def scoreboard(name="none", epochs=9) -> Scoreboard:
    return Scoreboard(SCHEDULERS[name](Rungs(total=epochs), ("maximize",)))


def run(plan, memory, engine=None, *, scheduler="none", observe=lambda event: None, size=None, clock=lambda: 0.0):
    engine = engine or InlineEngine(Curve())
    proposer = Remembering(plan.window, size)
    broker = Broker(
        plan,
        proposer=proposer,
        scheduler=scoreboard(scheduler),
        engine=engine,
        store=memory,
        observe=observe,
        clock=clock,
    )
    return broker.run()


@pytest.mark.parametrize("scheduler", ["none", "asha", "hyperband"])
@given(seed=st.integers(0, 2**32), slots=st.integers(1, 6), window=st.integers(1, 5), loses=st.sampled_from([0, 0.3]))
@settings(max_examples=25, deadline=None)
def test_the_trials_do_not_depend_on_who_is_quick(scheduler, seed, slots, window, loses):
    plan = make_plan(window=window)
    expected, found = Memory(), Memory()
    run(plan, expected, scheduler=scheduler)
    rng = np.random.default_rng(seed)
    ending = run(plan, found, Shuffling(Curve(), slots, rng, loses=loses), scheduler=scheduler)
    assert (ending.reason, ending.trials, ending.exact) == ("trials", 20, True)
    assert found.outline == expected.outline
    assert bool(found.lost) or not loses or all(trial.attempt == 1 for trial in found.trials.values())


@pytest.mark.parametrize("scheduler", ["none", "asha", "hyperband"])
@given(seed=st.integers(0, 2**32), deaths=st.lists(st.integers(1, 24), max_size=6), window=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_broker_that_dies_anywhere_is_followed_by_one_that_goes_on(scheduler, seed, deaths, window):
    plan = make_plan(window=window)
    expected, found = Memory(), Memory()
    run(plan, expected, scheduler=scheduler)
    rng = np.random.default_rng(seed)
    for death in [*deaths, None]:
        found.dies_at = float("inf") if death is None else found.writes + death / 2
        before = {number: trial.outcome for number, trial in found.trials.items() if trial.outcome}
        with suppress(Died):
            run(plan, found, Shuffling(Curve(), 3, rng), scheduler=scheduler)
        assert before.items() <= {number: trial.outcome for number, trial in found.trials.items()}.items()
    assert found.outline == expected.outline


def test_pruned_trials_are_told_with_what_they_reached():
    memory = Memory()
    run(make_plan(trials=40), memory, scheduler="asha")
    states = [trial.outcome.state for trial in memory.trials.values()]
    assert {"completed", "pruned", "failed"} == set(states)
    pruned = next(trial.outcome for trial in memory.trials.values() if trial.outcome.state == "pruned")
    assert pruned.scores[-1] == judge(pruned.evaluation)[0]
    assert len(pruned.scores) < 3


def test_a_lost_trial_is_tried_three_times():
    memory, rng = Memory(), np.random.default_rng(0)
    engine = Shuffling(Curve(), 2, rng)
    attempts = []

    def lose(timeout):
        job = engine.jobs.pop(0)
        attempts.append((job.number, job.attempt))
        if job.number == 1:
            return [lost(job, error="gone")]
        engine.inner.submit(job)
        return engine.inner.wait(None)

    engine.wait = lose
    run(make_plan(trials=3, window=2), memory, engine)
    assert [attempt for number, attempt in attempts if number == 1] == [1, 2, 3]
    last = memory.trials[1].outcome
    assert (last.state, last.cause, last.error) == ("failed", "killed (signal 9)", "lost 3 times, the last time: gone")
    assert [outcome.attempt for outcome in memory.lost] == [1, 2]


def test_a_trial_that_is_given_back_is_not_held_against_it():
    memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))

    def give_back(timeout):
        job = engine.jobs.pop(0)
        if job.number == 1 and job.attempt < 6:
            return [lost(job, "given back")]
        engine.inner.submit(job)
        return engine.inner.wait(None)

    engine.wait = give_back
    run(make_plan(trials=3, window=2), memory, engine)
    assert memory.trials[1].attempt == 6
    assert memory.trials[1].outcome.state == "completed"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param({"evaluation": None}, "not all finite", id="no-evaluation"),
        pytest.param({"evaluation": Evaluation(objectives={"loss": 1.0}, epochs=1)}, "not all finite", id="another"),
        pytest.param({"scores": ()}, "1 to 1 budgets, got 0", id="no-scores"),
        pytest.param({"scores": ((0.5,),) * 2}, "1 to 1 budgets, got 2", id="too-many-scores"),
        pytest.param({"scores": ((0.5, 0.5),)}, "1 scores at each", id="too-wide-scores"),
        pytest.param({"state": "failed", "cause": "error", "scores": ((),)}, "1 scores at each", id="no-score"),
    ],
)
def test_an_outcome_that_is_not_of_its_trial_costs_an_attempt(said, why):
    memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))

    def lie(timeout):
        job = engine.jobs.pop(0)
        good = Evaluation(objectives={"score": 0.5}, epochs=1)
        outcome = Outcome(number=job.number, attempt=job.attempt, state="completed", evaluation=good, scores=((0.5,),))
        return [replace(outcome, **said) if (job.number, job.attempt) == (1, 1) else outcome]

    engine.wait = lie
    assert run(make_plan(trials=3, window=1), memory, engine).trials == 3
    [outcome] = memory.lost
    assert (outcome.number, outcome.cause) == (1, "unreadable report")
    assert why in outcome.error
    assert [trial.attempt for trial in memory.trials.values()] == [1, 2, 1]


@pytest.mark.parametrize(
    ("failing", "succeeding", "stops"),
    [
        pytest.param("error", 0, True, id="errors-from-the-start"),
        pytest.param("error", 4, True, id="errors-later"),
        pytest.param("out of memory", 0, True, id="memory-from-the-start"),
        pytest.param("out of memory", 1, False, id="too-large-candidates-later"),
        pytest.param("not finite", 0, False, id="divergence-is-a-result"),
    ],
)
def test_a_machine_that_fails_every_trial_ends_the_search(failing, succeeding, stops):
    memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))

    def fail(timeout):
        job = engine.jobs.pop(0)
        if job.number >= succeeding:
            return [Outcome(number=job.number, attempt=job.attempt, state="failed", cause=failing, error="why")]
        good = Evaluation(objectives={"score": 0.5}, epochs=1)
        return [Outcome(number=job.number, attempt=job.attempt, state="completed", evaluation=good, scores=((0.5,),))]

    engine.wait = fail
    plan = make_plan(trials=10, window=1)
    if not stops:
        assert run(plan, memory, engine).trials == 10
        return
    with pytest.raises(TrialsFailedError, match=f"3 trials in a row failed, the last one by {failing}: why"):
        run(plan, memory, engine)
    assert [trial.outcome.state for trial in memory.trials.values() if trial.outcome][-3:] == ["failed"] * 3
    with pytest.raises(TrialsFailedError):  # resuming goes on with the next trials
        run(plan, memory, engine)
    assert sum(trial.outcome is not None for trial in memory.trials.values()) == succeeding + 6


def test_observers_hear_what_is_in_the_store():
    memory, events = Memory(), []

    def observe(event):
        events.append(event)
        if isinstance(event, Outcome):
            assert memory.trials[event.number].outcome == event
        if isinstance(event, Begun):
            assert memory.trials[event.number].attempt == event.attempt

    ending = run(make_plan(trials=8), memory, scheduler="asha", observe=observe)
    assert [event.number for event in events if isinstance(event, Begun)] == list(range(8))
    assert sorted(event.number for event in events if isinstance(event, Outcome)) == list(range(8))
    assert {type(event) for event in events} == {Begun, Progress, Outcome, Ending}
    assert events[-1] is ending


def test_another_window_is_refused():
    memory = Memory()
    memory.dies_at = 3.5
    with pytest.raises(Died):
        run(make_plan(window=5), memory)
    with pytest.raises(ConfigError, match="number of workers that the search was started with"):
        run(make_plan(window=1), memory)


class TestEnds:
    """Each end is recorded with its reason, and the search goes on from it as if it had never ended there."""

    def test_the_space_is_used_up(self):
        memory = Memory()
        ending = run(make_plan(), memory, size=7)
        assert (ending.reason, ending.trials, ending.exact) == ("space used up", 7, True)

    @pytest.mark.parametrize("slots", [1, 4])
    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            pytest.param(lambda: TargetReached([0.8], ["maximize"]), "target", id="target"),
            pytest.param(lambda: NoImprovement(4, ["maximize"]), "no improvement", id="no-improvement"),
        ],
    )
    def test_rules_end_it_at_the_same_trial_whoever_is_quick(self, rule, reason, slots):
        plan = make_plan(trials=200, window=4)
        expected, found = Memory(), Memory()
        first = run(replace(plan, end_rules=[rule()]), expected)
        engine = Shuffling(Curve(), slots, np.random.default_rng(slots))
        ending = run(replace(plan, end_rules=[rule()]), found, engine)
        assert ending == first
        assert (ending.reason, ending.exact) == (reason, True)
        assert ending.trials < 200
        assert found.outline == expected.outline
        assert run(replace(plan, end_rules=[rule()]), found) == ending  # and resumed it has nothing to do
        assert found.outline == expected.outline

    def test_bytes_are_counted_in_the_order_of_trials(self):
        memory = Memory()
        plan = make_plan(window=2, budget=SearchBudget(trials=50, bytes=1000))
        ending = run(plan, memory)
        sent = [100 for trial in memory.trials.values() if trial.outcome.state == "completed"]
        assert ending.reason == "bytes"
        assert sum(sent) in {1000, 1100}  # one that was in work is finished

    def test_a_request_finishes_what_is_in_work(self):
        memory = Memory()

        def stop(event):
            memory.stop |= isinstance(event, Outcome) and event.number == 5

        ending = run(make_plan(), memory, observe=stop)
        assert (ending.reason, ending.exact) == ("request", False)
        assert all(trial.outcome is not None for trial in memory.trials.values())
        assert ending.trials == len(memory.trials) < 20
        memory.stop = False
        assert run(make_plan(), memory).reason == "trials"
        expected = Memory()
        run(make_plan(), expected)
        assert memory.outline == expected.outline

    def test_a_request_gives_up_what_is_in_work_where_that_is_wanted(self):
        memory, engine = Memory(), Shuffling(Curve(), 3, np.random.default_rng(2))

        def stop(event):
            memory.stop |= isinstance(event, Outcome) and event.number == 5

        ending = run(make_plan(finish_on_request=False), memory, engine, observe=stop)
        assert ending.reason == "request"
        assert {outcome.cause for outcome in memory.lost} == {"abandoned"}
        memory.stop = False
        run(make_plan(), memory)
        expected = Memory()
        run(make_plan(), expected)
        assert memory.outline == expected.outline

    @pytest.mark.parametrize("trials", [4, 20], ids=["the-last-ones-wait", "more-to-come"])
    def test_a_request_takes_back_what_waits_for_workers_who_may_never_come(self, trials):
        memory, engine, waits = Memory(), Shuffling(Curve(), 3, np.random.default_rng(2)), []
        wait = engine.wait

        def wait_in_vain(timeout):
            if sum(trial.outcome is not None for trial in memory.trials.values()) < 3:
                return wait(timeout)
            waits.append(timeout)
            memory.stop = len(waits) == 2
            return []

        def recall():
            jobs = [(job.number, job.attempt) for job in engine.jobs]
            engine.jobs.clear()
            return jobs

        engine.wait, engine.recall = wait_in_vain, recall
        ending = run(make_plan(trials=trials), memory, engine)
        assert (ending.reason, len(waits)) == ("request", 2)
        assert {outcome.cause for outcome in memory.lost} == {"abandoned"}
        assert ending.trials == sum(trial.outcome is not None for trial in memory.trials.values()) < trials
        memory.stop = False
        run(make_plan(trials=trials), memory)
        expected = Memory()
        run(make_plan(trials=trials), expected)
        assert memory.outline == expected.outline

    def test_cpu_time_of_earlier_brokers_counts(self):
        memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))
        inner = engine.wait
        engine.wait = lambda timeout: [
            replace(event, cpu_seconds=10.0) if isinstance(event, Outcome) else event for event in inner(timeout)
        ]
        plan = make_plan(window=1, budget=SearchBudget(trials=20, cpu_seconds=75))
        memory.dies_at = 5
        with pytest.raises(Died):
            run(plan, memory, engine)
        memory.dies_at = float("inf")
        ending = run(plan, memory, engine)
        assert (ending.reason, ending.trials, ending.exact) == ("CPU time", 8, False)

    @pytest.mark.parametrize(("cost", "end", "total"), [(10.0, 20.0, 75.0), (10.0, 0.0, 75.0), (1.0, 70.0, 75.0)])
    def test_of_cpu_time_enough_is_kept_for_what_follows(self, cost, end, total):
        """Trials go on while one more and the end fit."""
        memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))
        inner = engine.wait
        engine.wait = lambda timeout: [
            replace(event, cpu_seconds=cost) if isinstance(event, Outcome) else event for event in inner(timeout)
        ]
        budget = SearchBudget(trials=20, cpu_seconds=total)
        ending = run(make_plan(window=1, budget=budget, reserve=lambda: end + cost), memory, engine)
        assert ending.reason == "CPU time"
        assert ending.trials * cost + end <= total < (ending.trials + 2) * cost + end

    def test_without_room_for_the_end_there_is_still_one_trial(self):
        memory, engine = Memory(), Shuffling(Curve(), 1, np.random.default_rng(0))
        plan = make_plan(window=1, budget=SearchBudget(trials=20, cpu_seconds=75), reserve=lambda: 1e9)
        assert run(plan, memory, engine).trials == 1

    def test_wall_time_gives_up_what_trains(self):
        memory, engine = Memory(), Shuffling(Curve(), 2, np.random.default_rng(0))
        seconds = iter(range(10_000))
        plan = make_plan(window=2, budget=SearchBudget(trials=1000, wall_seconds=60))
        memory.wall_seconds = 20.0
        ending = run(plan, memory, engine, clock=lambda: float(next(seconds)))
        assert (ending.reason, ending.exact) == ("wall time", False)
        assert next(seconds) < 60
        assert {outcome.cause for outcome in memory.lost} == {"abandoned"}
        assert engine.cancelled == [(outcome.number, outcome.attempt) for outcome in memory.lost]
        expected = Memory()
        run(make_plan(trials=ending.trials, window=2), expected)
        ended = [row for row in memory.outline if row[2] is not None]
        assert ended == expected.outline[: len(ended)] or len(ended) == ending.trials

    def test_a_search_whose_time_is_over_does_not_begin_anything(self):
        memory = Memory()
        memory.dies_at = 3
        with pytest.raises(Died):
            run(make_plan(), memory)
        before, memory.wall_seconds, memory.dies_at = len(memory.trials), 100.0, float("inf")
        ending = run(make_plan(budget=SearchBudget(trials=20, wall_seconds=60)), memory)
        assert (ending.reason, len(memory.trials)) == ("wall time", before)
        assert memory.lost == []  # what is known of the attempts of the broker that died stays as it is

    def test_fewer_trials_than_were_proposed_end_it(self):
        memory = Memory()
        memory.dies_at = 6
        with pytest.raises(Died):
            run(make_plan(), memory)
        assert len(memory.trials) > 4
        ending = run(make_plan(trials=4), memory)
        assert (ending.reason, ending.trials) == ("trials", len(memory.trials))


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        pytest.param([(1, 1), (2, 2), (1, 3), (0, 0), (3, 0)], [False] * 5, id="each-adds-to-the-front"),
        pytest.param([(1, 1), (1, 1), (0, 1), (1, 0)], [False, False, True, True], id="nothing-new"),
        pytest.param([None, None, None, (1, 1)], [False] * 4, id="nothing-yet"),
    ],
)
def test_no_improvement_of_several_objectives(values, ends):
    rule = NoImprovement(2, ["maximize", "maximize"])
    trials = [
        Observation(i, {}, each and tuple(map(float, each)), "failed" if each is None else "completed")
        for i, each in enumerate(values)
    ]
    assert [rule.tell(trial) for trial in trials][: len(ends)] == ends


def test_a_target_asks_for_every_objective_that_has_one():
    rule = TargetReached([0.9, None, 50], ["maximize", "maximize", "minimize"])
    tell = lambda *values, violation=0.0: rule.tell(Observation(0, {}, values, "completed", violation))  # noqa: E731
    assert not tell(0.9, 0.0, 51.0)
    assert not tell(0.89, 1.0, 50.0)
    assert not tell(0.9, 0.0, 50.0, violation=1.0)
    assert tell(0.9, 0.0, 50.0)


def test_stagnation_compares_with_some_trials_ago():
    both = ("maximize", "maximize")
    rule = Stagnation(2, 0.01, both, lambda points: hypervolume(points, (0.0, 0.0), both))
    points = [(1, 1), (2, 1), (2, 2), (2, 2.005), (1, 1), (0, 9)]
    ends = [rule.tell(Observation(i, {}, tuple(map(float, point)), "completed")) for i, point in enumerate(points)]
    assert ends == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SearchBudget(trials=0),
        lambda: SearchBudget(wall_seconds=float("nan")),
        lambda: make_plan(window=0),
        lambda: NoImprovement(0, ["maximize"]),
        lambda: Stagnation(1, -1.0, ["maximize"], lambda points: 0.0),
        lambda: TargetReached([None], ["maximize"]),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
