"""The READMEs are true: every command in the main one runs, and every Python example in any of them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nasturtium.cli.app import run
from nasturtium.core.data import load_dataset

pytestmark = pytest.mark.usefixtures("fitted_once")
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# The commands run as they stand, only smaller.
SMALLER = {
    "--trials 20": "--trials 3 --epochs 2 --top 1 --repeats 1",
    "--rounds 20": "--rounds 2",
    "--rounds 5": "--rounds 2",
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    """All but those of the federation between machines, which tests/e2e/test_federation_readme.py runs."""
    start, end = README.index("## Federate over TLS"), README.index("## How it is built")
    lines = [
        line.split("  #")[0].strip()
        for block in blocks(README[:start] + README[end:], "sh")
        for line in block.splitlines()
    ]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("nasturtium ")]


def test_the_two_commands_are_there():
    assert "pip install -e '.[search]' && nasturtium search --data digits --trials 20 --seed 0" in README
    assert "pip install -e '.[test]' && pytest -n logical" in README


def test_every_command_runs(tmp_path, monkeypatch, capsys):
    """In order and in one folder, as a new user would type them; the first as a program, the others in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASTURTIUM_DB", raising=False)
    handler = signal.getsignal(signal.SIGTERM)
    data = load_dataset("digits")
    rows = [",".join(data.task.features), *(",".join(map(str, row)) for row in data.inputs[:3].reshape(3, -1))]
    (tmp_path / "my.csv").write_text("\n".join(rows))
    assert len(commands()) >= 8
    for number, command in enumerate(commands()):
        for full, small in SMALLER.items():
            command = command.replace(full, small)
        first, *rest = (shlex.split(part) for part in command.split(" | "))
        if number:
            code, (out, err) = run(first[1:]), capsys.readouterr()
        else:
            program = [sys.executable, "-m", "nasturtium.cli", *first[1:]]
            answer = subprocess.run(program, capture_output=True, text=True, check=False)
            code, out, err = answer.returncode, answer.stdout, answer.stderr
        assert code == 0, f"{command}\n{err}"
        for after in rest:
            piped = [sys.executable if word == "python" else word for word in after]
            subprocess.run(piped, input=out, capture_output=True, text=True, check=True)
    signal.signal(signal.SIGTERM, handler)


EXAMPLES = [
    pytest.param(example, id=f"{path.relative_to(ROOT)}-{number}")
    for path in [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
    for number, example in enumerate(blocks(path.read_text(), "python"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASTURTIUM_DB", raising=False)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(example, "README", "exec"), names)
    assert len(names) > 2, "an example that defines nothing shows nothing"


@pytest.mark.parametrize("package", ["core", "storage", "privacy", "nas", "federated", "cli"])
def test_every_package_explains_itself(package):
    text = (ROOT / package / "README.md").read_text()
    assert blocks(text, "python"), "a README has a runnable example"
