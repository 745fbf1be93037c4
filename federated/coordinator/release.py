"""The end of a run whose model is asked for: each site decides, and one that consents seals it to who gets it.

Asking again is harmless: a site that consented says the same, so a coordinator that was killed begins this anew.

Threat model: the coordinator counts consents and carries a box. It cannot open one that is for somebody else, nor have
one made that most sites have not signed for: the site that seals it counts them, too, and so does who opens it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ...privacy import PublicIdentity, UpdateRejectedError
from ..errors import PausedError, Refusal, ReleaseError
from ..protocol.courier import QUERY, Pause, Questions, Steps
from ..protocol.gather import Closing
from ..protocol.query_records import consent_from_content, query_to_content, sealed_from_content
from ..protocol.release import (
    RELEASE_DOMAIN,
    ReleaseConsent,
    ReleaseRequest,
    SealedModel,
    consent_message,
    fewest_consents,
    party_name,
)
from ..protocol.telling import tell_reasons

_LOOK: Final = 1.0  # seconds between two looks for sites
_TRIES: Final = 3  # at a site that cannot, for another reason than its policy
_SMALL: Final = 2**12
_WAIT_S: Final = 300.0  # for a site to make a model ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked for.

    Attributes:
        run: ULID of the run, whose rounds are over.
        recipient: who gets its model.
        coordinator: this one's identity.
        members: of the roster.
        min_sites: of the job; more than half of the members have to consent in any case.
        most_bytes: that a model of the run can have.
        closing, patience: of the job's rounds.
    """

    run: str
    recipient: PublicIdentity
    coordinator: PublicIdentity
    members: Collection[PublicIdentity]
    min_sites: int
    most_bytes: int
    closing: Closing
    patience: float

    @property
    def request(self) -> ReleaseRequest:
        """The first question."""
        return ReleaseRequest(
            run=self.run, party=party_name(self.recipient, self.coordinator), recipient=self.recipient.to_json()
        )

    @property
    def fewest(self) -> int:
        """How many have to consent."""
        return fewest_consents(len(self.members), self.min_sites)


