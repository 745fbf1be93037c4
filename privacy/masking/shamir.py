"""Secrets of 32 bytes in n shares of which any t tell it and fewer tell nothing (Shamir 1979).

The secret is the value at zero of a polynomial of degree t - 1 over the integers modulo 2^256 + 297, the smallest prime
above 2^256; its other coefficients come from the operating system. The share of index i, from 1 to n, is the value
at i.

Nothing here finds a false share: t shares of which one is false give another secret. Whoever joins them checks the
result against a commitment (`masking`). Arithmetic with Python's integers does not take constant time: shares are made
and joined where nobody else can measure it.

Source: https://doi.org/10.1145/359168.359176.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ...core import ConfigError
from ..errors import SharesError

PRIME: Final = 2**256 + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33
MAX_SHARES: Final = 1000


def generate_shares(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """The shares of a secret.

    Args:
        secret: 32 bytes.
        threshold: t, how many shares tell it; from 1.
        count: n, at least t; at most 1000.

    Returns:
        n shares of 33 bytes, most significant byte first: the first has index 1.

    Raises:
        ConfigError: out of range.
    """
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"a shared secret is {SECRET_BYTES} bytes, got {len(secret)}")
    if not 1 <= threshold <= count <= MAX_SHARES:
        raise ConfigError(f"expected 1 <= threshold <= shares <= {MAX_SHARES}, got {threshold=}, shares={count}")
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret, "big"))  # the highest first, the secret last
    shares: list[bytes] = []
    for index in range(1, count + 1):
        value = 0
        for coefficient in coefficients:
            value = (value * index + coefficient) % PRIME
        shares.append(value.to_bytes(SHARE_BYTES, "big"))
    return shares


def reconstruct(shares: Sequence[tuple[int, bytes]], threshold: int) -> bytes:
    """The secret of shares, 32 bytes, if they are all true.

    Args:
        shares: index and share, at least `threshold` of them, in any order; the first `threshold` are used.
        threshold: what the shares were made with.

    Raises:
        SharesError: too few, an index twice or out of range, no share, or shares that tell no secret.
    """
    if len(shares) < threshold:
        raise SharesError(f"{len(shares)} shares of a secret that {threshold} tell")
    indices = tuple(index for index, _ in shares)
    if len(set(indices)) != len(indices):
        raise SharesError("two shares of one index")
    if not all(1 <= index <= MAX_SHARES for index in indices):
        raise SharesError(f"a share's index is from 1 to {MAX_SHARES}, got {min(indices)} to {max(indices)}")
    values: list[int] = []
    for index, share in shares:
        value = int.from_bytes(share, "big")
        if len(share) != SHARE_BYTES or value >= PRIME:
            raise SharesError(f"the share of index {index} is none")
        values.append(value)
    used = indices[:threshold]
    secret = sum(weight * value for weight, value in zip(_weights_at_zero(used), values, strict=False)) % PRIME
    if secret >= 2 ** (8 * SECRET_BYTES):
        raise SharesError("these shares tell no secret: one of them is false")
    return secret.to_bytes(SECRET_BYTES, "big")


@lru_cache(maxsize=16)  # a round joins the secrets of many sites from the shares of the same ones
def _weights_at_zero(indices: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights of the values at `indices` in the value at zero."""
    weights: list[int] = []
    for index in indices:
        numerator, denominator = 1, 1
        for other in indices:
            if other != index:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - index) % PRIME
        weights.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return tuple(weights)
