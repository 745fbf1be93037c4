"""Indexing, gathering, scattering and moving elements, against NumPy and PyTorch, beyond the generated op tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import (
    DeviceError,
    DTypeError,
    GradientError,
    ShapeError,
    Tensor,
    grad,
    hvp,
    jvp,
    no_grad,
    ops,
    per_sample_gradients,
    per_sample_norms,
    vmap,
)

X = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)

KEYS = {
    "integers": (1, 2),
    "slices": (slice(None), slice(None, None, -1), slice(1, 3)),
    "ellipsis": (Ellipsis, 0),
    "new-axes": (None, 1, None, Ellipsis, None),
    "numpy-integer": np.int64(1),
    "0-d-array": np.array(1),
    "array": np.array([1, 0, 1]),
    "negative": np.array([-1, 0, -2]),
    "2-d-array": np.array([[1, 0], [0, 0], [1, 1]]),
    "list": [1, 0, 1],
    "empty-list": [],
    "nested-list": [[0, 1], [1, 0]],
    "range": range(2),
    "unsigned": np.array([0, 1], np.uint8),
    "array-behind": (slice(None), slice(None), np.array([3, 0, 0])),
    "two-arrays": (np.array([0, 1, 1]), np.array([2, 0, 1])),
    "broadcast": (np.array([[0], [1]]), np.array([2, 0, 1])),
    "array-and-integer": (np.array([0, 1]), 2),
    "integer-and-array": (1, np.array([0, 2])),
    "integer-between": (slice(None), np.array([0, 2]), 1),
    "apart-by-slice": (np.array([0, 1]), slice(None), np.array([0, 3])),
    "apart-by-new-axis": (np.array([0, 1]), None, np.array([0, 2])),
    "apart-by-ellipsis": (np.array([0, 1]), Ellipsis, np.array([0, 3])),
    "apart-by-empty-ellipsis": (slice(None), slice(None), np.array([0, 1]), Ellipsis, np.array([0, 3])),
    "integer-apart": (0, slice(None), np.array([0, 3])),
    "slice-first": (slice(0, 2), np.array([0, 1]), np.array([1, 1]), slice(1, 4)),
    "reversed-and-array": (slice(None, None, -1), slice(None), np.array([0, 1]), slice(None, None, 2)),
    "mask": X[..., 0, 0] % 3 == 0,
    "full-mask": X % 7 == 0,
    "mask-of-nothing": np.zeros((2, 3), bool),
    "mask-without-elements": np.zeros((2, 0), bool),
    "mask-behind": (slice(None), np.array([True, False, True])),
    "mask-in-the-middle": (0, X[0, :, :, 0] % 3 == 0),
    "mask-list": [True, False],
    "two-masks": (np.array([True, True]), np.array([True, False, True])),
    "mask-and-array": (np.array([True, True]), slice(None), np.array([0, 1])),
    "mask-of-two-axes-and-array": (X[..., 0, 0] % 40 == 0, np.array([0, 1, 2])),
    "mask-apart": (np.array([True, False]), slice(None), slice(1, 2), np.array([0, 1])),
    "true": True,
    "false": False,
    "true-and-array": (True, np.array([0, 1])),
    "0-d-mask": np.array(True),
}
CASES = pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))


def as_tensors(key):
    """The key with its arrays as tensors."""
    if isinstance(key, tuple):
        return tuple(as_tensors(part) for part in key)
    return Tensor(key) if isinstance(key, np.ndarray) else key


def moved_to(xp, key):
    """The key with its arrays on another device."""
    if isinstance(key, tuple):
        return tuple(moved_to(xp, part) for part in key)
    return xp.asarray(key) if isinstance(key, np.ndarray) else key


@CASES
def test_a_key_selects_what_numpy_selects(key):
    expected = X[key]
    for mine in (key, as_tensors(key)):
        result = Tensor(X)[mine]
        assert result.shape == expected.shape
        np.testing.assert_array_equal(result.data, expected)


@CASES
def test_the_gradient_of_a_selection_adds_up_repeated_indices(key):
    x = Tensor(X, requires_grad=True)
    weights = np.random.default_rng(0).standard_normal(X[key].shape)
    (gradient,) = grad((x[key] * Tensor(weights)).sum(), [x])
    expected = np.zeros_like(X)
    np.add.at(expected, key, weights)
    np.testing.assert_allclose(gradient.data, expected, rtol=1e-14, atol=1e-14)


@CASES
def test_assignment_writes_what_numpy_writes_and_changes_nothing_else(key):
    value = np.random.default_rng(0).standard_normal(X[key].shape)
    expected = X.copy()
    expected[key] = value
    x = Tensor(X.copy())
    before, alias = x.data.copy(), x.detach()
    x[as_tensors(key)] = Tensor(value)
    np.testing.assert_array_equal(x.data, expected)
    np.testing.assert_array_equal(alias.data, before)


@CASES
def test_assignment_of_a_number_broadcasts(key):
    expected = X.copy()
    expected[key] = 7.5
    x = Tensor(X)
    x[key] = 7.5
    np.testing.assert_array_equal(x.data, expected)


@CASES
def test_assignment_is_differentiable_in_both(key):
    """What stays gets its gradient from the result, what was overwritten none; the value that stays gets the rest."""
    x, value = Tensor(X, requires_grad=True), Tensor(np.ones(X[key].shape), requires_grad=True)
    weights = np.arange(1.0, X.size + 1).reshape(X.shape)
    y = x * 2.0
    y[key] = value * 3.0
    of_x, of_value = grad((y * Tensor(weights)).sum(), [x, value])
    kept = np.ones_like(X)
    kept[key] = 0.0
    np.testing.assert_array_equal(of_x.data, 2.0 * weights * kept)
    # Each place remembers which element of the value was written last.
    writer = np.full(X.shape, -1)
    writer[key] = np.arange(value.size).reshape(value.shape)
    expected = np.zeros(value.size)
    expected[writer[writer >= 0]] = 3.0 * weights[writer >= 0]
    np.testing.assert_array_equal(of_value.data.ravel(), expected)


@CASES
def test_add_at_is_numpys(key):
    value = np.random.default_rng(0).standard_normal(X[key].shape)
    expected = X.copy()
    np.add.at(expected, key, value)
    np.testing.assert_allclose(ops.add_at(Tensor(X), key, Tensor(value)).data, expected, rtol=1e-14)


@CASES
def test_keys_work_on_the_stand_in_for_a_gpu(key, strict_cupy):
    """Selection, its gradient and assignment with repeated indices, without an atomic addition or an open order."""
    x = Tensor(strict_cupy.asarray(X), requires_grad=True)
    moved = moved_to(strict_cupy, key)
    part = x[moved]
    np.testing.assert_array_equal(strict_cupy.asnumpy(part.data), X[key])
    weights = np.random.default_rng(0).standard_normal(part.shape)
    (gradient,) = grad((part * Tensor(strict_cupy.asarray(weights))).sum(), [x])
    expected = np.zeros_like(X)
    np.add.at(expected, key, weights)
    np.testing.assert_allclose(strict_cupy.asnumpy(gradient.data), expected, rtol=1e-13, atol=1e-13)
    written = X.copy()
    written[key] = weights
    changed = ops.set_at(x, moved, Tensor(strict_cupy.asarray(weights)))
    np.testing.assert_array_equal(strict_cupy.asnumpy(changed.data), written)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_key_selects_and_writes_as_numpy_does(data):
    """Random mixtures of integers, slices, ..., None, arrays that broadcast, and masks."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    common = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    key, axis = [], 0
    while axis < len(shape) and data.draw(st.booleans()):
        kind = data.draw(st.sampled_from(["integer", "slice", "array", "mask", "none"]))
        if kind == "none":
            key.append(None)
            continue
        if kind == "integer":
            key.append(data.draw(st.integers(-shape[axis], shape[axis] - 1)))
        elif kind == "slice":
            key.append(data.draw(st.slices(shape[axis])))
        elif kind == "array":
            broadcast = data.draw(st.sampled_from([common, tuple(1 for _ in common), ()]))
            key.append(data.draw(hnp.arrays(np.int64, broadcast, elements=st.integers(-shape[axis], shape[axis] - 1))))
        else:
            mask = np.zeros(shape[axis], bool)
            mask[data.draw(st.integers(0, shape[axis] - 1))] = True  # one place: broadcasts with everything
            key.append(mask)
        axis += 1
    if data.draw(st.booleans()):
        key.insert(data.draw(st.integers(0, len(key))), Ellipsis)
        # behind ..., axes are counted from the end: lengths may differ
        try:
            x[tuple(key)]
        except IndexError:
            with pytest.raises(ShapeError):
                Tensor(x)[tuple(key)]
            return
    expected = x[tuple(key)]
    np.testing.assert_array_equal(Tensor(x)[tuple(key)].data, expected)
    value = -1.0 - np.arange(expected.size, dtype=np.float64).reshape(expected.shape)
    written = x.copy()
    written[tuple(key)] = value
    np.testing.assert_array_equal(ops.set_at(Tensor(x), tuple(key), Tensor(value)).data, written)


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        pytest.param(2, IndexError, "out of bounds", id="integer"),
        pytest.param(np.array([0, 2]), IndexError, "index 2 is out of bounds", id="array"),
        pytest.param((0, np.array([-4])), IndexError, "index -4 is out of bounds", id="array-behind-integer"),
        pytest.param((np.array([0]), 3), IndexError, "index 3 is out of bounds for axis 1", id="integer-beside-array"),
        pytest.param((0,) * 5, ShapeError, "too many indices", id="too-many"),
        pytest.param((np.array([0]),) * 5, IndexError, "too many indices", id="too-many-arrays"),
        pytest.param(np.array([True, False, True]), ShapeError, r"mask of shape \(2,\).*got \(3,\)", id="mask"),
        pytest.param(np.array([0.5]), DTypeError, "integers or booleans as an index, got dtype float64", id="floats"),
        pytest.param([0.5], DTypeError, "integers or booleans", id="list-of-floats"),
        pytest.param((Ellipsis, np.array([0]), Ellipsis), IndexError, r"expected \.\.\. once", id="two-ellipses"),
        pytest.param("name", DTypeError, "expected numbers", id="text"),
        pytest.param((np.array([0, 1]), np.array([0, 1, 2])), ShapeError, "do not broadcast", id="broadcast"),
    ],
)
def test_keys_that_do_not_fit_are_refused(key, error, match):
    for call in (
        lambda: Tensor(X)[key],
        lambda: ops.set_at(Tensor(X), key, 1.0),
        lambda: ops.add_at(Tensor(X), key, 1.0),
    ):
        with pytest.raises(error, match=match):
            call()


