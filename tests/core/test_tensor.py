"""Tensors and autograd: construction, operators, gradients, errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import DTypeError, GradientError, ShapeError, Tensor, grad, no_grad, ops, result_dtype


def leaf(*values: float) -> Tensor:
    return Tensor(np.asarray(values, np.float64), requires_grad=True)


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        pytest.param(1.5, "float32", (), id="float"),
        pytest.param(3, "int64", (), id="int"),
        pytest.param(True, "bool", (), id="bool"),
        pytest.param([1.0, 2.0], "float32", (2,), id="list-of-floats"),
        pytest.param([[1], [2]], "int64", (2, 1), id="nested-ints"),
        pytest.param([], "float32", (0,), id="empty-list"),
        pytest.param(np.float64(2), "float64", (), id="numpy-scalar-keeps-its-dtype"),
        pytest.param(np.ones(3, np.float16), "float16", (3,), id="array-keeps-its-dtype"),
        pytest.param(np.zeros((0, 2), np.int32), "int32", (0, 2), id="empty-array"),
        pytest.param(Tensor([1.0]), "float32", (1,), id="tensor"),
    ],
)
def test_construction_decides_dtype_and_shape(data, dtype, shape):
    tensor = Tensor(data)
    assert (tensor.dtype, tensor.shape) == (np.dtype(dtype), shape)
    assert (tensor.ndim, tensor.size) == (len(shape), int(np.prod(shape)))
    assert not tensor.requires_grad


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        pytest.param(lambda: Tensor("abc"), DTypeError, "expected numbers", id="text"),
        pytest.param(lambda: Tensor(np.array(["a"])), DTypeError, "expected numbers", id="text-array"),
        pytest.param(lambda: Tensor(np.array([None])), DTypeError, "expected numbers", id="object-array"),
        pytest.param(lambda: Tensor([[1, 2], [3]]), ShapeError, "nested sequences must have equal", id="ragged"),
        pytest.param(lambda: Tensor([1, 2], requires_grad=True), GradientError, "got dtype int64", id="int-leaf"),
    ],
)
def test_construction_refuses(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_an_array_is_shared_and_a_conversion_is_not():
    array = np.zeros(2, np.float32)
    shared, converted = Tensor(array), Tensor(array, dtype=np.float64)
    array[0] = 7
    assert shared.data[0] == 7
    assert converted.data[0] == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("number", [2, 2.5, True])
def test_a_python_number_never_promotes(dtype, number):
    x = Tensor(np.ones(3, dtype))
    for result in (x + number, number - x, x * number, number / x, ops.maximum(x, number)):
        assert result.dtype == dtype


def test_arrays_promote_as_numpy_promotes_them():
    single, double = Tensor(np.ones(2, np.float32)), Tensor(np.ones(2))
    assert (single + double).dtype == np.float64 == result_dtype(single.data, double.data)


BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "greater": lambda a, b: a > b,
    "greater-equal": lambda a, b: a >= b,
    "less": lambda a, b: a < b,
    "less-equal": lambda a, b: a <= b,
}


@pytest.mark.parametrize("operator", BINARY.values(), ids=list(BINARY))
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(2.5, id="number"),
        pytest.param(np.array([1.0, 2.0, 4.0]), id="same-shape"),
        pytest.param(np.array([[2.0], [8.0]]), id="broadcast"),
        pytest.param(np.array(2.0), id="0-d"),
    ],
)
def test_operators_agree_with_numpy_on_either_side(operator, other):
    """An array beside a tensor is one operand; NumPy must not broadcast over the tensor's elements."""
    values = np.array([1.0, -2.0, 3.0])
    wrapped = other if isinstance(other, float) else Tensor(other)
    for left, right in ((Tensor(values), wrapped), (Tensor(values), other), (other, Tensor(values))):
        result = operator(left, right)
        assert type(result) is Tensor
        expected = operator(*(side.data if isinstance(side, Tensor) else side for side in (left, right)))
        np.testing.assert_array_equal(result.data, expected)


def test_matrix_product_takes_an_array_on_either_side():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for result in (Tensor(a) @ Tensor(b), Tensor(a) @ b, a @ Tensor(b)):
        assert type(result) is Tensor
        np.testing.assert_array_equal(result.data, a @ b)


def test_numpy_reads_a_tensor_as_one_array():
    tensor = Tensor([[1.0, 2.0], [3.0, 4.0]])
    array = np.asarray(tensor)
    assert array.dtype == np.float32
    assert np.shares_memory(array, tensor.data)


