"""Laws that every entry of the op table obeys; adding an op adds its tests."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from nasturtium.core import OPS, Tensor, grad, jvp, per_sample_gradients, per_sample_norms, vjp, vmap
from nasturtium.core.dispatch import apply
from nasturtium.core.op import Batch, Flags, Jvp, OpDef, Sample
from nasturtium.core.shapes import Spec, is_inexact, spec_of
from nasturtium.core.vmap import BatchFallbackWarning

CASES = [pytest.param(op, sample, id=f"{op.name}-{sample}") for op in OPS.values() for sample in op.samples]
INVALID = [pytest.param(op, case, id=f"{op.name}-{case}") for op in OPS.values() for case in op.invalid]
SMOOTH = [case for case in CASES if case.values[0].differentiable]
EXACT = [case for case in SMOOTH if not case.values[0].flags & Flags.SURROGATE]


def make(sample: Sample, *, seed: int = 0, dtype=np.float64) -> list[np.ndarray]:
    """Draw a sample's inputs."""
    rng = np.random.default_rng(seed)
    return [spec.make(rng, dtype) for spec in sample.inputs]


def strided(array: np.ndarray) -> np.ndarray:
    """The same values in memory that is contiguous in no order."""
    if array.ndim == 0:
        return array
    wide = np.repeat(array.T, 2, axis=-1 if array.ndim == 1 else 0)
    return wide[::2].T


def outputs_of(result) -> tuple:
    """The results of an op as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def smooth(op: OpDef, arrays: list[np.ndarray]) -> list[int]:
    """The inputs that have gradients."""
    if not op.differentiable:
        return []
    return [
        i for i, array in enumerate(arrays) if is_inexact(array.dtype) and (callable(op.vjp) or op.vjp[i] is not None)
    ]  # fmt: skip


def run(op: OpDef, arrays, params: dict, wanted: list[int] = ()) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Tensors of the inputs, those in `wanted` as leaves, and the op's outputs."""
    tensors = [Tensor(array, requires_grad=i in wanted) for i, array in enumerate(arrays)]
    return tensors, outputs_of(apply(op, tensors, {**op.defaults, **params}))


def close(actual, expected, tolerance: tuple[float, float], what: str = "") -> None:
    """Equal within (relative, absolute); for complex numbers too."""
    np.testing.assert_allclose(
        np.asarray(actual), np.asarray(expected), rtol=tolerance[0], atol=tolerance[1], err_msg=what
    )


def draw_like(rng: np.random.Generator, array) -> np.ndarray:
    """Random numbers of the shape and kind of `array`."""
    values = rng.standard_normal(array.shape)
    if array.dtype.kind == "c":
        values = values + 1j * rng.standard_normal(array.shape)
    return values.astype(array.dtype)


