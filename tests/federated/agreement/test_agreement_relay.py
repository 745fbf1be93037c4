"""Sites agree over messages: encrypted, masked, and whatever happens on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasturtium.core import ConfigError, canonical_json
from nasturtium.core.data import Dataset, Preprocessing
from nasturtium.federated import LocalGrid, MaskTerms, PlanError, Site, SiteMasks, make_client_app
from nasturtium.federated.agreement import Schema, Terms, conform
from nasturtium.federated.agreement.journal import Agreement, AgreementSum, MemoryAgreementJournal
from nasturtium.federated.agreement.kept_journal import KeptAgreementJournal
from nasturtium.federated.agreement.messages import (
    agreement_answer_from_content,
    agreement_answer_to_content,
    agreement_plan_from_content,
    agreement_plan_to_content,
)
from nasturtium.federated.agreement.plan import AgreedReference, AgreementAnswer, AgreementPlan
from nasturtium.federated.agreement.relay import AgreementJob, AgreementRelay
from nasturtium.federated.agreement.site_agreement import SiteAgreement
from nasturtium.federated.agreement.store import AgreementStore
from nasturtium.federated.errors import AgreementError, FederationError, PolicyError, Refusal, SiteStateError
from nasturtium.federated.protocol.courier import Courier, drive
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.site.agreements import SiteAgreements
from nasturtium.federated.site.policy import SitePolicy
from nasturtium.privacy import (
    AttemptJournal,
    Budget,
    Cipher,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    PublicIdentity,
    SecretKey,
    UpdateRejectedError,
    smallest_preset,
    smallest_threshold,
)

from .conftest import agree, make_table, terms_for

PRESET = smallest_preset(5, 8)
KEY = SecretKey.generate()
COORDINATOR = Identity.generate("coordinator")


def rows_of(site: int, *, extra: str = "") -> Dataset:
    rng = np.random.default_rng(site)
    groups = ["a", "b", "é", extra or "a"]
    rows = [
        [None if row == 1 else float(rng.normal(50, 5)), groups[(row + site) % (2 + site % 3)]] for row in range(12)
    ]
    return make_table(rows, ["no" if row % 2 else f"yes {site % 2}" for row in range(12)], ["age", "group"])


class AgreeingSite(Site):
    """A site, and how it misbehaves."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.made_of = arguments, options
        self.before: Callable[[AgreementPlan], None] = lambda plan: None
        self.seen: list[AgreementPlan] = []

    @property
    def agreements(self) -> SiteAgreements:
        return self._agreements

    def agree(self, plan: AgreementPlan) -> AgreementAnswer:
        self.seen.append(plan)
        self.before(plan)
        return super().agree(plan)

    def restart(self, store: AgreementStore | None = None) -> None:
        """As after a crash of its process: what is not on its disk is gone."""
        arguments, options = self.made_of
        self._agreements = Site(*arguments, **options | {"agreements": store})._agreements


@dataclass
class World:
    """Sites that can be reached by their nodes."""

    parties: list[AgreeingSite]
    masks: MaskTerms | None
    adder: PackedAdder | PlainAdder

    @property
    def nodes(self) -> list[int]:
        return [FIRST_NODE_ID + place for place in range(len(self.parties))]

    def relay(self, terms: Terms, journal: MemoryAgreementJournal, **settings: Any) -> AgreementRelay:
        sums: Sequence[AgreementSum] = settings.pop("sums", ())
        nodes = settings.pop("nodes", lambda: self.nodes)
        options = {"run": "01JAGREE", "retry_wait": 0.0, "patience": 0.0, "attempts": 2} | settings
        job = AgreementJob(terms=terms, masks=self.masks, **options)
        return AgreementRelay(job, self.adder, self.sites, COORDINATOR, journal, nodes, sums=sums)

    @property
    def sites(self) -> dict[int, PublicIdentity]:
        return {node: party.identity for node, party in zip(self.nodes, self.parties, strict=True)}

    def agree(self, terms: Terms, journal: MemoryAgreementJournal | None = None, **settings: Any) -> Agreement:
        relay = self.relay(terms, journal or MemoryAgreementJournal(), **settings)
        app = make_client_app(lambda context: self.parties[partition_id(context)])
        with LocalGrid(app, len(self.parties)) as grid:
            [done] = drive(Courier(grid, self.sites, COORDINATOR), [relay.steps()])
        if done.error is not None:
            raise done.error
        assert done.value is not None
        return done.value


