"""From a `Query` to SQL. Whatever a user wrote is a bound parameter.

A condition on metrics, parameters or tags is an EXISTS by their primary key. Where the first key to order by is a
metric and there is a limit, the runs that have it are read from its index, in order, until there are enough, and only
then those without: with a LEFT JOIN, SQLite would read every run and sort (10,000 runs: 5.8 ms, not 0.13). The
conditions there ask by the metric's own `run_id`, so that SQLite looks up the run itself last (else 0.53 ms).
"""

import difflib
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)

from ..errors import QueryError
from ..models import Metric, Param, Tag
from ..records import RunKind
from .fields import FIELDS, RUN
from .language import (
    MAX_OPERANDS,
    And,
    Compare,
    Condition,
    Holds,
    Key,
    Literal,
    Missing,
    Name,
    Not,
    Operator,
    Or,
    Query,
    Within,
    query_error,
)
from .meaning import Meaning, Mention, find_meanings
from .names import NameLookup
from .sql import FIGURE, bytewise, contains
from .times import EXAMPLES, read_time

_METRICS: Final = [Metric.__table__.alias(f"metric_{i}") for i in range(MAX_OPERANDS)]
_PARAMS: Final = [Param.__table__.alias(f"param_{i}") for i in range(MAX_OPERANDS)]
_TAGS: Final = [Tag.__table__.alias(f"tag_{i}") for i in range(MAX_OPERANDS)]
_RANKED: Final = Metric.__table__.alias("ranked")
_ONE: Final = literal_column("1", Integer())
_NEVER: Final = literal_column("0", Integer()) == _ONE  # `false()` would swallow the conditions beside it
_COLUMNS: Final = {None: "value", "min": "min", "max": "max", "last": "last", "steps": "points"}
_RELATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED: Final[dict[Operator, Operator]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which runs are asked at all."""

    kinds: Sequence[RunKind] | None = None  # None: of every kind
    top_level: bool = False  # only those with a number
    experiment: str | None = None
    deleted: bool = False  # the deleted ones instead of the others


def compile_query(
    query: Query, names: NameLookup, *, scope: Scope | None = None, now: datetime | None = None
) -> Select[int]:
    """One statement that selects the keys of the runs, in order.

    Args:
        query: what was parsed.
        names: of the history that will be asked.
        scope: which of its runs; by default all but the deleted ones.
        now: what "7d ago" counts from, aware.

    Raises:
        QueryError: a name nobody uses, or values that cannot be compared.
    """
    return _Compiler(query, names, scope, now).whole()


def compile_steps(
    query: Query, names: NameLookup, *, scope: Scope | None = None, now: datetime | None = None
) -> Iterator[Select[int]]:
    """Statements whose rows, one after another, are those of `compile_query`, and come sooner. The next one is needed
    only where those before found less than the limit, which each has whole.
    """
    yield from _Compiler(query, names, scope, now).steps()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """A name in SQL: the rows its value is in, and the value as each of the types it can be."""

    name: Name
    table: FromClause | None = None  # None: of the run itself
    conditions: tuple[ColumnElement[bool], ...] = ()  # which rows of it; or that the field is there
    number: ColumnElement[Any] | None = None
    integer: bool = False
    nan: bool = False  # whether NULL in `number` is NaN
    text: ColumnElement[str] | None = None
    is_text: ColumnElement[bool] | None = None  # None: always, if `text` is not None
    time: ColumnElement[int] | None = None
    words: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        if self.time is not None:
            return "a time"
        return "a text" if self.number is None else "a number"


class _Compiler:
    def __init__(self, query: Query, names: NameLookup, scope: Scope | None, now: datetime | None) -> None:
        self._query = query
        self._meanings = find_meanings(query, names)
        self._scope = Scope() if scope is None else scope
        self._now = datetime.now(UTC) if now is None else now

    def whole(self) -> Select[int]:
        order, run = self._query.order, RUN.c.id
        ranked = self._ranked()
        statement = select(run)
        if ranked is not None:
            name_id, column = ranked
            statement = statement.select_from(
                RUN.outerjoin(_RANKED, and_(_RANKED.c.name_id == name_id, _RANKED.c.run_id == run))
            )
            first = _directed(column, order[0], optional=True)
            statement = statement.order_by(first, *self._orders(order[1:], run))
        else:
            statement = statement.order_by(*self._orders(order, run))
        return self._finished(statement, run)

    def steps(self) -> Iterator[Select[int]]:
        ranked = self._ranked()
        if ranked is None or self._query.limit is None:
            yield self.whole()
            return
        name_id, column = ranked
        run, order = _RANKED.c.run_id, self._query.order
        having = select(run).select_from(_RANKED.join(RUN, RUN.c.id == run))
        having = having.where(_RANKED.c.name_id == name_id, column.is_not(None))
        yield self._finished(having.order_by(_directed(column, order[0]), *self._orders(order[1:], run)), run)
        run = RUN.c.id
        row = select(_ONE).where(_RANKED.c.run_id == run, _RANKED.c.name_id == name_id, column.is_not(None))
        lacking = select(run).where(not_(row.correlate(RUN).exists()))
        yield self._finished(lacking.order_by(*self._orders(order[1:], run)), run)

    def _ranked(self) -> tuple[int, ColumnElement[Any]] | None:
        """The name and the column of the metric that is first to order by."""
        if not self._query.order:
            return None
        name = self._query.order[0].name
        meaning = self._meanings[Mention(name)]
        return (meaning.ids[0], _RANKED.c[_COLUMNS[name.statistic]]) if meaning.kind == "metric" else None

    def _finished(self, statement: Select[int], run: ColumnElement[int]) -> Select[int]:
        scope = self._scope
        deleted = RUN.c.deleted_us
        statement = statement.where(deleted.is_not(None) if scope.deleted else deleted.is_(None))
        if scope.kinds is not None:
            statement = statement.where(RUN.c.kind.in_(scope.kinds))
        if scope.top_level:
            statement = statement.where(RUN.c.number.is_not(None))
        if scope.experiment is not None:
            statement = statement.where(FIELDS["experiment"].column == scope.experiment)
        if self._query.where is not None:
            statement = statement.where(self._condition(self._query.where, run))
        return statement if self._query.limit is None else statement.limit(self._query.limit)

    def _condition(
        self, condition: Condition, run: ColumnElement[int], *, negated: bool = False
    ) -> ColumnElement[bool]:
        """A condition, or its opposite: NOT goes inwards, so that only AND and OR nest."""
        match condition:
            case Not(inner):
                return self._condition(inner, run, negated=not negated)
            case And(conditions) | Or(conditions):
                # The deepest first: the parser of older SQLite has a stack of 100, which 50 parentheses fill where
                # something stands before each.
                parts = [
                    self._condition(inner, run, negated=negated)
                    for inner in sorted(conditions, key=_depth, reverse=True)
                ]
                return and_(*parts) if isinstance(condition, And) is not negated else or_(*parts)
            case _:
                holds = self._leaf(condition, run)
                return not_(holds) if negated else holds

    def _leaf(self, condition: Compare | Within | Missing | Holds, run: ColumnElement[int]) -> ColumnElement[bool]:
        match condition:
            case Compare():
                return self._compare(condition, run)
            case Within(name, literals, negated):
                value = self._value(name, run)
                equal = self._equal(value, literals)
                return _exists([value], [_not(equal) if negated else equal])
            case Missing(name, negated):
                value = self._value(name, run)
                always = value.table is None and not value.conditions
                there = RUN.c.id.is_not(None) if always else _exists([value], [])
                return there if negated else not_(there)
            case Holds(name):
                value = self._value(name, run, alone=True)
                return _exists([value], [] if value.is_text is None else [_is_bool(value, True)])

    def _compare(self, condition: Compare, run: ColumnElement[int]) -> ColumnElement[bool]:
        beside = sum(isinstance(operand, Name) for operand in condition.operands) > 1
        sides: list[_Value | Literal] = []
        for i, operand in enumerate(condition.operands):
            if isinstance(operand, Name):
                operand = self._value(operand, run, beside=beside, index=i)
                run = run if operand.table is None else operand.table.c.run_id  # joins the next one to this one
            sides.append(operand)
        relations = [
            self._relation(left, operator, right)
            for (left, right), operator in zip(pairwise(sides), condition.operators, strict=True)
        ]
        return _exists([side for side in sides if isinstance(side, _Value)], relations)

    def _relation(self, left: "_Value | Literal", operator: Operator, right: "_Value | Literal") -> ColumnElement[bool]:
        if isinstance(left, Literal):
            left, operator, right = right, _MIRRORED.get(operator, operator), left
        assert isinstance(left, _Value)  # the parser lets no two values stand beside each other
        if isinstance(right, _Value):
            return _between(left, operator, right)
        if operator == "!=":
            return _not(self._equal(left, (right,)))
        if operator == "==":
            return self._equal(left, (right,))
        return self._ordered(left, operator, right)

    def _ordered(self, value: _Value, operator: Operator, wanted: Literal) -> ColumnElement[bool]:
        """`value` before, after or containing `wanted`."""
        relation = _RELATIONS.get(operator)
        match wanted.value:
            case str() as text if value.text is not None:
                column = value.text
                holds = contains(column, text) if relation is None else relation(bytewise(column), text)
                return holds if value.is_text is None else and_(value.is_text, holds)
            case str() if value.time is not None and relation is not None:
                first, end = self._span(wanted)
                return relation(value.time, first if operator in {"<", ">="} else end - 1)
            case bool() | str():
                raise _mismatch(value, wanted)
            case number:
                if value.number is None or relation is None:
                    raise _mismatch(value, wanted)
                return _NEVER if math.isnan(number) else relation(value.number, _bound(value, number))

    def _equal(self, value: _Value, literals: Sequence[Literal]) -> ColumnElement[bool]:
        """Whether `value` is any of `literals`."""
        numbers: list[int | float] = []
        texts: list[str] = []
        equal: list[ColumnElement[bool]] = []
        for wanted in literals:
            match wanted.value:
                case bool() as flag if value.is_text is not None:
                    equal.append(_is_bool(value, flag))
                case str() as text if value.text is not None:
                    if value.words and text not in value.words:
                        raise _strange_word(value, wanted)
                    texts.append(text)
                case str() if value.time is not None:
                    first, end = self._span(wanted)
                    equal.append(value.time.between(first, end - 1))
                case bool() | str():
                    raise _mismatch(value, wanted)
                case number if value.number is None:
                    raise _mismatch(value, wanted)
                case number if math.isnan(number):
                    equal.append(value.number.is_(None) if value.nan else _NEVER)
                case number:
                    numbers.append(number)
        if numbers and value.number is not None:
            equal.append(_among(value.number, [_bound(value, number) for number in numbers]))
        if texts and value.text is not None:
            among = value.text == texts[0] if len(texts) == 1 else value.text.in_(texts)
            equal.append(among if value.is_text is None else and_(among, value.is_text))
        return or_(*equal) if len(equal) > 1 else equal[0]

    def _span(self, wanted: Literal) -> tuple[int, int]:
        span = read_time(str(wanted.value), now=self._now)
        if span is None:
            raise query_error(f"{wanted} is no time", wanted.place, hint=EXAMPLES)
        return span

    def _orders(self, keys: Sequence[Key], run: ColumnElement[int]) -> Iterator[ColumnElement[Any]]:
        for key in keys:
            meaning = self._meanings[Mention(key.name)]
            if meaning.field is not None:
                field = meaning.field
                yield _directed(bytewise(field.column) if field.type == "text" else field.column, key, field.optional)
                continue
            value = self._value(key.name, run)
            columns = [value.number] if value.number is not None else []
            if value.text is not None:  # numbers come before texts, in either direction
                text = bytewise(value.text)
                columns.append(text if value.is_text is None else case((value.is_text, text)))
            for column in columns:
                if len(meaning.ids) > 1:
                    column = (func.max if key.descending else func.min)(column)
                found = select(column).where(*value.conditions).correlate(RUN, _RANKED).scalar_subquery()
                yield _directed(found, key, optional=True)
        yield run.desc()

    def _value(
        self, name: Name, run: ColumnElement[int], *, alone: bool = False, beside: bool = False, index: int = 0
    ) -> _Value:
        meaning = self._meanings[Mention(name, alone, beside)]
        match meaning.kind:
            case "metric":
                table = _METRICS[index]
                conditions = _rows(table, meaning, run)
                if name.statistic not in {None, "steps"}:
                    conditions = (*conditions, table.c.points > 0)
                steps = name.statistic == "steps"
                column = table.c[_COLUMNS[name.statistic]]
                return _Value(
                    name=name, table=table, conditions=conditions, number=column, integer=steps, nan=not steps
                )
            case "param":
                table = _PARAMS[index]
                return _Value(
                    name=name,
                    table=table,
                    conditions=_rows(table, meaning, run),
                    number=table.c.number,
                    text=table.c.text,
                    is_text=table.c.is_text,
                )
            case "tag":
                table = _TAGS[index]
                return _Value(name=name, table=table, conditions=_rows(table, meaning, run), text=table.c.value)
            case "field":
                return _field(name, meaning)


def _field(name: Name, meaning: Meaning) -> _Value:
    field = meaning.field
    assert field is not None
    return _Value(
        name=name,
        conditions=(field.column.is_not(None),) if field.optional else (),
        number=field.column if field.type == "number" else None,
        integer=name.name != "seconds",
        text=field.column if field.type == "text" else None,
        time=field.column if field.type == "time" else None,
        words=field.words,
    )


def _rows(table: FromClause, meaning: Meaning, run: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    ids, key = meaning.ids, table.c.name_id
    return (table.c.run_id == run, key == ids[0] if len(ids) == 1 else key.in_(ids))


def _exists(values: Sequence[_Value], relations: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Whether there are rows for the values that are so related."""
    conditions = [condition for value in values for condition in value.conditions]
    tables = [value.table for value in values if value.table is not None]
    if not tables:
        return and_(*conditions, *relations)
    return select(_ONE).select_from(*tables).where(*conditions, *relations).correlate(RUN, _RANKED).exists()


def _between(left: _Value, operator: Operator, right: _Value) -> ColumnElement[bool]:
    relation = _RELATIONS["==" if operator == "!=" else operator]
    found: list[ColumnElement[bool]] = []
    if left.number is not None and right.number is not None:
        found.append(relation(left.number, right.number))
    if left.text is not None and right.text is not None:
        texts = [side.is_text for side in (left, right) if side.is_text is not None]
        found.append(and_(*texts, relation(bytewise(left.text), bytewise(right.text))))
    if left.time is not None and right.time is not None:
        found.append(relation(left.time, right.time))
    if not found:
        raise query_error(
            f"cannot compare {left.name} with {right.name}: {left.noun} with {right.noun}", right.name.place
        )
    return _not(or_(*found)) if operator == "!=" else or_(*found)


def _not(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The opposite, where what is not known is not so."""
    return not_(func.coalesce(condition, false()))


def _is_bool(value: _Value, flag: bool) -> ColumnElement[bool]:
    assert value.text is not None
    assert value.is_text is not None
    return and_(value.text == ("true" if flag else "false"), not_(value.is_text))


def _bound(value: _Value, number: int | float) -> ColumnElement[Any]:
    whole = value.integer and isinstance(number, int)
    return literal(number, BigInteger) if whole else literal(float(number), FIGURE)


def _directed(column: ColumnElement[Any], key: Key, optional: bool = False) -> ColumnElement[Any]:
    directed = column.desc() if key.descending else column.asc()
    return directed.nulls_last() if optional else directed


def _among(column: ColumnElement[Any], values: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def _depth(condition: Condition) -> int:
    match condition:
        case Not(inner):
            return 1 + _depth(inner)
        case And(conditions) | Or(conditions):
            return 1 + max(map(_depth, conditions))
        case _:
            return 0


def _mismatch(value: _Value, literal: Literal) -> QueryError:
    match literal.value:
        case bool():
            got, hint = "true or false", f"the tag is asked for by its name alone: {value.name}"
            hint = hint if value.number is None and value.time is None and value.table is not None else None
        case str():
            got, hint = f"the text {literal}", None if value.number is None else "a number is not quoted"
        case _:
            got, hint = f"the number {literal}", EXAMPLES if value.time is not None else "a text is quoted"
    return query_error(f"{value.name} is {value.noun}, compared with {got}", literal.place, hint=hint)


def _strange_word(value: _Value, literal: Literal) -> QueryError:
    near = difflib.get_close_matches(str(literal.value).lower(), value.words, n=1)
    hint = f'did you mean "{near[0]}"?' if near else None
    return query_error(f"{value.name} is one of {', '.join(value.words)}; got {literal}", literal.place, hint=hint)
