"""The private half of an identity: signs, and opens what is sealed to it.

It is made from the operating system's randomness, stays in the process and the key file of its owner (`keys.files`),
and enters no text, log, exception or pickle. A coordinator has one too, to sign sums with; nothing in here decrypts an
update. Whoever steals it can speak as its owner until the roster is changed, and open the boxes that were sent to it.
"""

from __future__ import annotations

import secrets
from typing import Final, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import KeyFileError
from .identity import IDENTITY_DOMAIN, PublicIdentity, check_name, identity_message, signed_bytes
from .sealed import unseal

SECRET_BYTES: Final = 64  # Ed25519 seed, then X25519 private key


class Identity:
    """A party's name and private keys.

    Args:
        name: see `PublicIdentity`.
        secret: 64 bytes, as `secret_bytes` gave them. `generate` is how an identity is made.

    Raises:
        FormatError: no name of a party.
        KeyFileError: not 64 bytes.
    """

    __slots__ = ("_sealing", "_signing", "public")

    def __init__(self, name: str, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise KeyFileError(f"the private keys of an identity are {SECRET_BYTES} bytes, got {len(secret)}")
        self._signing = Ed25519PrivateKey.from_private_bytes(secret[:32])
        self._sealing = X25519PrivateKey.from_private_bytes(secret[32:])
        signing_key = self._signing.public_key().public_bytes_raw()
        sealing_key = self._sealing.public_key().public_bytes_raw()
        message = identity_message(check_name(name), signing_key, sealing_key)
        signature = self.sign(IDENTITY_DOMAIN, message)
        self.public: Final = PublicIdentity(
            name=name, signing_key=signing_key, sealing_key=sealing_key, signature=signature
        )

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new identity, its keys drawn from the operating system.

        Raises:
            FormatError: no name of a party.
        """
        return cls(name, secrets.token_bytes(SECRET_BYTES))

    def sign(self, domain: str, message: bytes) -> bytes:
        """The signature of `message` for `domain`, 64 bytes; `PublicIdentity.verify` checks it."""
        return self._signing.sign(signed_bytes(domain, message))

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Open a box that was sealed to this party for `context`.

        Raises:
            PrivacyError: it was not, or it was changed; which of them is not said.
        """
        return unseal(self._sealing, sealed, context)

    def secret_bytes(self) -> bytes:
        """The private keys, 64 bytes, for `keys.files` to protect and for nobody else."""
        return self._signing.private_bytes_raw() + self._sealing.private_bytes_raw()

    def __repr__(self) -> str:
        return f"Identity({self.public.name!r}, id={self.public.id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity's private keys are not pickled or copied")
