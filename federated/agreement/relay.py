"""The coordinator's part: it passes questions on, adds what it cannot read, and lets a majority say how to go on.

    while there is a question: sum of the answers -> the sites open it -> what most of them tell: the next question

A site that missed sums, or came later, is sent them one after the other, and knows what the others know: the sums are
ciphertexts under the sites' key, and small. Nothing but them has to be kept to go on after a crash.

Threat model: of `federated.agreement`, for the coordinator: honest but curious; imports nothing that decrypts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Final, TypeVar

from flwr.app import MessageType
from flwr.serverapp import Grid

from ...core import ConfigError
from ...privacy import (
    MIN_SUMMANDS,
    Adder,
    Aggregator,
    PrivacyError,
    PublicIdentity,
    Signer,
    Sitting,
    UpdateRejectedError,
)
from ..coordinator.masks import RoundMasks
from ..errors import FederationError, Refusal
from ..protocol.courier import Courier, Pause, Questions, Steps, drive
from ..protocol.gather import Closing
from ..protocol.masks import make_masking_plan
from ..protocol.records import answer_from_content, request_to_content
from ..protocol.rounds import MaskRequest, MaskStep, MaskTerms
from ..protocol.telling import tell_reasons
from .journal import Agreement, AgreementJournal, AgreementSum
from .messages import agreement_answer_from_content, agreement_plan_to_content
from .plan import AgreedReference, AgreementAnswer, AgreementPlan, AgreementStep, agreement_sitting
from .question import Question, first_question
from .site_agreement import Opening
from .terms import Terms

T = TypeVar("T")
_FOR_GOOD: Final = frozenset({Refusal.SCHEMA, Refusal.DATA, Refusal.POLICY, Refusal.BUDGET, Refusal.VERSION})
_LONGEST_WAIT: Final = 60.0  # seconds between two attempts
_LOOK: Final = 0.5  # seconds between two looks for sites
_ENVELOPE: Final = 2**13  # more than the header, the signature and the tag of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementJob:
    """An agreement, as its coordinator has it.

    Attributes:
        run: its ULID, of no other run.
        terms: what is to be agreed on.
        masks: how answers are masked under the encryption; None leaves them to the encryption alone: for simulation.
        min_sites: no sum of fewer answers is given out, and no fewer sites tell what is in it; >= `MIN_SUMMANDS`.
        deadline: seconds to wait for a site that does not answer: all are waited for, since what one of them has may be
            missing in the end, a category or a class.
        attempts, retry_wait, patience: see `FederationPlan`; attempts are those at a question.

    Raises:
        ConfigError: out of range, or there is nothing to agree on.
    """

    run: str
    terms: Terms
    masks: MaskTerms | None
    min_sites: int = MIN_SUMMANDS
    deadline: float = 300.0
    attempts: int = 5
    retry_wait: float = 1.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        waits = 0 <= self.retry_wait < inf and self.patience >= 0 and self.deadline > 0
        if self.min_sites < MIN_SUMMANDS or self.attempts < 1 or not waits:
            raise ConfigError(
                f"expected min_sites >= {MIN_SUMMANDS}, attempts >= 1 and waits of some seconds, got {self.min_sites}, "
                f"{self.attempts}, {self.deadline}, {self.retry_wait} and {self.patience}"
            )
        if first_question(self.terms) is None:
            raise ConfigError(
                "there is nothing to agree on: the job says everything itself",
                hint="put public_preprocessing(terms) into the plan",
            )

    @property
    def fewest(self) -> int:
        """How many sites' answers a sum needs."""
        return max(self.min_sites, 0 if self.masks is None else self.masks.threshold)

    def waiting(self, sites: int) -> Closing:
        """How long to wait for so many sites."""
        return Closing(deadline=self.deadline, min_replies=max(1, sites), grace=0.0)


