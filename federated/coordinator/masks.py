"""Masks in a federated round: the questions the coordinator asks before and after the updates.

The protocol is `privacy.MaskingRound`; here it meets the rounds. Before a plan is sent, sites advertise keys and deal
shares; the plan brings each what was dealt to it. When the updates are in, the sites whose updates are in the sum
confirm it, and reveal what takes the masks out of it. Sites that fail in between have dropped out of the round.

Threat model: see `privacy.masking.site`, which says what even a lying coordinator cannot learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ...privacy import Mask, MaskingPlan, MaskingRound, PublicIdentity
from ..protocol.rounds import MaskStep

if TYPE_CHECKING:
    from ..protocol.courier import Steps

# Asks nodes for a step with these payloads; what those answered that did.
Ask: TypeAlias = "Callable[[MaskStep, Mapping[int, bytes]], Steps[Mapping[int, bytes]]]"


class RoundMasks:
    """The coordinator's side of one attempt at a round.

    Args:
        plan: of the attempt.
        sites: the identity of each node.
        ask: sends a step's payload to nodes and collects what they answer.
    """

    def __init__(self, plan: MaskingPlan, sites: Mapping[int, PublicIdentity], ask: Ask) -> None:
        self._sites = sites
        self._nodes = {site.id: node for node, site in sites.items()}
        self._round = MaskingRound(plan, {site.id: site for site in sites.values()})
        self._ask = ask

    @property
    def excluded(self) -> dict[int, str]:
        """Why, of the nodes that were excluded."""
        return {self._nodes[site]: reason for site, reason in self._round.excluded.items()}

    def open(self, nodes: Iterable[int]) -> Steps[dict[int, bytes]]:
        """Let the sites agree on masks.

        Returns:
            For each node that did what was dealt to it: only these are sent the plan.

        Raises:
            PrivacyError: too few did.
        """
        advertised = yield from self._collect("advertise", dict.fromkeys(nodes, b""))
        adverts = self._round.collect_adverts(advertised)
        taking_part = [self._nodes[site] for site in advertised if site not in self._round.excluded]
        shares = yield from self._collect("share", dict.fromkeys(taking_part, adverts))
        delivered = self._round.collect_shares(shares)
        return {self._nodes[site]: dealt for site, dealt in delivered.items()}

    def remove(self, uploaded: Iterable[str], note: Callable[[Sequence[str]], object]) -> Steps[Mask]:
        """What the masks of the updates in the sum add up to.

        Args:
            uploaded: ids of their sites.
            note: called with these ids before any site reveals anything: from then on the round has no other sum.

        Raises:
            PrivacyError: too few of them confirm it, or reveal what is needed.
        """
        survivors = self._round.fix_survivors(uploaded)
        nodes = [self._nodes[site] for site in survivors]
        told = b"".join(map(bytes.fromhex, survivors))
        confirmed = yield from self._collect("confirm", dict.fromkeys(nodes, told))
        confirmations = self._round.collect_confirmations(confirmed)
        note(survivors)
        revealed = yield from self._collect("reveal", dict.fromkeys(nodes, confirmations))
        return self._round.collect_reveals(revealed)

    def _collect(self, step: MaskStep, questions: Mapping[int, bytes]) -> Steps[dict[str, bytes]]:
        answers = yield from self._ask(step, questions)
        return {self._sites[node].id: answer for node, answer in answers.items()}
