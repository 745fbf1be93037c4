"""What a site's configuration says of its data becomes rows in parts, or an error that says what is wrong and where."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DataError, NasturtiumError
from nasturtium.core.data import Dataset, Task, train_validation_test
from nasturtium.federated.agreement import Schema
from nasturtium.federated.errors import AgreementError
from nasturtium.federated.site_data.config import DataConfig, SplitConfig
from nasturtium.federated.site_data.sources import (
    check_schema,
    explain_difference,
    load_site_data,
    load_source,
    split_rows,
)
from nasturtium.federated.site_data.sql_source import check_query, read_query
from nasturtium.privacy import PrivacyError

SECRET = "hunter2"
COLUMNS = {"age": [20 + i % 50 for i in range(60)], "sex": ["f", "m", "f"] * 20, "ill": ["no", "yes"] * 30}


def csv_of(columns) -> str:
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"


@pytest.fixture
def table(tmp_path):
    """The same rows in every kind of source; a function from the kind to its configuration."""
    frame = pl.DataFrame(COLUMNS)

    def make(kind: str, **changes) -> DataConfig:
        fields = {"kind": kind, "path": tmp_path / f"rows.{kind}", "target": "ill"} | changes
        if kind == "csv":
            fields["path"].write_text(csv_of(COLUMNS))
        elif kind == "parquet":
            frame.write_parquet(fields["path"])
        elif kind == "npz":
            np.savez(fields["path"], x=np.array(COLUMNS["age"], float)[:, None], ill=np.array(COLUMNS["ill"]))
        elif kind == "sql":
            fields["path"] = None
            fields |= {"database": f"sqlite:///{tmp_path}/clinic.db", "query": "SELECT age, sex, ill FROM visits"}
            (tmp_path / "clinic.db").unlink(missing_ok=True)
            with closing(sqlite3.connect(tmp_path / "clinic.db")) as connection:
                connection.execute("CREATE TABLE visits (age INTEGER, sex TEXT, ill TEXT)")
                rows = list(zip(*COLUMNS.values(), strict=True))
                connection.executemany("INSERT INTO visits VALUES (?, ?, ?)", rows)
                connection.commit()
            fields |= changes
        return DataConfig(**fields)

    return make


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "sql"])
def test_every_source_gives_the_rows(kind, table):
    data = load_site_data(table(kind), SplitConfig())
    assert (data.rows, len(data.train), len(data.validation), len(data.test)) == (60, 34, 14, 12)
    assert data.task.classes == ("no", "yes")
    if kind != "npz":
        assert [(column.name, column.kind) for column in data.schema.columns] == [
            ("age", "numeric"),
            ("sex", "categorical"),
        ]
        assert not data.schema.classes  # nothing of what is in the rows
        assert all(not column.categories for column in data.schema.columns)


def test_sources_of_the_same_rows_are_alike(table):
    csv, *others = (load_source(table(kind)) for kind in ("csv", "parquet", "sql"))
    for other in others:
        np.testing.assert_array_equal(other.inputs, csv.inputs)
        np.testing.assert_array_equal(other.labels, csv.labels)
        assert other.task == csv.task
        assert Schema.of(other.task).sha256 == Schema.of(csv.task).sha256


def test_a_folder_of_images(tmp_path):
    images = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(6):
            images.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    config = DataConfig(kind="images", path=tmp_path, image_size=(4, 4))
    data = load_site_data(config, SplitConfig())
    assert (data.task.classes, data.task.row_shape, data.schema.row_shape) == (("cat", "dog"), (1, 4, 4), (1, 4, 4))
    assert data.rows == 12


def test_columns_choose_and_type_the_inputs(table):
    only = load_source(table("csv", columns={"age": "categorical"}))
    assert [(column.name, column.kind) for column in only.task.schema] == [("age", "categorical")]
    assert [column.name for column in load_source(table("sql", ignore=("sex",))).task.schema] == ["age"]
    assert [column.kind for column in load_source(table("sql", columns={"sex": "auto"})).task.schema] == ["categorical"]
    with pytest.raises(DataError, match="'sex' is said to be numeric, and most of its values are text"):
        load_source(table("csv", columns={"sex": "numeric"}))


def test_a_regression(table):
    for kind in ("csv", "sql"):
        data = load_site_data(table(kind, target="age", task="regression"), SplitConfig())
        assert (data.task.targets, data.rows, data.task.kind) == (("age",), 60, "regression")


# --- what is wrong with files ---

BAD = [
    ("csv", None, {}, ConfigError, "no such file"),
    ("csv", b"", {}, DataError, "cannot be read|no rows|no column"),
    ("csv", b"\x00" * 200, {}, NasturtiumError, "rows.csv"),
    ("csv", b"\xff\xfe\x01garbage\n\xff,\x80\n", {}, NasturtiumError, "rows.csv"),
    ("csv", b"age,ill\n", {}, DataError, "no rows"),
    ("csv", b"age,sex\n1,f\n2,m\n", {}, ConfigError, "there is no column 'ill'"),
    ("csv", b"age,ill\n1,yes\n2,\n3,no\n", {}, DataError, "row 2, column 'ill': the target is missing"),
    ("csv", b"age,ill\n1,yes\n,no\n3,no\n", {}, DataError, "row 2, column 'age': the value is missing"),
    ("csv", b"age,ill\n1,yes\nnan,no\n3,no\n", {}, DataError, "row 2, column 'age': the value is missing"),
    ("csv", b"age,ill\n1,yes\n1e400,no\n3,no\n", {}, DataError, "row 2, column 'age': expected a finite number"),
    ("csv", b"age,ill\n1,yes\n" + b"9" * 400 + b",no\n3,no\n", {}, DataError, "age"),
    ("csv", b"age,ill\n1,yes\n2,yes\n", {}, DataError, "only one class: yes"),
    ("csv", b"age,ill\n1,yes,3\n2,no\n", {}, DataError, "row 1"),
    ("csv", b"age,age,ill\n1,2,yes\n", {}, DataError, "same name 'age'"),
    ("csv", b"age,ill\n1,yes\n2,no\n", {"columns": {"weight": "auto"}}, DataError, "no column 'weight' to take"),
    ("csv", b"age,ill\n1,yes\n2,no\n", {"ignore": ("weight",)}, DataError, "no column 'weight' to ignore"),
    ("csv", b"ill\nyes\nno\n", {}, DataError, "no columns beside"),
    ("csv", "folder", {}, ConfigError, "no such file"),
    ("csv", "loop", {}, ConfigError, "no such file"),
    ("csv", "pipe", {}, ConfigError, "no such file"),
    ("parquet", b"PAR1" + b"\x00" * 50 + b"PAR1", {}, DataError, "cannot be read as a table"),
    ("parquet", b"", {}, DataError, "cannot be read as a table"),
    ("npz", b"PK\x03\x04rubbish", {}, DataError, "cannot be read as NPZ"),
    ("npz", b"", {}, DataError, "cannot be read as NPZ"),
    ("images", None, {}, ConfigError, "expected a folder of images"),
    ("images", b"a file", {}, ConfigError, "expected a folder of images"),
    ("images", "loop", {}, ConfigError, "expected a folder of images"),
    ("images", "folder", {}, DataError, "it has no folders"),
]


@pytest.mark.parametrize(
    ("kind", "content", "changes", "error", "match"),
    [pytest.param(*case, id=f"{case[0]}-{place}") for place, case in enumerate(BAD)],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_data_that_cannot_be_used_is_told(kind, content, changes, error, match, tmp_path):
    path = tmp_path / ("rows" if kind == "images" else f"rows.{kind}")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    elif content == "loop":
        path.symlink_to(path)
    elif content == "pipe":
        os.mkfifo(path)
    fields = {"kind": kind, "path": path} | ({} if kind == "images" else {"target": "ill"}) | changes
    with pytest.raises(error, match=match):
        load_site_data(DataConfig(**fields), SplitConfig())


def test_a_site_may_have_rows_of_one_class_if_it_says_which_others_there_are(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("age,ill\n" + "".join(f"{age},yes\n" for age in range(20, 60)))
    config = DataConfig(kind="csv", path=path, target="ill", classes=("no", "yes"))
    data = load_site_data(config, SplitConfig())
    assert data.task.classes == ("no", "yes")
    assert all(set(part.labels.tolist()) == {1} for part in (data.train, data.validation, data.test))
    with pytest.raises(DataError, match="expected a class of no, maybe, got 'yes'"):
        load_site_data(replace(config, classes=("no", "maybe")), SplitConfig())
    with pytest.raises(DataError, match="only one class: yes") as caught:
        load_site_data(replace(config, classes=()), SplitConfig())
    assert "name all classes" in caught.value.hint


@given(content=st.binary(max_size=300), kind=st.sampled_from(["csv", "parquet", "npz"]))
def test_any_bytes_are_rows_or_an_error_of_ours(content, kind, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(content)
    with suppress(NasturtiumError):
        load_site_data(DataConfig(kind=kind, path=path, target="y"), SplitConfig())


# --- splits ---


def rows_of(labels, classes=("a", "b", "c")) -> Dataset:
    inputs = np.arange(len(labels), dtype=np.float32)[:, None]
    return Dataset(
        "rows", inputs, np.asarray(labels, np.int64), Task(input_shape=(1,), features=("x",), classes=classes)
    )


def test_the_split_is_that_of_the_product_where_no_class_is_rare():
    data = rows_of([i % 3 for i in range(90)])
    found = split_rows(data, SplitConfig(seed=7))
    for part, other in zip((found.train, found.validation, found.test), train_validation_test(data, 7), strict=True):
        np.testing.assert_array_equal(part.inputs, other.inputs)


@given(
    labels=st.lists(st.integers(0, 2), min_size=3, max_size=60),
    seed=st.integers(0, 2**40),
    stratified=st.booleans(),
    test=st.sampled_from([0.0, 0.2, 0.4]),
)
def test_every_row_is_in_one_part(labels, seed, stratified, test):
    split = SplitConfig(validation=0.2, test=test, seed=seed, stratified=stratified)
    data = split_rows(rows_of(labels), split)
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    assert len(parts) == (3 if test else 2)
    assert sorted(value for part in parts for value in part.inputs[:, 0].tolist()) == list(range(len(labels)))
    again = split_rows(rows_of(labels), split)
    np.testing.assert_array_equal(again.train.inputs, data.train.inputs)


def test_a_rare_class_does_not_stop_a_site():
    data = split_rows(rows_of([0] * 30 + [1] * 30 + [2]), SplitConfig())
    assert [np.bincount(part.labels, minlength=3)[1] for part in (data.train, data.validation, data.test)] == [17, 7, 6]
    assert data.rows == 61


def test_too_few_rows_for_the_parts():
    with pytest.raises(DataError, match="at least 3 rows"):
        split_rows(rows_of([0, 1]), SplitConfig())


# --- SQL ---

NO_SELECT = [
    "",
    "   ;",
    "DELETE FROM visits",
    "delete from visits",
    "INSERT INTO visits VALUES (1)",
    "SELECT 1; DROP TABLE visits",
    "SELECT 1;;DELETE FROM visits",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT * INTO copied FROM visits",
    "WITH gone AS (DELETE FROM visits RETURNING *) SELECT * FROM gone",
    "PRAGMA writable_schema = 1",
    "ATTACH DATABASE 'x' AS y",
    "VACUUM INTO '/tmp/x'",
    "EXPLAIN SELECT 1",
    "VALUES (1)",
    "-- a comment\nDROP TABLE visits",
    "/* SELECT */ DROP TABLE visits",
    "SELECT 1 /*! ; DROP TABLE visits */",
    "SELECT * FROM visits FOR UPDATE",
    "BEGIN",
    "'; DROP TABLE visits; --",
]


@pytest.mark.parametrize("query", NO_SELECT)
def test_what_is_no_single_select_is_refused(query):
    with pytest.raises(ConfigError, match=r"query: expected one SELECT, got"):
        check_query(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "select a from b;",
        "  (SELECT 1)  ;\n",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "-- what: the visits\nSELECT 1",
        "SELECT 'please delete; no' FROM b".replace(";", ","),
        'SELECT "update", `set`, [insert] FROM b',
        "SELECT created_at, updated, settings FROM b WHERE x LIKE '10%' AND y = 'a--b' AND z = ':w'",
    ],
)
def test_a_select_is_left_as_it_is(query):
    assert check_query(query) == query.strip().rstrip("; \n")


def test_the_connection_cannot_write(table, tmp_path, monkeypatch):
    """Also where the text of a query hides it."""
    monkeypatch.setattr("nasturtium.federated.site_data.sql_source.check_query", lambda query: query)
    before = (tmp_path / "clinic.db").exists()
    config = table("sql")
    content = (tmp_path / "clinic.db").read_bytes()
    for query in ("DELETE FROM visits", "CREATE TABLE more (a)", "PRAGMA user_version = 7", "DROP TABLE visits"):
        with pytest.raises(ConfigError):
            read_query(replace(config, query=query))
    assert (before, (tmp_path / "clinic.db").read_bytes()) == (False, content)


def test_signs_in_a_query_are_no_parameters(table):
    config = table("sql", query="SELECT age, sex, ill, ':x %s %(y)s ? 100%' AS note FROM visits WHERE sex LIKE 'f%'")
    found = read_query(config)
    assert (found.names[-1], found.cells[0, 3], len(found.cells)) == ("note", ":x %s %(y)s ? 100%", 40)


BAD_SQL = [
    ({"query": "SELECT weight FROM visits"}, ConfigError, "no such column: weight"),
    ({"query": "SELECT * FROM elsewhere"}, ConfigError, "no such table"),
    ({"query": "SELECT age, ill FROM visits WHERE age > 900"}, DataError, "there are no rows"),
    ({"query": "SELECT age, age, ill FROM visits"}, DataError, "two columns are called 'age'"),
    ({"query": "SELECT age, sex FROM visits"}, ConfigError, "has no column 'ill'; it has age, sex"),
    ({"query": "SELECT x'00ff' AS raw, ill FROM visits"}, DataError, "row 1, column 'raw': .* got bytes"),
    ({"query": "SELECT (("}, ConfigError, "syntax error|incomplete"),
    ({"query": "SELECT NULL AS age, ill FROM visits"}, DataError, "column 'age' has no values"),
    ({"query": "SELECT age, NULL AS ill FROM visits"}, DataError, "the target is missing"),
    ({"query": "SELECT 9e999 AS age, ill FROM visits"}, DataError, "row 1, column 'age': expected a finite number"),
    ({"database": "sqlite:////nowhere/clinic.db"}, ConfigError, "no such file"),
    ({"database": "sqlite://"}, ConfigError, "expected the path of an SQLite file"),
    ({"database": "postgresql+nodriver://u@h/d"}, ConfigError, "not an address SQLAlchemy knows"),
    ({"password_env": "NASTURTIUM_NO_SUCH_VARIABLE"}, ConfigError, "has no variable 'NASTURTIUM_NO_SUCH_VARIABLE'"),
]


@pytest.mark.parametrize(("changes", "error", "match"), [pytest.param(*case, id=case[2][:30]) for case in BAD_SQL])
def test_a_query_that_cannot_be_used_is_told(changes, error, match, table):
    with pytest.raises(error, match=match):
        load_source(table("sql", **changes))


def test_a_file_that_is_no_database(table, tmp_path):
    config = table("sql")
    (tmp_path / "clinic.db").write_bytes(b"garbage" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        load_source(config)


def test_types_of_databases(table):
    query = (
        "SELECT 1.5 AS a, age > 30 AS b, sex AS c, date('2026-11-29') AS d, CASE WHEN age > 21 THEN age END AS e, ill"
        " FROM visits"
    )
    found = load_source(table("sql", query=query, missing="fill", ignore=("d",)))
    assert [column.kind for column in found.task.schema] == ["numeric", "numeric", "categorical", "numeric"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize(
    ("mode", "content", "match"),
    [
        (0o644, SECRET, "mode is 644, expected 600"),
        (0o600, SECRET * 1000, "too long"),
        (0o600, None, "cannot read"),
        (0o600, "folder", "not a regular file|cannot read"),
    ],
)
def test_a_file_of_a_password_is_its_owners_alone(mode, content, match, table, tmp_path):
    path = tmp_path / "password"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(PrivacyError, match=match) as caught:
        load_source(table("sql", password_file=path))
    assert SECRET not in str(caught.value)


def test_a_password_is_in_no_message_and_no_log(tmp_path, monkeypatch, caplog):
    """A server that is not there: whatever the driver says of the connection."""
    pytest.importorskip("psycopg")
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    monkeypatch.setenv("SITE_PASSWORD", SECRET)
    for where in ({"password_file": path}, {"password_env": "SITE_PASSWORD"}):
        config = DataConfig(
            kind="sql",
            target="y",
            database="postgresql+psycopg://reader@127.0.0.1:1/clinic?connect_timeout=2",
            query="SELECT 1 AS y",
            **where,
        )
        with pytest.raises(ConfigError, match="failed: ") as caught:
            load_source(config)
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in str(error)
            assert SECRET not in repr(error)
            error = error.__cause__
        assert SECRET not in caplog.text
        assert SECRET not in repr(config)


@pytest.mark.skipif("NASTURTIUM_TEST_POSTGRES" not in os.environ, reason="no PostgreSQL server named")
def test_postgresql_reads_only(monkeypatch):
    address = os.environ["NASTURTIUM_TEST_POSTGRES"].replace("postgresql://", "postgresql+psycopg://")
    query = (
        "SELECT i AS age, CASE WHEN i % 2 = 0 THEN 'a%s' ELSE 'b' END AS y, 1.5::numeric AS n, now() AS t "
        "FROM generate_series(1, 40) i"
    )
    config = DataConfig(kind="sql", target="y", database=address, query=query, ignore=("t",))
    found = load_source(config)
    assert (len(found), found.task.classes, found.task.features) == (40, ("a%s", "b"), ("age", "n"))
    monkeypatch.setattr("nasturtium.federated.site_data.sql_source.check_query", lambda query: query)
    for writes in (
        "CREATE TABLE x (a int)",
        "SELECT set_config('transaction_read_only', 'off', true); CREATE TABLE x (a int)",
    ):
        with pytest.raises(ConfigError, match=r"read-only|read-write mode"):
            load_source(replace(config, query=writes))
    with pytest.raises(ConfigError, match="read-only"):
        load_source(replace(config, database=f"{address}?autocommit=true", query="CREATE TABLE x (a int)"))


# --- schemas ---


def test_a_schema_that_does_not_fit_is_told_column_by_column_without_values(table, tmp_path):
    config = table("csv")
    federation = load_site_data(config, SplitConfig()).schema
    other = {"sex": [1, 2, 1] * 20, "age": ["SECRET old"] * 16 + ["SECRET young"] * 44, "ill": COLUMNS["ill"]}
    other["age"][:16] = [str(i) for i in range(16)]
    path = tmp_path / "other.csv"
    path.write_text(csv_of(other))
    mine = DataConfig(kind="csv", path=path, target="ill")
    data = load_site_data(mine, SplitConfig())
    said = explain_difference(federation, mine, data)
    assert said == (
        "column 'age': the federation has numbers, this site's data has text at row 17",
        "column 'sex' is of numbers, expected of categories",
    )
    with pytest.raises(AgreementError, match="text at row 17") as caught:
        check_schema(federation, mine, data)
    assert caught.value.column == "age"
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    check_schema(federation, config, load_site_data(config, SplitConfig()))


def test_a_schema_and_a_query(table):
    federation = load_site_data(table("csv"), SplitConfig()).schema
    changed = DataConfig(
        kind="sql",
        target="ill",
        database=table("sql").database,
        query="SELECT CASE WHEN rowid < 5 THEN age ELSE 'SECRET' END AS age, ill FROM visits",
    )
    data = load_site_data(changed, SplitConfig())
    assert explain_difference(federation, changed, data) == (
        "column 'age': the federation has numbers, this site's data has text at row 5",
        "column 'sex' is missing in this site's data",
    )


def test_another_kind_of_data_is_told(table):
    csv = load_site_data(table("csv"), SplitConfig())
    config = table("csv", target="age", task="regression")
    assert explain_difference(csv.schema, config, load_site_data(config, SplitConfig())) == (
        "the data is for a regression, expected a classification",
    )


def test_paths_with_strange_signs(tmp_path):
    path = tmp_path / "we?rd %20 ü's.csv"
    path.write_text(csv_of(COLUMNS))
    assert len(load_source(DataConfig(kind="csv", path=path, target="ill"))) == 60
    database = tmp_path / "cl nic %41 #1 ü.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (a, y)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "a"), (2, "b")])
        connection.commit()
    config = DataConfig(
        kind="sql", target="y", database=f"sqlite:///{quote(str(database))}", query="SELECT a, y FROM t"
    )
    assert len(load_source(config)) == 2
