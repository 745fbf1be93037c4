"""Training one job, step by step: the same code in this process, in a worker process and on another machine."""

from __future__ import annotations

import math
import traceback
from collections.abc import Generator
from pathlib import Path

from ...core import Budget, ConfigError, Evaluation, NasturtiumError
from ...core.train import Curves
from ..evaluate import Evaluator
from .jobs import ERROR, NOT_FINITE, OUT_OF_MEMORY, Job, Outcome, OutcomeState, Progress

LONGEST = 2000  # characters of an error


def climb(evaluator: Evaluator, job: Job) -> Generator[Progress | Outcome]:
    """Train a job: its progress after each step but the last, and at last its outcome.

    Whatever the evaluator raises is an outcome. What the job has cost is for the caller to measure.
    """
    steps = ascend(job)
    event = next(steps, None)
    while event is not None:
        if isinstance(event, Budget):
            try:
                evaluation = evaluator.evaluate(job.candidate, event)
            except Exception as exc:
                event = steps.throw(exc)
            else:
                event = steps.send(evaluation)
        else:
            yield event
            event = next(steps, None)


def ascend(job: Job) -> Generator[Budget | Progress | Outcome, Evaluation | None]:
    """The steps of a job, for whoever evaluates: each budget is answered with an evaluation, or with what that raised;
    between them comes its progress, and at last its outcome.
    """
    trial = _Trial(job)
    try:
        for rung, budget in enumerate(job.budgets):
            evaluation = trial.evaluation = yield budget
            assert evaluation is not None
            if not trial.take(evaluation):
                yield trial.outcome("failed", NOT_FINITE, "the loss or an objective was not finite")
                return
            if budget is job.budgets[-1]:
                break
            if evaluation.epochs < budget.epochs and _is_same_training(job.budgets[-1], budget):
                trial.stay(len(job.budgets))
                break  # its patience ran out: more budget would change nothing
            yield trial.progress(budget)
            if job.rule is not None and not job.rule.keeps(rung, trial.scores[-1]):
                yield trial.outcome("pruned")
                return
    except Exception as exc:
        yield trial.outcome("failed", OUT_OF_MEMORY if is_out_of_memory(exc) else ERROR, describe(exc))
        return
    yield trial.outcome("completed")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that memory ran out; on a GPU, too."""
    while error is not None:
        # Those of PyTorch and CuPy are no MemoryError in every version.
        if isinstance(error, MemoryError) or any("OutOfMemory" in kind.__name__ for kind in type(error).__mro__):
            return True
        error = error.__cause__ or error.__context__
    return False


def describe(error: BaseException) -> str:
    """An error in one line: its type, its message, and the line that raised it."""
    message = error.message if isinstance(error, NasturtiumError) else str(error)
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return said[:LONGEST] + where


def _is_same_training(a: Budget, b: Budget) -> bool:
    """Whether the higher of two budgets goes on with the training of the lower."""
    return (a.rows, a.resolution) == (b.rows, b.resolution)


class _Trial:
    """What is known of a job so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._reported: dict[str, int] = {}  # metric -> points of its curve that were reported
        self.evaluation: Evaluation | None = None
        self.scores: list[tuple[float, ...]] = []

    def take(self, evaluation: Evaluation) -> bool:
        """Whether it can be compared: all that is compared is finite."""
        if evaluation.diverged:
            return False
        missing = [name for name in self._job.objectives if name not in evaluation.objectives]
        if missing:
            raise ConfigError(
                f"the evaluator gave no {', '.join(missing)}, but {', '.join(evaluation.objectives) or 'nothing'}",
                hint="search for objectives that it measures",
            )
        values = tuple(float(evaluation.objectives[name]) for name in self._job.objectives)
        if not all(map(math.isfinite, values)):
            return False
        self.scores.append(values)
        return True

    def stay(self, budgets: int) -> None:
        """More of the budgets would give what there is: the others are compared with that."""
        self.scores += self.scores[-1:] * (budgets - len(self.scores))

    def progress(self, budget: Budget) -> Progress:
        assert self.evaluation is not None
        return Progress(
            number=self._job.number,
            attempt=self._job.attempt,
            epochs=self.evaluation.epochs,
            total=budget.total,
            figures=self.evaluation.objectives,
            curves=self._growth(self.evaluation.curves),
        )

    def outcome(self, state: OutcomeState, cause: str | None = None, error: str | None = None) -> Outcome:
        return Outcome(
            number=self._job.number,
            attempt=self._job.attempt,
            state=state,
            evaluation=self.evaluation,
            scores=tuple(self.scores),
            cause=cause,
            error=error,
        )

    def _growth(self, curves: Curves) -> Curves:
        grown: Curves = {}
        for name, curve in curves.items():
            known = self._reported.get(name, 0)
            if len(curve) > known:
                grown[name] = dict(list(curve.items())[known:])
                self._reported[name] = len(curve)
        return grown
