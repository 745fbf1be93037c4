"""`conform`: a site's rows as the agreed task has them: its columns in their order, its categories and classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core import DataError
from ...core.data import Dataset, Task
from ..errors import AgreementError, Refusal
from ..site_data.rows import Rows
from .schema import Schema


def conform(data: Rows, task: Task) -> Rows:
    """The same rows under another task, which may order columns, categories and classes otherwise, and know more.

    Args:
        data: a site's; what comes back is that where the tasks are equal, and a copy elsewhere.
        task: that all sites have agreed on. Where it says so of a column, categories it does not have are unknown ones.

    Raises:
        AgreementError: a column, category or class is not what the task knows; names the column.
    """
    if data.task == task:
        return data
    Schema.of(task).check(data.task)
    if task.kind == "regression":
        order = [data.task.targets.index(name) for name in task.targets]
        labels = data.labels[:, order]
    else:
        labels = _codes(data.labels, data.task.classes, task.classes, "the target", None)
    own = inputs = data.inputs
    if task.modality == "table":
        places = {column.name: place for place, column in enumerate(data.task.schema)}
        inputs = np.empty((len(data), len(task.features)), own.dtype)
        for place, column in enumerate(task.schema):
            mine = data.task.schema[places[column.name]]
            values = own[:, places[column.name]]
            if column.kind == "categorical":
                there = values >= 0  # neither missing nor unknown
                known = _codes(
                    values[there].astype(np.int64),
                    mine.categories,
                    column.categories,
                    f"column {column.name!r}",
                    column.name,
                    unknown=column.unknown == "zeros",
                )
                values = values.copy()
                values[there] = known
            inputs[:, place] = values
    try:
        return Dataset("rows", inputs, labels, task)
    except DataError as exc:
        raise AgreementError(f"the data is not as agreed: {exc.message}", hint=exc.hint, refusal=Refusal.DATA) from exc


def _codes(
    codes: np.ndarray,
    own: Sequence[str],
    agreed: Sequence[str],
    what: str,
    column: str | None,
    *,
    unknown: bool = False,
) -> np.ndarray:
    """Indices into a site's names as indices into the agreed ones, -1 for those that may be unknown: the same shape,
    int64.
    """
    places = {name: place for place, name in enumerate(agreed)}
    table = np.asarray([places.get(name, -1) for name in own], np.int64)
    found = table[codes]
    if not unknown and (found < 0).any():
        name = own[int(codes[int((found < 0).argmax())])]
        raise AgreementError(
            f"{what}: {name[:80]!r} is not among the {len(agreed)} names the sites have agreed on",
            hint="this site was not there when they did, or its data has changed; agree again",
            refusal=Refusal.DATA,
            column=column,
        )
    return found
