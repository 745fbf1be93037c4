"""The rounds of a real run once more in this process, in the clear, with those sites whose updates the history names.

Encryption, masks, attempts that failed, processes that died: nothing of that may be in a model. So what a run has made
is, to the bit, what its sites' own rows give when those train in each round whose updates are said to be in its sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nasturtium.core import save_model
from nasturtium.federated import (
    Closing,
    Coordination,
    Courier,
    FederationPlan,
    LocalGrid,
    MemoryJournal,
    Quantisation,
    RoundResult,
    Site,
    SiteConfig,
    drive,
    load_site_data,
    make_client_app,
)
from nasturtium.federated.adapters.spec import model_from_dict
from nasturtium.federated.agreement.store import AgreementStore
from nasturtium.federated.coordinator.relay import Relay
from nasturtium.federated.deployment import FederationConfig, TrainJob
from nasturtium.federated.protocol.rounds import first_bound
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.site.key_ciphers import KeyCiphers
from nasturtium.privacy import AttemptJournal, KeyFolder, PlainAdder, Preset, SiteFolder
from nasturtium.storage import History, open_database


@dataclass
class Replayed:
    """What came of it: the file of the weights, and by round how many rows were right of how many."""

    weights: bytes
    correct: Mapping[int, float]
    recorded: Mapping[int, float]  # what the history says, of models that sites have measured which it names


class Again(Relay):
    """A run whose participants are known already."""

    chosen: Mapping[int, Collection[str]] = {}
    lost: Collection[int] = ()

    def _choose(self, nodes, number, attempt, bound):
        sites = self._sites(nodes)
        names = self.chosen.get(number, {site.name for site in sites.values()})
        return frozenset(node for node, site in sites.items() if site.name in names)

    def _round(self, number, phase):
        outcome = yield from super()._round(number, phase)
        # Sites have taken the step that such a round began with, and what they gave was never added up.
        return replace(outcome, total=b"", lost=True) if number in self.lost else outcome


def make_site(config: SiteConfig, hub: FederationConfig) -> Site:
    """With the keys, the rows and what was agreed on of a real one, and nothing that it remembers of runs."""
    folder = SiteFolder(config.keys)
    data = load_site_data(config.data, config.split)
    return Site(
        folder.identity(None),
        data.train,
        data.validation,
        KeyCiphers(folder.aggregation_key(None), plain=True),
        coordinator=KeyFolder(hub.keys).public(),
        journal=AttemptJournal(None),
        masks=None,
        agreements=AgreementStore(config.state / "agreements"),
    )


def replay(hub: FederationConfig, configs: Collection[SiteConfig], run: str, folder: Path) -> Replayed:
    """The model and the figures of a run that is over; `folder` gets the model."""
    with open_database(hub.database, create=False) as database:
        history = History(database)
        said = history.federated(run).run.config
        given = history.all_contributions(run)
        closed = history.closed_rounds(run)
        recorded = {each.number: each.accuracy for each in history.rounds(run) if each.accuracy is not None}
    job, decided = TrainJob.from_dict(said["job"]), said["decided"]
    preset = Preset.named(decided["preset"])
    plan = FederationPlan(
        run=run,
        spec=model_from_dict(decided["spec"]),
        preprocessing=decided["preprocessing"],
        seed=job.seed,
        rounds=job.rounds,
        training=job.training,
        quantisation=Quantisation(preset=preset.name, bound=first_bound(job.training, 1), scheme="plain"),
        masks=None,
        strategy=job.make_strategy().to_json(),
        compression=job.make_compression().to_json(),
        closing=Closing(deadline=600.0, min_replies=len(configs)),
        attempts=1,
        patience=0.0,
    )
    sites = [make_site(config, hub) for config in configs]
    results: list[RoundResult] = []
    terms = Coordination.of(
        plan,
        PlainAdder(preset),
        {FIRST_NODE_ID + place: site.identity for place, site in enumerate(sites)},
        KeyFolder(hub.keys).identity(None),
    )
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), len(sites)) as grid:
        courier = Courier(grid, terms.sites, terms.signer)
        again = Again(terms, MemoryJournal(results.append), courier.nodes)
        again.chosen = {
            number: {each.client for each in found if each.state == "accepted"} for number, found in given.items()
        }
        again.lost = {each.number for each in closed if each.sha256 is None and each.phase != "report"}
        for done in drive(courier, [again.steps()]):
            if done.error is not None:
                raise done.error
    assert [each.phase for each in results] == [each.phase for each in closed]
    models = [site.release(run) for site in sites]
    for model in models:
        save_model(folder, model.spec, model.model, model.preprocessing, {})
    [path] = folder.glob("*.safetensors")
    reports = [each.report for each in results if each.report is not None and each.report.rows]
    # The last model is measured in a round that trains nothing, of which the history does not say who took part.
    last = max(given)
    return Replayed(
        path.read_bytes(),
        {each.model_round: each.correct / each.rows for each in reports if 1 <= each.model_round < last},
        {number: accuracy for number, accuracy in recorded.items() if number < last},
    )
