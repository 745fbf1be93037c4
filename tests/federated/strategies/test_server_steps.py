"""The steps of server optimisers: laws, and the same numbers as Flower's strategies and PyTorch's optimisers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.federated.strategies import (
    STRATEGIES,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FederatedStrategy,
    FedYogi,
    Scaffold,
)

SIZE, ROUNDS = 50, 6
seeds = st.integers(0, 2**32)


def changes(seed: int = 0) -> Iterator[np.ndarray]:
    """Mean changes of some rounds."""
    rng = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        yield (0.01 * rng.standard_normal(SIZE)).astype(np.float32)


def start(seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 1]).standard_normal(SIZE).astype(np.float32)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_step_changes_nothing_in_place_and_stays_float32(name):
    made, vector = STRATEGIES[name](), start()
    state = made.init(SIZE)
    before, kept = vector.copy(), {key: array.copy() for key, array in state.items()}
    change = next(changes())
    moved, state_after = made.step(vector, change, state)
    assert moved.dtype == np.float32
    assert moved.shape == (SIZE,)
    np.testing.assert_array_equal(vector, before)
    assert state.keys() == kept.keys() == state_after.keys()
    for key, array in kept.items():
        np.testing.assert_array_equal(state[key], array)
        assert state_after[key].dtype == array.dtype
        assert state_after[key].shape == array.shape


@pytest.mark.parametrize("plain", [FedAvgM(learning_rate=1.0, momentum=0.0), Scaffold(server_learning_rate=1.0)])
@given(seed=seeds)
def test_at_a_rate_of_one_without_momentum_it_is_federated_averaging_bit_for_bit(plain, seed):
    vector = other = start(seed)
    state = plain.init(SIZE)
    for change in changes(seed):
        vector, state = plain.step(vector, change, state)
        other, _ = FedAvg().step(other, change, {})
        np.testing.assert_array_equal(vector.view(np.uint32), other.view(np.uint32))


def run_ours(made: FederatedStrategy, state: dict[str, np.ndarray], seed: int = 0) -> np.ndarray:
    vector = start(seed)
    for change in changes(seed):
        vector, state = made.step(vector, change, state)
    return vector


def run_flower(theirs: flower.FedAvg, seed: int = 0) -> np.ndarray:
    """Flower's aggregation of three replies whose mean differs from the model by each change."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    vector = start(seed)
    for number, change in enumerate(changes(seed), 1):
        replies: list[Message] = []
        for node, spread in ((2, -0.5), (3, 0.0), (4, 0.5)):
            asked = Message(RecordDict(), node, "train")
            arrays = ArrayRecord({"w": Array((vector + (1 + spread) * change).astype(np.float64))})
            replies.append(
                Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 5})}), reply_to=asked)
            )
        current = ArrayRecord({"w": Array(vector.astype(np.float64))})
        theirs.current_arrays = current if isinstance(theirs, flower.FedAvgM) else {"w": current["w"].numpy()}
        arrays, _ = theirs.aggregate_train(number, replies)
        assert arrays is not None
        vector = arrays["w"].numpy().astype(np.float32)
    return vector


def test_fedavgm_is_flowers():
    theirs = flower.FedAvgM(server_learning_rate=0.7, server_momentum=0.8)
    ours = FedAvgM(learning_rate=0.7, momentum=0.8)
    np.testing.assert_allclose(run_ours(ours, ours.init(SIZE)), run_flower(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (FedYogi(learning_rate=0.03), flower.FedYogi(eta=0.03)),
        (FedAdagrad(learning_rate=0.03), flower.FedAdagrad(eta=0.03)),
    ],
)
def test_fedyogi_and_fedadagrad_are_flowers_which_begin_with_other_squares(ours, theirs):
    state = ours.init(SIZE)
    assert (state["second"] == np.float32(ours.tau) ** 2).all()
    begun = state | {"second": np.zeros(SIZE, np.float32)}
    np.testing.assert_allclose(run_ours(ours, begun), run_flower(theirs), rtol=0, atol=2e-6)
    assert np.abs(run_ours(ours, state) - run_flower(theirs)).max() > 1e-5


def test_fedadam_is_flowers_with_its_rate_for_each_round():
    """Flower corrects the bias of the averages, as if the first round were the second."""
    ours, rate = FedAdam(), 0.03
    vector, state = start(), ours.init(SIZE) | {"second": np.zeros(SIZE, np.float32)}
    for number, change in enumerate(changes(), 1):
        corrected = rate * sqrt(1 - ours.beta2 ** (number + 1)) / (1 - ours.beta1 ** (number + 1))
        vector, state = replace(ours, learning_rate=corrected).step(vector, change, state)
    np.testing.assert_allclose(vector, run_flower(flower.FedAdam(eta=rate)), rtol=0, atol=2e-6)


def test_momentum_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    ours = FedAvgM(learning_rate=0.5, momentum=0.9)
    weights = torch.tensor(start(), requires_grad=True)
    theirs = torch.optim.SGD([weights], lr=0.5, momentum=0.9)
    for change in changes():
        weights.grad = torch.tensor(-change)
        theirs.step()
    np.testing.assert_allclose(run_ours(ours, ours.init(SIZE)), weights.detach().numpy(), rtol=0, atol=1e-6)


def test_adam_is_that_of_pytorch_with_its_corrections():
    torch = pytest.importorskip("torch")
    rate, beta1, beta2, tau = 0.02, 0.9, 0.99, 1e-3
    weights = torch.tensor(start(), requires_grad=True)
    theirs = torch.optim.Adam([weights], lr=rate, betas=(beta1, beta2), eps=tau)
    ours = FedAdam(beta1=beta1, beta2=beta2)
    vector, state = start(), ours.init(SIZE) | {"second": np.zeros(SIZE, np.float32)}
    for number, change in enumerate(changes(), 1):
        weights.grad = torch.tensor(-change)
        theirs.step()
        root = sqrt(1 - beta2**number)
        corrected = replace(ours, learning_rate=rate * root / (1 - beta1**number), tau=tau * root)
        vector, state = corrected.step(vector, change, state)
    np.testing.assert_allclose(vector, weights.detach().numpy(), rtol=0, atol=2e-6)


@given(seed=seeds)
def test_adaptive_steps_are_at_most_about_the_rate(seed):
    """m / sqrt(v) of Adam is at most (1 - beta1) / sqrt(1 - beta2) in the first round: with these, 1."""
    for made in (FedAdam(), FedYogi(), FedAdagrad()):
        vector = start(seed)
        change = next(changes(seed))
        moved, _ = made.step(vector, change, made.init(SIZE))
        assert np.abs(moved - vector).max() <= made.learning_rate * (1 + 1e-5)
