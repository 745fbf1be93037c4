"""`history tag`, `note`, `delete`, `restore` and `purge`: what people do to runs afterwards."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from ...core import ConfigError
from ...storage import Curator, Purged
from .. import library
from ..options import Db, Json, argument, option, with_db
from ..output import count, print_json, size, stderr, stdout

Run = Annotated[str, argument(help="The run.")]
Yes = Annotated[bool, option("--yes", "-y", help="Do not ask.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def tag(
    run: Run,
    words: Annotated[list[str] | None, argument(help="NAME or NAME=VALUE.")] = None,
    remove: Annotated[list[str] | None, option("--remove", help="Take this tag off.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Put words on a run, or take them off; without any, print its tags."""
    with library.open_history(db) as past:
        uid = past.find(run).uid
        curator = Curator(past.database)
        for word in words or []:
            name, _, value = word.partition("=")
            curator.tag(uid, name, value)
        for name in remove or []:
            if not curator.untag(uid, name):
                stderr().print(f"run {run} has no tag {name!r}", soft_wrap=True)
        tags = past.find(uid).tags
    _print({"uid": uid, "tags": tags}, [f"{name}={value}" if value else name for name, value in tags.items()], as_json)


def note(
    run: Run,
    text: Annotated[str | None, argument(help="What to write; without it, print what was written.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write something about a run, or read it."""
    with library.open_history(db) as past:
        uid = past.find(run).uid
        if text is not None:
            Curator(past.database).note(uid, text)
        notes = past.notes(uid)
    document = {"uid": uid, "notes": [{"text": each.text, "created": each.created} for each in notes]}
    lines = [f"{each.created.astimezone():%Y-%m-%d %H:%M}  {each.text}" for each in notes]
    _print(document, lines, as_json)


def delete(
    runs: Annotated[list[str], argument(help="The runs.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Take runs, with all below them, out of every list. `history restore` brings them back."""
    with library.open_history(db) as past:
        curator = Curator(past.database)
        deleted = [(run, curator.delete(past.find(run).uid)) for run in runs]
    document = {"deleted": dict(deleted)}
    lines = [
        f"{run}: deleted {count(number, 'run')}; back with: {with_db(f'history restore {run}', db)}"
        if number
        else f"{run}: was deleted already"
        for run, number in deleted
    ]
    _print(document, lines, as_json)


def restore(
    runs: Annotated[list[str], argument(help="The runs.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Bring deleted runs back, with all that was deleted along with them."""
    with library.open_history(db) as past:
        curator = Curator(past.database)
        restored = [(run, curator.restore(past.find(run).uid)) for run in runs]
    lines = [
        f"{run}: restored {count(number, 'run')}" if number else f"{run}: is not deleted" for run, number in restored
    ]
    _print({"restored": dict(restored)}, lines, as_json)


def purge(
    older_than: Annotated[str, option("--older-than", help="Deleted that long ago: 30d, 12h, 0d.")] = "30d",
    dry_run: Annotated[bool, option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Remove deleted runs for good, with their files and studies. The privacy ledger keeps what they released."""
    age = _age(older_than)
    with library.open_history(db) as past:
        curator = Curator(past.database)
        doomed = curator.purge(older_than=age, dry_run=True)
        if not dry_run and doomed.runs:
            confirm(f"purge {_told(doomed)} for good?", yes=yes)
            doomed = curator.purge(older_than=age)
    lines = [f"{'would purge' if dry_run else 'purged'} {_told(doomed)}"]
    if doomed.kept:
        lines.append(f"{count(doomed.kept, 'deleted run')} stay: a process is at them, or their model has an alias")
    _print({**asdict(doomed), "dry_run": dry_run}, lines, as_json)


def _told(purged: Purged) -> str:
    return f"{count(purged.runs, 'run')} and {count(purged.artifacts, 'file')} of {size(purged.size_bytes)}"


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if the user agrees.

    Raises:
        ConfigError: there is nobody to ask.
        KeyboardInterrupt: the user does not.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("this cannot be undone and there is no terminal to ask at", hint="add --yes to agree")
    stderr().print(f"{question} [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise KeyboardInterrupt


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if match is None:
        raise ConfigError(f"expected an age such as 30d, 12h or 0d, got {text!r}")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _print(document: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        stdout().print("\n".join(lines), soft_wrap=True)
