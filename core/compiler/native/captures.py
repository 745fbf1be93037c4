"""Tensors that a program reads beside its arguments, such as parameters: bound anew when they hold other memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...device import Array
from ...native import accelerate
from ...tensor import Tensor
from ..graph import Capture


class Captures:
    """Captured tensors, by the names of their sources.

    Args:
        named: each name and what it captured, a tensor.

    Attributes:
        tensors: they.
        arrays: of each what was bound last, if it was no copy.
    """

    def __init__(self, named: Sequence[tuple[str, Capture]]) -> None:
        self._named = named
        self.tensors = tuple(capture.tensor for _, capture in named if isinstance(capture.tensor, Tensor))
        assert len(self.tensors) == len(named)
        self.arrays: list[Array | None] = [None] * len(named)

    def rebind(self, bind: Callable[[str, Array], bool]) -> None:
        """Bind those that hold another array than they did.

        Args:
            bind: a name to an array; whether it bound that memory itself, which is right for as long as the tensor
                holds it.

        Raises:
            OutdatedError: an array is of another shape or dtype.
        """
        if _holding(self.tensors, self.arrays):
            return
        for number, (tensor, (name, capture)) in enumerate(zip(self.tensors, self._named, strict=True)):
            if self.arrays[number] is not tensor.data:
                array = capture.read()
                self.arrays[number] = array if bind(name, array) else None


def _holding(tensors: tuple[Tensor, ...], arrays: list[Array | None]) -> bool:
    """Whether each tensor holds the very array."""
    if accelerate is not None:
        return accelerate.holding(tensors, arrays)
    return all(tensor.data is array for tensor, array in zip(tensors, arrays, strict=True))
