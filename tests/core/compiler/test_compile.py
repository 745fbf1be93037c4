"""A compiled function is the function, whatever is done to it: arguments, state, randomness, surroundings, errors."""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from nasturtium.core import Tensor, device, grad, no_grad, ops, random
from nasturtium.core.compiler.compile import CAPACITY, RecompilationWarning, compile
from nasturtium.core.compiler.trace import trace
from nasturtium.core.errors import CompileError, ConfigError, GradientError, TraceError
from nasturtium.core.nn import AlphaDropout, BatchNorm, Buffer, ChannelDropout, Dropout, Module, Parameter, Sequential
from nasturtium.core.optim import EMA, LAMB, SGD, Adafactor, Adam, RMSprop, clip_by_norm, clip_by_value

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def same(actual, expected):
    np.testing.assert_allclose(actual.detach().numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-7)


class Affine(Module):
    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.weight = Parameter(rng.standard_normal((3, 2)).astype(np.float32))
        self.bias = Parameter(np.zeros(2, np.float32))
        self.scale = 2.0

    def forward(self, x):
        return ops.tanh(x @ self.weight + self.bias) * self.scale


class TestArguments:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda f, a, b: f(a, b), id="tensors"),
            pytest.param(lambda f, a, b: f(a.numpy(), b), id="arrays"),
            pytest.param(lambda f, a, b: f(a, y=b), id="keywords"),
        ],
    )
    def test_tensors_and_arrays(self, call):
        compiled = compile(lambda x, y: x * y + 1.0)
        for shift in (0.0, 1.0):
            a, b = Tensor(ROWS + np.float32(shift)), Tensor(ROWS)
            same(call(compiled, a, b), a * b + 1.0)
        assert compiled.compilations == 1

    def test_containers(self):
        def step(batch, others):
            return {"sum": batch["x"] + others[0][1], "other": [others[1], "text", None]}

        compiled = compile(step)
        for shift in (0.0, 1.0):
            x, y = Tensor(ROWS + np.float32(shift)), Tensor(ROWS * np.float32(2))
            found = compiled({"x": x}, ((0, y), x))
            same(found["sum"], x + y)
            same(found["other"][0], x)
            assert found["other"][1:] == ["text", None]
        assert compiled.compilations == 1
        assert compiled({"x": x}, [(0, y), x])["sum"].shape == (4, 3)
        assert compiled.compilations == 2  # a list is no tuple

    def test_a_float_may_change_and_any_other_value_is_part_of_the_program(self):
        compiled = compile(lambda x, rate, power, flag: (x * rate) ** power if flag else x + rate)
        for rate in (0.5, 0.25, -3.0):
            same(compiled(ROWS, rate, 2, True), (Tensor(ROWS) * rate) ** 2)
        assert compiled.compilations == 1
        same(compiled(ROWS, 0.5, 3, True), (Tensor(ROWS) * 0.5) ** 3)
        same(compiled(ROWS, 0.5, 3, False), Tensor(ROWS) + 0.5)
        assert compiled.compilations == 3

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_a_float_takes_the_dtype_of_the_tensors_beside_it(self, dtype):
        x = Tensor(ROWS).astype(dtype)
        found = compile(lambda x, rate: x * rate)(x, 0.1)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), (x * 0.1).numpy(), rtol=1e-3 if dtype == "float16" else 1e-7)

    def test_shapes_dtypes_and_gradients_are_part_of_the_program(self):
        compiled = compile(lambda x: x.sum(axis=0) + x.shape[0])
        for rows in (ROWS, ROWS[:0], ROWS.astype(np.float64)):
            same(compiled(rows), Tensor(rows).sum(axis=0) + len(rows))
        assert compiled.compilations == 3
        with pytest.warns(RecompilationWarning, match="argument 0 was float64"):
            assert compiled(Tensor(ROWS, requires_grad=True)).requires_grad

    def test_results_are_the_caller_s_own(self):
        kept = Tensor(ROWS.copy())
        compiled = compile(lambda x: (x, ops.transpose(kept, axes=(1, 0)), x.reshape(-1)))
        x = Tensor(ROWS.copy())
        for result in compiled(x):
            result.data[...] = 7.0
        np.testing.assert_array_equal(x.numpy(), ROWS)
        np.testing.assert_array_equal(kept.numpy(), ROWS)


