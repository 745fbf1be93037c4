"""A plan that was kept does what a new one does, and is found for the graph that it belongs to alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasturtium.core import Tensor, compile, grad, kernel_op, nn, ops
from nasturtium.core.compiler.native import planning, program
from nasturtium.core.compiler.native.group import Unsupported
from nasturtium.core.compiler.native.plan import decode, encode, key_of
from nasturtium.core.compiler.native.planning import planned
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.errors import BoundsError
from nasturtium.core.optim import SGD, Adam, AdamW
from nasturtium.core.random import key_from, normal

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")
from nasturtium.core.compiler.llvm import Engine, KernelCache

IMAGES = np.random.default_rng(1).standard_normal((4, 3, 8, 8)).astype(np.float32)
ROWS = IMAGES.reshape(16, 48)
LABELS = np.arange(4, dtype=np.int32)
TOKENS = np.arange(12, dtype=np.int32).reshape(3, 4)


def training(model: Callable[..., Tensor], optimizer: Any) -> Callable[..., Tensor]:
    parameters = model.parameters()  # type: ignore[attr-defined]
    state = optimizer.init(parameters)

    def step(x, y, rate=None):
        loss = ops.cross_entropy(model(x), y)
        optimizer.step(state, grad(loss, parameters), learning_rate=rate)
        return loss

    return step


def convolutional():
    rng = np.random.default_rng(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1, rng=rng), nn.BatchNorm(4), nn.Activation("relu"), nn.GlobalAvgPool()]
    return training(nn.Sequential(*layers, nn.Linear(4, 4, rng=rng)), Adam())


def perceptron(optimizer=None):
    rng = np.random.default_rng(0)
    layers = [nn.Flatten(), nn.Linear(192, 8, rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(8, 4, rng=rng)]
    return training(nn.Sequential(*layers), optimizer or SGD(momentum=0.9))


def embedding():
    table = Tensor(np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32), requires_grad=True)
    return lambda x: (grad(ops.sum(ops.take(table, x, axis=0) ** 2), [table]), ops.exp(table))


def constants():
    table = np.linspace(0, 1, 48, dtype=np.float32)
    table.flags.writeable = False
    return lambda x: (x + Tensor(table), Tensor(table) * 2.0, x)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


@pytest.fixture
def as_in_a_new_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget all that this process knows of kernels, apart from what is on disk."""

    def forget() -> None:
        cache = KernelCache(Engine(), folder)
        monkeypatch.setattr(program, "default_cache", lambda: cache)

    forget()
    return forget


@pytest.fixture
def planning_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fails(*_: object) -> None:
        raise AssertionError("planned again")

    return lambda: monkeypatch.setattr(planning, "planned", fails)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        pytest.param(convolutional, (IMAGES, LABELS), id="convolutional"),
        pytest.param(perceptron, (IMAGES, LABELS), id="dropout"),
        pytest.param(lambda: perceptron(AdamW()), (IMAGES, LABELS, 0.01), id="rate-as-argument"),
        pytest.param(embedding, (TOKENS,), id="embedding"),
        pytest.param(constants, (ROWS,), id="constants"),
    ],
)
def test_a_kept_plan_does_the_same(make, inputs, as_in_a_new_process, planning_fails):
    steps = [make(), make()]  # from the same state
    traced = [trace(step, *(Tensor(x) if isinstance(x, np.ndarray) else x for x in inputs)).graph for step in steps]
    arrays = [np.asarray(x, np.float32) if isinstance(x, float) else x for x in inputs]
    first = NativeProgram(traced[0], CPU)
    expected = [[array.tobytes() for array in first(arrays)] for _ in range(3)]
    as_in_a_new_process()
    planning_fails()
    second = NativeProgram(traced[1], CPU)
    assert [[array.tobytes() for array in second(arrays)] for _ in range(3)] == expected


def test_what_is_out_of_bounds_is_seen_by_a_kept_plan(as_in_a_new_process, planning_fails):
    graph = trace(embedding(), TOKENS).graph
    NativeProgram(graph, CPU)
    as_in_a_new_process()
    planning_fails()
    with pytest.raises(BoundsError, match="index 12 is out of bounds"):
        NativeProgram(graph, CPU)([TOKENS + 1])


def test_a_kept_plan_is_explained(as_in_a_new_process):
    step = perceptron()
    NativeProgram(trace(step, IMAGES, LABELS).graph, CPU)
    as_in_a_new_process()
    compiled = compile(step, backend="llvm")
    assert compiled(IMAGES, LABELS).shape == ()
    explained = compiled.explain(IMAGES, LABELS)
    assert any("linear" in launch.title or "matmul" in launch.title for launch in explained.programs[0].launches)


@pytest.mark.parametrize("suffix", [".plan", ".kernel"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * 99)])
def test_what_is_gone_or_damaged_is_made_again(suffix, damage, as_in_a_new_process, folder):
    graph = trace(constants(), ROWS).graph
    expected = [array.tobytes() for array in NativeProgram(graph, CPU)([ROWS])]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        if path.suffix == suffix:
            damage(path)
    as_in_a_new_process()
    assert [array.tobytes() for array in NativeProgram(graph, CPU)([ROWS])] == expected
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_a_folder_nothing_is_kept(monkeypatch):
    cache = KernelCache(Engine())
    monkeypatch.setattr(program, "default_cache", lambda: cache)
    assert NativeProgram(trace(constants(), ROWS).graph, CPU)([ROWS])[0].shape == ROWS.shape


