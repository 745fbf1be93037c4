"""`x[key]` and `x[key] = value` with NumPy's advanced indexing: integer arrays, boolean masks and lists, mixed with
slices, integers, ... and None. Compositions over `take` and its adjoint, so gradients of any order, vmap and repeated
indices work, in a fixed order of additions on every device.

A key is split in two: a basic one, which selects a view, and integer arrays that pick along some axes of it. Axes with
arrays are brought together (to the front where NumPy does so) and merged into one, along which `take` picks.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..device import Device
from ..dispatch import Traced
from ..errors import BoundsError, DTypeError, GradientError
from ..tape import is_leaf
from ..tensor import PLAIN, Tensor, as_array
from .elementwise import where
from .gather import segment_sum, take
from .position import flat_nonzero, ravel_index
from .scatter import as_number_of, as_values, home_of, index_copy
from .shape import getitem, is_basic, place, replace, reshape, transpose


def index(x: Any, key: Any) -> Any:
    """The part of `x` that `key` selects, as NumPy's `x[key]`; `Tensor.__getitem__` comes here.

    Args:
        x: a tensor (or array).
        key: integers, slices, ..., None, integer arrays or tensors, boolean masks, lists of these; alone or in a tuple.
            Integers count from the end where they are negative. A mask selects the places where it is true.

    Returns:
        A view for keys of integers, slices, ... and None alone, else a copy; a repeated index repeats elements.

    Raises:
        BoundsError: out of bounds, too many indices, or a mask of another shape than the axes it stands for. On a GPU,
            where looking would mean waiting, integers in arrays are taken modulo the length instead.
        ShapeError: arrays that do not broadcast.
        DTypeError: an index that is neither integers nor booleans.
        GradientError: a mask inside `vmap`: every example would have another shape.
    """
    if is_basic(key):
        return getitem(x, key=key)
    if hasattr(key, "dtype") and key.dtype.kind in "iu" and x.shape and not isinstance(key, np.generic):
        return take(x, key, axis=0)  # the commonest of the others
    selection = _select(x, key)
    part = selection.view(x)
    if selection.indices is None:
        return part
    return take(selection.merged(part), selection.indices, axis=selection.axis)


def set_at(x: Any, key: Any, value: Any) -> Any:
    """A copy of `x` with `value` at `key`; differentiable in both. `x[key] = value` comes here.

    Args:
        x: a tensor (or array).
        key: as for `index`. Where an index is repeated, the last value stays, on every device.
        value: a number, tensor, array or list; converted to the dtype of `x` and broadcast to what the key selects.

    Raises:
        DTypeError: `x` cannot hold such numbers: floats in integers, complex in real.
        BoundsError, ShapeError: as for `index`, or the value does not broadcast.
    """
    value = as_number_of(value, x, op="set_at")
    if is_basic(key):
        return replace(x, value, key=key)
    mask = _single_mask(x, key)
    if mask is not None and len(value.shape) <= len(x.shape) - len(mask.shape):
        return where(reshape(mask, shape=(*mask.shape, *(1,) * (len(x.shape) - len(mask.shape)))), value, x)
    selection = _select(x, key)
    part = selection.view(x)
    if selection.indices is None:
        return replace(x, value, key=selection.basic)
    merged = selection.merged(part)
    room = (*merged.shape[: selection.axis], *selection.indices.shape, *merged.shape[selection.axis + 1 :])
    value = as_values(value, x, room, op="set_at")
    changed = selection.unmerged(index_copy(merged, selection.indices, value, axis=selection.axis), part)
    return changed if selection.whole else replace(x, changed, key=selection.basic)


def add_at(x: Any, key: Any, value: Any) -> Any:
    """A copy of `x` with `value` added at `key`, repeated indices once for each time; as NumPy's `add.at`. Arguments as
    for `set_at`.
    """
    value = as_number_of(value, x, op="add_at")
    selection = _select(x, key)
    part = selection.view(x)
    if selection.indices is None:
        total = as_values(value, x, tuple(part.shape), op="add_at")
    else:
        merged = selection.merged(part)
        room = (*merged.shape[: selection.axis], *selection.indices.shape, *merged.shape[selection.axis + 1 :])
        value = as_values(value, x, room, op="add_at")
        count = merged.shape[selection.axis]
        summed = segment_sum(value, selection.indices, num_segments=count, axis=selection.axis)
        total = selection.unmerged(summed, part)
    return x + (total if selection.whole else place(total, shape=tuple(x.shape), key=selection.basic))


def assign(x: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`: a tensor is a value, so this gives `x` a changed copy of its elements, and the node of that
    copy. Other tensors that share the elements, views among them, keep what they have.

    Raises:
        GradientError: `x` is a leaf that requires a gradient, or what a function is being differentiated by; or the
            result belongs to a transformation that `x` is not part of.
    """
    node = x.node
    if node is not None and (is_leaf(node) or (node.op is not None and node.op.name == "alias")):
        raise GradientError(
            "a leaf that requires a gradient cannot be assigned to: its gradient would have nowhere to go",
            hint="y = ops.set_at(x, key, value) makes a changed copy",
        )
    changed = set_at(x, key, value)
    if type(changed) is not type(x) and not (x.__class__ in PLAIN and changed.__class__ in PLAIN):
        raise GradientError(
            f"a {type(changed).__name__.lower()} value cannot be assigned to a tensor from outside its transformation",
            hint="x = ops.set_at(x, key, value) makes a new tensor",
        )
    names = ("data", "node", "level", *type(x).__slots__) if isinstance(x, Traced) else ("data", "node")
    for name in names:
        setattr(x, name, getattr(changed, name))


