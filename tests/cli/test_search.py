"""`nasturtium search` itself: settings from options and files, resuming, engines, and what it says on the way."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from nasturtium.cli import library
from nasturtium.cli.progress import SearchProgress
from nasturtium.nas import (
    EngineChoice,
    SearchStarted,
    TrialFinished,
    TrialLost,
    TrialProgress,
    TrialsEnded,
    TrialStarted,
    Working,
)
from nasturtium.storage import History, open_database


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked for, instead of searching."""
    calls: list[dict[str, object]] = []

    def search(data, **options):
        calls.append({"data": data, **options})
        raise KeyboardInterrupt

    monkeypatch.setattr("nasturtium.cli.library.search", search)
    return calls


BESIDE = {"data", "db", "resume", "config", "engine", "observe", "experiment", "monitor"}


def test_only_what_was_typed_is_asked_for(command, asked):
    """So that a file's settings count, and those of a search that goes on."""
    assert command("search", "--data", "digits", "--trials", 20, "--seed", 0).code == 130
    [call] = asked
    assert {name: value for name, value in call.items() if name not in BESIDE} == {"trials": 20, "seed": 0}
    assert call["engine"] == EngineChoice()


def test_every_option_is_a_setting(command, asked):
    words = (
        "--data x.csv --target y --task regression --space mlp --strategy tpe --trials 3 --seed 4 --objective val_r2 "
        "--objective parameters:min --constraint macs<=9 --epochs 5 --scheduler none --fidelity rows "
        "--evaluate training --zero-cost nwot --folds 4 --workers 2 --device cpu --trial-memory 2GiB --trial-time 90s "
        "--time 1h30m --cpu-time 2h --upload-bytes 5MB --stop-at 0.9 --stop-after 7 --warm-start 1 --warm-start 2 "
        "--top 2 --repeats 1 --ensemble --control equal"
    )
    assert command("search", *words.split()).code == 130
    [call] = asked
    assert {name: value for name, value in call.items() if name not in BESIDE - {"data"}} == {
        "data": "x.csv",
        "target": "y",
        "task": "regression",
        "space": "mlp",
        "strategy": "tpe",
        "trials": 3,
        "seed": 4,
        "objectives": ("val_r2", "parameters:min"),
        "constraints": ("macs<=9",),
        "epochs": 5,
        "scheduler": "none",
        "fidelity": "rows",
        "evaluate": "training",
        "zero_cost": "nwot",
        "folds": 4,
        "workers": 2,
        "device": "cpu",
        "trial_memory": 2 * 2**30,
        "trial_seconds": 90,
        "seconds": 5400,
        "cpu_seconds": 7200,
        "upload_bytes": 5e6,
        "stop_at": 0.9,
        "stop_after": 7,
        "warm_start": ("1", "2"),
        "top": 2,
        "repeats": 1,
        "ensemble": True,
        "control": "equal",
    }


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ("", EngineChoice()),
        ("--here", EngineChoice(kind="here")),
        ("--remote", EngineChoice(kind="workers")),
        ("--ray", EngineChoice(kind="ray")),
        ("--ray --trials 2", EngineChoice(kind="ray")),
        ("--ray ray://head:10001 --trials 2", EngineChoice(kind="ray", ray="ray://head:10001")),
    ],
)
def test_where_trials_are_trained(command, asked, words, engine):
    command("search", "--data", "digits", *words.split())
    assert asked[0]["engine"] == engine


@pytest.mark.parametrize(("text", "folds"), [("auto", "auto"), ("none", None), ("5", 5)])
def test_folds(command, asked, text, folds):
    command("search", "--data", "digits", "--folds", text)
    assert asked[0]["folds"] == folds


SETTINGS = """
data = "digits"
space = "mlp"
trials = 9
epochs = 2
objectives = ["val_accuracy", "minimize parameters"]
top = 1
repeats = 1
"""


