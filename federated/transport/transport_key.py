"""A site's transport key: one NIST P-384 key for its TLS client certificate and for Flower's SuperNode authentication.

The private key is made at the site and never leaves it; the coordinator certifies the public one. It moves messages and
protects nothing in them: whoever steals it can take the site's place on the wire, receive what the coordinator sends it
and keep it from answering, until the coordinator removes the site. It opens no update and signs none; these are the
keys of `privacy`.

TLS 1.3 signs a context that begins with 64 spaces and Flower an ASCII time, so no signature serves for both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ...core import FormatError
from ...privacy import KeyFileError, SignatureError, read_file, write_file

CURVE: Final = ec.SECP384R1
POINT_BYTES: Final = 97  # uncompressed: 0x04, x, y
PROOF_BYTES: Final = range(8, 105)  # an ECDSA signature as DER
_MAX_FILE_BYTES: Final = 4096
_PROOF: Final = b"nasturtium transport key v1\0"


class TransportKey:
    """A site's private transport key.

    Args:
        private: on the curve P-384. `generate` and `load` are how one is made.
    """

    __slots__ = ("point", "private")

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private.curve, CURVE):
            raise ValueError(f"a transport key is on the curve secp384r1, got {private.curve.name}")
        self.private: Final = private
        self.point: Final = encode_point(private.public_key())

    @classmethod
    def generate(cls) -> Self:
        """A new key from the operating system's randomness."""
        return cls(ec.generate_private_key(CURVE()))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in a file that `save` wrote.

        Raises:
            KeyFileError: there is none, others can read it, or it is damaged.
        """
        text = read_file(path, _MAX_FILE_BYTES, secret=True)
        try:
            private = load_pem_private_key(text.encode(), None)
            if isinstance(private, ec.EllipticCurvePrivateKey):
                return cls(private)
        except (ValueError, TypeError):
            pass
        raise KeyFileError(f"{path} holds no transport key, or is damaged", hint="restore it from a copy")

    def save(self, path: Path) -> None:
        """Write the key to a file with mode 0600, PEM as OpenSSL reads it, without a passphrase.

        Raises:
            KeyFileError: the file is there already, or cannot be written.
        """
        write_file(path, self.pem(), replace=False)

    def pem(self) -> str:
        """The private key as PKCS#8, for a file of its owner's and nobody else."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def prove(self, context: bytes) -> bytes:
        """A signature that shows who holds the key, 8 to 104 bytes; `check_proof` checks it."""
        return self.private.sign(_PROOF + context, ec.ECDSA(hashes.SHA384()))

    def __repr__(self) -> str:
        return f"TransportKey({self.point[1:9].hex()}...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport key is not pickled or copied")


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The public key at a point of the curve.

    Args:
        point: 97 bytes, uncompressed.

    Raises:
        FormatError: no such point.
    """
    if len(point) == POINT_BYTES and point[0] == 4:
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(CURVE(), point)
        except ValueError:
            pass
    raise FormatError(f"a transport key: expected a point of P-384, {POINT_BYTES} bytes, got {len(point)} others")


def encode_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as its point, 97 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def node_key(point: bytes) -> bytes:
    """The public key as Flower knows the node of its owner by: PEM.

    Raises:
        FormatError: no point of the curve.
    """
    return public_key(point).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def check_proof(point: bytes, context: bytes, proof: bytes) -> None:
    """Check that the holder of the private key signed `context`.

    Raises:
        FormatError: no point of the curve.
        SignatureError: somebody else signed it, or something else.
    """
    try:
        public_key(point).verify(proof, _PROOF + context, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise SignatureError(
            "the transport key did not sign what it stands in", hint="it was changed under way: ask for it again"
        ) from None
