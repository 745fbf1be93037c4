"""What the symbols of a differentially private update mean: the change of the model with noise, and nothing else.

Every site counts alike, however many rows it has: a weight would be one more thing to hide. There are no counts, which
would cost privacy of their own, and no buffers, for running means of data are not clipped: networks with batch norm are
refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields

import numpy as np

from ...core import ConfigError, Metrics, canonical_json
from ...core.nn import Module
from ...privacy import ClientDp, ClientDpSite, Event, Preset
from ..protocol.rounds import PrivacyTerms
from .layout import UpdateLayout
from .symbols import Contribution, Total, UpdateSymbols

_VERSION = 2


class PrivateSymbols:
    """As `UpdateSymbols`, with differential privacy for each site.

    Args:
        content: what an update holds; a network stands for all of its tensors, and its weights do not matter.
        preset: of the sums.
        terms: what the sites agreed on.

    Raises:
        ConfigError: buffers would travel, or the terms do not fit the preset.
    """

    def __init__(self, content: UpdateLayout | Module, preset: Preset, terms: PrivacyTerms) -> None:
        layout = UpdateLayout.of(content) if isinstance(content, Module) else content
        if buffers := [part.name for part in layout.parts if not part.quantised]:
            raise ConfigError(
                f"the network has running means of its data, which no noise hides: {', '.join(buffers[:3])}",
                hint="use group norm or layer norm instead of batch norm, or the strategy fedbn, which keeps it local",
            )
        self.layout = layout
        self.agreed = make_agreement(layout.size, preset, terms)
        self.values = layout.size
        self.sha256 = hashlib.sha256(
            canonical_json(["nasturtium.private-update", _VERSION, layout.sha256]).encode()
        ).hexdigest()
        self._site: ClientDpSite | None = None  # made by who encodes: its tables take a while

    def event(self) -> Event:
        """What the sum of a round costs each site."""
        return self.agreed.event()

    @property
    def measures(self) -> bool:
        """Whether counts on validation rows are part of an update."""
        return False

    def first_ranges(self, bound: float) -> np.ndarray:
        """None: the one range is part of the terms."""
        return np.empty(0)

    def next_ranges(self, ranges: np.ndarray, total: Total) -> np.ndarray:
        """None."""
        return ranges

    def weight(self, rows: int, max_rows: int) -> float:
        """Every site counts alike."""
        return 1.0

    def encode(self, contribution: Contribution, ranges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Clip, round, and add noise: the symbols of a change, shape (values,) uint32.

        Raises:
            PrivacyError: a value is not finite.
        """
        if self._site is None:
            self._site = ClientDpSite(self.agreed)
        return self._site.symbols(contribution.change, rng)

    def decode(self, sums: np.ndarray, summands: int, ranges: np.ndarray) -> Total:
        """What a sum of symbols says; its weight is the number of updates.

        Raises:
            TooFewSitesError: there is less noise in it than was accounted for.
        """
        change = self.agreed.decode(sums, summands)
        return Total(change, float(summands), Metrics(0.0, 0, 0), np.empty(0))


def make_symbols(
    content: UpdateLayout | Module,
    preset: Preset,
    terms: PrivacyTerms | None,
    *,
    equal_weights: bool = False,
    sparse: bool = False,
) -> UpdateSymbols | PrivateSymbols:
    """What updates of a run mean, with or without noise; see `UpdateSymbols` and `PrivateSymbols`.

    Raises:
        ConfigError: the terms do not fit the content or the preset.
    """
    if terms is not None:
        return PrivateSymbols(content, preset, terms)
    return UpdateSymbols(content, preset.levels, equal_weights=equal_weights, sparse=sparse)


def privacy_terms(agreed: ClientDp) -> PrivacyTerms:
    """What a plan says of a mechanism."""
    return PrivacyTerms(**{field.name: getattr(agreed, field.name) for field in fields(PrivacyTerms)})


def make_agreement(dimension: int, preset: Preset, terms: PrivacyTerms) -> ClientDp:
    """The mechanism of the terms, for a model of `dimension` parameters.

    Raises:
        ConfigError: out of range.
    """
    return ClientDp(preset=preset, dimension=dimension, **asdict(terms))
