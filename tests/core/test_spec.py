"""Networks as documents: what is written is read back, and what is foreign is refused before it costs anything."""

from __future__ import annotations

import json
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError, ModelSpec, Tensor, build, canonical_json, nn, parse_json
from nasturtium.core.nn import LayerSpec, layer_spec
from nasturtium.core.nn.layer import MAX_DEPTH, MAX_ELEMENTS, MAX_LAYERS


@st.composite
def layers(draw, shape: tuple[int, ...], depth: int = 2) -> tuple[LayerSpec, ...]:
    """Up to four layers that fit samples of `shape` and each other."""
    chosen: list[LayerSpec] = []
    for _ in range(draw(st.integers(1, 4))):
        image = len(shape) == 3
        kinds = ["batch_norm", "layer_norm", "activation", "dropout", "flatten"]
        kinds += ["conv2d", "max_pool2d", "avg_pool2d", "global_avg_pool"] if image else []
        kinds += ["linear"] if len(shape) == 1 else []
        kinds += ["residual"] if depth else []
        kind = draw(st.sampled_from(kinds))
        window = st.integers(1, min(shape[1:]) if image else 1)
        if kind == "residual":
            body = draw(layers(shape, depth=depth - 1))
            if nn.plan_layers(body, shape).output_shape != shape:
                continue
            options = {"body": body, "shortcut": ()} if draw(st.booleans()) else {"body": body}
        else:
            options = draw(
                {
                    "activation": st.fixed_dictionaries({"function": st.sampled_from(sorted(nn.ACTIVATIONS))}),
                    "dropout": st.fixed_dictionaries({"rate": st.floats(0, 1, exclude_max=True) | st.just(0)}),
                    "conv2d": st.fixed_dictionaries(
                        {"out_channels": st.integers(1, 3), "kernel": window},
                        optional={"stride": st.integers(1, 3), "bias": st.booleans()},
                    ),
                    "max_pool2d": st.fixed_dictionaries({}, optional={"size": window}) if image else st.nothing(),
                    "avg_pool2d": st.fixed_dictionaries({"size": window}),
                    "linear": st.fixed_dictionaries(
                        {"out_features": st.integers(1, 4)}, optional={"bias": st.booleans()}
                    ),
                }.get(kind, st.just({}))
            )
        spec = layer_spec(kind, **options)
        try:
            shape = nn.plan_layers((spec,), shape).output_shape
        except FormatError:  # the default window of a pooling layer may be too large
            continue
        chosen.append(spec)
    return tuple(chosen) or (layer_spec("flatten"),)


@st.composite
def specs(draw) -> ModelSpec:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    return ModelSpec(shape, draw(layers(shape)))


@given(specs())
def test_a_specification_survives_json(spec):
    again = ModelSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.sha256 == spec.sha256


@given(specs(), st.integers(0, 2**32))
@settings(max_examples=50)
def test_what_was_read_builds_and_runs_as_planned(spec, seed):
    rng = np.random.default_rng(seed)
    model = build(ModelSpec.from_json(spec.to_json()), rng).eval()
    y = model(Tensor(rng.standard_normal((2, *spec.input_shape)).astype(np.float32)))
    assert y.shape == (2, *spec.plan().output_shape)
    assert sum(parameter.size for parameter in model.parameters()) == spec.plan().parameters


@given(specs(), st.integers(0, 2**32))
@settings(max_examples=50)
def test_the_same_seed_builds_the_same_bits(spec, seed):
    first, second = (build(spec, np.random.default_rng(seed)).state() for _ in range(2))
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


MLP = ModelSpec((4,), (layer_spec("linear", out_features=3), layer_spec("dropout", rate=0.5)))


def test_the_text_is_canonical():
    """Keys sorted, no spaces: pinned, because hashes of it are stored."""
    assert MLP.to_json() == (
        '{"format":"nasturtium.model-spec","input_shape":[4],"layers":'
        '[{"kind":"linear","out_features":3},{"kind":"dropout","rate":0.5}],"version":1}'
    )


