"""`nasturtium privacy`: what people, programs and sites are told of the ledger, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from nasturtium.storage import DatasetEntry, Ledger, SignedHead, Spend, Tracker, open_database

DIGITS, SITE = "sha256:1f00000000000000", "keyed:7700000000000000"
KEYED = "hmac-sha256:" + "5a" * 32
HEADER = (
    "subject budget_epsilon budget_delta spent_epsilon spent_delta releases left_epsilon left_delta rounds_left name"
)


@pytest.fixture
def history(command):
    """A history with a search on DIGITS and a ledger of five entries."""
    with open_database("nasturtium.db") as database, Tracker(database) as tracker:
        run = tracker.start_search(
            name="digits",
            seed=0,
            config={},
            dataset=DatasetEntry(fingerprint=DIGITS, name="digits", rows=1797, body={}),
            space="mlp",
            space_sha256="cd" * 32,
            sampler="tpe",
            pruner="none",
            trials=1,
        ).uid
        ledger = Ledger(database)
        ledger.append("key", {"scheme": "ckks"}, run=run)
        ledger.set_budget(DIGITS, epsilon=2, delta=1e-5)
        for number in (1, 2):
            ledger.spend(Spend(subject=DIGITS, run=run, round=number, mechanism="gaussian", epsilon=0.5, delta=1e-6))
        ledger.spend(Spend(subject=SITE, mechanism="exact sum", epsilon=inf, delta=0))
    return run


@pytest.fixture
def federated(command):
    """A history with a federated training on two data sets: that of all, and the keyed one of a site."""
    with open_database("nasturtium.db") as database, Tracker(database) as tracker:
        run = tracker.start_federated(
            name="digits",
            seed=0,
            config={},
            dataset=DatasetEntry(fingerprint="1f" * 32, name="digits", rows=1797, body={}),
            clients=3,
            rounds=12,
            strategy="fedavg",
            scheme="packed",
            alpha=None,
            model_run=None,
            spec={},
        ).uid
        entry = DatasetEntry(fingerprint=KEYED, name="digits at site-2", rows=None, body={}, keyed=True)
        tracker.record_site(run, "site-2", dataset=entry)
    return run


def alter(statement: str) -> None:
    with closing(sqlite3.connect("nasturtium.db")) as connection, connection:
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'nst_ledger'"
        for (name,) in connection.execute(named).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)


def test_accounts_are_shown_to_programs(command, history):
    answer = command("privacy", "show", "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == [
        dict(zip(HEADER.split(), [SITE, None, None, "Infinity", 0.0, 1, None, None, None, None], strict=True)),
        dict(zip(HEADER.split(), [DIGITS, 2.0, 1e-5, 1.0, 2e-6, 2, 1.0, 8e-6, 2, "digits"], strict=True)),
    ]
    lines = command("privacy", "show").out.splitlines()  # a pipe
    assert lines[0] == "\t".join(HEADER.split())
    assert lines[2] == f"{DIGITS}\t2.0\t1e-05\t1.0\t2e-06\t2\t1.0\t8e-06\t2\tdigits"
    assert command("privacy", "show", "--format", "csv").out.splitlines()[0] == ",".join(HEADER.split())


def test_accounts_are_shown_to_people(command, history, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert command("privacy", "show").out.splitlines() == [
        SITE,
        "  budget    none, so nothing is refused",
        "  spent     epsilon inf, delta 0 in 1 release",
        DIGITS,
        "  data      digits",
        "  budget    epsilon 2, delta 1e-05",
        "  spent     epsilon 1, delta 2e-06 in 2 releases",
        "  left      [##########----------]  50% of epsilon: 1",
        "            [################----]  80% of delta: 8e-06",
        "  forecast  2 more rounds of a new run at the cost of the last one",
    ]


@pytest.mark.parametrize(
    ("epsilon", "bar"),
    [
        ("1", "[--------------------]   0% of epsilon: 0"),
        ("1.001", "[#-------------------]   0% of epsilon: 0.001"),
        ("1e6", "[###################-] 100% of epsilon: 999999"),
        ("inf", "[####################] 100% of epsilon: inf"),
    ],
)
def test_a_bar_is_empty_or_full_only_where_nothing_or_all_is_left(command, history, monkeypatch, epsilon, bar):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    answer = command("privacy", "budget", DIGITS, "--epsilon", epsilon, "--delta", "0.5")
    assert answer.code == 0
    assert bar in answer.out


@pytest.mark.parametrize("ref", [1, "@last", DIGITS, "sha256:1f", "1f00"])
def test_a_subject_is_named_by_its_run_or_its_first_letters(command, history, ref):
    answer = command("privacy", "show", ref, "--json")
    assert [account["subject"] for account in json.loads(answer.out)] == [DIGITS]


def test_a_subject_is_named_by_the_ulid_of_a_run(command, history):
    assert [each["subject"] for each in json.loads(command("privacy", "show", history, "--json").out)] == [DIGITS]


@pytest.mark.parametrize("ref", ["9", "nobody", "sha2567", "sha", "", "@worst", "sha256:1f00000000000000x"])
def test_who_is_not_known_is_not_found(command, history, ref):
    answer = command("privacy", "show", ref)
    assert answer.code == 3
    assert "neither a run nor a subject" in answer.err
    assert "nasturtium privacy show" in answer.err


def test_a_beginning_of_several_subjects_is_not_found(command, history):
    with open_database("nasturtium.db") as database:
        Ledger(database).set_budget("sha256:1f11", epsilon=1, delta=0)
    answer = command("privacy", "show", "1f")
    assert answer.code == 3  # too short
    answer = command("privacy", "show", "sha256:1f")
    assert answer.code == 3
    assert f"several subjects start with sha256:1f: {DIGITS}, sha256:1f11" in answer.err


def test_entries_are_shown(command, history, monkeypatch):
    entries = json.loads(command("privacy", "show", "--entries", "--json").out)
    assert [(entry["sequence"], entry["kind"]) for entry in entries] == [
        (1, "key"),
        (2, "budget"),
        (3, "spend"),
        (4, "spend"),
        (5, "spend"),
    ]
    assert entries[1]["body"] == {"epsilon": 2.0, "delta": 1e-5}
    lines = command("privacy", "show", 1, "--entries", "--format", "ndjson").out.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [2, 3, 4]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "150")
    shown = command("privacy", "show", "--entries").out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[4].startswith("4 spend digits (sha256:1f000000…) gaussian, round 2 0.5 1e-06 1, 2e-06")
    assert lines[5].startswith("5 spend keyed:77000000… exact sum inf 0 inf, 0")
    assert '{"scheme":"ckks"}' in shown


@pytest.mark.parametrize("columns", [120, 80])
def test_what_an_entry_cost_is_whole_on_a_terminal(command, federated, monkeypatch, columns):
    spend = Spend(
        subject=KEYED,
        mechanism="SkellamSum, attempt 2",
        epsilon=5.266_666_1,
        delta=1.234_56e-5,
        round=12,
        run=federated,
    )
    with open_database("nasturtium.db") as database:
        Ledger(database).append("key", {"key_id": "ab" * 32}, run=federated)
        Ledger(database).spend(spend)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = command("privacy", "show", "--entries").out.splitlines()
    assert max(map(len, lines)) <= columns
    assert '{"key_id":"abababab…"}' in lines[1]
    assert "SkellamSum, attempt 2, round 12    5.267  1.235e-05" in lines[2]
    if columns == 120:
        assert "digits at site-2 (hmac-sha256:5a5a5a5a…)" in lines[2]


def test_a_ledger_without_entries_says_so(command):
    open_database("nasturtium.db").close()
    answer = command("privacy", "show", "--json")
    assert (answer.code, json.loads(answer.out)) == (0, [])
    assert "no privacy was spent" in answer.err
    assert command("privacy", "verify").code == 0
    assert json.loads(command("privacy", "export").out)["entries"] == []
    answer = command("privacy", "head")
    assert (answer.code, answer.out) == (1, "")
    assert "the ledger is empty" in answer.err


@pytest.mark.parametrize(
    "words",
    [["show"], ["verify"], ["export"], ["head"], ["budget", "x", "--epsilon", "1", "--delta", "0"]],
    ids=" ".join,
)
def test_without_a_database_nothing_is_made(command, words):
    assert command("privacy", *words).code == 3
    assert list(Path.cwd().iterdir()) == []


def test_a_ledger_in_order_is_verified(command, history):
    report = json.loads(command("privacy", "verify", "--json").out)
    head = json.loads(command("privacy", "head").out)
    assert report["entries"] == 5
    assert report["head"] == {name: head[name] for name in ("ledger", "sequence", "hash", "signer", "signature")}
    assert report["signers"] == [{"signer": head["signer"], "since": 1}]
    answer = command("privacy", "verify", "--signatures")
    assert answer.code == 0
    assert "entries  5, all as they were written" in answer.out
    assert head["hash"] in answer.out
    assert "only against a head kept elsewhere" in answer.err


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(
            "UPDATE nst_ledger SET body = '{}' WHERE sequence = 3", "entry 3 of the ledger: its hash", id="body"
        ),
        pytest.param("DELETE FROM nst_ledger WHERE sequence = 2", "entry 2 of the ledger: it is missing", id="missing"),
    ],
)
def test_an_altered_ledger_is_found(command, history, statement, said):
    alter(statement)
    answer = command("privacy", "verify")
    assert (answer.code, answer.out) == (6, "")
    assert said in answer.err
    document = json.loads(command("privacy", "verify", "--json").err)
    assert (document["error"]["code"], document["error"]["message"].startswith(said)) == (6, True)


def test_showing_an_altered_ledger_is_no_bug(command, history, monkeypatch):
    alter("UPDATE nst_ledger SET body = '{}' WHERE sequence IN (2, 4)")
    answer = command("privacy", "show")
    assert answer.code == 6
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert command("privacy", "show", "--entries").code == 0


def test_a_ledger_that_lost_its_end_is_found_by_a_kept_head(command, history):
    Path("heads").mkdir()
    Path("heads/site-1.head.json").write_text(command("privacy", "head").out)
    with open_database("nasturtium.db") as database:
        Path("site-2.json").write_text(Ledger(database).entries()[1].head.to_json())
    answer = command("privacy", "verify", "--head", "heads", "--head", "site-2.json")
    assert answer.code == 0
    assert "2 heads, from which the ledger goes on" in answer.out
    alter("DELETE FROM nst_ledger WHERE sequence > 3")
    assert command("privacy", "verify", "--head", "site-2.json").code == 0
    answer = command("privacy", "verify", "--head", "heads", "--head", "site-2.json")
    assert answer.code == 6
    assert "entry 4 of the ledger: it is missing" in answer.err
    assert "heads/site-1.head.json kept the head of 5" in answer.err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        pytest.param("{}", 1, "kept.json is no head of a ledger", id="no-head"),
        pytest.param("garbage", 1, "kept.json is no head of a ledger", id="garbage"),
        pytest.param(b"\xff\xfe", 2, "cannot read kept.json: it is not text", id="binary"),
        pytest.param(None, 2, "cannot read kept.json: No such file", id="missing"),
    ],
)
def test_a_file_that_is_no_head_is_refused(command, history, content, code, said):
    if content is not None:
        Path("kept.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = command("privacy", "verify", "--head", "kept.json")
    assert answer.code == code
    assert said in answer.err


def test_a_folder_without_a_head_is_refused(command, history):
    Path("empty").mkdir()
    answer = command("privacy", "verify", "--head", "empty")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no head in empty" in answer.err


@pytest.mark.parametrize(
    ("form", "parse"),
    [
        ("json", lambda text: json.loads(text)["entries"]),
        ("ndjson", lambda text: [json.loads(line) for line in text.splitlines()]),
        ("csv", lambda text: list(csv.DictReader(io.StringIO(text)))),
    ],
)
def test_a_ledger_is_exported(command, history, form, parse):
    out = command("privacy", "export", "--format", form).out
    rows = parse(out)
    assert [int(row["sequence"]) for row in rows] == [1, 2, 3, 4, 5]
    assert json.loads(rows[1]["body"]) == {"epsilon": 2.0, "delta": 1e-5}
    answer = command("privacy", "export", "--format", form, "-o", "ledger.txt")
    assert (answer.code, answer.out) == (0, "")
    assert Path("ledger.txt").read_text() == out


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_an_export_is_verified_without_the_database(command, history, form):
    head = command("privacy", "head").out
    command("privacy", "export", "--format", form, "-o", "ledger.txt")
    Path("nasturtium.db").unlink()
    Path("kept.json").write_text(head)
    answer = command("privacy", "verify", "--export", "ledger.txt", "--head", "kept.json", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["entries"] == 5
    assert json.loads(answer.out)["head"]["hash"] == SignedHead.from_json(head).hash
    changed = Path("ledger.txt").read_text().replace("gaussian", "gaussiam", 1)
    Path("ledger.txt").write_text(changed)
    answer = command("privacy", "verify", "--export", "ledger.txt")
    assert answer.code == 6
    assert "entry 3 of the ledger" in answer.err


def test_an_export_that_cannot_be_written_or_read_is_an_error(command, history):
    assert command("privacy", "export", "-o", "missing/ledger.json").code == 1
    assert command("privacy", "verify", "--export", "missing.json").code == 2
    Path("other.json").write_text("[1, 2]")
    assert command("privacy", "verify", "--export", "other.json").code == 1


def test_a_budget_is_set_for_the_data_of_a_run(command, history):
    answer = command("privacy", "budget", 1, "--epsilon", 4, "--delta", 1e-5, "--json")
    assert answer.code == 0
    assert [(each["subject"], each["left_epsilon"]) for each in json.loads(answer.out)] == [(DIGITS, 3.0)]
    command("privacy", "budget", 1, "--epsilon", 4, "--delta", 1e-5)
    assert json.loads(command("privacy", "verify", "--json").out)["entries"] == 6  # said twice, recorded once


def test_a_budget_of_somebody_new_has_to_be_meant(command):
    words = ["privacy", "budget", KEYED, "--epsilon", "inf", "--delta", "1e-5"]
    open_database("nasturtium.db").close()
    assert command(*words).code == 3
    assert command(*words, "--new").code == 0
    assert json.loads(command("privacy", "show", "--json").out)[0]["budget_epsilon"] == "Infinity"


@pytest.mark.parametrize(
    ("epsilon", "delta"), [("0", "0"), ("-1", "0"), ("nan", "0"), ("1", "1"), ("1", "nan"), ("x", "0")]
)
def test_a_budget_out_of_range_is_wrong_usage(command, history, epsilon, delta):
    answer = command("privacy", "budget", DIGITS, "--epsilon", epsilon, "--delta", delta)
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize(
    "name", ["deadbeef", "digits", "sha256:" + "ab" * 32, "AB" * 32, "ab" * 31, "keyed:" + "ab" * 32, "ab" * 32 + "\n"]
)
def test_somebody_new_is_named_by_a_whole_fingerprint(command, name):
    answer = command("privacy", "budget", name, "--epsilon", 1, "--delta", 0, "--new")
    assert (answer.code, answer.out) == (2, "")
    assert "64 lower-case hexadecimal digits" in answer.err
    assert "hmac-sha256:" in answer.err
    assert list(Path.cwd().iterdir()) == []
    for whole in ("ab" * 32, KEYED):
        assert command("privacy", "budget", whole, "--epsilon", 1, "--delta", 0, "--new").code == 0


def test_a_change_of_a_budget_is_told(command, history):
    def told(epsilon: object, delta: object) -> list[str]:
        answer = command("privacy", "budget", DIGITS, "--epsilon", epsilon, "--delta", delta, "--json")
        assert answer.code == 0
        assert len(json.loads(answer.out)) == 1
        return answer.err.splitlines()

    whose = "budget of digits (sha256:1f000000…)"
    assert told(3, 1e-5) == [f"{whose}: changed from epsilon 2, delta 1e-05 to epsilon 3, delta 1e-05"]
    assert told(3, 1e-5) == [f"{whose}: epsilon 3, delta 1e-05, as it was"]
    assert told(0.5, 1e-5)[1:] == ["  already overspent: epsilon 1 of 0.5; every further release is refused"]
    assert told("inf", 0) == [
        f"{whose}: changed from epsilon 0.5, delta 1e-05 to epsilon inf, delta 0",
        "  its epsilon has no bound now: a release without noise is within it",
        "  already overspent: delta 2e-06 of 0; every further release is refused",
    ]


def test_a_budget_for_a_run_says_whose_it_set(command, federated):
    answer = command("privacy", "budget", 1, "--epsilon", 4, "--delta", 1e-5, "--json")
    assert [(each["subject"], each["name"]) for each in json.loads(answer.out)] == [
        ("1f" * 32, "digits"),
        (KEYED, "digits at site-2"),
    ]
    assert answer.err.splitlines() == [
        "budget of digits (1f1f1f1f…): set to epsilon 4, delta 1e-05; it had none",
        "budget of digits at site-2 (hmac-sha256:5a5a5a5a…): set to epsilon 4, delta 1e-05; it had none",
        "1 stands for 2 subjects, and the budget of each is set",
    ]
    answer = command("privacy", "budget", "5a5a", "--epsilon", 3, "--delta", 1e-5)
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("epsilon", "delta", "said"),
    [
        (9, 2e-6, "a new run like the last one begins with delta 1e-06, and 0 is left"),
        (1.25, 1e-5, "a new run like the last one begins with epsilon 0.5, and 0.25 is left"),
        (1, 2e-6, "begins with epsilon 0.5, and 0 is left; and delta 1e-06, and 0 is left"),
        (9, 1e-6, "overspent, delta 2e-06 of 1e-06"),
    ],
)
def test_the_forecast_says_what_is_missing(command, history, monkeypatch, epsilon, delta, said):
    command("privacy", "budget", DIGITS, "--epsilon", epsilon, "--delta", delta)
    [account] = json.loads(command("privacy", "show", DIGITS, "--json").out)
    assert account["rounds_left"] == 0
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert said in command("privacy", "show", DIGITS).out.splitlines()[-1]
    assert "forecast  no more rounds" in command("privacy", "show", DIGITS).out


def test_an_export_that_ends_early_says_so(command, history):
    text = command("privacy", "export").out
    Path("e4.json").write_text(text[: len(text) // 2])
    answer = command("privacy", "verify", "--export", "e4.json")
    assert (answer.code, answer.out) == (1, "")
    assert "e4.json is no whole export of a ledger: the export ends early or is damaged" in answer.err
    assert "nasturtium privacy export -o FILE" in answer.err


def test_another_signer_is_told_and_with_a_head_kept_before_it_an_error(command, history, caplog):
    Path("old.json").write_text(command("privacy", "head").out)
    assert "signer" not in command("privacy", "verify").err
    [key] = Path.cwd().glob("*.ledger-key")
    key.rename("moved-away")
    assert command("privacy", "budget", DIGITS, "--epsilon", 4, "--delta", 1e-5).code == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "entry 6 of the ledger gets another signer" in caplog.text
    answer = command("privacy", "verify")
    assert answer.code == 0
    assert "another signer goes on from entry 6" in answer.err
    assert len(json.loads(command("privacy", "verify", "--json").out)["signers"]) == 2
    answer = command("privacy", "verify", "--head", "old.json")
    assert (answer.code, answer.out) == (6, "")
    assert "another signer goes on from entry 6" in answer.err
    Path("new.json").write_text(command("privacy", "head").out)
    assert command("privacy", "verify", "--head", "old.json", "--head", "new.json").code == 0
