"""Where an epoch's batches come from: arrays that the trainer shuffles, or a loader. Both can go on in the middle."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np

from ..data import Loader, LoaderState
from ..device import Array, Device
from ..errors import DataError, DTypeError, ShapeError

# What decides an epoch: the order of the rows, int64 of shape (N,), or the seed of a loader.
Order = np.ndarray | int
Batches = Generator[tuple[Array, Array]]  # inputs and targets, on the device


class Feed(Protocol):
    """Batches, epoch by epoch."""

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        ...

    def begin(self, rng: np.random.Generator) -> Order:
        """Draw the order of a new epoch."""
        ...

    def rest(self, order: Order, done: int) -> Batches:
        """The batches of an epoch after the first `done`."""
        ...


class ArrayFeed:
    """Arrays that lie on the device, in an order drawn for each epoch.

    Args:
        inputs: shape (N, ...), N >= 1.
        targets: N rows.
        batch_size: rows of a batch; the last may have fewer.
        device: where batches are wanted.
        dtype: of floating inputs.

    Raises:
        ShapeError: inputs and targets differ in their rows.
        DataError: there are no rows.
        DTypeError: floating inputs of another dtype.
    """

    def __init__(
        self, inputs: np.ndarray, targets: np.ndarray, batch_size: int, device: Device, dtype: np.dtype[np.generic]
    ) -> None:
        if len(inputs) != len(targets):
            raise ShapeError(f"expected as many targets as inputs, got {len(inputs)} inputs and {len(targets)} targets")
        if not len(inputs):
            raise DataError("there are no rows to train on")
        _check_dtype(inputs, dtype)
        self._rows = len(inputs)
        self._inputs = device.put(inputs)
        self._targets = device.put(targets)
        self._batch_size = batch_size
        self._device = device

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        return -(-self._rows // self._batch_size)

    def begin(self, rng: np.random.Generator) -> Order:
        """Shuffle the rows."""
        return rng.permutation(self._rows)

    def rest(self, order: Order, done: int) -> Batches:
        """The batches after the first `done`.

        Raises:
            DataError: the epoch was begun on a loader, or on other rows.
        """
        if not isinstance(order, np.ndarray):
            raise DataError("the epoch under way was begun on a loader", hint="go on with `fit_batches`")
        if len(order) != self._rows:
            raise DataError(f"the epoch under way is over {len(order)} rows, got {self._rows}")
        for start in range(done * self._batch_size, self._rows, self._batch_size):
            batch = self._device.put(order[start : start + self._batch_size])
            yield self._inputs[batch], self._targets[batch]


class LoaderFeed:
    """A loader, whose shuffling and augmentation get a new seed for each epoch.

    Args:
        loader: makes the batches.
        device: where they are wanted.
        dtype: of floating inputs.
    """

    def __init__(self, loader: Loader, device: Device, dtype: np.dtype[np.generic]) -> None:
        self._loader = loader
        self._device = device
        self._dtype = dtype

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        return len(self._loader)

    def begin(self, rng: np.random.Generator) -> Order:
        """Draw a seed."""
        return LoaderState.start(rng).seed

    def rest(self, order: Order, done: int) -> Batches:
        """The batches after the first `done`.

        Raises:
            DataError: the epoch was begun on arrays.
            DTypeError: floating inputs of another dtype than the parameters.
        """
        if isinstance(order, np.ndarray):
            raise DataError("the epoch under way was begun on arrays", hint="go on with `fit`")
        if done < len(self._loader):
            for batch in self._loader.batches(LoaderState(order, batch=done)):
                _check_dtype(batch.inputs, self._dtype)
                yield self._device.put(batch.inputs), self._device.put(batch.targets)


def _check_dtype(inputs: np.ndarray, wanted: np.dtype[np.generic]) -> None:
    if inputs.dtype.kind == "f" and inputs.dtype != wanted:
        raise DTypeError(
            f"expected inputs of the parameters' dtype {wanted}, got {inputs.dtype}",
            hint=f"use inputs.astype('{wanted}')",
        )
