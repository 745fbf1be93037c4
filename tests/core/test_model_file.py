"""Saved models: what comes back is what was saved, and a foreign or damaged folder is refused."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from nasturtium.core import (
    ConfigError,
    FormatError,
    ModelSpec,
    NasturtiumError,
    SavedModel,
    Tensor,
    build,
    load_model,
    predict_logits,
    save_model,
    weights_file,
)
from nasturtium.core.data import Preprocessing, Task
from nasturtium.core.nn import Node, layer_spec

TASK = Task(input_shape=(2,), features=("age", "height"), classes=("no", "perhaps", "yes"))
SPEC = ModelSpec(
    (2,),
    (
        layer_spec("linear", out_features=4),
        layer_spec("batch_norm"),
        layer_spec("activation", function="gelu"),
        layer_spec("dropout", rate=0.5),
        layer_spec("linear", out_features=3),
    ),
)
ROWS = np.random.default_rng(0).normal([40, 1.7], [10, 0.1], (50, 2)).astype(np.float32)
PREPROCESSING = Preprocessing.fit(ROWS, TASK)


def network(seed: int = 0):
    model = build(SPEC, np.random.default_rng(seed))
    model(Tensor(PREPROCESSING.apply(ROWS)))  # moves the running statistics
    return model


def saved(folder: Path, seed: int = 0) -> Path:
    return save_model(folder, SPEC, network(seed), PREPROCESSING, {"study": "s1", "accuracy": 0.9})


@pytest.fixture
def folder(tmp_path) -> Path:
    return saved(tmp_path / "model")


def test_a_model_comes_back_with_identical_predictions(folder):
    loaded, model = load_model(folder), network().eval()
    assert loaded.spec == SPEC
    assert loaded.metadata == {"study": "s1", "accuracy": 0.9}
    expected = predict_logits(model, PREPROCESSING.apply(ROWS))
    np.testing.assert_array_equal(predict_logits(loaded.model, loaded.preprocessing.apply(ROWS)), expected)
    for name, array in model.state().items():
        np.testing.assert_array_equal(loaded.model.state()[name], array)


def test_probabilities_add_up_and_prediction_names_the_likeliest_class(folder):
    loaded = load_model(folder)
    probabilities = loaded.predict_probabilities(ROWS)
    assert probabilities.shape == (50, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert loaded.predict(ROWS) == [TASK.classes[i] for i in probabilities.argmax(1)]
    assert len(set(loaded.predict(ROWS))) > 1


# --- measurements ---

MEASURED = Task(input_shape=(2,), features=("age", "height"), kind="regression", targets=("weight", "pulse"))
LINEAR = ModelSpec((2,), (layer_spec("linear", out_features=2),))


@pytest.fixture
def measuring(tmp_path) -> SavedModel:
    """A model of weight = 2 * age + 10 and pulse = 100 - 20 * height, written down rather than learned."""
    targets = np.stack([2 * ROWS[:, 0] + 10, 100 - 20 * ROWS[:, 1]], 1)
    preprocessing = Preprocessing.fit(ROWS, MEASURED, targets)
    model = build(LINEAR, np.random.default_rng(0))
    model.load_state(
        {"layers.0.weight": np.diag(np.array([1, -1], np.float32)), "layers.0.bias": np.zeros(2, np.float32)}
    )
    return load_model(save_model(tmp_path / "model", LINEAR, model, preprocessing, {}))


def test_a_regression_predicts_measurements_in_their_own_units(measuring):
    rows = np.array([[30.0, 1.6], [50.0, 1.9]])
    predicted = measuring.predict(rows)
    assert (predicted.shape, predicted.dtype) == ((2, 2), np.float32)
    np.testing.assert_allclose(predicted, [[70, 68], [110, 62]], rtol=1e-4)
    assert measuring.predict(rows[:0]).shape == (0, 2)


def test_a_regression_has_no_probabilities(measuring):
    with pytest.raises(ConfigError, match=r"no class probabilities: its targets are weight, pulse.*use predict"):
        measuring.predict_probabilities(ROWS)


# --- special cases ---


def test_a_network_of_several_inputs_does_not_fit_a_task_of_one(folder):
    both = layer_spec(
        "graph",
        nodes=(Node("both", layer_spec("add"), ("x", "y")),),
        inputs=("x", "y"),
        other_shapes=((2,),),
    )
    rewrite(folder, spec=ModelSpec((2,), (both, *SPEC.layers)).to_dict())
    with pytest.raises(FormatError, match="does not fit the preprocessing"):
        load_model(folder)


def test_a_graph_comes_back_from_its_folder(tmp_path):
    """The names of its nodes are names of files' arrays, whatever they look like."""
    branches = (
        Node("a/b 1x1 é", SPEC.layers[0], ("input",)),
        Node("end", layer_spec("concat"), ("a/b 1x1 é", "input")),
    )
    spec = ModelSpec((2,), (layer_spec("graph", nodes=branches), SPEC.layers[-1]))
    model = build(spec, np.random.default_rng(0)).eval()
    loaded = load_model(save_model(tmp_path / "model", spec, model, PREPROCESSING, {}))
    assert loaded.spec == spec
    inputs = PREPROCESSING.apply(ROWS)
    np.testing.assert_array_equal(predict_logits(loaded.model, inputs), predict_logits(model, inputs))