def test_iteration_gives_the_rows():
    rows = list(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert [row.data.tolist() for row in rows] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        pytest.param(lambda x: x.sum(), 15.0, id="sum"),
        pytest.param(lambda x: x.sum(0), [3.0, 5.0, 7.0], id="sum-axis"),
        pytest.param(lambda x: x.mean((0, 1)), 2.5, id="mean-axes"),
        pytest.param(lambda x: x.max(-1, keepdims=True), [[2.0], [5.0]], id="max-keepdims"),
        pytest.param(lambda x: -x[1, ::2], [-3.0, -5.0], id="slice-and-negate"),
        pytest.param(lambda x: x.T, [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], id="T"),
        pytest.param(lambda x: x.transpose(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], id="transpose-reverses"),
        pytest.param(lambda x: x.reshape(3, -1), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], id="reshape"),
        pytest.param(lambda x: x**2, [[0.0, 1.0, 4.0], [9.0, 16.0, 25.0]], id="power"),
        pytest.param(lambda x: x.astype("int64"), [[0, 1, 2], [3, 4, 5]], id="astype"),
    ],
)
def test_methods(method, expected):
    np.testing.assert_array_equal(method(Tensor(np.arange(6.0).reshape(2, 3))).data, expected)


def test_one_element_becomes_a_python_number():
    tensor = Tensor([[2.5]])
    assert (tensor.item(), float(tensor), bool(tensor), len(tensor)) == (2.5, 2.5, True, 1)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        pytest.param(Tensor([1.0, 2.0]), "Tensor([1., 2.], dtype=float32)", id="plain"),
        pytest.param(leaf(1.0), "Tensor([1.], dtype=float64, requires_grad=True)", id="leaf"),
    ],
)
def test_repr_says_values_dtype_and_gradient(tensor, text):
    assert repr(tensor) == text


def test_tensors_are_dictionary_keys_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert {a: 1, b: 2}[a] == 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(
            lambda x: x + Tensor(np.ones(3)), r"add: shapes .* got a \(2,\) float64, b \(3,\) float64 on cpu", id="add"
        ),
        pytest.param(lambda x: x.reshape(1, 2) @ x.reshape(1, 2), "matmul: inner sizes differ", id="matmul"),
        pytest.param(lambda x: x[5], "getitem: index 5 is out of bounds", id="index"),
        pytest.param(lambda x: x.T, r"T: expected at least two axes, got shape \(2,\)", id="T"),
        pytest.param(lambda x: x.item(), r"item: expected one element, got shape \(2,\)", id="item"),
        pytest.param(lambda x: bool(x), "expected one element", id="truth"),
        pytest.param(lambda x: len(x.sum()), "0-d tensor has no length", id="len"),
        pytest.param(lambda x: list(x.sum()), "0-d tensor has no length", id="iterate"),
        pytest.param(lambda x: x.sum(1), "sum: axis 1 does not exist", id="axis"),
        pytest.param(lambda x: x.reshape(3), "reshape: expected 2 elements in all", id="reshape"),
        pytest.param(lambda x: x.backward(Tensor(np.ones(3))), r"gradient's shape is \(3,\)", id="seed"),
    ],
)
def test_misfits_name_the_operation_and_what_it_was_given(call, match):
    with pytest.raises(ShapeError, match=match):
        call(leaf(1.0, 2.0))


# --- gradients ---


def test_backward_accumulates_on_leaves_only():
    x, y = leaf(1.0, 2.0), Tensor([3.0, 4.0])
    middle = x * y
    for _ in range(2):
        (middle.sum()).backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad.data, [6.0, 8.0])
    assert y.grad is None
    assert middle.grad is None


def test_a_graph_is_freed_by_its_pass_and_says_so():
    x = leaf(1.0, 2.0)
    middle = x * x
    middle.sum().backward()
    with pytest.raises(GradientError, match="freed by an earlier backward pass") as caught:
        middle.sum().backward()
    assert "retain_graph" in caught.value.hint


def test_an_error_names_the_line_of_the_user():
    with pytest.raises(ShapeError) as caught:
        leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)
    assert "test_tensor.py" in caught.value.where
    assert "leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)" in str(caught.value)


def test_backward_takes_the_gradient_of_a_tensor_with_several_elements():
    x = leaf(1.0, 2.0)
    (x * x).backward(Tensor(np.array([10.0, 100.0])))
    np.testing.assert_array_equal(x.grad.data, [20.0, 400.0])


