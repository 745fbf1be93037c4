"""The SQL entry: it reads whatever is asked, changes nothing, and fails with one line."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from nasturtium.core import ConfigError
from nasturtium.storage import Database, QueryError, StorageError
from nasturtium.storage.models import Base
from nasturtium.storage.readonly import MAX_ROWS, SqlResult, run_sql

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


def content(database: Database) -> str:
    """A hash of every row there is."""
    digest = hashlib.sha256()
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            digest.update(repr(sorted(map(repr, session.execute(select(table)).all()))).encode())
    return digest.hexdigest()


@pytest.fixture
def filled(database, tracker, start_search, start_trial) -> Database:
    search = start_search(tracker)
    trial = start_trial(tracker, search)
    tracker.log_points(trial, {"loss": {1: 0.5, 2: float("nan")}})
    tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.9})
    tracker.finish(search.uid, state="completed", metrics={})
    tracker.close()
    return database


def is_sqlite(database: Database) -> bool:
    return database.path is not None


def test_what_reads_is_answered(filled):
    answers = {
        "SELECT kind FROM nst_run ORDER BY id": [("search",), ("trial",)],
        "  -- which ones\n /* all */ select count(*) from nst_run;": [(2,)],
        "WITH r AS (SELECT 1 AS a) SELECT * FROM r": [(1,)],
        "VALUES (1, 'a'), (2, NULL)": [(1, "a"), (2, None)],
        "SELECT name FROM nst_run WHERE 1 = 0": [],
        "SELECT 'a%sb', '; DELETE FROM nst_run', ':x ?'": [("a%sb", "; DELETE FROM nst_run", ":x ?")],
        f"{ENDLESS} SELECT x FROM c LIMIT 2": [(1,), (2,)],
    }
    if is_sqlite(filled):
        answers["SELECT value FROM json_each('[3]')"] = [(3,)]
        answers["SELECT CAST(x'ff' AS TEXT)"] = [("\N{REPLACEMENT CHARACTER}",)]
        answers["SELECT count(*) FROM sqlite_master WHERE name = 'nst_run'"] = [(1,)]
    else:
        answers["(SELECT 1)"] = [(1,)]
        answers["TABLE nst_run LIMIT 0"] = []
        answers["SELECT random() < 2, pg_table_size('nst_run') > 0"] = [(True, True)]
    assert {statement: list(run_sql(filled, statement).rows) for statement in answers} == answers
    assert run_sql(filled, "EXPLAIN SELECT * FROM nst_run").rows


def test_columns_have_names_also_without_rows(filled):
    assert run_sql(filled, "SELECT id AS a, name AS a FROM nst_run WHERE 1 = 0") == SqlResult(("a", "a"), ())


def test_every_column_can_be_read(filled):
    """No column has the name of a function that is refused."""
    for table in Base.metadata.sorted_tables:
        columns = [column.name for column in table.columns]
        quoted = ", ".join(f'{table.name}."{name}"' for name in columns)
        assert run_sql(filled, f"SELECT {quoted} FROM {table.name}").columns == tuple(columns)


REFUSED = [
    "",
    ";",
    "-- only a comment",
    "/* unfinished",
    "DELETE FROM nst_run",
    "/* SELECT */ DROP TABLE nst_run",
    "UPDATE nst_run SET name = 'x'",
    "INSERT INTO nst_meta VALUES ('a', 'b')",
    "SELECT 1; DELETE FROM nst_run",
    "SELECT 1; SELECT 2",
    "WITH d AS (DELETE FROM nst_run RETURNING id) SELECT * FROM d",
    "WITH d AS (SELECT 1) DELETE FROM nst_run",
    "EXPLAIN ANALYZE DELETE FROM nst_run",
    "SELECT * INTO stolen FROM nst_run",
    "SELECT * FROM nst_run FOR UPDATE",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "ATTACH 'other.db' AS other",
    "VACUUM INTO 'other.db'",
    "PRAGMA query_only = OFF",
    "BEGIN",
    "COMMIT",
    "SELECT 1; COMMIT; DELETE FROM nst_run",
    "SET transaction_read_only = off",
    "COPY nst_run TO '/tmp/stolen'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "DO $$ BEGIN END $$",
    "CALL nothing()",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE nst_run",
    "PREPARE p AS DELETE FROM nst_run",
    "SELECT * FROM pragma_user_version",
    "SELECT load_extension('evil')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT readfile('/etc/passwd')",
    "SELECT zeroblob(1000000000)",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT nextval('nst_run_id_seq')",
    "SELECT setval('nst_run_id_seq', 1)",
    "SELECT pg_sleep(100)",
    "SELECT PG_SLEEP(100)",
    "SELECT pg_catalog.pg_sleep/**/(100)",
    'SELECT "pg_sleep"(100)',
    'SELECT pg_catalog . "pg_sleep" (100)',
    'SELECT U&"pg\\005fsleep"(100)',
    "SELECT u&\"!0070g_sleep\" UESCAPE '!'",
    "SELECT * FROM pg_sleep(100)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT dblink_exec('dbname=scratch', 'DELETE FROM nst_run')",
    "SELECT query_to_xml('SELECT pg_sl' || 'eep(100)', true, true, '')",
    "SELECT * FROM ts_stat('SELECT 1')",
    "SELECT crosstab('SELECT 1')",
    "SELECT * FROM nst_nothing",
    "SELECT nothing FROM nst_run",
    "SELECT FROM WHERE",
    "SELECT ?",
    "SELECT $1",
    "SELECT :a",
    "SELECT %s",
    "SELECT '\0'",
    "SELECT '\ud800'",
    "SELECT " + "(" * 5000 + "1",
    "SELECT '" + "x" * 200_000 + "'",
]


def test_what_does_not_read_is_refused(filled):
    before = content(filled)
    answered: list[str] = []
    for statement in REFUSED:
        try:
            run_sql(filled, statement, timeout=20)
        except QueryError as error:
            if "\n" not in error.message and "took longer" not in error.message:
                continue
        answered.append(statement[:100])
    assert answered == []
    assert content(filled) == before
    if is_sqlite(filled):
        assert {path.name for path in filled.path.parent.iterdir()} <= {
            "history.db",
            "history.db-wal",
            "history.db-shm",
        }


@pytest.mark.parametrize(
    ("statement", "message", "hint"),
    [
        pytest.param("drop table nst_run", "reads: SELECT, .*, got drop", "one SELECT", id="keyword"),
        pytest.param("SELECT * FROM nst_runs", "nst_runs", "did you mean nst_run?", id="table"),
        pytest.param("SELECT * FROM metric", "metric", "did you mean nst_metric?", id="prefix"),
        pytest.param("SELECT * FROM xyzzy", "xyzzy", "begin with nst_", id="other-table"),
        pytest.param("SELECT 1; SELECT 2", "statement", None, id="two"),
    ],
)
def test_a_refusal_helps(database, statement, message, hint):
    with pytest.raises(QueryError, match=message) as caught:
        run_sql(database, statement)
    assert hint is None or hint in caught.value.hint


def test_what_has_no_end_is_stopped(database):
    with pytest.raises(QueryError, match=r"longer than 0\.05 s"):
        run_sql(database, f"{ENDLESS} SELECT count(*) FROM c", timeout=0.05)
    assert run_sql(database, f"{ENDLESS} SELECT x FROM c", limit=2) == SqlResult(("x",), ((1,), (2,)), cut=True)
    assert run_sql(database, f"{ENDLESS} SELECT x FROM c LIMIT 2", limit=2) == SqlResult(("x",), ((1,), (2,)))
    everything = run_sql(database, f"{ENDLESS} SELECT x FROM c", limit=10 * MAX_ROWS)
    assert (len(everything.rows), everything.cut) == (MAX_ROWS, True)
    assert run_sql(database, "SELECT 1").rows == ((1,),)  # and the next statement works


def test_much_text_is_cut(database):
    long = "printf('%.*c', 30000000, 'x')" if is_sqlite(database) else "repeat('x', 30000000)"
    result = run_sql(database, f"{ENDLESS} SELECT {long} FROM c")
    assert (len(result.rows), result.cut) == (8, True)


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"timeout": float("inf")}]
)
def test_limits_are_positive(sqlite_database, options):
    with pytest.raises(ConfigError):
        run_sql(sqlite_database, "SELECT 1", **options)


def test_a_file_that_is_gone_is_said(sqlite_database, tmp_path):
    sqlite_database.close()
    for path in tmp_path.glob("history.db*"):
        path.unlink()
    with pytest.raises(StorageError, match=r"history\.db"):
        run_sql(sqlite_database, "SELECT 1")
    assert not (tmp_path / "history.db").exists()


WORDS = r"""
    SELECT FROM WHERE WITH AS VALUES EXPLAIN QUERY PLAN ANALYZE TABLE UNION ALL LIMIT INSERT INTO DELETE
    UPDATE SET RECURSIVE REPLACE RETURNING DROP ALTER CREATE TEMP VIEW TRIGGER INDEX ATTACH PRAGMA VACUUM REINDEX
    BEGIN COMMIT ROLLBACK
    SAVEPOINT COPY TO PROGRAM TRUNCATE FOR nst_run nst_meta nst_ledger nst_name sqlite_master pg_class name key value x
    1 0 'a' "b" * , ; ( ) = -- /* */ + || ' " $$ $1 ? :a % E'\\' x'ff' count(*) random() nextval('nst_run_id_seq')
    pg_notify('a','b') load_extension('x') lo_create(0) txid_current()
"""
PIECES = st.sampled_from([*WORDS.split(), "\0", "\n", "é", "\ud800", "SELECT * FROM nst_run", "DELETE FROM nst_run"])
OPENINGS = st.sampled_from(["SELECT", "SELECT 1;", "WITH x AS (", "VALUES (1)", "EXPLAIN", "EXPLAIN ANALYZE"])
OPENINGS |= st.sampled_from(["TABLE", "("])


@given(st.one_of(st.text(max_size=40), st.builds(" ".join, st.tuples(OPENINGS, st.lists(PIECES).map(" ".join)))))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_writes_or_breaks(filled, statement):
    before = content(filled)
    try:
        run_sql(filled, statement, limit=10, timeout=5)
    except QueryError as error:
        message = error.message
    else:
        message = ""
    assert "\n" not in message
    assert content(filled) == before
