"""Training candidates: what hyperparameters mean, folds, budgets, and that the same candidate gives the same bits."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.metrics import f1_score, mean_absolute_error, r2_score, roc_auc_score, root_mean_squared_error

from nasturtium.core import Budget, Candidate, ConfigError, ModelSpec, canonical_json, optim, parse_json
from nasturtium.core.data import (
    LoadOptions,
    Preprocessing,
    dataset_from_arrays,
    load_dataset,
    random_split,
    train_validation_test,
)
from nasturtium.core.nn import Node, layer_spec
from nasturtium.nas.training import (
    OPTIMIZERS,
    SCHEDULES,
    DatasetFactory,
    EvaluatorOptions,
    Fold,
    Recipe,
    TrainingEvaluator,
    TrainingFactory,
    all_figures,
    augmentation,
    augmentation_names,
    choose_folds,
    make_folds,
    predictions,
    training_config,
)
from nasturtium.nas.training.evaluator import at_resolution
from nasturtium.nas.training.folds import shorten, shrink_images

FULL = Budget(epochs=4, total=4)


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits")
    return train_validation_test(data.take(np.arange(400)), 0)[:2]


@pytest.fixture(scope="module")
def diabetes():
    rows, values = load_diabetes(return_X_y=True)
    data = dataset_from_arrays(rows, values, LoadOptions(kind="regression"))
    return random_split(data, (0.7, 0.3), np.random.default_rng(0))


@pytest.fixture(scope="module")
def steps():
    """Sequences whose class is the sign of the sum of their first feature."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 6, 2)).astype(np.float32)
    data = dataset_from_arrays(rows, (rows[:, :, 0].sum(1) > 0).astype(int), modality="sequence")
    return random_split(data, (0.7, 0.3), rng)


def convolutional(width: int = 4) -> ModelSpec:
    layers = (
        layer_spec("conv2d", out_channels=width, kernel=3),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("max_pool2d", size=2),
        layer_spec("flatten"),
        layer_spec("dropout", rate=0.1),
        layer_spec("linear", out_features=10),
    )
    return ModelSpec((1, 8, 8), layers)


def perceptron(inputs: int, outputs: int) -> ModelSpec:
    layers = (
        layer_spec("linear", out_features=8),
        layer_spec("activation", function="tanh"),
        layer_spec("linear", out_features=outputs),
    )
    return ModelSpec((inputs,), layers)


def candidate(spec: ModelSpec, **hyperparameters) -> Candidate:
    return Candidate(id="one", spec=spec, hyperparameters=hyperparameters, seed=3)


# --- hyperparameters ---


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name, diabetes):
    rate = {"sgd": 0.05, "lion": 5e-3}.get(name, 1e-2)
    asked = candidate(perceptron(10, 1), optimizer=name, learning_rate=rate, weight_decay=0.01, momentum=0.8)
    told = TrainingEvaluator(*diabetes).evaluate(asked, Budget(epochs=15, total=15))
    assert told.objectives["val_r2"] > 0.25


def test_an_optimizer_gets_what_the_candidate_names():
    recipe = Recipe.of({"optimizer": "sgd", "learning_rate": 0.3, "weight_decay": 0.2, "momentum": 0.7})
    assert recipe.make_optimizer() == optim.SGD(learning_rate=0.3, weight_decay=0.2, momentum=0.7, nesterov=True)
    assert Recipe.of({"optimizer": "sgd", "momentum": 0.0}).make_optimizer().nesterov is False
    assert Recipe.of({"optimizer": "lion"}).make_optimizer() == optim.Lion(learning_rate=2e-3, weight_decay=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_every_schedule_stays_within_the_learning_rate(name, steps):
    factors = [Recipe(schedule=name).make_schedule(steps)(step) for step in range(steps)]
    assert min(factors) >= 0
    assert max(factors) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        ({"lr": 0.1}, "unknown hyperparameter 'lr': training understands optimizer, learning_rate"),
        ({"optimizer": "adamx"}, "unknown optimizer 'adamx': expected one of adamw"),
        ({"schedule": "cosinus"}, "unknown schedule"),
        ({"learning_rate": "fast"}, "learning_rate: expected float, got 'fast'"),
        ({"batch_size": 32.0}, "batch_size: expected int"),
        ({"batch_size": True}, "batch_size: expected int"),
        ({"label_smoothing": 1.0}, "0 <= label_smoothing < 1"),
        ({"average": -0.1}, "0 <= average < 1"),
        ({"dropout": 1.5}, "0 <= dropout < 1"),
        ({"clip_norm": -1.0}, "clip_norm >= 0"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
    ],
)
def test_what_training_does_not_understand_is_refused(hyperparameters, said):
    with pytest.raises(ConfigError, match=said):
        training_config(candidate(convolutional(), **hyperparameters), FULL)


