"""Random numbers that are a function of a key: the same on the CPU and on every GPU, whatever was drawn before.

A key is 128 bits. It comes from the run's `numpy.random.Generator` (`key_from`), and is used once: `split` and
`fold_in` derive others. Each function takes a key and a shape and returns an array on the device that was asked for.
Integer and floating-point results agree between devices in every bit: see `philox.py` for how.

>>> import numpy as np
>>> key = key_from(np.random.default_rng(0))
>>> weights_key, dropout_key = key.split(2)
>>> normal(weights_key, (2, 3), std=0.1).shape
(2, 3)
>>> bernoulli(dropout_key.fold_in(7), 4, p=0.5).dtype  # for step 7
dtype('bool')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, overload

import numpy as np

from .device import Array, ArrayModule, Device, device_of
from .device import device as resolve
from .errors import ConfigError, DTypeError, ShapeError
from .philox import WORD, host_bits, host_normal, host_numbers, host_uniform, host_words, log_of, multiply_words
from .shapes import spec_of
from .state import current_stage

if TYPE_CHECKING:
    from .cuda import CudaKernel

Shape = int | Sequence[int]
Place = str | Device | None

# Words of the counter that keep derived keys apart from drawn numbers and from each other: counter bits 192 to 255.
SPLIT, FOLD = 1 << 192, 2 << 192
# Half precision: numbers are drawn as float32 and cut to the bits that the narrow type holds.
SIGNIFICAND_BITS = {"float16": 11, "bfloat16": 8}
REAL = ("float16", "bfloat16", "float32", "float64")
# See `part_of_batch`.
_PART: ContextVar[tuple[slice, int] | None] = ContextVar("nasturtium_part_of_batch", default=None)


@dataclass(frozen=True, slots=True)
class Key:
    """What random numbers are a function of: two 64-bit words.

    Raises:
        ConfigError: a word is not in [0, 2**64).
    """

    word0: int
    word1: int

    def __post_init__(self) -> None:
        if not (0 <= self.word0 < WORD and 0 <= self.word1 < WORD):
            raise ConfigError(f"expected two words in [0, 2**64), got {self.word0} and {self.word1}")

    @property
    def words(self) -> tuple[int, int]:
        """Both words."""
        return self.word0, self.word1

    def split(self, count: int = 2) -> tuple[Key, ...]:
        """New keys, independent of each other and of what this one draws; use this one no more.

        Raises:
            ConfigError: `count` is negative.
        """
        if count < 0:
            raise ConfigError(f"expected count >= 0, got {count}")
        words = host_words(self.words, 4 * count, counter=SPLIT).reshape(count, 4)
        return tuple(Key(int(word0), int(word1)) for word0, word1, _, _ in words)

    def fold_in(self, number: int) -> Key:
        """The key for one step, layer or worker: equal numbers give equal keys, others independent ones.

        Raises:
            ConfigError: `number` is not in [0, 2**64).
        """
        if not 0 <= number < WORD:
            raise ConfigError(f"expected 0 <= number < 2**64, got {number}")
        word0, word1 = host_words(self.words, 2, counter=FOLD + number)
        return Key(int(word0), int(word1))


class _Words(Sequence[int]):
    """The words that a key has in the run under way."""

    def __init__(self, now: Callable[[], tuple[int, int]]) -> None:
        self._now = now

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        return self._now()[index]

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return "(drawn)"


class RunKey(Key):
    """The key of a function that is being compiled: other words in each run.

    Args:
        now: gives the key of the run under way.
    """

    __slots__ = ("_now",)

    def __init__(self, now: Callable[[], Key]) -> None:
        super().__init__(0, 0)
        object.__setattr__(self, "_now", now)

    @property
    def now(self) -> Key:
        """The key of the run under way."""
        return object.__getattribute__(self, "_now")()

    @property
    def words(self) -> Any:
        """Both words, to be read in a run."""
        return _Words(lambda: self.now.words)

    def split(self, count: int = 2) -> tuple[Key, ...]:
        """As of any key."""
        return tuple(RunKey(lambda i=i: self.now.split(count)[i]) for i in range(count))

    def fold_in(self, number: int) -> Key:
        """As of any key."""
        return RunKey(lambda: self.now.fold_in(number))


def key_of(words: Sequence[int]) -> Key:
    """The key that gave these as its `words`; while a function is traced they may be known in a run only."""
    if isinstance(words, _Words) and current_stage() is not None:
        return RunKey(lambda: Key(words[0], words[1]))
    return Key(words[0], words[1])


P = ParamSpec("P")


def _in_each_run(draw: Callable[Concatenate[Key, P], Array]) -> Callable[Concatenate[Key, P], Array]:
    """A function that draws from a key; from a `RunKey` what it draws is a tensor, drawn anew in each run."""

    @wraps(draw)
    def call(key: Key, *args: P.args, **kwargs: P.kwargs) -> Array:
        stage = current_stage() if isinstance(key, RunKey) else None
        if stage is None or not isinstance(key, RunKey):
            return draw(key, *args, **kwargs)
        return stage.draw(lambda: draw(key.now, *args, **kwargs), spec_of(draw(Key(0, 0), *args, **kwargs)))

    return call


def key_from(rng: np.random.Generator) -> Key:
    """A key drawn from a generator, which moves on; in a function that is being compiled, in each run."""
    stage = current_stage()
    if stage is None:
        return _key_from(rng)
    run: list[Key] = []
    stage.each_run(lambda: run.__setitem__(slice(None), [_key_from(rng)]))
    return RunKey(lambda: run[0])


def _key_from(rng: np.random.Generator) -> Key:
    word0, word1 = rng.integers(0, WORD, size=2, dtype=np.uint64)
    return Key(int(word0), int(word1))


@_in_each_run
def bits(key: Key, shape: Shape, *, dtype: Any = "uint64", device: Place = None) -> Array:
    """Random bits, as unsigned integers.

    Args:
        key: what the result is a function of.
        shape: of the result.
        dtype: uint8, uint16, uint32 or uint64. A narrow type cuts the same words into lanes, lowest bits first.
        device: where to draw; `current_device()` by default.
    """
    extents, count = _extents(shape)
    kind = _dtype(dtype, ("uint8", "uint16", "uint32", "uint64"))
    place = resolve(device)
    if place.kind == "cpu":
        return host_bits(key.words, count, kind).reshape(extents)
    with place.active():
        words = _cuda_words(place.xp, key, -(-count * kind.itemsize // 8))
        return words.view(kind)[:count].reshape(extents)


@_in_each_run
def uniform(
    key: Key, shape: Shape, *, low: float = 0.0, high: float = 1.0, dtype: Any = "float32", device: Place = None
) -> Array:
    """Numbers spread evenly over [low, high).

    Args:
        key: what the result is a function of.
        shape: of the result.
        low: smallest number.
        high: above `low`. As everywhere, rounding may reach it where the range is small beside the numbers.
        dtype: float16, bfloat16, float32 or float64; there are 2^11, 2^8, 2^24 and 2^53 different numbers.
        device: where to draw; `current_device()` by default.

    Raises:
        ConfigError: the bounds are not finite, or in the wrong order.
        DTypeError: another dtype.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"uniform: expected finite low < high, got {low} and {high}")
    extents, count = _extents(shape)
    kind = _dtype(dtype, REAL)
    wide = _wide(kind)
    place = resolve(device)
    if place.kind == "cpu":
        numbers = host_uniform(key.words, count, wide)
    else:
        with place.active():
            numbers = _cuda_reals(place.xp, "uniform", key, count, wide)
    with place.active():
        if kind.name in SIGNIFICAND_BITS:
            numbers *= 2.0 ** SIGNIFICAND_BITS[kind.name]
            place.xp.floor(numbers, out=numbers)
            numbers *= 2.0 ** -SIGNIFICAND_BITS[kind.name]
        return _scaled(numbers, high - low, low).astype(kind, copy=False).reshape(extents)


