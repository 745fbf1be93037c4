"""A search end to end on small data: results, resumption, interruption, and what the history keeps of it."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from unittest import mock

import numpy as np
import optuna
import pytest

from nasturtium.core import ConfigError, DataError, Evaluation, NasturtiumError, derive_rng, load_model
from nasturtium.core.data import Task, load_dataset
from nasturtium.nas import (
    EngineChoice,
    SearchConfig,
    SearchSetup,
    SearchStoppedError,
    resume_search,
    run_search,
)
from nasturtium.nas.events import SearchStarted, TrialFinished, TrialProgress, TrialsEnded, TrialStarted, Working
from nasturtium.nas.finale import NothingFoundError, read_report
from nasturtium.nas.prior import prior_of
from nasturtium.nas.runner import Heartbeat
from nasturtium.nas.runner.optuna_tables import ensure_tables
from nasturtium.nas.space import Chain, Choice, Outputs, Space, layers, load_space
from nasturtium.nas.supernet import SinglePathTrainer
from nasturtium.storage import History, RunBusyError, SearchControl, Tracker, open_database

CONFIG = SearchConfig(
    data="digits", space="mlp", trials=5, epochs=5, seed=3, strategy="evolution", top=2, repeats=1, folds=None
)
HERE = EngineChoice(kind="here")


@pytest.fixture(scope="module", autouse=True)
def fewer_digits():
    """A quarter of the rows: simple models, fitted to all of them at the end of every search, take most of the time."""

    def load(source, *args):
        rows = load_dataset(source, *args)
        return rows.take(range(0, len(rows), 4)) if source == "digits" else rows

    with mock.patch("nasturtium.nas.setup.load_dataset", load):
        yield


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A database file with all tables, Optuna's among them: making them takes longer than most searches here."""
    path = tmp_path_factory.mktemp("empty") / "history.db"
    with open_database(path) as opened:
        ensure_tables(opened)
    return path


@pytest.fixture
def database(tmp_path, empty):
    shutil.copy(empty, tmp_path / "history.db")
    with (
        mock.patch("nasturtium.nas.runner.mirror.ensure_tables"),
        open_database(tmp_path / "history.db") as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def setup():
    return SearchSetup.load(CONFIG)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A table of 60 rows, where nothing takes its time."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows_of(path)
    return SearchSetup.load(replace(CONFIG, data=str(path), target="label"))


class Imagined:
    """An evaluator that trains nothing: a figure of the network alone, and what it was asked."""

    def __init__(self, *, failing: range = range(0), diverging: range = range(0)) -> None:
        self.seen: list[str] = []
        self.asked: list[tuple[int, int]] = []
        self.failing, self.diverging = failing, diverging

    def evaluate(self, candidate, budget):
        if candidate.id not in self.seen:
            self.seen.append(candidate.id)
        number = len(self.seen)
        self.asked.append((number, budget.epochs))
        if number in self.failing:
            raise MemoryError("no room")
        if number in self.diverging:
            return Evaluation(objectives={}, epochs=1, diverged=True)
        plan = candidate.spec.plan()
        figures = {"val_accuracy": 1 / plan.parameters, "val_loss": 1.0, "parameters": float(plan.parameters)}
        return Evaluation(objectives=figures | {"macs": float(plan.macs)}, epochs=budget.epochs)


def outline(trials) -> list[tuple]:
    """What a trial proposed and got, without names and times."""
    done = [trial for trial in trials if trial.state in {"completed", "pruned", "failed"}]
    return [(t.number, t.state, t.architecture.sha256, dict(t.hyperparameters), dict(t.metrics)) for t in done]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, setup):
    """One uninterrupted search, for all tests that only read."""
    with open_database(tmp_path_factory.mktemp("search") / "history.db") as opened:
        events = []
        result = run_search(setup, opened, engine=HERE, observe=events.append)
        yield opened, result, events


def test_the_best_model_is_saved_with_what_was_measured(finished, setup):
    database, result, _ = finished
    saved = load_model(result.model)
    rows = setup.test
    said = saved.predict(rows.inputs)
    accuracy = np.mean([word == rows.task.classes[y] for word, y in zip(said, rows.labels, strict=True)])
    assert accuracy == pytest.approx(result.report.model.test["accuracy"])
    assert accuracy > 0.6  # of 10 classes, after a few epochs on a quarter of the rows
    assert saved.metadata["run"] == result.search.uid
    assert database.models_dir / result.search.uid == result.model


