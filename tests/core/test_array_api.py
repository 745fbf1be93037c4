"""The Python Array API over tensors: names and signatures, dtype rules, special values, creation, inspection."""

from __future__ import annotations

import cmath
import inspect
import math
import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import (
    BoundsError,
    ConfigError,
    DeviceError,
    DTypeError,
    MissingExtraError,
    ShapeError,
    Tensor,
    device,
    grad,
    jvp,
    vmap,
)
from nasturtium.core import array_api as xp

# One line per function, from the stubs of https://github.com/data-apis/array-api, without annotations.
SIGNATURES = Path(__file__).with_name("array_api_signatures.txt").read_text().splitlines()
INF, NAN = math.inf, math.nan


def values(result) -> np.ndarray:
    """The elements of a tensor."""
    assert isinstance(result, Tensor)
    return result.data


def same(actual, expected) -> bool:
    """Equal bit for bit but for NaN: zeros have signs."""
    actual, expected = complex(actual), complex(expected)
    return all(
        (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
        for a, b in ((actual.real, expected.real), (actual.imag, expected.imag))
    )


# Names and signatures


@pytest.mark.parametrize("line", SIGNATURES, ids=lambda line: line.partition("(")[0])
def test_signatures_are_the_standards(line):
    name, _, rest = line.partition("(")
    function = operator.attrgetter(name)(xp)
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    shown = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    assert shown.replace(" ", "") == f"({rest}".replace(" ", "")
    assert function.__doc__


def test_the_namespace_is_complete():
    assert len(SIGNATURES) == 135 + 25 + 14
    for name in ("e", "inf", "nan", "newaxis", "pi", "__array_namespace_info__", "__array_api_version__"):
        assert hasattr(xp, name)
    assert set(xp.__all__) <= set(dir(xp))


def test_sixteen_bits_are_there_too():
    assert xp.zeros(2, dtype=xp.float16).dtype == "float16"
    assert xp.zeros(2, dtype=xp.bfloat16).dtype.name == "bfloat16"
    with pytest.raises(AttributeError, match="float8"):
        _ = xp.float8


def test_a_tensor_knows_its_namespace():
    x = Tensor([1.0])
    assert x.__array_namespace__() is xp
    assert x.__array_namespace__(api_version="2025.12") is xp
    with pytest.raises(ConfigError, match=r"'2020\.01' is not implemented"):
        x.__array_namespace__(api_version="2020.01")


# Dtypes of results

NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64"]


@pytest.mark.parametrize("second", NUMBERS)
@pytest.mark.parametrize("first", NUMBERS)
def test_arithmetic_promotes_as_numpy_does(first, second):
    expected = np.promote_types(first, second)
    a, b = xp.ones(2, dtype=first), xp.ones(3, dtype=second)
    assert xp.add(a[0], b).dtype == xp.result_type(a, b) == xp.result_type(b.dtype, a.dtype) == expected
    assert xp.can_cast(a, second) == (expected == second)


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        pytest.param("bool", True, "bool", id="bool"),
        pytest.param("bool", 1, "int64", id="bool, int"),
        pytest.param("int8", 1, "int8", id="int8, int"),
        pytest.param("uint16", 1.5, "float32", id="uint16, float"),
        pytest.param("int64", 1.5, "float32", id="int64, float"),
        pytest.param("int32", 1j, "complex64", id="int32, complex"),
        pytest.param("float16", 1.5, "float16", id="float16, float"),
        pytest.param("bfloat16", 1.5, "bfloat16", id="bfloat16, float"),
        pytest.param("float32", 1, "float32", id="float32, int"),
        pytest.param("float32", 1j, "complex64", id="float32, complex"),
        pytest.param("float64", 1j, "complex128", id="float64, complex"),
        pytest.param("complex64", 1.5, "complex64", id="complex64, float"),
    ],
)
def test_a_python_number_takes_the_dtype_of_the_tensor(dtype, number, expected):
    x = xp.ones(2, dtype=dtype)
    for function in (xp.multiply, xp.add) if dtype != "bool" else (xp.logical_or,):
        wanted = "bool" if function is xp.logical_or else expected
        assert function(x, number).dtype.name == wanted
        assert function(number, x).dtype.name == wanted
    assert xp.result_type(x, number).name == xp.result_type(number, x.dtype).name == expected


