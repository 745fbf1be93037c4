"""Identities: what they sign, what of a public one is checked, and where the private half does not appear."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.privacy.errors import KeyFileError, PrivacyError, SignatureError
from nasturtium.privacy.keys.identity import NAME, PublicIdentity
from nasturtium.privacy.keys.identity_secret import SECRET_BYTES, Identity
from nasturtium.privacy.keys.sealed import seal

SITE = Identity("site-1", bytes(range(64)))
OTHER = Identity("site-2", bytes(range(64, 128)))
# Points of small order of edwards25519 in all encodings: https://eprint.iacr.org/2020/1244, table 1
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def test_an_identity_signs_its_name_and_keys():
    public = SITE.public
    message = b"nasturtium identity v1\0" + public.signing_key + public.sealing_key + b"site-1"
    Ed25519PublicKey.from_public_bytes(public.signing_key).verify(public.signature, message)
    digest = hashlib.sha256(message).hexdigest()
    assert public.id == digest[:32]
    assert public.fingerprint.replace(" ", "") == digest
    assert {len(group) for group in public.fingerprint.split(" ")} == {4}


def test_a_signature_is_for_its_domain_and_message():
    signature = SITE.sign("test v1", b"message")
    assert len(signature) == 64
    SITE.public.verify("test v1", b"message", signature)
    for domain, message, signer in [
        ("test v2", b"message", SITE),
        ("test v1", b"messagf", SITE),
        ("test v1", b"message", OTHER),
        ("test v1\N{LATIN SMALL LETTER E WITH ACUTE}", b"message", SITE),
    ]:
        with pytest.raises(SignatureError, match="is not that of site"):
            signer.public.verify(domain, message, signature)
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(64)):
        with pytest.raises(SignatureError):
            SITE.public.verify("test v1", b"message", wrong)


@pytest.mark.parametrize("domain", ["", "a\0b"])
def test_a_domain_that_could_be_mistaken_for_another_is_refused(domain):
    with pytest.raises(ValueError, match="domain"):
        SITE.sign(domain, b"")


def test_generated_identities_differ():
    first, second = Identity.generate("a"), Identity.generate("a")
    assert first.public.id != second.public.id
    assert first.public.sealing_key != second.public.sealing_key


def test_an_identity_is_found_again_from_its_secret():
    again = Identity("site-1", SITE.secret_bytes())
    assert again.public == SITE.public
    assert Identity("site-9", SITE.secret_bytes()).public.id != SITE.public.id


def test_a_box_for_an_identity_opens_with_it_alone():
    box = seal(SITE.public.sealing_key, b"hello", b"test")
    assert SITE.unseal(box, b"test") == b"hello"
    with pytest.raises(PrivacyError):
        OTHER.unseal(box, b"test")


@pytest.mark.parametrize("size", [0, SECRET_BYTES - 1, SECRET_BYTES + 1])
def test_a_secret_of_another_size_is_refused(size):
    with pytest.raises(KeyFileError, match=f"64 bytes, got {size}$"):
        Identity("site-1", bytes(size))


def test_the_secret_is_in_no_text_and_not_pickled():
    shown = f"{SITE!r} {SITE} {vars(type(SITE))} {SITE.public!r} {SITE.public.to_json()}"
    assert "site-1" in shown
    secret = SITE.secret_bytes()
    for half in (secret[:32], secret[32:]):
        assert half.hex() not in shown
        assert repr(half) not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(SITE)


@given(name=st.from_regex(NAME, fullmatch=True))
def test_a_public_identity_survives_json(name):
    public = Identity(name, bytes(64)).public
    assert PublicIdentity.from_json(public.to_json()) == public
    assert "\n" not in public.to_json()


@pytest.mark.parametrize(
    "name", ["", ".", "-a", "../x", "a b", "a/b", "a\n", "a" * 65, "\N{LATIN SMALL LETTER E WITH ACUTE}", None, 7]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(FormatError, match="expected the name"):
        Identity.generate(name)
    with pytest.raises(FormatError, match="expected the name"):
        replace(SITE.public, name=name)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "site-2"}, id="name"),
        pytest.param({"sealing_key": OTHER.public.sealing_key}, id="sealing-key"),
        pytest.param({"signing_key": OTHER.public.signing_key}, id="signing-key"),
        pytest.param({"signature": OTHER.public.signature}, id="signature"),
    ],
)
def test_an_identity_of_which_anything_was_changed_is_refused(changes):
    with pytest.raises(SignatureError):
        replace(SITE.public, **changes)
    document = {**SITE.public.to_dict(), **{k: v if k == "name" else v.hex() for k, v in changes.items()}}
    with pytest.raises(SignatureError):
        PublicIdentity.from_dict(document)


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_signing_key_anybody_could_sign_for_is_refused(key):
    with pytest.raises(FormatError, match="signing_key of site-1 is none"):
        replace(SITE.public, signing_key=bytes.fromhex(key))


def test_a_sealing_key_that_agrees_on_nothing_is_refused():
    with pytest.raises(FormatError, match="sealing_key of site-1 is none"):
        replace(SITE.public, sealing_key=bytes(32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"format": "other"}, "expected a document of format", id="format"),
        pytest.param({"version": 2}, "upgrade nasturtium", id="newer"),
        pytest.param({"version": True}, "expected a version", id="version-bool"),
        pytest.param({"extra": 1}, "expected the fields", id="a-field-too-many"),
        pytest.param({"name": ["site-1"]}, "expected the name", id="name-list"),
        pytest.param({"signing_key": None}, "signing_key: expected 64 lower-case", id="null"),
        pytest.param({"sealing_key": "AB" * 32}, "sealing_key: expected 64 lower-case", id="upper-case"),
        pytest.param({"sealing_key": "ab" * 33}, "sealing_key: expected 64 lower-case", id="long"),
        pytest.param({"signature": "ab" * 63}, "signature: expected 128 lower-case", id="short"),
        pytest.param({"signature": "ab" * 64 + "\n"}, "signature: expected 128 lower-case", id="line-end"),
    ],
)
def test_a_document_that_is_no_identity_is_refused(changes, message):
    with pytest.raises(FormatError, match=message):
        PublicIdentity.from_json(json.dumps({**SITE.public.to_dict(), **changes}))


def test_a_document_without_a_field_is_refused():
    for field in SITE.public.to_dict():
        document = {name: value for name, value in SITE.public.to_dict().items() if name != field}
        with pytest.raises(FormatError):
            PublicIdentity.from_dict(document)


def test_a_document_too_long_is_refused_before_it_is_parsed():
    with pytest.raises(FormatError, match="expected at most 1024 letters"):
        PublicIdentity.from_json("[" * 2000)


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_refused(text):
    with pytest.raises(FormatError):
        PublicIdentity.from_json(text)
