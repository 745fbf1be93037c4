"""The Flower ClientApp: one generic app for every site. It runs no code and no pickle from the coordinator."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from ..core import NasturtiumError
from .records import answer_to_content, check_content, plan_from_content, request_from_content, update_to_content
from .site import Site

logger = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # Flower's code for it


def make_client_app(find_site: Callable[[Context], Site]) -> ClientApp:
    """The app that answers round plans, and questions about masks.

    Args:
        find_site: the site a context belongs to; the same one for every message of a node.
    """
    app = ClientApp()

    def follow(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _follow)

    def mask(message: Message, context: Context) -> Message:
        return _answer(message, lambda: find_site(context), _mask)

    app.train()(follow)
    app.evaluate()(follow)
    app.query()(mask)
    return app


def _follow(site: Site, content: RecordDict) -> RecordDict:
    return update_to_content(site.follow(plan_from_content(content)))


def _mask(site: Site, content: RecordDict) -> RecordDict:
    return answer_to_content(site.answer(request_from_content(content)))


def _answer(message: Message, find: Callable[[], Site], respond: Callable[[Site, RecordDict], RecordDict]) -> Message:
    """The answer to a message that the coordinator has signed, or what kind of failure kept it."""
    try:
        site = find()
        return Message(respond(site, check_content(message.content, site.coordinator)), reply_to=message)
    except NasturtiumError as exc:
        # The text may speak of the data; it stays here, the coordinator learns the kind.
        logger.warning("not answered: %s", exc)
        return _failure(exc, message)
    except Exception as exc:
        # A bug; Flower's own nodes would send its text.
        logger.exception("not answered")
        return _failure(exc, message)


def _failure(error: Exception, message: Message) -> Message:
    return Message(Error(CLIENT_APP_RAISED, type(error).__name__), reply_to=message)
