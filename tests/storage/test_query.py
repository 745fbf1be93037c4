"""The query language: what a query selects on both engines, what errors say, and laws over random histories."""

import itertools
import math
import operator
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from nasturtium.storage import QueryError
from nasturtium.storage.models import (
    Architecture,
    Environment,
    Experiment,
    Metric,
    Name,
    Param,
    Run,
    Search,
    Tag,
    Trial,
    to_column,
    to_us,
)
from nasturtium.storage.params import param_row
from nasturtium.storage.query import (
    Query,
    Scope,
    combine,
    compile_query,
    compile_steps,
    names_in,
    parse,
    run_query,
    show_sql,
)
from nasturtium.storage.query import language as lang
from nasturtium.storage.query.names import DatabaseNames
from nasturtium.storage.query.times import read_time

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = 86_400_000_000


@dataclass
class Figure:
    """A metric of a run: its figure, and its curve."""

    value: float
    points: list[float] = field(default_factory=list)


@dataclass
class Sample:
    """A run to insert; `id` says how new it is."""

    id: int
    kind: str = "train"
    state: str = "completed"
    name: str = "digits"
    seed: int = 0
    started: int = to_us(datetime(2026, 11, 1, tzinfo=UTC))
    ended: int | None = None
    error: str | None = None
    number: int | None = None
    parent: int | None = None
    deleted: bool = False
    experiment: int = 1
    metrics: Mapping[str, float | Figure] = field(default_factory=dict)
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def put(session, runs: Sequence[Sample]) -> None:
    """Insert the runs and all they need."""
    session.execute(
        insert(Experiment),
        [{"id": i, "uid": f"{i:026}", "name": name, "created_us": 0} for i, name in ((1, "default"), (2, "ablation"))],
    )
    session.execute(insert(Environment), {"id": 1, "sha256": "0" * 64, "body": {}})
    names = {name for run in runs for part in (run.metrics, run.params, run.tags) for name in part}
    ids = {name: i for i, name in enumerate(sorted(names), 1)}
    if ids:
        session.execute(insert(Name), [{"id": i, "name": name} for name, i in ids.items()])
    common = {"config": {}, "environment_id": 1, "host": "here", "pid": 1, "born": None}
    for run in runs:
        row = {name: getattr(run, name) for name in ("id", "kind", "state", "name", "seed", "error", "number")}
        row |= {"uid": f"{run.id:026}", "experiment_id": run.experiment, "parent_id": run.parent}
        row |= {"started_us": run.started, "ended_us": run.ended, "deleted_us": 1 if run.deleted else None}
        session.execute(insert(Run), row | common)
        rows = [metric_row(figure) | {"run_id": run.id, "name_id": ids[name]} for name, figure in run.metrics.items()]
        if rows:
            session.execute(insert(Metric), rows)
        rows = [param_row(value) | {"run_id": run.id, "name_id": ids[name]} for name, value in run.params.items()]
        if rows:
            session.execute(insert(Param), rows)
        rows = [{"run_id": run.id, "name_id": ids[n], "value": v, "edited_us": 0} for n, v in run.tags.items()]
        if rows:
            session.execute(insert(Tag), rows)


def metric_row(figure: float | Figure) -> dict:
    figure = figure if isinstance(figure, Figure) else Figure(figure)
    points = figure.points
    told = [value for value in points if not math.isnan(value)]
    return {
        "value": to_column(figure.value),
        "reported": True,
        "points": len(points),
        "last": to_column(points[-1]) if points else None,
        "min": min(told, default=None),
        "max": max(told, default=None),
    }


nan, inf = math.nan, math.inf
CURVE = {"val_loss": Figure(0.3, [0.9, 0.2, nan, 0.4])}
HISTORY = [
    Sample(1, "search", number=1, ended=to_us(datetime(2026, 11, 1, 0, 1, 30, tzinfo=UTC)), seed=7),
    Sample(
        2,
        "trial",
        parent=1,
        started=to_us(datetime(2026, 11, 2, 10, tzinfo=UTC)),
        metrics={"val_accuracy": 0.95, "train_loss": 0.1, "parameters": 1000} | CURVE,
        params={"width": 64, "cells.0.op": "sep3", "cells.1.op": "conv3", "skip": True, "lr": 0.01},
        tags={"best": "", "owner": "Eva"},
    ),
    Sample(
        3,
        "trial",
        "failed",
        parent=1,
        error="out of memory",
        started=to_us(datetime(2026, 11, 3, tzinfo=UTC)),
        metrics={"val_accuracy": nan, "train_loss": inf, "parameters": 50_000},
        params={"width": 32, "cells.0.op": "skip", "cells.1.op": "sep3", "skip": False, "lr": "auto"},
        tags={"owner": "bob 100%"},
    ),
    Sample(
        4,
        "federated",
        "running",
        "iris",
        number=2,
        experiment=2,
        started=to_us(datetime(2026, 11, 10, 11, 30, tzinfo=UTC)),
        seed=2**62 + 1,
        metrics={"val_accuracy": 0.9, "train_loss": 0.9, "val/acc": 0.5, "limit": 3.0},
        params={"width": 1, "clients": 5, "seed": 11, "rate": 1e-7},
    ),
    Sample(5, "train", number=3, deleted=True, metrics={"val_accuracy": 0.99}, params={"width": 64}),
]


