"""Loss scaling, gradient accumulation, averages of parameters, schedules."""

from __future__ import annotations

import doctest
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, Tensor, grad, metrics, optim, train
from nasturtium.core.optim import (
    EMA,
    Constant,
    Cosine,
    GradientAccumulator,
    LossScaler,
    OneCycle,
    Polynomial,
    StepDecay,
    WarmUp,
    scaling,
)


def leaf(values: object, dtype: type = np.float32) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


@pytest.mark.parametrize("module", [optim, scaling, metrics, train], ids=lambda module: module.__name__)
def test_examples_run(module):
    failed, run = doctest.testmod(module)
    assert not failed
    assert run


# --- loss scaling ---


def test_scaling_is_exact_and_undone():
    scaler = LossScaler(initial=2.0**10)
    gradient = np.array([1e-3, -3.0, 0.0], np.float32)
    scaled = gradient * np.float32(scaler.init().scale)
    state, finite = scaler.unscale(scaler.init(), scaled)
    assert finite
    np.testing.assert_array_equal(scaled, gradient)
    assert (state.scale, state.good_steps) == (2.0**10, 1)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_overflow_skips_the_step_and_lowers_the_scale(value):
    scaler = LossScaler(initial=8.0, interval=3)
    state, finite = scaler.unscale(optim.ScalerState(8.0, 2), np.array([1.0, value], np.float32))
    assert not finite
    assert state == optim.ScalerState(4.0, 0)


def test_the_scale_grows_after_an_interval_of_good_steps_and_stays_in_its_range():
    scaler = LossScaler(initial=8.0, interval=3, highest=16.0, lowest=4.0)
    state, scales = scaler.init(), []
    for step in range(12):
        bad = step in {7, 8, 9}
        state, finite = scaler.unscale(state, np.array([np.inf if bad else 1.0], np.float32))
        assert finite != bad
        scales.append(state.scale)
    assert scales == [8, 8, 16, 16, 16, 16, 16, 8, 4, 4, 4, 4]


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.0), (2.0**12, 2.0**-30)], ids=["plain", "scaled"])
def test_gradients_too_small_for_float16_survive_when_scaled(scale, expected):
    weight = leaf([1.0, -2.0])
    scaler = LossScaler(initial=scale)
    state, scaling = optim.SGD().init([weight]), scaler.init()
    small = Tensor(np.full(2, 2.0**-10, np.float16))
    with state.buffer.lowered(np.dtype(np.float16)):
        loss = ((weight * small).astype("float32") * Tensor(np.full(2, 2.0**-20, np.float32))).sum()
        gradient = state.gather(grad(loss * scaling.scale, [weight]))
    _, finite = scaler.unscale(scaling, gradient)
    assert finite
    np.testing.assert_array_equal(gradient, np.full(2, expected, np.float32))


@pytest.mark.parametrize(
    "options",
    [
        {"growth": 1.0},
        {"backoff": 1.0},
        {"backoff": 0.0},
        {"interval": 0},
        {"lowest": 0.0},
        {"initial": 2.0**30},
        {"highest": float("inf")},
        {"initial": float("nan")},
    ],
    ids=str,
)
def test_a_scaler_out_of_range_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        LossScaler(**options)


# --- accumulation ---


