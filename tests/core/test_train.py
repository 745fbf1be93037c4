"""Training: reproducible, resumable, and honest about divergence."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nasturtium.core import (
    ConfigError,
    DataError,
    DTypeError,
    Metrics,
    ModelSpec,
    ShapeError,
    Tensor,
    Trainer,
    TrainingConfig,
    build,
    device,
    evaluate,
    metrics,
    optim,
    predict_logits,
)
from nasturtium.core.data import Loader
from nasturtium.core.nn import Linear, Module, Parameter, layer_spec
from nasturtium.core.train import Callback, CrossEntropy, MeanSquaredError, Reporting
from nasturtium.core.train.evaluation import EVALUATION_BATCH

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


# --- options ---


def small(**options) -> TrainingConfig:
    defaults = {"learning_rate": 0.03, "batch_size": 16, "patience": None, "epochs": 30}
    return TrainingConfig(**defaults | options)


PLAIN = ModelSpec(
    (2,),
    (
        layer_spec("linear", out_features=16),
        layer_spec("activation", function="tanh"),
        layer_spec("linear", out_features=2),
    ),
)


def plain(config: TrainingConfig, **options) -> Trainer:
    weights, shuffle = np.random.default_rng(3).spawn(2)
    return Trainer(build(PLAIN, weights), config, shuffle, **options)


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.SGD(learning_rate=0.3, momentum=0.9, nesterov=True),
        optim.RMSprop(learning_rate=0.01),
        optim.Adagrad(learning_rate=0.1),
        optim.Lion(learning_rate=0.01),
        optim.LAMB(learning_rate=0.1),
        optim.Adafactor(learning_rate=0.2),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_any_optimiser_and_schedule(optimizer):
    schedule = optim.WarmUp(steps=10, after=optim.Polynomial(steps=230))
    run = plain(small(), optimizer=optimizer, schedule=schedule)
    rates = []
    run.fit(*TRAIN, callbacks=[Reporting(lambda progress: rates.append(progress.learning_rate), every=1)])
    assert evaluate(run.model, *VALIDATION).accuracy > 0.9
    assert rates[0] == optimizer.learning_rate * schedule(0)
    assert max(rates) == optimizer.learning_rate


def test_regression_learns_a_curve():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, (200, 2)).astype(np.float32)
    targets = (np.sin(3 * inputs[:, 0]) + inputs[:, 1] ** 2).astype(np.float32)
    spec = ModelSpec((2,), (*PLAIN.layers[:2], layer_spec("linear", out_features=1)))
    criterion = MeanSquaredError(metrics={"r2": metrics.r2_score})
    config = small(epochs=80, monitor="val_r2", maximize=True)
    run = Trainer(build(spec, np.random.default_rng(0)), config, rng, criterion=criterion)
    curves = run.fit(inputs[:150], targets[:150], (inputs[150:], targets[150:]))
    assert set(curves) == {"train_loss", "val_loss", "val_mae", "val_r2"}
    assert run.best_epoch == max(curves["val_r2"], key=curves["val_r2"].__getitem__)
    run.restore_best()
    assert run.measure(inputs[150:], targets[150:])["r2"] == curves["val_r2"][run.best_epoch] > 0.9


def test_more_metrics_are_measured_and_can_end_the_run():
    """Random labels: no epoch is better for long."""
    noise = (VALIDATION[0], np.random.default_rng(0).permutation(VALIDATION[1]))
    criterion = CrossEntropy(
        metrics={
            "f1": lambda logits, labels: metrics.f1_score(logits.argmax(-1), labels, classes=2),
            "auroc": lambda logits, labels: metrics.auroc(logits[:, 1] - logits[:, 0], labels),
        }
    )
    run = plain(replace(small(epochs=200), patience=4, monitor="val_auroc", maximize=True), criterion=criterion)
    areas = run.fit(*TRAIN, noise)["val_auroc"]
    assert run.best_epoch == max(areas, key=areas.__getitem__)
    assert run.epoch == run.best_epoch + 4 < 200


def test_a_training_loss_can_be_monitored_without_validation():
    run = plain(small(epochs=5, monitor="train_loss"))
    losses = run.fit(*TRAIN)["train_loss"]
    assert run.best_epoch == min(losses, key=losses.__getitem__)


def test_the_best_model_need_not_be_kept():
    run = plain(small(epochs=2), keep_best=False)
    run.fit(*TRAIN, VALIDATION)
    assert run.best_epoch > 0
    with pytest.raises(ConfigError, match=r"not kept .*keep_best=True"):
        run.restore_best()


@pytest.mark.parametrize("micro_batch_size", [1, 5, 16, 100])
def test_micro_batches_take_the_steps_of_whole_batches(micro_batch_size):
    whole, parts = plain(small(epochs=3)), plain(small(epochs=3, micro_batch_size=micro_batch_size))
    whole.fit(*TRAIN)
    parts.fit(*TRAIN)
    assert whole.step == parts.step == 3 * 8
    for name, array in whole.model.state().items():
        np.testing.assert_allclose(parts.model.state()[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    assert parts.curves["train_loss"] == pytest.approx(whole.curves["train_loss"], rel=1e-4)


def test_gradients_are_clipped():
    """Plain gradient descent at rate 1 moves by the clipped gradient."""
    run = plain(small(epochs=1, clip_norm=1e-3), optimizer=optim.SGD(learning_rate=1.0), schedule=optim.Constant())
    norms, places = [], [np.concatenate([array.ravel() for array in run.model.state().values()])]

    class Watch(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            norms.append(trainer.gradient_norm)
            places.append(np.concatenate([array.ravel() for array in trainer.model.state().values()]))

    run.fit(*TRAIN, callbacks=[Watch()])
    assert len(norms) == 8
    assert min(norms) > 1e-3
    for before, after in pairwise(places):
        assert np.linalg.norm(after - before) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_mixed_precision_learns_and_leaves_float32(precision):
    seen = set()

    class Watch(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            seen.update(parameter.dtype.name for parameter in trainer.model.parameters())

    run = plain(small(epochs=40, precision=precision))
    run.fit(*TRAIN, VALIDATION, callbacks=[Watch()])
    assert seen == {precision}
    assert {array.dtype.name for array in run.model.state().values()} == {"float32"}
    assert evaluate(run.model, *VALIDATION).accuracy > 0.9


def test_a_step_that_overflows_is_left_out():
    """Scaled beyond float16's range the first gradients are infinite: the scale falls until they are not."""
    scaler = optim.LossScaler(initial=2.0**24, backoff=2.0**-4)
    run = plain(small(epochs=4, precision="float16"), scaler=scaler)
    run.fit(*TRAIN)
    assert 0 < run.step < 4 * 8
    assert np.isfinite(list(run.curves["train_loss"].values())).all()


