"""What the broker gives to an engine and gets back: a `Job`, its `Progress` and its `Outcome`, as values and as JSON.

They travel to other processes and machines, so nothing here is code: what arrives is parsed and checked, never
unpickled. JSON has no NaN and no infinities; they travel as words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, Final, Literal, cast, get_args

from ...core import Budget, Candidate, ConfigError, Evaluation, FormatError, ModelSpec
from ...core.train import Curves
from ..fidelity import StopRule
from .documents import (
    Reading,
    pack_curves,
    pack_figures,
    pack_float,
    read_amount,
    read_bool,
    read_curves,
    read_figures,
    read_float,
    read_int,
    read_list,
    read_name,
    read_optional,
    read_scalars,
    read_text,
)

OutcomeState = Literal["completed", "pruned", "failed", "lost"]

# Why a trial failed, besides "signal 11 (SIGSEGV)" and the like.
OUT_OF_MEMORY: Final = "out of memory"
TIME_LIMIT: Final = "time limit"
NOT_FINITE: Final = "not finite"
ERROR: Final = "error"
# Why an attempt was lost, besides "killed (signal 9)".
EXPIRED: Final = "lease expired"
UNREADABLE: Final = "unreadable report"
NODE_LOST: Final = "node lost"
GIVEN_BACK: Final = "given back"  # by a worker that was asked to end: no reason to doubt the trial
ABANDONED: Final = "abandoned"  # when the search's time was over


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one trial may use.

    Attributes:
        memory_bytes: above what its process holds when it begins, >= 1; None does not limit it.
        seconds: by the clock, > 0; None does not limit it.
    """

    memory_bytes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise ConfigError(f"expected a memory limit of at least 1 byte, got {self.memory_bytes}")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"expected a time limit above 0 seconds, got {self.seconds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One trial to train.

    Attributes:
        number: of the trial, >= 0.
        attempt: at it, >= 1: one that is lost is tried again.
        candidate: what to train.
        budgets: the steps to train it in, ascending.
        objectives: which figures of an evaluation are compared, in the order of the rule's scores.
        rule: decides after each step but the last whether to go on; None always does.
        limits: what it may use.
    """

    number: int
    attempt: int
    candidate: Candidate
    budgets: tuple[Budget, ...]
    objectives: tuple[str, ...]
    rule: StopRule | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.number < 0 or self.attempt < 1:
            raise ConfigError(f"expected number >= 0 and attempt >= 1, got {self.number} and {self.attempt}")
        if not self.budgets:
            raise ConfigError(f"trial {self.number}: expected at least one budget, got none")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        candidate = self.candidate
        return {
            "number": self.number,
            "attempt": self.attempt,
            "candidate": {
                "id": candidate.id,
                "spec": candidate.spec.to_dict(),
                "hyperparameters": dict(candidate.hyperparameters),
                "seed": candidate.seed,
                "flat": dict(candidate.flat),
            },
            "budgets": [asdict(budget) for budget in self.budgets],
            "objectives": list(self.objectives),
            "rule": None if self.rule is None else self.rule.to_dict(),
            "limits": asdict(self.limits),
        }

    @classmethod
    def from_dict(cls, document: object) -> Job:
        """Parse what `to_dict` gave.

        Raises:
            FormatError: not a job.
        """
        with Reading("job", document, cls.__slots__) as fields:
            return cls(
                number=read_int(fields["number"]),
                attempt=read_int(fields["attempt"]),
                candidate=_read_candidate(fields["candidate"]),
                budgets=read_list(fields["budgets"], _read_budget),
                objectives=read_list(fields["objectives"], read_name),
                rule=read_optional(fields["rule"], _read_rule),
                limits=_read_limits(fields["limits"]),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A trial has trained to the end of one of its budgets but the last.

    Attributes:
        number, attempt: of the job.
        epochs: trained so far.
        total: of the schedule.
        figures: the objectives at this point.
        curves: what the curves have grown by.
    """

    number: int
    attempt: int
    epochs: int
    total: int
    figures: Mapping[str, float]
    curves: Curves = field(default_factory=dict[str, dict[int, float]])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        fields = {name: getattr(self, name) for name in ("number", "attempt", "epochs", "total")}
        return {**fields, "figures": pack_figures(self.figures), "curves": pack_curves(self.curves)}

    @classmethod
    def from_dict(cls, document: object) -> Progress:
        """Parse; raises `FormatError`."""
        with Reading("progress", document, cls.__slots__) as fields:
            return cls(
                **{name: read_int(fields[name]) for name in ("number", "attempt", "epochs", "total")},
                figures=read_figures(fields["figures"]),
                curves=read_curves(fields["curves"]),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt at a trial ended.

    Attributes:
        number, attempt: of the job.
        state: "completed"; "pruned": its stop rule ended it; "failed": by its own doing; "lost": by no doing of its
            own, as when its machine went down, so that it is worth another attempt.
        evaluation: the last one; None where there was none.
        scores: the objectives at the end of each budget that was reached, in the order of the job's.
        cause: why it failed or was lost, in a few fixed words, see above; None if it did not.
        error: the message behind it.
        cpu_seconds: of processor time.
        peak_memory_bytes: the most its process held in memory; None where nobody measured.
        wall_seconds: by the clock.
    """

    number: int
    attempt: int
    state: OutcomeState
    evaluation: Evaluation | None = None
    scores: tuple[tuple[float, ...], ...] = ()
    cause: str | None = None
    error: str | None = None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    wall_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.state not in get_args(OutcomeState):
            raise ConfigError(f"expected a state of {', '.join(get_args(OutcomeState))}, got {self.state!r}")
        if (self.cause is None) != (self.state in {"completed", "pruned"}):
            raise ConfigError(f"trial {self.number}: {self.state} with the cause {self.cause!r}")

    def given_up(self, attempts: int) -> Outcome:
        """The trial's failure, when this is the last of so many lost attempts."""
        error = f"lost {attempts} times" + (f", the last time: {self.error}" if self.error else "")
        return replace(self, state="failed", error=error)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["scores"] = [[pack_float(value) for value in scores] for scores in self.scores]
        if self.evaluation is not None:
            fields["evaluation"] = {
                "objectives": pack_figures(self.evaluation.objectives),
                "curves": pack_curves(self.evaluation.curves),
                "epochs": self.evaluation.epochs,
                "diverged": self.evaluation.diverged,
            }
        return fields

    @classmethod
    def from_dict(cls, document: object) -> Outcome:
        """Parse; raises `FormatError`."""
        with Reading("outcome", document, cls.__slots__) as fields:
            return cls(
                number=read_int(fields["number"]),
                attempt=read_int(fields["attempt"]),
                state=cast(OutcomeState, read_text(fields["state"])),
                evaluation=read_optional(fields["evaluation"], _read_evaluation),
                scores=read_list(fields["scores"], _read_scores),
                cause=read_optional(fields["cause"], read_text),
                error=read_optional(fields["error"], read_text),
                cpu_seconds=read_amount(fields["cpu_seconds"]),
                peak_memory_bytes=read_optional(fields["peak_memory_bytes"], read_int),
                wall_seconds=read_amount(fields["wall_seconds"]),
            )


def _read_candidate(document: object) -> Candidate:
    with Reading("candidate", document, ("id", "spec", "hyperparameters", "seed", "flat")) as fields:
        return Candidate(
            id=read_text(fields["id"]),
            spec=ModelSpec.from_dict(fields["spec"]),
            hyperparameters=read_scalars(fields["hyperparameters"]),
            seed=read_int(fields["seed"]),
            flat=read_scalars(fields["flat"]),
        )


def _read_budget(document: object) -> Budget:
    with Reading("budget", document, ("epochs", "total", "rows", "resolution")) as fields:
        return Budget(
            epochs=read_int(fields["epochs"]),
            total=read_int(fields["total"]),
            rows=read_float(fields["rows"]),
            resolution=read_float(fields["resolution"]),
        )


def _read_rule(document: object) -> StopRule:
    with Reading("stop rule", document, ("eta", "directions", "rungs")) as fields:
        rule = StopRule.from_dict(fields)
        if not all(isfinite(score) for rung in rule.rungs for scores in rung for score in scores):
            raise FormatError("a stop rule compares finite scores alone")
        return rule


def _read_limits(document: object) -> Limits:
    with Reading("limit", document, ("memory_bytes", "seconds")) as fields:
        return Limits(
            memory_bytes=read_optional(fields["memory_bytes"], read_int),
            seconds=read_optional(fields["seconds"], read_amount),
        )


def _read_evaluation(document: object) -> Evaluation:
    with Reading("evaluation", document, ("objectives", "curves", "epochs", "diverged")) as fields:
        return Evaluation(
            objectives=read_figures(fields["objectives"]),
            curves=read_curves(fields["curves"]),
            epochs=read_int(fields["epochs"]),
            diverged=read_bool(fields["diverged"]),
        )


def _read_scores(value: object) -> tuple[float, ...]:
    return read_list(value, read_float)
