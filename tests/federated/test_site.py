"""A site: starts from the seed, follows plans in order only, takes the steps of federated averaging, reports counts."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import (
    FormatError,
    Metrics,
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
from nasturtium.federated import ClientUpdate, PlanError, Quantisation, Site
from nasturtium.federated.updates.symbols import Contribution, UpdateSymbols
from nasturtium.privacy import (
    Aggregator,
    ApproximateCkksCipher,
    CkksSecretKey,
    EncryptedSum,
    EncryptedUpdate,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    PrivacyError,
    SecretKey,
    Sitting,
    protect,
    smallest_preset,
)
from nasturtium.storage import IntegrityError, Ledger, open_database

ROWS = (8, 13, 40)


def vector_of(model) -> np.ndarray:
    return ParameterLayout.of(model).flatten(model.state())


def initial(plan) -> np.ndarray:
    return vector_of(build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights")))


def trained_at(plan, site) -> np.ndarray:
    """What a site makes of the first model, by the core's own trainer."""
    model = build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights"))
    config = TrainingConfig(
        learning_rate=plan.training.learning_rate,
        schedule="constant",
        weight_decay=plan.training.weight_decay,
        batch_size=plan.training.batch_size,
        epochs=plan.training.epochs,
        patience=None,
    )
    inputs = Preprocessing.from_dict(parse_json(plan.preprocessing)).apply(site._train.inputs)
    Trainer(model, config, derive_rng(plan.seed, "shuffle", site.name, 1)).fit(inputs, site._train.labels)
    return vector_of(model).astype(np.float64)


def body_of(answer: ClientUpdate) -> bytes:
    return bytes(EncryptedUpdate.from_bytes(answer.update).body)


@pytest.fixture
def add_up(coordinator, preset):
    """What a coordinator does with the answers to a plan: site -> `ClientUpdate`."""

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
def run_round(add_up):
    def run(plan, sites, adder=None) -> bytes:
        return add_up(plan, {site: site.follow(plan) for site in sites}, adder)

    return run


@pytest.fixture
def sites(make_site):
    return [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]


def test_the_first_model_is_the_one_of_the_seed(make_site, make_plan):
    plan = make_plan()
    sites = [make_site(i) for i in (1, 2)]
    assert len({site.follow(plan).model_tag for site in sites}) == 1
    for site in sites:
        np.testing.assert_array_equal(vector_of(site.release().model), initial(plan))
    other = make_site(1)
    other.follow(replace(plan, seed=6))
    assert (vector_of(other.release().model) != initial(plan)).any()


def test_the_tag_of_a_model_tells_models_runs_and_keys_apart(make_site, make_plan, make_scheme, preset):
    ours = make_scheme("packed", preset)[0]
    theirs = PackedCipher(SecretKey.generate(), preset)
    tags = [
        make_site(cipher=cipher).follow(make_plan(**changes)).model_tag
        for cipher, changes in ((ours, {}), (ours, {"seed": 6}), (ours, {"run": "01JOTHER"}), (theirs, {}))
    ]
    assert len(set(tags)) == 4
    assert make_site(2, cipher=ours).follow(make_plan()).model_tag == tags[0]
    assert hashlib.sha256(initial(make_plan()).tobytes()).hexdigest() not in tags


def test_training_leaves_the_shared_model_as_it_was(make_site, make_plan):
    site, plan = make_site(), make_plan()
    site.follow(plan)
    np.testing.assert_array_equal(vector_of(site.release().model), initial(plan))


def test_the_same_plan_gives_the_same_integers(make_site, make_plan):
    one, two = (body_of(make_site().follow(make_plan())) for _ in range(2))
    assert one == two


