"""Recurrent networks over whole sequences, one op each: `rnn_scan`, `lstm_scan`, `gru_scan`.

What the inputs contribute to every step is computed before (one product for all steps) and is the first input here;
the scans add what the state contributes and go from step to step. They keep the states only. The backward pass gets the
gates back from them by one product for a run of steps, and then walks the steps with one product each; the gradient of
the weights is one product over all steps. Composed from ops, short steps take two to five times as long, and all gates
of all steps are kept.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Invalid, Jvp, Sample, normal
from ..shapes import Spec, accumulate_dtype, broadcast_shapes, result_dtype, to_floating
from .activation import sigmoid
from .declare import op, sum_to
from .elementwise import astype, tanh, where
from .linalg import matmul
from .reduce import sum
from .shape import broadcast_to, concatenate, reshape, stack, swap_last

# --- what the three share: x (..., T, gates * H), states (..., H), weight (gates * H, H) ---


def _check(name: str, gates: int, x: Spec, states: Sequence[Spec], weight: Spec) -> None:
    hidden = weight.shape[-1] if weight.ndim >= 2 else -1
    if x.ndim < 3 or weight.ndim < 2 or weight.shape[-2] != gates * hidden or x.shape[-1] != gates * hidden:
        raise ShapeError(
            f"{name}: expected x (N, T, {gates} * H) and a weight ({gates} * H, H), got {x.shape} and {weight.shape}"
        )
    lead = x.shape[:-2]
    for state in states:
        if state.shape[-1:] != (hidden,) or broadcast_shapes(state.shape[:-1], lead, op=name) != lead:
            raise ShapeError(f"{name}: expected a state of shape {(*lead, hidden)} or (1, {hidden}), got {state.shape}")
    if weight.ndim > 2 and broadcast_shapes(weight.shape[:-2], lead[:-1], op=name) != lead[:-1]:
        raise ShapeError(f"{name}: weights {weight.shape} do not belong to sequences {x.shape}")


def _results(x: Spec, weight: Spec, *others: Spec) -> Spec:
    dtype = to_floating(result_dtype(*(spec.dtype for spec in (x, weight, *others))))
    return Spec((*x.shape[:-1], weight.shape[-1]), dtype)


def _keeps_samples(states: int) -> Callable[..., bool]:
    """Sequences carry samples, weights do not; a state does, or is the same for all."""

    def rule(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
        apart = all(
            spec.ndim == specs[0].ndim - 1 if carried else spec.ndim < specs[0].ndim - 1 or spec.shape[0] == 1
            for carried, spec in zip(carries[1 : states + 1], specs[1 : states + 1], strict=True)
        )
        return carries[0] and apart and not any(carries[states + 1 :])

    return rule


def _batch(function: Callable[[], Callable[..., Any]], states: int) -> Callable[..., Any]:
    """The batch is one more leading axis of the sequences, and of whatever else is batched."""

    def rule(size: int, batched: Sequence[bool], *inputs: Any, **params: Any) -> Any:
        x = inputs[0] if batched[0] else broadcast_to(inputs[0], shape=(size, *inputs[0].shape))
        lead = len(x.shape) - 2
        aligned = [x]
        for position, value in enumerate(inputs[1:], 1):
            # States (..., H) align with all leading axes, weights (..., gates, H) and biases with all but the last.
            rank = lead if position > states + 1 else lead + 1
            missing = rank - len(value.shape)
            aligned.append(
                reshape(value, shape=(size, *(1,) * missing, *value.shape[1:])) if batched[position] else value
            )
        return function()(*aligned, **params)

    return rule


def _wide(*values: Any) -> list[Any]:
    """16-bit floats as float32: a sum over many steps needs the digits."""
    return [
        value if (target := accumulate_dtype(value.dtype)) == value.dtype else astype(value, dtype=target.name)
        for value in values
    ]


def _shifted(start: Any, states: Any) -> Any:
    """The state before every step, (..., T, H): `start`, then all but the last."""
    full = broadcast_to(start, shape=(*states.shape[:-2], states.shape[-1]))
    first = reshape(full, shape=(*states.shape[:-2], 1, states.shape[-1]))
    return concatenate(first, states, axis=-2)[..., :-1, :]


def _stacked(parts: Sequence[Any], like: Any) -> Any:
    """What each step gave, along the axis of time of `like`."""
    return stack(parts, axis=-2) if parts else like * 0.0


def _product(states: Any, weight: Any) -> Any:
    """What states (..., N, T, H) contribute to the gates, as one product of long matrices."""
    *stack, samples, steps, size = states.shape
    rows = reshape(states, shape=(*stack, samples * steps, size))
    return reshape(matmul(rows, swap_last(weight)), shape=(*stack, samples, steps, weight.shape[-2]))


_RUN = 1 << 17  # elements of the gates of a run of steps; longer runs only need more memory


def _runs(x: Any) -> list[tuple[int, tuple[Any, ...]]]:
    """Runs of steps from the last to the first, as first step and key: gates are computed for one run at a time."""
    length = max(1, _RUN // (prod(x.shape) // (x.shape[-2] or 1) or 1))
    starts = range(0, x.shape[-2], length)
    return [(start, (Ellipsis, slice(start, start + length), slice(None))) for start in reversed(starts)]


def _outer(rows: Any, states: Any, weight: Any) -> Any:
    """Gradient of the recurrent weight: products of gate gradients and states before, summed over steps and samples."""
    lead, steps = tuple(rows.shape[:-2]), rows.shape[-2]
    *stack, samples = lead
    rows = reshape(rows, shape=(*stack, samples * steps, rows.shape[-1]))
    states = reshape(states, shape=(*stack, samples * steps, states.shape[-1]))
    return sum_to(matmul(swap_last(rows), states), tuple(weight.shape))


def _pieces(x: Any, count: int) -> list[Any]:
    """Equal parts of the last axis."""
    size = x.shape[-1] // count
    return [x[..., i * size : (i + 1) * size] for i in range(count)]


def _logistic(xp: ArrayModule, x: Array) -> Array:
    """`sigmoid` in place."""
    x *= 0.5
    xp.tanh(x, out=x)
    x += 1
    x *= 0.5
    return x


def _turned(xp: ArrayModule, weight: Array, dtype: Any) -> Array:
    """The transpose in memory order, for a product at every step."""
    return xp.ascontiguousarray(weight.astype(dtype, copy=False).swapaxes(-1, -2))


def _start(xp: ArrayModule, x: Array, state: Array, dtype: Any) -> Array:
    return xp.broadcast_to(state.astype(dtype, copy=False), (*x.shape[:-2], state.shape[-1]))


# --- the plain network ---


def _rnn_spec(x: Spec, h: Spec, weight: Spec, *, nonlinearity: str) -> Spec:
    _check("rnn_scan", 1, x, [h], weight)
    if nonlinearity not in ("tanh", "relu"):
        raise ConfigError(f"rnn_scan: expected the nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
    return _results(x, weight, h)


def _rnn_vjp(g: Any, y: Any, x: Any, h: Any, weight: Any, *, nonlinearity: str) -> list[Any]:
    g, y, h_wide, w = _wide(g, y, h, weight)
    slope = 1.0 - y * y if nonlinearity == "tanh" else where(y > 0.0, 1.0, y * 0.0)
    rows: list[Any] = []
    later: Any = None
    for t in reversed(range(x.shape[-2])):
        now = g[..., t, :] if later is None else g[..., t, :] + later
        rows.append(now * slope[..., t, :])
        later = matmul(rows[-1], w)
    for_x = _stacked(rows[::-1], y)
    for_h = h_wide * 0.0 if later is None else later
    return [_as(for_x, x), _as(sum_to(for_h, tuple(h.shape)), h), _as(_outer(for_x, _shifted(h_wide, y), w), weight)]


def _as(gradient: Any, like: Any) -> Any:
    return gradient if gradient.dtype == like.dtype else astype(gradient, dtype=like.dtype.name)


def _rnn_reference(x: np.ndarray, h: np.ndarray, weight: np.ndarray, nonlinearity: str) -> np.ndarray:
    function = np.tanh if nonlinearity == "tanh" else lambda a: np.maximum(a, 0)
    rows = []
    for t in range(x.shape[-2]):
        h = function(x[..., t, :] + np.einsum("...h,gh->...g", h, weight))
        rows.append(h)
    return np.stack(rows, -2) if rows else x


@op(
    onnx="RNN",
    infer=_rnn_spec,
    reference=_rnn_reference,
    vjp=_rnn_vjp,
    saves=("h", "weight", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=_batch(lambda: rnn_scan, 1),
    per_sample=_keeps_samples(1),
    macs=lambda specs, out, **params: out.size * specs[2].shape[-2],
    samples=(
        Sample(normal(2, 5, 3), normal(2, 3), normal(3, 3), nonlinearity="tanh"),
        Sample(normal(2, 3, 4), normal(1, 4), normal(4, 4), nonlinearity="tanh"),
        Sample(normal(2, 2, 3, 2), normal(2, 2), normal(2, 2), nonlinearity="relu"),
        Sample(normal(2, 0, 2), normal(2, 2), normal(2, 2), nonlinearity="tanh"),
    ),
    invalid=(
        Invalid(normal(2, 5, 3), normal(2, 3), normal(4, 4), nonlinearity="tanh", error=ShapeError, match="1 \\* H"),
        Invalid(normal(2, 5, 3), normal(3, 3), normal(3, 3), nonlinearity="tanh", error=ShapeError, match="rnn_scan"),
        Invalid(normal(2, 5, 3), normal(2, 3), normal(3, 3), nonlinearity="exp", error=ConfigError, match="'exp'"),
    ),
)
def rnn_scan(xp: ArrayModule, x: Array, h: Array, weight: Array, *, nonlinearity: str = "tanh") -> Array:
    """States of a plain recurrent network, h_t = tanh(x_t + weight h_{t-1}): (..., T, H).

    x (N, T, H) is what the inputs contribute, with all biases; h (N, H) or (1, H) the state before the first step;
    weight (H, H). `nonlinearity` is "tanh" or "relu". Source: Elman 1990, Finding structure in time.
    """
    spec = _rnn_spec(*(Spec(a.shape, a.dtype) for a in (x, h, weight)), nonlinearity=nonlinearity)
    states = xp.empty(spec.shape, spec.dtype)
    turned = _turned(xp, weight, spec.dtype)
    h = _start(xp, x, h, spec.dtype)
    for t in range(x.shape[-2]):
        h = xp.matmul(h, turned)
        h += x[..., t, :]
        h = xp.tanh(h, out=h) if nonlinearity == "tanh" else xp.maximum(h, 0, out=h)
        states[..., t, :] = h
    return states


# --- long short-term memory ---


def _lstm_spec(x: Spec, h: Spec, c: Spec, weight: Spec) -> tuple[Spec, Spec]:
    _check("lstm_scan", 4, x, [h, c], weight)
    result = _results(x, weight, h, c)
    return result, result


def _lstm_vjp(g: Any, y: Any, x: Any, h: Any, c: Any, weight: Any) -> list[Any]:
    g_states, g_cells, states, cells, x, h_wide, c_wide, w = _wide(*g, *y, x, h, c, weight)
    before = _shifted(h_wide, states)
    rows: list[Any] = []
    later_h = later_c = None
    for first, run in _runs(x):
        i, f, candidate, o = _pieces(x[run] + _product(before[run], w), 4)
        i, f, candidate, o = sigmoid(i), sigmoid(f), tanh(candidate), sigmoid(o)
        squashed, cells_before = tanh(cells[run]), _shifted(cells[..., first - 1, :] if first else c_wide, cells[run])
        # How the gates' inputs change with the cell (input, forget, candidate) and with the state (output).
        to_i, to_f = candidate * i * (1.0 - i), cells_before * f * (1.0 - f)
        to_candidate, to_o = i * (1.0 - candidate * candidate), squashed * o * (1.0 - o)
        through = o * (1.0 - squashed * squashed)
        for t in reversed(range(through.shape[-2])):
            now_h = g_states[..., first + t, :] if later_h is None else g_states[..., first + t, :] + later_h
            now_c = g_cells[..., first + t, :] + now_h * through[..., t, :]
            if later_c is not None:
                now_c = now_c + later_c
            inner = (now_c * to_i[..., t, :], now_c * to_f[..., t, :], now_c * to_candidate[..., t, :])
            rows.append(concatenate(*inner, now_h * to_o[..., t, :], axis=-1))
            later_h, later_c = matmul(rows[-1], w), now_c * f[..., t, :]
    for_x = _stacked(rows[::-1], x)
    return [
        for_x,
        sum_to(h_wide * 0.0 if later_h is None else later_h, tuple(h.shape)),
        sum_to(c_wide * 0.0 if later_c is None else later_c, tuple(c.shape)),
        _outer(for_x, before, w),
    ]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm_reference(x: np.ndarray, h: np.ndarray, c: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    states, cells = [], []
    for t in range(x.shape[-2]):
        i, f, g, o = np.split(x[..., t, :] + np.einsum("...h,gh->...g", h, weight), 4, -1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        states.append(h)
        cells.append(c)
    return np.stack(states, -2), np.stack(cells, -2)


@op(
    onnx="LSTM",
    infer=_lstm_spec,
    reference=_lstm_reference,
    vjp=_lstm_vjp,
    saves=("x", "h", "c", "weight", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=_batch(lambda: lstm_scan, 2),
    per_sample=_keeps_samples(2),
    macs=lambda specs, out: out[0].size * specs[3].shape[-2],
    samples=(
        Sample(normal(2, 5, 12), normal(2, 3), normal(2, 3), normal(12, 3)),
        Sample(normal(3, 2, 8), normal(1, 2), normal(1, 2), normal(8, 2)),
        Sample(normal(2, 2, 3, 4), normal(2, 1), normal(2, 2, 1), normal(4, 1)),
        Sample(normal(0, 2, 4), normal(0, 1), normal(0, 1), normal(4, 1)),
    ),
    invalid=(
        Invalid(normal(2, 5, 9), normal(2, 3), normal(2, 3), normal(12, 3), error=ShapeError, match=r"4 \* H"),
        Invalid(normal(2, 5, 12), normal(2, 3), normal(2, 4), normal(12, 3), error=ShapeError, match="a state of"),
    ),
)
def lstm_scan(xp: ArrayModule, x: Array, h: Array, c: Array, weight: Array) -> tuple[Array, Array]:
    """States and cells of a long short-term memory, both (..., T, H).

    x (N, T, 4 * H) is what the inputs contribute to the input, forget, candidate and output gates (in this order), with
    all biases; h and c (N, H) or (1, H) the state and cell before the first step; weight (4 * H, H).

    Source: Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; Gers et al. 2000 (forget gate).
    """
    spec, _ = _lstm_spec(*(Spec(a.shape, a.dtype) for a in (x, h, c, weight)))
    states, cells = xp.empty(spec.shape, spec.dtype), xp.empty(spec.shape, spec.dtype)
    turned = _turned(xp, weight, spec.dtype)
    h, c = _start(xp, x, h, spec.dtype), _start(xp, x, c, spec.dtype)
    # One buffer for all gates, and views of it: input and forget gate lie side by side.
    gates = xp.empty((*x.shape[:-2], x.shape[-1]), spec.dtype)
    i, f, candidate, o = _pieces(gates, 4)
    for t in range(x.shape[-2]):
        xp.matmul(h, turned, out=gates)
        gates += x[..., t, :]
        _logistic(xp, gates[..., : 2 * weight.shape[-1]])
        _logistic(xp, o)
        c = xp.multiply(c, f, out=cells[..., t, :])
        c += xp.multiply(i, xp.tanh(candidate, out=candidate), out=i)
        h = xp.tanh(c, out=states[..., t, :])
        h *= o
    return states, cells


# --- gated recurrent unit ---


def _gru_spec(x: Spec, h: Spec, weight: Spec, bias: Spec) -> Spec:
    _check("gru_scan", 3, x, [h], weight)
    if bias.shape[-1:] != weight.shape[-1:] or bias.ndim > x.ndim - 2:
        raise ShapeError(f"gru_scan: expected a bias of shape {weight.shape[-1:]}, got {bias.shape}")
    return _results(x, weight, h, bias)


def _gru_vjp(g: Any, y: Any, x: Any, h: Any, weight: Any, bias: Any) -> list[Any]:
    g, y, x_wide, h_wide, w, b = _wide(g, y, x, h, weight, bias)
    before = _shifted(h_wide, y)
    b = b if len(b.shape) == 1 else reshape(b, shape=(*b.shape[:-1], 1, 1, b.shape[-1]))
    size = weight.shape[-1]
    rows: list[Any] = []  # gradients of the gates' inputs as the state sees them
    new_rows: list[Any] = []  # that of the new gate as the inputs see it
    later: Any = None
    for first, run in _runs(x_wide):
        x_reset, x_update, x_new = _pieces(x_wide[run], 3)
        h_reset, h_update, h_new = _pieces(_product(before[run], w), 3)
        h_new = h_new + b
        reset, update = sigmoid(x_reset + h_reset), sigmoid(x_update + h_update)
        new = tanh(x_new + reset * h_new)
        # How the gates' inputs change with the state.
        to_new = (1.0 - update) * (1.0 - new * new)
        to_reset = to_new * h_new * reset * (1.0 - reset)
        to_update = (before[run] - new) * update * (1.0 - update)
        for t in reversed(range(new.shape[-2])):
            now = g[..., first + t, :] if later is None else g[..., first + t, :] + later
            new_rows.append(now * to_new[..., t, :])
            outer = (now * to_reset[..., t, :], now * to_update[..., t, :], new_rows[-1] * reset[..., t, :])
            rows.append(concatenate(*outer, axis=-1))
            later = now * update[..., t, :] + matmul(rows[-1], w)
    for_state = _stacked(rows[::-1], x_wide)
    for_new = _stacked(new_rows[::-1], y)
    parts = (
        concatenate(for_state[..., : 2 * size], for_new, axis=-1),
        sum_to(h_wide * 0.0 if later is None else later, tuple(h.shape)),
        _outer(for_state, before, w),
        sum_to(sum(for_state[..., 2 * size :], axis=(-3, -2)), tuple(bias.shape)),
    )
    return [_as(part, like) for part, like in zip(parts, (x, h, weight, bias), strict=True)]


def _gru_reference(x: np.ndarray, h: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    rows = []
    for t in range(x.shape[-2]):
        xr, xz, xn = np.split(x[..., t, :], 3, -1)
        hr, hz, hn = np.split(np.einsum("...h,gh->...g", h, weight), 3, -1)
        n = np.tanh(xn + _sigmoid(xr + hr) * (hn + bias))
        z = _sigmoid(xz + hz)
        h = (1 - z) * n + z * h
        rows.append(h)
    return np.stack(rows, -2)


@op(
    onnx="GRU",
    infer=_gru_spec,
    reference=_gru_reference,
    vjp=_gru_vjp,
    saves=("x", "h", "weight", "bias", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=_batch(lambda: gru_scan, 1),
    per_sample=_keeps_samples(1),
    macs=lambda specs, out, **params: out.size * specs[2].shape[-2],
    samples=(
        Sample(normal(2, 5, 9), normal(2, 3), normal(9, 3), normal(3)),
        Sample(normal(3, 2, 6), normal(1, 2), normal(6, 2), normal(2)),
        Sample(normal(2, 2, 3, 3), normal(2, 1), normal(3, 1), normal(1)),
        Sample(normal(0, 2, 3), normal(0, 1), normal(3, 1), normal(1)),
    ),
    invalid=(
        Invalid(normal(2, 5, 12), normal(2, 3), normal(12, 3), normal(3), error=ShapeError, match=r"3 \* H"),
        Invalid(normal(2, 5, 9), normal(2, 3), normal(9, 3), normal(2), error=ShapeError, match="a bias of shape"),
    ),
)
def gru_scan(xp: ArrayModule, x: Array, h: Array, weight: Array, bias: Array) -> Array:
    """States of a gated recurrent unit, (..., T, H).

    x (N, T, 3 * H) is what the inputs contribute to the reset, update and new gates (in this order), with all biases
    but `bias` (H,), which the reset gate scales along with the state's part of the new gate; h (N, H) or (1, H) the
    state before the first step; weight (3 * H, H).

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, with the reset gate behind the product as in cuDNN.
    """
    spec = _gru_spec(*(Spec(a.shape, a.dtype) for a in (x, h, weight, bias)))
    states = xp.empty(spec.shape, spec.dtype)
    turned = _turned(xp, weight, spec.dtype)
    size = weight.shape[-1]
    bias = bias[..., None, :]
    h = _start(xp, x, h, spec.dtype)
    gates = xp.empty((*x.shape[:-2], x.shape[-1]), spec.dtype)
    reset, update, new = _pieces(gates, 3)
    for t in range(x.shape[-2]):
        xp.matmul(h, turned, out=gates)
        new += bias
        both = gates[..., : 2 * size]
        both += x[..., t, : 2 * size]
        _logistic(xp, both)
        new *= reset
        new += x[..., t, 2 * size :]
        xp.tanh(new, out=new)
        h = xp.subtract(h, new, out=states[..., t, :])
        h *= update
        h += new
    return states
