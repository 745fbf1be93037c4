"""The site's executor: answers the SuperNode's messages with the installed app, in this process, kept warm.

Flower's own executor starts a Python process for every message, unpacks the bundle that came with the run and imports
it: whoever can start a run on the SuperLink runs code at the site. This one looks at the bundle's hash, never at its
files. Whatever goes wrong leaves as one of Flower's error codes without a text, which could hold rows.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from flwr.app import Context, Error, Message
from flwr.app.message import make_message, remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree, push_objects
from flwr.supercore.runtime import RuntimeHttpClient

from ..errors import FederationError, Refusal
from .bell import Bell
from .bundle import BUNDLE_SHA256
from .runtime import UNKNOWN, Heartbeats, Patience, claim, claim_client, task_client

logger = logging.getLogger(__name__)

COMPONENT = "nasturtium-site"
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the executor asks for work: the rarer, the longer there was none."""

    shortest: float = 0.02  # seconds between two questions, right after a message
    longest: float = 1.0
    part: float = 0.05  # of the time since the last message

    def pause(self, idle: float) -> float:
        """Seconds to wait when the last message was `idle` seconds ago."""
        return min(max(self.part * idle, self.shortest), self.longest)


class SiteExecutor:
    """Answers a SuperNode's messages with one app, one after the other.

    Args:
        runtime_address: host and port of the SuperNode's Runtime API; a callable is asked again after each failure.
        secret: what that SuperNode was started with.
        app: answers, and never raises with a text that may leave; if it does, the text stays here.
        bundle_sha256: hex, the one bundle whose runs are answered.
        pace: how often to ask.
        arrivals: rung by whoever carries messages to the SuperNode, when there is one; the executor asks at once
            then, and hardly ever otherwise.
        answered: told when a message was dealt with: its reply is with the SuperNode, or there will be none.
    """

    def __init__(
        self,
        runtime_address: str | Callable[[], str],
        secret: bytes,
        app: ClientApp,
        *,
        bundle_sha256: str = BUNDLE_SHA256,
        pace: Pace | None = None,
        arrivals: Bell | None = None,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._find = runtime_address if callable(runtime_address) else lambda: runtime_address
        self._secret, self._app, self._bundle = secret, app, bundle_sha256
        self._pace, self._arrivals, self._answered = pace or Pace(), arrivals, answered

    def run(self, stop: threading.Event) -> None:
        """Answer until `stop` is set. A SuperNode that is away is asked again; nothing it says ends this."""
        trouble = ""
        sign = time.monotonic()  # of work, the last one
        while not stop.is_set():
            address = self._find()
            client = claim_client(address, self._secret, COMPONENT, authority=None)
            try:
                while not stop.is_set():
                    heard = self._arrivals.rung if self._arrivals is not None else 0
                    claimed = claim(client, TaskType.CLIENT_APP)
                    trouble = ""
                    if claimed is not None:
                        self._serve(address, claimed[1], stop)
                        sign = time.monotonic() if self._arrivals is None else -math.inf
                    pause = self._pace.pause(time.monotonic() - sign)
                    if self._arrivals is None:
                        stop.wait(pause)
                    elif self._arrivals.wait(heard, pause):
                        sign = time.monotonic()
            except (httpx.HTTPError, ValueError) as exc:
                # Said once, not once a second.
                if (said := _in_words(exc)) != trouble:
                    logger.warning("%s", said)
                    trouble = said
                stop.wait(self._pace.longest)
            finally:
                client.close()

    def _serve(self, address: str, token: str, stop: threading.Event) -> None:
        """Answer one message. A SuperNode that was restarted meanwhile has forgotten it, and its reply is dropped."""
        patience = Patience("the SuperNode", PATIENCE_S, stop)
        client = task_client(address, token, COMPONENT, authority=None, patience=patience)
        try:
            with Heartbeats(client):
                self._work(client)
        except (FederationError, httpx.HTTPError, ValueError) as exc:
            logger.warning("a message was dropped: %s", exc)
        except Exception:
            logger.exception("a message was dropped")
        finally:
            self._answered()
            client.close()

    def _work(self, client: RuntimeHttpClient) -> None:
        task = client.PullTaskInput(PullTaskInputRequest())
        context = context_from_proto(task.context)
        pulled = client.PullMessages(PullAppMessagesRequest())
        if not pulled.messages_list:
            # Another message of the run took it along: Flower's tasks do not say which message they are for.
            _finish(client, SubStatus.FAILED, None)
            return
        envelope = message_from_proto(pulled.messages_list[0])
        tree = pulled.message_object_trees[0]
        if hashlib.sha256(task.fab.content).hexdigest() != self._bundle:
            logger.warning("run %d comes with another bundle than ours: refused", context.run_id)
            _forget(client, context, tree.object_id)
            reply = Message(Error(ErrorCode.INVALID_FAB), reply_to=envelope)
        else:
            reply = self._answer(client, context, envelope, tree)
        _push(client, reply, context)
        self._answered()  # now, not after the next request
        with suppress(FederationError, httpx.HTTPError):
            _finish(client, SubStatus.COMPLETED, context)

    def _answer(self, client: RuntimeHttpClient, context: Context, envelope: Message, tree: Any) -> Message:
        """The app's reply, or an error without its text."""
        try:
            message = _pull(client, context, envelope, tree)
        except (FederationError, httpx.HTTPError):
            raise
        except Exception:
            logger.exception("a message cannot be read")
            return Message(Error(ErrorCode.MESSAGE_UNAVAILABLE), reply_to=envelope)
        try:
            return _without_text(self._app(message, context), envelope)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                raise
            logger.exception("the app failed")
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION), reply_to=envelope)


def _without_text(reply: Message, envelope: Message) -> Message:
    """The reply; an error with a code of ours at most, whatever the app wrote into it."""
    if not reply.has_error():
        return reply
    reason = Refusal.told(reply.error.reason or "")
    return Message(Error(reply.error.code, reason.value), reply_to=envelope)


def _pull(client: RuntimeHttpClient, context: Context, envelope: Message, tree: Any) -> Message:
    """The message that was announced; from whom and of which run it is, is what the SuperNode says of it."""
    node = Node(node_id=context.node_id)
    inner = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, node, context.run_id),
        return_type=Message,
        initial_backoff=0.02,  # the SuperNode may still be fetching it
        backoff_cap=1.0,
    )
    return make_message(metadata=envelope.metadata, content=inner.content)


def _forget(client: RuntimeHttpClient, context: Context, message: str) -> None:
    node = Node(node_id=context.node_id)
    client.ConfirmMessageReceived(
        ConfirmMessageReceivedRequest(node=node, run_id=context.run_id, message_object_id=message)
    )


def _push(client: RuntimeHttpClient, reply: Message, context: Context) -> None:
    reply.metadata.__dict__["_message_id"] = reply.object_id
    with no_object_id_recompute():
        response = client.PushMessages(
            PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
            )
        )
        push = make_push_object_fn_protobuf(
            client.PushObject, Node(node_id=context.node_id), context.run_id, response.session_id
        )
        push_objects(get_all_nested_objects(reply), push, object_ids_to_push=set(response.objects_to_push))


def _finish(client: RuntimeHttpClient, status: str, context: Context | None) -> None:
    kept = context_to_proto(context) if context is not None else None
    client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, context=kept))


def _in_words(exc: Exception) -> str:
    if isinstance(exc, httpx.HTTPStatusError) and exc.response.status_code == UNKNOWN:
        return "the SuperNode does not know the executor's secret: was it started by somebody else?"
    return f"the SuperNode does not answer ({type(exc).__name__}); asking again"
