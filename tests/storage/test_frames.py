"""Frames keep a column's values, or what they can of them, in Polars, pandas, Arrow, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import math
import sys
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import MissingExtraError
from nasturtium.storage import Tracker
from nasturtium.storage.frames import RUN_FIELDS, CsvWriter, Frame, runs_frame, write_parquet

TIME = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
ELSEWHERE = TIME.astimezone(timezone(timedelta(hours=-7)))
NAN = math.nan
UTC_TIMES = pl.Datetime("us", "UTC")

COLUMNS = [
    pytest.param([1, None, 2**63 - 1], pl.Int64, [1, None, 2**63 - 1], "Int64", id="whole-numbers"),
    pytest.param([1, -(2**63)], pl.Int64, [1, -(2**63)], "int64", id="whole-numbers-without-gaps"),
    pytest.param([2**63, None, 1], pl.String, [str(2**63), None, "1"], None, id="beyond-64-bits"),
    pytest.param([0.1, None, NAN, -math.inf], pl.Float64, [0.1, None, NAN, -math.inf], "float64", id="figures"),
    pytest.param([1, 0.5, None], pl.Float64, [1.0, 0.5, None], "float64", id="numbers-of-both-kinds"),
    pytest.param([True, None, False], pl.Boolean, [True, None, False], "boolean", id="truth"),
    pytest.param([True, False], pl.Boolean, [True, False], "bool", id="truth-without-gaps"),
    pytest.param(["a", None, ""], pl.String, ["a", None, ""], None, id="texts"),
    pytest.param([TIME, None, ELSEWHERE], UTC_TIMES, [TIME, None, TIME], "datetime64[us, UTC]", id="times"),
    pytest.param(
        [1, "x", None, True, 0.5, NAN, TIME],
        pl.String,
        ["1", "x", None, "true", "0.5", "NaN", TIME.isoformat()],
        None,
        id="mixed",
    ),
    pytest.param([True, 1], pl.String, ["true", "1"], None, id="truth-among-numbers"),
    pytest.param([None, None], pl.String, [None, None], "object", id="nothing"),
]


def same(one, other) -> bool:
    return one == other or (one != one and other != other)


@pytest.mark.parametrize(("values", "dtype", "expected", "pandas_dtype"), COLUMNS)
def test_a_column_has_one_type(values, dtype, expected, pandas_dtype):
    frame = Frame({"x": values})
    assert len(frame) == len(values)
    polars = frame.to_polars()
    assert polars.schema == {"x": dtype}
    found = polars["x"].to_list()
    assert all(map(same, found, expected))
    assert len(found) == len(expected)

    pytest.importorskip("pyarrow", reason="no pyarrow")
    assert all(map(same, frame.to_arrow()["x"].to_pylist(), expected))

    pandas = pytest.importorskip("pandas", reason="no pandas")
    column = frame.to_pandas()["x"]
    assert pandas_dtype in {None, str(column.dtype)}
    for value, wanted in zip(column, expected, strict=True):
        assert pandas.isna(value) if wanted is None or wanted != wanted else value == wanted


@pytest.mark.parametrize(
    ("of", "dtype"),
    [
        pytest.param(str, pl.String, id="text"),
        pytest.param(int, pl.Int64, id="int"),
        pytest.param(float, pl.Float64, id="float"),
        pytest.param(bool, pl.Boolean, id="bool"),
        pytest.param(datetime, UTC_TIMES, id="time"),
    ],
)
@pytest.mark.parametrize("values", [pytest.param([], id="empty"), pytest.param([None, None], id="only-gaps")])
def test_a_column_without_values_has_the_type_it_would_hold(of, dtype, values):
    frame = Frame({"x": values}, {"x": of})
    assert frame.to_polars().schema == {"x": dtype}
    pandas = pytest.importorskip("pandas", reason="no pandas")
    assert list(pandas.isna(frame.to_pandas()["x"])) == [True] * len(values)


def test_a_frame_without_columns():
    assert len(Frame({})) == 0
    assert list(Frame({}).rows()) == []
    assert Frame({}).to_polars().shape == (0, 0)


def test_rows_are_dictionaries():
    assert list(Frame({"a": [1, 2], "b": ["x", None]}).rows()) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    ("library", "convert"),
    [pytest.param("pandas", Frame.to_pandas, id="pandas"), pytest.param("pyarrow", Frame.to_arrow, id="arrow")],
)
def test_a_missing_library_is_named_with_an_extra_that_exists(library, convert, monkeypatch):
    import tomllib
    from pathlib import Path

    monkeypatch.setitem(sys.modules, library, None)  # as where it is not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="optional dependency") as caught:
        convert(Frame({"x": [1]}))
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    [requirement] = project["optional-dependencies"][caught.value.extra]
    assert requirement.startswith(library)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)),
)


@given(values=st.lists(SCALARS, max_size=6), kinds=st.lists(st.sampled_from([bool, int, float, str, datetime])))
def test_any_column_becomes_polars_and_nothing_is_lost_between_none_and_values(values, kinds):
    if kinds:
        values = [value for value in values if value is None or type(value) in kinds]
    column = Frame({"x": values}).to_polars()["x"].to_list()
    assert [value is None for value in column] == [value is None for value in values]


@given(values=st.lists(st.one_of(st.none(), st.floats())))
def test_csv_gives_every_float_back(values):
    file = io.BytesIO()
    writer = CsvWriter(file, ["x", "y"])
    writer.write(Frame({"x": values, "y": values}))
    writer.write(Frame({"y": values[::-1], "x": values}))
    writer.finish()
    rows = list(csv.reader(io.StringIO(file.getvalue().decode())))
    assert rows[0] == ["x", "y"]
    assert len(rows) == 1 + 2 * len(values)
    for (x, _), value in zip(rows[1:], values * 2, strict=True):
        assert x == "" if value is None else same(float(x), value)


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1))
def test_csv_gives_every_text_back(texts):
    file = io.BytesIO()
    writer = CsvWriter(file, ["x", "y"])
    writer.write(Frame({"x": texts, "y": texts}))
    writer.finish()
    assert [row[0] for row in csv.reader(io.StringIO(file.getvalue().decode(), newline=""))][1:] == texts


def test_csv_cells():
    file = io.BytesIO()
    writer = CsvWriter(file, list("abcde"))
    writer.write(
        Frame({"a": [True, None], "b": [NAN, math.inf], "c": [ELSEWHERE, None], "d": [1, 0.1], "e": ["ä,", ""]})
    )
    writer.finish()
    assert file.getvalue().decode() == f'a,b,c,d,e\ntrue,NaN,{TIME.isoformat()},1,"ä,"\n,Infinity,,0.1,\n'


def test_parquet_holds_what_polars_does():
    parts = [Frame({"x": [1, None], "t": [TIME, None]}), Frame({"x": [], "t": []}, {"x": int, "t": datetime})]
    file = io.BytesIO()
    write_parquet(file, parts)
    assert pl.read_parquet(io.BytesIO(file.getvalue())).equals(parts[0].to_polars())


def test_runs_are_rows_with_what_any_of_them_has(tracker: Tracker, history):
    one = tracker.start_run("a", config={"lr": 0.1, "deep": {"er": [1]}})
    two = tracker.start_run("b", config={"lr": "auto"})
    tracker.finish(one, state="completed", metrics={"loss": NAN})
    runs = [history.find(one), history.find(two)]
    frame = runs_frame(runs)
    assert list(frame.columns) == [*RUN_FIELDS, "metric.loss", "param.deep.er.0", "param.lr"]
    first, second = frame.rows()
    assert (first["uid"], first["number"], first["started"]) == (one, 1, runs[0].started)
    assert math.isnan(first["metric.loss"])
    assert (second["metric.loss"], second["param.deep.er.0"], second["param.lr"]) == (None, None, "auto")
    assert frame.to_polars()["param.lr"].to_list() == ["0.1", "auto"]
    chosen = runs_frame(runs, names={"metric": ["loss"], "param": [], "tag": ["t"]})
    assert list(chosen.columns) == [*RUN_FIELDS, "metric.loss", "tag.t"]


def test_no_runs_are_a_frame_with_types():
    assert runs_frame([]).to_polars().schema == {
        name: {str: pl.String, int: pl.Int64, float: pl.Float64, datetime: UTC_TIMES}[of]
        for name, of in RUN_FIELDS.items()
    }
