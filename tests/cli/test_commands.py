"""The commands do what they say, as tables for people and as JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from nasturtium import load_run_model, open_history
from nasturtium.core.data import load_dataset

QUICK = ("--here", "--top", 1, "--repeats", 1)
SEARCH = ("search", "--data", "digits", "--trials", 2, "--epochs", 6, "--seed", 1, "--space", "mlp", *QUICK)


def digits_csv(path, rows: int = 5) -> list[str]:
    data = load_dataset("digits")
    lines = [",".join(data.task.features)]
    lines += [",".join(str(int(v)) for v in row) for row in data.inputs[:rows].reshape(rows, -1)]
    path.write_text("\n".join(lines))
    return [data.task.classes[label] for label in data.labels[:rows]]


def test_search_then_ask_then_predict_then_federate(command, tmp_path):
    """The whole path, as the README tells it."""
    searched = command(*SEARCH)
    assert searched.code == 0
    assert "Pareto front" in searched.out
    assert "test accuracy" in searched.out
    assert "trial 2/2" in searched.err
    assert (tmp_path / "nasturtium.db").exists()

    listed = command("history", "list", "--json")
    [row] = json.loads(listed.out)
    assert (row["id"], row["kind"], row["data"], row["state"], row["trials"]) == (1, "search", "digits", "completed", 2)
    assert 0.5 < row["test_accuracy"] <= 1

    shown = json.loads(command("history", "show", 1, "--json").out)
    assert len(shown["trials"]) == 2
    assert shown["best"]["spec"]["format"] == "nasturtium.model-spec"
    assert shown["environment"]["packages"]["numpy"] == np.__version__
    assert 1 <= len(shown["curves"]["retrain/train_loss"]) <= 6
    assert {trial["uid"] for trial in shown["front"]} <= {trial["uid"] for trial in shown["trials"]}

    people = command("history", "show", row["uid"])
    for part in ("search 1 on digits: completed", "Pareto front", "Best architecture", "Curves", "Environment"):
        assert part in people.out

    labels = digits_csv(tmp_path / "my.csv")
    predicted = command("predict", "@best", "my.csv", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(predicted.out)))
    assert [int(row["row"]) for row in rows] == [1, 2, 3, 4, 5]
    assert np.mean([row["prediction"] == label for row, label in zip(rows, labels, strict=True)]) >= 0.6
    folder = shown["model"]
    assert command("predict", folder, "my.csv", "--format", "csv").out == predicted.out

    federated = command("federate", "simulate", "--data", "digits", "--model", 1, "--rounds", 2, "--epochs", 1)
    assert federated.code == 0
    assert "updates under packed" in federated.out
    [run] = json.loads(command("history", "list", "--kind", "federated", "--json").out)
    assert (run["id"], run["rounds"], run["parameters"]) == (2, 2, row["parameters"])
    rounds = json.loads(command("history", "show", "@last", "--json").out)["rounds"]
    assert [each["round"] for each in rounds] == [1, 2]
    assert all(each["participants"] == 4 and each["accuracy"] is not None for each in rounds)
    assert "Rounds" in command("history", "show", 2).out


def test_the_scheme_is_said_and_the_packed_one_is_near_to_plain(command):
    words = ("federate", "simulate", "--data", "digits", "--rounds", 1, "--epochs", 1, "--clients", 3, "--json")
    sent, accuracy = {}, set()
    for scheme, *options in (("packed",), ("ckks-approximate", "--ckks"), ("plain", "--plain")):
        [only] = json.loads(command(*words, *options).out)["rounds"]
        sent[scheme] = only["bytes_up"]
        accuracy.add(only["accuracy"])
        shown = json.loads(command("history", "show", "@last", "--json").out)
        assert shown["federation"]["scheme"] == scheme
    assert sent["plain"] < sent["packed"] < sent["ckks-approximate"]
    assert len(accuracy) == 1


def test_fewer_bits_are_fewer_bytes(command):
    """In the clear, that is: of a small network an encrypted update is one ciphertext, whatever is in it."""
    words = ("federate", "simulate", "--data", "digits", "--rounds", 1, "--epochs", 1, "--plain", "--json")
    sent = [json.loads(command(*words, "--bits", bits).out)["rounds"][0]["bytes_up"] for bits in (4, 8, 16)]
    assert sent == sorted(set(sent))


def test_a_history_that_is_not_there_yet_is_empty(command):
    answer = command("history", "list", "--json")
    assert (answer.code, json.loads(answer.out)) == (0, [])
    assert "nothing was run here yet" in answer.err


def test_lists_as_csv(digits):
    [row] = csv.DictReader(io.StringIO(digits("history", "list", "--format", "csv").out))
    assert row["id"] == "1"
    assert float(row["val_accuracy"]) > 0.5
    trials = list(csv.DictReader(io.StringIO(digits("history", "show", 1, "--format", "csv").out)))
    assert [trial["trial"] for trial in trials] == ["1", "2", "3"]


def test_json_of_a_command_is_json_of_its_run(command):
    """What `search --json` prints is what `history show --json` will."""
    said = json.loads(command(*SEARCH, "--json").out)
    assert said == json.loads(command("history", "show", 1, "--json").out)
    assert said["best"]["uid"] in {trial["uid"] for trial in said["trials"]}
    assert said["verdicts"]
    assert 0.5 < said["test_accuracy"] <= 1


def test_the_front_as_csv(command):
    rows = list(csv.DictReader(io.StringIO(command(*SEARCH, "--format", "csv").out)))
    assert set(rows[0]) == {"trial", "val_accuracy", "parameters", "macs"}


def test_markup_in_data_is_printed_as_it_is(command, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + 3 * (i % 2):.3f},{('[a]', '[/b]')[i % 2]}" for i in range(60)]
    (tmp_path / "[bold].csv").write_text("\n".join(["x,label", *rows]))
    words = ("search", "--data", "[bold].csv", "--target", "label", "--trials", 1, "--epochs", 3)
    assert command(*words, *QUICK).code == 0
    assert "[bold].csv" in command("history", "list").out
    said = command("predict", "@best", "[bold].csv").out
    assert "[a]" in said or "[/b]" in said


def test_a_password_is_not_printed(command, monkeypatch):
    """The hint after Ctrl-C may end in a log."""

    def interrupt(*args, observe, **options):
        observe.number = 1
        raise KeyboardInterrupt

    monkeypatch.setattr("nasturtium.cli.library.search", interrupt)
    answer = command(*SEARCH, "--db", "postgresql://me:secret@localhost/x")
    assert answer.code == 130
    assert "--resume 1 --db URL" in answer.err
    assert "secret" not in answer.err


def test_a_folder_that_is_gone_is_made_again_from_the_artifacts(digits, tmp_path):
    digits_csv(tmp_path / "my.csv")
    predicted = digits("predict", 1, "my.csv").out
    folder = Path(json.loads(digits("history", "show", 1, "--json").out)["model"])
    assert folder.parent == tmp_path / "nasturtium.models"
    shutil.rmtree(folder)
    assert digits("predict", 1, "my.csv").out == predicted
    assert (folder / "weights.safetensors").is_file()


def test_a_model_outside_the_models_folder_is_refused(digits, tmp_path):
    digits_csv(tmp_path / "my.csv")
    shutil.rmtree(tmp_path / "nasturtium.models")
    with closing(sqlite3.connect(tmp_path / "nasturtium.db")) as connection:
        connection.execute("UPDATE nst_run_artifact SET name = '../../escaped' WHERE name = 'model.json'")
        connection.commit()
    answer = digits("predict", 1, "my.csv")
    assert (answer.code, "outside" in answer.err) == (6, True)
    assert not (tmp_path.parent / "escaped").exists()


def test_the_database_is_chosen_by_option_or_environment(command, tmp_path, monkeypatch):
    command(*SEARCH, "--db", "here.db")
    assert len(json.loads(command("history", "list", "--db", "here.db", "--json").out)) == 1
    monkeypatch.setenv("NASTURTIUM_DB", str(tmp_path / "here.db"))
    assert len(json.loads(command("history", "list", "--json").out)) == 1
    with open_history() as history:
        assert history.find("@best").number == 1
    assert load_run_model("@best").spec.plan().output_shape == (10,)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        pytest.param(("--epochs", 7), "started with epochs=6, got 7", id="epochs"),
        pytest.param(("--seed", 2), "started with seed=1, got 2", id="seed"),
        pytest.param(("--data", "digits", "--space", "cnn"), "started with space='mlp', got 'cnn'", id="space"),
    ],
)
def test_resuming_with_other_options_is_refused(digits, words, match):
    answer = digits("search", "--resume", 1, *words)
    assert answer.code == 2
    assert match in answer.err


def test_a_finished_search_is_not_resumed(digits):
    answer = digits("search", "--resume", 1)
    assert answer.code == 2
    assert "already finished" in answer.err


def test_a_damaged_model_is_refused(digits, tmp_path):
    digits_csv(tmp_path / "my.csv")
    weights = Path(json.loads(digits("history", "show", 1, "--json").out)["model"], "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    answer = digits("predict", 1, "my.csv")
    assert answer.code == 1
    assert "checksum differs" in answer.err


def test_a_table_is_searched_and_predicted(command, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + 3 * (i % 2):.3f},{rng.normal():.3f},{('low', 'high')[i % 2]}" for i in range(90)]
    (tmp_path / "table.csv").write_text("\n".join(["level,noise,grade", *rows]))
    assert command("search", "--data", "table.csv", "--target", "grade", "--trials", 2, "--epochs", 8, *QUICK).code == 0
    answer = command("predict", "@best", "table.csv", "--json")
    assert {row["prediction"] for row in json.loads(answer.out)} == {"low", "high"}


def test_help_and_version(command):
    assert "search" in command("--help").out
    assert command("--version").out.startswith("nasturtium ")
    for group in ("search", "history", "federate", "predict"):
        assert command(group, "--help").code == 0


def test_columns_named_by_numbers_are_matched_by_name(command, tmp_path):
    """pandas' default names: a file to predict is all numbers in its first line, and has a header all the same."""
    rng = np.random.default_rng(0)
    labels = [i % 2 for i in range(200)]
    rows = [(rng.normal() + 6 * label, rng.normal(), label) for label in labels]
    lines = ["0,1,target", *(f"{a:.3f},{b:.3f},{label}" for a, b, label in rows)]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    reordered = ["1,0", *(f"{b:.3f},{a:.3f}" for a, b, _ in rows)]
    (tmp_path / "new.csv").write_text("\n".join(reordered))
    command("search", "--data", "train.csv", "--target", "target", "--trials", 1, "--epochs", 20, *QUICK)
    said = json.loads(command("predict", "@best", "new.csv", "--json").out)
    assert len(said) == 200
    assert np.mean([int(row["prediction"]) == label for row, label in zip(said, labels, strict=True)]) > 0.95


