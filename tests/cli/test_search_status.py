"""`nasturtium search status`, `stop` and `report`."""

from __future__ import annotations

import json
import shlex

import jsonschema
import pytest

from nasturtium.cli import library
from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.storage import (
    ArchitectureEntry,
    LeaseGrant,
    Leases,
    OutcomeEntry,
    ProposalEntry,
    SearchControl,
    Tracker,
    UnknownRunError,
    open_database,
)


def checked(name: str, text: str):
    document = json.loads(text)
    jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS[name]}).validate(document)
    return document


def network(number: int) -> ArchitectureEntry:
    return ArchitectureEntry(
        sha256=f"{number:064x}", space="mlp", choices={}, spec={}, parameters=100 * (number + 1), macs=10
    )


def proposal(number: int, **more) -> ProposalEntry:
    return ProposalEntry(number=number, architecture=network(number), hyperparameters={}, seed=0, flat={}, **more)


def begin(tracker: Tracker, *, objective: str = "val_accuracy", direction: str = "maximize", **config):
    return tracker.start_search(
        name="digits",
        seed=0,
        config=config,
        dataset=None,
        space="mlp",
        space_sha256="0" * 64,
        sampler="random",
        pruner="asha",
        trials=8,
        objectives=[(objective, direction)],
    )


@pytest.fixture
def running(command, tmp_path):
    """A search that this process runs, minimising a latency: a trial done, one pruned, one failed, one at a worker,
    one that waits for one.
    """
    with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
        search = tracker.start_search(
            name="digits",
            seed=0,
            config={"objectives": ["minimize latency_ms"], "seconds": 3600, "cpu_seconds": None},
            dataset=None,
            space="mlp",
            space_sha256="0" * 64,
            sampler="random",
            pruner="asha",
            trials=8,
            objectives=[("latency_ms", "minimize")],
        )
        uids = tracker.record_proposals(search.uid, [proposal(number) for number in range(4)])
        ends = [
            OutcomeEntry(uid=uids[0], state="completed", metrics={"latency_ms": 2.5}, cpu_seconds=3.0),
            OutcomeEntry(uid=uids[1], state="completed", metrics={"latency_ms": 1.5}, cpu_seconds=4.0),
            OutcomeEntry(uid=uids[2], state="pruned", metrics={"latency_ms": 9.5}, cpu_seconds=1.0),
            OutcomeEntry(uid=uids[3], state="failed", error="too large", cause="out of memory"),
        ]
        tracker.record_outcomes(search.uid, ends)
        lease = LeaseGrant(worker="node-7/4242", ttl_seconds=60)
        tracker.record_proposals(search.uid, [proposal(4, job={}, lease=lease), proposal(5, job={})])
        SearchControl(database, search.uid).beat(60)
        yield command


def test_a_running_search_is_told_for_people(running):
    text = running("search", "status").out
    for part in (
        "on digits: running\n",
        "goals      minimize latency_ms",
        "4 of 8 ended: 2 completed, 1 failed, 1 pruned, 2 running",
        "best       trial 2: latency_ms 1.5000, parameters 200",
        "of 1h00m (",
        "CPU time   8.0s",
        "2 trials in flight",
        "worker node-7/4242",
        "waits for a worker",
    ):
        assert part in text