def test_the_report_is_kept_and_has_a_control_and_a_verdict(finished):
    database, result, _ = finished
    report = read_report(database, result.search.uid)
    assert report == result.report
    assert {model.name for model in report.models} >= {"model", "winner", "random search", "kernel"}
    assert any("random search" in verdict for verdict in report.verdicts)
    assert report.trials == {"searched": 5, "random": 4}
    assert "looked at once" in report.to_text()


def test_the_model_leads_back_to_the_trial_and_the_data(finished):
    database, result, _ = finished
    history = History(database)
    told = {(node.kind, node.ref) for node in history.lineage("digits:1").nodes}
    assert told >= {
        ("run", result.search.uid),
        ("run", result.best.uid),
        ("dataset", history.dataset(result.search.uid).fingerprint),
        ("architecture", result.best.architecture.sha256),
    }


def test_every_trial_is_in_the_history(finished):
    database, result, _ = finished
    trials = History(database).trials(result.search.uid)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert {trial.state for trial in trials} <= {"completed", "pruned"}
    for trial in trials:
        assert {"train_loss", "val_loss", "val_accuracy"} <= History(database).curves(trial.uid).keys()
        assert trial.architecture.parameters == trial.metrics["parameters"]
        assert trial.flat.keys() == SearchSetup.load(CONFIG).space.leaves().keys()
    run = History(database).find(1)
    assert (run.state, run.metrics["test_accuracy"]) == ("completed", result.report.model.test["accuracy"])


def test_a_search_can_be_asked_by_what_its_trials_chose(finished):
    database, result, _ = finished
    trial = History(database).trials(result.search.uid)[0]
    params = History(database).find(trial.uid).params
    assert params["learning_rate"] == trial.hyperparameters["learning_rate"]
    assert "activation" in params


def test_no_candidate_is_tried_twice(finished):
    database, result, _ = finished
    trials = History(database).trials(result.search.uid)
    tried = {(trial.architecture.sha256, tuple(trial.hyperparameters.items())) for trial in trials}
    assert len(tried) == len(trials)


def test_watchers_hear_of_everything(finished):
    _, _, events = finished
    assert isinstance(events[0], SearchStarted)
    assert (events[0].finished, dict(events[0].states)) == (0, {})
    assert [event.number for event in events if isinstance(event, TrialStarted)] == [0, 1, 2, 3, 4]
    assert [event.number for event in events if isinstance(event, TrialFinished)] == [0, 1, 2, 3, 4]
    assert all(0 <= event.figures["val_accuracy"] <= 1 for event in events if isinstance(event, TrialProgress))
    assert TrialsEnded("trials", 5, 5) in events
    assert Working("testing once") in events


def test_optunas_own_tools_read_the_study(finished):
    database, result, _ = finished
    study = optuna.load_study(study_name=result.search.study_name, storage=database.url)
    trials = History(database).trials(result.search.uid)
    assert [trial.number for trial in study.trials] == [trial.number for trial in trials]
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert [trial.value for trial in done] == [t.metrics["val_accuracy"] for t in trials if t.state == "completed"]
    assert dict(study.trials[0].params) == dict(trials[0].flat)


def test_same_seed_same_trials(finished, setup, database):
    reference, result, _ = finished
    again = run_search(setup, database, engine=HERE)
    assert outline(History(database).trials(again.search.uid)) == outline(History(reference).trials(result.search.uid))
    assert again.report.models == result.report.models


@pytest.mark.parametrize("stop_at", [0, 2, 4])
def test_a_resumed_search_is_the_uninterrupted_one(finished, setup, database, stop_at):
    reference, result, _ = finished

    def stop(event):
        if isinstance(event, TrialProgress) and event.number == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, engine=HERE, observe=stop)
    run = History(database).find("@last")
    assert run.state == "interrupted"
    events = []
    resumed = resume_search(run.uid, database, engine=HERE, observe=events.append)
    assert sum(events[0].states.values()) == events[0].finished == stop_at
    trials = History(database).trials(run.uid)
    assert outline(trials) == outline(History(reference).trials(result.search.uid))
    assert [trial.attempt for trial in trials if trial.number == stop_at] == [1, 2]
    assert resumed.report.models == result.report.models


