"""The coordinator's sum of protected updates. It holds no secret and checks every header before it parses a body.

Threat model: a site may send anything. What does not belong to this round, run, key or layout, comes twice, or does
not parse, is refused with a reason and leaves the sum as it was. A well-formed update with a wrong content is not
detected: encryption hides it from us too.
"""

from __future__ import annotations

from ..core import ConfigError
from .envelope import EncryptedSum, EncryptedUpdate, Header
from .errors import UpdateRejectedError
from .fixed_point import MAX_SUMMANDS
from .scheme import Adder


class Aggregator:
    """Adds the updates of one round, one by one.

    Args:
        adder: the scheme's arithmetic.
        run: ULID of the federated run.
        round: from 1.
        layout: SHA-256 of the layout all updates follow.
        values: how many numbers an update has.
    """

    def __init__(self, adder: Adder, *, run: str, round: int, layout: str, values: int) -> None:
        self._adder = adder
        self._run = run
        self._round = round
        self._layout = layout
        self._values = values
        self._senders: set[str] = set()
        self._total: list[object] | None = None

    @property
    def summands(self) -> int:
        """How many updates are in the sum."""
        return len(self._senders)

    def add(self, data: bytes, *, sender: str) -> None:
        """Check an update and add it.

        Args:
            data: from the wire.
            sender: whom the transport says it is from.

        Raises:
            UpdateRejectedError: it may not enter the sum; the sum is unchanged.
        """
        update: EncryptedUpdate = EncryptedUpdate.from_bytes(data)
        expected = self._header(sender, summands=1)
        for name in Header.__slots__:
            if getattr(update.header, name) != getattr(expected, name):
                raise UpdateRejectedError(
                    f"{name} is {getattr(update.header, name)!r:.100}, expected {getattr(expected, name)!r}"
                )
        if sender in self._senders:
            raise UpdateRejectedError(f"a second update from {sender} in round {self._round}")
        if len(self._senders) >= MAX_SUMMANDS:
            raise UpdateRejectedError(f"the sum is full: {MAX_SUMMANDS} updates")
        parsed = self._adder.parse(update.body, self._values)
        self._total = parsed if self._total is None else self._adder.add(self._total, parsed)
        self._senders.add(sender)

    def finish(self, *, min_summands: int) -> EncryptedSum:
        """The sum, for all sites.

        Raises:
            UpdateRejectedError: fewer than `min_summands` updates: so small a sum would tell too much of each.
        """
        if min_summands < 1:
            raise ConfigError(f"expected min_summands >= 1, got {min_summands}")
        if self._total is None or self.summands < min_summands:
            raise UpdateRejectedError(
                f"round {self._round} has {self.summands} accepted updates, expected at least {min_summands}"
            )
        return EncryptedSum(self._header("coordinator", summands=self.summands), self._adder.serialise(self._total))

    def _header(self, sender: str, *, summands: int) -> Header:
        return Header(
            scheme=self._adder.scheme,
            key_id=self._adder.key_id,
            run=self._run,
            round=self._round,
            sender=sender,
            layout=self._layout,
            values=self._values,
            summands=summands,
        )
