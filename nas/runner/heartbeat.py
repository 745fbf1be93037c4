"""A broker's heartbeat: a thread that says in the database that the broker lives, and hears whether it is to stop.

A thread, because the broker itself may be busy for minutes with one training or one proposal.
"""

from __future__ import annotations

import threading
from typing import Final, Self

from ...storage import Database, RunBusyError, SearchControl, StorageError

INTERVAL_S: Final = 2.0
TTL_S: Final = 30.0  # without a word for so long, it is taken for dead


class Heartbeat:
    """Beats until it is closed.

    Args:
        database: stays the caller's, who closes this before it.
        search_uid: the search that this process runs.
        at_work: whether the time counts as the search's, which its budget limits.
    """

    def __init__(self, database: Database, search_uid: str, *, at_work: bool = True) -> None:
        self._control = SearchControl(database, search_uid)
        self._at_work = at_work
        self._stop = False
        self._error: RunBusyError | None = None
        self._closed = threading.Event()
        self._stop = self._control.beat(TTL_S, at_work=self._at_work)
        self._thread = threading.Thread(target=self._run, name="nasturtium-heartbeat", daemon=True)
        self._thread.start()

    def stop_requested(self) -> bool:
        """Whether somebody asked the search to stop.

        Raises:
            RunBusyError: another process has taken the search over.
        """
        if self._error is not None:
            raise self._error
        return self._stop

    def close(self) -> None:
        """Beat a last time and end; doing it twice is harmless."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while self._error is None:
            closing = self._closed.wait(INTERVAL_S)
            try:
                self._stop = self._control.beat(TTL_S, at_work=self._at_work)
            except RunBusyError as exc:
                self._error = exc
            except StorageError:
                pass  # the next one may come through; who writes trials hears of what lasts
            if closing:
                return
