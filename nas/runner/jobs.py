"""What the broker gives to an engine and gets back: a `Job`, its `Progress` and its `Outcome`, as values and as JSON.

They travel to other processes and machines, so nothing here is code: what arrives is parsed and checked, never
unpickled. JSON has no NaN and no infinities; they travel as words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, cast, get_args

from ...core import Budget, Candidate, ConfigError, Evaluation, FormatError, ModelSpec
from ...core.train import Curves
from ..fidelity import StopRule

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
        with _Parsing("job", document) as fields:
            candidate = fields["candidate"]
            return cls(
                number=fields["number"],
                attempt=fields["attempt"],
                candidate=Candidate(
                    id=candidate["id"],
                    spec=ModelSpec.from_dict(candidate["spec"]),
                    hyperparameters=candidate["hyperparameters"],
                    seed=candidate["seed"],
                    flat=candidate["flat"],
                ),
                budgets=tuple(Budget(**budget) for budget in fields["budgets"]),
                objectives=tuple(fields["objectives"]),
                rule=None if fields["rule"] is None else StopRule.from_dict(fields["rule"]),
                limits=Limits(**fields["limits"]),
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
        return {**fields, "figures": _pack(self.figures), "curves": _pack_curves(self.curves)}

    @classmethod
    def from_dict(cls, document: object) -> Progress:
        """Parse; raises `FormatError`."""
        with _Parsing("progress", document) as fields:
            figures, curves = _unpack(fields.pop("figures")), _unpack_curves(fields.pop("curves"))
            return cls(**{name: int(value) for name, value in fields.items()}, figures=figures, curves=curves)


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
        fields["scores"] = [[_word(value) for value in scores] for scores in self.scores]
        if self.evaluation is not None:
            fields["evaluation"] = {
                "objectives": _pack(self.evaluation.objectives),
                "curves": _pack_curves(self.evaluation.curves),
                "epochs": self.evaluation.epochs,
                "diverged": self.evaluation.diverged,
            }
        return fields

    @classmethod
    def from_dict(cls, document: object) -> Outcome:
        """Parse; raises `FormatError`."""
        with _Parsing("outcome", document) as fields:
            found = fields.pop("evaluation")
            evaluation = found and Evaluation(
                objectives=_unpack(found["objectives"]),
                curves=_unpack_curves(found["curves"]),
                epochs=int(found["epochs"]),
                diverged=bool(found["diverged"]),
            )
            scores = tuple(tuple(float(value) for value in each) for each in fields.pop("scores"))
            return cls(**fields, evaluation=evaluation, scores=scores)


class _Parsing:
    """Turns what can go wrong with a foreign document into a `FormatError`."""

    def __init__(self, what: str, document: object) -> None:
        self._what = what
        self._document: object = document

    def __enter__(self) -> dict[str, Any]:
        document = self._document
        if not isinstance(document, dict):
            raise FormatError(f"expected the document of a {self._what}, got {document!r:.100}")
        return {**cast(dict[str, Any], document)}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError) and not isinstance(error, FormatError):
            raise FormatError(f"not a {self._what}: {type(error).__name__}: {error}") from error


def _word(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))


def _pack(figures: Mapping[str, float]) -> dict[str, float | str]:
    return {name: _word(float(value)) for name, value in figures.items()}


def _unpack(figures: Mapping[str, float | str]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


def _pack_curves(curves: Curves) -> dict[str, list[tuple[int, float | str]]]:
    return {
        name: [(int(step), _word(float(value))) for step, value in points.items()] for name, points in curves.items()
    }


def _unpack_curves(curves: Mapping[str, Sequence[tuple[int, float | str]]]) -> dict[str, dict[int, float]]:
    return {name: {int(step): float(value) for step, value in points} for name, points in curves.items()}
