"""Networks of Caffe, written after the published architectures: read, counted, built, computed and trained."""

from __future__ import annotations

import doctest
import importlib
import time
from contextlib import suppress
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, ModelSpec, Tensor, build, grad, ops
from nasturtium.core.caffe import read_prototxt
from nasturtium.core.caffe.text_format import MAX_CHARACTERS, MAX_DEPTH
from nasturtium.core.nn import LayerSpec, Node, layer_spec
from nasturtium.core.nn.layer import MAX_LAYERS

from .caffe_networks import (
    CIFAR_QUICK,
    INCEPTION_3A,
    LENET,
    RESNET_2A,
    SMALL_INCEPTION,
    SMALL_RESNET,
    alexnet,
    googlenet,
    ip,
    one,
    pool,
    relu,
    resnet50,
    source,
    vgg16,
)

IMAGES = {"data": (1, 28, 28)}

# --- the published numbers ---


@pytest.mark.parametrize(
    ("text", "shapes", "output_shape", "parameters"),
    [
        pytest.param(LENET, IMAGES, (10,), 431_080, id="lenet"),
        pytest.param(CIFAR_QUICK, None, (10,), 145_578, id="cifar-quick"),
        pytest.param(INCEPTION_3A, None, (256, 28, 28), 163_696, id="inception-3a"),
        pytest.param(RESNET_2A, None, (256, 56, 56), 75_008, id="resnet-res2a"),
        pytest.param(alexnet(), None, (1000,), 60_965_224, id="alexnet"),
        pytest.param(vgg16(), None, (1000,), 138_357_544, id="vgg16"),
        pytest.param(googlenet(), None, (1000,), 6_998_552, id="googlenet"),
        pytest.param(resnet50(), None, (1000,), 25_557_032, id="resnet50"),
    ],
)
def test_parameters_are_as_published(text, shapes, output_shape, parameters):
    plan = read_prototxt(text, input_shapes=shapes).spec.plan()
    assert (plan.output_shape, plan.parameters) == (output_shape, parameters)


@pytest.mark.parametrize(
    ("text", "shapes", "macs"),
    [
        pytest.param(LENET, IMAGES, 2_293_000, id="lenet"),
        pytest.param(INCEPTION_3A, None, 128_049_152, id="inception-3a"),  # 128M in the paper's table 1
        pytest.param(vgg16(), None, 15_470_264_320, id="vgg16"),
    ],
)
def test_multiply_accumulates_are_as_published(text, shapes, macs):
    assert read_prototxt(text, input_shapes=shapes).spec.plan().macs == macs


