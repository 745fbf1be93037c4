"""`LocalGrid`: Flower's Grid on this machine, on threads or a pool of processes; no Ray, no servers, no start-up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from ...core import ConfigError
from .virtual_nodes import FIRST_NODE_ID, NodeHost, VirtualGrid, partition_id, run_app

__all__ = ["FIRST_NODE_ID", "LocalGrid", "partition_id"]


class LocalGrid(VirtualGrid):
    """Delivers messages to one ClientApp, with a Flower context per virtual node.

    Args:
        app: answers for every node; finds out which one from `context.node_config["partition-id"]`. With processes, a
            function that makes it: from the top level of a module, or a partial of one.
        nodes: how many.
        workers: threads, where there are no processes.
        processes: to run the app in, for local training that holds the interpreter's lock; 0 runs it here. A node is
            always in the same one. What the app keeps besides its context is lost with a process that dies.

    Raises:
        ConfigError: the app cannot be made in a process.
    """

    def __init__(
        self, app: ClientApp | Callable[[], ClientApp], nodes: int, *, workers: int = 2, processes: int = 0
    ) -> None:
        super().__init__(_make_hosts(app, workers, processes), nodes)


@dataclass(frozen=True, slots=True)
class _Inline:
    """The app in this process."""

    app: ClientApp
    slots: int

    def answer(self, message: Message, context: Context) -> Message:
        return run_app(self.app, message, context)

    def close(self) -> None:
        pass


def _make_hosts(app: ClientApp | Callable[[], ClientApp], workers: int, processes: int) -> list[NodeHost]:
    if not processes:
        return [_Inline(app if isinstance(app, ClientApp) else app(), workers)]
    if isinstance(app, ClientApp):
        raise ConfigError(
            "an app is not given to other processes, what makes it is", hint="pass a function that returns the app"
        )
    from .process_host import ProcessHost  # half of its cost is multiprocessing

    hosts: list[ProcessHost] = []
    try:
        hosts += (ProcessHost(app) for _ in range(processes))
        for host in hosts:
            host.wait_until_ready()
    except BaseException:
        for host in hosts:
            with suppress(OSError):
                host.close()
        raise
    return list[NodeHost](hosts)
