"""What a coordinator keeps of an agreement, so that it can be gone on with: questions, and sums of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .plan import AgreedReference
from .question import Facts


@dataclass(frozen=True, slots=True)
class AgreementSum:
    """A question that was answered.

    Attributes:
        question: as JSON.
        attempt: that gave the sum.
        total: the sum, as `EncryptedSum` bytes; the coordinator cannot read it.
    """

    question: str
    attempt: int
    total: bytes


@dataclass(frozen=True, slots=True)
class Agreement:
    """What came of an agreement, as far as the coordinator is told.

    Attributes:
        reference: what to put into the plans of runs that start from it.
        facts: what a network must fit.
        sums: all of them, for sites that come later.
        problems: why sites did not take part in the end, by their names.
    """

    reference: AgreedReference
    facts: Facts
    sums: tuple[AgreementSum, ...]
    problems: dict[str, str]


class AgreementJournal(Protocol):
    """Keeps one agreement; as of a `RoundJournal`, each question being a round."""

    def authorise(self, number: int) -> str:
        """Charge an attempt at a question before it is begun: the ledger's signed head, for the sites to keep.

        Raises:
            BudgetSpentError: it would release more than a budget allows; nothing is asked of any site.
        """
        ...

    def open_attempt(self, number: int) -> int:
        """Begin an attempt: its number, which no earlier one at this question has, whoever began that."""
        ...

    def survivors(self, number: int) -> frozenset[str] | None:
        """The sites that an earlier attempt asked to bare their sum, by id; None: there is none."""
        ...

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """Note whom an attempt is about to ask to bare their sum; when this returns, it is on the disk."""
        ...

    def close(self, number: int, found: AgreementSum) -> None:
        """A question has its sum: all of it is written, or nothing."""
        ...

    def fail(self, number: int, attempt: int, reason: str) -> None:
        """An attempt gave no sum."""
        ...


class MemoryAgreementJournal:
    """Keeps nothing beyond the process.

    Args:
        authorise: see `AgreementJournal.authorise`.
    """

    def __init__(self, authorise: Callable[[int], str] = lambda number: "") -> None:
        self._authorise = authorise
        self._attempts: dict[int, int] = {}
        self._survivors: dict[int, frozenset[str]] = {}
        self.sums: list[AgreementSum] = []
        self.failures: list[tuple[int, int, str]] = []

    def authorise(self, number: int) -> str:
        """See `AgreementJournal`."""
        return self._authorise(number)

    def open_attempt(self, number: int) -> int:
        """See `AgreementJournal`."""
        self._attempts[number] = self._attempts.get(number, 0) + 1
        return self._attempts[number]

    def survivors(self, number: int) -> frozenset[str] | None:
        """See `AgreementJournal`."""
        return self._survivors.get(number)

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """See `AgreementJournal`."""
        self._survivors.setdefault(number, frozenset(survivors))

    def close(self, number: int, found: AgreementSum) -> None:
        """See `AgreementJournal`."""
        self.sums.append(found)

    def fail(self, number: int, attempt: int, reason: str) -> None:
        """See `AgreementJournal`."""
        self.failures.append((number, attempt, reason))
