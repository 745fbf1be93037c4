"""Optimisers against their papers, in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import ConfigError, Tensor, optim

SHAPES = [(2, 3), (3,), ()]
RATES = [0.1, 0.05, 0.2, 0.1, 0.0, 0.3]


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


def sgd_reference(momentum: float, weight_decay: float):
    """v = momentum v + (g + decay w); w -= rate v. Sutskever et al. 2013, in PyTorch's arrangement."""

    def run(w: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        v = np.zeros_like(w)
        for rate, g in zip(RATES, gradients, strict=True):
            v = momentum * v + g + weight_decay * w
            w = w - rate * v
        return w

    return run


def adamw_reference(beta1: float, beta2: float, epsilon: float, weight_decay: float):
    """Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the rate; Kingma & Ba 2015 where it is 0."""

    def run(w: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t, (rate, g) in enumerate(zip(RATES, gradients, strict=True), start=1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            w = w - rate * (m_hat / (np.sqrt(v_hat) + epsilon) + weight_decay * w)
        return w

    return run


CASES = [
    pytest.param(optim.SGD(), sgd_reference(0.0, 0.0), id="sgd"),
    pytest.param(optim.SGD(momentum=0.9), sgd_reference(0.9, 0.0), id="momentum"),
    pytest.param(optim.SGD(weight_decay=0.1), sgd_reference(0.0, 0.1), id="decay"),
    pytest.param(optim.SGD(momentum=0.5, weight_decay=0.1), sgd_reference(0.5, 0.1), id="momentum-and-decay"),
    pytest.param(optim.Adam(), adamw_reference(0.9, 0.999, 1e-8, 0.0), id="adam"),
    pytest.param(
        optim.Adam(beta1=0.5, beta2=0.9, epsilon=0.1), adamw_reference(0.5, 0.9, 0.1, 0.0), id="adam-with-other-betas"
    ),
    pytest.param(optim.AdamW(), adamw_reference(0.9, 0.999, 1e-8, 0.01), id="adamw"),
    pytest.param(optim.AdamW(weight_decay=0.3), adamw_reference(0.9, 0.999, 1e-8, 0.3), id="strong-decay"),
]


@pytest.mark.parametrize(("optimizer", "reference"), CASES)
def test_steps_follow_the_paper(optimizer, reference):
    parameters = [Tensor(array, requires_grad=True) for array in arrays(0)]
    state = optimizer.init(parameters)
    gradients = [arrays(seed) for seed in range(1, len(RATES) + 1)]
    for rate, step in zip(RATES, gradients, strict=True):
        state = optimizer.step(state, [Tensor(g) for g in step], learning_rate=rate)
    assert state.step == len(RATES)
    for position, start in enumerate(arrays(0)):
        expected = reference(start, [step[position] for step in gradients])
        np.testing.assert_allclose(parameters[position].data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", [optim.SGD(learning_rate=0.25), optim.AdamW(learning_rate=0.25)])
def test_the_rate_is_the_optimisers_own_unless_another_is_given(optimizer):
    results = []
    for rate in (None, 0.25):
        parameter = Tensor(np.ones(2), requires_grad=True)
        optimizer.step(optimizer.init([parameter]), [Tensor(np.array([1.0, -2.0]))], learning_rate=rate)
        results.append(parameter.data)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("optimizer", [optim.SGD(momentum=0.9), optim.AdamW()])
def test_parameters_become_views_of_one_buffer(optimizer):
    parameters = [Tensor(array.astype(np.float32), requires_grad=True) for array in arrays(0)]
    state = optimizer.init(parameters)
    np.testing.assert_array_equal(state.parameters, np.concatenate([array.ravel() for array in arrays(0)], dtype="f4"))
    for _ in range(2):
        assert all(np.shares_memory(parameter.data, state.parameters) for parameter in parameters)
        assert [parameter.shape for parameter in parameters] == SHAPES
        state = optimizer.step(state, [Tensor(np.ones(shape, np.float32)) for shape in SHAPES])
    assert state.parameters.dtype == np.float32


@pytest.mark.parametrize("optimizer", [optim.SGD(momentum=0.9, weight_decay=0.1), optim.AdamW()])
def test_gradients_stay_unchanged(optimizer):
    """A single gradient too, which concatenation might pass through without a copy."""
    parameter, gradient = Tensor(np.ones(3), requires_grad=True), Tensor(np.arange(3.0))
    state = optimizer.init([parameter])
    for _ in range(2):
        state = optimizer.step(state, [gradient])
    np.testing.assert_array_equal(gradient.data, np.arange(3.0))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: optim.SGD(learning_rate=-1), "learning_rate >= 0 and finite, got -1", id="negative-rate"),
        pytest.param(lambda: optim.SGD(learning_rate=float("nan")), "learning_rate .*got nan", id="nan-rate"),
        pytest.param(lambda: optim.SGD(momentum=1.0), "0 <= momentum < 1, got 1.0", id="momentum"),
        pytest.param(lambda: optim.SGD(weight_decay=float("inf")), "weight_decay .*got inf", id="infinite-decay"),
        pytest.param(lambda: optim.AdamW(beta1=1.0), "0 <= beta1 < 1", id="beta1"),
        pytest.param(lambda: optim.AdamW(beta2=-0.1), "0 <= beta2 < 1", id="beta2"),
        pytest.param(lambda: optim.Adam(epsilon=-1e-8), "epsilon >= 0", id="epsilon"),
        pytest.param(lambda: optim.SGD().init([]), "no parameters to optimise", id="nothing-to-optimise"),
    ],
)
def test_what_is_out_of_range_is_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_gradients_of_another_size_are_refused():
    optimizer = optim.SGD()
    state = optimizer.init([Tensor(np.ones(3), requires_grad=True)])
    with pytest.raises(ConfigError, match="gradients with 3 elements in all, got 2"):
        optimizer.step(state, [Tensor(np.ones(2))])