def real_dot(a, b) -> float:
    """The real inner product of tensors or arrays, complex numbers taken as pairs."""
    a, b = (np.asarray(x.data if isinstance(x, Tensor) else x) for x in (a, b))
    return float(np.sum(np.real(a) * np.real(b)) + np.sum(np.imag(a) * np.imag(b)))


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_value_is_the_reference(op, sample):
    arrays = make(sample)
    expected = outputs_of(op.reference(*arrays, **sample.params))
    _, exact = run(op, arrays, sample.params)
    for mine, reference in zip(exact, expected, strict=True):
        close(mine.data, reference, op.tolerance.float64)
        assert mine.shape == np.shape(reference)
    if op.flags & Flags.FLOAT64_ONLY:
        return
    single = [
        array.astype(np.complex64 if array.dtype.kind == "c" else np.float32) if array.dtype.kind in "fc" else array
        for array in arrays
    ]
    _, rounded = run(op, single, sample.params)
    for mine, reference in zip(rounded, expected, strict=True):
        close(mine.data, reference, op.tolerance.float32)
        if "dtype" not in sample.params:
            assert mine.dtype not in (np.float64, np.complex128), "float32 in, float32 out"


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_inference_is_reality(op, sample, dtype):
    """Shape and dtype of the result are known before it is computed, in every floating dtype."""
    if dtype in ("float16", "bfloat16") and (op.flags & Flags.FLOAT64_ONLY or any(s.dtype for s in sample.inputs)):
        pytest.skip("not an op for half precision")
    arrays = [a if a.dtype != np.float64 else np.asarray(Tensor(a).astype(dtype).data) for a in make(sample)]
    params = {**op.defaults, **sample.params}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        _, results = run(op, arrays, sample.params)
    if op.flags & Flags.DATA_DEPENDENT:
        return
    inferred = op.infer(*(spec_of(array) for array in arrays), **params)
    inferred = (inferred,) if isinstance(inferred, Spec) else inferred
    assert [tuple(spec.shape) for spec in inferred] == [result.shape for result in results]
    assert [np.dtype(spec.dtype) for spec in inferred] == [result.dtype for result in results]


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_memory_order_does_not_matter_and_inputs_stay_unchanged(op, sample):
    arrays = make(sample)
    views = [strided(array) for array in arrays]
    copies = [view.copy() for view in views]
    _, plain = run(op, arrays, sample.params)
    _, moved = run(op, views, sample.params)
    for a, b in zip(moved, plain, strict=True):
        close(a.data, b.data, op.tolerance.float64)
    for view, copy in zip(views, copies, strict=True):
        np.testing.assert_array_equal(view, copy)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_the_same_call_gives_the_same_bits(op, sample):
    arrays = make(sample, dtype=np.float32)
    wanted = smooth(op, arrays)
    results = []
    for _ in range(2):
        tensors, outputs = run(op, arrays, sample.params, wanted)
        bits = [output.data.tobytes() for output in outputs]
        for output in outputs:
            if output.requires_grad:
                seed = Tensor(np.ones(output.shape, output.dtype))
                output.backward(seed, retain_graph=True)
        bits += [tensors[i].grad.data.tobytes() for i in wanted if tensors[i].grad is not None]
        results.append(bits)
    assert results[0] == results[1]


class Slopes:
    """Derivatives of one call along random directions, by the library and by central differences in float64."""

    def __init__(self, op: OpDef, sample: Sample) -> None:
        self.op, self.sample = op, sample
        self.arrays = make(sample)
        self.wanted = smooth(op, self.arrays)
        rng = np.random.default_rng(1)
        self.direction = [draw_like(rng, self.arrays[i]) for i in self.wanted]
        _, outputs = run(op, self.arrays, sample.params)
        self.smooth_outputs = [k for k, output in enumerate(outputs) if is_inexact(output.dtype)]
        self.weights = [draw_like(rng, outputs[k].data) for k in self.smooth_outputs]
        self.second_weights = [draw_like(rng, self.arrays[i]) for i in self.wanted]

    def moved(self, step: float) -> list[np.ndarray]:
        shifted = list(self.arrays)
        for i, along in zip(self.wanted, self.direction, strict=True):
            shifted[i] = self.arrays[i] + step * along
        return shifted

    def value(self, arrays) -> tuple[list[Tensor], Tensor]:
        """The inputs and <weights, op(inputs)>, the real inner product."""
        tensors, outputs = run(self.op, arrays, self.sample.params, self.wanted)
        return tensors, self.weighted([outputs[k] for k in self.smooth_outputs], self.weights)

    @staticmethod
    def weighted(tensors, weights) -> Tensor:
        total = Tensor(np.float64(0))
        for tensor, weight in zip(tensors, weights, strict=True):
            if tensor.dtype.kind == "c":
                product = tensor * Tensor(np.conj(weight))
                total = total + apply(OPS["real"], [product], {}).sum()
            else:
                total = total + (tensor * Tensor(weight)).sum()
        return total

    def first(self, step: float) -> float:
        return float(self.value(self.moved(step))[1])

    def second(self, step: float) -> float:
        tensors, value = self.value(self.moved(step))
        gradients = grad(value, [tensors[i] for i in self.wanted])
        return sum(real_dot(g, w) for g, w in zip(gradients, self.second_weights, strict=True))

    @staticmethod
    def difference(function, step: float = 1e-5) -> float:
        return (function(step) - function(-step)) / (2 * step)

    def along(self, gradients) -> float:
        return sum(real_dot(g, d) for g, d in zip(gradients, self.direction, strict=True))


