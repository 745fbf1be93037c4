"""Losses against PyTorch, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DTypeError, ShapeError, Tensor, grad, ops, per_sample_gradients, vmap

from .torch_parity import DTYPES, agree, draw, torch

F = torch.nn.functional
REDUCTIONS = ("mean", "sum", "none")
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def labels_for(seed: int, shape: tuple[int, ...], classes: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, classes, shape)


@each_dtype
@each_reduction
@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(1, 6),
    classes=st.integers(1, 6),
    spatial=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    weighted=st.booleans(),
    ignored=st.booleans(),
    scale=st.sampled_from([1.0, 100.0]),
    seed=SEEDS,
)
def test_cross_entropy_with_class_indices(
    rows, classes, spatial, smoothing, weighted, ignored, scale, seed, reduction, dtype
):
    labels = labels_for(seed, (rows, *spatial), classes)
    if ignored:
        labels[np.random.default_rng(seed).random(labels.shape) < 0.3] = -100
        labels.flat[0] = 0  # PyTorch's mean over no label is NaN, ours 0
    logits, weight = draw(seed, (rows, classes, *spatial), (classes,))
    weight = np.abs(weight).astype(dtype) + 0.1 if weighted else None
    agree(
        lambda x: ops.cross_entropy(
            x,
            labels,
            label_smoothing=smoothing,
            weight=weight,
            ignore_index=-100 if ignored else None,
            reduction=reduction,
        ),
        lambda x: F.cross_entropy(
            x,
            torch.tensor(labels),
            label_smoothing=smoothing,
            weight=None if weight is None else torch.tensor(weight),
            reduction=reduction,
        ),
        [scale * logits],
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(1, 5),
    classes=st.integers(1, 5),
    spatial=st.lists(st.integers(1, 3), max_size=1).map(tuple),
    smoothing=st.sampled_from([0.0, 0.2]),
    weighted=st.booleans(),
    seed=SEEDS,
)
def test_cross_entropy_with_class_probabilities(rows, classes, spatial, smoothing, weighted, seed, reduction, dtype):
    """Probabilities have gradients too, as in distillation."""
    logits, target, weight = draw(seed, (rows, classes, *spatial), (rows, classes, *spatial), (classes,))
    target = np.exp(target) / np.exp(target).sum(1, keepdims=True)
    weight = np.abs(weight).astype(dtype) + 0.1 if weighted else None
    agree(
        lambda x, p: ops.cross_entropy(x, p, label_smoothing=smoothing, weight=weight, reduction=reduction),
        lambda x, p: F.cross_entropy(
            x,
            p,
            label_smoothing=smoothing,
            weight=None if weight is None else torch.tensor(weight),
            reduction=reduction,
        ),
        [logits, target],
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 6), classes=st.integers(1, 5), weighted=st.booleans(), ignore=st.booleans(), seed=SEEDS)
def test_nll_loss(rows, classes, weighted, ignore, seed, reduction, dtype):
    labels = labels_for(seed, (rows,), classes)
    if ignore:
        labels[1:] = np.where(np.random.default_rng(seed).random(rows - 1) < 0.5, classes, labels[1:])
    scores, weight = draw(seed, (rows, classes), (classes,))
    weight = np.abs(weight).astype(dtype) + 0.1 if weighted else None
    agree(
        lambda x: ops.nll_loss(x, labels, weight=weight, ignore_index=classes if ignore else None, reduction=reduction),
        lambda x: F.nll_loss(
            x,
            torch.tensor(labels),
            weight=None if weight is None else torch.tensor(weight),
            ignore_index=classes if ignore else -100,
            reduction=reduction,
        ),
        [scores],
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES, weighted=st.booleans(), positive=st.booleans(), scale=st.sampled_from([1.0, 60.0]), seed=SEEDS)
def test_binary_cross_entropy_with_logits(shape, weighted, positive, scale, seed, reduction, dtype):
    logits, target, weight, pos_weight = draw(seed, shape, shape, shape, shape[-1:])
    target, weight, pos_weight = 1 / (1 + np.exp(-target)), np.abs(weight), np.abs(pos_weight) + 0.1
    extra = {"weight": weight} if weighted else {}
    extra |= {"pos_weight": pos_weight} if positive else {}
    agree(
        lambda x, z: ops.binary_cross_entropy_with_logits(
            x, z, reduction=reduction, **{k: v.astype(dtype) for k, v in extra.items()}
        ),
        lambda x, z: F.binary_cross_entropy_with_logits(
            x, z, reduction=reduction, **{k: torch.tensor(v.astype(dtype)) for k, v in extra.items()}
        ),
        [scale * logits, target],
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES, seed=SEEDS)
def test_binary_cross_entropy(shape, seed, reduction, dtype):
    p, target = (1 / (1 + np.exp(-x)) for x in draw(seed, shape, shape))
    agree(
        lambda x, z: ops.binary_cross_entropy(x, z, reduction=reduction),
        lambda x, z: F.binary_cross_entropy(x, z, reduction=reduction),
        [p, target],
        dtype=dtype,
    )


def test_binary_cross_entropy_of_a_certain_mistake_is_100_nats():
    loss = ops.binary_cross_entropy(Tensor([0.0, 1.0]), np.array([1.0, 0.0], np.float32), reduction="none")
    np.testing.assert_allclose(loss.data, [100.0, 100.0], rtol=1e-2)  # e^-100 is subnormal in float32


PAIRS = {
    "mse": (ops.mse_loss, F.mse_loss, {}),
    "l1": (ops.l1_loss, F.l1_loss, {}),
    "huber": (ops.huber_loss, F.huber_loss, {"delta": 0.7}),
    "smooth-l1": (ops.smooth_l1_loss, F.smooth_l1_loss, {"beta": 0.4}),
    "kl-of-logarithms": (ops.kl_div, F.kl_div, {"log_target": True}),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@each_dtype
@each_reduction
@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=10, deadline=None)
@given(shape=SHAPES, seed=SEEDS)
def test_losses_of_pairs(name, shape, seed, reduction, dtype):
    ours, theirs, options = PAIRS[name]
    agree(
        lambda a, b: ours(a, b, reduction=reduction, **options),
        lambda a, b: theirs(a, b, reduction=reduction, **options),
        draw(seed, shape, shape),
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(shape=SHAPES, seed=SEEDS)
def test_kl_div_takes_targets_of_zero(shape, seed, dtype):
    scores, target = draw(seed, shape, shape)
    target = np.maximum(target, 0)
    agree(
        lambda a: ops.kl_div(a, target.astype(dtype), reduction="sum"),
        lambda a: F.kl_div(a, torch.tensor(target.astype(dtype)), reduction="sum"),
        [scores],
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 4), features=st.integers(1, 4), axis=st.sampled_from([0, 1, -1]), seed=SEEDS)
def test_cosine_similarity(rows, features, axis, seed, dtype):
    agree(
        lambda a, b: ops.cosine_similarity(a, b, axis=axis),
        lambda a, b: F.cosine_similarity(a, b, dim=axis),
        draw(seed, (rows, features), (rows, features)),
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 6), features=st.integers(2, 4), margin=st.sampled_from([0.0, 0.3]), seed=SEEDS)
def test_cosine_embedding_loss(rows, features, margin, seed, reduction, dtype):
    sides = np.random.default_rng(seed).choice([-1, 1], rows)
    agree(
        lambda a, b: ops.cosine_embedding_loss(a, b, sides, margin=margin, reduction=reduction),
        lambda a, b: F.cosine_embedding_loss(a, b, torch.tensor(sides), margin=margin, reduction=reduction),
        draw(seed, (rows, features), (rows, features)),
        dtype=dtype,
    )


@each_dtype
@each_reduction
@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(1, 6),
    classes=st.integers(2, 5),
    power=st.sampled_from([1, 2]),
    margin=st.sampled_from([0.5, 1.0]),
    seed=SEEDS,
)
def test_multi_margin_loss(rows, classes, power, margin, seed, reduction, dtype):
    labels = labels_for(seed, (rows,), classes)
    agree(
        lambda x: ops.multi_margin_loss(x, labels, power=power, margin=margin, reduction=reduction),
        lambda x: F.multi_margin_loss(x, torch.tensor(labels), p=power, margin=margin, reduction=reduction),
        draw(seed, (rows, classes)),
        dtype=dtype,
    )


def test_hinge_loss_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (extra: test)")
    (scores,) = draw(0, (50,))
    sides = np.where(draw(1, (50,))[0] > 0, 1, -1)
    assert float(ops.hinge_loss(Tensor(scores), sides)) == pytest.approx(metrics.hinge_loss(sides, scores))


def test_one_sample_has_a_loss_too():
    (logits,) = draw(0, (5,))
    loss = ops.cross_entropy(Tensor(logits), np.asarray(3))
    expected = F.cross_entropy(torch.tensor(logits), torch.tensor(3))
    assert float(loss) == pytest.approx(float(expected))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_single_samples_under_vmap_are_those_of_the_batch(smoothing):
    (logits,) = draw(0, (6, 4))
    labels = labels_for(0, (6,), 4)
    together = ops.cross_entropy(Tensor(logits), labels, label_smoothing=smoothing, reduction="none")
    mapped = vmap(lambda x, y: ops.cross_entropy(x, y, label_smoothing=smoothing))(Tensor(logits), Tensor(labels))
    np.testing.assert_allclose(mapped.data, together.data, rtol=1e-12)


def test_per_sample_gradients_of_a_loss_add_up_to_its_gradient():
    logits, weight = draw(0, (6, 3), (3, 4))
    labels = labels_for(0, (6,), 4)
    w = Tensor(weight, requires_grad=True)
    losses, (apart,) = per_sample_gradients(
        lambda x, y: ops.cross_entropy(x @ w, y, reduction="none"), [w], Tensor(logits), Tensor(labels)
    )
    total = ops.cross_entropy(Tensor(logits) @ w, labels, reduction="sum")
    assert losses.shape == (6,)
    np.testing.assert_allclose(apart.data.sum(0), grad(total, [w])[0].data, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, np.ones(3)], ids=["plain", "weighted"])
def test_the_loss_of_no_sample_is_zero(reduction, weight):
    logits = Tensor(np.zeros((0, 3)), requires_grad=True)
    loss = ops.cross_entropy(logits, np.zeros(0, int), weight=weight, reduction=reduction)
    assert float(loss) == 0
    assert grad(loss, [logits])[0].shape == (0, 3)
    everything_ignored = ops.cross_entropy(
        Tensor(np.zeros((2, 3))), np.array([7, 7]), weight=weight, ignore_index=7, reduction=reduction
    )
    assert float(everything_ignored) == 0


def test_an_ignored_label_hides_what_is_not_a_number():
    logits = np.zeros((2, 3))
    logits[1] = np.nan
    x = Tensor(logits, requires_grad=True)
    loss = ops.cross_entropy(x, np.array([0, -1]), ignore_index=-1)
    assert float(loss) == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(
            lambda x: ops.cross_entropy(x, np.array([0, 1])), ShapeError, r"labels \(N,\), got \(3, 4\)", id="count"
        ),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.array([0, 1, 4])), ShapeError, r"\[0, 4\), got 0 to 4", id="high"
        ),
        pytest.param(lambda x: ops.cross_entropy(x, np.array([0, -1, 1])), ShapeError, r"got -1 to 1", id="negative"),
        pytest.param(lambda x: ops.cross_entropy(x, np.ones(3)), DTypeError, "expected integer labels", id="floats"),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.ones((3, 5))), ShapeError, "of the shape of the logits", id="soft"
        ),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.zeros(3, int), label_smoothing=1.0), ConfigError, "< 1, got 1.0", id="all"
        ),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.zeros(3, int), reduction="avg"), ConfigError, "got 'avg'", id="reduction"
        ),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.zeros(3, int), weight=np.ones(3)), ShapeError, "4 classes", id="weights"
        ),
        pytest.param(
            lambda x: ops.cross_entropy(x, np.ones((3, 4)), ignore_index=1), ConfigError, "class indices", id="ignore"
        ),
        pytest.param(lambda x: ops.nll_loss(x, np.ones(3)), DTypeError, "expected integer labels", id="nll"),
        pytest.param(lambda x: ops.mse_loss(x, np.ones(3)), ShapeError, "of one shape", id="would-broadcast"),
        pytest.param(lambda x: ops.huber_loss(x, np.ones((3, 4)), delta=0.0), ConfigError, "delta > 0", id="delta"),
        pytest.param(lambda x: ops.smooth_l1_loss(x, np.ones((3, 4)), beta=0.0), ConfigError, "beta > 0", id="beta"),
        pytest.param(lambda x: ops.multi_margin_loss(x, np.zeros(3)), DTypeError, "expected integers", id="margin"),
    ],
)
def test_what_makes_no_loss_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(Tensor(np.zeros((3, 4))))
