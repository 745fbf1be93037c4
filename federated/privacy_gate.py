"""What the rounds of a run cost in privacy: asked of the ledger before, and recorded after."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..privacy import Accountant, ClientDp, Event
from ..storage import BudgetSpentError, Ledger, Spend
from .rounds import Phase

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class PrivacyGate:
    """Asks the ledger before a round, and records what the round cost.

    A release without noise costs an infinite epsilon: a run without noise on data with any budget is refused.

    Args:
        ledger: keeps budgets and spends.
        subject: whose privacy: the fingerprint of the data.
        run: ULID of the run.
        private: the noise; None for none.
        delta: at which epsilon is told.
    """

    def __init__(self, ledger: Ledger, subject: str, run: str, private: ClientDp | None, delta: float) -> None:
        self._ledger = ledger
        self._subject = subject
        self._run = run
        self._event: Event | None = None if private is None else private.event()
        self._delta = delta
        self._accountant = Accountant()
        self._before = ledger.spent(subject)  # what other runs have cost, which is added to

    def authorise(self, number: int, phase: Phase) -> str:
        """The ledger's signed head for the sites to keep.

        Raises:
            BudgetSpentError: the round would release more than the budget allows.
        """
        if phase != "report":
            spend = self.cost(number, phase)
            if self._ledger.would_exceed(
                spend.subject,
                spend.epsilon,
                spend.delta,
                total_epsilon=spend.total_epsilon,
                total_delta=spend.total_delta,
            ):
                what = "without noise, whose epsilon is unbounded" if self._event is None else "beyond what is left"
                raise BudgetSpentError(
                    f"round {number} is not begun: it releases a sum {what}, and {self._subject} has a privacy budget",
                    hint=f"see it with: nasturtium privacy show {self._run}",
                )
        head = self._ledger.head()
        return "" if head is None else head.to_json()

    def cost(self, number: int, phase: Phase) -> Spend:
        """What a round releases: a sum of updates with or without noise, or only counts."""
        if self._event is None:
            mechanism = "exact sum of updates" if phase == "train" else "exact counts"
            return Spend(
                subject=self._subject, run=self._run, round=number, mechanism=mechanism, epsilon=inf, delta=0.0
            )
        alone, together = Accountant(), self._accountant.copy()
        alone.add(self._event)
        together.add(self._event)
        one, all_of_run = alone.statement(self._delta), together.statement(self._delta)
        return Spend(
            subject=self._subject,
            run=self._run,
            round=number,
            mechanism=one.mechanism,
            epsilon=one.epsilon,
            delta=one.delta,
            total_epsilon=self._before.epsilon + max(one.epsilon, all_of_run.epsilon),
            total_delta=min(1.0, self._before.delta + self._delta),
            details=one.details,
        )

    def spend(self, number: int, phase: Phase, session: Session | None = None) -> None:
        """Record what a round released."""
        self._ledger.spend(self.cost(number, phase), session=session)
        if self._event is not None:
            self._accountant.add(self._event)
