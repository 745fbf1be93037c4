"""`gradcheck`: compare the derivatives of a function with finite differences along random directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .autograd import grad
from .device import CPU
from .errors import GradientError
from .shapes import is_inexact
from .tensor import Tensor


def gradcheck(
    function: Callable[..., Tensor],
    *inputs: Any,
    rng: np.random.Generator,
    order: int = 2,
    step: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Check the gradient of a function, and the gradient of its gradient, along one random direction each.

    A wrong element of the Jacobian is missed with probability zero: the direction is random and dense.

    Args:
        function: takes tensors, returns one tensor of any shape.
        inputs: where to check, float64 for the finite differences to mean something; integer inputs stay fixed.
        rng: draws the directions.
        order: 1 or 2.
        step: of the central differences.
        rtol, atol: how far the slopes may differ; ten times wider for the second order.

    Raises:
        GradientError: a slope differs; says which order, expected and found.
    """
    arrays = [CPU.put(Tensor(value).data) for value in inputs]
    places = [Tensor(value).device if isinstance(value, Tensor) else CPU for value in inputs]
    smooth = [i for i, array in enumerate(arrays) if is_inexact(array.dtype)]
    for i in smooth:
        if arrays[i].dtype not in (np.float64, np.complex128):
            raise GradientError(
                f"gradcheck: input {i} is {arrays[i].dtype}: expected float64", hint="use .astype('float64')"
            )
    direction = [_normal(rng, arrays[i]) for i in smooth]
    again = [_normal(rng, arrays[i]) for i in smooth]

    def leaves(shift: float) -> list[Tensor]:
        moved = list(arrays)
        for i, along in zip(smooth, direction, strict=True):
            moved[i] = arrays[i] + shift * along
        return [
            Tensor(array, device=place, requires_grad=i in smooth)
            for i, (array, place) in enumerate(zip(moved, places, strict=True))
        ]

    output = function(*leaves(0.0))
    weights = Tensor(_normal(rng, np.empty(output.shape, np.float64)), device=output.device)

    def value(tensors: list[Tensor]) -> Tensor:
        return (function(*tensors) * weights).sum()

    def slope(tensors: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
        return grad(value(tensors), [tensors[i] for i in smooth], create_graph=create_graph)

    def projected(tensors: list[Tensor], *, create_graph: bool = False) -> Tensor:
        total = Tensor(np.float64(0))
        for gradient, along in zip(slope(tensors, create_graph=create_graph), again, strict=True):
            total = total + (gradient * Tensor(along, device=gradient.device)).sum()
        return total

    def compare(name: str, found: float, measured: float, scale: float) -> None:
        if not abs(found - measured) <= scale * (atol + rtol * abs(measured)):
            raise GradientError(
                f"gradcheck: the {name} derivative is {found:.9g}, finite differences say {measured:.9g}"
            )

    found = sum(_dot(g, d) for g, d in zip(slope(leaves(0.0)), direction, strict=True))
    measured = (float(value(leaves(step))) - float(value(leaves(-step)))) / (2 * step)
    compare("first", found, measured, 1.0)
    if order < 2:
        return
    measured = (float(projected(leaves(step))) - float(projected(leaves(-step)))) / (2 * step)
    tensors = leaves(0.0)
    scalar = projected(tensors, create_graph=True)
    found = 0.0
    if scalar.requires_grad:
        second = grad(scalar, [tensors[i] for i in smooth])
        found = sum(_dot(g, d) for g, d in zip(second, direction, strict=True))
    compare("second", found, measured, 10.0)


def _dot(gradient: Tensor, direction: np.ndarray) -> float:
    """The real inner product, complex numbers taken as pairs."""
    ours = CPU.put(gradient.data)
    return float(np.sum(np.real(ours) * np.real(direction)) + np.sum(np.imag(ours) * np.imag(direction)))


def _normal(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    values = rng.standard_normal(like.shape)
    return values + 1j * rng.standard_normal(like.shape) if like.dtype.kind == "c" else values
