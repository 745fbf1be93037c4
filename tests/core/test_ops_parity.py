"""Arithmetic, functions, reductions and movements against PyTorch: values and gradients, random shapes, two dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Tensor, ops

from .torch_parity import DTYPES, agree, torch

SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
# The part of the line the elements come from.
REAL, POSITIVE, UNIT, ABOVE_ONE, APART = "real", "positive", "unit", "above one", "away from kinks"


def draw(seed: int, shape: tuple[int, ...], domain: str) -> np.ndarray:
    x = np.asarray(np.random.default_rng(seed).standard_normal(shape))
    if domain == POSITIVE:
        return np.abs(x) + 0.2
    if domain == UNIT:
        return 0.9 * np.tanh(x)
    if domain == ABOVE_ONE:
        return np.abs(x) + 1.2
    return x + np.copysign(0.15, x) if domain == APART else x


F = torch.nn.functional
UNARY = [
    ("negative", torch.neg, REAL), ("positive", torch.positive, REAL), ("square", torch.square, REAL),
    ("reciprocal", torch.reciprocal, APART), ("exp", torch.exp, REAL), ("expm1", torch.expm1, REAL),
    ("log", torch.log, POSITIVE), ("log1p", torch.log1p, POSITIVE), ("log2", torch.log2, POSITIVE),
    ("log10", torch.log10, POSITIVE), ("sqrt", torch.sqrt, POSITIVE), ("absolute", torch.abs, APART),
    ("sin", torch.sin, REAL), ("cos", torch.cos, REAL), ("tan", torch.tan, UNIT), ("asin", torch.asin, UNIT),
    ("acos", torch.acos, UNIT), ("atan", torch.atan, REAL), ("sinh", torch.sinh, REAL), ("cosh", torch.cosh, REAL),
    ("tanh", torch.tanh, REAL), ("asinh", torch.asinh, REAL), ("acosh", torch.acosh, ABOVE_ONE),
    ("atanh", torch.atanh, UNIT), ("erf", torch.erf, REAL), ("sigmoid", torch.sigmoid, REAL),
    ("relu", torch.relu, APART), ("silu", F.silu, REAL), ("gelu", lambda x: F.gelu(x, approximate="tanh"), REAL),
    ("gelu_erf", F.gelu, REAL), ("leaky_relu", F.leaky_relu, APART), ("elu", F.elu, APART), ("selu", F.selu, APART),
    ("celu", F.celu, APART), ("softplus", F.softplus, REAL), ("mish", F.mish, REAL), ("softsign", F.softsign, REAL),
    ("hardsigmoid", lambda x: F.relu6(x + 3) / 6, REAL),  # its own adds 1/6 in float32
    ("hardswish", F.hardswish, REAL), ("hardtanh", F.hardtanh, REAL),
    ("logsigmoid", F.logsigmoid, REAL), ("relu6", F.relu6, APART), ("tanhshrink", F.tanhshrink, REAL),
]  # fmt: skip
BINARY = [
    ("add", torch.add, REAL, REAL), ("subtract", torch.sub, REAL, REAL), ("multiply", torch.mul, REAL, REAL),
    ("divide", torch.div, REAL, APART), ("power", torch.pow, POSITIVE, REAL), ("maximum", torch.maximum, REAL, REAL),
    ("minimum", torch.minimum, REAL, REAL), ("atan2", torch.atan2, APART, APART),
    ("hypot", torch.hypot, APART, APART), ("logaddexp", torch.logaddexp, REAL, REAL),
    ("copysign", torch.copysign, APART, APART), ("remainder", torch.remainder, REAL, POSITIVE),
]  # fmt: skip
FLAT = ["sign", "floor", "ceil", "trunc", "round", "isfinite", "isnan", "isinf", "signbit"]
COMPARE = ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]


def ids(entry: tuple) -> str:
    return entry[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entry", UNARY, ids=ids)
@settings(max_examples=6, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_functions_of_one_input(entry, dtype, shape, seed):
    name, theirs, domain = entry
    agree(getattr(ops, name), theirs, [draw(seed, shape, domain)], dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entry", BINARY, ids=ids)
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 2**31), data=st.data())
def test_functions_of_two_inputs_that_broadcast(entry, dtype, shape, seed, data):
    name, theirs, first, second = entry
    drop = data.draw(st.integers(0, len(shape)))
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape) - drop, max_size=len(shape) - drop))
    other = tuple(1 if one else length for length, one in zip(shape[drop:], ones, strict=True))
    shapes = (shape, other) if data.draw(st.booleans()) else (other, shape)
    arrays = [draw(seed, shapes[0], first), draw(seed + 1, shapes[1], second)]
    agree(getattr(ops, name), theirs, arrays, dtype=dtype)


@pytest.mark.parametrize("name", [*FLAT, *COMPARE])
@settings(max_examples=10, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_functions_without_a_gradient(name, shape, seed):
    rng = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, 0.5, 1.5, -2.5, np.inf, -np.inf, np.nan, 3.0])
    if name == "sign":
        special = special[~np.isnan(special)]  # the array API's sign of NaN is NaN, PyTorch's is 0
    arrays = [rng.choice(special, shape) for _ in range(2 if name in COMPARE else 1)]
    theirs = {"equal": "eq", "not_equal": "ne", "absolute": "abs"}.get(name, name)
    expected = getattr(torch, theirs)(*(torch.tensor(array) for array in arrays)).numpy()
    found = getattr(ops, name)(*(Tensor(array) for array in arrays))
    np.testing.assert_array_equal(found.data, expected)


REDUCTIONS = [
    ("sum", lambda x, dim, keep: x.sum(dim, keepdim=keep)), ("mean", lambda x, dim, keep: x.mean(dim, keepdim=keep)),
    ("max", lambda x, dim, keep: x.amax(dim, keepdim=keep)), ("min", lambda x, dim, keep: x.amin(dim, keepdim=keep)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entry", REDUCTIONS, ids=ids)
@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), seed=st.integers(0, 2**31), data=st.data())
def test_reductions(entry, dtype, shape, seed, data):
    name, theirs = entry
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    keep = data.draw(st.booleans())
    agree(
        lambda x: getattr(ops, name)(x, axis=axes, keepdims=keep),
        lambda x: theirs(x, axes, keep),
        [draw(seed, shape, REAL)],
        dtype=dtype,
    )


ALONG = [
    ("log_softmax", ops.log_softmax, torch.log_softmax), ("softmax", ops.softmax, torch.softmax),
    ("cumulative_sum", ops.cumulative_sum, torch.cumsum), ("cumulative_prod", ops.cumulative_prod, torch.cumprod),
    ("prod", ops.prod, torch.prod), ("sort", ops.sort, lambda x, dim: torch.sort(x, dim).values),
    ("flip", ops.flip, lambda x, dim: torch.flip(x, (dim,))),
    ("var", ops.var, lambda x, dim: torch.var(x, dim, correction=0)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entry", ALONG, ids=ids)
@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple), seed=st.integers(0, 2**31), data=st.data())
def test_functions_along_an_axis(entry, dtype, shape, seed, data):
    _, ours, theirs = entry
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    agree(lambda x: ours(x, axis=axis), lambda x: theirs(x, axis), [draw(seed, shape, REAL)], dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=15, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple), seed=st.integers(0, 2**31), data=st.data())
def test_movements(dtype, shape, seed, data):
    x = draw(seed, shape, REAL)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    agree(lambda x: ops.transpose(x, axes=order), lambda x: x.permute(order), [x], dtype=dtype)
    agree(lambda x: x.reshape(-1, shape[-1]), lambda x: x.reshape(-1, shape[-1]), [x], dtype=dtype)
    agree(lambda x: ops.broadcast_to(x, shape=(2, *shape)), lambda x: x.expand(2, *shape), [x], dtype=dtype)
    agree(lambda x: ops.roll(x, shift=1, axis=0), lambda x: torch.roll(x, 1, 0), [x], dtype=dtype)
    agree(lambda x: ops.tril(x), torch.tril, [x], dtype=dtype)
    agree(lambda x: ops.triu(x), torch.triu, [x], dtype=dtype)
    agree(lambda a, b: ops.concatenate(a, b, axis=0), lambda a, b: torch.cat([a, b]), [x, x + 1], dtype=dtype)
    agree(lambda a, b: ops.stack([a, b], axis=1), lambda a, b: torch.stack([a, b], 1), [x, x + 1], dtype=dtype)
    agree(lambda x: x[..., ::2], lambda x: x[..., ::2], [x], dtype=dtype)
    condition = x > 0
    agree(
        lambda a, b: ops.where(Tensor(condition), a, b),
        lambda a, b: torch.where(torch.tensor(condition), a, b),
        [x, x * 2],
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=15, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), max_size=2).map(tuple), sizes=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_products(dtype, lead, sizes, seed):
    m, k, n = sizes
    a, b = draw(seed, (*lead, m, k), REAL), draw(seed + 1, (k, n), REAL)
    agree(ops.matmul, torch.matmul, [a, b], dtype=dtype)
    agree(ops.matmul, torch.matmul, [a, draw(seed + 2, (*lead, k, n), REAL)], dtype=dtype)
    weight, bias = draw(seed + 3, (n, k), REAL), draw(seed + 4, (n,), REAL)
    agree(ops.linear, F.linear, [a, weight, bias], dtype=dtype)
