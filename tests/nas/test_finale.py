"""The end of a search: paired tests, ensembles, who wins, one test of all, and what the history keeps of it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from itertools import product
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nasturtium.core import (
    ConfigError,
    DataError,
    FormatError,
    ModelSpec,
    NasturtiumError,
    ShapeError,
    build,
    derive_rng,
    load_model,
    predict_logits,
)
from nasturtium.core.data import LoadOptions, dataset_from_arrays, load_dataset, random_split, train_validation_test
from nasturtium.core.nn import layer_spec
from nasturtium.nas.finale import (
    FinaleData,
    FinaleOptions,
    SearchReport,
    SplitUsedError,
    average,
    conclude,
    join_models,
    join_specs,
    mcnemar,
    read_report,
    select_greedily,
    sign_flip,
    wilcoxon,
)
from nasturtium.nas.finale import retraining as retraining_module
from nasturtium.nas.finale.ensemble import ensemble_loss, strongest
from nasturtium.nas.finale.members import Member, Validated
from nasturtium.nas.finale.selection import best_trials, finalists, select
from nasturtium.nas.objectives import parse_constraint, parse_goal
from nasturtium.nas.runner import ProcessEngine
from nasturtium.nas.training import NetworkTraining
from nasturtium.storage import ArchitectureEntry, DatasetEntry, History, ModelRegistry, Tracker, open_database

# --- paired tests ---


@settings(max_examples=40, deadline=None)
@given(both=st.integers(0, 30), better=st.integers(0, 25), worse=st.integers(0, 25), neither=st.integers(1, 9))
def test_mcnemar_is_a_toss_of_coins(both, better, worse, neither):
    first = np.repeat([True, True, False, False], [both, better, worse, neither])
    second = np.repeat([True, False, True, False], [both, better, worse, neither])
    test = mcnemar(first, second)
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert test.p_value == pytest.approx(expected)
    assert test.effect == pytest.approx((better - worse) / len(first))
    assert test.low <= test.effect <= test.high
    mirrored = mcnemar(second, first)
    assert (mirrored.effect, mirrored.low, mirrored.high) == pytest.approx((-test.effect, -test.high, -test.low))


def test_mcnemar_against_a_published_table():
    """Agresti 2013, table 11.1: 1600 voters, 86 and 150 changed; statsmodels' exact test gives 3.716e-05."""
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])
    test = mcnemar(first, second)
    assert test.p_value == pytest.approx(3.716e-05, rel=1e-3)
    assert (test.low, test.high) == pytest.approx((0.0212, 0.0587), abs=2e-3)
    assert test.significant


@pytest.mark.parametrize("rows", [6, 20, 49, 80, 300])
@pytest.mark.parametrize("ties", [False, True])
def test_wilcoxon_is_that_of_scipy(rows, ties):
    rng = np.random.default_rng(rows)
    first, second = rng.exponential(1.0, rows), rng.exponential(1.3, rows)
    if ties:
        first, second = first.round(1), second.round(1)
    differing = np.abs(second - first)[second != first]
    exact = len(differing) <= 50 and len(np.unique(differing)) == len(differing)
    theirs = stats.wilcoxon(second, first, method="exact" if exact else "approx", correction=False)
    ours = wilcoxon(first, second, np.random.default_rng(0))
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.effect == pytest.approx(second.mean() - first.mean())
    assert ours.low < ours.effect < ours.high