def test_another_attempt_says_the_same(make_site, make_plan):
    """Two sums of a round tell no more than one."""
    site = make_site()
    assert body_of(site.follow(make_plan())) == body_of(site.follow(make_plan(attempt=2)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["plain", "packed", "ckks-approximate"])
def test_a_step_is_the_mean_of_the_trained_models_weighted_by_rows(
    make_scheme, make_site, make_plan, run_round, name, bits
):
    """Within the rounding: each of the three changes by less than a step between two levels."""
    preset = smallest_preset(3, bits)
    quantisation = Quantisation(preset=preset.name, bound=0.02)
    cipher, adder = make_scheme(name, preset)
    sites = [make_site(i, rows=rows, cipher=cipher) for i, rows in enumerate(ROWS, 1)]
    plan = make_plan(quantisation=quantisation)
    total = run_round(plan, sites, adder)
    trained = [trained_at(plan, site) for site in sites]
    changes = [rows / 100 * (model - initial(plan)) for rows, model in zip(ROWS, trained, strict=True)]
    assert max(np.abs(change).max() for change in changes) < quantisation.bound
    mean = np.average(trained, axis=0, weights=ROWS)
    step = 2 * quantisation.bound / (preset.levels - 1)
    # The weights travel exactly, to half of 2**-24; the model is float32.
    tolerance = len(sites) * step / (sum(ROWS) / 100) + 1e-6
    assert np.abs(mean - initial(plan)).max() > 4 * tolerance
    for site in sites:
        site.follow(make_plan(2, phase="report", total=total, quantisation=quantisation))
        np.testing.assert_allclose(vector_of(site.release().model), mean, rtol=0, atol=tolerance)


def test_every_scheme_takes_the_same_steps_bit_for_bit(make_scheme, make_site, make_plan, run_round, preset):
    models = []
    for name in ("plain", "packed", "ckks-approximate"):
        cipher, adder = make_scheme(name, preset)
        sites = [make_site(i, rows=rows, cipher=cipher) for i, rows in enumerate(ROWS, 1)]
        total = b""
        for number in (1, 2, 3):
            total = run_round(make_plan(number, total=total), sites, adder)
        sites[0].follow(make_plan(4, phase="report", total=total))
        models.append(vector_of(sites[0].release().model))
    np.testing.assert_array_equal(models[0], models[1])
    np.testing.assert_array_equal(models[0], models[2])


def test_changes_beyond_the_range_of_a_plan_are_cut_off(make_plan, sites, run_round):
    quantisation = Quantisation(preset=make_plan().quantisation.preset, bound=1e-6, rule="fixed")
    plan = make_plan(quantisation=quantisation)
    total = run_round(plan, sites)
    sites[0].follow(make_plan(2, phase="report", total=total, quantisation=quantisation))
    moved = np.abs(vector_of(sites[0].release().model) - initial(plan)).max()
    assert 0 < moved <= 3 * 1e-6 / (sum(ROWS) / 100) + 1e-7


def test_more_rows_than_the_public_bound_count_as_the_bound(make_site, make_plan, preset):
    plan = make_plan()
    plan = replace(plan, training=replace(plan.training, max_rows=10))
    symbols = UpdateSymbols(build(ModelSpec.from_json(plan.spec), derive_rng(0, "layout")), preset.levels)
    weights = []
    for rows in (5, 10, 40):
        alone = PlainAdder(preset).start(symbols.values)
        alone.add(memoryview(body_of(make_site(rows=rows).follow(plan))))
        sums = PlainCipher(preset).decrypt(alone.body(), symbols.values)
        weights.append(symbols.decode(sums, 1, symbols.first_ranges(plan.quantisation.bound)).weight)
    assert weights == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("rule", ["fixed", "last-sum"])
def test_all_sites_stay_on_the_same_model(sites, make_plan, add_up, rule):
    quantisation = replace(make_plan().quantisation, rule=rule)
    total, seen = b"", []
    for number in (1, 2, 3):
        plan = make_plan(number, total=total, quantisation=quantisation)
        answers = {site: site.follow(plan) for site in sites}
        [model] = {answer.model_tag for answer in answers.values()}
        seen.append(model)
        total = add_up(plan, answers)
    assert len(set(seen)) == 3


def test_the_rule_of_the_ranges_changes_what_is_sent_after_the_first_sum(make_site, make_plan, run_round):
    """A range that follows the sums is finer than one that was guessed."""
    sent = {}
    for rule in ("fixed", "last-sum"):
        quantisation = replace(make_plan().quantisation, rule=rule)
        sites = [make_site(i, rows=rows) for i, rows in enumerate(ROWS, 1)]
        total = run_round(make_plan(quantisation=quantisation), sites)
        first = sites[0].follow(make_plan(2, total=total, quantisation=quantisation))
        sent[rule] = vector_of(sites[0].release().model), body_of(first)
    np.testing.assert_array_equal(sent["fixed"][0], sent["last-sum"][0])
    assert sent["fixed"][1] != sent["last-sum"][1]


def test_a_plan_with_other_ranges_than_the_run_began_with_is_not_followed(sites, make_plan, run_round):
    """A site told of another range would add to a sum what the others read otherwise."""
    total = run_round(make_plan(), sites)
    wider = replace(make_plan().quantisation, bound=0.5)
    with pytest.raises(PlanError, match="round 2 has another quantisation than run 01JRUN began with"):
        sites[0].follow(make_plan(2, total=total, quantisation=wider))


def test_a_site_that_missed_an_attempt_takes_the_step_of_its_sum(make_scheme, make_site, make_plan, add_up, preset):
    cipher, adder = make_scheme("packed", preset)
    *others, late = (make_site(i, cipher=cipher) for i in (1, 2, 3, 4))
    late.follow(make_plan())
    for site in others:
        site.follow(make_plan())
    plan = make_plan(attempt=2)
    total = add_up(plan, {site: site.follow(plan) for site in others}, adder)
    assert len({site.follow(make_plan(2, total=total)).model_tag for site in (*others, late)}) == 1


def test_the_report_is_the_count_over_all_sites(sites, make_plan, run_round):
    plan = make_plan()
    total = run_round(plan, sites)
    model = build(ModelSpec.from_json(plan.spec), derive_rng(plan.seed, "weights"))
    prepare = Preprocessing.from_dict(parse_json(plan.preprocessing)).apply
    measured = [evaluate(model, prepare(s._validation.inputs), s._validation.labels) for s in sites]
    rows, correct = sum(m.rows for m in measured), sum(m.correct for m in measured)
    for site in sites:
        report = site.follow(make_plan(2, total=total)).report
        assert (report.model_round, report.rows, report.correct) == (0, rows, correct)
        assert report.loss == pytest.approx(sum(m.loss_sum for m in measured) / rows, abs=2e-3)


def test_a_round_that_only_measures_changes_nothing(sites, make_plan, run_round):
    total = run_round(make_plan(), sites)
    total = run_round(make_plan(2, phase="evaluate", total=total), sites)
    before = vector_of(sites[0].release().model)
    last = sites[0].follow(make_plan(3, phase="report", total=total))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), before)
    assert last.update == b""
    assert (last.report.model_round, last.report.rows) == (1, 15)


