"""Every float survives the database, and so does every time."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.storage.models import from_column, from_us, to_column, to_us


def same(one: float, other: float) -> bool:
    """Equal, with NaN equal to itself."""
    return one == other or repr(one) == repr(other)


@given(st.floats())
def test_a_figure_is_what_its_column_says(figure):
    assert (to_column(figure) is None) == math.isnan(figure)
    assert same(from_column(to_column(figure)), figure)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_what_its_column_says(time: datetime):
    assert from_us(to_us(time)) == time


@given(curve=st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.floats(), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_curve_comes_back_as_it_went_in(tracker, history, start_search, curve):
    uid = start_search(tracker).uid
    tracker.log_points(uid, {"loss": curve})
    tracker.finish(uid, state="failed", metrics={f"at {step}": value for step, value in curve.items()})
    back = history.curves(uid).get("loss", {})
    assert list(back) == sorted(curve)
    assert all(same(back[step], value) for step, value in curve.items())
    assert all(same(history.metrics(uid)[f"at {step}"], value) for step, value in curve.items())


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_numpy_scalars_are_taken_as_they_are(tracker, history, start_search, kind):
    np = pytest.importorskip("numpy")
    uid = start_search(tracker).uid
    tracker.log_points(uid, {"loss": {np.int64(3): np.dtype(kind).type(2)}})
    assert history.curves(uid) == {"loss": {3: 2.0}}
