"""Rounds that wait for nobody: a round closes when a buffer of changes is full, and who still trains goes on.

Every site is sent the plan of every round, for it must take every step. One that is still training is asked for the
step alone, and does it when it is done; its change counts in the round that is open then, the less the older it is.

An update is checked as in any round, against the plan it answers. Updates are in the clear, and nothing hides which
site sent what; see `strategies.FedBuff`. The counts that sites report are those of the models they began from, so the
figure of a round is one of recent models rather than of one.

A site that has missed rounds, or comes late, is sealed the state of one that is up to date and does not train, before
the next plan is sent. A coordinator that is started again begins with the round that was open, as a later attempt; what
was on its way then is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from ...privacy import Aggregator, EncryptedSum, PublicIdentity, Sitting, UpdateRejectedError, write_senders
from ..errors import PausedError, Refusal
from ..protocol.courier import Courier, Questions, drive
from ..protocol.gather import Waking
from ..protocol.records import plan_size, plan_to_content, update_from_content
from ..protocol.rounds import ClientUpdate, RoundResult, SiteOutcome, SiteReport
from ..protocol.telling import tell_reasons
from ..strategies import FedBuff
from ..updates.buffered_sum import BufferedUpdate, KeepingAdder, add_stale, keep_what_is_added
from ..updates.symbols import UpdateSymbols
from .attempt import ENVELOPE, Coordination, majority
from .catch_up import CatchUp
from .greeter import Greeter
from .journal import Resume, RoundJournal

_LOOK: Final = 0.05  # seconds between two looks for answers, where the grid cannot wake us


@dataclass(frozen=True, slots=True)
class _Sent:
    """An attempt whose plans are out."""

    number: int
    questions: Questions
    messages: Mapping[int, Message]
    trains: frozenset[int]  # nodes that were asked for more than the step
    sites: Mapping[int, PublicIdentity]  # some may be removed since
    aggregator: Aggregator  # checks updates; its sum is never given out
    tags: dict[int, str]  # of the model each node had


@dataclass(frozen=True, slots=True)
class _Buffered:
    """A change that waits for the buffer to be full."""

    sent: _Sent
    update: ClientUpdate
    symbols: BufferedUpdate


class BufferedRounds:
    """The training rounds of a run of `FedBuff`.

    Args:
        terms: of the run, whose updates are in the clear.
        grid: reaches the sites.
        courier: over the same grid.
        journal: writes the rounds down.
        strategy: of the run.
        greeter: asks sites what they are before their first round; None takes all.
        resume: where to go on.
    """

    def __init__(
        self,
        terms: Coordination,
        grid: Grid,
        courier: Courier,
        journal: RoundJournal,
        strategy: FedBuff,
        *,
        greeter: Greeter | None = None,
        resume: Resume | None = None,
    ) -> None:
        assert isinstance(terms.symbols, UpdateSymbols)
        self._terms = terms
        self._symbols = terms.symbols
        self._grid = grid
        self._courier = courier
        self._journal = journal
        self._strategy = strategy
        self._greeter = greeter
        self._adder: KeepingAdder = keep_what_is_added(terms.adder)
        self._catch_up = CatchUp(
            terms,
            lambda site, donor, size: journal.tell(
                "site caught up", len(self._closed) + 1, site=site, donor=donor, bytes=size
            ),
            greeter=greeter,
        )
        self._last: _Sent | None = None
        self._behind: set[int] = set()  # nodes that have said so since the others were helped last
        self._names: dict[int, str] = {}  # of all nodes that were there
        self._closed = list(Resume().closed if resume is None else resume.closed)
        self._total = b"" if resume is None else resume.total
        self._waiting: dict[str, tuple[int, _Sent]] = {}  # by message: whose answer, to what
        self._busy: dict[int, tuple[str, float]] = {}  # node -> the message for which it trains, and since when
        self._buffer: dict[int, _Buffered] = {}  # by node
        self._refused: dict[int, str] = {}  # since the last round was closed
        self._reports: dict[int, list[SiteReport | None]] = {}  # in answers to the plans of each round
        self._bytes = Counter[tuple[int, str]]()

    def run(self) -> Resume:
        """All training rounds that are left; where the closing rounds go on.

        Raises:
            PausedError: attempts at a round have failed: the run can be gone on with.
        """
        while self._terms.plan.next_phase(self._closed) == "train":
            self._round(len(self._closed) + 1)
        return Resume(closed=tuple(self._closed), total=self._total)

    def _round(self, number: int) -> None:
        failure = ""
        for _ in range(self._terms.plan.attempts):
            started, clock = datetime.now(UTC), time.perf_counter()
            attempt, failure = self._attempt(number)
            total, seconds = b"", 0.0
            if not failure:
                adding = time.perf_counter()
                total = self._add_up(number, attempt)
                seconds = time.perf_counter() - adding
            result = RoundResult(
                round=number,
                attempt=attempt,
                phase="train",
                outcomes=self._outcomes(),
                report=self._newest_report(),
                started=started,
                seconds=time.perf_counter() - clock,
                aggregate_seconds=seconds,
                failure=failure or None,
            )
            if total:
                self._journal.close(result, total)
                self._closed.append(("train", True))
                self._total = total
                self._buffer, self._refused, self._bytes = {}, {}, Counter[tuple[int, str]]()
                return
            self._journal.fail(result)
        raise PausedError(failure)

    def _attempt(self, number: int) -> tuple[int, str]:
        """Send the plans and wait until the buffer is full: the number of the attempt, and why it is not full."""
        nodes = self._help(self._nodes())
        head = self._journal.authorise(number, "train")
        attempt = self._journal.open_attempt(number, "train")
        self._send(number, attempt, head, nodes)
        ends = time.monotonic() + self._terms.plan.closing.deadline
        while len(self._usable()) < self._strategy.buffer:
            left = ends - time.monotonic()
            if not self._waiting or left <= 0:
                told = tell_reasons((self._names[node], why) for node, why in self._refused.items())
                failure = (
                    f"round {number} has {len(self._usable())} usable changes, expected {self._strategy.buffer}: "
                    f"{told or 'no other site has answered'}"
                )
                return attempt, failure
            self._journal.check()
            for reply in self._pull(left):
                self._take(number, reply)
        return attempt, ""

    def _newest_report(self) -> SiteReport | None:
        """What most sites that answered a plan report, of the newest plan of which that was not told yet."""
        for number in sorted(self._reports, reverse=True):
            report = majority(self._reports[number])
            if report is not None:
                self._reports = {later: said for later, said in self._reports.items() if later > number}
                return report
        return None

    def _help(self, nodes: list[int]) -> list[int]:
        """Bring those that missed rounds to where the others are; who is left."""
        self._catch_up.note_new(len(self._closed))
        if (last := self._last) is not None:
            agreed = majority(list(last.tags.values()))
            same = frozenset(node for node, tag in last.tags.items() if tag == agreed)
            self._catch_up.learn(
                last.number, in_step=same, behind=frozenset(self._behind), astray=frozenset(last.tags.keys() - same)
            )
            self._behind.clear()
            for done in drive(self._courier, [self._catch_up.steps(nodes, self._bytes)], check=self._journal.check):
                if done.error is not None:
                    raise done.error
        return [node for node in nodes if self._greeter is None or self._greeter.accepts(node)]

    def _nodes(self) -> list[int]:
        """Who is there; new ones are greeted first."""
        nodes = self._courier.nodes()
        self._names |= {node: site.name for node in nodes if (site := self._terms.sites.get(node)) is not None}
        if self._greeter is None:
            return nodes
        for done in drive(self._courier, [self._greeter.steps(nodes)]):
            if done.error is not None:
                raise done.error
        return [node for node in nodes if self._greeter.accepts(node)]

    def _send(self, number: int, attempt: int, head: str, nodes: list[int]) -> None:
        plan = self._terms.plan.round_plan(number, "train", attempt=attempt, total=self._total, ledger_head=head)
        now, longest = time.monotonic(), self._terms.plan.closing.deadline
        self._busy = {node: each for node, each in self._busy.items() if now - each[1] < longest}  # else it is gone
        sites = {node: site for node in nodes if (site := self._terms.sites.get(node)) is not None}
        idle = frozenset(node for node in sites if node not in self._busy and node not in self._buffer)
        plans = {node: replace(plan, take_part=node in idle) for node in sites}
        questions = Questions(
            kind=MessageType.TRAIN,
            contents={node: plan_to_content(each) for node, each in plans.items()},
            largest=self._adder.update_bytes(self._symbols.values) + ENVELOPE,
            closing=self._terms.plan.closing,
            counted=idle,
        )
        messages = self._courier.messages({0: questions})
        sitting = Sitting(
            run=plan.run,
            round=number,
            attempt=attempt,
            layout=self._terms.layout(number, "train"),
            values=self._symbols.values,
        )
        members = {site.id: site for site in sites.values()}
        aggregator = Aggregator(self._adder, sitting, members=members, signer=self._terms.signer)
        sent = self._last = _Sent(number, questions, messages, idle, sites, aggregator, {})
        for (node, _), message_id in zip(
            messages.items(), self._grid.push_messages(list(messages.values())), strict=True
        ):
            if message_id:
                self._waiting[message_id] = (node, sent)
                self._bytes[node, "down"] += plan_size(plans[node])
                if node in idle:
                    self._busy[node] = message_id, now

    def _pull(self, left: float) -> list[Message]:
        """Answers that have come; waits a little where there are none."""
        replies = list(self._grid.pull_messages(list(self._waiting)))
        if not replies:
            if isinstance(self._grid, Waking):
                self._grid.wait(list(self._waiting), min(1.0, left))
            else:
                time.sleep(min(_LOOK, left))
        return replies

    def _take(self, number: int, reply: Message) -> None:
        """Check an answer, and keep its change if it has one."""
        message_id = reply.metadata.reply_to_message_id
        if message_id not in self._waiting:
            return
        node, sent = self._waiting.pop(message_id)
        if node in self._busy and self._busy[node][0] == message_id:
            del self._busy[node]
        answers = self._courier.read({0: sent.questions}, sent.messages, [reply])[0]
        if answers.codes.get(node) == Refusal.BEHIND:
            self._behind.add(node)
        try:
            if node not in answers.contents:
                raise UpdateRejectedError(answers.reasons.get(node, "no answer that can be read"))
            update = update_from_content(answers.contents[node])
            sent.tags[node] = update.model_tag
            self._reports.setdefault(sent.number, []).append(update.report)
            if node in sent.trains:
                self._keep(number, node, sent, update)
        except UpdateRejectedError as exc:
            self._refused[node] = exc.message

    def _keep(self, number: int, node: int, sent: _Sent, update: ClientUpdate) -> None:
        age = number - sent.number
        self._bytes[node, "up"] += len(update.update)
        if age > self._strategy.oldest:
            raise UpdateRejectedError(f"a change that is {age} rounds old, at most {self._strategy.oldest} are taken")
        sent.aggregator.add(update.update, sender=sent.sites[node].id)
        buffered = BufferedUpdate(self._adder.last, self._strategy.weight(age))
        self._buffer[node] = _Buffered(sent, update, buffered)

    def _usable(self) -> dict[int, _Buffered]:
        """The changes of sites that had the model most of those asked with them had."""
        return {
            node: kept
            for node, kept in self._buffer.items()
            if kept.update.model_tag == majority(list(kept.sent.tags.values()))
        }

    def _add_up(self, number: int, attempt: int) -> bytes:
        """The signed sum of what is in the buffer."""
        usable = self._usable()
        for node in self._buffer.keys() - usable.keys():
            self._refused[node] = "the site's model is not the one most sites have"
        chosen = [usable[node].symbols for node in sorted(usable)]
        sums = add_stale(chosen, self._symbols, self._adder.preset.levels)
        sitting = Sitting(
            run=self._terms.plan.run,
            round=number,
            attempt=attempt,
            layout=self._terms.layout(number, "train"),
            values=self._symbols.values,
        )
        senders = write_senders(kept.sent.sites[node].id for node, kept in usable.items())
        header = sitting.header(self._adder, self._terms.signer.public.id, summands=len(usable))
        body = self._adder.write(sums, len(usable))
        return EncryptedSum.sign(header, senders + body, self._terms.signer).to_bytes()

    def _outcomes(self) -> tuple[SiteOutcome, ...]:
        """Of every site that was sent anything; who still trains takes no part in this round."""
        usable = self._usable()
        nodes = sorted({node for node, _ in self._bytes} | usable.keys() | self._refused.keys())
        return tuple(self._outcome(node, usable.get(node)) for node in nodes)

    def _outcome(self, node: int, kept: _Buffered | None) -> SiteOutcome:
        update = None if kept is None else kept.update
        return SiteOutcome(
            site=self._names[node],
            reason=None if kept is not None else self._refused.get(node),
            bytes_up=self._bytes[node, "up"],
            bytes_down=self._bytes[node, "down"],
            seconds=0.0 if update is None else update.seconds,
            train_seconds=None if update is None else update.train_seconds,
            encrypt_seconds=None if update is None else update.encrypt_seconds,
            took_part=kept is not None or node in self._refused,
            rows=None if update is None else update.rows,
            update_norm=None if update is None else update.update_norm,
            clipped=None if update is None else update.clipped,
        )