@pytest.mark.parametrize(("op", "sample"), EXACT)
def test_first_and_second_gradient_match_finite_differences(op, sample):
    """The gradient of <weights, op(x)> along a random direction, and the gradient of that gradient."""
    slopes = Slopes(op, sample)
    if not slopes.wanted:
        pytest.skip("no differentiable input in this sample")
    tensors, value = slopes.value(slopes.arrays)
    inputs = [tensors[i] for i in slopes.wanted]
    gradients = grad(value, inputs, create_graph=True)
    for gradient, tensor in zip(gradients, inputs, strict=True):
        assert (gradient.shape, gradient.dtype) == (tensor.shape, tensor.dtype)
    rtol, atol = op.tolerance.gradient
    assert slopes.along(gradients) == pytest.approx(slopes.difference(slopes.first), rel=rtol, abs=atol)

    projected = slopes.weighted(gradients, slopes.second_weights)
    along = slopes.along(grad(projected, inputs)) if projected.requires_grad else 0.0  # linear: constant gradient
    rtol, atol = op.tolerance.second
    assert along == pytest.approx(slopes.difference(slopes.second), rel=rtol, abs=atol)


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_plain_and_recorded_backward_passes_agree(op, sample):
    """The pass on arrays gives what the pass on tensors gives."""
    slopes = Slopes(op, sample)
    if not slopes.wanted:
        pytest.skip("no differentiable input in this sample")
    results = []
    for create_graph in (False, True):
        tensors, value = slopes.value(slopes.arrays)
        results.append(grad(value, [tensors[i] for i in slopes.wanted], create_graph=create_graph))
    for plain, recorded in zip(*results, strict=True):
        close(plain.data, recorded.data, (1e-12, 1e-12))


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_forward_and_reverse_mode_agree(op, sample):
    """<u, J t> = <J^T u, t> for random t and u."""
    slopes = Slopes(op, sample)
    if not slopes.wanted:
        pytest.skip("no differentiable input in this sample")
    params = {**op.defaults, **sample.params}

    def function(*chosen):
        inputs = [Tensor(array) for array in slopes.arrays]
        for i, tensor in zip(slopes.wanted, chosen, strict=True):
            inputs[i] = tensor
        results = outputs_of(apply(op, inputs, params))
        return tuple(results[k] for k in slopes.smooth_outputs)

    primals = [Tensor(slopes.arrays[i]) for i in slopes.wanted]
    value, tangent = jvp(function, primals, [Tensor(d) for d in slopes.direction])
    again, pull = vjp(function, *primals)
    pulled = pull(tuple(Tensor(w) for w in slopes.weights))
    for a, b in zip(value, again, strict=True):
        close(a.data, b.data, (1e-12, 1e-12))
    forward = sum(real_dot(w, t) for w, t in zip(slopes.weights, tangent, strict=True))
    assert forward == pytest.approx(slopes.along(pulled), rel=1e-9, abs=1e-9)


def batches(op: OpDef, sample: Sample, count: int = 3):
    """`count` draws of a sample, and which inputs may carry a batch axis (integer ones stay shared as well)."""
    draws = [make(sample, seed=seed) for seed in range(count)]
    return draws, len(draws[0])


