"""Protocol buffers as text: what is written is read back, and what is not text format is refused with its place."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.core.caffe.text_format import Message, Scalar, parse_text_format


def plain(message: Message) -> list:
    return [(name, value.value if isinstance(value, Scalar) else plain(value)) for name, value in message.fields]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("# a: 1\na: 2 # b: 3\n# end", [("a", 2)], id="comments"),
        pytest.param("a: 1 a: -2 a: 0x1F a: 010 a: 0", [("a", x) for x in (1, -2, 31, 8, 0)], id="integers"),
        pytest.param(
            "a: 1.5 a: .5 a: 1. a: -1e3 a: 2.5E-1 a: 1f a: 1.5F",
            [("a", x) for x in (1.5, 0.5, 1.0, -1000.0, 0.25, 1.0, 1.5)],
            id="floats",
        ),
        pytest.param("a: true b: MAX", [("a", "true"), ("b", "MAX")], id="names"),
        pytest.param("""a: "x" b: 'y "z" #'""", [("a", "x"), ("b", 'y "z" #')], id="texts"),
        pytest.param(r"""a: "\"\'\\\n\t\101\x41\?" """, [("a", "\"'\\\n\tAA?")], id="escapes"),
        pytest.param("""a: "x" 'y'\n"z" """, [("a", "xyz")], id="texts-side-by-side"),
        pytest.param("a { b: 1 } a: < b: 2 > a {}", [("a", [("b", 1)]), ("a", [("b", 2)]), ("a", [])], id="messages"),
        pytest.param(
            "a: [1, 2] b: [] c [{ d: 1 }, <>]", [("a", 1), ("a", 2), ("c", [("d", 1)]), ("c", [])], id="lists"
        ),
        pytest.param(
            "a: 1, b: 2; c { d: 3; }, e: 4", [("a", 1), ("b", 2), ("c", [("d", 3)]), ("e", 4)], id="separators"
        ),
        pytest.param("a:1;b{c:'x'd:e}f\n:\n3", [("a", 1), ("b", [("c", "x"), ("d", "e")]), ("f", 3)], id="no-space"),
    ],
)
def test_the_text_format_is_read(text, expected):
    assert plain(parse_text_format(text)) == expected


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
SCALARS = (
    st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5).map(lambda x: [x])
)
TREES = st.recursive(
    st.lists(st.tuples(NAMES, SCALARS), max_size=4),
    lambda inner: st.lists(st.tuples(NAMES, SCALARS | inner.map(tuple)), max_size=4),
    max_leaves=12,
)


def written(tree: list, draw) -> str:
    """A tree as text: texts are lists of one, messages tuples."""
    parts = []
    for name, value in tree:
        if isinstance(value, tuple):
            start, end = draw(st.sampled_from([("{", "}"), (": {", "}"), ("<", ">"), (":\n<", "> # end\n")]))
            parts.append(f"{name}{start}{written(value, draw)}{end}")
        elif isinstance(value, list):
            parts.append(f"{name}: {json.dumps(value[0], ensure_ascii=False)}".replace("\\u00", "\\x"))
        else:
            parts.append(f"{name}: {value!r}")
    return draw(st.sampled_from([" ", "\n", ", ", " ;"])).join(parts)


def same(tree: list) -> list:
    return [
        (name, same(value) if isinstance(value, tuple) else value[0] if isinstance(value, list) else value)
        for name, value in tree
    ]


@given(TREES, st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back(tree, data):
    assert plain(parse_text_format(written(tree, data.draw))) == same(tree)


@given(st.text("abc_:{}<>[],;-+.0123456789eEfx\"'\\# \n\t\x00é", max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_and_nothing_else(text):
    with suppress(FormatError):
        assert isinstance(parse_text_format(text), Message)