def scaled(factor: np.ndarray) -> Callable[..., Tensor]:
    factor.flags.writeable = False
    return lambda x: x * Tensor(factor)


def drawing(early: bool) -> Callable[..., Tensor]:
    """A step that makes a second key before it draws by the first, or behind."""
    rng = np.random.default_rng(0)

    def step(x):
        first = key_from(rng)
        if early:
            key_from(rng)
        drawn = normal(first, x.shape)
        if not early:
            key_from(rng)
        return x + drawn

    return step


ONE = np.ones(3, np.float32)
DIFFERENT = [
    pytest.param(lambda: scaled(ONE), lambda: scaled(np.nextafter(ONE, 2)), (ONE,), id="last-bits-of-constants"),
    pytest.param(lambda: lambda x: ops.sum(x, axis=0), lambda: lambda x: ops.sum(x), (ONE,), id="parameters-of-ops"),
    pytest.param(lambda: lambda x: x * 2.0, lambda: lambda x: x * 2.0000000000000004, (ONE,), id="numbers"),
    pytest.param(perceptron, lambda: perceptron(SGD(momentum=0.9, nesterov=True)), (IMAGES, LABELS), id="optimisers"),
    pytest.param(lambda: drawing(True), lambda: drawing(False), (ONE,), id="when-keys-are-made"),
]


@pytest.mark.parametrize(("one", "other", "inputs"), DIFFERENT)
def test_what_differs_has_another_key(one, other, inputs, as_in_a_new_process):
    cache = program.default_cache()
    keys = [key_of(trace(make(), *map(Tensor, inputs)).graph, cache, 2) for make in (one, one, other)]
    assert keys[0] == keys[1] != keys[2]
    assert key_of(trace(one(), *map(Tensor, inputs)).graph, cache, 1) != keys[0]


def test_a_plan_is_what_it_was_written_as(as_in_a_new_process):
    cache = program.default_cache()
    for make, inputs in ((convolutional, (IMAGES, LABELS)), (embedding, (TOKENS,))):
        plan = planned(trace(make(), *inputs).graph, cache.engine.target, 2).plan
        content = encode(plan)
        assert content is not None
        assert encode(decode(content)) == content


PLANNED = """
import hashlib
import numpy as np
from nasturtium.core.compiler.llvm import Engine
from nasturtium.core.compiler.native.group import Unsupported
from nasturtium.core.compiler.native.plan import encode
from nasturtium.core.compiler.native.planning import planned
from nasturtium.core.compiler.trace import trace
from test_plan import IMAGES, LABELS, convolutional
content = encode(planned(trace(convolutional(), IMAGES, LABELS).graph, Engine().target, 2).plan)
print(hashlib.sha256(content).hexdigest())
"""


def test_processes_plan_alike(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))
    found = set[str]()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        done = subprocess.run([sys.executable, "-c", PLANNED], capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def own_op(factor: float) -> Callable[..., Tensor]:
    scaled = kernel_op("scaled", reference=lambda x: x * np.float32(factor), cuda=None)
    table = np.arange(4, dtype=np.float32)
    table.flags.writeable = False
    return lambda x: x + scaled(Tensor(table))


def test_ops_of_the_users_own_may_be_others_next_time(as_in_a_new_process):
    x = np.zeros(4, np.float32)
    assert key_of(trace(own_op(2), x).graph, program.default_cache(), 2) is None
    assert [NativeProgram(trace(own_op(factor), x).graph, CPU)([x])[0][1] for factor in (2, 3)] == [2, 3]


def test_another_entry_under_the_name_of_a_plan_is_none(as_in_a_new_process, folder):
    graph = trace(constants(), ROWS).graph
    expected = [array.tobytes() for array in NativeProgram(graph, CPU)([ROWS])]
    [plan], kernels = list(folder.glob("*.plan")), list(folder.glob("*.kernel"))
    plan.write_bytes(kernels[0].read_bytes())
    as_in_a_new_process()
    assert [array.tobytes() for array in NativeProgram(graph, CPU)([ROWS])] == expected


@pytest.mark.parametrize("content", [b"{}", b"[]", b"text", b"\xff"])
def test_what_is_no_plan_is_made_again(content, as_in_a_new_process):
    graph, cache = trace(constants(), ROWS).graph, program.default_cache()
    cache.keep(f"{key_of(graph, cache, program.default_pool().threads)}.plan", content)
    assert NativeProgram(graph, CPU)([ROWS])[0].shape == ROWS.shape


def test_numbers_in_foreign_byte_order_are_nothing_for_kernels():
    with pytest.raises(Unsupported, match="foreign byte order"):
        NativeProgram(trace(lambda x: x * 2.0, ROWS.astype(">f4")).graph, CPU)
