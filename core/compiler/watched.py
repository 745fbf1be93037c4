"""What a traced function looks at beside its arguments: attributes, closures, globals. A compiled function is right
only while they are as they were, so they are compared before each run.

Tensors' elements are not compared: they are read anew in each run.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final, Literal, cast

from ..device import current_device, device_variable
from ..native import accelerate
from ..nn.module import Module
from ..tape import current_mode
from ..tensor import Tensor

PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))
LOADS: Final = ("LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME")
NOTHING: Final = object()

Step = tuple[Literal["attribute", "item"], Any]


class Items(tuple[Any, ...]):
    """What a list held when it was looked at."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """One place that was looked at: `holder[name]` was `value`.

    Attributes:
        holder: a namespace: attributes of an object, globals of a module, a dictionary; or the cell of a closure.
        name: of the place, or the key; empty for the names that the holder has.
        value: what stood there; a list as its `Items`.
        label: what to call the place.
    """

    holder: Any
    name: str | int
    value: Any
    label: str

    def changed(self) -> str | None:
        """What it is now, in words; None while it is the same."""
        if self.name == "":
            now = tuple(self.holder)
            return None if now == self.value else f"{self.label or 'an object'} has other attributes"
        try:
            now = self.holder.cell_contents if isinstance(self.holder, CellType) else self.holder[self.name]
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
        self._places = tuple(_Finder((function, *args)).places)
        self._mode = current_mode()
        self._device, self._entered = current_device(), device_variable.get()
        # The same by kind, for a glance at each run.
        cells = [place for place in self._places if isinstance(place.holder, CellType)]
        named = [place for place in self._places if place.name != "" and not isinstance(place.holder, CellType)]
        self._sizes = tuple((place.holder, len(place.value)) for place in self._places if place.name == "")
        self._cells = tuple((place.holder, place.value) for place in cells)
        self._named = tuple((place.holder, place.name, place.value) for place in named)

    @property
    def looks(self) -> dict[str, Any]:
        """What `same` compares, for a glance at each run: parts of `accelerate.Shortcut`."""
        return {
            "mode": self._mode,
            "devices": device_variable,
            "entered": self._entered,
            "sizes": self._sizes,
            "cells": self._cells,
            "named": self._named,
        }

    def same(self) -> bool:
        """Whether all is as it was."""
        device = current_device()
        if current_mode() is not self._mode or (device is not self._device and device != self._device):
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


class _Finder:
    """Finds what is reachable from functions through closures, globals, modules of a network and dataclasses, and what
    their code names of other objects, of dictionaries and of Python's modules.

    Attributes:
        places: that were found.
    """

    def __init__(self, roots: Sequence[Any]) -> None:
        self.places: list[Watched] = []
        self._pending: list[tuple[Any, str]] = [(root, "") for root in roots]
        seen: set[Hashable] = set()
        while self._pending:
            item, label = self._pending.pop()
            known = (id(item.__func__), id(item.__self__)) if isinstance(item, MethodType) else id(item)
            if known not in seen and not isinstance(item, Tensor | type | ModuleType):
                seen.add(known)
                self._enter(item, label)

    def _enter(self, item: Any, label: str) -> None:
        if isinstance(item, MethodType):
            if isinstance(item.__func__, FunctionType):
                self._function(item.__func__, item.__self__)
            if _open(item.__self__):
                self._pending.append((item.__self__, "self"))
        elif isinstance(item, FunctionType):
            self._function(item)
        else:
            fields: Mapping[str, Any] | None = getattr(item, "__dict__", None)
            if fields is not None:
                self.places.append(Watched(fields, "", tuple(fields), label))
                for name, value in fields.items():
                    self._look(fields, name, value, f"{label}.{name}" if label else name)

    def _function(self, function: FunctionType, owner: Any = None) -> None:
        """What a function reaches, as the method of an object perhaps."""
        code, reached = function.__code__, dict[str, Any]()
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                reached[name] = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self._look(cell, "cell_contents", reached[name], name)
        for name in names_of(code):
            if name in function.__globals__:
                reached.setdefault(name, function.__globals__[name])
                self._look(function.__globals__, name, function.__globals__[name], name)
        if owner is not None and code.co_argcount:
            reached[code.co_varnames[0]] = owner
        for root, steps in chains_of(code):
            if root in reached:
                self._follow(reached[root], root, steps)

    def _follow(self, at: Any, label: str, steps: Sequence[Step]) -> None:
        """The places of a chain; what is watched as a whole ends it."""
        for kind, key in steps:
            if isinstance(at, Tensor) or _open(at):
                return
            label += f".{key}" if kind == "attribute" else f"[{key!r}]"
            holder: Any = at if kind == "item" else getattr(at, "__dict__", None)
            if holder.__class__ not in (dict, MappingProxyType) or key not in holder:
                method: Any = getattr(type(at), key, None) if kind == "attribute" else None  # pyright: ignore[reportUnknownArgumentType]
                method = method.fget if isinstance(method, property) else method
                if isinstance(method, FunctionType):
                    self._pending.append((MethodType(method, at), label))
                return
            value: Any = holder[key]
            if isinstance(value, PLAIN) or not isinstance(at, type | ModuleType):
                self._look(holder, key, value, label)
            at = value

    def _look(self, holder: Any, name: Any, value: Any, label: str) -> None:
        """One more place, and what is in it."""
        kept = Items(value) if value.__class__ is list else value
        self.places.append(Watched(holder, name, kept, label))
        parts: tuple[Any, ...] = cast("tuple[Any, ...]", kept) if isinstance(kept, tuple) else (kept,)
        self._pending.extend((part, label) for part in parts if _open(part))


@lru_cache(1024)
def names_of(code: CodeType) -> tuple[str, ...]:
    """The globals that code may read, functions and comprehensions inside it, too."""
    inner = (name for each in code.co_consts if isinstance(each, CodeType) for name in names_of(each))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


@lru_cache(1024)
def chains_of(code: CodeType) -> tuple[tuple[str, tuple[Step, ...]], ...]:
    """The attributes and items that code names of variables: of `schedule.rate * options["width"]` these two chains."""
    found: list[tuple[str, tuple[Step, ...]]] = []
    root, steps, key = "", list[Step](), NOTHING
    for each in dis.get_instructions(code):
        if each.opname in LOADS or each.opname.startswith("LOAD_FAST"):
            found.append((root, tuple(steps)))
            root, steps, key = str(each.argval), [], NOTHING
        elif each.opname in ("LOAD_ATTR", "LOAD_METHOD") and key is NOTHING:
            steps.append(("attribute", each.argval))
        elif each.opname == "LOAD_CONST" and key is NOTHING:
            key = each.argval
        elif (each.opname == "BINARY_SUBSCR" or each.argrepr == "[]") and isinstance(key, str | int) and key != "":
            steps.append(("item", key))
            key = NOTHING
        else:
            found.append((root, tuple(steps)))
            root, steps, key = "", [], NOTHING
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found += chains_of(inner)
    return tuple(dict.fromkeys((root, steps) for root, steps in found if root and steps))


def _open(part: Any) -> bool:
    """Whether all of it is watched: networks, dataclasses, and functions that are not ours."""
    if isinstance(part, Module | FunctionType | MethodType):
        return not _ours(part)
    return is_dataclass(part) and not isinstance(part, type) and not _ours(part) and hasattr(part, "__dict__")


def _ours(part: Any) -> bool:
    """Functions of this library hold no state that a user changes."""
    return isinstance(part, FunctionType) and (part.__module__ or "").startswith(__name__.split(".")[0] + ".core")
