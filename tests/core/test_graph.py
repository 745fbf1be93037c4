"""Graphs of layers as data: what is written is built and computed, and what makes no sense is refused beforehand."""

from __future__ import annotations

import doctest
import importlib
import json
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import (
    FormatError,
    ModelSpec,
    ParameterLayout,
    Tensor,
    Trainer,
    TrainingConfig,
    build,
    device,
    grad,
    nn,
    ops,
    per_sample_gradients,
)
from nasturtium.core.nn import LayerSpec, Node, layer_spec
from nasturtium.core.nn.layer import MAX_DEPTH, MAX_ELEMENTS, MAX_LAYERS, MAX_MACS

RELU = layer_spec("activation", function="relu")


def conv(channels: int, kernel: int = 1, **options) -> LayerSpec:
    return layer_spec("conv2d", out_channels=channels, kernel=kernel, **options)


def graph(*nodes: Node, **options) -> LayerSpec:
    return layer_spec("graph", nodes=nodes, **options)


INCEPTION = graph(
    Node("1x1", conv(2), ("input",)),
    Node("3x3 reduce", conv(3), ("input",)),
    Node("relu", RELU, ("3x3 reduce",)),
    Node("3x3", conv(4, 3), ("relu",)),
    Node("output", layer_spec("concat"), ("1x1", "3x3", "input")),
)
SIAMESE = graph(
    Node("left", layer_spec("linear", out_features=3), ("a",)),
    Node("right", "left", ("b",)),
    Node("difference", layer_spec("add", weights=(1.0, -1.0)), ("left", "right")),
    inputs=("a", "b"),
    other_shapes=((4,),),
)


def values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- what graphs compute ---


def test_an_inception_module_is_its_branches_side_by_side():
    spec = ModelSpec((3, 6, 5), (INCEPTION,))
    # At the join the branches of 2 and 4 channels and the input of 3 are there, and the 9 of the output.
    assert spec.plan() == nn.LayerPlan((9, 6, 5), 8 + 12 + 112, 30 * (6 + 9 + 108), tensors=6, peak=30 * 18)
    model = build(spec, np.random.default_rng(0))
    x = Tensor(numbers(2, 3, 6, 5))
    nodes = model.layers[0].nodes
    branch = nodes["3x3"](ops.relu(nodes["3x3 reduce"](x)))
    expected = np.concatenate([values(nodes["1x1"](x)), values(branch), x.numpy()], axis=1)
    np.testing.assert_array_equal(values(model(x)), expected)


def test_a_residual_layer_and_its_graph_are_the_same_network():
    """Same order of drawing, same sum: bit for bit."""
    body = (conv(4, 3), layer_spec("batch_norm"))
    residual = layer_spec("residual", body=body, shortcut=(conv(4),))
    same = graph(
        Node("conv", body[0], ("input",)),
        Node("norm", body[1], ("conv",)),
        Node("shortcut", conv(4), ("input",)),
        Node("sum", layer_spec("add"), ("norm", "shortcut")),
    )
    x = Tensor(numbers(2, 3, 6, 6))
    first, second = (build(ModelSpec((3, 6, 6), (spec,)), np.random.default_rng(0))(x) for spec in (residual, same))
    np.testing.assert_array_equal(values(first), values(second))


IDENTITY = layer_spec("residual", body=(conv(3, 3),))
SHORTCUT = layer_spec("residual", body=(conv(4, 3), layer_spec("batch_norm")), shortcut=(conv(2), conv(4)))


def as_graph(spec: LayerSpec, prefix: str, source: str) -> list[Node]:
    """A residual layer or another one as nodes."""
    if spec.kind != "residual":
        return [Node(f"{prefix}x", spec, (source,))]
    nodes, ends = [], []
    for branch in ("body", "shortcut"):
        end = source
        for i, layer in enumerate(spec.options.get(branch, ())):
            nodes += as_graph(layer, f"{prefix}{branch}{i}", end)
            end = nodes[-1].name
        ends.append(end)
    return [*nodes, Node(f"{prefix}sum", layer_spec("add"), tuple(ends))]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(IDENTITY, id="identity"),
        pytest.param(SHORTCUT, id="shortcut"),
        pytest.param(layer_spec("residual", body=(SHORTCUT, conv(3))), id="inner-lets-go"),
        pytest.param(layer_spec("residual", body=(conv(3), IDENTITY), shortcut=(IDENTITY,)), id="both-nested"),
        pytest.param(layer_spec("residual", body=(IDENTITY,), shortcut=(conv(9), conv(3))), id="wide-shortcut"),
    ],
)
def test_a_residual_layer_costs_what_its_graph_does(spec):
    plan = nn.plan_layers((spec,), (3, 6, 6))
    assert plan == nn.plan_layers((graph(*as_graph(spec, "", "input")),), (3, 6, 6))


