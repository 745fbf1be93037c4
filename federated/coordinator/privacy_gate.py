"""What the rounds of a run cost in privacy: charged to the ledger before they are begun.

The releases of one run are composed by an accountant, tightly, in the unit of privacy that its noise protects. Runs
on the same subject are added up, epsilons and deltas (basic composition), even if one protects a record and another a
site: so the total bounds what is spent, and is a guarantee for one unit only where all runs have that unit. Every
entry says so in its details.

Threat model: the coordinator is honest, and its ledger is the only one for the subject; several runs and processes may
share it. Sites that do not rely on that have budgets of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ...privacy import Accountant, ClientDp, Event
from ...storage import BudgetSpentError, Ledger, LedgerRecord, Spend
from ..protocol.rounds import Phase

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_RUN: Final = "run"  # in an entry's details: what its run has cost with it, by itself
_COMPOSITION: Final = "basic: runs are added up, each in its own unit of privacy"


class PrivacyGate:
    """Charges a round to the ledger, and refuses the one that would exceed the subject's budget.

    A round that is authorised counts, also if it then fails: nobody knows what was seen of it. A release without noise
    costs an infinite epsilon: a run without noise on data with any budget is refused.

    All that was charged is read from the ledger, within the transaction that adds to it: neither another run nor an
    earlier process of the same run is overlooked.

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
        self._hint = f"see it with: nasturtium privacy show {run}"
        self._authorised: set[int] = set()  # rounds

    def check_plan(self, rounds: int) -> None:
        """Refuse a run that its budget does not last for, before anything of it is released. Nothing is charged.

        Args:
            rounds: how many are still to be authorised, each once.

        Raises:
            BudgetSpentError: all of them together would release more than the budget allows.
        """
        missing, told = self._need(rounds)
        if missing:
            raise BudgetSpentError(f"the run {told}", hint=self._hint)

    def authorise(self, number: int, phase: Phase) -> str:
        """Charge a round before it is begun; one that is authorised again releases again, and is charged again.

        Returns:
            The ledger's signed head for the sites to keep.

        Raises:
            BudgetSpentError: the round would release more than the budget allows; nothing is charged.
        """
        if phase != "report":
            try:
                self._charge(number, phase)
            except BudgetSpentError as exc:
                _, told = self._need(1)
                raise BudgetSpentError(f"round {number} is not begun: it {told}", hint=self._hint) from exc
            self._authorised.add(number)
        head = self._ledger.head()
        return "" if head is None else head.to_json()

    def authorise_agreement(self, number: int) -> str:
        """Charge a question about the preprocessing before it is asked, an exact sum: in round 0, before all others.

        Returns:
            The ledger's signed head for the sites to keep.

        Raises:
            BudgetSpentError: there is a budget; nothing is charged.
        """
        mechanism = f"exact sum for preprocessing, question {number}"
        with self._ledger.transaction() as session:
            entries = self._ledger.entries(subject=self._subject, run=self._run, kind="spend", session=session)
            said = [entry.body["mechanism"] for entry in entries if entry.body["round"] == 0]
            attempts = sum(each == mechanism or each.startswith(f"{mechanism}, attempt") for each in said)
            again = f", attempt {attempts + 1}" if attempts else ""
            spend = Spend(
                subject=self._subject,
                run=self._run,
                round=0,
                mechanism=mechanism + again,
                epsilon=inf,
                delta=0.0,
                details={"composition": _COMPOSITION},
            )
            self._ledger.spend(spend, session)
        head = self._ledger.head()
        return "" if head is None else head.to_json()

    def spend(self, number: int, phase: Phase, session: Session | None = None) -> None:
        """Charge a round that was not authorised here; one that was is charged already.

        Raises:
            BudgetSpentError: it is more than the budget allows; nothing is charged.
        """
        if number not in self._authorised:
            self._charge(number, phase, session)

    def _charge(self, number: int, phase: Phase, session: Session | None = None) -> None:
        with self._ledger.transaction(session) as session:
            self._ledger.spend(self._cost(number, phase, session), session)

    def _cost(self, number: int, phase: Phase, session: Session) -> Spend:
        """What a round releases: a sum of updates with or without noise, or only counts."""
        entries = self._ledger.entries(subject=self._subject, run=self._run, kind="spend", session=session)
        attempts = sum(entry.body["round"] == number for entry in entries)
        again = f", attempt {attempts + 1}" if attempts else ""  # the ledger takes what has the same name for the same
        if self._event is None:
            mechanism = "exact sum of updates" if phase == "train" else "exact counts"
            return Spend(
                subject=self._subject,
                run=self._run,
                round=number,
                mechanism=mechanism + again,
                epsilon=inf,
                delta=0.0,
                details={"composition": _COMPOSITION},
            )
        alone = Accountant()
        alone.add(self._event)
        one = alone.statement(self._delta)
        before, run = self._compose(entries, 1)
        total_epsilon, total_delta = self._ledger.spent_with(self._subject, before=before, after=run, session=session)
        return Spend(
            subject=self._subject,
            run=self._run,
            round=number,
            mechanism=one.mechanism + again,
            epsilon=one.epsilon,
            delta=one.delta,
            total_epsilon=total_epsilon,
            total_delta=total_delta,
            details={**one.details, _RUN: {"epsilon": run[0], "delta": run[1]}, "composition": _COMPOSITION},
        )

    def _compose(self, entries: Sequence[LedgerRecord], rounds: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """What the run costs by itself, (epsilon, delta): with its entries, and with so many rounds more."""
        if self._event is None:
            return (0.0, 0.0), (inf, 0.0)
        known = [entry.body["details"] for entry in entries if _RUN in entry.body["details"]]
        before = _run_figures(known[-1]) if known else (0.0, 0.0)
        together = Accountant.from_details({"events": [event for details in known for event in details["events"]]})
        together.add(self._event, rounds)
        return before, (max(before[0], together.epsilon(self._delta)), self._delta)

    def _need(self, rounds: int) -> tuple[Sequence[str], str]:
        """Which figures of the budget do not last for so many rounds more, and what they need and have, in words."""
        account = self._ledger.account(self._subject)
        if account.budget is None or account.remaining is None:
            return [], ""
        before, after = self._compose(self._ledger.entries(subject=self._subject, run=self._run, kind="spend"), rounds)
        epsilon, delta = self._ledger.spent_with(self._subject, before=before, after=after)
        over = {"epsilon": epsilon > account.budget.epsilon, "delta": delta > account.budget.delta}
        missing = [name for name, is_over in over.items() if is_over]
        epsilon, left_epsilon = _apart(inf if after[0] == inf else after[0] - before[0], account.remaining.epsilon)
        delta, left_delta = _apart(after[1] - before[1], account.remaining.delta)
        needs = f"needs epsilon {epsilon}, delta {delta}"
        if self._event is None:
            needs = "releases sums without noise, whose epsilon is unbounded"
        told = f"{needs}; left are {left_epsilon} and {left_delta}"
        if missing:
            told += f": {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} what is missing"
        return missing, told


def _apart(need: float, left: float) -> tuple[str, str]:
    """Two figures with as many digits as tell them apart."""
    for digits in (4, 8, 17):
        told = f"{need:.{digits}g}", f"{left:.{digits}g}"
        if told[0] != told[1]:
            break
    return told


def _run_figures(details: Mapping[str, Any]) -> tuple[float, float]:
    """What a run had cost with an entry; an infinite epsilon stands there as a text."""
    return float(details[_RUN]["epsilon"]), float(details[_RUN]["delta"])