@pytest.fixture
def session(database):
    with database.write() as session:
        put(session, HISTORY)
        session.execute(
            insert(Search),
            {
                "run_id": 1,
                "space": "mlp",
                "space_sha256": "0" * 64,
                "sampler": "tpe",
                "pruner": "none",
                "objectives": [],
                "trials": 2,
                "study_name": "s",
            },
        )
        session.execute(
            insert(Architecture),
            {"id": 1, "sha256": "0" * 64, "space": "mlp", "choices": {}, "spec": {}, "parameters": 1, "macs": 1},
        )
        trial = {"search_id": 1, "architecture_id": 1, "hyperparameters": {}, "optuna_number": None}
        rows = [{"run_id": 2, "number": 0, "attempt": 1}, {"run_id": 3, "number": 1, "attempt": 2}]
        session.execute(insert(Trial), [row | trial for row in rows])
        yield session
        session.rollback()


CASES = {
    # fields
    "": [4, 3, 2, 1],
    "kind == 'trial'": [3, 2],
    "KIND = 'trial'": None,
    "kind != 'trial'": [4, 1],
    "kind in ('trial', 'search') and state != 'failed'": [2, 1],
    "data = 'iris'": [4],
    "name ~ 'IRI'": [4],
    "experiment == 'ablation'": [4],
    "id >= 2": [4],
    "id is null": [3, 2],
    "number in (1, 2)": [4, 1],
    "parent == 1": [3, 2],
    "not parent == 1": [4, 1],
    "trial == 1": [2],
    "attempt > 1": [3],
    "space == 'mlp'": [3, 2, 1],
    "sampler ~ 'P'": [3, 2, 1],
    "error ~ 'memory'": [3],
    "error is null and kind = 'trial'": [2],
    "error != ''": [3],
    "seed == 7": [1],
    "seed == 4611686018427387905": [4],
    "seed == 4611686018427387904": [],
    "seed < 99999999999999999999999999": [4, 3, 2, 1],
    "seed in (7, 99999999999999999999999999, 0.5)": [1],
    "param.seed == 11": [4],
    "seconds == 90": [1],
    "seconds > 89.9 and seconds < 90.1": [1],
    "not seconds == 90": [4, 3, 2],
    "ended is not null": [1],
    "uid is not null": [4, 3, 2, 1],
    "uid is null": [],
    "uid ~ '0003'": [3],
    # times: NOW is 2026-11-10 12:00
    "started == '2026-11-02'": [2],
    "started != '2026-11-02'": [4, 3, 1],
    "started > '2026-11-02'": [4, 3],
    "started >= '2026-11-02'": [4, 3, 2],
    "started < '2026-11-02'": [1],
    "started <= '2026-11-02'": [2, 1],
    "'2026-11-02' <= started < '2026-11-03'": [2],
    "started in ('2026-11-01', '2026-11-03')": [3, 1],
    "started > '2026-11-02T10:59:59+01:00'": [4, 3, 2],
    "started > '2026-11-02 10:00'": [4, 3],
    "started > '7d ago'": [4],
    "started > '31 min ago'": [4],
    "started > '30 min ago'": [],
    "started < ended": [1],
    "ended - started": None,
    # metrics
    "val_accuracy > .9": [2],
    "val_accuracy >= .9": [4, 2],
    ".9 <= val_acc <= .95": [4, 2],
    ".9 < val_acc < .96": [2],
    "1 > metric.val_acc": [4, 2],
    "val_accuracy == nan": [3],
    "val_accuracy != nan": [4, 2],
    "val_accuracy < nan": [],
    "val_accuracy != 0.95": [4, 3],
    "not val_accuracy == 0.95": [4, 3, 1],
    "val_accuracy in (0.95, nan)": [3, 2],
    "val_accuracy not in (0.95, nan)": [4],
    "val_accuracy is null": [1],
    "val_accuracy == null": [1],
    "val_accuracy != null": [4, 3, 2],
    "train_loss == inf": [3],
    "train_loss < inf": [4, 2],
    "train_loss > -inf": [4, 3, 2],
    "train_loss < val_accuracy": [2],
    "train_loss <= val_accuracy": [4, 2],
    "train_loss != val_accuracy": [3, 2],
    "0 < train_loss < val_accuracy < 1": [2],
    "params < 20_000": [2],
    "params < 2e4": [2],
    "`val/acc` == .5": [4],
    "`limit` == 3 or metric.`limit` < 0": [4],
    "min(val_loss) == 0.2": [2],
    "max(loss) > .8": [2],
    "last(val_loss) == 0.4": [2],
    "steps(val_loss) == 4": [2],
    "steps(val_accuracy) == 0": [4, 3, 2],
    "min(val_accuracy) is null": [4, 3, 2, 1],
    "Max(metric.val_loss) > min(val_loss)": [2],
    # parameters
    "width == 64": [2],
    "width != 64": [4, 3],
    "width > 1 and width <= 64": [3, 2],
    "32 <= width <= 64": [3, 2],
    "width == '64'": [],
    "lr == 'auto'": [3],
    "lr != 'auto'": [2],
    "lr < 1": [2],
    "lr in (0.01, 'auto')": [3, 2],
    "lr not in (0.01, 'x')": [3],
    "rate < .00001": [4],
    "op == 'sep3'": [3, 2],
    "op == 'conv3'": [2],
    "op != 'sep3'": [3, 2],
    "not op == 'conv3'": [4, 3, 1],
    "cells.0.op == 'sep3'": [2],
    "param.op ~ 'KI'": [3],
    "0.op == 'sep3'": None,
    "`0.op` == 'sep3'": [2],
    "op < 'd'": [2],
    "skip": [2],
    "not skip": [4, 3, 1],
    "skip == true": [2],
    "skip == false": [3],
    "skip != true": [3],
    "skip == 1": [2],
    "skip in (true, 'x')": [2],
    "width < clients": [4],
    "width < val_accuracy": [],
    # tags
    "best": [2],
    "tag.best or owner ~ 'BOB'": [3, 2],
    "owner == 'Eva'": [2],
    "owner == 'eva'": [],
    "owner ~ 'EVA'": [2],
    "owner ~ '100%'": [3],
    "owner ~ '_'": [],
    "owner ~ ''": [3, 2],
    "owner is not null and not best": [3],
    # joining
    "best or skip == false and width == 1": [2],
    "(best or skip == false) and width == 1": [],
    "not (best or skip == false)": [4, 1],
    "not not best": [2],
    # order and limit
    "order by val_accuracy": [4, 2, 3, 1],
    "order by -val_accuracy": [2, 4, 3, 1],
    "order by val_acc desc limit 1": [2],
    "order by val_acc desc limit 3": [2, 4, 3],
    "order by val_acc limit 99": [4, 2, 3, 1],
    "kind = 'trial' order by min(val_loss) limit 2": [2, 3],
    "order by steps(val_accuracy), id desc limit 3": [4, 3, 2],
    "order by kind, -started": [4, 1, 3, 2],
    "order by id": [1, 4, 3, 2],
    "order by id desc limit 1": [4],
    "order by width": [4, 3, 2, 1],
    "order by lr": [2, 3, 4, 1],
    "order by lr desc": [2, 3, 4, 1],
    "order by op": [2, 3, 4, 1],
    "order by op desc": [3, 2, 4, 1],
    "order by owner desc": [3, 2, 4, 1],
    "limit 2": [4, 3],
    "parent == 1 limit 1": [3],
}


