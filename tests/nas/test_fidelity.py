"""Who climbs to the next budget, and who is stopped: laws, tables, and that it does not matter who is faster."""

import json
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Budget, ConfigError, FormatError
from nasturtium.nas.fidelity import (
    SCHEDULERS,
    Asha,
    FullBudget,
    Hyperband,
    Rungs,
    RungScores,
    Scoreboard,
    StopRule,
)

MAX = ("maximize",)
scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda p: (float(p[0]), float(p[1]))), max_size=30)


def rule(values, *, eta=3.0, directions=MAX) -> StopRule:
    rows = tuple(tuple(np.atleast_1d(np.asarray(value, float)).tolist()) for value in values)
    return StopRule(eta=eta, directions=directions, rungs=(rows,))


@pytest.mark.parametrize(
    ("others", "own", "kept"),
    [
        pytest.param([], 0.1, True, id="alone"),
        pytest.param([0.9], 0.1, True, id="two-of-eta-3"),
        pytest.param([0.9, 0.8], 0.1, False, id="last-of-three"),
        pytest.param([0.9, 0.8], 0.85, False, id="second-of-three"),
        pytest.param([0.9, 0.8], 0.95, True, id="first-of-three"),
        pytest.param([0.9, 0.8], 0.9, True, id="as-good-as-the-first"),
        pytest.param([0.9, 0.8, 0.7], 0.85, True, id="second-of-four"),
        pytest.param([0.9] * 8, 0.9, True, id="all-equal"),
        pytest.param([0.9, 0.8], float("nan"), False, id="not-a-number"),
        pytest.param([0.9, 0.8], float("-inf"), False, id="infinitely-bad"),
    ],
)
def test_the_best_third_goes_on(others, own, kept):
    assert rule(others).keeps(0, [own]) is kept
    if own == own:
        turned = rule([-value for value in others], directions=("minimize",))
        assert turned.keeps(0, [-own]) is kept


def test_the_last_budget_is_not_a_rung():
    assert rule([9.0] * 30).keeps(1, [0.0])
    assert StopRule(eta=3, directions=MAX).keeps(0, [0.0])


@given(values=scores, eta=st.sampled_from([1.5, 2.0, 3.0, 4.0, 7.0]))
def test_of_exchangeable_trials_at_least_the_best_part_is_kept(values, eta):
    """Each judged against all others: no fewer than 1/eta go on, and always the best."""
    kept = [rule(values[:i] + values[i + 1 :], eta=eta).keeps(0, [own]) for i, own in enumerate(values)]
    assert sum(kept) >= ceil(len(values) / eta)
    assert kept[int(np.argmax(values))]
    if len(values) < eta:
        assert all(kept)
    if len(set(values)) == len(values) >= eta:
        assert sum(kept) == ceil(len(values) / eta)
    for own, keeps in zip(values, kept, strict=True):  # who is kept is no worse than who is not
        assert not keeps or all(own >= other for other, k in zip(values, kept, strict=True) if not k)


@given(values=pairs, own=st.tuples(st.integers(0, 6), st.integers(0, 6)), eta=st.sampled_from([2.0, 3.0, 4.0]))
def test_of_several_objectives_at_least_the_best_part_is_kept(values, own, eta):
    everyone = [*values, (float(own[0]), float(own[1]))]
    directions = ("maximize", "minimize")
    kept = [
        rule(everyone[:i] + everyone[i + 1 :], eta=eta, directions=directions).keeps(0, each)
        for i, each in enumerate(everyone)
    ]
    assert sum(kept) >= ceil(len(everyone) / eta)
    for each, keeps in zip(everyone, kept, strict=True):  # nobody is stopped while somebody he beats goes on
        beaten = [
            k for (x, y), k in zip(everyone, kept, strict=True) if x <= each[0] and y >= each[1] and (x, y) != each
        ]
        assert keeps or not any(beaten)


@given(values=scores, own=st.integers(-5, 5), eta=st.sampled_from([2.0, 3.0]))
def test_a_second_objective_that_is_always_the_same_changes_nothing(values, own, eta):
    one = rule(values, eta=eta)
    two = rule([(value, 7.0) for value in values], eta=eta, directions=("maximize", "minimize"))
    assert one.keeps(0, [own]) == two.keeps(0, [own, 7.0])


@given(values=scores, own=st.integers(-5, 5))
def test_a_second_objective_that_agrees_changes_nothing(values, own):
    one = rule(values)
    two = rule([(value, -2 * value) for value in values], directions=("maximize", "minimize"))
    assert one.keeps(0, [own]) == two.keeps(0, [own, -2 * own])


