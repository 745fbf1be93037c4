"""Data-parallel training: what several ranks compute together is what one computes alone."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, ModelSpec, Tensor, build, derive_rng, grad, ops, optim, parallel, random, train
from nasturtium.core.data import Loader
from nasturtium.core.errors import PeerError
from nasturtium.core.nn import BatchNorm, Module, Parameter, layer_spec
from nasturtium.core.parallel import DataParallel, ParallelTrainer, ProcessCommunicator, Replica, SingleCommunicator
from nasturtium.core.parallel.settings import from_settings, to_settings
from nasturtium.core.train import Trainer, TrainingConfig, load_checkpoint

from .rank_functions import largest_error
from .test_parallel import in_threads

CLASSES = 3
NETWORKS = {
    "mlp": ModelSpec(
        (6,),
        (
            layer_spec("linear", out_features=16),
            layer_spec("activation", function="gelu"),
            layer_spec("linear", out_features=CLASSES),
        ),
    ),
    "mlp-batch-norm-dropout": ModelSpec(
        (6,),
        (
            layer_spec("linear", out_features=16, bias=False),
            layer_spec("batch_norm"),
            layer_spec("activation", function="relu"),
            layer_spec("dropout", rate=0.3),
            layer_spec("linear", out_features=8, bias=False),
            layer_spec("batch_norm"),
            layer_spec("linear", out_features=CLASSES),
        ),
    ),
    "cnn-batch-norm": ModelSpec(
        (2, 6, 6),
        (
            layer_spec("conv2d", out_channels=4, kernel=3, bias=False),
            layer_spec("batch_norm"),
            layer_spec("activation", function="relu"),
            layer_spec(
                "residual", body=(layer_spec("conv2d", out_channels=4, kernel=3, bias=False), layer_spec("batch_norm"))
            ),
            layer_spec("max_pool2d", size=2),
            layer_spec("dropout", rate=0.2),
            layer_spec("flatten"),
            layer_spec("linear", out_features=CLASSES),
        ),
    ),
}
# Layers that draw for a whole batch, each in its own way; and blocks that hold batch norms.
DRAWING = {
    "dropouts": ModelSpec(
        (2, 6, 6),
        (
            layer_spec("conv2d", out_channels=4, kernel=3),
            layer_spec("channel_dropout", rate=0.4),
            layer_spec("activation", function="selu"),
            layer_spec("alpha_dropout", rate=0.2),
            layer_spec("mbconv", out_channels=4, drop=0.3),
            layer_spec("stochastic_depth", rate=0.2),
            layer_spec("global_avg_pool"),
            layer_spec("linear", out_features=CLASSES),
        ),
    ),
    "transformer": ModelSpec(
        (5, 8),
        (
            layer_spec("transformer_encoder", heads=2, dropout=0.3),
            layer_spec("flatten"),
            layer_spec("linear", out_features=CLASSES),
        ),
    ),
}
networks = pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
CONFIG = TrainingConfig(learning_rate=0.01, batch_size=16, epochs=4, patience=None)


def rows_for(spec: ModelSpec, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose class a network can learn."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, *spec.input_shape)).astype(np.float32)
    flat = inputs.reshape(count, -1)
    return inputs, (flat @ np.random.default_rng(9).standard_normal((flat.shape[1], CLASSES))).argmax(-1)


def model_of(spec: ModelSpec, seed: int = 3) -> Module:
    return build(spec, derive_rng(seed, "weights"))


def start(
    spec: ModelSpec, config: TrainingConfig = CONFIG, seed: int = 3
) -> tuple[Module, TrainingConfig, np.random.Generator]:
    """What a trainer begins with; `DataParallel` begins with the same."""
    return model_of(spec, seed), config, derive_rng(seed, "shuffle")


def double(model: Module) -> Module:
    """The model in float64, where equal means equal to 1e-12."""
    for _, tensor in model.named_tensors():
        tensor.data = tensor.data.astype(np.float64)
        if isinstance(tensor, Parameter):
            tensor.requires_grad = False
            tensor.requires_grad = True
    return model


def assert_close(got: Mapping[str, Any], wanted: Mapping[str, Any], tolerance: float) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_run(got: Trainer, wanted: Trainer, tolerance: float = 1e-5) -> None:
    """Curves, model and averages to a tolerance; counts and the state of random generators exactly."""
    assert (got.epoch, got.step, got.best_epoch) == (wanted.epoch, wanted.step, wanted.best_epoch)
    first, second = got.snapshot(), wanted.snapshot()
    assert first.document == second.document
    assert_close(first.arrays, second.arrays, tolerance)
    for name, array in second.arrays.items():
        if not tolerance:
            assert array.tobytes() == first.arrays[name].tobytes(), name


# --- one step ---


@settings(max_examples=40, deadline=None)
@given(
    spec=st.sampled_from([*NETWORKS.values(), *DRAWING.values()]),
    size=st.integers(1, 4),
    rows=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_ranks_compute_the_loss_and_gradients_of_the_whole_batch(spec, size, rows, seed):
    """Uneven shares and ranks without a row included; in float64 there is no doubt."""
    inputs, labels = rows_for(spec, rows, seed)
    inputs = inputs.astype(np.float64)
    model = double(model_of(spec))
    loss = ops.cross_entropy(model(Tensor(inputs)), labels)
    wanted = grad(loss, model.parameters())

    def one_rank(member: ProcessCommunicator) -> tuple[float, list[Tensor], dict[str, np.ndarray]]:
        own = double(model_of(spec))
        replica = Replica(own, member)
        with replica.batch(rows) as share:
            part = ops.cross_entropy(own(Tensor(inputs[share])), labels[share])
            value, gradients = replica.gradients(part, own.parameters())
        return value, gradients, own.state()

    for value, gradients, state in in_threads(ProcessCommunicator.group(size, timeout_s=20), one_rank):
        assert value == pytest.approx(float(loss), rel=1e-12)
        for gradient, expected in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
        assert_close(state, model.state(), 1e-12)


@pytest.mark.parametrize("rows", [2, 7])
def test_gradients_through_all_ranks_have_gradients(rows):
    """The norm of the gradient for the inputs depends on every rank's rows twice over."""
    spec = NETWORKS["mlp-batch-norm-dropout"]
    inputs, labels = rows_for(spec, rows)
    inputs = inputs.astype(np.float64)

    def second(model: Module, x: Tensor, part: Callable[[Tensor], Tensor], labels: np.ndarray) -> np.ndarray:
        [first] = grad(part(ops.cross_entropy(model(x), labels)), [x], create_graph=True)
        return grad((first * first).sum(), [x])[0].numpy()

    wanted = second(double(model_of(spec)), Tensor(inputs, requires_grad=True), lambda loss: loss, labels)

    def one_rank(member: ProcessCommunicator) -> tuple[slice, np.ndarray]:
        model = double(model_of(spec))
        replica = Replica(model, member)
        with replica.batch(rows) as share:
            return share, second(model, Tensor(inputs[share], requires_grad=True), replica.part, labels[share])

    for share, got in in_threads(ProcessCommunicator.group(2, timeout_s=20), one_rank):
        np.testing.assert_allclose(got, wanted[share], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(6,), (6, 3, 2)], ids=str)
