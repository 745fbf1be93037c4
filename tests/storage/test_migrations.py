"""The tables that migrations make are the tables of the models, Optuna's stand beside them, upgrades keep the data."""

import json
import math
import re
import shutil
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text

from nasturtium.storage import (
    DatabaseVersionError,
    History,
    StorageError,
    Tracker,
    configure_sqlite,
    migrate,
    open_database,
)
from nasturtium.storage.models import Base
from nasturtium.storage.params import flatten_params, param_row

from .together import run_together

optuna.logging.set_verbosity(optuna.logging.ERROR)
SCHEMAS = Path(__file__).parent / "schemas"
CASTS = re.compile(r"::(character varying|text)(\[\])?|[()]")  # which PostgreSQL tells otherwise after a dump


def optimize(url: str, study_name: str) -> None:
    """Use Optuna as a search does, and leave no connection behind."""
    storage = optuna.storages.RDBStorage(url)
    configure_sqlite(storage.engine)
    study = optuna.create_study(storage=storage, study_name=study_name, load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    storage.remove_session()
    storage.engine.dispose()


def test_the_revisions_are_those_of_the_scripts(sqlite_database):
    with sqlite_database.read() as session:
        scripts = ScriptDirectory.from_config(migrate.alembic_config(session.connection()))
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrate.REVISIONS


def test_models_and_migrations_agree(database):
    optimize(database.url, "beside")  # Alembic must not want to drop Optuna's tables
    with database.write() as session:
        command.check(migrate.alembic_config(session.connection()))


@pytest.fixture
def models_url(database_url, tmp_path):
    """The URL of a second empty database, on the same engine."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        yield f"sqlite:///{tmp_path / 'models.db'}"
        return
    schema = f"{url.query['options'].removeprefix('-csearch_path=')}_models"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def describe(url: str) -> dict[str, list[str]]:
    """All that SQLAlchemy can tell about our tables, also what Alembic's comparison does not look at."""
    engine = create_engine(url)
    inspector = inspect(engine)
    kinds = ("columns", "check_constraints", "unique_constraints", "foreign_keys", "indexes")
    facts = {
        f"{table} {kind}": sorted(
            CASTS.sub("", json.dumps(fact, default=str)) for fact in getattr(inspector, f"get_{kind}")(table)
        )
        for table in inspector.get_table_names()
        if table.startswith("nst_") and table != migrate.VERSION_TABLE
        for kind in kinds
    }
    for table in {name.partition(" ")[0] for name in facts}:
        facts[f"{table} key"] = [str(inspector.get_pk_constraint(table)), str(inspector.get_table_options(table))]
    if engine.dialect.name == "postgresql":
        facts["sequences"] = sorted(name for name in inspector.get_sequence_names() if name.startswith("nst_"))
    engine.dispose()
    return facts


def test_migrations_make_the_tables_that_the_models_would_make(database_url, models_url):
    open_database(database_url).close()
    engine = create_engine(models_url)
    Base.metadata.create_all(engine)
    engine.dispose()
    assert describe(database_url) == describe(models_url)


@pytest.mark.parametrize("first", ["ours", "optuna"])
def test_optuna_lives_in_the_same_database(database_url, first, start_search):
    if first == "optuna":
        optimize(database_url, "older")
    with open_database(database_url) as database:
        search = start_search(Tracker(database))
        optimize(database.url, search.study_name)
        assert History(database).find(1).uid == search.uid
        with database.read() as session:
            joined = text(
                "SELECT count(*) FROM nst_search JOIN studies USING (study_name) JOIN trials USING (study_id)"
                " JOIN trial_values USING (trial_id)"
            )
            assert session.execute(joined).scalar_one() == 2
    with open_database(database_url, create=False) as database:
        assert len(History(database).runs()) == 1


def load(url: str, revision: str) -> None:
    """Make the database that a released nasturtium left behind."""
    engine = create_engine(url)
    statements = (SCHEMAS / f"{revision}.{engine.dialect.name}.sql").read_text()
    with closing(engine.raw_connection()) as connection:
        if engine.dialect.name == "sqlite":
            connection.driver_connection.executescript(statements)
        else:
            connection.cursor().execute(statements)
            connection.commit()
    engine.dispose()


def ask(url: str, queries: dict[str, str]) -> dict[str, list[tuple[str, ...]]]:
    """The rows of each query, JSON and truth values written the same on both engines."""
    engine = create_engine(url)
    with engine.connect() as connection:
        answers = {
            name: sorted(tuple(plain(value) for value in row) for row in connection.execute(text(query)))
            for name, query in queries.items()
        }
    engine.dispose()
    return answers


def plain(value: object) -> str:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        value = json.loads(value)
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


SAME = {  # asked in the same words of an older revision and of the newest
    "environments": "SELECT id, sha256, body FROM nst_environment",
    "datasets": "SELECT id, fingerprint, name, rows, body FROM nst_dataset",
    "architectures": "SELECT id, sha256, space, choices, spec, parameters, macs FROM nst_architecture",
    "runs": "SELECT id, uid, number, kind, state, parent_id, name, seed, config, environment_id, host, pid, born,"
    " started_us, ended_us, error FROM nst_run",
    "searches": "SELECT run_id, space, space_sha256, sampler, pruner, trials, study_name FROM nst_search",
    "trials": "SELECT run_id, search_id, number, attempt, architecture_id, hyperparameters, optuna_number"
    " FROM nst_trial",
    "federations": "SELECT run_id, clients, rounds, strategy, scheme, alpha, model_run_id, spec FROM nst_federation",
    "rounds": "SELECT run_id, number, participants, rejected, bytes_up, bytes_down, seconds, started_us FROM nst_round",
    "studies": "SELECT study_name, number, state, value FROM studies JOIN trials USING (study_id)"
    " JOIN trial_values USING (trial_id)",
}
NEWEST = {
    "data of runs": "SELECT run_id, dataset_id FROM nst_run_dataset WHERE role = 'data'",
    "figures": "SELECT run_id, name, value FROM nst_metric JOIN nst_name ON id = name_id WHERE reported",
    "points": "SELECT run_id, name, step, value FROM nst_metric_point JOIN nst_name ON id = name_id",
    "contributions": "SELECT run_id, round, name, state, reason, bytes_up, bytes_down, seconds"
    " FROM nst_contribution JOIN nst_node ON id = node_id",
    "artifacts": "SELECT run_id, role, sha256, size_bytes FROM nst_run_artifact JOIN nst_artifact ON id = artifact_id",
    "params": "SELECT run_id, name, text, number, is_text FROM nst_param JOIN nst_name ON id = name_id",
}
OF_0001 = {
    "data of runs": "SELECT id, dataset_id FROM nst_run WHERE dataset_id IS NOT NULL",
    "figures": "SELECT run_id, name, value, special FROM nst_metric",
    "points": "SELECT run_id, name, step, value, special FROM nst_metric_point"
    " UNION SELECT run_id, 'val_loss', number, loss, loss_special FROM nst_round"
    " UNION SELECT run_id, 'val_accuracy', number, accuracy, accuracy_special FROM nst_round",
    "contributions": "SELECT run_id, round, client, state, reason, bytes_up, bytes_down, seconds FROM nst_contribution",
    "artifacts": "SELECT run_id, role, sha256, size_bytes FROM nst_artifact",
    "params": "SELECT id, config, choices, hyperparameters FROM nst_run LEFT JOIN nst_trial ON run_id = id"
    " LEFT JOIN (SELECT id AS architecture_id, choices FROM nst_architecture) a USING (architecture_id)",
}


def read_newest(url: str) -> dict[str, list[tuple[str, ...]]]:
    return ask(url, SAME | NEWEST)


def read_0001(url: str) -> dict[str, list[tuple[str, ...]]]:
    """What `read_newest` is to find after the upgrade."""
    facts = ask(url, SAME | OF_0001)
    for name in ("figures", "points"):
        facts[name] = [
            (*key, {"0": value, "1": "", "2": "inf", "3": "-inf"}[special])
            for *key, value, special in facts[name]
            if (value, special) != ("", "0")  # a round whose result nobody measured
        ]
    facts["params"] = sorted(
        (run_id, name, *(plain(column) for column in param_row(value).values()))
        for run_id, *mappings in facts["params"]
        for part in mappings
        for name, value in flatten_params(json.loads(part or "{}")).items()
    )
    return facts


# What 0003 and 0004 added is empty in an older database.
READ = {"0001": read_0001, "0002": read_newest, "0003": read_newest}
RELEASED = migrate.REVISIONS[:-1]


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_database_is_upgraded_and_keeps_what_it_held(database_url, revision):
    load(database_url, revision)
    before = READ[revision](database_url)
    assert all(before.values())
    open_database(database_url, create=False).close()
    after = read_newest(database_url)
    assert after == before
    storage = optuna.storages.RDBStorage(database_url)
    study = optuna.load_study(study_name=after["studies"][0][0], storage=storage)
    assert [str(trial.value) for trial in study.trials] == [value for *_, value in after["studies"]]
    storage.remove_session()
    storage.engine.dispose()


def released(url: str, revision: str = "0001") -> None:
    """A released database, upgraded."""
    load(url, revision)
    open_database(url, create=False).close()


@pytest.mark.parametrize("revision", RELEASED)
def test_an_upgraded_database_has_the_tables_of_a_new_one(database_url, models_url, revision):
    released(database_url, revision)
    open_database(models_url).close()
    assert describe(database_url) == describe(models_url)
    if database_url.startswith("sqlite"):  # PostgreSQL checks them as they are written
        assert ask(database_url, {"strays": "PRAGMA foreign_key_check"}) == {"strays": []}


NEW = {
    "0003": {
        "trials": (
            "SELECT DISTINCT CAST(flat AS TEXT), cause, cpu_seconds, peak_memory_bytes, rung,"
            " wall_seconds, transferred_bytes FROM nst_trial",
            [("",) * 7],
        ),
        "searches": (
            "SELECT DISTINCT CAST(space_document AS TEXT), active_us, heartbeat_us, alive_until_us,"
            " stop_us FROM nst_search",
            [("",) * 5],
        ),
        "leases": ("SELECT * FROM nst_lease", []),
    },
    "0004": {
        "jobs": ("SELECT * FROM nst_job", []),
        "attempts": ("SELECT * FROM nst_round_attempt", []),
        "checkpoints": ("SELECT * FROM nst_checkpoint", []),
    },
}


@pytest.mark.parametrize(("before", "after"), [("0002", "0003"), ("0003", "0004")])
def test_a_revision_only_adds(database_url, before, after):
    """Every row of every table is as it was, and what is new is empty."""
    load(database_url, before)
    engine = create_engine(database_url)
    inspector = inspect(engine)
    queries = {
        table: f"SELECT {', '.join(column['name'] for column in inspector.get_columns(table))} FROM {table}"
        for table in inspector.get_table_names()
        if table != migrate.VERSION_TABLE
    }
    engine.dispose()
    held = ask(database_url, queries)
    assert all(held[f"nst_{name}"] for name in ("search", "trial", "lineage", "ledger", "param", "event", "meta"))
    open_database(database_url, create=False).close()
    assert ask(database_url, queries) == held
    new = {name: query for name, (query, _) in NEW[after].items()}
    assert ask(database_url, new) == {name: rows for name, (_, rows) in NEW[after].items()}


def test_summaries_are_made_from_the_points(database_url):
    released(database_url)
    engine = create_engine(database_url)
    curves: defaultdict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    with engine.connect() as connection:
        for run_id, name_id, step, value in connection.execute(
            text("SELECT run_id, name_id, step, value FROM nst_metric_point ORDER BY step")
        ):
            curves[run_id, name_id][step] = math.nan if value is None else value
        rows = connection.execute(text("SELECT * FROM nst_metric")).mappings().all()
    engine.dispose()
    assert {(row["run_id"], row["name_id"]) for row in rows} >= curves.keys()
    assert any(math.isnan(value) for curve in curves.values() for value in curve.values())
    for row in rows:
        curve = curves[row["run_id"], row["name_id"]]
        known = {step: value for step, value in curve.items() if not math.isnan(value)}
        low, high = min(known, key=known.get, default=None), max(known, key=known.get, default=None)
        last = max(curve, default=None)
        assert (row["points"], row["first_step"], row["last_step"]) == (len(curve), min(curve, default=None), last)
        assert (row["last"], row["min"], row["min_step"]) == (known.get(last), known.get(low), low)
        assert (row["max"], row["max_step"]) == (known.get(high), high)
        assert row["reported"] or row["value"] == row["last"]


def test_an_upgraded_database_knows_what_came_from_what(database_url):
    released(database_url)
    edges = """
        SELECT coalesce(r.kind, d.name, a.sha256), l.relation, coalesce(t.kind, f.sha256)
        FROM nst_lineage l
        LEFT JOIN nst_run r ON l.source_kind = 'run' AND r.id = l.source_id
        LEFT JOIN nst_dataset d ON l.source_kind = 'dataset' AND d.id = l.source_id
        LEFT JOIN nst_architecture a ON l.source_kind = 'architecture' AND a.id = l.source_id
        LEFT JOIN nst_run t ON l.target_kind = 'run' AND t.id = l.target_id
        LEFT JOIN nst_artifact f ON l.target_kind = 'artifact' AND f.id = l.target_id
    """
    facts = ask(
        database_url,
        {
            "edges": edges,
            "trained": "SELECT a.sha256, count(*) FROM nst_trial JOIN nst_architecture a ON a.id = architecture_id"
            " GROUP BY a.sha256",
            "saved": "SELECT r.kind, sha256 FROM nst_run_artifact JOIN nst_artifact a ON a.id = artifact_id"
            " JOIN nst_run r ON r.id = run_id",
            "retrained": "SELECT uid FROM nst_run JOIN nst_lineage ON id = source_id WHERE relation = 'retrained as'",
            "named": "SELECT text FROM nst_param JOIN nst_name ON id = name_id WHERE name = 'trial'",
            "experiments": "SELECT e.name, count(*) FROM nst_run JOIN nst_experiment e ON e.id = experiment_id"
            " GROUP BY e.name",
            "meta": "SELECT key, length(value) FROM nst_meta",
        },
    )
    assert facts["edges"] == sorted(
        [
            ("digits", "trained on by", "federated"),
            ("digits", "trained on by", "search"),
            ("left", "trained on by", "search"),
            ("search", "network of", "federated"),
            ("trial", "retrained as", "retrain"),
            *[("search", "proposed", "trial")] * 3,
            *[(sha256, "evaluated by", "trial") for sha256, count in facts["trained"] for _ in range(int(count))],
            *[(kind, "saved", sha256) for kind, sha256 in facts["saved"]],
        ]
    )
    assert facts["retrained"] == facts["named"]
    assert facts["experiments"] == [("default", "7")]
    assert facts["meta"] == [("created_us", "16"), ("instance", "26")]


def test_an_upgraded_database_counts_on(database_url, start_search, start_trial):
    """New rows get new keys: PostgreSQL's sequences have moved with the tables."""
    released(database_url)
    with open_database(database_url) as database, Tracker(database) as tracker:
        search = start_search(tracker)
        start_trial(tracker, search)
        assert search.run.number == 4


ODD = {
    "nul\0": 1,
    "nul": "\0",
    "half": "\ud800",
    "line\n": 1,
    "": 1,
    "none": None,
    "deep": [{"a": []}, [[True]]],
    "longest": "\N{OHM SIGN}" * 500,
    "too long": "x" * 501,
    "huge": 10**400,
    "n" * 251: 1,
}


def test_any_configuration_is_taken(database_url):
    """Revision 0001 stored any JSON; PostgreSQL's texts do not hold all of it."""
    load(database_url, "0001")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        uid = connection.scalar(text("SELECT uid FROM nst_run WHERE id = 4"))
        config = json.dumps({**ODD, "trial": uid})
        connection.execute(text("UPDATE nst_run SET config = :config WHERE kind = 'retrain'"), {"config": config})
    engine.dispose()
    before = read_0001(database_url)
    open_database(database_url, create=False).close()
    after = read_newest(database_url)
    assert after == before
    names = [name for run_id, name, *_ in after["params"] if run_id == "5"]
    assert names == ["deep.1.0.0", "half", "huge", "longest", "nul", "trial"]
    origin = "SELECT source_id FROM nst_lineage WHERE relation = 'retrained as'"
    assert ask(database_url, {"origin": origin}) == {"origin": [("4",)]}


IMPORTS = """
from sqlalchemy import text
from nasturtium.storage import open_database
import alembic.command
"""
UPGRADE = """
with open_database(target, create=False) as database, database.read() as session:
    said.append(session.scalar(text("SELECT count(*) FROM nst_run")))
"""


def test_eight_processes_that_open_an_old_database_upgrade_it_once(database_url, tmp_path):
    load(database_url, "0001")
    before = read_0001(database_url)
    said = run_together(IMPORTS, UPGRADE, database_url, "abcdefgh")
    assert list(said.values()) == [[7]] * 8
    assert read_newest(database_url) == before
    if database_url.startswith("sqlite"):
        (backup,) = tmp_path.glob("*.bak*")
        assert read_0001(f"sqlite:///{backup}") == before  # of before the upgrade: who came late made none


def test_a_newer_database_is_refused_and_not_touched(database_url):
    released(database_url)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE nst_alembic_version SET version_num = '9999'"))
        connection.execute(text("ALTER TABLE nst_run ADD COLUMN of_the_future TEXT"))
    engine.dispose()
    tables, rows = describe(database_url), read_newest(database_url)
    with pytest.raises(DatabaseVersionError, match=r"made by a newer nasturtium.*9999"):
        open_database(database_url)
    assert (describe(database_url), read_newest(database_url)) == (tables, rows)


ENTRY = (
    "INSERT INTO nst_ledger (sequence, kind, body, recorded_us, previous, hash, signer, signature)"
    " VALUES (1, 'spend', '{}', 1, 'p', 'h', 's', 'x')"
)


@pytest.mark.parametrize(
    ("engine", "change"),
    [
        pytest.param(None, "UPDATE nst_ledger SET body = '[]'", id="update"),
        pytest.param(None, "DELETE FROM nst_ledger", id="delete"),
        pytest.param(None, f"{ENTRY} ON CONFLICT (sequence) DO UPDATE SET body = '[]'", id="upsert"),
        pytest.param("sqlite", ENTRY.replace("INSERT", "INSERT OR REPLACE"), id="replace"),
        pytest.param("sqlite", ENTRY.replace("INSERT", "REPLACE").replace("(1,", "(2,"), id="replace-by-hash"),
        pytest.param("postgresql", "TRUNCATE nst_ledger", id="truncate"),
    ],
)
def test_the_ledger_takes_nothing_back(database, engine, change):
    if engine not in {None, make_url(database.url).get_backend_name()}:
        pytest.skip(f"of {engine} only")
    with database.write() as session:
        session.execute(text(ENTRY))
    before = ask(database.url, {"ledger": "SELECT * FROM nst_ledger"})
    with pytest.raises(StorageError, match="the ledger is append-only"), database.write() as session:
        session.execute(text(change))
    assert ask(database.url, {"ledger": "SELECT * FROM nst_ledger"}) == before


def test_an_upgrade_is_not_undone(sqlite_database):
    with pytest.raises(RuntimeError, match="restore the copy"), sqlite_database.write() as session:
        command.downgrade(migrate.alembic_config(session.connection()), "0001")
    open_database(sqlite_database.path, create=False).close()


@pytest.fixture
def next_release(tmp_path, monkeypatch):
    """Pretend to be the next release, whose migration copies the table of runs."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, scripts)
    (scripts / "versions" / "9998_next.py").write_text(
        f"""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9998", "{migrate.REVISIONS[-1]}", None, None

def upgrade():
    with op.batch_alter_table("nst_run", recreate="auto") as batch:
        batch.add_column(sa.Column("remark", sa.Text()))
        batch.alter_column("name", nullable=True)
"""
    )

    def release() -> None:
        monkeypatch.setattr(migrate, "SCRIPTS", scripts)
        monkeypatch.setattr(migrate, "REVISIONS", (*migrate.REVISIONS, "9998"))

    return release


def test_an_older_database_is_backed_up_and_upgraded(tmp_path, next_release):
    path = tmp_path / "history.db"
    url = f"sqlite:///{path}"
    released(url)
    before, older = read_newest(url), migrate.REVISIONS[-1]
    next_release()
    with open_database(path, create=False) as database, database.read() as session:
        assert migrate.current_revision(session.connection()) == "9998"
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    assert read_newest(url) == before  # dropping the old table did not cascade
    backup = tmp_path / "history.db.before-9998.bak"
    assert read_newest(f"sqlite:///{backup}") == before
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM nst_alembic_version").fetchall() == [(older,)]


@pytest.mark.parametrize("revision", RELEASED)
def test_an_upgrade_that_fails_leaves_the_database_as_it_was(database_url, revision, next_release):
    load(database_url, revision)
    tables, rows = describe(database_url), READ[revision](database_url)
    next_release()
    script = migrate.SCRIPTS / "versions" / "9998_next.py"
    script.write_text(script.read_text() + '    op.execute("SELECT * FROM nowhere")\n')
    with pytest.raises(StorageError, match="nowhere"):
        open_database(database_url)
    assert (describe(database_url), READ[revision](database_url)) == (tables, rows)
    version = ask(database_url, {"version": "SELECT version_num FROM nst_alembic_version"})
    assert version == {"version": [(revision,)]}
