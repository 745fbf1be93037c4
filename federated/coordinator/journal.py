"""Who writes down what a coordinator does, and lets it go on: a database, or a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..protocol.rounds import Phase, RoundResult


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a run goes on.

    Attributes:
        closed: of each closed round what it was for, and whether it gave a sum.
        total: the sum of the last of them; empty where it gave none.
    """

    closed: Sequence[tuple[Phase, bool]] = ()
    total: bytes = b""


class RoundJournal(Protocol):
    """Keeps the rounds of one run. What it raises ends the run, which another coordinator may go on with."""

    def authorise(self, number: int, phase: Phase) -> str:
        """Charge an attempt at a round before it is begun: the ledger's signed head, for the sites to keep.

        Raises:
            BudgetSpentError: it would release more than a budget allows; nothing is asked of any site.
        """
        ...

    def open_attempt(self, number: int, phase: Phase) -> int:
        """Begin an attempt: its number, which no earlier one at this round has, whoever began that."""
        ...

    def survivors(self, number: int) -> frozenset[str] | None:
        """The sites that an earlier attempt at a round asked to bare their sum, by id; None: there is none."""
        ...

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """Note whom an attempt is about to ask to bare their sum; when this returns, it is on the disk."""
        ...

    def fail(self, result: RoundResult) -> None:
        """An attempt gave no sum; `result.failure` says why."""
        ...

    def close(self, result: RoundResult, total: bytes) -> None:
        """A round is closed for good: all of it is written, or nothing."""
        ...

    def tell(self, kind: str, number: int, **facts: str | int) -> None:
        """Something happened beside the rounds, before the one with that number."""
        ...

    def check(self) -> None:
        """Called often, while a round waits: says that the coordinator lives.

        Raises:
            StoppedError: somebody asked for the run to stop.
        """
        ...


class MemoryJournal:
    """Keeps nothing beyond the process.

    Args:
        on_round: called with each attempt's result.
        authorise: see `RoundJournal.authorise`.
    """

    def __init__(
        self,
        on_round: Callable[[RoundResult], object] = lambda result: None,
        authorise: Callable[[int, Phase], str] = lambda number, phase: "",
    ) -> None:
        self._on_round = on_round
        self._authorise = authorise
        self._attempts: dict[int, int] = {}
        self._survivors: dict[int, frozenset[str]] = {}

    def authorise(self, number: int, phase: Phase) -> str:
        """See `RoundJournal`."""
        return self._authorise(number, phase)

    def open_attempt(self, number: int, phase: Phase) -> int:
        """See `RoundJournal`."""
        self._attempts[number] = self._attempts.get(number, 0) + 1
        return self._attempts[number]

    def survivors(self, number: int) -> frozenset[str] | None:
        """See `RoundJournal`."""
        return self._survivors.get(number)

    def note_survivors(self, number: int, attempt: int, survivors: Sequence[str]) -> None:
        """See `RoundJournal`."""
        self._survivors.setdefault(number, frozenset(survivors))

    def fail(self, result: RoundResult) -> None:
        """See `RoundJournal`."""
        self._on_round(result)

    def close(self, result: RoundResult, total: bytes) -> None:
        """See `RoundJournal`."""
        self._on_round(result)

    def tell(self, kind: str, number: int, **facts: str | int) -> None:
        """See `RoundJournal`."""

    def check(self) -> None:
        """See `RoundJournal`."""
