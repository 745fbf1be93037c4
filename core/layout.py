"""`ParameterLayout`: how the state of a model lies in one flat float32 vector, the form that is summed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .device import CPU, Array
from .errors import ShapeError
from .nn.module import Module
from .spec import canonical_json


@dataclass(frozen=True)
class ParameterLayout:
    """Ordered names, shapes and dtypes of a model's state: its parameters and buffers.

    Two parties whose layouts have the same hash can add each other's vectors.
    """

    entries: tuple[tuple[str, tuple[int, ...], str], ...]  # (name, shape, dtype)

    @classmethod
    def of(cls, model: Module) -> ParameterLayout:
        """The layout of a model."""
        return cls(tuple((name, tensor.shape, tensor.dtype.name) for name, tensor in model.named_tensors()))

    @cached_property
    def size(self) -> int:
        """Number of elements of the flat vector."""
        return sum(int(np.prod(shape)) for _, shape, _ in self.entries)

    @cached_property
    def sha256(self) -> str:
        """Hash of names, shapes and dtypes, in hex."""
        return hashlib.sha256(canonical_json(self.entries).encode()).hexdigest()

    def flatten(self, state: Mapping[str, Array]) -> np.ndarray:
        """One float32 vector of shape (size,), from arrays in any order on any device.

        Raises:
            ShapeError: the names or shapes are not those of the layout.
        """
        if set(state) != {name for name, _, _ in self.entries}:
            raise ShapeError(f"the state's names are not the layout's: got {sorted(state)[:5]}")
        vector = np.empty(self.size, np.float32)
        start = 0
        for name, shape, _ in self.entries:
            array: np.ndarray[Any, Any] = CPU.put(state[name])
            if array.shape != shape:
                raise ShapeError(f"{name!r}: expected shape {shape}, got {array.shape}")
            vector[start : start + array.size] = array.ravel()
            start += array.size
        return vector

    def unflatten(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse of `flatten`: copies of the parts, with their own shapes and dtypes.

        Raises:
            ShapeError: the vector is not of shape (size,).
        """
        if vector.shape != (self.size,):
            raise ShapeError(f"expected a vector of shape ({self.size},), got {vector.shape}")
        state: dict[str, np.ndarray] = {}
        start = 0
        for name, shape, dtype in self.entries:
            count = int(np.prod(shape))
            state[name] = vector[start : start + count].reshape(shape).astype(dtype)
            start += count
        return state
