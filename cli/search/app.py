"""The commands of `nasturtium search`, a group whose default command runs a search."""

from __future__ import annotations

import typer

from .draw import draw
from .run import SearchGroup, search
from .spaces import show_space, show_spaces, show_strategies
from .status import show_report, show_status, stop

app = typer.Typer(
    cls=SearchGroup,
    invoke_without_command=True,
    suggest_commands=False,
    add_completion=False,
)
app.callback()(search)

for name, function in {
    "status": show_status,
    "stop": stop,
    "report": show_report,
    "spaces": show_spaces,
    "space": show_space,
    "strategies": show_strategies,
    "draw": draw,
}.items():
    app.command(name)(function)
