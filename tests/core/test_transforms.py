"""Transformations compose, keep no more memory than they must, and say what they cannot do."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import (
    ConfigError,
    GradientError,
    ShapeError,
    Tensor,
    checkpoint,
    clipped_gradients,
    custom_vjp,
    grad,
    hvp,
    jvp,
    kernel_op,
    nn,
    no_grad,
    ops,
    per_sample_gradients,
    per_sample_norms,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
from nasturtium.core.vmap import BatchFallbackWarning


def draw(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape))


def cube(x: Tensor) -> Tensor:
    return (x * x * x).sum()


class TestGrad:
    def test_of_a_gradient(self):
        x = draw(4)
        second = grad(lambda x: grad(cube)(x).sum())(x)
        np.testing.assert_allclose(second.data, 6 * x.data)
        third = grad(lambda x: grad(lambda x: grad(cube)(x).sum())(x).sum())(x)
        np.testing.assert_allclose(third.data, np.full(4, 6.0))

    def test_does_not_confuse_an_inner_variable_with_the_outer_one(self):
        """d/dx x * (d/dy x y at y = x) is d/dx x * x, not d/dx x * 2 x."""

        def outer(x: Tensor) -> Tensor:
            return (x * grad(lambda y: (x * y).sum())(x)).sum()

        x = draw(3)
        np.testing.assert_allclose(grad(outer)(x).data, 2 * x.data)

    def test_of_trees_and_several_arguments(self):
        def loss(parameters: dict, x: Tensor) -> Tensor:
            w, (b,) = parameters["w"], parameters["b"]
            return ((x @ w + b) ** 2).sum()

        parameters = {"w": draw(3, 2), "b": [draw(2, seed=1)]}
        x = draw(4, 3, seed=2)
        value, (by_parameters, by_x) = value_and_grad(loss, argnums=(0, 1))(parameters, x)
        residual = x.data @ parameters["w"].data + parameters["b"][0].data
        assert float(value) == pytest.approx(np.sum(residual**2))
        np.testing.assert_allclose(by_parameters["w"].data, 2 * x.data.T @ residual)
        np.testing.assert_allclose(by_parameters["b"][0].data, 2 * residual.sum(0))
        np.testing.assert_allclose(by_x.data, 2 * residual @ parameters["w"].data.T)

    def test_hands_extra_results_through(self):
        gradient, extra = grad(lambda x: (cube(x), {"norm": x.sum()}), has_aux=True)(draw(2))
        assert gradient.shape == (2,)
        assert not extra["norm"].requires_grad

    def test_works_inside_no_grad(self):
        with no_grad():
            np.testing.assert_allclose(grad(cube)(Tensor([2.0])).data, [12.0])

    def test_of_something_unused_is_zero(self):
        gradient = grad(lambda a, b: a.sum(), argnums=1)(draw(2), draw(3))
        np.testing.assert_array_equal(gradient.data, np.zeros(3))

    @pytest.mark.parametrize(
        ("call", "match"),
        [
            pytest.param(lambda: grad(lambda x: x)(draw(2)), "returns one number, got shape", id="many-elements"),
            pytest.param(lambda: grad(lambda x: 1.0)(draw(2)), "returns one number, got 'float'", id="no-tensor"),
            pytest.param(lambda: grad(cube)(Tensor([1, 2])), "got dtype int64", id="integers"),
            pytest.param(lambda: grad(cube, argnums=2)(draw(2)), "argnums names argument 2", id="no-argument"),
        ],
    )
    def test_refuses(self, call, match):
        with pytest.raises((GradientError, ConfigError), match=match):
            call()

    def test_complex_gradients_point_uphill(self):
        """For L = |z - c|^2 the direction of steepest ascent is 2 (z - c), as in PyTorch."""
        z, c = Tensor([1 + 2j, -1j]), Tensor([0.5 + 0j, 1 + 1j])
        gradient = grad(lambda z: (ops.absolute(z - c) ** 2).sum())(z)
        np.testing.assert_allclose(gradient.data, 2 * (z.data - c.data), rtol=1e-6)
        leaf = Tensor([1 + 2j], requires_grad=True)
        ops.real(leaf * leaf).sum().backward()
        np.testing.assert_allclose(leaf.grad.data, 2 * np.conj(leaf.data))


class TestVjpJvpHvp:
    def test_pulling_back_any_number_of_times(self):
        value, pull = vjp(lambda x: ops.tanh(x), draw(3))
        for seed in range(2):
            u = draw(3, seed=seed)
            np.testing.assert_allclose(pull(u)[0].data, u.data * (1 - value.data**2))

    def test_a_jacobian_by_vmapped_pulls_equals_one_by_vmapped_pushes(self):
        w = draw(4, 3)

        def function(x: Tensor) -> Tensor:
            return ops.tanh(w @ x.reshape(3, 1)).reshape(4)

        x = draw(3, seed=1)
        _, pull = vjp(function, x)
        rows = vmap(lambda u: pull(u)[0])(Tensor(np.eye(4)))
        columns = vmap(lambda t: jvp(function, (x,), (t,))[1])(Tensor(np.eye(3)))
        np.testing.assert_allclose(rows.data, columns.data.T, rtol=1e-12)

    def test_hvp_equals_the_hessian_by_two_reverse_passes(self):
        def function(x: Tensor) -> Tensor:
            return (ops.exp(x) * ops.sin(x.sum())).sum() if hasattr(ops, "sin") else (ops.exp(x) * x.sum()).sum()

        x, v = draw(3), draw(3, seed=1)
        (gradient,), (product,) = hvp(function, (x,), (v,))
        hessian = np.stack(
            [grad(lambda x, i=i: (grad(function)(x) * Tensor(np.eye(3)[i])).sum())(x).data for i in range(3)]
        )
        np.testing.assert_allclose(gradient.data, grad(function)(x).data)
        np.testing.assert_allclose(product.data, hessian @ v.data, rtol=1e-9)

    def test_forward_over_forward(self):
        def first(x):
            return jvp(cube, (x,), (Tensor(np.ones(2)),))[1]

        _, second = jvp(first, (draw(2),), (Tensor(np.ones(2)),))
        assert float(second) == pytest.approx(6 * draw(2).data.sum())

    def test_reverse_over_forward(self):
        gradient = grad(lambda x: jvp(cube, (x,), (Tensor(np.array([1.0, 0.0])),))[1])(draw(2))
        np.testing.assert_allclose(gradient.data, [6 * draw(2).data[0], 0])

    @pytest.mark.parametrize(
        ("call", "match"),
        [
            pytest.param(lambda: jvp(cube, (draw(2),), (draw(3),)), "the tangent's shape is", id="tangent"),
            pytest.param(lambda: jvp(cube, (draw(2),), ()), "one tangent per argument", id="count"),
            pytest.param(lambda: vjp(lambda x: x * 2.0, draw(2))[1](draw(3)), "cotangent's shape", id="cotangent"),
        ],
    )
    def test_refuses_shapes_that_do_not_fit(self, call, match):
        with pytest.raises(ShapeError, match=match):
            call()


class TestVmap:
    def test_over_any_axis_in_and_out(self):
        x = draw(4, 3, 5)
        result = vmap(lambda row: row * 2.0, in_axes=1, out_axes=-1)(x)
        np.testing.assert_array_equal(result.data, np.moveaxis(x.data * 2, 1, -1))

    def test_nested(self):
        x, y = draw(3, 4), draw(5, 4, seed=1)
        table = vmap(lambda a: vmap(lambda b: (a * b).sum())(y))(x)
        np.testing.assert_allclose(table.data, x.data @ y.data.T, rtol=1e-12)

    def test_over_trees_with_shared_arguments(self):
        batch = {"x": draw(3, 2), "y": draw(3, seed=1)}
        w = draw(2, seed=2)

        def one(example: dict, w: Tensor) -> Tensor:
            return (example["x"] * w).sum() - example["y"]

        result = vmap(one, in_axes=(0, None))(batch, w)
        np.testing.assert_allclose(result.data, batch["x"].data @ w.data - batch["y"].data, rtol=1e-12)

    def test_per_sample_gradients_by_vmap_of_grad(self):
        w, x = draw(3), draw(5, 3, seed=1)
        gradients = vmap(grad(lambda w, x: ops.tanh((w * x).sum())), in_axes=(None, 0))(w, x)
        slopes = 1 - np.tanh(x.data @ w.data) ** 2
        np.testing.assert_allclose(gradients.data, slopes[:, None] * x.data, rtol=1e-12)

    def test_gradient_of_a_vmapped_function(self):
        w, x = draw(3), draw(5, 3, seed=1)
        gradient = grad(lambda w: vmap(lambda x: ops.tanh((w * x).sum()))(x).sum())(w)
        np.testing.assert_allclose(gradient.data, ((1 - np.tanh(x.data @ w.data) ** 2)[:, None] * x.data).sum(0))

    def test_a_batch_of_hessian_vector_products(self):
        x, v = draw(4, 3), draw(4, 3, seed=1)
        products = vmap(lambda x, v: hvp(cube, (x,), (v,))[1][0])(x, v)
        np.testing.assert_allclose(products.data, 6 * x.data * v.data)

    @given(st.integers(1, 4), st.integers(0, 3))
    def test_a_result_that_does_not_depend_on_the_batch_is_repeated(self, size, length):
        result = vmap(lambda x: Tensor(np.arange(length, dtype=np.float32)))(Tensor(np.zeros((size, 2))))
        assert result.shape == (size, length)

    def test_an_op_without_a_rule_is_run_once_per_example_with_a_warning(self):
        cube_op = kernel_op("cube", reference=lambda x: x**3, cuda=lambda x: x**3)
        with pytest.warns(BatchFallbackWarning, match="cube has no batching rule: vmap runs it 4 times"):
            result = vmap(cube_op)(draw(4, 3))
        np.testing.assert_allclose(result.data, draw(4, 3).data ** 3)

    def test_refuses_what_depends_on_values(self):
        with pytest.raises(GradientError, match=r"ops\.where"):
            vmap(lambda x: x if float(x.sum()) > 0 else -x)(draw(3, 2))

    @pytest.mark.parametrize(
        ("call", "error", "match"),
        [
            pytest.param(
                lambda: vmap(ops.add)(draw(2), draw(3)), ShapeError, r"different lengths \[2, 3\]", id="sizes"
            ),
            pytest.param(lambda: vmap(ops.exp, in_axes=1)(draw(2)), ShapeError, "axis 1", id="axis"),
            pytest.param(lambda: vmap(ops.exp, in_axes=None)(draw(2)), ConfigError, "no argument", id="nothing"),
            pytest.param(
                lambda: vmap(ops.exp, out_axes=None)(draw(2)), ConfigError, "differs between examples", id="out"
            ),
        ],
    )
    def test_refuses(self, call, error, match):
        with pytest.raises(error, match=match):
            call()


class TestStopGradient:
    def test_in_every_mode(self):
        x = draw(3)

        def function(x: Tensor) -> Tensor:
            return (x * stop_gradient(x)).sum()

        np.testing.assert_allclose(grad(function)(x).data, x.data)
        assert float(jvp(function, (x,), (Tensor(np.ones(3)),))[1]) == pytest.approx(x.data.sum())
        np.testing.assert_allclose(vmap(grad(lambda x: x * stop_gradient(x)))(x).data, x.data)
        np.testing.assert_allclose(grad(lambda x: vmap(lambda x: x * stop_gradient(x))(x).sum())(x).data, x.data)


def deep(x: Tensor, layers: int = 24) -> Tensor:
    for _ in range(layers):
        x = ops.tanh(x * 1.1)
    return x


class TestMemory:
    """Only what the rules read is kept, and freed as it is used."""

    @staticmethod
    def peak(function) -> float:
        function()
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def test_a_backward_pass_needs_no_more_than_the_forward_pass_kept(self):
        x = Tensor(np.zeros((256, 256)), requires_grad=True)
        size = x.nbytes
        kept = self.peak(lambda: deep(x))
        with_backward = self.peak(lambda: deep(x).sum().backward())
        assert kept <= 25.5 * size, "tanh keeps its output, a product with a number keeps nothing"
        assert with_backward <= kept + 4.5 * size

    def test_saved_arrays_die_during_the_pass(self):
        alive: list[int] = []
        x = Tensor(np.ones((64, 64)), requires_grad=True)
        marks = [x]
        for _ in range(4):
            seen = custom_vjp(lambda g, y, x: alive.append(tracemalloc.get_traced_memory()[0]) or g, saves=())(
                lambda x: x
            )
            marks.append(seen(ops.tanh(marks[-1] * 1.0)))
        tracemalloc.start()
        loss = marks[-1].sum()
        del marks
        loss.backward()
        tracemalloc.stop()
        assert len(alive) == 4

    def test_a_checkpoint_trades_time_for_memory(self):
        x = Tensor(np.random.default_rng(0).standard_normal((256, 256)), requires_grad=True)

        def plain() -> Tensor:
            return deep(deep(deep(x, 12), 12), 12).sum()

        def saving() -> Tensor:
            y = x
            for _ in range(3):
                y = checkpoint(deep, y, 12)
            return y.sum()

        (expected,) = grad(plain(), [x])
        (found,) = grad(saving(), [x])
        np.testing.assert_array_equal(found.data, expected.data)
        assert self.peak(lambda: saving().backward()) < 0.6 * self.peak(lambda: plain().backward())


class TestCheckpoint:
    def test_parameters_reached_through_a_module_get_their_gradients(self):
        model = nn.Linear(3, 2, rng=np.random.default_rng(0))
        x = Tensor(np.ones((4, 3), np.float32))
        plain = grad(ops.tanh(model(x)).sum(), model.parameters())
        saved = grad(ops.tanh(checkpoint(model, x)).sum(), model.parameters())
        for a, b in zip(plain, saved, strict=True):
            np.testing.assert_array_equal(a.data, b.data)

    def test_gradients_of_gradients(self):
        def gradient_norm(function):
            return grad(lambda x: (grad(lambda x: function(x).sum())(x) ** 2).sum())(draw(3))

        plain, saved = gradient_norm(deep), gradient_norm(lambda x: checkpoint(deep, x))
        np.testing.assert_allclose(saved.data, plain.data, rtol=1e-12)

    def test_is_seen_through_by_other_transformations(self):
        x = draw(4, 3)
        np.testing.assert_array_equal(vmap(lambda x: checkpoint(deep, x))(x).data, vmap(deep)(x).data)
        tangent = jvp(lambda x: checkpoint(deep, x), (x,), (x,))[1]
        np.testing.assert_allclose(tangent.data, jvp(deep, (x,), (x,))[1].data)

    def test_several_results(self):
        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            return x * 2.0, ops.exp(x)

        gradient = grad(lambda x: sum((y.sum() for y in checkpoint(both, x)), Tensor(np.float64(0))))(draw(3))
        np.testing.assert_allclose(gradient.data, 2 + np.exp(draw(3).data))


class TestPerSample:
    def network(self) -> nn.Sequential:
        rng = np.random.default_rng(0)
        return nn.Sequential(nn.Linear(6, 5, rng=rng), nn.Activation("tanh"), nn.LayerNorm(5), nn.Linear(5, 3, rng=rng))

    def test_gradients_norms_and_clipped_sums_agree_with_a_loop(self):
        model = self.network()
        rng = np.random.default_rng(1)
        x, y = rng.standard_normal((7, 6)).astype(np.float32), rng.standard_normal((7, 3)).astype(np.float32)

        def losses(x: Tensor, y: Tensor) -> Tensor:
            return ((model(x) - y) ** 2).sum(1)

        parameters = model.parameters()
        values, gradients = per_sample_gradients(losses, parameters, x, y)
        _, norms = per_sample_norms(losses, parameters, x, y)
        _, again, clipped = clipped_gradients(losses, parameters, x, y, max_norm=1.5)
        expected = [np.zeros(p.shape) for p in parameters]
        for i in range(7):
            alone = losses(Tensor(x[i : i + 1]), Tensor(y[i : i + 1]))
            assert float(values[i]) == pytest.approx(float(alone), rel=1e-5)
            rows = grad(alone.sum(), parameters)
            for mine, reference in zip(gradients, rows, strict=True):
                np.testing.assert_allclose(mine.data[i], reference.data, rtol=1e-4, atol=1e-5)
            norm = np.sqrt(sum(float((row.data.astype(np.float64) ** 2).sum()) for row in rows))
            assert float(norms[i]) == pytest.approx(norm, rel=1e-4)
            for total, row in zip(expected, rows, strict=True):
                total += row.data * min(1.0, 1.5 / norm)
        np.testing.assert_array_equal(norms.data, again.data)
        for mine, reference in zip(clipped, expected, strict=True):
            np.testing.assert_allclose(mine.data, reference, rtol=1e-4, atol=1e-5)

    def test_a_gradient_that_is_left_over_of_large_numbers_is_clipped_too(self):
        """Weighted losses are rounded otherwise on the way back: measured once only, such a gradient came out half as
        long again as its bound.
        """
        model = nn.Linear(6, 3, rng=np.random.default_rng(0))
        rng = np.random.default_rng(1)
        weight = model.weight.data.astype(np.float64)
        unseen = np.linalg.svd(weight)[2][3:]  # inputs along these change no logit
        for _ in range(300):
            sure = np.linalg.lstsq(weight, np.array([rng.uniform(15, 18), 0, 0]))[0]
            x = (sure + rng.standard_normal(3) @ unseen * 10 ** rng.uniform(6, 8)).astype(np.float32)[None]
            _, _, clipped = clipped_gradients(
                lambda x: ops.cross_entropy(model(x), Tensor([0]), reduction="none"),
                model.parameters(),
                x,
                max_norm=1.0,
            )
            length = np.sqrt(sum(float((g.data.astype(np.float64) ** 2).sum()) for g in clipped))
            assert length < 1 + 2.0**-11 + 1e-5

    def test_a_weight_used_twice_is_counted_once(self):
        w = Tensor(np.random.default_rng(0).standard_normal((3, 3)), requires_grad=True)
        x = np.random.default_rng(1).standard_normal((4, 3))
        _, norms = per_sample_norms(lambda x: ops.tanh(x @ w @ w).sum(1), [w], x)
        for i in range(4):
            (row,) = grad(ops.tanh(Tensor(x[i : i + 1]) @ w @ w).sum(), [w])
            assert float(norms[i]) == pytest.approx(np.linalg.norm(row.data))

    def test_ghost_norms_make_no_gradients(self):
        """A layer of a million weights and a hundred samples: the gradients would take 800 MB."""
        w = Tensor(np.ones((1000, 1000)), requires_grad=True)
        x = np.ones((100, 1000))

        def run() -> None:
            per_sample_norms(lambda x: (x @ w).sum(1), [w], x)

        assert TestMemory.peak(run) < 30e6

    def test_batch_norm_is_refused_and_the_replacement_named(self):
        model = nn.Sequential(nn.BatchNorm(6))
        with pytest.raises(GradientError, match="mixes the samples") as caught:
            per_sample_gradients(lambda x: model(x).sum(1), model.parameters(), np.ones((4, 6), np.float32))
        assert "GroupNorm" in caught.value.hint
        model.eval()
        _, gradients = per_sample_gradients(lambda x: model(x).sum(1), model.parameters(), np.ones((4, 6), np.float32))
        assert gradients[0].shape == (4, 6)

    def test_a_mean_loss_is_refused(self):
        w = Tensor(np.ones(2), requires_grad=True)
        with pytest.raises(GradientError, match="one loss per sample"):
            per_sample_gradients(lambda x: (x * w).sum(), [w], np.ones((3, 2)))


def test_recording_modes_belong_to_their_thread():
    results = []

    def other() -> None:
        results.append(grad(cube)(Tensor([2.0])).item())
        results.append((Tensor([1.0], requires_grad=True) * 2.0).requires_grad)

    with no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert results == [12.0, True]


def test_a_module_answers_to_the_names_of_pytorch():
    first, second = (nn.Linear(3, 2, rng=np.random.default_rng(seed)) for seed in (0, 1))
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(first.weight.data, second.weight.data)


def test_functional_call_differentiates_by_the_state_of_a_module():
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    state = dict(model.named_tensors())
    x = Tensor(np.ones((4, 3), np.float32))
    gradients = grad(lambda state: nn.functional_call(model, state, x).sum())({k: v.detach() for k, v in state.items()})
    assert {name: g.shape for name, g in gradients.items()} == {"weight": (2, 3), "bias": (2,)}
    assert dict(model.named_tensors()) == state or all(
        a is b for a, b in zip(state.values(), model.parameters(), strict=True)
    )
    with pytest.raises(ConfigError, match="wheight"):
        nn.functional_call(model, {"wheight": x}, x)
