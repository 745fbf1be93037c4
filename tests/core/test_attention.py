"""Attention against PyTorch and against its formula: masks, tiles, groups, dropout, memory; and the layers on it."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import (
    ConfigError,
    DTypeError,
    ShapeError,
    Tensor,
    grad,
    hvp,
    nn,
    ops,
    per_sample_gradients,
    random,
    vmap,
)

from .torch_parity import DTYPES, agree, agree_as_layers, draw, torch

F = torch.nn.functional
SEEDS = st.integers(0, 2**32 - 1)
LEAD = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of three queries and keys, so that small samples take several."""
    monkeypatch.setattr(sys.modules["nasturtium.core.ops.attention"], "TILE", 3)


def composed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
    """The formula, with the whole matrix of weights."""
    scores = (q @ k.T) * (1 / np.sqrt(q.shape[-1]))
    if mask is not None:
        scores = ops.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = ops.where(Tensor(np.tri(q.shape[-2], k.shape[-2], dtype=bool)), scores, -np.inf)
    return ops.softmax(scores, axis=-1) @ v


@each_dtype
@pytest.mark.parametrize("tiled", [False, True], ids=["one-tile", "tiles"])
@settings(max_examples=10, deadline=None)
@given(
    lead=LEAD,
    queries=st.integers(1, 8),
    keys=st.integers(1, 8),
    features=st.integers(1, 4),
    values=st.integers(1, 4),
    causal=st.booleans(),
    scale=st.sampled_from([None, 0.3]),
    seed=SEEDS,
)
def test_attention(lead, queries, keys, features, values, causal, scale, seed, tiled, dtype):
    with pytest.MonkeyPatch.context() as patch:
        if tiled:
            patch.setattr(sys.modules["nasturtium.core.ops.attention"], "TILE", 3)
        agree(
            lambda q, k, v: ops.attention(q, k, v, causal=causal, scale=scale),
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale),
            draw(seed, (*lead, queries, features), (*lead, keys, features), (*lead, keys, values)),
            dtype=dtype,
        )


@each_dtype
@pytest.mark.parametrize("tiled", [False, True], ids=["one-tile", "tiles"])
@settings(max_examples=10, deadline=None)
@given(
    lead=LEAD,
    queries=st.integers(1, 7),
    keys=st.integers(1, 7),
    which=st.sampled_from(["full", "row", "column", "shared"]),
    seed=SEEDS,
)
def test_numbers_that_are_added_to_the_scores_have_gradients(lead, queries, keys, which, seed, tiled, dtype):
    shapes = {
        "full": (*lead, queries, keys),
        "row": (*lead, 1, keys),
        "column": (*lead, queries, 1),
        "shared": (queries, keys),
    }
    with pytest.MonkeyPatch.context() as patch:
        if tiled:
            patch.setattr(sys.modules["nasturtium.core.ops.attention"], "TILE", 3)
        agree(
            ops.attention,
            lambda q, k, v, m: torch.softmax(q @ k.mT / np.sqrt(2) + m, -1) @ v,
            draw(seed, (*lead, queries, 2), (*lead, keys, 2), (*lead, keys, 3), shapes[which]),
            dtype=dtype,
        )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(lead=LEAD, queries=st.integers(1, 6), keys=st.integers(1, 6), seed=SEEDS)
def test_a_query_that_sees_nothing_gets_zeros(lead, queries, keys, seed, dtype):
    """And gives no gradient. The others see what the mask lets them see."""
    mask = np.random.default_rng(seed).random((*lead, queries, keys)) < 0.4
    mask[..., 0, :] = False

    def theirs(q, k, v):
        weights = torch.softmax((q @ k.mT / 2).masked_fill(~torch.tensor(mask), -torch.inf), -1)
        return torch.nan_to_num(weights) @ v

    arrays = draw(seed, (*lead, queries, 4), (*lead, keys, 4), (*lead, keys, 2))
    ours = lambda q, k, v: ops.attention(q, k, v, mask)  # noqa: E731
    y = ours(*map(Tensor, arrays))
    np.testing.assert_array_equal(y.data[..., 0, :], 0)
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    for gradient in grad((ours(*tensors) ** 2).sum(), tensors):
        assert np.isfinite(gradient.data).all()
    expected = theirs(*(torch.tensor(array) for array in arrays)).numpy()
    np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-12)


