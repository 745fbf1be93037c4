"""Live progress on stderr: one moving line on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ..federated import FederationEvent, FederationStarted, RoundFinished
from ..nas import RetrainStarted, SearchEvent, SearchStarted, SpaceUsedUp, TrialFinished, TrialProgress
from .describe import protection
from .output import count, duration, show, size, stderr


class _Line:
    """One moving line, or plain lines where there is no terminal to move it on."""

    def __init__(self, total: int) -> None:
        self.console: Console = stderr()
        self.live = self.console.is_terminal
        self._progress = Progress(
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
    """Watches a search: the trial, the best so far, the time left."""

    def __init__(self) -> None:
        super().__init__(total=1)
        self.number: int | None = None  # of the search, once it is in the history
        self._trials = 0
        self._done = 0
        self._resumed_at = 0
        self._best: float | None = None
        self._started = time.monotonic()

    def __call__(self, event: SearchEvent) -> None:
        """Take one event."""
        match event:
            case SearchStarted(search, finished, best):
                self.number = search.run.number
                self._trials, self._done, self._resumed_at = search.trials, finished, finished
                self._best = best
                self._started = time.monotonic()
                verb = "resumes at trial" if finished else "starts with trial"
                self.say(
                    f"search {self.number} ({search.uid}) on {search.run.name}: "
                    f"{count(search.trials, 'trial')} of space {search.space}, {verb} {finished + 1}"
                )
                self._show(0.0)
            case TrialProgress(_, epochs, total, accuracy):
                self._show(epochs / total, now=accuracy)
            case TrialFinished(number, state, accuracy, best):
                self._done, self._best = number + 1, best
                if not self.live:
                    self.say(
                        f"trial {number + 1}/{self._trials} {state}: {show(accuracy)}, best {show(best)}, "
                        f"{self._left()} left"
                    )
                self._show(0.0)
            case SpaceUsedUp(finished, planned):
                self.say(f"the space has no other architecture: {finished} trials instead of {planned}")
            case RetrainStarted(number):
                self.say(f"retraining trial {number + 1} on all rows but the test rows")
                self.move(self._trials, self._trials, "retraining", f"best {show(self._best)}")

    def _show(self, part: float, *, now: float | None = None) -> None:
        current = min(self._done + 1, self._trials)
        note = f"best {show(self._best)}  now {show(now)}  {self._left()} left"
        self.move(self._done + part, self._trials, f"trial {current}/{self._trials}", note)

    def _left(self) -> str:
        finished = self._done - self._resumed_at
        if not finished:
            return "?"
        # One more for the retraining at the end.
        return duration((time.monotonic() - self._started) / finished * (self._trials - self._done + 1))


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


def noise_line(noise_to_clip: float, clients: int) -> str:
    """How much noise there is in a round beside what the sites say; it falls with their number."""
    times = f"{noise_to_clip:,.0f}" if noise_to_clip >= 10 else f"{noise_to_clip:.2g}"
    told = f"noise: in the mean of {clients} sites it is {times} times as long as the longest change, the clip"
    if noise_to_clip <= 1:
        return told
    enough = float(f"{noise_to_clip * clients:.1g}")
    return f"{told}, and hides what they learn: it would be as long as that with some {enough:,.0f} sites"
