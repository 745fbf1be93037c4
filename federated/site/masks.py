"""A site's masks, round after round: it answers the coordinator's questions about them and hides its updates.

Threat model: see `privacy.masking.site`. A site takes nothing on trust but its roster: which members there are, and how
many of them may be in league with the coordinator, it knows by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from ...core import ConfigError
from ...privacy import AttemptJournal, Identity, Mask, MaskingError, MaskingPlan, MaskingSite, Members
from ..errors import PlanError, Refusal
from ..protocol.masks import make_masking_plan
from ..protocol.rounds import MaskRequest, MaskTerms

_MOST_RUNS: Final = 64  # at a time


class MaskedPlan(Protocol):
    """What a mask is made for; a `RoundPlan` is one."""

    @property
    def run(self) -> str:
        """ULID of the run."""
        ...

    @property
    def round(self) -> int:
        """From 1."""
        ...

    @property
    def attempt(self) -> int:
        """At the round, from 1."""
        ...

    @property
    def masks(self) -> MaskTerms | None:
        """How masks are made."""
        ...

    @property
    def shares(self) -> bytes:
        """What the other sites have dealt to this one."""
        ...


class SiteMasks:
    """A site's side of all rounds.

    Args:
        identity: of the site.
        members: all members of its roster, by id.
        roster_sha256: of that roster.
        journal: of the attempts it has taken part in.
        colluders: how many members it fears to be in league with the coordinator.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        roster_sha256: str,
        journal: AttemptJournal,
        *,
        colluders: int = 1,
    ) -> None:
        self._identity = identity
        self._members = members
        self._roster_sha256 = roster_sha256
        self._journal = journal
        self._colluders = colluders
        self._attempts: OrderedDict[str, tuple[MaskingPlan, MaskingSite]] = OrderedDict()  # the newest of each run

    def answer(self, request: MaskRequest, modulus: int) -> bytes:
        """Take a step.

        Args:
            request: from the coordinator.
            modulus: t of the preset this site protects with.

        Raises:
            PlanError: of another roster, or before the first step of its attempt.
            PrivacyError: the step cannot be taken.
        """
        plan = self._make_plan(
            request.terms, request.run, request.round, request.attempt, layout=request.layout, modulus=modulus
        )
        if request.step == "advertise":
            begun = MaskingSite(self._identity, plan, self._members, self._journal, colluders=self._colluders)
            self._attempts[plan.run] = plan, begun
            self._attempts.move_to_end(plan.run)
            if len(self._attempts) > _MOST_RUNS:
                self._attempts.popitem(last=False)
            return begun.advertise()
        attempt = self._of(plan)
        if request.step == "share":
            return attempt.share(request.payload)
        if request.step == "confirm":
            return attempt.confirm(_read_ids(request.payload))
        return attempt.reveal(request.payload)

    def mask(self, plan: MaskedPlan, *, layout: str, modulus: int) -> Mask:
        """The mask of this site's update in the attempt it has dealt shares for.

        Args:
            plan: the round's.
            layout: `plan.layout_sha256`.
            modulus: t of the preset this site protects with.

        Raises:
            PlanError: it has dealt none for this plan.
            PrivacyError: the shares are not what they must be, or the attempt was taken part in before.
        """
        assert plan.masks is not None
        attempt = self._make_plan(plan.masks, plan.run, plan.round, plan.attempt, layout=layout, modulus=modulus)
        return self._of(attempt).mask(plan.shares)

    def _of(self, plan: MaskingPlan) -> MaskingSite:
        known, attempt = self._attempts.get(plan.run, (None, None))
        if attempt is None or plan != known:
            raise PlanError(
                f"{self._identity.public.name} has not advertised for attempt {plan.attempt} at round {plan.round}",
                refusal=Refusal.ORDER,
            )
        return attempt

    def _make_plan(
        self, terms: MaskTerms, run: str, round: int, attempt: int, *, layout: str, modulus: int
    ) -> MaskingPlan:
        if terms.roster_sha256 != self._roster_sha256:
            raise PlanError(
                f"{self._identity.public.name} knows the roster {self._roster_sha256[:16]}, "
                f"the plan is for {terms.roster_sha256[:16]!r}",
                hint="the coordinator has an old roster: pass the new one on to it",
                refusal=Refusal.KEY,
            )
        try:
            return make_masking_plan(terms, run, round, attempt, layout=layout, modulus=modulus)
        except ConfigError as exc:
            raise PlanError(f"masks that cannot be: {exc.message}", refusal=Refusal.MASKS) from exc


def check_masks(name: str, asked: MaskTerms | None, masks: SiteMasks | None, *, must_mask: bool) -> None:
    """Check that a site can mask what it is asked to mask, and is not asked to leave masks out that it insists on.

    Args:
        name: of the site.
        asked: how a plan is masked.
        masks: of the site.
        must_mask: whether it insists.

    Raises:
        PlanError: it cannot, or is.
    """
    if asked is not None and masks is None:
        raise PlanError(f"{name} masks none of its updates, and the plan asks for masks", refusal=Refusal.MASKS)
    if asked is None and masks is not None and must_mask:
        raise PlanError(f"{name} masks all of its updates, and the plan has none", refusal=Refusal.MASKS)


def _read_ids(payload: bytes) -> list[str]:
    if len(payload) % 16:
        raise MaskingError(f"expected ids of 16 bytes, got {len(payload)} bytes")
    return [payload[start : start + 16].hex() for start in range(0, len(payload), 16)]