# --- from text to values ---


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        pytest.param(LENET, IMAGES, id="lenet"),
        pytest.param(CIFAR_QUICK, None, id="cifar-quick"),
        pytest.param(SMALL_INCEPTION, None, id="inception"),
        pytest.param(SMALL_RESNET, None, id="resnet"),
    ],
)
def test_a_network_is_built_runs_and_learns(text, shapes):
    spec = read_prototxt(text, input_shapes=shapes).spec
    assert ModelSpec.from_json(spec.to_json()) == spec
    model = build(spec, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x, labels = Tensor(rng.standard_normal((8, *spec.input_shape)).astype(np.float32)), rng.integers(0, 10, 8)
    parameters = model.parameters()
    assert sum(parameter.size for parameter in parameters) == spec.plan().parameters
    before = ops.cross_entropy(model(x), labels)
    gradients = grad(before, parameters)
    norm = np.sqrt(sum(float((gradient * gradient).sum()) for gradient in gradients))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all()
        parameter.data -= (0.05 / norm) * gradient.data
    assert float(ops.cross_entropy(model(x), labels)) < float(before)


def test_lenet_is_a_row_of_layers():
    net = read_prototxt(LENET, input_shapes=IMAGES)
    assert (net.name, net.inputs, net.output) == ("LeNet", ("data",), "ip2")
    conv2d = {"kernel": 5, "stride": 1, "padding": 0}
    assert net.spec == ModelSpec(
        (1, 28, 28),
        (
            layer_spec("conv2d", out_channels=20, **conv2d),
            layer_spec("max_pool2d", size=2, stride=2),
            layer_spec("conv2d", out_channels=50, **conv2d),
            layer_spec("max_pool2d", size=2, stride=2),
            layer_spec("flatten"),
            layer_spec("linear", out_features=500),
            layer_spec("activation", function="relu"),
            layer_spec("linear", out_features=10),
        ),
    )


def test_what_was_left_out_is_told():
    assert read_prototxt(LENET, input_shapes=IMAGES).notes == (
        "scaling, means and cropping (transform_param) are left out, preprocessing is apart: mnist",
        "losses and measures are left out: loss",
        "initial values (fillers) are left out, those of our layers are used: conv1",
        "learning rates and decays of single layers are left out: conv1",
    )
    assert "losses and measures are left out: accuracy, loss" in (
        read_prototxt(LENET, input_shapes=IMAGES, phase="TEST").notes
    )
    assert read_prototxt(CIFAR_QUICK).notes == (
        "a softmax at the end is left out, the network gives logits: prob",
        "learning rates and decays of single layers are left out: conv1, conv2",
    )
    left_out = read_prototxt(googlenet()).notes[-1]
    assert left_out.startswith(
        "left out, as the result does not depend on them: 4a/ave, 4a/c, 4a/fc, 4a/classes, 4d/ave"
    )


def test_what_a_batch_norm_loses_or_gains_is_told():
    assert read_prototxt(RESNET_2A).notes == (
        "use_global_stats is left out: training normalises by the batch, evaluation by running means: "
        "bn_res2a_1, bn_res2a_2a, bn_res2a_2b, bn_res2a_2c",
    )
    plain = source(1, 4, 4) + one("BatchNorm", "norm", "data") + one("Scale", "scale", "norm")
    assert read_prototxt(plain).notes == ("a shift is learned too, which bias_term: false leaves out: scale",)
    assert read_prototxt(source(1, 4, 4) + one("BatchNorm", "norm", "data")).notes == (
        "a scale and a shift are learned too, as no Scale follows: norm",
    )


def test_weights_in_the_file_are_left_out():
    text = source(1, 4, 4) + ip("y", "data", 2).replace("inner_product_param", "blobs { data: 1 } inner_product_param")
    assert read_prototxt(text).notes == ("weights in the file are left out: y",)


def test_a_convolution_network_computes_what_torch_does():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    f = torch.nn.functional
    spec = read_prototxt(CIFAR_QUICK).spec
    model = build(spec, np.random.default_rng(0)).eval()
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = (torch.tensor(array).squeeze() for array in model.state().values())
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    y = f.max_pool2d(f.conv2d(torch.tensor(x), w1, b1, padding=2), 3, 2, ceil_mode=True).relu()
    y = f.avg_pool2d(f.conv2d(y, w2, b2, padding=2).relu(), 3, 2, ceil_mode=True)
    y = f.avg_pool2d(f.conv2d(y, w3, b3, padding=2).relu(), 3, 2, ceil_mode=True)
    y = f.linear(f.linear(y.flatten(1), w4, b4), w5, b5)
    np.testing.assert_allclose(model(Tensor(x)).detach().numpy(), y.numpy(), rtol=1e-3, atol=1e-4)


def caffe_pool(x: np.ndarray, kind: str, size: tuple, stride: tuple, pad: tuple) -> np.ndarray:
    """Caffe's PoolingLayer::Reshape and Forward_cpu, line by line."""
    channels, *image = x.shape
    out = []
    for length, k, s, p in zip(image, size, stride, pad, strict=True):
        pooled = ceil((length + 2 * p - k) / s) + 1
        if any(pad) and (pooled - 1) * s >= length + p:
            pooled -= 1
        out.append(pooled)
    y = np.zeros((channels, *out))
    for c, ph, pw in np.ndindex(*y.shape):
        hstart, wstart = ph * stride[0] - pad[0], pw * stride[1] - pad[1]
        hend, wend = (
            min(start + k, length + p) for start, k, length, p in zip((hstart, wstart), size, image, pad, strict=True)
        )
        pool_size = (hend - hstart) * (wend - wstart)
        hstart, wstart, hend, wend = max(hstart, 0), max(wstart, 0), min(hend, image[0]), min(wend, image[1])
        window = x[c, hstart:hend, wstart:wend]
        y[c, ph, pw] = window.max() if kind == "MAX" else window.sum() / pool_size
    return y


@st.composite
def pools(draw) -> tuple:
    size = tuple(draw(st.integers(1, 4)) for _ in range(2))
    stride = tuple(draw(st.integers(1, k)) for k in size)
    pad = tuple(draw(st.integers(0, (k - 1) // 2)) for k in size)
    image = tuple(draw(st.integers(max(1, k - p), 9)) for k, p in zip(size, pad, strict=True))
    return draw(st.sampled_from(["MAX", "AVE"])), image, size, stride, pad


@given(pools(), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_pooling_rounds_and_divides_as_caffe_does(case, seed):
    kind, image, size, stride, pad = case
    text = f"pool: {kind} kernel_h: {size[0]} kernel_w: {size[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
    text += f"pad_h: {pad[0]} pad_w: {pad[1]}"
    spec = read_prototxt(source(2, *image) + pool("pool", "data", text)).spec
    x = np.random.default_rng(seed).standard_normal((1, 2, *image))
    expected = caffe_pool(x[0], kind, size, stride, pad)
    assert spec.plan().output_shape == expected.shape
    result = build(spec, np.random.default_rng(0))(Tensor(x)).numpy()[0]
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


# --- what layers become ---

IMAGE, ROW = (4, 6, 8), (12,)


def layers_of(*parts: str, shape: tuple[int, ...] = IMAGE, **options) -> tuple[LayerSpec, ...]:
    dims = " ".join(f"dim: {length}" for length in (2, *shape))
    text = f'layer {{ name: "data" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n' + "".join(parts)
    return read_prototxt(text, **options).spec.layers


def activation(function: str) -> LayerSpec:
    return layer_spec("activation", function=function)


CONV = {"out_channels": 2, "kernel": 3, "stride": 1, "padding": 0}
SINGLE = [
    ("Convolution", IMAGE, "num_output: 2 kernel_size: 3", "convolution_param", layer_spec("conv2d", **CONV)),
    (
        "Convolution",
        IMAGE,
        "num_output: 2 kernel_size: 3 pad: 1 stride: 2 dilation: 2 group: 2 bias_term: false engine: CUDNN",
        "convolution_param",
        layer_spec("conv2d", **{**CONV, "stride": 2, "padding": 1}, dilation=2, groups=2, bias=False),
    ),
    (
        "Convolution",
        IMAGE,
        "num_output: 2 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 2",
        "convolution_param",
        layer_spec("conv2d", out_channels=2, kernel=(3, 5), stride=(1, 2), padding=(1, 2)),
    ),
    (
        "Convolution",
        IMAGE,
        "num_output: 2 kernel_size: 3 kernel_size: 1 pad: [1, 0] stride: 1 stride: 1 dilation: 1 dilation: 2",
        "convolution_param",
        layer_spec("conv2d", out_channels=2, kernel=(3, 1), stride=1, padding=(1, 0), dilation=(1, 2)),
    ),
    (
        "Deconvolution",
        IMAGE,
        "num_output: 2 kernel_size: 4 stride: 2 pad: 1 group: 2",
        "convolution_param",
        layer_spec("conv_transpose2d", out_channels=2, kernel=4, stride=2, padding=1, groups=2),
    ),
    ("Pooling", IMAGE, "kernel_size: 2 stride: 2", "pooling_param", layer_spec("max_pool2d", size=2, stride=2)),
    ("Pooling", IMAGE, "pool: AVE kernel_size: 2", "pooling_param", layer_spec("avg_pool2d", size=2, stride=1)),
    ("Pooling", IMAGE, "pool: 1 kernel_size: 2", "pooling_param", layer_spec("avg_pool2d", size=2, stride=1)),
    (
        "Pooling",
        IMAGE,
        "kernel_size: 3 stride: 2",
        "pooling_param",
        layer_spec("max_pool2d", size=3, stride=2, ceil_mode=True),
    ),
    (
        "Pooling",
        IMAGE,
        "kernel_size: 3 stride: 2 round_mode: FLOOR",
        "pooling_param",
        layer_spec("max_pool2d", size=3, stride=2),
    ),
    (
        "Pooling",
        IMAGE,
        "pool: MAX global_pooling: true",
        "pooling_param",
        layer_spec("max_pool2d", size=(6, 8), stride=1),
    ),
    ("InnerProduct", ROW, "num_output: 3", "inner_product_param", layer_spec("linear", out_features=3)),
    (
        "InnerProduct",
        ROW,
        "num_output: 3 bias_term: false axis: -1 transpose: true",
        "inner_product_param",
        layer_spec("linear", out_features=3, bias=False),
    ),
    ("ReLU", ROW, "", "relu_param", activation("relu")),
    ("ReLU", ROW, "negative_slope: .1 engine: CAFFE", "relu_param", layer_spec("leaky_relu", slope=0.1)),
    ("PReLU", IMAGE, "", "prelu_param", layer_spec("prelu")),
    ("PReLU", IMAGE, "channel_shared: true", "prelu_param", layer_spec("prelu", shared=True)),
    ("ELU", ROW, "", "elu_param", layer_spec("elu")),
    ("ELU", ROW, "alpha: 2", "elu_param", layer_spec("elu", alpha=2.0)),
    ("Sigmoid", ROW, "", "sigmoid_param", activation("sigmoid")),
    ("TanH", ROW, "", "tanh_param", activation("tanh")),
    ("BNLL", ROW, "", "bnll_param", activation("softplus")),
    ("Dropout", ROW, "", "dropout_param", layer_spec("dropout", rate=0.5)),
    ("Dropout", ROW, "dropout_ratio: 0.25", "dropout_param", layer_spec("dropout", rate=0.25)),
    ("BatchNorm", IMAGE, "", "batch_norm_param", layer_spec("batch_norm", momentum=0.001)),
    (
        "BatchNorm",
        IMAGE,
        "moving_average_fraction: 0.9 eps: 1e-3",
        "batch_norm_param",
        layer_spec("batch_norm", momentum=0.1, epsilon=0.001),
    ),
    (
        "LRN",
        IMAGE,
        "local_size: 3 alpha: 5e-05 k: 2",
        "lrn_param",
        layer_spec("local_response_norm", size=3, alpha=5e-5, beta=0.75, k=2.0),
    ),
    ("Flatten", IMAGE, "", "flatten_param", layer_spec("flatten")),
    ("Flatten", IMAGE, "axis: -3 end_axis: 3", "flatten_param", layer_spec("flatten")),
    ("Reshape", ROW, "shape { dim: 0 dim: 3 dim: -1 }", "reshape_param", layer_spec("reshape", shape=(3, 4))),
    ("Reshape", IMAGE, "shape { dim: 0 dim: 0 dim: -1 }", "reshape_param", layer_spec("reshape", shape=(4, 48))),
    ("Reshape", IMAGE, "shape { dim: [0, -1, 6] }", "reshape_param", layer_spec("reshape", shape=(32, 6))),
]


@pytest.mark.parametrize(
    ("kind", "shape", "text", "parameter", "expected"),
    [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(SINGLE)],
)
def test_a_layer_becomes_what_it_means(kind, shape, text, parameter, expected):
    assert layers_of(one(kind, "y", "x", **{parameter: text}), shape=shape) == (expected,)
    in_place = one(kind, "y", "x", "x", **{parameter: text}) + relu("end", "x")
    assert layers_of(in_place, shape=shape) == (expected, activation("relu"))


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        pytest.param("Concat", {}, layer_spec("concat"), id="concat"),
        pytest.param("Concat", {"concat_param": "axis: -1"}, layer_spec("concat", axis=2), id="concat-axis"),
        pytest.param("Concat", {"concat_param": "concat_dim: 1"}, layer_spec("concat"), id="concat-dim"),
        pytest.param("Eltwise", {}, layer_spec("add"), id="sum"),
        pytest.param("Eltwise", {"eltwise_param": "operation: PROD"}, layer_spec("multiply"), id="product"),
        pytest.param("Eltwise", {"eltwise_param": "operation: MAX"}, layer_spec("maximum"), id="max"),
        pytest.param(
            "Eltwise", {"eltwise_param": "operation: SUM coeff: 1 coeff: 1"}, layer_spec("add"), id="sum-of-ones"
        ),
        pytest.param(
            "Eltwise",
            {"eltwise_param": "coeff: 1 coeff: -1"},
            layer_spec("add", weights=(1.0, -1.0)),
            id="difference",
        ),
    ],
)
def test_layers_of_several_inputs_become_nodes(kind, options, expected):
    [graph] = layers_of(one("ReLU", "a", "x"), one(kind, "b", "a x", **options))
    assert graph == layer_spec(
        "graph", inputs=("x",), nodes=(Node("a", activation("relu"), ("x",)), Node("b", expected, ("a", "x")))
    )


def test_an_inner_product_of_images_flattens_them_first():
    assert layers_of(ip("y", "x", 3)) == (layer_spec("flatten"), layer_spec("linear", out_features=3))


def test_a_batch_norm_and_its_scale_are_one_layer():
    norm, scale = one("BatchNorm", "norm", "x"), one("Scale", "scale", "norm", scale_param="bias_term: true")
    expected = (layer_spec("batch_norm", momentum=0.001), activation("relu"))
    assert layers_of(norm, scale, relu("end", "scale")) == expected
    in_place = one("BatchNorm", "norm", "x", "x"), one("Scale", "scale", "x", "x", scale_param="bias_term: true")
    assert layers_of(*in_place, relu("end", "x")) == expected


def test_a_slice_is_a_part_for_every_top_and_a_split_is_nothing():
    parts = one("Slice", "parts", "x", "a b c", slice_param="slice_point: 1 slice_point: 3")
    copies = one("Split", "copies", "b", "b1 b2")
    [graph] = layers_of(parts, copies, one("Concat", "end", "c b1 a b2"))
    assert [(node.name, node.layer, node.inputs) for node in graph.options["nodes"]] == [
        ("parts/0", layer_spec("select", start=0, stop=1), ("x",)),
        ("parts/1", layer_spec("select", start=1, stop=3), ("x",)),
        ("parts/2", layer_spec("select", start=3, stop=4), ("x",)),
        ("end", layer_spec("concat"), ("parts/2", "parts/1", "parts/0", "parts/1")),
    ]


def test_a_slice_without_points_is_even_and_parts_that_nobody_takes_are_not_made():
    parts = one("Slice", "parts", "x", "a b", slice_param="axis: 2") + one("Silence", "none", "b", " ")
    assert layers_of(parts, relu("end", "a")) == (layer_spec("select", start=0, stop=3, axis=1), activation("relu"))


def test_layers_of_one_name_and_names_that_graphs_do_not_take_are_told_apart():
    text = one("ReLU", "same.name", "x", "a") + one("TanH", "same.name", "x", "b") + one("Eltwise", "", "a b", "c")
    [graph] = layers_of(text)
    assert [node.name for node in graph.options["nodes"]] == ["same_name", "same_name_2", "Eltwise"]


SHARED = """
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" lr_mult: 1 } param { name: "b" }
        inner_product_param { num_output: 3 } }
layer { name: "b" type: "InnerProduct" bottom: "y" top: "b" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 } }
"""
PAIR = 'input: "x" input: "y" input_shape { dim: 1 dim: 4 } input_shape { dim: 1 dim: 4 }\n'
OLD_SHARED = """
layers { name: "a" type: INNER_PRODUCT bottom: "x" top: "a" param: "w" param: "b"
         inner_product_param { num_output: 3 } }
layers { name: "b" type: INNER_PRODUCT bottom: "y" top: "b" param: "w" param: "b"
         inner_product_param { num_output: 3 } }
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SHARED + one("Eltwise", "c", "a b"), id="new-syntax"),
        pytest.param(
            OLD_SHARED + 'layers { name: "c" type: ELTWISE bottom: "a" bottom: "b" top: "c" }', id="old-syntax"
        ),
    ],
)
def test_shared_weights_and_several_inputs_make_a_siamese_network(text):
    net = read_prototxt(PAIR + text)
    assert (net.inputs, net.spec.other_shapes) == (("x", "y"), ((4,),))
    assert [node.layer for node in net.spec.layers[0].options["nodes"]][1] == "a"
    assert net.spec.plan().parameters == 15
    model = build(net.spec, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 2, 4)).astype(np.float32)
    weight, bias = model.state().values()
    expected = x[0] @ weight.T + x[1] @ weight.T + 2 * bias
    np.testing.assert_allclose(model(Tensor(x[0]), Tensor(x[1])).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


# --- phases, inputs and outputs ---

RULES = """
layer { name: "tanh" type: "TanH" bottom: "x" top: "x" include { phase: TRAIN } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "x" top: "x" include { phase: TEST } include { stage: "both" } }
layer { name: "elu" type: "ELU" bottom: "x" top: "x" exclude { phase: TEST not_stage: "keep" } }
layer { name: "bnll" type: "BNLL" bottom: "x" top: "x" include { min_level: 1 max_level: 2 } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "tanh elu relu", id="train"),
        pytest.param({"phase": "TEST"}, "sigmoid relu", id="test"),
        pytest.param({"phase": "TEST", "stages": ["keep"]}, "sigmoid elu relu", id="stage"),
        pytest.param({"stages": ["both"]}, "tanh sigmoid elu relu", id="one-of-two-rules"),
        pytest.param({"level": 2}, "tanh elu softplus relu", id="level"),
        pytest.param({"level": 3}, "tanh elu relu", id="level-above"),
    ],
)
def test_rules_say_which_layers_are_there(options, expected):
    found = layers_of(RULES, **options)
    assert [spec.options.get("function", spec.kind) for spec in found] == expected.split()


def test_the_file_may_say_its_state_itself():
    assert [spec.kind for spec in layers_of("state { phase: TEST stage: 'keep' }", RULES)] == [
        "activation",
        "elu",
        "activation",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('input: "x" input_dim: 9 input_dim: 2 input_dim: 3 input_dim: 4', id="input-dim"),
        pytest.param('input: "x" input_shape { dim: 9 dim: 2 dim: 3 dim: 4 }', id="input-shape"),
        pytest.param(
            'layer { name: "x" type: "Input" top: "x" input_param { shape: { dim: [9, 2, 3, 4] } } }', id="layer"
        ),
        pytest.param(
            'layer { name: "x" type: "MemoryData" top: "x" top: "label" '
            "memory_data_param { batch_size: 9 channels: 2 height: 3 width: 4 } }",
            id="memory",
        ),
        pytest.param(
            'layer { name: "x" type: "DummyData" top: "x" top: "label" dummy_data_param { num: 9 num: 9 channels: 2 '
            "channels: 1 height: 3 height: 1 width: 4 width: 1 data_filler { type: 'constant' } } }",
            id="dummy-old",
        ),
        pytest.param(
            'layer { name: "x" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 9 dim: 2 dim: 3 '
            "dim: 4 } shape { dim: 9 } } }",
            id="dummy",
        ),
    ],
)
def test_the_shape_of_samples_is_read_from_wherever_it_stands(text):
    spec = read_prototxt(text + "\n" + relu("relu", "x")).spec
    assert spec.input_shape == (2, 3, 4)
    overruled = read_prototxt(text + "\n" + relu("relu", "x"), input_shapes={"x": (1, 5, 5)}).spec
    assert overruled.input_shape == (1, 5, 5)