def test_sign_flips_agree_with_scipys_permutation_test():
    rng = np.random.default_rng(0)
    gains = rng.normal(0.25, 1.0, 60)
    theirs = stats.permutation_test(
        (gains,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    ours = sign_flip(gains, np.random.default_rng(2))
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.01)
    interval = stats.bootstrap((gains,), np.mean, method="percentile", rng=np.random.default_rng(3)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=0.03)


def test_sign_flips_of_right_and_wrong_are_mcnemars_test():
    first, second = np.repeat([True, False, True], [12, 4, 60]), np.repeat([False, True, True], [12, 4, 60])
    ours = sign_flip(first.astype(float) - second, np.random.default_rng(0))
    assert ours.p_value == pytest.approx(mcnemar(first, second).p_value, abs=0.01)


def test_equal_models_are_equal():
    errors = np.ones(9)
    assert wilcoxon(errors, errors, np.random.default_rng(0)).p_value == 1
    assert sign_flip(np.zeros(9), np.random.default_rng(0)).p_value == 1
    assert mcnemar(errors > 0, errors > 0).p_value == 1


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        (np.ones(3), np.ones(4), ShapeError),
        (np.ones(0), np.ones(0), ConfigError),
        (np.ones(2), np.full(2, np.nan), DataError),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, error):
    with pytest.raises(error):
        wilcoxon(first, second, np.random.default_rng(0))


# --- ensembles ---


def classes(labels: np.ndarray):
    return dataset_from_arrays(np.arange(len(labels), dtype=float)[:, None], labels).task


def test_greedy_selection_takes_what_helps_and_no_more():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    truth = np.eye(3)[labels]
    good = [2 * truth + rng.standard_normal((300, 3)) for _ in range(3)]
    useless = rng.standard_normal((300, 3)) * 3
    weights = select_greedily([useless, *good], labels, classes(labels), np.random.default_rng(0))
    assert set(weights) == {1, 2, 3}
    assert sum(weights.values()) == pytest.approx(1)
    joined = average([good[i - 1] for i in weights], list(weights.values()))
    alone = min(ensemble_loss(one, labels, classes(labels)) for one in good)
    assert ensemble_loss(joined, labels, classes(labels)) < alone


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(1, 5), rounds=st.integers(1, 12))
def test_an_ensemble_is_never_worse_than_its_best_member_where_it_was_chosen(seed, members, rounds):
    rng = np.random.default_rng(seed)
    labels = np.arange(40) % 2
    predicted = [rng.standard_normal((40, 2)) for _ in range(members)]
    weights = select_greedily(predicted, labels, classes(labels), rng, rounds=rounds, bags=1)
    joined = average([predicted[i] for i in weights], list(weights.values()))
    best = min(ensemble_loss(one, labels, classes(labels)) for one in predicted)
    assert ensemble_loss(joined, labels, classes(labels)) <= best + 1e-12


def test_equal_members_are_taken_once():
    labels = np.arange(40) % 2
    same = np.random.default_rng(0).standard_normal((40, 2))
    assert select_greedily([same, same, same], labels, classes(labels), np.random.default_rng(0)) == {0: 1.0}


def test_only_so_many_members_are_kept():
    assert strongest({0: 0.1, 2: 0.5, 3: 0.3, 5: 0.1}, 3) == pytest.approx({0: 0.1 / 0.9, 2: 0.5 / 0.9, 3: 0.3 / 0.9})
    assert strongest({4: 1.0}, 3) == {4: 1.0}


def network(width: int, inputs: tuple[int, ...] = (4,), outputs: int = 3, *, normalised: bool = True) -> ModelSpec:
    flatten = (layer_spec("flatten"),) if len(inputs) > 1 else ()
    hidden = (
        layer_spec("linear", out_features=width),
        *((layer_spec("batch_norm"),) if normalised else ()),
        layer_spec("activation", function="relu"),
    )
    return ModelSpec(inputs, (*flatten, *hidden, layer_spec("linear", out_features=outputs)))


def test_an_ensemble_is_a_network_of_its_own():
    rng = np.random.default_rng(0)
    specs = [network(5), network(8), ModelSpec((4,), (layer_spec("linear", out_features=3),))]
    weights = [0.5, 0.3, 0.2]
    models = [build(spec, derive_rng(seed)) for seed, spec in enumerate(specs)]
    rows = rng.standard_normal((20, 4)).astype(np.float32)
    for model in models[:2]:
        model.layers[1].running_mean.data[...] = 0.3  # state beside the parameters comes along
    joined = join_models(specs, models, weights)
    expected = average([predict_logits(model, rows) for model in models], weights)
    assert predict_logits(joined, rows) == pytest.approx(expected, abs=1e-5)
    spec = join_specs(specs, weights)
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.plan().parameters == sum(one.plan().parameters for one in specs)


