"""Optimisers against PyTorch, over shapes and hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Tensor, optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")

STEPS = 6
# Gradients of a size that rounding cannot turn over: an adaptive step near zero has the sign of its noise.
shapes = st.lists(st.lists(st.integers(1, 5), max_size=4).map(tuple), min_size=1, max_size=4)
rate = st.floats(1e-3, 0.3)
decay = st.sampled_from([0.0, 0.01, 0.3])
memory = st.floats(0.0, 0.95)
epsilon = st.floats(1e-8, 1e-2)


def sgd(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, momentum, weight_decay = draw(rate), draw(memory), draw(decay)
    nesterov = momentum > 0 and draw(st.booleans())
    return (
        optim.SGD(learning_rate=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay),
        lambda p: torch.optim.SGD(p, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay),
    )


def adam(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, b1, b2, eps, weight_decay = draw(rate), draw(memory), draw(memory), draw(epsilon), draw(decay)
    return (
        optim.Adam(learning_rate=lr, beta1=b1, beta2=b2, epsilon=eps, weight_decay=weight_decay),
        lambda p: torch.optim.Adam(p, lr=lr, betas=(b1, b2), eps=eps, weight_decay=weight_decay),
    )


def adamw(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, b1, b2, eps, weight_decay = draw(rate), draw(memory), draw(memory), draw(epsilon), draw(decay)
    return (
        optim.AdamW(learning_rate=lr, beta1=b1, beta2=b2, epsilon=eps, weight_decay=weight_decay),
        lambda p: torch.optim.AdamW(p, lr=lr, betas=(b1, b2), eps=eps, weight_decay=weight_decay),
    )


def rmsprop(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, alpha, momentum, centered = draw(rate), draw(memory), draw(st.sampled_from([0.0, 0.5])), draw(st.booleans())
    # Centred, the variance of a single gradient is zero, and what is divided by is epsilon and rounding.
    alpha, eps, weight_decay = max(alpha, 0.3), 1e-2 if centered else draw(epsilon), draw(decay)
    return (
        optim.RMSprop(
            learning_rate=lr, alpha=alpha, epsilon=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
        ),
        lambda p: torch.optim.RMSprop(
            p, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
        ),
    )


def adagrad(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, slower, first, eps, weight_decay = draw(rate), draw(decay), draw(decay), draw(epsilon), draw(decay)
    return (
        optim.Adagrad(learning_rate=lr, rate_decay=slower, initial_sum=first, epsilon=eps, weight_decay=weight_decay),
        lambda p: torch.optim.Adagrad(
            p, lr=lr, lr_decay=slower, initial_accumulator_value=first, eps=eps, weight_decay=weight_decay
        ),
    )


def adafactor(draw: Callable[..., Any]) -> tuple[optim.Optimizer, Any]:
    lr, power, clip = draw(rate), draw(st.floats(-0.95, -0.1)), draw(st.floats(1.0, 3.0))
    eps1, eps2, weight_decay = draw(st.sampled_from([None, 1e-6, 0.1])), draw(epsilon), draw(decay)
    return (
        optim.Adafactor(
            learning_rate=lr, decay=power, epsilon1=eps1, epsilon2=eps2, clip=clip, weight_decay=weight_decay
        ),
        lambda p: torch.optim.Adafactor(
            p, lr=lr, beta2_decay=power, eps=(eps1, eps2), d=clip, weight_decay=weight_decay
        ),
    )


def arrays(shapes: Sequence[tuple[int, ...]], dtype: type, rng: np.random.Generator) -> list[np.ndarray]:
    signs = [rng.choice([-1.0, 1.0], shape) for shape in shapes]
    return [np.asarray(sign * rng.uniform(0.1, 2.0, sign.shape), dtype) for sign in signs]


@pytest.mark.parametrize("make", [sgd, adam, adamw, rmsprop, adagrad, adafactor])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-4)], ids=["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_steps_equal_those_of_pytorch(make, dtype, tolerance, data):
    """With a learning rate that changes on the way, as schedules do."""
    ours, theirs = make(data.draw)
    sizes, seed = data.draw(shapes), data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    start = arrays(sizes, dtype, rng)
    parameters = [Tensor(array, requires_grad=True) for array in start]
    references = [torch.tensor(array, requires_grad=True) for array in start]
    state, reference = ours.init(parameters), theirs(references)
    for step in range(STEPS):
        lr = ours.learning_rate * (1 - 0.1 * step)
        gradients = arrays(sizes, dtype, rng)
        state = ours.step(state, [Tensor(gradient) for gradient in gradients], learning_rate=lr)
        reference.param_groups[0]["lr"] = lr
        for tensor, gradient in zip(references, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        reference.step()
    for mine, wanted in zip(parameters, references, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine.data, wanted.detach().numpy(), rtol=tolerance, atol=tolerance)


SCHEDULES = [
    pytest.param(optim.Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0), id="constant"),
    pytest.param(
        optim.StepDecay(every=7, factor=0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, gamma=0.3), id="step"
    ),
    pytest.param(
        optim.Cosine(steps=40, floor=0.05),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.05),
        id="cosine",
    ),
    pytest.param(
        optim.Polynomial(steps=30, power=2.5),
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=30, power=2.5),
        id="polynomial",
    ),
    pytest.param(
        optim.OneCycle(steps=41),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=41),
        id="one-cycle",
    ),
    pytest.param(
        optim.OneCycle(steps=50, rise=0.1, start=0.1, end=0.001),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=50, pct_start=0.1, div_factor=10, final_div_factor=100
        ),
        id="one-cycle-with-other-ends",
    ),
    pytest.param(
        optim.WarmUp(steps=5, after=optim.StepDecay(every=7)),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [
                torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 5, total_iters=4),
                torch.optim.lr_scheduler.StepLR(o, 7),
            ],
            milestones=[5],
        ),
        id="warm-up",
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), SCHEDULES)
def test_schedules_equal_those_of_pytorch(ours, theirs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(optimizer)
    for step in range(40):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12), step
        optimizer.step()
        scheduler.step()


@settings(max_examples=50, deadline=None)
@given(sizes=shapes, seed=st.integers(0, 2**32), bound=st.floats(1e-3, 1e3))
def test_clipping_equals_that_of_pytorch(sizes, seed, bound):
    gradients = arrays(sizes, np.float64, np.random.default_rng(seed))
    tensors = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in sizes]
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = torch.tensor(gradient)
    state = optim.SGD().init([Tensor(np.zeros(shape), requires_grad=True) for shape in sizes])
    flat = state.gather([Tensor(gradient) for gradient in gradients])
    assert optim.clip_by_norm(flat, bound) == pytest.approx(torch.nn.utils.clip_grad_norm_(tensors, bound).item())
    expected = np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])
    np.testing.assert_allclose(flat, expected, rtol=1e-5 + 1e-6 / bound)


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0.0, 0.99), seed=st.integers(0, 2**32))
def test_the_average_equals_that_of_pytorch(decay, seed):
    rng = np.random.default_rng(seed)
    model = torch.nn.Linear(3, 2).double()
    theirs = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay), use_buffers=False
    )
    theirs.update_parameters(model)  # PyTorch's first update copies
    parameters = [Tensor(value.detach().numpy().copy(), requires_grad=True) for value in model.parameters()]
    state = optim.SGD().init(parameters)
    ema = optim.EMA(decay=decay, warmup=False)
    average = ema.init(state)
    for _ in range(5):
        for mine, wanted in zip(parameters, model.parameters(), strict=True):
            mine.data[...] = rng.standard_normal(mine.shape)
            wanted.data = torch.tensor(mine.data)
        average = ema.step(average, state)
        theirs.update_parameters(model)
    expected = np.concatenate([value.detach().numpy().ravel() for value in theirs.module.parameters()])
    np.testing.assert_allclose(average.values, expected, rtol=1e-10, atol=1e-12)
