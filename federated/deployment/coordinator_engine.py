"""What a coordinator runs on its machine: Flower's SuperLink on loopback, the front that faces the network, who is in.

A site that is admitted, or removed, while all of this runs is let in or shut out within a second. A SuperLink that ends
is started again; it keeps nothing, and forgets nothing that matters: runs are in the history.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self, TypeVar

from flwr.serverapp import Grid

from ...core import NasturtiumError
from ...privacy import PublicIdentity
from ..errors import FederationError
from ..flower import MESSAGE_LIFE_S, Bell, LinkControl, ServerTls, SuperLink, keep_running, serve_app
from ..transport import Address, Authority, Front, LoopbackFiles, Member, Traffic
from ..transport.transport_key import public_key
from .federation_config import FederationConfig
from .sole_process import sole_process

logger = logging.getLogger(__name__)

T = TypeVar("T")
HOLD_S: Final = 20.0  # Flower's client gives a request up after 30
_LOOK_S: Final = 1.0  # between two looks at the list of members


class CoordinatorEngine:
    """Runs from entering the context to leaving it.

    Args:
        config: of the coordinator.
        listen: host and port instead of those of `config`; port 0 is one the system chooses.

    Raises:
        FederationError: on entering: the SuperLink does not start, or another process runs this coordinator.
        TransportError: on entering: the address is in use, or none of this machine's.
        KeyFileError: there is no authority, or its files cannot be used.
    """

    def __init__(self, config: FederationConfig, *, listen: tuple[str, int] | None = None) -> None:
        self._authority = Authority(config.authority)
        self._folder = config.state
        self._listen = listen or (config.listen, config.port)
        # A message that no site has fetched is dropped, but never while its round still waits for the answer.
        self._message_life_s = MESSAGE_LIFE_S + config.rounds.deadline
        self._bell, self._stop = Bell(), threading.Event()
        self._stack = ExitStack()
        self._superlink: SuperLink | None = None
        self._front: Front | None = None
        self._turn = threading.Lock()  # one registration at a time
        self._identities: dict[int, PublicIdentity] = {}  # by Flower's number of the node
        self._seen: tuple[Member, ...] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(sole_process(self._folder, "this coordinator"))
            self._authority.renew_server()
            files = LoopbackFiles.make(self._folder, "superlink")
            tls = ServerTls(certificate=files.certificate, key=files.key, authority=files.authority)
            superlink = self._superlink = stack.enter_context(SuperLink(self._folder / "superlink", tls))
            self._front = stack.enter_context(
                Front(
                    listen=self._listen,
                    upstream=("127.0.0.1", superlink.port),
                    authority=self._authority,
                    upstream_tls=_trust(files.authority),
                    hold_s=HOLD_S,
                    answered=self._bell.ring,
                )
            )
            self.register()
            for work in (lambda: keep_running(superlink, self._stop, restarted=self._forget), self._watch):
                thread = threading.Thread(target=work, name="nasturtium-coordinator", daemon=True)
                thread.start()
                stack.callback(thread.join, 5.0)
            stack.callback(self._stop.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def address(self) -> Address:
        """Where the front listens."""
        return self._must(self._front).address

    @property
    def sites(self) -> Mapping[int, PublicIdentity]:
        """The admitted sites by Flower's number of their node; it changes as sites come and go."""
        return self._identities

    @property
    def members(self) -> tuple[Member, ...]:
        """Who is admitted now.

        Raises:
            KeyFileError: the list cannot be read.
        """
        return self._authority.members.read().members

    def online(self) -> frozenset[str]:
        """Names of the sites whose nodes the SuperLink has seen a moment ago."""
        with LinkControl(self._must(self._superlink).link) as control:
            return frozenset(node.name for node in control.nodes() if node.online)

    def traffic(self) -> Mapping[str, Traffic]:
        """What went through the front for each site, by its name."""
        return self._must(self._front).traffic()

    def serve(self, main: Callable[[Grid], T]) -> T:
        """Be the server app of a new Flower run: `main` is given the Grid.

        Raises:
            LinkLostError: the SuperLink ended; serve again, and it is a new run.
        """
        self.register()
        front = self._must(self._front)
        return serve_app(
            self._must(self._superlink).link,
            main,
            message_life_s=self._message_life_s,
            pushed=front.messages_left,
            arrivals=self._bell,
        )

    def register(self) -> None:
        """Tell the SuperLink who is in, if that has changed."""
        with self._turn:
            members = self.members
            if members == self._seen:
                return
            with LinkControl(self._must(self._superlink).link) as control:
                wanted = {member.name: member for member in members}
                for node in control.nodes():
                    member = wanted.get(node.name)
                    if member is None or node.public_key.strip() != member.node_key.strip():
                        self._identities.pop(node.node, None)
                        control.unregister(node.node)
                for member in members:
                    number = control.register(public_key(member.transport_key), member.name)
                    self._identities[number] = member.identity
            self._seen = members

    def _forget(self) -> None:
        """A SuperLink that was started again knows nobody."""
        with self._turn:
            self._seen = None
            self._identities.clear()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self.register()
            except (NasturtiumError, OSError) as exc:
                logger.warning("the list of members is not followed: %s", exc)

    @staticmethod
    def _must(part: T | None) -> T:
        if part is None:
            raise FederationError("the coordinator does not run", hint="enter its context first")
        return part


def _trust(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)
