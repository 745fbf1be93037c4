"""What can be asked: a query as a frozen value, and its canonical text, which parses back to an equal value.

    val_acc > .9 and op == "sep3" order by val_acc desc limit 10

A condition asks for runs. It compares figures (metrics), parameters, tags and the fields of a run with numbers, texts
and each other; what a run does not have compares with nothing, so that `x != 1` wants an x that is there, where
`not x == 1` does not. A name that stands for several parameters of a run holds when it holds for any of them.
"""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final
from typing import Literal as OneOf

from ..errors import QueryError

MAX_LETTERS: Final = 4096
MAX_DEPTH: Final = 50  # of parentheses and `not`
MAX_CONDITIONS: Final = 200
MAX_OPERANDS: Final = 8  # of one chain, as in 0 < a < b < 1
MAX_LISTED: Final = 1000
MAX_KEYS: Final = 8  # to order by
MAX_INTEGER: Final = 2**63 - 1  # a larger number is a float64
MAX_LIMIT: Final = 1_000_000_000

Scope = OneOf["metric", "param", "tag"]
Statistic = OneOf["min", "max", "last", "steps"]  # of the points of a metric
Operator = OneOf["==", "!=", "<", "<=", ">", ">=", "~"]

SCOPES: Final[tuple[Scope, ...]] = ("metric", "param", "tag")
STATISTICS: Final[tuple[Statistic, ...]] = ("min", "max", "last", "steps")
KEYWORDS: Final = frozenset(
    {"and", "or", "not", "in", "is", "null", "true", "false", "nan", "inf", "order", "by", "asc", "desc", "limit"}
)

WORD: Final = r"[^\W\d]\w*(?:\.\w+)*"  # a name that needs no backticks: val_loss, cells.0.op
_PLAIN: Final = re.compile(WORD)
_WIDTH = 100  # of the part of a query that an error shows


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text something stands; for errors."""

    text: str
    start: int
    end: int


def query_error(message: str, place: Place | None, *, hint: str | None = None) -> QueryError:
    """The error of something in a query, with the line it stands in and a mark below it."""
    if place is None:
        return QueryError(message, hint=hint)
    first = max(0, min(place.start - _WIDTH // 2, len(place.text) - _WIDTH))
    last = min(first + _WIDTH, len(place.text))
    shown = "".join(letter if letter.isprintable() else " " for letter in place.text[first:last])
    shown = f"{'...' if first else ''}{shown}{'...' if last < len(place.text) else ''}"
    before = shown[: place.start - first + (3 if first else 0)]
    indent = " " * (2 + sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in before))
    mark = "^" * max(1, min(place.end, last) - place.start)
    return QueryError(f"{message}\n  {shown}\n{indent}{mark}", hint=hint)


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A value as it was written. Equal to one of the same text: 1, 1.0 and true differ, nan is nan."""

    value: str | int | float | bool
    place: Place | None = field(default=None, compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Literal) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return json.dumps(self.value, ensure_ascii=False) if isinstance(self.value, str) else repr(self.value)


@dataclass(frozen=True, slots=True)
class Name:
    """What is asked for: a field of the run, a metric, a parameter or a tag; which, unless `scope` says it, is known
    when the query meets a history.
    """

    name: str
    scope: Scope | None = None
    statistic: Statistic | None = None
    place: Place | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        plain = _PLAIN.fullmatch(self.name)
        if self.scope is None and plain:
            plain = self.name.lower() not in KEYWORDS and not self.name.startswith(tuple(f"{s}." for s in SCOPES))
        text = self.name if plain else "`{}`".format(self.name.replace("`", "``"))
        text = text if self.scope is None else f"{self.scope}.{text}"
        return text if self.statistic is None else f"{self.statistic}({text})"


Operand = Literal | Name


@dataclass(frozen=True, slots=True)
class Compare:
    """Operands, one of them a name, with an operator between each two: `0.9 < val_acc < 0.95`."""

    operands: tuple[Operand, ...]
    operators: tuple[Operator, ...]

    def __str__(self) -> str:
        rest = zip(self.operators, self.operands[1:], strict=True)
        return " ".join([str(self.operands[0]), *(f"{operator} {operand}" for operator, operand in rest)])


@dataclass(frozen=True, slots=True)
class Within:
    """`name in (...)`, or, `negated`, `name not in (...)`."""

    name: Name
    values: tuple[Literal, ...]
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.name} {'not in' if self.negated else 'in'} ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Missing:
    """`name is null`: the run has none; or, `negated`, `name is not null`."""

    name: Name
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.name} is {'not null' if self.negated else 'null'}"


@dataclass(frozen=True, slots=True)
class Holds:
    """A name alone: the tag is set, the parameter is true."""

    name: Name

    def __str__(self) -> str:
        return str(self.name)


@dataclass(frozen=True, slots=True)
class Not:
    """`not condition`."""

    condition: "Condition"

    def __str__(self) -> str:
        return f"not {_inside(self.condition)}"


@dataclass(frozen=True, slots=True)
class And:
    """All of the conditions, two or more."""

    conditions: tuple["Condition", ...]

    def __str__(self) -> str:
        return " and ".join(map(_inside, self.conditions))


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the conditions, two or more."""

    conditions: tuple["Condition", ...]

    def __str__(self) -> str:
        return " or ".join(map(_inside, self.conditions))


Condition = Compare | Within | Missing | Holds | Not | And | Or


def _inside(condition: Condition) -> str:
    return f"({condition})" if isinstance(condition, And | Or) else str(condition)


def join(kind: type[And] | type[Or], conditions: tuple[Condition, ...]) -> Condition:
    """One condition of several; those of the same kind are laid out flat, and one alone is itself."""
    flat: list[Condition] = []
    for condition in conditions:
        flat.extend(condition.conditions if isinstance(condition, kind) else (condition,))
    return kind(tuple(flat)) if len(flat) > 1 else flat[0]


@dataclass(frozen=True, slots=True)
class Key:
    """What to order by."""

    name: Name
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.name} desc" if self.descending else str(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which runs, in which order, how many. Without an order the newest come first."""

    where: Condition | None = None  # None: all
    order: tuple[Key, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        parts = [
            "" if self.where is None else str(self.where),
            f"order by {', '.join(map(str, self.order))}" if self.order else "",
            "" if self.limit is None else f"limit {self.limit}",
        ]
        return " ".join(filter(None, parts))

    def merge(self, other: "Query") -> "Query":
        """The runs that both ask for; order and limit are the other's where it has them."""
        conditions = tuple(where for where in (self.where, other.where) if where is not None)
        return Query(
            where=join(And, conditions) if conditions else None,
            order=other.order or self.order,
            limit=self.limit if other.limit is None else other.limit,
        )
