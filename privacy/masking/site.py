"""A site's part in hiding its update among those of the others, after Bonawitz et al. 2017 (ePrint 2017/281).

Under the encryption lies a mask: a stream shared with every other site, added by one of the two and subtracted by the
other, and one stream of the site's own. The sum of all updates keeps the own ones only, and the shared ones of sites
that dropped out before they uploaded; from Shamir shares that the others hold, the coordinator learns either the seed
of a site's own stream or the key of its shared streams, and takes them out of the sum. Five steps:

    advertise  two ephemeral keys and a commitment to the seed
    share      the seed and the key of the shared streams, in shares sealed to every site        (U1: who advertised)
    mask       the mask; the site uploads                                                         (U2: who shared)
    confirm    which uploads are in the sum, signed                                               (U3: who uploaded)
    reveal     for each site of U3 a share of its seed, for each other of U2 a share of its key

Threat model. The coordinator may lie, delay and leave out; it may be in league with up to `colluders` sites, and with
them hold the aggregation key and decrypt any single update. It learns then, of the sites that are honest, the sum of
those in U3, of which there are at least two, and nothing else: a single update, masked, is uniform modulo t. With n
sites in U1, c of them in league, and 2 t > n + c:

- Two different U2 or U3 would need t confirmations each, of which t - c come from honest sites, who sign one pair of
  sets: 2 (t - c) <= n - c is false. So all that is revealed is for one U3.
- Seed and key of one honest site would need 2 (t - c) honest answers likewise. For a site of U3 the key, so what it
  shares with the honest others of U3, is never revealed; for others the seed.
- A site of U3 that was shown another U2 does not confirm. Of those that did, 2 t - n > c are in its U2, so an honest
  one, with whom it shares a stream that stays.
- Sites that were shown different adverts deal under different transcripts: nothing agrees, and nothing is learned.
- An attempt has fresh keys, its digest is in every message, and a site takes a mask in it once (`attempts`).

A site believes nothing of the plan that could undo this: it checks the bound above for the sites it was shown, with the
colluders it fears itself. Neither the number c nor the sites' honesty can be checked; c is an assumption.

The other sites learn who takes part and the sum they decrypt. Up to t - 1 of them, in league with each other and not
with the coordinator, learn no more; nor does who records all messages and steals the sites' keys once a round is over.

Not protected: who takes part, and when. A site that deals false shares, or lies in a reveal, can spoil an attempt (the
coordinator learns who, or at least whose shares do not fit), and add anything to the sum. Sums of several rounds over
different sites can be compared, as everywhere in federated learning without differential privacy; of several attempts
at one round they cannot, where 2 t > N + c for all N members.

Cost: a stream per peer, and messages of n^2 sealed shares that pass through the coordinator: meant for some hundred
sites at most. Beyond, each would share with a random few (Bell et al. 2020, ePrint 2020/704), which is not built.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import MaskingError, PrivacyError, UnknownSenderError
from ..keys.identity_secret import Identity
from ..keys.sealed import seal, unseal
from .attempts import AttemptJournal
from .derivation import commit_seed, commit_share, pairwise_key, pairwise_sign, self_key
from .messages import (
    ADVERT,
    CONFIRMATION,
    KEY,
    NO_SHARE,
    SEED,
    SHARES,
    Advert,
    Kind,
    Members,
    SealedShares,
    agreement,
    box_context,
    check_ascending,
    digest_of_sites,
    open_message,
    parse_adverts,
    reveal_kind,
    split,
    transcript_of,
    write_head,
)
from .plan import MaskingPlan
from .shamir import SECRET_BYTES, SHARE_BYTES, generate_shares
from .stream import MaskSum

_STEPS: Final = ("advertise", "share", "mask", "confirm", "reveal")


class MaskingSite:
    """One site in one attempt. Its steps are taken in order, each once: one that fails ends the attempt for the site.

    What it keeps is lost with the object, which is not kept longer than its attempt. A site that crashes has dropped
    out, and takes part in the next attempt.

    Args:
        identity: of the site; signs what it says.
        plan: built by the site from the round's plan, and from its own roster and preset.
        members: all members of that roster, this site among them, by id.
        journal: of this site, the same for all attempts.
        colluders: how many sites this site fears to be in league with the coordinator; plans that fear fewer are
            refused.

    Raises:
        UnknownSenderError: the site is no member.
        MaskingError: the plan protects from too few.
    """

    def __init__(
        self,
        identity: Identity,
        plan: MaskingPlan,
        members: Members,
        journal: AttemptJournal,
        *,
        colluders: int = 1,
    ) -> None:
        self.id: Final = identity.public.id
        if members.get(self.id) != identity.public:
            raise UnknownSenderError(f"{identity.public.name} is no member of the roster that is masked with")
        if plan.colluders < colluders:
            raise MaskingError(
                f"the round's masks protect from {plan.colluders} sites in league with the coordinator, this site asks"
                f" for {colluders}",
                hint="plan the round with more colluders",
            )
        self._identity = identity
        self._plan = plan
        self._members = members
        self._journal = journal
        self._next: str | None = _STEPS[0]  # None once the attempt is over
        self._mask_key = X25519PrivateKey.generate()
        self._share_key = X25519PrivateKey.generate()
        self._seed = secrets.token_bytes(SECRET_BYTES)
        self._advert = b""
        self._adverts: dict[str, Advert] = {}  # of U1
        self._transcript = b""
        self._held: dict[str, Mapping[bytes, bytes]] = {}  # the shares we hold of each site of U2, by kind
        self._survivors: list[str] = []  # U3

    def advertise(self) -> bytes:
        """The site's ephemeral keys and its commitment, for all others."""
        with self._step("advertise"):
            keys = self._mask_key.public_key().public_bytes_raw() + self._share_key.public_key().public_bytes_raw()
            self._advert = self._signed(ADVERT, keys + commit_seed(self._seed, self._plan.digest, self.id))
            return self._advert

    def share(self, adverts: bytes) -> bytes:
        """Deal shares of the two secrets to every site that advertised.

        Args:
            adverts: of all sites that take part (U1), in the order of ids, as the coordinator passed them on.

        Returns:
            A message to each of them, this site included, in the order of ids.

        Raises:
            PrivacyError: an advert is not what it must be, this site's own is not there, or the sites are too few, or
                too many for the threshold.
        """
        with self._step("share"):
            found = parse_adverts(self._plan, self._members, adverts)
            self._adverts = {advert.sender: advert for advert in found}
            if self._advert not in split(ADVERT, adverts, len(found)):
                raise MaskingError("the coordinator did not pass on this site's advert")
            self._transcript = transcript_of(adverts)
            seeds = generate_shares(self._seed, self._plan.threshold, len(found))
            keys = generate_shares(self._mask_key.private_bytes_raw(), self._plan.threshold, len(found))
            dealt = zip(found, seeds, keys, strict=True)
            return b"".join(self._deal(advert, {SEED: seed, KEY: key}) for advert, seed, key in dealt)

    def mask(self, delivered: bytes) -> MaskSum:
        """The mask to add to the update. Once it is handed out, the attempt counts as taken part in.

        Shares of another site that do not open, or are not what it committed to, are left out of what this site
        reveals.

        Args:
            delivered: what the sites that shared (U2) dealt to this one, itself among them, in the order of their ids.

        Raises:
            PrivacyError: a message is not what it must be, this site's own is not there, or the sites are too few.
            ReplayedUpdateError: the site has taken part in this attempt, or in a later one.
        """
        with self._step("mask"):
            messages = split(SHARES, delivered, len(self._adverts))
            found = [SealedShares.parse(self._plan, self._members, data, self._transcript) for data in messages]
            check_ascending([shares.sender for shares in found], "shares")
            for shares in found:
                if shares.recipient != self.id or shares.sender not in self._adverts:
                    raise MaskingError(f"shares of {shares.sender} for {shares.recipient} were passed on to {self.id}")
                self._held[shares.sender] = self._open(shares)
            self._plan.check_sum(len(self._held))
            if not self._held.get(self.id):
                raise MaskingError("the coordinator did not pass on the shares this site dealt to itself")
            terms = [(self_key(self._seed, self._transcript, self.id), 1)]
            terms += [self._pairwise(peer) for peer in self._held if peer != self.id]
            mask = MaskSum(terms, self._plan.modulus)
            self._journal.claim(self._plan.run, self._plan.round, self._plan.attempt)
            return mask

    def confirm(self, survivors: Sequence[str]) -> bytes:
        """Sign which updates are in the sum.

        Args:
            survivors: ids of their sites (U3) in order: some of those that shared, this one among them.

        Raises:
            MaskingError: they are not that.
            TooFewSitesError: fewer than 3, or than the threshold.
        """
        with self._step("confirm"):
            check_ascending(survivors, "survivors")
            if not self._held.keys() >= set(survivors) or self.id not in survivors:
                raise MaskingError("survivors are some of the sites that shared, with this one, which took its mask")
            self._plan.check_sum(len(survivors))
            self._survivors = list(survivors)
            return self._signed(CONFIRMATION, self._agreement())

    def reveal(self, confirmations: bytes) -> bytes:
        """A share of the seed of each survivor, and of the key of each site that shared and did not survive.

        Args:
            confirmations: of at least `threshold` survivors, in the order of their ids.

        Raises:
            PrivacyError: one is not what it must be or confirms another set, or they are too few.
            MaskingError: this site has revealed for other survivors in this round.
        """
        with self._step("reveal"):
            survivors = {site: self._members[site] for site in self._survivors}
            messages = split(CONFIRMATION, confirmations, len(survivors))
            found = [open_message(CONFIRMATION, self._plan, survivors, data) for data in messages]
            check_ascending([sender for sender, _ in found], "confirmations")
            if any(body != self._agreement() for _, body in found):
                raise MaskingError("the sites were told of different survivors: nothing is revealed")
            self._plan.check_answers(len(found))
            digest = digest_of_sites(self._survivors)
            self._journal.reveal(self._plan.run, self._plan.round, self._plan.attempt, digest)
            shares = [
                held.get(SEED if site in survivors else KEY, NO_SHARE) for site, held in sorted(self._held.items())
            ]
            return self._signed(reveal_kind(len(shares)), self._agreement() + b"".join(shares))

    def _deal(self, advert: Advert, shares: Mapping[bytes, bytes]) -> bytes:
        """The message that deals its shares to the site of an advert."""
        recipient = advert.sender
        message = SealedShares(
            sender=self.id,
            recipient=recipient,
            commitments={
                kind: commit_share(share, self._transcript, self.id, recipient, kind) for kind, share in shares.items()
            },
            box=seal(advert.share_key, shares[SEED] + shares[KEY], box_context(self._transcript, self.id, recipient)),
        )
        return self._signed(SHARES, message.body(self._transcript))

    def _open(self, shares: SealedShares) -> Mapping[bytes, bytes]:
        """What was dealt to this site, by kind; nothing where it is not what its sender committed to."""
        context = box_context(self._transcript, shares.sender, self.id)
        try:
            plain = unseal(self._share_key, shares.box, context)
        except PrivacyError:
            return {}
        opened = {SEED: plain[:SHARE_BYTES], KEY: plain[SHARE_BYTES:]}
        for kind, share in opened.items():
            if commit_share(share, self._transcript, shares.sender, self.id, kind) != shares.commitments[kind]:
                return {}
        return opened

    def _pairwise(self, peer: str) -> tuple[bytes, int]:
        """The key of the stream shared with a peer, and its sign."""
        key = pairwise_key(self._mask_key, self._adverts[peer].mask_key, self._transcript, self.id, peer)
        return key, pairwise_sign(self.id, peer)

    def _agreement(self) -> bytes:
        return agreement(self._transcript, self._held, self._survivors)

    def _signed(self, kind: Kind, body: bytes) -> bytes:
        message = write_head(kind, self._plan, self.id) + body
        return message + self._identity.sign(kind.domain, message)

    @contextmanager
    def _step(self, step: str) -> Generator[None]:
        """Take a step: only the one that is due, and none after one that failed."""
        if self._next != step:
            due = "its attempt is over" if self._next is None else f"{self._next} is due"
            raise MaskingError(f"the site cannot {step} now: {due}", hint="begin another attempt")
        self._next = None
        yield
        following = _STEPS.index(step) + 1
        self._next = _STEPS[following] if following < len(_STEPS) else None

    def __repr__(self) -> str:
        return f"MaskingSite({self.id!r}, next={self._next!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the secrets of a masked round are not pickled or copied")
