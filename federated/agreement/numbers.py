"""Means and scales by exact sums: what a site adds up of its numbers, and what the sums say.

Numbers come in groups that share a mean and a scale: a column of a table, the pixels of images, a target. Integers are
summed, so every group needs a scale that no site's sum is beyond. It is found in steps, and each step is one sum:

1. `survey`: in which class of 16 binary exponents the largest magnitude of the group is, over all sites. From there on
   numbers are in units of 2^E, at most 1.
2. `sums`: how many numbers there are, and their sum, in steps of 2^-50 of the largest it can be: a first mean m.
3. `spread`: the exponent of the largest distance to m, one of 80.
4. `moments`: the sums of distances and squared distances to m, in steps of 2^-50 of the largest they can be. That is
   the mean and the variance, without the cancellation of large sums of squares (Chan et al. 1983, algorithm for two
   passes with a correction, https://doi.org/10.1080/00031305.1983.10483115).

With K sites the mean is wrong by at most K 2^-49 of the largest distance to it, the variance by K 2^-47 of that
squared. A group whose variance is below 2^-40 of its largest squared distance is constant: nothing but an outlier among
more than 2^38 numbers looks like that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import frexp, ldexp, sqrt
from typing import Final

import numpy as np

from ..errors import AgreementError, Refusal
from ..site_data.rows import Rows
from .parts import false_values
from .terms import Terms

MAX_COUNT: Final = 2**39  # numbers of a group at one site
SUM_BITS: Final = 50
EXPONENT_CLASSES: Final = 133
SPREADS: Final = 80
_CLASS_BITS: Final = 16
_LOWEST: Final = -1088  # below the exponents of all doubles, by `frexp`
_CHUNK: Final = 1 << 20  # numbers that are looked at together
_CONSTANT: Final = 2.0**-40


@dataclass(frozen=True, eq=False)
class Groups:
    """A site's numbers by group: arrays of shape (groups, numbers) one below the other, NaN where one is missing."""

    blocks: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, data: Rows, terms: Terms) -> Groups:
        """The groups of rows whose schema is that of the terms, see `Schema.check`.

        Raises:
            AgreementError: a number is infinite, or missing where there is no way to fill it; names the column.
        """
        schema, rows = terms.schema, data.inputs
        blocks: list[np.ndarray] = []
        names: list[str] = []
        if schema.modality == "table":
            places = {column.name: place for place, column in enumerate(data.task.schema)}
            names += terms.asked
            if names:
                blocks.append(rows[:, [places[name] for name in names]].T)
        elif schema.range is None and terms.way != "none":
            channel = 2 if schema.modality == "sequence" else 1
            ways: dict[str, Callable[[], np.ndarray]] = {
                "each": lambda: rows.reshape(len(rows), -1).T,
                "channel": lambda: np.moveaxis(rows, channel, 0).reshape(rows.shape[channel], -1),
                "together": lambda: rows.reshape(1, -1),
            }
            blocks.append(ways[terms.way]())
            names += [f"{terms.way} {place}" for place in range(len(blocks[0]))]
        if schema.targets and not schema.target_ranges:
            places = {name: place for place, name in enumerate(data.task.targets)}
            blocks.append(data.labels[:, [places[name] for name in schema.targets]].T)
            names += schema.targets
        found = cls(tuple(blocks))
        for name, infinite in zip(names, found._any(np.isinf), strict=True):
            if infinite:
                raise AgreementError(f"column {name!r} holds an infinite number", refusal=Refusal.DATA, column=name)
        return found

    def counts(self) -> np.ndarray:
        """How many numbers there are in each group: shape (groups,) int64."""
        return self._reduce(lambda x, _: (~np.isnan(x)).sum(axis=1), np.add).astype(np.int64)

    def exponent_classes(self) -> np.ndarray:
        """The class of the largest magnitude's exponent, one of them 1: shape (groups, EXPONENT_CLASSES) int64.

        All are 0 for a group without any number but 0.
        """
        largest = self._reduce(lambda x, _: np.nanmax(np.abs(x), axis=1, initial=0.0), np.maximum)
        marked = np.zeros((len(largest), EXPONENT_CLASSES), np.int64)
        for group, value in enumerate(largest.tolist()):
            if value:
                marked[group, (frexp(value)[1] - _LOWEST) // _CLASS_BITS] = 1
        return marked

    def sums(self, scales: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Sums of the numbers as integers: shape (groups,) int64.

        Args:
            scales: exponents E of `scale_of`, shape (groups,).
            counts: of the numbers of all sites.
        """
        total = self._reduce(lambda x, part: np.nansum(_scaled(x, scales[part]), axis=1), np.add)
        return _integers(total, counts)

    def spread_classes(self, scales: np.ndarray, means: np.ndarray) -> np.ndarray:
        """The binary exponent of the largest distance to the first mean, as a class: shape (groups, SPREADS) int64.

        Args:
            scales: as for `sums`.
            means: in units of 2^E, shape (groups,).
        """

        def farthest(x: np.ndarray, part: slice) -> np.ndarray:
            return np.nanmax(np.abs(_scaled(x, scales[part]) - means[part, None]), axis=1, initial=0.0)

        marked = np.zeros((len(scales), SPREADS), np.int64)
        for group, value in enumerate(self._reduce(farthest, np.maximum).tolist()):
            place = 1 - frexp(value)[1]  # 0 for distances from 1 to 2
            if value and place < SPREADS:
                marked[group, max(0, place)] = 1
        return marked

    def moments(
        self, scales: np.ndarray, means: np.ndarray, spreads: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of distances to the first means, and of their squares: each shape (groups,) int64.

        Args:
            scales, means: as for `spread_classes`.
            spreads: binary exponents of `spread_of`; SPREADS where a group is constant.
            counts: of the numbers of all sites.
        """

        def distances(x: np.ndarray, part: slice) -> np.ndarray:
            y = np.ldexp(_scaled(x, scales[part]) - means[part, None], spreads[part, None] - 1)
            y[spreads[part] == SPREADS] = 0
            return _inside(y)

        first = self._reduce(lambda x, part: np.nansum(distances(x, part), axis=1), np.add)
        second = self._reduce(lambda x, part: np.nansum(distances(x, part) ** 2, axis=1), np.add)
        return _integers(first, counts), _integers(second, counts)

    def each(self) -> Iterator[np.ndarray]:
        """The numbers of each group that are there, one after the other: shape (n,) float64."""
        for block in self.blocks:
            for row in block:
                values = row.astype(np.float64)
                yield values[~np.isnan(values)]

    def _any(self, test: np.ufunc) -> list[bool]:
        return (self._reduce(lambda x, _: test(x).any(axis=1), np.maximum) > 0).tolist()

    def _reduce(self, measure: Callable[[np.ndarray, slice], np.ndarray], join: np.ufunc) -> np.ndarray:
        """A figure of each group, joined over chunks of its numbers: shape (groups,) float64."""
        found: list[np.ndarray] = []
        first = 0
        for block in self.blocks:
            part = slice(first, first + len(block))
            width = max(1, _CHUNK // max(1, len(block)))
            figures = np.zeros(len(block))
            for start in range(0, block.shape[1], width):
                chunk = block[:, start : start + width].astype(np.float64)
                figures = join(figures, measure(chunk, part))
            found.append(figures)
            first = part.stop
        return np.concatenate(found) if found else np.zeros(0)


def scale_of(classes: np.ndarray, summands: int) -> list[int]:
    """The exponent E of each group, from the sum of `exponent_classes`.

    Raises:
        AgreementError: a sum no sites have.
    """
    if (classes.sum(axis=1) > summands).any():
        raise false_values()
    highest = [int(np.flatnonzero(row)[-1]) if row.any() else 0 for row in classes]
    return [_LOWEST + _CLASS_BITS * (place + 1) - 1 for place in highest]


def means_of(sums: np.ndarray, there: np.ndarray, counts: np.ndarray) -> list[float]:
    """The first mean of each group, in units of 2^E.

    Args:
        sums: the sum of `Groups.sums`.
        there: how many numbers are in it.
        counts: those it was scaled for.

    Raises:
        AgreementError: sums no numbers have.
    """
    means = [_mean(int(s), int(n), int(c)) for s, n, c in zip(sums, there, counts, strict=True)]
    if any(abs(mean) > 1 + 1e-6 for mean in means):
        raise false_values()
    return means


def spread_of(classes: np.ndarray, summands: int) -> list[int]:
    """For each group a j such that no distance is above 2^(1 - j); SPREADS where all are 0.

    Raises:
        AgreementError: a sum no sites have.
    """
    if (classes.sum(axis=1) > summands).any():
        raise false_values()
    return [int(np.flatnonzero(row)[0]) if row.any() else SPREADS for row in classes]


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of a group in the end, in units of 2^E.

    Attributes:
        count: of its numbers.
        mean, variance: of them; the variance is 0 for a constant one.
    """

    count: int
    mean: float
    variance: float

    @classmethod
    def of(cls, first: int, second: int, there: int, counted: int, mean: float, spread: int, summands: int) -> Moments:
        """From the sums of `Groups.moments`.

        Args:
            first, second: the sums.
            there: how many numbers are in them.
            counted: how many they were scaled for.
            mean, spread: as of `means_of` and `spread_of`.
            summands: how many sites.

        Raises:
            AgreementError: no numbers have such moments.
        """
        if there == 0:
            return cls(0, 0.0, 0.0)
        shift, square = _mean(first, there, counted), _mean(second, there, counted)
        variance = square - shift * shift
        slack = summands * ldexp(1.0, 4 - SUM_BITS) * max(1.0, counted / there)
        if variance < -slack or abs(shift) > 1 + slack or square > 1 + slack:
            raise false_values()
        if spread == SPREADS or variance <= _CONSTANT:
            return cls(there, mean + ldexp(shift, 1 - min(spread, SPREADS)), 0.0)
        return cls(there, mean + ldexp(shift, 1 - spread), ldexp(variance, 2 * (1 - spread)))


def filled(moments: Moments, rows: int, fill: float) -> tuple[float, float]:
    """Mean and standard deviation of a column after `fill`, in units of 2^E as all here, stands in every empty row."""
    n, empty = moments.count, rows - moments.count
    if rows == 0 or n == 0:
        return fill, 0.0
    mean = (n * moments.mean + empty * fill) / rows
    spread = n * (moments.variance + (moments.mean - mean) ** 2) + empty * (fill - mean) ** 2
    return mean, sqrt(spread / rows)


def _scaled(x: np.ndarray, scales: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return _inside(np.ldexp(x, -scales[:, None]))


def _inside(x: np.ndarray) -> np.ndarray:
    """The numbers, none of which is beyond what was told of before."""
    if (np.abs(x) > 1).any():
        raise AgreementError(
            "a number is beyond the range the sites have agreed on",
            hint="this site was not there when they did; ask the coordinator to begin again",
            refusal=Refusal.BEHIND,
        )
    return x


def _steps(counts: np.ndarray) -> np.ndarray:
    """The binary exponent of a step of sums over so many numbers, each at most 1."""
    return np.asarray([max(0, int(count) - 1).bit_length() - SUM_BITS for count in counts], np.int64)


def _integers(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.rint(np.ldexp(sums, -_steps(counts))).astype(np.int64)


def _mean(total: int, there: int, counted: int) -> float:
    step = max(0, counted - 1).bit_length() - SUM_BITS
    return ldexp(total / there, step) if there else 0.0
