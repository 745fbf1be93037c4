"""CKKS: exact sums for those who hold the key, nothing for anyone else, and no way to break the parser."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.privacy import (
    Aggregator,
    CkksAdder,
    CkksCipher,
    EncryptedUpdate,
    PrivacyError,
    PublicContext,
    UpdateRejectedError,
)
from nasturtium.privacy.chunks import join_chunks, split_chunks
from nasturtium.privacy.ckks import MAX_CIPHERTEXT_BYTES, ciphertexts, ts

VALUES = 5


@pytest.fixture(scope="module")
def cipher(key):
    return CkksCipher(key)


@pytest.fixture(scope="module")
def adder(key):
    return CkksAdder(key.public())


@pytest.fixture(scope="module")
def body(cipher):
    return cipher.encrypt(np.arange(VALUES))


def vector_of(key, body):
    """TenSEAL's own object of a body of one ciphertext."""
    [chunk] = split_chunks(body, count=1, max_bytes=MAX_CIPHERTEXT_BYTES)
    return ts.ckks_vector_from(key.context, chunk)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 8193])
@pytest.mark.parametrize("clients", [1, 2, 7])
def test_the_sum_is_the_exact_integer_sum(cipher, adder, draw_vectors, size, clients):
    vectors = draw_vectors(clients, size)
    first, *rest = [adder.parse(cipher.encrypt(vector), size) for vector in vectors]
    total = first
    for update in rest:
        total = adder.add(total, update)
    np.testing.assert_array_equal(cipher.decrypt(adder.serialise(total), size), sum(vectors))


def test_the_sum_of_as_many_updates_as_there_may_be_is_exact(cipher, adder, draw_vectors):
    [vector] = draw_vectors(1, 4096)
    total = adder.parse(cipher.encrypt(vector), 4096)
    for _ in range(10):
        total = adder.add(total, total)
    np.testing.assert_array_equal(cipher.decrypt(adder.serialise(total), 4096), 1024 * vector)


def test_two_encryptions_of_the_same_vector_differ(cipher):
    assert len({cipher.encrypt(np.zeros(VALUES, np.int64)) for _ in range(3)}) == 3


def test_adding_leaves_the_summands_as_they_were(cipher, adder):
    one, two = (adder.parse(cipher.encrypt(np.full(VALUES, n)), VALUES) for n in (1, 2))
    adder.add(one, two)
    np.testing.assert_array_equal(cipher.decrypt(adder.serialise(one), VALUES), 1)
    np.testing.assert_array_equal(cipher.decrypt(adder.serialise(two), VALUES), 2)


def test_an_update_under_another_key_is_refused_by_its_header(adder, other_key, header):
    about = replace(header, scheme="ckks", key_id=other_key.key_id, values=VALUES)
    update = EncryptedUpdate(about, CkksCipher(other_key).encrypt(np.arange(VALUES)))
    aggregator = Aggregator(adder, run=header.run, round=header.round, layout=header.layout, values=VALUES)
    with pytest.raises(UpdateRejectedError, match="key_id is"):
        aggregator.add(update.to_bytes(), sender=header.sender)


@pytest.mark.parametrize("size", [1, VALUES, 4097])
def test_another_key_opens_nothing_and_the_error_tells_nothing(other_key, cipher, size):
    with pytest.raises(PrivacyError) as caught:
        CkksCipher(other_key).decrypt(cipher.encrypt(np.zeros(size, np.int64)), size)
    assert str(caught.value) == "the sum cannot be decrypted"


def test_a_sum_with_one_update_under_another_key_opens_for_nobody(adder, cipher, other_key):
    forced = adder.parse(CkksCipher(other_key).encrypt(np.arange(VALUES)), VALUES)
    total = adder.serialise(adder.add(adder.parse(cipher.encrypt(np.arange(VALUES)), VALUES), forced))
    for who in (cipher, CkksCipher(other_key)):
        with pytest.raises(PrivacyError, match=r"^the sum cannot be decrypted$"):
            who.decrypt(total, VALUES)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.5, 0.0], id="between-integers"),
        pytest.param([2.0**43, 0.0], id="larger-than-any-sum"),
        pytest.param([-(2.0**43), 0.0], id="smaller-than-any-sum"),
    ],
)
def test_a_sum_that_is_not_integers_in_range_is_refused_without_detail(key, cipher, values):
    body = join_chunks([ts.ckks_vector(key.context, values).serialize()])
    with pytest.raises(PrivacyError, match=r"^the sum cannot be decrypted$"):
        cipher.decrypt(body, 2)


def test_the_public_context_holds_no_secret_key_and_cannot_decrypt(key, body):
    context = key.public().context
    assert not context.has_secret_key()
    [chunk] = split_chunks(body, count=1, max_bytes=MAX_CIPHERTEXT_BYTES)
    with pytest.raises(ValueError, match="secret_key"):
        ts.ckks_vector_from(context, chunk).decrypt()


