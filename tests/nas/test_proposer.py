"""Asking and telling: what is refused, what strategies see, and how a search comes back after it was killed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from nasturtium.core import ConfigError, NasturtiumError
from nasturtium.nas.space import Space
from nasturtium.nas.strategies import (
    STRATEGIES,
    Observation,
    Proposal,
    Proposer,
    SpaceUsedUpError,
    Strategy,
    observations,
)

SPACE = Space.categorical("table", {f"d{i}": tuple("abcd") for i in range(5)})


def value(flat) -> float:
    return float(sum("abcd".index(letter) * (i + 1) for i, letter in enumerate(flat.values())))


def test_proposals_are_numbered_from_zero_and_lie_in_the_study():
    proposer = Proposer(SPACE, "random", 0, ["maximize"])
    proposals = [proposer.ask() for _ in range(3)]
    assert [proposal.number for proposal in proposals] == [0, 1, 2]
    assert all(isinstance(proposal, Proposal) for proposal in proposals)
    proposer.tell(0, [2.5], "completed")
    proposer.tell(1, None, "failed")
    trials = proposer.study.trials
    assert [trial.params for trial in trials] == [dict(proposal.flat) for proposal in proposals]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]
    assert trials[0].values == [2.5]


def test_observations_say_what_became_of_each_trial():
    proposer = Proposer(SPACE, "random", 0, ["maximize"], constrained=True)
    flats = [proposer.ask().flat for _ in range(5)]
    proposer.tell(0, [1.0], "completed", 0.25)
    proposer.tell(1, [2.0], "pruned", steps=3)
    proposer.tell(2, None, "failed")
    proposer.tell(3, [float("inf")], "completed")
    assert observations(proposer.study) == [
        Observation(0, flats[0], (1.0,), "completed", 0.25),
        Observation(1, flats[1], (2.0,), "pruned", 0.0, 3),
        Observation(2, flats[2], None, "failed"),
        Observation(3, flats[3], None, "failed"),
        Observation(4, flats[4], None, "running"),
    ]


def test_what_is_read_of_a_study_follows_it():
    """The cache says the same as a look at the whole study would."""
    proposer = Proposer(SPACE, "random", 1, ["maximize"])
    told = 0
    rng = np.random.default_rng(0)
    for number in range(60):
        proposer.ask()
        while told < number and rng.random() < 0.6:
            proposer.tell(told, [float(told)], "completed")
            told += 1
        trials = proposer.study.get_trials(deepcopy=False)
        seen = observations(proposer.study)
        assert [o.flat for o in seen] == [trial.params for trial in trials]
        assert [o.values for o in seen] == [None if t.values is None else tuple(t.values) for t in trials]


def test_optuna_is_told_of_pruned_trials_and_constraints():
    proposer = Proposer(SPACE, "tpe", 0, ["minimize"], constrained=True)
    for _ in range(2):
        proposer.ask()
    proposer.tell(0, [3.0], "pruned", 0.5, 2)
    proposer.tell(1, [4.0], "completed")
    pruned, completed = proposer.study.trials
    assert (pruned.state, pruned.value, pruned.intermediate_values) == (TrialState.PRUNED, 3.0, {2: 3.0})
    assert (pruned.constraints, completed.constraints) == ({"violation": 0.5}, {"violation": 0.0})
    assert proposer.study.best_trial.number == 1


def test_pruned_trials_of_several_objectives_keep_their_values():
    proposer = Proposer(SPACE, "mo-evolution", 0, ["minimize", "maximize"])
    flat = proposer.ask().flat
    proposer.tell(0, [3.0, 1.0], "pruned")
    assert observations(proposer.study) == [Observation(0, flat, (3.0, 1.0), "pruned")]


@pytest.mark.parametrize(
    ("tell", "message"),
    [
        pytest.param((1, [1.0], "completed"), "it is the turn of 0", id="out-of-turn"),
        pytest.param((2, [1.0], "completed"), "2 were asked for", id="not-asked"),
        pytest.param((0, [1.0, 2.0], "completed"), "expected 1 values, one per objective, got 2", id="two-values"),
        pytest.param((0, None, "completed"), "has no values", id="no-values"),
        pytest.param((0, [1.0], "running"), "expected a state of completed, pruned, failed", id="state"),
        pytest.param((0, [1.0], "completed", 0.5), "0 in a search without constraints", id="violation"),
        pytest.param((0, [1.0], "completed", -0.5), "violation >= 0", id="negative"),
        pytest.param((0, [1.0], "completed", float("nan")), "violation >= 0", id="nan"),
    ],
)
def test_what_cannot_be_told_is_refused(tell, message):
    proposer = Proposer(SPACE, "random", 0, ["maximize"])
    for _ in range(2):
        proposer.ask()
    with pytest.raises(ConfigError, match=message):
        proposer.tell(*tell)
    proposer.tell(0, [1.0], "completed")


def test_a_strategy_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match=r"unknown strategy 'annealing': expected one of .*evolution"):
        Proposer(SPACE, "annealing", 0, ["maximize"])


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        pytest.param(Observation(3, {"x": 1}, (1.0,), "completed"), "a point of another space", id="space"),
        pytest.param(
            Observation(3, dict.fromkeys(SPACE.leaves(), "a"), (1.0, 2.0), "completed"), "1 objectives", id="values"
        ),
        pytest.param(Observation(3, dict.fromkeys(SPACE.leaves(), "a"), None, "running"), "is running", id="running"),
    ],
)
def test_earlier_searches_have_to_fit(trial, message):
    with pytest.raises(ConfigError, match=message):
        Proposer(SPACE, "random", 0, ["maximize"], [trial])


def test_earlier_searches_stand_before_a_search_but_are_no_trials_of_it():
    rng = np.random.default_rng(1)
    prior = [Observation(i, SPACE.sample(rng), (float(i),), "completed") for i in range(15)]
    proposer = Proposer(SPACE, "tpe", 0, ["maximize"], prior)
    assert proposer.ask().number == 0
    assert len(observations(proposer.study)) == 1
    assert [trial.user_attrs.get("prior") for trial in proposer.study.trials] == [True] * 15 + [None]


@pytest.mark.parametrize("name", ["tpe", "evolution", "local", "mo-evolution"])
def test_good_points_of_earlier_searches_show_the_way(name):
    """Twenty evaluations after forty random ones of an earlier search are better than twenty after none, on average."""
    warm, cold = [], []
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        prior = [Observation(n, flat, (value(flat),), "completed") for n, flat in enumerate(draws(rng, 40))]
        for found, earlier in ((warm, prior), (cold, [])):
            proposer = Proposer(SPACE, name, seed, ["maximize"], earlier)
            values = []
            for number in range(20):
                values.append(value(proposer.ask().flat))
                proposer.tell(number, [values[-1]], "completed")
            found.append(np.mean(values))
    assert np.mean(warm) > np.mean(cold) + 1


def draws(rng, count):
    return [SPACE.sample(rng) for _ in range(count)]


# Coming back ----------------------------------------------------------------------------------------------------------


def run(proposer: Proposer, flats, outcomes, until: int, workers: int):
    for number in range(len(flats), until):
        told = number - workers
        if told >= len(outcomes):
            outcomes.append(Observation(told, flats[told], (value(flats[told]),), "completed"))
            proposer.tell(told, outcomes[-1].values, "completed")
        flats.append(dict(proposer.ask().flat))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["random", "evolution", "local", "mo-evolution", "nsga2", "qmc"]),
    workers=st.integers(1, 5),
    kills=st.lists(st.integers(0, 50), max_size=3),
    seed=st.integers(0, 1000),
)
def test_a_search_that_is_killed_anywhere_proposes_the_same(name, workers, kills, seed):
    whole, _ = flats, outcomes = [], []
    run(Proposer(SPACE, name, seed, ["maximize"]), flats, outcomes, 50, workers)
    flats, outcomes = [], []
    for stop in [*sorted(kills), 50]:
        proposer = Proposer(SPACE, name, seed, ["maximize"])
        proposer.restore(flats, outcomes, workers=workers)
        run(proposer, flats, outcomes, stop, workers)
    assert flats == whole


def test_pruned_failed_and_infeasible_trials_come_back_as_they_were():
    whole = Proposer(SPACE, "tpe", 0, ["maximize"], constrained=True)
    flats = [dict(whole.ask().flat) for _ in range(6)]
    told = [([1.0], "completed", 0.0, 1), ([2.0], "pruned", 1.5, 2), (None, "failed", 0.0, 1), (None, "pruned", 0.0, 1)]
    for number, each in enumerate(told):
        whole.tell(number, *each)
    back = Proposer(SPACE, "tpe", 0, ["maximize"], constrained=True)
    back.restore(flats, observations(whole.study)[:4])
    assert observations(back.study) == observations(whole.study)
    for ours, theirs in zip(back.study.trials, whole.study.trials, strict=True):
        assert (ours.state, ours.values, ours.constraints, ours.intermediate_values) == (
            theirs.state,
            theirs.values,
            theirs.constraints,
            theirs.intermediate_values,
        )
    back.tell(4, [5.0], "pruned", 0.5, 3)
    whole.tell(4, [5.0], "pruned", 0.5, 3)
    assert back.ask() == whole.ask()


def test_a_search_that_would_go_on_otherwise_is_not_resumed():
    first = Proposer(SPACE, "nsga2", 0, ["maximize"])
    flats = [dict(first.ask().flat) for _ in range(3)]
    flats[2] = dict.fromkeys(flats[2], "d")
    with pytest.raises(NasturtiumError, match="trial 2 was"):
        Proposer(SPACE, "nsga2", 0, ["maximize"]).restore(flats, [], workers=3)


def test_only_a_new_proposer_can_be_restored():
    proposer = Proposer(SPACE, "random", 0, ["maximize"])
    flat = proposer.ask().flat
    with pytest.raises(ConfigError, match="expected a new proposer"):
        proposer.restore([flat], [])
    with pytest.raises(ConfigError, match="no more outcomes than points"):
        Proposer(SPACE, "random", 0, ["maximize"]).restore([], [Observation(0, flat, None, "failed")])


def test_a_used_up_space_leaves_the_running_trials_as_they_are():
    space = Space.categorical("tiny", {"a": (1, 2, 3)})
    proposer = Proposer(space, "evolution", 0, ["maximize"])
    for _ in range(3):
        proposer.ask()
    for _ in range(2):
        with pytest.raises(SpaceUsedUpError, match="nothing left to try"):
            proposer.ask()
    for number in range(3):
        proposer.tell(number, [1.0], "completed")
    assert [o.state for o in observations(proposer.study)] == ["completed"] * 3


def test_every_strategy_says_what_it_is():
    for name, strategy in STRATEGIES.items():
        assert isinstance(strategy, Strategy)
        assert strategy.name == name
        assert strategy.description
    assert {name for name, strategy in STRATEGIES.items() if not strategy.stateless} == {
        "nsga2",
        "nsga3",
        "cmaes",
        "qmc",
    }
