"""`tell_reasons`: why sites did not answer, in one sentence of a length that people read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

_MOST: Final = 10  # sites that are named: all of them stand in the history


def tell_reasons(reasons: Iterable[tuple[str, str]]) -> str:
    """Sites with their reasons as text; of many sites the first ones, and how many more there are.

    Args:
        reasons: pairs of a site's name and its reason.
    """
    pairs = iter(reasons)
    told = "; ".join(f"{site}: {reason:.500}" for site, reason in islice(pairs, _MOST))
    more = sum(1 for _ in pairs)
    return f"{told}; and {more:,} more" if more else told
