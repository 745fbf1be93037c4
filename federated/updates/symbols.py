"""What the symbols of an update mean: a site's change of the model and its counts, as integers that are summed.

Parameters are quantised to the preset's levels, each tensor over a range of its own. Everything that must be exact
travels as fixed-point numbers in limbs, in the same sum: buffers (running means move far), the site's weight, its
counts on validation rows, and how much of its range each tensor used. From the decrypted sum of that all sites derive
the same ranges for the next round, so no range speaks of one site alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...core import Metrics, canonical_json
from ...core.nn import Module
from ...privacy import (
    EXACT_OFFSET,
    Event,
    ExactRelease,
    FixedPoint,
    Preset,
    PrivacyError,
    StochasticQuantizer,
    decode_limbs,
    encode_limbs,
    exact_limbs,
)
from .layout import UpdateLayout

VALUES = FixedPoint(24)  # weights and changes of buffers, of magnitude at most 256
LOSSES = FixedPoint(10)  # summed losses, at most 4,194,304 nats
COUNTS = FixedPoint(0)
FILLS = FixedPoint(30)  # mean squares of changes, in units of the range
# A tensor's next range is so many times the root mean square of the sites' changes: at 255 levels one step is then a
# sixteenth of it, and what is cut off is rare also where changes are unevenly spread over sites and weights.
RANGE_PER_RMS = 8.0
_LARGEST_GROWTH = 8.0  # of a range in a round, and the inverse of the largest shrinking
_SMALLEST_RANGE = 2.0**-40
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a site has to say in a round.

    Attributes:
        change: of the model, times `weight`, shape (size,), floating, in the order of the layout.
        weight: in [0, 1].
        measured: counts on the site's validation rows.
        extras: what the strategy sends beside the change, times `weight`: by name, each as long as the parameters.
        local: tensors of the model that do not travel, by name, as they are after the training.
    """

    change: np.ndarray
    weight: float
    measured: Metrics
    extras: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    local: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


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
        content: what an update holds; a network stands for all of its tensors, and its weights do not matter.
        levels: of the preset.
        equal_weights: every site counts alike, however many rows it has.
        sparse: most elements are zero, and do not count in how much of its range a tensor uses.

    Attributes:
        layout: what an update holds.
        values: how many symbols an update has.
        quantised: how many of them are levels of parameters; they come first, then the limbs of exact integers.
        sha256: names what they mean, as hex.
    """

    def __init__(
        self, content: UpdateLayout | Module, levels: int, *, equal_weights: bool = False, sparse: bool = False
    ) -> None:
        layout = UpdateLayout.of(content) if isinstance(content, Module) else content
        self.layout = layout
        self._levels = levels
        self._limbs = exact_limbs(levels)
        self._equal_weights = equal_weights
        self._sparse = sparse
        placed = list(zip(layout.parts, layout.slices, strict=True))
        self._tensors = [place for part, place in placed if part.quantised]
        self._first_ranges = [part.first_range for part in layout.parts if part.quantised]
        self._exact = [place for part, place in placed if not part.quantised]
        size = layout.update_size()
        self.values, self.quantised = size.symbols(levels), size.quantised
        meaning = ["nasturtium.update", _VERSION, layout.sha256, self._limbs, equal_weights, sparse]
        self.sha256 = hashlib.sha256(canonical_json(meaning).encode()).hexdigest()

    def weight(self, rows: int, max_rows: int) -> float:
        """What a site of `rows` rows counts: its part of the public bound, at most 1."""
        return 1.0 if self._equal_weights else min(1.0, rows / max_rows)

    def event(self) -> Event:
        """What the sum of a round costs each site."""
        return ExactRelease(what="exact sum of updates")

    @property
    def measures(self) -> bool:
        """Whether counts on validation rows are part of an update."""
        return True

    def first_ranges(self, bound: float) -> np.ndarray:
        """The same range for every tensor that has none of its own: shape (tensors,) float64."""
        return np.array([bound if own is None else own for own in self._first_ranges], np.float64)

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
            counted = np.count_nonzero(inside) if self._sparse else inside.size
            fills.append(float((inside * inside).sum()) / max(1, counted))
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
        change = np.empty(self.layout.size, np.float32)
        start = 0
        for part, bound in zip(self._tensors, ranges, strict=True):
            stop = start + part.stop - part.start
            change[part] = StochasticQuantizer(self._levels, float(bound)).decode(sums[start:stop], summands)
            start = stop
        exact = self.integers(sums, summands)
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

    def integers(self, sums: np.ndarray, summands: int = 1) -> np.ndarray:
        """The exact integers in a sum of symbols, shape (m,) int64.

        They are those of buffers, of the use of each range, of the weight, of rows, correct ones and their summed loss.
        """
        return decode_limbs(sums[self.quantised :], self._levels, self._limbs) - summands * EXACT_OFFSET

    def as_if_said(self, integers: np.ndarray, summands: int) -> np.ndarray:
        """The inverse of `integers`: the summed limbs of `summands` updates that add up to them.

        Each is the same as the others, but for some that say one more.

        Raises:
            PrivacyError: beyond what so many updates could say.
        """
        least, more = np.divmod(integers, summands)
        low, high = (encode_limbs(each + EXACT_OFFSET, self._levels, self._limbs) for each in (least, least + 1))
        counts = np.repeat(more, self._limbs)
        return (summands - counts) * low.astype(np.int64) + counts * high.astype(np.int64)


def choose_preset(content: UpdateLayout | Module, clients: int, bits: int) -> Preset:
    """The preset with the fewest bytes for updates of a layout, or of all tensors of a network.

    Raises:
        ConfigError: there is none.
    """
    layout = UpdateLayout.of(content) if isinstance(content, Module) else content
    return layout.update_size().preset(clients, bits)
