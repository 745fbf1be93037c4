"""The ciphers of a site that has the federation's key. Never for a coordinator: it decrypts."""

from __future__ import annotations

from functools import lru_cache

from ...core import ConfigError
from ...privacy import MIN_SUMMANDS, Cipher, PackedCipher, PlainCipher, Preset, SecretKey, smallest_preset
from ..errors import PlanError, Refusal
from .ciphers import PACKED, PLAIN, PLAIN_SPARSE


class KeyCiphers:
    """The packed scheme under the sites' key with any preset, and plain updates where the policy allows them.

    Args:
        key: of the sites.
        plain: whether updates may leave without encryption.
    """

    def __init__(self, key: SecretKey, *, plain: bool) -> None:
        self._key = key
        self._plain = plain
        self._any = PackedCipher(key, smallest_preset(MIN_SUMMANDS, 8))
        self._make = lru_cache(maxsize=16)(self._make_cipher)

    @property
    def schemes(self) -> tuple[str, ...]:
        """See `Ciphers`."""
        return (PACKED, PLAIN, PLAIN_SPARSE) if self._plain else (PACKED,)

    @property
    def key_id(self) -> str:
        """See `Ciphers`."""
        return self._key.key_id

    def derive_key(self, purpose: bytes) -> bytes | None:
        """See `Ciphers`."""
        return self._any.derive_key(purpose)

    def find(self, preset: str, scheme: str) -> Cipher:
        """See `Ciphers`."""
        if scheme not in self.schemes:
            raise PlanError(f"this site has no scheme {scheme!r:.40}", refusal=Refusal.KEY)
        try:
            return self._make(preset, scheme)
        except ConfigError as exc:
            raise PlanError(f"no preset of this site: {exc.message}", refusal=Refusal.KEY) from exc

    def _make_cipher(self, preset: str, scheme: str) -> Cipher:
        known = Preset.named(preset)
        return PackedCipher(self._key, known) if scheme == PACKED else PlainCipher(known, sparse=scheme == PLAIN_SPARSE)
