"""Live progress on stderr: one moving line on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from ..federated import AttemptFailed, FederationEvent, FederationStarted, RoundFinished
from ..nas import (
    SearchEvent,
    SearchStarted,
    TrialFinished,
    TrialLost,
    TrialProgress,
    TrialsEnded,
    TrialStarted,
    Working,
)
from ..nas.runner import Outcome, Progress
from ..storage import LeaseRecord, SearchRecord
from .describe import protection
from .options import with_db
from .output import count, duration, show, size, stderr

if TYPE_CHECKING:
    from ..nas.runner import WorkerEvent


class _Line:
    """One moving line, or plain lines where there is no terminal to move it on."""

    def __init__(self, total: int) -> None:
        self.console: Console = stderr()
        self.live = self.console.is_terminal
        self._progress = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def move(self, done: float, total: int, text: str, note: str) -> None:
        """Show where things stand."""
        self._progress.update(self._task, completed=done, total=total, description=text, note=note)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, soft_wrap=True)


class SearchProgress(_Line):
    """Watches a search: the trials at work, the best so far, the time left; then what its end is about.

    Args:
        db: the database as the user named it, for commands to type next.
        remote: trials wait for workers, and how to start one has to be said.
    """

    def __init__(self, *, db: str | None = None, remote: bool = False) -> None:
        super().__init__(total=1)
        self.number: int | None = None  # of the search, once it is in the history
        self._db = db
        self._remote = remote
        self._config: Mapping[str, Any] = {}
        self._trials = 0
        self._done = 0
        self._resumed_at = 0
        self._best: float | None = None
        self._now: float | None = None  # what the last trial that said so has reached
        self._at_work: dict[int, float] = {}  # trial -> the part of it that is done
        self._counts: Counter[str] = Counter()
        self._goal = ""
        self._started = time.monotonic()

    def __call__(self, event: SearchEvent) -> None:
        """Take one event."""
        match event:
            case SearchStarted():
                self._begin(event)
            case TrialStarted(number, attempt):
                self._at_work[number] = 0.0
                if attempt > 1 and not self.live:
                    self.say(f"trial {number + 1} begins again, attempt {attempt}")
                self._show()
            case TrialProgress(number, epochs, total, figures):
                self._at_work[number] = epochs / total
                self._now = figures.get(self._goal)
                self._show()
            case TrialLost(number, cause):
                self._at_work.pop(number, None)
                self.say(f"trial {number + 1} was lost ({cause}): it is tried again")
            case TrialFinished():
                self._finish(event)
            case TrialsEnded(reason, finished, planned):
                self._end(reason, finished, planned)
            case Working(what):
                if not self.live:
                    self.say(what)
                self.move(self._trials, self._trials, what, f"best {show(self._best)}")

    def _begin(self, event: SearchStarted) -> None:
        search = event.search
        self.number = search.run.number
        self._config = search.run.config
        self._trials, self._done, self._resumed_at = search.trials, event.finished, event.finished
        self._goal, self._best = event.goal, event.best
        self._counts = Counter[str](event.states)
        self._started = time.monotonic()
        verb = "resumes at trial" if event.finished else "starts with trial"
        begins = f", {verb} {event.finished + 1}" if event.finished < search.trials else ", all trials are done"
        self.say(
            f"search {self.number} ({search.uid}) on {search.run.name}: {count(search.trials, 'trial')} of space "
            f"{search.space}{begins}"
        )
        if self._remote:
            told = with_db(f"worker --study {self.number}", self._db)
            self.say(f"its trials wait for workers, on any machine that reaches the database and has the data: {told}")
        self._show()

    def _finish(self, event: TrialFinished) -> None:
        self._at_work.pop(event.number, None)
        self._done += 1
        self._counts[event.state] += 1
        self._best = event.best
        cause = f" ({event.cause})" if event.cause else ""
        if not self.live:
            self.say(
                f"trial {event.number + 1}/{self._trials} {event.state}{cause}: {show(event.value)}, "
                f"best {show(event.best)}, {self._left()} left"
            )
        elif event.state == "failed":
            self.say(f"trial {event.number + 1} failed{cause}")
        self._show()

    def _end(self, reason: str, finished: int, planned: int) -> None:
        told = ", ".join(f"{number:,} {state}" for state, number in self._counts.items())
        counts = f": {told}" if told else ""
        if reason == "trials":
            self.say(f"{count(finished, 'trial')} ended{counts}")
        else:
            self.say(f"trials ended by {_REASONS.get(reason, reason)}: {finished} of {planned}{counts}")

    def _show(self) -> None:
        current = min(self._done + 1, self._trials)
        several = len(self._at_work) > 1
        text = f"{self._done}/{self._trials} trials" if several else f"trial {current}/{self._trials}"
        now = f"{len(self._at_work)} at work" if several else f"now {show(self._now)}"
        done = self._done + sum(self._at_work.values())
        self.move(done, self._trials, text, f"best {show(self._best)}  {now}  {self._left()} left")

    def _left(self) -> str:
        finished = self._done - self._resumed_at
        if not finished:
            return "?"
        each = (time.monotonic() - self._started) / finished
        # Each of the best is trained again with every seed, then the winner and the control on all rows.
        top, repeats, workers = (self._config.get(name) or 1 for name in ("top", "repeats", "workers"))
        # In processes of this machine they are trained side by side as trials are, otherwise one after the other.
        again = (min(top, self._trials) + 2) * repeats * (workers if self._remote else 1)
        left = each * (self._trials - self._done + again)
        budget = self._config.get("seconds")
        if budget is not None:
            left = min(left, max(0.0, budget - (time.monotonic() - self._started)) + each * again)
        return duration(left)


_REASONS: Mapping[str, str] = {
    "wall time": "the time it had",
    "CPU time": "the processor time it had",
    "bytes": "the bytes it had",
    "target": "reaching the target",
    "no improvement": "trials that were no better",
    "stagnation": "stagnation",
    "space used up": "the space, which has no other candidate",
    "request": "request",
}


class WorkerProgress(_Line):
    """Watches a worker: the trials it has, and what became of them.

    Args:
        workers: trials at a time.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(total=1)
        self.number: int | None = None  # of the search, once it is found
        self._workers = workers
        self._at_work: dict[int, float] = {}
        self._reported = 0
        self._goal = ""

    def begin(self, search: SearchRecord) -> None:
        """Everything is loaded: trials can come."""
        self.number = search.run.number
        self._goal = search.objectives[0][0]
        self.say(
            f"trains trials of search {self.number} ({search.uid}) on {search.run.name}, "
            f"{self._workers} at a time; Ctrl-C gives back what is not done"
        )
        self._show()

    def __call__(self, event: WorkerEvent) -> None:
        """Take one event."""
        match event:
            case LeaseRecord():
                self._at_work[event.number] = 0.0
                if not self.live:
                    self.say(f"trial {event.number + 1} taken, attempt {event.attempt}")
            case Progress(number=number, epochs=epochs, total=total):
                self._at_work[number] = epochs / total
            case Outcome():
                self._at_work.pop(event.number, None)
                if event.state == "lost":
                    self.say(f"trial {event.number + 1}: {event.cause}")
                else:
                    self._reported += 1
                    self.say(f"trial {event.number + 1} {self._ended(event)}")
        self._show()

    def _ended(self, outcome: Outcome) -> str:
        figures: Mapping[str, float] = {} if outcome.evaluation is None else outcome.evaluation.objectives
        cause = f" ({outcome.cause})" if outcome.cause else ""
        value = f": {self._goal} {show(figures[self._goal])}" if self._goal in figures else ""
        return f"{outcome.state}{cause}{value}, took {duration(outcome.wall_seconds)}"

    def _show(self) -> None:
        trained = f"{count(self._reported, 'trial')} done"
        at_work = f"{len(self._at_work)} at work" if self._at_work else "waits for trials"
        self.move(
            sum(self._at_work.values()), max(1, len(self._at_work)), f"search {self.number}", f"{trained}  {at_work}"
        )


