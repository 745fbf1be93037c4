"""What faces the network: a TLS reverse proxy before Flower's SuperLink, for members only.

    network -> TLS 1.3, a client certificate of our authority -> its serial number is a member's -> one of ten requests
            -> under the public key of that member -> SuperLink on loopback

Who is trusted: the SuperLink, and the coordinator's folder. Who is not: anybody on the network, and the sites, each of
whom may try to read or speak as another, to keep others out, or to reach what only the coordinator may. What a site can
still do is to answer with garbage, which the round checks, and to use up its own share: connections, bytes, seconds.

A SuperNode names its key in a header and signs a time with it. The front asks for the key in the certificate of the
connection, so that a signature that was seen cannot be used by another site. Two things it leaves to those behind it:
the SuperLink compares node and key, and the round checks who signed an answer, since Flower does not compare the sender
that a pushed message names.

Whether somebody is a member is asked at every request, of a file that is read again whenever it was replaced;
connections of who was removed end within a quarter of a second. Sessions are not resumed, so every connection is
checked in full. Strangers cost a TLS handshake, of which each network address may have a few at a time.

Log lines are of this module's package: refusals as warnings, passed requests at debug level; in ten seconds at most
fifty warnings about a site, and one line about strangers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from ...core import NasturtiumError
from .authority import Authority
from .certificates import to_pem
from .errors import TransportError
from .event_thread import EventThread, settle
from .fields import Address, now_utc
from .members import MembersWatch
from .rules import FrontLimits, Refusal
from .site_connection import SiteConnection
from .upstream import Upstream
from .waiting_room import WaitingRoom

logger = logging.getLogger(__name__)
_SWEEP_S: Final = 0.25
_RENEW_S: Final = 3600.0
_QUIET_S: Final = 10.0
_LINES: Final = 50  # warnings about one site in that time
_BACKLOG: Final = 256
_NO_MORE_FILES_S: Final = 0.2


@dataclass(slots=True)
class Traffic:
    """What went through the front for a site since it began.

    Attributes:
        connections: that are open now.
        requests: that ended, passed or not.
        refused: of these, or connections, that were not passed.
        bytes_up: of bodies from the site.
        bytes_down: of answers to it, with their heads.
        last_seen: when its last request ended, UTC.
    """

    connections: int = 0
    requests: int = 0
    refused: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    last_seen: datetime | None = None


class Front:
    """The proxy, in a thread of its own, from entering the context to leaving it.

    Args:
        listen: host and port; port 0: one the system chooses. An empty host is all of the machine's addresses.
        upstream: host and port of the SuperLink.
        authority: its certificate is asked of sites, and its server's shown to them.
        limits: what a site may ask for.
        upstream_tls: how to check the SuperLink; None: it speaks plain HTTP, which on loopback only this machine reads.
        clock: what time it is, UTC.
        hold_s: seconds to keep a site's request for messages when there is none; 0 unless somebody calls
            `messages_left` whenever there are some.
        answered: told, in the front's thread, when a part of a site's answer has reached the SuperLink.

    Raises:
        TransportError: on entering: the address is in use, or is none of this machine's.
        KeyFileError: on entering: the server's key or certificate cannot be read.
    """

    def __init__(
        self,
        *,
        listen: tuple[str, int],
        upstream: tuple[str, int],
        authority: Authority,
        limits: FrontLimits | None = None,
        upstream_tls: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = now_utc,
        hold_s: float = 0.0,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._listen = Address(*listen)
        self._state = FrontState(Address(*upstream), authority, limits or FrontLimits(), upstream_tls, clock)
        self._state.room = WaitingRoom(hold_s, answered)
        self._sockets: list[socket.socket] = []
        self._thread = EventThread("nasturtium-front", self._serve)

    def __enter__(self) -> Self:
        self._state.load_certificate()
        self._sockets = _listen(self._listen)
        try:
            self._thread.start()
        except BaseException:
            for each in self._sockets:
                each.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        for each in self._sockets:
            each.close()

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._sockets[0].getsockname()[:2]
        return Address(host, port)

    @property
    def failure(self) -> BaseException | None:
        """Why it ended by itself; None: it did not."""
        return self._thread.failure

    def messages_left(self) -> None:
        """Tell the sites that wait for messages that there are some; from any thread."""
        self._thread.call(self._state.room.ring)

    def traffic(self) -> Mapping[str, Traffic]:
        """What went through for each site, by its name; a copy."""
        return {name: replace(each) for name, each in list(self._state.traffic.items())}

    def strangers(self) -> Mapping[str, int]:
        """How often somebody without a member's certificate was turned away, by reason; a copy."""
        return dict(self._state.strangers)

    async def _serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        state = self._state
        state.begin()
        works = (*(state.accept(each) for each in self._sockets), state.sweep(), stop.wait())
        tasks = [asyncio.ensure_future(work) for work in works]
        ready()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises, unless it was time to stop: none of the others ends by itself
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await state.end()


