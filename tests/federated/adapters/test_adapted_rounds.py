"""Models of a site's owner in rounds of real sites: the same sums under encryption, and nothing else travels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nasturtium.core import ConfigError, FormatError, load_model
from nasturtium.federated import PlanError, Refusal
from nasturtium.federated.adapters import AdaptedModel, AdapterSpec, ModelCatalogue, load_adapted
from nasturtium.federated.site.refusals import refusal_of
from nasturtium.federated.site.state import SiteStates, session_from_bytes, session_to_bytes
from nasturtium.federated.strategies import FedAdam, FedPer, FedProx, Scaffold
from nasturtium.privacy import Aggregator, EncryptedUpdate, PackedAdder, PackedCipher, PlainAdder, Sitting

from ..conftest import PREPROCESSING, RUN, TASK, make_rows


@pytest.fixture
def spec(models) -> AdapterSpec:
    return models.describe("centroids", {"scale": 0.5}, TASK)


@pytest.fixture
def make_sites(make_site, models):
    def make(**fields):
        return [make_site(index, rows=10 * index, models=models, **fields) for index in (1, 2, 3)]

    return make


@pytest.fixture
def run_rounds(make_plan, preset, coordinator, spec):
    """Follow some rounds to the end."""

    def run(sites, rounds: int = 3, adder=None, **changes):
        total, fields = b"", {"spec": spec.to_json()} | changes
        members = {site.identity.id: site.identity for site in sites}
        for number in range(1, rounds + 1):
            plan = make_plan(number, total=total, **fields)
            answers = {site: site.follow(plan) for site in sites}
            assert len({answer.model_tag for answer in answers.values()}) == 1
            header = EncryptedUpdate.from_bytes(answers[sites[0]].update).header
            sitting = Sitting(run=RUN, round=number, attempt=1, layout=header.layout, values=header.values)
            summed = Aggregator(adder or PlainAdder(preset), sitting, members=members, signer=coordinator)
            for site, answer in answers.items():
                summed.add(answer.update, sender=site.identity.id)
            total = summed.finish().to_bytes()
        return [site.follow(make_plan(rounds + 1, phase="report", total=total, **fields)) for site in sites]

    return run


def tensors_of(site) -> dict[str, np.ndarray]:
    released = site.release()
    assert isinstance(released, AdaptedModel)
    return dict(released.tensors)


def test_an_encrypted_sum_is_the_plain_one_bit_for_bit(make_sites, run_rounds, preset, key):
    plain, sealed = make_sites(), make_sites(cipher=PackedCipher(key, preset))
    run_rounds(plain)
    run_rounds(sealed, adder=PackedAdder(preset, key.key_id))
    for one, other in zip(plain, sealed, strict=True):
        for name, array in tensors_of(one).items():
            assert array.tobytes() == tensors_of(other)[name].tobytes()


def test_the_model_is_the_mean_of_what_sites_made_and_local_tensors_stay(make_sites, run_rounds):
    sites = make_sites()
    reports = run_rounds(sites, rounds=2)
    assert {report.report.rows for report in reports} == {15}
    rows = [make_rows(10 * index, index) for index in (1, 2, 3)]
    counts = np.array([len(each) for each in rows])
    means = []
    for each in rows:
        inputs = PREPROCESSING.apply(each.inputs)
        means.append([inputs[each.labels == label].mean(axis=0) / 2 for label in (0, 1)])
    expected = np.average(np.array(means), axis=0, weights=counts)
    for site in sites:
        tensors = tensors_of(site)
        assert np.abs(tensors["means.weight"] - expected).max() < 0.1  # of levels, over a range that adapts
        # Buffers travel exactly: to 2^-24.
        np.testing.assert_allclose(tensors["seen.total"], [2, 2 * np.average(counts, weights=counts)], rtol=1e-5)
        assert tensors["seen.rounds"] == 9  # begun at 7


@pytest.mark.parametrize("made", [FedAdam(), FedPer()], ids=["fedadam", "fedper"])
def test_strategies_of_the_sites_sums_take_any_model(make_sites, run_rounds, made):
    sites = make_sites()
    run_rounds(sites, strategy=made.to_json())
    same = np.array_equal(tensors_of(sites[0])["means.weight"], tensors_of(sites[1])["means.weight"])
    assert same
    if isinstance(made, FedPer):  # "seen" is the last layer
        assert tensors_of(sites[0])["seen.total"][1] != tensors_of(sites[1])["seen.total"][1]


@pytest.mark.parametrize("made", [FedProx(mu=0.1), Scaffold()], ids=["fedprox", "scaffold"])
def test_a_strategy_of_single_steps_is_refused(make_sites, make_plan, spec, made):
    with pytest.raises(ConfigError, match="trains by its own library"):
        make_sites()[0].follow(make_plan(spec=spec.to_json(), strategy=made.to_json()))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan at first", "does not begin: 'means.weight' went beyond"),
        ("shape at first", "'seen.total': expected shape"),
        ("nan", "'means.weight' went beyond what is finite"),
        ("shape", "'means.weight': expected shape"),
        ("diverges", "the training diverged"),
    ],
)
def test_a_model_that_fails_at_a_site_is_refused_with_a_code(make_sites, make_plan, models, fault, message):
    spec = models.describe("centroids", {"fault": fault}, TASK)
    with pytest.raises(PlanError, match=message) as caught:
        make_sites()[0].follow(make_plan(spec=spec.to_json()))
    assert caught.value.refusal is Refusal.DATA


def test_a_site_without_the_model_says_it_is_not_ready(make_site, make_plan, spec):
    with pytest.raises(PlanError, match="no model is called") as caught:
        make_site(models=ModelCatalogue(installed=False)).follow(make_plan(spec=spec.to_json()))
    assert refusal_of(caught.value) is Refusal.NOT_READY


def test_a_plan_for_an_encrypted_union_is_refused_at_the_site(make_site, make_plan, models):
    spec = models.describe("union", {}, TASK)
    with pytest.raises(PlanError, match="is a union"):
        make_site(models=models).follow(make_plan(spec=spec.to_json()))


def test_a_site_that_restarts_goes_on_as_if_it_had_not(make_sites, make_site, run_rounds, models, tmp_path):
    sites, restarted = make_sites(), make_sites()
    states = SiteStates(tmp_path)
    restarted[0] = make_site(1, rows=10, models=models, states=states)
    run_rounds(sites)
    run_rounds(restarted)
    again = make_site(1, rows=10, models=models, states=states)
    assert again.release(RUN).tensors["seen.rounds"] == 10
    for name, array in tensors_of(sites[0]).items():
        assert np.array_equal(again.release(RUN).tensors[name], array)


def test_a_site_that_catches_up_begins_its_own_tensors_where_the_model_begins(make_sites, run_rounds):
    sites = make_sites()
    run_rounds(sites)
    given = session_to_bytes(sites[0]._sessions[RUN], shared_only=True)
    session = session_from_bytes(given, lambda text: PREPROCESSING)
    released = sites[1]._trainer.release(session, session.spec)
    assert released.tensors["seen.rounds"] == 7
    assert np.array_equal(released.tensors["means.weight"], tensors_of(sites[0])["means.weight"])


def test_a_released_model_is_kept_in_a_folder_without_code(make_sites, run_rounds, models, tmp_path):
    sites = make_sites()
    run_rounds(sites)
    released = sites[0].release()
    folder = released.save(tmp_path / "model", {"test_accuracy": 1.0})
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "means.txt",
        "model.json",
        "weights.safetensors",
    ]
    loaded = load_adapted(folder, models)
    rows = make_rows(50, 7)
    assert loaded.predict(rows.inputs) == released.predict(rows.inputs)
    assert loaded.evaluate(rows.inputs, rows.labels).accuracy > 0.8
    assert loaded.metadata == {"run": RUN, "test_accuracy": 1.0}
    np.testing.assert_allclose(loaded.predict_probabilities(rows.inputs).sum(axis=1), 1.0)
    assert np.array_equal(loaded.native(), released.tensors["means.weight"])
    with pytest.raises(FormatError, match="adapted-model"):
        load_model(folder)
    with pytest.raises(PlanError, match="no model is called"):
        load_adapted(folder, ModelCatalogue(installed=False))
    with pytest.raises(ConfigError, match="is not a saved model"):
        released.save(folder.parent)
    _damage(folder / "weights.safetensors")
    with pytest.raises(FormatError, match="checksum differs"):
        load_adapted(folder, models)
    with pytest.raises(FormatError, match="not a saved model"):
        load_adapted(tmp_path / "nothing", models)


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
