"""Experiments, parameters, summaries of curves, content-addressed artifacts, lineage, published models, the ledger.

A table whose columns change is made anew: its rows wait in a copy, `nst_old_*`, so that no name of a constraint, an
index or a sequence is taken. Later migrations, mind the triggers of `nst_ledger`: they are lost where it is copied.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa
from alembic import op
from ulid import ULID

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=16)


INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOAT: sa.Double[float] = sa.Double()
UID = sa.CHAR(26)
SHA256 = sa.CHAR(64)
KIND = _words("kind", "search", "trial", "retrain", "federated", "train", "eval", "export")
RUN_STATE = _words("state", "running", "completed", "pruned", "failed", "interrupted")
ROUND_STATE = _words("state", "completed", "failed")
CONTRIBUTION_STATE = _words("state", "accepted", "rejected")
CEREMONY_STATE = _words("state", "completed", "failed")
NODE_KINDS = ("run", "dataset", "architecture", "artifact", "version", "deployment", "ceremony")

REMADE = (  # a table after those that point to it
    "nst_contribution",
    "nst_round",
    "nst_federation",
    "nst_artifact",
    "nst_metric_point",
    "nst_metric",
    "nst_trial",
    "nst_search",
    "nst_run",
    "nst_dataset",
)


RUN = sa.table("nst_run", *map(sa.column, ("id", "uid", "kind", "parent_id")), sa.column("config", sa.JSON()))
TRIAL = sa.table("nst_trial", *map(sa.column, ("run_id", "architecture_id")), sa.column("hyperparameters", sa.JSON()))
ARCHITECTURE = sa.table("nst_architecture", sa.column("id"), sa.column("choices", sa.JSON()))
NAME = sa.table("nst_name", sa.column("id"), sa.column("name"))
PARAM = sa.table("nst_param", *map(sa.column, ("run_id", "name_id", "text", "number", "is_text")))
LINEAGE = sa.table("nst_lineage", *map(sa.column, ("source_kind", "source_id", "relation", "target_kind", "target_id")))


def upgrade() -> None:
    """Make the tables, and move what the old ones hold."""
    connection = op.get_bind()
    for table in REMADE:
        _set_aside(table)
    _make_shared_tables()
    _make_run_tables()
    _make_file_tables()
    _make_federated_tables()
    _make_ledger()
    _move_runs(connection)
    _move_figures(connection)
    _move_artifacts()
    _move_rounds(connection)
    _move_lineage(connection)
    _move_params(connection)
    for table in REMADE:
        op.drop_table(_old(table))
    first_us = connection.scalar(sa.text("SELECT min(started_us) FROM nst_run"))
    connection.execute(
        sa.text("INSERT INTO nst_meta (key, value) VALUES ('instance', :instance), ('created_us', :created)"),
        {"instance": str(ULID()), "created": str(first_us or time.time_ns() // 1000)},
    )


def downgrade() -> None:
    """Refuse: the older tables have no room for most of this."""
    raise RuntimeError("revision 0002 is not undone: restore the copy from before it; of SQLite, FILE.before-0002.bak")


def _old(table: str) -> str:
    return table.replace("nst_", "nst_old_")


def _set_aside(table: str) -> None:
    if table == "nst_metric_point":  # figures of rounds are points now
        rows = """
            SELECT run_id, name, step, value, special FROM nst_metric_point
            UNION ALL SELECT run_id, 'val_loss', number, loss, loss_special FROM nst_old_round
            UNION ALL SELECT run_id, 'val_accuracy', number, accuracy, accuracy_special FROM nst_old_round
        """
    else:
        rows = f"SELECT * FROM {table}"  # noqa: S608 - our own constant
    op.execute(f"CREATE TABLE {_old(table)} AS {rows}")
    op.drop_table(table)


def _run_key() -> sa.Column[int]:
    return sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True)


def _name_key() -> sa.Column[int]:
    return sa.Column("name_id", INTEGER, sa.ForeignKey("nst_name.id"), primary_key=True)


def _make_shared_tables() -> None:
    op.create_table(
        "nst_meta",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "nst_name",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
    )
    op.create_table(
        "nst_experiment",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("created_us", INTEGER, nullable=False),
        sa.Column("deleted_us", INTEGER),
        sa.Index(
            "uq_nst_experiment_name",
            "name",
            unique=True,
            sqlite_where=sa.text("deleted_us IS NULL"),
            postgresql_where=sa.text("deleted_us IS NULL"),
        ),
    )
    op.create_table(
        "nst_dataset",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("fingerprint", sa.Text(), nullable=False, unique=True),
        sa.Column("keyed", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rows", INTEGER),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_table(
        "nst_lineage",
        sa.Column("source_kind", _words("source_kind", *NODE_KINDS), primary_key=True),
        sa.Column("source_id", INTEGER, primary_key=True, autoincrement=False),
        sa.Column("relation", sa.Text(), primary_key=True),
        sa.Column("target_kind", _words("target_kind", *NODE_KINDS), primary_key=True),
        sa.Column("target_id", INTEGER, primary_key=True, autoincrement=False),
        sa.Index(None, "target_kind", "target_id"),
        sqlite_with_rowid=False,
    )


def _make_run_tables() -> None:
    op.create_table(
        "nst_run",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("number", INTEGER, unique=True),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("state", RUN_STATE, nullable=False),
        sa.Column("experiment_id", INTEGER, sa.ForeignKey("nst_experiment.id"), nullable=False, index=True),
        sa.Column("parent_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), index=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seed", INTEGER, nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("environment_id", INTEGER, sa.ForeignKey("nst_environment.id"), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", INTEGER, nullable=False),
        sa.Column("born", sa.Text()),
        sa.Column("started_us", INTEGER, nullable=False),
        sa.Column("ended_us", INTEGER),
        sa.Column("deleted_us", INTEGER),
        sa.Column("error", sa.Text()),
        sa.Index(None, "kind", "started_us"),
        sa.Index(
            "ix_nst_run_deleted_us",
            "deleted_us",
            sqlite_where=sa.text("deleted_us IS NOT NULL"),
            postgresql_where=sa.text("deleted_us IS NOT NULL"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nst_run_dataset",
        _run_key(),
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("dataset_id", INTEGER, sa.ForeignKey("nst_dataset.id"), nullable=False, index=True),
    )
    op.create_table(
        "nst_search",
        _run_key(),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("space_sha256", SHA256, nullable=False),
        sa.Column("sampler", sa.Text(), nullable=False),
        sa.Column("pruner", sa.Text(), nullable=False),
        sa.Column("objectives", sa.JSON(), nullable=False),
        sa.Column("trials", INTEGER, nullable=False),
        sa.Column("study_name", sa.Text(), nullable=False, unique=True),
    )
    op.create_table(
        "nst_trial",
        _run_key(),
        sa.Column("search_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("architecture_id", INTEGER, sa.ForeignKey("nst_architecture.id"), nullable=False, index=True),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("optuna_number", INTEGER),
        sa.UniqueConstraint("search_id", "number", "attempt"),
    )
    op.create_table(
        "nst_param",
        _run_key(),
        _name_key(),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("number", FLOAT),
        sa.Column("is_text", sa.Boolean(), nullable=False),
        sa.Index(None, "name_id", "text", "run_id"),
        sa.Index(None, "name_id", "number", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_tag",
        _run_key(),
        _name_key(),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("edited_us", INTEGER, nullable=False),
        sa.Index(None, "name_id", "value", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_note",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_metric",
        _run_key(),
        _name_key(),
        sa.Column("value", FLOAT),
        sa.Column("reported", sa.Boolean(), nullable=False),
        sa.Column("points", INTEGER, nullable=False),
        sa.Column("first_step", INTEGER),
        sa.Column("last_step", INTEGER),
        sa.Column("last", FLOAT),
        sa.Column("min", FLOAT),
        sa.Column("min_step", INTEGER),
        sa.Column("max", FLOAT),
        sa.Column("max_step", INTEGER),
        sa.Index(None, "name_id", "value", "run_id"),
        sa.Index(None, "name_id", "min", "run_id"),
        sa.Index(None, "name_id", "max", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_metric_point",
        _run_key(),
        _name_key(),
        sa.Column("step", INTEGER, primary_key=True),
        sa.Column("value", FLOAT),
        sa.Column("at_ms", INTEGER),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_system_point",
        _run_key(),
        _name_key(),
        sa.Column("at_ms", INTEGER, primary_key=True),
        sa.Column("value", FLOAT),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_event",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("at_us", INTEGER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )


def _make_file_tables() -> None:
    op.create_table(
        "nst_artifact",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("sha256", SHA256, nullable=False, unique=True),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("created_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_run_artifact",
        _run_key(),
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("artifact_id", INTEGER, sa.ForeignKey("nst_artifact.id"), nullable=False, index=True),
    )
    op.create_table(
        "nst_model",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("created_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_model_version",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("model_id", INTEGER, sa.ForeignKey("nst_model.id", ondelete="CASCADE"), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="SET NULL"), index=True),
        sa.Column("artifact_id", INTEGER, sa.ForeignKey("nst_artifact.id"), nullable=False, index=True),
        sa.Column("signature", sa.JSON(), nullable=False),
        sa.Column("opset", INTEGER),
        sa.Column("created_us", INTEGER, nullable=False),
        sa.UniqueConstraint("model_id", "version"),
    )
    version = "nst_model_version.id"
    op.create_table(
        "nst_alias",
        sa.Column("model_id", INTEGER, sa.ForeignKey("nst_model.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("alias", sa.Text(), primary_key=True),
        sa.Column("version_id", INTEGER, sa.ForeignKey(version, ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("set_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_deployment",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("version_id", INTEGER, sa.ForeignKey(version, ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("started_us", INTEGER, nullable=False),
        sa.Column("stopped_us", INTEGER),
    )


def _make_federated_tables() -> None:
    op.create_table(
        "nst_federation",
        _run_key(),
        sa.Column("clients", INTEGER, nullable=False),
        sa.Column("rounds", INTEGER, nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("alpha", FLOAT),
        sa.Column("flwr_run_id", sa.Text()),
        sa.Column("min_clients", INTEGER),
        sa.Column("privacy", sa.JSON()),
        sa.Column("model_run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="SET NULL"), index=True),
        sa.Column("spec", sa.JSON(), nullable=False),
    )
    op.create_table(
        "nst_node",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("public_key_sha256", SHA256),
        sa.Column("first_seen_us", INTEGER, nullable=False),
        sa.Column("last_seen_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_round",
        _run_key(),
        sa.Column("number", INTEGER, primary_key=True),
        sa.Column("state", ROUND_STATE, nullable=False),
        sa.Column("participants", INTEGER, nullable=False),
        sa.Column("rejected", INTEGER, nullable=False),
        sa.Column("bytes_up", INTEGER, nullable=False),
        sa.Column("bytes_down", INTEGER, nullable=False),
        sa.Column("bytes_plain", INTEGER),
        sa.Column("aggregate_seconds", FLOAT),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.Column("started_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_contribution",
        sa.Column("run_id", INTEGER, primary_key=True),
        sa.Column("round", INTEGER, primary_key=True),
        sa.Column("node_id", INTEGER, sa.ForeignKey("nst_node.id"), primary_key=True),
        sa.Column("state", CONTRIBUTION_STATE, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("bytes_up", INTEGER, nullable=False),
        sa.Column("bytes_down", INTEGER, nullable=False),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.Column("rows", INTEGER),
        sa.Column("train_seconds", FLOAT),
        sa.Column("encrypt_seconds", FLOAT),
        sa.Column("update_norm", FLOAT),
        sa.Column("clipped", sa.Boolean()),
        sa.ForeignKeyConstraint(["run_id", "round"], ["nst_round.run_id", "nst_round.number"], ondelete="CASCADE"),
        sa.Index(None, "node_id", "run_id", "round"),
    )
    op.create_table(
        "nst_ceremony",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="SET NULL"), index=True),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("parameters_sha256", SHA256),
        sa.Column("public_key_sha256", SHA256),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("threshold", INTEGER),
        sa.Column("state", CEREMONY_STATE, nullable=False),
        sa.Column("started_us", INTEGER, nullable=False),
        sa.Column("ended_us", INTEGER),
    )


def _make_ledger() -> None:
    op.create_table(
        "nst_ledger",
        sa.Column("sequence", INTEGER, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), index=True),
        sa.Column("run_uid", UID, index=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("recorded_us", INTEGER, nullable=False),
        sa.Column("previous", SHA256, nullable=False),
        sa.Column("hash", SHA256, nullable=False, unique=True),
        sa.Column("signer", SHA256, nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
            CREATE FUNCTION nst_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
            END
            $$
            """
        )
        op.execute(
            """
            CREATE TRIGGER nst_ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON nst_ledger
            FOR EACH STATEMENT EXECUTE FUNCTION nst_ledger_is_append_only()
            """
        )
        return
    taken = "WHEN EXISTS (SELECT 1 FROM nst_ledger WHERE sequence = NEW.sequence OR hash = NEW.hash)"
    for change, condition in (
        ("UPDATE", ""),
        ("DELETE", ""),
        ("INSERT", taken),  # INSERT OR REPLACE deletes without a trigger
    ):
        op.execute(
            f"CREATE TRIGGER nst_ledger_refuses_{change.lower()} BEFORE {change} ON nst_ledger {condition}"
            " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


def _move_runs(connection: sa.Connection) -> None:
    op.execute(
        "INSERT INTO nst_dataset (id, fingerprint, name, rows, body)"
        " SELECT id, fingerprint, name, rows, body FROM nst_old_dataset"
    )
    connection.execute(
        sa.text(
            "INSERT INTO nst_experiment (uid, name, created_us)"
            " SELECT :uid, 'default', min(started_us) FROM nst_old_run HAVING count(*) > 0"
        ),
        {"uid": str(ULID())},
    )
    op.execute(
        """
        INSERT INTO nst_run (
            id, uid, number, kind, state, experiment_id, parent_id, name, seed, config, environment_id, host, pid, born,
            started_us, ended_us, error
        )
        SELECT
            r.id, r.uid, r.number, r.kind, r.state, e.id, r.parent_id, r.name, r.seed, r.config, r.environment_id,
            r.host, r.pid, r.born, r.started_us, r.ended_us, r.error
        FROM nst_old_run r CROSS JOIN nst_experiment e ORDER BY r.id
        """
    )
    op.execute(
        "INSERT INTO nst_run_dataset (run_id, role, dataset_id)"
        " SELECT id, 'data', dataset_id FROM nst_old_run WHERE dataset_id IS NOT NULL"
    )
    op.execute(
        """
        INSERT INTO nst_search (run_id, space, space_sha256, sampler, pruner, objectives, trials, study_name)
        SELECT run_id, space, space_sha256, sampler, pruner, '[["val_accuracy","maximize"]]', trials, study_name
        FROM nst_old_search
        """
    )
    op.execute(
        """
        INSERT INTO nst_trial (run_id, search_id, number, attempt, architecture_id, hyperparameters, optuna_number)
        SELECT run_id, search_id, number, attempt, architecture_id, hyperparameters, optuna_number FROM nst_old_trial
        """
    )
    if connection.dialect.name == "postgresql":
        for table in ("nst_dataset", "nst_run"):
            op.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608


def _move_figures(connection: sa.Connection) -> None:
    op.execute(
        "INSERT INTO nst_name (name)"
        " SELECT name FROM nst_old_metric UNION SELECT name FROM nst_old_metric_point ORDER BY name"
    )
    # Of old, the special values were numbered; NULL without a number was a figure that is not known.
    infinity = {"infinity": math.inf}
    connection.execute(
        sa.text(
            """
            INSERT INTO nst_metric_point (run_id, name_id, step, value)
            SELECT p.run_id, n.id, p.step, CASE p.special
                WHEN 2 THEN CAST(:infinity AS DOUBLE PRECISION)
                WHEN 3 THEN -CAST(:infinity AS DOUBLE PRECISION)
                ELSE p.value
            END
            FROM nst_old_metric_point p JOIN nst_name n ON n.name = p.name
            WHERE p.value IS NOT NULL OR p.special <> 0
            ORDER BY p.run_id, n.id, p.step
            ON CONFLICT DO NOTHING -- a round's figure that was logged as a point as well
            """
        ),
        infinity,
    )
    op.execute(
        """
        INSERT INTO nst_metric (
            run_id, name_id, value, reported, points, first_step, last_step, last, min, min_step, max, max_step
        )
        SELECT
            c.run_id, c.name_id, p.value, false, c.points, c.first_step, c.last_step, p.value,
            c.lowest, (
                SELECT min(q.step) FROM nst_metric_point q
                WHERE q.run_id = c.run_id AND q.name_id = c.name_id AND q.value = c.lowest
            ),
            c.highest, (
                SELECT min(q.step) FROM nst_metric_point q
                WHERE q.run_id = c.run_id AND q.name_id = c.name_id AND q.value = c.highest
            )
        FROM (
            SELECT
                run_id, name_id, count(*) AS points, min(step) AS first_step, max(step) AS last_step,
                min(value) AS lowest, max(value) AS highest
            FROM nst_metric_point GROUP BY run_id, name_id
        ) c
        JOIN nst_metric_point p ON p.run_id = c.run_id AND p.name_id = c.name_id AND p.step = c.last_step
        """
    )
    connection.execute(
        sa.text(
            """
            INSERT INTO nst_metric (run_id, name_id, value, reported, points)
            SELECT m.run_id, n.id, CASE m.special
                WHEN 2 THEN CAST(:infinity AS DOUBLE PRECISION)
                WHEN 3 THEN -CAST(:infinity AS DOUBLE PRECISION)
                ELSE m.value
            END, true, 0
            FROM nst_old_metric m JOIN nst_name n ON n.name = m.name
            WHERE m.value IS NOT NULL OR m.special <> 0
            ON CONFLICT (run_id, name_id) DO UPDATE SET value = excluded.value, reported = true
            """
        ),
        infinity,
    )


def _move_artifacts() -> None:
    # Of a model only the weights were known; they stay where they are, in the model's folder.
    op.execute(
        """
        INSERT INTO nst_artifact (sha256, size_bytes, media_type, created_us)
        SELECT
            a.sha256, max(a.size_bytes),
            max(CASE a.role WHEN 'model' THEN 'application/vnd.safetensors' ELSE 'application/octet-stream' END),
            min(coalesce(r.ended_us, r.started_us))
        FROM nst_old_artifact a JOIN nst_run r ON r.id = a.run_id GROUP BY a.sha256 ORDER BY min(a.id)
        """
    )
    op.execute(
        """
        INSERT INTO nst_run_artifact (run_id, role, name, artifact_id)
        SELECT o.run_id, o.role, CASE o.role WHEN 'model' THEN 'weights.safetensors' ELSE o.path END, a.id
        FROM nst_old_artifact o JOIN nst_artifact a ON a.sha256 = o.sha256
        """
    )


def _move_rounds(connection: sa.Connection) -> None:
    op.execute(
        "INSERT INTO nst_federation (run_id, clients, rounds, strategy, scheme, alpha, model_run_id, spec)"
        " SELECT run_id, clients, rounds, strategy, scheme, alpha, model_run_id, spec FROM nst_old_federation"
    )
    op.execute(
        """
        INSERT INTO nst_round (
            run_id, number, state, participants, rejected, bytes_up, bytes_down, seconds, started_us
        )
        SELECT run_id, number, 'completed', participants, rejected, bytes_up, bytes_down, seconds, started_us
        FROM nst_old_round
        """
    )
    sites = connection.execute(
        sa.text(
            """
            SELECT c.client AS name, min(r.started_us) AS first_seen_us, max(r.started_us) AS last_seen_us
            FROM nst_old_contribution c JOIN nst_round r ON r.run_id = c.run_id AND r.number = c.round
            GROUP BY c.client ORDER BY min(r.started_us), length(c.client), c.client
            """
        )
    )
    nodes = [{"uid": str(ULID()), **site} for site in sites.mappings()]
    if nodes:
        connection.execute(
            sa.text(
                "INSERT INTO nst_node (uid, name, first_seen_us, last_seen_us)"
                " VALUES (:uid, :name, :first_seen_us, :last_seen_us)"
            ),
            nodes,
        )
    op.execute(
        """
        INSERT INTO nst_contribution (run_id, round, node_id, state, reason, bytes_up, bytes_down, seconds)
        SELECT c.run_id, c.round, n.id, c.state, c.reason, c.bytes_up, c.bytes_down, c.seconds
        FROM nst_old_contribution c JOIN nst_node n ON n.name = c.client
        """
    )


def _move_lineage(connection: sa.Connection) -> None:
    op.execute(
        """
        INSERT INTO nst_lineage (source_kind, source_id, relation, target_kind, target_id)
        SELECT 'dataset', dataset_id, 'trained on by', 'run', id FROM nst_old_run
            WHERE dataset_id IS NOT NULL AND parent_id IS NULL
        UNION SELECT 'run', search_id, 'proposed', 'run', run_id FROM nst_trial
        UNION SELECT 'architecture', architecture_id, 'evaluated by', 'run', run_id FROM nst_trial
        UNION SELECT 'run', model_run_id, 'network of', 'run', run_id FROM nst_federation
            WHERE model_run_id IS NOT NULL
        UNION SELECT 'run', run_id, 'saved', 'artifact', artifact_id FROM nst_run_artifact
        """
    )
    # In Python: PostgreSQL's operators on JSON fail where it holds what no text of theirs can.
    retrained = connection.execute(sa.select(RUN.c.id, RUN.c.parent_id, RUN.c.config).where(RUN.c.kind == "retrain"))
    for run_id, parent_id, config in retrained.all():
        trial_id = connection.scalar(sa.select(RUN.c.id).where(RUN.c.uid == str(config.get("trial"))))
        edge = {"source_kind": "run", "source_id": trial_id or parent_id, "relation": "retrained as"}
        connection.execute(sa.insert(LINEAGE), {**edge, "target_kind": "run", "target_id": run_id})


def _move_params(connection: sa.Connection) -> None:
    rows = connection.execute(
        sa.select(RUN.c.id, RUN.c.config, TRIAL.c.hyperparameters, ARCHITECTURE.c.choices)
        .select_from(
            RUN.outerjoin(TRIAL, TRIAL.c.run_id == RUN.c.id).outerjoin(
                ARCHITECTURE, ARCHITECTURE.c.id == TRIAL.c.architecture_id
            )
        )
        .order_by(RUN.c.id),
        execution_options={"yield_per": 500},
    )
    known = sa.select(NAME.c.name, NAME.c.id)
    ids = {row.name: row.id for row in connection.execute(known)}
    for batch in rows.partitions():
        params = [
            {"run_id": run_id, "name": name, **columns}
            for run_id, config, hyperparameters, choices in batch
            for name, columns in _flatten(config | (choices or {}) | (hyperparameters or {})).items()
        ]
        new = sorted({each["name"] for each in params} - ids.keys())
        if new:
            connection.execute(sa.insert(NAME), [{"name": name} for name in new])
            last = max(ids.values(), default=0)
            ids |= {row.name: row.id for row in connection.execute(known.where(NAME.c.id > last))}
        if params:
            connection.execute(sa.insert(PARAM), [{"name_id": ids[each.pop("name")], **each} for each in params])


def _flatten(value: Any, name: str = "") -> dict[str, dict[str, Any]]:
    """The scalars in `value`, read from JSON, as columns of `nst_param` by their path joined with dots."""
    if isinstance(value, list):
        value = dict(enumerate(cast("list[Any]", value)))
    if isinstance(value, dict):
        branches = cast("dict[str, Any]", value).items()
        leaves = [_flatten(branch, f"{name}.{key}" if name else str(key)) for key, branch in branches]
        return {path: columns for each in leaves for path, columns in each.items()}
    if value is None or not name.strip() or not name.isprintable() or len(name) > 250:
        return {}
    if not isinstance(value, str) and not abs(value) <= sys.float_info.max:
        value = json.dumps(value)
    if isinstance(value, str):  # PostgreSQL takes no NUL and no half of a surrogate pair
        text, number = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode(), None
    else:
        text, number = json.dumps(value), float(value)
    return {name: {"text": text, "number": number, "is_text": number is None}} if len(text) <= 500 else {}
