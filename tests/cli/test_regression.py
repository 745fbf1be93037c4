"""A search with goals of its own: measurements, several objectives, constraints; everywhere it is looked at."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import numpy as np
import pytest

from nasturtium import load_run_model, open_history
from nasturtium.cli.schema import DIALECT, SCHEMAS


def checked(name: str, text: str):
    document = json.loads(text)
    jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS[name]}).validate(document)
    return document


def test_it_is_listed_by_its_goal(measured, monkeypatch):
    [row] = checked("history list", measured("history", "list", "--json").out)
    assert (row["goal"], row["val_accuracy"], row["test_accuracy"]) == ("val_r2", None, None)
    assert row["value"] <= 1
    assert row["test_value"] == json.loads(measured("history", "show", 1, "--json").out)["metrics"]["test_r2"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    heading, line = measured("history", "list").out.splitlines()
    assert heading.split()[:6] == ["id", "kind", "data", "size", "goal", "best"]
    assert " R2 " in line


def test_it_is_shown_by_its_goals(measured):
    shown = checked("history show", measured("history", "show", 1, "--json").out)
    assert shown["search"]["objectives"] == [
        {"name": "val_r2", "direction": "maximize"},
        {"name": "parameters", "direction": "minimize"},
    ]
    assert shown["search"]["constraints"] == ["parameters <= 100000"]
    assert all(trial["parameters"] <= 100_000 for trial in shown["front"])
    figures = [trial["figures"]["val_r2"] for trial in shown["front"]]
    assert figures == sorted(figures, reverse=True)
    text = measured("history", "show", 1).out
    goals = "goals      maximize val_r2, minimize parameters; parameters <= 100000"
    for part in (goals, "validation R2 ", "test       R2 "):
        assert part in text
    assert "accuracy" not in text


def test_its_front_has_its_goals_for_columns(measured):
    rows = list(csv.DictReader(io.StringIO(measured("history", "pareto", 1, "--format", "csv").out)))
    assert list(rows[0]) == ["trial", "val_r2", "parameters", "macs", "seconds", "uid"]
    front = checked("history pareto", measured("history", "pareto", 1, "--json").out)
    sizes = [row["parameters"] for row in front]
    assert sizes == sorted(sizes, reverse=True)  # a better one is larger: else it would beat the other


def test_its_report_is_of_measurements(measured):
    report = checked("search report", measured("search", "report", "--json").out)
    assert report["metric"] == "r2"
    assert "ridge" in {model["name"] for model in report["models"]}
    assert report["constraints"] == ["parameters <= 100000"]
    header = measured("search", "report").out.splitlines()[0]
    assert header.endswith("goals: maximize val_r2, minimize parameters; constraints: parameters <= 100000")
    assert any("mean absolute error" in verdict for verdict in report["verdicts"])


def test_the_best_run_is_found_and_predicts_in_units_of_the_targets(measured, tmp_path):
    with open_history(tmp_path / "nasturtium.db") as history:
        assert history.find("@best").number == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "measured.csv").read_text())))
    answer = measured("predict", "@best", "measured.csv", "--json")
    said = checked("predict", answer.out)
    assert [row["row"] for row in said] == list(range(1, len(rows) + 1))
    assert 300 < np.mean([row["prediction"] for row in said]) < 1700
    table = list(csv.DictReader(io.StringIO(measured("predict", 1, "measured.csv", "--format", "csv").out)))
    assert list(table[0]) == ["row", "prediction"]
    inputs = np.array([[float(row[name]) for name in "abc"] for row in rows])
    exact = load_run_model(1, db=tmp_path / "nasturtium.db").predict(inputs)[:, 0]
    np.testing.assert_allclose([float(row["prediction"]) for row in table], exact, rtol=1e-5)


def test_several_targets_are_columns_of_their_own(command, capsys):
    from nasturtium.cli.output import Format
    from nasturtium.cli.predict import _print_measurements

    class Saved:
        class preprocessing:
            class task:
                targets = ("left", "right")

        def predict(self, inputs):
            return np.float32([[1.5, -2.25], [0.1, 1e6]])

    _print_measurements(Saved(), np.zeros((2, 1)), Format.JSON)
    said = checked("predict", capsys.readouterr().out)
    assert said[1] == {"row": 2, "prediction": {"left": 0.1, "right": 1e6}}
    _print_measurements(Saved(), np.zeros((2, 1)), Format.CSV)
    assert capsys.readouterr().out.splitlines()[:2] == ["row,left,right", "1,1.5,-2.25"]


def test_curves_are_those_of_the_best_by_its_goal(measured):
    answer = measured("history", "curve", 1, "val_r2")
    assert "of its trial" in answer.err
    assert answer.code == 0


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed (extra: plot)")
@pytest.mark.parametrize(("kind", "said"), [("pareto", "R2 against size: search 1"), ("parallel", "validation r2")])
def test_figures_are_of_its_goals(measured, tmp_path, kind, said):
    answer = measured("history", "plot", 1, "-o", "x.svg", "--kind", kind)
    assert answer.code == 0, answer.err
    texts = [" ".join(each.itertext()) for each in ElementTree.parse(tmp_path / "x.svg").iterfind(".//{*}text")]
    assert said in " ".join(" ".join(texts).split())


def test_it_is_watched_by_its_goal(measured):
    text = measured("search", "status").out
    assert "goals      maximize val_r2, minimize parameters" in text
    assert "val_r2 " in text


def test_its_front_is_the_same_wherever_it_is_shown(measured):
    """Of several goals it is by these alone, and says so."""
    tabled = [row["trial"] for row in csv.DictReader(io.StringIO(measured("history", "pareto", 1, "--format=csv").out))]
    report = json.loads(measured("search", "report", "--json").out)["front"]
    assert [f"{row['trial']:g}" for row in report] == tabled
    assert set(report[0]) == {"trial", "val_r2", "parameters"}
    assert "Pareto front of 5 trials (val_r2, parameters):" in measured("search", "report").out
    assert "Pareto front (validation R2, parameters)" in measured("history", "show", 1).out


def test_trials_have_no_test_figure(measured):
    """In a pipe an empty field stays one: only a search and what it saved were tested."""
    rows = list(csv.DictReader(io.StringIO(measured("history", "list", "--kind", "trial", "--format", "csv").out)))
    assert len(rows) == 5
    assert {(row["test_value"], row["test_accuracy"], row["val_accuracy"]) for row in rows} == {("", "", "")}
    assert all(float(row["value"]) <= 1 for row in rows)
    lines = [line.split("\t") for line in measured("history", "list", "--kind", "trial").out.splitlines()]
    place = lines[0].index("test_value")
    assert {line[place] for line in lines[1:]} == {""}
    [*told] = json.loads(measured("history", "list", "--kind", "trial", "--json").out)
    assert {row["test_value"] for row in told} == {None}
