"""The list of tests that may fail, as `run_array_api.py` reads it."""

from __future__ import annotations

import pytest

from .run_array_api import XFAILS, read_xfails


def test_every_line_of_the_list_has_a_reason():
    xfails = read_xfails(XFAILS.read_text())
    assert all(test.startswith("array_api_tests/") and "::" in test for test in xfails)
    assert all(len(reason.split()) > 3 for reason in xfails.values())


def test_a_list_is_read():
    text = "# why\n\na.py::test_one  # NumPy\na.py::test_two[x # y]  # CuPy # too\n"
    assert read_xfails(text) == {"a.py::test_one": "NumPy", "a.py::test_two[x # y]": "CuPy # too"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a.py::test_one\n", "line 1 gives no reason", id="none"),
        pytest.param("\na.py::test_one  # \n", "line 2 gives no reason", id="empty"),
        pytest.param("a::b  # x\na::b  # y\n", "line 2 names a test a second time", id="twice"),
    ],
)
def test_a_list_without_reasons_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_xfails(text)
