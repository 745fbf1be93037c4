"""A model that leaves the sites, of a run that one of them joined late, with real servers that are killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nasturtium.core import load_model
from nasturtium.federated import AuditLog
from nasturtium.privacy import KeyFolder
from nasturtium.storage import Ledger, ModelRegistry, open_database

from .conftest import Federation, until

ROUNDS = 8
PATIENCE = 1200.0  # seconds, of a machine with other work


def nasturtium(*arguments: str | Path, folder: Path) -> str:
    command = [sys.executable, "-m", "nasturtium.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def go_on(federation: Federation, job: str, rounds: int | None = None) -> None:
    """To so many closed rounds, or to the end, however often sites take longer to come than the rules wait."""

    def look() -> bool:
        now = federation.job(job)
        if now.state == "paused":
            federation.resume(job)
        if rounds is not None:
            return int(now.rounds.partition("/")[0]) >= rounds
        return now.state not in {"queued", "running", "paused"}

    until(look, federation.told, PATIENCE)
    ended = federation.job(job)
    assert rounds is not None or (ended.state, ended.why) == ("completed", ""), federation.told()


def check_released(federation: Federation, acme: str | None = None) -> None:
    """What left is in the audit logs of those who gave it, and the refusals in that of the other."""
    parties = {"to whom: coordinator"} if acme is None else {f"to whom: {acme}"}
    for name in federation.names:
        log = AuditLog(federation.site_config(name).state / "audit")
        log.verify()
        entries = [each for each in log.entries(500) if each.action == "release"]
        assert entries
        if name == "a":
            assert {each.refused for each in entries} == {"policy"}
        else:
            assert {each.holds[-1] for each in entries} == parties


def make(make_federation, party: str, patience: float) -> Federation:
    """Sites that give their models to a party, but for the first."""
    actions = '["agree", "train", "evaluate", "checkpoint", "release"]'
    federation = make_federation(rules={"patience": patience}, policy={"actions": actions})
    for name in federation.names[1:]:
        path = federation.folder / name / "site.toml"
        path.write_text(path.read_text().replace("release_to = []", f'release_to = ["{party}"]'))
    return federation


def weights_of(federation: Federation, job: str) -> bytes:
    """What all sites have kept."""
    [weights] = set(federation.wait_models(job).values())
    return weights


@pytest.mark.soak
def test_a_site_joins_late_and_the_model_is_given_to_the_coordinator(make_federation):
    federation = make(make_federation, "coordinator", 90.0)  # as long as the others wait for d
    first = federation.train(1, name="first", release_to="coordinator")
    federation.start()
    go_on(federation, first)

    # The others agree without d, and the coordinator is killed; d comes when some rounds are closed.
    federation.sites["d"].stop()
    job = federation.train(ROUNDS, seed=2, name="late", release_to="coordinator")
    go_on(federation, job, 2)
    federation.server.kill()
    federation.sites["d"].start()
    federation.server.start()
    go_on(federation, job)
    given = federation.participants(job)
    assert "d" not in given[1]
    assert "d" in given[ROUNDS], given
    kept, run = weights_of(federation, job), federation.run_of(job)
    with open_database(federation.config.database, create=False) as database:
        version = ModelRegistry(database).find("late")
        assert version.run == run
        folder = database.models_dir / run
        [entry] = Ledger(database).entries(kind="consent", run=run)
        assert entry.body["sites"] == ["b", "c", "d"]
    assert (folder / "weights.safetensors").read_bytes() == kept
    rows = federation.folder / "a" / "rows.csv"
    said = json.loads(
        nasturtium("predict", run, rows, "--db", federation.config.database, "--json", folder=federation.folder)
    )
    numbers = [[float(each) for each in line.split(",")[:3]] for line in rows.read_text().splitlines()[1:]]
    assert [row["prediction"] for row in said] == load_model(folder).predict(numbers)
    check_released(federation)


@pytest.mark.soak
def test_the_model_is_given_to_somebody_else_by_a_coordinator_that_was_killed(make_federation, tmp_path):
    acme = KeyFolder.create(tmp_path / "acme", "acme").public()
    federation = make(make_federation, f"acme:{acme.id}", 300.0)
    job = federation.train(1, seed=3, name="given", release_to=acme.to_json())
    federation.start()
    go_on(federation, job, 1)
    federation.server.kill()  # at the end of the rounds, wherever that is
    federation.server.start()
    go_on(federation, job)
    path = federation.config.state / "releases" / f"{federation.run_of(job)}.release"
    opened = ("federate", "open-release", path, "--keys", tmp_path / "acme", "--to", tmp_path / "theirs", "--json")
    told = json.loads(nasturtium(*opened, folder=tmp_path))
    assert told["sites"] == ["b", "c", "d"]
    assert (tmp_path / "theirs" / "weights.safetensors").read_bytes() == weights_of(federation, job)
    check_released(federation, f"acme:{acme.id}")
