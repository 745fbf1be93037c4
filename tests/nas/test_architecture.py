"""Architectures: canonical, equal by what they compute, and the same in every process."""

from __future__ import annotations

import json
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, build, derive_rng
from nasturtium.core.data import Task
from nasturtium.nas.architecture import Architecture
from nasturtium.nas.cells import NB201_EDGES
from nasturtium.nas.space import SPACES, Choice, Outputs, Space, layers
from nasturtium.nas.spaces import cnn, mlp, nb201


def task(*shape: int) -> Task:
    return Task(input_shape=shape, features=tuple(f"f{i}" for i in range(prod(shape))), classes=("a", "b", "c"))


IMAGES = task(1, 8, 8)
CNN, NB201 = cnn(IMAGES), nb201(IMAGES)
SEEDS = st.integers(0, 2**32)


def some(space: Space, seed: int) -> Architecture:
    return Architecture.of(space, space.sample(np.random.default_rng(seed)))


def cell(*ops: str) -> Architecture:
    edges = [f"architecture/cell/{i}-{j}" for i, j in NB201_EDGES]
    return Architecture.of(NB201, dict(zip(edges, ops, strict=True)))


@settings(deadline=None)
@given(seed=SEEDS, space=st.sampled_from([CNN, NB201]))
def test_json_brings_an_architecture_back(seed, space):
    architecture = some(space, seed)
    again = Architecture.from_json(architecture.to_json(), space)
    assert again == architecture
    assert again.id == architecture.id
    assert again.choices == architecture.choices
    assert again.to_json() == architecture.to_json()
    assert again.spec(space) == architecture.spec(space)
    assert hash(again) == hash(architecture)


@settings(deadline=None)
@given(seed=SEEDS, space=st.sampled_from([CNN, NB201]))
def test_an_architecture_is_canonical(seed, space):
    """What does not count has no part in it, however it was drawn."""
    flat = space.sample(np.random.default_rng(seed))
    used = space.active(flat)
    other = space.sample(np.random.default_rng(seed + 1))
    scrambled = {path: flat[path] if path in used else other[path] for path in flat}
    first, second = Architecture.of(space, flat), Architecture.of(space, scrambled)
    assert (first.id, first.choices) == (second.id, second.choices)
    assert Architecture.of(space, first.flat(space)).choices == first.choices
    assert first.flat(space) == first.flat(space, {})
    assert len(first.id) == 64


def test_hyperparameters_are_no_part_of_it():
    flat = CNN.sample(np.random.default_rng(0))
    assert Architecture.of(CNN, flat | {"training/learning_rate": 0.001}) == Architecture.of(CNN, flat)
    point = Architecture.of(CNN, flat).flat(CNN, CNN.hyperparameters_of(flat))
    assert CNN.identity(point) == CNN.identity(flat)


def test_dead_operations_and_isomorphic_cells_are_equal():
    conv, skip, none = "nor_conv_3x3", "skip_connect", "none"
    dead = cell(none, none, conv, conv, none, none)
    assert dead == cell(conv, none, none, conv, none, none)
    assert dead == cell(none, none, none, conv, none, none)
    # Nodes 1 and 2 do the same in either order.
    assert cell(conv, skip, none, none, conv, conv) == cell(conv, skip, none, none, conv, conv)
    assert cell(none, conv, none, skip, none, conv) != cell(none, conv, none, none, none, conv)
    assert dead.diff(cell(conv, none, none, conv, none, none)) == {}


def test_a_diff_says_what_differs():
    first = Architecture.of(CNN, CNN.completed({"architecture/stages": "2", "architecture/activation": "gelu"}))
    second = Architecture.of(CNN, CNN.completed({"architecture/stages": "1", "architecture/activation": "gelu"}))
    found = first.diff(second)
    assert found["stages"] == ("2", "1")
    assert found["pool_1"] == ("none", None)
    assert "activation" not in found
    assert second.diff(first) == {path: (there, here) for path, (here, there) in found.items()}
    assert first.diff(first) == {}


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_moves_give_architectures_of_the_space(seed):
    rng = np.random.default_rng(seed)
    first, second = some(CNN, seed), some(CNN, seed + 1)
    moved = first.mutate(CNN, rng)
    assert moved != first
    assert first.mutate(CNN, np.random.default_rng(1)) == first.mutate(CNN, np.random.default_rng(1))
    child = first.crossover(second, CNN, rng)
    for architecture in (moved, child):
        assert Architecture.from_json(architecture.to_json(), CNN) == architecture


def test_neighbours_differ_in_one_decision_and_are_each_there_once():
    architecture = cell("nor_conv_3x3", "skip_connect", "none", "none", "avg_pool_3x3", "nor_conv_1x1")
    near = architecture.neighbours(NB201)
    assert len({found.id for found in near}) == len(near)
    assert architecture not in near
    # One edge changed; what that switches off, or on, is another decision that does not count, or counts again.
    assert all(1 <= len(architecture.diff(found)) <= 3 for found in near)
    assert all(architecture in found.neighbours(NB201) for found in near[:4])


def test_a_space_of_one_network_has_nowhere_to_go():
    space = Space("one", task(4), layers.linear(out_features=Outputs()), {"batch_size": Choice((1, 2))})
    only = Architecture.of(space, space.sample(np.random.default_rng(0)))
    assert only.choices == {}
    assert only.mutate(space, np.random.default_rng(0)) == only
    assert only.neighbours(space) == []


def test_the_seed_decides_the_weights():
    architecture = some(CNN, 0)
    first, again, other = (architecture.build(CNN, seed).state() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)
    direct = build(architecture.spec(CNN), derive_rng(1, "weights")).state()
    assert all(np.array_equal(first[name], direct[name]) for name in first)


def damaged(**changes: object) -> str:
    return json.dumps(some(CNN, 0).to_dict() | changes)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        pytest.param("", "not valid JSON", id="empty"),
        pytest.param("[" * 100_000, "not valid JSON", id="deep"),
        pytest.param('{"format": "other"}', r"format .nasturtium.architecture", id="another-format"),
        pytest.param(damaged(version=99), "version up to 2", id="newer"),
        pytest.param(damaged(id=3), "damaged", id="id-of-a-number"),
        pytest.param(damaged(choices=[]), "damaged", id="choices-of-a-list"),
        pytest.param(damaged(choices={"stages": ["1"]}), "choices of numbers", id="choice-of-a-list"),
        pytest.param(damaged(choices={"stages": None}), "choices of numbers", id="choice-of-null"),
        pytest.param(damaged(space="mlp"), "of space 'cnn', got one of 'mlp'", id="another-space"),
        pytest.param(damaged(id="0" * 64), "its decisions make", id="another-id"),
    ],
)
def test_text_that_is_no_architecture_is_refused(text, match):
    with pytest.raises(FormatError, match=match):
        Architecture.from_json(text, CNN)


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        pytest.param({"nowhere": 1}, "no decisions architecture/nowhere", id="unknown"),
        pytest.param({"stages": "9"}, "'9' is none of", id="outside"),
        pytest.param({"stages": 1}, "1 is none of", id="another-type"),
    ],
)
def test_decisions_that_are_none_of_the_space_are_refused(choices, match):
    with pytest.raises(ConfigError, match=match):
        Architecture.from_json(damaged(choices=choices), CNN)


def test_an_architecture_for_another_task_is_refused():
    architecture = some(mlp(task(5)), 0)
    with pytest.raises(FormatError, match="its decisions make") as caught:
        Architecture.from_json(architecture.to_json(), SPACES["mlp"](task(6)))
    assert "another task" in (caught.value.hint or "")