class TestSurroundings:
    def test_what_is_captured_is_read_anew(self):
        weight = Tensor(ROWS.copy())
        compiled = compile(lambda x: x + weight * weight)  # the square is nothing but captured
        for factor in (1.0, 2.0):
            weight.data *= np.float32(factor)
            same(compiled(ROWS), Tensor(ROWS) + weight * weight)
        assert compiled.compilations == 1

    @pytest.mark.filterwarnings("ignore::nasturtium.core.compiler.compile.RecompilationWarning")
    def test_attributes_closures_and_modules_that_change(self):
        model, rate, settings = Affine(), 0.5, [1.0, 2.0]

        @dataclass
        class Options:
            shift: float = 0.0

        options = Options()

        def step(x):
            return model(x) * rate + settings[0] + options.shift

        compiled = compile(step)
        changes = [
            lambda: None,
            lambda: setattr(model, "scale", 3.0),
            lambda: settings.__setitem__(0, 5.0),
            lambda: setattr(options, "shift", 1.0),
            lambda: setattr(model, "weight", Parameter(np.ones((3, 2), np.float32))),
            lambda: setattr(model, "forward", lambda x: x @ model.weight),
        ]
        for change in changes:
            change()
            same(compiled(ROWS), step(Tensor(ROWS)))
        rate = 0.25
        same(compiled(ROWS), step(Tensor(ROWS)))
        assert compiled.compilations == len(changes) + 1

    def test_a_program_comes_back_when_all_is_as_it_was(self):
        model = Sequential(BatchNorm(3), Dropout(0.5, rng=np.random.default_rng(0)))
        compiled = compile(model)
        for training in (True, False, True, False):
            model.train(training)
            assert compiled(ROWS).shape == (4, 3)
        assert compiled.compilations == 2
        same(compiled(ROWS), model(Tensor(ROWS)))

    def test_without_gradients_and_on_other_devices(self):
        model = Affine()
        compiled = compile(model)
        assert compiled(ROWS).requires_grad
        with no_grad():
            assert not compiled(ROWS).requires_grad
        with device("cpu"):
            same(compiled(ROWS), model(Tensor(ROWS)))

    def test_many_programs_are_not_kept(self):
        compiled = compile(lambda x: x + 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecompilationWarning)
            for rows in range(CAPACITY + 4):
                compiled(np.zeros(rows, np.float32))
        before = compiled.compilations
        compiled(np.zeros(CAPACITY, np.float32))
        assert compiled.compilations == before
        with pytest.warns(RecompilationWarning):
            compiled(np.zeros(0, np.float32))  # the oldest is gone

    def test_the_third_time_it_is_said_why(self):
        compiled = compile(lambda x, name: (x if name == "a" else x[0] if isinstance(x, list) else -x) + 1.0)
        for rows in range(3):
            compiled(ROWS[:rows], "a")
        with pytest.warns(RecompilationWarning, match=r"4th time: argument 0 was float32\[2, 3\], is float32\[3, 3\]"):
            compiled(ROWS[:3], "a")
        with pytest.warns(RecompilationWarning, match="5th time: argument 1 was 'a', is 'b'"):
            compiled(ROWS[:3], "b")
        with pytest.warns(RecompilationWarning, match="the structure of its arguments"):
            compiled([ROWS], "b")

    def test_threads_share_a_function(self):
        compiled, found = compile(lambda x: ops.tanh(x) * 2.0), []
        threads = [threading.Thread(target=lambda i=i: found.append((i, compiled(ROWS + i)))) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, y in found:
            same(y, ops.tanh(Tensor(ROWS + i)) * 2.0)
        assert len(found) == 8


def train(optimizer, compiled, *, clip=None, average=None, steps=5):
    """A few steps on made rows; what they left."""
    model = Affine(1)
    parameters = model.parameters()
    state = optimizer.init(parameters)
    kept = average.init(state) if average else None

    def step(x, y, rate):
        nonlocal state, kept
        loss = ops.mean((model(x) - y) ** 2)
        gradients = state.gather(grad(loss, parameters))
        norm = clip(gradients, 0.05) if clip else loss
        state = optimizer.step(state, gradients, learning_rate=rate)
        kept = average.step(kept, state) if average else None
        return loss, norm

    run = compile(step) if compiled else step
    rng = np.random.default_rng(2)
    losses = []
    for number in range(steps):
        x, y = (Tensor(rng.standard_normal((8, columns)).astype(np.float32)) for columns in (3, 2))
        losses.append([float(item) for item in run(x, y, 0.1 / (number + 1))])
    assert not compiled or run.compilations == 1
    return losses, state.parameters, *state.moments.values(), np.zeros(1) if kept is None else kept.values, state.step


class TestState:
    @pytest.mark.parametrize(
        ("optimizer", "extras"),
        [
            pytest.param(SGD(learning_rate=0.1), {}, id="sgd"),
            pytest.param(SGD(momentum=0.9, nesterov=True, weight_decay=0.01), {"clip": clip_by_norm}, id="momentum"),
            pytest.param(Adam(), {"clip": clip_by_value}, id="adam"),
            pytest.param(RMSprop(), {"average": EMA()}, id="rmsprop-average"),
            pytest.param(LAMB(), {"clip": clip_by_norm, "average": EMA(warmup=False)}, id="lamb"),
            pytest.param(Adafactor(), {}, id="adafactor"),
        ],
    )
    def test_training_is_training(self, optimizer, extras):
        for actual, expected in zip(train(optimizer, True, **extras), train(optimizer, False, **extras), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)

    def test_running_statistics_follow(self):
        kept = []
        for wrapper in (compile, lambda function: function):
            layer = BatchNorm(3)
            run = wrapper(lambda x, layer=layer: layer(x))
            for shift in range(3):
                run(Tensor(ROWS + np.float32(shift)))
            kept.append((layer.running_mean.data, layer.running_var.data))
        np.testing.assert_allclose(kept[0], kept[1], rtol=1e-6)

    def test_what_was_written_is_read(self):
        counter = Buffer(np.zeros(3, np.float32))

        def step(x):
            from nasturtium.core.state import set_state

            set_state(counter, counter + x)
            set_state(counter, counter * 2.0)
            return counter + 0.0

        compiled = compile(step)
        for expected in (2.0, 6.0, 14.0):
            np.testing.assert_array_equal(compiled(np.ones(3, np.float32)).numpy(), np.full(3, expected))
            np.testing.assert_array_equal(counter.numpy(), np.full(3, expected))

    def test_backward_leaves_gradients_on_leaves(self):
        model = Affine()

        def step(x):
            loss = ops.sum(model(x))
            loss.backward()
            return loss.detach()

        step(Tensor(ROWS))
        expected = model.weight.grad
        model.weight.grad = model.bias.grad = None
        compiled = compile(step)
        for _ in range(2):
            model.weight.grad = model.bias.grad = None
            compiled(ROWS)
            same(model.weight.grad, expected)

    def test_gradients_flow_through(self):
        model = Affine()
        compiled = compile(model)
        for shift in (0.0, 1.0):
            x = Tensor(ROWS + np.float32(shift), requires_grad=True)
            expected = grad(ops.sum(model(x) ** 2), [x, model.weight, model.bias])
            found = grad(ops.sum(compiled(x) ** 2), [x, model.weight, model.bias])
            for a, b in zip(found, expected, strict=True):
                same(a, b)
        assert compiled.compilations == 1
        with pytest.raises(GradientError, match="compile the function that takes the gradient"):
            grad(ops.sum(compiled(x)), [x], create_graph=True)

    def test_a_gradient_from_outside_sees_what_was_dropped(self):
        model = Dropout(0.5, rng=np.random.default_rng(0))
        compiled = compile(model)
        x = Tensor(np.ones(64, np.float32), requires_grad=True)
        for _ in range(3):
            y = compiled(x)
            same(grad(ops.sum(y), [x])[0], y)


class TestRandomness:
    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda rng: Dropout(0.5, rng=rng), id="dropout"),
            pytest.param(lambda rng: ChannelDropout(0.5, rng=rng), id="channels"),
            pytest.param(lambda rng: AlphaDropout(0.5, rng=rng), id="alpha"),
        ],
    )
    def test_layers_draw_what_they_would(self, make):
        eager, traced = (make(np.random.default_rng(3)) for _ in range(2))
        compiled, x = compile(traced), Tensor(np.ones((4, 5, 3), np.float32))
        for _ in range(3):
            same(compiled(x), eager(x))

    def test_keys_from_a_generator(self):
        def step(x, rng):
            key, other = random.key_from(rng).split()
            x = ops.dropout(x, key=key.fold_in(3), rate=0.5)
            return x + Tensor(random.normal(other, (4, 3)))

        eager, traced = (np.random.default_rng(3) for _ in range(2))
        compiled = compile(step)
        for _ in range(3):
            same(compiled(Tensor(ROWS), traced), step(Tensor(ROWS), eager))
        assert compiled.compilations == 1

    def test_another_key_is_another_program(self):
        compiled = compile(lambda x, key: ops.dropout(x, key=key, rate=0.5))
        for word in range(2):
            key = random.Key(word, 0)
            same(compiled(Tensor(ROWS), key), ops.dropout(Tensor(ROWS), key=key, rate=0.5))