def test_no_rows_have_no_predictions(folder):
    assert load_model(folder).predict(ROWS[:0]) == []


def test_a_path_may_be_text(folder):
    assert isinstance(load_model(str(folder)), SavedModel)


def test_saving_the_same_model_twice_gives_the_same_bytes(tmp_path):
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_the_weights_are_ordinary_safetensors(folder):
    arrays = load_file(weights_file(folder))
    assert {name: array.shape for name, array in arrays.items()} == {n: a.shape for n, a in network().state().items()}


# --- writing ---


def test_an_older_model_is_replaced_and_no_draft_is_left(tmp_path):
    for seed in (0, 1):
        saved(tmp_path / "models" / "best", seed)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["best"]
    assert sorted(path.name for path in (tmp_path / "models" / "best").iterdir()) == [
        "model.json",
        "weights.safetensors",
    ]
    np.testing.assert_array_equal(
        load_model(tmp_path / "models" / "best").model.state()["layers.0.weight"], network(1).state()["layers.0.weight"]
    )


def test_a_failed_save_leaves_the_older_model_and_no_draft(folder):
    before = load_model(folder).model.state()
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_model(folder, SPEC, network(1), PREPROCESSING, {"loss": float("nan")})
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    for name, array in load_model(folder).model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "model").mkdir()
    assert load_model(saved(tmp_path / "model")).spec == SPEC


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_a_model_is_never_replaced(tmp_path, kind):
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
    content = target / "chapter.txt" if kind == "folder" else target
    content.write_text("years of work")
    with pytest.raises(ConfigError, match=r"is there already and is not a saved model.*choose another folder"):
        saved(target)
    assert content.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


# --- reading what is damaged or foreign ---


def rewrite(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**document, **changes}))


