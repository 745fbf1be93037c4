"""The key of a federation: who signs what, who gets it, and what stops it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nasturtium.core import NasturtiumError
from nasturtium.federated.errors import ApprovalNeededError, CeremonyPendingError, PlanError
from nasturtium.federated.protocol.ceremony import CeremonyStep, draft_roster, hold_ceremony
from nasturtium.federated.site.ceremony import SiteCeremony, approve, proposed_roster
from nasturtium.privacy import KeyFolder, RosterError, SiteFolder


class Parties:
    """A coordinator and its sites, whose messages are function calls."""

    def __init__(self, folder: Path, names: str) -> None:
        self.coordinator = KeyFolder.create(folder / "hub", "hub")
        self.folders = {name: SiteFolder.create(folder / name, name) for name in names}
        self.absent: set[str] = set()
        self.change: Callable[[CeremonyStep, str], str] = lambda step, answer: answer

    def public(self, names: str):
        return [self.folders[name].public() for name in names]

    def ask(self, step: CeremonyStep, documents: Mapping[str, str]) -> dict[str, str]:
        answers: dict[str, str] = {}
        for name, folder in self.folders.items():
            site = folder.public().id
            if site in documents and name not in self.absent:
                try:
                    answer = SiteCeremony(folder, self.coordinator.public()).answer(step, documents[site])
                except NasturtiumError:
                    continue
                answers[site] = self.change(step, answer)
        return answers

    def hold(self, names: str):
        return hold_ceremony(self.coordinator, self.public(names), self.ask)

    def approve(self, names: str) -> None:
        for name in names:
            roster = proposed_roster(self.folders[name])
            assert roster is not None
            approve(self.folders[name], roster.fingerprint)


@pytest.fixture
def parties(tmp_path):
    return Parties(tmp_path, "abcd")


def test_sites_share_a_key_once_all_have_signed(parties):
    with pytest.raises(CeremonyPendingError, match="a, b and c have not signed") as pending:
        parties.hold("abc")
    assert sorted(pending.value.waiting) == ["a", "b", "c"]
    parties.approve("ab")
    with pytest.raises(CeremonyPendingError, match=r"c has not signed the roster of epoch 1 yet.*fingerprint"):
        parties.hold("abc")
    parties.approve("c")
    grant = parties.hold("abc")
    keys = {parties.folders[name].aggregation_key().to_bytes() for name in "abc"}
    assert len(keys) == 1
    assert parties.coordinator.grant() == grant
    assert parties.coordinator.key_ids() == ()


def test_holding_it_again_changes_nothing(parties):
    with pytest.raises(CeremonyPendingError):
        parties.hold("abc")
    parties.approve("abc")
    assert parties.hold("abc").key_id == parties.hold("cba").key_id
    assert draft_roster(parties.coordinator, parties.public("bca")) is None


@pytest.mark.parametrize("after", ["abd", "abcd"])
def test_who_comes_or_goes_makes_another_key(parties, after):
    with pytest.raises(CeremonyPendingError):
        parties.hold("abc")
    parties.approve("abc")
    first = parties.hold("abc")
    with pytest.raises(CeremonyPendingError):
        parties.hold(after)
    parties.approve(after)
    second = parties.hold(after)
    assert (second.roster.epoch, second.roster.previous) == (2, first.roster.sha256)
    assert second.key_id != first.key_id
    held = {name for name in "abcd" if second.key_id in parties.folders[name].key_ids()}
    assert held == set(after)


@pytest.mark.parametrize("step", ["sign", "issue", "receive"])
def test_a_site_that_is_absent_is_waited_for(parties, step):
    with pytest.raises(CeremonyPendingError):
        parties.hold("abc")
    parties.approve("abc")

    def ask(asked, documents):
        parties.absent = {"a", "b", "c"} if asked == step else set()
        return parties.ask(asked, documents)

    with pytest.raises(CeremonyPendingError) as pending:
        hold_ceremony(parties.coordinator, parties.public("abc"), ask)
    assert pending.value.waiting
    parties.absent = set()
    grant = parties.hold("abc")
    assert {parties.folders[name].grant() for name in "abc"} == {grant}


@pytest.mark.parametrize("step", ["sign", "issue", "receive"])
def test_a_site_that_answers_nonsense_is_waited_for(parties, step):
    with pytest.raises(CeremonyPendingError):
        parties.hold("abc")
    parties.approve("abc")
    parties.change = lambda asked, answer: answer[: len(answer) // 2] if asked == step else answer
    with pytest.raises(CeremonyPendingError):
        parties.hold("abc")
    parties.change = lambda asked, answer: answer
    assert parties.hold("abc").roster.epoch == 1


def test_a_roster_is_not_signed_unseen(parties):
    roster = draft_roster(parties.coordinator, parties.public("abc"))
    assert roster is not None
    site = SiteCeremony(parties.folders["a"], parties.coordinator.public())
    with pytest.raises(ApprovalNeededError, match="fingerprint is"):
        site.answer("sign", roster.to_json())
    assert parties.folders["a"].signed_roster() is None
    with pytest.raises(RosterError, match="not the one you were told"):
        approve(parties.folders["a"], "ab" * 32)
    assert approve(parties.folders["a"], roster.fingerprint.upper()).sha256 == roster.sha256
    assert proposed_roster(parties.folders["a"]) is None
    with pytest.raises(RosterError, match="no roster waits"):
        approve(parties.folders["a"], roster.fingerprint)


def test_a_fingerprint_in_the_configuration_signs_that_roster_alone(parties):
    roster = draft_roster(parties.coordinator, parties.public("abc"))
    other = draft_roster(parties.coordinator, parties.public("abcd"))
    assert roster is not None
    assert other is not None
    folder = parties.folders["a"]
    site = SiteCeremony(folder, parties.coordinator.public(), fingerprint=roster.fingerprint)
    with pytest.raises(ApprovalNeededError):
        site.answer("sign", other.to_json())
    site.answer("sign", roster.to_json())
    signed = folder.signed_roster()
    assert signed is not None
    assert signed.sha256 == roster.sha256


def test_another_coordinator_is_not_followed(parties, tmp_path):
    impostor = KeyFolder.create(tmp_path / "other", "other")
    roster = draft_roster(impostor, parties.public("abc"))
    assert roster is not None
    site = SiteCeremony(parties.folders["a"], parties.coordinator.public(), fingerprint=roster.fingerprint)
    with pytest.raises(PlanError, match="another coordinator than hub"):
        site.answer("sign", roster.to_json())


@pytest.mark.parametrize(("names", "said"), [("", "no site is admitted"), ("ab", "expected 3 to 1000 members, got 2")])
def test_too_few_sites_get_no_key(parties, names, said):
    with pytest.raises(RosterError, match=said):
        parties.hold(names)
