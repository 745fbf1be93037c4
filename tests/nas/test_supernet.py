"""Shared weights: slices of one store that gradients flow into, single-path training, relaxations that choose."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import (
    Budget,
    Candidate,
    ConfigError,
    CrossEntropy,
    FormatError,
    Tensor,
    build,
    derive_rng,
    grad,
    load_checkpoint,
    nn,
    predict_logits,
    save_checkpoint,
)
from nasturtium.core.data import BUNDLED, Dataset, Task
from nasturtium.core.nn import Parameter
from nasturtium.nas.space import (
    Cell,
    CellStack,
    Chain,
    Choice,
    Float,
    Incoming,
    Int,
    Optional,
    Outputs,
    Repeat,
    Residual,
    Space,
    StackPart,
    Stride,
    layers,
)
from nasturtium.nas.supernet import (
    DartsConfig,
    DartsSearch,
    Mixing,
    Relaxation,
    SinglePathConfig,
    SinglePathTrainer,
    Slot,
    Supernet,
    SupernetEvaluator,
    recalibrate,
    slots_of,
)

IMAGES = BUNDLED["digits"]().task
ROWS = Task(input_shape=(2,), features=("a", "b"), classes=("no", "yes"))
SEQUENCES = Task(input_shape=(6, 4), features=tuple(f"f{i}" for i in range(24)), classes=("x", "y", "z"))
NUMBERS = Task(input_shape=(3,), features=("a", "b", "c"), kind="regression", targets=("t", "u"))

RELU = layers.activation(function="relu")
END = (layers.global_avg_pool(), layers.linear(out_features=Outputs()))
SKIP = Chain()
POOL = layers.avg_pool2d(size=3, stride=Stride(), padding=1)


def norm_conv(kernel: int, **options) -> Chain:
    return Chain(
        RELU, layers.conv2d(out_channels=Incoming(), kernel=kernel, bias=False, **options), layers.batch_norm()
    )


NB201 = Cell(
    4,
    {
        "none": SKIP,
        "skip_connect": SKIP,
        "conv1": norm_conv(1),
        "conv3": norm_conv(3),
        "pool": layers.avg_pool2d(size=3, stride=1, padding=1),
    },
    name="cell",
)
PICKS = {"skip": SKIP, "conv": norm_conv(3, stride=Stride()), "pool": POOL}


def stack() -> CellStack:
    normal, reduction = Cell(2, PICKS, picks=2, name="normal"), Cell(2, PICKS, picks=2, name="reduce")
    return CellStack((StackPart(normal, 4), StackPart(reduction, 8, reduce=True), StackPart(normal, 8)))


def space(template: Chain, task: Task = IMAGES, **options) -> Space:
    return Space("made", task, template, **options)


SPACES = {
    "widths and kernels": space(
        Chain(
            Repeat(1, 3, Chain(layers.conv2d(out_channels=Int(2, 8), kernel=Choice((1, 3, 5))), layers.batch_norm())),
            RELU,
            *END,
        )
    ),
    "cells": space(Chain(layers.conv2d(out_channels=4, kernel=3), NB201, NB201, *END)),
    "stack": space(Chain(layers.conv2d(out_channels=4, kernel=3), stack(), *END)),
    "blocks": space(
        Chain(
            layers.mbconv(out_channels=Choice((4, 8)), expand=Choice((1, 2, 4)), kernel=Choice((3, 5)), ratio=0.25),
            Optional(layers.mbconv(out_channels=4, drop=0.2)),
            *END,
        )
    ),
    "residual rows": space(
        Chain(
            Repeat(0, 2, Residual(Chain(layers.linear(out_features=Choice((2, 5, 9))), RELU), optional=True)),
            layers.dropout(rate=Float(0.0, 0.5)),
            layers.linear(out_features=Outputs()),
        ),
        NUMBERS,
    ),
    "recurrent": space(
        Chain(
            Choice(
                {
                    "gru": layers.gru(hidden=Choice((3, 6)), sequences=False),
                    "lstm": layers.lstm(hidden=Choice((3, 6)), sequences=False),
                }
            ),
            layers.linear(out_features=Outputs()),
        ),
        SEQUENCES,
    ),
    "transformer": space(
        Chain(
            layers.linear(out_features=8),
            layers.positional_encoding(learned=True),
            Repeat(1, 2, layers.transformer_encoder(heads=Choice((1, 2, 4)), hidden=Choice((8, 16)))),
            layers.sequence_mean(),
            layers.linear(out_features=Outputs()),
        ),
        SEQUENCES,
    ),
}
every_space = pytest.mark.parametrize("name", SPACES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@cache
def supernet_of(name: str) -> Supernet:
    """One that no test changes."""
    return Supernet(SPACES[name], rng(), points=48)


def rows_of(task: Task, count: int = 6) -> np.ndarray:
    return rng(3).standard_normal((count, *task.input_shape)).astype(np.float32)


# --- the store ---


@every_space
def test_every_network_of_a_space_is_found_in_its_supernet_and_computes(name):
    made, supernet = SPACES[name], supernet_of(name)
    inputs = rows_of(made.task)
    for seed in range(12):
        flat = made.sample(rng(seed))
        assert supernet.covers(flat)
        network, used = supernet.path(flat, rng())
        assert network(Tensor(inputs)).shape == (6, made.task.outputs)
        assert {id(weight) for weight in used} <= {id(weight) for weight in supernet.weights.values()}
        standalone = build(made.spec(flat), rng())
        inherited = supernet.inherit(flat, rng())
        assert [(name, tensor.shape) for name, tensor in inherited.named_tensors()] == [
            (name, tensor.shape) for name, tensor in standalone.named_tensors()
        ]


@every_space
def test_the_path_and_the_network_that_inherits_compute_the_same(name):
    made, supernet = SPACES[name], supernet_of(name)
    inputs = rows_of(made.task)
    for seed in range(5):
        flat = made.sample(rng(seed))
        path, inherited = supernet.path(flat, rng())[0], supernet.inherit(flat, rng())
        np.testing.assert_array_equal(predict_logits(path, inputs), predict_logits(inherited, inputs))


def test_gradients_flow_into_the_slices_alone():
    made, supernet = SPACES["widths and kernels"], supernet_of("widths and kernels")
    flat = {
        **made.sample(rng()),
        "architecture/repeat/count": 1,
        "architecture/repeat/0/conv2d/out_channels": 3,
        "architecture/repeat/0/conv2d/kernel": 3,
    }
    network, used = supernet.path(flat, rng())
    gradients = dict(zip(map(id, used), grad(network(Tensor(rows_of(IMAGES))).sum(), used), strict=True))
    kernel = supernet.weights["architecture/repeat/0/conv2d:weight"]
    assert kernel.shape == (8, 1, 5, 5)
    touched = np.zeros(kernel.shape, bool)
    touched[:3, :, 1:4, 1:4] = True  # the first channels, the middle of the kernel
    assert not gradients[id(kernel)].numpy()[~touched].any()
    # The norm behind it hides the kernel's scale and the sum of the outputs its offset; the norm's own weights remain.
    offset = gradients[id(supernet.weights["architecture/repeat/0/batch_norm:bias"])].numpy()
    assert offset[:3].any()
    assert not offset[3:].any()


@pytest.mark.parametrize(
    ("shape", "largest", "options", "expected"),
    [
        pytest.param((2,), (4,), {}, [0, 1], id="first"),
        pytest.param((1, 2), (2, 3), {}, [0, 1], id="first-of-both"),
        pytest.param((1, 1, 1), (1, 1, 3), {"centred": True}, [1], id="middle"),
        pytest.param((1, 1, 2), (1, 1, 5), {"centred": True}, [1, 2], id="even-middle"),
        pytest.param((4,), (6,), {"gates": 2}, [0, 1, 3, 4], id="first-of-each-gate"),
        pytest.param((2, 1), (4, 2), {"gates": 2}, [0, 4], id="gates-of-a-matrix"),
        pytest.param((2, 2), (2, 2), {}, [0, 1, 2, 3], id="all"),
    ],
)
def test_a_slot_is_a_part_of_the_largest(shape, largest, options, expected):
    slot = Slot("key", shape, nn.Module(), "weight", **options)
    shared = np.arange(np.prod(largest), dtype=np.float32).reshape(largest)
    np.testing.assert_array_equal(slot.part(Tensor(shared)).data, np.reshape(expected, shape))
    marked = np.zeros(largest)
    slot.put(marked, np.ones(shape))
    assert sorted(shared[marked == 1].astype(int)) == expected


def test_places_of_one_name_have_weights_of_their_own():
    supernet = supernet_of("cells")
    keys = [key for key in supernet.weights if key.endswith("conv3/1:weight") and "0-1" in key]
    assert len(keys) == 2  # the two cells have the same wiring
    made = space(Chain(*(Choice({"a": layers.linear(out_features=2)}, name="same") for _ in range(2))), ROWS)
    flat = made.sample(rng())
    expanded = made.expanded(flat)
    slots = slots_of(build(made.spec(flat), rng()), expanded)
    assert len({slot.key for slot in slots}) == len(slots) == 4


def test_weights_start_as_those_of_a_network_of_its_own():
    kernel = supernet_of("widths and kernels").weights["architecture/repeat/1/conv2d:weight"]
    assert kernel.data.std() == pytest.approx(np.sqrt(2 / (8 * 25)), rel=0.15)
    norm = supernet_of("cells").weights
    assert all((w.data == 1).all() for key, w in norm.items() if key.endswith("2:weight") and "conv3" in key)


def test_largest_and_smallest_are_the_extremes_that_the_constraints_leave():
    free, bound = (
        SPACES["widths and kernels"],
        space(SPACES["widths and kernels"].template, constraints=("parameters <= 700",)),
    )
    supernet = supernet_of("widths and kernels")
    sizes = [free.spec(free.sample(rng(seed))).plan().parameters for seed in range(100)]
    assert free.spec(supernet.smallest).plan().parameters <= min(sizes)
    assert free.spec(supernet.largest).plan().parameters >= max(sizes)
    bounded = Supernet(bound, rng(), points=8)
    assert bound.allows(bounded.largest)
    assert free.spec(supernet.largest).plan().parameters > bound.spec(bounded.largest).plan().parameters


def test_a_smallest_network_depends_on_its_input():
    made = SPACES["cells"]
    spec = made.spec(supernet_of("cells").smallest)
    assert '"zeros"' not in spec.to_json()


def test_a_decision_of_very_many_values_is_looked_at_here_and_there():
    """The largest network is found, and everything in between is a part of it."""
    wide = Chain(layers.linear(out_features=Int(1, 100_000, name="width")), layers.linear(out_features=Outputs()))
    supernet = Supernet(space(wide, ROWS), rng(), points=4)
    assert supernet.largest == {"architecture/width": 100_000}
    assert supernet.smallest == {"architecture/width": 1}
    assert all(supernet.covers({"architecture/width": width}) for width in (1, 2, 777, 99_999, 100_000))


def test_a_supernet_is_saved_and_loaded(tmp_path):
    made = SPACES["recurrent"]
    saved = Supernet(made, rng(0))
    path = saved.save(tmp_path / "supernet.safetensors")
    loaded = Supernet(made, rng(1)).load(path)
    for key, weight in saved.weights.items():
        np.testing.assert_array_equal(weight.data, loaded.weights[key].data)
    with pytest.raises(FormatError, match="not the supernet of space"):
        Supernet(TOY, rng()).load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: Supernet(Space.categorical("t", {"a": (1, 2)}), rng()), "no networks to share", id="table"
        ),
        pytest.param(
            lambda: Supernet(SPACES["recurrent"], rng(), points=0), "expected points >= 1, got 0", id="points"
        ),
        pytest.param(lambda: SinglePathConfig(paths=0), "paths >= 1", id="paths"),
        pytest.param(lambda: SinglePathConfig(learning_rate=0), "learning_rate > 0", id="rate"),
        pytest.param(lambda: SinglePathConfig(clip_norm=0), "clip_norm > 0", id="clip"),
        pytest.param(lambda: DartsConfig(epochs=0), "epochs and batch_size >= 1", id="epochs"),
        pytest.param(lambda: DartsConfig(temperature=(1.0, 0.0)), "temperatures > 0", id="temperature"),
        pytest.param(lambda: DartsConfig(weight_decay=-1), "weight decays >= 0", id="decay"),
        pytest.param(
            lambda: DartsSearch(SPACES["residual rows"], DartsConfig(), seed=0), "no choice of layers", id="nothing"
        ),
        pytest.param(
            lambda: DartsSearch(Space.categorical("t", {"a": (1, 2)}), DartsConfig(), seed=0),
            "no networks",
            id="darts-table",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_weight_that_was_not_found_is_told():
    made = SPACES["widths and kernels"]
    supernet = Supernet(made, rng())
    del supernet.weights["architecture/repeat/0/conv2d:weight"]
    assert not supernet.covers(supernet.largest)
    with pytest.raises(ConfigError, match="'architecture/repeat/0/conv2d:weight' is missing"):
        supernet.path(supernet.largest, rng())


# --- batch norms ---


def test_recalibrated_statistics_are_those_of_the_rows():
    model = nn.Sequential(nn.BatchNorm(3), nn.Linear(3, 2, rng=rng()))
    rows = (rng().standard_normal((200, 3)) * [1, 2, 3] + [5, 6, 7]).astype(np.float32)
    recalibrate(model, rows, batch_size=50)
    norm = model.layers[0]
    batches = rows.reshape(4, 50, 3)
    np.testing.assert_allclose(norm.running_mean.data, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.data, batches.var(1, ddof=1).mean(0), rtol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


# --- training ---

TOY = space(
    Chain(
        Repeat(1, 2, Chain(layers.linear(out_features=Choice((4, 16))), layers.batch_norm(), RELU)),
        layers.dropout(rate=0.1),
        layers.linear(out_features=Outputs()),
    ),
    ROWS,
)


def xor(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    inputs = rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).astype(np.int64)


def toy_trainer(**config) -> SinglePathTrainer:
    options = {"epochs": 6, "batch_size": 32, "paths": 1, **config}
    return SinglePathTrainer(Supernet(TOY, rng()), SinglePathConfig(**options), seed=5)


def test_training_lowers_the_loss_of_networks_of_all_sizes():
    trainer = toy_trainer(epochs=12, learning_rate=2e-2)
    curves = trainer.fit(*xor(400, 0), xor(200, 1))
    assert set(curves) == {
        "train_loss",
        "largest_loss",
        "smallest_loss",
        "largest_val_loss",
        "largest_val_accuracy",
        "smallest_val_loss",
        "smallest_val_accuracy",
    }
    assert all(list(curve) == list(range(1, 13)) for curve in curves.values())
    assert curves["largest_val_accuracy"][12] > 0.9
    assert curves["smallest_val_accuracy"][12] > 0.7
    assert trainer.finished
    assert not trainer.diverged


def test_stopped_and_continued_is_the_same_bit_for_bit(tmp_path):
    rows, validation = xor(100, 0), xor(50, 1)
    whole = toy_trainer()
    whole.fit(*rows, validation)
    begun = toy_trainer()
    begun.fit(*rows, validation, until=2)
    path = save_checkpoint(tmp_path / "supernet.checkpoint", begun)
    later = toy_trainer()
    load_checkpoint(path, later)
    assert later.epoch == 2
    later.fit(*rows, validation, until=4)
    later.fit(*rows, validation)
    assert later.curves == whole.curves
    for key, weight in whole.supernet.weights.items():
        np.testing.assert_array_equal(weight.data, later.supernet.weights[key].data)


@pytest.mark.parametrize("config", [{"paths": 2}, {"sandwich": False}, {"weight_decay": 0.5}])
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, config):
    begun, other = toy_trainer(), toy_trainer(**config)
    begun.fit(*xor(64, 0), until=1)
    path = save_checkpoint(tmp_path / "supernet.checkpoint", begun)
    before = {key: weight.data.copy() for key, weight in other.supernet.weights.items()}
    with pytest.raises(FormatError, match="it is of another run"):
        load_checkpoint(path, other)
    assert other.epoch == 0
    for key, weight in other.supernet.weights.items():
        np.testing.assert_array_equal(weight.data, before[key])


def test_the_gradient_of_a_step_is_the_sum_over_its_paths():
    """Without noise, the step of plain gradients added by hand."""
    made = space(Chain(layers.linear(out_features=Choice((4, 16))), RELU, layers.linear(out_features=Outputs())), ROWS)
    inputs, targets = xor(32, 0)
    trainer = SinglePathTrainer(Supernet(made, rng()), SinglePathConfig(epochs=1, batch_size=32, paths=3), seed=0)
    weights = trainer.supernet.weights
    expected = {key: np.zeros(weight.shape) for key, weight in weights.items()}
    paths = trainer._paths()
    assert [name for name, _ in paths] == ["largest_loss", "smallest_loss", None, None, None]
    for _, flat in paths:
        network, used = trainer.supernet.path(flat, rng())
        keys = {id(weight): key for key, weight in weights.items()}
        for weight, gradient in zip(
            used, grad(CrossEntropy().loss(network(Tensor(inputs)), targets), used), strict=True
        ):
            expected[keys[id(weight)]] += gradient.data
    trainer.fit(inputs, targets)
    gradient = trainer._state.buffer
    for (key, weight), segment in zip(weights.items(), gradient.segments, strict=True):
        np.testing.assert_allclose(gradient.part(gradient.gradient, segment), expected[key], atol=1e-6, err_msg=key)
        assert weight.shape == segment.shape


def test_without_the_sandwich_there_are_random_paths_alone():
    trainer = toy_trainer(sandwich=False, paths=3)
    assert [name for name, _ in trainer._paths()] == [None, None, None]
    assert set(trainer.fit(*xor(64, 0), until=1)) == {"train_loss"}


def test_a_loss_that_is_not_finite_ends_the_training():
    trainer = toy_trainer()
    inputs, targets = xor(64, 0)
    trainer.fit(np.full_like(inputs, np.inf), targets)
    assert trainer.diverged
    assert trainer.finished
    assert trainer.epoch == 1


def test_no_rows_are_refused():
    with pytest.raises(ConfigError, match="as many targets as inputs, at least one, got 0 and 0"):
        toy_trainer().fit(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))


# --- evaluating ---


def toy_data(count: int, seed: int) -> Dataset:
    inputs, labels = xor(count, seed)
    return Dataset("xor", inputs, labels, ROWS)


def candidate(made: Space, flat, **options) -> Candidate:
    return Candidate(id="c", spec=made.spec(flat), hyperparameters={}, seed=0, flat=flat, **options)


ONE = Budget(epochs=1, total=1)


def test_candidates_inherit_their_weights_and_are_measured_without_training():
    config = SinglePathConfig(epochs=12, batch_size=32, learning_rate=2e-2)
    evaluator = SupernetEvaluator.trained(TOY, toy_data(400, 0), toy_data(200, 1), config, seed=0)
    before = {key: weight.data.copy() for key, weight in evaluator.supernet.weights.items()}
    large, small = (
        evaluator.evaluate(candidate(TOY, flat), ONE)
        for flat in (evaluator.supernet.largest, evaluator.supernet.smallest)
    )
    assert {"val_loss", "val_accuracy", "parameters", "macs"} <= set(large.objectives)
    assert large.objectives["val_accuracy"] > 0.85
    assert large.objectives["parameters"] > small.objectives["parameters"]
    assert evaluator.evaluate(candidate(TOY, evaluator.supernet.largest), Budget(epochs=2, total=9)) == large
    for key, weight in evaluator.supernet.weights.items():
        np.testing.assert_array_equal(weight.data, before[key])


def test_a_candidate_without_a_point_is_refused():
    evaluator = SupernetEvaluator(Supernet(TOY, rng()), toy_data(50, 0), toy_data(50, 1))
    flat = TOY.sample(rng())
    with pytest.raises(ConfigError, match="expected the point of the space it stands at"):
        evaluator.evaluate(Candidate(id="c", spec=TOY.spec(flat), hyperparameters={}, seed=0), ONE)


def test_a_regression_is_measured_by_its_own_loss():
    made = SPACES["residual rows"]
    inputs = rows_of(NUMBERS, 40)
    data = Dataset("made", inputs, (inputs[:, :2] * 5 + 100).astype(np.float32), NUMBERS)
    evaluator = SupernetEvaluator.trained(made, data, data, SinglePathConfig(epochs=2, batch_size=20), seed=0)
    found = evaluator.evaluate(candidate(made, made.sample(rng())), ONE)
    assert {"val_loss", "val_mae", "parameters", "macs"} <= set(found.objectives)


# --- relaxations ---

# Only the second option can tell the signs of a product apart.
CHOICE = space(
    Chain(
        Choice({"straight": layers.linear(out_features=16), "bent": Chain(layers.linear(out_features=16), RELU)}),
        layers.linear(out_features=Outputs()),
    ),
    ROWS,
)
# Images whose class is in the differences of neighbouring pixels: averages lose it, and so does nothing at all.
EDGES = Cell(
    3, {"none": SKIP, "pool": layers.avg_pool2d(size=3, stride=1, padding=1), "conv": norm_conv(3)}, name="cell"
)
TILES = Task(input_shape=(1, 6, 6), features=tuple(f"p{i}" for i in range(36)), classes=("rows", "columns"))
CELLS = space(Chain(layers.conv2d(out_channels=4, kernel=1), EDGES, *END), TILES)


def tiles(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng(seed).integers(0, 2, count)
    stripes = np.where(np.arange(6) % 2, 1.0, -1.0)
    images = np.where(labels[:, None, None] == 0, stripes[None, :, None], stripes[None, None, :])
    signs = rng(seed + 100).choice([-1.0, 1.0], (count, 1, 1))
    noise = rng(seed + 200).standard_normal((count, 6, 6))
    return (images * signs + 0.3 * noise)[:, None].astype(np.float32), labels


@pytest.mark.parametrize("gdas", [False, True], ids=["darts", "gdas"])
def test_the_option_that_is_clearly_right_is_found(gdas):
    config = DartsConfig(epochs=20, batch_size=32, gdas=gdas, learning_rate=0.1, logits_learning_rate=0.05)
    search = DartsSearch(CHOICE, config, seed=1)
    curves = search.fit(xor(320, 0), xor(320, 1))
    assert search.derive() == {"architecture/choice": "bent"}
    assert search.probabilities()["architecture/choice"]["bent"] > 0.7
    assert set(curves) == {"train_loss", "val_loss"}
    assert curves["val_loss"][20] < curves["val_loss"][1]


@pytest.mark.parametrize("gdas", [False, True], ids=["darts", "gdas"])
def test_a_cell_is_derived_that_builds_and_has_the_operation_it_needs(gdas):
    config = DartsConfig(epochs=12, batch_size=32, gdas=gdas, learning_rate=0.1, logits_learning_rate=0.05)
    search = DartsSearch(CELLS, config, seed=0)
    search.fit(tiles(160, 0), tiles(160, 1))
    flat = search.derive()
    assert CELLS.allows(flat)
    assert "conv" in {flat[f"architecture/cell/{edge}"] for edge in ("0-1", "1-2", "0-2")}


@given(seed=st.integers(0, 50))
@settings(max_examples=3, deadline=None)
@pytest.mark.parametrize("made", [CHOICE, CELLS, SPACES["stack"]], ids=["choice", "cells", "stack"])
def test_gradients_of_the_logits_agree_with_finite_differences(made, seed):
    search = DartsSearch(made, DartsConfig(), seed=seed)
    mixing, network = search.relaxation.mixing, search.relaxation.network
    for tensor in [*mixing.logits.values(), *(t for _, t in network.named_tensors())]:
        wanted, tensor.requires_grad = tensor.requires_grad, False
        tensor.data = tensor.data.astype(np.float64)
        tensor.requires_grad = wanted
    inputs = rng(seed).standard_normal((5, *made.task.input_shape))
    targets = rng(seed).integers(0, made.task.outputs, 5)
    path = list(mixing.logits)[seed % len(mixing.logits)]
    mixing.logits[path].data[...] = rng(seed).standard_normal(mixing.logits[path].shape)

    def loss() -> Tensor:
        mixing.soften()
        return search.loss(inputs, targets)

    gradient = grad(loss(), [mixing.logits[path]])[0].numpy()
    for option in range(len(gradient)):
        values = []
        for step in (1e-5, -2e-5):
            mixing.logits[path].data[option] += step
            values.append(float(loss()))
        mixing.logits[path].data[option] += 1e-5
        assert gradient[option] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_gdas_computes_one_option_of_each_decision():
    search = DartsSearch(CELLS, DartsConfig(gdas=True), seed=0)
    mixing, network = search.relaxation.mixing, search.relaxation.network
    calls: list[str] = []
    for path, module in network.named_modules():
        if "alternatives" in path and path.rpartition(".")[0].endswith("alternatives"):
            module.add_hook(lambda *_, path=path: calls.append(path))
    names = {path: mixing.options[path] for path in mixing.options}
    for seed in range(10):
        calls.clear()
        mixing.sample(rng(seed), temperature=1.0)
        network(Tensor(tiles(2, 0)[0]))
        chosen = {path: names[path][index] for path, index in mixing.chosen.items()}
        assert len(calls) == sum(option != "none" for option in chosen.values())
        for path, weight in mixing.weights.items():
            np.testing.assert_allclose(weight.data, np.eye(3)[mixing.chosen[path]], atol=1e-6)
    mixing.soften()
    calls.clear()
    network(Tensor(tiles(2, 0)[0]))
    assert len(calls) == 2 * 3  # "none" is not computed


@given(seed=st.integers(0, 1000), temperature=st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_samples_have_the_gradient_of_the_softmax(seed, temperature):
    mixing = Mixing()
    mixing.add("a", ("x", "y", "z"))
    mixing.logits["a"].data[...] = rng(seed).standard_normal(3)
    mixing.sample(rng(seed), temperature)
    chosen = mixing.chosen["a"]
    gradient = grad(mixing.weights["a"][chosen], [mixing.logits["a"]])[0].numpy()
    noisy = (mixing.logits["a"].data + rng(seed).gumbel(size=3)) / temperature
    soft = np.exp(noisy - noisy.max()) / np.exp(noisy - noisy.max()).sum()
    assert chosen == soft.argmax()
    expected = soft[chosen] * ((np.arange(3) == chosen) - soft) / temperature
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_options_are_sampled_as_often_as_their_softmax_says():
    mixing = Mixing()
    mixing.add("a", ("x", "y", "z"))
    mixing.logits["a"].data[...] = np.log([0.6, 0.3, 0.1])
    counts = np.zeros(3)
    for seed in range(1000):
        mixing.sample(rng(seed), 1.0)
        counts[mixing.chosen["a"]] += 1
    np.testing.assert_allclose(counts / 1000, [0.6, 0.3, 0.1], atol=0.05)


def test_a_stack_derives_two_inputs_for_each_node_without_none():
    made = SPACES["stack"]
    search = DartsSearch(made, DartsConfig(epochs=1, batch_size=32), seed=0)
    strongest = {
        "architecture/normal/1/0": "none",
        "architecture/normal/1/2": "conv",
        "architecture/normal/1/1": "pool",
    }
    for path, option in strongest.items():
        logits = search.relaxation.mixing.logits[path]
        logits.data[search.relaxation.mixing.options[path].index(option)] = 5
    flat = search.derive()
    assert made.allows(flat)
    assert flat["architecture/normal/1/from"] == "1_2"
    assert (flat["architecture/normal/1/op0"], flat["architecture/normal/1/op1"]) == ("pool", "conv")
    assert "none" not in {value for path, value in flat.items() if "/op" in path}
    inputs = rng().standard_normal((40, 1, 8, 8)).astype(np.float32)
    search.fit((inputs, np.arange(40) % 10), (inputs, np.arange(40) % 10))
    assert search.epoch == 1
    assert not search.diverged


def test_a_choice_of_different_shapes_stays_as_it_is():
    made = space(
        Chain(
            layers.conv2d(out_channels=2, kernel=3),
            Choice({"pool": layers.max_pool2d(size=2), "none": SKIP}, name="side"),
            Choice({"relu": RELU, "tanh": layers.activation(function="tanh")}),
            *END,
        )
    )
    base = {"architecture/side": "none", "architecture/choice_2": "relu"}
    relaxation = Relaxation(made, base, rng())
    assert list(relaxation.mixing.options) == ["architecture/choice_2"]
    search = DartsSearch(made, DartsConfig(), seed=0, base=base)
    assert search.derive()["architecture/side"] == "none"


DROPPED = space(
    Chain(
        Choice({"straight": layers.linear(out_features=8), "bent": Chain(layers.linear(out_features=8), RELU)}),
        layers.batch_norm(),
        layers.dropout(rate=0.2),
        layers.linear(out_features=Outputs()),
    ),
    ROWS,
)


@pytest.mark.parametrize("gdas", [False, True], ids=["darts", "gdas"])
def test_a_search_that_is_stopped_and_continued_is_the_same_bit_for_bit(tmp_path, gdas):
    config = DartsConfig(epochs=4, batch_size=32, gdas=gdas)
    rows, validation = xor(96, 0), xor(64, 1)
    whole, begun, later = (DartsSearch(DROPPED, config, seed=4) for _ in range(3))
    whole.fit(rows, validation)
    begun.fit(rows, validation, until=2)
    load_checkpoint(save_checkpoint(tmp_path / "darts.checkpoint", begun), later)
    later.fit(rows, validation, until=3)
    later.fit(rows, validation)
    assert later.finished
    assert later.curves == whole.curves
    assert later.probabilities() == whole.probabilities()
    for (_, one), (_, other) in zip(
        whole.relaxation.network.named_tensors(), later.relaxation.network.named_tensors(), strict=True
    ):
        np.testing.assert_array_equal(one.data, other.data)


def test_a_checkpoint_of_another_search_is_refused(tmp_path):
    begun = DartsSearch(DROPPED, DartsConfig(epochs=2), seed=4)
    path = save_checkpoint(tmp_path / "darts.checkpoint", begun)
    with pytest.raises(FormatError, match="it is of another run: config differ"):
        load_checkpoint(path, DartsSearch(DROPPED, DartsConfig(epochs=3), seed=4))


def test_warm_up_leaves_the_logits_alone():
    search = DartsSearch(CHOICE, DartsConfig(epochs=2, batch_size=32, warmup=1), seed=0)
    search.fit(xor(64, 0), xor(64, 1), until=1)
    assert search.probabilities()["architecture/choice"] == {"straight": 0.5, "bent": 0.5}
    search.fit(xor(64, 0), xor(64, 1))
    assert search.probabilities()["architecture/choice"]["bent"] != 0.5


def test_inherited_weights_are_parameters_of_their_own():
    supernet = Supernet(TOY, rng())
    network = supernet.inherit(supernet.largest, derive_rng(0))
    for _, tensor in network.named_tensors(Parameter):
        tensor.data[...] = 7
    assert not any((weight.data == 7).all() for weight in supernet.weights.values())
