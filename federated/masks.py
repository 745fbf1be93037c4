"""What an attempt at a masked round is, said alike by the coordinator and the sites; see `privacy.masking`."""

from __future__ import annotations

from ..privacy import MaskingPlan
from .rounds import MaskTerms


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
