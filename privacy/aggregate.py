"""The coordinator's sum of protected updates. It holds no key, and checks everything about an update before its body.

Threat model: a site may send anything. What does not belong to this run, round, attempt, key, preset or layout, is not
signed by its sender, or comes twice, is refused with an error of its own class and leaves the sum as it was. A
well-formed update with a wrong content is not seen here: encryption hides it from us too. Where its tag does not fit,
no site opens the sum, and all leave the key (`sum_tag`), so any member can end its use. A sum of fewer than three sites
is never formed, for each of two could subtract its own update and read the other's; and no second sum of an
attempt, for the difference of two sums is an update.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..core import ConfigError
from .envelope import EncryptedSum, EncryptedUpdate, Header, Signer
from .errors import (
    MalformedUpdateError,
    PrivacyError,
    ReplayedUpdateError,
    TooFewSitesError,
    TooManyClientsError,
    UnknownSenderError,
    UpdateRejectedError,
    WrongRoundError,
)
from .keys.identity import PublicIdentity
from .presets import MIN_SUMMANDS
from .scheme import Accumulator, Adder, Mask
from .sitting import Sitting, check_header, write_senders


class Aggregator:
    """Adds the updates of one attempt at a round, one by one; holds one sum and no update.

    Args:
        adder: the scheme's arithmetic.
        sitting: what the updates must belong to.
        members: the sites that may send, by the ids of their identities.
        signer: the coordinator's identity, which signs the sum.

    Raises:
        ConfigError: a member under another id than its own.
        MalformedUpdateError: no update can belong to this sitting.
    """

    def __init__(
        self, adder: Adder, sitting: Sitting, *, members: Mapping[str, PublicIdentity], signer: Signer
    ) -> None:
        for name, member in members.items():
            if member.id != name:
                raise ConfigError(f"{member.name} is among the members as {name!r:.40}, expected its id, {member.id}")
        self._adder = adder
        self._sitting = sitting
        self._members = dict(members)
        self._signer = signer
        self._senders: dict[str, None] = {}  # in the order they came
        self._header(signer.public.id, summands=1)  # what is wrong with the sitting is no fault of the first sender
        self._symbols = sitting.symbols(adder)
        self._sum: Accumulator | None = adder.start(self._symbols)

    @property
    def senders(self) -> tuple[str, ...]:
        """The ids of the sites whose updates are in the sum."""
        return tuple(self._senders)

    @property
    def summands(self) -> int:
        """How many updates are in the sum."""
        return len(self._senders)

    def add(self, data: bytes, *, sender: str) -> None:
        """Check an update and add it.

        Args:
            data: from the wire.
            sender: the id of the member whom the transport says it is from.

        Raises:
            UpdateRejectedError: it may not enter the sum, which is unchanged; the class says why.
        """
        member = self._members.get(sender)
        if member is None:
            raise UnknownSenderError(f"an update from {sender!r:.40}, who is not a member")
        update = EncryptedUpdate.from_bytes(data)
        expected = self._header(sender, summands=1)
        check_header(update.header, expected)
        longest = self._adder.update_bytes(self._symbols)
        if len(update.body) > longest or (self._adder.fixed_length and len(update.body) < longest):
            raise MalformedUpdateError(f"expected a body of {longest} bytes, got {len(update.body)}")
        if self._sum is None:
            raise WrongRoundError(f"round {self._sitting.round} is closed: an update from {member.name} is late")
        if sender in self._senders:
            raise ReplayedUpdateError(f"a second update from {member.name} in round {self._sitting.round}")
        if len(self._senders) >= self._adder.preset.clients:
            raise TooManyClientsError(
                f"the sum is full: {self._adder.preset.name} is exact for {self._adder.preset.clients} updates"
            )
        update.verify(member)
        try:
            self._sum.add(memoryview(update.body))
        except UpdateRejectedError:
            raise
        except BaseException:  # out of memory, a process that died: a part of the update may be in the sum
            self._sum = None
            raise
        self._senders[sender] = None

    def finish(
        self, *, min_summands: int = MIN_SUMMANDS, masks: Mask | None = None, noise: np.ndarray | None = None
    ) -> EncryptedSum:
        """Close the sum and sign it, for all sites. It is given out once, and nothing can be added to it any more.

        Args:
            min_summands: at least 3.
            masks: what the masks of exactly these updates add up to; exactly where the sitting is masked.
            noise: integers to add to the sums of the values (`ClientDpCoordinator`), shape (values,), where the
                sitting has no tags, which would show it.

        Raises:
            TooFewSitesError: fewer than `min_summands` updates: so small a sum would tell too much of each. More may
                still be added.
            PrivacyError: it was given out already, or adding to it has failed half-way.
        """
        if min_summands < MIN_SUMMANDS:
            raise ConfigError(
                f"expected min_summands >= {MIN_SUMMANDS}, got {min_summands}",
                hint="each of two sites could subtract its own update and read the other's",
            )
        if self.summands < min_summands:
            raise TooFewSitesError(
                f"round {self._sitting.round} has {self.summands} accepted updates, expected at least {min_summands}"
            )
        if (masks is not None) != self._sitting.masked:
            raise ConfigError(f"expected {'the' if self._sitting.masked else 'no'} masks of this sum to remove")
        if noise is not None and (self._sitting.tagged or noise.shape != (self._sitting.values,)):
            raise ConfigError(
                f"expected noise of shape ({self._sitting.values},) for a sum without tags, got {noise.shape}",
                hint="Sitting(..., tagged=False), where the sites trust the coordinator with the noise",
            )
        if self._sum is None:
            raise PrivacyError(
                f"round {self._sitting.round} has no further sum: it was given out, or could not be formed",
                hint="run the round again as its next attempt",
            )
        if masks is not None:
            self._sum.remove(masks)
        if noise is not None:
            self._sum.add_noise(noise)
        body, self._sum = self._sum.body(), None  # which is large, and not needed any more
        header = self._header(self._signer.public.id, summands=self.summands)
        return EncryptedSum.sign(header, b"".join((write_senders(self._senders), body)), self._signer)

    def _header(self, sender: str, *, summands: int) -> Header:
        return self._sitting.header(self._adder, sender, summands=summands)
