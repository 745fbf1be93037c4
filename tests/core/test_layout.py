"""The flat vector of a model's state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ModelSpec, ParameterLayout, ShapeError, build, nn

ENTRY = st.tuples(
    st.text(max_size=6), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), st.just("float32")
)
LAYOUTS = st.lists(ENTRY, max_size=5, unique_by=lambda entry: entry[0]).map(
    lambda entries: ParameterLayout(tuple(entries))
)


@given(LAYOUTS, st.data())
def test_flatten_undoes_unflatten(layout, data):
    vector = data.draw(hnp.arrays(np.float32, layout.size))
    np.testing.assert_array_equal(layout.flatten(layout.unflatten(vector)), vector)


@given(LAYOUTS, st.data())
def test_unflatten_undoes_flatten_in_any_order(layout, data):
    state = {name: data.draw(hnp.arrays(dtype, shape)) for name, shape, dtype in layout.entries}
    names = data.draw(st.permutations(sorted(state)))
    vector = layout.flatten({name: state[name] for name in names})
    np.testing.assert_array_equal(vector, layout.flatten(state))
    back = layout.unflatten(vector)
    assert list(back) == [name for name, _, _ in layout.entries]
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_the_parts_are_copies():
    layout = ParameterLayout((("w", (2,), "float32"),))
    vector = np.zeros(2, np.float32)
    layout.unflatten(vector)["w"][:] = 1
    np.testing.assert_array_equal(vector, 0)


def test_a_model_survives_the_vector():
    spec = ModelSpec((1, 4, 4), (nn.layer_spec("conv2d", out_channels=2, kernel=3), nn.layer_spec("batch_norm")))
    model = build(spec, np.random.default_rng(0))
    layout = ParameterLayout.of(model)
    other = build(spec, np.random.default_rng(1))
    other.load_state(layout.unflatten(layout.flatten(model.state())))
    for name, array in model.state().items():
        np.testing.assert_array_equal(other.state()[name], array)


BASE = (("w", (2, 3), "float32"), ("b", (3,), "float32"))


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param((("v", (2, 3), "float32"), BASE[1]), id="name"),
        pytest.param((("w", (3, 2), "float32"), BASE[1]), id="shape"),
        pytest.param((("w", (2, 3), "float64"), BASE[1]), id="dtype"),
        pytest.param((BASE[1], BASE[0]), id="order"),
        pytest.param(BASE[:1], id="missing"),
    ],
)
def test_the_hash_changes_with(entries):
    assert ParameterLayout(entries).sha256 != ParameterLayout(BASE).sha256


def test_the_hash_is_the_same_for_equal_networks_with_other_weights():
    spec = ModelSpec((4,), (nn.layer_spec("linear", out_features=3),))
    first, second = (ParameterLayout.of(build(spec, np.random.default_rng(seed))) for seed in (0, 1))
    assert first == second
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(
    ("state", "match"),
    [
        pytest.param({"w": np.zeros((2, 3))}, "names are not the layout's", id="missing"),
        pytest.param({"w": np.zeros((2, 3)), "b": np.zeros(3), "c": np.zeros(1)}, "names are not", id="unknown"),
        pytest.param({"w": np.zeros((3, 2)), "b": np.zeros(3)}, r"'w': expected shape \(2, 3\)", id="shape"),
    ],
)
def test_flatten_refuses(state, match):
    with pytest.raises(ShapeError, match=match):
        ParameterLayout(BASE).flatten(state)


@pytest.mark.parametrize("shape", [(8,), (10,), (9, 1), ()])
def test_unflatten_refuses_another_length(shape):
    with pytest.raises(ShapeError, match=r"expected a vector of shape \(9,\)"):
        ParameterLayout(BASE).unflatten(np.zeros(shape, np.float32))
