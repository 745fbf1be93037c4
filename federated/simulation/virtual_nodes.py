"""`VirtualGrid`: Flower's Grid over nodes that exist only while a message is for them; hosts say where they run.

A message to a node is answered after all earlier ones to it, so what a node does depends on its messages alone, and
not on how many threads, processes or machines there are.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Lock
from types import TracebackType
from typing import Any, Final, Protocol, Self

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity  # internal: Message() takes its run and source node from it

RUN_ID: Final = 1
COORDINATOR_ID: Final = 1  # Flower's id of the server's own node
FIRST_NODE_ID: Final = 2
CLIENT_APP_RAISED: Final = 2  # Flower's codes
NODE_UNAVAILABLE: Final = 5
CLIENT_APP_CRASHED: Final = 8

# Seconds for which more answers are waited for after one has come, and for each that is missing: looking for those of
# 10,000 nodes takes milliseconds, and is not worth one.
_GATHERING: Final = 0.005
_GATHERING_EACH: Final = 1e-5


class NodeHost(Protocol):
    """Runs the app for some of the nodes."""

    @property
    def slots(self) -> int:
        """Messages it answers at a time, >= 1; each is asked for in a thread of its own."""
        ...

    def answer(self, message: Message, context: Context) -> Message:
        """The node's answer; what it wrote into its state is in `context.state` afterwards."""
        ...

    def close(self) -> None:
        """End what was started; no answer is being waited for."""
        ...


@dataclass(slots=True)
class _Lane:
    """A host, and the nodes of its own that nobody is at though a message waits for them."""

    host: NodeHost
    ready: deque[int] = field(default_factory=deque[int])
    at_work: int = 0  # threads


@dataclass(slots=True, eq=False)
class _Watch:
    """Somebody who waits for answers."""

    missing: set[str]
    first: Event = field(default_factory=Event)  # one of them has come
    last: Event = field(default_factory=Event)  # all have


