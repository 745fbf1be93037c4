"""SEAL held against the definition: its layout, errors, rounding and keys, in Python's integers."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import os
import pickle
import struct
import tempfile
from functools import cache

import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from nasturtium.privacy import rlwe, rlwe_secret
from nasturtium.privacy.errors import PrivacyError, SealLayoutError
from nasturtium.privacy.presets import DEGREE, MODULUS, Preset, smallest_preset
from nasturtium.privacy.rlwe_secret import KEY_BYTES, SecretKey

FALSE_ALARM = 1e-9  # how likely a statistical test fails for nothing
RAW = MODULUS - 1  # with this t, decryption gives c0 + c1 s itself
PLAIN_MODULI = [
    2,
    3,
    65_537,
    smallest_preset(10, 8).plain_modulus,
    smallest_preset(1000, 16).plain_modulus,
    Preset(clients=2, levels=2, packing=29).plain_modulus,
    2**46,  # even: a message can lie just between two multiples
    RAW,
]
SEEDS = st.integers(0, 2**32 - 1)


@cache
def the_key() -> SecretKey:
    return SecretKey.generate()


def centred(residues: np.ndarray, modulus: int) -> np.ndarray:
    """Residues as the nearest to zero: int64."""
    signed = residues.astype(np.int64)
    return np.where(signed > modulus // 2, signed - modulus, signed)


def polynomial(*coefficients: int) -> np.ndarray:
    """Shape (1, 2048) uint64."""
    padded = np.zeros((1, DEGREE), np.uint64)
    padded[0, : len(coefficients)] = coefficients
    return padded


def secret_polynomial(key: SecretKey) -> np.ndarray:
    """The key as small integers, shape (2048,) int64: what a ciphertext (0, 1) decrypts to."""
    return centred(key.decrypt(polynomial(), polynomial(1), RAW), RAW)[0]


def multiply(left: np.ndarray, right: np.ndarray) -> list[int]:
    """Modulo x^2048 + 1 and q, of a polynomial below q and a ternary one, by one product of long integers."""
    slot = 16  # bytes, more than the 54 + 11 bits of a coefficient of the product

    def as_integer(numbers: np.ndarray) -> int:
        return int.from_bytes(b"".join(int(number).to_bytes(slot, "little") for number in numbers), "little")

    products: list[list[int]] = []
    for sign in (1, -1):
        data = (as_integer(left) * as_integer(right == sign)).to_bytes(2 * slot * DEGREE, "little")
        slots = [int.from_bytes(data[start : start + slot], "little") for start in range(0, len(data), slot)]
        products.append([low - high for low, high in zip(slots[:DEGREE], slots[DEGREE:], strict=True)])
    return [(plus - minus) % MODULUS for plus, minus in zip(*products, strict=True)]


def decrypt_slowly(c0: np.ndarray, c1: np.ndarray, secret: np.ndarray, plain_modulus: int) -> list[int]:
    """The definition: the nearest integer to t (c0 + c1 s) / q, modulo t; q is odd, so that none lies between."""
    sums = [(int(first) + second) % MODULUS for first, second in zip(c0, multiply(c1, secret), strict=True)]
    return [(2 * plain_modulus * number + MODULUS) // (2 * MODULUS) % plain_modulus for number in sums]


def number_theoretic_transform(coefficients: np.ndarray) -> np.ndarray:
    """SEAL's: values at the odd powers of its smallest root of unity of order 2n, by bits in reverse."""
    any_root = next(
        root
        for root in (pow(base, (MODULUS - 1) // (2 * DEGREE), MODULUS) for base in range(2, 100))
        if pow(root, DEGREE, MODULUS) == MODULUS - 1
    )
    root = min(pow(any_root, odd, MODULUS) for odd in range(1, 2 * DEGREE, 2))
    values = [int(number) % MODULUS for number in coefficients]
    bits = DEGREE.bit_length() - 1
    half, groups = DEGREE // 2, 1
    while half:
        for group in range(groups):
            twiddle = pow(root, int(f"{groups + group:0{bits}b}"[::-1], 2), MODULUS)
            for place in range(2 * half * group, 2 * half * group + half):
                product = values[place + half] * twiddle
                values[place], values[place + half] = (
                    (values[place] + product) % MODULUS,
                    (values[place] - product) % MODULUS,
                )
        half, groups = half // 2, 2 * groups
    return np.array(values, np.uint64)


# Keys


def test_a_key_is_a_ternary_polynomial_in_the_form_of_its_transform():
    secret = secret_polynomial(the_key())
    assert set(secret.tolist()) == {-1, 0, 1}
    assert chisquare([(secret == value).sum() for value in (-1, 0, 1)]).pvalue > FALSE_ALARM
    assert the_key().to_bytes() == number_theoretic_transform(secret).astype("<u8").tobytes()


def test_a_key_that_was_made_without_seal_is_the_same_to_seal():
    secret = np.random.default_rng(0).integers(-1, 2, DEGREE)
    key = SecretKey(number_theoretic_transform(secret))
    np.testing.assert_array_equal(secret_polynomial(key), secret)


def test_a_key_survives_its_bytes():
    data = the_key().to_bytes()
    assert len(data) == KEY_BYTES == 16_384
    again = SecretKey.from_bytes(data)
    assert again.to_bytes() == data
    assert again.key_id == the_key().key_id == hashlib.sha256(b"nasturtium key v1\0" + data).hexdigest()[:32]


def test_no_two_keys_are_alike():
    assert len({SecretKey.generate().key_id for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="none"),
        pytest.param(bytes(range(256)) * 63, id="short"),
        pytest.param(bytes(range(256)) * 65, id="long"),
        pytest.param(bytes(KEY_BYTES), id="zeros"),
        pytest.param(b"\xfe" * KEY_BYTES, id="beyond-q"),
        pytest.param(bytes(KEY_BYTES - 8) + MODULUS.to_bytes(8, "little"), id="one-is-q"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(data):
    with pytest.raises(PrivacyError, match="secret key") as refused:
        SecretKey.from_bytes(data)
    assert len(str(refused.value)) < 80


def test_a_key_shows_its_name_only():
    key = the_key()
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr(vars(rlwe_secret))):
        for numbers in (key.to_bytes()[:8].hex(), str(int.from_bytes(key.to_bytes()[:8], "little"))):
            assert numbers not in shown
    assert repr(key) == str(key) == f"SecretKey({key.key_id})"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, vars, lambda key: pickle.dumps([key], 0)])
def test_a_key_leaves_by_no_other_way(leave):
    with pytest.raises(TypeError):
        leave(the_key())


# Errors and rounding


def test_seal_decrypts_by_the_definition():
    secret = secret_polynomial(the_key())
    rng = np.random.default_rng(1)
    for plain_modulus in PLAIN_MODULI:
        c0, c1 = rng.integers(0, MODULUS, (2, 1, DEGREE), np.uint64)
        opened = the_key().decrypt(c0, c1, plain_modulus)
        assert opened[0].tolist() == decrypt_slowly(c0[0], c1[0], secret, plain_modulus)


def test_a_fresh_error_is_at_most_21():
    """And is what the bound is made for: as many tosses of a coin as another 21."""
    c0, seeds = the_key().encrypt_zeros(100)
    c1 = rlwe.expand_seeds(seeds)
    slow = [(int(a) + b) % MODULUS for a, b in zip(c0[0], multiply(c1[0], secret_polynomial(the_key())), strict=True)]
    errors = centred(the_key().decrypt(c0, c1, RAW), RAW)
    np.testing.assert_array_equal(errors[0], centred(np.array(slow, np.uint64), MODULUS))
    assert np.abs(errors).max() <= 21
    middle = np.bincount(np.clip(errors.reshape(-1) + 21, 10, 32) - 10)
    expected = [binom.cdf(10, 42, 0.5), *binom.pmf(np.arange(11, 32), 42, 0.5), binom.sf(31, 42, 0.5)]
    assert chisquare(middle, np.array(expected) * errors.size).pvalue > FALSE_ALARM


@settings(max_examples=40, deadline=None)
@given(plain_modulus=st.sampled_from(PLAIN_MODULI), seed=SEEDS, sign=st.sampled_from([1, -1]))
def test_decryption_is_exact_up_to_half_a_step_and_wrong_beyond(plain_modulus, seed, sign):
    """Half a step is q / 2t: the largest error that leaves 2 |t (c0 + c1 s) - q m| below q, and one more."""
    t = plain_modulus
    messages = np.random.default_rng(seed).integers(0, t, DEGREE, np.uint64)
    messages[:4] = 0, t - 1, t // 2, (t + 1) // 2 % t
    half = (MODULUS - 1) // 2
    largest = [
        (MODULUS * m + half) // t if sign > 0 else -((half - MODULUS * m) // t) for m in map(int, messages.tolist())
    ]
    # The parts c1 s and the fresh error cancel: what is decrypted is `largest`, exactly.
    c0, seeds = the_key().encrypt_zeros(1)
    c1 = rlwe.expand_seeds(seeds)
    fresh = centred(the_key().decrypt(c0, c1, RAW), RAW)[0].tolist()

    def opened(beyond: int) -> np.ndarray:
        moved = [(int(a) - e + x + sign * beyond) % MODULUS for a, e, x in zip(c0[0], fresh, largest, strict=True)]
        return the_key().decrypt(np.array([moved], np.uint64), c1, t)[0]

    np.testing.assert_array_equal(opened(0), messages)
    wrong = [(m + sign) % t for m in map(int, messages.tolist())]
    np.testing.assert_array_equal(opened(1), np.array(wrong, np.uint64))


def test_what_is_all_zero_decrypts_to_zero():
    """SEAL trims what it decrypts, and refuses transparent ciphertexts elsewhere."""
    assert not the_key().decrypt(np.zeros((2, DEGREE), np.uint64), np.zeros((2, DEGREE), np.uint64), 65_537).any()


def test_no_ciphertexts_are_no_messages():
    c0, seeds = the_key().encrypt_zeros(0)
    assert (c0.shape, seeds) == ((0, DEGREE), b"")
    assert the_key().decrypt(c0, rlwe.expand_seeds(seeds), 2).shape == (0, DEGREE)


# Seeds


def test_seeds_are_never_the_same_and_expand_to_uniform_numbers_below_q():
    _, seeds = the_key().encrypt_zeros(50)
    assert len({seeds[start : start + 64] for start in range(0, len(seeds), 64)}) == 50
    expanded = rlwe.expand_seeds(memoryview(seeds))
    assert expanded.shape == (50, DEGREE)
    assert (expanded < MODULUS).all()
    np.testing.assert_array_equal(rlwe.expand_seeds(seeds[64:]), expanded[1:])
    for bins in (expanded >> np.uint64(46), expanded & np.uint64(255)):
        assert chisquare(np.bincount(bins.reshape(-1).astype(np.int64), minlength=256)).pvalue > FALSE_ALARM


@settings(max_examples=20, deadline=None)
@given(seed=st.binary(min_size=64, max_size=64))
def test_any_seed_expands(seed):
    first, second = rlwe.expand_seeds(seed + seed)
    assert (first < MODULUS).all()
    np.testing.assert_array_equal(first, second)


# Layout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("_HEADER", struct.Struct("<HBBBBHI"), id="shorter-header"),
        pytest.param("_HEADER", struct.Struct("<HBBBBHQQ"), id="longer-header"),
        pytest.param("_HEADER", struct.Struct("<HBBHBBQ"), id="other-header"),
        pytest.param("_MAGIC", 0xA15F, id="magic"),
        pytest.param("_COUNT", struct.Struct("<I"), id="count"),
        pytest.param("CIPHERTEXT", struct.Struct("<32sBQQQd"), id="without-correction-factor"),
        pytest.param("CIPHERTEXT", struct.Struct("<32sBQQQdQQ"), id="longer-ciphertext"),
        pytest.param("CIPHERTEXT", struct.Struct("<32sQQQQdQ"), id="wider-flag"),
        pytest.param("ARRAY_BYTES", 16, id="place-of-numbers"),
        pytest.param("_BLAKE2XB", b"\2", id="generator"),
        pytest.param("_KNOWN_EXPANSION", "ab" * 32, id="expansion"),
        pytest.param("seal_version", lambda: (3, 4), id="version-in-headers"),
        pytest.param("MODULUS", MODULUS - 4096, id="modulus"),
        pytest.param("MODULUS_BITS", 53, id="bits"),
        pytest.param("parameters_id", lambda _: bytes(32), id="parameters-id"),
    ],
)
def test_a_layout_that_is_not_seals_is_an_error_with_the_versions(monkeypatch, name, value):
    version = rlwe.seal_version()
    rlwe.make_context.cache_clear()
    monkeypatch.setattr(rlwe, name, value)
    if name == "CIPHERTEXT":
        fields = len(value.unpack(bytes(value.size)))
        monkeypatch.setattr(rlwe, "_ciphertext_shape", lambda _: value.pack(b"", *[1] * (fields - 1)))
    with pytest.raises(SealLayoutError, match="not as we know it of SEAL") as refused:
        rlwe._check_layout()
    assert f"TenSEAL {tenseal.__version__}" in str(refused.value)
    shown = value() if name == "seal_version" else version
    assert f"with SEAL {shown[0]}.{shown[1]}" in str(refused.value)
    monkeypatch.undo()
    rlwe.make_context.cache_clear()
    rlwe._check_layout()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("5fa1100403000000" + "1000000000000000", id="magic"),
        pytest.param("5ea1180403020000" + "1000000000000000", id="header-size"),
        pytest.param("5ea1100403010000" + "1000000000000000", id="compression"),
        pytest.param("5ea1100403000000" + "1100000000000000", id="size"),
    ],
)
def test_a_header_we_do_not_know_is_an_error(monkeypatch, header):
    known = "5ea1100403000000" + "1000000000000000"
    with rlwe.Scratch() as scratch:
        monkeypatch.setattr(rlwe.Scratch, "_save", lambda self, thing: bytes.fromhex(known))
        assert scratch.dump(None) == b""
        monkeypatch.setattr(rlwe.Scratch, "_save", lambda self, thing: bytes.fromhex(header))
        with pytest.raises(SealLayoutError, match="the header of an object is not as we know it"):
            scratch.dump(None)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        pytest.param(rlwe, "PLAINTEXT", struct.Struct("<32sId"), id="shorter-key"),
        pytest.param(rlwe, "PLAINTEXT", struct.Struct("<32sQQ"), id="key-without-scale"),
        pytest.param(rlwe, "_BLAKE2XB", b"", id="seed"),
        pytest.param(rlwe_secret, "read_polynomials", lambda body, count: np.zeros((count, DEGREE), "<u8"), id="c0"),
        pytest.param(rlwe_secret, "expand_seeds", lambda seeds: np.zeros((1, DEGREE), np.uint64), id="c1"),
        pytest.param(rlwe_secret, "read_plaintext", lambda body: np.ones(DEGREE, np.uint64), id="plaintext"),
    ],
)
def test_a_layout_of_keys_that_is_not_seals_is_an_error_with_the_versions(monkeypatch, module, name, value):
    monkeypatch.setattr(module, name, value)
    with pytest.raises(SealLayoutError, match=f"this is TenSEAL {tenseal.__version__} with SEAL") as refused:
        rlwe_secret._check_layout()
    assert "install the version of tenseal" in str(refused.value)
    monkeypatch.undo()
    rlwe_secret._check_layout()


