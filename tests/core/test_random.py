"""Random numbers: the bits are Philox's, the same on every device, and distributed as they say."""

from __future__ import annotations

import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DTypeError, ShapeError, device, random
from nasturtium.core.philox import (
    PART,
    host_normal,
    host_uniform,
    host_words,
    log_of,
    multiply_words,
    normal_from_words,
    philox_words,
    uniform_from_words,
)
from nasturtium.core.random import Key, key_from

stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed (extra: test)")

KEY = Key(0x0123456789ABCDEF, 2**64 - 3)
ONES = 2**64 - 1
WORD = st.integers(0, 2**64 - 1)
# Random123 1.14, tests/kat_vectors, philox4x64 with 10 rounds: counter, key, result.
KNOWN = {
    "zeros": ((0,) * 4, (0,) * 2, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
    "ones": ((ONES,) * 4, (ONES,) * 2, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
    "pi": (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
}
FLOATS = [np.dtype("float32"), np.dtype("float64")]
DRAWS = {
    "bits": lambda **at: random.bits(KEY, (3, 5), **at),
    "bits-uint8": lambda **at: random.bits(KEY, 11, dtype="uint8", **at),
    "uniform": lambda **at: random.uniform(KEY, (3, 7), low=-1, high=3, **at),
    "uniform-float64": lambda **at: random.uniform(KEY, 9, low=0.1, high=0.7, dtype="float64", **at),
    "uniform-float16": lambda **at: random.uniform(KEY, 999, dtype="float16", **at),
    "uniform-bfloat16": lambda **at: random.uniform(KEY, 999, dtype=ml_dtypes.bfloat16, **at),
    "normal": lambda **at: random.normal(KEY, (3, 7), mean=0.1, std=0.3, **at),
    "normal-float64": lambda **at: random.normal(KEY, 9, dtype="float64", **at),
    "normal-bfloat16": lambda **at: random.normal(KEY, 9, dtype=ml_dtypes.bfloat16, **at),
    "bernoulli": lambda **at: random.bernoulli(KEY, (4, 5), p=0.3, **at),
    "dropout-mask": lambda **at: random.dropout_mask(KEY, (4, 50), rate=0.1, **at)[0],
    "integers": lambda **at: random.integers(KEY, (4, 5), -(2**40), 2**41, **at),
    "permutation": lambda **at: random.permutation(KEY, 1000, **at),
    "gumbel": lambda **at: random.gumbel(KEY, 100, dtype="float64", **at),
    "scalar": lambda **at: random.uniform(KEY, (), **at),
    "empty": lambda **at: random.normal(KEY, (0, 3), **at),
}


# The bits.


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN.values(), ids=KNOWN)
def test_the_generator_passes_the_known_answer_test(counter, key, expected):
    start = sum(word << 64 * place for place, word in enumerate(counter))
    for words in (host_words(key, 4, counter=start), philox_words(np, key, 4, counter=start)):
        assert " ".join(f"{word:016x}" for word in words) == expected


@given(st.tuples(WORD, WORD), st.integers(0, 50), st.integers(0, 2**256 - 1))
def test_array_operations_give_the_bits_of_numpys_generator(key, count, counter):
    counter -= counter % 2**64  # the lowest word does not carry in array operations
    np.testing.assert_array_equal(
        host_words(key, count, counter=counter), philox_words(np, key, count, counter=counter)
    )


def test_the_stand_in_for_a_device_gives_the_same_words(strict_cupy):
    words = philox_words(strict_cupy, KEY.words, 103)
    np.testing.assert_array_equal(words.get(), host_words(KEY.words, 103))


@given(WORD, WORD)
def test_products_of_words_are_exact(word, factor):
    upper, lower = multiply_words(np.array([word], np.uint64), factor)
    assert int(upper[0]) << 64 | int(lower[0]) == word * factor


def test_drawing_does_not_disturb_other_generators():
    """The spare generator of a thread is set anew each time; NumPy's global one is not touched."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = random.bits(KEY, 5)
    random.normal(KEY, 3)
    np.testing.assert_array_equal(random.bits(KEY, 5), first)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# Floating-point numbers.


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9, PART - 1, PART, 2 * PART + 3])
def test_numbers_do_not_depend_on_the_parts_they_are_made_in(dtype, count):
    words = host_words(KEY.words, count + count % 2)
    uniform = uniform_from_words(words.copy(), dtype)[:count]
    np.testing.assert_array_equal(host_uniform(KEY.words, count, dtype), uniform)
    np.testing.assert_array_equal(host_normal(KEY.words, count, dtype), normal_from_words(np, words, dtype)[:count])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_stand_in_for_a_device_gives_the_same_numbers(strict_cupy, dtype):
    """Every operation in between is one that IEEE 754 rounds exactly."""
    words = host_words(KEY.words, 10_000)
    there = strict_cupy.asarray(words)
    np.testing.assert_array_equal(
        normal_from_words(strict_cupy, there, dtype).get(), normal_from_words(np, words, dtype)
    )
    np.testing.assert_array_equal(uniform_from_words(there, dtype).get(), uniform_from_words(words, dtype))


def test_the_logarithm_is_right_to_one_unit_in_the_last_place():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.random(50_000), 1 - 2.0 ** -rng.uniform(1, 53, 50_000), 2.0 ** -rng.uniform(0, 60, 50_000)])
    x = x[x > 0]
    exact = np.log(x.astype(np.longdouble))
    error = np.abs(log_of(np, x.copy()) - exact) / np.spacing(np.abs(exact.astype(np.float64)))
    assert error.max() < 1


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_extreme_words_give_finite_numbers_within_the_range(dtype):
    words = np.array([0, ONES, 1, ONES - 1, 2**32 - 1, 2**63, 2**63 - 1, ONES << 32 & ONES], np.uint64)
    uniform = uniform_from_words(words.copy(), dtype)
    assert ((uniform >= 0) & (uniform < 1)).all()
    assert uniform.min() == 0
    normal = normal_from_words(np, np.repeat(words, 2), dtype)
    assert np.isfinite(normal).all()
    assert np.abs(normal).max() < (6.8 if dtype == "float32" else 8.7)
    assert (random.gumbel(KEY, 1000) < 40).all()


@pytest.mark.parametrize("bits", [8, 11])
def test_a_narrow_uniform_never_reaches_its_upper_bound(bits):
    dtype = {8: ml_dtypes.bfloat16, 11: np.float16}[bits]
    numbers = random.uniform(KEY, 100_000, dtype=dtype).astype(np.float64)
    assert numbers.max() == 1 - 2.0**-bits
    assert len(np.unique(numbers)) == 2**bits
    assert abs(numbers.mean() - (0.5 - 2.0**-bits / 2)) < 0.005


# Distributions: a fixed key, and a limit that a right sampler would break once in 10^4 keys.


P_VALUE = 1e-4


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda n, dtype: random.uniform(KEY, n, dtype=dtype), stats.uniform()),
        (lambda n, dtype: random.uniform(KEY, n, low=-2, high=5, dtype=dtype), stats.uniform(-2, 7)),
        (lambda n, dtype: random.normal(KEY, n, dtype=dtype), stats.norm()),
        (lambda n, dtype: random.normal(KEY, n, mean=3, std=0.5, dtype=dtype), stats.norm(3, 0.5)),
        (lambda n, dtype: random.gumbel(KEY, n, dtype=dtype), stats.gumbel_r()),
    ],
    ids=["uniform", "uniform-range", "normal", "normal-scaled", "gumbel"],
)
def test_numbers_follow_their_distribution(draw, distribution, dtype):
    numbers = draw(200_000, dtype).astype(np.float64)
    assert stats.kstest(numbers, distribution.cdf).pvalue > P_VALUE
    # Both halves of a pair, and neighbours.
    assert stats.kstest(numbers[::2], distribution.cdf).pvalue > P_VALUE
    for lag in (1, 2, 4, 8):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 4 / np.sqrt(numbers.size)


def test_normal_tails_are_as_heavy_as_they_should_be():
    numbers = np.abs(random.normal(KEY, 4_000_000))
    for bound in (3, 4, 4.5):
        expected = numbers.size * 2 * stats.norm.sf(bound)
        assert abs((numbers > bound).sum() - expected) < 5 * np.sqrt(expected)


def test_the_two_of_a_pair_are_independent():
    """Also in their squares, where a wrong angle would show."""
    pairs = random.normal(KEY, (200_000, 2), dtype="float64")
    for power in (1, 2, 3):
        assert abs(np.corrcoef((pairs**power).T)[0, 1]) < 4 / np.sqrt(len(pairs))
    angles = np.arctan2(pairs[:, 1], pairs[:, 0])
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P_VALUE


@pytest.mark.parametrize("lane", ["uint8", "uint16", "uint32", "uint64"])
def test_each_bit_of_a_lane_is_a_fair_coin(lane):
    lanes = random.bits(KEY, 100_000, dtype=lane)
    ones = [int((lanes >> np.uint64(place) & np.uint64(1)).sum()) for place in range(lanes.itemsize * 8)]
    assert np.abs(np.array(ones) - 50_000).max() < 5 * np.sqrt(100_000) / 2


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-3, 7), (0, 1000), (-(2**62), 2**62)])
def test_integers_are_spread_evenly(low, high):
    numbers = random.integers(KEY, 200_000, low, high)
    assert low <= numbers.min()
    assert numbers.max() < high
    cells = min(high - low, 100)
    cell = (numbers.astype(np.float64) - low) * cells // (high - low)
    counts = np.bincount(cell.astype(np.int64), minlength=cells)
    assert stats.chisquare(counts).pvalue > P_VALUE


@pytest.mark.parametrize("p", [0, 1e-3, 0.25, 0.5, 0.9, 1])
def test_coins_fall_with_their_probability(p):
    coins = random.bernoulli(KEY, 400_000, p=p)
    assert coins.dtype == np.bool_
    assert abs(coins.sum() - p * coins.size) <= 4 * np.sqrt(p * (1 - p) * coins.size)


@pytest.mark.parametrize("rate", [0, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
def test_dropout_keeps_the_mean(rate):
    """The factor belongs to the share that is really kept, a multiple of 2^-16."""
    mask, factor = random.dropout_mask(KEY, 400_000, rate=rate)
    kept = 1 / factor
    assert kept * 2**16 == pytest.approx(round(kept * 2**16), rel=1e-12)
    assert abs(kept - (1 - rate)) <= 2**-16
    assert abs(mask.sum() - kept * mask.size) <= 4 * np.sqrt(kept * (1 - kept) * mask.size)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 64, 65, 1000])
def test_a_permutation_holds_every_number_once(count):
    order = random.permutation(KEY, count)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


def test_every_order_of_four_is_as_likely():
    orders = [tuple(random.permutation(key, 4)) for key in KEY.split(4800)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > P_VALUE


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_categories_are_drawn_by_their_softmax(axis):
    logits = np.log(np.array([1, 2, 3, 4], np.float32))
    shape = (4, 50_000) if axis == 0 else (50_000, 4)
    draws = random.categorical(KEY, np.broadcast_to(logits[:, None] if axis == 0 else logits, shape), axis=axis)
    assert draws.shape == (50_000,)
    assert draws.dtype == np.int64
    assert stats.chisquare(np.bincount(draws), 5000 * np.arange(1, 5)).pvalue > P_VALUE


def test_a_category_without_a_chance_is_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf])
    assert (random.categorical(KEY, np.broadcast_to(logits, (1000, 3))) == 1).all()


# Keys.


@given(WORD, WORD)
def test_keys_do_not_collide(word0, word1):
    """Those of a split, of folded numbers, and what the key draws itself."""
    key = Key(word0, word1)
    derived = [*key.split(4), *map(key.fold_in, (0, 1, 2, 2**64 - 1)), key, Key(*map(int, random.bits(key, 2)))]
    assert len(set(derived)) == len(derived)
    assert key.split(3) == key.split(5)[:3]


def test_derived_keys_draw_unrelated_numbers():
    keys = [*KEY.split(50), *(KEY.fold_in(step) for step in range(50))]
    numbers = np.array([random.normal(key, 2000, dtype="float64") for key in keys])
    off_diagonal = np.corrcoef(numbers)[~np.eye(100, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5.5 / np.sqrt(2000)


def test_keys_are_stable_across_versions():
    """Stored runs are repeated from their keys."""
    assert KEY.fold_in(7) == Key(*map(int, philox_words(np, KEY.words, 2, counter=(2 << 192) + 7)))
    assert KEY.split(3)[2] == Key(*map(int, philox_words(np, KEY.words, 2, counter=(1 << 192) + 2)))
    # The first word of the known-answer test, its lower half first.
    assert random.uniform(Key(0, 0), 2).tolist() == [(0xCA36314C >> 8) / 2**24, (0x16554D9E >> 8) / 2**24]


def test_a_key_from_a_generator_moves_it_on():
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    first, second = key_from(rng), key_from(rng)
    assert first != second
    assert key_from(same) == first


# Devices.


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_device_draws_the_same(strict_cupy, draw):
    here, there = draw(), draw(device="cuda:1")
    assert there.device.id == 1
    assert (there.dtype, there.shape) == (here.dtype, here.shape)
    np.testing.assert_array_equal(there.get(), here)


def test_categories_are_the_same_on_every_device(strict_cupy):
    logits = random.normal(KEY, (100, 7))
    there = device("cuda:1").put(logits)
    assert random.categorical(KEY, there).device.id == 1
    np.testing.assert_array_equal(random.categorical(KEY, there).get(), random.categorical(KEY, logits))


def test_the_default_device_is_that_of_the_block(strict_cupy):
    with device("cuda:1"):
        assert random.uniform(KEY, 2).device.id == 1
        assert isinstance(random.uniform(KEY, 2, device="cpu"), np.ndarray)
    assert isinstance(random.uniform(KEY, 2), np.ndarray)


@pytest.mark.gpu
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_gpu_draws_the_same(gpu, draw):
    np.testing.assert_array_equal(draw(device=gpu).get(), draw())


@pytest.mark.gpu
def test_array_operations_on_a_gpu_give_the_same_bits(gpu):
    with gpu.active():
        words = philox_words(gpu.xp, KEY.words, 100_000)
        np.testing.assert_array_equal(words.get(), host_words(KEY.words, 100_000))
        for dtype in FLOATS:
            np.testing.assert_array_equal(
                normal_from_words(gpu.xp, words, dtype).get(), normal_from_words(np, words.get(), dtype)
            )


# Bad input.


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Key(-1, 0), ConfigError, "two words in [0, 2**64), got -1 and 0"),
        (lambda: Key(0, 2**64), ConfigError, "two words in [0, 2**64)"),
        (lambda: KEY.split(-1), ConfigError, "count >= 0, got -1"),
        (lambda: KEY.fold_in(-1), ConfigError, "0 <= number < 2**64, got -1"),
        (lambda: KEY.fold_in(2**64), ConfigError, "0 <= number < 2**64"),
        (lambda: random.bits(KEY, (2, -1)), ShapeError, "lengths >= 0, got shape (2, -1)"),
        (lambda: random.bits(KEY, 2, dtype="int64"), DTypeError, "uint8, uint16, uint32, uint64, got int64"),
        (
            lambda: random.uniform(KEY, 2, low=1, high=1),
            ConfigError,
            "uniform: expected finite low < high, got 1 and 1",
        ),
        (lambda: random.uniform(KEY, 2, high=np.inf), ConfigError, "got 0.0 and inf"),
        (lambda: random.uniform(KEY, 2, dtype="int32"), DTypeError, "float64, got int32"),
        (lambda: random.normal(KEY, 2, std=-1), ConfigError, "std >= 0, got 0.0 and -1"),
        (lambda: random.normal(KEY, 2, mean=np.nan), ConfigError, "finite mean"),
        (lambda: random.bernoulli(KEY, 2, p=1.1), ConfigError, "0 <= p <= 1, got 1.1"),
        (lambda: random.bernoulli(KEY, 2, p=np.nan), ConfigError, "0 <= p <= 1, got nan"),
        (lambda: random.dropout_mask(KEY, 2, rate=1.0), ConfigError, "0 <= rate < 1, got 1.0"),
        (lambda: random.integers(KEY, 2, 3, 3), ConfigError, "low < high <= 9223372036854775807 + 1, got 3 and 3"),
        (lambda: random.integers(KEY, 2, 0, 257, dtype="uint8"), ConfigError, "0 <= low < high <= 255 + 1"),
        (lambda: random.integers(KEY, 2, -(2**63), 2**63), ConfigError, "got -9223372036854775808"),
        (lambda: random.permutation(KEY, -1), ShapeError, "0 <= count <= 2**32, got -1"),
        (lambda: random.categorical(KEY, np.ones(3), axis=1), ShapeError, "along axis 1, got logits of shape (3,)"),
        (lambda: random.categorical(KEY, np.ones((3, 0))), ShapeError, "along axis -1, got logits of shape (3, 0)"),
        (lambda: random.categorical(KEY, np.ones(3, int)), DTypeError, "got int64"),
        (lambda: random.uniform(KEY, 2, device="cuda:x"), ConfigError, "unknown device"),
    ],
)
def test_bad_input_is_shown_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_equal_keys_give_equal_bits_in_another_process():
    code = "from nasturtium.core import random; print(random.normal(random.Key(5, 7), 3, dtype='float64').tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(random.normal(Key(5, 7), 3, dtype="float64").tolist())
