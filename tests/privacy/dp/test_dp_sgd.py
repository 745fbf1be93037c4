"""Training by DP-SGD: what a step does, what it counts, what it refuses, and that it learns."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from nasturtium.core import (
    ConfigError,
    FormatError,
    GradientError,
    MeanSquaredError,
    Tensor,
    Trainer,
    TrainingConfig,
    grad,
    load_checkpoint,
    nn,
    ops,
    optim,
    save_checkpoint,
)
from nasturtium.core.data import Loader
from nasturtium.core.train import Callback
from nasturtium.privacy.dp import dp_sgd
from nasturtium.privacy.dp.accountant import Accountant, Budget
from nasturtium.privacy.dp.dp_sgd import DpSgd, PrivateTrainer
from nasturtium.privacy.dp.events import GaussianRelease

PRIVACY = DpSgd(clip_norm=1.0, noise_multiplier=1.1)
CONFIG = TrainingConfig(batch_size=16, epochs=3, schedule="constant", patience=None)
SILENT = DpSgd(clip_norm=1e5, noise_multiplier=1e-12)  # clips nothing; its grid is as fine as float32


def rings(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, one around the other."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, rows), 0.5 + labels
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), labels.astype(np.int64)


def network(*, features: int = 2, hidden: int = 8, classes: int = 2, dropout: float | None = None) -> nn.Module:
    rng = np.random.default_rng(0)
    layers = [nn.Linear(features, hidden, rng=rng), nn.Activation("tanh"), nn.Linear(hidden, classes, rng=rng)]
    return nn.Sequential(*layers[:2], *([] if dropout is None else [nn.Dropout(dropout, rng=rng)]), layers[2])


def trainer(
    config: TrainingConfig = CONFIG,
    privacy: DpSgd = PRIVACY,
    model: nn.Module | None = None,
    *,
    random_bytes: Callable[[int], bytes] | None = None,
    **options: Any,
) -> PrivateTrainer:
    source = random_bytes or np.random.default_rng(0).bytes
    return PrivateTrainer(model or network(), config, np.random.default_rng(0), privacy, random_bytes=source, **options)


def parameters(model: nn.Module) -> np.ndarray:
    return np.concatenate([parameter.data.ravel() for parameter in model.parameters()])


def no_noise(count: int) -> bytes:
    """Noise of zero; and samples without a row, where there is not the chance of 1."""
    return b"\xff" * count


class Script:
    """Samples of rows that are told beforehand, and noise from a seed, or none."""

    def __init__(self, rows: int, batches: list[list[int]], *, noise: Callable[[int], bytes] = no_noise) -> None:
        self.rows, self.batches, self.noise = rows, list(batches), noise

    def __call__(self, count: int) -> bytes:
        if count != 8 * self.rows:
            return self.noise(count)
        words = np.full(self.rows, 2**64 - 1, np.uint64)
        words[self.batches.pop(0)] = 0
        return words.tobytes()


# --- a step ---


@pytest.mark.parametrize("micro_batch_size", [None, 7])
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(optim.SGD(learning_rate=0.5, momentum=0.9), id="sgd"),
        pytest.param(optim.AdamW(learning_rate=0.05), id="adamw"),
    ],
)
def test_without_noise_and_clipping_all_rows_are_trained_on_as_by_a_trainer(optimizer, micro_batch_size):
    inputs, labels = rings(32)
    config = replace(CONFIG, batch_size=32, epochs=5, micro_batch_size=micro_batch_size)
    plain = Trainer(network(), config, np.random.default_rng(0), optimizer=optimizer)
    private = trainer(config, SILENT, random_bytes=no_noise, optimizer=optimizer)
    expected, found = plain.fit(inputs, labels), private.fit(inputs, labels)
    assert list(found["train_loss"].values()) == pytest.approx(list(expected["train_loss"].values()), rel=1e-5)
    np.testing.assert_allclose(parameters(private.model), parameters(plain.model), rtol=1e-3, atol=1e-5)


def test_a_step_divides_by_the_expected_number_of_rows_not_by_the_number_there_is():
    inputs, labels = rings(8)
    model = network()
    before, wanted = parameters(model), [1, 4, 6]
    loss = ops.cross_entropy(model(Tensor(inputs[wanted])), labels[wanted]) * 3.0  # the sum
    expected = np.concatenate([g.data.ravel() for g in grad(loss, model.parameters())]) / 4
    private = trainer(
        replace(CONFIG, batch_size=4, epochs=1),
        SILENT,
        model,
        random_bytes=Script(8, [wanted, []]),
        optimizer=optim.SGD(learning_rate=1.0),
    )
    private.fit(inputs, labels)
    np.testing.assert_allclose(before - parameters(model), expected, rtol=1e-4, atol=1e-6)


def test_the_noise_of_a_step_has_the_deviation_that_is_accounted_for():
    """Empty samples: what moves the parameters is noise alone, of deviation clip * multiplier / expected rows."""
    inputs, labels = rings(8)
    model = network(hidden=10_000)
    before = parameters(model)
    private = trainer(
        replace(CONFIG, batch_size=4, epochs=1),
        DpSgd(clip_norm=0.5, noise_multiplier=3.0),
        model,
        random_bytes=Script(8, [[], []], noise=np.random.default_rng(1).bytes),
        optimizer=optim.SGD(learning_rate=2.0),
    )
    curves = private.fit(inputs, labels)
    moved = (before - parameters(model)) / 2.0
    assert moved.std() == pytest.approx(0.5 * 3.0 / 4 * np.sqrt(2), rel=0.02)  # two steps
    assert abs(moved.mean()) < 4 * moved.std() / np.sqrt(moved.size)
    assert private.step == 2
    assert sum(private.releases.values()) == 2
    assert curves["train_loss"] == {1: 0.0}


def test_the_noise_of_a_run_comes_from_the_operating_system():
    inputs, labels = rings(16)
    ends: list[np.ndarray] = []
    for _ in range(2):
        private = PrivateTrainer(
            network(), replace(CONFIG, epochs=1), np.random.default_rng(0), PRIVACY, optimizer=optim.SGD()
        )
        private.fit(inputs, labels)
        ends.append(parameters(private.model))
    assert not np.any(ends[0] == ends[1])


def test_dropout_draws_from_generators_that_nobody_has_the_seed_of():
    masks: list[np.ndarray] = []
    for _ in range(2):
        shared = np.random.default_rng(0)
        model = nn.Sequential(nn.Dropout(0.5, rng=shared), nn.Linear(64, 2, rng=np.random.default_rng(1)))
        state = shared.bit_generator.state
        PrivateTrainer(model, CONFIG, np.random.default_rng(0), PRIVACY)
        dropout = next(module for module in model.modules() if isinstance(module, nn.Dropout))
        masks.append(dropout(Tensor(np.ones((4, 64), np.float32))).data)
        assert shared.bit_generator.state == state
    assert not np.array_equal(masks[0], masks[1])


def test_a_record_that_is_not_finite_ends_nothing():
    inputs, labels = rings(64)
    inputs[5] = np.nan
    curves = trainer().fit(inputs, labels)
    assert len(curves["train_loss"]) == 3
    assert np.isfinite(list(curves["train_loss"].values())).all()


def test_a_model_that_is_not_finite_ends_the_run():
    inputs, labels = rings(64)
    private = trainer(privacy=replace(PRIVACY, noise_multiplier=1e3), optimizer=optim.SGD(learning_rate=1e38))
    private.fit(inputs, labels)
    assert private.diverged
    assert private.epoch == 1


# --- what is counted ---


def test_every_step_is_a_release_that_was_planned():
    inputs, labels = rings(100)
    private = trainer()
    release = GaussianRelease(noise_multiplier=1.1, sampling_probability=0.16)
    assert private.planned(100) == {release: 21}
    assert private.planned(100, until=1) == {release: 7}
    private.fit(inputs, labels, until=1)
    assert private.releases == {release: 7}
    assert private.planned(100, until=1) == {}
    assert private.planned(100) == {release: 14}
    private.fit(inputs, labels)
    assert private.releases == {release: 21}
    assert private.planned(100) == {}


def test_other_data_give_releases_of_their_own():
    private = trainer()
    for rows, until in ((64, 1), (8, 2)):
        private.fit(*rings(rows), until=until)
    assert private.releases == {
        GaussianRelease(noise_multiplier=1.1, sampling_probability=0.25): 4,
        GaussianRelease(noise_multiplier=1.1, sampling_probability=1.0): 1,
    }


def test_releases_cannot_be_taken_back():
    private = trainer()
    with pytest.raises(TypeError):
        private.releases[GaussianRelease(noise_multiplier=1.1)] = 0


class StopAfter(Callback):
    """Ends the run in the middle of an epoch, as a crash would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.steps:
            raise KeyboardInterrupt


