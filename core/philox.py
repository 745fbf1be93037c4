"""Philox4x64-10, a counter-based generator of random bits, and the floating-point numbers made of them.

The four 64-bit words of block i are a function of the key and of i alone: there is no state, any part can be drawn at
any time, in parallel, with the same result. Everything here uses integer arithmetic and the operations that IEEE 754
rounds exactly (+ - * / and the square root, each rounded by itself), so that NumPy, CuPy and the CUDA kernels of
`core/cuda/philox.cu` agree in every bit. The logarithm, sine and cosine of NumPy and CUDA do not: those of fdlibm
stand here instead, in float64, with errors below 1 ulp.

Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011); Box and Muller: A note on the
generation of random normal deviates (1958); Sun's fdlibm 5.3 (e_log.c, k_sin.c, k_cos.c).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .device import Array, ArrayModule

KeyWords = tuple[int, int]
PART = 32768  # numbers computed at once on the CPU: what lies between stays in the cache of a core

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # golden ratio, sqrt(3) - 1
WORD = 2**64
ROUNDS = 10

# Polynomials, highest power first.
LOG = (
    *(1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01),
    *(2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01),
)
SINE = (
    *(1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06),
    *(-1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01),
)
COSINE = (
    *(-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07),
    *(2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02),
)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
HALF_PI = 1.57079632679489655800
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(2) / 2 as a float64
ONE_BITS = 0x3FF0000000000000

# Making a generator costs 8 us, as much as 2000 words; one is kept for each thread and set anew for each use.
_SPARE = threading.local()


def host_words(key: KeyWords, count: int, *, counter: int = 0) -> np.ndarray:
    """Words by NumPy's own Philox, in C.

    Args:
        key: two words.
        count: how many words.
        counter: 256 bits: the block to begin with.

    Returns:
        uint64, shape (count,): block `counter`, then the next, four words each.
    """
    return _at(key, counter).random_raw(count)


def philox_words(xp: ArrayModule, key: KeyWords, count: int, *, counter: int = 0) -> Array:
    """The same words in array operations: what NumPy's C code and the CUDA kernel are compared with.

    Args:
        xp: where to compute.
        key: two words.
        count: how many words.
        counter: 256 bits: the block to begin with; its lowest 64 do not carry here.

    Returns:
        uint64, shape (count,).
    """
    blocks = -(-count // 4)
    first, c1, c2, c3 = (xp.full(blocks, (counter >> shift) % WORD, dtype=np.uint64) for shift in (0, 64, 128, 192))
    c0 = first + xp.arange(blocks, dtype=np.uint64)
    key0, key1 = key
    for _ in range(ROUNDS):
        high0, low0 = multiply_words(c0, MULTIPLIERS[0])
        high1, low1 = multiply_words(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(key0), low1, high0 ^ c3 ^ np.uint64(key1), low0
        key0, key1 = (key0 + WEYL[0]) % WORD, (key1 + WEYL[1]) % WORD
    return xp.stack((c0, c1, c2, c3), axis=1).reshape(-1)[:count]


def multiply_words(words: Array, factor: int) -> tuple[Array, Array]:
    """The upper and lower 64 bits of `words * factor`, by halves of 32 bits; both uint64, of the shape of `words`."""
    high, low = np.uint64(factor >> 32), np.uint64(factor % 2**32)
    words_high, words_low = words >> np.uint64(32), words & np.uint64(2**32 - 1)
    carry = (words_low * low >> np.uint64(32)) + words_high * low  # fits: (2^32 - 1) + (2^32 - 1)^2 < 2^64
    middle = (carry & np.uint64(2**32 - 1)) + words_low * high
    upper = words_high * high + (carry >> np.uint64(32)) + (middle >> np.uint64(32))
    return upper, words * np.uint64(factor)


def host_bits(key: KeyWords, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Words cut into lanes of an unsigned `dtype`, the lowest bits of a word first; shape (count,)."""
    return host_words(key, -(-count * dtype.itemsize // 8)).view(dtype)[:count]


def host_numbers(
    key: KeyWords, count: int, dtype: np.dtype[Any], convert: Callable[[np.ndarray], np.ndarray], *, per_word: int
) -> np.ndarray:
    """Numbers made of words on the CPU, part by part.

    Args:
        key: two words.
        count: how many numbers.
        dtype: of the numbers.
        convert: makes the numbers of some words, an even number of numbers; may overwrite the words.
        per_word: how many numbers it makes of a word.

    Returns:
        Shape (count,).
    """
    engine = _at(key, 0)
    numbers = np.empty(count + count % 2, dtype)
    for first in range(0, numbers.size, PART):
        part = numbers[first : first + PART]
        part[:] = convert(engine.random_raw(part.size // per_word))
    return numbers[:count]


def host_uniform(key: KeyWords, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """`uniform_from_words` on the CPU; shape (count,)."""
    return host_numbers(key, count, dtype, lambda words: uniform_from_words(words, dtype), per_word=8 // dtype.itemsize)


def host_normal(key: KeyWords, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """`normal_from_words` on the CPU; shape (count,)."""
    return host_numbers(
        key, count, dtype, lambda words: normal_from_words(np, words, dtype), per_word=8 // dtype.itemsize
    )


def uniform_from_words(words: Array, dtype: np.dtype[Any]) -> Array:
    """Multiples of 2^-24 (float32: two for each word, the lower half first) or 2^-53 (float64) in [0, 1).

    Overwrites `words`.
    """
    if dtype == np.float32:
        lanes = words.view(np.uint32)
        lanes >>= np.uint32(8)
        uniform = lanes.astype(np.float32)
        uniform *= np.float32(2.0**-24)
        return uniform
    words >>= np.uint64(11)
    uniform = words.astype(np.float64)
    uniform *= 2.0**-53
    return uniform


def normal_from_words(xp: ArrayModule, words: Array, dtype: np.dtype[Any]) -> Array:
    """Standard normal numbers, two for each word (float32) or one (float64; an even number of words).

    float32: the lower half of a word gives the radius, the upper one the angle; float64: a word each. The midpoint of
    each cell is taken, so the largest number is 6.8 (float32) or 8.6 (float64) standard deviations from zero.
    """
    if dtype == np.float32:
        low, high = words & np.uint64(2**32 - 1), words >> np.uint64(32)
        radius_bits, radius_scale = low, 2.0**-33
        quadrant, angle_bits, angle_scale = high >> np.uint64(30), high & np.uint64(2**30 - 1), 2.0**-31
    else:
        first, second = words[0::2], words[1::2]
        radius_bits, radius_scale = first >> np.uint64(12), 2.0**-53
        angle_bits, angle_scale = second >> np.uint64(10) & np.uint64(2**52 - 1), 2.0**-53
        quadrant = second >> np.uint64(62)
    radius = log_of(xp, _midpoint(radius_bits, radius_scale))
    radius *= -2.0
    xp.sqrt(radius, out=radius)
    x = _midpoint(angle_bits, angle_scale)
    x -= 0.5
    x *= HALF_PI
    z = x * x
    sine = _polynomial(SINE, z)
    sine *= z
    sine *= x
    sine += x
    sine *= radius
    cosine = _polynomial(COSINE, z)
    cosine *= z
    cosine *= z
    z *= 0.5
    cosine -= z
    cosine += 1.0
    cosine *= radius
    xp.negative(cosine, out=x)
    cosine = xp.where(quadrant >= np.uint64(2), x, cosine)
    swapped = (quadrant & np.uint64(1)) == np.uint64(1)
    normals = xp.empty((len(cosine), 2), dtype=dtype)
    normals[:, 0] = xp.where(swapped, sine, cosine)
    normals[:, 1] = xp.where(swapped, cosine, sine)
    return normals.reshape(-1)


def log_of(xp: ArrayModule, x: Array) -> Array:
    """Natural logarithm of positive normal float64 numbers, to 1 ulp and equal bits everywhere.

    x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); s = f / (2 + f) gives log(1 + f) = 2 artanh(s), whose series
    is short.
    """
    bits = x.view(np.uint64) + np.uint64(ONE_BITS - SQRT_HALF_BITS)
    k = (bits >> np.uint64(52)).astype(np.float64)
    k -= 1023.0
    bits &= np.uint64(2**52 - 1)
    bits += np.uint64(SQRT_HALF_BITS)
    f = bits.view(np.float64)
    f -= 1.0
    s = f + 2.0
    xp.divide(f, s, out=s)
    z = s * s
    r = _polynomial(LOG, z)
    r *= z
    half = xp.multiply(f, 0.5, out=z)
    half *= f
    r += half
    r *= s  # s (f^2 / 2 + R)
    low = xp.multiply(k, LN2_LOW, out=s)
    r += low
    half -= r
    half -= f
    k *= LN2_HIGH
    k -= half
    return k


def _at(key: KeyWords, counter: int) -> np.random.Philox:
    """The generator of this thread, set to begin with block `counter`; valid until the next call."""
    engine: np.random.Philox | None = getattr(_SPARE, "engine", None)
    if engine is None:
        engine = _SPARE.engine = np.random.Philox(0)
    before = (counter - 1) % 2**256  # NumPy counts up before it makes a block
    engine.state = {
        "bit_generator": "Philox",
        "state": {"counter": _little_endian(before, 4), "key": np.array(key, np.uint64)},
        "buffer": _little_endian(0, 4),
        "buffer_pos": 4,  # used up
        "has_uint32": 0,
        "uinteger": 0,
    }
    return engine


def _little_endian(number: int, words: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(8 * words, "little"), np.dtype("<u8")).astype(np.uint64)


def _midpoint(bits: Array, scale: float) -> Array:
    """(2 * bits + 1) * scale as a float64; exact for bits below 2^52 and a power of two."""
    middle = (bits + bits).astype(np.float64)
    middle += 1.0
    middle *= scale
    return middle


def _polynomial(coefficients: tuple[float, ...], z: Array) -> Array:
    result: Array = z * coefficients[0]
    for coefficient in coefficients[1:-1]:
        result += coefficient
        result *= z
    result += coefficients[-1]
    return result
