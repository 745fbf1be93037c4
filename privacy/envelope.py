"""The wire format of protected updates and sums: a header of fixed size that fixes every length, a body, a signature.

    offset  bytes  field (integers big-endian)
         0      4  "NSTU"
         4      2  version, 1
         6      1  kind: 1 an update, 2 a sum
         7      1  flags: 1 for masks under the encryption, 2 for tags in the sum
         8      8  preset: scheme and parameters (`Preset.identifier`)
        16     16  key id; zeros where there is none
        32     26  run: a ULID, padded with zeros
        58      4  round, from 1
        62      4  attempt at the round, from 1
        66     16  sender: the id of its identity
        82     32  layout: SHA-256 of what the values mean
       114      8  values: how many numbers are protected
       122      4  summands: 1 for an update
       126      4  ciphertexts: of which an update has a seed of 64 bytes each at the beginning of its body
       130      8  bytes of the body
       138         body: arrays of numbers; nothing in it is parsed
       ...     64  Ed25519 signature of the sender, in the domain of the kind, over SHA-256 of all before it

An envelope is cut into these parts before anything is computed or allocated; the aggregator compares the header with
what it expects, then the lengths, then the signature, and only then reads the body.

Threat model: whoever carries an envelope sees its header (who takes part, in what, how large) and can drop it, but not
change it, nor use it for another run, round, attempt, key, model or sender.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, Self

from .errors import MalformedUpdateError
from .keys.identity import PublicIdentity

_HEADER = struct.Struct(">4sHBB8s16s26sII16s32sQIIQ")
_MAGIC: Final = b"NSTU"
_VERSION: Final = 1
_SIGNATURE_BYTES: Final = 64
_RUN_BYTES: Final = 26
_MASKED, _TAGGED = 1, 2  # flags
_HEX = {"preset": 8, "key_id": 16, "sender": 16, "layout": 32}
MAX_VALUES: Final = 2**31
MAX_BODY_BYTES: Final = 2**36
ENVELOPE_BYTES: Final = _HEADER.size + _SIGNATURE_BYTES  # what an envelope is longer than its body


class Signer(Protocol):
    """Who signs; `Identity` is one."""

    @property
    def public(self) -> PublicIdentity:
        """What others check its signatures with."""
        ...

    def sign(self, domain: str, message: bytes) -> bytes:
        """The signature of a message for a domain, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a body is, and which attempt at which round of which run it belongs to.

    Attributes:
        preset: names scheme and parameters: 8 bytes as hex.
        key_id: names the key: 16 bytes as hex; zeros where there is none.
        run: ULID of the federated run, at most 26 ASCII characters.
        round: from 1.
        attempt: from 1; a round that is run again after a crash has the next one.
        sender: id of the identity that signs: 16 bytes as hex.
        layout: SHA-256 of the layout the values follow, as hex.
        values: how many numbers are protected, 1 to 2^31.
        summands: how many updates are in it: 1 for an update.
        ciphertexts: how many the body has; 0 where it is none.
        masked: whether there are masks under the encryption (of a sum: were, until they were removed).
        tagged: whether updates carry a tag that adds up.

    Raises:
        MalformedUpdateError: a field that does not fit.
    """

    preset: str
    key_id: str
    run: str
    round: int
    attempt: int
    sender: str
    layout: str
    values: int
    summands: int
    ciphertexts: int
    masked: bool = False
    tagged: bool = True

    def __post_init__(self) -> None:
        for name, size in _HEX.items():
            value: str = getattr(self, name)
            if len(value) != 2 * size or not set(value) <= set("0123456789abcdef"):
                raise MalformedUpdateError(f"{name}: expected {size} bytes as hex, got {value!r:.80}")
        if not 0 < len(self.run) <= _RUN_BYTES or not (self.run.isascii() and self.run.isalnum()):
            raise MalformedUpdateError(f"run: expected at most {_RUN_BYTES} letters and digits, got {self.run!r:.80}")
        for name, low, high in (
            ("round", 1, 2**32 - 1),
            ("attempt", 1, 2**32 - 1),
            ("values", 1, MAX_VALUES),
            ("summands", 1, 2**32 - 1),
            ("ciphertexts", 0, MAX_VALUES),
        ):
            if not low <= getattr(self, name) <= high:
                raise MalformedUpdateError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A protected vector: the header, the body and the sender's signature of both."""

    kind: ClassVar[int]
    domain: ClassVar[str]

    header: Header
    body: bytes | memoryview = field(repr=False)
    signature: bytes

    @classmethod
    def sign(cls, header: Header, body: bytes, signer: Signer) -> Self:
        """Seal a body in the sender's name.

        Raises:
            MalformedUpdateError: the header names another sender.
        """
        if header.sender != signer.public.id:
            raise MalformedUpdateError(f"{signer.public.name} cannot sign in the name of {header.sender}")
        return cls(header, body, signer.sign(cls.domain, cls._digest(header, body)))

    def verify(self, sender: PublicIdentity) -> None:
        """Check the signature.

        Raises:
            SignatureError: it is not the sender's, or something was changed.
        """
        sender.verify(self.domain, self._digest(self.header, self.body), self.signature)

    def to_bytes(self) -> bytes:
        """For the wire."""
        return b"".join((self._pack(self.header, len(self.body)), self.body, self.signature))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Cut what came from outside into its parts; the body is a view of it and is not looked at.

        Raises:
            MalformedUpdateError: not an envelope of this kind and version, or of another length than it says.
        """
        if len(data) < ENVELOPE_BYTES:
            raise MalformedUpdateError(f"too short for a protected vector: {len(data)} bytes")
        magic, version, kind, flags, *fields, body_bytes = _HEADER.unpack_from(data)
        if (magic, version) != (_MAGIC, _VERSION) or flags > _MASKED | _TAGGED:
            raise MalformedUpdateError(f"not a protected vector of version {_VERSION}: starts with {data[:8]!r}")
        if kind != cls.kind:
            raise MalformedUpdateError(f"expected an {cls.domain}, got an envelope of kind {kind}")
        if body_bytes > MAX_BODY_BYTES or len(data) != ENVELOPE_BYTES + body_bytes:
            raise MalformedUpdateError(f"says that its body has {body_bytes} bytes, but has {len(data)} in all")
        preset, key_id, run, number, attempt, sender, layout, values, summands, ciphertexts = fields
        header = Header(
            preset=preset.hex(),
            key_id=key_id.hex(),
            run=run.rstrip(b"\0").decode("latin-1"),
            round=number,
            attempt=attempt,
            sender=sender.hex(),
            layout=layout.hex(),
            values=values,
            summands=summands,
            ciphertexts=ciphertexts,
            masked=bool(flags & _MASKED),
            tagged=bool(flags & _TAGGED),
        )
        view = memoryview(data)
        return cls(header, view[_HEADER.size : -_SIGNATURE_BYTES], bytes(view[-_SIGNATURE_BYTES:]))

    @classmethod
    def _digest(cls, header: Header, body: bytes | memoryview) -> bytes:
        digest = hashlib.sha256(cls._pack(header, len(body)))
        digest.update(body)
        return digest.digest()

    @classmethod
    def _pack(cls, header: Header, body_bytes: int) -> bytes:
        return _HEADER.pack(
            _MAGIC,
            _VERSION,
            cls.kind,
            _MASKED * header.masked | _TAGGED * header.tagged,
            bytes.fromhex(header.preset),
            bytes.fromhex(header.key_id),
            header.run.encode(),
            header.round,
            header.attempt,
            bytes.fromhex(header.sender),
            bytes.fromhex(header.layout),
            header.values,
            header.summands,
            header.ciphertexts,
            body_bytes,
        )


class EncryptedUpdate(Envelope):
    """What one site sends."""

    __slots__ = ()
    kind = 1
    domain = "update v1"


class EncryptedSum(Envelope):
    """What the coordinator makes of the updates of a round."""

    __slots__ = ()
    kind = 2
    domain = "sum v1"
