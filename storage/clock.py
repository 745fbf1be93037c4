"""The time as the tables keep it."""

import time
from collections.abc import Callable

from sqlalchemy import BigInteger, cast, extract, func, select
from sqlalchemy.orm import Session


def now_us() -> int:
    """The time now, microseconds UTC."""
    return time.time_ns() // 1000


def shared_now_us(session: Session, clock: Callable[[], int] | None = None) -> int:
    """The time now by the one clock that all who use a database have: the server's; of a file, that of its machine.

    A lease that one machine gives and another one watches over must not depend on how their clocks differ.

    Args:
        session: of the database.
        clock: tells the time instead, in microseconds UTC.
    """
    if clock is not None:
        return clock()
    if session.get_bind().dialect.name == "postgresql":
        return session.scalar(_SERVER_US) or 0
    return now_us()


_SERVER_US = select(cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger))