@pytest.mark.parametrize("what", ["training again", "training on all rows", "fitting references", "testing once"])
def test_a_conclusion_that_was_interrupted_is_concluded(finished, setup, database, what):
    """Whatever was finished of it is kept, and the test rows are looked at once."""
    _, result, _ = finished

    def stop(event):
        if isinstance(event, Working) and event.what.startswith(what):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, engine=HERE, observe=stop)
    uid = History(database).find("@last").uid
    resumed = resume_search(uid, database, engine=HERE)
    assert resumed.report.models == result.report.models
    tests = [run for run in History(database).children(uid, "eval") if run.state == "completed"]
    assert len(tests) == 1


def test_in_processes_the_trials_are_the_same(finished, setup, database):
    reference, result, _ = finished
    found = run_search(setup, database, engine=EngineChoice(kind="processes"))
    assert outline(History(database).trials(found.search.uid)) == outline(History(reference).trials(result.search.uid))
    assert found.report.models == result.report.models


def test_a_finished_search_is_not_resumed(finished):
    database, result, _ = finished
    with pytest.raises(ConfigError, match="already finished"):
        resume_search(result.search.uid, database)


def rows_of(path, count: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + 4 * (i % 2):.3f},{rng.normal():.3f},{'ab'[i % 2]}" for i in range(count)]
    path.write_text("\n".join(["x,y,label", *rows]))
    return rows


def test_changed_data_is_refused(tmp_path, database):
    path = tmp_path / "rows.csv"
    rows = rows_of(path)
    setup = SearchSetup.load(SearchConfig(data=str(path), target="label", trials=2, epochs=2, strategy="random"))

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, engine=HERE, observe=stop)
    path.write_text("\n".join(["x,y,label", *rows[:-1]]))
    with pytest.raises(ConfigError, match="not the data it started with"):
        resume_search(History(database).find("@last").uid, database)


def test_a_search_in_other_hands_is_busy(small, database):
    caught = []

    def try_again(event):
        run = History(database).find("@last")
        with mock.patch("os.getpid", return_value=1), pytest.raises(RunBusyError) as error:
            resume_search(run.uid, database)
        caught.append(error.value)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(small, database, engine=HERE, observe=try_again)
    assert len(caught) == 1


def test_a_trial_that_fails_costs_one_trial(small, database):
    run_search(small, database, evaluator=Imagined(failing=range(2, 3), diverging=range(3, 4)))
    trials = History(database).trials(History(database).find("@last").uid)
    assert [trial.state == "failed" for trial in trials] == [False, True, True, False, False]
    assert [trial.cause for trial in trials][1:3] == ["out of memory", "not finite"]
    assert "MemoryError: no room" in trials[1].error


def test_a_machine_that_fails_every_trial_stops_the_search_and_resuming_goes_on(small, database):
    with pytest.raises(NasturtiumError, match=r"3 trials in a row failed.*no room"):
        run_search(small, database, evaluator=Imagined(failing=range(1, 4)))
    run = History(database).find("@last")
    assert run.state == "failed"
    assert [trial.state for trial in History(database).trials(run.uid)] == ["failed"] * 3
    resume_search(run.uid, database, evaluator=Imagined())
    trials = History(database).trials(run.uid)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert trials[3].state == "completed"


def test_two_tasks_share_a_database_and_a_space(setup, database, tmp_path):
    """The same decisions for other data are another network."""
    rows_of(tmp_path / "rows.csv")
    small = replace(CONFIG, data=str(tmp_path / "rows.csv"), target="label", trials=2)
    first = run_search(setup, database, engine=HERE)
    second = run_search(SearchSetup.load(small), database, engine=HERE)
    assert load_model(first.model).spec.input_shape == (1, 8, 8)
    assert load_model(second.model).spec.input_shape == (2,)


def test_a_search_of_a_used_up_space_ends_with_what_it_has(small, database):
    """Two networks, five trials: both are trained."""
    template = Chain(
        layers.flatten(), layers.linear(out_features=Choice((8, 16))), layers.linear(out_features=Outputs())
    )
    space = Space("tiny", small.data.task, template, {}, total=True)
    events = []
    run_search(replace(small, space=space), database, engine=HERE, observe=events.append)
    assert TrialsEnded("space used up", 2, 5) in events
    assert len(History(database).trials(History(database).find("@last").uid)) == 2


