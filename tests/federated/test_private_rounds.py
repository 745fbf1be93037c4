"""Noise in rounds: what it costs is recorded and refused beyond a budget, by the ledger and by every site itself."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from math import inf, isfinite, nan

import numpy as np
import pytest

from nasturtium.core import ConfigError, Metrics, ModelSpec, ParameterLayout, build, derive_rng
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    FederationError,
    FederationStarted,
    MaskTerms,
    PlanError,
    PrivacyTerms,
    Quantisation,
    RoundFinished,
    RoundPlan,
    SimulationConfig,
    SimulationSetup,
    Site,
    SiteMasks,
    simulate,
)
from nasturtium.federated.updates.private_symbols import PrivateSymbols, privacy_terms
from nasturtium.federated.updates.symbols import Contribution
from nasturtium.privacy import (
    Accountant,
    Aggregator,
    AttemptJournal,
    Budget,
    BudgetExhaustedError,
    ClientDp,
    ClientDpSite,
    EncryptedUpdate,
    Identity,
    PlainAdder,
    PlainCipher,
    Sitting,
    calibrate_client_dp,
)
from nasturtium.storage import BudgetSpentError, History, Ledger, open_database

EPSILON, DELTA, ROUNDS = 8.0, 1e-5, 3
LINEAR = ModelSpec((1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=10)))
NORMED = ModelSpec((3,), (layer_spec("batch_norm"), layer_spec("linear", out_features=2)))
WIDE = ModelSpec((3,), (layer_spec("linear", out_features=300), layer_spec("linear", out_features=2)))


def load(spec=LINEAR, **changes: object) -> SimulationSetup:
    fields = {"data": "digits", "clients": 6, "rounds": ROUNDS, "seed": 1, "epochs": 1, "bits": 4}
    fields |= {"epsilon": EPSILON, "delta": DELTA}
    return SimulationSetup.load(SimulationConfig(**fields | changes), spec=spec)


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "history.db") as database:
        yield database


def model_of(site: Site) -> np.ndarray:
    model = site.release().model
    return ParameterLayout.of(model).flatten(model.state())


@pytest.mark.parametrize("masked", [False, True])
def test_all_rounds_together_cost_no_more_than_the_budget_and_each_is_recorded(database, masked):
    setup = load(masked=masked)
    result = simulate(setup, database)
    ledger, data = Ledger(database), setup.data.fingerprint
    spends = [entry.body for entry in ledger.entries(subject=data, kind="spend")]
    assert [spend["round"] for spend in spends] == [1, 2, 3]  # nothing is measured, and the last is only handed over
    assert {spend["mechanism"] for spend in spends} == {"SkellamSum"}
    totals = [spend["total"]["epsilon"] for spend in spends]
    assert totals == sorted(set(totals))
    assert 0.99 * EPSILON < totals[-1] <= EPSILON
    assert spends[-1]["total"]["delta"] == DELTA
    again = Accountant.from_details(spends[0]["details"])
    assert again.epsilon(DELTA) == spends[0]["epsilon"]
    assert isfinite(ledger.spent(data).epsilon)
    ledger.verify(signatures=True)
    assert [each.accuracy for each in result.rounds] == [None] * ROUNDS
    assert History(database).federated(result.run.uid).run.config["epsilon"] == EPSILON


def test_a_second_run_on_the_same_data_adds_to_the_first(database):
    setup = load(rounds=1)
    for runs in (1, 2):
        simulate(setup, database)
        spent = Ledger(database).spent(setup.data.fingerprint)
        assert (runs - 1) * EPSILON < spent.epsilon <= runs * EPSILON
        assert spent.delta == pytest.approx(runs * DELTA)


def test_a_run_without_noise_has_no_bound(database):
    setup = load(epsilon=None)
    simulate(setup, database)
    assert Ledger(database).spent(setup.data.fingerprint).epsilon == inf


def test_the_ledger_refuses_a_round_beyond_the_budget(database):
    setup = load()
    ledger, data = Ledger(database), setup.data.fingerprint

    def spend_elsewhere(event: object) -> None:
        if isinstance(event, RoundFinished) and event.number == 1:
            ledger.set_budget(data, epsilon=7.0, delta=DELTA)

    with pytest.raises(BudgetSpentError, match=r"round 3 is not begun: it needs epsilon .*, delta 0; left are"):
        simulate(setup, database, observe=spend_elsewhere)
    [run] = History(database).runs()
    assert run.state == "failed"
    assert [entry.body["round"] for entry in ledger.entries(subject=data, kind="spend")] == [1, 2]
    assert ledger.spent(data).epsilon <= 7.0
    with pytest.raises(BudgetSpentError, match="without noise, whose epsilon is unbounded"):
        simulate(load(epsilon=None), database)


def test_a_run_that_its_budget_does_not_last_for_is_refused_before_it_releases_anything(database):
    setup, events = load(epsilon=6.0), []
    ledger, data = Ledger(database), setup.data.fingerprint
    ledger.set_budget(data, epsilon=3.0, delta=9e-5)
    with pytest.raises(
        BudgetSpentError,
        match=r"^the run needs epsilon 6, delta 1e-05; left are 3 and 9e-05: epsilon is what is missing",
    ):
        simulate(setup, database, observe=events.append)
    assert [type(event) for event in events] == [FederationStarted]
    [run] = History(database).runs()
    assert (run.state, History(database).rounds(run.uid)) == ("failed", [])
    assert ledger.spent(data).releases == 0
    simulate(load(epsilon=3.0), database)


def test_the_start_says_how_long_the_noise_is(database):
    setup, events = load(rounds=1), []
    simulate(setup, database, observe=events.append)
    assert events[0].noise_to_clip == setup.calibrate().noise_to_clip(6)


def test_noise_is_another_for_the_same_seed(database):
    """It comes from the operating system: whoever knew the seed could take it away."""
    assert inspect.signature(ClientDpSite).parameters["random_bytes"].default is os.urandom
    results = [simulate(load(rounds=1), database) for _ in range(2)]
    assert results[0].test.loss_sum != results[1].test.loss_sum


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"epsilon": 0.0}, "^expected epsilon > 0 and finite, got 0.0$", id="epsilon"),
        pytest.param({"epsilon": -1.0}, "^expected epsilon > 0 and finite, got -1.0$", id="negative-epsilon"),
        pytest.param({"epsilon": inf}, "^expected epsilon > 0 and finite, got inf$", id="no-bound"),
        pytest.param({"epsilon": nan}, "^expected epsilon > 0 and finite, got nan$", id="no-number"),
        pytest.param({"epsilon": "8"}, "^expected epsilon > 0 and finite, got '8'$", id="text"),
        pytest.param({"epsilon": True}, "^expected epsilon > 0 and finite, got True$", id="truth"),
        pytest.param({"epsilon": 10**400}, "^expected epsilon > 0 and finite, got 1000", id="no-float"),
        pytest.param({"delta": 0.0}, "^expected delta with 0 < delta < 1, got 0.0$", id="delta"),
        pytest.param({"delta": 1.0}, "^expected delta with 0 < delta < 1, got 1.0$", id="delta-of-one"),
        pytest.param({"delta": nan}, "^expected delta with 0 < delta < 1, got nan$", id="delta-nan"),
        pytest.param({"clip": 0.0}, "^expected clip from 1e-06 to 1e[+]06, got 0.0$", id="clip"),
        pytest.param({"clip": 1e20}, "^expected clip from 1e-06 to 1e[+]06, got 1e[+]20$", id="vast-clip"),
        pytest.param({"clip": nan}, "^expected clip from 1e-06 to 1e[+]06, got nan$", id="clip-nan"),
        pytest.param({"bits": 1}, "^expected 2 to 16 bits with a privacy budget, got 1$", id="bits"),
        pytest.param({"bits": 17}, "^expected 2 to 16 bits with a privacy budget, got 17$", id="too-many-bits"),
        pytest.param(
            {"bits": 16, "rounds": 100},
            "epsilon 8 over 100 rounds with 16 bits needs more noise than fits",
            id="no-preset",
        ),
        pytest.param({"epsilon": 1e-9}, "epsilon 1e-09 over 3 rounds with 4 bits needs more noise", id="much-noise"),
        pytest.param({"epsilon": 0.1, "delta": 1e-12, "bits": 16}, "needs more noise than fits", id="noise-and-bits"),
        pytest.param({"rounds": 10**9}, "over 1000000000 rounds with 4 bits needs more noise", id="many-rounds"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_and_nothing_written(database, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        simulate(load(**changes), database)
    assert History(database).runs() == []


def test_batch_norm_is_refused_by_the_coordinator_and_by_each_site(database, private_sites, make_private_plan):
    normed = ModelSpec(
        (1, 8, 8), (layer_spec("batch_norm"), layer_spec("flatten"), layer_spec("linear", out_features=10))
    )
    with pytest.raises(ConfigError, match="running means of its data, which no noise hides") as refused:
        simulate(load(normed), database)
    assert "group norm" in refused.value.hint
    assert History(database).runs() == []
    with pytest.raises(ConfigError, match="running means of its data, which no noise hides"):
        private_sites()[0].follow(make_private_plan(spec=NORMED.to_json()))


@pytest.fixture(scope="module")
def agreed() -> ClientDp:
    """For five sites, of which one may drop out of a round."""
    return calibrate_client_dp(
        EPSILON,
        DELTA,
        rounds=2,
        clients=5,
        clip=1.0,
        bits=4,
        dimension=ParameterLayout.of(build(WIDE, derive_rng(0, "layout"))).size,
        fewest_sites=4,
    )


@pytest.fixture(scope="module")
def terms(agreed) -> PrivacyTerms:
    return privacy_terms(agreed)


@pytest.fixture
def private_sites(make_site, agreed):
    def make(count: int = 5, budget: tuple[float, float] | None = None) -> list[Site]:
        cipher = PlainCipher(agreed.preset)
        return [
            make_site(index + 1, cipher=cipher, budget=None if budget is None else Budget(*budget))
            for index in range(count)
        ]

    return make


@pytest.fixture
def make_private_plan(make_plan, agreed, terms):
    def make(round: int = 1, **changes: object) -> RoundPlan:
        fields = {
            "spec": WIDE.to_json(),
            "quantisation": Quantisation(preset=agreed.preset.name, bound=0.1),
            "privacy": terms,
        }
        return make_plan(round, **fields | changes)

    return make


@pytest.fixture
def add_up(coordinator, agreed):
    def add(plan: RoundPlan, sites: list[Site]) -> bytes:
        answers = [site.follow(plan) for site in sites]
        header = EncryptedUpdate.from_bytes(answers[0].update).header
        sitting = Sitting(run=plan.run, round=plan.round, layout=header.layout, values=header.values)
        members = {site.identity.id: site.identity for site in sites}
        total = Aggregator(PlainAdder(agreed.preset), sitting, members=members, signer=coordinator)
        for site, answer in zip(sites, answers, strict=True):
            total.add(answer.update, sender=site.identity.id)
        return total.finish().to_bytes()

    return add


def test_a_site_takes_the_noisy_mean_and_reports_nothing(private_sites, make_private_plan, add_up):
    sites = private_sites()
    total = add_up(make_private_plan(), sites)
    before = model_of(sites[0])
    answers = [site.follow(make_private_plan(2, phase="report", total=total)) for site in sites]
    assert len({answer.model_tag for answer in answers}) == 1
    assert {(answer.report.rows, answer.report.correct, answer.report.loss) for answer in answers} == {(0, 0, 0.0)}
    assert (model_of(sites[0]) != before).any()


def test_the_noise_of_a_sum_is_as_strong_as_was_accounted_for(private_sites, make_private_plan, add_up, agreed):
    """In a round in which nobody changes anything, it is all there is in a sum: that of all sites but one counts."""
    sites = private_sites(4)
    total = add_up(make_private_plan(phase="evaluate"), sites)
    before = model_of(sites[0]).astype(np.float64)
    sites[0].follow(make_private_plan(2, phase="report", total=total))
    steps = 4 * (model_of(sites[0]) - before) / agreed.quantizer.step
    of_the_others = steps.std() * np.sqrt(3 / 4)
    assert abs(of_the_others / agreed.sigma - 1) < 0.12  # 1,802 values


def test_the_sum_of_too_few_sites_is_not_opened_and_one_of_enough_still_is(private_sites, make_private_plan, add_up):
    sites = private_sites()
    plan = make_private_plan()
    few = add_up(plan, sites[:3])
    late = make_private_plan(2, phase="report", total=few)
    before = model_of(sites[0])
    with pytest.raises(PlanError, match="a sum of 3 updates has too little noise: it is not opened"):
        sites[0].follow(late)
    np.testing.assert_array_equal(model_of(sites[0]), before)
    others = private_sites()
    enough = add_up(plan, others[:4])
    others[0].follow(make_private_plan(2, phase="report", total=enough))
    assert sites[0].follow(make_private_plan(2, phase="report", total=enough)).report is not None


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": 1.0},
        {"clip": 100.0},
        {"value_range": 50.0},
        {"fewest_sites": 3},
        {"colluders": 2},
        {"distribution": "discrete-gaussian"},
    ],
    ids=str,
)
def test_terms_do_not_change_in_a_run(private_sites, make_private_plan, add_up, terms, change):
    sites = private_sites()
    total = add_up(make_private_plan(), sites)
    for privacy in (replace(terms, **change), None):
        for plan in (make_private_plan(2, total=total, privacy=privacy), make_private_plan(attempt=2, privacy=privacy)):
            with pytest.raises(PlanError, match="has another privacy than run 01JRUN began with"):
                sites[0].follow(plan)


def test_updates_of_sites_that_were_told_other_terms_have_no_sum(private_sites, make_private_plan, terms):
    """One with less noise would hide the others less than they believe."""
    plans = [make_private_plan(), make_private_plan(privacy=replace(terms, sigma=terms.sigma / 2))]
    layouts = {
        EncryptedUpdate.from_bytes(site.follow(plan).update).header.layout
        for site, plan in zip(private_sites(2), plans, strict=True)
    }
    assert len(layouts) == 2


def test_masks_come_off_no_sum_with_too_little_noise(make_site, make_private_plan, agreed, terms):
    identity = Identity.generate("site-1")
    masking = SiteMasks(identity, {identity.public.id: identity.public}, "5a" * 32, AttemptJournal(None))
    site = make_site(1, cipher=PlainCipher(agreed.preset), masks=masking)
    masks = MaskTerms(roster_sha256="5a" * 32, threshold=terms.fewest_sites - 1, colluders=1)
    with pytest.raises(PlanError, match="masks that come off with 3 sites bare sums of fewer than the 4"):
        site.follow(make_private_plan(masks=masks))


def test_a_site_refuses_what_would_exceed_its_own_budget(private_sites, make_private_plan, add_up, agreed):
    """Whatever the coordinator's ledger says; the round is not answered, and nothing more is."""
    accountant = Accountant()
    accountant.add(agreed.event())
    sites = private_sites(budget=(accountant.epsilon(DELTA) * 1.01, DELTA))
    total = add_up(make_private_plan(), sites)
    for plan in (make_private_plan(2, total=total), make_private_plan(2, attempt=2, total=total)):
        with pytest.raises(BudgetExhaustedError, match="it is not made"):
            sites[0].follow(plan)
    with pytest.raises(BudgetExhaustedError):
        sites[1].follow(make_private_plan(run="01JOTHER"))
    report = sites[1].follow(make_private_plan(1, run="01JTHIRD", phase="report"))
    assert report.update == b""  # only what releases something costs something


