"""What a site takes part in: rule by rule, and end to end with real sites: refusals are codes, and entries of a log."""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf

import pytest

from nasturtium.core import ConfigError
from nasturtium.federated import LocalGrid, MemoryJournal, RelayStrategy, make_client_app
from nasturtium.federated.agreement.plan import AgreementPlan
from nasturtium.federated.errors import FederationError, PolicyError
from nasturtium.federated.protocol.rounds import MaskRequest, MaskTerms, PrivacyTerms
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.site.audit import AuditLog
from nasturtium.federated.site.policy import SitePolicy
from nasturtium.federated.site.policy_guard import SiteGuard
from nasturtium.privacy import (
    BudgetExhaustedError,
    DiscreteGaussianSum,
    EncryptedSum,
    ExactRelease,
    Header,
    KeyFileError,
    PlainAdder,
)

MASKS = MaskTerms(roster_sha256="00" * 32, threshold=5, colluders=1)
NOISE = PrivacyTerms(
    clip=1.0, value_range=1.0, sigma=5.0, distribution="discrete-gaussian", fewest_sites=3, colluders=1
)
OPEN = SitePolicy(require_masks=False)
EVENT = DiscreteGaussianSum(sigma=10.0, sites=3, l2=100.0, dimension=10, tail_delta=0.0)


@pytest.fixture
def make_sum(coordinator):
    def make(summands: int) -> bytes:
        header = Header(
            preset="00" * 8,
            key_id="00" * 16,
            run="01JRUN",
            round=1,
            attempt=1,
            sender=coordinator.public.id,
            layout="00" * 32,
            values=4,
            summands=summands,
            ciphertexts=0,
        )
        return EncryptedSum.sign(header, b"x" * 100, coordinator).to_bytes()

    return make


def request(threshold: int) -> MaskRequest:
    terms = replace(MASKS, threshold=threshold)
    return MaskRequest(run="r", round=1, attempt=1, step="share", layout="00" * 32, terms=terms, payload=b"")


def agreement(**changes) -> AgreementPlan:
    fields = {"run": "r", "round": 1, "step": "answer", "question": "{}", "preset": "x", "masks": MASKS} | changes
    return AgreementPlan(**fields)


def test_rounds_that_a_policy_allows(make_plan):
    for policy in (OPEN, SitePolicy()):
        policy.check("train", make_plan(masks=MASKS), rows=100)
        policy.check("report", make_plan(phase="report", round=5000, masks=MASKS), rows=100)
        policy.check("agree", agreement(), rows=100)
        policy.check("masks", request(3), rows=100)
        for action in ("hello", "keys", "checkpoint"):
            policy.check(action, make_plan(), rows=0)
    SitePolicy(max_epsilon=2.0).check("train", make_plan(masks=MASKS, privacy=NOISE), rows=20)
    SitePolicy(allow_plain=True, require_masks=False).check("train", make_plan(), rows=20, plain=True)


FORBIDDEN = [
    ("actions", "train", {}, {"actions": ("evaluate",)}, {}),
    ("actions", "evaluate", {}, {"actions": ("train",)}, {}),
    ("actions", "search", {}, {"actions": ("train",)}, {}),
    ("actions", "checkpoint", {}, {"actions": ("train",)}, {}),
    ("actions", "release", {}, {}, {}),
    ("min_rows", "train", {}, {"min_rows": 101}, {}),
    ("min_rows", "masks", {}, {"min_rows": 101}, {}),
    ("max_rounds", "train", {"round": 8}, {"max_rounds": 7}, {}),
    ("require_masks", "train", {"masks": None}, {}, {}),
    ("require_masks", "report", {"masks": None, "phase": "report"}, {}, {}),
    ("min_sites", "train", {"masks": MASKS}, {"min_sites": 6}, {}),
    ("max_epsilon", "train", {}, {"max_epsilon": 8.0}, {}),
    ("max_epsilon", "evaluate", {"phase": "evaluate"}, {"max_epsilon": 8.0}, {}),
    ("allow_plain", "train", {}, {}, {"plain": True}),
    ("strategies", "train", {}, {"strategies": ("fedadam",)}, {}),
]


@pytest.mark.parametrize(
    ("rule", "action", "plan", "policy", "given"), [pytest.param(*case, id="-".join(case[:2])) for case in FORBIDDEN]
)
def test_what_a_policy_forbids_names_its_rule(rule, action, plan, policy, given, make_plan):
    asked = request(3) if action == "masks" else make_plan(**{"masks": MASKS} | plan)
    with pytest.raises(PolicyError) as caught:
        SitePolicy(**policy).check(action, asked, rows=100, **given)
    assert caught.value.rule == rule


def test_an_agreement_is_under_the_policy_too():
    for rule, policy, changes in (
        ("max_epsilon", SitePolicy(max_epsilon=1.0), {}),
        ("require_masks", SitePolicy(), {"masks": None}),
        ("min_sites", SitePolicy(min_sites=6), {}),
    ):
        with pytest.raises(PolicyError) as caught:
            policy.check("agree", agreement(**changes), rows=100)
        assert caught.value.rule == rule