def early(x):
    if ops.sum(x) > 0:
        return x
    return -x


UNTRACEABLE = [
    pytest.param(early, "the truth of a tensor", id="if"),
    pytest.param(lambda x: x * float(x.sum()), "the value of a tensor", id="float"),
    pytest.param(lambda x: x * x.sum().item(), "the value of a tensor", id="item"),
    pytest.param(lambda x: x[int(ops.argmax(x.sum(axis=1)))], "the value of a tensor", id="int"),
    pytest.param(lambda x: np.exp(x.numpy()), "the array of a tensor", id="numpy"),
    pytest.param(lambda x: np.asarray(x), "the array of a tensor", id="asarray"),
    pytest.param(lambda x: list(range(ops.argmax(x))), "an integer", id="range"),
    pytest.param(lambda x: np.from_dlpack(x), "the memory of a tensor", id="dlpack"),
    pytest.param(lambda x: ops.unique_values(x), "the shape of what unique_values makes", id="shape"),
]


class TestErrors:
    @pytest.mark.parametrize(("function", "match"), UNTRACEABLE)
    def test_what_looks_at_values_is_an_error_with_the_line(self, function, match):
        compiled = compile(function)
        for _ in range(2):
            with pytest.raises(TraceError, match=f"{match} is not known while a function is compiled.*test_compile.py"):
                compiled(ROWS)
        assert compiled.compilations == 0

    def test_an_error_of_an_op_is_that_of_eager_mode(self):
        def step(x):
            return x @ x

        messages = []
        for function in (step, compile(step)):
            with pytest.raises(ValueError, match="matmul") as caught:
                function(Tensor(ROWS))
            messages.append(re.sub(r"0x\w+", "", str(caught.value)))
        assert messages[0] == messages[1]

    def test_nothing_happens_where_tracing_fails(self):
        layer = BatchNorm(3)
        compiled = compile(lambda x: layer(x) * float(layer(x).sum()))
        with pytest.raises(TraceError):
            compiled(ROWS)
        np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))

    def test_a_tensor_that_was_kept(self):
        kept = []
        compile(lambda x: kept.append(x) or x)(ROWS)
        with pytest.raises(TraceError, match="an earlier tracing left behind"):
            _ = kept[0] + 1.0

    def test_a_parameter_behind_the_step(self):
        model = Affine()
        optimizer = SGD()
        state = optimizer.init(model.parameters())

        def step(x):
            optimizer.step(state, grad(ops.sum(model(x)), model.parameters()))
            return ops.sum(model.weight * 2.0)

        with pytest.raises(TraceError, match=r"a parameter after the step of SGD\.step"):
            compile(step)(ROWS)

    def test_an_unknown_back_end(self):
        with pytest.raises(ConfigError, match=r"expected a backend of .*numpy.*got 'abacus'"):
            compile(lambda x: x, backend="abacus")

    def test_a_misfit_of_gradients(self):
        model = Affine()
        state = SGD().init(model.parameters())

        def step(x):
            return SGD().step(state, state.gather(list(reversed(grad(ops.sum(model(x)), model.parameters()))))).step

        with pytest.raises(ValueError, match="gradient 0 has shape"):
            compile(step)(ROWS)


