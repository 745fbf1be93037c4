"""The coordinator: a Flower strategy that relays sums it cannot read.

Threat model: the coordinator is honest but curious. It sees who takes part, sizes, times, the sum's ciphertext and the
counts the sites agree to report; neither weights nor a single update, and it imports no decryptor (a test says so).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ...privacy import Adder, PublicIdentity, Signer
from ..errors import FederationError
from ..protocol.courier import Answers, Courier, Pause, Questions, Steps, drive
from ..protocol.records import pack_bytes, unpack_bytes
from ..protocol.rounds import Phase
from ..strategies import FedBuff
from .attempt import Coordination, Outcome, RoundAttempt
from .buffered_rounds import BufferedRounds
from .greeter import Greeter
from .journal import Resume, RoundJournal
from .plan import FederationPlan
from .relay import Relay

NAME: Final = "fedavg"


class RelayStrategy(Strategy):
    """Sends plans, adds protected updates, passes the sum on; the sites apply it themselves.

    Args:
        plan: the run.
        adder: the scheme's arithmetic; holds no key.
        sites: the identity of each Flower node that may take part; may grow while it runs.
        signer: the coordinator's identity, which signs plans and sums.
        greeter: asks sites what they are before their first round; None takes all.
    """

    def __init__(
        self,
        plan: FederationPlan,
        adder: Adder,
        sites: Mapping[int, PublicIdentity],
        signer: Signer,
        *,
        greeter: Greeter | None = None,
    ) -> None:
        self.terms = Coordination.of(plan, adder, sites, signer)
        self._greeter = greeter
        self._open: _OpenRound | None = None

    def run(self, grid: Grid, journal: RoundJournal, resume: Resume | None = None) -> None:
        """Run all rounds that are left: those that train, then one that measures the final model and one that reports
        the measurement; with noise only the latter.

        Args:
            grid: reaches the sites.
            journal: writes down what happens.
            resume: where to go on; at the first round by default.

        Raises:
            PausedError: a round had too few usable answers, as often as the plan allows.
            StoppedError: somebody asked for that.
            BudgetSpentError: the next round would exceed a privacy budget.
        """
        if isinstance(self.terms.strategy, FedBuff):
            courier = Courier(grid, self.terms.sites, self.terms.signer, check=journal.check)
            resume = BufferedRounds(
                self.terms, grid, courier, journal, self.terms.strategy, greeter=self._greeter, resume=resume
            ).run()
        run_all(grid, [(self, journal, resume)])

    def relay(self, courier: Courier, journal: RoundJournal, resume: Resume | None = None) -> Relay:
        """The run as steps, for `courier.drive`."""
        return Relay(self.terms, journal, courier.nodes, greeter=self._greeter, resume=resume)

    def start(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Flower's own loop, which evaluates under the number of the round that trained; sites follow `run` only."""
        raise FederationError("this strategy has a loop of its own", hint="call run(grid, journal)")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One attempt at a round, masks included: the plan for every site; `arrays` holds the sum of the round before,
        `config` the number of the attempt, if it is not the first.
        """
        return self._configure(server_round, "train", arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check every answer, add what is in order, note why the rest is not; nothing if too few were."""
        outcome = self._aggregate(replies)
        return (pack_bytes(outcome.total) if outcome.result.failure is None else None), None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As `configure_train`, for a round that changes nothing."""
        phase: Phase = "report" if config.get("phase") == "report" else "evaluate"
        return self._configure(server_round, phase, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Check and add the protected counts, or only read the reports."""
        self._aggregate(replies)
        return None

    def summary(self) -> None:
        """Nothing: Flower asks for a log of the settings, ours are in the history."""

    def _configure(
        self, number: int, phase: Phase, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        courier = Courier(grid, self.terms.sites, self.terms.signer)
        nodes, attempt = courier.nodes(), config.get("attempt", 1)
        if type(attempt) is not int:
            raise FederationError(f"expected the number of an attempt, got {attempt!r}")
        steps = RoundAttempt(
            self.terms, number, phase, attempt, total=unpack_bytes(arrays), nodes=nodes, chosen=frozenset(nodes)
        ).steps()
        due = next(steps)
        while isinstance(due, Pause) or due.kind.startswith("query"):  # its masks
            answers = Answers() if isinstance(due, Pause) else courier.ask({0: due})[0]
            due = steps.send(answers)
        self._open = _OpenRound(courier, steps, due, courier.messages({0: due}))
        return list(self._open.messages.values())

    def _aggregate(self, replies: Iterable[Message]) -> Outcome:
        if self._open is None:
            raise FederationError("there is no open round", hint="configure it first")
        round, self._open = self._open, None
        answers = round.courier.read({0: round.asked}, round.messages, replies)[0]
        try:
            while True:
                due = round.steps.send(answers)
                answers = Answers() if isinstance(due, Pause) else round.courier.ask({0: due})[0]
        except StopIteration as stop:
            return stop.value


@dataclass(frozen=True, slots=True)
class _OpenRound:
    """A round whose plans are out, where Flower's own interface is used."""

    courier: Courier
    steps: Steps[Outcome]
    asked: Questions
    messages: Mapping[int, Message]


def run_all(
    grid: Grid, runs: Sequence[tuple[RelayStrategy, RoundJournal, Resume | None]], *, at_once: int = 1
) -> list[BaseException | None]:
    """Run several runs over the same sites, some side by side in the same messages.

    Args:
        grid: reaches the sites.
        runs: each with its journal and where it goes on; of one coordinator.
        at_once: how many share the messages.

    Returns:
        What each of them raised; nothing of those that ended well.

    Raises:
        PausedError: and whatever else a single run raises.
    """
    if not runs:
        return []

    def check() -> None:
        for _, journal, _ in runs:
            journal.check()

    terms = runs[0][0].terms
    courier = Courier(grid, terms.sites, terms.signer, check=check)
    steps = [strategy.relay(courier, journal, resume).steps() for strategy, journal, resume in runs]
    errors: list[BaseException | None] = [None] * len(runs)
    for done in drive(courier, steps, at_once=at_once, check=check):
        errors[done.place] = done.error
        if done.error is not None and len(runs) == 1:
            raise done.error
    return errors
