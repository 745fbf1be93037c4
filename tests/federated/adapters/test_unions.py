"""Unions of XGBoost's trees: what slots hold, how they add up, and what is left out."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.core.data import Task
from nasturtium.federated import LocalTraining
from nasturtium.federated.adapters import LocalExamples, ModelCatalogue

TASK = Task(input_shape=(3,), features=("x", "y", "z"), classes=("a", "b"))


@pytest.fixture
def trees():
    pytest.importorskip("xgboost", reason="XGBoost is not installed")
    return ModelCatalogue().make("xgboost", {"sites": ("a", "b"), "rounds": 2, "depth": 2}, TASK)


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 3)).astype(np.float32)
    return inputs, (inputs[:, 0] > 0).astype(np.int64)


def grow(trees, tensors, examples, site: str):
    return trees.train(tensors, LocalExamples(site, *examples), LocalTraining(), np.random.default_rng(0))


def test_a_sum_of_slots_is_the_union_of_trees_and_sites_vote_alike(trees, examples):
    start = trees.initial(0)
    one, other = (grow(trees, start, examples, site) for site in "ab")
    scores = [trees.logits(each, examples[0]) for each in (one, other)]
    for weights in ([0.5, 0.5], [0.001, 0.999], [1e-4, 1.0 - 1e-4]):  # however a site counts
        mean = sum(weight * each["trees"] for weight, each in zip(weights, (one, other), strict=True))
        union = {"trees": mean.astype(np.float32)}
        np.testing.assert_allclose(trees.logits(union, examples[0]), sum(scores) / 2, atol=1e-6)
        again = grow(trees, union, examples, "a")
        assert again["trees"][1, 0, -1] > 0  # into the next round's slots
    full = {"trees": np.stack([mean, mean])[:, 0].astype(np.float32)}
    assert np.array_equal(grow(trees, full, examples, "a")["trees"], full["trees"])


def test_what_travels_of_a_tree_is_how_it_decides(trees, examples):
    from nasturtium.federated.adapters.xgboost_model import _content

    slot = grow(trees, trees.initial(0), examples, "a")["trees"][0, 0]
    content = _content(slot)
    [tree, *_] = json.loads(zlib.decompress(content[8 : 8 + int.from_bytes(content[:4], "big")]))
    assert set(tree) == {"feature", "value", "left", "right", "missing_left"}


@pytest.mark.parametrize("place", [0, 5, 9, 40])
def test_damaged_trees_are_left_out(trees, examples, place):
    tensors = grow(trees, trees.initial(0), examples, "a")
    tensors["trees"][0, 0, place] = (tensors["trees"][0, 0, place] + 77) % 256
    assert not trees.logits(tensors, examples[0]).any()


@pytest.mark.parametrize(
    "change",
    [
        {"left": [1, 0, -1]},
        {"left": [5, -1, -1]},
        {"left": [2, -1, -1], "right": [2, -1, -1]},
        {"feature": [3, 0, 0]},
        {"feature": [0.5, 0, 0]},
        {"value": [1e39, 0.0, 0.0]},
        {"value": [10**400, 0.0, 0.0]},
        {"value": [True, 0.0, 0.0]},
        {"missing_left": [2, 0, 0]},
        {"value": [0.0, 0.0]},
        {"value": 3},
        {"more": []},
    ],
)
def test_what_no_booster_grows_is_left_out(trees, examples, change):
    from nasturtium.federated.adapters.xgboost_model import _write_slot

    good = {
        "feature": [0, 0, 0],
        "value": [0.0, -1.0, 1.0],
        "left": [1, -1, -1],
        "right": [2, -1, -1],
        "missing_left": [0] * 3,
    }
    for tree, counts in ((good, True), (good | change, False)):
        tensors = trees.initial(0)
        tensors["trees"][0, 0] = _write_slot([good, tree], trees.room)
        assert trees.logits(tensors, examples[0]).any() == counts


def test_trees_that_do_not_fit_say_what_to_do(examples):
    pytest.importorskip("xgboost", reason="XGBoost is not installed")
    trees = ModelCatalogue().make("xgboost", {"sites": ("a", "b"), "room": 40}, TASK)
    with pytest.raises(ConfigError, match="a site's slot has 40") as caught:
        grow(trees, trees.initial(0), examples, "a")
    assert "room" in caught.value.hint


def test_a_site_without_a_slot_is_refused(trees, examples):
    with pytest.raises(ConfigError, match="c is none of the sites"):
        grow(trees, trees.initial(0), examples, "c")