def with_weights(folder: Path, content: bytes) -> None:
    """Other weights, and the checksum that belongs to them."""
    weights_file(folder).write_bytes(content)
    rewrite(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def flip_a_bit(folder: Path) -> None:
    content = bytearray(weights_file(folder).read_bytes())
    content[-1] ^= 1
    weights_file(folder).write_bytes(content)


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def other_state(**changes: np.ndarray) -> bytes:
    return save({**network().state(), **changes})


DAMAGE = [
    pytest.param(flip_a_bit, "its checksum differs", id="tampered-weights"),
    pytest.param(lambda f: cut(weights_file(f), -4), "its checksum differs", id="cut-weights"),
    pytest.param(lambda f: cut(weights_file(f), 0), "too small for the architecture: 0 bytes", id="empty-weights"),
    pytest.param(lambda f: weights_file(f).unlink(), "not a saved model.*must hold model.json", id="no-weights"),
    pytest.param(lambda f: (f / "model.json").unlink(), "not a saved model.*must hold model.json", id="no-json"),
    pytest.param(lambda f: cut(f / "model.json", 100), "not valid JSON", id="cut-json"),
    pytest.param(lambda f: (f / "model.json").write_bytes(b"\xff\x00"), "not valid JSON", id="garbage-json"),
    pytest.param(
        lambda f: (f / "model.json").write_text("[1]"), "expected a nasturtium.model object, got list", id="list"
    ),
    pytest.param(lambda f: (f / "model.json").write_text("{}"), "'nasturtium.model', got None", id="foreign-json"),
    pytest.param(
        lambda f: rewrite(f, format="nasturtium.model-spec"), "got 'nasturtium.model-spec'", id="other-format"
    ),
    pytest.param(lambda f: rewrite(f, version=2), "version up to 1, got 2.*upgrade nasturtium", id="newer"),
    pytest.param(lambda f: rewrite(f, weights_sha256=None), "its checksum differs", id="no-checksum"),
    pytest.param(lambda f: rewrite(f, spec=None), "expected a nasturtium.model-spec object", id="no-spec"),
    pytest.param(lambda f: rewrite(f, preprocessing=None), "damaged preprocessing", id="no-preprocessing"),
    pytest.param(
        lambda f: rewrite(f, spec=ModelSpec((3,), SPEC.layers).to_dict()),
        "does not fit the preprocessing",
        id="inputs-differ",
    ),
    pytest.param(
        lambda f: rewrite(f, spec=ModelSpec((2,), SPEC.layers[:1]).to_dict()), "does not fit", id="classes-differ"
    ),
    pytest.param(
        lambda f: rewrite(f, spec=ModelSpec((2,), SPEC.layers[::4]).to_dict()),
        r"does not belong to this model: .*unknown=",
        id="another-architecture",
    ),
    pytest.param(lambda f: with_weights(f, b"\xff" * 1000), "weights.safetensors is damaged", id="not-safetensors"),
    pytest.param(lambda f: with_weights(f, save({})), "too small", id="no-arrays"),
    pytest.param(
        lambda f: with_weights(f, other_state(**{"layers.4.bias": np.zeros(2, np.float32)})),
        r"has shape \(2,\)",
        id="shape",
    ),
    pytest.param(lambda f: with_weights(f, other_state(**{"layers.4.bias": np.zeros(3)})), "dtype float64", id="dtype"),
    pytest.param(lambda f: with_weights(f, other_state(extra=np.zeros(1))), r"unknown=\['extra'\]", id="extra-array"),
]


@pytest.mark.parametrize(("damage", "match"), DAMAGE)
def test_a_damaged_folder_is_refused(folder, damage, match):
    damage(folder)
    with pytest.raises(FormatError, match=match):
        load_model(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="model: not a saved model: No such file"):
        load_model(tmp_path / "model")


def test_an_unknown_dtype_in_the_weights_is_refused(folder):
    """A safetensors file may hold dtypes that we do not have."""
    header = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [80], "data_offsets": [0, 80]}}).encode()
    with_weights(folder, len(header).to_bytes(8, "little") + header + bytes(80))
    with pytest.raises(FormatError, match=r"weights.safetensors is damaged: .*F8_E4M3"):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_an_oversized_file_is_refused_unread(folder, name):
    """A sparse file of a terabyte."""
    with (folder / name).open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(FormatError, match=f"{name}: {2**40} bytes are more than"):
        load_model(folder)


def test_an_architecture_larger_than_its_weights_is_refused_unbuilt(folder):
    layers = (layer_spec("linear", out_features=40_000), layer_spec("linear", out_features=40_000), SPEC.layers[-1])
    rewrite(folder, spec=ModelSpec((2,), layers).to_dict())
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="too small for the architecture"):
            load_model(folder)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_disk_that_refuses_is_said_so(tmp_path):
    """The folder's parent is a file: nothing can be made below it."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(NasturtiumError, match="the model cannot be written"):
        saved(tmp_path / "file" / "model")
