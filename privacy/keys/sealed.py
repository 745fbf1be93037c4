"""Sealed boxes: bytes that only the holder of one X25519 key can read.

    ephemeral public key, 32 bytes | ChaCha20-Poly1305 ciphertext and tag

The sender draws an X25519 key for this one box. What it and the recipient's key agree on becomes, by HKDF-SHA256 with
both public keys as salt, the key of one ChaCha20-Poly1305 encryption; its nonce is zero, because the key is used once.
`context` says what the box is for (purpose, run, round, sender, recipient): a box opened for anything else does not
open. This is the construction of libsodium's sealed boxes, and in its parts that of HPKE (RFC 9180).

Whoever carries a box learns its length and nothing else. A box does not say who sealed it: anybody can, so what must
come from somebody is signed. A recipient's key that is stolen later opens the boxes that were kept.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..derived_key import hkdf
from ..errors import PrivacyError

KEY_BYTES: Final = 32
OVERHEAD: Final = KEY_BYTES + 16  # what a box is longer than what is in it
_DOMAIN: Final = b"nasturtium sealed v1\0"
_NONCE: Final = bytes(12)


def seal(recipient_public_key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Seal `plaintext` so that only the holder of the recipient's key can read it, and only for `context`.

    Args:
        recipient_public_key: X25519, 32 bytes.
        plaintext: any length.
        context: what the box is for, unambiguous; the recipient must know the same bytes.

    Returns:
        The box, `OVERHEAD` bytes longer; sealing the same again gives another one.

    Raises:
        PrivacyError: the public key is none that anything can be sealed to.
    """
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient_public_key))
    except ValueError:  # not 32 bytes, or of low order: the shared secret would be known to all
        raise PrivacyError("nothing can be sealed to this key: it is no X25519 public key") from None
    return public + _cipher(shared, public + recipient_public_key, context).encrypt(_NONCE, plaintext, None)


def unseal(private_key: X25519PrivateKey, sealed: bytes, context: bytes) -> bytes:
    """What `seal` was given, if it was for this key and this context.

    Raises:
        PrivacyError: for another key or context, changed, or no box; which of them is not said.
    """
    if len(sealed) >= OVERHEAD:
        public, body = sealed[:KEY_BYTES], sealed[KEY_BYTES:]
        try:
            shared = private_key.exchange(X25519PublicKey.from_public_bytes(public))
            salt = public + private_key.public_key().public_bytes_raw()
            return _cipher(shared, salt, context).decrypt(_NONCE, body, None)
        except (ValueError, InvalidTag):  # ValueError: the ephemeral key is of low order
            pass
    raise PrivacyError("a sealed box cannot be opened", hint="ask its sender for a new one")


def _cipher(shared: bytes, salt: bytes, context: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hkdf(shared, _DOMAIN + context, salt=salt))