def test_an_average_is_measured_and_brought_forth():
    run = plain(small(epochs=4), average=optim.EMA(decay=0.9))
    run.fit(*TRAIN, VALIDATION)
    last = evaluate(run.model, *VALIDATION).loss
    with run.averaged():
        averaged = evaluate(run.model, *VALIDATION).loss
    assert run.curves["val_loss"][4] == averaged != last
    assert evaluate(run.model, *VALIDATION).loss == last
    run.restore_best()
    assert evaluate(run.model, *VALIDATION).loss == min(run.curves["val_loss"].values())


def test_an_average_without_memory_is_the_last_model():
    run = plain(small(epochs=2), average=optim.EMA(decay=0.0))
    run.fit(*TRAIN)
    last = run.model.state()
    with run.averaged():
        assert_same_state(run.model, Fixed(last))
    assert not np.array_equal(last["layers.0.weight"], plain(small()).model.state()["layers.0.weight"])


class Fixed(Module):
    """Has a given state."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.given = state

    def state(self) -> dict[str, np.ndarray]:
        return self.given


def test_the_best_of_a_model_in_half_precision_comes_back_rounded():
    """The masters are put back, and what computes follows."""
    model = build(PLAIN, np.random.default_rng(3))
    for name in ("0", "2"):
        layer = model.find(f"layers.{name}")
        layer.weight = Parameter(layer.weight.data.astype(np.float16))
    run = Trainer(model, small(epochs=9, learning_rate=1.0, schedule="constant"), np.random.default_rng(0))
    noise = (VALIDATION[0], np.random.default_rng(0).permutation(VALIDATION[1]))
    losses = run.fit(*TRAIN, noise)["val_loss"]
    run.restore_best()
    assert run.best_epoch < 9
    assert run.measure(*noise)["loss"] == losses[run.best_epoch]


class Tied(Module):
    """The second layer is the first one, transposed or not."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = Linear(2, 2, rng=rng)
        self.second = Linear(2, 2, rng=rng)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu() if hasattr(x, "relu") else self.first(x))


def test_tied_parameters_stay_tied():
    model = Tied(np.random.default_rng(0))
    run = Trainer(model, small(epochs=2), np.random.default_rng(1))
    before = model.first.weight.data.copy()
    run.fit(*TRAIN)
    assert model.first.weight is model.second.weight
    assert (model.first.weight.data != before).all()


def test_frozen_parameters_stay():
    model = build(PLAIN, np.random.default_rng(0))
    frozen, *rest = model.parameters()
    frozen.requires_grad = False
    before = [parameter.data.copy() for parameter in (frozen, *rest)]
    Trainer(model, small(epochs=1), np.random.default_rng(1)).fit(*TRAIN)
    np.testing.assert_array_equal(frozen.data, before[0])
    assert all((now.data != was).any() for now, was in zip(rest, before[1:], strict=True))


