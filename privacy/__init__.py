"""Protected sums: quantised and packed integers, encrypted under a key that only the sites hold, added without it.

Names are loaded on first use, so that a coordinator that only adds never imports what decrypts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aggregate import Aggregator
    from .approximate_ckks import ApproximateCkksAdder
    from .approximate_ckks_secret import ApproximateCkksCipher, CkksSecretKey
    from .dp.accountant import Accountant, Budget, Statement
    from .dp.client_calibration import calibrate_client_dp
    from .dp.client_dp import ClientDp, ClientDpCoordinator, ClientDpSite
    from .dp.dp_sgd import DpSgd, PrivateTrainer
    from .dp.events import DiscreteGaussianSum, Event, ExactRelease, GaussianRelease, SkellamSum
    from .dp.record_calibration import noise_multiplier_for
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
    from .fixed_point import FixedPoint
    from .keys.documents import read_document, write_document
    from .keys.files import read_file, write_file
    from .keys.folder import KeyFolder
    from .keys.folder_secret import SiteFolder
    from .keys.grant import MAX_GRANT_BYTES, KeyGrant
    from .keys.identity import PublicIdentity, check_name
    from .keys.identity_secret import Identity
    from .keys.roster import Roster
    from .keys.sealed import seal
    from .limbs import decode_limbs, encode_limbs, limbs_for
    from .masking.attempts import AttemptJournal
    from .masking.coordinator import MaskingRound
    from .masking.messages import Members
    from .masking.plan import MaskingPlan, smallest_threshold
    from .masking.site import MaskingSite
    from .masking.stream import MaskSum
    from .packed import PackedAdder
    from .packed_secret import PackedCipher
    from .participant import OpenedSum, open_sum, protect
    from .plain import PlainAdder, PlainCipher
    from .presets import MAX_CLIENTS, MIN_SUMMANDS, Preset, smallest_preset
    from .quantizer import StochasticQuantizer
    from .rlwe_secret import SecretKey
    from .scheme import NO_KEY, Accumulator, Adder, Cipher, Mask
    from .sitting import Sitting, write_senders
    from .update_size import EXACT_OFFSET, UpdateSize, exact_limbs

_HOMES = {
    "Accountant": "dp.accountant",
    "Accumulator": "scheme",
    "Adder": "scheme",
    "Aggregator": "aggregate",
    "ApproximateCkksAdder": "approximate_ckks",
    "ApproximateCkksCipher": "approximate_ckks_secret",
    "AttemptJournal": "masking.attempts",
    "Budget": "dp.accountant",
    "BudgetExhaustedError": "errors",
    "Cipher": "scheme",
    "CkksSecretKey": "approximate_ckks_secret",
    "ClientDp": "dp.client_dp",
    "ClientDpCoordinator": "dp.client_dp",
    "ClientDpSite": "dp.client_dp",
    "DiscreteGaussianSum": "dp.events",
    "DpSgd": "dp.dp_sgd",
    "EXACT_OFFSET": "update_size",
    "EncryptedSum": "envelope",
    "EncryptedUpdate": "envelope",
    "Event": "dp.events",
    "ExactRelease": "dp.events",
    "FixedPoint": "fixed_point",
    "GaussianRelease": "dp.events",
    "Header": "envelope",
    "Identity": "keys.identity_secret",
    "KeyFileError": "errors",
    "KeyFolder": "keys.folder",
    "KeyGrant": "keys.grant",
    "MAX_CLIENTS": "presets",
    "MAX_GRANT_BYTES": "keys.grant",
    "MIN_SUMMANDS": "presets",
    "MalformedUpdateError": "errors",
    "Mask": "scheme",
    "MaskSum": "masking.stream",
    "MaskingError": "errors",
    "MaskingPlan": "masking.plan",
    "MaskingRound": "masking.coordinator",
    "MaskingSite": "masking.site",
    "Members": "masking.messages",
    "NO_KEY": "scheme",
    "OpenedSum": "participant",
    "PackedAdder": "packed",
    "PackedCipher": "packed_secret",
    "PlainAdder": "plain",
    "PlainCipher": "plain",
    "Preset": "presets",
    "PrivacyError": "errors",
    "PrivateTrainer": "dp.dp_sgd",
    "PublicIdentity": "keys.identity",
    "ReplayedUpdateError": "errors",
    "Roster": "keys.roster",
    "RosterError": "errors",
    "SealLayoutError": "errors",
    "SecretKey": "rlwe_secret",
    "SharesError": "errors",
    "SignatureError": "errors",
    "Signer": "envelope",
    "SiteFolder": "keys.folder_secret",
    "Sitting": "sitting",
    "SkellamSum": "dp.events",
    "Statement": "dp.accountant",
    "StochasticQuantizer": "quantizer",
    "TooFewSitesError": "errors",
    "TooManyClientsError": "errors",
    "UnknownSenderError": "errors",
    "UpdateRejectedError": "errors",
    "UpdateSize": "update_size",
    "WrongKeyError": "errors",
    "WrongLayoutError": "errors",
    "WrongPresetError": "errors",
    "WrongRoundError": "errors",
    "WrongRunError": "errors",
    "calibrate_client_dp": "dp.client_calibration",
    "check_name": "keys.identity",
    "decode_limbs": "limbs",
    "encode_limbs": "limbs",
    "exact_limbs": "update_size",
    "limbs_for": "limbs",
    "noise_multiplier_for": "dp.record_calibration",
    "open_sum": "participant",
    "protect": "participant",
    "read_document": "keys.documents",
    "read_file": "keys.files",
    "seal": "keys.sealed",
    "smallest_preset": "presets",
    "smallest_threshold": "masking.plan",
    "write_document": "keys.documents",
    "write_file": "keys.files",
    "write_senders": "sitting",
}

__all__ = [
    "EXACT_OFFSET",
    "MAX_CLIENTS",
    "MAX_GRANT_BYTES",
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
    "UpdateSize",
    "WrongKeyError",
    "WrongLayoutError",
    "WrongPresetError",
    "WrongRoundError",
    "WrongRunError",
    "calibrate_client_dp",
    "check_name",
    "decode_limbs",
    "encode_limbs",
    "exact_limbs",
    "limbs_for",
    "noise_multiplier_for",
    "open_sum",
    "protect",
    "read_document",
    "read_file",
    "seal",
    "smallest_preset",
    "smallest_threshold",
    "write_document",
    "write_file",
    "write_senders",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
