"""The largest changes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import ConfigError
from ..updates.layout import UpdateLayout
from .base import Compression, compression
from .changed import IN_THE_CLEAR


@compression("top-k")
@dataclass(frozen=True, slots=True, kw_only=True)
class TopK(Compression):
    """Of all changes of parameters the largest travel; the others wait at the site until they have grown.

    Buffers travel whole. A sum holds what any site said, so it has more elements than one update.

    Args:
        fraction: of the elements of parameters, in (0, 1].

    Source: Stich et al. 2018, https://arxiv.org/abs/1809.07599, algorithm 1; Lin et al. 2018,
    https://arxiv.org/abs/1712.01887 (without its momentum).
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    lossy: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    fraction: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"expected fraction with 0 < fraction <= 1, got {self.fraction}")

    def compress(self, update: np.ndarray, full: UpdateLayout, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `Compression.compress`; of equally large changes any may travel."""
        places = full.parameters
        kept = min(len(places), max(1, round(self.fraction * len(places))))
        left_out = places[np.argpartition(np.abs(update[places]), len(places) - kept)[: len(places) - kept]]
        said = update.copy()
        said[left_out] = 0.0
        return said
