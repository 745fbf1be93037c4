"""Ctrl-C that comes where Python drops exceptions."""

from __future__ import annotations

import signal
import sys
import time
import weakref

import pytest

from nasturtium.cli.interruption import interruptions_arrive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timer of this kind")


class Loaded:
    """What SQLAlchemy would watch by a weak reference."""


def drop(error: type[BaseException] | signal.Signals) -> None:
    """Raise where it is dropped: in the callback of a weak reference."""

    def call_back(_):
        if isinstance(error, signal.Signals):
            signal.raise_signal(error)
        else:
            raise error

    loaded = Loaded()
    watcher = weakref.ref(loaded, call_back)
    del loaded
    assert watcher() is None


def wait() -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        time.sleep(0.001)


@pytest.fixture
def ctrl_c_raises():
    """As in a terminal: what a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize("how", [signal.SIGINT, KeyboardInterrupt], ids=str)
def test_a_dropped_interruption_comes_again(how, capsys):
    hook, handler = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    with interruptions_arrive():
        for _ in range(2):  # as often as it is sent
            drop(how)
            with pytest.raises(KeyboardInterrupt):
                wait()
    assert (sys.unraisablehook, signal.getsignal(signal.SIGALRM)) == (hook, handler)
    assert capsys.readouterr().err == ""


def test_an_interruption_does_not_come_when_all_is_over():
    with interruptions_arrive():
        drop(KeyboardInterrupt)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    time.sleep(0.1)


def test_other_dropped_errors_are_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))
    with interruptions_arrive():
        drop(ValueError)
    assert told == [ValueError]
