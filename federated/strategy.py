"""The coordinator: a Flower strategy that relays sums it cannot read.

Threat model: the coordinator is honest but curious. It sees who takes part, sizes, times, the sum's ciphertext and the
counts the sites agree to report; neither weights nor a single update, and it imports no decryptor (a test says so).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ..core import ConfigError, ModelSpec, build, derive_rng
from ..privacy import (
    MIN_SUMMANDS,
    Adder,
    Aggregator,
    PrivacyError,
    PublicIdentity,
    Signer,
    Sitting,
    UpdateRejectedError,
)
from .errors import FederationError
from .exchange import Exchange, check_scheme
from .masks import RoundMasks, make_masking_plan
from .records import (
    answer_from_content,
    pack_bytes,
    plan_size,
    plan_to_content,
    request_to_content,
    sign_content,
    unpack_bytes,
    update_from_content,
)
from .robust_sum import RobustAdder
from .rounds import (
    FEDAVG,
    UNCOMPRESSED,
    ClientUpdate,
    LocalTraining,
    MaskRequest,
    MaskStep,
    MaskTerms,
    Phase,
    PrivacyTerms,
    Quantisation,
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
        masks: how updates are masked under the encryption; None leaves them to the encryption alone, so that the
            coordinator and any one site read every update: for simulation.
        privacy: the noise each site adds; None for none.
        min_sites: no sum of fewer updates is given out; >= `MIN_SUMMANDS`.
        timeout: seconds a round waits for answers.
    """

    run: str
    spec: ModelSpec
    preprocessing: str
    seed: int
    rounds: int
    training: LocalTraining
    quantisation: Quantisation
    masks: MaskTerms | None
    privacy: PrivacyTerms | None = None
    strategy: str = FEDAVG
    compression: str = UNCOMPRESSED
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
        adder: the scheme's arithmetic; holds no key.
        sites: the identity of each Flower node that may take part.
        signer: the coordinator's identity, which signs the sums.
    """

    def __init__(self, plan: FederationPlan, adder: Adder, sites: Mapping[int, PublicIdentity], signer: Signer) -> None:
        if adder.preset.name != plan.quantisation.preset:
            raise ConfigError(f"expected an adder of {plan.quantisation.preset}, got one of {adder.preset.name}")
        self._plan = plan
        self._sites = sites
        self._signer = signer
        # Only names and shapes matter here; these weights are never used.
        model = build(plan.spec, derive_rng(0, "layout"))
        exchange = Exchange.read(model, adder.preset, plan.privacy, plan.strategy, plan.compression)
        check_scheme(exchange.strategy, exchange.compression, adder.scheme)
        self._symbols = exchange.symbols
        self._adder = RobustAdder.around(adder, exchange, plan.training.max_rows)
        self._total = ArrayRecord()  # the last sum
        self._phase: Phase = "train"  # of the open round
        self._asked: dict[int, int] = {}  # node -> bytes of the plan it was sent, in the open round
        self._started, self._clock = datetime.now(UTC), time.perf_counter()
        self._outcomes: tuple[SiteOutcome, ...] = ()
        self._report: SiteReport | None = None
        self._masks: RoundMasks | None = None  # of the open round
        self._taking_part: set[int] = set()  # whose updates may enter the sum
        self._unmasked: dict[int, str] = {}  # why nodes failed at a step of its masks
        self._mask_bytes: Counter[tuple[int, str]] = Counter()  # of its questions and answers, by node and direction
        self._ledger_head = ""  # for the sites to keep
        self._aggregate_seconds = 0.0  # of the open round
        self._failure: FederationError | None = None  # why the open round cannot be closed

    def run(
        self,
        grid: Grid,
        on_round: Callable[[RoundResult], None],
        authorise: Callable[[int, Phase], str] = lambda number, phase: "",
    ) -> None:
        """Run all training rounds, then one that measures the final model and one that reports the measurement; with
        noise only the latter.

        Args:
            grid: reaches the sites.
            on_round: called with what each round decided.
            authorise: called before a round is begun; returns the ledger's signed head for the sites to keep, or
                raises, and then nothing is asked of any site.

        Raises:
            FederationError: a round had too few usable answers.
        """
        self._total = ArrayRecord()
        # With noise there are no counts to measure the last model by: it is only handed over.
        closing: tuple[Phase, ...] = ("evaluate", "report") if self._plan.privacy is None else ("report",)
        training: tuple[Phase, ...] = ("train",) * self._plan.rounds
        for number, phase in enumerate(training + closing, 1):
            self._ledger_head = authorise(number, phase)
            self._masks = self._make_masks(number, phase, grid) if phase != "report" else None
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
        plan = self._plan_of(number, phase, unpack_bytes(arrays))
        nodes = [node for node in grid.get_node_ids() if node in self._sites]
        self._phase = phase
        self._started, self._clock = datetime.now(UTC), time.perf_counter()
        self._asked = dict.fromkeys(nodes, 0)
        self._mask_bytes = Counter()
        self._failure = None
        self._unmasked = {}
        plans = dict.fromkeys(nodes, plan)
        self._taking_part = set(nodes)
        if self._masks is not None:
            try:
                dealt = self._masks.open(nodes)
            except PrivacyError as exc:
                self._failure, dealt = FederationError(f"round {number} has no masks: {exc.message}"), {}
            self._taking_part = set(dealt)
            # Who has no mask still takes the step, or would be out of the run for good.
            plans = {node: replace(plan, take_part=node in dealt, shares=dealt.get(node, b"")) for node in nodes}
        self._asked = {node: plan_size(each) for node, each in plans.items()}
        group = f"{plan.run}/{number}"
        return [
            Message(sign_content(plan_to_content(each), self._signer), node, kind, group_id=group)
            for node, each in plans.items()
        ]

    def _plan_of(self, number: int, phase: Phase, total: bytes = b"") -> RoundPlan:
        return RoundPlan(
            run=self._plan.run,
            round=number,
            phase=phase,
            spec=self._plan.spec.to_json(),
            preprocessing=self._plan.preprocessing,
            seed=self._plan.seed,
            training=self._plan.training,
            quantisation=self._plan.quantisation,
            privacy=self._plan.privacy,
            strategy=self._plan.strategy,
            compression=self._plan.compression,
            masks=self._plan.masks,
            total=total,
            ledger_head=self._ledger_head,
        )

    def _make_masks(self, number: int, phase: Phase, grid: Grid) -> RoundMasks | None:
        """The masks of a round, where the plan has any."""
        terms = self._plan.masks
        if terms is None:
            return None
        layout, modulus = self._layout(number, phase), self._adder.preset.plain_modulus
        plan = make_masking_plan(terms, self._plan.run, number, 1, layout=layout, modulus=modulus)

        def ask(step: MaskStep, questions: Mapping[int, bytes]) -> dict[int, bytes]:
            requests = {
                node: MaskRequest(
                    run=plan.run,
                    round=number,
                    attempt=plan.attempt,
                    step=step,
                    layout=layout,
                    terms=terms,
                    payload=payload,
                )
                for node, payload in questions.items()
            }
            group = f"{plan.run}/{number}/{step}"
            replies = self._ask(
                grid,
                [
                    Message(
                        sign_content(request_to_content(request), self._signer), node, MessageType.QUERY, group_id=group
                    )
                    for node, request in requests.items()
                ],
            )
            answers, failed = self._read(replies, answer_from_content)
            for node, question in questions.items():
                self._mask_bytes[node, "down"] += len(question)
                self._mask_bytes[node, "up"] += len(answers.get(node, b""))
            self._unmasked = failed | self._unmasked  # the first reason of a node is why it fails later, too
            return answers

        return RoundMasks(plan, self._sites, ask)

    def _ask(self, grid: Grid, messages: Iterable[Message]) -> Iterable[Message]:
        return grid.send_and_receive(messages, timeout=self._plan.timeout)

    def _read(
        self, replies: Iterable[Message], parse: Callable[[RecordDict], T]
    ) -> tuple[dict[int, T], dict[int, str]]:
        """The answers that can be read, the first of each node that was asked; and why others cannot."""
        parsed: dict[int, T] = {}
        reasons: dict[int, str] = {}
        for message in replies:
            node = message.metadata.src_node_id
            if node not in self._asked or node in parsed:
                continue
            try:
                if message.has_error():
                    raise UpdateRejectedError(f"the site failed: {message.error.reason!r:.100}")
                parsed[node] = parse(message.content)
            except UpdateRejectedError as exc:
                reasons[node] = exc.message
        return parsed, reasons

    def _close(self, number: int, replies: Iterable[Message]) -> None:
        """Sort the answers into the sum or out of it."""
        parsed, said = self._read(replies, update_from_content)
        started = time.perf_counter()
        aggregator = None if self._phase == "report" else self._make_aggregator(number)
        excluded = {} if self._masks is None else self._unmasked | self._masks.excluded
        idle = {
            node: excluded.get(node, "made no mask in time") for node in self._asked if node not in self._taking_part
        }
        refused = self._add(aggregator, parsed) | idle
        reasons = dict.fromkeys(self._asked, "no answer in time") | said | refused
        accepted = {node: update for node, update in parsed.items() if node not in refused}
        self._report = None
        if self._failure is None and len(accepted) < self._plan.min_sites:
            told = "; ".join(f"{self._sites[n].name}: {reasons[n]}" for n in self._asked if n not in accepted)
            self._failure = FederationError(
                f"round {number} has {len(accepted)} usable answers, expected at least {self._plan.min_sites}: "
                f"{told or 'no site is connected'}"
            )
        if self._failure is None:
            self._report = _majority([update.report for update in accepted.values()])
            if aggregator is not None:
                self._give_out(number, aggregator)
        self._outcomes = tuple(
            self._outcome(node, sent, parsed.get(node), None if node in accepted else reasons[node])
            for node, sent in self._asked.items()
        )
        self._aggregate_seconds = time.perf_counter() - started

    def _outcome(self, node: int, sent: int, update: ClientUpdate | None, reason: str | None) -> SiteOutcome:
        received = 0 if update is None else len(update.update)
        return SiteOutcome(
            site=self._sites[node].name,
            reason=reason,
            bytes_up=self._mask_bytes[node, "up"] + received,
            bytes_down=self._mask_bytes[node, "down"] + sent,
            seconds=0.0 if update is None else update.seconds,
            train_seconds=None if update is None else update.train_seconds,
            encrypt_seconds=None if update is None else update.encrypt_seconds,
        )

    def _make_aggregator(self, number: int) -> Aggregator:
        sitting = Sitting(
            run=self._plan.run,
            round=number,
            layout=self._layout(number, self._phase),
            values=self._symbols.values,
            masked=self._masks is not None,
        )
        members = {site.id: site for site in self._sites.values()}
        return Aggregator(self._adder, sitting, members=members, signer=self._signer)

    def _layout(self, number: int, phase: Phase) -> str:
        return self._plan_of(number, phase).layout_sha256(self._symbols.sha256)

    def _add(self, aggregator: Aggregator | None, parsed: Mapping[int, ClientUpdate]) -> dict[int, str]:
        """Add the updates of sites that agree with most others; why the rest is not in the sum."""
        agreed = _majority([update.model_tag for update in parsed.values()])
        refused: dict[int, str] = {}
        for node, update in parsed.items():
            try:
                if update.model_tag != agreed:
                    raise UpdateRejectedError("the site's model or key is not the one most sites have")
                if aggregator is not None and node in self._taking_part:
                    aggregator.add(update.update, sender=self._sites[node].id)
            except UpdateRejectedError as exc:
                refused[node] = exc.message
        return refused

    def _give_out(self, number: int, aggregator: Aggregator) -> None:
        """Take the masks out of the sum, if there are any, and keep it for the next plan."""
        try:
            masks = None if self._masks is None else self._masks.remove(aggregator.senders)
            total = aggregator.finish(min_summands=self._plan.min_sites, masks=masks)
        except PrivacyError as exc:
            self._failure = FederationError(f"the sum of round {number} cannot be given out: {exc.message}")
            return
        self._total = pack_bytes(total.to_bytes())


def _majority(values: list[T]) -> T | None:
    """What more than half say; None where there is no such value."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None