def test_queries_select_these_runs(session):
    """In the three forms of a query: its steps, one statement, and what people are shown, which needs no parameters."""
    driver = session.connection().connection.driver_connection
    names = DatabaseNames(session)
    found = {}
    for question, expected in CASES.items():
        if expected is None:
            with pytest.raises(QueryError):
                run_query(session, parse(question), now=NOW)
            continue
        query = parse(question)
        stepwise = run_query(session, query, now=NOW)
        whole = session.execute(compile_query(query, names, now=NOW)).scalars().all()
        shown = [run for (run,) in driver.execute(show_sql(session, query, now=NOW)).fetchall()]
        found[question] = stepwise if stepwise == whole == shown else (stepwise, whole, shown)
    assert found == {question: expected for question, expected in CASES.items() if expected is not None}


def test_the_scope_says_which_runs_are_asked(session):
    scopes = {
        Scope(): [4, 3, 2, 1],
        Scope(kinds=("trial", "federated")): [4, 3, 2],
        Scope(kinds=()): [],
        Scope(top_level=True): [4, 1],
        Scope(experiment="ablation"): [4],
        Scope(deleted=True): [5],
        Scope(deleted=True, experiment="ablation"): [],
    }
    assert {scope: run_query(session, Query(), scope=scope) for scope in scopes} == scopes
    ranked = parse("order by val_acc limit 9")
    assert {scope: sorted(run_query(session, ranked, scope=scope), reverse=True) for scope in scopes} == scopes


def test_parts_make_one_query():
    whole = combine("a > 1 or b order by a limit 3", where="c", sort="-d", limit=5)
    assert str(whole) == "(a > 1 or b) and c order by d desc limit 5"
    assert combine(where=" ", sort="") == Query()
    assert combine("a limit 3", sort="b").limit == 3
    with pytest.raises(QueryError, match="from 1"):
        combine(limit=0)


def test_names_of_a_query_are_those_of_the_history(session):
    query = parse("val_acc > .9 and op == 'sep3' and kind = 'trial' and best and min(loss) < 1 order by params")
    assert names_in(session, query) == {
        "val_acc": ("metric", ("val_accuracy",)),
        "op": ("param", ("cells.0.op", "cells.1.op")),
        "best": ("tag", ("best",)),
        "params": ("metric", ("parameters",)),
    }


