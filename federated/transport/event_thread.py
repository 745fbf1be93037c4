"""A thread with an event loop of its own, for a server that runs beside other work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Self

# uvloop comes with Flower where it can be built, and a proxied request costs a third less in it.
try:
    from uvloop import new_event_loop as _new_loop
except ImportError:
    from asyncio import new_event_loop as _new_loop

_STOP_S: Final = 10.0
_SETTLE_S: Final = 3.0


async def settle(done: Callable[[], bool]) -> None:
    """Wait for connections that were broken off to be gone, which a loop must see before it ends."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_S):
            while not done():
                await asyncio.sleep(0.005)


class EventThread:
    """Runs `main` until it is left.

    Args:
        name: of the thread.
        main: gets a function to call when it is ready, and an event that is set when it is to end.
    """

    def __init__(self, name: str, main: Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]) -> None:
        self._main = main
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        """Return when it is ready; what it raises before is raised here."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Return when it ended."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it ended just now
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_S)

    @property
    def failure(self) -> BaseException | None:
        """Why it ended by itself; None: it did not."""
        return self._failure

    def call(self, function: Callable[[], Any]) -> None:
        """Have a function called in the loop; nothing happens if it ended."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._serve())
        except BaseException as exc:
            self._failure = exc
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._main(self._ready.set, self._stop)
