"""`UpdateLayout`: what lies where in the vector that a site sends: tensors of the model, and what goes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ...core import canonical_json
from ...core.nn import Module
from ...privacy import UpdateSize
from .model_tensors import ModelTensors


@dataclass(frozen=True, slots=True)
class UpdatePart:
    """A run of elements that belong together.

    Attributes:
        name: unique in the update.
        shape: of the tensor whose elements they are.
        quantised: whether they are rounded to levels, over a range of their own; else they travel exactly.
        first_range: that range in the first round; None takes the plan's bound.
    """

    name: str
    shape: tuple[int, ...]
    quantised: bool
    first_range: float | None = None

    @property
    def size(self) -> int:
        """How many elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class UpdateLayout:
    """Parts one after the other. The first ones are tensors of the model; p is the number of elements of parameters.

    Attributes:
        parts: in order.
        tensors: how many of them are tensors of the model.
    """

    parts: tuple[UpdatePart, ...]
    tensors: int

    @classmethod
    def of(cls, model: Module | ModelTensors, names: Iterable[str] | None = None) -> UpdateLayout:
        """The tensors of a model, or those of some names, in the model's order; parameters are quantised."""
        tensors = ModelTensors.of(model)
        wanted = set(tensors.travelling if names is None else names)
        parts = tuple(
            UpdatePart(each.name, each.shape, each.kind == "parameter", each.first_range)
            for each in tensors.tensors
            if each.name in wanted
        )
        return cls(parts, len(parts))

    def with_extras(self, names: Sequence[str], first_range: float) -> UpdateLayout:
        """With vectors as long as the parameters behind, each tensor over a range of its own."""
        extras = tuple(
            UpdatePart(f"{name}:{part.name}", part.shape, True, first_range)
            for name in names
            for part in self.parts[: self.tensors]
            if part.quantised
        )
        return UpdateLayout(self.parts + extras, self.tensors)

    @cached_property
    def size(self) -> int:
        """Elements in all."""
        return sum(part.size for part in self.parts)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each part lies."""
        ends = np.cumsum([0, *(part.size for part in self.parts)]).tolist()
        return tuple(slice(start, stop) for start, stop in pairwise(ends))

    @cached_property
    def model_size(self) -> int:
        """Elements of the tensors of the model."""
        return sum(part.size for part in self.parts[: self.tensors])

    @cached_property
    def parameters(self) -> np.ndarray:
        """Where the parameters lie among the tensors of the model: indices, shape (p,)."""
        placed = zip(self.parts[: self.tensors], self.slices, strict=False)
        empty = np.empty(0, np.int64)
        found = [np.arange(at.start, at.stop, dtype=np.int64) for part, at in placed if part.quantised]
        return np.concatenate([empty, *found])

    @cached_property
    def sha256(self) -> str:
        """Hash of all that is said here, in hex."""
        said = [[part.name, part.shape, part.quantised, part.first_range] for part in self.parts]
        return hashlib.sha256(canonical_json([said, self.tensors]).encode()).hexdigest()

    def update_size(self) -> UpdateSize:
        """What an update carries, as counts."""
        quantised = [part.size for part in self.parts if part.quantised]
        return UpdateSize(quantised=sum(quantised), tensors=len(quantised), exact=self.size - sum(quantised))
