"""The stand-in for CuPy: it has the names that CuPy has, computes what CuPy computes, and refuses what CuPy refuses."""

from __future__ import annotations

import contextlib
import copy
import itertools
import operator
import threading

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from . import cupy_names
from .strict_array import NAMES, StrictArray, UndefinedOnDeviceError
from .strict_cupy import StrictCupy
from .strict_ufunc import dtype_of_char

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [*"?bBhHiIqQefdFD", BFLOAT16]
UFUNCS = [full_name.removeprefix("cupy.") for full_name, entry in NAMES.items() if entry.kind == "ufunc"]


@pytest.fixture
def xp():
    return StrictCupy()


def dense(*shape, dtype="float32"):
    """Distinct numbers, positive and below 1.5."""
    return (np.arange(np.prod(shape, dtype=int)).reshape(shape) / 8 + 0.25).astype(dtype)


# The names.


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy", reason="CuPy is not installed (extra: gpu)")
    if not module.__version__.startswith(cupy_names.VERSION):
        pytest.skip(f"the list is that of CuPy {cupy_names.VERSION}, installed is {module.__version__}")
    return module


def test_the_list_is_that_of_the_installed_cupy(cupy):
    """Remake it with `python tests/core/cupy_names.py > tests/core/cupy_names.txt`."""
    assert cupy_names.cupy_names() == cupy_names.read_names()


OPERANDS = [*(np.zeros((), dtype)[()] for dtype in DTYPES), True, 2, -2, 2**63, 2.5, 1j]


@pytest.mark.parametrize("name", [name for name in UFUNCS if hasattr(np, name)])
def test_a_loop_is_chosen_as_cupy_chooses(cupy, xp, name):
    """For every pair of dtypes, and with Python numbers, which adapt; CuPy resolves loops without a GPU."""
    from cupy._core._scalar import CScalar

    theirs, ours = getattr(cupy, name), getattr(xp, name)
    operands = [(a,) for a in OPERANDS] if ours.nin == 1 else itertools.product(OPERANDS, OPERANDS)
    for pair in operands:
        expected = found = None
        try:
            op = theirs._ops.guess_routine(theirs.name, {}, list(map(CScalar, pair)), None, None)
            expected = [np.dtype(dtype) for dtype in op.in_types + op.out_types]
        except TypeError as exc:
            if "Wrong type" not in str(exc):
                continue  # a loop that is there to fail: NumPy fails too, when it computes
        with contextlib.suppress(TypeError):
            found = [*itertools.chain.from_iterable(ours._loop(list(pair), None))]
        assert found == expected, pair


def test_names_that_cupy_lacks_are_not_there(xp):
    for name in ("asmatrix", "bitwise_or_reduce", "busday_count", "char", "errstate", "nextafter_", "vecdot", "vecmat"):
        with pytest.raises(AttributeError, match=f"module 'cupy' has no attribute '{name}'"):
            getattr(xp, name)
    with pytest.raises(AttributeError, match=r"module 'cupy\.linalg' has no attribute 'multi_dot'"):
        xp.linalg.multi_dot  # noqa: B018
    for name in ("ctypes", "setflags", "newbyteorder", "__index__", "__contains__", "__imatmul__"):
        assert not hasattr(xp.ones(3), name)


def test_random_numbers_are_left_out_on_purpose(xp):
    with pytest.raises(AttributeError, match=r"numbers come from nasturtium\.core\.random"):
        xp.random  # noqa: B018


def test_what_the_stand_in_cannot_do_says_so(xp):
    for call in (lambda: xp.mgrid, lambda: xp.ElementwiseKernel, lambda: xp.cuda.Graph, lambda: xp.ones(3).flat):
        with pytest.raises(NotImplementedError, match="the stand-in does not do"):
            call()


def test_every_method_takes_what_cupys_takes(xp):
    """The method table is complete: each method of CuPy's array is there, or says that it is not."""
    x = xp.ones((2, 2))
    missing = set()
    for full_name in NAMES:
        if full_name.startswith("cupy.ndarray."):
            name = full_name.removeprefix("cupy.ndarray.")
            try:
                getattr(x, name)
            except NotImplementedError:
                missing.add(name)
    assert missing == {
        *("cstruct", "dump", "dumps", "flat", "mdspan", "reduced_view", "toDlpack", "tofile"),
        *("scatter_add", "scatter_max", "scatter_min"),  # deprecated
    }


