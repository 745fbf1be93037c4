"""What releases cost together: epsilon at a delta, and budgets that refuse what is too much.

Records (`GaussianRelease`): the privacy loss distribution, which is tight, and Renyi divergences; the smaller figure
counts. Both are Google's dp-accounting, which is an extra. Sites (`DiscreteGaussianSum`, `SkellamSum`): the bounds of
`renyi`, which hold for vectors and need nothing else.

Truncation. Noise that is never beyond T differs from the noise that is accounted for by its tail mass eta, whatever
the data. So (epsilon, delta) of the latter are (epsilon, delta + (1 + e^epsilon) eta) of the former.

Threat model: who counts is honest, and is told of every release. Figures are for one unit of privacy, a record or a
site; epsilon itself is public, as it depends on no data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self

import numpy as np

from ...core import ConfigError, FormatError, MissingExtraError
from ..errors import BudgetExhaustedError
from .budget_file import BudgetFile, BudgetRecord
from .events import (
    DiscreteGaussianSum,
    Event,
    ExactRelease,
    GaussianRelease,
    SkellamSum,
    event_from_json,
    event_to_json,
)
from .renyi import epsilon_from_renyi, renyi_divergences

_VAGUE: Final = 50.0  # an epsilon above which a tighter figure helps nobody, and its distribution fills the memory
_DISCRETISATION: Final = 1e-4  # of privacy losses, rounded up: dp-accounting's default
_ROUNDS: Final = 100  # of the search for epsilon with tails


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What releases cost, with all that is needed to compute it again; the fields are those of a ledger's entry.

    Attributes:
        mechanism: kinds of the releases.
        epsilon: >= 0, infinite if one of them was exact.
        delta: in (0, 1).
        details: JSON: the unit of privacy, and the events with their counts. `Accountant.from_details` reads them.
    """

    mechanism: str
    epsilon: float
    delta: float
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Accountant:
    """Adds up releases. All must have the same unit of privacy.

    Args:
        discretisation: of privacy losses of records; a coarser one is faster and gives a larger epsilon.
    """

    def __init__(self, *, discretisation: float = _DISCRETISATION) -> None:
        if not 0 < discretisation <= 1:
            raise ConfigError(f"expected a discretisation in (0, 1], got {discretisation}")
        self._discretisation = discretisation
        self._counts: Counter[Event] = Counter()

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Self:
        """An accountant that goes on from a statement's details.

        Raises:
            FormatError: they are none.
        """
        accountant = cls()
        try:
            for entry in details["events"]:
                fields = dict(entry)
                count = fields.pop("count")
                accountant.add(event_from_json(fields), count)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"no details of a privacy statement: {error}") from error
        return accountant

    def add(self, event: Event, count: int = 1) -> None:
        """Count a release `count` times.

        Raises:
            ConfigError: an unknown event, another unit of privacy than the releases before, or a count below 1.
        """
        unit = _unit(event)
        if type(count) is not int or count < 1:
            raise ConfigError(f"expected a count of at least 1, got {count!r:.40}")
        if unit is not None and self.unit not in (None, unit):
            raise ConfigError(
                f"releases that protect a {self.unit} and a {unit} have no common epsilon",
                hint="keep one accountant for each",
            )
        self._counts[event] += count

    @property
    def unit(self) -> str | None:
        """What the figures protect, "record" or "site"; None where it is open."""
        return next((unit for unit in map(_unit, self._counts) if unit is not None), None)

    def include(self, other: Accountant) -> None:
        """Count what another one has counted.

        Raises:
            ConfigError: it has another unit of privacy.
        """
        for event, count in other._counts.items():
            self.add(event, count)

    def epsilon(self, delta: float) -> float:
        """What all releases together cost at most: infinite where one was exact, or `delta` is too small for the tails.

        Args:
            delta: in (0, 1).

        Raises:
            ConfigError: out of range.
        """
        if not 0 < delta < 1:
            raise ConfigError(f"expected delta in (0, 1), got {delta}")
        events = list(self._counts.items())
        if any(isinstance(event, ExactRelease) for event, _ in events):
            return math.inf
        sums = [(event, count) for event, count in events if isinstance(event, DiscreteGaussianSum | SkellamSum)]
        if sums:
            divergences = np.sum([count * renyi_divergences(event) for event, count in sums], axis=0)
            tail = sum(count * event.tail_delta for event, count in sums)
            return _with_tails(lambda rest: epsilon_from_renyi(divergences, rest), tail, delta)
        return self._record_epsilon(delta) if events else 0.0

    def statement(self, delta: float) -> Statement:
        """`epsilon` with what it comes from."""
        return Statement(
            mechanism=" and ".join(sorted({type(event).__name__ for event in self._counts})) or "no release",
            epsilon=self.epsilon(delta),
            delta=delta,
            details={"unit": self.unit, "events": self.events()},
        )

    def events(self) -> list[dict[str, Any]]:
        """The events with their counts, as JSON: part of a statement's details, and enough for `from_details`."""
        return [{**event_to_json(event), "count": count} for event, count in self._counts.items()]

    def copy(self) -> Accountant:
        """Another one that has counted the same."""
        other = Accountant(discretisation=self._discretisation)
        other._counts.update(self._counts)
        return other

    def _record_epsilon(self, delta: float) -> float:
        with _dp_accounting() as library:
            renyi = library.rdp.RdpAccountant()
            tight = library.pld.PLDAccountant(value_discretization_interval=self._discretisation)
            events = [(_library_event(library, event), count) for event, count in self._counts.items()]
            for event, count in events:
                renyi.compose(event, count)
            epsilon = float(renyi.get_epsilon(delta))
            if epsilon > _VAGUE:
                return epsilon
            for event, count in events:
                tight.compose(event, count)
            return min(epsilon, float(tight.get_epsilon(delta)))


