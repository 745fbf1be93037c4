"""Pieces of SQL that mean the same on SQLite and PostgreSQL."""

import math
from typing import Any, Final

from sqlalchemy import ColumnElement, Dialect, Double, Text, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

_SMALL: Final = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


class Figure(TypeDecorator[float]):
    """A float64 whose infinities can be spelt out."""

    impl = Double
    cache_ok = True

    def literal_processor(self, dialect: Dialect) -> Any:
        """How SQL for people spells it."""
        infinity = "'infinity'::float8" if dialect.name == "postgresql" else "9e999"

        def spell(value: float) -> str:
            if math.isinf(value):
                return infinity if value > 0 else f"(-{infinity})"
            return repr(value)

        return spell


FIGURE: Final = Figure()


class bytewise(FunctionElement[str]):  # noqa: N801 - SQLAlchemy's functions are in small letters
    """A text that is ordered by its letters' code points, and whose `lower` knows ASCII only, as on SQLite anyway."""

    type = Text()
    inherit_cache = True


@compiles(bytewise)
def _leave(element: bytewise, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(bytewise, "postgresql")
def _collate(element: bytewise, compiler: SQLCompiler, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)}) COLLATE "C"'


def contains(text: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Whether `part` is in `text`; capitals of ASCII are as good as small letters."""
    return func.lower(bytewise(text)).contains(part.translate(_SMALL), autoescape=True)
