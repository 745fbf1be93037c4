"""Recurrent layers against PyTorch: all kinds, directions and depths, padded batches, states handed on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ShapeError, Tensor, grad, nn, ops, per_sample_gradients, vmap

from .torch_parity import DTYPES, agree_as_layers, assert_close, draw, torch

SEEDS = st.integers(0, 2**32 - 1)
KINDS = {"rnn": (nn.RNN, torch.nn.RNN), "gru": (nn.GRU, torch.nn.GRU), "lstm": (nn.LSTM, torch.nn.LSTM)}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_kind = pytest.mark.parametrize("kind", KINDS)


def twins(kind: str, features: int, hidden: int, dtype: str, **options):
    """A layer of ours, PyTorch's of the same weights, and the pairs of these."""
    ours = KINDS[kind][0](features, hidden, rng=np.random.default_rng(0), **options)
    theirs = KINDS[kind][1](
        features,
        hidden,
        options.get("layers", 1),
        bidirectional=options.get("bidirectional", False),
        batch_first=True,
        dtype=getattr(torch, dtype),
    )
    pairs = []
    for place, cell in enumerate(ours.cells):
        level, direction = divmod(place, ours.directions)
        suffix = f"l{level}" + "_reverse" * direction
        for mine, name in (
            (cell.input_weight, "weight_ih"),
            (cell.state_weight, "weight_hh"),
            (cell.input_bias, "bias_ih"),
            (cell.state_bias, "bias_hh"),
        ):
            pairs.append((mine, getattr(theirs, f"{name}_{suffix}")))
    return ours, theirs, pairs


def flat(result) -> tuple:
    """Outputs and final states of PyTorch's layer, or of ours, one after the other; samples first."""
    outputs, state = result
    if isinstance(outputs, Tensor):
        return (outputs, *state)
    return (outputs, *(part.transpose(0, 1) for part in (state if isinstance(state, tuple) else (state,))))


@each_dtype
@each_kind
@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(1, 4),
    steps=st.integers(1, 6),
    features=st.integers(1, 4),
    hidden=st.integers(1, 4),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    seed=SEEDS,
)
def test_outputs_and_final_states(rows, steps, features, hidden, layers, bidirectional, seed, kind, dtype):
    ours, theirs, pairs = twins(kind, features, hidden, dtype, layers=layers, bidirectional=bidirectional)
    agree_as_layers(
        ours,
        lambda x: flat(theirs(x)),
        pairs,
        draw(seed, (rows, steps, features))[0],
        dtype=dtype,
        ours=lambda x: flat(ours.run(x)),
    )


