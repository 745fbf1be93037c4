"""`Loader`: shuffled, augmented batches, made ahead of time in a thread, that can go on after any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from ..errors import ConfigError, FormatError, ShapeError
from ..seeding import derive_rng
from .augment import Augmentation
from .prefetch import prefetch


@dataclass(frozen=True, slots=True)
class LoaderState:
    """A place in an endless sequence of epochs: all that a checkpoint has to keep of the data.

    Attributes:
        seed: decides the order of the rows and the augmentation, in [0, 2**63).
        epoch: counted from 0.
        batch: how many batches of it are done.
    """

    seed: int
    epoch: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63 or self.epoch < 0 or self.batch < 0:
            raise ConfigError(f"expected a seed in [0, 2**63), epoch and batch >= 0, got {self}")

    @classmethod
    def start(cls, rng: np.random.Generator) -> LoaderState:
        """The beginning of a sequence that `rng` decides."""
        return cls(int(rng.integers(2**63)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: object) -> LoaderState:
        """Parse and check.

        Raises:
            FormatError: not a state.
        """
        fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
        numbers = [fields.get(name) for name in ("seed", "epoch", "batch")]
        if not all(type(number) is int for number in numbers):
            raise FormatError(f"expected the integers seed, epoch and batch of a loader, got {value!r}")
        try:
            return cls(*cast(list[int], numbers))
        except ConfigError as exc:
            raise FormatError(f"damaged state of a loader: {exc.message}") from exc


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows on their way to a network.

    Attributes:
        inputs: shape (n, ...).
        targets: shape (n, ...).
        rows: which rows of the loader's arrays they are, shape (n,), int64.
        state: where to go on after this batch.
    """

    inputs: np.ndarray
    targets: np.ndarray
    rows: np.ndarray
    state: LoaderState


class Loader:
    """Batches of a pair of arrays.

    It holds no place of its own: `batches(state)` gives what is left of the state's epoch, and each batch carries the
    state after it. What a batch holds is decided by the seed, the epoch and its number alone, so the sequence is the
    same with and without prefetching, and when it is taken up in the middle.

    Args:
        inputs: shape (N, ...), N >= 1; not modified.
        targets: shape (N, ...).
        batch_size: rows of a batch, >= 1.
        shuffle: draw a new order of the rows every epoch; otherwise they come as they are.
        drop_last: leave out a last batch that is smaller than the others.
        prepare: what is done to the inputs of each batch first, such as `Preprocessing.apply`.
        augment: a random change of each batch after that, such as `Compose(FlipHorizontal(), RandomCrop())`.
        prefetch: batches made ahead in a thread; 0 makes each when it is asked for.

    Raises:
        ConfigError: an argument is out of range, or no batch is left to give.
        ShapeError: inputs and targets differ in length.

    >>> loader = Loader(np.arange(5.0)[:, None], np.arange(5), batch_size=2, shuffle=False)
    >>> [batch.rows.tolist() for batch in loader.batches(LoaderState(seed=0))]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
        augment: Augmentation | None = None,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1 or prefetch < 0:
            raise ConfigError(f"expected batch_size >= 1 and prefetch >= 0, got {batch_size} and {prefetch}")
        if len(inputs) != len(targets):
            raise ShapeError(f"expected as many targets as inputs, got {len(targets)} and {len(inputs)}")
        self._inputs = inputs
        self._targets = targets
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._prepare = prepare
        self._augment = augment
        self._prefetch = prefetch
        whole, rest = divmod(len(inputs), batch_size)
        self._count = whole if drop_last or not rest else whole + 1
        if not self._count:
            raise ConfigError(
                f"{len(inputs)} rows give no batch of {batch_size}", hint="use smaller batches, or keep the last one"
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._count

    def batches(self, state: LoaderState) -> Iterator[Batch]:
        """What is left of the epoch of `state`; its last batch carries the beginning of the next one.

        An error while a batch is made is raised where that batch would have come. Where a loop ends early, the thread
        ends with the iterator: when it is closed, or no longer referred to.

        Raises:
            ConfigError: the epoch has fewer batches: the state is of other data or another batch size.
        """
        if state.batch >= self._count:
            raise ConfigError(
                f"expected a state within an epoch of {self._count} batches, got batch {state.batch}",
                hint="go on with the data and the batch size that the state was made with",
            )
        made = self._make(state)
        return prefetch(made, self._prefetch) if self._prefetch else made

    def _make(self, state: LoaderState) -> Iterator[Batch]:
        seed, epoch = state.seed, state.epoch
        order = np.arange(len(self._inputs))
        if self._shuffle:
            order = derive_rng(seed, "order", epoch).permutation(len(order))
        for number in range(state.batch, self._count):
            rows = order[number * self._batch_size : (number + 1) * self._batch_size]
            inputs, targets = self._inputs[rows], self._targets[rows]
            if self._prepare is not None:
                inputs = self._prepare(inputs)
            if self._augment is not None:
                inputs, targets = self._augment(inputs, targets, derive_rng(seed, "augment", epoch, number))
            last = number + 1 == self._count
            after = LoaderState(seed, epoch + 1) if last else LoaderState(seed, epoch, number + 1)
            yield Batch(inputs, targets, rows, after)