class AgreementRelay:
    """One agreement.

    Args:
        job: which one.
        adder: the scheme's arithmetic; holds no key.
        sites: the identity of each node that may take part; may grow.
        signer: the coordinator's identity.
        journal: writes sums down.
        nodes: those that are there and may be asked, now.
        sums: of questions that were answered before, to go on after.
        tell: hears how far it is.
    """

    def __init__(
        self,
        job: AgreementJob,
        adder: Adder,
        sites: Mapping[int, PublicIdentity],
        signer: Signer,
        journal: AgreementJournal,
        nodes: Callable[[], Collection[int]],
        *,
        sums: Collection[AgreementSum] = (),
        tell: Callable[[str], object] = lambda what: None,
    ) -> None:
        self._job = job
        self._adder = adder
        self._sites = sites
        self._signer = signer
        self._journal = journal
        self._nodes = nodes
        self._sums = list(sums)
        self._tell = tell
        self._known: dict[int, PublicIdentity] = {}  # by node, of all that were there: some may be removed since
        self._told: dict[int, list[Opening]] = {}  # by node, what it has told of each sum
        self._problems: dict[int, str] = {}  # why nodes take no part any more
        self._reasons: dict[int, str] = {}  # why nodes have not answered in order last

    def steps(self) -> Steps[Agreement]:
        """All questions that are left.

        Raises:
            FederationError: too few sites answer, or agree on what they read. The agreement can be gone on with, or
                begun again under another ULID.
        """
        question = first_question(self._job.terms)
        assert question is not None
        if self._sums:
            opening = yield from self._open()
        else:
            opening = None
        while opening is None or opening.question:
            if opening is not None:
                question = Question.from_json(opening.question)
            self._sums.append((yield from self._ask(question)))
            opening = yield from self._open()
        assert opening.facts is not None
        return Agreement(
            reference=AgreedReference(self._job.run, opening.tag),
            facts=opening.facts,
            sums=tuple(self._sums),
            problems={self._known[node].name: why for node, why in self._problems.items()},
        )

    def _ask(self, question: Question) -> Steps[AgreementSum]:
        """The sum of the answers to a question, in as many attempts as it takes."""
        failure = ""
        for tries in range(self._job.attempts):
            if tries:
                yield Pause(min(_LONGEST_WAIT, self._job.retry_wait * 2 ** (tries - 1)))
            yield from self._wait_for_sites()
            yield from self._catch_up()
            nodes = self._in_step()
            bound = self._journal.survivors(question.number)
            if bound is not None:  # an attempt has bared a sum in part: there is no other one any more
                nodes = [node for node in nodes if self._known[node].id in bound]
            if len(nodes) < max(self._job.fewest, len(bound or ())):
                failure = f"{len(nodes)} sites are there, expected at least {max(self._job.fewest, len(bound or ()))}"
                continue
            if len(nodes) > self._adder.preset.clients:
                raise self._failed(
                    f"{len(nodes)} sites are there, and a sum of {self._adder.preset.name} has room for "
                    f"{self._adder.preset.clients}: who is left out may have categories that nobody else has"
                )
            head = self._journal.authorise(question.number)
            attempt = self._journal.open_attempt(question.number)
            total, failure = yield from self._attempt(question, attempt, nodes, head, bound)
            if total:
                found = AgreementSum(question.to_json(), attempt, total)
                self._journal.close(question.number, found)
                return found
            self._journal.fail(question.number, attempt, failure)
            self._tell(f"question {question.number}, attempt {attempt}: {failure}")
        raise self._failed(f"question {question.number} of agreement {self._job.run} has no sum: {failure}")

    def _attempt(
        self, question: Question, attempt: int, nodes: list[int], head: str, bound: frozenset[str] | None
    ) -> Steps[tuple[bytes, str]]:
        """The sum, or why there is none."""
        job, preset = self._job, self._adder.preset
        sitting = agreement_sitting(
            question, run=job.run, attempt=attempt, preset=preset.name, levels=preset.levels, masks=job.masks
        )
        sites = {node: self._known[node] for node in nodes}
        aggregator = Aggregator(
            self._adder, sitting, members={site.id: site for site in sites.values()}, signer=self._signer
        )
        plan = AgreementPlan(
            run=job.run,
            round=question.number,
            attempt=attempt,
            step="answer",
            question=question.to_json(),
            preset=preset.name,
            scheme=self._adder.scheme,
            masks=job.masks,
            ledger_head=head,
        )
        masks = None if job.masks is None else self._make_masks(job.masks, sitting, sites)
        shares = dict.fromkeys(nodes, b"")
        try:
            if masks is not None:
                shares = yield from masks.open(nodes)
            size = self._adder.update_bytes(sitting.symbols(self._adder)) + _ENVELOPE
            answers = yield from self._pass_on(
                {node: replace(plan, shares=dealt) for node, dealt in shares.items()}, largest=size
            )
            for node, answer in answers.items():
                try:
                    aggregator.add(answer.update, sender=sites[node].id)
                except UpdateRejectedError as exc:
                    self._reasons[node] = exc.message
            if aggregator.summands < job.min_sites or (bound is not None and bound != frozenset(aggregator.senders)):
                return b"", f"{aggregator.summands} usable answers, expected at least {job.min_sites}"
            bare = None
            if masks is not None:
                bare = yield from masks.remove(
                    aggregator.senders,
                    lambda survivors: self._journal.note_survivors(question.number, attempt, survivors),
                )
            total = aggregator.finish(min_summands=job.min_sites, masks=bare).to_bytes()
            self._tell(f"question {question.number}: {aggregator.summands} of {len(self._sites)} sites answered")
            return total, ""
        except PrivacyError as exc:
            return b"", exc.message

    def _open(self) -> Steps[Opening]:
        """What most sites tell of the last sum, once those that are there have opened all of them."""
        yield from self._wait_for_sites()
        yield from self._catch_up()
        said = {node: told[-1] for node, told in self._told.items() if len(told) == len(self._sums)}
        opening = _majority(list(said.values()))
        agreeing = [node for node, each in said.items() if each == opening]
        if opening is None or len(agreeing) < self._job.min_sites:
            raise self._failed(
                f"{len(agreeing)} of {len(said)} sites tell the same of sum {len(self._sums)} of agreement "
                f"{self._job.run}, expected at least {self._job.min_sites}"
            )
        for node in said.keys() - set(agreeing):
            self._problems[node] = "the site has read something else from a sum than most"
        return opening

    def _catch_up(self) -> Steps[None]:
        """Have the sites that are there open the sums they have not opened yet."""
        for place, found in enumerate(self._sums):
            nodes = [node for node in self._there() if len(self._told.get(node, ())) == place]
            if not nodes:
                continue
            question = Question.from_json(found.question)
            plan = AgreementPlan(
                run=self._job.run,
                round=question.number,
                attempt=found.attempt,
                step="open",
                question=found.question,
                preset=self._adder.preset.name,
                scheme=self._adder.scheme,
                masks=self._job.masks,
                total=found.total,
            )
            answers = yield from self._pass_on(dict.fromkeys(nodes, plan), largest=2 * len(found.question) + _ENVELOPE)
            for node, answer in answers.items():
                if answer.opening is not None:
                    self._told.setdefault(node, []).append(answer.opening)

    def _pass_on(self, plans: Mapping[int, AgreementPlan], *, largest: int) -> Steps[dict[int, AgreementAnswer]]:
        """Ask, and read what came: answers of the kind that was asked for."""
        step: AgreementStep = next(iter(plans.values())).step
        answers = yield Questions(
            kind=MessageType.QUERY,
            contents={node: agreement_plan_to_content(plan) for node, plan in plans.items()},
            largest=largest,
            closing=self._job.waiting(len(plans)),
            counted=frozenset(plans),
        )
        self._reasons = dict.fromkeys(plans.keys() - answers.contents.keys(), "no answer in time") | dict(
            answers.reasons
        )
        for node, code in answers.codes.items():
            if code == Refusal.BEHIND:  # it has lost what it knew, and is told all of it again
                self._told.pop(node, None)
            elif code in _FOR_GOOD:
                self._problems[node] = f"the site refused: {code.value}; its own log says why"
        found: dict[int, AgreementAnswer] = {}
        for node, content in answers.contents.items():
            try:
                answer = agreement_answer_from_content(content)
                if (answer.opening is None) != (step == "answer"):
                    raise UpdateRejectedError("it answers something else")
                found[node] = answer
            except UpdateRejectedError as exc:
                self._reasons[node] = exc.message
        return found

    def _make_masks(self, terms: MaskTerms, sitting: Sitting, sites: Mapping[int, PublicIdentity]) -> RoundMasks:
        plan = make_masking_plan(
            terms,
            sitting.run,
            sitting.round,
            sitting.attempt,
            layout=sitting.layout,
            modulus=self._adder.preset.plain_modulus,
        )

        def ask(step: MaskStep, payloads: Mapping[int, bytes]) -> Steps[Mapping[int, bytes]]:
            contents = {
                node: request_to_content(
                    MaskRequest(
                        run=sitting.run,
                        round=sitting.round,
                        attempt=sitting.attempt,
                        step=step,
                        layout=sitting.layout,
                        terms=terms,
                        payload=payload,
                        preset=self._adder.preset.name,
                    )
                )
                for node, payload in payloads.items()
            }
            answers = yield Questions(
                kind=MessageType.QUERY,
                contents=contents,
                largest=2**11 * (1 + len(sites)),  # of shares and reveals, some hundred bytes for each site
                closing=self._job.waiting(len(contents)),
                counted=frozenset(contents),
            )
            found: dict[int, bytes] = {}
            for node, content in answers.contents.items():
                try:
                    found[node] = answer_from_content(content)
                except UpdateRejectedError:
                    continue
            return found

        return RoundMasks(plan, sites, ask)

    def _there(self) -> list[int]:
        there = {node: site for node in self._nodes() if (site := self._sites.get(node)) is not None}
        self._known |= there
        return sorted(there.keys() - self._problems.keys())

    def _in_step(self) -> list[int]:
        """Those that are there and have opened every sum."""
        return [node for node in self._there() if len(self._told.get(node, ())) == len(self._sums)]

    def _wait_for_sites(self) -> Steps[None]:
        ends = time.monotonic() + self._job.patience
        while len(self._there()) < self._job.fewest and time.monotonic() < ends:
            yield Pause(min(_LOOK, max(0.0, ends - time.monotonic())))

    def _failed(self, what: str) -> FederationError:
        reasons = self._reasons | self._problems
        told = tell_reasons((self._known[node].name, why) for node, why in sorted(reasons.items()))
        return FederationError(f"{what}{f'; {told}' if told else ''}", hint="see the logs of the sites that refused")


def agree(
    grid: Grid,
    job: AgreementJob,
    adder: Adder,
    sites: Mapping[int, PublicIdentity],
    signer: Signer,
    journal: AgreementJournal,
    *,
    sums: Collection[AgreementSum] = (),
    check: Callable[[], object] = lambda: None,
) -> Agreement:
    """Have the sites of a grid agree; see `AgreementRelay`.

    Args:
        check: called often; what it raises ends it.
    """
    courier = Courier(grid, sites, signer, check=check)
    relay = AgreementRelay(job, adder, sites, signer, journal, courier.nodes, sums=sums)
    [done] = drive(courier, [relay.steps()], check=check)
    if done.error is not None:
        raise done.error
    assert done.value is not None
    return done.value


def _majority(values: list[T]) -> T | None:
    """What more than half say; None where there is no such value."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None
