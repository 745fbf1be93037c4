"""Writes the rounds of a run into the history, and tells who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from ...storage import (
    ContributionRecord,
    Database,
    FederatedRecord,
    FederatedRounds,
    Federations,
    JobClaim,
    RoundRecord,
)
from ..errors import StoppedError
from ..protocol.rounds import Phase, RoundResult
from .journal import Resume
from .privacy_gate import PrivacyGate

CLAIM_S: Final = 60.0  # how long a coordinator counts as alive after it said so
_BEAT_S: Final = 2.0  # between two such words


@dataclass(frozen=True, slots=True)
class FederationStarted:
    """The run is in the history.

    `noise_to_clip` says how long the noise of a round is, in the mean of all sites; see `ClientDp`. None: no noise.
    """

    run: FederatedRecord
    noise_to_clip: float | None = None


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round is closed; the newest model the sites have reported on is that of round `reported`, if any."""

    number: int
    total: int
    reported: int | None
    accuracy: float | None
    bytes_up: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt at a round gave no sum."""

    number: int
    attempt: int
    failure: str


FederationEvent = FederationStarted | RoundFinished | AttemptFailed


class RoundRecorder:
    """A `RoundJournal` in a database: attempts before they begin, rounds as they close, figures when sites report them.

    Args:
        database: stays the caller's.
        run: ULID of the run, which this process has.
        gate: charges rounds to the privacy ledger.
        rounds: planned training rounds.
        update_bytes: of an update as float32 in the clear.
        observe: called with every `FederationEvent`.
        claim: of the job the run belongs to; kept alive, and asked whether somebody wants it to stop.
        look: called with every `check`; raises where the process is to end, as when its operator stops the server.
        keep_sums: whether the run can be gone on with by another process: not where the sites die with this one.
        kind: of the run, which may be one of a federated search.
    """

    def __init__(
        self,
        database: Database,
        run: str,
        gate: PrivacyGate,
        *,
        rounds: int,
        update_bytes: int,
        observe: Callable[[FederationEvent], None] = lambda event: None,
        claim: JobClaim | None = None,
        look: Callable[[], object] = lambda: None,
        keep_sums: bool = True,
        kind: Literal["federated", "trial", "retrain"] = "federated",
    ) -> None:
        self._written = FederatedRounds(database, run, kind=kind, claim=claim)
        self._jobs = Federations(database)
        self._gate = gate
        self._rounds = rounds
        self._update_bytes = update_bytes
        self._observe = observe
        self._claim = claim
        self._look = look
        self._keep_sums = keep_sums
        self._beat = 0.0
        self._lost = 0  # closed training rounds without a sum: as many more are held
        self.bytes_up = 0
        self.bytes_down = 0
        self.reported: int | None = None  # the round whose model the sites reported on last
        self.accuracy: float | None = None  # of that model

    def resume(self) -> Resume:
        """Where the run goes on.

        Raises:
            IntegrityError: the sum of its last closed round is damaged.
        """
        point = self._written.resume_point()
        closed: list[tuple[Phase, bool]] = [(cast(Phase, each.phase), each.sha256 is not None) for each in point.closed]
        if self._keep_sums:
            self._lost = sum(phase == "train" and not gave_sum for phase, gave_sum in closed)
        return Resume(closed=closed, total=point.total)

    def authorise(self, number: int, phase: Phase) -> str:
        """See `RoundJournal`."""
        return self._gate.authorise(number, phase)

    def open_attempt(self, number: int, phase: Phase) -> int:
        """See `RoundJournal`."""
        return self._written.open_attempt(number, phase)

    def survivors(self, number: int) -> frozenset[str] | None:
        """See `RoundJournal`."""
        return self._written.survivors(number)

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """See `RoundJournal`."""
        self._written.note_survivors(number, attempt, survivors)

    def fail(self, result: RoundResult) -> None:
        """See `RoundJournal`."""
        self._count(result)
        failure = result.failure or ""
        refusals = {outcome.site: outcome.reason for outcome in result.outcomes if outcome.reason is not None}
        self._written.fail_attempt(result.round, result.attempt, failure, refusals)
        self._observe(AttemptFailed(result.round, result.attempt, failure))

    def close(self, result: RoundResult, total: bytes) -> None:
        """See `RoundJournal`; only rounds that trained are rows of their own."""
        up, down = self._count(result)
        report = result.report
        figures: tuple[int, float, float] | None = None
        if report is not None and report.rows and report.model_round >= 1:
            figures = report.model_round, report.loss, report.correct / report.rows
        charged = result.phase != "report" and result.failure is None
        self._written.close(
            result.round,
            result.attempt,
            result.phase,
            total,
            keep_sum=self._keep_sums,
            record=self._round_record(result, up, down) if result.phase == "train" else None,
            contributions=_contributions(result) if result.phase == "train" else (),
            figures=figures,
            and_then=lambda session: self._gate.spend(result.round, result.phase, session) if charged else None,
        )
        if figures is not None:
            self.reported, _, self.accuracy = figures
        if result.failure is not None:
            self._lost += result.phase == "train"
            self._observe(AttemptFailed(result.round, result.attempt, result.failure))
        elif result.phase == "train":
            self._observe(
                RoundFinished(result.round, self._rounds + self._lost, self.reported, self.accuracy, up, result.seconds)
            )

    def tell(self, kind: str, number: int, **facts: str | int) -> None:
        """See `RoundJournal`."""
        self._written.tell(kind, number, **facts)

    def check(self) -> None:
        """See `RoundJournal`."""
        self._look()
        if self._claim is None or time.monotonic() < self._beat + _BEAT_S:
            return
        self._beat = time.monotonic()
        if self._jobs.renew(self._claim, CLAIM_S):
            raise StoppedError("somebody asked for the run to stop", hint="nasturtium federate resume")

    def _count(self, result: RoundResult) -> tuple[int, int]:
        up = sum(outcome.bytes_up for outcome in result.outcomes)
        down = sum(outcome.bytes_down for outcome in result.outcomes)
        self.bytes_up += up
        self.bytes_down += down
        return up, down

    def _round_record(self, result: RoundResult, up: int, down: int) -> RoundRecord:
        asked = sum(outcome.took_part for outcome in result.outcomes)
        return RoundRecord(
            number=result.round,
            participants=result.accepted,
            rejected=asked - result.accepted,
            loss=None,
            accuracy=None,
            bytes_up=up,
            bytes_down=down,
            seconds=result.seconds,
            started=result.started,
            state="completed" if result.failure is None else "failed",
            bytes_plain=self._update_bytes * result.accepted,
            aggregate_seconds=result.aggregate_seconds,
        )


def _contributions(result: RoundResult) -> list[ContributionRecord]:
    return [
        ContributionRecord(
            client=outcome.site,
            state="accepted" if outcome.reason is None else "rejected",
            reason=outcome.reason,
            bytes_up=outcome.bytes_up,
            bytes_down=outcome.bytes_down,
            seconds=outcome.seconds,
            rows=outcome.rows,
            train_seconds=outcome.train_seconds,
            encrypt_seconds=outcome.encrypt_seconds,
            update_norm=outcome.update_norm,
            clipped=outcome.clipped,
        )
        for outcome in result.outcomes
        if outcome.took_part
    ]