def test_networks_of_other_shapes_are_not_averaged():
    with pytest.raises(ShapeError, match="one input and one output shape"):
        join_specs([network(5), network(5, outputs=2)], [0.5, 0.5])
    with pytest.raises(ConfigError, match="two or more networks"):
        join_specs([network(5)], [1.0])


# --- the whole of it ---


def prepare(data, split):
    train, validation, test = split
    return FinaleData(data.name, data.fingerprint, train, validation, test)


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits").take(np.arange(500))
    return prepare(data, train_validation_test(data, 0))


@pytest.fixture(scope="module")
def waves():
    rng = np.random.default_rng(0)
    rows = rng.uniform(-2, 2, (260, 3))
    data = dataset_from_arrays(rows, 10 * np.sin(2 * rows[:, 0]) + rows[:, 1], LoadOptions(kind="regression"))
    return prepare(data, random_split(data, (0.5, 0.2, 0.3), rng))


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "history.db") as opened:
        yield opened


OPTIONS = FinaleOptions(epochs=4, top=2, seeds=2, members=4)


def start(tracker, data, trials):
    """A search with trials of (spec, hyperparameters, metrics)."""
    search = tracker.start_search(
        name=data.name,
        seed=0,
        config={},
        dataset=DatasetEntry(fingerprint=data.fingerprint, name=data.name, rows=9, body=data.train.task.to_dict()),
        space="any",
        space_sha256="0" * 64,
        sampler="any",
        pruner="none",
        trials=len(trials),
    )
    for number, (spec, hyperparameters, metrics) in enumerate(trials):
        entry = ArchitectureEntry(
            sha256=spec.sha256,
            space="any",
            choices={"width": number},
            spec=spec.to_dict(),
            parameters=spec.plan().parameters,
            macs=spec.plan().macs,
        )
        uid = tracker.start_trial(
            search.uid, number=number, architecture=entry, hyperparameters=hyperparameters, seed=1, optuna_number=None
        )
        tracker.finish(uid, state="completed", metrics=metrics)
    return search


def digit_trials():
    rates = [1e-3, 1e-2, 2e-2]
    return [
        (network(width, (1, 8, 8), 10), {"learning_rate": rate}, {"val_accuracy": accuracy, "val_loss": 1 - accuracy})
        for width, rate, accuracy in zip([8, 24, 32], rates, [0.6, 0.8, 0.85], strict=True)
    ]


BROKEN = (
    network(8, (1, 8, 8), 10),
    {"optimizer": "sgd", "learning_rate": 1e30},
    {"val_accuracy": 0.99, "val_loss": 0.1},
)


def finish(database, data, options, trials, *, control=1, search=None, **rest):
    with Tracker(database) as tracker:
        search = search or start(tracker, data, trials)
        records = History(database).trials(search.uid)
        return search, conclude(data, options, database, tracker, search, records, records[:control], **rest)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits):
    with open_database(tmp_path_factory.mktemp("finale") / "history.db") as opened:
        search, result = finish(opened, digits, OPTIONS, digit_trials(), spent={"trials_cpu_seconds": 3.0})
        yield opened, search, result