def test_a_new_run_begins_anew(sites, make_plan, run_round):
    total = run_round(make_plan(), sites)
    sites[0].follow(make_plan(2, phase="report", total=total))
    assert (vector_of(sites[0].release().model) != initial(make_plan())).any()
    sites[0].follow(make_plan(run="01JOTHER"))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), initial(make_plan()))
    assert sites[0].release().metadata == {"run": "01JOTHER"}


@pytest.mark.parametrize(
    ("followed", "number", "run", "reason"),
    [
        pytest.param(0, 2, "01JRUN", "asked to join run 01JRUN in round 2, expected 1", id="joins-late"),
        pytest.param(0, 0, "01JRUN", "in round 0, expected 1", id="joins-early"),
        pytest.param(1, 2, "01JOTHER", "asked to join run 01JOTHER in round 2", id="other-run"),
        pytest.param(1, 1, "01JRUN", "has done attempt 1 at round 1, got a plan for attempt 1 at round 1", id="again"),
        pytest.param(1, 3, "01JRUN", "at round 1, got a plan for attempt 1 at round 3", id="one-left-out"),
        pytest.param(2, 1, "01JRUN", "at round 2, got a plan for attempt 1 at round 1", id="back"),
    ],
)
def test_a_plan_out_of_order_is_not_followed(sites, make_plan, run_round, followed, number, run, reason):
    total = b""
    for done in range(1, followed + 1):
        total = run_round(make_plan(done, total=total), sites)
    with pytest.raises(PlanError, match=reason):
        sites[0].follow(make_plan(number, run=run, total=total))


