"""Flower's Grid of a SuperLink, for a coordinator that no single site may hold up.

Flower's own waits inside `pull_messages`, for minutes, until a reply that was announced has arrived to its last part;
an error in one reply is raised and loses the others; and it interrupts the process when the SuperLink does not know the
task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid import HttpGrid

from .bell import Bell
from .runtime import Patience, task_client
from .superlink import Link

logger = logging.getLogger(__name__)

COMPONENT = "nasturtium-coordinator"
LARGEST_REPLY = 1 << 31  # bytes
MESSAGE_LIFE_S = 3600.0
GIVEN_UP_S = 60.0  # without a question for its reply
SHORTEST_WAIT_S = 0.02  # a look is a request
GONE, TOO_LARGE, UNREADABLE = "gone", "too large", "unreadable"  # why a reply is an error


@dataclass(slots=True)
class _Arriving:
    """A reply that was announced: what the SuperLink says of it, the parts that are here, and those that are not."""

    envelope: Message
    name: str
    missing: list[str]
    parts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    size: int = 0


class LinkGrid(HttpGrid):
    """Flower's Grid of a SuperLink.

    Args:
        link: the SuperLink.
        token: of the run's server task.
        patience_s: seconds it may be away before a call raises `LinkLostError`.
        largest_reply: bytes; what is longer becomes an error message.
        message_life_s: seconds after which a message that nobody fetched is dropped, so that a site which comes back
            after a day does not work through all it has missed. A site's clock may be ahead by less than that.
        pushed: told after messages were left for the sites.
        arrivals: rung by whoever carries the sites' answers; None: nobody does, and waiting is asking now and then.
    """

    def __init__(
        self,
        link: Link,
        token: str,
        *,
        patience_s: float,
        largest_reply: int,
        message_life_s: float,
        pushed: Callable[[], None],
        arrivals: Bell | None,
    ) -> None:
        super().__init__(link.address, link.authority is None, link.authority, token=token)
        patience = Patience("the SuperLink", patience_s)
        self._client = task_client(link.address, token, COMPONENT, authority=link.authority, patience=patience)
        self._largest, self._life_s, self._pushed = largest_reply, message_life_s, pushed
        self._given_up_s = GIVEN_UP_S
        self._unanswered: dict[str, float] = {}  # messages, and when somebody last asked for their replies
        self._arriving: dict[str, _Arriving] = {}  # by the message replied to
        self._arrivals, self._heard = arrivals, 0
        self._fruitless = 0  # waits since something came

    @property
    def client(self) -> RuntimeHttpClient:
        """Acts for the run's server task."""
        return cast(RuntimeHttpClient, self._client)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Leave messages for sites; their ids, in order, empty for one that the SuperLink did not take."""
        taken = list(messages)
        for message in taken:
            message.metadata.ttl = min(message.metadata.ttl, self._life_s)
        self._forget_late_replies()
        ids = list(super().push_messages(taken))
        self._unanswered.update(dict.fromkeys(filter(None, ids), time.monotonic()))
        self._pushed()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to these messages that are here to the last byte, each once; waits for none.

        A reply that is announced and not complete is looked at again by the next call for its message. One that will
        never be complete, is too large or cannot be read is an error.
        """
        wanted = set(message_ids)
        self._heard = self._arrivals.rung if self._arrivals is not None else 0
        self._unanswered.update(dict.fromkeys(wanted & self._unanswered.keys(), time.monotonic()))
        asked = wanted - self._arriving.keys()
        if asked:
            response = self.client.PullMessages(PullAppMessagesRequest(message_ids=sorted(asked)))
            for proto, tree in zip(response.messages_list, response.message_object_trees, strict=True):
                envelope = message_from_proto(proto)
                parts = list(dict.fromkeys(part.object_id for part in iterate_object_tree(tree)))
                sent = envelope.metadata.reply_to_message_id
                self._arriving[sent] = _Arriving(envelope, tree.object_id, parts)
        done: list[Message] = []
        for sent in wanted & self._arriving.keys():
            message = self._fetch(self._arriving[sent])
            if message is not None:
                del self._arriving[sent]
                self._unanswered.pop(sent, None)
                done.append(message)
                self._fruitless = 0
        return done

    def wait(self, message_ids: Collection[str], seconds: float) -> None:
        """Return when one of these messages may have an answer, at the latest after so many seconds."""
        asleep = min(SHORTEST_WAIT_S * 1.25**self._fruitless, seconds)
        self._fruitless += 1
        if self._arrivals is None:
            time.sleep(asleep)
        elif self._arrivals.wait(self._heard, seconds):
            # An answer is carried in parts, and each rings.
            time.sleep(SHORTEST_WAIT_S)

    def _forget_late_replies(self) -> None:
        """Have the SuperLink forget replies that nobody asks for any more; they would stay until the run ends."""
        before = time.monotonic() - self._given_up_s
        given_up = {sent for sent, asked in self._unanswered.items() if asked < before}
        for sent in given_up & self._arriving.keys():
            self._confirm(self._arriving.pop(sent).name)
            del self._unanswered[sent]
            given_up.discard(sent)
        if not given_up:
            return
        response = self.client.PullMessages(PullAppMessagesRequest(message_ids=sorted(given_up)))
        for message in response.messages_list:
            self._confirm(message.metadata.message_id)
            self._unanswered.pop(message.metadata.reply_to_message_id, None)

    def _confirm(self, name: str) -> None:
        """Have the SuperLink forget a reply."""
        self.client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=self.node, run_id=self._run_id, message_object_id=name)
        )

    def _fetch(self, reply: _Arriving) -> Message | None:
        """The reply, if all of it is here by now."""
        while reply.missing:
            part = reply.missing[0]
            got = self.client.PullObject(PullObjectRequest(node=self.node, run_id=self._run_id, object_id=part))
            if not got.object_found:
                return _failed(reply, GONE)
            if not got.object_available:
                return None
            reply.size += len(got.object_content)
            if reply.size > self._largest:
                return _failed(reply, TOO_LARGE)
            reply.parts[part] = got.object_content
            reply.missing.pop(0)
        self._confirm(reply.name)
        return _open(reply)

    @property
    def _run_id(self) -> int:
        return cast(Any, self._run).run_id


def _open(reply: _Arriving) -> Message:
    """The message in its parts. Who sent it, in reply to what, is what the SuperLink says, not what is inside."""
    try:
        inner = inflate_object_from_contents(reply.name, reply.parts)
        if not isinstance(inner, Message):
            return _failed(reply, UNREADABLE)
        metadata = reply.envelope.metadata
        if inner.has_error():
            return make_message(metadata=metadata, error=inner.error)
        return make_message(metadata=metadata, content=inner.content)
    except Exception as exc:
        # Whatever a site wrote into it; the other replies are none of its business.
        logger.warning("a reply cannot be read: %s", type(exc).__name__)
        return _failed(reply, UNREADABLE)


def _failed(reply: _Arriving, why: str) -> Message:
    reply.parts.clear()
    return make_message(metadata=reply.envelope.metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, why))
