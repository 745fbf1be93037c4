"""`Proposer`: a search's Optuna study, in memory, behind the three verbs ask, tell and restore."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ...core import ConfigError, NasturtiumError
from ..objectives import Direction
from ..space import Flat, Space
from .distinct import DistinctSampler, SpaceUsedUpError
from .observation import PRIOR, STEPS, VALUES, Observation, State, observations
from .ranking import best_first
from .registry import STRATEGIES, StrategyContext
from .sampler import distributions

REPEATED = 10  # of the best points of earlier searches, where they are tried again
VIOLATION = "violation"  # the name of the one constraint Optuna is told of
_STATES: Mapping[State, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point to try, under the number of its trial."""

    number: int
    flat: Flat


class Proposer:
    """Proposes points, every candidate once.

    A proposal follows from the seed, the points before it and the results it was told of, and from nothing else. It is
    for the caller to tell results in the order of their numbers, and for W workers exactly those of trials 0 to n - W
    before trial n is asked for: then the proposals do not depend on who was faster.

    Args:
        space: what to search.
        strategy: a name of `STRATEGIES`.
        seed: the search's seed.
        directions: of the objectives, at least one.
        prior: trials of earlier searches of this space, oldest first.
        constrained: whether trials are told with a violation of constraints.
        repeat_prior: take from earlier searches the points alone, for other data: the best `REPEATED` of them are
            proposed first. Otherwise their results count as if they were this search's, and no candidate of theirs is
            proposed again.
        first: points that are proposed before anything else, such as random ones to compare with.
        score: of a point, such as a zero-cost one: of several that the strategy proposes, the one with the highest is
            taken.

    Raises:
        ConfigError: the strategy cannot serve, or a trial of `prior` does not fit the search.
        MissingExtraError: what the strategy needs is not installed.
    """

    def __init__(
        self,
        space: Space,
        strategy: str,
        seed: int,
        directions: Sequence[Direction],
        prior: Sequence[Observation] = (),
        *,
        constrained: bool = False,
        repeat_prior: bool = False,
        first: Sequence[Flat] = (),
        score: Callable[[Flat], float] | None = None,
    ) -> None:
        self.strategy = STRATEGIES.find(strategy)
        self._distributions = distributions(space)
        self._directions = tuple(directions)
        for trial in prior:
            _check_prior(trial, space, self._directions)
        known = () if repeat_prior else tuple(prior)
        context = StrategyContext(space=space, seed=seed, directions=self._directions, prior=known)
        sampler = self.strategy.sampler(context, constrained=constrained)
        best = [trial.flat for trial in best_first(prior, self._directions)[:REPEATED]] if repeat_prior else []
        self._constrained = constrained
        self._study = _new_study(
            self._directions, DistinctSampler(context, sampler, first=[*first, *best], score=score)
        )
        self._prior = len(known)
        for trial in known:
            self._study.add_trial(self._frozen(trial, {PRIOR: True}))
        self._running: dict[int, Trial] = {}
        self._asked = 0
        self._told = 0
        self._used_up: str | None = None

    @property
    def study(self) -> Study:
        """What strategies see. Trials of earlier searches, marked "prior", stand before its own."""
        return self._study

    def ask(self) -> Proposal:
        """The next point, of a candidate that was not proposed yet.

        Raises:
            SpaceUsedUpError: there is none left.
        """
        if self._used_up is not None:
            raise SpaceUsedUpError(self._used_up)
        try:
            trial = self._study.ask(self._distributions)
        except SpaceUsedUpError as exc:
            self._used_up = exc.message
            self._study.tell(self._prior + self._asked, state=TrialState.FAIL)
            raise
        number = self._asked
        self._running[number] = trial
        self._asked += 1
        return Proposal(number, observations(self._study)[number].flat)

    def tell(
        self,
        number: int,
        values: Sequence[float] | None,
        state: State,
        violation: float = 0.0,
        steps: int = 1,
    ) -> None:
        """How a trial ended.

        Args:
            number: of the trial; the one after the last that was told.
            values: its objectives, where it was stopped if it was pruned; None if it failed. One that is not finite
                makes the trial a failed one.
            state: "completed", "pruned" or "failed".
            violation: by how much it breaks the constraints, >= 0.
            steps: how many budgets a pruned trial went through, >= 1: of two, the one that came further is better.

        Raises:
            ConfigError: not the trial whose turn it is, or values that do not fit the objectives.
        """
        if number != self._told or number >= self._asked:
            raise ConfigError(
                f"trial {number} cannot be told: {self._asked} were asked for, and it is the turn of {self._told}",
                hint="tell results in the order of the trials' numbers",
            )
        trial = self._running[number]
        values, state = self._checked(values, state, violation)
        if self._constrained and values is not None:
            trial.set_constraint(VIOLATION, violation)
        if state == "pruned" and values is not None:
            trial.set_user_attr(VALUES, values)
            trial.set_user_attr(STEPS, steps)
            if len(values) == 1:  # Optuna's samplers compare pruned trials by this; of several objectives they cannot
                trial.report(values[0], steps)
        self._study.tell(trial, values if state == "completed" else None, state=_STATES[state])
        del self._running[number]
        self._told += 1

    def restore(self, flats: Sequence[Flat], outcomes: Sequence[Observation], *, workers: int = 1) -> None:
        """Bring a new proposer to where another one was.

        A stateless strategy reads all from the trials. Any other proposes anew what was proposed, which is compared.

        Args:
            flats: the points of trials 0, 1, ... as they were proposed.
            outcomes: what was told, of trials 0, 1, ..., at most as many as there are points.
            workers: W, see the class.

        Raises:
            ConfigError: something was asked for already, or there are more outcomes than points.
            NasturtiumError: another point was proposed then than is now.
        """
        if self._asked or len(outcomes) > len(flats):
            raise ConfigError(
                f"expected a new proposer and no more outcomes than points, got {self._asked} trials, "
                f"{len(outcomes)} outcomes and {len(flats)} points"
            )
        if self.strategy.stateless:
            self._reload(flats, outcomes)
        else:
            self._replay(flats, outcomes, workers)

    def _reload(self, flats: Sequence[Flat], outcomes: Sequence[Observation]) -> None:
        for number, outcome in enumerate(outcomes):
            values, state = self._checked(outcome.values, outcome.state, outcome.violation)
            told = None if values is None else tuple(values)
            self._study.add_trial(self._frozen(replace(outcome, flat=flats[number], values=told, state=state), {}))
        self._asked = self._told = len(outcomes)
        for flat in flats[len(outcomes) :]:
            self._study.enqueue_trial(dict(flat))
            self._running[self._asked] = self._study.ask(self._distributions)
            self._asked += 1

    def _replay(self, flats: Sequence[Flat], outcomes: Sequence[Observation], workers: int) -> None:
        for number, flat in enumerate(flats):
            for outcome in outcomes[self._told : max(0, number - workers + 1)]:
                self._tell(outcome)
            proposed = self.ask().flat
            if proposed != flat:
                raise NasturtiumError(
                    f"the search cannot go on: trial {number} was {dict(flat)}, and would be {dict(proposed)} now",
                    hint="resume with the versions of nasturtium and Optuna that it was started with",
                )
        for outcome in outcomes[self._told :]:
            self._tell(outcome)

    def _tell(self, outcome: Observation) -> None:
        self.tell(outcome.number, outcome.values, outcome.state, outcome.violation, outcome.steps)

    def _checked(
        self, values: Sequence[float] | None, state: State, violation: float
    ) -> tuple[list[float] | None, State]:
        if state not in _STATES:
            raise ConfigError(f"expected a state of {', '.join(_STATES)}, got {state!r}")
        if not violation >= 0 or (violation and not self._constrained):
            raise ConfigError(f"expected a violation >= 0, and 0 in a search without constraints, got {violation}")
        if state == "failed" or (values is not None and not all(map(isfinite, values))):
            return None, "failed"
        if values is None and state == "completed":
            raise ConfigError("a completed trial has no values")
        if values is not None and len(values) != len(self._directions):
            raise ConfigError(f"expected {len(self._directions)} values, one per objective, got {len(values)}")
        return None if values is None else [float(value) for value in values], state

    def _frozen(self, trial: Observation, user_attrs: dict[str, Any]) -> FrozenTrial:
        """A finished trial as Optuna keeps it."""
        values = None if trial.values is None else list(trial.values)
        pruned = trial.state == "pruned" and values is not None
        alone = values is not None and len(values) == 1
        return create_trial(
            state=_STATES[trial.state],
            values=values if trial.state == "completed" or (pruned and alone) else None,  # as `Study.tell` leaves it
            params=dict(trial.flat),
            distributions=self._distributions,
            user_attrs=user_attrs | {VALUES: values, STEPS: trial.steps} if pruned else user_attrs,
            intermediate_values={trial.steps: values[0]} if pruned and values and alone else None,
            constraints={VIOLATION: trial.violation} if self._constrained and values else None,
        )


def _new_study(directions: Sequence[Direction], sampler: DistinctSampler) -> Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would say that a study was created
    try:
        return optuna.create_study(directions=list(directions), sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_prior(trial: Observation, space: Space, directions: Sequence[Direction]) -> None:
    if trial.flat.keys() != space.leaves().keys():
        raise ConfigError(
            f"trial {trial.number} of an earlier search is a point of another space than {space.name}",
            hint="take searches of the same space only",
        )
    if trial.state not in _STATES or (trial.values is not None and len(trial.values) != len(directions)):
        raise ConfigError(
            f"trial {trial.number} of an earlier search is {trial.state} with {trial.values}: "
            f"expected a finished one with {len(directions)} objectives"
        )
