"""Times as people write them in a query, as a span of microseconds: a date is the whole day, UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ..models import to_us

EXAMPLES: Final = 'write "2026-11-01", "2026-11-01 14:30" (UTC), "2026-11-01T14:30+02:00" or "7d ago"'
_AGO: Final = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+)\s+ago\s*", re.IGNORECASE)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY_US: Final = 86_400_000_000
_UNITS: Final = {
    word: seconds
    for words, seconds in (
        ("s sec second seconds", 1),
        ("m min minute minutes", 60),
        ("h hour hours", 3600),
        ("d day days", 86_400),
        ("w week weeks", 604_800),
    )
    for word in words.split()
}
_FARTHEST: Final = timedelta(days=36_525)


def read_time(text: str, *, now: datetime) -> tuple[int, int] | None:
    """The span [first, last + 1) that `text` stands for; None if it is no time.

    Args:
        text: an ISO date or time, UTC where it says no other zone, or how long ago, as "7d ago".
        now: aware.
    """
    if ago := _AGO.fullmatch(text):
        seconds = _UNITS.get(ago[2].lower())
        if seconds is None:
            return None
        at = to_us(now) - min(round(float(ago[1]) * seconds * 1e6), _FARTHEST // timedelta(microseconds=1))
        return at, at + 1
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = to_us(time if time.tzinfo else time.replace(tzinfo=UTC))
    return at, at + (_DAY_US if _DAY.fullmatch(text) else 1)