def test_on_one_front_the_loneliest_go_on():
    crowd = [(0.0, 10.0), (4.9, 5.1), (5.0, 5.0), (5.1, 4.9), (10.0, 0.0)]
    both = ("maximize", "maximize")
    keeps = [rule(crowd[:i] + crowd[i + 1 :], eta=2.0, directions=both).keeps(0, own) for i, own in enumerate(crowd)]
    assert keeps[0]
    assert keeps[4]
    assert not keeps[2]


@settings(max_examples=50)
@given(
    rungs=st.lists(
        st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2).map(tuple), max_size=5).map(tuple),
        max_size=4,
    ).map(tuple),
    eta=st.floats(1.01, 10),
)
def test_a_rule_travels_as_json(rungs, eta):
    sent = StopRule(eta=eta, directions=("maximize", "minimize"), rungs=rungs)
    assert StopRule.from_dict(json.loads(json.dumps(sent.to_dict()))) == sent


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"eta": 3, "directions": ["maximize"], "rungs": 5},
        {"eta": "three", "directions": ["maximize"], "rungs": []},
        {"eta": 0.5, "directions": ["maximize"], "rungs": []},
        {"eta": 3, "directions": ["up"], "rungs": []},
        {"eta": 3, "directions": ["maximize"], "rungs": [[[1.0, 2.0]]]},
        {"eta": 3, "directions": ["maximize"], "rungs": [[["x"]]]},
        [],
    ],
)
def test_what_is_no_rule_is_refused(document):
    with pytest.raises(FormatError, match="not a stop rule"):
        StopRule.from_dict(document)


def test_a_trial_with_other_objectives_is_refused():
    with pytest.raises(ConfigError, match="expected 1 values"):
        rule([1.0, 2.0]).keeps(0, [1.0, 2.0])


# Budgets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        pytest.param({"total": 27}, [1, 3, 9, 27], id="epochs"),
        pytest.param({"total": 30}, [1, 3, 9, 27, 30], id="the-whole-is-last"),
        pytest.param({"total": 1}, [1], id="one-epoch"),
        pytest.param({"total": 40, "lowest": 5}, [5, 15, 40], id="lowest"),
        pytest.param({"total": 40, "lowest": 40}, [40], id="no-rungs"),
        pytest.param({"total": 10, "eta": 1.5}, [1, 2, 3, 5, 8, 10], id="small-steps"),
    ],
)
def test_epochs_grow_by_eta(settings_, expected):
    rungs = Rungs(**settings_)
    assert rungs.budgets == tuple(Budget(epochs=count, total=settings_["total"]) for count in expected)


def test_rows_and_resolution_grow_so_that_the_cost_does():
    rows = Rungs(total=5, eta=2, fidelity="rows", lowest=0.2).budgets
    assert [budget.rows for budget in rows] == [0.25, 0.5, 1.0]
    sides = Rungs(total=5, eta=4, fidelity="resolution", lowest=0.25).budgets
    assert [budget.resolution for budget in sides] == pytest.approx([0.25, 0.5, 1.0])
    assert {(b.epochs, b.total) for b in (*rows, *sides)} == {(5, 5)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 0},
        {"total": 5, "eta": 1.0},
        {"total": 5, "fidelity": "width"},
        {"total": 5, "lowest": 6},
        {"total": 5, "lowest": 0.5},
        {"total": 5, "fidelity": "rows", "lowest": 2},
        {"total": 5, "fidelity": "resolution", "lowest": 0},
    ],
)
def test_budgets_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        Rungs(**wrong)


# Schedulers -----------------------------------------------------------------------------------------------------------


def climbers(count: int, rungs: int, seed: int = 0) -> list[RungScores]:
    rng = np.random.default_rng(seed)
    return [
        RungScores(n, tuple((float(value),) for value in rng.random(int(rng.integers(0, rungs + 1)))))
        for n in range(count)
    ]


def test_without_a_scheduler_everything_is_trained_to_the_end():
    scheduler = SCHEDULERS["none"](Rungs(total=9), MAX)
    assert scheduler.budgets(4) == (Budget(epochs=9, total=9),)
    assert scheduler.rule(4, climbers(20, 3)).keeps(0, [-9.0])


