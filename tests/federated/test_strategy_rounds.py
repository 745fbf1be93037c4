"""Strategies in rounds of real sites: laws that tie them to federated averaging, and what stays at a site."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nasturtium.core import ConfigError, ModelSpec, NasturtiumError, ParameterLayout, build, derive_rng, ops
from nasturtium.core.autograd import grad
from nasturtium.core.data import Preprocessing
from nasturtium.core.nn import layer_spec
from nasturtium.core.spec import parse_json
from nasturtium.core.tensor import Tensor
from nasturtium.federated import LocalTraining, PlanError, Quantisation, RoundPlan, Site
from nasturtium.federated.compression import ChangedOnly, LowRank, TopK
from nasturtium.federated.protocol.records import plan_from_content, plan_to_content
from nasturtium.federated.site.session import Session
from nasturtium.federated.site.state import SiteStates
from nasturtium.federated.strategies import (
    STRATEGIES,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedBN,
    FederatedStrategy,
    FedPer,
    FedProx,
    LocalStart,
    Scaffold,
)
from nasturtium.federated.updates.model_tensors import ModelTensors
from nasturtium.privacy import (
    Aggregator,
    AttemptJournal,
    EncryptedUpdate,
    PlainAdder,
    PlainCipher,
    Sitting,
    smallest_preset,
)

WITH_NORM = ModelSpec(
    (3,), (layer_spec("linear", out_features=6), layer_spec("batch_norm"), layer_spec("linear", out_features=2))
)
ROWS = (8, 13, 40)
RUN = "01JRUN"


@pytest.fixture
def make_sites(make_site):
    def make(cipher=None, rows=ROWS) -> list[Site]:
        return [make_site(i, rows=each, cipher=cipher) for i, each in enumerate(rows, 1)]

    return make


@pytest.fixture
def add_up(coordinator, preset):
    """The sum of answers: site -> `ClientUpdate`."""

    def add(plan, answers, adder=None) -> bytes:
        header = EncryptedUpdate.from_bytes(next(iter(answers.values())).update).header
        sitting = Sitting(
            run=plan.run, round=plan.round, attempt=plan.attempt, layout=header.layout, values=header.values
        )
        members = {site.identity.id: site.identity for site in answers}
        total = Aggregator(adder or PlainAdder(preset), sitting, members=members, signer=coordinator)
        for site, answer in answers.items():
            total.add(answer.update, sender=site.identity.id)
        return total.finish().to_bytes()

    return add


@pytest.fixture
def run_rounds(make_plan, add_up):
    """Follow some rounds to the end; the plans' fields are `changes`."""

    def run(sites: list[Site], rounds: int = 3, adder=None, **changes: Any) -> None:
        total = b""
        for number in range(1, rounds + 1):
            plan = make_plan(number, total=total, **changes)
            answers = {site: site.follow(plan) for site in sites}
            assert len({answer.model_tag for answer in answers.values()}) == 1
            total = add_up(plan, answers, adder)
        for site in sites:
            site.follow(make_plan(rounds + 1, phase="report", total=total, **changes))

    return run


def weights(site: Site) -> dict[str, np.ndarray]:
    return site.release().model.state()


def same(one: Site, other: Site) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def session_of(site: Site) -> Session:
    return site._sessions[RUN]


def said(made: FederatedStrategy, **changes: Any) -> dict[str, Any]:
    return {"strategy": made.to_json(), **changes}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(FedAvgM(learning_rate=1.0, momentum=0.0), id="no-momentum"),
        pytest.param(FedProx(mu=0.0), id="no-pull"),
        pytest.param(FedBN(), id="no-normalisation"),
    ],
)
@pytest.mark.parametrize("spec", ["linear", "norm"])
def test_what_adds_nothing_is_federated_averaging_bit_for_bit(make_sites, run_rounds, made, spec):
    fields = {} if spec == "linear" else {"spec": WITH_NORM.to_json()}
    if spec == "norm" and isinstance(made, FedBN):
        pytest.skip("there it adds something")
    ours, plain = make_sites(), make_sites()
    run_rounds(ours, **said(made, **fields))
    run_rounds(plain, **said(FedAvg(), **fields))
    assert same(ours[0], plain[0])


@pytest.mark.parametrize("name", sorted({*STRATEGIES} - {"median", "trimmed-mean", "krum", "bulyan", "fedbuff"}))
def test_the_same_run_gives_the_same_bits_in_any_order_of_sites(make_sites, run_rounds, name):
    fields = {"spec": WITH_NORM.to_json(), "strategy": STRATEGIES[name]().to_json()}
    one, other = make_sites(), make_sites()
    run_rounds(one, **fields)
    run_rounds(other[::-1], **fields)
    for first, second in zip(one, other, strict=True):
        assert same(first, second)


