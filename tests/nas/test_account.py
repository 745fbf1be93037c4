"""A budget of CPU time holds a whole search: what its end takes is reckoned from its trials, and kept back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Evaluation
from nasturtium.nas.account import Account
from nasturtium.nas.finale import FinaleOptions, TrialCost, end_seconds
from nasturtium.nas.finale.cost import MARGIN
from nasturtium.nas.runner import Outcome

OPTIONS = FinaleOptions(epochs=10, top=2, seeds=2, ensemble=False)
SECONDS = st.floats(0.01, 100)


def cost(seconds=8.0, *, order=(0.0,), part=1.0, parameters=100.0, random=False) -> TrialCost:
    return TrialCost(seconds=seconds, part=part, order=order, parameters=parameters, random=random)


@pytest.mark.parametrize(
    ("trials", "changes", "folds", "rows", "expected"),
    [
        pytest.param([], {}, 1, 0.5, 0, id="nothing"),
        pytest.param([cost(order=None)], {}, 1, 0.5, 0, id="none-to-take"),
        pytest.param([cost()], {}, 1, 0.5, 2 * 8 + 2 * 16, id="one-is-validated-and-is-the-model"),
        pytest.param([cost(), cost(4.0, order=(1.0,))], {}, 1, 0.5, 2 * 12 + 2 * 16, id="the-dearest-may-win"),
        pytest.param([cost(), cost(4.0, order=(1.0,), random=True)], {}, 1, 0.5, 24 + 32 + 16, id="and-a-control"),
        pytest.param([cost(random=True)], {}, 1, 0.5, 16 + 32, id="the-winner-is-the-control"),
        pytest.param([cost(), cost(), cost()], {"top": 1}, 1, 0.5, 16 + 32, id="top"),
        pytest.param([cost(), cost(4.0, order=(1.0,))], {"ensemble": True}, 1, 0.5, 24 + 32 + 16, id="ensemble"),
        pytest.param([cost()], {}, 4, 0.75, 2 * 8 + 2 * 8 / 3, id="a-fold-is-a-part-of-a-trial"),
        pytest.param(
            [cost(), cost(1.0, order=None, part=0.5, parameters=1.0)], {"top": 1}, 4, 0.75, 20 + 16 / 3, id="smallest"
        ),
    ],
)
def test_the_end_takes(trials, changes, folds, rows, expected):
    taken = end_seconds(trials, replace(OPTIONS, **changes), folds=folds, rows=rows)
    assert taken == pytest.approx(MARGIN * expected)


@settings(deadline=None)
@given(seconds=st.lists(SECONDS, min_size=1, max_size=6), more=SECONDS, ensemble=st.booleans())
def test_what_takes_longer_makes_the_end_longer(seconds, more, ensemble):
    options = replace(OPTIONS, ensemble=ensemble)
    trials = [cost(each, order=(float(i),)) for i, each in enumerate(seconds)]
    before = end_seconds(trials, options, folds=1, rows=0.75)
    dearer = [replace(trials[0], seconds=trials[0].seconds + more), *trials[1:]]
    assert before < end_seconds(dearer, options, folds=1, rows=0.75)
    worse = cost(more, order=(float(len(trials)),))
    assert before <= end_seconds([*trials, worse], options, folds=1, rows=0.75) + 1e-9
    assert before == end_seconds(trials[::-1], options, folds=1, rows=0.75)


class Clock:
    def __init__(self) -> None:
        self.seconds = 5.0

    def __call__(self) -> float:
        return self.seconds


def ended(number: int, seconds: float, accuracy: float = 0.5) -> Outcome:
    figures = {"val_accuracy": accuracy, "parameters": 100.0}
    found = Evaluation(objectives=figures, curves={}, epochs=10)
    return Outcome(number=number, attempt=1, state="completed", evaluation=found, cpu_seconds=seconds)


def account(clock: Clock, **changes) -> Account:
    given = {"epochs": 10, "folds": 1, "rows": 0.5, "window": 1, "random": 1, "clock": clock}
    return Account(OPTIONS, **given | changes)


def test_this_process_its_trials_in_work_and_the_end_are_kept_back():
    clock = Clock()
    kept = account(clock, window=3)
    clock.seconds += 2
    assert kept.reserve() == 2
    kept.tell(ended(0, 8.0))
    assert kept.reserve() == pytest.approx(2 + MARGIN * 48 + 3 * 8)


def test_trials_in_this_process_are_not_counted_twice():
    clock = Clock()
    kept = account(clock, here=True)
    clock.seconds += 9
    kept.tell(ended(0, 8.0))
    assert kept.reserve() == pytest.approx(1 + MARGIN * 48 + 8)


def test_a_random_search_that_follows_takes_as_much():
    clock = Clock()
    kept = account(clock, random=None)
    kept.tell(ended(0, 8.0))
    assert kept.reserve() == pytest.approx(MARGIN * 48 + 2 * 8 + 8)
    kept.tell(ended(0, 6.0), control=True)
    assert kept.reserve_of_control() == pytest.approx(MARGIN * 48 + 8 + 8)


def test_scores_say_nothing_of_the_end():
    kept = account(Clock(), trains=False)
    kept.tell(ended(0, 8.0))
    assert kept.reserve() == 8


@settings(deadline=None)
@given(each=SECONDS, total=st.floats(1, 5000), window=st.integers(1, 4), ensemble=st.booleans())
def test_trials_that_cost_the_same_and_their_end_fit_the_budget(each, total, window, ensemble):
    """From where it is known what the end has: a second finalist, and a control that is not the best."""
    options = replace(OPTIONS, ensemble=ensemble)
    kept = Account(options, epochs=10, folds=1, rows=0.5, window=window, random=2, clock=lambda: 0.0)
    for number in range(100):
        kept.tell(ended(number, each, accuracy=min(number, 4) / 5))
        end = kept.reserve() - window * each
        spent = (number + 1) * each
        if number >= 4 and spent + kept.reserve() >= total:
            assert end == pytest.approx(MARGIN * each * (4 + (8 if ensemble else 4) + 4))
            break
        if number >= 4:  # the trials that begin now may take as long
            assert spent + window * each + end <= total
