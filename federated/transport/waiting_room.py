"""Requests for messages that found none, kept until there may be some, so that sites need not ask every few seconds.

Flower's SuperNode asks for messages, and sleeps three seconds when there is none. The front may take its time with that
answer: whoever leaves messages at the SuperLink rings, and each request that waits is made once more. A SuperNode signs
only the time of a request, which Flower accepts for five minutes, so the same bytes do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

PULL: Final = b"/v1/fleet/pull-messages"
PUSHES: Final = frozenset({b"/v1/fleet/push-messages", b"/v1/fleet/push-object"})
VAIN: Final = b"content-length: 0\r\n\r\n"  # how an answer ends that has no message


class Waiter(Protocol):
    """A request that waits."""

    def ask_again(self) -> None:
        """Make the request once more; it waits no longer."""
        ...


class WaitingRoom:
    """Those that wait; used in one event loop.

    Args:
        hold_s: seconds that one waits at most; 0: none does. Flower's client gives a request up after 30.
        answered: told when a part of a site's answer has reached the SuperLink.
    """

    def __init__(self, hold_s: float, answered: Callable[[], None]) -> None:
        self.hold_s: Final = hold_s
        self.answered: Final = answered
        self.rung = 0
        self._waiting: set[Waiter] = set()

    def ring(self) -> None:
        """Messages were left."""
        self.rung += 1
        for each in tuple(self._waiting):
            each.ask_again()

    def enter(self, waiter: Waiter) -> None:
        """Wait for the next ring."""
        self._waiting.add(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer; nothing happens to one who does not."""
        self._waiting.discard(waiter)
