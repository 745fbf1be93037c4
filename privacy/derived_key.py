"""Keys for other purposes, from a key that is already shared."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes that tell nothing of `secret`, nor of what is derived for other purposes (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=b"nasturtium derived key v1\0" + purpose).derive(secret)
