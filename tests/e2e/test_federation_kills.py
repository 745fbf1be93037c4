"""Kill -9 of a federation, coordinator and sites at once, at moments nobody chose: the same command gets it done."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nasturtium.privacy import SecretKey
from nasturtium.storage import Federations, History, Ledger, open_database

ROUNDS = 12
NUMBERS = list(range(1, ROUNDS + 3))
FEDERATE = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from nasturtium.core import ModelSpec, ParameterLayout, canonical_json
from nasturtium.core.data import Dataset, Preprocessing, Task
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    Closing, FederationPlan, LocalGrid, LocalTraining, MaskTerms, Peers, Quantisation, RelayStrategy, RoundRecorder,
    Site, SiteMasks, SiteStates, make_client_app,
)
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.coordinator.privacy_gate import PrivacyGate
from nasturtium.privacy import AttemptJournal, Identity, PackedAdder, PackedCipher, Preset, SecretKey, smallest_preset
from nasturtium.storage import Federations, Ledger, Tracker, open_database

folder, masked, rounds = Path(sys.argv[1]), sys.argv[2] == "masked", int(sys.argv[3])
COUNT = 4
task = Task(input_shape=(3,), features=("a", "b", "c"), classes=("no", "yes"))
spec = ModelSpec((3,), (layer_spec("linear", out_features=2),))
preset = smallest_preset(COUNT, 8)
key = SecretKey.from_bytes((folder / "key").read_bytes())

def make_rows(count, seed):
    inputs = np.random.default_rng(seed).standard_normal((count, 3)).astype(np.float32)
    return Dataset("rows", inputs, (inputs.sum(axis=1) > 0).astype(np.int64), task)

identities = [Identity(f"site-{i}", hashlib.sha512(f"site-{i}".encode()).digest()) for i in range(COUNT)]
members = {each.public.id: each.public for each in identities}
coordinator = Identity("coordinator", hashlib.sha512(b"coordinator").digest())
terms = MaskTerms(roster_sha256="5a" * 32, threshold=3, colluders=1)
sites = []
for index, identity in enumerate(identities):
    home = folder / identity.public.name
    home.mkdir(exist_ok=True)
    journal = AttemptJournal(home / "attempts")
    sites.append(Site(
        identity, make_rows(12 + 4 * index, index), make_rows(5, 100 + index), PackedCipher(key, preset),
        coordinator=coordinator.public, journal=journal,
        masks=SiteMasks(identity, members, terms.roster_sha256, journal) if masked else None,
        states=SiteStates(home / "states"), peers=Peers(members, terms.roster_sha256),
    ))
with open_database(folder / "history.db") as database, Tracker(database) as tracker:
    claim = Federations(database).claim("here", 60)
    if claim.run is None:
        run = tracker.start_federated(
            name="rows", seed=5, config={}, dataset=None, clients=COUNT, rounds=rounds, strategy="fedavg",
            scheme="packed", alpha=None, model_run=None, spec={},
        ).uid
        claim = Federations(database).attach(claim, run)
    else:
        tracker.resume(claim.run)
    plan = FederationPlan(
        run=claim.run, spec=spec, seed=5,
        preprocessing=canonical_json(Preprocessing.fit(make_rows(99, 9).inputs, task).to_dict()),
        rounds=rounds, training=LocalTraining(epochs=1, batch_size=4, max_rows=100),
        quantisation=Quantisation(preset=preset.name, bound=0.05), masks=terms if masked else None,
        closing=Closing(deadline=60, min_replies=COUNT), retry_wait=0.0,
    )
    gate = PrivacyGate(Ledger(database), "data", claim.run, None, 1e-5)
    recorder = RoundRecorder(
        database, claim.run, gate, rounds=rounds, update_bytes=32, claim=claim,
        observe=lambda event: print(type(event).__name__, flush=True),
    )
    nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
    print("begun", flush=True)
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), COUNT) as grid:
        RelayStrategy(plan, PackedAdder(preset, key.key_id), nodes, coordinator).run(grid, recorder, recorder.resume())
    tracker.finish(claim.run, state="completed", metrics={})
    Federations(database).end(claim, "completed")
models = []
for site in sites:
    model = site.release(claim.run).model
    models.append(hashlib.sha256(ParameterLayout.of(model).flatten(model.state()).tobytes()).hexdigest())
print(json.dumps({"models": models}), flush=True)
"""


def prepare(folder: Path) -> None:
    folder.mkdir()
    (folder / "key").write_bytes(SecretKey.generate().to_bytes())
    with open_database(folder / "history.db") as database:
        Federations(database).queue("train", "rows", {})


def start(folder: Path, masked: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FEDERATE, str(folder), masked, str(ROUNDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, masked: str) -> list[str]:
    with start(folder, masked) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])["models"]


def kill_some(folder: Path, masked: str, kills: int, rng: random.Random) -> int:
    """Kill it some lines of output and a moment after it began; how often it was done before that."""
    killed = 0
    for _ in range(kills):
        with start(folder, masked) as process:
            for _ in range(rng.randint(1, 4)):
                assert process.stdout is not None
                process.stdout.readline()
            try:
                process.wait(rng.uniform(0.0, 0.05))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.communicate()
    return killed


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("masked", ["masked", pytest.param("bare", marks=pytest.mark.soak)])
@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.soak)])
def test_a_federation_that_is_killed_again_and_again_ends_with_the_same_model(tmp_path, masked, kills):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        prepare(folder)
    expected = finish(whole, masked)
    assert len(set(expected)) == 1
    kill_some(broken, masked, kills, random.Random(kills))
    with open_database(broken / "history.db") as database:
        done = Federations(database).jobs()[0].state == "completed"
    if not done:
        assert finish(broken, masked) == expected
    with open_database(broken / "history.db") as database:
        [job] = Federations(database).jobs()
        history = History(database)
        assert job.state == "completed"
        closed = history.closed_rounds(job.run)
        assert [each.number for each in closed] == NUMBERS
        assert [each.number for each in history.rounds(job.run)] == NUMBERS[:ROUNDS]
        attempts = Counter(each.round for each in history.attempts(job.run))
        spends = Counter(entry.body["round"] for entry in Ledger(database).entries(kind="spend"))
        assert all(spends[number] >= attempts[number] for number in NUMBERS[:-1])
        Ledger(database).verify(signatures=True)
