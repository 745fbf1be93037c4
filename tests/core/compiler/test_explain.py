"""What is said of a compiled function is true, and to say it changes nothing."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from nasturtium.core import OPS, Tensor, compile, grad, ops, random
from nasturtium.core.compiler.arithmetic import macs_of, operations_of
from nasturtium.core.compiler.graph import Draw, Node, Value, inferred
from nasturtium.core.compiler.native.group import VIEWS
from nasturtium.core.compiler.roofline import Roofline, machine_roofline
from nasturtium.core.compiler.undisturbed import undisturbed
from nasturtium.core.nn import Activation, BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential
from nasturtium.core.optim import SGD, Adam
from nasturtium.core.shapes import Spec

ROWS = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
IMAGES = np.random.default_rng(1).standard_normal((4, 1, 6, 6)).astype(np.float32)
LABELS = np.arange(8) % 3


@pytest.fixture(scope="module")
def _native():
    pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")


def training(model, optimizer):
    state = optimizer.init(model.parameters())

    def step(x, labels):
        loss = ops.cross_entropy(model(x), labels)
        optimizer.step(state, grad(loss, model.parameters()))
        return loss

    return step, state


def dense():
    rng = np.random.default_rng(2)
    return Sequential(Linear(5, 7, rng=rng), Activation("relu"), Linear(7, 3, rng=rng))


def convolutional():
    rng = np.random.default_rng(2)
    parts = [Conv2d(1, 4, 3, padding=1, rng=rng), BatchNorm(4), Activation("relu"), Flatten()]
    return Sequential(*parts, Dropout(0.5, rng=np.random.default_rng(3)), Linear(144, 3, rng=rng))


@pytest.mark.usefixtures("_native")
class TestNative:
    @pytest.fixture(scope="class")
    @staticmethod
    def told(_native):
        return compile(training(dense(), SGD(learning_rate=0.1, momentum=0.9))[0]).explain(ROWS, LABELS)

    def test_passes_and_launches(self, told):
        (program,) = told.programs
        assert (program.back_end, program.why) == ("llvm", None)
        assert [stage.name for stage in program.stages][:2] == ["traced", "optimized"]
        assert program.stages[-1].name == "decomposed"
        last = program.stages[-1].text
        assert program.stages[-1].nodes == last.count(" = ") - len(re.findall(r"= (capture|constant|draw) ", last))
        made = set(re.findall(r"= (\w+)\(", last)) - VIEWS
        assert made <= {op for launch in program.launches for op in launch.ops}
        assert program.launches[-1].title == "SGD.step"

    def test_costs(self, told):
        (program,) = told.programs
        products = [8 * 5 * 7, 8 * 7 * 3]
        macs = sorted(launch.macs for launch in program.launches if launch.macs)
        assert macs == sorted([products[0]] * 2 + [products[1]] * 3)  # no gradient of the rows
        for launch in program.launches:
            assert launch.size_bytes > 0
            seconds = max(launch.flops / told.machine.flops, launch.size_bytes / told.machine.bytes)
            assert launch.predicted_ns == pytest.approx(1e9 * seconds)
            assert launch.measured_ns is not None
        step = program.launches[-1]
        assert step.written_bytes == 2 * 4 * (5 * 7 + 7 + 7 * 3 + 3)  # parameters and velocity
        assert step.read_bytes == step.written_bytes * 3 // 2  # and gradients

    def test_lines_are_the_users(self, told):
        lines = {line for launch in told.programs[0].launches for line in launch.lines}
        assert lines
        assert all("test_explain.py:" in line for line in lines)
        assert any("cross_entropy" in line for line in lines)

    def test_plan(self, told):
        (program,) = told.programs
        arena = program.arena
        assert 0 < arena.bound_bytes <= arena.planned_bytes <= arena.unplanned_bytes + 64 * len(arena.parts)
        for a, b in combinations(arena.parts, 2):
            alive = a.first <= b.last and b.first <= a.last
            assert not alive or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset, (a, b)
        assert max(part.offset + part.nbytes for part in arena.parts) <= arena.planned_bytes
        assert [part.label for part in arena.parts if part.kind == "gradient"] == ["gradients"]
        assert "relu [8, 7]" in {part.label for part in arena.parts}
        phases = [launch.phase for launch in program.launches]
        assert phases == sorted(phases)

    def test_text_svg_and_dict(self, told):
        text = str(told)
        assert max(map(len, text.splitlines())) <= 120
        for wanted in (
            "GFLOP/s",
            "passes: traced",
            "matmul",
            "SGD.step",
            "in all",
            "above the bound",
            "test_explain.py:",
        ):
            assert wanted in text
        plain = told.to_dict()
        assert json.loads(json.dumps(plain)) == plain
        assert len(plain["programs"][0]["launches"]) == len(told.programs[0].launches)
        root = ElementTree.fromstring(told.to_svg())
        space = "{http://www.w3.org/2000/svg}"
        assert len(root.findall(f"{space}rect")) > len(told.programs[0].arena.parts)
        assert root.findall(f"{space}circle")
        width = float(root.attrib["width"])
        assert all(0 <= float(text.attrib["x"]) <= width for text in root.iter(f"{space}text"))

    @pytest.mark.parametrize("backend", ["llvm", "numpy"])
    @pytest.mark.parametrize("make", [SGD, partial(Adam, weight_decay=0.1)])
    def test_leaves_nothing_behind(self, backend, make):
        found = []
        for explained in (False, True):
            model = convolutional()
            step, state = training(model, make(learning_rate=0.1))
            compiled = compile(step, backend=backend)
            losses = []
            for _ in range(3):
                if explained:
                    before = [array.copy() for array in kept(model, state)]
                    told = compiled.explain(IMAGES, LABELS[:4])
                    assert all(map(np.array_equal, before, kept(model, state)))
                    assert told.programs[0].back_end == backend
                losses.append(float(compiled(IMAGES, LABELS[:4])))
            assert compiled.compilations == 1
            found.append((losses, [array.copy() for array in kept(model, state)], state.step))
        assert found[0][0] == found[1][0]
        assert all(map(np.array_equal, found[0][1], found[1][1]))
        assert found[0][2] == found[1][2] == 3

    def test_what_ends_a_product_is_part_of_it(self):
        model = dense().freeze()
        (program,) = compile(lambda x: ops.exp(model(x))).explain(ROWS).programs
        assert ("matmul", "add", "relu") in {launch.ops for launch in program.launches}

    def test_a_gradient_from_outside(self):
        weight = Tensor(ROWS[:5].copy(), requires_grad=True)
        compiled = compile(lambda x: ops.tanh(x @ weight))
        forward, backward = compiled.explain(ROWS).programs
        assert "tanh" in {op for launch in forward.launches for op in launch.ops}
        assert backward.name == f"{forward.name}.pullback"
        assert sum(launch.macs for launch in backward.launches) == sum(launch.macs for launch in forward.launches)

    def test_why_it_is_not_native(self):
        told = compile(lambda x: ops.exp(x)).explain(ROWS.astype(np.float64))
        assert told.programs[0].back_end == "numpy"
        assert "float64" in told.programs[0].why
        assert "float64" in str(told)


def kept(model, state):
    """All memory that a step changes."""
    return [*(np.asarray(each) for each in model.state().values()), *state.moments.values()]


def test_numpy_tells_of_nodes():
    told = compile(training(dense(), SGD(learning_rate=0.1))[0], backend="numpy").explain(ROWS, labels=LABELS)
    (program,) = told.programs
    assert (program.back_end, program.why, program.arena) == ("numpy", "it was asked for", None)
    assert len(program.launches) == program.stages[-1].nodes
    assert all(launch.measured_ns is not None for launch in program.launches)
    assert max(map(len, str(told).splitlines())) <= 120
    ElementTree.fromstring(told.to_svg())
    json.dumps(told.to_dict())


def node(name, *inputs, **params):
    op = OPS[name]
    values = [Value(Spec(shape, np.dtype(np.float32))) if isinstance(shape, tuple) else shape for shape in inputs]
    made = Node(op, tuple(values), {**op.defaults, **params})
    made.outputs = tuple(Value(spec, made, i) for i, spec in enumerate(inferred(op, values, made.params)[0]))
    return made


CONV = {"stride": (2, 2), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 2}


@pytest.mark.parametrize(
    ("made", "macs"),
    [
        pytest.param(node("matmul", (3, 4), (4, 5)), 60, id="matmul"),
        pytest.param(node("conv", (2, 4, 8, 8), (6, 2, 3, 3), **CONV), 2 * 6 * 16 * 18, id="conv"),
        pytest.param(
            node("conv_input_grad", (2, 6, 4, 4), (6, 2, 3, 3), lengths=(8, 8), **CONV), 2 * 6 * 16 * 18, id="input"
        ),
        pytest.param(
            node("conv_weight_grad", (2, 4, 8, 8), (2, 6, 4, 4), size=(3, 3), **CONV), 2 * 6 * 16 * 18, id="weight"
        ),
        pytest.param(node("exp", (3, 4)), 0, id="exp"),
    ],
)
def test_multiply_accumulates(made, macs):
    assert macs_of(made) == macs


@pytest.mark.parametrize(
    ("made", "each"),
    [
        pytest.param(node("add", (3, 4), (3, 4)), 1, id="add"),
        pytest.param(node("exp", (3, 4)), 14, id="exp"),
        pytest.param(node("power", (3, 4), -0.5), 10, id="rsqrt"),
        pytest.param(node("sum", (3, 4)), 1, id="sum"),
        pytest.param(node("transpose", (3, 4), axes=(1, 0)), 0, id="transpose"),
    ],
)
def test_operations(made, each):
    assert operations_of(made) == 12 * each


def test_a_roofline():
    roof = Roofline(flops=100.0, bytes=10.0, by="")
    assert roof.balance == 10
    assert (roof.seconds(200, 1), roof.seconds(1, 200)) == (2, 20)
    assert (roof.attainable(1), roof.attainable(1000)) == (10, 100)
    assert machine_roofline() is machine_roofline()
    assert machine_roofline().flops > machine_roofline().bytes / 100 > 0


class Holder:
    def __init__(self, rng):
        self.rng = rng

    def draw(self):
        return self.rng.random(3)


def test_draws_do_not_move_generators():
    rngs = np.random.default_rng(0).spawn(3)
    holder = Holder(rngs[0])
    draws = [
        Draw(None, holder.draw),
        Draw(None, partial(rngs[1].random, 2)),
        Draw(None, lambda: random.key_from(rngs[2])),
    ]
    states = [rng.bit_generator.state for rng in rngs]
    with undisturbed(draws):
        for draw in draws:
            draw.make()
        assert all(rng.bit_generator.state != state for rng, state in zip(rngs, states, strict=True))
    assert [rng.bit_generator.state for rng in rngs] == states
