"""Options of layers: what an annotation lets through, and that JSON brings back what was there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.core.nn import LayerSpec, Node, layer_spec
from nasturtium.core.nn.option import MAX_INT, Mismatch, check, describe, from_json, to_json

FLAT = layer_spec("flatten")
PAIR, PER_AXIS = tuple[int, int], int | tuple[int, ...]
LAYERS = tuple[LayerSpec, ...]


@pytest.mark.parametrize(
    ("expected", "value", "kept"),
    [
        pytest.param(int, 3, 3, id="int"),
        pytest.param(int, -MAX_INT, -MAX_INT, id="the-smallest-int"),
        pytest.param(float, 3, 3.0, id="float-from-int"),
        pytest.param(bool, True, True, id="bool"),
        pytest.param(str, "relu", "relu", id="str"),
        pytest.param(int | None, None, None, id="nothing"),
        pytest.param(int | None, 3, 3, id="something"),
        pytest.param(PER_AXIS, 3, 3, id="one-for-all-axes"),
        pytest.param(PER_AXIS, [3, 5], (3, 5), id="a-list-becomes-a-tuple"),
        pytest.param(PER_AXIS, (), (), id="no-axes"),
        pytest.param(PAIR, (3, 5), (3, 5), id="pair"),
        pytest.param(tuple[float, ...], (1, 2.5), (1.0, 2.5), id="floats"),
        pytest.param(tuple[tuple[int, ...], ...], [[1, 2], []], ((1, 2), ()), id="lists-of-lists"),
        pytest.param(LAYERS, [FLAT], (FLAT,), id="layers"),
        pytest.param(LayerSpec | None, FLAT, FLAT, id="a-layer-or-nothing"),
    ],
)
def test_a_fitting_value_is_kept_in_one_form(expected, value, kept):
    found = check(value, expected)
    assert (found, type(found)) == (kept, type(kept))
    assert check(from_json(json.loads(json.dumps(to_json(found))), expected, 0), expected) == kept


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        pytest.param(int, True, id="bool-for-int"),
        pytest.param(int, 3.0, id="float-for-int"),
        pytest.param(int, MAX_INT + 1, id="int-too-large"),
        pytest.param(int, None, id="nothing-for-int"),
        pytest.param(float, float("nan"), id="nan"),
        pytest.param(float, float("inf"), id="infinity"),
        pytest.param(float, 10**400, id="int-beyond-floats"),
        pytest.param(float, True, id="bool-for-float"),
        pytest.param(bool, 1, id="int-for-bool"),
        pytest.param(str, 1, id="int-for-str"),
        pytest.param(PER_AXIS, "35", id="text-for-a-list"),
        pytest.param(PER_AXIS, [3, True], id="bool-in-a-list"),
        pytest.param(PER_AXIS, [[3]], id="list-in-a-list"),
        pytest.param(PAIR, [3], id="one-for-two"),
        pytest.param(PAIR, [3, 4, 5], id="three-for-two"),
        pytest.param(PAIR, 3, id="number-for-two"),
        pytest.param(LAYERS, FLAT, id="a-layer-for-a-list"),
        pytest.param(LAYERS, [3], id="number-for-a-layer"),
        pytest.param(LAYERS, [Node("a", FLAT, ("input",))], id="a-node-for-a-layer"),
    ],
)
def test_another_value_does_not_match(expected, value):
    with pytest.raises(Mismatch):
        check(value, expected)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        pytest.param(int, f"int within {MAX_INT}", id="int"),
        pytest.param(bool, "bool", id="bool"),
        pytest.param(float | None, "float or null", id="union"),
        pytest.param(PER_AXIS, f"int within {MAX_INT} or a list of int within {MAX_INT}", id="list"),
        pytest.param(tuple[str, str], "a list of 2 str", id="pair"),
        pytest.param(LAYERS, "a list of LayerSpec", id="layers"),
    ],
)
def test_an_annotation_is_told_in_words(expected, words):
    assert describe(expected) == words


@pytest.mark.parametrize("expected", [LayerSpec, LAYERS, LayerSpec | None, int | LAYERS])
def test_objects_inside_are_parsed_and_refused_as_such(expected):
    value = {"kind": "flat"}
    with pytest.raises(FormatError, match="unknown layer kind 'flat'"):
        from_json([value] if "tuple" in str(expected) else value, expected, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(JSON, st.sampled_from([int, float, bool, str, int | None, PER_AXIS, PAIR, tuple[float, ...] | None]))
def test_any_value_of_json_is_kept_or_does_not_match(value, expected):
    try:
        found = check(from_json(value, expected, 0), expected)
    except Mismatch:
        return
    assert check(json.loads(json.dumps(to_json(found))), expected) == found
