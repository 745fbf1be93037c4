"""Laws that every entry of the op table obeys; adding an op adds its tests."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import OPS, Tensor, grad
from nasturtium.core.op import OpDef, Sample
from nasturtium.core.tensor import apply

CASES = [pytest.param(op, sample, id=f"{op.name}-{sample}") for op in OPS.values() for sample in op.samples]
INVALID = [pytest.param(op, case, id=f"{op.name}-{case}") for op in OPS.values() for case in op.invalid]


def make(sample: Sample, *, seed: int = 0, dtype=np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [spec.make(rng, dtype) for spec in sample.inputs]


def strided(array: np.ndarray) -> np.ndarray:
    """The same values in memory that is contiguous in no order."""
    if array.ndim == 0:
        return array
    wide = np.repeat(array.T, 2, axis=-1 if array.ndim == 1 else 0)
    return wide[::2].T


def differentiable(op: OpDef, arrays: list[np.ndarray]) -> list[int]:
    return [i for i, array in enumerate(arrays) if array.dtype.kind == "f" and op.input_vjp(i) is not None]


def run(op: OpDef, arrays: list[np.ndarray], params: dict, wanted: list[int]) -> tuple[list[Tensor], Tensor]:
    tensors = [Tensor(array, requires_grad=i in wanted) for i, array in enumerate(arrays)]
    return tensors, apply(op, *tensors, **params)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_value_is_the_reference(op, sample):
    arrays = make(sample)
    expected = op.reference(*arrays, **sample.params)
    _, exact = run(op, arrays, sample.params, [])
    np.testing.assert_allclose(exact.data, expected, rtol=1e-12, atol=1e-12)
    assert exact.shape == np.shape(expected)
    single = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays]
    _, rounded = run(op, single, sample.params, [])
    assert rounded.dtype == np.dtype(sample.params.get("dtype", np.float32))
    np.testing.assert_allclose(rounded.data, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_memory_order_does_not_matter_and_inputs_stay_unchanged(op, sample):
    arrays = make(sample)
    views = [strided(array) for array in arrays]
    copies = [view.copy() for view in views]
    _, plain = run(op, arrays, sample.params, [])
    _, moved = run(op, views, sample.params, [])
    np.testing.assert_allclose(moved.data, plain.data, rtol=1e-12, atol=1e-12)
    for view, copy in zip(views, copies, strict=True):
        np.testing.assert_array_equal(view, copy)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_first_and_second_gradient_match_finite_differences(op, sample):
    """The gradient of <weights, op(x)> along a random direction, and the gradient of that gradient."""
    arrays = make(sample)
    wanted = differentiable(op, arrays)
    if not wanted:
        pytest.skip("no differentiable input")
    rng = np.random.default_rng(1)
    direction = [rng.standard_normal(arrays[i].shape) for i in wanted]
    tensors, output = run(op, arrays, sample.params, wanted)
    weights = Tensor(rng.standard_normal(output.shape))
    second_weights = [Tensor(rng.standard_normal(arrays[i].shape)) for i in wanted]

    def moved(step: float) -> tuple[list[Tensor], Tensor]:
        shifted = list(arrays)
        for i, along in zip(wanted, direction, strict=True):
            shifted[i] = arrays[i] + step * along
        return run(op, shifted, sample.params, wanted)

    def first(step: float) -> float:
        return float((moved(step)[1] * weights).sum())

    def second(step: float) -> float:
        shifted, value = moved(step)
        gradients = grad((value * weights).sum(), [shifted[i] for i in wanted])
        return sum(float((g * w).sum()) for g, w in zip(gradients, second_weights, strict=True))

    def slope(function, step=1e-5):
        return (function(step) - function(-step)) / (2 * step)

    inputs = [tensors[i] for i in wanted]
    gradients = grad((output * weights).sum(), inputs, create_graph=True)
    along = sum(float(np.sum(g.data * d)) for g, d in zip(gradients, direction, strict=True))
    assert along == pytest.approx(slope(first), rel=1e-5, abs=1e-7)
    for gradient, tensor in zip(gradients, inputs, strict=True):
        assert gradient.shape == tensor.shape
        assert gradient.dtype == tensor.dtype

    projected = sum(((g * w).sum() for g, w in zip(gradients, second_weights, strict=True)), Tensor(np.float64(0)))
    if projected.requires_grad:
        again = grad(projected, inputs)
        along = sum(float(np.sum(g.data * d)) for g, d in zip(again, direction, strict=True))
    else:
        along = 0.0  # linear in its inputs: the gradient is constant
    assert along == pytest.approx(slope(second), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("op", "case"), INVALID)
def test_invalid_input_is_refused_and_named(op, case):
    with pytest.raises(case.error, match=case.match):
        run(op, make(case), case.params, [])


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_every_entry_is_complete(op):
    assert op.doc, "an op says what it computes"
    assert op.samples, "an op has samples"
    arity = {len(sample.inputs) for sample in op.samples}
    if not callable(op.vjp):
        assert arity == {len(op.vjp)}, "one rule, or None, per input"


def test_a_second_op_of_the_same_name_is_an_error():
    with pytest.raises(ValueError, match="declared twice"):
        OPS.add("add", OPS["add"])


@pytest.mark.gpu
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_cupy_agrees_with_numpy(op, sample):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    arrays = make(sample)
    wanted = differentiable(op, arrays)
    tensors, output = run(op, arrays, sample.params, wanted)
    moved, result = run(op, [cupy.asarray(array) for array in arrays], sample.params, wanted)
    assert (str(result.device), result.dtype, result.shape) == ("cuda:0", output.dtype, output.shape)
    np.testing.assert_allclose(cupy.asnumpy(result.data), output.data, rtol=1e-10, atol=1e-12)
    if not output.requires_grad:
        return
    expected = grad(output.sum(), [tensors[i] for i in wanted])
    for gradient, reference in zip(grad(result.sum(), [moved[i] for i in wanted]), expected, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(gradient.data), reference.data, rtol=1e-9, atol=1e-11)
