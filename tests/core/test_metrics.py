"""Metrics against scikit-learn, and the laws of their counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError, DataError, DTypeError, ShapeError, metrics
from nasturtium.core.metrics import ConfusionMatrix, ErrorSums, ScoreHistogram

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (extra: test)")

CLASSES = 4
labels_of = st.integers(1, 40).flatmap(
    lambda rows: st.tuples(*[hnp.arrays(np.int64, rows, elements=st.integers(0, CLASSES - 1))] * 2)
)
numbers = st.floats(-1e3, 1e3, width=32)


@pytest.fixture(autouse=True)
def reference_may_warn():
    """scikit-learn warns of what it then defines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- classes ---


@given(labels_of)
def test_confusion_matrix_and_accuracy(rows):
    predicted, labels = rows
    matrix = ConfusionMatrix.of(predicted, labels, classes=CLASSES)
    np.testing.assert_array_equal(matrix.counts, sk.confusion_matrix(labels, predicted, labels=range(CLASSES)))
    np.testing.assert_array_equal(matrix.counts, metrics.confusion_matrix(predicted, labels, classes=CLASSES))
    assert matrix.rows == len(labels)
    assert matrix.accuracy == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-15)
    assert metrics.accuracy(predicted, labels) == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-15)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(metrics.precision, sk.precision_score, id="precision"),
        pytest.param(metrics.recall, sk.recall_score, id="recall"),
        pytest.param(metrics.f1_score, sk.f1_score, id="f1"),
    ],
)
@given(rows=labels_of)
def test_precision_recall_and_f1(ours, theirs, average, rows):
    predicted, labels = rows
    expected = theirs(labels, predicted, average=average, zero_division=0)
    assert ours(predicted, labels, classes=CLASSES, average=average) == pytest.approx(expected, abs=1e-12)


@given(labels_of)
def test_figures_of_each_class(rows):
    predicted, labels = rows
    ours = ConfusionMatrix.of(predicted, labels, classes=CLASSES).per_class()
    theirs = sk.precision_recall_fscore_support(labels, predicted, labels=range(CLASSES), zero_division=0)
    for mine, wanted in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(mine, wanted, atol=1e-12)


@given(rows=labels_of, cut=st.integers(1, 39))
def test_matrices_of_parts_add_up(rows, cut):
    predicted, labels = rows
    whole = ConfusionMatrix.of(predicted, labels, classes=CLASSES)
    cut = min(cut, len(labels) - 1)
    if cut:
        first, second = (ConfusionMatrix.of(predicted[s], labels[s], classes=CLASSES) for s in np.s_[:cut, cut:])
        np.testing.assert_array_equal((first + second).counts, whole.counts)


@given(
    scores=hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(CLASSES)), elements=st.integers(-3, 3)),
    k=st.integers(1, CLASSES),
    seed=st.integers(0, 9),
)
def test_top_k_accuracy_with_ties(scores, k, seed):
    labels = np.random.default_rng(seed).integers(0, CLASSES, len(scores))
    expected = sk.top_k_accuracy_score(labels, scores, k=k, labels=range(CLASSES))
    assert metrics.top_k_accuracy(scores, labels, k=k) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_log_loss(dtype, data):
    shape = (data.draw(st.integers(1, 20)), data.draw(st.integers(2, 5)))
    raw = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    raw[:, 0] += 0.1
    probabilities = (raw / raw.sum(1, keepdims=True)).astype(dtype)
    labels = data.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    expected = sk.log_loss(labels, probabilities, labels=range(shape[1]))
    assert metrics.log_loss(probabilities, labels) == pytest.approx(expected, rel=1e-5, abs=1e-6)


# --- ranking ---


def both(labels: np.ndarray, classes: int = 2) -> np.ndarray:
    """The labels with every class there at least once."""
    return np.concatenate([labels, np.arange(classes)])


@given(st.data())
def test_binary_auroc_with_ties(data):
    labels = both(data.draw(hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(0, 1))))
    scores = data.draw(hnp.arrays(np.float64, len(labels), elements=st.sampled_from([-1.0, 0.0, 0.5, 1e-9, 2.0])))
    assert metrics.auroc(scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("average", ["macro", "weighted"])
@given(data=st.data())
def test_auroc_of_each_class_against_the_rest(average, data):
    labels = both(data.draw(hnp.arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 2))), 3)
    raw = data.draw(hnp.arrays(np.float64, (len(labels), 3), elements=st.sampled_from([0.1, 0.2, 0.3, 0.7])))
    scores = raw / raw.sum(1, keepdims=True)
    expected = sk.roc_auc_score(labels, scores, multi_class="ovr", average=average)
    assert metrics.auroc(scores, labels, average=average) == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**32), rows=st.integers(0, 50))
