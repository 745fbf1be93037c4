"""Files of secrets: who can read them, what damage and a wrong passphrase look like, what a crash leaves."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import unicodedata
from traceback import format_exception

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import KeyFileError
from nasturtium.privacy.keys import files as key_files
from nasturtium.privacy.keys.files import is_protected, load_secret, read_file, save_secret, write_file

WORDS = "correct horse battery"
SECRET = b"SECRET-CONTENT-" * 3
posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes are POSIX's")


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """The lowest cost that is accepted: 16 MB."""
    monkeypatch.setattr(key_files, "_COST", 2**14)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret.key"


@pytest.fixture(params=[None, WORDS], ids=["open", "passphrase"])
def saved(request, path):
    save_secret(path, "test", "label", SECRET, request.param)
    return path, request.param


def test_a_secret_is_found_again(saved):
    path, words = saved
    assert load_secret(path, "test", words) == ("label", SECRET)
    assert is_protected(path, "test") == (words is not None)
    assert list(path.parent.iterdir()) == [path]
    if words:
        assert SECRET.hex() not in path.read_text()


@posix
def test_a_file_is_its_owners_whatever_the_mask(path):
    mask = os.umask(0)
    try:
        save_secret(path, "test", "label", SECRET, None)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_replaced(saved):
    path, words = saved
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="is there already"):
        save_secret(path, "test", "label", b"other", words)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_protection_is_that_of_the_standards(path, monkeypatch):
    """Opened here with hashlib's scrypt and AES-GCM, at the cost that is used outside of tests."""
    monkeypatch.undo()
    save_secret(path, "test", "label", SECRET, WORDS)
    document = json.loads(path.read_text())
    content, protection = bytes.fromhex(document.pop("content")), document["protection"]
    assert protection["scrypt"] == 2**17
    salt = bytes.fromhex(protection["salt"])
    key = hashlib.scrypt(WORDS.encode(), salt=salt, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)
    associated = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert AESGCM(key).decrypt(bytes.fromhex(protection["nonce"]), content, associated) == SECRET
    assert len(salt) == 16
    assert len(content) == len(SECRET) + 16


def test_salt_and_nonce_are_drawn_anew(tmp_path):
    for name in ("a", "b"):
        save_secret(tmp_path / name, "test", "label", SECRET, WORDS)
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("a", "b"))
    assert first["protection"]["salt"] != second["protection"]["salt"]
    assert first["protection"]["nonce"] != second["protection"]["nonce"]


def test_a_passphrase_is_the_same_however_a_keyboard_composes_it(path):
    words = "w\N{LATIN SMALL LETTER O WITH DIAERESIS}rter und \N{LATIN SMALL LETTER U WITH DIAERESIS}ber"
    save_secret(path, "test", "label", SECRET, words)
    assert load_secret(path, "test", unicodedata.normalize("NFD", words)) == ("label", SECRET)


@pytest.mark.parametrize("words", ["", "short", "x" * 1025])
def test_a_passphrase_that_protects_nothing_is_refused(path, words):
    with pytest.raises(ConfigError, match="expected a passphrase of 8 to 1024 letters"):
        save_secret(path, "test", "label", SECRET, words)
    assert not path.exists()


@pytest.mark.parametrize("words", ["", "wrong horse battery", WORDS.upper(), WORDS + " ", "\udcff" * 9])
def test_a_wrong_passphrase_says_nothing_more(path, words):
    save_secret(path, "test", "label", SECRET, WORDS)
    with pytest.raises(KeyFileError, match="cannot be opened with this passphrase") as caught:
        load_secret(path, "test", words)
    shown = "".join(format_exception(caught.value))
    assert WORDS not in str(caught.value)
    assert "SECRET" not in shown


def test_a_passphrase_must_be_given_and_only_where_there_is_one(tmp_path):
    save_secret(tmp_path / "a", "test", "label", SECRET, WORDS)
    save_secret(tmp_path / "b", "test", "label", SECRET, None)
    with pytest.raises(KeyFileError, match="is under a passphrase, and none was given"):
        load_secret(tmp_path / "a", "test", None)
    with pytest.raises(KeyFileError, match=r"is under no passphrase, and one was given .*unset NASTURTIUM_PASSPHRASE"):
        load_secret(tmp_path / "b", "test", WORDS)


def test_a_file_of_another_kind_is_refused(saved):
    path, words = saved
    with pytest.raises(KeyFileError, match="not a key file of the kind 'other'"):
        load_secret(path, "other", words)