def test_a_part_of_a_batch_drops_what_the_batch_drops(shape, rate):
    key = random.key_from(np.random.default_rng(0))
    whole, factor = random.dropout_mask(key, shape, rate=rate)
    for share in (slice(0, 2), slice(2, 5), slice(5, 6), slice(3, 3)):
        with random.part_of_batch(share, 6):
            part, same = random.dropout_mask(key, (share.stop - share.start, *shape[1:]), rate=rate)
            other, _ = random.dropout_mask(key, (1 + share.stop - share.start, 4), rate=rate)
        np.testing.assert_array_equal(part, whole[share])
        assert same == factor
        np.testing.assert_array_equal(other, random.dropout_mask(key, other.shape, rate=rate)[0])


def test_shares_cover_every_batch_once_and_differ_by_one_row_at_most():
    for size in range(1, 6):
        members = ProcessCommunicator.group(size)
        replicas = [Replica(Module(), member) for member in members]
        for rows in range(1, 12):
            shares = []
            for replica in replicas:
                with replica.batch(rows) as share:
                    shares.append(np.arange(rows)[share])
            assert np.concatenate(shares).tolist() == list(range(rows))
            lengths = [len(share) for share in shares]
            assert max(lengths) - min(lengths) <= 1
        for member in members:
            member.close()


