"""The federation of the README, command by command, with real servers on loopback."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from nasturtium.cli.app import run

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README[README.index("## Federate over TLS") : README.index("## How it is built")]
[PYTHON] = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
COORDINATOR, SITES = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
PATIENCE = 240.0  # seconds, of a machine with other work


class Terminals:
    """Runs lines of a shell in a folder, some of them in the background; our commands that end soon in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> str:
        if not line.startswith("nasturtium "):
            return subprocess.run(
                ["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, check=True
            ).stdout
        printed = io.StringIO()
        with chdir(self.folder), redirect_stdout(printed), redirect_stderr(printed):
            code = run(shlex.split(line)[1:])
        assert code == 0, (line, printed.getvalue())
        return printed.getvalue()

    def begin(self, line: str, log: str) -> subprocess.Popen[bytes]:
        words = shlex.split(line.rstrip("& "))
        with (self.folder / log).open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "nasturtium.cli", *words[1:]],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return process

    def read(self, log: str) -> str:
        return (self.folder / log).read_text()

    def wait_for(self, log: str, pattern: str) -> str:
        ends = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.read(log))):
            assert time.monotonic() < ends, (log, self.read(log))
            assert all(process.poll() in (None, 0) for process in self.running), self.read(log)
            time.sleep(0.2)
        return found[1] if found.groups() else found[0]


@pytest.fixture
def terminals(tmp_path):
    found, handler = Terminals(tmp_path), signal.getsignal(signal.SIGTERM)
    yield found
    signal.signal(signal.SIGTERM, handler)
    for process in found.running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in found.running:
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def port_of(terminals: Terminals) -> None:
    """Tests share the machine: another port than the default one, in all that names it."""
    from nasturtium.federated.flower.processes import free_port

    port = free_port()
    path = terminals.folder / "hub" / "federation.toml"
    path.write_text(re.sub(r"port = \d+", f"port = {port}", path.read_text()))


@pytest.mark.skipif(os.name != "posix", reason="the README's lines are a POSIX shell's")
def test_three_files_are_federated(terminals):
    with chdir(terminals.folder):
        exec(compile(PYTHON, "README", "exec"), {"__name__": "__main__"})
    for line in COORDINATOR.splitlines():
        if "server" in line:
            server = terminals.begin(line, "server.log")
        else:
            terminals.run(line)
            if "init coordinator" in line:
                port_of(terminals)
    sites = iter("abc")
    fingerprint = ""
    for line in SITES.splitlines():
        if line.endswith("&"):
            terminals.begin(line, f"{next(sites)}.log")
        elif "approve" in line:
            [site] = re.findall(r"--config (\w)/", line)
            fingerprint = terminals.wait_for(f"{site}.log", r"in a call: ([0-9a-f ]+)")
            terminals.run(line.replace("FINGERPRINT", fingerprint))
        else:
            assert "never leaves" in terminals.run(line)
    assert server.wait(PATIENCE) == 0, terminals.read("server.log")
    [job] = json.loads(terminals.run("nasturtium federate status --config hub/federation.toml --json"))
    assert (job["state"], job["rounds"]) == ("completed", "3/3")
    assert job["accuracy"] > 0.5
    for site in "abc":
        terminals.wait_for(f"{site}.log", r"model of run \w+ kept in")
        assert "entries, unbroken" in terminals.run(f"nasturtium federate audit --check --config {site}/site.toml")
    weights = [path.read_bytes() for path in terminals.folder.glob("?/state/models/*/*.safetensors")]
    assert len(weights) == 3
    assert len(set(weights)) == 1