@each_dtype
@pytest.mark.parametrize("mask_shape", [None, (5, 6), (2, 1, 5, 6), (2, 4, 5, 6)], ids=str)
def test_grouped_queries(mask_shape, dtype):
    q, k, v, m = draw(0, (2, 4, 5, 3), (2, 2, 6, 3), (2, 2, 6, 3), mask_shape or (1,))
    mask = [m] if mask_shape else []
    agree(
        lambda q, k, v, *m: ops.attention(q, k, v, *m, grouped=True),
        lambda q, k, v, *m: F.scaled_dot_product_attention(q, k, v, *m, enable_gqa=True),
        [q, k, v, *mask],
        dtype=dtype,
    )


@pytest.mark.usefixtures("small_tiles")
def test_hessians_go_through_tiles():
    q, k, v, *t = (Tensor(array) for array in draw(0, *[(5, 2), (7, 2), (7, 3)] * 2))
    loss = lambda f: lambda q, k, v: (f(q, k, v, causal=True) ** 2).sum()  # noqa: E731
    mine, reference = hvp(loss(ops.attention), [q, k, v], t), hvp(loss(composed), [q, k, v], t)
    for ours, theirs in zip((*mine[0], *mine[1]), (*reference[0], *reference[1]), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("small_tiles")
def test_mapping_over_examples_is_a_loop():
    arrays = draw(0, (3, 5, 2), (3, 7, 2), (7, 3), (3, 5, 7))
    mapped = vmap(lambda q, k, m: ops.attention(q, k, Tensor(arrays[2]), m))(*(Tensor(arrays[i]) for i in (0, 1, 3)))
    for row in range(3):
        alone = ops.attention(*(Tensor(a[row] if a.ndim == 3 else a) for a in arrays))
        np.testing.assert_allclose(mapped.data[row], alone.data, rtol=1e-12)


# --- dropout of weights ---


@pytest.mark.usefixtures("small_tiles")
def test_dropped_weights_are_a_function_of_the_key():
    q, k, v = (Tensor(array) for array in draw(0, (2, 5, 4), (2, 7, 4), (2, 7, 3)))
    first, second = random.key_from(np.random.default_rng(0)).split(2)
    a, b, c = (ops.attention(q, k, v, dropout=0.5, key=key).data for key in (first, first, second))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.usefixtures("small_tiles")
def test_both_passes_drop_the_same_weights():
    """The gradient is that of the function which drops what this key drops: checked by central differences."""
    arrays = draw(0, (2, 5, 4), (2, 7, 4), (2, 7, 3), (2, 1, 7))
    key = random.key_from(np.random.default_rng(1))
    value = lambda arrays: (  # noqa: E731
        ops.attention(*(Tensor(a) for a in arrays), dropout=0.4, key=key) ** 2
    ).sum()
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    loss = (ops.attention(*tensors, dropout=0.4, key=key) ** 2).sum()
    for i, gradient in enumerate(grad(loss, tensors)):
        along = draw(5 + i, arrays[i].shape)[0]
        moved = [[a + sign * 1e-6 * along if j == i else a for j, a in enumerate(arrays)] for sign in (1, -1)]
        difference = (float(value(moved[0])) - float(value(moved[1]))) / 2e-6
        assert float((gradient.data * along).sum()) == pytest.approx(difference, rel=1e-6)


def test_dropout_keeps_the_mean():
    """Values of one: without dropout every output is one."""
    q, k = (Tensor(array) for array in draw(0, (1, 400, 4), (1, 300, 4)))
    y = ops.attention(q, k, Tensor(np.ones((1, 300, 1))), dropout=0.3, key=random.key_from(np.random.default_rng(0)))
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert float(y.data.std()) > 0.01


# --- cost ---


def test_memory_grows_with_the_sequence_not_with_its_square():
    """Forward and backward over 4096 steps stay below a quarter of one matrix of weights."""

    def peak(steps: int) -> int:
        q, k, v = (Tensor(a.astype(np.float32), requires_grad=True) for a in draw(0, *[(1, steps, 16)] * 3))
        tracemalloc.start()
        grad((ops.attention(q, k, v, causal=True) ** 2).sum(), [q, k, v])
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    small, large = peak(1024), peak(4096)
    assert large < 5 * small
    assert large < 4096 * 4096 * 4 / 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_lose_only_the_rounding_of_inputs_and_result(dtype):
    arrays = [Tensor(array).astype(dtype) for array in draw(0, (2, 30, 8), (2, 300, 8), (2, 300, 8))]
    exact = composed(*(x.astype("float64") for x in arrays))
    y = ops.attention(*arrays)
    assert y.dtype.name == dtype
    np.testing.assert_allclose(np.asarray(y.data, np.float64), exact.data, atol=2e-3 if dtype == "float16" else 1e-2)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda q, k: ops.attention(q, k[..., :3], k), ShapeError, "same features", id="features"),
        pytest.param(lambda q, k: ops.attention(q, k, k[:, :4]), ShapeError, "as many values as keys", id="values"),
        pytest.param(
            lambda q, k: ops.attention(q, k, k, np.ones((3, 3))), ShapeError, "a mask that broadcasts", id="mask"
        ),
        pytest.param(lambda q, k: ops.attention(q, k, k, np.ones((6, 5), int)), DTypeError, "booleans", id="integers"),
        pytest.param(lambda q, k: ops.attention(q, k, k, dropout=0.1), ConfigError, "needs a key", id="no-key"),
        pytest.param(
            lambda q, k: ops.attention(q, k, k, dropout=1.0, key=random.Key(0, 0)), ConfigError, "< 1", id="everything"
        ),
        pytest.param(lambda q, k: ops.attention(q[0], k, k, grouped=True), ShapeError, "a multiple", id="no-heads"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(Tensor(np.zeros((2, 6, 4))), Tensor(np.zeros((2, 5, 4))))


# --- layers ---


class Part:
    """A third of one of PyTorch's parameters, and of its gradient."""

    def __init__(self, whole: torch.Tensor, index: int) -> None:
        self.whole, self.index = whole, index

    def detach(self) -> torch.Tensor:
        return self.whole.detach().chunk(3)[self.index]

    @property
    def grad(self) -> torch.Tensor:
        return self.whole.grad.chunk(3)[self.index]


def attention_pairs(ours: nn.MultiHeadAttention, theirs: torch.nn.MultiheadAttention) -> list:
    """Weights of ours and PyTorch's, whose three input maps are one matrix."""
    pairs = [(ours.output.weight, theirs.out_proj.weight), (ours.output.bias, theirs.out_proj.bias)]
    for index, layer in enumerate((ours.query, ours.key, ours.value)):
        pairs.append((layer.weight, Part(theirs.in_proj_weight, index)))
        pairs.append((layer.bias, Part(theirs.in_proj_bias, index)))
    return pairs


@each_dtype
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 6])
def test_multi_head_attention(heads, causal, dtype):
    ours = nn.MultiHeadAttention(6, heads, causal=causal, rng=np.random.default_rng(0))
    theirs = torch.nn.MultiheadAttention(6, heads, batch_first=True, dtype=getattr(torch, dtype))
    torch.nn.init.normal_(theirs.in_proj_bias)
    pairs = attention_pairs(ours, theirs)
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    agree_as_layers(
        ours,
        lambda x: theirs(x, x, x, attn_mask=mask, need_weights=False)[0],
        pairs,
        draw(0, (3, 5, 6))[0],
        dtype=dtype,
    )


