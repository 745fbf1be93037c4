"""Receipts that the tunnel keeps until the site has answered, so that the SuperNode finds the answer at once.

Flower's SuperNode fetches a message, sends a receipt, and looks for the site's answer at once and then twice a second.
The tunnel may take its time with what the coordinator says to the receipt: by then the answer is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .waiting_room import PULL, VAIN

RECEIPT: Final = b"/v1/fleet/confirm-message-received"
_POST: Final = b"POST "
_LONGEST: Final = 80  # bytes of a path that could be one of these


class Receipts:
    """Of one SuperNode, which works on one message at a time; used in one event loop.

    Args:
        hold_s: seconds that a receipt is kept at most; 0: none is. Flower's client gives a request up after 30.
        arrived: told when a message passes to the SuperNode.
    """

    def __init__(self, hold_s: float, arrived: Callable[[], None]) -> None:
        self._hold_s, self._arrived = hold_s, arrived
        self._due = False
        self._kept: set[Callable[[], None]] = set()

    def message_passes(self) -> None:
        """A message is on its way to the SuperNode."""
        self._due = True
        self._arrived()

    def answered(self) -> None:
        """The site's answer is with the SuperNode, or there will be none."""
        self._due = False
        kept, self._kept = self._kept, set()
        for release in kept:
            release()

    def keep(self, release: Callable[[], None]) -> None:
        """Call `release`, once, when the message was answered or took too long."""
        if not self._due or self._hold_s <= 0:
            release()
            return
        self._kept.add(release)
        asyncio.get_running_loop().call_later(self._hold_s, self._let_go, release)

    def _let_go(self, release: Callable[[], None]) -> None:
        if release in self._kept:
            self._kept.discard(release)
            release()


def path_of(data: bytes) -> bytes:
    """The path that a request asks for, if its bytes begin here; empty otherwise."""
    if not data.startswith(_POST):
        return b""
    path, separator, _ = data[len(_POST) : len(_POST) + _LONGEST].partition(b" ")
    return path if separator else b""


def is_message(path: bytes, answer: bytes) -> bool:
    """Whether the answer to a request, of which this is the beginning, holds a message."""
    return path == PULL and answer.startswith(b"HTTP/1.1 200 ") and not answer.endswith(VAIN)
