"""The clipped sum: what one record can do to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import GradientError, Tensor, nn, ops, per_sample_gradients
from nasturtium.core.train import CrossEntropy
from nasturtium.privacy.dp.clipped_sum import CLIP_SLACK, clipped_sum


def dense() -> nn.Module:
    rng = np.random.default_rng(0)
    return nn.Sequential(nn.Linear(6, 5, rng=rng), nn.Activation("tanh"), nn.LayerNorm(5), nn.Linear(5, 3, rng=rng))


def convolutional() -> nn.Module:
    rng = np.random.default_rng(0)
    return nn.Sequential(nn.Conv2d(1, 3, 2, rng=rng), nn.Activation("relu"), nn.Flatten(), nn.Linear(36, 3, rng=rng))


NETWORKS = {"dense": (dense(), (6,)), "convolutional": (convolutional(), (1, 2, 3))}
by_network = pytest.mark.parametrize("network", NETWORKS)


def total(network: str, inputs: np.ndarray, labels: np.ndarray, clip_norm: float) -> tuple[float, np.ndarray]:
    model, _ = NETWORKS[network]
    loss_sum, gradients = clipped_sum(
        lambda x, y: CrossEntropy().losses(model(x), y), model.parameters(), inputs, labels, clip_norm=clip_norm
    )
    return loss_sum, np.concatenate([gradient.data.ravel() for gradient in gradients]).astype(np.float64)


def records(network: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *NETWORKS[network][1])).astype(np.float32), rng.integers(0, 3, count)


@by_network
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    scales=st.lists(
        st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e3, 1e12, 1e25, 3e38, np.inf, np.nan]), min_size=1, max_size=9
    ),
    clip_norm=st.sampled_from([1e-3, 0.5, 1.0, 30.0]),
)
def test_one_record_changes_the_sum_by_at_most_the_bound(network, seed, scales, clip_norm):
    inputs, labels = records(network, len(scales), seed)
    with np.errstate(over="ignore", invalid="ignore"):
        inputs *= np.array(scales, np.float32).reshape(-1, *(1,) * (inputs.ndim - 1))
    whole = total(network, inputs, labels, clip_norm)[1]
    for left_out in range(len(scales)):
        kept = np.arange(len(scales)) != left_out
        rest = total(network, inputs[kept], labels[kept], clip_norm)[1]
        assert np.linalg.norm(whole - rest) <= clip_norm


@by_network
def test_the_sum_is_that_of_gradients_clipped_one_by_one(network):
    model, _ = NETWORKS[network]
    inputs, labels = records(network, 7)
    values, gradients = per_sample_gradients(
        lambda x, y: ops.cross_entropy(model(x), y, reduction="none"), model.parameters(), inputs, labels
    )
    rows = np.concatenate([gradient.data.reshape(7, -1) for gradient in gradients], axis=1).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    bound = float(np.median(norms)) * (1 - CLIP_SLACK)
    loss_sum, found = total(network, inputs, labels, float(np.median(norms)))
    np.testing.assert_allclose(found, (rows * np.minimum(1, bound / norms)).sum(0), rtol=1e-4, atol=1e-6)
    assert loss_sum == pytest.approx(float(values.data.sum()), rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_record_without_a_finite_gradient_is_left_out(bad):
    inputs, labels = records("dense", 5)
    spoiled = inputs.copy()
    spoiled[2] = bad
    kept = np.arange(5) != 2
    loss_sum, found = total("dense", spoiled, labels, 1.0)
    expected_sum, expected = total("dense", inputs[kept], labels[kept], 1.0)
    np.testing.assert_array_equal(found, expected)
    assert loss_sum == expected_sum


@by_network
@pytest.mark.parametrize("count", [0, 3])
def test_without_a_record_that_counts_the_sum_is_zero(network, count):
    inputs, labels = records(network, count)
    loss_sum, found = total(network, inputs * np.float32(np.nan), labels, 1.0)
    assert loss_sum == 0
    assert found.shape == (sum(parameter.size for parameter in NETWORKS[network][0].parameters()),)
    assert not found.any()


def test_an_op_that_mixes_records_is_refused():
    weight = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(GradientError, match="mixes the samples"):
        clipped_sum(lambda x: (x * weight - x.mean(0)).sum(1), [weight], np.ones((2, 3)), clip_norm=1.0)