@pytest.mark.parametrize(
    ("function", "dtype", "expected"),
    [
        *((name, "int8", "int64") for name in ("sum", "prod", "cumulative_sum", "cumulative_prod")),
        *((name, "uint8", "uint64") for name in ("sum", "prod", "cumulative_sum", "cumulative_prod")),
        *((name, "bool", "int64") for name in ("sum", "prod", "count_nonzero")),
        *((name, "float16", "float16") for name in ("sum", "prod", "mean", "var", "std", "cumulative_sum", "max")),
        *((name, "complex64", "complex64") for name in ("sum", "prod", "mean", "cumulative_prod")),
        *((name, "complex64", "float32") for name in ("abs", "real", "imag", "var", "std")),
        *((name, "int16", "float32") for name in ("mean", "var", "sin", "sqrt", "expm1", "reciprocal", "log2")),
        *((name, "int16", "int16") for name in ("ceil", "floor", "round", "trunc", "sign", "square", "max", "abs")),
        *((name, "int16", "bool") for name in ("isfinite", "isinf", "isnan", "signbit", "all", "any", "logical_not")),
    ],
)
def test_the_dtype_of_a_result(function, dtype, expected):
    assert getattr(xp, function)(xp.ones(3, dtype=dtype)).dtype == expected


@pytest.mark.parametrize("name", ["sum", "prod", "cumulative_sum", "cumulative_prod"])
def test_an_accumulation_is_taken_in_the_dtype_asked_for(name):
    x = xp.asarray([200, 100], dtype="uint8")
    wrapped = getattr(np, {"cumulative_sum": "cumsum", "cumulative_prod": "cumprod"}.get(name, name))(
        x.data, dtype="uint8"
    )
    result = getattr(xp, name)(x, dtype="uint8")
    assert result.dtype == "uint8"
    np.testing.assert_array_equal(values(result), wrapped)
    assert getattr(xp, name)(xp.asarray([1.5]), dtype="float64").dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_accumulated_in_single(dtype):
    ones = xp.ones(4096, dtype=dtype)
    assert float(xp.sum(ones)) == 4096.0
    assert float(xp.mean(ones)) == 1.0
    assert float(xp.cumulative_sum(ones)[-1]) == 4096.0


