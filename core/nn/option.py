"""Options of layers: checked against the annotation that declares them, and to and from JSON.

An annotation is `bool`, `str`, `int`, `float`, `None`, a class with `to_dict` and `from_dict` (layers inside of
layers), a tuple of these, or a union. Tuples are lists in JSON.
"""

from __future__ import annotations

import sys
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

MAX_INT = 2**31  # of a number in an option, either sign


class Mismatch(Exception):  # noqa: N818 - what is wrong is said by its user, who knows the layer and the option
    """A value is not what an annotation says."""


def check(value: object, expected: Any) -> Any:
    """The value of an option; a whole number for a float becomes one, and a list a tuple, so that equal options give
    equal JSON.

    Raises:
        Mismatch: it is of another type, not finite, or too large.
    """
    if _is_union(expected):
        for choice in get_args(expected):
            try:
                return check(value, choice)
            except Mismatch:
                continue
        raise Mismatch
    if _is_list(expected):
        items = cast("tuple[object, ...]", value) if isinstance(value, list | tuple) else None
        types = None if items is None else _item_types(expected, len(items))
        if items is None or types is None:
            raise Mismatch
        return tuple(check(item, of) for item, of in zip(items, types, strict=True))
    if expected is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT
    elif expected is float:
        # NaN and infinities fail the comparison, and so does an int that no float can hold.
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    else:
        fits = isinstance(value, expected)
    if not fits:
        raise Mismatch
    return float(cast(float, value)) if expected is float else value


def from_json(value: object, expected: Any, depth: int) -> Any:
    """An option as it stands in a document: objects become what the annotation names, the rest is left for `check`.

    Args:
        value: what the JSON parser gave.
        expected: the annotation.
        depth: how many levels of layers are around.

    Raises:
        FormatError: an object is not what it should be, or nested too deep.
    """
    if _is_union(expected):
        wanted = _is_list if isinstance(value, list) else _is_object
        expected = next((choice for choice in get_args(expected) if wanted(choice)), None)
        if not isinstance(value, list | dict):
            return value
    if _is_list(expected) and isinstance(value, list):
        items = cast("list[object]", value)
        types = _item_types(expected, len(items))
        return items if types is None else tuple(from_json(x, of, depth) for x, of in zip(items, types, strict=True))
    if _is_object(expected):
        return expected.from_dict(value, depth=depth + 1)
    return cast(Any, value)


def to_json(value: Any) -> Any:
    """Plain JSON values."""
    if isinstance(value, tuple):
        return [to_json(item) for item in cast("tuple[Any, ...]", value)]
    return value.to_dict() if hasattr(value, "to_dict") else value


def describe(expected: Any) -> str:
    """An annotation in words."""
    if _is_union(expected):
        return " or ".join(describe(choice) for choice in get_args(expected))
    if _is_list(expected):
        first, *others = get_args(expected)
        return f"a list of {describe(first)}" if others == [...] else f"a list of {1 + len(others)} {describe(first)}"
    if expected is int:
        return f"int within {MAX_INT}"
    return "null" if expected is NoneType else expected.__name__


def _is_union(expected: Any) -> bool:
    return get_origin(expected) in {Union, UnionType}


def _is_list(expected: Any) -> bool:
    return get_origin(expected) is tuple


def _is_object(expected: Any) -> bool:
    return hasattr(expected, "from_dict")


def _item_types(expected: Any, count: int) -> tuple[Any, ...] | None:
    """What the items of a tuple of `count` must be; None where the annotation has another number."""
    types = get_args(expected)
    if types[-1] is ...:
        return (types[0],) * count
    return types if len(types) == count else None
