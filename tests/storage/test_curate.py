"""Words and notes on runs; deleting, restoring and purging them."""

from contextlib import contextmanager
from datetime import timedelta

import optuna
import pytest
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import ModelRegistry, NoteRecord, RunBusyError, Tracker, UnknownRunError, process
from nasturtium.storage.curate import Curator, Purged

NOBODY = "0" * 26


@pytest.fixture
def curator(database):
    return Curator(database)


@pytest.fixture
def ended_search(tracker, start_search, start_trial):
    """A search with two trials, all ended; their uids, the search's first."""
    search = start_search(tracker)
    trials = [start_trial(tracker, search, number) for number in range(2)]
    for uid in (*trials, search.uid):
        tracker.finish(uid, state="completed", metrics={"val_accuracy": 0.5}, curves={"loss": {1: 0.5}})
    return [search.uid, *trials]


@contextmanager
def closing_storage(database):
    storage = optuna.storages.RDBStorage(database.url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def count(database, table: str) -> int:
    with database.read() as session:
        return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_tags_are_put_changed_and_taken_off(curator, history, ended_search):
    uid = ended_search[0]
    curator.tag(uid, "paper")
    curator.tag(uid, "owner", "Ada")
    curator.tag(uid, "owner", "Grace")
    assert history.find(uid).tags == {"owner": "Grace", "paper": ""}
    assert curator.untag(uid, "paper") is True
    assert curator.untag(uid, "paper") is False
    assert curator.untag(uid, "never used") is False
    assert history.find(uid).tags == {"owner": "Grace"}


def test_notes_stay_in_order(database, history, ended_search):
    now = [1_700_000_000_000_000]
    curator = Curator(database, clock=lambda: now[0])
    curator.note(ended_search[0], "first")
    now[0] += 1_000_000
    curator.note(ended_search[0], "second: it diverged, noise too large")
    first, second = history.notes(ended_search[0])
    assert isinstance(first, NoteRecord)
    assert [first.text, second.text] == ["first", "second: it diverged, noise too large"]
    assert second.created - first.created == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        pytest.param(lambda c, u: c.tag(u, ""), ConfigError, "expected a name", id="no-tag"),
        pytest.param(lambda c, u: c.tag(u, "x", "a\0b"), ConfigError, "without NUL", id="nul"),
        pytest.param(lambda c, u: c.tag(u, "x", "a" * 501), ConfigError, "at most 500 letters", id="long-tag"),
        pytest.param(lambda c, u: c.note(u, "  "), ConfigError, "a note of some letters", id="empty-note"),
        pytest.param(lambda c, u: c.note(u, "x" * 10_001), ConfigError, "10,001", id="long-note"),
        pytest.param(lambda c, u: c.note(NOBODY, "x"), UnknownRunError, NOBODY, id="nobody"),
        pytest.param(lambda c, u: c.delete(NOBODY), UnknownRunError, NOBODY, id="delete-nobody"),
        pytest.param(lambda c, u: c.delete_experiment("x"), ConfigError, "no experiment 'x'", id="experiment"),
    ],
)
def test_what_cannot_be_done_is_refused(curator, ended_search, use, error, message):
    with pytest.raises(error, match=message):
        use(curator, ended_search[0])


def test_a_deleted_run_is_in_no_list_until_it_is_restored(curator, history, ended_search):
    search, trial, _ = ended_search
    assert curator.delete(search) == 3
    assert curator.delete(search) == 0
    assert history.runs() == []
    assert [run.uid for run in history.runs(deleted=True)] == [search]
    assert history.find(search).deleted is not None  # whoever knows its name still finds it
    assert history.find(trial).deleted is not None
    with pytest.raises(UnknownRunError):
        history.find("@last")
    with pytest.raises(ConfigError, match="below run"):
        curator.restore(trial)
    assert curator.restore(search) == 3
    assert curator.restore(search) == 0
    assert [run.uid for run in history.runs()] == [search]
    assert history.find("@last").deleted is None


def test_what_was_deleted_before_stays_deleted(database, history, ended_search):
    search, trial, other = ended_search
    now = [2_000_000_000_000_000]
    curator = Curator(database, clock=lambda: now[0])
    curator.delete(trial)
    now[0] += 1
    curator.delete(search)
    assert curator.restore(search) == 2
    assert history.find(other).deleted is None
    assert history.find(trial).deleted is not None


def test_a_run_that_is_run_is_not_deleted(database, curator, tracker, start_search, monkeypatch):
    uid = start_search(tracker).uid
    with pytest.raises(RunBusyError, match="in the hands of process"):
        curator.delete(uid)
    monkeypatch.setattr(process, "is_alive", lambda pid, born: False)
    assert curator.delete(uid) == 1


