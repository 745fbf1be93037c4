"""Drawing random numbers without moving the generators that they come from: a program can be tried out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, cast

import numpy as np

from .graph import Draw

DEEPEST: Final = 6  # closures and attributes between what draws and its generator


@contextmanager
def undisturbed(draws: Sequence[Draw]) -> Generator[None]:
    """Within, draws may be made; at the end their generators are as they were before."""
    generators = {id(each): each for each in _generators([draw.make for draw in draws])}.values()
    states = [(each, each.bit_generator.state) for each in generators]
    try:
        yield
    finally:
        for each, state in states:
            each.bit_generator.state = state


def _generators(roots: Iterable[Any]) -> Iterator[np.random.Generator]:
    """The generators that functions reach by closures, bound objects, attributes and containers."""
    seen: set[int] = set()
    pending = [(root, 0) for root in roots]
    while pending:
        item, depth = pending.pop()
        if id(item) in seen or depth > DEEPEST:
            continue
        seen.add(id(item))
        if isinstance(item, np.random.Generator):
            yield item
            continue
        pending.extend((part, depth + 1) for part in _parts(item))


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, FunctionType):
        for cell in item.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
        yield from item.__defaults__ or ()
    elif isinstance(item, MethodType):
        yield from (item.__self__, item.__func__)
    elif isinstance(item, partial):
        made = cast("partial[Any]", item)
        yield from (made.func, *made.args, *made.keywords.values())
    elif isinstance(item, list | tuple):
        yield from cast("Sequence[Any]", item)
    elif isinstance(item, dict):
        yield from cast("dict[Any, Any]", item).values()
    elif not isinstance(item, type | np.ndarray):
        yield from getattr(item, "__dict__", {}).values()