def test_the_output_may_be_chosen_by_its_blob():
    text = source(1, 4, 4) + ip("a", "data", 3) + one("Softmax", "p", "a") + ip("b", "data", 4)
    assert read_prototxt(text).output == "b"
    net = read_prototxt(text, output="p")
    assert (net.output, net.spec.plan().output_shape) == ("a", (3,))
    assert "left out, as the result does not depend on them: b" in net.notes


def test_a_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "lenet.prototxt"
    path.write_text(LENET)
    assert read_prototxt(path, input_shapes=IMAGES) == read_prototxt(LENET, input_shapes=IMAGES)


def test_the_example_runs():
    failed, attempted = doctest.testmod(importlib.import_module("nasturtium.core.caffe.network"))
    assert (failed, attempted) == (0, 3)


# --- what is refused, and where ---

X = 'input: "x" input_shape { dim: 1 dim: 4 dim: 6 dim: 8 }\n'
ROWS = 'input: "x" input_shape { dim: 1 dim: 12 }\n'


def single(kind: str, parameter: str = "", text: str = "", before: str = X) -> str:
    options = {parameter: text} if parameter else {}
    return before + one(kind, "y", "x", **options)


REFUSED = [
    pytest.param("", "not the text of a network.*pathlib.Path", id="empty"),
    pytest.param("lenet.prototxt", "not the text of a network: 'lenet.prototxt'.*pathlib.Path", id="a-path-as-text"),
    pytest.param(X, "no layers that compute", id="no-layers"),
    pytest.param(X + one("Softmax", "p", "x"), "no layers that compute", id="softmax-only"),
    pytest.param(X + one("Split", "p", "x"), "no layers that compute", id="split-only"),
    pytest.param('base_lr: 0.01 net: "lenet.prototxt"', "describes a training.*file that its `net` names", id="solver"),
    pytest.param(
        X + one("Warp", "strange", "x"),
        r"line 2, column 7: layer 'strange' \(Warp\): unknown type: expected one of Accuracy.*Convolution.*TanH",
        id="unknown-type",
    ),
    pytest.param(
        X + 'layers { name: "m" type: MVN bottom: "x" top: "y" }',
        r"line 2, column 8: layer 'm' \(MVN\): unknown type",
        id="unknown-old-type",
    ),
    pytest.param(X + 'layer { name: "y" bottom: "x" }', "line 2.*layer 'y': expected a type", id="no-type"),
    pytest.param(
        X + "layers { layer { name: 'a' } }", "a layer inside of a layer.*upgrade_net_proto_text", id="oldest-syntax"
    ),
    pytest.param(X + relu("a", "x") + 'layers { type: RELU bottom: "x" top: "x" }', "got both", id="both-syntaxes"),
    pytest.param(X + relu("a", "z"), "nothing before it gives the blob 'z': expected one of x", id="unknown-blob"),
    pytest.param(
        X + one("ReLU", "a", "x", "y") + one("ReLU", "b", "x", "y"), "'y' is given a second time", id="blob-given-twice"
    ),
    pytest.param(
        X + one("Softmax", "p", "x") + ip("y", "p", 3),
        r"layer 'y' \(InnerProduct\): it takes what layer 'p' \(Softmax\) gives, which is left out",
        id="softmax-inside",
    ),
    pytest.param(X + 'layer { type: "ReLU" top: "y" }', "expected one bottom, got 0", id="no-bottom"),
    pytest.param(X + one("ReLU", "y", "x x"), "expected one bottom, got 2", id="two-bottoms"),
    pytest.param(X + one("ReLU", "y", "x", "y z"), "expected 1 top, got 2", id="two-tops"),
    pytest.param(X + one("Concat", "y", " "), "expected at least one bottom, got 0", id="concat-of-nothing"),
    pytest.param(
        'layer { name: "d" type: "Data" top: "x" }' + relu("r", "x"),
        r"layer 'd' \(Data\): the file does not say what shape .*input_shapes={'x': \(channels",
        id="data-without-a-shape",
    ),
    pytest.param(
        'layer { name: "d" type: "Data" top: "x" bottom: "x" }', "expected no bottoms, got x", id="data-with-a-bottom"
    ),
    pytest.param('input: "x" input_dim: 1 ' + relu("r", "x"), "four input_dim, for each of 1 inputs", id="one-dim"),
    pytest.param('input: "x"' + relu("r", "x"), "got 0 and 0", id="input-without-a-shape"),
    pytest.param('input: "x" input_shape { dim: 1 }' + relu("r", "x"), "1 to 8 positive lengths", id="batch-only"),
    pytest.param('input: "x" input_shape { }' + relu("r", "x"), "at least one dim", id="no-dims"),
    pytest.param('input: "x" input_shape { dim: 0 }', "dim as a whole number from 1", id="dim-of-zero"),
    pytest.param(X + X, "the input 'x' is declared twice", id="an-input-twice"),
    # fields
    pytest.param(
        single("Convolution", "convolution_param", "num_ouput: 2 kernel_size: 3"),
        "line 2.*expected num_output in its convolution_param",
        id="missing-num-output",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2 kernel_size: 3 strid: 2"),
        r"line 2, column \d+: convolution_param of layer 'y' \(Convolution\): unknown field 'strid'.*mean stride\?",
        id="a-field-misspelt",
    ),
    pytest.param(
        X + relu("r", "x").replace("bottom", "botom"),
        "line 2, column 39: layer 'r' .*unknown field 'botom'.*mean bottom",
        id="bottom-misspelt",
    ),
    pytest.param(
        single("ReLU", "rellu_param", ""), "unknown field 'rellu_param'.*mean relu_param", id="param-misspelt"
    ),
    pytest.param(X + "layer: 3", "expected layer as a message in braces, got 3", id="layer-number"),
    pytest.param(X + 'layer { type: "ReLU" type: "TanH" }', "expected type once, got it 2 times", id="type-twice"),
    pytest.param(X + "layer { type: ReLU }", "expected type as a text in quotes, got ReLU", id="type-without-quotes"),
    pytest.param(
        X + 'layers { type: "RELU" }', "expected type as a name without quotes, got 'RELU'", id="old-type-in-quotes"
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2.5"), "whole number from 1.*got 2.5", id="float"
    ),
    pytest.param(single("Convolution", "convolution_param", "num_output: 0"), "number from 1.*got 0", id="zero"),
    pytest.param(single("Convolution", "convolution_param", "num_output: -1"), "got -1", id="negative"),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 99999999999"), "from 1 to 2147483648", id="huge"
    ),
    pytest.param(single("Dropout", "dropout_param", "dropout_ratio: nan"), "a finite number, got nan", id="nan"),
    pytest.param(single("Dropout", "dropout_param", "dropout_ratio: 1e999"), "a finite number, got inf", id="infinity"),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2 kernel_size: 3 bias_term: maybe"),
        "bias_term as true or false, got maybe",
        id="bool",
    ),
    pytest.param(
        single("Pooling", "pooling_param", "pool: MIN kernel_size: 2"),
        "one of MAX, AVE, STOCHASTIC, got MIN",
        id="enum",
    ),
    pytest.param(X + 'layer { type: "ReLU" include { phase: BOTH } }', "phase as one of TRAIN, TEST", id="phase"),
    pytest.param(
        X + 'layer { type: "ReLU" include { phase: TEST } exclude { phase: TEST } }', "rules, got both", id="both-rules"
    ),
    pytest.param(X + 'layer { type: "ReLU" include { phases: TEST } }', "unknown field 'phases'", id="rule-misspelt"),
    # layers
    pytest.param(single("Convolution", "convolution_param", "num_output: 2"), "expected kernel_size, or", id="kernel"),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2 kernel_h: 3"),
        "or both kernel_h and",
        id="half-a-kernel",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2 kernel_size: 3 kernel_h: 3 kernel_w: 3"),
        "or both kernel_h and",
        id="kernel-twice",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 2 kernel_size: [3, 3, 3]"),
        "one or two numbers",
        id="3d",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 3 kernel_size: 1 group: 2"),
        r"line 2.*layer 'y' \(Convolution\): on samples of shape \(4, 6, 8\): .*groups that divide",
        id="groups",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 3 kernel_size: 9"),
        "on samples of shape",
        id="kernel-large",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 3 kernel_size: 1", ROWS),
        r"expected samples of shape \(C, H, W\), got \(12,\)",
        id="convolution-of-rows",
    ),
    pytest.param(
        single("Convolution", "convolution_param", "num_output: 3 kernel_size: 1 axis: 2"), "axis: 1", id="conv-axis"
    ),
    pytest.param(
        single("Pooling", "pooling_param", "pool: STOCHASTIC kernel_size: 2"), "stochastic pooling", id="stochastic"
    ),
    pytest.param(
        single("Pooling", "pooling_param", "global_pooling: true kernel_size: 2"),
        "no kernel besides",
        id="global-kernel",
    ),
    pytest.param(
        single("Pooling", "pooling_param", "kernel_size: 2", ROWS), r"images of shape \(C, H, W\)", id="pool-of-rows"
    ),
    pytest.param(
        single("Pooling", "pooling_param", "kernel_size: 1 stride: 4"),
        "last window begins behind the image",
        id="window",
    ),
    pytest.param(single("InnerProduct"), "expected num_output in its inner", id="inner-product-without-outputs"),
    pytest.param(
        single("InnerProduct", "inner_product_param", "num_output: 3 axis: 2"), "over all axes.*got 2", id="inner-axis"
    ),
    pytest.param(single("Dropout", "dropout_param", "dropout_ratio: 1"), "0 <= rate < 1", id="dropout-all"),
    pytest.param(
        single("BatchNorm", "batch_norm_param", "moving_average_fraction: 1"), "moving_average_fraction < 1", id="norm"
    ),
    pytest.param(single("Scale"), "expected it right after a BatchNorm", id="scale-alone"),
    pytest.param(
        X + one("BatchNorm", "n", "x") + one("Scale", "s", "n") + one("Eltwise", "e", "n s"),
        "right after a BatchNorm whose result nothing else takes",
        id="scale-beside",
    ),
    pytest.param(
        X + one("BatchNorm", "n", "x") + one("Scale", "s", "n", scale_param="axis: 0"),
        "axis: 1 and num_axes",
        id="axis",
    ),
    pytest.param(
        single("LRN", "lrn_param", "norm_region: WITHIN_CHANNEL"), "within channels is not known", id="lrn-within"
    ),
    pytest.param(
        X + one("Concat", "y", "x x", concat_param="axis: 0"),
        "an axis after the batch, 1 to 3, got 0",
        id="concat-batch",
    ),
    pytest.param(X + one("Concat", "y", "x x", concat_param="axis: 4"), "1 to 3, got 4", id="concat-axis"),
    pytest.param(
        X + pool("p", "x", "kernel_size: 2") + one("Concat", "y", "x p"), "differ in axis 0 alone", id="concat-sizes"
    ),
    pytest.param(X + one("Eltwise", "y", "x"), "at least two inputs of one shape", id="sum-of-one"),
    pytest.param(
        X + pool("p", "x", "kernel_size: 2") + one("Eltwise", "y", "x p"),
        "at least two inputs of one",
        id="sum-of-sizes",
    ),
    pytest.param(
        X + one("Eltwise", "y", "x x", eltwise_param="coeff: 1"), "one coeff for each of the 2 inputs", id="one-coeff"
    ),
    pytest.param(
        X + one("Eltwise", "y", "x x", eltwise_param="operation: MAX coeff: 1 coeff: 2"),
        "of a SUM, got 2",
        id="max-coeff",
    ),
    pytest.param(single("Flatten", "flatten_param", "axis: 2"), "all axes after the batch.*got 2 to -1", id="flatten"),
    pytest.param(single("Reshape", "reshape_param", "shape { dim: 5 dim: -1 }"), "keeps the batch", id="reshape-batch"),
    pytest.param(
        single("Reshape", "reshape_param", "shape { dim: 0 dim: 7 }"), r"do not become \[7\]", id="reshape-size"
    ),
    pytest.param(
        single("Reshape", "reshape_param", "shape { dim: [0, -1, -1] }"), "do not become", id="reshape-two-unknown"
    ),
    pytest.param(
        single("Reshape", "reshape_param", "shape { dim: [0, 4, 6, 8, 0] }"),
        "have none at its place",
        id="reshape-copy",
    ),
    pytest.param(
        single("Reshape", "reshape_param", "axis: 1 shape { dim: 4 }"), "all axes, axis: 0", id="reshape-axis"
    ),
    pytest.param(X + one("Slice", "s", "x", "a b c"), "is not divided evenly into 3 tops", id="slice-uneven"),
    pytest.param(
        X + one("Slice", "s", "x", "a b", slice_param="slice_point: 4"),
        "1 ascending slice points below 4",
        id="slice-end",
    ),
    pytest.param(
        X + one("Slice", "s", "x", "a b c", slice_param="slice_point: [2, 1]"), "2 ascending", id="slice-backwards"
    ),
    pytest.param(
        PAIR + SHARED.replace('3 } }\nlayer { name: "b"', '4 } }\nlayer { name: "b"') + one("Concat", "c", "a b"),
        "shares weights with layer 'a': expected the same options",
        id="shared-sizes",
    ),
    pytest.param(
        PAIR
        + SHARED.replace('param { name: "w" } param { name: "b" }', 'param { name: "w" }')
        + one("Concat", "c", "a b"),
        r"the same names for all weights, \['w', 'b'\], got \['w'\]",
        id="shared-in-part",
    ),
    # text
    pytest.param("layer {", "line 1, column 7: the message that begins here does not end: expected '}'", id="open"),
    pytest.param("layer { }}", "line 1, column 10: expected the name of a field, got '}'", id="closed-twice"),
    pytest.param("layer { >", "expected the name of a field, got '>'", id="closed-otherwise"),
    pytest.param("a:", "line 1, column 3: expected a value for 'a', got the end of the text", id="no-value"),
    pytest.param("a: {b 3}", "line 1, column 7: expected ':' or '{' after 'b', got '3'", id="no-colon"),
    pytest.param('a: "x', "line 1, column 4: unexpected text in quotes that do not close", id="open-quotes"),
    pytest.param('a:\n\n  "x\ny"', "line 3, column 3: unexpected text in quotes", id="quotes-over-lines"),
    pytest.param("a: 3x", "line 1, column 4: unexpected '3x'", id="number-with-letters"),
    pytest.param("a: 09", "begins with 0 is octal", id="octal"),
    pytest.param("a: --3", "expected a value for 'a', got '-'", id="two-signs"),
    pytest.param("a: -x", "expected a value for 'a', got 'x'", id="minus-name"),
    pytest.param("a: [1 2]", r"expected ',' or '\]' in the list of a, got '2'", id="list-without-commas"),
    pytest.param("a: [1,", "expected a value for 'a', got the end", id="open-list"),
    pytest.param("[a.b]: 3", "extensions are not read", id="extension"),
    pytest.param("a: 1 ?", "line 1, column 6: unexpected '\\?'", id="sign"),
    pytest.param('a: "\\q"', r"unknown escape \\q", id="escape"),
    pytest.param("a: " + "1" * 100, "a number of at most 64 characters", id="endless-number"),
    pytest.param("a {" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels", id="deep"),
    pytest.param("a {" * 100_000, f"deeper than {MAX_DEPTH} levels", id="endlessly-deep"),
]