def test_another_attempt_costs_as_much_as_the_first(private_sites, make_private_plan, agreed):
    both = Accountant()
    both.add(agreed.event(), 2)
    [site] = private_sites(1, budget=(both.epsilon(DELTA), DELTA))
    for attempt in (1, 2):
        site.follow(make_private_plan(attempt=attempt))
    with pytest.raises(BudgetExhaustedError):
        site.follow(make_private_plan(attempt=3))


def test_a_site_with_a_budget_follows_no_plan_without_noise(private_sites, make_private_plan):
    [site] = private_sites(1, budget=(100.0, DELTA))
    with pytest.raises(BudgetExhaustedError, match="bring epsilon to inf of 100"):
        site.follow(make_private_plan(privacy=None))


def test_sites_that_refuse_end_the_run_with_the_reason(database, monkeypatch):
    def half(epsilon, delta):
        return Budget(epsilon / 2, delta)

    monkeypatch.setattr("nasturtium.federated.simulation.sites.Budget", half)
    setup = load()
    with pytest.raises(FederationError, match=r"round 1 has 0 usable answers.*the site failed: 'budget'"):
        simulate(setup, database)


def test_a_change_of_any_length_counts_for_as_much_as_was_accounted_for(agreed, terms):
    """Beside the noise, which is drawn from the operating system and taken away again by a mean over many."""
    symbols = PrivateSymbols(build(WIDE, derive_rng(0, "layout")), agreed.preset, terms)
    assert symbols.weight(10, 10_000) == symbols.weight(10_000, 10_000) == 1.0
    change = np.full(agreed.dimension, 1e9)
    rng, rounds = np.random.default_rng(0), 40
    contribution = Contribution(change, 1.0, Metrics(0.0, 0, 0))
    means: list[float] = []
    for _ in range(rounds):
        sums = sum(symbols.encode(contribution, np.empty(0), rng).astype(np.int64) for _ in range(5))
        total = symbols.decode(sums, 5, np.empty(0))
        assert (total.weight, total.measured.rows) == (5.0, 0)
        means.append(float(total.change.mean()) / 5)
    each = agreed.clip / np.sqrt(agreed.dimension)
    noise = agreed.sigma * agreed.quantizer.step / np.sqrt(3 * 5 * agreed.dimension * rounds)
    assert 6 * noise < each / 4
    assert abs(np.mean(means) - each) < 6 * noise


def test_what_a_private_run_cost_is_told_by_itself_also_after_an_exact_one(database):
    setup = SimulationSetup.load(SimulationConfig(data="digits", clients=5, rounds=1, epochs=1))
    simulate(setup, database)
    private = replace(setup, config=replace(setup.config, epsilon=4.0, bits=4))
    uid = simulate(private, database).run.uid
    [cost] = next(node.facts["privacy"] for node in History(database).lineage("digits:2").nodes if node.kind == "run")
    assert History(database).find(uid).state == "completed"
    assert cost["releases"] == 1
    assert 3.5 < cost["epsilon"] <= 4.0