def test_the_configuration_has_what_the_candidate_names():
    config = training_config(candidate(convolutional(), learning_rate=0.02, batch_size=16, clip_norm=2.0), FULL)
    assert (config.learning_rate, config.batch_size, config.clip_norm, config.epochs) == (0.02, 16, 2.0, 4)


def test_dropout_replaces_every_rate_however_deep():
    inner = layer_spec("residual", body=(layer_spec("dropout", rate=0.1), layer_spec("linear", out_features=4)))
    graph = layer_spec("graph", nodes=(Node("a", layer_spec("dropout", rate=0.2), ("input",)),))
    spec = ModelSpec((4,), (inner, graph, layer_spec("linear", out_features=2)))
    assert "0.45" in (text := Recipe(dropout=0.45).network(spec).to_json())
    assert text.count("0.45") == 2
    assert "0.1" not in text
    assert Recipe().network(spec) is spec


@pytest.mark.parametrize("name", ["shift", "flip", "cutout", "noise", "mixup", "shift+cutout", "flip+noise+mixup"])
def test_augmentation_changes_some_rows_and_nothing_in_place(name, digits):
    fold = Fold.of(*digits)
    before = fold.inputs.copy()
    change = augmentation(name, fold.task)
    inputs, targets = change(fold.inputs, fold.targets, np.random.default_rng(0))
    again, _ = change(fold.inputs, fold.targets, np.random.default_rng(0))
    assert np.array_equal(fold.inputs, before)
    assert np.array_equal(inputs, again)
    assert inputs.shape == before.shape
    assert inputs.dtype == np.float32
    assert not np.array_equal(inputs, before)
    assert targets.ndim == (2 if "mixup" in name else 1)


def test_a_shift_leaves_most_images_alone(digits):
    fold = Fold.of(*digits)
    inputs, _ = augmentation("shift", fold.task)(fold.inputs, fold.targets, np.random.default_rng(0))
    moved = (inputs != fold.inputs).any((1, 2, 3)).mean()
    assert 0.2 < moved < 0.4


def test_augmentation_is_what_rows_allow(diabetes, digits):
    task = diabetes[0].task
    assert augmentation("none", task) is None
    assert augmentation_names(task) == ("noise", "mixup")
    with pytest.raises(ConfigError, match="unknown augmentation 'shift' of tables: expected 'none', or some of noise"):
        augmentation("shift", task)
    with pytest.raises(ConfigError, match="stands twice"):
        augmentation("flip+flip", digits[0].task)


@pytest.mark.parametrize("name", ["noise", "mixup", "noise+mixup"])
def test_tables_and_measurements_are_augmented(name, diabetes):
    asked = candidate(perceptron(10, 1), learning_rate=0.02, augmentation=name)
    assert TrainingEvaluator(*diabetes).evaluate(asked, Budget(epochs=8, total=8)).objectives["val_r2"] > 0.2


# --- evaluations ---


def test_the_same_candidate_gives_the_same_evaluation(digits):
    asked = candidate(
        convolutional(), learning_rate=5e-3, augmentation="shift+noise", average=0.9, dropout=0.2, label_smoothing=0.1
    )
    at_once = TrainingEvaluator(*digits).evaluate(asked, FULL)
    step_by_step = TrainingEvaluator(*digits)
    for epochs in (1, 3, 4):
        told = step_by_step.evaluate(asked, Budget(epochs=epochs, total=4))
    assert told == at_once
    assert step_by_step.evaluate(asked, FULL) == at_once
    assert list(told.curves["val_accuracy"]) == [1, 2, 3, 4]


