"""Training steps of real networks, natively: every kind of layer, and networks that are made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core.nn import layer_spec
from nasturtium.core.optim import SGD, Adam, AdamW

from ...test_nn import SAMPLES, VOLUME
from .training import PLAIN, Training, check

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")

LAYERS = [
    pytest.param(kind, shape, options, i, id=f"{kind}-{i}")
    for i, (kind, shape, options) in enumerate(SAMPLES)
    if shape != VOLUME and kind != "zeros"  # no kernels for volumes yet; zeros have no gradient
]


def of_layer(kind, shape, options, **others):
    tokens = options["tokens"] if kind == "embedding" else 0
    return Training(layers=(layer_spec(kind, **options),), shape=shape, tokens=tokens, **others)


@pytest.mark.parametrize(("kind", "shape", "options", "number"), LAYERS)
def test_every_layer(kind, shape, options, number):
    check(of_layer(kind, shape, options, batch=(2, 1, 5)[number % 3]))


@pytest.mark.soak
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(("kind", "shape", "options", "number"), LAYERS)
def test_every_layer_for_any_batch(kind, shape, options, number, batch, training):
    check(of_layer(kind, shape, options, batch=batch, training=training))


def conv(channels, kernel=3, **options):
    return layer_spec("conv2d", out_channels=channels, kernel=kernel, bias=options.pop("bias", False), **options)


def line(channels, kernel=3, **options):
    return layer_spec("conv1d", out_channels=channels, kernel=kernel, bias=options.pop("bias", False), **options)


RELU, GELU, NORM, FLAT = (
    layer_spec("activation", function="relu"),
    layer_spec("activation", function="gelu"),
    layer_spec("batch_norm"),
    layer_spec("flatten"),
)
HEAD = (layer_spec("global_avg_pool"), layer_spec("linear", out_features=5))
CONVOLUTIONS = [
    pytest.param((3, 9, 7), (conv(16, 5, stride=2), RELU, conv(33)), id="strided"),
    pytest.param((1, 8, 8), (conv(7, dilation=2), NORM, conv(17, 1, stride=2, bias=True)), id="dilated"),
    pytest.param((16, 6, 5), (conv(16, groups=16), NORM, RELU, conv(33, 1), NORM), id="depthwise"),
    pytest.param((17, 6, 6), (conv(17, 5, groups=17, stride=2, bias=True), RELU, conv(3, 1)), id="depthwise-odd"),
    pytest.param((33, 5, 7), (conv(6, groups=3, bias=True), RELU, conv(1)), id="groups"),
    pytest.param((7, 6, 6), (conv(33, (1, 3), padding=(0, 1)), NORM, conv(7, (3, 1), padding=(2, 0))), id="flat"),
    pytest.param((3, 12), (line(7, 5, stride=2), NORM, RELU, line(16, dilation=2, padding=0)), id="line"),
    pytest.param((16, 9), (line(16, groups=16), RELU, line(33, 1), NORM), id="line-depthwise"),
]


@pytest.mark.parametrize(("shape", "layers"), CONVOLUTIONS)
def test_convolutions(shape, layers):
    check(Training(layers=layers, shape=shape, batch=2))


@pytest.mark.parametrize("layers", [(conv(16), NORM, RELU, conv(12, bias=True), RELU), (conv(32, 5, bias=True), GELU)])
def test_minimal_filtering(layers):
    check(Training(layers=layers, shape=(16, 8, 8), batch=13))


@pytest.mark.soak
@pytest.mark.parametrize("inputs", [1, 3, 7, 16, 17, 33])
@pytest.mark.parametrize("outputs", [1, 3, 7, 16, 17, 33])
@pytest.mark.parametrize("kernel", [1, 2, 3, (1, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_any_channels(inputs, outputs, kernel, stride):
    for batch, dilation, bias in ((1, 1, True), (2, 2, False), (5, 1, False)):
        layers = (conv(outputs, kernel, stride=stride, dilation=dilation, bias=bias), RELU, NORM)
        check(Training(layers=layers, shape=(inputs, 9, 11), batch=batch))


LENET = (
    conv(7, 5, bias=True), RELU, layer_spec("max_pool2d"), conv(16, bias=True), RELU, layer_spec("max_pool2d"), FLAT,
    layer_spec("linear", out_features=33), RELU, layer_spec("linear", out_features=5),
)  # fmt: skip
BLOCK = layer_spec("residual", body=(conv(16), NORM, RELU, conv(16), NORM))
DOWN = layer_spec(
    "residual", body=(conv(33, stride=2), NORM, RELU, conv(33), NORM), shortcut=(conv(33, 1, stride=2), NORM)
)  # fmt: skip
POOLS = (
    conv(7), layer_spec("max_pool2d", size=3, stride=2, padding=1), RELU,
    layer_spec("avg_pool2d", size=3, stride=1, padding=1, count_include_pad=False), conv(16),
    layer_spec("max_pool2d", size=2, ceil_mode=True), layer_spec("squeeze_excite"),
)  # fmt: skip
OTHER_NORMS = (conv(16), layer_spec("group_norm", groups=4), RELU, conv(8), layer_spec("instance_norm"),
               layer_spec("layer_norm"), layer_spec("dropout", rate=0.2))  # fmt: skip
ENCODER = layer_spec("transformer_encoder", heads=4, hidden=24, causal=True, dropout=0.1)
GROUPED = layer_spec("multi_head_attention", heads=4, groups=2, dropout=0.1)
WORDS = layer_spec("embedding", tokens=11, features=16)
POSITIONS = layer_spec("positional_encoding", learned=True)
LAST = layer_spec("linear", out_features=5)
MOMENTUM = SGD(learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
# Steps of Adam are as large for a gradient of 1e-8 as for one of 1 without a larger epsilon, and rounding is not equal.
ADAM, ADAMW = Adam(learning_rate=0.01, epsilon=1e-2), AdamW(learning_rate=0.01, epsilon=1e-2)

NETWORKS = {
    "lenet": Training(layers=LENET, shape=(1, 12, 12), optimizer=MOMENTUM, options={}),
    "resnet": Training(layers=(conv(16), NORM, RELU, BLOCK, DOWN, *HEAD), shape=(3, 8, 8), optimizer=ADAM, options={}),
    "mobile": Training(
        layers=(
            conv(16, stride=2), NORM, layer_spec("mbconv", out_channels=16, drop=0.2),
            layer_spec("mbconv", out_channels=24, kernel=5, stride=2), *HEAD,
        ),
        shape=(3, 12, 12), optimizer=MOMENTUM, options={"label_smoothing": 0.1}, clip=0.5, average=True,
    ),
    "pools": Training(layers=(*POOLS, *HEAD), shape=(3, 11, 9), optimizer=ADAMW, options={}),
    "norms": Training(layers=(*OTHER_NORMS, *HEAD), shape=(3, 6, 6), optimizer=ADAM, options={}, clip=1.0),
    "line": Training(
        layers=(line(16), NORM, RELU, layer_spec("max_pool1d"), line(7, groups=1), GELU, FLAT, LAST), shape=(2, 17),
        optimizer=ADAM, options={},
    ),
    "transformer": Training(
        layers=(WORDS, POSITIONS, ENCODER, GROUPED, layer_spec("sequence_mean"), LAST), shape=(6,), tokens=11,
        optimizer=ADAMW, options={"ignore_index": 3}, clip=1.0, average=True,
    ),
    "recurrent": Training(
        layers=(WORDS, layer_spec("gru", hidden=9), layer_spec("lstm", hidden=7, sequences=False), LAST), shape=(5,),
        tokens=11, optimizer=ADAM, options={"weight": np.array([1, 2, 0.5, 1, 3], np.float32)}, clip=0.1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    check(NETWORKS[name], rounding=1e-3)


@pytest.mark.soak
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("optimizer", [PLAIN, MOMENTUM, ADAM, ADAMW], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_for_any_batch(name, optimizer, batch):
    for options in ({}, {"clip": 0.5}, {"average": True}, {"training": False}):
        check(replace(NETWORKS[name], optimizer=optimizer, batch=batch, **options), rounding=1e-3)