PAIRWISE = (
    *("less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "atan2", "hypot"),
    *("floor_divide", "remainder", "logaddexp", "copysign", "nextafter"),
)
ALONE = ("max", "min", "floor", "ceil", "trunc", "signbit")


@pytest.mark.parametrize(
    "call",
    [
        *(pytest.param(lambda x, n=n: getattr(xp, n)(x, x), id=n) for n in PAIRWISE),
        *(pytest.param(lambda x, n=n: getattr(xp, n)(x, 0.0), id=f"{n} of a number") for n in PAIRWISE),
        *(pytest.param(lambda x, n=n: getattr(xp, n)(x), id=n) for n in ALONE),
        pytest.param(lambda x: xp.clip(x, min=0.0), id="clip"),
        pytest.param(lambda x: x < 1j, id="a complex number"),
        pytest.param(lambda x: xp.astype(x, xp.float32), id="astype"),
        pytest.param(lambda x: xp.asarray(x, dtype=xp.float32), id="asarray"),
        pytest.param(lambda x: xp.asarray([1j], dtype=xp.float32), id="asarray of a list"),
        pytest.param(lambda x: xp.sum(x, dtype=xp.int64), id="sum"),
        pytest.param(lambda x: xp.full(2, 1j, dtype=xp.float32), id="full"),
    ],
)  # fmt: skip
def test_complex_numbers_have_no_order_and_lose_no_part(call):
    with pytest.raises(DTypeError, match=r"complex|expected real"):
        call(xp.asarray([1 + 2j, 3.0]))


@pytest.mark.parametrize(
    "name", ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"]
)
def test_floats_have_no_bits(name):
    with pytest.raises(DTypeError, match=f"{name}: expected integers"):
        getattr(xp, name)(xp.asarray([1.5]), xp.asarray([1]))


def test_an_integer_to_a_negative_power_is_refused():
    with pytest.raises(DTypeError, match="negative"):
        xp.pow(xp.asarray([2, 3]), -1)
    with pytest.raises(DTypeError, match="negative"):
        xp.pow(xp.asarray([2, 3]), xp.asarray([1, -1]))
    assert xp.pow(xp.asarray([2.0, 4.0]), -1).tolist() == [0.5, 0.25]


# Special values that NumPy does not have, or that are easily lost


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("expm1", (complex(-0.0, 0.0),), 0j),
        ("expm1", (complex(INF, 0.0),), complex(INF, 0.0)),
        ("expm1", (complex(-INF, INF),), complex(-1.0, 0.0)),
        ("expm1", (complex(NAN, 0.0),), complex(NAN, 0.0)),
        ("tanh", (complex(INF, 2.0),), complex(1.0, 0.0)),
        ("tanh", (complex(-INF, -2.0),), complex(-1.0, -0.0)),
        ("sign", (complex(-0.0, 0.0),), 0j),
        ("sign", (complex(3.0, -4.0),), complex(0.6, -0.8)),
        ("floor_divide", (INF, 2.0), INF),
        ("floor_divide", (-INF, 2.0), -INF),
        ("floor_divide", (1.0, -INF), -0.0),
        ("floor_divide", (-1.0, INF), -0.0),
        ("floor_divide", (INF, INF), NAN),
        ("remainder", (-1.0, 3.0), 2.0),
        ("remainder", (1.0, -3.0), -2.0),
        ("copysign", (3.0, -0.0), -3.0),
        ("logaddexp", (-INF, -INF), -INF),
        ("hypot", (INF, NAN), INF),
        ("nextafter", (0.0, -1.0), -5e-324),
        ("round", (2.5,), 2.0),
        ("round", (-0.4,), -0.0),
        ("trunc", (-0.5,), -0.0),
    ],
    ids=lambda value: str(value),
)
def test_special_values(name, arguments, expected):
    """One element, and one among others."""
    dtype = "complex128" if any(isinstance(argument, complex) for argument in arguments) else "float64"
    for shape in ((), (3,)):
        given_ = [xp.full(shape, argument, dtype=dtype) for argument in arguments]
        result = getattr(xp, name)(*given_)
        assert result.shape == shape
        for element in values(result).ravel():
            assert (
                abs(element - expected) < 1e-15
                if cmath.isfinite(expected) and expected.imag
                else same(element, expected)
            )


def test_complex_expm1_is_exact_near_zero():
    z = 1e-12 + 1e-12j
    assert complex(xp.expm1(xp.asarray(z, dtype="complex128"))) == pytest.approx(z + z * z / 2, rel=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_nextafter_goes_to_the_neighbour_in_the_same_dtype(dtype):
    one = xp.ones((), dtype=dtype)
    above = xp.nextafter(one, xp.asarray(2.0, dtype=dtype))
    assert above.dtype == one.dtype
    assert float(above) == 1.0 + xp.finfo(dtype).eps
    assert float(xp.nextafter(one, one)) == 1.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_a_shift_by_more_than_the_width_leaves_nothing(dtype):
    bits = xp.iinfo(dtype).bits
    x = xp.asarray([1, 3, xp.iinfo(dtype).max, xp.iinfo(dtype).min], dtype=dtype)
    for places in (bits - 1, bits, bits + 1, 100):
        left = xp.bitwise_left_shift(x, places)
        right = xp.bitwise_right_shift(x, xp.full((), places, dtype=dtype))
        assert [int(v) for v in values(left)] == [_wrapped(int(v) << places, dtype) for v in values(x)]
        assert [int(v) for v in values(right)] == [int(v) >> places for v in values(x)]


def _wrapped(number: int, dtype: str) -> int:
    return int(np.array(number % 2 ** xp.iinfo(dtype).bits, np.uint64).astype(dtype))


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=8),
    st.integers(-9, 9).filter(bool),
    st.sampled_from(["int64", "float64"]),
)
def test_quotient_and_remainder_make_up_the_number(numbers, divisor, dtype):
    x = xp.asarray(numbers, dtype=dtype)
    quotient, rest = x // divisor, x % divisor
    assert (quotient * divisor + rest).tolist() == numbers
    assert [int(q) for q in values(quotient)] == [n // divisor for n in numbers]


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=8))
def test_differences_undo_running_sums(numbers):
    x = xp.asarray(numbers)
    sums = xp.cumulative_sum(x, include_initial=True)
    assert int(sums[-1]) == int(xp.sum(x))
    assert xp.diff(sums).tolist() == numbers


# Operators