def test_every_rank_takes_over_the_model_of_rank_zero():
    spec = NETWORKS["cnn-batch-norm"]

    def one_rank(member: ProcessCommunicator) -> dict[str, np.ndarray]:
        model = model_of(spec, seed=member.rank)
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.running_mean.data += member.rank + 5
        Replica(model, member)
        return model.state()

    states = in_threads(ProcessCommunicator.group(3), one_rank)
    model = model_of(spec, seed=0)
    assert all((states[2][name] == array).all() for name, array in states[0].items())
    assert_close({name: states[1][name] for name, _ in model.named_tensors(Parameter)},
                 {name: tensor.numpy() for name, tensor in model.named_tensors(Parameter)}, 0)  # fmt: skip
    assert (states[1]["layers.1.running_mean"] == 5).all()


def test_the_layers_of_a_replica_are_ordinary_in_evaluation_and_after_release():
    spec = NETWORKS["mlp-batch-norm-dropout"]
    model, plain = model_of(spec), model_of(spec)
    replica = Replica(model, SingleCommunicator())
    x = Tensor(rows_for(spec, 5)[0])
    np.testing.assert_array_equal(model.eval()(x).detach().numpy(), plain.eval()(x).detach().numpy())
    model.train()
    plain.train()
    with pytest.raises(ConfigError, match="outside of its `batch` block"):
        model(x)
    replica.release()
    np.testing.assert_array_equal(model(x).detach().numpy(), plain(x).detach().numpy())
    assert model.state().keys() == plain.state().keys()


@pytest.mark.parametrize("rows", [0, -1])
def test_a_batch_without_rows_is_refused(rows):
    with (
        pytest.raises(ConfigError, match=f"at least one row, got {rows}"),
        Replica(Module(), SingleCommunicator()).batch(rows),
    ):
        pass


# --- a run ---

RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "uneven-last-batch-smaller-than-ranks": lambda: {"config": replace(CONFIG, batch_size=21)},
    "micro-batches": lambda: {"config": replace(CONFIG, micro_batch_size=5)},
    "clipping-and-smoothing": lambda: {"config": replace(CONFIG, clip_norm=0.5, label_smoothing=0.1)},
    "average": lambda: {"average": optim.EMA(decay=0.9)},
    "sgd-with-a-schedule": lambda: {
        "optimizer": optim.SGD(learning_rate=0.05, momentum=0.9, nesterov=True),
        "schedule": optim.WarmUp(steps=3, after=optim.Cosine(steps=17)),
    },
    "lamb": lambda: {"optimizer": optim.LAMB(learning_rate=0.01)},
}


@pytest.mark.parametrize(
    ("name", "run"),
    [*((name, "plain") for name in NETWORKS), *(("cnn-batch-norm", run) for run in RUNS if run != "plain")],
)
def test_ranks_train_as_one_process_does(name, run):
    spec, options = NETWORKS[name], RUNS[run]
    rows, validation = rows_for(spec, 64), rows_for(spec, 33, seed=1)

    def trained(make: Callable[..., Trainer], *communicator: ProcessCommunicator) -> Trainer:
        chosen = options()
        trainer = make(*start(spec, chosen.pop("config", CONFIG)), *communicator, **chosen)
        trainer.fit(*rows, validation)
        return trainer

    alone = trained(Trainer)
    members = ProcessCommunicator.group(3, timeout_s=20)
    first, *others = in_threads(members, lambda member: trained(ParallelTrainer, member))
    assert_same_run(first, alone)
    for other in others:
        assert_same_run(other, first, 0)


