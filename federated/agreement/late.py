"""Sites that come after the others have agreed: they are sent the sums that were kept, and find out the same.

The sums are ciphertexts under the key of all sites, so who has the key can open them, whether its rows are in them or
not. The site adds nothing to them and is charged nothing. What it knows in the end must have the name that plans give
it; whether its own rows fit, the site says itself.

Threat model: of `federated.agreement`, for the coordinator: it hands on what it cannot read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ...privacy import UpdateRejectedError
from ..errors import Refusal
from ..protocol.courier import QUERY, Questions, Steps
from ..protocol.gather import Closing
from ..protocol.rounds import MaskTerms
from .journal import AgreementSum
from .messages import agreement_answer_from_content, agreement_plan_to_content
from .plan import AgreedReference, AgreementPlan
from .question import Question
from .site_agreement import Opening

_FOR_GOOD: Final = frozenset({Refusal.SCHEMA, Refusal.DATA, Refusal.POLICY, Refusal.VERSION})
_SLACK: Final = 2**13


@dataclass(frozen=True, slots=True, kw_only=True)
class LateSites:
    """What is handed on to sites that come late.

    Attributes:
        reference: what was agreed on, as plans name it.
        sums: all of them, in order; at least one.
        preset, scheme, masks: under which they were made.
        deadline: seconds to wait for a site that opens one.
    """

    reference: AgreedReference
    sums: tuple[AgreementSum, ...]
    preset: str
    scheme: str
    masks: MaskTerms | None
    deadline: float

    def steps(self, nodes: Collection[int]) -> Steps[Mapping[int, str]]:
        """Have sites open the sums they have not opened; one that knows the last of them knows all.

        Args:
            nodes: of the sites.

        Returns:
            Why nodes cannot join, for good. Who does not answer may be asked again.
        """
        problems: dict[int, str] = {}
        _, lacking = yield from self._open(self.sums[-1], nodes, problems)
        for found in self.sums:
            if not lacking:
                break
            told, _ = yield from self._open(found, lacking, problems)
            lacking = [node for node in lacking if node in told]
        return problems

    def _open(
        self, found: AgreementSum, nodes: Collection[int], problems: dict[int, str]
    ) -> Steps[tuple[Mapping[int, Opening], list[int]]]:
        """What nodes tell of a sum, and which of them have not opened those before it."""
        question = Question.from_json(found.question)
        plan = AgreementPlan(
            run=self.reference.run,
            round=question.number,
            attempt=found.attempt,
            step="open",
            question=found.question,
            preset=self.preset,
            scheme=self.scheme,
            masks=self.masks,
            total=found.total,
        )
        answers = yield Questions(
            kind=QUERY,
            contents=dict.fromkeys(nodes, agreement_plan_to_content(plan)),
            largest=2 * len(found.question) + _SLACK,
            closing=Closing(deadline=self.deadline, min_replies=len(nodes)),
            counted=frozenset(nodes),
        )
        told: dict[int, Opening] = {}
        for node, content in answers.contents.items():
            try:
                opening = agreement_answer_from_content(content).opening
            except UpdateRejectedError:
                continue
            if opening is None:
                continue
            if found == self.sums[-1] and opening.tag != self.reference.tag:
                problems[node] = "the site reads something else from the sums of the agreement than the others"
                continue
            told[node] = opening
        problems |= {node: code.reason for node, code in answers.codes.items() if code in _FOR_GOOD}
        behind = [node for node, code in answers.codes.items() if code in {Refusal.BEHIND, Refusal.ORDER}]
        return told, behind