def test_auroc_asks_for_the_order_alone(seed, rows):
    """And turns over with the scores."""
    rng = np.random.default_rng(seed)
    labels, scores = both(rng.integers(0, 2, rows)), rng.standard_normal(rows + 2).round(1)
    area = metrics.auroc(scores, labels)
    assert metrics.auroc(np.exp(scores) * 7, labels) == pytest.approx(area)
    assert metrics.auroc(-scores, labels) == pytest.approx(1 - area)


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 60), bins=st.sampled_from([2, 10, 1000]))
def test_a_histogram_has_the_auroc_of_binned_scores(seed, rows, bins):
    rng = np.random.default_rng(seed)
    labels, scores = both(rng.integers(0, 2, rows)), rng.random(rows + 2)
    halves = [ScoreHistogram.of(scores[s], labels[s], bins=bins) for s in np.s_[:-1, -1:]]
    binned = np.floor(scores * bins)
    assert (halves[0] + halves[1]).auroc == pytest.approx(sk.roc_auc_score(labels, binned), abs=1e-12)


def test_a_fine_histogram_is_close_to_the_exact_area():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.15), 0, 1)
    assert ScoreHistogram.of(scores, labels).auroc == pytest.approx(metrics.auroc(scores, labels), abs=1e-3)


# --- regression ---

pairs = st.tuples(st.integers(2, 30), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=numbers)] * 2)
)


@given(pairs)
def test_errors(rows):
    predicted, targets = rows
    assert metrics.mean_squared_error(predicted, targets) == pytest.approx(
        sk.mean_squared_error(targets.astype(float), predicted.astype(float)), rel=1e-9
    )
    assert metrics.mean_absolute_error(predicted, targets) == pytest.approx(
        sk.mean_absolute_error(targets.astype(float), predicted.astype(float)), rel=1e-9
    )
    assert metrics.root_mean_squared_error(predicted[:, 0], targets[:, 0]) == pytest.approx(
        sk.root_mean_squared_error(targets[:, 0].astype(float), predicted[:, 0].astype(float)), rel=1e-9
    )


@given(rows=pairs, shift=st.sampled_from([0.0, 1e4]))
def test_r2(rows, shift):
    predicted, targets = (array.astype(np.float64) + shift for array in rows)
    targets[0] += 3
    targets[1] -= 4
    if (targets.std(0) < 1e-3).any():
        return
    expected = sk.r2_score(targets, predicted)
    assert metrics.r2_score(predicted, targets) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert metrics.r2_score(predicted[:, 0], targets[:, 0]) == pytest.approx(
        sk.r2_score(targets[:, 0], predicted[:, 0]), rel=1e-8, abs=1e-8
    )


def test_outputs_far_apart_keep_their_own_mean():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((50, 2)) + np.array([1e9, 0.0])
    predicted = targets + 0.1 * rng.standard_normal((50, 2))
    assert metrics.r2_score(predicted, targets) == pytest.approx(sk.r2_score(targets, predicted), rel=1e-6)


@given(rows=pairs, cut=st.integers(1, 29), center=numbers)
def test_sums_of_parts_add_up(rows, cut, center):
    predicted, targets = rows
    cut = min(cut, len(targets) - 1)
    whole = ErrorSums.of(predicted, targets, center=center)
    first, second = (ErrorSums.of(predicted[s], targets[s], center=center) for s in np.s_[:cut, cut:])
    both = first + second
    assert both.rows == whole.rows
    for name in ("squared", "absolute", "offset", "offset_squared"):
        np.testing.assert_allclose(getattr(both, name), getattr(whole, name), rtol=1e-9, atol=1e-6)
    assert both.mean_squared_error == pytest.approx(whole.mean_squared_error, rel=1e-9)


# --- what is not defined ---