def test_several_goals_and_constraints(small, database):
    goals = ("val_accuracy", "parameters")
    config = replace(small.config, strategy="mo-evolution", objectives=goals, constraints=("parameters <= 20000",))
    result = run_search(SearchSetup.load(config), database, evaluator=Imagined())
    assert result.search.objectives == [("val_accuracy", "maximize"), ("parameters", "minimize")]
    trials = History(database).trials(result.search.uid)
    assert all(trial.architecture.parameters <= 20000 for trial in trials)
    assert result.front[0].uid == result.best.uid or result.best.uid in {trial.uid for trial in trials}


def test_what_training_does_not_change_stops_no_trial(database):
    """The smallest network that is good enough: trials are not stopped for being large."""
    config = replace(CONFIG, objectives=("parameters",), constraints=("val_accuracy >= 0.6",), trials=6, epochs=4)
    setup = SearchSetup.load(config)
    assert (config.scheduler, setup.scheduler) == ("asha", "none")
    result = run_search(setup, database, engine=HERE)
    trials = History(database).trials(result.search.uid)
    assert {trial.state for trial in trials} == {"completed"}
    good = [trial for trial in trials if trial.metrics["val_accuracy"] >= 0.6]
    assert result.best.uid == min(good, key=lambda trial: trial.metrics["parameters"]).uid


def test_a_search_that_finds_nothing_says_what_came_closest(setup, database):
    config = replace(CONFIG, constraints=("val_accuracy >= 1.5",), scheduler="none", trials=2)
    with pytest.raises(NasturtiumError, match=r"none of 2 trials.*break the constraints.*comes closest"):
        run_search(SearchSetup.load(config), database, evaluator=Imagined())


def test_a_search_that_found_nothing_goes_on_with_more_trials(small, database):
    """It proposes what one proposes that had so many from the start; the control waits until there is a result."""
    short, long = (SearchSetup.load(replace(small.config, trials=trials, control="equal")) for trials in (2, 6))
    with pytest.raises(NothingFoundError, match="none of 2 trials can be taken: 2 failed") as failed:
        run_search(short, database, evaluator=Imagined(failing=range(1, 3)))
    run = History(database).find("@last")
    assert (run.number, run.state) == (1, "failed")
    assert f"nasturtium search --resume {run.number} --trials 4" in failed.value.hint
    with pytest.raises(NothingFoundError):
        resume_search(run.uid, database, evaluator=Imagined())
    with pytest.raises(ConfigError, match="has 2 trials, got 1: it can be made longer, not shorter"):
        resume_search(run.uid, database, evaluator=Imagined(), trials=1)
    events = []
    result = resume_search(run.uid, database, evaluator=Imagined(), trials=6, observe=events.append)
    assert [event.planned for event in events if isinstance(event, TrialsEnded)] == [6]
    assert (result.search.trials, result.search.run.state) == (6, "completed")
    assert result.report.trials == {"searched": 6, "random": 6}
    whole = run_search(long, database, evaluator=Imagined(failing=range(1, 3)))
    extended, whole = (outline(History(database).trials(each.search.uid)) for each in (result, whole))
    assert extended == whole
    with pytest.raises(ConfigError, match="cannot be made longer: its test rows were looked at"):
        resume_search(run.uid, database, evaluator=Imagined(), trials=9)


def test_a_search_is_not_made_longer_once_its_test_rows_were_looked_at(small, database):
    look = mock.patch("nasturtium.nas.finale.testing._measure", side_effect=KeyboardInterrupt)
    with look, pytest.raises(KeyboardInterrupt):
        run_search(small, database, evaluator=Imagined())
    uid = History(database).find("@last").uid
    with pytest.raises(ConfigError, match="its test rows were looked at"):
        resume_search(uid, database, evaluator=Imagined(), trials=99)
    assert History(database).search(uid).trials == small.config.trials