@settings(max_examples=50)
@given(cuts=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_the_mean_over_micro_batches_is_the_gradient_of_the_batch(cuts, seed):
    rng = np.random.default_rng(seed)
    rows = sum(cuts)
    inputs, targets = rng.standard_normal((rows, 3)), rng.standard_normal((rows, 2))
    weight, bias = leaf(rng.standard_normal((3, 2)), np.float64), leaf(np.zeros(2), np.float64)
    state = optim.SGD().init([weight, bias])

    def gradients(part: slice) -> list[Tensor]:
        error = Tensor(inputs[part]) @ weight + bias - Tensor(targets[part])
        return grad((error * error).mean(), [weight, bias])

    whole = state.gather(gradients(slice(None))).copy()
    accumulator = GradientAccumulator(state)
    for _ in range(2):  # the second time from zero again
        start = 0
        for cut in cuts:
            accumulator.add(gradients(slice(start, start + cut)), cut)
            start += cut
        assert accumulator.rows == rows
        np.testing.assert_allclose(accumulator.mean(), whole, rtol=1e-10, atol=1e-12)
    assert accumulator.rows == 0


def test_accumulating_nothing_is_an_error():
    state = optim.SGD().init([leaf([1.0])])
    with pytest.raises(ConfigError, match="no gradients were added"):
        GradientAccumulator(state).mean()
    with pytest.raises(ConfigError, match="at least one row, got 0"):
        GradientAccumulator(state).add([leaf([1.0])], 0)


# --- averages ---


@given(decay=st.floats(0.0, 0.999), warmup=st.booleans(), seed=st.integers(0, 2**32))
def test_the_average_follows_its_formula(decay, warmup, seed):
    rng = np.random.default_rng(seed)
    parameter = leaf(rng.standard_normal(4), np.float64)
    state = optim.SGD().init([parameter])
    ema = EMA(decay=decay, warmup=warmup)
    average, expected = ema.init(state), parameter.data.copy()
    for step in range(1, 8):
        parameter.data[...] = rng.standard_normal(4)
        average = ema.step(average, state)
        memory = min(decay, (1 + step) / (10 + step)) if warmup else decay
        expected = memory * expected + (1 - memory) * parameter.data
        np.testing.assert_allclose(average.values, expected, rtol=1e-9, atol=1e-12)
    assert average.step == 7


def test_swapping_exchanges_and_brings_back():
    """Also when the block raises; half-precision copies follow."""
    parameter = leaf([1.0, 2.0])
    state = optim.SGD().init([parameter])
    average = EMA().init(state)
    parameter.data[...] = [5.0, 6.0]
    with optim.swapped(average, state):
        np.testing.assert_array_equal(parameter.data, [1.0, 2.0])
        np.testing.assert_array_equal(average.values, [5.0, 6.0])
    with state.buffer.lowered(np.dtype(np.float16)), suppress(ZeroDivisionError), optim.swapped(average, state):
        np.testing.assert_array_equal(parameter.data, np.array([1.0, 2.0], np.float16))
        raise ZeroDivisionError
    np.testing.assert_array_equal(parameter.data, [5.0, 6.0])
    np.testing.assert_array_equal(average.values, [1.0, 2.0])


def test_an_average_needs_a_memory_below_one():
    with pytest.raises(ConfigError, match="0 <= decay < 1, got 1"):
        EMA(decay=1.0)


# --- schedules ---


@pytest.mark.parametrize("total", [1, 2, 7, 100, 1000])
def test_the_usual_schedule_rises_to_one_and_falls_to_zero(total):
    schedule = optim.cosine_schedule(total)
    factors = np.array([schedule(step) for step in range(total)])
    peak = int(factors.argmax())
    assert factors[peak] == 1
    assert peak <= max(1, total * 0.05)
    assert (np.diff(factors[: peak + 1]) > 0).all()
    assert (np.diff(factors[peak + 1 :]) < 0).all()
    assert (factors > 0).all()
    assert schedule(total + 1) == pytest.approx(0, abs=1e-12)
    assert schedule(10 * total + 1) == pytest.approx(0, abs=1e-12)


def test_the_usual_schedule_is_half_way_down_in_the_middle():
    assert optim.cosine_schedule(100)(5 + 95 // 2) == pytest.approx(0.5, abs=0.02)


anything = st.one_of(
    st.builds(Constant, st.floats(0, 1)),
    st.builds(StepDecay, every=st.integers(1, 50), factor=st.floats(0, 1)),
    st.builds(Cosine, steps=st.integers(1, 100), floor=st.floats(0, 1)),
    st.builds(Polynomial, steps=st.integers(1, 100), power=st.floats(0, 5), floor=st.floats(0, 1)),
    st.builds(OneCycle, steps=st.integers(2, 100), rise=st.floats(0.01, 0.99)),
)


@given(schedule=anything, warmup=st.integers(1, 50), step=st.integers(0, 500))
def test_factors_lie_between_zero_and_one_and_warm_up_joins_on(schedule, warmup, step):
    whole = WarmUp(steps=warmup, after=schedule)
    assert 0 <= schedule(step) <= 1 + 1e-12
    assert 0 <= whole(step) <= 1 + 1e-12
    assert whole(warmup - 1) == whole(warmup) == schedule(0)
    assert whole(warmup + step) == schedule(step)


@pytest.mark.parametrize(
    ("schedule", "last", "floor"),
    [
        pytest.param(Cosine(steps=20, floor=0.1), 20, 0.1, id="cosine"),
        pytest.param(Polynomial(steps=20, power=2.0, floor=0.2), 20, 0.2, id="polynomial"),
        pytest.param(OneCycle(steps=20, end=0.01), 19, 0.01, id="one-cycle"),
        pytest.param(WarmUp(steps=4, after=Cosine(steps=20)), 24, 0.0, id="warm-up"),
    ],
)
def test_after_its_end_a_schedule_keeps_its_floor(schedule, last, floor):
    assert schedule(last - 1) > schedule(last)
    for step in (last, last + 1, last + 7, 10 * last):
        assert schedule(step) == pytest.approx(floor, abs=1e-15)


def test_schedules_are_values():
    """Equal settings are equal, and so are their factors."""
    assert WarmUp(steps=3, after=Cosine(steps=9)) == WarmUp(steps=3, after=Cosine(steps=9))
    assert hash(OneCycle(steps=5)) == hash(OneCycle(steps=5))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: Constant(-1.0), "factor >= 0", id="negative"),
        pytest.param(lambda: Constant(float("inf")), "finite, got inf", id="infinite"),
        pytest.param(lambda: StepDecay(every=0), "every >= 1, got 0", id="every"),
        pytest.param(lambda: StepDecay(every=1, factor=2.0), "factor >= 0 and <= 1", id="growth"),
        pytest.param(lambda: Cosine(steps=0), "steps >= 1", id="no-steps"),
        pytest.param(lambda: Cosine(steps=1, floor=1.5), "floor >= 0 and <= 1", id="floor"),
        pytest.param(lambda: Polynomial(steps=1, power=-1.0), "power >= 0", id="power"),
        pytest.param(lambda: OneCycle(steps=1), "steps >= 2, got 1", id="short-cycle"),
        pytest.param(lambda: OneCycle(steps=9, rise=1.0), "0 < rise < 1", id="rise"),
        pytest.param(lambda: WarmUp(steps=0), "steps >= 1", id="no-warm-up"),
    ],
)
def test_a_schedule_out_of_range_is_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