def test_a_public_context_with_a_secret_key_is_refused(key):
    leaked = key.context.serialize(
        save_public_key=False, save_secret_key=True, save_galois_keys=False, save_relin_keys=False
    )
    with pytest.raises(PrivacyError, match="without a secret key"):
        _ = PublicContext(key.key_id, leaked).context


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "not a TenSEAL context", id="empty"),
        pytest.param(b"garbage", "not a TenSEAL context", id="garbage"),
        pytest.param(bytes(2**20 + 1), "larger than any", id="huge"),
    ],
)
def test_bytes_that_are_no_context_are_refused(data, reason):
    with pytest.raises(PrivacyError, match=reason):
        _ = PublicContext("", data).context


@pytest.mark.parametrize("spread", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("hold", [lambda key: key, CkksCipher, lambda key: [key]], ids=["alone", "cipher", "list"])
def test_a_secret_key_is_neither_pickled_nor_copied(key, spread, hold):
    with pytest.raises(TypeError, match="not pickled"):
        spread(hold(key))


def test_what_is_printed_of_a_key_is_its_public_name(key, other_key):
    assert repr(key) == str(key) == f"SecretKey({key.key_id})"
    assert len(bytes.fromhex(key.key_id)) == 16
    assert key.key_id != other_key.key_id
    assert key.public().key_id == key.key_id


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda key, vector: vector * 1.0, id="fewer-moduli"),
        pytest.param(lambda key, vector: ts.ckks_vector(key.context, [1.0] * VALUES, 2.0**30), id="other-scale"),
        pytest.param(lambda key, vector: ts.ckks_vector(key.context, [1.0] * (VALUES - 1)), id="fewer-values"),
        pytest.param(lambda key, vector: ts.ckks_vector(key.context, [1.0] * (VALUES + 1)), id="more-values"),
        pytest.param(lambda key, vector: ts.ckks_vector(key.context, [1.0] * 5000), id="two-in-one"),
    ],
)
def test_a_ciphertext_of_another_kind_is_refused(key, adder, body, change):
    other = join_chunks([change(key, vector_of(key, body)).serialize()])
    with pytest.raises(UpdateRejectedError, match=r"another size, scale or modulus|do not add up"):
        adder.parse(other, VALUES)


def test_a_ciphertext_of_other_parameters_is_refused(adder):
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[50, 40, 50], encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC
    )
    context.global_scale = 2.0**40
    with pytest.raises(UpdateRejectedError, match="does not parse"):
        adder.parse(join_chunks([ts.ckks_vector(context, [1.0] * VALUES).serialize()]), VALUES)


def test_an_update_that_cancels_the_sum_is_refused(key, adder, body):
    negative = join_chunks([(-vector_of(key, body)).serialize()])
    with pytest.raises(UpdateRejectedError, match="cannot be added"):
        adder.add(adder.parse(body, VALUES), adder.parse(negative, VALUES))


@pytest.mark.parametrize("content", [b"", b"\0", b"garbage", bytes(1000), b"\xff" * 1000])
def test_garbage_is_refused(adder, content):
    with pytest.raises(UpdateRejectedError):
        adder.parse(join_chunks([content]), VALUES)


@pytest.mark.parametrize("kind", ["bits", "header-bytes", "cut", "spliced"])
def test_a_mutant_is_refused_or_becomes_a_sum_that_opens_or_does_not(cipher, adder, body, kind):
    """Nothing but our errors, whatever is done to a ciphertext; what still parses adds, and then opens or not."""
    rng = np.random.default_rng(0)
    total = adder.parse(body, VALUES)
    [chunk] = split_chunks(body, count=1, max_bytes=MAX_CIPHERTEXT_BYTES)
    refused = 0
    for _ in range(75):
        mutant = bytearray(chunk)
        if kind == "bits":
            mutant[rng.integers(len(mutant))] ^= 1 << int(rng.integers(8))
        elif kind == "header-bytes":
            mutant[rng.integers(200)] = rng.integers(256)
        elif kind == "cut":
            del mutant[rng.integers(len(mutant)) :]
        else:
            start = int(rng.integers(300))
            mutant[start : start + int(rng.integers(4))] = rng.bytes(int(rng.integers(9)))
        try:
            mixed = adder.serialise(adder.add(total, adder.parse(join_chunks([bytes(mutant)]), VALUES)))
            cipher.decrypt(mixed, VALUES)
        except PrivacyError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize(("values", "expected"), [(1, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3)])
def test_a_ciphertext_holds_4096_values(values, expected):
    assert ciphertexts(values) == expected
