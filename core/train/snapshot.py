"""`Snapshot`: a training run at one moment, as plain values; and a reader that trusts none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, cast

import numpy as np

from ..device import Array
from ..errors import FormatError

T = TypeVar("T", bool, int, float, list[Any], dict[str, Any])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training run at one moment: JSON values, and arrays on the CPU."""

    document: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class SnapshotReader:
    """Takes a snapshot apart; whatever is missing or of another form is a `FormatError`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._document = snapshot.document
        self._arrays = snapshot.arrays

    def expect_run(self, own: Mapping[str, Any]) -> None:
        """The snapshot's "run" says what `own` says."""
        said = self.value("run", dict)
        differing = [name for name in sorted(own.keys() | said.keys()) if own.get(name) != said.get(name)]
        if differing:
            name = differing[0]
            raise FormatError(
                f"it is of another run: {', '.join(differing)} differ: "
                f"expected {name} {own.get(name)!r}, got {said.get(name)!r}",
                hint="make the trainer as the saved one was made",
            )

    def value(self, name: str, kind: type[T]) -> T:
        """A JSON value of one type."""
        value = self._document.get(name)
        if type(value) is not kind:
            raise FormatError(f"expected {name!r} as {kind.__name__}, got {value!r:.80}")
        return cast(T, value)

    def count(self, name: str) -> int:
        """A whole number >= 0."""
        value = self.value(name, int)
        if value < 0:
            raise FormatError(f"expected {name!r} >= 0, got {value}")
        return value

    def has(self, name: str) -> bool:
        """True where there is an array of that name."""
        return name in self._arrays

    def array(self, name: str) -> np.ndarray:
        """An array as it is."""
        if name not in self._arrays:
            raise FormatError(f"the array {name!r} is missing")
        return self._arrays[name]

    def like(self, name: str, own: Array) -> np.ndarray:
        """An array of the shape and dtype of `own`."""
        array = self.array(name)
        if (array.shape, array.dtype) != (own.shape, own.dtype):
            raise FormatError(f"expected {name!r} as {own.dtype} {own.shape}, got {array.dtype} {array.shape}")
        return array

    def curve(self, name: str) -> dict[int, float]:
        """The array `curve.name`, shape (epochs, 2), as epoch -> value."""
        array = self.array(f"curve.{name}")
        if array.dtype != np.float64 or array.ndim != 2 or array.shape[1] != 2:
            raise FormatError(f"expected the curve {name!r} as float64 (epochs, 2), got {array.dtype} {array.shape}")
        return {int(epoch): value for epoch, value in array.tolist()}

    def permutation(self, name: str) -> np.ndarray:
        """An order of rows: each of 0 .. N - 1 once."""
        array = self.array(name)
        if array.dtype != np.int64 or array.ndim != 1 or not np.array_equal(np.sort(array), np.arange(array.size)):
            raise FormatError(f"expected {name!r} as a permutation, got {array.dtype} {array.shape}")
        return array


def description(value: object) -> Any:
    """JSON values that tell configurations apart: frozen dataclasses by kind and fields, functions by their name."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: description(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__qualname__, **own}
    if isinstance(value, Mapping):
        items = cast(Mapping[object, object], value).items()
        return {str(name): description(item) for name, item in items}
    if isinstance(value, list | tuple):
        return [description(item) for item in cast(list[object], value)]
    if isinstance(value, np.generic):
        return cast(Any, value).item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{cast(type, named).__qualname__}"
