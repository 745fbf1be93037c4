"""A job that asks for its model: where it ends up, and that asking can be left at any moment."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nasturtium.core import ConfigError, ModelSpec, load_model
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    LocalGrid,
    MemoryJournal,
    PausedError,
    Peers,
    PlanError,
    RelayStrategy,
    make_client_app,
)
from nasturtium.federated.deployment import ModelReleased, TrainJob, open_release
from nasturtium.federated.deployment.federation_config import RoundRules
from nasturtium.federated.deployment.preparation import Coordinating, Preparation
from nasturtium.federated.deployment.release_job import (
    TrainedModel,
    check_releasable,
    release_model,
    release_problem,
)
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import KeyFolder, PackedAdder, PackedCipher, Roster
from nasturtium.storage import FederatedRounds, Federations, History, Ledger, ModelRegistry, Tracker, open_database

from ..conftest import SPEC, make_identity

ACME = make_identity("acme")
NAMES = [f"site-{place}" for place in (1, 2, 3)]


def test_a_job_names_who_gets_the_model(tmp_path, coordinator):
    folder = KeyFolder.create(tmp_path / "acme", "acme")
    (tmp_path / "train.toml").write_text('version = 1\nrelease_to = "acme/identity.pub.json"\n')
    job = TrainJob.load(tmp_path / "train.toml")
    assert job.recipient(coordinator.public) == folder.public()
    assert TrainJob.from_dict(job.to_dict()) == job
    (tmp_path / "train.toml").write_text('version = 1\nrelease_to = "coordinator"\n')
    assert TrainJob.load(tmp_path / "train.toml").recipient(coordinator.public) == coordinator.public
    assert TrainJob().recipient(coordinator.public) is None


@pytest.mark.parametrize("told", ["nobody.json", "train.toml", "", 3, ["coordinator"]])
def test_a_job_that_names_no_party_is_refused(told, tmp_path):
    (tmp_path / "train.toml").write_text(f"version = 1\nrelease_to = {told!r}\n")
    with pytest.raises(ConfigError, match="release_to"):
        TrainJob.load(tmp_path / "train.toml")
    with pytest.raises(ConfigError, match="release_to"):
        TrainJob.from_dict({"release_to": told})


def test_where_every_site_has_layers_of_its_own_there_is_no_model_to_give():
    job = TrainJob(release_to="coordinator", strategy={"name": "fedbn"})
    check_releasable(job, SPEC)
    normalised = ModelSpec((3,), (layer_spec("batch_norm"), layer_spec("linear", out_features=2)))
    check_releasable(replace(job, release_to=None), normalised)
    check_releasable(replace(job, strategy={"name": "fedavg"}), normalised)
    with pytest.raises(ConfigError, match="fedbn leaves layers of this model to each site"):
        check_releasable(job, normalised)


class World:
    """A coordinator's disk and history, and three sites whose run is over."""

    def __init__(self, database, folder, coordinator, sites, grid) -> None:
        self.database, self.sites, self.grid = database, sites, grid
        members = [site.identity for site in sites]
        roster = Roster.draft(members, issuer=members[0].name, coordinator=coordinator.public)
        for name in NAMES:
            roster = roster.signed(make_identity(name))
        self.grant = SimpleNamespace(roster=roster)
        self.events: list[object] = []
        self.hub = Coordinating(
            identity=coordinator,
            keys=SimpleNamespace(),
            rules=RoundRules(deadline=60.0, patience=0.0),
            members=lambda: members,
            sites={FIRST_NODE_ID + place: site for place, site in enumerate(members)},
            folder=folder,
            database=database,
            observe=self.events.append,
        )
        Federations(database).queue("train", "rows", {})
        claim = Federations(database).claim("here", 60.0)
        assert claim is not None
        self.before = Preparation(self.hub, claim, threading.Event(), TrainJob().protection)

    def release(self, run: str, tracker: Tracker, **job: object) -> str | None:
        """Ask; what is told of it."""
        made = TrainedModel(
            run=run,
            spec=SPEC,
            courier=self.before.courier(self.grid, self.hub.sites),
            grant=self.grant,
            tell=lambda kind, facts: FederatedRounds(self.database, run).tell(kind, 2, **facts),
        )
        release_model(self.hub, self.before, TrainJob(name="rows", **job), made, tracker)
        return release_problem(History(self.database), [run])


