"""A run from its first round, or from where it was left, to its last: what the coordinator does, exchange by exchange.

A round with too few usable answers is attempted again; when enough attempts have failed the run is paused, and can be
gone on with. Every attempt is charged to the privacy ledger and written down before any site is asked; a round is
written down as closed before the next begins. So the run can be left at any moment, by a crash as well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from ...core import derive_rng
from ...privacy import PublicIdentity, UpdateRejectedError
from ..errors import PausedError
from ..protocol.courier import TRAIN, Pause, Questions, Steps
from ..protocol.records import plan_size, plan_to_content, update_from_content
from ..protocol.rounds import ClientUpdate, Phase, RoundResult, SiteOutcome, SiteReport
from ..protocol.telling import tell_reasons
from .attempt import Coordination, Outcome, RoundAttempt, majority
from .catch_up import CatchUp
from .greeter import Greeter
from .journal import Resume, RoundJournal

_LONGEST_WAIT: Final = 60.0  # seconds between two attempts
_LOOK: Final = 0.5  # seconds between two looks for sites
LOOKED: Final = "nobody was asked to take part: the figures of an earlier model were wanted"
_MOST_LOST: Final = 3  # rounds in a row: more would spend privacy for nothing


class Relay:
    """The rounds of one run.

    Args:
        terms: of the run.
        journal: writes them down.
        nodes: those that are there and may be asked, now.
        greeter: asks sites what they are before their first round; None takes all.
        resume: where to go on.
    """

    def __init__(
        self,
        terms: Coordination,
        journal: RoundJournal,
        nodes: Callable[[], Collection[int]],
        *,
        greeter: Greeter | None = None,
        resume: Resume | None = None,
    ) -> None:
        self._terms = terms
        self._plan = terms.plan
        self._journal = journal
        self._nodes = nodes
        self._greeter = greeter
        self._catch_up = CatchUp(
            terms,
            lambda site, donor, size: journal.tell(
                "site caught up", len(self._closed) + 1, site=site, donor=donor, bytes=size
            ),
            greeter=greeter,
        )
        self._closed = list(Resume().closed if resume is None else resume.closed)
        self._total = b"" if resume is None else resume.total
        self._lost = 0  # rounds in a row

    def steps(self) -> Steps[None]:
        """All rounds that are left.

        Raises:
            PausedError: attempts at a round have failed, or too many rounds were lost: the run can be gone on with.
        """
        while (phase := self._plan.next_phase(self._closed)) is not None:
            yield from self.advance(phase)
        yield from self.settle()

    def settle(self) -> Steps[None]:
        """Bring who missed the last round to where the others are, so that it has the model, too."""
        yield from self._catch_up.steps(self._there(), Counter())

    def advance(self, phase: Phase) -> Steps[Outcome]:
        """The next round, for this phase: it is closed, with a sum or, where that was lost, without.

        Raises:
            PausedError: as of `steps`.
        """
        outcome = yield from self._round(len(self._closed) + 1, phase)
        self._lost = self._lost + 1 if outcome.lost else 0
        self._closed.append((phase, bool(outcome.total)))
        self._total = outcome.total
        if self._lost == _MOST_LOST:
            raise PausedError(f"{self._lost} rounds in a row have no sum: {outcome.result.failure}")
        return outcome

    def look(self) -> Steps[SiteReport | None]:
        """What the sites read from the last sum, before the next round that trains is begun; None: they do not agree.

        It is an attempt at that round in which nobody takes part: each site opens the sum and takes the step, which the
        round would have begun with, and releases nothing.
        """
        number, nodes = len(self._closed) + 1, self._there()
        attempt = self._journal.open_attempt(number, "train")
        plan = self._plan.round_plan(number, "train", attempt=attempt, total=self._total)
        content = plan_to_content(replace(plan, take_part=False))
        started, clock = datetime.now(UTC), time.perf_counter()
        answers = yield Questions(
            kind=TRAIN,
            contents=dict.fromkeys(nodes, content),
            largest=0,
            closing=self._terms.waiting(self._plan.fewest),
            counted=frozenset(nodes),
        )
        said: dict[int, ClientUpdate] = {}
        reasons = dict(answers.reasons)
        for node, answer in answers.contents.items():
            try:
                said[node] = update_from_content(answer)
            except UpdateRejectedError as exc:
                reasons[node] = exc.message
        agreed = majority([update.model_tag for update in said.values()])
        report = majority([update.report for update in said.values() if update.model_tag == agreed])
        outcomes = tuple(
            SiteOutcome(
                site=site.name,
                reason=None if node in said else reasons.get(node, "no answer in time"),
                bytes_up=0,
                bytes_down=plan_size(plan),
                seconds=said[node].seconds if node in said else 0.0,
                took_part=False,
            )
            for node, site in self._sites(nodes).items()
        )
        self._journal.fail(
            RoundResult(
                round=number,
                attempt=attempt,
                phase="train",
                outcomes=outcomes,
                report=report,
                started=started,
                seconds=time.perf_counter() - clock,
                failure=LOOKED,
            )
        )
        return report

    def _round(self, number: int, phase: Phase) -> Steps[Outcome]:
        """One round, in as many attempts as it takes."""
        outcome: Outcome | None = None
        for tries in range(self._plan.attempts):
            if tries:
                yield Pause(min(_LONGEST_WAIT, self._plan.retry_wait * 2 ** (tries - 1)))
            outcome = yield from self._attempt(number, phase)
            self._catch_up.note(outcome)
            if outcome.result.failure is None or outcome.lost:
                self._journal.close(outcome.result, outcome.total)
                return outcome
            self._journal.fail(outcome.result)
            if outcome.spoiled:  # what a site has put into it, no one can take out: the sites go on without it
                self._total = b""
        assert outcome is not None
        assert outcome.result.failure is not None
        raise PausedError(outcome.result.failure)

    def _attempt(self, number: int, phase: Phase) -> Steps[Outcome]:
        bound = self._journal.survivors(number)
        yield from self._wait_for_sites(bound)
        nodes = self._there()
        if len(nodes) < self._plan.fewest:
            there = "no site is" if not nodes else "1 site is" if len(nodes) == 1 else f"{len(nodes)} sites are"
            refused = {} if self._greeter is None else self._greeter.refused
            names = {node: site.name for node, site in self._sites(refused).items()}
            told = tell_reasons((name, refused[node]) for node, name in names.items())
            failure = f"round {number} is not begun: {there} connected, expected at least {self._plan.fewest}"
            return self._unasked(number, phase, f"{failure}; {told}" if told else failure, lost=False)
        if bound is not None and not bound <= self._ids(nodes):
            failure = f"round {number} has no sum any more: an attempt has bared that of sites that are gone"
            return self._unasked(number, phase, failure, lost=True)
        moved = Counter[tuple[int, str]]()
        yield from self._catch_up.steps(nodes, moved)
        if self._greeter is not None:  # who cannot be helped is out
            nodes = [node for node in nodes if self._greeter.accepts(node)]
        head = self._journal.authorise(number, phase)
        attempt = self._journal.open_attempt(number, phase)
        return (
            yield from RoundAttempt(
                self._terms,
                number,
                phase,
                attempt,
                total=self._total,
                ledger_head=head,
                nodes=nodes,
                chosen=self._choose(nodes, number, attempt, bound),
                survivors=bound,
                note=lambda survivors: self._journal.note_survivors(number, attempt, survivors),
                moved=moved,
            ).steps()
        )

    def _there(self) -> list[int]:
        there = list(self._sites(self._nodes()))
        return there if self._greeter is None else [node for node in there if self._greeter.accepts(node)]

    def _wait_for_sites(self, bound: frozenset[str] | None) -> Steps[None]:
        """Wait for as many as a sum needs, and a while for those of a sum that was bared: without them it is lost."""
        ends = time.monotonic() + self._plan.patience
        bound_until = time.monotonic() + min(self._plan.patience, _LONGEST_WAIT)
        while True:
            if self._greeter is not None:
                yield from self._greeter.steps(self._nodes())
                self._catch_up.note_new(len(self._closed))
            nodes, now = self._there(), time.monotonic()
            enough = len(nodes) >= self._plan.fewest
            if enough and (bound is None or now >= bound_until or bound <= self._ids(nodes)):
                return
            if now >= ends:
                return
            yield Pause(min(_LOOK, ends - now))

    def _ids(self, nodes: Collection[int]) -> frozenset[str]:
        return frozenset(site.id for site in self._sites(nodes).values())

    def _sites(self, nodes: Collection[int]) -> dict[int, PublicIdentity]:
        """Who the nodes are; one that is removed at this moment is none."""
        return {node: site for node in nodes if (site := self._terms.sites.get(node)) is not None}

    def _choose(
        self, nodes: Collection[int], number: int, attempt: int, bound: frozenset[str] | None
    ) -> frozenset[int]:
        """Who takes part: those of an earlier sum, or as many as the plan asks for."""
        if bound is not None:
            return frozenset(node for node, site in self._sites(nodes).items() if site.id in bound)
        wanted, there = self._plan.participants, sorted(nodes)
        if wanted is None or wanted >= len(there):
            return frozenset(there)
        rng = derive_rng(self._plan.seed, "participants", number, attempt)
        drawn: list[int] = rng.choice(len(there), wanted, replace=False).tolist()
        return frozenset(there[place] for place in drawn)

    def _unasked(self, number: int, phase: Phase, failure: str, *, lost: bool) -> Outcome:
        """What comes of an attempt for which no site is asked anything: it costs no privacy."""
        attempt = self._journal.open_attempt(number, phase)
        nothing = frozenset[int]()
        result = RoundResult(
            round=number,
            attempt=attempt,
            phase=phase,
            outcomes=(),
            report=None,
            started=datetime.now(UTC),
            seconds=0.0,
            failure=failure,
        )
        return Outcome(
            result=result, total=b"", lost=lost, spoiled=False, in_step=nothing, behind=nothing, astray=nothing
        )
