"""What a function does beside computing, and may do while it is compiled: move running statistics, draw random numbers,
step an optimiser.

Outside of the compiler these things just happen. While a function is traced there is a `Stage`, which has them happen
in every run of what is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .device import Array
from .dispatch import Traced
from .shapes import Spec
from .tape import current_mode
from .tensor import Tensor


class Stage(Protocol):
    """A function is being traced in this thread; see `compiler.trace`."""

    def each_run(self, prepare: Callable[[], None]) -> None:
        """Call `prepare` at the beginning of each run, in order with the draws."""
        ...

    def draw(self, make: Callable[[], Array], spec: Spec) -> Tensor:
        """What `make` returns in each run: an array of `spec`."""
        ...

    def effect(
        self, name: str, run: Callable[..., None], inputs: Sequence[Tensor], *, touches: Sequence[Array], subject: Any
    ) -> None:
        """Call `run` with the arrays of `inputs` at the end of each run; it changes the memory of `touches`."""
        ...


def current_stage() -> Stage | None:
    """The stage on which the function is that is being traced in this thread."""
    return current_mode().stage


def set_state(target: Tensor, value: Tensor) -> None:
    """Overwrite a tensor in place; no gradient flows through.

    Args:
        target: keeps its array.
        value: of the same shape; converted to the target's dtype.
    """
    if isinstance(value, Traced):
        fitted = value.astype(target.dtype)
        assert isinstance(fitted, Traced)
        fitted.assigned(target)
    else:
        target.data[...] = value.data


def drawn(make: Callable[[], Array], spec: Spec) -> Array | Tensor:
    """What `make` draws, an array of `spec`; while a function is traced a tensor, drawn anew in each run."""
    stage = current_stage()
    return make() if stage is None else stage.draw(make, spec)
