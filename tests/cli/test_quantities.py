"""Times and sizes are read as people write them, and what is none is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.cli.output import size
from nasturtium.cli.quantities import read_bytes, read_seconds
from nasturtium.core import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1h30m", 5400), ("1D", 86400), (" 5 ", 5)],
)
def test_times(text, seconds):
    assert read_seconds(text, "--time") == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("1000", 1000), ("2GiB", 2 * 2**30), ("500MB", 500_000_000), ("1.5 kB", 1500), ("64kib", 65536), ("7b", 7)],
)
def test_sizes(text, count):
    assert read_bytes(text, "--trial-memory") == count


@pytest.mark.parametrize("text", ["", "soon", "-5", "5x", "1h30", "30m1", "m", "1..5h", "5 minutes", "1h 30m", "NaN"])
def test_no_time(text):
    with pytest.raises(ConfigError, match="--time: expected a time such as 90s"):
        read_seconds(text, "--time")


@pytest.mark.parametrize("text", ["", "much", "-1MB", "2XB", "MB", "1 2 MB", "0x10"])
def test_no_size(text):
    with pytest.raises(ConfigError, match="--trial-memory: expected a size such as"):
        read_bytes(text, "--trial-memory")


@given(st.text(max_size=8))
def test_any_text_is_read_or_refused(text):
    for read in (read_seconds, read_bytes):
        with suppress(ConfigError):
            assert read(text, "--x") >= 0


@given(st.integers(0, 999_949))
def test_a_printed_size_is_read_again(count):
    assert read_bytes(size(count), "--x") == pytest.approx(count, rel=0.05, abs=50)
