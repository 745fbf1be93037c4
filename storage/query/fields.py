"""What every run has without anybody logging it: the names a query may use for `nst_run` and what belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args
from typing import Literal as OneOf

from sqlalchemy import ColumnElement, Text, func, literal, or_, select, type_coerce

from ..models import Experiment, Run, Search, Trial
from ..records import RunKind, RunState
from .sql import FIGURE

FieldType = OneOf["text", "number", "time"]

RUN: Final = Run.__table__
_PARENT: Final = RUN.alias("parent")
_EXPERIMENT: Final = Experiment.__table__
_SEARCH: Final = Search.__table__
_TRIAL: Final = Trial.__table__


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its type, and its column, in a statement that has `RUN`."""

    type: FieldType
    column: ColumnElement[Any]
    optional: bool = False  # whether a run may be without one
    words: tuple[str, ...] = ()  # all it can be, where that is a fixed set


def _of_search(column: str) -> ColumnElement[Any]:
    """A column of the search that a run is, or belongs to."""
    its_own = _SEARCH.c.run_id == RUN.c.id
    found = select(func.max(_SEARCH.c[column])).where(or_(its_own, _SEARCH.c.run_id == RUN.c.parent_id))
    return found.correlate(RUN).scalar_subquery()


def _of_trial(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return select(column).where(_TRIAL.c.run_id == RUN.c.id).correlate(RUN).scalar_subquery()


_NUMBER: Final = Field("number", RUN.c.number, optional=True)
_NAME: Final = Field("text", RUN.c.name)
_SECONDS: Final = type_coerce(RUN.c.ended_us - RUN.c.started_us, FIGURE) / literal(1e6, FIGURE)
_EXPERIMENT_NAME: Final = (
    select(_EXPERIMENT.c.name).where(_EXPERIMENT.c.id == RUN.c.experiment_id).correlate(RUN).scalar_subquery()
)
_PARENT_NUMBER: Final = select(_PARENT.c.number).where(_PARENT.c.id == RUN.c.parent_id).correlate(RUN).scalar_subquery()

FIELDS: Final[Mapping[str, Field]] = {
    "id": _NUMBER,
    "number": _NUMBER,
    "uid": Field("text", RUN.c.uid),
    "kind": Field("text", type_coerce(RUN.c.kind, Text), words=get_args(RunKind)),
    # As it was written: a run whose process died without a word is shown as interrupted, and is "running" here.
    "state": Field("text", type_coerce(RUN.c.state, Text), words=get_args(RunState)),
    "name": _NAME,
    "data": _NAME,
    "experiment": Field("text", _EXPERIMENT_NAME),
    "parent": Field("number", _PARENT_NUMBER, optional=True),
    "seed": Field("number", RUN.c.seed),
    "started": Field("time", RUN.c.started_us),
    "ended": Field("time", RUN.c.ended_us, optional=True),
    "seconds": Field("number", _SECONDS, optional=True),
    "error": Field("text", RUN.c.error, optional=True),
    "space": Field("text", _of_search("space"), optional=True),
    "sampler": Field("text", _of_search("sampler"), optional=True),
    "trial": Field("number", _of_trial(_TRIAL.c.number + 1), optional=True),  # from 1, as it is shown
    "attempt": Field("number", _of_trial(_TRIAL.c.attempt), optional=True),
}
