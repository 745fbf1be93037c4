"""The packed scheme: sums are exact up to the worst error, wrong beyond it, and what is sent looks like chance."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nasturtium.core import ConfigError
from nasturtium.privacy import rlwe
from nasturtium.privacy.errors import MalformedUpdateError, PrivacyError
from nasturtium.privacy.packed import PackedAdder, PackedSum, scale
from nasturtium.privacy.packed_secret import PackedCipher, _drop
from nasturtium.privacy.packing import pack_digits, pack_words, unpack_words
from nasturtium.privacy.presets import DEGREE, MODULUS, MODULUS_BITS, SEED_BYTES, Preset, smallest_preset
from nasturtium.privacy.rlwe_secret import SecretKey

FALSE_ALARM = 1e-9  # how likely a statistical test fails for nothing
RAW = MODULUS - 1  # with this t, decryption gives c0 + c1 s itself
KNOWN: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/packed.json").read_text())
SEEDS = st.integers(0, 2**32 - 1)
PRESETS = [
    smallest_preset(2, 1),
    smallest_preset(2, 8),
    smallest_preset(3, 16),
    smallest_preset(10, 4),
    smallest_preset(10, 8),
    smallest_preset(10, 8, minimise="upload"),
    smallest_preset(30, 8, noise_bound=500),
    smallest_preset(64, 2),
    Preset(clients=3, levels=2, packing=20),  # t is a power of two
    Preset(clients=2, levels=3, packing=1, dropped_bits=40),
]
EVERY_PRESET = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


@cache
def the_key() -> SecretKey:
    return SecretKey.generate()


class UniformMask:
    """Numbers below t from a seed."""

    def __init__(self, preset: Preset, seed: int) -> None:
        self.modulus = preset.plain_modulus
        self.rng = np.random.default_rng(seed)

    def take(self, count: int) -> np.ndarray:
        return self.rng.integers(0, self.modulus, count, np.uint64)


class TotalMask:
    """What masks add up to."""

    def __init__(self, masks: list[UniformMask]) -> None:
        self.masks = masks

    def take(self, count: int) -> np.ndarray:
        total = np.zeros(count, np.uint64)
        for mask in self.masks:
            total = (total + mask.take(count)) % np.uint64(mask.modulus)
        return total


def draw_symbols(preset: Preset, rng: np.random.Generator, count: int, fill: str) -> np.ndarray:
    dtype = np.min_scalar_type(preset.symbols - 1)
    if fill == "mixed":
        return rng.integers(0, preset.symbols, count).astype(dtype)
    if fill == "ends":
        return rng.choice(np.array([0, preset.symbols - 1], dtype), count)
    return np.full(count, preset.symbols - 1 if fill == "largest" else 0, dtype)


def add_all(preset: Preset, count: int, bodies: list[bytes]) -> PackedSum:
    total = PackedAdder(preset, the_key().key_id).start(count)
    for body in bodies:
        total.add(memoryview(body))
    return total


def to_polynomials(body: bytes | memoryview) -> np.ndarray:
    """c0 and c1 of a sum's ciphertexts: shape (n, 2, 2048) uint64."""
    rows = np.frombuffer(body, np.uint8).reshape(-1, DEGREE * MODULUS_BITS // 8)
    return unpack_words(rows, DEGREE, MODULUS_BITS).reshape(-1, 2, DEGREE)


def from_polynomials(polynomials: np.ndarray) -> bytes:
    return pack_words(polynomials.reshape(-1, DEGREE), MODULUS_BITS).tobytes()


def without_key(polynomials: np.ndarray) -> np.ndarray:
    """c0 + c1 s modulo q, in Python's integers: shape (n, 2048)."""
    residues = the_key().decrypt(polynomials[:, 0].copy(), polynomials[:, 1].copy(), RAW).astype(object)
    return np.where(residues > MODULUS // 2, residues + 1, residues)  # x - 1 where x stands for x - q


def with_worst_error(body: bytes | memoryview, sums: np.ndarray, preset: Preset, twice_error: int) -> bytes:
    """A sum whose every coefficient is as far from q m / t as an integer can be within `twice_error` / 2.

    Args:
        body: of a sum that decrypts to `sums`; its own errors are undone.
        sums: the digits, shape (n * block,).
        preset: of the sum.
        twice_error: positive for errors upwards.
    """
    t = preset.plain_modulus
    digits = sums.astype(object).reshape(-1, preset.packing, DEGREE)
    messages = sum(digits[:, place] * preset.base**place for place in range(preset.packing))
    assert isinstance(messages, np.ndarray)
    target = (2 * MODULUS * messages + twice_error * t) // (2 * t)
    if twice_error < 0:
        target = -((-2 * MODULUS * messages - twice_error * t) // (2 * t))
    polynomials = to_polynomials(body)
    moved = (polynomials[:, 0].astype(object) + target - without_key(polynomials)) % MODULUS
    polynomials[:, 0] = moved.astype(np.uint64)
    return from_polynomials(polynomials)


# Sums


@settings(max_examples=40, deadline=None)
@given(
    preset=st.sampled_from(PRESETS),
    fill=st.sampled_from(["largest", "zero", "ends", "mixed"]),
    seed=SEEDS,
    data=st.data(),
)
def test_a_sum_of_any_number_of_updates_is_exact(preset, fill, seed, data):
    summands = data.draw(st.integers(1, preset.clients) | st.just(preset.clients))
    count = data.draw(st.sampled_from([1, DEGREE - 1, preset.block, preset.block + 1]))
    masked = data.draw(st.booleans())
    rng = np.random.default_rng(seed)
    cipher = PackedCipher(the_key(), preset)
    updates = [draw_symbols(preset, rng, count, fill) for _ in range(summands)]
    masks = [UniformMask(preset, seed + number) if masked else None for number in range(summands)]
    bodies = [cipher.encrypt(update, mask) for update, mask in zip(updates, masks, strict=True)]
    total = add_all(preset, count, bodies)
    if masked:
        total.remove(TotalMask([UniformMask(preset, seed + number) for number in range(summands)]))
    assert {len(body) for body in bodies} == {preset.update_bytes(count)}
    assert len(total.body()) == preset.sum_bytes(count)
    opened = cipher.decrypt(total.body(), count)
    assert (opened.shape, opened.dtype) == ((count,), np.uint32)
    np.testing.assert_array_equal(opened, np.sum(updates, axis=0, dtype=np.int64))


def test_a_thousand_updates_with_nothing_but_largest_symbols_are_summed_exactly():
    preset = smallest_preset(1000, 4)
    cipher = PackedCipher(the_key(), preset)
    symbols = draw_symbols(preset, np.random.default_rng(0), 5, "largest")
    total = PackedAdder(preset, the_key().key_id).start(5)
    for _ in range(1000):
        total.add(memoryview(cipher.encrypt(symbols)))
    np.testing.assert_array_equal(cipher.decrypt(total.body(), 5), [1000 * (preset.symbols - 1)] * 5)


@EVERY_PRESET
@pytest.mark.parametrize("sign", [1, -1], ids=["up", "down"])
def test_a_sum_is_exact_with_the_worst_error_and_wrong_beyond_the_bound(preset, sign):
    """21 and a rounded message for each update, what dropping adds, and a removed mask; then q / 2t."""
    count = preset.block
    rng = np.random.default_rng(1)
    cipher = PackedCipher(the_key(), preset)
    updates = [draw_symbols(preset, rng, count, "ends") for _ in range(preset.clients)]
    body = add_all(preset, count, [cipher.encrypt(update) for update in updates]).body()
    sums = np.sum(updates, axis=0, dtype=np.int64)
    dropped = 2**preset.dropped_bits if preset.dropped_bits else 0
    worst = preset.clients * (2 * 21 + 1 + dropped) + 1

    def opened(twice_error: int) -> np.ndarray:
        return cipher.decrypt(with_worst_error(body, sums, preset, sign * twice_error), count)

    np.testing.assert_array_equal(opened(worst), sums)
    limit = MODULUS // preset.plain_modulus
    assert worst <= limit
    np.testing.assert_array_equal(opened(limit), sums)
    wrong = opened(limit + 3)  # the next integer of some, one further of others
    assert (wrong.reshape(preset.packing, DEGREE) != sums.reshape(preset.packing, DEGREE)).any(axis=0).all()


@EVERY_PRESET
def test_no_sum_has_a_larger_error_than_the_bound_says(preset):
    """Measured through the key: of updates with the errors they have, one by one and with the mask removed."""
    summands = min(preset.clients, 5)
    cipher = PackedCipher(the_key(), preset)
    symbols = np.zeros(preset.block, np.uint32)
    bodies = [cipher.encrypt(symbols, UniformMask(preset, number)) for number in range(summands)]
    total = add_all(preset, preset.block, bodies)
    total.remove(TotalMask([UniformMask(preset, number) for number in range(summands)]))
    raw = without_key(to_polynomials(total.body()))
    errors = np.where(raw > MODULUS // 2, raw - MODULUS, raw)
    dropped = 2**preset.dropped_bits if preset.dropped_bits else 0
    assert 2 * max(abs(error) for error in errors.flat) <= summands * (2 * 21 + 1 + dropped) + 1
    if dropped:  # and the bound is not loose: the bits that are dropped do count
        assert max(abs(error) for error in errors.flat) > dropped / 4


@EVERY_PRESET
def test_dropping_bits_moves_c0_by_at_most_half_of_what_they_hold(preset):
    """Modulo q, and so also where rounding up leads past q, or past 2^54."""
    step = 2**preset.dropped_bits
    rng = np.random.default_rng(2)
    places = np.concatenate([rng.integers(0, MODULUS // step, 500) * step, [0, MODULUS // step * step]])
    around = [-step // 2 - 1, -step // 2, -1, 0, 1, step // 2 - 1, step // 2, step // 2 + 1]
    sent = np.concatenate([np.arange(4), MODULUS - 1 - np.arange(4), *(places + offset for offset in around)])
    sent = sent[(sent >= 0) & (sent < MODULUS)].astype(np.uint64)
    words = _drop(sent, preset)
    assert (words < 2**preset.word_bits).all()
    received = words.astype(object) * step
    moved = (received - sent.astype(object) + MODULUS // 2) % MODULUS - MODULUS // 2
    assert max(abs(int(move)) for move in moved) == step // 2


@EVERY_PRESET
def test_scaling_is_exact(preset):
    """The nearest integer to q m / t: twice as near as the next one, in Python's integers."""
    t = preset.plain_modulus
    rng = np.random.default_rng(3)
    messages = rng.integers(0, t, 20_000, np.uint64)
    messages[:6] = 0, 1, t - 1, t // 2, (t + 1) // 2, max(t - 2, 0)
    scaled = scale(messages, preset)
    assert scaled.dtype == np.uint64
    assert (scaled <= MODULUS).all()
    distances = scaled.astype(object) * t - messages.astype(object) * MODULUS
    assert max(abs(2 * distance) for distance in distances) <= t


@settings(max_examples=200, deadline=None)
@given(data=st.data(), preset=st.sampled_from(PRESETS))
def test_scaling_is_exact_where_the_quotient_is_nearly_a_half(data, preset):
    """There a guess in floating point is off: m = (j t + t / 2) / q modulo t, as near as there is one."""
    t = preset.plain_modulus
    offset = data.draw(st.integers(-3, 3))
    message = (t // 2 + offset) * pow(MODULUS, -1, t) % t
    scaled = int(scale(np.array([message], np.uint64), preset)[0])
    assert abs(2 * (scaled * t - message * MODULUS)) <= t


def test_words_of_all_ones_of_a_thousand_updates_do_not_overflow():
    """No honest site sends them; they are above q."""
    preset = Preset(clients=1000, levels=15, packing=1)
    ones = bytes(SEED_BYTES) + b"\xff" * (preset.update_bytes(1) - SEED_BYTES)
    total = add_all(preset, 1, [ones] * 1000)
    total.remove(UniformMask(preset, 0))
    c0, c1 = to_polynomials(total.body())[0]
    removed = scale(preset.plain_modulus - UniformMask(preset, 0).take(DEGREE), preset)
    assert c0.tolist() == [(1000 * (2**54 - 1) + int(mask)) % MODULUS for mask in removed]
    assert c1.tolist() == [1000 * int(number) % MODULUS for number in rlwe.expand_seeds(bytes(64))[0]]


def test_a_vector_of_several_blocks_is_summed_like_one_of_few():
    preset = Preset(clients=2, levels=255, packing=1)
    count = 33 * DEGREE + 1
    rng = np.random.default_rng(4)
    cipher = PackedCipher(the_key(), preset)
    updates = [draw_symbols(preset, rng, count, "mixed") for _ in range(2)]
    bodies = [cipher.encrypt(update, UniformMask(preset, n)) for n, update in enumerate(updates)]
    total = add_all(preset, count, bodies)
    total.remove(TotalMask([UniformMask(preset, number) for number in range(2)]))
    np.testing.assert_array_equal(cipher.decrypt(total.body(), count), np.sum(updates, axis=0, dtype=np.int64))


def test_worker_processes_give_exact_sums():
    preset = Preset(clients=2, levels=255, packing=1)
    count = 35 * DEGREE
    cipher, adder = PackedCipher(the_key(), preset, workers=2), PackedAdder(preset, the_key().key_id, workers=2)
    try:
        symbols = draw_symbols(preset, np.random.default_rng(5), count, "ends")
        total = adder.start(count)
        total.add(memoryview(cipher.encrypt(symbols)))
        total.add(memoryview(PackedCipher(the_key(), preset).encrypt(symbols)))
        np.testing.assert_array_equal(cipher.decrypt(total.body(), count), 2 * symbols.astype(np.int64))
    finally:
        cipher.close()
        adder.close()


# SEAL itself, and known answers


@EVERY_PRESET
def test_our_way_to_encrypt_decrypts_to_the_same_as_seals(preset):
    """And adds up with it: SEAL scales the message as we do."""
    t = preset.plain_modulus
    symbols = draw_symbols(preset, np.random.default_rng(6), preset.block, "mixed")
    coefficients = pack_digits(symbols, preset)
    encryptor = rlwe.seal.Encryptor(rlwe.make_context(t), the_key().as_seal(t))
    with rlwe.Scratch() as scratch:
        layout = rlwe.PLAINTEXT.pack(bytes(32), DEGREE, 1.0) + rlwe.array_bytes(coefficients[0])
        plaintext = scratch.load(rlwe.seal.Plaintext(), layout, plain_modulus=t)
        written = scratch.dump(encryptor.encrypt_symmetric(plaintext))
    theirs = rlwe.read_polynomials(written, 1)
    c1 = rlwe.expand_seeds(written[-SEED_BYTES:])
    np.testing.assert_array_equal(the_key().decrypt(theirs, c1, t), coefficients)
    errors = without_key(np.stack([theirs, c1], 1)) - scale(coefficients, preset).astype(object)
    assert max(abs((error + 50) % MODULUS - 50) for error in errors.flat) <= 21 + (t % 2 == 0)
    cipher = PackedCipher(the_key(), preset)
    ours = to_polynomials(add_all(preset, preset.block, [cipher.encrypt(symbols)]).body())
    np.testing.assert_array_equal(cipher.decrypt(from_polynomials(ours), preset.block), symbols)
    both = (ours + np.stack([theirs, c1], 1)) % np.uint64(MODULUS)
    np.testing.assert_array_equal(cipher.decrypt(from_polynomials(both), preset.block), 2 * symbols.astype(np.int64))


def known_key() -> SecretKey:
    numbers = hashlib.shake_256(KNOWN["key"]["shake_256"].encode()).digest(8 * DEGREE)
    return SecretKey(np.frombuffer(numbers, "<u8") >> np.uint64(11))


def test_the_known_key_and_seed_are_what_they_were():
    assert known_key().key_id == KNOWN["key"]["key_id"]
    expanded = rlwe.expand_seeds(hashlib.sha512(KNOWN["seed"]["sha_512"].encode()).digest())
    assert expanded[0, :4].tolist() == KNOWN["seed"]["first"]
    assert hashlib.sha256(expanded.astype("<u8").tobytes()).hexdigest() == KNOWN["seed"]["sha256"]


@pytest.mark.parametrize("known", KNOWN["sums"], ids=lambda known: known["preset"])
def test_known_sums_open_to_what_the_definition_says(known):
    preset = Preset.named(known["preset"])
    body = hashlib.shake_256(known["shake_256"].encode()).digest(preset.sum_bytes(known["values"]))
    opened = PackedCipher(known_key(), preset).decrypt(memoryview(body), known["values"])
    assert opened[:8].tolist() == known["first"]
    assert hashlib.sha256(opened.astype("<u4").tobytes()).hexdigest() == known["sha256"]


def test_known_updates_add_up_to_the_known_sum():
    known = KNOWN["updates"]
    preset, count = Preset.named(known["preset"]), len(known["sum"])
    bodies = [base64.b64decode(text) for text in known["bodies_base64"]]
    cipher = PackedCipher(known_key(), preset)
    for body, symbols in zip(bodies, known["symbols"], strict=True):
        assert cipher.decrypt(add_all(preset, count, [body]).body(), count).tolist() == symbols
    total = add_all(preset, count, bodies).body()
    assert hashlib.sha256(total).hexdigest() == known["sum_sha256"]
    assert cipher.decrypt(total, count).tolist() == known["sum"]


# What is seen without the key


def p_value(words: np.ndarray, below: int) -> float:
    """Of the hypothesis that words are uniform below a number, from their first and last eight bits."""
    first = words.reshape(-1).astype(object) * 256 // below
    last = words.reshape(-1) & np.uint64(255)
    counts = [np.bincount(bins.astype(np.int64), minlength=256) for bins in (first, last)]
    return min(chisquare(count).pvalue for count in counts)


def words_of(body: bytes, preset: Preset, count: int) -> np.ndarray:
    ciphertexts = preset.ciphertexts(count)
    rows = np.frombuffer(body, np.uint8, offset=SEED_BYTES * ciphertexts).reshape(ciphertexts, -1)
    return unpack_words(rows, DEGREE, preset.word_bits)


@pytest.mark.parametrize("preset", [smallest_preset(10, 8), smallest_preset(10, 4)], ids=lambda preset: preset.name)
@pytest.mark.parametrize("fill", ["zero", "largest"])
def test_two_encryptions_of_one_vector_differ_and_look_like_chance(preset, fill):
    count = 24 * preset.block
    symbols = draw_symbols(preset, np.random.default_rng(7), count, fill)
    cipher = PackedCipher(the_key(), preset)
    first, second = (cipher.encrypt(symbols) for _ in range(2))
    seeds = [body[at : at + SEED_BYTES] for body in (first, second) for at in range(0, SEED_BYTES * 24, SEED_BYTES)]
    assert len(set(seeds)) == 48
    one, two = (words_of(body, preset, count) for body in (first, second))
    assert (one == two).mean() < 0.001
    for words in (one, two, (one - two) % np.uint64(2**preset.word_bits)):
        assert p_value(words, 2**preset.word_bits) > FALSE_ALARM


def test_the_test_of_chance_finds_messages_without_encryption():
    preset = smallest_preset(10, 8)
    symbols = draw_symbols(preset, np.random.default_rng(8), 24 * preset.block, "mixed")
    assert p_value(scale(pack_digits(symbols, preset), preset), MODULUS) < FALSE_ALARM


def test_a_masked_update_decrypts_to_chance_and_an_unmasked_one_to_itself():
    preset = smallest_preset(10, 8)
    count = 8 * preset.block
    cipher = PackedCipher(the_key(), preset)
    symbols = draw_symbols(preset, np.random.default_rng(9), count, "largest")

    def coefficients(body: bytes) -> np.ndarray:
        polynomials = to_polynomials(add_all(preset, count, [body]).body())
        return the_key().decrypt(polynomials[:, 0].copy(), polynomials[:, 1].copy(), preset.plain_modulus)

    assert p_value(coefficients(cipher.encrypt(symbols, UniformMask(preset, 1))), preset.plain_modulus) > FALSE_ALARM
    np.testing.assert_array_equal(coefficients(cipher.encrypt(symbols)), pack_digits(symbols, preset))


@EVERY_PRESET
def test_another_key_opens_nothing(preset):
    symbols = draw_symbols(preset, np.random.default_rng(10), preset.block, "zero")
    body = add_all(preset, preset.block, [PackedCipher(the_key(), preset).encrypt(symbols)]).body()
    opened = PackedCipher(SecretKey.generate(), preset).decrypt(body, preset.block)
    assert opened.any()


def test_a_cipher_shows_no_key():
    key = the_key()
    for workers in (1, 2):
        cipher = PackedCipher(key, smallest_preset(10, 8), workers=workers)
        assert cipher.key_id == key.key_id
        shown = [repr(cipher), str(cipher), repr(vars(cipher))]
        for wrong in (lambda cipher=cipher: cipher.decrypt(b"", 5), lambda cipher=cipher: cipher.encrypt(np.ones(3))):
            with pytest.raises(PrivacyError) as refused:
                wrong()
            shown.append(repr(refused.value))
        for leave in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled") as left:
                leave(cipher)
            shown.append(repr(left.value))
        start = key.to_bytes()[:8]
        for text in shown:
            assert start.hex() not in text
            assert repr(start)[2:-1] not in text
            assert str(int.from_bytes(start, "little")) not in text


def test_a_key_for_another_purpose_is_that_of_rfc_5869_and_of_the_key_alone():
    first, second = (PackedCipher(the_key(), preset) for preset in PRESETS[:2])
    extracted = hmac.digest(bytes(32), the_key().to_bytes(), "sha256")
    expected = hmac.digest(extracted, b"nasturtium derived key v1\0" + b"a purpose" + b"\1", "sha256")
    assert first.derive_key(b"a purpose") == second.derive_key(b"a purpose") == expected
    assert first.derive_key(b"another") != expected
    assert PackedCipher(known_key(), PRESETS[0]).derive_key(b"a purpose") != expected


# What is refused, and what it takes


@pytest.mark.parametrize("change", [-1, 1, -13_888], ids=["short", "long", "none"])
def test_a_body_of_another_length_is_refused_and_leaves_the_sum(change):
    preset = smallest_preset(10, 8)
    cipher = PackedCipher(the_key(), preset)
    body = cipher.encrypt(np.array([1, 2, 3], np.uint8))
    total = add_all(preset, 3, [body])
    with pytest.raises(MalformedUpdateError, match=f"expected a body of 13888 bytes, got {len(body) + change}"):
        total.add(memoryview((body + b"x")[: len(body) + change]))
    summed = bytes(total.body())
    assert cipher.decrypt(summed, 3).tolist() == [1, 2, 3]
    with pytest.raises(PrivacyError, match="cannot be opened"):
        cipher.decrypt((summed + b"x")[: len(summed) + change], 3)


@pytest.mark.parametrize("count", [0, -1])
def test_a_sum_of_no_values_is_not_opened(count):
    with pytest.raises(PrivacyError, match="cannot be opened"):
        PackedCipher(the_key(), smallest_preset(10, 8)).decrypt(b"", count)


@settings(max_examples=25, deadline=None)
@given(preset=st.sampled_from(PRESETS), seed=SEEDS)
def test_no_body_makes_a_sum_fail_nor_opens_to_digits_out_of_range(preset, seed):
    rng = np.random.default_rng(seed)
    bodies = [rng.bytes(preset.update_bytes(9)) for _ in range(2)]
    opened = PackedCipher(the_key(), preset).decrypt(add_all(preset, 9, bodies).body(), 9)
    assert (opened < preset.base).all()
    for body in (rng.bytes(preset.sum_bytes(9)), b"\xff" * preset.sum_bytes(9), bytes(preset.sum_bytes(9))):
        opened = PackedCipher(the_key(), preset).decrypt(body, 9)
        assert (opened < preset.base).all()


def test_symbols_the_preset_has_no_room_for_are_refused():
    cipher = PackedCipher(the_key(), Preset(clients=2, levels=5, packing=2, noise_bound=3))
    assert len(cipher.encrypt(np.array([10], np.uint8)))
    with pytest.raises(PrivacyError, match=r"beyond the 11 of rlwe2048-k2-l5-p2-d0-t3: 11"):
        cipher.encrypt(np.array([0, 11], np.uint8))
    with pytest.raises(PrivacyError, match="expected unsigned integers"):
        cipher.encrypt(np.array([], np.uint8))


def test_a_sum_is_lost_where_adding_failed_half_way(monkeypatch):
    preset = Preset(clients=2, levels=255, packing=1)
    cipher = PackedCipher(the_key(), preset)
    body = cipher.encrypt(np.zeros(17 * DEGREE, np.uint8))
    total = add_all(preset, 17 * DEGREE, [body])
    calls: list[int] = []

    def expand_once(seeds: bytes) -> np.ndarray:
        calls.append(len(seeds))
        if len(calls) > 1:
            raise PrivacyError("a worker process ended")
        return rlwe.expand_seeds(seeds)

    monkeypatch.setattr("nasturtium.privacy.packed.expand_seeds", expand_once)
    with pytest.raises(PrivacyError, match="a worker process ended"):
        total.add(memoryview(body))
    monkeypatch.undo()
    for step in (total.body, lambda: total.add(memoryview(body)), total.body):
        with pytest.raises(PrivacyError, match="the sum is lost"):
            step()


@pytest.mark.parametrize("workers", [0, -3])
def test_no_workers_at_all_are_refused(workers):
    with pytest.raises(ConfigError, match="workers >= 1"):
        PackedCipher(the_key(), smallest_preset(10, 8), workers=workers)
    with pytest.raises(ConfigError, match="workers >= 1"):
        PackedAdder(smallest_preset(10, 8), the_key().key_id, workers=workers)


def test_the_parameters_have_a_hash_that_names_the_preset():
    hashes = {PackedAdder(preset, "").parameters_sha256 for preset in PRESETS}
    assert len(hashes) == len({preset.name for preset in PRESETS})


def test_memory_stays_below_three_plain_updates():
    """As multiples of 4 bytes a value: what each step allocates at most, on top of what it is given."""
    preset = smallest_preset(10, 8)
    count = 4_000_000
    cipher, adder = PackedCipher(the_key(), preset), PackedAdder(preset, the_key().key_id)
    symbols = draw_symbols(preset, np.random.default_rng(11), count, "mixed")
    peaks: list[float] = []

    def measured(step: Any) -> Any:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = step()
        peaks.append((tracemalloc.get_traced_memory()[1] - before) / (4 * count))
        return result

    tracemalloc.start()
    try:
        body = measured(lambda: cipher.encrypt(symbols))
        total = measured(lambda: adder.start(count))
        measured(lambda: total.add(memoryview(body)))
        summed = measured(total.body)
        opened = measured(lambda: cipher.decrypt(summed, count))
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(opened, symbols)
    encrypting, starting, adding, reading, opening = peaks
    assert encrypting < 1  # its body twice
    assert starting + adding < 1.2  # the sum, and a few blocks
    assert starting + reading < 2  # the sum, and its body
    assert opening < 1.3  # the symbols of the sum, and a few blocks