class ModelRelease:
    """One release.

    Args:
        asking: what is asked for.
        sites: the identity of each node that may be asked; may grow.
        nodes: those that are there, now.
        tell: called with a site's name and why it does not consent.
    """

    def __init__(
        self,
        asking: Asking,
        sites: Mapping[int, PublicIdentity],
        nodes: Callable[[], Collection[int]],
        tell: Callable[[str, str], object] = lambda site, reason: None,
    ) -> None:
        self._asking = asking
        self._sites = sites
        self._nodes = nodes
        self._tell = tell
        self._members = {member.id for member in asking.members}
        self._consents: dict[str, ReleaseConsent] = {}  # by site
        self._tries = Counter[str]()
        self._refused: dict[str, str] = {}  # by site: why it does not, for good

    def steps(self) -> Steps[SealedModel]:
        """Ask all, then one.

        Raises:
            ReleaseError: too many sites do not consent, or have another model.
            PausedError: too few of them are there; asking can be gone on with.
        """
        ends = time.monotonic() + self._asking.patience
        while True:
            yield from self._ask()
            agreed, willing = self._agreed()
            if agreed is not None and len(willing) >= self._asking.fewest:
                sealed = yield from self._seal(agreed, willing)
                if sealed is not None:
                    return sealed
            self._check_hope(len(willing))
            if time.monotonic() >= ends:
                away = len(self._members) - len(self._consents) - len(self._refused)
                raise PausedError(
                    f"{len(willing)} sites of {len(self._members)} give the model to {self._asking.request.party}, "
                    f"expected at least {self._asking.fewest}; {away} have not answered",
                    hint="start their clients, and resume the job",
                )
            yield Pause(min(_LOOK, max(0.0, ends - time.monotonic())))

    def _ask(self) -> Steps[None]:
        """Ask those that are there and have not decided."""
        asked = {
            node: site
            for node, site in self._there().items()
            if site.id not in self._consents and site.id not in self._refused
        }
        if not asked:
            return
        answers = yield self._questions(dict.fromkeys(asked, self._asking.request), largest=_SMALL)
        for node, site in asked.items():
            reason = answers.reasons.get(node, "")
            if (content := answers.contents.get(node)) is not None:
                try:
                    consent = consent_from_content(content)
                    self._check(consent, site)
                    self._consents[site.id] = consent
                    continue
                except UpdateRejectedError as exc:
                    reason = exc.message
            if reason:
                self._tries[site.id] += 1
                self._tell(site.name, reason)
                if answers.codes.get(node) == Refusal.POLICY or self._tries[site.id] == _TRIES:
                    self._refused[site.id] = reason

    def _check(self, consent: ReleaseConsent, site: PublicIdentity) -> None:
        """Check what a site has signed.

        Raises:
            UpdateRejectedError: it has not, or the model cannot be as large.
        """
        if not 0 < consent.size <= self._asking.most_bytes:
            raise UpdateRejectedError(f"a model of {consent.size} bytes, expected 1 to {self._asking.most_bytes}")
        message = consent_message(self._asking.run, self._asking.recipient.id, consent.commitment, consent.size)
        site.verify(RELEASE_DOMAIN, message, consent.signature)

    def _agreed(self) -> tuple[tuple[str, int] | None, dict[str, bytes]]:
        """The model that most of those who consent have, and their signatures."""
        counted = Counter((each.commitment, each.size) for each in self._consents.values())
        if not counted:
            return None, {}
        agreed = counted.most_common(1)[0][0]
        willing = {
            site: each.signature
            for site, each in sorted(self._consents.items())
            if (each.commitment, each.size) == agreed
        }
        return agreed, willing

    def _check_hope(self, willing: int) -> None:
        """Give up where the sites that have not decided are too few.

        Raises:
            ReleaseError: they are.
        """
        undecided = self._members - self._consents.keys() - self._refused.keys()
        if willing + len(undecided) >= self._asking.fewest:
            return
        names = {member.id: member.name for member in self._asking.members}
        others = len(self._consents) - willing
        told = tell_reasons((names[site], reason) for site, reason in sorted(self._refused.items()))
        raise ReleaseError(
            f"{willing} sites of {len(self._members)} give the model to {self._asking.request.party}, expected at "
            f"least {self._asking.fewest}"
            + (f"; {others} have another model" if others else "")
            + (f"; {told}" if told else ""),
            hint="each site has the model in its own folder; its policy says to whom it may be given: release_to",
        )

    def _seal(self, agreed: tuple[str, int], willing: Mapping[str, bytes]) -> Steps[SealedModel | None]:
        """The model from the first that seals it; None: none of those that are there does."""
        asking, (commitment, size) = self._asking, agreed
        request = ReleaseRequest(
            run=asking.run,
            party=asking.request.party,
            recipient=asking.request.recipient,
            commitment=commitment,
            size=size,
            consents=willing,
        )
        for node, site in self._there().items():
            if site.id not in willing:
                continue
            answers = yield self._questions({node: request}, largest=size + _SMALL)
            reason = answers.reasons.get(node, "no answer in time")
            if (content := answers.contents.get(node)) is not None:
                try:
                    box = sealed_from_content(content)
                    if len(box) <= size:
                        raise UpdateRejectedError(f"a sealed model of {len(box)} bytes, expected more than {size}")
                    return SealedModel(
                        run=asking.run,
                        party=request.party,
                        recipient=asking.recipient,
                        commitment=commitment,
                        size=size,
                        consents=willing,
                        donor=site.name,
                        box=box,
                    )
                except UpdateRejectedError as exc:
                    reason = exc.message
            self._tell(site.name, reason)
        return None

    def _there(self) -> dict[int, PublicIdentity]:
        nodes = sorted(self._nodes())
        return {
            node: site for node in nodes if (site := self._sites.get(node)) is not None and site.id in self._members
        }

    def _questions(self, requests: Mapping[int, ReleaseRequest], *, largest: int) -> Questions:
        return Questions(
            kind=QUERY,
            contents={node: query_to_content(request) for node, request in requests.items()},
            largest=largest,
            closing=Closing(deadline=min(self._asking.closing.deadline, _WAIT_S), min_replies=len(requests)),
            counted=frozenset(requests),
        )
