"""Checkpoints: a run killed anywhere goes on to the bits of the run that was not; what is damaged is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from nasturtium.core import DataError, FormatError, ModelSpec, NasturtiumError, Trainer, TrainingConfig, build, optim
from nasturtium.core.data import Loader
from nasturtium.core.nn import layer_spec
from nasturtium.core.train import (
    Callback,
    Checkpointing,
    CrossEntropy,
    MeanSquaredError,
    Snapshot,
    load_checkpoint,
    save_checkpoint,
)

SPEC = ModelSpec(
    (3,),
    (
        layer_spec("linear", out_features=6),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("dropout", rate=0.3),
        layer_spec("linear", out_features=2),
    ),
)
RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((50, 3)).astype(np.float32)
LABELS = (INPUTS.sum(1) > 0).astype(np.int64)
TRAIN, VALIDATION = (INPUTS[:36], LABELS[:36]), (INPUTS[36:], LABELS[36:])
CONFIG = TrainingConfig(learning_rate=0.05, batch_size=8, epochs=4, patience=2)  # 5 steps an epoch, the last of 4 rows
STEPS = 20


class Killed(Exception):
    """Stands for the end of the process."""


class Kill(Callback):
    """Ends the process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            raise Killed


def make(config: TrainingConfig = CONFIG, *, seed: int = 0, kind: type = np.random.PCG64, **options) -> Trainer:
    """As another process would make it."""
    weights = np.random.default_rng(seed)
    return Trainer(build(SPEC, weights), config, np.random.Generator(kind(seed + 1)), **options)


def everything(trainer: Trainer) -> dict[str, object]:
    """All that a run has become, best model included."""
    snapshot = trainer.snapshot()
    return {**snapshot.document, **{name: array.tobytes() for name, array in snapshot.arrays.items()}}


def run(
    path: Path,
    make_trainer,
    *,
    kills: tuple[int, ...] = (),
    every_steps: int | None = None,
    loader: Loader | None = None,
) -> Trainer:
    """Train to the end, through as many processes as it takes."""
    for kill in (*kills, None):
        trainer = make_trainer()
        if path.exists():
            load_checkpoint(path, trainer)
        callbacks = [Checkpointing(path, every_steps=every_steps), *([] if kill is None else [Kill(kill)])]
        try:
            if loader is None:
                trainer.fit(*TRAIN, VALIDATION, callbacks=callbacks)
            else:
                trainer.fit_batches(loader, VALIDATION, callbacks=callbacks)
        except Killed:
            continue
    return trainer


VARIANTS = {
    "default": {},
    "adam-clipped-in-micro-batches": {
        "config": replace(CONFIG, clip_norm=0.1, micro_batch_size=3),
        "optimizer": optim.Adam(weight_decay=0.1),
    },
    "nesterov-one-cycle": {
        "optimizer": optim.SGD(momentum=0.9, nesterov=True),
        "schedule": optim.OneCycle(steps=STEPS),
        "kind": np.random.MT19937,
    },
    "rmsprop-averaged": {
        "optimizer": optim.RMSprop(learning_rate=0.01, momentum=0.5, centered=True),
        "average": optim.EMA(decay=0.9),
        "kind": np.random.Philox,
    },
    "adagrad": {"optimizer": optim.Adagrad(), "keep_best": False},
    "lion": {"optimizer": optim.Lion(learning_rate=0.01), "kind": np.random.SFC64},
    "lamb": {"optimizer": optim.LAMB(learning_rate=0.05)},
    "adafactor": {"optimizer": optim.Adafactor(learning_rate=0.1)},
    "half-precision": {
        "config": replace(CONFIG, precision="float16"),
        # Starts too high, and grows again: skipped steps and changes of the scale lie before and after any kill.
        "scaler": optim.LossScaler(initial=2.0**24, backoff=2.0**-5, interval=3),
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("every_steps", [None, 1, 3], ids=["epochs", "steps", "some-steps"])
def test_a_run_killed_anywhere_ends_with_the_same_bits(variant, every_steps, tmp_path):
    """Parameters, moments, buffers, schedule, curves, best model, generators of trainer and dropout."""
    options = VARIANTS[variant]
    whole = make(**options)
    whole.fit(*TRAIN, VALIDATION)
    expected = everything(whole)
    for kills in [(1,), (5, 7), (whole.step,), (2, 3, 3, 8)]:
        path = tmp_path / f"{kills}.ckpt"
        resumed = run(path, lambda: make(**options), kills=kills, every_steps=every_steps)
        assert everything(resumed) == expected, kills


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(1, STEPS), max_size=4), every=st.integers(1, 7))
def test_any_kills_and_any_rhythm(kills, every, tmp_path_factory):
    whole = make()
    whole.fit(*TRAIN, VALIDATION)
    path = tmp_path_factory.mktemp("run") / "a.ckpt"
    assert everything(run(path, make, kills=tuple(kills), every_steps=every)) == everything(whole)