def test_purging_removes_rows_files_and_the_study_and_nothing_else(
    database, curator, tracker, history, start_search, ended_search, tmp_path
):
    shared, own = tmp_path / "shared.txt", tmp_path / "own.txt"
    shared.write_text("shared")
    own.write_text("own")
    search = ended_search[0]
    kept = start_search(tracker).uid
    for uid in (search, kept):
        tracker.record_artifact(uid, shared, role="report", media_type="text/plain")
    tracker.record_artifact(search, own, role="report", media_type="text/plain")
    folder = database.models_dir / search
    folder.mkdir(parents=True)
    study = history.search(search).study_name
    with closing_storage(database) as storage:
        optuna.create_study(study_name=study, storage=storage)
    curator.tag(search, "doomed")
    curator.note(search, "doomed")
    curator.delete(search)
    assert curator.purge(older_than=timedelta(days=1)) == Purged(0, 0, 0)
    assert curator.purge(dry_run=True) == Purged(3, 1, 3)
    assert curator.purge() == Purged(3, 1, 3)
    assert curator.purge() == Purged(0, 0, 0)
    assert [run.uid for run in history.runs(deleted=True) + history.runs()] == [kept]
    for table in ("nst_trial", "nst_metric", "nst_metric_point", "nst_tag", "nst_note"):
        assert count(database, table) == 0, table
    assert count(database, "nst_run") == count(database, "nst_search") == count(database, "nst_artifact") == 1
    assert {path.read_text() for path in database.artifacts_dir.rglob("*") if path.is_file()} == {"shared"}
    assert not folder.exists()
    with closing_storage(database) as storage:
        assert study not in optuna.get_all_study_names(storage=storage)
    with database.read() as session:
        edges = session.execute(text("SELECT source_kind, relation, target_kind FROM nst_lineage ORDER BY 1")).all()
    # The architecture outlives the trial that found it, but has no edge to it any more.
    assert [tuple(edge) for edge in edges] == [
        ("dataset", "trained on by", "run"),
        ("run", "saved", "artifact"),
    ]


def test_the_file_of_a_published_model_survives_its_run(database, curator, tracker, history, ended_search, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    tracker.record_artifact(
        ended_search[0], tmp_path / "weights.safetensors", role="model", media_type="application/vnd.safetensors"
    )
    registry = ModelRegistry(database)
    registry.register("digits", ended_search[0])
    curator.delete(ended_search[0])
    assert curator.purge().artifacts == 0
    assert registry.find("digits:1").run is None
    assert registry.find("digits").sha256 in {path.name for path in database.artifacts_dir.rglob("*")}


def test_a_model_with_an_alias_keeps_its_run(database, curator, tracker, history, ended_search, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    tracker.record_artifact(
        ended_search[0], tmp_path / "weights.safetensors", role="model", media_type="application/vnd.safetensors"
    )
    registry = ModelRegistry(database)
    registry.register("digits", ended_search[0])
    registry.promote("digits:1", "production")
    curator.delete(ended_search[0])
    assert curator.purge() == Purged(0, 0, 0, kept=3)  # with its trials
    assert curator.restore(ended_search[0]) == 3
    assert registry.find("digits@production").run == ended_search[0]


def test_a_deleted_run_is_not_gone_on_with(curator, tracker, ended_search, start_trial, history):
    curator.delete(ended_search[0])
    for use in (
        lambda: tracker.resume(ended_search[0]),
        lambda: start_trial(tracker, history.search(ended_search[0]), 7),
        lambda: tracker.start_child(ended_search[0], seed=1, config={}),
    ):
        with pytest.raises(ConfigError, match="is deleted"):
            use()


def test_keys_and_numbers_of_purged_runs_are_not_given_again(database, curator, history):
    with Tracker(database) as tracker:
        gone = tracker.start_run("gone")
        tracker.log(gone, {"loss": 1.0}, step=1)
        tracker.finish(gone, state="completed", metrics={})
        number = history.find(gone).number
        curator.delete(gone)
        curator.purge()
        kept = tracker.start_run("kept")
        tracker.log(gone, {"loss": 666.0}, step=5)
        tracker.log(kept, {"loss": 1.0}, step=1)
        tracker.flush()
    assert history.curves(kept) == {"loss": {1: 1.0}}
    assert history.find(kept).number == number + 1


def test_a_restored_run_has_an_experiment_that_is_there(database, curator, history, start_search):
    with Tracker(database, experiment="e") as tracker:
        uid = start_search(tracker).uid
        with pytest.raises(RunBusyError):
            curator.delete_experiment("e")
        tracker.finish(uid, state="completed", metrics={})
    curator.delete_experiment("e")
    curator.restore(uid)
    assert history.experiments() == {"e": 1}


def test_a_deleted_experiment_gives_its_name_free(database, curator, history, start_search):
    with Tracker(database, experiment="ablation") as tracker:
        uid = start_search(tracker).uid
        tracker.finish(uid, state="completed", metrics={})
        assert history.experiments() == {"ablation": 1}
        assert curator.delete_experiment("ablation") == 1
        assert history.experiments() == {}
        again = start_search(tracker).uid
    assert [run.uid for run in history.runs(experiment="ablation")] == [again]
