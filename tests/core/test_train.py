"""Training: reproducible, resumable, and honest about divergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ConfigError, Metrics, ModelSpec, Trainer, TrainingConfig, build, evaluate, predict_logits
from nasturtium.core.nn import Module, layer_spec
from nasturtium.core.train import EVALUATION_BATCH, cosine_schedule

SPEC = ModelSpec(
    (2,),
    (
        layer_spec("linear", out_features=8),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("dropout", rate=0.2),
        layer_spec("linear", out_features=2),
    ),
)
CONFIG = TrainingConfig(learning_rate=0.05, batch_size=16, epochs=6, patience=None)


def rings(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, one around the other: no line separates them, a small network does."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, rows), 0.5 + labels + rng.uniform(-0.2, 0.2, rows)
    inputs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return inputs.astype(np.float32), labels.astype(np.int64)


TRAIN, VALIDATION = rings(120, 0), rings(60, 1)


def trainer(config: TrainingConfig = CONFIG, seed: int = 0) -> Trainer:
    weights, shuffle = np.random.default_rng(seed).spawn(2)
    return Trainer(build(SPEC, weights), config, shuffle)


def assert_same_state(a: Module, b: Module) -> None:
    for name, array in a.state().items():
        np.testing.assert_array_equal(b.state()[name], array, err_msg=name)


@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["plain", "validated"])
@pytest.mark.parametrize("stops", [(2, 6), (1, 2, 3, 6), (6, 6)], ids=str)
def test_training_in_parts_gives_the_bits_of_training_at_once(stops, validation):
    whole, parts = trainer(), trainer()
    whole.fit(*TRAIN, validation, until=6)
    for stop in stops:
        curves = parts.fit(*TRAIN, validation, until=stop)
        assert parts.epoch == stop
    assert curves == whole.curves
    assert_same_state(parts.model, whole.model)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first, second, other = trainer(seed=1), trainer(seed=1), trainer(seed=2)
    for run in (first, second, other):
        run.fit(*TRAIN)
    assert first.curves == second.curves != other.curves
    assert_same_state(first.model, second.model)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_it_learns_what_no_line_separates(schedule):
    run = trainer(TrainingConfig(learning_rate=0.03, schedule=schedule, batch_size=16, epochs=40, patience=None))
    run.fit(*TRAIN)
    assert run.finished
    assert evaluate(run.model, *VALIDATION).accuracy > 0.95


def test_curves_have_one_value_an_epoch():
    run = trainer()
    curves = run.fit(*TRAIN, VALIDATION, until=3)
    assert set(curves) == {"train_loss", "val_loss", "val_accuracy"}
    assert all(list(curve) == [1, 2, 3] for curve in curves.values())
    assert set(trainer().fit(*TRAIN, until=1)) == {"train_loss"}


def test_patience_ends_training_and_the_best_weights_come_back():
    """Random labels in validation: no epoch is better for long."""
    noise = (VALIDATION[0], np.random.default_rng(0).permutation(VALIDATION[1]))
    run = trainer(replace(CONFIG, epochs=200, patience=3, schedule="constant"))
    curves = run.fit(*TRAIN, noise)
    losses = curves["val_loss"]
    assert run.finished
    assert run.best_epoch == min(losses, key=losses.__getitem__)
    assert run.epoch == run.best_epoch + 3 < 200
    assert evaluate(run.model, *noise).loss != losses[run.best_epoch]
    run.restore_best()
    assert evaluate(run.model, *noise).loss == losses[run.best_epoch]


def test_a_finished_run_does_not_go_on():
    run = trainer()
    run.fit(*TRAIN)
    before = run.model.state()
    run.fit(*TRAIN, until=100)
    assert run.epoch == CONFIG.epochs
    for name, array in run.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_restore_best_without_validation_changes_nothing():
    run = trainer()
    run.fit(*TRAIN, until=1)
    before = run.model.state()
    run.restore_best()
    for name, array in run.model.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert run.best_epoch == 0


@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["plain", "validated"])
def test_divergence_is_flagged_and_ends_the_run(validation):
    """No exception and no warning: a search meets this often."""
    run = trainer(replace(CONFIG, learning_rate=1e30, schedule="constant"))
    curves = run.fit(*TRAIN, validation)
    assert run.diverged
    assert run.finished
    assert run.epoch < CONFIG.epochs or not np.isfinite(list(curves["train_loss"].values())[-1])


def test_divergence_in_validation_alone_is_flagged():
    rows = np.full((3, 2), np.float32(3e38))
    run = trainer()
    run.fit(*TRAIN, (rows, np.array([0, 1, 0])))
    assert (run.diverged, run.epoch) == (True, 1)


@pytest.mark.parametrize("total", [1, 2, 7, 100, 1000])
def test_the_schedule_rises_to_one_and_falls_to_zero(total):
    factors = np.array([cosine_schedule(step, total) for step in range(total)])
    peak = int(factors.argmax())
    assert factors[peak] == 1
    assert peak <= max(1, total * 0.05)
    assert (np.diff(factors[: peak + 1]) > 0).all()
    assert (np.diff(factors[peak + 1 :]) < 0).all()
    assert (factors > 0).all()
    assert cosine_schedule(total, total) == pytest.approx(0, abs=1e-12) or total == 1


def test_the_schedule_is_half_way_down_in_the_middle():
    assert cosine_schedule(5 + 95 // 2, 100) == pytest.approx(0.5, abs=0.02)


# --- evaluation ---


class Constant(Module):
    """Says the same of every row."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, np.float32)

    def forward(self, x):
        from nasturtium.core import Tensor

        return Tensor(np.tile(self.logits, (x.shape[0], 1)))