@dataclass(frozen=True, slots=True)
class _Selection:
    """A key, taken apart.

    Attributes:
        basic: selects the view that the arrays pick from.
        whole: `basic` selects everything as it is.
        order: the axes of the view, those with indices side by side.
        axis: where those are in that order.
        count: how many they are.
        indices: the arrays as one, into the merged axis; None where there are none.
    """

    basic: tuple[Any, ...]
    whole: bool
    order: tuple[int, ...]
    axis: int
    count: int
    indices: Any

    def view(self, x: Any) -> Any:
        """The part of `x` that the basic key selects."""
        return x if self.whole else getitem(x, key=self.basic)

    def merged(self, part: Any) -> Any:
        """The view with the axes that have indices side by side, and as one."""
        moved = part if self.order == tuple(range(len(part.shape))) else transpose(part, axes=self.order)
        if self.count == 1:
            return moved
        before, after = moved.shape[: self.axis], moved.shape[self.axis + self.count :]
        return reshape(moved, shape=(*before, prod(moved.shape[self.axis : self.axis + self.count]), *after))

    def unmerged(self, merged: Any, part: Any) -> Any:
        """The opposite of `merged`: back to the shape of `part`."""
        moved = reshape(merged, shape=tuple(part.shape[axis] for axis in self.order))
        if self.order == tuple(range(len(self.order))):
            return moved
        return transpose(moved, axes=tuple(self.order.index(axis) for axis in range(len(self.order))))


@dataclass(slots=True)
class _Picker:
    """One integer array or mask of a key, or an integer beside one."""

    position: int  # of its first axis in the view
    axes: int  # how many axes of the view it stands for
    indices: Any


