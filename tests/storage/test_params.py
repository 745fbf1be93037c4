"""Parameters as rows: names with dots, scalars only, nothing that a database cannot hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.storage.models import MAX_PARAM_LETTERS
from nasturtium.storage.names import check_name
from nasturtium.storage.params import flatten_params, param_row


@pytest.mark.parametrize(
    ("given_", "params"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"lr": 0.1, "epochs": 3, "skip": True, "act": "relu"}, None, id="scalars-stay"),
        pytest.param(
            {"hidden": [{"width": 64}, {"width": 32}]}, {"hidden.0.width": 64, "hidden.1.width": 32}, id="dots"
        ),
        pytest.param({"shape": (1, 8)}, {"shape.0": 1, "shape.1": 8}, id="tuple"),
        pytest.param({"target": None, "empty": [], "deep": {"none": None}}, {}, id="none"),
        pytest.param({"a": math.nan, "b": -math.inf}, {"a": "NaN", "b": "-Infinity"}, id="not-finite"),
        pytest.param({"a": 10**400}, {"a": "1" + "0" * 400}, id="beyond-float64"),
        pytest.param(
            {"text": "a\0b", "half": "\ud800"}, {"text": "a\N{REPLACEMENT CHARACTER}b", "half": "?"}, id="odd"
        ),
        pytest.param({"long": "x" * MAX_PARAM_LETTERS}, None, id="longest"),
        pytest.param({"long": "x" * (MAX_PARAM_LETTERS + 1)}, {}, id="too-long"),
        pytest.param({"": 1, "line\n": 2, "n" * 251: 3, "nul\0": 4}, {}, id="no-name"),
        pytest.param({1: "one"}, {"1": "one"}, id="number-as-key"),
        pytest.param({"data": object(), "bytes": b"x"}, {}, id="no-scalar"),
    ],
)
def test_nested_values_become_names_with_dots(given_, params):
    assert flatten_params(given_) == (given_ if params is None else params)


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        pytest.param("0.5", "0.5", None, id="text"),
        pytest.param(0.5, "0.5", 0.5, id="float"),
        pytest.param(64, "64", 64.0, id="int"),
        pytest.param(True, "true", 1.0, id="bool"),
    ],
)
def test_a_value_is_kept_as_text_and_as_number(value, text, number):
    assert param_row(value) == {"text": text, "number": number, "is_text": number is None}


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
leaves = st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=3) | scalars
trees = st.dictionaries(st.text(max_size=3), leaves | st.lists(leaves, max_size=2), max_size=3)


@given(trees)
def test_whatever_it_is_the_rows_can_be_written(tree):
    for name, value in flatten_params(tree).items():
        row = param_row(value)
        check_name(name)
        assert "\0" not in row["text"]
        assert len(row["text"].encode()) <= 4 * MAX_PARAM_LETTERS  # short enough for PostgreSQL's index
        assert row["is_text"] or math.isfinite(row["number"])