@pytest.mark.parametrize("made", [FedAvgM(), FedAdam(), Scaffold(), FedProx(mu=1.0)])
def test_what_adds_something_is_another_model_and_all_sites_agree_on_it(make_sites, run_rounds, made):
    ours, plain = make_sites(), make_sites()
    run_rounds(ours, **said(made))
    run_rounds(plain)
    assert not same(ours[0], plain[0])
    assert same(ours[0], ours[1])
    assert same(ours[0], ours[2])


def test_a_pull_holds_sites_back(make_site, make_plan, run_rounds, make_sites):
    moved = []
    for mu in (0.0, 5.0, 500.0):
        sites = make_sites()
        start = make_site(1)
        start.follow(make_plan(**said(FedProx(mu=mu))))
        begun = weights(start)
        run_rounds(sites, 1, training=LocalTraining(epochs=20, batch_size=4, max_rows=100), **said(FedProx(mu=mu)))
        moved.append(sum(float(np.abs(weights(sites[0])[name] - begun[name]).sum()) for name in begun))
    assert moved[0] > moved[1] > moved[2]


@pytest.mark.parametrize("made", [FedProx(mu=5.0), Scaffold()], ids=["fedprox", "scaffold"])
def test_corrected_steps_are_the_same_where_they_are_compiled(made, run_rounds, make_sites, monkeypatch):
    found = []
    for switch in ("on", "off"):
        monkeypatch.setenv("NASTURTIUM_COMPILE", switch)
        sites = make_sites()
        run_rounds(sites, 2, training=LocalTraining(epochs=20, batch_size=4, max_rows=100), **said(made))
        found.append(weights(sites[0]))
    for name, compiled in found[0].items():
        np.testing.assert_allclose(compiled, found[1][name], rtol=0, atol=2e-3)  # updates are quantised


def test_a_pull_is_the_gradient_of_its_term(make_plan):
    """mu/2 |w - w0|^2 by the core's own derivative."""
    start = np.random.default_rng(0).standard_normal(7).astype(np.float32)
    now = np.random.default_rng(1).standard_normal(7).astype(np.float32)
    gradient = np.zeros(7, np.float32)
    correct = FedProx(mu=0.3).correction(LocalStart(start, {}, {}))
    assert correct is not None
    correct(now, gradient)
    tensor = Tensor(now, requires_grad=True)
    [expected] = grad(ops.sum((tensor - Tensor(start)) ** 2) * 0.15, [tensor])
    np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-6)


# --- what stays at a site ---


@pytest.mark.parametrize(
    ("made", "local"),
    [
        pytest.param(FedBN(), {"weight", "bias", "running_mean", "running_var"}, id="fedbn"),
        pytest.param(FedPer(), {"weight", "bias"}, id="fedper"),
    ],
)
def test_local_tensors_do_not_travel_and_are_the_sites_own(make_sites, run_rounds, made, local):
    model = build(WITH_NORM, derive_rng(0, "layout"))
    names = {name for name, _ in model.named_tensors()}
    travelling = set(made.shared(ModelTensors.of(model)))
    assert {name.rpartition(".")[2] for name in names - travelling} == local
    sites = make_sites()
    run_rounds(sites, **said(made, spec=WITH_NORM.to_json()))
    first, second = weights(sites[0]), weights(sites[1])
    for name in names:
        assert np.array_equal(first[name], second[name]) == (name in travelling)


def test_with_all_layers_but_none_shared_nothing_would_travel():
    with pytest.raises(ConfigError, match="of 3 layers with weights, 3 cannot stay local"):
        FedPer(layers=3).shared(ModelTensors.of(build(WITH_NORM, derive_rng(0, "layout"))))


@pytest.mark.parametrize("made", [FedPer(), Scaffold()], ids=["fedper", "scaffold"])
def test_what_a_site_keeps_is_its_own_once_it_is_in_a_sum(make_sites, make_plan, add_up, made):
    """A site whose update of a round is not in the sum stands where it stood; with it, it has moved."""
    fields = said(made, spec=WITH_NORM.to_json())
    *others, left_out = make_sites(rows=(8, 13, 40, 20))
    plan = make_plan(**fields)
    answers = {site: site.follow(plan) for site in [*others, left_out]}
    before = dict(session_of(left_out).own)
    assert session_of(left_out).pending
    total = add_up(plan, {site: answers[site] for site in others})
    following = make_plan(2, phase="report", total=total, **fields)
    for site in [*others, left_out]:
        site.follow(following)
        session = session_of(site)
        assert not session.pending
        moved = session.own.keys() != before.keys() or any(
            not np.array_equal(session.own[name], before[name]) for name in before
        )
        assert moved == (site is not left_out)


