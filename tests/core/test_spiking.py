"""Spiking neurons: surrogate gradients against their formulas, dynamics against the same steps written in PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, ShapeError, Tensor, grad, nn, ops, optim, per_sample_gradients, vmap

from .torch_parity import DTYPES, agree, agree_as_layers, draw, torch

SEEDS = st.integers(0, 2**32 - 1)
KINDS = {"leaky": nn.Leaky, "synaptic": nn.Synaptic, "alpha": nn.Alpha, "adaptive": nn.AdaptiveLeaky}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_kind = pytest.mark.parametrize("kind", KINDS)

# The formulas of the papers, written once more.
FORMULAS = {
    "fast_sigmoid": lambda x, k: 1 / (1 + k * abs(x)) ** 2,
    "arctan": lambda x, k: k / 2 / (1 + (math.pi / 2 * k * x) ** 2),
    "sigmoid": lambda x, k: k * math.exp(-k * x) / (1 + math.exp(-k * x)) ** 2,
    "triangle": lambda x, k: max(0.0, 1 - k * abs(x)),
    "straight_through": lambda x, k: k,
}


def test_every_surrogate_has_a_formula_here():
    assert set(FORMULAS) == set(ops.SURROGATES)


@pytest.mark.parametrize("slope", [None, 0.5, 10.0])
@pytest.mark.parametrize("surrogate", FORMULAS)
def test_the_gradient_of_a_spike_is_its_surrogate(surrogate, slope):
    x = np.array([-3.0, -0.4, -0.02, 0.0, 0.01, 0.3, 2.0])
    tensor = Tensor(x, requires_grad=True)
    spikes = ops.spike(tensor, surrogate=surrogate, slope=slope)
    np.testing.assert_array_equal(spikes.data, [0, 0, 0, 0, 1, 1, 1])
    k = ops.SURROGATES[surrogate][0] if slope is None else slope
    gradient = grad((spikes * np.arange(7.0)).sum(), [tensor])[0]
    np.testing.assert_allclose(
        gradient.data, [FORMULAS[surrogate](v, k) * i for i, v in enumerate(x)], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("surrogate", FORMULAS)
def test_surrogates_can_be_differentiated_again(surrogate):
    """The second derivative is that of the smooth step."""
    x = np.array([-0.7, -0.11, 0.05, 0.3])
    tensor = Tensor(x, requires_grad=True)
    first = grad(ops.spike(tensor, surrogate=surrogate, slope=2.0).sum(), [tensor], create_graph=True)[0]
    f = FORMULAS[surrogate]
    expected = [(f(v + 1e-6, 2.0) - f(v - 1e-6, 2.0)) / 2e-6 for v in x]
    second = grad(first.sum(), [tensor])[0] if first.requires_grad else Tensor(np.zeros(4))
    np.testing.assert_allclose(second.data, expected, rtol=1e-6, atol=1e-8)


def test_an_unknown_surrogate_is_refused():
    with pytest.raises(ConfigError, match="unknown surrogate 'step': expected one of fast_sigmoid"):
        ops.spike(Tensor([1.0]), surrogate="step")


@each_dtype
@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), data=st.data(), seed=SEEDS)
def test_the_steps_of_a_sequence_are_its_parts(shape, data, seed, dtype):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    agree(lambda x: ops.steps(x, axis=axis), lambda x: x.unbind(axis), draw(seed, shape), dtype=dtype)


class FastSigmoid(torch.autograd.Function):
    """A step whose gradient is 1 / (1 + 5 |x|)^2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g / (1 + 5 * x.abs()) ** 2


fire = FastSigmoid.apply


def decayed(u, s, decay, threshold, reset):
    s = s.detach()
    return {"subtract": u * decay - s * threshold, "zero": u * (1 - s) * decay, "none": u * decay}[reset]


def leaky(x, p, reset, weight):
    u = s = torch.zeros_like(x[:, 0])
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        u = decayed(u, s, p["decay"], p["threshold"], reset) + x[:, t] + (s @ weight.T if weight is not None else 0)
        s = fire(u - p["threshold"])
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes, 1), torch.stack(potentials, 1)


def synaptic(x, p, reset, weight):
    u = s = i = torch.zeros_like(x[:, 0])
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        i = p["current_decay"] * i + x[:, t] + (s @ weight.T if weight is not None else 0)
        u = decayed(u, s, p["decay"], p["threshold"], reset) + i
        s = fire(u - p["threshold"])
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes, 1), torch.stack(potentials, 1)


