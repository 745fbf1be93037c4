"""The command line: commands, exit codes, and errors in two lines.

A command's module is imported when the command is called: `nasturtium history list` pays for SQLAlchemy, not for Optuna
and Flower.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from ..core import ConfigError, NasturtiumError
from .interruption import interrupt, interruptions_arrive
from .options import option, with_db
from .output import stderr

OK, FAILED, USAGE, NOT_FOUND, BUSY, UNREACHABLE, INTEGRITY, BUDGET_SPENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 130

# name -> (module in this package, what in it, one line of help)
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "search": ("search", "app", "Find the best small network for some data, train it, test it once and save it."),
    "worker": ("worker", "worker", "Train trials of a search that runs elsewhere."),
    "federate": ("federate", "app", "Train one model over several sites, whose rows stay with them."),
    "predict": ("predict", "predict", "Predict every row of a file with a saved model."),
    "history": ("history", "app", "Ask what was searched and trained, and look after it."),
    "model": ("model", "app", "Published models: list, show, promote."),
    "privacy": ("privacy", "app", "What was released of whose data, and what may still be."),
    "keys": ("keys", "app", "Identities, the members of a federation, and the key they share."),
    "db": ("db", "app", "Look after the database: status, upgrade, backup, restore, check, compact."),
    "doctor": ("doctor", "doctor", "Look for what is wrong with this installation and its database."),
    "schema": ("schema", "schema", "The JSON Schema of what a command prints with --json."),
}
_COMMAND = re.compile(r"\bnasturtium(?: [a-z][a-z-]*)+")  # in a hint; the first words name it


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; for the page of help, only its name and line."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, line = COMMANDS[cmd_name]
        if ctx.params.get("help") or ctx.resilient_parsing:
            return click.Command(cmd_name, help=line)
        found: Any = getattr(import_module(f".{module}", __package__), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(cmd_name)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The page of help, without importing what it lists."""
        ctx.params["help"] = True
        super().format_help(ctx, formatter)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, suggest_commands=False, pretty_exceptions_enable=False)


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
    signal.signal(signal.SIGTERM, interrupt)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    command = typer.main.get_command(app)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with interruptions_arrive():
            code = command.main(args=words, prog_name="nasturtium", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.ClickException as exc:
        if not _wants_json(words):
            exc.show()
            return USAGE
        return _report(exc.format_message(), None, USAGE, words)
    except NasturtiumError as exc:
        return _report(exc.message, exc.hint, exit_code(exc), words)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # which is what click makes of it
        return FAILED  # the reader of our output went away; it knows
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        return _report(f"cannot write: {exc.strerror}", "free some disk space", FAILED, words)


def exit_code(error: NasturtiumError) -> int:
    """What the shell is told of an error."""
    from .. import storage

    codes: Sequence[tuple[type[NasturtiumError] | tuple[type[NasturtiumError], ...], int]] = (
        ((storage.UnknownRunError, storage.UnknownModelError, storage.DatabaseNotFoundError), NOT_FOUND),
        ((storage.RunBusyError, storage.DatabaseLockedError), BUSY),
        (storage.DatabaseUnreachableError, UNREACHABLE),
        (storage.IntegrityError, INTEGRITY),
        (storage.BudgetSpentError, BUDGET_SPENT),
        ((ConfigError, storage.QueryError), USAGE),
    )
    return next((code for kinds, code in codes if isinstance(error, kinds)), FAILED)


def _report(message: str, hint: str | None, code: int, words: Sequence[str]) -> int:
    """Tell of an error on stderr, as a document to programs that asked for JSON; its code."""
    hint = hint and _on_same_database(hint, words)
    if _wants_json(words):
        sys.stderr.write(json.dumps({"error": {"code": code, "message": message, "hint": hint}}) + "\n")
        return code
    console = stderr()
    console.print(f"error: {message}", soft_wrap=True)
    if hint:
        console.print(f"hint: {hint}", soft_wrap=True)
    return code


def _on_same_database(hint: str, words: Sequence[str]) -> str:
    """A hint whose commands name the database that was named here. Those who raise it do not know how it was."""
    db = _value_of("--db", words)
    if db is None or " --db " in hint:
        return hint

    def complete(found: re.Match[str]) -> str:
        named = found[0].split()[1:]
        own = _name_with_db(named)
        return found[0] if not own else " ".join([with_db(" ".join(own), db), *named[len(own) :]])

    return _COMMAND.sub(complete, hint)


def _name_with_db(words: Sequence[str]) -> Sequence[str]:
    """Those of the words that name a command with the option --db; none where they do not."""
    command: click.Command = typer.main.get_command(app)
    length = 0
    for word in words:
        below = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if below is None:
            break
        command, length = below, length + 1
    takes = length and any("--db" in parameter.opts for parameter in command.params)
    return words[:length] if takes else []


def _value_of(name: str, words: Sequence[str]) -> str | None:
    following = [second for first, second in pairwise(words) if first == name]
    joined = [word.removeprefix(f"{name}=") for word in words if word.startswith(f"{name}=")]
    return next(iter([*following, *joined]), None)


def _wants_json(words: Sequence[str]) -> bool:
    return "--json" in words or _value_of("--format", words) in {"json", "ndjson"}