def test_another_attempt_begins_where_the_round_began(make_sites, make_plan):
    site, fields = make_sites()[0], said(Scaffold())
    site.follow(make_plan(**fields))
    first = dict(session_of(site).pending)
    site.follow(make_plan(attempt=2, **fields))
    for name, array in session_of(site).pending.items():
        np.testing.assert_allclose(array, first[name], atol=0.02)  # but for the rounding to levels
    assert session_of(site).own == {}


def test_a_round_that_only_measures_sends_nothing_of_its_own(make_sites, run_rounds, make_plan, add_up):
    sites, fields = make_sites(), said(FedPer(), spec=WITH_NORM.to_json())
    plan = make_plan(**fields)
    total = add_up(plan, {site: site.follow(plan) for site in sites})
    plan = make_plan(2, phase="evaluate", total=total, **fields)
    total = add_up(plan, {site: site.follow(plan) for site in sites})
    before = [weights(site) for site in sites]
    for site, known in zip(sites, before, strict=True):
        site.follow(make_plan(3, phase="report", total=total, **fields))
        assert all(np.array_equal(array, known[name]) for name, array in weights(site).items())


def test_another_strategy_than_the_run_began_with_is_not_followed(make_sites, make_plan, add_up):
    sites, plan = make_sites(), make_plan()
    total = add_up(plan, {site: site.follow(plan) for site in sites})
    with pytest.raises(PlanError, match="round 2 has another strategy than run 01JRUN began with"):
        sites[0].follow(make_plan(2, total=total, strategy=FedAdam().to_json()))


def test_strategy_and_compression_are_part_of_what_updates_mean(make_plan):
    plans = [make_plan(), make_plan(strategy=FedProx().to_json()), make_plan(compression=TopK().to_json())]
    assert len({plan.layout_sha256("00") for plan in plans}) == 3


def test_strategy_and_compression_travel_with_a_plan(make_plan):
    plan = make_plan(strategy=FedProx(mu=0.1).to_json(), compression=LowRank(rank=3).to_json())
    assert plan_from_content(plan_to_content(plan)) == plan


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(said(Scaffold()), id="scaffold"),
        pytest.param(said(FedAdam()), id="fedadam"),
        pytest.param(said(FedPer(), spec=WITH_NORM.to_json()), id="fedper"),
        pytest.param({"compression": LowRank(rank=1).to_json(), "spec": WITH_NORM.to_json()}, id="low-rank"),
    ],
)
def test_a_site_that_restarts_between_rounds_goes_on_as_if_it_had_not(
    make_site, make_plan, add_up, coordinator, preset, tmp_path, fields
):
    steady = [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]
    total = b""
    for number in range(1, 5):
        restarted = [
            Site(
                site._identity,
                site._train,
                site._validation,
                PlainCipher(preset),
                coordinator=coordinator.public,
                journal=AttemptJournal(None),
                masks=None,
                states=SiteStates(tmp_path / site.name),
            )
            for site in steady
        ]
        plan = make_plan(number, total=total, **fields)
        answers = {site: site.follow(plan) for site in steady}
        again = {site: site.follow(plan) for site in restarted}
        for one, other in zip(answers.values(), again.values(), strict=True):
            assert one.model_tag == other.model_tag
            assert EncryptedUpdate.from_bytes(one.update).body == EncryptedUpdate.from_bytes(other.update).body
        total = add_up(plan, answers)


# --- SCAFFOLD ---


def test_scaffold_is_its_algorithm_in_numpy(make_plan, coordinator, add_up, make_site):
    """Algorithm 1 with option II, written down anew; ours rounds to 16-bit levels on the way."""
    preset = smallest_preset(3, 16)
    made = Scaffold(learning_rate=0.1, server_learning_rate=0.8)
    fields = said(
        made,
        quantisation=Quantisation(preset=preset.name, bound=2.0, rule="fixed"),
        training=LocalTraining(epochs=2, batch_size=4, max_rows=100, weight_decay=0.0),
    )
    sites = [make_site(i, rows=rows, cipher=PlainCipher(preset)) for i, rows in enumerate(ROWS, 1)]
    total = b""
    for number in range(1, 5):
        plan = make_plan(number, total=total, **fields)
        total = add_up(plan, {site: site.follow(plan) for site in sites}, PlainAdder(preset))
    for site in sites:
        site.follow(make_plan(5, phase="report", total=total, **fields))
    session = session_of(sites[0])

    x, c, own = scaffold_in_numpy(make_plan(**fields), sites, rounds=4, rate=0.1, server_rate=0.8)
    np.testing.assert_allclose(session.vector, x, rtol=0, atol=2e-3)
    np.testing.assert_allclose(session.server["control"], c, rtol=0, atol=2e-3)
    for site, control in zip(sites, own, strict=True):
        np.testing.assert_allclose(session_of(site).own["control"], control, rtol=0, atol=2e-3)
    controls = [session_of(site).own["control"] for site in sites]
    np.testing.assert_allclose(session.server["control"], np.mean(controls, axis=0), rtol=0, atol=1e-6)