def test_large_numbers_keep_their_differences(command, tmp_path):
    """Unix seconds: in 32 bits all of these would be equal."""
    lines = ["when,label", *(f"{1_700_000_000 + i},{'early' if i < 60 else 'late'}" for i in range(120))]
    (tmp_path / "times.csv").write_text("\n".join(lines))
    words = ("search", "--data", "times.csv", "--target", "label", "--trials", 2, "--epochs", 20, *QUICK, "--json")
    assert json.loads(command(*words).out)["test_accuracy"] > 0.9


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_found(command, tmp_path, separator):
    rows = [f"{i % 2 + 0.1 * i}{separator} {i % 3}{separator}{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "table.csv").write_text("\n".join([f"x{separator} y {separator}label", *rows, "", ""]))
    assert command("search", "--data", "table.csv", "--target", "label", "--trials", 1, "--epochs", 2, *QUICK).code == 0


def test_a_search_goes_on_where_its_data_was_moved_to(command, tmp_path, monkeypatch):
    rows = [f"{i % 2 + 0.1 * i},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "old.csv").write_text("\n".join(["x,label", *rows]))

    def interrupt(self, event):
        self.number = 1
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nasturtium.cli.progress.SearchProgress.__call__", interrupt)
        stopped = command("search", "--data", "old.csv", "--target", "label", "--trials", 1, "--epochs", 2, *QUICK)
    assert stopped.code == 130
    (tmp_path / "old.csv").rename(tmp_path / "new.csv")
    assert command("search", "--resume", 1).code == 2
    assert command("search", "--resume", 1, "--data", "new.csv").code == 0


def test_a_federation_of_what_a_search_found_keeps_its_test_rows(command):
    command(*SEARCH, "--seed", 5)
    command("federate", "simulate", "--data", "digits", "--model", 1, "--rounds", 1, "--epochs", 1, "--seed", 9)
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert (shown["config"]["split_seed"], shown["config"]["seed"]) == (5, 9)


def test_tables_fit_a_narrow_terminal(digits, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    heading, row = digits("history", "list").out.splitlines()
    assert heading.startswith("id")
    assert row.startswith("1 ")
    assert max(len(heading), len(row)) <= 40
    assert "completed" in row


def test_in_a_pipe_tables_are_tabs_and_whole_numbers(digits):
    heading, row = (line.split("\t") for line in digits("history", "list").out.splitlines())
    told = dict(zip(heading, row, strict=True))
    assert (told["id"], told["kind"], told["state"]) == ("1", "search", "completed")
    assert len(told["val_accuracy"]) > 6  # not rounded
