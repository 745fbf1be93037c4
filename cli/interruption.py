"""Ctrl-C that is not lost: Python drops what is raised in a callback of its garbage collection, KeyboardInterrupt too.

SQLAlchemy has such callbacks (of weak references to what it loaded), and one in ten of the signals that end a search
came while one of them ran: it was printed as "Exception ignored in", and the search went on.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

AGAIN_S: Final = 0.02  # until what was dropped is raised again; the callback is over by then, or it is dropped again


@contextmanager
def interruptions_arrive() -> Generator[None]:
    """In its block, a KeyboardInterrupt that Python drops is raised again in the main thread, a moment later.

    A timer does it, for nothing may be raised where it is noticed. Windows has none: there it is as Python has it.
    """
    if sys.platform == "win32":
        yield
        return
    hook = sys.unraisablehook

    def notice(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            hook(dropped)

    before = signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = notice
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A handler of signals that stop as Ctrl-C does: cleanly, with the history in order."""
    raise KeyboardInterrupt
