"""The tables that migrations make are the tables of the models, Optuna's stand beside them, upgrades keep the data."""

import shutil
import sqlite3
from contextlib import closing

import optuna
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from nasturtium.storage import History, StorageError, Tracker, configure_sqlite, migrate, open_database
from nasturtium.storage.models import Base

optuna.logging.set_verbosity(optuna.logging.ERROR)


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


def test_migrations_make_the_same_checks_and_names(sqlite_database, tmp_path):
    """What Alembic's comparison does not look at."""
    engine = create_engine(f"sqlite:///{tmp_path / 'models.db'}")
    Base.metadata.create_all(engine)
    models = inspect(engine)
    with sqlite_database.read() as session:
        migrated = inspect(session.connection())
        for table in models.get_table_names():
            for facts in ("get_check_constraints", "get_unique_constraints", "get_foreign_keys", "get_table_options"):
                assert sorted(map(str, getattr(migrated, facts)(table))) == sorted(
                    map(str, getattr(models, facts)(table))
                ), (table, facts)
            assert migrated.get_pk_constraint(table) == models.get_pk_constraint(table)
    engine.dispose()


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
    with op.batch_alter_table("nst_run", recreate="always") as batch:
        batch.add_column(sa.Column("note", sa.Text()))
"""
    )

    def release():
        monkeypatch.setattr(migrate, "SCRIPTS", scripts)
        monkeypatch.setattr(migrate, "REVISIONS", (*migrate.REVISIONS, "9998"))

    return release


def test_an_older_database_is_backed_up_and_upgraded(tmp_path, next_release, start_search, start_trial):
    path = tmp_path / "history.db"
    with open_database(path) as database:
        tracker = Tracker(database)
        search = start_search(tracker)
        uid = start_trial(tracker, search)
        tracker.log_points(uid, {"loss": {1: 0.5}})
    older = migrate.REVISIONS[-1]
    next_release()
    with open_database(path, create=False) as database:
        assert History(database).curves(uid) == {"loss": {1: 0.5}}  # dropping the old table did not cascade
        with database.read() as session:
            assert migrate.current_revision(session.connection()) == "9998"
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    backup = tmp_path / "history.db.before-9998.bak"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM nst_alembic_version").fetchall() == [(older,)]
        assert connection.execute("SELECT count(*) FROM nst_run").fetchone() == (2,)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path, next_release, monkeypatch):
    path = tmp_path / "history.db"
    open_database(path).close()
    older = migrate.REVISIONS[-1]
    next_release()
    script = migrate.SCRIPTS / "versions" / "9998_next.py"
    script.write_text(script.read_text() + '    op.execute("SELECT * FROM nowhere")\n')
    with pytest.raises(StorageError, match="no such table: nowhere"):
        open_database(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM nst_alembic_version").fetchall() == [(older,)]
        assert "note" not in connection.execute("SELECT sql FROM sqlite_master WHERE name = 'nst_run'").fetchone()[0]
