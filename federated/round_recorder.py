"""Writes the rounds of a run into the history, and tells who watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..storage import (
    ContributionRecord,
    FederatedRecord,
    RoundRecord,
    Tracker,
)
from .privacy_gate import PrivacyGate
from .rounds import RoundResult
from .simulation_setup import SimulationSetup


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


FederationEvent = FederationStarted | RoundFinished


class RoundRecorder:
    """Writes rounds into the history as they close, and their figures when the sites report them."""

    def __init__(
        self,
        tracker: Tracker,
        gate: PrivacyGate,
        setup: SimulationSetup,
        uid: str,
        observe: Callable[[FederationEvent], None],
    ) -> None:
        self._tracker = tracker
        self._gate = gate
        self._uid = uid
        self._rounds = setup.config.rounds
        self._update_bytes = 4 * setup.spec.plan().parameters  # as float32 in the clear
        self._observe = observe
        self.bytes_up = 0
        self.bytes_down = 0
        self.reported: int | None = None  # the round whose model the sites reported on last
        self.accuracy: float | None = None  # of that model

    def record(self, result: RoundResult) -> None:
        """Record one round; only rounds that trained are rows of their own."""
        up = sum(outcome.bytes_up for outcome in result.outcomes)
        down = sum(outcome.bytes_down for outcome in result.outcomes)
        self.bytes_up += up
        self.bytes_down += down
        rejected = sum(outcome.reason is not None for outcome in result.outcomes)
        if result.phase == "train":
            round_record = RoundRecord(
                number=result.round,
                participants=len(result.outcomes) - rejected,
                rejected=rejected,
                loss=None,
                accuracy=None,
                bytes_up=up,
                bytes_down=down,
                seconds=result.seconds,
                started=result.started,
                bytes_plain=self._update_bytes * (len(result.outcomes) - rejected),
                aggregate_seconds=result.aggregate_seconds,
            )
            contributions = [
                ContributionRecord(
                    client=outcome.site,
                    state="accepted" if outcome.reason is None else "rejected",
                    reason=outcome.reason,
                    bytes_up=outcome.bytes_up,
                    bytes_down=outcome.bytes_down,
                    seconds=outcome.seconds,
                    train_seconds=outcome.train_seconds,
                    encrypt_seconds=outcome.encrypt_seconds,
                )
                for outcome in result.outcomes
            ]
            self._tracker.record_round(
                self._uid,
                round_record,
                contributions,
                and_then=lambda session: self._gate.spend(result.round, "train", session),
            )
        elif result.phase == "evaluate":
            self._gate.spend(result.round, "evaluate")
        report = result.report
        if report is not None and report.rows and report.model_round >= 1:
            self.reported, self.accuracy = report.model_round, report.correct / report.rows
            self._tracker.update_round_metrics(self._uid, report.model_round, loss=report.loss, accuracy=self.accuracy)
        if result.phase == "train":
            self._observe(RoundFinished(result.round, self._rounds, self.reported, self.accuracy, up, result.seconds))
