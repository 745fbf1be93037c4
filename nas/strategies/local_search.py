"""Local search."""

from __future__ import annotations

from collections.abc import Iterator

from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import ConfigError
from ..objectives import Direction
from ..space import Flat
from .observation import Known, Observation, known, observations
from .ranking import merit
from .registry import StrategyContext, strategy
from .sampler import CandidateSampler, shuffled


@strategy("local", description="local search: the neighbours of the best, from a new place when they are used up")
class LocalSearch(CandidateSampler):
    """Try the neighbours of the best point in random order; move as soon as one is better; begin anew where none is.

    Where a climb began and which point it stands at is read from the trials in the order of their numbers, see `Climb`.

    Source: White et al. 2021, https://arxiv.org/abs/2004.08996 (the variant that moves at the first improvement). Ours
    begins at the best of `startup` random points, for the first climb.

    Args:
        context: of the search.
        startup: random trials before the first climb, >= 1.
    """

    def __init__(self, context: StrategyContext, *, startup: int = 5) -> None:
        super().__init__(context)
        if startup < 1:
            raise ConfigError(f"expected startup >= 1, got {startup}")
        self._startup = startup
        self._climb: tuple[Known, Climb] | None = None

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """The neighbours of where the climb stands, then random points without end."""
        rng = self.rng(trial)
        tried = known(study, self.space)
        climb = self._resume(tried)
        climb.follow(observations(study))
        if climb.centre is not None and climb.seen >= self._startup:
            for identity, flat in shuffled(list(climb.neighbours.items()), rng):
                if identity not in tried.numbers:
                    yield flat
        while True:
            yield self.space.sample(rng)

    def _resume(self, tried: Known) -> Climb:
        if self._climb is None or self._climb[0] is not tried:
            climb = Climb(self.context, tried, self._startup)
            self._climb = tried, climb
        return self._climb[1]


class Climb:
    """Where a local search stands: a fold over the trials that gave a result, in order of number.

    A trial that is better than the centre becomes the centre. One that is not a neighbour of this climb's centres, past
    or present, can only be a new beginning: it is the centre of a new climb if, when it was proposed, the old centre
    had no untried neighbours left; else (several were begun at the same time) it has to be better, as any other. Late
    results from the surroundings of an earlier climb are left out: that climb is over.

    Args:
        context: of the search; trials of earlier searches are beginnings of the first climb.
        tried: the candidates of all trials.
        startup: trials that are random: the first climb begins at the best of them.
    """

    def __init__(self, context: StrategyContext, tried: Known, startup: int) -> None:
        self._space = context.space
        self._direction: Direction = context.directions[0]
        self._tried = tried
        self._startup = startup
        self._left: set[str] = set()  # surroundings of earlier climbs
        self._around: set[str] = set()  # of this one
        self._next = 0  # trials before it were followed
        self.seen = 0  # trials that gave a result
        self.centre: Observation | None = None
        self.neighbours: dict[str, Flat] = {}  # of the centre, by identity
        for trial in context.prior:
            if trial.values is not None:
                self._move_if_better(trial)

    def follow(self, trials: list[Observation]) -> None:
        """Take in what is new: trials up to the first that still runs."""
        while self._next < len(trials) and trials[self._next].state != "running":
            self._take(trials[self._next])
            self._next += 1

    def _take(self, trial: Observation) -> None:
        if trial.values is None:
            return
        self.seen += 1
        identity = self._space.identity(trial.flat)
        if identity in self._around or self.seen <= self._startup:
            self._move_if_better(trial)
        elif identity not in self._left:
            if self._used_up_before(trial.number):
                self._left |= self._around
                self._around = set()
                self._move(trial)
            else:
                self._move_if_better(trial)

    def _used_up_before(self, number: int) -> bool:
        numbers = self._tried.numbers
        return all(numbers.get(identity, number) < number for identity in self.neighbours)

    def _move_if_better(self, trial: Observation) -> None:
        """Stand at a trial if it is better than where we stand."""
        if self.centre is None or merit(trial, self._direction) > merit(self.centre, self._direction):
            self._move(trial)

    def _move(self, trial: Observation) -> None:
        self.centre = trial
        self.neighbours = {self._space.identity(flat): flat for flat in self._space.neighbours(trial.flat)}
        self._around |= {self._space.identity(trial.flat), *self.neighbours}
