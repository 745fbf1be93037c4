"""Names of metrics, parameters and tags as numbers. Names are only ever added, so what was read once stays true."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from ..core import ConfigError
from .database import Database, serialise
from .models import Name
from .upsert import insert

MAX_NAME_LETTERS = 250


class NameBook:
    """The numbers of names in one database.

    Args:
        database: stays the caller's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[str, int] = {}  # of committed rows only

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """The numbers of `names`; those that are new get one, in a transaction of its own."""
        wanted = set(names)
        missing = sorted(wanted - self._ids.keys())
        if missing:
            with self._database.write() as session:
                serialise(session)  # two writers that add the same names in another order would wait for each other
                session.execute(
                    insert(session, Name).on_conflict_do_nothing(index_elements=["name"]),
                    [{"name": name} for name in missing],
                )
                found = find_names(session, missing)
            self._ids |= found
        return {name: self._ids[name] for name in wanted}


def find_names(session: Session, names: Iterable[str]) -> dict[str, int]:
    """The numbers of those of `names` that have one."""
    wanted = select(Name.name, Name.id).where(Name.name.in_(bindparam("names", expanding=True)))
    return {row.name: row.id for row in session.execute(wanted, {"names": list(names)})}


def check_name(name: object) -> None:
    """Raise a ConfigError unless `name` can name a metric, a parameter or a tag."""
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LETTERS or not name.isprintable():
        raise ConfigError(
            f"expected a name of 1 to {MAX_NAME_LETTERS} printable letters, got {name!r:.100}",
            hint='as in "val_accuracy" or "loss/train"',
        )
