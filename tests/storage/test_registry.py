"""Published models, and the lineage that leads from one back to all it was made from."""

import pytest

from nasturtium.core import ConfigError
from nasturtium.storage import (
    CeremonyEntry,
    ContributionRecord,
    DatasetEntry,
    Ledger,
    ModelRegistry,
    RoundRecord,
    Spend,
    UnknownModelError,
    UnknownRunError,
    trace,
)
from nasturtium.storage.clock import now_us
from nasturtium.storage.models import from_us

NOW = from_us(now_us())


@pytest.fixture
def registry(database):
    return ModelRegistry(database)


@pytest.fixture
def save(tracker, tmp_path):
    """Let a run have saved a model of some content."""

    def save(uid: str, content: bytes = b"weights") -> None:
        path = tmp_path / "weights.safetensors"
        path.write_bytes(content)
        tracker.record_artifact(uid, path, role="model", media_type="application/vnd.safetensors")

    return save


def test_versions_count_up_and_the_same_model_is_the_same_version(tracker, registry, start_search, save):
    runs = [start_search(tracker).uid for _ in range(3)]
    for uid, content in zip(runs, [b"a", b"b", b"a"], strict=True):
        save(uid, content)
    first, second, again = (registry.register("digits", uid, signature={"classes": 10}) for uid in runs)
    assert [first.ref, second.ref, again.ref] == ["digits:1", "digits:2", "digits:1"]
    assert registry.find("digits") == second
    assert registry.find("digits:1") == first == again
    assert (first.run, first.signature, first.aliases) == (runs[0], {"classes": 10}, ())
    assert registry.versions("digits") == [second, first]
    assert registry.versions("other") == []


def test_an_alias_points_to_one_version_and_the_ledger_keeps_when(database, tracker, registry, start_search, save):
    for content in (b"a", b"b"):
        uid = start_search(tracker).uid
        save(uid, content)
        registry.register("digits", uid)
    registry.promote("digits:1", "production")
    promoted = registry.promote("digits:2", "production")
    assert promoted == registry.find("digits@production")
    assert (promoted.version, promoted.aliases) == (2, ("production",))
    assert registry.find("digits:1").aliases == ()
    entries = Ledger(database).entries(kind="promotion")
    assert [(entry.body["version"], entry.body["alias"]) for entry in entries] == [
        (1, "production"),
        (2, "production"),
    ]
    assert entries[1].body["sha256"] == promoted.sha256
    Ledger(database).verify()


@pytest.mark.parametrize("ref", ["nothing", "digits:2", "digits:x", "digits@staging", "digits:", "@production", "-"])
def test_what_is_not_published_is_not_found(tracker, registry, start_search, save, ref):
    uid = start_search(tracker).uid
    save(uid)
    registry.register("digits", uid)
    with pytest.raises(UnknownModelError):
        registry.find(ref)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a@b", "a/b", "x" * 101])
def test_a_name_that_could_be_something_else_is_refused(tracker, registry, start_search, save, name):
    uid = start_search(tracker).uid
    save(uid)
    with pytest.raises(ConfigError, match="a model's name"):
        registry.register(name, uid)


def test_a_run_without_a_model_is_not_published(tracker, registry, start_search):
    with pytest.raises(ConfigError, match="saved no model"):
        registry.register("digits", start_search(tracker).uid)


