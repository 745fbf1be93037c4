"""Named things declared once: ops, layers, search spaces, strategies. Filled at import, read-only after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from .errors import ConfigError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A mapping from names to declarations of one kind.

    Args:
        kind: what is declared, for messages: "op", "search space".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Declare `entry`; a second one of the same name is a mistake in our code, never a replacement.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is declared twice")
        self._entries[name] = entry
        return entry

    def find(self, name: str) -> T:
        """The declaration a user asked for.

        Raises:
            ConfigError: there is none of that name; lists those there are.
        """
        if name not in self._entries:
            raise ConfigError(f"unknown {self.kind} {name!r}: expected one of {', '.join(self._entries)}")
        return self._entries[name]

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
