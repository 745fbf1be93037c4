"""What a traced function looks at beside its arguments: attributes, closures, globals. A compiled function is right
only while they are as they were, so they are compared before each run.

Tensors' elements are not compared: they are read anew in each run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

from ..device import current_device
from ..native import accelerate
from ..nn.module import Module
from ..tape import current_mode
from ..tensor import Tensor

PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))


class Items(tuple[Any, ...]):
    """What a list held when it was looked at."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """One place that was looked at: `holder[name]` was `value`.

    Attributes:
        holder: a namespace: attributes of an object, globals of a module; or the cell of a closure.
        name: of the place; empty for the names that the holder has.
        value: what stood there; a list as its `Items`.
        label: what to call the place.
    """

    holder: Any
    name: str
    value: Any
    label: str

    def changed(self) -> str | None:
        """What it is now, in words; None while it is the same."""
        if self.name == "":
            now = tuple(self.holder)
            return None if now == self.value else f"{self.label or 'an object'} has other attributes"
        try:
            now = self.holder.cell_contents if self.name == "cell_contents" else self.holder[self.name]
        except (KeyError, ValueError):
            return f"{self.label} is gone"
        if now is self.value or _same(now, self.value):
            return None
        return f"{self.label} was {_shown(self.value)}, is {_shown(now)}"


def _same(now: Any, then: Any) -> bool:
    if then.__class__ is Items and now.__class__ is list:
        return len(now) == len(then) and all(a is b or _same(a, b) for a, b in zip(now, then, strict=True))
    return (
        now.__class__ is then.__class__ and isinstance(then, PLAIN) and (now == then or (now != now and then != then))
    )


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, PLAIN) else f"another {type(value).__name__}"


class Surroundings:
    """All that a function looked at when it was traced.

    Args:
        function: what was traced.
        args: objects among its arguments that are handed to it as they are.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._places = tuple(_places((function, *args)))
        self._mode = current_mode()
        self._device = current_device()
        # The same by kind, for a glance at each run.
        named = [place for place in self._places if place.name not in ("", "cell_contents")]
        self._sizes = tuple((place.holder, len(place.value)) for place in self._places if place.name == "")
        self._cells = tuple((place.holder, place.value) for place in self._places if place.name == "cell_contents")
        self._named = tuple((place.holder, place.name, place.value) for place in named)

    def same(self) -> bool:
        """Whether all is as it was."""
        if current_mode() is not self._mode or current_device() != self._device:
            return False
        if accelerate is not None and accelerate.unchanged(self._sizes, self._cells, self._named):
            return True
        try:
            for holder, size in self._sizes:
                if len(holder) != size:
                    return False
            for cell, value in self._cells:
                now = cell.cell_contents
                if now is not value and not (value.__class__ is Items and _same(now, value)):
                    return self.changed() is None
            for holder, name, value in self._named:
                now = holder[name]
                if now is not value and not (value.__class__ is Items and _same(now, value)):
                    return self.changed() is None
        except (KeyError, ValueError):
            return False
        return True

    def changed(self) -> str | None:
        """The first thing that is not as it was, in words; None if all is."""
        if current_mode() is not self._mode:
            return "gradients are recorded now, or not any more"
        if current_device() != self._device:
            return f"the default device was {self._device}, is {current_device()}"
        for place in self._places:
            found = place.changed()
            if found is not None:
                return found
        return None


def _places(roots: tuple[Any, ...]) -> Iterator[Watched]:
    """The places reachable from functions through closures, globals, modules of a network and plain objects."""
    seen: set[int] = set()
    pending: list[tuple[Any, str]] = [(root, "") for root in roots]
    while pending:
        item, label = pending.pop()
        if id(item) in seen or isinstance(item, Tensor | type | ModuleType):
            continue
        seen.add(id(item))
        for holder, name, value, called in _inside(item, label):
            kept = Items(value) if value.__class__ is list else value
            yield Watched(holder, name, kept, called)
            parts: tuple[Any, ...] = cast("tuple[Any, ...]", kept) if isinstance(kept, tuple) else (kept,)
            pending.extend((part, called) for part in parts if _open(part))


def _inside(item: Any, label: str) -> Iterator[tuple[Any, str, Any, str]]:
    if isinstance(item, MethodType):
        item = item.__func__
    if isinstance(item, FunctionType):
        names = item.__code__.co_freevars
        for name, cell in zip(names, item.__closure__ or (), strict=True):
            try:
                yield cell, "cell_contents", cell.cell_contents, name
            except ValueError:  # not filled yet
                continue
        for name in item.__code__.co_names:
            if name in item.__globals__:
                yield item.__globals__, name, item.__globals__[name], name
        return
    fields: Mapping[str, Any] | None = getattr(item, "__dict__", None)
    if fields is not None:
        yield fields, "", tuple(fields), label
        yield from ((fields, name, value, f"{label}.{name}" if label else name) for name, value in fields.items())


def _open(part: Any) -> bool:
    """Whether there is anything to watch in it: our networks, functions and objects of the user's own classes."""
    if isinstance(part, Module | FunctionType | MethodType):
        return not _ours(part)
    return is_dataclass(part) and not isinstance(part, type) and not _ours(part) and hasattr(part, "__dict__")


def _ours(part: Any) -> bool:
    """Functions of this library hold no state that a user changes."""
    return isinstance(part, FunctionType) and (part.__module__ or "").startswith(__name__.split(".")[0] + ".core")