def test_a_file_has_settings_and_options_go_before_it(command, tmp_path):
    (tmp_path / "search.toml").write_text(SETTINGS)
    answer = command("search", "--config", "search.toml", "--trials", 2, "--here", "--json")
    assert answer.code == 0, answer.err
    config = json.loads(answer.out)["config"]
    assert (config["trials"], config["epochs"], config["space"]) == (2, 2, "mlp")
    assert json.loads(answer.out)["search"]["objectives"] == [
        {"name": "val_accuracy", "direction": "maximize"},
        {"name": "parameters", "direction": "minimize"},
    ]


BAD = [
    ("--objective valaccuracy", "unknown objective 'valaccuracy'", "did you mean val_accuracy"),
    ("--objective sparkle", "expected one of val_accuracy", "val_..."),
    ("--constraint parameters", "not a constraint", ""),
    ("--strategy best", "unknown strategy 'best': expected one of", "random"),
    ("--space resnet", "unknown space 'resnet': expected one of", "mbconv"),
    ("--space absent.toml", "absent.toml cannot be read", ""),
    ("--space garbage.toml", "", ""),
    ("--space garbage.json", "", ""),
    ("--scheduler x", "unknown scheduler 'x'", "hyperband"),
    ("--fidelity x", "expected fidelity as one of", "resolution"),
    ("--evaluate x", "expected evaluate as one of training", "supernet"),
    ("--zero-cost x", "unknown zero-cost score 'x'", "nwot"),
    ("--control x", "expected control as one of start, equal", ""),
    ("--folds x", "--folds: expected auto, none or a number", ""),
    ("--time soon", "--time: expected a time such as", ""),
    ("--trial-memory much", "--trial-memory: expected a size such as", ""),
    ("--time 0", "expected seconds > 0", ""),
    ("--workers 0", "expected workers >= 1", ""),
    ("--here --remote", "--here and --remote exclude each other", ""),
    ("--here --ray x", "--here and --ray exclude each other", ""),
    ("--config absent.toml", "the configuration absent.toml cannot be read", "check the path"),
    ("--config garbage.toml", "the configuration garbage.toml cannot be read", ""),
    ("--config odd.toml", "a search has no settings speed", "trials"),
]


@pytest.mark.parametrize(("words", "said", "hint"), [pytest.param(*each, id=each[0]) for each in BAD])
def test_what_cannot_be_is_refused_with_what_there_is(command, tmp_path, words, said, hint):
    (tmp_path / "garbage.toml").write_text("] = [")
    (tmp_path / "garbage.json").write_text("{]")
    (tmp_path / "odd.toml").write_text("speed = 11")
    answer = command("search", "--data", "digits", *words.split())
    assert answer.code in {1, 2}
    assert said in answer.err
    assert hint in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "nasturtium.db").exists()


def interrupted(folder: Path) -> None:
    """Make the finished search of a folder one that was interrupted."""
    with closing(connect(folder / "nasturtium.db")) as connection, connection:
        connection.execute("UPDATE nst_run SET state = 'interrupted' WHERE number = 1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--trials 2", "has 3 trials, got 2: it can be made longer, not shorter"),
        ("--trials 9", "cannot be made longer: its test rows were looked at"),
        ("--seed 7", "started with seed=1, got 7"),
        ("--space cnn", "started with space='mlp', got 'cnn'"),
        ("--objective val_loss", "hint: leave --objective out to resume it"),
        ("--constraint macs<=1", "hint: leave --constraint out"),
        ("--time 5m", "hint: leave --time out"),
        ("--folds 3", "started with folds='auto', got 3"),
        ("--experiment other", "is of experiment 'default'"),
    ],
)
def test_a_search_goes_on_as_it_was_started(digits, tmp_path, words, said):
    interrupted(tmp_path)
    answer = digits("search", "--resume", 1, *words.split())
    assert answer.code == 2
    assert said in answer.err