# --- loaders ---


def loader(**options) -> Loader:
    """Batches with noise on the inputs, drawn by the loader."""

    def noise(inputs, targets, rng):
        return inputs + np.float32(0.05) * rng.standard_normal(inputs.shape, np.float32), targets

    return Loader(*TRAIN, **{"batch_size": 16, "augment": noise, **options})


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_loader_trains_and_every_epoch_differs(prefetch):
    run, again = plain(small()), plain(small())
    run.fit_batches(loader(prefetch=prefetch), VALIDATION)
    assert evaluate(run.model, *VALIDATION).accuracy > 0.9
    assert run.step == 30 * 8
    again.fit_batches(loader(prefetch=2 - prefetch), VALIDATION)
    assert again.curves == run.curves
    still = plain(small(learning_rate=1e-30, epochs=3))  # what differs is the noise
    assert len(set(still.fit_batches(loader())["train_loss"].values())) == 3


def test_a_loader_without_shuffling_gives_its_own_order():
    """The batch size is the loader's, and every row counts once in the mean."""
    run = plain(small(epochs=1, learning_rate=1e-30))
    losses = []
    run.fit_batches(loader(batch_size=50, shuffle=False, augment=None), callbacks=[Reporting(losses.append, every=1)])
    each = [evaluate(run.model, TRAIN[0][s], TRAIN[1][s]) for s in np.s_[:50, 50:100, 100:]]
    assert [progress.loss for progress in losses[:2]] == pytest.approx([counts.loss for counts in each[:2]], rel=1e-5)
    assert run.curves["train_loss"][1] == pytest.approx(evaluate(run.model, *TRAIN).loss, rel=1e-5)


class Stopped(Exception):
    pass


