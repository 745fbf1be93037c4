"""How a coordinator asks sites: signed questions out, checked answers in, several runs in one message.

What has questions for sites is a generator of `Questions` and `Pause`s, to which the answers are sent; `drive` runs one
or many of them side by side. Those whose questions are due at the same time share the messages: a search that trains
eight candidates pays for the exchanges of one.

Threat model: whoever carries a message can drop it and see its size. An answer counts only if the site that was asked
has signed it for this very question: none is taken from another round, attempt, run, site or federation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from ...privacy import PublicIdentity, Signer, UpdateRejectedError
from ..errors import Refusal
from .answers import (
    MAX_QUESTIONS,
    answers_something,
    check_answer,
    content_bytes,
    join_contents,
    refusal_from_content,
    split_content,
)
from .gather import Closing, gather
from .records import content_digest, sign_content

logger = logging.getLogger(__name__)

T = TypeVar("T")
Content: TypeAlias = RecordDict
TRAIN: Final = MessageType.TRAIN
EVALUATE: Final = MessageType.EVALUATE
QUERY: Final = MessageType.QUERY
# What Flower's servers answer in place of a site, by their codes.
_LOST: Final[Mapping[int, str]] = {
    3: "the message was dropped before the site fetched it",
    4: "the answer was dropped on its way",
    5: "the site is not connected",
}
_SLACK: Final = 2**16  # bytes of an answer beside what was asked for: names, figures, signatures


@dataclass(frozen=True, slots=True)
class Questions:
    """What some sites are asked at a time.

    Attributes:
        kind: Flower's type of the message.
        contents: by node.
        largest: bytes that an answer may have, beside figures and signatures.
        closing: how long to wait.
        counted: nodes of which `closing.min_replies` are waited for; the answers of others are quick, or not needed.
    """

    kind: str
    contents: Mapping[int, RecordDict]
    largest: int
    closing: Closing
    counted: frozenset[int]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to be asked for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of `Questions`.

    Attributes:
        contents: by node, of those that answered in order.
        reasons: why others have not, by node; nothing of those that did not answer in time.
        codes: what a site itself gave as the reason, by node.
    """

    contents: Mapping[int, RecordDict] = field(default_factory=dict[int, RecordDict])
    reasons: Mapping[int, str] = field(default_factory=dict[int, str])
    codes: Mapping[int, Refusal] = field(default_factory=dict[int, Refusal])


