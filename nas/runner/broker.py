"""The broker: one process that owns a search, proposes its trials, has an engine train them and writes it all down.

Which trials a search has does not depend on which worker was quick. With a window of W trials, trial n is proposed when
trials 0 to n - W are finished, and the strategy, the scheduler and the stop rules have been told of exactly these, in
the order of their numbers: results that come early are held back.

What counts is in the store before the next trial begins. A broker that was killed anywhere is followed by one that
recalls the proposals, tells the results in the same order, and begins again what was in work, under the same number and
at the same point. So it goes on as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

from ...core import ConfigError, derive_seed
from ..fidelity import Scoreboard, StopRule
from ..space import Flat
from ..strategies import Observation, SpaceUsedUpError
from .budgets import Reason
from .jobs import ABANDONED, ERROR, GIVEN_BACK, NOT_FINITE, UNREADABLE, Job, Outcome, Progress
from .plan import Begun, Ending, Plan, RunnerEvent, TrialsFailedError
from .protocols import Attempt, Engine, Past, Proposer, Store

ATTEMPTS: Final = 3  # at a trial that is lost, by one broker
MAX_FAILURES: Final = 3  # in a row; one that fails costs one trial, a broken machine fails them all
BEAT_S: Final = 1.0


class Broker:
    """Runs a search to its end. Used once, from one thread.

    Args:
        plan: what to do.
        proposer: says which points to try; new, nothing was asked of it.
        scheduler: says how far to train them; new.
        engine: trains; stays the caller's, who closes it.
        store: keeps what is known.
        observe: called with everything that happens, in this thread; outcomes come when they are in the store.
        clock: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        proposer: Proposer,
        scheduler: Scoreboard,
        engine: Engine,
        store: Store,
        observe: Callable[[RunnerEvent], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._proposer = proposer
        self._scheduler = scheduler
        self._engine = engine
        self._store = store
        self._observe = observe
        self._clock = clock
        self._flats: list[Flat] = []  # of the trials that were proposed, by number
        self._rules: dict[int, StopRule] = {}  # of trials that are not finished
        self._attempts: dict[int, int] = {}  # the last one at each of them
        self._finished: dict[int, Outcome] = {}  # held back until it is their turn
        self._settled: set[int] = set()  # by an earlier broker
        self._told = 0  # trials
        self._queue: deque[Job] = deque()  # recorded, and waiting for a slot
        self._working = 0
        self._lost: Counter[int] = Counter()
        self._failures = 0  # in a row
        self._succeeded = False
        self._fault: TrialsFailedError | None = None
        self._reason: Reason | None = None
        self._cpu_seconds = self._bytes = 0.0
        self._wall_before = 0.0
        self._began = clock()
        self._outcomes: list[Outcome] = []  # to be recorded
        self._new: list[int] = []  # trials of which an attempt is to be recorded

    def run(self) -> Ending:
        """Do all that is left to do.

        Returns:
            Why it ended.

        Raises:
            TrialsFailedError: this machine fails every trial.
        """
        self._restore(self._store.restore())
        while not self._is_over():
            self._propose()
            self._write()
            if self._fault is not None:
                raise self._fault
            while self._queue and self._working < self._engine.slots:
                self._engine.submit(self._queue.popleft())
                self._working += 1
            if not self._working:
                break
            self._listen()
        else:
            self._give_up()
        assert self._reason is not None
        ending = Ending(self._reason, self._told + len(self._finished))
        self._observe(ending)
        return ending

    def _restore(self, past: Past) -> None:
        """Come to where the last broker was: what it was told of, and what it had in work."""
        self._cpu_seconds, self._wall_before = past.cpu_seconds, past.wall_seconds
        adopted = self._engine.adopt()
        told: list[Observation] = []
        for number, trial in enumerate(past.trials):
            self._flats.append(trial.flat)
            self._attempts[number] = trial.attempt
            if trial.outcome is not None:
                self._finished[number] = trial.outcome
                self._settled.add(number)
            # What the rule of a trial was made of is what had been told when it was proposed.
            while self._told <= number - self._plan.window:
                told.append(self._observe_next())
            if trial.outcome is None:
                self._rules[number] = self._scheduler.rule(number)
                if adopted.get(number) == trial.attempt:
                    self._working += 1
                else:
                    self._new.append(number)
        if past.trials:
            self._proposer.restore(self._flats, told, workers=self._plan.window)

    def _propose(self) -> None:
        """Tell what can be told, and propose what can be proposed then, one after the other."""
        limit = math.inf if self._plan.budget.trials is None else self._plan.budget.trials
        while True:
            number = len(self._flats)
            if self._reason is None and number >= limit:
                self._reason = "trials"
            if self._reason is None and self._fault is None and number - self._told < self._plan.window:
                try:
                    proposal = self._proposer.ask()
                except SpaceUsedUpError:
                    self._reason = "space used up"
                    continue
                self._flats.append(proposal.flat)
                self._attempts[number] = 0
                self._rules[number] = self._scheduler.rule(number)
                self._new.append(number)
            elif self._told in self._finished:
                told = self._observe_next()
                self._proposer.tell(told.number, told.values, told.state, told.violation, told.steps)
            else:
                return

    def _observe_next(self) -> Observation:
        """Let the scheduler and the rules look at the next trial; what the proposer is to be told."""
        number = self._told
        if number not in self._finished:
            raise ConfigError(
                f"trial {number} is not finished, but trial {len(self._flats) - 1} was proposed after it",
                hint="resume with the number of workers that the search was started with",
            )
        outcome = self._finished.pop(number)
        self._told += 1
        told = self._read(outcome)
        self._scheduler.tell(number, outcome.scores)
        self._count_failures(outcome)
        if outcome.evaluation is not None:
            self._bytes += outcome.evaluation.objectives.get(self._plan.budget.bytes_figure, 0.0)
        # All of them are to hear of it.
        ends: list[Reason] = [rule.reason for rule in self._plan.end_rules if rule.tell(told)]
        if self._plan.budget.bytes is not None and self._bytes >= self._plan.budget.bytes:
            ends.append("bytes")
        if ends and self._reason is None:
            self._reason = ends[0]
        return told

    def _read(self, outcome: Outcome) -> Observation:
        number, flat = outcome.number, self._flats[outcome.number]
        if outcome.state in {"failed", "lost"} or outcome.evaluation is None:
            return Observation(number, flat, None, "failed")
        values, violation = self._plan.judge(outcome.evaluation)
        state = "pruned" if outcome.state == "pruned" else "completed"
        return Observation(number, flat, values, state, violation, max(1, len(outcome.scores)))

    def _count_failures(self, outcome: Outcome) -> None:
        """A machine that fails whatever it is given is broken; candidates that are too large for it are not its fault,
        unless it has never trained any.
        """
        if outcome.state != "failed" or outcome.cause == NOT_FINITE:
            self._failures, self._succeeded = 0, True
        elif outcome.number in self._settled:
            pass  # whoever resumes has seen it, and wants to go on
        elif outcome.cause == ERROR or self._lost[outcome.number] or not self._succeeded:
            self._failures += 1
            if self._failures == MAX_FAILURES:
                self._fault = TrialsFailedError(
                    f"{MAX_FAILURES} trials in a row failed, the last one by {outcome.cause}: {outcome.error}",
                    hint="look at what they say; resuming goes on with the next trial",
                )

    def _write(self) -> None:
        """Write what happened in this turn, all of it or nothing; then what was begun can be worked on."""
        if not self._outcomes and not self._new:
            return
        outcomes, numbers = self._outcomes, self._new
        self._outcomes, self._new = [], []
        attempts = [Attempt(number=number, flat=self._flats[number], seed=self._seed(number)) for number in numbers]
        candidates = self._store.record(outcomes, attempts)
        for number in numbers:
            self._attempts[number] += 1
            self._queue.append(
                Job(
                    number=number,
                    attempt=self._attempts[number],
                    candidate=candidates[number],
                    budgets=tuple(self._scheduler.budgets(number)),
                    objectives=self._plan.objectives,
                    rule=self._rules[number],
                    limits=self._plan.limits,
                )
            )
        for outcome in outcomes:
            self._observe(outcome)
        for number in numbers:
            self._observe(Begun(number, self._attempts[number], self._flats[number]))

    def _seed(self, number: int) -> int:
        return derive_seed(self._plan.seed, "candidate", number)

    def _listen(self) -> None:
        """Wait for what trains."""
        timeout = BEAT_S
        if self._plan.budget.wall_seconds is not None:
            timeout = min(timeout, max(0.0, self._plan.budget.wall_seconds - self._wall_seconds()))
        for event in self._engine.wait(timeout):
            if isinstance(event, Progress):
                self._store.log(event)
                self._observe(event)
            else:
                self._take(event)
        if self._store.stop_requested():
            self._stop()

    def _stop(self) -> None:
        """Somebody asked for it: what is in work may be finished, but what waits for workers may wait for ever."""
        recalled = self._engine.recall()
        if self._reason is None or recalled or not self._plan.finish_on_request:
            self._reason = "request"
        for number, attempt in recalled:
            self._working -= 1
            self._abandon(number, attempt)

    def _abandon(self, number: int, attempt: int) -> None:
        self._outcomes.append(Outcome(number=number, attempt=attempt, state="lost", cause=ABANDONED))

    def _take(self, outcome: Outcome) -> None:
        number = outcome.number
        self._working -= 1
        if wrong := self._misfit(outcome):
            outcome = Outcome(number=number, attempt=outcome.attempt, state="lost", cause=UNREADABLE, error=wrong)
        self._cpu_seconds += outcome.cpu_seconds
        if outcome.state == "lost":
            self._lost[number] += outcome.cause != GIVEN_BACK
            if self._lost[number] < ATTEMPTS:
                self._outcomes.append(outcome)
                self._new.append(number)
                return
            outcome = outcome.given_up(ATTEMPTS)
        self._outcomes.append(outcome)
        self._finished[number] = outcome
        del self._rules[number]

    def _misfit(self, outcome: Outcome) -> str | None:
        """Why an outcome cannot be that of its trial; reports come from other machines."""
        names = self._plan.objectives
        if any(len(scores) != len(names) for scores in outcome.scores):
            return f"expected {len(names)} scores at each budget"
        if outcome.state in {"failed", "lost"}:
            return None
        figures: Mapping[str, float] = {} if outcome.evaluation is None else outcome.evaluation.objectives
        if not all(math.isfinite(figures.get(name, math.nan)) for name in names):
            return f"it is {outcome.state}, but its {', '.join(names)} are not all finite numbers"
        budgets = len(self._scheduler.budgets(outcome.number))
        if not 1 <= len(outcome.scores) <= budgets:
            return f"expected scores at 1 to {budgets} budgets, got {len(outcome.scores)}"
        return None

    def _wall_seconds(self) -> float:
        return self._wall_before + self._clock() - self._began

    def _is_over(self) -> bool:
        """Whether even what trains has to end."""
        budget = self._plan.budget
        if self._reason == "request" and not self._plan.finish_on_request:
            return True
        if budget.wall_seconds is not None and self._wall_seconds() >= budget.wall_seconds:
            self._reason = "wall time"
            return True
        if budget.cpu_seconds is not None and self._reason is None:
            # The first trial is begun whatever is left: a search without one has nothing to end with.
            reserve = self._plan.reserve() if self._flats else 0.0
            if self._cpu_seconds + reserve >= budget.cpu_seconds:
                self._reason = "CPU time"
        return False

    def _give_up(self) -> None:
        """End what trains; what has ended is recorded."""
        self._queue.clear()
        # What has ended, and what an earlier broker gave up and this one did not begin again.
        over = {outcome.number for outcome in self._outcomes} | set(self._new)
        self._new.clear()
        for number in [number for number in self._rules if number not in over]:
            attempt = self._attempts[number]
            self._engine.cancel(number, attempt)
            self._abandon(number, attempt)
        self._write()