class VirtualGrid(Grid):
    """Delivers messages to hosts; nodes are bound to them, in turn.

    A node that is not served costs nothing but the state it has written, if any.

    Args:
        hosts: where the app runs; closed with the grid.
        nodes: how many there are, >= 0.
    """

    def __init__(self, hosts: Sequence[NodeHost], nodes: int) -> None:
        identify_process()
        self._nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + nodes)
        self._lanes = [_Lane(host) for host in hosts]
        self._pool = ThreadPoolExecutor(sum(host.slots for host in hosts), thread_name_prefix="site")
        self._prefix, self._numbers = secrets.token_hex(8), count()
        self._lock = Lock()  # of all below
        self._inboxes: dict[int, deque[Message]] = {}  # what a node has not answered, oldest first; never empty
        self._states: dict[int, RecordDict] = {}  # of nodes that have written any
        self._open: set[str] = set()  # ids of messages that are not answered
        self._answers: dict[str, Message] = {}
        self._watches: list[_Watch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        with self._lock:
            for lane in self._lanes:
                for node in lane.ready:
                    del self._inboxes[node]
                lane.ready.clear()
            for inbox in self._inboxes.values():
                while len(inbox) > 1:
                    inbox.pop()
        self._pool.shutdown(cancel_futures=True)
        for lane in self._lanes:
            lane.host.close()

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
        """Queue messages; returns an id for each. A node that is none answers with Flower's error for it."""
        ids: list[str] = []
        for message in messages:
            message_id = f"{self._prefix}-{next(self._numbers)}"
            # A SuperLink gives messages their ids; Flower has no public way to.
            message.metadata.__dict__["_message_id"] = message_id
            ids.append(message_id)
            node = message.metadata.dst_node_id
            with self._lock:
                if node not in self._nodes:
                    self._answers[message_id] = Message(Error(NODE_UNAVAILABLE, "no such node"), reply_to=message)
                    continue
                self._open.add(message_id)
                inbox = self._inboxes.get(node)
                if inbox is not None:
                    inbox.append(message)
                    continue
                self._inboxes[node] = deque((message,))
                lane = self._lanes[(node - FIRST_NODE_ID) % len(self._lanes)]
                lane.ready.append(node)
                if lane.at_work < lane.host.slots:
                    self._pool.submit(self._serve, lane)
                    lane.at_work += 1
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers that are there, each once."""
        return [answer for i in message_ids if (answer := self._answers.pop(i, None)) is not None]

    def wait(self, message_ids: Collection[str], seconds: float) -> None:
        """Return when one of these messages has an answer to be pulled, at the latest after so many seconds.

        Answers that come right after it are waited for: thousands are not pulled one by one.
        """
        watch = self._watch(message_ids)
        if watch.first.wait(seconds):
            watch.last.wait(min(seconds, _GATHERING + _GATHERING_EACH * len(watch.missing)))
        self._forget(watch)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for all answers or until `timeout` seconds have passed."""
        ids = list(self.push_messages(messages))
        watch = self._watch(ids)
        watch.last.wait(timeout)
        self._forget(watch)
        return self.pull_messages(ids)

    def _serve(self, lane: _Lane) -> None:
        """A thread at work: it answers one message after the other while any waits, and comes back for later ones."""
        while True:
            with self._lock:
                if not lane.ready:
                    lane.at_work -= 1
                    return
                node = lane.ready.popleft()
                message = self._inboxes[node][0]
                state = self._states.get(node)
            context = self._make_context(node, RecordDict() if state is None else state)
            try:
                answer = lane.host.answer(message, context)
            except BaseException as exc:
                answer = failure(exc, message)
            with self._lock:
                if context.state:
                    self._states[node] = context.state
                else:
                    self._states.pop(node, None)
                inbox = self._inboxes[node]
                inbox.popleft()
                if inbox:
                    lane.ready.append(node)
                else:
                    del self._inboxes[node]
                self._note(message.metadata.message_id, answer)

    def _note(self, message_id: str, answer: Message) -> None:
        self._open.discard(message_id)
        self._answers[message_id] = answer
        for watch in self._watches:
            if message_id in watch.missing:
                watch.missing.discard(message_id)
                watch.first.set()
                if not watch.missing:
                    watch.last.set()

    def _watch(self, message_ids: Collection[str]) -> _Watch:
        with self._lock:
            watch = _Watch(self._open.intersection(message_ids))
            if len(watch.missing) < len(message_ids):
                watch.first.set()
            if not watch.missing:
                watch.last.set()
            self._watches.append(watch)
        return watch

    def _forget(self, watch: _Watch) -> None:
        with self._lock:
            self._watches.remove(watch)

    def _make_context(self, node: int, state: RecordDict) -> Context:
        config: dict[str, Any] = {"partition-id": node - FIRST_NODE_ID, "num-partitions": len(self._nodes)}
        return Context(run_id=RUN_ID, node_id=node, node_config=config, state=state, run_config={})


def identify_process() -> None:
    """Tell Flower which task this process is, or it makes no messages."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN_ID, COORDINATOR_ID, 1


def run_app(app: ClientApp, message: Message, context: Context) -> Message:
    """What an app answers; an app that breaks is an answer too, as on Flower's own grids."""
    try:
        answer: Any = app(message, context)
        if not isinstance(answer, Message):
            raise TypeError(f"an app answers with a Message, got {type(answer).__name__}")
    except BaseException as exc:
        return failure(exc, message)
    return answer


def failure(error: BaseException, message: Message) -> Message:
    """The answer of an app that raised; without the text, which may hold data."""
    return Message(Error(CLIENT_APP_RAISED, type(error).__name__), reply_to=message)


def partition_id(context: Context) -> int:
    """Which virtual node a context belongs to, from 0."""
    value: Any = context.node_config["partition-id"]
    return int(value)
