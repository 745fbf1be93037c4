"""What ops that read at other places than their own are written with: elements of values at coordinates, as C++."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..graph import Input, Node
from .numbers import DType

# Lines to run first, and an expression of the dtype of the node's output, for the element at these coordinates.
Written = tuple[list[str], str]


class Reader(Protocol):
    """The kernel that is being written."""

    def read(self, item: Input, at: Sequence[str], dtype: DType) -> str:
        """The element of an input at coordinates, all within its shape, as a dtype."""
        ...

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        ...


Rule = Callable[[Reader, Node, Sequence[str]], Written]


def bounded(at: str, length: int) -> str:
    """Whether a coordinate is within an axis."""
    return f"({at}) >= 0 && ({at}) < {length}"


def all_of(conditions: Sequence[str]) -> str:
    """All of some conditions."""
    return " && ".join(f"({each})" for each in conditions) if conditions else "true"


def flattened(at: Sequence[str], shape: Sequence[int]) -> str:
    """Coordinates as one."""
    text = "0"
    for each, length in zip(at, shape, strict=True):
        text = f"({text} * {length} + ({each}))" if text != "0" else f"({each})"
    return text


def apart(flat: str, shape: Sequence[int]) -> list[str]:
    """One coordinate as several."""
    step = 1
    found: list[str] = []
    for position, length in reversed(list(enumerate(shape))):
        text = f"({flat}) / {step}" if step > 1 else f"({flat})"
        found.append(f"({text} % {length})" if position else f"({text})")
        step *= max(length, 1)
    return found[::-1]