@_in_each_run
def normal(
    key: Key, shape: Shape, *, mean: float = 0.0, std: float = 1.0, dtype: Any = "float32", device: Place = None
) -> Array:
    """Normally distributed numbers.

    Args:
        key: what the result is a function of.
        shape: of the result.
        mean: the mean, finite.
        std: the standard deviation, finite and >= 0.
        dtype: float16, bfloat16, float32 or float64.
        device: where to draw; `current_device()` by default.

    Raises:
        ConfigError: `mean` or `std` is out of range.
        DTypeError: another dtype.
    """
    if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
        raise ConfigError(f"normal: expected a finite mean and a finite std >= 0, got {mean} and {std}")
    extents, count = _extents(shape)
    kind = _dtype(dtype, REAL)
    wide = _wide(kind)
    place = resolve(device)
    if place.kind == "cpu":
        numbers = host_normal(key.words, count, wide)
    else:
        with place.active():
            numbers = _cuda_reals(place.xp, "normal", key, count, wide)
    with place.active():
        return _scaled(numbers, std, mean).astype(kind, copy=False).reshape(extents)


def bernoulli(key: Key, shape: Shape, *, p: float, device: Place = None) -> Array:
    """True with probability `p`, to the nearest multiple of 2^-32; dtype bool.

    Raises:
        ConfigError: `p` is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"bernoulli: expected 0 <= p <= 1, got {p}")
    return _below(key, shape, np.dtype(np.uint32), round(p * 2**32), device)


def dropout_mask(key: Key, shape: Shape, *, rate: float, device: Place = None) -> tuple[Array, float]:
    """What dropout keeps, and the factor that makes up for what it drops.

    16 bits decide over an element, a quarter of a word: the rate is rounded to a multiple of 2^-16, and the factor is
    one over the rounded share that is kept, so that the mean stays what it was.

    Args:
        key: what the result is a function of.
        shape: of the mask.
        rate: the share that is dropped, in [0, 1).
        device: where to draw; `current_device()` by default.

    Returns:
        The mask, bool, True where an element is kept; and the factor, at least 1.

    Raises:
        ConfigError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ConfigError(f"dropout: expected 0 <= rate < 1, got {rate}")
    kept = max(round((1 - rate) * 2**16), 1)
    extents, _ = _extents(shape)
    share, rows = _PART.get() or (slice(0, 0), 0)
    if rows and extents[:1] == (share.stop - share.start,):
        return _below(key, (rows, *extents[1:]), np.dtype(np.uint16), kept, device)[share], 2**16 / kept
    return _below(key, extents, np.dtype(np.uint16), kept, device), 2**16 / kept


