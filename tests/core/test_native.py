"""The compiled dispatcher and reverse pass do exactly what their Python originals do."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from nasturtium.core import (
    OPS,
    DTypeError,
    GradientError,
    ShapeError,
    Tensor,
    dispatch,
    grad,
    native,
    nn,
    no_grad,
    ops,
    tape,
)
from nasturtium.core.compiler import guards
from nasturtium.core.optim import adam

pytestmark = pytest.mark.skipif(native.accelerate is None, reason="accelerate.c was not built: no C compiler")

UNARY = [op for op in OPS.values() if len(op.inputs) == 1 and op.differentiable and op.elementwise and not op.defaults]
BINARY = [
    op
    for op in OPS.values()
    if len(op.inputs) == 2
    and op.differentiable
    and not op.defaults
    and (op.elementwise or dispatch.Flags.SAVED_ONLY in op.flags)
]
PAIRS = [
    pytest.param((3, 4), (3, 4), id="same"),
    pytest.param((3, 4), (4,), id="broadcast-second"),
    pytest.param((4,), (3, 4), id="broadcast-first"),
    pytest.param((1, 3), (3,), id="same-size-other-rank"),
    pytest.param((), (), id="0-d"),
    pytest.param((0, 2), (2,), id="empty"),
]


@pytest.fixture
def python_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python originals, for what is built and run inside the test."""
    monkeypatch.setattr(dispatch, "accelerate", None)
    monkeypatch.setattr(tape, "accelerate", None)


def python_function(op, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "accelerate", None)
        return dispatch.callable_for(op)


def describe(tensor: Tensor) -> tuple:
    """All that a node holds, by value."""
    node = tensor.node
    if node is None:
        return (tensor.data.tobytes(), str(tensor.dtype), tensor.shape)
    saved = tuple(item.tobytes() if isinstance(item, np.ndarray) else item for item in node.saved)
    output = None if node.output is None else node.output.tobytes()
    return (
        tensor.data.tobytes(),
        str(tensor.dtype),
        tensor.shape,
        type(node),
        node.op.name,
        tuple(None if edge is None else edge.number for edge in node.edges),
        saved,
        output,
        dict(node.params),
        node.shapes,
        node.casts,
        node.dtype,
    )


