"""Laws that every kind of layer obeys; adding a layer without an entry here fails."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nasturtium.core import FormatError, GradientError, Tensor, grad, nn, per_sample_gradients, per_sample_norms, vmap
from nasturtium.core.nn import LAYERS, LayerSpec, build_layers, layer_spec, plan_layers
from nasturtium.core.vmap import BatchFallbackWarning

IMAGE, ROW, SEQUENCE, LINE, VOLUME = (4, 6, 6), (6,), (5, 8), (4, 9), (2, 4, 4, 4)
INTEGERS = {"embedding"}
MIXES = {"batch_norm"}  # refused by per-sample gradients in training
JOINS = {kind for kind, known in LAYERS.items() if known.joins}
# kind -> (options, shape of a sample); JSON-like options as in a document.
EXAMPLES: list[tuple[str, dict, tuple[int, ...]]] = [
    ("linear", {"out_features": 3}, ROW),
    ("linear", {"out_features": 3, "bias": False}, ROW),
    ("linear", {"out_features": 3}, SEQUENCE),
    ("prelu", {"shared": True}, IMAGE),
    ("activation", {"function": "gelu"}, ROW),
    ("leaky_relu", {}, ROW),
    ("elu", {}, ROW),
    ("prelu", {}, IMAGE),
    ("gate", {"function": "glu"}, ROW),
    ("softmax", {}, ROW),
    ("flatten", {}, IMAGE),
    ("zeros", {}, IMAGE),
    ("reshape", {"shape": (2, 3)}, ROW),
    ("image_to_sequence", {}, IMAGE),
    ("sequence_mean", {}, SEQUENCE),
    ("dropout", {"rate": 0.3}, ROW),
    ("channel_dropout", {"rate": 0.3}, IMAGE),
    ("alpha_dropout", {"rate": 0.3}, ROW),
    ("stochastic_depth", {"rate": 0.3}, IMAGE),
    ("batch_norm", {}, ROW),
    ("batch_norm", {}, IMAGE),
    ("layer_norm", {}, ROW),
    ("layer_norm", {}, IMAGE),
    ("rms_norm", {}, SEQUENCE),
    ("group_norm", {"groups": 2}, IMAGE),
    ("instance_norm", {}, IMAGE),
    ("local_response_norm", {"size": 3}, IMAGE),
    ("multi_head_attention", {"heads": 2}, SEQUENCE),
    ("multi_head_attention", {"heads": 4, "groups": 2, "bias": False}, SEQUENCE),
    ("transformer_encoder", {"heads": 2}, SEQUENCE),
    ("transformer_encoder", {"heads": 2, "norm": "rms", "norm_first": False, "hidden": 5}, SEQUENCE),
    ("conv1d", {"out_channels": 3, "kernel": 3}, LINE),
    ("conv2d", {"out_channels": 3, "kernel": 3}, IMAGE),
    ("conv2d", {"out_channels": 8, "kernel": 3, "groups": 4, "stride": 2, "dilation": 2}, IMAGE),
    ("conv3d", {"out_channels": 3, "kernel": 3}, VOLUME),
    ("conv_transpose1d", {"out_channels": 3, "kernel": 3, "stride": 2}, LINE),
    ("conv_transpose2d", {"out_channels": 3, "kernel": 3, "stride": 2}, IMAGE),
    ("conv_transpose3d", {"out_channels": 3, "kernel": 2, "stride": 2}, VOLUME),
    ("residual", {"body": (layer_spec("linear", out_features=6),)}, ROW),
    ("residual", {"body": (layer_spec("group_norm", groups=2),), "shortcut": (layer_spec("prelu"),)}, IMAGE),
    ("squeeze_excite", {}, IMAGE),
    ("mbconv", {"out_channels": 4}, IMAGE),
    ("mbconv", {"out_channels": 3, "expand": 1, "stride": 2, "ratio": 0.0}, IMAGE),
    ("embedding", {"tokens": 7, "features": 3}, (5,)),
    ("positional_encoding", {"learned": True}, SEQUENCE),
    ("max_pool1d", {}, LINE),
    ("max_pool2d", {}, IMAGE),
    ("max_pool3d", {}, VOLUME),
    ("avg_pool1d", {}, LINE),
    ("avg_pool2d", {}, IMAGE),
    ("avg_pool3d", {}, VOLUME),
    ("global_avg_pool", {}, IMAGE),
    ("global_max_pool", {}, IMAGE),
    ("adaptive_avg_pool2d", {"size": 3}, IMAGE),
    ("upsample", {"scale": 2.0}, IMAGE),
    ("rnn", {"hidden": 3}, SEQUENCE),
    ("gru", {"hidden": 3, "bidirectional": True}, SEQUENCE),
    ("lstm", {"hidden": 3, "sequences": True}, SEQUENCE),
    ("lstm", {"hidden": 3, "layers": 3, "bidirectional": True, "sequences": False}, SEQUENCE),
    ("leaky", {"learned": True}, SEQUENCE),
    ("leaky", {"recurrent": True}, SEQUENCE),
    ("synaptic", {"learned": True}, SEQUENCE),
    ("alpha", {"learned": True}, SEQUENCE),
    ("adaptive_leaky", {"learned": True}, SEQUENCE),
    ("select", {"start": 1, "stop": 3}, IMAGE),
]
CASES = [
    pytest.param(layer_spec(kind, **options), shape, id=f"{kind}-{'x'.join(map(str, shape))}-{number}")
    for number, (kind, options, shape) in enumerate(EXAMPLES)
]


def make(spec: LayerSpec, shape: tuple[int, ...], *, dtype: str = "float64") -> nn.Sequential:
    """The layer with parameters moved off their symmetric start, in double precision."""
    model = build_layers((spec,), shape, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for _, tensor in model.named_tensors(nn.Parameter):
        tensor.data = (tensor.data + 0.1 * rng.standard_normal(tensor.shape)).astype(dtype)
        tensor.requires_grad = False
        tensor.requires_grad = True
    for _, tensor in model.named_tensors(nn.Buffer):
        tensor.data = tensor.data.astype(dtype)
    return model


def draw(spec: LayerSpec, shape: tuple[int, ...], count: int = 3, seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if spec.kind in INTEGERS:
        return rng.integers(0, 7, (count, *shape))
    return rng.standard_normal((count, *shape))


def test_every_kind_has_an_example():
    missing = LAYERS.keys() - {kind for kind, _, _ in EXAMPLES} - JOINS - {"graph"}
    assert not missing, "graphs and what joins in them are tested in test_graph.py"


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_plan_is_what_is_built(spec, shape):
    plan = plan_layers((spec,), shape)
    model = build_layers((spec,), shape, np.random.default_rng(0)).eval()
    x = draw(spec, shape)
    output = model(Tensor(x if spec.kind in INTEGERS else x.astype(np.float32)))
    assert output.shape == (3, *plan.output_shape)
    assert output.dtype == np.float32
    parameters = {id(tensor): tensor.size for tensor in model.parameters()}
    assert plan.parameters == sum(parameters.values())
    assert plan.tensors == len(parameters)
    assert plan.buffers == sum(tensor.size for _, tensor in model.named_tensors(nn.Buffer))
    assert plan.peak >= max(x[0].size, output[0].size)
    assert plan.late_peak <= plan.peak


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_documents_and_states_bring_it_back(spec, shape):
    again = LayerSpec.from_dict(spec.to_dict())
    assert again == spec
    first = build_layers((spec,), shape, np.random.default_rng(0)).eval()
    second = build_layers((again,), shape, np.random.default_rng(5)).eval()
    second.load_state(first.state())
    x = draw(spec, shape)
    x = Tensor(x if spec.kind in INTEGERS else x.astype(np.float32))
    np.testing.assert_array_equal(first(x).data, second(x).data)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_gradients_per_sample_are_exact(spec, shape):
    """Against a loop over the samples; what mixes samples is refused with a replacement named."""
    model = make(spec, shape)
    parameters = model.parameters()
    if not parameters:
        pytest.skip("no parameters")
    if spec.kind == "mbconv":
        model.eval()  # its batch norms mix samples in training
    x = draw(spec, shape)
    weights = draw_output(model, x)

    def losses(x: Tensor, w: Tensor) -> Tensor:
        product = model(x) * w
        return product.reshape(product.shape[0], -1).sum(1)

    if spec.kind in MIXES:
        with pytest.raises(GradientError, match="mixes the samples") as caught:
            per_sample_gradients(losses, parameters, x, weights)
        assert "GroupNorm" in caught.value.hint
        model.eval()
    _, gradients = per_sample_gradients(losses, parameters, x, weights)
    _, norms = per_sample_norms(losses, parameters, x, weights)
    for i in range(len(x)):
        alone = grad(losses(Tensor(x[i : i + 1]), Tensor(weights[i : i + 1])).sum(), parameters)
        for mine, reference in zip(gradients, alone, strict=True):
            np.testing.assert_allclose(mine.data[i], reference.data, rtol=1e-7, atol=1e-9)
        norm = np.sqrt(sum(float((reference.data**2).sum()) for reference in alone))
        assert float(norms[i]) == pytest.approx(norm, rel=1e-7, abs=1e-9)


def draw_output(model: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Random weights of the shape of the output, which is looked up in evaluation mode."""
    was_training = model.training
    model.eval()
    shape = model(Tensor(x)).shape
    model.train(was_training)
    return np.random.default_rng(3).standard_normal(shape)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_vmap_over_models_inputs_is_a_loop(spec, shape):
    """In evaluation mode, where nothing is drawn: mapped over batches of two."""
    model = make(spec, shape).eval()
    x = np.stack([draw(spec, shape, 2, seed) for seed in range(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", BatchFallbackWarning)
        together = vmap(model)(Tensor(x))
    for row, batch in zip(together.data, x, strict=True):
        np.testing.assert_allclose(row, model(Tensor(batch)).data, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_summary_agrees_with_the_plan(spec, shape):
    if spec.kind in INTEGERS:
        pytest.skip("its input is integers")
    plan = plan_layers((spec,), shape)
    found = nn.summary(lambda rng: build_layers((spec,), shape, rng), (2, *shape)).total
    assert found.output_shape == (2, *plan.output_shape)
    assert found.parameters == plan.parameters


def test_plans_are_kept_apart_by_shape_kind_and_option():
    """1, 1.0 and True are equal, and so are their hashes."""
    plans = [
        nn.plan_layer(nn.layer_spec("linear", out_features=3, bias=bias), shape)
        for bias in (True, False, True)
        for shape in ((4,), (5,), (4,))
    ]
    assert [plan.parameters for plan in plans] == [15, 18, 15, 12, 15, 12, 15, 18, 15]
    for _ in range(2):
        with pytest.raises(FormatError):
            nn.plan_layer(nn.layer_spec("conv2d", out_channels=2, kernel=9, padding=0), (1, 3, 3))
