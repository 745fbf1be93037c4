"""What of a call's arguments decides which program fits: structure, shapes, dtypes, and all that is no array."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, cast

import numpy as np

from ..device import CPU, Device, device_of
from ..native import accelerate
from ..tensor import Tensor, as_array

ARRAY: Final = "array"  # the kind of a leaf whose elements vary

# Of every argument, a tensor on the CPU: shape, dtype, and whether gradients can be asked for; or that it is a float.
TensorKinds = tuple[tuple[tuple[int, ...], np.dtype[Any], bool] | type[float], ...]


def tensor_kinds(args: Sequence[Any]) -> TensorKinds | None:
    """What `are_alike` compares; None where an argument is something else."""

    def kind(each: Any) -> Any:
        if each.__class__ is float:
            return float
        if each.__class__ is not Tensor or each.data.__class__ is not np.ndarray:
            return None
        return each.data.shape, each.data.dtype, each.node is not None

    kinds = tuple(map(kind, args))
    return None if None in kinds else kinds


def are_alike(args: tuple[Any, ...], kinds: TensorKinds) -> bool:
    """Whether arguments are of these kinds: what `kind_of` says, of tensors and floats, in a fraction of the time."""
    if accelerate is not None:
        return accelerate.alike(args, kinds)
    if len(args) != len(kinds):
        return False
    for each, kind in zip(args, kinds, strict=True):
        if isinstance(kind, type):
            if each.__class__ is not kind:
                return False
            continue
        shape, dtype, recorded = kind
        if each.__class__ is not Tensor or (each.node is not None) is not recorded:
            return False
        data = each.data
        if data.__class__ is not np.ndarray or data.shape != shape or data.dtype is not dtype:
            return False
    return True


def varies(leaf: Any) -> bool:
    """Whether a leaf of the arguments may have another value in each call."""
    return isinstance(leaf, Tensor | np.ndarray | float) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape"))


def kind_of(leaf: Any) -> Hashable:
    """What must be equal of a leaf for a program to fit."""
    if leaf.__class__ is float:
        return float
    if varies(leaf):
        array = as_array(leaf)
        wants = isinstance(leaf, Tensor) and leaf.requires_grad
        device = "cpu" if array.__class__ is np.ndarray else str(device_of(array))
        return (ARRAY, array.shape, array.dtype, wants, device)
    if isinstance(leaf, Hashable):
        return (leaf.__class__, leaf)
    return (leaf.__class__, id(leaf))


def described(kind: Any) -> str:
    """A kind, for people."""
    if kind is float:
        return "a float"
    if kind[0] is ARRAY:
        return f"{kind[2].name}[{', '.join(map(str, kind[1]))}]"
    return repr(kind[1]) if kind[0].__module__ == "builtins" else f"another {kind[0].__name__}"


def structure_of(item: Any) -> Hashable:
    """The containers of a tree, without its leaves."""
    if isinstance(item, dict):
        return tuple((key, structure_of(value)) for key, value in cast("dict[Any, Any]", item).items())
    if isinstance(item, list | tuple):
        items = cast("list[Any]", item)
        return (type(items), *map(structure_of, items))
    return None


def one_device(leaves: Sequence[Any]) -> Device:
    """Where the arguments lie; the CPU if none is an array."""
    for leaf in leaves:
        if isinstance(leaf, Tensor) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
            return device_of(as_array(leaf))
    return CPU