@contextmanager
def part_of_batch(share: slice, rows: int) -> Generator[None]:
    """A block in which masks of dropout are for some rows of a batch, and are those rows of the whole batch's masks:
    what computes a batch in parts drops what would be dropped at once. Backward passes belong inside.

    Args:
        share: the rows, start <= stop; masks whose first axis is not of this length are left as they are.
        rows: of the whole batch.
    """
    token = _PART.set((share, rows))
    try:
        yield
    finally:
        _PART.reset(token)


@_in_each_run
def integers(key: Key, shape: Shape, low: int, high: int, *, dtype: Any = "int64", device: Place = None) -> Array:
    """Integers from `low` to `high - 1`.

    Each is the upper half of a 64-bit word times the size of the range: always one word, and the chance of a number
    differs from that of another by less than 2^-64. The bias is there, and no test could see it.

    Args:
        key: what the result is a function of.
        shape: of the result.
        low: smallest number.
        high: above `low`, by at most 2^63.
        dtype: an integer dtype that holds the range; int64 holds every range allowed.
        device: where to draw; `current_device()` by default.

    Raises:
        ConfigError: the range is empty, or does not fit the dtype.
        DTypeError: not an integer dtype.
    """
    kind = _dtype(dtype, ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"))
    limits = np.iinfo(kind)
    if not (limits.min <= low < high <= limits.max + 1 and high - low <= 2**63):
        raise ConfigError(f"integers: expected {limits.min} <= low < high <= {limits.max} + 1, got {low} and {high}")

    def convert(words: Array) -> Array:
        upper, _ = multiply_words(words, high - low)
        numbers = upper.view(np.int64)
        numbers += low
        return numbers.astype(kind, copy=False)

    return _numbers(key, shape, kind, convert, resolve(device))


@_in_each_run
def permutation(key: Key, count: int, *, device: Place = None) -> Array:
    """The numbers 0 to `count` - 1 in random order: int64, shape (count,).

    They are sorted by random words whose lowest bits are the number itself: sorting words is several times as fast as
    sorting indices, and has one result. One of a pair comes first with a chance of 1/2 to within `count` / 2^64.

    Raises:
        ShapeError: `count` is negative, or above 2^32.
    """
    if not 0 <= count <= 2**32:
        raise ShapeError(f"permutation: expected 0 <= count <= 2**32, got {count}")
    place = resolve(device)
    low_bits = np.uint64(2 ** (count - 1).bit_length() - 1 if count else 0)
    words = bits(key, (count,), device=place)
    with place.active():
        words &= ~low_bits
        words |= place.xp.arange(count, dtype=np.uint64)
        words.sort()
        words &= low_bits
        return words.view(np.int64)


@_in_each_run
def gumbel(key: Key, shape: Shape, *, dtype: Any = "float32", device: Place = None) -> Array:
    """Standard Gumbel numbers, -log(-log(u)): added to logits, their maximum is a draw from the softmax.

    Args:
        key: what the result is a function of.
        shape: of the result.
        dtype: float16, bfloat16, float32 or float64; computed in float64 with 52 random bits.
        device: where to draw; `current_device()` by default.

    Source: Gumbel 1954; Maddison, Tarlow, Minka: A* sampling (2014), https://arxiv.org/abs/1411.0030.
    """
    kind = _dtype(dtype, REAL)
    place = resolve(device)

    def convert(words: Array) -> Array:
        words >>= np.uint64(12)
        u = words.astype(np.float64)
        u += 0.5  # the midpoint of each cell: never 0 or 1
        u *= 2.0**-52
        return (-log_of(place.xp, -log_of(place.xp, u))).astype(kind, copy=False)

    return _numbers(key, shape, kind, convert, place)


def categorical(key: Key, logits: Array, *, axis: int = -1) -> Array:
    """Draw one index along an axis with the probabilities softmax(logits).

    Args:
        key: what the result is a function of.
        logits: floating, on any device; equal logits give equal draws on every device.
        axis: the axis of the categories, of length >= 1; it disappears.

    Returns:
        int64, on the device of `logits`.

    Raises:
        DTypeError: `logits` is not floating.
        ShapeError: there is no such axis, or it is empty.
    """
    _dtype(logits.dtype, REAL)
    if not -logits.ndim <= axis < logits.ndim or logits.shape[axis] == 0:
        raise ShapeError(f"categorical: expected categories along axis {axis}, got logits of shape {logits.shape}")
    place = device_of(logits)
    noise = gumbel(key, logits.shape, dtype="float64", device=place)
    with place.active():
        noise += logits
        return place.xp.argmax(noise, axis=axis)


def _extents(shape: Shape) -> tuple[tuple[int, ...], int]:
    extents = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(extent) for extent in shape)
    if any(extent < 0 for extent in extents):
        raise ShapeError(f"expected lengths >= 0, got shape {extents}")
    return extents, math.prod(extents)


