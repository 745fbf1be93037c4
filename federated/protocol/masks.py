"""What an attempt at a masked round is, said alike by the coordinator and the sites; see `privacy.masking`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...privacy import MaskingPlan, smallest_threshold
from .rounds import MaskTerms

if TYPE_CHECKING:
    from ...privacy import ClientDp

COLLUDERS: Final = 1  # sites that may be in league with the coordinator


def make_masking_plan(
    terms: MaskTerms, run: str, round: int, attempt: int, *, layout: str, modulus: int
) -> MaskingPlan:
    """What an attempt at a masked round is."""
    return MaskingPlan(
        run=run,
        round=round,
        attempt=attempt,
        layout=layout,
        roster_sha256=terms.roster_sha256,
        modulus=modulus,
        threshold=terms.threshold,
        colluders=terms.colluders,
    )


def make_mask_terms(roster_sha256: str, sites: int, private: ClientDp | None) -> MaskTerms:
    """How the masks of a run are made.

    Args:
        roster_sha256: of the roster whose members take part.
        sites: how many take part in a round.
        private: the noise of the run; the masks of fewer sites than it needs would come off too little of it.
    """
    fewest = 0 if private is None else private.fewest_sites
    return MaskTerms(
        roster_sha256=roster_sha256, threshold=max(smallest_threshold(sites, COLLUDERS), fewest), colluders=COLLUDERS
    )
