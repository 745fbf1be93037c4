"""What an attempt at a masked round is, and how many of its sites it protects from.

Sites that deal shares to each other, n of them with c in league with the coordinator, are protected by a threshold t
with 2 t > n + c: whatever needs the honest answers of t - c sites can then be had once, not twice (`masking.site`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass

from ...core import ConfigError, canonical_json
from ..errors import MaskingError, TooFewSitesError
from ..presets import MIN_SUMMANDS
from .shamir import MAX_SHARES
from .stream import check_modulus

_RUN = re.compile(r"[0-9A-Za-z]{1,26}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingPlan:
    """What an attempt at a masked round is, for all its parties.

    Attributes:
        run: ULID of the federated run; at most 26 letters and digits.
        round: from 1.
        attempt: from 1; a round that is run again has the next one.
        layout: SHA-256 of all that the sites are told of the round, 64 hexadecimal digits: sites that are told
            otherwise do not mask with each other.
        roster_sha256: of the roster the members are taken from, 64 hexadecimal digits.
        modulus: t of the masks: the preset's `plain_modulus`.
        threshold: of how many sites' shares a secret is joined; see `smallest_threshold`.
        colluders: how many sites may be in league with the coordinator and still learn nothing but the sum.

    Raises:
        ConfigError: out of range.
    """

    run: str
    round: int
    attempt: int
    layout: str
    roster_sha256: str
    modulus: int
    threshold: int
    colluders: int

    def __post_init__(self) -> None:
        check_modulus(self.modulus)
        if _RUN.fullmatch(self.run) is None:
            raise ConfigError(f"a masked round's run: expected 1 to 26 letters and digits, got {self.run!r:.80}")
        for name in ("layout", "roster_sha256"):
            if _SHA256.fullmatch(getattr(self, name)) is None:
                raise ConfigError(
                    f"a masked round's {name}: expected 64 hexadecimal digits, got {getattr(self, name)!r:.80}"
                )
        ranges = {"round": (1, 2**63 - 1), "attempt": (1, 2**31 - 1)}
        ranges |= {"threshold": (2, MAX_SHARES), "colluders": (0, MAX_SHARES)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"a masked round's {name}: expected {low} to {high}, got {value!r:.40}")

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return hashlib.sha256(b"nasturtium masking plan v1\0" + canonical_json(asdict(self)).encode()).digest()

    def check_dealing(self, sites: int) -> None:
        """Check that `sites` sites may deal shares to each other.

        Raises:
            TooFewSitesError: fewer than 3, than the threshold, or than two that are not in league.
            MaskingError: so many that the threshold does not protect them.
        """
        self.check_sum(sites)
        if sites < self.colluders + 2:
            raise TooFewSitesError(f"{sites} sites, of which {self.colluders} may be in league with the coordinator")
        if sites > MAX_SHARES:
            raise MaskingError(f"{sites} sites deal shares to each other, expected at most {MAX_SHARES}")
        if 2 * self.threshold <= sites + self.colluders:
            raise MaskingError(
                f"a threshold of {self.threshold} does not protect {sites} sites, {self.colluders} of them in league",
                hint=f"{smallest_threshold(sites, self.colluders)} does",
            )

    def check_sum(self, sites: int) -> None:
        """Check that a sum of so many sites may be formed, and can be.

        Raises:
            TooFewSitesError: fewer than 3, or than the threshold.
        """
        self._check_count(sites, max(MIN_SUMMANDS, self.threshold))

    def check_answers(self, sites: int) -> None:
        """Check that so many sites' answers are enough once the sum is formed.

        Raises:
            TooFewSitesError: fewer than the threshold.
        """
        self._check_count(sites, self.threshold)

    def _check_count(self, sites: int, needed: int) -> None:
        if sites < needed:
            raise TooFewSitesError(
                f"{sites} sites are left of a masked round that needs {needed}",
                hint="begin another attempt when more of them answer",
            )


def smallest_threshold(sites: int, colluders: int) -> int:
    """The smallest t with 2 t > sites + colluders: up to sites - t of the sites may drop out."""
    return max(2, (sites + colluders) // 2 + 1)