def test_a_round_is_run_again_as_a_later_attempt(sites, make_plan, run_round):
    """Each attempt is answered once; the step of the round is taken once, whichever attempt's sum it is."""
    total = run_round(make_plan(), sites)
    first, again = make_plan(2, total=total), make_plan(2, attempt=3, total=total)
    answers = [{site: site.follow(plan) for site in sites} for plan in (first, again)]
    models = {answer.model_tag for attempt in answers for answer in attempt.values()}
    assert len(models) == 1
    assert {answer.report for attempt in answers for answer in attempt.values()} == {answers[0][sites[0]].report}
    for attempt in (1, 2, 3):
        with pytest.raises(PlanError, match=f"has done attempt 3 at round 2, got a plan for attempt {attempt} at"):
            sites[0].follow(replace(again, attempt=attempt))
    assert body_of(answers[0][sites[0]]) == body_of(answers[1][sites[0]])


def test_only_the_sum_of_the_last_attempt_is_opened(sites, make_plan, add_up):
    plans = [make_plan(attempt=attempt) for attempt in (1, 2)]
    old, new = (add_up(plan, {site: site.follow(plan) for site in sites}) for plan in plans)
    with pytest.raises(PlanError, match="no sum of round 1 of run 01JRUN: attempt is 1, expected 2"):
        sites[0].follow(make_plan(2, total=old))
    answers = [site.follow(make_plan(2, total=new)) for site in sites]
    assert len({answer.model_tag for answer in answers}) == 1


def test_the_first_round_may_be_joined_at_a_later_attempt(make_site, make_plan, add_up):
    early = [make_site(i) for i in (1, 2)]
    for site in early:
        site.follow(make_plan())
    late, plan = make_site(3), make_plan(attempt=2)
    total = add_up(plan, {site: site.follow(plan) for site in (*early, late)})
    assert len({site.follow(make_plan(2, total=total)).model_tag for site in (*early, late)}) == 1