class FrontState:
    """What the connections of a front share; all but the counters is touched in its thread only."""

    def __init__(
        self,
        upstream: Address,
        authority: Authority,
        limits: FrontLimits,
        upstream_tls: ssl.SSLContext | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._authority = authority
        self._upstream_address, self._upstream_tls = upstream, upstream_tls
        self.limits = limits
        self.clock = clock
        self.members = MembersWatch(authority.members)
        self.room = WaitingRoom(0.0, lambda: None)
        self.traffic: dict[str, Traffic] = {}
        self.strangers: Counter[str] = Counter()
        self._connections: set[SiteConnection] = set()
        self._handshakes: Counter[str] = Counter()  # by network address, of those that are not finished
        self._begun: set[asyncio.Task[None]] = set()
        self._told = -_QUIET_S  # when a line about strangers was last written
        self._since_told = 0
        self._lines: Counter[str] = Counter()  # warnings by site, since
        self._lines_since = 0.0
        self._tls = _server_tls(authority)
        self._stamp: tuple[int, int] | None = None
        self._known_problem: NasturtiumError | None = None

    def load_certificate(self) -> None:
        """Show the newest certificate of the server to who connects from now on; make one if it soon expires.

        Raises:
            KeyFileError: it cannot be read.
        """
        if self._authority.renew_server():
            logger.info("front: the server's certificate was renewed")
        status = self._authority.server_file.stat()
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._authority.server_certificate()
            self._tls.load_cert_chain(self._authority.server_file)
            self._stamp = stamp

    def begin(self) -> None:
        """Called in the thread."""
        self.upstream = Upstream(self._upstream_address, self._upstream_tls)
        self.members.refresh()
        self._tell_problem()

    async def end(self) -> None:
        """Close everything."""
        for task in tuple(self._begun):
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.shut()
        self.upstream.close()
        await settle(lambda: not self._connections and self.upstream.closed)

    async def accept(self, listener: socket.socket) -> None:
        """Take connections, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError as exc:  # no more files may be open, or it was gone already
                logger.warning("front: cannot take a connection: %s", exc.strerror)
                await asyncio.sleep(_NO_MORE_FILES_S)
                continue
            host = str(peer[0])
            total = len(self._begun)
            if self._handshakes[host] >= self.limits.handshakes or total >= self.limits.all_handshakes:
                accepted.close()
                self._stranger("too many handshakes")
                continue
            self._handshakes[host] += 1
            task = loop.create_task(self._shake_hands(accepted, host))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

    async def _shake_hands(self, accepted: socket.socket, host: str) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: SiteConnection(self),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self.limits.handshake_s,
                ssl_shutdown_timeout=1.0,
            )
        except ssl.SSLError as exc:
            self._stranger((exc.reason or "TLS error").lower().replace("_", " "))
        except (OSError, TimeoutError):
            self._stranger("handshake not finished")
        finally:
            self._handshakes[host] -= 1
            if not self._handshakes[host]:
                del self._handshakes[host]

    async def sweep(self) -> None:
        """See who was removed, what is slow, and whether a certificate is new, for ever."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            self.members.refresh()
            self._tell_problem()
            self._tell_rest(now)
            for connection in tuple(self._connections):
                if connection.site and self.members.member(connection.serial) is None:
                    connection.drop()
                elif connection.deadline < now:
                    connection.expire()
            self.upstream.sweep(now)
            if now - renewed >= _RENEW_S or self._is_replaced():
                renewed = now
                try:
                    self.load_certificate()
                except (NasturtiumError, OSError) as exc:
                    logger.error("front: the server's certificate cannot be renewed: %s", exc)

    # What connections tell.

    def opened(self, connection: SiteConnection) -> int:
        """A connection begins; returns how many there are of its site."""
        self._connections.add(connection)
        if not connection.site:
            return 1
        traffic = self._traffic(connection.site)
        traffic.connections += 1
        return traffic.connections

    def closed(self, connection: SiteConnection) -> None:
        """It ended."""
        if connection in self._connections:
            self._connections.discard(connection)
            if connection.site:
                self._traffic(connection.site).connections -= 1

    def refused(self, site: str, refusal: Refusal) -> None:
        """A request or connection was not passed."""
        if site:
            self._traffic(site).refused += 1
        else:
            self._stranger(refusal.code)

    def counted(self, site: str, up: int, down: int) -> None:
        """A request ended."""
        if site:
            traffic = self._traffic(site)
            traffic.requests += 1
            traffic.bytes_up += up
            traffic.bytes_down += down
            traffic.last_seen = self.clock()

    def _traffic(self, site: str) -> Traffic:
        return self.traffic.setdefault(site, Traffic())

    def _stranger(self, reason: str) -> None:
        """Count, and tell now and then: a stranger must not fill the disk with lines."""
        self.strangers[reason] += 1
        self._since_told += 1
        now = asyncio.get_running_loop().time()
        if now - self._told >= _QUIET_S:
            logger.info("front: turned away %d without a member's certificate, the last: %s", self._since_told, reason)
            self._told, self._since_told = now, 0

    def may_tell(self, site: str) -> bool:
        """Whether there may be one more warning about a site now, so that none fills the disk; of strangers, none."""
        if not site:
            return False
        self._lines[site] += 1
        return self._lines[site] <= _LINES

    def _tell_rest(self, now: float) -> None:
        """Begin to count anew, and tell how many warnings there were not."""
        if now - self._lines_since >= _QUIET_S:
            for site, count in self._lines.items():
                if count > _LINES:
                    logger.warning("front site=%s: %d more refusals are not shown", site, count - _LINES)
            self._lines.clear()
            self._lines_since = now

    def _tell_problem(self) -> None:
        before, problem = self._known_problem, self.members.problem
        self._known_problem = problem
        if problem is not None and problem is not before:
            logger.error("front: nobody is let in, the list of members cannot be read: %s", problem)

    def _is_replaced(self) -> bool:
        try:
            status = self._authority.server_file.stat()
        except OSError:
            return False
        return (status.st_ino, status.st_mtime_ns) != self._stamp


def _server_tls(authority: Authority) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.verify_flags |= ssl.VERIFY_X509_STRICT
    tls.load_verify_locations(cadata=to_pem(authority.certificate))
    # A session that is resumed would bring the certificate of an earlier handshake, unchecked.
    tls.num_tickets = 0
    tls.options |= ssl.OP_NO_TICKET
    return tls


def _listen(address: Address) -> list[socket.socket]:
    """Sockets on all addresses of a host; for a port that the system chooses on the first one only."""
    host, port = address
    try:
        if not host:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            made = [socket.create_server(("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)]
        else:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            made: list[socket.socket] = []
            try:
                for family, _, _, _, where in infos if port else infos[:1]:
                    made.append(socket.create_server(where[:2], family=family, backlog=_BACKLOG))
            except OSError:
                for each in made:
                    each.close()
                raise
    except OSError as exc:
        raise TransportError(
            f"cannot listen on {address}: {exc.strerror or exc}", hint="is another one running, or the address wrong?"
        ) from exc
    for each in made:
        each.setblocking(False)
    return made