def test_the_saved_model_is_what_was_tested(finished, digits):
    database, search, result = finished
    saved = load_model(result.model)
    said = np.array([digits.test.task.classes.index(name) for name in saved.predict(digits.test.inputs)])
    accuracy = (said == digits.test.labels).mean()
    assert result.report.model.name == "model"
    assert result.report.model.test["accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0.7
    run = History(database).find(search.uid)
    assert run.state == "completed"
    assert run.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert result.model == database.models_dir / search.uid
    assert ModelRegistry(database).versions(digits.name)[0].run == search.uid


def test_the_best_are_trained_with_several_seeds_and_compared_by_the_mean(finished):
    report = finished[2].report
    assert [(row["trial"], row["seed"]) for row in report.seeds] == list(product([3, 2], [0, 1]))
    means = {trial: np.mean([row["val_accuracy"] for row in report.seeds if row["trial"] == trial]) for trial in (2, 3)}
    assert means[report.winner] > max(means.values()) - 0.05
    winner = report.models[1]
    assert (winner.name, winner.seeds) == ("winner", 2)
    assert winner.deviation["accuracy"] >= 0


def test_the_control_and_every_reference_are_in_the_report(finished):
    report = finished[2].report
    names = ["model", "winner", "random search", "constant", "logistic", "neighbours", "kernel"]
    assert [model.name for model in report.models] == names
    pairs = [(comparison.first, comparison.second) for comparison in report.comparisons]
    assert pairs == [("model", "random search"), ("winner", "random search"), ("model", report.best_reference.name)]
    assert all(comparison.test.rows == report.rows["test"] for comparison in report.comparisons)
    assert report.trials == {"searched": 3, "random": 1}
    assert report.spent["trials_cpu_seconds"] == 3
    assert report.models[3].test["accuracy"] < 0.2


def test_a_simple_model_that_ties_or_wins_is_recommended(finished):
    report = finished[2].report
    test = report.comparisons[-1].test
    assert report.best_reference.name in {"kernel", "neighbours"}
    assert test.effect < 0
    assert f"{report.best_reference.name} beats model by" in report.verdicts[-1]
    assert report.verdicts[-1].endswith("is the simpler model, take it.")
    assert report.verdicts[-1] in report.to_text()


def test_a_report_is_plain_data(finished):
    database, search, result = finished
    document = json.loads(json.dumps(result.report.to_dict()))
    assert SearchReport.from_dict(document) == result.report
    assert read_report(database, search.uid) == result.report
    assert all(len(line) < 200 for line in result.report.to_text().splitlines())
    with pytest.raises(FormatError, match="damaged report"):
        SearchReport.from_dict({**document, "models": [{}]})
    with pytest.raises(FormatError, match="expected a version up to 1"):
        SearchReport.from_dict({**document, "version": 99})


def test_the_test_rows_are_looked_at_once(finished, digits):
    database, search, *_ = finished
    history = History(database)
    tests = [run for run in history.children(search.uid, "eval") if run.config["phase"] == "test"]
    assert len(tests) == 1
    assert tests[0].state == "completed"
    assert set(tests[0].config) == {"phase", "model", "winner", "random search", "references"}
    with (
        Tracker(database) as tracker,
        mock.patch.object(retraining_module, "NetworkTraining", side_effect=AssertionError),
    ):
        records = history.trials(search.uid)
        again = conclude(digits, OPTIONS, database, tracker, search, records, records[:1])
    assert again.report == finished[2].report
    assert len(history.children(search.uid, "eval")) == 1


def test_a_second_look_with_other_models_is_refused(digits, database):
    with Tracker(database) as tracker:
        search = start(tracker, digits, digit_trials())
        records = History(database).trials(search.uid)
        with (
            mock.patch("nasturtium.nas.finale.testing._measure", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            conclude(digits, OPTIONS, database, tracker, search, records, records[:1])
        with pytest.raises(SplitUsedError, match="its test rows were looked at already"):
            conclude(digits, replace(OPTIONS, references=()), database, tracker, search, records, records[:1])
        result = conclude(digits, OPTIONS, database, tracker, search, records, records[:1])  # the very same may go on
    assert result.report.model.test["accuracy"] > 0.7


@pytest.mark.parametrize("kill_at", [1, 3, 6])
def test_what_a_killed_process_had_finished_is_kept(kill_at, finished, digits, database):
    """Every training is a run of its own; the report is that of a process that was never killed."""
    trainings = []

    class Counting(NetworkTraining):
        def __init__(self, *args, **kwargs):
            trainings.append(kwargs["seed"])
            if len(trainings) == kill_at:
                raise KeyboardInterrupt
            super().__init__(*args, **kwargs)

    patches = [
        mock.patch(f"nasturtium.nas.{place}.NetworkTraining", Counting)
        for place in ("finale.retraining", "training.folded_run")
    ]
    with Tracker(database) as tracker:
        search = start(tracker, digits, digit_trials())
        records = History(database).trials(search.uid)
        with patches[0], patches[1]:
            with pytest.raises(KeyboardInterrupt):
                conclude(digits, OPTIONS, database, tracker, search, records, records[:1])
            result = conclude(digits, OPTIONS, database, tracker, search, records, records[:1])
    uninterrupted = finished[2].report
    assert replace(result.report, spent={}) == replace(uninterrupted, spent={})
    done = [run for run in History(database).children(search.uid, "retrain") if run.state == "completed"]
    configs = [json.dumps(run.config, sort_keys=True) for run in done]
    assert len(set(configs)) == len(configs)  # nothing was done twice


def test_the_same_search_ends_the_same(finished, digits, database):
    _, again = finish(database, digits, OPTIONS, digit_trials())
    assert replace(again.report, spent={}) == replace(finished[2].report, spent={})
    first, second = (load_model(result.model).model.state() for result in (finished[2], again))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def kept(database, search) -> list[tuple]:
    """What the history has of every training, bit for bit, in the order in which they were begun."""
    history = History(database)
    return [
        (
            run.state,
            run.seed,
            {name: value for name, value in run.config.items() if name not in {"trial", "networks"}},
            dict(run.metrics),
            history.curves(run.uid),
            [(file.name, file.sha256) for file in history.artifacts(run.uid) if file.name != "model.json"],
        )
        for run in history.children(search.uid, "retrain")
    ]


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.soak), 3])
def test_trainings_side_by_side_are_those_of_one_process(finished, digits, database, workers):
    reference, search, result = finished
    side_by_side, again = finish(database, digits, replace(OPTIONS, workers=workers), digit_trials())
    assert replace(again.report, spent={}) == replace(result.report, spent={})
    assert replace(again.report, spent={}).to_text() == replace(result.report, spent={}).to_text()
    assert kept(database, side_by_side) == kept(reference, search)
    saved = [load_model(each.model) for each in (result, again)]
    assert saved[0].preprocessing.to_dict() == saved[1].preprocessing.to_dict()
    origin = [{name: value for name, value in each.metadata.items() if name in {"seed", "data"}} for each in saved]
    assert origin[0] == origin[1]