def _select(x: Any, key: Any) -> _Selection:
    home = home_of(x)
    parts = [_part(part, home) for part in (key if isinstance(key, tuple) else (key,))]
    used = sum(_axes_of(part) for part in parts)
    if used > len(x.shape):
        raise BoundsError(f"index: too many indices: the key {_shown(key)} has {used}, the tensor's shape is {x.shape}")
    ellipses = sum(part is Ellipsis for part in parts)
    if ellipses > 1:
        raise BoundsError(f"index: expected ... once in a key, got {_shown(key)}")
    if not ellipses:
        parts.append(Ellipsis)
    advanced = any(hasattr(part, "dtype") for part in parts)
    basic: list[Any] = []
    pickers: list[_Picker] = []
    runs = 0  # of pickers with nothing between
    open_run = False
    axis = 0  # of x
    rank = 0  # of the view
    for part in parts:
        picks = hasattr(part, "dtype") or (advanced and isinstance(part, int))
        runs += picks and not open_run
        open_run = picks
        if part is Ellipsis:
            rest = len(x.shape) - used
            basic += [slice(None)] * rest
            axis, rank = axis + rest, rank + rest
        elif part is None:
            basic.append(None)
            rank += 1
        elif not picks:
            basic.append(part)
            axis, rank = axis + 1, rank + isinstance(part, slice)
        else:
            width, places = _places(part, tuple(x.shape), axis, home)
            basic += [slice(None)] * width or [None]
            pickers.append(_Picker(rank, width or 1, places))
            axis, rank = axis + width, rank + (width or 1)
    whole = all(part.__class__ is slice and part == slice(None) for part in basic)
    if not pickers:
        return _Selection(tuple(basic), whole, (), 0, 0, None)
    view = tuple(x.shape) if whole else _shape_left(tuple(x.shape), basic)
    chosen = [picker.position + i for picker in pickers for i in range(picker.axes)]
    at = pickers[0].position if runs == 1 else 0
    others = [i for i in range(rank) if i not in chosen]
    order = (*others[:at], *chosen, *others[at:])
    lengths = tuple(prod(view[p.position : p.position + p.axes]) for p in pickers)
    arrays = [picker.indices for picker in pickers]
    indices = arrays[0] if len(arrays) == 1 else ravel_index(*arrays, shape=lengths)
    return _Selection(tuple(basic), whole, order, at, len(chosen), indices)


def _shape_left(shape: tuple[int, ...], basic: Sequence[Any]) -> tuple[int, ...]:
    """The shape that a basic key leaves."""
    return np.broadcast_to(np.empty((), np.bool_), shape)[tuple(basic)].shape


def _part(part: Any, home: Device) -> Any:
    """One part of a key as None, ..., a slice, an integer, or an array of integers or booleans. Numbers and lists come
    to lie at `home`; an array stays where it is.
    """
    if part is None or part is Ellipsis or isinstance(part, slice) or part.__class__ is int:
        return part
    if isinstance(part, bool | np.bool_):
        return home.put(np.asarray(part))
    if not hasattr(part, "dtype") or isinstance(part, np.integer):
        if hasattr(part, "__index__"):
            return operator.index(part)
        part = as_array(list(part) if isinstance(part, range) else part)
        part = home.put(part if part.size else part.astype(np.int64))  # an empty list
    if part.dtype.kind not in "iub":
        raise DTypeError(f"index: expected integers or booleans as an index, got dtype {part.dtype}")
    return part


def _axes_of(part: Any) -> int:
    """How many axes of the tensor a part of a key stands for."""
    if part is None or part is Ellipsis:
        return 0
    return len(part.shape) if hasattr(part, "dtype") and part.dtype.kind == "b" else 1


def _places(part: Any, shape: tuple[int, ...], axis: int, home: Device) -> tuple[int, Any]:
    """How many axes a picker stands for, and which places along them (merged) it picks."""
    if isinstance(part, int):
        if not -shape[axis] <= part < shape[axis]:
            raise BoundsError(f"index: index {part} is out of bounds for axis {axis} with size {shape[axis]}")
        return 1, home.put(np.asarray(part))
    if part.dtype.kind != "b":
        return 1, part
    width = len(part.shape)
    if 0 in part.shape and all(a in (0, b) for a, b in zip(part.shape, shape[axis : axis + width], strict=True)):
        return width, home.put(np.zeros(0, np.int64))  # a mask without elements selects nothing, in NumPy too
    if tuple(part.shape) != shape[axis : axis + width]:
        raise BoundsError(
            f"index: expected a mask of shape {shape[axis : axis + width]} for axes {axis} to {axis + width - 1} of a "
            f"tensor of shape {shape}, got {tuple(part.shape)}"
        )
    return width, flat_nonzero(part)


def _single_mask(x: Any, key: Any) -> Any:
    """The mask that is all of the key and stands for the first axes of `x`, or None."""
    part: Any = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if getattr(part, "dtype", None) != np.bool_ or not part.shape or part.shape != x.shape[: len(part.shape)]:
        return None
    return part


def _shown(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return ", ".join(
        f"{part.dtype} {tuple(part.shape)}" if hasattr(part, "dtype") and part.shape else repr(part) for part in parts
    )