# What it computes is what NumPy computes.


CALLS = {
    "getitem": lambda xp, x, m: x[1:, ::2],
    "getitem-newaxis": lambda xp, x, m: x[None, ..., 0],
    "getitem-mask": lambda xp, x, m: x[m],
    "getitem-index": lambda xp, x, m: x[xp.argsort(x[:, 0])],
    "operators": lambda xp, x, m: (x + 1) * x / (x - 3) ** 2 // 0.5 % 0.3,
    "reversed-operators": lambda xp, x, m: 1 + 2 * (3 - x) / (1 / x),
    "unary": lambda xp, x, m: -x + abs(-x) - (+x),
    "comparison": lambda xp, x, m: (x > 0.5) & (x <= 1) | ~(x == 0.25) ^ (x != 0.375),
    "matmul": lambda xp, x, m: x @ x.T,
    "where": lambda xp, x, m: xp.where(m, x, 0.0),
    "sum-axis": lambda xp, x, m: xp.sum(x, axis=0, keepdims=True),
    "method-sum": lambda xp, x, m: x.sum(axis=1, dtype="float64"),
    "mean": lambda xp, x, m: x.mean(),
    "max": lambda xp, x, m: x.max(axis=-1),
    "argmax": lambda xp, x, m: xp.argmax(x, axis=1),
    "var": lambda xp, x, m: x.var(axis=0, ddof=1),
    "einsum": lambda xp, x, m: xp.einsum("ij,kj->ik", x, x),
    "tensordot": lambda xp, x, m: xp.tensordot(x, x, axes=((1,), (1,))),
    "concatenate": lambda xp, x, m: xp.concatenate([x, x * 2], axis=1),
    "stack": lambda xp, x, m: xp.stack((x, x)),
    "split": lambda xp, x, m: xp.concatenate(xp.split(x, [1], axis=0)),
    "pad": lambda xp, x, m: xp.pad(x, ((1, 2), (0, 0)), mode="reflect"),
    "take": lambda xp, x, m: xp.take(x, xp.asarray([1, 0]), axis=0),
    "take-along-axis": lambda xp, x, m: xp.take_along_axis(x, xp.argsort(-x, axis=1), axis=1),
    "cumsum": lambda xp, x, m: xp.cumsum(x, axis=1),
    "clip": lambda xp, x, m: xp.clip(x, 0.3, 0.7),
    "method-clip": lambda xp, x, m: x.clip(0.3, None),
    "transpose": lambda xp, x, m: x.transpose(1, 0) + x.transpose((1, 0)),
    "reshape": lambda xp, x, m: x.reshape(-1, 2).reshape((4, -1)),
    "broadcast-to": lambda xp, x, m: xp.broadcast_to(x, (2, *x.shape)),
    "strides": lambda xp, x, m: xp.lib.stride_tricks.as_strided(x, (2, 2), x.strides),
    "windows": lambda xp, x, m: xp.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "sort": lambda xp, x, m: xp.sort(-x, axis=0),
    "unique": lambda xp, x, m: xp.unique(xp.floor(x), return_counts=True)[1],
    "solve": lambda xp, x, m: xp.linalg.solve(x[:, :3] @ x[:, :3].T + xp.eye(3), x[:, :1]),
    "norm": lambda xp, x, m: xp.linalg.norm(x, axis=1),
    "qr": lambda xp, x, m: xp.linalg.qr(x)[0],
    "fft": lambda xp, x, m: xp.abs(xp.fft.rfft(x, axis=1)),
    "divmod": lambda xp, x, m: divmod(x, 0.4)[1],
    "frexp": lambda xp, x, m: xp.frexp(x)[0],
    "outer": lambda xp, x, m: xp.add.outer(x[0], x[1]),
    "reduce": lambda xp, x, m: xp.multiply.reduce(x, axis=1),
    "accumulate": lambda xp, x, m: xp.add.accumulate(x, axis=1),
    "reduceat": lambda xp, x, m: xp.add.reduceat(x, xp.asarray([0, 2]), axis=1),
    "zeros-like": lambda xp, x, m: xp.zeros_like(x) + xp.full((4,), 2, dtype="float32"),
    "copy": lambda xp, x, m: x.copy().ravel(),
    "astype": lambda xp, x, m: (x * 10).astype("int32"),
    "repeat": lambda xp, x, m: x.repeat(2, axis=0),
    "trace": lambda xp, x, m: x.trace() + x.diagonal().prod(),
    "real-imag": lambda xp, x, m: (x * 1j).imag - (x * 1j).real,
    "isclose": lambda xp, x, m: xp.isclose(x, x + 1e-9),
    "searchsorted": lambda xp, x, m: xp.searchsorted(x.ravel(), x[:, 0], side="right"),
    "nonzero": lambda xp, x, m: x.nonzero()[1],
    "bincount": lambda xp, x, m: xp.bincount((x * 4).astype("int64").ravel(), minlength=9),
    "all-any": lambda xp, x, m: m.all(axis=0) ^ m.any(axis=0),
    "meshgrid": lambda xp, x, m: xp.meshgrid(x[0], x[1], indexing="ij")[1],
    "tril": lambda xp, x, m: xp.tril(x) + xp.triu(x, 1),
    "roll": lambda xp, x, m: xp.roll(x, 2, axis=1)[::-1],
    "nan-to-num": lambda xp, x, m: xp.nan_to_num(x / (x - x), posinf=9.0),
    "divide-by-zero": lambda xp, x, m: xp.log(x - x),  # a device does not warn
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_values_and_dtypes_are_numpys(xp, call):
    x = dense(3, 4)
    with np.errstate(all="ignore"):
        expected = call(np, x, x > 0.5)
    got = call(xp, xp.asarray(x), xp.asarray(x > 0.5))
    assert isinstance(got, StrictArray)
    assert (got.shape, got.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(got.get(), expected, rtol=1e-6)


WEAK = st.sampled_from([2, 2.5, True, -3])


@given(st.data(), st.sampled_from(["add", "multiply", "subtract", "divide", "maximum", "less", "hypot", "bitwise_and"]))
@np.errstate(all="ignore")  # complex numbers may be infinite
def test_dtypes_promote_as_numpys(data, name):
    """Arrays with arrays and with Python numbers, which adapt to the array."""
    dtypes = st.sampled_from([np.dtype(char) for char in "?bBhHiIqQefdFD"])
    a = data.draw(hnp.arrays(data.draw(dtypes), (2,), elements={"min_value": 0, "max_value": 1}), label="a")
    b = data.draw(WEAK | dtypes.map(lambda dtype: np.ones(2, dtype)), label="b")
    xp = StrictCupy()
    try:
        expected = getattr(np, name)(a, b)
    except (TypeError, OverflowError):
        return  # CuPy may have a loop where NumPy has none
    given = xp.asarray(b) if isinstance(b, np.ndarray) else b
    assert getattr(xp, name)(xp.asarray(a), given).dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["float16", BFLOAT16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(
    "call",
    [lambda xp, x: x.sum(), lambda xp, x: xp.mean(x), lambda xp, x: xp.matmul(x, x), lambda xp, x: xp.prod(x / x)],
    ids=["sum", "mean", "matmul", "prod"],
)
def test_half_precision_is_accumulated_in_float32(xp, dtype, call):
    """As CuPy's reductions and cuBLAS do; NumPy adds bfloat16 in bfloat16 and gets stuck at 256."""
    x = np.ones(4096, dtype)
    got = call(xp, xp.asarray(x))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.get(), np.asarray(call(np, x.astype("float32"))).astype(dtype))


def test_bfloat16_has_the_loops_that_cupy_has(xp):
    x = xp.ones(3, dtype=BFLOAT16)
    for name in ("add", "exp", "maximum", "tanh"):
        ufunc = getattr(xp, name)
        assert ufunc(*[x] * ufunc.nin).dtype == BFLOAT16
    assert xp.matmul(x, x, out=xp.empty((), dtype=BFLOAT16)).get() == 3
    for call in (xp.argmax, xp.sort, xp.argsort):
        with pytest.raises(TypeError, match="no loop for bfloat16"):
            call(x)


# What it refuses.


REFUSED = {
    "sum-where": (lambda xp, x: xp.sum(x, where=x > 0), "unexpected keyword argument 'where'"),
    "sum-initial": (lambda xp, x: x.sum(initial=1.0), "unexpected keyword argument 'initial'"),
    "max-initial": (lambda xp, x: xp.max(x, initial=0.0), "unexpected keyword argument 'initial'"),
    "ufunc-where": (lambda xp, x: xp.add(x, x, where=x > 0), "Wrong arguments"),
    "ufunc-order": (lambda xp, x: xp.exp(x, order="C"), "Wrong arguments"),
    "clip-min": (lambda xp, x: xp.clip(x, min=0), "missing a required argument"),
    "zeros-device": (lambda xp, x: xp.zeros(3, device="cpu"), "unexpected keyword argument 'device'"),
    "take-mode": (lambda xp, x: xp.take(x, 0, mode="clip"), "unexpected keyword argument 'mode'"),
    "astype-casting": (lambda xp, x: x.astype("int64", casting="safe"), "not supported yet"),
    "einsum-out": (lambda xp, x: xp.einsum("ij->i", x, out=x), "unexpected keyword argument 'out'"),
    "svd-hermitian": (lambda xp, x: xp.linalg.svd(x, hermitian=True), "unexpected keyword argument 'hermitian'"),
    "unique-sorted": (lambda xp, x: xp.unique(x, sorted=True), "unexpected keyword argument 'sorted'"),
    "item-index": (lambda xp, x: x.item(0), "takes 1 positional argument"),
    "as-strided-writeable": (
        lambda xp, x: xp.lib.stride_tricks.as_strided(x, writeable=False),
        "unexpected keyword argument 'writeable'",
    ),
    "complex-logical-not": (lambda xp, x: xp.logical_not(x * 1j), "Wrong type"),
    "float-and": (lambda xp, x: x & x, "Wrong type"),
    "out-dtype": (lambda xp, x: xp.add(x, x, out=xp.zeros(x.shape, "int64")), "Cannot cast output"),
    "list-operand": (lambda xp, x: operator.add(x, [1.0, 2.0]), "Unsupported type <class 'list'>"),
    "list-index": (lambda xp, x: x[[0, 1]], "copied to the device each time"),
    "array-bound": (lambda xp, x: x[: xp.asarray(1)], "cannot be interpreted as an integer"),
    "array-range": (lambda xp, x: range(xp.asarray(3)), "cannot be interpreted as an integer"),
    "fill": (lambda xp, x: x.fill(np.ones(())), "Unsupported type"),
    "hash": (lambda xp, x: hash(x), "unhashable"),
    "pickle": (lambda xp, x: x.__reduce__(), "cannot be pickled"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cupy_does_not_take_is_refused(xp, call, message):
    with pytest.raises(TypeError, match=message):
        call(xp, xp.asarray(dense(2, 2)))


MIXED = {
    "add": lambda xp, x, h: x + h,
    "radd": lambda xp, x, h: h + x,
    "iadd": lambda xp, x, h: operator.iadd(x, h),
    "numpy-iadd": lambda xp, x, h: operator.iadd(h, x),
    "compare": lambda xp, x, h: x < h,
    "matmul": lambda xp, x, h: x @ h,
    "rmatmul": lambda xp, x, h: h @ x,
    "ufunc": lambda xp, x, h: xp.maximum(x, h),
    "numpy-ufunc": lambda xp, x, h: np.maximum(x, h),
    "out": lambda xp, x, h: xp.exp(x, out=h),
    "numpy-out": lambda xp, x, h: np.exp(x, out=h),
    "function": lambda xp, x, h: xp.sum(h),
    "numpy-function": lambda xp, x, h: np.concatenate([x, h]),
    "sequence": lambda xp, x, h: xp.concatenate([x, h]),
    "where": lambda xp, x, h: xp.where(h > 0, x, x),
    "index": lambda xp, x, h: x[h > 0],
    "setitem": lambda xp, x, h: operator.setitem(x, ..., h),
    "setitem-index": lambda xp, x, h: operator.setitem(x, h > 0, 0.0),
    "take": lambda xp, x, h: xp.take(x, np.array([0])),
    "ascontiguousarray": lambda xp, x, h: xp.ascontiguousarray(h),
}


@pytest.mark.parametrize("call", MIXED.values(), ids=MIXED)
def test_arrays_of_the_host_do_not_mix(xp, call):
    host = dense(2, 2)
    with pytest.raises(TypeError):
        call(xp, xp.asarray(host), host)


@pytest.mark.parametrize("convert", [np.asarray, np.array, np.ascontiguousarray, memoryview, np.float64])
def test_an_array_never_becomes_one_of_numpy_by_itself(xp, convert):
    with pytest.raises(TypeError, match=r"Implicit conversion|bytes-like|zero-dimensional|must be"):
        convert(xp.ones(2))


def test_numbers_of_python_and_numpy_are_welcome(xp):
    x = xp.asarray(dense(2))
    for number in (2, 2.0, np.float32(2), np.float64(2).astype("float32")):
        assert (number * x + number).dtype == np.float32
    assert (np.float64(2) * x).dtype == np.float64
    assert np.sqrt(x) is not None
    assert isinstance(np.sum(x), StrictArray)  # NumPy's functions on CuPy's arrays are CuPy's
    assert isinstance(np.linalg.norm(x), StrictArray)


def test_a_result_without_axes_is_still_an_array(xp):
    x = xp.asarray(dense(2, 2))
    for result in (x[0, 0], x.sum(), xp.max(x), xp.dot(x[0], x[0]), xp.allclose(x, x), xp.count_nonzero(x), x[0][0]):
        assert isinstance(result, StrictArray)
        assert result.shape == ()
    assert float(x.sum()) == x.sum().item() == 1.75
    assert int(xp.count_nonzero(x)) == 4
    assert bool(xp.array_equal(x, x))
    assert complex(x[0, 0]) == 0.25
    for call in (bool, float):
        with pytest.raises((TypeError, ValueError)):
            call(x)
    with pytest.raises(TypeError, match="0-d"):
        iter(x[0, 0])
    with pytest.raises(TypeError, match="unsized"):
        len(x[0, 0])


def test_questions_about_arrays_are_answered_on_the_host(xp):
    x = xp.asarray(dense(2, 2))
    assert xp.result_type(x, np.float64) == np.float64
    assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert xp.shape(x) == (2, 2)
    assert xp.size(x, 1) == xp.ndim(x) == 2
    assert xp.isscalar(2) is True
    assert xp.finfo(x.dtype).eps == np.finfo("float32").eps
    assert xp.float32 is np.float32
    assert xp.newaxis is None
    assert xp.pi == np.pi


# Memory.


def test_asarray_copies_from_the_host_and_shares_on_the_device(xp):
    host = dense(3)
    x = xp.asarray(host)
    host[:] = 0
    assert x.get().all()
    assert xp.asarray(x) is x
    assert xp.ascontiguousarray(x) is x
    assert xp.array(x) is not x
    y = x.get()
    y[:] = 0
    assert x.get().all()
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        xp.asarray(host, copy=False)


def test_nested_sequences_of_arrays_are_stacked(xp):
    x = xp.asarray(dense(2))
    np.testing.assert_array_equal(xp.asarray([[x, x], [x, 2 * x]]).get()[1, 1], 2 * dense(2))


def test_views_share_and_out_is_returned(xp):
    x = xp.zeros((2, 3))
    x[0][1] += 5
    x.T[2] = 7
    x.reshape(-1)[0] = 1
    np.testing.assert_array_equal(x.get(), [[1, 5, 7], [0, 0, 7]])
    out = xp.empty((2, 3))
    assert xp.add(x, 1, out=out) is out
    assert xp.sum(x, axis=0, out=out[0]).data.ptr == out.data.ptr
    assert out[1].data.ptr == out.data.ptr + out.strides[0]


@pytest.mark.parametrize("dtype", ["O", "U3", "M8[s]"])
def test_dtypes_without_numbers_are_refused(xp, dtype):
    with pytest.raises(ValueError, match="Unsupported dtype"):
        xp.asarray(np.zeros(2, dtype))


def test_layout_is_told_as_cupy_tells_it(xp):
    x = xp.ones((2, 3), dtype="float32")
    assert (x.flags.c_contiguous, x.T.flags.c_contiguous, x.T.flags.f_contiguous) == (True, False, True)
    assert x.flags["OWNDATA"]
    interface = x.T.__cuda_array_interface__
    assert interface["shape"] == (3, 2)
    assert interface["strides"] == (4, 12)
    assert interface["data"] == (x.data.ptr, False)
    assert x.__dlpack_device__() == (2, 0)
    assert copy.deepcopy(x).data.ptr != x.data.ptr


# Indices.


def test_indices_out_of_bounds_wrap_around(xp):
    """CuPy does not look: a kernel that raised would have to wait. So the library must check, or not care."""
    x = xp.arange(3)
    np.testing.assert_array_equal(x[xp.asarray([1, 3, -4])].get(), [1, 0, 2])
    np.testing.assert_array_equal(xp.take(x, xp.asarray([4])).get(), [1])
    x[xp.asarray([4])] = 9
    np.testing.assert_array_equal(x.get(), [0, 9, 2])
    np.testing.assert_array_equal(xp.take_along_axis(x, xp.asarray([5]), axis=0).get(), [2])
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0]
    with pytest.raises(IndexError, match="integer or boolean"):
        x[x * 1.0]


def test_which_of_several_writes_to_one_place_stays_is_undefined(xp):
    x, places = xp.zeros(3), xp.asarray([0, 1, 0])
    with pytest.raises(UndefinedOnDeviceError, match="which one stays"):
        x[places] = xp.arange(3.0)
    with pytest.raises(UndefinedOnDeviceError, match="which one stays"):
        xp.put_along_axis(x, places, xp.arange(3.0), 0)
    x[places] = 4.0  # the same value
    np.testing.assert_array_equal(x.get(), [4, 4, 0])


def test_floats_added_in_one_place_have_no_fixed_order(xp):
    x, places = xp.zeros(3, dtype="float32"), xp.asarray([0, 1, 0])
    with pytest.raises(UndefinedOnDeviceError, match="no fixed order"):
        xp.add.at(x, places, xp.ones(3, dtype="float32"))
    with pytest.raises(UndefinedOnDeviceError, match="no fixed order"):
        xp.bincount(places, weights=xp.ones(3))
    xp.add.at(x, places[:2], 1.0)
    counts = xp.zeros(3, dtype="int64")
    xp.add.at(counts, places, 1)
    np.testing.assert_array_equal(x.get(), [1, 1, 0])
    np.testing.assert_array_equal(counts.get(), [2, 1, 0])
    maxima = xp.zeros(3, dtype="float32")
    xp.maximum.at(maxima, places, xp.asarray(dense(3)))
    np.testing.assert_array_equal(maxima.get(), [0.5, 0.375, 0])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda xp: xp.add.at(xp.zeros(2, dtype="int8"), xp.asarray([0]), 1), TypeError),
        (lambda xp: xp.multiply.at(xp.zeros(2), xp.asarray([0]), 1), NotImplementedError),
        (lambda xp: xp.maximum.reduce(xp.zeros(2)), NotImplementedError),
        (lambda xp: xp.maximum.accumulate(xp.zeros(2)), NotImplementedError),
        (lambda xp: xp.multiply.reduceat(xp.zeros(2), xp.asarray([0])), NotImplementedError),
        (lambda xp: xp.pad(xp.zeros(2), 1, mode="median"), ValueError),
        (lambda xp: xp.sort(xp.zeros(2), kind="quicksort"), ValueError),
        (lambda xp: xp.zeros((2, 2)).T.sort(), NotImplementedError),
        (lambda xp: xp.nonzero(xp.zeros(())), ValueError),
        (lambda xp: xp.apply_along_axis(sum, 0, xp.zeros(2)), NotImplementedError),
    ],
)
def test_what_cupy_has_not_done_yet(xp, call, error):
    with pytest.raises(error):
        call(xp)


