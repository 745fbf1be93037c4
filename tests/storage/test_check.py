"""A check finds what was lost, altered or left over, names it, and finds nothing where nothing is wrong."""

import json
import math
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from sqlalchemy import text

from nasturtium.storage import (
    ContributionRecord,
    Database,
    Ledger,
    RoundRecord,
    StorageError,
    Tracker,
    configure_sqlite,
    open_database,
)
from nasturtium.storage.artifacts import ArtifactStore
from nasturtium.storage.maintenance import Finding, check_database

optuna.logging.set_verbosity(optuna.logging.ERROR)


def fill(database: Database, start_search, start_trial, file: Path) -> None:
    """A finished search with trials, curves and a file; a federated training with a round; a ledger."""
    with Tracker(database) as tracker:
        search = start_search(tracker)
        for number in range(2):
            trial = start_trial(tracker, search, number, hidden=16 * (number + 1))
            tracker.log_points(trial, {"loss": {1: 0.5, 2: math.nan, 4: 0.25, 6: 0.25}, "gap": {3: math.inf}})
            tracker.log_points(trial, {"lost": {1: math.nan}, "loss": {4: 0.125}})
            tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.9, "loss": math.nan})
        file.write_text("kept")
        tracker.record_artifact(search.uid, file, role="log", media_type="text/plain")
        tracker.finish(search.uid, state="completed", metrics={"val_accuracy": 0.9})
        federated = tracker.start_federated(
            name="digits",
            seed=1,
            config={},
            dataset=None,
            clients=3,
            rounds=1,
            strategy="fedavg",
            scheme="ckks",
            alpha=1.0,
            model_run=None,
            spec={},
        )
        given = [
            ContributionRecord(
                client=f"site-{i}",
                state="rejected" if i == 2 else "accepted",
                reason=None,
                bytes_up=1,
                bytes_down=1,
                seconds=0.1,
            )
            for i in range(3)
        ]
        round = RoundRecord(
            number=1,
            participants=2,
            rejected=1,
            loss=math.nan,
            accuracy=0.5,
            bytes_up=3,
            bytes_down=3,
            seconds=1.0,
            started=datetime(2026, 1, 1, tzinfo=UTC),
        )
        tracker.record_round(federated.uid, round, given)
        tracker.finish(federated.uid, state="completed", metrics={})
    ledger = Ledger(database)
    for number in range(3):
        ledger.append("config", {"number": number})


@pytest.fixture
def filled(database: Database, start_search, start_trial, tmp_path: Path) -> Database:
    fill(database, start_search, start_trial, tmp_path / "notes.txt")
    return database


@pytest.fixture
def filled_file(sqlite_database: Database, start_search, start_trial, tmp_path: Path) -> Database:
    fill(sqlite_database, start_search, start_trial, tmp_path / "notes.txt")
    return sqlite_database


def execute(database: Database, *statements: str) -> None:
    """As somebody does who has the database open in another program, without its triggers and keys."""
    if database.path is None:
        with database.write() as session:
            session.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers, no foreign keys
            for statement in statements:
                session.execute(text(statement))
        return
    with closing(sqlite3.connect(database.path)) as connection, connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for trigger, _ in triggers:
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)
        for _, trigger in triggers:
            connection.execute(trigger)


def test_a_ledger_that_could_be_changed_is_found(filled_file):
    with closing(sqlite3.connect(filled_file.path)) as connection, connection:
        connection.execute("DROP TRIGGER nst_ledger_refuses_update")
    [finding] = findings_of(filled_file)
    assert (finding.severity, finding.code) == ("error", "ledger")
    assert "triggers" in finding.message


def test_an_end_that_was_cut_off_is_found_by_a_kept_head(filled_file):
    head = Ledger(filled_file).head()
    filled_file.heads_dir.mkdir()
    (filled_file.heads_dir / "site-1.head.json").write_text(head.to_json())
    (filled_file.heads_dir / "site-2.head.json").write_text("garbage")
    execute(filled_file, f"DELETE FROM nst_ledger WHERE sequence = {head.sequence}")
    cut, garbage = sorted(findings_of(filled_file), key=lambda finding: finding.severity)
    assert (cut.severity, cut.code) == ("error", "ledger")
    assert (garbage.severity, "no head" in garbage.message) == ("warning", True)


