"""No protection: the same integers in the clear, for comparison and for data that is not secret.

Threat model: none. The coordinator reads every update.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from .errors import UpdateRejectedError

SCHEME = "plain"


class PlainCipher:
    """The sites' side of `plain`."""

    scheme = SCHEME
    key_id = ""

    def encrypt(self, values: np.ndarray) -> bytes:
        """Little-endian int64."""
        return values.astype("<i8").tobytes()

    def decrypt(self, body: bytes, count: int) -> np.ndarray:
        """The integers again."""
        return _parse(body, count)


class PlainAdder:
    """The coordinator's side of `plain`."""

    scheme = SCHEME
    key_id = ""
    parameters_sha256: str | None = None
    public_key_sha256: str | None = None

    def parse(self, body: bytes, count: int) -> list[object]:
        """Check the length."""
        return [_parse(body, count)]

    def add(self, total: list[object], update: list[object]) -> list[object]:
        """Integer sum."""
        return [cast(np.ndarray, total[0]) + cast(np.ndarray, update[0])]

    def serialise(self, total: list[object]) -> bytes:
        """Little-endian int64."""
        return cast(np.ndarray, total[0]).astype("<i8").tobytes()


def _parse(body: bytes, count: int) -> np.ndarray:
    if len(body) != 8 * count:
        raise UpdateRejectedError(f"expected {8 * count} bytes for {count} values, got {len(body)}")
    return np.frombuffer(body, "<i8").astype(np.int64)
