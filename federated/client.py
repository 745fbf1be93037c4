"""The Flower ClientApp: one generic app for every site. It runs no code and no pickle from the coordinator.

What goes wrong at a site becomes a code of `Refusal`: its text may speak of the data, and stays in the site's log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from ..core import NasturtiumError
from .errors import Refusal
from .guard import Action, Asked, Guard, action_of
from .records import (
    answer_to_content,
    check_content,
    outgoing,
    plan_from_content,
    request_from_content,
    update_to_content,
)
from .refusals import refusal_of
from .site import Site

logger = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # Flower's code for it

# What a message asks a site for, and how the site answers.
_Read = Callable[[Site, RecordDict], tuple[Action, Asked, Callable[[], RecordDict]]]


def make_client_app(find_site: Callable[[Context], Site], guard: Guard | None = None) -> ClientApp:
    """The app that answers round plans, and questions about masks.

    Args:
        find_site: the site a context belongs to; the same one for every message of a node.
        guard: is asked before each answer, and shown it before it leaves; None allows everything.
    """
    app = ClientApp()

    def follow(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _read_plan, guard)

    def mask(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _read_request, guard)

    app.train()(follow)
    app.evaluate()(follow)
    app.query()(mask)
    return app


def _read_plan(site: Site, content: RecordDict) -> tuple[Action, Asked, Callable[[], RecordDict]]:
    plan = plan_from_content(content)
    return action_of(plan), plan, lambda: update_to_content(site.follow(plan))


def _read_request(site: Site, content: RecordDict) -> tuple[Action, Asked, Callable[[], RecordDict]]:
    request = request_from_content(content)
    return action_of(request), request, lambda: answer_to_content(site.answer(request))


def _answer(message: Message, find: Callable[[], Site], read: _Read, guard: Guard | None) -> Message:
    """The answer to a message that the coordinator has signed, or the code of what kept it."""
    action: Action | None = None
    asked: Asked | None = None
    try:
        site = find()
        action, asked, respond = read(site, check_content(message.content, site.coordinator))
        if guard is not None:
            guard.before(action, asked)
        content = respond()
        if guard is not None:
            guard.leaving(action, asked, outgoing(content))
        return Message(content, reply_to=message)
    except Exception as exc:
        code = refusal_of(exc)
        if isinstance(exc, NasturtiumError):
            logger.warning("not answered, %s: %s", code, exc)
        else:  # a bug, or a machine that is out of something; Flower's own nodes would send its text
            logger.exception("not answered, %s", code)
        if guard is not None:
            guard.refused(action, asked, code, exc)
        return _failure(code, message)


def _failure(code: Refusal, message: Message) -> Message:
    return Message(Error(CLIENT_APP_RAISED, code.value), reply_to=message)
