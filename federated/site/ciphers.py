"""`Ciphers`: a site's side of the schemes it may be asked for. A run says by which preset its updates are protected."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from ...privacy import Cipher
from ..errors import PlanError, Refusal

PACKED: Final = "packed"
PLAIN: Final = "plain"
PLAIN_SPARSE: Final = "plain-sparse"  # of runs whose compression leaves most of an update out


@runtime_checkable
class Ciphers(Protocol):
    """What a site can protect its updates with, all under one key."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """The names of the schemes."""
        ...

    @property
    def key_id(self) -> str:
        """Of the key; `NO_KEY` where there is none."""
        ...

    def derive_key(self, purpose: bytes) -> bytes | None:
        """A key for another purpose, of all who have this one; see `Cipher.derive_key`."""
        ...

    def find(self, preset: str, scheme: str) -> Cipher:
        """The cipher that a plan asks for.

        Args:
            preset: its name; empty where the site has only one.
            scheme: its name.

        Raises:
            PlanError: the site has none.
        """
        ...


class OneCipher:
    """One cipher and no other: where all parties are one, and have agreed on it."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    @property
    def schemes(self) -> tuple[str, ...]:
        """See `Ciphers`."""
        return (self._cipher.scheme,)

    @property
    def key_id(self) -> str:
        """See `Ciphers`."""
        return self._cipher.key_id

    def derive_key(self, purpose: bytes) -> bytes | None:
        """See `Ciphers`."""
        return self._cipher.derive_key(purpose)

    def find(self, preset: str, scheme: str) -> Cipher:
        """See `Ciphers`; the scheme is the cipher's whatever it is called."""
        if preset not in ("", self._cipher.preset.name):
            raise PlanError(
                f"this site protects with {self._cipher.preset.name}, the plan asks for {preset:.80}",
                refusal=Refusal.KEY,
            )
        return self._cipher
