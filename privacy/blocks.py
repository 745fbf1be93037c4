"""Work on long vectors in blocks: in bounded memory, and over several processes where that is asked for.

SEAL holds Python's global lock while it computes, so threads do not help; processes do. They are started when they are
first needed, for vectors long enough to be worth it, and end with the process that started them, however that ends, for
they may hold a key.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from threading import Thread
from typing import Any, NoReturn, TypeVar

from ..core import ConfigError
from .errors import PrivacyError

Item = TypeVar("Item")
Result = TypeVar("Result")


def blocks(count: int, size: int) -> list[slice]:
    """`range(count)` in slices of `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class Workers:
    """Maps functions over blocks, in this process or in several.

    Args:
        count: processes; 1 for this one.
        start: called in each process before anything else.
        arguments: of `start`; they go over a pipe to the processes, and nowhere else.
    """

    def __init__(self, count: int, start: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()) -> None:
        if count < 1:
            raise ConfigError(f"expected workers >= 1, got {count}")
        self._count = count
        self._start = start
        self._arguments = arguments
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results in order; at most two blocks for each process are under way.

        Raises:
            PrivacyError: a process ended; the next call starts them again.
        """
        if self._count == 1:
            yield from map(function, items)
            return
        waiting: deque[Future[Result]] = deque()
        remaining = iter(items)
        pool = self._open()
        try:
            for item in islice(remaining, 2 * self._count):
                waiting.append(pool.submit(function, item))
            while waiting:
                yield waiting.popleft().result()
                for item in islice(remaining, 1):
                    waiting.append(pool.submit(function, item))
        except BrokenProcessPool as error:
            self.close()
            raise PrivacyError(
                "a worker process ended before its work was done",
                hint='a script that uses workers needs `if __name__ == "__main__":`; without workers it does not',
            ) from error

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not a fork: it copies locks that other threads hold.
            self._pool = ProcessPoolExecutor(
                self._count, multiprocessing.get_context("spawn"), _serve, (self._start, self._arguments)
            )
        return self._pool

    def __reduce__(self) -> NoReturn:
        raise TypeError("workers are not pickled: what they start with may be a key")


def _serve(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Begin a process of the pool. Without the thread it would outlive a parent that is killed."""
    Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
