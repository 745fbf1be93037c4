"""A search end to end on small data: results, resumption, interruption, and what the history keeps of it."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.study import Study

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, ModelSpec, NasturtiumError, Trainer, load_model
from nasturtium.core.data import Task
from nasturtium.core.nn import layer_spec
from nasturtium.nas import (
    Architecture,
    Choice,
    DistinctSampler,
    Group,
    LocalEvaluator,
    SearchConfig,
    SearchSetup,
    SearchStarted,
    Space,
    SpaceUsedUp,
    SpaceUsedUpError,
    TrialFinished,
    TrialProgress,
    choose_best,
    resume_search,
    run_search,
)
from nasturtium.nas.search import budgets, rungs
from nasturtium.nas.space import draw
from nasturtium.nas.strategies import distributions
from nasturtium.storage import History, RunBusyError, Tracker, open_database

CONFIG = SearchConfig(data="digits", space="mlp", trials=4, epochs=3, seed=3)


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "history.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def setup():
    return SearchSetup.load(CONFIG)


def any_candidate(setup, *, learning_rate: float) -> Candidate:
    rng = np.random.default_rng(0)
    flat = {path: draw(leaf, rng) for path, leaf in setup.space.leaves().items()}
    spec = Architecture.from_flat(setup.space, flat).to_spec(setup.space)
    return Candidate(id="one", spec=spec, hyperparameters={"learning_rate": learning_rate, "weight_decay": 0.0}, seed=5)


def outline(trials) -> list[tuple]:
    """What a trial proposed and got, without names and times."""
    done = [trial for trial in trials if trial.state in {"completed", "pruned"}]
    return [(t.number, t.state, t.architecture.sha256, dict(t.hyperparameters), dict(t.metrics)) for t in done]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, setup):
    """One uninterrupted search, for all tests that only read."""
    with open_database(tmp_path_factory.mktemp("search") / "history.db") as opened:
        events = []
        result = run_search(setup, opened, observe=events.append)
        yield opened, result, events


def test_the_best_model_is_saved_with_what_was_measured(finished, setup):
    database, result, _ = finished
    saved = load_model(result.model)
    rows = setup.test
    accuracy = np.mean(
        [said == rows.task.classes[y] for said, y in zip(saved.predict(rows.inputs), rows.labels, strict=True)]
    )
    assert accuracy == pytest.approx(result.test.accuracy)
    assert result.test.accuracy > 0.85
    assert saved.metadata["run"] == result.search.uid
    assert database.models_dir / result.search.uid == result.model
    assert {file.name for file in History(database).artifacts(result.search.uid)} == {
        path.name for path in result.model.iterdir()
    }


def test_the_model_leads_back_to_the_trial_and_the_data(finished):
    database, result, _ = finished
    history = History(database)
    lineage = history.lineage("digits:1")
    told = {(node.kind, node.ref) for node in lineage.nodes}
    retrained = history.children(result.search.uid, "retrain")[-1]
    assert told >= {
        ("run", result.search.uid),
        ("run", result.best.uid),
        ("run", retrained.uid),
        ("dataset", history.dataset(result.search.uid).fingerprint),
        ("architecture", result.best.architecture.sha256),
    }
    assert not any(
        node.ref == trial.uid
        for node in lineage.nodes
        for trial in history.trials(result.search.uid)[1:]
        if trial.uid != result.best.uid
    )


def test_a_search_can_be_asked_by_what_its_trials_chose(finished):
    database, result, _ = finished
    trial = History(database).trials(result.search.uid)[0]
    params = History(database).find(trial.uid).params
    assert params["learning_rate"] == trial.hyperparameters["learning_rate"]
    assert "activation" in params
    curve = History(database).curve(trial.uid, "val_accuracy")
    assert (curve.seconds >= 0).all()  # logged as they came up


def test_every_trial_is_in_the_history(finished):
    database, result, _ = finished
    trials = History(database).trials(result.search.uid)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.state for trial in trials} <= {"completed", "pruned"}
    for trial in trials:
        curves = History(database).curves(trial.uid)
        assert set(curves) == {"train_loss", "val_loss", "val_accuracy"}
        assert trial.architecture.parameters == trial.metrics["parameters"]
    assert History(database).find(1).state == "completed"
    assert History(database).find(1).metrics["test_accuracy"] == result.test.accuracy


def test_no_architecture_is_trained_twice(finished):
    database, result, _ = finished
    hashes = [trial.architecture.sha256 for trial in History(database).trials(result.search.uid)]
    assert len(set(hashes)) == len(hashes)


def test_watchers_hear_of_every_trial(finished):
    _, _, events = finished
    assert isinstance(events[0], SearchStarted)
    assert [event.number for event in events if isinstance(event, TrialFinished)] == [0, 1, 2, 3]
    assert all(0 <= event.val_accuracy <= 1 for event in events if isinstance(event, TrialProgress))


def test_same_seed_same_trials(finished, setup, database):
    reference, result, _ = finished
    again = run_search(setup, database)
    assert outline(History(database).trials(again.search.uid)) == outline(History(reference).trials(result.search.uid))
    assert again.test == result.test


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_a_resumed_search_is_the_uninterrupted_one(finished, setup, database, stop_at):
    reference, result, _ = finished

    def stop(event):
        if isinstance(event, TrialProgress) and event.number == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, observe=stop)
    run = History(database).find("@last")
    assert run.state == "interrupted"
    resumed = resume_search(run.uid, database)
    trials = History(database).trials(run.uid)
    assert outline(trials) == outline(History(reference).trials(result.search.uid))
    assert [trial.attempt for trial in trials if trial.number == stop_at] == [1, 2]
    assert resumed.test == result.test


def test_a_process_that_died_between_our_record_and_optunas_loses_nothing(finished, setup, database):
    """Our trial is finished, Optuna still thinks it runs: resuming tells Optuna instead of training again."""
    reference, result, _ = finished
    tell = Study.tell

    def die(study, trial, *args, **kwargs):
        if trial.number == 1:
            raise KeyboardInterrupt
        return tell(study, trial, *args, **kwargs)

    with mock.patch.object(Study, "tell", die), pytest.raises(KeyboardInterrupt):
        run_search(setup, database)
    uid = History(database).find("@last").uid
    resume_search(uid, database)
    trials = History(database).trials(uid)
    assert outline(trials) == outline(History(reference).trials(result.search.uid))
    assert {trial.attempt for trial in trials} == {1}


def test_a_finished_search_is_not_resumed(finished):
    database, result, _ = finished
    with pytest.raises(ConfigError, match="already finished"):
        resume_search(result.search.uid, database)


def test_changed_data_is_refused(tmp_path, database):
    path = tmp_path / "rows.csv"
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + i % 2},{rng.normal()},{'ab'[i % 2]}" for i in range(60)]
    path.write_text("\n".join(["x,y,label", *rows]))
    setup = SearchSetup.load(SearchConfig(data=str(path), target="label", trials=2, epochs=2))

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, observe=stop)
    path.write_text("\n".join(["x,y,label", *rows[:-1]]))
    with pytest.raises(ConfigError, match="not the data it started with"):
        resume_search(History(database).find("@last").uid, database)


def test_a_search_in_other_hands_is_busy(setup, database):
    caught = []

    def try_again(event):
        run = History(database).find("@last")
        with mock.patch("os.getpid", return_value=1), pytest.raises(RunBusyError) as error:
            resume_search(run.uid, database)
        caught.append(error.value)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, observe=try_again)
    assert len(caught) == 1


class Broken:
    """An evaluator that fails from its `first` to its `last` candidate."""

    def __init__(self, setup, first: int, last: int) -> None:
        self.real = LocalEvaluator(setup.train, setup.validation)
        self.failing = range(first, last + 1)
        self.seen: list[str] = []

    def evaluate(self, candidate, budget):
        if candidate.id not in self.seen:
            self.seen.append(candidate.id)
        if len(self.seen) in self.failing:
            raise MemoryError("no room")
        return self.real.evaluate(candidate, budget)


def test_a_trial_that_fails_costs_one_trial(setup, database):
    result = run_search(setup, database, evaluator=Broken(setup, 2, 2))
    trials = History(database).trials(result.search.uid)
    assert [trial.state == "failed" for trial in trials] == [False, True, False, False]
    assert "MemoryError: no room" in trials[1].error
    assert len({trial.architecture.sha256 for trial in trials}) == 4


def test_a_machine_that_fails_every_trial_stops_the_search_and_resuming_goes_on(setup, database):
    with pytest.raises(NasturtiumError, match=r"3 trials in a row failed, the last one with MemoryError: no room"):
        run_search(setup, database, evaluator=Broken(setup, 1, 3))
    run = History(database).find("@last")
    assert run.state == "failed"
    assert [trial.state for trial in History(database).trials(run.uid)] == ["failed"] * 3
    resume_search(run.uid, database)
    trials = History(database).trials(run.uid)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert trials[3].state == "completed"


def test_two_tasks_share_a_database_and_a_space(setup, database, tmp_path):
    """The same decisions for other data are another network."""
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + 4 * (i % 2):.3f},{rng.normal():.3f},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y,label", *rows]))
    small = replace(CONFIG, data=str(tmp_path / "rows.csv"), target="label", trials=2)
    first = run_search(setup, database)
    second = run_search(SearchSetup.load(small), database)
    assert load_model(first.model).spec.input_shape == (1, 8, 8)
    assert load_model(second.model).spec.input_shape == (2,)
    for trial in History(database).trials(second.search.uid):
        assert trial.architecture.spec["input_shape"] == [2]


def test_the_best_leads_the_front(finished):
    _, result, _ = finished
    assert result.front[0].uid == result.best.uid


def test_a_retraining_that_was_finished_is_not_repeated(finished, setup, database):
    """A process that died between the end of the retraining and the end of the search: the test is not run again."""
    _, result, _ = finished
    finish = Tracker.finish

    def die(tracker, uid, **fields):
        if fields["state"] == "completed" and "test_accuracy" in fields["metrics"] and uid == tracker_search(tracker):
            raise KeyboardInterrupt
        return finish(tracker, uid, **fields)

    def tracker_search(tracker):
        return History(database).find("@last").uid

    with mock.patch.object(Tracker, "finish", die), pytest.raises(KeyboardInterrupt):
        run_search(setup, database)
    uid = History(database).find("@last").uid
    resumed = resume_search(uid, database)
    assert len(History(database).children(uid, "retrain")) == 1
    assert resumed.test.accuracy == result.test.accuracy
    assert resumed.test.loss == pytest.approx(result.test.loss)


def test_a_space_that_changed_is_not_resumed(setup, database):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(setup, database, observe=stop)
    uid = History(database).find("@last").uid
    with mock.patch.object(SearchSetup, "space_sha256", "another"), pytest.raises(ConfigError, match="has changed"):
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
        pytest.param({"space": "dense"}, "unknown space 'dense'", id="unknown-space"),
        pytest.param({"strategy": "guess"}, "unknown strategy 'guess'", id="unknown-strategy"),
    ],
)
def test_a_request_that_cannot_be_is_refused(change, match):
    with pytest.raises(ConfigError, match=match):
        replace(CONFIG, **change)


def test_a_space_that_is_used_up_says_so():
    task = Task(input_shape=(1,), features=("x",), classes=("a", "b"))
    tiny = Space("tiny", task, Group({"a": Choice((1, 2))}), {}, to_spec=lambda choices: None)
    study = optuna.create_study(sampler=DistinctSampler(tiny, "random", 0))
    for value in (0.0, 1.0):
        study.tell(study.ask(distributions(tiny)), value)
    with pytest.raises(SpaceUsedUpError, match="no architecture left to try"):
        study.ask(distributions(tiny))


def test_a_search_of_a_used_up_space_ends_with_what_it_has(setup, database):
    """Two networks, five trials: both are trained, the better one is retrained and saved."""
    node = Group({"width": Choice((8, 16))})
    tiny = replace(
        setup.space,
        architecture=node,
        to_spec=lambda choices: ModelSpec(
            (1, 8, 8),
            (
                layer_spec("flatten"),
                layer_spec("linear", out_features=choices["width"]),
                layer_spec("linear", out_features=10),
            ),
        ),
    )
    events = []
    small = replace(setup, space=tiny, config=replace(setup.config, trials=5))
    result = run_search(small, database, observe=events.append)
    assert SpaceUsedUp(2, 5) in events
    assert result.search.run.state == "completed"
    assert len(History(database).trials(result.search.uid)) == 2


@pytest.mark.parametrize(
    ("epochs", "compared", "steps"),
    [
        pytest.param(30, [4, 10], [3, 4, 6, 9, 10, 12, 15, 18, 21, 24, 27, 30], id="default"),
        pytest.param(3, [1], [1, 2, 3], id="short"),
        pytest.param(1, [], [1], id="one"),
    ],
)
def test_a_trial_is_trained_in_steps_and_compared_at_rungs(epochs, compared, steps):
    assert rungs(epochs) == compared
    assert [budget.epochs for budget in budgets(epochs)] == steps
    assert {budget.total for budget in budgets(epochs)} == {epochs}


def test_an_evaluation_in_steps_is_the_evaluation_at_once(setup):
    """A higher budget goes on from a lower one, with the result of starting anew."""
    candidate = any_candidate(setup, learning_rate=2e-3)
    stepwise = LocalEvaluator(setup.train, setup.validation)
    for epochs in (1, 2, 4):
        last = stepwise.evaluate(candidate, Budget(epochs=epochs, total=4))
    assert last == LocalEvaluator(setup.train, setup.validation).evaluate(candidate, Budget(epochs=4, total=4))


def test_what_has_stopped_improving_is_not_trained_again(setup, monkeypatch):
    """Patience runs out before the budget: asking for more costs nothing and changes nothing."""
    candidate = any_candidate(setup, learning_rate=5e-2)
    evaluator = LocalEvaluator(setup.train, setup.validation)
    stopped = evaluator.evaluate(candidate, Budget(epochs=40, total=60))
    assert stopped.epochs < 40
    monkeypatch.setattr(Trainer, "_run_epoch", lambda *_: pytest.fail("trained again"))
    assert evaluator.evaluate(candidate, Budget(epochs=60, total=60)) == stopped


class Impatient:
    """An evaluator whose candidates stop improving in their second epoch."""

    def __init__(self) -> None:
        self.asked = []

    def evaluate(self, candidate, budget):
        self.asked.append(budget.epochs)
        figures = {"val_accuracy": 0.5, "val_loss": 1.0, "parameters": 1.0, "macs": 1.0}
        return Evaluation(objectives=figures, epochs=min(2, budget.epochs))


def test_a_trial_that_stopped_improving_is_complete(setup, database):
    evaluator = Impatient()
    long = replace(setup, config=replace(setup.config, trials=1, epochs=9))
    result = run_search(long, database, evaluator=evaluator)
    assert evaluator.asked == [1, 2, 3]
    assert result.best.state == "completed"


def test_divergence_is_a_result(setup):
    candidate = any_candidate(setup, learning_rate=1e30)
    evaluation = LocalEvaluator(setup.train, setup.validation).evaluate(candidate, Budget(epochs=3, total=3))
    assert evaluation.diverged
    assert evaluation.objectives == {}


class Imagined:
    """An evaluator that trains nothing: small networks are good, and the second one diverges."""

    def __init__(self) -> None:
        self.asked = []

    def evaluate(self, candidate, budget):
        self.asked.append((candidate.id, budget.epochs))
        plan = candidate.spec.plan()
        if len({candidate for candidate, _ in self.asked}) == 2:
            return Evaluation(objectives={}, epochs=1, diverged=True)
        figures = {"val_accuracy": 1 / plan.parameters, "val_loss": 1.0}
        costs = {"parameters": float(plan.parameters), "macs": float(plan.macs)}
        return Evaluation(objectives=figures | costs, epochs=budget.epochs)


def test_any_evaluator_will_do(setup, database):
    evaluator = Imagined()
    result = run_search(setup, database, evaluator=evaluator)
    trials = History(database).trials(result.search.uid)
    assert [trial.state for trial in trials] == ["completed", "pruned", "completed", "completed"]
    assert trials[1].error == "the loss was not finite"
    assert result.best.architecture.parameters == min(
        trial.architecture.parameters for trial in trials if trial.state == "completed"
    )
    assert evaluator.asked[:4] == [(trials[0].uid, epochs) for epochs in (1, 2, 3)] + [(trials[1].uid, 1)]


def test_without_a_completed_trial_there_is_no_best():
    with pytest.raises(NasturtiumError, match="none of 0 trials"):
        choose_best([])
