"""Each library's model over three sites, against the same one trained by its library on all rows at once."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.federated import LocalTraining, SimulationConfig, SimulationSetup, simulate
from nasturtium.federated.adapters import LocalExamples, ModelCatalogue, load_adapted
from nasturtium.storage import open_database

MODULE = "nasturtium_test_modules"
SKLEARN = ("sklearn-linear", "sklearn-mlp")
LONG = LocalTraining(epochs=300, learning_rate=0.02)
MARGIN = 0.04  # of accuracy; 180 rows are tested on, so one of them is 0.0056


@pytest.fixture
def net(monkeypatch):
    """Where a module of PyTorch is made."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a small module is slower on more, which wait for each other
    from nasturtium.federated.adapters import torch_model

    @torch_model
    def net(task, *, hidden: int = 32):
        return torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(int(np.prod(task.input_shape)), hidden),
            torch.nn.BatchNorm1d(hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(hidden, len(task.classes)),
        )

    made = types.ModuleType(MODULE)
    made.net = net
    monkeypatch.setitem(sys.modules, MODULE, made)
    yield f"{MODULE}:net"
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path):
    """A simulation over three sites: its setup, result and model."""

    def run(adapter: str, **changes: object):
        fields = {"data": "digits", "clients": 3, "rounds": 6, "epochs": 5, "seed": 1, "alpha": 100.0, "workers": 1}
        config = SimulationConfig(model_adapter=adapter, **(fields | changes))
        setup = SimulationSetup.load(config)
        with open_database(tmp_path / "history.db") as database:
            result = simulate(setup, database)
        return setup, result, load_adapted(result.model, config.catalogue)

    return run


def prepared(setup, model):
    """All rows of all sites, and those that none has."""
    apply = model.preprocessing.apply
    flat = [apply(each.inputs).reshape(len(each), -1) for each in (setup.pool, setup.held_out)]
    return flat[0], setup.pool.labels, flat[1], setup.held_out.labels


def library_accuracy(name: str, options: dict, rows) -> float:
    inputs, labels, test, truth = rows
    if name == "sklearn-linear" and options.get("method") == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=500).fit(inputs, labels).score(test, truth)
    if name == "sklearn-linear":
        from sklearn.linear_model import SGDClassifier

        central = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01, random_state=0)
        return central.fit(inputs, labels).score(test, truth)
    if name == "sklearn-mlp":
        from sklearn.neural_network import MLPClassifier

        central = MLPClassifier((64,), batch_size=32, learning_rate_init=2e-3, max_iter=30, random_state=0, tol=0)
        for _ in range(30):
            central.partial_fit(inputs, labels, classes=np.unique(labels))
        return central.score(test, truth)
    import xgboost

    central = xgboost.XGBClassifier(n_estimators=6, max_depth=4, learning_rate=0.3, n_jobs=1)
    return central.fit(inputs, labels).score(test, truth)


@pytest.mark.parametrize("data", ["digits", "breast cancer"])
@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        pytest.param("sklearn-linear", {}, {}, id="sgd"),
        pytest.param("sklearn-linear", {"method": "logistic"}, {}, id="logistic"),
        pytest.param("sklearn-mlp", {}, {}, id="mlp"),
        pytest.param("xgboost", {"depth": 4}, {"scheme": "plain"}, id="xgboost"),
    ],
)
def test_a_federated_model_is_about_as_good_as_one_of_all_rows(run, tmp_path, name, options, changes, data):
    pytest.importorskip("sklearn" if name in SKLEARN else name, reason=f"{name} needs a library that is not installed")
    if data != "digits":
        changes = changes | {"data": _breast_cancer(tmp_path), "target": "malignant"}
    setup, result, model = run(name, model_options=options, **changes)
    rows = prepared(setup, model)
    central = library_accuracy(name, options, rows)
    assert result.test.accuracy > central - MARGIN
    # What is released is the library's own, and predicts alike.
    native = model.native()
    if name in SKLEARN:
        own = native.predict(rows[2].astype(np.float64 if name == "sklearn-linear" else np.float32))
    else:
        import xgboost

        own = native.predict(xgboost.DMatrix(rows[2])).argmax(axis=1)
    classes = model.preprocessing.task.classes
    assert [classes[int(label)] for label in own] == model.predict(setup.held_out.inputs)


def _breast_cancer(folder) -> str:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    data = datasets.load_breast_cancer()
    path = folder / "cancer.csv"
    lines = [",".join([*(f"x{i}" for i in range(30)), "malignant"])]
    lines += [
        ",".join([*map(repr, row), "no" if label else "yes"])
        for row, label in zip(data.data.tolist(), data.target.tolist(), strict=True)
    ]
    path.write_text("\n".join(lines))
    return str(path)


