"""`Fields`: the fields of one message by name and type, with errors that say where; what nobody asks for is refused."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from typing import overload

from .text_format import Message, Scalar, error_at

MAX_INT = 2**31


class Fields:
    """A message that is being read. Ask for every field there may be, then call `finish`.

    Args:
        message: what the parser gave.
        what: the message in words, as in "convolution_param of layer 'conv1'".
    """

    def __init__(self, message: Message, what: str) -> None:
        self.message = message
        self.what = what
        self._asked: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the field is there. Does not count as asking for it."""
        return any(known == name for known, _ in self.message.fields)

    @overload
    def integer(self, name: str, default: int, *, low: int = 0) -> int: ...
    @overload
    def integer(self, name: str, default: None = None, *, low: int = 0) -> int | None: ...
    def integer(self, name: str, default: int | None = None, *, low: int = 0) -> int | None:
        """A whole number from `low` to 2**31."""
        value = self._one(name)
        return default if value is None else self._as_integer(name, value, low)

    def integers(self, name: str, *, low: int = 0) -> tuple[int, ...]:
        """All numbers of a field that may stand more than once."""
        return tuple(self._as_integer(name, value, low) for value in self._all(name))

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self._one(name)
        return default if value is None else self._as_number(name, value)

    def numbers(self, name: str) -> tuple[float, ...]:
        """All numbers of a field that may stand more than once."""
        return tuple(self._as_number(name, value) for value in self._all(name))

    def boolean(self, name: str, default: bool) -> bool:
        """`true` or `false`, or 1 or 0."""
        value = self._one(name)
        if value is None:
            return default
        if isinstance(value, Scalar) and value.kind != "string" and value.value in {"true", "false", "t", "f", 0, 1}:
            return value.value in {"true", "t", 1}
        raise error_at(value.place, f"{self.what}: expected {name} as true or false, got {value}")

    def text(self, name: str, default: str = "") -> str:
        """A text in quotes."""
        value = self._one(name)
        return default if value is None else self._as_text(name, value)

    def texts(self, name: str) -> tuple[str, ...]:
        """All texts of a field that may stand more than once."""
        return tuple(self._as_text(name, value) for value in self._all(name))

    def word(self, name: str, default: str = "") -> str:
        """A name without quotes, such as the member of an enumeration."""
        value = self._one(name)
        if value is None:
            return default
        if isinstance(value, Scalar) and value.kind == "name":
            return str(value.value)
        raise error_at(value.place, f"{self.what}: expected {name} as a name without quotes, got {value}")

    def member(self, name: str, members: Sequence[str], default: str) -> str:
        """One of an enumeration, by name or by its place in `members`."""
        value = self._one(name)
        if value is None:
            return default
        if isinstance(value, Scalar):
            if value.kind == "name" and value.value in members:
                return str(value.value)
            if isinstance(value.value, int) and 0 <= value.value < len(members):
                return members[value.value]
        raise error_at(value.place, f"{self.what}: expected {name} as one of {', '.join(members)}, got {value}")

    def fields(self, name: str) -> Fields:
        """A nested message; an empty one if it is not there."""
        value = self._one(name)
        if value is None:
            return Fields(Message(self.message.place), f"{name} of {self.what}")
        return self._as_fields(name, value)

    def all_fields(self, name: str) -> tuple[Fields, ...]:
        """All nested messages of a name."""
        return tuple(self._as_fields(name, value) for value in self._all(name))

    def finish(self, ignored: Collection[str] = ()) -> frozenset[str]:
        """Refuse fields that nobody asked for.

        Args:
            ignored: those that may be there without meaning anything for us.

        Returns:
            Which of these there are.

        Raises:
            FormatError: there is another one.
        """
        for name, value in self.message.fields:
            if name not in self._asked and name not in ignored:
                known = sorted(self._asked | set(ignored))
                near = difflib.get_close_matches(name, known, 1)
                raise error_at(
                    value.place,
                    f"{self.what}: unknown field {name!r}: expected one of {', '.join(known)}",
                    hint=f"did you mean {near[0]}?" if near else None,
                )
        return frozenset(name for name, _ in self.message.fields if name in ignored)

    def _all(self, name: str) -> list[Scalar | Message]:
        self._asked.add(name)
        return [value for known, value in self.message.fields if known == name]

    def _one(self, name: str) -> Scalar | Message | None:
        values = self._all(name)
        if len(values) > 1:
            raise error_at(values[1].place, f"{self.what}: expected {name} once, got it {len(values)} times")
        return values[0] if values else None

    def _as_integer(self, name: str, value: Scalar | Message, low: int) -> int:
        if not isinstance(value, Scalar) or not isinstance(value.value, int) or not low <= value.value <= MAX_INT:
            raise error_at(
                value.place, f"{self.what}: expected {name} as a whole number from {low} to {MAX_INT}, got {value}"
            )
        return value.value

    def _as_number(self, name: str, value: Scalar | Message) -> float:
        number = value.value if isinstance(value, Scalar) and value.kind == "number" else math.nan
        if isinstance(number, str) or not abs(number) < math.inf:
            raise error_at(value.place, f"{self.what}: expected {name} as a finite number, got {value}")
        return float(number)

    def _as_text(self, name: str, value: Scalar | Message) -> str:
        if not isinstance(value, Scalar) or value.kind != "string":
            raise error_at(value.place, f"{self.what}: expected {name} as a text in quotes, got {value}")
        return str(value.value)

    def _as_fields(self, name: str, value: Scalar | Message) -> Fields:
        if isinstance(value, Scalar):
            raise error_at(value.place, f"{self.what}: expected {name} as a message in braces, got {value}")
        return Fields(value, f"{name} of {self.what}")
