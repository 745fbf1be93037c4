"""The time as the tables keep it."""

import time


def now_us() -> int:
    """The time now, microseconds UTC."""
    return time.time_ns() // 1000