@each_dtype
@each_kind
@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    seed=SEEDS,
)
def test_padded_batches(lengths, layers, bidirectional, seed, kind, dtype):
    """What lies behind the end of a sequence is not looked at, not even if it is no number."""
    ours, theirs, pairs = twins(kind, 3, 2, dtype, layers=layers, bidirectional=bidirectional)
    steps = max(lengths)
    x = draw(seed, (len(lengths), steps, 3))[0]

    def packed(x: torch.Tensor):
        pack = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        outputs, state = theirs(pack)
        return flat((torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0], state))

    agree_as_layers(ours, packed, pairs, x, dtype=dtype, ours=lambda x: flat(ours.run(x, lengths=np.array(lengths))))
    behind = np.arange(steps) >= np.array(lengths)[:, None]
    clean = flat(ours.run(Tensor(x.astype(dtype)), lengths=np.array(lengths)))
    x[behind] = np.nan
    tensor = Tensor(x.astype(dtype), requires_grad=True)
    spoiled = flat(ours.run(tensor, lengths=np.array(lengths)))
    for a, b in zip(clean, spoiled, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    gradient = grad(sum(ops.sum(part) for part in spoiled), [tensor])[0]
    np.testing.assert_array_equal(gradient.data[behind], 0)


@each_dtype
@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_given_state(kind, bidirectional, dtype):
    ours, theirs, pairs = twins(kind, 3, 2, dtype, layers=2, bidirectional=bidirectional)
    places, count = 2 * (1 + bidirectional), 2 if kind == "lstm" else 1
    states = [a.astype(dtype) for a in draw(1, *[(4, places, 2)] * count)]
    given = tuple(torch.tensor(state).transpose(0, 1).contiguous() for state in states)
    agree_as_layers(
        ours,
        lambda x: flat(theirs(x, given if count == 2 else given[0])),
        pairs,
        draw(0, (4, 5, 3))[0],
        dtype=dtype,
        ours=lambda x: flat(ours.run(x, tuple(Tensor(state) for state in states))),
    )


@each_kind
def test_a_sequence_in_two_parts_is_the_sequence(kind):
    """The state handed on carries values and gradients across the cut."""
    layer = KINDS[kind][0](3, 4, layers=2, rng=np.random.default_rng(0))
    (x,) = draw(0, (2, 7, 3))
    whole, parted = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    outputs, state = layer.run(whole)
    first, between = layer.run(parted[:, :3])
    second, after = layer.run(parted[:, 3:], between)
    np.testing.assert_allclose(ops.concatenate(first, second, axis=1).data, outputs.data, rtol=1e-10)
    for a, b in zip(after, state, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10)
    gradient, reference = grad(second.sum(), [parted])[0], grad(outputs[:, 3:].sum(), [whole])[0]
    np.testing.assert_allclose(gradient.data, reference.data, rtol=1e-9, atol=1e-12)


@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_where_each_direction_ends(kind, bidirectional):
    options = {"layers": 2, "bidirectional": bidirectional, "rng": np.random.default_rng(0)}
    layer = KINDS[kind][0](3, 4, sequences=False, **options)
    x = Tensor(draw(0, (2, 5, 3))[0])
    outputs, _ = layer.run(x)
    ends = [outputs.data[:, -1, :4], outputs.data[:, 0, 4:]]
    np.testing.assert_array_equal(layer(x).data, np.concatenate(ends, 1))


def test_rnn_with_relu():
    x, h, w = (a.astype(np.float64) for a in draw(0, (2, 4, 3), (2, 3), (3, 3)))
    states = ops.rnn_scan(Tensor(x), Tensor(h), Tensor(w), nonlinearity="relu")
    theirs = torch.nn.RNN(3, 3, nonlinearity="relu", batch_first=True, dtype=torch.float64, bias=False)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(torch.eye(3))
        theirs.weight_hh_l0.copy_(torch.tensor(w))
        expected = theirs(torch.tensor(x), torch.tensor(h)[None])[0]
    assert_close(states.data, expected.numpy(), "float64")


@each_kind
def test_long_batches_are_computed_in_runs(kind, monkeypatch):
    """Cutting the backward pass into runs of steps changes nothing but memory."""
    import sys

    layer = KINDS[kind][0](3, 4, rng=np.random.default_rng(0))
    x = Tensor(draw(0, (2, 9, 3))[0], requires_grad=True)
    inputs = [x, *layer.parameters()]
    expected = grad((layer(x) ** 2).sum(), inputs)
    monkeypatch.setattr(sys.modules["nasturtium.core.ops.recurrent"], "_RUN", 64)
    for mine, reference in zip(grad((layer(x) ** 2).sum(), inputs), expected, strict=True):
        np.testing.assert_allclose(mine.data, reference.data, rtol=1e-10, atol=1e-13)


@each_kind
@pytest.mark.parametrize("lengths", [None, np.array([4, 2, 5])], ids=["full", "padded"])
def test_per_sample_gradients_are_a_loop(kind, lengths):
    layer = KINDS[kind][0](3, 2, layers=2, bidirectional=True, rng=np.random.default_rng(0))
    (x,) = draw(0, (3, 5, 3))
    parameters = layer.parameters()

    def loss(x: Tensor, lengths=lengths) -> Tensor:
        return ops.sum(layer.run(x, lengths=lengths)[0] ** 2, axis=(1, 2))

    _, apart = per_sample_gradients(loss, parameters, Tensor(x))
    for row in range(3):
        part = None if lengths is None else lengths[row : row + 1]
        alone = grad(loss(Tensor(x[row : row + 1]), part).sum(), parameters)
        for mine, reference in zip(apart, alone, strict=True):
            np.testing.assert_allclose(mine.data[row], reference.data, rtol=1e-9, atol=1e-12)


@each_kind
def test_mapping_over_batches_is_a_loop(kind):
    layer = KINDS[kind][0](3, 2, rng=np.random.default_rng(0))
    (x,) = draw(0, (4, 2, 5, 3))
    np.testing.assert_allclose(
        vmap(layer)(Tensor(x)).data, np.stack([layer(Tensor(part)).data for part in x]), rtol=1e-12
    )


def test_forget_gates_start_open():
    cell = nn.LSTM(3, 2, rng=np.random.default_rng(0)).cells[0]
    np.testing.assert_array_equal(cell.input_bias.data, [0, 0, 1, 1, 0, 0, 0, 0])


@each_kind
def test_state_weights_start_orthogonal(kind):
    layer = KINDS[kind][0](3, 5, rng=np.random.default_rng(0))
    for block in layer.cells[0].state_weight.data.reshape(-1, 5, 5):
        np.testing.assert_allclose(block @ block.T, np.eye(5), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda layer, x: layer(x[0]), r"\(N, T, features\)", id="no-batch"),
        pytest.param(lambda layer, x: layer.run(x, lengths=np.array([5])), "expected 2 lengths", id="count"),
        pytest.param(lambda layer, x: layer.run(x, lengths=np.array([0, 5])), r"in \[1, 5\]", id="empty"),
        pytest.param(lambda layer, x: layer.run(x, lengths=np.array([5, 6])), r"in \[1, 5\]", id="too-long"),
        pytest.param(lambda layer, x: layer.run(x, lengths=np.array([1.0, 2.0])), "integers", id="floats"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ShapeError, match=match):
        call(nn.GRU(3, 2, rng=np.random.default_rng(0)), Tensor(np.zeros((2, 5, 3), np.float32)))
