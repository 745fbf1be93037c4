"""Zero-cost scores: finite for every network, equal to formulas written with PyTorch, and of use on digits."""

from __future__ import annotations

from math import isfinite, log, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from nasturtium.core import (
    Budget,
    Candidate,
    ConfigError,
    Evaluation,
    ModelSpec,
    Tensor,
    Trainer,
    TrainingConfig,
    build,
    derive_rng,
    nn,
)
from nasturtium.core.data import BUNDLED, Dataset, Task
from nasturtium.core.nn import Node, layer_spec
from nasturtium.nas.zero_cost import (
    ZERO_COST,
    Probe,
    ZeroCostEvaluator,
    ZeroCostScorer,
    nwot,
    zero_cost,
    zero_cost_filter,
    zero_cost_scores,
)

ROWS = 16
PAPERS = ("nwot", "synflow", "jacov", "snip", "grad_norm")


def linear(width: int, **options):
    return layer_spec("linear", out_features=width, **options)


def act(function: str = "relu"):
    return layer_spec("activation", function=function)


def conv(channels: int, kernel: int = 3, **options):
    return layer_spec("conv2d", out_channels=channels, kernel=kernel, **options)


NORM = layer_spec("batch_norm")
HEAD = (layer_spec("global_avg_pool"), linear(3))
CELL = layer_spec(
    "graph",
    nodes=(
        Node("a", conv(4, bias=False), ("input",)),
        Node("norm", NORM, ("a",)),
        Node("pool", layer_spec("avg_pool2d", size=3, stride=1, padding=1), ("input",)),
        Node("wide", conv(4, 1), ("pool",)),
        Node("sum", layer_spec("add"), ("norm", "wide")),
        Node("out", act(), ("sum",)),
    ),
)
NETWORKS = {
    "one layer": ModelSpec((5,), (linear(3),)),
    "no activation": ModelSpec((5,), (linear(8), linear(3))),
    "mlp": ModelSpec((5,), (linear(8), act(), linear(3))),
    "one input": ModelSpec((1,), (linear(8), act("tanh"), linear(3))),
    "saturating": ModelSpec((5,), (linear(64), act("sigmoid"), linear(64), act("tanh"), linear(3))),
    "own slopes": ModelSpec((5,), (linear(8), layer_spec("prelu"), linear(8), layer_spec("elu"), linear(3))),
    "gated": ModelSpec((5,), (linear(8), layer_spec("gate", function="glu"), linear(3))),
    "deep": ModelSpec((5,), (*(linear(32), act()) * 150, linear(3))),
    "deep and residual": ModelSpec(
        (5,), (linear(16), *(layer_spec("residual", body=(linear(16), act(), linear(16))),) * 100, linear(3))
    ),
    "deep and saturating": ModelSpec((5,), (*(linear(32), act("sigmoid")) * 60, linear(3))),
    "cnn": ModelSpec((1, 6, 6), (conv(4), NORM, act("gelu"), layer_spec("max_pool2d", size=2), *HEAD)),
    "cell": ModelSpec((1, 6, 6), (CELL, *HEAD)),
    "mbconv": ModelSpec((2, 6, 6), (layer_spec("mbconv", out_channels=2, drop=0.2), *HEAD)),
    "group norm": ModelSpec((1, 6, 6), (conv(4), layer_spec("group_norm", groups=2), act("silu"), *HEAD)),
    "dropout": ModelSpec((5,), (linear(8), act(), layer_spec("dropout", rate=0.5), linear(3))),
    "transformer": ModelSpec(
        (6, 4),
        (
            layer_spec("positional_encoding", learned=True),
            layer_spec("transformer_encoder", heads=2, dropout=0.1),
            layer_spec("sequence_mean"),
            linear(3),
        ),
    ),
    "rnn": ModelSpec((6, 4), (layer_spec("rnn", hidden=5, sequences=False), linear(3))),
    "gru": ModelSpec((6, 4), (layer_spec("gru", hidden=5, bidirectional=True, sequences=False), linear(3))),
    "lstm": ModelSpec((6, 4), (layer_spec("lstm", hidden=5, layers=2), layer_spec("sequence_mean"), linear(3))),
    "tcn": ModelSpec((3, 8), (layer_spec("conv1d", out_channels=4, kernel=3), act(), layer_spec("flatten"), linear(3))),
    "spiking": ModelSpec((6, 4), (linear(5), layer_spec("leaky"), layer_spec("sequence_mean"), linear(3))),
}


def minibatch(spec: ModelSpec, kind: str = "classification") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((ROWS, *spec.input_shape)).astype(np.float32)
    if kind == "classification":
        return inputs, rng.integers(0, 3, ROWS)
    return inputs, rng.standard_normal((ROWS, 3)).astype(np.float32)