def test_what_diverges_or_breaks_down_beside_others_is_what_it_would_be_alone(digits, database):
    """A process that is killed costs nothing but time: its training is done here."""
    options = replace(OPTIONS, references=(), seeds=2, top=3, ensemble=False)
    trials = [*digit_trials()[:2], BROKEN]
    alone, expected = finish(database, digits, options, trials)
    killed = []

    def kill_one(engine, timeout, wait=ProcessEngine.wait):
        if not killed:
            killed.append(engine.pids[0])
            os.kill(killed[0], signal.SIGKILL)
        return wait(engine, timeout)

    with mock.patch.object(ProcessEngine, "wait", kill_one):
        beside, result = finish(database, digits, replace(options, workers=2), trials)
    assert killed
    assert replace(result.report, spent={}) == replace(expected.report, spent={})
    told = [[each for each in kept(database, search) if each[0] == "completed"] for search in (alone, beside)]
    assert sorted(map(repr, told[0])) == sorted(map(repr, told[1]))
    diverged = [
        run for run in History(database).children(beside.uid, "retrain") if run.error == "the loss was not finite"
    ]
    assert len(diverged) == 2, "what diverged there is not tried again here"


def test_a_regression_is_concluded_in_its_own_units(waves, database):
    goal = parse_goal("val_r2")
    trials = [
        (
            network(width, (3,), 1, normalised=False),
            {"learning_rate": 0.1, "batch_size": 16},
            {"val_r2": r2, "val_loss": 1 - r2, "best_epoch": 20.0},
        )
        for width, r2 in [(4, 0.2), (32, 0.9)]
    ]
    options = FinaleOptions(epochs=25, goals=(goal,), top=1, seeds=3, patience=None, folds=3, members=6)
    _, result = finish(database, waves, options, trials)
    report = result.report
    saved = load_model(result.model)
    errors = saved.predict(waves.test.inputs) - waves.test.labels
    assert report.metric == "r2"
    assert report.model.test["rmse"] == pytest.approx(np.sqrt((errors.astype(float) ** 2).mean()), rel=1e-4)
    assert report.model.test["r2"] > 0.8
    assert {model.name for model in report.models} >= {"ridge", "kernel"}
    assert report.comparisons[0].test.method == "Wilcoxon signed-rank"
    assert report.comparisons[0].test.effect > 0
    assert len(report.members) > 1
    assert "graph" in {layer.kind for layer in saved.spec.layers}  # one network, to whoever loads it


