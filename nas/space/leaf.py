"""Values of one decision: drawn, near another one, on a scale from 0 to 1."""

from __future__ import annotations

from math import ceil, exp, floor, log

import numpy as np

from .nodes import Choice, Float, Int, Leaf, Scalar

STEP = 0.2  # of the whole range: how far a number moves in one step


def draw(leaf: Leaf, rng: np.random.Generator) -> Scalar:
    """One uniformly random value, in the logarithm where the leaf says so."""
    match leaf:
        case Choice():
            return leaf.values[int(rng.integers(len(leaf.values)))]
        case Int(log=True) | Float():
            return from_unit(leaf, rng.uniform())
        case Int(low, high, step):
            return low + step * int(rng.integers((high - low) // step + 1))


def others(leaf: Leaf, value: Scalar) -> list[Scalar]:
    """The values one step from another one: all others of a choice, the next ones of a number."""
    match leaf:
        case Choice():
            return [option for option in leaf.values if option != value or type(option) is not type(value)]
        case Int(low, high, step, logarithmic):
            here = int(value)
            if logarithmic:
                near = {from_unit(leaf, to_unit(leaf, value) + move) for move in (-STEP, STEP)}
                near |= {here - 1, here + 1}
                return sorted(n for n in near if n != here and low <= int(n) <= high)
            return [n for n in (here - step, here + step) if n in leaf.values]
        case Float():
            unit = to_unit(leaf, value)
            steps = [min(1.0, max(0.0, unit + move)) for move in (-STEP, STEP)]
            return [from_unit(leaf, step) for step in steps if step != unit]


def nearby(leaf: Leaf, value: Scalar, rng: np.random.Generator) -> Scalar:
    """A random other value: any of a choice, a normal step of a number. The same where there is no other."""
    match leaf:
        case Choice():
            options = others(leaf, value)
            return options[int(rng.integers(len(options)))] if options else value
        case Int() | Float():
            unit = to_unit(leaf, value) + STEP * rng.standard_normal()
            unit = abs(unit)  # reflected at the ends, so that they are not favoured
            unit = 2 - unit if unit > 1 else unit
            moved = from_unit(leaf, min(1.0, max(0.0, unit)))
            if moved != value or isinstance(leaf, Float):
                return moved
            options = others(leaf, value)
            return options[int(rng.integers(len(options)))] if options else value


def to_unit(leaf: Int | Float, value: Scalar) -> float:
    """Where a number stands between the leaf's ends, in [0, 1]; 0 where they are equal."""
    low, high, x = float(leaf.low), float(leaf.high), float(value)
    if low == high:
        return 0.0
    return (log(x) - log(low)) / (log(high) - log(low)) if leaf.log else (x - low) / (high - low)


def from_unit(leaf: Int | Float, unit: float) -> Scalar:
    """The number at a place between the ends; the inverse of `to_unit` up to rounding."""
    unit = min(1.0, max(0.0, unit))
    if isinstance(leaf, Float):
        low, high = leaf.low, leaf.high
        value = exp(log(low) + unit * (log(high) - log(low))) if leaf.log else low + unit * (high - low)
        return min(high, max(low, value))
    if leaf.log:  # every whole number owns the part of the logarithmic range that rounds to it
        low, high = log(leaf.low - 0.5), log(leaf.high + 0.5)
        return min(leaf.high, max(leaf.low, ceil(exp(low + unit * (high - low)) - 0.5)))
    count = (leaf.high - leaf.low) // leaf.step + 1
    return leaf.low + leaf.step * min(count - 1, floor(unit * count))


def filler(leaf: Leaf) -> Scalar:
    """The value of a decision that does not count."""
    return leaf.values[0] if isinstance(leaf, Choice) else leaf.low
