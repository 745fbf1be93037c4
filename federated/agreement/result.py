"""What the sites agree on, from all that the sums have told: the same `Preprocessing` at every site, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ldexp

import numpy as np

from ...core import FormatError
from ...core.data import Column, Preprocessing
from ..errors import AgreementError
from .numbers import Moments, filled
from .schema import agreed_task
from .terms import Terms


def make_preprocessing(
    terms: Terms,
    *,
    columns: tuple[Column, ...],
    classes: tuple[str, ...],
    categories: Sequence[Sequence[int]],
    empty: Sequence[int],
    moments: Sequence[Moments],
    scales: Sequence[int],
    rows: int,
    quantiles: np.ndarray,
) -> Preprocessing:
    """As `Preprocessing.fit` has it on the rows of all sites together; where it differs `federated.agreement` says.

    Args:
        terms: of the agreement.
        columns: of the task; empty where rows are no table.
        classes: of a classification.
        categories: for each categorical column how many rows have each category.
        empty: in how many rows it is missing.
        moments: of each group, in units of 2**scales.
        scales: of each group.
        rows: how many there are.
        quantiles: shape (groups, len(terms.quantiles)).

    Raises:
        AgreementError: this makes no preprocessing: numbers beyond the range of float32, one class.
    """
    schema = terms.schema
    task = agreed_task(schema, columns, classes)
    found = [
        _Group(terms, group, scale, rows, each) for group, scale, each in zip(moments, scales, quantiles, strict=True)
    ]
    inputs = found[: len(found) - (0 if schema.target_ranges else len(schema.targets))]
    fill, unseen = np.zeros(0), np.zeros(0, np.int64)
    if schema.modality == "table":
        offset, scale, fill, unseen = _table(terms, columns, inputs, categories, empty)
        if not task.columns:
            fill, unseen = np.zeros(0), np.zeros(0, np.int64)
    elif schema.range is not None:
        offset, scale = np.asarray(schema.range[0]), np.asarray(schema.range[1] - schema.range[0])
    else:
        offset, scale = (_shaped(terms, [getattr(group, name) for group in inputs]) for name in ("offset", "scale"))
    if terms.way == "none":
        offset, scale = np.zeros(()), np.ones(())
    target_offset, target_scale = np.zeros(()), np.ones(())
    if schema.target_ranges:
        low, high = np.asarray(schema.target_ranges).T
        target_offset, target_scale = low, high - low
    elif schema.targets:
        targets = found[len(inputs) :]
        target_offset = np.asarray([group.offset for group in targets])
        target_scale = np.asarray([group.scale for group in targets])
    made = Preprocessing(task, offset, scale, fill, unseen, target_offset, target_scale)
    try:
        return Preprocessing.from_dict(made.to_dict())
    except FormatError as exc:
        raise AgreementError(
            f"what the sites have cannot be scaled: {exc.message}",
            hint="numbers, their means and their spreads must be within the range of float32",
        ) from exc


class _Group:
    """What becomes of a group's numbers: fill, offset and scale, in the units of the rows."""

    def __init__(self, terms: Terms, moments: Moments, scale: int, rows: int, quantiles: np.ndarray) -> None:
        known = dict(zip(terms.quantiles, quantiles.tolist(), strict=True))
        mean = moments.mean
        if "lower middle" in known:
            middle = known["lower middle"] + (known["upper middle"] - known["lower middle"]) / 2
            self.fill = middle
            mean = ldexp(middle, -scale)
        else:
            self.fill = ldexp(mean, scale)
        if terms.measure == "range":
            self.offset = known["lowest"]
            spread = known["highest"] - known["lowest"]
        else:
            # Only tables have values to fill: a group of images has as many numbers as it has.
            offset, spread = filled(moments, rows if terms.schema.modality == "table" else moments.count, mean)
            self.offset, spread = ldexp(offset, scale), ldexp(spread, scale)
        with np.errstate(over="ignore"):
            self.scale = spread if np.float32(spread) > 0 else 1.0


def _table(
    terms: Terms,
    columns: tuple[Column, ...],
    groups: Sequence[_Group],
    categories: Sequence[Sequence[int]],
    empty: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Offset and scale of every element, what fills every column, and the elements nothing was learned of."""
    elements = sum(len(column.elements) for column in columns)
    offset, scale, fill = np.zeros(elements), np.ones(elements), np.zeros(len(columns))
    unseen: list[int] = []
    numeric, categorical = iter(groups), iter(zip(categories, empty, strict=True))
    first = 0
    for place, (column, said) in enumerate(zip(columns, terms.schema.columns, strict=True)):
        if column.kind == "numeric":
            if said.range is None:
                group = next(numeric)
                offset[first], scale[first], fill[place] = group.offset, group.scale, group.fill
            else:
                low, high = said.range
                offset[first], scale[first], fill[place] = low, high - low, low + (high - low) / 2
        else:
            counts, absent = next(categorical)
            fill[place] = int(np.argmax(counts))
            seen = {int(fill[place])} if absent and column.missing == "fill" else set[int]()
            unseen += [first + code for code, count in enumerate(counts) if count == 0 and code not in seen]
        first += len(column.elements)
    return offset, scale, fill, np.asarray(unseen, np.int64)


def _shaped(terms: Terms, values: list[float]) -> np.ndarray:
    """One value for each group, in the shape that broadcasts to a row."""
    found, shape = np.asarray(values), terms.schema.row_shape
    match terms.way:
        case "each":
            return found.reshape(shape)
        case "channel":
            return found.reshape(-1, 1, 1) if terms.schema.modality == "image" else found
        case "together":
            return found.reshape(())
        case "none":
            return np.zeros(())
