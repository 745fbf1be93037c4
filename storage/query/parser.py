"""From text to a `Query`: tokens, then recursive descent. Whatever the text, what is raised is a `QueryError`."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from typing import Literal as OneOf

from ..errors import QueryError
from .language import (
    KEYWORDS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_KEYS,
    MAX_LETTERS,
    MAX_LIMIT,
    MAX_LISTED,
    MAX_OPERANDS,
    SCOPES,
    STATISTICS,
    WORD,
    And,
    Compare,
    Condition,
    Holds,
    Key,
    Literal,
    Missing,
    Name,
    Not,
    Operand,
    Operator,
    Or,
    Place,
    Query,
    Scope,
    Statistic,
    Within,
    join,
    query_error,
)

Clause = OneOf["query", "where", "sort"]
_Kind = OneOf["number", "text", "quoted", "name", "keyword", "symbol", "end"]

_DIGITS = "[0-9](?:_?[0-9])*"
_TOKEN: Final = re.compile(
    rf"""(?P<number> (?: {_DIGITS} (?: \. (?: {_DIGITS} )? )? | \. {_DIGITS} ) (?: [eE] [+-]? {_DIGITS} )? )
    | (?P<text> "(?: [^"\\] | \\. )*" | '(?: [^'\\] | \\. )*' )
    | (?P<quoted> (?: (?: {"|".join(SCOPES)} ) \. )? `(?: [^`] | `` )*` )
    | (?P<name> {WORD} )
    | (?P<symbol> == | != | <= | >= | [=<>~(),-] )""",
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_GLUED: Final = re.compile(r"[\w.]+")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")  # no database has it, so nothing can equal it
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"} | {c: c for c in "\"'\\/"}
_OPERATORS: Final = {"==": "==", "=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "~"}
_STRANGE: Final = {  # what other languages write
    "&": "conditions are joined by `and`",
    "|": "conditions are joined by `or`",
    "!": "a condition is turned round by `not`",
    '"': "the text that begins here has no end",
    "'": "the text that begins here has no end",
    "`": "the name that begins here has no end",
    "*": "there is no arithmetic",
    "+": "there is no arithmetic; a number above zero needs no sign",
    "/": "a name with odd letters stands in backticks: `val/acc`",
    ";": "one query, without an end mark",
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    text: str  # a keyword in lower case
    start: int
    end: int


