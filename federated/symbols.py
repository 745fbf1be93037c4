"""What the symbols of an update mean: a site's change of the model and its counts, as integers that are summed.

Parameters are quantised to the preset's levels, each tensor over a range of its own. Everything that must be exact
travels as fixed-point numbers in limbs, in the same sum: buffers (running means move far), the site's weight, its
counts on validation rows, and how much of its range each tensor used. From the decrypted sum of that all sites derive
the same ranges for the next round, so no range speaks of one site alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..core import Metrics, ParameterLayout, canonical_json
from ..core.nn import Module, Parameter
from ..privacy import (
    EXACT_OFFSET,
    Event,
    ExactRelease,
    FixedPoint,
    Preset,
    PrivacyError,
    StochasticQuantizer,
    UpdateSize,
    decode_limbs,
    encode_limbs,
    exact_limbs,
)

VALUES = FixedPoint(24)  # weights and changes of buffers, of magnitude at most 256
LOSSES = FixedPoint(10)  # summed losses, at most 4,194,304 nats
COUNTS = FixedPoint(0)
FILLS = FixedPoint(30)  # mean squares of changes, in units of the range
# A tensor's next range is so many times the root mean square of the sites' changes: at 255 levels one step is then a
# sixteenth of it, and what is cut off is rare also where changes are unevenly spread over sites and weights.
RANGE_PER_RMS = 8.0
_LARGEST_GROWTH = 8.0  # of a range in a round, and the inverse of the largest shrinking
_SMALLEST_RANGE = 2.0**-40
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a site has to say in a round.

    Attributes:
        change: of the model, times `weight`, shape (size,), floating, in the order of the layout.
        weight: in [0, 1].
        measured: counts on the site's validation rows.
    """

    change: np.ndarray
    weight: float
    measured: Metrics


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of what all sites said.

    Attributes:
        change: shape (size,) float32; the sum of weighted changes.
        weight: the sum of the weights.
        measured: counts over all sites.
        fills: of each quantised tensor the mean square of the changes over sites and elements, in units of its range.
    """

    change: np.ndarray
    weight: float
    measured: Metrics
    fills: np.ndarray


class UpdateSymbols:
    """Contributions as symbols, and sums of symbols as totals; the same for every site of a run.

    Args:
        model: has the run's layout; its weights do not matter.
        levels: of the preset.

    Attributes:
        values: how many symbols an update has.
        sha256: names what they mean, as hex.
    """

    def __init__(self, model: Module, levels: int) -> None:
        layout = ParameterLayout.of(model)
        quantised = {name for name, _ in model.named_tensors(Parameter)}
        self._levels = levels
        self._size = layout.size
        self._limbs = exact_limbs(levels)
        self._tensors: list[slice] = []  # of the flat vector, that are quantised
        self._exact: list[slice] = []  # the others
        start = 0
        for name, shape, _ in layout.entries:
            part = slice(start, start + int(np.prod(shape)))
            (self._tensors if name in quantised else self._exact).append(part)
            start = part.stop
        self.values = update_size(model).symbols(levels)
        self.sha256 = hashlib.sha256(
            canonical_json(["nasturtium.update", _VERSION, layout.sha256, sorted(quantised), self._limbs]).encode()
        ).hexdigest()

    def weight(self, rows: int, max_rows: int) -> float:
        """What a site of `rows` rows counts: its part of the public bound, at most 1."""
        return min(1.0, rows / max_rows)

    def event(self) -> Event:
        """What the sum of a round costs each site."""
        return ExactRelease(what="exact sum of updates")

    @property
    def measures(self) -> bool:
        """Whether counts on validation rows are part of an update."""
        return True

    def first_ranges(self, bound: float) -> np.ndarray:
        """The same range for every tensor: shape (tensors,) float64."""
        return np.full(len(self._tensors), bound)

    def next_ranges(self, ranges: np.ndarray, total: Total) -> np.ndarray:
        """Ranges for the round after the one whose total this is, from nothing but the total."""
        factors = RANGE_PER_RMS * np.sqrt(total.fills)
        factors = np.clip(factors, 1 / _LARGEST_GROWTH, _LARGEST_GROWTH)
        return np.maximum(ranges * np.where(total.fills > 0, factors, 1.0), _SMALLEST_RANGE)

    def encode(self, contribution: Contribution, ranges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The symbols of a contribution: shape (values,), unsigned.

        Args:
            contribution: what the site has to say.
            ranges: of the round; changes beyond them are cut off.
            rng: rounds.

        Raises:
            PrivacyError: a value is not finite, or an exact one too large.
        """
        change, measured = contribution.change, contribution.measured
        parts: list[np.ndarray] = []
        fills: list[float] = []
        for part, bound in zip(self._tensors, ranges, strict=True):
            parts.append(StochasticQuantizer(self._levels, float(bound)).encode(change[part], rng))
            inside = np.minimum(np.abs(change[part]) / bound, 1.0)
            fills.append(float((inside * inside).sum()) / max(1, inside.size))
        exact = np.concatenate(
            [
                *(VALUES.encode(change[part]) for part in self._exact),
                FILLS.encode(np.array(fills)),
                VALUES.encode(np.array([contribution.weight])),
                COUNTS.encode(np.array([measured.rows, measured.correct])),
                LOSSES.encode(np.array([measured.loss_sum])),
            ]
        )
        parts.append(encode_limbs(exact + EXACT_OFFSET, self._levels, self._limbs))
        return np.concatenate(parts)

    def decode(self, sums: np.ndarray, summands: int, ranges: np.ndarray) -> Total:
        """What a sum of symbols says.

        Args:
            sums: shape (values,), integers.
            summands: how many updates are in them.
            ranges: those they were encoded with.

        Raises:
            PrivacyError: it says nothing that contributions could add up to.
        """
        change = np.empty(self._size, np.float32)
        start = 0
        for part, bound in zip(self._tensors, ranges, strict=True):
            stop = start + part.stop - part.start
            change[part] = StochasticQuantizer(self._levels, float(bound)).decode(sums[start:stop], summands)
            start = stop
        exact = decode_limbs(sums[start:], self._levels, self._limbs) - summands * EXACT_OFFSET
        start = 0
        for part in self._exact:
            stop = start + part.stop - part.start
            change[part] = VALUES.decode(exact[start:stop])
            start = stop
        fills = FILLS.decode(exact[start : start + len(self._tensors)]) / summands
        weight, rows, correct, loss = exact[start + len(self._tensors) :]
        measured = Metrics(float(LOSSES.decode(loss)), int(correct), int(rows))
        total = Total(change, float(VALUES.decode(weight)), measured, fills)
        possible = 0 <= measured.correct <= measured.rows and measured.loss_sum >= 0 and 0 <= total.weight <= summands
        if not (possible and ((fills >= 0) & (fills <= 1)).all()):
            raise PrivacyError("a sum that contributions cannot add up to: a site has sent false values")
        return total


def choose_preset(model: Module, clients: int, bits: int) -> Preset:
    """The preset with the fewest bytes for updates of a model.

    Raises:
        ConfigError: there is none.
    """
    return update_size(model).preset(clients, bits)


def update_size(model: Module) -> UpdateSize:
    """What an update of a model carries."""
    quantised = [tensor.size for _, tensor in model.named_tensors(Parameter)]
    exact = ParameterLayout.of(model).size - sum(quantised)
    return UpdateSize(quantised=sum(quantised), tensors=len(quantised), exact=exact)