@each_dtype
@pytest.mark.parametrize("norm_first", [False, True], ids=["norm-last", "norm-first"])
@pytest.mark.parametrize("activation", ["relu", "gelu_erf"])
def test_transformer_encoder_layer(activation, norm_first, dtype):
    ours = nn.TransformerEncoderLayer(
        6, 2, hidden=10, activation=activation, norm_first=norm_first, rng=np.random.default_rng(0)
    )
    theirs = torch.nn.TransformerEncoderLayer(
        6,
        2,
        10,
        dropout=0.0,
        activation=activation.removesuffix("_erf"),
        norm_first=norm_first,
        batch_first=True,
        dtype=getattr(torch, dtype),
    )
    pairs = [
        *attention_pairs(ours.attention, theirs.self_attn),
        (ours.expand.weight, theirs.linear1.weight),
        (ours.expand.bias, theirs.linear1.bias),
        (ours.reduce.weight, theirs.linear2.weight),
        (ours.reduce.bias, theirs.linear2.bias),
        (ours.norms[0].weight, theirs.norm1.weight),
        (ours.norms[0].bias, theirs.norm1.bias),
        (ours.norms[1].weight, theirs.norm2.weight),
        (ours.norms[1].bias, theirs.norm2.bias),
    ]
    agree_as_layers(ours, theirs, pairs, draw(0, (3, 5, 6))[0], dtype=dtype)


