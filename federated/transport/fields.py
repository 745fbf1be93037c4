"""Checked fields of the documents that sites and coordinator exchange."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ...core import FormatError

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"
_YEARS: Final = range(2000, 10_000)  # others are mistakes of a clock, and not all systems can print them


class Address(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """`host:port`, or `[host]:port` for an IPv6 address; the port in [1, 65535].

    Raises:
        FormatError: anything else.
    """
    if isinstance(value, str) and len(value) <= 270:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+)):([1-9][0-9]{0,4})", value)
        if match and int(match[3]) < 2**16:
            host = match[1] or match[2]
            if is_ip(host) if match[1] else is_host(host):
                return Address(canonical_host(host), int(match[3]))
    raise FormatError(f"expected an address like fl.example.org:8443, got {value!r:.300}")


def is_ip(host: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address without a zone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_host(host: str) -> bool:
    """Whether a text is an IP address or a DNS name in ASCII; an international one is written as xn--..."""
    return is_ip(host) or (_HOST.fullmatch(host) is not None and not re.fullmatch(r"[0-9.]+", host))


def canonical_host(host: str) -> str:
    """A host in the one way certificates write it: names in small letters, addresses compressed."""
    return str(ipaddress.ip_address(host)) if is_ip(host) else host.lower().removesuffix(".")


def check_fields(document: Mapping[str, Any], form: str, names: tuple[str, ...]) -> None:
    """Check that a document has its fields and no others.

    Raises:
        FormatError: one too many or too few.
    """
    if set(document) != {"format", "version", *names}:
        raise FormatError(f"{form}: expected the fields {', '.join(names)}, got {', '.join(document):.200}")


def parse_hex(value: object, sizes: range, what: str) -> bytes:
    """Bytes from lower-case hexadecimal digits, so that one value has one text.

    Raises:
        FormatError: anything else, or a number of bytes that is not in `sizes`.
    """
    if isinstance(value, str) and re.fullmatch(r"(?:[0-9a-f]{2})*", value) and len(value) // 2 in sizes:
        return bytes.fromhex(value)
    count = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    raise FormatError(f"{what}: expected {count} bytes as lower-case hexadecimal digits, got {value!r:.80}")


def format_instant(value: datetime) -> str:
    """A time in UTC to the second, as in 2026-11-22T10:15:00Z."""
    return value.astimezone(UTC).strftime(_INSTANT)


def parse_instant(value: object, what: str) -> datetime:
    """What `format_instant` wrote.

    Raises:
        FormatError: anything else.
    """
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, re.ASCII):
        try:
            found = datetime.strptime(value, _INSTANT).replace(tzinfo=UTC)
        except ValueError:
            found = None
        if found is not None and found.year in _YEARS:
            return found
    raise FormatError(f"{what}: expected a time like 2026-11-22T10:15:00Z, got {value!r:.80}")


def now_utc() -> datetime:
    """The time, UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