class TestGraph:
    def test_it_reads_like_the_function(self):
        model = Affine()
        graph = compile(model).graph(ROWS)
        text = str(graph)
        assert "graph forward(%0: float32[4, 3])" in text or "graph Affine(%0: float32[4, 3])" in text
        assert "capture float32[3, 2]" in text
        assert re.search(r"%\d+ = matmul\(%0, %1\): float32\[4, 2\] +# .*test_compile.py:\d+", text)
        assert "return %" in text
        assert graph.to_dot().count("shape=box") == len(list(graph.sources()))

    def test_its_hash_knows_what_is_computed_and_not_where(self):
        one, two, other = (
            trace(function, ROWS).graph.sha256()
            for function in (lambda x: x + 1.0, lambda x: x + 1.0, lambda x: x + 2.0)
        )
        assert one == two
        assert one != other

    @pytest.mark.parametrize(
        ("spoil", "match"),
        [
            pytest.param(lambda graph: graph.nodes.reverse(), "reads 1 values that nothing made", id="order"),
            pytest.param(lambda graph: graph.nodes.append(graph.nodes[0]), "that another node makes", id="twice"),
            pytest.param(lambda graph: graph.nodes.pop(), "a result is made by nothing", id="missing"),
            pytest.param(lambda graph: graph.arguments.clear(), "reads 1 values", id="argument"),
        ],
    )
    def test_the_verifier_sees_what_is_wrong(self, spoil, match):
        graph = trace(lambda x: ops.tanh(ops.exp(x)), ROWS).graph
        graph.verify()
        spoil(graph)
        with pytest.raises(CompileError, match=match):
            graph.verify()


