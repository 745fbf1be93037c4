"""Layers: what each promises in its plan, and what it computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError, Tensor, grad, nn, no_grad, per_sample_gradients, per_sample_norms
from nasturtium.core.nn import LayerSpec, layer_spec

IMAGE, ROW, SEQUENCE = (3, 8, 6), (5,), (7, 6)
SIGNAL, VOLUME = (3, 9), (2, 4, 5, 3)

SAMPLES = [
    ("linear", ROW, {"out_features": 4}),
    ("linear", ROW, {"out_features": 1, "bias": False}),
    ("conv2d", IMAGE, {"out_channels": 4, "kernel": 3}),
    ("conv2d", IMAGE, {"out_channels": 2, "kernel": 2, "stride": 2}),
    ("conv2d", IMAGE, {"out_channels": 2, "kernel": 5, "stride": 3, "bias": False}),
    ("conv2d", IMAGE, {"out_channels": 2, "kernel": 1, "stride": 9}),
    ("batch_norm", ROW, {}),
    ("batch_norm", IMAGE, {}),
    ("layer_norm", ROW, {}),
    ("layer_norm", IMAGE, {}),
    *(("activation", IMAGE, {"function": name}) for name in nn.ACTIVATIONS),
    ("dropout", ROW, {"rate": 0.5}),
    ("dropout", IMAGE, {"rate": 0.0}),
    ("max_pool2d", IMAGE, {}),
    ("max_pool2d", IMAGE, {"size": 4}),
    ("avg_pool2d", IMAGE, {}),
    ("avg_pool2d", IMAGE, {"size": 3}),
    ("global_avg_pool", IMAGE, {}),
    ("flatten", IMAGE, {}),
    ("zeros", IMAGE, {}),
    ("flatten", ROW, {}),
    ("select", IMAGE, {"start": 1, "stop": 5, "axis": 1}),
    ("graph", ROW, {"nodes": (nn.Node("row", layer_spec("linear", out_features=2), ("input",)),)}),
    ("residual", ROW, {"body": (layer_spec("linear", out_features=5),)}),
    ("linear", SEQUENCE, {"out_features": 4}),
    ("conv2d", IMAGE, {"out_channels": 6, "kernel": (3, 1), "padding": (0, 2), "dilation": (2, 1), "groups": 3}),
    ("conv1d", SIGNAL, {"out_channels": 4, "kernel": 3, "stride": 2}),
    ("conv3d", VOLUME, {"out_channels": 4, "kernel": 3, "groups": 2}),
    ("conv_transpose1d", SIGNAL, {"out_channels": 4, "kernel": 3, "stride": 2, "output_padding": 1}),
    ("conv_transpose2d", IMAGE, {"out_channels": 4, "kernel": (2, 3), "stride": 2, "padding": (0, 1), "groups": 1}),
    ("conv_transpose2d", IMAGE, {"out_channels": 6, "kernel": 2, "stride": 2, "groups": 3, "bias": False}),
    ("conv_transpose3d", VOLUME, {"out_channels": 2, "kernel": 2, "dilation": 2}),
    ("batch_norm", SEQUENCE, {"momentum": 0.5, "epsilon": 1e-3}),
    ("layer_norm", SEQUENCE, {"over": "last"}),
    ("rms_norm", SEQUENCE, {}),
    ("rms_norm", ROW, {"epsilon": 1e-3}),
    ("group_norm", IMAGE, {"groups": 3}),
    ("group_norm", IMAGE, {"groups": 1}),
    ("instance_norm", IMAGE, {}),
    ("local_response_norm", IMAGE, {"size": 2, "alpha": 0.1}),
    ("leaky_relu", IMAGE, {"slope": 0.2}),
    ("elu", ROW, {"alpha": 0.5}),
    ("prelu", IMAGE, {}),
    ("prelu", ROW, {"shared": True, "slope": 0.1}),
    *(("gate", SEQUENCE, {"function": name}) for name in nn.GATES),
    ("softmax", ROW, {}),
    ("reshape", IMAGE, {"shape": (12, 12)}),
    ("image_to_sequence", IMAGE, {}),
    ("sequence_mean", SEQUENCE, {}),
    ("channel_dropout", IMAGE, {"rate": 0.3}),
    ("alpha_dropout", ROW, {"rate": 0.3}),
    ("stochastic_depth", IMAGE, {"rate": 0.3}),
    ("max_pool1d", SIGNAL, {"size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", IMAGE, {"size": (3, 2), "stride": (2, 1), "ceil_mode": True}),
    ("max_pool3d", VOLUME, {}),
    ("avg_pool1d", SIGNAL, {"size": 3}),
    ("avg_pool2d", IMAGE, {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("avg_pool3d", VOLUME, {"size": (2, 1, 3)}),
    ("global_max_pool", IMAGE, {}),
    ("adaptive_avg_pool2d", IMAGE, {"size": (3, 4)}),
    ("upsample", IMAGE, {"scale": 1.5}),
    ("upsample", IMAGE, {"mode": "linear", "align_corners": True}),
    ("embedding", ROW, {"tokens": 9, "features": 4, "padding": 0}),
    ("positional_encoding", SEQUENCE, {}),
    ("positional_encoding", SEQUENCE, {"learned": True}),
    ("multi_head_attention", SEQUENCE, {"heads": 3}),
    ("multi_head_attention", SEQUENCE, {"heads": 6, "groups": 2, "causal": True, "dropout": 0.2, "bias": False}),
    ("transformer_encoder", SEQUENCE, {"heads": 2, "dropout": 0.1}),
    ("transformer_encoder", SEQUENCE, {"heads": 2, "hidden": 5, "norm": "rms", "norm_first": False, "causal": True}),
    *((kind, SEQUENCE, {"hidden": 4}) for kind in ("rnn", "gru", "lstm")),
    *(
        (kind, SEQUENCE, {"hidden": 3, "layers": 2, "bidirectional": True, "sequences": False, "dropout": 0.2})
        for kind in ("rnn", "gru", "lstm")
    ),
    *((kind, SEQUENCE, {}) for kind in ("leaky", "synaptic", "alpha", "adaptive_leaky")),
    *(
        (kind, SEQUENCE, {"threshold": 0.3, "learned": True, "recurrent": True, "reset": reset, "surrogate": surrogate})
        for kind, reset, surrogate in (
            ("leaky", "zero", "arctan"),
            ("synaptic", "subtract", "sigmoid"),
            ("alpha", "zero", "straight_through"),
            ("adaptive_leaky", "subtract", "fast_sigmoid"),
        )
    ),
    ("leaky", (4, *IMAGE), {"learned": True, "threshold": 0.3, "output": "potential", "slope": 2.0}),
    ("squeeze_excite", IMAGE, {"ratio": 0.5, "gate": "hardsigmoid"}),
    ("mbconv", IMAGE, {"out_channels": 3, "drop": 0.2}),
    ("mbconv", IMAGE, {"out_channels": 5, "kernel": 5, "stride": 2, "expand": 1, "ratio": 0.0}),
    (
        "residual",
        IMAGE,
        {
            "body": (layer_spec("conv2d", out_channels=4, kernel=3, stride=2), layer_spec("batch_norm")),
            "shortcut": (layer_spec("conv2d", out_channels=4, kernel=1, stride=2, bias=False),),
        },
    ),
]
CASES = [
    pytest.param(layer_spec(kind, **options), shape, id=f"{kind}-{i}")
    for i, (kind, shape, options) in enumerate(SAMPLES)
]


def batch(shape: tuple[int, ...], rows: int = 4, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32))


def inputs_of(spec: LayerSpec, shape: tuple[int, ...], rows: int = 4) -> Tensor:
    """A batch for a layer: tokens for an embedding, numbers for all others."""
    if spec.kind == "embedding":
        return Tensor(np.random.default_rng(0).integers(0, spec.options["tokens"], (rows, *shape)))
    return batch(shape, rows)


def built(spec: LayerSpec, shape: tuple[int, ...], seed: int = 0) -> nn.Sequential:
    return nn.build_layers((spec,), shape, np.random.default_rng(seed))


def test_every_kind_has_a_sample():
    joins = {kind for kind, known in nn.LAYERS.items() if known.joins}  # they stand in graphs: see test_graph.py
    assert {kind for kind, _, _ in SAMPLES} == set(nn.LAYERS) - joins


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_plan_is_what_happens(spec, shape, training):
    plan, model = nn.plan_layers((spec,), shape), built(spec, shape).train(training)
    y = model(inputs_of(spec, shape))
    assert y.shape == (4, *plan.output_shape)
    assert y.dtype == np.float32
    assert sum(parameter.size for parameter in model.parameters()) == plan.parameters
    assert all(parameter.dtype == np.float32 for parameter in model.parameters())


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_no_rows_give_no_rows(spec, shape):
    y = built(spec, shape).eval()(inputs_of(spec, shape, rows=0))
    assert y.shape == (0, *nn.plan_layers((spec,), shape).output_shape)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_same_seed_gives_the_same_bits(spec, shape):
    first, second = (built(spec, shape, seed=3).train() for _ in range(2))
    for name, array in first.state().items():
        np.testing.assert_array_equal(second.state()[name], array)
    x = inputs_of(spec, shape)
    np.testing.assert_array_equal(first(x).data, second(x).data)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_every_parameter_gets_a_gradient(spec, shape):
    model = built(spec, shape)
    parameters = model.parameters()
    weights = batch(nn.plan_layers((spec,), shape).output_shape, seed=1)
    for gradient in grad((model(inputs_of(spec, shape)) * weights).sum(), parameters) if parameters else ():
        assert np.abs(gradient.data).max() > 0


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_layers_compute_the_same_on_another_device(spec, shape, strict_cupy):
    """On the stand-in for CuPy, forward and backward, in training."""
    here, there = (built(spec, shape).train() for _ in range(2))
    there.to("cuda:0")
    x = inputs_of(spec, shape)
    results = []
    for model, entering in ((here, x), (there, x.to("cuda:0"))):
        y = model(entering)
        parameters = model.parameters()
        gradients = grad((y * y).sum(), parameters) if parameters else []
        results.append([y, *gradients])
    assert {str(tensor.device) for tensor in results[1]} == {"cuda:0"}
    for mine, reference in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine.to("cpu").detach().data, reference.detach().data, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_per_sample_gradients_are_a_loop(spec, shape):
    """Of every layer in evaluation; in training, batch norm mixes samples and says so."""
    model = built(spec, shape).eval()
    parameters = model.parameters()
    if not parameters:
        return
    x = inputs_of(spec, shape, rows=3)
    weights = batch(nn.plan_layers((spec,), shape).output_shape, rows=1, seed=1)

    def losses(x: Tensor) -> Tensor:
        y = model(x)
        return (y * y * weights).sum(tuple(range(1, y.ndim)))

    _, apart = per_sample_gradients(losses, parameters, x)
    norms = per_sample_norms(losses, parameters, x)[1]
    squares = np.zeros(3)
    for row in range(3):
        alone = grad(losses(x[row : row + 1]).sum(), parameters)
        for mine, reference in zip(apart, alone, strict=True):
            scale = np.abs(reference.data).max()
            np.testing.assert_allclose(mine.data[row], reference.data, rtol=1e-3, atol=1e-4 * scale + 1e-6)
            squares[row] += (reference.data.astype(np.float64) ** 2).sum()
    np.testing.assert_allclose(norms.data, np.sqrt(squares), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_state_is_a_copy_that_load_state_puts_back_in_place(spec, shape):
    model, other = built(spec, shape, seed=0), built(spec, shape, seed=1)
    arrays = [tensor.data for _, tensor in other.named_tensors()]
    other.load_state(model.state())
    x = inputs_of(spec, shape)
    np.testing.assert_array_equal(other.eval()(x).data, model.eval()(x).data)
    assert all(now.data is before for (_, now), before in zip(other.named_tensors(), arrays, strict=True))
    for array in other.state().values():
        array[...] = np.nan
    assert all(np.isfinite(array).all() for array in other.state().values())


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        pytest.param(lambda s: s.pop("layers.0.bias"), r"missing=\['layers.0.bias'\]", id="missing"),
        pytest.param(lambda s: s.update(extra=np.zeros(1)), r"unknown=\['extra'\]", id="unknown"),
        pytest.param(lambda s: s.update({"layers.1.bias": np.zeros(3, np.float32)}), r"has shape \(3,\)", id="shape"),
        pytest.param(lambda s: s.update({"layers.1.bias": np.zeros(2)}), "has dtype float64", id="dtype"),
        pytest.param(lambda s: s.update({"layers.1.bias": np.array(["a", "b"])}), "has dtype <U1", id="text"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil, match):
    layers = (layer_spec("linear", out_features=3), layer_spec("linear", out_features=2))
    model = nn.build_layers(layers, ROW, np.random.default_rng(0))
    before = model.state()
    state = {name: array + 1 for name, array in before.items()}
    spoil(state)
    with pytest.raises(FormatError, match=match):
        model.load_state(state)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("layers", "shape", "match"),
    [
        pytest.param([layer_spec("linear", out_features=2)], IMAGE, "flatten images first", id="linear-on-images"),
        pytest.param([layer_spec("linear", out_features=0)], ROW, "out_features >= 1, got 0", id="no-features"),
        pytest.param(
            [layer_spec("conv2d", out_channels=2, kernel=3)], ROW, r"expected .*\(C, H, W\)", id="conv-on-rows"
        ),
        pytest.param([layer_spec("conv2d", out_channels=2, kernel=0)], IMAGE, "kernel and stride >= 1", id="no-kernel"),
        pytest.param([layer_spec("max_pool2d", size=7)], IMAGE, "1 <= size <= 6, got 7", id="window-too-large"),
        pytest.param([layer_spec("avg_pool2d", size=0)], IMAGE, "1 <= size <= 6, got 0", id="no-window"),
        pytest.param([layer_spec("global_avg_pool")], ROW, r"\(C, H, W\)", id="pool-on-rows"),
        pytest.param([layer_spec("dropout", rate=1.0)], ROW, "rate < 1, got 1.0", id="drops-everything"),
        pytest.param([layer_spec("dropout", rate=-0.1)], ROW, "0 <= rate", id="negative-rate"),
        pytest.param(
            [layer_spec("activation", function="exp")], ROW, "unknown activation 'exp', known: relu", id="name"
        ),
        pytest.param(
            [layer_spec("residual", body=(layer_spec("linear", out_features=2),))],
            ROW,
            r"body gives \(2,\), shortcut \(5,\)",
            id="branches-differ",
        ),
        pytest.param(
            [layer_spec("flatten"), layer_spec("max_pool2d")],
            IMAGE,
            r"layer 1 \(max_pool2d\) on samples of shape \(144,\)",
            id="the-place-is-named",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused_when_planned(layers, shape, match):
    with pytest.raises(FormatError, match=match):
        nn.plan_layers(layers, shape)


def test_a_second_layer_of_the_same_kind_is_an_error():
    with pytest.raises(ValueError, match="declared twice"):
        nn.layer("linear")(nn.Linear)


def test_multiply_accumulates_are_counted():
    """A 3 x 3 convolution 3 -> 4 on 8 x 6 pixels, then 192 -> 10."""
    layers = (
        layer_spec("conv2d", out_channels=4, kernel=3),
        layer_spec("flatten"),
        layer_spec("linear", out_features=10),
    )
    assert nn.plan_layers(layers, IMAGE).macs == 3 * 4 * 9 * 48 + 192 * 10


def test_he_normal_has_the_variance_of_its_source():
    weights = nn.he_normal((400, 300), 300, np.random.default_rng(0))
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(0, abs=1e-3)
    assert weights.var() == pytest.approx(2 / 300, rel=0.02)


# --- what the layers compute ---


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5)], ids=["rows", "images"])
def test_batch_norm_follows_its_formulas(shape):
    """Batch statistics in training, running ones (unbiased variance, momentum 0.1) in evaluation."""
    rng = np.random.default_rng(0)
    layer = nn.BatchNorm(3)
    gain, shift = rng.standard_normal(3).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    layer.weight.data[...], layer.bias.data[...] = gain, shift
    axes, column = (0, *range(2, len(shape) + 1)), (-1, *(1,) * (len(shape) - 1))
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = 2 * rng.standard_normal((6, *shape)).astype(np.float32) + 5
        y = layer(Tensor(x))
        centred = x - x.mean(axes, keepdims=True, dtype=np.float64)
        expected = centred / np.sqrt(x.var(axes, keepdims=True, dtype=np.float64) + 1e-5)
        expected = expected * gain.reshape(column) + shift.reshape(column)
        np.testing.assert_allclose(y.data, expected, rtol=1e-4, atol=1e-5)
        mean = 0.9 * mean + 0.1 * x.mean(axes, dtype=np.float64)
        variance = 0.9 * variance + 0.1 * x.var(axes, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.data, variance, rtol=1e-5)

    x = rng.standard_normal((2, *shape)).astype(np.float32)
    expected = (x - mean.reshape(column)) / np.sqrt(variance.reshape(column) + 1e-5)
    expected = expected * gain.reshape(column) + shift.reshape(column)
    np.testing.assert_allclose(layer.eval()(Tensor(x)).data, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5, err_msg="evaluation moved the running mean")


def test_batch_norm_of_one_row_stays_finite():
    layer = nn.BatchNorm(3)
    y = layer(batch((3,), rows=1))
    np.testing.assert_array_equal(y.data, 0)
    assert np.isfinite(layer.running_var.data).all()


def test_running_statistics_are_state_and_not_parameters():
    layer = nn.BatchNorm(2)
    assert list(layer.state()) == ["weight", "bias", "running_mean", "running_var"]
    assert [name for name, _ in layer.named_tensors(nn.Parameter)] == ["weight", "bias"]


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)], ids=["rows", "images"])
def test_layer_norm_follows_its_formula(shape):
    rng = np.random.default_rng(0)
    layer = nn.LayerNorm(shape[0])
    layer.weight.data[...] = rng.standard_normal(shape[0])
    layer.bias.data[...] = rng.standard_normal(shape[0])
    x = batch(shape)
    axes, column = tuple(range(1, len(shape) + 1)), (-1, *(1,) * (len(shape) - 1))
    centred = x.data - x.data.mean(axes, keepdims=True, dtype=np.float64)
    expected = centred / np.sqrt(x.data.var(axes, keepdims=True, dtype=np.float64) + 1e-5)
    expected = expected * layer.weight.data.reshape(column) + layer.bias.data.reshape(column)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.eval()(x).data, layer.train()(x).data)


def test_dropout_passes_everything_in_evaluation():
    x = batch((10,))
    assert nn.Dropout(0.9, rng=np.random.default_rng(0)).eval()(x) is x


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_preserves_the_mean_in_training(rate):
    layer = nn.Dropout(rate, rng=np.random.default_rng(0))
    y = layer(Tensor(np.ones((100, 1000), np.float32))).data
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
    spread = np.sqrt(rate / (1 - rate) / y.size)
    assert y.mean() == pytest.approx(1, abs=5 * spread)


def test_dropout_draws_anew_at_each_step():
    layer = nn.Dropout(0.5, rng=np.random.default_rng(0))
    x = Tensor(np.ones((4, 50), np.float32))
    assert (layer(x).data != layer(x).data).any()


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32))
@settings(max_examples=25)
def test_linear_is_a_matrix_product(rows, features, seed):
    rng = np.random.default_rng(seed)
    layer = nn.Linear(features, 3, rng=rng)
    layer.bias.data[...] = rng.standard_normal(3)
    x = batch((features,), rows=rows, seed=seed)
    expected = x.data.astype(float) @ layer.weight.data.T.astype(float) + layer.bias.data
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-4, atol=1e-5)


def test_a_residual_adds_its_input_where_the_shortcut_is_empty():
    spec = layer_spec("residual", body=(layer_spec("linear", out_features=5),))
    model, x = built(spec, ROW), batch(ROW)
    np.testing.assert_allclose(model(x).data, model.layers[0].body(x).data + x.data)


def test_a_residual_adds_its_shortcut():
    body, shortcut = (layer_spec("linear", out_features=2),), (layer_spec("linear", out_features=2, bias=False),)
    model, x = built(layer_spec("residual", body=body, shortcut=shortcut), ROW), batch(ROW)
    block = model.layers[0]
    np.testing.assert_allclose(model(x).data, block.body(x).data + block.shortcut(x).data)


def test_modules_find_their_parts_by_looking():
    """Attributes and lists of modules are found in the order of assignment, also after a change."""

    class Net(nn.Module):
        def __init__(self) -> None:
            self.head = nn.Linear(2, 2, rng=np.random.default_rng(0))
            self.blocks = [nn.BatchNorm(2), nn.Linear(2, 2, bias=False, rng=np.random.default_rng(1))]

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks[1](self.blocks[0](self.head(x)))

    net = Net()
    names = ["head.weight", "head.bias", *(f"blocks.0.{n}" for n in nn.BatchNorm(2).state()), "blocks.1.weight"]
    assert list(net.state()) == names
    assert not any(module.training for module in net.eval().modules())
    net.blocks.pop()
    assert list(net.state()) == names[:-1]


def test_evaluation_without_recording_keeps_no_graph():
    model = built(layer_spec("linear", out_features=2), ROW).eval()
    with no_grad():
        assert model(batch(ROW)).node is None