def test_a_singular_matrix_gives_no_error_but_no_number(xp):
    """cuSOLVER tells it in a status that CuPy does not read by default."""
    singular = xp.zeros((2, 2, 2))
    for result in (xp.linalg.inv(singular), xp.linalg.solve(singular, xp.ones((2, 2, 1)))):
        assert np.isnan(result.get()).all()
    assert np.isnan(xp.linalg.cholesky(-xp.eye(2)).get()).all()
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        xp.linalg.inv(xp.zeros((2, 3)))


# Devices.


def test_arrays_live_where_they_were_made(xp):
    x = xp.ones(2)
    with xp.cuda.Device(1):
        y = xp.ones(2)
        with xp.cuda.Device(0):
            assert xp.zeros(1).device.id == 0
        assert xp.cuda.Device().id == 1
    assert (x.device.id, y.device.id) == (0, 1)
    assert y.device == xp.cuda.Device(1)
    assert xp.cuda.runtime.getDeviceCount() == 2
    for call in (lambda: x + y, lambda: y + 1, lambda: xp.sum(y), lambda: y.sum(), lambda: x.__setitem__(0, y[0])):
        with pytest.raises(ValueError, match="different from the current device"):
            call()
    z = xp.asarray(y)  # the way to move
    assert z.device.id == 0
    assert y[0].device.id == y.T.device.id == 1
    np.testing.assert_array_equal(y.get(), z.get())