def make_world(parts: Sequence[Dataset], *, masked: bool = False, plain: bool = False, **settings: Any) -> World:
    identities = [Identity.generate(f"site-{place}") for place in range(len(parts))]
    members = {identity.public.id: identity.public for identity in identities}
    roster = hashlib.sha256(canonical_json(sorted(members)).encode()).hexdigest()
    cipher: Cipher = PlainCipher(PRESET) if plain else PackedCipher(KEY, PRESET)
    parties: list[AgreeingSite] = []
    for identity, part in zip(identities, parts, strict=True):
        journal = AttemptJournal(None)
        masks = SiteMasks(identity, members, roster, journal) if masked else None
        parties.append(
            AgreeingSite(
                identity, part, part, cipher, coordinator=COORDINATOR.public, journal=journal, masks=masks, **settings
            )
        )
    terms = MaskTerms(roster_sha256=roster, threshold=smallest_threshold(len(parts), 1), colluders=1)
    adder = PlainAdder(PRESET) if plain else PackedAdder(PRESET, KEY.key_id)
    return World(parties, terms if masked else None, adder)


PARTS = [rows_of(site) for site in range(4)]


@pytest.mark.parametrize(("masked", "plain"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("fill", ["mean", "median"])
def test_sites_agree_and_every_one_finds_the_same_by_its_name(masked: bool, plain: bool, fill: str) -> None:
    world = make_world(PARTS, masked=masked, plain=plain)
    terms = terms_for(PARTS, fill=fill)
    found = world.agree(terms)
    assert not found.problems
    expected, opening = agree(PARTS, terms)
    assert found.facts == opening.facts
    text = found.reference.to_json()
    for party in world.parties:
        agreed = party.agreements.find(text)
        assert agreed is not None
        assert agreed.to_dict() == expected.to_dict()
    assert all(name not in text for name in ("age", "group", "yes"))


def test_a_site_whose_data_does_not_fit_is_left_out_and_knows_which_column(caplog: pytest.LogCaptureFixture) -> None:
    other = make_table([["x", "a"], ["y", "b"], ["x", "a"]], ["no", "yes 1", "no"], ["age", "group"])
    world = make_world([*PARTS, other])
    found = world.agree(terms_for(PARTS))
    assert found.problems == {"site-4": "the site refused: schema; its own log says why"}
    with pytest.raises(AgreementError, match="column 'age' is of categories, expected of numbers"):
        SiteAgreement(other, terms_for(PARTS), run="R", key=None)
    assert found.facts.outputs == 3


def test_too_few_sites_that_fit_end_it() -> None:
    other = make_table([["x", "a"], ["y", "b"], ["x", "a"]], ["no", "yes 1", "no"], ["age", "group"])
    world = make_world([*PARTS[:2], other])
    with pytest.raises(FederationError, match=r"expected at least 3.*site-2: the site refused: schema"):
        world.agree(terms_for(PARTS))


def test_a_site_that_fails_once_comes_back_with_the_sums_it_missed() -> None:
    world = make_world(PARTS)

    def fail(plan: AgreementPlan) -> None:
        if plan.step == "open" and plan.round == 1 and len(world.parties[3].seen) < 3:
            raise PlanError("not now", refusal=Refusal.DISK)

    world.parties[3].before = fail
    journal = MemoryAgreementJournal()
    found = world.agree(terms_for(PARTS), journal)
    assert not found.problems
    assert world.parties[3].agreements.find(found.reference.to_json()) is not None
    steps = [(plan.step, plan.round) for plan in world.parties[3].seen]
    assert steps[:4] == [("answer", 1), ("open", 1), ("open", 1), ("answer", 2)]


def test_a_site_that_comes_later_is_told_all_of_it() -> None:
    world = make_world(PARTS)
    terms, journal = terms_for(PARTS), MemoryAgreementJournal()
    first = world.agree(terms, journal, nodes=lambda: world.nodes[:3])
    with pytest.raises(PlanError, match="has not seen the end") as raised:
        world.parties[3].agreements.find(first.reference.to_json())
    assert raised.value.refusal is Refusal.BEHIND
    again = world.agree(terms, journal, sums=journal.sums)
    assert again.reference == first.reference
    agreed = world.parties[3].agreements.find(first.reference.to_json())
    assert agreed is not None
    assert conform(PARTS[3], agreed.task).task == agreed.task


@pytest.mark.parametrize("left_after", range(1, 4))
@pytest.mark.parametrize("masked", [False, True])
def test_a_coordinator_that_was_killed_goes_on_after_the_last_sum(left_after: int, masked: bool) -> None:
    world = make_world(PARTS, masked=masked)
    terms, journal = terms_for(PARTS), MemoryAgreementJournal()

    class KilledError(Exception):
        pass

    def close(number: int, found: AgreementSum) -> None:
        journal.sums.append(found)
        if number == left_after:
            raise KilledError

    journal.close = close  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(KilledError):
        world.agree(terms, journal)
    del journal.close
    found = world.agree(terms, journal, sums=tuple(journal.sums))
    answered = [plan.round for plan in world.parties[0].seen if plan.step == "answer"]
    assert answered == [1, 2, 3, 4]
    expected, _ = agree(PARTS, terms)
    agreed = world.parties[0].agreements.find(found.reference.to_json())
    assert agreed is not None
    assert agreed.to_dict() == expected.to_dict()


def test_an_attempt_that_fails_is_made_again_and_not_answered_twice() -> None:
    world = make_world(PARTS[:3])

    def fail(plan: AgreementPlan) -> None:
        if plan.step == "answer" and (plan.round, plan.attempt) == (2, 1):
            raise PlanError("not now", refusal=Refusal.MEMORY)

    world.parties[1].before = fail
    journal = MemoryAgreementJournal()
    world.agree(terms_for(PARTS[:3]), journal)
    assert [(number, attempt) for number, attempt, _ in journal.failures] == [(2, 1)]
    assert [found.attempt for found in journal.sums] == [1, 2, 1, 1]
    party = world.parties[0]
    with pytest.raises(UpdateRejectedError):
        party._journal.claim("01JAGREE", 2, 1)


def test_a_site_goes_on_after_a_restart_from_its_own_disk(tmp_path: Path) -> None:
    world = make_world(PARTS)
    party, folder = world.parties[2], tmp_path / "agreements"
    party.before = lambda plan: party.restart(AgreementStore(folder))
    found = world.agree(terms_for(PARTS))
    assert not found.problems
    party.restart(AgreementStore(folder))
    assert party.agreements.find(found.reference.to_json()) is not None
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(file.read_text().replace("age", "aga"))
    party.restart(AgreementStore(folder))
    with pytest.raises(SiteStateError, match="checksum"):
        party.agreements.find(found.reference.to_json())


def test_a_site_that_has_lost_all_is_told_all_of_it_again() -> None:
    world = make_world(PARTS)
    party = world.parties[2]

    def forget(plan: AgreementPlan) -> None:
        if plan.round == 3 and plan.step == "answer":
            party.restart()

    party.before = forget
    found = world.agree(terms_for(PARTS))
    assert party.agreements.find(found.reference.to_json()) is not None


def test_a_liar_ends_the_agreement_and_no_sum_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(PARTS)
    terms = terms_for(PARTS)
    honest = SiteAgreement._contribution

    def lying(self: SiteAgreement, question: Any) -> dict[str, np.ndarray]:
        numbers = honest(self, question)
        if self._data is PARTS[1] and question.step == "survey":
            numbers["exponents"] = np.ones_like(numbers["exponents"])
        return numbers

    monkeypatch.setattr(SiteAgreement, "_contribution", lying)
    with pytest.raises(FederationError, match="0 of 0 sites tell the same"):
        world.agree(terms)


def test_the_coordinator_cannot_ask_what_does_not_follow() -> None:
    world = make_world(PARTS)
    world.agree(terms_for(PARTS))
    party = world.parties[0]
    narrow = replace(party.seen[0], run="01JOTHER", round=2, question=party.seen[2].question)
    with pytest.raises(AgreementError, match="expected the first"):
        party.agreements.answer(narrow)
    other = terms_for(PARTS, measure="range")
    question = party.seen[0].question.replace('"moments"', '"range"')
    assert other.measure == "range"
    with pytest.raises(AgreementError, match="other terms"):
        party.agreements.answer(replace(party.seen[0], question=question, attempt=9))
    with pytest.raises(PlanError, match="in round 4"):
        party.agreements.answer(replace(party.seen[0], round=4))
    with pytest.raises(PlanError, match="protects with"):
        party.agreements.answer(replace(party.seen[0], preset=smallest_preset(9, 8).name))
    masks = MaskTerms(roster_sha256="0" * 64, threshold=3, colluders=1)
    with pytest.raises(PlanError, match="asks for masks"):
        party.agreements.answer(replace(party.seen[0], masks=masks))


def test_a_sum_that_was_tampered_with_is_not_opened_and_the_key_is_left() -> None:
    world = make_world(PARTS)
    world.agree(terms_for(PARTS))
    opened = next(plan for plan in world.parties[0].seen if plan.step == "open")
    fresh = make_world(PARTS[:3])
    changed = bytearray(opened.total)
    changed[-100] ^= 1
    party = fresh.parties[0]
    with pytest.raises(PlanError):
        party.agreements.answer(replace(opened, total=bytes(changed)))  # the coordinator has not signed it
    assert party.agreements.answer(opened).opening is not None


def test_another_tag_and_damaged_names_are_refused() -> None:
    world = make_world(PARTS)
    found = world.agree(terms_for(PARTS))
    agreements = world.parties[0].agreements
    with pytest.raises(PlanError, match="something else") as raised:
        agreements.find(AgreedReference(found.reference.run, "0" * 64).to_json())
    assert raised.value.refusal is Refusal.SCHEMA
    with pytest.raises(PlanError, match="damaged"):
        agreements.find('{"format":"nasturtium.agreed"}')
    with pytest.raises(PlanError, match="damaged"):
        agreements.find("{")
    document = Preprocessing.fit(PARTS[0].inputs, PARTS[0].task).to_dict()
    assert agreements.find(canonical_json(document)) is None


def test_with_a_budget_exact_sums_are_refused() -> None:
    world = make_world(PARTS, budget=Budget(1.0, 1e-5))
    with pytest.raises(FederationError, match="the site refused: budget"):
        world.agree(terms_for(PARTS))


def test_where_the_job_says_everything_there_is_nothing_to_agree_on() -> None:
    images = Schema(
        kind="classification",
        modality="image",
        row_shape=(1, 1, 2),
        features=("p", "q"),
        range=(0.0, 16.0),
        classes=("0", "1"),
    )
    with pytest.raises(ConfigError, match="nothing to agree on"):
        AgreementJob(run="R", terms=Terms(schema=images), masks=None)


def plans() -> Iterator[AgreementPlan]:
    masks = MaskTerms(roster_sha256="0" * 64, threshold=3, colluders=1)
    plan = AgreementPlan(run="R", round=1, step="answer", question="{}", preset="p", masks=None)
    yield plan
    yield replace(plan, masks=masks, shares=b"shares", total=b"total", step="open", ledger_head="head", attempt=3)


@pytest.mark.parametrize("plan", list(plans()))
def test_plans_survive_records(plan: AgreementPlan) -> None:
    assert agreement_plan_from_content(agreement_plan_to_content(plan)) == plan


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"plan":1}', canonical_json({"run": "R", "round": 0}), "x" * 100])
def test_damaged_plans_and_answers_are_refused(text: str) -> None:
    content = agreement_plan_to_content(next(plans()))
    content["agreement"]["plan"] = text  # pyright: ignore
    with pytest.raises(PlanError, match="damaged"):
        agreement_plan_from_content(content)
    said = agreement_answer_to_content(AgreementAnswer(update=b"x", opening=None, seconds=0.5))
    assert agreement_answer_from_content(said).update == b"x"
    said["agreement"]["answer"] = text  # pyright: ignore
    with pytest.raises(UpdateRejectedError, match="damaged"):
        agreement_answer_from_content(said)


def test_a_policy_sees_masks_sums_and_that_there_is_no_noise() -> None:
    first, second = plans()
    policy = SitePolicy()
    policy.check("agree", second, rows=100)
    with pytest.raises(PolicyError, match="no masks"):
        policy.check("agree", first, rows=100)
    with pytest.raises(PolicyError, match="come off with 3 sites"):
        SitePolicy(min_sites=4).check("agree", second, rows=100)
    with pytest.raises(PolicyError, match="without noise") as raised:
        SitePolicy(max_epsilon=8.0).check("agree", second, rows=100)
    assert raised.value.rule == "max_epsilon"
    with pytest.raises(PolicyError, match="none of"):
        SitePolicy(actions=("train",)).check("agree", second, rows=100)


@pytest.mark.parametrize("masked", [False, True])
def test_an_agreement_on_disk_goes_on_after_each_kill_and_is_told_to_sites_that_come_later(
    tmp_path: Path, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, terms, path = make_world(PARTS, masked=masked), terms_for(PARTS), tmp_path / "agreement.json"

    class KilledError(Exception):
        pass

    write = KeptAgreementJournal._write
    kills: list[int] = []

    def killed(journal: KeptAgreementJournal) -> None:
        write(journal)
        if len(kills) < 6:  # each time after another write, of every kind
            kills.append(1)
            raise KilledError

    monkeypatch.setattr(KeptAgreementJournal, "_write", killed)
    nodes = world.nodes if masked else world.nodes[:3]
    while True:
        journal = KeptAgreementJournal(path)
        try:
            found = world.agree(terms, journal, sums=tuple(journal.sums), nodes=lambda: nodes, attempts=9)
            break
        except KilledError:
            continue
    assert len(kills) == 6
    assert path.stat().st_mode & 0o777 == 0o600
    kept = KeptAgreementJournal(path)
    assert tuple(kept.sums) == found.sums
    asked = len(world.parties[0].seen)
    again = world.agree(terms, kept, sums=found.sums)
    assert again.reference == found.reference
    assert {plan.step for plan in world.parties[0].seen[asked:]} == {"open"}
    assert world.parties[3].agreements.find(found.reference.to_json()) is not None


@pytest.mark.parametrize("text", ["", "{}", '{"format":"nasturtium.agreement-journal","version":1}', "[1]"])
def test_a_damaged_journal_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agreement.json"
    path.write_text(text)
    with pytest.raises(SiteStateError, match=r"agreement\.json"):
        KeptAgreementJournal(path)