Steps: TypeAlias = Generator["Questions | Pause", "Answers", T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What came of a generator: `value`, or what it raised.

    Attributes:
        place: which one, from 0.
    """

    place: int
    value: T | None
    error: BaseException | None


class Courier:
    """Carries questions to sites over a grid.

    Args:
        grid: any.
        sites: the identity of each node that may be asked; asked anew each time, so that it may grow.
        signer: the coordinator's identity, which signs the questions.
        check: called often while answers are waited for; what it raises ends the wait.
    """

    def __init__(
        self,
        grid: Grid,
        sites: Mapping[int, PublicIdentity],
        signer: Signer,
        *,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self._grid = grid
        self._sites = sites
        self._signer = signer
        self._check = check

    def nodes(self) -> list[int]:
        """The nodes that are there and may be asked, in order."""
        return sorted(node for node in self._grid.get_node_ids() if node in self._sites)

    def ask(self, asked: Mapping[int, Questions]) -> dict[int, Answers]:
        """Ask for several at a time, by place; all of one kind."""
        messages = self.messages(asked)
        closing = _latest([questions.closing for questions in asked.values()])
        counted = frozenset[int]().union(*(questions.counted for questions in asked.values()))

        def counts(reply: Message) -> bool:
            if reply.has_error() or reply.metadata.src_node_id not in counted:
                return False
            return answers_something(reply.content)

        replies = gather(self._grid, messages.values(), closing, counts=counts, check=self._check)
        return self.read(asked, messages, replies)

    def messages(self, asked: Mapping[int, Questions]) -> dict[int, Message]:
        """The signed message for each node, whose questions are in the order of `asked`."""
        [kind] = {questions.kind for questions in asked.values()}
        together: dict[int, list[RecordDict]] = {}
        for questions in asked.values():
            for node, content in questions.contents.items():
                together.setdefault(node, []).append(content)
        signed: dict[tuple[int, ...], RecordDict] = {}  # thousands of sites are asked the same
        messages: dict[int, Message] = {}
        for node, contents in together.items():
            same = tuple(map(id, contents))
            if same not in signed:
                signed[same] = sign_content(join_contents(contents), self._signer)
            messages[node] = Message(signed[same], node, kind)
        return messages

    def read(
        self, asked: Mapping[int, Questions], messages: Mapping[int, Message], replies: Iterable[Message]
    ) -> dict[int, Answers]:
        """Sort replies: the first of each node that it signed for its message, cut into the answers to each."""
        contents: dict[int, dict[int, RecordDict]] = {place: {} for place in asked}
        reasons: dict[int, dict[int, str]] = {place: {} for place in asked}
        codes: dict[int, dict[int, Refusal]] = {place: {} for place in asked}
        by_id = {message.metadata.message_id: node for node, message in messages.items()}
        digests: dict[int, bytes] = {}  # of contents, by object
        seen: set[int] = set()
        for reply in replies:
            node = by_id.get(reply.metadata.reply_to_message_id)
            if node is None or node in seen:
                continue
            seen.add(node)
            places = [place for place, questions in asked.items() if node in questions.contents]
            question = messages[node].content
            if id(question) not in digests:
                digests[id(question)] = asked_digest(question)
            parts = self._read(node, digests[id(question)], reply, asked, places)
            for place, part in zip(places, parts, strict=True):
                if isinstance(part, RecordDict):
                    contents[place][node] = part
                    continue
                reasons[place][node], code = part
                if code is not None:
                    codes[place][node] = code
        return {place: Answers(contents[place], reasons[place], codes[place]) for place in asked}

    def _read(
        self, node: int, question: bytes, reply: Message, asked: Mapping[int, Questions], places: Sequence[int]
    ) -> list[RecordDict | tuple[str, Refusal | None]]:
        """The answer to each question of a message, or why there is none."""
        try:
            if reply.has_error():
                if (lost := _LOST.get(reply.error.code)) is not None:
                    return [(lost, None)] * len(places)
                reason = str(reply.error.reason)
                code = Refusal.told(reason)
                told = code.reason if code == reason else f"the site failed: {reply.error.reason!r:.100}"
                return [(told, code)] * len(places)
            largest = sum(asked[place].largest + _SLACK for place in places)
            if (size := content_bytes(reply.content)) > largest:
                raise UpdateRejectedError(f"an answer of {size} bytes, expected at most {largest}")
            site = self._sites.get(node)
            if site is None:
                raise UpdateRejectedError("the site was removed meanwhile")
            content = check_answer(reply.content, site, question)
            parts = split_content(content)
            if len(parts) != len(places):
                raise UpdateRejectedError(f"answers {len(parts)} questions of {len(places)}")
        except UpdateRejectedError as exc:
            return [(exc.message, None)] * len(places)
        except Exception as exc:  # whatever a site has made of a message, the others go on
            logger.warning("an answer that cannot be read: %r", exc)
            return [(f"a damaged answer: {exc!s:.200}", None)] * len(places)
        found: list[RecordDict | tuple[str, Refusal | None]] = []
        for part in parts:
            code = refusal_from_content(part)
            found.append(part if code is None else (code.reason, code))
        return found


def drive(
    courier: Courier,
    steps: Iterable[Steps[T]],
    *,
    at_once: int = 1,
    check: Callable[[], object] = lambda: None,
) -> Generator[Done[T]]:
    """Run generators of questions, some side by side.

    Args:
        courier: carries their questions.
        steps: of which the next is begun when one has ended.
        at_once: how many share the messages, 1 to `MAX_QUESTIONS`.
        check: called between exchanges; what it raises ends all.

    Yields:
        What came of each, as it ends; what one raises does not end the others.
    """
    assert 1 <= at_once <= MAX_QUESTIONS
    waiting = enumerate(steps)
    going: dict[int, Steps[T]] = {}
    due: dict[int, Questions | Pause] = {}
    ended: list[Done[T]] = []

    def advance(place: int, answers: Answers | None) -> None:
        try:
            due[place] = next(going[place]) if answers is None else going[place].send(answers)
        except StopIteration as stop:
            ended.append(Done(place, stop.value, None))
        except Exception as exc:
            ended.append(Done(place, None, exc))
        else:
            return
        del going[place]

    def fill() -> None:
        while len(going) < at_once and (following := next(waiting, None)) is not None:
            place, generator = following
            going[place] = generator
            advance(place, None)

    try:
        fill()
        while due or ended:
            yield from ended
            ended.clear()
            fill()
            if not due:
                continue
            check()
            questions = {place: each for place, each in due.items() if isinstance(each, Questions)}
            if not questions:
                place, pause = min(due.items(), key=lambda item: _seconds(item[1]))
                _sleep(_seconds(pause), check)
                del due[place]
                advance(place, Answers({}, {}, {}))
                continue
            kind = next(iter(questions.values())).kind
            now = {place: each for place, each in questions.items() if each.kind == kind}
            for place in now:
                del due[place]
            for place, answers in courier.ask(now).items():
                advance(place, answers)
    finally:
        for generator in going.values():
            generator.close()


def asked_digest(content: RecordDict) -> bytes:
    """What the answer to a signed question is signed for."""
    return content_digest(RecordDict({name: each for name, each in content.items() if name != "signature"}))


def _latest(closings: Sequence[Closing]) -> Closing:
    """One that waits as long as each of them."""
    return Closing(
        deadline=max(each.deadline for each in closings),
        min_replies=max(each.min_replies for each in closings),
        grace=max(each.grace for each in closings),
    )


def _seconds(due: Questions | Pause) -> float:
    return due.seconds if isinstance(due, Pause) else 0.0


def _sleep(seconds: float, check: Callable[[], object]) -> None:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))