SYNTAX = [
    ("val_acc >", "", "expected a name, a text or a number", None),
    ("val_acc > > 1", ">", "expected a name", None),
    ("val_acc .9", ".9", "expected `and`", None),
    ("params < 20k", "20k", "no number", "20_000"),
    ("a == 1.2.3", "1.2.3", "no number", None),
    ("a == 'x", "'", "cannot read", "no end"),
    ("a == `x", "`", "cannot read", "no end"),
    ("a & b", "&", "cannot read", "`and`"),
    ("a == 1;", ";", "cannot read", "one query"),
    ("a/b > 1", "/", "cannot read", "backticks"),
    ("a == '\\x'", "\\x", "escape", r"\\"),
    ("a == '\\u0000'", "\\u0000", "escape", None),
    ("a == '\\ud800'", "\\ud800", "escape", None),
    ("a == 1 order val", "val", "expected `by`", None),
    ("order by a sideways", "sideways", "expected", None),
    ("order by 3", "3", "a name to order by", None),
    ("order by -a desc", "desc", "said twice", "-a"),
    ("limit 0", "0", "whole number", None),
    ("limit 1.5", "1.5", "whole number", None),
    ("limit 5 and", "and", "end of the query", None),
    ("(a == 1", "", "expected `)`", None),
    ("a == 1)", ")", "expected `and`", None),
    ("a in 3", "3", "expected `(`", None),
    ("a in ()", ")", "expected a name, a text or a number", None),
    ("a in (b)", "b", "in the list", 'quoted: "b"'),
    ("a in (1 2)", "2", "`,` or `)`", None),
    ("a not 3", "3", "expected `in`", None),
    ("3 in (3)", "in", "expected a name before", None),
    ("a is 3", "3", "expected null", "a == 3"),
    ("1 < 2", "1", "a name on one side", "not quoted"),
    ("'a'", "'a'", "expected a condition", None),
    ("null", "null", "expected a condition", None),
    ("a < null", "a", "null is compared", "a is null"),
    ("a ~ 3", "3", "expected a text", None),
    ("'a' ~ b", "'a'", "another one in it", None),
    ("a < true", "true", "nothing is <", "=="),
    ("min(a)", "min", "comparison of this figure", "min(a)"),
    ("min('a') > 1", "'a'", "the name of a metric", None),
    ("min(param.a) > 1", "param.a", "not of a param", None),
    ("avg(a) > 1", "avg", "no function", "min, max"),
    ("metric.`` > 1", "metric.``", "between the backticks", None),
    ("limit > 3", ">", "whole number", None),
    ("in > 3", "in", "expected a name", "`in`"),
    ("a == \0", "\0", "in no text", None),
    ("a == '\ud800'", "\ud800", "in no text", None),
    ("a == 1 \u200b", "\u200b", "cannot read", None),
]


@pytest.mark.parametrize(("question", "marked", "message", "hint"), SYNTAX)
def test_an_error_shows_where(question, marked, message, hint):
    with pytest.raises(QueryError) as caught:
        parse(question)
    check_error(caught.value, question, marked, message, hint)


NAMES = [
    ("val_accuracyy > 1", "val_accuracyy", "there is no name", "val_accuracy"),
    ("val_lss < 1", "val_lss", "there is no name", "val_loss"),
    ("metric.width > 1", "metric.width", "there is no metric width", "param.width"),
    ("min(width) > 1", "width", "there is no metric width", "param.width"),
    ("param.nothing_like_it > 1", "param.nothing_like_it", "there is no parameter", None),
    ("lr == auto", "auto", "there is no name auto", 'quoted: "auto"'),
    ("wdth == 64", "wdth", "there is no name", "width"),
    ("OP == 'sep3'", "OP", "there is no name", "op"),
    ("train_loss", "train_loss", "is a number", "train_loss > 0.9"),
    ("error", "error", "no condition", "error is not null"),
    ("bst", "bst", "there is no name", "best"),
    ("val_acc == 'high'", "'high'", "val_acc is a number", "not quoted"),
    ("val_acc ~ 'high'", "'high'", "val_acc is a number", None),
    ("val_acc in (1, 'high')", "'high'", "val_acc is a number", None),
    ("val_acc == true", "true", "val_acc is a number", None),
    ("kind == 3", "3", "kind is a text", "quoted"),
    ("kind < 3", "3", "kind is a text", None),
    ("kind == 'serch'", "'serch'", "kind is one of search", "search"),
    ("state in ('completed', 'fail')", "'fail'", "state is one of", "failed"),
    ("started > 5", "5", "started is a time", "7d ago"),
    ("started > 'yesterday'", "'yesterday'", "no time", "7d ago"),
    ("started ~ '2026'", "'2026'", "started is a time", None),
    ("owner == 3", "3", "owner is a text", None),
    ("best == true", "true", "best is a text", "name alone"),
    ("kind == val_acc", "val_acc", "cannot compare kind with val_acc", None),
    ("started > seconds", "seconds", "a time with a number", None),
    ("order by val_accuracyy", "val_accuracyy", "there is no name", "val_accuracy"),
    ("deleted_us > 1", "deleted_us", "there is no name", None),
]