def test_a_run_goes_on_from_a_checkpoint_with_its_count(tmp_path: Path):
    inputs, labels = rings(64)
    first, second = trainer(), trainer()
    with pytest.raises(KeyboardInterrupt):
        first.fit(inputs, labels, callbacks=[StopAfter(6)])
    path = save_checkpoint(tmp_path / "run", first)
    load_checkpoint(path, second)
    release = GaussianRelease(noise_multiplier=1.1, sampling_probability=0.25)
    assert second.releases == first.releases == {release: 6}
    assert second.planned(64) == {release: 6}
    second.fit(inputs, labels)
    assert second.releases == {release: 12}
    assert second.step == 12


def test_going_back_to_a_checkpoint_takes_no_release_back(tmp_path: Path):
    inputs, labels = rings(64)
    private = trainer()
    private.fit(inputs, labels, until=1)
    path = save_checkpoint(tmp_path / "run", private)
    private.fit(inputs, labels, until=2)
    load_checkpoint(path, private)
    assert private.step == 4
    assert sum(private.releases.values()) == 8


RELEASED = {"event": "GaussianRelease", "noise_multiplier": 1.1, "sampling_probability": 0.25}


@pytest.mark.parametrize(
    "releases",
    [
        pytest.param(None, id="missing"),
        pytest.param([3], id="no-object"),
        pytest.param([RELEASED], id="no-count"),
        pytest.param([RELEASED | {"count": 0}], id="never"),
        pytest.param([RELEASED | {"count": True}], id="no-number"),
        pytest.param([RELEASED | {"count": 3, "noise_multiplier": -1.1}], id="negative-noise"),
        pytest.param([RELEASED | {"count": 3, "noise_multiplier": "much"}], id="text"),
        pytest.param([{"event": "ExactRelease", "what": "a model", "count": 3}], id="other-event"),
    ],
)
def test_a_checkpoint_whose_count_is_damaged_is_refused(releases):
    private = trainer()
    snapshot = private.snapshot()
    with pytest.raises(FormatError):
        private.restore(replace(snapshot, document={**snapshot.document, "releases": releases}))
    assert private.releases == {}


