"""Every command of the package's README is one, with options that are known."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from nasturtium.cli.app import app

README = (Path(__file__).parents[2] / "cli" / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].split(" > ")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_it_is_a_command(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    assert program == "nasturtium"
    called = []
    command = typer.main.get_command(app)
    context = click.Context(command)
    while isinstance(command, click.Group):
        # Parsing alone: what follows is the next command's.
        inner = command.make_context(command.name or "x", words, parent=context)
        rest = [*inner._protected_args, *inner.args]
        if not rest:
            break
        name, *words = rest
        found = command.get_command(inner, name)
        assert found is not None, line
        called.append(name)
        command, context = found, inner
    else:
        command.make_context(called[-1], words, parent=context)
    assert called
