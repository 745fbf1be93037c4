"""The coordinator: a Flower strategy that relays sums it cannot read.

Threat model: the coordinator is honest but curious. It sees who takes part, sizes, times, the sum's ciphertext and the
counts the sites agree to report; neither weights nor a single update, and it imports no decryptor (a test says so).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ..core import ConfigError, ModelSpec, ParameterLayout, build, derive_rng
from ..privacy import Adder, Aggregator, UpdateRejectedError
from .errors import FederationError
from .records import pack_bytes, plan_size, plan_to_content, unpack_bytes, update_from_content
from .rounds import (
    EXTRA_VALUES,
    MIN_SUMMANDS,
    ClientUpdate,
    LocalTraining,
    Phase,
    RoundPlan,
    RoundResult,
    SiteOutcome,
    SiteReport,
)

NAME = "fedavg"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationPlan:
    """What stays the same over all rounds of a run; see `RoundPlan` for the fields.

    Attributes:
        rounds: training rounds.
        min_sites: no sum of fewer updates is given out; >= `MIN_SUMMANDS`.
        timeout: seconds a round waits for answers.
    """

    run: str
    spec: ModelSpec
    preprocessing: str
    seed: int
    rounds: int
    training: LocalTraining
    min_sites: int = MIN_SUMMANDS
    timeout: float = 600.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.min_sites < MIN_SUMMANDS or not self.timeout > 0:
            raise ConfigError(
                f"expected rounds >= 1, min_sites >= {MIN_SUMMANDS} and timeout > 0, "
                f"got {self.rounds}, {self.min_sites} and {self.timeout}"
            )


class RelayStrategy(Strategy):
    """Sends plans, adds protected updates, passes the sum on; the sites apply it themselves.

    Args:
        plan: the run.
        adder: the scheme's arithmetic; holds no secret.
        sites: the name of each Flower node that may take part.
    """

    def __init__(self, plan: FederationPlan, adder: Adder, sites: Mapping[int, str]) -> None:
        self._plan = plan
        self._adder = adder
        self._sites = sites
        # Only names and shapes matter here; these weights are never used.
        self._layout = ParameterLayout.of(build(plan.spec, derive_rng(0, "layout")))
        self._total = ArrayRecord()  # the last sum
        self._phase: Phase = "train"  # of the open round
        self._asked: dict[int, int] = {}  # node -> bytes of the plan it was sent, in the open round
        self._started, self._clock = datetime.now(UTC), time.perf_counter()
        self._outcomes: tuple[SiteOutcome, ...] = ()
        self._report: SiteReport | None = None
        self._ledger_head = ""  # for the sites to keep
        self._aggregate_seconds = 0.0  # of the open round
        self._failure: FederationError | None = None  # why the open round cannot be closed

    def run(
        self,
        grid: Grid,
        on_round: Callable[[RoundResult], None],
        authorise: Callable[[int, Phase], str] = lambda number, phase: "",
    ) -> None:
        """Run all training rounds, then one that measures the final model and one that reports the measurement.

        Args:
            grid: reaches the sites.
            on_round: called with what each round decided.
            authorise: called before a round is begun; returns the ledger's signed head for the sites to keep, or
                raises, and then nothing is asked of any site.

        Raises:
            FederationError: a round had too few usable answers.
        """
        self._total = ArrayRecord()
        last = self._plan.rounds
        for number in range(1, last + 3):
            phase: Phase = "train" if number <= last else "evaluate" if number == last + 1 else "report"
            self._ledger_head = authorise(number, phase)
            if phase == "train":
                replies = self._ask(grid, self.configure_train(number, self._total, ConfigRecord(), grid))
                self.aggregate_train(number, replies)
            else:
                config = ConfigRecord({"phase": phase})
                replies = self._ask(grid, self.configure_evaluate(number, self._total, config, grid))
                self.aggregate_evaluate(number, replies)
            on_round(
                RoundResult(
                    round=number,
                    phase=self._phase,
                    outcomes=self._outcomes,
                    report=self._report,
                    started=self._started,
                    seconds=time.perf_counter() - self._clock,
                    aggregate_seconds=self._aggregate_seconds,
                )
            )
            if self._failure is not None:
                raise self._failure

    def start(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Flower's own loop, which evaluates under the number of the round that trained; sites follow `run` only."""
        raise FederationError("this strategy has a loop of its own", hint="call run(grid, on_round)")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The same plan for every site; `arrays` holds the sum of the round before."""
        return self._messages(MessageType.TRAIN, server_round, "train", arrays, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check every answer, add what is in order, note why the rest is not; nothing if too few were."""
        self._close(server_round, replies)
        return (None if self._failure else self._total), None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As `configure_train`, for a round that changes nothing."""
        phase: Phase = "report" if config.get("phase") == "report" else "evaluate"
        return self._messages(MessageType.EVALUATE, server_round, phase, arrays, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Check and add the protected counts, or only read the reports."""
        self._close(server_round, replies)
        return None

    def summary(self) -> None:
        """Nothing: Flower asks for a log of the settings, ours are in the history."""

    def _messages(self, kind: str, number: int, phase: Phase, arrays: ArrayRecord, grid: Grid) -> list[Message]:
        plan = RoundPlan(
            run=self._plan.run,
            round=number,
            phase=phase,
            spec=self._plan.spec.to_json(),
            preprocessing=self._plan.preprocessing,
            seed=self._plan.seed,
            training=self._plan.training,
            total=unpack_bytes(arrays),
            ledger_head=self._ledger_head,
        )
        nodes = [node for node in grid.get_node_ids() if node in self._sites]
        self._phase = phase
        self._asked = {node: plan_size(plan) for node in nodes}
        self._started, self._clock = datetime.now(UTC), time.perf_counter()
        return [Message(plan_to_content(plan), node, kind, group_id=f"{plan.run}/{number}") for node in nodes]

    def _ask(self, grid: Grid, messages: Iterable[Message]) -> Iterable[Message]:
        return grid.send_and_receive(messages, timeout=self._plan.timeout)

    def _parse(self, replies: Iterable[Message]) -> tuple[dict[int, ClientUpdate], dict[int, str]]:
        """The answers that can be read, and for every site that was asked why it may be missing."""
        parsed: dict[int, ClientUpdate] = {}
        reasons = dict.fromkeys(self._asked, "no answer in time")
        for message in replies:
            node = message.metadata.src_node_id
            if node not in self._asked or node in parsed:
                continue
            try:
                if message.has_error():
                    raise UpdateRejectedError(f"the site failed: {message.error.reason!r:.100}")
                parsed[node] = update_from_content(message.content)
            except UpdateRejectedError as exc:
                reasons[node] = exc.message
        return parsed, reasons

    def _close(self, number: int, replies: Iterable[Message]) -> None:
        """Sort the answers into the sum or out of it."""
        parsed, reasons = self._parse(replies)
        started = time.perf_counter()
        agreed = _majority([update.model_sha256 for update in parsed.values()])
        aggregator = Aggregator(
            self._adder,
            run=self._plan.run,
            round=number,
            layout=self._layout.sha256,
            values=self._layout.size + EXTRA_VALUES,
        )
        accepted: dict[int, ClientUpdate] = {}
        for node, update in parsed.items():
            try:
                if update.model_sha256 != agreed:
                    raise UpdateRejectedError("the site's model is not the one most sites have")
                if self._phase != "report":
                    aggregator.add(update.update, sender=self._sites[node])
                accepted[node] = update
            except UpdateRejectedError as exc:
                reasons[node] = exc.message
        self._outcomes = tuple(
            SiteOutcome(
                site=self._sites[node],
                reason=None if node in accepted else reasons[node],
                bytes_up=len(parsed[node].update) if node in parsed else 0,
                bytes_down=sent,
                seconds=parsed[node].seconds if node in parsed else 0.0,
                train_seconds=parsed[node].train_seconds if node in parsed else None,
                encrypt_seconds=parsed[node].encrypt_seconds if node in parsed else None,
            )
            for node, sent in self._asked.items()
        )
        self._failure = self._report = None
        if len(accepted) < self._plan.min_sites:
            refused = "; ".join(f"{outcome.site}: {outcome.reason}" for outcome in self._outcomes if outcome.reason)
            self._failure = FederationError(
                f"round {number} has {len(accepted)} usable answers, expected at least {self._plan.min_sites}: "
                f"{refused or 'no site is connected'}"
            )
            return
        self._report = _majority([update.report for update in accepted.values()])
        if self._phase != "report":
            self._total = pack_bytes(aggregator.finish(min_summands=self._plan.min_sites).to_bytes())
        self._aggregate_seconds = time.perf_counter() - started


def _majority(values: list[T]) -> T | None:
    """What more than half say; None where there is no such value."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None