def test_assigning_to_a_leaf_is_refused():
    """Its gradient would have nowhere to go; also inside no_grad, where optimisers own its memory."""
    x = Tensor(X, requires_grad=True)
    with pytest.raises(GradientError, match=r"hint: y = ops\.set_at\(x, key, value\)"):
        x[0] = 1.0
    with no_grad(), pytest.raises(GradientError):
        x[0] = 1.0
    np.testing.assert_array_equal(x.data, X)


def test_assigning_to_what_a_function_is_differentiated_by_is_refused():
    """At every depth: the inner gradient would be that by the changed tensor."""

    def function(x):
        x[0] = x[1] * 2.0
        return (x * x).sum()

    x = Tensor(np.array([1.0, 2.0]))
    for derivative in (grad(function), lambda x: hvp(function, [x], [x]), grad(lambda x: grad(function)(x).sum())):
        with pytest.raises(GradientError, match="cannot be assigned to"):
            derivative(x)


@pytest.mark.parametrize(
    ("x", "value"),
    [
        pytest.param(np.zeros(3, np.int64), 1.5, id="float-number"),
        pytest.param(np.zeros(3, np.int64), Tensor([1.5]), id="floats"),
        pytest.param(np.zeros(3, np.float32), 1j, id="complex"),
        pytest.param(np.zeros(3, bool), 2, id="integer-into-booleans"),
    ],
)
def test_a_value_of_a_higher_kind_is_refused(x, value):
    with pytest.raises(DTypeError, match=f"a tensor of {x.dtype} cannot hold"):
        Tensor(x)[0] = value


