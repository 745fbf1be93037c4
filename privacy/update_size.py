"""How large an update is, from counts alone: known before there is a network, and the same where it is made.

Of a network's change the elements of parameters are quantised, a symbol each. What must be exact travels in the same
sum as fixed-point integers in limbs: buffers, how much of its range each tensor used, and what a site says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..core import ConfigError
from .envelope import ENVELOPE_BYTES
from .fixed_point import MAX_BITS
from .limbs import limbs_for
from .presets import Preset, smallest_preset
from .sum_tag import tag_symbols

EXACT_OFFSET: Final = 2**MAX_BITS  # fixed-point integers are of either sign up to here, limbs are not
SITE_FIGURES: Final = 4  # its weight, and of its validation rows how many, how many right, and their summed loss


def exact_limbs(levels: int) -> int:
    """How many symbols of `levels` levels an exact number takes."""
    return limbs_for(2 * EXACT_OFFSET, levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSize:
    """What an update without noise carries.

    Attributes:
        quantised: elements of parameters.
        tensors: how many arrays the parameters are; each has a range of its own.
        exact: elements of buffers.

    Raises:
        ConfigError: negative.
    """

    quantised: int
    tensors: int
    exact: int

    def __post_init__(self) -> None:
        if min(self.quantised, self.tensors, self.exact) < 0:
            raise ConfigError(f"expected counts >= 0, got {self}")

    def symbols(self, levels: int) -> int:
        """How many symbols of `levels` levels the update has, without its tag."""
        return self.quantised + (self.exact + self.tensors + SITE_FIGURES) * exact_limbs(levels)

    def preset(self, clients: int, bits: int) -> Preset:
        """The preset with the fewest bytes for updates of this size.

        Args:
            clients: how many updates a sum may have, 2 to 1000.
            bits: of a quantised element, 1 to 16.

        Raises:
            ConfigError: out of range, or there is none.
        """
        any_size = smallest_preset(clients, bits)
        return smallest_preset(clients, bits, values=self._tagged(any_size))

    def upload_bytes(self, clients: int, bits: int) -> int:
        """Bytes of one encrypted update of the packed scheme, with its envelope; arguments as for `preset`."""
        preset = self.preset(clients, bits)
        return ENVELOPE_BYTES + preset.update_bytes(self._tagged(preset))

    def _tagged(self, preset: Preset) -> int:
        return self.symbols(preset.levels) + tag_symbols(preset)
