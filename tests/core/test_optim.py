"""Optimisers against their papers in plain NumPy, and the buffer they share."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DeviceError, DTypeError, FormatError, ShapeError, Tensor, optim

SHAPES = [(2, 3), (3,), ()]
RATES = [0.1, 0.05, 0.2, 0.1, 0.0, 0.3]
EVERY = [
    pytest.param(optim.SGD(learning_rate=0.25), id="sgd"),
    pytest.param(optim.SGD(learning_rate=0.25, momentum=0.9, nesterov=True, weight_decay=0.1), id="nesterov"),
    pytest.param(optim.Adam(learning_rate=0.25, weight_decay=0.1), id="adam"),
    pytest.param(optim.AdamW(learning_rate=0.25), id="adamw"),
    pytest.param(optim.RMSprop(learning_rate=0.25, momentum=0.5, centered=True, weight_decay=0.1), id="rmsprop"),
    pytest.param(optim.Adagrad(learning_rate=0.25, initial_sum=0.1, weight_decay=0.1), id="adagrad"),
    pytest.param(optim.Lion(learning_rate=0.25, weight_decay=0.1), id="lion"),
    pytest.param(optim.LAMB(learning_rate=0.25), id="lamb"),
    pytest.param(optim.Adafactor(learning_rate=0.25, weight_decay=0.1), id="adafactor"),
]


def arrays(seed: int, dtype: type = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def leaves(seed: int = 0, dtype: type = np.float64) -> list[Tensor]:
    return [Tensor(array, requires_grad=True) for array in arrays(seed, dtype)]


def gradients(seed: int, dtype: type = np.float64) -> list[Tensor]:
    return [Tensor(array) for array in arrays(seed, dtype)]


# --- the papers ---


def sgd_reference(momentum: float, weight_decay: float, *, nesterov: bool = False):
    """v = momentum v + (g + decay w); w -= rate v. Sutskever et al. 2013, in PyTorch's arrangement."""

    def run(w: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        v = np.zeros_like(w)
        for rate, g in zip(RATES, gradients, strict=True):
            d = g + weight_decay * w
            v = momentum * v + d
            w = w - rate * (d + momentum * v if nesterov else v)
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


def lion_reference(beta1: float, beta2: float, weight_decay: float):
    """Chen et al. 2023, algorithm 2."""

    def run(w: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        m = np.zeros_like(w)
        for rate, g in zip(RATES, gradients, strict=True):
            c = beta1 * m + (1 - beta1) * g
            w = w - rate * (np.sign(c) + weight_decay * w)
            m = beta2 * m + (1 - beta2) * g
        return w

    return run


def lamb_reference(beta1: float, beta2: float, epsilon: float, weight_decay: float):
    """You et al. 2020, algorithm 2, phi the identity."""

    def run(x: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        m, v = np.zeros_like(x), np.zeros_like(x)
        for t, (rate, g) in enumerate(zip(RATES, gradients, strict=True), start=1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            r = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
            u = r + weight_decay * x
            x = x - rate * np.sqrt((x**2).sum()) / np.sqrt((u**2).sum()) * u
        return x

    return run


CASES = [
    pytest.param(optim.SGD(), sgd_reference(0.0, 0.0), id="sgd"),
    pytest.param(optim.SGD(momentum=0.9), sgd_reference(0.9, 0.0), id="momentum"),
    pytest.param(optim.SGD(weight_decay=0.1), sgd_reference(0.0, 0.1), id="decay"),
    pytest.param(optim.SGD(momentum=0.5, weight_decay=0.1), sgd_reference(0.5, 0.1), id="momentum-and-decay"),
    pytest.param(
        optim.SGD(momentum=0.5, weight_decay=0.1, nesterov=True), sgd_reference(0.5, 0.1, nesterov=True), id="nesterov"
    ),
    pytest.param(optim.Adam(), adamw_reference(0.9, 0.999, 1e-8, 0.0), id="adam"),
    pytest.param(
        optim.Adam(beta1=0.5, beta2=0.9, epsilon=0.1), adamw_reference(0.5, 0.9, 0.1, 0.0), id="adam-with-other-betas"
    ),
    pytest.param(optim.AdamW(), adamw_reference(0.9, 0.999, 1e-8, 0.01), id="adamw"),
    pytest.param(optim.AdamW(weight_decay=0.3), adamw_reference(0.9, 0.999, 1e-8, 0.3), id="strong-decay"),
    pytest.param(optim.Lion(), lion_reference(0.9, 0.99, 0.0), id="lion"),
    pytest.param(optim.Lion(beta1=0.5, beta2=0.8, weight_decay=0.3), lion_reference(0.5, 0.8, 0.3), id="lion-decay"),
    pytest.param(optim.LAMB(), lamb_reference(0.9, 0.999, 1e-6, 0.01), id="lamb"),
    pytest.param(optim.LAMB(beta1=0.5, weight_decay=0.0), lamb_reference(0.5, 0.999, 1e-6, 0.0), id="lamb-no-decay"),
]


@pytest.mark.parametrize(("optimizer", "reference"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)], ids=["float64", "float32"])
def test_steps_follow_the_paper(optimizer, reference, dtype, tolerance):
    parameters = leaves(0, dtype)
    state = optimizer.init(parameters)
    steps = [arrays(seed, dtype) for seed in range(1, len(RATES) + 1)]
    for rate, step in zip(RATES, steps, strict=True):
        state = optimizer.step(state, [Tensor(g) for g in step], learning_rate=rate)
    assert state.step == len(RATES)
    for position, start in enumerate(arrays(0, dtype)):
        expected = reference(start.astype(np.float64), [step[position].astype(np.float64) for step in steps])
        assert parameters[position].dtype == dtype
        np.testing.assert_allclose(parameters[position].data, expected, rtol=tolerance, atol=tolerance)


def test_lamb_takes_the_plain_step_where_a_norm_is_zero():
    """A fresh bias has no length, a gradient of zeros no direction."""
    bias, still = Tensor(np.zeros(3), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    optimizer = optim.LAMB(learning_rate=0.5, weight_decay=0.0)
    optimizer.step(optimizer.init([bias, still]), [Tensor(np.array([1.0, -2.0, 4.0])), Tensor(np.zeros(3))])
    np.testing.assert_allclose(bias.data, [-0.5, 0.5, -0.5], rtol=1e-5)
    np.testing.assert_array_equal(still.data, np.ones(3))


def test_centred_rmsprop_survives_a_variance_rounded_below_zero():
    parameter = Tensor(np.ones(1000, np.float32), requires_grad=True)
    optimizer = optim.RMSprop(centered=True, alpha=0.9)
    state = optimizer.init([parameter])
    same = Tensor(np.random.default_rng(0).standard_normal(1000).astype(np.float32))
    for _ in range(300):
        state = optimizer.step(state, [same], learning_rate=1e-12)
    assert np.isfinite(parameter.data).all()


@pytest.mark.parametrize("optimizer", EVERY)
def test_every_optimiser_finds_the_bottom_of_a_bowl(optimizer):
    target = arrays(7)
    parameters = leaves()
    state = optimizer.init(parameters)
    schedule = optim.Polynomial(steps=600)
    for step in range(600):
        towards = [Tensor(p.data - t) for p, t in zip(parameters, target, strict=True)]
        state = optimizer.step(state, towards, learning_rate=0.2 * schedule(step))
    weight_decay = 0.15  # pulls a little towards zero
    for parameter, wanted in zip(parameters, target, strict=True):
        np.testing.assert_allclose(parameter.data, wanted, atol=0.02 + weight_decay * np.abs(wanted).max())


# --- the same for all ---


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_rate_is_the_optimisers_own_unless_another_is_given(optimizer):
    results = []
    for rate in (None, 0.25):
        parameter = Tensor(np.ones(2), requires_grad=True)
        optimizer.step(optimizer.init([parameter]), [Tensor(np.array([1.0, -2.0]))], learning_rate=rate)
        results.append(parameter.data)
    np.testing.assert_array_equal(*results)
    assert (results[0] != 1).all()


@pytest.mark.parametrize("optimizer", EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_become_views_of_one_buffer(optimizer, dtype):
    given = arrays(0, dtype)
    parameters = [Tensor(array, requires_grad=True) for array in given]
    state = optimizer.init(parameters)
    np.testing.assert_array_equal(state.parameters, np.concatenate([array.ravel() for array in given]))
    for seed in range(2):
        assert all(np.shares_memory(parameter.data, state.parameters) for parameter in parameters)
        assert [parameter.shape for parameter in parameters] == SHAPES
        state = optimizer.step(state, gradients(seed, dtype))
    assert {array.dtype for array in state.arrays().values()} == {np.dtype(dtype)}
    assert state.parameters.ctypes.data % 64 == state.buffer.gradient.ctypes.data % 64 == 0  # at a cache line
    for array, before in zip(given, arrays(0, dtype), strict=True):
        np.testing.assert_array_equal(array, before, err_msg="the caller's arrays stay")


@pytest.mark.parametrize("optimizer", EVERY)
def test_gradients_stay_unchanged(optimizer):
    """A vector too, unless it is the buffer's own."""
    state = optimizer.init(leaves())
    given = gradients(1)
    flat = np.concatenate([gradient.data.ravel() for gradient in given])
    before = flat.copy()
    state = optimizer.step(optimizer.step(state, given), flat)
    np.testing.assert_array_equal(flat, before)
    np.testing.assert_array_equal(np.concatenate([gradient.data.ravel() for gradient in given]), before)


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_vector_of_gradients_does_what_tensors_do(optimizer):
    ends = []
    for flat in (False, True):
        state = optimizer.init(leaves())
        for seed in (1, 2):
            given = gradients(seed)
            state = optimizer.step(state, state.gather(given) if flat else given)
        ends.append(state.parameters)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("optimizer", EVERY)
def test_blocks_do_not_change_a_bit(optimizer, monkeypatch):
    ends = []
    for block in (1 << 18, 4, 1):
        monkeypatch.setattr("nasturtium.core.optim.optimizer.BLOCK", block)
        state = optimizer.init(leaves(0, np.float32))
        for seed in range(3):
            state = optimizer.step(state, gradients(seed, np.float32))
        ends.append(state.parameters)
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


@pytest.mark.parametrize("optimizer", EVERY)
def test_gradients_in_another_memory_order(optimizer):
    ends = []
    for order in "CF":
        parameter = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
        gradient = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], order=order)
        optimizer.step(optimizer.init([parameter]), [Tensor(gradient)])
        ends.append(parameter.data)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_state_goes_on_from_its_arrays(optimizer):
    """Saved after two steps and put into a fresh state, it takes the third to the same bits."""
    first = optimizer.init(leaves())
    for seed in (1, 2):
        first = optimizer.step(first, gradients(seed))
    saved = {name: array.copy() for name, array in first.arrays().items()}
    parameters = leaves(9)
    second = optimizer.init(parameters).restored(first.step, saved)
    first, second = (optimizer.step(state, gradients(3)) for state in (first, second))
    assert first.step == second.step == 3
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array, err_msg=name)
    assert all(np.shares_memory(parameter.data, second.parameters) for parameter in parameters)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(lambda a: a.pop("moment.first"), "parameters, moment.first, moment.second, got", id="missing"),
        pytest.param(lambda a: a.update(other=a["parameters"]), "got parameters, .*other", id="unknown"),
        pytest.param(lambda a: a.update(parameters=np.zeros(3)), r"float64 \(10,\), got float64 \(3,\)", id="shape"),
        pytest.param(
            lambda a: a.update(parameters=np.zeros(10, np.float32)), r"float64 \(10,\), got float32", id="dtype"
        ),
    ],
)
def test_arrays_of_another_state_are_refused(change, match):
    state = optim.Adam().init(leaves())
    before = state.parameters.copy()
    saved = {name: array + 1 for name, array in state.arrays().items()}
    change(saved)
    with pytest.raises(FormatError, match=match):
        state.restored(1, saved)
    np.testing.assert_array_equal(state.parameters, before)


