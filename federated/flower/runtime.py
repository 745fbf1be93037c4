"""Flower's Runtime API as both of our executors use it: claims, heartbeats, and calls that fail in words.

A SuperLink offers the run's server task on it, a SuperNode every message as a client task. Flower's own executors are
processes of their own, and its client may end them: an answer 401 or a heartbeat that is refused sends SIGINT to the
process. Ours run inside the coordinator and the site, so they use Flower's client with retries and heartbeats of
ours.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import httpx
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.error import FlowerError
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient

from ..errors import FederationError
from .environment import without_proxy

logger = logging.getLogger(__name__)
# It tells of every request, and asking for work is one several times a second.
logging.getLogger("httpx").setLevel(logging.WARNING)

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
HEARTBEAT_S = 10.0  # Flower gives a claimed task up 30 s after it was claimed, then 60 s after its last heartbeat
RETRIED = (502, 503, 504)
UNKNOWN, ENDED = 401, 403  # of the task's token; of the run


class LinkLostError(FederationError):
    """A Flower server that is gone, was restarted, or ended the task: what ran on it has to be started again."""


class TaskLostError(LinkLostError):
    """The server answers, but knows the task no more: it was restarted, or the run was ended."""


class Patience:
    """Calls a server again while it is away, and says in one error why not any longer.

    Takes the place of Flower's `RetryInvoker`, which waits for ever and interrupts the process.

    Args:
        server: its name, for errors.
        seconds: how long a server may be away.
        stop: ends the waiting early.
    """

    def __init__(self, server: str, seconds: float, stop: threading.Event | None = None) -> None:
        self._server, self._seconds, self._stop = server, seconds, stop or threading.Event()

    def invoke(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The value of `target(...)`.

        Raises:
            LinkLostError: the server was away for `seconds`, or knows nothing of the task.
            FederationError: it refused the request.
        """
        deadline, pause = time.monotonic() + self._seconds, 0.05
        while True:
            try:
                return target(*args, **kwargs)
            except httpx.HTTPStatusError as exc:
                if exc.response.status_code not in RETRIED:
                    raise _refused(self._server, exc) from exc
                away: httpx.HTTPError = exc
            except httpx.TransportError as exc:
                away = exc
            if time.monotonic() > deadline or self._stop.wait(pause):
                raise LinkLostError(
                    f"{self._server} does not answer: {away}",
                    hint="see its log; it is started again, and the run goes on at its last closed round",
                ) from away
            pause = min(2 * pause, 1.0)


def claim_client(address: str, secret: bytes, component: str, *, authority: bytes | None) -> RuntimeHttpClient:
    """A client that may claim tasks and nothing else. It raises httpx's errors.

    Args:
        address: host and port.
        secret: what the server was started with; proves that we may run its tasks.
        component: what we call ourselves in its logs.
        authority: PEM of the certificate authority that the server's certificate is of; None for plain HTTP.
    """
    return open_client(
        RuntimeHttpClient,
        address,
        authority,
        [
            RuntimeVersionHttpInterceptor(component),
            SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[ACQUIRE]),
        ],
        None,
    )


def task_client(
    address: str, token: str, component: str, *, authority: bytes | None, patience: Patience
) -> RuntimeHttpClient:
    """A client that acts for one claimed task."""
    interceptors = [RuntimeVersionHttpInterceptor(component), RuntimeTokenHttpInterceptor(token)]
    return open_client(RuntimeHttpClient, address, authority, interceptors, patience)


def open_client(
    kind: type[Any], address: str, authority: bytes | None, interceptors: list[Any], patience: Patience | None
) -> Any:
    """One of Flower's HTTP clients, to a server of ours on loopback."""
    # httpx reads the proxies of the environment as it opens; loopback never goes through one.
    os.environ.update(without_proxy(os.environ))
    return kind.from_server_address(address, authority is None, authority, interceptors, retry_invoker=patience)


def claim(client: RuntimeHttpClient, kind: str) -> tuple[Any, str] | None:
    """The oldest waiting task of a kind, and the token to act for it; None when none waits."""
    response = client.AcquireTask(AcquireTaskRequest(supported_task_types=[kind]))
    return (response.task, response.token) if response.HasField("task") and response.token else None


class Heartbeats:
    """Tells the server every few seconds that a task is being worked on, from a thread of its own.

    Args:
        client: acts for the task.
        seconds: between two.
    """

    def __init__(self, client: RuntimeHttpClient, seconds: float = HEARTBEAT_S) -> None:
        self._client, self._seconds, self._stop = client, seconds, threading.Event()
        self._thread = threading.Thread(target=self._run, name="task heartbeats", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # Whoever works on the task learns from their own calls that the server is gone.
        while not self._stop.wait(self._seconds):
            with suppress(FederationError, httpx.HTTPError):
                self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest())


def _refused(server: str, exc: httpx.HTTPStatusError) -> FederationError:
    status, error = exc.response.status_code, FlowerError.from_json(exc.response.text)
    said = f"[{error.code}] {error.message}" if error is not None else f"HTTP status {status}"
    if status == UNKNOWN:
        return TaskLostError(
            f"{server} does not know us: it was restarted, or the task was given up for want of heartbeats ({said})"
        )
    if status == ENDED:
        return TaskLostError(f"{server} has ended the run ({said})")
    return FederationError(f"{server} refused a request: {said}", hint="its log says more")