@pytest.mark.parametrize("sites", [3, 4, 9])
def test_a_sum_of_too_few_sites_is_not_opened(sites, make_sum, make_plan):
    policy = replace(OPEN, min_sites=5)
    plan = make_plan(round=2, total=make_sum(sites))
    if sites >= 5:
        policy.check("train", plan, rows=100)
        return
    with pytest.raises(PolicyError, match=f"a sum of {sites} sites, of at least 5"):
        policy.check("train", plan, rows=100)


@pytest.mark.parametrize("total", [b"x", b"\0" * 500, b"nasturtium"])
def test_what_is_no_sum_is_left_to_the_site(total, make_plan):
    OPEN.check("train", make_plan(round=2, total=total), rows=100)


def test_the_model_is_given_to_whom_the_policy_names():
    policy = SitePolicy(actions=("release",), release_to=("coordinator",))
    policy.check_release("coordinator")
    for other, rule in ((SitePolicy(), "actions"), (SitePolicy(actions=("release",)), "release_to")):
        with pytest.raises(PolicyError) as caught:
            other.check_release("coordinator")
        assert caught.value.rule == rule
    with pytest.raises(PolicyError, match="may be given to coordinator, and not to 'stranger'"):
        policy.check_release("stranger")


# --- the budget ---


def test_a_budget_counts_over_restarts_and_changes_of_the_policy(tmp_path, caplog):
    path = tmp_path / "budget.json"
    loose = SitePolicy()  # no limit, but counted
    for _ in range(3):
        loose.budget(path).authorise([(EVENT, 1)])
    spent = loose.budget(path).spent()
    assert (spent.details["events"][0]["count"], 0 < spent.epsilon < inf) == (3, True)
    strict = SitePolicy(max_epsilon=spent.epsilon * 1.01)
    assert strict.budget(path).spent().epsilon == spent.epsilon
    assert "what was spent stays" in caplog.text
    with pytest.raises(BudgetExhaustedError):
        strict.budget(path).authorise([(EVENT, 5)])
    assert SitePolicy(max_epsilon=100.0).budget(path).spent().epsilon == spent.epsilon
    assert SitePolicy(delta=1e-3).budget(path).spent().details == spent.details


def test_a_release_without_noise_counts_for_good(tmp_path):
    path = tmp_path / "budget.json"
    SitePolicy().budget(path).authorise([(ExactRelease(what="sum"), 1)])
    with pytest.raises(BudgetExhaustedError):
        SitePolicy(max_epsilon=1000.0).budget(path).authorise([(EVENT, 1)])


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("content", ["", "{}", "\0" * 50, '{"format": "nasturtium.privacy-budget"}', "loop", "folder"])
def test_a_damaged_budget_is_never_a_new_one(content, tmp_path):
    path = tmp_path / "budget.json"
    if content == "loop":
        path.symlink_to(path)
    elif content == "folder":
        path.mkdir()
    else:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(KeyFileError):
        SitePolicy().budget(path)


# --- end to end ---


@pytest.fixture
def federate(make_site, make_federation_plan, preset, coordinator, tmp_path):
    """Run three and more sites, each under its policy; returns what each one's log says and the rounds' results."""

    def run(*policies: SitePolicy, budgets=None, plain: bool = True, **changes):
        sites = [
            make_site(index, budget=None if budgets is None else budgets[index - 1])
            for index in range(1, len(policies) + 1)
        ]
        logs = [AuditLog(tmp_path / site.name) for site in sites]
        apps = [
            make_client_app(
                lambda context: sites[partition_id(context)], SiteGuard(policy=policy, log=log, rows=12, plain=plain)
            )
            for policy, log in zip(policies, logs, strict=True)
        ]

        class PerNode(type(apps[0])):
            def __call__(self, message, context):
                return apps[partition_id(context)](message, context)

        results = []
        members = {FIRST_NODE_ID + place: site.identity for place, site in enumerate(sites)}
        with LocalGrid(PerNode(), len(sites)) as grid:
            strategy = RelayStrategy(make_federation_plan(**changes), PlainAdder(preset), members, coordinator)
            try:
                strategy.run(grid, MemoryJournal(results.append))
            except FederationError as exc:
                results.append(exc)
        return logs, results

    return run


PLAIN = SitePolicy(allow_plain=True, require_masks=False, min_rows=1)