@pytest.fixture
def deployed(database, tracker, registry, start_search, start_trial, dataset, save):
    """Search -> trial -> retraining -> federated training over two sites -> model -> deployment; uids by name."""
    search = start_search(tracker)
    trial = start_trial(tracker, search)
    tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.9})
    retrain = tracker.start_child(search.uid, seed=1, config={"trial": trial}, origin=trial)
    tracker.finish(retrain, state="completed", metrics={"test_accuracy": 0.8})
    federated = tracker.start_federated(
        name="digits",
        seed=1,
        config={},
        dataset=dataset,
        clients=2,
        rounds=1,
        strategy="fedavg",
        scheme="ckks",
        alpha=None,
        model_run=search.uid,
        spec={},
    ).uid
    for site in ("site-1", "site-2"):
        entry = DatasetEntry(fingerprint=f"hmac-sha256:{site}", name=site, rows=None, body={}, keyed=True)
        tracker.record_site(federated, site, dataset=entry)
    ceremony = CeremonyEntry(scheme="ckks", key_id="k" * 32, members=["site-1", "site-2"], started=NOW, ended=NOW)
    tracker.record_ceremony(ceremony, run=federated)
    round = RoundRecord(
        number=1,
        participants=2,
        rejected=0,
        loss=0.1,
        accuracy=0.9,
        bytes_up=10,
        bytes_down=20,
        seconds=1,
        started=NOW,
    )
    sites = [
        ContributionRecord(client=site, state="accepted", reason=None, bytes_up=5, bytes_down=10, seconds=0.5)
        for site in ("site-1", "site-2")
    ]
    spend = Spend(subject=dataset.fingerprint, run=federated, round=1, mechanism="gaussian", epsilon=0.5, delta=1e-6)
    ledger = Ledger(database)
    tracker.record_round(federated, round, sites, and_then=lambda session: ledger.spend(spend, session=session))
    save(federated)
    tracker.finish(federated, state="completed", metrics={"test_accuracy": 0.85})
    version = registry.register("digits", federated)
    deployment = registry.deploy("digits:1", endpoint="http://localhost:8000/v2/models/digits")
    return {
        "search": search.uid,
        "trial": trial,
        "retrain": retrain,
        "federated": federated,
        "sha256": version.sha256,
        "deployment": deployment,
    }


@pytest.mark.parametrize("start", ["deployment", "sha256", "digits:1", "digits@production", "sha256 prefix"])
def test_a_deployment_leads_back_to_everything(database, registry, deployed, start):
    registry.promote("digits:1", "production")
    ref = {"sha256 prefix": deployed["sha256"][:10]}.get(start, deployed.get(start, start))
    found = trace(database, ref)
    told = {(node.kind, node.ref) for node in found.nodes}
    for kind, name in (("run", "search"), ("run", "trial"), ("run", "retrain"), ("run", "federated")):
        assert (kind, deployed[name]) in told, name
    assert {node.ref for node in found.nodes if node.kind == "dataset"} == {
        "sha256:11",
        "hmac-sha256:site-1",
        "hmac-sha256:site-2",
    }
    assert {node.kind for node in found.nodes} >= {"architecture", "artifact", "ceremony", "dataset", "run"}
    federated = next(node for node in found.nodes if node.ref == deployed["federated"])
    assert federated.facts["rounds"] == 1
    assert federated.facts["sites"] == ["site-1", "site-2"]
    assert federated.facts["privacy"] == [{"subject": "sha256:11", "releases": 1, "epsilon": 0.5, "delta": 1e-6}]


def test_the_data_leads_on_to_the_deployment(database, deployed):
    found = trace(database, deployed["search"], direction="results")
    assert deployed["deployment"] in {node.ref for node in found.nodes}
    assert found.nodes[0].ref == deployed["search"]
    assert all(edge.source < len(found.nodes) and edge.target < len(found.nodes) for edge in found.edges)


@pytest.mark.parametrize(
    ("ref", "error", "message"),
    [
        pytest.param("nothing", UnknownRunError, "nothing answers to 'nothing'", id="word"),
        pytest.param("", UnknownRunError, "nothing answers to ''", id="empty"),
        pytest.param("abcdef01" * 8, UnknownRunError, "nothing here has the SHA-256", id="hash"),
        pytest.param("digits:7", UnknownModelError, "no model digits:7", id="version"),
        pytest.param("%", UnknownRunError, "nothing answers", id="wildcard"),
    ],
)
def test_what_is_not_there_has_no_lineage(database, deployed, ref, error, message):
    with pytest.raises(error, match=message):
        trace(database, ref)


def test_undeploying_says_when_it_ended(database, registry, deployed):
    registry.undeploy(deployed["deployment"])
    assert trace(database, deployed["deployment"]).nodes[0].facts["stopped"] is not None
    with pytest.raises(UnknownModelError):
        registry.undeploy("0" * 26)
