"""Keys from secrets: HKDF-SHA256 (RFC 5869), as all of this package derives them."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def hkdf(secret: bytes, info: bytes, *, salt: bytes | None = None, length: int = 32) -> bytes:
    """Bytes that tell nothing of `secret`, nor of what is derived with another `info` or `salt`."""
    return HKDF(SHA256(), length, salt=salt, info=info).derive(secret)


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes for another purpose of a key that is already shared."""
    return hkdf(secret, b"nasturtium derived key v1\0" + purpose)
