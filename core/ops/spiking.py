"""What spiking networks are composed from: a step function with a surrogate gradient, and the steps of a sequence.

A neuron fires where its membrane potential exceeds a threshold, which has no useful derivative. Its gradient rule is
that of a smooth function instead: a surrogate (Neftci et al. 2019, https://arxiv.org/abs/1901.09948).
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Flags, Invalid, Jvp, Sample, const, normal
from ..shapes import Spec, normalize_axis
from .activation import sigmoid
from .declare import elementwise, floating, op, promoted_floating
from .elementwise import absolute, maximum
from .shape import stack

# --- surrogate gradients: name -> (usual slope, derivative at x) ---


def _fast_sigmoid(x: Any, slope: float) -> Any:
    spread = absolute(x) * slope + 1.0
    return 1.0 / (spread * spread)


def _arctan(x: Any, slope: float) -> Any:
    scaled = x * (math.pi / 2 * slope)
    return slope / 2 / (scaled * scaled + 1.0)


def _logistic(x: Any, slope: float) -> Any:
    y = sigmoid(x * slope)
    return y * (1.0 - y) * slope


def _triangle(x: Any, slope: float) -> Any:
    return maximum(1.0 - absolute(x) * slope, 0.0)


def _straight_through(x: Any, slope: float) -> Any:
    return x * 0.0 + slope


SURROGATES: MappingProxyType[str, tuple[float, Callable[[Any, float], Any]]] = MappingProxyType(
    {
        # 1 / (1 + slope |x|)^2: Zenke & Ganguli 2018 (SuperSpike), https://arxiv.org/abs/1705.11146
        "fast_sigmoid": (25.0, _fast_sigmoid),
        # slope / 2 / (1 + (pi / 2 slope x)^2): Fang et al. 2021, https://arxiv.org/abs/2007.05785
        "arctan": (2.0, _arctan),
        # slope s (1 - s) with s = sigmoid(slope x): Zenke & Vogels 2021, https://doi.org/10.1162/neco_a_01367
        "sigmoid": (25.0, _logistic),
        # max(0, 1 - slope |x|): Esser et al. 2016, https://arxiv.org/abs/1603.08270; Bellec et al. 2018
        "triangle": (1.0, _triangle),
        # slope everywhere: Bengio et al. 2013, https://arxiv.org/abs/1308.3432
        "straight_through": (1.0, _straight_through),
    }
)


def surrogate_slope(x: Any, surrogate: str, slope: float | None) -> Any:
    """The derivative that stands in for that of the step function, at membrane potential minus threshold `x`."""
    usual, function = _surrogate(surrogate)
    return function(x, usual if slope is None else slope)


def _surrogate(name: str) -> tuple[float, Callable[[Any, float], Any]]:
    if name not in SURROGATES:
        raise ConfigError(f"unknown surrogate {name!r}: expected one of {', '.join(SURROGATES)}")
    return SURROGATES[name]


def _spike_spec(x: Spec, *, surrogate: str, slope: float | None) -> Spec:
    _surrogate(surrogate)
    return promoted_floating(x)


def _spike_rule(g: Any, y: Any, x: Any, *, surrogate: str, slope: float | None) -> Any:
    return g * surrogate_slope(x, surrogate, slope)


@elementwise(
    kernel="x > 0 ? 1 : 0",
    infer=_spike_spec,
    reference=lambda x, surrogate, slope: np.where(x > 0, 1.0, 0.0),
    vjp=(_spike_rule,),
    saves=("x",),
    samples=(
        *(Sample(normal(3, 4), surrogate=name, slope=None) for name in SURROGATES),
        Sample(normal(), surrogate="arctan", slope=3.0),
        Sample(normal(0, 2), surrogate="fast_sigmoid", slope=10.0),
        Sample(const(0.0, 2), surrogate="triangle", slope=0.5),
    ),
    invalid=(Invalid(normal(3), surrogate="step", slope=None, error=ConfigError, match="unknown surrogate 'step'"),),
    flags=Flags.SURROGATE,
)
def spike(xp: ArrayModule, x: Array, *, surrogate: str = "fast_sigmoid", slope: float | None = None) -> Array:
    """1 where x > 0, 0 elsewhere, with the gradient of a smooth step.

    Args:
        x: membrane potential minus threshold.
        surrogate: a name in `SURROGATES`, where the formulas and their sources are.
        slope: how steep the smooth step is; each surrogate has its usual one.
    """
    _surrogate(surrogate)
    x = floating(xp, x)
    return (x > 0).astype(x.dtype)


def _steps_spec(x: Spec, *, axis: int) -> tuple[Spec, ...]:
    axis = normalize_axis(axis, x.ndim, op="steps")
    return (Spec((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype),) * x.shape[axis]


@op(
    onnx="Split",
    infer=_steps_spec,
    reference=lambda x, axis: tuple(np.moveaxis(x, axis, 0)),
    vjp=lambda g, y, x, axis: (stack(g, axis=axis % len(x.shape)),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=lambda size, batched, x, axis: steps(x, axis=axis % (len(x.shape) - 1) + 1),
    per_sample=lambda carries, x, axis: axis % x.ndim != 0,
    samples=(Sample(normal(3, 4), axis=0), Sample(normal(2, 3, 4), axis=1), Sample(normal(2, 3), axis=-1)),
    invalid=(Invalid(normal(3), axis=1, error=ShapeError, match="axis 1"),),
    flags=Flags.VIEW,
)
def steps(xp: ArrayModule, x: Array, *, axis: int = 1) -> tuple[Array, ...]:
    """The parts of x along an axis of time, each without it: for a loop over steps whose gradient is one `stack`."""
    return tuple(xp.moveaxis(x, axis, 0))
