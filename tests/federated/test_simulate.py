"""A whole federation on one machine: what it releases, what it writes down, and how it ends when it ends badly."""

from __future__ import annotations

import hashlib
from collections import Counter
from math import inf

import numpy as np
import pytest

from nasturtium.core import ConfigError, ModelSpec, load_model, weights_file
from nasturtium.core.data import dirichlet_split
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    FederationError,
    FederationStarted,
    PlanError,
    Refusal,
    RoundFinished,
    SimulationConfig,
    SimulationSetup,
    Site,
    simulate,
)
from nasturtium.storage import BudgetSpentError, History, Ledger, SignedHead, open_database

CLIENTS, ROUNDS = 3, 2
LINEAR = ModelSpec((1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=10)))
NORMED = ModelSpec(
    (1, 8, 8),
    (
        layer_spec("conv2d", out_channels=4, kernel=3),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("flatten"),
        layer_spec("linear", out_features=10),
    ),
)


def make_config(**changes: object) -> SimulationConfig:
    fields = {"data": "digits", "clients": CLIENTS, "rounds": ROUNDS, "seed": 1, "epochs": 1}
    return SimulationConfig(**fields | changes)


def run(database, spec=LINEAR, observe=lambda event: None, **changes: object):
    return simulate(SimulationSetup.load(make_config(**changes), spec=spec), database, observe=observe)


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "history.db") as database:
        yield database


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run as it is by default, its history and what was observed of it."""
    with open_database(tmp_path_factory.mktemp("simulation") / "history.db") as database:
        events = []
        yield run(database, observe=events.append), History(database), events


def released(result) -> dict[str, np.ndarray]:
    return load_model(result.model).model.state()


def assert_same(one, two) -> None:
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"scheme": "plain"}, id="without-encryption"),
        pytest.param({"scheme": "ckks-approximate"}, id="with-ckks"),
        pytest.param({}, id="again"),
        pytest.param({"workers": 3}, id="more-workers"),
        pytest.param({"processes": 2}, id="in-processes"),
    ],
)
def test_the_same_seed_releases_the_same_bits(finished, database, changes):
    result = run(database, **changes)
    assert_same(released(result), released(finished[0]))
    assert result.test == finished[0].test


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="encrypted"),
        pytest.param({"masked": True}, id="masked"),
        pytest.param({"epsilon": 100.0, "bits": 4}, id="with-noise"),
    ],
)
def test_some_train_and_all_take_the_step(database, changes):
    result = run(database, clients=8, participants=4, **changes)
    assert [(one.participants, one.rejected) for one in result.rounds] == [(4, 0)] * ROUNDS
    history = History(database)
    asked = [{one.client for one in history.contributions(result.run.uid, one.number)} for one in result.rounds]
    assert all(len(names) == 4 for names in asked)
    assert asked[0] != asked[1]  # drawn anew
    heads = list((database.heads_dir / result.run.uid).iterdir())
    assert len(heads) == 8  # also those that rested keep what they saw


def test_who_trains_is_drawn_by_the_seed_alone(database):
    one, two = (run(database, clients=8, participants=4, scheme="plain", workers=workers) for workers in (1, 3))
    assert_same(released(one), released(two))
    assert one.test == two.test


def test_as_many_participants_as_sites_is_all_of_them(finished, database):
    assert_same(released(run(database, participants=CLIENTS)), released(finished[0]))


def test_the_packed_encryption_of_8_bits_is_the_default():
    assert (SimulationConfig(data="digits").scheme, SimulationConfig(data="digits").bits) == ("packed", 8)


def test_other_bits_release_another_model(finished, database):
    weights = released(run(database, bits=4, scheme="plain"))
    assert any((weights[name] != array).any() for name, array in released(finished[0]).items())


def test_every_scheme_releases_the_same_bits_also_of_few_bits_and_with_batch_norm(database):
    plain, *encrypted = (
        run(database, NORMED, bits=2, scheme=scheme) for scheme in ("plain", "packed", "ckks-approximate")
    )
    assert [each.run.scheme for each in encrypted] == ["packed", "ckks-approximate"]
    for result in encrypted:
        assert_same(released(result), released(plain))
        assert [each.loss for each in result.rounds] == [each.loss for each in plain.rounds]


def test_another_seed_releases_another_model(finished, database):
    weights = released(run(database, seed=2, scheme="plain"))
    assert any((weights[name] != array).any() for name, array in released(finished[0]).items())


def test_the_run_is_in_the_history(finished):
    result, history, _ = finished
    record = history.federated(result.run.uid)
    assert (record.run.state, record.run.error, record.clients, record.rounds) == ("completed", None, CLIENTS, ROUNDS)
    assert (record.scheme, record.alpha, record.spec) == ("packed", 0.5, LINEAR.to_dict())
    metrics = record.run.metrics
    assert metrics["test_accuracy"] == result.test.accuracy
    assert metrics["val_accuracy"] == result.rounds[-1].accuracy
    assert metrics["parameters"] == LINEAR.plan().parameters
    kept = {file.name: file.sha256 for file in history.artifacts(result.run.uid)}
    assert set(kept) == {"model.json", "weights.safetensors"}
    assert hashlib.sha256(weights_file(result.model).read_bytes()).hexdigest() == kept["weights.safetensors"]


def test_the_released_model_leads_back_to_sites_key_rounds_and_what_they_cost(finished):
    result, history, _ = finished
    lineage = history.lineage("digits:1")
    kinds = Counter(node.kind for node in lineage.nodes)
    assert kinds == {"version": 1, "artifact": 1, "run": 1, "dataset": 1 + CLIENTS, "ceremony": 1}
    told = next(node for node in lineage.nodes if node.kind == "run").facts
    assert (told["rounds"], told["sites"]) == (ROUNDS, [f"site-{i + 1}" for i in range(CLIENTS)])
    # Every training round released a sum, and the closing one counts; there is no noise.
    fingerprint = history.dataset(result.run.uid).fingerprint
    assert told["privacy"] == [{"subject": fingerprint, "releases": ROUNDS + 1, "epsilon": inf, "delta": 0.0}]


def test_sites_are_known_by_keyed_fingerprints_that_the_seed_decides(finished, database):
    result, history, _ = finished
    sites = {role: entry for role, entry in history.datasets(result.run.uid).items() if role != "data"}
    assert list(sites) == [f"site/site-{i + 1}" for i in range(CLIENTS)]
    assert all(entry.keyed and entry.rows is None for entry in sites.values())
    again = run(database)
    assert {role: e for role, e in History(database).datasets(again.run.uid).items() if role != "data"} == sites


def test_every_site_keeps_the_head_of_the_ledger(finished):
    result, history, _ = finished
    database = history.database
    heads = {
        path.name: SignedHead.from_json(path.read_text()) for path in (database.heads_dir / result.run.uid).iterdir()
    }
    assert set(heads) == {f"site-{i + 1}.head.json" for i in range(CLIENTS)}
    assert len({head.hash for head in heads.values()}) == 1
    report = Ledger(database).verify(heads)
    assert report.entries >= ROUNDS + 1


def test_a_round_over_the_budget_is_not_begun(database):
    first = run(database, scheme="plain")
    fingerprint = History(database).dataset(first.run.uid).fingerprint
    ledger = Ledger(database)
    ledger.set_budget(fingerprint, epsilon=3.0, delta=1e-5)
    spent = ledger.spent(fingerprint)
    events = []
    with pytest.raises(
        BudgetSpentError,
        match=r"^the run releases sums without noise, whose epsilon is unbounded; left are 0 and 1e-05",
    ):
        run(database, scheme="plain", observe=events.append)
    assert [type(event) for event in events] == [FederationStarted]
    refused = History(database).runs()[0]
    assert (refused.state, History(database).rounds(refused.uid)) == ("failed", [])
    assert ledger.spent(fingerprint) == spent


def test_a_machine_is_watched_if_asked(database):
    setup = SimulationSetup.load(make_config(scheme="plain"), spec=LINEAR)
    result = simulate(setup, database, monitor=0.1, experiment="watched")
    history = History(database)
    assert history.find(result.run.uid).experiment == "watched"
    assert "cpu_percent" in history.system_curves(result.run.uid)


def test_every_round_is_in_the_history_with_its_figures(finished):
    result, history, _ = finished
    rounds = history.rounds(result.run.uid)
    assert rounds == result.rounds
    assert [r.number for r in rounds] == [1, 2]
    for one in rounds:
        assert (one.participants, one.rejected) == (CLIENTS, 0)
        assert 0 <= one.accuracy <= 1
        assert one.loss > 0
        assert one.bytes_up > CLIENTS * 2048  # a ciphertext each
        assert one.seconds > 0
    assert rounds[1].bytes_down > rounds[0].bytes_down  # from then on there is a sum to send
    assert rounds[1].loss < rounds[0].loss


def test_every_contribution_is_in_the_history(finished):
    result, history, _ = finished
    for one in result.rounds:
        contributions = history.contributions(result.run.uid, one.number)
        assert [(c.client, c.state, c.reason) for c in contributions] == [
            (f"site-{i}", "accepted", None) for i in range(1, CLIENTS + 1)
        ]
        assert sum(c.bytes_up for c in contributions) == one.bytes_up
        assert sum(c.bytes_down for c in contributions) == one.bytes_down


def test_all_bytes_of_the_run_are_counted(finished):
    """Those of its rounds, and those of the two that close it."""
    result, _, _ = finished
    assert result.run.run.metrics["bytes_up"] > sum(one.bytes_up for one in result.rounds)
    assert result.run.run.metrics["bytes_down"] > sum(one.bytes_down for one in result.rounds)


def test_the_observer_sees_the_start_and_every_round(finished):
    result, _, events = finished
    assert [type(event) for event in events] == [FederationStarted, *[RoundFinished] * ROUNDS]
    assert events[0].run.uid == result.run.uid
    assert [(event.number, event.total) for event in events[1:]] == [(1, ROUNDS), (2, ROUNDS)]


@pytest.mark.parametrize(("bits", "factor"), [(8, 1.9), (4, 3.3)])
def test_an_encrypted_update_of_many_weights_is_smaller_than_float32_in_the_clear(database, bits, factor):
    wide = ModelSpec(
        (1, 8, 8),
        (layer_spec("flatten"), layer_spec("linear", out_features=400), layer_spec("linear", out_features=10)),
    )
    [one] = run(database, wide, rounds=1, bits=bits).rounds
    assert one.bytes_plain == CLIENTS * 4 * wide.plan().parameters
    assert one.bytes_up * factor < one.bytes_plain


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_linear_model_learns_the_digits(database, bits):
    assert run(database, rounds=10, alpha=10.0, epochs=2, scheme="plain", bits=bits).test.accuracy > 0.8


@pytest.mark.parametrize("alpha", [0.05, 0.5, 100.0])
@pytest.mark.parametrize("clients", [3, 7, 50])
def test_the_shares_of_the_sites_are_the_pool(clients, alpha):
    setup = SimulationSetup.load(make_config(clients=clients, alpha=alpha))
    assert len(setup.pool) + len(setup.held_out) == len(setup.data)
    assert len(setup.shares) == clients
    assert min(len(share) for share in setup.shares) >= 2
    pool, shared = (
        Counter(row.tobytes() for part in parts for row in part.inputs) for parts in ([setup.pool], setup.shares)
    )
    assert pool == shared


def test_a_network_with_batch_norm_trains(database):
    result = run(database, NORMED, rounds=3)
    assert result.rounds[-1].loss < result.rounds[0].loss
    weights = released(result)
    assert all(np.isfinite(array).all() for array in weights.values())
    [variance] = [array for name, array in weights.items() if name.endswith("running_var")]
    assert (variance > 0).all()
    assert (variance != 1).any()


def test_a_default_network_is_there_where_none_is_given():
    setup = SimulationSetup.load(make_config())
    assert setup.spec.plan().output_shape == (10,)


def test_a_site_that_fails_is_recorded_and_the_others_go_on(database, monkeypatch):
    work = Site._work

    def moody(site, session, plan):
        if site.name == "site-2" and plan.round == 1:
            raise ValueError("row 7 is secret")
        return work(site, session, plan)

    monkeypatch.setattr(Site, "_work", moody)
    result = run(database, clients=CLIENTS + 1)
    history = History(database)
    assert [(one.participants, one.rejected) for one in result.rounds] == [(CLIENTS, 1), (CLIENTS + 1, 0)]
    rejected = history.contributions(result.run.uid, 1)[1]
    assert (rejected.client, rejected.state, rejected.reason) == ("site-2", "rejected", Refusal.INTERNAL.reason)


def test_too_few_sites_leave_the_run_failed_with_the_reason(database, monkeypatch):
    def refuse(site, plan):
        raise PlanError("not today")

    monkeypatch.setattr(Site, "follow", refuse)
    with pytest.raises(FederationError, match="round 1 has 0 usable answers"):
        run(database)
    [record] = History(database).runs()
    assert record.state == "failed"
    assert record.error.startswith("FederationError: round 1 has 0 usable answers")
    assert History(database).rounds(record.uid) == []
    [attempt] = History(database).attempts(record.uid)
    assert (attempt.round, attempt.attempt, attempt.phase) == (1, 1, "train")
    assert attempt.failure.startswith("round 1 has 0 usable answers")
    assert attempt.refusals == {f"site-{i + 1}": Refusal.MESSAGE.reason for i in range(CLIENTS)}
    assert not database.models_dir.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_a_model_that_is_not_finite_is_not_kept_and_the_reason_said(database, monkeypatch, value):
    release = Site.release

    def spoil(site):
        saved = release(site)
        state = saved.model.state()
        state |= {name: np.full_like(array, value) for name, array in state.items() if name.endswith("bias")}
        saved.model.load_state(state)
        return saved

    monkeypatch.setattr(Site, "release", spoil)
    with pytest.raises(FederationError, match="its weights went beyond what is finite") as refused:
        run(database, scheme="plain")
    assert "smaller clip" in refused.value.hint
    [record] = History(database).runs()
    assert (record.state, record.error.startswith("FederationError")) == ("failed", True)
    assert not database.models_dir.exists()


def test_an_interruption_leaves_the_run_interrupted_with_its_rounds(database):
    def interrupt(event):
        if isinstance(event, RoundFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(database, observe=interrupt)
    history = History(database)
    [record] = history.runs()
    assert (record.state, record.error) == ("interrupted", "interrupted")
    assert [one.number for one in history.rounds(record.uid)] == [1]
    assert not database.models_dir.exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"clients": 2}, "expected 3 to 10000 clients, got 2", id="two-clients"),
        pytest.param({"clients": 1}, "expected 3 to 10000 clients, got 1", id="one-client"),
        pytest.param({"clients": 0}, "expected 3 to 10000 clients, got 0", id="no-client"),
        pytest.param({"clients": 1000}, "1000 clients need at least 2000 training rows", id="more-than-rows"),
        pytest.param({"clients": 1001}, "expected 3 to 1000 participants in a round, got 1001", id="more-than-a-sum"),
        pytest.param({"clients": 10_001}, "expected 3 to 10000 clients, got 10001", id="more-than-ever"),
        pytest.param({"participants": 2}, "expected 3 to 3 participants in a round, got 2", id="two-participants"),
        pytest.param({"participants": 4}, "expected 3 to 3 participants in a round, got 4", id="more-than-there-are"),
        pytest.param({"participants": 3.0}, "participants in a round, got 3.0", id="participants-and-a-bit"),
        pytest.param({"processes": -1}, "expected 0 to 256 processes, got -1", id="processes"),
        pytest.param({"processes": True}, "expected 0 to 256 processes, got True", id="processes-true"),
        pytest.param({"processes": 2, "ray": "local"}, "leave one of them out", id="processes-and-ray"),
        pytest.param({"ray": ""}, 'expected ray to be the address of a cluster or "local"', id="ray-nowhere"),
        pytest.param(
            {"scheme": "ckks"}, "expected a scheme of packed, ckks-approximate, plain, got 'ckks'", id="scheme"
        ),
        pytest.param({"bits": 0}, "expected 1 to 16 bits, got 0", id="no-bits"),
        pytest.param({"bits": 17}, "expected 1 to 16 bits, got 17", id="too-many-bits"),
        pytest.param({"alpha": 0.0}, "expected alpha > 0 and finite, got 0.0", id="alpha-zero"),
        pytest.param({"alpha": -1.0}, "expected alpha > 0 and finite, got -1.0", id="alpha-negative"),
        pytest.param({"alpha": float("nan")}, "expected alpha > 0 and finite, got nan", id="alpha-nan"),
        pytest.param({"alpha": float("inf")}, "expected alpha > 0 and finite, got inf", id="alpha-infinite"),
        pytest.param({"rounds": 0}, "expected rounds >= 1, got 0$", id="no-rounds"),
        pytest.param({"epochs": 0}, "expected epochs >= 1, got 0$", id="no-epochs"),
        pytest.param({"workers": 0}, "expected workers >= 1, got 0$", id="no-workers"),
        pytest.param({"rounds": 2**31}, "expected rounds <= 2147483647, got 2147483648", id="endless"),
        pytest.param({"rounds": 2.0}, "expected rounds >= 1, got 2.0", id="half-rounds"),
        pytest.param({"clients": "4"}, "expected 3 to 10000 clients, got '4'", id="text-clients"),
        pytest.param({"split_seed": -1}, "expected 0 <= split_seed", id="split-seed"),
        pytest.param({"scheme": "plain", "masked": True}, "leave out --plain .*, or the masks", id="plain-masked"),
        pytest.param(
            {"scheme": "ckks-approximate", "masked": True}, "leave out --ckks .*, or the masks", id="ckks-masked"
        ),
        pytest.param({"scheme": "plain", "epsilon": 8.0}, "leave out --plain .*, or epsilon", id="plain-noise"),
        pytest.param({"seed": -1}, "expected 0 <= seed < 2\\*\\*63, got -1", id="seed-negative"),
        pytest.param({"seed": 2**63}, "expected 0 <= seed", id="seed-too-large"),
        pytest.param({"spec": ModelSpec((5,), (layer_spec("linear", out_features=10),))}, "does not fit", id="input"),
        pytest.param(
            {"spec": ModelSpec((1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=9)))},
            "does not fit the data",
            id="classes",
        ),
    ],
)
def test_a_request_that_cannot_be_served_writes_nothing(database, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        run(database, **changes)
    assert History(database).runs() == []
    assert not database.models_dir.exists()


def test_the_split_is_that_of_the_core():
    """Only the seed decides it: not the network, the rounds or the protection."""
    one = SimulationSetup.load(make_config())
    two = SimulationSetup.load(make_config(rounds=9, epochs=3, scheme="plain", bits=3, workers=7), spec=NORMED)
    assert dirichlet_split.__module__.startswith("nasturtium.core")
    assert [share.fingerprint for share in one.shares] == [share.fingerprint for share in two.shares]