def parse(text: str, *, clause: Clause = "query") -> Query:
    """Read a query, or a part of one.

    Args:
        text: at most `MAX_LETTERS` letters.
        clause: "where" takes a condition only; "sort" takes what stands after `order by`, as `-val_acc, started`
            or `val_acc desc`. In an empty query all runs are asked for.

    Raises:
        QueryError: what it says is not in the language; the message shows where.
    """
    return _Parser(text).read(clause)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _split(text)
        self._next = 0
        self._depth = 0
        self._conditions = 0

    def read(self, clause: Clause) -> Query:
        where: Condition | None = None
        order: tuple[Key, ...] = ()
        limit: int | None = None
        if clause == "sort":
            order = self._keys()
            self._expect_end("`,` or the end")
        elif clause == "where":
            where = self._any()
            self._expect_end("`and`, `or` or the end")
        else:
            if not (self._peeks("order", "limit") or self._token.kind == "end"):
                where = self._any()
            if self._takes("order"):
                self._expect("by")
                order = self._keys()
            if self._takes("limit"):
                limit = self._limit()
            else:
                self._expect_end("`and`, `or`, `order by`, `limit` or the end")
        return Query(where=where, order=order, limit=limit)

    def _any(self) -> Condition:
        return self._joined(Or, "or", lambda: self._joined(And, "and", self._negation))

    def _joined(self, kind: type[And] | type[Or], word: str, part: Callable[[], Condition]) -> Condition:
        conditions = [part()]
        while self._takes(word):
            conditions.append(part())
        return join(kind, tuple(conditions))

    def _negation(self) -> Condition:
        opening = self._token
        if opening.text not in {"not", "("} or opening.kind not in {"keyword", "symbol"}:
            return self._comparison()
        self._next += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"the query is nested more than {MAX_DEPTH} deep", opening)
        if opening.text == "not":
            condition: Condition = Not(self._negation())
        else:
            condition = self._any()
            self._expect(")")
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        first = self._token
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise self._error(f"the query has more than {MAX_CONDITIONS} conditions", first)
        operands = [self._operand()]
        if self._peeks("in", "not", "is"):
            if not isinstance(name := operands[0], Name):
                raise self._error("expected a name before this", self._token)
            return self._missing(name) if self._takes("is") else self._within(name)
        operators: list[Operator] = []
        while (operator := self._operator()) is not None:
            operators.append(operator)
            operands.append(self._operand())
            if len(operands) > MAX_OPERANDS:
                raise self._error(f"more than {MAX_OPERANDS} values are compared in one chain", first)
        return self._checked(first, operands, operators)

    def _checked(self, first: _Token, operands: list[Operand | None], operators: list[Operator]) -> Condition:
        """What the operands and operators between them are, None being null."""
        names = [operand for operand in operands if isinstance(operand, Name)]
        if not names:
            if operators:
                raise self._error("expected a name on one side", first, hint="a name is not quoted: val_acc > 0.9")
            raise self._error("expected a condition", first, hint="as in: val_acc > 0.9")
        if not operators:
            if names[0].statistic is not None:
                raise self._error("expected a comparison of this figure", first, hint=f"as in: {names[0]} > 0.9")
            return Holds(names[0])
        if None in operands:
            if len(operands) != 2 or operators[0] not in {"==", "!="}:
                raise self._error("null is compared here", first, hint=f"ask for it by: {names[0]} is null")
            return Missing(names[0], operators[0] == "!=")
        whole = cast("list[Operand]", operands)
        for left, operator, right in zip(whole, operators, whole[1:], strict=False):
            literals = [side for side in (left, right) if isinstance(side, Literal)]
            if operator == "~" and not (len(operators) == 1 and literals == [right] and isinstance(right, Literal)):
                raise self._error("~ asks whether a text has another one in it", first, hint='as in: op ~ "sep"')
            for literal in literals:
                if operator == "~" and not isinstance(literal.value, str):
                    raise query_error("expected a text after ~", literal.place, hint='as in: op ~ "sep"')
                if operator not in {"==", "!=", "~"} and isinstance(literal.value, bool):
                    raise query_error(f"nothing is {operator} {literal}", literal.place, hint="use == or !=")
        return Compare(tuple(whole), tuple(operators))

    def _within(self, name: Name) -> Condition:
        negated = self._takes("not")
        self._expect("in")
        self._expect("(")
        values: list[Literal] = []
        while not values or self._takes(","):
            token = self._token
            value = self._operand()
            if not isinstance(value, Literal):
                raise self._error("expected a text or a number in the list", token, hint=_quote_hint(token))
            values.append(value)
            if len(values) > MAX_LISTED:
                raise self._error(f"the list has more than {MAX_LISTED} values", token)
        self._expect(")", among="`,` or `)`")
        return Within(name, tuple(values), negated)

    def _missing(self, name: Name) -> Condition:
        negated = self._takes("not")
        token = self._token
        if not self._takes("null"):
            hint = f"as in: {name} == {token.text}" if token.kind in {"number", "text", "keyword"} else None
            raise self._error("expected null", token, hint=hint)
        return Missing(name, negated)

    def _operator(self) -> Operator | None:
        token = self._token
        if token.kind != "symbol" or token.text not in _OPERATORS:
            return None
        self._next += 1
        return cast("Operator", _OPERATORS[token.text])

    def _operand(self) -> Operand | None:
        """A value or a name; None is null."""
        token = self._token
        self._next += 1
        place = self._place(token)
        match token.kind, token.text:
            case "text", text:
                return Literal(self._unescaped(text, token.start), place)
            case "name" | "quoted", _:
                return self._name(token)
            case "keyword", "null":
                return None
            case "keyword", "true" | "false":
                return Literal(token.text == "true", place)
            case ("number", _) | ("keyword", "nan" | "inf"):
                return Literal(_number(token), place)
            case "symbol", "-" if self._token.kind == "number" or self._peeks("inf"):
                number = self._token
                self._next += 1
                return Literal(-_number(number), Place(self._text, token.start, number.end))
            case _:
                self._next -= 1
                raise self._error("expected a name, a text or a number", token, hint=_quote_hint(token))

    def _name(self, token: _Token) -> Name:
        function = self._token
        if token.kind == "name" and function.kind == "symbol" and function.text == "(":
            if token.text.lower() not in STATISTICS:
                raise self._error(f"{token.text} is no function", token, hint=f"there are {', '.join(STATISTICS)}")
            self._next += 1
            inner = self._token
            if inner.kind not in {"name", "quoted"}:
                raise self._error("expected the name of a metric", inner, hint=f"as in: {token.text.lower()}(val_loss)")
            self._next += 1
            scope, name = self._scoped(inner)
            if scope not in {None, "metric"}:
                raise self._error(f"{token.text.lower()} is of the points of a metric, not of a {scope}", inner)
            self._expect(")")
            return Name(name, scope, cast("Statistic", token.text.lower()), self._place(inner))
        scope, name = self._scoped(token)
        return Name(name, scope, None, self._place(token))

    def _scoped(self, token: _Token) -> tuple[Scope | None, str]:
        text, scope = token.text, None
        for candidate in SCOPES:
            if text.startswith(f"{candidate}."):
                scope, text = candidate, text[len(candidate) + 1 :]
        if text.startswith("`"):
            text = text[1:-1].replace("``", "`")
        if not text:
            raise self._error("expected a name between the backticks", token)
        return scope, text

    def _keys(self) -> tuple[Key, ...]:
        keys: list[Key] = []
        while not keys or self._takes(","):
            minus = self._takes("-")
            token = self._token
            if token.kind not in {"name", "quoted"}:
                raise self._error("expected a name to order by", token, hint=_quote_hint(token))
            self._next += 1
            name = self._name(token)
            if minus and self._peeks("asc", "desc"):
                raise self._error("the order is said twice", self._token, hint=f"either -{name} or {name} desc")
            descending = self._takes("desc")
            if not descending:
                self._takes("asc")
            keys.append(Key(name, minus or descending))
            if len(keys) > MAX_KEYS:
                raise self._error(f"more than {MAX_KEYS} names to order by", token)
        return tuple(keys)

    def _limit(self) -> int:
        token = self._token
        value = _number(token) if token.kind == "number" else None
        if not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
            raise self._error(f"expected a whole number from 1 to {MAX_LIMIT:,} after limit", token)
        self._next += 1
        self._expect_end("the end of the query after its limit")
        return value

    def _unescaped(self, quoted: str, start: int) -> str:
        def letter(match: re.Match[str]) -> str:
            code = match[1]
            value = chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code)
            if value is None or _UNSTORABLE.match(value):
                at = start + 1 + match.start()
                place = Place(self._text, at, at + len(match[0]))
                raise query_error(
                    "this escape stands for no letter", place, hint=r"a backslash is written \\; there are \n \t \u00e9"
                )
            return value

        return _ESCAPE.sub(letter, quoted[1:-1])

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _place(self, token: _Token) -> Place:
        return Place(self._text, token.start, token.end)

    def _peeks(self, *words: str) -> bool:
        return self._token.kind in {"keyword", "symbol"} and self._token.text in words

    def _takes(self, word: str) -> bool:
        found = self._peeks(word)
        self._next += found
        return found

    def _expect(self, word: str, *, among: str | None = None) -> None:
        if not self._takes(word):
            raise self._error(f"expected {among or f'`{word}`'}", self._token)

    def _expect_end(self, among: str) -> None:
        if self._token.kind != "end":
            raise self._error(f"expected {among}", self._token)

    def _error(self, message: str, token: _Token, *, hint: str | None = None) -> QueryError:
        return query_error(message, self._place(token), hint=hint)


