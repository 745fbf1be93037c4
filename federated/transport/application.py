"""What a site sends to the coordinator to be admitted: who it is, and its transport key (`NAME.pub`).

Nothing in it is secret. The identity signs the transport key and the transport key signs the identity, so neither can
be exchanged under way, and nobody applies with a key that is another's. That the site is the one people mean is for
them to compare: the identity's fingerprint, over another channel, before it is admitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ...core import ConfigError, FormatError, NasturtiumError, canonical_json, check_header, parse_json
from ...privacy import Identity, PublicIdentity, write_file
from .fields import check_fields, parse_hex
from .transport_key import POINT_BYTES, PROOF_BYTES, TransportKey, check_proof

APPLICATION_FORMAT: Final = "nasturtium.site-application"
APPLICATION_VERSION: Final = 1
APPLICATION_DOMAIN: Final = "site application v1"
MAX_APPLICATION: Final = 4096  # letters; the longest needs a third
_FIELDS: Final = ("identity", "transport_key", "proof", "signature")
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A site that wants to be admitted.

    Attributes:
        identity: who it is.
        transport_key: its public transport key, a point of P-384, 97 bytes.
        proof: signature of the identity by the transport key, 8 to 104 bytes.
        signature: of transport key and proof by the identity, 64 bytes.

    Raises:
        FormatError: a field that is none of its kind.
        SignatureError: something was exchanged.
    """

    identity: PublicIdentity
    transport_key: bytes
    proof: bytes
    signature: bytes

    def __post_init__(self) -> None:
        check_proof(self.transport_key, _context(self.identity), self.proof)
        self.identity.verify(APPLICATION_DOMAIN, self.transport_key + self.proof, self.signature)

    @classmethod
    def make(cls, identity: Identity, key: TransportKey) -> Self:
        """The application of a site, by its own keys."""
        proof = key.prove(_context(identity.public))
        signature = identity.sign(APPLICATION_DOMAIN, key.point + proof)
        return cls(identity=identity.public, transport_key=key.point, proof=proof, signature=signature)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.identity.name

    def to_json(self) -> str:
        """The application as one line of canonical JSON."""
        document: dict[str, Any] = {
            "format": APPLICATION_FORMAT,
            "version": APPLICATION_VERSION,
            "identity": self.identity.to_dict(),
            "transport_key": self.transport_key.hex(),
            "proof": self.proof.hex(),
            "signature": self.signature.hex(),
        }
        return canonical_json(document)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check JSON from outside.

        Raises:
            FormatError: no application, of a newer version, or with a field too many, too few or of the wrong form.
            SignatureError: something in it was changed.
        """
        if len(text) > MAX_APPLICATION:
            raise FormatError(f"{APPLICATION_FORMAT}: expected at most {MAX_APPLICATION} letters, got {len(text)}")
        document = check_header(parse_json(text), APPLICATION_FORMAT, APPLICATION_VERSION)
        check_fields(document, APPLICATION_FORMAT, _FIELDS)
        one = range(POINT_BYTES, POINT_BYTES + 1), range(_SIGNATURE_BYTES, _SIGNATURE_BYTES + 1)
        return cls(
            identity=PublicIdentity.from_dict(document["identity"]),
            transport_key=parse_hex(document["transport_key"], one[0], "an application's transport_key"),
            proof=parse_hex(document["proof"], PROOF_BYTES, "an application's proof"),
            signature=parse_hex(document["signature"], one[1], "an application's signature"),
        )

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Write it for the coordinator.

        Raises:
            KeyFileError: the file is there and not to be replaced, or it cannot be written.
        """
        write_file(path, self.to_json() + "\n", replace=replace)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of a site's.

        Raises:
            ConfigError: it cannot be read.
            FormatError: it is no application.
            SignatureError: it was changed.
        """
        text = read_text(path, MAX_APPLICATION)
        try:
            return cls.from_json(text)
        except NasturtiumError as exc:
            hint = exc.hint or "expected the file NAME.pub of a site, as nasturtium federate init site makes it"
            raise type(exc)(f"{path}: {exc.message}", hint=hint) from exc


def read_text(path: Path, letters: int, *, hint: str = "check the path") -> str:
    """A file from others, of which no more is read than `letters` and a line's end.

    Raises:
        ConfigError: it cannot be read, or is too long.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(letters + 2)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(f"cannot read {path}: {reason}", hint=hint) from exc
    text = text.removesuffix("\n").removesuffix("\r")
    if len(text) > letters:
        raise ConfigError(f"{path} is too long: expected at most {letters} letters", hint="check the path")
    return text


def _context(identity: PublicIdentity) -> bytes:
    return canonical_json(identity.to_dict()).encode()