@pytest.mark.parametrize(("out", "stride"), [pytest.param(4, 1, id="residual"), pytest.param(6, 2, id="smaller")])
def test_a_mobile_bottleneck_costs_what_its_graph_does(out, stride):
    silu = layer_spec("activation", function="silu")
    depthwise = layer_spec("conv2d", out_channels=12, kernel=3, stride=stride, groups=12, bias=False)
    gates = layer_spec("squeeze_excite", ratio=1 / 12, activation="silu")  # one hidden feature, a quarter of 4 channels
    norm = layer_spec("batch_norm")
    chain = (conv(12, bias=False), norm, silu, depthwise, norm, silu, gates, conv(out, bias=False), norm)
    names = ("input", *(f"n{i}" for i in range(len(chain))))
    nodes = [Node(name, spec, (before,)) for before, name, spec in zip(names, names[1:], chain, strict=False)]
    if stride == 1:
        nodes.append(Node("sum", layer_spec("add"), ("input", names[-1])))
    block = layer_spec("mbconv", out_channels=out, stride=stride, expand=3)
    assert nn.plan_layers((block,), (4, 6, 6)) == nn.plan_layers((graph(*nodes),), (4, 6, 6))


def test_a_chain_of_layers_costs_what_its_graph_does():
    chain = (conv(4, 3), layer_spec("batch_norm"), RELU, layer_spec("max_pool2d"), layer_spec("flatten"))
    names = ("input", "a", "b", "c", "d", "e")
    nodes = [Node(name, spec, (before,)) for before, name, spec in zip(names, names[1:], chain, strict=False)]
    plan = nn.plan_layers(chain, (3, 6, 6))
    assert plan == nn.plan_layers((graph(*nodes),), (3, 6, 6))
    assert (plan.peak, plan.late_peak) == (2 * 144, 2 * 144)


