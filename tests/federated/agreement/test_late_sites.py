"""A site that comes after the others have agreed finds out what on from the sums that were kept, and joins the run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ParameterLayout, canonical_json
from nasturtium.core.data import Dataset, LoadOptions, dataset_from_arrays
from nasturtium.federated import (
    AgreementStore,
    Closing,
    FederationPlan,
    Greeter,
    HelloTerms,
    LocalGrid,
    LocalTraining,
    MaskTerms,
    MemoryJournal,
    Peers,
    Quantisation,
    Refusal,
    RelayStrategy,
    RoundResult,
    Site,
    SiteMasks,
    make_client_app,
)
from nasturtium.federated.agreement.kept_journal import KeptAgreementJournal
from nasturtium.federated.agreement.late import LateSites
from nasturtium.federated.agreement.relay import AgreementJob, agree
from nasturtium.federated.default_model import default_spec
from nasturtium.federated.protocol.queries import HelloRequest
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import (
    AttemptJournal,
    Identity,
    PackedAdder,
    PackedCipher,
    SecretKey,
    smallest_preset,
    smallest_threshold,
)

from .conftest import make_table, terms_for

COUNT = 5
PRESET = smallest_preset(COUNT, 8)
KEY = SecretKey.generate()
COORDINATOR = Identity.generate("coordinator")
AGREEMENT, RUN = "01JAGREE", "01JRUN"


def rows_of(site: int, *, more: str = "", unknown: str = "refuse") -> Dataset:
    rng = np.random.default_rng(site)
    groups = ["a", "b", more or "a"]
    rows = [[float(rng.normal(50, 5)), groups[row % 3]] for row in range(12)]
    return make_table(rows, ["no" if row % 2 else "yes" for row in range(12)], ["age", "group"], unknown=unknown)


class World:
    """Five sites, of which the last may not be there when the others agree."""

    def __init__(self, parts: Sequence[Dataset], folder, *, masked: bool) -> None:
        self.folder = folder
        self.identities = [Identity.generate(f"site-{place + 1}") for place in range(len(parts))]
        members = {each.public.id: each.public for each in self.identities}
        self.roster = hashlib.sha256(canonical_json(sorted(members)).encode()).hexdigest()
        self.peers = Peers(members, self.roster)
        self.masks = None
        if masked:
            self.masks = MaskTerms(roster_sha256=self.roster, threshold=smallest_threshold(COUNT, 1), colluders=1)
        self.adder = PackedAdder(PRESET, KEY.key_id)
        self.parts = list(parts)
        self.sites = [self.make_site(place) for place in range(len(parts))]
        self.there = COUNT - 1
        self.results: list[RoundResult] = []
        self.told: list[tuple[str, int, dict]] = []

    def make_site(self, place: int) -> Site:
        journal = AttemptJournal(None)
        identity, part = self.identities[place], self.parts[place]
        masks = SiteMasks(identity, dict(self.peers.members), self.roster, journal) if self.masks else None
        return Site(
            identity,
            part,
            part,
            PackedCipher(KEY, PRESET),
            coordinator=COORDINATOR.public,
            journal=journal,
            masks=masks,
            peers=self.peers,
            actions=("train", "evaluate"),
            agreements=AgreementStore(None),
        )

    def nodes(self):
        return {FIRST_NODE_ID + place: site.identity for place, site in enumerate(self.sites[: self.there])}

    def grid(self) -> LocalGrid:
        return LocalGrid(make_client_app(lambda context: self.sites[partition_id(context)]), COUNT)

    def agree(self, **terms: object):
        journal = KeptAgreementJournal(self.folder / "kept.agreement")
        job = AgreementJob(
            run=AGREEMENT, terms=terms_for(self.parts[:4], **terms), masks=self.masks, retry_wait=0.0, patience=0.0
        )
        with self.grid() as grid:
            found = agree(grid, job, self.adder, self.nodes(), COORDINATOR, journal)
        self.facts, self.reference = found.facts, found.reference

    def late(self, **changes: object) -> LateSites:
        kept = KeptAgreementJournal(self.folder / "kept.agreement")  # as another coordinator reads it
        fields = {
            "reference": self.reference,
            "sums": tuple(kept.sums),
            "preset": PRESET.name,
            "scheme": "packed",
            "masks": self.masks,
            "deadline": 60.0,
        }
        return LateSites(**fields | changes)

    def train(self, *, comes_after: int, late: LateSites | None = None, rounds: int = 3) -> Greeter:
        """A run to which the last site comes when so many rounds are closed."""
        nodes = self.nodes()

        def keep(result: RoundResult) -> None:
            self.results.append(result)
            if len(self.results) == comes_after:
                nodes[FIRST_NODE_ID + COUNT - 1] = self.sites[-1].identity

        if comes_after == 0:
            nodes[FIRST_NODE_ID + COUNT - 1] = self.sites[-1].identity
        late = late or self.late()
        greeter = Greeter(
            HelloTerms(package="0", run=RUN, agreement=late.reference.run),
            Closing(deadline=60, min_replies=COUNT),
            lead_in=late.steps,
        )
        plan = FederationPlan(
            run=RUN,
            spec=default_spec(self.facts.task),
            preprocessing=self.reference.to_json(),
            seed=5,
            rounds=rounds,
            training=LocalTraining(epochs=1, batch_size=4, max_rows=100),
            quantisation=Quantisation(preset=PRESET.name, bound=0.05),
            masks=self.masks,
            closing=Closing(deadline=600.0, min_replies=99),
            attempts=1,
            retry_wait=0.0,
            patience=0.0,
        )
        journal = MemoryJournal(keep)
        journal.tell = lambda kind, number, **facts: self.told.append((kind, number, facts))
        with self.grid() as grid:
            RelayStrategy(plan, self.adder, nodes, COORDINATOR, greeter=greeter).run(grid, journal)
        return greeter

    def reasons(self) -> list[str | None]:
        """Why the last site was not in a round, of those it was asked in."""
        return [o.reason for r in self.results for o in r.outcomes if o.site == self.sites[-1].name]

    def models(self) -> set[bytes]:
        models = [site.release(RUN).model for site in self.sites]
        return {ParameterLayout.of(model).flatten(model.state()).tobytes() for model in models}


@pytest.fixture
def make_world(tmp_path):
    def make(parts: Sequence[Dataset] | None = None, *, masked: bool = False) -> World:
        return World(parts or [rows_of(place) for place in range(COUNT)], tmp_path, masked=masked)

    return make


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("comes_after", [0, 2, 4])
def test_a_site_that_was_not_there_joins_with_the_next_round(make_world, comes_after, masked):
    world = make_world(masked=masked)
    world.agree()
    world.train(comes_after=comes_after)
    assert world.reasons() == [None] * (5 - comes_after)
    assert len(world.models()) == 1
    caught_up = [number for kind, number, _ in world.told if kind == "site caught up"]
    assert caught_up == ([comes_after + 1] if comes_after else [])
    agreed = [site._agreements.find(world.reference.to_json()) for site in world.sites]
    assert len({canonical_json(each.to_dict()) for each in agreed}) == 1


def test_a_site_says_how_far_it_is_in_what_it_is_asked_about(make_world):
    world = make_world()
    world.agree()
    ask = HelloRequest(package="0", run=RUN, agreement=AGREEMENT)
    questions = len(world.late().sums)
    assert world.sites[0].hello(ask).rounds == {AGREEMENT: questions}
    assert world.sites[-1].hello(ask).rounds == {}
    world.train(comes_after=1)
    assert [site.hello(ask).rounds for site in world.sites] == [{AGREEMENT: questions, RUN: 5}] * COUNT
    assert world.sites[0].hello(HelloRequest(package="0")).rounds == {}


def test_nobody_is_sent_anything_that_it_knows(make_world):
    world = make_world()
    world.agree()
    asked = []
    for site in world.sites[:4]:
        site.agree = lambda plan, site=site: asked.append(site.name)
    world.train(comes_after=0)
    assert asked == []


def test_a_site_that_lost_all_it_had_is_brought_back(make_world):
    world = make_world()
    world.agree()
    kept = world.train
    world.there = COUNT - 1

    def lose(result: RoundResult) -> None:
        if result.round == 2:
            world.sites[1] = world.make_site(1)

    world.results = _Watched(lose)
    kept(comes_after=1)
    lost = [o.reason for r in world.results for o in r.outcomes if o.site == "site-2"]
    assert lost == [None, None, Refusal.BEHIND.reason, None, None]
    assert len(world.models()) == 1


class _Watched(list):
    """Results, and what happens after one."""

    def __init__(self, happen) -> None:
        super().__init__()
        self._happen = happen

    def append(self, result) -> None:
        super().append(result)
        self._happen(result)


@pytest.mark.parametrize("comes_after", [0, 2])
def test_a_category_that_nobody_else_has_is_refused_or_unknown_as_the_columns_say(make_world, comes_after):
    parts = [rows_of(place, unknown="zeros") for place in range(4)] + [rows_of(4, more="new", unknown="zeros")]
    world = make_world(parts)
    world.agree()
    world.train(comes_after=comes_after)
    assert world.reasons() == [None] * (5 - comes_after)
    rows = world.sites[-1]._rows(world.sites[0]._agreements.find(world.reference.to_json()).task).train.inputs
    assert sorted(set(rows[:, 1].tolist())) == [-1.0, 0.0, 1.0]


def test_a_site_with_rows_of_one_class_takes_part_like_the_others(make_world):
    options = LoadOptions(classes=("no", "yes"))
    rows = [[float(row), "ab"[row % 2]] for row in range(12)]
    one = dataset_from_arrays(rows, ["yes"] * 12, options, features=["age", "group"])
    world = make_world([one, *(rows_of(place) for place in range(1, COUNT))])
    world.agree()
    world.train(comes_after=1)
    assert all(result.failure is None for result in world.results)
    assert {o.reason for r in world.results for o in r.outcomes} == {None}
    assert len(world.models()) == 1


@pytest.mark.parametrize("comes_after", [0, 2])
def test_a_site_that_does_not_fit_is_left_out_and_the_others_go_on(make_world, comes_after):
    parts = [rows_of(place) for place in range(4)]
    world = make_world([*parts, rows_of(4, more="new")])
    world.agree()
    greeter = world.train(comes_after=comes_after)
    assert world.reasons() == ([] if comes_after else [Refusal.DATA.reason, Refusal.BEHIND.reason])
    assert all(result.failure is None for result in world.results)
    if comes_after:  # before it is asked to train at all
        assert greeter.refused == {FIRST_NODE_ID + 4: Refusal.DATA.reason}


@pytest.mark.parametrize("comes_after", [0, 2])
def test_a_site_with_other_columns_is_not_asked(make_world, comes_after):
    other = make_table([[1.0], [2.0], [3.0]], ["no", "yes", "no"], ["height"])
    world = make_world([*(rows_of(place) for place in range(4)), other])
    world.agree()
    greeter = world.train(comes_after=comes_after)
    assert world.reasons() == []
    assert greeter.refused == {FIRST_NODE_ID + 4: Refusal.SCHEMA.reason}


def test_what_is_handed_on_must_be_what_plans_name(make_world):
    world = make_world()
    world.agree()
    false = replace(world.reference, tag="00" * 32)
    greeter = world.train(comes_after=1, late=world.late(reference=false))
    assert world.reasons() == []
    assert "something else" in greeter.refused[FIRST_NODE_ID + 4]