def steps_on(place: str, optimizer: optim.Optimizer, dtype: str) -> list[np.ndarray]:
    """Everything a step may be preceded and followed by, on one device."""
    parameters = [Tensor(array, dtype=dtype, device=place, requires_grad=True) for array in arrays(0)]
    state = optimizer.init(parameters)
    accumulator, ema, scaler = optim.GradientAccumulator(state), optim.EMA(), optim.LossScaler(initial=1.0)
    average, scale = ema.init(state), scaler.init()
    for seed in range(1, 6, 2):
        for part in (seed, seed + 1):
            accumulator.add([Tensor(array, dtype=dtype, device=place) for array in arrays(part)], 4)
        gradient = accumulator.mean()
        scale, finite = scaler.unscale(scale, gradient)
        assert finite
        optim.clip_by_norm(gradient, 1.5)
        optim.clip_by_value(gradient, 0.9)
        state = optimizer.step(state, gradient)
        average = ema.step(average, state)
    assert state.parameters.dtype == (np.float64 if dtype == "float64" else np.float32)
    with optim.swapped(average, state):
        averaged = [parameter.detach().to("cpu").numpy().copy() for parameter in parameters]
    return [*averaged, *(parameter.detach().to("cpu").numpy() for parameter in parameters)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("optimizer", EVERY)
def test_another_array_module_takes_the_same_steps(optimizer, dtype, strict_cupy):
    """CuPy's stand-in refuses names that CuPy does not have, and NumPy arrays beside its own."""
    for there, here in zip(steps_on("cuda:0", optimizer, dtype), steps_on("cpu", optimizer, dtype), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", EVERY)
def test_a_gpu_takes_the_same_steps(optimizer, dtype, gpu):
    for there, here in zip(steps_on(str(gpu), optimizer, dtype), steps_on("cpu", optimizer, dtype), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-7)


def test_parameters_on_two_devices_are_refused(strict_cupy):
    parameters = [Tensor(np.ones(2, np.float32), device=place, requires_grad=True) for place in ("cpu", "cuda:0")]
    with pytest.raises(DeviceError, match=r"different devices: cpu, cuda:0 .*\.to\(\)"):
        optim.SGD().init(parameters)


# --- tied and exchanged parameters, dtypes ---


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_tied_parameter_is_placed_once(optimizer):
    """`grad` gives the whole gradient for each of its positions."""
    tied, other = leaves(0)[:2]
    state = optimizer.init([tied, other, tied])
    assert state.parameters.size == tied.size + other.size
    a, b = gradients(1)[:2]
    optimizer.step(state, [a, b, a])
    alone = leaves(0)[:2]
    optimizer.step(optimizer.init(alone), [a, b])
    for mine, wanted in zip((tied, other), alone, strict=True):
        np.testing.assert_array_equal(mine.data, wanted.data)


def test_different_tensors_over_one_array_are_refused():
    array = np.ones(3)
    with pytest.raises(ConfigError, match=r"parameters 0 and 2 share memory .*same Parameter in both places"):
        optim.SGD().init([Tensor(array, requires_grad=True), *leaves()[:1], Tensor(array, requires_grad=True)])


def test_empty_parameters_take_no_place():
    parameters = [Tensor(np.zeros((0, 3)), requires_grad=True), Tensor(np.ones(2), requires_grad=True)]
    for optimizer in (optim.AdamW(), optim.LAMB(), optim.Adafactor()):
        state = optimizer.init(parameters)
        optimizer.step(state, [Tensor(np.zeros((0, 3))), Tensor(np.ones(2))])
        assert state.parameters.shape == (2,)
        assert np.isfinite(state.parameters).all()


def test_an_exchanged_array_is_noticed():
    """Training it would go unseen."""
    parameters = leaves()
    state = optim.SGD().init(parameters)
    parameters[1].data = parameters[1].data.copy()
    with pytest.raises(ConfigError, match="array of parameter 1 was exchanged"):
        optim.SGD().step(state, gradients(1))


HALVES = [
    pytest.param(np.float16, id="float16"),
    pytest.param(ml_dtypes.bfloat16, id="bfloat16"),
]


def with_dtype(array: np.ndarray, dtype: type, *, requires_grad: bool = False) -> Tensor:
    return Tensor(array.astype(np.float32).astype(dtype), requires_grad=requires_grad)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("optimizer", EVERY)
def test_half_parameters_have_a_float32_master(optimizer, half):
    """The master takes the steps, and is rounded into what computes."""
    parameters = [with_dtype(array, half, requires_grad=True) for array in arrays(0)]
    exact = [Tensor(parameter.data.astype(np.float32), requires_grad=True) for parameter in parameters]
    state, reference = optimizer.init(parameters), optimizer.init(exact)
    assert state.parameters.dtype == np.float32
    for seed in range(1, 4):
        given = [with_dtype(array, half) for array in arrays(seed)]
        state = optimizer.step(state, given)
        reference = optimizer.step(reference, [Tensor(g.data.astype(np.float32)) for g in given])
    np.testing.assert_array_equal(state.parameters, reference.parameters)
    for mine, wanted in zip(parameters, exact, strict=True):
        assert mine.dtype == half
        np.testing.assert_array_equal(mine.data, wanted.data.astype(half))


def test_a_master_gathers_steps_too_small_for_its_half():
    """1 + 1e-4 is 1 in float16; ten of them are not."""
    parameter = with_dtype(np.ones(1), np.float16, requires_grad=True)
    optimizer = optim.SGD(learning_rate=1e-4)
    state = optimizer.init([parameter])
    for _ in range(10):
        state = optimizer.step(state, [with_dtype(-np.ones(1), np.float16)])
    assert parameter.data[0] == np.float16(1 + 1e-3) > 1


@pytest.mark.parametrize("half", HALVES)
def test_parameters_lowered_for_a_block(half):
    parameters = leaves(0, np.float32)
    state = optim.SGD(learning_rate=0.5).init(parameters)
    with state.buffer.lowered(np.dtype(half)):
        assert {parameter.dtype for parameter in parameters} == {np.dtype(half)}
        state = optim.SGD(learning_rate=0.5).step(state, [with_dtype(array, half) for array in arrays(1)])
        for parameter, segment in zip(parameters, state.buffer.segments, strict=True):
            master = state.buffer.part(state.parameters, segment)
            np.testing.assert_array_equal(parameter.data, master.astype(half))
        with pytest.raises(DTypeError, match=r"gradient 0 has dtype float32, its parameter .*float16"):
            state.gather(gradients(1, np.float32))
    assert all(np.shares_memory(parameter.data, state.parameters) for parameter in parameters)
    optim.SGD().step(state, gradients(1, np.float32))


def test_mixed_halves_and_floats_share_a_master():
    """As networks do that keep their normalisation in float32."""
    parameters = [with_dtype(np.ones(2), np.float16, requires_grad=True), Tensor(np.ones(2, "f4"), requires_grad=True)]
    state = optim.SGD(learning_rate=1.0).init(parameters)
    optim.SGD(learning_rate=1.0).step(state, [with_dtype(np.ones(2), np.float16), Tensor(np.full(2, 2, "f4"))])
    np.testing.assert_array_equal(state.parameters, [0, 0, -1, -1])
    assert [parameter.dtype.name for parameter in parameters] == ["float16", "float32"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: optim.SGD(learning_rate=-1), "learning_rate >= 0 and finite, got -1", id="negative-rate"),
        pytest.param(lambda: optim.SGD(learning_rate=float("nan")), "learning_rate .*got nan", id="nan-rate"),
        pytest.param(lambda: optim.SGD(momentum=1.0), "0 <= momentum < 1, got 1.0", id="momentum"),
        pytest.param(lambda: optim.SGD(nesterov=True), "nesterov needs momentum", id="nesterov-without-momentum"),
        pytest.param(lambda: optim.SGD(weight_decay=float("inf")), "weight_decay .*got inf", id="infinite-decay"),
        pytest.param(lambda: optim.AdamW(beta1=1.0), "0 <= beta1 < 1", id="beta1"),
        pytest.param(lambda: optim.AdamW(beta2=-0.1), "0 <= beta2 < 1", id="beta2"),
        pytest.param(lambda: optim.Adam(epsilon=-1e-8), "epsilon >= 0", id="epsilon"),
        pytest.param(lambda: optim.RMSprop(alpha=1.0), "0 <= alpha < 1", id="alpha"),
        pytest.param(lambda: optim.Adagrad(initial_sum=-1.0), "initial_sum >= 0", id="initial-sum"),
        pytest.param(lambda: optim.Lion(beta2=2.0), "0 <= beta2 < 1", id="lion"),
        pytest.param(lambda: optim.LAMB(weight_decay=-1.0), "weight_decay >= 0", id="lamb"),
        pytest.param(lambda: optim.Adafactor(decay=0.5), "minus_decay >= 0 and finite, got -0.5", id="adafactor"),
        pytest.param(lambda: optim.Adafactor(clip=0.5), "clip >= 1, got 0.5", id="adafactor-clip"),
        pytest.param(lambda: optim.SGD().init([]), "no parameters to optimise", id="nothing-to-optimise"),
        pytest.param(
            lambda: optim.SGD().step(optim.SGD().init(leaves()), gradients(1), learning_rate=float("nan")),
            "learning_rate >= 0 and finite, got nan .*check the schedule",
            id="nan-from-a-schedule",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        pytest.param(lambda: gradients(1)[:2], ShapeError, "expected 3 gradients, got 2", id="too-few"),
        pytest.param(
            lambda: gradients(1)[::-1], ShapeError, r"gradient 0 has shape \(\), its parameter \(2, 3\)", id="order"
        ),
        pytest.param(
            lambda: [Tensor(np.ones((1, 3))), *gradients(1)[1:]], ShapeError, r"\(1, 3\).*\(2, 3\)", id="broadcast"
        ),
        pytest.param(
            lambda: gradients(1, np.float32), DTypeError, "dtype float32, its parameter float64", id="other-dtype"
        ),
        pytest.param(lambda: [None, *gradients(1)[1:]], DTypeError, "gradient 0 is NoneType", id="none"),
        pytest.param(lambda: np.ones(9), ShapeError, r"shape \(10,\), got \(9,\)", id="short-vector"),
        pytest.param(lambda: np.ones(10, np.float32), DTypeError, "float64, got float32", id="other-vector"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(given, error, match):
    state = optim.SGD().init(leaves())
    with pytest.raises(error, match=match):
        optim.SGD().step(state, given())


@pytest.mark.parametrize(
    "dtypes", [("float32", "float64"), ("float16", "float64")], ids=lambda dtypes: "-".join(dtypes)
)
def test_parameters_of_unlike_dtypes_are_refused(dtypes):
    parameters = [with_dtype(np.ones(2), np.dtype(dtype).type, requires_grad=True) for dtype in dtypes]
    with pytest.raises(DTypeError, match=f"all float64, or .* got {dtypes[0]}, {dtypes[1]}"):
        optim.SGD().init(parameters)


def test_only_float32_is_lowered():
    with (
        pytest.raises(DTypeError, match="got float64, float16"),
        optim.SGD().init(leaves()).buffer.lowered(np.dtype(np.float16)),
    ):
        pass


# --- clipping ---


@settings(max_examples=200)
@given(
    values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20),
    scale=st.sampled_from([1e-35, 1e-20, 1.0, 1e8]),
    bound=st.floats(1e-6, 1e6),
)
def test_clipping_never_lengthens_and_keeps_the_direction(values, scale, bound):
    """Also where squares overflow or vanish in float32."""
    with np.errstate(under="ignore", over="ignore"):
        gradient = (np.array(values) * scale).clip(-3e38, 3e38).astype(np.float32)
    before = gradient.astype(np.float64)
    norm = optim.clip_by_norm(gradient, bound)
    exact = np.linalg.norm(before)
    assert norm == pytest.approx(exact, rel=1e-5, abs=1e-44)
    after = np.linalg.norm(gradient.astype(np.float64))
    assert after <= min(exact, bound) * (1 + 1e-5)
    if exact <= bound * (1 - 1e-5):
        np.testing.assert_array_equal(gradient, before.astype(np.float32))
    else:
        np.testing.assert_allclose(gradient, before * (bound / exact), rtol=1e-5, atol=1e-6 * bound)


def test_clipping_by_value():
    gradient = np.array([3.0, -4.0, 0.1, np.nan])
    assert np.isnan(optim.clip_by_value(gradient, 1.0))
    np.testing.assert_array_equal(gradient, [1.0, -1.0, 0.1, np.nan])
    assert optim.clip_by_value(np.array([3.0, -4.0]), 1.0) == 5.0


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_is_reported_and_nothing_scaled(value):
    gradient = np.array([1.0, value], np.float32)
    assert not np.isfinite(optim.clip_by_norm(gradient, 0.5))
    np.testing.assert_array_equal(gradient, np.array([1.0, value], np.float32))


@pytest.mark.parametrize("clip", [optim.clip_by_norm, optim.clip_by_value])
@pytest.mark.parametrize("bound", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bound_out_of_range_is_refused(clip, bound):
    with pytest.raises(ConfigError, match=f"bound > 0 and finite, got {bound}"):
        clip(np.ones(2), bound)


def test_the_norm_of_nothing_is_zero():
    assert optim.l2_norm(np.zeros(0)) == 0.0
