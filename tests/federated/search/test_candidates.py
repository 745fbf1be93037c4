"""Candidates at simulated sites: what is beside them, what was asked before, and where they were left do not count."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ulid import ULID

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, ModelSpec, canonical_json
from nasturtium.core.data import Preprocessing
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    Closing,
    Courier,
    FederationError,
    LocalGrid,
    LocalTraining,
    PausedError,
    Place,
    SimulationConfig,
    SimulationSetup,
    make_client_app,
)
from nasturtium.federated.coordinator.journal import MemoryJournal
from nasturtium.federated.protocol.rounds import MaskTerms, RoundResult
from nasturtium.federated.search import CandidateEvaluator, SearchTerms, SharedWeights
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.simulation.sites import PublicIdentities, SimulatedParties, SimulatedSites, roster_sha256
from nasturtium.privacy import Identity, smallest_preset

SITES, TOTAL = 3, 3
TIMELESS = {"transferred_bytes"}  # what was sent on the way to a figure depends on what was asked on the way


def network(width: int) -> ModelSpec:
    layers = (
        layer_spec("flatten"),
        layer_spec("linear", out_features=width),
        layer_spec("activation", function="relu"),
    )
    return ModelSpec((1, 8, 8), (*layers, layer_spec("linear", out_features=10)))


def candidate(number: int, **hyperparameters: object) -> Candidate:
    """A new attempt at the same candidate for the same number: only its run is another one."""
    asked = {"learning_rate": 1e-3 * (number + 1), "batch_size": 32, "optimizer": "sgd"} | hyperparameters
    return Candidate(id=str(ULID()), spec=network(4 + number), hyperparameters=asked, seed=number)


@contextmanager
def federation(at_once: int = 1, *, masked: bool = False, there: int = SITES, shared: SharedWeights | None = None):
    """An evaluator over sites that are new."""
    setup = SimulationSetup.load(SimulationConfig(data="digits", clients=SITES, masked=masked), spec=network(4))
    coordinator, preset = Identity.generate("coordinator"), smallest_preset(SITES, 8)
    parties = SimulatedParties.make(setup, preset, coordinator.public)
    sites, identities = SimulatedSites(parties), PublicIdentities(parties, FIRST_NODE_ID)
    masks = MaskTerms(roster_sha256=roster_sha256(each.id for each in identities.values()), threshold=3, colluders=1)
    terms = SearchTerms(
        sites=SITES,
        preprocessing=canonical_json(Preprocessing.fit(setup.pool.inputs, setup.pool.task).to_dict()),
        preset=preset.name,
        training=LocalTraining(epochs=1, max_rows=len(setup.pool)),
        masks=masks if masked else None,
        closing=Closing(min_replies=SITES),
        attempts=1,
        patience=0.0,
    )

    app = make_client_app(lambda context: sites[partition_id(context)])
    with LocalGrid(app, there) as grid:
        courier = Courier(grid, identities, coordinator)
        adder = parties.make_adder()
        yield CandidateEvaluator(courier, terms, adder, identities, coordinator, shared=shared, at_once=at_once)


def told(evaluation):
    """An evaluation without what depends on the way to it."""
    figures = {name: value for name, value in evaluation.objectives.items() if name not in TIMELESS}
    return replace(evaluation, objectives=figures)


@pytest.fixture(scope="module")
def alone():
    """Three candidates trained to the end, one after the other."""
    with federation() as evaluator:
        return [told(evaluator.evaluate(candidate(i), Budget(epochs=TOTAL, total=TOTAL))) for i in range(3)]


def test_a_candidate_has_the_figures_of_its_rounds(alone):
    for each in alone:
        assert each.epochs == TOTAL
        assert list(each.curves["val_accuracy"]) == [1, 2, 3]
        assert each.objectives["val_loss"] == each.curves["val_loss"][3]
        assert 0 < each.objectives["val_accuracy"] <= 1
    assert [each.objectives["parameters"] for each in alone] == [network(4 + i).plan().parameters for i in range(3)]
    assert all(each.objectives["upload_bytes"] > each.objectives["parameters"] for each in alone)


def test_several_at_once_are_evaluated_as_one_after_the_other(alone):
    with federation(3) as evaluator:
        them = [candidate(i) for i in range(3)]
        for each in them:
            evaluator.submit(each, Budget(epochs=TOTAL, total=TOTAL))
        found = {}
        while done := evaluator.wait():
            found.update(done)
    assert [told(found[each.id]) for each in them] == alone


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(1, TOTAL - 1), min_size=1), st.integers(1, 3))
def test_going_up_in_steps_is_training_at_once(alone, steps, at_once):
    with federation(at_once) as evaluator:
        them = {each.id: each for each in map(candidate, range(3))}
        waiting = {uid: [*sorted(steps), TOTAL] for uid in them}
        for uid, each in them.items():
            evaluator.submit(each, Budget(epochs=waiting[uid].pop(0), total=TOTAL))
        found = {}
        while done := evaluator.wait():
            for uid, evaluation in done:
                assert evaluation.objectives["val_loss"] == evaluation.curves["val_loss"][evaluation.epochs]
                found[uid] = evaluation
                if waiting[uid]:
                    evaluator.submit(them[uid], Budget(epochs=waiting[uid].pop(0), total=TOTAL))
    assert [told(found[uid]) for uid in them] == alone


def test_masks_change_nothing_of_it(alone):
    with federation(2, masked=True) as evaluator:
        one = candidate(0)
        steps = [evaluator.evaluate(one, Budget(epochs=epochs, total=TOTAL)) for epochs in (1, TOTAL)]
    assert steps[-1].curves == alone[0].curves


def test_one_that_diverges_has_an_evaluation_and_harms_no_other(alone):
    with federation(2) as evaluator:
        wild, tame = candidate(1, learning_rate=1e20), candidate(0)
        evaluator.submit(wild, Budget(epochs=TOTAL, total=TOTAL))
        evaluator.submit(tame, Budget(epochs=TOTAL, total=TOTAL))
        found = dict(evaluator.wait() + evaluator.wait())
    assert found[wild.id].diverged
    assert found[wild.id].objectives == {}
    assert told(found[tame.id]) == alone[0]


def test_one_that_no_site_can_train_is_an_error_of_its_own(alone):
    with federation(2) as evaluator:
        beyond, tame = candidate(1, learning_rate=1e35), candidate(0)
        evaluator.submit(beyond, Budget(epochs=TOTAL, total=TOTAL))
        evaluator.submit(tame, Budget(epochs=TOTAL, total=TOTAL))
        found = dict(evaluator.wait() + evaluator.wait())
    assert type(found[beyond.id]) is FederationError
    assert told(found[tame.id]) == alone[0]


def test_where_too_few_sites_are_there_no_candidate_is_to_blame():
    with federation(2, there=2) as evaluator:
        evaluator.submit(candidate(0), Budget(epochs=1, total=1))
        with pytest.raises(PausedError, match="2 sites are connected"):
            evaluator.wait()


def test_what_nobody_wants_any_more_is_not_told(alone):
    with federation(2) as evaluator:
        first, second = candidate(0), candidate(1)
        for each in (first, second):
            evaluator.submit(each, Budget(epochs=1, total=TOTAL))
        evaluator.forget(first.id)
        [(uid, _)] = evaluator.wait()
        assert uid == second.id
        assert evaluator.wait() == []
        evaluator.forget(second.id)
        assert told(evaluator.evaluate(candidate(0), Budget(epochs=TOTAL, total=TOTAL))) == alone[0]


@pytest.mark.parametrize(
    ("hyperparameters", "budget", "said"),
    [
        pytest.param({"batch_size": 2.5}, Budget(epochs=1, total=1), "expected batch_size as int", id="kind"),
        pytest.param({"learning_rate": -1.0}, Budget(epochs=1, total=1), "positive, finite", id="range"),
        pytest.param({}, Budget(epochs=1, total=1, rows=0.5), "on all of their rows", id="rows"),
        pytest.param({}, Budget(epochs=1, total=1, resolution=0.5), "on all of their rows", id="resolution"),
    ],
)
def test_what_sites_cannot_do_is_said(hyperparameters, budget, said):
    with federation() as evaluator, pytest.raises(ConfigError, match=said):
        evaluator.evaluate(candidate(0, **hyperparameters), budget)


def test_the_end_of_a_schedule_is_the_end():
    with federation() as evaluator:
        one = candidate(0)
        evaluator.evaluate(one, Budget(epochs=1, total=1))
        with pytest.raises(ConfigError, match="to the end of its schedule"):
            evaluator.evaluate(one, Budget(epochs=2, total=2))


def test_a_candidate_is_at_work_once():
    with federation() as evaluator:
        one = candidate(0)
        evaluator.submit(one, Budget(epochs=1, total=1))
        with pytest.raises(ConfigError, match="at work already"):
            evaluator.submit(one, Budget(epochs=1, total=1))
        assert len(evaluator.wait()) == 1


@pytest.mark.parametrize("at_once", [0, 65])
def test_a_message_has_room_for_so_many(at_once):
    with pytest.raises(ConfigError, match="1 to 64"), federation(at_once):
        pass


def test_rounds_that_do_not_wait_for_sites_are_none_to_compare_after():
    with pytest.raises(ConfigError, match="choose another strategy"):
        SearchTerms(sites=3, preprocessing="", preset="", strategy='{"name":"fedbuff"}')


# --- weights that candidates share ---


def places(candidate: Candidate) -> list[Place]:
    """The layers of all these networks stand at the same places; the units of a wider one are more."""
    names = ("layers.1.weight", "layers.1.bias", "layers.3.weight", "layers.3.bias")
    return [Place(tensor=name, key=name) for name in names]


def path(number: int) -> Candidate:
    asked = {"learning_rate": 5e-3, "batch_size": 16}
    return Candidate(id=str(ULID()), spec=network(8 + 4 * (number % 3)), hyperparameters=asked, seed=100 + number)


def share(messages: int = 4, **changes: object) -> SharedWeights:
    return SharedWeights(**{"pool": str(ULID()), "messages": messages, "path": path, "places": places} | changes)


def evaluate_shared(at_once: int, numbers: list[int], shared: SharedWeights, journals: list[MemoryJournal]):
    with federation(at_once, shared=shared) as evaluator:
        said: list[int] = []

        def journal() -> MemoryJournal:
            journals.append(MemoryJournal())
            return journals[-1]

        trained = evaluator.train_shared(journal, said.append)
        assert said == list(range(1, len(journals) + 1))
        them = [candidate(number, learning_rate=1e-3, optimizer="adamw") for number in numbers]
        for each in them:
            evaluator.submit(each, Budget(epochs=2, total=TOTAL))
        found: dict[str, Evaluation] = {}
        while done := evaluator.wait():
            found.update(done)
        return trained, [told(found[each.id]) for each in them]


@pytest.fixture(scope="module")
def of_shared():
    """Three candidates with the weights of four messages of two paths each."""
    journals: list[MemoryJournal] = []
    trained, evaluations = evaluate_shared(2, [0, 1, 2], share(), journals)
    assert trained == len(journals) == 8
    return evaluations


def test_a_candidate_begins_with_what_is_shared(of_shared):
    with federation() as evaluator:
        one = candidate(2, learning_rate=1e-3, optimizer="adamw")
        from_nothing = evaluator.evaluate(one, Budget(epochs=1, total=1))
    assert of_shared[2].epochs == 1
    assert of_shared[2].objectives["val_loss"] < from_nothing.objectives["val_loss"] - 0.3


def test_candidates_leave_what_is_shared_as_it_is(of_shared):
    _, again = evaluate_shared(2, [2, 0, 1], share(), [])
    assert [again[1], again[2], again[0]] == of_shared


def test_only_what_a_network_touches_travels():
    class Counted(MemoryJournal):
        def __init__(self) -> None:
            super().__init__(self.hear)
            self.bytes_up: list[int] = []

        def hear(self, result: RoundResult) -> None:
            self.bytes_up.append(sum(outcome.bytes_up for outcome in result.outcomes))

    widths = [4, 400]
    small_and_large = [
        Candidate(id=str(ULID()), spec=network(width), hyperparameters={}, seed=width) for width in widths
    ]
    journals: list[Counted] = []
    shared = share(1, path=small_and_large.__getitem__)

    def journal() -> Counted:
        journals.append(Counted())
        return journals[-1]

    with federation(2, shared=shared) as evaluator:
        evaluator.train_shared(journal)
    small, large = (sum(each.bytes_up) for each in journals)
    parameters = [each.spec.plan().parameters for each in small_and_large]
    assert parameters[1] > 80 * parameters[0]
    assert large < 1.6 * parameters[1] * SITES  # bytes of 8 bits a weight, and what the encryption adds
    assert small < large / 2


def test_a_path_that_diverges_leaves_nothing():
    wild = replace(path(0), hyperparameters={"learning_rate": 1e20})
    with federation(1, shared=share(1, path=lambda number: wild)) as evaluator:
        assert evaluator.train_shared(MemoryJournal) == 0
        evaluation = evaluator.evaluate(candidate(0), Budget(epochs=1, total=1))
    assert not evaluation.diverged


def test_who_trains_apart_begins_with_nothing(alone):
    with federation(1, shared=share(1)) as evaluator:
        evaluator.train_shared(MemoryJournal)
        assert told(evaluator.evaluate(candidate(0), Budget(epochs=TOTAL, total=TOTAL), apart=True)) == alone[0]


def test_nothing_is_shared_where_nobody_said_so():
    with federation() as evaluator, pytest.raises(ConfigError, match="expected weights to be shared"):
        evaluator.train_shared(MemoryJournal)
    with pytest.raises(ConfigError, match="rate"):
        share(rate=0.0)