class TestWhatATracedFunctionMakes:
    """Arrays that only the traced function had are constants; what others hold may change."""

    def test_is_constant(self):
        def step(x, labels):
            table = Tensor(np.linspace(0, 1, 3).astype(np.float32))
            return ops.cross_entropy(x * table * Tensor(np.float32(2)), labels, label_smoothing=0.1)

        graph = compile(step).graph(ROWS, np.array([0, 1, 2, 0]))
        assert not graph.captures
        same(compile(step)(ROWS, np.array([0, 1, 2, 0])), step(Tensor(ROWS), np.array([0, 1, 2, 0])))

    @pytest.mark.parametrize("back_end", ["auto", "numpy"])
    def test_is_not_what_somebody_else_holds(self, back_end):
        number, array = Tensor(np.float32(3)), np.ones(3, np.float32)
        compiled = compile(lambda x: x * number + array + Tensor(array[:1]), backend=back_end)
        same(compiled(ROWS), Tensor(ROWS * 3 + 2))
        number.data[...] = 5
        array[...] = 2
        same(compiled(ROWS), Tensor(ROWS * 5 + 4))


def test_a_mistake_of_ours_is_not_the_users(monkeypatch, caplog):
    pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")
    from nasturtium.core.compiler.native import planning, program

    def wrong(*_):
        raise AssertionError("a bug")

    monkeypatch.setattr(program, "key_of", lambda *_: None)  # no plan of other days
    monkeypatch.setattr(planning, "lower", wrong)
    with pytest.raises(CompileError, match="cannot be compiled: AssertionError: a bug"):
        compile(ops.exp, backend="llvm")(ROWS)
    same(compile(ops.exp)(ROWS), ops.exp(Tensor(ROWS)))
    assert "runs on the reference back end" in caplog.text


