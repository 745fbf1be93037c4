"""`SharedModels`: what sites of one process would each compute alike, computed once.

Sites that open the same sum hold the same model by definition. A thousand of them in a simulation decrypt it once and
share one copy; a real site has nobody to share with.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, TypeVar

T = TypeVar("T")

_MOST: Final = 64  # of things kept: a model or what is made of one


@dataclass(slots=True, eq=False)
class _Entry:
    key: Hashable
    value: Any = None
    lock: Lock = field(default_factory=Lock)  # who comes while it is computed waits for it


class SharedModels:
    """The newest of every kind in every run; sites of a run go on together, so older ones are not asked for.

    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def recall(self, kind: str, run: str, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, which is called if nobody has for this key.

        Args:
            kind, run: of which the newest is kept.
            key: all that the value depends on.
            make: raises to have the next one try again; its value is shared, so nobody may change it.
        """
        with self._lock:
            entry = self._newest.get((kind, run))
            if entry is None or entry.key != key:
                entry = self._newest[kind, run] = _Entry(key)
            self._newest.move_to_end((kind, run))
            if len(self._newest) > _MOST:
                self._newest.popitem(last=False)
        with entry.lock:
            if entry.value is None:
                entry.value = make()
            return entry.value
