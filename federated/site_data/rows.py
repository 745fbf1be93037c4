"""What a site trains on, as far as training asks: a `Dataset`, or some rows of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np

from ...core.data import Dataset, Task


class Rows(Protocol):
    """Inputs and what is to be learned of them; a `Dataset` is one."""

    @property
    def inputs(self) -> np.ndarray:
        """Shape (N, *task.row_shape)."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """As of a `Dataset`."""
        ...

    @property
    def task(self) -> Task:
        """What the rows are, and what is to be learned."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RowsView:
    """Some rows of a dataset, copied only while they are used: thousands of sites share one copy of the data.

    Attributes:
        data: all rows.
        indices: of these, shape (n,).
    """

    data: Dataset
    indices: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """A copy."""
        return self.data.inputs[self.indices]

    @property
    def labels(self) -> np.ndarray:
        """A copy."""
        return self.data.labels[self.indices]

    @property
    def task(self) -> Task:
        """Of the data."""
        return self.data.task

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True)
class Shares(Sequence[Dataset]):
    """The rows of each site, as datasets that are made when they are asked for.

    Attributes:
        data: all rows.
        indices: of each site's.
    """

    data: Dataset
    indices: Sequence[np.ndarray]

    @overload
    def __getitem__(self, index: int) -> Dataset: ...
    @overload
    def __getitem__(self, index: slice) -> Shares: ...
    def __getitem__(self, index: int | slice) -> Dataset | Shares:
        if isinstance(index, slice):
            return Shares(self.data, self.indices[index])
        return self.data.take(self.indices[index])

    def __iter__(self) -> Iterator[Dataset]:
        return (self.data.take(each) for each in self.indices)

    def __len__(self) -> int:
        return len(self.indices)
