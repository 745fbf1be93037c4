"""`nasturtium history` and `nasturtium model` on one small history: a search, a federated run, a run of one's own."""

from __future__ import annotations

import json
import math
import shutil
import xml.etree.ElementTree as ElementTree

import pytest

import nasturtium
from nasturtium.storage import Tracker, open_database


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits_folder):
    """The folder of a history that is only copied: three runs, 1 to 3."""
    folder = tmp_path_factory.mktemp("history")
    db = folder / "nasturtium.db"
    shutil.copytree(digits_folder, folder, dirs_exist_ok=True)
    nasturtium.federate("digits", model=1, rounds=2, clients=3, epochs=1, db=db, scheme="plain", experiment="sites")
    with open_database(db) as database, Tracker(database) as tracker:
        run = tracker.start_run("mine", config={"op": "sep3", "depth": 4, "deep": {"width": 64}})
        for step in range(50):
            tracker.log(run, {"loss": 1 / (step + 1), "odd/name": math.nan if step % 7 == 0 else step}, step=step)
        tracker.finish(run, state="completed", metrics={"val_accuracy": 0.25, "worst": math.inf})
    return folder


@pytest.fixture
def history(made, command, tmp_path):
    """`command`, in a copy of that folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return command


def table(text: str) -> list[dict[str, str]]:
    heading, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(heading, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], ["3", "2", "1"], id="all"),
        pytest.param(["--limit", 1], ["3"], id="limit"),
        pytest.param(["--kind", "federated"], ["2"], id="kind"),
        pytest.param(["--kind", "train"], ["3"], id="kind-of-ones-own"),
        pytest.param(["--experiment", "sites"], ["2"], id="experiment"),
        pytest.param(["--where", "val_accuracy > 0.3 and parameters < 200000"], ["2", "1"], id="where"),
        pytest.param(["--sort", "val_accuracy"], ["3"], id="sort-starts-with-the-least"),
        pytest.param(["--where", "op == 'sep3'"], ["3"], id="by-parameter"),
        pytest.param(["--where", "width in (64, 128)"], ["3"], id="by-the-end-of-a-name"),
        pytest.param(["--where", "seed == 77"], [], id="none"),
    ],
)
def test_list_answers(history, words, expected):
    answer = history("history", "list", *words)
    assert answer.code == 0, answer.err
    assert [row["id"] for row in table(answer.out)][: len(expected) or None] == expected


def test_trials_are_listed_by_their_whole_ulid(history):
    rows = table(history("history", "list", "--kind", "trial", "--sort", "-val_accuracy").out)
    assert len(rows) == 3
    accuracies = [float(row["val_accuracy"] or "nan") for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert history("history", "show", rows[0]["uid"].lower()).code == 0


def test_a_query_shows_what_it_asked_for(history):
    answer = history("history", "query", 'kind == "trial" and val_acc > .1 order by val_acc desc limit 2')
    rows = table(answer.out)
    assert [row["kind"] for row in rows] == ["trial", "trial"]
    assert float(rows[0]["val_acc"]) >= float(rows[1]["val_acc"])
    document = json.loads(history("history", "query", "kind == 'train'", "--json").out)
    assert document[0]["params"] == {"deep.width": 64, "depth": 4, "op": "sep3"}
    assert document[0]["metrics"]["worst"] == "Infinity"
    [asked] = json.loads(history("history", "query", "params < 90000 and kind == 'search'", "--json").out)
    assert asked["values"] == {"params": asked["metrics"]["parameters"]}
    assert table(history("history", "query", "params < 90000 and kind == 'search'").out)[0]["params"] == str(
        asked["values"]["params"]
    )


def test_the_sql_of_a_query_runs_as_it_is(history):
    question = "min(loss) < 0.5 and max(`odd/name`) > 3"
    asked = [row["id"] for row in table(history("history", "query", question).out)]
    statement = history("history", "query", question, "--sql").out
    assert "nst_metric" in statement
    ids = history("history", "sql", f"select number from nst_run where id in ({statement})").out.split()[1:]
    assert ids == asked == ["3"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        pytest.param("val_acc >", "expected a name", id="unfinished"),
        pytest.param("nothing_of_that_name > 1", "there is no name", id="unknown-name"),
        pytest.param("kind == 'serch'", "search", id="unknown-word"),
        pytest.param("'; drop table nst_run; --", "", id="injection"),
        pytest.param("(" * 99, "", id="deep"),
    ],
)
def test_what_is_no_question_is_refused(history, question, message):
    answer = history("history", "query", question)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "statement",
    [
        "delete from nst_run",
        "select 1; delete from nst_run",
        "pragma writable_schema=1",
        "attach 'x.db' as x",
        "nonsense",
    ],
)
def test_sql_only_reads(history, statement):
    answer = history("history", "sql", statement)
    assert (answer.code, answer.out) == (2, "")
    assert len(table(history("history", "list").out)) == 3


def test_columns_of_one_name_are_told_apart(history):
    rows = json.loads(history("history", "sql", "select 1 as a, 2 as a, 3 as b", "--json").out)
    assert rows == [{"a": 1, "a_2": 2, "b": 3}]
    rows = json.loads(history("history", "sql", "select 1 as a, 2 as a, 3 as a_2", "--json").out)
    assert rows == [{"a": 1, "a_3": 2, "a_2": 3}]


def test_compare_shows_what_differs(history):
    every = table(history("history", "compare", 1, 2, 3).out)
    changed = table(history("history", "compare", 1, 2, "--changed").out)
    names = {row["name"] for row in every}
    assert {"kind", "metric.val_accuracy", "param.op", "seed"} <= names
    assert {row["name"] for row in changed} < names
    assert all(row["1"] != row["2"] for row in changed)
    assert history("history", "compare", 1).code == 2


def test_a_curve_in_a_pipe_is_its_points(history):
    rows = table(history("history", "curve", 3, "odd/name").out)
    assert len(rows) == 50
    assert [row["value"] for row in rows[:2]] == ["NaN", "1.0"]
    document = json.loads(history("history", "curve", 3, "odd/name", "--json").out)
    assert document["points"][0][:2] == [0, "NaN"]


def test_a_curve_on_a_terminal_is_drawn(history, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    drawn = history("history", "curve", 3, "loss")
    assert drawn.code == 0
    assert "50 points, min 0.0200 at 49, max 1.0000 at 0, last 0.0200 at 49" in drawn.out
    assert max(map(len, drawn.out.splitlines())) <= 70
    overview = history("history", "curve", 3)
    assert "loss" in overview.out
    assert "▁" in overview.out


def test_the_curves_of_a_search_are_those_of_its_best(history):
    answer = history("history", "curve", 1, "val_accuracy")
    assert len(table(answer.out)) == 6
    assert "of its trial" in answer.err
    assert history("history", "curve", 1, "nothing").code == 3


def test_what_was_sampled_of_the_machine(history):
    assert {row["metric"] for row in table(history("history", "curve", 1, "--system").out)} >= {"cpu_percent"}
    assert history("history", "curve", 3, "--system").code == 3
    assert "gpu9" in history("history", "curve", 1, "gpu9", "--system").err


def test_the_front_is_the_one_of_show(history):
    front = table(history("history", "pareto", 1).out)
    shown = json.loads(history("history", "show", 1, "--json").out)["front"]
    assert [row["uid"] for row in front] == [trial["uid"] for trial in shown]
    assert history("history", "pareto", 2).code == 2


def test_a_model_leads_back_to_everything(history):
    told = history("history", "lineage", "digits:2").out
    for part in ("model digits, version 2", "saved by federated 2", "2 rounds with 3 sites", "epsilon is unbounded"):
        assert part in told
    for part in ("retrains trial", "proposed by search 1", "trained on data digits", "trained at a site on"):
        assert part in told
    document = json.loads(history("history", "lineage", "digits:2", "--json").out)
    assert {node["kind"] for node in document["nodes"]} == {"run", "dataset", "architecture", "artifact", "version"}
    sha256 = next(node["sha256"] for node in document["nodes"] if node["kind"] == "artifact")
    assert json.loads(history("history", "lineage", sha256[:12], "--json").out)["nodes"][0]["sha256"] == sha256
    assert "served" not in history("history", "lineage", 1, "--results").out
    assert history("history", "lineage", "digits:9").code == 3


def test_tags_and_notes(history):
    assert history("history", "tag", 1, "paper", "owner=Ada Lovelace", "a=b=c").out.splitlines() == [
        "a=b=c",
        "owner=Ada Lovelace",
        "paper",
    ]
    assert [row["id"] for row in table(history("history", "list", "--where", "owner ~ 'ada'").out)] == ["1"]
    assert [row["id"] for row in table(history("history", "list", "--where", "paper").out)] == ["1"]
    answer = history("history", "tag", 1, "--remove", "paper", "--remove", "nothing")
    assert "paper" not in answer.out
    assert "no tag 'nothing'" in answer.err
    history("history", "note", 1, "it diverged\nat night")
    assert "it diverged" in history("history", "note", "@best").out
    assert "note" in history("history", "show", 1).out


def test_deleted_is_not_gone_until_purged(history, tmp_path):
    statement = "select count(*) as n from nst_run where number is null"
    below = json.loads(history("history", "sql", statement, "--json").out)[0]["n"]
    runs = f"{1 + below} runs"  # with its trials and what was trained again
    assert f"deleted {runs}" in history("history", "delete", 1).out
    assert [row["id"] for row in table(history("history", "list").out)] == ["3", "2"]
    assert [row["id"] for row in table(history("history", "list", "--deleted").out)] == ["1"]
    assert "deleted" in history("history", "show", 1).out
    assert f"restored {runs}" in history("history", "restore", 1).out
    history("history", "delete", 1)
    assert f"would purge {runs}" in history("history", "purge", "--older-than", "0d", "--dry-run").out
    refused = history("history", "purge", "--older-than", "0d")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert f"purged {runs}" in history("history", "purge", "--older-than", "0d", "--yes").out
    assert history("history", "show", 1).code == 3
    assert history("db", "check").code == 0
    assert history("privacy", "verify").code == 0
    assert history("history", "purge", "--older-than", "soon").code == 2


def test_models_are_listed_shown_and_promoted(history):
    assert [row["version"] for row in table(history("model", "list").out)] == ["2", "1"]
    promoted = json.loads(history("model", "promote", "digits:1", "production", "--json").out)
    assert promoted["aliases"] == ["production"]
    assert json.loads(history("model", "show", "digits@production", "--json").out) == promoted
    assert history("model", "register", "other", 2).code == 0
    assert history("model", "show", "nothing").code == 3
    assert history("model", "register", "other", 3).code == 2  # it saved no model


def test_plots_are_drawn_of_it(history, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plot)")
    for run, kind in ((1, "pareto"), (2, "rounds"), (3, "curves")):
        assert history("history", "plot", run, "-o", f"{kind}.svg").code == 0
        assert ElementTree.parse(tmp_path / f"{kind}.svg").getroot().tag.endswith("svg")


def test_python_asks_the_same(history):
    with nasturtium.open_history() as past:
        assert [run.number for run in past.runs(where="val_accuracy > 0.3", sort="number")] == [1, 2]
        [mine] = past.ask("op == 'sep3'")
        assert past.curve(mine.uid, "loss").values[0] == 1.0
        assert past.frame("kind == 'trial'").to_polars().height == 3
        count = past.sql("select count(*) from nst_run").rows[0][0]
        assert len(past.frame().to_pandas()) == count
        assert past.frame().to_arrow().num_rows == count
        assert past.sql("select count(*) from nst_round").rows == ((2,),)
        assert past.experiments() == {"default": 2, "sites": 1}
        assert [event.kind for event in past.events(mine.uid)] == ["started", "ended"]
        assert past.events(after=past.events()[-1].id) == []
        assert "nst_run" in past.explain("kind == 'trial'")