def _dtype(dtype: Any, allowed: Sequence[str]) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind.name not in allowed:
        raise DTypeError(f"random: expected a dtype among {', '.join(allowed)}, got {kind.name}")
    return kind


def _wide(kind: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if kind == np.float64 else np.float32)


def _scaled(numbers: Array, factor: float, offset: float) -> Array:
    """In place, in two steps of one rounding each, as on every device."""
    if factor != 1:
        numbers *= factor
    if offset != 0:
        numbers += offset
    return numbers


@_in_each_run
def _below(key: Key, shape: Shape, lane: np.dtype[Any], threshold: int, device: Place) -> Array:
    extents, count = _extents(shape)
    place = resolve(device)
    if place.kind == "cpu":
        return (host_bits(key.words, count, lane) < threshold).reshape(extents)
    with place.active():
        out = place.xp.empty(count, dtype=np.bool_)
        _kernel(f"philox_below<{lane.name}>").over(-(-count * lane.itemsize // 32), *key.words, threshold, out, count)
        return out.reshape(extents)


def _numbers(key: Key, shape: Shape, kind: np.dtype[Any], convert: Callable[[Array], Array], place: Device) -> Array:
    """Numbers made of one word each by array operations, on any device."""
    extents, count = _extents(shape)
    if place.kind == "cpu":
        return host_numbers(key.words, count, kind, convert, per_word=1).reshape(extents)
    with place.active():
        return convert(_cuda_words(place.xp, key, count)).reshape(extents)


def _cuda_words(xp: ArrayModule, key: Key, count: int) -> Array:
    out = xp.empty(count, dtype=np.uint64)
    _kernel("philox_bits").over(-(-count // 4), *key.words, out, count)
    return out


def _cuda_reals(xp: ArrayModule, distribution: str, key: Key, count: int, dtype: np.dtype[Any]) -> Array:
    out = xp.empty(count, dtype=dtype)
    _kernel(f"philox_{distribution}<{dtype.name}>").over(-(-count * dtype.itemsize // 32), *key.words, out, count)
    return out


def _kernel(name: str) -> CudaKernel:
    # Imported here: without a GPU nobody needs the CUDA sources, and every start would pay for reading them.
    from .cuda import KERNELS

    return KERNELS[name]
