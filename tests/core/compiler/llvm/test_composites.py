"""Normalisation, softmax, losses, activations and optimisers as fused kernels, against our own ops in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from nasturtium.core import Tensor, ops, optim, vjp
from nasturtium.core.compiler.llvm import activations, attention, loss, normalisation
from nasturtium.core.compiler.llvm.elementwise import emit_flat, emit_image, scratch_rows, tile_for
from nasturtium.core.compiler.llvm.formula import SHARDS, Formula, Pattern
from nasturtium.core.compiler.llvm.optimizers import emit_squares, emit_step
from nasturtium.core.compiler.llvm.reduction import emit_rows, row_scratch, row_tile_for
from nasturtium.core.compiler.llvm.step import Step

from .fused import DTYPES, Array, bound, outputs, run, target

CHANNELS = [1, 10, 17, 64, 256]
EPSILON = 1e-5


def on_rows(pattern: Pattern, arrays: Mapping[str, Array | float], shape: tuple[int, ...]) -> dict[str, Array | float]:
    """What a kernel over rows makes of arrays; two threads."""
    tile = row_tile_for(target(), pattern, shape[-1])
    filled = {**arrays, **outputs(pattern, shape)}
    slots = bound(pattern, filled, shape, scratch=row_scratch(pattern, tile), threads=2)
    run(emit_rows(target(), pattern, tile), slots, threads=2)
    return filled


def on_images(
    pattern: Pattern, arrays: Mapping[str, Array | float], shape: tuple[int, ...]
) -> dict[str, Array | float]:
    """The same over images."""
    filled = {**arrays, **outputs(pattern, shape)}
    slots = bound(pattern, filled, shape, scratch=scratch_rows(pattern), threads=2)
    run(emit_image(target(), pattern, tile_for(target(), shape[-1])), slots, threads=2)
    return filled


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def double(x: Array) -> Tensor:
    return Tensor(x.astype(np.float64))


def eager(function: Callable[..., Tensor], g: Array, *inputs: Array) -> list[Array]:
    """The value, and the gradients of sum(value * g), in double precision."""
    value, pull = vjp(function, *map(double, inputs))
    return [value.numpy(), *(gradient.numpy() for gradient in pull(double(g)))]


def close(got: Any, wanted: Any, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    got = np.asarray(got, np.float64)
    np.testing.assert_allclose(got, np.asarray(wanted).reshape(got.shape), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_activations_and_their_slopes(name: str):
    op = {"gelu": ops.gelu_erf, "gelu_tanh": ops.gelu, "silu": ops.silu}[name]
    x, g = normal(1000) * 3, normal(1000, seed=1)
    f = Formula()
    f.store("y", getattr(activations, name)(f.full("x")))
    f.store("dx", f.full("g") * getattr(activations, f"{name}_slope")(f.full("x")))
    y, dx = np.zeros_like(x), np.zeros_like(x)
    run(emit_flat(target(), f.pattern()), {"count": 1000, "x": x, "g": g, "y": y, "dx": dx})
    wanted, slope = eager(op, g, x)
    close(y, wanted, atol=1e-6)
    close(dx, slope, atol=2e-6)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("centred", [True, False])
def test_layer_norm(channels: int, centred: bool):
    shape = (2, 3, 4, channels)
    x, g, w, b = normal(*shape) + 3, normal(*shape, seed=1), normal(channels, seed=2), normal(channels, seed=3)

    def layer(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y = ops.layer_norm(x, w, epsilon=EPSILON) if centred else ops.rms_norm(x, w, epsilon=EPSILON)
        return y + b

    standardise = normalisation.standardise_row if centred else normalisation.root_mean_square_row
    f = Formula()
    of = standardise(f.full("x"), EPSILON)
    f.store("y", of.affine(f.channel("w"), f.channel("b")))
    g_ = f.full("g")
    gw = g_ * f.channel("w")
    f.store("dx", normalisation.standardise_row_gradient(gw, of, centred=centred))
    f.channel_sum("dw", g_ * of.value)
    f.channel_sum("db", g_)
    got = on_rows(f.pattern(), {"x": x, "g": g, "w": w, "b": b}, shape)
    y, dx, dw, db = eager(layer, g, x, w, b)
    close(got["y"], y)
    close(got["dx"], dx, rtol=1e-4, atol=1e-4)
    close(np.asarray(got["dw"]).sum(0), dw, rtol=1e-4, atol=1e-4)
    close(np.asarray(got["db"]).sum(0), db, atol=1e-4)


@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm(channels: int):
    shape = (4, 3, 5, channels)
    x, g, w, b = normal(*shape) * 2 + 5, normal(*shape, seed=1), normal(channels, seed=2), normal(channels, seed=3)
    f = Formula()
    f.channel_moments("moments", f.full("x"))
    arrays = on_images(f.pattern(), {"x": x}, shape) | {
        "moments.groups": 12,
        "moments.count": 60,
        "g": g,
        "w": w,
        "b": b,
    }
    f = Formula()
    of = normalisation.standardise_batch(f, f.full("x"), "moments", EPSILON)
    f.store("y", of.affine(f.channel("w"), f.channel("b")).relu())
    arrays = on_images(f.pattern(), arrays, shape)

    f = Formula()
    of = normalisation.standardise_batch(f, f.full("x"), "moments", EPSILON)
    g_ = (f.full("y") > 0.0).select(f.full("g"), 0.0)
    normalisation.batch_gradient_sums(f, g_, of, "db", "dw")
    arrays = on_images(f.pattern(), arrays, shape)

    f = Formula()
    of = normalisation.standardise_batch(f, f.full("x"), "moments", EPSILON)
    g_ = (f.full("y") > 0.0).select(f.full("g"), 0.0)
    f.store("dx", normalisation.standardise_batch_gradient(f, g_, of, "db", "dw", f.number("inverse"), f.channel("w")))
    f.store("dw_whole", f.partials("dw"), layout="channel")
    arrays = on_images(f.pattern(), arrays | {"inverse": 1 / 60}, shape)

    def layer(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return ops.relu(ops.batch_norm(x, w, b, epsilon=EPSILON))

    y, dx, dw, db = eager(layer, g.reshape(60, channels), x.reshape(60, channels), w, b)
    close(arrays["y"], y)
    close(arrays["dx"], dx, atol=1e-4)
    close(arrays["dw_whole"], dw, atol=1e-4)
    close(np.asarray(arrays["db"]).sum(0), db, atol=1e-4)


def test_running_statistics_are_updated_in_place():
    f = Formula()
    mean, variance = f.moments("moments")
    f.store("running_mean", normalisation.updated_statistic(f.full("running_mean"), mean, 0.1))
    unbiased = variance * f.number("bessel")
    f.store("running_variance", normalisation.updated_statistic(f.full("running_variance"), unbiased, 0.1))
    moments = np.abs(normal(SHARDS, 2, 20))
    old = [normal(20), np.abs(normal(20))]
    new = [each.copy() for each in old]
    values = {"count": 20, "moments": moments, "moments.shard": 20, "moments.groups": 32, "moments.count": 64}
    values |= {"running_mean": new[0], "running_variance": new[1], "bessel": 64 / 63}
    run(emit_flat(target(), f.pattern()), values, threads=3)
    mean_ = moments[:, 0].astype(np.float64).mean(0)
    variance_ = moments[:, 1].sum(0) / 64 + ((moments[:, 0] - mean_) ** 2).mean(0)
    close(new[0], old[0] * 0.9 + mean_ * 0.1)
    close(new[1], old[1] * 0.9 + variance_ * 0.1 * 64 / 63)


@pytest.mark.parametrize("channels", CHANNELS)
def test_softmax(channels: int):
    shape = (2, 4, 4, channels)
    x, g = normal(*shape) * 5, normal(*shape, seed=1)
    f = Formula()
    y, log_y = attention.softmax(f.full("x")), attention.log_softmax(f.full("x"))
    f.store("y", y)
    f.store("log_y", log_y)
    f.store("dx", attention.softmax_gradient(f.full("g"), y))
    f.store("log_dx", attention.log_softmax_gradient(f.full("g"), log_y))
    got = on_rows(f.pattern(), {"x": x, "g": g}, shape)
    for op, value, gradient in ((ops.softmax, "y", "dx"), (ops.log_softmax, "log_y", "log_dx")):
        wanted, slope = eager(lambda x, op=op: op(x, axis=-1), g, x)
        close(got[value], wanted, rtol=1e-5, atol=1e-6)
        close(got[gradient], slope, atol=1e-5)


def test_a_softmax_with_nan_is_nan():
    x = normal(1, 7, 1, 37)
    x[0, np.arange(6), 0, [0, 1, 16, 31, 32, 36]] = np.nan
    f = Formula()
    f.store("y", attention.softmax(f.full("x")))
    got = np.asarray(on_rows(f.pattern(), {"x": x}, x.shape)["y"])
    assert np.isnan(got[0, :6]).all()
    close(got[0, 6].sum(), 1.0)


def test_later_keys_have_no_share():
    shape = (3, 20, 1, 20)
    x = normal(*shape)
    f = Formula()
    f.store("y", attention.softmax(attention.causal(f.full("x") * f.number("scale"))))
    got = on_rows(f.pattern(), {"x": x, "scale": 0.25}, shape)
    scores = np.where(np.tri(20, dtype=bool), x[:, :, 0].astype(np.float64) * 0.25, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    close(got["y"], powers / powers.sum(-1, keepdims=True), atol=1e-7)


@pytest.mark.parametrize("classes", [2, 33, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, 1])
def test_cross_entropy(classes: int, smoothing: float, weighted: bool, ignored: int | None):
    rows, dtype = 37, "i32" if weighted else "i64"
    x, weight = normal(rows, classes) * 4, np.abs(normal(classes, seed=1))
    labels = np.random.default_rng(2).integers(0, classes, rows).astype(DTYPES[dtype])
    f = Formula()
    scale = f.number("scale")
    of = loss.cross_entropy(
        f,
        f.full("x"),
        f.pixel("labels", dtype),
        scale=scale,
        smoothing=smoothing,
        weight=f.channel("weight") if weighted else None,
        ignored=ignored,
    )
    f.total_sum("loss", of.row * scale)
    f.store("dx", of.gradient)
    shape = (1, rows, 1, classes)
    arrays = {"x": x.reshape(shape), "labels": labels.reshape(shape[:3]), "weight": weight, "scale": 1 / rows}
    got = on_rows(f.pattern(), arrays, shape)

    def whole(x: Tensor) -> Tensor:
        class_weight = double(weight) if weighted else None
        return ops.cross_entropy(
            x, Tensor(labels), label_smoothing=smoothing, ignore_index=ignored, weight=class_weight, reduction="sum"
        ) * (1 / rows)

    value, slope = eager(whole, np.ones((), np.float32), x)
    close(np.asarray(got["loss"]).sum(), value, rtol=1e-5)
    close(got["dx"], slope, atol=1e-6)


OPTIMISERS = [
    (Step(method="sgd"), optim.SGD(learning_rate=0.1), {}),
    (Step(method="momentum", decays=True), optim.SGD(learning_rate=0.1, momentum=0.9, weight_decay=0.01), {}),
    (Step(method="nesterov"), optim.SGD(learning_rate=0.1, momentum=0.9, nesterov=True), {}),
    (Step(method="adam", decays=True), optim.Adam(weight_decay=0.01), {}),
    (Step(method="adamw"), optim.AdamW(), {"shrink": 1 - 1e-3 * 0.01}),
    (Step(method="adagrad"), optim.Adagrad(), {}),
    (Step(method="rmsprop"), optim.RMSprop(), {}),
    (Step(method="rmsprop_momentum"), optim.RMSprop(momentum=0.9), {}),
]


@pytest.mark.parametrize(("step", "optimiser", "more"), OPTIMISERS, ids=[step.method for step, *_ in OPTIMISERS])
def test_optimisers(step: Step, optimiser: Any, more: dict[str, float]):
    count = 137
    parameter = double(normal(count))
    state = optimiser.init([parameter])
    w = normal(count)
    slots: dict[str, Any] = {"count": count, "parameters": w, "rate": optimiser.learning_rate, "decay": 0.01, **more}
    slots |= {name: np.zeros(count, np.float32) for name in ("velocity", "first", "second", "sum")}
    names = ("momentum", "alpha", "epsilon", "beta1", "beta2")
    slots |= {name: getattr(optimiser, name) for name in names if hasattr(optimiser, name)}
    for turn in range(1, 4):
        g = normal(count, seed=turn)
        state = optimiser.step(state, [double(g)])
        if "adam" in step.method:
            slots["rate"] = optimiser.learning_rate / (1 - optimiser.beta1**turn)
            slots["correction"] = 1 / np.sqrt(1 - optimiser.beta2**turn)
        run(emit_step(target(), step), slots | {"gradient": g}, threads=2)
        close(w, parameter.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("norm", "factor"), [(0.5, 1.0), (4.0, 0.25), (float("inf"), 1.0), (float("nan"), 1.0)])
def test_gradients_are_clipped_on_the_way(norm: float, factor: float):
    count = 1000
    g, w = normal(count), normal(count, seed=1)
    g *= norm / np.linalg.norm(g) if np.isfinite(norm) else 1.0
    g[0] = g[0] if np.isfinite(norm) else norm
    before, squares = w.copy(), np.zeros(SHARDS, np.float32)
    run(emit_squares(target()), {"count": count, "gradient": g, "squares": squares}, threads=2)
    slots = {"count": count, "parameters": w, "gradient": g, "rate": 0.5, "bound": 1.0, "squares": squares}
    run(emit_step(target(), Step(method="sgd", clips=True)), slots, threads=3)
    np.testing.assert_allclose(w[1:], (before - 0.5 * factor * g)[1:], rtol=1e-5, atol=1e-6)