def test_a_plan_for_another_preset_is_not_followed(sites, make_plan, run_round):
    other = Quantisation(preset=smallest_preset(3, 4).name, bound=0.05)
    total = run_round(make_plan(), sites)
    kept = vector_of(sites[0].release().model)
    for plan in (make_plan(run="01JOTHER", quantisation=other), make_plan(2, total=total, quantisation=other)):
        with pytest.raises(PlanError, match=f"the plan asks for {other.preset}"):
            sites[0].follow(plan)
    assert sites[0].release().metadata == {"run": "01JRUN"}
    np.testing.assert_array_equal(vector_of(sites[0].release().model), kept)
    assert sites[0].follow(make_plan(2, total=total)).model_tag


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"run": "01JOTHER"}, "run is '01JOTHER', expected '01JRUN'", id="run"),
        pytest.param({"round": 2}, "round is 2, expected 1", id="round"),
        pytest.param({"layout": "cd" * 32}, "layout is 'cdcd", id="layout"),
        pytest.param({"key_id": "ef" * 16}, "key_id is 'efef", id="key"),
        pytest.param({"preset": "ab" * 8}, "preset is 'abab", id="preset"),
        pytest.param({"values": 3}, "values is 3, expected ", id="values"),
        pytest.param({"ciphertexts": 3}, "ciphertexts is 3, expected 0", id="ciphertexts"),
        pytest.param({"summands": 1}, "a sum of 1 updates, expected at least 3", id="of-one"),
        pytest.param({"summands": 2}, "a sum of 2 updates, expected at least 3", id="of-two"),
        pytest.param({"summands": 6}, "a sum of 6 updates, of which .* is not exact", id="of-too-many"),
    ],
)
def test_a_sum_that_belongs_elsewhere_is_refused_and_the_right_one_still_taken(
    sites, make_plan, run_round, coordinator, changes, reason
):
    """Also where the coordinator has signed it."""
    total = EncryptedSum.from_bytes(run_round(make_plan(), sites))
    wrong = EncryptedSum.sign(replace(total.header, **changes), bytes(total.body), coordinator)
    with pytest.raises(PlanError, match=f"got no sum of round 1 of run 01JRUN: {reason}"):
        sites[0].follow(make_plan(2, total=wrong.to_bytes()))
    right = make_plan(2, total=total.to_bytes())
    assert sites[0].follow(right).model_tag == sites[1].follow(right).model_tag


def test_a_sum_that_the_coordinator_has_not_signed_is_refused(sites, make_plan, run_round, stranger):
    total = EncryptedSum.from_bytes(run_round(make_plan(), sites))
    body = bytearray(total.body)
    body[0] ^= 1
    theirs = EncryptedSum.sign(replace(total.header, sender=stranger.public.id), bytes(body), stranger)
    for wrong, reason in (
        (theirs, "sender is "),
        (EncryptedSum(total.header, bytes(body), theirs.signature), ""),
        (EncryptedSum(total.header, bytes(body), total.signature), ""),
        (EncryptedSum(replace(total.header, summands=4), total.body, total.signature), ""),
    ):
        with pytest.raises(PlanError, match=f"got no sum of round 1 of run 01JRUN: {reason}"):
            sites[0].follow(make_plan(2, total=wrong.to_bytes()))
    right = make_plan(2, total=total.to_bytes())
    assert sites[0].follow(right).model_tag == sites[1].follow(right).model_tag


def test_an_update_is_no_sum(sites, make_plan):
    update = sites[0].follow(make_plan()).update
    with pytest.raises(PlanError, match="got no sum of round 1"):
        sites[0].follow(make_plan(2, total=update))


@pytest.mark.parametrize("damage", [lambda data: b"\0", lambda data: b"garbage" * 99, lambda data: data[:-1]])
def test_a_damaged_sum_is_refused_and_the_right_one_still_taken(sites, make_plan, run_round, damage):
    total = run_round(make_plan(), sites)
    with pytest.raises(PlanError):
        sites[0].follow(make_plan(2, total=damage(total)))
    right = make_plan(2, total=total)
    assert sites[0].follow(right).model_tag == sites[1].follow(right).model_tag


def test_a_round_that_gave_no_sum_is_gone_on_from_without_a_step(sites, make_plan, run_round):
    """All sites are told so, and stay on one model; who is told otherwise has another tag."""
    total = run_round(make_plan(), sites)
    kept = vector_of(sites[0].release().model)
    skipped = [site.follow(make_plan(2)) for site in sites[:2]]
    assert skipped[0].report is None
    np.testing.assert_array_equal(vector_of(sites[0].release().model), kept)
    told = sites[2].follow(make_plan(2, total=total))
    assert skipped[0].model_tag == skipped[1].model_tag != told.model_tag