def test_missing_values_are_filled_where_it_is_asked_for(database, tmp_path):
    rows = rows_of(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("\n".join(["x,y,label", ",0.5,a", *rows]))
    config = SearchConfig(data=str(tmp_path / "rows.csv"), target="label", trials=2, epochs=2, strategy="random")
    with pytest.raises(DataError, match="missing"):
        SearchSetup.load(config)
    result = run_search(SearchSetup.load(replace(config, missing="fill")), database)
    assert load_model(result.model).predict(np.array([[np.nan, 0.0]]))[0] in {"a", "b"}


def test_a_stop_is_heard(small, database):
    """What is in work is finished, and the search is concluded with what it has."""

    def ask(event):
        if isinstance(event, TrialStarted) and event.number == 1:
            SearchControl(database, History(database).find("@last").uid).request_stop()

    events = []

    def hear(event):
        events.append(event)
        ask(event)

    class Slow(Imagined):
        def evaluate(self, candidate, budget):
            import time

            time.sleep(0.8)  # the heartbeat looks every two seconds
            return super().evaluate(candidate, budget)

    result = run_search(
        replace(small, config=replace(small.config, trials=50)), database, evaluator=Slow(), observe=hear
    )
    [ended] = [event for event in events if isinstance(event, TrialsEnded)]
    assert ended.reason == "request"
    assert ended.finished < 50
    assert any("Ended by request" in note for note in result.report.notes)


@pytest.mark.parametrize(
    "where", ["random search", "training again: trial", "training on all rows", "fitting references"]
)
def test_a_stop_is_heard_in_the_conclusion(small, database, where):
    """What is in work is finished, and resuming does the rest: the end is that of a search that nobody stopped."""
    asked = SearchSetup.load(replace(small.config, trials=3, control="equal", repeats=2))
    whole = run_search(asked, database, engine=HERE)
    seen = []

    def ask(event):
        seen.append(event)
        if isinstance(event, Working) and event.what.startswith(where):
            SearchControl(database, seen[0].search.uid).request_stop()

    listens = mock.patch.object(Heartbeat, "stop_requested", lambda heartbeat: heartbeat._control.stop_requested())
    with listens, pytest.raises(SearchStoppedError):
        run_search(asked, database, engine=HERE, observe=ask)
    uid = seen[0].search.uid
    assert History(database).find(uid).state == "interrupted"
    assert sum(isinstance(event, Working) and event.what.startswith(where) for event in seen) == 1
    resumed = resume_search(uid, database, engine=HERE)
    assert replace(resumed.report, spent={}) == replace(whole.report, spent={})


@pytest.mark.parametrize("again", [False, True])
def test_a_stop_of_the_trials_is_none_of_the_conclusion_but_another_one_is(small, database, again):
    seen = []

    def ask(event):
        seen.append(event)
        first = isinstance(event, TrialStarted) and event.number == 1
        if first or (again and isinstance(event, Working) and event.what.startswith("training again")):
            SearchControl(database, seen[0].search.uid).request_stop()

    listens = mock.patch.object(Heartbeat, "stop_requested", lambda heartbeat: heartbeat._control.stop_requested())
    with listens, pytest.raises(SearchStoppedError) if again else nullcontext():
        run_search(small, database, engine=HERE, observe=ask)
    assert TrialsEnded("request", 2, small.config.trials) in seen


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_an_equal_control_is_a_random_search_beside_it(small, database, strategy):
    config = replace(small.config, trials=3, control="equal", strategy=strategy)
    result = run_search(SearchSetup.load(config), database, engine=HERE)
    runs = History(database).runs()
    assert [(run.kind, run.state) for run in runs] == [("search", "completed")] * 2
    assert result.report.trials == {"searched": 3, "random": 3}
    other = History(database).search(next(run.uid for run in runs if run.uid != result.search.uid))
    assert (other.sampler, other.run.config["control_of"]) == ("random", result.search.uid)
    own, beside = (
        {small.space.identity(trial.flat) for trial in History(database).trials(uid)}
        for uid in (result.search.uid, other.run.uid)
    )
    assert not own & beside, "it would be the same search again"


def test_what_a_search_learns_from_is_named_for_good(setup, database):
    """A number is one database's, and "@last" is soon another run."""
    first = run_search(replace(setup, config=replace(CONFIG, trials=2)), database, evaluator=Imagined())
    warm = replace(setup, config=replace(CONFIG, trials=2, seed=4, warm_start=("@last",)))
    second = run_search(warm, database, evaluator=Imagined())
    assert list(second.search.run.config["warm_start"]) == [first.search.uid]


def test_a_search_learns_from_an_earlier_one(finished, setup):
    database, result, _ = finished
    warm = replace(setup, config=replace(CONFIG, warm_start=("1",), seed=4))
    prior = prior_of(History(database), warm)
    assert [trial.flat for trial in prior.trials] == [
        dict(trial.flat) for trial in History(database).trials(result.search.uid)
    ]
    assert not prior.points_only
    other = replace(warm, space=Space("other", setup.data.task, warm.space.template, {}))
    with pytest.raises(ConfigError, match="not the space of this one"):
        prior_of(History(database), other)


def test_a_resumed_search_learns_what_it_did_at_first(small, database):
    """What the earlier search has found since is nothing to it."""

    def stop_after(trials):
        def stop(event):
            if isinstance(event, TrialFinished) and event.number + 1 == trials:
                raise KeyboardInterrupt

        return stop

    def trials_of(number):
        return outline(History(database).trials(History(database).find(number).uid))

    earlier = replace(small, config=replace(small.config, trials=40))
    with pytest.raises(KeyboardInterrupt):
        run_search(earlier, database, evaluator=Imagined(), observe=stop_after(12))
    warm = replace(small, config=replace(small.config, warm_start=("1",), trials=10, seed=4))
    run_search(warm, database, evaluator=Imagined())
    with pytest.raises(KeyboardInterrupt):
        run_search(warm, database, evaluator=Imagined(), observe=stop_after(5))
    resume_search(History(database).find(1).uid, database, evaluator=Imagined())
    assert len(trials_of(1)) == 40
    resume_search(History(database).find(3).uid, database, evaluator=Imagined())
    assert trials_of(3) == trials_of(2)
    told = prior_of(History(database), warm, before=History(database).find(2).started)
    assert len(told.trials) == 12 < len(prior_of(History(database), warm).trials)


def test_a_search_learns_only_from_searches_for_its_goals(small, database):
    run_search(small, database, evaluator=Imagined())
    config = replace(small.config, warm_start=("1",), objectives=("val_loss",))
    assert prior_of(History(database), SearchSetup.load(config)).trials
    config = replace(config, objectives=("val_loss", "val_f1"), strategy="random")
    with pytest.raises(ConfigError, match="was for other goals: none of its trials says val_loss, val_f1"):
        run_search(SearchSetup.load(config), database, evaluator=Imagined())
    assert len(History(database).runs()) == 1


def test_the_control_is_random_after_a_warm_start_with_the_same_seed(small, database):
    """The earlier search began with the same random points, which are not tried again: there are others."""
    run_search(small, database, evaluator=Imagined())
    warm = replace(small, config=replace(small.config, warm_start=("1",), trials=10))
    result = run_search(warm, database, evaluator=Imagined())
    before, after = (History(database).trials(History(database).find(number).uid) for number in (1, 2))
    space = small.space
    begun = {space.identity(space.sample(derive_rng(small.config.seed, "control", index))) for index in range(4)}
    assert {space.identity(trial.flat) for trial in before[:4]} == begun
    drawn = [derive_rng(small.config.seed, "control", index) for index in range(4)]
    second = [[space.sample(rng) for _ in range(2)][1] for rng in drawn]
    assert [dict(trial.flat) for trial in after[:4]] == second
    assert result.report.trials == {"searched": 10, "random": 4}


def test_a_regression_is_searched_and_compared_with_simple_models(database, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=120)
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{t:.4f}" for (a, b, c), t in zip(x, y, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,y", *rows]))
    config = SearchConfig(
        data=str(tmp_path / "rows.csv"), target="y", trials=3, epochs=5, strategy="random", top=1, repeats=1
    )
    setup = SearchSetup.load(config)
    assert setup.config.task == "regression"
    result = run_search(setup, database, engine=HERE)
    assert result.search.objectives == [("val_r2", "maximize")]
    assert "ridge" in {model.name for model in result.report.models}
    assert any("simpler model" in verdict for verdict in result.report.verdicts)  # the truth is linear


