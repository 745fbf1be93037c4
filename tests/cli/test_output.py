"""Tables fit the terminal and cannot steer it; what goes into a pipe is whole, and can be taken apart again."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasturtium.cli import output
from nasturtium.cli.output import Format, print_rows, print_table, shorten, show, sparkline

ROWS = [
    {"id": 1, "name": "one\ttwo\nthree", "value": 0.1 + 0.2, "on": True, "at": None},
    {"id": 20_000, "name": "\x1b[31mred", "value": math.nan, "on": False, "at": datetime(2026, 11, 1, tzinfo=UTC)},
]
COLUMNS = {"id": "id", "name": "name", "value": "figure", "on": "on"}
NARROW = "abcdefghijklmnopqrstuvwxyz ABC 0123456789.,-_/éßжλ─█"
WIDE = "日本語한국어ｆｕｌｌ🍀🌸"
JOINING = "\u0301\u0308\u200d\ufe0f"  # no columns of their own
STEERING = "\0\x07\b\t\n\v\f\r\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066"
LETTERS = st.sampled_from(NARROW + WIDE + JOINING + STEERING) | st.characters()
TEXTS = st.text(LETTERS, max_size=30) | st.sampled_from(["", "\x1b[2J\x1b[H", "\x1b]0;title\x07", "x" * 300, "日" * 99])
KNOWN = st.text(st.sampled_from(NARROW + WIDE + JOINING + STEERING), max_size=30)  # whose width is beyond doubt
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | TEXTS


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(work: Callable[[], object], *, columns: int | None = None) -> str:
    """What `work` prints into a pipe, or to a terminal of some columns."""
    stream = io.StringIO() if columns is None else Screen()
    with redirect_stdout(stream), mock.patch.dict(os.environ, {"COLUMNS": str(columns or 33)}):
        work()
    return stream.getvalue()


def width(text: str) -> int:
    """Columns of a text, by Unicode's own tables."""
    nothing = {"Mn", "Me", "Cf"}
    return sum(
        0 if unicodedata.category(each) in nothing else 1 + (unicodedata.east_asian_width(each) in {"W", "F"})
        for each in text
    )


def steers(text: str) -> set[str]:
    """Letters that do something to a terminal, but for the ends of lines."""
    return {each for each in text if unicodedata.category(each) == "Cc" or each in "\u202e\u2066"} - {"\n"}


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        pytest.param(
            Format.TABLE,
            "id\tname\tvalue\ton\n1\tone two three\t0.30000000000000004\ttrue\n20000\t\x1b[31mred\tNaN\tfalse\n",
            id="table-is-tsv",
        ),
        pytest.param(
            Format.TSV,
            "id\tname\tvalue\ton\n1\tone two three\t0.30000000000000004\ttrue\n20000\t\x1b[31mred\tNaN\tfalse\n",
            id="tsv",
        ),
        pytest.param(
            Format.CSV,
            'id,name,value,on\n1,"one\ttwo\nthree",0.30000000000000004,true\n20000,\x1b[31mred,NaN,false\n',
            id="csv",
        ),
        pytest.param(
            Format.NDJSON,
            '{"id": 1, "name": "one\\ttwo\\nthree", "value": 0.30000000000000004, "on": true, "at": null}\n'
            '{"id": 20000, "name": "\\u001b[31mred", "value": "NaN", "on": false, "at": "2026-11-01T00:00:00+00:00"}\n',
            id="ndjson",
        ),
    ],
)
def test_rows_in_a_pipe(fmt, expected):
    assert printed(lambda: print_rows(ROWS, COLUMNS, fmt)) == expected


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        pytest.param(
            Format.TABLE,
            "Some rows\n"
            "id               name  figure   on\n"
            "1       one two three  0.3000  yes\n"
            "20,000       \ufffd[31mred     nan   no\n",
            id="table",
        ),
        pytest.param(
            Format.TSV,
            "id\tname\tvalue\ton\n1\tone two three\t0.30000000000000004\ttrue\n20000\t\ufffd[31mred\tNaN\tfalse\n",
            id="tsv",
        ),
        pytest.param(
            Format.CSV,
            'id,name,value,on\n1,"one\ttwo\nthree",0.30000000000000004,true\n20000,\ufffd[31mred,NaN,false\n',
            id="csv",
        ),
    ],
)
def test_rows_on_a_terminal(fmt, expected):
    assert printed(lambda: print_rows(ROWS, COLUMNS, fmt, title="Some rows"), columns=80) == expected


@pytest.mark.parametrize("columns", [None, 80])
def test_json_is_the_same_everywhere(columns):
    document = json.loads(printed(lambda: print_rows(ROWS, COLUMNS, Format.JSON), columns=columns))
    assert document == [
        {"id": 1, "name": "one\ttwo\nthree", "value": 0.1 + 0.2, "on": True, "at": None},
        {"id": 20_000, "name": "\x1b[31mred", "value": "NaN", "on": False, "at": "2026-11-01T00:00:00+00:00"},
    ]