def test_a_tensor_used_twice_collects_both_paths():
    x = leaf(3.0)
    shared = x * 2.0
    (gradient,) = grad((shared * shared + shared).sum(), [x])
    assert gradient.item() == 2 * 2 * 6 + 2


def test_a_deep_graph_does_not_exhaust_the_stack():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    assert grad(y.sum(), [x])[0].item() == 1.0


def test_grad_leaves_the_leaves_alone_and_gives_zeros_for_what_was_not_used():
    x, unused = leaf(1.0, 2.0), leaf(5.0)
    used, zeros = grad((x * x).sum(), [x, unused])
    np.testing.assert_array_equal(used.data, [2.0, 4.0])
    np.testing.assert_array_equal(zeros.data, [0.0])
    assert x.grad is None
    assert used.node is None


def test_grad_takes_intermediate_tensors():
    x = leaf(3.0)
    middle = x * x
    (gradient,) = grad((middle * 5.0).sum(), [middle])
    assert gradient.item() == 5.0


def test_the_gradient_has_the_dtype_of_its_input():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    (gradient,) = grad((x * Tensor(np.ones(2))).sum(), [x])
    assert gradient.dtype == np.float32


@given(st.integers(1, 5), st.floats(0.5, 2.0))
def test_create_graph_differentiates_again(order, value):
    """The k-th derivative of x^5 is 5! / (5 - k)! x^(5 - k)."""
    x = leaf(value)
    result = (x**5.0).sum()
    expected = value**5
    for k in range(order):
        (result,) = grad(result.sum(), [x], create_graph=True)
        expected = np.prod(np.arange(5 - k, 6)) * value ** (4 - k)
    assert result.item() == pytest.approx(expected, rel=1e-9)


def test_no_grad_records_nothing_and_ends_with_its_block():
    x = leaf(2.0)
    with no_grad():
        inside = x * x
        with no_grad():
            pass
        nested = x * x
    assert not inside.requires_grad
    assert not nested.requires_grad
    assert (x * x).requires_grad


def test_no_grad_ends_when_the_block_raises():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (leaf(1.0) * 2.0).requires_grad


def test_no_grad_does_not_leak_into_another_thread():
    entered, computed = threading.Event(), threading.Event()
    results: list[bool] = []

    def evaluate() -> None:
        with no_grad():
            entered.set()
            computed.wait(10)

    def train() -> None:
        entered.wait(10)
        results.append((leaf(1.0) * 2.0).requires_grad)
        computed.set()

    threads = [threading.Thread(target=target) for target in (evaluate, train)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [True]


def test_detach_shares_the_elements_and_forgets_the_graph():
    x = leaf(2.0)
    cut = (x * x).detach()
    assert (cut.node, cut.requires_grad, cut.item()) == (None, False, 4.0)


def test_comparisons_and_integers_are_not_differentiated():
    x = leaf(1.0, -1.0)
    assert not (x > 0.0).requires_grad
    assert not x.astype("int64").requires_grad


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda x: Tensor([1.0]).backward(), "no tensor it was computed from requires one", id="none"),
        pytest.param(
            lambda x: (x * 2.0).backward(), r"expected a tensor with one element, got shape \(2,\)", id="many"
        ),
        pytest.param(lambda x: grad(x * 2.0, [x]), "sum it first", id="grad-of-many"),
        pytest.param(
            lambda x: grad(x.sum(), [x, Tensor([1.0])]), r"input 1 of shape \(1,\) does not require", id="no-input"
        ),
        pytest.param(lambda x: (x * 2.0).numpy(), r"call \.detach\(\) first", id="numpy"),
        pytest.param(lambda x: np.asarray(x * 2.0), r"call \.detach\(\) first", id="asarray"),
    ],
)
def test_a_missing_gradient_is_an_error_with_a_hint(call, match):
    with pytest.raises(GradientError, match=match):
        call(leaf(1.0, 2.0))


def test_an_error_keeps_message_and_hint_apart():
    with pytest.raises(GradientError) as caught:
        grad(Tensor([1.0]), [])
    assert caught.value.hint == "set requires_grad=True on a leaf, and compute outside no_grad()"
    assert str(caught.value) == f"{caught.value.message} (hint: {caught.value.hint})"
    assert isinstance(caught.value, RuntimeError)