Y, P = np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])
ROWS = np.full((4, 3), 1 / 3)
EMPTY = np.zeros(0, np.int64)
REFUSED = [
    pytest.param(lambda: metrics.accuracy(EMPTY, EMPTY), DataError, "at least one row", id="accuracy-of-no-rows"),
    pytest.param(lambda: metrics.accuracy(P, Y[:3]), ShapeError, "4 predictions and 3 targets", id="accuracy-rows"),
    pytest.param(lambda: metrics.accuracy(P.astype(float), Y), DTypeError, "integers, got float64", id="float-labels"),
    pytest.param(lambda: metrics.accuracy(P[:, None], Y), ShapeError, r"\(N,\), got \(4, 1\)", id="columns"),
    pytest.param(
        lambda: metrics.f1_score(P, Y, classes=2), DataError, r"labels in \[0, 2\), got 0 to 2", id="class-out-of-range"
    ),
    pytest.param(lambda: metrics.f1_score(P, -Y, classes=3), DataError, "got -2 to 0", id="negative-class"),
    pytest.param(
        lambda: metrics.f1_score(P, Y, classes=3, average="binary"), ConfigError, "got 'binary'", id="average"
    ),
    pytest.param(
        lambda: ConfusionMatrix.of(P, Y, classes=3) + ConfusionMatrix.of(P, Y, classes=4),
        ShapeError,
        r"\(3, 3\) and \(4, 4\)",
        id="matrices-of-other-classes",
    ),
    pytest.param(lambda: ConfusionMatrix(np.zeros((2, 2), int)).accuracy, DataError, "no rows", id="empty-matrix"),
    pytest.param(lambda: ConfusionMatrix(np.zeros((2, 2), int)).f1(), DataError, "no rows", id="f1-of-empty-matrix"),
    pytest.param(lambda: metrics.top_k_accuracy(ROWS, Y, k=4), ConfigError, "1 <= k <= 3, got 4", id="k"),
    pytest.param(lambda: metrics.top_k_accuracy(ROWS * np.nan, Y, k=1), DataError, "finite scores", id="nan-scores"),
    pytest.param(lambda: metrics.top_k_accuracy(Y, Y, k=1), ShapeError, r"\(N, classes\)", id="scores-of-one-axis"),
    pytest.param(lambda: metrics.log_loss(2 * ROWS, Y), DataError, "sum to 1", id="no-distribution"),
    pytest.param(lambda: metrics.log_loss(ROWS, Y + 1), DataError, r"\[0, 3\), got 1 to 3", id="log-loss-label"),
    pytest.param(lambda: metrics.log_loss(ROWS.astype(int), Y), DTypeError, "floating", id="integer-probabilities"),
    pytest.param(lambda: metrics.auroc(np.ones(4), np.ones(4, int)), DataError, "got 4 and 0", id="one-class-only"),
    pytest.param(lambda: metrics.auroc(ROWS, P), DataError, "class 2 and of others, got 0 and 4", id="a-class-missing"),
    pytest.param(
        lambda: metrics.auroc(np.ones(4), Y), DataError, r"\[0, 2\), got 0 to 2", id="three-classes-one-score"
    ),
    pytest.param(lambda: metrics.auroc(np.ones((4, 1)), Y), ShapeError, "classes >= 2", id="one-column"),
    pytest.param(lambda: metrics.auroc(ROWS, Y, average="micro"), ConfigError, "got 'micro'", id="auroc-average"),
    pytest.param(lambda: ScoreHistogram.of(np.ones(2) * 2, P[:2]), DataError, "2.0 to 2.0", id="no-probability"),
    pytest.param(lambda: ScoreHistogram.of(np.ones(2), P[:2], bins=1), ConfigError, "bins >= 2", id="bins"),
    pytest.param(lambda: ScoreHistogram.of(np.ones(1), P[:1]).auroc, DataError, "both classes", id="histogram-class"),
    pytest.param(
        lambda: metrics.r2_score(np.array([1.0, 2.0]), np.array([0.1, 0.1])),
        DataError,
        "2 rows without spread",
        id="r2",
    ),
    pytest.param(lambda: metrics.r2_score(np.ones(1), np.ones(1)), DataError, "1 rows", id="r2-of-one-row"),
    pytest.param(
        lambda: metrics.mean_squared_error(np.ones((3, 1)), np.ones(3)), ShapeError, r"\(3, 1\) and \(3,\)", id="shapes"
    ),
    pytest.param(lambda: metrics.mean_squared_error(np.ones(0), np.ones(0)), DataError, "at least one", id="no-rows"),
    pytest.param(
        lambda: metrics.mean_absolute_error(np.array([np.inf]), np.ones(1)), DataError, "finite predictions", id="inf"
    ),
    pytest.param(lambda: metrics.mean_absolute_error(Y, Y), DTypeError, "floating numbers, got int64", id="integers"),
    pytest.param(
        lambda: ErrorSums.of(ROWS, ROWS) + ErrorSums.of(ROWS, ROWS, center=1.0), ShapeError, "about", id="centers"
    ),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED)
def test_what_is_not_defined_is_an_error(call, error, match):
    with pytest.raises(error, match=match):
        call()


@settings(max_examples=20)
@given(st.integers(2, 200), st.floats(-1e6, 1e6))
def test_equal_targets_have_no_r2_whatever_their_value(rows, value):
    """Rounding in their mean must not pass for spread."""
    with pytest.raises(DataError, match="without spread"):
        metrics.r2_score(np.zeros(rows), np.full(rows, value))