def test_zero_cost_scores_are_goals_and_filters(small, database):
    zero = replace(small.config, evaluate="zero-cost", scheduler="none", epochs=1, strategy="mo-evolution")
    config = replace(zero, objectives=("nwot", "parameters"))
    result = run_search(SearchSetup.load(config), database, engine=HERE)
    assert all("nwot" in trial.metrics for trial in History(database).trials(result.search.uid))
    filtered = SearchSetup.load(replace(small.config, zero_cost="parameters", trials=6))
    run_search(filtered, database, evaluator=Imagined())
    chosen = History(database).trials(History(database).find("@last").uid)
    assert chosen[-1].architecture.parameters > 2 * np.median([trial.architecture.parameters for trial in chosen[:4]])


def test_a_supernet_is_trained_once_and_evaluates_many(setup, database):
    template = Chain(
        layers.flatten(), layers.linear(out_features=Choice((8, 16, 32))), layers.linear(out_features=Outputs())
    )
    space = Space("three", setup.data.task, template, {}, total=True)
    config = replace(CONFIG, evaluate="supernet", trials=3, epochs=12, scheduler="none")
    shared = replace(setup, space=space, config=config)
    said = []

    def stop(event):
        said.append(event)
        if isinstance(event, TrialFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(shared, database, engine=HERE, observe=stop)
    uid = History(database).find("@last").uid
    assert any(isinstance(event, Working) and "epoch 12 of 12" in event.what for event in said)
    with mock.patch("nasturtium.nas.search.setup_of", return_value=shared):
        resumed = resume_search(uid, database, engine=HERE, observe=said.append)
    assert sum(isinstance(event, Working) and "epoch 12 of 12" in event.what for event in said) == 1
    done = [trial for trial in History(database).trials(uid) if trial.state == "completed"]
    assert len(done) == 3
    assert all(trial.metrics["val_accuracy"] > 0.5 for trial in done)
    assert resumed.test["accuracy"] > 0.5


def test_a_supernet_that_diverges_ends_the_search(database):
    """Otherwise every candidate would fail, one after the other."""

    def diverge(trainer, *rows, **options):
        trainer.epoch, trainer.diverged = 1, True

    shared = SearchSetup.load(replace(CONFIG, evaluate="supernet"))
    with (
        mock.patch.object(SinglePathTrainer, "fit", diverge),
        pytest.raises(NasturtiumError, match="the supernet's loss was not finite in epoch 1"),
    ):
        run_search(shared, database, engine=HERE)
    run = History(database).find("@last")
    assert run.state == "failed"
    assert History(database).trials(run.uid) == []


def test_a_space_that_changed_is_not_resumed(setup, database):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, engine=HERE, observe=stop)
    uid = History(database).find("@last").uid
    with mock.patch.object(Space, "sha256", "another"), pytest.raises(ConfigError, match="has changed"):
        resume_search(uid, database)