def test_a_table_of_ones_own_is_for_terminals_only():
    said = {
        columns: printed(lambda: print_rows(ROWS, COLUMNS, Format.TABLE, table=lambda: print("own")), columns=columns)
        for columns in (None, 80)
    }
    assert said[80] == "own\n"
    assert said[None].startswith("id\tname")


@given(
    table=st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(KNOWN, min_size=n, max_size=n), min_size=1)),
    columns=st.integers(20, 200),
    data=st.data(),
)
def test_a_table_is_never_wider_than_the_terminal(table, columns, data):
    headings, *rows = table
    optional = data.draw(st.lists(st.sampled_from(headings), max_size=3))
    whole = data.draw(st.lists(st.sampled_from(headings), max_size=2))
    said = printed(
        lambda: print_table(headings, rows, title="What this table is of", optional=optional, whole=whole),
        columns=columns,
    )
    lines = said.removesuffix("\n").split("\n")
    assert max(map(width, lines)) <= columns
    assert lines[: -len(table)] == (["What this table is of"] if columns > 20 else ["What this table is", "of"])


@given(
    table=st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1)),
    columns=st.none() | st.integers(0, 200),
)
def test_a_table_is_one_line_a_row_and_steers_nothing(table, columns):
    said = printed(lambda: print_table(table[0], table[1:]), columns=columns)
    assert said.count("\n") == len(table)
    assert not steers(said)
    assert len(said.splitlines()) <= len(table)  # whoever reads it takes nothing else for the end of a line


@given(table=st.lists(st.lists(st.text(NARROW), min_size=3, max_size=3), min_size=1))
def test_a_table_that_fits_is_aligned_and_whole(table):
    table = [[cell.strip() for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    assume(sum(widths) + 4 <= 100)
    for columns in (None, 100):
        lines = printed(lambda: print_table(table[0], table[1:]), columns=columns).split("\n")[:-1]
        for line, (first, *others) in zip(lines, table, strict=True):
            cells = [first.ljust(widths[0]), *(text.rjust(w) for text, w in zip(others, widths[1:], strict=True))]
            assert line == "  ".join(cells).rstrip()


def test_in_a_pipe_a_table_is_not_cut():
    said = printed(lambda: print_table(["id", "text"], [["1", "x" * 1000]], optional=["text"]))
    assert "x" * 1000 in said


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        pytest.param(60, "id name size took state", id="all"),
        pytest.param(50, "id name size state", id="the-last-of-the-optional-goes-first"),
        pytest.param(44, "id name state", id="then-the-one-before"),
        pytest.param(30, "id name state", id="then-the-widest-are-cut"),
    ],
)
def test_what_gives_way_on_a_narrow_terminal(columns, headings):
    row = ["1", "a name of many letters, yes", "9", "1", "completed"]
    said = printed(
        lambda: print_table(["id", "name", "size", "took", "state"], [row], optional=["size", "took"], whole=["id"]),
        columns=columns,
    )
    assert said.split("\n")[0].split() == headings.split()
    assert said.split("\n")[1].endswith("completed")


def test_a_column_that_stays_whole_is_cut_only_with_its_line():
    uid = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    said = {
        columns: printed(lambda: print_table(["id", "text"], [[uid, "x" * 50]], whole=["id"]), columns=columns)
        for columns in (40, 20)
    }
    assert uid in said[40]
    assert said[20].split("\n")[1] == f"{uid[:19]}…"


@given(text=KNOWN | TEXTS, columns=st.integers(1, 60), tail=st.booleans())
def test_what_is_shortened_fits_and_keeps_its_ends(text, columns, tail):
    said = shorten(text, columns, tail=tail)
    if said == text:
        return
    before, after = said.split("…") if text.count("…") == 0 else said.rsplit("…", 1)
    assert text.startswith(before) or "…" in text
    assert text.endswith(after) or "…" in text
    assert tail or not after
    if not set(text) - set(NARROW + WIDE + JOINING):
        assert columns - 2 <= width(said) <= columns or set(text) & set(JOINING)


