"""`nasturtium search spaces`, `space`, `strategies` and `draw`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest

from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.nas.spaces import SPACES
from nasturtium.nas.strategies import STRATEGIES, registry


def checked(name: str, text: str):
    document = json.loads(text)
    jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS[name]}).validate(document)
    return document


def test_all_spaces_are_listed(command):
    rows = checked("search spaces", command("search", "spaces", "--json").out)
    assert [row["space"] for row in rows] == list(SPACES)
    assert all(len(row["description"]) > 10 for row in rows)


def test_spaces_are_measured_for_data(command):
    rows = {
        row["space"]: row
        for row in checked("search spaces", command("search", "spaces", "--data", "digits", "--json").out)
    }
    assert [name for name, row in rows.items() if row["default"]] == ["cnn"]
    assert rows["nb201"]["networks"] == 15_625
    assert rows["mlp"]["least_parameters"] < rows["mlp"]["most_parameters"]
    assert not rows["rnn"]["fits"]
    assert "needs sequences" in rows["rnn"]["why_not"]


@pytest.mark.parametrize("columns", ["60", "120"])
@pytest.mark.parametrize("words", [["spaces"], ["spaces", "--data", "digits"], ["strategies"]], ids=" ".join)
def test_sentences_go_on_in_further_lines(command, monkeypatch, columns, words):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = command("search", *words).out.splitlines()
    assert max(map(len, lines[:-1])) <= max(int(columns), 80)
    assert not any("…" in line for line in lines)


def test_all_strategies_are_listed(command):
    rows = checked("search strategies", command("search", "strategies", "--json").out)
    assert [row["strategy"] for row in rows] == list(STRATEGIES)
    assert [row["strategy"] for row in rows if row["default"]] == ["predictor"]


@pytest.mark.parametrize("there", [True, False])
def test_strategies_say_which_extra_they_need_and_whether_it_is_there(command, monkeypatch, there):
    monkeypatch.setattr(registry, "find_spec", lambda name: object() if there else None)
    rows = {row["strategy"]: row for row in json.loads(command("search", "strategies", "--json").out)}
    assert {name: row["extra"] for name, row in rows.items() if row["extra"]} == {
        "optuna-gp": "gp",
        "cmaes": "cmaes",
        "qmc": "qmc",
    }
    assert [name for name, row in rows.items() if not row["installed"]] == (
        [] if there else ["optuna-gp", "cmaes", "qmc"]
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    said = command("search", "strategies").out
    assert f"needs nasturtium[cmaes], which {'is' if there else 'is not'} installed" in said


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_space_is_printed_edited_and_searched(command, tmp_path, quick_words, suffix):
    printed = command("search", "space", "mlp", "--data", "digits", "--format", suffix).out
    document = tomllib.loads(printed) if suffix == "toml" else json.loads(printed)
    assert document["name"] == "mlp"
    file = tmp_path / f"mine.{suffix}"
    file.write_text(printed.replace('"mlp"', '"mine"'))
    again = command("search", "space", file, "--data", "digits", "--format", suffix).out
    assert again == file.read_text()
    if suffix == "toml":
        words = ("--data", "digits", "--space", file.name, "--trials", 1, "--epochs", 1, *quick_words, "--json")
        answer = command("search", *words)
        assert json.loads(answer.out)["search"]["space"] == "mine", answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["space", "mlp"], "no data was named"),
        (["space", "x", "--data", "digits"], "unknown space 'x': expected one of"),
        (["space", "rnn", "--data", "digits"], "needs sequences"),
        (["space", "absent.toml", "--data", "digits"], "cannot be read"),
        (["spaces", "--data", "nosuch"], "unknown data set"),
        (["space"], "Missing argument"),
    ],
    ids=str,
)
def test_what_cannot_be_shown(command, words, said):
    answer = command("search", *words)
    assert (answer.code, said in answer.err) == (2, True), answer.err


def test_networks_are_drawn(digits, tmp_path):
    shown = json.loads(digits("history", "show", 1, "--json").out)
    best = shown["best"]["trial"]
    drawn = digits("search", "draw", 1).out
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert digits("search", "draw", 1, "--trial", best).out == drawn
    assert digits("search", "draw", shown["best"]["uid"]).out == drawn
    assert digits("search", "draw", "digits:1", "-o", "best.svg").out == "best.svg\n"
    assert (tmp_path / "best.svg").read_text() == drawn
    other = shown["trials"][0]["uid"]
    assert digits("search", "draw", 1, "--against", other).out != drawn


def test_what_cannot_be_drawn(digits, tmp_path):
    for words, code, said in (
        (["9"], 3, "there is no run 9"),
        (["1", "--trial", "99"], 2, "has no trial 99"),
        (["digits:99"], 3, "there is no model"),
        (["1", "-o", "no/such/folder.svg"], 2, "there is no folder"),
        (["1", "-o", "."], 2, "is a folder"),
    ):
        answer = digits("search", "draw", *words)
        assert (answer.code, said in answer.err) == (code, True), answer.err


def test_networks_of_different_spaces_are_not_compared(digits, quick_words):
    words = ("--data", "digits", "--space", "resmlp", "--trials", 1, "--epochs", 1, *quick_words)
    assert digits("search", *words).code == 0
    answer = digits("search", "draw", 1, "--against", 2)
    assert (answer.code, "their decisions do not compare" in answer.err) == (2, True)


def test_a_named_space_is_found_in_a_fresh_process():
    """The registry is filled by whoever asks for a name, not by what happened to be imported before."""
    program = "from nasturtium.cli import main; main()"
    words = ["search", "space", "cnn", "--data", "digits"]
    said = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True).stdout
    document = tomllib.loads(said)
    assert document["name"] == "cnn"
    assert max(map(len, said.splitlines())) < 400  # to be read and edited