class FederationProgress(_Line):
    """Watches a federated run: the round, the last reported accuracy, bytes, the time left."""

    def __init__(self) -> None:
        super().__init__(total=1)
        self.number: int | None = None  # of the run, once it is in the history
        self.uid: str | None = None
        self.done = 0  # rounds
        self._started = time.monotonic()

    def __call__(self, event: FederationEvent) -> None:
        """Take one event."""
        match event:
            case FederationStarted(run, noise_to_clip):
                self.number, self.uid = run.run.number, run.uid
                self._started = time.monotonic()
                self.say(
                    f"federated run {run.run.number} ({run.uid}) on {run.run.name}: {run.clients} clients, "
                    f"{run.rounds} rounds, updates under {protection(run.scheme, run.run.config)}"
                )
                if noise_to_clip is not None:
                    self.say(noise_line(noise_to_clip, run.clients))
                self.move(0, run.rounds, f"round 1/{run.rounds}", "")
            case RoundFinished(number, total, reported, accuracy, bytes_up, seconds):
                self.done = number
                left = duration((time.monotonic() - self._started) / number * (total - number))
                known = "" if reported is None else f"accuracy after round {reported} {show(accuracy)}, "
                note = f"{known}{size(bytes_up)} up, {left} left"
                self.move(number, total, f"round {number}/{total}", note)
                if not self.live:
                    self.say(f"round {number}/{total} took {duration(seconds)}: {note}")
            case AttemptFailed(number, attempt, failure):
                self.say(f"attempt {attempt} at round {number} gave no sum: {failure}")


def noise_line(noise_to_clip: float, clients: int) -> str:
    """How much noise there is in a round beside what the sites say; it falls with their number."""
    times = f"{noise_to_clip:,.0f}" if noise_to_clip >= 10 else f"{noise_to_clip:.2g}"
    told = f"noise: in the mean of {clients} sites it is {times} times as long as the longest change, the clip"
    if noise_to_clip <= 1:
        return told
    enough = float(f"{noise_to_clip * clients:.1g}")
    return f"{told}, and hides what they learn: it would be as long as that with some {enough:,.0f} sites"
