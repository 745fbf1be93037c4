"""One attempt at a round, from the plans to the sum: what the coordinator asks, and what it makes of the answers.

Every answer is checked on its own, and taken or refused with a reason; one bad answer never ends anything.

Threat model: the coordinator is honest but curious. It sees who takes part, sizes, times, the sum's ciphertext and the
counts the sites agree to report; neither weights nor a single update.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from ...core import ConfigError
from ...privacy import Adder, Aggregator, PrivacyError, PublicIdentity, Signer, Sitting, UpdateRejectedError
from ..adapters.spec import tensors_of
from ..errors import Refusal
from ..protocol.courier import EVALUATE, QUERY, TRAIN, Answers, Content, Questions, Steps
from ..protocol.gather import Closing
from ..protocol.masks import make_masking_plan
from ..protocol.records import (
    answer_from_content,
    plan_size,
    plan_to_content,
    request_to_content,
    update_from_content,
)
from ..protocol.rounds import (
    ClientUpdate,
    MaskRequest,
    MaskStep,
    Phase,
    RoundPlan,
    RoundResult,
    SiteOutcome,
    SiteReport,
)
from ..protocol.telling import tell_reasons
from ..strategies import FederatedStrategy
from ..updates.exchange import Exchange, check_scheme, check_trains
from ..updates.private_symbols import PrivateSymbols
from ..updates.robust_sum import RobustAdder
from ..updates.symbols import UpdateSymbols
from .masks import RoundMasks
from .plan import FederationPlan

T = TypeVar("T")
ENVELOPE: Final = 2**12  # more than the header, the signature and a tag of an update


@dataclass(frozen=True, slots=True)
class Coordination:
    """What a coordinator knows of a run.

    Attributes:
        plan: of the run.
        adder: the scheme's arithmetic; holds no key.
        sites: the identity of each node that may take part; may grow.
        signer: the coordinator's identity, which signs plans and sums.
        symbols: what the integers of an update mean.
        strategy: of the run.
    """

    plan: FederationPlan
    adder: Adder
    sites: Mapping[int, PublicIdentity]
    signer: Signer
    symbols: UpdateSymbols | PrivateSymbols
    strategy: FederatedStrategy

    @classmethod
    def of(
        cls, plan: FederationPlan, adder: Adder, sites: Mapping[int, PublicIdentity], signer: Signer
    ) -> Coordination:
        """Check that an adder fits a plan.

        Raises:
            ConfigError: it is of another preset, or does not fit the strategy.
        """
        if adder.preset.name != plan.quantisation.preset:
            raise ConfigError(f"expected an adder of {plan.quantisation.preset}, got one of {adder.preset.name}")
        exchange = Exchange.read(tensors_of(plan.spec), adder.preset, plan.privacy, plan.strategy, plan.compression)
        check_scheme(exchange.strategy, exchange.compression, adder.scheme)
        check_trains(plan.spec, exchange.strategy, exchange.compression)
        if exchange.strategy.asynchronous and (plan.participants is not None or plan.quantisation.rule != "fixed"):
            raise ConfigError(
                f"{exchange.strategy.name} asks every site that is idle, and mixes rounds whose ranges must be the "
                'same: expected all participants and the rule "fixed"'
            )
        adder = RobustAdder.around(adder, exchange, plan.training.max_rows)
        return cls(plan, adder, sites, signer, exchange.symbols, exchange.strategy)

    def layout(self, number: int, phase: Phase) -> str:
        """Names what the updates of a round are, as hex."""
        return self.plan.round_plan(number, phase).layout_sha256(self.symbols.sha256)

    def waiting(self, replies: int) -> Closing:
        """How long to wait for answers of which so many are needed."""
        closing = self.plan.closing
        return replace(closing, min_replies=max(replies, closing.min_replies))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        result: what is written down.
        total: the sum; empty where there is none.
        lost: whether the round can have no sum any more, whatever is attempted.
        spoiled: whether most sites could do nothing with the last sum.
        in_step: nodes that have the model most sites have.
        behind: nodes that have missed rounds.
        astray: nodes that have another model.
    """

    result: RoundResult
    total: bytes
    lost: bool
    spoiled: bool
    in_step: frozenset[int]
    behind: frozenset[int]
    astray: frozenset[int]


