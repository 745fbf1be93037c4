"""Attention by kernels of its own: where there are some, that they are used, and that all else stays right."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from nasturtium.core import Tensor, grad, nn, ops
from nasturtium.core.compiler.compile import compile
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU

pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")

FUSED = {"attention", "attention_gradient"}


def attended(q: Tensor, k: Tensor, v: Tensor, *, level: bool = False, **options: object):
    """What is mixed, and the gradients of something that depends on all of it."""
    if level:  # which has a gradient, too
        scale = 0.3
        out, levels = ops.flash_attention(q, k, v, scale=scale)
        loss = ops.sum(out * out * out) + ops.sum(levels * levels)
    else:
        out = ops.attention(q, k, v, **options)
        loss = ops.sum(out * out * out)
    return out, grad(loss, [q, k, v])


def between(q: Tensor, k: Tensor, v: Tensor):
    """Heads that lie within rows, as layers have them."""
    turned = [ops.transpose(x, axes=(0, 2, 1, 3)) for x in (q, k, v)]
    out = ops.transpose(ops.attention(*turned), axes=(0, 2, 1, 3))
    return out, grad(ops.sum(out * out * out), [q, k, v])


def without_products(q: Tensor, k: Tensor, v: Tensor):
    """The composition itself, of whose weights somebody else wants to know."""
    scores = ops.matmul(q * 0.25, ops.transpose(k, axes=(0, 2, 1)))
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    raised = ops.matmul(v, ops.transpose(k, axes=(0, 2, 1))) - ops.sum(v, axis=-1, keepdims=True)
    slopes = weights * raised
    turn = partial(ops.transpose, axes=(0, 2, 1))
    return ops.matmul(slopes, k) * 0.25, ops.matmul(turn(slopes), q * 0.25), ops.matmul(turn(weights), v), weights


def kernels_of(program: NativeProgram) -> set[str]:
    """Those for attention."""
    names = {work.launch.kernel.name.rsplit("_", 2)[0] for work in program.works}
    return {name.removesuffix("_causal") for name in names} & FUSED


def shapes(lead, queries=32, keys=32, features=16, values=16):
    return (*lead, queries, features), (*lead, keys, features), (*lead, keys, values)


BOTH, FORWARD, NONE = FUSED, {"attention"}, set[str]()
CASES = [
    pytest.param(attended, shapes((2, 4)), BOTH, id="heads"),
    pytest.param(attended, shapes((8,), queries=5, keys=48, values=32), BOTH, id="other-lengths"),
    pytest.param(attended, shapes((2, 2, 3), queries=1), BOTH, id="one-query"),
    pytest.param(attended, [(2, 4, 9, 16), (4, 16, 16), (2, 1, 16, 32)], BOTH, id="heads-share-keys"),
    pytest.param(partial(attended, scale=1.0), shapes((8,)), BOTH, id="as-they-are"),
    pytest.param(partial(attended, level=True), shapes((8,)), BOTH, id="levels"),
    pytest.param(partial(attended, grouped=True), [(2, 4, 9, 16), (2, 2, 16, 16), (2, 2, 16, 16)], BOTH, id="groups"),
    pytest.param(between, shapes((2, 9), queries=8, keys=8)[:1] * 3, NONE, id="few-keys"),
    pytest.param(between, [(3, 16, 4, 32)] * 3, BOTH, id="heads-within-rows"),
    pytest.param(attended, shapes((8,), queries=260), FORWARD | {"attention_gradient"}, id="longer-than-a-tile"),
    pytest.param(partial(attended, causal=True), shapes((2, 4), values=32), BOTH, id="causal"),
    pytest.param(partial(attended, causal=True), shapes((8,), queries=272, keys=272), BOTH, id="causal-tiles"),
    pytest.param(partial(attended, causal=True), shapes((8,), queries=48), NONE, id="causal-of-other-lengths"),
    pytest.param(attended, shapes((7,)), NONE, id="few-heads"),
    pytest.param(attended, shapes((8,), keys=31), NONE, id="odd-keys"),
    pytest.param(attended, shapes((8,), features=24), NONE, id="odd-features"),
    pytest.param(attended, shapes((8,), values=8), NONE, id="few-values"),
    pytest.param(without_products, shapes((8,))[:1] * 3, NONE, id="weights-are-wanted"),
]


@pytest.mark.parametrize(("function", "sizes", "expected"), CASES)
def test_it_equals_the_reference(function, sizes, expected):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    graph = optimize(trace(function, *(Tensor(array, requires_grad=True) for array in arrays)).graph)
    program, reference = NativeProgram(graph, CPU), ReferenceProgram(graph, CPU)
    assert kernels_of(program) == expected
    wanted = reference(arrays)
    found = {threads: program(arrays, threads=threads) for threads in (1, 2, 3)}
    for actual, array in zip(found[1], wanted, strict=True):
        np.testing.assert_allclose(actual, array, rtol=3e-4, atol=3e-5)
    bits = {b"".join(array.tobytes() for array in each) for each in found.values()}
    assert len(bits) == 1


def test_a_mask_and_dropout_are_left_to_others():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(size).astype(np.float32) for size in shapes((8,))]
    mask = rng.random((32, 32)) > 0.5

    def masked(q, k, v):
        return attended(q, k, v, mask=Tensor(mask))

    graph = optimize(trace(masked, *(Tensor(array, requires_grad=True) for array in arrays)).graph)
    program = NativeProgram(graph, CPU)
    assert kernels_of(program) == NONE
    for actual, array in zip(program(arrays), ReferenceProgram(graph, CPU)(arrays), strict=True):
        np.testing.assert_allclose(actual, array, rtol=3e-4, atol=3e-5)


def test_layers_use_it():
    """A transformer's block, with gradients of all parameters."""
    rng = np.random.default_rng(0)
    layer = nn.MultiHeadAttention(64, 4, rng=rng)
    x = Tensor(rng.standard_normal((2, 16, 64)).astype(np.float32))
    parameters = layer.parameters()

    def step(x):
        out = layer(x)
        return out, grad(ops.sum(out * out), parameters)

    ours, eager = compile(step, backend="llvm"), step(x)
    (out, gradients), (expected, wanted) = ours(x), eager
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    for actual, each in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(actual.detach().numpy(), each.detach().numpy(), rtol=1e-3, atol=1e-3)
    names = {launch["kernel"] for launch in ours.explain(x).to_dict()["programs"][0]["launches"]}
    assert {name.rsplit("_", 2)[0] for name in names} >= FUSED