@pytest.mark.parametrize(
    "rows", [1, EVALUATION_BATCH - 1, EVALUATION_BATCH, EVALUATION_BATCH + 1, 3 * EVALUATION_BATCH]
)
def test_evaluate_counts_every_row_once(rows):
    labels = np.arange(rows) % 3
    metrics = evaluate(Constant(0.0, 1.0, 2.0), np.zeros((rows, 2), np.float32), labels)
    exact = np.log(np.exp([0.0, 1.0, 2.0]).sum()) - np.array([0.0, 1.0, 2.0])[labels]
    assert (metrics.rows, metrics.correct) == (rows, int((labels == 2).sum()))
    assert metrics.loss_sum == pytest.approx(exact.sum(), rel=1e-5)
    assert metrics.loss == pytest.approx(exact.mean(), rel=1e-5)


def test_metrics_are_ratios_of_their_counts():
    assert (Metrics(6.0, 1, 4).loss, Metrics(6.0, 1, 4).accuracy) == (1.5, 0.25)


def test_predicting_no_rows_gives_no_rows():
    assert predict_logits(build(SPEC, np.random.default_rng(0)), np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_prediction_does_not_depend_on_the_other_rows():
    """Evaluation uses running statistics and drops nothing."""
    run = trainer()
    run.fit(*TRAIN, until=2)
    together = predict_logits(run.model, VALIDATION[0])
    alone = np.concatenate([predict_logits(run.model, row[None]) for row in VALIDATION[0]])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"learning_rate": 0.0}, "learning_rate > 0", id="no-rate"),
        pytest.param({"learning_rate": float("nan")}, "learning_rate > 0", id="nan-rate"),
        pytest.param({"weight_decay": -1.0}, "weight_decay >= 0", id="decay"),
        pytest.param({"batch_size": 0}, "batch_size, epochs and patience >= 1", id="batch"),
        pytest.param({"epochs": 0}, "got 64, 0 and 8", id="epochs"),
        pytest.param({"patience": 0}, "got 64, 30 and 0", id="patience"),
        pytest.param({"label_smoothing": 1.0}, "label_smoothing < 1, got 1.0", id="smoothing"),
        pytest.param({"schedule": "linear"}, "cosine, constant, got 'linear'", id="schedule"),
    ],
)
def test_a_configuration_out_of_range_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        TrainingConfig(**options)
