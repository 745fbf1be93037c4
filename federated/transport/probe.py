"""A connection of the tunnel's that asks the front whether it lets the site in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from .tunnel_state import TunnelCode, TunnelFailure

_MAX_HEAD: Final = 4096
_PROBE: Final = b"GET /health HTTP/1.1\r\nhost: front\r\n\r\n"


class Probe(asyncio.Protocol):
    """One connection, asked again and again.

    Args:
        probes: it is one of them while it is open.
        ended: called when the front ends it.
    """

    def __init__(self, probes: set[Probe], ended: Callable[[], None]) -> None:
        self._probes = probes
        self._ended = ended
        self._transport: Any = None
        self._found = bytearray()
        self._answer: asyncio.Future[tuple[int, str]] | None = None
        self._lost: TunnelFailure | None = None
        self._answered = False
        self.date: datetime | None = None  # what the front's clock said in its last answer, UTC, to the second

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport
        self._probes.add(self)

    async def ask(self) -> tuple[int, str]:
        """Status and code of the answer.

        Raises:
            TunnelFailure: there was none.
        """
        self._answer = asyncio.get_running_loop().create_future()
        if self._lost is not None:
            raise self._lost
        if not self._found:
            self._transport.write(_PROBE)
        self._look()
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._found += data
        self._look()

    def _look(self) -> None:
        head, separator, body = bytes(self._found).partition(b"\r\n\r\n")
        if self._answer is None or self._answer.done() or (not separator and len(self._found) <= _MAX_HEAD):
            return
        length = next((line[16:] for line in head.lower().split(b"\r\n") if line[:16] == b"content-length: "), b"")
        readable = head.startswith(b"HTTP/1.1 ") and head[9:12].isdigit() and length.isdigit()
        if not readable or int(length) > _MAX_HEAD:
            self._answer.set_exception(TunnelFailure(TunnelCode.WRONG_AUTHORITY, "it does not speak as a front"))
            return
        if len(body) >= int(length):
            code = body.decode("ascii", "replace").strip().removeprefix('{"code":"').removesuffix('"}')
            self._found.clear()
            self._answered = True
            self.date = _date(head)
            self._answer.set_result((int(head[9:12]), code[:80]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._probes.discard(self)
        if exc is not None and not isinstance(exc, ssl.SSLError):
            exc = None
        if self._answered or (exc is not None and "ALERT" not in (exc.reason or "")):
            self._lost = TunnelFailure(TunnelCode.UNREACHABLE, "the connection ended")
        else:
            # In TLS 1.3 this is how a client learns that its certificate was not taken.
            detail = "the coordinator ended the connection without a word" if exc is None else exc.reason or ""
            self._lost = TunnelFailure(TunnelCode.CERTIFICATE_REFUSED, detail.lower().replace("_", " "))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._lost)
        else:
            self._ended()

    @property
    def lost(self) -> bool:
        """Whether it ended."""
        return self._lost is not None

    def end(self) -> None:
        """Break off."""
        self._ended = lambda: None
        if self._transport is not None:
            self._transport.abort()


def _date(head: bytes) -> datetime | None:
    for line in head.split(b"\r\n"):
        if line[:6].lower() == b"date: ":
            try:
                return parsedate_to_datetime(line[6:].decode("ascii", "replace")).astimezone(UTC)
            except ValueError:
                return None
    return None
