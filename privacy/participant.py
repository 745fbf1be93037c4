"""A site's two steps in a round: protect and sign its update, and open the sum of all.

Threat model: the coordinator may send anything for a sum. What it did not sign, what is of another round, key or
layout, or of too few sites, is not opened; nor is what is not the sum of whole updates of the senders it names, each
once (`sum_tag`). So a site never opens a single update, or anything made of one, for a coordinator without the key. It
may still leave sites out, and tell different sites of different sums; masks bind it to one set of sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .envelope import EncryptedSum, EncryptedUpdate, Signer
from .errors import MalformedUpdateError, PrivacyError, TooFewSitesError, TooManyClientsError
from .keys.identity import PublicIdentity
from .packing import check_symbols
from .presets import MIN_SUMMANDS
from .scheme import Cipher, Mask
from .sitting import ID_BYTES, Sitting, check_header, read_senders
from .sum_tag import SumTag

_TAG_PURPOSE = b"sum tag"


@dataclass(frozen=True, slots=True)
class OpenedSum:
    """What is in a sum.

    Attributes:
        sums: exact, shape (sitting.values,) uint32.
        senders: ids of the sites whose updates are in it, in order.
    """

    sums: np.ndarray
    senders: tuple[str, ...]


def protect(
    cipher: Cipher, sitting: Sitting, symbols: np.ndarray, *, signer: Signer, mask: Mask | None = None
) -> EncryptedUpdate:
    """Tag, encrypt and sign an update.

    Args:
        cipher: of the scheme the sites agreed on.
        sitting: what it belongs to.
        symbols: shape (sitting.values,), unsigned, below `cipher.preset.symbols`.
        signer: the site.
        mask: this site's of this attempt, which is used up; exactly where the sitting is masked.

    Raises:
        PrivacyError: not such symbols, or a mask where there is to be none.
    """
    if symbols.shape != (sitting.values,):
        raise PrivacyError(f"expected symbols of shape ({sitting.values},), got {symbols.shape}")
    check_symbols(symbols, cipher.preset)
    if (mask is not None) != sitting.masked:
        raise PrivacyError(f"expected {'a' if sitting.masked else 'no'} mask for an update of this round")
    sender = signer.public.id
    tag = _tag_of(cipher, sitting)
    if tag is not None:
        symbols = np.concatenate([symbols, tag.make(symbols, sender)])
    return EncryptedUpdate.sign(sitting.header(cipher, sender), cipher.encrypt(symbols, mask), signer)


def open_sum(cipher: Cipher, sitting: Sitting, data: bytes, *, coordinator: PublicIdentity) -> OpenedSum:
    """Check and open the sum of a round.

    Args:
        cipher: as in `protect`.
        sitting: what it must belong to.
        data: from the wire.
        coordinator: who must have signed it.

    Raises:
        UpdateRejectedError: it belongs elsewhere, is not the coordinator's, or of too few or too many updates.
        PrivacyError: it is not the sum of these senders' updates, or cannot be opened; without detail. The coordinator
            signed it, so a site should take no part in anything of it any more.
    """
    total = EncryptedSum.from_bytes(data)
    summands = total.header.summands
    check_header(total.header, sitting.header(cipher, coordinator.id, summands=summands))
    if summands < MIN_SUMMANDS:
        raise TooFewSitesError(f"a sum of {summands} updates, expected at least {MIN_SUMMANDS}: it is not opened")
    if summands > cipher.preset.clients:
        raise TooManyClientsError(f"a sum of {summands} updates, of which {cipher.preset.name} is not exact")
    body = memoryview(total.body)
    if len(body) < ID_BYTES * summands:
        raise MalformedUpdateError(f"a sum of {summands} updates does not name their senders")
    total.verify(coordinator)
    senders = read_senders(bytes(body[: ID_BYTES * summands]))
    sums = cipher.decrypt(body[ID_BYTES * summands :], sitting.symbols(cipher))
    tag = _tag_of(cipher, sitting)
    if tag is not None:
        tag.check(sums[: sitting.values], sums[sitting.values :], senders)
    return OpenedSum(sums[: sitting.values], senders)


def _tag_of(cipher: Cipher, sitting: Sitting) -> SumTag | None:
    key = cipher.derive_key(_TAG_PURPOSE) if sitting.tagged else None
    return None if key is None else sitting.tag(key, cipher.preset)
