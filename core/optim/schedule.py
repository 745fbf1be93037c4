"""Schedules: what the learning rate is multiplied by at each step. Values, pure functions of the step number."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Protocol

from ..errors import ConfigError

WARMUP = 0.05  # part of `cosine_schedule` spent raising the learning rate from zero


def _between(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * part))


def _check_steps(steps: int, name: str, *, least: int = 1) -> None:
    if steps < least:
        raise ConfigError(f"expected {name} >= {least}, got {steps}")


def _check(value: float, name: str, most: float) -> None:
    if not (0 <= value <= most and value < inf):
        raise ConfigError(f"expected {name} >= 0{'' if most == inf else f' and <= {most:g}'} and finite, got {value}")


class Schedule(Protocol):
    """The factor on the learning rate for a step; steps count from 0."""

    def __call__(self, step: int, /) -> float:
        """A factor >= 0, usually at most 1."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same factor."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        _check(self.factor, "factor", inf)

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        return self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay:
    """Multiply by `factor` every so many steps."""

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check_steps(self.every, "every")
        _check(self.factor, "factor", 1)

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        return self.factor ** (step // self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Half a cosine from 1 down to `floor`, which is reached after `steps` and kept.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, eq. 5 without restarts.
    """

    steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        _check_steps(self.steps, "steps")
        _check(self.floor, "floor", 1)

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        return self.floor + (1 - self.floor) * (0.5 * (1 + cos(pi * min(step, self.steps) / self.steps)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """(1 - step / steps)^power from 1 down to `floor`, which is reached after `steps` and kept; linear by default."""

    steps: int
    power: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _check_steps(self.steps, "steps")
        _check(self.floor, "floor", 1)
        _check(self.power, "power", inf)

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        return self.floor + (1 - self.floor) * (1 - min(step, self.steps) / self.steps) ** self.power


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle:
    """Up from `start` to 1 and down to `end`, each half a cosine, in `steps` steps: 0 to steps - 1.

    Args:
        steps: of the whole cycle, >= 2.
        rise: part of it spent going up, in (0, 1).
        start: the first factor, in [0, 1].
        end: the last factor, in [0, 1].

    Source: Smith & Topin 2018, https://arxiv.org/abs/1708.07120; PyTorch's two phases and defaults. The momentum stays.
    """

    steps: int
    rise: float = 0.3
    start: float = 1 / 25
    end: float = 1 / 250_000

    def __post_init__(self) -> None:
        _check_steps(self.steps, "steps", least=2)
        _check(self.start, "start", 1)
        _check(self.end, "end", 1)
        if not 0 < self.rise < 1:
            raise ConfigError(f"expected 0 < rise < 1, got {self.rise}")

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        last = self.steps - 1
        top = self.rise * self.steps - 1
        step = min(step, last)
        if step <= top:
            return _between(self.start, 1.0, step / top) if top > 0 else 1.0
        return _between(1.0, self.end, (step - top) / (last - top))


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """A straight line from zero in `steps` steps, then another schedule from its beginning.

    The last step of the line has the factor that `after` begins with.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.2.
    """

    steps: int
    after: Schedule = Constant()

    def __post_init__(self) -> None:
        _check_steps(self.steps, "steps")

    def __call__(self, step: int) -> float:
        """The factor of a step."""
        if step < self.steps:
            return (step + 1) / self.steps * self.after(0)
        return self.after(step - self.steps)


def cosine_schedule(steps: int) -> WarmUp:
    """The usual course of a training run of `steps` steps: a twentieth of it warm-up, then a cosine down to zero."""
    _check_steps(steps, "steps")
    warmup = max(1, int(WARMUP * steps))
    return WarmUp(steps=warmup, after=Cosine(steps=max(1, steps - warmup)))
