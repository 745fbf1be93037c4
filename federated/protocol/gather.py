"""How long a round waits: messages to many nodes, and the answers that came by the time it closes.

Flower's own `send_and_receive` asks every three seconds and waits for everyone; this works with any Grid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from ...core import ConfigError

# Of waiting between two looks for answers, in seconds. A look is a request to Flower's SuperLink, of which twenty a
# second for each of several exchanges keep it from its work, so a wait grows with how long there was nothing.
_FIRST_WAIT: Final = 0.005
_LONGEST_WAIT: Final = 1.0
_GROWTH: Final = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """When a round closes: when all have answered, `grace` after `min_replies` did, or at the deadline.

    Attributes:
        deadline: seconds from sending; > 0, may be infinite.
        min_replies: how many answers begin the grace; >= 1. As many as there are sites waits for everyone.
        grace: seconds that the others still have then; >= 0.

    Raises:
        ConfigError: out of range.
    """

    deadline: float = 600.0
    min_replies: int = 3
    grace: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.deadline <= inf and self.min_replies >= 1 and 0 <= self.grace <= inf):
            raise ConfigError(
                f"expected deadline > 0, min_replies >= 1 and grace >= 0, got {self.deadline}, {self.min_replies}"
                f" and {self.grace}"
            )


@runtime_checkable
class Waking(Protocol):
    """A grid that knows when an answer has come, and need not be asked in vain."""

    def wait(self, message_ids: Collection[str], seconds: float) -> None:
        """Return when one of these messages has an answer to be pulled, at the latest after so many seconds."""
        ...


def gather(
    grid: Grid,
    messages: Iterable[Message],
    closing: Closing,
    *,
    counts: Callable[[Message], bool] = lambda reply: not reply.has_error(),
    check: Callable[[], object] = lambda: None,
) -> list[Message]:
    """Send messages and collect the answers until the round closes; what comes later is dropped.

    Args:
        grid: any.
        messages: one or none for each node.
        closing: when to stop waiting.
        counts: whether an answer counts among `min_replies`; errors do not.
        check: called between looks; raises to give up waiting, as when somebody asked for a stop.

    Returns:
        The answers in the order they came, errors among them.
    """
    waiting = {message_id for message_id in grid.push_messages(list(messages)) if message_id}  # not all may be taken
    started = time.monotonic()
    replies: list[Message] = []
    usable, ends, wait = 0, started + closing.deadline, _FIRST_WAIT
    while waiting:
        came = list(grid.pull_messages(list(waiting)))
        waiting -= {reply.metadata.reply_to_message_id for reply in came}
        replies += came
        now = time.monotonic()
        before = usable
        usable += sum(counts(reply) for reply in came)
        if before < closing.min_replies <= usable:
            ends = min(ends, now + closing.grace)
        if not waiting or now >= ends:
            break
        check()
        wait = _FIRST_WAIT if came else min(wait * _GROWTH, _LONGEST_WAIT)
        if isinstance(grid, Waking):
            grid.wait(waiting, min(_LONGEST_WAIT, ends - now))
        else:
            time.sleep(min(wait, ends - now))
    return replies
