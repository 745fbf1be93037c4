"""Sites that have missed rounds, or come late, get the state of another, sealed to them; a false one is found out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from nasturtium.core import ParameterLayout
from nasturtium.federated import (
    Inheritance,
    LocalGrid,
    MaskTerms,
    MemoryJournal,
    Peers,
    Place,
    PlanError,
    Refusal,
    RelayStrategy,
    RoundResult,
    Site,
    SiteMasks,
    make_client_app,
)
from nasturtium.federated.protocol.queries import CheckpointRequest
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import AttemptJournal, Identity, PackedAdder, PackedCipher, PrivacyError, smallest_threshold

COUNT = 5
ROSTER = "5a" * 32
TERMS = MaskTerms(roster_sha256=ROSTER, threshold=smallest_threshold(COUNT, 1), colluders=1)


def make_identity(index: int) -> Identity:
    name = f"site-{index + 1}"
    return Identity(name, hashlib.sha512(name.encode()).digest())


MEMBERS = {each.public.id: each.public for each in map(make_identity, range(COUNT))}


@dataclass
class Run:
    sites: list[Site]
    results: list[RoundResult] = field(default_factory=list)

    def reasons(self, index: int) -> list[str | None]:
        """Why a site was not in the sum, of each round."""
        return [o.reason for r in self.results for o in r.outcomes if o.site == self.sites[index].name]

    def model(self, index: int) -> bytes:
        model = self.sites[index].release().model
        return ParameterLayout.of(model).flatten(model.state()).tobytes()


@pytest.fixture
def cipher(key, preset):
    return PackedCipher(key, preset)


@pytest.fixture
def make_member(make_site, cipher):
    def make(index: int, *, masked: bool = False, peers: Peers | None = None, **more: object) -> Site:
        journal = AttemptJournal(None)
        masks = SiteMasks(make_identity(index), MEMBERS, ROSTER, journal) if masked else None
        known = peers or Peers(MEMBERS, ROSTER)
        return make_site(
            index + 1, rows=8 + 4 * index, cipher=cipher, masks=masks, journal=journal, peers=known, **more
        )

    return make


@pytest.fixture
def run(make_member, make_federation_plan, preset, key, coordinator):
    def run(
        absent: Callable[[int, int], bool] = lambda index, number: False,
        *,
        masked: bool = False,
        late: int | None = None,
        change: Callable[[list[Site]], object] = lambda sites: None,
        **plan: object,
    ) -> Run:
        """A run in which nodes are away in some rounds, or one is admitted after the first."""
        sites = [make_member(index, masked=masked) for index in range(COUNT)]
        change(sites)
        honest = make_client_app(lambda context: sites[partition_id(context)])
        now = [1]

        def answer(message: Message, context: Context) -> Message:
            if absent(partition_id(context), now[0]):
                return Message(Error(2, "gone"), reply_to=message)
            return honest(message, context)

        app = ClientApp()
        for kind in (app.train, app.evaluate, app.query):
            kind()(answer)
        nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites) if index != late}
        federation = Run(sites)

        def keep(result: RoundResult) -> None:
            federation.results.append(result)
            now[0] = len(federation.results) + 1
            if late is not None:
                nodes[FIRST_NODE_ID + late] = sites[late].identity

        fields = {"masks": TERMS if masked else None, "rounds": 4} | plan
        with LocalGrid(app, COUNT) as grid:
            strategy = RelayStrategy(
                make_federation_plan(**fields), PackedAdder(preset, key.key_id), nodes, coordinator
            )
            strategy.run(grid, MemoryJournal(keep))
        return federation

    return run


@pytest.mark.parametrize("masked", [False, True])
def test_a_site_that_missed_rounds_is_brought_back_into_step(run, masked):
    away = run(lambda index, number: index == 4 and number in {2, 3}, masked=masked)
    # In the round it is back, it says that it is behind; before the next it is helped.
    assert away.reasons(4)[3] == Refusal.BEHIND.reason
    assert [reason is None for reason in away.reasons(4)] == [True, False, False, False, True, True]
    assert len({away.model(index) for index in range(COUNT)}) == 1
    helped = [{o.site: (o.bytes_up, o.bytes_down) for o in r.outcomes} for r in away.results]
    assert helped[4]["site-5"][1] > helped[4]["site-2"][1]  # what it was brought counts, and who brought it
    assert helped[4]["site-1"][0] > helped[4]["site-2"][0]


@pytest.mark.parametrize("masked", [False, True])
def test_a_site_that_was_admitted_late_joins(run, masked):
    late = run(late=4, masked=masked)
    assert late.reasons(4)[0] == Refusal.BEHIND.reason
    assert late.reasons(4)[1:] == [None] * 4
    assert len({late.model(index) for index in range(COUNT)}) == 1


def test_a_site_that_missed_the_last_rounds_has_the_model_in_the_end(run):
    away = run(lambda index, number: index == 3 and number in {3, 4, 5})
    assert [reason is None for reason in away.reasons(3)] == [True, True, False, False, False, False]
    assert len({away.model(index) for index in range(COUNT)}) == 1


def test_where_sites_are_missing_those_that_are_behind_are_helped_before_the_next_attempt(run):
    """Of three that are needed one is behind: the round is attempted again once it is in step."""
    away = run(
        lambda index, number: index in {3, 4} or (index == 2 and number in {2, 3}),
        attempts=3,
        rounds=3,
    )
    assert away.results[1].failure is not None
    assert [each.failure is None for each in away.results][-2:] == [True, True]
    assert len({away.model(index) for index in range(3)}) == 1


def test_a_false_checkpoint_is_found_out_and_another_donor_asked(run):
    asked: list[str] = []

    def lie(sites: list[Site]) -> None:
        for site in sites:
            real = site.give_checkpoint

            def give(request: CheckpointRequest, site: Site = site, real=real) -> bytes:
                asked.append(site.name)
                session = site._find(request.run)
                kept = session.vector
                if site.name == "site-1":
                    session.vector = kept + np.float32(0.5)
                try:
                    return real(request)
                finally:
                    session.vector = kept

            site.give_checkpoint = give

    away = run(lambda index, number: index == 4 and number == 2, change=lie, rounds=5)
    assert asked == ["site-1", "site-2"]
    assert [reason is None for reason in away.reasons(4)] == [True, False, False, False, True, True, True]
    assert away.reasons(4)[3] == "the site's model or key is not the one most sites have"
    assert len({away.model(index) for index in range(COUNT)}) == 1


def test_a_site_with_another_model_gets_that_of_the_others(run):
    """Whatever has brought it there: a disk, a bug, a bit."""
    changed = []

    def astray(sites: list[Site]) -> None:
        real = sites[4].follow

        def follow(plan):
            session = sites[4]._find(plan.run)
            if plan.round == 2 and not changed:
                changed.append(True)
                session.vector = session.vector + np.float32(0.5)
            return real(plan)

        sites[4].follow = follow

    away = run(change=astray)
    assert [reason is None for reason in away.reasons(4)] == [True, False, True, True, True, True]
    assert len({away.model(index) for index in range(COUNT)}) == 1


def test_a_spoiled_sum_is_left_out_and_the_run_goes_on(run):
    """A member can say anything under the encryption; nobody can take it out of a sum, so the sum is not taken."""

    class Liar:
        def __init__(self, real) -> None:
            self.real = real

        def __getattr__(self, name: str):
            return getattr(self.real, name)

        def train(self, session, plan, rows):
            said = self.real.train(session, plan, rows)
            return replace(said, weight=200.0) if plan.round == 2 else said

    def spoil(sites: list[Site]) -> None:
        sites[4]._trainer = Liar(sites[4]._trainer)

    away = run(change=spoil, attempts=3)
    assert [(r.round, r.attempt, r.failure is None) for r in away.results[:4]] == [
        (1, 1, True),
        (2, 1, True),
        (3, 1, False),
        (3, 2, True),
    ]
    assert "'sum'" in away.results[2].failure
    assert len({away.model(index) for index in range(COUNT)}) == 1


def test_a_donor_that_refuses_is_not_asked_for_the_same_site_again(run):
    asked: list[str] = []

    def refuse(sites: list[Site]) -> None:
        for site in sites[:2]:

            def give(request: CheckpointRequest, site: Site = site) -> bytes:
                asked.append(site.name)
                raise PlanError("not allowed here")

            site.give_checkpoint = give

    away = run(lambda index, number: index == 4 and number == 2, change=refuse, rounds=5)
    assert asked == ["site-1", "site-2"]
    assert away.reasons(4)[-1] is None


@pytest.fixture
def donor(make_member, make_plan):
    site = make_member(0)
    site.follow(make_plan())
    return site


@pytest.fixture
def request_of(donor):
    return CheckpointRequest(run="01JRUN", round=1, donor=donor.identity.id, recipient=make_identity(1).public.id)


def test_a_checkpoint_says_nothing_to_who_carries_it(donor, request_of, make_member, make_plan):
    box = donor.give_checkpoint(request_of)
    assert box != donor.give_checkpoint(request_of)
    session = donor._find("01JRUN")
    assert session.vector.tobytes() not in box
    assert session.agreed.spec.encode() not in box
    late = make_member(1)
    assert late.take_checkpoint(replace(request_of, box=box)) == 1
    assert late._find("01JRUN").vector.tobytes() == session.vector.tobytes()
    again = make_plan(attempt=2)
    assert late.follow(again).model_tag == donor.follow(again).model_tag


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"recipient": make_identity(2).public.id}, PlanError, id="for-another"),
        pytest.param({"donor": make_identity(2).public.id}, PlanError, id="of-another"),
        pytest.param({"donor": "ab" * 16}, PlanError, id="of-a-stranger"),
        pytest.param({"round": 2}, PlanError, id="of-another-round"),
        pytest.param({"run": "01JOTHER"}, PlanError, id="of-another-run"),
    ],
)
def test_a_checkpoint_is_for_one_site_one_round_and_one_run(donor, request_of, make_member, changes, error):
    box = donor.give_checkpoint(request_of)
    with pytest.raises(error):
        make_member(1).take_checkpoint(replace(request_of, box=box, **changes))


def test_a_changed_checkpoint_or_one_of_another_roster_is_refused(donor, request_of, make_member):
    box = donor.give_checkpoint(request_of)
    for place in (0, 70, len(box) // 2, len(box) - 1):
        changed = box[:place] + bytes([box[place] ^ 1]) + box[place + 1 :]
        with pytest.raises(PlanError, match="site-1 has not signed"):
            make_member(1).take_checkpoint(replace(request_of, box=changed))
    for short in (b"x", box[:64], box[:100]):
        with pytest.raises((PlanError, PrivacyError)):
            make_member(1).take_checkpoint(replace(request_of, box=short))
    other = make_member(1, peers=Peers(MEMBERS, "cd" * 32))
    with pytest.raises(PlanError, match="has not signed"):
        other.take_checkpoint(replace(request_of, box=box))


def test_nothing_is_sealed_to_who_is_no_member(donor, request_of):
    stranger = Identity.generate("site-2").public
    with pytest.raises(PlanError, match="no member of the roster"):
        donor.give_checkpoint(replace(request_of, recipient=stranger.id))
    with pytest.raises(PlanError, match="does not take part"):
        donor.give_checkpoint(replace(request_of, run="01JOTHER"))
    with pytest.raises(PlanError, match="after round 1"):
        donor.give_checkpoint(replace(request_of, round=2))


def test_a_site_is_not_taken_back_to_an_earlier_round(make_member, make_plan, donor, request_of):
    box = donor.give_checkpoint(request_of)
    ahead = make_member(1)
    ahead.follow(make_plan())
    ahead._find("01JRUN").round = 2
    with pytest.raises(PlanError, match="site-2 is at round 2"):
        ahead.take_checkpoint(replace(request_of, box=box))


def test_an_attempt_is_not_answered_again_after_a_checkpoint_of_the_same_round(
    make_member, make_plan, donor, request_of
):
    box = donor.give_checkpoint(request_of)
    site = make_member(1)
    site.follow(make_plan(attempt=3))
    site.take_checkpoint(replace(request_of, box=box))
    with pytest.raises(PlanError, match="has done attempt 3 at round 1"):
        site.follow(make_plan(attempt=3))
    assert site.follow(make_plan(attempt=4)).update


def test_a_site_that_lost_what_they_share_gets_it_back(run):
    """It begins with other weights than most, which the tag of its model says."""
    places = (Place(tensor="layers.0.weight", key="w"), Place(tensor="layers.0.bias", key="b"))
    text = Inheritance(pool="01ARZ3NDEKTSV4RRFFQ69G5FAV", rate=0.5, places=places).to_json()
    before = {"layers.0.weight": np.full((2, 3), 0.25, np.float32), "layers.0.bias": np.zeros(2, np.float32)}

    def lose(sites: list[Site]) -> None:
        for site in sites[:4]:
            site._pools.give("an earlier run", text, before)

    away = run(change=lose, shared=text, rounds=2)
    assert away.reasons(4)[0] == "the site's model or key is not the one most sites have"
    assert away.reasons(4)[1:] == [None] * 3
    assert len({away.model(index) for index in range(COUNT)}) == 1
    begun = [site._pools.inherit(text, before) for site in away.sites]
    for name in before:
        assert len({taken[name].tobytes() for taken in begun}) == 1
        assert not np.array_equal(begun[0][name], before[name])
