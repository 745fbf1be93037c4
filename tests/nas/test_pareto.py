"""Pareto fronts, against the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nasturtium.nas import OBJECTIVES, pareto_front

ROWS = st.lists(
    st.fixed_dictionaries({name: st.integers(0, 4).map(float) for name in OBJECTIVES}), min_size=0, max_size=25
)


def beats(a: dict, b: dict) -> bool:
    gains = [sign * (a[name] - b[name]) for name, sign in OBJECTIVES.items()]
    return min(gains) >= 0 and max(gains) > 0


@given(ROWS)
def test_the_front_is_what_nothing_beats(rows):
    front = pareto_front(rows, rows)
    for row in front:
        assert not any(beats(other, row) for other in rows)
    for row in rows:
        assert row in front or any(beats(other, row) for other in rows)


@given(ROWS)
def test_the_front_has_no_equals_and_the_most_accurate_first(rows):
    front = pareto_front(rows, rows)
    assert len({tuple(row[name] for name in OBJECTIVES) for row in front}) == len(front)
    accuracies = [row["val_accuracy"] for row in front]
    assert accuracies == sorted(accuracies, reverse=True)
