"""Spiking neurons over sequences: currents (N, T, ...) in, spikes (N, T, ...) out, each 0 or 1.

In every step a neuron's membrane potential decays and takes up its input, and the neuron fires where it exceeds the
threshold; in the next step it is reset. The gradient of firing is a surrogate's (`ops.spike`); none flows through the
reset. Decays are exp(-step / time constant), in [0, 1].

Sources: Neftci et al. 2019, https://arxiv.org/abs/1901.09948; Eshraghian et al. 2023, https://arxiv.org/abs/2109.12894.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from .. import ops
from ..autograd import stop_gradient
from ..errors import ConfigError, ShapeError
from ..tensor import Tensor
from .expect import expect
from .init import constant, orthogonal
from .layer import LayerPlan, Shape, layer
from .module import Module, Parameter

State = tuple[Tensor, ...]  # spikes of the last step, membrane potentials, and whatever else a kind remembers
RESETS = ("subtract", "zero", "none")
OUTPUTS = ("spikes", "potential")


class _Neuron(Module):
    """What all kinds share.

    Args:
        features: of a step, or channels, (T, features) or (T, C, ...).
        threshold: the potential above which a neuron fires, > 0.
        reset: in the step after it fired, a neuron's potential falls by the threshold ("subtract"), starts again from 0
            ("zero"), or nothing happens ("none").
        surrogate: a name in `ops.SURROGATES`.
        slope: of the surrogate; its usual one by default.
        learned: whether threshold and decays are parameters, one per feature; decays are then kept within [0, 1].
        recurrent: whether the spikes of a step are part of the input of the next, by a matrix that is learned and
            starts orthogonal; for samples (T, features).
        output: "spikes", or "potential" for a last layer that does not fire into another.
        rng: of the matrix.
        decays: by name, the kind's own.
    """

    states: ClassVar[int]

    def __init__(
        self,
        features: int,
        *,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        slope: float | None = None,
        learned: bool = False,
        recurrent: bool = False,
        output: str = "spikes",
        rng: np.random.Generator | None = None,
        **decays: float,
    ) -> None:
        self.constants = {"threshold": threshold, **decays}
        self.reset = reset
        self.surrogate = surrogate
        self.slope = slope
        self.output = output
        if learned:
            for name, value in self.constants.items():
                setattr(self, name, Parameter(constant((features,), value)))
        self.weight: Parameter | None = None
        if recurrent:
            if rng is None:
                raise ConfigError("a recurrent layer needs a generator for its weights", hint="pass rng=...")
            self.weight = Parameter(orthogonal((features, features), rng))

    @classmethod
    def _plan(
        cls,
        shape: Shape,
        *,
        learned: bool,
        recurrent: bool,
        reset: str,
        surrogate: str,
        output: str,
        **constants: float,
    ) -> LayerPlan:
        expect(len(shape) >= 2, f"expected samples of shape (T, ...), got {shape}")
        expect(not recurrent or len(shape) == 2, f"expected samples of shape (T, features), got {shape}")
        expect(reset in RESETS, f"expected a reset among {', '.join(RESETS)}, got {reset!r}")
        expect(output in OUTPUTS, f"expected an output among {', '.join(OUTPUTS)}, got {output!r}")
        expect(surrogate in ops.SURROGATES, f"unknown surrogate {surrogate!r}, known: {', '.join(ops.SURROGATES)}")
        for name, value in constants.items():
            expect(value > 0 and (name == "threshold" or value <= 1), f"{name} is out of range: {value}")
        inner = shape[1] * shape[1] * recurrent
        return LayerPlan(
            shape,
            len(constants) * shape[1] * learned + inner,
            prod(shape) * cls.states + shape[0] * inner,
            tensors=len(constants) * learned + recurrent,
            peak=2 * prod(shape) + cls.states * prod(shape[1:]),
        )

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, **options: Any) -> Self:
        """For samples of `shape`; options as for `plan`."""
        return cls(shape[1], rng=rng, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (or potentials) of neurons that start at rest."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes (or potentials), and where the neurons are after the last step.

        Args:
            x: currents, (N, T, ...) with T >= 1.
            state: where the neurons are before the first step; at rest by default. Detach it to cut the gradient there.

        Raises:
            ShapeError: there is no axis of time, or no step.
        """
        if x.ndim < 3 or not x.shape[1]:
            raise ShapeError(f"{type(self).__name__}: expected currents (N, T, ...) with T >= 1, got shape {x.shape}")
        constants = {name: self._shaped(name, x.ndim - 1) for name in self.constants}
        if state is None:
            state = (Tensor(x.device.xp.zeros((1, *x.shape[2:]), x.dtype)),) * self.states
        outputs: list[Tensor] = []
        for current in ops.steps(x, axis=1):
            if self.weight is not None:
                current = current + state[0] @ self.weight.T
            state = self._step(current, *state, **constants)
            outputs.append(state[OUTPUTS.index(self.output)])
        return ops.stack(outputs, axis=1), state

    def _shaped(self, name: str, rank: int) -> Any:
        """A threshold or decay for all neurons of a step, which has `rank` axes."""
        value = vars(self).get(name)
        if value is None:
            return self.constants[name]
        value = value.reshape(-1, *(1,) * (rank - 2))
        return value if name == "threshold" else ops.hardtanh(value, low=0.0, high=1.0)

    def _step(self, *args: Any, **kwargs: Any) -> State:
        """(current, *state, **constants) -> state."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no step")

    def _fire(self, u: Tensor, threshold: Any) -> Tensor:
        return ops.spike(u - threshold, surrogate=self.surrogate, slope=self.slope)

    def _decayed(self, u: Tensor, decay: Any, spikes: Tensor, threshold: Any) -> Tensor:
        """The potential after decay and reset."""
        if self.reset == "subtract":
            return u * decay - stop_gradient(spikes) * threshold
        return u * (1.0 - stop_gradient(spikes)) * decay if self.reset == "zero" else u * decay


@layer("leaky")
class Leaky(_Neuron):
    """Leaky integrate-and-fire neurons: u_t = decay u_{t-1} + x_t."""

    states = 2

    def __init__(self, features: int, *, decay: float = 0.9, **options: Any) -> None:
        super().__init__(features, decay=decay, **options)

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        decay: float = 0.9,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        slope: float | None = None,
        learned: bool = False,
        recurrent: bool = False,
        output: str = "spikes",
    ) -> LayerPlan:
        """Shape unchanged."""
        return cls._plan(
            shape,
            learned=learned,
            recurrent=recurrent,
            reset=reset,
            surrogate=surrogate,
            output=output,
            threshold=threshold,
            decay=decay,
        )

    def _step(self, current: Tensor, spikes: Tensor, u: Tensor, *, threshold: Any, decay: Any) -> State:
        u = self._decayed(u, decay, spikes, threshold) + current
        return self._fire(u, threshold), u


@layer("synaptic")
class Synaptic(_Neuron):
    """Leaky neurons whose input is a synaptic current i that decays in its turn: i_t = current_decay i_{t-1} + x_t,
    u_t = decay u_{t-1} + i_t.
    """

    states = 3

    def __init__(self, features: int, *, current_decay: float = 0.8, decay: float = 0.9, **options: Any) -> None:
        super().__init__(features, current_decay=current_decay, decay=decay, **options)

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        current_decay: float = 0.8,
        decay: float = 0.9,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        slope: float | None = None,
        learned: bool = False,
        recurrent: bool = False,
        output: str = "spikes",
    ) -> LayerPlan:
        """Shape unchanged."""
        return cls._plan(
            shape,
            learned=learned,
            recurrent=recurrent,
            reset=reset,
            surrogate=surrogate,
            output=output,
            threshold=threshold,
            current_decay=current_decay,
            decay=decay,
        )

    def _step(
        self, current: Tensor, spikes: Tensor, u: Tensor, i: Tensor, *, threshold: Any, current_decay: Any, decay: Any
    ) -> State:
        i = i * current_decay + current
        u = self._decayed(u, decay, spikes, threshold) + i
        return self._fire(u, threshold), u, i


@layer("alpha")
class Alpha(_Neuron):
    """Neurons whose potential answers an input by an alpha function, a rise and a fall: u = tau (e + i), where the
    currents e_t = rise e_{t-1} + x_t and i_t = fall i_{t-1} - x_t cancel at first, and rise > fall are both decays.

    A reset by subtraction lowers e, so that it fades with it; a reset to zero sets both currents to 0. The factor is
    tau = 1 + log(rise) / (log(fall) - log(rise)).
    """

    states = 4

    def __init__(self, features: int, *, rise: float = 0.9, fall: float = 0.8, **options: Any) -> None:
        super().__init__(features, rise=rise, fall=fall, **options)

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        rise: float = 0.9,
        fall: float = 0.8,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        slope: float | None = None,
        learned: bool = False,
        recurrent: bool = False,
        output: str = "spikes",
    ) -> LayerPlan:
        """Shape unchanged."""
        expect(0 < fall < rise < 1, f"expected 0 < fall < rise < 1, got {fall} and {rise}")
        return cls._plan(
            shape,
            learned=learned,
            recurrent=recurrent,
            reset=reset,
            surrogate=surrogate,
            output=output,
            threshold=threshold,
            rise=rise,
            fall=fall,
        )

    def _step(
        self,
        current: Tensor,
        spikes: Tensor,
        u: Tensor,
        e: Tensor,
        i: Tensor,
        *,
        threshold: Any,
        rise: Any,
        fall: Any,
    ) -> State:
        log_rise, log_fall = _log(rise), _log(fall)
        tau = log_rise / (log_fall - log_rise) + 1.0
        fired = stop_gradient(spikes)
        if self.reset == "zero":
            e, i = e * (1.0 - fired), i * (1.0 - fired)
        e, i = e * rise + current, i * fall - current
        if self.reset == "subtract":
            e = e - fired * (threshold / tau)
        u = (e + i) * tau
        return self._fire(u, threshold), u, e, i


def _log(decay: Any) -> Any:
    return ops.log(decay) if isinstance(decay, Tensor) else float(np.log(decay))


@layer("adaptive_leaky")
class AdaptiveLeaky(_Neuron):
    """Leaky neurons that tire: the threshold rises by `strength` times a trace of the neuron's own spikes,
    a_t = trace_decay a_{t-1} + (1 - trace_decay) times the spikes of the step before.

    Source: Bellec et al. 2018, https://arxiv.org/abs/1803.09574 (the neurons of an LSNN).
    """

    states = 3

    def __init__(
        self, features: int, *, decay: float = 0.9, trace_decay: float = 0.97, strength: float = 1.8, **options: Any
    ) -> None:
        super().__init__(features, decay=decay, trace_decay=trace_decay, **options)
        self.strength = strength

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        decay: float = 0.9,
        trace_decay: float = 0.97,
        strength: float = 1.8,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        slope: float | None = None,
        learned: bool = False,
        recurrent: bool = False,
        output: str = "spikes",
    ) -> LayerPlan:
        """Shape unchanged."""
        expect(strength >= 0, f"expected strength >= 0, got {strength}")
        return cls._plan(
            shape,
            learned=learned,
            recurrent=recurrent,
            reset=reset,
            surrogate=surrogate,
            output=output,
            threshold=threshold,
            decay=decay,
            trace_decay=trace_decay,
        )

    def _step(
        self,
        current: Tensor,
        spikes: Tensor,
        u: Tensor,
        trace: Tensor,
        *,
        threshold: Any,
        decay: Any,
        trace_decay: Any,
    ) -> State:
        u = self._decayed(u, decay, spikes, trace * self.strength + threshold) + current
        trace = trace * trace_decay + spikes * (1.0 - trace_decay)
        return self._fire(u, trace * self.strength + threshold), u, trace