class Budget:
    """How much privacy may be lost, all releases together. It is charged before a release is made.

    A release that is authorised counts, also if it then fails: nobody knows what was seen of it. A round that is run
    again releases again. This one is forgotten with its process; `open` gives one that is not. Several threads may use
    it.

    Args:
        epsilon: > 0; may be infinite.
        delta: in (0, 1).
        spent: what was released before; not modified.

    Raises:
        ConfigError: out of range.
    """

    def __init__(self, epsilon: float, delta: float, *, spent: Accountant | None = None) -> None:
        self._account = _Account(epsilon, delta, Accountant() if spent is None else spent.copy())
        self._file: BudgetFile | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path, epsilon: float, delta: float, *, change: bool = False) -> Self:
        """The budget of a file, made where there is none. Several processes may use it.

        Every release is in the file, on the disk, before it is authorised: no crash makes it forgotten. What the file
        says counts, whatever another process has changed since it was opened.

        Args:
            path: in a folder that is there; only its owner can read it.
            epsilon: as of `Budget`, and as in the file.
            delta: as of `Budget`, and as in the file.
            change: the budget was agreed anew: the file takes these figures, and keeps what was spent.

        Raises:
            ConfigError: out of range, or not the file's figures.
            KeyFileError: the file is damaged, others can use it, or it cannot be written.
        """
        budget = cls(epsilon, delta)
        file = budget._file = BudgetFile(path)
        with file.taking_turns():
            if not file.exists():
                file.write(budget._account.record(), new=True)
                return budget
            kept = _Account.of(file)
            if (kept.epsilon, kept.delta) != (epsilon, delta):
                if not change:
                    raise ConfigError(
                        f"the privacy budget {path} is epsilon {kept.epsilon:.6g} at delta {kept.delta:.3g}, got "
                        f"{epsilon:.6g} at {delta:.3g}",
                        hint="open it with its own figures, or say that it was agreed anew: change=True",
                    )
                file.write(_Account(epsilon, delta, kept.spent).record(), new=False)
        return budget

    def spent(self) -> Statement:
        """What was authorised until now, at the budget's delta.

        Raises:
            KeyFileError: the budget's file cannot be read.
        """
        account = self._account if self._file is None else _Account.of(self._file)
        return account.spent.statement(account.delta)

    def authorise(self, releases: Iterable[tuple[Event, int]]) -> tuple[Statement, Statement]:
        """Charge the next releases, with how often each is made.

        Returns:
            What they cost alone, and what everything until now costs with them.

        Raises:
            BudgetExhaustedError: it would be more than the budget; nothing is charged.
            ConfigError: an unknown event, or another unit of privacy.
            KeyFileError: the budget's file is gone or damaged, or cannot be written; nothing may be released.
        """
        alone = Accountant()
        for event, count in releases:
            alone.add(event, count)
        with self._changing() as account:
            together = account.spent.copy()
            together.include(alone)
            one, total = alone.statement(account.delta), together.statement(account.delta)
            if total.epsilon > account.epsilon:
                raise BudgetExhaustedError(
                    f"the next release would bring epsilon to {total.epsilon:.6g} of {account.epsilon:.6g} at delta "
                    f"{account.delta:.3g}: it is not made",
                    hint="stop here, or agree on a larger budget with those whose data it is",
                )
            account.spent = together
        return one, total

    @contextmanager
    def _changing(self) -> Generator[_Account]:
        """What was spent, to be changed by nobody else; kept once the block ends, but for one that raises."""
        with self._lock:
            if self._file is None:
                yield self._account
                return
            with self._file.taking_turns():
                account = _Account.of(self._file)
                yield account
                self._file.write(account.record(), new=False)


