"""Recurrent networks over sequences. Samples are (T, features); `ops.recurrent` has the scans they run on.

All three keep, per layer and direction, the matrices and biases of PyTorch's layers, in the order of its gates.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from .. import ops
from ..device import Array
from ..errors import ShapeError
from ..tensor import Tensor
from .dropout import Dropout
from .expect import expect, sequence
from .init import orthogonal, xavier_uniform, zeros
from .layer import LayerPlan, Shape, layer
from .module import Module, Parameter

State = tuple[Tensor, ...]  # of every layer and direction: (N, layers * directions, hidden)


class _Direction(Module):
    """The weights of one layer in one direction: from its inputs, from its own state, and a bias for each."""

    def __init__(self, features: int, hidden: int, gates: int, *, rng: np.random.Generator) -> None:
        self.input_weight = Parameter(xavier_uniform((gates * hidden, features), rng))
        self.state_weight = Parameter(_each_orthogonal(hidden, gates, rng))
        self.input_bias = Parameter(zeros((gates * hidden,)))
        self.state_bias = Parameter(zeros((gates * hidden,)))


def _each_orthogonal(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Orthogonal matrices one below the other."""
    blocks = [orthogonal((size, size), rng) for _ in range(count)]
    return np.concatenate(blocks) if blocks[0].flags.writeable else zeros((count * size, size))  # else weightless


class _Recurrent(Module):
    """What the three kinds share: layers on top of each other, directions side by side.

    Input weights start uniform by Glorot & Bengio 2010, each gate's state weights orthogonal by Saxe et al. 2014, and
    biases as zeros.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # tensors that make up a state

    def __init__(
        self,
        features: int,
        hidden: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        sequences: bool = True,
        dropout: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        directions = 1 + bidirectional
        self.hidden = hidden
        self.directions = directions
        self.sequences = sequences
        self.cells = [
            _Direction(features if level == 0 else directions * hidden, hidden, self.gates, rng=rng)
            for level in range(layers)
            for _ in range(directions)
        ]
        self.dropout = Dropout(dropout, rng=rng.spawn(1)[0]) if dropout else None

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        sequences: bool = True,
        dropout: float = 0.0,
    ) -> LayerPlan:
        """(T, directions * hidden), or without T if `sequences` is false."""
        steps, features = sequence(shape)
        expect(min(hidden, layers) >= 1, f"expected hidden and layers >= 1, got {hidden} and {layers}")
        expect(0 <= dropout < 1, f"expected 0 <= dropout < 1, got {dropout}")
        wide = hidden * (1 + bidirectional)
        weights = cls.gates * wide * (features + hidden + (layers - 1) * (wide + hidden))
        out = (steps, wide) if sequences else (wide,)
        peaks, late_peaks = zip(
            *(
                cls._peaks(steps, features if level == 0 else wide, hidden, bidirectional=bidirectional)
                for level in range(min(layers, 2))  # further ones are as the second
            ),
            strict=True,
        )
        return LayerPlan(
            out,
            weights + 2 * cls.gates * wide * layers,
            steps * weights,
            tensors=4 * layers * (1 + bidirectional),
            peak=max(peaks),
            late_peak=max((late_peaks[0], *peaks[1:])),
        )

    @classmethod
    def _peaks(cls, steps: int, features: int, hidden: int, *, bidirectional: bool) -> tuple[int, int]:
        """Elements alive at the worst moment of one layer, and at the worst without its input."""
        inputs, states = steps * features, steps * hidden  # states: those of one direction at all steps
        gates, scanned = cls.gates * states, cls.states * states
        if not bidirectional:
            return max(inputs + gates, gates + scanned), gates + scanned
        late = max(states + gates + scanned, 4 * states)  # the second direction's scan; joining both
        return max(inputs + gates + max(scanned, states), late), late

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, hidden: int, **options: Any) -> Self:
        """For sequences of any length; options as for `plan`."""
        return cls(shape[1], hidden, rng=rng, **options)

    def forward(self, x: Tensor) -> Tensor:
        """All states of the last layer, (N, T, directions * hidden); or only where each direction ends."""
        outputs, state = self.run(x)
        if self.sequences:
            return outputs
        ends = [state[0][:, place] for place in range(len(self.cells) - self.directions, len(self.cells))]
        return ends[0] if len(ends) == 1 else ops.concatenate(*ends, axis=-1)

    def run(self, x: Tensor, state: State | None = None, *, lengths: Array | None = None) -> tuple[Tensor, State]:
        """The states of the last layer at all steps, and the state of all layers at the end.

        Args:
            x: (N, T, features).
            state: to begin with, as this method returned it; zeros by default. Detach it to cut the gradient there.
            lengths: of each sequence, integers (N,) in [1, T]; what lies behind is not looked at. By default all are T.

        Returns:
            (N, T, directions * hidden), zeros behind the end of a sequence; and a tuple of tensors (N, layers *
            directions, hidden), one for RNN and GRU, state and cell for LSTM.

        Raises:
            ShapeError: the shapes do not fit, or a length is out of range.
        """
        if x.ndim != 3:
            raise ShapeError(f"{type(self).__name__}: expected (N, T, features), got shape {x.shape}")
        ends = None if lengths is None else _Ends(x, lengths)
        if ends is not None:
            x = ends.cut(x)
        finals: list[State] = []
        for level in range(0, len(self.cells), self.directions):
            if level and self.dropout is not None:
                x = self.dropout(x)
            outputs: list[Tensor] = []
            for direction in range(self.directions):
                place = level + direction
                start = (self._zeros(x),) * self.states if state is None else tuple(part[:, place] for part in state)
                forwards = x if not direction else _reversed(x, ends)
                ys = self._scan(self.cells[place], forwards, start)
                finals.append(tuple(y[:, -1] if ends is None else ends.last(y) for y in ys))
                outputs.append(ys[0] if not direction else _reversed(ys[0], ends))
            x = outputs[0] if len(outputs) == 1 else ops.concatenate(*outputs, axis=-1)
            if ends is not None:
                x = ends.cut(x)
        return x, tuple(ops.stack([final[k] for final in finals], axis=1) for k in range(self.states))

    def _zeros(self, x: Tensor) -> Tensor:
        return Tensor(x.device.xp.zeros((1, self.hidden), x.dtype))

    def _scan(self, cell: _Direction, x: Tensor, start: State) -> tuple[Tensor, ...]:
        """All steps of one layer in one direction: states, and whatever else is part of the state."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no scan")