@pytest.mark.parametrize("name", ["rlwe", "rlwe_secret"])
def test_the_layout_is_checked_when_the_module_is_imported(monkeypatch, name):
    spec = importlib.util.find_spec(f"nasturtium.privacy.{name}")
    assert spec is not None
    assert spec.loader is not None

    class OtherCiphertext:
        def load(self, context, path):
            raise RuntimeError("invalid metadata")

    monkeypatch.setattr(rlwe.seal, "Ciphertext", OtherCiphertext)
    with pytest.raises(SealLayoutError, match="not as we know it of SEAL"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_where_there_is_no_memory_file_a_private_temporary_one_is_used_and_removed(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with rlwe.Scratch() as scratch:
        (path,) = tmp_path.iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        assert scratch.version() == rlwe.seal_version()
    c0, seeds = the_key().encrypt_zeros(1)
    assert not the_key().decrypt(c0, rlwe.expand_seeds(seeds), 65_537).any()
    assert not list(tmp_path.iterdir())


def test_parameters_seal_does_not_think_safe_are_refused(monkeypatch):
    monkeypatch.setattr(rlwe, "DEGREE", 1024)
    rlwe.make_context.cache_clear()
    with pytest.raises(PrivacyError, match="SEAL refuses the parameters"):
        rlwe.make_context(2)
    monkeypatch.undo()
    rlwe.make_context.cache_clear()