def test_biases_that_do_nothing_may_differ_and_training_does_not():
    """The gradient of a bias in front of batch norm is zero but for rounding, of which Adam makes whole steps."""
    spec = ModelSpec(
        (6,),
        (layer_spec("linear", out_features=8), layer_spec("batch_norm"), layer_spec("linear", out_features=CLASSES)),
    )

    def run(make: Callable[..., Trainer], *communicator: ProcessCommunicator) -> Trainer:
        trainer = make(*start(spec), *communicator)
        trainer.fit(*rows_for(spec, 64))
        return trainer

    alone = run(Trainer)
    for trainer in in_threads(ProcessCommunicator.group(2), lambda member: run(ParallelTrainer, member)):
        assert_close_curves(trainer.curves, alone.curves)
        own, wanted = trainer.model.state(), alone.model.state()
        assert abs(own["layers.0.bias"] - wanted["layers.0.bias"]).max() > 1e-4
        assert_close({"weight": own["layers.2.weight"]}, {"weight": wanted["layers.2.weight"]}, 1e-5)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_agrees_as_far_as_it_goes(precision):
    """Loss scaling looks at the summed gradient, so all ranks leave out the same steps; which ones, rounding decides.
    Squares of the inputs here are beyond float16.
    """
    spec, config = NETWORKS["cnn-batch-norm"], replace(CONFIG, precision=precision)
    inputs, labels = rows_for(spec, 64)
    inputs *= 300
    alone = Trainer(*start(spec, config))
    alone.fit(inputs, labels)

    def one_rank(member: ProcessCommunicator) -> Trainer:
        trainer = ParallelTrainer(*start(spec, config), member)
        trainer.fit(inputs, labels)
        return trainer

    first, second = in_threads(ProcessCommunicator.group(2, timeout_s=20), one_rank)
    assert_same_run(second, first, 0)
    assert abs(first.step - alone.step) <= 2
    assert not first.diverged
    assert first.curves["train_loss"] == pytest.approx(alone.curves["train_loss"], rel=0.2)


def test_the_batches_of_a_loader_are_shared_too():
    spec = NETWORKS["mlp-batch-norm-dropout"]
    loader = Loader(*rows_for(spec, 50), batch_size=16)
    alone = Trainer(*start(spec))
    alone.fit_batches(loader)

    def one_rank(member: ProcessCommunicator) -> Trainer:
        trainer = ParallelTrainer(*start(spec), member)
        trainer.fit_batches(loader)
        return trainer

    for trainer in in_threads(ProcessCommunicator.group(2, timeout_s=20), one_rank):
        assert_same_run(trainer, alone)


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_every_rank_measures_all_rows(rows):
    spec = NETWORKS["cnn-batch-norm"]
    wanted = Trainer(*start(spec)).measure(*rows_for(spec, rows))
    members = ProcessCommunicator.group(3, timeout_s=20)
    for got in in_threads(members, lambda member: ParallelTrainer(*start(spec), member).measure(*rows_for(spec, rows))):
        assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda spec, member: (*start(spec, seed=member.rank), member), id="seed"),
        pytest.param(
            lambda spec, member: (*start(spec, replace(CONFIG, epochs=3 + member.rank)), member), id="configuration"
        ),
    ],
)
def test_ranks_that_would_train_differently_are_stopped(make):
    spec = NETWORKS["mlp"]

    def one_rank(member: ProcessCommunicator) -> None:
        with pytest.raises(ConfigError, match="the ranks would train differently"):
            ParallelTrainer(*make(spec, member)).fit(*rows_for(spec, 8))

    in_threads(ProcessCommunicator.group(2, timeout_s=20), one_rank)