def test_an_unknown_device_is_refused(xp):
    with pytest.raises(RuntimeError, match="invalid device ordinal"), xp.cuda.Device(2):
        pass
    assert xp.cuda.Device().id == 0


def test_the_current_device_is_a_threads_own(xp):
    seen = []
    with xp.cuda.Device(1):
        thread = threading.Thread(target=lambda: seen.append(xp.cuda.Device().id))
        thread.start()
        thread.join()
    assert seen == [0]


def test_which_module_an_array_is_of(xp):
    assert xp.get_array_module(1.0, xp.ones(2)) is xp
    assert xp.get_array_module(np.ones(2)) is np
    assert isinstance(xp.ones(2), xp.ndarray)
    assert isinstance(xp.add, xp.ufunc)


# Kernels.


@pytest.fixture
def raw(xp):
    """A kernel and what it was called with."""
    seen = []
    xp.references["code", "f", ()] = lambda *args: seen.append(args)
    return xp.RawKernel("code", "f"), seen


def test_a_kernel_runs_its_reference_on_the_memory_of_its_arrays(xp, raw):
    kernel, seen = raw
    x = xp.zeros(3)
    kernel((1,), (32,), (x, np.int32(3), None), shared_mem=8)
    ((array, number, null),) = seen
    array[:] = number
    np.testing.assert_array_equal(x.get(), [3, 3, 3])
    assert null is None
    assert (xp.launches[0].name, xp.launches[0].shared_mem) == ("f", 8)


@pytest.mark.parametrize("argument", [3, 3.0, np.ones(1), "x"])
def test_a_kernel_is_told_how_wide_its_numbers_are(raw, argument):
    kernel, _ = raw
    with pytest.raises(UndefinedOnDeviceError, match="a NumPy scalar says how wide it is"):
        kernel((1,), (32,), (argument,))


def test_a_kernel_does_not_look_where_its_arrays_are(xp, raw):
    kernel, _ = raw
    x = xp.ones(1)
    with xp.cuda.Device(1), pytest.raises(UndefinedOnDeviceError, match="another device"):
        kernel((1,), (32,), (x,))


def test_a_kernel_without_a_reference_says_so(xp):
    with pytest.raises(LookupError, match="'g' has no reference here"):
        xp.RawKernel("code", "g")((1,), (1,), ())


@pytest.mark.parametrize(("grid", "block"), [((0,), (1,)), ((1,), (1025,)), ((1, 65536), (1,)), ((1,), (1, 1, 65))])
def test_a_launch_no_device_does_fails(raw, grid, block):
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
        raw[0](grid, block, ())


def test_loops_name_bfloat16_by_a_letter_of_its_own():
    assert dtype_of_char("E") == BFLOAT16
    assert dtype_of_char("e") == np.float16