def test_a_value_is_converted_to_the_dtype_of_the_tensor():
    x = Tensor(np.zeros(3, np.float32))
    x[1] = Tensor(np.array(np.pi))
    x[np.array([2])] = 3
    assert x.dtype == np.float32
    assert x.tolist() == [0.0, np.float32(np.pi), 3.0]


def test_numbers_and_lists_keep_the_precision_of_the_tensor():
    x = Tensor(np.zeros(3))
    x[0] = 0.1
    x[[1, 2]] = [0.2, 0.3]
    assert x.tolist() == [0.1, 0.2, 0.3]


def test_an_augmented_assignment_adds_to_a_part():
    x = Tensor(np.zeros((2, 2), np.float32))
    row = x[0]
    x[0] += 1.0
    assert x.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert row.tolist() == [0.0, 0.0], "a part taken before keeps its elements"


def test_a_nodes_history_survives_its_assignment():
    """y = x^2; y[0] = y[1]; the gradient flows through both what was copied and what stayed."""
    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    y = x * x
    y[0] = y[1] * 10.0
    (gradient,) = grad(y.sum(), [x])
    assert gradient.tolist() == [0.0, 66.0]


def test_assignment_inside_transformations():
    def function(x):
        y = x * 1.0
        y[0] = x[1] * 5.0
        y[np.array([2, 2])] = x[:2]
        return y

    x = np.array([1.0, 2.0, 3.0])
    expected = [10.0, 2.0, 2.0]
    assert function(Tensor(x)).tolist() == expected
    value, tangent = jvp(function, [Tensor(x)], [Tensor(np.array([1.0, 10.0, 100.0]))])
    assert value.tolist() == expected
    assert tangent.tolist() == [50.0, 10.0, 10.0]
    batched = vmap(function)(Tensor(np.stack([x, 2 * x])))
    assert batched.tolist() == [expected, [2 * item for item in expected]]
    assert grad(lambda x: function(x).sum())(Tensor(x)).tolist() == [0.0, 7.0, 0.0]


def test_a_traced_value_in_a_tensor_from_outside_is_refused():
    outside = Tensor(np.zeros(2))

    def function(x):
        outside[0] = x
        return outside

    with pytest.raises(GradientError, match=r"batched value.*hint: x = ops\.set_at"):
        vmap(function)(Tensor(np.ones(3)))


def test_indices_may_be_batched():
    x, rows = np.arange(12.0).reshape(3, 4), np.array([[0, 3], [1, 1], [2, 0]])
    result = vmap(lambda x, i: x[i])(Tensor(x), Tensor(rows))
    np.testing.assert_array_equal(result.data, np.take_along_axis(x, rows, 1))
    shared = vmap(lambda i: Tensor(x)[:, i])(Tensor(rows))
    np.testing.assert_array_equal(shared.data, np.stack([x[:, i] for i in rows]))
    pairs = vmap(lambda x, i: x[i, i])(Tensor(np.stack([x[:, :3], x[:, 1:]])), Tensor(np.array([[0, 1], [2, 0]])))
    np.testing.assert_array_equal(pairs.data, [[0.0, 5.0], [11.0, 1.0]])


def test_a_batched_mask_is_refused_but_may_be_written_through():
    """The count of true elements differs between examples; writing a number needs no count."""
    x = Tensor(np.arange(6.0).reshape(2, 3))
    with pytest.raises(GradientError, match="depends on values"):
        vmap(lambda x: x[x > 1.0])(x)
    assert vmap(lambda x: ops.set_at(x, x > 1.0, 0.0))(x).tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_indices_of_another_device_are_refused(strict_cupy):
    x = Tensor(strict_cupy.asarray(X))
    with pytest.raises(DeviceError, match="different devices"):
        x[np.array([0, 1])]
    assert x[[0, 1]].shape == X.shape  # a list has no place of its own


# --- taking and scattering ---


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")


