"""Training steps that are compiled, once a run has gone on for long enough to be worth it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import Final

from ..compiler.compile import Compiled, compile
from ..device import Array
from ..errors import CompileError, TraceError
from ..tensor import Tensor

logger = logging.getLogger(__name__)

VARIABLE: Final = "NASTURTIUM_COMPILE"
# The first steps of a run are taken as they are: compiling takes as long as some dozens of steps of a small network,
# and many a run is over by then. Counted in steps of the run: one that goes on from a checkpoint does the same.
FIRST: Final = 32
# And a run that is shorter than this by its plan, such as a round of a federation, is over too soon to be worth it.
LEAST: Final = 256

Step = Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]


class UncompiledWarning(UserWarning):
    """A training step cannot be compiled, and runs as it is."""


class CompiledStep:
    """A step of training as a program, where it can be one.

    Batches of other shapes than the first one that was compiled, such as the last of an epoch, are left to the caller.

    Args:
        step: takes inputs, targets and a learning rate; returns scalars.
    """

    def __init__(self, step: Step) -> None:
        self._program: Compiled[[Tensor, Tensor, float], tuple[Tensor, ...]] | None = compile(step, backend="llvm")
        self._kind: tuple[object, ...] | None = None
        if os.environ.get(VARIABLE, "") == "off":
            self._program = None

    def run(self, inputs: Array, targets: Array, rate: float, *, done: int, planned: int) -> tuple[float, ...] | None:
        """Take a step.

        Args:
            inputs, targets: of the batch.
            rate: the learning rate.
            done: steps of this run so far.
            planned: steps that the run has if nothing ends it early.

        Returns:
            The scalars; None where the step is to be taken uncompiled, and nothing was done.
        """
        if self._program is None or done < FIRST or planned < LEAST:
            return None
        kind = (inputs.shape, inputs.dtype, targets.shape, targets.dtype)
        if self._kind is None:
            self._kind = kind
        if kind != self._kind:
            return None
        try:
            made = self._program(Tensor(inputs), Tensor(targets), rate)
        except TraceError as exc:
            warnings.warn(f"training runs without the compiler: {exc.message}", UncompiledWarning, stacklevel=2)
            self._program = None
            return None
        except CompileError as exc:
            logger.debug("training runs without the compiler: %s", exc)
            self._program = None
            return None
        return tuple(float(value) for value in made)
