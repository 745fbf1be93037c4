"""What stays the same over all rounds of a run, as its coordinator has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from ...core import ConfigError
from ...privacy import MIN_SUMMANDS
from ..adapters.spec import FederatedModel
from ..protocol.gather import Closing
from ..protocol.rounds import (
    FEDAVG,
    UNCOMPRESSED,
    LocalTraining,
    MaskTerms,
    Phase,
    PrivacyTerms,
    Quantisation,
    RoundPlan,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationPlan:
    """What stays the same over all rounds of a run; see `RoundPlan` for the fields that sites are told.

    Attributes:
        rounds: training rounds that give a sum.
        masks: how updates are masked under the encryption; None leaves them to the encryption alone, so that the
            coordinator and any one site read every update: for simulation.
        privacy: the noise each site adds; None for none.
        min_sites: no sum of fewer updates is given out; >= `MIN_SUMMANDS`.
        participants: how many of the sites that are there train in a round, drawn anew for each attempt; the others
            only take the step. None asks all.
        closing: how long a round waits for answers.
        attempts: at a round, before the run is paused; >= 1.
        retry_wait: seconds before the second attempt at a round, doubled for each further one, at most a minute; >= 0.
        patience: seconds to wait for enough sites to be there, before an attempt counts as failed; >= 0.

    Raises:
        ConfigError: out of range.
    """

    run: str
    spec: FederatedModel
    preprocessing: str
    seed: int
    rounds: int
    training: LocalTraining
    quantisation: Quantisation
    masks: MaskTerms | None
    privacy: PrivacyTerms | None = None
    strategy: str = FEDAVG
    compression: str = UNCOMPRESSED
    shared: str = ""
    search: str = ""
    min_sites: int = MIN_SUMMANDS
    participants: int | None = None
    closing: Closing = field(default_factory=Closing)
    attempts: int = 5
    retry_wait: float = 1.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.min_sites < MIN_SUMMANDS or self.attempts < 1:
            raise ConfigError(
                f"expected rounds >= 1, min_sites >= {MIN_SUMMANDS} and attempts >= 1, "
                f"got {self.rounds}, {self.min_sites} and {self.attempts}"
            )
        if not (0 <= self.retry_wait < inf and 0 <= self.patience <= inf):
            raise ConfigError(f"expected waits of some seconds, got {self.retry_wait} and {self.patience}")
        if self.participants is not None and self.participants < self.fewest:
            raise ConfigError(f"expected participants >= {self.fewest}, which a sum needs, got {self.participants}")

    @property
    def fewest(self) -> int:
        """How many sites' updates a sum needs."""
        return max(self.min_sites, 0 if self.masks is None else self.masks.threshold)

    def next_phase(self, closed: Sequence[tuple[Phase, bool]]) -> Phase | None:
        """What the next round is for; None once the run is over.

        A run ends with a round that measures the last model and one that reports the measurement. With noise there are
        no counts to measure it by: it is only handed over.

        Args:
            closed: of each closed round what it was for, and whether it gave a sum.
        """
        given = [phase for phase, gave_sum in closed if gave_sum]
        if given.count("train") < self.rounds:
            return "train"
        if self.privacy is None and "evaluate" not in given:
            return "evaluate"
        return None if closed and closed[-1][0] == "report" else "report"

    def round_plan(
        self, number: int, phase: Phase, *, attempt: int = 1, total: bytes = b"", ledger_head: str = ""
    ) -> RoundPlan:
        """The plan of an attempt at a round, the same for all sites but for masks."""
        return RoundPlan(
            run=self.run,
            round=number,
            attempt=attempt,
            phase=phase,
            spec=self.spec.to_json(),
            preprocessing=self.preprocessing,
            seed=self.seed,
            training=self.training,
            quantisation=self.quantisation,
            privacy=self.privacy,
            masks=self.masks,
            total=total,
            ledger_head=ledger_head,
            strategy=self.strategy,
            compression=self.compression,
            shared=self.shared,
            search=self.search,
        )
