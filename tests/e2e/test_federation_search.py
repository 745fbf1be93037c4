"""An architecture search over real sites and TLS, command by command; its server, and a site, are killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nasturtium.federated import AuditLog
from nasturtium.storage import Federations, History, Ledger, open_database

from .conftest import Federation, until

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="kills as Linux has them")]
TRIALS = 3
SEARCH = f"""\
version = 1
name = "tiny"
seed = 1
[search]
trials = {TRIALS}
rounds = 2
together = 2
strategy = "random"
scheduler = "none"
[model]
rounds = 3
[training]
epochs = 1
"""


def command(federation: Federation, *words: str) -> str:
    line = [sys.executable, "-m", "nasturtium.cli", *words]
    done = subprocess.run(line, cwd=federation.folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def finished(federation: Federation, job: str) -> int:
    return int((federation.job(job).trials or "0").partition("/")[0])


def test_a_search_over_tls_survives_its_server_and_a_site(make_federation):
    federation = make_federation()
    (federation.folder / "search.toml").write_text(SEARCH)
    hub = ("--config", str(federation.folder / "hub" / "federation.toml"))
    job = json.loads(command(federation, "federate", "start", "search.toml", *hub, "--json"))["uid"]
    federation.start()
    until(lambda: finished(federation, job) >= 1, federation.told)
    federation.server.kill()
    federation.sites["d"].kill()
    federation.server.start()
    status = federation.wait_ended(job)
    assert (status.state, status.kind, status.trials) == ("completed", "search", f"{TRIALS}/{TRIALS}"), (
        federation.told()
    )

    [listed] = json.loads(command(federation, "federate", "status", *hub, "--json"))
    assert listed["accuracy"] == status.accuracy
    rounds = json.loads(command(federation, "federate", "rounds", "1", *hub, "--json"))
    assert [row["round"] for row in rounds if row["trial"] == "model" and not row["why"]] == [1, 2, 3]
    assert all(row["participants"] >= 3 for row in rounds if not row["why"])
    database = ("--db", federation.config.database)
    searched = json.loads(command(federation, "search", "status", str(status.run), *database, "--json"))
    assert searched["trials"]["completed"] == TRIALS
    assert "the model stays there" in command(federation, "search", "report", str(status.run), *database)

    with open_database(federation.config.database, create=False) as opened:
        run = Federations(opened).find(job).run
        assert run is not None
        history = History(opened)
        [model] = [each.uid for each in history.children(run, "retrain") if each.state == "completed"]
        numbers = [each.number for each in history.closed_rounds(model)]
        assert numbers == list(range(1, len(numbers) + 1))
        Ledger(opened).verify(signatures=True)
    for name in "abc":
        [folder] = until(
            lambda name=name: list((federation.folder / name / "state" / "models").glob("*/*.safetensors"))
        )
        assert folder.parent.name == model
        assert {"search", "train"} <= {
            each.action for each in AuditLog(federation.folder / name / "state" / "audit").entries()
        }
    weights = [path.read_bytes() for path in federation.folder.glob("[abc]/state/models/*/*.safetensors")]
    assert len(set(weights)) == 1