def test_a_checkpoint_of_other_noise_is_refused(tmp_path: Path):
    path = save_checkpoint(tmp_path / "run", trainer())
    with pytest.raises(FormatError, match="privacy"):
        load_checkpoint(path, trainer(privacy=replace(PRIVACY, noise_multiplier=1.2)))


# --- what is refused ---


class MeanOnly:
    """A criterion that does not tell the loss of each row."""

    def loss(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        return ops.cross_entropy(outputs, targets)

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return {"loss": 0.0}


@pytest.mark.parametrize(
    ("config", "options", "match"),
    [
        pytest.param({"precision": "bfloat16"}, {}, "expected precision 'float32'", id="bfloat16"),
        pytest.param({"precision": "float16"}, {}, "expected precision 'float32'", id="float16"),
        pytest.param({}, {"scaler": optim.LossScaler()}, "no scaler", id="scaler"),
        pytest.param({"monitor": "train_loss"}, {}, "is not protected", id="best-by-training-loss"),
        pytest.param({}, {"criterion": MeanOnly()}, "MeanOnly does not tell the loss of each row", id="mean-only"),
    ],
)
def test_what_would_break_the_promise_is_refused(config, options, match):
    with pytest.raises(ConfigError, match=match):
        trainer(replace(CONFIG, **config), **options)


@pytest.mark.parametrize("name", ["clip_norm", "noise_multiplier"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_clipping_and_noise_are_positive_and_finite(name, value):
    with pytest.raises(ConfigError, match=f"expected {name} > 0"):
        replace(PRIVACY, **{name: value})


def test_the_batches_of_a_loader_are_refused():
    with pytest.raises(ConfigError, match="no Poisson samples"):
        trainer().fit_batches(Loader(*rings(32), batch_size=8))


def test_batch_norm_is_refused_before_anything_is_released():
    model = nn.Sequential(nn.Linear(2, 4, rng=np.random.default_rng(0)), nn.BatchNorm(4))
    private = trainer(model=model)
    with pytest.raises(GradientError, match="mixes the samples") as caught:
        private.fit(*rings(32))
    assert "GroupNorm" in caught.value.hint
    assert private.releases == {}


# --- what is learned ---


def accuracies(inputs: np.ndarray, labels: np.ndarray, private: PrivateTrainer) -> tuple[float, float]:
    """Trains on four fifths within a budget, and measures the rest; gives accuracy and epsilon at delta 1e-4."""
    inputs = ((inputs - inputs.mean(0)) / (inputs.std(0) + 1e-6)).astype(np.float32)
    train, test = np.split(np.random.default_rng(0).permutation(len(inputs)), [len(inputs) * 4 // 5])
    spent = Budget(epsilon=3.0, delta=1e-4).authorise(private.planned(len(train)).items())[1]
    private.fit(inputs[train], labels[train])
    counted = Accountant()
    for release, count in private.releases.items():
        counted.add(release, count)
    assert counted.epsilon(1e-4) == spent.epsilon
    return private.measure(inputs[test], labels[test])["accuracy"], spent.epsilon


def test_a_classifier_of_tumours_learns_within_a_small_epsilon():
    """Without privacy, a linear model is right about 0.97 of these 114 rows; without learning, about 0.6."""
    private = trainer(
        TrainingConfig(batch_size=64, epochs=10, schedule="constant", patience=None),
        DpSgd(clip_norm=1.0, noise_multiplier=3.0),
        nn.Sequential(nn.Linear(30, 2, rng=np.random.default_rng(0))),
        optimizer=optim.SGD(learning_rate=0.5),
    )
    accuracy, epsilon = accuracies(*load_breast_cancer(return_X_y=True), private)
    assert epsilon < 1.6
    assert accuracy > 0.9


def test_a_network_for_digits_learns_within_a_usual_epsilon():
    private = trainer(
        TrainingConfig(batch_size=128, epochs=20, schedule="constant", patience=None),
        DpSgd(clip_norm=1.0, noise_multiplier=2.0),
        network(features=64, hidden=32, classes=10),
        optimizer=optim.SGD(learning_rate=1.0, momentum=0.5),
    )
    accuracy, epsilon = accuracies(*load_digits(return_X_y=True), private)
    assert epsilon < 2.9
    assert accuracy > 0.85


class Slope(nn.Module):
    """A linear map of any dtype."""

    def __init__(self, features: int, dtype: type[np.floating]) -> None:
        self.weight = nn.Parameter(np.zeros((features, 1), dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression_learns_too(dtype):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((256, 3)).astype(dtype)
    values = inputs @ np.array([1.0, -2.0, 0.5], dtype)
    private = trainer(
        replace(CONFIG, batch_size=64, epochs=20),
        DpSgd(clip_norm=2.0, noise_multiplier=0.5),
        Slope(3, dtype),
        criterion=MeanSquaredError(),
        optimizer=optim.SGD(learning_rate=0.2),
    )
    private.fit(inputs, values)
    assert private.measure(inputs, values)["loss"] < 0.1


def test_the_examples_of_the_docstring():
    failed, attempted = doctest.testmod(dp_sgd)
    assert (failed, attempted > 0) == (0, True)
