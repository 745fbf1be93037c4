"""The coordinator's part in bringing sites back into step: it notices who is behind, and asks another site for a
checkpoint.

It carries the checkpoint and cannot read it; see `checkpoint`. A site that has another model than most gets one, too. A
donor whose checkpoint does not lead to the majority's model is not asked again for that site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from ...privacy import UpdateRejectedError
from ..errors import Refusal
from ..protocol.courier import QUERY, Questions, Steps
from ..protocol.gather import Closing
from ..protocol.queries import CheckpointRequest
from ..protocol.query_records import box_from_content, done_from_content, query_to_content
from .attempt import Coordination, Outcome
from .greeter import Greeter

_SLACK: Final = 2**20
_PATIENCE_S: Final = 300.0  # for a checkpoint to be made, or taken
_UNFIT: Final = frozenset({Refusal.SCHEMA, Refusal.DATA})  # what a site has does not fit, whoever helps it


def hand_over(
    terms: Coordination,
    greeter: Greeter,
    nodes: Callable[[], Collection[int]],
    closed: int,
    tell: Callable[[str, str, int], object],
) -> Steps[None]:
    """Bring sites that were away at the end of a run to its last round, so that they have the model, too.

    Args:
        terms: of the run, which is over.
        greeter: of the run: it knows how far sites are.
        nodes: those that are there.
        closed: how many rounds the run had.
        tell: see `CatchUp`.
    """
    yield from greeter.steps(nodes())
    there = [node for node in nodes() if greeter.accepts(node)]
    late = frozenset(node for node in there if greeter.hellos[node].rounds.get(terms.plan.run, 0) < closed)
    catch_up = CatchUp(terms, tell, greeter=greeter)
    catch_up.learn(closed, in_step=frozenset(there) - late, behind=late, astray=frozenset())
    yield from catch_up.steps(there, Counter())


class CatchUp:
    """Who of a run is behind, and who has tried to help.

    Args:
        terms: of the run.
        tell: called with the names of a site that was helped and of the one that did, and the bytes it took.
        greeter: of the run; None where there is none.
    """

    def __init__(
        self,
        terms: Coordination,
        tell: Callable[[str, str, int], object] = lambda site, donor, size: None,
        *,
        greeter: Greeter | None = None,
    ) -> None:
        self._terms = terms
        self._tell = tell
        self._greeter = greeter
        self.behind: set[int] = set()
        self._greeted: set[int] = set()  # nodes of which it is known whether they begin behind
        self._round = 0  # that the sites in step have followed last
        self._in_step: frozenset[int] = frozenset()
        self._from: dict[int, int] = {}  # whose checkpoint a node has, until it is seen to be in step
        self._tried: dict[int, set[int]] = {}  # donors that did not help a node

    def note(self, outcome: Outcome) -> None:
        """Take in what an attempt showed."""
        self.learn(outcome.result.round, in_step=outcome.in_step, behind=outcome.behind, astray=outcome.astray)

    def learn(self, number: int, *, in_step: frozenset[int], behind: frozenset[int], astray: frozenset[int]) -> None:
        """Take in who is where, of those that answered the plan of a round; see `Outcome`."""
        if in_step:
            self._round, self._in_step = number, in_step
        self.behind = (self.behind | behind) - in_step
        for node in in_step:
            self._from.pop(node, None)
            self._tried.pop(node, None)
        for node in astray:  # by a false checkpoint, or one round's sum the others have not
            if node in self._from:
                self._tried.setdefault(node, set()).add(self._from.pop(node))
            self.behind.add(node)

    def note_new(self, closed: int) -> None:
        """Take in what sites have said as they were greeted: who comes late is helped before a round, and not after it.

        Args:
            closed: how many rounds are.
        """
        greeter, run = self._greeter, self._terms.plan.run
        if greeter is None or greeter.terms.run != run:
            return  # it has not asked about this one
        for node in greeter.hellos.keys() - self._greeted:
            self._greeted.add(node)
            if greeter.accepts(node) and greeter.hellos[node].rounds.get(run, 0) < closed:
                self.behind.add(node)

    def steps(self, nodes: Collection[int], moved: Counter[tuple[int, str]]) -> Steps[None]:
        """Bring those that are there into step, as far as others help.

        Args:
            nodes: that are there.
            moved: counts the bytes, by node and direction.
        """
        if self._greeter is not None and (late := sorted(self.behind & frozenset(nodes))):
            yield from self._greeter.lead_in(late)  # without what was agreed on, no model is of use to it
            self._drop([node for node in late if not self._greeter.accepts(node)])
        pairs = self._pair(nodes)
        if not pairs:
            return
        requests = {donor: request for node, donor in pairs.items() if (request := self._request(donor, node))}
        answers = yield self._ask(requests)
        boxes: dict[int, CheckpointRequest] = {}
        for node, donor in pairs.items():
            content = answers.contents.get(donor)
            try:
                box = b"" if content is None else box_from_content(content)
            except UpdateRejectedError:
                box = b""
            if box:
                boxes[node] = replace(requests[donor], box=box)
                moved[donor, "up"] += len(box)
                moved[node, "down"] += len(box)
            else:
                self._tried.setdefault(node, set()).add(donor)
        if not boxes:
            return
        answers = yield self._ask(boxes)
        for node, request in boxes.items():
            content = answers.contents.get(node)
            try:
                done = content is not None and done_from_content(content) == request.round
            except UpdateRejectedError:
                done = False
            if done:
                self.behind.discard(node)
                self._from[node] = pairs[node]
                names = [each.name for i in (node, pairs[node]) if (each := self._terms.sites.get(i)) is not None]
                if len(names) == 2:
                    self._tell(names[0], names[1], len(request.box))
            elif self._greeter is not None and (code := answers.codes.get(node)) is not None and code in _UNFIT:
                self._greeter.refuse(node, code.reason)
                self._drop([node])
            else:
                self._tried.setdefault(node, set()).add(pairs[node])

    def _drop(self, nodes: Collection[int]) -> None:
        """Nodes that nobody can help."""
        self.behind -= set(nodes)

    def _pair(self, nodes: Collection[int]) -> dict[int, int]:
        """A donor for each node that is behind, each donor once at a time."""
        there, pairs = frozenset(nodes), dict[int, int]()
        free = sorted(self._in_step & there) if self.behind & there else []
        for node in sorted(self.behind & there):
            donor = next((each for each in free if each != node and each not in self._tried.get(node, ())), None)
            if donor is not None:
                pairs[node] = donor
                free.remove(donor)
        return pairs

    def _request(self, donor: int, node: int) -> CheckpointRequest | None:
        """The question to a donor; None where one of the two was removed at this moment."""
        giver, taker = self._terms.sites.get(donor), self._terms.sites.get(node)
        if giver is None or taker is None:
            return None
        return CheckpointRequest(run=self._terms.plan.run, round=self._round, donor=giver.id, recipient=taker.id)

    def _ask(self, requests: dict[int, CheckpointRequest]) -> Questions:
        plan = self._terms.plan
        texts = len(plan.preprocessing) + len(plan.spec.to_json())
        return Questions(
            kind=QUERY,
            contents={node: query_to_content(request) for node, request in requests.items()},
            largest=_SLACK + texts + 64 * self._terms.symbols.values,
            # Longer than a grace, for a model may be large; not as long as a round, for the others wait.
            closing=Closing(deadline=min(plan.closing.deadline, _PATIENCE_S), min_replies=len(requests)),
            counted=frozenset(requests),
        )
