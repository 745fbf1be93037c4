"""What the names of a history are used for, which decides what a name in a query means."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from ..models import Metric, Name, Param, Tag

ALIASES: Final[Mapping[str, str]] = {  # used where nothing has the exact name
    "acc": "val_accuracy",
    "val_acc": "val_accuracy",
    "test_acc": "test_accuracy",
    "train_acc": "train_accuracy",
    "loss": "val_loss",
    "params": "parameters",
}
_SHOWN: Final = 10_000  # of all names, to find those that are near to a misspelt one


@dataclass(frozen=True, slots=True)
class NameUse:
    """The key of a name in `nst_name`, and what rows use it."""

    id: int
    metric: bool
    param: bool
    tag: bool


class NameLookup(Protocol):
    """What the compiler asks a history about names."""

    def uses(self, names: Iterable[str]) -> Mapping[str, NameUse]:
        """The uses of those of `names` that the history has."""
        ...

    def endings(self, name: str) -> Mapping[int, str]:
        """The names of parameters that end in ".`name`", by key."""
        ...

    def known(self) -> Sequence[str]:
        """All names, or the first of very many."""
        ...


# Tables, not classes: a statement on classes takes a tenth of a millisecond longer.
_NAME: Final = Name.__table__
_METRIC: Final = Metric.__table__
_PARAM: Final = Param.__table__
_TAG: Final = Tag.__table__
_OF_PARAM: Final = exists().where(_PARAM.c.name_id == _NAME.c.id)
_USES: Final = select(
    _NAME.c.name,
    _NAME.c.id,
    exists().where(_METRIC.c.name_id == _NAME.c.id),
    _OF_PARAM,
    exists().where(_TAG.c.name_id == _NAME.c.id),
).where(_NAME.c.name.in_(bindparam("names", expanding=True)))
_ENDINGS: Final = (
    select(_NAME.c.id, _NAME.c.name)
    .where(_NAME.c.name.like(bindparam("pattern"), escape="/"), _OF_PARAM)
    .order_by(_NAME.c.id)
)
_KNOWN: Final = select(_NAME.c.name).order_by(_NAME.c.id).limit(_SHOWN)


class DatabaseNames:
    """The names in the database of `session`, which are asked for anew for each query: one statement takes less time
    than it takes to know that an older answer is still true.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def uses(self, names: Iterable[str]) -> Mapping[str, NameUse]:
        """See `NameLookup`."""
        rows = self._session.execute(_USES, {"names": list(names)})
        return {name: NameUse(*use) for name, *use in rows}

    def endings(self, name: str) -> Mapping[int, str]:
        """See `NameLookup`."""
        ending = f".{name}"
        pattern = "%" + re.sub("[%_/]", r"/\g<0>", ending)
        rows = self._session.execute(_ENDINGS, {"pattern": pattern})
        return {id: name for id, name in rows if name.endswith(ending)}  # SQLite's LIKE knows no capitals

    def known(self) -> Sequence[str]:
        """See `NameLookup`."""
        return self._session.execute(_KNOWN).scalars().all()
