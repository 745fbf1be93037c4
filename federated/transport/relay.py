"""Two connections that belong together: one of the SuperNode's to the tunnel, and the tunnel's to the front.

Bytes pass as they are, no faster than the other side takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from .receipts import RECEIPT, Receipts, is_message, path_of
from .tunnel_state import TunnelFailure

_BUFFER_BYTES: Final = 256 * 1024
_LINGER_S: Final = 5.0


class Dialler(Protocol):
    """Who makes connections to the front, and wants to know of those that end."""

    receipts: Receipts

    async def dial(self, factory: Callable[[], asyncio.Protocol]) -> Any:
        """Make one, or raise `TunnelFailure`."""
        ...

    def doubt(self) -> None:
        """The front ended one."""
        ...

    def opened(self, relay: LocalConnection) -> None:
        """One of the SuperNode's begins."""
        ...

    def closed(self, relay: LocalConnection) -> None:
        """It ended."""
        ...


class LocalConnection(asyncio.Protocol):
    """A connection of the SuperNode's, and the one to the front that belongs to it."""

    def __init__(self, tunnel: Dialler) -> None:
        self._tunnel = tunnel
        self._transport: Any = None
        self._remote: RemoteConnection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._failed: TunnelFailure | None = None
        self._told = False
        self.path = b""  # of a request whose answer has not begun, if it is of interest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._transport.pause_reading()
        self._tunnel.opened(self)
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        remote = RemoteConnection(self._tunnel, self)
        try:
            await self._tunnel.dial(lambda: remote)
            self._remote = remote
        except TunnelFailure as exc:
            self._failed = exc
        self._dialling = None
        if self._transport.is_closing():
            remote.end()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._remote is not None:
            self.path = path_of(data) or self.path
            self._remote.write(data)
        elif self._failed is not None and not self._told:
            self._told = True
            body = f'{{"code":"{self._failed.code.code}"}}\n'
            head = f"HTTP/1.1 503 Refused\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self._transport.write((head + body).encode())
            # What is still under way is forgotten: closing now could undo the answer before it is read.
            asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._tunnel.closed(self)
        if self._dialling is not None:
            self._dialling.cancel()
        if self._remote is not None:
            self._remote.end()

    def write(self, data: bytes) -> None:
        """Pass on what came from the other side."""
        self._transport.write(data)

    def pause_writing(self) -> None:
        """Called by the event loop when what was written piles up."""
        if self._remote is not None:
            self._remote.pause(True)

    def resume_writing(self) -> None:
        """Called by the event loop when it does no more."""
        if self._remote is not None:
            self._remote.pause(False)

    def pause(self, paused: bool) -> None:
        """Whether the other side takes no more for now."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def end(self) -> None:
        """With TLS's own end: without it the SuperNode takes it for a broken TLS connection and gives up."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Without it: the tunnel ends, and the SuperNode did not answer."""
        self._transport.abort()


class RemoteConnection(asyncio.Protocol):
    """A connection to the front for one of the SuperNode's."""

    def __init__(self, tunnel: Dialler, local: LocalConnection) -> None:
        self._tunnel = tunnel
        self._local = local
        self._kept: list[bytes] | None = None
        self._transport: Any = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        path, self._local.path = self._local.path, b""
        if self._kept is not None:
            self._kept.append(data)
            return
        if path == RECEIPT:
            self._kept = [data]
            self._tunnel.receipts.keep(self._release)
            return
        if is_message(path, data):
            self._tunnel.receipts.message_passes()
        self._local.write(data)

    def _release(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            self._local.write(b"".join(kept))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._release()
        if not self._ended:
            self._tunnel.doubt()
        self._local.end()

    def write(self, data: bytes) -> None:
        """Pass on what came from the other side."""
        self._transport.write(data)

    def pause_writing(self) -> None:
        """Called by the event loop when what was written piles up."""
        self._local.pause(True)

    def resume_writing(self) -> None:
        """Called by the event loop when it does no more."""
        self._local.pause(False)

    def pause(self, paused: bool) -> None:
        """Whether the other side takes no more for now."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def end(self) -> None:
        """The SuperNode is gone."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()