def findings_of(database: Database, *, deep: bool = True) -> list[Finding]:
    return list(check_database(database, deep=deep).findings)


@pytest.mark.parametrize("deep", [True, False])
def test_what_is_whole_has_no_findings(filled, deep):
    report = check_database(filled, deep=deep)
    assert report.findings == []
    assert report.errors == []


def test_what_is_empty_has_no_findings(database):
    assert findings_of(database) == []


LOSS = "name_id = (SELECT id FROM nst_name WHERE name = 'loss') AND run_id = (SELECT min(run_id) FROM nst_trial)"
LOST = LOSS.replace("'loss'", "'lost'")
GAP = LOSS.replace("'loss'", "'gap'")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        pytest.param(f"UPDATE nst_metric SET points = 5 WHERE {LOSS}", "points = 5, its points 4", id="points"),
        pytest.param(f"UPDATE nst_metric SET first_step = 0 WHERE {LOSS}", "first_step = 0, its points 1", id="first"),
        pytest.param(f"UPDATE nst_metric SET last_step = 7 WHERE {LOSS}", "last_step = 7, its points 6", id="end"),
        pytest.param(f"UPDATE nst_metric SET last = 0.5 WHERE {LOSS}", "last = 0.5, its points 0.25", id="last"),
        pytest.param(f"UPDATE nst_metric SET last = NULL WHERE {LOSS}", "last = None, its points 0.25", id="last-nan"),
        pytest.param(f"UPDATE nst_metric SET min = 0.25 WHERE {LOSS}", "min = 0.25, its points 0.125", id="min"),
        pytest.param(f"UPDATE nst_metric SET min_step = 6 WHERE {LOSS}", "min_step = 6, its points 4", id="min-step"),
        pytest.param(f"UPDATE nst_metric SET max = NULL WHERE {LOSS}", "max = None, its points 0.5", id="max"),
        pytest.param(f"UPDATE nst_metric SET max_step = 2 WHERE {LOSS}", "max_step = 2, its points 1", id="max-step"),
        pytest.param(f"UPDATE nst_metric SET min = 0 WHERE {LOST}", "min = 0.0, its points None", id="nan-is-no-least"),
        pytest.param(f"UPDATE nst_metric SET value = 1 WHERE {GAP}", "value = 1.0, its points inf", id="value"),
        pytest.param(f"DELETE FROM nst_metric WHERE {LOSS}", "has 4 points and no summary", id="no-summary"),
        pytest.param(f"DELETE FROM nst_metric_point WHERE {LOSS} AND step = 2", "points = 4, its points 3", id="lost"),
        pytest.param(f"DELETE FROM nst_metric_point WHERE {LOSS}", "points = 4, its points 0", id="all-lost"),
        pytest.param(
            f"UPDATE nst_metric_point SET value = 9 WHERE {LOSS} AND step = 2", "max = 0.5, its points 9", id="x"
        ),
    ],
)
def test_a_changed_summary_is_named(filled_file, statement, message):
    execute(filled_file, statement)
    [finding] = findings_of(filled_file, deep=False)
    metric = "lost" if "'lost'" in statement else "gap" if "'gap'" in statement else "loss"
    assert (finding.severity, finding.code) == ("error", "summary")
    assert f"metric {metric} of trial 0" in finding.message
    assert message in finding.message


FIGURES = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])
BATCHES = st.lists(st.dictionaries(st.integers(-3, 9), FIGURES, min_size=1, max_size=6), max_size=5)


