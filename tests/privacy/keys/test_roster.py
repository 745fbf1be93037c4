"""Rosters: nothing counts before all have signed, nothing in one can be changed, and epochs only go up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.privacy.errors import RosterError, SignatureError, UnknownSenderError
from nasturtium.privacy.keys.identity_secret import Identity
from nasturtium.privacy.keys.roster import MAX_MEMBERS, MAX_ROSTER_BYTES, ROSTER_DOMAIN, Roster


def identity(name: str, number: int = 0) -> Identity:
    """Always the same one for a name and number."""
    return Identity(name, hashlib.sha512(f"{name} {number}".encode()).digest())


SITES = [identity(f"site-{i}") for i in range(3)]
NEW = identity("site-3")
HUB = identity("hub")
MALLORY = identity("mallory")


def draft(sites: list[Identity] = SITES, **options) -> Roster:
    options = {"issuer": sites[0].public.name, "coordinator": HUB.public, **options}
    return Roster.draft([site.public for site in sites], **options)


def complete(roster: Roster, sites: list[Identity] = SITES) -> Roster:
    for site in sites:
        roster = roster.signed(site)
    return roster


FIRST = complete(draft())


def test_a_roster_counts_once_all_members_signed():
    roster = draft()
    for i, site in enumerate(SITES):
        with pytest.raises(RosterError, match=f"not signed by {3 - i} of its 3 members"):
            roster.verify()
        assert len(roster.unsigned) == 3 - i
        roster = roster.signed(site)
    roster.verify()
    assert roster.unsigned == ()


def test_members_sign_the_hash_of_everything_but_the_signatures():
    document = {name: value for name, value in FIRST.to_dict().items() if name != "signatures"}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    assert FIRST.sha256 == digest.hex() == FIRST.fingerprint.replace(" ", "")
    for member, signature in zip(FIRST.members, FIRST.signatures, strict=True):
        member.verify(ROSTER_DOMAIN, digest, signature)


def test_the_order_in_which_members_are_listed_or_sign_does_not_matter():
    other = complete(draft([*reversed(SITES)], issuer="site-0"), [*reversed(SITES)])
    assert other == FIRST


def test_copies_signed_apart_are_gathered():
    first, second, third = (draft().signed(site) for site in SITES)
    assert first.merged(second).merged(third) == FIRST
    with pytest.raises(RosterError, match="not copies of one roster"):
        first.merged(draft(coordinator=None))


def test_members_are_found_by_id():
    assert [FIRST.member(site.public.id) for site in SITES] == [site.public for site in SITES]
    for stranger in (HUB.public.id, MALLORY.public.id, "", "x" * 1000):
        with pytest.raises(UnknownSenderError, match="is no member at epoch 1"):
            FIRST.member(stranger)


@pytest.mark.parametrize("place", range(3))
def test_a_key_exchanged_under_way_is_found(place):
    """By its owner, who is not on the list; by the others, whose signatures are of another hash."""
    swapped = [*SITES]
    swapped[place] = identity(SITES[place].public.name, 1)
    forged = draft(swapped)
    assert forged.sha256 != FIRST.sha256
    with pytest.raises(RosterError, match=f"another key under the name site-{place}"):
        forged.signed(SITES[place])
    with pytest.raises(RosterError, match="not copies"):
        forged.merged(FIRST)
    with pytest.raises(RosterError, match="something in it was changed"):
        replace(forged, signatures=FIRST.signatures)


def test_who_is_no_member_cannot_sign():
    for stranger in (HUB, MALLORY):
        with pytest.raises(RosterError, match=f"{stranger.public.name} is not a member"):
            draft().signed(stranger)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"epoch": 2}, "lacks one before it", id="epoch-without-previous"),
        pytest.param({"previous": "ab" * 32}, "names one before it", id="first-with-previous"),
        pytest.param({"epoch": 2, "previous": "ab" * 32}, "something in it was changed", id="epoch"),
        pytest.param({"epoch": 0}, "integer from 1", id="epoch-zero"),
        pytest.param({"epoch": True}, "integer from 1", id="epoch-bool"),
        pytest.param({"epoch": 2**31}, "integer from 1", id="epoch-too-large"),
        pytest.param({"epoch": "1"}, "integer from 1", id="epoch-text"),
        pytest.param({"coordinator": None}, "something in it was changed", id="coordinator"),
        pytest.param({"issuer": SITES[1].public.id}, "something in it was changed", id="issuer"),
        pytest.param({"issuer": HUB.public.id}, "is not a member", id="issuer-is-the-coordinator"),
        pytest.param({"members": FIRST.members[::-1]}, "not in the order", id="order"),
        pytest.param({"members": FIRST.members[:1]}, "expected 3 to 1000 members, got 1", id="one-member"),
        pytest.param({"members": FIRST.members[:2]}, "expected 3 to 1000 members, got 2", id="member-left-out"),
        pytest.param({"members": (FIRST.members[0], *FIRST.members)}, "same name", id="member-twice"),
        pytest.param({"signatures": FIRST.signatures[::-1]}, "is not for this roster", id="signatures-of-others"),
        pytest.param({"signatures": FIRST.signatures[:2]}, "places for 2", id="too-few-signatures"),
    ],
)
def test_a_roster_of_which_anything_was_changed_is_refused(changes, message):
    with pytest.raises(RosterError, match=message):
        replace(FIRST, **changes)


@pytest.mark.parametrize(
    ("members", "coordinator", "what"),
    [
        pytest.param([*SITES, identity("site-0", 1)], HUB, "name", id="name"),
        pytest.param([*SITES, identity("SITE-0", 1)], HUB, "name", id="name-in-other-letters"),
        pytest.param([*SITES, identity("hub", 1)], HUB, "name", id="name-of-the-coordinator"),
        pytest.param(
            [*SITES, Identity("b", SITES[0].secret_bytes()[:32] + bytes(32))], HUB, "signing key", id="signing-key"
        ),
        pytest.param(
            [*SITES, Identity("b", bytes(32) + SITES[0].secret_bytes()[32:])], HUB, "sealing key", id="sealing-key"
        ),
        pytest.param(
            SITES, Identity("b", bytes(32) + SITES[0].secret_bytes()[32:]), "sealing key", id="coordinator-can-unseal"
        ),
    ],
)
def test_two_parties_cannot_be_taken_for_each_other(members, coordinator, what):
    with pytest.raises(RosterError, match=f"the same {what}"):
        draft(members, coordinator=coordinator.public)


def test_the_coordinator_is_no_member():
    with pytest.raises(RosterError, match="site-1 is the coordinator, and cannot be a member"):
        draft(coordinator=SITES[1].public)
    with pytest.raises(RosterError, match="hub is the coordinator, and cannot be a member"):
        FIRST.successor(add=[HUB.public])


def test_fewer_than_three_members_get_no_key():
    with pytest.raises(RosterError, match=r"expected 3 to 1000 members, got 2 .*sums of fewer than three sites"):
        draft(SITES[:2])
    with pytest.raises(RosterError, match=r"expected 3 to 1000 members, got 2 .*--add"):
        FIRST.successor(without=["site-2"])


def test_an_issuer_is_a_member():
    with pytest.raises(RosterError, match=r"no member is called 'hub'.*members: site-"):
        draft(issuer="hub")


# Changes of members.


def test_the_next_roster_names_the_one_before():
    second = FIRST.successor(add=[NEW.public], without=["site-1"])
    assert (second.epoch, second.previous, second.coordinator) == (2, FIRST.sha256, HUB.public)
    assert {member.name for member in second.members} == {"site-0", "site-2", "site-3"}
    assert second.issuer == FIRST.issuer
    assert len(second.unsigned) == 3
    second.check_follows(FIRST)
    with pytest.raises(RosterError, match="site-1 is not a member"):
        second.signed(SITES[1])


def test_only_a_complete_roster_has_a_next_one():
    with pytest.raises(RosterError, match="not signed by 3"):
        draft().successor()


def test_a_member_can_come_back_with_a_new_key():
    again = identity("site-1", 1)
    second = FIRST.successor(add=[again.public], without=["site-1"])
    assert second.member(again.public.id).name == "site-1"
    with pytest.raises(RosterError, match="same name"):
        FIRST.successor(add=[again.public])


def test_an_issuer_that_goes_needs_a_successor():
    with pytest.raises(RosterError, match="say which member makes the new one: --issuer"):
        FIRST.successor(add=[NEW.public], without=["site-0"])
    assert FIRST.successor(add=[NEW.public], without=["site-0"], issuer="site-1").issuer == SITES[1].public.id
    with pytest.raises(RosterError, match="no member is called 'site-0'"):
        FIRST.successor(without=["site-0"], issuer="site-0")


def test_who_is_no_member_cannot_be_left_out():
    with pytest.raises(RosterError, match="no member is called 'site-9'"):
        FIRST.successor(without=["site-9"])


SECOND = complete(FIRST.successor(add=[NEW.public], without=["site-2"]), [*SITES[:2], NEW])
FORK = complete(draft(coordinator=None))


@pytest.mark.parametrize(
    ("known", "roster", "message"),
    [
        pytest.param(SECOND, FIRST, "an old roster: epoch 1, and that of epoch 2 is known", id="replayed"),
        pytest.param(FIRST, FORK, "another roster for epoch 1", id="second-of-an-epoch"),
        pytest.param(FORK, SECOND, "does not continue the one of epoch 1", id="of-another-history"),
    ],
)
def test_a_roster_that_does_not_follow_is_refused(known, roster, message):
    roster.verify()
    with pytest.raises(RosterError, match=message):
        roster.check_follows(known)


def test_a_roster_may_follow():
    FIRST.check_follows(FIRST)
    SECOND.check_follows(FIRST)
    third = complete(SECOND.successor(add=[SITES[2].public]), [*SITES, NEW])
    third.check_follows(FIRST)  # who was out at epoch 2
    assert [roster.epoch for roster in (FIRST, SECOND, third)] == [1, 2, 3]


# JSON from outside.


@settings(max_examples=20)
@given(signers=st.sets(st.sampled_from([*SITES, NEW])), members=st.sampled_from([3, 4]), coordinator=st.booleans())
def test_a_roster_survives_json(signers, members, coordinator):
    sites = [*SITES, NEW][:members]
    roster = draft(sites, coordinator=HUB.public if coordinator else None)
    for site in signers & set(sites):
        roster = roster.signed(site)
    again = Roster.from_json(roster.to_json())
    assert again == roster
    assert again.sha256 == roster.sha256
    assert "\n" not in roster.to_json()


def changed(*path: str | int, to: object) -> str:
    document = json.loads(FIRST.to_json())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        pytest.param(changed("format", to="other"), FormatError, "expected a document of format", id="format"),
        pytest.param(changed("version", to=2), FormatError, "upgrade nasturtium", id="newer"),
        pytest.param(changed("extra", to=1), FormatError, "expected the fields", id="a-field-too-many"),
        pytest.param(changed("members", to={}), FormatError, "'members' as a list", id="members-object"),
        pytest.param(changed("members", to=[None] * 1001), FormatError, "at most 1000", id="too-many-members"),
        pytest.param(changed("members", 0, to=7), FormatError, "expected a nasturtium.identity", id="no-identity"),
        pytest.param(changed("members", 0, "name", to="eve"), SignatureError, "is not that of eve", id="renamed"),
        pytest.param(
            changed("members", 0, to=MALLORY.public.to_dict()), RosterError, "order|was changed", id="exchanged"
        ),
        pytest.param(changed("coordinator", to=MALLORY.public.to_dict()), RosterError, "was changed", id="coordinator"),
        pytest.param(changed("coordinator", to=[]), FormatError, "expected a nasturtium.identity", id="no-coordinator"),
        pytest.param(changed("issuer", to=None), FormatError, "issuer: expected 32", id="issuer-null"),
        pytest.param(changed("previous", to="AB" * 32), FormatError, "previous: expected 64", id="previous-upper-case"),
        pytest.param(changed("epoch", to=1.0), RosterError, "integer from 1", id="epoch-float"),
        pytest.param(changed("signatures", to=None), FormatError, "'signatures' as a list", id="signatures-null"),
        pytest.param(changed("signatures", 0, to=""), FormatError, "signature: expected 128", id="signature-empty"),
        pytest.param(changed("signatures", 0, to="00" * 64), RosterError, "was changed", id="signature-zeros"),
        pytest.param(FIRST.to_json()[:-1], FormatError, "not valid JSON", id="cut-off"),
        pytest.param("[" * 100_000, FormatError, "not valid JSON", id="deep"),
        pytest.param(" " * (MAX_ROSTER_BYTES + 1), FormatError, "at most 1048576 letters", id="long"),
    ],
)
def test_a_document_that_is_no_roster_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        Roster.from_json(text)


@settings(max_examples=300)
@given(data=st.data())
def test_a_mutated_roster_is_refused(data):
    text = FIRST.to_json()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from('0123456789abcdefxA",:[]{}n-. '))
    mutated = text[:place] + letter + text[place + 1 :]
    if letter != text[place]:
        with pytest.raises((FormatError, RosterError, SignatureError)):
            Roster.from_json(mutated)


def test_the_largest_roster_fits_its_bound():
    def size(count: int) -> int:
        sites = [identity(f"{i:0>64}") for i in range(count)]
        return len(complete(draft(sites), sites).to_json())

    each = (size(8) - size(4)) / 4
    assert size(4) + (MAX_MEMBERS - 4) * each < MAX_ROSTER_BYTES
