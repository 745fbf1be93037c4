"""A search in Optuna's own tables, for its command line and its dashboard.

Our tables are the truth. This copies what they say into those that Optuna would have written itself, in the same
database and in bulk, in a thousandth of the time. Only trials that are new or have ended since are written, so a copy
that was cut off is finished by the next one. Optuna only ever reads them, and what people add with its tools stays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from sqlalchemy import Connection

from ...core import ConfigError
from ...storage import Database, History, SearchRecord, TrialRecord
from .optuna_tables import (
    change_trials,
    ensure_study,
    ensure_tables,
    figure_columns,
    insert_rows,
    last_steps,
    read_trials,
)

BATCH: Final = 1_000  # trials in one transaction, which other writers wait for

OptunaState = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
Curves = Mapping[str, Mapping[int, float]]  # uid of the trial -> step -> value
_ATTRIBUTES: Final = ("uid", "attempt", "architecture", "parameters", "macs", "metrics", "epochs", "cause", "error")
_SPACE_HINT: Final = "give the distributions of the space that the search was made with"


def mirror_study(database: Database, search: SearchRecord, distributions: Mapping[str, BaseDistribution]) -> int:
    """Bring Optuna's copy of a search up to date; how many trials were written. See `StudyMirror`."""
    return StudyMirror(database, search, distributions).update()


class StudyMirror:
    """Keeps Optuna's copy of one search, the study `SearchRecord.study_name`.

    A trial has the number it has with us, however often it was tried; while it may be tried again it is running. Its
    values are the objectives, its intermediate values the curve of the first one.

    Args:
        database: of the search; stays the caller's.
        search: its record.
        distributions: of all leaves of its space by path, as in `TrialRecord.flat`.

    Raises:
        StorageError: Optuna's tables cannot be made, or are of another Optuna.
    """

    def __init__(self, database: Database, search: SearchRecord, distributions: Mapping[str, BaseDistribution]) -> None:
        self._database = database
        self._history = History(database)
        self._uid = search.uid
        self._params = {path: _Param(path, each) for path, each in distributions.items()}
        self._settled = 0  # trials of lower numbers are written and will not change
        ensure_tables(database)

    def update(self) -> int:
        """Write the trials that are new or have changed since; how many those are.

        Raises:
            ConfigError: a trial has a value that the distributions do not.
            StorageError: the database cannot be written.
        """
        search = self._history.search(self._uid)
        over = search.run.state in {"completed", "failed"}  # else an interrupted trial may be tried again
        last = {trial.number: trial for trial in self._history.trials(self._uid, first=self._settled)}
        copies = [_Copy(trial, search, over=over) for trial in last.values()]
        curves = self._history.trial_curves(self._uid, search.objectives[0][0], first=self._settled)
        written = 0
        for start in range(0, max(len(copies), 1), BATCH):  # of a search without trials, the study
            written += self._write(search, copies[start : start + BATCH], curves)
        end = copies[-1].trial.number + 1 if copies else self._settled
        self._settled = next((copy.trial.number for copy in copies if copy.state == "RUNNING"), end)
        return written

    def _write(self, search: SearchRecord, copies: Sequence[_Copy], curves: Curves) -> int:
        with self._database.write() as session:
            connection = session.connection()
            study_id = ensure_study(connection, search)
            if not copies:
                return 0
            first, last = copies[0].trial.number, copies[-1].trial.number
            there = read_trials(connection, study_id, first, last)
            new = [copy for copy in copies if copy.trial.number not in there]
            insert_rows(
                connection,
                "trials",
                ("number", "study_id", "state", "datetime_start", "datetime_complete"),
                [(copy.trial.number, study_id, copy.state, *copy.times) for copy in new],
            )
            ids = {number: key for number, (key, _) in read_trials(connection, study_id, first, last).items()}
            for copy in copies:
                copy.key = ids[copy.trial.number]
            known = [copy for copy in copies if copy.trial.number in there]
            changed = [copy for copy in known if copy.state != there[copy.trial.number][1]]
            change_trials(connection, [(copy.key, copy.state, *copy.times) for copy in changed], attributes=_ATTRIBUTES)
            self._put_params(connection, new)
            _put_results(connection, [*new, *changed])
            _put_points(connection, [*new, *changed, *(copy for copy in known if copy.state == "RUNNING")], curves)
            return len(new) + len(changed)

    def _put_params(self, connection: Connection, copies: Sequence[_Copy]) -> None:
        rows: list[tuple[Any, ...]] = []
        for copy in copies:
            for path, value in (copy.trial.flat or {}).items():
                param = self._params.get(path)
                if param is None:
                    raise ConfigError(
                        f"trial {copy.trial.number} has a leaf {path!r} that its space does not have", hint=_SPACE_HINT
                    )
                rows.append((copy.key, path, param.stored(copy.trial.number, value), param.json))
        insert_rows(connection, "trial_params", ("trial_id", "param_name", "param_value", "distribution_json"), rows)


