"""The command line: commands, exit codes, and errors in two lines."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import click
import typer

from ..core import ConfigError, NasturtiumError
from ..storage import UnknownRunError
from . import federate, history, search
from .options import option
from .output import stderr
from .predict import predict

OK, FAILED, USAGE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(no_args_is_help=True, suggest_commands=False, pretty_exceptions_enable=False)
app.add_typer(search.app, name="search")
app.add_typer(federate.app, name="federate")
app.add_typer(history.app, name="history")
app.command()(predict)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nasturtium {version('nasturtium')}")
        raise typer.Exit


@app.callback()
def nasturtium(
    version: Annotated[
        bool, option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the best small network for data that may not leave home, train it there, and see nothing but the sum."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Our errors become a message and a hint on stderr; a bug keeps its traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else OK
    except click.ClickException as exc:
        exc.show()
        return USAGE
    except NasturtiumError as exc:
        console = stderr()
        console.print(f"error: {exc.message}", soft_wrap=True)
        if exc.hint:
            console.print(f"hint: {exc.hint}", soft_wrap=True)
        return USAGE if isinstance(exc, ConfigError) else NOT_FOUND if isinstance(exc, UnknownRunError) else FAILED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED  # the reader of our output went away; it knows


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM stops as Ctrl-C does: cleanly, with the history in order."""
    raise KeyboardInterrupt
