"""Putting a query to a history."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from .compiler import Scope, compile_query, compile_steps
from .language import Query
from .meaning import find_meanings
from .names import DatabaseNames
from .parser import parse


def combine(question: str = "", *, where: str = "", sort: str = "", limit: int | None = None) -> Query:
    """One query of its parts, each of which may be missing; an order or limit of its own wins over the question's.

    Raises:
        QueryError: a part that is not in the language.
    """
    query = parse(question)
    if where.strip():
        query = query.merge(parse(where, clause="where"))
    if sort.strip():
        query = query.merge(parse(sort, clause="sort"))
    return query if limit is None else query.merge(parse(f"limit {limit}"))


def run_query(session: Session, query: Query, *, scope: Scope | None = None, now: datetime | None = None) -> list[int]:
    """The keys of the runs that `query` asks for, in order.

    Args:
        session: of a transaction, so that one state of the history answers.
        query: what was parsed.
        scope: which runs are asked at all; by default all but the deleted ones.
        now: what "7d ago" counts from, aware.

    Raises:
        QueryError: a name nobody uses, or values that cannot be compared.
    """
    found: list[int] = []
    for step in compile_steps(query, DatabaseNames(session), scope=scope, now=now):
        found.extend(session.execute(step).scalars())
        if query.limit is not None and len(found) >= query.limit:
            break
    return found[: query.limit]


def show_sql(session: Session, query: Query, *, scope: Scope | None = None, now: datetime | None = None) -> str:
    """What `run_query` asks, as one statement with its values in it: for people to read, run and change."""
    statement = compile_query(query, DatabaseNames(session), scope=scope, now=now)
    kind: Any = type(session.get_bind().dialect)
    dialect = kind(paramstyle="named")  # the driver's own doubles each %
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def names_in(session: Session, query: Query) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The metrics, parameters and tags that `query` asks for, by how it names them: what they are, "metric", "param" or
    "tag", and their own names, as in {"val_acc": ("metric", ("val_accuracy",))}.

    In the order in which they are written, without the statistics of curves; several only for a name such as "op",
    which stands for all that end in ".op".
    """
    meanings = find_meanings(query, DatabaseNames(session))
    return {
        str(mention.name): (meaning.kind, meaning.names)
        for mention, meaning in meanings.items()
        if meaning.field is None and mention.name.statistic is None
    }
