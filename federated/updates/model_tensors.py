"""`ModelTensors`: what a federation has to know of a model: the names and shapes of its tensors, and what each is.

Networks of the core tell it themselves, other models by their adapters. A coordinator needs no more of a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np

from ...core import ConfigError, ParameterLayout, ShapeError
from ...core.nn import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Module, Parameter, RMSNorm

TensorKind = Literal["parameter", "buffer", "local"]
_NORMALISATION = (BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTensor:
    """One tensor of a model.

    Attributes:
        name: unique in the model. What is before its last dot names its layer.
        shape: of the tensor.
        kind: changes of a "parameter" travel as levels, those of a "buffer" exactly; what is "local" never travels.
        dtype: by name; what travels is float32.
        normalises: whether it belongs to a normalisation, which some strategies leave to each site.
        first_range: of its changes in the first round; None takes the plan's bound.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorKind = "parameter"
    dtype: str = "float32"
    normalises: bool = False
    first_range: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(TensorKind):
            raise ConfigError(f"{self.name}: expected a kind of {', '.join(get_args(TensorKind))}, got {self.kind!r}")
        if self.first_range is not None and not 0 < self.first_range < float("inf"):
            raise ConfigError(f"{self.name}: expected a first range > 0 and finite, got {self.first_range}")

    @property
    def size(self) -> int:
        """How many elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class ModelTensors:
    """All tensors of a model, in its order.

    Attributes:
        tensors: in order.

    Raises:
        ConfigError: two have the same name.
    """

    tensors: tuple[ModelTensor, ...]

    def __post_init__(self) -> None:
        if len({each.name for each in self.tensors}) != len(self.tensors):
            raise ConfigError("two tensors of a model have the same name")

    @classmethod
    def of(cls, model: Module | ModelTensors) -> ModelTensors:
        """Those of a network, whose weights do not matter."""
        if isinstance(model, ModelTensors):
            return model
        parameters = {name for name, _ in model.named_tensors(Parameter)}
        normalising = {
            f"{prefix}.{name}" if prefix else name
            for prefix, module in model.named_modules()
            if isinstance(module, _NORMALISATION)
            for name, _ in module.named_tensors()
        }
        return cls(
            tuple(
                ModelTensor(
                    name=name,
                    shape=tensor.shape,
                    kind="parameter" if name in parameters else "buffer",
                    dtype=tensor.dtype.name,
                    normalises=name in normalising,
                )
                for name, tensor in model.named_tensors()
            )
        )

    @cached_property
    def travelling(self) -> tuple[str, ...]:
        """The names of those that can travel."""
        return tuple(each.name for each in self.tensors if each.kind != "local")

    @cached_property
    def parameters(self) -> int:
        """Elements of all parameters."""
        return sum(each.size for each in self.tensors if each.kind == "parameter")

    def layout(self, names: Iterable[str]) -> ParameterLayout:
        """The layout of some of them, in the model's order."""
        wanted = set(names)
        return ParameterLayout(
            tuple((each.name, each.shape, each.dtype) for each in self.tensors if each.name in wanted)
        )

    def check(self, arrays: Mapping[str, np.ndarray], *, finite: bool = True) -> dict[str, np.ndarray]:
        """The arrays of a model, in order, each of its dtype.

        Args:
            arrays: by name.
            finite: whether every number must be.

        Raises:
            ShapeError: one is missing, too many, or of another shape.
            ConfigError: a number is not finite.
        """
        if set(arrays) != {each.name for each in self.tensors}:
            other = sorted(set(arrays) ^ {each.name for each in self.tensors})
            raise ShapeError(f"the model has other tensors than it said: {', '.join(other[:5])}")
        checked: dict[str, np.ndarray] = {}
        for each in self.tensors:
            array = np.asarray(arrays[each.name])
            if array.shape != each.shape:
                raise ShapeError(f"{each.name!r}: expected shape {each.shape}, got {array.shape}")
            if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ConfigError(f"{each.name!r} went beyond what is finite", hint="lower the learning rate")
            checked[each.name] = array.astype(each.dtype, copy=False)
        return checked