@pytest.fixture
def forge(coordinator):
    """A sum the coordinator signs for what it is not: the bodies added up, in the name of the senders of another."""

    def make(total: EncryptedSum, adder, bodies) -> bytes:
        header = total.header
        sitting = Sitting(
            run=header.run, round=header.round, attempt=header.attempt, layout=header.layout, values=header.values
        )
        added = adder.start(sitting.symbols(adder))
        for body in bodies:
            added.add(memoryview(body))
        senders = bytes(total.body[: 16 * header.summands])
        return EncryptedSum.sign(header, senders + bytes(added.body()), coordinator).to_bytes()

    return make


@pytest.mark.parametrize("name", ["packed", "ckks-approximate"])
@pytest.mark.parametrize(
    "choose",
    [
        pytest.param(lambda ours, theirs: [ours[0]] * 3, id="one-three-times"),
        pytest.param(lambda ours, theirs: ours[:2], id="one-left-out"),
        pytest.param(lambda ours, theirs: [*ours, ours[0]], id="one-twice"),
        pytest.param(lambda ours, theirs: [*ours[:2], theirs[2]], id="one-of-another-attempt"),
    ],
)
def test_a_signed_sum_of_other_updates_than_it_names_is_refused_and_the_run_left(
    make_scheme, make_site, make_plan, add_up, forge, preset, name, choose
):
    """A coordinator that has a single update opened, by whatever name, would read it off the next step."""
    cipher, adder = make_scheme(name, preset)
    sites = [make_site(i, cipher=cipher) for i in (1, 2, 3)]
    theirs = [body_of(site.follow(make_plan())) for site in sites]
    plan = make_plan(attempt=2)
    answers = {site: site.follow(plan) for site in sites}
    total = EncryptedSum.from_bytes(add_up(plan, answers, adder))
    ours = [body_of(answer) for answer in answers.values()]
    honest = forge(total, adder, ours)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        sites[0].follow(make_plan(2, total=forge(total, adder, choose(ours, theirs))))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), initial(plan))
    with pytest.raises(PlanError, match="follows no plan under this key any more"):
        sites[0].follow(make_plan(2, total=honest))
    assert sites[1].follow(make_plan(2, total=honest)).model_tag == (
        sites[2].follow(make_plan(2, total=total.to_bytes())).model_tag
    )


@pytest.mark.parametrize("name", ["packed", "ckks-approximate"])
def test_a_signed_sum_under_another_key_is_refused_without_detail(
    make_scheme, make_site, make_plan, run_round, forge, preset, name
):
    cipher, adder = make_scheme(name, preset)
    sites = [make_site(i, cipher=cipher) for i in (1, 2, 3)]
    total = EncryptedSum.from_bytes(run_round(make_plan(), sites, adder))
    strange = (
        PackedCipher(SecretKey.generate(), preset)
        if name == "packed"
        else ApproximateCkksCipher(CkksSecretKey.generate(), preset)
    )
    other_sites = [make_site(i, cipher=strange) for i in (1, 2, 3)]
    forged = forge(total, adder, [body_of(site.follow(make_plan())) for site in other_sites])
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        sites[0].follow(make_plan(2, total=forged))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), initial(make_plan()))