def test_a_running_search_is_told_to_programs(running):
    document = checked("search status", running("search", "status", 1, "--json").out)
    assert document["trials"] == {"completed": 2, "failed": 1, "pruned": 1, "running": 2}
    assert document["best"]["trial"] == 2
    flights = [(each["trial"], each["state"], each["worker"]) for each in document["in_flight"]]
    assert flights == [(5, "leased", "node-7/4242"), (6, "open", None)]
    assert document["budgets"]["trials"] == {"used": 4, "limit": 8}
    assert document["budgets"]["wall_seconds"]["limit"] == 3600
    assert document["broker"]["alive"]


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_it_fits_a_terminal(running, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = running("search", "status").out.splitlines()
    table = lines[lines.index("2 trials in flight") :]
    assert max(map(len, table)) <= int(columns)


def test_a_search_is_asked_to_stop(running, tmp_path):
    said = running("search", "stop").out
    assert "search 1 was asked to stop" in said
    assert "nasturtium search status 1 --watch" in said
    assert "running, asked to stop" in running("search", "status").out
    assert checked("search status", running("search", "status", "--json").out)["stop_requested"]
    with open_database(tmp_path / "nasturtium.db") as database:
        assert SearchControl(database, library.search_status().search.uid).stop_requested()


def test_watching_looks_again_until_it_ends(running, tmp_path, monkeypatch):
    """Here it is over at the third look."""
    looks = iter([None, None, "end"])

    def look_again(seconds):
        if next(looks) == "end":
            with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
                tracker.finish(library.search_status().search.uid, state="failed", metrics={}, error="gone")

    monkeypatch.setattr("nasturtium.cli.search.status.time.sleep", look_again)
    lines = running("search", "status", "--watch", "--json").out.splitlines()
    assert [checked("search status", line)["state"] for line in lines] == ["running"] * 3 + ["failed"]


def test_a_watched_status_is_drawn_over_on_a_terminal(running, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")

    looks = iter([None, KeyboardInterrupt])

    def stop(seconds):
        if (interruption := next(looks)) is not None:
            raise interruption

    monkeypatch.setattr("nasturtium.cli.search.status.time.sleep", stop)
    answer = running("search", "status", "--watch")
    assert answer.code == 130
    first, second = answer.out.split("\x1b[", 1)
    assert second.startswith(f"{len(first.splitlines())}A")
    assert max(map(len, first.splitlines())) <= 60


def test_a_lost_lease_is_seen(running, tmp_path):
    with open_database(tmp_path / "nasturtium.db") as database:
        Leases(database, library.search_status().search.uid).expire(10**17)
    checked("search status", running("search", "status", "--json").out)


def test_a_finished_search_has_a_status_and_a_report(digits):
    assert "what came of it: nasturtium search report 1" in digits("search", "status").out
    document = checked("search status", digits("search", "status", "--json").out)
    assert (document["state"], document["broker"]["alive"], document["in_flight"]) == ("completed", False, [])
    report = checked("search report", digits("search", "report", 1, "--json").out)
    text = digits("search", "report").out
    assert f"Winner: trial {report['winner']}." in text
    for verdict in report["verdicts"]:
        assert verdict in text
    front = json.loads(digits("history", "show", 1, "--json").out)["front"]
    assert [row["trial"] for row in report["front"]] == [trial["trial"] for trial in front]
    assert set(report["front"][0]) == {"trial", "val_accuracy", "parameters", "macs"}
    assert "Pareto front of 3 trials (val_accuracy, parameters, macs):" in text
    assert "Pareto front (validation accuracy, parameters, MACs)" in digits("history", "show", 1).out
    assert library.search_report(1).winner == report["winner"]


def test_the_report_says_where_a_simple_model_wins(digits):
    answer = digits("search", "report", "--json")
    report = json.loads(answer.out)
    simple = [model for model in report["models"] if model["name"] == "kernel"]
    if simple[0]["test"]["accuracy"] > report["models"][0]["test"]["accuracy"]:
        assert any("take it" in verdict for verdict in report["verdicts"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", 9], 3, "there is no run 9"),
        (["status", 2], 2, "run 2 is of kind train, expected a search"),
        (["report", 2], 2, "run 2 is of kind train, expected a search"),
        (["stop", 2], 2, "run 2 is of kind train, expected a search"),
        (["stop", 1], 2, "is completed: there is nothing to stop"),
        (["stop", "x"], 3, "expected a run's number"),
    ],
    ids=str,
)
def test_what_is_not_there_is_said(digits, tmp_path, words, code, said):
    with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
        tracker.start_run("mine")
    answer = digits("search", *words)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_without_a_report_it_is_said_how_to_get_one(running):
    answer = running("search", "report")
    assert (answer.code, "it is running" in answer.err) == (3, True)
    assert "nasturtium search status 1" in answer.err


@pytest.mark.parametrize("name", ["status", "stop", "report"])
def test_without_a_search_or_a_database(command, tmp_path, name):
    assert command("search", name).code == 3
    with open_database(tmp_path / "nasturtium.db"):
        pass
    answer = command("search", name)
    assert (answer.code, "there is no search yet" in answer.err) == (3, True)


def test_bounds_and_budgets_of_bytes_are_looked_at_trial_by_trial(command, tmp_path):
    """The best is one that keeps to the constraints; the bytes are those that the budget counts."""
    with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
        search = tracker.start_search(
            name="digits",
            seed=0,
            config={"constraints": ["parameters <= 150"], "upload_bytes": 1e6},
            dataset=None,
            space="mlp",
            space_sha256="0" * 64,
            sampler="random",
            pruner="none",
            trials=4,
            objectives=[("val_accuracy", "maximize")],
        )
        uids = tracker.record_proposals(search.uid, [proposal(number) for number in range(2)])
        figures = [{"val_accuracy": 0.5 + 0.1 * number, "upload_bytes": 2e5} for number in range(2)]
        ends = [OutcomeEntry(uid=uids[number], state="completed", metrics=figures[number]) for number in range(2)]
        tracker.record_outcomes(search.uid, ends)
        document = checked("search status", command("search", "status", "--json").out)
        assert document["best"]["trial"] == 1
        assert document["budgets"]["bytes"] == {"used": 400_000, "limit": 1e6}
        assert "bytes      400.0 kB of 1.0 MB (40%)" in command("search", "status").out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["search", "report"], "nasturtium search status --db 'my runs.db' 1"),
        (["search", "stop", 9], "nasturtium history list --db 'my runs.db'"),
        (["search", "report", 2], "nasturtium history list --db 'my runs.db' --kind search"),
        (["search", "draw", 9], "nasturtium history list --db 'my runs.db'"),
    ],
    ids=str,
)
def test_a_hint_is_a_command_on_the_same_database(command, tmp_path, words, hint):
    """It works as it is printed, whoever raised it."""
    with open_database(tmp_path / "my runs.db") as database, Tracker(database) as tracker:
        begin(tracker)
        tracker.start_run("mine")
        for given in (["--db", "my runs.db"], ["--db=my runs.db"]):
            answer = command(*words, *given)
            assert hint in answer.err
        again = command(*shlex.split(answer.err.rpartition("nasturtium ")[2]))
        assert (again.code, again.err) == (0, "")


def test_a_hint_does_not_repeat_the_password_of_a_database(command, monkeypatch):
    def refuse(search, *, db):
        raise UnknownRunError("there is none", hint="see: nasturtium search spaces, or: nasturtium history list")

    monkeypatch.setattr(library, "search_status", refuse)

    said = command("search", "status", "--db", "postgresql://me:secret@host/runs").err
    assert "nasturtium search spaces, or: nasturtium history list --db URL" in said
    assert "secret" not in said