def test_old_networks_keep_their_hash():
    """As the first version wrote it: searches know their networks by it."""
    conv = {"out_channels": 4, "stride": 2}
    body = (layer_spec("conv2d", kernel=3, **conv), layer_spec("batch_norm"), layer_spec("activation", function="gelu"))
    spec = ModelSpec(
        (1, 8, 8),
        (
            layer_spec("residual", body=body, shortcut=(layer_spec("conv2d", kernel=1, bias=False, **conv),)),
            layer_spec("max_pool2d"),
            layer_spec("dropout", rate=0),
            layer_spec("global_avg_pool"),
            layer_spec("linear", out_features=10),
        ),
    )
    assert spec.sha256 == "400cebd89b28028e0f8bbc2973def445cd8f8c6c9bd18aed3a71a103abcea385"
    plan = spec.plan()
    assert (plan.output_shape, plan.parameters, plan.macs) == ((10,), 102, 744)
    # Six tensors of convolution and norm, the shortcut's one, two of the last layer; at worst the sum of 4 x 4 x 4.
    assert (plan.tensors, plan.buffers, plan.peak) == (7, 8, 3 * 64)


def test_the_order_of_keys_and_spaces_do_not_change_the_hash():
    shuffled = json.dumps(dict(reversed(MLP.to_dict().items())), indent=4)
    assert ModelSpec.from_json(shuffled).sha256 == MLP.sha256


def test_a_whole_number_for_a_float_gives_the_same_text():
    whole, floating = (ModelSpec((4,), (layer_spec("dropout", rate=rate),)) for rate in (0, 0.0))
    assert whole.to_json() == floating.to_json()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ModelSpec((5,), MLP.layers), id="input-shape"),
        pytest.param(ModelSpec((4,), MLP.layers[:1]), id="layers"),
        pytest.param(ModelSpec((4,), (layer_spec("linear", out_features=3, bias=False), MLP.layers[1])), id="option"),
    ],
)
def test_another_network_has_another_hash(other):
    assert other.sha256 != MLP.sha256


def document(**changes) -> dict:
    return {**MLP.to_dict(), **changes}


def one(kind: object, **options: object) -> dict:
    return document(layers=[{"kind": kind, **options}])


def nested(levels: int) -> dict:
    layer = {"kind": "flatten"}
    for _ in range(levels):
        layer = {"kind": "residual", "body": [layer]}
    return document(layers=[layer])


