"""Connections from the front to the SuperLink on loopback: kept open, one request at a time.

A connection that was idle for two seconds is not used again: uvicorn closes its own after five, and a request sent into
a closing connection would be lost. So nothing has to be sent twice, and nothing is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any, Final, Protocol

import httptools

from .fields import Address
from .rules import RESPONSE_HEADERS

_IDLE_S: Final = 2.0
_CONNECT_S: Final = 5.0
_MAX_HEAD: Final = 64 * 1024


class Asker(Protocol):
    """Who gets the answer."""

    def answer(self, data: bytes) -> None:
        """Bytes for the site."""
        ...

    def answered(self, status: int, complete: bool) -> None:
        """The answer ended; or, if it is not complete, the SuperLink broke it off. Status 0: there was none."""
        ...

    def pause_asking(self) -> None:
        """The SuperLink takes no more for now."""
        ...

    def resume_asking(self) -> None:
        """It does again."""
        ...


class Upstream:
    """The pool of connections; used in one event loop.

    Args:
        address: of the SuperLink.
        tls: how to check it; None: plain HTTP.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        self._idle: deque[UpstreamConnection] = deque()
        self._open: set[UpstreamConnection] = set()
        self.host: Final = str(address).encode()

    def take(self, asker: Asker) -> UpstreamConnection | None:
        """A connection that is open already, the youngest first."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < _IDLE_S:
                connection.asker = asker
                return connection
            connection.close()
        return None

    async def connect(self, asker: Asker) -> UpstreamConnection:
        """A new connection.

        Raises:
            OSError: there is nobody.
        """
        loop = asyncio.get_running_loop()
        host, port = self._address
        connection = UpstreamConnection(self)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(
                    lambda: connection, host, port, ssl=self._tls, server_hostname=host if self._tls else None
                )
        except BaseException:
            self.lost(connection)  # a loop that is told to stop in between does not say that it was
            raise
        connection.asker = asker
        return connection

    def keep(self, connection: UpstreamConnection) -> None:
        """Take a connection back for the next request."""
        self._idle.append(connection)

    def sweep(self, now: float) -> None:
        """Close what was idle for too long."""
        while self._idle and now - self._idle[0].idle_since >= _IDLE_S:
            self._idle.popleft().close()

    def close(self) -> None:
        """Close all connections."""
        self._idle.clear()
        for connection in tuple(self._open):
            connection.close()

    @property
    def closed(self) -> bool:
        """Whether none is open."""
        return not self._open

    def opened(self, connection: UpstreamConnection) -> None:
        """A connection begins."""
        self._open.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """It ended."""
        self._open.discard(connection)


class UpstreamConnection(asyncio.Protocol):
    """One connection: a request goes out, its answer comes back and is passed on as it comes.

    Args:
        pool: that takes it back.
    """

    def __init__(self, pool: Upstream) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None  # asyncio's and uvloop's share no class
        self.asker: Asker | None = None
        self.idle_since = 0.0
        self.usable = True
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._length: bytes | None = None
        self._chunked = False
        self._headers: list[bytes] = []
        self._head_bytes = 0
        self._out: list[bytes] = []
        self._complete = False
        self._sent_whole = False
        self._keep_alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport
        self._pool.opened(self)

    def send(self, data: bytes, *, last: bool) -> None:
        """Send a part of the request; `last`: it is whole now."""
        self._sent_whole = last
        self._transport.write(data)

    def close(self) -> None:
        """Break off."""
        self.usable, self.asker = False, None
        self._transport.abort()

    def pause_reading(self) -> None:
        """The site takes no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """It does again."""
        self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Called by the event loop when what was sent piles up."""
        if self.asker is not None:
            self.asker.pause_asking()

    def resume_writing(self) -> None:
        """Called by the event loop when it does no more."""
        if self.asker is not None:
            self.asker.resume_asking()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self.asker is None:  # nobody asked
            self.close()
            return
        if not self._status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break_off()
            return
        if self._head_bytes > _MAX_HEAD and not self._status:
            self._break_off()
            return
        if self._out:
            out, self._out = b"".join(self._out), []
            self.asker.answer(out)
        if self._complete:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self.usable = False
        self._pool.lost(self)
        self._break_off()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        name = name.lower()
        if name == b"content-length":
            self._length = value
        elif name == b"transfer-encoding":
            self._chunked = True
        elif name in RESPONSE_HEADERS and value.isascii() and value.replace(b"\t", b" ").decode().isprintable():
            self._headers.append(b"%s: %s\r\n" % (name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        framed = self._length is not None or self._chunked or status in (204, 304)
        # Nothing of ours asks for an interim answer or another protocol, and an answer that only ends with the
        # connection cannot be told from half of one.
        if not 200 <= status <= 599 or not framed:
            raise ValueError(f"status {status}")
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()  # the parser forgets it with the last byte
        # No zero length where there may be none: HTTP forbids it with 204 and 304.
        if self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b"" if self._length is None else b"content-length: %s\r\n" % self._length
        self._out.append(b"HTTP/1.1 %d Answer\r\n%s%s\r\n" % (status, b"".join(self._headers), framing))

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._out.append(b"%x\r\n%s\r\n" % (len(body), body) if self._chunked else body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._complete:
            raise ValueError("a second answer")
        if self._chunked:
            self._out.append(b"0\r\n\r\n")
        self._complete = True

    def _finish(self) -> None:
        asker, status = self.asker, self._status
        self.asker = None
        if self._sent_whole and self._keep_alive and self.usable:
            self._reset()
            self.resume_reading()  # whoever did not take the end of this answer will not say when that is over
            self.idle_since = self._loop.time()
            self._pool.keep(self)
        else:
            self.close()
        if asker is not None:
            asker.answered(status, True)

    def _break_off(self) -> None:
        asker, status = self.asker, self._status
        self.close()
        if asker is not None:
            asker.answered(status, False)