@pytest.mark.parametrize("which", ["all", "first", "last"])
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_vmap_is_a_loop(op, sample, which):
    """Mapping over all inputs, or over one while the others are shared, equals calling the op once per example."""
    if op.flags & Flags.DATA_DEPENDENT:
        pytest.skip("the shape of the result depends on values")
    draws, count = batches(op, sample)
    if which != "all" and count == 1:
        pytest.skip("one input")
    mapped = set(range(count)) if which == "all" else {0 if which == "first" else count - 1}
    inputs = [
        Tensor(np.stack([draw[i] for draw in draws])) if i in mapped else Tensor(draws[0][i]) for i in range(count)
    ]
    params = {**op.defaults, **sample.params}
    axes = [0 if i in mapped else None for i in range(count)]
    with warnings.catch_warnings():
        if op.batch is Batch.LOOP:
            warnings.simplefilter("ignore", BatchFallbackWarning)
        together = outputs_of(vmap(lambda *args: apply(op, args, params), axes)(*inputs))
    rows = [
        run(op, [draw[i] if i in mapped else draws[0][i] for i in range(count)], sample.params)[1] for draw in draws
    ]
    for k, result in enumerate(together):
        close(result.data, np.stack([row[k].data for row in rows]), op.tolerance.float64)
        assert result.dtype == rows[0][k].dtype


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_gradients_under_vmap_are_a_loop(op, sample):
    """The reverse pass runs under vmap too: every rule is made of ops that can be batched."""
    draws, count = batches(op, sample, 2)
    wanted = smooth(op, draws[0])
    if not wanted or op.flags & Flags.DATA_DEPENDENT:
        pytest.skip("no differentiable input in this sample")
    params = {**op.defaults, **sample.params}

    def loss(*args):
        smooth_results = [result for result in outputs_of(apply(op, args, params)) if is_inexact(result.dtype)]
        return sum((apply(OPS["real"], [result], {}).sum() for result in smooth_results), Tensor(np.float64(0)))

    inputs = [Tensor(np.stack([draw[i] for draw in draws])) for i in range(count)]
    gradient = grad(loss, argnums=wanted)
    with warnings.catch_warnings():
        if op.batch is Batch.LOOP:
            warnings.simplefilter("ignore", BatchFallbackWarning)
        together = vmap(gradient)(*inputs)
    for row, draw in enumerate(draws):
        alone = gradient(*(Tensor(array) for array in draw))
        for mine, reference in zip(together, alone, strict=True):
            close(mine.data[row], reference.data, (1e-9, 1e-9))


