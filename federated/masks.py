"""Masks in a federated round: the questions the coordinator asks before and after the updates.

The protocol is `privacy.MaskingRound`; here it meets the rounds. Before a plan is sent, sites advertise keys and deal
shares; the plan brings each what was dealt to it. When the updates are in, the sites whose updates are in the sum
confirm it, and reveal what takes the masks out of it. Sites that fail in between have dropped out of the round.

Threat model: see `privacy.masking.site`, which says what even a lying coordinator cannot learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..privacy import Mask, MaskingPlan, MaskingRound, PublicIdentity
from .rounds import MaskStep, MaskTerms

Ask = Callable[[MaskStep, Mapping[int, bytes]], Mapping[int, bytes]]  # a question to each node; the answers that came


class RoundMasks:
    """The coordinator's side of one round.

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

    def open(self, nodes: Iterable[int]) -> dict[int, bytes]:
        """Let the sites agree on masks.

        Returns:
            For each node that did what was dealt to it: only these are sent the plan.

        Raises:
            PrivacyError: too few did.
        """
        advertised = self._collect("advertise", dict.fromkeys(nodes, b""))
        adverts = self._round.collect_adverts(advertised)
        taking_part = [self._nodes[site] for site in advertised if site not in self._round.excluded]
        delivered = self._round.collect_shares(self._collect("share", dict.fromkeys(taking_part, adverts)))
        return {self._nodes[site]: shares for site, shares in delivered.items()}

    def remove(self, uploaded: Iterable[str]) -> Mask:
        """What the masks of the updates in the sum add up to.

        Args:
            uploaded: ids of their sites.

        Raises:
            PrivacyError: too few of them confirm it, or reveal what is needed.
        """
        survivors = self._round.fix_survivors(uploaded)
        nodes = [self._nodes[site] for site in survivors]
        told = b"".join(map(bytes.fromhex, survivors))
        confirmations = self._round.collect_confirmations(self._collect("confirm", dict.fromkeys(nodes, told)))
        return self._round.collect_reveals(self._collect("reveal", dict.fromkeys(nodes, confirmations)))

    def _collect(self, step: MaskStep, questions: Mapping[int, bytes]) -> dict[str, bytes]:
        return {self._sites[node].id: answer for node, answer in self._ask(step, questions).items()}


def make_masking_plan(
    terms: MaskTerms, run: str, round: int, attempt: int, *, layout: str, modulus: int
) -> MaskingPlan:
    """What an attempt at a masked round is."""
    return MaskingPlan(
        run=run,
        round=round,
        attempt=attempt,
        layout=layout,
        roster_sha256=terms.roster_sha256,
        modulus=modulus,
        threshold=terms.threshold,
        colluders=terms.colluders,
    )
