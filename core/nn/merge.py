"""Layers that join several inputs, for the nodes of a graph, and the one that takes a part of one.

Axes count without the batch: 0 is the channels of an image. Shapes below are those of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Self

import numpy as np

from .. import ops
from ..tensor import Tensor
from .expect import expect
from .layer import LayerPlan, Shape, layer
from .module import Module


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    """The common shape of inputs with equally many axes, whose lengths are equal or 1."""
    result = tuple(max(lengths) for lengths in zip(*shapes, strict=False))
    fits = len({len(shape) for shape in shapes}) == 1 and all(
        length in {1, longest} for shape in shapes for length, longest in zip(shape, result, strict=True)
    )
    expect(fits, f"expected shapes with the same number of axes, and lengths that are equal or 1, got {list(shapes)}")
    return result


@layer("concat", joins=True)
class Concat(Module):
    """The inputs one after the other along an axis, all others equal."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    @classmethod
    def plan(cls, shapes: tuple[Shape, ...], *, axis: int = 0) -> LayerPlan:
        """The lengths along `axis` added."""
        first = shapes[0]
        expect(0 <= axis < len(first), f"expected an axis below {len(first)}, got {axis}")
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes if len(shape) == len(first)}
        expect(
            len(others) == 1 and len({len(shape) for shape in shapes}) == 1,
            f"expected shapes that differ in axis {axis} alone, got {list(shapes)}",
        )
        return LayerPlan((*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :]))

    @classmethod
    def build(cls, shapes: tuple[Shape, ...], rng: np.random.Generator, *, axis: int = 0) -> Self:
        """For inputs of `shapes`."""
        return cls(axis)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Join (N, ...) tensors."""
        return ops.concatenate(*inputs, axis=self.axis + 1)


@layer("add", joins=True)
class Add(Module):
    """The sum of the inputs, each times its weight; lengths of 1 are stretched."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        self.weights = weights

    @classmethod
    def plan(cls, shapes: tuple[Shape, ...], *, weights: tuple[float, ...] = ()) -> LayerPlan:
        """The common shape."""
        expect(len(weights) in {0, len(shapes)}, f"expected no weights or {len(shapes)}, got {len(weights)}")
        return LayerPlan(_broadcast(shapes))

    @classmethod
    def build(cls, shapes: tuple[Shape, ...], rng: np.random.Generator, *, weights: tuple[float, ...] = ()) -> Self:
        """For inputs of `shapes`."""
        return cls(weights)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Add (N, ...) tensors."""
        pairs = zip(inputs, self.weights or (1.0,) * len(inputs), strict=True)
        return reduce(ops.add, [x if weight == 1 else x * weight for x, weight in pairs])


@layer("multiply", joins=True)
class Multiply(Module):
    """The product of the inputs; lengths of 1 are stretched, as for gates of shape (C, 1, 1)."""

    @classmethod
    def plan(cls, shapes: tuple[Shape, ...]) -> LayerPlan:
        """The common shape."""
        return LayerPlan(_broadcast(shapes))

    @classmethod
    def build(cls, shapes: tuple[Shape, ...], rng: np.random.Generator) -> Self:
        """For inputs of `shapes`."""
        return cls()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Multiply (N, ...) tensors."""
        return reduce(ops.multiply, inputs)


@layer("maximum", joins=True)
class Maximum(Multiply):
    """The largest of the inputs, elementwise; lengths of 1 are stretched."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compare (N, ...) tensors."""
        return reduce(ops.maximum, inputs)


@layer("select")
class Select(Module):
    """The elements `start` to `stop` (not included; the end by default) along an axis."""

    def __init__(self, start: int, stop: int | None, axis: int) -> None:
        self.start, self.stop, self.axis = start, stop, axis

    @classmethod
    def plan(cls, shape: Shape, *, start: int = 0, stop: int | None = None, axis: int = 0) -> LayerPlan:
        """One axis shortened."""
        expect(0 <= axis < len(shape), f"expected an axis below {len(shape)}, got {axis}")
        end = shape[axis] if stop is None else stop
        expect(
            0 <= start < end <= shape[axis],
            f"expected 0 <= start < stop <= {shape[axis]}, got {start} and {end}",
        )
        return LayerPlan((*shape[:axis], end - start, *shape[axis + 1 :]))

    @classmethod
    def build(
        cls, shape: Shape, rng: np.random.Generator, *, start: int = 0, stop: int | None = None, axis: int = 0
    ) -> Self:
        """For samples of `shape`."""
        return cls(start, stop, axis)

    def forward(self, x: Tensor) -> Tensor:
        """A part of (N, ...)."""
        return x[(slice(None),) * (self.axis + 1) + (slice(self.start, self.stop),)]
