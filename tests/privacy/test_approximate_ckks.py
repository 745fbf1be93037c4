"""Approximate CKKS: exact sums for who has the key, arithmetic for who has not, and no parser before foreign bytes."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy import approximate_ckks_layout as layout
from nasturtium.privacy.approximate_ckks import (
    CIPHERTEXT_BYTES,
    PRIMES,
    RESIDUES_SHAPE,
    SLOTS,
    ApproximateCkksAdder,
    count_ciphertexts,
    pack_residues,
    split_ciphertexts,
    unpack_residues,
)
from nasturtium.privacy.approximate_ckks_layout import ts
from nasturtium.privacy.approximate_ckks_secret import KEY_BYTES, ApproximateCkksCipher, CkksSecretKey
from nasturtium.privacy.errors import MalformedUpdateError, PrivacyError, SealLayoutError
from nasturtium.privacy.presets import Preset, smallest_preset
from nasturtium.privacy.rlwe import Scratch
from nasturtium.privacy.scheme import Adder, Cipher

VALUES = 5
PRESET = smallest_preset(10, 8)
NO_OPENING = r"^the sum cannot be opened$"


@pytest.fixture(scope="module")
def ckks_key():
    return CkksSecretKey.generate()


@pytest.fixture(scope="module")
def cipher(ckks_key) -> Cipher:
    return ApproximateCkksCipher(ckks_key, PRESET)


@pytest.fixture(scope="module")
def stranger() -> Cipher:
    return ApproximateCkksCipher(CkksSecretKey.generate(), PRESET)


@pytest.fixture(scope="module")
def adder(ckks_key) -> Adder:
    return ApproximateCkksAdder(PRESET, ckks_key.key_id)


@pytest.fixture(scope="module")
def body(cipher):
    return cipher.encrypt(np.arange(VALUES, dtype=np.uint8))


def add_up(adder, bodies, values=VALUES):
    total = adder.start(values)
    for each in bodies:
        total.add(memoryview(each))
    return total.body()


def body_of_reals(key, reals):
    """A body of values that no cipher of ours would encrypt."""
    slots = np.zeros(SLOTS)
    slots[: len(reals)] = reals
    with Scratch() as scratch:
        return pack_residues(layout.encrypt_slots(layout.context_with(key.residues), slots, scratch)).tobytes()


def draw_residues(rng):
    """The numbers of a ciphertext, the ends of their ranges among them."""
    primes = np.array(PRIMES, np.uint64)[:, None]
    residues = rng.integers(0, primes, RESIDUES_SHAPE, dtype=np.uint64)
    residues[:, :, :16] = rng.choice([0, 1], (2, 2, 16)).astype(np.uint64)
    residues[:, :, 16:32] = primes - np.uint64(1)
    return residues


@pytest.mark.parametrize("size", [1, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 1])
@pytest.mark.parametrize("clients", [1, 2, 10])
def test_the_sum_is_the_exact_integer_sum(cipher, adder, size, clients):
    vectors = np.random.default_rng(size).integers(0, PRESET.symbols, (clients, size), dtype=np.uint16)
    vectors[:, ::3] = PRESET.symbols - 1
    opened = cipher.decrypt(add_up(adder, map(cipher.encrypt, vectors), size), size)
    np.testing.assert_array_equal(opened, vectors.sum(axis=0))
    assert opened.dtype == np.uint32


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(smallest_preset(1000, 16), id="16-bits"),
        pytest.param(Preset(clients=1000, levels=255, packing=1, noise_bound=2**20), id="much-noise"),
    ],
)
def test_the_sum_of_as_many_updates_as_there_may_be_is_exact(ckks_key, preset):
    cipher = ApproximateCkksCipher(ckks_key, preset)
    vector = np.zeros(SLOTS, np.uint32)
    vector[::2] = preset.symbols - 1
    vector[1::4] = 1
    total = add_up(ApproximateCkksAdder(preset, ckks_key.key_id), [cipher.encrypt(vector)] * preset.clients, SLOTS)
    np.testing.assert_array_equal(cipher.decrypt(total, SLOTS), preset.clients * vector.astype(np.int64))


def test_adding_numbers_is_what_tenseal_adds(ckks_key, cipher, adder, body):
    other = cipher.encrypt(np.full(VALUES, 7, np.uint8))
    context = layout.context_with(ckks_key.residues)
    one, two = (layout.make_vector(context, unpack_residues(np.frombuffer(b, np.uint8))) for b in (body, other))
    with Scratch() as scratch:
        expected = layout.read_residues(one + two, scratch)
    ours = unpack_residues(np.frombuffer(add_up(adder, [body, other]), np.uint8))
    np.testing.assert_array_equal(ours, expected)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_a_sum_is_the_sum_modulo_each_prime(seed, count):
    rng = np.random.default_rng(seed)
    updates = [draw_residues(rng) for _ in range(count)]
    adder = ApproximateCkksAdder(PRESET, "00" * 16)
    total = add_up(adder, [pack_residues(update).tobytes() for update in updates])
    expected = sum(update.astype(object) for update in updates) % np.array(PRIMES, object)[:, None]
    np.testing.assert_array_equal(unpack_residues(np.frombuffer(total, np.uint8)), expected.astype(np.uint64))


def test_packed_numbers_come_back_from_fifty_bytes_a_value():
    residues = draw_residues(np.random.default_rng(0))
    packed = pack_residues(residues)
    assert packed.nbytes == CIPHERTEXT_BYTES == 50 * SLOTS
    np.testing.assert_array_equal(unpack_residues(packed), residues)


def test_the_wire_format_is_what_it_was():
    counted = np.arange(np.prod(RESIDUES_SHAPE), dtype=np.uint64).reshape(RESIDUES_SHAPE)
    counted *= np.uint64(0x9E3779B97F4A7C15)
    counted %= np.array(PRIMES, np.uint64)[:, None]
    digest = hashlib.sha256(pack_residues(counted).tobytes()).hexdigest()
    assert digest == "ea52528200acd8b1553490643726c77825a6217b27fcfd3696417c00135c2fa3"


def test_lengths_follow_from_the_number_of_values(cipher, adder):
    for values in (1, SLOTS, SLOTS + 1):
        update = cipher.encrypt(np.zeros(values, np.uint8))
        assert len(update) == adder.update_bytes(values) == cipher.ciphertexts(values) * CIPHERTEXT_BYTES
        assert len(add_up(adder, [update], values)) == adder.sum_bytes(values)
        assert adder.ciphertexts(values) == cipher.ciphertexts(values)


@pytest.mark.parametrize(("values", "expected"), [(1, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3)])
def test_a_ciphertext_holds_4096_values(values, expected):
    assert count_ciphertexts(values) == expected


def test_both_sides_agree_on_the_parameters_and_the_key(cipher, adder, ckks_key):
    assert adder.scheme == cipher.scheme == "ckks-approximate"
    assert adder.key_id == cipher.key_id == ckks_key.key_id
    assert adder.preset == cipher.preset == PRESET
    others = [smallest_preset(11, 8), smallest_preset(10, 4)]
    hashes = {ApproximateCkksAdder(preset, "").parameters_sha256 for preset in (PRESET, *others)}
    assert len(hashes) == 3


def test_two_encryptions_of_the_same_vector_differ(cipher):
    assert len({cipher.encrypt(np.zeros(VALUES, np.uint8)) for _ in range(3)}) == 3


def test_what_travels_looks_uniform(cipher):
    """The high bytes of the numbers, in sixteen classes."""
    rows = split_ciphertexts(cipher.encrypt(np.zeros(8 * SLOTS, np.uint8)), 8 * SLOTS)
    residues = np.array([unpack_residues(row) for row in rows]).astype(np.float64)
    for place, prime in enumerate(PRIMES):
        for polynomial in (0, 1):
            classes = np.floor(residues[:, polynomial, place] * (16 / prime)).astype(int)
            counts = np.bincount(classes.reshape(-1), minlength=16)
            expected = classes.size / 16
            assert ((counts - expected) ** 2 / expected).sum() < 56.5  # chi-square, 15 degrees: chance 1e-6


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        pytest.param(np.array([0, PRESET.symbols], np.uint16), "beyond the 255", id="beyond-the-preset"),
        pytest.param(np.array([0, 1]), "unsigned integers", id="signed"),
        pytest.param(np.array([0.0, 1.0]), "unsigned integers", id="reals"),
        pytest.param(np.zeros((2, 2), np.uint8), "unsigned integers", id="matrix"),
        pytest.param(np.zeros(0, np.uint8), "unsigned integers", id="empty"),
    ],
)
def test_what_are_no_symbols_is_refused(cipher, symbols, reason):
    with pytest.raises(PrivacyError, match=reason):
        cipher.encrypt(symbols)


class NoMask:
    def take(self, count):
        return np.zeros(count, np.uint64)


def test_masks_are_refused_on_both_sides(cipher, adder):
    with pytest.raises(PrivacyError, match="no masks"):
        cipher.encrypt(np.zeros(VALUES, np.uint8), NoMask())
    with pytest.raises(PrivacyError, match="no masks"):
        adder.start(VALUES).remove(NoMask())


@pytest.mark.parametrize("change", [-CIPHERTEXT_BYTES, -1, 1, CIPHERTEXT_BYTES])
def test_another_length_is_refused_and_the_sum_is_unchanged(cipher, adder, body, change):
    total = adder.start(VALUES)
    total.add(memoryview(body))
    wrong = (body + bytes(CIPHERTEXT_BYTES))[: len(body) + change]
    with pytest.raises(MalformedUpdateError, match=f"got {len(wrong)}"):
        total.add(memoryview(wrong))
    np.testing.assert_array_equal(cipher.decrypt(total.body(), VALUES), np.arange(VALUES))
    with pytest.raises(PrivacyError, match=NO_OPENING):
        cipher.decrypt(wrong, VALUES)


@pytest.mark.parametrize("polynomial", [0, 1])
@pytest.mark.parametrize("place", [0, 1], ids=["60-bits", "40-bits"])
@pytest.mark.parametrize("coefficient", [0, 8191])
def test_a_number_that_is_not_below_its_prime_is_refused_and_the_sum_is_unchanged(
    cipher, adder, polynomial, place, coefficient
):
    values = 2 * SLOTS
    good = cipher.encrypt(np.ones(values, np.uint8))
    residues = [unpack_residues(row) for row in split_ciphertexts(good, values)]
    residues[1][polynomial, place, coefficient] = PRIMES[place]
    wrong = b"".join(pack_residues(each).tobytes() for each in residues)
    total = adder.start(values)
    total.add(memoryview(good))
    with pytest.raises(MalformedUpdateError, match="not below its modulus"):
        total.add(memoryview(wrong))
    np.testing.assert_array_equal(cipher.decrypt(total.body(), values), 1)
    with pytest.raises(PrivacyError, match=NO_OPENING):
        cipher.decrypt(wrong, values)


@pytest.mark.parametrize("size", [1, VALUES, SLOTS + 1])
def test_another_key_opens_nothing_and_the_error_tells_nothing(cipher, stranger, size):
    with pytest.raises(PrivacyError, match=NO_OPENING):
        stranger.decrypt(cipher.encrypt(np.zeros(size, np.uint8)), size)


def test_a_sum_with_one_update_under_another_key_opens_for_nobody(cipher, stranger, adder, body):
    total = add_up(adder, [body, stranger.encrypt(np.arange(VALUES, dtype=np.uint8))])
    for who in (cipher, stranger):
        with pytest.raises(PrivacyError, match=NO_OPENING):
            who.decrypt(total, VALUES)


@pytest.mark.parametrize(
    "reals",
    [
        pytest.param([0.5], id="between-integers"),
        pytest.param([1 + 2.0**-5], id="near-an-integer"),
        pytest.param([PRESET.base], id="larger-than-any-sum"),
        pytest.param([2.0**44], id="far-larger-than-any-sum"),
        pytest.param([-1.0], id="negative"),
        pytest.param([0.0] * VALUES + [1.0], id="something-in-the-padding"),
    ],
)
def test_what_no_sum_can_be_is_refused_without_detail(ckks_key, cipher, reals):
    with pytest.raises(PrivacyError, match=NO_OPENING):
        cipher.decrypt(body_of_reals(ckks_key, reals), VALUES)


def test_the_largest_sum_opens(ckks_key, cipher):
    opened = cipher.decrypt(body_of_reals(ckks_key, [PRESET.base - 1, 1 + 2.0**-8]), 2)
    np.testing.assert_array_equal(opened, [PRESET.base - 1, 1])


@pytest.mark.parametrize("bits", [1, 8])
def test_a_changed_body_is_refused_or_opens_for_nobody(cipher, adder, body, bits):
    rng = np.random.default_rng(bits)
    for _ in range(60):
        mutant = bytearray(body)
        for _ in range(bits):
            mutant[rng.integers(len(mutant))] ^= 1 << int(rng.integers(8))
        total = adder.start(VALUES)
        try:
            total.add(memoryview(mutant))
        except MalformedUpdateError:
            continue
        with pytest.raises(PrivacyError, match=NO_OPENING):
            cipher.decrypt(total.body(), VALUES)


def test_what_tenseal_parses_differs_from_its_own_bytes_only_in_the_numbers(cipher, monkeypatch):
    parsed: list[bytes] = []
    parse = ts.ckks_vector_from
    monkeypatch.setattr(ts, "ckks_vector_from", lambda context, data: parsed.append(data) or parse(context, data))
    cipher.decrypt(cipher.encrypt(np.zeros(VALUES, np.uint8)), VALUES)
    hostile = pack_residues(draw_residues(np.random.default_rng(0))).tobytes()
    with pytest.raises(PrivacyError, match=NO_OPENING):
        cipher.decrypt(hostile, VALUES)
    above = b"\xff" * CIPHERTEXT_BYTES
    with pytest.raises(PrivacyError, match=NO_OPENING):
        cipher.decrypt(above, VALUES)
    ours, theirs = parsed
    numbers = 8 * int(np.prod(RESIDUES_SHAPE))
    start = ours.rindex(np.uint64(numbers // 8).tobytes(), 0, 300) + 8
    assert len(ours) == len(theirs)
    assert ours[:start] == theirs[:start]
    assert ours[start + numbers :] == theirs[start + numbers :]
    assert ours != theirs


def test_a_key_comes_back_from_its_bytes(ckks_key, cipher, body):
    again = CkksSecretKey.from_bytes(ckks_key.to_bytes())
    assert again.key_id == ckks_key.key_id
    np.testing.assert_array_equal(ApproximateCkksCipher(again, PRESET).decrypt(body, VALUES), np.arange(VALUES))
    opened = cipher.decrypt(ApproximateCkksCipher(again, PRESET).encrypt(np.ones(1, np.uint8)), 1)
    np.testing.assert_array_equal(opened, 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "expected a CKKS key of 196608 bytes", id="empty"),
        pytest.param(bytes(KEY_BYTES + 1), "got 196609", id="longer"),
        pytest.param(b"\xff" * KEY_BYTES, "no secret key", id="numbers-too-large"),
        pytest.param(bytes(KEY_BYTES), "no secret key", id="zero"),
    ],
)
def test_bytes_that_are_no_key_are_refused(data, reason):
    with pytest.raises(PrivacyError, match=reason):
        CkksSecretKey.from_bytes(data)


@pytest.mark.parametrize("spread", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize(
    "hold",
    [lambda key: key, lambda key: ApproximateCkksCipher(key, PRESET), lambda key: [key]],
    ids=["alone", "cipher", "list"],
)
def test_a_secret_key_is_neither_pickled_nor_copied(ckks_key, spread, hold):
    with pytest.raises(TypeError, match="not pickled"):
        spread(hold(ckks_key))


def test_what_is_printed_of_a_key_is_its_public_name(ckks_key, stranger):
    assert repr(ckks_key) == str(ckks_key) == f"CkksSecretKey({ckks_key.key_id})"
    assert len(bytes.fromhex(ckks_key.key_id)) == 16
    assert ckks_key.key_id != stranger.key_id


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        pytest.param("PRIMES", (PRIMES[0], 0xFFFFFDC001), "the moduli", id="another-prime"),
        pytest.param("_NTT_FORM", 0, "a CKKS ciphertext", id="another-ciphertext"),
        pytest.param("RESIDUES_SHAPE", (2, 1, 8192), "the length of a CKKS ciphertext", id="another-length"),
        pytest.param("_SECRET_KEY_FIELD", 5, "a CKKS vector or its key", id="another-context"),
    ],
)
def test_another_layout_of_tenseal_is_an_error_with_its_version(monkeypatch, name, value, what):
    monkeypatch.setattr(layout, name, value)
    with pytest.raises(SealLayoutError, match=rf"{what}.* TenSEAL {re.escape(ts.__version__)} with SEAL \d"):
        layout.check_layout()


def test_who_only_adds_loads_neither_tenseal_nor_the_key(cipher, body):
    code = """if True:
        import json, sys
        from nasturtium.privacy.approximate_ckks import ApproximateCkksAdder
        from nasturtium.privacy.presets import Preset
        preset, body = sys.stdin.read().split()
        total = ApproximateCkksAdder(Preset.named(preset), "").start(5)
        for _ in range(3):
            total.add(memoryview(bytes.fromhex(body)))
        print(json.dumps([sorted(sys.modules), total.body().hex()]))
    """
    given = f"{PRESET.name} {body.hex()}"
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
    modules, total = json.loads(done.stdout)
    assert not {"tenseal", "nasturtium.privacy.approximate_ckks_secret", "nasturtium.privacy.rlwe"} & set(modules)
    np.testing.assert_array_equal(cipher.decrypt(bytes.fromhex(total), VALUES), 3 * np.arange(VALUES))