def scores(spec: ModelSpec, kind: str = "classification", *, seed: int = 0, names=None) -> dict[str, float]:
    return zero_cost_scores(spec, *minibatch(spec, kind), names=names, seed=seed, task_kind=kind)


# --- every network ---


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_every_score_of_every_network_is_finite_and_the_same_twice(spec, kind):
    first = scores(spec, kind)
    assert list(first) == list(ZERO_COST)
    assert all(isfinite(value) for value in first.values()), first
    assert first == scores(spec, kind)


@pytest.mark.parametrize("name", ["nwot", "synflow", "jacov", "snip", "grad_norm"])
@pytest.mark.parametrize("spec", [NETWORKS[n] for n in ("cnn", "mbconv", "transformer", "gru")])
def test_a_score_leaves_its_probe_as_it_was(spec, name):
    probe = Probe.of(spec, *minibatch(spec), seed=0, task_kind="classification")
    function = ZERO_COST[name].function
    before = probe.model(Tensor(probe.inputs)).detach().numpy()
    assert function(probe) == function(probe)
    np.testing.assert_array_equal(probe.model(Tensor(probe.inputs)).detach().numpy(), before)


def test_scores_have_sources_and_a_second_one_of_a_name_is_refused():
    assert {"nwot", "synflow", "jacov", "snip", "grad_norm", "parameters", "macs"} == set(ZERO_COST)
    assert all("20" in entry.source and entry.name == name for name, entry in ZERO_COST.items())
    with pytest.raises(ValueError, match="'nwot' is declared twice"):
        zero_cost("nwot", source="nobody")(nwot)


def test_sizes_are_those_of_the_plan():
    plan = NETWORKS["cnn"].plan()
    found = scores(NETWORKS["cnn"], names=["parameters", "macs"])
    assert found == {"parameters": plan.parameters, "macs": plan.macs}


# --- laws ---


def test_a_network_without_activations_tells_no_rows_apart():
    assert scores(NETWORKS["one layer"])["nwot"] == 0
    # Jacobians are the same for all rows: one eigenvalue is N, the others are 0.
    worst = -((ROWS - 1) * (log(1e-5) + 1e5) + log(ROWS + 1e-5) + 1 / (ROWS + 1e-5))
    assert scores(NETWORKS["one layer"])["jacov"] == pytest.approx(worst, rel=1e-6)