@pytest.mark.parametrize("every_steps", [None, 1], ids=["epochs", "steps"])
def test_a_run_on_a_loader_killed_anywhere_ends_with_the_same_bits(every_steps, tmp_path):
    """Shuffling and augmentation go on in the middle of an epoch, prefetched or not."""
    loader = Loader(*TRAIN, batch_size=8, augment=lambda x, y, rng: (x * np.float32(rng.uniform(0.5, 2)), y))
    whole = make()
    whole.fit_batches(loader, VALIDATION)
    for kills in [(1,), (5, 7), (whole.step,), (2, 3, 3, 8)]:
        resumed = run(tmp_path / f"{kills}", make, kills=kills, every_steps=every_steps, loader=loader)
        assert everything(resumed) == everything(whole), kills


def test_the_best_model_comes_back_from_a_checkpoint(tmp_path):
    config = replace(CONFIG, learning_rate=3.0, schedule="constant")
    whole, resumed = make(config), run(tmp_path / "a.ckpt", lambda: make(config), kills=(14,))
    whole.fit(*TRAIN, VALIDATION)
    assert whole.best_epoch < whole.epoch
    for trainer in (whole, resumed):
        trainer.restore_best()
    assert resumed.measure(*VALIDATION)["loss"] == whole.curves["val_loss"][whole.best_epoch]
    assert everything(resumed) == everything(whole)


def test_without_validation_and_between_calls(tmp_path):
    whole = make()
    whole.fit(*TRAIN)
    first = make()
    first.fit(*TRAIN, until=2)
    save_checkpoint(tmp_path / "deep" / "a.ckpt", first)
    second = make()
    load_checkpoint(str(tmp_path / "deep" / "a.ckpt"), second)
    second.fit(*TRAIN)
    assert everything(second) == everything(whole)


def test_an_epoch_left_open_is_finished_by_the_next_fit(tmp_path):
    """An interrupted call, as by Ctrl-C, goes on where it was."""
    whole, parts = make(), make()
    whole.fit(*TRAIN)
    with pytest.raises(Killed):
        parts.fit(*TRAIN, callbacks=[Kill(7)])
    assert (parts.epoch, parts.step) == (1, 7)
    parts.fit(*TRAIN)
    assert everything(parts) == everything(whole)


def test_a_run_that_diverged_or_was_stopped_stays_so(tmp_path):
    diverged = make(replace(CONFIG, learning_rate=1e30, schedule="constant"))
    diverged.fit(*TRAIN)
    stopped = make()
    stopped.stop()
    for number, trainer in enumerate((diverged, stopped)):
        path = save_checkpoint(tmp_path / str(number), trainer)
        again = make(trainer.config)
        load_checkpoint(path, again)
        assert again.finished
        assert again.diverged == trainer.diverged
        assert repr(again.curves) == repr(trainer.curves)


def test_frozen_parameters_are_saved_too(tmp_path):
    """Pretrained ones come from elsewhere than the seed."""

    def frozen(value: float) -> Trainer:
        model = build(SPEC, np.random.default_rng(0))
        first = next(tensor for _, tensor in model.named_tensors())
        first.data[...] = value
        first.requires_grad = False
        return Trainer(model, CONFIG, np.random.default_rng(1))

    path = save_checkpoint(tmp_path / "a", frozen(3.0))
    trainer = frozen(0.0)
    load_checkpoint(path, trainer)
    _, first = next(trainer.model.named_tensors())
    np.testing.assert_array_equal(first.data, 3.0)