@given(batches=BATCHES, figure=st.none() | FIGURES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_summaries_as_the_tracker_writes_them_equal_their_points(database, batches, figure):
    with Tracker(database) as tracker:
        uid = tracker.start_run("law")
        for batch in batches:
            tracker.log_points(uid, {"loss": batch})
        tracker.finish(uid, state="completed", metrics={} if figure is None else {"loss": figure})
    assert findings_of(database, deep=False) == []


def test_many_findings_of_a_kind_are_counted(filled_file):
    with Tracker(filled_file) as tracker:
        uid = tracker.start_run("many")
        tracker.finish(uid, state="completed", metrics={}, curves={f"m{i:02}": {1: 1.0} for i in range(30)})
    execute(filled_file, "UPDATE nst_metric SET points = 9 WHERE run_id = (SELECT max(id) FROM nst_run)")
    findings = findings_of(filled_file, deep=False)
    assert len(findings) == 21
    assert findings[-1].message == "and 10 more summaries that differ"


RUN = "id = (SELECT min(run_id) FROM nst_trial)"


LEASED = (
    "INSERT INTO nst_lease (search_id, number, attempt, run_id, state, offered_us)"
    " SELECT search_id, t.number, attempt, run_id, 'open', 1 FROM nst_trial t JOIN nst_run ON id = run_id"
    " WHERE state = 'completed' LIMIT 1"
)


@pytest.mark.parametrize(
    ("statement", "severity", "message"),
    [
        pytest.param(f"UPDATE nst_run SET ended_us = NULL WHERE {RUN}", "warning", "does not say when", id="no-end"),
        pytest.param(f"UPDATE nst_run SET ended_us = 1 WHERE {RUN}", "warning", "before it started", id="before"),
        pytest.param("UPDATE nst_run SET deleted_us = 1 WHERE number = 1", "warning", "is not deleted", id="below"),
        pytest.param(LEASED, "warning", "has ended and is still leased", id="leased"),
        pytest.param("DELETE FROM nst_search", "error", "search 1 .* has no row in nst_search", id="search"),
        pytest.param("DELETE FROM nst_trial", "error", "has no row in nst_trial", id="trial"),
        pytest.param("DELETE FROM nst_federation", "error", "federated 2 .* no row in nst_federation", id="federation"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(filled_file, statement, severity, message):
    execute(filled_file, statement)
    findings = findings_of(filled_file, deep=False)
    assert {(finding.severity, finding.code) for finding in findings} == {(severity, "run")}
    assert all(re.search(message, finding.message) for finding in findings)


def test_a_run_whose_process_died_is_named(database, start_search, start_trial):
    with Tracker(database) as tracker:
        search = start_search(tracker)
        start_trial(tracker, search)
        assert findings_of(database) == []  # this process lives
    execute(database, "UPDATE nst_run SET pid = 4194305, born = 'x'")
    findings = findings_of(database)
    assert {(finding.severity, finding.code) for finding in findings} == {("warning", "run-dead")}
    assert search.uid in findings[0].message
    assert "doctor --fix" in (findings[0].hint or "")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        pytest.param("UPDATE nst_round SET participants = 3", "says 3 participants and 1 refused", id="participants"),
        pytest.param("UPDATE nst_round SET rejected = 0", "says 2 participants and 0 refused", id="rejected"),
        pytest.param("UPDATE nst_contribution SET state = 'rejected'", "its contributions 0 and 3", id="states"),
        pytest.param("DELETE FROM nst_contribution", "its contributions 0 and 0", id="none"),
    ],
)
def test_a_round_that_differs_from_its_contributions_is_named(filled_file, statement, message):
    execute(filled_file, statement)
    [finding] = findings_of(filled_file, deep=False)
    assert (finding.severity, finding.code) == ("error", "round")
    assert "round 1 of federated 2" in finding.message
    assert message in finding.message


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE nst_ledger SET body = replace(body, '1', '7') WHERE sequence = 2", id="body"),
        pytest.param("DELETE FROM nst_ledger WHERE sequence = 2", id="entry-gone"),
        pytest.param("UPDATE nst_ledger SET recorded_us = recorded_us + 1 WHERE sequence = 2", id="time"),
    ],
)
def test_an_altered_ledger_is_named(filled_file, statement):
    execute(filled_file, statement)
    [finding] = findings_of(filled_file)
    assert (finding.severity, finding.code) == ("error", "ledger")
    assert "2" in finding.message


def stored(database: Database) -> Path:
    store = ArtifactStore(database.artifacts_dir)
    [sha256] = store
    return store.path(sha256)