def test_a_bundled_name_stays_a_name(tmp_path, monkeypatch):
    """Also where a folder of that name lies about."""
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert SearchSetup.load(CONFIG).config.data == "digits"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"trials": 0}, "trials >= 1", id="no-trials"),
        pytest.param({"epochs": 0}, "epochs >= 1", id="no-epochs"),
        pytest.param({"seed": -1}, "seed", id="negative-seed"),
        pytest.param({"workers": 0}, "workers >= 1", id="no-workers"),
        pytest.param({"strategy": "guess"}, "unknown strategy 'guess'", id="unknown-strategy"),
        pytest.param({"scheduler": "guess"}, "unknown scheduler 'guess'", id="unknown-scheduler"),
        pytest.param({"objectives": ("guess",)}, "guess", id="unknown-goal"),
        pytest.param({"constraints": ("parameters",)}, "constraint", id="no-constraint"),
        pytest.param({"seconds": -1.0}, "seconds > 0", id="negative-time"),
        pytest.param({"evaluate": "guess"}, "training, zero-cost, supernet", id="unknown-evaluation"),
        pytest.param({"zero_cost": "guess"}, "guess", id="unknown-score"),
        pytest.param({"missing": "guess"}, "refuse, fill, indicate", id="unknown-treatment"),
        pytest.param({"data": None}, "data as a text", id="no-data"),
        pytest.param({"device": None}, "device as a text", id="no-device"),
        pytest.param({"objectives": "val_accuracy"}, "objectives as a list of texts", id="goals-in-one-text"),
        pytest.param({"objectives": ("params", "parameters")}, "parameters stands twice", id="a-goal-twice"),
        pytest.param({"constraints": "parameters <= 5"}, "constraints as a list of texts", id="constraints-in-a-text"),
        pytest.param({"warm_start": (1,)}, "warm_start as a list of texts", id="a-search-by-number"),
        pytest.param({"seconds": True}, "seconds > 0", id="time-that-is-true"),
        pytest.param({"stop_at": "0.9"}, "stop_at as a finite number", id="target-as-a-text"),
        pytest.param({"stop_at": float("nan")}, "stop_at as a finite number", id="no-target"),
        pytest.param({"folds": 1}, "folds >= 2", id="one-fold"),
        pytest.param({"folds": "many"}, "folds >= 2", id="unknown-folds"),
        pytest.param({"ensemble": "no"}, "ensemble as true or false", id="ensemble-as-a-text"),
    ],
)
def test_a_request_that_cannot_be_is_refused(change, match):
    with pytest.raises(ConfigError, match=match):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("params <= 50k", "parameters <= 50000"),
        ("model_bytes <= 200 kB", "model_bytes <= 200000"),
        ("buffers <= 1_000", "buffers <= 1000"),
        ("latency <= 2 ms", None),
    ],
)
def test_what_a_network_costs_is_a_constraint_of_the_space(text, kept):
    """In the words that a user may write, with its unit; what is measured later is not."""
    loaded = SearchSetup.load(replace(CONFIG, constraints=(text,)))
    assert loaded.space.constraints == (() if kept is None else (kept,))
    assert len(loaded.constraints) == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"evaluate": "zero-cost"}, "is not told val_accuracy", id="no-score"),
        pytest.param({"evaluate": "zero-cost", "objectives": ("macs",)}, "has none among its goals", id="sizes-alone"),
        pytest.param(
            {"evaluate": "zero-cost", "objectives": ("nwot",), "constraints": ("val_loss <= 1",)},
            "is not told val_loss",
            id="a-constraint-of-training",
        ),
        pytest.param(
            {"evaluate": "supernet", "constraints": ("latency <= 2",)}, "is not told latency_ms", id="no-clock"
        ),
    ],
)
def test_figures_that_nobody_would_tell_are_refused_before_there_is_a_search(change, match):
    with pytest.raises(ConfigError, match=match):
        SearchSetup.load(replace(CONFIG, **change))