INVALID = [
    pytest.param([], "expected a nasturtium.model-spec object, got list", id="not-an-object"),
    pytest.param({}, "got None", id="empty"),
    pytest.param(
        document(format="onnx"), "expected a document of format 'nasturtium.model-spec', got 'onnx'", id="format"
    ),
    pytest.param(document(version=2), "version up to 1, got 2.*upgrade nasturtium", id="newer"),
    pytest.param(document(version=0), "got 0", id="version-zero"),
    pytest.param(document(version=True), "got True", id="version-bool"),
    pytest.param(document(version="1"), "got '1'", id="version-text"),
    pytest.param(document(input_shape=4), "'input_shape' as a list of integers, got 4", id="shape-number"),
    pytest.param(document(input_shape=["4"]), "'input_shape'", id="shape-text"),
    pytest.param(document(input_shape=[4.0]), "'input_shape'", id="shape-float"),
    pytest.param(document(input_shape=[True]), "'input_shape'", id="shape-bool"),
    pytest.param(document(input_shape=[]), "1 to 8 positive lengths", id="shape-empty"),
    pytest.param(document(input_shape=[0]), "1 to 8 positive lengths", id="shape-zero"),
    pytest.param(document(input_shape=[-4]), "1 to 8 positive lengths", id="shape-negative"),
    pytest.param(document(input_shape=[1] * 9), "1 to 8 positive lengths", id="shape-of-nine"),
    pytest.param(document(layers={}), "'layers' as a list, got dict", id="layers-object"),
    pytest.param(document(layers=[]), f"1 to {MAX_LAYERS} layers, got 0", id="no-layers"),
    pytest.param(document(layers=["linear"]), "a layer as an object with a 'kind', got 'linear'", id="layer-text"),
    pytest.param(one("transformer"), "unknown layer kind 'transformer'.*known kinds: activation", id="unknown-kind"),
    pytest.param(one(None), "unknown layer kind None", id="no-kind"),
    pytest.param(one(["linear"]), r"unknown layer kind \['linear'\]", id="kind-list"),
    pytest.param(one("linear", out_features=3, colour=1), r"unknown options \['colour'\]", id="unknown-option"),
    pytest.param(one("linear"), r"missing options \['out_features'\]", id="missing-option"),
    pytest.param(one("linear", out_features="3"), "'out_features' must be int.*got '3'", id="int-text"),
    pytest.param(one("linear", out_features=3.0), "'out_features' must be int.*got 3.0", id="int-float"),
    pytest.param(one("linear", out_features=True), "'out_features' must be int.*got True", id="int-bool"),
    pytest.param(one("linear", out_features=3, bias=1), "'bias' must be bool, got 1", id="bool-int"),
    pytest.param(one("activation", function=1), "'function' must be str, got 1", id="str-int"),
    pytest.param(one("dropout", rate=False), "'rate' must be float, got False", id="float-bool"),
    pytest.param(one("dropout", rate=float("nan")), "'rate' must be float, got nan", id="nan"),
    pytest.param(one("dropout", rate=float("inf")), "'rate' must be float, got inf", id="infinity"),
    pytest.param(one("dropout", rate=10**400), "'rate' must be float, got 1000", id="float-from-a-huge-int"),
    pytest.param(one("residual", body={"kind": "flatten"}), "'body' must be", id="nested-object"),
    pytest.param(one("residual", body=[1]), "a layer as an object", id="nested-number"),
    pytest.param(one("linear", out_features=[]), "'out_features' must be int", id="layers-for-a-number"),
    pytest.param(nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels", id="nested-too-deep"),
    pytest.param(
        document(layers=[{"kind": "flatten"}] * (MAX_LAYERS + 1)), f"got {MAX_LAYERS + 1}", id="too-many-layers"
    ),
    pytest.param(one("max_pool2d"), r"layer 0 \(max_pool2d\).*\(C, H, W\)", id="does-not-fit"),
]
TOO_LARGE = [
    pytest.param(one("linear", out_features=2**40), id="huge-option"),
    pytest.param(one("linear", out_features=MAX_ELEMENTS), id="many-parameters"),
    pytest.param(document(layers=[{"kind": "linear", "out_features": 40_000}] * 3), id="many-in-all"),
    pytest.param(document(input_shape=[2**20, 2**20], layers=[{"kind": "flatten"}]), id="large-sample"),
    pytest.param(document(input_shape=[2**32, 2**32], layers=[{"kind": "flatten"}]), id="a-product-of-2-to-the-64"),
    pytest.param(
        document(input_shape=[1, 2000, 2000], layers=[{"kind": "conv2d", "out_channels": 1000, "kernel": 1}]),
        id="many-activations",
    ),
    pytest.param(
        document(input_shape=[1, 8, 8], layers=[{"kind": "conv2d", "out_channels": 1, "kernel": 1, "stride": 10**30}]),
        id="huge-stride",
    ),
]


@pytest.mark.parametrize(("value", "match"), INVALID)
def test_an_invalid_document_is_refused_with_its_reason(value, match):
    with pytest.raises(FormatError, match=match):
        ModelSpec.from_dict(value)


@pytest.mark.parametrize("value", TOO_LARGE)
def test_a_network_too_large_is_refused_before_anything_is_allocated(value):
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(FormatError, match=f"exceeds? {MAX_ELEMENTS} elements|within {MAX_ELEMENTS}"):
            ModelSpec.from_dict(value)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1


@pytest.mark.parametrize("levels", [1, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_read(levels):
    assert ModelSpec.from_dict(nested(levels)).plan().output_shape == (4,)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut-off"),
        pytest.param("\x00\xff", id="bytes"),
        pytest.param("NaN", id="nan"),
        pytest.param('{"a": -Infinity}', id="infinity"),
        pytest.param("1" * 5000, id="number-too-long"),
        pytest.param("[" * 100_000, id="nested-too-deep-to-parse"),
    ],
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(FormatError, match="not valid JSON"):
        ModelSpec.from_json(text)


@given(st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
def test_garbage_never_raises_anything_but_our_error(text):
    with pytest.raises(FormatError):
        ModelSpec.from_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "body", "rate"]), inner),
    max_leaves=6,
)


@given(JSON, JSON, st.sampled_from(sorted(nn.LAYERS)), JSON)
def test_a_foreign_value_anywhere_never_raises_anything_but_our_error(shape, stack, kind, option):
    name = next(iter(nn.LAYERS[kind].options), "colour")
    for value in (document(input_shape=shape), document(layers=stack), one(kind, **{name: option}), shape):
        with suppress(FormatError):
            assert isinstance(ModelSpec.from_dict(value), ModelSpec)


def test_canonical_json_refuses_what_is_not_a_number():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json([float("nan")])


@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=4)
)
def test_canonical_json_is_read_back_and_does_not_depend_on_order(value):
    text = canonical_json(value)
    assert parse_json(text) == value
    assert canonical_json(dict(reversed(value.items()))) == text
