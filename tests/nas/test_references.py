"""Simple models against scikit-learn's, and how their settings are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from nasturtium.core import ConfigError
from nasturtium.core.data import LoadOptions, dataset_from_arrays, random_split, stratified_split
from nasturtium.nas.finale import REFERENCES
from nasturtium.nas.finale.linear import fit_logistic, fit_ridge, minimise, ridge_left_out
from nasturtium.nas.finale.neighbours import NearestNeighbours, fit_kernel, neighbour_means, squared_distances
from nasturtium.nas.finale.references import choose_settings, fit_reference, flat, reference_names
from nasturtium.nas.training import Fold, make_folds


@pytest.fixture(scope="module")
def measurements():
    rows, values = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(rows), (values[:, None] - values.mean()) / values.std()


@pytest.fixture(scope="module", params=["wine", "breast_cancer"])
def classes(request):
    rows, labels = {"wine": load_wine, "breast_cancer": load_breast_cancer}[request.param](return_X_y=True)
    return StandardScaler().fit_transform(rows), labels


def one_hot(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == np.unique(labels)).astype(np.float64)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 300.0])
def test_ridge_is_that_of_scikit_learn(alpha, measurements):
    rows, targets = measurements
    theirs = Ridge(alpha=alpha).fit(rows + 3, targets)
    ours = fit_ridge(rows + 3, targets, alpha)
    assert ours.weights.ravel() == pytest.approx(theirs.coef_.ravel(), abs=1e-8)
    assert ours(rows) == pytest.approx(theirs.predict(rows).reshape(-1, 1), abs=1e-8)


def test_left_out_predictions_are_those_of_leaving_out(measurements):
    rows, targets = (part[:30] for part in measurements)
    said = ridge_left_out(rows, targets, np.array([0.5, 20.0]))
    for place, alpha in enumerate([0.5, 20.0]):
        for row in range(30):
            rest = np.arange(30) != row
            alone = Ridge(alpha=alpha).fit(rows[rest], targets[rest]).predict(rows[[row]])
            assert said[place, row, 0] == pytest.approx(float(alone.ravel()[0]), abs=1e-8)


def test_ridge_chooses_scikit_learns_alpha(measurements):
    rows, targets = measurements
    alphas = np.logspace(-3, 5, 25)
    errors = ((ridge_left_out(rows, targets, alphas) - targets) ** 2).mean((1, 2))
    assert alphas[errors.argmin()] == pytest.approx(RidgeCV(alphas).fit(rows, targets).alpha_)


def test_ridge_takes_more_features_than_rows():
    rng = np.random.default_rng(0)
    rows, targets = rng.standard_normal((8, 20)), rng.standard_normal((8, 2))
    theirs = Ridge(alpha=0.3).fit(rows, targets)
    assert pytest.approx(theirs.coef_, abs=1e-8) == fit_ridge(rows, targets, 0.3).weights.T


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_logistic_regression_is_that_of_scikit_learn(c, classes):
    rows, labels = classes
    count = len(np.unique(labels))
    ours = fit_logistic(rows, labels, count, c)(rows)
    # Two classes are one row of weights there and two here, which together are penalised half as much.
    theirs = LogisticRegression(C=2 * c if count == 2 else c, tol=1e-10, max_iter=10_000).fit(rows, labels)
    logits = theirs.decision_function(rows)
    if count == 2:
        assert ours[:, 1] - ours[:, 0] == pytest.approx(logits, rel=0.01, abs=0.02)
    else:
        assert ours - ours.mean(1, keepdims=True) == pytest.approx(logits, rel=0.01, abs=0.02)


def test_a_warm_start_ends_at_the_same_model(classes):
    rows, labels = classes
    count = len(np.unique(labels))
    cold = fit_logistic(rows, labels, count, 1.0)
    warm = fit_logistic(rows, labels, count, 1.0, start=fit_logistic(rows, labels, count, 0.01))
    assert warm(rows) == pytest.approx(cold(rows), abs=0.01)


def test_minimise_finds_the_bottom_of_a_narrow_bowl():
    scales = np.logspace(0, 4, 12)
    found = minimise(
        lambda x: (float((scales * (x - 1) ** 2).sum()), 2 * scales * (x - 1)), np.zeros(12), tolerance=1e-9
    )
    assert found == pytest.approx(np.ones(12), abs=1e-4)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_neighbours_are_those_of_scikit_learn(count, classes, measurements):
    rows, labels = classes
    fitted, held = np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)
    ours = NearestNeighbours(rows[fitted], one_hot(labels)[fitted], count)(rows[held])
    theirs = KNeighborsClassifier(count).fit(rows[fitted], labels[fitted]).predict_proba(rows[held])
    assert ours == pytest.approx(theirs)
    rows, targets = measurements
    ours = neighbour_means(rows[:300], targets[:300], rows[300:], [1, count])[1]
    assert ours == pytest.approx(KNeighborsRegressor(count).fit(rows[:300], targets[:300]).predict(rows[300:]))


def test_more_neighbours_than_rows_are_all_rows():
    rows, targets = np.arange(4.0)[:, None], np.arange(4.0)[:, None]
    assert NearestNeighbours(rows, targets, 100)(np.zeros((2, 1))) == pytest.approx(1.5)


@pytest.mark.parametrize(("gamma", "alpha"), [(0.01, 0.1), (0.3, 5.0)])
def test_the_kernel_machine_is_scikit_learns_kernel_ridge(gamma, alpha, measurements):
    rows, targets = measurements
    theirs = KernelRidge(kernel="rbf", gamma=gamma, alpha=alpha).fit(rows[:300], targets[:300] - targets[:300].mean())
    ours = fit_kernel(rows[:300], targets[:300], gamma, alpha)
    assert ours(rows[300:]) == pytest.approx(theirs.predict(rows[300:]) + targets[:300].mean(), abs=1e-8)


def test_distances_are_never_negative():
    rows = np.random.default_rng(0).standard_normal((20, 50)) * 1e6
    distances = squared_distances(rows, rows)
    assert distances.min() >= 0
    assert distances == pytest.approx(((rows[:, None] - rows) ** 2).sum(-1), abs=1)


def test_the_kernel_machine_is_as_good_as_a_support_vector_machine_on_digits():
    rows, labels = load_digits(return_X_y=True)
    ours, theirs = [], []
    for seed in (1,):
        fitted, held = train_test_split(np.arange(len(rows)), test_size=0.25, stratify=labels, random_state=seed)
        data = dataset_from_arrays(rows[fitted].reshape(-1, 8, 8), labels[fitted])
        train, validation = stratified_split(data, (0.75, 0.25), np.random.default_rng(seed))
        chosen = choose_settings("kernel", [Fold.of(train, validation)])
        whole = dataset_from_arrays(rows.reshape(-1, 8, 8), labels)
        fold = Fold.of(whole.take(fitted), whole.take(held))
        model = fit_reference(chosen, fold.inputs, fold.targets, fold.task)
        ours.append((model(flat(fold.held_inputs)).argmax(1) == labels[held]).mean())
        theirs.append(SVC(C=10, gamma=0.001).fit(rows[fitted], labels[fitted]).score(rows[held], labels[held]))
    assert np.mean(ours) > np.mean(theirs) - 0.003
    assert np.mean(ours) > 0.985


@pytest.mark.parametrize("folds", [None, 3])
def test_settings_are_chosen_by_rows_that_were_not_fitted_on(folds):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((240, 2))
    data = dataset_from_arrays(rows, (np.sin(3 * rows[:, 0]) > 0).astype(int))
    train, validation = stratified_split(data, (0.7, 0.3), rng)
    made = make_folds(train, validation, folds, 0)
    chosen = {name: choose_settings(name, made) for name in reference_names(data.task)}
    losses = {name: each.loss[0] for name, each in chosen.items()}
    assert losses["kernel"] < losses["logistic"] < losses["constant"] + 1e-9
    held = sum(len(fold.held_labels) for fold in made)
    assert all(each.outputs.shape == (held, 2) for each in chosen.values())


def test_every_reference_fits_its_tasks(measurements):
    rows, _ = measurements
    rng = np.random.default_rng(0)
    several = dataset_from_arrays(rows, rng.standard_normal((len(rows), 2)), LoadOptions(kind="regression"))
    train, held = random_split(several, (0.8, 0.2), rng)
    fold = Fold.of(train, held)
    assert reference_names(several.task) == ["constant", "ridge", "neighbours", "kernel"]
    for name in reference_names(several.task):
        model = fit_reference(choose_settings(name, [fold]), fold.inputs, fold.targets, fold.task)
        assert model(flat(fold.held_inputs)).shape == (len(held), 2)
    assert all(reference.description for reference in REFERENCES.values())


def test_an_unknown_reference_is_refused():
    data = dataset_from_arrays(np.arange(8.0)[:, None], [0, 1] * 4)
    with pytest.raises(ConfigError, match="unknown reference 'forest'"):
        choose_settings("forest", [Fold.of(data, data)])