def test_operators_are_the_functions():
    a, b = xp.asarray([7, -7]), xp.asarray([2, 3])
    assert (a // b).tolist() == [3, -3]
    assert (a % b).tolist() == [1, 2]
    assert (a & b).tolist() == [2, 1]
    assert (a | b).tolist() == [7, -5]
    assert (a ^ b).tolist() == [5, -6]
    assert (a << 1).tolist() == [14, -14]
    assert (a >> 1).tolist() == [3, -4]
    assert (~a).tolist() == [-8, 6]
    assert (+a).tolist() == [7, -7]
    assert (17 // b).tolist() == [8, 5]
    assert (17 % b).tolist() == [1, 2]
    assert (6 & b).tolist() == [2, 2]
    assert (1 << b).tolist() == [4, 8]
    assert (~xp.asarray([True, False])).tolist() == [False, True]


def test_an_operator_in_place_gives_the_name_a_new_value():
    x = y = xp.asarray([1, 2])
    x += 1
    x //= 2
    x <<= 3
    assert x.tolist() == [8, 8]
    assert y.tolist() == [1, 2]


def test_to_device_is_to():
    x = Tensor([1.0])
    assert x.to_device("cpu").tolist() == [1.0]
    assert xp.asarray(x, device=x.device) is x
    with pytest.raises(ConfigError, match="stream=None"):
        x.to_device("cpu", stream=7)


# Gradients


def test_code_for_the_standard_has_gradients():
    def distance(a, b):
        space = a.__array_namespace__()
        return space.sqrt(space.sum(space.square(a - b)))

    gradient = grad(distance)(Tensor([0.0, 3.0]), Tensor([4.0, 0.0]))
    np.testing.assert_allclose(values(gradient), [-0.8, 0.6], rtol=1e-6)


@pytest.mark.parametrize("name", ["prod", "cumulative_prod"])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_have_gradients_at_zero(name, zeros):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    array = np.random.default_rng(3).standard_normal((2, 5))
    array[:, :zeros] = 0.0
    weights = np.random.default_rng(4).standard_normal((2, 5) if name == "cumulative_prod" else (2,))
    gradient = grad(lambda x: xp.sum(getattr(xp, name)(x, axis=1) * weights))(Tensor(array))
    theirs = torch.tensor(array, requires_grad=True)
    function = {"prod": torch.prod, "cumulative_prod": torch.cumprod}[name]
    (function(theirs, dim=1) * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(values(gradient), theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_a_constant_has_a_standard_deviation_with_gradient_zero():
    assert grad(lambda x: xp.std(x))(Tensor([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_minus_infinity_twice_has_no_gradient_of_nan():
    a = xp.full(2, -INF)
    assert grad(lambda x: xp.sum(xp.logaddexp(x, a)))(a).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["atan2", "hypot"])
def test_the_origin_has_gradient_zero(name):
    zero = xp.zeros(2)
    assert grad(lambda x: xp.sum(getattr(xp, name)(x, zero)))(zero).tolist() == [0.0, 0.0]


def test_clip_lets_gradients_through_inside_its_bounds():
    x = Tensor([-2.0, 0.5, 2.0])
    assert grad(lambda t: xp.sum(xp.clip(t, -1.0, 1.0)))(x).tolist() == [0.0, 1.0, 0.0]
    low = Tensor([0.0, 1.0, 0.0])
    assert grad(lambda t: xp.sum(xp.clip(x, min=t)))(low).tolist() == [1.0, 1.0, 0.0]


def test_clip_keeps_the_dtype():
    x = xp.asarray([-3, 0, 3], dtype="int8")
    assert xp.clip(x, -1.5, 1.5).tolist() == [-1, 0, 1]
    assert xp.clip(x, -INF, xp.asarray(1.0)).tolist() == [-3, 0, 1]
    assert xp.clip(x, min=xp.asarray([0, 1, 2])).dtype == "int8"
    assert math.isnan(xp.clip(xp.asarray(NAN), 0.0, 1.0).item())
    copy = xp.clip(x)
    assert copy is not x
    assert copy.tolist() == x.tolist()


def test_variance_divides_by_what_it_is_told():
    x = np.random.default_rng(0).standard_normal((3, 4))
    for correction in (0, 1, 1.5):
        expected = np.sum((x - x.mean(1, keepdims=True)) ** 2, 1) / (4 - correction)
        np.testing.assert_allclose(values(xp.var(Tensor(x), axis=1, correction=correction)), expected, rtol=1e-12)
    assert math.isnan(xp.var(xp.ones(2), correction=2).item())
    np.testing.assert_allclose(values(xp.var(Tensor(x + 1j * x))), 2 * x.var(), rtol=1e-12)


# Beside PyTorch

PAIRS = {
    **{name: name for name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh")},
    **{
        name: name
        for name in ("exp", "expm1", "log1p", "square", "reciprocal", "abs", "negative", "sign", "sqrt", "log")
    },
    **{
        name: name
        for name in ("log2", "log10", "acosh", "atan2", "hypot", "logaddexp", "copysign", "maximum", "minimum")
    },
    **{name: name for name in ("remainder", "pow", "divide", "multiply", "subtract")},
}
LARGE, POSITIVE = {"acosh"}, {"sqrt", "log", "log2", "log10", "pow", "reciprocal"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_those_of_pytorch(name, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    rng = np.random.default_rng(7)
    count = len(inspect.signature(getattr(xp, name)).parameters)
    drawn = [rng.uniform(0.1, 0.9, (3, 4)) * rng.choice([-1, 1], (3, 4)) for _ in range(count)]
    if name in LARGE | POSITIVE:
        drawn = [np.abs(array) + (1.0 if name in LARGE else 0.0) for array in drawn]
    drawn = [array.astype(dtype) for array in drawn]
    ours = [Tensor(array, requires_grad=True) for array in drawn]
    theirs = [torch.tensor(array, requires_grad=True) for array in drawn]
    result, expected = getattr(xp, name)(*ours), getattr(torch, PAIRS[name])(*theirs)
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(values(result), expected.detach().numpy(), **tolerance)
    if name == "sign":
        return
    xp.sum(result).backward()
    expected.sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        gradient = np.zeros_like(drawn[0]) if mine.grad is None else values(mine.grad)
        if name == "copysign" and mine is ours[1]:
            continue  # PyTorch says 0, we say there is none
        np.testing.assert_allclose(gradient, other.grad.numpy(), **tolerance)


# Transformations


def test_the_functions_run_inside_transformations():
    x = Tensor(np.random.default_rng(1).standard_normal((3, 4)))

    def function(row):
        return xp.sum(xp.tril(xp.clip(row, -0.5, 0.5) * xp.ones((4, 4), dtype=row.dtype)), axis=-1)

    loop = np.stack([values(function(row)) for row in x])
    np.testing.assert_allclose(values(vmap(function)(x)), loop)
    value, tangent = jvp(function, (x[0],), (xp.ones_like(x[0]),))
    np.testing.assert_allclose(values(value), loop[0])
    assert tangent.shape == value.shape


# Creation


@pytest.mark.parametrize(
    ("arguments", "params", "dtype", "expected"),
    [
        pytest.param((4,), {}, "int64", [0, 1, 2, 3], id="stop"),
        pytest.param((1, 4), {}, "int64", [1, 2, 3], id="start, stop"),
        pytest.param((4, 0, -2), {}, "int64", [4, 2], id="down"),
        pytest.param((3, 1), {}, "int64", [], id="empty"),
        pytest.param((1, 2, 0.5), {}, "float32", [1.0, 1.5], id="floats"),
        pytest.param((3,), {"dtype": "bfloat16"}, "bfloat16", [0.0, 1.0, 2.0], id="bfloat16"),
        pytest.param((250, 256), {"dtype": "uint8"}, "uint8", [250, 251, 252, 253, 254, 255], id="to the limit"),
        pytest.param((2**63, 2**63 + 2), {"dtype": "uint64"}, "uint64", [2**63, 2**63 + 1], id="uint64"),
    ],
)
def test_arange(arguments, params, dtype, expected):
    result = xp.arange(*arguments, **params)
    assert result.dtype.name == dtype
    assert result.tolist() == expected


def test_arange_and_linspace_are_computed_in_64_bits():
    np.testing.assert_array_equal(values(xp.arange(0, 10_000, 0.1)), np.arange(0, 10_000, 0.1).astype("float32"))
    np.testing.assert_array_equal(values(xp.linspace(0, 1, 977)), np.linspace(0, 1, 977).astype("float32"))
    assert xp.linspace(0, 1j, 3).tolist() == [0, 0.5j, 1j]
    assert xp.linspace(1, 2, 2, endpoint=False).tolist() == [1.0, 1.5]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(True, "bool"), (3, "int64"), (2.5, "float32"), (1j, "complex64"), (np.float64(2.5), "float64")],
)
def test_numbers_have_default_dtypes(value, dtype):
    assert xp.full((2, 2), value).dtype == dtype
    assert xp.asarray(value).dtype == dtype
    assert xp.asarray([value, value]).dtype == (dtype if dtype != "float64" else "float32")


def test_fillings():
    assert xp.zeros(2).tolist() == [0.0, 0.0]
    assert xp.ones((1, 2), dtype="int8").tolist() == [[1, 1]]
    assert xp.empty((3, 0)).shape == (3, 0)
    assert xp.full_like(xp.zeros(2, dtype="int8"), 7).dtype == "int8"
    assert xp.ones_like(xp.zeros(2), dtype="bool").tolist() == [True, True]
    assert xp.zeros_like(xp.ones(())).item() == 0.0
    assert xp.empty_like(xp.zeros((2, 3), dtype="bfloat16")).dtype.name == "bfloat16"
    assert xp.eye(2, 3, k=1).tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert xp.eye(2, k=10**30).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("k", [-4, -1, 0, 2, 9])
@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "complex64"])
def test_triangles(dtype, k):
    array = np.ones((2, 3, 4), dtype)
    np.testing.assert_array_equal(values(xp.tril(Tensor(array), k=k)), np.tril(array, k))
    np.testing.assert_array_equal(values(xp.triu(Tensor(array), k=k)), np.triu(array, k))
    assert xp.tril(Tensor(array), k=k).dtype == dtype


def test_a_triangle_does_not_let_nan_through():
    x = Tensor([[1.0, NAN], [2.0, 3.0]])
    assert xp.tril(x).tolist() == [[1.0, 0.0], [2.0, 3.0]]
    assert grad(lambda t: xp.sum(xp.tril(t)))(x).tolist() == [[1.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(lambda: xp.zeros((2, -1)), ShapeError, "lengths >= 0", id="negative length"),
        pytest.param(lambda: xp.arange(0, 1, 0), ConfigError, "step", id="no step"),
        pytest.param(lambda: xp.linspace(0, 1, -1), ConfigError, "num >= 0", id="negative num"),
        pytest.param(lambda: xp.tril(xp.ones(3)), ShapeError, "two axes", id="a vector's triangle"),
        pytest.param(lambda: xp.asarray([[1], [1, 2]]), ShapeError, "nested", id="ragged"),
        pytest.param(lambda: xp.asarray([300], dtype="int8"), DTypeError, "int8", id="out of range"),
        pytest.param(lambda: xp.asarray([NAN], dtype="int8"), DTypeError, "int8", id="no integer"),
        pytest.param(lambda: xp.asarray(["a"]), DTypeError, "numbers", id="text"),
        pytest.param(lambda: xp.asarray([1.0], copy=False), ConfigError, "copied always", id="a list, not copied"),
        pytest.param(
            lambda: xp.asarray(xp.ones(2), dtype="int8", copy=False), ConfigError, "int8", id="cast, not copied"
        ),
        pytest.param(lambda: xp.zeros(2, dtype="float99"), DTypeError, "float99", id="no such dtype"),
        pytest.param(lambda: xp.zeros(2, device="cpu:0"), ConfigError, "unknown device", id="no such device"),
        pytest.param(lambda: xp.cumulative_sum(xp.ones((2, 2))), ShapeError, "one axis", id="which axis"),
        pytest.param(lambda: xp.sum(xp.ones(2), axis=1), BoundsError, "axis 1", id="no such axis"),
        pytest.param(lambda: xp.diff(xp.ones(2), n=-1), ConfigError, "n >= 0", id="differences undone"),
        pytest.param(lambda: xp.reshape(xp.ones((2, 3)).T, (6,), copy=False), ConfigError, "memory", id="reshape"),
    ],
)
def test_what_cannot_be_made_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_asarray_shares_what_it_may():
    array = np.arange(3, dtype="float64")
    assert xp.asarray(array).data is array
    x = Tensor(array)
    assert xp.asarray(x) is x
    assert xp.asarray(x, copy=False) is x
    copied = xp.asarray(x, copy=True)
    assert not np.shares_memory(copied.data, array)
    assert xp.asarray(x, dtype="float32").dtype == "float32"


def test_asarray_keeps_what_a_buffer_holds_and_what_a_dtype_asks_for():
    assert xp.asarray(memoryview(np.arange(2, dtype="float64"))).dtype == "float64"
    assert xp.asarray([0.1], dtype="float64").item() == 0.1
    assert Tensor([0.1], dtype="float64").item() == 0.1
    assert xp.asarray([xp.ones(()), 2.0]).tolist() == [1.0, 2.0]


def test_a_converted_tensor_sends_its_gradient_back():
    gradient = grad(lambda x: xp.sum(xp.asarray(x, dtype="float64", copy=True) * 2.0))(Tensor([1.0]))
    assert gradient.dtype == "float32"
    assert gradient.tolist() == [2.0]


def test_new_tensors_are_made_on_the_device_of_the_block(strict_cupy):
    with device("cuda:1"):
        for made in (xp.ones(2), xp.arange(3), xp.linspace(0, 1, 3), xp.eye(2), xp.full(2, 1.0), xp.asarray([1.0])):
            assert str(made.device) == "cuda:1"
        assert str(xp.tril(xp.ones((2, 2))).device) == "cuda:1"
        assert str(xp.__array_namespace_info__().default_device()) == "cuda:1"
    assert str(xp.zeros_like(xp.ones(2, device="cuda:0")).device) == "cuda:0"
    assert str(xp.astype(xp.ones(2), "int8", device="cuda:0").device) == "cuda:0"
    assert [str(place) for place in xp.__array_namespace_info__().devices()] == ["cpu", "cuda:0", "cuda:1"]


# Inspection


@pytest.mark.parametrize(
    ("dtype", "bits", "of"),
    [
        ("float16", 16, "float16"),
        ("bfloat16", 16, "bfloat16"),
        ("float32", 32, "float32"),
        ("complex128", 64, "float64"),
    ],
)
def test_finfo(dtype, bits, of):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    found, expected = xp.finfo(dtype), torch.finfo(getattr(torch, of))
    assert (found.bits, found.dtype.name) == (bits, of)
    for name in ("eps", "max", "min", "smallest_normal"):
        assert getattr(found, name) == getattr(expected, name)
        assert type(getattr(found, name)) is float
    assert xp.finfo(xp.ones(2, dtype=dtype)) == found


def test_limits_of_the_wrong_kind_are_refused():
    assert (xp.iinfo("uint8").min, xp.iinfo("uint8").max, xp.iinfo("uint8").bits) == (0, 255, 8)
    with pytest.raises(DTypeError, match="use finfo"):
        xp.iinfo("float32")
    with pytest.raises(DTypeError, match="use iinfo"):
        xp.finfo("int32")


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        ("bool", {"bool"}),
        ("int8", {"signed integer", "integral", "numeric"}),
        ("uint64", {"unsigned integer", "integral", "numeric"}),
        ("bfloat16", {"real floating", "numeric"}),
        ("complex64", {"complex floating", "numeric"}),
    ],
)
def test_isdtype(dtype, kinds):
    for kind in (
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    ):
        assert xp.isdtype(dtype, kind) is (kind in kinds)
    assert xp.isdtype(dtype, ("float32", dtype))
    assert not xp.isdtype(dtype, xp.float32)
    with pytest.raises(DTypeError, match="unknown dtype"):
        xp.isdtype(dtype, "floating")


def test_result_type_needs_something():
    with pytest.raises(ConfigError, match="nothing"):
        xp.result_type()
    assert xp.result_type(1, 2.0).name == "float32"
    assert not xp.can_cast("float64", "float32")
    assert not xp.can_cast("bfloat16", "float16")


def test_the_namespace_describes_itself():
    info = xp.__array_namespace_info__()
    assert info.default_dtypes() == {
        "real floating": xp.float32,
        "complex floating": xp.complex64,
        "integral": xp.int64,
        "indexing": xp.int64,
    }
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {"bool", "complex64", "complex128"}
    assert len(info.dtypes()) == 13
    assert info.default_device() in info.devices()
    assert all(info.capabilities().values())
    with pytest.raises(ConfigError, match="floating point"):
        info.dtypes(kind="floating point")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises((DeviceError, MissingExtraError)):
        xp.zeros(2, device="cuda:99")
