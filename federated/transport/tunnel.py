"""A site's end of the way to the coordinator: TLS on loopback for the SuperNode, mutual TLS to the front.

    SuperNode -> tunnel (127.0.0.1, a certificate made at the start) == client certificate ==> front

A SuperNode can show no client certificate, and signs its requests only over TLS. So it talks to the tunnel, whose
certificate it checks against `root_certificate`, and the tunnel passes the bytes on. It checks that the front is the
coordinator's, by the authority and the address in the admission; what passes is for the front to say.

Another process of this machine can talk to the front through the tunnel, too. It gets nothing from it: what a node may
ask is signed with the node's key, which is in a file of its owner's.

When the front cannot be reached, the SuperNode gets status 503, at which it tries again; a broken TLS connection would
end it. The tunnel asks the front every few seconds whether it lets the site in, and `state` says how that went.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from ...privacy import KeyFileError, write_file
from .admission import Admission
from .certificates import to_pem
from .errors import TransportError
from .event_thread import EventThread, settle
from .fields import Address, now_utc
from .loopback import LoopbackPem
from .probe import Probe
from .receipts import Receipts
from .relay import LocalConnection
from .transport_key import TransportKey
from .tunnel_state import TunnelCode, TunnelFailure, TunnelState, failure_of, wrong_clock

logger = logging.getLogger(__name__)
_DIAL_S: Final = 10.0
_PROBE_S: Final = 10.0
_RETRY_S: Final = 2.0


class Tunnel:
    """The tunnel, in a thread of its own, from entering the context to leaving it.

    Args:
        admission: what the coordinator gave this site.
        key: the site's transport key.
        folder: of the site's, for `root_certificate`; keys are in it for a moment, with mode 0600.
        listen: host and port on this machine; port 0: one the system chooses.
        connect: where the front is, if not where the admission says: behind another proxy, or in a test. The front's
            certificate is checked against the admission's host all the same.
        clock: what time it is, UTC.
        hold_s: seconds to keep the receipt of a message back; 0 unless somebody calls `answered` after each.
        arrived: told, in the tunnel's thread, when a message passes to the SuperNode.

    Raises:
        TransportError: on entering: the address is in use.
        KeyFileError: on entering: the folder cannot be written to.
        AdmissionError: on entering: the admission is not for this key.
    """

    def __init__(
        self,
        admission: Admission,
        key: TransportKey,
        folder: Path,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        connect: tuple[str, int] | None = None,
        clock: Callable[[], datetime] = now_utc,
        hold_s: float = 0.0,
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        self._admission = admission
        self._key = key
        self._folder = folder
        self._listen = Address(*listen)
        self._connect = Address(*connect) if connect else admission.address
        self._clock = clock
        self._state = TunnelState(TunnelCode.STARTING, "", clock())
        self._changed = threading.Condition()
        self.receipts = Receipts(hold_s, arrived)
        self._thread = EventThread("nasturtium-tunnel", self._serve)
        self._socket: socket.socket | None = None
        self._relays: set[LocalConnection] = set()
        self._probes: set[Probe] = set()

    def __enter__(self) -> Self:
        self._admission.check_key(self._key.point)
        self._to_front = self._front_tls()
        self._to_node = self._node_tls()
        try:
            self._socket = socket.create_server(self._listen, family=_family(self._listen.host))
        except OSError as exc:
            raise TransportError(
                f"cannot listen on {self._listen}: {exc.strerror or exc}", hint="is another client running?"
            ) from exc
        try:
            self._thread.start()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        if self._socket is not None:
            self._socket.close()

    @property
    def address(self) -> Address:
        """Where the SuperNode finds it."""
        if self._socket is None:
            raise RuntimeError("the tunnel is not open")
        host, port = self._socket.getsockname()[:2]
        return Address(host, port)

    @property
    def root_certificate(self) -> Path:
        """What the SuperNode checks the tunnel against; made anew at every start."""
        return self._folder / "tunnel-ca.pem"

    @property
    def state(self) -> TunnelState:
        """How the way to the coordinator is now."""
        return self._state

    @property
    def failure(self) -> BaseException | None:
        """Why it ended by itself; None: it did not."""
        return self._thread.failure

    def answered(self) -> None:
        """Tell that the site's answer is with the SuperNode, or that there will be none; from any thread."""
        self._thread.call(self.receipts.answered)

    def wait(self, seconds: float, *codes: TunnelCode) -> TunnelState:
        """Wait for one of some states, or without any for the first answer of the coordinator, and return what is."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._state.code is TunnelCode.STARTING or (codes and self._state.code not in codes):
                if not self._changed.wait(end - time.monotonic()):
                    break
            return self._state

    def _front_tls(self) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.verify_flags |= ssl.VERIFY_X509_STRICT
        tls.load_verify_locations(cadata=to_pem(self._admission.authority))
        self._load(tls, self._key.pem() + to_pem(self._admission.certificate))
        return tls

    def _node_tls(self) -> ssl.SSLContext:
        made = LoopbackPem.make("tunnel")
        write_file(self.root_certificate, made.authority, replace=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._load(tls, made.key + made.certificate)
        return tls

    def _load(self, tls: ssl.SSLContext, pem: str) -> None:
        """Python's ssl reads keys from files only."""
        path = self._folder / f".tunnel-{secrets.token_hex(8)}.pem"
        write_file(path, pem, replace=False)
        try:
            tls.load_cert_chain(path)
        except (ssl.SSLError, OSError) as exc:
            raise KeyFileError(f"cannot use a key in {self._folder}: {exc}", hint="check the folder") from exc
        finally:
            path.unlink(missing_ok=True)

    # In the thread.

    async def _serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        server = await loop.create_server(
            lambda: LocalConnection(self), sock=self._socket, ssl=self._to_node, ssl_shutdown_timeout=1.0
        )
        probing = asyncio.create_task(self._probe())
        ready()
        try:
            await stop.wait()
        finally:
            probing.cancel()
            server.close()
            await asyncio.gather(probing, return_exceptions=True)
            for each in (*self._relays, *self._probes):
                each.end()
            await settle(lambda: not self._relays and not self._probes)
            for relay in tuple(self._relays):
                relay.abort()
            await settle(lambda: not self._relays)

    async def dial(self, factory: Callable[[], asyncio.Protocol]) -> Any:
        """A connection to the front.

        Raises:
            TunnelFailure: there is none; the state says why, too.
        """
        try:
            if self._clock() > self._admission.expires:
                raise TunnelFailure(TunnelCode.CERTIFICATE_EXPIRED, f"it was good until {self._admission.expires}")
            host, port = self._connect
            async with asyncio.timeout(_DIAL_S):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    factory,
                    host,
                    port,
                    ssl=self._to_front,
                    server_hostname=self._admission.address.host,
                    ssl_shutdown_timeout=1.0,
                )
        except (OSError, TimeoutError, TunnelFailure) as exc:
            failure = failure_of(exc)
            self._become(failure.code, failure.detail)
            raise failure from exc
        _keep_alive(transport.get_extra_info("socket"))
        return transport

    def doubt(self) -> None:
        """The front ended a connection: ask it now rather than later."""
        self._asked.set()

    async def _probe(self) -> None:
        """Ask the front whether it lets this site in, over a connection that is kept."""
        probe: Probe | None = None
        while True:
            try:
                if probe is None or probe.lost:
                    probe = Probe(self._probes, self.doubt)
                    await self.dial(lambda made=probe: made)
                asked = self._clock()
                async with asyncio.timeout(_DIAL_S):
                    status, code = await probe.ask()
                if status == 200 and (wrong := wrong_clock(asked, probe.date, self._clock())):
                    self._become(TunnelCode.CLOCK, wrong)
                elif status == 200:
                    self._become(TunnelCode.CONNECTED, "")
                elif code == "certificate-expired":
                    self._become(TunnelCode.CERTIFICATE_EXPIRED, "says the coordinator")
                elif status == 401:
                    self._become(TunnelCode.REMOVED, code)
                else:
                    self._become(TunnelCode.REFUSED, f"{status} {code}")
            except TunnelFailure as exc:
                self._become(exc.code, exc.detail)
            except TimeoutError:
                self._become(TunnelCode.UNREACHABLE, "no answer in time")
            except asyncio.CancelledError:
                if probe is not None:
                    probe.end()
                    self._probes.discard(probe)  # a loop that is told to stop in between does not say that it was
                raise
            if not self._state.connected and probe is not None:
                probe.end()
                probe = None
            self._asked.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_S if self._state.connected else _RETRY_S):
                    await self._asked.wait()
                # A doubt may be that of many connections at once.
                await asyncio.sleep(0.1)

    def _become(self, code: TunnelCode, detail: str) -> None:
        if (code, detail) == (self._state.code, self._state.detail):
            return
        level = logging.INFO if code is TunnelCode.CONNECTED else logging.WARNING
        logger.log(level, "tunnel to %s: %s %s", self._connect, code.code, detail)
        with self._changed:
            self._state = TunnelState(code, detail, self._clock())
            self._changed.notify_all()

    def opened(self, relay: LocalConnection) -> None:
        """A SuperNode's connection begins."""
        self._relays.add(relay)

    def closed(self, relay: LocalConnection) -> None:
        """It ended."""
        self._relays.discard(relay)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _keep_alive(connection: socket.socket) -> None:
    """Notice a network that is cut, which says nothing by itself, within half a minute."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
        for name, value in options.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