def test_an_error_of_meaning_shows_where(session):
    for question, marked, message, hint in NAMES:
        with pytest.raises(QueryError) as caught:
            run_query(session, parse(question))
        check_error(caught.value, question, marked, message, hint)


def check_error(error: QueryError, question: str, marked: str, message: str, hint: str | None) -> None:
    """The mark is below what is marked, and the message and the hint say so."""
    first, line, mark = error.message.split("\n")
    assert message in first
    assert hint is None or (error.hint is not None and hint in error.hint)
    start, length = mark.index("^"), mark.count("^")
    shown = "".join(letter if letter.isprintable() else " " for letter in question)
    assert line == f"  {shown}"
    assert start - 2 == (question.rindex(marked) if marked else len(question))
    assert length == max(1, len(marked))


def test_of_a_long_query_an_error_shows_a_part():
    question = " and ".join(["val_acc > 0.5"] * 20) + " and 漢字 == 20k and " + " and ".join(["x"] * 50)
    with pytest.raises(QueryError) as caught:
        parse(question)
    _, line, mark = caught.value.message.split("\n")
    assert line.startswith("  ...")
    assert line.endswith("...")
    assert line[mark.index("^") - 2 :].startswith("20k")  # two letters are twice as wide as the others
    assert mark.strip() == "^^^"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        pytest.param("a" * 5000, "5,000 letters", id="letters"),
        pytest.param("(" * 51 + "a" + ")" * 51, "nested", id="parentheses"),
        pytest.param("not " * 51 + "a", "nested", id="nots"),
        pytest.param("(" * 4000, "nested", id="only-opened"),
        pytest.param(" or ".join("a" * 201), "200 conditions", id="conditions"),
        pytest.param("a in (" + ",".join("1" * 1001) + ")", "1000 values", id="list"),
        pytest.param("<".join("a" * 9), "8 values", id="chain"),
        pytest.param("order by " + ",".join("a" * 9), "8 names", id="keys"),
        pytest.param("limit 99999999999999999999", "whole number", id="limit"),
    ],
)
def test_too_much_is_refused(question, message):
    with pytest.raises(QueryError, match=message):
        parse(question)


def nested(depth: int, form: str) -> str:
    question = "width > 1"
    for i in range(depth):
        question = form.format(question, word="and" if i % 2 else "or")
    return question


def balanced(depth: int) -> str:
    """A tree of conditions: both sides of each are as deep."""
    if depth == 0:
        return "best"
    side = balanced(depth - 1)
    return f"({side} {'and' if depth % 2 else 'or'} not ({side} {'or' if depth % 2 else 'and'} skip))"


LARGEST = {
    "to-the-right": nested(50, "best {word} ({})"),
    "to-the-left": nested(50, "({}) {word} best"),
    "negated": nested(25, "not (width == 1 {word} {})"),
    "negated-to-the-right": nested(16, "lr != 'x' {word} not (0 < width < clients {word} ({}))"),
    "nots": "not " * 50 + "best",
    "conditions": " or ".join(["op == 'x'"] * 200),
    "numbers": f"seed in ({','.join('1' * 1000)})",
    "texts": "op in (''" + ",''" * 999 + ")",
    "chain": "<".join(["width"] * 8),
    "keys": "order by " + ",".join(["op"] * 8),
    "pattern": "owner ~ '" + "%_/" * 1300 + "'",
    "number": "seed < " + "9" * 4000,
    "balanced": balanced(6),
}


def test_as_much_as_is_allowed_works(session):
    """Neither Python's stack nor SQLite's parser, which has 100 places, ends before the limits of the language."""
    driver = session.connection().connection.driver_connection
    for what, question in LARGEST.items():
        query = parse(question)
        assert parse(str(query)) == query, what
        found = run_query(session, query)
        assert [run for (run,) in driver.execute(show_sql(session, query)).fetchall()] == found, what


def test_no_letter_of_the_user_is_in_the_sql(session):
    evil = "x'; DROP TABLE nst_run; --"
    query = parse(f'owner == "{evil}" or owner ~ "{evil}" or op in ("{evil}", "b") or name < "{evil}" limit 77')
    for statement in (compile_query(query, DatabaseNames(session)), *compile_steps(query, DatabaseNames(session))):
        compiled = str(statement.compile(session.get_bind()))
        assert "DROP" not in compiled
        assert "77" not in compiled
    assert run_query(session, query) == run_query(session, parse("name < 'x'"))


