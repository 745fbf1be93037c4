"""Distinct elements, and membership. As in the array API, every NaN is an element of its own, and none is a member."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Flags, Sample, booleans, integers, normal
from ..shapes import Spec, as_dtype, result_dtype
from .compare import logical_not
from .declare import discrete
from .scatter import number_beside
from .shape import broadcast_to


def _no_spec(x: Spec) -> Any:
    raise ShapeError("the shape of the result depends on the values")


def _distinct(x: np.ndarray) -> list[Any]:
    found: list[Any] = []
    for element in sorted(x.ravel().tolist()):
        if not found or element != found[-1]:
            found.append(element)
    return found


def _unique_reference(x: np.ndarray) -> tuple[np.ndarray, ...]:
    values, flat = _distinct(x), x.ravel().tolist()
    return (
        np.array(values, x.dtype),
        np.array([flat.index(value) for value in values], np.int64),
        np.array([values.index(element) for element in flat], np.int64).reshape(x.shape),
        np.array([flat.count(value) for value in values], np.int64),
    )


_SAMPLES = (
    Sample(integers(4, 9)),
    Sample(integers(5, 3, 4)),
    Sample(booleans(7)),
    Sample(normal(3, 2)),
    Sample(integers(3)),
    Sample(normal(0, 2)),
)


@discrete(
    infer=_no_spec,
    reference=_unique_reference,
    batch=lambda size, batched, x: None,  # data dependent ops are refused before
    per_sample=None,
    samples=_SAMPLES,
    flags=Flags.DATA_DEPENDENT,
)
def unique_all(xp: ArrayModule, x: Array) -> tuple[Array, Array, Array, Array]:
    """The distinct elements in ascending order (n,); the place of the first of each in the flattened `x` (n,); which of
    them each element is, shape of `x`; how often each is there (n,). Places and counts are int64. No gradient.
    """
    values, first, inverse, counts = xp.unique(
        x.reshape(-1), return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    places = (part.astype(np.int64, copy=False) for part in (first, inverse.reshape(x.shape), counts))
    return (values, *places)


@discrete(
    onnx="Unique",
    infer=_no_spec,
    reference=lambda x: np.array(_distinct(x), x.dtype),
    batch=lambda size, batched, x: None,  # data dependent ops are refused before
    per_sample=None,
    samples=_SAMPLES,
    flags=Flags.DATA_DEPENDENT,
)
def unique_values(xp: ArrayModule, x: Array) -> Array:
    """The distinct elements in ascending order, shape (n,). No gradient."""
    return xp.unique(x.reshape(-1), equal_nan=False)


def unique_counts(x: Any) -> tuple[Any, Any]:
    """The distinct elements in ascending order, and how often each is there; both of shape (n,)."""
    values, _, _, counts = unique_all(x)
    return values, counts


def unique_inverse(x: Any) -> tuple[Any, Any]:
    """The distinct elements in ascending order, shape (n,), and which of them each element is, shape of `x`."""
    values, _, inverse, _ = unique_all(x)
    return values, inverse


def _isin_spec(x: Spec, members: Spec, *, batch_dims: int) -> Spec:
    result_dtype(x.dtype, members.dtype)
    if x.shape[:batch_dims] != members.shape[:batch_dims]:
        raise ShapeError(f"isin: expected the first {batch_dims=} axes of both to agree")
    return Spec(x.shape, as_dtype("bool"))


def _isin_batch(size: int, batched: Sequence[bool], x: Any, members: Any, *, batch_dims: int) -> Any:
    if not batched[1] and not batch_dims:
        return _isin(x, members, batch_dims=0)
    x, members = (
        item if own else broadcast_to(item, shape=(size, *item.shape))
        for item, own in zip((x, members), batched, strict=True)
    )
    return _isin(x, members, batch_dims=batch_dims + 1)


def _isin_reference(x: np.ndarray, members: np.ndarray, batch_dims: int) -> np.ndarray:
    if batch_dims:
        return np.stack([_isin_reference(*row, batch_dims - 1) for row in zip(x, members, strict=True)])
    return np.array([element in members.ravel().tolist() for element in x.ravel().tolist()], bool).reshape(x.shape)


@discrete(
    name="isin",
    infer=_isin_spec,
    reference=_isin_reference,
    batch=_isin_batch,
    per_sample=lambda carries, x, members, batch_dims: carries[0] and carries[1] == (batch_dims > 0),
    samples=(
        Sample(integers(6, 3, 4), integers(6, 3), batch_dims=0),
        Sample(integers(6, 3, 4), integers(6, 3, 2), batch_dims=1),
        Sample(integers(2), integers(2), batch_dims=0),
        Sample(normal(3), integers(3, 0), batch_dims=0),
        Sample(normal(0, 2), normal(3), batch_dims=0),
    ),
)
def _isin(xp: ArrayModule, x: Array, members: Array, *, batch_dims: int = 0) -> Array:
    """Which elements are members."""
    if not batch_dims:
        return xp.isin(x, members)
    lead = x.shape[:batch_dims]
    rows = members.reshape(*lead, *(1,) * (x.ndim - batch_dims), int(np.prod(members.shape[batch_dims:])))
    return xp.any(x[..., None] == rows, -1)


def isin(x: Any, members: Any, *, invert: bool = False) -> Any:
    """Which elements of `x` are among `members`; with `invert`, which are not.

    Args:
        x, members: tensors of any shapes, or one of them a number.

    Returns:
        Booleans of the shape of `x`.
    """
    if not hasattr(x, "dtype") and not hasattr(members, "dtype"):
        raise ConfigError(f"isin: expected a tensor among the two, got {x!r} and {members!r}")
    if not hasattr(members, "dtype"):
        members = number_beside(members, x, op="isin")
    if not hasattr(x, "dtype"):
        x = number_beside(x, members, op="isin")
    found = _isin(x, members, batch_dims=0)
    return logical_not(found) if invert else found