def scaffold_in_numpy(
    plan: RoundPlan, sites: list[Site], *, rounds: int, rate: float, server_rate: float
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The model, the control and the sites' controls, of softmax regression."""
    model = build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights"))
    layout = ParameterLayout.of(model)
    x = layout.flatten(model.state()).astype(np.float64)
    prepare = Preprocessing.from_dict(parse_json(plan.preprocessing)).apply
    c, own = np.zeros_like(x), [np.zeros_like(x) for _ in sites]

    def gradient(y: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts = layout.unflatten(y.astype(np.float32))
        [weight] = [value for name, value in parts.items() if value.ndim == 2]
        [bias] = [value for name, value in parts.items() if value.ndim == 1]
        into_rows = weight.shape[0] == inputs.shape[1]
        logits = inputs @ (weight if into_rows else weight.T) + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        odds[np.arange(len(labels)), labels] -= 1
        odds /= len(labels)
        products = inputs.T @ odds if into_rows else odds.T @ inputs
        found = {name: products if value.ndim == 2 else odds.sum(axis=0) for name, value in parts.items()}
        return np.concatenate([found[name].ravel() for name, _, _ in layout.entries])

    for number in range(1, rounds + 1):
        moved, changed = [], []
        for index, site in enumerate(sites):
            inputs, labels = prepare(site._train.inputs), site._train.labels
            y, steps, size = x.copy(), 0, plan.training.batch_size
            rng = derive_rng(plan.seed, "shuffle", site.name, number)
            for _ in range(plan.training.epochs):
                order = rng.permutation(len(labels))
                for start in range(0, len(labels), size):
                    rows = order[start : start + size]
                    y -= rate * (gradient(y, inputs[rows], labels[rows]) - own[index] + c)
                    steps += 1
            control = own[index] - c + (x - y) / (steps * rate)
            moved.append(y - x)
            changed.append(control - own[index])
            own[index] = control
        x = x + server_rate * np.mean(moved, axis=0)
        c = c + np.mean(changed, axis=0)
    return x, c, own


def test_controls_of_sites_that_sat_out_stay_and_the_mean_moves_by_their_part():
    made = Scaffold(sites=10)
    state = made.absorb({"control": np.full(3, 2.0, np.float32)}, 5, made.init(3))
    np.testing.assert_array_equal(state["control"], np.full(3, 1.0, np.float32))


# --- compression ---


def test_only_what_changed_travels_and_the_model_is_the_same_bit_for_bit(make_sites, run_rounds, preset):
    cipher, adder = PlainCipher(preset, sparse=True), PlainAdder(preset, sparse=True)
    sparse, dense = make_sites(cipher), make_sites()
    run_rounds(sparse, adder=adder, compression=ChangedOnly().to_json())
    run_rounds(dense)
    assert same(sparse[0], dense[0])


@pytest.mark.parametrize("made", [TopK(fraction=0.3), LowRank(rank=1)], ids=["top-k", "low-rank"])
def test_what_was_not_said_is_kept_for_later(make_sites, make_plan, add_up, made):
    spec = ModelSpec((3,), (layer_spec("linear", out_features=9), layer_spec("linear", out_features=2)))
    fields = {"compression": made.to_json(), "spec": spec.to_json()}
    sites = make_sites()
    total = b""
    for number in (1, 2, 3):
        plan = make_plan(number, total=total, **fields)
        answers = {site: site.follow(plan) for site in sites}
        assert len({answer.model_tag for answer in answers.values()}) == 1
        total = add_up(plan, answers)
        for site in sites:
            assert np.abs(session_of(site).pending["residual"]).sum() > 0
    sites[0].follow(make_plan(4, phase="report", total=total, **fields))


@pytest.mark.parametrize("made", [TopK(fraction=1.0), LowRank(rank=3)], ids=["top-k", "low-rank"])
def test_a_compression_that_leaves_nothing_out_is_near_to_none(make_sites, run_rounds, made):
    """Sites say what they rounded off later, so it is not the same to the last bit."""
    ours, plain = make_sites(), make_sites()
    run_rounds(ours, compression=made.to_json())
    run_rounds(plain)
    for name, array in weights(ours[0]).items():
        np.testing.assert_allclose(array, weights(plain[0])[name], atol=2e-3)


def test_a_plan_with_an_unknown_strategy_is_not_followed(make_site, make_plan):
    for text in ('{"name":"fedsgd"}', "{", '{"name":"fedprox","mu":-1.0}'):
        with pytest.raises(NasturtiumError):
            make_site().follow(replace(make_plan(), strategy=text))
