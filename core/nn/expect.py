"""What plans of layers check, and how they ask the ops for shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..abstract import infer_shapes
from ..errors import ConfigError, DTypeError, FormatError, ShapeError
from ..shapes import Spec
from .layer import Shape


def expect(condition: bool, message: str) -> None:
    """Refuse an option or a shape.

    Raises:
        FormatError: `condition` is false.
    """
    if not condition:
        raise FormatError(message)


def image(shape: Shape) -> Shape:
    """The shape of an image, (C, H, W).

    Raises:
        FormatError: it is another.
    """
    expect(len(shape) == 3, f"expected samples of shape (C, H, W), got {shape}")
    return shape


def sequence(shape: Shape) -> Shape:
    """The shape of a sequence, (T, features).

    Raises:
        FormatError: it is another.
    """
    expect(len(shape) == 2, f"expected samples of shape (T, features), got {shape}")
    return shape


def inferred(function: Callable[..., Any], *shapes: Shape) -> Shape:
    """The shape of a sample after `function`, a composition of ops, without computing anything.

    Args:
        function: takes tensors.
        shapes: of its inputs, that of the samples without the batch axis first, others as they are.

    Raises:
        FormatError: the ops refuse these shapes.
    """
    try:
        result: Spec = infer_shapes(function, (1, *shapes[0]), *shapes[1:])
    except (ShapeError, ConfigError, DTypeError) as exc:
        raise FormatError(exc.message, hint=exc.hint) from exc
    return result.shape[1:]
