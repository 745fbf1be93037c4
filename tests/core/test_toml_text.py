"""TOML from people: whatever the file is, an error that names it, and what is written reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, parse_toml, read_settings, to_toml

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_written_reads_back(document):
    assert parse_toml(to_toml(document)) == document


def test_a_file_reads_as_it_was_written(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes('\ufeff# of Windows\r\nname = "Zürich"\r\n[part]\r\nvalue = 3\r\n'.encode())
    assert read_settings(path) == {"name": "Zürich", "part": {"value": 3}}


BAD = [
    pytest.param(b"name = ", id="cut-off"),
    pytest.param(b"\xff\xfe\x00\x01", id="no-text"),
    pytest.param(b"a = 1\na = 2", id="twice"),
    pytest.param(b"a = " + b"9" * 5000, id="huge-number"),
    pytest.param(b"a = " + b"[" * 5000, id="deep"),
    pytest.param(b"a = '\x00'", id="NUL"),
    pytest.param(b"#" * (2**20 + 1), id="too-long"),
]


@pytest.mark.parametrize("content", BAD)
def test_a_file_that_is_none_is_refused(content, tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read: .*expected TOML such as: trials = 50"):
        read_settings(path)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("absent.toml", "loop", ".", "x" * 300, "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_settings(tmp_path / name, example="version = 1")