VIEWS = {
    "another-shape": lambda w: ops.reshape(w, shape=(6,)),
    "turned": lambda w: w.T,
    "all-rows": lambda w: w[0:2],
    "a-row": lambda w: w[0],
    "turned-twice": lambda w: ops.reshape(w.T.T, shape=(3, 2)),
}


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_parameter_that_is_returned_is_what_it_was_before_the_step(view, backend):
    weight = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3), requires_grad=True)
    before = VIEWS[view](Tensor(weight.numpy().copy())).numpy()
    optimizer = SGD(learning_rate=1.0)
    state = optimizer.init([weight])

    @partial(compile, backend=backend)
    def step(x, given):
        gradient = grad(ops.sum(weight * x), [weight])
        kept = VIEWS[view](weight), given
        optimizer.step(state, gradient)
        return kept

    found, given = step(np.ones((2, 3), np.float32), weight.detach())
    np.testing.assert_array_equal(found.detach().numpy(), before)
    np.testing.assert_array_equal(given.detach().numpy(), np.arange(6).reshape(2, 3))  # the same memory, as an argument
    np.testing.assert_array_equal(weight.numpy(), np.arange(6).reshape(2, 3) - 1)


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("clip", [True, False])
def test_gradients_that_are_known_while_tracing(clip, backend):
    """The loss does not depend on the parameters, so their gradient is zero: a step of weight decay alone."""
    other = Parameter(np.ones(3, np.float32))
    weights = [Parameter(np.full((2, 3), 2, np.float32)), Parameter(np.full(3, 2, np.float32))]
    optimizer = SGD(learning_rate=0.5, weight_decay=0.5)
    state = optimizer.init(weights)

    @partial(compile, backend=backend)
    def step(x):
        gradients = grad(ops.sum(x * other), [*weights, other])[:2]
        whole = state.gather(gradients)
        if clip:
            clip_by_norm(whole, 1.0)
        optimizer.step(state, whole)

    for _ in range(2):
        state.buffer.gradient[...] = 99  # who else uses it
        step(np.ones(3, np.float32))
    np.testing.assert_array_equal(state.parameters, np.full(9, 2 * 0.75**2, np.float32))


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("new", [np.full(3, 4, np.float64), np.full((5, 1), 4, np.float32)], ids=["dtype", "shape"])
def test_memory_of_another_kind_in_a_parameter(new, backend):
    weight = Parameter(np.full(3, 2, np.float32))
    double = compile(lambda x: x * weight, backend=backend)
    for _ in range(2):
        np.testing.assert_array_equal(double(np.ones(3, np.float32)).detach().numpy(), np.full(3, 2))
    old, weight.data = weight.data, new
    double.explain(np.ones(3, np.float32))
    for _ in range(2):
        found = double(np.ones(3, np.float32)).detach().numpy()
        np.testing.assert_array_equal(found, np.ones(3, np.float32) * new, strict=True)
    assert double.compilations == 2
    weight.data = old
    double(np.ones(3, np.float32))
    weight.data = new
    with pytest.warns(RecompilationWarning, match=r"4th time: a captured tensor was float32\[3\], is float") as told:
        double(np.ones(3, np.float32))
    assert told[0].filename == __file__
