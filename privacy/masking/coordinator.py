"""The coordinator's part in a masked round: it checks and passes on what the sites say, and finds the mask of the sum.

`masking.site` describes the protocol and what the coordinator can learn even if it lies; this is the honest one. It
holds no key of an update. At the end it has, of each site in the sum, the seed of the site's own stream, and of each
site that dropped out after it shared, the key of the streams it shared: enough to take out of the sum what does not
cancel, and of no use for any other sum.

Threat model: sites may send anything. What does not belong to this attempt or is not signed by the member it comes from
excludes that site, with a reason. A dealer commits to every share and each recipient checks its own, so a share that is
revealed otherwise is the revealer's lie: the site is excluded, and the others' shares are used. Shares that are as
their dealer committed but do not tell what it advertised are the dealer's lie, and end the attempt: its name is in the
error, so that the next one is held without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import MaskingError, PrivacyError, SharesError
from .derivation import commit_seed, commit_share, pairwise_key, pairwise_sign, self_key
from .messages import (
    CONFIRMATION,
    KEY,
    NO_SHARE,
    SEED,
    SHARES,
    Advert,
    Members,
    SealedShares,
    agreement,
    open_message,
    parse_adverts,
    reveal_kind,
    split,
    transcript_of,
)
from .plan import MaskingPlan
from .shamir import SHARE_BYTES, reconstruct
from .stream import MaskSum

_Checked = TypeVar("_Checked")
_STEPS: Final = ("adverts", "shares", "survivors", "confirmations", "reveals")


class MaskingRound:
    """One attempt at a masked round. Its steps are taken in order, each once, with the replies that came by then.

    Replies are keyed by the ids the transport says they are from. A site that did not reply, or is excluded, has
    dropped out; the sum's masks can be removed while `threshold` of the sites that uploaded are left.

    Args:
        plan: of the attempt.
        members: all members of the roster, by id.
    """

    def __init__(self, plan: MaskingPlan, members: Members) -> None:
        self.excluded: Final[dict[str, str]] = {}
        """Why, of the sites that were excluded, by id."""
        self._plan = plan
        self._members = members
        self._step = 0  # index of the one to come
        self._adverts: dict[str, Advert] = {}  # of U1, in order
        self._transcript = b""
        self._dealt: dict[str, dict[str, SealedShares]] = {}  # by dealer (U2, in order) and recipient
        self._survivors: list[str] = []  # U3, in order

    def collect_adverts(self, replies: Mapping[str, bytes]) -> bytes:
        """Fix who takes part (U1).

        Returns:
            Their adverts, for each of them.

        Raises:
            TooFewSitesError: fewer than 3, or than the threshold.
            MaskingError: so many that the threshold does not protect them.
        """
        self._take("adverts")
        keys: set[bytes] = set()

        def check(site: str) -> bytes:
            advert = Advert.parse(self._plan, self._members, replies[site], site)
            if not keys.isdisjoint(advert.keys) or advert.mask_key == advert.share_key:
                raise MaskingError(f"a key of {site} stands in another advert, or twice in its own")
            keys.update(advert.keys)
            return replies[site]

        adverts = b"".join(self._checked(replies, check).values())
        self._adverts = {advert.sender: advert for advert in parse_adverts(self._plan, self._members, adverts)}
        self._transcript = transcript_of(adverts)
        return adverts

    def collect_shares(self, replies: Mapping[str, bytes]) -> dict[str, bytes]:
        """Fix who shared (U2).

        Returns:
            For each of them what was dealt to it.

        Raises:
            TooFewSitesError: fewer than 3, or than the threshold.
        """
        self._take("shares")
        messages: dict[str, dict[str, bytes]] = {}

        def check(site: str) -> dict[str, SealedShares]:
            parts = split(SHARES, replies[site], len(self._adverts))
            dealt = [SealedShares.parse(self._plan, self._members, part, self._transcript, site) for part in parts]
            if [shares.recipient for shares in dealt] != list(self._adverts):
                raise MaskingError(f"{site} did not deal shares to every site in order")
            messages[site] = dict(zip(self._adverts, parts, strict=True))
            return {shares.recipient: shares for shares in dealt}

        self._dealt = self._checked(self._among(replies, self._adverts), check)
        self._plan.check_sum(len(self._dealt))
        return {site: b"".join(messages[dealer][site] for dealer in self._dealt) for site in self._dealt}

    def fix_survivors(self, uploaded: Iterable[str]) -> list[str]:
        """Fix whose updates are in the sum (U3), once and for all.

        Args:
            uploaded: ids of the sites whose updates were added.

        Returns:
            Them in order, for each of them to confirm.

        Raises:
            MaskingError: one of them has not shared: its mask could never be removed.
            TooFewSitesError: fewer than 3, or than the threshold.
        """
        self._take("survivors")
        self._survivors = sorted(set(uploaded))
        if strangers := set(self._survivors) - self._dealt.keys():
            raise MaskingError(f"updates are in the sum of sites that have not shared: {', '.join(sorted(strangers))}")
        self._plan.check_sum(len(self._survivors))
        return list(self._survivors)

    def collect_confirmations(self, replies: Mapping[str, bytes]) -> bytes:
        """Gather the sites' word for the set of survivors.

        Returns:
            All confirmations, for each survivor.

        Raises:
            TooFewSitesError: fewer than the threshold.
        """
        self._take("confirmations")

        def check(site: str) -> bytes:
            _, body = open_message(CONFIRMATION, self._plan, self._members, replies[site], site)
            if body != self._agreement():
                raise MaskingError(f"{site} confirms other sites than those that shared and survived")
            return replies[site]

        confirmations = self._checked(self._among(replies, self._survivors), check)
        self._plan.check_answers(len(confirmations))
        return b"".join(confirmations.values())

    def collect_reveals(self, replies: Mapping[str, bytes]) -> MaskSum:
        """Find what the masks of the survivors add up to.

        Raises:
            SharesError: too few true shares of a site's secret, or the site dealt false ones.
        """
        self._take("reveals")
        revealed = self._checked(self._among(replies, self._survivors), lambda site: self._reveal(site, replies[site]))
        terms: list[tuple[bytes, int]] = []
        for dealer, advert in self._adverts.items():
            if dealer in self._survivors:
                seed = self._join(dealer, SEED, revealed)
                if commit_seed(seed, self._plan.digest, dealer) != advert.commitment:
                    raise _false_dealer(dealer)
                terms.append((self_key(seed, self._transcript, dealer), 1))
            elif dealer in self._dealt:
                key = X25519PrivateKey.from_private_bytes(self._join(dealer, KEY, revealed))
                if key.public_key().public_bytes_raw() != advert.mask_key:
                    raise _false_dealer(dealer)
                for site in self._survivors:
                    shared = pairwise_key(key, self._adverts[site].mask_key, self._transcript, dealer, site)
                    terms.append((shared, pairwise_sign(site, dealer)))
        return MaskSum(terms, self._plan.modulus)

    def _reveal(self, site: str, reply: bytes) -> dict[str, bytes]:
        """The shares a site reveals, by dealer; only those it has.

        Raises:
            PrivacyError: no reveal of that site, or a share in it is false.
        """
        kind = reveal_kind(len(self._dealt))
        _, body = open_message(kind, self._plan, self._members, reply, site)
        expected = self._agreement()
        if body[: len(expected)] != expected:
            raise MaskingError(f"{site} reveals for other sites than those that shared and survived")
        shares: dict[str, bytes] = {}
        for place, dealer in enumerate(self._dealt):
            share = body[len(expected) + place * SHARE_BYTES :][:SHARE_BYTES]
            which = SEED if dealer in self._survivors else KEY
            if share == NO_SHARE:
                continue
            if (
                commit_share(share, self._transcript, dealer, site, which)
                != self._dealt[dealer][site].commitments[which]
            ):
                raise SharesError(f"{site} reveals a false share of {dealer}")
            shares[dealer] = share
        return shares

    def _join(self, dealer: str, kind: bytes, revealed: Mapping[str, Mapping[str, bytes]]) -> bytes:
        """The secret of a dealer."""
        index = {site: place for place, site in enumerate(self._adverts, 1)}
        shares = [(index[site], shares[dealer]) for site, shares in revealed.items() if dealer in shares]
        if len(shares) < self._plan.threshold:
            what = "self-mask seed" if kind == SEED else "mask key"
            raise SharesError(
                f"{len(shares)} true shares of the {what} of {dealer}, {self._plan.threshold} are needed",
                hint="the sum stays masked: begin the next round, and do not invite a site that dealt shares that"
                " did not open",
            )
        try:
            return reconstruct(shares, self._plan.threshold)
        except SharesError:
            raise _false_dealer(dealer) from None

    def _checked(self, replies: Mapping[str, bytes], check: Callable[[str], _Checked]) -> dict[str, _Checked]:
        """What `check` makes of each reply, in the order of ids; sites whose reply it refuses are excluded."""
        found: dict[str, _Checked] = {}
        for site in sorted(replies):
            try:
                found[site] = check(site)
            except PrivacyError as exc:
                self.excluded[site] = str(exc)
        return found

    def _among(self, replies: Mapping[str, bytes], sites: Iterable[str]) -> dict[str, bytes]:
        """The replies of sites that take part in this step; others' are late, and count for nothing."""
        return {site: replies[site] for site in sites if site in replies and site not in self.excluded}

    def _agreement(self) -> bytes:
        return agreement(self._transcript, self._dealt, self._survivors)

    def _take(self, step: str) -> None:
        """Take a step: only the one that is due."""
        if self._step >= len(_STEPS) or _STEPS[self._step] != step:
            raise MaskingError(f"the coordinator cannot collect {step} now", hint="each step is taken once, in order")
        self._step += 1


def _false_dealer(dealer: str) -> SharesError:
    return SharesError(
        f"{dealer} dealt shares that do not tell what it advertised: the sum stays masked",
        hint="begin the next round without that site",
    )
