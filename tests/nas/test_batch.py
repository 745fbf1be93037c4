"""`BatchEngine`: trials side by side in one process end as one after the other, and so does the search."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.nas.fidelity import StopRule
from nasturtium.nas.runner import BatchEngine, InlineEngine, Job, Limits, Outcome

SPEC = ModelSpec((3,), (layer_spec("linear", out_features=2),))


class Table:
    """Gives every candidate a figure that grows with the budget; seed 2 diverges and seed 3 is not known.

    Answers in the order in which it was asked, or the other way round.
    """

    def __init__(self, *, backwards: bool = False) -> None:
        self.asked: deque[tuple[Candidate, Budget]] = deque()
        self.forgotten: list[str] = []
        self._backwards = backwards

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        if candidate.seed == 3:
            raise ConfigError("nobody knows it")
        if candidate.seed == 2:
            return Evaluation(objectives={}, epochs=budget.epochs, diverged=True)
        value = budget.epochs / (1 + candidate.seed)
        curve = {epoch: epoch / (1 + candidate.seed) for epoch in range(1, budget.epochs + 1)}
        return Evaluation(objectives={"val_accuracy": value}, curves={"val_accuracy": curve}, epochs=budget.epochs)

    def submit(self, candidate, budget):
        self.asked.append((candidate, budget))

    def wait(self):
        if not self.asked:
            return []
        candidate, budget = self.asked.pop() if self._backwards else self.asked.popleft()
        try:
            return [(candidate.id, self.evaluate(candidate, budget))]
        except ConfigError as exc:
            return [(candidate.id, exc)]

    def forget(self, candidate):
        self.forgotten.append(candidate)


def make_job(number: int, **changes: object) -> Job:
    """Budgets of 1, 2 and 4 epochs; trial 1 is stopped after the second, where its score is compared."""
    candidate = Candidate(id=f"trial {number}", spec=SPEC, hyperparameters={}, seed=number)
    rule = StopRule(eta=2, directions=("maximize",), rungs=(((9.0,), (8.0,)), ((2.0,), (1.5,)), ()))
    fields = {
        "number": number,
        "attempt": 1,
        "candidate": candidate,
        "budgets": tuple(Budget(epochs=epochs, total=4) for epochs in (1, 2, 4)),
        "objectives": ("val_accuracy",),
        "rule": rule if number == 1 else None,
    }
    return Job(**fields | changes)


def run(engine, jobs):
    """All that an engine says of jobs, by number, without what depends on the machine."""
    said = {job.number: [] for job in jobs}
    for job in jobs:
        engine.submit(job)
    while events := engine.wait(None):
        for event in events:
            if isinstance(event, Outcome):
                event = replace(event, cpu_seconds=0.0, wall_seconds=0.0, peak_memory_bytes=None)
            said[event.number].append(event)
    return said


def measured(said):
    """Without costs, which only one of both works out."""
    return {
        number: [(type(each).__name__, getattr(each, "state", None), getattr(each, "scores", None)) for each in events]
        for number, events in said.items()
    }


@pytest.mark.parametrize("backwards", [False, True])
def test_jobs_side_by_side_say_what_they_say_alone(backwards):
    jobs = [make_job(number) for number in range(4)]
    together = run(BatchEngine(Table(backwards=backwards), slots=4), jobs)
    alone = run(InlineEngine(Table(), slots=4), jobs)
    assert measured(together) == measured(alone)
    assert [events[-1].state for events in together.values()] == ["completed", "pruned", "failed", "failed"]
    assert together[3][-1].error == alone[3][-1].error


def test_costs_that_nobody_told_are_worked_out():
    [*_, outcome] = run(BatchEngine(Table()), [make_job(0)])[0]
    assert outcome.evaluation.objectives["parameters"] == SPEC.plan().parameters
    assert outcome.evaluation.objectives["val_accuracy"] == 4


def test_who_is_done_or_cancelled_is_forgotten():
    table = Table()
    engine = BatchEngine(table, slots=2)
    engine.submit(make_job(0))
    engine.submit(make_job(1))
    engine.cancel(1, 2)  # of another attempt
    assert table.forgotten == []
    engine.cancel(1, 1)
    assert table.forgotten == ["trial 1"]
    while not any(isinstance(event, Outcome) for event in engine.wait(None)):
        pass
    assert table.forgotten == ["trial 1", "trial 0"]
    engine.close()


def test_processor_time_is_shared_out():
    ticks = iter(range(100))
    engine = BatchEngine(Table(), slots=2, cpu_clock=lambda: float(next(ticks)))
    outcomes = []
    for number in (0, 4):
        engine.submit(make_job(number, rule=None))
    while events := engine.wait(None):
        outcomes += [event for event in events if isinstance(event, Outcome)]
    assert sum(outcome.cpu_seconds for outcome in outcomes) == 6  # evaluations, a second each


def test_limits_of_a_trial_are_refused():
    with pytest.raises(ConfigError, match="trained together"):
        BatchEngine(Table()).submit(make_job(0, limits=Limits(seconds=1)))
    with pytest.raises(ConfigError, match="slots >= 1"):
        BatchEngine(Table(), slots=0)
