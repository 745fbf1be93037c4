"""`prefetch`: run an iterator in a thread, some items ahead of whoever takes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Ahead(Generic[T]):
    """A bounded queue that one thread fills from an iterator and another empties; either may stop first.

    Not `queue.Queue`: its `put` cannot be woken by a consumer that goes away.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._depth = depth
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._done = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, name="nasturtium-prefetch", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._depth)
                    if self._stopped:
                        return
                    self._ready.append(item)
                    self._changed.notify_all()
        except BaseException as exc:
            error = exc
        finally:
            with self._changed:
                self._error, self._done = error, True
                self._changed.notify_all()

    def take(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._done)
                if not self._ready:
                    break
                item = self._ready.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        # The garbage collector may close an abandoned iterator in any thread, in the filling one too.
        if threading.current_thread() is not self._thread:
            self._thread.join()


def prefetch(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, made in a thread up to `depth` items (and the one in the making) ahead.

    An error of `items` is raised here, after the items that came before it. The thread starts with the first item asked
    for and has ended when the iterator is used up, closed or deleted; closing waits for the item in the making.

    Args:
        items: only used in the thread from now on.
        depth: items that wait at most, >= 1.
    """
    ahead = _Ahead(items, depth)
    try:
        yield from ahead.take()
    finally:
        ahead.stop()