def test_an_evaluation_says_what_it_cost(digits):
    told = TrainingEvaluator(*digits).evaluate(candidate(convolutional()), FULL).objectives
    plan = convolutional().plan()
    assert (told["parameters"], told["macs"]) == (plan.parameters, plan.macs)
    assert told["model_bytes"] == 4 * (plan.parameters + plan.buffers)
    assert not {"train_seconds", "latency_ms"} & told.keys()  # a clock gives no figure twice


def test_what_a_clock_says_is_told_where_it_is_asked(digits):
    evaluator = TrainingEvaluator(*digits, measured=("train_seconds", "latency_ms"))
    told = evaluator.evaluate(candidate(convolutional()), FULL).objectives
    assert told["train_seconds"] > 0
    assert told["latency_ms"] > 0
    with pytest.raises(ConfigError, match="unknown measured figure 'joules'"):
        TrainingEvaluator(*digits, measured=("joules",))


def test_figures_are_those_of_scikit_learn(digits):
    evaluator = TrainingEvaluator(*digits)
    asked = candidate(convolutional(8), learning_rate=1e-2)
    told = evaluator.evaluate(asked, FULL).objectives
    run = evaluator.run(asked, FULL)
    probabilities, labels = np.exp(run.predicted), digits[1].labels
    assert probabilities.sum(1) == pytest.approx(1)
    assert told["val_accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean())
    assert told["val_f1"] == pytest.approx(f1_score(labels, probabilities.argmax(1), average="macro"))
    assert told["val_auroc"] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert told["val_loss"] == pytest.approx(-run.predicted[np.arange(len(labels)), labels].mean(), rel=1e-5)


def test_measurements_are_told_in_their_own_units(diabetes):
    evaluator = TrainingEvaluator(*diabetes)
    asked = candidate(perceptron(10, 1), learning_rate=2e-2)
    told = evaluator.evaluate(asked, Budget(epochs=10, total=10)).objectives
    predicted, truth = evaluator.run(asked, Budget(epochs=10, total=10)).predicted, diabetes[1].labels
    assert told["val_rmse"] == pytest.approx(root_mean_squared_error(truth, predicted))
    assert told["val_mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert told["val_r2"] == pytest.approx(r2_score(truth, predicted))
    assert told["val_loss"] == pytest.approx((told["val_rmse"] / diabetes[0].labels.std()) ** 2, rel=1e-5)
    assert "val_accuracy" not in told


def test_sequences_are_learned(steps):
    layers = (layer_spec("gru", hidden=8), layer_spec("sequence_mean"), layer_spec("linear", out_features=2))
    told = TrainingEvaluator(*steps).evaluate(
        candidate(ModelSpec((6, 2), layers), learning_rate=2e-2), Budget(epochs=10, total=10)
    )
    assert told.objectives["val_accuracy"] > 0.8


def test_divergence_is_a_result(diabetes):
    told = TrainingEvaluator(*diabetes).evaluate(
        candidate(perceptron(10, 1), optimizer="sgd", learning_rate=1e20), FULL
    )
    assert told.diverged
    assert told.objectives == {}


def test_patience_ends_a_training_at_its_best_epoch(diabetes):
    asked = candidate(perceptron(10, 1), learning_rate=0.1, schedule="constant")
    told = TrainingEvaluator(*diabetes, patience=3).evaluate(asked, Budget(epochs=200, total=200))
    losses = told.curves["val_loss"]
    best = min(losses, key=losses.__getitem__)
    assert told.epochs == best + 3 < 200
    assert told.objectives["best_epoch"] == best
    assert told.objectives["val_loss"] == losses[best]


def test_a_single_last_row_makes_no_batch(diabetes):
    """Of a batch of one row, batch normalisation would leave nothing."""
    train = diabetes[0].take(np.arange(65))
    spec = ModelSpec((10,), (layer_spec("batch_norm"), layer_spec("linear", out_features=1)))
    evaluator = TrainingEvaluator(train, diabetes[1])
    run = evaluator.run(candidate(spec, batch_size=32), Budget(epochs=1, total=1))
    assert np.isfinite(run.predicted).all()


# --- folds ---


def test_folds_predict_every_row_once(digits):
    train, validation = digits
    evaluator = TrainingEvaluator(train, validation, folds=4)
    told = evaluator.evaluate(candidate(convolutional(), learning_rate=1e-2), FULL)
    run = evaluator.run(candidate(convolutional(), learning_rate=1e-2), FULL)
    assert sorted(run.labels.tolist()) == sorted([*train.labels.tolist(), *validation.labels.tolist()])
    assert told.objectives["val_accuracy"] == pytest.approx((run.predicted.argmax(1) == run.labels).mean())
    again = TrainingEvaluator(train, validation, folds=4)
    for epochs in (2, 4):
        other = again.evaluate(candidate(convolutional(), learning_rate=1e-2), Budget(epochs=epochs, total=4))
    assert other == told


@settings(max_examples=25, deadline=None)
@given(folds=st.integers(2, 7), seed=st.integers(0, 1000))
def test_folds_have_every_class_in_proportion(folds, seed):
    labels = np.repeat(np.arange(3), [40, 25, 9])
    rows = np.arange(len(labels), dtype=np.float64)[:, None]
    data = dataset_from_arrays(rows, labels)
    made = make_folds(data.take(np.arange(0, 74, 2)), data.take(np.arange(1, 74, 2)), folds, seed)
    counts = np.array([np.bincount(fold.held_labels, minlength=3) for fold in made])
    assert counts.sum(0).tolist() == [40, 25, 9]
    assert (counts.max(0) - counts.min(0)).max() <= 1
    assert counts.sum(1).max() - counts.sum(1).min() <= 1
    held = np.concatenate([fold.held_inputs * fold.preprocessing.scale + fold.preprocessing.offset for fold in made])
    assert sorted(held.ravel().round().astype(int).tolist()) == list(range(74))  # each row once


def test_preprocessing_never_sees_the_rows_that_are_measured(diabetes):
    fold, *_ = make_folds(*diabetes, 3, 0)
    assert fold.inputs.mean() == pytest.approx(0, abs=1e-6)
    assert fold.targets.std() == pytest.approx(1, abs=1e-6)
    assert abs(fold.held_inputs.mean()) > 1e-6


@pytest.mark.parametrize(
    ("folds", "rows", "count"), [(None, 100, None), ("auto", 100, 5), ("auto", 2000, None), (3, 9, 3)]
)
def test_automatic_folds_are_for_few_rows(folds, rows, count):
    assert choose_folds(folds, rows) == count


@pytest.mark.parametrize("folds", [1, 0, 101])
def test_folds_that_cannot_be_are_refused(folds):
    with pytest.raises(ConfigError, match="expected 2 to 100 folds"):
        choose_folds(folds, 100)


# --- budgets of fewer rows and smaller images ---


@settings(max_examples=20, deadline=None)
@given(part=st.floats(0.05, 1.0), seed=st.integers(0, 99))
def test_a_part_of_the_rows_has_the_classes_in_proportion_and_grows(part, seed):
    labels = np.repeat(np.arange(4), [50, 30, 15, 5])
    data = dataset_from_arrays(np.arange(100.0)[:, None], labels)
    fold = Fold.of(data, data)
    small, large = shorten(fold, part, seed), shorten(fold, min(1.0, part * 1.5), seed)
    assert len(small.inputs) == max(1, round(100 * part))
    counts = np.bincount(small.targets, minlength=4)
    assert (np.abs(counts - part * np.bincount(labels)) <= 1.5).all()
    assert set(small.inputs.ravel()) <= set(large.inputs.ravel())


def test_fewer_rows_and_smaller_images_are_runs_of_their_own(digits):
    evaluator = TrainingEvaluator(*digits, patience=1)
    asked = candidate(convolutional(), learning_rate=5e-3)
    few = evaluator.evaluate(asked, Budget(epochs=3, total=3, rows=0.3))
    small = evaluator.evaluate(asked, Budget(epochs=3, total=3, resolution=0.5))
    assert few.epochs == small.epochs == 3  # no patience: what ends early here need not end early there
    assert small.objectives["macs"] < few.objectives["macs"]
    fresh = TrainingEvaluator(*digits, patience=1)
    full = Budget(epochs=3, total=3)
    assert evaluator.evaluate(asked, full) == fresh.evaluate(asked, full)


def test_a_resolution_that_leaves_nothing_is_raised_to_one_that_fits(digits):
    task = digits[0].task
    pools = (layer_spec("max_pool2d", size=2), layer_spec("max_pool2d", size=2), layer_spec("flatten"))
    spec = ModelSpec((1, 8, 8), (*pools, layer_spec("linear", out_features=10)))
    assert at_resolution(spec, task, 0.1).input_shape == (1, 4, 4)
    assert at_resolution(spec, task, 0.75).input_shape == (1, 6, 6)


def test_a_resolution_needs_images(diabetes):
    with pytest.raises(ConfigError, match="a lower resolution needs images, got a table"):
        TrainingEvaluator(*diabetes).evaluate(candidate(perceptron(10, 1)), Budget(epochs=1, total=1, resolution=0.5))


@pytest.mark.parametrize("side", [(4, 4), (3, 5), (8, 8), (1, 1)])
def test_shrinking_keeps_the_mean(side):
    images = np.random.default_rng(0).standard_normal((3, 2, 8, 8)).astype(np.float32)
    small = shrink_images(images, side)
    assert small.shape == (3, 2, *side)
    assert small.mean((2, 3)) == pytest.approx(images.mean((2, 3)), abs=1e-6)
    if side == (4, 4):
        assert small == pytest.approx(images.reshape(3, 2, 4, 2, 4, 2).mean((3, 5)), abs=1e-6)


# --- workers ---


@pytest.mark.parametrize("folds", [None, 3])
def test_a_worker_evaluates_as_this_process_does(folds, digits, tmp_path):
    factory = TrainingFactory.write(tmp_path, *digits, EvaluatorOptions(folds=folds))
    sent = pickle.dumps(factory)
    assert len(sent) < 1000  # no rows in it
    asked = candidate(convolutional(), learning_rate=5e-3)
    assert pickle.loads(sent)().evaluate(asked, FULL) == TrainingEvaluator(*digits, folds=folds).evaluate(asked, FULL)


def test_a_worker_whose_files_are_gone_says_so(digits, tmp_path):
    factory = TrainingFactory.write(tmp_path, *digits)
    (tmp_path / "0.inputs.npy").unlink()
    with pytest.raises(ConfigError, match="the rows to train on are gone"):
        factory()


def test_another_machine_loads_the_data_itself():
    data = load_dataset("digits")
    config = {"data": "digits", "target": None, "seed": 5, "folds": None, "device": "cpu", "trials": 3}
    factory = DatasetFactory.from_config(config, data.fingerprint)
    again = DatasetFactory.from_dict(parse_json(canonical_json(factory.to_dict())))
    assert again == factory
    asked, budget = candidate(convolutional()), Budget(epochs=1, total=1)
    train, validation, _ = train_validation_test(data, 5)
    assert again().evaluate(asked, budget) == TrainingEvaluator(train, validation, seed=5).evaluate(asked, budget)


def test_other_data_on_another_machine_is_refused():
    factory = DatasetFactory(data="digits", seed=0, fingerprint="0" * 64)
    with pytest.raises(ConfigError, match="digits is not the data of the search"):
        factory()


def test_a_description_of_another_version_is_refused():
    with pytest.raises(ConfigError, match="another version of nasturtium"):
        DatasetFactory.from_dict({"data": "digits", "seed": 0, "fingerprint": "", "moon": 1})


def test_predictions_are_in_units_and_figures_of_one_class_have_no_area():
    data = dataset_from_arrays([[1.0], [2.0], [3.0]], [10.0, 20.0, 60.0], LoadOptions(kind="regression"))
    preprocessing = Preprocessing.fit(data.inputs, data.task, data.labels)
    assert predictions(np.zeros((2, 1), np.float32), preprocessing) == pytest.approx(30.0)
    classes = dataset_from_arrays([[1.0], [2.0]], [0, 1]).task
    figures = all_figures(np.log([[0.7, 0.3]]), np.array([0]), classes, np.ones(()))
    assert "auroc" not in figures
    assert figures["accuracy"] == 1