class RoundAttempt:
    """One attempt. Make it, and run its `steps` once.

    Args:
        terms: of the run.
        number, phase, attempt: which one.
        total: the sum of the round before; empty where that gave none.
        ledger_head: for the sites to keep.
        nodes: that are there.
        chosen: of these, who is to take part; the others only take the step.
        survivors: ids of the sites that an earlier attempt at the round asked to bare their sum.
        note: called with such ids before the first is asked.
        moved: bytes that were sent and received for this round before, by node and direction.
    """

    def __init__(
        self,
        terms: Coordination,
        number: int,
        phase: Phase,
        attempt: int,
        *,
        total: bytes = b"",
        ledger_head: str = "",
        nodes: Sequence[int],
        chosen: frozenset[int],
        survivors: frozenset[str] | None = None,
        note: Callable[[Sequence[str]], object] = lambda survivors: None,
        moved: Counter[tuple[int, str]] | None = None,
    ) -> None:
        self._terms = terms
        self._plan = terms.plan.round_plan(number, phase, attempt=attempt, total=total, ledger_head=ledger_head)
        # One that is removed at this moment is none.
        self._sites = {node: site for node in nodes if (site := terms.sites.get(node)) is not None}
        self._chosen = chosen & self._sites.keys()
        self._taking_part = self._chosen  # whose updates may enter the sum
        self._survivors = survivors
        self._note = note
        self._bytes: Counter[tuple[int, str]] = Counter() if moved is None else moved
        self._reasons: dict[int, str] = {}  # why nodes failed at a step of the masks
        self._started, self._clock = datetime.now(UTC), time.perf_counter()
        self._failure: str | None = None
        self._lost = False
        self._total = b""

    def steps(self) -> Steps[Outcome]:
        """Ask, check, add."""
        masks = self._make_masks()
        plans = dict.fromkeys(self._sites, self._plan)
        if self._plan.phase != "report":
            plans = {node: replace(plan, take_part=node in self._chosen) for node, plan in plans.items()}
        if masks is not None:
            try:
                dealt = yield from masks.open(sorted(self._chosen))
            except PrivacyError as exc:
                self._failure, dealt = f"round {self._plan.round} has no masks: {exc.message}", dict[int, bytes]()
            self._taking_part = frozenset(dealt)
            # Who has no mask still takes the step, or would be behind.
            plans = {
                node: replace(plan, take_part=node in dealt, shares=dealt.get(node, b""))
                for node, plan in plans.items()
            }
        for node, plan in plans.items():
            self._bytes[node, "down"] += plan_size(plan)
        answers = yield Questions(
            kind=TRAIN if self._plan.phase == "train" else EVALUATE,
            contents=_plan_contents(plans),
            largest=0 if self._plan.phase == "report" else self._update_bytes(),
            closing=self._terms.waiting(self._terms.plan.fewest),
            counted=self._taking_part or frozenset(self._sites),
        )
        return (yield from self._close(answers, masks))

    def _make_masks(self) -> RoundMasks | None:
        """The masks of the attempt, where the plan has any."""
        if self._plan.masks is None or self._plan.phase == "report":
            return None
        plan = make_masking_plan(
            self._plan.masks,
            self._plan.run,
            self._plan.round,
            self._plan.attempt,
            layout=self._layout(),
            modulus=self._terms.adder.preset.plain_modulus,
        )
        return RoundMasks(plan, self._sites, self._ask_masks)

    def _ask_masks(self, step: MaskStep, payloads: Mapping[int, bytes]) -> Steps[Mapping[int, bytes]]:
        assert self._plan.masks is not None
        contents = {
            node: request_to_content(
                MaskRequest(
                    run=self._plan.run,
                    round=self._plan.round,
                    attempt=self._plan.attempt,
                    step=step,
                    layout=self._layout(),
                    terms=self._plan.masks,
                    payload=payload,
                    preset=self._terms.adder.preset.name,
                )
            )
            for node, payload in payloads.items()
        }
        answers = yield Questions(
            kind=QUERY,
            contents=contents,
            largest=2**11 * (1 + len(self._sites)),  # of shares and reveals, some hundred bytes for each site
            closing=self._terms.waiting(self._terms.plan.fewest),
            counted=frozenset(contents),
        )
        said, failed = _parse(answers, answer_from_content)
        for node, payload in payloads.items():
            self._bytes[node, "down"] += len(payload)
            self._bytes[node, "up"] += len(said.get(node, b""))
        self._reasons = failed | self._reasons  # the first reason of a node is why it fails later, too
        return said

    def _close(self, answers: Answers, masks: RoundMasks | None) -> Steps[Outcome]:
        """Sort the answers into the sum or out of it."""
        said, failed = _parse(answers, update_from_content)
        started = time.perf_counter()
        for node, update in said.items():
            self._bytes[node, "up"] += len(update.update)
        aggregator = None if self._plan.phase == "report" else self._make_aggregator()
        agreed = majority([update.model_tag for update in said.values()])
        in_step = frozenset(node for node, update in said.items() if update.model_tag == agreed)
        refused = dict.fromkeys(
            said.keys() - in_step, "the site's model or key is not the one most sites have"
        ) | self._add(aggregator, {node: update for node, update in said.items() if node in in_step})
        excluded = {} if masks is None else self._reasons | masks.excluded
        unmasked = {node: excluded.get(node, "made no mask in time") for node in self._chosen - self._taking_part}
        reasons = dict.fromkeys(self._sites, "no answer in time") | failed | refused | unmasked
        asked = self._sites.keys() if self._plan.phase == "report" else self._taking_part
        accepted = frozenset(node for node in said if node not in refused and node in asked)
        self._check_count(accepted, reasons, aggregator)
        report: SiteReport | None = None
        if self._failure is None:
            report = majority([said[node].report for node in in_step])
            if aggregator is not None:
                yield from self._give_out(aggregator, masks)
        fine = said.keys() - refused.keys() - unmasked.keys()
        outcomes = tuple(
            self._outcome(node, said.get(node), None if node in fine else reason) for node, reason in reasons.items()
        )
        result = RoundResult(
            round=self._plan.round,
            attempt=self._plan.attempt,
            phase=self._plan.phase,
            outcomes=outcomes,
            report=report,
            started=self._started,
            seconds=time.perf_counter() - self._clock,
            aggregate_seconds=time.perf_counter() - started,
            failure=self._failure,
        )
        spoiled = [node for node, code in answers.codes.items() if code == Refusal.SUM]
        return Outcome(
            result=result,
            total=self._total,
            lost=self._lost,
            spoiled=self._plan.total != b"" and not said and 2 * len(spoiled) > len(self._sites),
            in_step=in_step,
            behind=frozenset(node for node, code in answers.codes.items() if code == Refusal.BEHIND),
            astray=frozenset(said.keys() - in_step),
        )

    def _check_count(self, accepted: frozenset[int], reasons: Mapping[int, str], aggregator: Aggregator | None) -> None:
        """Whether there are enough for a sum, and where the round has had one in part, the very same."""
        if self._failure is not None:
            return
        number, fewest = self._plan.round, self._terms.plan.min_sites
        if self._survivors is not None and aggregator is not None and self._survivors != frozenset(aggregator.senders):
            self._lost = True
            self._failure = (
                f"round {number} has no sum any more: an earlier attempt has bared that of other sites than are there"
            )
        elif len(accepted) < fewest:
            told = tell_reasons(
                (site.name, reasons[node]) for node, site in self._sites.items() if node not in accepted
            )
            self._failure = (
                f"round {number} has {len(accepted)} usable answers, expected at least {fewest}: "
                f"{told or 'no site is connected'}"
            )

    def _make_aggregator(self) -> Aggregator:
        sitting = Sitting(
            run=self._plan.run,
            round=self._plan.round,
            attempt=self._plan.attempt,
            layout=self._layout(),
            values=self._terms.symbols.values,
            masked=self._plan.masks is not None,
        )
        members = {site.id: site for site in self._sites.values()}
        return Aggregator(self._terms.adder, sitting, members=members, signer=self._terms.signer)

    def _add(self, aggregator: Aggregator | None, updates: Mapping[int, ClientUpdate]) -> dict[int, str]:
        """Add updates; why some are not in the sum."""
        refused: dict[int, str] = {}
        for node, update in updates.items():
            if aggregator is None or node not in self._taking_part:
                continue
            site = self._sites[node].id
            try:
                if self._survivors is not None and site not in self._survivors:
                    raise UpdateRejectedError("an earlier attempt at the round has bared a sum without this site")
                aggregator.add(update.update, sender=site)
            except UpdateRejectedError as exc:
                refused[node] = exc.message
        return refused

    def _give_out(self, aggregator: Aggregator, masks: RoundMasks | None) -> Steps[None]:
        """Take the masks out of the sum, if there are any, and sign it."""
        try:
            bare = None if masks is None else (yield from masks.remove(aggregator.senders, self._note))
            total = aggregator.finish(min_summands=self._terms.plan.min_sites, masks=bare)
        except PrivacyError as exc:
            self._failure = f"the sum of round {self._plan.round} cannot be given out: {exc.message}"
        else:
            self._total = total.to_bytes()

    def _outcome(self, node: int, update: ClientUpdate | None, reason: str | None) -> SiteOutcome:
        return SiteOutcome(
            site=self._sites[node].name,
            reason=reason,
            bytes_up=self._bytes[node, "up"],
            bytes_down=self._bytes[node, "down"],
            seconds=0.0 if update is None else update.seconds,
            train_seconds=None if update is None else update.train_seconds,
            encrypt_seconds=None if update is None else update.encrypt_seconds,
            took_part=node in self._chosen or self._plan.phase == "report",
            rows=None if update is None else update.rows,
            update_norm=None if update is None else update.update_norm,
            clipped=None if update is None else update.clipped,
        )

    def _update_bytes(self) -> int:
        return self._terms.adder.update_bytes(self._terms.symbols.values) + ENVELOPE

    def _layout(self) -> str:
        return self._terms.layout(self._plan.round, self._plan.phase)


def _plan_contents(plans: Mapping[int, RoundPlan]) -> dict[int, Content]:
    """The plans as contents; those that say the same are one object, which is signed once for all."""
    known: dict[tuple[bool, bytes], Content] = {}
    contents: dict[int, Content] = {}
    for node, plan in plans.items():
        own = plan.take_part, plan.shares
        if own not in known:
            known[own] = plan_to_content(plan)
        contents[node] = known[own]
    return contents


def _parse(answers: Answers, parse: Callable[[Content], T]) -> tuple[dict[int, T], dict[int, str]]:
    """The answers that can be read, and why others cannot."""
    parsed: dict[int, T] = {}
    reasons = dict(answers.reasons)
    for node, content in answers.contents.items():
        try:
            parsed[node] = parse(content)
        except UpdateRejectedError as exc:
            reasons[node] = exc.message
    return parsed, reasons


def majority(values: list[T]) -> T | None:
    """What more than half say; None where there is no such value."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None
