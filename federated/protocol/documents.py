"""Frozen values as JSON documents and back, checked by their own annotations: each field there, of exactly its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ...core import FormatError

T = TypeVar("T")


def to_document(value: object, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of a dataclass as JSON; values in it that are dataclasses, too, become objects.

    Args:
        value: its fields are texts, numbers, truth values, None, or such dataclasses.
        without: fields of its own that are left out.
    """
    assert is_dataclass(value)
    document: dict[str, Any] = {}
    for field in fields(value):
        if field.name not in without:
            part = getattr(value, field.name)
            document[field.name] = to_document(part) if is_dataclass(part) else part
    return document


def from_document(kind: type[T], document: object, **given: Any) -> T:
    """The inverse of `to_document`.

    Args:
        kind: the dataclass.
        document: JSON from outside.
        given: values of the fields that were left out.

    Raises:
        FormatError: a field too many or too few, or of another type than it is annotated with.
        ConfigError: what the dataclass itself refuses.
    """
    hints = _hints(kind)
    if not isinstance(document, dict):
        raise FormatError(f"{kind.__name__}: expected an object, got {document!r:.80}")
    said = cast(Mapping[str, Any], document)
    if expected := said.keys() ^ (hints.keys() - given.keys()):
        raise FormatError(f"{kind.__name__}: fields too many or too few: {', '.join(sorted(expected))!r:.200}")
    return kind(**{name: _read(f"{kind.__name__}.{name}", hints[name], value) for name, value in said.items()}, **given)


def _read(name: str, hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        if value is None and len(kinds) < len(get_args(hint)):
            return None
        [hint] = kinds  # one kind or nothing: what a field may be is never told by its value
        origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise FormatError(f"{name}: expected one of {', '.join(map(str, get_args(hint)))}, got {value!r:.60}")
    if is_dataclass(hint):
        return from_document(cast(type[Any], hint), value)
    if type(value) is not hint:
        raise FormatError(f"{name}: expected {hint.__name__}, got {type(value).__name__}")
    return value


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: hint for name, hint in get_type_hints(kind).items() if name in names}