@pytest.mark.parametrize(("text", "match"), REFUSED)
def test_what_cannot_be_read_is_refused_with_place_and_reason(text, match):
    with pytest.raises(FormatError, match=match):
        read_prototxt(text)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"phase": "train"}, "a phase of TRAIN or TEST, got 'train'", id="phase"),
        pytest.param({"output": "z"}, "no blob 'z': expected one of data, ", id="output"),
        pytest.param({"output": "data"}, "'data' is not computed", id="output-is-the-input"),
        pytest.param({"input_shapes": {"z": (1,)}}, "no inputs z", id="input-shapes"),
    ],
)
def test_a_wrong_argument_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        read_prototxt(SMALL_INCEPTION, **options)


@pytest.mark.parametrize(
    ("write", "match"),
    [
        pytest.param(lambda path: None, "cannot be read: No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "cannot be read: Is a directory", id="folder"),
        pytest.param(lambda path: path.write_bytes(b"\x0a\xff\x00"), "not a text.*caffemodel", id="weights"),
        pytest.param(lambda path: path.write_text("a: ?"), "line 1, column 4", id="mistake"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, write, match):
    path = tmp_path / "net.prototxt"
    write(path)
    with pytest.raises(FormatError, match=f"net.prototxt: {match}"):
        read_prototxt(path)


LARGE = [
    pytest.param("a: 1 #" * MAX_CHARACTERS, f"at most {MAX_CHARACTERS} characters", id="text"),
    pytest.param("a:1 " * 300_000, "at most 200000 fields", id="fields"),
    pytest.param("a:[" + "1," * 300_000 + "1]", "at most 200000 fields", id="list"),
    pytest.param(
        X + 'layer{type:"ReLU"bottom:"x"top:"x"}' * (MAX_LAYERS + 1), f"at most {MAX_LAYERS} layers", id="layers"
    ),
    pytest.param(single("InnerProduct", "inner_product_param", f"num_output: {2**31}"), "exceeds", id="parameters"),
    pytest.param(
        single("Convolution", "convolution_param", f"num_output: 4 kernel_size: 3 pad: {2**30}"),
        "exceeds|within",
        id="pad",
    ),
]


@pytest.mark.parametrize(("text", "match"), LARGE)
def test_what_is_too_large_is_refused_soon(text, match):
    started = time.process_time()
    with pytest.raises(FormatError, match=match):
        read_prototxt(text + " ")
    assert time.process_time() - started < 20  # hours if it were read first


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_network_is_read_or_refused_and_nothing_else(data):
    text = data.draw(st.sampled_from([SMALL_INCEPTION, SMALL_RESNET, CIFAR_QUICK, PAIR + SHARED, X + RULES]))
    words = text.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        other = st.sampled_from(words) | st.sampled_from(["{", "}", "", "0", "-1", "99999", '"data"', "kernel_size:"])
        words[place] = data.draw(other)
    with suppress(FormatError):
        assert isinstance(read_prototxt(" ".join(words)).spec, ModelSpec)
