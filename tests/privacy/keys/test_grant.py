"""Grants: every member opens the same key, and nobody anything else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.privacy.errors import PrivacyError, RosterError, SignatureError
from nasturtium.privacy.keys.grant import (
    BOX_BYTES,
    GRANT_DOMAIN,
    MAX_GRANT_BYTES,
    WRAPPED_BYTES,
    KeyGrant,
    box_context,
    grant_message,
)
from nasturtium.privacy.keys.grant_secret import issue_key, open_grant
from nasturtium.privacy.keys.identity_secret import Identity
from nasturtium.privacy.keys.roster import Roster
from nasturtium.privacy.keys.sealed import seal


def identity(name: str, number: int = 0) -> Identity:
    return Identity(name, hashlib.sha512(f"{name} {number}".encode()).digest())


SITES = [identity(f"site-{i}") for i in range(3)]
NEW = identity("site-3")
HUB = identity("hub")


def complete(roster: Roster, sites: list[Identity] = SITES) -> Roster:
    for site in sites:
        roster = roster.signed(site)
    return roster


DRAFT = Roster.draft([site.public for site in SITES], issuer="site-0", coordinator=HUB.public)
ROSTER = complete(DRAFT)
NEXT = complete(ROSTER.successor())


@pytest.fixture(scope="module")
def granted():
    return issue_key(SITES[0], ROSTER)


@pytest.fixture(scope="module")
def grant(granted) -> KeyGrant:
    return granted[0]


def resigned(grant: KeyGrant, signer: Identity = SITES[0], **changes) -> KeyGrant:
    """A grant with other contents that its issuer signed, too."""
    parts = {"roster": grant.roster, "key_id": grant.key_id, "wrapped": grant.wrapped, "boxes": grant.boxes, **changes}
    return KeyGrant(**parts, signature=signer.sign(GRANT_DOMAIN, grant_message(*parts.values())))


def test_every_member_opens_the_same_key(granted):
    grant, key = granted
    for site in SITES:
        opened = open_grant(site, grant, ROSTER)
        assert opened.to_bytes() == key.to_bytes()
        assert opened.key_id == grant.key_id


def test_the_coordinator_and_strangers_open_nothing(grant):
    for stranger in (HUB, identity("mallory")):
        with pytest.raises(RosterError, match="is not a member"):
            open_grant(stranger, grant, ROSTER)
        for box, member in zip(grant.boxes, ROSTER.members, strict=True):
            for recipient in (member.id, stranger.public.id):
                with pytest.raises(PrivacyError, match="cannot be opened"):
                    stranger.unseal(box, box_context(ROSTER, grant.key_id, recipient))


def test_the_key_is_nowhere_in_the_grant(granted):
    grant, key = granted
    text = f"{grant.to_json()} {grant!r}"
    secret = key.to_bytes()
    assert not any(secret[i : i + 8].hex() in text for i in range(0, len(secret), 8) if any(secret[i : i + 8]))


def test_two_grants_have_nothing_in_common(grant):
    other, key = issue_key(SITES[0], ROSTER)
    assert key.key_id != grant.key_id
    assert other.wrapped[:16] != grant.wrapped[:16]
    assert not set(other.boxes) & set(grant.boxes)


@pytest.mark.parametrize(
    ("signer", "roster", "message"),
    [
        pytest.param(SITES[0], DRAFT.signed(SITES[0]), "not signed by 2 of its 3 members", id="roster-not-complete"),
        pytest.param(SITES[1], ROSTER, "site-1 does not make the key at epoch 1: site-0 does", id="another-member"),
        pytest.param(HUB, ROSTER, "hub does not make the key", id="coordinator"),
    ],
)
def test_only_the_issuer_of_a_complete_roster_makes_its_key(signer, roster, message):
    with pytest.raises(RosterError, match=message):
        issue_key(signer, roster)


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(Roster.draft(ROSTER.members, issuer="site-0"), id="same-epoch"),
        pytest.param(Roster.draft(ROSTER.members, issuer="site-1", coordinator=HUB.public), id="another-issuer"),
    ],
)
def test_a_grant_for_another_roster_than_the_member_signed_is_refused(grant, signed):
    with pytest.raises(RosterError, match=r"for another roster .* than the one signed here"):
        open_grant(SITES[1], grant, signed)


def test_an_old_grant_is_told_from_a_false_one(grant):
    with pytest.raises(RosterError, match="an old grant: it is of epoch 1, and the roster of epoch 2 was signed here"):
        open_grant(SITES[1], grant, NEXT)


def test_a_later_grant_that_was_not_signed_for_is_refused():
    grant, _ = issue_key(SITES[0], NEXT)
    with pytest.raises(RosterError, match=r"another roster \(epoch 2\) than the one signed here \(epoch 1\)"):
        open_grant(SITES[1], grant, ROSTER)


def test_a_grant_of_a_consortium_that_was_made_up_is_refused():
    """A coordinator invents the other members, and with them a complete roster and a grant."""
    invented = [identity(site.public.name, 1) for site in SITES[:2]]
    roster = Roster.draft([SITES[2].public, *(each.public for each in invented)], issuer="site-0")
    forged = complete(roster, [*invented, SITES[2]])  # as if site-2 had signed without comparing
    grant, _ = issue_key(invented[0], forged)
    with pytest.raises(RosterError, match="another roster"):
        open_grant(SITES[2], grant, ROSTER)


def test_a_grant_with_the_boxes_of_another_roster_does_not_open(grant):
    """The boxes were made for the epoch before; an issuer that reuses them is refused."""
    reused = resigned(grant, roster=NEXT)
    for site in SITES:
        with pytest.raises(PrivacyError, match="cannot be opened"):
            open_grant(site, reused, NEXT)


def test_a_box_of_another_member_does_not_open(grant):
    swapped = resigned(grant, boxes=grant.boxes[::-1])
    site = next(site for site in SITES if site.public.id == ROSTER.members[0].id)
    with pytest.raises(PrivacyError, match="cannot be opened"):
        open_grant(site, swapped, ROSTER)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda grant, other: {"wrapped": other.wrapped}, id="of-another-key"),
        pytest.param(lambda grant, other: {"wrapped": bytes(WRAPPED_BYTES)}, id="zeros"),
        pytest.param(lambda grant, other: {"key_id": other.key_id}, id="named-after-another"),
        pytest.param(
            lambda grant, other: {
                "boxes": tuple(
                    seal(each.sealing_key, bytes(32), box_context(ROSTER, grant.key_id, each.id))
                    for each in ROSTER.members
                )
            },
            id="another-wrapping-key",
        ),
    ],
)
def test_a_key_that_is_not_the_one_the_grant_names_is_refused(grant, forge):
    forged = resigned(grant, **forge(grant, issue_key(SITES[0], ROSTER)[0]))
    for site in SITES:
        with pytest.raises(PrivacyError, match=r"not the one the grant names|cannot be opened"):
            open_grant(site, forged, ROSTER)


@pytest.mark.parametrize("signer", [SITES[1], HUB], ids=["member", "coordinator"])
def test_a_grant_that_somebody_else_signed_is_refused(grant, signer):
    with pytest.raises(RosterError, match="not signed by site-0"):
        resigned(grant, signer)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"roster": NEXT}, RosterError, "not signed by site-0", id="roster"),
        pytest.param({"roster": DRAFT}, RosterError, "not signed by 3", id="roster-not-signed"),
        pytest.param({"key_id": "ab" * 16}, RosterError, "not signed by site-0", id="key-id"),
        pytest.param({"key_id": "../../../../x"}, FormatError, "key_id: expected 32", id="no-key-id"),
        pytest.param({"wrapped": bytes(WRAPPED_BYTES)}, RosterError, "not signed by site-0", id="wrapped"),
        pytest.param({"wrapped": b""}, FormatError, "wrapped key: expected 16400", id="wrapped-empty"),
        pytest.param({"boxes": (bytes(BOX_BYTES),) * 3}, RosterError, "not signed by site-0", id="boxes"),
        pytest.param({"boxes": (bytes(BOX_BYTES),) * 4}, FormatError, "expected 3 of 80 bytes", id="a-box-too-many"),
        pytest.param({"boxes": (bytes(BOX_BYTES - 1),) * 3}, FormatError, "expected 3 of 80 bytes", id="short-box"),
        pytest.param({"signature": bytes(64)}, RosterError, "not signed by site-0", id="signature"),
    ],
)
def test_a_grant_of_which_anything_was_changed_is_refused(grant, changes, error, message):
    with pytest.raises(error, match=message):
        replace(grant, **changes)


def test_a_grant_survives_json(grant):
    assert KeyGrant.from_json(grant.to_json()) == grant
    assert "\n" not in grant.to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"format": "nasturtium.roster"}, "expected a document of format", id="format"),
        pytest.param({"version": 2}, "upgrade nasturtium", id="newer"),
        pytest.param({"more": 1}, "expected the fields", id="a-field-too-many"),
        pytest.param({"key_id": None}, "key_id: expected 32", id="key-id-null"),
        pytest.param({"wrapped": "AB"}, "wrapped key: expected 32800", id="wrapped-short"),
        pytest.param({"boxes": {}}, "'boxes' as a list", id="boxes-object"),
        pytest.param({"boxes": [1, 2, 3]}, "box: expected 160", id="boxes-numbers"),
        pytest.param({"roster": None}, "expected a nasturtium.roster", id="no-roster"),
        pytest.param({"signature": "00"}, "signature: expected 128", id="signature-short"),
    ],
)
def test_a_document_that_is_no_grant_is_refused(grant, changes, message):
    with pytest.raises(FormatError, match=message):
        KeyGrant.from_json(json.dumps({**grant.to_dict(), **changes}))


def test_a_document_too_long_is_refused_before_it_is_parsed():
    with pytest.raises(FormatError, match="expected at most"):
        KeyGrant.from_json(" " * (MAX_GRANT_BYTES + 1))


@settings(max_examples=200)
@given(data=st.data())
def test_a_mutated_grant_is_refused(grant, data):
    text = grant.to_json()
    place = data.draw(st.integers(0, len(text) - 1) | st.integers(33_000, len(text) - 1))
    letter = data.draw(st.sampled_from('0123456789abcdefxA",:[]{}n-. '))
    if letter != text[place]:
        with pytest.raises((FormatError, RosterError, SignatureError)):
            KeyGrant.from_json(text[:place] + letter + text[place + 1 :])


def test_a_grant_of_strangers_is_for_others():
    strangers = [identity(f"far-{i}") for i in range(3)]
    roster = complete(Roster.draft([each.public for each in strangers], issuer="far-0"), strangers)
    later = complete(roster.successor(), strangers)
    for each in (roster, later):
        with pytest.raises(RosterError, match="site-1 is not a member in this roster"):
            open_grant(SITES[1], issue_key(strangers[0], each)[0], ROSTER)


def test_a_member_that_left_opens_no_later_key():
    later = complete(ROSTER.successor(add=[NEW.public], without=["site-2"]), [*SITES[:2], NEW])
    grant, _ = issue_key(SITES[0], later)
    assert len(grant.boxes) == 3
    with pytest.raises(RosterError, match="you are not in the roster of epoch 2: you were taken out"):
        open_grant(SITES[2], grant, ROSTER)
    with pytest.raises(RosterError, match="site-2 is not a member"):
        open_grant(SITES[2], grant, later)
    again = identity("site-2", 1)  # somebody else in its place: that is not to be passed over
    exchanged = complete(ROSTER.successor(add=[again.public], without=["site-2"]), [*SITES[:2], again])
    with pytest.raises(RosterError, match="another key under the name site-2"):
        open_grant(SITES[2], issue_key(SITES[0], exchanged)[0], ROSTER)
    for box, member in zip(grant.boxes, later.members, strict=True):
        with pytest.raises(PrivacyError, match="cannot be opened"):
            SITES[2].unseal(box, box_context(later, grant.key_id, member.id))