def test_values_and_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    spec = graph(
        Node("wide", layer_spec("linear", out_features=6), ("input",)),
        Node("low", layer_spec("select", stop=3), ("wide",)),
        Node("high", layer_spec("select", start=3), ("wide",)),
        Node("gate", layer_spec("activation", function="sigmoid"), ("high",)),
        Node("gated", layer_spec("multiply"), ("low", "gate")),
        Node("largest", layer_spec("maximum"), ("gated", "high", "low")),
        Node("sum", layer_spec("add", weights=(0.5, -2.0, 1.0)), ("largest", "gated", "low")),
        Node("all", layer_spec("concat"), ("sum", "largest")),
    )
    model = build(ModelSpec((4,), (spec,)), np.random.default_rng(0))
    weight, bias = model.parameters()
    x = numbers(5, 4)
    loss = (model(Tensor(x)) ** 2).sum()
    tx, tw, tb = (torch.tensor(array, requires_grad=True) for array in (x, weight.numpy(), bias.numpy()))
    low, high = (tx @ tw.T + tb).chunk(2, 1)
    gated = low * high.sigmoid()
    largest = torch.maximum(torch.maximum(gated, high), low)
    theirs = (torch.cat([0.5 * largest - 2 * gated + low, largest], 1) ** 2).sum()
    theirs.backward()
    assert float(loss) == pytest.approx(float(theirs.detach()), rel=1e-5)
    for ours, other in zip(grad(loss, [weight, bias]), (tw, tb), strict=True):
        np.testing.assert_allclose(ours.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_squeeze_and_excitation_is_a_product_with_stretched_gates():
    """Hu et al. 2018: channels are weighted by what the whole image says."""
    model = build(
        ModelSpec(
            (4, 5, 5),
            (
                graph(
                    Node("squeeze", layer_spec("avg_pool2d", size=5), ("input",)),
                    Node("excite", conv(4), ("squeeze",)),
                    Node("gate", layer_spec("activation", function="sigmoid"), ("excite",)),
                    Node("scaled", layer_spec("multiply"), ("input", "gate")),
                ),
            ),
        ),
        np.random.default_rng(0),
    )
    x = Tensor(numbers(2, 4, 5, 5))
    gates = ops.sigmoid(model.layers[0].nodes["excite"](x.mean((2, 3), keepdims=True)))
    np.testing.assert_allclose(values(model(x)), values(x) * values(gates), rtol=1e-5)


X, Y = np.arange(12.0).reshape(2, 3, 2), -np.arange(6.0).reshape(2, 1, 3)[:, :, :2]


@pytest.mark.parametrize(
    ("spec", "inputs", "expected"),
    [
        pytest.param(layer_spec("concat"), (X, Y), np.concatenate([X, Y], 1), id="concat"),
        pytest.param(layer_spec("concat", axis=1), (X, X, X), np.concatenate([X, X, X], 2), id="concat-axis"),
        pytest.param(layer_spec("add"), (X, Y), X + Y, id="add-stretched"),
        pytest.param(layer_spec("add"), (X, X, X), 3 * X, id="add-three"),
        pytest.param(layer_spec("add", weights=(2.0, -1.0)), (X, Y), 2 * X - Y, id="add-weighted"),
        pytest.param(layer_spec("multiply"), (X, Y, X), X * Y * X, id="multiply"),
        pytest.param(layer_spec("maximum"), (Y, X), np.maximum(X, Y), id="maximum"),
    ],
)
def test_merges_compute_what_they_say(spec, inputs, expected):
    names = tuple("abc"[: len(inputs)])
    shapes = [x.shape[1:] for x in inputs]
    join = graph(Node("join", spec, names), inputs=names, other_shapes=tuple(shapes[1:]))
    network = ModelSpec(shapes[0], (join,))
    alive = sum(x[0].size for x in (*inputs, expected))
    assert network.plan() == nn.LayerPlan(expected.shape[1:], peak=alive)
    result = build(network, np.random.default_rng(0))(*(Tensor(x) for x in inputs))
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, X, id="all"),
        pytest.param({"start": 1}, X[:, 1:], id="from"),
        pytest.param({"stop": 1}, X[:, :1], id="to"),
        pytest.param({"start": 1, "stop": 2, "axis": 1}, X[:, :, 1:2], id="axis"),
    ],
)
def test_select_takes_a_part(options, expected):
    model = build(ModelSpec((3, 2), (layer_spec("select", **options),)), np.random.default_rng(0))
    np.testing.assert_array_equal(model(Tensor(X)).numpy(), expected)


# --- shared weights, several inputs ---