@given(rows=st.lists(st.fixed_dictionaries({"a": SCALARS, "b": SCALARS | st.lists(SCALARS, max_size=3), "c": SCALARS})))
def test_tsv_has_as_many_cells_as_rows_and_columns_and_all_that_was_in_them(rows):
    said = printed(lambda: print_rows(rows, {name: name for name in "abc"}, Format.TABLE))
    lines = [line.split("\t") for line in said.removesuffix("\n").split("\n")]
    assert lines[0] == ["a", "b", "c"]
    assert [len(line) for line in lines] == [3] * (len(rows) + 1)
    assert len(said.splitlines()) == len(lines)
    for row, line in zip(rows, lines[1:], strict=True):
        for name, cell in zip("abc", line, strict=True):
            value = row[name]
            if isinstance(value, str):
                assert "".join(cell.split()) == "".join(value.split())
            elif isinstance(value, float):
                assert float(cell) == value or math.isnan(value)
            elif isinstance(value, bool) or value is None:
                assert cell == {None: "", True: "true", False: "false"}[value]
            elif isinstance(value, int):
                assert int(cell) == value


@given(rows=st.lists(st.fixed_dictionaries({"a": TEXTS, "b": TEXTS}), min_size=1))
def test_csv_can_be_read_again(rows):
    assume(not any("\0" in text or "\r" in text for row in rows for text in row.values()))  # the reader's own limits
    said = printed(lambda: print_rows(rows, {"a": "a", "b": "b"}, Format.CSV))
    assert list(csv.DictReader(io.StringIO(said, newline=""))) == rows


def plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40)  # what is drawn takes a tenth of a second
@given(
    rows=st.lists(
        st.dictionaries(
            TEXTS,
            st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5),
        )
    )
)
def test_json_says_what_there_is_in_letters_that_steer_nothing(rows):
    document = printed(lambda: print_rows(rows, {}, Format.JSON), columns=80)
    lines = printed(lambda: print_rows(rows, {}, Format.NDJSON))
    assert json.loads(document) == plain(rows) == [json.loads(line) for line in lines.splitlines()]
    assert not steers(document + lines)
    (document + lines).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (-0.0, -0.0),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (b"\x00\xff", "00ff"),
        (Decimal(12), 12),
        (Decimal("1.5"), 1.5),
        (Decimal("1e30"), 1e30),
        (Decimal("NaN"), "NaN"),
        (Decimal("-Infinity"), "-Infinity"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, {2: [math.nan]}), [1, {"2": ["NaN"]}]),
    ],
)
def test_values_as_json(value, expected):
    """What databases return, too."""
    assert output.jsonable(value) == expected
    json.dumps(output.jsonable(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        (True, "yes"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (1234.0, "1,234"),
        (1234.5, "1234.5000"),
        (1e-9, "1e-09"),
        (1.5e300, "1.5e+300"),
        (-1e15, "-1e+15"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (b"\xab", "ab"),
        ("text", "text"),
    ],
)
def test_values_for_people(value, said):
    assert show(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599.6, "1h00m"), (90061, "25h01m")],
)
def test_durations(seconds, said):
    assert output.duration(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e6, "2.5 MB"), (3e12, "3000.0 GB")]
)
def test_sizes(size, said):
    assert output.size(size) == said


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(values=st.lists(st.floats()), columns=st.integers(1, 60))
def test_a_sparkline_is_of_the_finite_values(values, columns):
    finite = [value for value in values if math.isfinite(value)]
    line = sparkline(values, width=columns)
    assert len(line) == min(len(finite), columns)
    assert set(line) <= set("▁▂▃▄▅▆▇█")
    assert line == sparkline(finite, width=columns)


@given(values=st.lists(FINITE, min_size=1, max_size=40))
def test_a_sparkline_rises_where_the_curve_does(values):
    line = sparkline(values)
    assert {line[values.index(min(values))], line[values.index(max(values))]} == (
        {"▁", "█"} if min(values) < max(values) else {"▁"}
    )
    for (value, mark), (other, next_mark) in pairwise(zip(values, line, strict=True)):
        assert (value <= other and mark <= next_mark) or (value >= other and mark >= next_mark)


@given(text=TEXTS)
def test_printable_texts_steer_nothing_and_stay_as_they_are(text):
    said = output.printable(text)
    assert steers(said) <= {"\t"}
    assert output.printable(said) == said
    assert said == text or steers(text) or any(unicodedata.category(each) in {"Cf", "Cs"} for each in text)


@pytest.mark.parametrize("console", [output.stdout, output.stderr])
def test_consoles_print_letters_and_nothing_else(console, capsys):
    """Not even what rich would make of a text."""
    console().print("[bold]x[/bold] :smile: a:100:b \x1b[31mred \x9b2J \u202eolleh", soft_wrap=True)
    captured = capsys.readouterr()
    said = "[bold]x[/bold] :smile: a:100:b \ufffd[31mred \ufffd2J \ufffdolleh\n"
    assert captured.out + captured.err == said


def test_a_console_on_a_terminal_does_not_colour_either(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    said = printed(lambda: output.stdout().print("12 'text' http://x.y \x1b[1mbold", soft_wrap=True), columns=80)
    assert said == "12 'text' http://x.y \ufffd[1mbold\n"
