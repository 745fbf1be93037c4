"""The ledger's key and the heads it signs: who may read it, how it is made at once by many, and what is refused."""

import base64
import json
import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from traceback import format_exception

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.storage import IntegrityError, StorageError
from nasturtium.storage.signing import SignedHead, SigningKey

LEDGER = "01KB5ZZZZZZZZZZZZZZZZZZZZZ"
HASH = "ab" * 32
# RFC 8032, section 7.1: secret key, public key, message, signature of the tests 1, 2 and 3.
VECTORS = [
    pytest.param(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
        id="empty",
    ),
    pytest.param(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
        id="one-byte",
    ),
    pytest.param(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
        id="two-bytes",
    ),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.ledger-key"


@pytest.fixture(scope="module")
def head() -> SignedHead:
    return SigningKey(bytes(range(32))).sign_head(LEDGER, 7, HASH)


def pem(key: object, encryption: object = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(secret, public, message, signature):
    key = SigningKey(bytes.fromhex(secret))
    assert key.public == public
    assert key.sign(bytes.fromhex(message)).hex() == signature


def test_a_head_is_signed_over_its_domain_ledger_number_and_hash(head):
    message = b"nasturtium ledger head v1\0" + LEDGER.encode() + bytes([0] * 7 + [7]) + bytes.fromhex(HASH)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert head.signature == key.sign(message).hex()
    key.public_key().verify(bytes.fromhex(head.signature), message)
    head.verify()


def test_a_key_is_made_once_and_found_again(path):
    first = SigningKey.open(path)
    assert SigningKey.open(path).public == first.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert SigningKey.open(path.with_name("other")).public != first.public


def test_a_process_without_a_mask_makes_no_wider_file(path):
    mask = os.umask(0)
    try:
        SigningKey.open(path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_threads_that_make_the_key_at_once_have_one(path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: SigningKey.open(path).public, range(32)))
    assert len(keys) == 1
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_make_the_key_at_once_have_one(path):
    script = """
import sys
from pathlib import Path
from nasturtium.storage.signing import SigningKey
import cryptography.hazmat.primitives.asymmetric.ed25519
print("ready", flush=True)
input()
print(SigningKey.open(Path(sys.argv[1])).public)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started = [subprocess.Popen([sys.executable, "-c", script, path], **pipes) for _ in range(8)]
        for process in started:
            stack.enter_context(process)
            stack.callback(process.kill)
        for process in started:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in started]
    assert {errors for _, errors in answers} == {""}
    assert {public.strip() for public, _ in answers} == {SigningKey.open(path).public}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o610, 0o666, 0o644])
def test_a_key_that_others_can_read_is_refused(path, mode):
    SigningKey.open(path)
    path.chmod(mode)
    with pytest.raises(IntegrityError, match=f"its mode is {mode:03o}.*chmod 600"):
        SigningKey.open(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"SECRET-GARBAGE\n", id="garbage"),
        pytest.param(b"\xff\x00" * 200_000, id="long"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nSECRET-GARBAGE\n-----END PRIVATE KEY-----\n", id="damaged"),
        pytest.param(pem(generate_private_key(SECP256R1())), id="of-another-kind"),
        pytest.param(pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"word")), id="with-a-password"),
    ],
)
def test_a_file_without_a_key_is_refused_and_stays(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IntegrityError, match=r"holds no Ed25519 private key.*restore it") as caught:
        SigningKey.open(path)
    assert "SECRET" not in "".join(format_exception(caught.value))
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(path):
    path.mkdir(mode=0o700)
    with pytest.raises(StorageError, match="key"):
        SigningKey.open(path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(IntegrityError, match="not a regular file"):
        SigningKey.open(path)


def test_a_missing_folder_is_an_error_of_ours(tmp_path):
    with pytest.raises(StorageError, match="No such file or directory"):
        SigningKey.open(tmp_path / "missing" / "key")


def test_the_secret_is_in_no_text_of_the_key(path):
    key = SigningKey.open(path)
    secret = load_pem_private_key(path.read_bytes(), None).private_bytes_raw()
    shown = f"{key!r} {key} {vars(type(key))}"
    assert key.public in shown
    assert secret.hex() not in shown
    assert base64.b64encode(secret).decode() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_head_survives_json(head):
    assert SignedHead.from_json(head.to_json()) == head
    assert "\n" not in head.to_json()


@pytest.mark.parametrize("name", [field.name for field in fields(SignedHead)])
def test_a_head_of_which_anything_was_changed_is_no_longer_signed(head, name):
    other = {
        "ledger": LEDGER[:-1] + "0",
        "sequence": head.sequence + 1,
        "hash": "ac" + HASH[2:],
        "signer": SigningKey(bytes(32)).public,
        "signature": head.signature[:-2] + f"{int(head.signature[-2:], 16) ^ 1:02x}",
    }
    with pytest.raises(IntegrityError, match=f"signature of entry {7 + (name == 'sequence')} of ledger"):
        replace(head, **{name: other[name]}).verify()


@given(bit=st.integers(0, 511))
def test_any_flipped_bit_of_a_signature_is_found(head, bit):
    flipped = int(head.signature, 16) ^ (1 << bit)
    with pytest.raises(IntegrityError, match="not that of its signer"):
        replace(head, signature=f"{flipped:0128x}").verify()


def test_a_public_key_that_is_no_point_of_the_curve_is_refused(head):
    with pytest.raises(IntegrityError, match="not that of its signer"):
        replace(head, signer="02" + "00" * 31).verify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"format": "other"}, "expected a document of format", id="format"),
        pytest.param({"version": 2}, "upgrade nasturtium", id="newer"),
        pytest.param({"version": True}, "expected a version", id="version-bool"),
        pytest.param({"extra": 1}, "expected the fields", id="a-field-too-many"),
        pytest.param({"signer": None}, "head's signer", id="null"),
        pytest.param({"sequence": 0}, "from 1", id="sequence-zero"),
        pytest.param({"sequence": True}, "from 1", id="sequence-bool"),
        pytest.param({"sequence": 7.0}, "from 1", id="sequence-float"),
        pytest.param({"sequence": 2**63}, "from 1", id="sequence-too-large"),
        pytest.param({"ledger": "01kb5zzzzzzzzzzzzzzzzzzzzz"}, "a ULID", id="ledger-lower-case"),
        pytest.param({"ledger": LEDGER + "\n"}, "a ULID", id="ledger-with-a-line-end"),
        pytest.param({"hash": "AB" * 32}, "64 lower-case", id="hash-upper-case"),
        pytest.param({"hash": "ab" * 31}, "64 lower-case", id="hash-short"),
        pytest.param({"signer": "xy" * 32}, "64 lower-case", id="signer-not-hexadecimal"),
        pytest.param({"signature": "ab" * 63}, "128 lower-case", id="signature-short"),
        pytest.param({"signature": ["ab" * 64]}, "128 lower-case", id="signature-list"),
    ],
)
def test_a_document_that_is_no_head_is_refused(head, changes, message):
    document = {"format": "nasturtium-ledger-head", "version": 1, **asdict(head), **changes}
    with pytest.raises(FormatError, match=message):
        SignedHead.from_json(json.dumps(document))


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_refused(text):
    with pytest.raises(FormatError):
        SignedHead.from_json(text)