def test_a_site_keeps_its_policy_and_the_others_go_on(federate):
    """It is in no sum; the coordinator learns a code; its log has the reason."""
    strict = replace(PLAIN, max_rounds=1)
    logs, results = federate(PLAIN, PLAIN, PLAIN, strict)
    assert [(each.round, each.phase, each.accepted) for each in results] == [
        (1, "train", 4),
        (2, "train", 3),
        (3, "evaluate", 3),
        (4, "report", 3),
    ]
    [refused] = [outcome for outcome in results[1].outcomes if outcome.reason]
    assert refused.site == "site-4"
    assert "policy" in refused.reason
    assert "max_rounds" not in str(results)
    entries = {entry.round: entry for entry in logs[3].entries()}
    assert (entries[1].refused, entries[2].refused) == (None, "policy")
    assert entries[2].reason == "max_rounds: asked to train in round 2, of at most 1"
    assert all(log.verify().entries >= 3 for log in logs)


def test_who_takes_part_in_no_search_still_trains(federate):
    """Candidates are told from other runs by their plans; a site that refuses them says so by a code."""
    no_search = replace(PLAIN, actions=("train", "evaluate"))
    logs, results = federate(PLAIN, PLAIN, PLAIN, no_search, search="01JSEARCH")
    assert [each.accepted for each in results] == [3, 3, 3, 3]
    [refused] = [outcome for outcome in results[0].outcomes if outcome.reason]
    assert (refused.site, "policy" in refused.reason) == ("site-4", True)
    first = list(logs[3].entries())[-1]
    assert (first.action, first.refused) == ("search", "policy")
    assert first.reason == "actions: asked to search, which is none of train, evaluate"
    assert [entry.action for entry in logs[1].entries()][::-1] == ["search", "search", "search", "report"]


def test_a_policy_without_searches_allows_the_rest(federate):
    _, results = federate(*[replace(PLAIN, actions=("train", "evaluate"))] * 3)
    assert [each.accepted for each in results] == [3, 3, 3, 3]


def test_the_log_has_all_that_left(federate):
    logs, results = federate(PLAIN, PLAIN, PLAIN)
    entries = list(logs[0].entries())[::-1]
    assert [(entry.action, entry.round, entry.refused) for entry in entries] == [
        ("train", 1, None),
        ("train", 2, None),
        ("evaluate", 3, None),
        ("report", 4, None),
    ]
    assert all(entry.run == "01JRUN" and len(entry.sha256) == 64 for entry in entries)
    for entry, result in zip(entries, results, strict=True):
        [sent] = [outcome.bytes_up for outcome in result.outcomes if outcome.site == "site-1"]
        assert entry.bytes >= sent >= 0
        assert entry.holds
        assert not any("not described" in words for words in entry.holds)
    assert logs[0].verify(entries[1].hash).left == 4


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"min_rows": 13}, "min_rows: this site has 12 training rows, of at least 13"),
        ({"actions": ("evaluate",)}, "actions: asked to train, which is none of evaluate"),
        ({"allow_plain": False}, "allow_plain: updates would leave without encryption"),
        ({"max_epsilon": 1.0}, "max_epsilon: the run has no noise"),
        ({"strategies": ("fedprox",)}, "strategies: the strategy fedavg, of fedprox"),
    ],
)
def test_nobody_takes_part_in_what_all_forbid(changes, rule, federate):
    logs, results = federate(*[replace(PLAIN, **changes)] * 3)
    assert isinstance(results[-1], FederationError)
    assert "policy" in str(results[-1])
    assert rule.partition(":")[2] not in str(results)
    for log in logs:
        entry = next(iter(log.entries()))
        assert (entry.refused, entry.bytes) == ("policy", 0)
        assert entry.reason.startswith(rule)


def test_a_budget_that_is_spent_is_a_code(federate, tmp_path):
    """The run has no noise, and the site's budget an end."""
    budget = SitePolicy(max_epsilon=5.0).budget(tmp_path / "budget.json")
    logs, results = federate(PLAIN, PLAIN, PLAIN, PLAIN, budgets=[budget, None, None, None])
    assert [each.accepted for each in results] == [3, 3, 3, 4]  # the last only hands the model over
    [reason] = [outcome.reason for outcome in results[0].outcomes if outcome.reason]
    assert "budget" in reason
    assert {entry.refused for entry in logs[0].entries()} >= {"budget"}
    assert all(entry.reason is None for entry in logs[0].entries())


def test_nothing_leaves_that_cannot_be_noted(federate, tmp_path):
    (tmp_path / "site-1").write_text("no folder")
    _, results = federate(PLAIN, PLAIN, PLAIN, PLAIN)
    assert [each.accepted for each in results] == [3, 3, 3, 3]
    [reason] = [outcome.reason for outcome in results[0].outcomes if outcome.reason]
    assert "disk" in reason


def test_words_for_an_operator():
    said = SitePolicy(max_epsilon=8, tell_rows=True, release_to=("coordinator",)).words
    assert "epsilon 8 at most, ever, at delta 1e-05" in said[2]
    assert said[4].startswith("tells rows, columns of itself")
    assert "gives the model to coordinator" in said
    with pytest.raises(ConfigError, match="allow_plain"):
        SitePolicy(allow_plain=True)
