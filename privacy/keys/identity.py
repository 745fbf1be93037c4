"""Who a party is: its name and its two public keys, safe to give to everybody.

A party (a site, or the coordinator) signs with Ed25519 and receives sealed boxes with X25519. The signing key signs the
name and both keys, so nobody can pass off another party's sealing key as their own and no key can be exchanged under
way; keys of low order, for which anybody could sign, are refused.

What this does not say is that a name is true. Anybody can make an identity that is called hospital-a: people compare
`fingerprint` over another channel (the phone, a meeting) before they sign a roster with it. This module holds nothing
secret; the private half is `identity_secret`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ...core import FormatError, canonical_json, check_header, parse_json
from ..errors import SignatureError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
IDENTITY_FORMAT: Final = "nasturtium.identity"
IDENTITY_VERSION: Final = 1
IDENTITY_DOMAIN: Final = "identity v1"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_IDENTITY_BYTES: Final = 1024  # as JSON; the longest name needs half
_SIZES: Final = {"signing_key": KEY_BYTES, "sealing_key": KEY_BYTES, "signature": SIGNATURE_BYTES}
_CURVE_PRIME: Final = 2**255 - 19


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIdentity:
    """A party as others know it.

    Attributes:
        name: letters, digits, dots, dashes and underscores; 1 to 64, the first a letter or digit.
        signing_key: Ed25519 public key, 32 bytes.
        sealing_key: X25519 public key, 32 bytes.
        signature: of name and keys by the signing key, 64 bytes.

    Raises:
        FormatError: a field that is none of its kind, or a key that is none.
        SignatureError: the signature is another's: something was changed.
    """

    name: str
    signing_key: bytes
    sealing_key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        for field, size in _SIZES.items():
            value = getattr(self, field)
            if type(value) is not bytes or len(value) != size:
                got = f"{len(value)} bytes" if type(value) is bytes else type(value).__name__
                raise FormatError(f"the {field} of {self.name}: expected {size} bytes, got {got}")
        _check_order(self.sealing_key, f"the sealing_key of {self.name}")
        _check_order(_montgomery(self.signing_key), f"the signing_key of {self.name}")
        self.verify(IDENTITY_DOMAIN, identity_message(self.name, self.signing_key, self.sealing_key), self.signature)

    @property
    def id(self) -> str:
        """Names the party in envelopes and protocols: the first 16 bytes of its digest, 32 hexadecimal digits."""
        return self._digest()[:32]

    @property
    def fingerprint(self) -> str:
        """The whole digest for people to compare: 64 hexadecimal digits in groups of four, the id first."""
        digest = self._digest()
        return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))

    def _digest(self) -> str:
        message = identity_message(self.name, self.signing_key, self.sealing_key)
        return hashlib.sha256(signed_bytes(IDENTITY_DOMAIN, message)).hexdigest()

    def verify(self, domain: str, message: bytes, signature: bytes) -> None:
        """Check that this party signed `message` for `domain`.

        Raises:
            SignatureError: it did not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.signing_key).verify(signature, signed_bytes(domain, message))
        except (InvalidSignature, ValueError):  # ValueError: no point of the curve
            raise SignatureError(
                f"a signature for {domain!r} is not that of {self.name}",
                hint="what was signed was changed, or somebody else signed it: ask its sender for it again",
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; bytes as hexadecimal digits."""
        return {
            "format": IDENTITY_FORMAT,
            "version": IDENTITY_VERSION,
            "name": self.name,
            "signing_key": self.signing_key.hex(),
            "sealing_key": self.sealing_key.hex(),
            "signature": self.signature.hex(),
        }

    def to_json(self) -> str:
        """The identity as one line of canonical JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """Parse and check what `to_dict` made.

        Raises:
            FormatError: no identity, of a newer version, or with a field too many, too few or of the wrong form.
            SignatureError: something in it was changed.
        """
        document = check_header(value, IDENTITY_FORMAT, IDENTITY_VERSION)
        names = [field.name for field in fields(cls)]
        if set(document) != {"format", "version", *names}:
            raise FormatError(f"{IDENTITY_FORMAT}: expected the fields {', '.join(names)}, got {', '.join(document)}")
        parts = {field: parse_hex(document[field], size, f"an identity's {field}") for field, size in _SIZES.items()}
        return cls(name=document["name"], **parts)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse JSON from outside; see `from_dict`."""
        if len(text) > MAX_IDENTITY_BYTES:
            raise FormatError(f"{IDENTITY_FORMAT}: expected at most {MAX_IDENTITY_BYTES} letters, got {len(text)}")
        return cls.from_dict(parse_json(text))


def check_name(name: object) -> str:
    """A party's name, if it is one.

    Raises:
        FormatError: it is not.
    """
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise FormatError(
            f"expected the name of a site or coordinator, got {name!r:.80}",
            hint="1 to 64 ASCII letters, digits, dots, dashes and underscores, the first a letter or digit",
        )
    return name


def parse_hex(value: object, size: int, what: str) -> bytes:
    """`size` bytes from lower-case hexadecimal digits: one value has one text.

    Raises:
        FormatError: it is anything else.
    """
    if isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", value):
        return bytes.fromhex(value)
    raise FormatError(f"{what}: expected {2 * size} lower-case hexadecimal digits, got {value!r:.140}")


def signed_bytes(domain: str, message: bytes) -> bytes:
    """What a signature for `domain` is made over: no signature can be taken for one of another domain."""
    if not domain or "\0" in domain:
        raise ValueError(f"a signature's domain is a text without zero bytes, got {domain!r}")
    return b"nasturtium " + domain.encode() + b"\0" + message


def identity_message(name: str, signing_key: bytes, sealing_key: bytes) -> bytes:
    """What an identity signs about itself."""
    return signing_key + sealing_key + name.encode()


def _check_order(key: bytes, what: str) -> None:
    """Refuse X25519 keys of low order: what anybody agrees on with them is zero."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        raise FormatError(f"{what} is none: it is of low order", hint="make a new identity") from None


def _montgomery(signing_key: bytes) -> bytes:
    """The X25519 key at an Ed25519 key's place, u = (1 + y) / (1 - y), which has the same order (RFC 7748, 4.1)."""
    y = (int.from_bytes(signing_key, "little") & (2**255 - 1)) % _CURVE_PRIME
    u = (1 + y) * pow(1 - y, _CURVE_PRIME - 2, _CURVE_PRIME) % _CURVE_PRIME
    return u.to_bytes(KEY_BYTES, "little")