def test_a_winner_from_the_random_trials_is_told(digits, database):
    _, result = finish(
        database, digits, replace(OPTIONS, seeds=1, references=(), ensemble=False), digit_trials(), control=3
    )
    assert "the search found nothing better" in result.report.notes[0]
    assert result.report.comparisons[0].test.p_value == 1
    assert len(result.report.members) == 1
    assert result.report.best_reference is None


def test_constraints_hold_for_what_is_saved(digits, database):
    bound = network(32, (1, 8, 8), 10).plan().parameters
    options = replace(OPTIONS, constraints=(parse_constraint(f"parameters <= {bound}"),), references=())
    _, result = finish(database, digits, options, digit_trials())
    assert load_model(result.model).spec.plan().parameters <= bound
    assert len(result.report.members) == 1
    assert f"was not taken: it breaks parameters <= {bound}" in result.report.notes[-1]


def test_only_trials_that_count_are_considered(digits, database):
    with Tracker(database) as tracker:
        search = start(tracker, digits, digit_trials())
        records = History(database).trials(search.uid)
    small = parse_constraint("parameters <= 2000")
    assert [trial.number for trial in best_trials(records, OPTIONS, 3)] == [2, 1, 0]
    assert [trial.number for trial in best_trials(records, replace(OPTIONS, constraints=(small,)), 3)] == [1, 0]
    failed = [replace(trial, state="pruned") for trial in records]
    assert best_trials(failed, OPTIONS, 3) == []


def test_the_smallest_network_is_always_among_the_finalists(digits, database):
    with Tracker(database) as tracker:
        search = start(tracker, digits, digit_trials())
        records = History(database).trials(search.uid)
    one = replace(OPTIONS, top=1)
    assert [trial.number for trial in finalists(records, one, cautious=True)] == [2, 0]
    assert [trial.number for trial in finalists(records, replace(OPTIONS, top=3), cautious=True)] == [2, 1, 0]
    stopped = [replace(records[0], state="pruned"), *records[1:]]
    assert [trial.number for trial in finalists(stopped, one, cautious=True)] == [2, 0]
    assert [
        trial.number for trial in finalists([replace(records[0], state="failed"), *records[1:]], one, cautious=True)
    ] == [2, 1]
    twice = [*stopped, replace(records[0], number=7, metrics={"val_accuracy": 0.1, "val_loss": 3.0})]
    assert [trial.number for trial in finalists(twice, one, cautious=True)] == [
        2,
        7,
    ]  # the one that was trained to the end
    assert [
        trial.number for trial in finalists(records, replace(one, goals=(parse_goal("min macs"),)), cautious=True)
    ] == [0]
    assert finalists([replace(trial, state="pruned") for trial in records], one, cautious=True) == []


