"""Configurations as JSON, and back: how an optimiser or a criterion gets to another process without pickling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

from .. import optim, train
from ..errors import ConfigError
from . import worker

_VALUE, _FUNCTION = "value", "function"


def to_settings(value: object) -> Any:
    """JSON values for plain values, for the frozen dataclasses of `optim` and `train`, and for functions that another
    process finds (see `run_ranks`); in lists, tuples and dictionaries with string keys too.

    Raises:
        ConfigError: something else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_settings(item) for item in cast(list[object], value)]
    if isinstance(value, Mapping):
        items = cast(Mapping[object, object], value).items()
        return {"mapping": {str(name): to_settings(item) for name, item in items}}
    if is_dataclass(value) and _class_of(type(value).__name__) is type(value):
        own = {field.name: to_settings(getattr(value, field.name)) for field in fields(value)}
        return {_VALUE: type(value).__name__, "fields": own}
    if callable(value) and not is_dataclass(value):
        return {_FUNCTION: worker.reference(value)}
    raise ConfigError(
        f"{type(value).__name__} cannot be sent to other processes: expected a configuration of optim or train",
        hint="write a function for `run_ranks` that makes it, with a ParallelTrainer",
    )


def from_settings(value: Any) -> Any:
    """The inverse of `to_settings`; lists become tuples."""
    if isinstance(value, list):
        return tuple(from_settings(item) for item in cast(list[Any], value))
    if not isinstance(value, dict):
        return value
    found = cast(dict[str, Any], value)
    if "mapping" in found:
        return {name: from_settings(item) for name, item in found["mapping"].items()}
    if _FUNCTION in found:
        return worker.resolve(found[_FUNCTION])
    return _class_of(found[_VALUE])(**{name: from_settings(item) for name, item in found["fields"].items()})


def _class_of(name: str) -> Callable[..., Any]:
    return cast(Callable[..., Any], getattr(optim, name, None) or getattr(train, name, None))