class _Ends:
    """Where the sequences of a padded batch end.

    Args:
        x: the batch, (N, T, features).
        lengths: of each sequence, integers (N,) in [1, T].
    """

    def __init__(self, x: Tensor, lengths: Array) -> None:
        samples, steps = x.shape[:2]
        counts = np.asarray(lengths)
        fits = counts.shape == (samples,) and counts.dtype.kind in "iu"
        if not fits or (samples and not (counts.min() >= 1 and counts.max() <= steps)):
            raise ShapeError(f"expected {samples} lengths in [1, {steps}], integers, got {counts.tolist()}")
        places = np.arange(steps)
        inside = places < counts[:, None]
        self._inside = ops.of_samples(x, x.device.put(inside[:, :, None]))
        self._mirrored = ops.of_samples(x, x.device.put(np.where(inside, counts[:, None] - 1 - places, places)))
        self._last = ops.of_samples(x, x.device.put(counts.astype(np.int64) - 1))

    def cut(self, x: Tensor) -> Tensor:
        """Zeros behind the ends."""
        return ops.where(self._inside, x, 0.0)

    def mirrored(self, x: Tensor) -> Tensor:
        """Each sequence from its end to its beginning."""
        return ops.take(x, self._mirrored, axis=1, batch_dims=1)

    def last(self, x: Tensor) -> Tensor:
        """The step at the end of each sequence."""
        return ops.take(x, self._last, axis=1, batch_dims=1)


def _reversed(x: Tensor, ends: _Ends | None) -> Tensor:
    return x[:, ::-1] if ends is None else ends.mirrored(x)


@layer("rnn")
class RNN(_Recurrent):
    """Plain recurrent network, h_t = tanh(W x_t + V h_{t-1} + biases).

    Args:
        features: of a step.
        hidden: size of the state.
        layers: on top of each other, each running over the states of the one below.
        bidirectional: a second network runs from the end to the beginning; its states stand behind those of the first.
        sequences: whether `forward` returns the states at all steps, or only where each direction ends.
        dropout: share of the states between layers that is dropped in training.
        rng: of the initial weights, and of what is dropped.

    Source: Elman 1990, Finding structure in time.
    """

    gates = 1

    def _scan(self, cell: _Direction, x: Tensor, start: State) -> tuple[Tensor, ...]:
        gates = ops.linear(x, cell.input_weight, cell.input_bias + cell.state_bias)
        return (ops.rnn_scan(gates, start[0], cell.state_weight),)


@layer("gru")
class GRU(_Recurrent):
    """Gated recurrent unit; arguments as for `RNN`. Gates are in the order reset, update, new.

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, with the reset gate behind the product as in cuDNN.
    """

    gates = 3

    def _scan(self, cell: _Direction, x: Tensor, start: State) -> tuple[Tensor, ...]:
        inner = cell.state_bias[2 * self.hidden :]  # of the new gate, scaled by the reset gate
        outer = ops.concatenate(cell.state_bias[: 2 * self.hidden], inner * 0.0, axis=0)
        gates = ops.linear(x, cell.input_weight, cell.input_bias + outer)
        return (ops.gru_scan(gates, start[0], cell.state_weight, inner),)


@layer("lstm")
class LSTM(_Recurrent):
    """Long short-term memory; arguments as for `RNN`. Gates are in the order input, forget, candidate, output.

    Forget gates start with a bias of 1, which lets the cell remember (Jozefowicz et al. 2015).

    Source: Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; Gers et al. 2000.
    """

    gates = 4
    states = 2

    def __init__(self, features: int, hidden: int, **options: Any) -> None:
        super().__init__(features, hidden, **options)
        for cell in self.cells:
            if cell.input_bias.data.flags.writeable:  # else weightless
                cell.input_bias.data[hidden : 2 * hidden] = 1

    def _scan(self, cell: _Direction, x: Tensor, start: State) -> tuple[Tensor, ...]:
        gates = ops.linear(x, cell.input_weight, cell.input_bias + cell.state_bias)
        return ops.lstm_scan(gates, *start, cell.state_weight)
