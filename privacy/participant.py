"""A site's two steps in a round: protect and sign its update, and open the sum of all.

Threat model: the coordinator may send anything for a sum. What it did not sign, what is of another round, key or
layout, or of too few sites, is not opened. That the sum is of the updates it claims cannot be seen: a coordinator that
leaves sites out is found out by them only if it tells who is in.
"""

from __future__ import annotations

import numpy as np

from .envelope import EncryptedSum, EncryptedUpdate, Signer
from .errors import PrivacyError, TooFewSitesError, TooManyClientsError
from .identity import PublicIdentity
from .scheme import Cipher, Mask
from .sitting import MIN_SUMMANDS, Sitting, check_header


def protect(
    cipher: Cipher, sitting: Sitting, symbols: np.ndarray, *, signer: Signer, mask: Mask | None = None
) -> EncryptedUpdate:
    """Encrypt and sign an update.

    Args:
        cipher: of the scheme the sites agreed on.
        sitting: what it belongs to.
        symbols: shape (sitting.values,), unsigned, below `cipher.preset.symbols`.
        signer: the site.
        mask: this site's of this attempt, which is used up.

    Raises:
        PrivacyError: not such symbols.
    """
    if symbols.shape != (sitting.values,):
        raise PrivacyError(f"expected symbols of shape ({sitting.values},), got {symbols.shape}")
    header = sitting.header(cipher, signer.public.id)
    return EncryptedUpdate.sign(header, cipher.encrypt(symbols, mask), signer)


def open_sum(cipher: Cipher, sitting: Sitting, data: bytes, *, coordinator: PublicIdentity) -> tuple[np.ndarray, int]:
    """Check and open the sum of a round.

    Args:
        cipher: as in `protect`.
        sitting: what it must belong to.
        data: from the wire.
        coordinator: who must have signed it.

    Returns:
        The exact sums, shape (sitting.values,) uint32, and how many updates are in them.

    Raises:
        UpdateRejectedError: it belongs elsewhere, is not the coordinator's, or of too few or too many updates.
        PrivacyError: it cannot be opened; without detail.
    """
    total = EncryptedSum.from_bytes(data)
    summands = total.header.summands
    check_header(total.header, sitting.header(cipher, coordinator.id, summands=summands))
    if summands < MIN_SUMMANDS:
        raise TooFewSitesError(f"a sum of {summands} updates, expected at least {MIN_SUMMANDS}: it is not opened")
    if summands > cipher.preset.clients:
        raise TooManyClientsError(f"a sum of {summands} updates, of which {cipher.preset.name} is not exact")
    total.verify(coordinator)
    return cipher.decrypt(total.body, sitting.values), summands