def positive(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    return (0.2 + 0.6 * np.random.default_rng(seed).random(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "int64"])
@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_unary_calls_record_the_same(op, dtype, monkeypatch):
    array = np.arange(1, 7).reshape(2, 3) if dtype == "int64" else positive((2, 3), dtype, 0)
    x = Tensor(array, requires_grad=dtype != "int64")
    compiled, original = dispatch.callable_for(op), python_function(op, monkeypatch)
    assert type(compiled).__name__ == "Dispatcher"
    with np.errstate(all="ignore"):
        try:
            expected = original(x)
        except DTypeError:
            with pytest.raises(DTypeError):
                compiled(x)
            return
        assert describe(compiled(x)) == describe(expected)
        with no_grad():
            assert describe(compiled(x)) == describe(original(x))
        np.testing.assert_array_equal(compiled(array), original(array))


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("op", [op for op in BINARY if op.elementwise], ids=lambda op: op.name)
def test_binary_calls_record_the_same(op, wanted, first, second, monkeypatch):
    a = Tensor(positive(first, "float64", 0), requires_grad=wanted[0])
    b = Tensor(positive(second, "float64", 1), requires_grad=wanted[1])
    compiled, original = dispatch.callable_for(op), python_function(op, monkeypatch)
    assert describe(compiled(a, b)) == describe(original(a, b))


@pytest.mark.parametrize(
    "other", [2.0, -0.0, 3, 10**400, float("nan"), True, 1j, np.float32(2), np.ones(2, np.float32)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bfloat16"])
def test_numbers_and_arrays_beside_a_tensor_are_taken_the_same(other, dtype, monkeypatch):
    x = Tensor(np.array([1.0, 2.0]), dtype=dtype)
    compiled, original = dispatch.callable_for(OPS["multiply"]), python_function(OPS["multiply"], monkeypatch)
    for arguments in ((x, other), (other, x)):
        try:
            expected = original(*arguments)
        except Exception as error:
            with pytest.raises(type(error)):
                compiled(*arguments)
        else:
            assert describe(compiled(*arguments)) == describe(expected)


@pytest.mark.parametrize(
    "wanted", [(True, True, True), (False, True, True), (False, False, True), (False, False, False)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_ternary_calls_record_the_same(wanted, dtype, monkeypatch):
    shapes = ((5, 3), (4, 3), (4,))
    tensors = [
        Tensor(positive(shape, dtype, seed), requires_grad=want)
        for seed, (shape, want) in enumerate(zip(shapes, wanted, strict=True))
    ]
    compiled, original = dispatch.callable_for(OPS["linear"]), python_function(OPS["linear"], monkeypatch)
    assert describe(compiled(*tensors)) == describe(original(*tensors))
    assert describe(compiled(tensors[0].data, *tensors[1:])) == describe(original(tensors[0].data, *tensors[1:]))
    for function in (compiled, original):
        with pytest.raises(ShapeError, match="features differ"):
            function(tensors[0].T, *tensors[1:])


def network(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    hidden = ops.tanh(x @ w + b)
    parts = ops.concatenate(hidden, hidden * 2.0, axis=1)
    return (ops.log_softmax(parts) * ops.sigmoid(hidden.sum(1, keepdims=True))).mean()


def gradients(**options) -> list[bytes]:
    rng = np.random.default_rng(0)
    x, w, b = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((5, 3), (3, 4), (4,)))
    loss = network(x, w, b)
    if options.get("backward"):
        loss.backward()
        return [leaf.grad.data.tobytes() for leaf in (x, w, b)]
    return [g.data.tobytes() for g in grad(loss, [b, x], **options)]


@pytest.mark.parametrize("options", [{}, {"backward": True}, {"create_graph": True}, {"retain_graph": True}])
def test_reverse_passes_agree_to_the_bit(options, monkeypatch):
    compiled = gradients(**options)
    with monkeypatch.context() as patch:
        patch.setattr(tape, "accelerate", None)
        assert gradients(**options) == compiled


def test_errors_are_the_same(monkeypatch):
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones(4))
    compiled, original = dispatch.callable_for(OPS["add"]), python_function(OPS["add"], monkeypatch)
    messages = []
    for function in (compiled, original):
        with pytest.raises(ShapeError) as caught:
            function(a, b)
        messages.append(caught.value.message)
        assert isinstance(caught.value.__cause__, ValueError)
        assert "test_native.py" in caught.value.where
    assert messages[0] == messages[1]
    for arguments in ((), (a,), (a, b, b)):
        with pytest.raises(TypeError, match="add"):
            compiled(*arguments)
    assert describe(compiled(b=a, a=a)) == describe(compiled(a, a))


def test_a_freed_graph_and_a_failing_rule_leave_nothing_behind():
    x = Tensor([1.0], requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(GradientError, match="freed"):
        y.backward()
    with pytest.raises(TypeError):
        native.accelerate.pullback(1, 2, 3, None, True)


@pytest.mark.parametrize("what", ["forward", "backward", "error", "numbers"])
def test_nothing_leaks(what):
    x = Tensor(np.ones(100), requires_grad=True)
    bad = Tensor(np.ones(7))

    def run() -> None:
        if what == "forward":
            ops.tanh(x * 2.0) + x
        elif what == "backward":
            (ops.tanh(x * x) + x).sum().backward()
            x.grad = None
        elif what == "error":
            with contextlib.suppress(ShapeError):
                x + bad
        else:
            x * np.random.default_rng(0).random()

    for _ in range(50):
        run()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        run()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < (100_000 if what == "error" else 20_000)  # messages and tracebacks intern some strings


def test_the_environment_can_switch_it_off():
    code = "from nasturtium.core import native, Tensor; assert not native.accelerate; print((Tensor([1.0]) + 1).item())"
    environment = {**os.environ, "NASTURTIUM_PURE_PYTHON": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2.0"


@pytest.mark.usefixtures("python_only")
def test_the_originals_compute_gradients_of_gradients():
    x = Tensor([2.0])
    assert grad(lambda x: grad(lambda x: (x * x * x).sum())(x).sum())(x).item() == 12.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_adam_gives_the_bits_of_its_original(dtype, size, monkeypatch):
    results = []
    for accelerated in (True, False):
        with monkeypatch.context() as patch:
            if not accelerated:
                patch.setattr(adam, "accelerate", None)
            rng = np.random.default_rng(0)
            first, second = np.zeros(size, dtype), np.zeros(size, dtype)
            direction = np.empty(size, dtype)
            for count in range(1, 6):
                gradient = (rng.standard_normal(size) * 10.0 ** rng.integers(-20, 10, size)).astype(dtype)
                adam.adam_direction(np, count, 0.9, 0.999, 1e-8)(gradient, direction, first, second)
            results.append((first.tobytes(), second.tobytes(), direction.tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param([np.zeros(3, np.float16)] * 4, id="dtype"),
        pytest.param([np.zeros(3), np.zeros(3), np.zeros(4), np.zeros(3)], id="length"),
        pytest.param([np.zeros(3), np.zeros(3), np.zeros(3, np.float32), np.zeros(3)], id="mixed"),
    ],
)
def test_adam_refuses_what_it_cannot_work_on(arrays):
    with pytest.raises(TypeError, match="float32 or float64 vectors, all of one"):
        native.accelerate.adam_direction(*arrays, 0.9, 0.1, 0.999, 0.001, 1.0, 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_plain_descent_gives_the_bits_of_numpy(dtype, size):
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal(size).astype(dtype), (rng.standard_normal(size) * 1e3).astype(dtype)
    expected = w - g * 0.037
    native.accelerate.descend(w, g, 0.037)
    np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_relu_is_exact_for_odd_numbers_too(dtype, monkeypatch):
    y = np.array([0.0, -0.0, 1.0, np.nan, np.inf, 1e-40, 2.0], dtype)
    g = np.array([1.0, 2.0, np.nan, 3.0, -np.inf, 5.0, -6.0], dtype)
    compiled = OPS["relu"].vjp[0](g, y, None)
    np.testing.assert_array_equal(compiled, np.where(y > 0, g, 0).astype(dtype))
    monkeypatch.setattr(sys.modules["nasturtium.core.ops.activation"], "accelerate", None)
    np.testing.assert_array_equal(OPS["relu"].vjp[0](g, y, None), compiled)
    assert not np.shares_memory(compiled, g)


def test_vectors_that_may_not_be_written_are_left_alone():
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        native.accelerate.descend(frozen, np.ones(3), 0.1)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(
    ("numbers", "limit"), [([], 1), ([0], 1), ([0, 3], 3), ([0, 3], 4), ([-1], 1 << 40), ([5] * 99, 6)]
)
def test_whole_numbers_below_a_limit(dtype, numbers, limit):
    array = np.array(numbers, dtype)
    expected = all(0 <= number < limit for number in numbers)
    if dtype == "int32" and numbers == [-1]:  # read without its sign it is 2^32 - 1
        expected = True
    assert native.accelerate.below(array, limit) is expected


@pytest.mark.parametrize("array", [np.zeros(3, np.float16), np.zeros((4, 4), np.int32)[:, ::2], "text", None])
def test_only_vectors_of_integers_are_compared(array):
    with pytest.raises((TypeError, ValueError, BufferError)):
        native.accelerate.below(array, 3)


NO_PLACES = [(), (1, 2, 3), (((1,),), (), ()), ((), (), ((1, 2),)), ((({}, "a"),), (), ()), ((1,), (), ())]


@pytest.mark.parametrize("args", NO_PLACES)
def test_places_that_are_none(args):
    with pytest.raises(TypeError):
        native.accelerate.unchanged(*args)


def test_a_length_that_no_dict_has():
    with pytest.raises(OverflowError):
        native.accelerate.unchanged((({}, 1 << 80),), (), ())


ARGUMENTS = [
    (),
    (Tensor(np.zeros((2, 3), np.float32)),),
    (Tensor(np.ones((2, 3), np.float32)),),
    (Tensor(np.zeros((3, 2), np.float32)),),
    (Tensor(np.zeros((2, 3))),),
    (Tensor(np.zeros((2, 3), np.float32), requires_grad=True),),
    (nn.Parameter(np.zeros((2, 3), np.float32)),),
    (np.zeros((2, 3), np.float32),),
    (1.0,),
    (2.0,),
    (np.float64(1),),
    (1,),
    (Tensor(np.zeros((2, 3), np.float32)), Tensor(np.zeros(2, np.int64))),
    (Tensor(np.zeros((2, 3), np.float32)), Tensor(np.zeros(2, np.int32))),
]


@pytest.mark.parametrize("args", ARGUMENTS)
@pytest.mark.parametrize("others", [args for args in ARGUMENTS if guards.tensor_kinds(args) is not None])
def test_arguments_are_compared_as_python_compares_them(args, others, monkeypatch):
    kinds = guards.tensor_kinds(others)
    found = native.accelerate.alike(args, kinds)
    monkeypatch.setattr(guards, "accelerate", None)
    assert found is guards.are_alike(args, kinds)
    assert found is (guards.tensor_kinds(args) == kinds)


@pytest.mark.parametrize("args", [(), (1, ()), ((), [1]), ((ARGUMENTS[1][0],), (1,)), ((ARGUMENTS[1][0],), ((1, 2),))])
def test_kinds_that_are_none(args):
    with pytest.raises(TypeError):
        native.accelerate.alike(*args)


def test_tensors_that_hold_other_arrays_are_seen():
    tensors = tuple(Tensor(np.zeros(3)) for _ in range(3))
    arrays = [tensor.data for tensor in tensors]
    assert native.accelerate.holding(tensors, arrays)
    assert native.accelerate.holding((), [])
    assert not native.accelerate.holding(tensors, arrays[:2])
    assert not native.accelerate.holding(tensors, [None, *arrays[1:]])
    assert not native.accelerate.holding((*tensors[:2], 1), arrays)
    tensors[1].data = tensors[1].data.copy()
    assert not native.accelerate.holding(tensors, arrays)
    with pytest.raises(TypeError):
        native.accelerate.holding(arrays, arrays)