def both(torch, ours, theirs, *arrays: np.ndarray, rtol: float = 1e-12) -> None:
    """Values, and gradients of <weights, result>, of two functions of float64 arrays."""
    mine, reference = (
        [Tensor(a, requires_grad=True) for a in arrays],
        [torch.tensor(a, requires_grad=True) for a in arrays],
    )
    y, expected = ours(*mine), theirs(*reference)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=rtol, atol=1e-12)
    weights = np.random.default_rng(9).standard_normal(y.shape)
    (expected * torch.tensor(weights)).sum().backward()
    for found, wanted in zip(grad((y * Tensor(weights)).sum(), mine), reference, strict=True):
        np.testing.assert_allclose(found.data, wanted.grad.numpy(), rtol=rtol, atol=1e-12)


@st.composite
def lines(draw):
    """A tensor, an axis, and indices along it that are no longer along the other axes."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    count = draw(st.integers(0, 6))
    short = tuple(count if i == axis % len(shape) else draw(st.integers(1, length)) for i, length in enumerate(shape))
    indices = draw(hnp.arrays(np.int64, short, elements=st.integers(0, shape[axis] - 1)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.standard_normal(shape), indices, rng.standard_normal(short), axis


@settings(deadline=None)
@given(lines())
def test_gather_scatter_and_scatter_add_are_torchs(torch, drawn):
    x, indices, values, axis = drawn
    places = torch.tensor(indices)
    both(torch, lambda x: ops.gather(x, Tensor(indices), axis=axis), lambda x: torch.gather(x, axis, places), x)
    both(
        torch,
        lambda x, v: ops.scatter_add(x, Tensor(indices), v, axis=axis),
        lambda x, v: torch.scatter_add(x, axis, places, v),
        x,
        values,
    )
    line = np.moveaxis(indices, axis, -1).reshape(indices.size // max(indices.shape[axis], 1), indices.shape[axis])
    if all(len(set(row)) == len(row) for row in line):  # torch leaves open which of equal indices stays
        both(
            torch,
            lambda x, v: ops.scatter(x, Tensor(indices), v, axis=axis),
            lambda x, v: torch.scatter(x, axis, places, v),
            x,
            values,
        )


@settings(deadline=None)
@given(lines(), st.integers(0, 99))
def test_take_and_index_add_are_torchs(torch, drawn, seed):
    x, _, _, axis = drawn
    indices = np.random.default_rng(seed).integers(0, x.shape[axis], 7)
    both(
        torch,
        lambda x: ops.take(x, Tensor(indices), axis=axis),
        lambda x: torch.index_select(x, axis, torch.tensor(indices)),
        x,
    )
    values = np.random.default_rng(seed).standard_normal(np.take(x, indices, axis).shape)
    both(
        torch,
        lambda x, v: ops.index_add(x, Tensor(indices), v, axis=axis),
        lambda x, v: torch.index_add(x, axis, torch.tensor(indices), v),
        x,
        values,
    )


@settings(deadline=None)
@given(lines())
def test_take_along_axis_is_numpys(drawn):
    x, indices, _, axis = drawn
    wide = np.broadcast_to(x, x.shape)
    full = tuple(n if i == axis % x.ndim else x.shape[i] for i, n in enumerate(indices.shape))
    indices = np.resize(indices, full) if indices.size else np.zeros(full, np.int64)
    result = ops.take_along_axis(Tensor(wide), Tensor(indices), axis=axis)
    np.testing.assert_array_equal(result.data, np.take_along_axis(wide, indices, axis))


def test_take_along_axis_broadcasts():
    x, indices = np.arange(12.0).reshape(3, 4), np.array([[1, 0]])
    expected = np.take_along_axis(x, np.broadcast_to(indices, (3, 2)), 1)
    np.testing.assert_array_equal(ops.take_along_axis(Tensor(x), Tensor(indices), axis=1).data, expected)


@pytest.mark.parametrize("kind", ["sum", "mean", "amax"])
@pytest.mark.parametrize("ids", [[0, 0, 1, 2, 2, 2, 5], [5, 0, 2, 0, 2, 1, 2]], ids=["sorted", "mixed"])
def test_segment_functions_are_torchs(torch, kind, ids):
    ours = {"sum": ops.segment_sum, "mean": ops.segment_mean, "amax": ops.segment_max}[kind]
    x, rows = np.random.default_rng(0).standard_normal((7, 3)), torch.tensor(ids)[:, None].expand(7, 3)
    extra = {"empty": 0.0} if kind == "amax" else {}
    both(
        torch,
        lambda x: ours(x, Tensor(np.array(ids)), num_segments=6, **extra),
        lambda x: torch.zeros(6, 3, dtype=x.dtype).scatter_reduce(0, rows, x, kind, include_self=False),
        x,
    )


def test_ties_in_a_segment_share_the_gradient():
    x = Tensor(np.array([1.0, 3.0, 3.0, 2.0]), requires_grad=True)
    y = ops.segment_max(x, Tensor(np.array([0, 0, 0, 1])), num_segments=2)
    assert grad(y.sum(), [x])[0].tolist() == [0.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64"])
@pytest.mark.parametrize(
    ("outer", "rows", "inner", "count"),
    [(1, 500, 1, 7), (1, 500, 64, 3), (1, 500, 64, 400), (3, 300, 5, 4), (2, 50, 3, 60)],
    ids=["one-column", "few-groups", "many-groups", "inner", "sparse"],
)
def test_every_way_to_sum_groups_agrees_with_the_plain_one(outer, rows, inner, count, dtype):
    """The ways differ by size; each is as exact as its dtype, and the same on every call."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((outer, rows, inner)) * 100).astype(dtype)
    ids = rng.integers(0, count, rows)
    expected = np.zeros((outer, count, inner), np.complex128 if dtype == "complex64" else np.float64)
    np.add.at(expected, (slice(None), ids), x)
    results = [ops.segment_sum(Tensor(x), Tensor(ids), num_segments=count, axis=1) for _ in range(2)]
    tolerance = {"float32": 1e-5, "complex64": 1e-5, "float64": 1e-13, "int64": 0.0}[dtype]
    np.testing.assert_allclose(results[0].data, expected, rtol=tolerance, atol=tolerance * 1000)
    assert results[0].dtype == dtype
    assert results[0].data.tobytes() == results[1].data.tobytes()


