"""`CandidateEvaluator`: evaluates the candidates of a search at the sites of a federation, over any grid."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import count
from typing import Final

from ...core import Budget, Candidate, ConfigError, Evaluation
from ...privacy import Adder, PublicIdentity, Signer
from ...storage import StorageError
from ..coordinator.attempt import Coordination
from ..coordinator.greeter import Greeter
from ..coordinator.journal import MemoryJournal, RoundJournal
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..errors import FederationError, PausedError, StoppedError
from ..protocol.answers import MAX_QUESTIONS
from ..protocol.courier import Courier, Done, Steps, drive
from ..protocol.rounds import Phase
from .candidate_rounds import CandidateRounds
from .shared_weights import ROUNDS_OF_A_CANDIDATE, SharedWeights
from .terms import SearchTerms

# What ends a search, to be gone on with, and is no result of a candidate: a spent budget is an error of storage, too.
NOT_OF_A_CANDIDATE: Final = (PausedError, StoppedError, StorageError)
KEPT: Final = 64  # candidates that can be gone on with: sites keep as many runs at hand


class CandidateEvaluator:
    """Has the sites train candidates, several side by side in shared messages.

    One epoch of a budget is one round over all sites. An evaluation depends on the candidate, the budget and the sites'
    rows, not on what is evaluated beside it; asked again at a higher budget, it goes on where the candidate was. A
    candidate that diverges at most sites has an evaluation that says so; what else keeps most sites from training it is
    raised, or returned by `wait`. Too few sites, a spent budget or a request to stop end everything: they are raised
    by both, and another evaluator may begin again what was in work.

    Args:
        courier: carries questions to the sites, in the name of `signer`.
        terms: what all candidates have in common.
        adder: the scheme's arithmetic; holds no key.
        sites: the identity of each node that may take part.
        signer: the coordinator's identity.
        journal: makes what writes a candidate's rounds down; its run is there already.
        greeter: asks sites what they are before their first round; None takes all.
        shared: weights that candidates begin with, once `train_shared` has been called; budgets make no difference to
            such candidates. None has each train from nothing.
        at_once: candidates side by side, 1 to 64.
        check: called between exchanges; what it raises ends all.
        ends: further errors that end all, such as those of the grid.

    Raises:
        ConfigError: `at_once` is out of range.
    """

    def __init__(
        self,
        courier: Courier,
        terms: SearchTerms,
        adder: Adder,
        sites: Mapping[int, PublicIdentity],
        signer: Signer,
        *,
        journal: Callable[[Candidate, FederationPlan], RoundJournal] = lambda candidate, plan: MemoryJournal(),
        greeter: Greeter | None = None,
        shared: SharedWeights | None = None,
        at_once: int = 8,
        check: Callable[[], object] = lambda: None,
        ends: tuple[type[Exception], ...] = (),
    ) -> None:
        if not 1 <= at_once <= MAX_QUESTIONS:
            raise ConfigError(f"expected 1 to {MAX_QUESTIONS} candidates at a time, got {at_once}")
        self._terms = terms
        self._adder = adder
        self._sites = sites
        self._signer = signer
        self._journal = journal
        self._greeter = greeter
        self._shared = shared
        self._apart: set[str] = set()  # candidates that train from nothing all the same
        self._at_once = at_once
        self._check = check
        self._ends = (*NOT_OF_A_CANDIDATE, *ends)
        self._courier = courier
        self._known: OrderedDict[str, CandidateRounds] = OrderedDict()
        self._queue: deque[tuple[Candidate, Budget]] = deque()  # asked for, and not begun
        self._asked: set[str] = set()  # candidates that are waited for
        self._begun: list[str] = []  # candidates by their place in `_driving`
        self._driving: Generator[Done[Evaluation]] | None = None
        self._done: list[tuple[str, Evaluation | Exception]] = []  # that nobody was told of yet

    def evaluate(self, candidate: Candidate, budget: Budget, *, apart: bool = False) -> Evaluation:
        """Train one candidate to the end of a budget, and measure it; what else was submitted is worked on beside it.

        Args:
            candidate: what is trained.
            budget: how far.
            apart: from nothing, whatever others share.

        Raises:
            ConfigError: the candidate cannot be trained so.
            PausedError: a round had too few usable answers.
        """
        if apart:
            self._apart.add(candidate.id)
        self.submit(candidate, budget)
        while True:
            uid, result = self._next()
            if uid != candidate.id:
                self._done.append((uid, result))
            elif isinstance(result, Exception):
                raise result
            else:
                return result

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Ask for an evaluation, which `wait` works on; one at a time of each candidate."""
        if candidate.id in self._asked:
            raise ConfigError(f"candidate {candidate.id} is at work already", hint="wait for it first")
        self._asked.add(candidate.id)
        self._queue.append((candidate, budget))

    def wait(self) -> list[tuple[str, Evaluation | Exception]]:
        """Work until some evaluation is done: what came of it, by the id of its candidate; nothing if none is asked.

        Raises:
            PausedError: too few sites are there.
            BudgetSpentError: the data has a privacy budget.
            StorageError: the history cannot be written.
            StoppedError: somebody asked for that.
        """
        if self._done:
            done, self._done = self._done, []
            return done
        return [self._next()] if self._asked else []

    def forget(self, candidate: str) -> None:
        """Let go of a candidate: nothing more is asked of it. The rounds of one that is at work go on beside others."""
        self._asked.discard(candidate)
        self._known.pop(candidate, None)
        self._apart.discard(candidate)
        self._queue = deque(each for each in self._queue if each[0].id != candidate)
        if not self._asked and self._driving is not None:
            self._driving.close()
            self._driving = None

    def _next(self) -> tuple[str, Evaluation | Exception]:
        """The next evaluation that is done, of those that are asked for."""
        while True:
            if self._driving is None:
                self._begun = []
                self._driving = drive(self._courier, _Waiting(self._begin), at_once=self._at_once, check=self._check)
            done = next(self._driving, None)
            if done is None:  # all that was begun is done, and what was asked meanwhile is not begun
                assert self._queue
                self._driving = None
                continue
            uid = self._begun[done.place]
            if uid not in self._asked:
                continue  # nobody wants it any more
            self._asked.remove(uid)
            if isinstance(done.error, self._ends):
                raise done.error
            result = done.error or done.value
            if not isinstance(result, Exception | Evaluation):
                raise TypeError(f"an evaluation ended with {result!r}")
            return uid, result

    def _inherits(self, candidate: Candidate) -> str:
        return "" if self._shared is None or candidate.id in self._apart else self._shared.of_candidate(candidate)

    def _begin(self) -> Steps[Evaluation] | None:
        """What is to be begun next."""
        if not self._queue:
            return None
        candidate, budget = self._queue.popleft()
        self._begun.append(candidate.id)
        return self._climb(candidate, budget)

    def train_shared(
        self, journal: Callable[[], RoundJournal], said: Callable[[int], object] = lambda done: None
    ) -> int:
        """Train what the candidates share, path by path; nothing else may be at work.

        Args:
            journal: makes what writes a path's rounds down.
            said: hears how many paths are trained.

        Returns:
            How many of them did not diverge.

        Raises:
            ConfigError: nothing is shared, or candidates are at work.
            FederationError, PausedError: a path cannot be trained.
        """
        shared = self._shared
        if shared is None or self._asked:
            raise ConfigError("expected weights to be shared, and no candidate at work")

        def walk(number: int) -> Steps[bool]:
            path = shared.path(number)
            plan = self._terms.plan(path, ROUNDS_OF_A_CANDIDATE, shared.of_path(path))
            return (yield from self._rounds(path, plan, journal()).walk(ROUNDS_OF_A_CANDIDATE))

        paths, trained = shared.messages * self._at_once, 0
        going = drive(self._courier, map(walk, range(paths)), at_once=self._at_once, check=self._check)
        for number, done in enumerate(going, start=1):
            if done.error is not None:
                raise done.error
            trained += bool(done.value)
            said(number)
        return trained

    def prepare_shared(self, gate: PrivacyGate, say: Callable[[str], object]) -> None:
        """Train what the candidates share, with the privacy ledger and a word now and then; see `train_shared`.

        Args:
            gate: charges the rounds of all paths, as those of one run.
            say: hears how far it is.

        Raises:
            FederationError: all of them diverged; also as of `train_shared`.
        """
        rounds = count(1)  # of all paths, in the ledger

        def authorise(number: int, phase: Phase) -> str:
            return gate.authorise(next(rounds), phase)

        def said(done: int) -> None:
            say(f"training shared weights: {done} paths")

        if not self.train_shared(lambda: MemoryJournal(authorise=authorise), said):
            raise FederationError(
                "every path through the shared weights diverged", hint="search by training each candidate"
            )

    def _rounds(self, candidate: Candidate, plan: FederationPlan, journal: RoundJournal) -> CandidateRounds:
        return CandidateRounds(
            candidate,
            Coordination.of(plan, self._adder, self._sites, self._signer),
            journal,
            self._courier.nodes,
            greeter=self._greeter,
            timed=self._terms.timed,
        )

    def _climb(self, candidate: Candidate, budget: Budget) -> Steps[Evaluation]:
        known, shared = self._known.get(candidate.id), self._inherits(candidate)
        if shared:
            budget = Budget(epochs=ROUNDS_OF_A_CANDIDATE, total=ROUNDS_OF_A_CANDIDATE)
        if known is None:
            plan = self._terms.plan(candidate, budget.total, shared)
            known = self._known[candidate.id] = self._rounds(candidate, plan, self._journal(candidate, plan))
        self._known.move_to_end(candidate.id)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return (yield from known.climb(budget))


class _Waiting(Iterator[Steps[Evaluation]]):
    """What waits, as `drive` asks for it: there may be some again after there was none."""

    def __init__(self, begin: Callable[[], Steps[Evaluation] | None]) -> None:
        self._begin = begin

    def __next__(self) -> Steps[Evaluation]:
        """The next one."""
        following = self._begin()
        if following is None:
            raise StopIteration
        return following
