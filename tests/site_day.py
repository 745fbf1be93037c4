"""Three sites' day by the commands of one installation, run as a program: its `nasturtium` is the one argument.

They are made, admitted, looked at dry, served by real servers on loopback, trained, told what they gained, and audited.
The last line it prints is a JSON object. It imports nothing of the project, whose checkout may be another installation.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 600.0  # seconds, of a machine with other work
PROGRAM = sys.argv[1]
SITES = ("north", "south", "west")


def run(*words: str) -> str:
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise SystemExit(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def begin(log: str, *words: str) -> subprocess.Popen[bytes]:
    with Path(log).open("wb") as file:
        return subprocess.Popen([PROGRAM, *words], stdout=file, stderr=subprocess.STDOUT)


def wait_for(log: str, pattern: str) -> str:
    ends = time.monotonic() + PATIENCE
    while not (found := re.search(pattern, Path(log).read_text())):
        if time.monotonic() > ends:
            raise SystemExit(f"{log} never said {pattern!r}:\n{Path(log).read_text()}")
        time.sleep(0.2)
    return found[found.re.groups]


def write_rows(path: str, rng: random.Random) -> None:
    lines = ["age,smoker,ward,outcome"]
    for _ in range(120):
        age, smoker = rng.randint(20, 90), rng.random() < 0.4
        ill = age / 90 + 0.5 * smoker + rng.gauss(0, 0.1) > 0.9
        lines.append(f"{age},{'yes' if smoker else 'no'},{rng.choice('abc')},{'ill' if ill else 'well'}")
    Path(path).write_text("\n".join(lines) + "\n")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def main() -> None:
    rng = random.Random(0)
    hub = "hub/federation.toml"
    run("federate", "init", "coordinator", "--host", "localhost", "--port", str(free_port()), "--folder", "hub")
    for site in SITES:
        write_rows(f"{site}.csv", rng)
        run("federate", "init", "site", site, "--data", f"../{site}.csv", "--target", "outcome", "--folder", site)
        run("federate", "admit", f"{site}/{site}.pub", "--config", hub)
    Path("train.toml").write_text('version = 1\nname = "outcomes"\nrounds = 2\n')
    run("federate", "start", "train.toml", "--config", hub)
    run("federate", "client", "--config", "north/site.toml", "--dry-run")
    processes = [begin("server.log", "federate", "server", "--config", hub, "--once")]
    try:
        processes += [begin(f"{site}.log", "federate", "client", "--config", f"{site}/site.toml") for site in SITES]
        for site in SITES:
            fingerprint = wait_for(f"{site}.log", r"in a call: ([0-9a-f ]+)")
            run("federate", "approve", fingerprint, "--config", f"{site}/site.toml")
        if processes[0].wait(PATIENCE):
            raise SystemExit(Path("server.log").read_text())
        for site in SITES:
            wait_for(f"{site}.log", r"model of run \w+ kept in .*\n.*\n")
        gained = sum("a model of its own rows alone" in Path(f"{site}.log").read_text() for site in SITES)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE)
    audits = [run("federate", "audit", "--check", "--config", f"{site}/site.toml") for site in SITES]
    [job] = json.loads(run("federate", "status", "--config", hub, "--json"))
    audited = sum("entries, unbroken" in each for each in audits)
    print(json.dumps({"state": job["state"], "gained": gained, "audited": audited}))


if __name__ == "__main__":
    main()