@pytest.fixture
def run_over(make_site, make_federation_plan, key, preset, coordinator, tmp_path):
    """A run that is over in the history and at the sites."""
    cipher = PackedCipher(key, preset)
    members = {each.public.id: each.public for each in map(make_identity, NAMES)}
    sites = [make_site(place, cipher=cipher, peers=Peers(members, "5a" * 32)) for place in (1, 2, 3)]
    with open_database(tmp_path / "history.db") as database, Tracker(database) as tracker:
        run = tracker.start_federated(
            name="rows",
            seed=5,
            config={},
            dataset=None,
            clients=3,
            rounds=2,
            strategy="fedavg",
            scheme="packed",
            alpha=None,
            model_run=None,
            spec=SPEC.to_dict(),
        ).uid
        with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), 3) as grid:
            world = World(database, tmp_path, coordinator, sites, grid)
            plan = make_federation_plan(run=run)
            RelayStrategy(plan, PackedAdder(preset, key.key_id), world.hub.sites, coordinator).run(
                grid, MemoryJournal()
            )
            yield world, run, tracker
        tracker.finish(run, state="completed", metrics={})


def test_a_job_that_asks_for_nothing_gets_nothing(run_over):
    world, run, tracker = run_over
    assert world.release(run, tracker) is None
    assert world.events == []


def test_the_coordinators_model_is_in_its_history_however_often_it_is_asked_for(run_over):
    world, run, tracker = run_over
    assert world.release(run, tracker, release_to="coordinator") is None
    [event] = world.events
    assert isinstance(event, ModelReleased)
    assert (event.party, event.sites, event.opened) == ("coordinator", tuple(NAMES), True)
    for site in world.sites:
        site.consent = site.give_model = None  # killed, and begun again: nobody is asked
    assert world.release(run, tracker, release_to="coordinator") is None
    tracker.finish(run, state="completed", metrics={})
    version = ModelRegistry(world.database).find("rows")
    assert (version.run, version.version) == (run, 1)
    files = {each.name for each in History(world.database).artifacts(run) if each.role == "model"}
    assert files == {"model.json", "weights.safetensors"}
    own = world.sites[0].release(run).model.state()
    kept = load_model(world.database.models_dir / run)
    assert all(np.array_equal(each, own[name]) for name, each in kept.model.state().items())
    assert kept.metadata["from"] == NAMES
    [entry] = Ledger(world.database).entries(run=run, kind="consent")
    assert entry.body["party"] == "coordinator"
    assert entry.body["sites"] == NAMES


def test_a_file_that_is_no_use_is_asked_for_again(run_over):
    world, run, tracker = run_over
    path = world.hub.folder / "releases" / f"{run}.release"
    path.parent.mkdir()
    path.write_bytes(b"torn")
    assert world.release(run, tracker, release_to="coordinator") is None
    assert path.read_bytes() != b"torn"


def test_somebody_elses_model_is_a_file(run_over, tmp_path):
    world, run, tracker = run_over
    assert world.release(run, tracker, release_to=ACME.public.to_json()) is None
    [event] = world.events
    assert isinstance(event, ModelReleased)
    assert not event.opened
    assert not (world.database.models_dir / run).exists()
    opened = open_release(event.path, ACME, tmp_path / "theirs")
    assert opened.run == run
    assert load_model(opened.folder).metadata["run"] == run
    # The same file is no answer to another question.
    assert world.release(run, tracker, release_to="coordinator") is None
    assert ModelRegistry(world.database).find("rows").run == run


def test_where_sites_refuse_the_job_says_so_and_where_they_are_away_it_waits(run_over):
    world, run, tracker = run_over

    def refuse(request):
        raise PlanError("no")

    world.sites[0].consent = refuse
    with pytest.raises(PausedError, match="2 sites of 3 give the model to coordinator"):
        world.release(run, tracker, release_to="coordinator")
    world.hub = replace(world.hub, rules=RoundRules(deadline=60.0, patience=60.0))
    problem = world.release(run, tracker, release_to="coordinator")
    assert problem is not None
    assert problem.startswith("the model was not given out: 2 sites of 3 give the model to coordinator, expected at")
    assert not any(isinstance(event, ModelReleased) for event in world.events)
    # Where the coordinator dies now, whoever ends the job knows it; and once the model is given, that is over.
    assert release_problem(History(world.database), [run]) == problem
    del world.sites[0].consent
    assert world.release(run, tracker, release_to="coordinator") is None
