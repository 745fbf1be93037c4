"""What can go wrong with protected updates. Messages give no detail of a decryption an attacker could use.

A refused update tells its reason by its class, so that a coordinator can record and count the kinds.
"""

from __future__ import annotations

from ..core import NasturtiumError


class PrivacyError(NasturtiumError, RuntimeError):
    """A value that cannot be protected, or a sum that cannot be opened."""


class SealLayoutError(PrivacyError):
    """The installed SEAL writes its objects otherwise than we build them: nothing is encrypted, nothing added."""


class UpdateRejectedError(PrivacyError):
    """An update that may not enter the sum; the message is the reason that is recorded."""


class MalformedUpdateError(UpdateRejectedError):
    """Bytes that are no envelope, or whose lengths do not follow from their header."""


class WrongPresetError(UpdateRejectedError):
    """Protected by another scheme or with other parameters than the round's."""


class WrongKeyError(UpdateRejectedError):
    """Encrypted under another key. SEAL itself would add it, and the sum would be garbage."""


class WrongRunError(UpdateRejectedError):
    """Of another federated run."""


class WrongRoundError(UpdateRejectedError):
    """Of another round or another attempt at it: late, or replayed."""


class WrongLayoutError(UpdateRejectedError):
    """Of another model: its layout or its number of values differs."""


class UnknownSenderError(UpdateRejectedError):
    """From somebody who is not a member, or in the name of somebody else."""


class SignatureError(UpdateRejectedError):
    """The signature is not the sender's: changed on the way, or forged."""


class ReplayedUpdateError(UpdateRejectedError):
    """A second update of a site in one attempt."""


class TooManyClientsError(UpdateRejectedError):
    """More updates than the preset's sum is exact for."""


class TooFewSitesError(UpdateRejectedError):
    """A sum of so few updates would tell too much of each: it is not formed, nor opened."""


class RosterError(PrivacyError):
    """A list of members, or a key made for it, that is not signed by those it names, or not meant for this site."""


class KeyFileError(PrivacyError):
    """A key file that cannot be used: damaged, of somebody else, readable by others, or under another passphrase."""


class MaskingError(PrivacyError):
    """The masking of a round cannot go on: a message is forged, out of order, or asks for what must stay secret."""


class SharesError(MaskingError):
    """Too few or false shares: a mask cannot be removed, and the round's sum stays masked."""


class BudgetExhaustedError(PrivacyError):
    """A release that would spend more privacy than is left; it is not made."""