# --- the file ---


def test_the_file_is_safetensors_with_json(tmp_path):
    """Other tools can look into it."""
    trainer = make()
    trainer.fit(*TRAIN, VALIDATION, until=2)
    content = save_checkpoint(tmp_path / "a.ckpt", trainer).read_bytes()
    arrays = load(content)
    np.testing.assert_array_equal(arrays["curve.val_loss"], list(trainer.curves["val_loss"].items()))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    document = json.loads(header["__metadata__"]["document"])
    assert (document["format"], document["version"], document["epoch"], document["step"]) == (
        "nasturtium.checkpoint",
        1,
        2,
        10,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"], "no drafts are left"


@pytest.mark.parametrize("point", ["open", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk", "kill"])
def test_a_failed_write_leaves_the_old_checkpoint(point, failure, tmp_path, monkeypatch):
    trainer = make()
    path = save_checkpoint(tmp_path / "a.ckpt", trainer)
    before = path.read_bytes()
    trainer.fit(*TRAIN, until=1)

    def fail(*_args, **_options):
        raise failure

    monkeypatch.setattr(*{"open": (Path, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[point], fail)
    with pytest.raises((NasturtiumError, KeyboardInterrupt)) as caught:
        save_checkpoint(path, trainer)
    assert ("No space left" in str(caught.value)) == isinstance(failure, OSError)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_process_killed_while_it_writes_leaves_a_whole_checkpoint(tmp_path):
    """A real process, ended by the system between the draft and its new name."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import numpy as np
from pathlib import Path
from nasturtium.core import ModelSpec, Trainer, TrainingConfig, build
from nasturtium.core.nn import layer_spec
from nasturtium.core.train import Checkpointing
rng = np.random.default_rng(0)
inputs = rng.standard_normal((40, 3)).astype("float32")
spec = ModelSpec((3,), (layer_spec("linear", out_features=2),))
trainer = Trainer(build(spec, rng), TrainingConfig(batch_size=8, epochs=9), np.random.default_rng(1))
replace, count = Path.replace, 0
def killed(path, target):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), 9)
    return replace(path, target)
Path.replace = killed
trainer.fit(inputs, (inputs[:, 0] > 0).astype("int64"), callbacks=[Checkpointing({str(tmp_path / "a.ckpt")!r})])
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    spec = ModelSpec((3,), (layer_spec("linear", out_features=2),))
    config = TrainingConfig(batch_size=8, epochs=9)
    trainer = Trainer(build(spec, np.random.default_rng(5)), config, np.random.default_rng(6))
    load_checkpoint(tmp_path / "a.ckpt", trainer)
    assert trainer.epoch == 3


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """A checkpoint within an epoch: every part is there."""
    trainer = make(average=optim.EMA())
    path = tmp_path_factory.mktemp("content") / "a.ckpt"
    with pytest.raises(Killed):
        trainer.fit(*TRAIN, VALIDATION, callbacks=[Checkpointing(path, every_steps=1), Kill(8)])
    return path.read_bytes()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_noticed_and_changes_nothing(content, data, tmp_path_factory):
    """A byte exchanged, bytes cut off or added: a FormatError that names the file, never a crash or another state."""
    position = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert", "zero"]))
    damaged = bytearray(content)
    if damage == "flip":
        damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        del damaged[position:]
    elif damage == "insert":
        damaged[position:position] = b"\x00"
    else:
        damaged[position : position + 64] = bytes(len(damaged[position : position + 64]))
    if bytes(damaged) == content:
        return
    path = tmp_path_factory.mktemp("damaged") / "a.ckpt"
    path.write_bytes(damaged)
    trainer = make(average=optim.EMA())
    before = everything(trainer)
    refused = None
    try:
        load_checkpoint(path, trainer)
    except FormatError as error:
        refused = str(error)
    if refused is not None:
        assert "a.ckpt" in refused
        assert everything(trainer) == before
    else:
        # Blanks between the parts of the header carry nothing.
        untouched = make(average=optim.EMA())
        (path.parent / "whole").write_bytes(content)
        load_checkpoint(path.parent / "whole", untouched)
        assert everything(trainer) == everything(untouched)


def test_arrays_under_exchanged_names_are_noticed(content, tmp_path):
    """The same bytes, and a header that is in order: only two names have changed places."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["optimizer.parameters"], header["best.parameters"] = (
        header["best.parameters"],
        header["optimizer.parameters"],
    )
    text = json.dumps(header, separators=(",", ":")).encode()
    (tmp_path / "a.ckpt").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert load((tmp_path / "a.ckpt").read_bytes()).keys() == load(content).keys()
    with pytest.raises(FormatError, match="checksum differs"):
        load_checkpoint(tmp_path / "a.ckpt", make(average=optim.EMA()))


@pytest.mark.parametrize(
    ("write", "match"),
    [
        pytest.param(lambda path: None, "not a checkpoint: No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "not a checkpoint: Is a directory", id="folder"),
        pytest.param(lambda path: path.write_bytes(b""), "too short", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"PK\x03\x04" * 100), "too short", id="zip"),
        pytest.param(lambda path: path.write_bytes(b"\x80\x04." + bytes(100)), "too short|not valid JSON", id="pickle"),
        pytest.param(lambda path: path.write_bytes(save({"a": np.ones(3)})), "holds no document", id="only-weights"),
        pytest.param(
            lambda path: path.write_bytes(save({"a": np.ones(3)}, {"document": "{}", "sha256": "0" * 64})),
            "checksum differs",
            id="wrong-checksum",
        ),
        pytest.param(
            lambda path: path.write_bytes((5).to_bytes(8, "little") + b"[1,2]"), "holds no document", id="json-list"
        ),
    ],
)
def test_foreign_files_are_refused(write, match, tmp_path):
    write(tmp_path / "a.ckpt")
    with pytest.raises(FormatError, match=rf"a\.ckpt: .*({match})"):
        load_checkpoint(tmp_path / "a.ckpt", make())


@pytest.mark.parametrize(
    ("other", "match"),
    [
        pytest.param(
            lambda: make(replace(CONFIG, epochs=9)), "config differ: expected config .*'epochs': 9", id="config"
        ),
        pytest.param(lambda: make(optimizer=optim.SGD()), "optimizer differ", id="optimizer"),
        pytest.param(lambda: make(optimizer=optim.AdamW(beta1=0.8)), "optimizer differ", id="hyperparameters"),
        pytest.param(lambda: make(schedule=optim.Constant()), "schedule differ", id="schedule"),
        pytest.param(lambda: make(criterion=MeanSquaredError()), "criterion differ", id="criterion"),
        pytest.param(
            lambda: make(criterion=CrossEntropy(metrics={"zero": lambda *_: 0.0})), "criterion differ", id="metrics"
        ),
        pytest.param(lambda: make(average=optim.EMA()), "average differ", id="average"),
        pytest.param(lambda: make(scaler=optim.LossScaler()), "scaler differ", id="scaler"),
        pytest.param(lambda: make(keep_best=False), "keep_best differ", id="keep-best"),
        pytest.param(lambda: make(kind=np.random.MT19937), "state of a MT19937 generator", id="generator"),
        pytest.param(
            lambda: Trainer(
                build(ModelSpec((3,), SPEC.layers[:1]), np.random.default_rng(0)), CONFIG, np.random.default_rng(1)
            ),
            "layout differ",
            id="network",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(other, match, tmp_path):
    saved = make()
    saved.fit(*TRAIN, VALIDATION, until=1)
    path = save_checkpoint(tmp_path / "a.ckpt", saved)
    trainer = other()
    before = everything(trainer)
    with pytest.raises(FormatError, match=match):
        load_checkpoint(path, trainer)
    assert everything(trainer) == before


def test_other_rows_cannot_finish_an_epoch(tmp_path):
    trainer = make()
    with pytest.raises(Killed):
        trainer.fit(*TRAIN, callbacks=[Kill(2)])
    with pytest.raises(DataError, match="over 36 rows, got 30"):
        trainer.fit(TRAIN[0][:30], TRAIN[1][:30])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(lambda d, a: d.pop("epoch"), "'epoch' as int, got None", id="no-epoch"),
        pytest.param(lambda d, a: d.update(epoch=-1), "'epoch' >= 0, got -1", id="negative-epoch"),
        pytest.param(lambda d, a: d.update(epoch=True), "'epoch' as int, got True", id="epoch-of-another-type"),
        pytest.param(lambda d, a: d.update(generators={}), "expected generators", id="no-generators"),
        pytest.param(
            lambda d, a: d["generators"].update(trainer={"bit_generator": "PCG64"}), "PCG64 generator", id="generator"
        ),
        pytest.param(lambda d, a: d.update(curves=["other"]), "'curve.other' is missing", id="curve"),
        pytest.param(
            lambda d, a: a.update({"curve.train_loss": np.zeros(3)}), r"float64 \(epochs, 2\)", id="curve-shape"
        ),
        pytest.param(
            lambda d, a: a.update({"epoch.order": np.zeros(36, np.int64)}), "as a permutation", id="no-permutation"
        ),
        pytest.param(lambda d, a: a.pop("epoch.loss_sum"), "'epoch.loss_sum' is missing", id="loss-sum"),
        pytest.param(lambda d, a: a.pop("optimizer.moment.first"), "'optimizer.moment.first' is missing", id="moment"),
        pytest.param(lambda d, a: d.update(seed=a.pop("epoch.order").size - 99), "'seed' >= 0, got -63", id="seed"),
        pytest.param(lambda d, a: d.update(under_way=1), "'under_way' as bool, got 1", id="under-way"),
        pytest.param(lambda d, a: a.pop("best.parameters"), "'best.parameters' is missing", id="best"),
        pytest.param(
            lambda d, a: a.update({"model.layers.1.running_mean": np.zeros(7, "f4")}),
            r"\(6,\), got .*\(7,\)",
            id="buffer",
        ),
        pytest.param(
            lambda d, a: a.update({"average": a["average"].astype("f8")}), "float32 .*, got float64", id="average-dtype"
        ),
    ],
)
def test_a_crafted_snapshot_is_refused_as_a_whole(change, match):
    """One whose checksum is right: what does not fit is found before anything is changed."""
    trainer = make(average=optim.EMA())
    with pytest.raises(Killed):
        trainer.fit(*TRAIN, VALIDATION, callbacks=[Kill(8)])
    snapshot = trainer.snapshot()
    document, arrays = json.loads(json.dumps(snapshot.document)), dict(snapshot.arrays)
    change(document, arrays)
    fresh = make(average=optim.EMA())
    before = everything(fresh)
    with pytest.raises(FormatError, match=match):
        fresh.restore(Snapshot(document, arrays))
    assert everything(fresh) == before


@pytest.mark.parametrize("options", [{"every": 0}, {"every_steps": 0}], ids=str)
def test_a_rhythm_below_one_is_refused(options, tmp_path):
    with pytest.raises(NasturtiumError, match="every and every_steps >= 1"):
        Checkpointing(tmp_path / "a", **options)


def test_checkpoints_every_other_epoch_and_at_the_end(tmp_path):
    epochs = []

    class Look(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            path = tmp_path / "a.ckpt"
            if path.exists():
                again = make(trainer.config)
                load_checkpoint(path, again)
                epochs.append(again.epoch)

    config = replace(CONFIG, epochs=5, patience=None)
    trainer = make(config)
    trainer.fit(*TRAIN, callbacks=[Checkpointing(tmp_path / "a.ckpt", every=2), Look()])
    assert epochs == [2, 2, 4, 4]
    again = make(config)
    load_checkpoint(tmp_path / "a.ckpt", again)
    assert again.epoch == 5