def test_large_segments_are_exact_on_the_stand_in_for_a_gpu(strict_cupy):
    """A sum as the difference of two running totals, as CuPy's add.reduceat makes it, would lose the small numbers."""
    x = np.concatenate([np.full(1000, 1e6, np.float32), np.full(1000, 1e-3, np.float32)])
    ids = np.repeat([0, 1], 1000)
    result = ops.segment_sum(Tensor(strict_cupy.asarray(x)), Tensor(strict_cupy.asarray(ids)), num_segments=2)
    np.testing.assert_allclose(strict_cupy.asnumpy(result.data), [1e9, 1.0], rtol=1e-5)


def test_integers_beyond_float64_are_summed_exactly():
    x = np.array([2**60, 1, 1, 2**60, 1], np.int64)
    result = ops.segment_sum(Tensor(x), Tensor(np.array([0, 0, 1, 1, 1])), num_segments=2)
    assert result.tolist() == [2**60 + 1, 2**60 + 2]


def test_per_sample_gradients_of_an_embedding_are_a_loop():
    """One table, indices per sample with repetitions; norms without the gradients agree too."""
    table = Tensor(np.random.default_rng(0).standard_normal((6, 3)), requires_grad=True)
    words = np.array([[0, 0, 5], [1, -1, 2], [3, 3, 3]])
    weights = Tensor(np.arange(1.0, 4.0)[:, None])

    def losses(ids):
        rows = ops.take(table, ids, axis=0)
        return (rows * rows * weights).sum((1, 2))

    _, (gradients,) = per_sample_gradients(losses, [table], Tensor(words))
    alone = [grad(losses(Tensor(row[None])).sum(), [table])[0].data for row in words]
    np.testing.assert_allclose(gradients.data, alone, rtol=1e-12)
    _, norms = per_sample_norms(losses, [table], Tensor(words))
    np.testing.assert_allclose(norms.data, [np.linalg.norm(g) for g in alone], rtol=1e-12)


# --- moving and repeating ---


def flat(x):
    return x.reshape(-1)