@given(hidden=st.integers(1, 64), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_nwot_grows_with_every_unit(hidden, seed):
    """More units can only add to the kernel: I + K grows as a matrix, and so its determinant."""
    wider, narrower = (
        Probe.of(spec, *minibatch(spec), seed=seed, task_kind="classification")
        for spec in (ModelSpec((5,), (linear(units), act(), linear(3))) for units in (hidden + 1, hidden))
    )
    narrower.model.layers[0].weight.data[...] = wider.model.layers[0].weight.data[:-1]
    assert 0 < nwot(narrower) < nwot(wider)


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_synflow_of_scaled_weights_is_shifted_by_the_logarithm(factor, seed):
    spec = ModelSpec((5,), (linear(8), act(), linear(6), act(), linear(3)))
    probe = Probe.of(spec, *minibatch(spec), seed=seed, task_kind="classification")
    before = ZERO_COST["synflow"].function(probe)
    for tensor in probe.weights.values():
        tensor.data *= factor
    assert ZERO_COST["synflow"].function(probe) == pytest.approx(before + 3 * log(factor), rel=1e-9, abs=1e-9)


def test_synflow_neither_looks_at_the_data_nor_at_the_activation():
    spec, saturating = NETWORKS["mlp"], ModelSpec((5,), (linear(8), act("sigmoid"), linear(3)))
    inputs, targets = minibatch(spec)
    first = zero_cost_scores(spec, inputs, targets, names=["synflow"], seed=3, task_kind="classification")
    other = zero_cost_scores(saturating, 5 * inputs, targets, names=["synflow"], seed=3, task_kind="classification")
    assert first == other


@pytest.mark.parametrize("name", PAPERS)
def test_wider_recurrent_networks_score_higher_in_size_and_flow(name):
    narrow, wide = (
        scores(ModelSpec((6, 4), (layer_spec("gru", hidden=width, sequences=False), linear(3))), names=[name])[name]
        for width in (4, 64)
    )
    assert narrow != wide
    if name in ("nwot", "synflow"):
        assert narrow < wide


# --- wrong input ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"names": ["nwat"]}, "unknown zero-cost score 'nwat'", id="unknown"),
        pytest.param({"task_kind": "ranking"}, "expected task_kind 'classification' or 'regression'", id="kind"),
        pytest.param({"inputs": np.zeros((1, 5)), "targets": np.zeros(1, int)}, "at least two rows", id="one-row"),
        pytest.param({"inputs": np.zeros((16, 4))}, r"rows of shape \(5,\)", id="shape"),
        pytest.param({"targets": np.zeros(3, int)}, "got inputs of shape .* and 3 targets", id="targets"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    spec = NETWORKS["mlp"]
    inputs, targets = minibatch(spec)
    given = {"inputs": inputs, "targets": targets, "seed": 0, "task_kind": "classification", **change}
    with pytest.raises(ConfigError, match=message):
        zero_cost_scores(spec, **given)


def test_tokens_have_no_jacobian_but_all_other_scores():
    spec = ModelSpec(
        (6,), (layer_spec("embedding", tokens=9, features=4), layer_spec("gru", hidden=5, sequences=False), linear(3))
    )
    tokens, labels = np.random.default_rng(0).integers(0, 9, (ROWS, 6)), np.arange(ROWS) % 3
    with pytest.raises(ConfigError, match="jacov: expected inputs that are real numbers"):
        zero_cost_scores(spec, tokens, labels, names=["jacov"], seed=0, task_kind="classification")
    rest = [name for name in ZERO_COST if name != "jacov"]
    found = zero_cost_scores(spec, tokens, labels, names=rest, seed=0, task_kind="classification")
    assert all(isfinite(value) for value in found.values())


# --- against formulas written with PyTorch ---

PARITY = {
    "mlp": ModelSpec((6,), (linear(12), act(), linear(10), act(), linear(3))),
    "cnn": ModelSpec(
        (1, 6, 6),
        (conv(5), NORM, act(), conv(4), act(), layer_spec("avg_pool2d", size=2), layer_spec("flatten"), linear(3)),
    ),
}


def as_torch(torch, model: nn.Sequential):
    """The same network with the same weights."""
    made = []
    for layer in model.layers:
        match layer:
            case nn.Linear():
                made.append(torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[0]))
            case nn.Conv2d():
                out, given, kernel, _ = layer.weight.shape
                made.append(torch.nn.Conv2d(given, out, kernel, padding=kernel // 2))
            case nn.BatchNorm():
                made.append(torch.nn.BatchNorm2d(layer.weight.shape[0]))
            case nn.Activation():
                made.append(torch.nn.ReLU())
            case nn.AvgPool2d():
                made.append(torch.nn.AvgPool2d(2))
            case nn.Flatten():
                made.append(torch.nn.Flatten())
        if isinstance(layer, nn.Linear | nn.Conv2d):
            made[-1].weight.data = torch.tensor(layer.weight.data)
            made[-1].bias.data = torch.tensor(layer.bias.data.reshape(-1))
    return torch.nn.Sequential(*made).double()


def torch_nwot(torch, net, x, _):
    kernel = np.eye(len(x))

    def note(_, inputs, __):
        code = (inputs[0].reshape(len(x), -1) > 0).double()
        kernel[...] += (code @ code.T + (1 - code) @ (1 - code).T).numpy()

    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(note)
    with torch.no_grad():
        net(x)
    return float(np.linalg.slogdet(kernel)[1])


def weights_of(torch, net):
    return [m.weight for m in net.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]


def torch_synflow(torch, net, x, _):
    net.eval()  # untrained statistics: batch norm is the identity up to its epsilon
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    net(torch.ones(1, *x.shape[1:], dtype=torch.float64)).sum().backward()
    return log(sum(float((weight.detach() * weight.grad).abs().sum()) for weight in weights_of(torch, net)))


def torch_jacov(torch, net, x, _):
    x = x.clone().requires_grad_(True)
    y = net(x)
    y.backward(torch.ones_like(y))
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(x.grad.reshape(len(x), -1).numpy()))
    return float(-np.sum(np.log(eigenvalues + 1e-5) + 1.0 / (eigenvalues + 1e-5)))


def torch_gradient(torch, net, x, targets):
    torch.nn.functional.cross_entropy(net(x), targets).backward()
    return weights_of(torch, net)


def torch_snip(torch, net, x, targets):
    return sum(float((w.detach() * w.grad).abs().sum()) for w in torch_gradient(torch, net, x, targets))


def torch_grad_norm(torch, net, x, targets):
    return sum(float(w.grad.norm()) for w in torch_gradient(torch, net, x, targets))


REFERENCES = {
    "nwot": torch_nwot,
    "synflow": torch_synflow,
    "jacov": torch_jacov,
    "snip": torch_snip,
    "grad_norm": torch_grad_norm,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("spec", PARITY.values(), ids=PARITY)
def test_scores_agree_with_pytorch(spec, name, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
    inputs, targets = minibatch(spec)
    ours = scores(spec, seed=seed, names=[name])[name]
    net = as_torch(torch, build(spec, derive_rng(seed, "weights")))
    theirs = REFERENCES[name](torch, net, torch.tensor(inputs).double(), torch.tensor(targets))
    assert ours == pytest.approx(theirs, rel=1e-7)


# --- scorers, evaluators, filters ---


def regression_data() -> Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((40, 5)).astype(np.float32)
    task = Task(input_shape=(5,), features=tuple("abcde"), kind="regression", targets=("y",))
    return Dataset("made", inputs, (100 + 3 * inputs[:, :1]).astype(np.float32), task)


def candidate(spec: ModelSpec, seed: int = 0) -> Candidate:
    return Candidate(id=f"{spec.sha256}-{seed}", spec=spec, hyperparameters={}, seed=seed)


ONE = Budget(epochs=1, total=1)


def test_scores_are_the_objectives_of_an_evaluator():
    spec = ModelSpec((5,), (linear(8), act(), linear(1)))

    def make():
        return ZeroCostEvaluator(ZeroCostScorer(regression_data(), names=("nwot", "snip"), seed=1, rows=16))

    result = make().evaluate(candidate(spec), ONE)
    assert {"nwot", "snip", "parameters"} <= set(result.objectives)
    assert result.objectives["parameters"] == spec.plan().parameters
    assert (result.epochs, result.diverged) == (0, False)
    assert make().evaluate(candidate(spec), Budget(epochs=3, total=9)) == result
    assert make().evaluate(candidate(spec, seed=1), ONE) != result


class Fixed:
    """An evaluator that says what it is told to."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        return self.evaluation


def test_scores_stand_beside_what_training_gives():
    spec = ModelSpec((5,), (linear(8), act(), linear(1)))
    scorer = ZeroCostScorer(regression_data(), names=("nwot",), seed=1)
    trained = Evaluation(objectives={"val_loss": 0.5}, curves={"val_loss": {1: 0.5}}, epochs=1)
    result = ZeroCostEvaluator(scorer, trained=Fixed(trained)).evaluate(candidate(spec), ONE)
    assert result.objectives == {"val_loss": 0.5, "nwot": scorer.scores(spec, 0)["nwot"]}
    assert (result.curves, result.epochs) == (trained.curves, 1)
    diverged = Evaluation(objectives={}, epochs=1, diverged=True)
    assert ZeroCostEvaluator(scorer, trained=Fixed(diverged)).evaluate(candidate(spec), ONE).diverged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rows": 1}, "at least two rows and one score, got 1", id="rows"),
        pytest.param({"names": ()}, "at least two rows and one score", id="none"),
        pytest.param({"names": ("size",)}, "unknown zero-cost score 'size'", id="unknown"),
    ],
)
def test_a_scorer_refuses_what_it_cannot_do(options, message):
    with pytest.raises(ConfigError, match=message):
        ZeroCostScorer(regression_data(), seed=0, **options)


@pytest.mark.parametrize(
    ("pool", "keep", "kept"),
    [
        pytest.param([3.0, 1.0, 2.0], 2, [3.0, 2.0], id="best-first"),
        pytest.param([1.0, 2.0], 5, [2.0, 1.0], id="fewer-than-asked-for"),
        pytest.param([], 1, [], id="empty"),
        pytest.param([nan, -9.0], 1, [-9.0], id="nan-is-worst"),
    ],
)
def test_the_filter_keeps_the_best(pool, keep, kept):
    assert zero_cost_filter(pool, lambda value: value, keep) == kept


def test_the_filter_keeps_the_earlier_of_equals_and_at_least_one():
    assert zero_cost_filter(["first", "other", "third"], len, 2) == ["first", "other"]
    with pytest.raises(ConfigError, match="expected keep >= 1, got 0"):
        zero_cost_filter([1.0], float, 0)


# --- of use ---


def test_nwot_ranks_networks_on_digits_better_than_chance():
    data = BUNDLED["digits"]()
    order = np.random.default_rng(0).permutation(len(data))
    train, validation = data.take(order[:400]), data.take(order[400:1000])
    scorer = ZeroCostScorer(train, names=("nwot",), seed=0)
    predicted, reached = [], []
    for width in (1, 2, 4, 8, 32, 128):
        spec = ModelSpec((1, 8, 8), (layer_spec("flatten"), linear(width), act(), linear(10)))
        trainer = Trainer(build(spec, derive_rng(0, "weights")), TrainingConfig(epochs=6, patience=None), derive_rng(0))
        curves = trainer.fit(train.inputs / 16, train.labels, (validation.inputs / 16, validation.labels))
        predicted.append(scorer.scores(spec, 0)["nwot"])
        reached.append(curves["val_accuracy"][6])
    assert spearmanr(predicted, reached).statistic > 0.4