def test_the_best_are_read_from_the_index(sqlite_database):
    """SQLite walks the index of the metric and stops at the limit; it neither reads all runs nor sorts."""
    with sqlite_database.write() as session:
        put(session, HISTORY)
        query = parse("width == 64 and skip order by val_accuracy desc limit 10")
        statement = next(iter(compile_steps(query, DatabaseNames(session))))
        sql = str(statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
        session.rollback()
    assert plan[0].startswith("SEARCH ranked USING COVERING INDEX ix_nst_metric_name_id_value_run_id")
    assert plan[-1] == "SEARCH nst_run USING INTEGER PRIMARY KEY (rowid=?)"
    assert not any("SCAN" in step or "TEMP" in step for step in plan)


@pytest.mark.parametrize(
    ("written", "first", "length"),
    [
        pytest.param("2026-11-10", datetime(2026, 11, 10, tzinfo=UTC), DAY, id="day"),
        pytest.param("2026-11-10 11:30", datetime(2026, 11, 10, 11, 30, tzinfo=UTC), 1, id="minute"),
        pytest.param("2026-11-10T11:30:00Z", datetime(2026, 11, 10, 11, 30, tzinfo=UTC), 1, id="zulu"),
        pytest.param("2026-11-10T11:30-02:00", datetime(2026, 11, 10, 13, 30, tzinfo=UTC), 1, id="zone"),
        pytest.param("7d ago", datetime(2026, 11, 3, 12, tzinfo=UTC), 1, id="days"),
        pytest.param("1.5 Hours ago", datetime(2026, 11, 10, 10, 30, tzinfo=UTC), 1, id="hours"),
        pytest.param(" 2 weeks  ago ", datetime(2026, 10, 27, 12, tzinfo=UTC), 1, id="weeks"),
        pytest.param("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC), DAY, id="last-day"),
    ],
)
def test_times(written, first, length):
    assert read_time(written, now=NOW) == (to_us(first), to_us(first) + length)


@pytest.mark.parametrize("written", ["", "7d", "ago", "7 moons ago", "-7d ago", "2026-13-01", "12:00", "nan d ago"])
def test_no_times(written):
    assert read_time(written, now=NOW) is None


@given(st.one_of(st.text(max_size=30), st.from_regex(r"[0-9.]{1,12} ?[a-z]{1,7} ago", fullmatch=True)))
def test_any_text_is_a_time_that_fits_the_column_or_none(written):
    span = read_time(written, now=NOW)
    assert span is None or -(2**63) < span[0] < span[1] < 2**63


# Laws

WORDS = """
    and or not in is null true false nan inf order by asc desc limit min( max( last( steps( ( ) , - = == != < <= > >= ~
    a a.b val_acc metric. metric.a param.`x` tag. ` `` `a``b` 1 -1 .5 1e9 1e999 20_000 2__0 20k "x" 'y\'' " ' \\ ; /* --
"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\0", "é", "漢", "\u2028", "\ud800"])


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES).map("".join)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_query_or_a_query_error(question):
    for clause in ("query", "where", "sort"):
        try:
            query = parse(question, clause=clause)
        except QueryError as error:
            message = error.message
        else:
            assert parse(str(query)) == query
            continue
        assert len(message.splitlines()) in {1, 3}
        assert len(message) < 600
        assert "\0" not in message


letters = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=6)
any_name = st.one_of(st.sampled_from(["a", "b.0.c", "in", "Limit", "metric.x", "tag", "min", "a b", "`", "é"]), letters)
literals = st.one_of(
    letters,
    st.booleans(),
    st.integers(1 - 2**63, 2**63 - 1),
    st.floats().map(lambda value: nan if math.isnan(value) else value),
).map(lang.Literal)
plain_names = st.builds(lang.Name, any_name, st.sampled_from([None, *lang.SCOPES]))
statistics = st.builds(lang.Name, any_name, st.sampled_from([None, "metric"]), st.sampled_from(lang.STATISTICS))
any_operand = st.one_of(plain_names, statistics)


@st.composite
def compares(draw):
    if draw(st.booleans()):
        return lang.Compare((draw(any_operand), lang.Literal(draw(letters))), ("~",))
    count = draw(st.integers(2, 4))
    operands = [draw(any_operand) for _ in range(count)]
    for i in range(draw(st.integers(0, 1)), count, 2):
        operands[i] = draw(literals.filter(lambda each: not isinstance(each.value, bool)))
    if not any(isinstance(operand, lang.Name) for operand in operands):
        operands[0] = draw(any_operand)
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    return lang.Compare(tuple(operands), tuple(draw(operators) for _ in range(count - 1)))


any_condition = st.recursive(
    st.one_of(
        compares(),
        st.builds(lang.Within, any_operand, st.lists(literals, min_size=1, max_size=3).map(tuple), st.booleans()),
        st.builds(lang.Missing, any_operand, st.booleans()),
        st.builds(lang.Holds, plain_names),
    ),
    lambda inner: st.one_of(
        st.builds(lang.Not, inner),
        st.builds(lang.join, st.just(lang.And), st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(lang.join, st.just(lang.Or), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
any_query = st.builds(
    Query,
    where=st.none() | any_condition,
    order=st.lists(st.builds(lang.Key, any_operand, st.booleans()), max_size=3).map(tuple),
    limit=st.none() | st.integers(1, lang.MAX_LIMIT),
)


@given(any_query)
@settings(max_examples=300, deadline=None)
def test_what_a_query_says_parses_back(query):
    back = parse(str(query))
    assert back == query
    assert hash(back) == hash(query)
    assert str(back) == str(query)


figures = st.sampled_from([nan, inf, -inf, -1.0, 0.0, 0.5, 1.0, 2.0])
texts = st.sampled_from(["a", "B", "ab", "", "é", "É", "z_", "100%", "1.0", "true"])
curves = st.builds(Figure, figures, st.lists(figures, max_size=3))
values = st.one_of(figures.filter(math.isfinite), texts, st.booleans(), st.integers(-1, 2))
METRICS, PARAMS, TAGS, ENDING = ("m1", "m2"), ("p1", "p2", "a.q", "b.q"), ("t1", "t2"), "q"
EVERYTHING = Sample(
    1000,
    deleted=True,
    metrics=dict.fromkeys(METRICS, 1.0),
    params=dict.fromkeys(PARAMS, 1.0),
    tags=dict.fromkeys(TAGS, ""),
)


@st.composite
def histories(draw):
    count = draw(st.integers(1, 6))
    return [
        Sample(
            id=i,
            kind=draw(st.sampled_from(["train", "eval"])),
            name=draw(texts),
            seed=draw(st.integers(-1, 2)),
            started=draw(st.integers(0, 3)) * 500_000,
            ended=draw(st.none() | st.just(2_000_000)),
            error=draw(st.none() | texts),
            number=draw(st.none() | st.just(i)),
            metrics=draw(
                st.dictionaries(st.sampled_from(METRICS), st.builds(Figure, figures, st.lists(figures, max_size=3)))
            ),
            params=draw(st.dictionaries(st.sampled_from(PARAMS), values)),
            tags=draw(st.dictionaries(st.sampled_from(TAGS), texts)),
        )
        for i in range(1, count + 1)
    ]


def known(*names: str, scope=None, statistic=None):
    return st.sampled_from([lang.Name(name, scope, statistic) for name in names])


curve_names = st.builds(
    lang.Name, st.sampled_from(METRICS), st.none(), st.sampled_from(["min", "max", "last", "steps"])
)
number_names = st.one_of(known(*METRICS), curve_names, known("seed", "seconds", "id"))
text_names = st.one_of(known(*TAGS), known("name", "error"))
param_names = known(*PARAMS, ENDING)
numbers = st.one_of(figures, st.integers(-1, 2), st.just(2**62)).map(lang.Literal)
text_values = texts.map(lang.Literal)
both_values = st.one_of(numbers, text_values)
EQUALS, ORDERS = ("==", "!="), ("<", "<=", ">", ">=")


@st.composite
def chains(draw):
    """A chain of comparisons of one type, whose names and values alternate or not."""
    ours, value = draw(
        st.sampled_from(
            [
                (st.one_of(number_names, param_names), numbers),
                (st.one_of(text_names, param_names), text_values),
                (param_names, both_values),
            ]
        )
    )
    operands = [draw(ours if draw(st.booleans()) else value) for _ in range(draw(st.integers(2, 4)))]
    for i, (left, right) in enumerate(itertools.pairwise(operands)):
        if isinstance(left, lang.Literal) and isinstance(right, lang.Literal):
            operands[i + 1] = draw(ours)
    operators = tuple(draw(st.sampled_from(EQUALS + ORDERS)) for _ in operands[1:])
    return lang.Compare(tuple(operands), operators)


@st.composite
def lists_of(draw):
    ours, value = draw(
        st.sampled_from(
            [
                (number_names, numbers),
                (text_names, text_values),
                (param_names, st.one_of(both_values, st.booleans().map(lang.Literal))),
            ]
        )
    )
    return lang.Within(draw(ours), tuple(draw(st.lists(value, min_size=1, max_size=3))), draw(st.booleans()))


simple = st.one_of(
    chains(),
    lists_of(),
    st.builds(
        lambda name, literal: lang.Compare((name, literal), ("~",)), st.one_of(text_names, param_names), text_values
    ),
    st.builds(
        lambda name, flag, operator: lang.Compare((name, lang.Literal(flag)), (operator,)),
        param_names,
        st.booleans(),
        st.sampled_from(EQUALS),
    ),
    st.builds(lang.Missing, st.one_of(number_names, text_names, param_names), st.booleans()),
    st.builds(lang.Holds, st.one_of(known(*TAGS), param_names)),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lang.Not, inner),
        st.builds(lang.join, st.just(lang.And), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(lang.join, st.just(lang.Or), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
questions = st.builds(
    Query,
    where=st.none() | conditions,
    order=st.lists(
        st.builds(lang.Key, st.one_of(number_names, text_names, param_names), st.booleans()), max_size=3
    ).map(tuple),
    limit=st.none() | st.integers(1, 7),
)


def values_of(name: lang.Name, run: Sample) -> list:
    """What the run has under the name: nothing, one value, or several."""
    if name.name in METRICS:
        figure = run.metrics.get(name.name)
        if figure is None:
            return []
        told = [value for value in figure.points if not math.isnan(value)]
        match name.statistic:
            case None:
                return [figure.value]
            case "steps":
                return [len(figure.points)]
            case "last":
                return figure.points[-1:]
            case statistic:
                return [{"min": min, "max": max}[statistic](told, default=nan)] if figure.points else []
    if name.name in (*PARAMS, ENDING):
        return [value for param, value in run.params.items() if param == name.name or param.endswith(f".{name.name}")]
    if name.name in TAGS:
        return [run.tags[name.name]] if name.name in run.tags else []
    fields = {"seed": run.seed, "name": run.name, "error": run.error, "id": run.number}
    fields["seconds"] = None if run.ended is None else (run.ended - run.started) / 1e6
    return [] if fields[name.name] is None else [fields[name.name]]


OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def holds(left, operator_: str, right, literal: bool) -> bool:
    """Whether the values are so related; `literal`: whether the right one is written in the query."""
    if operator_ == "!=":
        return not holds(left, "==", right, literal)
    if literal and isinstance(right, bool):
        return left is right
    if isinstance(left, str) != isinstance(right, str):
        return False
    if operator_ == "~":
        return ascii_lower(right) in ascii_lower(left)
    if operator_ == "==":
        return left == right or (literal and left != left and right != right)
    return OPERATORS[operator_](left, right)


def ascii_lower(value: str) -> str:
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), value)


MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def answers(condition, run: Sample) -> bool:
    """The reference: what the language means, in Python."""
    match condition:
        case lang.Compare(operands, operators):
            choices = [values_of(each, run) if isinstance(each, lang.Name) else [each.value] for each in operands]
            return any(
                all(
                    holds(chosen[i + 1], MIRRORED.get(each, each), chosen[i], True)
                    if isinstance(operands[i], lang.Literal)
                    else holds(chosen[i], each, chosen[i + 1], isinstance(operands[i + 1], lang.Literal))
                    for i, each in enumerate(operators)
                )
                for chosen in itertools.product(*choices)
            )
        case lang.Within(name, literals, negated):
            found = [any(holds(v, "==", each.value, True) for each in literals) for v in values_of(name, run)]
            return not all(found) if negated else any(found)
        case lang.Missing(name, negated):
            return bool(values_of(name, run)) == negated
        case lang.Holds(name):
            found = values_of(name, run)
            return bool(found) if name.name in TAGS else any(value is True for value in found)
        case lang.Not(inner):
            return not answers(inner, run)
        case lang.And(inner):
            return all(answers(each, run) for each in inner)
        case lang.Or(inner):
            return any(answers(each, run) for each in inner)
        case _:
            return True


def in_order(runs: list[Sample], order: tuple[lang.Key, ...]) -> list[int]:
    """The reference for the order: missing and NaN last, numbers before texts, ties newest first."""
    ranked = sorted(runs, key=lambda run: -run.id)
    for key in reversed(order):
        best = max if key.descending else min
        groups: dict[int, list] = {0: [], 1: [], 2: []}
        for run in ranked:
            found = values_of(key.name, run)
            told = [value for value in found if not isinstance(value, str) and value == value]
            words = [value for value in found if isinstance(value, str)]
            group, value = (0, best(told)) if told else (1, best(words)) if words else (2, None)
            groups[group].append((value, best(words, default=None), run))
        ranked = []
        for group in (0, 1):
            # Of a run with numbers and texts under one name, the texts decide where the numbers are equal.
            pairs = sorted(groups[group], key=lambda pair: pair[1] or "", reverse=key.descending)
            pairs = [pair for pair in pairs if pair[1] is not None] + [pair for pair in pairs if pair[1] is None]
            ranked += [run for _, _, run in sorted(pairs, key=lambda pair: pair[0], reverse=key.descending)]
        ranked += [run for _, _, run in groups[2]]
    return [run.id for run in ranked]


@given(history=histories(), queries=st.lists(questions, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_database_answers_as_python_does(database, history, queries):
    with database.write() as session:
        put(session, [*history, EVERYTHING])
        driver = session.connection().connection.driver_connection
        for query in queries:
            expected = in_order([run for run in history if answers(query.where, run)], query.order)[: query.limit]
            note = str(query)
            assert (note, run_query(session, query)) == (note, expected)
            shown = show_sql(session, query)
            assert (note, [run for (run,) in driver.execute(shown).fetchall()]) == (note, expected)
        session.rollback()


@given(question=st.lists(PIECES, max_size=12).map(" ".join))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_question_is_answered_or_refused(database, question):
    with database.write() as session:
        put(session, [*HISTORY[:1], EVERYTHING])
        with suppress(QueryError):
            assert set(run_query(session, combine(question))) <= {1}
        session.rollback()