@pytest.mark.parametrize(
    ("spoil", "code", "quick"),
    [
        pytest.param(Path.unlink, "artifact-missing", True, id="missing"),
        pytest.param(lambda path: path.write_text("longer than that"), "artifact-altered", True, id="size"),
        pytest.param(lambda path: path.write_text("bept"), "artifact-altered", False, id="content"),
    ],
)
def test_a_lost_or_altered_artifact_is_named(filled_file, spoil, code, quick):
    path = stored(filled_file)
    spoil(path)
    [finding] = findings_of(filled_file)
    assert (finding.severity, finding.code) == ("error", code)
    assert str(path) in finding.message
    assert "log/notes.txt of search 1" in finding.message
    assert len(findings_of(filled_file, deep=False)) == quick


def test_a_hash_that_is_none_is_an_error_and_no_path(filled_file):
    execute(filled_file, f"UPDATE nst_artifact SET sha256 = '{'../' * 21}x'")
    codes = {finding.code for finding in findings_of(filled_file)}
    assert codes == {"artifact-altered"}


def test_files_and_rows_that_nobody_uses_are_told(filled_file, monkeypatch):
    store = ArtifactStore(filled_file.artifacts_dir)
    stranger = store.add_bytes(b"left over")
    assert findings_of(filled_file) == []  # it may be about to get its row
    later = store.path(stranger.sha256).stat().st_ctime + 7200
    monkeypatch.setattr("nasturtium.storage.artifacts.time.time", lambda: later)
    [finding] = findings_of(filled_file)
    assert (finding.severity, finding.code) == ("warning", "artifact-unknown")
    assert stranger.sha256 in finding.message
    store.remove(stranger.sha256)
    execute(filled_file, "DELETE FROM nst_run_artifact", "DELETE FROM nst_lineage WHERE target_kind = 'artifact'")
    [finding] = findings_of(filled_file)
    assert (finding.severity, finding.code) == ("warning", "artifact-unused")


KINDS = ["run", "dataset", "architecture", "artifact", "version", "deployment", "ceremony"]


def test_edges_that_lost_an_end_are_told(filled_file):
    columns = "source_kind, source_id, target_kind, target_id, relation"
    for kind in KINDS:
        for ends in (f"'{kind}', 999, 'run', 1", f"'run', 1, '{kind}', 999"):
            execute(filled_file, f"INSERT INTO nst_lineage ({columns}) VALUES ({ends}, 'loose')")
    findings = findings_of(filled_file, deep=False)
    assert {(finding.severity, finding.code) for finding in findings} == {("warning", "lineage")}
    for kind in KINDS:
        for message in (f"{kind} 999 loose run 1", f"run 1 loose {kind} 999"):
            assert any(message in finding.message for finding in findings)


def test_both_engines_find_the_same(filled):
    stored(filled).unlink()
    execute(
        filled,
        f"UPDATE nst_metric SET min = 0, max_step = 2 WHERE {LOSS}",
        f"DELETE FROM nst_metric_point WHERE {GAP}",
        f"DELETE FROM nst_metric WHERE {LOST}",
        "UPDATE nst_run SET ended_us = NULL WHERE number = 2",
        "UPDATE nst_run SET state = 'running', pid = 4194305, born = 'x' WHERE number = 1",
        "UPDATE nst_round SET participants = 3",
        "DELETE FROM nst_ledger WHERE sequence = 2",
        "INSERT INTO nst_lineage (source_kind, source_id, target_kind, target_id, relation)"
        " VALUES ('run', 999, 'run', 1, 'loose')",
        "DELETE FROM nst_trial WHERE number = 1",
    )
    codes = [finding.code for finding in findings_of(filled)]
    assert codes == [*["summary"] * 3, *["run"] * 3, "run-dead", "round", "ledger", "artifact-missing", "lineage"]


@pytest.fixture
def studied(database: Database, start_search, start_trial) -> Iterator[tuple[Database, str, RDBStorage]]:
    """A search whose study is in the same database, as a real one leaves it."""
    with Tracker(database) as tracker:
        search = start_search(tracker)
        storage = RDBStorage(database.url)
        configure_sqlite(storage.engine)
        study = optuna.create_study(storage=storage, study_name=search.study_name)
        for _ in range(2):
            asked = study.ask()
            trial = start_trial(tracker, search, asked.number, hidden=asked.number + 1)
            tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.5})
            study.tell(asked, 0.5)
        study.tell(
            study.ask(), state=optuna.trial.TrialState.PRUNED
        )  # a point that was there already: no trial of ours
        tracker.finish(search.uid, state="completed", metrics={})
    yield database, search.study_name, storage
    storage.remove_session()
    storage.engine.dispose()