def alpha(x, p, reset, weight):
    s = e = i = torch.zeros_like(x[:, 0])
    tau = 1 + torch.log(p["rise"]) / (torch.log(p["fall"]) - torch.log(p["rise"]))
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        current = x[:, t] + (s @ weight.T if weight is not None else 0)
        fired = s.detach()
        keep = 1 - fired if reset == "zero" else 1
        e, i = p["rise"] * e * keep + current, p["fall"] * i * keep - current
        e = e - fired * p["threshold"] / tau if reset == "subtract" else e
        u = tau * (e + i)
        s = fire(u - p["threshold"])
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes, 1), torch.stack(potentials, 1)


def adaptive(x, p, reset, weight):
    u = s = trace = torch.zeros_like(x[:, 0])
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        u = decayed(u, s, p["decay"], p["threshold"] + 0.8 * trace, reset)
        u = u + x[:, t] + (s @ weight.T if weight is not None else 0)
        trace = p["trace_decay"] * trace + (1 - p["trace_decay"]) * s
        s = fire(u - p["threshold"] - 0.8 * trace)
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes, 1), torch.stack(potentials, 1)


REFERENCES = {"leaky": leaky, "synaptic": synaptic, "alpha": alpha, "adaptive": adaptive}


@each_dtype
@pytest.mark.parametrize("recurrent", [False, True], ids=["alone", "recurrent"])
@pytest.mark.parametrize("output", [0, 1], ids=["spikes", "potential"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@each_kind
def test_neurons(kind, reset, output, recurrent, dtype):
    """Spikes or potentials over time, and the gradients for input, thresholds, decays and recurrent weights."""
    options = {"strength": 0.8} if kind == "adaptive" else {}
    layer = KINDS[kind](
        3,
        threshold=0.4,
        reset=reset,
        slope=5.0,
        learned=True,
        recurrent=recurrent,
        output=nn.spiking.OUTPUTS[output],
        rng=np.random.default_rng(0),
        **options,
    )
    kinds = getattr(torch, dtype)
    rng = np.random.default_rng(1)
    theirs = {
        name: torch.tensor(value * (1 - 0.1 * rng.random(3)), dtype=kinds, requires_grad=True)
        for name, value in layer.constants.items()
    }
    weight = torch.tensor(rng.standard_normal((3, 3)), dtype=kinds, requires_grad=True) if recurrent else None
    pairs = [(getattr(layer, name), tensor) for name, tensor in theirs.items()]
    pairs += [(layer.weight, weight)] if recurrent else []
    (x,) = draw(2, (4, 9, 3))
    run = lambda x: REFERENCES[kind](x, theirs, reset, weight)[output]  # noqa: E731
    agree_as_layers(layer, run, pairs, x, dtype=dtype)
    with torch.no_grad():
        rate = float(REFERENCES[kind](torch.tensor(x.astype(dtype)), theirs, reset, weight)[0].mean())
    assert 0.05 < rate < 0.95, "some neurons fire, some do not"


@each_kind
def test_a_sequence_in_two_parts_is_the_sequence(kind):
    layer = KINDS[kind](3, threshold=0.3, recurrent=True, rng=np.random.default_rng(0))
    (x,) = draw(0, (2, 8, 3))
    outputs, state = layer.run(Tensor(x))
    first, between = layer.run(Tensor(x[:, :3]))
    second, after = layer.run(Tensor(x[:, 3:]), between)
    np.testing.assert_allclose(ops.concatenate(first, second, axis=1).data, outputs.data)
    for a, b in zip(after, state, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@each_kind
def test_neurons_of_images_are_neurons_of_pixels(kind):
    """Thresholds and decays are one per channel; pixels are neurons of their own."""
    layer = KINDS[kind](2, threshold=0.3, learned=True)
    (x,) = draw(0, (3, 5, 2, 4, 3))
    y = layer(Tensor(x)).data
    columns = np.moveaxis(x, 2, -1).reshape(3, 5, 12, 2)
    for pixel in range(12):
        alone = layer(Tensor(columns[:, :, pixel])).data
        np.testing.assert_array_equal(np.moveaxis(y, 2, -1).reshape(3, 5, 12, 2)[:, :, pixel], alone)


@each_kind
def test_learned_decays_stay_in_their_range(kind):
    """A decay that a step of training has pushed above 1 counts as 1: potentials do not explode."""
    layer = KINDS[kind](2, learned=True)
    name = next(name for name in layer.constants if name != "threshold")
    limited, beyond = (KINDS[kind](2, learned=True) for _ in range(2))
    getattr(limited, name).data[...] = 1
    getattr(beyond, name).data[...] = 1.5
    x = Tensor(draw(0, (2, 6, 2))[0].astype(np.float32))
    np.testing.assert_array_equal(beyond(x).data, limited(x).data)


def test_a_leaky_neuron_does_what_its_formula_says():
    """Worked out by hand: decay 1/2, threshold 1, constant current 0.8."""
    layer = nn.Leaky(1, decay=0.5, output="potential")
    potentials = layer(Tensor(np.full((1, 5, 1), 0.8)))
    # 0.8; 0.4 + 0.8 = 1.2 fires; 0.6 - 1 + 0.8 = 0.4; 0.2 + 0.8 = 1.0 does not fire; 0.5 + 0.8 = 1.3
    np.testing.assert_allclose(potentials.data.ravel(), [0.8, 1.2, 0.4, 1.0, 1.3])


def test_an_alpha_neuron_rises_and_falls():
    impulse = np.zeros((1, 60, 1))
    impulse[0, 0] = 1
    answer = nn.Alpha(1, threshold=100.0, output="potential")(Tensor(impulse)).data.ravel()
    peak = int(answer.argmax())
    assert answer[0] == 0
    assert 2 < peak < 20
    assert (np.diff(answer[: peak + 1]) > 0).all()
    assert (np.diff(answer[peak:]) < 0).all()


def test_an_adaptive_neuron_tires():
    current = Tensor(np.full((1, 200, 1), 0.5))
    steady, tiring = nn.Leaky(1)(current).data[0, :, 0], nn.AdaptiveLeaky(1, strength=5.0)(current).data[0, :, 0]
    assert tiring[:20].sum() > tiring[-20:].sum()
    assert steady[:20].sum() == pytest.approx(steady[-20:].sum(), abs=2)


@each_kind
def test_per_sample_gradients_are_a_loop(kind):
    layer = KINDS[kind](2, threshold=0.3, learned=True, recurrent=True, rng=np.random.default_rng(0))
    (x,) = draw(0, (3, 5, 2))
    parameters = layer.parameters()
    loss = lambda x: ops.sum(layer(x) * np.arange(5.0)[:, None], axis=(1, 2))  # noqa: E731
    _, apart = per_sample_gradients(loss, parameters, Tensor(x))
    for row in range(3):
        alone = grad(loss(Tensor(x[row : row + 1])).sum(), parameters)
        for mine, reference in zip(apart, alone, strict=True):
            np.testing.assert_allclose(mine.data[row], reference.data, rtol=1e-8, atol=1e-10)


@each_kind
def test_mapping_over_batches_is_a_loop(kind):
    layer = KINDS[kind](2, threshold=0.3)
    (x,) = draw(0, (3, 2, 5, 2))
    np.testing.assert_array_equal(vmap(layer)(Tensor(x)).data, np.stack([layer(Tensor(part)).data for part in x]))


def test_a_small_spiking_network_learns():
    """Which of two channels carries the stronger current: from chance to nine in ten in 60 steps."""
    rng = np.random.default_rng(0)
    x = rng.random((200, 10, 2)).astype(np.float32)
    labels = (x.sum(1)[:, 1] > x.sum(1)[:, 0]).astype(np.int64)
    x[np.arange(200), :, labels] += 0.3
    model = nn.Sequential(
        nn.Linear(2, 16, rng=rng),
        nn.Leaky(16),
        nn.Linear(16, 2, rng=rng),
        nn.Leaky(2, output="potential"),
        nn.SequenceMean(),
    )
    parameters, optimizer = model.parameters(), optim.Adam(learning_rate=0.02)
    state = optimizer.init(parameters)
    for _ in range(60):
        loss = ops.cross_entropy(model(Tensor(x)), labels)
        state = optimizer.step(state, grad(loss, parameters))
    assert (model(Tensor(x)).data.argmax(1) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda: nn.Leaky(2)(Tensor(np.zeros((2, 3)))), ShapeError, r"\(N, T, ...\)", id="no-time"),
        pytest.param(lambda: nn.Leaky(2)(Tensor(np.zeros((2, 0, 2)))), ShapeError, "T >= 1", id="no-step"),
        pytest.param(lambda: nn.Leaky(2, recurrent=True), ConfigError, "pass rng", id="no-generator"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