class _Copy:
    """A trial as Optuna sees it."""

    def __init__(self, trial: TrialRecord, search: SearchRecord, *, over: bool) -> None:
        self.trial = trial
        values = [trial.metrics.get(metric, math.nan) for metric, _ in search.objectives]
        self.values = () if any(map(math.isnan, values)) else values  # Optuna has no column for NaN
        self.state = self._state(over)
        self.key = 0  # among Optuna's trials, once it has one

    def _state(self, over: bool) -> OptunaState:
        match self.trial.state:
            case "completed":
                return "COMPLETE" if self.values else "FAIL"
            case "pruned":
                return "PRUNED"
            case "failed":
                return "FAIL"
            case "running" | "interrupted":
                return "FAIL" if over else "RUNNING"

    @property
    def times(self) -> tuple[str, str | None]:
        """When it started and ended."""
        ended = None if self.state == "RUNNING" else _time(self.trial.ended or self.trial.started)
        return _time(self.trial.started), ended

    @property
    def attributes(self) -> dict[str, Any]:
        """What people see beside its parameters and values."""
        trial = self.trial
        found: Sequence[Any] = (
            trial.uid,
            trial.attempt,
            trial.architecture.sha256,
            trial.architecture.parameters,
            trial.architecture.macs,
            {name: value for name, value in trial.metrics.items() if math.isfinite(value)} or None,
            trial.rung,
            trial.cause,
            trial.error,
        )
        return {key: value for key, value in zip(_ATTRIBUTES, found, strict=True) if value is not None}


class _Param:
    """A leaf as Optuna stores it. A choice is stored as its index, which costs a search through all of them."""

    def __init__(self, path: str, distribution: BaseDistribution) -> None:
        self.json = distribution_to_json(distribution)
        self._path = path
        self._distribution = distribution
        self._known: dict[tuple[bool, object], float] = {}

    def stored(self, number: int, value: Any) -> float:
        """The column of a value of trial `number`."""
        key = (isinstance(value, bool), value)  # True is 1, and may be another choice
        found = self._known.get(key)
        if found is not None:
            return found
        try:
            stored = float(self._distribution.to_internal_repr(value))
        except (ValueError, TypeError) as exc:
            raise ConfigError(
                f"trial {number}: {self._path} = {value!r} is not in {self._distribution}", hint=_SPACE_HINT
            ) from exc
        if isinstance(self._distribution, CategoricalDistribution):
            self._known[key] = stored
        return stored


def _put_results(connection: Connection, copies: Sequence[_Copy]) -> None:
    """Write the values of trials that have some, and what people see beside them."""
    insert_rows(
        connection,
        "trial_values",
        ("trial_id", "objective", "value", "value_type"),
        [
            (copy.key, index, *figure_columns(value))
            for copy in copies
            if copy.state in {"COMPLETE", "PRUNED"}
            for index, value in enumerate(copy.values)
        ],
    )
    insert_rows(
        connection,
        "trial_user_attributes",
        ("trial_id", "key", "value_json"),
        [(copy.key, key, json.dumps(value)) for copy in copies for key, value in copy.attributes.items()],
    )


def _put_points(connection: Connection, copies: Sequence[_Copy], curves: Curves) -> None:
    """Add the points of curves that are not there; a trial that is tried again has the same ones."""
    with_curves = [copy for copy in copies if curves.get(copy.trial.uid)]
    last = last_steps(connection, [copy.key for copy in with_curves])
    insert_rows(
        connection,
        "trial_intermediate_values",
        ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
        [
            (copy.key, step, *figure_columns(value))
            for copy in with_curves
            for step, value in curves[copy.trial.uid].items()
            if copy.key not in last or step > last[copy.key]
        ],
    )


def _time(at: datetime) -> str:
    """As SQLAlchemy writes a time without a zone into SQLite, and PostgreSQL reads it; Optuna's are UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