def test_asha_compares_with_what_it_may_see():
    scheduler = Asha(Rungs(total=9), MAX)
    visible = [
        RungScores(0, ((0.1,), (0.5,), (0.6,))),
        RungScores(1, ()),
        RungScores(2, ((0.2,),)),
        RungScores(3, ((float("nan"),),)),
        RungScores(4, ((0.3,), (0.4,))),
    ]
    assert scheduler.rule(7, visible).rungs == ((), ())  # three at the first rung are too few to compare with
    visible.append(RungScores(5, ((0.0,),)))
    assert scheduler.rule(7, visible).rungs == (((0.1,), (0.2,), (0.3,), (0.0,)), ())
    assert scheduler.budgets(7) == Rungs(total=9).budgets


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_hyperband_gives_every_bracket_its_share(count):
    """Li et al. 2018, algorithm 1: n = ceil((s_max + 1) / (s + 1) eta^s) trials begin at R eta^-s, for eta = 3."""
    scheduler = Hyperband(Rungs(total=3 ** (count - 1)), MAX)
    shares = {1: [1], 2: [3, 2], 3: [9, 5, 3], 4: [27, 12, 6, 4]}[count]
    brackets = [scheduler.bracket(number) for number in range(sum(shares))]
    assert [brackets.count(s) for s in range(count)] == shares
    assert [scheduler.bracket(number + sum(shares)) for number in range(sum(shares))] == brackets
    for number, bracket in enumerate(brackets):
        assert [b.epochs for b in scheduler.budgets(number)] == [3**k for k in range(bracket, count)]
    for stop in range(1, sum(shares)):  # no bracket waits for its turn
        dealt = [brackets[:stop].count(s) for s in range(count)]
        assert all(abs(d - share * stop / sum(shares)) < 2 for d, share in zip(dealt, shares, strict=True))


def test_hyperband_compares_within_a_bracket():
    scheduler = Hyperband(Rungs(total=9), MAX)
    visible = [RungScores(n, tuple((float(n),) for _ in scheduler.budgets(n))) for n in range(30)]
    for number in range(30, 40):
        same = [t for t in visible if scheduler.bracket(t.number) == scheduler.bracket(number)]
        found = scheduler.rule(number, visible).rungs
        assert found == (tuple(t.scores[0] for t in same),) * (len(scheduler.budgets(number)) - 1)


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
@pytest.mark.parametrize("directions", [MAX, ("maximize", "minimize")])
def test_a_scoreboard_gives_the_schedulers_own_rules(name, directions):
    scheduler = SCHEDULERS[name](Rungs(total=9), directions)
    board = Scoreboard(scheduler)
    told = []
    for trial in climbers(700, 3):
        wide = RungScores(trial.number, tuple(score * len(directions) for score in trial.scores))
        if trial.number % 97 == 0:
            assert board.rule(trial.number + 2) == scheduler.rule(trial.number + 2, told)
            assert board.budgets(trial.number) == scheduler.budgets(trial.number)
        board.tell(wide.number, wide.scores)
        told.append(wide)
    with pytest.raises(ConfigError, match="tell trials in order"):
        board.tell(3, [])


def test_a_rule_does_not_grow_with_the_search():
    scheduler = Asha(Rungs(total=9), MAX)
    sizes = [len(json.dumps(scheduler.rule(n, climbers(n, 3)).to_dict())) for n in (1000, 4000)]
    assert sizes[1] < 1.2 * sizes[0]


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("kind", [Asha, Hyperband])
def test_stopping_saves_most_epochs_and_keeps_the_best(kind, objectives):
    """Trials whose scores at a rung tell something of their last: the search ends near the best of all."""
    directions = MAX if objectives == 1 else ("maximize", "minimize")
    rng = np.random.default_rng(3)
    scheduler = kind(Rungs(total=27), directions)
    quality = rng.random(200)
    visible, epochs, finished = [], 0, []
    for number, best in enumerate(quality):
        stops = scheduler.rule(number, visible[: max(0, number - 3)])  # four workers
        reached = []
        for rung, budget in enumerate(scheduler.budgets(number)):
            noise = float(best + rng.normal(0, 0.3 / budget.epochs))
            reached.append((noise, -noise)[:objectives])
            last = budget.epochs
            if budget.epochs < 27 and not stops.keeps(rung, reached[-1]):
                break
        else:
            finished.append(best)
        epochs += last
        visible.append(RungScores(number, tuple(reached)))
    full = FullBudget(Rungs(total=27), directions)
    assert epochs < 0.45 * sum(full.budgets(n)[-1].epochs for n in range(200))
    assert max(finished) >= np.sort(quality)[-6]
    assert np.mean(finished) > 0.6