# --- in processes ---


@networks
def test_two_processes_give_the_result_of_one(spec):
    """To 1e-5, with a last batch of three rows, stopping and the best epoch included."""
    config = replace(CONFIG, batch_size=15, epochs=5, patience=3)
    rows, validation = rows_for(spec, 63), rows_for(spec, 40, seed=1)
    alone = Trainer(*start(spec, config))
    curves = alone.fit(*rows, validation)

    one = DataParallel(spec, config, devices=["cpu"], seed=3)
    assert one.fit(*rows, validation) == curves
    assert_same_run(one.trainer, alone, 0)

    two = DataParallel(spec, config, devices=["cpu", "cpu"], seed=3)
    assert_close_curves(two.fit(*rows, validation), curves)
    assert_same_run(two.trainer, alone)
    two.trainer.restore_best()
    alone.restore_best()
    assert_close(two.trainer.model.state(), alone.model.state(), 1e-5)


def test_processes_that_go_on_give_the_bits_of_processes_that_went_through():
    spec = NETWORKS["mlp-batch-norm-dropout"]
    rows, validation = rows_for(spec, 63), rows_for(spec, 40, seed=1)
    through, parts = (DataParallel(spec, CONFIG, devices=["cpu", "cpu"], seed=3) for _ in range(2))
    through.fit(*rows, validation)
    parts.fit(*rows, validation, until=1)
    parts.fit(*rows, validation)
    assert_same_run(parts.trainer, through.trainer, 0)


def assert_close_curves(got: train.Curves, wanted: train.Curves) -> None:
    assert got.keys() == wanted.keys()
    for name, curve in wanted.items():
        assert got[name] == pytest.approx(curve, rel=1e-5, abs=1e-5)


def test_a_checkpoint_fits_any_number_of_processes(tmp_path):
    spec, config = NETWORKS["mlp-batch-norm-dropout"], replace(CONFIG, epochs=6)
    rows = rows_for(spec, 50)
    whole = Trainer(*start(spec, config))
    whole.fit(*rows)

    path = tmp_path / "run.checkpoint"
    DataParallel(spec, config, devices=["cpu"], seed=3).fit(*rows, until=2, checkpoint=path)
    two = DataParallel(spec, config, devices=["cpu", "cpu"], seed=3)
    load_checkpoint(path, two.trainer)
    two.fit(*rows, until=4, checkpoint=path)
    alone = Trainer(*start(spec, config))
    load_checkpoint(path, alone)
    assert alone.epoch == 4
    alone.fit(*rows)
    assert_same_run(alone, whole)


def test_options_reach_the_processes():
    spec = NETWORKS["mlp"]
    options = {
        "criterion": train.MeanSquaredError(metrics={"largest": largest_error}),
        "optimizer": optim.RMSprop(learning_rate=0.01),
        "schedule": optim.WarmUp(steps=2, after=optim.Cosine(steps=20)),
        "average": optim.EMA(decay=0.8),
        "keep_best": False,
    }
    inputs, labels = rows_for(spec, 40)
    rows = inputs, np.eye(CLASSES, dtype=np.float32)[labels]
    alone = Trainer(*start(spec), **options)
    alone.fit(*rows, rows)
    two = DataParallel(spec, CONFIG, devices=["cpu", "cpu"], seed=3, **options)
    curves = two.fit(*rows, rows)
    assert "val_largest" in curves
    assert_same_run(two.trainer, alone)


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]], ids=["one", "two"])
def test_progress_is_reported_here_and_may_end_the_run(devices):
    spec = NETWORKS["mlp"]
    rows = rows_for(spec, 40)
    seen: list[train.Progress] = []

    def report(progress: train.Progress) -> None:
        seen.append(progress)
        if progress.epoch == 3:
            raise LookupError("enough")

    run = DataParallel(spec, CONFIG, devices=devices, seed=3)
    run.trainer.fit(*rows, rows, until=1)
    with pytest.raises(LookupError, match="enough"):
        run.fit(*rows, rows, report=report)
    assert [progress.epoch for progress in seen] == [2, 3]
    assert seen[-1].figures.keys() == {"train_loss", "val_loss", "val_accuracy"}
    assert run.trainer.epoch == (1 if len(devices) > 1 else 3)


