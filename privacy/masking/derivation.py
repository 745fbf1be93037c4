"""How the keys of mask streams follow from what sites agree on, and the commitments they are held to.

Two sites that know each other's ephemeral X25519 keys have a secret nobody else has; HKDF-SHA256 makes it a stream's
key, with the transcript of the attempt as salt: equal keys in another attempt would still give another stream. The site
whose id comes first adds the stream, the other subtracts it. A site's self-mask grows from a seed of its own, which it
commits to beforehand.

A public key of low order would make the shared secret zero, known to all (RFC 7748, section 6.1), and one that is not
below the field's prime would be a second name of another key: both are refused.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ..derived_key import hkdf
from ..errors import MaskingError

_CURVE_PRIME: Final = 2**255 - 19


def pairwise_key(private: X25519PrivateKey, public: bytes, transcript: bytes, site: str, peer: str) -> bytes:
    """The stream key of two sites, from the private key of one and the public key of the other; 32 bytes.

    Raises:
        MaskingError: the public key is of low order.
    """
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise MaskingError(f"the mask key of {peer} is of low order: what is agreed with it is no secret") from None
    parties = b"".join(map(bytes.fromhex, sorted((site, peer))))
    return hkdf(shared, b"nasturtium pairwise mask v1\0" + parties, salt=transcript)


def self_key(seed: bytes, transcript: bytes, site: str) -> bytes:
    """The stream key of a site's self-mask, from its seed; 32 bytes."""
    return hkdf(seed, b"nasturtium self mask v1\0" + bytes.fromhex(site), salt=transcript)


def pairwise_sign(site: str, peer: str) -> int:
    """+1 where `site` adds the stream it shares with `peer`, else -1."""
    return 1 if site < peer else -1


def check_public_key(key: bytes, what: str) -> None:
    """Refuse an X25519 public key of low order, or that is not written as numbers below the field's prime are.

    Raises:
        MaskingError: it is such a key.
    """
    if int.from_bytes(key, "little") < _CURVE_PRIME:
        try:
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
            return
        except ValueError:
            pass
    raise MaskingError(f"{what} is none: it is of low order, or not below the field's prime")


def commit_seed(seed: bytes, plan: bytes, site: str) -> bytes:
    """A site's commitment to its self-mask seed, 32 bytes."""
    return hashlib.sha256(b"nasturtium mask seed v1\0" + plan + bytes.fromhex(site) + seed).digest()


def commit_share(share: bytes, transcript: bytes, dealer: str, recipient: str, kind: bytes) -> bytes:
    """A dealer's commitment to a share, 32 bytes. Shares are uniform in 2^256: it hides what it binds."""
    parties = bytes.fromhex(dealer) + bytes.fromhex(recipient)
    return hashlib.sha256(b"nasturtium mask share v1\0" + kind + transcript + parties + share).digest()