@pytest.mark.parametrize(("folds", "smallest"), [(2, 1), (None, None)])
def test_the_report_says_who_is_there_as_the_smallest(digits, database, folds, smallest):
    options = replace(OPTIONS, top=1, seeds=1, folds=folds, ensemble=False, references=())
    _, result = finish(database, digits, options, digit_trials())
    assert result.report.smallest == smallest
    assert ("Trial 1 is here as the smallest network" in result.report.to_text()) == (smallest is not None)
    old = {name: value for name, value in result.report.to_dict().items() if name not in {"smallest", "constraints"}}
    assert replace(result.report, smallest=None) == SearchReport.from_dict(old), (
        "a report of an earlier version is read"
    )


@pytest.mark.parametrize(
    ("better", "worse", "winner"),
    [
        pytest.param(12, 8, 0, id="within-a-standard-error-the-smaller"),
        pytest.param(20, 4, 2, id="beyond-it-the-better"),
        pytest.param(0, 0, 0, id="of-equals-the-smaller"),
    ],
)
def test_the_winner_is_the_smallest_that_is_not_clearly_worse(digits, database, better, worse, winner):
    """The large network has `better` rows right that the small one has wrong, and `worse` the other way round."""
    with Tracker(database) as tracker:
        search = start(tracker, digits, digit_trials())
        records = History(database).trials(search.uid)
    labels = np.zeros(200, np.int64)

    def validated(trial, wrong):
        scores = np.tile([2.0, 0.0], (200, 1))
        scores[wrong] = [0.0, 2.0]
        figures = {"val_accuracy": float((scores.argmax(1) == 0).mean()), "val_loss": 1.0, "best_epoch": 3.0}
        return Validated(Member(trial, 0), figures, scores)

    small, large = validated(records[0], np.arange(better)), validated(records[2], better + np.arange(worse))
    options = replace(OPTIONS, ensemble=False)
    selection = select([large, small], labels, classes(np.arange(200) % 2), options, cautious=True)
    assert selection.winner.number == winner
    assert selection.best.number == (2 if better > worse else selection.winner.number)
    assert selection.members == [(small if winner == 0 else large, 1.0)]


def test_half_of_an_average_is_the_winners(finished):
    report = finished[2].report
    assert len(report.members) > 1
    own = [row["weight"] for row in report.members if row["trial"] == report.winner]
    assert len(own) == OPTIONS.seeds
    assert sum(own) >= 0.5 - 1e-9
    assert sum(row["weight"] for row in report.members) == pytest.approx(1)


def test_a_candidate_that_always_diverges_cannot_win(digits, database):
    sound = digit_trials()[:2]
    _, result = finish(database, digits, replace(OPTIONS, references=()), [*sound, BROKEN])
    assert result.report.winner == 2
    assert len([row for row in result.report.seeds if row["trial"] == 3 and "val_accuracy" in row]) == 0


def test_a_search_of_which_everything_diverges_says_so(digits, database):
    with pytest.raises(NasturtiumError, match="all of 2 trainings of the best candidates diverged"):
        finish(database, digits, OPTIONS, [BROKEN])
    with pytest.raises(NasturtiumError, match="none of 0 trials"):
        finish(database, digits, OPTIONS, [])


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"top": 0}, {"seeds": 0}, {"members": 0}, {"goals": ()}])
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        FinaleOptions(**{"epochs": 3, **wrong})


def test_an_average_is_only_for_goals_of_validation(digits, database):
    options = replace(OPTIONS, goals=(parse_goal("minimize parameters"), parse_goal("val_accuracy")), references=())
    _, result = finish(database, digits, options, digit_trials())
    assert len(result.report.members) == 1
    assert load_model(result.model).spec == digit_trials()[0][0]  # the smallest