def test_a_torch_module_is_about_as_good_as_one_of_all_rows(run, net):
    import torch

    setup, result, model = run(net, rounds=8)
    inputs, labels, test, truth = (torch.from_numpy(np.array(each)) for each in prepared(setup, model))
    torch.manual_seed(0)
    central = sys.modules[MODULE].net.__wrapped__(setup.data.task).train()
    optimizer = torch.optim.AdamW(central.parameters(), lr=2e-3)
    for _ in range(20):
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(central(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    accuracy = (central.eval()(test).argmax(1) == truth).float().mean().item()
    assert result.test.accuracy > accuracy - MARGIN
    native = model.native()
    assert isinstance(native, torch.nn.Module)
    assert not native.training
    rows = torch.from_numpy(model.preprocessing.apply(setup.held_out.inputs))
    own = native(rows).argmax(1).tolist()
    assert [model.preprocessing.task.classes[label] for label in own] == model.predict(setup.held_out.inputs)
    # The file is the module's state dict, to the tensor.
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    native.load_state_dict(safetensors.load_file(result.model / "weights.safetensors"))


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("sklearn-linear", "fedavg"),
        ("sklearn-mlp", "fedadam"),
        ("torch", "fedavg"),
        pytest.param("sklearn-linear", "fedadam", marks=pytest.mark.soak),
        pytest.param("sklearn-mlp", "fedavg", marks=pytest.mark.soak),
        pytest.param("torch", "fedadam", marks=pytest.mark.soak),
    ],
)
def test_encrypted_and_masked_sums_lead_to_the_bits_of_plain_ones(run, request, name, strategy):
    pytest.importorskip("torch" if name == "torch" else "sklearn", reason=f"{name} is not installed")
    adapter = request.getfixturevalue("net") if name == "torch" else name
    models = [
        run(adapter, rounds=2, epochs=1, strategy=strategy, **way)[1].model / "weights.safetensors"
        for way in ({"scheme": "plain"}, {}, {"masked": True})
    ]
    assert len({path.read_bytes() for path in models}) == 1


def test_normalisation_of_a_torch_module_can_stay_at_its_site(run, net):
    setup, _, _ = run(net, rounds=1, epochs=1, strategy="fedbn")
    kinds = {each.name: (each.kind, each.normalises) for each in setup.spec.tensors.tensors}
    assert kinds["2.running_mean"] == ("buffer", True)
    assert kinds["2.weight"] == ("parameter", True)
    assert kinds["2.num_batches_tracked"] == ("local", True)
    assert kinds["1.weight"] == ("parameter", False)


def test_torch_goes_on_as_if_nobody_had_drawn(net):
    import torch

    task = _task()
    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    model = ModelCatalogue({"net": net}).make("net", {}, task)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(model.initial(5).values(), model.initial(5).values(), strict=True)
    )
    assert torch.rand(3).tolist() == expected


@pytest.mark.parametrize("name", ["sklearn-linear", "sklearn-mlp", "torch"])
@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_a_site_that_lacks_a_class_trains_a_model_of_all(request, name, classes):
    pytest.importorskip("torch" if name == "torch" else "sklearn", reason=f"{name} is not installed")
    listed = {"torch": request.getfixturevalue("net")} if name == "torch" else {}
    ways = [{"method": "sgd"}, {"method": "logistic"}] if name == "sklearn-linear" else [{}]
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(20, 3)).astype(np.float32), np.zeros(20, np.int64)
    for options in ways:
        model = ModelCatalogue(listed).make(name, options, _task(classes))
        begun = model.initial(1)
        before = {key: array.copy() for key, array in begun.items()}
        trained = model.tensors.check(model.train(begun, LocalExamples("a", inputs, labels), LONG, rng))
        assert all(np.array_equal(begun[key], before[key]) for key in begun)  # stays as it was
        assert any(not np.array_equal(trained[key], before[key]) for key in begun)
        assert model.logits(trained, inputs).argmax(axis=1).mean() < 0.1
        assert model.logits(trained, inputs[:0]).shape == (0, len(classes))


def _task(classes=("a", "b")):
    from nasturtium.core.data import Task

    return Task(input_shape=(3,), features=("x", "y", "z"), classes=classes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_adapter": "xgboost"}, "which shows each site's to all the others"),
        ({"model_adapter": "xgboost", "scheme": "plain", "strategy": "median"}, "joined by exact sums"),
        ({"model_adapter": "xgboost", "scheme": "plain", "compression": "top-k"}, "joined by exact sums"),
        ({"model_adapter": "sklearn-mlp", "strategy": "scaffold"}, "trains by its own library"),
        ({"model_adapter": "sklearn-mlp", "model_options": {"hidden": [0]}}, "expected units"),
        ({"model_adapter": "sklearn-mlp", "model_options": {"activation": "gelu"}}, "expected an activation"),
        ({"model_adapter": "sklearn-linear", "model_options": {"method": "svm"}}, "expected a method"),
        ({"model_adapter": "nobodys"}, "no model is called"),
        ({"model_options": {"hidden": 3}}, "options of a model, and there is no model"),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_it_begins(changes, message):
    for each in ("sklearn", "xgboost"):
        pytest.importorskip(each, reason=f"{each} is not installed")
    with pytest.raises(ConfigError, match=message):
        SimulationSetup.load(SimulationConfig(data="digits", **changes))


@pytest.mark.parametrize("adapter", ["sklearn-linear", pytest.param("xgboost", marks=pytest.mark.soak)])
def test_sites_in_other_processes_have_the_models_too(run, adapter):
    pytest.importorskip("sklearn" if adapter in SKLEARN else adapter, reason=f"{adapter} is not installed")
    scheme = "plain" if adapter == "xgboost" else "packed"
    here = run(adapter, rounds=1, epochs=1, scheme=scheme)[1]
    there = run(adapter, rounds=1, epochs=1, scheme=scheme, processes=1)[1]
    assert (there.model / "weights.safetensors").read_bytes() == (here.model / "weights.safetensors").read_bytes()