def test_a_study_beside_the_history_is_fine(studied):
    database, _, storage = studied
    assert findings_of(database) == []
    optuna.create_study(storage=storage, study_name="somebody's own")
    assert findings_of(database) == []


OURS_GONE = (
    "DELETE FROM nst_trial WHERE number = 1",
    "DELETE FROM nst_run WHERE kind = 'trial' AND id NOT IN (SELECT run_id FROM nst_trial)",
)


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        pytest.param(
            ("DELETE FROM trial_values", "DELETE FROM trials"),
            "2 trials of the Optuna study NAME are gone",
            id="theirs",
        ),
        pytest.param(OURS_GONE, "1 completed trials of the Optuna study NAME are not in the history", id="ours"),
    ],
)
def test_trials_without_their_counterpart_are_told(studied, statements, message):
    database, name, _ = studied
    execute(database, *statements)
    findings = [finding for finding in findings_of(database, deep=False) if finding.code == "optuna"]
    assert [finding.message for finding in findings] == [message.replace("NAME", name)]
    assert findings[0].severity == "warning"


def test_a_deleted_study_is_told(studied):
    database, name, storage = studied
    optuna.delete_study(study_name=name, storage=storage)
    messages = {finding.message for finding in findings_of(database) if finding.code == "optuna"}
    assert f"2 trials of the Optuna study {name} are gone" in messages


def test_a_study_whose_search_is_gone_is_told(studied):
    database, name, _ = studied
    with database.write() as session:
        session.execute(text("DELETE FROM nst_run"))
    [finding] = [finding for finding in findings_of(database) if finding.code == "optuna"]
    assert name in finding.message
    assert "optuna.delete_study" in (finding.hint or "")


def test_foreign_keys_that_point_nowhere_are_told(tmp_path, start_search):
    with open_database(tmp_path / "some.db") as database:
        with Tracker(database) as tracker:
            tracker.finish(start_search(tracker).uid, state="completed", metrics={})
        execute(database, "UPDATE nst_run SET environment_id = 999")
        [finding] = findings_of(database)
    assert (finding.severity, finding.code) == ("error", "foreign-key")
    assert finding.message == "1 rows of nst_run point to rows of nst_environment that are gone"


TABLES = ["nst_run", "nst_metric", "nst_metric_point", "nst_ledger", "nst_param", "ix_nst_metric_name_id_value_run_id"]


@pytest.mark.parametrize("table", TABLES)
def test_corrupted_bytes_in_a_page_are_found(tmp_path, start_search, start_trial, table):
    path = tmp_path / "some.db"
    with open_database(path) as database:
        with Tracker(database) as tracker:
            search = start_search(tracker)
            trial = start_trial(tracker, search)
            tracker.log_points(trial, {"loss": {step: step / 7 for step in range(500)}})
            tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.5})
            tracker.finish(search.uid, state="completed", metrics={})
        Ledger(database).append("config", {"n": 1})
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(8) + b"\xa5" * 200)
    with open_database(path) as database:
        report = check_database(database)
    assert report.errors
    assert {finding.code for finding in report.findings} & {"page", "unreadable"}
    assert all(finding.hint for finding in report.errors)
    assert not any("Traceback" in finding.message for finding in report.findings)


@given(
    places=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=40), deep=st.booleans()
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_check_of_a_damaged_file_reports_and_never_raises_anything_else(whole_file, tmp_path_factory, places, deep):
    content = bytearray(whole_file)
    for place, flip in places:
        content[place % len(content)] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "some.db"
    path.write_bytes(content)
    try:
        database = open_database(path, create=False)
    except StorageError:
        return
    with database:
        for finding in check_database(database, deep=deep).findings:
            json.dumps(asdict(finding))


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "some.db"
    with open_database(path) as database:
        with Tracker(database) as tracker:
            uid = tracker.start_run("some")
            tracker.finish(uid, state="completed", metrics={"a": 1.0}, curves={"loss": {i: i / 3 for i in range(400)}})
        Ledger(database).append("config", {"n": 1})
    return path.read_bytes()
