"""The coordinator's part of the handshake: it greets sites that it does not know yet, and tells each the verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from ...privacy import UpdateRejectedError
from ..errors import Refusal
from ..protocol.courier import QUERY, Questions, Steps
from ..protocol.gather import Closing
from ..protocol.handshake import HelloTerms, check_hello
from ..protocol.queries import HelloRequest, HelloVerdict, SiteHello, package_version
from ..protocol.query_records import MAX_HELLO_BYTES, hello_from_content, query_to_content

_PATIENCE_S: Final = 30.0  # for a greeting
_AGAIN_S: Final = 60.0  # before who did not answer is greeted again

logger = logging.getLogger(__name__)

# Has sites find out what the others have agreed on before; why nodes cannot, for good.
LeadIn: TypeAlias = Callable[[Collection[int]], Steps[Mapping[int, str]]]


class Greeter:
    """Who has said what it is, and who does not fit.

    Args:
        terms: what sites must be.
        closing: how long to wait for them.
        check: looks for more, of the node that said it: reasons, each in a sentence.
        lead_in: see `LeadIn`; None where nothing was agreed on before.
        hand_key: called with nodes that are not ready, to give them the key; None where they have it from elsewhere.

    Attributes:
        hellos: of the nodes that have answered.
        refused: why nodes are not asked.
    """

    def __init__(
        self,
        terms: HelloTerms,
        closing: Closing,
        *,
        check: Callable[[int, SiteHello], Collection[str]] = lambda node, hello: (),
        lead_in: LeadIn | None = None,
        hand_key: Callable[[Collection[int]], Steps[None]] | None = None,
    ) -> None:
        self.terms = terms
        self._lead_in = lead_in
        self._hand_key = hand_key
        self._handed: set[int] = set()
        self._closing = closing
        self._check = check
        self._asked: dict[int, float] = {}  # when nodes were, that have not answered
        self.hellos: dict[int, SiteHello] = {}
        self.refused: dict[int, str] = {}

    def accepts(self, node: int) -> bool:
        """Whether a node was greeted, and fits."""
        return node in self.hellos and node not in self.refused

    def forget(self, nodes: Collection[int]) -> None:
        """Greet some nodes again the next time: they may be other than they were."""
        for node in nodes:
            self._asked.pop(node, None)
            self.hellos.pop(node, None)
            self.refused.pop(node, None)

    def steps(self, nodes: Collection[int]) -> Steps[None]:
        """Greet those of the nodes that have not answered yet; one that does not answer is asked again later."""
        before = time.monotonic() - _AGAIN_S
        new = [node for node in nodes if node not in self.hellos and self._asked.get(node, before) <= before]
        if not new:
            return
        self._asked |= dict.fromkeys(new, time.monotonic())
        request = HelloRequest(package=package_version(), run=self.terms.run, agreement=self.terms.agreement)
        hello = query_to_content(request)
        answers = yield Questions(
            kind=QUERY,
            contents=dict.fromkeys(new, hello),
            largest=MAX_HELLO_BYTES,
            # All are waited for, but not for long: an answer is quick, and a node that hangs keeps nobody up.
            closing=Closing(deadline=min(self._closing.deadline, _PATIENCE_S), min_replies=len(new)),
            counted=frozenset(new),
        )
        verdicts: dict[int, HelloVerdict] = {}
        for node, content in answers.contents.items():
            try:
                said = hello_from_content(content)
            except UpdateRejectedError as exc:
                self.refused[node] = exc.message
                continue
            reasons = (*check_hello(said, self.terms), *self._check(node, said))
            self.hellos[node] = said
            verdicts[node] = HelloVerdict(accepted=not reasons, reasons=reasons)
            if reasons:
                self.refused[node] = "; ".join(reasons)
                logger.warning("node %d does not take part: %s", node, self.refused[node])
            else:
                self.refused.pop(node, None)
        if verdicts:
            yield Questions(
                kind=QUERY,
                contents={node: query_to_content(verdict) for node, verdict in verdicts.items()},
                largest=0,
                closing=Closing(deadline=min(self._closing.deadline, _PATIENCE_S), min_replies=len(verdicts)),
                counted=frozenset(verdicts),
            )
        unready = [node for node, code in answers.codes.items() if code == Refusal.NOT_READY]
        if self._hand_key is not None and (unready := [node for node in unready if node not in self._handed]):
            self._handed |= set(unready)
            yield from self._hand_key(unready)
            self.forget(unready)  # and greet them again at once
        if self.terms.agreement:
            yield from self.lead_in(
                [node for node in new if self.accepts(node) and self.terms.agreement not in self.hellos[node].rounds]
            )

    def lead_in(self, nodes: Collection[int]) -> Steps[None]:
        """Have nodes find out what the others have agreed on; those that cannot are not asked any more."""
        if self._lead_in is None or not nodes:
            return
        problems = yield from self._lead_in(nodes)
        for node, reason in problems.items():
            self.refuse(node, reason)

    def refuse(self, node: int, reason: str) -> None:
        """Do not ask a node any more."""
        self.refused[node] = reason
        logger.warning("node %d does not take part: %s", node, reason)
