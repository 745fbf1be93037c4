"""At the end of a run the sites give its model to whom most of their policies name, and to nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.clientapp import ClientApp

from nasturtium.core import ConfigError, FormatError, SavedModel
from nasturtium.federated import (
    AuditLog,
    LocalGrid,
    MemoryJournal,
    PausedError,
    Peers,
    PlanError,
    PolicyError,
    Refusal,
    RelayStrategy,
    Site,
    SiteGuard,
    SitePolicy,
    make_client_app,
)
from nasturtium.federated.coordinator.release import Asking, ModelRelease
from nasturtium.federated.deployment.released import ReleasedFile, open_release
from nasturtium.federated.errors import ReleaseError
from nasturtium.federated.protocol.courier import Courier, drive
from nasturtium.federated.protocol.gather import Closing
from nasturtium.federated.protocol.query_records import (
    consent_from_content,
    consent_to_content,
    query_from_content,
    query_to_content,
)
from nasturtium.federated.protocol.release import ReleaseConsent, ReleaseRequest, SealedModel, party_name
from nasturtium.federated.released_model import pack_model, unpack_model
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import Identity, PackedAdder, PackedCipher, PrivacyError, Roster, UpdateRejectedError

from .conftest import RUN, TASK, make_rows

COUNT = 5
ACME = Identity("acme", hashlib.sha512(b"acme").digest())
OPEN = SitePolicy(actions=("train", "evaluate", "release"), release_to=("coordinator", f"acme:{ACME.public.id}"))
CLOSED = replace(OPEN, release_to=())


def make_identity(index: int) -> Identity:
    name = f"site-{index + 1}"
    return Identity(name, hashlib.sha512(name.encode()).digest())


IDENTITIES = [make_identity(index) for index in range(COUNT)]
MEMBERS = {each.public.id: each.public for each in IDENTITIES}


def make_roster(coordinator: Identity, identities: list[Identity] = IDENTITIES) -> Roster:
    members = [each.public for each in identities]
    roster = Roster.draft(members, issuer=members[0].name, coordinator=coordinator.public)
    for each in identities:
        roster = roster.signed(each)
    return roster


class Federation:
    """Sites at the end of a run."""

    def __init__(self, sites: list[Site], guards: list[SiteGuard], coordinator: Identity, folder: Path) -> None:
        self.sites, self.guards, self.coordinator, self.folder = sites, guards, coordinator, folder
        self.told: list[tuple[str, str]] = []
        self.roster = make_roster(coordinator)

    def app(self) -> ClientApp:
        apps = [
            make_client_app(lambda _, site=site: site, guard)
            for site, guard in zip(self.sites, self.guards, strict=True)
        ]
        app = ClientApp()

        def answer(message, context):
            return apps[partition_id(context)](message, context)

        for kind in (app.train, app.evaluate, app.query):
            kind()(answer)
        return app

    def nodes(self):
        return {FIRST_NODE_ID + index: site.identity for index, site in enumerate(self.sites)}

    def release(
        self, recipient: Identity, *, there: Callable[[int], bool] = lambda index: True, **asking
    ) -> SealedModel:
        fields = {
            "run": RUN,
            "recipient": recipient.public,
            "coordinator": self.coordinator.public,
            "members": list(MEMBERS.values()),
            "min_sites": 3,
            "most_bytes": 2**20,
            "closing": Closing(deadline=60.0, min_replies=3),
            "patience": 0.0,
        }
        with LocalGrid(self.app(), COUNT) as grid:
            courier = Courier(grid, self.nodes(), self.coordinator)
            relay = ModelRelease(
                Asking(**fields | asking),
                self.nodes(),
                lambda: [node for node in courier.nodes() if there(node - FIRST_NODE_ID)],
                lambda site, reason: self.told.append((site, reason)),
            )
            [done] = drive(courier, [relay.steps()])
        if done.error is not None:
            raise done.error
        assert done.value is not None
        return done.value

    def write(self, sealed: SealedModel) -> Path:
        return ReleasedFile(sealed, self.roster).write(self.folder / "model.release")


@pytest.fixture
def federate(make_site, make_federation_plan, key, preset, coordinator, tmp_path):
    """Train a model, at sites with these policies."""

    def federate(*policies: SitePolicy, **plan: object) -> Federation:
        policies = policies + (OPEN,) * (COUNT - len(policies))
        cipher = PackedCipher(key, preset)
        sites = [make_site(index + 1, cipher=cipher, peers=Peers(MEMBERS, "5a" * 32)) for index in range(COUNT)]
        train = replace(OPEN, require_masks=False, min_rows=1)
        guards = [SiteGuard(policy=train, log=AuditLog(tmp_path / f"audit-{index}"), rows=12) for index in range(COUNT)]
        found = Federation(sites, guards, coordinator, tmp_path)
        with LocalGrid(found.app(), COUNT) as grid:
            strategy = RelayStrategy(
                make_federation_plan(**plan), PackedAdder(preset, key.key_id), found.nodes(), coordinator
            )
            strategy.run(grid, MemoryJournal())
        found.guards = [replace(guard, policy=policy) for guard, policy in zip(guards, policies, strict=True)]
        return found

    return federate


def assert_same(model: object, site: Site) -> None:
    assert isinstance(model, SavedModel)
    own = site.release().model.state()
    got = model.model.state()
    assert got.keys() == own.keys()
    assert all(np.array_equal(got[name], own[name]) for name in own)


def test_the_coordinator_gets_the_model_that_all_sites_have(federate, coordinator):
    federation = federate()
    sealed = federation.release(coordinator)
    assert (sealed.party, sealed.donor, len(sealed.consents)) == ("coordinator", "site-1", COUNT)
    opened = open_release(federation.write(sealed), coordinator, federation.folder / "model")
    assert opened.sites == tuple(f"site-{index + 1}" for index in range(COUNT))
    assert opened.roster_fingerprint == federation.roster.fingerprint
    assert (opened.folder / "model.json").is_file()
    found = ReleasedFile.read(federation.folder / "model.release")
    model = found.open(coordinator)
    assert_same(model, federation.sites[3])
    assert model.preprocessing.task == TASK
    assert model.predict(make_rows(9, 1).inputs) == federation.sites[0].release().predict(make_rows(9, 1).inputs)
    for guard in federation.guards:
        [entry, *_] = [each for each in guard.log.entries(50) if each.action == "release"]
        assert entry.holds[-1] == "to whom: coordinator"
        assert entry.bytes > 0
    weights = model.model.state()["layers.0.weight"].tobytes()
    assert weights not in sealed.box


def test_asking_again_gives_the_same_consents_and_the_same_model(federate, coordinator):
    federation = federate()
    first, again = (federation.release(coordinator) for _ in range(2))
    assert (first.commitment, first.size, dict(first.consents)) == (again.commitment, again.size, dict(again.consents))
    assert first.box != again.box
    assert_same(ReleasedFile(again, federation.roster).open(coordinator), federation.sites[1])


def test_somebody_else_gets_it_and_the_coordinator_cannot_read_it(federate, coordinator):
    federation = federate()
    sealed = federation.release(ACME)
    assert sealed.party == f"acme:{ACME.public.id}"
    path = federation.write(sealed)
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="the model is for acme"):
        open_release(path, coordinator, federation.folder / "model")
    with pytest.raises(PrivacyError):
        replace(ReleasedFile.read(path), sealed=replace(sealed, recipient=coordinator.public)).open(coordinator)
    opened = open_release(path, ACME, federation.folder / "model")
    assert opened.run == RUN
    assert_same(ReleasedFile.read(path).open(ACME), federation.sites[0])


def test_who_calls_itself_as_a_policy_names_another_gets_nothing(federate, coordinator):
    federation = federate()
    with pytest.raises(ReleaseError, match=r"0 sites of 5 give the model to acme:.*'policy'"):
        federation.release(Identity.generate("acme"))
    false = Identity.generate("coordinator")
    with pytest.raises(ReleaseError, match="0 sites of 5"):
        federation.release(false)
    request = ReleaseRequest(run=RUN, party="coordinator", recipient=false.public.to_json())
    with pytest.raises(PlanError, match="asked for by 'coordinator:"):
        federation.sites[0].consent(request)


@pytest.mark.parametrize("refusing", [1, 2])
def test_each_site_decides_and_more_than_half_are_enough(federate, coordinator, refusing):
    federation = federate(*[CLOSED] * refusing)
    sealed = federation.release(coordinator)
    assert sealed.donor == f"site-{refusing + 1}"
    assert len(sealed.consents) == COUNT - refusing
    assert {reason for _, reason in federation.told} == {Refusal.POLICY.reason}
    entries = [each for each in federation.guards[0].log.entries(50) if each.action == "release"]
    assert [each.refused for each in entries] == ["policy"]
    assert entries[0].reason == "release_to: the model may be given to nobody, and not to 'coordinator'"


def test_fewer_than_half_are_not(federate, coordinator):
    federation = federate(CLOSED, CLOSED, replace(OPEN, actions=("train",)))
    with pytest.raises(ReleaseError, match=r"2 sites of 5 give the model to coordinator, expected at least 3; site-"):
        federation.release(coordinator)
    with pytest.raises(ReleaseError, match="expected at least 5"):
        federate(CLOSED).release(coordinator, min_sites=5)


def test_sites_that_are_away_are_waited_for(federate, coordinator):
    federation = federate(CLOSED)
    with pytest.raises(PausedError, match=r"2 sites of 5 give .*; 2 have not answered"):
        federation.release(coordinator, there=lambda index: index < 3)
    assert federation.release(coordinator, there=lambda index: index < 4).donor == "site-2"


def test_a_site_with_another_model_does_not_count(federate, coordinator):
    federation = federate(CLOSED)
    for site in federation.sites[2:4]:
        session = site._find(RUN)
        session.vector = session.vector + np.float32(site is federation.sites[2])
    assert len(federation.release(coordinator).consents) == 3
    federation.sites[1]._find(RUN).vector += np.float32(2)
    with pytest.raises(ReleaseError, match=r"2 sites of 5 give.*; 2 have another model; site-1"):
        federation.release(coordinator)


def test_a_donor_that_fails_is_followed_by_the_next(federate, coordinator):
    federation = federate()

    def fail(request):
        raise PlanError("not now")

    federation.sites[0].give_model = fail
    federation.sites[1].give_model = lambda request: b"x"
    assert federation.release(coordinator).donor == "site-3"
    assert [site for site, _ in federation.told] == ["site-1", "site-2"]


def test_a_site_counts_the_consents_itself(federate, coordinator):
    """A coordinator that says that the others have agreed has to show it."""
    federation = federate()
    sealed = federation.release(coordinator)
    request = ReleaseRequest(
        run=RUN,
        party=sealed.party,
        recipient=coordinator.public.to_json(),
        commitment=sealed.commitment,
        size=sealed.size,
        consents=sealed.consents,
    )
    site = federation.sites[2]
    assert len(site.give_model(request)) > sealed.size
    some = dict(list(sealed.consents.items())[:2])
    strange = Identity.generate("site-9").public.id
    for consents in (some, {}, dict(sealed.consents) | {strange: b"x" * 64}, dict.fromkeys(sealed.consents, b"x" * 64)):
        with pytest.raises(PlanError, match="the model is not given out"):
            site.give_model(replace(request, consents=consents))
    with pytest.raises(PlanError, match="another model"):
        site.give_model(replace(request, commitment="00" * 32))
    for_acme = replace(request, party=party_name(ACME.public, coordinator.public), recipient=ACME.public.to_json())
    with pytest.raises(PlanError, match="the model is not given out"):
        site.give_model(for_acme)


def test_a_false_donor_is_found_out_by_who_opens_the_box(federate, coordinator):
    federation = federate()
    real = federation.sites[0]._find(RUN).vector
    sealed = federation.release(coordinator)

    def lie(request):
        from nasturtium.federated.protocol.release import RELEASE_DOMAIN, consent_message
        from nasturtium.privacy import seal

        message = consent_message(RUN, coordinator.public.id, sealed.commitment, sealed.size)
        content = bytes(32) + b"x" * sealed.size
        return seal(coordinator.public.sealing_key, content, RELEASE_DOMAIN.encode() + b"\0" + message)

    federation.sites[0].give_model = lie
    assert real is not None
    with pytest.raises(UpdateRejectedError, match="site-1 has sealed another model"):
        ReleasedFile(federation.release(coordinator), federation.roster).open(coordinator)


def test_only_a_run_that_is_over_and_has_one_model_gives_one(federate, make_site, make_plan, coordinator, key, preset):
    site = make_site(cipher=PackedCipher(key, preset))
    site.follow(make_plan())
    request = ReleaseRequest(run=RUN, party="coordinator", recipient=coordinator.public.to_json())
    with pytest.raises(PlanError, match="has not seen the end"):
        site.consent(request)
    with pytest.raises(PlanError, match="by nobody"):
        federate().sites[0].consent(replace(request, recipient="{}"))


def test_a_file_that_was_changed_is_refused(federate, coordinator, tmp_path):
    federation = federate()
    sealed = federation.release(coordinator)
    path = federation.write(sealed)
    content = path.read_bytes()
    for changed in (b"", b"{}\n", content[:400], content.replace(b'"size"', b'"Size"'), b"\0" * 100, content[100:]):
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(FormatError, match="not a model that was given out"):
            ReleasedFile.read(tmp_path / "changed")
    (tmp_path / "changed").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PrivacyError):
        open_release(tmp_path / "changed", coordinator, tmp_path / "model")
    others = [Identity.generate(f"site-{index}") for index in range(COUNT)]
    with pytest.raises(UpdateRejectedError, match="no member"):
        ReleasedFile(sealed, make_roster(coordinator, others)).open(coordinator)
    assert not (tmp_path / "model").exists()


def test_a_model_as_bytes_is_read_by_its_schema(federate):
    model = federate().sites[0].release()
    content = pack_model(model)
    assert content == pack_model(model)
    assert pack_model(unpack_model(content)) == content
    for changed in (
        b"",
        content[:-1],
        content[:40],
        b"x" + content[1:],
        content[:9] + b"\xff" + content[10:],
        content + b"x",
    ):
        with pytest.raises(FormatError):
            unpack_model(changed)


def test_questions_and_answers_come_back_as_they_were_sent():
    request = ReleaseRequest(run="a", party="b", recipient="c", commitment="d", size=5, consents={"e": b"f"})
    assert query_from_content(query_to_content(request)) == request
    consent = ReleaseConsent(commitment="ab", size=3, signature=b"xyz")
    assert consent_from_content(consent_to_content(consent)) == consent
    damaged = query_to_content(request)
    damaged["consents"]["e"] = "text"
    with pytest.raises(PlanError, match="damaged"):
        query_from_content(damaged)
    del damaged["consents"]
    with pytest.raises(PlanError, match="damaged"):
        query_from_content(damaged)


def test_a_policy_is_asked_for_a_release_as_for_everything():
    request = ReleaseRequest(run="a", party="coordinator", recipient="c")
    OPEN.check("release", request, rows=0)
    for policy, rule in ((SitePolicy(release_to=("coordinator",)), "actions"), (CLOSED, "release_to")):
        with pytest.raises(PolicyError) as caught:
            policy.check("release", request, rows=0)
        assert caught.value.rule == rule
