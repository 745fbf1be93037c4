"""`Communicator`: the collectives that the members of a group call together, and the checks that all back ends share.

A collective is called by every rank of the group, in the same order and with arrays of the same shape and dtype. The
sum of a reduction is taken in the order of the ranks by one rule, so every rank gets the same bits, and so does every
run.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

from ..device import Array
from ..errors import ConfigError, DTypeError, ShapeError

ReduceOp = Literal["sum", "mean", "max"]


class Communicator(Protocol):
    """One member of a group of `size` equal members; a context manager that closes it.

    Collectives take arrays of any shape and memory order, empty and 0-d ones included. Those that work in place also
    return their argument.

    Raises:
        ShapeError: the ranks do not call the same collective with the same shape and dtype.
        DTypeError: the dtype is not one the collective takes.
        PeerError: another rank died, failed, left, or did not arrive in time. The group is of no use afterwards.
    """

    @property
    def rank(self) -> int:
        """Which member this is, in [0, size)."""
        ...

    @property
    def size(self) -> int:
        """How many members there are, >= 1."""
        ...

    def all_reduce(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Replace `array` on every rank by the elementwise sum, mean or maximum over the ranks.

        Sums of float16 and bfloat16 are taken in float32 and rounded once. Integers wrap around, and have no mean;
        booleans have a maximum only, complex numbers none.
        """
        ...

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """Replace `array` on every rank by that of rank `root`."""
        ...

    def all_gather(self, array: Array) -> Array:
        """A new array of shape (size, *array.shape) with every rank's `array`, in the order of the ranks."""
        ...

    def reduce_scatter(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Reduce `array`, shape (size, ...), over the ranks; a new array with row `rank` of the result."""
        ...

    def barrier(self) -> None:
        """Wait until every rank is here."""
        ...

    def close(self) -> None:
        """Leave the group; a rank that still waits for this one gets a `PeerError`. May be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SingleCommunicator:
    """The group of one: nothing to wait for, every reduction is the array itself. Any device."""

    rank = 0
    size = 1

    def all_reduce(self, array: Array, op: ReduceOp = "sum") -> Array:
        """The array as it is."""
        check_reduction(array.dtype, op)
        return array

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """The array as it is."""
        check_root(root, self.size)
        check_dtype(array.dtype)
        return array

    def all_gather(self, array: Array) -> Array:
        """A copy with one more axis in front."""
        check_dtype(array.dtype)
        return array[None].copy()

    def reduce_scatter(self, array: Array, op: ReduceOp = "sum") -> Array:
        """A copy of the only row."""
        check_reduction(array.dtype, op)
        check_rows(array.shape, self.size)
        return array[0, ...].copy()

    def barrier(self) -> None:
        """Everyone is here."""

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# What each reduction takes, as NumPy's kinds.
_KINDS: dict[ReduceOp, str] = {"sum": "iufc", "mean": "fc", "max": "biuf"}


def check_dtype(dtype: Any) -> str:
    """NumPy's kind of a dtype that can travel, one of "biufc"; bfloat16 (kind "V" in ml_dtypes) is "f".

    Raises:
        DTypeError: not a number.
    """
    kind = "f" if dtype.name == "bfloat16" else dtype.kind
    if kind not in "biufc":
        raise DTypeError(f"arrays between ranks must hold numbers or booleans, got dtype {dtype}")
    return kind


def check_reduction(dtype: Any, op: ReduceOp) -> None:
    """Refuse reductions that are not defined.

    Raises:
        ConfigError: no such operation.
        DTypeError: the operation is not defined for the dtype.
    """
    if op not in _KINDS:
        raise ConfigError(f"expected a reduction of {', '.join(get_args(ReduceOp))}, got {op!r}")
    if check_dtype(dtype) not in _KINDS[op]:
        raise DTypeError(f"the {op} over ranks is not defined for dtype {dtype}", hint="convert the array first")


def check_root(root: int, size: int) -> None:
    """Refuse a root that is no rank.

    Raises:
        ConfigError: `root` is outside [0, size).
    """
    if not 0 <= root < size:
        raise ConfigError(f"expected a root rank in [0, {size}), got {root}")


def check_rows(shape: tuple[int, ...], size: int) -> None:
    """Refuse an array that has not one row for each rank.

    Raises:
        ShapeError: the first axis is not of length `size`.
    """
    if not shape or shape[0] != size:
        raise ShapeError(f"reduce_scatter: expected one row per rank, shape ({size}, ...), got {shape}")
