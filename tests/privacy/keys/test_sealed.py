"""Sealed boxes open for their recipient and their context, and for nobody and nothing else."""

from __future__ import annotations

import hashlib
import hmac
from traceback import format_exception

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy.errors import PrivacyError
from nasturtium.privacy.keys.sealed import OVERHEAD, seal, unseal

# RFC 7748, section 6.1.
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = X25519PrivateKey.from_private_bytes(
    bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
)
BOB_PUBLIC = BOB.public_key().public_bytes_raw()
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
# Points of low order on curve25519: https://cr.yp.to/ecdh.html#validate
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output."""
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def test_a_box_is_built_as_documented():
    """Made here from the primitives, with an agreement of the standard's."""
    key = hkdf_sha256(SHARED, ALICE_PUBLIC + BOB_PUBLIC, b"nasturtium sealed v1\0for bob")
    box = ALICE_PUBLIC + ChaCha20Poly1305(key).encrypt(bytes(12), b"hello", None)
    assert unseal(BOB, box, b"for bob") == b"hello"


@given(plaintext=st.binary(max_size=200), context=st.binary(max_size=50))
def test_what_is_sealed_is_opened(plaintext, context):
    box = seal(BOB_PUBLIC, plaintext, context)
    assert len(box) == len(plaintext) + OVERHEAD
    assert unseal(BOB, box, context) == plaintext


def test_two_boxes_of_the_same_have_nothing_in_common():
    first, second = (seal(BOB_PUBLIC, bytes(64), b"") for _ in range(2))
    assert not {first[i : i + 8] for i in range(len(first) - 7)} & {second[i : i + 8] for i in range(len(second) - 7)}


@given(data=st.data())
def test_any_flipped_bit_is_found(data):
    box = bytearray(seal(BOB_PUBLIC, b"secret", b"context"))
    bit = data.draw(st.just(255) | st.integers(0, 8 * len(box) - 1))  # X25519 itself ignores bit 255
    box[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PrivacyError, match="cannot be opened"):
        unseal(BOB, bytes(box), b"context")


@pytest.mark.parametrize(
    ("private", "context", "change"),
    [
        pytest.param(X25519PrivateKey.generate(), b"context", lambda box: box, id="another-recipient"),
        pytest.param(BOB, b"context2", lambda box: box, id="another-context"),
        pytest.param(BOB, b"", lambda box: box, id="no-context"),
        pytest.param(BOB, b"context", lambda box: b"", id="empty"),
        pytest.param(BOB, b"context", lambda box: box[: OVERHEAD - 1], id="too-short-to-be-one"),
        pytest.param(BOB, b"context", lambda box: box[:-1], id="cut-off"),
        pytest.param(BOB, b"context", lambda box: box + b"\0", id="longer"),
        *(
            pytest.param(BOB, b"context", lambda box, key=key: bytes.fromhex(key) + box[32:], id=f"order-{key[:4]}")
            for key in LOW_ORDER
        ),
    ],
)
def test_a_box_that_does_not_open_says_nothing_more(private, context, change):
    box = change(seal(BOB_PUBLIC, b"SECRET", b"context"))
    with pytest.raises(PrivacyError) as caught:
        unseal(private, box, context)
    assert str(caught.value) == "a sealed box cannot be opened (hint: ask its sender for a new one)"
    assert "SECRET" not in "".join(format_exception(caught.value))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("key", ["", "00" * 31, "00" * 33, *LOW_ORDER])
def test_nothing_is_sealed_to_what_is_no_key(key):
    with pytest.raises(PrivacyError, match="no X25519 public key"):
        seal(bytes.fromhex(key), b"secret", b"")