def test_what_was_started_may_be_said_again_when_it_is_resumed(digits, tmp_path):
    """In other words, too; where trials are trained and the database decide nothing."""
    interrupted(tmp_path)
    (tmp_path / "same.toml").write_text('data = "digits"\nspace = "mlp"\nseed = 1\n')
    words = "--objective maximize\x00val_accuracy --trials 3 --top 1 --here --db nasturtium.db --config same.toml"
    answer = digits("search", "--resume", 1, *(word.replace("\x00", " ") for word in words.split()))
    assert answer.code == 0, answer.err
    assert "all trials are done" in answer.err


@pytest.fixture
def found_nothing(command):
    """`command`, where a search has ended without a network that keeps to its constraint."""
    words = "--data digits --space mlp --trials 3 --epochs 2 --here --top 1 --repeats 1 --constraint val_accuracy>=0.95"
    answer = command("search", *words.split(), "--db", "my.db")
    assert answer.code == 1
    assert "3 break the constraints" in answer.err
    return command


def test_a_search_that_found_nothing_says_why_and_what_to_do(found_nothing):
    status = found_nothing("search", "status", "--db", "my.db").out
    assert "error      none of 3 trials can be taken: 3 break the constraints, trial 3 comes closest" in status
    assert "Error:" not in status
    assert "give it more trials: nasturtium search --resume 1 --trials 6 --db my.db" in status
    assert "nasturtium search status --db my.db 1" in found_nothing("search", "report", "--db", "my.db").err
    drawn = found_nothing("search", "draw", 1, "--db", "my.db")
    assert "trial 3 is drawn: it breaks the constraints least" in drawn.err
    assert drawn.out == found_nothing("search", "draw", 1, "--trial", 3, "--db", "my.db").out


def test_a_search_that_found_nothing_goes_on_with_more_trials(found_nothing, tmp_path):
    with closing(connect(tmp_path / "my.db")) as connection, connection:  # as if it were found at last
        easier = "replace(config, 'val_accuracy>=0.95', 'val_accuracy>=0.1')"
        connection.execute(f"UPDATE nst_run SET config = {easier} WHERE number = 1")
    answer = found_nothing("search", "--resume", 1, "--trials", 4, "--here", "--db", "my.db")
    assert answer.code == 0, answer.err
    assert "4 trials of space mlp, resumes at trial 4" in answer.err
    assert "4 of 4 ended" in found_nothing("search", "status", "--db", "my.db").out


def test_a_search_without_a_trained_trial_says_how_to_draw_one(digits, tmp_path):
    with closing(connect(tmp_path / "nasturtium.db")) as connection, connection:
        connection.execute("UPDATE nst_run SET state = 'failed' WHERE kind = 'trial' OR number = 1")
        connection.execute("UPDATE nst_run SET kind = 'train' WHERE kind = 'eval'")  # there is no report
    answer = digits("search", "draw", 1)
    assert answer.code == 2
    assert "hint: draw one that was not: nasturtium search draw 1 --trial 1" in answer.err
    assert digits("search", "draw", 1, "--trial", 1).code == 0


@pytest.mark.parametrize(
    ("ref", "code", "said"),
    [(1, 2, "already finished"), (9, 3, "there is no run 9"), ("x", 3, "expected a run's number")],
)
def test_what_cannot_be_resumed(digits, ref, code, said):
    answer = digits("search", "--resume", ref)
    assert (answer.code, said in answer.err) == (code, True)


def test_what_is_no_search_is_not_resumed(digits, tmp_path):
    trial = json.loads(digits("history", "list", "--kind", "trial", "--json").out)[0]["uid"]
    answer = digits("search", "--resume", trial)
    assert (answer.code, "expected a search" in answer.err) == (2, True)


