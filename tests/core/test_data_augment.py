"""Augmentation: each change is what its paper says, touches nothing it is given, and follows its generator alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, ShapeError
from nasturtium.core.data import Compose, Cutout, FlipHorizontal, Mixup, RandomCrop, one_hot

ALL = Compose(FlipHorizontal(0.3), RandomCrop(2), Cutout(3), Mixup(0.4, classes=5))
SHAPES = st.tuples(st.integers(0, 6), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch(count: int, *shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = rng(seed)
    return draw.normal(size=(count, *shape)).astype(np.float32), draw.integers(0, 5, count)


@pytest.mark.parametrize("step", [*ALL.steps, ALL], ids=lambda step: getattr(step, "NAME", "all"))
@given(shape=SHAPES, seed=st.integers(0, 2**32))
def test_a_change_keeps_shape_and_dtype_and_its_input_and_follows_its_seed(step, shape, seed):
    inputs, targets = batch(*shape, seed=seed)
    before = inputs.copy(), targets.copy()
    outputs, wanted = step(inputs, targets, rng(seed))
    assert (outputs.shape, outputs.dtype) == (inputs.shape, inputs.dtype)
    assert len(wanted) == len(targets)
    np.testing.assert_array_equal(inputs, before[0])
    np.testing.assert_array_equal(targets, before[1])
    again, wanted_again = step(inputs, targets, rng(seed))
    np.testing.assert_array_equal(outputs, again)
    np.testing.assert_array_equal(wanted, wanted_again)
    assert not np.shares_memory(outputs, inputs) or outputs.size == 0


def test_a_flip_mirrors_some_images_and_leaves_the_others():
    images, labels = batch(2000, 2, 3, 4)
    flipped, _ = FlipHorizontal(0.25)(images, labels, rng())
    mirrored = (flipped == images[..., ::-1]).all((1, 2, 3))
    same = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert 0.2 < mirrored.mean() < 0.3
    for probability, expected in ((0, images), (1, images[..., ::-1])):
        np.testing.assert_array_equal(FlipHorizontal(probability)(images, labels, rng())[0], expected)


def test_a_crop_is_a_window_of_the_padded_image():
    """Every offset occurs, in equal measure, and each image has its own."""
    images = rng().random((4000, 2, 5, 6)).astype(np.float32) + 1
    cropped, _ = RandomCrop(2)(images, np.zeros(4000), rng(1))
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    found = np.zeros((5, 5), int)
    for row in range(5):
        for column in range(5):
            window = padded[:, :, row : row + 5, column : column + 6]
            found[row, column] = (window == cropped).all((1, 2, 3)).sum()
    assert found.sum() == 4000
    assert found.min() > 100
    assert found.max() < 220


@pytest.mark.parametrize("size", [1, 2, 3, 5, 20])
def test_cutout_sets_one_square_to_zero_in_all_channels(size):
    """Centres are uniform over the pixels; what lies outside is clipped (DeVries & Taylor 2017, section 3.2)."""
    images = np.ones((3000, 3, 8, 6), np.float32)
    holes = Cutout(size)(images, np.zeros(3000), rng())[0] == 0
    assert (holes == holes[:, :1]).all()
    hole = holes[:, 0]
    assert hole.any((1, 2)).all()
    for axis, length in ((1, 8), (2, 6)):
        lines = hole.any(3 - axis)
        extent = lines.sum(1)
        first = lines.argmax(1)
        inside = (first > 0) & (first + extent < length)
        assert (extent[inside] == size).all()
        assert extent.max() == min(size, length)
        if (
            1 < size < 10
        ):  # clipped on the near side, and on the far side but for the pixel that a square of 2 lacks there
            assert ((first == 0) & (extent < min(size, length))).any()
            assert ((first + extent == length) & (extent < min(size, length))).any() or size == 2
    assert (hole.sum((1, 2)) == hole.any(2).sum(1) * hole.any(1).sum(1)).all()  # a rectangle
    if size == 1:
        np.testing.assert_allclose(hole.mean(0), 1 / 48, atol=0.012)


@given(st.integers(1, 8), st.floats(0.05, 5), st.integers(0, 2**32))
def test_mixup_blends_inputs_and_targets_alike(count, alpha, seed):
    """One lam and one partner for each: rows that hold their own target still do."""
    targets = one_hot(rng(seed).integers(0, 4, count), 4)
    inputs = np.repeat(targets[:, :, None], 3, axis=2)
    blended, wanted = Mixup(alpha)(inputs, targets, rng(seed))
    np.testing.assert_array_equal(blended[:, :, 0], wanted)
    np.testing.assert_allclose(wanted.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(wanted.sum(0), targets.sum(0), rtol=1e-5, atol=1e-6)
    lam = max(rng(seed).beta(alpha, alpha), 0)
    np.testing.assert_allclose(np.sort(np.unique(wanted)[[0, -1]]), [wanted.min(), wanted.max()])
    partners = ((wanted - np.float32(lam) * targets) / max(1 - lam, 1e-9)).round(3)
    if lam < 0.99:
        assert set(map(tuple, partners.tolist())) <= {tuple(row) for row in np.eye(4).tolist()}


def test_mixup_takes_measurements_and_class_indices():
    inputs, labels = batch(50, 1, 2, 2)
    _, measured = Mixup(1.0)(inputs, labels[:, None].astype(np.float32), rng())
    _, classes = Mixup(1.0, classes=5)(inputs, labels, rng())
    np.testing.assert_allclose(classes @ np.arange(5), measured[:, 0], rtol=1e-4)
    with pytest.raises(ShapeError, match=r"floating targets of shape \(50, k\), got int64 \(50,\).*one_hot"):
        Mixup()(inputs, labels, rng())


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        pytest.param([0, 3], "integers from 0 to 2", id="beyond"),
        pytest.param([-1, 0], "integers from 0 to 2", id="negative"),
        pytest.param([0.0, 1.0], "got float64", id="floats"),
        pytest.param([[0], [1]], r"\(2, 1\)", id="axes"),
    ],
)
def test_one_hot_takes_class_indices_alone(labels, match):
    np.testing.assert_array_equal(one_hot(np.array([0, 2]), 3), [[1, 0, 0], [0, 0, 1]])
    with pytest.raises(ShapeError, match=match):
        one_hot(np.array(labels), 3)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: FlipHorizontal(1.5), id="flip"),
        pytest.param(lambda: FlipHorizontal(float("nan")), id="flip-nan"),
        pytest.param(lambda: RandomCrop(0), id="crop"),
        pytest.param(lambda: Cutout(0), id="cutout"),
        pytest.param(lambda: Mixup(0.0), id="mixup"),
        pytest.param(lambda: Mixup(float("inf")), id="mixup-infinite"),
    ],
)
def test_parameters_out_of_range_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


@pytest.mark.parametrize("step", [FlipHorizontal(), RandomCrop(), Cutout()], ids=lambda step: step.NAME)
def test_only_images_are_changed(step):
    with pytest.raises(ShapeError, match=r"expected images of shape \(N, C, H, W\), got \(3, 4\)"):
        step(np.zeros((3, 4)), np.zeros(3), rng())


def test_steps_follow_each_other_with_streams_of_their_own():
    """What an earlier step draws does not move the randomness of a later one."""
    images, labels = batch(8, 1, 6, 6)
    crop_alone = Compose(FlipHorizontal(0), RandomCrop(2))(images, labels, rng())[0]
    streams = rng().spawn(2)
    np.testing.assert_array_equal(crop_alone, RandomCrop(2)(images, labels, streams[1])[0])


def test_an_augmentation_is_a_value_and_survives_json():
    again = Compose.from_dict(json.loads(json.dumps(ALL.to_dict())))
    assert again == ALL
    assert hash(again) == hash(ALL)
    assert Compose.from_dict({"steps": [{"name": "cutout"}]}) == Compose(Cutout())
    assert Compose.from_dict({"steps": [{"name": "mixup", "alpha": 1, "classes": None}]}) == Compose(Mixup(1))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="no-steps"),
        pytest.param({"steps": {}}, id="steps-are-an-object"),
        pytest.param({"steps": [None]}, id="step-is-null"),
        pytest.param({"steps": [{}]}, id="no-name"),
        pytest.param({"steps": [{"name": "rotate"}]}, id="unknown"),
        pytest.param({"steps": [{"name": ["cutout"]}]}, id="name-is-a-list"),
        pytest.param({"steps": [{"name": "cutout", "alpha": 1}]}, id="a-parameter-of-another"),
        pytest.param({"steps": [{"name": "cutout", "NAME": 1}]}, id="not-a-parameter"),
        pytest.param({"steps": [{"name": "cutout", "size": "8"}]}, id="text"),
        pytest.param({"steps": [{"name": "cutout", "size": 1.5}]}, id="fraction"),
        pytest.param({"steps": [{"name": "cutout", "size": True}]}, id="boolean"),
        pytest.param({"steps": [{"name": "cutout", "size": None}]}, id="null"),
        pytest.param({"steps": [{"name": "cutout", "size": 0}]}, id="out-of-range"),
        pytest.param({"steps": [{"name": "mixup", "classes": "5"}]}, id="classes-are-text"),
    ],
)
def test_a_damaged_augmentation_is_refused(value):
    with pytest.raises(FormatError, match="augmentation"):
        Compose.from_dict(value)
