"""Search spaces: the flat encoding is fixed, decoding is canonical, every point is a network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, ModelSpec, build
from nasturtium.core.data import Task
from nasturtium.nas import SPACES, Architecture, Branch, Choice, Float, Group, Int, Repeat, space
from nasturtium.nas.space import decode, draw, leaves

TABLE = Task(input_shape=(5,), features=tuple("abcde"), classes=("no", "yes"))


def images(side: int, channels: int = 1) -> Task:
    names = tuple(f"p{i}" for i in range(channels * side * side))
    return Task(input_shape=(channels, side, side), features=names, classes=("0", "1", "2"))


CASES = [
    pytest.param("mlp", TABLE, id="mlp-table"),
    pytest.param("mlp", images(4), id="mlp-images"),
    pytest.param("cnn", images(8), id="cnn-8"),
    pytest.param("cnn", images(5, channels=3), id="cnn-odd-rgb"),
    pytest.param("cnn", images(1), id="cnn-one-pixel"),
]


def point(made, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {path: draw(leaf, rng) for path, leaf in made.leaves().items()}


@pytest.mark.parametrize(("name", "task"), CASES)
def test_every_point_is_a_network_for_the_task(name, task):
    made = SPACES[name](task)
    for seed in range(40):
        spec = Architecture.from_flat(made, point(made, seed)).to_spec(made)
        assert spec.input_shape == task.input_shape
        assert spec.plan().output_shape == (len(task.classes),)
        built = build(spec, np.random.default_rng(0))
        assert sum(parameter.size for parameter in built.parameters()) == spec.plan().parameters


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["mlp", "cnn"]))
def test_architectures_survive_json(seed, name):
    made = SPACES[name](images(8))
    architecture = Architecture.from_flat(made, point(made, seed))
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture
    assert again.id == architecture.id
    assert again.to_spec(made) == architecture.to_spec(made)


@given(seed=st.integers(0, 2**32))
def test_what_is_switched_off_does_not_count(seed):
    """Changing an inactive leaf leaves the architecture as it is."""
    made = SPACES["cnn"](images(8))
    flat = point(made, seed)
    stages = flat["architecture/stages/count"]
    changed = flat | {
        path: draw(leaf, np.random.default_rng(seed + 1))
        for path, leaf in made.leaves().items()
        if any(path.startswith(f"architecture/stages/{index}/") for index in range(stages, 3))
    }
    assert Architecture.from_flat(made, changed) == Architecture.from_flat(made, flat)


def test_equal_networks_are_equal_architectures():
    """Averaging a one-pixel image is flattening it: two points of the encoding, one network."""
    made = SPACES["cnn"](images(2))
    flat = point(made, 0) | {"architecture/stages/0/pool": "max_pool2d"}
    heads = [
        Architecture.from_flat(made, flat | {"architecture/head": head}) for head in ("flatten", "global_avg_pool")
    ]
    assert heads[0] == heads[1]
    assert len(set(heads)) == 1


def test_other_choices_are_other_architectures():
    made = SPACES["mlp"](TABLE)
    flat = point(made, 0)
    ids = {Architecture.from_flat(made, flat | {"architecture/activation": f}).id for f in ("relu", "gelu", "silu")}
    assert len(ids) == 3


TREE = Group(
    {
        "kind": Branch({"small": Group({"n": Int(1, 3)}), "large": Group({"x": Float(0.5, 2.0)})}),
        "parts": Repeat(1, 2, Choice(("a", "b"))),
    }
)


def test_the_encoding_lists_every_leaf_active_or_not():
    assert list(leaves(TREE, "t")) == [
        "t/kind/which",
        "t/kind/small/n",
        "t/kind/large/x",
        "t/parts/count",
        "t/parts/0",
        "t/parts/1",
    ]


FLAT = {
    "t/kind/which": "small",
    "t/kind/small/n": 2,
    "t/kind/large/x": 1.0,
    "t/parts/count": 1,
    "t/parts/0": "b",
    "t/parts/1": "a",
}


def test_decoding_drops_what_is_inactive():
    assert decode(TREE, FLAT, "t") == {"kind": {"small": {"n": 2}}, "parts": ["b"]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"t/kind/which": "huge"}, "t/kind/which: 'huge' is outside", id="unknown-branch"),
        pytest.param({"t/kind/small/n": 4}, "outside", id="too-large"),
        pytest.param({"t/parts/0": "c"}, "outside", id="unknown-option"),
        pytest.param({"t/parts/count": None}, "outside", id="none"),
    ],
)
def test_a_point_outside_the_space_is_refused(change, match):
    with pytest.raises(ConfigError, match=match):
        decode(TREE, FLAT | change, "t")


def test_a_missing_leaf_is_refused():
    with pytest.raises(ConfigError, match="no value for 't/parts/0'"):
        decode(TREE, {k: v for k, v in FLAT.items() if k != "t/parts/0"}, "t")


def test_images_are_needed_for_convolutions():
    with pytest.raises(ConfigError, match="needs images"):
        SPACES["cnn"](TABLE)


def test_a_space_is_declared_once():
    with pytest.raises(ValueError, match="declared twice"):
        space("mlp")(SPACES["mlp"])


def test_a_damaged_architecture_is_refused():
    from nasturtium.core import FormatError

    with pytest.raises(FormatError, match=r"expected a document of format .nasturtium.architecture"):
        Architecture.from_json('{"format": "other"}')


def test_the_spec_a_search_stores_builds_again():
    made = SPACES["cnn"](images(8))
    spec = Architecture.from_flat(made, point(made, 3)).to_spec(made)
    assert ModelSpec.from_json(spec.to_json()) == spec
