"""What a site runs on its machine: Flower's SuperNode on loopback, the tunnel to the coordinator, and the executor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flwr.clientapp import ClientApp

from ..flower import Bell, SiteExecutor, SuperNode, keep_running
from ..transport import FOR_THE_OPERATOR, Admission, TransportKey, Tunnel, TunnelState
from .sole_process import sole_process

HOLD_S: Final = 20.0  # of the receipt of a message, until the site has answered it
_LOOK_S: Final = 1.0


def run_site(
    app: ClientApp,
    admission: Admission,
    key: TransportKey,
    folder: Path,
    *,
    stop: threading.Event,
    connect: tuple[str, int] | None = None,
    changed: Callable[[TunnelState], None] = lambda state: None,
) -> None:
    """Answer the coordinator with `app` until `stop` is set.

    Args:
        app: answers messages.
        admission: what the coordinator gave this site.
        key: the site's transport key.
        folder: for the SuperNode and the tunnel; made where there is none.
        stop: ends it, within a second or two.
        connect: where the front is, if not where the admission says.
        changed: told, in a thread of its own, when the way to the coordinator opens or closes.

    Raises:
        AdmissionError: the admission is not for this key, or expired.
        FederationError: the SuperNode does not start, or another process runs the site.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    bell = Bell()
    with (
        sole_process(folder, f"the site {admission.site}"),
        Tunnel(admission, key, folder, connect=connect, hold_s=HOLD_S, arrived=bell.ring) as tunnel,
    ):
        watch = threading.Thread(target=_tell, args=(tunnel, stop, changed), name="nasturtium-tell", daemon=True)
        watch.start()
        node = SuperNode(folder / "supernode", str(tunnel.address), key=key.private, authority=tunnel.root_certificate)
        with node:
            again = threading.Thread(
                target=lambda: keep_running(node, stop, useful=lambda: tunnel.state.code not in FOR_THE_OPERATOR),
                name="nasturtium-node",
                daemon=True,
            )
            again.start()
            try:
                SiteExecutor(lambda: node.address, node.secret, app, arrivals=bell, answered=tunnel.answered).run(stop)
            finally:
                stop.set()
                again.join(5.0)
                watch.join(5.0)


def _tell(tunnel: Tunnel, stop: threading.Event, changed: Callable[[TunnelState], None]) -> None:
    known: TunnelState | None = None
    while not stop.wait(_LOOK_S):
        state = tunnel.state
        if known is None or (state.code, state.detail) != (known.code, known.detail):
            known = state
            changed(state)