class _Account:
    """A budget's figures, and what was spent of it."""

    def __init__(self, epsilon: float, delta: float, spent: Accountant) -> None:
        if not (epsilon > 0 and 0 < delta < 1):
            raise ConfigError(f"expected a budget of epsilon > 0 and delta in (0, 1), got {epsilon} and {delta}")
        self.epsilon = epsilon
        self.delta = delta
        self.spent = spent

    @classmethod
    def of(cls, file: BudgetFile) -> Self:
        record = file.read()
        try:
            return cls(record.epsilon, record.delta, Accountant.from_details({"events": record.events}))
        except (ValueError, TypeError) as error:
            raise file.damaged(str(error)) from error

    def record(self) -> BudgetRecord:
        return BudgetRecord(epsilon=self.epsilon, delta=self.delta, events=self.spent.events())


def _unit(event: Event) -> str | None:
    match event:
        case GaussianRelease():
            return "record"
        case DiscreteGaussianSum() | SkellamSum():
            return "site"
        case ExactRelease():
            return None
        case _:
            raise ConfigError(f"no accountant for a {type(event).__name__}", hint="give the mechanism's own event")


def _with_tails(epsilon_at: Callable[[float], float], tail: float, delta: float) -> float:
    """The least epsilon found with epsilon_at(delta - (1 + e^epsilon) tail) <= epsilon."""
    epsilon = epsilon_at(delta)
    if tail == 0:
        return epsilon
    for _ in range(_ROUNDS):
        rest = delta - (1 + math.exp(min(epsilon, 700))) * tail
        if rest <= 0:
            return math.inf
        needed = epsilon_at(rest)
        if needed <= epsilon:
            return epsilon
        epsilon = needed * (1 + 1e-9)  # a little more than needed, so that the search ends
    return math.inf


def _library_event(library: Any, event: Event) -> Any:
    assert isinstance(event, GaussianRelease)
    gaussian = library.GaussianDpEvent(event.noise_multiplier)
    if event.sampling_probability == 1:
        return gaussian
    return library.PoissonSampledDpEvent(event.sampling_probability, gaussian)


@contextmanager
def _dp_accounting() -> Generator[Any]:
    """The library, imported when it is first needed, without its warnings of orders that it leaves out."""
    try:
        library, logging = import_module("dp_accounting"), import_module("absl.logging")
    except ModuleNotFoundError as exc:
        raise MissingExtraError("counting what noise for records costs", "dp-sgd") from exc
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield library
    finally:
        logging.set_verbosity(before)