def test_a_mask_hides_the_padding_of_short_sequences():
    layer = nn.MultiHeadAttention(6, 2, rng=np.random.default_rng(0))
    (x,) = draw(0, (2, 5, 6))
    mask = np.arange(5) < np.array([5, 3])[:, None, None]
    y = layer(Tensor(x), mask=mask)
    np.testing.assert_allclose(y.data[1, :3], layer(Tensor(x[1:, :3])).data[0], rtol=1e-12)


def test_context_may_have_another_length():
    layer = nn.MultiHeadAttention(6, 2, groups=1, rng=np.random.default_rng(0))
    x, context = draw(0, (2, 5, 6), (2, 3, 6))
    assert layer(Tensor(x), Tensor(context)).shape == (2, 5, 6)


def test_a_causal_layer_does_not_look_ahead():
    layer = nn.TransformerEncoderLayer(6, 2, causal=True, rng=np.random.default_rng(0))
    (x,) = draw(0, (1, 5, 6))
    before = layer(Tensor(x)).data.copy()
    x[:, 3:] += 1
    after = layer(Tensor(x)).data
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()


def test_dropout_of_a_layer_is_for_training_only():
    layer = nn.TransformerEncoderLayer(6, 2, dropout=0.5, rng=np.random.default_rng(0))
    x = Tensor(draw(0, (2, 5, 6))[0])
    assert (layer.train()(x).data != layer(x).data).any()
    np.testing.assert_array_equal(layer.eval()(x).data, layer(x).data)


def test_per_sample_gradients_of_a_transformer_layer_are_a_loop():
    layer = nn.TransformerEncoderLayer(4, 2, hidden=6, rng=np.random.default_rng(0))
    (x,) = draw(0, (3, 5, 4))
    parameters = layer.parameters()
    loss = lambda x: ops.sum(layer(x) ** 2, axis=(1, 2))  # noqa: E731
    _, apart = per_sample_gradients(loss, parameters, Tensor(x))
    for row in range(3):
        for mine, alone in zip(apart, grad(loss(Tensor(x[row : row + 1])).sum(), parameters), strict=True):
            np.testing.assert_allclose(mine.data[row], alone.data, rtol=1e-8, atol=1e-12)
