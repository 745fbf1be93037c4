"""Secrets in files: whole or not there, readable by their owner alone, and under a passphrase if one is given.

    {"format": "nasturtium.key-file", "version": 1, "kind": ..., "label": ..., "protection": ..., "content": hex}

`kind` says what the content is, `label` which one (the id of the identity or key). Under a passphrase the content is
encrypted with AES-256-GCM, whose key scrypt makes from the passphrase; all other fields are authenticated with it, so
a file cannot be taken for another of the same owner. scrypt's cost stands in the file and is bounded when it is read.

A file is written under another name, flushed, and then linked to its own: a crash leaves the old state, and at most a
draft whose name begins with a dot, as unreadable to others as the file. An existing file is never replaced. Without a
passphrase the mode 0600 is all there is: backups, administrators and whoever takes the disk can read the keys. A
passphrase protects as well as it is hard to guess (a guess costs 128 MB and a quarter of a second), and only the file:
the process has the key in memory, which Python cannot wipe.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ...core import ConfigError, FormatError, canonical_json, check_header, parse_json
from ..errors import KeyFileError

KEY_FILE_FORMAT: Final = "nasturtium.key-file"
KEY_FILE_VERSION: Final = 1
MIN_PASSPHRASE: Final = 8  # letters
MAX_PASSPHRASE: Final = 1024
MAX_CONTENT_BYTES: Final = 2**18
_MAX_FILE_BYTES: Final = 2 * MAX_CONTENT_BYTES + 4096
_COST: Final = 2**17  # scrypt's n for new files, with r = 8 and p = 1: 128 MB
_COSTS: Final = tuple(2**power for power in range(14, 19))  # that are accepted: at most 256 MB
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_FIELDS: Final = {"format", "version", "kind", "label", "protection", "content"}
_RESTORE: Final = "restore it from a copy, or move it away if it is none of this folder's"
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)  # a pipe of that name must not make us wait


class WrongPassphraseError(KeyFileError):
    """A key file that this passphrase does not open, or that was damaged: the two are not told apart."""


def save_secret(path: Path, kind: str, label: str, content: bytes, passphrase: str | None) -> None:
    """Write a secret to a file that is not there yet.

    Args:
        path: in a folder that is there.
        kind: what the content is.
        label: which one; not secret.
        content: 1 to 262,144 bytes.
        passphrase: 8 to 1024 letters; None: the file's mode is all that protects it.

    Raises:
        ConfigError: no passphrase that protects anything.
        KeyFileError: the file is there already, or cannot be written.
    """
    if not 1 <= len(content) <= MAX_CONTENT_BYTES:
        raise ValueError(f"expected 1 to {MAX_CONTENT_BYTES} bytes to keep, got {len(content)}")
    document: dict[str, Any] = {
        "format": KEY_FILE_FORMAT,
        "version": KEY_FILE_VERSION,
        "kind": kind,
        "label": label,
        "protection": None,
    }
    if passphrase is not None:
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        document["protection"] = {"scrypt": _COST, "salt": salt.hex(), "nonce": nonce.hex()}
        content = AESGCM(_stretch(check_passphrase(passphrase), salt, _COST)).encrypt(
            nonce, content, canonical_json(document).encode()
        )
    write_file(path, canonical_json({**document, "content": content.hex()}) + "\n", replace=False)


def load_secret(path: Path, kind: str, passphrase: str | None) -> tuple[str, bytes]:
    """The label and the content of a secret's file.

    Args:
        path: the file.
        kind: what the content must be.
        passphrase: that it is under; None if it is under none.

    Raises:
        KeyFileError: there is none, others can read it, it is damaged or another kind, a passphrase is needed, or this
            is not the one; a wrong passphrase and damage are not told apart.
    """
    document = _load(path, kind)
    protection, content, label = document["protection"], bytes.fromhex(document["content"]), document["label"]
    if protection is None:
        if passphrase is None:
            return label, content
        # Not opened although it could be: somebody may have put a file of their own in the place of the owner's.
        raise KeyFileError(
            f"{path} is under no passphrase, and one was given",
            hint="if that is as it was, give none: unset NASTURTIUM_PASSPHRASE",
        )
    if passphrase is None:
        raise KeyFileError(
            f"{path} is under a passphrase, and none was given", hint="give it in the variable NASTURTIUM_PASSPHRASE"
        )
    associated = canonical_json({name: value for name, value in document.items() if name != "content"}).encode()
    key = _stretch(passphrase, bytes.fromhex(protection["salt"]), protection["scrypt"])
    try:
        return label, AESGCM(key).decrypt(bytes.fromhex(protection["nonce"]), content, associated)
    except InvalidTag:
        raise WrongPassphraseError(
            f"{path} cannot be opened with this passphrase", hint="try again; or the file was damaged"
        ) from None


def is_protected(path: Path, kind: str) -> bool:
    """Whether a secret's file is under a passphrase.

    Raises:
        KeyFileError: as `load_secret`.
    """
    return _load(path, kind)["protection"] is not None


def check_passphrase(passphrase: str) -> str:
    """A passphrase, if it can protect something.

    Raises:
        ConfigError: too short or too long.
    """
    if not MIN_PASSPHRASE <= len(passphrase) <= MAX_PASSPHRASE:
        raise ConfigError(
            f"expected a passphrase of {MIN_PASSPHRASE} to {MAX_PASSPHRASE} letters, got {len(passphrase)}",
            hint="five or more words drawn at random are hard to guess",
        )
    return passphrase


def write_file(path: Path, text: str, *, replace: bool) -> None:
    """Write a file with mode 0600, so that it is there whole or not at all, even after a crash.

    Raises:
        KeyFileError: it is there already and is not to be replaced, or it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the name, too
            finally:
                os.close(folder)
    except FileExistsError:
        raise KeyFileError(f"{path} is there already, and is not replaced", hint="move it away if it may be") from None
    except OSError as exc:
        raise KeyFileError(f"cannot write {path}: {exc.strerror}", hint="check its folder and permissions") from exc
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def read_file(path: Path, max_bytes: int, *, secret: bool) -> str:
    """The text of a regular file; a secret one must be its owner's alone.

    Raises:
        KeyFileError: no such file, too long, no text, a link or pipe, or others can read what is secret.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that what is checked is what is read
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is not a regular file", hint="move it away")
            if secret and os.name == "posix" and status.st_mode & 0o077:
                raise KeyFileError(
                    f"others than its owner can use {path}: its mode is {status.st_mode & 0o777:03o}, expected 600",
                    hint=f"chmod 600 {path}; if somebody may have read it, it is not secret any more: make new keys",
                )
            data = file.read(max_bytes + 1)
    except OSError as exc:
        said = "it is a link" if path.is_symlink() else exc.strerror
        raise KeyFileError(f"cannot read {path}: {said}", hint="check that it is there, and its owner's") from exc
    if len(data) > max_bytes:
        raise KeyFileError(f"{path} is too long: expected at most {max_bytes} bytes", hint=_RESTORE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not text", hint=_RESTORE) from None


def _load(path: Path, kind: str) -> Mapping[str, Any]:
    """A checked document. Nothing of a file that is damaged is shown: it may be a part of a key."""
    text = read_file(path, _MAX_FILE_BYTES, secret=True)
    try:
        document = check_header(parse_json(text), KEY_FILE_FORMAT, KEY_FILE_VERSION)
        valid = set(document) == _FIELDS and document["kind"] == kind and isinstance(document["label"], str)
        if valid and _is_hex(document["content"]) and _is_protection(document["protection"]):
            return document
    except FormatError:
        pass
    raise KeyFileError(
        f"{path} is not a key file of the kind {kind!r} that this version can read, or it was damaged",
        hint=_RESTORE,
    )


def _is_hex(value: object, size: int | None = None) -> bool:
    """Whether a value is `size` bytes, or at least one, as lower-case hexadecimal digits."""
    if not isinstance(value, str) or re.fullmatch(r"(?:[0-9a-f]{2})+", value) is None:
        return False
    return size is None or len(value) == 2 * size


def _is_protection(value: object) -> bool:
    if value is None:
        return True
    fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
    return (
        set(fields) == {"scrypt", "salt", "nonce"}
        and type(fields["scrypt"]) is int
        and fields["scrypt"] in _COSTS
        and _is_hex(fields["salt"], _SALT_BYTES)
        and _is_hex(fields["nonce"], _NONCE_BYTES)
    )


def _stretch(passphrase: str, salt: bytes, cost: int) -> bytes:
    """The AES key of a passphrase, whose letters are the same however a keyboard composes them (NFKC)."""
    words = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(words)