def test_a_shared_layer_has_its_weights_once_and_both_gradients():
    spec = ModelSpec((4,), (SIAMESE,))
    # Worst are both inputs and the left half; without inputs, the halves and their difference.
    assert spec.plan() == nn.LayerPlan((3,), 15, 24, tensors=2, peak=11, late_peak=9)
    model = build(spec, np.random.default_rng(0))
    assert list(model.state()) == ["layers.0.nodes.left.weight", "layers.0.nodes.left.bias"]
    a, b = numbers(5, 4), numbers(5, 4, seed=1)
    weight, bias = model.parameters()
    y = model(Tensor(a), Tensor(b))
    np.testing.assert_allclose(values(y), (a - b) @ values(weight).T, rtol=1e-4, atol=1e-6)
    by_weight, by_bias = grad(y.sum(), [weight, bias])
    np.testing.assert_allclose(by_weight.numpy(), np.tile((a - b).sum(0), (3, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(by_bias.numpy(), 0)


def test_a_convolution_may_be_shared_between_images_of_two_sizes():
    spec = graph(
        Node("large", conv(2, 3), ("input",)),
        Node("half", layer_spec("avg_pool2d", size=2), ("input",)),
        Node("small", "large", ("half",)),
        Node("mean of large", layer_spec("global_avg_pool"), ("large",)),
        Node("mean of small", layer_spec("global_avg_pool"), ("small",)),
        Node("both", layer_spec("concat"), ("mean of large", "mean of small")),
    )
    network = ModelSpec((3, 8, 8), (spec,))
    plan = network.plan()
    assert (plan.output_shape, plan.parameters, plan.macs, plan.tensors) == ((4,), 56, 54 * (64 + 16), 2)
    assert build(network, np.random.default_rng(0))(Tensor(numbers(2, 3, 8, 8))).shape == (2, 4)


def test_a_network_of_several_inputs_is_planned_built_and_read_back():
    spec = ModelSpec((4,), (SIAMESE, RELU, layer_spec("linear", out_features=1)))
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.other_shapes == ((4,),)
    assert build(spec, np.random.default_rng(0))(Tensor(numbers(5, 4)), Tensor(numbers(5, 4))).shape == (5, 1)
    assert ModelSpec((4,), (RELU,)).other_shapes == ()


# --- as a part of everything else ---


def test_the_example_runs():
    failed, attempted = doctest.testmod(importlib.import_module("nasturtium.core.nn.graph"))
    assert (failed, attempted) == (0, 4)


def classifier() -> ModelSpec:
    return ModelSpec((3, 6, 6), (INCEPTION, layer_spec("global_avg_pool"), layer_spec("linear", out_features=2)))


def test_a_network_with_a_graph_learns():
    x = numbers(64, 3, 6, 6)
    labels = (x.mean((1, 2, 3)) > 0).astype(np.int64)
    config = TrainingConfig(epochs=20, batch_size=16, learning_rate=0.05)
    trainer = Trainer(build(classifier(), np.random.default_rng(0)), config, np.random.default_rng(0))
    losses = list(trainer.fit(x, labels)["train_loss"].values())
    assert losses[-1] < 0.5 * losses[0]


def test_per_sample_gradients_are_those_of_a_loop():
    model = build(classifier(), np.random.default_rng(0))
    parameters = model.parameters()
    x = Tensor(numbers(4, 3, 6, 6))
    _, found = per_sample_gradients(lambda inputs: (model(inputs) ** 2).sum(1), parameters, x)
    for i in range(4):
        for several, one in zip(found, grad((model(x[i : i + 1]) ** 2).sum(), parameters), strict=True):
            np.testing.assert_allclose(several.numpy()[i], one.numpy(), rtol=1e-4, atol=1e-6)


def test_a_layout_counts_the_nodes():
    assert ParameterLayout.of(build(classifier(), np.random.default_rng(0))).size == classifier().plan().parameters


def test_a_node_is_found_and_replaced_by_name():
    model = build(classifier(), np.random.default_rng(0))
    other = nn.Conv2d(3, 2, 1, rng=np.random.default_rng(1))
    before = model.replace("layers.0.nodes.1x1", other)
    assert isinstance(before, nn.Conv2d)
    assert model.find("layers.0.nodes.1x1") is other
    x = Tensor(numbers(1, 3, 6, 6))
    np.testing.assert_array_equal(values(model.layers[0](x))[:, :2], values(other(x)))


def runs_on_a_gpu() -> None:
    x = numbers(2, 3, 6, 6)
    model = build(classifier(), np.random.default_rng(0)).eval()
    expected = values(model(Tensor(x)))
    found = model.to("cuda:0")(Tensor(x, device=device("cuda:0")))
    assert str(found.device) == "cuda:0"
    np.testing.assert_allclose(values(found), expected, rtol=1e-4, atol=1e-5)


def test_all_nodes_move_to_a_device(strict_cupy):
    runs_on_a_gpu()


@pytest.mark.gpu
def test_all_nodes_move_to_a_gpu(gpu):
    runs_on_a_gpu()


def test_values_are_let_go_as_soon_as_no_node_needs_them():
    """A chain of elementwise layers holds two activations at a time in evaluation, not all."""
    length = 30
    names = ("input", *(f"n{i}" for i in range(length)))
    chain = graph(*(Node(names[i + 1], RELU, (names[i],)) for i in range(length)))
    model = build(ModelSpec((2**18,), (chain,)), np.random.default_rng(0)).eval()
    x = Tensor(numbers(1, 2**18))
    tracemalloc.start()
    try:
        model(x)
        assert tracemalloc.get_traced_memory()[1] < 4 * x.nbytes
    finally:
        tracemalloc.stop()


def test_the_text_of_a_graph_is_canonical():
    spec = graph(Node("a", RELU, ("input",)), Node("b", "a", ("a",)), Node("c", layer_spec("add"), ("a", "b")))
    assert ModelSpec((4,), (spec,)).to_json() == (
        '{"format":"nasturtium.model-spec","input_shape":[4],"layers":[{"kind":"graph","nodes":['
        '{"inputs":["input"],"layer":{"function":"relu","kind":"activation"},"name":"a"},'
        '{"inputs":["a"],"layer":"a","name":"b"},'
        '{"inputs":["a","b"],"layer":{"kind":"add"},"name":"c"}]}],"version":1}'
    )


# --- laws, over random graphs ---


@st.composite
def graphs(draw, length: int = 3, depth: int = 1) -> LayerSpec:
    """Up to seven nodes over rows, the last of which joins everything that no other one uses."""
    lengths = {"input": length}
    owners: dict[str, tuple[LayerSpec, int]] = {}
    nodes: list[Node] = []
    for i in range(draw(st.integers(1, 6))):
        name, source = f"n{i}", draw(st.sampled_from(sorted(lengths)))
        given = lengths[source]
        again = sorted(owner for owner, (_, expected) in owners.items() if expected == given)
        kinds = ["linear", "batch_norm", "select", "concat", "add"] + ["graph"] * (depth > 0) + ["again"] * bool(again)
        kind = draw(st.sampled_from(kinds))
        if kind in {"concat", "add"}:
            others = sorted(other for other in lengths if kind == "concat" or lengths[other] == given)
            inputs = (source, *draw(st.lists(st.sampled_from(others), min_size=1, max_size=3)))
            nodes.append(Node(name, layer_spec(kind), inputs))
            lengths[name] = sum(lengths[other] for other in inputs) if kind == "concat" else given
            continue
        if kind == "again":
            owner = draw(st.sampled_from(again))
            nodes.append(Node(name, owner, (source,)))
            spec = owners[owner][0]
        else:
            options = {"linear": {"out_features": 1 + i}, "select": {"start": given // 2}}.get(kind, {})
            spec = draw(graphs(given, depth - 1)) if kind == "graph" else layer_spec(kind, **options)
            nodes.append(Node(name, spec, (source,)))
            owners[name] = (spec, given)
        [lengths[name]] = nn.plan_layers((spec,), (given,)).output_shape
    used = {name for node in nodes for name in node.inputs}
    ends = [name for name in lengths if name not in used]
    return graph(*nodes, Node("end", layer_spec("concat"), (*ends, ends[0])))


def computed(module: nn.Graph, spec: LayerSpec, x: Tensor) -> Tensor:
    """The graph by its definition: every value kept, every node looked up."""
    values, modules = {"input": x}, {}
    for node in spec.options["nodes"]:
        modules[node.name] = module.nodes[node.name] if isinstance(node.layer, LayerSpec) else modules[node.layer]
        values[node.name] = modules[node.name](*(values[name] for name in node.inputs))
    return values[spec.options["nodes"][-1].name]


def flattened(spec: LayerSpec, outside: str = "input", prefix: str = "") -> list[Node]:
    """The nodes of a graph and of the graphs in it, side by side; its own input is called `outside`."""
    names, owners, nodes = {"input": outside}, {}, []
    for node in spec.options["nodes"]:
        owner = node.layer if isinstance(node.layer, str) else node.name
        owners.setdefault(owner, node.layer)
        layer, inputs = owners[owner], tuple(names[name] for name in node.inputs)
        if layer.kind == "graph":
            inner = flattened(layer, *inputs, prefix=f"{prefix}{node.name}/")
            nodes += inner
            names[node.name] = inner[-1].name
            continue
        names[node.name] = f"{prefix}{node.name}"
        nodes.append(Node(names[node.name], layer, inputs))
    return nodes


def most_alive(nodes: list[Node], sizes: dict[str, int]) -> int:
    """By the definition: at every node, what was computed before and is used there or later, and its output."""
    worst = 0
    known = {"input"}
    for i, node in enumerate(nodes):
        needed = {name for later in nodes[i:] for name in later.inputs} & known
        known.add(node.name)
        worst = max(worst, sum(sizes[name] for name in needed | {node.name}))
    return worst


@given(graphs(depth=2))
@settings(max_examples=200, deadline=None)
def test_the_peak_is_that_of_all_nodes_side_by_side(spec):
    nodes = flattened(spec)
    shapes = {"input": (3,)}
    for node in nodes:
        given = tuple(shapes[name] for name in node.inputs)
        plan = nn.LAYERS[node.layer.kind].plan(given if len(given) > 1 else given[0], **node.layer.options)
        shapes[node.name] = plan.output_shape
    assert nn.plan_layers((spec,), (3,)).peak == most_alive(nodes, {name: s[0] for name, s in shapes.items()})


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_a_graph_survives_json(spec):
    network = ModelSpec((3,), (spec,))
    again = ModelSpec.from_json(network.to_json())
    assert again == network
    assert again.sha256 == network.sha256


@given(graphs(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_what_was_read_builds_and_runs_as_planned_and_defined(spec, seed):
    network = ModelSpec.from_json(ModelSpec((3,), (spec,)).to_json())
    model = build(network, np.random.default_rng(seed)).eval()
    x = Tensor(numbers(2, 3))
    y = model(x)
    assert y.shape == (2, *network.plan().output_shape)
    assert sum(parameter.size for parameter in model.parameters()) == network.plan().parameters
    np.testing.assert_array_equal(values(y), values(computed(model.layers[0], spec, x)))


@given(graphs(), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_same_seed_builds_the_same_bits(spec, seed):
    first, second = (build(ModelSpec((3,), (spec,)), np.random.default_rng(seed)).state() for _ in range(2))
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


# --- what is refused ---

ADD = {"kind": "add"}


def document(*nodes: object, shape: tuple[int, ...] = (4,), **options: object) -> dict:
    network = {"format": ModelSpec.FORMAT, "version": 1, "input_shape": list(shape)}
    return {**network, "layers": [{"kind": "graph", "nodes": list(nodes), **options}]}


def node(name: object, layer: object, *inputs: object) -> dict:
    return {"name": name, "layer": layer, "inputs": list(inputs)}


def relu(name: object, *inputs: object) -> dict:
    return node(name, RELU.to_dict(), *inputs)


def linear(name: str, source: str, size: int = 4) -> dict:
    return node(name, {"kind": "linear", "out_features": size}, source)


INVALID = [
    pytest.param(document(), "at least one node", id="no-nodes"),
    pytest.param(document(1), "a node as an object of 'name', 'layer' and 'inputs', got 1", id="node-number"),
    pytest.param(document({"name": "a", "layer": "b"}), "a node as an object", id="node-without-inputs"),
    pytest.param(document({**relu("a", "input"), "size": 1}), "a node as an object", id="node-with-more"),
    pytest.param(document(relu(1, "input")), "a node as an object", id="name-number"),
    pytest.param(document(relu("a", 1)), "a node as an object", id="input-number"),
    pytest.param(document({**relu("a"), "inputs": "input"}), "a node as an object", id="inputs-text"),
    pytest.param(document(node("a", None, "input")), "a layer as an object with a 'kind', got None", id="no-layer"),
    pytest.param(document(node("a", {"kind": "dense"}, "input")), "unknown layer kind 'dense'", id="unknown-kind"),
    pytest.param(document(relu("", "input")), "1 to 200 printable characters without dots, got ''", id="no-name"),
    pytest.param(document(relu("a.b", "input")), "without dots, got 'a.b'", id="name-with-a-dot"),
    pytest.param(document(relu("a\n", "input")), "printable", id="name-with-a-line"),
    pytest.param(document(relu("a" * 201, "input")), "1 to 200", id="name-too-long"),
    pytest.param(document(relu("a", "input"), relu("a", "a")), "the name 'a' is given 2 times", id="name-twice"),
    pytest.param(document(relu("input", "input")), "the name 'input' is given 2 times", id="name-of-the-input"),
    pytest.param(document(relu("a", "b")), "node 'a' uses 'b', which is neither an input nor a node", id="unknown"),
    pytest.param(
        document(relu("a", "input"), node("b", "c", "a")), "node 'b' uses 'c', which is neither", id="unknown-layer"
    ),
    pytest.param(
        document(relu("b", "a"), relu("a", "input")), "node 'b' uses 'a', which stands after it", id="out-of-order"
    ),
    pytest.param(document(node("a", ADD, "input", "a")), "expected no cycle, got a -> a", id="itself"),
    pytest.param(
        document(node("a", ADD, "input", "c"), relu("b", "a"), relu("c", "b")),
        "node 'a' uses 'c', .*no cycle, got (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)",
        id="cycle",
    ),
    pytest.param(document(node("a", "a", "input")), "no cycle, got a -> a", id="its-own-layer"),
    pytest.param(document(relu("a", "input"), relu("b", "input")), "nothing uses 'a'", id="unused-node"),
    pytest.param(
        document(relu("a", "input"), relu("b", "input"), node("c", "b", "a")), "nothing uses 'b'", id="only-its-layer"
    ),
    pytest.param(
        document(relu("a", "x"), inputs=["x", "y"], other_shapes=[[4]]), "nothing uses 'y'", id="unused-input"
    ),
    pytest.param(
        document(relu("a", "input"), inputs=["x", "input"]),
        "2 inputs and 0 other shapes",
        id="an-input-without-a-shape",
    ),
    pytest.param(document(relu("a", "input"), inputs=[]), "0 inputs", id="no-inputs"),
    pytest.param(
        document(node("a", ADD, "x", "y"), inputs=["x", "y"], other_shapes=[[]]), "1 to 8 positive", id="empty-shape"
    ),
    pytest.param(
        document(node("a", ADD, "x", "y"), inputs=["x", "y"], other_shapes=[[0]]), "1 to 8 positive", id="shape-of-zero"
    ),
    pytest.param(
        document(node("a", ADD, "x", "y"), inputs=["x", "y"], other_shapes=[4]),
        "'other_shapes' must be a list of a list of int",
        id="shape-number",
    ),
    pytest.param(document(relu("a", "input", "input")), "node 'a'.* expected one input, got 2", id="two-for-one"),
    pytest.param(
        document(relu("a"), node("b", ADD, "a", "input")), "node 'a'.* expected one input, got 0", id="none-for-one"
    ),
    pytest.param(document(node("a", ADD, "input")), "add: expected at least two inputs, got 1", id="one-for-two"),
    pytest.param(
        document(linear("a", "input", 3), node("b", ADD, "input", "a")),
        r"node 'b' on samples of shape \(4,\) and \(3,\).*equal or 1",
        id="add-of-two-shapes",
    ),
    pytest.param(
        document(node("a", {**ADD, "weights": [1]}, "input", "input")), "expected no weights or 2, got 1", id="weights"
    ),
    pytest.param(
        document(node("a", {"kind": "concat", "axis": 1}, "input", "input")), "an axis below 1, got 1", id="concat-axis"
    ),
    pytest.param(
        document(
            node("a", {"kind": "select", "stop": 1}, "input"),
            node("b", {"kind": "concat", "axis": 1}, "a", "input"),
            shape=(4, 4),
        ),
        "expected shapes that differ in axis 1 alone",
        id="concat-of-other-lengths",
    ),
    pytest.param(
        document(node("a", {"kind": "flatten"}, "input"), node("b", {"kind": "concat"}, "a", "input"), shape=(4, 4)),
        "expected shapes that differ in axis 0 alone",
        id="concat-of-other-ranks",
    ),
    pytest.param(
        document(node("a", {"kind": "select", "start": 4}, "input")), "0 <= start < stop <= 4, got 4 and 4", id="select"
    ),
    pytest.param(
        document(node("a", {"kind": "select", "axis": -1}, "input")), "an axis below 1, got -1", id="select-axis"
    ),
    pytest.param(
        document(linear("a", "input", 3), node("b", "a", "a")),
        r"node 'b'.*its weights are those of 'a', which is for samples of shape \(4,\)",
        id="shared-with-another-shape",
    ),
    pytest.param(
        document(relu("a", "input"), node("b", "a", "a"), node("c", "b", "b")),
        "node 'b' has no layer of its own",
        id="shared-with-a-sharer",
    ),
    pytest.param(document(relu("a", "input"), node("b", "input", "a")), "no layer of its own", id="layer-of-an-input"),
    pytest.param(
        {**document(), "layers": [RELU.to_dict(), SIAMESE.to_dict()]},
        r"layer 1 \(graph\).*only a network's first layer has several",
        id="several-inputs-later",
    ),
    pytest.param(
        {**document(), "layers": [{"kind": "residual", "body": [SIAMESE.to_dict()]}]},
        "only a network's first layer has several",
        id="several-inputs-inside",
    ),
    pytest.param(
        document(node("a", SIAMESE.to_dict(), "input")), "only the first layer of a network has several", id="nested"
    ),
    pytest.param({**document(), "layers": [ADD]}, "add.*expected it as a node of a graph", id="a-merge-in-a-row"),
]


@pytest.mark.parametrize(("value", "match"), INVALID)
def test_an_invalid_graph_is_refused_with_its_reason(value, match):
    with pytest.raises(FormatError, match=match):
        ModelSpec.from_dict(value)


def doubling(levels: int) -> dict:
    names = ["input", *(f"n{i}" for i in range(levels))]
    return document(*(node(names[i + 1], {"kind": "concat"}, names[i], names[i]) for i in range(levels)))


def kept(count: int) -> dict:
    """Many large values that are all needed in the end."""
    wide = [node(f"n{i}", {"kind": "conv2d", "out_channels": 2**10, "kernel": 1}, "input") for i in range(count)]
    means = [node(f"m{i}", {"kind": "global_avg_pool"}, f"n{i}") for i in range(count)]
    join = node("end", {"kind": "concat"}, *(f"m{i}" for i in range(count)))
    return document(*wide, *means, join, shape=(1, 2**9, 2**9))


def nested(levels: int, fan: int = 1) -> dict:
    """Graphs in graphs, each computed `fan` times by reference."""
    inner = {"kind": "graph", "nodes": [relu("n0", "input")]}
    for _ in range(levels):
        nodes = [node("n0", inner, "input"), *(node(f"n{i}", "n0", f"n{i - 1}") for i in range(1, fan))]
        inner = {"kind": "graph", "nodes": nodes}
    return {**document(), "layers": [inner]}


def heavy(times: int) -> dict:
    return document(
        linear("n0", "input", 2**15), *(node(f"n{i}", "n0", f"n{i - 1}") for i in range(1, times)), shape=(2**15,)
    )


TOO_LARGE = [
    pytest.param(doubling(40), f"exceeds {MAX_ELEMENTS} elements", id="concat-doubles"),
    pytest.param(kept(12), f"exceeds {MAX_ELEMENTS} elements", id="many-values-at-once"),
    pytest.param(
        document(linear("a", "input", 40_000), linear("b", "a", 40_000), linear("c", "b", 40_000)),
        f"exceeds {MAX_ELEMENTS} elements",
        id="many-parameters",
    ),
    pytest.param(heavy(20), f"exceeds {MAX_MACS} multiply-accumulates", id="shared-costs-every-time"),
    pytest.param(
        document(*(relu(f"n{i}", f"n{i - 1}" if i else "input") for i in range(MAX_LAYERS))),
        f"got {MAX_LAYERS + 1}",
        id="many-nodes",
    ),
    pytest.param(nested(MAX_DEPTH - 1, 100), f"1 to {MAX_LAYERS} layers, got 2010101", id="shared-in-shared"),
    pytest.param(nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels", id="nested-too-deep"),
    pytest.param(
        document(
            node("a", ADD, "x", "y"),
            shape=(1, 1, 1),
            inputs=["x", "y"],
            other_shapes=[[2**20, 2**10, 2**10]],
        ),
        "1 to 8 positive lengths|exceeds",
        id="a-large-second-input",
    ),
]


@pytest.mark.parametrize(("value", "match"), TOO_LARGE)
def test_a_graph_too_large_is_refused_before_anything_is_allocated(value, match):
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(FormatError, match=match):
            ModelSpec.from_json(json.dumps(value))
        assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5


def test_graphs_are_nested_up_to_the_limit():
    assert ModelSpec.from_dict(nested(MAX_DEPTH - 1, 1)).plan().output_shape == (4,)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["input", "a", "b", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "name", "layer", "inputs", "nodes"]), inner)
        | st.fixed_dictionaries(
            {"name": st.sampled_from("ab"), "layer": inner, "inputs": st.lists(st.sampled_from(["input", "a", "b"]))}
        )
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=3), JSON, JSON)
@settings(max_examples=200, deadline=None)
def test_a_foreign_value_anywhere_never_raises_anything_but_our_error(nodes, inputs, shapes):
    for value in (document(*nodes), document(*nodes, inputs=inputs), document(*nodes, other_shapes=shapes)):
        with suppress(FormatError):
            assert isinstance(ModelSpec.from_dict(value), ModelSpec)
