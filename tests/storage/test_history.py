"""How people name a run, and that a long history is read in few queries."""

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from nasturtium.storage import History, Tracker, UnknownRunError

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rename(database, uid: str, new: str) -> str:
    """Give a run the ULID a test needs; real ones share their first letters when made at once."""
    with database.write() as session:
        session.execute(text("UPDATE nst_run SET uid = :new WHERE uid = :uid"), {"uid": uid, "new": new})
    return new


@pytest.fixture
def named(database, tracker, start_search, start_trial) -> list[str]:
    """Two searches and a trial with known ULIDs, which part at letter 6 and at letter 26."""
    one, two = start_search(tracker), start_search(tracker)
    trial = start_trial(tracker, one)
    return [
        rename(database, one.uid, "01HZYA0000000000000000000A"),
        rename(database, two.uid, "01HZYZ0000000000000000000A"),
        rename(database, trial, "01HZYZ0000000000000000000Z"),
    ]


@given(length=st.integers(4, 26), upper=st.booleans(), which=st.integers(0, 2))
@QUIET
def test_a_prefix_finds_the_one_run_it_fits_or_none(history, named, length, upper, which):
    prefix = named[which][:length]
    fits = [uid for uid in named if uid.startswith(prefix)]
    ref = f" {prefix if upper else prefix.lower()} "
    if len(fits) == 1:
        assert history.find(ref).uid == named[which]
    else:
        with pytest.raises(UnknownRunError, match="several runs start with") as caught:
            history.find(ref)
        assert all(uid in str(caught.value) for uid in fits)


@pytest.mark.parametrize("ref", [1, "1", "@last", "01hzya"])
def test_a_run_answers_to(history, named, ref):
    assert history.find(ref).uid == (named[1] if ref == "@last" else named[0])


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        pytest.param(3, "no run 3", id="number"),
        pytest.param(10**30, "no run 10", id="huge-number"),
        pytest.param(0, "several runs start with 0", id="zero"),
        pytest.param(-1, "expected a run's number", id="negative"),
        pytest.param("01H", "several runs start with 01H", id="short"),
        pytest.param("U", "expected a run's number, the first letters", id="no-letter-of-a-ULID"),
        pytest.param("01HZYB", "no run 01HZYB", id="absent"),
        pytest.param("01HZYA" + "0" * 21, "expected", id="long"),
        pytest.param("01HZ%", "expected", id="wildcard"),
        pytest.param("٣", "expected", id="arabic-digit"),
        pytest.param("", "got ''", id="empty"),
        pytest.param("@first", "@last or @best", id="alias"),
        pytest.param("@best", "no completed run with a model", id="no-best"),
    ],
)
def test_nothing_answers_to(history, named, ref, message):
    with pytest.raises(UnknownRunError, match=message):
        history.find(ref)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    return path


def test_last_of_an_empty_history(history):
    with pytest.raises(UnknownRunError, match="no run yet"):
        history.find("@last")
    assert history.runs() == []


def test_best_is_completed_has_a_model_and_the_highest_accuracy(tracker, history, start_search, weights):
    def run(state, accuracy, *, model=True):
        uid = start_search(tracker).uid
        if model:
            tracker.record_artifact(uid, weights, role="model", media_type="application/vnd.safetensors")
        tracker.finish(uid, state=state, metrics={} if accuracy is None else {"val_accuracy": accuracy})
        return uid

    run("completed", 0.8)
    newest_of_the_best = [run("completed", 0.9), run("completed", 0.9)][-1]
    run("failed", 1.0)
    run("completed", 0.99, model=False)
    run("completed", math.nan)
    run("completed", None)
    assert history.find("@best").uid == newest_of_the_best


def test_best_is_meant_on_the_data_of_the_newest_run_with_a_model(tracker, history, dataset, start_search, weights):
    """Accuracies on different data do not compare."""

    def run(fingerprint, accuracy):
        search = start_search(tracker, dataset=replace(dataset, fingerprint=fingerprint))
        tracker.record_artifact(search.uid, weights, role="model", media_type="application/vnd.safetensors")
        tracker.finish(search.uid, state="completed", metrics={"val_accuracy": accuracy})
        return search.uid

    run("easy", 0.99)
    best_of_hard = run("hard", 0.7)
    run("hard", 0.6)
    assert history.find("@best").uid == best_of_hard


def test_a_thousand_searches_are_read_in_five_queries(sqlite_database, start_search):
    first = start_search(Tracker(sqlite_database))
    with sqlite_database.write() as session:
        columns = "kind, state, name, seed, config, environment_id, experiment_id, host, pid, born, started_us"
        session.execute(
            text(
                f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                f" INSERT INTO nst_run (uid, number, {columns})"
                f" SELECT printf('01%024d', i), i, {columns} FROM n, nst_run WHERE number = 1"
            )
        )
        session.execute(text("INSERT INTO nst_name (name) VALUES ('val_accuracy')"))
        session.execute(
            text(
                "INSERT INTO nst_metric (run_id, name_id, value, reported, points)"
                " SELECT nst_run.id, nst_name.id, number / 1000.0, true, 0 FROM nst_run, nst_name"
                " WHERE nst_name.name = 'val_accuracy'"
            )
        )
    statements: list[str] = []
    with sqlite_database.read() as session:
        engine = session.get_bind()

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    runs = History(sqlite_database).runs()
    assert [run.number for run in runs] == list(range(1000, 0, -1))
    assert runs[-1].uid == first.uid
    assert runs[499].metrics == {"val_accuracy": 0.501}
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 5
