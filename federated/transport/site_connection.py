"""One site's connection at the front: its requests are parsed, checked, and made anew for the SuperLink.

Nothing a site sends reaches the SuperLink as it came, except bodies: the request line is one of ten, headers are those
of a list, each at most once, and the length is said once, in digits. So there is no second way to read a request
(https://www.rfc-editor.org/rfc/rfc9112#section-11.2). A body that is sent in chunks, a second request before the first
was answered, another protocol or an interim answer is nothing a SuperNode asks for, and refused. After a refusal the
connection ends.

Bodies of up to 64 KiB are sent on whole, so that a slow site never holds a connection to the SuperLink; longer ones as
they come, and no faster than they are taken. A site that does not take its answers is read no further, so that they do
not pile up here, until it does or has been idle for too long.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

import httptools
from cryptography import x509

from .rules import FLEET_PATHS, HEALTH_PATH, PUBLIC_KEY_HEADER, REQUEST_HEADERS, SMALL, Refusal
from .transport_key import node_key
from .waiting_room import PULL, PUSHES, VAIN

if TYPE_CHECKING:
    from .front import FrontState
    from .upstream import UpstreamConnection

logger = logging.getLogger(__name__)
_BUFFER_BYTES: Final = 256 * 1024
_PATHS: Final = {path.encode(): most for path, most in FLEET_PATHS.items()}
_ONCE: Final = REQUEST_HEADERS | {b"host", b"content-length"}
_VISIBLE: Final = bytes(range(0x20, 0x7F)) + b"\t"
_HEALTHY: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\ndate: %s\r\n\r\n"


class SiteConnection(asyncio.Protocol):
    """Begins after the TLS handshake, so the certificate is of the authority and not expired.

    Args:
        front: what it shares with others.

    Attributes:
        site: the name in the list of members; empty before it is known.
        deadline: in the time of the event loop, when it is slow or idle for too long.
    """

    def __init__(self, front: FrontState) -> None:
        self._front = front
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self.site = ""
        self.serial = 0
        self._key = b""
        self.deadline = self._loop.time() + front.limits.head_s
        self._ending = False  # whatever still comes is forgotten
        self._closing = False
        self._lost = False
        self._reading_paused = False
        self._writing_paused = False
        self._upstream: UpstreamConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._busy = False
        self._reset()

    def _reset(self) -> None:
        """Before a request."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._head_complete = False
        self._request_complete = False
        self._local = False
        self._keep_alive = False
        self._begun = 0.0
        self._length = 0
        self._held: list[bytes] = []
        self._up = 0
        self._down = 0
        self._again = b""  # the whole request, where it may wait
        self._kept: list[bytes] = []  # its answer
        self._heard = 0  # rings before it was made
        self._until = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See who it is."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        certificate = x509.load_der_x509_certificate(transport.get_extra_info("ssl_object").getpeercert(True))
        self.serial = certificate.serial_number
        refusal = self._authorise()
        member = self._front.members.member(self.serial)
        if member is not None:
            self.site = member.name
            self._key = b64encode(node_key(member.transport_key))
        connections = self._front.opened(self)
        if refusal is not None:
            self._refuse(refusal)
        elif connections > self._front.limits.connections:
            self._refuse(Refusal.BUSY)

    def data_received(self, data: bytes) -> None:
        """Parse what came; more of a head than there may be is not even parsed."""
        if self._ending:
            return
        try:
            if not self._head_complete and (room := self._front.limits.max_head_bytes - self._head_bytes) > 0:
                head, data = data[:room], data[room:]
                self._head_bytes += len(head)
                self._parser.feed_data(head)
            if data and not self._head_complete:
                self._refuse(Refusal.HEAD_TOO_LARGE)
            elif data and not self._ending:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(Refusal.BAD_REQUEST)

    def eof_received(self) -> None:
        """The site closes; asyncio does, too."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The site is gone, and nobody waits for the SuperLink's answer."""
        self._lost = True
        self._wait_no_more()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None
        if self._busy:
            self._log(0, "gone")
        self._front.closed(self)

    def pause_writing(self) -> None:
        """The site takes no more for now."""
        self._writing_paused = True
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._writing_paused = False
        if self._upstream is not None:
            self._upstream.resume_reading()
        elif not self._busy and not self._ending:
            self._listen()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request, and only one at a time."""
        if self._ending:
            return
        if self._busy:
            self._refuse(Refusal.PIPELINED)
            return
        self._busy = True
        self._begun = self._loop.time()
        self.deadline = self._begun + self._front.limits.head_s

    def on_url(self, url: bytes) -> None:
        """A part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those that are passed on or framed by stand there once, in visible letters."""
        if self._ending:
            return
        name = name.lower()
        if name in _ONCE:
            if name in self._headers or value.strip(_VISIBLE):
                self._refuse(Refusal.BAD_HEADER)
            self._headers[name] = value
        elif name == b"transfer-encoding":
            self._refuse(Refusal.NO_LENGTH)
        elif name == b"expect":
            self._refuse(Refusal.EXPECTATION)

    def on_headers_complete(self) -> None:
        """Decide whether the request passes."""
        if self._ending:
            return
        self._head_complete = True
        self._keep_alive = self._parser.should_keep_alive()  # the parser forgets it with the last byte
        if (refusal := self._check()) is not None:
            self._refuse(refusal)
            return
        self.deadline = self._begun + self._front.limits.body_s
        if not self._local and self._length > SMALL:
            self._held.append(self._head())
            self._ask()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._ending:
            return
        self._up += len(body)
        self.deadline = self._begun + self._front.limits.body_s + self._up / self._front.limits.min_rate
        if self._upstream is not None:
            self._upstream.send(body, last=self._up == self._length)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._ending:
            return
        self._request_complete = True
        if self._local:
            head = _HEALTHY % format_datetime(self._front.clock(), usegmt=True).encode()
            self._transport.write(head if self._parser.get_method() == b"HEAD" else head + b"ok\n")
            self._next()
            return
        self.deadline = self._loop.time() + self._front.limits.upstream_s
        if self._length <= SMALL:
            self._held.insert(0, self._head())
            self._ask()

    # What the connection to the SuperLink calls.

    def answer(self, data: bytes) -> None:
        """Pass on a part of the answer."""
        if self._again:
            self._kept.append(data)
            return
        limits = self._front.limits
        self._down += len(data)
        self.deadline = self._loop.time() + limits.body_s + len(data) / limits.min_rate
        self._transport.write(data)

    def answered(self, status: int, complete: bool) -> None:
        """The answer ended, or was broken off."""
        self._upstream = None
        if self._lost or self._ending:
            return
        if not complete and not status:
            self._refuse(Refusal.UPSTREAM)
            return
        if self._again:
            kept = b"".join(self._kept)
            if complete and status == 200 and kept.endswith(VAIN) and self._loop.time() < self._until:
                self._wait()
                return
            self._again, self._kept = b"", []
            self.answer(kept)
        elif complete and status == 200 and self._url in PUSHES:
            self._front.room.answered()
        self._log(status, "passed" if complete else "broken off")
        if not complete:
            self._busy = False
            self._transport.abort()  # an end would look like that of the answer
        elif not self._request_complete:
            # Answered before it was whole, as a refusal is: what is still on its way is not read as a request.
            self._linger()
        else:
            self._next()

    def pause_asking(self) -> None:
        """The SuperLink takes no more for now."""
        self._pause_reading()

    def resume_asking(self) -> None:
        """It does again."""
        self._resume_reading()

    # What the waiting room calls.

    def ask_again(self) -> None:
        """There may be messages now."""
        self._wait_no_more()
        self._kept.clear()
        if (refusal := self._authorise()) is not None:
            self._refuse(refusal)
            return
        self._held = [self._again]
        self.deadline = self._loop.time() + self._front.limits.upstream_s
        self._ask()

    def _wait(self) -> None:
        """Keep the answer that says there is no message."""
        room = self._front.room
        if room.rung > self._heard:  # while it was on its way
            self.ask_again()
            return
        room.enter(self)
        self._timer = self._loop.call_at(self._until, self._waited_in_vain)
        self.deadline = self._until + self._front.limits.upstream_s

    def _waited_in_vain(self) -> None:
        self._wait_no_more()
        self._until = 0.0
        self.answered(200, True)

    def _wait_no_more(self) -> None:
        self._front.room.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the front calls.

    def shut(self) -> None:
        """The front ends."""
        self._transport.abort()

    def drop(self) -> None:
        """End at once, in the middle of whatever there is."""
        if not self._ending:
            self._front.refused(self.site, Refusal.NOT_A_MEMBER)
        self._transport.abort()

    def expire(self) -> None:
        """The deadline passed."""
        if self._ending and not self._closing:
            self._closing = True
            self.deadline = self._loop.time() + self._front.limits.body_s
            self._transport.close()
        elif not self._busy:
            self._transport.abort()
        elif not self._request_complete:
            self._refuse(Refusal.SLOW)
        elif self._down:
            self._transport.abort()  # it does not take its answer
        else:
            self._refuse(Refusal.UPSTREAM_SLOW)

    # What is behind all that.

    def _authorise(self) -> Refusal | None:
        """Whether the certificate is that of a member, now."""
        self._front.members.refresh()
        member = self._front.members.member(self.serial)
        if member is None:
            return Refusal.NOT_A_MEMBER if self._front.members.problem is None else Refusal.NO_LIST
        return None if self._front.clock() < member.expires else Refusal.EXPIRED

    def _check(self) -> Refusal | None:
        if (refusal := self._authorise()) is not None:
            return refusal
        if self._parser.get_http_version() != "1.1":
            return Refusal.VERSION
        if self._parser.should_upgrade() or b"host" not in self._headers:
            return Refusal.BAD_REQUEST
        method, text = self._parser.get_method(), self._headers.get(b"content-length", b"0")
        if not text.isdigit() or len(text) > 15:
            return Refusal.BAD_HEADER
        self._length = int(text)
        if self._url == HEALTH_PATH.encode() and method in (b"GET", b"HEAD"):
            self._local = True
            return Refusal.TOO_LARGE if self._length else None
        if method != b"POST" or self._url not in _PATHS:
            return Refusal.PATH
        if b"content-length" not in self._headers:
            return Refusal.NO_LENGTH
        if self._headers.get(PUBLIC_KEY_HEADER) != self._key:
            return Refusal.FOREIGN_KEY
        most = _PATHS[self._url]
        if self._length > (self._front.limits.max_object_bytes if most is None else most):
            return Refusal.TOO_LARGE
        return None

    def _head(self) -> bytes:
        """The request as the SuperLink gets it."""
        passed = [b"%s: %s\r\n" % pair for pair in self._headers.items() if pair[0] in REQUEST_HEADERS]
        host = self._front.upstream.host
        start = b"POST %s HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n" % (self._url, host, self._length)
        return b"%s%s\r\n" % (start, b"".join(passed))

    def _ask(self) -> None:
        """Send what is held to the SuperLink, over a connection that is open or a new one."""
        connection = self._front.upstream.take(self)
        if connection is not None:
            self._begin(connection)
        else:
            self._pause_reading()
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await self._front.upstream.connect(self)
        except (OSError, TimeoutError):
            self._connecting = None
            self._resume_reading()
            self._refuse(Refusal.UPSTREAM)
            return
        self._connecting = None
        if self._ending:
            connection.close()
            return
        self._begin(connection)
        self._resume_reading()

    def _begin(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        if self._writing_paused:
            connection.pause_reading()
        held, self._held = b"".join(self._held), []
        if self._url == PULL and self._front.room.hold_s > 0 and self._length <= SMALL:
            self._again, self._heard = held, self._front.room.rung
            self._until = self._until or self._loop.time() + self._front.room.hold_s
        connection.send(held, last=self._up == self._length)

    def _next(self) -> None:
        """Ready for another request."""
        if not self._keep_alive:
            self._linger()
            return
        self._busy = False
        self._reset()
        self._listen()

    def _listen(self) -> None:
        """Wait for a request; for none while the site does not take the answers it has."""
        self.deadline = self._loop.time() + self._front.limits.idle_s
        (self._pause_reading if self._writing_paused else self._resume_reading)()

    def _refuse(self, refusal: Refusal) -> None:
        """Say so, unless an answer has begun, and end."""
        if self._ending or self._lost:
            return
        self._wait_no_more()
        self._front.refused(self.site, refusal)
        self._log(refusal.status, refusal.code)
        self._busy = False
        self._held.clear()
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None
        if self._down:
            self._ending = True
            self._transport.abort()
            return
        self._transport.write(refusal.response())
        self._linger()

    def _linger(self) -> None:
        """Take and forget what is still under way: closing now could undo the answer before it is read."""
        self._ending, self._busy = True, False
        self._resume_reading()
        self.deadline = self._loop.time() + self._front.limits.linger_s

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._lost:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()

    def _log(self, status: int, outcome: str) -> None:
        """One line a request: who, what, how it ended, bytes up and down, milliseconds."""
        self._front.counted(self.site, self._up, self._down)
        level = logging.DEBUG if outcome == "passed" else logging.WARNING
        if logger.isEnabledFor(level) and (level == logging.DEBUG or self._front.may_tell(self.site)):
            took = (self._loop.time() - self._begun) * 1e3 if self._begun else 0.0
            logger.log(
                level,
                "front site=%s path=%s status=%d outcome=%s up=%d down=%d ms=%.1f",
                self.site or "-",
                self._url.decode("ascii", "backslashreplace")[:80] or "-",
                status,
                outcome,
                self._up,
                self._down,
                took,
            )