class StopAfter(Callback):
    """Ends a call in the middle of an epoch."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            raise Stopped


def test_an_epoch_is_finished_by_what_it_was_begun_with():
    arrays, loaded = plain(small()), plain(small())
    with pytest.raises(Stopped):
        arrays.fit(*TRAIN, callbacks=[StopAfter(3)])
    with pytest.raises(DataError, match="begun on arrays"):
        arrays.fit_batches(loader())
    with pytest.raises(Stopped):
        loaded.fit_batches(loader(), callbacks=[StopAfter(3)])
    with pytest.raises(DataError, match="begun on a loader"):
        loaded.fit(*TRAIN)


def test_a_loader_of_another_dtype_is_refused():
    wide = Loader(TRAIN[0].astype(np.float64), TRAIN[1], batch_size=8)
    with pytest.raises(DTypeError, match="float32, got float64"):
        plain(small()).fit_batches(wide)


# --- devices ---


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_training_on_another_device_stays_there(precision, strict_cupy):
    """The stand-in for CuPy refuses whatever would copy silently."""
    config = small(epochs=2, clip_norm=1.0, precision=precision)
    there = plain(config, device=device("cuda:0"), average=optim.EMA())
    here = plain(config, average=optim.EMA())
    for run in (there, here):
        run.fit(*TRAIN, VALIDATION)
        run.restore_best()
    for name, curve in here.curves.items():
        assert there.curves[name] == pytest.approx(curve, rel=1e-4), name
    assert {str(tensor.device) for _, tensor in there.model.named_tensors()} == {"cuda:0"}
    again = plain(config, device=device("cuda:0"), average=optim.EMA())
    again.restore(there.snapshot())
    assert again.curves == there.curves


# --- callbacks ---


def test_callbacks_are_called_in_order_and_see_the_run():
    calls = []

    class Watch(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_step_end(self, trainer: Trainer) -> None:
            calls.append((self.name, "step", trainer.step))

        def on_epoch_end(self, trainer: Trainer) -> None:
            calls.append((self.name, "epoch", trainer.epoch))

        def on_fit_end(self, trainer: Trainer) -> None:
            calls.append((self.name, "end", trainer.epoch))

    plain(small(epochs=2, batch_size=100)).fit(*TRAIN, callbacks=[Watch("a"), Watch("b")])
    one = [("step", 1), ("step", 2), ("epoch", 1), ("step", 3), ("step", 4), ("epoch", 2), ("end", 2)]
    assert calls == [(name, *call) for call in one for name in "ab"]


def test_progress_is_reported():
    seen = []
    run = plain(small(epochs=2, batch_size=50))
    run.fit(*TRAIN, VALIDATION, callbacks=[Reporting(seen.append, every=2)])
    assert [(p.epoch, p.step, p.batch) for p in seen] == [(0, 2, 2), (1, 3, 0), (1, 4, 1), (1, 6, 3), (2, 6, 0)]
    assert {(p.epochs, p.batches) for p in seen} == {(2, 3)}
    assert all(np.isfinite(p.loss) and p.learning_rate > 0 for p in seen)
    assert seen[0].figures == {}
    assert seen[-1].figures == {name: curve[2] for name, curve in run.curves.items()}


def test_a_callback_can_end_the_run():
    class Stop(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.step == 9:
                trainer.stop()

    run = plain(small())
    run.fit(*TRAIN, callbacks=[Stop()])
    assert (run.epoch, run.step, run.finished) == (2, 16, True)


def test_a_callback_that_measures_does_not_change_the_run():
    """Evaluation mode ends with it: batch statistics and dropout go on."""

    class Measure(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            trainer.measure(*VALIDATION)

    watched, alone = trainer(), trainer()
    watched.fit(*TRAIN, callbacks=[Measure()])
    alone.fit(*TRAIN)
    assert watched.curves == alone.curves
    assert_same_state(watched.model, alone.model)


# --- what is refused ---


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda: plain(small()).fit(TRAIN[0], TRAIN[1][:5]), ShapeError, "120 inputs and 5", id="rows"),
        pytest.param(lambda: plain(small()).fit(TRAIN[0][:0], TRAIN[1][:0]), DataError, "no rows", id="no-rows"),
        pytest.param(
            lambda: plain(small()).fit(TRAIN[0].astype(float), TRAIN[1]),
            DTypeError,
            r"float32, got float64 .*inputs.astype\('float32'\)",
            id="inputs-dtype",
        ),
        pytest.param(
            lambda: plain(small()).fit(TRAIN[0], TRAIN[1].astype(float)),
            DTypeError,
            "integer labels",
            id="labels-dtype",
        ),
        pytest.param(
            lambda: plain(small(), criterion=MeanSquaredError()).fit(TRAIN[0], TRAIN[1].astype(np.float32)),
            ShapeError,
            r"targets' shape \(16,\), got \(16, 2\)",
            id="regression-shape",
        ),
        pytest.param(
            lambda: plain(small(), criterion=MeanSquaredError()).fit(TRAIN[0], np.zeros((120, 2))),
            DTypeError,
            "dtype float32, got float64",
            id="regression-dtype",
        ),
        pytest.param(
            lambda: plain(small(monitor="val_f1")).fit(*TRAIN, VALIDATION),
            ConfigError,
            "'val_f1' is none of train_loss, val_loss, val_accuracy",
            id="monitor",
        ),
        pytest.param(
            lambda: plain(small(label_smoothing=0.1), criterion=CrossEntropy()),
            ConfigError,
            "label_smoothing belongs to the criterion",
            id="two-smoothings",
        ),
        pytest.param(
            lambda: CrossEntropy(metrics={"accuracy": lambda *_: 0.0}), ConfigError, "already: accuracy", id="metric"
        ),
        pytest.param(lambda: Reporting(print, every=0), ConfigError, "every >= 1, got 0", id="reporting"),
    ],
)
def test_what_cannot_be_trained_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


# --- evaluation ---


class Constant(Module):
    """Says the same of every row."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, np.float32)

    def forward(self, x):
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
    assert Metrics(6.0, 1, 4) + Metrics(1.0, 2, 3) == Metrics(7.0, 3, 7)


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
        pytest.param({"micro_batch_size": 0}, "micro_batch_size >= 1, got 0", id="micro-batch"),
        pytest.param({"clip_norm": 0.0}, "clip_norm > 0 and finite, got 0", id="clip"),
        pytest.param({"precision": "float8"}, "float16, bfloat16, got 'float8'", id="precision"),
    ],
)
def test_a_configuration_out_of_range_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        TrainingConfig(**options)


@pytest.mark.parametrize(
    ("criterion", "outputs", "targets"),
    [
        pytest.param(CrossEntropy(label_smoothing=0.1), (5, 3), np.array([0, 2, 1, 1, 0]), id="classes"),
        pytest.param(CrossEntropy(), (5, 3, 2), np.arange(10).reshape(5, 2) % 3, id="classes-of-pixels"),
        pytest.param(MeanSquaredError(), (5, 1), np.linspace(-1, 1, 5), id="one-value"),
        pytest.param(MeanSquaredError(), (5, 2, 3), np.linspace(-1, 1, 30).reshape(5, 2, 3), id="values"),
    ],
)
def test_the_loss_is_the_mean_of_the_losses_of_the_rows(criterion, outputs, targets):
    values = Tensor(np.random.default_rng(0).standard_normal(outputs))
    losses = criterion.losses(values, Tensor(targets))
    assert losses.shape == (5,)
    assert float(losses.mean()) == pytest.approx(float(criterion.loss(values, targets)), rel=1e-12)
