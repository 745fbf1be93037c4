"""The commands of `nasturtium history`."""

from __future__ import annotations

import typer

from ..plot import plot
from .ask import list_runs, query, sql
from .curves import curve
from .edit import delete, note, purge, restore, tag
from .exchange import export, import_
from .show import compare, lineage, pareto, show

app = typer.Typer(
    no_args_is_help=True, suggest_commands=False, add_completion=False, help="Ask what was searched and trained."
)


@app.callback()
def history() -> None:
    """Ask what was searched and trained, and look after it.

    A run is named by its number, its ULID or the beginning of one, @last, or @best.
    """


for name, function in {
    "list": list_runs,
    "show": show,
    "compare": compare,
    "curve": curve,
    "pareto": pareto,
    "lineage": lineage,
    "query": query,
    "sql": sql,
    "plot": plot,
    "export": export,
    "import": import_,
    "tag": tag,
    "note": note,
    "delete": delete,
    "restore": restore,
    "purge": purge,
}.items():
    app.command(name)(function)