SHAPES = [(3, 4), (2, 3, 4), (5,), (1, 3), (0, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        pytest.param(lambda x: ops.flip(x), np.flip, id="flip"),
        pytest.param(lambda x: ops.flip(x, axis=-1), lambda x: np.flip(x, -1), id="flip-last"),
        pytest.param(lambda x: ops.roll(x, 2), lambda x: np.roll(x, 2), id="roll-flat"),
        pytest.param(lambda x: ops.roll(x, (-1, 3), axis=(0, -1)), lambda x: np.roll(x, (-1, 3), (0, -1)), id="roll"),
        pytest.param(lambda x: ops.roll(x, 1, axis=(0, -1)), lambda x: np.roll(x, 1, (0, -1)), id="roll-both"),
        pytest.param(lambda x: ops.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), id="tile"),
        pytest.param(lambda x: ops.tile(x, (2,)), lambda x: np.tile(x, 2), id="tile-last"),
        pytest.param(lambda x: ops.tile(x, ()), lambda x: x, id="tile-nothing"),
        pytest.param(lambda x: ops.tile(x, (0,)), lambda x: np.tile(x, 0), id="tile-never"),
        pytest.param(lambda x: ops.repeat(x, 3), lambda x: np.repeat(x, 3), id="repeat-flat"),
        pytest.param(lambda x: ops.repeat(x, 2, axis=-1), lambda x: np.repeat(x, 2, -1), id="repeat"),
        pytest.param(lambda x: ops.repeat(x, 0, axis=0), lambda x: np.repeat(x, 0, 0), id="repeat-never"),
        pytest.param(
            lambda x: ops.repeat(x, list(range(x.shape[-1])), axis=-1),
            lambda x: np.repeat(x, range(x.shape[-1]), -1),
            id="repeat-each",
        ),
        pytest.param(lambda x: ops.repeat(x, np.array([2]), axis=0), lambda x: np.repeat(x, [2], 0), id="repeat-array"),
        pytest.param(lambda x: ops.expand_dims(x, axis=(0, -1)), lambda x: np.expand_dims(x, (0, -1)), id="expand"),
        pytest.param(lambda x: ops.squeeze(ops.expand_dims(x, axis=1), axis=1), lambda x: x, id="squeeze"),
        pytest.param(lambda x: ops.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), id="moveaxis"),
        pytest.param(lambda x: ops.stack(ops.unstack(x, axis=-1)), lambda x: np.moveaxis(x, -1, 0), id="unstack"),
        pytest.param(lambda x: ops.concat([x, x], axis=None), lambda x: np.concatenate([x, x], None), id="concat-flat"),
        pytest.param(lambda x: ops.concat([x, x], axis=-1), lambda x: np.concatenate([x, x], -1), id="concat"),
        pytest.param(
            lambda x: ops.meshgrid(flat(x), flat(x)[:2])[1], lambda x: np.meshgrid(x, x.ravel()[:2])[1], id="xy"
        ),
        pytest.param(
            lambda x: ops.meshgrid(flat(x), flat(x)[:2], indexing="ij")[0],
            lambda x: np.meshgrid(x, x.ravel()[:2], indexing="ij")[0],
            id="ij",
        ),
    ],
)
def test_moves_are_numpys_and_their_gradients_put_back(ours, numpys, shape):
    """The gradient of <w, move(x)> is the sum of w where each element went: found by moving numbers of elements."""
    x = np.random.default_rng(0).standard_normal(shape)
    leaf = Tensor(x, requires_grad=True)
    result, expected = ours(leaf), numpys(x)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.data, expected)
    weights = np.random.default_rng(1).standard_normal(expected.shape)
    (gradient,) = grad((result * Tensor(weights)).sum(), [leaf])
    sources = numpys(np.arange(x.size).reshape(shape))
    wanted = np.bincount(sources.ravel(), weights.ravel(), x.size).reshape(shape)
    np.testing.assert_allclose(gradient.data, wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("widths", [1, (2, 3), ((1, 0), (7, 9))], ids=str)
def test_pad_is_numpys(mode, widths):
    x = np.random.default_rng(0).standard_normal((3, 4))
    result = ops.pad(Tensor(x), widths, mode=mode)
    np.testing.assert_array_equal(result.data, np.pad(x, widths, mode=mode))


@pytest.mark.parametrize("mode", ["constant", "replicate", "reflect", "circular"])
def test_pad_and_its_gradient_are_torchs(torch, mode):
    extra = {"value": 2.5} if mode == "constant" else {}
    both(
        torch,
        lambda x: ops.pad(x, ((0, 0), (0, 0), (1, 2), (3, 2)), mode=mode, **extra),
        lambda x: torch.nn.functional.pad(x, (3, 2, 1, 2), mode=mode, **extra),
        np.random.default_rng(0).standard_normal((2, 3, 4, 5)),
    )


@pytest.mark.parametrize("offset", [-5, -1, 0, 2, 5])
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (2, 3, 3), (2, 0, 3)], ids=str)
def test_diagonals_are_numpys(shape, offset):
    x = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_array_equal(ops.diagonal(Tensor(x), offset=offset).data, np.diagonal(x, offset, -2, -1))
    np.testing.assert_array_equal(
        ops.diagonal(Tensor(x), offset=offset, axis1=-1, axis2=0).data, np.diagonal(x, offset, -1, 0)
    )
    np.testing.assert_allclose(ops.trace(Tensor(x), offset=offset).data, np.trace(x, offset, -2, -1), atol=1e-15)
    elements = np.diagonal(x, offset, -2, -1)
    built = ops.diagonal_matrix(Tensor(elements), offset=offset)
    np.testing.assert_array_equal(np.diagonal(built.data, offset, -2, -1), elements)
    assert np.count_nonzero(built.data) == np.count_nonzero(elements)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda x: ops.squeeze(x, axis=0), r"squeeze: expected axes of length 1.*\(2, 3\)", id="squeeze"),
        pytest.param(lambda x: ops.expand_dims(x, axis=4), "expand_dims: axis 4", id="expand-dims"),
        pytest.param(lambda x: ops.moveaxis(x, (0, 1), (0, 0)), "moveaxis: expected as many", id="moveaxis"),
        pytest.param(lambda x: ops.repeat(x, [1, 2, 3], axis=0), r"expected 2 repeats for axis 0", id="repeat"),
        pytest.param(lambda x: ops.repeat(x, -1, axis=0), "repeats >= 0, got -1", id="repeat-negative"),
        pytest.param(lambda x: ops.pad(x, (1, 2, 3)), "expected one pair of widths or 2", id="pad"),
        pytest.param(lambda x: ops.pad(x, 1, mode="edges"), "mode among constant, edge, .*got 'edges'", id="pad-mode"),
        pytest.param(lambda x: ops.pad(x[:1], 1, mode="reflect"), "too short to repeat", id="reflect"),
        pytest.param(lambda x: ops.diagonal(x, axis1=1, axis2=-1), "expected two axes, got 1 and -1", id="diagonal"),
        pytest.param(lambda x: ops.meshgrid(x), "expected tensors with one axis", id="meshgrid"),
        pytest.param(lambda x: ops.broadcast_arrays(x, x[:, :2]), "do not broadcast", id="broadcast"),
        pytest.param(lambda x: ops.stack([]), "at least one tensor", id="stack"),
        pytest.param(lambda x: ops.take_along_axis(x, Tensor(np.zeros(2, int))), "as many axes as", id="along-axis"),
        pytest.param(lambda x: ops.gather(x, Tensor(np.zeros((3, 1), int)), axis=1), "no longer than", id="gather"),
        pytest.param(lambda x: ops.scatter(x, Tensor(np.zeros((2, 1), int)), [1, 2]), "broadcast", id="scatter"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call(Tensor(np.zeros((2, 3))))


# --- sorting and searching ---


@st.composite
def numbers(draw, min_side: int = 1):
    """A tensor with ties and an axis of it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=min_side, max_side=6))
    values = draw(hnp.arrays(np.float64, shape, elements=st.integers(-3, 3)))
    return values, draw(st.integers(-len(shape), len(shape) - 1))


@settings(deadline=None)
@given(numbers(), st.booleans())
def test_sorting_is_torchs_stable_sort(torch, drawn, descending):
    """With ties: values, places, and the gradient, which goes back to the places."""
    x, axis = drawn
    theirs = torch.sort(torch.tensor(x), dim=axis, descending=descending, stable=True)
    np.testing.assert_array_equal(ops.sort(Tensor(x), axis=axis, descending=descending).data, theirs.values.numpy())
    np.testing.assert_array_equal(ops.argsort(Tensor(x), axis=axis, descending=descending).data, theirs.indices.numpy())
    both(
        torch,
        lambda x: ops.sort(x, axis=axis, descending=descending),
        lambda x: torch.sort(x, dim=axis, descending=descending, stable=True).values,
        x,
    )


@settings(deadline=None)
@given(numbers(), st.booleans(), st.data())
def test_topk_is_the_head_of_a_stable_sort(drawn, largest, data):
    """Values, and of equal elements the first ones, whichever way the library takes to find them."""
    x, axis = drawn
    x = np.repeat(x, data.draw(st.sampled_from([1, 40])), axis)
    k = data.draw(st.integers(0, min(x.shape[axis], 6)))
    values, places = ops.topk(Tensor(x), k, axis=axis, largest=largest)
    order = np.argsort(-x if largest else x, axis=axis, kind="stable")
    np.testing.assert_array_equal(places.data, np.take(order, range(k), axis))
    np.testing.assert_array_equal(values.data, np.take_along_axis(x, places.data, axis))


def test_topk_sends_its_gradient_to_what_it_took(torch):
    x = np.random.default_rng(0).standard_normal((3, 50))
    both(torch, lambda x: ops.topk(x, 4)[0], lambda x: torch.topk(x, 4).values, x)


def test_nan_is_larger_than_any_number():
    x = Tensor(np.array([1.0, np.nan, 3.0, np.inf] + [0.0] * 60))
    assert np.isnan(ops.sort(x).data[-1])
    assert np.isnan(ops.sort(x, descending=True).data[0])
    assert ops.topk(x, 3)[1].tolist() == [1, 3, 2]
    assert ops.argmax(x).item() == 1
    assert np.isnan(ops.median(x).data)


@settings(deadline=None)
@given(numbers(), st.booleans())
def test_extremes_with_places_take_the_first_of_equal_ones(torch, drawn, keepdims):
    x, axis = drawn
    for ours, numpys, sign in ((ops.max_with_indices, np.argmax, 1), (ops.min_with_indices, np.argmin, -1)):
        values, places = ours(Tensor(x), axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(places.data, numpys(x, axis, keepdims=keepdims))
        np.testing.assert_array_equal(values.data, sign * np.max(sign * x, axis, keepdims=keepdims))
    leaf = Tensor(x, requires_grad=True)
    (gradient,) = grad(ops.max_with_indices(leaf, axis=axis)[0].sum(), [leaf])
    expected = np.zeros_like(x)
    np.put_along_axis(expected, np.expand_dims(np.argmax(x, axis), axis), 1.0, axis)
    np.testing.assert_array_equal(gradient.data, expected)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.77, 1.0, [0.25, 0.75]], ids=str)
@pytest.mark.parametrize("axis", [None, 0, -1], ids=str)
@pytest.mark.parametrize("keepdims", [False, True], ids=["", "keepdims"])
def test_quantiles_are_torchs(torch, q, axis, keepdims):
    both(
        torch,
        lambda x: ops.quantile(x, q, axis=axis, keepdims=keepdims),
        lambda x: torch.quantile(x, torch.tensor(q, dtype=x.dtype), dim=axis, keepdim=keepdims),
        np.random.default_rng(0).standard_normal((4, 7)),
    )


@pytest.mark.parametrize("count", [5, 6])
def test_median_is_numpys(count):
    x = np.random.default_rng(0).integers(0, 9, (3, count))
    result = ops.median(Tensor(x), axis=1)
    assert result.dtype == np.float32, "integers are taken as float32"
    np.testing.assert_array_equal(result.data, np.median(x, 1))


@settings(deadline=None)
@given(st.data(), st.sampled_from(["left", "right"]))
def test_searchsorted_is_numpys_for_every_line(data, side):
    lines = np.sort(
        data.draw(hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(0, 5)), elements=st.integers(0, 4)))
    )
    values = data.draw(hnp.arrays(np.float64, (len(lines), 4), elements=st.integers(-1, 5)))
    expected = np.stack([np.searchsorted(line, row, side) for line, row in zip(lines, values, strict=True)])
    np.testing.assert_array_equal(ops.searchsorted(Tensor(lines), Tensor(values), side=side).data, expected)
    shuffled = np.random.default_rng(0).permutation(lines[0])
    sorter = np.argsort(shuffled)
    result = ops.searchsorted(Tensor(shuffled), Tensor(values), side=side, sorter=Tensor(sorter))
    np.testing.assert_array_equal(result.data, np.searchsorted(lines[0], values, side))


def test_searchsorted_takes_numbers_of_any_kind():
    x = Tensor(np.array([1, 2, 2, 5], np.uint8))
    assert ops.searchsorted(x, 2).item() == 1
    assert ops.searchsorted(x, 2, side="right").item() == 3
    assert ops.searchsorted(x, 2.5).item() == 3
    assert ops.searchsorted(x, -1).item() == 0


# --- sets ---


@settings(deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, min_side=0, max_side=5), elements=st.integers(0, 4)))
def test_unique_describes_its_tensor(x):
    """values[inverse] is x, x at the first places is values, counts count; values ascend strictly."""
    values, first, inverse, counts = (part.data for part in ops.unique_all(Tensor(x)))
    np.testing.assert_array_equal(values[inverse], x)
    np.testing.assert_array_equal(x.ravel()[first], values)
    np.testing.assert_array_equal(counts, [np.sum(x == value) for value in values])
    assert (np.diff(values) > 0).all()
    assert all(value not in x.ravel()[:place] for value, place in zip(values, first, strict=True))
    np.testing.assert_array_equal(ops.unique_values(Tensor(x)).data, values)
    np.testing.assert_array_equal(ops.unique_counts(Tensor(x))[1].data, counts)
    np.testing.assert_array_equal(ops.unique_inverse(Tensor(x))[1].data, inverse)


def test_every_nan_is_an_element_of_its_own_and_no_member():
    x = Tensor(np.array([np.nan, 1.0, np.nan, 1.0]))
    values, counts = ops.unique_counts(x)
    np.testing.assert_array_equal(values.data, [1.0, np.nan, np.nan])
    assert counts.tolist() == [2, 1, 1]
    assert ops.isin(x, x).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("x", "members", "expected"),
    [
        pytest.param(np.array([[1, 2], [3, 1]]), np.array([1, 9]), [[True, False], [False, True]], id="integers"),
        pytest.param(np.array([1, 2], np.uint8), -1, [False, False], id="number-it-cannot-hold"),
        pytest.param(np.array([1, 2]), 1.5, [False, False], id="fraction"),
        pytest.param(np.array([0.1, 0.2]), 0.1, [True, False], id="number-of-its-precision"),
        pytest.param(2, np.array([1, 2]), True, id="number-in-a-tensor"),
        pytest.param(np.array([True, False]), np.array([2, 1]), [True, False], id="booleans-as-integers"),
    ],
)
def test_isin(x, members, expected):
    x, members = (Tensor(item) if isinstance(item, np.ndarray) else item for item in (x, members))
    assert ops.isin(x, members).tolist() == expected
    np.testing.assert_array_equal(ops.isin(x, members, invert=True).data, ~np.array(expected))


# --- on a GPU ---


def ids(strict_cupy, *values: int) -> Tensor:
    return Tensor(strict_cupy.asarray(np.array(values)))


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x, ids: ops.pad(x, 2, mode="edge"), id="pad"),
        pytest.param(lambda x, ids: ops.roll(x, 2), id="roll"),
        pytest.param(lambda x, ids: ops.tile(x, (2, 2)), id="tile"),
        pytest.param(lambda x, ids: ops.repeat(x, [2, 0, 1], axis=0), id="repeat-list"),
        pytest.param(lambda x, ids: ops.repeat(x, ids(2, 0, 1), axis=0), id="repeat-tensor"),
        pytest.param(lambda x, ids: ops.flip(x), id="flip"),
        pytest.param(lambda x, ids: ops.diagonal_matrix(ops.diagonal(x)), id="diagonal"),
        pytest.param(lambda x, ids: ops.sort(x, axis=0, descending=True), id="sort"),
        pytest.param(lambda x, ids: ops.topk(x, 2)[0], id="topk"),
        pytest.param(lambda x, ids: ops.max_with_indices(x, axis=1)[0], id="max-with-indices"),
        pytest.param(lambda x, ids: ops.quantile(x, [0.1, 0.7], axis=1), id="quantile"),
        pytest.param(lambda x, ids: ops.median(x), id="median"),
        pytest.param(lambda x, ids: ops.gather(x, ids(3, 0, 3, 1).reshape(2, 2), axis=1), id="gather"),
        pytest.param(lambda x, ids: ops.scatter(x, ids(3, 3).reshape(1, 2), x[:1, :2] * 2.0, axis=1), id="scatter"),
        pytest.param(lambda x, ids: ops.scatter_add(x, ids(3, 3).reshape(1, 2), 2.0, axis=1), id="scatter-add"),
        pytest.param(lambda x, ids: ops.index_add(x, ids(1, 1), x[:2], axis=0), id="index-add"),
        pytest.param(lambda x, ids: ops.segment_mean(x, ids(1, 0, 1), num_segments=2), id="segment-mean"),
        pytest.param(lambda x, ids: ops.set_at(x, [[0, 0]], [[1.5], [2.5]]), id="set-at-lists"),
        pytest.param(lambda x, ids: ops.set_at(x, x > 0.0, 0.0), id="set-at-mask"),
        pytest.param(lambda x, ids: x[x > 0.0], id="mask"),
        pytest.param(lambda x, ids: ops.searchsorted(ops.sort(x[0]), 0.1), id="searchsorted"),
        pytest.param(lambda x, ids: ops.isin(x, x[0]), id="isin"),
        pytest.param(lambda x, ids: ops.isin(ids(1, 2), 2), id="isin-number"),
        pytest.param(lambda x, ids: ops.unique_counts(x > 0.0)[1], id="unique"),
    ],
)
def test_compositions_agree_on_the_stand_in_for_a_gpu(function, strict_cupy):
    """Numbers and lists come to the tensor's device; nothing else moves, and the gradients agree too."""
    array = np.random.default_rng(0).standard_normal((3, 4))
    here, there = Tensor(array, requires_grad=True), Tensor(strict_cupy.asarray(array), requires_grad=True)
    expected = function(here, lambda *values: Tensor(np.array(values)))
    result = function(there, lambda *values: ids(strict_cupy, *values))
    assert (str(result.device), result.dtype) == ("cuda:0", expected.dtype)
    np.testing.assert_allclose(strict_cupy.asnumpy(result.data), expected.data, rtol=1e-14)
    if expected.requires_grad:
        (wanted,), (found,) = grad((expected * expected).sum(), [here]), grad((result * result).sum(), [there])
        np.testing.assert_allclose(strict_cupy.asnumpy(found.data), wanted.data, rtol=1e-13)