def _split(text: str) -> list[_Token]:
    """The tokens of `text`, and one of kind "end"."""
    if len(text) > MAX_LETTERS:
        raise query_error(f"the query has {len(text):,} letters; expected at most {MAX_LETTERS:,}", None)
    if strange := _UNSTORABLE.search(text):
        raise query_error("this letter is in no text", Place(text, strange.start(), strange.end()))
    tokens: list[_Token] = []
    at = _space(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise query_error("cannot read this", Place(text, at, at + 1), hint=_STRANGE.get(text[at]))
        kind = cast("_Kind", match.lastgroup)
        word = match[0]
        if kind == "number" and (glued := _GLUED.match(text, match.end())):
            place = Place(text, at, glued.end())
            raise query_error("this is no number", place, hint="20k is written 20000 or 20_000")
        if kind == "name" and word.lower() in KEYWORDS:
            kind, word = "keyword", word.lower()
        tokens.append(_Token(kind, word, at, match.end()))
        at = _space(text, match.end())
    tokens.append(_Token("end", "", len(text), len(text)))
    return tokens


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _number(token: _Token) -> int | float:
    if token.kind == "keyword":
        return math.nan if token.text == "nan" else math.inf
    if token.text.replace("_", "").isdecimal() and (whole := int(token.text)) <= MAX_INTEGER:
        return whole
    return float(token.text)


def _quote_hint(token: _Token) -> str | None:
    match token.kind:
        case "keyword":
            return f'{token.text} is a word of the language: as a name it is `{token.text}`, as a text "{token.text}"'
        case "name":
            return f'a text is quoted: "{token.text}"'
        case _:
            return None