def carriers(op: OpDef, sample: Sample):
    """The ways to give an op samples along leading axes that it says it keeps apart."""
    shapes = [spec.shape for spec in sample.inputs]
    specs = [spec_of(array) for array in make(sample)]
    for chosen in ({i} for i in range(len(shapes))) if len(shapes) > 1 else [{0}]:
        for group in (chosen, set(range(len(shapes)))):
            lengths = {shapes[i][0] if shapes[i] else 0 for i in group}
            if len(lengths) != 1 or lengths == {0} or op.per_sample is None:
                continue
            carries = tuple(i in group for i in range(len(shapes)))
            if op.per_sample(carries, *specs, **{**op.defaults, **sample.params}):
                yield carries, lengths.pop()


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_samples_said_to_be_apart_are_apart(op, sample):
    """Changing all other samples leaves a sample's output as it is; gradients per sample equal a loop over samples."""
    params = {**op.defaults, **sample.params}
    ways = list(carriers(op, sample))
    if not ways:
        pytest.skip("no input of this sample can carry samples")
    for carries, count in ways:
        arrays, others = make(sample, seed=0), make(sample, seed=1)
        _, clean = run(op, arrays, sample.params)
        for i in range(min(count, 3)):
            changed = [
                np.concatenate([b[:i], a[i : i + 1], b[i + 1 :]]) if carried else a
                for a, b, carried in zip(arrays, others, carries, strict=True)
            ]
            _, mixed = run(op, changed, sample.params)
            for a, b in zip(clean, mixed, strict=True):
                close(b.data[i], a.data[i], op.tolerance.float64)
        shared = [i for i in smooth(op, arrays) if not carries[i]]
        smooth_outputs = [k for k, output in enumerate(clean) if is_inexact(output.dtype) and output.size]
        if not shared or not smooth_outputs or any(clean[k].dtype.kind == "c" for k in smooth_outputs):
            continue
        weights = [draw_like(np.random.default_rng(3), clean[k].data) for k in smooth_outputs]
        leaves = {i: Tensor(arrays[i], requires_grad=True) for i in shared}

        def losses(*given, carries=carries, leaves=leaves, arrays=arrays, outs=tuple(smooth_outputs)):
            given, weights = list(given[: sum(carries)]), given[sum(carries) :]
            inputs = [
                given.pop(0) if carried else leaves.get(i, Tensor(arrays[i])) for i, carried in enumerate(carries)
            ]
            results = outputs_of(apply(op, inputs, params))
            total = 0.0
            for k, weight in zip(outs, weights, strict=True):
                product = results[k] * weight
                total = product.reshape(product.shape[0], -1).sum(1) + total
            return total

        samples = [arrays[i] for i, carried in enumerate(carries) if carried] + weights
        _, together = per_sample_gradients(losses, list(leaves.values()), *samples)
        value, norms = per_sample_norms(losses, list(leaves.values()), *samples)
        for i in range(count):
            one_hot = np.zeros(count)
            one_hot[i] = 1.0
            total = (losses(*(Tensor(array) for array in samples)) * Tensor(one_hot)).sum()
            alone = grad(total, list(leaves.values()))
            for mine, reference in zip(together, alone, strict=True):
                close(mine.data[i], reference.data, (1e-9, 1e-9))
            norm = np.sqrt(sum(float((reference.data**2).sum()) for reference in alone))
            assert norms.data[i] == pytest.approx(norm, rel=1e-8, abs=1e-9)
        assert value.shape == (count,)


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_saves_is_exactly_what_the_rules_read(op, sample):
    """Everything else is gone when the rules run; and leaving out any one entry breaks a rule of some sample."""
    arrays = make(sample)
    wanted = smooth(op, arrays)
    _, outputs = run(op, arrays, sample.params, wanted)
    node = outputs[0].node
    if node is None:
        pytest.skip("no differentiable input in this sample")
    node = node.edges[0] if node.op is None else node
    names = op.inputs if not op.variadic else ("inputs",) * len(arrays)
    for name, saved in zip(names, node.saved, strict=True):
        assert (name in op.saves) == (isinstance(saved, np.ndarray)), f"{name}: kept {type(saved).__name__}"
    assert ("out" in op.saves) == (node.output is not None)


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.differentiable and op.saves], ids=lambda op: op.name)
def test_every_saved_value_is_read(op):
    """Poisoning a saved value with NaN changes some gradient of some sample."""
    unread = set(op.saves)
    for sample in op.samples:
        arrays = make(sample)
        wanted = smooth(op, arrays)
        for name in sorted(unread):
            _, outputs = run(op, arrays, sample.params, wanted)
            if outputs[0].node is None:
                continue
            top = outputs[0].node
            node = top.edges[0] if top.op is None else top
            poison(node, op, name)
            with np.errstate(all="ignore"):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        sources = [edge for edge in node.edges if edge is not None]
                        parts = backward_parts(op, node, outputs)
                except Exception:  # a rule that fails on poison reads it
                    unread.discard(name)
                    continue
            if any(part is not None and not np.isfinite(np.asarray(part)).all() for part in parts) or changed(
                op, sample, name, parts
            ):
                unread.discard(name)
            del sources
    assert not unread, f"{op.name} saves {sorted(unread)}, which no rule reads"


def poison(node, op: OpDef, name: str) -> None:
    """Replace one saved value by NaN (integers by zeros, booleans by their opposite)."""

    def spoiled(value):
        value = np.asarray(value)
        if value.dtype.kind == "b":
            return ~value
        return np.full_like(value, np.nan) if is_inexact(value.dtype) else np.zeros_like(value)

    if name == "out":
        node.output = tuple(map(spoiled, node.output)) if isinstance(node.output, tuple) else spoiled(node.output)
        return
    names = op.inputs if not op.variadic else ("inputs",) * len(node.saved)
    node.saved = tuple(spoiled(v) if n == name else v for n, v in zip(names, node.saved, strict=True))


def backward_parts(op: OpDef, node, outputs) -> list:
    """What the rules return for a random output gradient."""
    rng = np.random.default_rng(5)
    seeds = tuple(draw_like(rng, output.data) for output in outputs)
    g = seeds if isinstance(node.dtype, tuple) else seeds[0]
    output = node.output if node.output is not None or op.elementwise else Spec(node.shape, node.dtype)
    if callable(op.vjp):
        return list(op.vjp(g, output, *node.saved, **node.params))
    return [
        None if edge is None or rule is None else rule(g, output, *node.saved, **node.params)
        for edge, rule in zip(node.edges, op.vjp, strict=True)
    ]


