"""Signatures of the ledger: the key that makes them, in a file only its owner can read, and the signed heads that
sites keep.

Threat model: whoever has the key file can sign any ledger; whoever has only the database cannot. A head that was handed
out binds its signer to everything up to that entry: a ledger that says otherwise later is found by any one holder of
the head. A signature tells who signed, not that the signer is to be trusted: sites compare the public key with the
one they know. The key is drawn from the operating system and never enters the database, a log or a message.
"""

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Self

from ..core import FormatError, canonical_json, check_header, parse_json
from .errors import IntegrityError, StorageError

DOMAIN: Final = b"nasturtium ledger head v1\0"  # what is signed can be nothing else than a head
HEAD_FORMAT: Final = "nasturtium-ledger-head"
HEAD_VERSION: Final = 1
_SEED_BYTES = 32
_MAX_KEY_BYTES = 4096
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a pipe of that name must not make us wait
_FORMS = {
    "ledger": (re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}"), "a ULID"),
    "hash": (re.compile(r"[0-9a-f]{64}"), "64 lower-case hexadecimal digits"),
    "signer": (re.compile(r"[0-9a-f]{64}"), "64 lower-case hexadecimal digits"),
    "signature": (re.compile(r"[0-9a-f]{128}"), "128 lower-case hexadecimal digits"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The last entry of a ledger at some time, signed: whoever keeps it finds out if anything up to it is changed.

    What is signed: `DOMAIN`, the ledger's ULID, the sequence as eight bytes, most significant first, and the hash as
    32 bytes.

    Raises:
        FormatError: a field that is none of its kind.
    """

    ledger: str  # ULID of the database instance
    sequence: int  # of the entry, from 1
    hash: str  # of the entry: SHA-256, hexadecimal
    signer: str  # Ed25519 public key, hexadecimal
    signature: str  # Ed25519, hexadecimal

    def __post_init__(self) -> None:
        if type(self.sequence) is not int or not 1 <= self.sequence < 2**63:
            raise FormatError(f"a head's sequence: expected an integer from 1, got {self.sequence!r:.40}")
        for name, (form, expected) in _FORMS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not form.fullmatch(value):
                raise FormatError(f"a head's {name}: expected {expected}, got {value!r:.140}")

    def verify(self) -> None:
        """Check that `signature` is the signer's.

        Raises:
            IntegrityError: it is not.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        message = _message(self.ledger, self.sequence, self.hash)
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.signer))
            key.verify(bytes.fromhex(self.signature), message)
        except (InvalidSignature, ValueError) as exc:  # ValueError: no point of the curve
            raise IntegrityError(
                f"the signature of entry {self.sequence} of ledger {self.ledger} is not that of its signer"
                f" {self.signer[:16]}",
                hint="one of its fields was changed: ask for the head again, or take it from a copy",
            ) from exc

    def to_json(self) -> str:
        """The head as one line of JSON, for a site to keep."""
        return canonical_json({"format": HEAD_FORMAT, "version": HEAD_VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse what `to_json` wrote; the signature is not checked yet.

        Raises:
            FormatError: not a head, of a newer version, or with a field too many, too few or of the wrong form.
        """
        document = check_header(parse_json(text), HEAD_FORMAT, HEAD_VERSION)
        names = [field.name for field in fields(cls)]
        if set(document) != {"format", "version", *names}:
            raise FormatError(f"{HEAD_FORMAT}: expected the fields {', '.join(names)}, got {', '.join(document)}")
        return cls(**{name: document[name] for name in names})


class SigningKey:
    """The Ed25519 key of whoever writes a ledger.

    Args:
        seed: 32 bytes from the operating system. `open` is how a key is made and found again.
    """

    __slots__ = ("_private", "public")

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: Final = self._private.public_key().public_bytes_raw().hex()

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"

    @classmethod
    def open(cls, path: Path) -> Self:
        """The key in the file `path`, which is made where there is none; of several processes that make it, one does.

        Raises:
            IntegrityError: the file holds no Ed25519 key, or others than its owner can read it.
            StorageError: the file cannot be read or made.
        """
        try:
            content = _read(path)
            if content is None:
                _create(path)
                content = _read(path)
        except OSError as exc:
            raise StorageError(
                f"cannot use the ledger's key file {path}: {exc.strerror}", hint="check the permissions of its folder"
            ) from exc
        if content is None:
            raise StorageError(f"the ledger's key file {path} vanished while it was made", hint="try again")
        return cls(_parse(content, path))

    def sign(self, message: bytes) -> bytes:
        """The signature of any message, 64 bytes."""
        return self._private.sign(message)

    def sign_head(self, ledger: str, sequence: int, hash: str) -> SignedHead:
        """Sign the entry `sequence` of a ledger, and so all that it is chained to."""
        signature = self.sign(_message(ledger, sequence, hash)).hex()
        return SignedHead(ledger=ledger, sequence=sequence, hash=hash, signer=self.public, signature=signature)


def _message(ledger: str, sequence: int, hash: str) -> bytes:
    return DOMAIN + ledger.encode() + sequence.to_bytes(8, "big") + bytes.fromhex(hash)


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that what is checked is what is read
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"the ledger's key {path} is not a regular file", hint="move it away")
        if os.name == "posix" and status.st_mode & 0o077:
            raise IntegrityError(
                f"others than its owner can read the ledger's key {path}: its mode is {status.st_mode & 0o777:03o},"
                " expected 600",
                hint=f"chmod 600 {path}; if somebody may have read it, move it away, and a new one is made",
            )
        return file.read(_MAX_KEY_BYTES + 1)


def _create(path: Path) -> None:
    """Write a new key under another name and link it to `path`: it appears there whole, and replaces none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.from_private_bytes(secrets.token_bytes(_SEED_BYTES))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key is the one
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too
        finally:
            os.close(folder)


def _parse(content: bytes, path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Not chained to the parser's own error, which could show a part of what is in the file.
        raise IntegrityError(
            f"the ledger's key file {path} holds no Ed25519 private key",
            hint="restore it from a copy, or move it away: a new one is made, and verifying shows the new signer",
        )
    return key.private_bytes_raw()
