"""Functions and kernels with gradients of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import (
    ConfigError,
    GradientError,
    Tensor,
    allow_nondeterminism,
    custom_jvp,
    custom_vjp,
    grad,
    gradcheck,
    hvp,
    jvp,
    kernel_op,
    ops,
    vjp,
    vmap,
)
from nasturtium.core.cuda import CudaKernel


@custom_vjp(lambda g, y, x, *, scale: (g * scale,), saves=())
def scaled_backward(x, *, scale):
    """The identity, whose gradient is scaled."""
    return x


@custom_vjp(lambda g, y, a, b: (g * b, g * a), saves=("inputs",))
def product(a, b):
    return a * b


@custom_jvp(lambda t, y, x, w: t[0] * ops.exp(x) * w + t[1] * ops.exp(x))
def exp_times(x, w):
    return ops.exp(x) * w


@custom_vjp(lambda g, y, x: (g[0] * 2.0 * x + g[1],), saves=("inputs",))
def square_and_self(x):
    return x * x, x


def draw(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape))


def test_the_given_rule_replaces_the_gradient():
    gradient = grad(lambda x: (scaled_backward(x, scale=3.0) * 2.0).sum())(draw(4))
    np.testing.assert_array_equal(gradient.data, np.full(4, 6.0))


@pytest.mark.parametrize(
    ("function", "plain", "shapes"),
    [
        pytest.param(product, lambda a, b: a * b, [(3, 2), (3, 2)], id="custom_vjp"),
        pytest.param(exp_times, lambda x, w: ops.exp(x) * w, [(4,), (4,)], id="custom_jvp"),
        pytest.param(
            lambda x: sum(square_and_self(x), Tensor(np.float64(0))), lambda x: x * x + x, [(5,)], id="two-outputs"
        ),
    ],
)
class TestARuleThatIsTheTrueDerivative:
    """Every transformation of the function equals that of the same computation without a rule."""

    def inputs(self, shapes, batch: tuple[int, ...] = ()) -> list[Tensor]:
        return [draw(*batch, *shape, seed=i) for i, shape in enumerate(shapes)]

    def test_gradcheck_passes_to_second_order(self, function, plain, shapes):
        gradcheck(function, *(x.data for x in self.inputs(shapes)), rng=np.random.default_rng(0))

    def test_forward_mode(self, function, plain, shapes):
        inputs = self.inputs(shapes)
        tangents = [draw(*shape, seed=10 + i) for i, shape in enumerate(shapes)]
        for mine, reference in zip(jvp(function, inputs, tangents), jvp(plain, inputs, tangents), strict=True):
            np.testing.assert_allclose(mine.data, reference.data, rtol=1e-12)

    def test_reverse_mode(self, function, plain, shapes):
        inputs = self.inputs(shapes)
        value, pull = vjp(function, *inputs)
        _, reference = vjp(plain, *inputs)
        seed = draw(*value.shape, seed=7)
        for mine, expected in zip(pull(seed), reference(seed), strict=True):
            np.testing.assert_allclose(mine.data, expected.data, rtol=1e-12)

    def test_hessian_vector_product(self, function, plain, shapes):
        inputs = self.inputs(shapes)
        tangents = [draw(*shape, seed=10 + i) for i, shape in enumerate(shapes)]
        mine = hvp(lambda *args: (function(*args) ** 2).sum(), inputs, tangents)
        reference = hvp(lambda *args: (plain(*args) ** 2).sum(), inputs, tangents)
        for a, b in zip(mine[1], reference[1], strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-9)

    @pytest.mark.parametrize("shared", [False, True])
    def test_batches_and_their_gradients(self, function, plain, shapes, shared):
        inputs = self.inputs(shapes, (3,))
        if shared:
            if len(inputs) == 1:
                pytest.skip("one input")
            inputs[-1] = draw(*shapes[-1], seed=9)
        axes = [0] * (len(inputs) - 1) + [None if shared else 0]
        np.testing.assert_allclose(vmap(function, axes)(*inputs).data, vmap(plain, axes)(*inputs).data, rtol=1e-12)

        def total(f):
            return grad(lambda *args: (vmap(f, axes)(*args) ** 2).sum(), argnums=range(len(inputs)))(*inputs)

        def each(f):
            return vmap(grad(lambda *args: (f(*args) ** 2).sum(), argnums=range(len(inputs))), axes)(*inputs)

        for run in (total, each):
            for mine, reference in zip(run(function), run(plain), strict=True):
                np.testing.assert_allclose(mine.data, reference.data, rtol=1e-10)


def test_a_rule_that_returns_too_few_gradients_is_named():
    @custom_vjp(lambda g, y, a, b: g)
    def bad(a, b):
        return a + b

    with pytest.raises(ConfigError, match="expected 2, got 1"):
        grad(lambda a, b: bad(a, b).sum())(draw(2), draw(2))


def test_gradcheck_finds_a_wrong_rule():
    wrong = custom_vjp(lambda g, y, x: g * x * 2.1, saves=("inputs",))(lambda x: x * x)
    with pytest.raises(GradientError, match="first derivative"):
        gradcheck(wrong, np.ones(3), rng=np.random.default_rng(0))
    detached = custom_vjp(lambda g, y, x: g * 2.0 * ops.constant(x), saves=("inputs",))(lambda x: x * x)
    with pytest.raises(GradientError, match="second derivative"):
        gradcheck(detached, np.ones(3), rng=np.random.default_rng(0))
    gradcheck(detached, np.ones(3), rng=np.random.default_rng(0), order=1)


SQUARE = CudaKernel(
    """extern "C" __global__ void square(const double* x, double* y, long long n) {
           long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
           if (i < n) y[i] = x[i] * x[i];
       }""",
    "square",
    reference=lambda x, y, n: np.copyto(y, x * x),
)


def launch_square(x):
    """On CuPy's arrays."""
    y = x.copy()
    SQUARE.over(x.size, x, y, x.size)
    return y


