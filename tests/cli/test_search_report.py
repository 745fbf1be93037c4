"""What is said of a finished search: at its end, and by `nasturtium search report`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nasturtium.cli.search.result import closing_lines
from nasturtium.nas.finale import SearchReport


@pytest.fixture
def report(digits) -> SearchReport:
    return SearchReport.from_dict(json.loads(digits("search", "report", "--json").out))


@pytest.mark.parametrize(
    ("goals", "names"),
    [
        (("maximize val_accuracy",), ["accuracy"]),
        (("minimize val_loss",), ["loss", "accuracy"]),
        (("maximize val_f1", "minimize parameters", "maximize val_auroc"), ["f1", "auroc", "accuracy"]),
        (("minimize latency_ms", "maximize val_of_my_own"), ["accuracy"]),
    ],
)
def test_goals_are_told_of_the_test_rows_as_well(report, goals, names):
    report = replace(report, goals=goals)
    model = report.model.test
    said = ", ".join(f"{name} {model[name]:.4f}" for name in names)
    assert f"model          {said}  " in report.to_text()
    constant = next(line for line in report.to_text().splitlines() if line.startswith("  constant"))
    assert ("loss -, accuracy" in constant) == ("loss" in names), "scores of a simple model have no loss"
    closing = closing_lines(report)[0]
    assert [name for name in ("loss", "F1", "AUROC") if f"test {name} " in closing] == [
        word for word in ("loss", "F1", "AUROC") if word.lower() in names
    ]
    rows = report.rows["test"]
    assert f"test accuracy {model['accuracy']:.4f} ({round(model['accuracy'] * rows)} of {rows} rows)" in closing


def test_of_a_regression_the_errors_are_told(measured):
    report = SearchReport.from_dict(json.loads(measured("search", "report", "--json").out))
    for goals in (report.goals, ("minimize val_mae",)):
        closing = closing_lines(replace(report, goals=goals))[0]
        assert closing.endswith(f" on {report.rows['test']} rows")
        for name in ("R2", "MAE", "RMSE"):
            assert closing.count(f"test {name} ") == 1
    assert f"model          mae {report.model.test['mae']:.4f}, r2" in replace(report, goals=goals).to_text()