def changed(op: OpDef, sample: Sample, name: str, parts: list) -> bool:
    """Whether the gradients differ from those without poison (for saved booleans and integers)."""
    arrays = make(sample)
    _, outputs = run(op, arrays, sample.params, smooth(op, arrays))
    top = outputs[0].node
    clean = backward_parts(op, top.edges[0] if top.op is None else top, outputs)
    return any(
        a is not None and b is not None and not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(parts, clean, strict=True)
    )


@pytest.mark.parametrize(("op", "case"), INVALID)
def test_invalid_input_is_refused_with_the_op_and_the_line_named(op, case):
    with pytest.raises(case.error, match=case.match) as caught:
        run(op, make(case), case.params)
    assert "test_ops.py" in (caught.value.where or "")


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_every_entry_is_complete(op):
    assert op.doc.strip(), "an op says what it computes"
    assert op.samples, "an op has samples"
    assert callable(op.infer), "an op infers shape and dtype"
    arity = {len(sample.inputs) for sample in op.samples}
    if op.differentiable:
        if not callable(op.vjp):
            assert arity == {len(op.vjp)}, "one rule, or None, per input"
            assert any(rule is not None for rule in op.vjp), "at least one input has a gradient"
        assert op.jvp is not Jvp.NONE, "a differentiable op has a forward rule"
        assert isinstance(op.jvp, Jvp) or len(op.jvp) in arity, "one forward rule, or None, per input"
        assert op.per_sample is None or callable(op.per_sample)
    else:
        assert op.jvp is Jvp.NONE
        assert not op.saves
    assert isinstance(op.batch, Batch) or callable(op.batch)
    if op.elementwise and op.jvp is Jvp.DIAGONAL:
        assert not callable(op.vjp), "diagonal rules are per input"
    if op.kernel is not None:
        names = set(op.inputs) | set(op.defaults)
        assert any(name in op.kernel for name in names), "a kernel expression is in terms of the inputs"
    shapes = [spec.shape for sample in op.samples for spec in sample.inputs]
    if op.elementwise:
        assert () in shapes, "an elementwise op has a 0-d sample"
        assert any(0 in shape for shape in shapes), "an elementwise op has an empty sample"
    signature = inspect.signature(op.forward)
    assert next(iter(signature.parameters)) == "xp"


def test_a_second_op_of_the_same_name_is_an_error():
    with pytest.raises(ValueError, match="declared twice"):
        OPS.add("add", OPS["add"])


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_the_strict_stand_in_for_cupy_agrees_with_numpy(op, sample, strict_cupy):
    """Every op uses only what CuPy has, stays on its device, and mixes nothing."""
    agree(op, sample, strict_cupy.asarray, strict_cupy.asnumpy)


@pytest.mark.gpu
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_cupy_agrees_with_numpy(op, sample):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    agree(op, sample, cupy.asarray, cupy.asnumpy)


def agree(op: OpDef, sample: Sample, put, get) -> None:
    """The op and its gradient on another device equal those on the CPU."""
    arrays = make(sample)
    params = {name: "cuda:0" if name == "device" else value for name, value in sample.params.items()}
    wanted = smooth(op, arrays)
    tensors, outputs = run(op, arrays, sample.params, wanted)
    moved, results = run(op, [put(array) for array in arrays], params, wanted)
    for result, output in zip(results, outputs, strict=True):
        assert (str(result.device), result.dtype, result.shape) == ("cuda:0", output.dtype, output.shape)
        close(get(result.data), output.data, (1e-10, 1e-12))
        if not output.requires_grad:
            continue
        seed = np.ones(output.shape, output.dtype)
        output.backward(Tensor(seed), retain_graph=True)
        result.backward(Tensor(put(seed)), retain_graph=True)
    for i in wanted:
        if tensors[i].grad is not None:
            close(get(moved[i].grad.data), tensors[i].grad.data, (1e-9, 1e-11))