square = kernel_op(
    "square", reference=np.square, cuda=launch_square, vjp=lambda g, y, x: g * 2.0 * x, saves=("inputs",)
)


def test_a_cuda_kernel_as_an_op_is_launched_recorded_and_differentiated(strict_cupy):
    """On the strict stand-in for CuPy; what it computes is compared with the CPU's, gradients of gradients too."""
    strict_cupy.register(SQUARE)
    x = np.array([0.5, -2.0, 3.0])
    moved = Tensor(strict_cupy.asarray(x), requires_grad=True)
    result = square(moved)
    assert [launch.name for launch in strict_cupy.launches] == ["square"]
    assert str(result.device) == "cuda:0"
    np.testing.assert_array_equal(strict_cupy.asnumpy(result.data), square(x).data)
    (gradient,) = grad(square(moved).sum(), [moved], create_graph=True)
    (again,) = grad((gradient * gradient).sum(), [moved])
    np.testing.assert_allclose(strict_cupy.asnumpy(again.data), 8 * x)
    gradcheck(square, x, rng=np.random.default_rng(0))


def test_the_kernel_of_the_test_above_is_cuda():
    pytest.importorskip("cuda.bindings", reason="NVRTC is not installed (extra: parity)")
    assert SQUARE.compile("sm_90")[:4] == b"\x7fELF"


@pytest.mark.gpu
def test_a_cuda_kernel_as_an_op_on_a_gpu(gpu):
    x = np.array([0.5, -2.0, 3.0])
    gradcheck(square, Tensor(x, device=gpu), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(square(Tensor(x, device=gpu)).to("cpu").data, x * x)


def test_gradcheck_wants_float64():
    with pytest.raises(GradientError, match="expected float64"):
        gradcheck(ops.exp, np.ones(3, np.float32), rng=np.random.default_rng(0))


class TestKernelOp:
    """A kernel with a NumPy reference is an op."""

    softsquare = staticmethod(
        kernel_op(
            "softsquare",
            reference=lambda x: x * x / (1 + x * x),
            cuda=lambda x: pytest.fail("there is no GPU in this test"),
            vjp=lambda g, y, x: g * 2.0 * x / (1.0 + x * x) ** 2,
            saves=("inputs",),
        )
    )

    def test_runs_its_reference_on_the_cpu_and_is_differentiable_twice(self):
        x = np.array([0.5, -2.0, 1.0])
        np.testing.assert_allclose(self.softsquare(x).data, x * x / (1 + x * x))
        gradcheck(self.softsquare, x, rng=np.random.default_rng(0))

    def test_without_a_rule_a_gradient_is_an_error_that_says_so(self):
        opaque = kernel_op("opaque", reference=np.sin, cuda=np.sin)
        with pytest.raises(GradientError, match="opaque has no gradient rule"):
            grad(lambda x: opaque(x).sum())(Tensor([1.0]))

    def test_a_kernel_that_is_not_deterministic_runs_only_where_that_is_allowed(self):
        racing = kernel_op("racing", reference=np.cumsum, cuda=np.cumsum, deterministic=False)
        with pytest.raises(ConfigError, match="other bits from run to run"):
            racing(np.ones(3))
        with allow_nondeterminism():
            np.testing.assert_array_equal(racing(np.ones(3)).data, [1, 2, 3])
