"""Blocks cover a vector, and processes give the same as none, in order and in bounded memory."""

from __future__ import annotations

import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.blocks import Workers, blocks
from nasturtium.privacy.errors import PrivacyError

KILLED = """
import operator, os
from nasturtium.privacy.blocks import Workers
if __name__ == "__main__":
    print(list(Workers(2).map(operator.neg, [1, 2, 3])), flush=True)
    os.kill(os.getpid(), 9)
"""


@given(count=st.integers(0, 200), size=st.integers(1, 70))
def test_blocks_cover_everything_once_and_in_order(count, size):
    parts = blocks(count, size)
    assert [index for part in parts for index in range(part.start, part.stop)] == list(range(count))
    assert all(0 < part.stop - part.start <= size for part in parts)


@pytest.mark.parametrize("count", [0, -1])
def test_no_workers_at_all_are_refused(count):
    with pytest.raises(ConfigError, match=f"workers >= 1, got {count}"):
        Workers(count)


def test_one_worker_is_this_process_and_takes_items_as_they_are_asked_for():
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(3):
            taken.append(item)
            yield item

    results = Workers(1).map(lambda item: -item, items())
    assert (next(results), taken) == (0, [0])
    assert list(results) == [-1, -2]


def test_only_two_blocks_for_each_process_are_under_way(monkeypatch):
    """However long the vector is, and in order."""
    under_way: list[int] = []

    class Pool:
        def submit(self, function, item):
            under_way.append(item)
            assert len(under_way) <= 6
            done: Future[int] = Future()
            done.set_result(function(item))
            return done

    monkeypatch.setattr(Workers, "_open", lambda _: Pool())
    for result in Workers(3).map(operator.neg, range(50)):
        under_way.remove(-result)
        assert all(item > -result for item in under_way)
    assert not under_way


def test_processes_start_once_keep_order_and_come_back_after_one_of_them_ends():
    workers = Workers(2, sys.setrecursionlimit, (4321,))
    try:
        assert list(workers.map(operator.call, [sys.getrecursionlimit] * 5)) == [4321] * 5
        assert list(workers.map(operator.neg, range(20))) == [-item for item in range(20)]
        assert os.getpid() not in list(workers.map(operator.call, [os.getpid] * 4))
        with pytest.raises(PrivacyError, match="a worker process ended"):
            list(workers.map(os._exit, [3]))
        assert list(workers.map(operator.neg, [1])) == [-1]
        with pytest.raises(ZeroDivisionError):
            list(workers.map((1).__truediv__, [0]))
    finally:
        workers.close()
    workers.close()


def test_workers_are_not_pickled():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Workers(2, print, (b"key",)))


def test_processes_end_with_a_parent_that_is_killed():
    """They hold its standard output, so that this call returns when the last of them has ended."""
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[-1, -2, -3]\n"
    assert done.returncode == -9
