"""The Flower ClientApp: one generic app for every site. It runs no code and no pickle from the coordinator."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from ..core import NasturtiumError
from .records import plan_from_content, update_to_content
from .site import Site

logger = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # Flower's code for it


def make_client_app(find_site: Callable[[Context], Site]) -> ClientApp:
    """The app that answers round plans.

    Args:
        find_site: the site a context belongs to; the same one for every message of a node.
    """
    app = ClientApp()

    def answer(message: Message, context: Context) -> Message:
        try:
            update = find_site(context).follow(plan_from_content(message.content))
        except NasturtiumError as exc:
            # The text may speak of the data; it stays here, the coordinator learns the kind.
            logger.warning("round plan not followed: %s", exc)
            return _failure(exc, message)
        except Exception as exc:
            # A bug; Flower's own nodes would send its text.
            logger.exception("round plan not followed")
            return _failure(exc, message)
        return Message(update_to_content(update), reply_to=message)

    app.train()(answer)
    app.evaluate()(answer)
    return app


def _failure(error: Exception, message: Message) -> Message:
    return Message(Error(CLIENT_APP_RAISED, type(error).__name__), reply_to=message)
