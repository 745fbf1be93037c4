"""Protocol buffers in their text format, as Caffe's `.prototxt` files are written: text to nested messages.

Nothing here knows Caffe: names of fields and types of values are checked by `Fields`. Numbers, strings, names, nested
messages in braces or angle brackets, lists in square brackets and comments are read; extensions and `Any` are not.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..errors import FormatError

MAX_CHARACTERS = 4 * 2**20  # a ResNet of 152 layers has 160 thousand
MAX_DEPTH = 32  # of messages inside of messages
MAX_FIELDS = 200_000
_MAX_NUMBER = 64  # characters

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\#[^\n]*)
    |(?P<line>\n)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)(?![A-Za-z0-9_.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>[][{}<>:,;-])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", **{c: c for c in "\\'\"?"}}
_CLOSING = {"{": "}", "<": ">"}


class Place(NamedTuple):
    """Where something stands in the text, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that is no message: a number, a text in quotes, or a name (true, false, a member of an enumeration)."""

    kind: Literal["number", "string", "name"]
    value: int | float | str
    place: Place

    def __str__(self) -> str:
        return repr(self.value) if self.kind == "string" else str(self.value)


@dataclass(frozen=True, slots=True)
class Message:
    """Fields in the order of the text; a name may stand more than once."""

    place: Place
    fields: list[tuple[str, Scalar | Message]] = field(default_factory=list["tuple[str, Scalar | Message]"])

    def __str__(self) -> str:
        return "{...}"


def parse_text_format(text: str) -> Message:
    """The fields of a text.

    Raises:
        FormatError: not text format, or larger than what a network needs; says the line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise FormatError(f"expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    return _Parser(text).message(Place(1, 1), end="", depth=0)


class _Token(NamedTuple):
    kind: str  # "string", "number", "name", "sign" or "end"
    text: str
    place: Place

    def __str__(self) -> str:
        return "the end of the text" if self.kind == "end" else repr(self.text[:40])


def _tokens(text: str) -> Iterator[_Token]:
    position, line, start = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        place = Place(line, position - start + 1)
        if match is None:
            raise error_at(place, f"unexpected {_sample(text, position)}")
        kind = match.lastgroup or ""
        position = match.end()
        if kind == "line":
            line, start = line + 1, position
        elif kind != "space":
            yield _Token(kind, match.group(), place)
    yield _Token("end", "", Place(line, position - start + 1))


def _sample(text: str, position: int) -> str:
    """What stands where no token begins, for the message."""
    if text[position] in "'\"":
        return "text in quotes that do not close on the same line"
    run = re.compile(r"[0-9.][A-Za-z0-9_.+-]{0,20}").match(text, position)
    return repr(run.group() if run else text[position])


class _Parser:
    """Recursive descent with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._count = 0

    def message(self, place: Place, end: str, depth: int) -> Message:
        """Fields up to the token `end`, which is taken too; "" is the end of the text."""
        if depth > MAX_DEPTH:
            raise error_at(place, f"messages are nested deeper than {MAX_DEPTH} levels")
        result = Message(place)
        while self._next.text != end or self._next.kind == "string":
            token = self._take()
            if token.kind == "sign" and token.text == "[":
                raise error_at(token.place, "extensions are not read: expected the name of a field, got '['")
            if token.kind == "end":
                raise error_at(place, f"the message that begins here does not end: expected {end!r}")
            if token.kind != "name":
                raise error_at(token.place, f"expected the name of a field, got {token}")
            colon = self._accept(":")
            for value in self._values(token, colon, depth):
                result.fields.append((token.text, value))
                self._count += 1
                if self._count > MAX_FIELDS:
                    raise error_at(token.place, f"expected at most {MAX_FIELDS} fields")
            if not self._accept(","):
                self._accept(";")
        self._take()
        return result

    def _values(self, name: _Token, colon: bool, depth: int) -> Iterator[Scalar | Message]:
        """The value of a field, or all of its list."""
        if not self._accept("["):
            yield self._value(name, colon, depth)
            return
        while not self._accept("]"):
            yield self._value(name, colon, depth)
            if self._next.text != "]" and not self._accept(","):
                raise error_at(self._next.place, f"expected ',' or ']' in the list of {name.text}, got {self._next}")

    def _value(self, name: _Token, colon: bool, depth: int) -> Scalar | Message:
        token = self._take()
        if token.kind == "sign" and token.text in _CLOSING:
            return self.message(token.place, _CLOSING[token.text], depth + 1)
        if not colon:
            raise error_at(token.place, f"expected ':' or '{{' after {name.text!r}, got {token}")
        if token.kind == "string":
            parts = [token]
            while self._next.kind == "string":  # texts side by side are one
                parts.append(self._take())
            return Scalar("string", "".join(_unquoted(part) for part in parts), token.place)
        negative = token.kind == "sign" and token.text == "-"
        if negative:
            token = self._take()
        if token.kind == "number":
            value = _number(token)
            return Scalar("number", -value if negative else value, token.place)
        if token.kind == "name" and not negative:
            return Scalar("name", token.text, token.place)
        raise error_at(token.place, f"expected a value for {name.text!r}, got {token}")

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _accept(self, sign: str) -> bool:
        if self._next.kind == "sign" and self._next.text == sign:
            self._take()
            return True
        return False


def _number(token: _Token) -> int | float:
    text = token.text
    if len(text) > _MAX_NUMBER:
        raise error_at(token.place, f"expected a number of at most {_MAX_NUMBER} characters")
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    if text.isdigit():
        if len(text) > 1 and text[0] == "0":
            if set(text) - set("01234567"):
                raise error_at(
                    token.place, f"a number that begins with 0 is octal: expected the digits 0 to 7, got {text}"
                )
            return int(text, 8)
        return int(text)
    return float(text.rstrip("fF"))


def _unquoted(token: _Token) -> str:
    def replaced(match: re.Match[str]) -> str:
        hexadecimal, octal, letter = match.groups()
        if hexadecimal or octal:
            return chr(int(hexadecimal, 16) if hexadecimal else int(octal, 8))
        if letter not in _ESCAPED:
            raise error_at(token.place, f"unknown escape \\{letter} in a text")
        return _ESCAPED[letter]

    return _ESCAPE.sub(replaced, token.text[1:-1])


def error_at(place: Place, message: str, *, hint: str | None = None) -> FormatError:
    """The error of something at a place, to be raised."""
    return FormatError(f"{place}: {message}", hint=hint)
