"""A bell between whoever carries messages and whoever waits for them, so that waiting is not asking again and again."""

from __future__ import annotations

import threading


class Bell:
    """Rung when something has come. Any number of threads may ring and wait; ringing never blocks."""

    def __init__(self) -> None:
        self._changed, self._rung = threading.Condition(), 0

    @property
    def rung(self) -> int:
        """How often so far; to be read before looking, so that what comes meanwhile is not missed."""
        with self._changed:
            return self._rung

    def ring(self) -> None:
        """Something has come."""
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def wait(self, heard: int, seconds: float) -> bool:
        """Wait until it was rung more than `heard` times, at most so many seconds; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rung > heard, seconds)
