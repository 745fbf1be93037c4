"""Training steps of networks, by the native back end and by the reference."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasturtium.core import Tensor, grad, nn, ops
from nasturtium.core.compiler.llvm import Barrier
from nasturtium.core.compiler.native.program import NativeProgram
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.compiler.trace import trace
from nasturtium.core.device import CPU
from nasturtium.core.optim import EMA, SGD, Optimizer, clip_by_norm

PLAIN = SGD(learning_rate=0.1)
CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A step of training: which network, on what, how.

    Attributes:
        layers, shape: the network, and of one sample.
        batch: samples of a step.
        training: whether layers train.
        optimizer: takes the steps.
        clip: largest norm of the gradient, or None.
        average: whether an average of the parameters is kept.
        options: of the cross-entropy; None for a loss without classes.
        tokens: inputs are integers below it; 0 for numbers.
    """

    layers: tuple[nn.LayerSpec, ...]
    shape: tuple[int, ...]
    batch: int = 2
    training: bool = True
    optimizer: Optimizer = PLAIN
    clip: float | None = None
    average: bool = False
    options: dict[str, object] | None = None
    tokens: int = 0

    def run(self, threads: int = 0, steps: int = 3, *, order: Sequence[int] | None = None) -> list[np.ndarray]:
        """All that is there after some steps.

        Args:
            threads: of the native back end; 0 for the reference.
            steps: how many.
            order: in which threads take turns, see `in_turn`.
        """
        model = nn.build_layers(self.layers, self.shape, np.random.default_rng(7)).train(self.training)
        parameters = model.parameters()
        state = self.optimizer.init(parameters) if parameters else None
        averaging = EMA()
        average = averaging.init(state) if self.average and state else None

        def step(x, y):
            out = model(x)
            if self.options is not None:
                loss = ops.cross_entropy(out, y, **self.options)
            else:
                loss = ops.mean(out * y) + ops.mean(out * out)
            wanted = [*parameters, *([] if self.tokens else [x])]
            gradients = grad(loss, wanted) if wanted and loss.node is not None else []
            if state is not None:
                whole = state.gather(gradients[: len(parameters)])
                if self.clip is not None:
                    clip_by_norm(whole, self.clip)
                self.optimizer.step(state, whole)
                if average is not None:
                    averaging.step(average, state)
            return loss, out, gradients

        rng = np.random.default_rng(1)
        batches = [self._batch(rng) for _ in range(steps)]
        x, y = batches[0]
        graph = optimize(trace(step, x if self.tokens else Tensor(x, requires_grad=True), y).graph)
        graph.verify()
        if threads:
            program = NativeProgram(graph, CPU)
            if order is not None:
                in_turn(program, order)
            found = [array for each in batches for array in program(list(each), threads=threads)]
        else:
            reference = ReferenceProgram(graph, CPU)
            found = [array for each in batches for array in reference(list(each))]
        if state is not None:
            found += [state.parameters, *state.moments.values()]
        found += [] if average is None else [average.values]
        return [np.array(array) for array in (*found, *model.state().values())]

    def _batch(self, rng):
        shape = (self.batch, *self.shape)
        x = rng.integers(0, self.tokens, shape) if self.tokens else rng.standard_normal(shape).astype(np.float32)
        out = (self.batch, *nn.plan_layers(self.layers, self.shape).output_shape)
        if self.options is None:
            return x, rng.standard_normal(out).astype(np.float32)
        return x, rng.integers(0, out[1], (out[0], *out[2:]))


def in_turn(program: NativeProgram, order: Sequence[int]) -> None:
    """Let the program's threads run one after the other, each as far as it can without waiting for the others: the
    least fair of all schedules, which shows who reads what another one has yet to make.

    Args:
        program: runs with as many threads from now on.
        order: their numbers.
    """
    inner, threads = program._program, len(order)
    calls = inner._block[: 2 * len(inner.records)].reshape(-1, 2).tolist()

    def run_phase(phase):
        for thread in order:
            for kernel, arguments in phase:
                CALL(kernel)(arguments, thread, threads)

    def run(**_):
        phase = []
        for record, call in zip(inner.records, calls, strict=True):
            if not isinstance(record, Barrier):
                phase.append(call)
            elif record.unless != threads:
                run_phase(phase)
                phase = []
        run_phase(phase)

    inner.run = run


def agree(ours, theirs, *, rounding=1e-4):
    """Equal to rounding, beside the largest element of each array."""
    for actual, wanted in zip(ours, theirs, strict=True):
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
        largest = np.abs(wanted[np.isfinite(wanted)], dtype=np.float64).max(initial=0.0)
        np.testing.assert_allclose(actual, wanted, rtol=rounding, atol=rounding * min(largest, 1e3) + 1e-6)


def check(training, *, rounding=1e-4):
    """The native back end is the reference, and does not depend on the number of threads."""
    one = training.run(threads=1)
    agree(one, training.run(), rounding=rounding)
    for order in (None, (1, 0)):
        for actual, wanted in zip(training.run(threads=2, order=order), one, strict=True):
            assert actual.tobytes() == wanted.tobytes()
