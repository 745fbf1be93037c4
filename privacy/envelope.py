"""The wire format of protected updates and sums: a header that says what the bytes are, and the bytes.

    "NSTU" | u16 version | u32 length of the header | header, canonical JSON | body

Everything is bounded before it is parsed, and the header is compared with what the round expects before the body
reaches any cryptographic parser. The header is not signed yet: it guards against mistakes, not against forgery.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast, get_type_hints

from ..core import FormatError, canonical_json, parse_json
from .errors import UpdateRejectedError

_PREFIX = struct.Struct(">4sHI")
_MAGIC = b"NSTU"
_VERSION = 1
_MAX_HEADER_BYTES = 4096
MAX_VALUES = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a body is, and which round of which run it belongs to.

    Attributes:
        scheme: how the body is protected: "ckks" or "plain".
        key_id: names the key it is encrypted under; empty for "plain".
        run: ULID of the federated run.
        round: from 1.
        sender: the site's name; "coordinator" for a sum.
        layout: SHA-256 of the `ParameterLayout` the values follow, in hex.
        values: how many numbers were protected.
        summands: how many updates are in it: 1 for an update.
    """

    scheme: str
    key_id: str
    run: str
    round: int
    sender: str
    layout: str
    values: int
    summands: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """A protected vector: the header and the body."""

    header: Header
    body: bytes

    def to_bytes(self) -> bytes:
        """For the wire."""
        header = canonical_json(asdict(self.header)).encode()
        return _PREFIX.pack(_MAGIC, _VERSION, len(header)) + header + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what came from outside; the body is not looked at.

        Raises:
            UpdateRejectedError: not an envelope, of a newer version, or its header does not parse.
        """
        if len(data) < _PREFIX.size:
            raise UpdateRejectedError(f"too short to be a protected vector: {len(data)} bytes")
        magic, version, length = cast(tuple[bytes, int, int], _PREFIX.unpack_from(data))
        if magic != _MAGIC or version != _VERSION:
            raise UpdateRejectedError(f"not a protected vector of version {_VERSION}: starts with {magic!r}, {version}")
        if length > min(_MAX_HEADER_BYTES, len(data) - _PREFIX.size):
            raise UpdateRejectedError(f"the header's length is wrong: {length}")
        end = _PREFIX.size + length
        return cls(_parse_header(data[_PREFIX.size : end]), data[end:])


class EncryptedUpdate(Envelope):
    """What one site sends."""

    __slots__ = ()


class EncryptedSum(Envelope):
    """What the coordinator makes of the updates of a round."""

    __slots__ = ()


def _parse_header(data: bytes) -> Header:
    try:
        value = parse_json(data.decode())
    except (FormatError, UnicodeDecodeError) as exc:
        raise UpdateRejectedError("the header is not JSON") from exc
    names = {field.name for field in fields(Header)}
    if not isinstance(value, dict) or set(cast(dict[str, Any], value)) != names:
        raise UpdateRejectedError(f"the header must have the fields {', '.join(sorted(names))}")
    known = cast(dict[str, Any], value)
    for name, expected in get_type_hints(Header).items():
        if type(known[name]) is not expected:
            raise UpdateRejectedError(f"the header's {name!r} must be {expected.__name__}")
    header = Header(**known)
    if not (0 < header.values <= MAX_VALUES and 0 < header.summands <= MAX_VALUES and 0 <= header.round <= MAX_VALUES):
        raise UpdateRejectedError("the header's numbers are out of range")
    return header
