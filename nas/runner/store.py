"""`HistoryStore`: a search's trials in the history, as the broker keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from ...core import Candidate, Evaluation, ModelSpec, NasturtiumError
from ...core.nn import layer_spec
from ...core.train import Curves
from ...storage import (
    ArchitectureEntry,
    Database,
    History,
    OutcomeEntry,
    ProposalEntry,
    Tracker,
    TrialRecord,
)
from ..space import Space
from .documents import LARGEST
from .jobs import ERROR, Outcome, Progress
from .protocols import Attempt, Past, PastTrial

TRANSFERRED: Final = "transferred_bytes"  # the figure of an evaluation that says what was sent for it
_STEP: Final = "step/"  # curves of what a trial had reached after its first, second, ... budget
_NO_NETWORK: Final = ModelSpec((1,), (layer_spec("flatten"),))  # stands for a candidate of a plain table of decisions
_FINISHED: Final = frozenset({"completed", "pruned", "failed"})


class HearsStop(Protocol):
    """What the store asks of a `Heartbeat`."""

    def stop_requested(self) -> bool:
        """Whether somebody asked the search to stop."""
        ...


class HistoryStore:
    """Keeps trials in the history.

    Args:
        database, tracker: stay the caller's.
        search_uid: the search, which this process runs.
        space: what it searches.
        objectives: the figures that trials are compared by, in order.
        stepwise: trials are compared on the way, so what they had reached there is kept.
        heartbeat: of this broker, or whatever else hears that it is to stop.
    """

    def __init__(
        self,
        database: Database,
        tracker: Tracker,
        search_uid: str,
        space: Space,
        *,
        objectives: Sequence[str],
        stepwise: bool = False,
        heartbeat: HearsStop,
    ) -> None:
        self._history = History(database)
        self._tracker = tracker
        self._uid = search_uid
        self._space = space
        self._objectives = objectives
        self._stepwise = stepwise
        self._heartbeat = heartbeat
        self._ids: dict[int, tuple[int, str]] = {}  # number -> last attempt and its id

    def restore(self) -> Past:
        """What the history knows of the search."""
        last = {record.number: record for record in self._history.trials(self._uid)}  # attempts come in order
        trials: list[PastTrial] = []
        for number in range(len(last)):
            record = last.get(number)
            if record is None or record.flat is None:
                raise NasturtiumError(
                    f"the search cannot go on: its trial {number} is missing, or without its point",
                    hint="go on with the version of nasturtium that started it, or start a new search",
                )
            self._ids[number] = record.attempt, record.uid
            outcome = self._outcome(record) if record.state in _FINISHED else None
            trials.append(PastTrial(flat=record.flat, attempt=record.attempt, outcome=outcome))
        status = self._history.search_status(self._uid)
        return Past(trials=trials, cpu_seconds=status.cpu_seconds, wall_seconds=status.active_seconds)

    def record(self, outcomes: Sequence[Outcome], attempts: Sequence[Attempt]) -> Mapping[int, Candidate]:
        """Write outcomes and new attempts in one transaction; see `Store`."""
        entries = [self._entry(outcome) for outcome in outcomes]
        made = {attempt.number: self._propose(attempt) for attempt in attempts}
        ids = self._tracker.record(self._uid, outcomes=entries, proposals=[entry for entry, _ in made.values()])
        for number, uid in ids.items():
            self._ids[number] = self._ids.get(number, (0, ""))[0] + 1, uid
        return {
            number: Candidate(
                id=ids[number],
                spec=spec,
                hyperparameters=entry.hyperparameters,
                seed=entry.seed,
                flat=entry.flat or {},
            )
            for number, (entry, spec) in made.items()
        }

    def log(self, progress: Progress) -> None:
        """Add to a trial's curves."""
        _, uid = self._ids[progress.number]
        steps: dict[int, dict[str, float]] = {}
        for name, curve in progress.curves.items():
            for step, value in curve.items():
                steps.setdefault(step, {})[name] = value
        for step, figures in sorted(steps.items()):
            self._tracker.log(uid, figures, step=step)

    def stop_requested(self) -> bool:
        """Whether somebody asked the search to stop."""
        return self._heartbeat.stop_requested()

    def _propose(self, attempt: Attempt) -> tuple[ProposalEntry, ModelSpec]:
        space, flat = self._space, attempt.flat
        spec = _NO_NETWORK if space.template is None else space.spec(flat)
        plan = spec.plan()
        entry = ProposalEntry(
            number=attempt.number,
            architecture=ArchitectureEntry(
                sha256=space.network_id(flat),
                space=space.name,
                choices=space.choices(flat),
                spec=spec.to_dict(),
                parameters=plan.parameters,
                macs=plan.macs,
            ),
            hyperparameters=space.hyperparameters_of(flat),
            seed=attempt.seed,
            flat=flat,
        )
        return entry, spec

    def _entry(self, outcome: Outcome) -> OutcomeEntry:
        attempt, uid = self._ids[outcome.number]
        assert attempt == outcome.attempt
        found = outcome.evaluation
        sent = None if found is None else found.objectives.get(TRANSFERRED)
        return OutcomeEntry(
            uid=uid,
            state="interrupted" if outcome.state == "lost" else outcome.state,
            metrics={} if found is None else found.objectives,
            curves={**({} if found is None else found.curves), **self._steps(outcome)},
            error=outcome.error,
            cause=outcome.cause,
            cpu_seconds=outcome.cpu_seconds,
            peak_memory_bytes=outcome.peak_memory_bytes,
            rung=None if found is None else found.epochs,
            wall_seconds=outcome.wall_seconds,
            transferred_bytes=None if sent is None or not 0 <= sent <= LARGEST else int(sent),
        )

    def _steps(self, outcome: Outcome) -> Curves:
        if not self._stepwise:
            return {}
        by_objective = zip(*outcome.scores, strict=True)
        return {
            f"{_STEP}{name}": dict(enumerate(values, start=1))
            for name, values in zip(self._objectives, by_objective, strict=False)  # no scores: no curves
        }

    def _outcome(self, record: TrialRecord) -> Outcome:
        """What `_entry` wrote."""
        failed = record.state == "failed"
        evaluation = Evaluation(objectives=record.metrics, epochs=record.rung or 0) if record.metrics else None
        scores: tuple[tuple[float, ...], ...] = ()
        if self._stepwise:
            curves = self._history.curves(record.uid)
            steps = [curves.get(f"{_STEP}{name}", {}) for name in self._objectives]
            scores = tuple(zip(*([curve[step] for step in sorted(curve)] for curve in steps), strict=True))
        elif not failed:
            scores = (tuple(record.metrics[name] for name in self._objectives),)
        return Outcome(
            number=record.number,
            attempt=record.attempt,
            state="failed" if failed else "pruned" if record.state == "pruned" else "completed",
            evaluation=evaluation,
            scores=scores,
            cause=(record.cause or ERROR) if failed else None,
            error=record.error,
        )