def test_a_search_that_another_process_runs_is_busy(digits, tmp_path):
    with closing(connect(tmp_path / "nasturtium.db")) as connection, connection:
        connection.execute("UPDATE nst_run SET state = 'running', pid = 1, born = NULL WHERE number = 1")
        connection.execute("UPDATE nst_run SET ended_us = NULL WHERE number = 1")
    answer = digits("search", "--resume", 1)
    assert (answer.code, "in the hands of process 1" in answer.err) == (4, True)


def test_an_earlier_search_is_learned_from_by_number_and_kept_by_uid(digits, tmp_path, quick_words):
    words = ("--space", "mlp", "--trials", 1, "--epochs", 1, *quick_words, "--warm-start", 1, "--json")
    answer = digits("search", "--data", "digits", *words)
    assert answer.code == 0, answer.err
    first = json.loads(digits("history", "show", 1, "--json").out)["uid"]
    assert json.loads(answer.out)["config"]["warm_start"] == [first]
    assert digits("search", "--data", "digits", "--warm-start", 99).code == 3


# What it says on the way.


@pytest.fixture
def record(digits_folder):
    with open_database(digits_folder / "nasturtium.db", create=False) as database:
        past = History(database)
        return past.search(past.find(1).uid)


def told(capsys, *events, **options) -> list[str]:
    with SearchProgress(**options) as progress:
        for event in events:
            progress(event)
    return capsys.readouterr().err.splitlines()


def test_events_are_lines_in_a_pipe(capsys, record):
    lines = told(
        capsys,
        SearchStarted(record, "val_accuracy", 0, None),
        TrialStarted(0, 1),
        TrialProgress(0, 2, 6, {"val_accuracy": 0.5}),
        TrialLost(0, "killed (signal 9)"),
        TrialStarted(0, 2),
        TrialFinished(0, "completed", 0.9, 0.9),
        TrialFinished(1, "failed", None, 0.9, "out of memory"),
        TrialsEnded("wall time", 2, 3),
        Working("testing once"),
    )
    assert lines[0] == f"search 1 ({record.uid}) on digits: 3 trials of space mlp, starts with trial 1"
    assert lines[1:3] == ["trial 1 was lost (killed (signal 9)): it is tried again", "trial 1 begins again, attempt 2"]
    assert lines[3].startswith("trial 1/3 completed: 0.9000, best 0.9000, ")
    assert lines[4].startswith("trial 2/3 failed (out of memory): -, best 0.9000, ")
    assert lines[5:] == ["trials ended by the time it had: 2 of 3: 1 completed, 1 failed", "testing once"]


def test_a_search_for_workers_says_how_to_start_one(capsys, record):
    lines = told(capsys, SearchStarted(record, "val_accuracy", 0, None), remote=True, db="team.db")
    assert lines[1].endswith("nasturtium worker --study 1 --db team.db")


def test_a_resumed_search_says_where_it_is(capsys, record):
    started = SearchStarted(record, "val_accuracy", 2, 0.5, {"completed": 1, "pruned": 1})
    line, *_, last = told(capsys, started, TrialFinished(2, "completed", 0.4, 0.5), TrialsEnded("trials", 3, 3))
    assert line.endswith("3 trials of space mlp, resumes at trial 3")
    assert last == "3 trials ended: 2 completed, 1 pruned", "those of the earlier process are counted, too"


def test_one_line_moves_on_a_terminal(capsys, record, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    text = "\n".join(
        told(
            capsys,
            SearchStarted(record, "val_accuracy", 0, None),
            TrialStarted(0, 1),
            TrialStarted(1, 1),
            TrialFinished(0, "completed", 0.9, 0.9),
            TrialFinished(1, "failed", None, 0.9, "time limit"),
            Working("testing once"),
        )
    )
    assert "trial 2 failed (time limit)" in text
    assert "trial 1/3 completed" not in text


def test_every_command_is_one_call():
    for name in ("search", "search_status", "stop_search", "search_report", "work"):
        assert callable(getattr(library, name))
