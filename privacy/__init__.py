"""Protected sums: quantised and packed integers, encrypted under a key that only the sites hold, added without it.

Names are loaded on first use, so that a coordinator that only adds never imports what decrypts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accountant import Accountant, Budget, Statement
    from .aggregate import Aggregator
    from .approximate_ckks import ApproximateCkksAdder
    from .approximate_ckks_secret import ApproximateCkksCipher, CkksSecretKey
    from .attempts import AttemptJournal
    from .calibration import noise_multiplier_for
    from .client_calibration import calibrate
    from .client_dp import ClientDp, ClientDpCoordinator, ClientDpSite
    from .dp_sgd import DpSgd, PrivateTrainer
    from .envelope import EncryptedSum, EncryptedUpdate, Header, Signer
    from .errors import (
        BudgetExhaustedError,
        KeyFileError,
        MalformedUpdateError,
        MaskingError,
        PrivacyError,
        ReplayedUpdateError,
        RosterError,
        SealLayoutError,
        SharesError,
        SignatureError,
        TooFewSitesError,
        TooManyClientsError,
        UnknownSenderError,
        UpdateRejectedError,
        WrongKeyError,
        WrongLayoutError,
        WrongPresetError,
        WrongRoundError,
        WrongRunError,
    )
    from .events import DiscreteGaussianSum, Event, ExactRelease, GaussianRelease, SkellamSum
    from .fixed_point import FixedPoint
    from .identity import PublicIdentity
    from .identity_secret import Identity
    from .key_documents import read_document, write_document
    from .key_folder import KeyFolder
    from .key_folder_secret import SiteFolder
    from .key_grant import KeyGrant
    from .limbs import decode_limbs, encode_limbs, limbs_for
    from .mask_stream import MaskSum
    from .masking import MaskingRound
    from .masking_messages import Members
    from .masking_plan import MaskingPlan, smallest_threshold
    from .masking_site import MaskingSite
    from .packed import PackedAdder
    from .packed_secret import PackedCipher
    from .participant import OpenedSum, open_sum, protect
    from .plain import PlainAdder, PlainCipher
    from .presets import Preset, smallest_preset
    from .quantizer import StochasticQuantizer
    from .rlwe_secret import SecretKey
    from .roster import Roster
    from .scheme import NO_KEY, Accumulator, Adder, Cipher, Mask
    from .sitting import MIN_SUMMANDS, Sitting

_HOMES = {
    "Accountant": "accountant",
    "Accumulator": "scheme",
    "Adder": "scheme",
    "Aggregator": "aggregate",
    "ApproximateCkksAdder": "approximate_ckks",
    "ApproximateCkksCipher": "approximate_ckks_secret",
    "AttemptJournal": "attempts",
    "Budget": "accountant",
    "BudgetExhaustedError": "errors",
    "Cipher": "scheme",
    "CkksSecretKey": "approximate_ckks_secret",
    "ClientDp": "client_dp",
    "ClientDpCoordinator": "client_dp",
    "ClientDpSite": "client_dp",
    "DiscreteGaussianSum": "events",
    "DpSgd": "dp_sgd",
    "EncryptedSum": "envelope",
    "EncryptedUpdate": "envelope",
    "Event": "events",
    "ExactRelease": "events",
    "FixedPoint": "fixed_point",
    "GaussianRelease": "events",
    "Header": "envelope",
    "Identity": "identity_secret",
    "KeyFileError": "errors",
    "KeyFolder": "key_folder",
    "KeyGrant": "key_grant",
    "MIN_SUMMANDS": "sitting",
    "MalformedUpdateError": "errors",
    "Mask": "scheme",
    "MaskSum": "mask_stream",
    "MaskingError": "errors",
    "MaskingPlan": "masking_plan",
    "MaskingRound": "masking",
    "MaskingSite": "masking_site",
    "Members": "masking_messages",
    "NO_KEY": "scheme",
    "OpenedSum": "participant",
    "PackedAdder": "packed",
    "PackedCipher": "packed_secret",
    "PlainAdder": "plain",
    "PlainCipher": "plain",
    "Preset": "presets",
    "PrivacyError": "errors",
    "PrivateTrainer": "dp_sgd",
    "PublicIdentity": "identity",
    "ReplayedUpdateError": "errors",
    "Roster": "roster",
    "RosterError": "errors",
    "SealLayoutError": "errors",
    "SecretKey": "rlwe_secret",
    "SharesError": "errors",
    "SignatureError": "errors",
    "Signer": "envelope",
    "SiteFolder": "key_folder_secret",
    "Sitting": "sitting",
    "SkellamSum": "events",
    "Statement": "accountant",
    "StochasticQuantizer": "quantizer",
    "TooFewSitesError": "errors",
    "TooManyClientsError": "errors",
    "UnknownSenderError": "errors",
    "UpdateRejectedError": "errors",
    "WrongKeyError": "errors",
    "WrongLayoutError": "errors",
    "WrongPresetError": "errors",
    "WrongRoundError": "errors",
    "WrongRunError": "errors",
    "calibrate": "client_calibration",
    "decode_limbs": "limbs",
    "encode_limbs": "limbs",
    "limbs_for": "limbs",
    "noise_multiplier_for": "calibration",
    "open_sum": "participant",
    "protect": "participant",
    "read_document": "key_documents",
    "smallest_preset": "presets",
    "smallest_threshold": "masking_plan",
    "write_document": "key_documents",
}

__all__ = [
    "MIN_SUMMANDS",
    "NO_KEY",
    "Accountant",
    "Accumulator",
    "Adder",
    "Aggregator",
    "ApproximateCkksAdder",
    "ApproximateCkksCipher",
    "AttemptJournal",
    "Budget",
    "BudgetExhaustedError",
    "Cipher",
    "CkksSecretKey",
    "ClientDp",
    "ClientDpCoordinator",
    "ClientDpSite",
    "DiscreteGaussianSum",
    "DpSgd",
    "EncryptedSum",
    "EncryptedUpdate",
    "Event",
    "ExactRelease",
    "FixedPoint",
    "GaussianRelease",
    "Header",
    "Identity",
    "KeyFileError",
    "KeyFolder",
    "KeyGrant",
    "MalformedUpdateError",
    "Mask",
    "MaskSum",
    "MaskingError",
    "MaskingPlan",
    "MaskingRound",
    "MaskingSite",
    "Members",
    "OpenedSum",
    "PackedAdder",
    "PackedCipher",
    "PlainAdder",
    "PlainCipher",
    "Preset",
    "PrivacyError",
    "PrivateTrainer",
    "PublicIdentity",
    "ReplayedUpdateError",
    "Roster",
    "RosterError",
    "SealLayoutError",
    "SecretKey",
    "SharesError",
    "SignatureError",
    "Signer",
    "SiteFolder",
    "Sitting",
    "SkellamSum",
    "Statement",
    "StochasticQuantizer",
    "TooFewSitesError",
    "TooManyClientsError",
    "UnknownSenderError",
    "UpdateRejectedError",
    "WrongKeyError",
    "WrongLayoutError",
    "WrongPresetError",
    "WrongRoundError",
    "WrongRunError",
    "calibrate",
    "decode_limbs",
    "encode_limbs",
    "limbs_for",
    "noise_multiplier_for",
    "open_sum",
    "protect",
    "read_document",
    "smallest_preset",
    "smallest_threshold",
    "write_document",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
