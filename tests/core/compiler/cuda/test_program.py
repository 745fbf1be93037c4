"""Whole steps on the cuda back end over the stand-in: training, CUDA graphs, what is captured anew, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import Tensor, device, grad, ops
from nasturtium.core.compiler.compile import compile
from nasturtium.core.compiler.cuda import products
from nasturtium.core.compiler.cuda.kernel import Product
from nasturtium.core.compiler.cuda.program import CudaProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.errors import CompileError, DeviceError
from nasturtium.core.nn import Activation, BatchNorm, Conv2d, Linear, MaxPool2d, Sequential
from nasturtium.core.optim import SGD, Adam

from .host_module import HostCuda, HostLibrary, same


@pytest.fixture
def cuda(strict_cupy, tmp_path):
    """Modules and streams on the stand-in."""
    return HostCuda(strict_cupy, HostLibrary(tmp_path))


def program_of(function, *arrays):
    graph = optimize(trace(function, *arrays).graph)
    return CudaProgram(graph, device("cuda:0")), ReferenceProgram(graph, CPU)


def on_device(*arrays):
    return [device("cuda:0").put(array) for array in arrays]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_step_becomes_one_graph(cuda):
    def step(x, w):
        return grad(lambda w: ops.mean(ops.gelu(x @ w) ** 2))(w)

    arrays = [normal(5, 7), normal(7, 3)]
    program, reference = program_of(step, *arrays)
    (expected,) = reference(arrays)
    for run in range(4):
        (found,) = program(on_device(*arrays))
        same(found, expected)
        assert program.graphs == (run > 0)
    assert cuda.captured == len(program.works) > 2


def test_what_follows_a_product_is_done_by_its_kernel(cuda):
    arrays = [normal(5, 7), normal(7, 3), normal(3)]
    program, reference = program_of(lambda x, w, b: ops.relu(x @ w + b), *arrays)
    assert [work.label for work in program.works] == ["matmul"]
    same(program(on_device(*arrays))[0], reference(arrays)[0])


def test_large_products_stand_between_graphs(cuda, monkeypatch):
    monkeypatch.setattr(products, "LARGE", 1)

    def step(x, w, v):
        h = ops.tanh(ops.exp(x).sum(axis=0, keepdims=True) * x)
        return ops.tanh(ops.sum((h @ w) @ v.T, axis=0) * 2.0), ops.sum(h * 2.0)

    arrays = [normal(5, 4), normal(4, 3), normal(6, 3)]
    program, reference = program_of(step, *arrays)
    assert sum(isinstance(work, Product) for work in program.works) == 2
    expected = reference(arrays)
    for _ in range(3):
        for found, wanted in zip(program(on_device(*arrays)), expected, strict=True):
            same(found, wanted)


def test_where_cuda_refuses_to_capture_kernels_are_launched(cuda, strict_cupy):
    cuda.fails = True
    program, reference = program_of(lambda x: ops.exp(x.sum(axis=0)) * x, normal(5, 300))
    for _ in range(3):
        same(program(on_device(normal(5, 300)))[0], reference([normal(5, 300)])[0])
    assert program.graphs == 0


def test_another_address_is_captured_anew(cuda):
    w = Tensor(normal(3, 4), device="cuda:0", requires_grad=True)
    compiled = compile(lambda x: ops.sum(ops.exp(x @ w), axis=1), backend="cuda")
    x = normal(2, 3)
    for seed in (0, 0, 0, 1, 1, 1):
        if seed:
            w.data = on_device(normal(3, 4, seed=seed))[0]
        same(compiled(Tensor(x, device="cuda:0")).data, np.exp(x @ normal(3, 4, seed=seed)).sum(1))


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam(learning_rate=0.01)], ids=lambda o: type(o).__name__)
def test_training(cuda, optimizer):
    """The same losses and parameters as on the CPU, by the reference."""
    found = []
    for place, backend in (("cuda:0", "auto"), ("cpu", "numpy")):
        rng = np.random.default_rng(0)
        model = Sequential(
            Conv2d(2, 9, 3, padding=1, bias=False, rng=rng),
            BatchNorm(9),
            Activation("relu"),
            MaxPool2d(2),
            Linear(18, 4, rng=rng),
        ).to(place)
        parameters = model.parameters()
        state = optimizer.init(parameters)

        def step(x, y, model=model, parameters=parameters, state=state):
            h = x
            for layer in model.layers[:-1]:
                h = layer(h)
            loss = ops.cross_entropy(model.layers[-1](h.reshape(h.shape[0], -1)[:, :18]), y)
            optimizer.step(state, grad(loss, parameters))
            return loss

        run, draws = compile(step, backend=backend), np.random.default_rng(1)
        losses = []
        for _ in range(5):
            x, y = draws.standard_normal((6, 2, 6, 4)).astype(np.float32), draws.integers(0, 4, 6)
            losses.append(float(run(Tensor(x, device=place), Tensor(y, device=place))))
        statistics = [device("cpu").put(array) for array in model.state().values()]
        found.append((losses, device("cpu").put(state.parameters), statistics))
    assert cuda.captured
    (ours, mine, moved), (theirs, reference, expected) = found
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(mine, reference, rtol=1e-3, atol=1e-4)
    for a, b in zip(moved, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_memory_is_planned(cuda):
    def step(x):
        for _ in range(20):
            x = ops.sum(ops.exp(x * 0.01), axis=-1, keepdims=True) * 0.001 + x.T
        return x

    x = np.ones((64, 64), np.float32)
    program, reference = program_of(step, x)
    assert program.arena_bytes < 5 * x.nbytes
    same(program(on_device(x))[0], reference([x])[0], rtol=1e-4)


def test_inputs_that_are_not_in_order_and_numbers(cuda):
    compiled = compile(lambda a, f: a * f + 1.0, backend="cuda")
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    (moved,) = on_device(x)
    for view, host in ((moved, x), (moved.T, x.T), (moved[::2], x[::2])):
        for factor in (2.0, 3.0):
            same(compiled(Tensor(view), factor).data, host * np.float32(factor) + 1)


def test_random_numbers_and_gradients_on_leaves(cuda):
    w = Tensor(normal(3, 3), device="cuda:0", requires_grad=True)

    def step(x):
        ops.sum(ops.sin(x * w)).backward()
        return x + 1.0

    x = normal(3, 3, seed=1)
    compile(step, backend="cuda")(Tensor(x, device="cuda:0"))
    same(w.grad.data, np.cos(x * normal(3, 3)) * x)


def test_what_it_has_no_kernels_for_runs_on_the_reference(cuda):
    x = Tensor(np.eye(3, dtype=np.float32) * 2, device="cuda:0")
    with pytest.raises(CompileError, match="the op inv"):
        compile(ops.inv, backend="cuda")(x)
    same(compile(ops.inv)(x).data, np.eye(3, dtype=np.float32) / 2)
    with pytest.raises(CompileError, match="the device cpu"):
        compile(ops.exp, backend="cuda")(np.ones(2, np.float32))
    program, _ = program_of(ops.exp, normal(3))
    with pytest.raises(DeviceError, match="an argument lies on cpu"):
        program([normal(3)])


def test_the_same_bits_each_time(cuda):
    x = normal(64, 100)
    program, _ = program_of(lambda x: (ops.sum(x), ops.mean(x, axis=0), ops.log_softmax(x)), x)
    first, *others = ([array.get().tobytes() for array in program(on_device(x))] for _ in range(3))
    assert all(other == first for other in others)


def test_launches_are_explained(cuda):
    with device("cuda:0"):
        x = Tensor(normal(5, 7))
    (told,) = compile(lambda x: ops.exp(x).sum(), backend="cuda").explain(x).programs
    assert told.back_end == "cuda"
    assert any("exp" in launch.title for launch in told.launches)
    assert "cuda" in str(compile(lambda x: x + 1.0, backend="cuda").explain(x))


@pytest.mark.gpu
def test_a_step_on_a_gpu(gpu, monkeypatch):
    """Graphs, products between them, and the same bits in every run."""
    monkeypatch.setattr(products, "LARGE", 1 << 12)

    def step(x, w, v):
        return grad(lambda w, v: ops.mean(ops.softmax(ops.gelu(x @ w) @ v) ** 2), argnums=(0, 1))(w, v)

    arrays = [normal(64, 32), normal(32, 128), normal(128, 10)]
    graph = optimize(trace(step, *arrays).graph)
    program, expected = CudaProgram(graph, gpu), ReferenceProgram(graph, CPU)(arrays)
    first = None
    for run in range(4):
        found = program([gpu.put(array) for array in arrays])
        for actual, wanted in zip(found, expected, strict=True):
            same(actual, wanted)
        bits = [array.get().tobytes() for array in found]
        assert first is None or bits == first
        first = bits
        assert bool(program.graphs) == (run > 0)
