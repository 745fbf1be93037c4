"""Protected sums: fixed-point encoding, encryption under a key that only the sites hold, addition without it.

Names are loaded on first use, so that a coordinator that only adds never imports the decryptor.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aggregate import Aggregator
    from .ckks import CkksAdder, PublicContext
    from .ckks_secret import CkksCipher, SecretKey
    from .envelope import EncryptedSum, EncryptedUpdate, Header
    from .errors import PrivacyError, UpdateRejectedError
    from .fixed_point import FixedPoint
    from .plain import PlainAdder, PlainCipher
    from .scheme import Adder, Cipher

_HOMES = {
    "Adder": "scheme",
    "Aggregator": "aggregate",
    "Cipher": "scheme",
    "CkksAdder": "ckks",
    "CkksCipher": "ckks_secret",
    "EncryptedSum": "envelope",
    "EncryptedUpdate": "envelope",
    "FixedPoint": "fixed_point",
    "Header": "envelope",
    "PlainAdder": "plain",
    "PlainCipher": "plain",
    "PrivacyError": "errors",
    "PublicContext": "ckks",
    "SecretKey": "ckks_secret",
    "UpdateRejectedError": "errors",
}

__all__ = [
    "Adder",
    "Aggregator",
    "Cipher",
    "CkksAdder",
    "CkksCipher",
    "EncryptedSum",
    "EncryptedUpdate",
    "FixedPoint",
    "Header",
    "PlainAdder",
    "PlainCipher",
    "PrivacyError",
    "PublicContext",
    "SecretKey",
    "UpdateRejectedError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