def test_a_failure_in_a_process_leaves_the_trainer_where_it_was():
    spec = NETWORKS["mlp"]
    inputs, labels = rows_for(spec, 40)
    run = DataParallel(spec, CONFIG, devices=["cpu", "cpu"], seed=3)
    run.trainer.fit(inputs, labels, until=1)
    before = run.trainer.snapshot()
    with pytest.raises(PeerError, match=r"rank . of 2 failed: ShapeError"):
        run.fit(inputs, labels + 1)
    after = run.trainer.snapshot()
    assert after.document == before.document
    assert_close(after.arrays, before.arrays, 0)


@pytest.mark.parametrize(
    ("devices", "match"),
    [
        pytest.param([], r"one or more devices of one kind, got \[\]", id="none"),
        pytest.param(["cpu", "tpu"], "unknown device: .* got 'tpu'", id="unknown"),
    ],
)
def test_devices_that_cannot_be_are_refused(devices, match):
    with pytest.raises(ConfigError, match=match):
        DataParallel(NETWORKS["mlp"], CONFIG, devices=devices, seed=0)


def test_options_that_cannot_be_sent_are_refused():
    class Own:
        """A criterion that other processes do not know."""

    with pytest.raises(ConfigError, match=r"Own cannot be sent to other processes: .*ParallelTrainer"):
        DataParallel(NETWORKS["mlp"], CONFIG, devices=["cpu", "cpu"], seed=0, criterion=Own())


OPTIMIZERS = [
    kind for name in optim.__all__ if is_dataclass(kind := getattr(optim, name)) and hasattr(kind, "learning_rate")
]


@pytest.mark.parametrize(
    "value",
    [
        *[kind(learning_rate=0.25) for kind in OPTIMIZERS],
        optim.WarmUp(steps=3, after=optim.Polynomial(steps=5)),
        optim.LossScaler(initial=4.0),
        train.CrossEntropy(label_smoothing=0.1, metrics={"largest": largest_error}),
        {"a": [None, True, 1, float("inf"), "x"], "b": {}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_settings_come_back_as_they_went(value):
    assert len(OPTIMIZERS) >= 8
    got = from_settings(to_settings(value))
    assert got == ({"a": (None, True, 1, float("inf"), "x"), "b": {}} if isinstance(value, dict) else value)


@pytest.mark.parametrize("module", [parallel, parallel.replica], ids=lambda module: module.__name__)
def test_the_examples_run(module):
    failed, attempted = doctest.testmod(module)
    assert failed == 0 < attempted


PROGRAM = """
import numpy as np
from nasturtium.core import ModelSpec, TrainingConfig
from nasturtium.core.nn import layer_spec
from nasturtium.core.parallel import DataParallel

spec = ModelSpec((2,), (layer_spec("linear", out_features=2),))
rows = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]], np.array([0, 1, 0, 1])
print(list(DataParallel(spec, TrainingConfig(epochs=2), devices=["cpu", "cpu"], seed=0).fit(*rows)["train_loss"]))
"""


@pytest.mark.parametrize("how", ["script", "prompt"])
def test_a_program_needs_no_guard_to_train_in_processes(tmp_path, how):
    """The processes do not run the caller's program again."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    arguments, stdin = ([str(path)], None) if how == "script" else (["-i", "-q"], PROGRAM)
    done = subprocess.run([sys.executable, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[1, 2]\n", 0), done.stderr