def altered(path, *keys: str, to: object) -> None:
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        pytest.param(("label",), "other", id="label"),
        pytest.param(("protection", "scrypt"), 2**15, id="cost"),
        pytest.param(("protection", "salt"), "00" * 16, id="salt"),
        pytest.param(("protection", "nonce"), "00" * 12, id="nonce"),
        pytest.param(("content",), "00" * 61, id="content"),
        pytest.param(("content",), "00", id="content-short"),
    ],
)
def test_what_is_under_a_passphrase_cannot_be_changed(path, keys, to):
    save_secret(path, "test", "label", SECRET, WORDS)
    altered(path, *keys, to=to)
    with pytest.raises(KeyFileError, match="cannot be opened with this passphrase"):
        load_secret(path, "test", WORDS)


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        pytest.param(("format",), "other", id="format"),
        pytest.param(("version",), 2, id="newer"),
        pytest.param(("kind",), "other", id="kind"),
        pytest.param(("label",), 7, id="label-number"),
        pytest.param(("extra",), 7, id="a-field-too-many"),
        pytest.param(("content",), "SECRET", id="content-not-hexadecimal"),
        pytest.param(("content",), "AB", id="content-upper-case"),
        pytest.param(("content",), "", id="content-empty"),
        pytest.param(("content",), ["ab"], id="content-list"),
        pytest.param(("protection",), {}, id="protection-empty"),
        pytest.param(("protection",), "scrypt", id="protection-text"),
        pytest.param(("protection", "scrypt"), 2**30, id="a-terabyte-of-memory"),
        pytest.param(("protection", "scrypt"), 2**17 + 1, id="cost-no-power-of-two"),
        pytest.param(("protection", "scrypt"), 2, id="cost-next-to-nothing"),
        pytest.param(("protection", "scrypt"), True, id="cost-bool"),
        pytest.param(("protection", "scrypt"), [2**14], id="cost-list"),
        pytest.param(("protection", "salt"), "", id="no-salt"),
        pytest.param(("protection", "nonce"), "00" * 13, id="nonce-long"),
        pytest.param(("protection", "p"), 1, id="a-parameter-too-many"),
    ],
)
def test_a_document_that_is_no_key_file_is_refused(path, keys, to):
    save_secret(path, "test", "label", SECRET, WORDS)
    altered(path, *keys, to=to)
    with pytest.raises(KeyFileError, match="not a key file of the kind 'test'") as caught:
        load_secret(path, "test", WORDS)
    assert "SECRET" not in "".join(format_exception(caught.value))


@pytest.mark.parametrize("content", [b"", b"SECRET garbage", b"\xff\xfe\x00", b"[" * 50_000, b'{"content": "SECRET"}'])
def test_garbage_is_refused_and_not_shown(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_secret(path, "test", None)
    assert "SECRET" not in "".join(format_exception(caught.value))
    assert "restore it from a copy" in (caught.value.hint or "")
    assert path.read_bytes() == content


@given(cut=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30)
def test_a_file_that_was_cut_off_is_refused(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "key"
    save_secret(path, "test", "label", SECRET, None)
    whole = path.read_bytes().rstrip()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(KeyFileError):
        load_secret(path, "test", None)


def test_a_long_file_is_not_read_whole(path):
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="too long"):
        load_secret(path, "test", None)


@pytest.mark.parametrize("size", [0, key_files.MAX_CONTENT_BYTES + 1])
def test_a_secret_that_could_not_be_read_again_is_not_written(path, size):
    with pytest.raises(ValueError, match="bytes to keep"):
        save_secret(path, "test", "label", bytes(size), None)


@pytest.mark.parametrize("words", [None, WORDS], ids=["open", "passphrase"])
def test_the_longest_secret_fits(path, words):
    secret = os.urandom(key_files.MAX_CONTENT_BYTES)
    save_secret(path, "test", "x" * 64, secret, words)
    assert load_secret(path, "test", words)[1] == secret


@posix
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o610, 0o666, 0o644])
def test_a_file_that_others_can_use_is_refused(saved, mode):
    path, words = saved
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"its mode is {mode:03o}, expected 600.*chmod 600"):
        load_secret(path, "test", words)


@posix
def test_what_is_no_file_is_refused(path, tmp_path):
    with pytest.raises(KeyFileError, match="No such file"):
        load_secret(path, "test", None)
    path.mkdir(mode=0o700)
    with pytest.raises(KeyFileError, match=r"directory|not a regular file"):
        load_secret(path, "test", None)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        load_secret(path, "test", None)
    path.unlink()
    save_secret(tmp_path / "elsewhere", "test", "label", SECRET, None)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="it is a link"):
        load_secret(path, "test", None)


@posix
@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_nothing_is_written_through_a_link(path, tmp_path, target):
    """Whoever can put a link in the place of a key must not choose where the key goes."""
    (tmp_path / "elsewhere").write_text("mine")
    path.symlink_to(tmp_path / target)
    with pytest.raises(KeyFileError, match="is there already"):
        save_secret(path, "test", "label", SECRET, None)
    write_file(path, "text", replace=True)
    assert not path.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "missing").exists()


def test_a_missing_folder_is_an_error_of_ours(tmp_path):
    with pytest.raises(KeyFileError, match="No such file or directory"):
        save_secret(tmp_path / "missing" / "key", "test", "label", SECRET, None)


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_full_disk_leaves_nothing_behind(path, monkeypatch, step):
    def fail(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(KeyFileError, match="No space left"):
        save_secret(path, "test", "label", SECRET, None)
    assert list(path.parent.iterdir()) == []


def test_a_public_file_may_be_read_by_others_and_is_bounded(path):
    write_file(path, "text", replace=False)
    path.chmod(0o644)
    assert read_file(path, 4, secret=False) == "text"
    with pytest.raises(KeyFileError, match="at most 3 bytes"):
        read_file(path, 3, secret=False)
    write_file(path, "more", replace=True)
    assert read_file(path, 4, secret=False) == "more"
