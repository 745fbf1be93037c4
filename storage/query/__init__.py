"""The query language of the history: small, and safe to give to anybody; it can only select runs."""

from .asking import combine, names_in, run_query, show_sql
from .compiler import Scope, compile_query, compile_steps
from .language import Query
from .parser import parse

__all__ = ["Query", "Scope", "combine", "compile_query", "compile_steps", "names_in", "parse", "run_query", "show_sql"]
