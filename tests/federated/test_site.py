"""A site: starts from the seed, follows plans in order only, takes the steps of federated averaging, reports counts."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import (
    FormatError,
    ModelSpec,
    ParameterLayout,
    Trainer,
    TrainingConfig,
    build,
    derive_rng,
    evaluate,
)
from nasturtium.core.data import Preprocessing
from nasturtium.core.spec import parse_json
from nasturtium.federated import PlanError, Site
from nasturtium.privacy import (
    Aggregator,
    CkksCipher,
    EncryptedSum,
    EncryptedUpdate,
    FixedPoint,
    PlainAdder,
    PlainCipher,
    PrivacyError,
    SecretKey,
)
from nasturtium.storage import IntegrityError, Ledger, open_database

ROWS = (8, 13, 40)


def vector_of(model) -> np.ndarray:
    return ParameterLayout.of(model).flatten(model.state())


def initial(plan) -> np.ndarray:
    return vector_of(build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights")))


def add_up(adder, plan, answers) -> bytes:
    """What a coordinator does with the answers to a plan: name -> `ClientUpdate`."""
    header = EncryptedUpdate.from_bytes(next(iter(answers.values())).update).header
    total = Aggregator(adder, run=plan.run, round=plan.round, layout=header.layout, values=header.values)
    for name, answer in answers.items():
        total.add(answer.update, sender=name)
    return total.finish(min_summands=1).to_bytes()


def run_round(adder, plan, sites) -> bytes:
    return add_up(adder, plan, {site.name: site.follow(plan) for site in sites})


@pytest.fixture
def sites(make_site):
    return [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]


def test_the_first_model_is_the_one_of_the_seed(make_site, make_plan):
    plan = make_plan()
    answers = [make_site(i).follow(plan) for i in (1, 2)]
    assert {answer.model_sha256 for answer in answers} == {hashlib.sha256(initial(plan).tobytes()).hexdigest()}
    assert make_site(1).follow(replace(plan, seed=6)).model_sha256 != answers[0].model_sha256


def test_training_leaves_the_shared_model_as_it_was(make_site, make_plan):
    site, plan = make_site(), make_plan()
    site.follow(plan)
    np.testing.assert_array_equal(vector_of(site.release().model), initial(plan))


def test_the_same_plan_gives_the_same_integers(make_site, make_plan):
    one, two = (make_site().follow(make_plan()).update for _ in range(2))
    assert one == two


def test_a_step_is_the_mean_of_the_trained_models_weighted_by_rows(scheme, make_site, make_plan):
    cipher, adder = scheme
    sites = [make_site(i, rows=rows, cipher=cipher) for i, rows in enumerate(ROWS, 1)]
    plan = make_plan()
    total = run_round(adder, plan, sites)
    trained: list[np.ndarray] = []
    for site in sites:
        model = build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights"))
        config = TrainingConfig(
            learning_rate=plan.training.learning_rate,
            schedule="constant",
            weight_decay=plan.training.weight_decay,
            batch_size=plan.training.batch_size,
            epochs=plan.training.epochs,
            patience=None,
        )
        rows = site._train
        inputs = Preprocessing.from_dict(parse_json(plan.preprocessing)).apply(rows.inputs)
        Trainer(model, config, derive_rng(plan.seed, "shuffle", site.name, 1)).fit(inputs, rows.labels)
        trained.append(vector_of(model).astype(np.float64))
    mean = np.average(trained, axis=0, weights=ROWS)
    assert np.abs(mean - initial(plan)).max() > 1e-3
    for site in sites:
        site.follow(make_plan(2, phase="report", total=total))
        # Three updates and their weights, each to half of 2**-24, over a weight of 0.61; and float32.
        np.testing.assert_allclose(vector_of(site.release().model), mean, rtol=0, atol=1e-6)


def test_more_rows_than_the_public_bound_count_as_the_bound(make_site, make_plan):
    """Every update ends with the weight, the measured rows, how many were right, and their loss."""
    plan = make_plan()
    plan = replace(plan, training=replace(plan.training, max_rows=10))
    weights = []
    for rows in (5, 10, 40):
        update = EncryptedUpdate.from_bytes(make_site(rows=rows).follow(plan).update)
        integers = PlainCipher().decrypt(update.body, update.header.values)
        weights.append(FixedPoint(24).decode(integers[-4:-3])[0])
    assert weights == [0.5, 1.0, 1.0]


def test_all_sites_stay_on_the_same_model(sites, make_plan):
    adder, total = PlainAdder(), b""
    seen = []
    for number in (1, 2, 3):
        plan = make_plan(number, total=total)
        answers = {site.name: site.follow(plan) for site in sites}
        [model] = {answer.model_sha256 for answer in answers.values()}
        seen.append(model)
        total = add_up(adder, plan, answers)
    assert len(set(seen)) == 3


def test_the_report_is_the_count_over_all_sites(sites, make_plan):
    plan = make_plan()
    total = run_round(PlainAdder(), plan, sites)
    model = build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights"))
    prepare = Preprocessing.from_dict(parse_json(plan.preprocessing)).apply
    measured = [evaluate(model, prepare(s._validation.inputs), s._validation.labels) for s in sites]
    rows, correct = sum(m.rows for m in measured), sum(m.correct for m in measured)
    for site in sites:
        report = site.follow(make_plan(2, total=total)).report
        assert (report.model_round, report.rows, report.correct) == (0, rows, correct)
        assert report.loss == pytest.approx(sum(m.loss_sum for m in measured) / rows, abs=2e-3)


def test_a_round_that_only_measures_changes_nothing(sites, make_plan):
    total = run_round(PlainAdder(), make_plan(), sites)
    total = run_round(PlainAdder(), make_plan(2, phase="evaluate", total=total), sites)
    before = vector_of(sites[0].release().model)
    last = sites[0].follow(make_plan(3, phase="report", total=total))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), before)
    assert last.update == b""
    assert (last.report.model_round, last.report.rows) == (1, 15)


def test_a_new_run_begins_anew(make_site, make_plan):
    site = make_site()
    first = site.follow(make_plan())
    again = site.follow(make_plan(run="01JOTHER"))
    assert again.model_sha256 == first.model_sha256
    assert site.release().metadata == {"run": "01JOTHER"}


@pytest.mark.parametrize(
    ("followed", "number", "run", "reason"),
    [
        pytest.param(0, 2, "01JRUN", "was asked to join run 01JRUN in round 2, expected 1", id="joins-late"),
        pytest.param(0, 0, "01JRUN", "in round 0, expected 1", id="joins-early"),
        pytest.param(1, 2, "01JOTHER", "was asked to join run 01JOTHER in round 2", id="other-run"),
        pytest.param(1, 1, "01JRUN", "has done round 1, got a plan for round 1", id="again"),
        pytest.param(1, 3, "01JRUN", "has done round 1, got a plan for round 3", id="one-left-out"),
        pytest.param(2, 1, "01JRUN", "has done round 2, got a plan for round 1", id="back"),
    ],
)
def test_a_plan_out_of_order_is_not_followed(sites, make_plan, followed, number, run, reason):
    total = b""
    for done in range(1, followed + 1):
        total = run_round(PlainAdder(), make_plan(done, total=total), sites)
    with pytest.raises(PlanError, match=reason):
        sites[0].follow(make_plan(number, run=run, total=total))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"run": "01JOTHER"}, id="run"),
        pytest.param({"round": 2}, id="round"),
        pytest.param({"layout": "cd" * 32}, id="layout"),
        pytest.param({"key_id": "ef"}, id="key"),
        pytest.param({"scheme": "ckks"}, id="scheme"),
        pytest.param({"values": 3}, id="values"),
    ],
)
def test_a_sum_that_belongs_elsewhere_is_refused_and_the_right_one_still_taken(sites, make_plan, changes):
    total = EncryptedSum.from_bytes(run_round(PlainAdder(), make_plan(), sites))
    wrong = replace(total, header=replace(total.header, **changes))
    with pytest.raises(PlanError, match="a sum that does not belong to round 1 of run 01JRUN"):
        sites[0].follow(make_plan(2, total=wrong.to_bytes()))
    right = make_plan(2, total=total.to_bytes())
    assert sites[0].follow(right).model_sha256 == sites[1].follow(right).model_sha256


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"garbage" * 9, lambda data: data[:-1]])
def test_a_damaged_sum_is_refused_and_the_right_one_still_taken(sites, make_plan, damage):
    total = run_round(PlainAdder(), make_plan(), sites)
    with pytest.raises(PrivacyError):
        sites[0].follow(make_plan(2, total=damage(total)))
    right = make_plan(2, total=total)
    assert sites[0].follow(right).model_sha256 == sites[1].follow(right).model_sha256


def test_a_sum_that_cannot_be_opened_is_refused_without_detail(key, make_site, make_plan):
    site = make_site(cipher=CkksCipher(key))
    header = EncryptedUpdate.from_bytes(site.follow(make_plan()).update).header
    body = CkksCipher(SecretKey.generate()).encrypt(np.zeros(header.values))
    forged = EncryptedSum(replace(header, sender="coordinator", summands=2), body)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be decrypted$"):
        site.follow(make_plan(2, total=forged.to_bytes()))


class Moody(PlainCipher):
    """Fails to protect when it is told to, as where the local training diverged."""

    fails = False

    def encrypt(self, values):
        if self.fails:
            raise PrivacyError("a value to be summed is not finite")
        return super().encrypt(values)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_site_that_failed_in_a_round_takes_its_step_once_and_is_back_in_the_next(make_site, make_plan, failing):
    moody = Moody()
    good, other, bad = make_site(1), make_site(0), make_site(2, cipher=moody)
    total = b""
    for number in (1, 2, 3):
        plan = make_plan(number, total=total)
        answers = {site.name: site.follow(plan) for site in (good, other)}
        moody.fails = number == failing
        if moody.fails:
            with pytest.raises(PrivacyError, match="not finite"):
                bad.follow(plan)
            with pytest.raises(PlanError, match=f"has done round {number}"):
                bad.follow(plan)
        else:
            answers[bad.name] = bad.follow(plan)
            assert answers[bad.name].model_sha256 == answers[good.name].model_sha256
        total = add_up(PlainAdder(), plan, answers)


def test_a_sum_of_one_update_is_not_opened(make_site, make_plan):
    """It would be that site's update; an honest coordinator does not send one."""
    site = make_site()
    plan = make_plan()
    total = add_up(PlainAdder(), plan, {site.name: site.follow(plan)})
    with pytest.raises(PlanError, match="a sum of 1 updates, expected at least 2"):
        site.follow(make_plan(2, total=total))


