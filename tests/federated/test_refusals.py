"""What the coordinator learns of an exception at a site: one of a few codes."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from nasturtium.core import ConfigError, DataError, FormatError, NasturtiumError
from nasturtium.federated import LocalGrid, make_client_app
from nasturtium.federated.errors import (
    ApprovalNeededError,
    AuditError,
    CeremonyPendingError,
    FederationError,
    PlanError,
    PolicyError,
    Refusal,
)
from nasturtium.federated.protocol.answers import join_contents, refusal_from_content, split_content
from nasturtium.federated.protocol.records import outgoing, plan_to_content, sign_content
from nasturtium.federated.site.refusals import refusal_of
from nasturtium.privacy import errors as privacy_errors

SECRET = "row 7: age 93, 'Erika Mustermann'"
CASES = [
    (PolicyError(SECRET, rule="min_rows"), "policy"),
    (privacy_errors.BudgetExhaustedError(SECRET), "budget"),
    (PlanError(SECRET), "message"),
    (PlanError(SECRET, refusal=Refusal.SCHEMA), "schema"),
    (privacy_errors.ReplayedUpdateError(SECRET), "order"),
    (privacy_errors.WrongKeyError(SECRET), "key"),
    (privacy_errors.KeyFileError(SECRET), "key"),
    (privacy_errors.RosterError(SECRET), "key"),
    (privacy_errors.SharesError(SECRET), "masks"),
    (privacy_errors.PrivacyError(SECRET), "sum"),
    (ApprovalNeededError(SECRET), "not-ready"),
    (CeremonyPendingError(SECRET), "not-ready"),
    (AuditError(SECRET), "disk"),
    (OSError(28, SECRET), "disk"),
    (DataError(SECRET), "data"),
    (ConfigError(SECRET), "message"),
    (FormatError(SECRET), "message"),
    (MemoryError(SECRET), "memory"),
    (FederationError(SECRET), "internal"),
    (NasturtiumError(SECRET), "internal"),
    (ValueError(SECRET), "internal"),
    (KeyError(SECRET), "internal"),
    (UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET), "internal"),
    (RecursionError(SECRET), "internal"),
]


@pytest.mark.parametrize(("error", "code"), [pytest.param(*case, id=type(case[0]).__name__) for case in CASES])
def test_an_exception_leaves_as_a_code(error, code, make_site, make_plan, coordinator, monkeypatch, caplog):
    site = make_site()

    def follow(plan):
        raise error

    monkeypatch.setattr(site, "follow", follow)
    reply = ask(site, None, question(make_plan(), coordinator))
    assert code_of(reply) == code
    assert SECRET not in str(reply)
    assert caplog.records  # what is behind it, for the site


def test_every_error_of_privacy_has_a_code_of_its_own():
    kinds = [
        kind
        for kind in vars(privacy_errors).values()
        if isinstance(kind, type) and kind.__module__.endswith("privacy.errors")
    ]
    assert len(kinds) > 15
    assert {refusal_of(kind("x")) for kind in kinds} <= set(Refusal) - {Refusal.INTERNAL}


@pytest.mark.parametrize("text", ["", "POLICY", "policy ", SECRET, "_value_", "\0", "x" * 10_000])
def test_what_is_no_code_is_not_passed_on(text):
    assert Refusal.told(text) is Refusal.INTERNAL


def test_codes_are_read_back():
    assert all(Refusal.told(code.value) is code for code in Refusal)


class Recorder:
    """A guard that notes what it is asked, and may say no."""

    def __init__(self, *, at_first=None, at_last=None):
        self.at_first, self.at_last = at_first, at_last
        self.seen = []

    def before(self, action, asked):
        self.seen.append(("before", action, asked.round))
        if self.at_first:
            raise self.at_first

    def leaving(self, action, asked, outgoing):
        self.seen.append(("leaving", action, outgoing))
        if self.at_last:
            raise self.at_last

    def refused(self, action, asked, code, error):
        self.seen.append(("refused", action, code.value, str(error)))


def question(plan, coordinator) -> RecordDict:
    return sign_content(join_contents([plan_to_content(plan)]), coordinator)


def code_of(reply: Message) -> str | None:
    """What a site said instead of an answer: to the message, or to its only question."""
    if reply.has_error():
        return reply.error.reason
    [part] = split_content(RecordDict({name: each for name, each in reply.content.items() if name != "signature"}))
    return refusal_from_content(part)


def ask(site, guard, content):
    with LocalGrid(make_client_app(lambda context: site, guard), 1) as grid:
        [node] = grid.get_node_ids()
        [reply] = grid.send_and_receive([Message(content, node, "train")])
    return reply


def test_a_guard_is_asked_before_and_sees_what_leaves(make_site, make_plan, coordinator):
    guard = Recorder()
    reply = ask(make_site(), guard, question(make_plan(), coordinator))
    assert code_of(reply) is None
    assert [entry[:2] for entry in guard.seen] == [("before", "train"), ("leaving", "train")]
    content = {name.removeprefix("0/"): record for name, record in reply.content.items() if name != "signature"}
    assert guard.seen[1][2] == outgoing(RecordDict(content))
    assert [part.name for part in guard.seen[1][2].parts] == ["status", "update"]
    assert guard.seen[1][2].size > 100


@pytest.mark.parametrize("place", ["at_first", "at_last"])
def test_what_a_guard_refuses_does_not_leave(place, make_site, make_plan, coordinator):
    guard = Recorder(**{place: PolicyError(SECRET, rule="actions")})
    site = make_site()
    reply = ask(site, guard, question(make_plan(), coordinator))
    assert code_of(reply) == "policy"
    assert SECRET not in str(reply)
    assert guard.seen[-1] == ("refused", "train", "policy", SECRET)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(RecordDict(), "signature", id="empty"),
        pytest.param(RecordDict({"plan": ConfigRecord({"run": "x"})}), "signature", id="unsigned"),
    ],
)
def test_what_cannot_be_read_is_refused_and_noted(content, code, make_site):
    guard = Recorder()
    assert ask(make_site(), guard, content).error.reason == code
    assert [entry[:3] for entry in guard.seen] == [("refused", None, code)]


def test_a_site_that_is_not_found_is_refused_and_noted():
    def lost(context: Context):
        raise ConfigError(SECRET)

    guard = Recorder()
    with LocalGrid(make_client_app(lost, guard), 1) as grid:
        [node] = grid.get_node_ids()
        [reply] = grid.send_and_receive([Message(RecordDict(), node, "train")])
    assert reply.error.reason == "message"
    assert [entry[:3] for entry in guard.seen] == [("refused", None, "message")]