@pytest.mark.parametrize(
    ("weight", "measured"),
    [
        pytest.param(-9.0, Metrics(1.0, 1, 5), id="weight-negative"),
        pytest.param(99.0, Metrics(1.0, 1, 5), id="weight-beyond-one-each"),
        pytest.param(0.5, Metrics(1.0, 99, 5), id="more-correct-than-rows"),
        pytest.param(0.5, Metrics(1.0, -99, 5), id="fewer-correct-than-none"),
        pytest.param(0.5, Metrics(1.0, 0, -99), id="fewer-rows-than-none"),
        pytest.param(0.5, Metrics(-9999.0, 1, 5), id="loss-negative"),
    ],
)
def test_a_sum_spoiled_by_false_values_is_refused_and_moves_nothing(sites, make_plan, add_up, preset, weight, measured):
    """One site can spoil a sum that nobody looks into, but not have the others take half a step."""
    plan = make_plan()
    answers = {site: site.follow(plan) for site in sites}
    symbols = UpdateSymbols(build(ModelSpec.from_json(plan.spec), derive_rng(0, "layout")), preset.levels)
    said = Contribution(np.zeros(len(initial(plan))), weight, measured)
    ranges = symbols.first_ranges(plan.quantisation.bound)
    layout = plan.layout_sha256(symbols.sha256)
    sitting = Sitting(run=plan.run, round=1, layout=layout, values=symbols.values)
    liar = sites[2]
    update = protect(
        PlainCipher(preset),
        sitting,
        symbols.encode(said, ranges, np.random.default_rng(0)),
        signer=liar._identity,
    )
    spoiled = add_up(plan, answers | {liar: replace(answers[liar], update=update.to_bytes())})
    kept = vector_of(sites[0].release().model)
    with pytest.raises(PrivacyError, match="contributions cannot add up to"):
        sites[0].follow(make_plan(2, total=spoiled))
    np.testing.assert_array_equal(vector_of(sites[0].release().model), kept)


class Moody(PlainCipher):
    """Fails to protect when it is told to, as where the local training diverged."""

    fails = False

    def encrypt(self, symbols, mask=None):
        if self.fails:
            raise PrivacyError("a value to be summed is not finite")
        return super().encrypt(symbols, mask)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_site_that_failed_in_a_round_takes_its_step_once_and_is_back_in_the_next(
    make_site, make_plan, add_up, preset, failing
):
    moody = Moody(preset)
    *others, bad = make_site(0), make_site(1), make_site(3), make_site(2, cipher=moody)
    total = b""
    for number in (1, 2, 3):
        plan = make_plan(number, total=total)
        answers = {site: site.follow(plan) for site in others}
        moody.fails = number == failing
        if moody.fails:
            with pytest.raises(PrivacyError, match="not finite"):
                bad.follow(plan)
            with pytest.raises(PlanError, match=f"has done attempt 1 at round {number}"):
                bad.follow(plan)
        else:
            answers[bad] = bad.follow(plan)
            assert answers[bad].model_tag == answers[others[0]].model_tag
        total = add_up(plan, answers)


def test_a_site_that_failed_at_an_attempt_takes_part_in_the_next(make_site, make_plan, add_up, preset):
    moody = Moody(preset)
    sites = [make_site(0), make_site(1), make_site(2, cipher=moody)]
    moody.fails = True
    for site in sites:
        if site is not sites[2]:
            site.follow(make_plan())
    with pytest.raises(PrivacyError, match="not finite"):
        sites[2].follow(make_plan())
    moody.fails = False
    again = make_plan(attempt=2)
    total = add_up(again, {site: site.follow(again) for site in sites})
    assert len({site.follow(make_plan(2, total=total)).model_tag for site in sites}) == 1


def test_a_network_that_cannot_be_is_refused(make_site, make_plan):
    with pytest.raises(FormatError):
        make_site().follow(make_plan(spec='{"format": "nasturtium.model-spec", "version": 99}'))


def test_a_plan_for_other_data_is_refused(make_site, make_plan):
    plan = make_plan()
    other = plan.preprocessing.replace('"yes"', '"maybe"')
    with pytest.raises(PlanError, match=r"site-1: the target: 'yes' is not among the 2 names the sites have agreed on"):
        make_site().follow(replace(plan, preprocessing=other))


def test_without_a_run_there_is_nothing_to_release(make_site):
    with pytest.raises(PlanError, match="site-1 has no model"):
        make_site().release()


def test_a_site_is_known_by_its_identity(make_site, make_plan):
    site = make_site(2)
    assert site.name == site.identity.name == "site-2"
    update = EncryptedUpdate.from_bytes(site.follow(make_plan()).update)
    assert update.header.sender == site.identity.id
    update.verify(site.identity)


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
