"""Sites that were told different things do not enter one sum, and follow nothing that the coordinator has not signed.

A coordinator that has all but one site train with a learning rate of nothing would read the one off the sum, masks or
not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from flwr.app import Message

from nasturtium.core import ModelSpec, build, derive_rng
from nasturtium.federated import LocalGrid, MaskRequest, MaskTerms, PlanError, SiteMasks, make_client_app
from nasturtium.federated.protocol.masks import make_masking_plan
from nasturtium.federated.protocol.records import check_content, pack_bytes, plan_to_content, sign_content
from nasturtium.federated.updates.symbols import UpdateSymbols
from nasturtium.privacy import (
    Aggregator,
    AttemptJournal,
    EncryptedUpdate,
    MaskingRound,
    Preset,
    ReplayedUpdateError,
    Sitting,
    WrongLayoutError,
    smallest_threshold,
)

COUNT = 4
OTHERWISE = [
    pytest.param(lambda p: {"training": replace(p.training, learning_rate=1e-30, weight_decay=0.0)}, id="no-learning"),
    pytest.param(lambda p: {"training": replace(p.training, max_rows=10**9)}, id="no-weight"),
    pytest.param(lambda p: {"phase": "evaluate"}, id="no-training"),
    pytest.param(lambda p: {"seed": p.seed + 1}, id="other-weights"),
    pytest.param(lambda p: {"preprocessing": p.preprocessing.replace("scale", "scale", 1) + " "}, id="other-inputs"),
    pytest.param(lambda p: {"quantisation": replace(p.quantisation, bound=9.0)}, id="other-ranges"),
]


def members_of(sites) -> dict:
    return {site.identity.id: site.identity for site in sites}


@pytest.mark.parametrize("told", OTHERWISE)
def test_updates_of_sites_that_were_told_otherwise_do_not_enter_one_sum(
    make_scheme, make_site, make_plan, preset, coordinator, told
):
    cipher, adder = make_scheme("packed", preset)
    sites = [make_site(i, cipher=cipher) for i in range(1, COUNT + 1)]
    plan = make_plan()
    answers = [
        site.follow(plan if index == 0 else replace(plan, **told(plan))).update for index, site in enumerate(sites)
    ]
    header = EncryptedUpdate.from_bytes(answers[1]).header
    sitting = Sitting(run=plan.run, round=1, layout=header.layout, values=header.values)
    total = Aggregator(adder, sitting, members=members_of(sites), signer=coordinator)
    for site, answer in zip(sites[1:], answers[1:], strict=True):
        total.add(answer, sender=site.identity.id)
    with pytest.raises(WrongLayoutError):
        total.add(answers[0], sender=sites[0].identity.id)


@pytest.fixture
def masked_sites(make_scheme, make_site, preset):
    """Four sites with a roster of each other."""
    cipher, _ = make_scheme("packed", preset)
    bare = [make_site(i, cipher=cipher) for i in range(1, COUNT + 1)]
    members = members_of(bare)
    sites = []
    for index, site in enumerate(bare, 1):
        journal = AttemptJournal(None)
        masks = SiteMasks(site._identity, members, "5a" * 32, journal)
        sites.append(make_site(index, cipher=cipher, masks=masks, journal=journal))
    return sites


TERMS = MaskTerms(roster_sha256="5a" * 32, threshold=smallest_threshold(COUNT, 1), colluders=1)


def ask(plan, step, layout, payload=b"") -> MaskRequest:
    return MaskRequest(run=plan.run, round=1, attempt=1, step=step, layout=layout, terms=TERMS, payload=payload)


@pytest.mark.parametrize("told", OTHERWISE)
def test_a_site_makes_no_mask_for_a_plan_that_the_others_do_not_have(masked_sites, make_plan, told):
    """All sites mask for one layout; the plan that comes then must have it."""
    plan = make_plan(masks=TERMS)
    [layout] = {EncryptedUpdate.from_bytes(u).header.layout for u in _masked_updates(masked_sites, plan)}
    other = replace(plan, attempt=2, **told(plan))
    for site in masked_sites:
        site.answer(replace(ask(plan, "advertise", layout), attempt=2))
    with pytest.raises(PlanError, match=r"has not advertised|than run 01JRUN began with"):
        masked_sites[0].follow(other)


def _masked_updates(sites, plan) -> list[bytes]:
    """The masked updates of a round, with the coordinator's part played honestly."""
    preset = Preset.named(plan.quantisation.preset)
    symbols = UpdateSymbols(build(ModelSpec.from_json(plan.spec), derive_rng(0, "layout")), preset.levels)
    layout = plan.layout_sha256(symbols.sha256)
    attempt = make_masking_plan(TERMS, plan.run, 1, 1, layout=layout, modulus=preset.plain_modulus)
    masks = MaskingRound(attempt, members_of(sites))
    ids = [site.identity.id for site in sites]
    adverts = masks.collect_adverts(
        {i: site.answer(ask(plan, "advertise", layout)) for i, site in zip(ids, sites, strict=True)}
    )
    dealt = masks.collect_shares(
        {i: site.answer(ask(plan, "share", layout, adverts)) for i, site in zip(ids, sites, strict=True)}
    )
    return [site.follow(replace(plan, shares=dealt[i])).update for i, site in zip(ids, sites, strict=True)]


@pytest.mark.parametrize("how", ["unsigned", "by-another", "changed", "a-record-more", "a-record-less"])
def test_a_message_that_the_coordinator_has_not_signed_is_not_followed(make_plan, coordinator, stranger, how):
    content = plan_to_content(make_plan())
    assert check_content(sign_content(plan_to_content(make_plan()), coordinator), coordinator.public)
    if how != "unsigned":
        sign_content(content, stranger if how == "by-another" else coordinator)
    if how == "changed":
        content["training"]["epochs"] = 2
    elif how == "a-record-more":
        content["extra"] = pack_bytes(b"x")
    elif how == "a-record-less":
        del content["shares"]
    with pytest.raises(PlanError, match="a message that coordinator has not signed"):
        check_content(content, coordinator.public)


def test_a_site_answers_an_unsigned_plan_with_an_error(make_site, make_plan):
    site = make_site()
    with LocalGrid(make_client_app(lambda context: site), 1) as grid:
        node = next(iter(grid.get_node_ids()))
        [reply] = grid.send_and_receive([Message(plan_to_content(make_plan()), node, "train")])
    assert reply.has_error()
    assert reply.error.reason == "signature"


def test_a_restarted_site_does_not_answer_an_attempt_again(make_scheme, make_site, make_plan, preset, tmp_path):
    """The difference of two answers of one site would carry a tag that fits."""
    cipher, _ = make_scheme("packed", preset)
    path = tmp_path / "attempts"
    make_site(cipher=cipher, journal=AttemptJournal(path)).follow(make_plan())
    with pytest.raises(ReplayedUpdateError, match="has taken part in attempt 1"):
        make_site(cipher=cipher, journal=AttemptJournal(path)).follow(make_plan(seed=6))
    assert make_site(cipher=cipher, journal=AttemptJournal(path)).follow(make_plan(attempt=2)).update


def test_a_key_that_was_left_stays_left_over_a_restart(make_scheme, make_site, make_plan, preset, tmp_path):
    cipher, _ = make_scheme("packed", preset)
    path = tmp_path / "attempts"
    AttemptJournal(path).leave(cipher.key_id)
    with pytest.raises(PlanError, match="follows no plan under this key any more"):
        make_site(cipher=cipher, journal=AttemptJournal(path)).follow(make_plan())
