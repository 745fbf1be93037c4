"""`LocalGrid`: Flower's Grid in this process, on a pool of threads; no Ray, no servers, no start-up."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Any, Self

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity  # internal: Message() takes its run and source node from it

from .client import CLIENT_APP_RAISED

RUN_ID = 1
COORDINATOR_ID = 1  # Flower's id of the server's own node
FIRST_NODE_ID = 2


@dataclass(slots=True)
class _Node:
    """A virtual node: its context, and the messages it has not answered yet, oldest first."""

    context: Context
    inbox: deque[tuple[Message, Future[Message]]] = field(default_factory=deque[tuple[Message, "Future[Message]"]])


class LocalGrid(Grid):
    """Delivers messages to one ClientApp, with a Flower context per virtual node.

    Args:
        app: answers for every node; finds out which one from `context.node_config["partition-id"]`.
        nodes: how many.
        workers: threads; messages to one node are answered one after the other, in order.
    """

    def __init__(self, app: ClientApp, nodes: int, *, workers: int = 2) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN_ID, COORDINATOR_ID, 1
        self._app = app
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="site")
        self._lock = Lock()  # of the inboxes
        self._nodes = {
            FIRST_NODE_ID + i: _Node(
                Context(
                    run_id=RUN_ID,
                    node_id=FIRST_NODE_ID + i,
                    node_config={"partition-id": i, "num-partitions": nodes},
                    state=RecordDict(),
                    run_config={},
                )
            )
            for i in range(nodes)
        }
        self._pending: dict[str, Future[Message]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        with self._lock:
            for node in self._nodes.values():
                while len(node.inbox) > 1:
                    node.inbox.pop()
        self._pool.shutdown(cancel_futures=True)

    def set_run(self, run: Run) -> None:
        """There is only one run here."""

    @property
    def run(self) -> Run:
        """Not known here: a run of ours is a row of the history, not of a SuperLink."""
        raise RuntimeError("a local grid has no Flower run")

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message; Flower deprecates this in favour of the constructor."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """All virtual nodes; they are always there."""
        return list(self._nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages; returns an id for each."""
        ids: list[str] = []
        for message in messages:
            message_id = uuid.uuid4().hex
            # A SuperLink gives messages their ids; Flower has no public way to.
            message.metadata.__dict__["_message_id"] = message_id
            node, answer = self._nodes[message.metadata.dst_node_id], Future[Message]()
            self._pending[message_id] = answer
            ids.append(message_id)
            with self._lock:
                node.inbox.append((message, answer))
                if len(node.inbox) == 1:
                    self._pool.submit(self._serve, node)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers that are there, each once."""
        done = [i for i in message_ids if i in self._pending and self._pending[i].done()]
        return [self._pending.pop(i).result() for i in done]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for all answers or until `timeout` seconds have passed."""
        ids = list(self.push_messages(messages))
        wait([self._pending[i] for i in ids], timeout)
        return self.pull_messages(ids)

    def _serve(self, node: _Node) -> None:
        """Answer what waits at a node. One thread at a time: it starts with the first message in the inbox."""
        waiting = True
        while waiting:
            message, answer = node.inbox[0]
            answer.set_result(self._answer(message, node.context))
            with self._lock:
                node.inbox.popleft()
                waiting = bool(node.inbox)

    def _answer(self, message: Message, context: Context) -> Message:
        try:
            return self._app(message, context)
        except BaseException as exc:
            # A site that breaks is an answer too, as on Flower's own grids; without the text, which may hold data.
            return Message(Error(CLIENT_APP_RAISED, type(exc).__name__), reply_to=message)


def partition_id(context: Context) -> int:
    """Which virtual node a context belongs to."""
    value: Any = context.node_config["partition-id"]
    return int(value)
