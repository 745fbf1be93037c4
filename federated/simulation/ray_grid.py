"""`RayGrid`: Flower's Grid over a Ray cluster, for simulations that outgrow one machine. Imports Ray when one is made.

Trust: Ray pickles whatever goes to and from the members of a cluster, and whoever reaches its ports runs code on it. So
a cluster is one party: objects of this process go to workers of its own cluster and answers come back, nothing of
another site or network is ever unpickled. It is for simulations; real sites are reached by other grids.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from threading import Lock
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from ...core import ConfigError, MissingExtraError
from .virtual_nodes import CLIENT_APP_CRASHED, VirtualGrid, identify_process, run_app


class RayGrid(VirtualGrid):
    """Delivers messages to one ClientApp on the actors of a Ray cluster, with a Flower context per virtual node.

    Args:
        app: answers for every node, or makes the app that does: called once in each actor, which needs its modules.
        nodes: how many.
        address: of the cluster, as Ray takes it; None starts one on this machine. If this process has joined a cluster
            already, that one is used and not left.
        actors: processes that answer, >= 1; None for as many as the cluster has room for now. Each is made when the
            first message is for it, and again if it dies: the message it was at is answered with an error, and what
            the app kept besides its contexts is lost. A node is always on the same one.
        cpus, gpus: that an actor asks for.
        resources: of the cluster's own that an actor asks for, by name.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: the cluster has no room for an actor, or is not there.
    """

    def __init__(
        self,
        app: ClientApp | Callable[[], ClientApp],
        nodes: int,
        *,
        address: str | None = None,
        actors: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._ray = ray = _import_ray()
        self._owned = not ray.is_initialized()
        if self._owned:
            _connect(ray, address)
        try:
            room = _room(ray.cluster_resources(), {"CPU": cpus, "GPU": gpus, **(resources or {})})
            number = room if actors is None else actors
            if number < 1 or room < 1:
                wanted = f"{cpus:g} CPUs, {gpus:g} GPUs" + (f", {dict(resources)}" if resources else "")
                raise ConfigError(
                    f"the Ray cluster has no room for {number} actors of {wanted}", hint="ask for less, or add nodes"
                )
            options = {"num_cpus": cpus, "num_gpus": gpus, "resources": dict(resources or {}), "max_restarts": 0}
            make_actor = ray.remote(**options)(_Actor)
            packed = ray.put(app)
            super().__init__([_ActorHost(ray, lambda: make_actor.remote(packed)) for _ in range(number)], nodes)
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Drop what has not begun, wait for what has, end the actors, and leave the cluster if it was joined here."""
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self._owned and self._ray.is_initialized():
            self._ray.shutdown()


class _ActorHost:
    """One actor, made when it is first asked."""

    slots = 1

    def __init__(self, ray: Any, make: Callable[[], Any]) -> None:
        self._ray = ray
        self._make = make
        self._actor: Any = None
        self._lock = Lock()  # a grid that closes meets no actor half made

    def answer(self, message: Message, context: Context) -> Message:
        with self._lock:
            self._actor = actor = self._actor or self._make()
        try:
            answer, state = self._ray.get(actor.answer.remote(message, context))
        except Exception as exc:  # Ray has a dozen for the ends of workers, nodes and objects
            self.close()
            return Message(Error(CLIENT_APP_CRASHED, type(exc).__name__), reply_to=message)
        context.state = state
        return answer

    def close(self) -> None:
        with self._lock:
            if self._actor is not None:
                self._ray.kill(self._actor)
                self._actor = None


class _Actor:
    """On the cluster: the app, and nothing else."""

    def __init__(self, app: ClientApp | Callable[[], ClientApp]) -> None:
        identify_process()
        self._app = app if isinstance(app, ClientApp) else app()

    def answer(self, message: Message, context: Context) -> tuple[Message, RecordDict]:
        return run_app(self._app, message, context), context.state


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # the product runs in closed networks
    try:
        return import_module("ray")
    except ImportError:
        raise MissingExtraError("a simulation on a Ray cluster", "ray") from None


def _connect(ray: Any, address: str | None) -> None:
    try:
        # None would join the cluster that RAY_ADDRESS names, if it does.
        start = {"include_dashboard": False} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, **start)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise ConfigError(
            f"no Ray cluster at {address}: {exc}", hint='give its address as "host:6379" or "ray://host:10001"'
        ) from exc


def _room(there: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How many actors find room at a time."""
    return min((int(there.get(name, 0.0) / amount) for name, amount in wanted.items() if amount > 0), default=1)
