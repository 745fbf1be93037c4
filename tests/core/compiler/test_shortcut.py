"""The one call of C around a compiled step does what Python does around it, or leaves it to Python."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from array import array
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import pytest

from nasturtium.core import Tensor, device, grad, native, no_grad, ops, tree
from nasturtium.core.compiler.compile import compile
from nasturtium.core.compiler.native import team
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.errors import BoundsError, ConfigError, ShapeError
from nasturtium.core.nn import BatchNorm, Dropout, Linear, Sequential
from nasturtium.core.optim import EMA, SGD, Adam

pytestmark = pytest.mark.skipif(native.accelerate is None, reason="accelerate.c is not built")

RNG = np.random.default_rng(3)
X = RNG.standard_normal((8, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 8).astype(np.int32)


class Counted:
    """Counts the runs that Python does."""

    def __init__(self, monkeypatch):
        self.count = 0
        run = NativeProgram.__call__

        def counted(program, *args, **kwargs):
            results = run(program, *args, **kwargs)
            # Memory at the end of a page is copied before each run, by Python.
            self.count += program.parts is None or all(array is not None for array in program.parts.arrays)
            return results

        monkeypatch.setattr(NativeProgram, "__call__", counted)
        monkeypatch.setattr(team, "FIRST", -1)  # numbers of threads are compared in Python


@pytest.fixture
def by_python(monkeypatch):
    return Counted(monkeypatch)


class Training:
    """A classifier, its optimiser, and a step that is compiled."""

    def __init__(self, optimizer=None, extra=None):
        self.model = Linear(6, 3, rng=np.random.default_rng(0))
        if extra is not None:
            self.model = Sequential(self.model, extra)
        self.optimizer = optimizer or SGD(learning_rate=0.1, momentum=0.9)
        parameters = self.model.parameters()
        self.state = self.optimizer.init(parameters)

        def step(x, y):
            loss = ops.cross_entropy(self.model(x), y)
            self.optimizer.step(self.state, grad(loss, parameters))
            return loss

        self.plain, self.step = step, compile(step)


def batches(count):
    for number in range(count):
        yield Tensor(np.roll(X, number, axis=0)), Tensor(np.roll(Y, number))


@pytest.mark.parametrize(
    "optimizer", [SGD(learning_rate=0.1), SGD(learning_rate=0.1, momentum=0.9), Adam(learning_rate=0.01)]
)
def test_a_training_is_the_same(optimizer, by_python):
    compiled, eager = Training(optimizer), Training(optimizer)
    for x, y in batches(20):
        np.testing.assert_allclose(float(compiled.step(x, y)), float(eager.plain(x, y)), rtol=1e-5)
    assert compiled.state.step == 20
    assert by_python.count <= 1
    for ours, theirs in zip(compiled.model.parameters(), eager.model.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-6)


def test_what_it_returns_is_nobody_elses_memory():
    double = compile(lambda x: x + x)
    first, second = (double(Tensor(X + shift)) for shift in np.float32([0, 1]))
    third = double(Tensor(X + np.float32(2)))
    for result, shift in ((first, 0), (second, 1), (third, 2)):
        np.testing.assert_array_equal(result.data, 2 * (X + np.float32(shift)))


def test_random_draws_are_left_to_python(by_python):
    training = Training(extra=Dropout(0.5, rng=np.random.default_rng(0)))
    for x, y in batches(5):
        training.step(x, y)
    assert by_python.count == 5


def test_running_statistics_move(by_python):
    compiled, eager = Training(extra=BatchNorm(3)), Training(extra=BatchNorm(3))
    for x, y in batches(6):
        np.testing.assert_allclose(float(compiled.step(x, y)), float(eager.plain(x, y)), rtol=1e-5)
    assert by_python.count <= 1
    ours, theirs = compiled.model.state(), eager.model.state()
    assert any("mean" in name for name in ours)
    for name, wanted in theirs.items():
        np.testing.assert_allclose(ours[name], wanted, rtol=1e-4, atol=1e-6)


def test_averages_of_parameters_move(by_python):
    found = []
    for run in (compile, lambda step: step):
        training, average = Training(), EMA(decay=0.9)
        kept = average.init(training.state)

        def step(x, y, training=training, average=average, kept=kept):
            loss = training.plain(x, y)
            average.step(kept, training.state)
            return loss

        go = run(step)
        for x, y in batches(6):
            go(x, y)
        found.append(kept.values.copy())
    assert by_python.count <= 1
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-7)


RETURNED = {
    "tuple": lambda x, f: (x * f, x + f),
    "list": lambda x, f: [x * f],
    "dict": lambda x, f: {"product": x * f, "others": [None, x + f, "text"]},
    "named": lambda x, f: Pair(x * f, 3),
}


class Pair(NamedTuple):
    tensor: Tensor
    number: int


@pytest.mark.parametrize("name", RETURNED)
def test_several_results_and_floats(name, by_python):
    function = RETURNED[name]
    compiled = compile(function)
    for shift in range(4):
        x, factor = Tensor(X + np.float32(shift)), 0.5 + shift
        found, wanted = compiled(x, factor), function(x, factor)
        assert type(found) is type(wanted)
        pairs = list(zip(tree.leaves(found), tree.leaves(wanted), strict=True))
        for one, other in pairs:
            if isinstance(other, Tensor):
                np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
            else:
                assert one == other
    assert by_python.count <= 1
    assert compiled.compilations == 1
    compiled(Tensor(X), 2)  # a whole number is part of what is compiled
    assert compiled.compilations == 2


def test_a_rate_that_changes(by_python):
    found = []
    for run in (compile, lambda step: step):
        training = Training(Adam(learning_rate=0.01))

        def step(x, y, rate, training=training):
            loss = ops.cross_entropy(training.model(x), y)
            parameters = training.model.parameters()
            training.optimizer.step(training.state, grad(loss, parameters), learning_rate=rate)
            return loss, loss * 2.0

        go = run(step)
        for number, (x, y) in enumerate(batches(6)):
            loss, double = go(x, y, 0.1 / (1 + number))
            assert float(double) == pytest.approx(2 * float(loss))
        found.append(np.concatenate([parameter.data.ravel() for parameter in training.model.parameters()]))
    assert by_python.count <= 1
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: a[::-1], lambda a: np.repeat(a, 2, 0)[::2]])
def test_memory_of_any_layout(layout, by_python):
    double = compile(lambda x: x + x)
    for shift in range(4):
        given = layout(X + np.float32(shift))
        np.testing.assert_array_equal(double(Tensor(given)).data, 2 * given)
        given += 1  # a copy that was bound would be out of date
        np.testing.assert_array_equal(double(Tensor(given)).data, 2 * given)
    assert by_python.count <= 1


def test_other_memory_in_a_parameter_is_seen():
    weight = Linear(6, 3, rng=np.random.default_rng(0)).parameters()[0]
    scaled = compile(lambda x: x @ weight.T)
    for factor in (1, 1, 2, 2):
        weight.data = np.full(weight.shape, factor, np.float32)
        np.testing.assert_allclose(scaled(Tensor(X)).data, X @ weight.data.T, rtol=1e-6)
    weight.data[...] = 7
    np.testing.assert_allclose(scaled(Tensor(X)).data, X @ weight.data.T, rtol=1e-6)


def test_other_kinds_of_arguments_are_left_to_python(by_python):
    double = compile(lambda x: x + x)
    for given in (X, X, X[:3], X.astype(np.float64), X, X[:3]):
        np.testing.assert_array_equal(double(Tensor(given)).data, given + given)
    assert double.compilations == 3
    np.testing.assert_array_equal(double(X).data, X + X)  # an array, and no tensor


def test_gradients_flow_through_it():
    double, leaf = compile(lambda x: x + x), Tensor(X, requires_grad=True)
    for given in (Tensor(X), leaf, leaf, leaf):
        result = double(given)
    assert grad(ops.sum(result), [leaf])[0].data.max() == 2


def test_what_a_step_reaches_is_watched():
    factor, settings = 2.0, {"add": 1.0}
    scaled = compile(lambda x: x * factor + settings["add"])
    for _ in range(3):
        np.testing.assert_allclose(scaled(Tensor(X)).data, X * 2 + 1, rtol=1e-5, atol=1e-6)
    factor, settings["add"] = 3.0, 5.0
    for _ in range(3):
        np.testing.assert_allclose(scaled(Tensor(X)).data, X * 3 + 5, rtol=1e-5, atol=1e-6)


def test_modes_and_devices_are_watched(by_python):
    double = compile(lambda x: x + x)
    for _ in range(2):
        double(Tensor(X))
    assert by_python.count <= 1
    with no_grad():
        double(Tensor(X))
    with device("cpu"):
        double(Tensor(X))
    assert by_python.count == 3


def test_a_wrong_class_is_an_error_and_the_next_step_goes_on():
    training = Training()
    for x, y in batches(3):
        training.step(x, y)
    before = [parameter.data.copy() for parameter in training.model.parameters()]
    for wrong in (3, -1):
        with pytest.raises(ShapeError, match="names class"):
            training.step(Tensor(X), Tensor(np.full(8, wrong, np.int32)))
    assert training.state.step == 3
    for parameter, kept in zip(training.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, kept)
    training.step(Tensor(X), Tensor(Y))
    assert training.state.step == 4


def test_places_from_the_end_are_left_to_python():
    pick = compile(lambda x, at: x[at])
    for at in ([0, 1], [5, 7], [-1, -8]):
        np.testing.assert_array_equal(pick(Tensor(X), Tensor(np.array(at))).data, X[at])
    with pytest.raises(BoundsError):
        pick(Tensor(X), Tensor(np.array([0, 8])))


def test_an_error_before_a_run_leaves_no_lock_behind():
    training = Training(Adam(learning_rate=0.01))

    def step(x, y, rate):
        loss = ops.cross_entropy(training.model(x), y)
        training.optimizer.step(training.state, grad(loss, training.model.parameters()), learning_rate=rate)
        return loss

    compiled = compile(step)
    for rate in (0.1, 0.2, 0.3):
        compiled(Tensor(X), Tensor(Y), Tensor(np.float32(rate)))
    with pytest.raises(ConfigError, match="learning_rate"):
        compiled(Tensor(X), Tensor(Y), Tensor(np.float32("nan")))
    done: list[Tensor] = []
    other = threading.Thread(target=lambda: done.append(compiled(Tensor(X), Tensor(Y), Tensor(np.float32(0.1)))))
    other.start()
    other.join(60)
    assert len(done) == 1


def test_several_threads_call_it():
    training = Training(SGD(learning_rate=0.0))
    wanted = float(training.step(Tensor(X), Tensor(Y)))
    found: list[float] = []

    def call():
        found.extend(float(training.step(Tensor(X), Tensor(Y))) for _ in range(200))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 800
    assert set(found) == {wanted}
    assert training.state.step == 801


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_it_goes_on_in_a_forked_process():
    double = compile(lambda x: ops.sum(x @ x.T))
    wanted = [float(double(Tensor(X))) for _ in range(3)][-1]
    child = os.fork()
    if child == 0:
        os._exit(0 if float(double(Tensor(X))) == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert float(double(Tensor(X))) == wanted


def test_what_nobody_holds_is_gone():
    training = Training()
    for x, y in batches(3):
        training.step(x, y)
    watched = weakref.ref(training.step), weakref.ref(training.model)
    del training, x, y
    gc.collect()
    assert [each() for each in watched] == [None, None]


TUPLES = ("kinds", "sizes", "cells", "named", "tensors", "sources", "bounds", "states", "results")
OTHERS = (
    "mode",
    "entered",
    "convert",
    "bind",
    "prepare",
    "acquire",
    "release",
    "acquire_pool",
    "release_pool",
    "finish",
)
PARTS = dict.fromkeys(TUPLES, ()) | dict.fromkeys(OTHERS) | {"arrays": [], "workers": [], "given": {}, "held": {}}
PARTS |= {"devices": ContextVar("devices"), "assemble": tuple}


@pytest.mark.parametrize(
    "change",
    [
        {"devices": None},
        {"assemble": None},
        {"kinds": []},
        {"arrays": ()},
        {"given": None},
        {"sources": (("x", 0),)},
        {"sources": (("x",),)},
        {"sources": ("x",)},
        {"sources": (("x", "y"),)},
        {"bounds": (("x", -1),)},
        {"bounds": (("x", 1 << 70),)},
    ],
)
def test_parts_that_are_none(change):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        native.accelerate.Shortcut(array("q", [1, -1]), (0, 0, 0, 0, 0), **PARTS | change)


@pytest.mark.parametrize("name", PARTS)
def test_all_parts_are_needed(name):
    assert callable(native.accelerate.Shortcut(array("q", [1, -1]), (0, 0, 0, 0, 0), **PARTS))
    with pytest.raises(TypeError, match=name):
        native.accelerate.Shortcut(
            array("q", [1, -1]), (0, 0, 0, 0, 0), **{key: part for key, part in PARTS.items() if key != name}
        )
