"""The Flower ClientApp: one generic app for every site. It runs no code and no pickle from the coordinator.

A message has one question or several, each of a run of its own; a site that refuses one answers the others all the
same. The site signs all of its answer for the very message it is to. What goes wrong becomes a code of `Refusal`: its
text may speak of the data, and stays in the site's log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from ...core import NasturtiumError
from ...privacy import PublicIdentity
from ..agreement.messages import agreement_answer_to_content, agreement_plan_from_content, is_agreement
from ..errors import PlanError, Refusal
from ..protocol.answers import join_contents, refusal_to_content, sign_answer, split_content
from ..protocol.key_messages import KEYS, key_answer_to_content, key_request_from_content
from ..protocol.queries import CheckpointRequest, HelloRequest, HelloVerdict
from ..protocol.query_records import (
    box_to_content,
    consent_to_content,
    done_to_content,
    hello_to_content,
    query_from_content,
    sealed_to_content,
)
from ..protocol.records import (
    answer_to_content,
    check_content,
    content_digest,
    outgoing,
    plan_from_content,
    request_from_content,
    update_to_content,
)
from ..protocol.release import ReleaseRequest
from .guard import Action, Asked, Guard, action_of
from .refusals import refusal_of
from .site import Site

if TYPE_CHECKING:
    from .ceremony import SiteCeremony  # which opens keys

logger = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # Flower's code for it


@dataclass(frozen=True, slots=True)
class _Question:
    """What a site is asked for, and how it answers."""

    action: Action
    asked: Asked
    respond: Callable[[], RecordDict]


class Answerer(Protocol):
    """Who answers for a site: the site itself, or what makes its key before there is one."""

    @property
    def coordinator(self) -> PublicIdentity:
        """Who must have signed the questions."""
        ...

    def sign_answer(self, message: bytes) -> bytes:
        """The site's signature of an answer, 64 bytes."""
        ...


S = TypeVar("S", bound=Answerer)


def make_client_app(
    find_site: Callable[[Context], Site], guard: Guard | None = None, *, ceremony: SiteCeremony | None = None
) -> ClientApp:
    """The app that answers round plans, and questions before, between and after them.

    Args:
        find_site: the site a context belongs to; the same one for every message of a node.
        guard: is asked before each answer, and shown it before it leaves; None allows everything.
        ceremony: answers questions about the key; None where the site has it from elsewhere.
    """
    app = ClientApp()

    def follow(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _read_plan, guard)

    def tell(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _read_query, guard)

    app.train()(follow)
    app.evaluate()(follow)
    app.query()(tell)
    if ceremony is not None:

        def make_key(message: Message, context: Context) -> Message:
            return _answer(message, lambda: ceremony, _read_key_request, guard)

        app.query(KEYS.partition(".")[2])(make_key)
    return app


def _read_plan(site: Site, content: RecordDict) -> _Question:
    plan = plan_from_content(content)
    return _Question(action_of(plan), plan, lambda: update_to_content(site.follow(plan)))


def _read_query(site: Site, content: RecordDict) -> _Question:
    if is_agreement(content):
        plan = agreement_plan_from_content(content)
        return _Question("agree", plan, lambda: agreement_answer_to_content(site.agree(plan)))
    query = query_from_content(content)
    match query:
        case None:
            request = request_from_content(content)
            return _Question(action_of(request), request, lambda: answer_to_content(site.answer(request)))
        case HelloRequest():
            return _Question("hello", query, lambda: hello_to_content(site.hello(query)))
        case HelloVerdict():
            return _Question("hello", query, lambda: _note(site, query))
        case CheckpointRequest(box=b""):
            return _Question("checkpoint", query, lambda: box_to_content(site.give_checkpoint(query)))
        case CheckpointRequest():
            return _Question("checkpoint", query, lambda: done_to_content(site.take_checkpoint(query)))
        case ReleaseRequest(commitment=""):
            return _Question("release", query, lambda: consent_to_content(site.consent(query)))
        case ReleaseRequest():
            return _Question("release", query, lambda: sealed_to_content(site.give_model(query)))


def _read_key_request(ceremony: SiteCeremony, content: RecordDict) -> _Question:
    request = key_request_from_content(content)
    return _Question("keys", request, lambda: key_answer_to_content(ceremony.answer(request.step, request.document)))


def _note(site: Site, verdict: HelloVerdict) -> RecordDict:
    site.note_verdict(verdict)
    return done_to_content(0)


def _answer(
    message: Message, find: Callable[[], S], read: Callable[[S, RecordDict], _Question], guard: Guard | None
) -> Message:
    """The answer to a message that the coordinator has signed, or the code of what kept it."""
    try:
        site = find()
        content = check_content(message.content, site.coordinator)
        question = content_digest(content)
        try:
            parts = split_content(content)
        except ValueError as exc:
            raise PlanError(f"a damaged message: {exc}") from exc
        answers = join_contents([_answer_one(site, part, read, guard) for part in parts])
        return Message(sign_answer(answers, site.sign_answer, question), reply_to=message)
    except Exception as exc:
        return Message(Error(CLIENT_APP_RAISED, _refuse(exc, None, None, guard).value), reply_to=message)


def _answer_one(
    site: S, content: RecordDict, read: Callable[[S, RecordDict], _Question], guard: Guard | None
) -> RecordDict:
    """The answer to one question, or the code of what kept it."""
    question: _Question | None = None
    try:
        question = read(site, content)
        if guard is not None:
            guard.before(question.action, question.asked)
        answer = question.respond()
        if guard is not None:
            guard.leaving(question.action, question.asked, outgoing(answer))
        return answer
    except Exception as exc:
        action, asked = (None, None) if question is None else (question.action, question.asked)
        return refusal_to_content(_refuse(exc, action, asked, guard))


def _refuse(error: Exception, action: Action | None, asked: Asked | None, guard: Guard | None) -> Refusal:
    """Keep what went wrong here; the code that leaves instead."""
    code = refusal_of(error)
    if isinstance(error, NasturtiumError):
        logger.warning("not answered, %s: %s", code, error)
    else:  # a bug, or a machine that is out of something; Flower's own nodes would send its text
        logger.error("not answered, %s", code, exc_info=error)
    if guard is not None:
        guard.refused(action, asked, code, error)
    return code
