"""`CandidateRounds`: the run of one candidate, as far as it was asked for, and what the sites measured on the way.

The figures of a model are read from the sum of the round after the one that made it. Where that is not the last of the
schedule, it is a training round, done in advance: the rounds of a candidate, and so its weights, are the same whatever
was asked in between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import Final

from ...core import Budget, Candidate, ConfigError, Evaluation
from ..coordinator.attempt import Coordination
from ..coordinator.greeter import Greeter
from ..coordinator.journal import RoundJournal
from ..coordinator.relay import Relay
from ..errors import FederationError, PausedError, Refusal
from ..protocol.courier import Steps
from ..protocol.rounds import Phase, RoundResult, SiteReport

# What a site answers whose training went beyond what is finite: its change cannot be protected.
_FAILED: Final = "the site failed: "
_DIVERGED: Final = Refusal.SUM.reason


class CandidateRounds:
    """The rounds of one candidate. One evaluation at a time is asked of it, with budgets that do not shrink.

    Args:
        candidate: what is trained.
        terms: of its run.
        journal: writes its rounds down.
        nodes: those that are there and may be asked, now.
        greeter: asks sites what they are before their first round; None takes all.
        timed: whether evaluations tell train_seconds.
    """

    def __init__(
        self,
        candidate: Candidate,
        terms: Coordination,
        journal: RoundJournal,
        nodes: Callable[[], Collection[int]],
        *,
        greeter: Greeter | None = None,
        timed: bool = False,
    ) -> None:
        self._candidate = candidate
        self._terms = terms
        self._relay = Relay(terms, _Heard(journal, self._hear), nodes, greeter=greeter)
        self._timed = timed
        self._round = 0  # the last closed one
        self._made: list[int] = []  # rounds that gave a sum of trained updates
        self._reports: dict[int, SiteReport] = {}  # by how many such rounds the model is of
        self._measured = False  # its last model was: there are no rounds after it
        self._failed: RoundResult | None = None  # the last attempt
        self._lost = False  # its last round has no sum, and never will
        self._diverged = False
        self._bytes_up = 0
        self._train_seconds = 0.0

    def climb(self, budget: Budget) -> Steps[Evaluation]:
        """Train to the end of a budget and measure: one epoch of it is one round.

        Raises:
            ConfigError: a budget of fewer rows or smaller images, or one beyond the schedule it was trained to.
            FederationError: sites were asked, as often as its plan says, and gave no sum: they refuse to train it, or
                cannot, or went away.
            PausedError: too few sites are there, which is not the candidate's fault.
        """
        if budget.rows < 1 or budget.resolution < 1:
            raise ConfigError(
                "sites train on all of their rows as they are, got a budget of fewer or smaller ones",
                hint="compare candidates after fewer rounds instead: the fidelity epochs",
            )
        wanted = budget.epochs
        try:
            while len(self._made) < wanted and not self._diverged:
                yield from self._advance("train")
            if wanted not in self._reports and not self._diverged:
                yield from self._measure(wanted, last=wanted == budget.total)
        except PausedError as exc:
            if self._refused_by_most(_DIVERGED):
                self._diverged = True
            elif self._was_asked:
                raise FederationError(f"{self._untrained}: {exc.message}") from exc
            else:
                raise
        return self._evaluation(wanted)

    def walk(self, rounds: int) -> Steps[bool]:
        """Train for some rounds and end, measuring nothing: for what sites share with other runs.

        Returns:
            Whether it was trained; False where it diverged, which leaves what is shared as it is.

        Raises:
            FederationError, PausedError: as of `climb`.
        """
        try:
            while len(self._made) < rounds:
                yield from self._advance("train")
            yield from self._advance("report")
            yield from self._relay.settle()
        except PausedError as exc:
            if not self._was_asked:
                raise
            if not self._refused_by_most(_DIVERGED):
                raise FederationError(f"{self._untrained}: {exc.message}") from exc
            return False
        return True

    def _measure(self, wanted: int, *, last: bool) -> Steps[None]:
        """Have the model after so many rounds measured."""
        if last and len(self._made) == wanted:
            while not (yield from self._advance("evaluate")):
                pass
            self._measured = True
            yield from self._advance("report")
        else:
            while len(self._made) == wanted:
                yield from self._advance("train")
            report = yield from self._relay.look()
            if report is not None:
                self._note(report)
        if wanted not in self._reports:
            raise FederationError(f"the sites do not agree on the figures of candidate {self._candidate.id}")

    def _advance(self, phase: Phase) -> Steps[bool]:
        """One round; whether it gave a sum."""
        if self._measured and phase != "report":
            raise ConfigError(f"candidate {self._candidate.id} was trained to the end of its schedule")
        outcome = yield from self._relay.advance(phase)
        self._lost = outcome.lost
        self._round += 1
        if phase == "train" and outcome.total:
            self._made.append(self._round)
        if outcome.result.report is not None:
            self._note(outcome.result.report)
        return bool(outcome.total)

    def _note(self, report: SiteReport) -> None:
        if report.rows:
            self._reports[bisect_right(self._made, report.model_round)] = report

    def _hear(self, result: RoundResult) -> None:
        """An attempt is over."""
        self._failed = result if result.failure is not None else None
        self._bytes_up += sum(outcome.bytes_up for outcome in result.outcomes)
        self._train_seconds += max((outcome.train_seconds or 0.0 for outcome in result.outcomes), default=0.0)

    @property
    def _was_asked(self) -> bool:
        """Whether the last attempt failed after sites were asked; not where there were too few to begin with."""
        return self._lost or (self._failed is not None and any(outcome.took_part for outcome in self._failed.outcomes))

    @property
    def _untrained(self) -> str:
        return "the sites cannot train it" if self._refused_by_most(_FAILED) else "it was not trained to the end"

    def _refused_by_most(self, reason: str) -> bool:
        """Whether the last attempt failed because most sites that were asked answered so, or with more words."""
        if self._failed is None:
            return False
        asked = [outcome.reason or "" for outcome in self._failed.outcomes if outcome.took_part]
        return 2 * sum(each.startswith(reason) for each in asked) > len(asked)

    def _evaluation(self, epochs: int) -> Evaluation:
        reports = {epoch: report for epoch, report in sorted(self._reports.items()) if 1 <= epoch <= epochs}
        curves = {
            "val_accuracy": {epoch: report.correct / report.rows for epoch, report in reports.items()},
            "val_loss": {epoch: report.loss for epoch, report in reports.items()},
        }
        if self._diverged:
            return Evaluation(objectives={}, curves=curves, epochs=len(self._made), diverged=True)
        plan = self._candidate.spec.plan()
        figures = {name: curve[epochs] for name, curve in curves.items()}
        figures |= {
            "parameters": float(plan.parameters),
            "buffers": float(plan.buffers),
            "macs": float(plan.macs),
            "upload_bytes": float(self._terms.adder.update_bytes(self._terms.symbols.values)),
            "transferred_bytes": float(self._bytes_up),
            "best_epoch": float(epochs),
        }
        if self._timed:
            figures["train_seconds"] = self._train_seconds
        return Evaluation(objectives=figures, curves=curves, epochs=epochs)


class _Heard:
    """A journal that also tells what came of every attempt."""

    def __init__(self, journal: RoundJournal, hear: Callable[[RoundResult], None]) -> None:
        self._journal = journal
        self._hear = hear
        self.authorise = journal.authorise
        self.open_attempt = journal.open_attempt
        self.survivors = journal.survivors
        self.note_survivors = journal.note_survivors
        self.tell = journal.tell
        self.check = journal.check

    def fail(self, result: RoundResult) -> None:
        """See `RoundJournal`."""
        self._hear(result)
        self._journal.fail(result)

    def close(self, result: RoundResult, total: bytes) -> None:
        """See `RoundJournal`."""
        self._hear(result)
        self._journal.close(result, total)