def test_a_network_that_cannot_be_is_refused(make_site, make_plan):
    with pytest.raises(FormatError):
        make_site().follow(make_plan(spec='{"format": "nasturtium.model-spec", "version": 99}'))


def test_a_plan_for_other_data_is_refused(make_site, make_plan):
    plan = make_plan()
    other = plan.preprocessing.replace('"yes"', '"maybe"')
    with pytest.raises(PlanError, match="the plan's task is not that of the data of site-1"):
        make_site().follow(replace(plan, preprocessing=other))


def test_without_a_run_there_is_nothing_to_release(make_site):
    with pytest.raises(PlanError, match="site-1 has no model"):
        make_site().release()


def test_nothing_that_is_printed_of_a_site_shows_its_rows(make_site):
    assert repr(make_site()).startswith(f"<{Site.__module__}.Site object")


@pytest.fixture
def ledger(tmp_path):
    with open_database(tmp_path / "coordinator.db") as database:
        yield Ledger(database)


def test_a_site_keeps_the_newest_head_of_the_ledger(make_site, make_plan, ledger):
    site = make_site()
    assert site.ledger_head is None
    site.follow(make_plan())
    assert site.ledger_head is None  # this coordinator keeps no ledger
    site = make_site()
    ledger.append("config", {"round": 1})
    site.follow(make_plan(ledger_head=ledger.head().to_json()))
    assert site.ledger_head == ledger.head()


@pytest.mark.parametrize("how", ["older", "another ledger", "forged", "garbage"])
def test_a_site_follows_no_plan_whose_ledger_does_not_go_on(make_site, make_plan, ledger, tmp_path, how):
    site = make_site()
    ledger.append("config", {"round": 1})
    older = ledger.head()
    ledger.append("config", {"round": 2})
    site.follow(make_plan(ledger_head=ledger.head().to_json()))
    kept = site.ledger_head
    with open_database(tmp_path / "other.db") as database:
        for _ in range(3):
            Ledger(database).append("config", {})
        head = {
            "older": older.to_json(),
            "another ledger": Ledger(database).head().to_json(),
            "forged": replace(kept, hash="0" * 64).to_json(),
            "garbage": "{}",
        }[how]
    with pytest.raises((PlanError, IntegrityError, FormatError)):
        site.follow(make_plan(round=2, total=b"x", ledger_head=head))
    assert site.ledger_head == kept
