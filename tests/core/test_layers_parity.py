"""Activations and layers against PyTorch with the same weights; dropout and embeddings by their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasturtium.core import (
    ConfigError,
    DTypeError,
    FormatError,
    ShapeError,
    Tensor,
    checkpoint,
    grad,
    nn,
    no_grad,
    ops,
    per_sample_gradients,
    random,
    vmap,
)
from nasturtium.core.nn import layer_spec

from .torch_parity import DTYPES, agree, agree_as_layers, assert_close, draw, torch

F = torch.nn.functional
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)

each_dtype = pytest.mark.parametrize("dtype", DTYPES)

ACTIVATIONS = {
    "relu": (ops.relu, F.relu),
    "relu6": (ops.relu6, F.relu6),
    "leaky-relu": (lambda x: ops.leaky_relu(x, slope=0.2), lambda x: F.leaky_relu(x, 0.2)),
    "elu": (lambda x: ops.elu(x, alpha=0.7), lambda x: F.elu(x, 0.7)),
    "selu": (ops.selu, F.selu),
    "celu": (
        lambda x: ops.celu(x, alpha=0.7),
        lambda x: torch.where(x > 0, x, 0.7 * torch.expm1(x.clamp(max=0) / 0.7)),
    ),
    "gelu": (ops.gelu, lambda x: F.gelu(x, approximate="tanh")),
    "gelu-erf": (ops.gelu_erf, F.gelu),
    "silu": (ops.silu, F.silu),
    "mish": (ops.mish, F.mish),
    "softplus": (ops.softplus, lambda x: F.softplus(x, threshold=50.0)),
    "softsign": (ops.softsign, F.softsign),
    "tanh": (ops.tanh, torch.tanh),
    "tanhshrink": (ops.tanhshrink, F.tanhshrink),
    "sigmoid": (ops.sigmoid, torch.sigmoid),
    "logsigmoid": (ops.logsigmoid, F.logsigmoid),
    "hardswish": (ops.hardswish, F.hardswish),
    "hardsigmoid": (
        ops.hardsigmoid,
        lambda x: (x + 3).clamp(0, 6) / 6,
    ),  # PyTorch's has a 1/6 of float32 in its gradient
    "hardtanh": (lambda x: ops.hardtanh(x, low=-0.5, high=2.0), lambda x: F.hardtanh(x, -0.5, 2.0)),
    "erf": (ops.erf, torch.erf),
}


@each_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES, scale=st.sampled_from([1.0, 5.0, 100.0]), seed=SEEDS)
def test_activations(name, shape, scale, seed, dtype):
    agree(*ACTIVATIONS[name], [scale * draw(seed, shape)[0]], dtype=dtype)


@each_dtype
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(ops.glu, F.glu, id="glu"),
        pytest.param(ops.swiglu, lambda x, dim: F.silu(x.chunk(2, dim)[0]) * x.chunk(2, dim)[1], id="swiglu"),
        pytest.param(ops.geglu, lambda x, dim: F.gelu(x.chunk(2, dim)[0]) * x.chunk(2, dim)[1], id="geglu"),
        pytest.param(lambda x, axis: ops.softmin(x, axis=axis), F.softmin, id="softmin"),
    ],
)
@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=3), data=st.data(), seed=SEEDS)
def test_activations_along_an_axis(ours, theirs, shape, data, seed, dtype):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] *= 2
    agree(lambda x: ours(x, axis=axis), lambda x: theirs(x, dim=axis), draw(seed, tuple(shape)), dtype=dtype)


@pytest.mark.parametrize("function", [ops.glu, ops.swiglu, ops.geglu])
def test_halves_of_an_odd_axis_are_refused(function):
    with pytest.raises(ShapeError, match="an even length along axis 1"):
        function(Tensor(np.zeros((2, 3))))


@each_dtype
@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(1, 3),
    channels=st.integers(1, 3),
    spatial=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    shared=st.booleans(),
    seed=SEEDS,
)
def test_prelu(rows, channels, spatial, shared, seed, dtype):
    ours = nn.PReLU(1 if shared else channels)
    theirs = torch.nn.PReLU(1 if shared else channels, dtype=getattr(torch, dtype))
    x, slopes = draw(seed, (rows, channels, *spatial), (channels,))
    theirs.weight.data[:] = torch.tensor(slopes[: len(theirs.weight)])
    agree_as_layers(ours, theirs, [(ours.weight, theirs.weight)], x, dtype=dtype)


class TestErf:
    """The error function over the whole range of floats."""

    @pytest.mark.parametrize(("dtype", "worst"), [(np.float64, 1e-15), (np.float32, 5e-7)])
    def test_relative_error(self, dtype, worst):
        special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
        rng = np.random.default_rng(0)
        smallest = float(np.log10(np.finfo(dtype).tiny)) + 1
        x = np.concatenate(
            [rng.uniform(-7, 7, 100_000), rng.standard_normal(50_000), 10 ** rng.uniform(smallest, 2, 20_000)]
        ).astype(dtype)
        exact = special.erf(x.astype(np.float64))
        error = np.abs(ops.erf(Tensor(x)).data - exact) / np.abs(exact)
        assert error.max() < worst

    def test_its_ends(self):
        y = ops.erf(Tensor(np.array([-np.inf, -10.0, -0.0, 0.0, 10.0, np.inf, np.nan])))
        np.testing.assert_array_equal(y.data, [-1, -1, 0, 0, 1, 1, np.nan])
        assert np.signbit(y.data[2])
        assert not np.signbit(y.data[3])


# --- gumbel softmax ---


def test_hard_samples_are_one_hot_and_follow_the_probabilities():
    logits = Tensor(np.log(np.tile([0.5, 0.3, 0.2], (20_000, 1))), requires_grad=True)
    key = random.key_from(np.random.default_rng(0))
    hard = ops.gumbel_softmax(logits, key=key, hard=True)
    np.testing.assert_allclose(np.sort(hard.detach().data, -1), np.tile([0, 0, 1.0], (20_000, 1)), atol=1e-12)
    np.testing.assert_allclose(hard.detach().data.mean(0), [0.5, 0.3, 0.2], atol=0.015)


def test_hard_samples_have_the_gradient_of_soft_ones():
    (x, w) = draw(0, (5, 4), (5, 4))
    key = random.key_from(np.random.default_rng(0))
    gradients = []
    for hard in (True, False):
        logits = Tensor(x, requires_grad=True)
        y = ops.gumbel_softmax(logits, key=key, temperature=0.7, hard=hard)
        gradients.append(grad((y * Tensor(w)).sum(), [logits])[0].data)
    np.testing.assert_array_equal(*gradients)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ConfigError, match="temperature > 0"):
        ops.gumbel_softmax(Tensor([1.0]), key=random.Key(0, 0), temperature=0.0)


# --- dropout ---


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("function", "shared"),
    [
        pytest.param(ops.dropout, (), id="elements"),
        pytest.param(ops.dropout, (2, 3), id="channels"),
        pytest.param(ops.dropout, (-3, -2, -1), id="samples"),
        pytest.param(ops.alpha_dropout, (), id="alpha"),
    ],
)
def test_dropout_keeps_the_mean_and_drops_what_it_shares(function, shared, rate):
    x = np.random.default_rng(1).standard_normal((200, 50, 4, 5))
    if function is ops.dropout:
        x = x + 1
    y = function(Tensor(x), key=random.key_from(np.random.default_rng(0)), rate=rate, shared=shared).data
    axes = tuple(axis % 4 for axis in shared)
    draws = x.size // int(np.prod([x.shape[axis] for axis in axes], dtype=int))
    if function is ops.dropout:
        dropped = (y == 0).all(axes) if axes else y == 0
        assert dropped.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / draws))
        np.testing.assert_allclose(y[y != 0], (x / (1 - rate))[y != 0], rtol=1e-4)  # the rate is a multiple of 2^-16
        assert y.mean() == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate) / draws) + 0.05)
    else:
        assert y.mean() == pytest.approx(0, abs=0.02)
        assert y.std() == pytest.approx(1, abs=0.02)


def test_a_key_says_what_is_dropped():
    x = Tensor(np.ones((4, 50)), requires_grad=True)
    first, second = random.key_from(np.random.default_rng(0)).split(2)
    a, b, c = (ops.dropout(x, key=key, rate=0.5) for key in (first, first, second))
    np.testing.assert_array_equal(a.data, b.data)
    assert (a.data != c.data).any()
    np.testing.assert_array_equal(grad(a.sum(), [x])[0].data, a.data)


def test_dropout_by_key_can_be_computed_again():
    """A checkpoint runs twice and drops the same both times."""
    (w,) = draw(0, (6, 6))
    x = Tensor(np.ones((4, 6)))
    key = random.key_from(np.random.default_rng(0))
    gradients = []
    for run in (lambda f, w: f(w), checkpoint):
        weight = Tensor(w, requires_grad=True)
        y = run(lambda w: ops.dropout(ops.tanh(x @ w), key=key, rate=0.5), weight)
        gradients.append(grad((y * y).sum(), [weight])[0].data)
    np.testing.assert_array_equal(*gradients)


def test_dropout_saves_one_byte_per_element():
    x = Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    y = ops.dropout(x, key=random.Key(0, 0), rate=0.5)
    assert sum(saved.nbytes for saved in y.node.saved if isinstance(saved, np.ndarray)) == 100 * 100


@pytest.mark.parametrize("kind", ["dropout", "channel_dropout", "alpha_dropout", "stochastic_depth"])
def test_layers_that_drop_do_so_in_training_only(kind):
    layer = nn.build_layers((layer_spec(kind, rate=0.5),), (3, 4, 5), np.random.default_rng(0))
    x = Tensor(draw(0, (6, 3, 4, 5))[0].astype(np.float32))
    assert (layer.train()(x).data != layer(x).data).any(), "another mask at each call"
    np.testing.assert_array_equal(layer.eval()(x).data, x.data)


@pytest.mark.parametrize("kind", ["dropout", "channel_dropout", "alpha_dropout", "stochastic_depth"])
def test_what_is_dropped_belongs_to_the_samples(kind):
    """Per-sample gradients under dropout: each sample has its own part of the mask."""
    (w, x) = draw(0, (4, 4), (5, 4, 3))
    layer = nn.build_layers((layer_spec(kind, rate=0.5),), (4, 3), np.random.default_rng(0))
    weight = Tensor(w, requires_grad=True)
    loss = lambda x: ops.sum(layer(weight @ x) ** 2, axis=(1, 2))  # noqa: E731
    states = [module.rng.bit_generator.state for module in layer.layers]
    _, (apart,) = per_sample_gradients(loss, [weight], Tensor(x))
    for module, state in zip(layer.layers, states, strict=True):
        module.rng.bit_generator.state = state
    total = grad(loss(Tensor(x)).sum(), [weight])[0]
    np.testing.assert_allclose(apart.data.sum(0), total.data, rtol=1e-10)


def test_the_first_release_dropped_the_same():
    """The numbers of `Dropout` come from its generator as they always did: models train to the same bits."""
    layer = nn.build_layers((layer_spec("dropout", rate=0.3),), (4,), np.random.default_rng(5))
    x = draw(0, (3, 4))[0].astype(np.float32)
    rng = np.random.Generator(np.random.Philox(np.random.default_rng(5).integers(2**63)))
    mask = (rng.random(x.shape, np.float32) >= 0.3) / np.float32(1 - 0.3)
    np.testing.assert_array_equal(layer(Tensor(x)).data, x * mask)


# --- embedding ---


@each_dtype
@settings(max_examples=10, deadline=None)
@given(
    tokens=st.integers(1, 8),
    features=st.integers(1, 4),
    shape=st.lists(st.integers(0, 5), max_size=2).map(tuple),
    padded=st.booleans(),
    seed=SEEDS,
)
def test_embedding(tokens, features, shape, padded, seed, dtype):
    padding = tokens - 1 if padded else None
    ours = nn.Embedding(tokens, features, padding=padding, rng=np.random.default_rng(0))
    theirs = torch.nn.Embedding(tokens, features, padding_idx=padding, dtype=getattr(torch, dtype))
    indices = np.random.default_rng(seed).integers(0, tokens, shape)
    assume(indices.size)  # PyTorch gives no gradient for no index
    agree_as_layers(ours, theirs, [(ours.weight, theirs.weight)], indices, dtype=dtype)


def test_the_padding_starts_as_zeros():
    layer = nn.Embedding(5, 3, padding=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(layer(Tensor(np.array([2]))).data, 0)
    assert (layer(Tensor(np.array([0, 1, 3, 4]))).data != 0).all()


def test_the_gradient_of_an_embedding_has_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    weight = Tensor(rng.standard_normal((50, 8)).astype(np.float32), requires_grad=True)
    indices, g = rng.integers(0, 50, 4000), rng.standard_normal((4000, 8)).astype(np.float32)
    results = {grad((ops.embedding(weight, indices) * Tensor(g)).sum(), [weight])[0].data.tobytes() for _ in range(5)}
    assert len(results) == 1


def test_embeddings_can_be_mapped_over_tables_and_indices():
    weight, indices = Tensor(draw(0, (3, 5, 2))[0]), Tensor(np.random.default_rng(0).integers(0, 5, (3, 4)))
    mapped = vmap(lambda w, i: ops.embedding(w, i, padding=1))(weight, indices)
    for row in range(3):
        np.testing.assert_array_equal(mapped.data[row], weight.data[row][indices.data[row]])


@pytest.mark.parametrize(
    ("indices", "error", "match"),
    [
        pytest.param(np.array([0, 5]), ShapeError, "out of bounds", id="high"),
        pytest.param(np.array([-1]), ShapeError, r"in \[0, 5\), got -1", id="negative"),
        pytest.param(np.array([0.0]), DTypeError, "expected integers", id="floats"),
    ],
)
def test_indices_that_name_no_row_are_refused(indices, error, match):
    with pytest.raises(error, match=match):
        ops.embedding(Tensor(np.zeros((5, 2))), indices)


def test_sinusoids_are_those_of_the_paper():
    table = nn.sinusoids(50, 7)
    for position, feature in np.ndindex(table.shape):
        angle = position / 10000 ** (2 * (feature // 2) / 7)
        assert table[position, feature] == pytest.approx(np.cos(angle) if feature % 2 else np.sin(angle), abs=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_positions_are_added(learned):
    layer = nn.PositionalEncoding(6, 4, learned=learned, rng=np.random.default_rng(0))
    x = Tensor(np.zeros((2, 5, 4), np.float32))
    table = layer.weight.data if learned else nn.sinusoids(6, 4)
    np.testing.assert_allclose(layer(x).data, np.stack([table[:5]] * 2), rtol=1e-6)
    with pytest.raises(ShapeError, match="at most 6 steps"):
        layer(Tensor(np.zeros((2, 7, 4), np.float32)))


# --- affine maps, convolutions, pooling ---


@each_dtype
@settings(max_examples=8, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    bias=st.booleans(),
    seed=SEEDS,
)
def test_linear(lead, inputs, outputs, bias, seed, dtype):
    ours = nn.Linear(inputs, outputs, bias=bias, rng=np.random.default_rng(0))
    theirs = torch.nn.Linear(inputs, outputs, bias=bias, dtype=getattr(torch, dtype))
    pairs = [(ours.weight, theirs.weight)] + ([(ours.bias, theirs.bias)] if bias else [])
    agree_as_layers(ours, theirs, pairs, draw(seed, (*lead, inputs))[0], dtype=dtype)


@each_dtype
@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=8, deadline=None)
@given(data=st.data(), groups=st.integers(1, 3), bias=st.booleans(), seed=SEEDS)
def test_convolutions(rank, data, groups, bias, seed, dtype):
    per_axis = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))  # noqa: E731
    inputs, outputs = (groups * data.draw(st.integers(1, 2)) for _ in range(2))
    kernel, stride, padding, dilation = per_axis(1, 3), per_axis(1, 2), per_axis(0, 2), per_axis(1, 2)
    lengths = tuple(d * (k - 1) + 1 + extra for d, k, extra in zip(dilation, kernel, per_axis(0, 2), strict=True))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    ours = getattr(nn, f"Conv{rank}d")(inputs, outputs, kernel, **options, rng=np.random.default_rng(0))
    theirs = getattr(torch.nn, f"Conv{rank}d")(inputs, outputs, kernel, **options, dtype=getattr(torch, dtype))
    pairs = [(ours.weight, theirs.weight)] + ([(ours.bias, theirs.bias)] if bias else [])
    agree_as_layers(ours, theirs, pairs, draw(seed, (2, inputs, *lengths))[0], dtype=dtype)
    plan = type(ours).plan((inputs, *lengths), out_channels=outputs, kernel=kernel, **options)
    with no_grad():
        expected = theirs(torch.zeros(1, inputs, *lengths, dtype=getattr(torch, dtype)))
    assert plan.output_shape == tuple(expected.shape[1:])
    assert plan.parameters == sum(p.numel() for p in theirs.parameters())


@each_dtype
@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=8, deadline=None)
@given(data=st.data(), groups=st.integers(1, 2), bias=st.booleans(), seed=SEEDS)
def test_transposed_convolutions(rank, data, groups, bias, seed, dtype):
    per_axis = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))  # noqa: E731
    inputs, outputs = (groups * data.draw(st.integers(1, 2)) for _ in range(2))
    kernel, stride, dilation = per_axis(1, 3), per_axis(1, 3), per_axis(1, 2)
    lengths = per_axis(2, 4)
    padding = tuple(data.draw(st.integers(0, (k - 1) * d // 2)) for k, d in zip(kernel, dilation, strict=True))
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    ours = getattr(nn, f"ConvTranspose{rank}d")(inputs, outputs, kernel, **options, rng=np.random.default_rng(0))
    theirs = getattr(torch.nn, f"ConvTranspose{rank}d")(inputs, outputs, kernel, **options, dtype=getattr(torch, dtype))
    pairs = [(ours.weight, theirs.weight)] + ([(ours.bias, theirs.bias)] if bias else [])
    x = draw(seed, (2, inputs, *lengths))[0]
    agree_as_layers(ours, theirs, pairs, x, dtype=dtype)
    plan = type(ours).plan((inputs, *lengths), out_channels=outputs, kernel=kernel, **options)
    assert plan.output_shape == tuple(theirs(torch.tensor(x.astype(dtype))).shape[1:])


@each_dtype
@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=8, deadline=None)
@given(data=st.data(), ceil_mode=st.booleans(), include=st.booleans(), seed=SEEDS)
def test_pooling(kind, rank, data, ceil_mode, include, seed, dtype):
    size = data.draw(st.tuples(*[st.integers(1, 3)] * rank))
    stride = data.draw(st.none() | st.tuples(*[st.integers(1, 3)] * rank))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in size)
    lengths = tuple(k + data.draw(st.integers(0, 3)) for k in size)
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    if kind == "AvgPool":
        options["count_include_pad"] = include
    ours = getattr(nn, f"{kind}{rank}d")(size, **options)
    theirs = getattr(torch.nn, f"{kind}{rank}d")(size, **options)
    x = draw(seed, (2, 2, *lengths))[0]
    agree_as_layers(ours, theirs, [], x, dtype=dtype)
    plan = type(ours).plan((2, *lengths), size=size, **options)
    assert plan.output_shape == tuple(theirs(torch.tensor(x)).shape[1:])


@each_dtype
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(nn.AdaptiveAvgPool2d((3, 2)), torch.nn.AdaptiveAvgPool2d((3, 2)), id="adaptive"),
        pytest.param(nn.Upsample(2.0), torch.nn.Upsample(scale_factor=2.0), id="nearest"),
        pytest.param(
            nn.Upsample(1.5, mode="linear"), torch.nn.Upsample(scale_factor=1.5, mode="bilinear"), id="bilinear"
        ),
        pytest.param(
            nn.Upsample(2.0, mode="cubic", align_corners=True),
            torch.nn.Upsample(scale_factor=2.0, mode="bicubic", align_corners=True),
            id="bicubic",
        ),
        pytest.param(nn.GlobalAvgPool(), lambda x: x.mean((2, 3)), id="global-mean"),
        pytest.param(nn.GlobalMaxPool(), lambda x: x.amax((2, 3)), id="global-maximum"),
        pytest.param(nn.ImageToSequence(), lambda x: x.flatten(2).mT, id="sequence"),
        pytest.param(nn.Reshape((4, 15)), lambda x: x.reshape(2, 4, 15), id="reshape"),
        pytest.param(nn.Softmax(), lambda x: x.softmax(1), id="softmax"),
        pytest.param(nn.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3), id="leaky-relu"),
        pytest.param(nn.ELU(0.3), torch.nn.ELU(0.3), id="elu"),
        pytest.param(nn.Gate("glu"), lambda x: F.glu(x, -1), id="gate"),
    ],
)
def test_layers_without_weights(ours, theirs, dtype):
    x = draw(0, (2, 3, 5, 4))[0]
    agree_as_layers(ours, theirs, [], x, dtype=dtype)


# --- blocks ---


def squeeze_excite(x, layer, theirs):
    w1, b1, w2, b2 = theirs
    s = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), w1, b1))
    return x * torch.sigmoid(F.conv2d(s, w2, b2))


@each_dtype
def test_squeeze_excite(dtype):
    layer = nn.SqueezeExcite(4, 2, rng=np.random.default_rng(0))
    kind = getattr(torch, dtype)
    shapes = [(2, 4, 1, 1), (2,), (4, 2, 1, 1), (4,)]
    theirs = [torch.tensor(a, dtype=kind, requires_grad=True) for a in draw(1, *shapes)]
    own = [layer.squeeze.weight, layer.squeeze.bias, layer.excite.weight, layer.excite.bias]
    agree_as_layers(
        layer,
        lambda x: squeeze_excite(x, layer, theirs),
        list(zip(own, theirs, strict=True)),
        draw(0, (3, 4, 5, 2))[0],
        dtype=dtype,
    )


@each_dtype
@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        pytest.param(3, {"out_channels": 3}, id="residual"),
        pytest.param(3, {"out_channels": 4, "stride": 2, "kernel": 5}, id="stride"),
        pytest.param(2, {"out_channels": 2, "expand": 1, "ratio": 0.0}, id="plain"),
    ],
)
def test_mbconv(inputs, options, dtype):
    """The block of EfficientNet written with PyTorch's layers, in training."""
    shape = (inputs, 6, 5)
    layer = nn.MBConv.build(shape, np.random.default_rng(0), **options)
    kind = getattr(torch, dtype)
    wide, stride, kernel = inputs * options.get("expand", 4), options.get("stride", 1), options.get("kernel", 3)

    def conv(ours, *args, **kwargs):
        theirs = torch.nn.Conv2d(*args, **kwargs, dtype=kind)
        pairs.append((ours.weight, theirs.weight))
        if ours.bias is not None:
            pairs.append((ours.bias, theirs.bias))
        return theirs

    def norm(ours, features):
        theirs = torch.nn.BatchNorm2d(features, dtype=kind)
        torch.nn.init.normal_(theirs.weight)
        pairs.extend([(ours.weight, theirs.weight), (ours.bias, theirs.bias)])
        return theirs

    pairs = []
    parts = []
    if layer.expand is not None:
        expand = conv(layer.expand, inputs, wide, 1, bias=False)
        parts += [expand, norm(layer.expand_norm, wide), torch.nn.SiLU()]
    parts.append(conv(layer.depthwise, wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False))
    parts += [norm(layer.depthwise_norm, wide), torch.nn.SiLU()]
    if layer.squeeze_excite is not None:
        squeeze = conv(layer.squeeze_excite.squeeze, wide, max(1, inputs // 4), 1)
        excite = conv(layer.squeeze_excite.excite, max(1, inputs // 4), wide, 1)
        parts.append(lambda x: x * torch.sigmoid(excite(F.silu(squeeze(x.mean((2, 3), keepdim=True))))))
    parts += [conv(layer.project, wide, options["out_channels"], 1, bias=False)]
    parts += [norm(layer.project_norm, options["out_channels"])]

    def theirs(x):
        y = x
        for part in parts:
            y = part(y)
        return x + y if layer.residual else y

    agree_as_layers(layer, theirs, pairs, draw(0, (4, *shape))[0], dtype=dtype)


def test_a_skipped_block_passes_its_input_on():
    layer = nn.MBConv(3, 3, drop=0.5, rng=np.random.default_rng(0))
    x = draw(0, (40, 3, 4, 4))[0].astype(np.float32)
    y = layer(Tensor(x)).data
    skipped = (y == x).all((1, 2, 3))
    assert 5 < skipped.sum() < 35
    assert_close(layer.eval()(Tensor(x)).data[0].shape, (3, 4, 4), "float64")


@pytest.mark.parametrize(
    ("spec", "shape", "match"),
    [
        pytest.param(layer_spec("conv2d", out_channels=4, kernel=3, groups=2), (3, 5, 5), "divide 3 and", id="groups"),
        pytest.param(layer_spec("conv2d", out_channels=4, kernel=(3, 3, 3)), (3, 5, 5), "one kernel or 2", id="axes"),
        pytest.param(layer_spec("conv2d", out_channels=4, kernel=9, padding=0), (3, 5, 5), "larger than", id="kernel"),
        pytest.param(layer_spec("conv1d", out_channels=4, kernel=3), (3, 5, 5), r"\(C, L\)", id="signals"),
        pytest.param(
            layer_spec("conv_transpose2d", out_channels=4, kernel=3, output_padding=1), (3, 5, 5), "output_p", id="more"
        ),
        pytest.param(layer_spec("max_pool3d"), (3, 5, 5), r"\(C, D, H, W\)", id="volumes"),
        pytest.param(layer_spec("upsample", mode="sinc"), (3, 5, 5), "unknown mode 'sinc'", id="mode"),
        pytest.param(layer_spec("group_norm", groups=2), (3, 5, 5), "divides 3 channels", id="group-norm"),
        pytest.param(layer_spec("instance_norm"), (3,), "with positions", id="instance-norm"),
        pytest.param(layer_spec("layer_norm", over="all"), (3,), "'sample' or 'last'", id="layer-norm"),
        pytest.param(layer_spec("batch_norm", momentum=2.0), (3,), "momentum <= 1", id="momentum"),
        pytest.param(layer_spec("gate"), (3,), "an even number of features", id="gate"),
        pytest.param(layer_spec("reshape", shape=(2, 2)), (3,), "a shape of 3 elements", id="reshape"),
        pytest.param(layer_spec("embedding", tokens=3, features=2, padding=3), (5,), "padding in", id="padding"),
        pytest.param(layer_spec("multi_head_attention", heads=4), (5, 6), "heads that divide 6", id="heads"),
        pytest.param(layer_spec("multi_head_attention", heads=6, groups=4), (5, 6), "divide 6", id="query"),
        pytest.param(layer_spec("transformer_encoder", heads=2, norm="batch"), (5, 6), "'layer' or 'rms'", id="norm"),
        pytest.param(layer_spec("lstm", hidden=0), (5, 6), "hidden and layers >= 1", id="hidden"),
        pytest.param(layer_spec("gru", hidden=3), (5,), r"\(T, features\)", id="rows"),
        pytest.param(layer_spec("leaky", reset="hard"), (5, 6), "a reset among", id="reset"),
        pytest.param(layer_spec("leaky", decay=1.5), (5, 6), "decay is out of range", id="decay"),
        pytest.param(layer_spec("leaky", recurrent=True), (5, 6, 7), r"\(T, features\)", id="recurrent-images"),
        pytest.param(layer_spec("alpha", rise=0.5), (5, 6), "fall < rise", id="alpha"),
        pytest.param(layer_spec("mbconv", out_channels=3, kernel=4), (3, 5, 5), "odd kernel", id="even-kernel"),
        pytest.param(layer_spec("squeeze_excite", gate="step"), (3, 5, 5), "activation 'step'", id="function"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_refused_when_planned(spec, shape, match):
    with pytest.raises(FormatError, match=match):
        nn.plan_layers((spec,), shape)


def test_summaries_see_all_layers_without_weights():
    """What `summary` counts is what the plan says, also for what weighs more than memory would hold."""
    layers = (
        layer_spec("positional_encoding"),
        layer_spec("transformer_encoder", heads=4, hidden=50_000),
        layer_spec("lstm", hidden=20_000),
        layer_spec("sequence_mean"),
    )
    plan = nn.plan_layers(layers, (3, 1000))
    report = nn.summary(lambda rng: nn.build_layers(layers, (3, 1000), rng), (1, 3, 1000))
    assert report.total.parameters == plan.parameters > 10**9
    assert report.total.output_shape == (1, *plan.output_shape)