def test_an_unknown_space_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"unknown .*space 'dense'.*mlp"):
        SearchSetup.load(replace(CONFIG, space="dense"))


def test_a_configuration_is_read_from_a_file(tmp_path):
    path = tmp_path / "search.toml"
    path.write_text('data = "digits"\ntrials = 7\nobjectives = ["val_accuracy", "minimize macs"]\n')
    config = SearchConfig.read(path, trials=9)
    assert (config.data, config.trials, config.objectives) == ("digits", 9, ("val_accuracy", "minimize macs"))
    assert SearchConfig.from_dict(asdict(config)) == config
    path.write_text("trails = 7\n")
    with pytest.raises(ConfigError, match="no settings trails"):
        SearchConfig.read(path, data="digits")
    path.write_text("= 7\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        SearchConfig.read(path)


def test_the_end_that_could_not_be_written_is_written_by_the_next(finished, setup, database):
    """A process that died between the end of the test and the end of the search: the test is not run again."""
    _, result, _ = finished
    finish = Tracker.finish

    def die(tracker, uid, **fields):
        if fields["state"] == "completed" and uid == History(database).find("@last").uid:
            raise KeyboardInterrupt
        return finish(tracker, uid, **fields)

    with mock.patch.object(Tracker, "finish", die), pytest.raises(KeyboardInterrupt):
        run_search(setup, database, engine=HERE)
    uid = History(database).find("@last").uid
    resumed = resume_search(uid, database, engine=HERE)
    assert resumed.report.models == result.report.models


def test_a_task_without_a_space_is_refused():
    task = Task(input_shape=(1,), features=("x",), classes=("a", "b"))
    with pytest.raises(ConfigError, match="needs images"):
        load_space("cnn", task)
